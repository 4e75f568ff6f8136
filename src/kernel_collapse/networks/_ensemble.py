"""The free energy of the mean field on weighted particles, and its descent; the mathematics is in `mean_field`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, ndtri
from scipy.stats import qmc

from kernel_collapse._linalg import Cholesky, eigh, mirror, product, symmetric

__all__ = [
    "POPULATIONS",
    "Ensemble",
    "Gaussian",
    "Particles",
    "Potential",
    "Problem",
    "State",
    "draw",
    "systematic",
]

#: Independent populations: their spread is the Monte Carlo error.
POPULATIONS = 8
#: States from which a step is extrapolated.
MEMORY = 8


# -- the problem, in units in which the prior of a weight vector is N(0, I)


class Potential(NamedTuple):
    """(1/N) [ 1/2 tr Y'T + (k/2) logdet M ] and twice its derivative in the gram, (sigma_a^2 / N) A."""

    value: float
    slope: Float[np.ndarray, "n n"]


@dataclass(frozen=True)
class Problem:
    """Inputs z = sigma_w X / sqrt(d), targets and hyper-parameters."""

    z: Float[np.ndarray, "n r"]
    targets: Float[np.ndarray, "n k"]
    phi: Callable[..., jax.Array]
    width: float
    readout_variance: float
    noise_variance: float

    def features(self, u: Float[np.ndarray, "p r"]) -> Float[np.ndarray, "p n"]:
        return np.asarray(self.phi(jnp.asarray(product(u, self.z.T))))

    def potential(self, gram: Float[np.ndarray, "n n"]) -> Potential | None:
        """Return None where M is not positive definite in float64."""
        if not np.isfinite(gram).all():
            return None
        n, k = self.targets.shape
        factor = Cholesky(self.readout_variance * gram + self.noise_variance * np.eye(n))
        if not factor.ok:
            return None
        dual = factor.solve(self.targets)
        value = 0.5 * float(np.einsum("ij,ij->", self.targets, dual)) + k * float(np.log(factor.pivots).sum())
        a = k * mirror(factor.upper_inverse()) - dual @ dual.T
        return Potential(value / self.width, self.readout_variance / self.width * a)


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian density of mean zero, and its kernel where that is known in closed form."""

    covariance: Float[np.ndarray, "r r"]
    gram: Float[np.ndarray, "n n"] | None = None

    @property
    def divergence(self) -> float:
        """KL to the prior."""
        rank = len(self.covariance)
        return 0.5 * float(np.trace(self.covariance) - rank - np.linalg.slogdet(self.covariance)[1])


# -- particles


@dataclass(frozen=True)
class Particles:
    """Particles, population after population, with two densities: a Gaussian, and that which they are drawn from."""

    u: Float[np.ndarray, "p r"]
    phi: Float[np.ndarray, "p n"]
    log_gaussian: Float[np.ndarray, " p"]
    log_density: Float[np.ndarray, " p"]

    def population(self, i: int) -> slice:
        size = len(self.u) // POPULATIONS
        return slice(i * size, (i + 1) * size)

    def part(self, i: int) -> Particles:
        here = self.population(i)
        return Particles(self.u[here], self.phi[here], self.log_gaussian[here], self.log_density[here])


def draw(
    problem: Problem, covariance: Float[np.ndarray, "r r"], size: int, rng: np.random.Generator
) -> Particles:
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
    return Particles(u, problem.features(u), log_gaussian, log_density)


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


def systematic(weights: Float[np.ndarray, " p"], size: int, rng: np.random.Generator) -> np.ndarray:
    """Return indices in proportion to the weights, by one random offset."""
    sums = np.cumsum(weights)
    return np.searchsorted(sums / sums[-1], (np.arange(size) + rng.random()) / size).clip(0, len(weights) - 1)


# -- the descent


@dataclass(frozen=True)
class State:
    """Weights of particles with all that follows from them."""

    log_weights: Float[np.ndarray, " p"]
    weights: Float[np.ndarray, " p"]
    gram: Float[np.ndarray, "n n"]
    potential: Potential
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


class Ensemble:
    """F as a function of the weights of given particles.

    What the particles say of the Gaussian is corrected to what is known of it in closed form, and what they say of p by
    as much. This takes away most of the error of p while it is close to the Gaussian, and all where the two are equal.
    """

    def __init__(self, problem: Problem, particles: Particles, known: Gaussian | None) -> None:
        self.particles = particles
        self._problem, self._known = problem, known
        self._u, self._phi = particles.u, particles.phi
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

    def part(self, i: int) -> Ensemble:
        """Return the ensemble of one population."""
        return Ensemble(self._problem, self.particles.part(i), self._known)

    def gram(self, weights: Float[np.ndarray, " p"]) -> Float[np.ndarray, "n n"]:
        """Return E[phi phi'], symmetric to the last bit."""
        return symmetric(product(self._phi.T, weights[:, None] * self._phi) + self._gram)

    def second_moment(self, weights: Float[np.ndarray, " p"]) -> Float[np.ndarray, "r r"]:
        """Return E[u u']."""
        return symmetric(product(self._u.T, weights[:, None] * self._u) + self._second_moment)

    def _divergence_from_prior(self, log_weights: Float[np.ndarray, " p"]) -> float:
        gap = np.einsum("i,i->", np.exp(log_weights), log_weights - self._log_prior)
        return float(gap) + self._divergence

    def gaussian(self) -> State | None:
        """Return the weights of the Gaussian."""
        return self.state(self._log_gaussian)

    def state(self, log_weights: Float[np.ndarray, " p"]) -> State | None:
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
        return State(log_weights, weights, gram, potential, direction, free_energy)

    def descend(self, now: State, tolerance: float, limit: int, least_ess: float) -> State:
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

    def _extrapolated(self, past: list[State]) -> State | None:
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

    def residual(self, state: State) -> float:
        """Return how far the kernel is from the one that it leads to, relative."""
        after = state.log_weights + state.direction
        change = self.gram(np.exp(after - logsumexp(after))) - state.gram
        return float(np.linalg.norm(change) / np.linalg.norm(state.gram))

    def ess(self, potential: Potential) -> float:
        """Return the effective number of particles under the density that a potential found elsewhere leads to."""
        log_weights = self._log_prior - 0.5 * _forms(potential.slope, self._phi)
        return float(np.exp(2 * logsumexp(log_weights) - logsumexp(2 * log_weights)))


def _is_lower(new: State, now: State, step: float) -> bool:
    """Whether a step went down far enough; where round-off hides it, by what is left to go."""
    change, round_off = new.free_energy - now.free_energy, 1e-10 * abs(now.free_energy)
    return change <= -1e-4 * step * now.slope**2 or (abs(change) <= round_off and new.slope < now.slope)
