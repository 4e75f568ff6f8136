"""`kernel-collapse report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kernel_collapse._input_error import InputError
from kernel_collapse.cli._app import app, say
from kernel_collapse.cli._runs import write_report


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Folder of a run, or of two.", metavar="DIR [DIR]")],
    open_questions: Annotated[
        Path | None,
        typer.Option(help="Write what the run says of the paper's open questions.", metavar="FILE.md"),
    ] = None,
    errata: Annotated[
        Path | None,
        typer.Option(help="Write the published code's numbers beside the right ones.", metavar="FILE.md"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the page alone there, one file to send on (default: report.html in the folder, figures "
            "beside it; of two runs: compare.html in the second).",
            metavar="FILE.html",
        ),
    ] = None,
) -> None:
    """Write the report of a run again from its stored rows, finished or not; of two runs, what changed between them.

    Example: [bold]kernel-collapse report runs/quick[/bold]
    """
    if len(folders) > 2:
        raise InputError(
            f"{len(folders)} folders", "given", "a run, or two to compare", "leave out the others", verb="are"
        )
    if len(folders) == 2:
        for name, page in (("--open-questions", open_questions), ("--errata", errata)):
            if page is not None:
                raise InputError(name, "given with two folders", "one", "report each run by itself")
        from kernel_collapse.cli._compare import compare_runs

        compare_runs(folders[0], folders[1], out)
        return
    _report(folders[0], out, open_questions, errata)


def _report(folder: Path, out: Path | None, open_questions: Path | None, errata_page: Path | None) -> None:
    from kernel_collapse import _validate
    from kernel_collapse_paper import errata
    from kernel_collapse_paper import open_questions as questions

    for name, page, ending in (
        ("--out", out, ".html"),
        ("--open-questions", open_questions, ".md"),
        ("--errata", errata_page, ".md"),
    ):
        if page is not None:
            _validate.page(page, name, ending)
    built = write_report(folder, out)
    say(f"Report: {built.path}")
    if open_questions is not None:
        say(f"Open questions: {questions.write(open_questions, built)}")
    if errata_page is not None:
        say(f"Errata: {errata.write(errata_page, folder)}")
