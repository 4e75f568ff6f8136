"""What an experiment is: trials to run, and what is read off their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as MatplotlibFigure

    from kernel_collapse.trials import Trial

__all__ = ["PRESETS", "Experiment", "Figure", "Preset", "Table", "Verdict"]

Preset = Literal["quick", "paper"]
PRESETS: tuple[Preset, ...] = ("quick", "paper")


@dataclass(frozen=True)
class Figure:
    """A figure with its file name and caption; the page draws it by `kernel_collapse.interactive.convert`."""

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


@dataclass(frozen=True)
class Experiment:
    """A figure of the paper or a study of ours.

    `trials(preset)` lists what it needs; `figures`, `tables` and `verdicts` take the rows of those trials
    that finished, as `kernel_collapse.store.Store.frame` gives them.
    """

    name: str
    title: str
    question: str
    trials: Callable[[Preset], list[Trial]]
    figures: Callable[[pd.DataFrame], list[Figure]]
    tables: Callable[[pd.DataFrame], list[Table]]
    verdicts: Callable[[pd.DataFrame], list[Verdict]]
