r"""Moments of a pair of Gaussians above thresholds, M(m, n) = E[(u - h)_+^m (v - k)_+^n]: what kinks of phi add.

They follow from M(0, 0) = P(u > h, v > k), which Owen's function T gives (Owen, 1956), by Stein's lemma, with
(u - h)_+^m = (u - h) (u - h)_+^{m-1}. In units of the deviations of u and v, with rho = cos t::

    M(m, n) = -h M(m-1, n) + (m-1) M(m-2, n) + rho n M(m-1, n-1)

where for m = 1 the second term is E[delta(u - h) (v - k)_+^n], and for n = 0 the third is
rho E[(u - h)_+^{m-1} delta(v - k)].

Next to perfect correlation all depends on which threshold comes first: a small difference over a small sine. So every
term takes rho and the sine from the one angle t, and the gaps of the thresholds from their difference,
k - rho h = (k - h) + 2 h sin^2(t/2), where h = k leaves no round-off. The moments are then those of a pair as close to
the given one as round-off, whatever the angle.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

__all__ = ["Truncated", "density", "moments_above"]

Array = Any  # of NumPy, of any shape, or one of its numbers

#: A deviation or a sine below this is taken for it, so that nothing is divided by zero: what it is in is 0 then.
TINY = 1e-150
#: Thresholds are taken for these at most, in deviations: beyond, the normal density is 0.
FAR = 1e100


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
    """The moments for thresholds h of u and k of v; `sine` and `cosine` are those of the angle between u and v."""

    def __init__(self, deviations: tuple[Array, Array], angle: Array, h: float, k: float) -> None:
        self.deviations, self.meet_at_zero = deviations, h == k == 0.0
        floors = (np.maximum(deviation, TINY) for deviation in deviations)
        self.h, self.k = (np.clip(at / floor, -FAR, FAR) for at, floor in zip((h, k), floors, strict=True))
        self.angle, self.cosine = angle, np.cos(angle)
        self.sine = np.where(angle < np.pi, np.sin(angle), 0.0)  # of the number next to pi it is 1e-16
        obtuse = self.cosine < 0
        self.sign = np.where(obtuse, -1.0, 1.0)
        half = np.where(obtuse, np.cos(0.5 * angle), np.sin(0.5 * angle)) * (self.sine > 0)
        self.less = self.sign * 2.0 * half * half  # sign - cosine, without cancellation
        #: How far the threshold of v is from the mean of v given u = h, and that of u from the mean of u given v = k.
        self.gaps = self._gap(self.h, self.k), self._gap(self.k, self.h)
        self._moment = cache(self._by_recursion)
        self._given_u = cache(lambda n: self._above(0, n))
        self._given_v = cache(lambda m: self._above(1, m))

    def moment(self, m: int, n: int) -> Array:
        """Return M(m, n)."""
        return self.deviations[0] ** m * self.deviations[1] ** n * self._moment(m, n)

    def at_u(self, n: int) -> Array:
        """Return E[delta(u - h) (v - k)_+^n]."""
        return self.deviations[1] ** n * self._given_u(n) / np.maximum(self.deviations[0], TINY)

    def at_v(self, m: int) -> Array:
        """Return E[(u - h)_+^m delta(v - k)]."""
        return self.deviations[0] ** m * self._given_v(m) / np.maximum(self.deviations[1], TINY)

    def density(self) -> Array:
        """Return E[delta(u - h) delta(v - k)], infinite at perfect correlation where the thresholds meet."""
        scale = np.maximum(self.deviations[0], TINY) * np.maximum(self.deviations[1], TINY)
        value = density(self.h) * density(self._scores(0))
        with np.errstate(divide="ignore", invalid="ignore"):
            value = value / (self.sine * scale)
        # Thresholds that differ by no more than their round-off meet.
        met = np.abs(self.gaps[0]) <= 1e-12 * (1.0 + np.abs(self.k))
        return np.where(self.sine > 0, value, np.where(met, np.inf, 0.0))

    def _gap(self, h: Array, k: Array) -> Array:
        """Return k - rho h."""
        return (k - self.sign * h) + self.less * h

    def _scores(self, which: int) -> Array:
        """Return the gap in units of the deviation that is left of the one variable given the other: 0 / 0 is 0."""
        gap = self.gaps[which]
        return np.clip(gap / np.maximum(self.sine, TINY), -FAR, FAR)

    def _above(self, which: int, n: int) -> Array:
        """Return the density of one variable at its threshold times E[(the other - its threshold)_+^n] given that."""
        from scipy.special import ndtr

        gap, z = self.gaps[which], self._scores(which)
        share = ndtr(-z)
        moments = [share, np.maximum(self.sine * density(z) - gap * share, 0.0)]
        for p in range(2, n + 1):
            moments.append((p - 1) * self.sine**2 * moments[p - 2] - gap * moments[p - 1])
        at = density((self.h, self.k)[which])
        return np.where(at > 0, at * moments[n], 0.0)

    def _by_recursion(self, m: int, n: int) -> Array:
        if m == n == 0:
            return self._above_both()
        if m == 0:
            first = (n - 1) * self._moment(0, n - 2) if n > 1 else self._given_v(0)
            return -self.k * self._moment(0, n - 1) + first + self.cosine * self._given_u(n - 1)
        first = (m - 1) * self._moment(m - 2, n) if m > 1 else self._given_u(n)
        second = n * self._moment(m - 1, n - 1) if n else self._given_v(m - 1)
        return -self.h * self._moment(m - 1, n) + first + self.cosine * second

    def _above_both(self) -> Array:
        """Return P(u > h, v > k)."""
        from scipy.special import ndtr, owens_t

        if self.meet_at_zero:
            return 0.5 - self.angle / (2.0 * np.pi)
        # This is P(x < a, y < b) of standard normals (and no zero is -0).
        a, b = 0.0 - self.h, 0.0 - self.k
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slopes = [-self._scores(0) / a, -self._scores(1) / b]
        # 0 / 0 is perfect correlation with thresholds that meet: between them there is no room.
        slopes = [np.where(np.isnan(slope), 0.0, slope) for slope in slopes]
        apart = (a * b < 0) | ((a * b == 0) & (a + b < 0))
        value = 0.5 * (ndtr(a) + ndtr(b)) - owens_t(a, slopes[0]) - owens_t(b, slopes[1]) - 0.5 * apart
        return np.clip(value, 0.0, np.minimum(ndtr(a), ndtr(b)))
