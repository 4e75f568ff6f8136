"""Mixtures of Gaussians with any means and covariances; the paper's D1 and D2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from kernel_collapse import _validate
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
    seed = _validate.count(seed, "seed", least=0)
    means = _means(class_means, dim)
    sizes = _validate.class_sizes(class_sizes, n, len(means), imbalance)
    scales = _scales(class_stds, class_covariances, len(means), dim)
    targets = _class_targets(class_targets, class_means, len(means))
    rng = np.random.default_rng(seed)
    samples = []
    for mean, scale, size in zip(means, scales, sizes, strict=True):
        noise = rng.normal(size=(size, dim))
        samples.append(mean + (noise @ scale.T if scale.ndim == 2 else scale * noise))
    labels = np.repeat(np.arange(len(means)), sizes)
    name = {D1_MEANS: "D1", D2_MEANS: "D2"}.get(_as_numbers(class_means), "")
    stds = _as_numbers(class_stds if hasattr(class_stds, "__len__") else [class_stds])
    default_law = class_covariances is None and set(stds) == {0.5}
    return Dataset(
        np.vstack(samples),
        labels,
        targets[labels],
        name if name and default_law else "gaussian_classes",
        tuple(range(len(means))),
    )


def _as_numbers(values: Any) -> tuple[Any, ...]:
    """Return a tuple of floats if these are numbers, else an empty one."""
    try:
        return tuple(float(v) for v in values)
    except (TypeError, ValueError):
        return ()


def _class_vector(value: ArrayLike, what: str, dim: int) -> Float[np.ndarray, " d"]:
    """Return a vector of `dim` finite numbers, a single number repeated."""
    array = np.asarray(None if _ragged(value) else value)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all() or array.shape not in ((), (dim,)):
        raise ValueError(
            f"{what} is {value!r}, expected a finite number or one for each of {dim} coordinates."
        )
    return np.broadcast_to(array, (dim,)).astype(float)


def _ragged(value: Any) -> bool:
    """Whether these are rows of different lengths, of which NumPy makes no array."""
    try:
        np.ndim(value)
    except ValueError:
        return True
    return False


def _means(class_means: Sequence[ArrayLike], dim: int) -> list[Float[np.ndarray, " d"]]:
    if not hasattr(class_means, "__len__") or len(class_means) < 2:
        raise ValueError(
            f"class_means is {class_means!r}, expected the means of at least two classes, as in (-2, 2)."
        )
    return [_class_vector(mean, f"the mean of class {c}", dim) for c, mean in enumerate(class_means)]


def _scales(
    stds: ArrayLike | Sequence[ArrayLike],
    covariances: str | Sequence[ArrayLike | str] | None,
    n_classes: int,
    dim: int,
) -> list[np.ndarray]:
    """Return standard deviations (d,), or a square root of the covariance (d, d), for each class."""
    if covariances is None:
        return _stds(stds, n_classes, dim)
    scales: list[np.ndarray] = []
    for c, value in enumerate(_one_a_class(covariances, "class_covariances", n_classes)):
        if isinstance(value, str):
            scales.append(_covariance.scaled(value, _stds(stds, n_classes, dim)[c]))
        elif not _ragged(value) and np.ndim(value) == 2:
            scales.append(_covariance.root(value, f"the covariance of class {c}", dim))
        else:
            variances = _class_vector(value, f"the variance of class {c}", dim)
            if (variances < 0).any():
                raise ValueError(
                    f"the variance of class {c} is {value!r}, expected zero or more in every coordinate."
                )
            scales.append(np.sqrt(variances))
    return scales


def _stds(stds: ArrayLike | Sequence[ArrayLike], n_classes: int, dim: int) -> list[np.ndarray]:
    scales = []
    for c, value in enumerate(_one_a_class(stds, "class_stds", n_classes)):
        vector = _class_vector(value, f"the standard deviation of class {c}", dim)
        if (vector <= 0).any():
            raise ValueError(
                f"the standard deviation of class {c} is {value!r}, expected more than zero in every coordinate."
            )
        scales.append(vector)
    return scales


def _one_a_class(given: Any, what: str, n_classes: int) -> list[Any]:
    """Return what is given of each class; a number or a name alone is that of all."""
    alone = isinstance(given, str) or not hasattr(given, "__len__")
    values: list[Any] = [given] * n_classes if alone else list(given)
    if len(values) != n_classes:
        raise ValueError(
            f"{what} has {len(values)} entries, expected {n_classes}: one a class, as in class_means."
        )
    return values


def _class_targets(
    targets: ArrayLike | None, class_means: Sequence[ArrayLike], n_classes: int
) -> Float[np.ndarray, "C k"]:
    if targets is None:
        if _as_numbers(class_means) == D2_MEANS:
            return np.array(D2_TARGETS)[:, None]
        return default_targets(n_classes)
    clean = column(targets, "class_targets")
    if len(clean) != n_classes:
        raise ValueError(f"class_targets has {len(clean)} rows, expected {n_classes}: one a class.")
    return clean
