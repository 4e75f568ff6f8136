"""How rows become verdicts: paired differences over seeds, with simultaneous intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse.report.parts import Verdict
from kernel_collapse.report.style import NAMES

__all__ = ["TEST", "above_zero", "half_width", "paired", "summarise", "together", "within"]

CONFIDENCE = 0.95

#: Differences below this many decades are ties: they are round-off, or an identity of the kernels.
TIE = 1e-6

TEST = (
    f"Per cell, the mean over seeds of the paired difference of log10 NC1, with a t interval; the intervals of all "
    f"cells hold together with {CONFIDENCE:.0%} confidence (Bonferroni). Differences below {TIE:g} decades are ties."
)

Cell = Callable[["pd.Series[Any]"], str]


def together(intervals: int) -> float:
    """Return the confidence of each of so many intervals that hold together with `CONFIDENCE` (Bonferroni)."""
    return 1.0 - (1.0 - CONFIDENCE) / max(intervals, 1)


def half_width(deviation: Any, count: Any, confidence: float) -> Any:
    """Return half of the t interval of a mean, from the standard deviation of what is averaged and how many it is.

    Numbers, arrays or columns; NaN where the standard deviation is, as that of a single value.
    """
    from scipy.stats import t

    return deviation / np.sqrt(count) * t.ppf(0.5 + confidence / 2.0, np.maximum(count - 1, 1))


def summarise(rows: pd.DataFrame, value: str, cells: Sequence[str]) -> pd.DataFrame:
    """Return mean, standard deviation over seeds and number of seeds of a column, a row a cell."""
    groups = rows.groupby(list(cells), sort=True, dropna=False)[value]
    return groups.agg(mean="mean", std="std", seeds="count").reset_index()


def paired(
    first: pd.DataFrame,
    second: pd.DataFrame,
    value: str,
    cells: Sequence[str],
    *,
    pair: Sequence[str] = ("seed",),
) -> pd.DataFrame:
    """Return the mean of ``second - first`` in each cell, paired over seeds, with its simultaneous interval.

    Columns: the cells, ``first``, ``second`` (means), ``difference``, ``low``, ``high``, ``seeds``. With fewer
    than two pairs there is no interval: ``low`` and ``high`` are NaN.
    """
    on = [*cells, *pair]
    both = first[[*on, value]].merge(second[[*on, value]], on=on, suffixes=("_first", "_second"))
    both = both.rename(columns={f"{value}_first": "first", f"{value}_second": "second"}).dropna()
    both["difference"] = both["second"] - both["first"]
    groups = both.groupby(list(cells), sort=True)
    table = groups[["first", "second", "difference"]].mean()
    table["seeds"] = groups.size()
    half = half_width(groups["difference"].std(ddof=1), table["seeds"], together(len(table)))
    table["low"], table["high"] = table["difference"] - half, table["difference"] + half
    return table.reset_index()


def above_zero(
    claim: str,
    table: pd.DataFrame,
    cell: Cell,
    *,
    gap: str = "gap",
    ties_hold: bool = False,
    by: str | None = None,
) -> Verdict:
    """Return the verdict on "the difference is positive in every cell" (or not negative, if `ties_hold`)."""
    tie = np.maximum(table["low"].abs(), table["high"].abs()) < TIE
    yes = (tie & ties_hold) | (~tie & (table["low"] > 0))
    no = (tie & (not ties_hold)) | (~tie & (table["high"] < 0))
    return _verdict(claim, table, yes, no, tie, cell, gap, by)


def within(
    claim: str, table: pd.DataFrame, cell: Cell, *, margin: float, gap: str = "gap", by: str | None = None
) -> Verdict:
    """Return the verdict on "the difference is below `margin` in size in every cell" (two one-sided tests)."""
    inside = (table["low"] > -margin) & (table["high"] < margin)
    outside = (table["low"] > margin) | (table["high"] < -margin)
    return _verdict(claim, table, inside, outside, inside & False, cell, gap, by)


def _verdict(
    claim: str,
    table: pd.DataFrame,
    yes: pd.Series[bool],
    no: pd.Series[bool],
    tie: pd.Series[bool],
    cell: Cell,
    gap: str,
    by: str | None,
) -> Verdict:
    """Count the cells that say yes, no, or neither, and put the counts and the extremes into a sentence."""
    names = [cell(row) for _, row in table.iterrows()]
    table = table.assign(cell=names, verdict=np.select([yes, no], ["holds", "fails"], "undecided"))
    total, held, failed = len(table), int(yes.sum()), int(no.sum())
    if total == 0:
        return Verdict(claim, "undecided", "No pair of finished trials to compare.", TEST, table)
    answer = f"In {held} of {total} cells"
    if by is not None:
        shares = [
            f"{NAMES.get(key, key)} {int(yes[part.index].sum())} of {len(part)}"
            for key, part in table.groupby(by)
        ]
        answer += f" ({', '.join(shares)})"
    if (tie & yes).any():
        answer += f", {int((tie & yes).sum())} of them ties ({_some(table[tie & yes])})"
    if failed:
        answer += f"; fails in {failed} ({_some(table[no])})"
    if total > held + failed:
        answer += f"; undecided in {total - held - failed} ({_some(table[~yes & ~no])})"
    smallest, largest = (table.loc[table["difference"].agg(which)] for which in ("idxmin", "idxmax"))
    ends = [f"{row['difference']:+.3f}".replace("-", "−") for row in (smallest, largest)]
    answer += (
        f". The {gap} runs from {ends[0]} ({smallest['cell']}) to {ends[1]} decades ({largest['cell']})."
    )
    return Verdict.of_cells(claim, answer, TEST, table)


def _some(table: pd.DataFrame, most: int = 4) -> str:
    more = len(table) - most
    return "; ".join(table["cell"].head(most)) + (f"; and {more} more" if more > 0 else "")
