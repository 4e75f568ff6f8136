"""What is drawn in a panel as Plotly's traces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import singledispatch
from typing import Any

import numpy as np

from kernel_collapse.report.interactive import _pictures
from kernel_collapse.report.interactive._looks import PIXELS_A_POINT, look_of
from kernel_collapse.report.interactive._panels import WHICH, View
from kernel_collapse.report.interactive._text import escaped, hexed, hover, markup, numbers, plain
from kernel_collapse.report.plot import HeatMap, Level, Line, Mark, Points

__all__ = ["traces_of"]

#: How far above the page, and the trace.
Drawn = tuple[float, dict[str, Any]]


def traces_of(view: View) -> list[dict[str, Any]]:
    """Return what is drawn in a panel, from the back to the front."""
    traces = []
    marked = [(mark, drawn) for mark in view.panel.marks for drawn in _drawn(mark, view)]
    for mark, (_, trace) in sorted(marked, key=lambda item: item[1][0]):
        group = markup(mark.goes_with)
        trace["meta"] = {"panel": view.number, "group": group} | trace.get("meta", {})
        if mark.side is not None:
            trace["meta"]["side"] = mark.side
        trace |= view.names | {"showlegend": False}
        if trace["type"] != "heatmap" and "hoverinfo" not in trace:
            _say(view, trace, group)
        traces.append(trace)
    return traces


@singledispatch
def _drawn(mark: Mark, view: View) -> Iterator[Drawn]:
    """Yield the traces of a mark; texts and spans have none, they belong to the panel."""
    yield from ()


@_drawn.register(Line)
def _draw_line(mark: Line, view: View) -> Iterator[Drawn]:
    if not len(mark.x):
        return
    if mark.has_interval:
        yield mark.layer - 1, _band(mark, view)
    trace = _at_places(mark, view)
    if mark.silent:
        trace["hoverinfo"] = "skip"
    else:
        _know(mark, view, trace)
    yield mark.layer, trace


@_drawn.register(Points)
def _draw_points(mark: Points, view: View) -> Iterator[Drawn]:
    if not len(mark.x):
        return
    trace = _at_places(mark, view)
    if mark.has_interval:
        at, low, high = (view.scaled(v, mark.along) for v in (getattr(mark, mark.along), mark.low, mark.high))
        trace[f"error_{mark.along}"] = {
            "array": numbers(high - at),
            "arrayminus": numbers(at - low),
            "color": hexed(mark.color),
            "thickness": mark.bar * PIXELS_A_POINT,
            "width": round(mark.cap * PIXELS_A_POINT, 1),
        }
    _know(mark, view, trace)
    yield mark.layer, trace


@_drawn.register(Level)
def _draw_level(mark: Level, view: View) -> Iterator[Drawn]:
    ends = {which: view.frame.ends(which) for which in WHICH} | {mark.axis: (mark.value, mark.value)}
    line = Line(
        ends["x"], ends["y"], color=mark.color, dashes=mark.dashes, width=mark.width, alpha=mark.alpha
    )
    trace = _at_places(line, view)
    _know(line, view, trace)
    trace.setdefault("meta", {})["reference"] = True
    yield mark.layer, trace


@_drawn.register(HeatMap)
def _draw_heat_map(mark: HeatMap, view: View) -> Iterator[Drawn]:
    yield -1.0, _pictures.cells(mark, view)


def _at_places(mark: Line | Points, view: View) -> dict[str, Any]:
    """Return the trace of a line or markers."""
    y = view.across("y", mark.y) if isinstance(mark, Points) and mark.at_edge else mark.y
    look = look_of(mark)
    return {
        "type": "scatter",
        "x": view.placed(mark.x, "x"),
        "y": view.placed(y, "y"),
        **{key: look[key] for key in ("mode", "line", "marker") if key in look},
        "opacity": mark.alpha,
    }


def _band(mark: Line, view: View) -> dict[str, Any]:
    """Return a band as an area for each run of points that have one; what no logarithm is lies just outside."""
    low, high = mark.low, mark.high
    if view.panel.y.scale == "log":
        low, high = (np.maximum(edge, min(view.frame.y) / 10) for edge in (low, high))
    there = np.isfinite(low) & np.isfinite(high)
    x: list[float] = []
    y: list[float] = []
    for run in np.split(np.arange(len(there)), np.flatnonzero(np.diff(there)) + 1):
        if there[run[0]]:
            back = run[::-1]
            x += [*mark.x[run], *mark.x[back], np.nan]
            y += [*low[run], *high[back], np.nan]
    colour = hexed(mark.color)
    return {
        "type": "scatter",
        "x": view.placed(x[:-1], "x"),
        "y": view.placed(y[:-1], "y"),
        "mode": "lines",
        "line": {"width": 0, "color": colour},
        "fill": "toself",
        "fillcolor": colour,
        "hoverinfo": "skip",
        "opacity": mark.band,
    }


# -- words


def _know(mark: Line | Points, view: View, trace: dict[str, Any]) -> None:
    """Keep beside the places of a trace what else is known of its points."""
    columns: dict[str, Iterable[Any]] = {}
    if mark.has_interval:
        columns |= {"low": numbers(mark.low), "high": numbers(mark.high)}
    for which, values in zip(WHICH, (mark.x, mark.y), strict=True):
        if view.axis(which).scale == "symlog":
            columns[which] = numbers(values)
    if isinstance(mark, Points) and mark.names is not None:
        columns["name"] = map(markup, mark.names)
    if columns:
        trace["meta"] = {"columns": list(columns)}
        trace["customdata"] = [list(row) for row in zip(*columns.values(), strict=True)]


def _say(view: View, trace: dict[str, Any], group: str) -> None:
    """Give a trace what is read when it is pointed at."""
    columns = trace["meta"].get("columns", [])
    at = {name: f"%{{customdata[{i}]{'' if name == 'name' else ':.5g'}}}" for i, name in enumerate(columns)}
    said = [f"<b>{hover(group)}</b>" if group else "", at.get("name", "")]
    for which in WHICH:
        if not view.axis(which).rows:
            label = hover(escaped(plain(view.labels[which]) or which))
            said.append(f"{label}: {at.get(which, f'%{{{which}:.5g}}')}")
    if "low" in at:
        said.append(f"{at['low']} to {at['high']}")
    trace["hovertemplate"] = "<br>".join(filter(None, said)) + "<extra></extra>"
