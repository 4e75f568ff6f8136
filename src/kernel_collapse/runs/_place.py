"""Whether the file of a run is where it was, and what to do if its folder is moved or deleted meanwhile."""

from __future__ import annotations

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

from kernel_collapse.runs import _snapshot
from kernel_collapse.runs._database import StoreError

__all__ = ["StoreMoved", "require"]


class StoreMoved(StoreError):
    """The folder of the run was moved or deleted while it was written to; the message says where the rows are."""


def require(db: sqlite3.Connection, path: Path, file: _snapshot.Identity) -> None:
    """Refuse to go on if the path has another file than the one that is open, or none.

    Raises
    ------
    StoreMoved
        With where the rows are: where the file was moved to, or in a copy of what was deleted.
    """
    if _snapshot.identity(path) == file:
        return
    where = _snapshot.where_is(file)
    if where is None:
        raise StoreMoved(
            f"the folder {str(path.parent)!r} was moved or deleted during the run, expected it to stay: if it "
            "was moved, every row so far is in it; give --out its new place to go on."
        )
    if where:
        raise StoreMoved(
            f"the folder {str(path.parent)!r} was moved during the run, expected it to stay: every row so far is in "
            f"{where!r}; give --out {shlex.quote(str(Path(where).parent))} to go on."
        )
    try:
        saved = _rescue(db, path)
    except (OSError, sqlite3.Error) as error:
        raise StoreMoved(
            f"{str(path)!r} was deleted during the run, expected it to stay: its rows are lost, because no copy could "
            f"be written ({error})."
        ) from None
    raise StoreMoved(
        f"{str(path)!r} was deleted during the run, expected it to stay: every row so far was saved to {str(saved)!r}; "
        f"give --out {shlex.quote(str(saved.parent))} to go on."
    )


def _rescue(db: sqlite3.Connection, path: Path) -> Path:
    """Write what the open file still has to a new folder beside the old one."""
    number = 0
    while True:
        folder = path.parent.with_name(f"{path.parent.name}-rescued{f'-{number}' if number else ''}")
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            number += 1
    with closing(sqlite3.connect(folder / path.name)) as copy:
        db.backup(copy)
    return folder / path.name
