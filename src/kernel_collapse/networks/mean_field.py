r"""The mean field of a wide network's posterior, without the Gaussian approximation.

One hidden layer of N units, k outputs; Q = sigma_a^2 E_p[phi(Xw) phi(Xw)'], M = Q + sigma^2 I, T = M^{-1} Y. Among all
densities p of a weight vector, that of the posterior at large width minimises the free energy::

    F[p] = KL(p || prior) + (1/N) [ 1/2 tr(Y'T) + (k/2) logdet M ]

so that it satisfies, with Q and A from p itself::

    p(w) ~ exp( -(d / 2 sigma_w^2) |w|^2 - (sigma_a^2 / 2N) phi(Xw)' A phi(Xw) ),   A = k M^{-1} - T T'

The equations of state (`kernel_collapse.solve_adaptive`) are the minimum over Gaussian p alone; we start from it.

On particles the expectations are weighted sums, and F is a function of the weights, which is descended to its minimum:
a step moves the logarithms of the weights towards those of the right side above. The particles are scrambled Sobol
points of a Gaussian: that of the equations of state, then that of the second moment found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from kernel_collapse import _validate
from kernel_collapse._linalg import one_blas_thread, symmetric
from kernel_collapse.activations import Activation
from kernel_collapse.adaptive import Status as AdaptiveStatus
from kernel_collapse.adaptive import solve_adaptive
from kernel_collapse.collapse import WEIGHTINGS, Weighting, nc1
from kernel_collapse.data import Dataset
from kernel_collapse.networks import _activations
from kernel_collapse.networks._ensemble import (
    POPULATIONS,
    Ensemble,
    Gaussian,
    Particles,
    Problem,
    State,
    draw,
    systematic,
)
from kernel_collapse.networks._types import NetworkError, check_dataset

__all__ = ["MeanField", "Status", "solve_mean_field"]

#: Particles of each to begin with, at least; always a power of two, as Sobol points come.
FEWEST = 512
#: Effective particles of each population for every sample: with fewer the kernel of a population means nothing.
EFFECTIVE = 0.5
#: Share of effective particles above which p is so close to the Gaussian that knowing the latter's kernel helps.
CLOSE = 0.9
#: Share of the effective particles that have to be left under the solution of one population alone: it is near 1 where
#: the errors can be trusted, and below a few hundredths where they cannot.
HOLDS = 0.5
#: How often particles of one number are drawn anew from the second moment reached, as soon as less than a share GENTLE
#: of them is effective, before the descent goes on as far as EFFECTIVE lets it.
DRAWS, GENTLE = 3, 0.25
#: How many weight vectors the result keeps.
SAMPLE = 1000


class Status(Enum):
    """How a solve ended."""

    CONVERGED = "converged"
    MAX_ITERATIONS = "max_iterations"
    TOO_FEW_SAMPLES = "too_few_samples"
    NOT_FINITE = "not_finite"

    @property
    def sentence(self) -> str:
        """What it means, and what to try."""
        return {
            Status.CONVERGED: "the kernel is consistent with itself and its error is below the one asked for.",
            Status.MAX_ITERATIONS: "the descent was cut off; raise max_iterations, or width or noise_variance, which "
            "make it shorter.",
            Status.TOO_FEW_SAMPLES: "the Monte Carlo error of NC1 is above the accuracy asked for, or unknown (inf) "
            "because too few particles carry the weight; raise particles or accuracy, or width or noise_variance, "
            "which bring the density closer to a Gaussian.",
            Status.NOT_FINITE: "kernel plus noise is not positive definite in float64, or the class means coincide so "
            "that NC1 is no number; raise noise_variance, scale x down, or drop duplicated samples.",
        }[self]


@dataclass(frozen=True)
class MeanField:
    """The mean field with its certificate.

    Attributes
    ----------
    gram, gram_error : ndarray, shape (n, n)
        The feature kernel E_p[phi(Xw) phi(Xw)'], without `readout_variance`, and its standard error entry by entry;
        NaN where the status is not_finite.
    ratio, ratio_error : float
        NC1 of `gram` and its standard error: the spread of eight independent populations of particles and the
        estimate of the bias that a finite number of particles leaves; infinite where the particles cannot tell.
    status : Status
        `converged`, `max_iterations`, `too_few_samples` or `not_finite`.
    iterations : int
        Steps of the descent, over all draws of particles.
    residual, residual_error : float
        ``|E_p[phi phi'] - gram| / |gram|`` in the Frobenius norm, p being made with A of `gram`, on the
        particles at hand; and ``|gram_error| / |gram|``, what their finite number leaves open.
    ess : float
        Effective number of particles, 1 / sum of squared weights.
    particles : int
        Number of particles at the end.
    free_energy : float
        F[p] of the module; that of the Gaussian solution is never below it but by the Monte Carlo error.
    weights : ndarray, shape (m, d)
        Weight vectors drawn from p, at most a thousand.
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
    _second_moment: Float[np.ndarray, "r r"] = field(repr=False)
    _basis: Float[np.ndarray, "d r"] | None = field(repr=False)
    _prior: tuple[int, float] = field(repr=False)

    @property
    def weight_covariance(self) -> Float[np.ndarray, "d d"]:
        """E_p[w w'], made when asked for: with many dimensions only its part in the span of the data is held."""
        dim, variance = self._prior
        if self._basis is None:
            return variance * self._second_moment
        change = self._basis @ (self._second_moment - np.eye(len(self._second_moment))) @ self._basis.T
        return variance * (np.eye(dim) + change)


def solve_mean_field(
    dataset: Dataset,
    *,
    width: float,
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
    r"""Return the kernel of the large-width mean field of the posterior of a network of one hidden layer.

    Parameters
    ----------
    dataset : Dataset
        Inputs, labels and regression targets, at least two classes. With d > n everything is done in the span of the
        samples, where alone the weights leave their prior.
    width : float
        Number N of hidden units; the kernel tends to the NNGP as 1/N.
    activation : str, Activation or callable
        A name, or an elementwise function made of `jax.numpy` operations.
    weight_variance, readout_variance, noise_variance : float
        sigma_w^2 (weights N(0, sigma_w^2/d)), sigma_a^2 (readout N(0, sigma_a^2/N)), sigma^2 (of the likelihood).
    particles : int
        The most that may be used (and an eighth more, of a wider Gaussian), at least 4096; it begins with few and takes
        four times as many until the accuracy is reached. The memory is about four arrays of particles x n.
    accuracy : float
        Standard error of NC1 asked for, relative to NC1.
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
    variance = _validate.moderate(weight_variance, "weight_variance")
    n, dim = dataset.x.shape
    basis = None
    z = dataset.x * np.sqrt(variance / dim)
    if dim > n:
        basis, triangle = np.linalg.qr(z.T)
        z = np.ascontiguousarray(triangle.T)
    problem = Problem(
        z,
        dataset.targets,
        jax.jit(_activations.get(activation)),
        _validate.moderate(width, "width"),
        _validate.moderate(readout_variance, "readout_variance"),
        _validate.moderate(noise_variance, "noise_variance"),
    )
    raise_on_failure = _validate.flag(raise_on_failure, "raise_on_failure")
    most = _validate.count(particles, "particles", least=POPULATIONS * FEWEST)
    _validate.fits(
        most * (n + z.shape[1]), f"{_validate.shown(most)} particles of {n} samples", "lower particles"
    )
    asked = _validate.positive(accuracy, "accuracy")
    limit = _validate.count(max_iterations, "max_iterations")
    rng = np.random.default_rng(_validate.seed(seed))

    def measure(gram: Float[np.ndarray, "n n"]) -> float:
        return nc1(gram, dataset.labels, weighting=weighting).ratio

    # The products are thin and many: a second thread of BLAS gains little, and loses much where cores are shared.
    with one_blas_thread(), jax.enable_x64(True):
        start = _start(problem, activation)
        run = _solve(problem, start, measure, most, asked, limit, rng) if start else None
        result = _result(run, problem, (dim, variance / dim), basis, rng)
    if raise_on_failure and result.status is not Status.CONVERGED:
        raise NetworkError(
            f"no mean field ({result.status.value}, NC1 {result.ratio:.4g} with error {result.ratio_error:.2g} after "
            f"{result.iterations} iterations on {result.particles} particles): {result.status.sentence}"
        )
    return result


def _start(problem: Problem, activation: str | Activation | _activations.Phi) -> Gaussian | None:
    """Return the solution of the equations of state; the prior for a user's function; None if there is neither."""
    rank = problem.z.shape[1]
    if not isinstance(activation, str | Activation):
        return Gaussian(np.eye(rank))
    solution = solve_adaptive(
        problem.z,
        problem.targets,
        activation=activation,
        width=problem.width,
        weight_variance=rank,
        readout_variance=problem.readout_variance,
        noise_variance=problem.noise_variance,
        raise_on_failure=False,
    )
    if solution.status is AdaptiveStatus.NOT_FINITE:
        return None
    return Gaussian(symmetric(solution.weight_covariance), solution.gram)


@dataclass(frozen=True)
class _Run:
    """Where the descent ended."""

    status: Status
    particles: Particles
    state: State
    errors: _Errors
    residual: float
    iterations: int
    second_moment: Float[np.ndarray, "r r"]


class _Errors(NamedTuple):
    ratio: float
    ratio_error: float
    gram_error: Float[np.ndarray, "n n"]


def _solve(
    problem: Problem,
    start: Gaussian,
    measure: Callable[[Float[np.ndarray, "n n"]], float],
    most: int,
    asked: float,
    limit: int,
    rng: np.random.Generator,
) -> _Run | None:
    """Descend on particles of a Gaussian, and on those of the second moment found, until the error is small enough.

    Where the weights become too uneven on the way, particles of the second moment so far go on from there.
    """
    tolerance = max(1e-3 * asked, 1e-8)
    largest = 1 << (most // POPULATIONS).bit_length() - 1
    size = min(max(FEWEST, 1 << (4 * len(problem.z) - 1).bit_length()), largest)
    covariance, known = start.covariance, start if start.gram is not None else None
    particles = draw(problem, covariance, size, rng)
    iterations = draws = 0
    while True:
        ensemble = Ensemble(problem, particles, known)
        state = ensemble.gaussian()
        if state is None:
            return None
        least = EFFECTIVE * POPULATIONS * len(problem.z)
        if draws < DRAWS:
            least = max(least, GENTLE * len(state.weights))
        state = ensemble.descend(state, tolerance, limit - iterations, least)
        iterations += state.iterations
        even, arrived = state.ess >= least, state.slope <= tolerance
        if known and iterations < limit and not (arrived and state.ess >= CLOSE * len(state.weights)):
            known = None  # p is far from the Gaussian, whose moments are of no help then
            continue
        errors, status = _unknown(state, measure), None
        if even and arrived:
            errors = _errors(problem, particles, known, state, measure, tolerance, limit)
        if not np.isfinite(errors.ratio):
            status = Status.NOT_FINITE
        elif errors.ratio_error <= asked * abs(errors.ratio):
            status = Status.CONVERGED
        elif not arrived and (even or iterations >= limit):
            status = Status.MAX_ITERATIONS
        elif (arrived and even) or draws == DRAWS:
            if 2 * size > largest:
                status = Status.TOO_FEW_SAMPLES
            size, draws = min(4 * size, largest), 0
        else:
            draws += 1
        if status is not None:
            residual, moment = ensemble.residual(state), ensemble.second_moment(state.weights)
            return _Run(status, particles, state, errors, residual, iterations, moment)
        if known is None:
            covariance = ensemble.second_moment(state.weights)
        particles = draw(problem, covariance, size, rng)


def _errors(
    problem: Problem,
    particles: Particles,
    known: Gaussian | None,
    state: State,
    measure: Callable[[Float[np.ndarray, "n n"]], float],
    tolerance: float,
    limit: int,
) -> _Errors:
    """Solve on every population alone: their spread gives the error of the solution on all.

    A solution on m particles has a bias of order 1/m, so that the mean of the populations is as many times further off
    than the solution on all as there are populations; that estimate of the bias is part of the error. A population can
    also be blind to where p has its tails; then its solution gives nearly all weight to a few of the others' particles,
    and no spread tells the error.
    """
    together = Ensemble(problem, particles, known)
    grams = []
    for i in range(POPULATIONS):
        ensemble = Ensemble(problem, particles.part(i), known)
        own = ensemble.state(state.log_weights[particles.population(i)])
        alone = own and ensemble.descend(own, tolerance, limit, 0.0)
        if alone is None or together.ess(alone.potential) < HOLDS * state.ess:
            return _unknown(state, measure)
        grams.append(alone.gram)
    ratio = measure(state.gram)
    ratio_error = _standard_error(np.array([measure(gram) for gram in grams]), ratio)
    return _Errors(ratio, float(ratio_error), _standard_error(np.array(grams), state.gram))


def _unknown(state: State, measure: Callable[[Float[np.ndarray, "n n"]], float]) -> _Errors:
    return _Errors(measure(state.gram), np.inf, np.full_like(state.gram, np.inf))


def _standard_error(alone: np.ndarray, together: np.ndarray | float) -> np.ndarray:
    bias = (alone.mean(axis=0) - together) / (POPULATIONS - 1)
    return np.hypot(alone.std(axis=0, ddof=1) / np.sqrt(POPULATIONS), bias)


def _result(
    run: _Run | None,
    problem: Problem,
    prior: tuple[int, float],
    basis: Float[np.ndarray, "d r"] | None,
    rng: np.random.Generator,
) -> MeanField:
    n, rank = problem.z.shape
    nan = np.full((n, n), np.nan)
    if run is None:
        none, unknown = np.empty((0, prior[0])), np.full((rank, rank), np.nan)
        return MeanField(
            gram=nan,
            gram_error=nan,
            ratio=np.nan,
            ratio_error=np.nan,
            status=Status.NOT_FINITE,
            iterations=0,
            residual=np.nan,
            residual_error=np.nan,
            ess=np.nan,
            particles=0,
            free_energy=np.nan,
            weights=none,
            _second_moment=unknown,
            _basis=basis,
            _prior=prior,
        )
    state = run.state
    u = run.particles.u[systematic(state.weights, SAMPLE, rng)]
    if basis is not None:  # outside of the span of the samples the weights are at their prior
        noise = rng.normal(size=(len(u), prior[0]))
        u = noise + (u - noise @ basis) @ basis.T
    return MeanField(
        gram=state.gram,
        gram_error=run.errors.gram_error,
        ratio=run.errors.ratio,
        ratio_error=run.errors.ratio_error,
        status=run.status,
        iterations=run.iterations,
        residual=run.residual,
        residual_error=float(np.linalg.norm(run.errors.gram_error) / np.linalg.norm(state.gram)),
        ess=state.ess,
        particles=len(state.weights),
        free_energy=state.free_energy,
        weights=np.sqrt(prior[1]) * u,
        _second_moment=run.second_moment,
        _basis=basis,
        _prior=prior,
    )
