"""What a trial measures of a deep recursive feature machine."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from kernel_collapse import activations, rfm
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse._specification import Results, Specification, flat, with_reasons
from kernel_collapse.collapse import NC1, WEIGHTINGS, nc1_weightings
from kernel_collapse.data import Dataset
from kernel_collapse.runs.of_kernels import ImageNC1, KernelNC1
from kernel_collapse.solution import Status

__all__ = ["DeepRFMNC1", "carried", "machine"]


class DeepRFMNC1(Specification):
    """NC1 of the last layer of a deep RFM (`kernel_collapse.deep_rfm`), and of the three kernels of every layer.

    With `base` it stands on the features of that kernel, in the place of the samples.

    `constant` is a feature of that value beside those of the data: rows are scaled to unit length, and without it
    samples of one direction and different lengths are the same.
    """

    kernel: Literal["deep-rfm"] = "deep-rfm"
    activation: str = "relu"
    depth: PositiveInt = 5
    fitted: Literal["laplace", "gaussian"] = "laplace"
    bandwidth: PositiveFloat = 2.0
    ridge: NonNegativeFloat = 0.0
    fits: PositiveInt = 1
    targets: Literal["given", "one-hot"] = "given"
    base: Annotated[KernelNC1 | ImageNC1, Field(discriminator="kernel")] | None = None
    constant: NonNegativeFloat = 0.0

    @field_validator("activation")
    @classmethod
    def _known(cls, value: str) -> str:
        return activations.get(value).name

    @model_validator(mode="after")
    def _stands_on_a_kernel(self) -> Self:
        if self.base is not None and (self.base.kernel in ("data", "ntk-published") or self.base.holdout):
            raise InputError(
                "base",
                f"{self.base.kernel!r}"
                + (f" with holdout {self.base.holdout:g}" if self.base.holdout else ""),
                "a kernel of any two sets of samples, with none held out",
                "leave base out for the samples themselves",
            )
        return self

    @model_serializer(mode="wrap")
    def _as_stored(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out that it stands on the samples, so that the keys of trials stay what they were before."""
        stored: dict[str, Any] = fields(self)
        if self.base is None:
            stored.pop("base", None)
        return stored

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too."""
        outputs = 3 if classes == 2 else 5
        entry = 1e-7 + activations.get(self.activation).seconds_an_entry
        layer = 2e-3 + n**2 * (entry + 4e-9 * classes) + 6e-11 * outputs * n**3
        below = 0.0 if self.base is None else self.base.cost(n, dim, classes)
        return 1e-3 + below + self.depth * self.fits * layer

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 of the last layer under every weighting, that of each kernel of each layer, and how it ended."""
        found = machine(self, dataset)
        last = found.layers[-1]
        unknown = dict.fromkeys(WEIGHTINGS, NC1(np.nan, np.nan, np.nan))
        resolved = last.status is Status.RESOLVED
        ratios = nc1_weightings(last.gram, dataset.labels) if resolved else unknown
        results = flat(ratios) | {
            "solver": found.status.value,
            "nc1_round_off": last.round_off if resolved else np.nan,
            "condition": last.condition,
            "training_error": last.training_error,
            "training_accuracy": last.accuracy,
            "layer_nc1": found.nc1[:, 2].tolist(),
            "layer_nc1_input": found.nc1[:, 0].tolist(),
            "layer_nc1_agop": found.nc1[:, 1].tolist(),
        }
        return with_reasons(results, *(layer.reason for layer in found.layers))


def machine(what: DeepRFMNC1, dataset: Dataset, *, raise_on_failure: bool = True) -> rfm.DeepRFM:
    """Return the deep RFM of that specification on a data set."""
    options = what.model_dump(exclude={"kernel", "fitted", "fits", "targets", "base", "constant"})
    targets: Float[np.ndarray, "n k"] = dataset.targets
    if what.targets == "one-hot":
        targets = 2.0 * np.eye(int(dataset.labels.max()) + 1)[dataset.labels] - 1.0
    inputs: Literal["features", "gram"] = "features" if what.base is None else "gram"
    return rfm.deep_rfm(
        _samples(what, dataset),
        targets,
        inputs=inputs,
        kernel=what.fitted,
        iterations=what.fits,
        labels=dataset.labels,
        raise_on_failure=raise_on_failure,
        **options,
    )


def _samples(what: DeepRFMNC1, dataset: Dataset) -> Float[np.ndarray, "n d"]:
    """Return what a deep RFM stands on: features, or those of `base` as a Gram matrix, with the constant one."""
    if what.base is None:
        constant = np.full((len(dataset.x), 1), what.constant)
        return np.hstack([dataset.x, constant]) if what.constant else dataset.x
    gram: Float[np.ndarray, "n n"] = what.base.network(what.base.samples(dataset)) + what.constant**2
    return gram


def carried(what: DeepRFMNC1, found: rfm.DeepRFM, dataset: Dataset, test: Dataset) -> rfm.HeldOut:
    """Return what the layers of a deep RFM make of other samples than those of the data set that it was made of."""
    if what.base is None:
        return found.held_out(_samples(what, test))
    kernel, x = what.base.network, what.base.samples(test)
    cross = kernel(x, what.base.samples(dataset)) + what.constant**2
    return found.held_out(cross, diagonal=kernel.diagonal(x) + what.constant**2)
