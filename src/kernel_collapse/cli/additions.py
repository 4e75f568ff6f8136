"""What other packages add to the command line: commands, and pages that `report` writes of a run."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel_collapse import _entries
from kernel_collapse._input_error import InputError

if TYPE_CHECKING:
    from kernel_collapse.report import Built

__all__ = ["GROUP", "Additions", "Page", "registered"]

#: The group of entry points under which a package registers its `Additions`.
GROUP = "kernel_collapse.commands"
#: Names that the program has itself: of commands, and of what `report` takes.
OWN_COMMANDS = ("measure", "report", "init", "run", "results")
OWN_OPTIONS = ("folders", "out", "help")
NAME = re.compile(r"[a-z][a-z0-9_]*")
WORDS = "lower-case letters, digits and '_', no word of Python, as in 'my_page'"


@dataclass(frozen=True)
class Page:
    """A page of Markdown about a run, which `kernel-collapse report` writes if it is asked for.

    `name` is that of its option, with "_" for "-", of lower-case letters and digits. `write` takes the page's file, the
    folder of the run and its report, and returns where the page is.
    """

    name: str
    title: str
    help: str
    write: Callable[[Path, Path, Built], Path]

    @property
    def option(self) -> str:
        """What a user types."""
        return f"--{self.name.replace('_', '-')}"


class Additions(NamedTuple):
    """The commands of a package, functions as Typer takes them, and its pages; importing them is quick."""

    commands: tuple[Callable[..., None], ...] = ()
    pages: tuple[Page, ...] = ()


@cache
def registered() -> tuple[Additions, tuple[str, ...]]:
    """Return what every installed package adds, and a sentence on each whose additions cannot be loaded.

    The additions of a package are refused whole if a name of theirs is taken, or if Typer cannot make a command of one.
    """
    commands: dict[str, Callable[..., None]] = {}
    pages: dict[str, Page] = {}

    def take(found: Any) -> None:
        if not isinstance(found, Additions):
            raise InputError.of("what is registered", found, "an object of the class Additions")
        mine = _by_name(found.commands, "commands", _command_name, {*OWN_COMMANDS, *commands})
        its = _by_name(found.pages, "pages", _page_name, {*OWN_OPTIONS, *pages})
        commands.update(mine)
        pages.update(its)

    faults = _entries.load(entry_points(group=GROUP), take, "its commands and pages", "commands")
    return Additions(tuple(commands.values()), tuple(pages.values())), faults


def _by_name(given: Any, what: str, name_of: Callable[[Any], str], taken: set[str]) -> dict[str, Any]:
    """Return what is given under its names, each of which is new."""
    if not isinstance(given, tuple | list):
        raise InputError.of(what, given, "a tuple", verb="are")
    found: dict[str, Any] = {}
    for one in given:
        name = name_of(one)
        if name in taken or name in found:
            raise InputError(
                f"the name {name!r} among the {what}", "taken", "a name that nobody has", "choose another"
            )
        found[name] = one
    return found


def _command_name(command: Any) -> str:
    """Return what a user types for a command, of which Typer makes one."""
    name = getattr(command, "__name__", None)
    if not callable(command) or not isinstance(name, str):
        raise InputError.of("a command", command, "a function")
    if not NAME.fullmatch(name):
        raise InputError("a command", f"called {name!r}", WORDS)
    import typer

    alone = typer.Typer(add_completion=False)
    alone.command()(command)
    try:
        typer.main.get_command(alone)
    except Exception as error:  # whatever Typer makes of parameters of another package
        raise InputError(
            f"the command {name!r}",
            f"no command for Typer ({' '.join(str(error).split())})",
            "a function of its",
        ) from None
    _require_text(inspect.getdoc(command) or "", f"the docstring of {name!r}")
    return name.replace("_", "-")


def _page_name(page: Any) -> str:
    """Return the name of a page, of which an option is made."""
    if not isinstance(page, Page):
        raise InputError.of("a page", page, "an object of the class Page")
    if not isinstance(page.name, str) or not NAME.fullmatch(page.name) or keyword.iskeyword(page.name):
        raise InputError.of("the name of a page", page.name, WORDS)
    for what in ("title", "help"):
        _require_text(getattr(page, what), f"the {what} of the page {page.name!r}")
    if not callable(page.write):
        raise InputError.of(f"`write` of the page {page.name!r}", page.write, "a function")
    return page.name


def _require_text(text: Any, what: str) -> None:
    """Refuse what --help cannot show: no text, or a tag of Rich that closes nothing."""
    if not isinstance(text, str):
        raise InputError.of(what, text, "text")
    if "[/" in text:
        from rich.errors import MarkupError
        from rich.markup import render

        try:
            render(text)
        except MarkupError as error:
            raise InputError(
                what, f"no text for Rich ({error})", "a tag before its end", "write \\["
            ) from None
