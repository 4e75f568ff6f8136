"""Labels at the door: one class a sample, whatever the objects are that name the classes.

Two labels are of one class if they are equal, as 1 and 1.0 are. True equals 1 in Python but is not meant as a number:
labels in which both occur are refused. A label that is missing (None, NaN, NaT, NA, masked) is no class.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence, Sized
from itertools import pairwise
from numbers import Number
from typing import Any

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._input_error import InputError, shown
from kernel_collapse._numbers import count, fits, positive
from kernel_collapse._objects import in_numpy, is_missing, is_table, ordered, several, verb_of
from kernel_collapse._shapes import Int

__all__ = ["as_many", "class_sizes", "codes", "codes_among", "encode_labels", "truths"]

#: Types whose values are never missing, equal one another across types or hold others.
_PLAIN = (int, str, bool, bytes)
#: What labels are, and how to give them.
SINGLE = "one label a sample", "a sequence as long as there are samples"


def as_many(n_rows: int, what: str, n_labels: int) -> None:
    """Refuse labels that are not as many as the rows of what they are of."""
    if n_rows != n_labels:
        raise InputError(
            what, f"{n_rows} rows and there are {n_labels} labels", "as many labels as rows", verb="have"
        )


def encode_labels(
    labels: Any, *, two_classes: bool = True, what: str = "labels", matched: str = ""
) -> tuple[Int[np.ndarray, " n"], tuple[Any, ...]]:
    """Return class indices 0..C-1 and the classes; sorted if they can be, else in order of appearance.

    Ordered categories of pandas have the order that they were given. `matched` names what is matched to the classes by
    position: where they have no order of their own, it is refused.
    """
    values = _values(labels, what)
    if not values:
        raise InputError(what, "empty", "one label a sample", verb=verb_of(what))
    kinds = set(map(type, values))
    if not kinds <= set(_PLAIN):
        _refuse_missing(values)
    _refuse_merging(values, kinds, what)
    try:
        distinct = dict.fromkeys(values)
    except Exception:  # whatever the hash of an object raises
        raise InputError(what, "be hashed", "numbers, strings or tuples", verb="cannot") from None
    classes, in_order = _in_order(labels, distinct)
    if matched and not in_order and len(classes) > 1:
        raise InputError(
            f"the order of the classes {shown(classes[0])}, {shown(classes[1])}{', ...' * (len(classes) > 2)}",
            f"not known, and {matched} matched to them by position",
            "classes that can be sorted",
            f"give labels 0 to {len(classes) - 1} in the order of its outputs, or targets=",
        )
    if two_classes and len(classes) < 2:
        raise InputError(
            f"all {len(values)} {what}",
            shown(classes[0]),
            "at least two classes",
            "collapse compares the spread within classes with the spread between them",
            verb="are",
        )
    index = {label: i for i, label in enumerate(classes)}
    return np.array([index[v] for v in values], dtype=np.int64), tuple(classes)


def _in_order(labels: Any, distinct: dict[Any, None]) -> tuple[list[Any], bool]:
    """Return the classes, and whether they have an order that is theirs, whatever the order of the samples.

    A partial order, as that of sets, sorts without an error but not in one way: of a total one each class is less than
    the next. Of categories of pandas that claim no order, but are in another than the sorted one, either may be meant.
    """
    pd = sys.modules.get("pandas")
    kind = getattr(labels, "dtype", None)
    categories: list[Any] | None = None
    if pd is not None and isinstance(kind, pd.CategoricalDtype):
        categories = [label for label in map(_scalar, kind.categories.tolist()) if label in distinct]
        if kind.ordered:
            return categories, True
    try:
        classes = sorted(distinct)
        if all(bool(a < b) for a, b in pairwise(classes)):
            return classes, categories in (None, classes)
    except Exception:  # whatever comparing them raises: text and numbers have no common order
        pass
    return list(distinct), False


def codes(labels: Any) -> Int[np.ndarray, " n"]:
    """Return labels that are class indices already, 0 and up."""
    found = np.asarray(in_numpy(labels, "labels")) if hasattr(labels, "dtype") else None
    if found is None or found.dtype.kind not in "iu" or found.ndim != 1 or not found.size or found.min() < 0:
        raise InputError(
            "labels",
            shown(labels),
            "a vector of class numbers from 0",
            "make the data set with kernel_collapse.data.from_arrays, which takes labels of any kind",
            verb="are",
        )
    return found.astype(np.int64, copy=False)


def codes_among(labels: Any, classes: Sequence[Any], what: str = "test_labels") -> Int[np.ndarray, " m"]:
    """Return class indices of held-out labels, all of which must be among the classes."""
    codes, seen = encode_labels(labels, two_classes=False, what=what)
    known = {(truths(label), label): i for i, label in enumerate(classes)}
    keys = [(truths(label), label) for label in seen]
    missing = [label for key, label in zip(keys, seen, strict=True) if key not in known]
    if missing:
        shown_classes = ", ".join(map(shown, classes[:5])) + (", ..." if len(classes) > 5 else "")
        raise InputError(
            f"the held-out class {shown(missing[0])}",
            "no training sample",
            f"classes among {shown_classes}",
            "drop those samples, or split by class",
            verb="has",
        )
    return np.array([known[key] for key in keys], dtype=np.int64)[codes]


def _values(labels: Any, what: str) -> list[Any]:
    """Return one value a sample, or refuse what has another meaning."""
    if _arrays.traced(labels):
        raise InputError(
            what, "traced by JAX", "known values", "close over them, or make them static", verb_of(what)
        )
    if isinstance(labels, np.ma.MaskedArray):
        return _of_masked(labels, what)
    ordered(labels, what, *SINGLE)
    labels = in_numpy(labels, what)
    if is_table(labels):
        names = list(labels.columns)
        column = repr(names[0]) if names else "'label'"
        raise InputError(
            what,
            f"a table with {len(names)} column{'s' * (len(names) != 1)}",
            "one label a sample",
            f"give one of its columns, as {what}[{column}]",
            verb_of(what),
        )
    if isinstance(labels, np.ndarray):
        return _of_array(labels, what)
    if not isinstance(labels, Iterable) or not isinstance(labels, Sized):
        raise InputError.of(what, labels, *SINGLE, verb=verb_of(what))
    fits(len(labels), f"{what} of {len(labels)} samples", "give fewer")
    if hasattr(labels, "tolist") and hasattr(
        labels, "dtype"
    ):  # of pandas, with what is missing in its own kinds
        labels = labels.tolist()
    values = [_scalar(v) for v in labels]
    if any(isinstance(v, list | np.ndarray) or _arrays.is_foreign(v) for v in values):
        _refuse_nested(_as_array(values), f"numpy.asarray({what})", what)
    return values


def _scalar(value: Any) -> Any:
    """Return a number or truth value of an array library as Python's, whose equality and hash are known."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.bool_ | np.number | np.str_):
        return value.item()
    if (isinstance(value, np.ndarray) or _arrays.is_foreign(value)) and tuple(value.shape) == ():
        if _arrays.traced(value):
            raise InputError("labels", "traced by JAX", "known values", "close over them", verb="are")
        if value is not np.ma.masked:
            return in_numpy(value, "a label").item()
    return value


def _of_masked(labels: Any, what: str) -> list[Any]:
    hidden = np.flatnonzero(np.ma.getmaskarray(labels))
    if labels.ndim == 1 and len(hidden):
        _refuse_row(int(hidden[0]))
    return _of_array(labels.data, what)


def _of_array(labels: np.ndarray, what: str) -> list[Any]:
    if labels.ndim == 0:
        raise InputError.of(what, labels.item(), *SINGLE, verb=verb_of(what))
    if labels.ndim > 1:
        _refuse_nested(labels, what, what)
    if labels.dtype.kind in "mM":  # as numbers, a time that is missing would be one
        return list(labels)
    return [_scalar(v) for v in labels] if labels.dtype == object else labels.tolist()


def _as_array(values: list[Any]) -> np.ndarray | None:
    try:
        return np.asarray([in_numpy(v, "a label") for v in values])
    except Exception:  # rows of different lengths, or whatever an element's own conversion raises
        return None


def _refuse_nested(array: np.ndarray | None, name: str, what: str) -> None:
    """Refuse labels of more than one dimension, and say how to make one of them."""
    shape = "" if array is None else f", of shape {tuple(array.shape)}"
    hint = "a one-dimensional sequence"
    if array is not None and array.ndim > 1 and array.size == max(array.shape):
        hint = f"try {name}.ravel()"
    elif array is not None and _is_one_hot(array):
        hint = f"they look one-hot, try {name}.argmax(axis=1)"
    raise InputError(what, f"nested{shape}", "one label a sample", hint, verb_of(what))


def _is_one_hot(array: np.ndarray) -> bool:
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        return False
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())


def _refuse_missing(values: list[Any]) -> None:
    for row, value in enumerate(values):
        if is_missing(value):
            _refuse_row(row)


def _refuse_row(row: int) -> None:
    raise InputError(f"the label of row {row}", "missing", "a label in every row", "drop unlabelled rows")


def truths(value: Any) -> Any:
    """Return where a label is a truth value, which equals a number but does not mean one."""
    return tuple(map(truths, value)) if isinstance(value, tuple) else isinstance(value, bool)


def _refuse_merging(values: list[Any], kinds: set[type], what: str) -> None:
    """Refuse labels in which a truth value equals a number: Python takes the two for one."""
    beside_numbers = bool in kinds and any(issubclass(kind, Number) for kind in kinds - {bool})
    if not beside_numbers and not any(issubclass(kind, tuple) for kind in kinds):
        return
    first: dict[Any, Any] = {}
    for row, value in enumerate(values):
        try:
            known = first.setdefault(value, truths(value))
        except Exception:  # cannot be hashed, which is said next
            return
        if known != truths(value):
            raise InputError(
                what,
                f"truth values beside numbers, and {shown(value)} in row {row} equals another label",
                "labels of one kind",
                "convert all to numbers or all to text",
                verb="hold",
            )


def class_sizes(value: Any, n: int, n_classes: int, imbalance: Any = None) -> tuple[int, ...]:
    """Return sizes, one a class, that add up to n; equal sizes (the first ones larger by one) by default.

    With an imbalance r the sizes are geometric: class c has r^(-c / (C - 1)) of what class 0 has, rounded to the
    largest remainders, and a sample at least.
    """
    if n < n_classes:
        raise InputError(
            "n",
            f"{n} for {shown(n_classes)} classes",
            "at least one sample a class",
            "raise n to as many or more",
        )
    if value is not None:
        value = several(value, "class_sizes", f"{n_classes} sizes, one a class")
    if imbalance is not None:
        if value is not None:
            raise InputError(
                "class_sizes",
                f"{shown(tuple(value))} and imbalance {shown(imbalance)} are both given",
                "one of them",
                "drop the other",
                verb="",
            )
        return _geometric(n, n_classes, imbalance)
    if value is None:
        share, rest = divmod(n, n_classes)
        return tuple(share + (c < rest) for c in range(n_classes))
    sizes = tuple(count(v, "a class size", least=0) for v in value)
    if len(sizes) != n_classes:
        raise InputError("class_sizes", f"{len(sizes)} entries", f"{n_classes}", "one a class", verb="has")
    if 0 in sizes:
        raise InputError(
            "class_sizes",
            f"{shown(sizes)} leaves class {sizes.index(0)} without a sample",
            "at least one each",
            "drop the class instead",
            verb="",
        )
    if sum(sizes) != n:
        raise InputError(
            "class_sizes", f"{shown(sizes)} add up to {sum(sizes)}", f"n = {n}", "change either", verb=""
        )
    return sizes


def _geometric(n: int, n_classes: int, imbalance: Any) -> tuple[int, ...]:
    ratio = positive(imbalance, "imbalance")
    if ratio < 1:
        raise InputError.of("imbalance", imbalance, "1 or more", "it is the largest class over the smallest")
    share = ratio ** (-np.arange(n_classes) / max(n_classes - 1, 1))
    share *= n / share.sum()
    sizes = np.floor(share).astype(int)
    sizes[np.argsort(sizes - share, kind="stable")[: n - sizes.sum()]] += 1
    while sizes.min() == 0:  # the largest classes give what the empty ones need
        sizes[np.argmax(sizes)] -= 1
        sizes[np.argmin(sizes)] += 1
    return tuple(int(size) for size in sizes)
