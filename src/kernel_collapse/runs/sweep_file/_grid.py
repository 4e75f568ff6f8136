"""From what a sweep says of a key to the values that it takes.

The rule for lists is one of types: where a key holds one value, a list is a grid; where it holds a list itself
(``class_sizes``, say), a list is that one value, and a list of lists is a grid. Where anything may be written
(``covariance``, which may be a matrix), a list is always the value. ``{ values = [...] }`` is a grid everywhere, and
``{ from = 1, to = 8, steps = 4, scale = "log" }`` is one of numbers.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Annotated, Any, Union, get_args, get_origin

import numpy as np
from pydantic.fields import FieldInfo

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.runs.measurements import Specification
from kernel_collapse.runs.sweep_file._sweep import MOST

__all__ = ["holds_specification", "numbers", "values"]

_RANGE = ("from", "to", "steps", "scale")


def values(key: str, field: FieldInfo, written: Any) -> list[Any]:
    """Return the values that a key takes.

    Raises
    ------
    ValueError
        If a list is empty or a range is none.
    """
    if isinstance(written, dict):
        if set(written) == {"values"}:
            return _some(key, written["values"])
        return numbers(key, written, whole=_whole(key, field))
    if not isinstance(written, list):
        return [written]
    if _holds(field.annotation, lambda t: t is Any):
        return [written]
    one_or_many = _holds(field.annotation, lambda t: t in (int, float))  # a list of them is a list of values
    if _holds(field.annotation, lambda t: get_origin(t) in (tuple, list)) and not one_or_many:
        return written if any(isinstance(value, list) for value in written) else [written]
    return _some(key, written)


def numbers(key: str, written: dict[str, Any], *, whole: bool) -> list[Any]:
    """Return the numbers of a range; whole ones are rounded, and each is there once."""
    for option in written:
        _validate.choice(option, (*_RANGE, "values"), f"an option of the range {key}")
    if not {"from", "to"} <= set(written):
        raise InputError(
            key,
            f"the table {written}",
            "a range with from and to",
            f"write {key} = {{ from = 1, to = 8, steps = 4 }}, or a list",
        )
    first, last = (_validate.finite(written[end], f"{end} of the range {key}") for end in ("from", "to"))
    if whole and not (first.is_integer() and last.is_integer()):
        raise InputError(
            key,
            f"from {first:g} to {last:g}",
            "whole numbers, for its values are whole",
            "round the ends of the range",
            verb="runs",
        )
    if first >= last:
        raise InputError(key, f"from {first:g} to {last:g}", "from below to", "swap them", verb="runs")
    scale = _validate.choice(written.get("scale", "linear"), ("linear", "log"), f"scale of the range {key}")
    if scale == "log" and first <= 0:
        raise InputError(
            key,
            f"from {first:g} on a logarithmic scale",
            "from above zero",
            "start at 1, or leave out scale",
            verb="runs",
        )
    if "steps" in written:
        steps = _validate.count(written["steps"], f"steps of the range {key}", least=2)
    elif whole and scale == "linear":
        steps = int(last - first) + 1
    else:
        raise InputError(key, "a range without steps", "the number of its values", "add steps = 4")
    if steps > MOST:
        raise InputError(key, f"{steps} values", f"at most {MOST}", "use fewer steps", verb="has")
    spaced = np.linspace(first, last, steps) if scale == "linear" else np.geomspace(first, last, steps)
    if whole:
        return list(dict.fromkeys(round(float(value)) for value in spaced))
    return [float(f"{value:.12g}") for value in spaced]  # 2, not 1.9999999999999998


def holds_specification(field: FieldInfo) -> bool:
    """Whether a field holds a specification of its own."""
    return _holds(field.annotation, lambda t: isinstance(t, type) and issubclass(t, Specification))


def _some(key: str, written: Any) -> list[Any]:
    if not isinstance(written, list) or not written:
        raise InputError.of(key, written, "at least one value", "write [1, 2], or one value")
    return written


def _whole(key: str, field: FieldInfo) -> bool:
    """Whether the numbers that a field holds are whole; a field that holds none is refused."""
    if _holds(field.annotation, lambda t: t is float):
        return False
    if not _holds(field.annotation, lambda t: t is int):
        raise InputError(key, "a table", "numbers, of which alone there is a range", "write a list")
    return True


def _holds(annotation: Any, is_wanted: Callable[[Any], bool]) -> bool:
    """Whether a type, or one of those that it may be, is wanted; what is inside a list is not looked at."""
    if is_wanted(annotation):
        return True
    origin = get_origin(annotation)
    if origin is Annotated:
        return _holds(get_args(annotation)[0], is_wanted)
    if origin in (Union, types.UnionType):
        return any(_holds(choice, is_wanted) for choice in get_args(annotation))
    return False
