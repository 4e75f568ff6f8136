"""LAPACK and small matrix functions, in place where that saves memory."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

__all__ = ["Cholesky", "divided_differences", "mirror", "symmetric"]


class Cholesky:
    """Cholesky factor of a symmetric positive definite matrix, in the memory of that matrix.

    `ok` is False where the matrix is not positive definite in float64.
    """

    def __init__(self, matrix: Float[np.ndarray, "n n"]) -> None:
        from scipy.linalg import lapack

        # The transpose of a symmetric array in C order is the same matrix in the order LAPACK works in.
        self._factor, info = lapack.dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
        self.ok = info == 0

    @property
    def pivots(self) -> Float[np.ndarray, " n"]:
        """Diagonal of the factor; their squares are the pivots of the elimination."""
        return np.diag(self._factor).copy()

    def solve(self, right: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        """Return the solution of matrix @ solution = right."""
        from scipy.linalg import lapack

        return lapack.dpotrs(self._factor, right, lower=1)[0]

    def inverse(self) -> Float[np.ndarray, "n n"]:
        """Return the inverse, whole and symmetric to the last bit, in the memory of the factor."""
        from scipy.linalg import lapack

        inverse, _ = lapack.dpotri(self._factor, lower=1, overwrite_c=1)
        return mirror(inverse.T)


def mirror(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Copy the upper triangle onto the lower one, in place and by tiles."""
    step = 256
    for i in range(0, len(matrix), step):
        rows = slice(i, i + step)
        block = matrix[rows, rows]
        matrix[rows, rows] = np.triu(block) + np.triu(block, 1).T
        for j in range(i + step, len(matrix), step):
            matrix[j : j + step, rows] = matrix[rows, j : j + step].T
    return matrix


def symmetric(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Return the symmetric part."""
    return 0.5 * (matrix + matrix.T)


def divided_differences(h: Float[np.ndarray, " d"]) -> Float[np.ndarray, "d d"]:
    """Return (exp h_i - exp h_j) / (h_i - h_j), the derivative of the matrix exponential in its eigenbasis."""
    half = 0.5 * np.abs(h[:, None] - h[None, :])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(half < 1e-4, 1.0 + half**2 / 6.0, np.sinh(half) / half)
    return np.exp(0.5 * (h[:, None] + h[None, :])) * ratio
