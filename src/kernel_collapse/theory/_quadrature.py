r"""Quadrature over the weights of one unit, for isotropic classes: two or three dimensions whatever d is.

A standard normal vector in D = d dimensions (D = d + 1 with a bias, which is one more weight) is its length R, a chi
variable, times a direction. Of the direction only the J first coordinates matter: one for the line of the means, one
more for an offset line or for the bias. They are peeled off one at a time: t_1 has the density (1 - t^2)^((D - 3)/2),
and what is left is again a direction, of D - 1 dimensions, times sqrt(1 - t_1^2); in one dimension t is -1 or 1.

In these coordinates a unit's mean activation is smooth, as its argument is R times something smooth, and kinks at 0
are none in R. Scales that are not known before (how sharp an activation is, how far the classes are apart) are met
by the trapezoidal rule in log R and, for J = 1, in y = log tan(asin |t|), which converges geometrically whatever they
are; for J = 2 the directions have Gauss-Gegenbauer rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal

from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.theory import _conditional
from kernel_collapse.theory._moments import Problem, Sizes, add_up, traces

__all__ = ["Rule", "directions", "integrate", "rule"]

#: Steps of the trapezoidal rule at level 0: in logarithms, and in standard deviations of a peak that is narrower.
STEP = 0.26
STEP_IN_PEAK = 1.2
#: Densities are cut where they have fallen by this exponent; a finer level goes further, which shows what was cut.
DEPTH_OF_CUT = 36.0
#: Nodes of a Gauss rule at level 0.
GAUSS_NODES = 16
#: Most nodes of the finest level: in closed form, and where the activation is integrated numerically.
MAX_NODES = 2**22
MAX_NODES_NUMERICAL = 2**19
MAX_LEVEL = 12
#: Relative changes between levels: those that say that the rule converges, and those that are no coincidence.
CONVERGING = 0.03
BEYOND_CHANCE = 1e-4
#: A change between levels that says that there is nothing to converge to.
NO_LIMIT = 0.5


class Rule(NamedTuple):
    """Standard normal vectors (in the coordinates of a `Problem`), biases in standard deviations, and weights."""

    z: Float[np.ndarray, "N e"]
    bias: Float[np.ndarray, " N"]
    weights: Float[np.ndarray, " N"]


def directions(problem: Problem) -> int | None:
    """Return the number J of directions that matter, None if all do."""
    if not problem.reduced:
        return None
    return problem.means.shape[1] - 1 + (problem.network.bias_variance > 0)


def integrate(
    problem: Problem, sizes: Sizes, weighting: str, accuracy: float, max_points: int | None
) -> tuple[Float[np.ndarray, " S"], float, int]:
    """Return the sums, the relative error of the ratio and the number of nodes.

    The error is what the last halving of the steps changed in either trace, which is far more than the error of the
    finer rule where convergence is geometric. It is infinite if the halving before it changed a trace by more than a
    few per cent: then the rule does not converge yet, and nothing is known.
    """
    limit = max_points or (
        MAX_NODES if _conditional.closed(problem.network.activation) else MAX_NODES_NUMERICAL
    )
    scale = np.sqrt(problem.network.bias_variance)
    growth = 2 if problem.dim + (problem.network.bias_variance > 0) == 1 else 4
    before, row, nodes = None, np.zeros(0), 0
    change = error = size = size_before = np.inf
    for level in range(MAX_LEVEL):
        # Two levels at least; a further one has four times the nodes, but for a line in one dimension.
        if level > 1 and nodes * growth > limit:
            break
        at = rule(problem, level)
        nodes = len(at.weights)
        row = add_up(problem, at.z, scale * at.bias, at.weights, level)
        size, size_before = float(row[: 2 * len(problem.means)].sum()), size
        # Every level goes further into the tails. What is narrow may be missed, but the whole of a mean square is not.
        if level > 1 and abs(size - size_before) > NO_LIMIT * size_before:
            raise InputError(
                f"the mean square of the activation {problem.network.activation.name}",
                f"settle as the rule reaches further (it goes from {size_before:.3g} to {size:.3g})",
                "an activation that grows slowly enough for it to exist",
                "scale the data or weight_variance down, or take another activation",
                verb="does not",
            )
        value = traces(row, sizes, weighting)  # type: ignore[arg-type]
        now = np.array([value.within, value.between])
        if before is not None:
            change, last = _change(before, now), change
            # A change that is small by chance follows one that is not: nothing narrower than the nodes is seen.
            trusted = last <= CONVERGING or change <= BEYOND_CHANCE
            error = change if trusted else np.inf
            if error <= accuracy:
                break
        before = now
    return row, error, nodes


def _change(before: Float[np.ndarray, " 2"], now: Float[np.ndarray, " 2"]) -> float:
    """Return the larger relative change; traces of 0 that stay so have none."""
    gap, size = np.abs(now - before), np.abs(now)
    return float(np.max(np.divide(gap, size, out=np.where(gap > 0, np.inf, 0.0), where=size > 0)))


def rule(problem: Problem, level: int) -> Rule:
    """Return the rule of a level; each level halves the steps and doubles the Gauss nodes of the one before."""
    count = directions(problem)
    assert count is not None
    with_bias = problem.network.bias_variance > 0
    total = problem.dim + with_bias
    cut = DEPTH_OF_CUT + 8.0 * level
    # Of three dimensions the Gauss rules are the coarse ones: at level 1 that of log R has converged on any scale.
    log_radius, weights = _trapezoid(*_log_chi(total), cut, min(level, 1) if count == 2 else level)
    grids, tensor = [np.exp(log_radius)], weights
    for j in range(count):
        if total - j == 1:
            t, weights = np.array([-1.0, 1.0]), np.array([0.5, 0.5])
        elif count == 1:
            t, weights = _line(total, cut, level)
        else:
            t, weights = _gegenbauer(total - j, GAUSS_NODES * 2**level)
        grids.append(t)
        tensor = np.multiply.outer(tensor, weights)
    radius, *cosines = (grid.ravel() for grid in np.meshgrid(*grids, indexing="ij"))
    tensor = tensor.ravel()
    kept = tensor > np.exp(-cut) * tensor.max()
    left, columns = radius[kept], []
    for t in cosines:
        columns.append(left * t[kept])
        left = left * np.sqrt(np.maximum(1.0 - t[kept] ** 2, 0.0))
    bias = columns.pop(0) if with_bias else np.zeros(len(left))
    # Nothing is left in fewer dimensions than the span has coordinates: the last of them was -1 or 1.
    return Rule(np.column_stack([*columns, left]), bias, tensor[kept] / tensor[kept].sum())


def _log_chi(d: int) -> tuple[Callable[[float], float], float, float]:
    """Return the log density of x = log R less that of its peak, the peak, and the width there."""
    peak = 0.5 * np.log(d)
    # d x - exp(2x)/2, without the subtraction of numbers as large as d.
    return lambda x: d * ((x - peak) - 0.5 * np.expm1(2.0 * (x - peak))), peak, 1.0 / np.sqrt(2.0 * d)


def _line(d: int, cut: float, level: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return a rule for the first coordinate of a direction in d > 1 dimensions, fine next to 0."""

    def log_density(y: float) -> float:
        return y - 0.5 * d * np.logaddexp(0.0, 2.0 * y)

    y, weights = _trapezoid(log_density, -0.5 * np.log(d - 1.0), np.inf, cut, level)
    t = np.exp(y - 0.5 * np.logaddexp(0.0, 2.0 * y))
    return np.concatenate([-t, t]), 0.5 * np.concatenate([weights, weights])


def _trapezoid(
    log_density: Callable[[float], float], peak: float, width: float, cut: float, level: int
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return equidistant nodes over all of a density, and weights that add up to 1.

    They are normalised rather than multiplied by a constant: of 10,000 dimensions it has lost five digits.
    """
    from scipy.optimize import brentq  # takes a tenth of a second to import

    def above_cut(x: float) -> float:
        return log_density(x) - log_density(peak) + cut

    def end(sign: float) -> float:
        far = 1.0
        while above_cut(peak + sign * far) > 0:
            far *= 2.0
        return float(brentq(lambda x: above_cut(peak + sign * x), 0.0, far, xtol=1e-6))

    step = min(STEP, STEP_IN_PEAK * width) / 2**level
    k = np.arange(-int(end(-1.0) / step), int(end(1.0) / step) + 1)
    x = peak + step * k
    weights = np.exp([log_density(value) - log_density(peak) for value in x])
    return x, weights / weights.sum()


def _gegenbauer(d: int, n: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the n-point Gauss rule for the density (1 - t^2)^((d - 3)/2), of total weight 1.

    By Golub and Welsch (1969), "Calculation of Gauss quadrature rules", from the recurrence of Gegenbauer polynomials,
    which takes any d: the usual routines overflow at a few hundred.
    """
    if d == 2:  # Chebyshev's, for which the recurrence divides 0 by 0
        return np.cos((np.arange(n) + 0.5) * (np.pi / n)), np.full(n, 1.0 / n)
    k = np.arange(1.0, n)
    off = np.sqrt(k * (k + d - 3.0) / ((2.0 * k + d - 2.0) * (2.0 * k + d - 4.0)))
    nodes, vectors = eigh_tridiagonal(np.zeros(n), off)
    return nodes, vectors[0] ** 2
