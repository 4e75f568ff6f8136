"""How trials are run from the command line: what ends them early, and what is said then and at the end."""

from __future__ import annotations

import errno
import os
import shlex
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from kernel_collapse import _extras
from kernel_collapse._input_error import InputError
from kernel_collapse.cli._app import say
from kernel_collapse.cli._progress import Shown, about_on
from kernel_collapse.runs._pool import GRACE

if TYPE_CHECKING:
    from kernel_collapse.cluster import Cluster
    from kernel_collapse.report import Built
    from kernel_collapse.runs.store import Store
    from kernel_collapse.runs.sweep import Counts
    from kernel_collapse.runs.trials import Trial

__all__ = [
    "GRACE",
    "Dask",
    "DaskLocal",
    "Grace",
    "Limits",
    "RetryFailed",
    "TrialTimeout",
    "Workers",
    "about_on",
    "limits",
    "machines",
    "require_networks",
    "run_to_the_end",
    "say_how_it_went",
    "write_report",
]

#: Seconds within which a second SIGTERM is the first one again: `timeout` sends it to a process and to its group.
SAME_SIGNAL = 1.0

Workers = Annotated[
    int | None, typer.Option(help="Processes (default: one a core).", show_default=False, metavar="N")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Run trials that failed once more.")]
TrialTimeout = Annotated[
    float | None,
    typer.Option(
        help="Seconds that a trial may take; after that it is ended.", metavar="SECONDS", show_default=False
    ),
]
Grace = Annotated[
    float, typer.Option(help="Seconds that running trials get after SIGTERM.", metavar="SECONDS")
]
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


class Limits(NamedTuple):
    """Seconds: of a trial, and of those that run when the run is told to stop."""

    trial_timeout: float | None
    grace: float


def limits(trial_timeout: float | None, grace: float) -> Limits:
    """Return the limits, checked."""
    from kernel_collapse import _validate

    if trial_timeout is not None:
        trial_timeout = _validate.positive(trial_timeout, "--trial-timeout")
    return Limits(trial_timeout, _validate.positive(grace, "--grace", zero_allowed=True))


def machines(
    workers: int | None, dask: str | None, dask_local: int | None, limited: Limits
) -> tuple[int, AbstractContextManager[Cluster | None]]:
    """Return the number of processes here, and what to enter for an executor; None stands for a pool of ours."""
    from kernel_collapse import _validate, cluster

    given = {"--workers": workers, "--dask": dask, "--dask-local": dask_local}
    named = [f"{name} {value}" for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)}", "given", "one of them", "drop the others", verb="are")
    if workers is None and named and limited.trial_timeout is not None:
        raise InputError(
            f"--trial-timeout and {named[0]}",
            "given",
            "one of them",
            "a trial on a cluster cannot be ended from here",
            verb="are",
        )
    if dask is not None:
        return os.cpu_count() or 1, cluster.connect(cluster.address(dask))
    if dask_local is not None:
        return _validate.count(dask_local, "--dask-local"), cluster.connect(local=dask_local)
    return _validate.count(os.cpu_count() or 1 if workers is None else workers, "--workers"), nullcontext()


def require_networks(trials: list[Trial], dask: str | None) -> None:
    """Refuse trials that train or sample networks where they cannot be; other machines answer for themselves."""
    if dask is None and any(trial.programs for trial in trials):
        _extras.require("networks", "trials of networks")


def run_to_the_end(
    trials: list[Trial], store: Store, processes: int, limits: Limits, cluster: Cluster | None = None
) -> tuple[Counts, list[tuple[str, str]]]:
    """Run what is missing; return the counts, and key and message of what has failed, now or before."""
    counts = _run_with_progress(trials, store, cluster.threads() if cluster else processes, limits, cluster)
    if unresolved := store.unresolved(trial.key for trial in trials):
        say(
            f"A number is missing or rough in {unresolved} trials; the column `reason` of their rows says why."
        )
    return counts, store.failures(trial.key for trial in trials)


def say_how_it_went(counts: Counts, failed: list[tuple[str, str]], folder: Path, page: Path | None) -> None:
    """Print the counts, the page and the first failures, which make the exit code 1."""
    say(f"{counts.done + counts.failed} trials run, {counts.reused} found in {folder}.")
    for key, message in failed[:10]:
        say(f"failed: trial {key}: {message}", err=True)
    if page is not None:
        say(f"Report: {page}")
    if failed:
        say(f"{len(failed)} trials failed; --retry-failed runs them again.", err=True)
        raise typer.Exit(1)


def write_report(folder: Path, page: Path | None = None) -> Built:
    """Write the report, or its page alone; if that is cut short, say that the trials are kept."""
    from kernel_collapse import report
    from kernel_collapse.runs._snapshot import identity
    from kernel_collapse.runs.store import FILE

    def give_up(why: str, code: int) -> typer.Exit:
        elsewhere = ["--out", "PAGE.html"] if "another" in why else []
        later = f"`{shlex.join(['kernel-collapse', 'report', str(folder), *elsewhere])}` writes it"
        say(f"The trials are kept in {folder}, but not the report ({why}): {later}.", err=True)
        return typer.Exit(code)

    before = identity(folder / FILE)
    try:
        with _signals(_terminate):
            built = report.build(folder, page)
    except OSError as error:
        if identity(folder / FILE) == before:
            why = f"{error.strerror or error}".rstrip(".")
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            raise give_up(f"{why}, {'free some space' if full else 'choose another folder'}", 1) from None
    except _Terminated:
        raise give_up("stopped by SIGTERM", 143) from None
    except KeyboardInterrupt:
        raise give_up("stopped", 130) from None
    if identity(folder / FILE) != before:
        gone = f"{folder} was moved or deleted while its report was written, expected it to stay"
        say(f"{gone}: its rows are in it, wherever it is now.", err=True)
        raise typer.Exit(1)
    return built


def _run_with_progress(
    trials: list[Trial], store: Store, processes: int, limits: Limits, cluster: Cluster | None
) -> Counts:
    """Run what is missing; whatever ends that early, what is finished is kept, and how to go on is said."""
    from kernel_collapse.runs import sweep
    from kernel_collapse.runs.store import StoreError, StoreMoved

    folder, todo = store.folder, sweep.missing(trials, store)
    shown = Shown(todo, len(trials) - len(todo), len(trials), processes)
    if todo:
        time = f"{about_on(shown.forecast.left(), processes)}"
        say(f"{len(trials)} trials: {shown.done} found in {folder}, {len(todo)} to run, {time}.", err=True)
    stop = sweep.Stop(limits.grace)

    def on_signal() -> None:
        if stop.requested and stop.grace - stop.left > SAME_SIGNAL:
            raise KeyboardInterrupt
        stop.request()

    def stopped(why: str, code: int) -> typer.Exit:
        say(f"Stopped: {shown.done} of {len(trials)} trials are kept in {folder}; {why}", err=True)
        return typer.Exit(code)

    goes_on = "the same command goes on from there."
    try:
        with shown, _signals(on_signal):
            counts = sweep.run(
                trials,
                store,
                workers=processes,
                executor=cluster,
                report=shown.advance,
                trial_timeout=limits.trial_timeout,
                stop=stop,
            )
    except BrokenExecutor as error:
        raise stopped(str(error), 1) from None
    except StoreMoved as error:
        say(f"Stopped: {error}", err=True)
        raise typer.Exit(1) from None
    except StoreError as error:
        raise stopped(f"{str(error).rstrip('.')}, then {goes_on}", 1) from None
    except KeyboardInterrupt:
        raise stopped(goes_on, 143 if stop.requested else 130) from None
    if stop.requested:
        raise stopped(goes_on, 143)
    return counts


class _Terminated(KeyboardInterrupt):
    """SIGTERM, where there is nothing to wait for."""


def _terminate() -> None:
    raise _Terminated


@contextmanager
def _signals(do: Callable[[], None]) -> Iterator[None]:
    """Answer SIGTERM, which Slurm and `timeout` send before they kill; go on when the terminal is closed."""
    answers: dict[int, Any] = {signal.SIGTERM: lambda *_: do()}
    if hasattr(signal, "SIGHUP"):
        answers[signal.SIGHUP] = signal.SIG_IGN
    before = {number: signal.signal(number, answer) for number, answer in answers.items()}
    try:
        yield
    finally:
        for number, answer in before.items():
            signal.signal(number, answer)
