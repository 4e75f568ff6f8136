r"""Randomised quasi-Monte Carlo over the weights of one unit: any means and covariances.

R independently scrambled Sobol sequences (Owen, 1995, "Randomly permuted (t,m,s)-nets and (t,s)-sequences") give R
unbiased values of every expectation. The ratio of their means errs by t sqrt(Var(a - r b)/R) / b, the delta method for
a ratio r = a/b, with the quantile t of Student's distribution with R - 1 degrees of freedom. Isotropic classes need
only the coordinates in the span of the means and the length of the rest, a chi variable, in place of all d. Of other
classes the first coordinates of the sequence, which are its most even ones, are turned into the span of the means.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincinv, ndtr, ndtri, stdtrit

from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.theory._mixture import basis
from kernel_collapse.theory._moments import Problem, Sizes, add_up, traces

__all__ = ["integrate"]

#: Independent scramblings: 15 degrees of freedom, whose t is within 10 % of a normal quantile.
SCRAMBLINGS = 16
#: Points of each scrambling to begin with.
FIRST = 2**8
#: Half of the error bar's level: it is a two-sided one of 95 %.
TAIL = 0.025
#: Most points of all scramblings.
MAX_POINTS = 2**19
#: Sobol points are multiples of 2^-BITS; half of that is added, so that none is 0.
BITS = 30
#: Most dimensions of the sequence.
MAX_DIM = 21201


def integrate(
    problem: Problem, sizes: Sizes, weighting: str, accuracy: float, max_points: int | None, seed: int
) -> tuple[Float[np.ndarray, " S"], float, int]:
    """Return the sums, the relative error of the ratio at 95 % confidence, and the number of points."""
    from scipy.stats import qmc  # takes a second to import

    with_bias = problem.network.bias_variance > 0
    extent = problem.means.shape[1]
    left = problem.dim - (extent - 1)  # dimensions of the rest, if the problem is reduced
    columns = extent - (problem.reduced and left == 0) + with_bias
    if columns > MAX_DIM:
        raise InputError(
            "the mixture",
            f"{problem.dim} dimensions and covariances that are not isotropic",
            f"at most {MAX_DIM} for method='qmc'",
            "give isotropic covariances, for which any number will do",
            verb="has",
        )
    limit = max(max_points or MAX_POINTS, SCRAMBLINGS * FIRST)
    mirrors = [] if problem.reduced else _mirrors(problem.means)
    seeds = np.random.default_rng(seed).spawn(SCRAMBLINGS)
    engines = [qmc.Sobol(columns, scramble=True, bits=BITS, rng=rng) for rng in seeds]
    rows, points, new, error = np.zeros((SCRAMBLINGS, 0)), 0, FIRST, np.inf
    while True:
        sums = []
        for engine in engines:
            z = ndtri(engine.random(new) + 2.0 ** -(BITS + 1))
            bias = np.sqrt(problem.network.bias_variance) * z[:, -1] if with_bias else np.zeros(new)
            z = z[:, : columns - with_bias]
            z = _with_rest(z, left) if problem.reduced else _turned(z, mirrors)
            sums.append(add_up(problem, z, bias, np.full(new, 1.0 / new)))
        rows = np.array(sums) if points == 0 else (rows + np.array(sums)) / 2.0
        points += new
        error = _error(rows, sizes, weighting)
        if error <= accuracy or 2 * points * SCRAMBLINGS > limit:
            return rows.mean(axis=0), error, points * SCRAMBLINGS
        new = points


def _with_rest(z: Float[np.ndarray, "N c"], left: int) -> Float[np.ndarray, "N e"]:
    """Return z with the length of the rest in the last column: chi-distributed by its quantiles."""
    if left == 0:
        return np.column_stack([z, np.zeros(len(z))])
    rest = np.sqrt(2.0 * gammaincinv(0.5 * left, ndtr(z[:, -1])))
    return np.column_stack([z[:, :-1], rest])


def _mirrors(means: Float[np.ndarray, "C d"]) -> list[Float[np.ndarray, " d"]]:
    """Return normals of mirrors (Householder reflections) that turn the first axes into the span of the means."""
    axes, normals = basis(means), []
    for j in range(len(axes)):
        normal = axes[j].copy()
        normal[j] -= 1.0
        length = np.linalg.norm(normal)
        if length > 1e-8:
            normals.append(normal / length)
            axes = _turned(axes, normals[-1:])
    return normals


def _turned(z: Float[np.ndarray, "N d"], mirrors: list[Float[np.ndarray, " d"]]) -> Float[np.ndarray, "N d"]:
    """Return rows seen in the mirrors, the last one first; a standard normal vector stays one."""
    for normal in reversed(mirrors):
        z = z - np.multiply.outer(2.0 * (z @ normal), normal)
    return z


def _error(rows: Float[np.ndarray, "R S"], sizes: Sizes, weighting: str) -> float:
    values = [traces(row, sizes, weighting) for row in rows]  # type: ignore[arg-type]
    within, between = np.array([[value.within, value.between] for value in values]).T
    if within.mean() == 0.0 and not within.any():
        return 0.0
    if between.mean() == 0.0:
        return 0.0 if not between.any() else np.inf
    ratio = within.mean() / between.mean()
    deviation = np.std(within - ratio * between, ddof=1) / np.sqrt(len(rows))
    return float(stdtrit(len(rows) - 1, 1.0 - TAIL) * deviation / abs(within.mean()))
