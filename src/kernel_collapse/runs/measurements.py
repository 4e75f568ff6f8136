"""What a trial measures: specifications of kernels and networks, each of which measures itself on a data set.

A specification is a frozen pydantic model, named by its `kernel`. Its `measure` returns the results to store: NC1
under every weighting, and the numbers that certify it. A new measurement is a class that `Measurement` lists.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from kernel_collapse import _validate, adaptive
from kernel_collapse._input_error import InputError
from kernel_collapse._specification import Results, Specification, flat, with_reasons
from kernel_collapse.collapse import nc1_weightings
from kernel_collapse.data import Dataset
from kernel_collapse.runs.deep_rfm import DeepRFMNC1
from kernel_collapse.runs.of_kernels import ImageNC1, KernelNC1, gram
from kernel_collapse.runs.of_networks import JAX, ConvNetworkNC1, EmpiricalNC1, NetworkNC1, Prior, Programs

__all__ = [
    "KERNELS",
    "SPECIFICATIONS",
    "AdaptiveNC1",
    "ConvNetworkNC1",
    "DeepRFMNC1",
    "EmpiricalNC1",
    "ImageNC1",
    "KernelNC1",
    "MeanFieldNC1",
    "Measurement",
    "NetworkNC1",
    "PosteriorNC1",
    "Programs",
    "Results",
    "Specification",
    "certificate",
    "gram",
    "solve",
]


def _widths(value: Any) -> Any:
    """Refuse a width in one sentence, where a union of types has several."""
    several = isinstance(value, list | tuple)
    for width in value if several else [value]:
        _validate.moderate(width, "width")
    return value


def _whole_widths(value: Any) -> Any:
    """Refuse a number of units in one sentence, where a union of types has several."""
    several = isinstance(value, list | tuple)
    for width in _widths(value) if several else [_widths(value)]:
        _validate.count(width, "width")
    return value


class _Layered(Prior):
    """A depth, and a width of every hidden layer or one for each."""

    depth: PositiveInt = 1
    width: PositiveFloat | tuple[PositiveFloat, ...] = 500.0

    _a_width = field_validator("width", mode="before")(_widths)

    @model_validator(mode="after")
    def _a_width_a_layer(self) -> Self:
        adaptive.layer_widths(self.width, self.depth)
        return self

    @model_serializer(mode="wrap")
    def _as_stored(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave a depth of 1 out, so that the keys of trials stay what they were before there were others."""
        stored: dict[str, Any] = fields(self)
        if self.depth == 1:
            stored.pop("depth", None)
        return stored


class AdaptiveNC1(_Layered):
    """NC1 of the adaptive kernel (`kernel_collapse.solve_adaptive`), under every weighting."""

    kernel: Literal["adaptive"] = "adaptive"
    noise_variance: PositiveFloat = 1e-6
    label_term: Literal["exact", "published"] = "exact"
    starts: tuple[Literal["nngp", "published", "random", "annealed"], ...] = ("nngp",)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.depth > 1 and (self.label_term == "published" or "published" in self.starts):
            raise InputError("label_term and starts", f"'published' at depth {self.depth}", "depth 1")
        return self

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too."""
        if self.depth > 1:
            return 1e-2 + 30 * len(self.starts) * (self.depth - 1) * (2e-3 + 4e-9 * n**3 + 1e-7 * n**2)
        evaluations = (5 if classes == 2 else 25) * len(self.starts)
        if self.label_term == "published":  # renewed on the way
            evaluations *= 2
        return 5e-3 + evaluations * n**2 * (4e-11 * n + 4e-8 + 1e-10 * min(n, dim))

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 of the last layer under every weighting, of several layers that of each, and the certificate."""
        solution = solve(self, dataset)
        found = certificate(solution) | flat(nc1_weightings(solution.gram, dataset.labels))
        if self.depth > 1:
            layers = [nc1_weightings(g, dataset.labels)["paper"] for g in solution.grams]
            found["layer_nc1"] = [layer.ratio for layer in layers]
            found = with_reasons(found, *(layer.reason for layer in layers))
        return found


class MeanFieldNC1(_Layered):
    """NC1 of the mean-field kernel (`kernel_collapse.networks.solve_mean_field`), with its Monte Carlo error."""

    kernel: Literal["mean-field"] = "mean-field"
    noise_variance: PositiveFloat = 1e-2
    accuracy: PositiveFloat = 0.01

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too."""
        return 0.3 + 4e-5 * n**2 + (self.depth - 1) * (1.0 + 1.5e-4 * n**2)

    def programs(self, n: int, dim: int, classes: int) -> Programs:
        """Return what is compiled, and the estimated seconds of it."""
        return JAX

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 under every weighting, the error of the paper's, and how the solver ended."""
        from kernel_collapse import networks

        solution = networks.solve_mean_field(dataset, seed=seed, **self.model_dump(exclude={"kernel"}))
        return (
            flat(nc1_weightings(solution.gram, dataset.labels))
            | {
                "solver": solution.status.value,
                "nc1_error": solution.ratio_error,
                "residual": solution.residual,
                "iterations": float(solution.iterations),
                "ess": solution.ess,
            }
            | _by_layer(solution.layers)
        )


def _by_layer(layers: Any) -> Results:
    """Return NC1 of each of several layers with its error; nothing of one alone."""
    if len(layers) == 1:
        return {}
    return {
        "layer_nc1": [layer.ratio for layer in layers],
        "layer_nc1_error": [layer.ratio_error for layer in layers],
    }


class PosteriorNC1(_Layered):
    """NC1 of the mean feature kernel of a Bayesian network (`kernel_collapse.networks.sample_posterior`)."""

    kernel: Literal["posterior"] = "posterior"
    width: PositiveInt | tuple[PositiveInt, ...] = 500
    noise_variance: PositiveFloat = 1e-2
    sampler: Literal["hmc", "nuts", "mala", "langevin"] = "hmc"
    chains: PositiveInt = 4
    draws: PositiveInt = 1000
    warmup: PositiveInt = 300
    accuracy: PositiveFloat | None = None

    _a_width = field_validator("width", mode="before")(_whole_widths)

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too."""
        widths = adaptive.layer_widths(self.width, self.depth)
        inner = min(n, widths[-1])
        pace = 3e-9 if classes == 2 else 4e-8  # of many classes: longer ways
        between = sum(below * above for below, above in pairwise(widths))
        step = pace * n * (inner * (widths[-1] + inner) + 3 * between)
        return 0.2 + self.chains * (self.draws + self.warmup) * step

    def programs(self, n: int, dim: int, classes: int) -> Programs:
        """Return what is compiled, and the estimated seconds of it."""
        widths = self.width if self.depth == 1 else adaptive.layer_widths(self.width, self.depth)
        shape = (n, dim, classes, widths, self.chains, self.activation, self.sampler)
        return JAX | {("chains", *shape): 7.0}

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 under every weighting, the error of the paper's, and how the chains mixed."""
        from kernel_collapse import networks

        posterior = networks.sample_posterior(dataset, seed=seed, **self.model_dump(exclude={"kernel"}))
        draws = posterior.nc1
        return (
            flat(nc1_weightings(posterior.gram, dataset.labels))
            | {
                "solver": posterior.status.value,
                "nc1_error": posterior.ratio_error,
                "nc1_draws_mean": float(draws.mean()),
                "nc1_draws_std": float(draws.std()),
                "rhat": posterior.rhat,
                "ess": posterior.ess,
                "acceptance": posterior.acceptance,
                "divergences": float(posterior.divergences),
            }
            | _by_layer(posterior.layers)
        )


Measurement = Annotated[
    KernelNC1
    | ImageNC1
    | AdaptiveNC1
    | DeepRFMNC1
    | MeanFieldNC1
    | PosteriorNC1
    | NetworkNC1
    | ConvNetworkNC1
    | EmpiricalNC1,
    Field(discriminator="kernel"),
]
#: The specification of each name.
SPECIFICATIONS: dict[str, type[Specification]] = {
    name: specification
    for specification in get_args(get_args(Measurement)[0])
    for name in get_args(specification.model_fields["kernel"].annotation)
}
#: Every name that chooses a specification.
KERNELS: tuple[str, ...] = tuple(SPECIFICATIONS)


def solve(what: AdaptiveNC1, dataset: Dataset, *, raise_on_failure: bool = True) -> adaptive.AdaptiveSolution:
    """Return the adaptive kernel of that specification on a data set."""
    options = what.model_dump(exclude={"kernel"})
    return adaptive.solve_adaptive(dataset.x, dataset.targets, **options, raise_on_failure=raise_on_failure)


def certificate(solution: adaptive.AdaptiveSolution) -> Results:
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
