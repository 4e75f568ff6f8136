"""What a trial measures of a deep recursive feature machine."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from kernel_collapse import activations, rfm
from kernel_collapse._shapes import Float
from kernel_collapse._specification import Results, Specification, flat
from kernel_collapse.collapse import NC1, WEIGHTINGS, nc1_weightings
from kernel_collapse.data import Dataset
from kernel_collapse.solution import Status

__all__ = ["DeepRFMNC1", "inputs", "machine"]


class DeepRFMNC1(Specification):
    """NC1 of the last layer of a deep RFM (`kernel_collapse.deep_rfm`), and of the three kernels of every layer.

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
    constant: NonNegativeFloat = 0.0

    @field_validator("activation")
    @classmethod
    def _known(cls, value: str) -> str:
        return activations.get(value).name

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too."""
        outputs = 3 if classes == 2 else 5
        entry = 1e-7 + activations.get(self.activation).seconds_an_entry
        layer = 2e-3 + n**2 * (entry + 4e-9 * classes) + 6e-11 * outputs * n**3
        return 1e-3 + self.depth * self.fits * layer

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 of the last layer under every weighting, that of each kernel of each layer, and how it ended."""
        found = machine(self, dataset)
        last = found.layers[-1]
        unknown = dict.fromkeys(WEIGHTINGS, NC1(np.nan, np.nan, np.nan))
        resolved = last.status is Status.RESOLVED
        ratios = nc1_weightings(last.gram, dataset.labels) if resolved else unknown
        return flat(ratios) | {
            "solver": found.status.value,
            "nc1_round_off": last.round_off if resolved else np.nan,
            "condition": last.condition,
            "training_error": last.training_error,
            "training_accuracy": last.accuracy,
            "layer_nc1": found.nc1[:, 2].tolist(),
            "layer_nc1_input": found.nc1[:, 0].tolist(),
            "layer_nc1_agop": found.nc1[:, 1].tolist(),
        }


def inputs(what: DeepRFMNC1, dataset: Dataset) -> Float[np.ndarray, "n d"]:
    """Return what a deep RFM is given of a data set: its features, and the constant one beside them."""
    x = dataset.x
    return np.column_stack([x, np.full(len(x), what.constant)]) if what.constant else x


def machine(what: DeepRFMNC1, dataset: Dataset, *, raise_on_failure: bool = True) -> rfm.DeepRFM:
    """Return the deep RFM of that specification on a data set."""
    options = what.model_dump(exclude={"kernel", "fitted", "fits", "targets", "constant"})
    targets: Float[np.ndarray, "n k"] = dataset.targets
    if what.targets == "one-hot":
        targets = 2.0 * np.eye(int(dataset.labels.max()) + 1)[dataset.labels] - 1.0
    return rfm.deep_rfm(
        inputs(what, dataset),
        targets,
        kernel=what.fitted,
        iterations=what.fits,
        labels=dataset.labels,
        raise_on_failure=raise_on_failure,
        **options,
    )
