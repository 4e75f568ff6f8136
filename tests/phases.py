"""A program that runs a sweep, reports and exports it, and is killed where it is told to be."""

import os
import signal
import sys
from pathlib import Path

import jinja2  # noqa: F401 (what every run would import once more)
import plotly.graph_objects
import plotly.offline  # noqa: F401

import kernel_collapse as kc
from kernel_collapse import report
from kernel_collapse.report import page
from kernel_collapse.runs import _database, store, sweep, sweep_file, tidy

#: Where a run can be killed: whose function, and whether before it or after it.
PLACES = {
    "folder": (store.Store, "_claim_folder", "before"),
    "lock": (_database, "lock", "before"),
    "file": (_database, "connect", "before"),
    "tables": (_database, "_make_tables", "after"),  # in the transaction
    "made": (_database, "connect", "after"),
    "about": (_database, "put", "after"),
    "row": (_database, "put", "after"),
    "begun": (sweep, "missing", "after"),
    "stored": (store.Store, "add", "after"),
    "drawing": (page, "lay_out", "before"),
    "saving": (page, "save", "before"),
    "picture": (Path, "replace", "before"),
    "page": (page, "_packed", "after"),
    "table": (tidy, "_plain", "after"),
    "exported": (Path, "replace", "before"),
}


def die_at(place, times):
    """Kill this process and those that it has started when it is there for the so many-th time."""
    owner, name, when = PLACES[place]
    original, left = getattr(owner, name), [times]

    def reached(*args, **kwargs):
        if when == "before":
            count()
        result = original(*args, **kwargs)
        if when == "after":
            count()
        return result

    def count():
        left[0] -= 1
        if left[0] == 0:
            os.killpg(0, signal.SIGKILL)

    setattr(owner, name, reached)


def work(file, folder, workers):
    read, text = sweep_file.read(file)
    identity = {"sweep": read.name, "version": kc.__version__}
    with store.Store(folder, identity, {"environment": {"Python": "3"}}) as kept:
        kept.note({"toml": text, "specification": read.model_dump(mode="json")})
        sweep.run(read.trials(), kept, workers=workers)
    report.build(folder)
    tidy.export(kc.results(folder), folder / "rows.csv")


def work_when_told():
    """Read file, folder, workers, place and times from stdin, a line a run; print the exit code of each."""
    for line in sys.stdin:
        file, folder, workers, place, times = line.split()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            if place != "-":
                die_at(place, int(times))
            work(Path(file), Path(folder), int(workers))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    work_when_told()
