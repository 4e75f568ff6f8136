"""Results as others read them: a table of pandas, and HTML for a notebook."""

from __future__ import annotations

import difflib
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from kernel_collapse import _arrays, _extras
from kernel_collapse._input_error import UnknownName
from kernel_collapse._text import visible

if TYPE_CHECKING:
    from pandas import DataFrame
else:
    DataFrame = Any  # pandas is there for those who ask for a table

__all__ = ["DataFrame", "as_html", "fields_as_html", "frame", "named", "numbers_of", "one_row", "rounded"]

T = TypeVar("T")

#: Most names that a sentence offers.
OFFERED = 12


def frame(columns: Mapping[str, Any]) -> DataFrame:
    """Return a DataFrame of columns of one length.

    Raises
    ------
    MissingExtra
        If pandas is not installed.
    """
    _extras.require("tables", "a table of results", "pandas")
    import pandas as pd

    return pd.DataFrame(dict(columns))


def named(found: Mapping[str, T], name: object, what: str) -> T:
    """Return what a result has under a name.

    Raises
    ------
    UnknownName
        If it has no such name: the names that it has are listed, the nearest first.
    """
    if isinstance(name, str) and name in found:
        return found[name]
    close = difflib.get_close_matches(str(name), found, n=len(found) or 1, cutoff=0.5)
    names = list(dict.fromkeys([*close, *found]))
    more = f" and {len(names) - OFFERED} more" if len(names) > OFFERED else ""
    offered = f"one of {', '.join(map(repr, names[:OFFERED]))}{more}" if names else "none, for there is none"
    raise UnknownName.of(what, name, offered)


def numbers_of(result: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return fields of a result that are numbers or text, as those of Python."""
    found: dict[str, Any] = {}
    for name in names:
        value = getattr(result, name)
        if isinstance(value, str | bool | int):
            found[name] = value
        elif getattr(value, "ndim", 0) == 0:
            found[name] = _arrays.number(value)
    return found


def one_row(result: Any, names: Iterable[str]) -> DataFrame:
    """Return the numbers and texts of a result as a table of one row."""
    return frame({name: [value] for name, value in numbers_of(result, names).items()})


def fields_as_html(title: str, result: Any, meanings: Mapping[str, str]) -> str:
    """Return the numbers of a result that are known, with what they are, and its `reason`, as HTML."""
    known = {name: value for name, value in numbers_of(result, meanings).items() if value == value}
    rows = [(name, value, meanings[name]) for name, value in known.items()]
    return as_html(title, ("field", "value", "what it is"), rows, (result.reason,))


def rounded(value: Any) -> str:
    """Return a number to four digits, and text as it is.

    Examples
    --------
    >>> rounded(0.123456), rounded(1e-9), rounded(12), rounded("a")
    ('0.1235', '1e-09', '12', 'a')
    """
    if isinstance(value, str | bool | int | np.integer):
        return str(value)
    return f"{_arrays.number(value):.4g}"


def as_html(title: str, headings: Sequence[str], rows: Iterable[Sequence[Any]], notes: Iterable[str]) -> str:
    """Return a table as HTML, with rounded numbers and whatever was text escaped; `notes` are lines below it."""

    def cell(tag: str, value: Any) -> str:
        shown = html.escape(visible(rounded(value)))
        side = "left" if isinstance(value, str) else "right"
        return f'<{tag} style="text-align: {side}">{shown}</{tag}>'

    head = "".join(cell("th", name) for name in headings)
    body = "".join("<tr>" + "".join(cell("td", value) for value in row) + "</tr>" for row in rows)
    below = "".join(f"<p>{html.escape(visible(note))}</p>" for note in notes if note)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div><p><strong>{html.escape(visible(title))}</strong></p>{table}{below}</div>"
