r"""Moments of a pair of Gaussians above thresholds, M(m, n) = E[(u - h)_+^m (v - k)_+^n]: what kinks of phi add.

They follow from M(0, 0) = P(u > h, v > k), which Owen's function T gives (Owen, 1956), by Stein's lemma, with
(u - h)_+^m = (u - h) (u - h)_+^{m-1}::

    M(m, n) = -h M(m-1, n) + q1 (m-1) M(m-2, n) + c n M(m-1, n-1)

where for m = 1 the second term is q1 E[delta(u - h) (v - k)_+^n], and for n = 0 the third is
c E[(u - h)_+^{m-1} delta(v - k)].
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

__all__ = ["Truncated", "density", "moments_above"]

Array = Any  # of NumPy, of any shape, or one of its numbers

#: A variance or a deviation below these is taken for them, so that nothing is divided by zero: what it is in is 0 then.
TINY_VARIANCE, TINY_DEVIATION = 1e-290, 1e-100


def density(z: Array) -> Array:
    """Return the standard normal density."""
    return np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)


def moments_above(z: Array, highest: int) -> list[Array]:
    """Return E[(x - z)_+^p] of a standard normal x, p = 0..highest."""
    from scipy.special import ndtr

    moments = [ndtr(-z), density(z) - z * ndtr(-z)]
    for p in range(2, highest + 1):
        moments.append((p - 1) * moments[p - 2] - z * moments[p - 1])
    return moments


class Truncated:
    """The moments for thresholds h of u and k of v."""

    def __init__(self, q1: Array, q2: Array, c: Array, det: Array, h: float, k: float) -> None:
        self.q1, self.q2 = np.maximum(q1, TINY_VARIANCE), np.maximum(q2, TINY_VARIANCE)
        self.c, self.det, self.h, self.k = c, det, h, k
        self.moment = cache(self._moment)
        self.at_u = cache(lambda n: self._at(self.q1, h, k, n))
        self.at_v = cache(lambda m: self._at(self.q2, k, h, m))

    def density(self) -> Array:
        """Return E[delta(u - h) delta(v - k)], infinite at perfect correlation where the thresholds meet."""
        deviation = np.sqrt(self.det / self.q1)
        gap = self.k - self.c * self.h / self.q1
        z = np.clip(gap / np.maximum(deviation, TINY_DEVIATION), -50.0, 50.0)
        value = density(self.h / np.sqrt(self.q1)) / np.sqrt(self.q1) * density(z)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = value / deviation
        met = np.abs(gap) <= 1e-12 * (1.0 + abs(self.k))
        return np.where(deviation > 0, value, np.where(met, np.inf, 0.0))

    def _at(self, q: Array, threshold: float, other: float, n: int) -> Array:
        """Return E[delta(u - threshold) (v - other)_+^n], u of variance q: v is normal given u."""
        deviation = np.maximum(np.sqrt(self.det / q), TINY_DEVIATION)
        z = np.clip((other - self.c * threshold / q) / deviation, -1e150, 50.0)
        return deviation**n * moments_above(z, n)[n] * density(threshold / np.sqrt(q)) / np.sqrt(q)

    def _moment(self, m: int, n: int) -> Array:
        if m == n == 0:
            return self._above_both()
        if m == 0:
            first = (n - 1) * self.moment(0, n - 2) if n > 1 else self.at_v(0)
            return -self.k * self.moment(0, n - 1) + self.q2 * first + self.c * self.at_u(n - 1)
        first = (m - 1) * self.moment(m - 2, n) if m > 1 else self.at_u(n)
        second = n * self.moment(m - 1, n - 1) if n else self.at_v(m - 1)
        return -self.h * self.moment(m - 1, n) + self.q1 * first + self.c * second

    def _above_both(self) -> Array:
        """Return P(u > h, v > k)."""
        from scipy.special import ndtr, owens_t

        if self.h == self.k == 0.0:
            return np.asarray(0.5 - np.arctan2(np.sqrt(self.det), self.c) / (2.0 * np.pi))
        # With a = -h / sqrt q1 and b = -k / sqrt q2 this is P(x < a, y < b) of standard normals (and no zero is -0).
        a, b = 0.0 - self.h / np.sqrt(self.q1), 0.0 - self.k / np.sqrt(self.q2)
        a, b = np.clip(a, -1e100, 1e100), np.clip(b, -1e100, 1e100)
        scale = np.sqrt(self.q1 * self.q2)
        sine, cosine = np.sqrt(self.det) / scale, np.clip(self.c / scale, -1.0, 1.0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slopes = [(b - cosine * a) / (a * sine), (a - cosine * b) / (b * sine)]
        # 0 / 0 is perfect correlation with thresholds that meet: between them there is no room.
        slopes = [np.where(np.isnan(slope), 0.0, slope) for slope in slopes]
        apart = (a * b < 0) | ((a * b == 0) & (a + b < 0))
        value = 0.5 * (ndtr(a) + ndtr(b)) - owens_t(a, slopes[0]) - owens_t(b, slopes[1]) - 0.5 * apart
        return np.clip(value, 0.0, 1.0)
