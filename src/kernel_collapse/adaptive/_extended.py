r"""Products, eigenvectors and inverses with the 64-bit mantissas of NumPy's `longdouble`, which LAPACK and BLAS lack.

A product is made of six float64 products of matrices of small whole numbers, each of which is exact (Ozaki, Ogita,
Oishi and Rump, 2012, "Error-free transformations of matrix multiplication"). Eigenvectors and inverses are those of
float64, which are then corrected: by perturbation theory, and by Newton's iteration X <- X (2 - M X).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernel_collapse import _linalg
from kernel_collapse._shapes import Float

__all__ = ["eigh", "extended_inverse", "product"]

SLICES = 3
ROUNDS = 8  # three are taken
APART = 30.0
EXTENDED: Any = np.longdouble


def _slices(matrix: np.ndarray, bits: int) -> tuple[list[Float[np.ndarray, "n m"]], np.ndarray]:
    """Return whole numbers of so many bits whose sum, each in its unit, is the matrix; and the unit of every row."""
    most = np.max(np.abs(matrix), axis=1, initial=0.0).astype(np.float64)
    power = np.frexp(np.where(most > 0, most, 1.0))[1]
    unit = np.ldexp(np.ones(len(matrix), dtype=EXTENDED), power)[:, None]
    rest = matrix / unit
    slices = []
    for _ in range(SLICES):
        rest = rest * 2.0**bits
        whole = np.rint(rest)
        slices.append(whole.astype(np.float64))
        rest = rest - whole
    return slices, unit


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return left @ right: float64 of two of these, else extended."""
    if left.dtype == np.float64 and right.dtype == np.float64:
        return _linalg.product(left, right)
    bits = (52 - math.ceil(math.log2(left.shape[1] + 1))) // 2
    lefts, unit = _slices(left, bits)
    rights, other = _slices(right.T, bits)
    total = np.zeros((len(left), right.shape[1]), dtype=EXTENDED)
    for order in range(SLICES - 1, -1, -1):  # the small ones first
        part = sum(_linalg.product(lefts[i], rights[order - i].T).astype(EXTENDED) for i in range(order + 1))
        total += part * EXTENDED(2.0) ** (-bits * (order + 2))
    return total * unit * other.T


def eigh(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues, ascending, and eigenvectors of a symmetric matrix, in its precision.

    In the basis of the float64 eigenvectors the matrix is nearly diagonal. Eigenvalues closer to one another than
    `APART` times what is left off the diagonal are diagonalised together, in float64, whose round-off is relative to
    their spread; the rest is a perturbation of first order. What is left falls with each round.
    """
    values, vectors = _linalg.eigh(matrix.astype(np.float64))
    if matrix.dtype == np.float64:
        return values, vectors
    basis = _orthogonal(_orthogonal(vectors.astype(EXTENDED)))
    enough = math.sqrt(len(matrix)) * float(np.finfo(EXTENDED).eps) * float(np.abs(values).max())
    for _ in range(ROUNDS):
        inner = product(basis.T, product(matrix, basis))
        inner = 0.5 * (inner + inner.T)
        diagonal = np.diag(inner).copy()
        left = float(np.abs(inner - np.diag(diagonal)).max())
        if left <= enough:
            break
        basis = _orthogonal(_orthogonal(product(basis, _turn(inner, diagonal, APART * left))))
    order = np.argsort(diagonal)
    return diagonal[order], basis[:, order]


def _orthogonal(basis: np.ndarray) -> np.ndarray:
    """Return an orthogonal matrix from a nearly orthogonal one: a step of the iteration of Newton and Schulz."""
    return basis + 0.5 * (basis - product(basis, product(basis.T, basis)))


def _turn(inner: np.ndarray, diagonal: np.ndarray, apart: float) -> np.ndarray:
    """Return eigenvectors of a nearly diagonal matrix: of groups of neighbours exactly, else to first order."""
    order = np.argsort(diagonal)
    groups = np.split(order, np.flatnonzero(np.diff(diagonal[order]) > apart) + 1)
    blocks = np.eye(len(inner), dtype=EXTENDED)
    for group in groups:
        if len(group) > 1:
            part = inner[np.ix_(group, group)]
            shifted = part - np.eye(len(group)) * diagonal[group].mean()
            size = float(np.abs(shifted).max())
            vectors = _linalg.eigh((shifted / (size or 1.0)).astype(np.float64))[1]
            blocks[np.ix_(group, group)] = vectors
    turned = product(blocks.T, product(inner, blocks))
    values = np.diag(turned)
    label = np.empty(len(inner), dtype=int)
    for number, group in enumerate(groups):
        label[group] = number
    gaps = values[None, :] - values[:, None]
    between = label[:, None] != label[None, :]
    return product(blocks, np.eye(len(inner)) + np.divide(turned, gaps, out=0.0 * turned, where=between))


def extended_inverse(matrix: np.ndarray, inverse: Float[np.ndarray, "n n"]) -> np.ndarray:
    """Return the inverse in the precision of the matrix, from that in float64."""
    better = inverse.astype(EXTENDED)
    for _ in range(2):
        better = 2.0 * better - product(better, product(matrix, better))
        better = 0.5 * (better + better.T)
    return better
