"""Kernel ridge regression on inner products, with its gradients and what round-off may have made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernel_collapse._linalg import Cholesky
from kernel_collapse._shapes import Bool, Float
from kernel_collapse.kernels import ProductKernel
from kernel_collapse.rfm._gradients import EPS, Gradients

__all__ = [
    "Fit",
    "coincident",
    "factored",
    "fit",
    "gradient_error",
    "gradients_of",
    "magnified",
    "moments",
    "values_between",
]

#: Two samples coincide where their squared distance is no more than this share of their squared lengths.
COINCIDENT = 4.0 * EPS


@dataclass(frozen=True)
class Fit:
    """A fitted kernel: its condition, dual weights, and outputs at the samples.

    `condition` is the condition number of k + ridge in the 1-norm, as LAPACK estimates it, inf where the matrix is
    singular to round-off: then the other two are NaN.
    """

    condition: float
    alpha: Float[np.ndarray, "n k"]
    outputs: Float[np.ndarray, "n k"]
    #: 1-norm of the inverse of k + ridge, as LAPACK estimates it.
    inverse: float

    @property
    def solved(self) -> bool:
        """Whether there is a fit."""
        return bool(np.isfinite(self.condition))


def moments(
    products: Float[np.ndarray, "n n"],
) -> tuple[Float[np.ndarray, "n 1"], Float[np.ndarray, " n"], Float[np.ndarray, "n n"]]:
    """Return squared lengths of rows and columns, and inner products; those of samples that coincide as of equals."""
    lengths = np.diag(products)
    same = coincident(products, lengths, lengths)
    middle = 0.5 * (lengths[:, None] + lengths)
    return lengths[:, None], lengths, np.where(same, middle, products)


def coincident(
    products: Float[np.ndarray, "m n"], of_rows: Float[np.ndarray, " m"], of_columns: Float[np.ndarray, " n"]
) -> Bool[np.ndarray, "m n"]:
    """Tell which samples coincide to within round-off."""
    lengths = of_rows[:, None] + of_columns
    return lengths - 2.0 * products <= COINCIDENT * lengths


def fit(
    products: Float[np.ndarray, "n n"], targets: Float[np.ndarray, "n k"], kernel: ProductKernel, ridge: float
) -> Fit:
    """Return the fit of the kernel to the targets, alpha = (k + ridge I)^{-1} Y."""
    values = np.asarray(kernel.of_products(*moments(products)))
    factor, condition, inverse = factored(values, ridge)
    alpha = np.full_like(targets, np.nan) if factor is None else factor.solve(targets)
    if not np.isfinite(alpha).all():
        condition = inverse = np.inf
        alpha = np.full_like(targets, np.nan)
    return Fit(condition, alpha, values @ alpha, inverse)


def factored(values: Float[np.ndarray, "n n"], ridge: float) -> tuple[Cholesky | None, float, float]:
    """Return the factor of k + ridge I, its condition and the norm of its inverse; None where it is singular."""
    matrix = values.copy()
    matrix[np.diag_indices(len(matrix))] += ridge
    norm = float(np.abs(matrix).sum(axis=0).max())
    factor = Cholesky(matrix) if np.isfinite(norm) else None
    if factor is not None and factor.ok:
        condition = factor.condition(norm)
        if condition < 1.0 / EPS:
            return factor, condition, condition / norm
    return None, np.inf, np.inf


def gradients_of(
    products: Float[np.ndarray, "n n"], alpha: Float[np.ndarray, "n k"], kernel: ProductKernel
) -> Gradients:
    """Return the gradients of the kernel with these dual weights."""
    given = moments(products)
    of_lengths, slope = map(np.asarray, kernel.slopes(*given))
    if kernel.radial:
        own = -(slope @ alpha)
        return Gradients(products, slope, alpha, own, np.zeros_like(own))
    return Gradients(products, slope, alpha, 2.0 * of_lengths @ alpha, (2.0 * of_lengths + slope) @ alpha)


def magnified(found: Gradients, inverse: float) -> float:
    """Return how far the dual weights may move, relatively, where each squared distance D^2 moves by a share of itself.

    The kernel then moves by v D^2 / 2 of that share, and the weights by the inverse of the kernel times that:
    this is the bound in norms, which all errors of the same sign in the worst direction would reach.
    """
    of_rows, of_columns, inner = moments(found.products)
    moved = np.abs(found.slope)
    moved *= 0.5 * np.maximum(of_rows + of_columns - 2.0 * inner, 0.0)
    size = float(np.linalg.norm(found.alpha))
    return inverse * float(np.linalg.norm(moved @ np.abs(found.alpha))) / size if size > 0 else 0.0


def gradient_error(kernel: ProductKernel, found: Gradients, eps: float = EPS) -> float:
    """Return the root mean square error of the gradients that the last digit of the inner products makes, an eps.

    The errors of a sample's terms add up as independent ones do, to sum_j alpha_j^2 (dv_aj D_aj)^2.
    """
    of_rows, of_columns, inner = moments(found.products)
    step = 4.0 * eps * np.sqrt(of_rows * of_columns)
    moved = np.asarray(kernel.slopes(of_rows, of_columns, inner - step)[1]) - found.slope
    moved *= 0.25  # a step of four last digits is not lost in rounding
    squares = of_rows + of_columns - 2.0 * inner if kernel.radial else of_columns + 0.0 * inner
    moved[squares <= 0.0] = 0.0
    moved *= moved
    moved *= squares
    return float(np.sqrt((moved @ (found.alpha * found.alpha)).sum(axis=1).mean()))


def values_between(
    kernel: ProductKernel,
    cross: Float[np.ndarray, "m n"],
    of_rows: Float[np.ndarray, " m"],
    of_columns: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "m n"]:
    """Return the kernel of other inputs with the samples, from their inner products."""
    same = coincident(cross, of_rows, of_columns)
    inner = np.where(same, 0.5 * (of_rows[:, None] + of_columns), cross)
    return np.asarray(kernel.of_products(of_rows[:, None], of_columns, inner))
