"""`kernel-collapse report`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated

import typer

from kernel_collapse._input_error import InputError
from kernel_collapse.cli._app import say
from kernel_collapse.cli.additions import Page
from kernel_collapse.cli.trials import write_report

__all__ = ["with_pages"]


def report(
    pages: Sequence[Page],
    /,
    folders: Annotated[list[Path], typer.Argument(help="Folder of a run, or of two.", metavar="DIR [DIR]")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write only the page, as one file to send on (default: report.html in the folder, figures "
            "beside it; of two runs: compare.html in the second).",
            metavar="FILE.html",
        ),
    ] = None,
    **files: Path | None,
) -> None:
    """Write the report of a run again from its stored rows, finished or not; of two runs, what changed between them.

    Example: [bold]kernel-collapse report runs/quick[/bold]
    """
    wanted = {page: file for page in pages if (file := files[page.name]) is not None}
    if len(folders) > 2:
        raise InputError(
            f"{len(folders)} folders", "given", "a run, or two to compare", "leave out the others", verb="are"
        )
    if len(folders) == 2:
        for page in wanted:
            raise InputError(page.option, "given with two folders", "one", "report each run by itself")
        from kernel_collapse.cli._compare import compare_runs

        compare_runs(folders[0], folders[1], out)
        return
    _report(folders[0], out, wanted)


def with_pages(pages: Sequence[Page]) -> Callable[..., None]:
    """Return the command, which has an option for each page that another package adds."""

    @wraps(report)
    def command(**given: object) -> None:
        report(pages, **given)  # type: ignore[arg-type]

    _, folders, out, _ = inspect.signature(report, eval_str=True).parameters.values()
    options = [
        inspect.Parameter(
            page.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None,
            annotation=Annotated[Path | None, typer.Option(help=page.help, metavar="FILE.md")],
        )
        for page in pages
    ]
    command.__signature__ = inspect.Signature([folders, *options, out])  # type: ignore[attr-defined]
    return command


def _report(folder: Path, out: Path | None, wanted: dict[Page, Path]) -> None:
    from kernel_collapse import _validate

    if out is not None:
        _validate.page(out, "--out", ".html")
    elif folder.is_dir() and not os.access(folder, os.W_OK):
        raise InputError(
            f"{str(folder)!r}",
            "be written to",
            "a folder that can, for the page",
            "choose a page elsewhere with --out",
            verb="cannot",
        )
    for page, file in wanted.items():
        _validate.page(file, page.option, ".md")
    built = write_report(folder, out)
    say(f"Report: {built.path}")
    for page, file in wanted.items():
        say(f"{page.title}: {page.write(file, folder, built)}")
