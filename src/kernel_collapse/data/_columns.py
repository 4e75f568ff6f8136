"""From what the cells of a file say to numbers, or to a sentence on what they are instead."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from kernel_collapse._input_error import InputError
from kernel_collapse._objects import is_missing
from kernel_collapse._shapes import Float
from kernel_collapse._whole import EXACT

__all__ = [
    "MISSING",
    "Cells",
    "RawTable",
    "at_row",
    "large_integers",
    "number",
    "refuse_label",
    "refuse_label_column",
    "refuse_missing",
]

#: What stands for a missing number in a file, without regard to case.
MISSING = (
    "",
    "?",
    "-",
    "--",
    ".",
    "na",
    "n/a",
    "#n/a",
    "<na>",
    "nan",
    "-nan",
    "null",
    "none",
    "nil",
    "missing",
)

#: Text of a column that is kept, to say what it is.
_KEPT = 50
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_THOUSANDS = re.compile(r"\s*[+-]?\d{1,3}([,.' \u00a0\u202f_]\d{3})+([.,]\d+)?\s*")
_DATE = re.compile(r"\s*(\d{4}-\d{1,2}-\d{1,2}.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}.*|\d{1,2}:\d{2}.*)")
_BOOLEAN = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class RawTable:
    """What a file holds: features, labels as they are written or typed, names, and what should be said of them."""

    x: Float[np.ndarray, "n d"]
    labels: list[object]
    features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    targets: object = None
    image_shape: tuple[int, ...] = ()


@dataclass
class _Bad:
    """The cells of a column that are no finite numbers."""

    row: int
    line: int
    texts: list[str] = field(default_factory=list)
    count: int = 0


def at_row(row: int, line: int | None = None) -> str:
    """Return how a row of a file is named: by its line if it has one, and by its number, which counts from 0.

    Examples
    --------
    >>> at_row(1), at_row(1, line=3)
    ('row 1 (counted from 0)', 'line 3 (row 1, counted from 0)')
    """
    return f"row {row} (counted from 0)" if line is None else f"line {line} (row {row}, counted from 0)"


def number(text: str) -> float:
    """Return the number that a cell holds; what Python alone would read as one (1_000) is none.

    Raises
    ------
    ValueError
        If it holds none.
    """
    if "_" in text:
        raise ValueError(text)
    return float(text)


class Cells:
    """Reads rows of text as numbers, and remembers which cells are none, and which columns hold `rounded` ones."""

    def __init__(self) -> None:
        self.rounded: set[int] = set()
        self._bad: dict[int, _Bad] = {}
        self._booleans: dict[int, int] = {}
        self._truths: dict[int, str] = {}
        self._rows = 0

    def row(self, cells: Sequence[str], line: int) -> list[float]:
        """Return the numbers of the row in a line, NaN where there is none."""
        try:
            # One look at the row: a call of `number` a cell would take longer than the conversion.
            values = list(map(number if "_" in "".join(cells) else float, cells))
            whole = sum(map(abs, values)) < EXACT  # nor does it hold of NaN
        except ValueError:
            whole = False
        if not whole:
            values = [self._cell(column, text, line) for column, text in enumerate(cells)]
        self._rows += 1
        return values

    def _cell(self, column: int, text: str, line: int) -> float:
        try:
            value = number(text)
        except ValueError:
            value = np.nan
        if math.isfinite(value):
            if abs(value) >= EXACT and text.strip().lstrip("+-").isdigit() and int(text) != int(value):
                self.rounded.add(column)
            return value
        truth = _BOOLEAN.get(text.strip().lower())
        if truth is not None:
            self._booleans[column] = self._booleans.get(column, 0) + 1
            self._truths.setdefault(column, text)
            return truth
        bad = self._bad.setdefault(column, _Bad(self._rows, line))
        bad.count += 1
        if len(bad.texts) < _KEPT:
            bad.texts.append(text)
        return np.nan

    def refuse(self, names: Sequence[str], file: str) -> None:
        """Refuse columns that are not numeric, and numbers that are missing, with the text as it is written.

        Raises
        ------
        ValueError
            Naming columns, or line, row and column.
        """
        mixed = {c for c, count in self._booleans.items() if count + self._count(c) < self._rows}
        texts = {
            c: found
            for c, bad in sorted(self._bad.items())
            if (found := [t for t in bad.texts if not _no_number(t)])
        }
        if texts or mixed:
            columns = sorted({*texts, *mixed})
            shown = ", ".join(repr(names[c]) for c in columns[:5])
            shown += f" and {len(columns) - 5} more" if len(columns) > 5 else ""
            said, remedy = _what_it_is(texts.get(columns[0]) or [self._truths[columns[0]]])
            raise InputError(
                file,
                f"columns that are not numeric ({shown}): {names[columns[0]]!r} holds {said}",
                "numbers",
                remedy,
                verb="has",
            )
        if self._bad:
            column, bad = min(self._bad.items(), key=lambda item: (item[1].row, item[0]))
            count = sum(each.count for each in self._bad.values())
            more = "" if count == 1 else f" (and {count - 1} more such entries)"
            text = bad.texts[0]
            held = repr(text) if text else "'', an empty field,"
            raise InputError(
                "x",
                f"{held} in {at_row(bad.row, bad.line)}, column {names[column]!r} of {file}{more}",
                "finite numbers",
                "drop or impute those rows",
                verb="holds",
            )

    def _count(self, column: int) -> int:
        return self._bad[column].count if column in self._bad else 0


def large_integers(names: Sequence[str]) -> tuple[str, ...]:
    """Return a note on columns of whole numbers that float64 does not hold to the last digit."""
    if not names:
        return ()
    more = f" (as do {len(names) - 1} more)" if len(names) > 1 else ""
    return (
        f"Column {names[0]!r} holds whole numbers beyond 2^53{more}, which float64 rounds to 16 digits: a number that "
        "names a sample is no feature.",
    )


def refuse_missing(labels: Sequence[Any], file: str, top: int = 0) -> None:
    """Refuse labels of which one is missing, or holds nothing but white space; `top` is the row of the first."""
    for row, label in enumerate(labels):
        if _is_missing(label):
            refuse_label(at_row(top + row), file)


def _is_missing(label: Any) -> bool:
    if isinstance(label, str):
        return not label.strip()
    if isinstance(label, list | tuple | dict):  # what a cell of several values holds
        return any(map(is_missing, label.values() if isinstance(label, dict) else label))
    return is_missing(label)


def refuse_label(where: str, file: str, said: str = "missing") -> NoReturn:
    """Refuse a label that is missing."""
    raise InputError(
        f"the label in {where} of {file}",
        said,
        "a class in every row",
        "drop those rows, or write a name there, say 'none', to keep them as a class",
    )


def refuse_label_column(label: str, names: Sequence[str], file: str, more: str = "") -> NoReturn:
    """Refuse a label that is no column."""
    columns = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
    raise InputError(
        "label",
        f"{label!r}, which is not a column of {file}",
        "the column of classes",
        f"choose from {columns}{more}",
    )


def _no_number(text: str) -> bool:
    """Whether a cell holds what stands for a missing number, or one beyond all numbers."""
    if text.strip().lower() in MISSING:
        return True
    try:
        return not np.isfinite(number(text))
    except ValueError:
        return False


def _what_it_is(texts: Sequence[str]) -> tuple[str, str]:
    """Return what cells hold in place of numbers, and what to do."""
    example = repr(texts[0])
    comma, thousands = (sum(bool(p.fullmatch(t)) for t in texts) for p in (_DECIMAL_COMMA, _THOUSANDS))
    if comma == len(texts) and thousands < len(texts):
        return (
            f"numbers with a decimal comma ({example})",
            "write decimal points (decimal=',' in pandas reads it)",
        )
    if thousands == len(texts):
        return (
            f"numbers with a separator of thousands, or a decimal comma ({example})",
            "write digits and a decimal point alone",
        )
    if all(_DATE.fullmatch(text) for text in texts):
        return f"dates or times ({example})", "drop or encode them"
    return f"text ({example})", "drop or encode them"
