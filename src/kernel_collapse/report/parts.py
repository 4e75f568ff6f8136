"""What a page is made of: figures, tables, and verdicts on claims."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from kernel_collapse.report import printing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as MatplotlibFigure

    from kernel_collapse.report.plot import Plot

__all__ = ["Figure", "Section", "Table", "Verdict"]


@dataclass(frozen=True)
class Figure:
    """A figure with its file name and caption; print and page draw the same plot."""

    name: str
    caption: str
    plot: Plot

    @cached_property
    def printed(self) -> printing.Printed:
        """The plot in print, drawn once."""
        return printing.draw(self.plot)

    @property
    def figure(self) -> MatplotlibFigure:
        """The plot as matplotlib draws it."""
        return self.printed.figure


@dataclass(frozen=True)
class Table:
    """A table of the report."""

    title: str
    frame: pd.DataFrame
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """A claim, and what the rows say of it; nothing here is written by hand.

    `status` is "holds", "holds in part", "does not hold" or "undecided"; `answer` is the sentence with its
    figures; `test` says how it was decided; `evidence` has one row a cell; `topics` says what the claim is about.
    """

    claim: str
    status: str
    answer: str
    test: str
    evidence: pd.DataFrame = field(repr=False)
    topics: frozenset[str] = frozenset()

    def about(self, *topics: str) -> Verdict:
        """Return the same verdict with what its claim is about."""
        return replace(self, topics=frozenset(topics))


@dataclass(frozen=True)
class Section:
    """A part of the page: an experiment, or a user's measurement.

    `specification` says what made it, as `kernel_collapse.runs.sweep_file.describe` does; `command` makes it again,
    from the text of a sweep, `toml`, if it is one.
    """

    name: str
    title: str
    question: str
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    specification: list[tuple[str, str]] = field(default_factory=list)
    command: str = ""
    toml: str = ""
