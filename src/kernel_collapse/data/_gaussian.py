"""Mixtures of Gaussians with any means and covariances; the paper's D1 and D2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.data import _covariance
from kernel_collapse.data._dataset import Dataset, column, default_targets

__all__ = ["D1_MEANS", "D2_MEANS", "gaussian_classes"]

#: Coordinates of the class means of the paper's two data sets; the standard deviation is 0.5.
D1_MEANS = (-2.0, 2.0)
D2_MEANS = (-6.0, -2.0, 2.0, 6.0)
D2_TARGETS = (-3.0, -1.0, 1.0, 3.0)


def gaussian_classes(
    n: int = 1024,
    dim: int = 1,
    *,
    class_means: Sequence[ArrayLike] = D1_MEANS,
    class_stds: ArrayLike | Sequence[ArrayLike] = 0.5,
    class_covariances: str | Sequence[ArrayLike | str] | None = None,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    class_targets: ArrayLike | None = None,
    seed: int = 0,
) -> Dataset:
    r"""Return samples of a Gaussian mixture, class after class.

    The paper's D1 is the default; its D2 is ``class_means=D2_MEANS``. The samples are those of
    ``rng = numpy.random.default_rng(seed)``, class after class ``mean + std * rng.normal(size=(n_c, dim))``,
    so that anyone can make them again. A full covariance S takes the place of the standard deviation by its
    lower Cholesky factor: ``mean + rng.normal(size=(n_c, dim)) @ cholesky(S).T``; one that is singular has none,
    and its symmetric square root is used instead.

    Parameters
    ----------
    n, dim : int
        Number of samples in all, and of features.
    class_means : sequence of C numbers or of C arrays of shape (dim,)
        A number stands for the same mean in every coordinate.
    class_stds : number, or sequence of C numbers or of C arrays of shape (dim,)
        Standard deviation in every coordinate.
    class_covariances : sequence of C numbers, of shape (dim,) or of shape (dim, dim), or names, optional
        Variance, variances of the coordinates, or covariance matrix (positive semi-definite) of each class; in
        place of `class_stds`. A name is a structure of `covariance`, as "ar1(0.9)", whose entry S_ij is scaled by
        the standard deviations of coordinates i and j in `class_stds`; a name alone is that of every class.
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
    n, dim = _validate.count(n, "n"), _validate.count(dim, "dim")
    _validate.size(n, dim)
    _validate.fits(n * dim, f"{n} samples of {dim} features", "lower n or dim")
    seed = _validate.seed(seed)
    means = _means(class_means, dim)
    even = all((mean == mean[0]).all() for mean in means)
    coordinates = tuple(float(mean[0]) for mean in means) if even else ()
    sizes = _validate.class_sizes(class_sizes, n, len(means), imbalance)
    scales = _scales(class_stds, class_covariances, len(means), dim)
    targets = _class_targets(class_targets, coordinates, len(means), n)
    rng = np.random.default_rng(seed)
    samples = []
    for mean, scale, size in zip(means, scales, sizes, strict=True):
        noise = rng.normal(size=(size, dim))
        samples.append(mean + (noise @ scale.T if scale.ndim == 2 else scale * noise))
    labels = np.repeat(np.arange(len(means)), sizes)
    name = {D1_MEANS: "D1", D2_MEANS: "D2"}.get(coordinates, "")
    default_law = class_covariances is None and all((scale == 0.5).all() for scale in scales)
    return Dataset(
        np.vstack(samples),
        labels,
        targets[labels],
        name if name and default_law else "gaussian_classes",
        tuple(range(len(means))),
    )


def _means(class_means: Sequence[ArrayLike], dim: int) -> list[Float[np.ndarray, " d"]]:
    return [
        _validate.coordinates(mean, f"the mean of class {c}", dim)
        for c, mean in enumerate(_validate.per_class(class_means, "class_means", None))
    ]


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
