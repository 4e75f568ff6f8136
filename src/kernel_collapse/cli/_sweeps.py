"""`kernel-collapse init | run | results`: sweeps of the user's own."""

from __future__ import annotations

import contextlib
import errno
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kernel_collapse._input_error import InputError
from kernel_collapse._streams import require_printed
from kernel_collapse._text import duration, for_file, for_rich, visible
from kernel_collapse.cli._app import say
from kernel_collapse.cli._progress import Forecast, about_on
from kernel_collapse.cli.tables import print_whole
from kernel_collapse.cli.trials import (
    GRACE,
    Dask,
    DaskLocal,
    Grace,
    RetryFailed,
    TrialTimeout,
    Workers,
    limits,
    machines,
    require_networks,
    run_to_the_end,
    say_how_it_went,
    write_report,
)

if TYPE_CHECKING:
    from kernel_collapse.runs.sweep_file import Sweep
    from kernel_collapse.runs.trials import Trial


def init(file: Annotated[Path, typer.Argument(help="The file to write.", metavar="SWEEP.toml")]) -> None:
    """Write an example of a sweep, with comments, to begin with.

    Example: [bold]kernel-collapse init sweep.toml[/bold]
    """
    from kernel_collapse.runs import sweep_file

    if file.suffix != ".toml":
        raise InputError(
            f"{str(file)!r}",
            "end in .toml",
            "the name of a sweep",
            f"try {file.with_suffix('.toml')}",
            verb="does not",
        )
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(sweep_file.EXAMPLE.replace("FILE.toml", visible(file.name)))
    except FileExistsError:
        raise InputError(
            f"{str(file)!r}", "there already", "a new file", "choose another name, nothing was written"
        ) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full:  # opened, and left empty
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        raise InputError(
            f"{str(file)!r}",
            f"be written ({error.strerror})",
            "room for a file" if full else "a file in a folder that can",
            "free some space" if full else "make the folder first, or choose another",
            verb="cannot",
        ) from None
    say(f"Wrote {file}. Change it, then: {shlex.join(['kernel-collapse', 'run', str(file), '--dry'])}")


def run(
    file: Annotated[Path, typer.Argument(help="The sweep.", metavar="SWEEP.toml")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run (default: runs/NAME).", show_default=False, metavar="DIR"),
    ] = None,
    workers: Workers = None,
    dask: Dask = None,
    dask_local: DaskLocal = None,
    dry: Annotated[
        bool, typer.Option("--dry", help="Say how many trials and how long; run and write nothing.")
    ] = False,
    retry_failed: RetryFailed = False,
    trial_timeout: TrialTimeout = None,
    grace: Grace = GRACE,
) -> None:
    """Run a sweep of your own: your data or any law, any kernels or networks, a grid and seeds; write a report.

    The same command continues a run that was interrupted, or whose file names more by now; nothing finished is
    computed twice.

    Example: [bold]kernel-collapse run sweep.toml --out runs/mine --workers 2[/bold]
    """
    from kernel_collapse import __version__, report
    from kernel_collapse.runs import sweep_file
    from kernel_collapse.runs.store import Store, peek

    limited = limits(trial_timeout, grace)
    processes, chosen_machines = machines(workers, dask, dask_local, limited)
    sweep, text = sweep_file.read(file)
    folder = Path("runs") / for_file(sweep.name) if out is None else out
    identity = {"sweep": sweep.name, "version": __version__}
    if dry:
        _foretell(sweep, peek(folder, identity), folder, processes)
        require_printed()
        return
    trials = sweep.trials()
    require_networks(trials, dask)
    with chosen_machines as executor, Store(folder, identity, {"environment": report.environment()}) as store:
        store.note({"toml": text, "specification": sweep.model_dump(mode="json")})
        if retry_failed:
            store.forget_failed()
        counts, failed = run_to_the_end(trials, store, processes, limited, executor)
    page = None if len(failed) == len(trials) else write_report(folder).path
    say_how_it_went(counts, failed, folder, page)


def results(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="DIR")],
    to: Annotated[
        Path | None,
        typer.Option(help="Write the rows as .csv or .parquet.", metavar="FILE", show_default=False),
    ] = None,
) -> None:
    """Print what the rows of a run hold, a line a column, or write them to a file.

    Example: [bold]kernel-collapse results runs/mine --to mine.parquet[/bold]
    """
    from rich.console import Console
    from rich.table import Table

    from kernel_collapse.runs import run, tidy

    frame = run.results(folder)
    if to is not None:
        tidy.export(frame, to)
        say(f"Wrote {len(frame)} rows of {len(frame.columns)} columns to {to}.")
        return
    table = Table("column", "unit", "meaning", box=None, title_justify="left", title=f"{len(frame)} rows")
    for name, about in frame.attrs["columns"].items():
        table.add_row(*map(for_rich, (name, about["unit"], about["meaning"])))
    print_whole(Console(highlight=False), table)
    require_printed()


def _foretell(sweep: Sweep, finished: set[str], folder: Path, processes: int) -> None:
    """Print what a run would do."""
    from rich.console import Console
    from rich.table import Table

    from kernel_collapse.runs.laws import FileData
    from kernel_collapse.runs.trials import costs

    console = Console(highlight=False)
    table = Table("data", "measurement", box=None)
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("time on one core", justify="right", no_wrap=True)
    trials: dict[str, Trial] = {}
    for block in sweep.blocks():
        law = ", ".join(dict.fromkeys(t.data.law for t in block.trials))
        kernel = ", ".join(dict.fromkeys(t.measurement.kernel for t in block.trials))
        time = duration(sum(costs(block.trials).values()))
        cells = f"{block.data + 1}: {law}", f"{block.measurement + 1}: {kernel}", str(len(block.trials)), time
        table.add_row(*map(for_rich, cells))
        trials |= {t.key: t for t in block.trials}
    print_whole(console, table)
    todo = sorted((t for key, t in trials.items() if key not in finished), key=lambda t: -t.cost)
    reused = len(trials) - len(todo)
    console.print(
        for_rich(f"{len(trials)} trials, each once; {reused} of them are in {folder}, {len(todo)} to run."),
        soft_wrap=True,
    )
    if not todo:
        return
    time = about_on(Forecast(todo, processes).left(), processes)
    console.print(f"{time[0].upper()}{time[1:]}. The longest:")
    distinct = {
        (t.data, t.measurement): t for t in reversed(todo)
    }  # whatever the seed; the longest come last
    for trial in list(distinct.values())[-1:-4:-1]:
        console.print(for_rich(f"  {trial.cost:.2g} s: {_said(trial)}"))
    fixed = {t.data.name for t in todo if isinstance(t.data, FileData) and t.data.n == t.data.content.rows}
    if fixed and len(sweep.seeds) > 1:
        console.print(
            for_rich(
                f"Note: every seed uses all of {', '.join(sorted(fixed))}, and kernels do not depend on the "
                "seed in any other way. Set n to make each seed a random part."
            ),
            soft_wrap=True,
        )


def _said(trial: Trial) -> str:
    """Return what a trial is, for a reader."""
    options = trial.measurement.model_dump(exclude_defaults=True) | {"kernel": trial.measurement.kernel}
    kernel = options.pop("kernel")
    said = ", ".join(f"{key}={value}" for key, value in options.items())
    return f"{trial.data.name}, n={trial.data.n}, dim={trial.data.dim}, {kernel}" + (
        f"({said})" if said else ""
    )
