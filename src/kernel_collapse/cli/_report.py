"""`kernel-collapse report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kernel_collapse.cli._app import app


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="DIR")]) -> None:
    """Write the report of a run again from its stored rows, finished or not.

    Example: [bold]kernel-collapse report runs/quick[/bold]
    """
    from kernel_collapse import report as reporting

    typer.echo(f"Report: {reporting.build(folder).path}")
