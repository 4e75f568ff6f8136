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

from dataclasses import dataclass, field
from typing import ClassVar

import jax
import numpy as np
from jaxtyping import Float

from kernel_collapse import _validate
from kernel_collapse._linalg import one_blas_thread, symmetric
from kernel_collapse._span import Span, span_of
from kernel_collapse.activations import Activation
from kernel_collapse.adaptive import solve_adaptive
from kernel_collapse.collapse import WEIGHTINGS, Weighting, nc1
from kernel_collapse.data import Dataset
from kernel_collapse.networks import _activations
from kernel_collapse.networks._ensemble import POPULATIONS, Gaussian, Problem, systematic
from kernel_collapse.networks._importance_sampling import FEWEST, Goal, Run, solve
from kernel_collapse.networks._types import NetworkError, check_dataset
from kernel_collapse.solution import Solution, SolutionError, Status

__all__ = ["MeanField", "Status", "solve_mean_field"]

#: How many weight vectors the result keeps.
SAMPLE = 1000


@dataclass(frozen=True)
class MeanField(Solution):
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
    _span: Span = field(repr=False)

    _error: ClassVar[type[SolutionError]] = NetworkError
    _sentences: ClassVar = {
        Status.CONVERGED: "the kernel is consistent with itself and its error is below the one asked for.",
        Status.MAX_ITERATIONS: "the descent was cut off; raise max_iterations, or width or noise_variance, which make "
        "it shorter.",
        Status.NOT_FINITE: "kernel plus noise is not positive definite in float64, or the class means coincide so that "
        "NC1 is no number; raise noise_variance, scale x down, or drop duplicated samples.",
    }
    _value: ClassVar = "gram"
    _certificate: ClassVar = ("ratio_error", "residual", "residual_error", "ess")
    _cost: ClassVar = ("iterations", "particles")

    @property
    def explanation(self) -> str:
        """The status with its numbers, and what to try."""
        return (
            f"{'no ' if self.failures else ''}mean field ({self.status.value}, NC1 {self.ratio:.4g} with error "
            f"{self.ratio_error:.2g} after {self.iterations} iterations on {self.particles} particles): {self.sentence}"
        )

    @property
    def weight_covariance(self) -> Float[np.ndarray, "d d"]:
        """E_p[w w'], made when asked for: with many dimensions only its part in the span of the data is held."""
        return self._span.weight_covariance(self._second_moment)


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
    span, z = span_of(dataset.x, _validate.moderate(weight_variance, "weight_variance"))
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
        most * sum(z.shape), f"{_validate.shown(most)} particles of {len(z)} samples", "lower particles"
    )
    goal = Goal(
        lambda gram: nc1(gram, dataset.labels, weighting=weighting).ratio,
        accuracy=_validate.positive(accuracy, "accuracy"),
        particles=most,
        iterations=_validate.count(max_iterations, "max_iterations"),
    )
    rng = np.random.default_rng(_validate.seed(seed))
    # The products are thin and many: a second thread of BLAS gains little, and loses much where cores are shared.
    with one_blas_thread(), jax.enable_x64(True):
        start = _start(problem, activation)
        run = solve(problem, start, goal, rng) if start else None
        result = _unsolved(z, span) if run is None else _solution(run, span, rng)
    if raise_on_failure:
        result.raise_for_status()
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
    if solution.status is Status.NOT_FINITE:
        return None
    return Gaussian(symmetric(solution.weight_covariance), solution.gram)


def _unsolved(z: Float[np.ndarray, "n r"], span: Span) -> MeanField:
    """Return what is known where there was nothing to start from."""
    n, rank = z.shape
    return MeanField(
        gram=np.full((n, n), np.nan),
        gram_error=np.full((n, n), np.nan),
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
        _second_moment=np.full((rank, rank), np.nan),
        _span=span,
    )


def _solution(run: Run, span: Span, rng: np.random.Generator) -> MeanField:
    state = run.state
    u = run.particles.u[systematic(state.weights, SAMPLE, rng)]
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
        weights=np.sqrt(span.variance) * span.lift(u, rng),
        _second_moment=run.second_moment,
        _span=span,
    )
