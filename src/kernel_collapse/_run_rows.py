"""The rows of a run of experiments, experiment by experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kernel_collapse.experiments import REGISTRY

if TYPE_CHECKING:
    import pandas as pd

    from kernel_collapse.store import Store

__all__ = ["RunRows", "read"]


class RunRows(NamedTuple):
    """Every row once, the rows of each experiment, and how many there are to be."""

    rows: pd.DataFrame
    by_experiment: dict[str, pd.DataFrame]
    planned: int


def read(store: Store) -> RunRows:
    """Return the rows of a run, as far as it went, of the experiments that this version knows.

    A sweep of the user's has none. A trial that two experiments share is a row of both.
    """
    about = store.about()
    known = [REGISTRY[name] for name in about.get("experiments", ()) if name in REGISTRY]
    wanted = {e.name: {trial.key for trial in e.trials(about["preset"])} for e in known}
    planned = set().union(*wanted.values())
    rows = store.frame(planned)
    parts = {name: rows if rows.empty else rows[rows["key"].isin(keys)] for name, keys in wanted.items()}
    return RunRows(rows, parts, len(planned))
