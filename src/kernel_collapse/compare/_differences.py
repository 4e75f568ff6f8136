"""The comparison of two runs: trials, cells, verdicts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kernel_collapse._input_error import InputError
from kernel_collapse.collapse import WEIGHTINGS
from kernel_collapse.report.parts import Verdict
from kernel_collapse.report.style import NAMES
from kernel_collapse.runs.laws import data_names
from kernel_collapse.runs.run import Run
from kernel_collapse.runs.trials import Trial

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CHANGES", "KINDS", "NOISE", "ROUND_OFF", "Comparison", "compare"]

#: A relative change of NC1 that is no more than this is round-off.
ROUND_OFF = 1e-9
#: A change of a cell that is more than this many standard errors is beyond the noise of its seeds.
NOISE = 2.0

#: What may have become of a trial of both runs.
CHANGES = ("identical", "same NC1", "round-off", "changed", "status changed", "failed in both")
#: What the change of a cell is, in the order in which it is told.
KINDS = ("beyond seed noise", "one seed", "within seed noise", "round-off")

_COLUMNS = {
    "cells": [
        "cell",
        "weighting",
        "unit",
        "a",
        "b",
        "difference",
        "error",
        "errors",
        "largest",
        "seeds_a",
        "seeds_b",
        "in_both",
        "kind",
    ],
    "rows": ["key", "cell", "seed", "status_a", "status_b", "message_a", "message_b", "change", "relative"],
    "quantities": ["quantity", "rows", "differ", "largest"],
    "verdicts": ["experiment", "claim", "a", "b", "answer_a", "answer_b"],
}


@dataclass(frozen=True)
class Comparison:
    """What changed from run A to run B.

    Attributes
    ----------
    a, b : Path
        The folders.
    counts : DataFrame
        Columns ``what`` and ``trials``: how many are identical bit for bit, changed, in one run only, ...
    about : DataFrame
        Columns ``what``, ``a``, ``b``: presets, versions and environment that differ.
    rows : DataFrame
        A row a trial of both runs: its ``cell`` and ``seed``, status and message in either, ``change`` (one of
        `CHANGES`), and the largest ``relative`` change of NC1 under any weighting.
    cells : DataFrame
        A row for each cell (a trial without its seed) whose NC1 is not the same bit for bit, most notable first: means
        ``a`` and ``b`` of log10 NC1 under one ``weighting`` (of NC1 itself where it has no logarithm; see ``unit``),
        over the seeds of both runs, or all if they share none; the ``difference``, its standard ``error`` over seeds,
        and how many ``errors`` it is; the ``largest`` change of a single seed; ``seeds_a``, ``seeds_b``, those
        ``in_both``; ``kind`` (one of `KINDS`).
    quantities : DataFrame
        A row a result: of how many ``rows``, how many ``differ``, and its ``largest`` relative change.
    verdicts : DataFrame
        A row for each ``claim`` of an ``experiment`` whose status is not the same in ``a`` and ``b``; "not judged"
        where the experiment is not in a run, or did not go far enough.
    """

    a: Path
    b: Path
    counts: pd.DataFrame
    about: pd.DataFrame
    rows: pd.DataFrame
    cells: pd.DataFrame
    quantities: pd.DataFrame
    verdicts: pd.DataFrame


def compare(a: str | Path, b: str | Path) -> Comparison:
    """Return what changed from run A to run B; nothing is written.

    Parameters
    ----------
    a, b : path
        Folders of runs of `kernel-collapse reproduce` or `run`, finished or not, of any preset and version.

    Raises
    ------
    ValueError
        If a folder holds no run, or both are the same.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from kernel_collapse.compare import compare
    >>> from kernel_collapse.runs.store import Store
    >>> from kernel_collapse.runs.trials import GaussianClasses, Trial, compute
    >>> trial = Trial(data=GaussianClasses(n=20, dim=3), measurement={"kernel": "data"}, seed=0)
    >>> folders = [pathlib.Path(tempfile.mkdtemp()) for _ in "ab"]
    >>> for folder in folders:
    ...     with Store(folder, {"name": "example"}) as store:
    ...         store.add(trial, status="ok", results=compute(trial), seconds=0.0)
    >>> int(compare(*folders).counts.set_index("what")["trials"]["identical bit for bit"])
    1
    """
    first, second = Path(a), Path(b)
    if first.resolve() == second.resolve():
        raise InputError("both folders", f"{str(first)!r}", "two runs", "give another one", verb="are")
    run_a, run_b = Run(first), Run(second)
    runs = {"a": _trials(run_a), "b": _trials(run_b)}
    rows = _rows(**runs)
    return Comparison(
        first,
        second,
        _counts(rows, **runs),
        _about(run_a.about, run_b.about),
        rows,
        _cells(**runs),
        _quantities(**runs),
        _verdicts(run_a, run_b),
    )


def _trials(run: Run) -> dict[str, dict[str, Any]]:
    """Return the rows of a run by key, each with its cell; of a sweep, those that its file names."""
    named, found = run.named(), {}
    understood = [row.trial.data for row in run.rows if row.trial is not None]
    data_name = data_names(understood, [trial.data for trial in (named or {}).values()])
    for row in run.rows:
        if row.trial is None:
            where = {name: row.specification.get(name) for name in ("data", "measurement")}
            key, cell = row.key, json.dumps(where, sort_keys=True)
            group = cell
        else:
            key, cell = row.trial.key, _name(row.trial, data_name(row.trial.data))
            group = row.trial.model_copy(update={"seed": 0}).key
        if named is None or key in named:
            seed = row.specification.get("seed")
            found[key] = {**row._asdict(), "cell": cell, "group": group, "seed": seed}
    return found


def _name(trial: Trial, data: str) -> str:
    """Name a cell by its data, and by the options of its measurement that are not the default."""
    law, measured = trial.data, trial.measurement.model_dump(exclude_defaults=True)
    sizes = "" if law.class_sizes is None else f", {'/'.join(map(str, law.class_sizes))}"
    kernel, activation = trial.measurement.kernel, getattr(trial.measurement, "activation", None)
    what = " ".join(NAMES.get(part, part) for part in (activation, kernel) if isinstance(part, str))
    options = [f"{k} {v}" for k, v in measured.items() if k not in ("kernel", "activation")]
    return ", ".join([f"{data}, N={law.n}, d={law.dim}{sizes}: {what}", *options])


def _rows(a: dict[str, Any], b: dict[str, Any]) -> pd.DataFrame:
    """Return what became of each trial of both runs."""
    return pd.DataFrame(
        [
            {
                "key": key,
                "cell": b[key]["cell"],
                "seed": b[key]["seed"],
                **{
                    f"{name}_{side}": run[key][name]
                    for name in ("status", "message")
                    for side, run in (("a", a), ("b", b))
                },
                **_change(a[key], b[key]),
            }
            for key in sorted(a.keys() & b.keys())
        ],
        columns=_COLUMNS["rows"],
    )


def _change(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return the kind of change of one trial, and how large it is."""
    statuses = {first["status"], second["status"]}
    if statuses != {"ok"}:
        return {"change": "status changed" if len(statuses) > 1 else "failed in both", "relative": np.nan}
    relative = max(
        (_relative(first["results"].get(name), second["results"].get(name)) for name in _nc1s(first, second)),
        default=0.0,
    )
    if _bits(first["results"]) == _bits(second["results"]):
        change = "identical"
    elif relative == 0:
        change = "same NC1"
    else:
        change = "round-off" if relative <= ROUND_OFF else "changed"
    return {"change": change, "relative": relative}


def _nc1s(*rows: dict[str, Any]) -> list[str]:
    """Return the names of NC1 under the weightings that any of the rows has."""
    return [f"nc1_{w}" for w in WEIGHTINGS if any(f"nc1_{w}" in row["results"] for row in rows)]


def _bits(results: Any) -> str:
    return json.dumps(results, sort_keys=True)


def _relative(first: Any, second: Any) -> float:
    """Return the largest relative change of a number or a list of them; infinite for what cannot be compared."""
    if _bits(first) == _bits(second):
        return 0.0
    try:
        old, new = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    except (TypeError, ValueError):
        return float("inf")
    if old.shape != new.shape:
        return float("inf")
    old, new = (values[~_same(old, new)] for values in (old, new))
    if not (
        np.isfinite(old) & np.isfinite(new)
    ).all():  # to or from infinity or no number, or to the other infinity
        return float("inf")
    size = np.maximum(np.abs(old), np.abs(new))
    return float(np.abs(new / size - old / size).max(initial=0.0))


def _same(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Tell which entries are equal, two that are no numbers among them."""
    found: np.ndarray = (old == new) | (np.isnan(old) & np.isnan(new))
    return found


def _counts(rows: pd.DataFrame, a: dict[str, Any], b: dict[str, Any]) -> pd.DataFrame:
    names = {
        "identical": "identical bit for bit",
        "same NC1": "same NC1, another result differs",
        "round-off": f"NC1 within round-off ({ROUND_OFF:g})",
        "changed": "NC1 changed",
        "status changed": "status changed",
        "failed in both": "failed in both",
    }
    found = {name: int((rows["change"] == change).sum()) for change, name in names.items()}
    found |= {"only in A": len(a.keys() - b.keys()), "only in B": len(b.keys() - a.keys())}
    return pd.DataFrame({"what": list(found), "trials": list(found.values())})


def _about(a: Mapping[str, Any], b: Mapping[str, Any]) -> pd.DataFrame:
    """Return what is known of the runs, and differs."""

    def flat(about: Mapping[str, Any]) -> dict[str, str]:
        plain = {name: v for name, v in about.items() if name not in ("environment", "specification", "toml")}
        said = {name: ", ".join(v) if isinstance(v, list) else str(v) for name, v in plain.items()}
        if "toml" in about:
            said["SHA-256 of the sweep's file"] = hashlib.sha256(about["toml"].encode()).hexdigest()[:12]
        return said | {name: str(value) for name, value in about.get("environment", {}).items()}

    first, second = flat(a), flat(b)
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    entries = [(name, first.get(name, "–"), second.get(name, "–")) for name in names]
    return pd.DataFrame(entries, columns=["what", "a", "b"])


def _cells(a: dict[str, Any], b: dict[str, Any]) -> pd.DataFrame:
    """Return the cells that both runs have and whose NC1 is not the same, most notable first."""
    groups: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for side, run in enumerate((a, b)):
        for key, row in run.items():
            if row["status"] == "ok":
                groups.setdefault(row["group"], ({}, {}))[side][key] = row
    found = [_cell(*sides) for sides in groups.values() if all(sides)]
    table = pd.DataFrame([cell for cell in found if cell is not None], columns=_COLUMNS["cells"])
    order = table.assign(
        rank=table["kind"].map(KINDS.index), size=-table["errors"].abs(), most=-table["largest"].abs()
    ).sort_values(["rank", "size", "most", "cell"], kind="stable")
    return table.loc[order.index].reset_index(drop=True)


def _cell(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any] | None:
    """Return the change of a cell under the weighting that changed most notably, the first of them, or none."""
    shared = sorted(a.keys() & b.keys())
    first, second = ([run[key] for key in shared or sorted(run)] for run in (a, b))
    changes = []
    for quantity in _nc1s(*first, *second):
        old, new = (
            np.array([row["results"].get(quantity, np.nan) for row in rows], float)
            for rows in (first, second)
        )
        if not np.array_equal(old, new, equal_nan=True):
            changes.append(
                {
                    "cell": next(iter(b.values()))["cell"],
                    "weighting": quantity.removeprefix("nc1_"),
                    "seeds_a": len(a),
                    "seeds_b": len(b),
                    "in_both": len(shared),
                    **_against_noise(old, new, paired=bool(shared)),
                }
            )
    return min(changes, key=lambda change: KINDS.index(change["kind"]), default=None)


@np.errstate(invalid="ignore")  # the mean over seeds one of which is infinite
def _against_noise(old: np.ndarray, new: np.ndarray, paired: bool) -> dict[str, Any]:
    """Return the change of a mean over seeds, beside the standard error that it has from seeds alone.

    That is the error of the difference of two independent runs, so that a change is held against what other seeds
    would have changed, though the runs may have the same.
    """
    relative = _relative(old.tolist(), new.tolist()) if paired else np.inf
    if (
        paired
    ):  # a seed without a finite number in both runs says nothing; one that has it in one of them is a change
        known = np.isfinite(old) | ~_same(old, new)
        old, new = old[known], new[known]
    logs = bool((old > 0).all() and (new > 0).all())
    if logs:
        old, new = np.log10(old), np.log10(new)
    difference = float(new.mean() - old.mean())
    several = min(len(old), len(new)) > 1
    error = (
        float(np.hypot(*(side.std(ddof=1) / np.sqrt(len(side)) for side in (old, new))))
        if several
        else np.nan
    )
    errors = abs(difference) / error if several and error > 0 else np.inf if several else np.nan
    if relative <= ROUND_OFF:
        kind = "round-off"
    elif not several:
        kind = "one seed"
    else:
        kind = "within seed noise" if errors <= NOISE else "beyond seed noise"
    return {
        "unit": "decades" if logs else "NC1",
        "a": float(old.mean()),
        "b": float(new.mean()),
        "difference": difference,
        "error": error,
        "errors": errors,
        "largest": float(np.abs(new - old).max()) if paired else np.nan,
        "kind": kind,
    }


def _quantities(a: dict[str, Any], b: dict[str, Any]) -> pd.DataFrame:
    """Return how every result of the trials of both runs changed."""
    changes: dict[str, list[float]] = {}
    for key in sorted(a.keys() & b.keys()):
        if a[key]["status"] == b[key]["status"] == "ok":
            old, new = a[key]["results"], b[key]["results"]
            for name in old.keys() | new.keys():
                changes.setdefault(name, []).append(_relative(old.get(name), new.get(name)))
    entries = [
        (name, len(sizes), int(np.count_nonzero(sizes)), max(sizes))
        for name, sizes in sorted(changes.items())
    ]
    table = pd.DataFrame(entries, columns=_COLUMNS["quantities"])
    return (
        table[table["differ"] > 0]
        .sort_values("differ", ascending=False, kind="stable")
        .reset_index(drop=True)
    )


def _verdicts(a: Run, b: Run) -> pd.DataFrame:
    """Return the claims whose verdict is not the same on the rows of both runs."""
    first, second = ({(name, v.claim): v for name, v in _judge(run)} for run in (a, b))
    entries = []
    for name, claim in dict.fromkeys([*first, *second]):
        old, new = first.get((name, claim)), second.get((name, claim))
        statuses = [verdict.status if verdict else "not judged" for verdict in (old, new)]
        if statuses[0] != statuses[1]:
            answers = [verdict.answer if verdict else "–" for verdict in (old, new)]
            entries.append((name, claim, *statuses, *answers))
    return pd.DataFrame(entries, columns=_COLUMNS["verdicts"])


def _judge(run: Run) -> Iterable[tuple[str, Verdict]]:
    """Yield every verdict on the rows of a run, of the experiments that went far enough."""
    for name, part in run.experiments().by_name.items():
        if part.far_enough:
            for verdict in part.experiment.verdicts(part.rows):
                yield name, verdict
