"""Gaussian mixtures: the law that `kernel_collapse.data.gaussian_classes` draws from, without a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float

__all__ = ["GaussianMixture", "gaussian_mixture"]

#: A covariance whose eigenvalues are negative by less than this share of the largest is singular up to round-off.
SEMI_DEFINITE = 1e-12
#: Means that leave a span by less than this share of the longest one are in it.
IN_SPAN = 1e-12

#: Some vectors of so many features are gigabytes.
MOST_DIMENSIONS = 10**8
#: Beyond this squares, summed over features, are no float64.
LARGEST = 1e150

#: The covariance of a class: a number for s^2 I, a vector (d,) for a diagonal one, or a matrix (d, d).
Covariance = float | Any


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Gaussian classes in `dim` dimensions; made by `gaussian_mixture`.

    Attributes
    ----------
    means : ndarray, shape (C, dim)
        Mean of each class.
    covariances : tuple of C floats or arrays of shape (dim,) or (dim, dim)
        Covariance of each class, in the shortest form: a number s stands for s I, a vector for a diagonal matrix.
    """

    means: Float[np.ndarray, "C d"]
    covariances: tuple[Covariance, ...]

    @property
    def dim(self) -> int:
        """Number of features d."""
        return int(self.means.shape[1])

    @property
    def n_classes(self) -> int:
        """Number of classes C."""
        return len(self.means)

    @property
    def isotropic(self) -> bool:
        """Whether every covariance is a multiple of the unit matrix."""
        return all(np.ndim(covariance) == 0 for covariance in self.covariances)

    @property
    def traces(self) -> Float[np.ndarray, " C"]:
        """Trace of each class's covariance, the expected squared distance from its mean."""
        d = self.dim
        return np.array(
            [
                d * s if np.ndim(s) == 0 else np.sum(s) if np.ndim(s) == 1 else np.trace(s)
                for s in self.covariances
            ],
            dtype=float,
        )

    def __repr__(self) -> str:
        kinds = {0: "isotropic", 1: "diagonal", 2: "full"}
        forms = dict.fromkeys(kinds[int(np.ndim(covariance))] for covariance in self.covariances)
        return f"<GaussianMixture: {self.n_classes} classes, {self.dim} features, {' and '.join(forms)} covariances>"


def gaussian_mixture(
    dim: int,
    *,
    class_means: Sequence[ArrayLike] = (-2.0, 2.0),
    class_stds: ArrayLike | Sequence[ArrayLike] = 0.5,
    class_covariances: Sequence[ArrayLike] | None = None,
) -> GaussianMixture:
    """Return the law of the samples of `kernel_collapse.data.gaussian_classes` with the same arguments.

    If you give numbers or vectors, no array of size dim x dim is made, so `dim` may be large.

    Parameters
    ----------
    dim : int
        Number of features d, at most 10^8.
    class_means : sequence of C numbers or of C arrays of shape (dim,)
        A number means the same mean in every coordinate. The default is the paper's D1.
    class_stds : number, or sequence of C numbers or of C arrays of shape (dim,)
        Standard deviation in every coordinate.
    class_covariances : sequence of C numbers, of shape (dim,) or of shape (dim, dim), optional
        Variance, variances of the coordinates, or covariance matrix of each class; in place of `class_stds`.

    Returns
    -------
    GaussianMixture

    Raises
    ------
    ValueError
        If there are fewer than two classes, shapes do not match, an entry is not finite, or a covariance is not
        positive semi-definite.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.theory.gaussian_mixture(10_000)
    <GaussianMixture: 2 classes, 10000 features, isotropic covariances>
    """
    dim = _validate.count(dim, "dim", most=MOST_DIMENSIONS)
    class_means = _validate.per_class(class_means, "class_means", None)
    _validate.fits(
        len(class_means) * dim,
        f"{len(class_means)} means in {_validate.shown(dim)} dimensions",
        "lower dim",
    )
    means = np.array(
        [_validate.coordinates(mean, f"the mean of class {c}", dim) for c, mean in enumerate(class_means)]
    )
    _refuse_beyond(means, "a mean")
    given: Any = class_stds if class_covariances is None else class_covariances
    what = "class_stds" if class_covariances is None else "class_covariances"
    values = _validate.per_class(given, what, len(means))
    known: Literal["standard deviation", "variance"] = (
        "standard deviation" if class_covariances is None else "variance"
    )
    return GaussianMixture(means, tuple(_covariance(value, c, dim, known) for c, value in enumerate(values)))


def _refuse_beyond(values: np.ndarray, what: str) -> np.ndarray:
    if np.abs(values).max() > LARGEST:
        raise InputError(
            what,
            f"{np.abs(values).max():.3g}",
            f"at most {LARGEST:g}, because its square must be finite",
            "scale it down",
            verb="reaches",
        )
    return values


def _covariance(value: Any, c: int, dim: int, known: Literal["standard deviation", "variance"]) -> Covariance:
    """Return a covariance in its shortest form."""
    if known == "variance" and _validate.dimensions(value) == 2:
        return _full(value, c, dim)
    vector = _refuse_beyond(
        _validate.coordinates(value, f"the {known} of class {c}", dim), f"the {known} of class {c}"
    )
    if (vector < 0).any() or not (vector > 0).any() or (known == "standard deviation" and not vector.all()):
        some = "" if known == "standard deviation" else ", or zero in some of them"
        raise InputError.of(f"the {known} of class {c}", value, f"more than zero in every coordinate{some}")
    variances = vector**2 if known == "standard deviation" else vector
    return _shortest(variances)


def _full(value: Any, c: int, dim: int) -> Covariance:
    covariance = _validate.matrix(value, f"the covariance of class {c}", numpy=True)
    if covariance.shape != (dim, dim) or not np.allclose(covariance, covariance.T, rtol=1e-12, atol=0.0):
        raise InputError(
            f"the covariance of class {c}",
            f"shape {covariance.shape}",
            f"a symmetric {dim} x {dim} matrix",
            verb="has",
        )
    if np.count_nonzero(covariance) == np.count_nonzero(np.diag(covariance)):
        values, shortest = np.sort(np.diag(covariance)), _shortest(np.diag(covariance).copy())
    else:
        values, shortest = np.linalg.eigvalsh(covariance), covariance.copy()
    if values[0] < -SEMI_DEFINITE * values[-1] or values[-1] <= 0:
        raise InputError(
            f"the covariance of class {c}",
            f"the eigenvalue {values[0]:.3g}",
            "none to be negative and some to be positive",
            "it is not positive semi-definite, or zero",
            verb="has",
        )
    return shortest


def _shortest(variances: Float[np.ndarray, " d"]) -> Covariance:
    return float(variances[0]) if (variances == variances[0]).all() else variances


def applied(covariance: Covariance, w: Float[np.ndarray, "N e"]) -> Float[np.ndarray, "N e"]:
    """Return S w for every row w."""
    return w @ covariance if np.ndim(covariance) == 2 else w * covariance


def basis(means: Float[np.ndarray, "C d"]) -> Float[np.ndarray, "k d"]:
    """Return an orthonormal basis of what the means span."""
    _, singular, rows = np.linalg.svd(means, full_matrices=False)
    return rows[singular > IN_SPAN * singular[0]]


def span(means: Float[np.ndarray, "C d"]) -> Float[np.ndarray, "C k"]:
    """Return the coordinates of the means in an orthonormal basis of what they span; k is 1 at least."""
    left, singular, _ = np.linalg.svd(means, full_matrices=False)
    rank = max(1, int(np.sum(singular > IN_SPAN * singular[0]))) if singular[0] > 0 else 1
    return left[:, :rank] * singular[:rank]
