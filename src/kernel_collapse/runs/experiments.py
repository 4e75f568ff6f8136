"""What an experiment is: trials to run, and what is read off their rows. Other packages register theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

    from kernel_collapse.report.parts import Figure, Table, Verdict
    from kernel_collapse.runs.trials import Trial

__all__ = ["PRESETS", "Experiment", "Preset", "registered"]

Preset = Literal["quick", "paper"]
PRESETS: tuple[Preset, ...] = ("quick", "paper")


@dataclass(frozen=True)
class Experiment:
    """A figure of the paper or a study of ours.

    `trials(preset)` lists what it needs; `figures`, `tables` and `verdicts` take the rows of those trials
    that finished, as `kernel_collapse.runs.store.Store.frame` gives them.
    """

    name: str
    title: str
    question: str
    trials: Callable[[Preset], list[Trial]]
    figures: Callable[[pd.DataFrame], list[Figure]]
    tables: Callable[[pd.DataFrame], list[Table]]
    verdicts: Callable[[pd.DataFrame], list[Verdict]]


@cache
def registered() -> dict[str, Experiment]:
    """Return the experiments of every installed package by name, in the order of the report.

    A package registers a mapping of names to experiments under the entry point group "kernel_collapse.experiments".
    """
    found: dict[str, Experiment] = {}
    for entry in sorted(entry_points(group="kernel_collapse.experiments"), key=lambda entry: entry.name):
        found |= entry.load()
    return found
