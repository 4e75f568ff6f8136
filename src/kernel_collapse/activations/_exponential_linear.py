r"""Duals of ELU and SELU at any variance (Tsuchida et al., 2021, "Avoiding kernel fixed points").

With a = sqrt(q1), b = sqrt(q2) and t the angle between u and v, all expectations of e^u and e^v over quadrants are sums
of one function of two numbers, what is left of Owen's T function beyond a point, in units of its integrand there::

    S(p, d) = p / (2 pi) int_0^inf exp(-(y^2 + 2 d y) / 2) / (p^2 + (d + y)^2) dy

    E[e^{u+v} 1(u<0, v<0)] = S(a + b cos t, b sin t) + S(b + a cos t, a sin t)
    E[e^u 1(u<0, v<0)]     = S(a, 0) + S(a cos t, a sin t),   E[e^u 1(u<0, v>0)] = S(a, 0) - S(a cos t, a sin t)

so that nothing overflows, however large the variances. S(p, 0) is erfcx(p / sqrt 2) / 4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from math import factorial
from typing import Any

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._shapes import Float
from kernel_collapse.activations._base import Activation, Array, angle, called
from kernel_collapse.activations._homogeneous import rectified_moments

__all__ = ["ELU", "SELU"]

ROOT_TAU, HALF_ROOT = float(np.sqrt(2.0 * np.pi)), float(np.sqrt(0.5))
NODES = 40
PIECE = 4096
#: exp(-REACH) is what the integral leaves out.
REACH = 38.0
#: Where both variances are below SMALL, 1 and e^u cancel: powers of u and v are summed, to this degree together.
SMALL, POWERS = 1e-3, 10
#: A deviation whose square is below TINY beside a larger one: the dual over it is read off these.
TINY = 1e-6
STEPS = 0.01 * np.arange(1.0, 7.0)


class ELU(Activation):
    r"""phi(x) = x for x > 0 and alpha (e^x - 1) below.

    With R the moments of `rectified_monomial`, D(u) = E[delta(u) ...], and the expectations of the module::

        kappa   = R(1, 1) + alpha ( X(u, v) + X(v, u) ) + alpha^2 E[(e^u - 1)(e^v - 1) 1(u<0, v<0)]
        X(u, v) = E[u_+ (e^v - 1) 1(v<0)] = q1 D(u)[(e^v - 1) 1(v<0)] + c E[1(u>0) e^v 1(v<0)]
        kappa_c = R(0, 0) + alpha ( E[1(u>0) e^v 1(v<0)] + E[e^u 1(u<0) 1(v>0)] ) + alpha^2 E[e^{u+v} 1(u<0, v<0)]
        kappa_q = ( alpha E[e^u 1(u<0) phi(v)] + (1 - alpha) D(u)[phi(v)] ) / 2
    """

    kinks = (0.0,)
    accuracy = 1e-13
    seconds_an_entry = 4e-6

    def __init__(self, alpha: float = 1.0) -> None:
        self._set(_validate.finite(alpha, "alpha of elu"), 1.0)
        self.name = called("elu", self.alpha)

    def _set(self, alpha: float, scale: float) -> None:
        self.alpha, self.scale = alpha, scale
        self.needs_determinant = alpha != 1.0

    def __call__(self, x: Array) -> Array:
        """Return x or alpha (e^x - 1), times the scale."""
        xp = _arrays.namespace(x)
        x = x if _arrays.is_foreign(x) else np.asarray(x, dtype=float)
        below = xp.where(x > 0, xp.zeros_like(x), x)  # a minimum has the slope 1/2 at 0
        return self.scale * xp.where(x > 0, x, self.alpha * xp.expm1(below))

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return E[phi(u) phi(v)]."""
        return self._at_any_variance(0, q1, q2, c, det)

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return its derivative in c."""
        pair = _Pair(q1, q2, angle(q1, q2, c, det))
        return self.scale**2 * self._with_slopes_at_zero(pair, q1, q2, self._slopes(pair))

    def _with_slopes_at_zero(self, pair: _Pair, q1: Array, q2: Array, slopes: Array) -> Array:
        """Return the slopes, where a variance is 0 with the slope at 0, which is the mean of those on both sides."""
        xp = _arrays.namespace(slopes)
        if not _arrays.is_foreign(slopes) and np.min(q1, initial=1.0) > 0 and np.min(q2, initial=1.0) > 0:
            return slopes
        q1, q2 = q1 + 0.0 * slopes, q2 + 0.0 * slopes
        one = xp.where(q1 > 0, self._mean_slope(pair.a), self._mean_slope(pair.b))
        none = 0.5 * (1.0 + self.alpha**2) + 0.0 * slopes
        slopes = xp.where((q1 > 0) & (q2 > 0), slopes, 0.5 * (1.0 + self.alpha) * one)
        return xp.where((q1 > 0) | (q2 > 0), slopes, none)

    def _mean_slope(self, deviation: Array) -> Array:
        """Return E[phi'(u)] over the scale."""
        return 0.5 + 0.5 * self.alpha * _arrays.erfcx(deviation * HALF_ROOT)

    def kappa_and_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> tuple[Array, Array]:
        """Return both, which share the integrals."""
        t = angle(q1, q2, c, det)
        if _arrays.is_foreign(t) or np.min(q1, initial=1.0) <= SMALL or np.min(q2, initial=1.0) <= SMALL:
            return self.kappa(q1, q2, c, det), self.kappa_c(q1, q2, c, det)
        pair = _Pair(*(np.asarray(value) for value in (q1, q2, t)))
        return self.scale**2 * self._values(pair), self.scale**2 * self._slopes(pair)

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return its derivative in q1."""
        return self._at_any_variance(1, q1, q2, c, det)

    def _at_any_variance(self, which: int, q1: Array, q2: Array, c: Array, det: Array | None) -> Array:
        """Return kappa or kappa_q, each pair in the way that keeps its digits."""
        t = angle(q1, q2, c, det)
        closed, powers = ((self._values, self._powers), (self._bends, self._powers_of_bends))[which]
        if _arrays.is_foreign(t):
            xp = _arrays.namespace(t)
            q1, q2 = q1 + 0.0 * t, q2 + 0.0 * t
            pair = _Pair(q1, q2, t)
            value = xp.where((q1 <= SMALL) & (q2 <= SMALL), powers(pair), closed(pair))
            # Next to a variance of 0 kappa is 0, as c is, with the slope kappa_c.
            at_zero = xp.zeros_like(value)
            if which == 0:
                slopes = self._with_slopes_at_zero(pair, q1, q2, at_zero)
                at_zero = (c + at_zero) * _arrays.constant(slopes)
            return self.scale**2 * xp.where((q1 > 0) & (q2 > 0), value, at_zero)
        q1, q2, t = np.broadcast_arrays(*(np.asarray(value) for value in (q1, q2, t)))
        few = (q1 <= SMALL) & (q2 <= SMALL)
        tiny = ~few & ((q2 if which else np.minimum(q1, q2)) < TINY)
        value = np.zeros(t.shape, dtype=np.result_type(q1, q2, t, np.float32))
        ways: tuple[tuple[Any, Callable[..., Array]], ...] = (
            (few, lambda *pair: powers(_Pair(*pair))),
            (tiny, lambda *pair: self._extrapolated(closed, *pair)),
            (~few & ~tiny, lambda *pair: closed(_Pair(*pair))),
        )
        for mask, way in ways:
            of_some = mask & (q1 > 0) & (q2 > 0)
            if of_some.all():
                return self.scale**2 * way(q1, q2, t)
            if of_some.any():
                value[of_some] = way(q1[of_some], q2[of_some], t[of_some])
        return self.scale**2 * value

    @staticmethod
    def _extrapolated(closed: Any, q1: Array, q2: Array, t: Array) -> Array:
        """Return what is a polynomial in a small deviation but for its first power, read off larger deviations."""
        first = q1 < q2
        root = np.sqrt(np.minimum(q1, q2))
        total: Any = 0.0
        for i, step in enumerate(STEPS):
            others = np.delete(STEPS, i)
            weight = np.prod([(root - other) / (step - other) for other in others], axis=0)
            value = closed(_Pair(np.where(first, step**2, q1), np.where(first, q2, step**2), t))
            total = total + weight * value / step
        return total * root

    def _values(self, pair: _Pair) -> Array:
        products = pair.both - sum(pair.of_u) - sum(pair.of_v) + pair.quadrant
        at_zero = pair.a * (pair.given_u - 0.5) + pair.b * (pair.given_v - 0.5)
        mixed = at_zero / ROOT_TAU + pair.c * pair.beside
        ramps = pair.a * pair.b * pair.sine / (2.0 * np.pi) + pair.c * pair.quadrant
        return ramps + self.alpha * mixed + self.alpha**2 * products

    def _slopes(self, pair: _Pair) -> Array:
        return pair.quadrant + self.alpha * pair.beside + self.alpha**2 * pair.both

    def _bends(self, pair: _Pair) -> Array:
        beside_u = pair.of_u[0] - pair.of_u[1]
        curved = (
            pair.b * pair.given_v / ROOT_TAU
            + pair.b * pair.cosine * (pair.a * beside_u - 0.5 / ROOT_TAU)
            + self.alpha * (pair.both - sum(pair.of_u))
        )
        at_kink = (pair.b * pair.sine / ROOT_TAU + self.alpha * (pair.given_u - 0.5)) / (ROOT_TAU * pair.a)
        return 0.5 * (self.alpha * curved + (1.0 - self.alpha) * at_kink)

    def _powers(self, pair: _Pair) -> Array:
        """Return kappa from phi(x) = x_+ + alpha sum_k (-1)^k x_-^k / k!."""
        (same, _), (other, _) = pair.powers(1.0), pair.powers(-1.0)
        total = pair.a * pair.b * same(1, 1)
        for k in range(1, POWERS):
            of_k = self.alpha * (-1.0) ** k / factorial(k)
            total = total + of_k * (pair.a**k * pair.b * other(k, 1) + pair.a * pair.b**k * other(1, k))
            for m in range(1, POWERS + 1 - k):
                of_m = self.alpha * (-1.0) ** m / factorial(m)
                total = total + of_k * of_m * (pair.a**k * pair.b**m) * same(k, m)
        return total

    def _powers_of_bends(self, pair: _Pair) -> Array:
        """Return kappa_q likewise, with phi''(x) = alpha sum_k (-1)^k x_-^k / k! + (1 - alpha) delta(x)."""
        (same, at_zero), (other, _) = pair.powers(1.0), pair.powers(-1.0)
        at_kink = pair.b * at_zero(1)
        total: Any = 0.0
        for k in range(POWERS):
            of_k = self.alpha * (-1.0) ** k / factorial(k)
            total = total + of_k * pair.a**k * pair.b * other(k, 1)
            for m in range(1, POWERS + 1 - k):
                of_m = self.alpha * (-1.0) ** m / factorial(m)
                total = total + of_k * of_m * pair.a**k * pair.b**m * same(k, m)
                if k == 0:
                    at_kink = at_kink + of_m * pair.b**m * at_zero(m)
        return 0.5 * (total + (1.0 - self.alpha) * at_kink / pair.a)


class SELU(ELU):
    r"""phi(x) = 1.0507 ELU(x) with alpha = 1.6733 (Klambauer et al., 2017, "Self-normalizing neural networks").

    The two numbers, of which it has 17 digits, make variance 1 a fixed point at which phi has mean 0.
    """

    name = "selu"

    def __init__(self) -> None:
        self._set(1.6732632423543772, 1.0507009873554805)


class _Pair:
    """What the formulas share: deviations, the angle, and the expectations of exponentials, each found once."""

    def __init__(self, q1: Array, q2: Array, t: Array) -> None:
        xp = _arrays.namespace(t)
        self.a, self.b = (xp.sqrt(xp.where(q > 0, q, 1.0 + 0.0 * q)) for q in (q1, q2))
        self.t, self.cosine, self.sine = t, xp.cos(t), xp.where(t < np.pi, xp.sin(t), 0.0 * t)
        self.c = self.a * self.b * self.cosine
        self.quadrant = 0.5 - t / (2.0 * np.pi)

    def powers(self, sign: float) -> tuple[Any, Any]:
        """Return the rectified moments of unit variances; those of u and -v for the sign -1."""
        one = 1.0 + 0.0 * self.cosine
        return rectified_moments(one, one, sign * self.cosine, self.sine * self.sine)

    @cached_property
    def given_u(self) -> Array:
        """E[e^v 1(v<0)] given u = 0."""
        return 0.5 * _arrays.erfcx(self.b * self.sine * HALF_ROOT)

    @cached_property
    def given_v(self) -> Array:
        """E[e^u 1(u<0)] given v = 0."""
        return 0.5 * _arrays.erfcx(self.a * self.sine * HALF_ROOT)

    @cached_property
    def of_u(self) -> tuple[Array, Array]:
        """Half of E[e^u 1(u<0)], and what v adds to it where it is below 0 and takes where above."""
        half = 0.25 * _arrays.erfcx(self.a * HALF_ROOT)
        return half, _beyond(self.a * self.cosine, self.a * self.sine)

    @cached_property
    def of_v(self) -> tuple[Array, Array]:
        """Likewise of E[e^v 1(v<0)]."""
        half = 0.25 * _arrays.erfcx(self.b * HALF_ROOT)
        return half, _beyond(self.b * self.cosine, self.b * self.sine)

    @cached_property
    def both(self) -> Array:
        """E[e^{u+v} 1(u<0, v<0)]."""
        return _beyond(self._sum(self.a, self.b), self.b * self.sine) + _beyond(
            self._sum(self.b, self.a), self.a * self.sine
        )

    def _sum(self, a: Array, b: Array) -> Array:
        """Return a + b cos t, which next to 180 degrees is a difference: of equal deviations no round-off is left."""
        xp = _arrays.namespace(self.t)
        half = xp.where(
            self.sine > 0, xp.cos(0.5 * self.t), 0.0 * self.t
        )  # of the number next to pi it is 6e-17
        return xp.where(self.cosine < 0, (a - b) + 2.0 * b * half * half, a + b * self.cosine)

    @cached_property
    def beside(self) -> Array:
        """E[e^u 1(u<0, v>0)] + E[e^v 1(u>0, v<0)]."""
        return self.of_u[0] - self.of_u[1] + (self.of_v[0] - self.of_v[1])


@lru_cache(maxsize=1)
def _rule() -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    points, weights = np.polynomial.legendre.leggauss(NODES)
    return 0.5 * (points + 1.0), 0.5 * weights


def _beyond(p: Array, d: Array) -> Array:
    """Return S(p, d) to 1e-14; of NumPy's arrays in pieces that stay in the cache from node to node."""
    if _arrays.is_foreign(p):
        return _integral(p, d)
    p, d = np.broadcast_arrays(p, d)
    flat = p.reshape(-1), d.reshape(-1)
    pieces = [slice(start, start + PIECE) for start in range(0, p.size, PIECE)]
    return np.concatenate([_integral(flat[0][part], flat[1][part]) for part in pieces]).reshape(p.shape)


def _integral(p: Array, d: Array) -> Array:
    """Return S(p, d).

    The integral of the denominator alone is an angle. What remains is the integral of exp(...) - 1, up to where the
    exponential is 0, by a Gauss rule in log(1 + y / h), h the distance from the poles or far enough.
    """
    xp = _arrays.namespace(p, d)
    reach = 2.0 * REACH / (d + xp.sqrt(d * d + 2.0 * REACH))
    h = xp.sqrt(p * p + d * d + (1e-30 if xp.finfo(p.dtype).bits == 32 else 1e-300))
    h = xp.minimum(h, 100.0 * reach)
    span = xp.log1p(reach / h)
    square, total = p * p, 0.0 * p
    for node, weight in zip(*_rule(), strict=True):
        above = h * xp.exp(float(node) * span)  # y + h
        at = above + (d - h)  # y + d
        left = xp.exp(0.5 * (above - h) * (h - above - 2.0 * d)) - 1.0
        total = total + float(weight) * left * above / (square + at * at)
    between = _arrays.angle_of(xp, p * reach, square + d * (d + reach))
    return (between + p * span * total) / (2.0 * np.pi)
