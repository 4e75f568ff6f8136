"""Power laws and floors, fitted to every curve seed by seed, and what they say of its end."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kernel_collapse.report.intervals import CONFIDENCE, together
from kernel_collapse_paper.experiments._power_laws import Interval, fit_floor, floor_p_value, interval, slope
from kernel_collapse_paper.experiments.collapse_limits._grid import FACTORS, KERNELS, Factor, plan

#: Values at an end of a curve to which the power law and the floor are fitted.
ENDS, FLOORS = 3, 5
#: A fall of less than this many decades of NC1 a decade of the factor is none, nor is a rise of as little.
FLAT = 0.02
#: A floor that sinks further than to this with one value more is a curve that flattens, and no floor yet.
STAYS = 0.98
#: A floor is one that NC1 has come near to: it is at least this share of the lowest value.
REACHED = 0.5


class Curves(NamedTuple):
    """The rows of every factor, as `prepare` returns them, and what is fitted to each curve."""

    logs: pd.DataFrame
    fitted: pd.DataFrame


def curves(rows: pd.DataFrame) -> Curves:
    """Return the curves that these rows make, and what is fitted to them."""
    logs = prepare(rows)
    return Curves(logs, fits(logs))


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each row once for every factor that it stands for, with `ended`: how the solver did, or failed to."""
    rows = rows.merge(plan(), on="key")
    said = rows["message"].fillna("").astype(str).str.extract(r"\(([a-z_]+),", expand=False)
    failed = rows["status"] != "ok"
    rows["ended"] = np.where(failed, said.fillna(rows["status"]), rows["solver"].fillna("converged"))
    nc1 = rows["nc1_paper"].where(~failed)
    rows["log_nc1"] = np.log10(nc1.where(nc1 > 0))
    # The base point is on every curve; where a kernel has no other there is no curve.
    return rows[rows.groupby(["factor", "kernel"])["value"].transform("nunique") >= ENDS]


def converged(logs: pd.DataFrame, factor: Factor, kernel: str) -> pd.DataFrame:
    """Return log10 NC1 of the trials that converged: a row a value in the order of the factor, a column a seed."""
    part = logs[(logs["factor"] == factor.name) & (logs["kernel"] == kernel) & (logs["ended"] == "converged")]
    table = part.pivot_table(index="value", columns="seed", values="log_nc1")
    return table.reindex([float(v) for v in factor.values if float(v) in table.index])


def _slopes(table: pd.DataFrame) -> list[float]:
    """Return the slope of log10 NC1 against log10 of the factor of each seed."""
    found = []
    for seed in table:
        part = table[seed].dropna()
        if len(part) >= 2:
            found.append(slope(part.index.to_numpy(), 10 ** part.to_numpy()))
    return found


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the values at which at least half of the seeds converged."""
    return table[table.notna().sum(axis=1) >= max(2, table.shape[1] / 2)]


def fits(logs: pd.DataFrame) -> pd.DataFrame:
    """Return what is fitted to every curve: a row a factor and kernel, with intervals that hold together.

    Slopes of log10 NC1 against log10 of the factor at either end, the lowest NC1 and where it is, how far the end is
    above it (decades), the floor as a share of NC1 at the end, and how many trials converged.
    """
    cells = [
        (factor, kernel)
        for factor in FACTORS
        for kernel in KERNELS
        if ((logs["factor"] == factor.name) & (logs["kernel"] == kernel)).any()
    ]
    if not cells:
        return pd.DataFrame(columns=["factor", "kernel", "verdict"])
    level = together(len(cells))
    found = pd.DataFrame([_fit(logs, factor, kernel, level) for factor, kernel in cells])
    return found.assign(verdict=[_judge(row) for _, row in found.iterrows()])


def _fit(logs: pd.DataFrame, factor: Factor, kernel: str, level: float) -> dict[str, Any]:
    all_of_it = logs[(logs["factor"] == factor.name) & (logs["kernel"] == kernel)]
    lost = all_of_it[all_of_it["ended"] != "converged"]["ended"].value_counts()
    table = usable(converged(logs, factor, kernel))
    nan = Interval(np.nan, np.nan, np.nan)
    row: dict[str, Any] = {"factor": factor.name, "kernel": kernel}
    start = end = rise = share = kept = nan
    p, lowest, at, last, of_nngp = (np.nan,) * 5
    if len(table) >= 2:
        start, end = (interval(_slopes(t), level) for t in (table.iloc[:ENDS], table.iloc[-ENDS:]))
        means = table.mean(axis=1)
        at, last = float(means.idxmin()), float(table.index[-1])
        lowest = float(10 ** means.min())
        nngp = converged(logs, factor, "nngp")
        of_nngp = lowest / 10 ** nngp.loc[at].mean() if at in nngp.index else np.nan
        if at == last:
            every = _floors(table.iloc[-FLOORS:])
            share = interval([fit.share for fit in every], level)
            p = floor_p_value(list(every))
            kept = _stays(table, level) if share.low > REACHED else nan
        else:  # the lowest was chosen among all values
            rise = interval(table.loc[last] - table.loc[at], 1.0 - (1.0 - level) / (len(table) - 1))
    towards = 1.0 if factor.values[-1] > factor.values[0] else -1.0
    fall = sorted((-towards * end.low, -towards * end.high))
    for name, found in (("slope at the start", start), ("slope at the end", end)):
        row |= {name: found.mean, f"{name}, low": found.low, f"{name}, high": found.high}
    return row | {
        "fall low": fall[0],
        "fall high": fall[1],
        "lowest NC1": lowest,
        "at": at,
        "of the NNGP": of_nngp,
        "end": last,
        "rise to the end": rise.mean,
        "rise low": rise.low,
        "floor": share.mean,
        "floor low": share.low,
        "floor high": share.high,
        "floor p": p,
        "floor kept": kept.mean,
        "floor kept, high": kept.high,
        "trials": len(all_of_it),
        "not converged": ", ".join(f"{count} {status}" for status, count in lost.items()),
    }


def _floors(table: pd.DataFrame) -> pd.Series[Any]:
    """Return the floor that is fitted to each seed, where it has four values or more."""
    decades = np.abs(np.log10(table.index.to_numpy()) - np.log10(table.index[-1]))
    found = {}
    for seed in table:
        there = table[seed].notna().to_numpy()
        if there.sum() >= 4:
            found[seed] = fit_floor(decades[there], 10 ** table[seed].to_numpy()[there])
    return pd.Series(found, dtype=object)


def _stays(table: pd.DataFrame, level: float) -> Interval:
    """Return the floor over the one that is fitted without the last value."""
    before, after = (_floors(part.iloc[-FLOORS:]) for part in (table.iloc[:-1], table))
    pairs = [(before[seed].floor, after[seed].floor) for seed in after.index.intersection(before.index)]
    return interval([now / then for then, now in pairs if then > 0], level)


def _judge(row: pd.Series[Any]) -> str:
    """Return "holds" for a fall without a floor in sight, "fails" for a rise, no fall, or a floor."""
    floor = row["floor low"] > REACHED and row["floor p"] < 1 - CONFIDENCE and row["floor kept, high"] > STAYS
    if row["rise low"] > FLAT or row["fall high"] < FLAT or floor:
        return "fails"
    falls = row["fall low"] > FLAT and row["at"] == row["end"]
    return "holds" if falls and row["floor high"] < REACHED else "undecided"


def digits_of(width: float) -> int:
    """Return the decimals that a number with an interval of that width has."""
    return 3 if width < 0.02 else 2


def rounded(value: float, digits: int) -> str:
    """Return a number with so many decimals."""
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no minus before a zero
