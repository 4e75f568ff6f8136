"""Samples with their classes and regression targets, and how they are made from arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from kernel_collapse import _validate

#: What to try where a data set is expected.
FROM_ARRAYS = "make one with kernel_collapse.data.from_arrays(x, labels)"

__all__ = ["FROM_ARRAYS", "Dataset", "column", "dataset_of", "default_targets", "from_arrays"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with their classes and regression targets.

    Attributes
    ----------
    x : ndarray, shape (n, d)
        Inputs, one sample a row.
    labels : ndarray of int, shape (n,)
        Class of each sample, 0..C-1.
    targets : ndarray, shape (n, k)
        Regression targets.
    name : str
        For titles and tables.
    classes : tuple, length C
        The label that the user gave to each class.
    features : tuple of str, length d
        Names of the columns of `x`; empty where they have none.
    """

    x: Float[np.ndarray, "n d"]
    labels: Int[np.ndarray, " n"]
    targets: Float[np.ndarray, "n k"]
    name: str = "data"
    classes: tuple[Any, ...] = ()
    features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Hold every data set to what is said above, whoever made it."""
        x = _validate.matrix(self.x, "x", numpy=True)
        targets = column(self.targets, "targets")
        labels = _validate.codes(self.labels)
        _validate.text(self.name, "name")
        for name, array in {"labels": labels, "targets": targets}.items():
            if len(array) != len(x):
                raise ValueError(
                    f"x has {len(x)} rows and {name} {len(array)}, expected as many {name} as rows."
                )
        clean: dict[str, Any] = {"x": x, "labels": labels, "targets": targets}
        for name in ("classes", "features"):
            clean[name] = tuple(_validate.several(getattr(self, name), name, "('a', 'b')"))
        for name, value in clean.items():
            object.__setattr__(self, name, value)

    @property
    def class_sizes(self) -> tuple[int, ...]:
        """Number of samples in each class."""
        return tuple(int(size) for size in np.bincount(self.labels))

    def __repr__(self) -> str:
        n, d = self.x.shape
        return f"<Dataset {self.name}: {n} samples, {d} features, classes of {', '.join(map(str, self.class_sizes))}>"


def from_arrays(
    x: ArrayLike, labels: Any, targets: ArrayLike | None = None, *, name: str = "data"
) -> Dataset:
    """Return a data set from arrays in memory.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Inputs, one sample a row. Arrays of PyTorch, JAX and CuPy are read into NumPy's.
    labels : sequence, length n
        Any hashable values (numbers, strings, ...), in any order. Classes are numbered in sorted order. Labels that
        are equal are one class, as 1 and 1.0 are; truth values beside numbers are refused, for True equals 1.
    targets : array_like, shape (n,) or (n, k), optional
        Regression targets; by default -1, +1 for two classes, else one-hot.
    name : str
        For titles and tables.

    Returns
    -------
    Dataset
        With `classes` holding the original labels.

    Raises
    ------
    ValueError
        If an entry is not a finite number, lengths differ, a label is missing, or there is only one class.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.from_arrays([[0.0], [1.0], [5.0]], ["cat", "dog", "cat"])
    >>> data.labels.tolist(), data.classes, data.targets.ravel().tolist()
    ([0, 1, 0], ('cat', 'dog'), [-1.0, 1.0, -1.0])
    """
    return dataset_of(_validate.matrix(x, "x", numpy=True), labels, targets, name)


def default_targets(n_classes: int, n: int) -> Float[np.ndarray, "C k"]:
    """Return a target for each class of so many samples."""
    _validate.fits(
        n_classes * max(n, n_classes), f"one-hot targets of {n_classes} classes", "give targets of your own"
    )
    return np.array([[-1.0], [1.0]]) if n_classes == 2 else np.eye(n_classes)


def column(values: ArrayLike, what: str) -> Float[np.ndarray, "n k"]:
    return _validate.columns(values, what, numpy=True)


def dataset_of(
    x: Float[np.ndarray, "n d"],
    labels: Any,
    targets: Any,
    name: str,
    features: tuple[str, ...] = (),
) -> Dataset:
    codes, classes = _validate.encode_labels(labels)
    if len(codes) != len(x):
        raise ValueError(
            f"x has {len(x)} rows and there are {len(codes)} labels, expected as many labels as rows."
        )
    _validate.squarable(x, "x")
    if targets is None:
        targets = default_targets(len(classes), len(codes))[codes]
    return Dataset(x, codes, targets, name, classes, features)
