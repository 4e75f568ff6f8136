"""The page of what `kernel-collapse measure` finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_collapse._text import for_figure, for_file, named
from kernel_collapse.measure import METRICS
from kernel_collapse.report.machine import environment
from kernel_collapse.report.page import write_page
from kernel_collapse.report.parts import Figure, Section, Table
from kernel_collapse.report.style import KERNEL_COLOURS, NAMES, style

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__all__ = ["figure", "write"]

#: Colour of a kernel of the user's own.
OWN = "#555555"


def write(
    path: Path, name: str, table: pd.DataFrame, facts: dict[str, str], remarks: list[str], command: str
) -> Path:
    """Write the page of a data set of that name, from the table of `kernel_collapse.measure.measure`."""
    table = table.drop(columns=[metric for metric in METRICS[3:] if table[metric].isna().all()])
    section = Section(
        "measurement",
        "Collapse under each kernel",
        "NC1 = tr S_W / tr S_B: the spread within classes over the spread between them; lower is more collapsed.",
        [figure(table, name)],
        [Table("Values", table if table["reason"].any() else table.drop(columns="reason"))],
        command=command,
    )
    return write_page(
        path,
        title=f"How collapsed is {named(name)}?",
        lead="Neural Collapse (NC1) of a data set under the kernels of wide networks.",
        facts=facts,
        sections=[section],
        about=environment(),
        notes=remarks,
    )


def figure(table: pd.DataFrame, name: str) -> Figure:
    """Draw NC1 of each kernel as a point on one logarithmic axis."""
    from matplotlib.figure import Figure as MatplotlibFigure
    from matplotlib.ticker import LogLocator

    shown = table[(table["NC1"] > 0) & (table["samples"] == "training")].iloc[::-1]
    colours = {NAMES[kernel]: colour for kernel, colour in KERNEL_COLOURS.items()}
    with style():
        drawn = MatplotlibFigure(figsize=(7.5, 1.2 + 0.4 * max(len(shown), 1)))
        axes = drawn.subplots()
        names = [
            for_figure(row["kernel"] if row["activation"] == "–" else f"{row['activation']} {row['kernel']}")
            for _, row in shown.iterrows()
        ]
        axes.hlines(names, shown["NC1"].min(), shown["NC1"], color="#cccccc", linewidth=1)
        axes.scatter(shown["NC1"], names, c=[colours.get(k, OWN) for k in shown["kernel"]], s=45, zorder=3)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0), numticks=12))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_xlabel("NC1 of the features (left: more collapsed)")
    return Figure(
        for_file(f"nc1-{name}"),
        f"NC1 of {named(name)} under each kernel; values that are 0 or not a number are left out.",
        drawn,
    )
