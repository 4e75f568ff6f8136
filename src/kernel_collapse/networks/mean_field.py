r"""The mean field of a wide network's posterior, without the Gaussian approximation.

One hidden layer of N units, k outputs; Q = sigma_a^2 E_p[phi(Xw) phi(Xw)'], M = Q + sigma^2 I, T = M^{-1} Y. Among all
densities p of a weight vector, that of the posterior at large width minimises the free energy::

    F[p] = KL(p || prior) + (1/N) [ 1/2 tr(Y'T) + (k/2) logdet M ]

so that it satisfies, with Q and A from p itself::

    p(w) ~ exp( -(d / 2 sigma_w^2) |w|^2 - (sigma_a^2 / 2N) phi(Xw)' A phi(Xw) ),   A = k M^{-1} - T T'

The equations of state (`kernel_collapse.solve_adaptive`) are the minimum over Gaussian p only. The solver starts from
it.

On particles the expectations are weighted sums, and F is a function of the weights. The solver descends it to its
minimum: a step moves the logarithms of the weights towards those of the right side above. The particles are scrambled
Sobol points of a Gaussian. It is first that of the equations of state and then that of the second moment found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import numpy as np

from kernel_collapse import _validate, activations
from kernel_collapse._linalg import one_blas_thread, symmetric
from kernel_collapse._resolved import require_scales
from kernel_collapse._shapes import Float
from kernel_collapse._span import Span, span_of
from kernel_collapse.activations import Activation
from kernel_collapse.adaptive import layer_widths, solve_adaptive
from kernel_collapse.collapse import WEIGHTINGS, Weighting, nc1
from kernel_collapse.data import Dataset
from kernel_collapse.networks import _activations
from kernel_collapse.networks._ensemble import Problem, relative
from kernel_collapse.networks._importance_sampling import FEWEST, Goal, Run, solve
from kernel_collapse.networks._particles import POPULATIONS, Gaussian, systematic
from kernel_collapse.networks._roots import root_of
from kernel_collapse.networks._types import NetworkError, OfKernels, check_dataset, why_no_ratio
from kernel_collapse.solution import SolutionError, Status

__all__ = ["MeanField", "MeanFieldLayer", "Status", "solve_mean_field"]

#: How many weight vectors the result keeps.
SAMPLE = 1000


@dataclass(frozen=True, eq=False)
class MeanFieldLayer:
    """One hidden layer of a mean field.

    Attributes
    ----------
    gram, gram_error : ndarray, shape (n, n)
        The feature kernel and its standard error entry by entry.
    ratio, ratio_error : float
        NC1 of `gram` and its standard error; the error is infinite if the particles do not determine it.
    ess : float
        Effective number of particles.
    """

    gram: Float[np.ndarray, "n n"] = field(repr=False)
    gram_error: Float[np.ndarray, "n n"] = field(repr=False)
    ratio: float
    ratio_error: float
    ess: float


@dataclass(frozen=True, eq=False)
class MeanField(OfKernels):
    """The mean field with its certificate.

    Attributes
    ----------
    gram, gram_error : ndarray, shape (n, n)
        The feature kernel E_p[phi(h) phi(h)'] of the last hidden layer (h = Xw if there is one), without
        `readout_variance`, and its standard error entry by entry; NaN where the status is not_finite.
    ratio, ratio_error : float
        NC1 of `gram` and its standard error. The error combines the spread of eight independent populations of
        particles, the estimated bias of a finite number of particles, and what the descent has left to go where that
        counts. It is infinite if the particles do not determine it.
    status : Status
        `converged`, `max_iterations`, `too_few_samples` or `not_finite`.
    reason : str
        Why NC1 is no number where the kernels are known, as `kernel_collapse.NC1.reason` has it; empty otherwise.
    iterations : int
        Steps of the descent, over all draws of particles.
    residual, residual_error : float
        ``|E_p[phi phi'] - gram| / |gram|`` in the Frobenius norm, on the present particles, where p uses the A of
        `gram`. The second number, ``|gram_error| / |gram|``, is the error from the finite number of particles. With
        several layers both are the largest of all layers.
    ess : float
        Effective number of particles, 1 / sum of squared weights. With several layers it is the smallest.
    particles : int
        Number of particles of a layer at the end.
    free_energy : float
        F[p] of the module. For one hidden layer it is per hidden unit, for several layers it is in nats. F of the
        Gaussian solution is never lower, except by the Monte Carlo error.
    weights : ndarray, shape (m, d)
        Weight vectors of the first layer drawn from p, at most a thousand.
    layers : tuple of MeanFieldLayer
        Kernel and NC1 of every hidden layer, with their errors. The last layer has the values given above.
    """

    gram: Float[np.ndarray, "n n"] = field(repr=False)
    gram_error: Float[np.ndarray, "n n"] = field(repr=False)
    ratio: float
    ratio_error: float
    status: Status
    iterations: int
    residual: float
    residual_error: float
    ess: float
    particles: int
    free_energy: float
    weights: Float[np.ndarray, "m d"] = field(repr=False)
    layers: tuple[MeanFieldLayer, ...] = field(repr=False)
    _second_moment: Float[np.ndarray, "r r"] = field(repr=False)
    _span: Span = field(repr=False)

    _error: ClassVar[type[SolutionError]] = NetworkError
    _sentences: ClassVar = {
        Status.CONVERGED: "the kernel is consistent with itself and its error is below the requested one.",
        Status.MAX_ITERATIONS: "the descent was cut off; raise max_iterations, or width or noise_variance, which make "
        "it shorter.",
        Status.NOT_FINITE: "kernel plus noise is not positive definite in float64; raise noise_variance, scale x down, "
        "or drop duplicated samples.",
    }
    _value: ClassVar = "gram"
    _certificate: ClassVar = ("ratio_error", "residual", "residual_error", "ess")
    _cost: ClassVar = ("iterations", "particles")
    _of_layers: ClassVar = ("ratio", "ratio_error", "ess")

    @property
    def explanation(self) -> str:
        """The status with its numbers, and what to try."""
        return (
            f"{'no ' if self.failures else ''}mean field ({self.status.value}, NC1 {self.ratio:.4g} with error "
            f"{self.ratio_error:.2g} after {self.iterations} iterations on {self.particles} particles): {self.sentence}"
        )

    @property
    def grams(self) -> tuple[Float[np.ndarray, "n n"], ...]:
        """The feature kernel of every hidden layer; `gram` is the last."""
        return tuple(layer.gram for layer in self.layers)

    def plot(self, **options: Any) -> Any:
        """Draw NC1 of every layer; options and result are those of `kernel_collapse.plots.nc1_of_layers`."""
        from kernel_collapse import plots

        return plots.nc1_of_layers(self, **options)

    @property
    def weight_covariance(self) -> Float[np.ndarray, "d d"]:
        """E_p[w w'] of the first layer, made when asked for: of many dimensions only the span of the data is held."""
        return self._span.weight_covariance(self._second_moment)


def solve_mean_field(
    dataset: Dataset,
    *,
    depth: int = 1,
    width: float | Sequence[float],
    activation: str | Activation | _activations.Phi = "erf",
    weight_variance: float = 1.0,
    readout_variance: float = 1 / 128,
    noise_variance: float = 1e-3,
    particles: int = 2**16,
    accuracy: float = 0.01,
    max_iterations: int = 1000,
    weighting: Weighting = "paper",
    seed: int = 0,
    raise_on_failure: bool = True,
) -> MeanField:
    r"""Return the kernels of the large-width mean field of the posterior of a network.

    Parameters
    ----------
    dataset : Dataset
        Inputs, labels and regression targets, at least two classes. With d > n everything is done in the span of the
        samples, because the weights leave their prior only there.
    depth : int
        Number L of hidden layers.
    width : float or sequence of float
        Number N of hidden units, of every layer or one for each, from the first to the last; the kernels tend to the
        NNGP as 1/N.
    activation : str, Activation or callable
        A name, or an elementwise function made of `jax.numpy` operations.
    weight_variance, readout_variance, noise_variance : float
        sigma_w^2 (weights N(0, sigma_w^2/d), of deeper layers N(0, sigma_w^2/N_{l-1})), sigma_a^2 (readout
        N(0, sigma_a^2/N)), sigma^2 (of the likelihood).
    particles : int
        The largest number that may be used (and an eighth more, of a wider Gaussian), at least 4096. The solver
        begins with few particles and takes four times as many until the accuracy is reached. Each layer has this
        number of particles. The memory is about four arrays of particles x n, and seven more for each layer after the
        first.
    accuracy : float
        Standard error of NC1 asked for, relative to NC1, in every layer.
    max_iterations : int
        Steps of the descent after which it is cut off.
    weighting : {"paper", "sample", "class", "published"}
        Of NC1, see `kernel_collapse.nc1`.
    seed : int
        Of the particles; the same seed gives the same result.
    raise_on_failure : bool
        Raise `NetworkError` unless the status is `converged`.

    Returns
    -------
    MeanField
        The kernel with its error and its certificate.

    Raises
    ------
    ValueError
        If an input is not finite or out of its range.
    NetworkError
        If the solve failed, with the cause and what to try.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> from kernel_collapse import networks
    >>> data = kc.data.gaussian_classes(n=32, dim=4)
    >>> field = networks.solve_mean_field(data, width=200, noise_variance=1e-2)
    >>> field.status.value
    'converged'
    >>> gaussian = kc.solve_adaptive(data.x, data.targets, width=200, noise_variance=1e-2)
    >>> field.ratio < kc.nc1(gaussian.gram, data.labels).ratio  # more collapsed than a Gaussian p can be
    True
    """
    check_dataset(dataset)
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    weight_variance = _validate.moderate(weight_variance, "weight_variance")
    span, z = span_of(dataset.x, weight_variance)
    problem = Problem(
        z,
        dataset.targets,
        jax.jit(_activations.get(activation)),
        layer_widths(width, depth),
        _validate.moderate(readout_variance, "readout_variance"),
        _validate.moderate(noise_variance, "noise_variance"),
        weight_variance,
        activations.get(activation) if isinstance(activation, str | Activation) else None,
    )
    require_scales(dataset.x, z, problem.closed, depth=problem.depth, weight_variance=weight_variance)
    raise_on_failure = _validate.flag(raise_on_failure, "raise_on_failure")
    most = _validate.count(particles, "particles", least=POPULATIONS * FEWEST)
    _fits(problem, most)
    goal = Goal(
        lambda gram: nc1(_within_lengths(gram), dataset.labels, weighting=weighting).ratio,
        accuracy=_validate.positive(accuracy, "accuracy"),
        particles=most,
        iterations=_validate.count(max_iterations, "max_iterations"),
    )
    rng = np.random.default_rng(_validate.seed(seed))
    # The products are thin and many: a second thread of BLAS gains little, and loses much where cores are shared.
    with one_blas_thread(), jax.enable_x64(True):
        start = _start(problem)
        run = solve(problem, start, goal, rng) if start else None
        result = _unsolved(problem, span) if run is None else _solution(problem, run, span, rng)
    if run is not None and run.status is Status.NOT_FINITE:
        result = replace(result, reason=why_no_ratio(result.grams, dataset, weighting))
    if raise_on_failure:
        result.raise_for_status()
    return result


def _fits(problem: Problem, most: int) -> None:
    """Refuse what does not fit into memory: the particles of every layer with what they make above a kernel."""
    n, rank = problem.z.shape
    shown = f"{_validate.shown(most)} particles of {n} samples"
    if problem.depth > 1:
        shown += f" in {problem.depth} layers"
    _validate.fits(most * (n + rank + 7 * n * (problem.depth - 1)), shown, "lower particles")


def _start(problem: Problem) -> list[Gaussian] | None:
    """Return the solution of the equations of state; the prior for a user's function; None if there is neither."""
    n, rank = problem.z.shape
    if problem.closed is None:
        return [Gaussian(np.eye(rank)), *(Gaussian(np.eye(n)) for _ in problem.widths[1:])]
    # The prior of the coordinates is N(0, I) in any units; those of one layer are of the span, where it is 1.
    variance = rank if problem.depth == 1 else problem.weight_variance
    solution = solve_adaptive(
        problem.z * np.sqrt(rank / variance),
        problem.targets,
        activation=problem.closed,
        depth=problem.depth,
        width=problem.widths,
        weight_variance=variance,
        readout_variance=problem.readout_variance,
        noise_variance=problem.noise_variance,
        raise_on_failure=False,
    )
    if solution.status is Status.NOT_FINITE:
        return None
    first = symmetric(solution.weight_covariance * (rank / variance))
    start = [Gaussian(first, solution.grams[0])]
    for below, gram, covariance in zip(
        solution.grams, solution.grams[1:], solution.covariances[1:], strict=False
    ):
        root = root_of(problem.weight_variance * below)
        start.append(Gaussian(root.whitened(covariance), gram))
    return start


def _unsolved(problem: Problem, span: Span) -> MeanField:
    """Return what is known where there was nothing to start from."""
    n, rank = problem.z.shape
    unknown = np.full((n, n), np.nan)
    return MeanField(
        gram=unknown,
        gram_error=unknown,
        ratio=np.nan,
        ratio_error=np.nan,
        status=Status.NOT_FINITE,
        iterations=0,
        residual=np.nan,
        residual_error=np.nan,
        ess=np.nan,
        particles=0,
        free_energy=np.nan,
        weights=np.empty((0, span.dim)),
        layers=(MeanFieldLayer(unknown, unknown, np.nan, np.nan, np.nan),) * problem.depth,
        _second_moment=np.full((rank, rank), np.nan),
        _span=span,
    )


#: An entry may pass what lengths allow by this share, which is round-off.
ROUND_OFF = 1e-9


def _within_lengths(gram: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Return the kernel with no entry above what the lengths of its samples allow.

    What the particles miss of a Gaussian is known and added, so that the kernel is exact there; elsewhere it is right
    in mean alone, and of samples that are nearly collinear entries may pass their bound by a part of the error.
    """
    lengths = np.sqrt(np.maximum(gram.diagonal(), 0.0))
    bound = np.outer(lengths, lengths)
    if (np.abs(gram) <= bound * (1.0 + ROUND_OFF)).all():
        return gram
    found = np.clip(gram, -bound, bound)
    np.fill_diagonal(found, gram.diagonal())
    return found


def _solution(problem: Problem, run: Run, span: Span, rng: np.random.Generator) -> MeanField:
    state = run.state
    u = run.particles[0].u[systematic(state.weights[0], SAMPLE, rng)]
    layers = tuple(
        MeanFieldLayer(_within_lengths(gram), errors.gram_error, errors.ratio, errors.ratio_error, ess)
        for gram, errors, ess in zip(state.grams, run.errors, state.effective, strict=True)
    )
    last = layers[-1]
    return MeanField(
        gram=last.gram,
        gram_error=last.gram_error,
        ratio=last.ratio,
        ratio_error=last.ratio_error,
        status=run.status,
        iterations=run.iterations,
        residual=run.residual,
        residual_error=max(relative(layer.gram_error, layer.gram) for layer in layers),
        ess=state.ess,
        particles=len(state.weights[0]),
        free_energy=state.free_energy * (problem.widths[-1] if problem.depth > 1 else 1.0),
        weights=np.sqrt(span.variance) * span.lift(u, rng),
        layers=layers,
        _second_moment=run.second_moments[0],
        _span=span,
    )
