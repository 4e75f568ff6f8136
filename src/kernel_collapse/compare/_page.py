"""The comparison of two runs as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.compare._differences import KINDS, NOISE, ROUND_OFF, Comparison
from kernel_collapse.report import Section, write_page
from kernel_collapse.report.parts import Figure, Table
from kernel_collapse.report.plot import Axis, Legend, Line, Mark, Panel, Plot, Points

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FILE", "write_comparison"]

FILE = "compare.html"
#: Most rows of a table in the page.
MOST_ROWS = 2000

_COLOURS = dict(zip(KINDS, ("#D55E00", "#CC79A7", "#0072B2", "#777777"), strict=True))


def write_comparison(comparison: Comparison, path: Path, *, pictures: bool = True) -> Path:
    """Write the page, and with `pictures` its figure in the folder "figures" beside it; return where.

    Raises
    ------
    ValueError
        If there can be no page at that path.
    """
    _validate.page(path, "--out", ".html")
    differing = comparison.about.set_index("what")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_page(
            path,
            title="What changed between two runs",
            lead="Trials matched by their specification, cells compared with the noise of their seeds, and verdicts.",
            facts={"A": str(comparison.a), "B": str(comparison.b)},
            sections=_sections(comparison),
            about={name: f"{row['a']} → {row['b']}" for name, row in differing.iterrows()},
            pictures=pictures,
        )
    except OSError as error:
        raise InputError(
            f"{str(path)!r}",
            f"be written ({error.strerror})",
            "a folder that can",
            "choose another with --out",
            verb="cannot",
        ) from None


def _sections(comparison: Comparison) -> list[Section]:
    cells, rows = comparison.cells, comparison.rows
    drawn = cells[(cells["error"] > 0) & (cells["difference"] != 0) & (cells["unit"] == "decades")]
    figures = [] if drawn.empty else [Figure("compare", _CAPTION, _draw(drawn))]
    statuses = rows[rows["change"] == "status changed"].drop(columns=["change", "relative"])
    trials = Section(
        "trials",
        "Trials",
        "Every trial of either run.",
        tables=[
            Table("What became of the trials", comparison.counts),
            *_table("Trials whose status changed", statuses),
            *_table(
                "Which results differ, in how many trials, and by how much at most", comparison.quantities
            ),
        ],
    )
    changed = Section(
        "cells",
        "Cells",
        "A cell is a trial without its seed; these are the ones whose NC1 is not the same bit for bit.",
        figures=figures,
        tables=_table("Cells whose NC1 changed", cells, _NOTE),
    )
    judged = Section(
        "verdicts-changed",
        "Verdicts",
        "Claims whose verdict on the rows of B differs from the verdict on the rows of A.",
        tables=_table("Verdicts that changed", comparison.verdicts),
    )
    known = Section(
        "runs", "Runs", "Presets, versions and environment.", tables=_table("What differs", comparison.about)
    )
    return [trials, *(section for section in (changed, judged, known) if section.tables)]


_CAPTION = (
    "Change of log10 NC1 of each cell against its standard error over seeds. Above the slanted line: beyond "
    f"{NOISE:g} standard errors."
)
_NOTE = (
    "Means of log10 NC1 over the seeds that both runs have, or over all seeds if they share none. Error: standard "
    "error over seeds of a difference of two independent runs. Errors: the difference in units of this error; it is "
    f"beyond seed noise above {NOISE:g}. Largest: the largest change of a single seed. Round-off: no seed changed by "
    f"more than {ROUND_OFF:g} of its value."
)


def _table(title: str, frame: pd.DataFrame, note: str = "") -> list[Table]:
    """Return the table, or none of nothing."""
    if frame.empty:
        return []
    if len(frame) > MOST_ROWS:
        note = f"{note} The first {MOST_ROWS} of {len(frame)} rows.".lstrip()
    return [Table(title, frame.head(MOST_ROWS), note)]


def _draw(cells: pd.DataFrame) -> Plot:
    """Draw the size of each change against its standard error."""
    marks: list[Mark] = []
    for kind, colour in _COLOURS.items():
        mine = cells[cells["kind"] == kind]
        if not mine.empty:
            name = f"{kind} ({len(mine)})"
            marks.append(Points(mine["error"], mine["difference"].abs(), color=colour, alpha=0.7, name=name))
    ends = np.array([cells["error"].min(), cells["error"].max()]) * [0.7, 1.4]
    panel = Panel(
        marks=[*marks, Line(ends, NOISE * ends, width=1, dashes=":")],
        x=Axis(label="standard error over seeds, decades", scale="log"),
        y=Axis(label=r"change of $\log_{10}$ NC1, decades", scale="log"),
        legend=Legend(where="center left", layout={"bbox_to_anchor": (1.0, 0.5)}),
    )
    return Plot(rows=[[panel]], size=(7.2, 4.6))
