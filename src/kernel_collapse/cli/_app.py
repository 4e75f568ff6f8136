"""The program that the commands belong to."""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer

from kernel_collapse._database import StoreError

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main() -> None:
    """Run the command line; bad input is one sentence and exit code 2, a disk that is full or fails one and 1."""
    try:
        app()
    except ValueError as error:
        sys.stderr.write(f"kernel-collapse: {error}\n")
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in _DISK and not isinstance(error, StoreError):
            raise
        full = f"the disk is full or fails ({error.strerror}), expected room for a file: free some space."
        sys.stderr.write(f"kernel-collapse: {error if isinstance(error, StoreError) else full}\n")
        raise SystemExit(1) from None


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
