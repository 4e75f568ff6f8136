r"""The mean field of a wide network's posterior, without the Gaussian approximation.

One hidden layer of N units, k outputs; Q = sigma_a^2 E_p[phi(Xw) phi(Xw)'], M = Q + sigma^2 I, T = M^{-1} Y. Among all
densities p of a weight vector, that of the posterior at large width minimises the free energy::

    F[p] = KL(p || prior) + (1/N) [ 1/2 tr(Y'T) + (k/2) logdet M ]

so that it satisfies, with Q and A from p itself::

    p(w) ~ exp( -(d / 2 sigma_w^2) |w|^2 - (sigma_a^2 / 2N) phi(Xw)' A phi(Xw) ),   A = k M^{-1} - T T'

The equations of state (`kernel_collapse.solve_adaptive`) are the minimum over Gaussian p alone; we start from it.

On particles drawn from any density q the expectations become weighted sums, and F a function of the weights that is
descended to its minimum: each step moves the logarithm of the weights towards that of the right side above. What the
steps pass through are densities of the same form, ::

    q(w) ~ exp( -1/2 w'Rw - 1/2 phi(Xw)' B phi(Xw) )

whose matrices R and B move along. Where few of the particles carry most of the weight, they are drawn anew in
proportion to it and moved under q by Metropolis steps; then the descent goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, ndtri
from scipy.stats import qmc
from threadpoolctl import threadpool_limits

from kernel_collapse import _validate
from kernel_collapse._linalg import Cholesky, product, symmetric
from kernel_collapse.activations import Activation
from kernel_collapse.adaptive import Status as AdaptiveStatus
from kernel_collapse.adaptive import solve_adaptive
from kernel_collapse.collapse import WEIGHTINGS, Weighting, nc1
from kernel_collapse.data import Dataset
from kernel_collapse.networks import _activations
from kernel_collapse.networks._types import NetworkError

__all__ = ["MeanField", "Status", "solve_mean_field"]

#: Independent populations: their spread is the Monte Carlo error.
POPULATIONS = 8
#: Particles of each to begin with, at least; always a power of two, as Sobol points come.
FEWEST = 512
#: Share of the particles that must count effectively; below it they are drawn anew. A step never goes below half of it.
EFFECTIVE = 0.5
#: Metropolis steps of one renewal go on until particles have forgotten all but e^-3 of where they were.
FORGOTTEN = 3.0
MOST_MOVES = 300
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
            Status.TOO_FEW_SAMPLES: "the Monte Carlo error of NC1 is above the accuracy asked for; raise particles or "
            "accuracy.",
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
        estimate of the bias that a finite number of particles leaves.
    status : Status
        `converged`, `max_iterations`, `too_few_samples` or `not_finite`.
    iterations : int
        Steps of the descent, over all renewals and numbers of particles.
    residual, residual_error : float
        |E_p[phi phi'] - gram| / |gram| in the Frobenius norm, p being made with A of `gram`, on the
        particles at hand; and |gram_error| / |gram|, what their finite number leaves open.
    ess : float
        Effective number of particles, 1 / sum of squared weights.
    particles, renewals : int
        Number of particles, and how often they were drawn anew and moved; without renewals they are quasi-Monte Carlo
        points of the Gaussian solution.
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
    renewals: int
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
        The most that may be used, at least 4096; it begins with few and takes four times as many until the accuracy is
        reached. The memory is about four arrays of particles x n.
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
    if not isinstance(dataset, Dataset):
        raise ValueError(f"dataset is a {type(dataset).__name__}, expected a Dataset: see data.from_arrays.")
    _validate.encode_labels(dataset.labels)
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    variance = _validate.positive(weight_variance, "weight_variance")
    n, dim = dataset.x.shape
    basis = None
    z = dataset.x * np.sqrt(variance / dim)
    if dim > n:
        basis, triangle = np.linalg.qr(z.T)
        z = np.ascontiguousarray(triangle.T)
    problem = _Problem(
        z,
        dataset.targets,
        jax.jit(_activations.get(activation)),
        _validate.positive(width, "width"),
        _validate.positive(readout_variance, "readout_variance"),
        _validate.positive(noise_variance, "noise_variance"),
    )
    most = _validate.count(particles, "particles", least=POPULATIONS * FEWEST)
    asked = _validate.positive(accuracy, "accuracy")
    limit = _validate.count(max_iterations, "max_iterations")
    rng = np.random.default_rng(_validate.count(seed, "seed", least=0))

    def measure(gram: Float[np.ndarray, "n n"]) -> float:
        return nc1(gram, dataset.labels, weighting=weighting).ratio

    # The products are thin and many: a second thread of BLAS gains little, and loses much where cores are shared.
    with threadpool_limits(1, "blas"), jax.enable_x64(True):
        start = _start(problem, activation)
        run = _solve(problem, start, measure, most, asked, limit, rng) if start else None
        result = _result(run, problem, (dim, variance / dim), basis, rng)
    if raise_on_failure and result.status is not Status.CONVERGED:
        raise NetworkError(
            f"no mean field ({result.status.value}, NC1 {result.ratio:.4g} with error {result.ratio_error:.2g} after "
            f"{result.iterations} iterations on {result.particles} particles): {result.status.sentence}"
        )
    return result


# -- the problem, in units in which the prior of a weight vector is N(0, I)


class _Potential(NamedTuple):
    """(1/N) [ 1/2 tr Y'T + (k/2) logdet M ] and twice its derivative in the gram, (sigma_a^2 / N) A."""

    value: float
    slope: Float[np.ndarray, "n n"]


@dataclass(frozen=True)
class _Problem:
    z: Float[np.ndarray, "n r"]
    targets: Float[np.ndarray, "n k"]
    phi: Callable[..., jax.Array]
    width: float
    readout_variance: float
    noise_variance: float

    def features(self, u: Float[np.ndarray, "p r"]) -> Float[np.ndarray, "p n"]:
        return np.asarray(self.phi(jnp.asarray(product(u, self.z.T))))

    def potential(self, gram: Float[np.ndarray, "n n"]) -> _Potential | None:
        """Return None where M is not positive definite in float64."""
        if not np.isfinite(gram).all():
            return None
        n, k = self.targets.shape
        factor = Cholesky(self.readout_variance * gram + self.noise_variance * np.eye(n))
        if not factor.ok:
            return None
        dual = factor.solve(self.targets)
        value = 0.5 * float(np.einsum("ij,ij->", self.targets, dual)) + k * float(np.log(factor.pivots).sum())
        a = k * factor.inverse() - dual @ dual.T
        return _Potential(value / self.width, self.readout_variance / self.width * a)


@dataclass(frozen=True)
class _Density:
    """q(u) = exp( -1/2 u'Ru - 1/2 phi'B phi - log_mass ), B being None where it is zero."""

    precision: Float[np.ndarray, "r r"]
    coupling: Float[np.ndarray, "n n"]
    log_mass: float

    def __call__(self, u: Float[np.ndarray, "p r"], phi: Float[np.ndarray, "p n"]) -> Float[np.ndarray, " p"]:
        return -0.5 * _forms(self.precision, u) - 0.5 * _forms(self.coupling, phi) - self.log_mass

    def towards(self, slope: Float[np.ndarray, "n n"], step: float) -> _Density:
        """Move towards the prior times exp(-1/2 phi' slope phi), all but the mass."""
        return _Density(
            (1 - step) * self.precision + step * np.eye(len(self.precision)),
            (1 - step) * self.coupling + step * slope,
            self.log_mass,
        )


def _forms(matrix: Float[np.ndarray, "m m"], rows: Float[np.ndarray, "p m"]) -> Float[np.ndarray, " p"]:
    """Return row' matrix row for every row."""
    return np.einsum("ij,ij->i", rows, product(rows, matrix))


@dataclass(frozen=True)
class _Start:
    """A Gaussian density, and its kernel where that is known in closed form."""

    covariance: Float[np.ndarray, "r r"]
    gram: Float[np.ndarray, "n n"] | None


def _start(problem: _Problem, activation: str | Activation | _activations.Phi) -> _Start | None:
    """Return the solution of the equations of state; the prior for a user's function; None if there is neither."""
    rank = problem.z.shape[1]
    if not isinstance(activation, str | Activation):
        return _Start(np.eye(rank), None)
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
    return _Start(symmetric(solution.weight_covariance), solution.gram)


# -- particles


@dataclass(frozen=True)
class _Particles:
    """Particles of density q, population after population.

    `gram` is the kernel of q and `divergence` its distance from the prior, where they are known in closed form: what
    the particles say of q is then corrected to these, which takes away most of the error of p while p is close to q.
    """

    u: Float[np.ndarray, "p r"]
    phi: Float[np.ndarray, "p n"]
    density: _Density
    gram: Float[np.ndarray, "n n"] | None = None
    divergence: float | None = None

    def population(self, i: int) -> slice:
        size = len(self.u) // POPULATIONS
        return slice(i * size, (i + 1) * size)


def _gaussian(problem: _Problem, start: _Start, size: int, rng: np.random.Generator) -> _Particles:
    """Scrambled Sobol points of the Gaussian, each population with a scrambling of its own.

    The first coordinates of the points, which fill their space best, go where the pre-activations vary most.
    """
    factor = np.linalg.cholesky(start.covariance)
    turn = np.linalg.svd(problem.z @ factor, full_matrices=True)[2].T
    rank = len(factor)
    points = np.concatenate(
        [qmc.Sobol(rank, rng=rng).random_base2(size.bit_length() - 1) for _ in range(POPULATIONS)]
    )
    xi = ndtri(np.maximum(points, 2.0**-32))
    u = product(xi, (factor @ turn).T)
    precision = symmetric(np.linalg.inv(start.covariance))
    log_mass = 0.5 * rank * np.log(2 * np.pi) + float(np.log(np.diag(factor)).sum())
    n = len(problem.z)
    density = _Density(precision, np.zeros((n, n)), log_mass)
    particles = _Particles(u, problem.features(u), density)
    if start.gram is None:
        return particles
    divergence = 0.5 * np.trace(start.covariance - np.eye(rank)) - float(np.log(np.diag(factor)).sum())
    return replace(particles, gram=start.gram, divergence=divergence)


def _renewed(
    problem: _Problem,
    old: _Particles,
    state: _State,
    size: int,
    rng: np.random.Generator,
) -> _Particles:
    """Draw populations of `size` particles from the weighted ones and move them under the density of the weights.

    A Metropolis step proposes m + sqrt(1 - b^2) (u - m) + b xi with xi of the covariance C of the particles about their
    mean m. It leaves N(m, C) as it is, so that only what sets the density apart from this Gaussian can refuse it: the
    number of dimensions by itself costs nothing.
    """
    weights, density = state.weights, state.density
    log_ratio = density(old.u, old.phi) - old.density(old.u, old.phi)
    density = replace(density, log_mass=density.log_mass + logsumexp(log_ratio) - np.log(len(log_ratio)))
    mean = np.einsum("i,ij->j", weights, old.u)
    centred = old.u - mean
    covariance = product((centred * weights[:, None]).T, centred)
    factor = np.linalg.cholesky(covariance + 1e-12 * np.trace(covariance) * np.eye(len(mean)))
    inverse = symmetric(np.linalg.inv(factor @ factor.T))
    chosen = np.concatenate(
        [i.start + _systematic(weights[i], size, rng) for i in map(old.population, range(POPULATIONS))]
    )
    u, phi = old.u[chosen], old.phi[chosen]
    excess = density(u, phi) + 0.5 * _forms(inverse, u - mean)
    share, forgotten = 0.7, 0.0
    for _ in range(MOST_MOVES):
        noise = product(rng.normal(size=u.shape), factor.T)
        proposal = mean + np.sqrt(1 - share**2) * (u - mean) + share * noise
        features = problem.features(proposal)
        proposed = density(proposal, features) + 0.5 * _forms(inverse, proposal - mean)
        accept = np.log(rng.random(len(u))) < proposed - excess
        u = np.where(accept[:, None], proposal, u)
        phi = np.where(accept[:, None], features, phi)
        excess = np.where(accept, proposed, excess)
        rate = float(accept.mean())
        forgotten += rate * (1 - np.sqrt(1 - share**2))
        if forgotten > FORGOTTEN:
            break
        share = min(0.999, share * (1.15 if rate > 0.35 else 0.85))
    return _Particles(u, phi, density)


def _systematic(weights: Float[np.ndarray, " p"], size: int, rng: np.random.Generator) -> np.ndarray:
    """Return indices in proportion to the weights, by one random offset."""
    sums = np.cumsum(weights)
    return np.searchsorted(sums / sums[-1], (np.arange(size) + rng.random()) / size).clip(0, len(weights) - 1)


# -- the descent


@dataclass(frozen=True)
class _State:
    """Weights of particles with all that follows from them."""

    log_weights: Float[np.ndarray, " p"]
    weights: Float[np.ndarray, " p"]
    gram: Float[np.ndarray, "n n"]
    potential: _Potential
    direction: Float[np.ndarray, " p"]
    divergence: float  # KL to the prior
    density: _Density
    iterations: int = 0

    @property
    def free_energy(self) -> float:
        return self.divergence + self.potential.value

    @property
    def slope(self) -> float:
        """Standard deviation of what is left to go, in logarithms of the density."""
        return float(np.sqrt(np.einsum("i,i,i->", self.weights, self.direction, self.direction)))

    @property
    def ess(self) -> float:
        return float(1.0 / np.einsum("i,i->", self.weights, self.weights))


class _Ensemble:
    """F as a function of the weights of given particles."""

    def __init__(self, problem: _Problem, particles: _Particles, part: slice = slice(None)) -> None:
        self._problem, self._particles, self._part = problem, particles, part
        self._phi = particles.phi[part]
        u = particles.u[part]
        # Logarithm of the prior over the density of the particles, each of which stands for 1/P of that.
        log_prior = -0.5 * np.einsum("ij,ij->i", u, u) - 0.5 * u.shape[1] * np.log(2 * np.pi)
        self._prior = log_prior - particles.density(u, self._phi) - np.log(len(u))
        self._control, self._divergence = np.zeros((self._phi.shape[1],) * 2), 0.0
        if particles.gram is not None and particles.divergence is not None:
            self._control = particles.gram - product(self._phi.T, self._phi) / len(u)
            self._divergence = particles.divergence + float(np.mean(self._prior)) + np.log(len(u))

    def resume(self, density: _Density) -> _State | None:
        """Return the weights that make a sample of `density`, as it was found on other particles."""
        u, phi = self._particles.u[self._part], self._phi
        return self.state(density(u, phi) - self._particles.density(u, phi), density)

    def state(self, log_weights: Float[np.ndarray, " p"], density: _Density) -> _State | None:
        """Return None where there is no such kernel in float64."""
        log_weights = log_weights - logsumexp(log_weights)
        weights = np.exp(log_weights)
        gram = self.gram(weights)
        potential = self._problem.potential(gram)
        if potential is None:
            return None
        direction = self._prior - 0.5 * _forms(potential.slope, self._phi) - log_weights
        direction -= np.einsum("i,i->", weights, direction)
        divergence = self._divergence + float(np.einsum("i,i->", weights, log_weights - self._prior))
        return _State(log_weights, weights, gram, potential, direction, divergence, density)

    def gram(self, weights: Float[np.ndarray, " p"]) -> Float[np.ndarray, "n n"]:
        """Return the weighted kernel, symmetric to the last bit."""
        return symmetric(product(self._phi.T, weights[:, None] * self._phi) + self._control)

    def descend(self, now: _State, tolerance: float, limit: int, least_ess: float) -> _State:
        """Descend until little is left to go, the weights become too uneven, or no step goes down."""
        step, iterations = 1.0, 0
        while now.slope > tolerance and iterations < limit and now.ess >= least_ess:
            while True:
                new = self.state(
                    now.log_weights + step * now.direction, now.density.towards(now.potential.slope, step)
                )
                if new is not None and _is_lower(new, now, step) and new.ess >= 0.5 * least_ess:
                    break
                step *= 0.5
                if step < 1e-7:
                    return replace(now, iterations=iterations)
            now, iterations = new, iterations + 1
            step = min(1.0, 1.5 * step)
        return replace(now, iterations=iterations)

    def residual(self, state: _State) -> float:
        """Return how far the kernel is from the one that it leads to, relative."""
        after = state.log_weights + state.direction
        change = self.gram(np.exp(after - logsumexp(after))) - state.gram
        return float(np.linalg.norm(change) / np.linalg.norm(state.gram))

    def second_moment(self, state: _State, start: _Start) -> Float[np.ndarray, "r r"]:
        """Return E_p[u u'], with the same control as the kernel."""
        u = self._particles.u[self._part]
        moment = product(u.T, state.weights[:, None] * u)
        if self._particles.gram is not None:
            moment += start.covariance - product(u.T, u) / len(u)
        return symmetric(moment)


def _is_lower(new: _State, now: _State, step: float) -> bool:
    """Whether a step went down far enough; where round-off hides it, by what is left to go."""
    change, round_off = new.free_energy - now.free_energy, 1e-10 * abs(now.free_energy)
    return change <= -1e-4 * step * now.slope**2 or (abs(change) <= round_off and new.slope < now.slope)


@dataclass(frozen=True)
class _Run:
    """Where the descent ended."""

    status: Status
    particles: _Particles
    state: _State
    errors: _Errors
    residual: float
    iterations: int
    renewals: int
    second_moment: Float[np.ndarray, "r r"]


class _Errors(NamedTuple):
    ratio: float
    ratio_error: float
    gram_error: Float[np.ndarray, "n n"]


def _solve(
    problem: _Problem,
    start: _Start,
    measure: Callable[[Float[np.ndarray, "n n"]], float],
    most: int,
    asked: float,
    limit: int,
    rng: np.random.Generator,
) -> _Run | None:
    """Descend, renewing particles where few of them count and adding to them while the error is too large."""
    tolerance = max(1e-3 * asked, 1e-8)
    largest = 1 << (most // POPULATIONS).bit_length() - 1
    size = min(max(FEWEST, 1 << (4 * len(problem.z) - 1).bit_length()), largest)
    particles, gaussian = _gaussian(problem, start, size, rng), True
    density = particles.density
    iterations = renewals = 0
    while True:
        ensemble = _Ensemble(problem, particles)
        state = ensemble.resume(density) or ensemble.resume(particles.density)
        if state is None:
            return None
        least = EFFECTIVE * len(state.weights)
        state = ensemble.descend(state, tolerance, limit - iterations, least)
        iterations, density = iterations + state.iterations, state.density
        errors, status = _Errors(measure(state.gram), np.inf, np.full_like(state.gram, np.inf)), None
        if (
            state.ess >= least
            and state.slope > tolerance
            and iterations < limit
            and particles.gram is not None
        ):
            particles = replace(
                particles, gram=None
            )  # the control can take a kernel out of what is positive definite
            continue
        if state.slope > tolerance and (state.ess >= least or iterations >= limit):
            status = Status.MAX_ITERATIONS
        elif state.ess >= least:
            errors = _errors(problem, particles, state, measure, tolerance, limit)
            if not np.isfinite(errors.ratio):
                status = Status.NOT_FINITE
            elif errors.ratio_error <= asked * abs(errors.ratio):
                status = Status.CONVERGED
            elif 2 * size > largest:
                status = Status.TOO_FEW_SAMPLES
            else:
                size = min(4 * size, largest)
        if status is not None:
            return _Run(
                status,
                particles,
                state,
                errors,
                ensemble.residual(state),
                iterations,
                renewals,
                ensemble.second_moment(state, start),
            )
        if gaussian and state.ess >= least:
            particles = _gaussian(problem, start, size, rng)
        else:
            particles, gaussian = _renewed(problem, particles, state, size, rng), False
            density, renewals = particles.density, renewals + 1


def _errors(
    problem: _Problem,
    particles: _Particles,
    state: _State,
    measure: Callable[[Float[np.ndarray, "n n"]], float],
    tolerance: float,
    limit: int,
) -> _Errors:
    """Solve on every population alone: their spread gives the error of the solution on all.

    A solution on m particles has a bias of order 1/m, so that the mean of the populations is as many times further off
    than the solution on all as there are populations; that estimate of the bias is part of the error.
    """
    grams = []
    for part in map(particles.population, range(POPULATIONS)):
        alone = _Ensemble(problem, particles, part)
        own = alone.state(state.log_weights[part], state.density)
        if own is None:  # too few for a kernel that is positive definite
            return _Errors(measure(state.gram), np.inf, np.full_like(state.gram, np.inf))
        grams.append(alone.descend(own, tolerance, limit, 0.0).gram)
    ratio = measure(state.gram)
    ratios = np.array([measure(gram) for gram in grams])
    return _Errors(
        ratio,
        float(_standard_error(ratios, ratio)),
        _standard_error(np.array(grams), state.gram),
    )


def _standard_error(alone: np.ndarray, together: np.ndarray | float) -> np.ndarray:
    bias = (alone.mean(axis=0) - together) / (POPULATIONS - 1)
    return np.hypot(alone.std(axis=0, ddof=1) / np.sqrt(POPULATIONS), bias)


def _result(
    run: _Run | None,
    problem: _Problem,
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
            renewals=0,
            free_energy=np.nan,
            weights=none,
            _second_moment=unknown,
            _basis=basis,
            _prior=prior,
        )
    state = run.state
    u = run.particles.u[_systematic(state.weights, SAMPLE, rng)]
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
        renewals=run.renewals,
        free_energy=state.free_energy,
        weights=np.sqrt(prior[1]) * u,
        _second_moment=run.second_moment,
        _basis=basis,
        _prior=prior,
    )
