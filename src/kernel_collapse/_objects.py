"""What an object that a user gave stands for: an array of numbers, or something that is only like one.

Python makes an array or a list of almost anything: of a masked array without its mask, of a table as the names of its
columns, of a dictionary as its keys. Here the objects are told apart, before any of that happens.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping, Set
from decimal import Decimal
from numbers import Real
from typing import Any, NoReturn

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._input_error import InputError, shown
from kernel_collapse._shapes import Float
from kernel_collapse._whole import refuse_rounded

__all__ = ["in_numpy", "is_missing", "is_table", "numbers", "ordered", "several", "verb_of"]

#: What of a data set an argument wants.
_OF_DATASET = {
    "x": ("inputs", "dataset.x"),
    "x_other": ("inputs", "dataset.x"),
    "features": ("features", "dataset.x"),
    "test_features": ("features", "dataset.x"),
    "labels": ("labels", "dataset.labels"),
    "test_labels": ("labels", "dataset.labels"),
    "targets": ("targets", "dataset.targets"),
    "the Gram matrix": ("kernel", "kernel_collapse.nngp(dataset.x)"),
}
#: Most values of a parameter that takes several.
MOST_VALUES = 10_000_000


def verb_of(what: str) -> str:
    """Return the verb that goes with the name of an argument."""
    return "are" if what.endswith("s") and not what.endswith("bias") else "is"


def ordered(value: Any, what: str, expected: str, hint: str = "") -> None:
    """Refuse an object that holds no values in an order, or values that are not all that it means."""
    given, instead, how = _other_meaning(value, what)
    if given:
        wanted = (instead, how) if instead else (expected, hint)
        raise InputError(what, given, *wanted, verb=verb_of(what))


def _other_meaning(value: Any, what: str) -> tuple[str, str, str]:
    """Return what an object is that is no array, what to give instead, and how; empty texts of an array."""
    if type(value) in (np.ndarray, list, tuple):
        return "", "", ""
    short = what if what.isidentifier() else "it"
    if isinstance(value, np.ma.MaskedArray):
        return (
            "a masked array, whose mask would be ignored",
            "an array without a mask",
            f"fill it by {short}.filled(value), or drop the rows that are masked",
        )
    if isinstance(value, str | bytes | bytearray):
        return f"the text {shown(value)}", "", ""
    if isinstance(value, Mapping):
        return "a mapping from keys to values", "the values in one order", f"try list({short}.values())"
    if isinstance(value, Set):
        return "a set, which has no order", "a sequence in the order of the samples", "try a list"
    if isinstance(value, Iterator):
        return "a generator or iterator, which is used up by reading", "a sequence", f"try list({short})"
    if isinstance(value, type | types.ModuleType) or (callable(value) and not hasattr(value, "__array__")):
        kind = (
            "class"
            if isinstance(value, type)
            else "module"
            if isinstance(value, types.ModuleType)
            else "function"
        )
        return f"a {kind}, {shown(value)}", "", ""
    dense = next((name for name in ("toarray", "todense") if hasattr(value, name)), None)
    if dense is not None and hasattr(value, "shape"):
        return "a sparse matrix", "a dense array", f"give {short}.{dense}()"
    if _is_dataset(value):
        noun, attribute = _OF_DATASET.get(what, ("", ""))
        return ("a Dataset", f"its {noun}", f"give {attribute}") if noun else ("a Dataset", "", "")
    if _arrays.is_foreign(value):
        return _without_values(value, short)
    return "", "", ""


def _is_dataset(value: Any) -> bool:
    data = sys.modules.get("kernel_collapse.data")
    return data is not None and isinstance(value, data.Dataset)


def _without_values(value: Any, short: str) -> tuple[str, str, str]:
    """Return what an array of another library is whose values cannot be used as they are, what to give, and how."""
    if _arrays.kind(value) != "PyTorch":
        return "", "", ""
    if value.device.type == "meta" or type(value).__name__ == "FakeTensor":
        return (
            "a tensor without values (on PyTorch's meta device)",
            "a tensor with values",
            "make it on a device",
        )
    if value.layout is not sys.modules["torch"].strided:
        return "a sparse tensor", "a dense one", f"give {short}.to_dense()"
    if value.is_quantized:
        return "a quantized tensor", "numbers", f"give {short}.dequantize()"
    return "", "", ""


def is_table(value: Any) -> bool:
    """Tell whether an object is a table, whose iterator gives the names of its columns or the columns."""
    return hasattr(value, "columns") and hasattr(value, "shape")


def is_missing(value: Any) -> bool:
    """Tell whether a value stands for no value: None, NaN, NaT, NA, masked, or a tuple with one of these."""
    if value is None or value is np.ma.masked:
        return True
    if isinstance(value, tuple):
        return any(map(is_missing, value))
    if isinstance(value, Decimal):
        return value.is_nan()
    try:
        return bool(value != value)  # what differs from itself is no number and no time
    except Exception:  # whatever a comparison raises: pandas' NA says neither yes nor no
        return type(value).__name__ == "NAType"


def in_numpy(value: Any, what: str) -> Any:
    """Return an array of another library as one of NumPy's, with the derivatives left behind; all else as it is."""
    if not _arrays.is_foreign(value):
        return value
    ordered(value, what, "an array")
    if _arrays.traced(value):
        raise InputError(
            what,
            "traced by JAX",
            "known values",
            "NumPy computes this, so call it outside of jax.jit, jax.grad and jax.vmap",
            verb_of(what),
        )
    try:
        return _arrays.read(value)
    except Exception as error:  # whatever a library raises of an array that has no values to give
        raise InputError(
            what,
            f"an array of {_arrays.kind(value)} whose values cannot be read ({_first_line(error)})",
            "known values",
            "convert it to NumPy first",
            verb_of(what),
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:100].rstrip(".")


def numbers(value: Any, what: str, *, rounded: bool = False) -> Any:
    """Return real numbers as an array of float64, or the array of another library as it is.

    What is missing is NaN; the caller names its row. Whole numbers that float64 rounds are refused, unless they may be
    `rounded`, because the caller refuses them by what it expects.
    """
    ordered(value, what, "an array of numbers")
    if _arrays.is_foreign(value):
        return value
    if isinstance(value, list | tuple):
        _refuse_arrays_inside(value, what)
    given, value = value, _of_pandas(value, what)
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(
            what, "rows of different lengths", "as many numbers in each row", verb="has"
        ) from None
    except Exception as error:  # whatever an object's own conversion raises
        raise InputError(
            what,
            f"be read as an array ({type(error).__name__}: {_first_line(error)})",
            "numbers in rows",
            "convert it to NumPy first",
            verb="cannot",
        ) from None
    if not rounded:
        refuse_rounded(given, array, what)
    if array.dtype == object:
        return _of_objects(array, value, what)
    if array.dtype.names is not None:
        raise InputError(
            what,
            f"the named fields {', '.join(map(repr, array.dtype.names[:5]))}",
            "a plain array",
            "try numpy.lib.recfunctions.structured_to_unstructured",
            verb="has",
        )
    # Narrow floats that are not NumPy's own (bfloat16) have the kind of raw bytes, and a name.
    if array.dtype.kind not in "biuf" and "float" not in array.dtype.name:
        _refuse_entries(what, str(array.dtype))
    with np.errstate(over="ignore"):  # a long double may be no double, and is then refused as infinite
        return np.asarray(array, dtype=np.float64)


def _refuse_entries(what: str, kind: str) -> NoReturn:
    raise InputError(what, f"entries of type {kind}", "real numbers", _encoding(what), verb="has")


def _encoding(what: str) -> str:
    """Return what to do about entries that are no numbers."""
    if what == "targets":
        return "of classes, give kernel_collapse.data.from_arrays(x, labels).targets"
    return "encode or drop what is not"


def _refuse_arrays_inside(values: list[Any] | tuple[Any, ...], what: str, level: int = 0) -> None:
    """Refuse lists of arrays whose masks or libraries NumPy would not see."""
    for example in {type(v): v for v in values}.values():
        if isinstance(example, np.ma.MaskedArray) and example is not np.ma.masked:
            raise InputError(
                what,
                "masked arrays, whose masks would be ignored",
                "arrays without",
                "fill them first",
                verb="holds",
            )
        if _arrays.is_foreign(example):
            raise InputError(
                what,
                f"arrays of {_arrays.kind(example)} in a list",
                "one array",
                "stack them first",
                verb="holds",
            )
    if level < 3:
        for v in values:
            if isinstance(v, list | tuple):
                _refuse_arrays_inside(v, what, level + 1)


def _of_pandas(value: Any, what: str) -> Any:
    """Return what pandas holds as an array of NumPy's, NaN where it is missing; all else as it is."""
    pd = sys.modules.get("pandas")
    if pd is None or not isinstance(
        value, pd.DataFrame | pd.Series | pd.Index | pd.api.extensions.ExtensionArray
    ):
        return value
    types_ = pd.api.types
    table = isinstance(value, pd.DataFrame)
    columns = list(value.dtypes.items()) if table else [(what, value.dtype)]
    real = [
        (types_.is_numeric_dtype(dtype) or types_.is_bool_dtype(dtype)) and not types_.is_complex_dtype(dtype)
        for _, dtype in columns
    ]
    if all(real):
        return value.to_numpy(dtype=float, na_value=np.nan)
    other = [
        (name, dtype)
        for (name, dtype), good in zip(columns, real, strict=True)
        if not good and str(dtype) != "object"
    ]
    if not other:  # objects are looked at one by one
        return value.to_numpy(dtype=object)
    if not table:
        _refuse_entries(what, str(other[0][1]))
    names = ", ".join(shown(name) for name, _ in other[:5]) + (
        f" and {len(other) - 5} more" if len(other) > 5 else ""
    )
    raise InputError(
        what,
        f"columns that are not numeric ({names})",
        "numbers",
        _encoding(what) if what == "targets" else "drop or encode them",
        verb="has",
    )


def _of_objects(array: np.ndarray, value: Any, what: str) -> Float[np.ndarray, ...]:
    """Return objects as numbers, one by one."""
    if array.ndim == 0:
        raise InputError.of(what, value, "an array of numbers", verb=verb_of(what))
    found = np.empty(array.shape)
    for place, entry in np.ndenumerate(array):
        if isinstance(entry, np.timedelta64):  # an integer to NumPy
            _refuse_entries(what, type(entry).__name__)
        elif isinstance(entry, Decimal) and entry.is_nan():
            found[place] = np.nan
        elif isinstance(entry, Real | Decimal | np.bool_):
            try:
                found[place] = float(entry)
            except OverflowError:
                raise InputError(
                    what,
                    f"{shown(entry)} at {place}, which is beyond the largest float64",
                    "numbers below 1.8e308",
                    "scale it down",
                    verb="holds",
                ) from None
        elif not isinstance(entry, tuple) and is_missing(entry):
            found[place] = np.nan
        else:
            _refuse_entries(what, type(entry).__name__)
    return found


def several(value: Any, what: str, example: str) -> list[Any]:
    """Return what a sequence holds; text is none, and neither is a number, a table or what has no order or end."""
    wanted = "several values in brackets", f"try {example}"
    ordered(value, what, *wanted)
    value = in_numpy(value, what)
    if is_table(value):
        raise InputError(what, "a table", *wanted, verb=verb_of(what))
    try:
        length = len(value)
        values = list(value) if length <= MOST_VALUES else []
    except Exception:  # whatever an object raises that cannot be counted or gone through
        raise InputError.of(what, value, *wanted) from None
    if length > MOST_VALUES:
        raise InputError(what, f"{length} values", f"at most {MOST_VALUES}", "give fewer", verb="has")
    return values
