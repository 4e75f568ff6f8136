"""LAPACK and BLAS by way of SciPy, in place where that saves memory.

NumPy and SciPy each ship a BLAS with threads of its own, which wait for work by spinning: a loop that calls one and
then the other runs several times slower than one that keeps to one of them. What factorises keeps to SciPy's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from kernel_collapse._shapes import Bool, Float

__all__ = [
    "Cholesky",
    "divided_differences",
    "eigh",
    "eigvalsh",
    "gram",
    "less_gram",
    "mirror",
    "one_blas_thread",
    "product",
    "symmetric",
    "symmetric_product",
    "upper_tiles",
]

#: Side of a tile: its few temporaries of 8 * TILE**2 bytes stay in the cache.
TILE = 128


class _Limit:
    """The limit of one BLAS thread, and how many threads of this process are inside it."""

    def __init__(self, inherited: Any = None) -> None:
        self._lock = threading.Lock()
        #: Of the threads of a process only that which set the limit can lift it: it is always this one.
        self._keeper = ThreadPoolExecutor(1, "blas-limit")
        self._users = 0
        #: What restores the threads: of the limit that is set, or of one that the parent had set before a fork.
        self._restore: Any = inherited

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._keeper.submit(self._set).result()

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._keeper.submit(self._lift).result()

    def _set(self) -> None:
        self._lift()
        self._restore = _blas().limit(limits=1, user_api="blas").__enter__()

    def _lift(self) -> None:
        if self._restore is not None:
            self._restore.__exit__(None, None, None)
            self._restore = None

    def of_child(self) -> _Limit:
        """Return the limit of a process that was forked, where the thread is gone and the lock may be held."""
        return _Limit(self._restore)


_limit = _Limit()


def _after_fork() -> None:
    global _limit
    _limit = _limit.of_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread while any thread of this process is inside; the last one out restores what was.

    The limit is one of the process: were it lifted by the first thread to leave, the others would go on with more
    threads, and get other bits.
    """
    limit = _limit
    limit.enter()
    try:
        yield
    finally:
        if limit is _limit:  # not so in the child of a fork inside, where nobody answers
            limit.leave()


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


def gram(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return the upper triangle of rows @ rows.T in the memory of `out`; what lies below it is of no use."""
    from scipy.linalg import blas

    if rows.dtype != np.float64:
        return np.matmul(rows, rows.T, out=out)
    a, transposed = _view(rows)
    return blas.dsyrk(1.0, a, 0.0, out.T, trans=not transposed, lower=1, overwrite_c=1).T


def less_gram(scale: float, matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the upper triangle of scale * matrix - rows @ rows.T, in the memory of the matrix."""
    from scipy.linalg import blas

    if matrix.dtype != np.float64:
        matrix *= scale
        matrix -= rows @ rows.T
        return matrix
    a, transposed = _view(rows)
    return blas.dsyrk(-1.0, a, scale, matrix.T, trans=not transposed, lower=1, overwrite_c=1).T


def symmetric_product(upper: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the symmetric matrix of that upper triangle times the right one."""
    from scipy.linalg import blas

    if upper.dtype != np.float64:
        return mirror(upper) @ right
    return blas.dsymm(1.0, upper.T, np.asfortranarray(right), lower=1)


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

    Of the matrix the upper triangle is read. `ok` is False where it is not positive definite in float64, or not finite.
    """

    def __init__(self, matrix: Float[np.ndarray, "n n"]) -> None:
        from scipy.linalg import lapack

        # In the order LAPACK works in, the transpose is the same matrix and its upper triangle the lower one.
        self._factor, info = lapack.dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
        # LAPACK may let a NaN pass; it ends in a pivot.
        self.ok = info == 0 and bool(np.isfinite(self.pivots).all())

    @property
    def pivots(self) -> Float[np.ndarray, " n"]:
        """Diagonal of the factor; their squares are the pivots of the elimination."""
        return np.diag(self._factor).copy()

    def condition(self, norm: float) -> float:
        """Return the condition number in the 1-norm, as LAPACK estimates it, given the norm of the matrix."""
        from scipy.linalg import lapack

        reciprocal, _ = lapack.dpocon(self._factor, norm, uplo="L")
        return 1.0 / float(reciprocal) if reciprocal > 0 else float("inf")

    def solve(self, right: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        """Return the solution of matrix @ solution = right."""
        from scipy.linalg import lapack

        return lapack.dpotrs(self._factor, right, lower=1)[0]

    def upper_inverse(self) -> Float[np.ndarray, "n n"]:
        """Return the upper triangle of the inverse, in the memory of the factor."""
        from scipy.linalg import lapack

        return lapack.dpotri(self._factor, lower=1, overwrite_c=1)[0].T


def upper_tiles(n: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of square tiles that cover the upper triangle of an n x n matrix."""
    for top in range(0, n, TILE):
        for left in range(top, n, TILE):
            yield slice(top, min(top + TILE, n)), slice(left, min(left + TILE, n))


def mirror(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Copy the upper triangle onto the lower one, in place."""
    for rows, columns in upper_tiles(len(matrix)):
        tile = matrix[rows, columns]
        if rows == columns:
            tile = np.where(_below(len(tile)), tile.T, tile) + 0.0
        matrix[columns, rows] = tile.T
    return matrix


@lru_cache(maxsize=8)
def _below(n: int) -> Bool[np.ndarray, "n n"]:
    """Return which entries are below the diagonal."""
    return np.tri(n, k=-1, dtype=bool)


def symmetric(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Return the symmetric part."""
    return 0.5 * (matrix + matrix.T)


def divided_differences(h: Float[np.ndarray, " d"]) -> Float[np.ndarray, "d d"]:
    """Return (exp h_i - exp h_j) / (h_i - h_j), the derivative of the matrix exponential in its eigenbasis."""
    half = 0.5 * np.abs(h[:, None] - h[None, :])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(half < 1e-4, 1.0 + half**2 / 6.0, np.sinh(half) / half)
    return np.exp(0.5 * (h[:, None] + h[None, :])) * ratio
