"""How many orders an expansion needs, and what is left if the most that are allowed are not enough.

All is measured in units of the dual of phi itself, on its diagonal: the two parts psi and P that phi is made of may be
larger than it is, and what they leave is to be small beside phi, not beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._shapes import Float
from kernel_collapse.activations._base import Array
from kernel_collapse.activations._hermite import nodes_for, polynomials, rule_for
from kernel_collapse.activations._truncated import density

if TYPE_CHECKING:
    from kernel_collapse.activations._expansion import Expanded

__all__ = [
    "Orders",
    "correlation_of",
    "extremes",
    "orders_for",
    "rounded",
    "rounded_correlation",
    "unseen_by",
]

#: Orders that are tried first.
FIRST_ORDERS = 62
EPS = float(np.finfo(np.float64).eps)
#: Functions vary where people make them vary, whatever the variance: a rule whose nodes lie this far apart there, or
#: more, is held against the function on a grid of its own.
REACH, STEP = 40.0, 1.0 / 16.0
WIDE = 8.0
#: A function of the user's is looked at in so many places within thirteen deviations, before a rule of some thousand
#: nodes is believed. What is as wide as 5e-5 of a deviation is seen, and nothing that is seen is left out.
PLACES, SPAN, PIECE = 2**19, 13.0, 2**15


class Orders(NamedTuple):
    """How far a sum goes, and the size of the rule that its coefficients take."""

    enough: int
    size: int
    left: float = 0.0  # what is missing if it is not enough


@lru_cache(maxsize=4096)
def orders_for(
    activation: Expanded, variances: tuple[float, ...], correlation: float, fixed: int | None
) -> Orders:
    """Return how many orders are needed, or what is left at the most that are allowed."""
    if fixed is not None:
        return _remainder(activation, variances, correlation, fixed)._replace(enough=fixed)
    orders = FIRST_ORDERS
    while True:
        found = _remainder(activation, variances, correlation, orders)
        orders = 2 * orders + 2  # with two to spare, for phi'', the size of a rule
        if found.left == 0.0 or orders > activation.most_orders:
            return found


def _remainder(activation: Expanded, variances: Sequence[float], correlation: float, orders: int) -> Orders:
    """Return how many of the orders are enough, and what all of them leave, in units of the diagonal."""
    q, tail = np.array(variances), activation.tail
    size = rule_for(orders + 2).orders
    series, moment, whole = activation.coefficients(q, orders + 2, size)
    smooth = np.abs(series.smooth)
    both, of_phi = smooth, smooth
    if series.kinked is not None:
        both, of_phi = smooth + 2.0 * np.abs(series.kinked), series.smooth + series.kinked
    # kappa_c has a factor m more than kappa; both are compared with their diagonals. A jump leaves kappa alone.
    m = np.ones((orders + 2, 1)) if activation.jumps else np.arange(orders + 2.0)[:, None]
    power = correlation ** np.arange(orders + 2.0)[:, None]
    scale = np.maximum(np.sum(m * of_phi * of_phi * power, axis=0), whole)
    scale = np.where(scale > 0, scale, 1.0)
    missing = np.maximum(moment - np.sum(smooth * smooth, axis=0), 0.0)
    # round-off of Parseval's sum is no tail
    missing = np.where(missing < 1e-14 * moment, 0.0, missing) * orders * correlation**orders / scale
    terms = m * smooth * both * power / scale
    # Beyond the orders at hand terms of a kink fall like a power of the order.
    beyond = missing if series.kinked is None else missing + orders * terms[-8:].max(axis=0)
    tails = (np.cumsum(terms[::-1], axis=0)[::-1] + beyond).max(axis=1)
    enough = np.flatnonzero(tails[:orders] <= 0.3 * tail)
    finer = np.abs(_finer_moment(activation, q, 2 * size) - moment) - 8.0 * EPS * moment
    if len(enough) and activation.of_the_user and (finer / scale).max() <= 0.1 * tail:
        finer = np.abs(_moments_of_many(activation, q) - moment) - 64.0 * EPS * moment
    coarse = float((finer / scale).max())
    if coarse > 0.1 * tail:  # what varies between the nodes is in no coefficient, whatever the correlation
        return Orders(orders, size, max(coarse, 10.0 * tail))
    if len(enough) == 0:
        return Orders(orders, size, float(tails[orders - 1]))
    found = max(int(enough[0]), 5 if activation.kinks else 2)  # psi may be a polynomial
    # What is added in the one part and subtracted in the other leaves its round-off.
    terms_left = np.count_nonzero(smooth[:found] > 1e-14 * np.sqrt(moment), axis=0)
    of_kappa = np.where(whole > 0, whole, scale)
    lost = float((2.0 * EPS * terms_left * moment / of_kappa).max()) if activation.kinks else 0.0
    unseen = max((_unseen(activation, value, found, size) for value in q if value > WIDE**2), default=0.0)
    if max(lost, unseen) > tail:
        return Orders(orders, size, max(lost, unseen))
    return Orders(found, size)


def _finer_moment(activation: Expanded, q: Float[np.ndarray, " k"], size: int) -> Float[np.ndarray, " k"]:
    """Return E psi^2 by the nodes of a larger rule."""
    nodes, weights = nodes_for(size)
    points = np.sqrt(q[:, None]) * nodes
    total = np.zeros(len(q))
    for side in (points, -points):
        with np.errstate(over="ignore", invalid="ignore"):
            total += (activation.smooth_part(side) ** 2) @ weights
    return total


def _moments_of_many(activation: Expanded, q: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    return np.array([_moment_of_many(activation, float(value)) for value in q])


@lru_cache(maxsize=4096)
def _moment_of_many(activation: Expanded, q: float) -> float:
    """Return E psi^2 by midpoints, which are exact for what is smooth on their scale and miss nothing wider."""
    step, root, total = 2.0 * SPAN / PLACES, np.sqrt(q), 0.0
    for start in range(0, PLACES, PIECE):
        z = -SPAN + step * (np.arange(start, start + PIECE) + 0.5)
        with np.errstate(over="ignore", invalid="ignore"):
            total += float(activation.smooth_part(root * z) ** 2 @ (step * density(z)))
    return total


def unseen_by(activation: Expanded, q: Float[np.ndarray, " k"], size: int) -> Float[np.ndarray, " k"]:
    """Return the share of E psi^2 that the rule of that size misses."""
    seen, whole = _finer_moment(activation, q, size), _moments_of_many(activation, q)
    return np.abs(seen - whole) / np.maximum(np.maximum(seen, whole), 1e-300)


def _unseen(activation: Expanded, q: float, orders: int, size: int) -> float:
    """Return what no node of the rule sees of kappa and kappa_c, as a share of them: of a bump at 5, say.

    It is the integral over [-40, 40] of the square of psi less its series, and of the square of its slope.
    """
    series, _, whole = activation.coefficients(np.array([q]), orders, size)
    root, x = np.sqrt(q), np.arange(-REACH, REACH + STEP, STEP)
    weight = density(x / root) * STEP / root
    gap = activation.smooth_part(x) - polynomials(x / root, orders).T @ series.smooth[:, 0]
    lost = float(np.sum(gap**2 * weight))
    share = lost / max(float(whole[0]), lost, 1e-300)
    if activation.jumps:
        return share
    of_phi = series.smooth[:, 0] if series.kinked is None else series.smooth[:, 0] + series.kinked[:, 0]
    steep = float(np.sum(np.arange(orders) * of_phi**2)) / q
    lost = float(np.sum(np.gradient(gap, STEP) ** 2 * weight))
    return max(share, lost / max(steep, lost, 1e-300))


def extremes(q: Array) -> Float[np.ndarray, " k"]:
    """Return the least and the largest variance: coefficients change slowly with them."""
    values = _arrays.read(q) if _arrays.is_foreign(q) else q
    if values.size == 0:
        return np.zeros(0)
    low, high = float(values.min()), float(values.max())
    # rounded up to two digits, so that the tiles of a matrix ask the same question
    return np.array([rounded(low), rounded(high)])


def correlation_of(q1: Array, q2: Array, c: Array) -> Array:
    """Return c / sqrt(q1 q2), from -1 to 1; 0 where a variance is 0."""
    xp = _arrays.namespace(q1, q2, c)
    rho = c
    for q in (q1, q2):  # one after the other, for their product may be no number
        rho = xp.where(q > 0, rho / xp.sqrt(xp.where(q > 0, q, xp.ones_like(q))), xp.zeros_like(rho))
    return xp.minimum(xp.maximum(rho, -1.0 + 0.0 * rho), 1.0 + 0.0 * rho)


def rounded_correlation(rho: Array) -> float:
    """Return the largest correlation in size, rounded up so that the tiles of a matrix ask the same question."""
    values = _arrays.read(rho) if _arrays.is_foreign(rho) else rho
    return round(min(float(np.abs(values).max(initial=0.0)) + 5e-4, 1.0), 3)


def rounded(value: float) -> float:
    """Return a variance rounded up to two digits."""
    if value <= 0 or not np.isfinite(value):
        return max(value, 0.0)
    step = 10.0 ** (np.floor(np.log10(value)) - 1.0)
    return float(np.ceil(value / step) * step)
