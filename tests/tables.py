"""The table of a run, as SQLite sees it beside any process that writes to it, and as the library reads it.

Each connection is closed at once. One that is left to the garbage collector keeps its locks until then, so that nobody
repairs what a killed process had half committed, and two readers may count differently.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from kernel_collapse.runs.store import FILE, Store


def whole_rows(folder):
    """Every column of every row, of a file that is found in order."""
    with closing(sqlite3.connect(Path(folder) / FILE)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not db.execute("SELECT * FROM sqlite_master WHERE name = 'trials'").fetchall():
            return []  # killed before it had made its tables
        return db.execute("SELECT * FROM trials ORDER BY key").fetchall()


def rows(folder):
    """Key, specification, status, message and results; not when and how fast they were made."""
    return [row[:5] for row in whole_rows(folder)]


def read(folder):
    """Key, status, message and results as the library reads them, which mends nothing of what a killed run left."""
    with Store(folder) as store:
        return [(row.key, row.status, row.message, row.results) for row in store.rows()]


def count(folder):
    """How many trials a run has finished, whoever is writing to it; 0 as long as there is no table."""
    try:
        with closing(sqlite3.connect(f"file:{folder}/{FILE}?mode=ro", uri=True)) as db:
            return db.execute("SELECT count(*) FROM trials").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
