r"""What a descent over several layers does with n x n matrices besides their decompositions, in few passes.

At depth 1 the matrices are d x d and none of this matters: there the descent keeps to `kernel_collapse._linalg`.
"""

from __future__ import annotations

import numpy as np

from kernel_collapse._linalg import mirror
from kernel_collapse._shapes import Float
from kernel_collapse.adaptive._extended import product

__all__ = ["congruence", "differences_and_curvature", "norm_at_least"]

#: From this size on a symmetric result costs less by triangles than by two whole products, as measured.
BY_TRIANGLES = 400
#: Below this difference of two logarithms their divided difference is a series: beyond, the subtraction loses a digit.
SERIES = 0.25
#: Rows at once of what is done entry by entry.
ROWS = 64
#: Steps of the power method; the estimate is within a few per cent, and never above.
POWERS = 4


def congruence(x: Float[np.ndarray, "n r"], b: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "r r"]:
    """Return x' b x of a symmetric b, symmetric to round-off; of large ones to the last bit.

    With b = l + l' and l lower triangular it is x' (l x) and its transpose: three quarters of the work of two products.
    """
    from scipy.linalg import blas

    if len(b) < BY_TRIANGLES or x.dtype != np.float64 or b.dtype != np.float64:
        return product(product(x.T, b), x)
    half = b.copy()
    half[np.diag_indices(len(b))] *= 0.5
    # In the order BLAS works in, the transpose of a lower triangle is an upper one.
    columns = np.asfortranarray(x)
    moved = blas.dtrmm(1.0, half.T, columns, lower=0, trans_a=1)
    return mirror(blas.dsyr2k(1.0, columns, moved, trans=1, lower=1).T)


def differences_and_curvature(
    h: Float[np.ndarray, " r"], scale: Float[np.ndarray, " r"]
) -> tuple[Float[np.ndarray, "r r"], Float[np.ndarray, "r r"]]:
    """Return Phi, the divided differences of exp, and sqrt(psi^4 + Phi^2) / 2, psi = Phi / sqrt(s_i s_j), s = exp h.

    psi is sinh(x) / x at x = (h_i - h_j) / 2: of neighbours a series, else from the exponentials that are known. Some
    rows at a time, so that all of it stays in the cache.
    """
    root = np.sqrt(scale)
    phi, curvature = np.empty((len(h),) * 2), np.empty((len(h),) * 2)
    for top in range(0, len(h), ROWS):
        rows = slice(top, top + ROWS)
        part = phi[rows]
        apart = h[rows, None] - h
        with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
            np.divide(scale[rows, None] - scale, apart, out=part)
            near = np.abs(apart) < SERIES
            roots = root[rows, None] * root
            psi = part / roots
            apart *= apart
            apart *= 0.25
            series = apart / 72.0
            for factor in (42.0, 20.0, 6.0):
                series += 1.0
                series *= apart
                series /= factor
            series += 1.0
            np.copyto(psi, series, where=near)
            np.multiply(psi, roots, out=part)
            psi *= psi
            psi *= psi
            np.multiply(part, part, out=roots)
            psi += roots
            np.sqrt(psi, out=psi)
        np.multiply(psi, 0.5, out=curvature[rows])
    return phi, curvature


def norm_at_least(matrix: Float[np.ndarray, "r r"]) -> float:
    """Return a lower bound of the spectral norm of a symmetric matrix, by the power method from its largest column."""
    from scipy.linalg import blas

    squares = np.einsum("ij,ij->i", matrix, matrix)
    vector = matrix[int(np.argmax(squares))].copy()
    size = 0.0
    for _ in range(POWERS):
        length = float(blas.dnrm2(vector))
        if not length > 0.0:
            return size
        vector = blas.dsymv(1.0 / length, matrix.T, vector)
        size = float(blas.dnrm2(vector))
    return size
