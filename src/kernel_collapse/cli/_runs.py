"""How trials are run from the command line: a bar, Ctrl-C, and what is said at the end."""

from __future__ import annotations

import os
from concurrent.futures import BrokenExecutor, Executor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kernel_collapse.store import Store
    from kernel_collapse.sweep import Counts
    from kernel_collapse.trials import Trial

__all__ = ["Dask", "DaskLocal", "duration", "machines", "run_to_the_end", "say_how_it_went"]

Dask = Annotated[
    str | None,
    typer.Option(
        help="Run on the workers of this dask scheduler.", metavar="tcp://HOST:PORT", show_default=False
    ),
]
DaskLocal = Annotated[
    int | None,
    typer.Option(help="Run on dask, with this many processes here.", metavar="N", show_default=False),
]


def machines(
    workers: int | None, dask: str | None, dask_local: int | None
) -> tuple[int, AbstractContextManager[Executor | None]]:
    """Return the number of processes here, and what to enter for an executor; None stands for a pool of ours."""
    from kernel_collapse import _validate, cluster

    given = {"--workers": workers, "--dask": dask, "--dask-local": dask_local}
    named = [f"{name} {value}" for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ValueError(f"{' and '.join(named)} are given, expected one of them: drop the others.")
    if dask is not None:
        return os.cpu_count() or 1, cluster.connect(cluster.address(dask))
    if dask_local is not None:
        return _validate.count(dask_local, "--dask-local"), cluster.connect(local=dask_local)
    return _validate.count(os.cpu_count() or 1 if workers is None else workers, "--workers"), nullcontext()


def duration(seconds: float) -> str:
    """Return a time as it is printed."""
    if seconds < 1:
        return "under 1 s"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def run_to_the_end(
    trials: list[Trial], store: Store, processes: int, executor: Executor | None = None
) -> tuple[Counts, list[tuple[str, str]]]:
    """Run what is missing; return the counts, and key and message of what has failed, now or before."""
    counts = _run_with_progress(trials, store, processes, executor, store.folder)
    return counts, store.failures(trial.key for trial in trials)


def say_how_it_went(counts: Counts, failed: list[tuple[str, str]], folder: Path, page: Path | None) -> None:
    """Print the counts, the page and the first failures, which make the exit code 1."""
    typer.echo(f"{counts.done + counts.failed} trials run, {counts.reused} found in {folder}.")
    for key, message in failed[:10]:
        typer.echo(f"failed: trial {key}: {message}", err=True)
    if page is not None:
        typer.echo(f"Report: {page}")
    if failed:
        typer.echo(f"{len(failed)} trials failed; --retry-failed runs them again.", err=True)
        raise typer.Exit(1)


def _run_with_progress(
    trials: list[Trial], store: Store, processes: int, executor: Executor | None, folder: Path
) -> Counts:
    """Run what is missing; Ctrl-C keeps what is finished and says how to go on."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from kernel_collapse import sweep

    todo = sweep.missing(trials, store)
    columns = (
        TextColumn("{task.fields[done]} of {task.fields[total_trials]} trials"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    done = len(trials) - len(todo)
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=sum(t.cost for t in todo), done=done, total_trials=len(trials))

        def advance(trial: Trial, outcome: object) -> None:
            nonlocal done
            done += 1
            progress.update(task, advance=trial.cost, done=done)

        try:
            return sweep.run(trials, store, workers=processes, executor=executor, report=advance)
        except BrokenExecutor as error:
            progress.stop()
            typer.echo(f"Stopped: {done} of {len(trials)} trials are kept in {folder}; {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            progress.stop()
            typer.echo(
                f"Stopped: {done} of {len(trials)} trials are kept in {folder}; the same command goes on from there.",
                err=True,
            )
            raise typer.Exit(130) from None
