"""What can be read of a table of results that is damaged: every row whose bytes are those that were written.

SQLite stops at a page that it cannot read. A table is read from both ends, then key by key; each row is held against
its checksum, for a digit that has changed is a number still.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import warnings
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from kernel_collapse.runs import _database
from kernel_collapse.runs._snapshot import UNREADABLE
from kernel_collapse.runs._storable import one_line
from kernel_collapse.runs.trials import Trial

__all__ = ["describe", "entries", "unsound", "warn"]

#: Rows that are named; the others are counted.
MOST_NAMED = 5
_COLUMNS = {"trials": ("key", _database.ROW), "run": ("rowid", ("name", "value"))}


def entries(db: sqlite3.Connection, part: str, faults: dict[str, str]) -> list[tuple[Any, ...]]:
    """Return the rows of a table that are as they were written, in the order of their keys.

    Parameters
    ----------
    db : Connection
        The results, in memory or in their file.
    part : str
        The table, "trials" or "run".
    faults : dict
        Gets what is wrong with each of the others, by what it is.
    """
    checks = _checks(db, part, faults)
    found: dict[str, tuple[Any, ...]] = {}
    for entry in _scan(db, part):
        found.setdefault(str(entry[0]), entry)
    lost = checks.keys() - found.keys()
    for way in (_look_up, _carve):
        if lost:
            found |= way(db, part, lost)
            lost -= found.keys()
    faults |= {_name(part, key): "left out, it cannot be read" for key in sorted(lost)}
    sound = []
    for key, entry in sorted(found.items()):
        fault = _fault(part, entry, checks)
        if fault:
            faults[_name(part, key)] = f"left out, {fault}"
        else:
            sound.append(entry)
    return sound


def unsound(db: sqlite3.Connection) -> str:
    """Return what SQLite finds wrong with the pages of a database; rows that break a rule of their table are none."""
    try:
        said = [str(line) for (line,) in db.execute("PRAGMA quick_check")]
    except UNREADABLE as error:
        return one_line(str(error))
    wrong = [line for line in said if line != "ok" and "constraint" not in line and " value in " not in line]
    return one_line(" ".join(wrong[0].split())) if wrong else ""


def describe(faults: dict[str, str]) -> str:
    """Return the first faults, and how many more there are."""
    named = [one_line(f"{what}: {fault}") for what, fault in list(faults.items())[:MOST_NAMED]]
    more = [f"and {len(faults) - MOST_NAMED} more"] if len(faults) > MOST_NAMED else []
    return "; ".join([*named, *more])


def warn(path: Path, faults: dict[str, str]) -> None:
    """Warn whoever asked for the rows of what is damaged."""
    warnings.warn(
        f"{str(path)!r} is damaged, all else of it is read ({describe(faults)}): "
        "restore a copy, or run again with --retry-failed.",
        _database.DamagedRows,
        stacklevel=4,
    )


def _checks(db: sqlite3.Connection, part: str, faults: dict[str, str]) -> dict[str, str]:
    """Return the checksums by key, "" where somebody has changed a row."""
    found: dict[str, str] = {}
    try:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'checks'").fetchone():
            return found  # a new store
        for key, digest, seal in db.execute(
            "SELECT key, digest, seal FROM checks WHERE part = ? ORDER BY key", (part,)
        ):
            if digest == seal == "" or _database.seal(str(digest)) == seal:
                found[str(key)] = str(digest)
            else:
                faults[f"checksum of {_name(part, key)}"] = "damaged"
    except UNREADABLE as error:
        faults["checksums"] = f"some cannot be read ({error})"
    return found


def _scan(db: sqlite3.Connection, part: str) -> Iterator[tuple[Any, ...]]:
    """Yield what SQLite can read from the front and, if it stops, from the back."""
    order, columns = _COLUMNS[part]
    for way in ("ASC", "DESC"):
        try:
            yield from db.execute(f"SELECT {', '.join(columns)} FROM {part} ORDER BY {order} {way}")
            return
        except UNREADABLE:
            continue


def _look_up(db: sqlite3.Connection, part: str, keys: Set[str]) -> dict[str, tuple[Any, ...]]:
    """Return what SQLite finds of these rows, each by itself."""
    _, columns = _COLUMNS[part]
    found = {}
    for key in keys:
        with contextlib.suppress(*UNREADABLE):
            query = f"SELECT {', '.join(columns)} FROM {part} WHERE {columns[0]} = ?"
            if entry := db.execute(query, (key,)).fetchone():
                found[key] = entry
    return found


def _carve(db: sqlite3.Connection, part: str, keys: Set[str]) -> dict[str, tuple[Any, ...]]:
    """Return those of the rows that are on pages to which a damaged page leads: in memory, each is made the root."""
    found: dict[str, tuple[Any, ...]] = {}
    if part != "trials" or os.path.isabs(db.execute("PRAGMA database_list").fetchone()[2]):
        return found  # a table of few rows, or a file, in which nothing is to be tried
    db.isolation_level = None
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    which = "WHERE type = 'table' AND name = 'trials'"
    (root,) = db.execute(f"SELECT rootpage FROM sqlite_master {which}").fetchone()
    for page in [*range(2, pages + 1), root]:
        with contextlib.suppress(*UNREADABLE):
            db.execute("PRAGMA writable_schema = ON")
            db.execute(f"UPDATE sqlite_master SET rootpage = ? {which}", (page,))
            db.execute("PRAGMA writable_schema = RESET")  # reads the schema again
            # A page that is free now may have a row that was removed: which there are, the checksums know.
            if page != root:
                found |= {str(e[0]): e for e in _scan(db, part) if str(e[0]) in keys and e[0] not in found}
    return found


def _fault(part: str, entry: tuple[Any, ...], checks: dict[str, str]) -> str:
    """Return what is wrong with a row, or nothing."""
    numbers = {"seconds"}
    for column, value in zip(_COLUMNS[part][1], entry, strict=True):
        if not isinstance(value, float if column in numbers else str):
            return f"its {column} is a {type(value).__name__}"
    digest = checks.get(entry[0])
    if digest:
        return "" if digest == _database.digest(entry) else "its bytes are not those that were written"
    if digest is None and part == "trials":
        # The key, or its checksum, is damaged: the key of a trial is a checksum too.
        try:
            key = Trial.model_validate_json(entry[1]).key
        except (ValueError, RecursionError):
            key = ""
        return "" if key == entry[0] else "its key is not that of its specification"
    return ""


def _name(part: str, key: str) -> str:
    return f"row {key}" if part == "trials" else f"entry {key!r} of the run"
