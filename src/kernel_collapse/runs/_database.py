"""The file of the results: its tables, who may write it, and what is said when it cannot be used."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from kernel_collapse.runs import _snapshot
from kernel_collapse.runs._storable import one_line

__all__ = [
    "LOCK",
    "ROW",
    "WRITER",
    "DamagedRows",
    "StoreError",
    "connect",
    "digest",
    "lock",
    "put",
    "read",
    "seal",
    "this_process",
    "writing",
]

LOCK = "results.lock"
#: Under which name the table of the run has who writes.
WRITER = "writer"
#: Seconds to wait for another program that reads or copies the file and locks it meanwhile.
PATIENCE = 30.0
#: Of the tables.
VERSION = 2
#: What the head of the file says that it is: "kcNC".
APPLICATION = 0x6B634E43
#: Columns of a row.
ROW = ("key", "specification", "status", "message", "results", "seconds", "finished")

_COLUMNS = ", ".join(ROW)
_RUN = "CREATE TABLE IF NOT EXISTS run (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
_TRIALS = """
CREATE TABLE IF NOT EXISTS trials (
    key TEXT PRIMARY KEY,
    specification TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'timeout')),
    message TEXT NOT NULL,
    results TEXT NOT NULL,
    seconds REAL NOT NULL,
    finished TEXT NOT NULL
) WITHOUT ROWID
"""
# A checksum beside each row tells bytes that a disk has changed from a row that somebody has changed by SQL: for that
# one the triggers put an empty checksum. `seal` is the checksum of the checksum.
_CHECKS = """
CREATE TABLE IF NOT EXISTS checks (
    part TEXT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    seal TEXT NOT NULL,
    PRIMARY KEY (part, key)
) WITHOUT ROWID
"""
_TRIGGERS = [
    f"CREATE TRIGGER IF NOT EXISTS {part}_{what} AFTER {what} ON {part} BEGIN {does} END"
    for part, key in (("trials", "key"), ("run", "name"))
    for what, does in (
        ("insert", f"INSERT OR IGNORE INTO checks VALUES ('{part}', NEW.{key}, '', '');"),
        (
            "update",
            f"DELETE FROM checks WHERE part = '{part}' AND key = OLD.{key}; "
            f"INSERT OR REPLACE INTO checks VALUES ('{part}', NEW.{key}, '', '');",
        ),
        ("delete", f"DELETE FROM checks WHERE part = '{part}' AND key = OLD.{key};"),
    )
]
#: No room, or a disk that fails: nothing is wrong with the file.
_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_DAMAGED = "it is damaged: restore a copy; `kernel-collapse results` writes what can be read"
_ADVICE = {
    sqlite3.SQLITE_BUSY: "end the program that keeps it locked",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}


class DamagedRows(UserWarning):
    """Some rows are not what was written, and are left out; all others are read."""


class StoreError(OSError):
    """The results cannot be written any more: the disk is full or fails, say. Every row that was written is kept."""


def read(path: Path) -> _snapshot.Snapshot:
    """Return the results as they are at this moment; the file and its folder are not touched.

    Raises
    ------
    ValueError
        If it is no such file, cannot be read, or is a later version's.
    """
    try:
        taken = _snapshot.take(path)
    except (*_snapshot.UNREADABLE, OSError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else one_line(str(error))
        raise ValueError(
            f"{str(path)!r} cannot be used ({why}), expected the results of a run: check the path, or restore a copy "
            "if it is damaged; nothing was changed."
        ) from None
    taken.db.text_factory = _text
    try:
        _refuse_others(taken.db, path)
        if not _tables(taken.db):  # a run that was killed before it had made them
            _make_tables(taken.db)
    except BaseException as error:
        taken.db.close()
        if not isinstance(error, _snapshot.UNREADABLE):
            raise
        raise ValueError(
            f"{str(path)!r} is damaged ({one_line(str(error))}), expected the results of a run: restore a copy; "
            "nothing was changed."
        ) from None
    return taken


def connect(path: Path) -> sqlite3.Connection:
    """Open the file to write, with the tables of this version; for the process that has the lock.

    Raises
    ------
    ValueError
        If it cannot be opened.
    StoreError
        If the disk is full or fails.
    """
    db = None
    try:
        db = sqlite3.connect(path, timeout=PATIENCE)
        db.text_factory = _text
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        if not _tables(db):
            with db:
                db.execute("BEGIN IMMEDIATE")
                _make_tables(db)
    except sqlite3.DatabaseError as error:
        if db is not None:
            db.close()
        if _code(error) in _DISK:
            raise _unwritten(path, error) from None
        raise ValueError(
            f"{str(path)!r} cannot be used ({error}), expected the results of a run in a folder that can be "
            "written: move the file away or choose another folder."
        ) from None
    return db


@contextmanager
def writing(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Write a transaction; what the disk does to it is a `StoreError`."""
    try:
        with db:
            yield
    except sqlite3.IntegrityError:  # what was to be written is wrong, and not the file
        raise
    except sqlite3.DatabaseError as error:
        raise _unwritten(path, error) from None


def put(db: sqlite3.Connection, part: str, entry: tuple[Any, ...]) -> None:
    """Write a row of a table with its checksum: a new one, or of the run also in place of another."""
    marks = ", ".join("?" * len(entry))
    if part == "run":
        db.execute("DELETE FROM run WHERE name = ?", entry[:1])
    elif db.execute("SELECT 1 FROM trials WHERE key = ?", entry[:1]).fetchone():
        return
    _put_check(db, part, entry)
    columns = "name, value" if part == "run" else _COLUMNS
    db.execute(f"INSERT INTO {part} ({columns}) VALUES ({marks})", entry)


def digest(entry: Iterable[Any]) -> str:
    """Return the checksum of a row."""
    return seal("\0".join(value if isinstance(value, str) else repr(value) for value in entry))


def seal(content: str) -> str:
    """Return the checksum of a text."""
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def lock(folder: Path, path: Path) -> sqlite3.Connection:
    """Return what makes this process the one that writes, as long as it is open.

    The lock is SQLite's own, on a file of its own: whoever reads the results is not kept out, and the lock of a
    process that was killed is gone with it.

    Raises
    ------
    ValueError
        If another process has it.
    """
    # Not filelock: its flock is kept by whatever a killed process had forked, and the run could not go on.
    db = None
    try:
        db = sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None)
        db.execute("PRAGMA journal_mode=OFF")  # nothing is ever written to it
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.DatabaseError as error:
        if db is not None:
            db.close()
        if _code(error) != sqlite3.SQLITE_BUSY:
            raise _unwritten(folder / LOCK, error) from None
        raise ValueError(
            f"the run in {str(folder)!r} is being written by {_writer(path)}, expected one process at a time: wait for "
            "its end, or choose another folder; reading is allowed meanwhile."
        ) from None
    return db


def this_process() -> dict[str, str | int]:
    """Return who and where we are, and since when."""
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": since}


def _refuse_others(db: sqlite3.Connection, path: Path) -> None:
    """Refuse the database of another program, and of another version of this one."""
    tables, application, version = _tables(db), _pragma(db, "application_id"), _version(db)
    columns = {name for (name,) in db.execute("SELECT name FROM pragma_table_info('trials')")}
    ours = {"run", "trials"} <= tables and set(ROW) <= columns
    new = not tables and application in (0, APPLICATION)
    if tables and version != VERSION and (ours or application == APPLICATION):
        when = "a later" if version > VERSION else "an earlier"
        raise ValueError(
            f"{str(path)!r} has tables of version {version}, expected {VERSION}: it was written by {when} "
            "kernel-collapse, use that one."
        )
    if not (ours or new):
        named = one_line(", ".join(sorted(tables)[:3])) or "none"
        raise ValueError(
            f"{str(path)!r} is a database of another program (its tables: {named}), expected the results of a run: "
            "choose another folder; nothing was changed."
        )


def _make_tables(db: sqlite3.Connection) -> None:
    """Give a new database its tables."""
    for statement in (_RUN, _TRIALS, _CHECKS, *_TRIGGERS):
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    db.execute(f"PRAGMA user_version = {VERSION}")


def _tables(db: sqlite3.Connection) -> set[str]:
    return {str(name) for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _writer(path: Path) -> str:
    """Return who said last that it writes, if that process is there."""
    with suppress(ValueError, TypeError, KeyError, sqlite3.Error):  # it has only just begun
        with closing(read(path).db) as db:
            (said,) = db.execute("SELECT value FROM run WHERE name = ?", (WRITER,)).fetchone()
        about = json.loads(said)
        if about["host"] != socket.gethostname() or Path(f"/proc/{about['pid']}").exists():
            return "process {pid} on {host} since {since}".format(**about)
    return "another process"


def _version(db: sqlite3.Connection) -> int:
    return _pragma(db, "user_version")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")  # of a damaged row, which is told by its checksum


def _put_check(db: sqlite3.Connection, part: str, entry: tuple[Any, ...]) -> None:
    found = digest(entry)
    db.execute("INSERT OR REPLACE INTO checks VALUES (?, ?, ?, ?)", (part, entry[0], found, seal(found)))


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's number of an error, without what it adds to tell subspecies apart."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _unwritten(path: Path, error: sqlite3.Error) -> StoreError:
    advice = _ADVICE.get(_code(error), "free some space or see to the disk")
    return StoreError(f"{str(path)!r} cannot be written ({error}), expected to add a row: {advice}.")
