"""What a trial measures: specifications of kernels and networks, each of which measures itself on a data set.

A specification is a frozen pydantic model, named by its `kernel`. Its `measure` returns the results to store: NC1
under every weighting, and the numbers that certify it. A new measurement is a class that `Measurement` lists.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from kernel_collapse import _validate, activations, adaptive, kernels
from kernel_collapse._input_error import InputError
from kernel_collapse._specification import Results, Specification, flat
from kernel_collapse.collapse import WEIGHTINGS, nc1_from_features, nc1_weightings
from kernel_collapse.data import Dataset
from kernel_collapse.kernels.named import resolve
from kernel_collapse.runs.deep_rfm import DeepRFMNC1

__all__ = [
    "KERNELS",
    "SPECIFICATIONS",
    "AdaptiveNC1",
    "DeepRFMNC1",
    "EmpiricalNC1",
    "KernelNC1",
    "MeanFieldNC1",
    "Measurement",
    "NetworkNC1",
    "PosteriorNC1",
    "Results",
    "Specification",
    "certificate",
    "gram",
    "solve",
]

KernelName = Literal["data", "nngp", "ntk", "ntk-published"]


def _activation_name(value: str | None) -> str | None:
    """Return the name if it is known (None where there is none)."""
    return value if value is None else activations.get(value).name


def _widths(value: Any) -> Any:
    """Refuse a width in one sentence, where a union of types has several."""
    several = isinstance(value, list | tuple)
    for width in value if several else [value]:
        if isinstance(width, str):
            raise InputError.of("width", width, "a number", "write it without quotation marks")
        _validate.moderate(width, "width")
    return value


def _whole_widths(value: Any) -> Any:
    """Refuse a number of units in one sentence, where a union of types has several."""
    several = isinstance(value, list | tuple)
    for width in _widths(value) if several else [_widths(value)]:
        _validate.count(width, "width")
    return value


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
            raise InputError(
                "kernel",
                f"{self.kernel!r} with activation {self.activation!r}",
                "no activation" if self.kernel == "data" else "the name of one",
                "only 'data' has none",
            )
        plain = (self.activation, self.depth, self.weight_variance, self.bias_variance) == (
            "erf",
            1,
            1.0,
            0.0,
        )
        if self.kernel == "ntk-published" and not plain:
            raise InputError(
                "kernel",
                "'ntk-published'",
                "another, or the defaults of this one",
                "it exists for erf at depth 1 with weight_variance 1 and no bias only",
            )
        return self

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too."""
        pairs = n**2 if self.kernel != "data" else n
        layer = 0.0 if self.activation is None else activations.get(self.activation).seconds_an_entry
        return 2e-3 + pairs * (layer * self.depth + 3e-11 * dim)

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 under every weighting."""
        if self.kernel == "data":
            return flat({w: nc1_from_features(dataset.x, dataset.labels, weighting=w) for w in WEIGHTINGS})
        return flat(nc1_weightings(gram(self, dataset.x), dataset.labels))


class _Prior(Specification):
    """What kernels and networks alike are made of: an activation and the variances of the prior."""

    activation: str = "erf"
    weight_variance: PositiveFloat = 1.0
    readout_variance: PositiveFloat = 1 / 128

    _known = field_validator("activation")(_activation_name)


class _Layered(_Prior):
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
            found["layer_nc1"] = [nc1_weightings(g, dataset.labels)["paper"].ratio for g in solution.grams]
        return found


#: What is compiled, for which shapes, and the estimated seconds of it: once a process, whatever the number of trials.
Programs = dict[tuple[Any, ...], float]
#: JAX itself is started once, too.
_JAX: Programs = {("jax",): 2.0}


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
        return _JAX

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
        return _JAX | {("chains", *shape): 7.0}

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


class _Trained(_Prior):
    """A network and how it is trained; the defaults are the published networks'."""

    width: PositiveInt = 500
    depth: PositiveInt = 1
    parameterisation: Literal["standard", "ntk"] = "standard"
    readout_variance: PositiveFloat = 1.97**2
    epochs: NonNegativeInt = 1000
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 1e-6
    precision: Literal["float32", "float64"] = "float32"

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too."""
        weights = self.width * (dim + (self.depth - 1) * self.width)
        return 0.05 + self.epochs * n * (2e-9 * self.width * self.depth + 7e-11 * weights)

    def programs(self, n: int, dim: int, classes: int) -> Programs:
        """Return what is compiled, and the estimated seconds of it: rates and epochs are no part of the program."""
        shape = (n, dim, classes, self.width, self.depth, self.activation, self.precision)
        return _JAX | {("descent", getattr(self, "loss", "mse"), self._looks, *shape): 2.5}

    @property
    def _looks(self) -> int:
        """How many times the network is looked at."""
        return 2 if self.epochs else 1

    def train(self, dataset: Dataset, seed: int, **options: Any) -> Any:
        """Return the training of one network of that seed."""
        from kernel_collapse import networks

        fields = self.model_dump(include=set(_Trained.model_fields))
        return networks.train(dataset, seeds=[seed], **fields, **options)


class NetworkNC1(_Trained):
    """NC1 of the last hidden layer of a trained network, and of all of them on the way."""

    kernel: Literal["network"] = "network"
    loss: Literal["mse", "cross_entropy"] = "mse"
    probes: tuple[NonNegativeInt, ...] | None = None

    @property
    def _looks(self) -> int:
        """How many times the network is looked at: at the end too, whether it was asked for or not."""
        return super()._looks if self.probes is None else len({*self.probes, self.epochs})

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 at the end under every weighting, what was seen beside it, and the curves if probes were asked."""
        training = self.train(dataset, seed, loss=self.loss, probes=self.probes)
        spectrum = np.linalg.eigvalsh(training.weight_covariance[0, -1])
        found: Results = flat(training.nc1_weightings()) | {
            "solver": training.status[0].value,
            "nc1_start": float(training.nc1[0, 0, -1]),
            "loss": float(training.loss[0, -1]),
            "accuracy": float(training.accuracy[0, -1]),
            "zero_error_epoch": float(training.zero_error_epoch[0]),
            "nc2_norms": float(training.nc2_norms[0, -1, -1]),
            "nc2_angles": float(training.nc2_angles[0, -1, -1]),
            "nc3": float(training.nc3[0, -1]),
            "nc3_cosine": float(training.nc3_cosine[0, -1]),
            "nc4": float(training.nc4[0, -1]),
            "largest_eigenvalue": float(spectrum[-1]),
        }
        if self.probes is not None:
            found |= {
                "path_epochs": training.epochs.tolist(),
                "path_nc1": training.nc1[0].tolist(),
                "path_loss": training.loss[0].tolist(),
                "path_nc2_norms": training.nc2_norms[0].tolist(),
                "path_nc3": training.nc3[0].tolist(),
                "path_nc3_cosine": training.nc3_cosine[0].tolist(),
            }
        return found


class EmpiricalNC1(_Trained):
    """NC1 of the kernel of a finite network after `epochs` of training (0: at its start)."""

    kernel: Literal["empirical-nngp", "empirical-ntk"]
    parameterisation: Literal["standard", "ntk"] = "ntk"
    readout_variance: PositiveFloat = 1.0
    learning_rate: PositiveFloat = 0.2
    weight_decay: NonNegativeFloat = 0.0

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too."""
        return super().cost(n, dim, classes) + 1e-10 * n**2 * self.width * self.depth

    def programs(self, n: int, dim: int, classes: int) -> Programs:
        """Return what is compiled, and the estimated seconds of it."""
        shape = (n, dim, classes, self.width, self.depth, self.activation)
        return super().programs(n, dim, classes) | {(self.kernel, *shape): 0.3}

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 under every weighting, and what the network had learnt."""
        from kernel_collapse import networks

        training = self.train(dataset, seed)
        kernel = networks.empirical_ntk if self.kernel == "empirical-ntk" else networks.empirical_nngp
        return flat(nc1_weightings(kernel(training.networks[0], dataset.x), dataset.labels)) | {
            "solver": training.status[0].value,
            "loss": float(training.loss[0, -1]),
            "accuracy": float(training.accuracy[0, -1]),
        }


Measurement = Annotated[
    KernelNC1 | AdaptiveNC1 | DeepRFMNC1 | MeanFieldNC1 | PosteriorNC1 | NetworkNC1 | EmpiricalNC1,
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


def gram(what: KernelNC1, x: Any, x_other: Any = None) -> Any:
    """Return the Gram matrix of that kernel on these inputs, or between these and others."""
    if what.kernel == "data":
        return x @ (x if x_other is None else x_other).T
    if what.kernel == "ntk-published":
        if x_other is not None:
            raise InputError(
                "kernel", "'ntk-published' between two sets of inputs", "one set, of which it is made"
            )
        return kernels.ntk_published(x)
    assert what.activation is not None, "the specification was validated"
    return resolve(
        what.kernel,
        activation=what.activation,
        depth=what.depth,
        weight_variance=what.weight_variance,
        bias_variance=what.bias_variance,
    )(x, x_other)
