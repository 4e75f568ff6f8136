"""The command line: `kernel-collapse reproduce | measure | report`.

Exit codes: 0 done; 1 the run finished but some trials failed; 2 bad input, refused before any work.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # what is heavy is imported by the command that needs it: --help stays fast
    import pandas as pd
    from rich.console import Console

    from kernel_collapse.data import Dataset
    from kernel_collapse.experiments import Experiment, Preset
    from kernel_collapse.report import Section
    from kernel_collapse.store import Store
    from kernel_collapse.sweep import Counts
    from kernel_collapse.trials import Trial

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; bad input is one sentence and exit code 2."""
    try:
        app()
    except ValueError as error:
        sys.stderr.write(f"kernel-collapse: {error}\n")
        raise SystemExit(2) from None


def _version(wanted: bool) -> None:
    if wanted:
        from kernel_collapse import __version__

        typer.echo(f"kernel-collapse {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Neural Collapse measured from kernels: data, kernel, Gram matrix, NC1, comparison.

    Example: [bold]kernel-collapse measure flowers.csv --label species[/bold]
    """


@app.command()
def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(help="Experiments, or 'all' (default).", metavar="[NAMES|all]")
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the experiments with their cost, and run nothing.")
    ] = False,
    preset: Annotated[
        str, typer.Option(help="'quick': fewer sizes and repeats; 'paper': the published grid.")
    ] = "quick",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run (default: runs/PRESET).", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes (default: one a core).", show_default=False)
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run trials that failed once more.")
    ] = False,
) -> None:
    """Run the experiments of the paper and our studies, and write a report.

    The same command continues a run that was interrupted; nothing finished is computed twice.

    Example: [bold]kernel-collapse reproduce all --preset paper --out runs/paper --workers 2[/bold]
    """
    from kernel_collapse import __version__, _validate, experiments, report
    from kernel_collapse.store import Store

    chosen = experiments.choose(names or [])
    _validate.choice(preset, experiments.PRESETS, "--preset")
    processes = _validate.count(os.cpu_count() or 1 if workers is None else workers, "--workers")
    if list_:
        _print_list(chosen, processes)
        return
    trials = _trials(chosen, preset)  # type: ignore[arg-type]
    run = {"experiments": [e.name for e in chosen], "preset": preset, "version": __version__}
    folder = Path("runs") / preset if out is None else out
    with Store(folder, run, {"environment": report.environment()}) as store:
        if retry_failed:
            store.forget_failed()
        counts = _run_with_progress(trials, store, processes, folder)
        failed = store.failures({trial.key for trial in trials})
    page = report.build(folder)
    _print_verdicts(page.sections)
    typer.echo(f"{counts.done + counts.failed} trials run, {counts.reused} found in {folder}.")
    for key, message in failed[:10]:
        typer.echo(f"failed: trial {key}: {message}", err=True)
    typer.echo(f"Report: {page.path}")
    if failed:
        typer.echo(f"{len(failed)} trials failed; --retry-failed runs them again.", err=True)
        raise typer.Exit(1)


@app.command()
def measure(
    file: Annotated[Path, typer.Argument(help="A .csv, .parquet, .npz or .npy file, one sample a row.")],
    label: Annotated[
        str | None, typer.Option(help="Column of classes (default: 'label').", show_default=False)
    ] = None,
    kernel: Annotated[
        list[str] | None,
        typer.Option(
            help="nngp, ntk, adaptive; repeat for several (default: nngp, ntk).", show_default=False
        ),
    ] = None,
    activation: Annotated[
        list[str] | None,
        typer.Option(
            help="erf, relu, gelu, tanh, 'leaky_relu(0.1)', ...; repeat for several (default: erf, relu).",
            show_default=False,
        ),
    ] = None,
    depth: Annotated[int, typer.Option(help="Number of hidden layers.")] = 1,
    weight_variance: Annotated[float, typer.Option(help="Prior variance of weights, times fan-in.")] = 1.0,
    bias_variance: Annotated[float, typer.Option(help="Prior variance of biases.")] = 0.0,
    width: Annotated[float, typer.Option(help="Hidden units, for the adaptive kernel.")] = 500.0,
    readout_variance: Annotated[
        float, typer.Option(help="Prior variance of the readout times width, for the adaptive kernel.")
    ] = 1 / 128,
    noise_variance: Annotated[float, typer.Option(help="Of the targets, for the adaptive kernel.")] = 1e-6,
    weighting: Annotated[
        str, typer.Option(help="How unequal classes are weighted: paper, sample, class or published.")
    ] = "paper",
    standardize: Annotated[
        bool, typer.Option("--standardize", help="Scale every feature to mean 0, deviation 1.")
    ] = False,
    test: Annotated[
        Path | None,
        typer.Option(help="A file of held-out samples, measured beside the others.", metavar="FILE"),
    ] = None,
    holdout: Annotated[
        float | None,
        typer.Option(help="Hold this share of the samples out, class by class.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the samples that --holdout takes.")] = 0,
    method: Annotated[
        str, typer.Option(help="auto (by size), dense, streamed (exact) or sampled (with an interval).")
    ] = "auto",
    report: Annotated[
        Path | None, typer.Option(help="Write a page, with figures beside it.", metavar="FILE.html")
    ] = None,
) -> None:
    """Print how collapsed your own data are under each kernel, by every metric, of held-out samples too.

    Example: [bold]kernel-collapse measure flowers.csv --label species --activation relu --depth 3 --holdout 0.2[/bold]
    """
    from kernel_collapse import _validate, data
    from kernel_collapse import measure as measuring
    from kernel_collapse.collapse import WEIGHTINGS

    _validate.choice(weighting, WEIGHTINGS, "--weighting")
    measurements = measuring.specify(
        kernel or ["nngp", "ntk"],
        activation or ["erf", "relu"],
        depth=depth,
        weight_variance=weight_variance,
        bias_variance=bias_variance,
        width=width,
        readout_variance=readout_variance,
        noise_variance=noise_variance,
    )
    if report is not None and (report.suffix != ".html" or report.is_dir()):
        raise ValueError(
            f"--report is {str(report)!r}, expected the name of a page: try {report.with_suffix('.html')}."
        )
    if test is not None and holdout is not None:
        raise ValueError(
            "--test and --holdout are both given, expected one: held-out samples come from either."
        )
    dataset, held_out = data.load(file, label=label), None
    if test is not None:
        held_out = data.load(test, label=label)
    elif holdout is not None:
        dataset, held_out = data.split(dataset, holdout, seed=seed)
    if standardize:
        held_out = held_out and data.standardize(held_out, like=dataset)
        dataset = data.standardize(dataset)
    chosen, why = measuring.choose_method(len(dataset.x), measurements, method, held_out=held_out is not None)
    remarks = [*measuring.remarks(dataset, held_out), f"Method: {chosen} ({why})."]
    table = measuring.measure(
        dataset,
        measurements,
        weighting,  # type: ignore[arg-type]
        test=held_out,
        method=chosen,
    )
    _print_measurement(dataset, table, remarks, weighting)
    if report is not None:
        _write_measurement(report, dataset, table, remarks, weighting, standardize)
        typer.echo(f"Report: {report}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="DIR")],
    open_questions: Annotated[
        Path | None,
        typer.Option(help="Write what the run says of the paper's open questions.", metavar="FILE.md"),
    ] = None,
) -> None:
    """Write the report of a run again from its stored rows, finished or not.

    Example: [bold]kernel-collapse report runs/quick[/bold]
    """
    from kernel_collapse import open_questions as questions
    from kernel_collapse import report as reporting

    if open_questions is not None:
        questions.check(open_questions)
    built = reporting.build(folder)
    typer.echo(f"Report: {built.path}")
    if open_questions is not None:
        typer.echo(f"Open questions: {questions.write(open_questions, built)}")


def _trials(chosen: list[Experiment], preset: Preset) -> list[Trial]:
    """Return the trials of the experiments, each once."""
    return list({trial.key: trial for experiment in chosen for trial in experiment.trials(preset)}.values())


def _print_list(chosen: list[Experiment], processes: int) -> None:
    from rich.console import Console

    from kernel_collapse.experiments import PRESETS

    console = Console(highlight=False)
    for experiment in chosen:
        console.print(f"[bold]{experiment.name}[/bold]\n  {experiment.question}")
        for preset in PRESETS:
            costs = [trial.cost for trial in experiment.trials(preset)]
            time = _duration(sum(costs) / processes)
            console.print(f"  {preset}: {len(costs)} trials, about {time} on {processes} processes")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _run_with_progress(trials: list[Trial], store: Store, processes: int, folder: Path) -> Counts:
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
            return sweep.run(trials, store, workers=processes, report=advance)
        except KeyboardInterrupt:
            progress.stop()
            typer.echo(
                f"Stopped: {done} of {len(trials)} trials are kept in {folder}; the same command goes on from there.",
                err=True,
            )
            raise typer.Exit(130) from None


def _print_verdicts(sections: list[Section]) -> None:
    from rich.console import Console
    from rich.table import Table

    colours = {"holds": "green", "holds in part": "yellow", "does not hold": "red"}
    console = Console(highlight=False)
    for section in sections:
        console.print(f"[bold]{section.title}[/bold]")
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column()
        for verdict in section.verdicts:
            colour = colours.get(verdict.status, "white")
            table.add_row(f"[{colour}]{verdict.status}[/{colour}]", verdict.claim)
        console.print(table)


def _print_measurement(dataset: Dataset, table: pd.DataFrame, remarks: list[str], weighting: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    n, d = dataset.x.shape
    console.print(
        f"{dataset.name}: {n} samples, {d} features, {len(dataset.classes)} classes {_classes(dataset)}"
    )
    columns = {
        "kernel": [_kernel(row) for _, row in table.iterrows()],
        "samples": table["samples"],
        "NC1": table["NC1"].map("{:.4g}".format),
    }
    if "NC1 low" in table:
        ends = zip(table["NC1 low"], table["NC1 high"], strict=True)
        columns["95 % interval"] = [f"{low:.4g} to {high:.4g}" for low, high in ends]
    if (table["samples"] == "training").all():
        del columns["samples"]
    columns |= {name: table[name].map("{:.4g}".format) for name in ("NC1 / NC1(data)", "tr S_W", "tr S_B")}
    printed = Table()
    for name in columns:
        printed.add_column(name, justify="left" if name in ("kernel", "samples") else "right")
    for cells in zip(*columns.values(), strict=True):
        printed.add_row(*cells)
    console.print(printed)
    _print_other_metrics(console, table)
    console.print(
        "NC1 = tr S_W / tr S_B, spread within classes over spread between them "
        f'(weighting "{weighting}"); 0 is complete collapse.'
    )
    for remark in [*dict.fromkeys(reason for reason in table["reason"] if reason), *remarks]:
        console.print(f"Note: {remark}", style="yellow", markup=False, highlight=False)


def _kernel(row: pd.Series) -> str:
    """Return what a kernel is called in a table."""
    if row["activation"] == "–":
        return str(row["kernel"])
    return f"{row['activation']} {row['kernel']}" + (f", depth {row['depth']}" if row["depth"] != "1" else "")


def _print_other_metrics(console: Console, table: pd.DataFrame) -> None:
    """Print the metrics beside NC1, a line each and a column a kernel; what no kernel has is left out."""
    from rich.table import Table

    from kernel_collapse.measure import METRICS

    for samples, rows in table.groupby("samples", sort=False):
        known = [name for name in METRICS[3:] if rows[name].notna().any()]
        if not known:
            continue
        printed = Table(title=f"Other metrics, {samples} samples", title_justify="left")
        printed.add_column("metric", no_wrap=True)
        for _, row in rows.iterrows():
            printed.add_column(_kernel(row), justify="right")
        for name in known:
            printed.add_row(name, *(f"{value:.3g}" for value in rows[name]))
        console.print(printed)


def _classes(dataset: Dataset) -> str:
    shown = [f"{name}: {size}" for name, size in zip(dataset.classes, dataset.class_sizes, strict=True)]
    return (
        f"({', '.join(shown)})"
        if len(shown) <= 10
        else f"of {min(dataset.class_sizes)} to {max(dataset.class_sizes)} samples"
    )


def _write_measurement(
    path: Path, dataset: Dataset, table: pd.DataFrame, remarks: list[str], weighting: str, standardized: bool
) -> None:
    from kernel_collapse import measure as measuring
    from kernel_collapse import report
    from kernel_collapse.experiments import Table

    n, d = dataset.x.shape
    table = table.drop(columns=[name for name in measuring.METRICS[3:] if table[name].isna().all()])
    section = report.Section(
        "measurement",
        "Collapse under each kernel",
        "NC1 = tr S_W / tr S_B: the spread within classes over the spread between them; lower is more collapsed.",
        [measuring.figure(table, dataset.name)],
        [Table("Values", table if table["reason"].any() else table.drop(columns="reason"))],
    )
    report.write_page(
        path,
        title=f"How collapsed is {dataset.name}?",
        lead="Neural Collapse (NC1) of a data set under the kernels of wide networks.",
        facts={
            "Samples": str(n),
            "Features": f"{d}, standardized" if standardized else str(d),
            "Classes": f"{len(dataset.classes)} {_classes(dataset)}",
            "Weighting": weighting,
        },
        sections=[section],
        about=report.environment(),
        notes=remarks,
    )
