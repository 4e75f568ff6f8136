"""The program that the commands belong to."""

from __future__ import annotations

import errno
import inspect
import sqlite3
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from kernel_collapse import _streams
from kernel_collapse._text import for_terminal
from kernel_collapse.runs._database import DamagedRows, StoreError
from kernel_collapse.runs.experiments import NotLoaded

__all__ = ["main", "program", "say"]


def _as_words(parameters: list[Any]) -> list[Any]:
    """Return parameters whose help shows what to type, FILE or NAME: no types of Python, and nothing after a flag."""
    for parameter in parameters:
        if isinstance(parameter, TyperArgument):
            parameter.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
        elif parameter.is_flag:
            parameter.metavar = ""
    return parameters


class _Command(TyperCommand):
    """A command whose help has whole paragraphs, and whose usage shows arguments as one types them."""

    def __init__(self, *arguments: Any, help: str | None = None, **options: Any) -> None:
        paragraphs = inspect.cleandoc(help or "").split("\n\n")
        super().__init__(*arguments, help="\n\n".join(" ".join(one.split()) for one in paragraphs), **options)

    def get_params(self, ctx: Any) -> list[Any]:
        return _as_words(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        given = [one for one in self.get_params(ctx) if isinstance(one, TyperArgument)]
        shown = [str(one.metavar) if one.required else f"[{one.metavar}]" for one in given]
        return [self.options_metavar or "", *shown]


class _Commands(TyperGroup):
    """Commands whose usage errors, which quote what was typed, are text for a terminal."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _as_words(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "format_message") and isinstance(getattr(error, "message", None), str):
                error.message = for_terminal(error.message)  # type: ignore[attr-defined]
            raise


#: The exit code of a program whose reader has closed the pipe: 128 and the number of SIGPIPE, as shells have it.
READER_GONE = 141
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@cache
def program() -> typer.Typer:
    """Return the program with its commands, in the order of --help."""
    from kernel_collapse.cli import _measure, _report, _sweeps
    from kernel_collapse.cli.additions import registered

    app = typer.Typer(
        cls=_Commands,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    added, _ = registered()
    commands: list[Callable[..., None]] = [_measure.measure, _report.with_pages(added.pages)]
    commands += [*added.commands, _sweeps.init, _sweeps.run, _sweeps.results]
    for command in commands:
        app.command(cls=_Command)(command)
    return app


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what the encoding of a terminal lacks is shown by its escape
            with suppress(OSError, ValueError):  # it is full, or closed
                stream.reconfigure(errors="backslashreplace")
    with _streams.best_effort():
        code = _run()
    raise SystemExit(code)


def _run() -> int:
    """Run the command and return its exit code; what it found damaged in a store is said, and makes it 1."""
    damaged: dict[str, None] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("always", DamagedRows)
        warnings.simplefilter("always", NotLoaded)
        show = warnings.showwarning

        def keep_damage(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if issubclass(category, DamagedRows):
                damaged[str(message)] = None
            elif issubclass(category, NotLoaded):
                say(f"kernel-collapse: {message}", err=True)
            else:
                show(message, category, *where)

        warnings.showwarning = keep_damage  # type: ignore[assignment]
        code = _code_of_app()
    for said in damaged:
        sys.stderr.write(f"kernel-collapse: {for_terminal(said)}\n")
    return code or int(bool(damaged))


def _code_of_app() -> int:
    from kernel_collapse.cli.additions import registered

    _, faults = registered()
    for fault in faults:
        say(f"kernel-collapse: {fault}", err=True)
    try:
        program()()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except ValueError as error:
        sentences = getattr(error, "sentences", [str(error)])
        lines = [f"kernel-collapse: {sentences[0]}", *sentences[1:]]
        sys.stderr.write("\n".join(map(for_terminal, lines)) + "\n")
        return 2
    except _streams.ReaderGone:  # `| head`: whoever reads has what is wanted
        return READER_GONE
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, OSError) and error.errno not in _DISK and not isinstance(error, StoreError):
            raise
        why = getattr(error, "strerror", error)
        full = f"the disk is full or fails ({why}), expected room for a file: free some space."
        sys.stderr.write(
            f"kernel-collapse: {for_terminal(error if isinstance(error, StoreError) else full)}\n"
        )
        return 1
    return 0


def say(text: str, *, err: bool = False) -> None:
    """Print a line, whatever names it holds, if that can be written to."""
    with suppress(OSError, ValueError):
        typer.echo(for_terminal(text), err=err)


def _version(wanted: bool) -> None:
    if wanted:
        from kernel_collapse import __version__

        typer.echo(f"kernel-collapse {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Neural Collapse measured from kernels: data, kernel, Gram matrix, NC1, comparison.

    Example: [bold]kernel-collapse measure flowers.csv --label species[/bold]
    """
