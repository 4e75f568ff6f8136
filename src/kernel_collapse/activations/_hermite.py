"""Hermite polynomials under the standard normal distribution: a rule of integration, and sums over orders."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import array_api_compat
import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._shapes import Float
from kernel_collapse.activations._base import Array
from kernel_collapse.activations._truncated import density

__all__ = ["Rule", "nodes_for", "polynomials", "rule_for", "sum_over_orders"]

#: Size of the smallest rule.
FIRST_ORDERS = 64
#: The rule reaches as far as the coefficients of anything that grows no faster than a polynomial.
REACH, NODES = 13.0, 16
#: Rows of a block of the Gram matrix that stays in the cache from order to order.
BLOCK = 64


class Rule(NamedTuple):
    """Nodes z > 0 of an integral against the standard normal density, its weights, and weights times h_m(z).

    The other half of the nodes is -z: of even orders m what is odd in z vanishes, and of odd ones what is even.
    """

    orders: int
    nodes: Float[np.ndarray, " l"]
    weights: Float[np.ndarray, " l"]
    hermite: tuple[Float[np.ndarray, "l m"], Float[np.ndarray, "l m"]]  # even orders, odd orders


def rule_for(orders: int) -> Rule:
    """Return a rule for that many orders or more: there are few sizes, which are kept."""
    return _rule(max(FIRST_ORDERS, 1 << (orders - 1).bit_length()))


@lru_cache(maxsize=16)
def nodes_for(orders: int) -> tuple[Float[np.ndarray, " l"], Float[np.ndarray, " l"]]:
    """Return the positive nodes and the weights of that rule."""
    width = min(0.5, 8.0 / np.sqrt(orders))  # h_m has waves of length 2 pi / sqrt(m)
    points, weights = np.polynomial.legendre.leggauss(NODES)
    edges = np.linspace(0.0, REACH, int(np.ceil(REACH / width)) + 1)  # kinks are at zero most often
    half = 0.5 * np.diff(edges)[:, None]
    z = (edges[:-1, None] + half + half * points).ravel()
    w = (half * weights).ravel() * density(z)
    w /= 2.0 * w.sum()
    return z, w


def polynomials(z: Float[np.ndarray, " l"], orders: int) -> Float[np.ndarray, "m l"]:
    """Return h_m(z) of every order m below `orders`, which are two or more."""
    h = np.empty((orders, len(z)))
    h[0], h[1] = 1.0, z
    for m in range(1, orders - 1):
        h[m + 1] = (z * h[m] - np.sqrt(m) * h[m - 1]) / np.sqrt(m + 1)
    return h


@lru_cache(maxsize=8)
def _rule(orders: int) -> Rule:
    """Return a rule that integrates h_m times what varies no faster, for all m below `orders`."""
    z, w = nodes_for(orders)
    h = polynomials(z, orders)
    h *= w
    return Rule(orders, z, w, (np.ascontiguousarray(h[::2].T), np.ascontiguousarray(h[1::2].T)))


def sum_over_orders(pairs: list[tuple[Array, Array]], rho: Array, orders: int) -> Array:
    """Return the sum over m of left_m right_m rho^m, by Horner's rule in rho^2 for even and odd orders apart."""
    square = rho * rho
    even, odd = (
        _horner([(left[parity:orders:2, ...], right[parity:orders:2, ...]) for left, right in pairs], square)
        for parity in (0, 1)
    )
    return even + rho * odd


def _horner(pairs: list[tuple[Array, Array]], x: Array) -> Array:
    """Return the sum over m of left_m right_m x^m."""
    left, right = pairs[0]
    if isinstance(x, np.ndarray) and left.shape[1:] == (len(x), 1) and right.shape[1:] == (1, x.shape[1]):
        return _horner_of_outer_products(pairs, x)
    xp = _arrays.namespace(x)
    shape = np.broadcast_shapes(x.shape, *(side.shape[1:] for pair in pairs for side in pair))
    total = xp.zeros(shape, dtype=x.dtype, device=array_api_compat.device(x))
    for m in range(left.shape[0] - 1, -1, -1):
        total = total * x
        for left, right in pairs:
            total = total + left[m, ...] * right[m, ...]
    return total


def _horner_of_outer_products(
    pairs: list[tuple[Float[np.ndarray, "m r 1"], Float[np.ndarray, "m 1 s"]]], x: Float[np.ndarray, "r s"]
) -> Float[np.ndarray, "r s"]:
    """Return the same where left is a column and right a row: a rank-one update of a block in the cache each order."""
    from scipy.linalg.blas import dger

    total = np.zeros(x.shape)
    for top in range(0, len(x), BLOCK):
        rows = slice(top, top + BLOCK)
        block, powers, begun = total[rows], x[rows], False
        for m in range(pairs[0][0].shape[0] - 1, -1, -1):
            if begun:
                np.multiply(block, powers, out=block)
            for left, right in pairs:
                column, row = left[m, rows, 0], right[m, 0]
                if column.any():
                    dger(
                        1.0, row, column, a=block.T, overwrite_a=1
                    )  # in place: its transpose is as BLAS has it
                    begun = True
    return total
