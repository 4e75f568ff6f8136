"""The single door where bad input is refused.

Every message is one sentence that says what was given, what is expected and what to try. The functions
return clean float64 arrays; behind this door the code assumes that its input is clean.

Arrays and paths are looked at here, single numbers in `_numbers`, labels in `_labels`; `_objects` tells first what an
object stands for. Whatever is public calls them through this module.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _arrays, _frames
from kernel_collapse._input_error import InputError, KernelRefused, shown
from kernel_collapse._labels import as_many, class_sizes, codes, codes_among, encode_labels
from kernel_collapse._numbers import (
    MOST_LAYERS,
    MOST_STEPS,
    MOST_WORKERS,
    choice,
    confidence,
    count,
    finite,
    fits,
    flag,
    function,
    instance,
    moderate,
    positive,
    probability,
    seed,
    share,
    size,
    text,
)
from kernel_collapse._objects import in_numpy, numbers, ordered, several
from kernel_collapse._shapes import Float, Int

__all__ = [
    "MOST_LAYERS",
    "MOST_STEPS",
    "MOST_WORKERS",
    "as_many",
    "called",
    "choice",
    "class_sizes",
    "codes",
    "codes_among",
    "columns",
    "confidence",
    "coordinates",
    "count",
    "dimensions",
    "encode_labels",
    "finite",
    "fits",
    "flag",
    "function",
    "gram",
    "images",
    "in_numpy",
    "instance",
    "matrix",
    "moderate",
    "one_library",
    "ordered",
    "page",
    "path",
    "per_class",
    "positive",
    "probability",
    "rows",
    "seed",
    "several",
    "shaped",
    "share",
    "shown",
    "size",
    "squarable",
    "text",
]


def path(value: Any, what: str, expected: str) -> Path:
    """Return a path, given as one or as text."""
    # An empty text would be the folder that the program runs in.
    if not isinstance(value, str | os.PathLike) or "\0" in str(value) or value == "":
        raise InputError.of(what, value, expected)
    return Path(value)


def page(path: Path, what: str, ending: str) -> Path:
    """Return the path if a page with that ending can have it."""
    if path.suffix != ending or path.is_dir():
        example = str(path.with_suffix(ending))
        raise InputError(what, f"{str(path)!r}", "the name of a page", f"try {example!r}")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(
            f"{what} {str(path)!r}",
            "be written",
            "a page in a folder that can",
            "choose another",
            verb="cannot",
        )
    return path


def matrix(
    value: ArrayLike,
    what: str,
    *,
    columns: Sequence[str] | None = None,
    row_numbers: Sequence[int] | Int[np.ndarray, " n"] | None = None,
    dtype: str | None = None,
    numpy: bool = False,
) -> Float[Any, "n d"]:
    """Return a finite, non-empty matrix; a non-finite entry is named by row and column.

    In float64 if it was given as NumPy's or as a list, and else an array of its library in its precision; `dtype`
    overrides that, and `numpy` reads every array into NumPy's float64. `row_numbers` are the rows' own, where they are
    some of a larger matrix.
    """
    if dtype is not None:
        choice(dtype, ("float64", "float32"), "dtype")
    array = numbers(in_numpy(value, what) if numpy else value, what)
    if _arrays.is_foreign(array):
        array = _floating(array, what)
    if array.ndim != 2:
        hint = f"try {what}.reshape(-1, 1) for a single column" if array.ndim == 1 else ""
        if array.ndim == 4:
            hint = "for images there are kernel_collapse.kernels.ConvNNGP and ConvNTK, and for vectors "
            hint += f"{what}.reshape(len({what}), -1)"
        raise InputError(
            what, f"shape {tuple(array.shape)}", "two dimensions (samples, features)", hint, verb="has"
        )
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise InputError(what, f"shape {tuple(array.shape)}", "at least one row and one column", verb="has")
    return _finite(array, what, columns, row_numbers, dtype)


def _finite(
    array: Float[Any, "n d"],
    what: str,
    columns: Sequence[str] | None,
    row_numbers: Sequence[int] | Int[np.ndarray, " n"] | None,
    dtype: str | None,
) -> Float[Any, "n d"]:
    """Return a matrix in its precision, or name its first entry that is not finite."""
    if _arrays.staged(array):  # the values are not known yet
        return array if dtype is None else _in_precision(array, dtype)
    xp = _arrays.namespace(array)
    if not bool(xp.all(xp.isfinite(array))):
        array = _arrays.read(array) if _arrays.is_foreign(array) else array
        bad = np.argwhere(~np.isfinite(array))
        row, column = map(int, bad[0])
        name = f"column {column}" if columns is None else f"column {columns[column]!r}"
        more = "" if len(bad) == 1 else f" (and {len(bad) - 1} more such entries)"
        raise InputError(
            what,
            f"{array[row, column]} in row {row if row_numbers is None else row_numbers[row]}, {name}{more}",
            "finite numbers",
            "drop or impute those rows",
            verb="holds",
        )
    if dtype == "float32" and (largest := _largest(array)) > np.finfo(np.float32).max:
        raise InputError(
            f"the largest entry of {what}",
            f"{largest:.3g}",
            "at most 3.4e38 in float32",
            "scale it down, or leave dtype out",
        )
    return array if dtype is None else _in_precision(array, dtype)


def images(
    value: ArrayLike,
    what: str,
    *,
    row_numbers: Sequence[int] | Int[np.ndarray, " n"] | None = None,
    dtype: str | None = None,
    numpy: bool = False,
) -> Float[Any, "n h w c"]:
    """Return finite images of one size, channels last, as `matrix` does; an entry is named by its image."""
    if dtype is not None:
        choice(dtype, ("float64", "float32"), "dtype")
    if isinstance(value, list | tuple) and len({np.shape(one) for one in value if hasattr(one, "shape")}) > 1:
        raise InputError(what, "images of several sizes", "one size", "crop or resize them", verb="holds")
    array = numbers(in_numpy(value, what) if numpy else value, what)
    if _arrays.is_foreign(array):
        array = _floating(array, what)
    shape = tuple(array.shape)
    if len(shape) != 4:
        hint = {
            2: f"reshape it by {what}.reshape(-1, height, width, channels), of a Dataset give dataset.images, or "
            "use the dense kernels, nngp and ntk",
            3: f"give {what}[..., None] for images of one channel, or {what}[None] for a single image",
        }.get(len(shape), "")
        raise InputError(
            what, f"shape {shape}", "four dimensions (samples, height, width, channels)", hint, verb="has"
        )
    if 0 in shape:
        raise InputError(what, f"shape {shape}", "at least one sample, row, column and channel", verb="has")
    xp = _arrays.namespace(array)
    flat = _finite(xp.reshape(array, (shape[0], -1)), what, None, row_numbers, dtype)
    return xp.reshape(flat, shape)


def _in_precision(array: Float[Any, "n d"], dtype: str) -> Float[Any, "n d"]:
    xp = _arrays.namespace(array)
    return xp.astype(array, getattr(xp, dtype), copy=False)


def _largest(array: Float[Any, "n d"]) -> float:
    """Return the largest absolute value, without a temporary of the size of the array."""
    xp = _arrays.namespace(array)
    return max(_arrays.number(xp.max(array)), -_arrays.number(xp.min(array)))


def squarable(array: Float[Any, "n d"], what: str) -> Float[Any, "n d"]:
    """Return the matrix if the squares of its entries can be added in its precision."""
    if not _arrays.staged(array):
        xp, largest = _arrays.namespace(array), _largest(array)
        limits = xp.finfo(array.dtype)
        least = (float(limits.smallest_normal) / float(limits.eps) ** 2) ** 0.5
        if 0.0 < largest < least:
            raise InputError(
                f"the largest entry of {what}",
                f"{largest:.3g}",
                f"more than {least:.3g}, or squares are lost",
                f"multiply {what} by a number",
            )
        most = (float(xp.finfo(array.dtype).max) / (4 * array.shape[0] * array.shape[1])) ** 0.5
        if largest > most:
            raise InputError(
                f"the largest entry of {what}",
                f"{largest:.3g}",
                f"less than {most:.3g}, because the sum of squares must be finite",
                f"divide {what} by a number",
            )
    return array


def shaped(value: Any, what: str, shape: tuple[int, ...], meaning: str) -> Any:
    """Return a finite array of that shape, as `matrix` does."""
    array = numbers(value, what)
    if tuple(array.shape) != shape:
        raise InputError(what, f"shape {tuple(array.shape)}", f"{shape}", f"{meaning}", verb="has")
    return matrix(array[:, None], what)[:, 0] if len(shape) == 1 else matrix(array, what)


def columns(value: Any, what: str, *, numpy: bool = False) -> Float[Any, "n k"]:
    """Return a finite matrix as `matrix` does; a vector is its one column."""
    array = numbers(in_numpy(value, what) if numpy else value, what)
    return matrix(array[:, None] if array.ndim == 1 else array, what)


def coordinates(value: Any, what: str, dim: int) -> Float[np.ndarray, " d"]:
    """Return a vector of `dim` finite numbers; a number is that of every coordinate."""
    if isinstance(value, int | float | np.number):
        array = np.asarray(finite(value, what))
    else:
        array = np.asarray(np.nan) if dimensions(value) is None else numbers(in_numpy(value, what), what)
    if array.shape not in ((), (dim,)) or not np.isfinite(array).all():
        raise InputError.of(what, value, f"a finite number or one for each of {dim} coordinates")
    return np.broadcast_to(array, (dim,)).astype(float)


def per_class(given: Any, what: str, n_classes: int | None) -> list[Any]:
    """Return what is given of each class; a number or a name alone is that of all, where their number is known."""
    if n_classes is None:
        alone = isinstance(given, int | float | np.number)
        values = [given] if alone else several(given, what, "(-2, 2), the means of two classes")
        if len(values) < 2:
            raise InputError.of(what, given, "the means of at least two classes, as in (-2, 2)")
        return values
    if isinstance(given, str | int | float | np.number):
        return [given] * n_classes
    values = several(given, what, "an entry a class, as in class_means")
    if len(values) != n_classes:
        raise InputError(
            what, f"{len(values)} entries", f"{n_classes}", "one a class, as in class_means", verb="has"
        )
    return values


def called(function: Any, what: str, *arguments: Any) -> tuple[np.ndarray, float]:
    """Return the numbers that a user's function gives, and the eps that they came in, or say what it raises."""
    try:
        value = function(*arguments)
    except Exception as error:  # whatever the user's function raises
        first = " ".join(str(error).split())[:100].rstrip(".")
        raise InputError(
            what,
            f"be called with {len(arguments)} arrays ({type(error).__name__}: {first})",
            "a function of them that returns numbers",
            verb="cannot",
        ) from error
    clean = np.asarray(numbers(in_numpy(value, f"what {what} returned"), f"what {what} returned"))
    return clean, _arrays.eps_of(value)


def dimensions(value: Any) -> int | None:
    """Return the number of dimensions of numbers in rows; None of rows of different lengths."""
    try:
        return int(np.ndim(value))
    except Exception:  # whatever an object's own conversion to an array raises; it is looked at next
        return None


def _floating(value: Any, what: str) -> Any:
    """Return an array of a library other than NumPy, which must be real and floating."""
    xp = _arrays.namespace(value)
    if value.dtype not in (xp.float32, xp.float64):
        raise InputError(
            what,
            f"an array of {_arrays.kind(value)} of type {value.dtype}",
            "float32 or float64",
            "convert it, because no precision is chosen silently",
        )
    return value


def one_library(**arrays: Any) -> None:
    """Refuse arrays of several libraries, devices or precisions; the first one is what the others must be like."""
    (what, first), *others = ((name, array) for name, array in arrays.items() if array is not None)
    for name, array in others:
        _arrays.same_kind(first, what, array, name)


def rows(
    x: ArrayLike, x_other: ArrayLike, *, dtype: str | None = None, what: str = "x_other"
) -> tuple[Float[Any, "n d"], Float[Any, "m d"]]:
    """Return two matrices with the same number of features, of one kind of array."""
    x_other = _frames.matched(x_other, what, x, "x")
    _arrays.same_kind(x, "x", x_other, what)
    first, second = matrix(x, "x", dtype=dtype), matrix(x_other, what, dtype=dtype)
    if first.shape[1] != second.shape[1]:
        raise InputError(
            "x",
            f"{first.shape[1]} features and {what} has {second.shape[1]}",
            "the same number",
            "samples are rows",
            verb="has",
        )
    return first, second


def gram(value: ArrayLike, n_labels: int) -> Float[Any, "n n"]:
    """Return a square, symmetric, finite matrix of the size of the labels; for NumPy in float64."""
    what = "the Gram matrix"
    array = numbers(value, what)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise InputError(
            "the Gram matrix",
            f"shape {tuple(array.shape)}",
            "a square matrix of all pairs of samples",
            "for features of shape (n, d) use the functions that end in _from_features",
            verb="has",
        )
    if array.shape[0] != n_labels:
        raise InputError(
            "the Gram matrix",
            f"{array.shape[0]} rows and there are {n_labels} labels",
            "as many labels as rows",
            "give the label of every sample, in the order of the rows",
            verb="has",
        )
    array = matrix(array, what)
    if _arrays.staged(array):
        return array
    xp, largest = _arrays.namespace(array), _largest(array)
    most = float(xp.finfo(array.dtype).max) / (8.0 * n_labels)
    if largest > most:
        raise KernelRefused(
            "the largest entry of the Gram matrix",
            f"{largest:.3g}",
            f"less than {most:.3g}, because sums over the samples must be finite",
            "divide the matrix by a number",
        )
    scale = _arrays.number(xp.max(xp.abs(xp.linalg.diagonal(array))))
    worst = 0.0
    blocks = [slice(top, min(top + 256, n_labels)) for top in range(0, n_labels, 256)]
    for first in blocks:  # in tiles: no temporary of the size of the matrix, and in the cache
        for second in blocks:
            gap = array[first, second] - xp.permute_dims(array[second, first], (1, 0))
            worst = max(worst, _arrays.number(xp.max(gap)), -_arrays.number(xp.min(gap)))
    # A Gram matrix made in float32 is symmetric to about 1e-7; a rectangular mix-up is off by far more.
    if worst > 1e-6 * scale:
        raise KernelRefused(
            "the Gram matrix",
            f"not symmetric (entries differ by up to {worst:.3g} from their mirror image, the diagonal reaches "
            f"{scale:.3g})",
            "K[i, j] = K[j, i]",
            "symmetrise it by (K + K.T) / 2 if that is round-off",
        )
    return array
