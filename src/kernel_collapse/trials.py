"""A trial: which data, which measurement, which seed. Its key names its row in the store.

A trial is a pydantic model, so that what a user writes is checked before any work, and is identified by the
hash of its content: the same trial has the same key in every experiment, run and version of this program.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from kernel_collapse import activations, adaptive, collapse, data, kernels

__all__ = ["AdaptiveNC1", "GaussianClasses", "KernelNC1", "Trial", "compute", "describe_errors", "gram"]

KernelName = Literal["data", "nngp", "ntk", "ntk-published"]
KERNELS = (*get_args(KernelName), "adaptive")


class Specification(BaseModel):
    """Frozen, and an unknown key is an error rather than a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GaussianClasses(Specification):
    """Specification of `kernel_collapse.data.gaussian_classes`, without its seed."""

    law: Literal["gaussian_classes"] = "gaussian_classes"
    n: PositiveInt
    dim: PositiveInt
    class_means: tuple[float, ...] = data.D1_MEANS
    class_stds: PositiveFloat | tuple[PositiveFloat, ...] = 0.5
    class_sizes: tuple[PositiveInt, ...] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if isinstance(self.class_stds, tuple) and len(self.class_stds) != len(self.class_means):
            raise ValueError(
                f"class_stds has {len(self.class_stds)} entries, expected one a class as in class_means."
            )
        if self.class_sizes is not None and (
            sum(self.class_sizes) != self.n or len(self.class_sizes) != len(self.class_means)
        ):
            raise ValueError(
                f"class_sizes {self.class_sizes} do not fit, expected {len(self.class_means)} sizes that add up to "
                f"n = {self.n}."
            )
        return self

    @property
    def name(self) -> str:
        """D1 or D2 for the paper's data sets."""
        paper = {data.D1_MEANS: "D1", data.D2_MEANS: "D2"}
        return paper.get(self.class_means, self.law) if self.class_stds == 0.5 else self.law

    def sample(self, seed: int) -> data.Dataset:
        """Return the data set of that seed."""
        fields = self.model_dump(exclude={"law"})
        return data.gaussian_classes(**fields, seed=seed)


def _activation_name(value: str | None) -> str | None:
    """Return the name if it is known (None where there is none)."""
    return value if value is None else activations.get(value).name


class KernelNC1(Specification):
    """NC1 of a kernel, under every weighting; kernel "data" is the inner product of the inputs."""

    kernel: KernelName
    activation: str | None = None
    depth: PositiveInt = 1
    weight_variance: PositiveFloat = 1.0
    bias_variance: NonNegativeFloat = 0.0

    _known = field_validator("activation")(_activation_name)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.activation is None) != (self.kernel == "data"):
            raise ValueError(
                f"kernel {self.kernel!r} with activation {self.activation!r}: only 'data' has none."
            )
        plain = (self.activation, self.depth, self.weight_variance, self.bias_variance) == (
            "erf",
            1,
            1.0,
            0.0,
        )
        if self.kernel == "ntk-published" and not plain:
            raise ValueError(
                "kernel 'ntk-published' exists for erf at depth 1 with weight_variance 1 and no bias only."
            )
        return self


class AdaptiveNC1(Specification):
    """NC1 of the adaptive kernel (`kernel_collapse.solve_adaptive`), under every weighting."""

    kernel: Literal["adaptive"] = "adaptive"
    activation: str = "erf"
    width: PositiveFloat = 500.0
    weight_variance: PositiveFloat = 1.0
    readout_variance: PositiveFloat = 1 / 128
    noise_variance: PositiveFloat = 1e-6
    label_term: Literal["exact", "published"] = "exact"
    starts: tuple[Literal["nngp", "published", "random", "annealed"], ...] = ("nngp",)

    _known = field_validator("activation")(_activation_name)


class Trial(Specification):
    """One row of the results."""

    data: GaussianClasses
    measurement: Annotated[KernelNC1 | AdaptiveNC1, Field(discriminator="kernel")]
    seed: NonNegativeInt = Field(description="seed of the data")

    @property
    def key(self) -> str:
        """Hash of the full specification."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:24]

    @property
    def cost(self) -> float:
        """Estimated seconds on one core, to order trials and to foretell the time that is left."""
        n, dim, what = self.data.n, self.data.dim, self.measurement
        if isinstance(what, AdaptiveNC1):
            evaluations = (12 if len(self.data.class_means) == 2 else 40) * len(what.starts)
            return 5e-3 + evaluations * n**2 * (4e-11 * n + 4e-8 + 1e-10 * min(n, dim))
        pairs = n**2 if what.kernel != "data" else n
        return 2e-3 + pairs * (2.5e-8 * what.depth + 3e-11 * dim)


def compute(trial: Trial) -> dict[str, float | str]:
    """Run one trial and return its results: within, between and NC1 under every weighting, and any certificate.

    The arithmetic runs on one BLAS thread, so that a trial gives the same bits on any number of workers.
    """
    with _blas().limit(limits=1):
        dataset, what = trial.data.sample(trial.seed), trial.measurement
        result: dict[str, float | str] = {}
        if isinstance(what, AdaptiveNC1):
            solution = solve(what, dataset)
            result |= certificate(solution)
            values = collapse.nc1_weightings(solution.gram, dataset.labels)
        elif what.kernel == "data":
            values = {
                w: collapse.nc1_from_features(dataset.x, dataset.labels, weighting=w)
                for w in collapse.WEIGHTINGS
            }
        else:
            values = collapse.nc1_weightings(gram(what, dataset.x), dataset.labels)
    for weighting, value in values.items():
        result |= {
            f"within_{weighting}": value.within,
            f"between_{weighting}": value.between,
            f"nc1_{weighting}": value.ratio,
        }
    return result


def solve(
    what: AdaptiveNC1, dataset: data.Dataset, *, raise_on_failure: bool = True
) -> adaptive.AdaptiveSolution:
    """Return the adaptive kernel of that specification on a data set."""
    options = what.model_dump(exclude={"kernel"})
    return adaptive.solve_adaptive(dataset.x, dataset.targets, **options, raise_on_failure=raise_on_failure)


def certificate(solution: adaptive.AdaptiveSolution) -> dict[str, float | str]:
    """Return what is stored of a solution beside its collapse."""
    energies = [start.free_energy for start in solution.starts]
    return {
        "solver": solution.status.value,
        "residual": solution.residual,
        "round_off": solution.round_off,
        "evaluations": float(solution.evaluations),
        "free_energy_gain": solution.prior_free_energy - solution.free_energy,
        "largest_eigenvalue": float(solution.eigenvalues[-1]),
        "smallest_eigenvalue": float(solution.eigenvalues[0]),
        "smallest_pivot": solution.smallest_pivot,
        "same_minimum": float(solution.same_minimum),
        "minima_spread": max(energies) - min(energies),
    }


def gram(what: KernelNC1, x: Any) -> Any:
    """Return the Gram matrix of that kernel on these inputs."""
    if what.kernel == "data":
        return x @ x.T
    if what.kernel == "ntk-published":
        return kernels.ntk_published(x)
    assert what.activation is not None, "the specification was validated"
    kernel = {"nngp": kernels.nngp, "ntk": kernels.ntk}[what.kernel]
    return kernel(
        x,
        activation=what.activation,
        depth=what.depth,
        weight_variance=what.weight_variance,
        bias_variance=what.bias_variance,
    )


def describe_errors(error: ValidationError) -> str:
    """Return a validation error as one sentence a fault, without pydantic's own decoration."""
    faults = []
    for fault in error.errors():
        path = [str(part) for part in fault["loc"]]
        if path[:1] == ["measurement"] and path[1:2] and path[1] in KERNELS:
            del path[
                1
            ]  # the kernel's name, by which pydantic chose a specification, is no key of what was written
        where = ".".join(path) or "the specification"
        if fault["type"] == "extra_forbidden":
            faults.append(f"{where} is not a key of this specification: remove it or check its spelling")
        elif fault["type"] == "union_tag_invalid":
            context = fault["ctx"]
            faults.append(f"{where}.kernel is {context['tag']!r}, expected one of {context['expected_tags']}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            faults.append(f"{where} is {fault['input']!r}: {message[0].lower() + message[1:]}".rstrip("."))
    return "; ".join(faults) + "."


@lru_cache(maxsize=1)
def _blas() -> Any:
    """Return the controller of the BLAS threads; looking the libraries up takes milliseconds, so once."""
    import scipy.linalg  # noqa: F401  # its BLAS must be there to be found: a library loaded later goes unlimited
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
