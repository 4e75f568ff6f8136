r"""Dual activations: expectations of an activation over a pair of correlated Gaussians.

For zero-mean jointly Gaussian ``(u, v)`` with variances ``q1``, ``q2`` and covariance ``c``:

======================  ===============================================  =============================
method                  on paper                                         what it gives
======================  ===============================================  =============================
``kappa``               E[phi(u) phi(v)]                                 the NNGP
``kappa_c``             d kappa / d c = E[phi'(u) phi'(v)]               the NTK
``kappa_q``             d kappa / d q1 = E[phi''(u) phi(v)] / 2          the adaptive kernel's gradient
======================  ===============================================  =============================

All take arrays that broadcast, of NumPy (in float64), JAX, PyTorch or CuPy (in their own precision), and numbers; all
can be differentiated by the libraries that do. Next to the diagonal ``q1 q2 - c**2`` cancels; whoever knows that
determinant better than by subtraction (the kernels do, from the data) passes it as ``det``.

To add an activation, write a subclass of `Activation` and put it into ``_CLOSED_FORMS``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from kernel_collapse import _arrays, _validate

__all__ = ["Activation", "Erf", "Identity", "ReLU", "get", "names"]

Array = Any  # an array or a number; the three moments broadcast against one another


def determinant(q1: Array, q2: Array, c: Array) -> Array:
    """Return ``q1 q2 - c**2``, never negative: its relative error is that of a subtraction."""
    difference = q1 * q2
    if isinstance(difference, np.ndarray) and difference.shape == np.shape(c):
        difference -= c * c  # in place, as the entries of a tile pass through the cache often enough
        return np.maximum(difference, 0.0, out=difference)
    difference = difference - c * c
    return _arrays.namespace(difference).maximum(difference, 0.0)


class Activation(ABC):
    """An activation and its dual; `name` is what users type."""

    name: str
    #: Whether the dual has a square-root singularity at perfect correlation, so that the kernels should take
    #: the determinant of nearly collinear pairs from the rows themselves.
    needs_determinant: bool = False

    @abstractmethod
    def __call__(self, x: Array) -> Array:
        """Return phi(x), elementwise."""

    @abstractmethod
    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return E[phi(u) phi(v)]."""

    @abstractmethod
    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return E[phi'(u) phi'(v)], the derivative of `kappa` in the covariance."""

    @abstractmethod
    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return E[phi''(u) phi(v)] / 2, the derivative of `kappa` in the variance of u."""

    def kappa_and_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> tuple[Array, Array]:
        """Return `kappa` and `kappa_c`; override where the two share work."""
        return self.kappa(q1, q2, c, det), self.kappa_c(q1, q2, c, det)

    def kappa_q_ratio(self, q1: Array) -> Array | None:
        """Return `kappa_q` / (c `kappa_c`) if that is a function of q1 alone, which saves much work, else None."""
        return None

    def kappa_det(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return the determinant of the 2 x 2 matrix of `kappa` for nearly collinear pairs.

        The kernels ask for it, from layer to layer, only where `needs_determinant` is set; override it there, for
        this subtracts.
        """
        zero = _arrays.namespace(det).zeros_like(det)
        return determinant(
            self.kappa(q1, q1, q1, zero), self.kappa(q2, q2, q2, zero), self.kappa(q1, q2, c, det)
        )

    def __repr__(self) -> str:
        return f"<activation {self.name}>"


class Identity(Activation):
    r"""phi(x) = x, so that kappa = c: a linear network."""

    name = "identity"

    def __call__(self, x: Array) -> Array:
        """Return x."""
        return x if _arrays.is_foreign(x) else np.asarray(x, dtype=float)

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return c."""
        return c + 0.0 * (q1 * q2)

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return 1."""
        return 1.0 + 0.0 * (q1 * q2 * c)

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return 0."""
        return 0.0 * (q1 * q2 * c)

    def kappa_q_ratio(self, q1: Array) -> Array:
        """Return 0."""
        return 0.0 * q1


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
        return self._angle(self._inverse_root(q1, q2, c, det), c)

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return (4/pi) / sqrt(D1 D2 - 4c^2)."""
        return (2.0 / np.pi) * self._inverse_root(q1, q2, c, det)

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return -kappa_c c / D1."""
        return self.kappa_c(q1, q2, c, det) * c * self.kappa_q_ratio(q1)

    def kappa_and_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> tuple[Array, Array]:
        """Return `kappa` and `kappa_c`, which share the square root."""
        inverse_root = self._inverse_root(q1, q2, c, det)
        return self._angle(inverse_root, c), (2.0 / np.pi) * inverse_root

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
    def _angle(inverse_root: Array, c: Array) -> Array:
        """Return (2/pi) atan(c inverse_root)."""
        tangent = inverse_root * c
        if isinstance(tangent, np.ndarray):
            np.arctan(tangent, out=tangent)
            tangent *= 2.0 / np.pi
            return tangent
        return (2.0 / np.pi) * _arrays.namespace(tangent).atan(tangent)

    def kappa_q_ratio(self, q1: Array) -> Array:
        """Return -1 / D1."""
        return -1.0 / (1.0 + 2.0 * q1)


class ReLU(Activation):
    r"""phi(x) = max(x, 0) (Cho and Saul, 2009, "Kernel methods for deep learning", order 1).

    With t the angle between the two, cos t = c / sqrt(q1 q2) and sqrt(det) = sqrt(q1 q2) sin t:
    kappa = (sqrt(det) + (pi - t) c) / (2 pi), kappa_c = (pi - t) / (2 pi),
    kappa_q = (kappa - c kappa_c) / (2 q1) = sqrt(det) / (4 pi q1).

    The angle comes from atan2(sqrt(det), c); acos would lose half the digits next to the diagonal.
    Where a variance is zero, kappa is 0, and the derivatives (which do not exist there) take the values 1/2
    and 0; no kernel of this library multiplies them by anything but 0.
    """

    name = "relu"
    needs_determinant = True

    def __call__(self, x: Array) -> Array:
        """Return max(x, 0)."""
        return _arrays.namespace(x).maximum(x, 0.0)

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return (sqrt(det) + (pi - t) c) / (2 pi)."""
        return self.kappa_and_c(q1, q2, c, det)[0]

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return (pi - t) / (2 pi)."""
        return self.kappa_and_c(q1, q2, c, det)[1]

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return sqrt(det) / (4 pi q1)."""
        det = determinant(q1, q2, c) if det is None else det
        xp = _arrays.namespace(det)
        zero = 0.0 * q1
        return _arrays.sqrt(xp, det) * xp.where(q1 > 0, 0.25 / np.pi / xp.where(q1 > 0, q1, zero + 1.0), zero)

    def kappa_and_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> tuple[Array, Array]:
        """Return `kappa` and `kappa_c`, which share the angle."""
        det = determinant(q1, q2, c) if det is None else det
        xp = _arrays.namespace(det)
        root = _arrays.sqrt(xp, det)
        kappa_c = 0.5 - xp.atan2(root, c) / (2.0 * np.pi)
        return root / (2.0 * np.pi) + kappa_c * c, kappa_c

    def kappa_det(self, q1: Array, q2: Array, c: Array, det: Array) -> Array:
        """Return q1 q2 (1 - J^2) / 4 with J = 2 kappa / sqrt(q1 q2), keeping every digit of 1 - J."""
        xp = _arrays.namespace(det)
        t = xp.atan2(_arrays.sqrt(xp, det), c)
        t_minus_sin = xp.where(
            t < 1e-2, t**3 / 6.0 * (1.0 - t**2 / 20.0 * (1.0 - t**2 / 42.0)), t - xp.sin(t)
        )
        one_minus_j = ((np.pi - t) * 2.0 * xp.sin(t / 2.0) ** 2 + t_minus_sin) / np.pi
        return 0.25 * q1 * q2 * one_minus_j * (2.0 - one_minus_j)


_CLOSED_FORMS: dict[str, Activation] = {a.name: a for a in (Erf(), Identity(), ReLU())}


def names() -> tuple[str, ...]:
    """Return the names of the activations that have a closed form.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.activations.names()
    ('erf', 'identity', 'relu')
    """
    return tuple(sorted(_CLOSED_FORMS))


def get(activation: str | Activation) -> Activation:
    """Return the activation of that name (an `Activation` is passed through).

    Raises
    ------
    ValueError
        If there is none of that name; the closest names are suggested.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> float(kc.activations.get("relu").kappa(1.0, 1.0, 1.0))
    0.5
    """
    if isinstance(activation, Activation):
        return activation
    return _CLOSED_FORMS[_validate.choice(activation, names(), "activation")]
