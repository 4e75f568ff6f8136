"""Duals of polynomials: the identity, powers, Hermite polynomials, and any other."""

from __future__ import annotations

from math import factorial, sqrt
from typing import Any

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.activations._base import LARGEST_DEGREE, Activation, Array, called, degree

__all__ = ["Hermite", "Identity", "Monomial", "Polynomial"]


class Identity(Activation):
    r"""phi(x) = x, so that kappa = c: a linear network."""

    name = "identity"
    rate = 0.0
    homogeneity = 1

    def __call__(self, x: Array) -> Array:
        """Return x."""
        return x if _arrays.is_foreign(x) else np.asarray(x, dtype=float)

    def derivative(self) -> tuple[float, Activation]:
        """Return nothing: the slope is a constant."""
        return 0.0, self

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return c."""
        return c + (0.0 * q1 + 0.0 * q2)

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return 1."""
        return 1.0 + (0.0 * q1 + 0.0 * q2 + 0.0 * c)

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return 0."""
        return 0.0 * q1 + 0.0 * q2 + 0.0 * c

    def kappa_q_ratio(self, q1: Array) -> Array:
        """Return 0."""
        return 0.0 * q1


class Polynomial(Activation):
    r"""phi(x) = sum_m a_m x^m (Isserlis, 1918; Daniely, Frostig and Singer, 2016).

    With A_k(q) = E[phi^{(k)}(sqrt(q) z)] = sum_j a_{k+2j} (k+2j)! q^j / (2^j j!)::

        kappa = sum_k A_k(q1) A_k(q2) c^k / k!

    and, as E[phi^{(m)}] of a derivative is a later A, kappa_c = sum_k A_{k+1} A_{k+1} c^k / k! and
    kappa_q = 1/2 sum_k A_{k+2}(q1) A_k(q2) c^k / k!.
    """

    rate = 0.0

    def __init__(self, *coefficients: float) -> None:
        given = coefficients or (0.0, 1.0, 0.5)
        self._set([_validate.finite(a, f"coefficient {m} of polynomial") for m, a in enumerate(given)])
        self.name = called("polynomial", *self._coefficients)

    def _set(self, coefficients: list[float]) -> None:
        if len(coefficients) > LARGEST_DEGREE + 1:
            raise InputError(
                "the polynomial",
                f"{len(coefficients)} coefficients",
                f"at most {LARGEST_DEGREE + 1}",
                f"its degree is at most {LARGEST_DEGREE}",
                verb="has",
            )
        self._coefficients = tuple(coefficients)
        self._degree = len(coefficients) - 1
        #: Row k holds the coefficients of A_k / sqrt(k!) in q.
        self._series = [
            [
                a * factorial(m) / (2.0 ** ((m - k) // 2) * factorial((m - k) // 2) * sqrt(factorial(k)))
                for m, a in enumerate(coefficients)
                if m >= k and (m - k) % 2 == 0
            ]
            for k in range(self._degree + 1)
        ]

    def __call__(self, x: Array) -> Array:
        """Return the value of the polynomial."""
        return _horner(list(self._coefficients), x)

    def derivative(self) -> tuple[float, Activation]:
        """Return the polynomial of the degree below."""
        lower = [m * a for m, a in enumerate(self._coefficients)][1:]
        return 1.0, Polynomial(*(lower or [0.0]))

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return sum_k A_k A_k c^k / k!."""
        return self._sum(q1, q2, c, 0, 0)

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return sum_k A_{k+1} A_{k+1} c^k / k!."""
        return self._sum(q1, q2, c, 1, 1)

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return 1/2 sum_k A_{k+2}(q1) A_k(q2) c^k / k!."""
        return 0.5 * self._sum(q1, q2, c, 2, 0)

    def _sum(self, q1: Array, q2: Array, c: Array, first: int, second: int) -> Array:
        """Return sum_k A_{k+first}(q1) A_{k+second}(q2) c^k / k!, by Horner's rule."""
        total: Any = 0.0 * q1 + 0.0 * q2 + 0.0 * c
        for k in range(self._degree - max(first, second), -1, -1):
            # of A_k / sqrt(k!) to A_{k+s} / sqrt(k!)
            left, right = (sqrt(factorial(k + s) / factorial(k)) for s in (first, second))
            term = (left * _horner(self._series[k + first], q1)) * (
                right * _horner(self._series[k + second], q2)
            )
            total = total * c + term
        return total


def _horner(coefficients: list[float], x: Array) -> Array:
    total = 0.0 * x
    for a in reversed(coefficients):
        total = total * x + a
    return total


class Monomial(Polynomial):
    r"""phi(x) = x^p."""

    def __init__(self, p: float = 2.0) -> None:
        power = degree(p, "p of monomial")
        self._set([0.0] * power + [1.0])
        self.homogeneity = power
        self.name = called("monomial", float(power))


class Hermite(Polynomial):
    r"""phi(x) = h_p(x), orthonormal under the standard normal distribution, so that kappa = c^p where q1 = q2 = 1."""

    def __init__(self, p: float = 2.0) -> None:
        order = degree(p, "p of hermite")
        series = np.polynomial.hermite_e.herme2poly([0.0] * order + [1.0]) / sqrt(factorial(order))
        self._set([float(a) for a in series])
        self.name = called("hermite", float(order))
