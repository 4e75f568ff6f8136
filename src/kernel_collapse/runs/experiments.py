"""The definition of an experiment: trials to run, and conclusions from their rows.

Other packages register their own.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from kernel_collapse import _entries
from kernel_collapse._input_error import InputError

if TYPE_CHECKING:
    import pandas as pd

    from kernel_collapse.report.parts import Figure, Finding, Table, Verdict
    from kernel_collapse.runs.trials import Trial

__all__ = ["PRESETS", "Experiment", "Findings", "NotLoaded", "Preset", "registered"]

Preset = Literal["quick", "paper"]
PRESETS: tuple[Preset, ...] = ("quick", "paper")
#: The group of entry points under which a package registers its experiments.
GROUP = "kernel_collapse.experiments"
NAME = re.compile(r"\w[\w.-]*")


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


class NotLoaded(UserWarning):
    """What an installed package registers cannot be loaded; all else works."""


@cache
def registered() -> dict[str, Experiment]:
    """Return the experiments of every installed package by name, in the order of the report.

    A package registers a mapping of names to experiments under the entry point group "kernel_collapse.experiments". One
    that is missing, or whose experiments are not sound, is left out with a warning.

    Warns
    -----
    NotLoaded
        A sentence on each package that is left out.
    """
    found: dict[str, Experiment] = {}

    def take(given: Any) -> None:
        if not isinstance(given, Mapping):
            raise InputError.of("what is registered", given, "a mapping of names to experiments")
        for name, experiment in given.items():
            _check(name, experiment)
            if name in found:
                raise InputError(f"the name {name!r}", "taken", "a name that nobody has", "choose another")
        found.update(given)

    for fault in _entries.load(entry_points(group=GROUP), take, "its experiments", "experiments"):
        warnings.warn(fault, NotLoaded, stacklevel=2)
    return found


def _check(name: Any, experiment: Any) -> None:
    """Refuse what is no experiment under its own name, or has a name that nobody can type."""
    if not isinstance(experiment, Experiment):
        raise InputError.of(f"the experiment {name!r}", experiment, "an object of the class Experiment")
    if name != experiment.name:
        raise InputError(f"the experiment {experiment.name!r}", f"under {name!r}", "its own name")
    if not isinstance(name, str) or not NAME.fullmatch(name) or name == "all":
        raise InputError.of("the name of an experiment", name, "letters, digits and '-', as in 'my-study'")
    for what in ("title", "question"):
        if not isinstance(getattr(experiment, what), str):
            raise InputError.of(f"`{what}` of {name!r}", getattr(experiment, what), "text")
    for what in ("trials", "draw", "tabulate", "judge", "prepare", "conclude"):
        if not callable(getattr(experiment, what)):
            raise InputError.of(f"`{what}` of {name!r}", getattr(experiment, what), "a function")
