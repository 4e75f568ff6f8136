"""Results in SQLite: one row a trial, written once and at once, never lost.

The file is ``results.sqlite`` in the folder of the run. One process writes at a time, in WAL mode and with a commit
a row, so that a run killed at any moment has kept all that it had finished; any number may read meanwhile.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from kernel_collapse import _database
from kernel_collapse._database import StoreError
from kernel_collapse.measurements import Results, renamed
from kernel_collapse.trials import Trial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FILE", "Row", "Store", "StoreError", "peek"]

FILE = "results.sqlite"


class Row(NamedTuple):
    """What is stored of a trial."""

    key: str
    trial: Trial
    status: str
    message: str
    results: Results
    seconds: float


class Store:
    """The results of one run.

    Parameters
    ----------
    folder : path
        The folder of the run.
    run : dict, optional
        What identifies the run (its experiments and preset, say). The folder is made if it is not there. Without
        `run` the folder must hold a run, of any identity.
    about : dict, optional
        What else is kept of the run when it is new: the machine that it ran on, say.

    Raises
    ------
    ValueError
        If the folder holds another run or other files, cannot be written, is written by another process, or (without
        `run`) holds no run.
    StoreError
        If the disk is full or fails, now or at any later writing.
    """

    def __init__(
        self, folder: str | Path, run: dict[str, Any] | None = None, about: dict[str, Any] | None = None
    ) -> None:
        self.folder = Path(folder)
        self.path = self.folder / FILE
        self._lock: sqlite3.Connection | None = None
        if run is not None:
            self._claim_folder()
        elif not self.path.is_file():
            raise ValueError(
                f"{str(self.folder)!r} holds no {FILE}, expected the folder of a run: check the path."
            )
        self._db = _database.connect(
            self.path
        )  # first, for it refuses what is no database, and makes nothing then
        if run is not None:
            try:
                self._lock = _database.lock(self.folder, self.path)
                self._claim_run(run, about or {})
                self._begin_to_write()
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; another process may write."""
        self._db.close()
        self._release()

    def hold(self) -> None:
        """Be the one that writes until this store is closed; a store that was given a `run` is from the beginning.

        Raises
        ------
        ValueError
            If another process writes.
        """
        if self._lock is None:
            self._lock = _database.lock(self.folder, self.path)
            self._begin_to_write()

    def add(
        self,
        trial: Trial,
        *,
        status: str,
        message: str = "",
        results: Results | None = None,
        seconds: float,
    ) -> None:
        """Write the row of a finished trial; it is on the disk when this returns. A row is never overwritten."""
        row = (
            trial.key,
            trial.model_dump_json(),
            status,
            message,
            json.dumps(results or {}),
            seconds,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with self._writing():
            self._db.execute("INSERT OR IGNORE INTO trials VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def finished(self) -> set[str]:
        """Return the keys of the trials that have a row, failed ones and those over their time limit included."""
        return {key for (key,) in self._db.execute("SELECT key FROM trials")}

    def forget_failed(self) -> int:
        """Remove the rows of trials that failed or ran into their time limit, for another try; return their number."""
        with self._writing():
            return self._db.execute("DELETE FROM trials WHERE status != 'ok'").rowcount

    def failures(self, keys: Iterable[str]) -> list[tuple[str, str]]:
        """Return key and message of those of the trials that failed or ran into their time limit."""
        wanted = set(keys)
        failed = self._db.execute("SELECT key, message FROM trials WHERE status != 'ok' ORDER BY key")
        return [(key, message) for key, message in failed if key in wanted]

    def about(self) -> dict[str, Any]:
        """Return what identifies the run and what else is kept of it."""
        entries = self._db.execute("SELECT name, value FROM run WHERE name != ?", (_database.WRITER,))
        return {name: json.loads(value) for name, value in entries}

    def note(self, about: dict[str, Any]) -> None:
        """Keep this of the run, in place of what was kept under the same names."""
        with self._writing():
            entries = [(name, json.dumps(value)) for name, value in about.items()]
            self._db.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", entries)

    def rows(self, keys: Iterable[str] | None = None) -> Iterator[Row]:
        """Yield the rows of those trials, or of all, in the order of their keys."""
        wanted = None if keys is None else set(keys)
        query = "SELECT key, specification, status, message, results, seconds FROM trials ORDER BY key"
        for key, specification, status, message, results, seconds in self._db.execute(query):
            if wanted is None or key in wanted:
                trial = Trial.model_validate_json(specification)
                yield Row(key, trial, status, message, renamed(json.loads(results)), seconds)

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield every row as it is stored, in the order of keys: its trial may be one of another version."""
        query = "SELECT key, specification, status, message, results FROM trials ORDER BY key"
        for key, specification, status, message, results in self._db.execute(query):
            yield {
                "key": key,
                "specification": json.loads(specification),
                "status": status,
                "message": message,
                "results": renamed(json.loads(results)),
            }

    def frame(self, keys: Iterable[str] | None = None) -> pd.DataFrame:
        """Return the rows as a tidy table: specification, status, results.

        Columns: ``key``, ``status``, ``message``, ``seconds``; ``data`` (name of the law), ``n``, ``dim``,
        ``class_sizes``, ``seed``; ``kernel``, ``activation``, ``depth``, ``weight_variance``, ``bias_variance``;
        for each weighting ``nc1_*``, ``within_*``, ``between_*`` (NaN where the trial failed). The adaptive kernel
        adds its parameters (``width``, ``noise_variance``, ...) and certificate (``solver``, ``residual``, ...).
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "key": row.key,
                    "data": row.trial.data.name,
                    "n": row.trial.data.n,
                    "dim": row.trial.data.dim,
                    "class_sizes": row.trial.data.class_sizes,
                    "seed": row.trial.seed,
                    **row.trial.measurement.model_dump(),
                    "status": row.status,
                    "message": row.message,
                    "seconds": row.seconds,
                    **row.results,
                }
                for row in self.rows(keys)
            ]
        )

    def _writing(self) -> AbstractContextManager[None]:
        """Write a transaction, as the only process that does."""
        self.hold()
        return _database.writing(self._db, self.path)

    def _begin_to_write(self) -> None:
        _database.migrate(self._db, self.path)
        self.note({_database.WRITER: _database.this_process()})

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _claim_folder(self) -> None:
        """Make the folder, or refuse one that holds something else."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.folder, os.W_OK)
        except OSError:
            writable = False
        if not writable:
            raise ValueError(
                f"the folder {str(self.folder)!r} cannot be written, expected one that can: choose another with --out."
            )
        _refuse_other_files(self.folder)

    def _claim_run(self, run: dict[str, Any], about: dict[str, Any]) -> None:
        """Sign an empty store, or refuse one that holds another run."""
        known = self.about()
        if not known:
            with self._writing():
                entries = [(name, json.dumps(value)) for name, value in {**about, **run}.items()]
                self._db.executemany("INSERT INTO run VALUES (?, ?)", entries)
            return
        _refuse_other_run(self.folder, known, run)


def peek(folder: str | Path, run: dict[str, Any]) -> set[str]:
    """Return the keys that this run has rows of, and refuse what `Store` would; nothing is made or written."""
    folder = Path(folder)
    if not folder.exists():
        return set()
    if not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is a file, expected a folder: choose another with --out.")
    _refuse_other_files(folder)
    if not (folder / FILE).is_file():
        return set()
    with Store(folder) as store:
        if known := store.about():
            _refuse_other_run(folder, known, run)
        return store.finished()


def _refuse_other_files(folder: Path) -> None:
    others = [p.name for p in folder.iterdir() if p.name != _database.LOCK]
    if others and FILE not in others:
        raise ValueError(
            f"the folder {str(folder)!r} holds other files ({', '.join(sorted(others)[:3])}), expected an "
            "empty one or that of the same run: choose another with --out."
        )


def _refuse_other_run(folder: Path, known: dict[str, Any], run: dict[str, Any]) -> None:
    for name, value in run.items():
        if known.get(name) != json.loads(json.dumps(value)):
            here = f"{name} {known[name]!r}, here {value!r}" if name in known else f"it has no {name}"
            raise ValueError(
                f"the folder {str(folder)!r} holds another run ({here}), expected an empty one or that of the same "
                "run: choose another with --out."
            )
