"""A solution of the equations of state: the kernel, its certificate, and the kernel of other inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _validate, activations, kernels
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse._span import Span
from kernel_collapse.adaptive._between import Between, Spectrum
from kernel_collapse.adaptive._free_energy import FreeEnergy
from kernel_collapse.adaptive._layers import Inputs, energy_terms, kernel_between, root_free_residual
from kernel_collapse.solution import Solution, SolutionError, Status

__all__ = ["TOLERANCE", "AdaptiveError", "AdaptiveSolution", "PathPoint", "Start"]

#: Residual of the equations of state below which a solution counts as converged.
TOLERANCE = 1e-6


class AdaptiveError(SolutionError):
    """The error of a solve that did not reach a solution."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of a solution: rows w of G = w w', and the way to it from the layer below (None of the first)."""

    rows: Float[np.ndarray, "n m"]
    between: Between | None


@dataclass(frozen=True, eq=False)
class PathPoint:
    """The solution at one width of an annealing path; `eigenvalues` are those of (d/sigma_w^2) Sigma.

    Of several layers `width` is that of the last one, and so is `gram`.
    """

    width: float
    status: Status
    residual: float
    free_energy: float
    evaluations: int
    eigenvalues: Float[np.ndarray, " r"] = field(repr=False)
    gram: Float[np.ndarray, "n n"] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Start:
    """Where one descent started, and where it ended."""

    name: str
    status: Status
    residual: float
    free_energy: float
    evaluations: int


@dataclass(frozen=True, eq=False)
class AdaptiveSolution(Solution):
    """A solution of the equations of state with its certificate.

    Attributes
    ----------
    gram : ndarray, shape (n, n)
        The feature kernel of the last hidden layer, without `readout_variance`. For a single hidden layer it is
        kappa(x Sigma x'). NaN if the status is not_finite, and so is all that is made of it: kernels of other inputs,
        covariances, ranks, energies, the certificate.
    grams : tuple of ndarray
        The feature kernel kappa(G_l) of every hidden layer; the last is `gram`.
    status : Status
        `converged`, `precision_limit`, `max_iterations` or `not_finite`.
    residual : float
        Spectral norm of Sigma^{1/2} E Sigma^{1/2}, where E is the left side minus the right side of the equations of
        state. It is the relative error of Sigma and has no unit. With several layers it is the largest of all layers.
    round_off : float
        The residual that round-off of float64 alone can cause here, estimated from the size of the terms that cancel.
    free_energy, prior_free_energy : float
        F at the solution and at the prior (the NNGP). For one hidden layer it is per hidden unit, for several layers
        it is in nats. `free_energy_gain` is always in nats.
    iterations, evaluations : int
        Descent steps; evaluations of F, each with one factorisation of an n x n matrix.
    smallest_pivot, condition : float
        Smallest pivot of the factorisation of M at the solution, and its ratio to the largest.
    curvature : float
        Smallest eigenvalue of the Hessian of F in the frame of Sigma (the prior alone gives 1/2): positive at a
        minimum, negative at a saddle. NaN unless asked for.
    widths : tuple of float
        The width of every hidden layer.
    path : tuple of PathPoint
        One for each width of `anneal`.
    starts : tuple of Start
        One for each start; the solution is the lowest.
    """

    gram: Float[np.ndarray, "n n"] = field(repr=False)
    grams: tuple[Float[np.ndarray, "n n"], ...] = field(repr=False)
    status: Status
    residual: float
    round_off: float
    free_energy: float
    prior_free_energy: float
    iterations: int
    evaluations: int
    smallest_pivot: float
    condition: float
    curvature: float
    readout_variance: float
    widths: tuple[float, ...]
    path: tuple[PathPoint, ...] = field(repr=False)
    starts: tuple[Start, ...] = field(repr=False)
    activation: activations.Activation
    _energy: FreeEnergy = field(repr=False)
    _scaled: Float[np.ndarray, "r r"] = field(repr=False)
    _layers: tuple[Layer, ...] = field(repr=False)
    _deeper: tuple[Spectrum, ...] = field(repr=False)
    _span: Span = field(repr=False)

    _error: ClassVar[type[SolutionError]] = AdaptiveError
    _successes: ClassVar = (Status.CONVERGED, Status.PRECISION_LIMIT)
    _sentences: ClassVar = {
        Status.CONVERGED: "the equations of state hold to the tolerance.",
        Status.MAX_ITERATIONS: "the descent was cut off; raise max_evaluations or start from a solution at a larger "
        "width (anneal).",
        Status.NOT_FINITE: "kernel plus noise is not positive definite in float64; raise noise_variance, scale x down, "
        "or drop duplicated samples. Of huge targets the gradient is no number; scale them down.",
    }
    _value: ClassVar = "gram"
    _certificate: ClassVar = ("residual", "round_off", "smallest_pivot", "condition", "curvature")
    _cost: ClassVar = ("iterations", "evaluations")

    @property
    def explanation(self) -> str:
        """The status with its numbers, and what to try."""
        said = (
            f"{'no ' if self.failures else ''}solution of the equations of state ({self.status.value}, residual "
            f"{self.residual:.3g} after {self.evaluations} evaluations): {self.sentence}"
        )
        return f"{said} {self.remark}".rstrip()

    @property
    def _missing(self) -> bool:
        """Whether there is no solution to say anything of: all that would be made of it is NaN."""
        return not self._layers

    @property
    def adaptation(self) -> tuple[float, ...]:
        """How far each hidden layer is from its prior: the largest ``|log s|`` of the eigenvalues s of its covariance.

        They are in units of the prior, and all 1 at the NNGP.
        """
        if self._missing:
            return (float("nan"),) * len(self.grams)
        first = np.log(np.linalg.eigvalsh(self._scaled))
        return tuple(float(np.abs(log).max()) for log in (first, *(above.values for above in self._deeper)))

    @property
    def remark(self) -> str:
        """What a reader should know: that no layer adapts, or that targets look like class numbers; else empty."""
        return " ".join(filter(None, (self._still, self._of_targets)))

    @property
    def _of_targets(self) -> str:
        """A sentence where the targets are one column of class numbers, which are then fitted as sizes."""
        found = np.unique(self._energy.targets)
        numbers = self._energy.targets.shape[1] == 1 and np.array_equal(found, np.arange(max(3, len(found))))
        if not numbers or len(found) == len(self._energy.targets):
            return ""
        return (
            f"The targets are one column of the numbers 0 to {len(found) - 1}, which are fitted as sizes; if they are "
            "classes, give kernel_collapse.data.from_arrays(x, labels).targets."
        )

    @property
    def _still(self) -> str:
        """A sentence where no layer adapts by more than the tolerance, so that the kernel is the NNGP."""
        if self.failures or not max(self.adaptation) <= TOLERANCE:  # one that was cut off may adapt yet
            return ""
        return (
            "No layer adapts, so the kernel is the NNGP to the tolerance: the output is too small beside the "
            f"noise (readout_variance {self.readout_variance:.3g}, noise_variance {self._energy.noise_variance:.3g}) "
            "or the width too large; raise readout_variance, or lower noise_variance or width."
        )

    def plot(self, labels: Any = None, **options: Any) -> Any:
        """Draw `gram`, by class if there are labels: `kernel_collapse.plots.gram_matrix`."""
        from kernel_collapse import plots

        return plots.gram_matrix(self.gram, labels, **options)

    def _layer_table(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Return the width of every layer, and how far it is from its prior."""
        rows = [(k, *pair) for k, pair in enumerate(zip(self.widths, self.adaptation, strict=True), 1)]
        return ("layer", "width", "adaptation"), rows

    @property
    def output_gram(self) -> Float[np.ndarray, "n n"]:
        """The kernel of the output, readout_variance times `gram`."""
        return self.readout_variance * self.gram

    def kernel(
        self, x: ArrayLike, x_other: ArrayLike | None = None, *, layer: int | None = None
    ) -> Float[np.ndarray, "m n"]:
        """Return the feature kernel of other inputs: `grams` for those it was solved on, and NaN where these are.

        That of the first layer is kappa(x Sigma x_other'). The pre-activations of a deeper one are, given those of the
        samples, as in the prior.

        Parameters
        ----------
        x : array_like, shape (m, d)
            Inputs, of as many dimensions as those of the solution; read into NumPy's float64, as by `solve_adaptive`.
        x_other : array_like, shape (n, d), optional
            Inputs of the columns; `x` itself by default.
        layer : int, optional
            Hidden layer, from 1; the last by default.

        Raises
        ------
        ValueError
            If the inputs are not finite, or not of d dimensions, or there is no such layer.

        Examples
        --------
        >>> import numpy as np, kernel_collapse as kc
        >>> data = kc.data.gaussian_classes(n=20, dim=3)
        >>> solution = kc.solve_adaptive(data.x, data.targets)
        >>> bool(np.allclose(solution.kernel(data.x[:5], data.x), solution.gram[:5]))
        True
        """
        values, vectors = np.linalg.eigh(np.eye(len(self._scaled)) if self._missing else self._scaled)
        stretch = (vectors * (np.sqrt(values) - 1.0)) @ vectors.T

        def stretched(inputs: ArrayLike, what: str) -> Float[np.ndarray, "m d"]:
            clean = _validate.matrix(inputs, what, numpy=True)
            if clean.shape[1] != self._span.dim:
                raise InputError(
                    what, f"{clean.shape[1]} features", f"the {self._span.dim} of the solution", verb="has"
                )
            return self._span.transform(clean, stretch)

        depth = len(self.grams)
        which = depth if layer is None else _validate.count(layer, "layer", most=depth)
        first = kernels.NNGP(self.activation, weight_variance=self._span.variance * self._span.dim)
        rows = stretched(x, "x")
        columns = rows if x_other is None else stretched(x_other, "x_other")
        if self._missing:
            return np.full((len(rows), len(columns)), np.nan)
        gram = first(rows, None if x_other is None else columns)
        if which == 1:
            return gram
        samples = self._span.lift(self._energy.z) / np.sqrt(self._span.variance)
        samples = self._span.transform(samples, stretch)
        left = Inputs.first(rows, samples, first)
        right = left if x_other is None else Inputs.first(columns, samples, first)
        layers = [(known.rows, known.between) for known in self._layers[:which]]
        return kernel_between(self._energy, layers, left, right, gram)

    @property
    def free_energy_gain(self) -> float:
        """F(prior) - F(solution) in nats, at every depth."""
        unit = self.widths[0] if len(self.widths) == 1 else 1.0
        return unit * (self.prior_free_energy - self.free_energy)

    @property
    def free_energy_terms(self) -> dict[str, float]:
        """The terms of F at the solution in nats: "divergence_1", ..., "misfit" tr(Y'T)/2, "log_determinant"."""
        if self._missing:
            divergences = [f"divergence_{layer}" for layer in range(1, len(self.grams) + 1)]
            return dict.fromkeys((*divergences, "misfit", "log_determinant"), float("nan"))
        spectra = [np.log(np.linalg.eigvalsh(self._scaled)), *(above.values for above in self._deeper)]
        return energy_terms(self._energy, self.gram, spectra)

    @property
    def covariances(self) -> tuple[Float[np.ndarray, "n n"], ...]:
        """The covariance G_l of the pre-activations of every hidden layer."""
        if self._missing:
            return tuple(np.full_like(gram, np.nan) for gram in self.grams)
        return tuple(layer.rows @ layer.rows.T for layer in self._layers)

    @property
    def ranks(self) -> tuple[int | float, ...]:
        """The rank of the kernel below each layer that float64 resolves; the rest is projected out, never jittered.

        NaN where there is no kernel below.
        """
        first = int(np.linalg.matrix_rank(self._energy.z))
        if self._missing:
            return (first, *(float("nan"),) * (len(self.grams) - 1))
        return (first, *(layer.between.rank for layer in self._layers if layer.between is not None))

    @property
    def root_free_residual(self) -> float:
        """Largest ``|G - K + K R K| / |G|`` of a layer: the equations without root or inverse of K, from G alone."""
        if self._missing:
            return float("nan")
        return root_free_residual(self._energy, [(known.rows, known.between) for known in self._layers])

    @property
    def weight_covariance(self) -> Float[np.ndarray, "d d"]:
        """Sigma, made when asked for: with many dimensions only its part in the span of the data is held."""
        found = self._span.weight_covariance(self._scaled)
        return np.full_like(found, np.nan) if self._missing else found

    @property
    def eigenvalues(self) -> Float[np.ndarray, " r"]:
        """Eigenvalues of (d/sigma_w^2) Sigma in the span of the data, ascending; all 1 at the prior."""
        if self._missing:
            return np.full(len(self._scaled), np.nan)
        return np.linalg.eigvalsh(self._scaled)

    @property
    def same_minimum(self) -> bool:
        """Whether every start that converged ended at the same free energy, to 1e-6 of what was gained."""
        energies = [s.free_energy for s in self.starts if s.status in self._successes]
        if len(energies) < 2:
            return True
        gained = abs(self.prior_free_energy - min(energies))
        return max(energies) - min(energies) <= 1e-6 * max(gained, abs(min(energies)) * 1e-6)
