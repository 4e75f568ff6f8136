"""Covariance matrices by name, and their square roots."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float

__all__ = ["STRUCTURES", "covariance", "root", "scaled"]

#: Names of `covariance`, and the range of what each says in parentheses; "isotropic" says nothing.
STRUCTURES: dict[str, tuple[float, float] | None] = {
    "ar1": (-1.0, 1.0),
    "equicorrelated": (-1.0, 1.0),
    "isotropic": None,
    "power": (0.0, 100.0),
    "spiked": (0.0, 1e12),
}


def covariance(structure: str, dim: int) -> Float[np.ndarray, "d d"]:
    r"""Return the covariance matrix of that name; the mean of its diagonal is 1.

    ===================== ==========================================================================
    name                  S_ij
    ===================== ==========================================================================
    "isotropic"           1 where i = j, else 0
    "ar1(rho)"            rho^\|i - j\|, that of an autoregressive process; rho from -1 to 1
    "equicorrelated(rho)" 1 where i = j, else rho; the direction of all ones has 1 + (d - 1) rho
    "spiked(k)"           diagonal: the first coordinate has k times the variance of the others
    "power(a)"            diagonal: proportional to i^-a, i = 1..d
    ===================== ==========================================================================

    A spike in an otherwise isotropic covariance is the model of Johnstone, *On the distribution of the largest
    eigenvalue in principal components analysis*, Annals of Statistics 29 (2001).

    Parameters
    ----------
    structure : str
        A name, with its number in parentheses.
    dim : int
        Number of coordinates.

    Returns
    -------
    ndarray, shape (dim, dim)
        Positive semi-definite.

    Raises
    ------
    ValueError
        If there is no such structure, or its number is missing or out of range.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.covariance("ar1(0.5)", 3)
    array([[1.  , 0.5 , 0.25],
           [0.5 , 1.  , 0.5 ],
           [0.25, 0.5 , 1.  ]])
    >>> kc.data.covariance("spiked(3)", 2).diagonal()
    array([1.5, 0.5])
    """
    dim = _validate.count(dim, "dim")
    _validate.fits(dim * dim, f"a covariance in {_validate.shown(dim)} dimensions", "lower dim")
    matrix = _structure(structure, dim)
    return np.diag(matrix) if matrix.ndim == 1 else matrix


def scaled(structure: str, stds: Float[np.ndarray, " d"]) -> np.ndarray:
    """Return standard deviations (d,), or a square root (d, d), of a named structure scaled by standard deviations."""
    matrix = _structure(structure, len(stds))
    if matrix.ndim == 1:
        return stds * np.sqrt(matrix)
    return _root(matrix * np.outer(stds, stds), f"the covariance {_validate.shown(structure)}")


def root(value: ArrayLike, what: str, dim: int) -> Float[np.ndarray, "d d"]:
    """Return R with R R' = S: the lower Cholesky factor, or the symmetric root of an S that is singular."""
    matrix = _validate.matrix(value, what, numpy=True)
    if matrix.shape != (dim, dim) or not np.allclose(matrix, matrix.T, rtol=1e-12, atol=0.0):
        raise InputError(what, f"shape {matrix.shape}", f"a symmetric {dim} x {dim} matrix", verb="has")
    return _root(matrix, what)


def _root(matrix: Float[np.ndarray, "d d"], what: str) -> Float[np.ndarray, "d d"]:
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrix)
    # A singular matrix has eigenvalues of round-off, of either sign.
    if values[0] < -10.0 * len(matrix) * np.finfo(float).eps * np.abs(values).max():
        raise InputError(
            what,
            f"the eigenvalue {values[0]:.3g}",
            "all to be zero or more",
            "no direction may have a negative variance",
            verb="has",
        )
    # Eigenvectors have no sign of their own; the symmetric root does not depend on the one they were given.
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _structure(structure: str, dim: int) -> np.ndarray:
    """Return the variances (d,) of a diagonal structure, or the matrix (d, d)."""
    name, number = _parse(structure)
    if name == "isotropic":
        return np.ones(dim)
    if name == "spiked":
        variances = np.ones(dim)
        variances[0] = number
        # In one dimension a spike of nothing leaves nothing to scale.
        return variances / variances.mean() if variances.any() else np.ones(dim)
    if name == "power":
        variances = np.arange(1.0, dim + 1.0) ** -number
        return variances / variances.mean()
    index = np.arange(dim)
    if name == "ar1":
        return number ** np.abs(index[:, None] - index)
    if 1.0 + (dim - 1) * number < 0:
        raise InputError(
            "covariance",
            f"{_validate.shown(structure)} has the eigenvalue {1.0 + (dim - 1) * number:.3g} in {dim} dimensions",
            "all to be zero or more",
            f"rho must be at least {-1.0 / (dim - 1):.3g}",
            verb="",
        )
    return np.where(index[:, None] == index, 1.0, number)


def _parse(structure: str) -> tuple[str, float]:
    shown = ", ".join(name if bounds is None else f"{name}(number)" for name, bounds in STRUCTURES.items())
    found = re.fullmatch(r"\s*([\w-]+)\s*(?:\((.*)\))?\s*", structure) if isinstance(structure, str) else None
    if found is None:
        raise InputError.of("covariance", structure, f"one of {shown}")
    name = _validate.choice(found[1], STRUCTURES, "covariance")
    bounds = STRUCTURES[name]
    if bounds is None:
        if found[2] is not None:
            raise InputError.of("covariance", structure, f"{name!r} alone", "it has no number")
        return name, 0.0
    low, high = bounds
    try:
        number = float(found[2] or "")
    except ValueError:
        number = np.nan
    if not low <= number <= high:
        raise InputError.of(
            "covariance",
            structure,
            f"{name}(number) with a number from {low:g} to {high:g}, as in '{name}(0.5)'",
        )
    return name, number
