"""The file of the results: its tables, who may write it, and what is said when it cannot be written."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

__all__ = ["LOCK", "WRITER", "StoreError", "connect", "lock", "migrate", "this_process", "writing"]

LOCK = "results.lock"
#: Under which name the table of the run has who writes.
WRITER = "writer"
#: Seconds to wait for another program that reads or copies the file and locks it meanwhile.
PATIENCE = 30.0
#: Of the tables: 1 since a trial may end by its time limit.
VERSION = 1

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
_COLUMNS = "key, specification, status, message, results, seconds, finished"
#: No room, or a disk that fails: nothing is wrong with the file.
_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_ADVICE = {sqlite3.SQLITE_BUSY: "end the program that keeps it locked"}


class StoreError(OSError):
    """The results cannot be written any more: the disk is full or fails, say. Every row that was written is kept."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, with empty tables where it has none.

    Raises
    ------
    ValueError
        If it is no such file, cannot be opened, or is a later version's.
    StoreError
        If the disk is full or fails.
    """
    db = None
    try:
        db = sqlite3.connect(path, timeout=PATIENCE)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        if not db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'trials'").fetchone()[0]:
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.execute(_RUN)
                db.execute(_TRIALS)
                db.execute(f"PRAGMA user_version = {VERSION}")
        version = _version(db)
    except sqlite3.DatabaseError as error:
        if db is not None:
            db.close()
        if _code(error) in _DISK:
            raise _unwritten(path, error) from None
        raise ValueError(
            f"{str(path)!r} cannot be used ({error}), expected the results of a run in a folder that can be "
            "written: move the file away or choose another folder."
        ) from None
    if version > VERSION:
        db.close()
        raise ValueError(
            f"{str(path)!r} has tables of version {version}, expected {VERSION} or less: it was written by a later "
            "kernel-collapse, use that one."
        )
    return db


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Give the tables of an earlier version the shape of this one, all or nothing; for the process that writes."""
    if _version(db) == VERSION:
        return
    with writing(db, path):
        db.execute("BEGIN IMMEDIATE")
        db.execute("ALTER TABLE trials RENAME TO earlier")
        db.execute(_TRIALS)
        db.execute(f"INSERT INTO trials ({_COLUMNS}) SELECT {_COLUMNS} FROM earlier")
        db.execute("DROP TABLE earlier")
        db.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def writing(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Write a transaction; what the disk does to it is a `StoreError`."""
    try:
        with db:
            yield
    except sqlite3.OperationalError as error:
        raise _unwritten(path, error) from None


def lock(folder: Path, path: Path) -> sqlite3.Connection:
    """Return what makes this process the one that writes, as long as it is open.

    The lock is SQLite's own, on a file of its own: whoever reads the results is not kept out, and the lock of a
    process that was killed is gone with it.

    Raises
    ------
    ValueError
        If another process has it.
    """
    db = sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=OFF")  # nothing is ever written to it
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
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


def _writer(path: Path) -> str:
    """Return who said last that it writes."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            (said,) = db.execute("SELECT value FROM run WHERE name = ?", (WRITER,)).fetchone()
        return "process {pid} on {host} since {since}".format(**json.loads(said))
    except (sqlite3.Error, TypeError):  # it has only just begun
        return "another process"


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's number of an error, without what it adds to tell subspecies apart."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _unwritten(path: Path, error: sqlite3.Error) -> StoreError:
    advice = _ADVICE.get(_code(error), "free some space or see to the disk")
    return StoreError(f"{str(path)!r} cannot be written ({error}), expected to add a row: {advice}.")
