"""The rows of a run of experiments, experiment by experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kernel_collapse._input_error import InputError
from kernel_collapse.runs.experiments import PRESETS, registered

if TYPE_CHECKING:
    import pandas as pd

    from kernel_collapse.runs.experiments import Experiment
    from kernel_collapse.runs.store import Store
    from kernel_collapse.runs.trials import Trial

__all__ = ["ExperimentRows", "RunRows", "read"]


class ExperimentRows(NamedTuple):
    """What a run has of an experiment: the trials that it is made of, and their rows so far."""

    experiment: Experiment
    trials: list[Trial]
    rows: pd.DataFrame

    @property
    def far_enough(self) -> bool:
        """Whether every kernel of it has a finished trial, without which it can be neither drawn nor judged."""
        if self.rows.empty:
            return False
        needed = {trial.measurement.kernel for trial in self.trials}
        return needed <= set(self.rows.loc[self.rows["status"] == "ok", "kernel"])


class RunRows(NamedTuple):
    """Every row once, what there is of each experiment, how many rows there are to be, and what is not known."""

    rows: pd.DataFrame
    by_experiment: dict[str, ExperimentRows]
    planned: int
    unknown: list[str]


def read(store: Store) -> RunRows:
    """Return the rows of a run, as far as it went, of the experiments that this version knows.

    A sweep of the user's has none. A trial that two experiments share is a row of both.

    Raises
    ------
    ValueError
        If the store does not say of which preset the run is.
    """
    about = store.about()
    names = about.get("experiments", ())
    if names and about.get("preset") not in PRESETS:
        raise InputError(
            f"the run in {str(store.folder)!r}",
            f"the preset {about.get('preset')!r}",
            f"one of {', '.join(PRESETS)}",
            "it is damaged, restore a copy; `kernel-collapse results` writes its rows",
            verb="has",
        )
    known = registered() if names else {}
    trials = {name: known[name].trials(about["preset"]) for name in names if name in known}
    keys = {name: {trial.key for trial in mine} for name, mine in trials.items()}
    planned = set().union(*keys.values())
    rows = store.frame(planned)
    parts = {
        name: ExperimentRows(known[name], mine, rows if rows.empty else rows[rows["key"].isin(keys[name])])
        for name, mine in trials.items()
    }
    return RunRows(rows, parts, len(planned), [name for name in names if name not in known])
