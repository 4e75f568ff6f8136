"""What a page is made of: figures, tables, and verdicts on claims."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from kernel_collapse.report import printing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure as MatplotlibFigure

    from kernel_collapse.report.plot import Plot

__all__ = ["Figure", "Finding", "Section", "Table", "Tally", "Verdict"]


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


class Tally(NamedTuple):
    """In how many cells a claim holds, fails, and is undecided."""

    holds: int
    fails: int
    undecided: int

    @classmethod
    def of(cls, said: Sequence[str]) -> Tally:
        """Count what cells say; what is none of the three is no cell."""
        return cls(said.count("holds"), said.count("fails"), said.count("undecided"))

    @property
    def total(self) -> int:
        """How many cells there are."""
        return sum(self)

    @property
    def status(self) -> str:
        """The status of a claim on all of these cells."""
        if self.holds == self.total > 0:
            return "holds"
        if self.holds:
            return "holds in part"
        return "does not hold" if self.fails else "undecided"

    @property
    def share(self) -> str:
        """In how many of the cells the claim holds, in words; empty where in all or in none."""
        if self.holds in (0, self.total):
            return ""
        share = self.holds / self.total
        return "in most" if share > 0.5 else "in some" if share >= 0.1 else "rarely"


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

    @classmethod
    def of_cells(cls, claim: str, answer: str, test: str, evidence: pd.DataFrame) -> Verdict:
        """Return the verdict on a claim about every cell.

        `evidence` has the name of each in the column "cell" and what it says in the column "verdict": "holds", "fails"
        or "undecided".
        """
        return cls(claim, Tally.of(evidence["verdict"].tolist()).status, answer, test, evidence)

    @property
    def cells(self) -> list[tuple[str, str]]:
        """The name of every cell and what it says; none where the claim is about one number."""
        if not {"cell", "verdict"} <= set(self.evidence.columns):
            return []
        both = zip(self.evidence["cell"], self.evidence["verdict"], strict=True)
        return [(str(name), says) for name, says in both if says in Tally._fields]

    @property
    def tally(self) -> Tally | None:
        """How many cells say what; None where the claim is about one number."""
        said = [says for _, says in self.cells]
        return Tally.of(said) if said else None

    @property
    def short(self) -> str:
        """The status with the number of cells that hold, as "holds in most, 38 of 40"."""
        tally = self.tally
        if tally is None:
            return self.status
        words = f"holds {tally.share}" if tally.share else self.status
        return f"{words}, {tally.holds} of {tally.total}"

    def about(self, *topics: str) -> Verdict:
        """Return the same verdict with what its claim is about."""
        return replace(self, topics=frozenset(topics))


@dataclass(frozen=True)
class Finding:
    """What an experiment found, in a sentence, with the figure that shows it."""

    sentence: str
    figure: str


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
    finding: Finding | None = None
