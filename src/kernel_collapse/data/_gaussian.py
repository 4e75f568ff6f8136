"""Gaussian classes on a line, and mixtures of Gaussians with any means and covariances; the paper's D1 and D2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.data import _covariance
from kernel_collapse.data._dataset import Dataset, column, default_targets
from kernel_collapse.data.law import D2_TARGETS, Checked, Columns, Law, Placed, Scale, function, line, titled

__all__ = ["D1_MEANS", "D2_MEANS", "Gaussian", "GaussianClasses", "gaussian", "gaussian_classes"]

#: Coordinates of the class means of the paper's two data sets; the standard deviation is 0.5.
D1_MEANS = (-2.0, 2.0)
D2_MEANS = (-6.0, -2.0, 2.0, 6.0)


def _frozen(value: Any) -> Any:
    """Return a name, a number, or numbers in tuples, of whatever it was written as."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return value if isinstance(value, str) else _validate.finite(value, "a covariance")


#: The name of a structure, a variance, the variances of the coordinates, or a matrix; or these of each class.
Covariance = Annotated[Any, Checked(frozen=_frozen)]


def _several(means: Any, what: str) -> list[Any]:
    return _validate.per_class(means, what, None)


@dataclass(frozen=True, eq=False, kw_only=True)
class GaussianClasses(Law):
    r"""Samples of a Gaussian mixture, class after class.

    The paper's D1 is the default; its D2 is ``class_means=D2_MEANS``. The samples are those of
    ``rng = numpy.random.default_rng(seed)``, class after class ``mean + std * rng.normal(size=(n_c, dim))``,
    so that anyone can make them again. For a full covariance S the lower Cholesky factor replaces the standard
    deviation: ``mean + rng.normal(size=(n_c, dim)) @ cholesky(S).T``. A singular S has no Cholesky factor, so its
    symmetric square root is used instead.

    Parameters
    ----------
    n, dim : int
        Number of samples in all, and of features.
    class_means : sequence of C numbers or of C arrays of shape (dim,)
        A number means the same mean in every coordinate.
    class_stds : number, or sequence of C numbers or of C arrays of shape (dim,)
        Standard deviation in every coordinate.
    class_covariances : sequence of C numbers, of shape (dim,) or of shape (dim, dim), or names, optional
        Variance, variances of the coordinates, or covariance matrix (positive semi-definite) of each class; in place
        of `class_stds`. A name is a structure of `covariance`, such as "ar1(0.9)". Its entry S_ij is scaled by the
        standard deviations of coordinates i and j in `class_stds`. A single name applies to every class.
    class_sizes : sequence of C int, optional
        Samples in each class; as equal as can be by default.
    imbalance : number, optional
        Largest class over the smallest, geometric in between and class 0 the largest; in place of `class_sizes`.
    class_targets : array_like, shape (C,) or (C, k), optional
        Regression target of each class. By default -1, +1 for two classes, -3, -1, 1, 3 for D2, else one-hot.
    seed : int
        Seed of the generator.

    Returns
    -------
    Dataset
        With `targets` of shape (n, 1) or (n, k).

    Raises
    ------
    ValueError
        If sizes do not add up, a class is empty, a variance is negative, a standard deviation is not positive, a
        covariance is not positive semi-definite, or shapes do not match.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.gaussian_classes(n=6, dim=2, class_sizes=(2, 4))
    <Dataset D1: 6 samples, 2 features, classes of 2, 4>
    """

    law = "gaussian_classes"
    columns: ClassVar[Columns] = {
        "class_means": ("mean of each class, in every coordinate", "features"),
        "class_stds": ("standard deviation of each class, in every coordinate", "features"),
        "class_covariances": ("covariance of the classes", "features squared"),
    }
    of_a_call = ("seed", "class_targets")
    young = ("class_covariances", "imbalance")

    class_means: Annotated[Sequence[ArrayLike], Checked(_several, stored=tuple[float, ...])] = D1_MEANS
    class_stds: Annotated[ArrayLike | Sequence[ArrayLike], Checked(stored=Scale | tuple[Scale, ...])] = 0.5
    class_covariances: Annotated[
        str | Sequence[ArrayLike | str] | None, Checked(stored=Covariance | None)
    ] = None
    class_targets: ArrayLike | None = None

    @property
    def name(self) -> str:
        """D1 or D2 for the paper's data sets."""
        means: tuple[Any, ...] = tuple(self.class_means)
        law = {D1_MEANS: "D1", D2_MEANS: "D2"}.get(means, self.law) if self.class_stds == 0.5 else self.law
        young = {"imbalance": self.imbalance, "class_covariances": self.class_covariances}
        return titled(law, {k: v for k, v in young.items() if v is not None})

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_means)

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        return _mixture(rng, self._means(), self._scales(), self.sizes)

    def sample(self, seed: int | None = None) -> Dataset:
        """Return samples with labels and targets; those of D1 and D2 have their names."""
        means, scales = self._means(), self._scales()
        even = all((mean == mean[0]).all() for mean in means)
        coordinates = tuple(float(mean[0]) for mean in means) if even else ()
        targets = _class_targets(self.class_targets, coordinates, len(means), self.n)
        plain = self.class_covariances is None and all((scale == 0.5).all() for scale in scales)
        name = {D1_MEANS: "D1", D2_MEANS: "D2"}.get(coordinates, self.law) if plain else self.law
        return replace(super().sample(seed), targets=targets[self.labels], name=name)

    def _means(self) -> list[Float[np.ndarray, " d"]]:
        return [
            _validate.coordinates(mean, f"the mean of class {c}", self.dim)
            for c, mean in enumerate(self.class_means)
        ]

    def _scales(self) -> list[np.ndarray]:
        return _scales(self.class_stds, self.class_covariances, self.n_classes, self.dim)


gaussian_classes = function(GaussianClasses)


@dataclass(frozen=True, eq=False, kw_only=True)
class Gaussian(Placed):
    """Gaussian classes on a line, all of one covariance; the paper's D1 by default.

    Class c of C has the mean ``separation * (c - (C - 1) / 2)`` in every coordinate: two classes at -2 and 2, and
    with ``n_classes=4`` the paper's D2. The samples are those of `gaussian_classes` with these means, which takes
    any others too.

    Parameters
    ----------
    n, dim : int
        Number of samples in all, and of features.
    n_classes : int
        Number of classes C, two or more.
    separation : float
        Distance of neighbouring class means in every coordinate, zero or more.
    std : float
        Standard deviation in every coordinate.
    covariance : str, or array_like of shape (), (dim,) or (dim, dim)
        A structure of `kernel_collapse.data.covariance`, as "ar1(0.9)", scaled by ``std**2``; or a variance, the
        variances, or a positive semi-definite matrix, in place of `std`.
    class_sizes : sequence of C int, optional
        Samples in each class; as equal as can be by default.
    imbalance : float, optional
        Largest class over the smallest, 1 or more, in place of `class_sizes`: class c has
        ``imbalance ** (-c / (C - 1))`` of what class 0 has, rounded to the largest remainders, one sample at least.
    seed : int
        Seed of the generator.

    Returns
    -------
    Dataset
        Class after class, with targets -1, +1 for two classes, -3, -1, 1, 3 for four, else one-hot.

    Raises
    ------
    ValueError
        If a number is out of range, the covariance is not positive semi-definite, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.gaussian(n=6, dim=2, imbalance=2.0)
    <Dataset D1: 6 samples, 2 features, classes of 4, 2>
    >>> kc.data.gaussian(n=9, dim=2, n_classes=3, covariance="ar1(0.9)").class_sizes
    (3, 3, 3)
    """

    law = "gaussian"
    columns: ClassVar[Columns] = {
        "covariance": ("covariance within a class: its structure, variances or matrix", "features squared")
    }
    on_a_line = True

    covariance: Annotated[str | ArrayLike, Checked(stored=Covariance)] = "isotropic"

    @property
    def name(self) -> str:
        """The law with the options that are not the default; D1 or D2 for the paper's data sets."""
        options = self.options()
        paper = {2: "D1", 4: "D2"}.get(self.n_classes)
        if paper is None or not options.keys() <= {"n_classes", "imbalance"}:
            return super().name
        return titled(paper, {k: v for k, v in options.items() if k == "imbalance"})

    @property
    def _isotropic(self) -> bool:
        return isinstance(self.covariance, str) and self.covariance == "isotropic"

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        covariances = None if self._isotropic else [self.covariance] * self.n_classes
        scales = _scales(self.std, covariances, self.n_classes, self.dim)
        return _mixture(rng, list(line(self.n_classes, self.separation)), scales, self.sizes)

    def sample(self, seed: int | None = None) -> Dataset:
        """Return samples with labels and targets; those of D1 and D2 have their names."""
        means = tuple(line(self.n_classes, self.separation).tolist())
        paper = {D1_MEANS: "D1", D2_MEANS: "D2"} if self._isotropic and self.std == 0.5 else {}
        return replace(super().sample(seed), name=paper.get(means, self.law))


gaussian = function(Gaussian)


def _mixture(
    rng: np.random.Generator,
    means: Sequence[float | Float[np.ndarray, " d"]],
    scales: Sequence[np.ndarray],
    sizes: Sequence[int],
) -> Float[np.ndarray, "n d"]:
    """Return samples, class after class, of standard deviations (d,) or of square roots of a covariance (d, d)."""
    samples = []
    for mean, scale, size in zip(means, scales, sizes, strict=True):
        noise = rng.normal(size=(size, len(scale)))
        samples.append(mean + (noise @ scale.T if scale.ndim == 2 else scale * noise))
    return np.vstack(samples)


def _scales(
    stds: ArrayLike | Sequence[ArrayLike],
    covariances: str | Sequence[ArrayLike | str] | None,
    n_classes: int,
    dim: int,
) -> list[np.ndarray]:
    """Return standard deviations (d,), or a square root of the covariance (d, d), for each class."""
    deviations = _stds(stds, n_classes, dim)
    if covariances is None:
        return deviations
    scales: list[np.ndarray] = []
    for c, value in enumerate(_validate.per_class(covariances, "class_covariances", n_classes)):
        if isinstance(value, str):
            scales.append(_covariance.scaled(value, deviations[c]))
        elif _validate.dimensions(value) == 2:
            scales.append(_covariance.root(value, f"the covariance of class {c}", dim))
        else:
            variances = _validate.coordinates(value, f"the variance of class {c}", dim)
            if (variances < 0).any():
                raise InputError.of(f"the variance of class {c}", value, "zero or more in every coordinate")
            scales.append(np.sqrt(variances))
    return scales


def _stds(stds: ArrayLike | Sequence[ArrayLike], n_classes: int, dim: int) -> list[np.ndarray]:
    scales = []
    for c, value in enumerate(_validate.per_class(stds, "class_stds", n_classes)):
        vector = _validate.coordinates(value, f"the standard deviation of class {c}", dim)
        if (vector <= 0).any():
            raise InputError.of(
                f"the standard deviation of class {c}", value, "more than zero in every coordinate"
            )
        scales.append(vector)
    return scales


def _class_targets(
    targets: ArrayLike | None, coordinates: tuple[float, ...], n_classes: int, n: int
) -> Float[np.ndarray, "C k"]:
    if targets is None:
        if coordinates == D2_MEANS:
            return np.array(D2_TARGETS)[:, None]
        return default_targets(n_classes, n)
    clean = column(targets, "class_targets")
    if len(clean) != n_classes:
        raise InputError("class_targets", f"{len(clean)} rows", f"{n_classes}", "one a class", verb="has")
    return clean
