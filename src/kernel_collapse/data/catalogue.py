"""The list of the laws, and one function that finds each by its name.

All code that goes through the laws, or names one in a specification, uses this list.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.data._bodies import Ball, Shell, Subspace, Tree
from kernel_collapse.data._curved import XOR, Checkerboard, Manifolds, Spheres
from kernel_collapse.data._dataset import Dataset
from kernel_collapse.data._gaussian import Gaussian, GaussianClasses
from kernel_collapse.data._label_noise import label_noise
from kernel_collapse.data._pentominoes import Shapes
from kernel_collapse.data._tails import Contaminated, Laplace, Skewed, StudentT
from kernel_collapse.data.law import Law

#: Every law, in the order in which columns and sweeps name them.
ALL: tuple[type[Law], ...] = (
    GaussianClasses,
    Gaussian,
    StudentT,
    Laplace,
    Contaminated,
    Skewed,
    Ball,
    Shell,
    Subspace,
    Tree,
    XOR,
    Checkerboard,
    Spheres,
    Manifolds,
    Shapes,
)
#: The samples of one of these with flipped labels.
NOISE = "label-noise"
_BY_NAME = {law.law: law for law in ALL}


def _noisy(
    n: int, dim: int, *, base: str = "gaussian", fraction: float = 0.1, seed: int = 0, **options: Any
) -> Dataset:
    """Return samples of another law with flipped labels; what is no option here is one of the other law."""
    if base == NOISE:
        raise InputError("base", "'label-noise'", "another law", "raise the fraction instead")
    return label_noise(sample(base, n=n, dim=dim, seed=seed, **options), fraction, seed=seed)


def laws() -> tuple[str, ...]:
    """Return the names of all laws, sorted.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.laws()[:4]
    ('ball', 'checkerboard', 'contaminated', 'gaussian')
    """
    return tuple(sorted([*_BY_NAME, NOISE]))


def sample(law: str, *, n: int, dim: int, seed: int = 0, **options: Any) -> Dataset:
    """Return samples of a law by its name.

    Parameters
    ----------
    law : str
        One of `laws`: the name of its function with hyphens, as "student-t" for `student_t`. "label-noise" is
        `label_noise` of the samples of another law, `base` ("gaussian" by default), which takes the other options.
    n, dim : int
        Number of samples in all, and of features.
    seed : int
        Seed of the generator.
    **options
        Further options of the function. All functions except "gaussian_classes" take `separation`, the distance
        between classes, which each law defines. All take `class_sizes` or `imbalance`.

    Returns
    -------
    Dataset
        As the function returns it.

    Raises
    ------
    ValueError
        If there is no such law or option, or the law refuses what it is given.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.sample("student-t", n=10, dim=3, df=2.5, imbalance=4.0)
    <Dataset student-t: 10 samples, 3 features, classes of 8, 2>
    >>> kc.data.sample("label-noise", n=10, dim=2, base="xor", fraction=0.1, separation=3.0).name
    'xor, 10 % of labels flipped'
    """
    if _validate.choice(law, laws(), "law") == NOISE:
        return _noisy(n, dim, seed=seed, **options)
    known = sorted({field.name for field in fields(_BY_NAME[law])} - {"law", "n", "dim", "seed"})
    for option in options:
        _validate.choice(option, known, f"an option of {law!r}")
    return _BY_NAME[law](n, dim, seed=seed, **options).sample()
