"""The rows of a run of experiments, experiment by experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_collapse.experiments import REGISTRY

if TYPE_CHECKING:
    import pandas as pd

    from kernel_collapse.store import Store

__all__ = ["by_experiment"]


def by_experiment(store: Store) -> dict[str, pd.DataFrame]:
    """Return the rows of each experiment of a run that this version knows, as far as it went.

    A sweep of the user's has none. A trial that two experiments share is a row of both.
    """
    about = store.about()
    known = [REGISTRY[name] for name in about.get("experiments", ()) if name in REGISTRY]
    wanted = {e.name: {trial.key for trial in e.trials(about["preset"])} for e in known}
    rows = store.frame(key for keys in wanted.values() for key in keys)
    return {name: rows if rows.empty else rows[rows["key"].isin(keys)] for name, keys in wanted.items()}
