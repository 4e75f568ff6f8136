"""Whole numbers beyond 2^53, of which float64 holds some and rounds the others.

What is rounded is lost without a trace: of z + 2**60 float64 keeps multiples of 256. Fractions are rounded too, but by
16 digits of themselves, as everything that is computed from them is.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from numbers import Rational
from typing import Any

import numpy as np

from kernel_collapse._input_error import InputError, shown

__all__ = ["EXACT", "first_rounded", "refuse_rounded"]

#: Whole numbers up to this one are their own in float64.
EXACT = 2**53


def first_rounded(values: np.ndarray) -> Any:
    """Return the first whole number that float64 does not hold, as Python writes it; None if it holds them all."""
    if values.dtype == object:
        return next((entry for entry in values.flat if _is_rounded(entry)), None)
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or not values.size:
        return None
    if int(values.min()) >= -EXACT and int(values.max()) <= EXACT:
        return None
    found = values.astype(np.float64)
    bound = float(2**63 if values.dtype.kind == "i" else 2**64)
    inside = found < bound  # what is not has been rounded up to it
    changed = ~inside | (np.where(inside, found, 0.0).astype(values.dtype) != values)
    return int(values[changed][0]) if changed.any() else None


def _is_rounded(entry: Any) -> bool:
    """Tell whether an object is a whole number, written without a decimal point, that float64 does not hold."""
    if isinstance(entry, Decimal):
        if not entry.is_finite() or entry.as_tuple().exponent != 0:
            return False
    elif not isinstance(entry, Rational) or entry.denominator != 1:
        return False
    if -EXACT <= entry <= EXACT:
        return False
    try:
        return int(float(entry)) != int(entry)
    except OverflowError:  # it is refused where it is read
        return False


def refuse_rounded(value: Any, array: np.ndarray, what: str) -> None:
    """Refuse whole numbers that float64 rounds, given an object and the array that NumPy makes of it."""
    for given in _as_given(value, array):
        found = first_rounded(given)
        if found is not None:
            raise InputError(
                what,
                f"the whole number {shown(int(found))}, which float64 rounds",
                "whole numbers that float64 holds, as all up to 2^53",
                "subtract a constant from all first, or give floating-point numbers",
                verb="holds",
            )


def _as_given(value: Any, array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the numbers as they were before NumPy made one type of them."""
    if array.dtype.kind in "iuO":
        yield array
    elif isinstance(value, list | tuple):
        # Numbers of fewer digits alone make an array of fewer digits: there is no whole number among them.
        if array.dtype.kind == "f" and array.itemsize >= 8 and bool((np.abs(array) >= EXACT).any()):
            yield np.asarray(value, dtype=object)
    elif hasattr(value, "columns") or (hasattr(value, "isna") and getattr(value, "ndim", 1) == 1):
        for column in _columns(value):
            # A whole number that is missing is NaN, beside which NumPy would round the others.
            missing = np.asarray(column.isna(), dtype=bool) if hasattr(column, "isna") else np.False_
            yield np.asarray(column[~missing] if missing.any() else column)


def _columns(value: Any) -> list[Any]:
    """Return the columns of a table; a series is its only one."""
    if not hasattr(value, "columns"):
        return [value]
    if hasattr(value, "iloc"):  # two columns of pandas may have one name
        return [value.iloc[:, i] for i in range(value.shape[1])]
    return [value[name] for name in value.columns]
