"""What other packages add to the command line: commands, and pages that `report` writes of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kernel_collapse.report import Built

__all__ = ["GROUP", "Additions", "Page", "registered"]

#: The group of entry points under which a package registers its `Additions`.
GROUP = "kernel_collapse.commands"


@dataclass(frozen=True)
class Page:
    """A page of Markdown about a run, which `kernel-collapse report` writes if it is asked for.

    `name` is that of its option, with "_" for "-"; `write` takes the page's file, the folder of the run and its report,
    and returns where the page is.
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
    """Return what every installed package adds, and a sentence on each whose additions cannot be loaded."""
    commands: list[Callable[..., None]] = []
    pages: list[Page] = []
    faults: list[str] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            found: Additions = entry.load()
            commands += found.commands
            pages += found.pages
        except (
            Exception
        ) as error:  # whatever another package raises: the commands of the others are none the worse
            why = " ".join(f"{type(error).__name__}: {error}".split())
            faults.append(
                f"what {entry.name!r} adds ({entry.value}) cannot be loaded ({why}), expected its commands: install "
                "that package again; all other commands work."
            )
    return Additions(tuple(commands), tuple(pages)), tuple(faults)
