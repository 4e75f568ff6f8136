"""Reading a SQLite file without touching it: no lock, no journal, no file beside it, on any disk.

SQLite itself writes when it reads a database in WAL mode: it makes the index of the log (``-shm``) or repairs it. Here
the bytes of the file are read, the log (``-wal``) of a run that writes or was killed is applied to them in memory, as
https://sqlite.org/fileformat2.html#walformat defines it, and SQLite reads the result.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["UNREADABLE", "Identity", "Snapshot", "identity", "registered", "take", "where_is"]

#: What the file starts with.
_MAGIC = b"SQLite format 3\0"
_WAL_HEADER, _FRAME_HEADER = 32, 24
_WORD = 0xFFFF_FFFF
#: How often a file is read again whose log was begun anew meanwhile, which takes a writer hundreds of rows.
_TRIES = 20

#: What SQLite raises of a database that is damaged: its messages may hold names that are no text.
UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError, MemoryError)
#: A file, whatever its name: device and inode.
Identity = tuple[int, int]
#: The files that this process writes to. To close a file ends the locks that a process has on it, SQLite's too.
_written_here: list[Identity] = []


class Snapshot(NamedTuple):
    """The database as it was at one moment, in memory, and what of its log could not be used."""

    db: sqlite3.Connection
    damage: str


def identity(path: Path) -> Identity | None:
    """Return which file that is, or None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def registered(path: Path) -> Iterator[Identity]:
    """Say that this process writes to the file, and give which that is."""
    mine = identity(path)
    assert mine is not None
    _written_here.append(mine)
    try:
        yield mine
    finally:
        _written_here.remove(mine)


def take(path: Path) -> Snapshot:
    """Return what is committed to a database at this moment.

    Raises
    ------
    OSError
        If the file cannot be read.
    UNREADABLE
        If it is no database.
    """
    db = sqlite3.connect(":memory:")
    try:
        if (
            identity(path) in _written_here
        ):  # SQLite knows of its own locks, and the log and its index are there
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as shared:
                shared.backup(db)
            return Snapshot(db, "")
        content, damage = _read(path)
        if content:
            db.deserialize(content)
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        db.close()
        raise
    return Snapshot(db, damage)


def _read(path: Path) -> tuple[bytes, str]:
    """Return the file with its log applied.

    The file is read before its log. Unless the log was begun anew between, it has every page that was written to the
    file meanwhile.
    """
    log = path.with_name(path.name + "-wal")
    for _ in range(_TRIES):
        before = _head(log), _state(path)
        content = path.read_bytes()
        frames = log.read_bytes() if before[0] else b""
        head, state = _head(log), _state(path)
        if head == before[0] and (head or state == before[1]):
            break
    else:
        raise OSError(f"{str(path)!r} changes while it is read")
    if content[:16] != _MAGIC:
        if content:
            raise sqlite3.DatabaseError("file is not a database")
        return b"", ""
    pages, damage = _applied(bytearray(content), frames)
    if pages[18:20] == b"\2\2":
        pages[18:20] = b"\1\1"  # no log: a database in memory can have none
    return bytes(pages), damage


def _head(log: Path) -> bytes:
    """Return what changes when a log is begun anew; nothing where there is no log."""
    try:
        with log.open("rb") as file:
            return file.read(_WAL_HEADER)
    except FileNotFoundError:
        return b""


def _state(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _applied(pages: bytearray, log: bytes) -> tuple[bytearray, str]:
    """Return the pages after the last commit of the log.

    A frame whose checksum is wrong ends the log, as a kill in mid-write leaves it. Where the next frame continues from
    the checksum that is written in it, that frame is whole but damaged: it is used, for most of its rows are well.
    """
    if len(log) < _WAL_HEADER:
        return pages, ""
    magic, _, size, _, salt_1, salt_2, *stored = struct.unpack(">8I", log[:_WAL_HEADER])
    order = {0x377F0682: "<", 0x377F0683: ">"}.get(magic, "")
    if not order or size < 512 or _sum(order, log[:24], (0, 0)) != tuple(stored):
        return pages, "the head of its log is damaged, and the log is left out"
    step = _FRAME_HEADER + size
    salts, end = (salt_1, salt_2), len(log) - step
    running, damaged = (int(stored[0]), int(stored[1])), 0
    most = len(pages) // size + len(log) // step  # pages that there can be
    transaction: dict[int, int] = {}  # of the pages that are not committed yet: where in the log they are
    for start in range(_WAL_HEADER, end + 1, step):
        number, committed, *head = struct.unpack(">6I", log[start : start + _FRAME_HEADER])
        if tuple(head[:2]) != salts:
            break
        computed, written = _frame_sum(order, log, start, step, running), (head[2], head[3])
        if computed != written:
            after = start + step
            follows = after <= end and _frame_sum(order, log, after, step, written) == struct.unpack(
                ">2I", log[after + 16 : after + 24]
            )
            if not follows or max(number, committed) > most:
                later = any(log[s + 8 : s + 16] == log[16:24] for s in range(after, end + 1, step))
                if later:  # a kill leaves nothing after the frame that it cut
                    damaged += 1
                break
            damaged += 1
        running = written
        transaction[number] = start + _FRAME_HEADER
        if committed:
            for page, where in transaction.items():
                if page <= committed:
                    if len(pages) < page * size:
                        pages.extend(bytes(page * size - len(pages)))
                    pages[(page - 1) * size : page * size] = log[where : where + size]
            del pages[committed * size :]
            transaction.clear()
    return pages, "its log is damaged, and what follows the damage may be left out" if damaged else ""


def _frame_sum(order: str, log: bytes, start: int, step: int, running: tuple[int, int]) -> tuple[int, int]:
    """Return the checksum of a frame and all before it: of the head without salts and sums, and the page."""
    running = _sum(order, log[start : start + 8], running)
    return _sum(order, log[start + _FRAME_HEADER : start + step], running)


def _sum(order: str, data: bytes, running: tuple[int, int]) -> tuple[int, int]:
    first, second = running
    for even, odd in struct.iter_unpack(f"{order}2I", data):
        first = (first + even + second) & _WORD
        second = (second + odd + first) & _WORD
    return first, second


def where_is(file: Identity) -> str | None:
    """Return the path of a file that this process has open, "" if it was deleted, None if that cannot be known."""
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return None
    for number in numbers:
        try:
            found = os.stat(f"/proc/self/fd/{number}")
            path = os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # the one that lists them is closed by now
            continue
        if (found.st_dev, found.st_ino) == file:
            return "" if found.st_nlink == 0 else path
    return None
