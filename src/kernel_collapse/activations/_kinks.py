"""Where a function or one of its first four derivatives jumps, found by looking: an expansion converges slowly there.

It is right with any kinks or none (what is added in closed form is subtracted again, order by order): the
more of the true ones are known, the fewer orders it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Polynomial

from kernel_collapse._shapes import Float

__all__ = ["Kink", "find"]

Function = Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]

#: Kinks are looked for on [-REACH, REACH], on a grid whose points are no round numbers.
REACH, STEP = 40.0, 1.0 / 63.0
#: One-sided derivatives are those of polynomials through POINTS points this far apart.
NEAR, POINTS = 2e-3, 7
#: Jumps of the function and of its derivatives below this order are taken out.
DERIVATIVES = 5
#: What is found within this of a number of three decimals is at that number, where people put kinks.
SNAP = 2e-4
#: Jumps are taken for fractions up to this denominator.
DENOMINATOR = 1000


class Kink(NamedTuple):
    """A point, and the jumps there of phi and its first four derivatives."""

    at: float
    jumps: tuple[float, ...]


def find(function: Function, where: Iterable[float] | None = None) -> tuple[Kink, ...]:
    """Return the kinks of a function, at the points named or wherever on [-40, 40] they are."""
    points = sorted({float(point) for point in (_places(function) if where is None else where)})
    # The points of a side keep off the next kink.
    rooms = np.diff([-np.inf, *points, np.inf])
    kinks = [
        _at_its_place(function, point, min(NEAR, float(min(rooms[i : i + 2])) / (POINTS + 1)))
        for i, point in enumerate(points)
    ]
    return tuple(kink for kink in kinks if any(kink.jumps))


def _at_its_place(function: Function, point: float, near: float) -> Kink:
    """Return the kink at a point, or next to it where the two sides meet: an error of the place looks like a jump."""
    kink = _jumps_at(function, point, near)
    for _ in range(2):
        jump, of_slope = kink.jumps[:2]
        if not 0.0 < abs(jump) < 1e-3 * near * abs(of_slope):
            break
        kink = _jumps_at(function, kink.at - jump / of_slope, near)
    return kink


def _jumps_at(function: Function, at: float, near: float) -> Kink:
    """Return the jumps at a point, from polynomials through points to either side of it, `near` apart."""
    left, right = (_beside(function, at, sign, near) for sign in (-1.0, 1.0))
    size = 1.0 + max(abs(left(at)), abs(right(at)))
    # A root or a pole is no polynomial on either side: it has no jumps to be taken out.
    for side, sign in ((left, -1.0), (right, 1.0)):
        nearer = at + sign * near / 3.0
        if abs(side(nearer) - function(np.array([nearer]))[0]) > 1e-9 * size:
            return Kink(at, (0.0,) * DERIVATIVES)
    # The round-off of a derivative of order p is that of the values over near^p.
    floors = [floor * size * (NEAR / near) ** p for p, floor in enumerate((1e-10, 1e-8, 1e-5, 1e-2, 0.3))]
    found = [
        (right.deriv(p)(at) - left.deriv(p)(at)) if p else right(at) - left(at) for p in range(DERIVATIVES)
    ]
    return Kink(at, tuple(_jump(float(j), floor) for j, floor in zip(found, floors, strict=True)))


def _jump(found: float, floor: float) -> float:
    """Return a jump: 0 if it is round-off, and the fraction that it is but for round-off."""
    if abs(found) <= floor:
        return 0.0
    plain = float(Fraction(found).limit_denominator(DENOMINATOR))
    return plain if abs(plain - found) <= 1e-3 * floor else found


def _beside(function: Function, at: float, sign: float, near: float = NEAR) -> Polynomial:
    points = at + sign * near * np.arange(1, POINTS + 1)
    return Polynomial.fit(points, function(points), POINTS - 1)


def _places(function: Function) -> list[float]:
    """Return points where fifth differences are large, and stay so on finer and finer grids."""
    grid = np.arange(-REACH, REACH, STEP) + 1.2345e-3
    values = function(grid)
    values = np.where(
        np.abs(values) < 1e100, values, np.nan
    )  # what overflows far out has no kinks to be seen
    scale = 1.0 + np.abs(values[5:])
    # Of a function that is smooth on the scale of 1 they are below 1e-7; of one whose curvature jumps by 1, 1e-4.
    suspects = np.flatnonzero(_roughness(values) > 1e-7 * scale)
    found: list[float] = []
    for run in np.split(suspects, np.flatnonzero(np.diff(suspects) > 6) + 1):
        if len(run):
            place = _refine(function, grid[max(run[0] - 1, 0)], grid[min(run[-1] + 6, len(grid) - 1)])
            if not any(abs(place - other) < 2.0 * POINTS * NEAR for other in found):
                found.append(place)
    return found


def _roughness(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    return np.abs(np.diff(values, 5))


def _refine(function: Function, low: float, high: float) -> float:
    """Return the place in an interval where finer grids remain rough."""
    while high - low > 1e-4:
        grid = np.linspace(low, high, 61)
        worst = int(np.argmax(_roughness(function(grid))))
        low, high = grid[max(worst - 1, 0)], grid[min(worst + 6, 60)]
    # To the left and right of it the function is smooth, and the two continuations part there; those of a jump nowhere.
    grid = np.linspace(low, high, 2001)
    left, right = _beside(function, low, -1.0), _beside(function, high, 1.0)
    gap = np.abs(left(grid) - right(grid))
    if gap.min() > 1e-3 * gap.max():
        best = float(grid[int(np.argmax(np.abs(np.diff(function(grid)))))])
    else:
        best = float(grid[int(np.argmin(gap))])
    rounded = round(best, 3) + 0.0  # no negative zero
    return rounded if abs(rounded - best) < SNAP else best
