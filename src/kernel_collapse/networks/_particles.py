"""Particles of a layer: scrambled Sobol points of a Gaussian, in units in which the prior is N(0, I)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from kernel_collapse._linalg import eigh, product, symmetric
from kernel_collapse._shapes import Float

__all__ = ["POPULATIONS", "Gaussian", "Particles", "draw", "forms", "log_gaussian", "systematic"]

#: Independent populations: their spread is the Monte Carlo error.
POPULATIONS = 8


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian density of mean zero; of the first layer its kernel too, where that is known in closed form."""

    covariance: Float[np.ndarray, "r r"]
    gram: Float[np.ndarray, "n n"] | None = None

    @property
    def divergence(self) -> float:
        """KL to the prior."""
        rank = len(self.covariance)
        return 0.5 * float(np.trace(self.covariance) - rank - np.linalg.slogdet(self.covariance)[1])


@dataclass(frozen=True)
class Particles:
    """Particles, population after population, with two densities: a Gaussian, and that which they are drawn from."""

    u: Float[np.ndarray, "p r"]
    log_gaussian: Float[np.ndarray, " p"]
    log_density: Float[np.ndarray, " p"]

    def population(self, i: int) -> slice:
        size = len(self.u) // POPULATIONS
        return slice(i * size, (i + 1) * size)

    def part(self, i: int) -> Particles:
        here = self.population(i)
        return Particles(self.u[here], self.log_gaussian[here], self.log_density[here])


def draw(
    stretch: Float[np.ndarray, "n r"],
    covariance: Float[np.ndarray, "r r"],
    size: int,
    rng: np.random.Generator,
) -> Particles:
    """Return scrambled Sobol points, each population with scramblings of its own.

    `size` points are of the Gaussian of that covariance and an eighth as many of one that is nowhere narrower than the
    prior, whose tails p has, and somewhat wider than both: what p has where there are no points, no error would show.
    The pre-activations of a particle u are stretch u.
    """
    rank = len(covariance)
    wide = (1 + 2 / np.sqrt(rank)) * _widened(covariance)
    mixture = [(covariance, size), (wide, size // 8)]
    factors = [np.linalg.cholesky(c) for c, _ in mixture]
    # The first coordinates of the points, which fill their space best, go where the pre-activations vary most.
    factors = [f @ np.linalg.svd(stretch @ f, full_matrices=True)[2].T for f in factors]
    u = np.concatenate(
        [
            product(_normal_points(rank, many, rng), factor.T)
            for _ in range(POPULATIONS)
            for factor, (_, many) in zip(factors, mixture, strict=True)
        ]
    )
    narrow, broad = (log_gaussian(u, c) for c, _ in mixture)
    shares = np.array([size, size // 8]) / (size + size // 8)
    log_density = np.logaddexp(narrow + np.log(shares[0]), broad + np.log(shares[1]))
    return Particles(u, narrow, log_density)


def _normal_points(rank: int, many: int, rng: np.random.Generator) -> Float[np.ndarray, "p r"]:
    """Return scrambled Sobol points, made normal; their resolution is 2^-30, and 0 would be infinite."""
    points = qmc.Sobol(rank, seed=rng).random_base2(many.bit_length() - 1)
    return ndtri(np.maximum(points, 2.0**-32))


def log_gaussian(
    u: Float[np.ndarray, "p r"], covariance: Float[np.ndarray, "r r"] | None = None
) -> Float[np.ndarray, " p"]:
    """Return the logarithm of the density N(0, covariance), of the prior N(0, I) by default."""
    constant = -0.5 * u.shape[1] * np.log(2 * np.pi)
    if covariance is None:
        return constant - 0.5 * np.einsum("ij,ij->i", u, u)
    log_determinant = float(np.linalg.slogdet(covariance)[1])
    return constant - 0.5 * log_determinant - 0.5 * forms(symmetric(np.linalg.inv(covariance)), u)


def forms(matrix: Float[np.ndarray, "m m"], rows: Float[np.ndarray, "p m"]) -> Float[np.ndarray, " p"]:
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
