"""Power laws with and without a floor, fitted seed by seed, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kernel_collapse._shapes import Float
from kernel_collapse.report.intervals import half_width

__all__ = ["FloorFit", "fit_floor", "floor_p_value", "interval", "slope"]

#: Below this many decades a misfit is round-off.
TIE = 1e-6
#: What a floor may be of the value at the end: below 0 the curve bends down, and how far says no more.
SHARES = (-1.0, 0.999)
EXPONENTS = (1e-3, 20.0)


class Interval(NamedTuple):
    """A mean over seeds and its t interval; without two seeds there is none (NaN)."""

    mean: float
    low: float
    high: float


class FloorFit(NamedTuple):
    """One seed's fit of ``y = floor + a 10^(b away)``.

    `share` is the floor over the fitted value at the end, `exponent` is b; the sums of squared misfits, in decades,
    are those of this fit and of the pure power law.
    """

    share: float
    floor: float
    exponent: float
    misfit: float
    misfit_of_power_law: float
    points: int


def slope(x: Float[np.ndarray, " m"], y: Float[np.ndarray, " m"]) -> float:
    """Return the least-squares slope of log10 y against log10 x."""
    return float(np.polyfit(np.log10(x), np.log10(y), 1)[0])


def fit_floor(away: Float[np.ndarray, " m"], y: Float[np.ndarray, " m"]) -> FloorFit:
    r"""Fit a power law that ends at a floor, by least squares in log10 y, from four points or more.

    With e the fitted value at the end (`away` = 0 decades) and t the floor's share of it::

        log10 y = log10 e + log10( t + (1 - t) 10^(b away) )

    Parameters
    ----------
    away : ndarray, shape (m,)
        Decades of the factor from its end, where y is lowest.
    y : ndarray, shape (m,)
        Positive.
    """
    from scipy.optimize import least_squares

    logs = np.log10(y)
    line = np.polyfit(away, logs, 1)
    power_law = float(((np.polyval(line, away) - logs) ** 2).sum())

    def misfits(theta: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " m"]:
        end, share, exponent = theta
        return end + np.log10(share + (1.0 - share) * 10.0 ** (exponent * away)) - logs

    def slopes(theta: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "m 3"]:
        _, share, exponent = theta
        power = 10.0 ** (exponent * away)
        curve = share + (1.0 - share) * power
        columns = (
            np.ones_like(away),
            (1.0 - power) / (curve * np.log(10)),
            (1.0 - share) * power * away / curve,
        )
        return np.column_stack(columns)

    bounds = tuple(zip((-np.inf, np.inf), SHARES, EXPONENTS, strict=True))
    fits = [
        least_squares(
            misfits,
            (line[1], share, np.clip(line[0] / (1.0 - share), 2 * EXPONENTS[0], 0.5 * EXPONENTS[1])),
            jac=slopes,
            bounds=bounds,
            x_scale=(0.1, 0.1, 0.1),
            xtol=1e-10,
            ftol=1e-10,
            gtol=1e-10,
        )
        for share in (0.0, 0.8)
    ]
    best = min(fits, key=lambda fit: fit.cost)
    end, share, exponent = map(float, best.x)
    return FloorFit(share, share * 10.0**end, exponent, 2.0 * float(best.cost), power_law, len(y))


def floor_p_value(fits: Sequence[FloorFit]) -> float:
    """Return the p value of the F test of every seed's floor together, against pure power laws."""
    from scipy.stats import f

    points = sum(fit.points for fit in fits)
    free = points - 3 * len(fits)
    if free <= 0:
        return float("nan")
    power_law = sum(fit.misfit_of_power_law for fit in fits)
    misfit = max(sum(fit.misfit for fit in fits), points * TIE**2)
    return float(f.sf(max(power_law - misfit, 0.0) / len(fits) / (misfit / free), len(fits), free))


def interval(values: Sequence[float] | Float[np.ndarray, " s"], confidence: float) -> Interval:
    """Return the mean of finite values, one a seed, and its t interval."""
    kept = np.asarray(values, dtype=float)
    kept = kept[np.isfinite(kept)]
    if len(kept) == 0:
        return Interval(np.nan, np.nan, np.nan)
    mean = float(kept.mean())
    if len(kept) == 1:
        return Interval(mean, np.nan, np.nan)
    half = float(half_width(kept.std(ddof=1), len(kept), confidence))
    return Interval(mean, mean - half, mean + half)
