"""Tables as text: fields between commas, semicolons, tabs or bars, with a header of names or without.

Cells are read one by one as they are written: no column is guessed to be of another kind than it is.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

import numpy as np

from kernel_collapse import _memory
from kernel_collapse._input_error import InputError
from kernel_collapse.data._columns import (
    Cells,
    RawTable,
    at_row,
    large_integers,
    number,
    refuse_label,
    refuse_label_column,
)
from kernel_collapse.data._dataset import refuse_twice
from kernel_collapse.data._labels import as_written

__all__ = ["read_text"]

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

#: Lines by which the separator and the header are recognised.
SEEN = 20

_SAID_BY_EXCEL = re.compile(r"\s*sep=(.)\s*", re.IGNORECASE)


class _Fault(ValueError):
    """What makes a file no table."""


class _Line(NamedTuple):
    """The fields of a line that is not blank, and its number in the file."""

    number: int
    fields: list[str]


def read_text(path: Path, label: str | None, header: bool | None) -> RawTable:
    """Return the table of a text file; `header` says whether its first line holds names, None that it tells itself.

    Raises
    ------
    ValueError
        If it is no table, or holds what is not a number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(file, path, label, header)
    except UnicodeDecodeError as error:
        _refuse(path, f"byte {error.object[error.start]:#04x} is not UTF-8", "save it as UTF-8")
    except (_Fault, csv.Error) as error:
        _refuse(path, str(error), "mend it, and check its ending")


def _refuse(path: Path, why: str, remedy: str) -> NoReturn:
    raise InputError(
        path.name, f"be read as CSV ({why})", "a header and one sample a row", remedy, verb="cannot"
    ) from None


def _read(file: TextIO, path: Path, label: str | None, header: bool | None) -> RawTable:
    head = list(islice(file, SEEN))
    if not any(line.strip() for line in head):
        raise InputError(path.name, "empty", "a header and one sample a row")
    if any("\0" in line for line in head):
        raise _Fault("it holds zero bytes, which text does not: is it UTF-16, or no text?")
    told = _SAID_BY_EXCEL.fullmatch(head[0])
    skipped = 1 if told else 0
    separator = told.group(1) if told else _separator(head, path)
    body = [line for line in head[1:] if line.strip()] or head
    many = path.stat().st_size * len(body) / sum(map(len, body))
    file.seek(0)
    lines = _lines(file, separator, skipped)
    known = list(islice(lines, SEEN))
    if not known:
        raise InputError(path.name, "empty", "a header and one sample a row")
    if len(known[0].fields) == 1:
        text = known[0].fields[0]
        spaces = " (are the fields separated by spaces?)" if len(text.split()) > 1 else ""
        raise InputError(
            path.name,
            f"one column, {text[:60]!r}",
            f"the classes and features beside them, separated by {', '.join(SEPARATORS.values())}{spaces}",
            "save it so",
            verb="has",
        )
    named = _is_header(known, path, label, header)
    notes: tuple[str, ...] = ()
    rows: Iterator[_Line] = chain(known[1:] if named else known, lines)
    names = (
        [name.strip() for name in known[0].fields] if named else list(map(str, range(len(known[0].fields))))
    )
    if named and names[-1] == "" and len(names) > 2:
        names, rows, notes = _without_last(names, rows, path)
    refuse_twice([name for name in names if name], path.name)
    label = ("label" if label is None else label).strip()
    if label not in names:
        more = "" if named else " (columns of a file without header are numbered from 0)"
        refuse_label_column(label, names, path.name, more)
    if "" in names:
        raise InputError(
            f"column {names.index('')} (counted from 0) of {path.name}",
            "no name",
            "a name for every column",
            "a saved row index is no feature, drop it (index=False in pandas)",
            verb="has",
        )
    what = f"{path.name}, with about {many:.3g} rows of {len(names)} numbers,"
    _memory.require(16.0 * many * len(names), what, "take a part of it")
    return _table(rows, names, names.index(label), named, path, notes)


def _table(
    rows: Iterator[_Line],
    names: list[str],
    place: int,
    named: bool,
    path: Path,
    notes: tuple[str, ...],
) -> RawTable:
    """Return the numbers and labels of the rows that follow the header."""
    features = names[:place] + names[place + 1 :]
    values, cells, labels = array("d"), Cells(), []
    for i, (line, fields) in enumerate(rows):
        if len(fields) != len(names):
            _refuse_length(i, line, fields, len(names), named)
        labels.append(fields.pop(place))
        if not labels[-1].strip():
            refuse_label(at_row(i, line), path.name, "missing (an empty field)")
        values.extend(cells.row(fields, line))
    if not labels:
        raise InputError(path.name, f"0 rows of {len(names)} columns", "some of each", verb="has")
    cells.refuse(features, path.name)
    x = np.frombuffer(values).reshape(len(labels), len(features))
    notes += large_integers([features[column] for column in sorted(cells.rounded)])
    return RawTable(x, as_written(labels), tuple(features) if named else (), notes)


def _lines(file: TextIO, separator: str, skipped: int) -> Iterator[_Line]:
    """Yield the lines that are not blank."""
    reader = csv.reader(file, delimiter=separator, strict=True)
    for i, fields in enumerate(reader):
        if i >= skipped and (len(fields) > 1 or (fields and fields[0].strip())):
            yield _Line(reader.line_num, fields)


def _separator(head: list[str], path: Path) -> str:
    """Return what separates the fields: it splits the header, and the rows below into as many parts.

    Of several that do, that which makes most parts.
    """
    lines = [line for line in head if line.strip()]
    found: dict[str, tuple[bool, int]] = {}
    for separator in SEPARATORS:
        counts = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        alike = sum(count == counts[0] for count in counts[1:])
        found[separator] = (counts[0] > 1 and 2 * alike >= len(counts) - 1, counts[0])
    best = max(found.values())
    chosen = [separator for separator, value in found.items() if value == best]
    if best[1] > 1 and len(chosen) > 1:
        kinds = " and ".join(SEPARATORS[separator] for separator in chosen)
        raise InputError(
            path.name,
            f"into {best[1]} columns at {kinds} alike",
            "one kind of separator",
            "put names that hold one of them into quotation marks",
            verb="splits",
        )
    return chosen[0]


def _is_header(known: list[_Line], path: Path, label: str | None, header: bool | None) -> bool:
    """Tell whether the first line holds names, as it is told or as it looks; what looks like a sample is refused."""
    first = known[0].fields
    if first[0].lstrip().startswith("#") and header is None:
        raise InputError(
            f"the first line of {path.name}",
            "with '#'",
            "names of columns",
            "take the '#' away if it is the header, or the line if it is a comment",
            verb="begins",
        )
    if header is not None:
        return header
    numbers = [text for text in first if _is_number(text)]
    texts = [i for i, text in enumerate(first) if text.strip() and not _is_number(text)]
    if not numbers or len(texts) > 1:  # a sample has numbers, and one text at most: its class
        return True
    below = [line.fields for line in known[1:]]
    again = any(len(row) == len(first) and row[i] == first[i] for row in below for i in texts)
    if texts and not again and _numbering(numbers):
        return True
    shown = ",".join(first)
    raise InputError(
        f"the first line of {path.name} ({shown[:40] + ('...' if len(shown) > 40 else '')})",
        "like a sample, not like names",
        "a header",
        "add one, or say that there is none (header=False or --no-header, which numbers the columns from "
        "0) or that these are names (header=True or --header)",
        verb="looks",
    )


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(number(text)))
    except ValueError:
        return False


def _numbering(numbers: list[str]) -> bool:
    """Whether the numbers count from 0 or 1 on, as names of columns do that an array was given."""
    return numbers in [list(map(str, range(start, start + len(numbers)))) for start in (0, 1)]


def _without_last(
    names: list[str], rows: Iterator[_Line], path: Path
) -> tuple[list[str], Iterator[_Line], tuple[str, ...]]:
    """Leave out a last column that has no name, which a separator at the end of lines makes; it must be empty."""

    def shortened() -> Iterator[_Line]:
        for i, (line, fields) in enumerate(rows):
            if len(fields) == len(names):
                if fields[-1].strip():
                    raise InputError(
                        f"column {len(names) - 1} (counted from 0) of {path.name}",
                        f"no name and holds {fields[-1]!r} in {at_row(i, line)}",
                        "a name for every column",
                        "name it, or drop it",
                        verb="has",
                    )
                yield _Line(line, fields[:-1])
            else:
                yield _Line(line, fields)

    said = (
        f"The header of {path.name} ends in a separator: the column behind it, which is empty, is left out."
    )
    return names[:-1], shortened(), (said,)


def _refuse_length(row: int, line: int, fields: list[str], columns: int, named: bool) -> NoReturn:
    expected = (
        f"the header {columns} name{'s' if columns > 1 else ''}" if named else f"the first line {columns}"
    )
    why = ""
    if fields[0].lstrip().startswith("#"):
        why = "; it begins with '#', take comments away"
    elif len(fields) == columns + 1 and not fields[-1].strip():
        why = "; it ends in a separator, take that away"
    elif row == 0 and named and len(fields) > columns:
        why = "; name every column, or drop what has no name, as a saved row index"
    count = f"{len(fields)} field{'s' if len(fields) > 1 else ''}"
    raise _Fault(f"{at_row(row, line)} has {count} and {expected}{why}")
