"""LAPACK and BLAS by way of SciPy, in place where that saves memory.

NumPy and SciPy each ship a BLAS with threads of its own, which wait for work by spinning: a loop that calls one and
then the other runs several times slower than one that keeps to one of them. What factorises keeps to SciPy's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

__all__ = [
    "Cholesky",
    "divided_differences",
    "eigh",
    "eigvalsh",
    "mirror",
    "one_blas_thread",
    "product",
    "symmetric",
]

_lock = threading.Lock()
_limit: Any = None
_users = 0


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread while any thread of this process is inside; the last one out restores what was.

    The limit is one of the process: were it lifted by the first thread to leave, the others would go on with more
    threads, and get other bits.
    """
    global _limit, _users
    with _lock:
        _users += 1
        if _users == 1:
            _limit = _blas().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limit.restore_original_limits()


@lru_cache(maxsize=1)
def _blas() -> Any:
    """Return the controller of the BLAS threads; looking the libraries up takes milliseconds, so once."""
    import scipy.linalg  # noqa: F401  # its BLAS must be there to be found: a library loaded later goes unlimited
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return left @ right of two matrices."""
    from scipy.linalg import blas

    if left.dtype != np.float64 or right.dtype != np.float64:
        return left @ right
    # BLAS works in the other order of memory: it is given the transposes, which are views.
    (a, trans_a), (b, trans_b) = _view(right), _view(left)
    return blas.dgemm(1.0, a, b, trans_a=trans_a, trans_b=trans_b).T


def _view(matrix: np.ndarray) -> tuple[Any, bool]:
    """Return the transpose in Fortran order without a copy, as an array and whether it is to be transposed."""
    return (matrix.T, False) if matrix.T.flags.f_contiguous else (matrix, True)


def eigh(matrix: Float[np.ndarray, "d d"]) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Return eigenvalues, ascending, and eigenvectors of a symmetric matrix."""
    from scipy import linalg

    return linalg.eigh(matrix, check_finite=False, driver="evd")


def eigvalsh(matrix: Float[np.ndarray, "d d"]) -> Float[np.ndarray, " d"]:
    """Return the eigenvalues of a symmetric matrix, ascending."""
    from scipy import linalg

    return linalg.eigvalsh(matrix, check_finite=False)


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
