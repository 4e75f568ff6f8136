"""A claim judged twice, on the published code's numbers and on the right ones, and whether it survives.

A claim of order is a gap of log10 NC1, positive where the claim holds, seed by seed. A claim that two kernels go
different ways is judged step by step over the dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.intervals import CONFIDENCE, TIE
from kernel_collapse.report.parts import Verdict
from kernel_collapse.report.style import NAMES
from kernel_collapse_paper.experiments.designs import name_balanced, name_imbalanced

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SURVIVALS", "Judgement", "gaps", "judge", "judge_trend", "name_cell", "survival", "trend"]

#: Everything that can be said of a claim, from best to worst.
SURVIVALS = (
    "survives, more strongly",
    "survives",
    "not touched",
    "holds only with the right numbers",
    "survives in part",
    "does not survive",
    "holds with neither",
    "undecided with the right numbers",
    "cannot be judged yet",
)

TREND_TEST = (
    "Per step from one dimension to the next, the mean over seeds of the change of log10 NC1 of the network and of "
    f"the kernel, each with a t interval; all intervals hold together with {CONFIDENCE:.0%} confidence (Bonferroni). "
    "A step counts where neither interval holds 0."
)


class Judgement(NamedTuple):
    """A claim with the verdict on either side, and what becomes of it (one of `SURVIVALS`)."""

    claim: str
    published: Verdict
    right: Verdict
    survives: str


def name_cell(row: pd.Series[Any]) -> str:
    """Name a cell by whichever of the columns of cells it has."""
    where = name_balanced(row) if "n" in row else name_imbalanced(row)
    what = " ".join(NAMES[row[column]] for column in ("activation", "kernel") if column in row)
    at = f"both at {row['scale']}" if "scale" in row else ""
    return ", ".join(part for part in (at, what, where) if part)


def gaps(low: pd.DataFrame, high: pd.DataFrame, cells: Sequence[str]) -> pd.DataFrame:
    """Return ``high - low`` in log10 NC1 of each cell and seed that both have, as the column ``gap``."""
    on = [*cells, "seed"]
    both = low[[*on, "log_nc1"]].merge(high[[*on, "log_nc1"]], on=on, suffixes=("_low", ""))
    return both.assign(gap=both["log_nc1"] - both["log_nc1_low"])[[*on, "gap"]].dropna()


def judge(
    claim: str,
    sides: Sequence[pd.DataFrame],
    cells: Sequence[str],
    *,
    gap: str,
    margin: float | None = None,
    ties_hold: bool = False,
    name: Callable[[Any], str] = name_cell,
) -> Judgement:
    """Judge "the gap is positive in every cell" (or below `margin` in size) on `gaps` as published, and as right."""
    published, right = sides

    def verdict(of: pd.DataFrame) -> Verdict:
        table = intervals.paired(of.assign(gap=0.0), of, "gap", cells)
        if margin is not None:
            return intervals.within(claim, table, name, margin=margin, gap=gap)
        return intervals.above_zero(claim, table, name, gap=gap, ties_hold=ties_hold)

    def strength(of: pd.DataFrame) -> pd.DataFrame:
        return of if margin is None else of.assign(gap=-of["gap"].abs())

    before, after = verdict(published), verdict(right)
    gain = intervals.paired(strength(published), strength(right), "gap", cells)
    gain = gain.assign(cell=[name(row) for _, row in gain.iterrows()])
    return Judgement(claim, before, after, survival(before, after, gain))


def survival(published: Verdict, right: Verdict, gain: pd.DataFrame) -> str:
    """Return what becomes of a claim, from its two verdicts and what its gap gains in each cell.

    Only cells that both verdicts judge count. It survives if it holds, with the right numbers, wherever it held with
    the published ones; more strongly, if there the simultaneous interval of the gain is above zero in every cell.
    """
    if gain.empty:
        return "cannot be judged yet"
    both = published.evidence[["cell", "verdict"]].merge(
        right.evidence[["cell", "verdict"]], on="cell", suffixes=("_published", "_right")
    )
    both = both.merge(gain[["cell", "difference", "low"]], on="cell")
    if (both["difference"].abs() < TIE).all():
        return "not touched"
    held, holds = both["verdict_published"] == "holds", both["verdict_right"] == "holds"
    if not held.any() and holds.any():
        return "holds only with the right numbers"
    if not (held & holds).any():
        return _lost(right, held.any())
    if (held & ~holds).any():
        return "survives in part"
    return "survives, more strongly" if (both.loc[held, "low"] > TIE).all() else "survives"


def _lost(right: Verdict, held: bool) -> str:
    """Return what becomes of a claim that the right numbers bear out in no cell."""
    if right.status == "undecided":
        return "undecided with the right numbers"
    return "does not survive" if held else "holds with neither"


def trend(
    claim: str, network: pd.DataFrame, kernel: pd.DataFrame, series: Sequence[str], along: str = "dim"
) -> Verdict:
    """Return the verdict on "somewhere along a column, NC1 of the kernel goes against that of the network".

    Evidence: a row a step, ``of network`` and ``of kernel`` (mean changes of log10 NC1), ``verdict``: "holds" where
    they go different ways, "fails" where they go the same way, "undecided" where one may not go anywhere.
    """
    sides = [
        _changes(rows, series, along).assign(side=side) for side, rows in (("n", network), ("k", kernel))
    ]
    cells = [*series, "step"]
    shared = sides[0][cells].merge(sides[1][cells]).drop_duplicates()
    changes = pd.concat(sides).merge(shared, on=cells)
    if changes.empty:
        empty = pd.DataFrame(columns=[*cells, "of network", "of kernel", "cell", "verdict"])
        return Verdict(claim, "undecided", "No cell that both have.", TREND_TEST, empty)
    found = intervals.paired(changes.assign(change=0.0), changes, "change", ["side", *cells])
    sure = (found["low"] > TIE) | (found["high"] < -TIE)
    found["sign"] = np.where(sure, np.sign(found["difference"]), 0.0)
    of = {side: found[found["side"] == side].set_index(cells) for side in "nk"}
    product = of["n"]["sign"] * of["k"]["sign"]
    table = pd.DataFrame(
        {
            "of network": of["n"]["difference"],
            "of kernel": of["k"]["difference"],
            "verdict": np.select([product < 0, product > 0], ["holds", "fails"], "undecided"),
        }
    ).reset_index()
    table["cell"] = [_name_step(row, along) for _, row in table.iterrows()]
    against, same = table["verdict"] == "holds", table["verdict"] == "fails"
    status = "holds" if against.any() else "does not hold" if same.all() else "undecided"
    answer = f"Against the network in {int(against.sum())} of {len(table)} steps"
    if against.any():
        answer += f" ({intervals._some(table[against])})"
    answer += f"; with it in {int(same.sum())}"
    rest = len(table) - int(against.sum()) - int(same.sum())
    answer += f"; undecided in {rest}." if rest else "."
    return Verdict(claim, status, answer, TREND_TEST, table)


def judge_trend(
    claim: str,
    sides: Sequence[tuple[pd.DataFrame, pd.DataFrame]],
    series: Sequence[str],
    along: str = "dim",
) -> Judgement:
    """Judge a claim of `trend` on two pairs of network and kernel, published and right."""
    before, after = (trend(claim, network, kernel, series, along) for network, kernel in sides)
    return Judgement(claim, before, after, trend_survival(before, after))


def trend_survival(published: Verdict, right: Verdict) -> str:
    """Return what becomes of a claim that needs one step: more strongly is more steps."""
    if published.evidence.empty or right.evidence.empty:
        return "cannot be judged yet"
    both = published.evidence.merge(right.evidence, on="cell", suffixes=("_published", "_right"))
    if both.empty:
        return "cannot be judged yet"
    moved = [
        (both[f"{side}_published"] - both[f"{side}_right"]).abs() for side in ("of network", "of kernel")
    ]
    if max(part.max() for part in moved) < TIE:
        return "not touched"
    before, after = (int((both[f"verdict_{side}"] == "holds").sum()) for side in ("published", "right"))
    if after and not before:
        return "holds only with the right numbers"
    if not after:
        return _lost(right, before > 0)
    return "survives, more strongly" if after > before else "survives"


def _name_step(row: pd.Series[Any], along: str) -> str:
    if "class_sizes" in (along, *row.index):
        sizes = row["step"] if along == "class_sizes" else "/".join(map(str, row["class_sizes"]))
        return f"{sizes}, d={row['step'] if along == 'dim' else row['dim']}"
    return name_balanced(row.rename({"step": along}))


def _changes(rows: pd.DataFrame, series: Sequence[str], along: str) -> pd.DataFrame:
    """Return the change of log10 NC1 from each value of a column to the next, for each series and seed."""
    values = sorted(rows[along].unique())
    of = {value: rows.loc[rows[along] == value, [*series, "seed", "log_nc1"]] for value in values}
    parts = []
    for low, high in pairwise(values):
        both = of[low].merge(of[high], on=[*series, "seed"], suffixes=("_low", ""))
        both["change"] = both["log_nc1"] - both["log_nc1_low"]
        parts.append(both[[*series, "seed", "change"]].dropna().assign(step=f"{_said(low)} to {_said(high)}"))
    return pd.concat(parts) if parts else pd.DataFrame(columns=[*series, "seed", "change", "step"])


def _said(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)
