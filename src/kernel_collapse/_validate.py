"""The single door where bad input is refused.

Every message is one sentence that says what was given, what is expected and what to try. The functions
return clean float64 arrays; behind this door the code assumes that its input is clean.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from kernel_collapse import _arrays, _frames

T = TypeVar("T")

__all__ = [
    "as_many",
    "choice",
    "class_sizes",
    "codes_among",
    "count",
    "encode_labels",
    "finite",
    "flag",
    "gram",
    "instance",
    "matrix",
    "page",
    "path",
    "positive",
    "probability",
    "rows",
    "several",
    "shaped",
    "share",
    "size",
    "squarable",
]


def choice(value: object, options: Iterable[str], what: str) -> str:
    """Return `value` if it is one of `options`; else suggest the closest names."""
    names = list(options)
    if isinstance(value, str) and value in names:
        return value
    said = str(value).lower()
    close = difflib.get_close_matches(said, names, n=3, cutoff=0.5)
    close = close or [name for name in names if len(said) > 2 and said in name.lower()][:3]
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "choose one of these."
    raise ValueError(f"{what} is {value!r}, expected one of {', '.join(names)}: {hint}")


def count(value: Any, what: str, *, least: int = 1) -> int:
    """Return a whole number that is at least `least`; 3.0 is 3, True and 1.5 are refused."""
    if not _is_finite(value) or value != int(value) or value < least:
        raise ValueError(f"{what} is {value!r}, expected a whole number that is at least {least}.")
    return int(value)


def positive(value: Any, what: str, *, zero_allowed: bool = False) -> float:
    """Return a finite number that is positive (or zero, if allowed) as a float."""
    if not _is_finite(value) or value < 0 or (value == 0 and not zero_allowed):
        kind = "zero or more" if zero_allowed else "more than zero"
        raise ValueError(f"{what} is {value!r}, expected a finite number that is {kind}.")
    return float(value)


def finite(value: Any, what: str) -> float:
    """Return a finite number as a float."""
    if not _is_finite(value):
        raise ValueError(f"{what} is {value!r}, expected a finite number.")
    return float(value)


def _is_finite(value: Any) -> bool:
    """Whether it is a real number that a float can hold; True and False are none."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # of a whole number
        return False


def size(n: int, dim: int) -> None:
    """Refuse samples that no memory holds."""
    if n * dim > 2**40:
        raise ValueError(
            f"n = {n} samples of dim = {dim} features are {float(n * dim):.3g} numbers, expected at most 2^40 (8 TB): "
            "lower either."
        )


def instance(value: Any, kind: type[T], what: str, hint: str) -> T:
    """Return the value if it is of that kind."""
    if not isinstance(value, kind):
        raise ValueError(f"{what} is of type {type(value).__name__}, expected a {kind.__name__}: {hint}.")
    return value


def path(value: Any, what: str, expected: str) -> Path:
    """Return a path, given as one or as text."""
    if not isinstance(value, str | os.PathLike) or "\0" in str(value):
        raise ValueError(f"{what} is {value!r}, expected {expected}.")
    return Path(value)


def page(path: Path, what: str, ending: str) -> Path:
    """Return the path if a page with that ending can have it."""
    if path.suffix != ending or path.is_dir():
        example = str(path.with_suffix(ending))
        raise ValueError(f"{what} is {str(path)!r}, expected the name of a page: try {example!r}.")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(
            f"{what} {str(path)!r} cannot be written, expected a page in a folder that can: choose another."
        )
    return path


def several(value: Any, what: str, example: str) -> list[Any]:
    """Return what a sequence holds; text is none, and neither is a number."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"{what} is {value!r}, expected several values in brackets: try {example}.")
    return list(value)


def flag(value: Any, what: str) -> bool:
    """Return True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{what} is {value!r}, expected True or False.")
    return bool(value)


def share(value: Any, what: str) -> float:
    """Return a number from 0 to less than 1 as a float."""
    number = positive(value, what, zero_allowed=True)
    if number >= 1.0:
        raise ValueError(f"{what} is {value!r}, expected 0 or more and less than 1, say 0.1.")
    return number


def probability(value: Any, what: str) -> float:
    """Return a number strictly between 0 and 1 as a float."""
    number = positive(value, what)
    if number >= 1.0:
        raise ValueError(f"{what} is {value!r}, expected a number between 0 and 1, say 0.95.")
    return number


def _numeric(value: ArrayLike, what: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{what} has rows of different lengths, expected as many numbers in each row."
        ) from None
    if array.dtype == object or array.dtype.kind not in "biuf":
        try:  # object arrays of numbers are fine; complex numbers, text and dates are not
            array = np.asarray(array.tolist(), dtype=float)
        except (TypeError, ValueError):
            raise ValueError(
                f"{what} has entries of type {array.dtype}, expected real numbers: encode or drop what is not."
            ) from None
    return np.asarray(array, dtype=np.float64)


def matrix(
    value: ArrayLike,
    what: str,
    *,
    columns: Sequence[str] | None = None,
    row_numbers: Sequence[int] | Int[np.ndarray, " n"] | None = None,
    dtype: str | None = None,
) -> Float[Any, "n d"]:
    """Return a finite, non-empty matrix; a non-finite entry is named by row and column.

    In float64 if it was given as NumPy's or as a list, and else an array of its library in its precision; `dtype`
    overrides that. `row_numbers` are the rows' own, where they are some of a larger matrix.
    """
    if dtype is not None:
        choice(dtype, ("float64", "float32"), "dtype")
    if not _arrays.is_foreign(value):
        array = _numeric(value, what)
        if dtype == "float32":
            array = array.astype(np.float32)
    else:
        array = _floating(value, what, dtype)
    if array.ndim != 2:
        hint = f" Try {what}.reshape(-1, 1) for a single column." if array.ndim == 1 else ""
        raise ValueError(
            f"{what} has shape {tuple(array.shape)}, expected two dimensions (samples, features).{hint}"
        )
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise ValueError(f"{what} has shape {tuple(array.shape)}, expected at least one row and one column.")
    if _arrays.traced(array):  # the values are not known yet
        return array
    xp = _arrays.namespace(array)
    if not bool(xp.all(xp.isfinite(array))):
        array = _arrays.read(array) if _arrays.is_foreign(array) else array
        bad = np.argwhere(~np.isfinite(array))
        row, column = map(int, bad[0])
        name = f"column {column}" if columns is None else f"column {columns[column]!r}"
        more = "" if len(bad) == 1 else f" (and {len(bad) - 1} more such entries)"
        raise ValueError(
            f"{what} holds {array[row, column]} in row {row if row_numbers is None else row_numbers[row]}, "
            f"{name}{more}, expected finite numbers: "
            "drop or impute those rows."
        )
    return array


def squarable(array: Float[Any, "n d"], what: str) -> Float[Any, "n d"]:
    """Return the matrix if the squares of its entries can be added in its precision."""
    if not _arrays.traced(array):
        xp = _arrays.namespace(array)
        largest = max(_arrays.number(xp.max(array)), -_arrays.number(xp.min(array)))
        limits = xp.finfo(array.dtype)
        least = (float(limits.smallest_normal) / float(limits.eps) ** 2) ** 0.5
        if 0.0 < largest < least:
            raise ValueError(
                f"the largest entry of {what} is {largest:.3g}, expected more than {least:.3g}, or squares are lost: "
                f"multiply {what} by a number."
            )
        most = (float(xp.finfo(array.dtype).max) / (4 * array.shape[0] * array.shape[1])) ** 0.5
        if largest > most:
            raise ValueError(
                f"the largest entry of {what} is {largest:.3g}, expected less than {most:.3g}, for the sum of squares "
                f"must be finite: divide {what} by a number."
            )
    return array


def as_many(n_rows: int, what: str, n_labels: int) -> None:
    """Refuse labels that are not as many as the rows of what they are of."""
    if n_rows != n_labels:
        raise ValueError(
            f"{what} have {n_rows} rows and there are {n_labels} labels, expected as many labels as rows."
        )


def shaped(value: Any, what: str, shape: tuple[int, ...], meaning: str) -> Any:
    """Return a finite array of that shape, as `matrix` does."""
    array = value if _arrays.is_foreign(value) else np.asarray(value)
    if tuple(array.shape) != shape:
        raise ValueError(f"{what} has shape {tuple(array.shape)}, expected {shape}: {meaning}.")
    return matrix(array[:, None], what)[:, 0] if len(shape) == 1 else matrix(array, what)


def codes_among(labels: Any, classes: Sequence[Any]) -> Int[np.ndarray, " m"]:
    """Return class indices of held-out labels, all of which must be among the classes."""
    codes, seen = encode_labels(labels, two_classes=False)
    known = {label: i for i, label in enumerate(classes)}
    missing = [label for label in seen if label not in known]
    if missing:
        raise ValueError(
            f"the held-out class {missing[0]!r} has no training sample, expected classes among "
            f"{', '.join(map(repr, classes[:10]))}: drop those samples, or split by class."
        )
    return np.array([known[label] for label in seen], dtype=np.int64)[codes]


def _floating(value: Any, what: str, dtype: str | None) -> Any:
    """Return an array of a library other than NumPy, which must be real and floating."""
    xp = _arrays.namespace(value)
    if value.dtype not in (xp.float32, xp.float64):
        raise ValueError(
            f"{what} is an array of {_arrays.kind(value)} of type {value.dtype}, expected float32 or float64: "
            "convert it, for no precision is chosen silently."
        )
    return value if dtype is None else xp.astype(value, getattr(xp, dtype), copy=False)


def rows(
    x: ArrayLike, x_other: ArrayLike, *, dtype: str | None = None
) -> tuple[Float[Any, "n d"], Float[Any, "m d"]]:
    """Return two matrices with the same number of features, of one kind of array."""
    x_other = _frames.matched(x_other, "x_other", x, "x")
    _arrays.same_kind(x, "x", x_other, "x_other")
    first, second = matrix(x, "x", dtype=dtype), matrix(x_other, "x_other", dtype=dtype)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"x has {first.shape[1]} features and x_other has {second.shape[1]}, expected the same number: "
            "samples are rows."
        )
    return first, second


def gram(value: ArrayLike, n_labels: int) -> Float[Any, "n n"]:
    """Return a square, symmetric, finite matrix of the size of the labels; for NumPy in float64."""
    what = "the Gram matrix"
    array = _floating(value, what, None) if _arrays.is_foreign(value) else _numeric(value, what)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(
            f"the Gram matrix has shape {tuple(array.shape)}, expected a square matrix of all pairs of samples: "
            "for features of shape (n, d) use the functions that end in _from_features."
        )
    if array.shape[0] != n_labels:
        raise ValueError(
            f"the Gram matrix has {array.shape[0]} rows and there are {n_labels} labels, expected as many "
            "labels as rows: give the label of every sample, in the order of the rows."
        )
    array = matrix(array, what)
    if _arrays.traced(array):
        return array
    xp = _arrays.namespace(array)
    scale = _arrays.number(xp.max(xp.abs(xp.linalg.diagonal(array))))
    worst = 0.0
    blocks = [slice(top, min(top + 256, n_labels)) for top in range(0, n_labels, 256)]
    for first in blocks:  # in tiles: no temporary of the size of the matrix, and in the cache
        for second in blocks:
            gap = array[first, second] - xp.permute_dims(array[second, first], (1, 0))
            worst = max(worst, _arrays.number(xp.max(gap)), -_arrays.number(xp.min(gap)))
    # A Gram matrix made in float32 is symmetric to about 1e-7; a rectangular mix-up is off by far more.
    if worst > 1e-6 * scale:
        raise ValueError(
            f"the Gram matrix is not symmetric (entries differ by up to {worst:.3g} from their mirror image, "
            f"the diagonal reaches {scale:.3g}), expected K[i, j] = K[j, i]: symmetrise it by (K + K.T) / 2 "
            "if that is round-off."
        )
    return array


def encode_labels(labels: Any, *, two_classes: bool = True) -> tuple[Int[np.ndarray, " n"], tuple[Any, ...]]:
    """Return class indices 0..C-1 and the classes; sorted if they can be, else in order of appearance."""
    if _arrays.traced(labels):
        raise ValueError(
            "labels are traced by JAX, expected known values: close over them, or make them static."
        )
    if _arrays.is_foreign(labels):
        labels = _arrays.read(labels)
    values = labels.tolist() if hasattr(labels, "tolist") else labels
    if not isinstance(values, Iterable):
        raise ValueError(
            f"labels are {values!r}, expected one label a sample: a sequence as long as there are samples."
        )
    values = list(values)
    if any(isinstance(v, list) for v in values):
        raise ValueError("labels are nested, expected one label a sample: a one-dimensional sequence.")
    if not values:
        raise ValueError("labels are empty, expected one label a sample.")
    for row, value in enumerate(values):
        if value is None or value != value:  # NaN is the one value that differs from itself
            raise ValueError(
                f"the label of row {row} is missing, expected a label in every row: drop unlabelled rows."
            )
    try:
        distinct = dict.fromkeys(values)
    except TypeError:
        raise ValueError("labels cannot be hashed, expected numbers, strings or tuples.") from None
    try:
        classes = sorted(distinct)
    except TypeError:
        classes = list(distinct)
    if two_classes and len(classes) < 2:
        raise ValueError(
            f"all {len(values)} labels are {classes[0]!r}, expected at least two classes: collapse compares "
            "the spread within classes with the spread between them."
        )
    index = {label: i for i, label in enumerate(classes)}
    return np.array([index[v] for v in values], dtype=np.int64), tuple(classes)


def class_sizes(
    value: Iterable[Any] | None, n: int, n_classes: int, imbalance: Any = None
) -> tuple[int, ...]:
    """Return sizes, one a class, that add up to n; equal sizes (the first ones larger by one) by default.

    With an imbalance r the sizes are geometric: class c has r^(-c / (C - 1)) of what class 0 has, rounded to the
    largest remainders, and a sample at least.
    """
    if n < n_classes:
        raise ValueError(
            f"n is {n} for {n_classes} classes, expected at least one sample a class: raise n to {n_classes} "
            "or more."
        )
    if value is not None and not isinstance(value, Iterable):
        raise ValueError(f"class_sizes is {value!r}, expected {n_classes} sizes: one a class.")
    if imbalance is not None:
        if value is not None:
            raise ValueError(
                f"class_sizes {tuple(value)} and imbalance {imbalance!r} are both given, expected one of them: "
                "drop the other."
            )
        return _geometric(n, n_classes, imbalance)
    if value is None:
        share, rest = divmod(n, n_classes)
        return tuple(share + (c < rest) for c in range(n_classes))
    sizes = tuple(count(v, "a class size", least=0) for v in value)
    if len(sizes) != n_classes:
        raise ValueError(f"class_sizes has {len(sizes)} entries, expected {n_classes}: one a class.")
    if 0 in sizes:
        raise ValueError(
            f"class_sizes {sizes} leaves class {sizes.index(0)} without a sample, expected at least one each: "
            "drop the class instead."
        )
    if sum(sizes) != n:
        raise ValueError(f"class_sizes {sizes} add up to {sum(sizes)}, expected n = {n}: change either.")
    return sizes


def _geometric(n: int, n_classes: int, imbalance: Any) -> tuple[int, ...]:
    ratio = positive(imbalance, "imbalance")
    if ratio < 1:
        raise ValueError(
            f"imbalance is {imbalance!r}, expected 1 or more: it is the largest class over the smallest."
        )
    share = ratio ** (-np.arange(n_classes) / max(n_classes - 1, 1))
    share *= n / share.sum()
    sizes = np.floor(share).astype(int)
    sizes[np.argsort(sizes - share, kind="stable")[: n - sizes.sum()]] += 1
    while sizes.min() == 0:  # the largest classes give what the empty ones need
        sizes[np.argmax(sizes)] -= 1
        sizes[np.argmin(sizes)] += 1
    return tuple(int(size) for size in sizes)
