"""Samples with their classes and regression targets, and how they are made from arrays."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _frames, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._pixels import channels_last
from kernel_collapse._shapes import Float, Int
from kernel_collapse._text import named

#: What to try where a data set is expected.
FROM_ARRAYS = "make one with kernel_collapse.data.from_arrays(x, labels)"

__all__ = ["FROM_ARRAYS", "Dataset", "column", "dataset_of", "default_targets", "from_arrays", "refuse_twice"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with their classes and regression targets.

    The arrays are copies of what was given, so that they stay what they are when that changes.

    Attributes
    ----------
    x : ndarray, shape (n, d)
        Inputs, one sample a row; of images (n, height, width, channels) their numbers in that order.
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
    notes : tuple of str
        Sentences on how the data were read. They belong beside every number that is computed from the data.
    image_shape : tuple of int, length 3
        Height, width and channels of the samples if they are images. The numbers of an image are a row of `x`, in
        that order. Empty if the samples are not images. Given beside images, it says that their channels are last.
    """

    x: Float[np.ndarray, "n d"]
    labels: Int[np.ndarray, " n"]
    targets: Float[np.ndarray, "n k"]
    name: str = "data"
    classes: tuple[Any, ...] = ()
    features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    image_shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Hold every data set to what is said above, whoever made it."""
        x, image_shape, notes = _rows_of(self.x, self.image_shape)
        x, targets = np.array(x), np.array(column(self.targets, "targets"))
        labels = np.array(_validate.codes(self.labels))
        _validate.text(self.name, "name")
        for name, array in {"labels": labels, "targets": targets}.items():
            if len(array) != len(x):
                raise InputError(
                    "x", f"{len(x)} rows and {name} {len(array)}", f"as many {name} as rows", verb="has"
                )
        clean: dict[str, Any] = {"x": x, "labels": labels, "targets": targets, "image_shape": image_shape}
        for name in ("classes", "features"):
            clean[name] = tuple(_validate.several(getattr(self, name), name, "('a', 'b')"))
        if notes:
            clean["notes"] = (*self.notes, *notes)
            clean["features"] = _moved(clean["features"], self.x, image_shape)
        for name, value in clean.items():
            object.__setattr__(self, name, value)

    @property
    def images(self) -> Float[np.ndarray, "n h w c"]:
        """The samples as images, channels last: what the kernels of convolutional networks take.

        Raises
        ------
        ValueError
            If they are none.
        """
        if not self.image_shape:
            raise InputError(
                f"the data set {named(self.name)}",
                f"rows of {self.x.shape[1]} numbers",
                "images",
                "make one of images, as in kernel_collapse.data.from_arrays(images, labels) with images of shape "
                "(n, height, width, channels)",
                verb="holds",
            )
        return self.x.reshape(len(self.x), *self.image_shape)

    @property
    def class_sizes(self) -> tuple[int, ...]:
        """Number of samples in each class; held-out samples may have none of a class."""
        return tuple(int(size) for size in np.bincount(self.labels, minlength=len(self.classes)))

    def __repr__(self) -> str:
        n, d = self.x.shape
        sizes = ", ".join(map(str, self.class_sizes))
        what = f"images of {' x '.join(map(str, self.image_shape))}" if self.image_shape else f"{d} features"
        return f"<Dataset {named(self.name)}: {n} samples, {what}, classes of {sizes}>"


def _rows_of(x: Any, image_shape: Any) -> tuple[Float[np.ndarray, "n d"], tuple[int, ...], tuple[str, ...]]:
    """Return samples as rows of numbers, the height, width and channels of those that are images, and notes.

    Where no shape is given, channels that come first are put last.
    """
    given = _validate.several(image_shape, "image_shape", "(28, 28, 1)")
    shape = tuple(_validate.count(length, "a length in image_shape") for length in given)
    if _validate.dimensions(x) == 4:
        images = _validate.images(x, "x", numpy=True)
        if shape and images.shape[1:] != shape:
            raise InputError.of("image_shape", shape, f"that of the images of x, {images.shape[1:]}")
        images, notes = (images, ()) if shape else channels_last(images)
        return images.reshape(len(images), -1), images.shape[1:], notes
    rows = _validate.matrix(x, "x", numpy=True)
    if shape and (len(shape) != 3 or math.prod(shape) != rows.shape[1]):
        raise InputError.of(
            "image_shape",
            shape,
            f"height, width and channels, whose product is the {rows.shape[1]} columns of x",
        )
    return rows, shape, ()


def _moved(names: tuple[str, ...], x: Any, image_shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of columns in the order of the numbers of images, whose channels may have been put last."""
    given = tuple(np.shape(x))[1:]
    if not names or len(given) != 3 or given == image_shape or len(names) != math.prod(given):
        return names
    places = np.moveaxis(np.arange(len(names)).reshape(given), 0, 2).ravel()
    return tuple(names[place] for place in places)


def from_arrays(
    x: ArrayLike,
    labels: Any,
    targets: ArrayLike | None = None,
    *,
    name: str = "data",
    features: Sequence[str] | None = None,
) -> Dataset:
    """Return a data set from arrays in memory.

    Parameters
    ----------
    x : array_like or DataFrame, shape (n, d) or (n, height, width, channels)
        Inputs, one sample per row. Images are kept as rows of numbers; `Dataset.images` returns them in their
        original shape. Channels that come first, which is known by their number (1, 3 or 4), are put last. A note
        says so, or that either is possible. The columns of a DataFrame of pandas or polars keep their names; arrays of
        PyTorch, JAX and CuPy are read into NumPy's.
    labels : sequence, length n
        Any hashable values (numbers, strings, ...), in any order. Classes are numbered in sorted order,
        ordered categories of pandas in theirs, and what cannot be sorted in the order of appearance. Equal labels, such
        as 1 and 1.0, are one class. Truth values beside numbers are refused, because True equals 1.
    targets : array_like, shape (n,) or (n, k), optional
        Regression targets; by default -1, +1 for two classes, else one-hot.
    name : str
        For titles and tables.
    features : sequence of d str, optional
        Names of the columns of `x`, in place of those that a DataFrame has. Columns of held-out samples are matched
        by them.

    Returns
    -------
    Dataset
        With `classes` holding the original labels.

    Raises
    ------
    ValueError
        If an entry is not a finite number, lengths differ, two columns have one name, a label is missing, or there is
        only one class.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.from_arrays([[0.0], [1.0], [5.0]], ["cat", "dog", "cat"])
    >>> data.labels.tolist(), data.classes, data.targets.ravel().tolist()
    ([0, 1, 0], ('cat', 'dog'), [-1.0, 1.0, -1.0])
    """
    named = (
        _frames.names(x) if features is None else tuple(_validate.several(features, "features", "['a', 'b']"))
    )
    for given in named:
        _validate.text(given, "a name in features")
    array, image_shape, notes = _rows_of(x, ())
    if named and len(named) != array.shape[1]:
        raise InputError(
            "features",
            f"{len(named)} names and x {array.shape[1]} columns",
            "a name for each column",
            verb="has",
        )
    named = _moved(named, x, image_shape)
    refuse_twice(named, "x")
    return dataset_of(array, labels, targets, name, named, notes, image_shape=image_shape)


def refuse_twice(names: Iterable[str], where: str) -> None:
    """Refuse a name that several columns have."""
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InputError(
            where,
            f"several columns {twice[0]!r}",
            "a name of its own for each",
            "rename or drop one",
            verb="has",
        )


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
    notes: tuple[str, ...] = (),
    *,
    image_shape: tuple[int, ...] = (),
) -> Dataset:
    codes, classes = _validate.encode_labels(labels)
    if len(codes) != len(x):
        raise InputError(
            "x", f"{len(x)} rows and there are {len(codes)} labels", "as many labels as rows", verb="has"
        )
    _validate.squarable(x, "x")
    if targets is None:
        targets = default_targets(len(classes), len(codes))[codes]
    return Dataset(x, codes, targets, name, classes, features, notes, image_shape)
