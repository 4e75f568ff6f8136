r"""Pairs of samples in strata, one for each pair of classes, and how many pairs are drawn of each.

Let D_ij = (K_ii + K_jj)/2 - K_ij, half of the squared distance of two feature vectors, and Dbar_cc' its mean over the
pairs of a sample of class c and one of class c' (two different samples where c = c'). With u = p, q, p as in
`kernel_collapse.collapse._nc1` and M = diag(q) - p q' - q p' + p p'::

    spread_c = (1 - 1/n_c) Dbar_cc
    tr S_W   = sum_c p_c spread_c
    tr S_B   = - sum_c M_cc spread_c - sum_{c != c'} M_cc' Dbar_cc'

The second line holds because the rows of M add up to 0, so that K_ii drops out of sum_cc' M_cc' B_cc'; and as D does
not change when the features move as a whole, nothing large cancels, in the sums as in their variance.

Both traces are linear in the means Dbar of the strata (c, c'), each of which is sampled by itself. Its share of the
pairs is in proportion to the standard deviation of what it adds to the ratio (Neyman's allocation), so that small
classes do not drown.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse._nc1 import Weighting, class_weights

__all__ = ["LEAST", "Strata", "allocation", "pilot", "strata_of"]

#: Pairs a stratum of the sample that decides on the first allocation.
PILOT = 50
#: Fewest pairs of a stratum, however little it adds: enough for its own variance.
LEAST = 8


class Strata(NamedTuple):
    """Pairs of classes, how many pairs of samples each has, and what their mean distances add to the traces."""

    first: Int[np.ndarray, " S"]
    second: Int[np.ndarray, " S"]
    totals: Int[np.ndarray, " S"]
    within: Float[np.ndarray, " S"]
    between: Float[np.ndarray, " S"]


def strata_of(sizes: Int[np.ndarray, " C"], weighting: Weighting) -> Strata:
    """Return the pairs of classes; a class of one sample has no pair with itself, and no spread."""
    share = sizes / sizes.sum()
    _, q, p = class_weights(weighting, share, share)
    first, second = np.triu_indices(len(sizes))
    same = first == second
    totals = np.where(same, sizes[first] * (sizes[first] - 1) // 2, sizes[first] * sizes[second])
    # Off the diagonal c, c' stands for c', c too; on it the mean over all pairs, i = j included, is the spread.
    count = np.where(same, 1.0 - 1.0 / sizes[first], 2.0)
    between = (
        q[first] * p[second] + p[first] * q[second] - p[first] * p[second] - np.where(same, q[first], 0.0)
    )
    strata = Strata(first, second, totals, np.where(same, count * p[first], 0.0), count * between)
    return Strata(*(field[totals > 0] for field in strata))


def pilot(totals: Int[np.ndarray, " S"], budget: int) -> Int[np.ndarray, " S"]:
    """Return the sizes of a first sample, of about `budget` pairs at most."""
    return np.minimum(totals, min(max(budget // len(totals), LEAST), PILOT))


def allocation(
    spread: Float[np.ndarray, " S"],
    totals: Int[np.ndarray, " S"],
    *,
    variance: float | None = None,
    budget: int = 0,
) -> Int[np.ndarray, " S"]:
    """Return the sizes, in proportion to `spread`, that reach a variance of the ratio, or add up to a budget.

    A stratum that would have as many pairs as there are is taken in full: it costs its pairs, and adds no variance.
    """
    least = np.minimum(totals, LEAST)
    if variance is None and not spread.any():
        spread = np.ones_like(spread)
    in_full = np.zeros(len(totals), dtype=bool)
    while True:
        total = float(spread[~in_full].sum())
        if variance is None:
            scale = (budget - totals[in_full].sum() - least[~in_full].sum()) / total if total > 0 else 0.0
        else:
            scale = total / variance if total > 0 else 0.0
        wanted = least + np.floor(spread * scale)
        more = ~in_full & (wanted >= totals) & (totals > least)
        if not more.any():
            return np.where(in_full, totals, np.minimum(wanted, totals)).astype(np.int64)
        in_full |= more
