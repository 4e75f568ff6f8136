"""The piecewise polynomial with given jumps: its coefficients and its dual, both in closed form."""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np

from kernel_collapse._shapes import Float
from kernel_collapse.activations._base import Array
from kernel_collapse.activations._kinks import Kink
from kernel_collapse.activations._truncated import Truncated, density, moments_above

__all__ = ["Piecewise"]


class Piecewise:
    """P jumps as another function does at its kinks, is smooth elsewhere, and 0 about zero.

    Of a kink on the right it has jump / p! (x - kink)_+^p, of one on the left the same but for a polynomial,
    -(-1)^p jump / p! (kink - x)_+^p: where the variance is small beside the kinks, nothing is added that would have to
    be subtracted again.
    """

    def __init__(self, kinks: tuple[Kink, ...]) -> None:
        self.kinks = kinks

    def __call__(self, x: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
        """Return P(x)."""
        total = np.zeros_like(x)
        for kink in self.kinks:
            side = _side(kink)
            above = np.maximum(side * (x - kink.at), 0.0)
            for p, jump in enumerate(kink.jumps):
                if jump:
                    total += _factor(side, p) * jump / factorial(p) * (above**p if p else (above > 0))
        return total

    def series(self, q: Float[np.ndarray, " k"], orders: int) -> Float[np.ndarray, "m k"]:
        """Return the coefficients S_m of P(sqrt(q) z)."""
        total = np.zeros((orders, len(q)))
        for kink in self.kinks:
            side = _side(kink)
            mirror = side ** np.arange(orders)[:, None]  # h_m is as even or odd as m
            for p, jump in enumerate(kink.jumps):
                if jump:
                    power = mirror * _power_series(q, side * kink.at, p, orders)
                    total += _factor(side, p) * jump / factorial(p) * power
        return total

    def moment(self, q1: Array, q2: Array, angle: Array, r: int, s: int) -> Array:
        """Return E[P^{(r)}(u) P^{(s)}(v)] of variances q1 and q2 and the angle between u and v."""
        deviations = np.sqrt(q1), np.sqrt(q2)
        total: Any = np.zeros(np.broadcast_shapes(q1.shape, q2.shape, np.shape(angle)))
        for first in self.kinks:
            for second in self.kinks:
                sides = _side(first), _side(second)
                between = angle if sides[0] == sides[1] else np.pi - angle
                moments = Truncated(deviations, between, sides[0] * first.at, sides[1] * second.at)
                for p, jump in enumerate(first.jumps):
                    for o, other in enumerate(second.jumps):
                        if jump and other:
                            # the p! of the powers go as they are differentiated, and -x turns a sign each time
                            factor = _factor(sides[0], p + r) * jump / factorial(max(p - r, 0))
                            factor *= _factor(sides[1], o + s) * other / factorial(max(o - s, 0))
                            total = total + factor * _above(moments, p - r, o - s)
        return total


def _side(kink: Kink) -> float:
    return -1.0 if kink.at < 0 else 1.0


def _factor(side: float, p: int) -> float:
    """Return the factor of a power that goes to that side: (x - a)^p = (x - a)_+^p + (-1)^p (a - x)_+^p."""
    return 1.0 if side > 0 else (-1.0) ** (p + 1)


def _above(moments: Truncated, m: int, n: int) -> Array:
    """Return E[(u - h)_+^m (v - k)_+^n], where a power of -1 is a delta function and lower ones do not occur."""
    if m >= 0 and n >= 0:
        return moments.moment(m, n)
    if m == -1 and n == -1:
        return moments.density()
    if m == -1:
        return moments.at_u(n)
    return moments.at_v(m)


def _power_series(q: Float[np.ndarray, " k"], at: float, p: int, orders: int) -> Float[np.ndarray, "m k"]:
    """Return the coefficients of (x - at)_+^p: m derivatives of it, or p + 1 and the polynomial at the kink."""
    root = np.sqrt(np.maximum(q, 1e-290))
    z = np.clip(at / root, -1e100, 1e100)
    found = np.zeros((orders, len(q)))
    above = moments_above(np.clip(z, -1e100, 50.0), p)
    for m in range(min(p + 1, orders)):
        found[m] = factorial(p) / factorial(p - m) * above[p - m] / np.sqrt(float(factorial(m)))
    clipped = np.clip(z, -60.0, 60.0)
    before, now = np.zeros_like(z), density(clipped)
    for m in range(p + 1, orders):  # now is h_{m-p-1}(z) times the density
        order = m - p - 1
        found[m] = factorial(p) * now / np.sqrt(np.prod(np.arange(order + 1.0, m + 1.0)))
        before, now = now, (clipped * now - np.sqrt(order) * before) / np.sqrt(order + 1.0)
    return found * np.sqrt(q) ** p
