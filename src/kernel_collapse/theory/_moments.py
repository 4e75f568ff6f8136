r"""What the traces need of a mixture, as sums over weights of one unit, and the traces from it.

With w the weights of a unit, b its bias and psi(x) what it adds to the kernel (K(x, x') = E_w,b <psi(x), psi(x')>)::

    NNGP  psi(x) = phi(u)                                       u = w.x + b
    NTK   psi(x) = sigma_w (phi(u), sigma_w/sqrt(d) phi'(u) x, sigma_b phi'(u))    and a constant, which drops out

everything follows from a_c = E_x psi(x) of each class and from the spread E_x |psi(x) - a_c|^2, both given (w, b). By
Stein's lemma E[phi'(u) x] = mu E phi' + S w E phi''. Centring
before anything is squared keeps the digits of small traces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.activations import Activation
from kernel_collapse.collapse import NC1, Weighting
from kernel_collapse.collapse._moments import Moments
from kernel_collapse.collapse._nc1 import from_moments
from kernel_collapse.collapse._round_off import Source
from kernel_collapse.theory import _conditional
from kernel_collapse.theory._mixture import Covariance, GaussianMixture, applied, span

__all__ = ["Network", "Problem", "Sizes", "add_up", "problem_of", "traces"]

#: Weights at a time: their few temporaries stay small.
CHUNK = 2**16
EPS = float(np.finfo(np.float64).eps)
SOURCE = Source("the expectations", "move the mixture or scale it, so that its classes are not as tight")


class Network(NamedTuple):
    """A network of one hidden layer and which of its kernels is asked for."""

    activation: Activation
    tangent: bool
    weight_variance: float
    bias_variance: float


class Sizes(NamedTuple):
    """Samples of each class: shares of all of them, and 1/n_c, which is 0 in the limit."""

    share: Float[np.ndarray, " C"]
    inverse: Float[np.ndarray, " C"]


@dataclass(frozen=True, eq=False)
class Problem:
    """A mixture in the coordinates that matter.

    If every covariance is isotropic these are the k coordinates in the span of the means and the length of what is
    left (e = k + 1); else all of them (e = d).
    """

    means: Float[np.ndarray, "C e"]
    covariances: tuple[Covariance, ...]
    traces: Float[np.ndarray, " C"]
    dim: int
    network: Network
    share: Float[np.ndarray, " C"]
    reduced: bool

    @property
    def scale(self) -> float:
        """Variance of a weight, sigma_w^2 / d."""
        return self.network.weight_variance / self.dim


def problem_of(mixture: GaussianMixture, network: Network, share: Float[np.ndarray, " C"]) -> Problem:
    """Return the problem in as few coordinates as there can be."""
    means = mixture.means
    if mixture.isotropic:
        inside = span(means)
        means = np.hstack([inside, np.zeros((len(means), 1))])
    return Problem(means, mixture.covariances, mixture.traces, mixture.dim, network, share, mixture.isotropic)


def add_up(
    problem: Problem,
    z: Float[np.ndarray, "N e"],
    bias: Float[np.ndarray, " N"],
    weights: Float[np.ndarray, " N"],
    level: int = 1,
) -> Float[np.ndarray, " S"]:
    """Return the sums over weights sigma_w/sqrt(d) z, in one row: see `traces` for what is in it."""
    total = np.zeros(len(problem.means) * (len(problem.means) + 2) + 1)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        for start in range(0, len(z), CHUNK):
            part = slice(start, start + CHUNK)
            total += _sums(problem, z[part], bias[part], weights[part], level)
    if not np.isfinite(total).all():
        raise InputError(
            f"the expectation for the activation {problem.network.activation.name}",
            "not finite",
            "one that grows slowly enough for Gaussian weights and inputs",
            "scale the data or weight_variance down, or take another activation",
        )
    return total


def _sums(
    problem: Problem,
    z: Float[np.ndarray, "N e"],
    bias: Float[np.ndarray, " N"],
    weights: Float[np.ndarray, " N"],
    level: int,
) -> Float[np.ndarray, " S"]:
    network, scale = problem.network, problem.scale
    w = np.sqrt(scale) * z
    features, spreads = [], []
    for c, (mu, covariance) in enumerate(zip(problem.means, problem.covariances, strict=True)):
        sw = applied(covariance, w)
        m, v = w @ mu + bias, np.einsum("ij,ij->i", w, sw)
        given = _conditional.conditional(network.activation, m, np.maximum(v, np.finfo(float).tiny), level)
        if not network.tangent:
            features.append(given.mean[:, None])
            spreads.append(given.variance)
            continue
        slopes = given.slope[:, None] * mu + given.curvature[:, None] * sw
        parts = [given.mean[:, None], np.sqrt(scale) * slopes]
        parts.append(np.sqrt(network.bias_variance) * given.slope[:, None])
        features.append(np.sqrt(network.weight_variance) * np.hstack(parts))
        if given.of_slopes is None:
            slope_spread = _slope_spread_by_dual(problem, c, z, parts)
        else:
            slope_spread = _slope_spread(problem, c, given.of_slopes, w, sw, v)
        spreads.append(network.weight_variance * (given.variance + slope_spread))
    stacked = np.stack(features)  # classes, weights, features
    overall = np.tensordot(problem.share, stacked, axes=1)
    squares = np.einsum("n,cnf,cnf->c", weights, stacked, stacked)
    stacked -= overall
    means = np.einsum("cnf,enf->ce", stacked * weights[:, None], stacked)
    return np.concatenate(
        [
            np.stack(spreads) @ weights,
            squares,
            [np.einsum("n,nf,nf->", weights, overall, overall)],
            means.ravel(),
        ]
    )


def _slope_spread(
    problem: Problem,
    c: int,
    given: _conditional.OfSlopes,
    w: Float[np.ndarray, "N e"],
    sw: Float[np.ndarray, "N e"],
    v: Float[np.ndarray, " N"],
) -> Float[np.ndarray, " N"]:
    """Return Var of (sigma_w/sqrt(d) phi'(u) x, sigma_b phi'(u)).

    x = mu + e z + y with e = S w / sqrt v, u = m + sqrt(v) z and y independent of z, of variance tr S - |e|^2.
    """
    mu = problem.means[c]
    root = np.sqrt(np.maximum(v, np.finfo(float).tiny))
    along = (sw @ mu) / root
    length = np.einsum("ij,ij->i", sw, sw) / root**2
    vector = (
        (mu @ mu) * given.variance
        + 2.0 * along * given.cov
        + length * given.z_variance
        + (problem.traces[c] - length) * given.square
    )
    return problem.scale * vector + problem.network.bias_variance * given.variance


def _slope_spread_by_dual(
    problem: Problem, c: int, z: Float[np.ndarray, "N e"], parts: list[Float[np.ndarray, "N _"]]
) -> Float[np.ndarray, " N"]:
    """Return the same in the mean over weights: E_x[q kappa_c(q, q, q)] less the square of the mean feature.

    The standard normal z that makes the weights makes a sample as well, mu + S^(1/2) z; only its length counts.
    """
    network, covariance = problem.network, problem.covariances[c]
    root = np.linalg.cholesky(covariance).T if np.ndim(covariance) == 2 else np.sqrt(covariance)
    x = problem.means[c] + applied(root, z)
    q = problem.scale * np.einsum("ij,ij->i", x, x) + network.bias_variance
    kappa_c = np.asarray(network.activation.kappa_c(q, q, q, np.zeros_like(q)))
    return q * kappa_c - sum(np.einsum("ij,ij->i", part, part) for part in parts[1:])


def traces(
    row: Float[np.ndarray, " S"],
    sizes: Sizes,
    weighting: Weighting,
    errors: tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]] | None = None,
) -> NC1:
    """Return the traces from sums over weights that add up to 1.

    `row` holds, of C classes: the spreads (C), the squared mean features (C), that of all classes together (1), and
    the inner products of the mean features about the latter (C x C). The mean of n_c samples is off by spread / n_c.
    `errors` are bounds of those of spreads and inner products, where these are not sums of what was centred before.
    """
    classes = len(sizes.share)
    spread, squares = row[:classes], row[classes : 2 * classes]
    means = row[2 * classes + 1 :].reshape(classes, classes)
    off = spread * sizes.inverse
    largest = spread + squares
    # "published" subtracts what is not centred.
    error = 8.0 * EPS * largest if weighting == "published" else (8.0 * EPS) ** 2 * largest
    of_spread, of_product = (error, error) if errors is None else errors
    moments = Moments(
        share=sizes.share,
        seen_share=sizes.share,
        spread=spread - off,
        spread_error=np.where(sizes.inverse == 1.0, 0.0, of_spread),  # a sample is at no distance from itself
        products=means + np.diag(off),
        product_error=0.5 * (of_product[:, None] + of_product),
        source=SOURCE,
        class_squares=squares + off,
    )
    return from_moments(moments, weighting)
