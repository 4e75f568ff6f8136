"""Results in SQLite: one row a trial, written once and at once, never lost.

The file is ``results.sqlite`` in the folder of the run. One process writes at a time, in WAL mode and with one commit
per row. A run that is killed therefore keeps every trial that it had finished. Any number of processes may read
meanwhile. A reader has the rows of one moment in memory and touches neither the file nor its folder.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import ValidationError

from kernel_collapse._input_error import InputError
from kernel_collapse.collapse import WEIGHTINGS
from kernel_collapse.runs import _database, _place, _salvage, _snapshot
from kernel_collapse.runs._database import DamagedRows, StoreError
from kernel_collapse.runs._place import StoreMoved
from kernel_collapse.runs._storable import readable, storable
from kernel_collapse.runs.measurements import Results
from kernel_collapse.runs.trials import Trial, describe_errors

__all__ = ["FILE", "DamagedRows", "Row", "Store", "StoreError", "StoreMoved", "peek"]

FILE = "results.sqlite"
_STATUSES = ("ok", "failed", "timeout")
#: Of what is kept of a run.
_KINDS: dict[str, type] = {
    "environment": dict,
    "experiments": list,
    "preset": str,
    "specification": dict,
    "toml": str,
}
#: Results that are numbers.
_NUMBERS = tuple(f"{what}_{weighting}" for what in ("within", "between", "nc1") for weighting in WEIGHTINGS)


class Row(NamedTuple):
    """What is stored of a trial; `trial` is None where this version does not understand it, for the reason `fault`."""

    key: str
    trial: Trial | None
    status: str
    message: str
    results: Results
    seconds: float
    specification: dict[str, Any]
    fault: str = ""


class Store:
    """The results of one run.

    Parameters
    ----------
    folder : path
        The folder of the run.
    run : dict, optional
        What identifies the run (its experiments and preset, say). The folder is made if it is not there. Without
        `run` the folder must hold a run, of any identity; it is read as it is now, and not touched.
    about : dict, optional
        What else is kept of the run when it is new: the machine that it ran on, say.

    Attributes
    ----------
    damaged : dict of str to str
        What was found damaged as rows were read, and is left out; a `DamagedRows` warning names it when the store is
        closed.

    Raises
    ------
    ValueError
        If the folder holds another run or other files, another program's database or a later version's, cannot be
        written, is written by another process, or (without `run`) holds no run.
    StoreError
        If the disk is full or fails, now or at any later writing.
    StoreMoved
        If the folder was moved or deleted since, at a later writing.
    """

    def __init__(
        self, folder: str | Path, run: dict[str, Any] | None = None, about: dict[str, Any] | None = None
    ) -> None:
        self.folder = Path(folder)
        self.path = self.folder / FILE
        self.damaged: dict[str, str] = {}
        self._open = ExitStack()
        self._writes = False
        if run is not None:
            self._claim_folder()
        elif not self.path.is_file():
            raise InputError(
                f"{str(self.folder)!r}", f"no {FILE}", "the folder of a run", "check the path", verb="holds"
            )
        self._db = sqlite3.connect(":memory:")
        try:
            if self.path.exists():
                self._db.close()
                self._db, damage = _database.read(self.path)
                if damage:
                    self.damaged["the newest rows"] = damage
            if run is not None:
                self.require(run)  # before a lock is made in a folder that is not ours
                self._begin_to_write()
                if not self.require(run):  # asked again, for another process may have been faster
                    self._note({**(about or {}), **run})
                self._sign()
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, so that another process may write; name what was found damaged."""
        self._release()
        damaged, self.damaged = self.damaged, {}
        if damaged:
            _salvage.warn(self.path, damaged)

    def hold(self) -> None:
        """Be the one that writes until this store is closed; a store that was given a `run` is from the beginning.

        Raises
        ------
        ValueError
            If another process writes.
        """
        if not self._writes:
            self._begin_to_write()
            self._sign()

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
            readable(message),
            json.dumps(storable(results or {})),
            float(seconds),
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with self._writing():
            _database.put(self._db, "trials", row)

    def finished(self) -> set[str]:
        """Return the keys of the trials that have a row, failed ones and those over their time limit included."""
        if self._writes:
            return {key for (key,) in self._db.execute("SELECT key FROM trials")}
        return {entry[0] for entry in self._entries("trials")}

    def forget_failed(self) -> int:
        """Remove the rows of trials that failed, ran into their time limit or are damaged; return their number.

        A row of another version, whose trial is not understood, is kept if it is ok.
        """
        kept = {row.key for row in self.records() if row.status == "ok"}
        with self._writing():
            gone = [(key,) for key in self.finished() - kept]
            self._db.executemany("DELETE FROM trials WHERE key = ?", gone)
            lost = self._db.execute("SELECT key FROM checks WHERE part = 'trials'").fetchall()
            self._db.executemany(
                "DELETE FROM checks WHERE part = 'trials' AND key = ?", [k for k in lost if k[0] not in kept]
            )
        self.damaged.clear()
        return len(gone)

    def failures(self, keys: Iterable[str]) -> list[tuple[str, str]]:
        """Return key and message of those of the trials that failed or ran into their time limit."""
        wanted = set(keys)
        failed = self._db.execute("SELECT key, message FROM trials WHERE status != 'ok' ORDER BY key")
        return [(key, message) for key, message in failed if key in wanted]

    def unresolved(self, keys: Iterable[str]) -> int:
        """Return how many of the trials finished with a number that is missing or rough, for the reason they hold."""
        wanted = set(keys)
        # Results hold NaN, which is no JSON to SQLite.
        said = self._db.execute(
            """SELECT key FROM trials WHERE status = 'ok' AND results LIKE '%"reason":%'"""
        )
        return sum(key in wanted for (key,) in said)

    def about(self) -> dict[str, Any]:
        """Return what identifies the run and what else is kept of it."""
        return self._about(self.damaged)

    def require(self, run: dict[str, Any]) -> bool:
        """Return whether the store is signed by this run; refuse another run, and a damaged file. Nothing is changed.

        Raises
        ------
        ValueError
            If it holds another run, or is so damaged that nothing should be written to it.
        """
        faults: dict[str, str] = {}
        known = self._about(faults)
        fault = _salvage.unsound(self._db) or _salvage.describe(faults)
        if fault:
            raise InputError(
                f"{str(self.path)!r}",
                f"damaged ({fault})",
                "a file that can be written to",
                "nothing was changed, restore a copy or run into another folder with --out",
            )
        if known:
            _refuse_other_run(self.folder, known, run)
        return bool(known)

    def note(self, about: dict[str, Any]) -> None:
        """Keep this of the run, in place of what was kept under the same names."""
        self.hold()
        self._note(about)

    def rows(self) -> Iterator[Row]:
        """Yield the rows in the order of their keys; damaged ones are left out, as are those not understood."""
        for row in self.records():
            if row.trial is None:
                self.damaged[f"row {row.key}"] = f"left out, {row.fault}"
            else:
                yield row

    def records(self) -> Iterator[Row]:
        """Yield the rows in the order of their keys, those too whose trial is one of another version."""
        for key, text, status, message, results, seconds, _ in self._entries("trials"):
            trial, fault = None, ""
            try:
                trial = Trial.model_validate_json(text)
            except ValidationError as error:
                fault = describe_errors(error).rstrip(".")
            try:
                specification, found = _mapping(text), _results(results)
                row = Row(key, trial, _status(status), message, found, seconds, specification, fault)
            except (ValueError, RecursionError) as error:
                self.damaged[f"row {key}"] = f"left out, {fault or error}"
                continue
            yield row

    def _about(self, faults: dict[str, str]) -> dict[str, Any]:
        found = {}
        for name, value in _salvage.entries(self._db, "run", faults):
            if name != _database.WRITER:
                try:
                    entry = json.loads(value)
                    if not isinstance(entry, _KINDS.get(name, object)):
                        raise ValueError(f"it holds a {type(entry).__name__}")
                    found[name] = entry
                except (ValueError, RecursionError) as error:
                    faults[f"entry {name!r} of the run"] = f"left out, {error}"
        return found

    def _entries(self, part: str) -> list[tuple[Any, ...]]:
        return _salvage.entries(self._db, part, self.damaged)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Write a transaction, as the only process that does, to a file that is where it was."""
        self.hold()
        with _database.writing(self._db, self.path):
            yield
        _place.require(self._db, self.path, self._file)

    def _note(self, about: dict[str, Any]) -> None:
        with self._writing():
            for name, value in about.items():
                _database.put(self._db, "run", (name, json.dumps(value)))

    def _sign(self) -> None:
        """Note that this process writes."""
        self._note({_database.WRITER: _database.this_process()})

    def _begin_to_write(self) -> None:
        lock = _database.lock(self.folder, self.path)
        self._open.callback(lock.close)
        self._db.close()
        self._db = _database.connect(self.path)
        self._file = self._open.enter_context(_snapshot.registered(self.path))
        self._open.callback(self._db.close)
        self._writes = True

    def _release(self) -> None:
        self._writes = False
        self._db.close()
        self._open.close()

    def _claim_folder(self) -> None:
        """Make the folder, or refuse one that holds something else."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            as_who = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
            writable = os.access(self.folder, os.W_OK, **as_who)
        except OSError:
            writable = False
        if not writable:
            raise InputError(
                f"the folder {str(self.folder)!r}",
                "be written",
                "one that can",
                "choose another with --out",
                verb="cannot",
            )
        _refuse_other_files(self.folder)


def peek(folder: str | Path, run: dict[str, Any]) -> set[str]:
    """Return the keys that this run has rows of, and refuse what `Store` would; nothing is made or written."""
    folder = Path(folder)
    if not folder.exists():
        return set()
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r}", "a file", "a folder", "choose another with --out")
    _refuse_other_files(folder)
    if not (folder / FILE).is_file():
        return set()
    with Store(folder) as store:
        store.require(run)
        return store.finished()


def _refuse_other_files(folder: Path) -> None:
    names = [p.name for p in folder.iterdir()]
    others = [name for name in names if name != _database.LOCK and not name.startswith(FILE)]
    if others and FILE not in names:
        raise InputError(
            f"the folder {str(folder)!r}",
            f"other files ({', '.join(sorted(others)[:3])})",
            "an empty one or that of the same run",
            "choose another with --out",
            verb="holds",
        )


def _refuse_other_run(folder: Path, known: dict[str, Any], run: dict[str, Any]) -> None:
    for name, value in run.items():
        if known.get(name) != json.loads(json.dumps(value)):
            here = f"{name} {known[name]!r}, here {value!r}" if name in known else f"it has no {name}"
            raise InputError(
                f"the folder {str(folder)!r}",
                f"another run ({here})",
                "an empty one or that of the same run",
                "choose another with --out",
                verb="holds",
            )


def _mapping(text: str) -> dict[str, Any]:
    """Return what a row holds under names."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__} where names and values belong")
    return found


def _results(text: str) -> Results:
    found = _mapping(text)
    for name in _NUMBERS:
        value = found.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"its {name} is {value!r}, expected a number")
    return found


def _status(text: str) -> str:
    if text not in _STATUSES:
        raise ValueError(f"its status is {text!r}")
    return text
