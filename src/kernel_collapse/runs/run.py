"""A run as it is read: its description, its rows, and the one table that all code reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.runs import _salvage, tidy
from kernel_collapse.runs.experiments import PRESETS, registered
from kernel_collapse.runs.store import Store
from kernel_collapse.runs.sweep_file import Sweep
from kernel_collapse.runs.trials import describe_errors

if TYPE_CHECKING:
    import pandas as pd

    from kernel_collapse.runs.experiments import Experiment
    from kernel_collapse.runs.trials import Trial

__all__ = ["ExperimentRows", "Experiments", "Run", "results"]


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


class Experiments(NamedTuple):
    """Every row once, what there is of each experiment, how many rows there are to be, and what is not known."""

    rows: pd.DataFrame
    by_name: dict[str, ExperimentRows]
    planned: int
    unknown: list[str]


class Run:
    """A run as it is at the moment when it is opened; its folder is not touched.

    Parameters
    ----------
    folder : path
        Folder of a run of `kernel-collapse run` or `reproduce`, finished or not.

    Attributes
    ----------
    about : dict
        What identifies the run and what else is kept of it: see `Store.about`.
    rows : list of Row
        Every row that can be read, in the order of keys. The trial of a row may be one of another version: it is None.
    damaged : dict of str to str
        What of the file is damaged and left out; a `DamagedRows` warning names it too.

    Raises
    ------
    ValueError
        If the folder holds no run.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from kernel_collapse.runs.run import Run
    >>> from kernel_collapse.runs.store import Store
    >>> from kernel_collapse.runs.trials import GaussianClasses, Trial, compute
    >>> trial = Trial(data=GaussianClasses(n=20, dim=3), measurement={"kernel": "data"}, seed=0)
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with Store(folder, {"name": "example"}) as store:
    ...     store.add(trial, status="ok", results=compute(trial), seconds=0.0)
    >>> run = Run(folder)
    >>> run.about["name"], len(run.rows), run.frame()["n"].tolist()
    ('example', 1, [20])
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        with Store(folder) as store:
            self.path = store.path
            self.about = store.about()
            self.rows = list(store.records())
            self.damaged = dict(store.damaged)

    def sweep(self) -> Sweep | None:
        """Return the sweep that the run is of, or None if it is of experiments or was run from Python.

        Raises
        ------
        ValueError
            If this version does not understand the sweep.
        """
        if "specification" not in self.about:
            return None
        try:
            return Sweep.model_validate(self.about["specification"])
        except ValidationError as error:
            raise InputError(
                f"the sweep in {str(self.folder)!r}",
                f"none of this version ({describe_errors(error).rstrip('.')})",
                "one that it reads",
                "report it with the version that made it; `kernel-collapse results` writes its rows",
            ) from None

    def named(self) -> dict[str, Trial] | None:
        """Return the trials that the sweep names, by their keys; None where no sweep does that we know."""
        with contextlib.suppress(ValueError):  # of another version: all that there is, by key
            if (sweep := self.sweep()) is not None:
                return {trial.key: trial for trial in sweep.trials()}
        return None

    def frame(self, keys: Iterable[str] | None = None) -> pd.DataFrame:
        """Return the trials as a tidy table, a row a trial: its columns are those of `describe_columns`.

        Parameters
        ----------
        keys : iterable of str, optional
            Of the trials. By default these are the trials that the sweep names, in its order, or all there are, by key.

        Returns
        -------
        DataFrame
            Options of the data and the measurement, then what became of the trial. No result takes the place of an
            option: see `kernel_collapse.runs.tidy.tabulate`. A row whose trial this version does not understand is
            left out, and named in ``frame.attrs["damaged"]`` and by a `DamagedRows` warning.
        """
        named = self.named() if keys is None else None
        wanted = named if keys is None else set(keys)
        rows = [row for row in self.rows if wanted is None or row.key in wanted]
        if named is not None:
            order = {key: place for place, key in enumerate(named)}
            rows.sort(key=lambda row: order[row.key])
        faults = {f"row {row.key}": f"left out, {row.fault}" for row in rows if row.trial is None}
        if faults:
            _salvage.warn(self.path, faults)
        frame = tidy.tabulate(rows, (named or {}).values())
        if damaged := self.damaged | faults:
            frame.attrs["damaged"] = damaged
        return frame

    def experiments(self) -> Experiments:
        """Return the rows of the experiments that this version knows; a sweep of the user's has none.

        A trial that two experiments share is a row of both.

        Raises
        ------
        ValueError
            If the store does not say of which preset the run is.
        """
        names = self.about.get("experiments", ())
        if names and self.about.get("preset") not in PRESETS:
            raise InputError(
                f"the run in {str(self.folder)!r}",
                f"the preset {self.about.get('preset')!r}",
                f"one of {', '.join(PRESETS)}",
                "it is damaged, restore a copy; `kernel-collapse results` writes its rows",
                verb="has",
            )
        known = registered() if names else {}
        trials = {name: known[name].trials(self.about["preset"]) for name in names if name in known}
        keys = {name: {trial.key for trial in mine} for name, mine in trials.items()}
        planned = set().union(*keys.values())
        rows = self.frame(planned)
        parts = {
            name: ExperimentRows(
                known[name], mine, rows if rows.empty else rows[rows["key"].isin(keys[name])]
            )
            for name, mine in trials.items()
        }
        return Experiments(rows, parts, len(planned), [name for name in names if name not in known])


def results(folder: str | Path) -> pd.DataFrame:
    """Return the trials of a run as a tidy table, with one row per trial and one column per parameter and result.

    Parameters
    ----------
    folder : path
        Folder of a run of `kernel-collapse run` or `reproduce`, finished or not.

    Returns
    -------
    DataFrame
        In the order of the sweep. A column that does not apply to a trial is missing there (NaN or None); trials that
        failed or ran into their time limit have ``status`` "failed" or "timeout", a ``message`` and no numbers. Rows
        that are damaged are left out, named in ``frame.attrs["damaged"]`` and by a `DamagedRows` warning.
        ``frame.attrs["columns"]`` holds the meaning and unit of every column; `describe_columns` returns the same as
        a table. For a sweep the table contains the trials that its file named when it was last run. The rows of other
        trials stay in the folder.

    Raises
    ------
    ValueError
        If the folder holds no run.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import kernel_collapse as kc
    >>> from kernel_collapse.runs.store import Store
    >>> from kernel_collapse.runs.trials import GaussianClasses, Trial, compute
    >>> trial = Trial(data=GaussianClasses(n=20, dim=3), measurement={"kernel": "data"}, seed=0)
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with Store(folder, {"name": "example"}) as store:
    ...     store.add(trial, status="ok", results=compute(trial), seconds=0.0)
    >>> frame = kc.results(folder)
    >>> frame[["data", "n", "kernel", "status"]].values.tolist()
    [['D1', 20, 'data', 'ok']]
    >>> frame.attrs["columns"]["seconds"]
    {'meaning': 'time of the trial on one core', 'unit': 's'}
    """
    _validate.path(folder, "folder", "the folder of a run: try 'runs/sweep'")
    return Run(folder).frame()
