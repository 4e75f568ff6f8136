"""DataFrames beside arrays: what their columns are called, and two of them matched by name."""

from __future__ import annotations

from typing import Any

from kernel_collapse import _arrays
from kernel_collapse._input_error import InputError

__all__ = ["matched", "names"]


def names(value: Any) -> tuple[str, ...]:
    """Return the names of the columns of a DataFrame of pandas or polars; numbers that pandas made up are none."""
    table = not _arrays.is_foreign(value) and not isinstance(value, type)
    found = list(getattr(value, "columns", ())) if table else []
    return () if found == list(range(len(found))) else tuple(map(str, found))


def matched(value: Any, what: str, like: Any, what_like: str) -> Any:
    """Return a DataFrame with its columns in the order of another; what is no DataFrame is returned as it is.

    Raises
    ------
    ValueError
        If a column is missing or new.
    """
    here, there = names(value), names(like)
    if not here or not there or here == there:
        return value
    missing, new = (
        [name for name in one if name not in other] for one, other in ((there, here), (here, there))
    )
    if missing or new or len(set(here)) < len(here):
        parts = [f"lacks {missing[0]!r}"] if missing else []
        parts += [f"has {new[0]!r} beside them"] if new else []
        raise InputError(
            what,
            " and ".join(parts) or "has two columns of one name",
            f"the columns of {what_like}, which are matched by name",
            "add, drop or rename columns, or give arrays",
            verb="",
        )
    return value[list(like.columns)]
