"""The definition of an experiment: trials to run, and conclusions from their rows.

Other packages register their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from kernel_collapse.report.parts import Figure, Finding, Table, Verdict
    from kernel_collapse.runs.trials import Trial

__all__ = ["PRESETS", "Experiment", "Findings", "Preset", "registered"]

Preset = Literal["quick", "paper"]
PRESETS: tuple[Preset, ...] = ("quick", "paper")


class Findings(NamedTuple):
    """What the rows of an experiment show; `finding` is what the page opens with, if it is among its findings."""

    figures: list[Figure]
    tables: list[Table]
    verdicts: list[Verdict]
    finding: Finding | None = None


def _as_they_are(rows: pd.DataFrame) -> pd.DataFrame:
    return rows


def _none(verdicts: list[Verdict]) -> None:
    return None


@dataclass(frozen=True)
class Experiment:
    """A figure of the paper or a study of ours.

    `trials(preset)` lists what it needs. Rows are those of these trials, as `kernel_collapse.runs.run.Run.frame` gives
    them; `draw`, `tabulate` and `judge` take what `prepare` makes of them, by default the rows themselves. `conclude`
    takes the verdicts, and gives the finding in one sentence that the page of a run opens with; most have none.
    """

    name: str
    title: str
    question: str
    trials: Callable[[Preset], list[Trial]]
    draw: Callable[[Any], list[Figure]]
    tabulate: Callable[[Any], list[Table]]
    judge: Callable[[Any], list[Verdict]]
    prepare: Callable[[pd.DataFrame], Any] = _as_they_are
    conclude: Callable[[list[Verdict]], Finding | None] = _none

    def _prepared(self, rows: pd.DataFrame) -> Any:
        """Return what is drawn, tabulated and judged.

        A column that other experiments fill otherwise (a width is a number, or one for each layer) comes as one of
        objects; here it is one of numbers again, where it has nothing else. Each of these is a block of its own in
        memory until the table is copied, and a hundred of them make pandas warn of whatever adds a column.
        """
        return self.prepare(rows.infer_objects().copy())

    def findings(self, rows: pd.DataFrame) -> Findings:
        """Return all that the rows show; they are prepared once."""
        prepared = self._prepared(rows)
        verdicts = self.judge(prepared)
        return Findings(self.draw(prepared), self.tabulate(prepared), verdicts, self.conclude(verdicts))

    def figures(self, rows: pd.DataFrame) -> list[Figure]:
        """Return the figures of these rows."""
        return self.draw(self._prepared(rows))

    def tables(self, rows: pd.DataFrame) -> list[Table]:
        """Return the tables of these rows."""
        return self.tabulate(self._prepared(rows))

    def verdicts(self, rows: pd.DataFrame) -> list[Verdict]:
        """Return what these rows say of each claim."""
        return self.judge(self._prepared(rows))


@cache
def registered() -> dict[str, Experiment]:
    """Return the experiments of every installed package by name, in the order of the report.

    A package registers a mapping of names to experiments under the entry point group "kernel_collapse.experiments".
    """
    found: dict[str, Experiment] = {}
    for entry in sorted(entry_points(group="kernel_collapse.experiments"), key=lambda entry: entry.name):
        found |= entry.load()
    return found
