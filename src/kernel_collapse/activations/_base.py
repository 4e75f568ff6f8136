"""What an activation is to this library: a function, and its expectations over a pair of correlated Gaussians."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from kernel_collapse import _arrays, _validate

__all__ = ["Activation", "ActivationLike", "Array", "called", "degree", "determinant", "parameter"]

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
    #: Whether phi has a jump: then d kappa / d c grows without bound towards perfect correlation.
    jumps: bool = False
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


#: What a user may give for an activation: a name, an activation, or an elementwise function.
ActivationLike = str | Activation | Callable[[Any], Any]


def called(base: str, *parameters: float) -> str:
    """Return the name of an activation with parameters, as `kernel_collapse.activations.get` reads it."""
    return f"{base}({', '.join(repr(p).removesuffix('.0') for p in parameters)})"


def parameter(value: Any, what: str) -> float:
    """Return a parameter as a finite number."""
    return _validate.finite(value, what)


#: Powers beyond this overflow for no more than large variances, and mean nothing as activations.
LARGEST_DEGREE = 20


def degree(value: Any, what: str, least: int = 0) -> int:
    """Return the degree of a polynomial, a whole number."""
    number = parameter(value, what)
    if number != int(number) or not least <= number <= LARGEST_DEGREE:
        raise ValueError(
            f"{what} is {_validate.shown(value)}, expected a whole number from {least} to {LARGEST_DEGREE}."
        )
    return int(number)
