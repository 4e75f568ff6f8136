"""The figure of the errata: a panel a defect, published against right, over the dimension."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kernel_collapse.report.intervals import summarise
from kernel_collapse.report.plot import Axis, Legend, Level, Line, Mark, Panel, Plot, Text, at, means
from kernel_collapse.report.style import sizes_palette
from kernel_collapse_paper.errata._defects import DEFECTS, Part, Rows
from kernel_collapse_paper.experiments import published as published_code
from kernel_collapse_paper.experiments.logs import by_readout, with_logs
from kernel_collapse_paper.experiments.looks import decades, of_kernel

__all__ = ["draw"]


def draw(rows: Rows) -> Plot:
    """Draw the four defects; a panel whose experiment is not in the run says so."""
    panels = []
    for number, (defect, panel) in enumerate(
        zip(DEFECTS, (_erf_ntk, _label_term, _weighting, _readout), strict=True), 1
    ):
        title = f"{number}. {defect.title}"
        part: Part = defect.parts[0]
        mine = rows[part.experiment] if part.ready(rows) else None
        if mine is None or any(side.empty for side in part.sides(mine)[:2]):
            panels.append(_missing(title, part.experiment))
        else:
            panels.append(panel(title, mine))
    return Plot(rows=[panels[:2], panels[2:]], size=(9.6, 7.2), outer_labels=False)


def _missing(title: str, experiment: str) -> Panel:
    said = Text(
        f"{experiment}\nis not in this run", 0.5, 0.5, align="center", upright="center", color="#000000"
    )
    return Panel(marks=[said], x=Axis(ticks={}), y=Axis(ticks={}), title=title, frame=False)


def _line(logs: pd.DataFrame, **look: Any) -> list[Line]:
    """Return the means of log10 NC1 by dimension, or nothing of no rows."""
    return [] if logs.empty else [means(summarise(logs, "log_nc1", ["dim"]), "dim", **look)]


def _panel(title: str, logs: pd.DataFrame, marks: list[Mark], value: str = "NC1") -> Panel:
    """Return a panel that says what is drawn along y, and of which law and size; its legend is where no line is."""
    layout = {"bbox_to_anchor": (0.5, -0.16), "ncols": 3, "fontsize": "small", "columnspacing": 1.2}
    return Panel(
        marks=marks,
        x=at(sorted(logs["dim"].unique()), "dimension d"),
        y=decades(value),
        title=f"{title}\n{logs['data'].iloc[0]}, N = {logs['n'].iloc[0]}",
        legend=Legend(where="upper center", layout=layout),
    )


def _kernels(title: str, logs: pd.DataFrame, kernels: tuple[str, ...]) -> Panel:
    """Draw some kernels of erf in their colours, the published one dashed."""
    marks: list[Mark] = []
    for kernel in kernels:
        of = logs[(logs["kernel"] == kernel) & (logs["activation"] == "erf")]
        dashes = "--" if kernel.endswith("published") else "-"
        marks += _line(of, dashes=dashes, **of_kernel(kernel, kernels))
    return _panel(title, logs, marks)


def _largest(logs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of D1, or the first law there is, of its largest size."""
    logs = logs[logs["data"] == logs["data"].min()]
    return logs[logs["n"] == logs["n"].max()]


def _erf_ntk(title: str, rows: pd.DataFrame) -> Panel:
    return _kernels(title, _largest(with_logs(rows)), ("ntk", "ntk-published", "nngp"))


def _label_term(title: str, rows: pd.DataFrame) -> Panel:
    logs = with_logs(rows)
    published = _largest(logs[logs["kernel"] == "adaptive-published"])
    logs = logs[logs["data"].isin(published["data"]) & logs["n"].isin(published["n"])]
    return _kernels(title, logs, ("nngp", "adaptive-published", "adaptive"))


def _weighting(title: str, rows: pd.DataFrame) -> Panel:
    published, right, _ = published_code.weighting(rows, ["class_sizes", "dim"])
    sizes = sorted((s for s in right["class_sizes"].unique() if len(set(s)) > 1), reverse=True)
    marks: list[Mark] = []
    for pair, colour in zip(sizes, sizes_palette(len(sizes)), strict=True):
        for logs, side, dashes, ending in (
            (right, "right", "-", ""),
            (published, "published", "--", ", published"),
        ):
            of = logs["class_sizes"] == pair
            mine = logs[of & (logs["activation"] == "erf") & (logs["kernel"] == "nngp")]
            name = f"{pair[0]} / {pair[1]}{ending}"
            marks += _line(mine, color=colour, dashes=dashes, name=name, side=side)
    return _panel(title, right, marks, "NC1 of the NNGP of erf")


def _readout(title: str, rows: pd.DataFrame) -> Panel:
    rows = rows[rows["data"] == rows["data"].min()]
    networks = by_readout(rows)
    n = networks.loc[networks["kernel"] == "network", "n"].max()
    published, right, _ = published_code.readout(rows[rows["n"] == n], ["data", "n", "dim"])
    colours = dict(zip(published_code.SCALES.values(), ("#0072B2", "#009E73"), strict=True))
    once = published[published["scale"] == published["scale"].iloc[0]]
    look = {"color": "#E69F00", "marker": "v", "dashes": "--", "side": "published"}
    marks: list[Mark] = [*_line(once, name="1.97² against 1/128 (published)", **look)]
    for scale, colour in colours.items():
        marks += _line(right[right["scale"] == scale], color=colour, name=f"both at {scale}", side="right")
    marks.append(Level(0, width=0.8, dashes=":"))
    return _panel(title, networks[networks["n"] == n], marks, "NC1(network) / NC1(adaptive)")
