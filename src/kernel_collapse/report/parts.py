"""What a page is made of: figures, tables, and verdicts on claims."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as MatplotlibFigure

__all__ = ["Figure", "Table", "Verdict"]


@dataclass(frozen=True)
class Figure:
    """A figure with its file name and caption; the page draws it by `kernel_collapse.report.interactive.convert`."""

    name: str
    caption: str
    figure: MatplotlibFigure


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
    figures; `test` says how it was decided; `evidence` has one row a cell.
    """

    claim: str
    status: str
    answer: str
    test: str
    evidence: pd.DataFrame = field(repr=False)
