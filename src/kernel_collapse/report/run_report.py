"""The report of a run, from its stored rows."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kernel_collapse._input_error import InputError
from kernel_collapse._linalg import one_blas_thread
from kernel_collapse._text import duration, for_file, named
from kernel_collapse.report import overview
from kernel_collapse.report.page import write_page
from kernel_collapse.report.parts import Section
from kernel_collapse.runs.run import ExperimentRows, Run
from kernel_collapse.runs.sweep_file import describe

if TYPE_CHECKING:
    import pandas as pd

    from kernel_collapse.runs.experiments import Preset

__all__ = ["Built", "build"]

FILE = "report.html"
LEAD = (
    "Neural Collapse, measured from the Gram matrices of kernels. NC1 is the spread of features within classes over "
    "the spread between classes: lower is more collapsed, and a decade is a factor of ten. The NNGP is the kernel of "
    "a wide network at initialisation, and the NTK that of a wide network in lazy training."
)


class Built(NamedTuple):
    """The page that was written, and what is on it: of which experiments and preset, and how far they went."""

    path: Path
    sections: list[Section]
    experiments: list[str]
    facts: dict[str, str]


@one_blas_thread()  # on a busy machine the threads of a small solve wait for one another
def build(folder: str | Path, page: str | Path | None = None) -> Built:
    """Write the report of a run from its stored rows, and its figures as PDF, SVG and PNG.

    Parameters
    ----------
    folder : path
        Folder of a run, as `kernel-collapse reproduce` or `run` made it; a run that is not complete is reported
        as far as it went.
    page : path, optional
        Write the page alone there, one file that can be sent on; by default it is report.html in the folder, and
        the figures lie beside it.

    Raises
    ------
    ValueError
        If the folder holds no run, or a run without a finished trial.
    """
    run = Run(folder)
    if "experiments" not in run.about:
        return _build_sweep(run, page)
    found, about = run.experiments(), run.about
    if found.unknown and not found.by_name:
        raise InputError(
            f"the run in {str(folder)!r}",
            f"of experiments that this version does not know ({', '.join(found.unknown)})",
            "some of `kernel-collapse reproduce --list`",
            "report it with the version that made it "
            f"({about.get('environment', {}).get('kernel-collapse', 'not recorded')})",
        )
    _refuse_unfinished(found.rows, folder)
    sections = [_section(part, about["preset"]) for part in found.by_name.values()]
    facts = {"Preset": about["preset"], **_counts(found.rows, found.planned)}
    path = write_page(
        Path(page or Path(folder) / FILE),
        title="How collapsed are kernels?",
        lead=LEAD,
        facts=facts,
        sections=sections,
        failures=_failures(found.rows),
        unresolved=_unresolved(found.rows),
        about=about.get("environment", {}),
        pictures=page is None,
        notes=[
            f"This version does not know the experiment {name!r}: it is left out." for name in found.unknown
        ],
    )
    return Built(path, sections, list(found.by_name), facts)


def _section(part: ExperimentRows, preset: Preset) -> Section:
    """Draw, tabulate and judge an experiment."""
    experiment, trials, rows = part
    if not part.far_enough:
        return Section(experiment.name, experiment.title, "Too few trials of it have finished yet.")
    found = experiment.findings(rows)
    return Section(
        experiment.name,
        experiment.title,
        experiment.question,
        found.figures,
        found.tables,
        found.verdicts,
        describe(trials),
        _remake(experiment.name, preset),
        finding=found.finding,
    )


def _build_sweep(run: Run, page: str | Path | None) -> Built:
    """Write the report of a sweep of the user's: means over seeds and a figure, without a verdict."""
    name, title, command = run.folder.resolve().name, None, ""
    sweep = run.sweep()
    if sweep is None:  # a program of the user's ran the trials: the rows are all that there is
        trials = [row.trial for row in run.rows if row.trial is not None]
    else:
        name, title, trials = sweep.name, sweep.title, sweep.trials()
        command = shlex.join(["kernel-collapse", "run", f"{name}.toml", "--out", f"runs/{for_file(name)}"])
    rows = run.frame()
    _refuse_unfinished(rows, run.folder)
    done = rows[rows["status"] == "ok"]
    section = Section(
        "sweep",
        "NC1 of every cell",
        "NC1 = tr S_W / tr S_B: the spread within classes over the spread between them; lower is more collapsed.",
        [overview.figure(done)] if done[overview.VALUE].notna().any() else [],
        [overview.table(done)],
        specification=describe(trials),
        command=command,
        toml=run.about.get("toml", ""),
    )
    facts = {
        "Sweep": f"{name}.toml" if command else f"{name}, run from Python",
        "Seeds": str(len({trial.seed for trial in trials})),
        **_counts(rows, len(trials)),
    }
    path = write_page(
        Path(page or run.folder / FILE),
        title=title or named(name),
        lead="A sweep of kernel-collapse: Neural Collapse (NC1) of every data set under every measurement.",
        facts=facts,
        sections=[section],
        failures=_failures(rows),
        unresolved=_unresolved(rows),
        about=run.about.get("environment", {}),
        pictures=page is None,
    )
    return Built(path, [section], [], facts)


def _remake(name: str, preset: str) -> str:
    """Return the command that makes the figures of an experiment again."""
    return f"kernel-collapse reproduce {name} --preset {preset} --out runs/{name}-{preset}"


def _refuse_unfinished(rows: pd.DataFrame, folder: str | Path) -> None:
    if rows.empty or not (rows["status"] == "ok").any():
        raise InputError(
            f"the run in {str(folder)!r}", "no finished trial", "some", "resume it first", verb="has"
        )


def _failures(rows: pd.DataFrame) -> pd.DataFrame:
    columns = ["key", "data", "n", "dim", "seed", "kernel", "activation", "message"]
    return rows.loc[rows["status"] != "ok", columns]


def _unresolved(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the finished trials of which a number is missing or rough, with the reason."""
    if "reason" not in rows:
        return rows.iloc[:0]
    columns = ["key", "data", "n", "dim", "seed", "kernel", "activation", "reason"]
    said = (rows["status"] == "ok") & rows["reason"].notna() & (rows["reason"] != "")
    return rows.loc[said, columns]


def _counts(rows: pd.DataFrame, planned: int) -> dict[str, str]:
    failed, late = (int((rows["status"] == status).sum()) for status in ("failed", "timeout"))
    unresolved = len(_unresolved(rows))
    over = f", {late} over their time limit" if late else ""
    to_go = f", {planned - len(rows)} to go" if planned > len(rows) else ""
    return {
        "Trials": f"{len(rows) - failed - late} finished, {failed} failed{over}{to_go}",
        **({"Numbers that are missing or rough": f"in {unresolved} trials"} if unresolved else {}),
        "Computing time": f"{duration(rows['seconds'].sum())} on one core",
    }
