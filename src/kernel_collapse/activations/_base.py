"""What an activation is to this library: a function, and its expectations over a pair of correlated Gaussians."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._units import Array, in_units

__all__ = [
    "Activation",
    "ActivationLike",
    "Array",
    "angle",
    "called",
    "degree",
    "determinant",
    "product_is_safe",
]

#: Up to this product of two variances q1 q2 - c^2 can be taken together with what is added to it.
SAFE_PRODUCT = 2.0**24


def determinant(q1: Array, q2: Array, c: Array) -> Array:
    """Return ``q1 q2 - c**2``, never negative: its relative error is that of a subtraction.

    NaN where q1 q2 overflows, for what is left of it then means nothing.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        difference = q1 * q2
        if isinstance(difference, np.ndarray) and difference.shape == np.shape(c):
            overflows = _overflows(q1, q2)
            difference -= c * c  # in place, as the entries of a tile pass through the cache often enough
            np.maximum(difference, 0.0, out=difference)
            if overflows:
                difference[np.isinf(difference)] = np.nan
            return difference
        difference = difference - c * c
        if not _arrays.is_foreign(difference):
            difference = np.asarray(difference)
        xp = _arrays.namespace(difference)
        difference = xp.maximum(difference, 0.0)
        return xp.where(xp.isinf(difference), xp.full_like(difference, np.nan), difference)


def _overflows(q1: Array, q2: Array) -> bool:
    """Tell whether a product of two of NumPy's variances may; the two are seldom as large as their product."""
    most = np.max(q1, initial=0.0), np.max(q2, initial=0.0)
    return bool(np.isinf(np.multiply(*most)))


def product_is_safe(q1: Array, q2: Array, c: Array) -> bool:
    """Tell whether ``(r + q1) (r + q2) - c**2``, r of order one, is as good as ``r**2 + r (q1 + q2) + det``.

    It takes half the passes over the entries. It is as good where the variances of NumPy's arrays are small. This is
    looked at where they are few beside the entries, as of rows and columns of a block.
    """
    if not (isinstance(c, np.ndarray) and isinstance(q1, np.ndarray) and isinstance(q2, np.ndarray)):
        return False
    if q1.size + q2.size > c.size // 2 or np.broadcast_shapes(q1.shape, q2.shape) != c.shape:
        return False
    return bool(np.max(q1, initial=0.0) * np.max(q2, initial=0.0) <= SAFE_PRODUCT)


def angle(q1: Array, q2: Array, c: Array, det: Array | None) -> Array:
    """Return the angle between u and v, from the determinant if that is known, whatever their scale."""
    if det is None:
        (q1, q2, c), _ = in_units(q1, q2, c)
        det = determinant(q1, q2, c)
    xp = _arrays.namespace(det, c)
    return _arrays.angle_of(xp, _arrays.sqrt(xp, det), c)


class Activation(ABC):
    """An activation and its dual; `name` is what users type."""

    name: str
    #: Whether the dual has a square-root singularity at perfect correlation, so that the kernels should take
    #: the determinant of nearly collinear pairs from the rows themselves.
    needs_determinant: bool = False
    #: phi bends at arguments of the size 1/rate. Of variances far beyond its square the dual of nearly collinear pairs
    #: depends on their determinant, singular or not; 0 where it never does, as of polynomials.
    rate: float = 1.0
    #: Whether phi has a jump: then d kappa / d c grows without bound towards perfect correlation.
    jumps: bool = False
    #: p where phi(s x) = s^p phi(x) for every s > 0, else None: then the dual is the same at every scale.
    homogeneity: int | None = None
    #: About how long the dual takes, for estimates of whole runs.
    seconds_an_entry: float = 2.5e-8
    #: Relative error of the three moments on their diagonals, beyond round-off.
    accuracy: float = 0.0
    #: Where phi or its derivatives have a jump; an integral over phi is split there.
    kinks: tuple[float, ...] = ()

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

    def kappa_and_slopes(
        self, q1: Array, q2: Array, c: Array, det: Array | None = None
    ) -> tuple[Array, Array]:
        """Return `kappa` and the expected product of slopes, which the NTK is made of.

        That is `kappa_c`, but where phi has a jump: there the slope is meant almost everywhere, for a network is
        trained by the slopes that its samples see.
        """
        return self.kappa_and_c(q1, q2, c, det)

    def kappa_and_first(
        self, q1: Array, q2: Array, c: Array, det: Array | None = None
    ) -> tuple[Array, Array]:
        """Return `kappa` and c times the slopes, which T of the first layer becomes; override to save a pass."""
        kappa, slopes = self.kappa_and_slopes(q1, q2, c, det)
        return kappa, slopes * c

    def kappa_q_ratio(self, q1: Array) -> Array | None:
        """Return `kappa_q` / (c `kappa_c`) if that is a function of q1 alone, which saves much work, else None."""
        return None

    def require_unchanged(self) -> None:  # noqa: B027 -- not abstract: a named function stays what it is
        """Refuse a function of the user's that has other values than when the activation was made of it."""

    def require_seen(self, q: float) -> None:  # noqa: B027 -- not abstract: named functions are known
        """Refuse a function of the user's that has parts which a rule of nodes misses at that variance."""

    def derivative(self) -> tuple[float, Activation] | None:
        """Return phi', but for a constant, as a multiple of an activation; None where the dual of that is not known.

        The derivatives of `kappa_c` are those of the dual of phi', which the slopes of the NTK are made of.
        """
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


#: What a user may give for an activation: a name, an activation, or an elementwise function.
ActivationLike = str | Activation | Callable[[Any], Any]


def called(base: str, *parameters: float) -> str:
    """Return the name of an activation with parameters, as `kernel_collapse.activations.get` reads it."""
    return f"{base}({', '.join(repr(p).removesuffix('.0') for p in parameters)})"


#: Powers beyond this overflow for no more than large variances, and mean nothing as activations.
LARGEST_DEGREE = 20


def degree(value: Any, what: str, least: int = 0) -> int:
    """Return the degree of a polynomial, a whole number."""
    number = _validate.finite(value, what)
    if number != int(number) or not least <= number <= LARGEST_DEGREE:
        raise InputError.of(what, value, f"a whole number from {least} to {LARGEST_DEGREE}")
    return int(number)
