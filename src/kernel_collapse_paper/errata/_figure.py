"""The figure of the errata: a panel a defect, published against right, over the dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from kernel_collapse.report.intervals import summarise
from kernel_collapse.report.style import (
    KERNEL_COLOURS,
    KERNEL_MARKERS,
    KERNEL_NAMES,
    band,
    sizes_palette,
    style,
    ticks_at,
)
from kernel_collapse_paper.errata._defects import DEFECTS, Part, Rows
from kernel_collapse_paper.experiments import published as published_code
from kernel_collapse_paper.experiments.logs import by_readout, with_logs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

__all__ = ["draw"]


def draw(rows: Rows) -> MatplotlibFigure:
    """Draw the four defects; a panel whose experiment is not in the run says so."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(9.6, 7.2))
        grid = figure.subplots(2, 2).flat
        for number, (axes, defect, panel) in enumerate(
            zip(grid, DEFECTS, (_erf_ntk, _label_term, _weighting, _readout), strict=True), 1
        ):
            axes.set_title(f"{number}. {defect.title}")
            part: Part = defect.parts[0]
            mine = rows[part.experiment] if part.ready(rows) else None
            if mine is None or any(side.empty for side in part.sides(mine)[:2]):
                axes.text(0.5, 0.5, f"{part.experiment}\nis not in this run", ha="center", va="center")
                axes.set_axis_off()
                continue
            panel(axes, mine)
            axes.set_xlabel("dimension d")
    return figure


def _line(axes: Axes, logs: pd.DataFrame, **look: Any) -> None:
    if not logs.empty:
        band(axes, summarise(logs, "log_nc1", ["dim"]), "dim", **look)


def _kernels(axes: Axes, logs: pd.DataFrame, kernels: tuple[str, ...]) -> None:
    """Draw some kernels of erf in their colours, the published one dashed."""
    for kernel in kernels:
        _line(
            axes,
            logs[(logs["kernel"] == kernel) & (logs["activation"] == "erf")],
            color=KERNEL_COLOURS[kernel],
            marker=KERNEL_MARKERS[kernel],
            linestyle="--" if kernel.endswith("published") else "-",
            label=KERNEL_NAMES[kernel],
        )
    ticks_at(axes, sorted(logs["dim"].unique()))
    _legend(axes)


def _legend(axes: Axes) -> None:
    """Put the legend below, where no line is."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize="small", columnspacing=1.2)


def _largest(logs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of D1, or the first law there is, of its largest size."""
    logs = logs[logs["data"] == logs["data"].min()]
    return logs[logs["n"] == logs["n"].max()]


def _name(axes: Axes, logs: pd.DataFrame, value: str = "NC1") -> None:
    """Say what is drawn along y, and of which law and size."""
    axes.set_ylabel(rf"$\log_{{10}}$ {value}")
    axes.set_title(f"{axes.get_title()}\n{logs['data'].iloc[0]}, N = {logs['n'].iloc[0]}")


def _erf_ntk(axes: Axes, rows: pd.DataFrame) -> None:
    logs = _largest(with_logs(rows))
    _kernels(axes, logs, ("ntk", "ntk-published", "nngp"))
    _name(axes, logs)


def _label_term(axes: Axes, rows: pd.DataFrame) -> None:
    logs = with_logs(rows)
    published = _largest(logs[logs["kernel"] == "adaptive-published"])
    logs = logs[logs["data"].isin(published["data"]) & logs["n"].isin(published["n"])]
    _kernels(axes, logs, ("nngp", "adaptive-published", "adaptive"))
    _name(axes, logs)


def _weighting(axes: Axes, rows: pd.DataFrame) -> None:
    published, right, _ = published_code.weighting(rows, ["class_sizes", "dim"])
    sizes = sorted((s for s in right["class_sizes"].unique() if len(set(s)) > 1), reverse=True)
    for pair, colour in zip(sizes, sizes_palette(len(sizes)), strict=True):
        for side, line in ((right, "-"), (published, "--")):
            mine = side[
                (side["class_sizes"] == pair) & (side["activation"] == "erf") & (side["kernel"] == "nngp")
            ]
            said = f"{pair[0]} / {pair[1]}" + (", published" if line == "--" else "")
            _line(axes, mine, color=colour, linestyle=line, label=said)
    ticks_at(axes, sorted(right["dim"].unique()))
    _name(axes, right, "NC1 of the NNGP of erf")
    _legend(axes)


def _readout(axes: Axes, rows: pd.DataFrame) -> None:
    rows = rows[rows["data"] == rows["data"].min()]
    networks = by_readout(rows)
    n = networks.loc[networks["kernel"] == "network", "n"].max()
    published, right, _ = published_code.readout(rows[rows["n"] == n], ["data", "n", "dim"])
    colours = dict(zip(published_code.SCALES.values(), ("#0072B2", "#009E73"), strict=True))
    once = published[published["scale"] == published["scale"].iloc[0]]
    _line(axes, once, color="#E69F00", marker="v", linestyle="--", label="1.97² against 1/128 (published)")
    for scale, colour in colours.items():
        _line(axes, right[right["scale"] == scale], color=colour, label=f"both at {scale}")
    axes.axhline(0, color="#888888", linewidth=0.8, linestyle=":")
    ticks_at(axes, sorted(rows["dim"].unique()))
    _name(axes, networks[networks["n"] == n], "NC1(network) / NC1(adaptive)")
    _legend(axes)
