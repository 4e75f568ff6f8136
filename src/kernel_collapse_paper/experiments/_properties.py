r"""What an activation is like, in numbers that could predict how it collapses; all at a pre-activation of variance 1.

With phi(z) = sum_m a_m h_m(z), h_m orthonormal under the standard normal distribution, the share of order m is
a_m^2 / (E phi^2 - (E phi)^2): the constant a_0 moves all features alike and counts for nothing in NC1.

==============  ===================================================================================================
linear          share of order 1: 1 for the identity, 0 for an even function
quadratic       share of order 2
roughness       log10 of the share of all orders from 9 on, at least 1e-12: slow decay means kinks or jumps
degree          p of the power law E phi(sqrt(q) z)^2 ~ q^p that fits best for q from 1/10 to 10: 1 for ReLU, 0 for sign
saturation      1 - the degree between q = 100 and 1000: 1 where phi is bounded, 0 where it grows linearly
odd             share of all odd orders
==============  ===================================================================================================
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse import activations
from kernel_collapse._shapes import Float
from kernel_collapse.activations import ActivationLike

__all__ = ["PROPERTIES", "hermite_shares", "least_squares", "leave_one_out", "properties", "shuffled"]

PROPERTIES = ("linear", "quadratic", "odd", "roughness", "degree", "saturation")
ORDERS, ROUGH_FROM, LEAST_SHARE = 8, 9, 1e-12


@lru_cache
def _rule(kinks: tuple[float, ...]) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Return nodes and weights for a standard normal distribution: 12 Gauss-Legendre nodes on pieces of 1/16.

    What jumps does so at an end of a piece.
    """
    ends = np.unique([*np.linspace(-10.0, 10.0, 321), *(k for k in kinks if abs(k) < 10.0)])
    nodes, weights = np.polynomial.legendre.leggauss(12)
    z, w = [], []
    for low, high in pairwise(ends):
        z.append(0.5 * (high - low) * nodes + 0.5 * (high + low))
        w.append(0.5 * (high - low) * weights)
    points = np.concatenate(z)
    return points, np.concatenate(w) * np.exp(-0.5 * points**2) / np.sqrt(2.0 * np.pi)


def _second_moment(phi: activations.Activation, q: float) -> float:
    """Return E phi(sqrt(q) z)^2."""
    scale = np.sqrt(q)
    z, w = _rule(tuple(k / scale for k in phi.kinks))
    return float(w @ phi(scale * z) ** 2)


def _degree(phi: activations.Activation, variances: Float[np.ndarray, " k"]) -> float:
    """Return the slope of the line through log E phi^2 against log q."""
    moments = [np.log(_second_moment(phi, q)) for q in variances]
    return float(np.polyfit(np.log(variances), moments, 1)[0])


def hermite_shares(activation: ActivationLike, orders: int = ORDERS) -> Float[np.ndarray, " orders"]:
    """Return a_m^2 / Var phi(z) for m = 1, 2, ..., and as the last entry what all higher orders have."""
    phi = activations.get(activation)
    z, w = _rule(phi.kinks)
    values = phi(z)
    previous, current = np.zeros_like(z), np.ones_like(z)
    coefficients = []
    for m in range(orders + 1):
        coefficients.append(float(w @ (values * current)))
        previous, current = current, (z * current - np.sqrt(m) * previous) / np.sqrt(m + 1.0)
    variance = float(w @ (values - coefficients[0]) ** 2)
    shares = np.square(coefficients[1:]) / variance
    return np.append(shares, max(1.0 - shares.sum(), 0.0))


@lru_cache(maxsize=256)
def properties(name: str) -> dict[str, float]:
    """Return the properties of the activation of that name."""
    phi = activations.get(name)
    shares = hermite_shares(phi)
    z, w = _rule(phi.kinks)
    values = phi(z)
    mean = float(w @ values)
    odd = float(w @ (0.5 * (values - phi(-z))) ** 2)
    return {
        "linear": float(shares[0]),
        "quadratic": float(shares[1]),
        "odd": odd / float(w @ (values - mean) ** 2),
        "roughness": float(np.log10(max(shares[-1], LEAST_SHARE))),
        "degree": _degree(phi, np.geomspace(0.1, 10.0, 9)),
        "saturation": 1.0 - _degree(phi, np.array([100.0, 1000.0])),
    }


# -- regression


def _standardised(table: pd.DataFrame, columns: list[str]) -> Float[np.ndarray, "n k"]:
    """Return the columns with mean 0 and standard deviation 1, behind a column of ones."""
    values = table[columns].to_numpy(dtype=float)
    deviation = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return np.column_stack([np.ones(len(scaled)), scaled])


def least_squares(table: pd.DataFrame, columns: list[str], target: str) -> dict[str, Any]:
    """Return coefficients of standardised columns, R^2, and the R^2 of each row by a fit to all the others.

    The latter is ``1 - sum (y_i - f_{-i}(x_i))^2 / sum (y_i - mean of the others)^2``, below zero where the mean of the
    others is the better guess.
    """
    design, y = _standardised(table, columns), table[target].to_numpy(dtype=float)
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    total = float(np.sum((y - y.mean()) ** 2))
    residual = y - design @ coefficients
    return {
        "coefficients": dict(zip(columns, coefficients[1:], strict=True)),
        "r2": 1.0 - float(residual @ residual) / total,
        "r2_out": leave_one_out(design, y),
    }


def leave_one_out(design: Float[np.ndarray, "n k"], y: Float[np.ndarray, " n"]) -> float:
    """Return R^2 of predictions of each row from a fit to the others, from the diagonal of the hat matrix.

    A row that alone decides a coefficient has no prediction: the result is then minus infinity.
    """
    n = len(y)
    basis = np.linalg.svd(design, full_matrices=False)
    u = basis.U[:, 1e-10 * basis.S[0] < basis.S]
    leverage = np.sum(u * u, axis=1)
    if (leverage > 1.0 - 1e-9).any():
        return -np.inf
    residual = (y - u @ (u.T @ y)) / (1.0 - leverage)
    of_mean = (y - y.mean()) * n / (n - 1.0)
    return 1.0 - float(residual @ residual) / float(of_mean @ of_mean)


def shuffled(table: pd.DataFrame, columns: list[str], target: str, times: int = 999) -> float:
    """Return the share of random orders of the target that a fit to the others predicts as well (a p-value)."""
    design, y = _standardised(table, columns), table[target].to_numpy(dtype=float)
    reached, rng = leave_one_out(design, y), np.random.default_rng(0)
    better = sum(leave_one_out(design, rng.permutation(y)) >= reached for _ in range(times))
    return (better + 1.0) / (times + 1.0)
