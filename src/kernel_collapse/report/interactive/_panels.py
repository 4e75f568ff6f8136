"""Axes as Plotly's: titles, scales, ranges with their direction, ticks, texts and spans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernel_collapse.report.interactive._text import DIGITS, hexed, markup, numbers
from kernel_collapse.report.plot import Axis, Frame, Panel, Plot, Span, Text, Which
from kernel_collapse.report.style import readable

__all__ = ["WHICH", "View", "describe_panel", "views_of"]

WHICH: tuple[Which, Which] = ("x", "y")


@dataclass(frozen=True)
class View:
    """A panel on the page: where it is, what it is called, and where its axes begin and end."""

    panel: Panel
    frame: Frame
    number: int
    row: int
    column: int
    name: str
    labels: dict[Which, str]
    #: The first panel that each axis is shared with.
    shared: dict[Which, int]

    @property
    def names(self) -> dict[str, str]:
        """What Plotly calls its axes."""
        ending = str(self.number + 1) if self.number else ""
        return {f"{which}axis": f"{which}{ending}" for which in WHICH}

    def axis(self, which: Which) -> Axis:
        """Return the axis of that letter."""
        return self.panel.x if which == "x" else self.panel.y

    def scaled(self, values: Any, which: Which) -> np.ndarray[Any, Any]:
        """Return values on a scale that Plotly does not know as places on its linear one."""
        from matplotlib.scale import SymmetricalLogTransform

        values = np.asarray(values, dtype=float)
        if self.axis(which).scale != "symlog":
            return values
        turn = SymmetricalLogTransform(base=10, linthresh=1, linscale=1)
        return np.asarray(turn.transform(values.ravel()), dtype=float).reshape(values.shape)

    def placed(self, values: Any, which: Which) -> list[Any]:
        """Return values as Plotly takes them, with digits enough to tell apart what is apart in print."""
        digits = DIGITS
        if self.axis(which).scale != "log":
            low, high = self.scaled(self.frame.ends(which), which)
            digits += max(0, math.floor(math.log10(max(abs(low), abs(high)) / abs(high - low))))
        return numbers(self.scaled(values, which), min(digits, 15))

    def across(self, which: Which, shares: Any) -> np.ndarray[Any, Any]:
        """Return values at shares of an axis, from where it begins."""
        low, high = self.frame.ends(which)
        shares = np.asarray(shares, dtype=float)
        if self.axis(which).scale == "log":
            return np.asarray(low * (high / low) ** shares)
        if self.axis(which).scale == "linear":
            return low + (high - low) * shares
        return np.where(shares > 0.5, high, low)  # of a symmetric one the ends alone are asked for


def views_of(plot: Plot, frames: Sequence[Frame]) -> list[View]:
    """Return the panels of a plot as the page has them."""
    found = list(plot.panels())
    views = []
    for number, ((i, j, panel), frame) in enumerate(zip(found, frames, strict=True)):
        heading = next((p.title for _, column, p in found if column == j and p.title), "")
        name = panel.title or heading * bool(i) or panel.y.label or panel.x.label or f"panel {number + 1}"
        firsts = {
            "all": 0,
            "row": next(k for k, (row, *_) in enumerate(found) if row == i),
            "none": number,
        }
        views.append(
            View(
                panel,
                frame,
                number,
                i,
                j,
                markup(name),
                {"x": markup(panel.x.label or plot.xlabel), "y": markup(panel.y.label)},
                {"x": firsts[plot.share_x], "y": firsts[plot.share_y]},
            )
        )
    return views


def describe_panel(view: View, traces: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a panel is but for its traces."""
    panel = view.panel
    mine = [t for t in traces if t["meta"]["panel"] == view.number]
    result: dict[str, Any] = {
        "title": markup(panel.title),
        "name": view.name,
        "row": view.row,
        "column": view.column,
        "color": readable(panel.title_color) if hexed(panel.title_color) != "#000000" else None,
        "texts": [_text(mark) for mark in panel.marks if isinstance(mark, Text)],
        "spans": [_span(view, mark) for mark in panel.marks if isinstance(mark, Span)],
        "square": panel.square,
    }
    for which in WHICH:
        result[f"{which}axis"] = {
            "name": view.names[f"{which}axis"],
            "label": view.labels[which],
            "share": view.shared[which],
            "grid": view.axis(which).grid,
            "rows": view.axis(which).rows,
            **_scale(view, which, [t[which] for t in mine if t["type"] == "scatter"]),
        }
    return result


def _scale(view: View, which: Which, drawn: Sequence[list[Any]]) -> dict[str, Any]:
    """Return type, range and ticks of an axis, and its range on the other scale if it has one.

    A range goes from the left or lower end to the other: an axis that is turned round has its larger number first, on
    either scale.
    """
    axis, ends = view.axis(which), view.frame.ends(which)
    result: dict[str, Any] = {"type": "log" if axis.scale == "log" else "linear"}
    if axis.scale == "log":
        result |= {"range": numbers(np.log10(ends), 9), "other": numbers(ends)}
    else:
        result["range"] = view.placed(ends, which)
    if axis.ticks is not None:
        places, texts = list(axis.ticks), list(axis.ticks.values())
        result |= {"tickvals": view.placed(places, which), "ticktext": list(map(markup, texts))}
    elif axis.scale == "symlog":
        places = [place for place in view.frame.ticks[which] if min(ends) <= place <= max(ends)]
        result |= {"tickvals": view.placed(places, which), "ticktext": [f"{place:,g}" for place in places]}
    elif axis.scale == "linear" and not axis.logarithms:
        values = np.array([v for part in drawn for v in part if v is not None], dtype=float)
        if len(values) and values.min() > 0 and values.max() >= 8 * values.min():
            low, high = np.log10([values.min(), values.max()])
            margin = 0.05 * (high - low)
            other = [low - margin, high + margin]
            result["other"] = numbers(other if ends[0] < ends[1] else other[::-1])
    return result


def _text(mark: Text) -> dict[str, Any]:
    """Return a text and where it is, in shares of the panel."""
    return {
        "text": markup(mark.text),
        "x": mark.x,
        "y": mark.y,
        "xanchor": mark.align,
        "yanchor": {"baseline": "bottom", "center": "middle"}[mark.upright],
        "font": {"color": readable(mark.color), "size": round(mark.size * 1.25, 1)},
    }


def _span(view: View, mark: Span) -> dict[str, Any]:
    """Return a strip as where it begins and ends along y."""
    y0, y1 = view.scaled([mark.low, mark.high], "y")
    return {"y0": float(y0), "y1": float(y1), "fillcolor": hexed(mark.color), "opacity": mark.alpha}
