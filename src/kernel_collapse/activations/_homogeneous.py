"""Duals of functions that are homogeneous on each side of zero: rectifiers, the sign, rectified powers.

All are functions of the angle t between u and v, cos t = c / sqrt(q1 q2) and sqrt(det) = sqrt(q1 q2) sin t, which comes
from atan2(sqrt(det), c): acos would lose half the digits next to the diagonal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from math import gamma, sqrt
from typing import Any

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._units import Array, in_units
from kernel_collapse.activations._base import Activation, called, degree, determinant

__all__ = ["ABReLU", "Abs", "LeakyReLU", "ReLU", "RectifiedMonomial", "Sign", "Step", "rectified_moments"]


def _at_every_scale(*less: tuple[int, int]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a method find the determinant itself, in units in which it neither overflows nor underflows.

    Of each thing that the method returns, `less` says by how much its degrees in u and in v are below those of phi.
    """

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def scaled(self: Activation, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Any:
            if det is not None:
                return method(self, q1, q2, c, det)
            moments, scales = in_units(q1, q2, c)
            found = method(self, *moments, determinant(*moments))
            if scales is None:
                return found
            p = self.homogeneity or 0
            values = found if len(less) > 1 else (found,)
            values = tuple(
                value * scales[0] ** float(p - of_u) * scales[1] ** float(p - of_v)
                for value, (of_u, of_v) in zip(values, less, strict=True)
            )
            return values if len(less) > 1 else values[0]

        return scaled

    return decorate


class ABReLU(Activation):
    r"""phi(x) = a min(x, 0) + b max(x, 0) (Cho and Saul, 2009, "Kernel methods for deep learning", order 1).

    phi is a line and an absolute value, (a + b)/2 x + (b - a)/2 |x|, whose mixed terms vanish. With
    A = (a + b)^2 / 4 and B = (b - a)^2 / 4::

        kappa_c = A + B (1 - 2t/pi),   kappa = (2B/pi) sqrt(det) + kappa_c c,
        kappa_q = (kappa - c kappa_c) / (2 q1) = B sqrt(det) / (pi q1)

    Where a variance is zero, kappa is 0 and phi has a kink, whose slope is taken for the mean of those on both sides.
    So kappa_c is A beside a variance that is not zero: the derivative of kappa without its even part. Of two variances
    of zero it is A + B, which is the derivative of kappa(q, q, q). kappa_q is 0.
    """

    needs_determinant = True
    homogeneity = 1
    kinks = (0.0,)

    def __init__(self, a: float = -0.5, b: float = 1.0) -> None:
        self._set(_validate.finite(a, "a of abrelu"), _validate.finite(b, "b of abrelu"))
        self.name = called("abrelu", self.a, self.b)

    def derivative(self) -> tuple[float, Activation]:
        """Return (b - a) times a step."""
        return self.b - self.a, Step()

    def _set(self, a: float, b: float) -> None:
        self.a, self.b = a, b
        self._line, self._bend = (a + b) ** 2 / 4.0, (b - a) ** 2 / 4.0

    def __call__(self, x: Array) -> Array:
        """Return a min(x, 0) + b max(x, 0)."""
        xp = _arrays.namespace(x)
        above = xp.maximum(x, 0.0)
        if self.a == 0.0:
            return above if self.b == 1.0 else self.b * above
        return self.b * above + self.a * xp.minimum(x, 0.0)

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return (2B/pi) sqrt(det) + kappa_c c."""
        return self.kappa_and_c(q1, q2, c, det)[0]

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return A + B (1 - 2t/pi)."""
        return _beside_zero(self.kappa_and_c(q1, q2, c, det)[1], q1, q2, self._line)

    @_at_every_scale((2, 0))
    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return B sqrt(det) / (pi q1)."""
        xp = _arrays.namespace(det)
        zero = 0.0 * q1
        factor = xp.where(q1 > 0, self._bend / np.pi / xp.where(q1 > 0, q1, zero + 1.0), zero)
        return _arrays.sqrt(xp, det) * factor

    @_at_every_scale((0, 0), (1, 1))
    def kappa_and_c(self, q1: Array, q2: Array, c: Array, det: Array) -> tuple[Array, Array]:
        """Return `kappa` and `kappa_c`, which share the angle."""
        root, kappa_c = self._bent_root(c, det)
        if isinstance(kappa_c, np.ndarray):
            root += kappa_c * c
            return root, kappa_c
        return root + kappa_c * c, kappa_c

    @_at_every_scale((0, 0), (0, 0))
    def kappa_and_first(self, q1: Array, q2: Array, c: Array, det: Array) -> tuple[Array, Array]:
        """Return `kappa` and c `kappa_c`, which is a part of it."""
        root, kappa_c = self._bent_root(c, det)
        if isinstance(kappa_c, np.ndarray):
            kappa_c *= c
            root += kappa_c
            return root, kappa_c
        first = kappa_c * c
        return root + first, first

    def _bent_root(self, c: Array, det: Array) -> tuple[Array, Array]:
        """Return (2B/pi) sqrt(det) and `kappa_c`."""
        xp = _arrays.namespace(det)
        root = _arrays.sqrt(xp, det)
        bend = 2.0 * self._bend / np.pi
        kappa_c = _arrays.angle_of(xp, root, c)
        if isinstance(kappa_c, np.ndarray):  # in place: the same numbers, and no memory is asked for
            kappa_c *= -bend
            kappa_c += self._line + self._bend
            root *= bend
            return root, kappa_c
        # A zero has a right angle with anything, which is not differentiated.
        origin = (root == 0) & (c == 0)
        kappa_c = xp.where(origin, xp.full_like(kappa_c, np.pi / 2.0), kappa_c)
        return bend * root, (self._line + self._bend) - bend * kappa_c

    def kappa_det(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return (A + B)^2 q1 q2 (1 - J^2), J the correlation of phi(u) and phi(v), keeping every digit of 1 - J."""
        xp = _arrays.namespace(det)
        root = _arrays.sqrt(xp, det)
        t = _arrays.angle_of(xp, root, c)
        acute = _arrays.angle_of(
            xp, root, xp.abs(c)
        )  # the absolute value sees no more of the angle than this
        of_abs = (
            2.0 * xp.sin(acute / 2.0) ** 2 * (1.0 - acute / (np.pi / 2.0))
            + _less_sine(xp, acute) * 2.0 / np.pi
        )
        whole = self._line + self._bend
        less = (self._line * 2.0 * xp.sin(t / 2.0) ** 2 + self._bend * of_abs) / whole
        more = (self._line * 2.0 * xp.cos(t / 2.0) ** 2 + self._bend * (2.0 - of_abs)) / whole
        return whole**2 * q1 * q2 * less * more


def _beside_zero(slopes: Array, q1: Array, q2: Array, mean: float) -> Array:
    """Return the slopes, with their mean over both signs of u where the variance of u or v, and no other, is 0."""
    if not _arrays.is_foreign(slopes) and np.min(q1, initial=1.0) > 0 and np.min(q2, initial=1.0) > 0:
        return slopes
    xp = _arrays.namespace(slopes)
    alone = (q1 > 0) != (q2 > 0)
    return xp.where(alone, mean + 0.0 * slopes, slopes)


def _less_sine(xp: Any, t: Array) -> Array:
    """Return t - sin t without cancellation."""
    return xp.where(t < 1e-2, t**3 / 6.0 * (1.0 - t**2 / 20.0 * (1.0 - t**2 / 42.0)), t - xp.sin(t))


class ReLU(ABReLU):
    r"""phi(x) = max(x, 0) (Cho and Saul, 2009, order 1): kappa_c = (pi - t) / (2 pi)."""

    name = "relu"

    def __init__(self) -> None:
        self._set(0.0, 1.0)


class LeakyReLU(ABReLU):
    r"""phi(x) = max(x, 0) + slope min(x, 0): `ABReLU` with a = slope and b = 1."""

    def __init__(self, slope: float = 0.01) -> None:
        self._set(_validate.finite(slope, "the slope of leaky_relu"), 1.0)
        self.name = called("leaky_relu", self.a)


class Abs(ABReLU):
    r"""phi(x) = |x|: `ABReLU` with a = -1 and b = 1."""

    name = "abs"

    def __init__(self) -> None:
        self._set(-1.0, 1.0)


class Sign(Activation):
    r"""phi(x) = sign(x), 0 at 0: kappa = 1 - 2t/pi (Sheppard, 1899; Cho and Saul, 2009, order 0).

    kappa_c = (2/pi) / sqrt(det) and kappa_q = -c kappa_c / (2 q1) are infinite at perfect correlation. The NTK takes
    the slope that sign has almost everywhere, which is 0.
    """

    name = "sign"
    needs_determinant = True
    homogeneity = 0
    jumps = True
    kinks = (0.0,)

    def __call__(self, x: Array) -> Array:
        """Return sign(x)."""
        return _arrays.namespace(x).sign(x)

    @_at_every_scale((0, 0))
    def kappa(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return 1 - 2t/pi; 0 where a variance is 0."""
        xp = _arrays.namespace(det)
        cosine = 1.0 - _arrays.angle_of(xp, _arrays.sqrt(xp, det), c) * (2.0 / np.pi)
        return xp.where((q1 > 0) & (q2 > 0), cosine, 0.0 * cosine)

    @_at_every_scale((1, 1))
    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return (2/pi) / sqrt(det), infinite at perfect correlation."""
        xp = _arrays.namespace(det)
        positive = det > 0
        inverse = (2.0 / np.pi) / xp.sqrt(xp.where(positive, det, xp.ones_like(det)))
        return xp.where(positive, inverse, xp.full_like(inverse, np.inf))

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return -c kappa_c / (2 q1); 0 where the variance of u is 0."""
        xp = _arrays.namespace(q1, q2, c)
        one = 1.0 + 0.0 * q1
        ratio = xp.where(q1 > 0, -0.5 * c / xp.where(q1 > 0, q1, one), 0.0 * c * q1)
        product = xp.where(ratio != 0, ratio, 1.0 + 0.0 * ratio) * self.kappa_c(q1, q2, c, det)
        return xp.where(ratio != 0, product, 0.0 * ratio)

    def kappa_and_slopes(
        self, q1: Array, q2: Array, c: Array, det: Array | None = None
    ) -> tuple[Array, Array]:
        """Return `kappa`, and 0."""
        kappa = self.kappa(q1, q2, c, det)
        return kappa, 0.0 * kappa

    def kappa_det(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return 1 - kappa^2 = (2t/pi) (2 - 2t/pi), of the acute angle."""
        xp = _arrays.namespace(det)
        share = _arrays.angle_of(xp, _arrays.sqrt(xp, det), xp.abs(c)) * (2.0 / np.pi)
        return share * (2.0 - share)


class Step(Sign):
    r"""phi(x) = 1 for x > 0 and 0 for x < 0 (1/2 at 0), which is (1 + sign(x)) / 2: kappa = (pi - t) / (2 pi)."""

    name = "step"

    def __call__(self, x: Array) -> Array:
        """Return (1 + sign(x)) / 2."""
        return 0.5 + 0.5 * super().__call__(x)

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return (pi - t) / (2 pi); 1/4 where a variance is 0."""
        return 0.25 + 0.25 * super().kappa(q1, q2, c, det)

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return 1 / (2 pi sqrt(det)), infinite at perfect correlation."""
        return 0.25 * super().kappa_c(q1, q2, c, det)

    def kappa_det(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return 1/4 - kappa^2 = (t/2 pi) (1 - t/2 pi); 1/2 1/4 - 1/16 where one of the variances is 0."""
        xp = _arrays.namespace(det)
        share = _arrays.angle_of(xp, _arrays.sqrt(xp, det), c) / (2.0 * np.pi)
        first, second = q1 > 0, q2 > 0
        one_of_two = 0.0625 * xp.where(first == second, 0.0 * share, 1.0 + 0.0 * share)
        return xp.where(first & second, share * (1.0 - share), one_of_two)


class RectifiedMonomial(Activation):
    r"""phi(x) = max(x, 0)^p, p >= 1 (Cho and Saul, 2009, order p).

    All from the moments M(m, n) = E[u_+^m v_+^n]: kappa = M(p, p), kappa_c = p^2 M(p-1, p-1) and
    kappa_q = p(p-1)/2 M(p-2, p). They follow from M(0, 0) = (pi - t) / (2 pi) by Stein's lemma::

        M(m, n) = q1 (m-1) M(m-2, n) + c n M(m-1, n-1),   with E[delta(u) v_+^n] in the place of (m-1) M(m-2, n) for m=1
    """

    kinks = (0.0,)
    rate = 0.0

    def __init__(self, p: float = 2.0) -> None:
        self.p = degree(p, "p of rectified_monomial", least=1)
        self.name = called("rectified_monomial", float(self.p))
        self.needs_determinant = self.p == 1
        self.homogeneity = self.p

    def __call__(self, x: Array) -> Array:
        """Return max(x, 0)^p."""
        return _arrays.namespace(x).maximum(x, 0.0) ** self.p

    def derivative(self) -> tuple[float, Activation]:
        """Return p max(x, 0)^(p - 1)."""
        return float(self.p), RectifiedMonomial(self.p - 1.0) if self.p > 1 else Step()

    @_at_every_scale((0, 0))
    def kappa(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return M(p, p)."""
        if self.p == 1:
            return ReLU().kappa(q1, q2, c, det)
        return rectified_moments(q1, q2, c, det)[0](self.p, self.p)

    @_at_every_scale((1, 1))
    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return p^2 M(p-1, p-1)."""
        if self.p == 1:
            return ReLU().kappa_c(q1, q2, c, det)
        return self.p**2 * rectified_moments(q1, q2, c, det)[0](self.p - 1, self.p - 1)

    @_at_every_scale((2, 0))
    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return p(p-1)/2 M(p-2, p)."""
        moment, at_zero = rectified_moments(q1, q2, c, det)
        if self.p == 1:
            return 0.5 * at_zero(1)
        return 0.5 * self.p * (self.p - 1) * moment(self.p - 2, self.p)

    def kappa_det(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return that of ReLU for p = 1."""
        return ReLU().kappa_det(q1, q2, c, det) if self.p == 1 else super().kappa_det(q1, q2, c, det)


def rectified_moments(
    q1: Array, q2: Array, c: Array, det: Array
) -> tuple[Callable[[int, int], Array], Callable[[int], Array]]:
    """Return the functions M(m, n) and E[delta(u) v_+^n]."""
    xp = _arrays.namespace(det)
    root = _arrays.sqrt(xp, det)

    def inverse(value: Array) -> Array:  # 0 where the variance is 0: so are the terms that it is in
        positive = value > 0
        return xp.where(positive, 1.0 / xp.where(positive, value, 1.0 + 0.0 * value), 0.0 * value)

    roots = tuple(_arrays.sqrt(xp, inverse(q + 0.0 * det)) for q in (q1, q2))

    def at_zero(n: int, of: int = 0) -> Array:
        half = 2.0 ** (n / 2.0) * gamma((n + 1) / 2.0) / (2.0 * sqrt(np.pi))  # E|z|^n / 2
        return half / sqrt(2.0 * np.pi) * roots[of] * (root * roots[of]) ** n

    @cache
    def moment(m: int, n: int) -> Array:
        if m == 0 and n == 0:
            return 0.5 - _arrays.angle_of(xp, root, c) / (2.0 * np.pi)
        if m == 0:
            first = (n - 1) * moment(0, n - 2) if n > 1 else at_zero(0, 1)
            return q2 * first + c * at_zero(n - 1)
        if n == 0:
            first = (m - 1) * moment(m - 2, 0) if m > 1 else at_zero(0)
            return q1 * first + c * at_zero(m - 1, 1)
        first = (m - 1) * moment(m - 2, n) if m > 1 else at_zero(n)
        return q1 * first + n * c * moment(m - 1, n - 1)

    return moment, at_zero
