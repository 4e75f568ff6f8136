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
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, ndtri
from scipy.stats import qmc

from kernel_collapse import _validate
from kernel_collapse._linalg import Cholesky, eigh, mirror, one_blas_thread, product, symmetric
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
#: States from which a step is extrapolated.
MEMORY = 8
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
        |E_p[phi phi'] - gram| / |gram| in the Frobenius norm, p being made with A of `gram`, on the
        particles at hand; and |gram_error| / |gram|, what their finite number leaves open.
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


# -- the problem, in units in which the prior of a weight vector is N(0, I)


class _Potential(NamedTuple):
    """(1/N) [ 1/2 tr Y'T + (k/2) logdet M ] and twice its derivative in the gram, (sigma_a^2 / N) A."""

    value: float
    slope: Float[np.ndarray, "n n"]


@dataclass(frozen=True)
class _Problem:
    """Inputs z = sigma_w X / sqrt(d), targets and hyper-parameters."""

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
        a = k * mirror(factor.inverse()) - dual @ dual.T
        return _Potential(value / self.width, self.readout_variance / self.width * a)


@dataclass(frozen=True)
class _Start:
    """A Gaussian density of mean zero, and its kernel where that is known in closed form."""

    covariance: Float[np.ndarray, "r r"]
    gram: Float[np.ndarray, "n n"] | None = None

    @property
    def divergence(self) -> float:
        """KL to the prior."""
        rank = len(self.covariance)
        return 0.5 * float(np.trace(self.covariance) - rank - np.linalg.slogdet(self.covariance)[1])


def _start(problem: _Problem, activation: str | Activation | _activations.Phi) -> _Start | None:
    """Return the solution of the equations of state; the prior for a user's function; None if there is neither."""
    rank = problem.z.shape[1]
    if not isinstance(activation, str | Activation):
        return _Start(np.eye(rank))
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
    """Particles, population after population, with two densities: a Gaussian, and that which they are drawn from."""

    u: Float[np.ndarray, "p r"]
    phi: Float[np.ndarray, "p n"]
    log_gaussian: Float[np.ndarray, " p"]
    log_density: Float[np.ndarray, " p"]

    def population(self, i: int) -> slice:
        size = len(self.u) // POPULATIONS
        return slice(i * size, (i + 1) * size)

    def part(self, i: int) -> _Particles:
        here = self.population(i)
        return _Particles(self.u[here], self.phi[here], self.log_gaussian[here], self.log_density[here])


def _draw(
    problem: _Problem, covariance: Float[np.ndarray, "r r"], size: int, rng: np.random.Generator
) -> _Particles:
    """Return scrambled Sobol points, each population with scramblings of its own.

    `size` points are of the Gaussian of that covariance and an eighth as many of one that is nowhere narrower than the
    prior, whose tails p has, and somewhat wider than both: what p has where there are no points, no error would show.
    """
    rank = len(covariance)
    wide = (1 + 2 / np.sqrt(rank)) * _widened(covariance)
    mixture = [(covariance, size), (wide, size // 8)]
    factors = [np.linalg.cholesky(c) for c, _ in mixture]
    # The first coordinates of the points, which fill their space best, go where the pre-activations vary most.
    factors = [f @ np.linalg.svd(problem.z @ f, full_matrices=True)[2].T for f in factors]
    u = np.concatenate(
        [
            product(_normal_points(rank, many, rng), factor.T)
            for _ in range(POPULATIONS)
            for factor, (_, many) in zip(factors, mixture, strict=True)
        ]
    )
    log_gaussian, log_wide = (_log_gaussian(u, c) for c, _ in mixture)
    shares = np.array([size, size // 8]) / (size + size // 8)
    log_density = np.logaddexp(log_gaussian + np.log(shares[0]), log_wide + np.log(shares[1]))
    return _Particles(u, problem.features(u), log_gaussian, log_density)


def _normal_points(rank: int, many: int, rng: np.random.Generator) -> Float[np.ndarray, "p r"]:
    """Return scrambled Sobol points, made normal; their resolution is 2^-30, and 0 would be infinite."""
    points = qmc.Sobol(rank, seed=rng).random_base2(many.bit_length() - 1)
    return ndtri(np.maximum(points, 2.0**-32))


def _log_gaussian(
    u: Float[np.ndarray, "p r"], covariance: Float[np.ndarray, "r r"] | None = None
) -> Float[np.ndarray, " p"]:
    """Return the logarithm of the density N(0, covariance), of the prior N(0, I) by default."""
    constant = -0.5 * u.shape[1] * np.log(2 * np.pi)
    if covariance is None:
        return constant - 0.5 * np.einsum("ij,ij->i", u, u)
    log_determinant = float(np.linalg.slogdet(covariance)[1])
    return constant - 0.5 * log_determinant - 0.5 * _forms(symmetric(np.linalg.inv(covariance)), u)


def _forms(matrix: Float[np.ndarray, "m m"], rows: Float[np.ndarray, "p m"]) -> Float[np.ndarray, " p"]:
    """Return row' matrix row for every row."""
    return np.einsum("ij,ij->i", rows, product(rows, matrix))


def _widened(covariance: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "r r"]:
    """Return the covariance, made at least that of the prior in every direction."""
    values, vectors = eigh(covariance)
    return symmetric((vectors * np.maximum(values, 1.0)) @ vectors.T)


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
    free_energy: float
    iterations: int = 0

    @property
    def slope(self) -> float:
        """Standard deviation of what is left to go, in logarithms of the density."""
        return float(np.sqrt(np.einsum("i,i,i->", self.weights, self.direction, self.direction)))

    @property
    def ess(self) -> float:
        return float(1.0 / np.einsum("i,i->", self.weights, self.weights))


class _Ensemble:
    """F as a function of the weights of given particles.

    What the particles say of the Gaussian is corrected to what is known of it in closed form, and what they say of p by
    as much. This takes away most of the error of p while it is close to the Gaussian, and all where the two are equal.
    """

    def __init__(self, problem: _Problem, particles: _Particles, known: _Start | None) -> None:
        self._problem, self._u, self._phi = problem, particles.u, particles.phi
        # Logarithm of the prior over the density of the particles, each of which stands for 1/P of that.
        self._log_prior = _log_gaussian(particles.u) - particles.log_density - np.log(len(particles.u))
        log_weights = particles.log_gaussian - particles.log_density
        self._log_gaussian = log_weights - logsumexp(log_weights)
        self._gram, self._divergence, self._second_moment = 0.0, 0.0, 0.0
        if known is not None and known.gram is not None:
            weights = np.exp(self._log_gaussian)
            self._gram, self._divergence, self._second_moment = (
                known.gram - self.gram(weights),
                known.divergence - self._divergence_from_prior(self._log_gaussian),
                known.covariance - self.second_moment(weights),
            )

    def gram(self, weights: Float[np.ndarray, " p"]) -> Float[np.ndarray, "n n"]:
        """Return E[phi phi'], symmetric to the last bit."""
        return symmetric(product(self._phi.T, weights[:, None] * self._phi) + self._gram)

    def second_moment(self, weights: Float[np.ndarray, " p"]) -> Float[np.ndarray, "r r"]:
        """Return E[u u']."""
        return symmetric(product(self._u.T, weights[:, None] * self._u) + self._second_moment)

    def _divergence_from_prior(self, log_weights: Float[np.ndarray, " p"]) -> float:
        gap = np.einsum("i,i->", np.exp(log_weights), log_weights - self._log_prior)
        return float(gap) + self._divergence

    def gaussian(self) -> _State | None:
        """Return the weights of the Gaussian."""
        return self.state(self._log_gaussian)

    def state(self, log_weights: Float[np.ndarray, " p"]) -> _State | None:
        """Return None where there is no such kernel in float64."""
        log_weights = log_weights - logsumexp(log_weights)
        weights = np.exp(log_weights)
        gram = self.gram(weights)
        potential = self._problem.potential(gram)
        if potential is None:
            return None
        direction = self._log_prior - 0.5 * _forms(potential.slope, self._phi) - log_weights
        direction -= np.einsum("i,i->", weights, direction)
        free_energy = self._divergence_from_prior(log_weights) + potential.value
        return _State(log_weights, weights, gram, potential, direction, free_energy)

    def descend(self, now: _State, tolerance: float, limit: int, least_ess: float) -> _State:
        """Descend until little is left to go, the weights become too uneven, or no step goes down.

        Anderson's extrapolation from the last states is taken where it goes down, else a step along the direction.
        """
        step, iterations = 1.0, 0
        past = [now]
        while now.slope > tolerance and iterations < limit and now.ess >= least_ess:
            new = self._extrapolated(past) if len(past) > 1 else None
            if new is None or new.ess < 0.5 * least_ess or not _is_lower(new, now, 0.0):
                past = [now]
                new = self.state(now.log_weights + step * now.direction)
                while new is None or new.ess < 0.5 * least_ess or not _is_lower(new, now, step):
                    step *= 0.5
                    if step < 1e-7:
                        return replace(now, iterations=iterations)
                    new = self.state(now.log_weights + step * now.direction)
                step = min(1.0, 2.0 * step)
            now, iterations = new, iterations + 1
            past = [*past[-MEMORY:], now]
        return replace(now, iterations=iterations)

    def _extrapolated(self, past: list[_State]) -> _State | None:
        """Return the combination of where all of them lead to whose directions, combined likewise, are smallest."""
        now = past[-1]
        root = np.sqrt(now.weights)
        changes = np.array([(state.direction - now.direction) * root for state in past[:-1]])
        products = np.einsum("ip,jp->ij", changes, changes)
        right = np.einsum("ip,p->i", changes, now.direction * root)
        scale = np.sqrt(np.diag(products))
        if not scale.all():
            return None
        part = -np.linalg.lstsq(products / np.outer(scale, scale), right / scale, rcond=1e-12)[0] / scale
        ends = np.array([state.log_weights + state.direction for state in past])
        return self.state(np.einsum("i,ip->p", np.append(part, 1.0 - part.sum()), ends))

    def residual(self, state: _State) -> float:
        """Return how far the kernel is from the one that it leads to, relative."""
        after = state.log_weights + state.direction
        change = self.gram(np.exp(after - logsumexp(after))) - state.gram
        return float(np.linalg.norm(change) / np.linalg.norm(state.gram))

    def ess(self, potential: _Potential) -> float:
        """Return the effective number of particles under the density that a potential found elsewhere leads to."""
        log_weights = self._log_prior - 0.5 * _forms(potential.slope, self._phi)
        return float(np.exp(2 * logsumexp(log_weights) - logsumexp(2 * log_weights)))


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
    """Descend on particles of a Gaussian, and on those of the second moment found, until the error is small enough.

    Where the weights become too uneven on the way, particles of the second moment so far go on from there.
    """
    tolerance = max(1e-3 * asked, 1e-8)
    largest = 1 << (most // POPULATIONS).bit_length() - 1
    size = min(max(FEWEST, 1 << (4 * len(problem.z) - 1).bit_length()), largest)
    covariance, known = start.covariance, start if start.gram is not None else None
    particles = _draw(problem, covariance, size, rng)
    iterations = draws = 0
    while True:
        ensemble = _Ensemble(problem, particles, known)
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
        particles = _draw(problem, covariance, size, rng)


def _errors(
    problem: _Problem,
    particles: _Particles,
    known: _Start | None,
    state: _State,
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
    together = _Ensemble(problem, particles, known)
    grams = []
    for i in range(POPULATIONS):
        ensemble = _Ensemble(problem, particles.part(i), known)
        own = ensemble.state(state.log_weights[particles.population(i)])
        alone = own and ensemble.descend(own, tolerance, limit, 0.0)
        if alone is None or together.ess(alone.potential) < HOLDS * state.ess:
            return _unknown(state, measure)
        grams.append(alone.gram)
    ratio = measure(state.gram)
    ratio_error = _standard_error(np.array([measure(gram) for gram in grams]), ratio)
    return _Errors(ratio, float(ratio_error), _standard_error(np.array(grams), state.gram))


def _unknown(state: _State, measure: Callable[[Float[np.ndarray, "n n"]], float]) -> _Errors:
    return _Errors(measure(state.gram), np.inf, np.full_like(state.gram, np.inf))


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
        free_energy=state.free_energy,
        weights=np.sqrt(prior[1]) * u,
        _second_moment=run.second_moment,
        _basis=basis,
        _prior=prior,
    )
