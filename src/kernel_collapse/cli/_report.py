"""`kernel-collapse report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kernel_collapse.cli._app import app
from kernel_collapse.cli._runs import write_report


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

    if open_questions is not None:
        questions.check(open_questions)
    built = write_report(folder)
    typer.echo(f"Report: {built.path}")
    if open_questions is not None:
        typer.echo(f"Open questions: {questions.write(open_questions, built)}")
