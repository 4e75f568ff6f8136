"""Duals of the error function, shifted and scaled, and of GELU, which is made of it."""

from __future__ import annotations

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse.activations._base import Activation, Array, called, determinant, product_is_safe
from kernel_collapse.activations._exponential import Gaussian
from kernel_collapse.activations._logistic import gelu_moments

__all__ = ["GELU", "Erf", "ScaledErf"]


class Erf(Activation):
    r"""phi(x) = erf(x) (Williams, 1997, "Computing with infinite networks").

    With D = 1 + 2q: kappa = (2/pi) asin(2c / sqrt(D1 D2)), kappa_c = (4/pi) / sqrt(D1 D2 - 4c^2),
    kappa_q = -kappa_c c / D1. Here D1 D2 - 4c^2 = 1 + 2(q1 + q2) + 4 det, which never cancels.
    """

    name = "erf"

    def __call__(self, x: Array) -> Array:
        """Return erf(x)."""
        return _arrays.erf(x)

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return (2/pi) asin(2c / sqrt(D1 D2)), the angle taken from its tangent."""
        return self._angle(self._tangent(q1, q2, c, det))

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return (4/pi) / sqrt(D1 D2 - 4c^2)."""
        if det is None and product_is_safe(q1, q2, c):
            root = self._safe_root(q1, q2, c)
            return np.divide(2.0 / np.pi, root, out=root)
        return (2.0 / np.pi) * self._inverse_root(q1, q2, c, det)

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return -kappa_c c / D1."""
        return self.kappa_c(q1, q2, c, det) * c * self.kappa_q_ratio(q1)

    def kappa_and_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> tuple[Array, Array]:
        """Return `kappa` and `kappa_c`, which share the square root."""
        if det is None and product_is_safe(q1, q2, c):
            root = self._safe_root(q1, q2, c)
            return self._angle(c / root), np.divide(2.0 / np.pi, root, out=root)
        inverse_root = self._inverse_root(q1, q2, c, det)
        return self._angle(inverse_root * c), (2.0 / np.pi) * inverse_root

    def kappa_and_first(
        self, q1: Array, q2: Array, c: Array, det: Array | None = None
    ) -> tuple[Array, Array]:
        """Return `kappa` and c `kappa_c`: the angle and its tangent, each times 2/pi."""
        tangent = self._tangent(q1, q2, c, det)
        if isinstance(tangent, np.ndarray):
            angle = np.arctan(tangent)
            angle *= 2.0 / np.pi
            tangent *= 2.0 / np.pi
            return angle, tangent
        return self._angle(tangent), (2.0 / np.pi) * tangent

    def _tangent(self, q1: Array, q2: Array, c: Array, det: Array | None) -> Array:
        """Return 2c / sqrt(D1 D2 - 4c^2)."""
        if det is None and product_is_safe(q1, q2, c):
            root = self._safe_root(q1, q2, c)
            return np.divide(c, root, out=root)
        return self._inverse_root(q1, q2, c, det) * c

    @staticmethod
    def _safe_root(q1: np.ndarray, q2: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Return sqrt(D1 D2 - 4c^2) / 2 of small variances, without the determinant."""
        square = np.multiply(0.5 + q1, 0.5 + q2)
        square -= c * c
        return np.sqrt(square, out=square)

    @staticmethod
    def _inverse_root(q1: Array, q2: Array, c: Array, det: Array | None) -> Array:
        """Return 2 / sqrt(D1 D2 - 4c^2); of NumPy's arrays in as few passes and as little memory as can be."""
        det = determinant(q1, q2, c) if det is None else det
        scale = (0.25 + 0.5 * q1) + 0.5 * q2
        if isinstance(scale, np.ndarray) and scale.shape == np.shape(det):
            scale += det
            np.sqrt(scale, out=scale)
            return np.divide(1.0, scale, out=scale)
        scale = scale + det
        return 1.0 / _arrays.namespace(scale).sqrt(scale)

    @staticmethod
    def _angle(tangent: Array) -> Array:
        """Return (2/pi) atan; of NumPy's arrays in their place."""
        if isinstance(tangent, np.ndarray):
            np.arctan(tangent, out=tangent)
            tangent *= 2.0 / np.pi
            return tangent
        return (2.0 / np.pi) * _arrays.namespace(tangent).atan(tangent)

    def derivative(self) -> tuple[float, Activation]:
        """Return (2 / sqrt(pi)) exp(-x^2)."""
        return 2.0 / float(np.sqrt(np.pi)), Gaussian(1.0, -1.0)

    def kappa_q_ratio(self, q1: Array) -> Array:
        """Return -1 / D1."""
        return -1.0 / (1.0 + 2.0 * q1)


class ScaledErf(Activation):
    r"""phi(x) = a erf(b x) + shift: the dual of erf at b^2 q and b^2 c, times a^2, plus shift^2.

    The mixed terms vanish, for erf is odd. ``scaled_erf(0.5, 0.4163, 0.5)`` is close to the logistic sigmoid.
    """

    def __init__(self, a: float = 1.0, b: float = 1.0, shift: float = 0.0) -> None:
        self.a, self.b = _validate.finite(a, "a of scaled_erf"), _validate.finite(b, "b of scaled_erf")
        self.shift = _validate.finite(shift, "shift of scaled_erf")
        self.name = called("scaled_erf", self.a, self.b, self.shift)
        self._erf = Erf()
        self.rate = abs(self.b)

    def _scaled(self, q1: Array, q2: Array, c: Array, det: Array | None) -> tuple[Array, ...]:
        square = self.b**2
        return square * q1, square * q2, square * c, None if det is None else square**2 * det

    def __call__(self, x: Array) -> Array:
        """Return a erf(b x) + shift."""
        return self.a * _arrays.erf(self.b * x) + self.shift

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return a^2 kappa_erf + shift^2."""
        return self.a**2 * self._erf.kappa(*self._scaled(q1, q2, c, det)) + self.shift**2

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return a^2 b^2 times that of erf."""
        return (self.a * self.b) ** 2 * self._erf.kappa_c(*self._scaled(q1, q2, c, det))

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return a^2 b^2 times that of erf."""
        return (self.a * self.b) ** 2 * self._erf.kappa_q(*self._scaled(q1, q2, c, det))

    def derivative(self) -> tuple[float, Activation]:
        """Return (2 a b / sqrt(pi)) exp(-b^2 x^2)."""
        return 2.0 * self.a * self.b / float(np.sqrt(np.pi)), Gaussian(1.0, -(self.b**2))

    def kappa_q_ratio(self, q1: Array) -> Array:
        """Return -b^2 / (1 + 2 b^2 q1)."""
        return self.b**2 * self._erf.kappa_q_ratio(self.b**2 * q1)


class GELU(Activation):
    r"""phi(x) = x Phi(x) with the normal distribution function Phi, the exact GELU (not its tanh approximation).

    See Tsuchida et al. (2021), "Avoiding kernel fixed points: computing with ELU and GELU infinite networks". With
    D = 1 + q, E = 1 + q1 + q2 + det = D1 D2 - c^2 and s = 1/4 + atan(c / sqrt E) / (2 pi)::

        kappa   = s c + ( det + c^2 (1/D1 + 1/D2) ) / (2 pi sqrt E)
        kappa_c = s + c (1/D1 + 1/D2 + 1/E) / (2 pi sqrt E)
        kappa_q = ( (det - 1) / (2 D1) + E / D1^2 - D2 / (2 E) ) / (2 pi sqrt E)
    """

    name = "gelu"

    def __call__(self, x: Array) -> Array:
        """Return x Phi(x)."""
        return 0.5 * x * (1.0 + _arrays.erf(x * float(np.sqrt(0.5))))

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return E[phi(u) phi(v)]."""
        return self._moments(q1, q2, c, det)[0]

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return its derivative in c."""
        return self._moments(q1, q2, c, det)[1]

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return its derivative in q1."""
        return self._moments(q1, q2, c, det)[2]

    def kappa_and_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> tuple[Array, Array]:
        """Return both, which share the angle."""
        return self._moments(q1, q2, c, det)[:2]

    @staticmethod
    def _moments(q1: Array, q2: Array, c: Array, det: Array | None) -> tuple[Array, Array, Array]:
        return gelu_moments(q1, q2, c, determinant(q1, q2, c) if det is None else det, 1.0, 1.0)
