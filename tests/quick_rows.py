"""The rows of a quick run of everything, kept as data: tests of verdicts, figures and pages read them.

`make quick-rows` keeps those of a finished runs/quick in place of them, after a change of grids or of numbers; `python
tests/quick_rows.py FOLDER` those of a run of a new experiment beside the others, on a machine of the same kind. Every
run of the tests computes some of them again (tests/test_quick_rows.py), and `make test-all` all of them.
"""

import json
import lzma
import sys
from functools import cache
from pathlib import Path

from kernel_collapse import __version__
from kernel_collapse.runs.store import Store
from kernel_collapse_paper.experiments import REGISTRY

#: What the last bits of a result depend on, besides the code.
MACHINE = ("Python", "numpy", "scipy", "jaxlib", "BLAS", "Processor", "Vector instructions")
FILE = Path(__file__).parent / "data" / "quick_rows.jsonl.xz"


@cache
def grid():
    """The trials of a quick run of everything, by key."""
    return {trial.key: trial for experiment in REGISTRY.values() for trial in experiment.trials("quick")}


@cache
def kept():
    """Return the machine that the rows were made on, and of each trial its results and seconds."""
    with lzma.open(FILE, "rt", encoding="utf-8") as lines:
        environment = json.loads(next(lines))
        return environment, {key: (results, seconds) for key, results, seconds in map(json.loads, lines)}


def restore(folder):
    """Make a folder of the run that the rows are of, as `kernel-collapse reproduce all` leaves it."""
    environment, rows = kept()
    trials = grid()
    assert rows.keys() == trials.keys(), (
        "the quick grid has changed: `make reproduce`, then `make quick-rows`"
    )
    run = {"experiments": list(REGISTRY), "preset": "quick", "version": __version__}
    with Store(folder, run, {"environment": environment}) as store:
        store._db.execute("PRAGMA synchronous=OFF")  # it need not outlive a power cut, row by row
        for key, (results, seconds) in rows.items():
            store.add(trials[key], status="ok", results=results, seconds=seconds)


def keep(folder):
    """Keep the rows of a finished run: of everything, or of new experiments beside the rows that are kept."""
    with Store(folder) as store:
        environment, rows = store.about()["environment"], list(store.rows())
    assert {row.status for row in rows} == {"ok"}
    found = {row.key: (row.results, float(f"{row.seconds:.3g}")) for row in rows}
    if found.keys() != grid().keys():
        of, known = kept()
        assert [of[name] for name in MACHINE] == [environment[name] for name in MACHINE], "another machine"
        found = {key: known.get(key, found.get(key)) for key in grid()}
        missing = [key for key, entry in found.items() if entry is None]
        assert not missing, f"neither run nor kept: {len(missing)} trials of the quick grid"
    entries = [environment, *((key, *entry) for key, entry in found.items())]
    text = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries)
    FILE.write_bytes(lzma.compress(text.encode(), preset=9))


if __name__ == "__main__":
    keep(sys.argv[1])
