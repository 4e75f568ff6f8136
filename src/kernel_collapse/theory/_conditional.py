r"""Expectations of an activation over one Gaussian variable u = m + sqrt(v) z, for arrays of m and v.

Given the weights w of a unit, its pre-activation of a Gaussian sample is Gaussian; what a kernel needs of it is here.
Differences that cancel (variances, where v is small) are written so that they do not:

erf, with D = 1 + 2v::

    E phi = erf(m / sqrt D),   E phi' = 2/sqrt(pi D) exp(-m^2/D),   E phi'^2 = 4/pi (1 + 4v)^(-1/2) exp(-2m^2/(1 + 4v))
    Var phi = 8 (T(h, 1) - T(h, a)) = 4/pi int_a^1 exp(-m^2 (1 + x^2) / D) / (1 + x^2) dx,  a = (1 + 4v)^(-1/2)

with Owen's function T and h = m sqrt(2/D), since E erf(u)^2 = 1 - 8 T(h, a).

ReLU, with t = m / sqrt v and Phi the normal distribution function::

    E phi = sqrt(v) (t Phi + Phi'),   E phi' = Phi,   E phi'' = Phi'/sqrt(v)

Any other activation is integrated numerically, split at its kinks; its derivatives are not needed, as by Stein's lemma
E phi' = E[phi z] / sqrt v and E phi'' = E[phi (z^2 - 1)] / v.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import erf as _erf
from scipy.special import ndtr

from kernel_collapse import activations
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.activations import Activation

__all__ = ["Conditional", "closed", "conditional"]

Values = Float[np.ndarray, " N"]

#: Nodes of the integral for Var erf: it is smooth on the scale of its interval wherever it is not negligible.
ERF_NODES = 20
#: Numerical integrals go as far as this many standard deviations, where the normal density is 1e-18, and by one more at
#: each further level, so that what a fast growing activation has beyond shows in the change.
REACH = 9.0
#: Nodes of every piece at level 0, and how many more at each further one. They crowd at the ends of a piece.
NODES, MORE_NODES = 32, 16
#: Evaluations of an activation at a time, which is what bounds the memory.
EVALUATIONS = 2**21


class OfSlopes(NamedTuple):
    """Second moments of phi'."""

    square: Values  # E phi'^2
    variance: Values  # Var phi'
    cov: Values  # Cov(phi', phi' z)
    z_variance: Values  # Var(phi' z)


class Conditional(NamedTuple):
    """Expectations over z; second moments of phi' only where they are known in closed form."""

    mean: Values  # E phi
    variance: Values  # Var phi
    slope: Values  # E phi'
    curvature: Values  # E phi''
    of_slopes: OfSlopes | None = None


def closed(activation: Activation) -> bool:
    """Return whether all of `Conditional` is known in closed form."""
    return type(activation) in _CLOSED


def conditional(activation: Activation, m: Values, v: Values, level: int = 1) -> Conditional:
    """Return the expectations; a numerical integral has the more nodes the higher the `level`."""
    form = _CLOSED.get(type(activation))
    return form(m, v) if form is not None else _numerical(activation, m, v, level)


def _erf_form(m: Values, v: Values) -> Conditional:
    d1, d2 = 1.0 + 2.0 * v, 1.0 + 4.0 * v
    square = m * m
    slope = 2.0 / np.sqrt(np.pi) / np.sqrt(d1) * np.exp(-square / d1)
    curvature = -2.0 * m / d1 * slope
    slope_square = (4.0 / np.pi) / np.sqrt(d2) * np.exp(-2.0 * square / d2)
    # Of z under the density that phi'^2 makes of the normal one.
    shift, spread = -4.0 * m * np.sqrt(v) / d2, 1.0 / d2
    excess = 0.5 * np.log1p(4.0 * v * v / d2) + 4.0 * square * v / (d1 * d2)  # log of E phi'^2 / (E phi')^2
    slope_variance = np.where(
        excess < 1.0, slope**2 * np.expm1(np.minimum(excess, 1.0)), slope_square - slope**2
    )
    return Conditional(
        mean=_erf(m / np.sqrt(d1)),
        variance=_erf_variance(square / d1, v, d2),
        slope=slope,
        curvature=curvature,
        of_slopes=OfSlopes(
            slope_square,
            slope_variance,
            slope_square * shift - slope * curvature * np.sqrt(v),
            slope_square * (spread + shift**2) - v * curvature**2,
        ),
    )


def _erf_variance(exponent: Values, v: Values, d2: Values) -> Values:
    nodes, weights = np.polynomial.legendre.leggauss(ERF_NODES)
    root = np.sqrt(d2)
    half = 2.0 * v / (root * (1.0 + root))  # (1 - a) / 2, which does not cancel
    total = np.zeros_like(v)
    for node, weight in zip(nodes, weights, strict=True):
        x = 1.0 + (node - 1.0) * half
        x *= x
        x += 1.0
        total += weight * np.exp(-exponent * x) / x
    return (4.0 / np.pi) * half * total


def _relu_form(m: Values, v: Values) -> Conditional:
    s = np.sqrt(v)
    t = m / s
    density = np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi)
    above, below = ndtr(t), ndtr(-t)
    # Of relu(-|t| + z) first, then relu(x) = x + relu(-x), whose two parts have covariance -P(x < 0).
    size, tail = np.abs(t), np.minimum(above, below)
    far = np.maximum((size * size + 1.0) * tail - size * density - (density - size * tail) ** 2, 0.0)
    return Conditional(
        mean=s * (np.maximum(t, 0.0) + np.maximum(density - size * tail, 0.0)),
        variance=v * np.where(t > 0, 1.0 - 2.0 * tail + far, far),
        slope=above,
        curvature=density / s,
        of_slopes=OfSlopes(above, above * below, density * below, above - t * density - density**2),
    )


def _identity_form(m: Values, v: Values) -> Conditional:
    one, zero = np.ones_like(m), np.zeros_like(m)
    return Conditional(m, v, one, zero, OfSlopes(one, zero, zero, one))


_CLOSED = {
    type(activations.get("erf")): _erf_form,
    type(activations.get("relu")): _relu_form,
    type(activations.get("identity")): _identity_form,
}


def _numerical(activation: Activation, m: Values, v: Values, level: int) -> Conditional:
    nodes, weights = np.polynomial.legendre.leggauss(NODES + MORE_NODES * level)
    nodes, weights = 0.5 * (1.0 + nodes), 0.5 * weights
    # Pieces end at the kinks, and at 0, about which activations change on scales that only they know.
    ends = np.array(sorted({0.0, *activation.kinks}))
    chunk = max(1, EVALUATIONS // (len(nodes) * (len(ends) + 1)))
    parts = [
        _integrals(
            activation,
            m[start : start + chunk],
            v[start : start + chunk],
            REACH + level,
            ends,
            nodes,
            weights,
        )
        for start in range(0, len(m), chunk)
    ]
    mean, variance, slope, curvature = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Conditional(mean, variance, slope, curvature)


def _integrals(
    activation: Activation,
    m: Values,
    v: Values,
    reach: float,
    ends: Float[np.ndarray, " K"],
    nodes: Float[np.ndarray, " P"],
    weights: Float[np.ndarray, " P"],
) -> tuple[Values, Values, Values, Values]:
    """Return E phi, Var phi, E phi', E phi''."""
    s = np.sqrt(v)[:, None]
    inner = np.clip((ends - m[:, None]) / s, -reach, reach)
    edges = np.hstack([np.full_like(s, -reach), inner, np.full_like(s, reach)])
    lengths = np.diff(edges, axis=1)
    z = (edges[:, :-1, None] + lengths[:, :, None] * nodes).reshape(len(m), -1)
    weight = (lengths[:, :, None] * weights).reshape(len(m), -1)
    weight *= np.exp(-0.5 * z * z)
    weight /= weight.sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        values = np.asarray(activation(m[:, None] + s * z), dtype=float)
        mean = np.sum(weight * values, axis=1)
        values = values - mean[:, None]
        variance = np.sum(weight * values**2, axis=1)
    if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
        raise InputError(
            f"the activation {activation.name}",
            f"not finite for some pre-activations up to {np.max(np.abs(m) + reach * s[:, 0]):.3g} in size",
            "finite numbers that grow slowly",
            "scale the data or weight_variance down, or take another activation",
        )
    weight *= values
    slope = np.sum(weight * z, axis=1) / s[:, 0]
    curvature = np.sum(weight * (z * z - 1.0), axis=1) / v
    return mean, variance, slope, curvature
