"""One way in to every law, by its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.data._bodies import ball, shell, subspace, tree
from kernel_collapse.data._curved import checkerboard, manifolds, spheres, xor
from kernel_collapse.data._dataset import Dataset
from kernel_collapse.data._gaussian import gaussian_classes
from kernel_collapse.data._label_noise import label_noise
from kernel_collapse.data._tails import contaminated, gaussian, laplace, skewed, student_t

__all__ = ["laws", "sample"]


def _noisy(
    n: int, dim: int, *, base: str = "gaussian", fraction: float = 0.1, seed: int = 0, **options: Any
) -> Dataset:
    """Return samples of another law with flipped labels; what is no option here is one of the other law."""
    if base == "label-noise":
        raise InputError("base", "'label-noise'", "another law", "raise the fraction instead")
    return label_noise(sample(base, n=n, dim=dim, seed=seed, **options), fraction, seed=seed)


#: The function of each law.
_LAWS: dict[str, Callable[..., Dataset]] = {
    "ball": ball,
    "checkerboard": checkerboard,
    "contaminated": contaminated,
    "gaussian": gaussian,
    "gaussian_classes": gaussian_classes,
    "label-noise": _noisy,
    "laplace": laplace,
    "manifolds": manifolds,
    "shell": shell,
    "skewed": skewed,
    "spheres": spheres,
    "student-t": student_t,
    "subspace": subspace,
    "tree": tree,
    "xor": xor,
}


def laws() -> tuple[str, ...]:
    """Return the names of all laws, sorted.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.laws()[:4]
    ('ball', 'checkerboard', 'contaminated', 'gaussian')
    """
    return tuple(sorted(_LAWS))


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
        What the function takes beside these. All but "gaussian_classes" take `separation`, the distance between
        classes that each defines, and all take `class_sizes` or `imbalance`.

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
    function = _LAWS[_validate.choice(law, laws(), "law")]
    parameters = inspect.signature(function).parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        known = sorted(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "seed")
        for option in options:
            _validate.choice(option, known, f"an option of {law!r}")
    return function(n, dim, seed=seed, **options)
