"""The published code's numbers beside the right ones: one pair of tables for each of its four defects.

Each function gives rows of log10 NC1 as the published code has it and as it is right, with the samples, and so cells
and seeds, in common; `against` compares them cell by cell and `table` is what a report shows of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from kernel_collapse.report.intervals import TIE, paired
from kernel_collapse.report.parts import Table
from kernel_collapse_paper.experiments.logs import by_readout, with_logs

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SCALES",
    "Sides",
    "against",
    "differ",
    "erf_ntk",
    "erf_ntk_table",
    "label_term",
    "label_term_table",
    "readout",
    "readout_table",
    "weighting",
    "weighting_table",
]

#: The scales at which network and equations of state are compared like with like, as a table names them.
SCALES = {"published": "1.97²", "mean-field": "1/128"}


class Sides(NamedTuple):
    """What the published code computes, and what is right, with log10 NC1 (or a gap of it) in `log_nc1`."""

    published: pd.DataFrame
    right: pd.DataFrame
    cells: list[str]


def erf_ntk(rows: pd.DataFrame, cells: Sequence[str]) -> Sides:
    """Return the NTK of erf, with the published code's derivative kernel and with the right one."""
    logs = with_logs(rows)
    erf = logs[logs["activation"] == "erf"]
    return Sides(erf[erf["kernel"] == "ntk-published"], erf[erf["kernel"] == "ntk"], list(cells))


def label_term(rows: pd.DataFrame, cells: Sequence[str]) -> Sides:
    """Return the adaptive kernel, with the published label term and with that of the equations of state."""
    logs = with_logs(rows)
    return Sides(
        logs[logs["kernel"] == "adaptive-published"], logs[logs["kernel"] == "adaptive"], list(cells)
    )


def weighting(rows: pd.DataFrame, cells: Sequence[str]) -> Sides:
    """Return every kernel that is right itself, weighted as the published kernel code does and as features are."""

    def weighted(name: str) -> pd.DataFrame:
        logs = with_logs(rows, name)
        return logs[logs["kernel"].isin(["nngp", "ntk", "adaptive"])]

    return Sides(weighted("published"), weighted("paper"), ["activation", "kernel", *cells])


def readout(rows: pd.DataFrame, cells: Sequence[str]) -> Sides:
    """Return the gap log10 NC1(network) − log10 NC1(adaptive), erf: of the published pair of scales, and at each one.

    The published networks start with a readout variance of 1.97², the published equations of state have 1/128.
    """
    import pandas as pd

    logs = by_readout(rows)
    logs = logs[logs["activation"] == "erf"]
    on = [*cells, "seed"]

    def gap(network: str, adaptive: str) -> pd.DataFrame:
        first, second = (
            logs.loc[(logs["kernel"] == kernel) & (logs["readout"] == scale), [*on, "log_nc1"]]
            for kernel, scale in (("network", network), ("adaptive", adaptive))
        )
        both = first.merge(second, on=on, suffixes=("", "_adaptive"))
        return both.assign(log_nc1=both["log_nc1"] - both["log_nc1_adaptive"])[[*on, "log_nc1"]]

    published = gap("published", "mean-field")
    return Sides(
        pd.concat([published.assign(scale=name) for name in SCALES.values()]),
        pd.concat([gap(scale, scale).assign(scale=name) for scale, name in SCALES.items()]),
        ["scale", *cells],
    )


def against(sides: Sides) -> pd.DataFrame:
    """Return both numbers of each cell, a row a cell, with the simultaneous interval of their difference.

    Columns: the cells, ``published``, ``right`` (means over seeds), ``difference`` (published − right), ``low``,
    ``high``, ``seeds``, and ``without``: the seeds on which the published number has no logarithm, which are left out.
    """
    published, right, cells = sides
    found = paired(right, published, "log_nc1", cells)
    found = found.rename(columns={"first": "right", "second": "published"})
    on = [*cells, "seed"]
    both = right[[*on, "log_nc1"]].merge(published[[*on, "log_nc1"]], on=on, suffixes=("_right", ""))
    lost = both["log_nc1"].isna() & both["log_nc1_right"].notna()
    without = both.assign(without=lost).groupby(cells, sort=True)["without"].sum().reset_index()
    merged = without.merge(found, on=cells, how="left")
    numbers = ["published", "right", "difference", "low", "high", "seeds", "without"]
    return merged[[*cells, *numbers]].fillna({"seeds": 0}).astype({"seeds": int, "without": int})


def differ(found: pd.DataFrame) -> pd.Series[bool]:
    """Return in which cells the two numbers differ by more than round-off, or the published one is none."""
    return (found["difference"].abs() > TIE) | (found["without"] > 0)


def erf_ntk_table(rows: pd.DataFrame, cells: Sequence[str]) -> list[Table]:
    """Tabulate the two NTKs of erf."""
    note = (
        "The published code takes an inner product of vectors where its comment has an outer product, so that the "
        "derivative kernel almost vanishes."
    )
    return _table("the NTK of erf", erf_ntk(rows, cells), note)


def label_term_table(rows: pd.DataFrame, cells: Sequence[str]) -> list[Table]:
    """Tabulate the two adaptive kernels."""
    note = (
        "The published code's label term carries sigma^2 where the equations of state have sigma^-4, so that its "
        "kernel hardly sees the labels."
    )
    return _table("the adaptive kernel", label_term(rows, cells), note)


def weighting_table(rows: pd.DataFrame, cells: Sequence[str]) -> list[Table]:
    """Tabulate the two weightings of classes."""
    note = "The published kernel code weights classes evenly where its feature code weights them by size."
    return _table("the weighting of classes", weighting(rows, cells), note)


def readout_table(rows: pd.DataFrame, cells: Sequence[str]) -> list[Table]:
    """Tabulate the gap of network and adaptive kernel."""
    note = (
        "The gap log10 NC1(network) − log10 NC1(adaptive kernel), erf. Published: networks of readout variance 1.97² "
        "against equations of state with 1/128. Right: both at the scale of the first column."
    )
    return _table("networks and adaptive kernel", readout(rows, cells), note)


def _table(what: str, sides: Sides, note: str) -> list[Table]:
    """Return the table of the cells in which the published code's number is not the right one; none, no table."""
    found = against(sides)
    found = found[differ(found)].reset_index(drop=True)
    if found.empty:
        return []
    if not found["without"].any():
        found = found.drop(columns="without")
    most = found["difference"].abs().max()
    note += f" At most {most:.3f} decades apart." if most == most else ""
    note += " Low, high: interval of the difference; those of all cells hold together with 95 % confidence."
    return [Table(f"Published against right: {what} (log10 NC1, mean over seeds)", found, note)]
