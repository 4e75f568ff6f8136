"""The piecewise polynomial with given jumps: its coefficients and its dual, both in closed form."""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np
from jaxtyping import Float

from kernel_collapse.activations._base import Array
from kernel_collapse.activations._kinks import Kink
from kernel_collapse.activations._truncated import Truncated, density, moments_above

__all__ = ["Piecewise"]


class Piecewise:
    """P(x) = sum of jump / p! (x - kink)_+^p, which jumps as another function does and is smooth elsewhere."""

    def __init__(self, kinks: tuple[Kink, ...]) -> None:
        self.kinks = kinks

    def __call__(self, x: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
        """Return P(x)."""
        total = np.zeros_like(x)
        for kink in self.kinks:
            above = np.maximum(x - kink.at, 0.0)
            for p, jump in enumerate(kink.jumps):
                if jump:
                    total += jump / factorial(p) * (above**p if p else (x > kink.at))
        return total

    def series(self, q: Float[np.ndarray, " k"], orders: int) -> Float[np.ndarray, "m k"]:
        """Return the coefficients S_m of P(sqrt(q) z)."""
        total = np.zeros((orders, len(q)))
        for kink in self.kinks:
            for p, jump in enumerate(kink.jumps):
                if jump:
                    total += jump / factorial(p) * _power_series(q, kink.at, p, orders)
        return total

    def moment(self, q1: Array, q2: Array, c: Array, det: Array, r: int, s: int) -> Array:
        """Return E[P^{(r)}(u) P^{(s)}(v)]."""
        det = np.asarray(det, dtype=float)
        total: Any = np.zeros(np.broadcast_shapes(q1.shape, q2.shape, c.shape))
        for first in self.kinks:
            for second in self.kinks:
                moments = Truncated(q1, q2, c, det, first.at, second.at)
                for p, jump in enumerate(first.jumps):
                    for o, other in enumerate(second.jumps):
                        if jump and other:
                            # the p! of the powers go as they are differentiated
                            factor = jump / factorial(max(p - r, 0)) * other / factorial(max(o - s, 0))
                            total = total + factor * _above(moments, p - r, o - s)
        return total


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
    return found * root**p
