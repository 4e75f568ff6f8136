"""`kernel-collapse reproduce`, and the pages that `kernel-collapse report` writes of it: errata and open questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kernel_collapse._streams import require_printed
from kernel_collapse._text import for_rich
from kernel_collapse.cli.additions import Additions, Page
from kernel_collapse.cli.tables import print_whole
from kernel_collapse.cli.trials import (
    GRACE,
    Dask,
    DaskLocal,
    Grace,
    RetryFailed,
    TrialTimeout,
    Workers,
    about_on,
    limits,
    machines,
    require_networks,
    run_to_the_end,
    say_how_it_went,
    write_report,
)

if TYPE_CHECKING:  # what is heavy is imported by the command that needs it: --help stays fast
    from kernel_collapse.report import Built, Section
    from kernel_collapse.runs.trials import Trial
    from kernel_collapse_paper.experiments import Experiment, Preset

__all__ = ["ADDITIONS"]


def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(help="Experiments (default: all).", metavar="NAME ...")
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the experiments with their cost, and run nothing.")
    ] = False,
    preset: Annotated[
        str,
        typer.Option(help="'quick': fewer sizes and repeats; 'paper': the published grid.", metavar="NAME"),
    ] = "quick",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run (default: runs/PRESET).", show_default=False, metavar="DIR"),
    ] = None,
    workers: Workers = None,
    dask: Dask = None,
    dask_local: DaskLocal = None,
    retry_failed: RetryFailed = False,
    trial_timeout: TrialTimeout = None,
    grace: Grace = GRACE,
) -> None:
    """Run the experiments of the paper and our studies, and write a report.

    The same command continues a run that was interrupted; nothing finished is computed twice.

    Example: [bold]kernel-collapse reproduce all --preset paper --out runs/paper --workers 2[/bold]
    """
    from kernel_collapse import __version__, _validate, report
    from kernel_collapse.runs.store import Store
    from kernel_collapse_paper import experiments

    chosen = experiments.choose(names or [])
    _validate.choice(preset, experiments.PRESETS, "--preset")
    limited = limits(trial_timeout, grace)
    processes, chosen_machines = machines(workers, dask, dask_local, limited)
    if list_:
        _print_list(chosen, processes)
        require_printed()
        return
    trials = _trials(chosen, preset)  # type: ignore[arg-type]
    require_networks(trials, dask)
    run = {"experiments": [e.name for e in chosen], "preset": preset, "version": __version__}
    folder = Path("runs") / preset if out is None else out
    with chosen_machines as executor, Store(folder, run, {"environment": report.environment()}) as store:
        if retry_failed:
            store.forget_failed()
        counts, failed = run_to_the_end(trials, store, processes, limited, executor)
    page = None if len(failed) == len(trials) else write_report(folder)
    _print_verdicts(page.sections if page else [])
    say_how_it_went(counts, failed, folder, page and page.path)


def _trials(chosen: list[Experiment], preset: Preset) -> list[Trial]:
    """Return the trials of the experiments, each once."""
    return list({trial.key: trial for experiment in chosen for trial in experiment.trials(preset)}.values())


def _print_list(chosen: list[Experiment], processes: int) -> None:
    from rich.console import Console

    from kernel_collapse.runs.trials import costs
    from kernel_collapse_paper.experiments import PRESETS

    console = Console(highlight=False)
    for experiment in chosen:
        console.print(f"[bold]{experiment.name}[/bold]\n  {experiment.question}")
        for preset in PRESETS:
            seconds = costs(experiment.trials(preset), processes).values()
            console.print(
                f"  {preset}: {len(seconds)} trials, {about_on(sum(seconds) / processes, processes)}"
            )


def _print_verdicts(sections: list[Section]) -> None:
    from rich.console import Console
    from rich.table import Table

    colours = {"holds": "green", "holds in part": "yellow", "does not hold": "red"}
    console = Console(highlight=False)
    for section in sections:
        console.print(for_rich(section.title, "bold"))
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column()
        for verdict in section.verdicts:
            colour = colours.get(verdict.status, "white")
            table.add_row(for_rich(verdict.short, colour), for_rich(verdict.claim))
        print_whole(console, table)


def _write_errata(page: Path, folder: Path, _: Built) -> Path:
    from kernel_collapse_paper import errata

    return errata.write(page, folder)


def _write_open_questions(page: Path, _: Path, built: Built) -> Path:
    from kernel_collapse_paper import open_questions

    return open_questions.write(page, built)


#: What the paper adds to the command line.
ADDITIONS = Additions(
    commands=(reproduce,),
    pages=(
        Page(
            "open_questions",
            "Open questions",
            "Write what the run says of the paper's open questions.",
            _write_open_questions,
        ),
        Page("errata", "Errata", "Write the published code's numbers beside the right ones.", _write_errata),
    ),
)
