"""The program that the commands belong to."""

from __future__ import annotations

import errno
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kernel_collapse._database import StoreError
from kernel_collapse._text import for_terminal

__all__ = ["app", "main", "say"]


class _Commands(TyperGroup):
    """Commands whose usage errors, which quote what was typed, are text for a terminal."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "format_message") and isinstance(getattr(error, "message", None), str):
                error.message = for_terminal(error.message)  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main() -> None:
    """Run the command line; bad input is one sentence and exit code 2, a disk that is full or fails one and 1."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what the encoding of a terminal lacks is shown by its escape
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except ValueError as error:
        sentences = getattr(error, "sentences", [str(error)])
        sys.stderr.write(
            "\n".join(for_terminal(said) for said in [f"kernel-collapse: {sentences[0]}", *sentences[1:]])
        )
        sys.stderr.write("\n")
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in _DISK and not isinstance(error, StoreError):
            raise
        full = f"the disk is full or fails ({error.strerror}), expected room for a file: free some space."
        said = error if isinstance(error, StoreError) else full
        sys.stderr.write(f"kernel-collapse: {for_terminal(said)}\n")
        raise SystemExit(1) from None


def say(text: str, *, err: bool = False) -> None:
    """Print a line, whatever names it holds."""
    typer.echo(for_terminal(text), err=err)


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
