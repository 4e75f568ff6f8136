"""The page of what `kernel-collapse measure` finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernel_collapse._text import for_figure, for_file, named
from kernel_collapse.measure import METRICS
from kernel_collapse.report.machine import environment
from kernel_collapse.report.page import write_page
from kernel_collapse.report.parts import Figure, Section, Table
from kernel_collapse.report.plot import Axis, Line, Mark, Panel, Plot, Points
from kernel_collapse.report.style import KERNEL_COLOURS, NAMES

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
        [figure(table, name, f"{path.stem}-")],
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


def figure(table: pd.DataFrame, name: str, page: str = "") -> Figure:
    """Draw NC1 of each kernel as a point on one logarithmic axis; pages in one folder tell their figures apart."""
    shown = table[(table["NC1"] > 0) & (table["samples"] == "training")].iloc[::-1]
    colours = {NAMES[kernel]: colour for kernel, colour in KERNEL_COLOURS.items()}
    names = [
        for_figure(row["kernel"] if row["activation"] == "–" else f"{row['activation']} {row['kernel']}")
        for _, row in shown.iterrows()
    ]
    rows = np.arange(len(shown))
    ends = np.column_stack(
        [np.full(len(shown), shown["NC1"].min()), shown["NC1"], np.full(len(shown), np.nan)]
    )
    stems = Line(ends, np.repeat(rows, 3), color="#cccccc", width=1, silent=True)
    marks: list[Mark] = [stems]
    marks += [
        Points([value], [i], color=colours.get(kernel, OWN), size=45**0.5, names=[names[i]], layer=3)
        for i, kernel, value in zip(rows, shown["kernel"], shown["NC1"], strict=True)
    ]
    of = ", of the training samples" if (table["samples"] != "training").any() else ""
    label = "NC1 of the features (left: more collapsed)"
    panel = Panel(
        marks=marks,
        x=Axis(label=label, scale="log", fine={np.inf: (1.0, 2.0, 3.0, 5.0)}),
        y=Axis(ticks=dict(enumerate(names)), rows=True),
    )
    return Figure(
        for_file(f"{page}nc1-{name}"),
        f"NC1 of {named(name)} under each kernel{of}; values that are 0 or not a number are left out.",
        Plot(rows=[[panel]], size=(7.5, 1.2 + 0.4 * max(len(shown), 1))),
    )
