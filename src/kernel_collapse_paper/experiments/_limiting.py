"""What the two experiments on limiting kernels share: kernels, columns, panels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kernel_collapse.report.intervals import above_zero, paired, summarise
from kernel_collapse.report.style import (
    ACTIVATION_NAMES,
    KERNEL_COLOURS,
    KERNEL_NAMES,
    band,
    sizes_palette,
    style,
    ticks_at,
)
from kernel_collapse.runs.measurements import KernelNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from kernel_collapse.report.parts import Verdict

__all__ = [
    "DIMS",
    "MEASUREMENTS",
    "name_balanced",
    "name_imbalanced",
    "order_verdicts",
    "panels",
    "prepare",
    "trials_of",
]

DIMS = (1, 2, 8, 32, 128)

#: One column of panels each, the published NTK beside the right one.
COLUMNS = (("erf", "nngp"), ("erf", "ntk"), ("erf", "ntk-published"), ("relu", "nngp"), ("relu", "ntk"))

MEASUREMENTS = (KernelNC1(kernel="data"), *(KernelNC1(kernel=k, activation=a) for a, k in COLUMNS))  # type: ignore[arg-type]


def trials_of(laws: Sequence[GaussianClasses], seeds: int) -> list[Trial]:
    """Return every measurement on every law for seeds 0, 1, ..."""
    return [
        Trial(data=law, measurement=m, seed=s) for law in laws for s in range(seeds) for m in MEASUREMENTS
    ]


def prepare(rows: pd.DataFrame, weighting: str = "paper") -> pd.DataFrame:
    """Return the finished rows with log10 NC1 of the kernel, and the same less that of the data.

    A value without a logarithm ("published" can be negative) becomes NaN.
    """
    rows = rows[rows["status"] == "ok"].copy()
    nc1 = rows[f"nc1_{weighting}"]
    rows["log_nc1"] = np.log10(nc1.where(nc1 > 0))
    same_data = ["data", "n", "dim", "class_sizes", "seed"]
    of_data = rows.loc[rows["kernel"] == "data", [*same_data, "log_nc1"]]
    rows = rows[rows["kernel"] != "data"].merge(of_data, on=same_data, how="left", suffixes=("", "_data"))
    rows["log_nc1_ratio"] = rows["log_nc1"] - rows["log_nc1_data"]
    return rows


def panels(rows: pd.DataFrame, lines: str, name_line: Callable[[Any], str], legend: str) -> MatplotlibFigure:
    """Draw log10 NC1(H) and log10 NC1(H)/NC1(X) against d: a column a kernel, a line for each value of `lines`."""
    from matplotlib.figure import Figure

    values = sorted(rows[lines].unique())
    labels = {"log_nc1": r"$\log_{10}$ NC1(H)", "log_nc1_ratio": r"$\log_{10}$ NC1(H) / NC1(X)"}
    with style():
        figure = Figure(figsize=(11.5, 5.4))
        grid = figure.subplots(2, len(COLUMNS), sharex=True, sharey="row")
        for row, (column, label) in zip(grid, labels.items(), strict=True):
            for axes, (activation, kernel) in zip(row, COLUMNS, strict=True):
                chosen = rows[(rows["activation"] == activation) & (rows["kernel"] == kernel)]
                for value, colour in zip(values, sizes_palette(len(values)), strict=True):
                    table = summarise(chosen[chosen[lines] == value], column, ["dim"])
                    band(axes, table, "dim", color=colour, label=name_line(value))
                ticks_at(axes, sorted(rows["dim"].unique()))
                if column == "log_nc1_ratio":
                    axes.set_xlabel("dimension d")
                    axes.axhline(0, color="#888888", linewidth=0.8, linestyle=":")
                else:
                    axes.set_title(f"{ACTIVATION_NAMES[activation]} · {KERNEL_NAMES[kernel]}")
                    if kernel == "ntk-published":
                        axes.title.set_color(KERNEL_COLOURS[kernel])
            row[0].set_ylabel(label)
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, title=legend, loc="outside right center")
    return figure


def order_verdicts(rows: pd.DataFrame, cells: list[str], name: Callable[[Any], str]) -> list[Verdict]:
    """Judge "the NTK is not more collapsed" for each activation and "erf collapses more" for each kernel."""
    rows = rows[rows["kernel"] != "ntk-published"]

    def compare(column: str, first: str, second: str, other: str) -> pd.DataFrame:
        return paired(rows[rows[column] == first], rows[rows[column] == second], "log_nc1", [other, *cells])

    return [
        above_zero(
            "The NTK is not more collapsed than the NNGP.",
            compare("kernel", "nngp", "ntk", "activation"),
            lambda row: f"{ACTIVATION_NAMES[row['activation']]}, {name(row)}",
            gap="gap log10 NC1(NTK) − log10 NC1(NNGP)",
            ties_hold=True,
            by="data" if "data" in cells else "activation",
        ),
        above_zero(
            "erf collapses more than ReLU.",
            compare("activation", "erf", "relu", "kernel"),
            lambda row: f"{KERNEL_NAMES[row['kernel']]}, {name(row)}",
            gap="gap log10 NC1(ReLU) − log10 NC1(erf)",
            by="data" if "data" in cells else "kernel",
        ),
    ]


def name_balanced(row: pd.Series[Any]) -> str:
    """Name a cell of a grid over laws, sizes and dimensions."""
    return f"{row['data']}, N={row['n']}, d={row['dim']}"


def name_imbalanced(row: pd.Series[Any]) -> str:
    """Name a cell of a grid over class sizes and dimensions."""
    return f"{row['class_sizes'][0]}/{row['class_sizes'][1]}, d={row['dim']}"
