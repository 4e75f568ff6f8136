"""What is drawn in a panel as Plotly's traces."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kernel_collapse.interactive._panels import Panel, scaled, ticks
from kernel_collapse.interactive._text import DIGITS, escaped, hexed, hover, markup, numbers, plain

__all__ = ["look_of", "traces_of"]

PIXELS_A_POINT = 100 / 72
#: A picture of more points a side is shown by means over blocks.
MOST_POINTS = 128

SYMBOLS = {
    "o": "circle",
    "s": "square",
    "D": "diamond",
    "d": "diamond-tall",
    "^": "triangle-up",
    "v": "triangle-down",
    "X": "x",
    "x": "x-thin",
    "P": "cross",
    "*": "star",
    "h": "hexagon",
}


def traces_of(panel: Panel, legend: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is drawn in a panel, from the back to the front."""
    from matplotlib.collections import LineCollection, PathCollection, PolyCollection
    from matplotlib.container import ErrorbarContainer

    axes: Any = panel.axes
    bars = [c for c in axes.containers if isinstance(c, ErrorbarContainer)]
    done = {id(part) for c in bars for part in (c[0], *c[1], *c[2])}
    found: list[tuple[float, str, dict[str, Any]]] = [(-1.0, "", _image(image)) for image in axes.images]
    bands = [c for c in axes.collections if isinstance(c, PolyCollection)]
    for bar in bars:
        found.append((bar[0].get_zorder(), str(bar.get_label()), _error_bars(panel, bar)))
    for line in axes.get_lines():
        if id(line) not in done and len(line.get_xdata()):
            found.append((line.get_zorder(), str(line.get_label()), _line(panel, line, bands)))
    drawn: Any
    for drawn in axes.collections:
        if id(drawn) in done or not len(drawn.get_paths()):
            continue
        draw = (
            _band
            if isinstance(drawn, PolyCollection)
            else _segments
            if isinstance(drawn, LineCollection)
            else _marks
        )
        if isinstance(drawn, PathCollection) and not np.size(drawn.get_offsets()):
            continue
        found.append((drawn.get_zorder(), str(drawn.get_label()), draw(panel, drawn)))
    traces = []
    lines = {trace["meta"].pop("band", None): label for _, label, trace in found}
    for _, label, trace in sorted(found, key=lambda item: item[0]):
        label = lines.get(trace["meta"].pop("id", 0), label)  # a band goes with its line
        named = label and not label.startswith("_")
        colour = trace["meta"].pop("color", None)
        like = (entry["name"] for entry in legend if entry["color"] == colour)
        group = markup(label) if named else next(like, "")
        trace["meta"] |= {"panel": panel.number, "group": group}
        trace |= panel.names | {"showlegend": False}
        if "hoverinfo" not in trace and trace["type"] != "heatmap":
            _say(panel, trace, group)
        traces.append(trace)
    return traces


def _say(panel: Panel, trace: dict[str, Any], group: str) -> None:
    """Give a trace what is read when it is pointed at."""
    axes = panel.axes
    for axis, which in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        if axis.get_scale() not in ("linear", "log"):
            _add(trace, which, trace[which])
            trace[which] = numbers(scaled(axis, np.array(trace[which], dtype=float)))
        fixed = ticks(axis)
        if fixed is not None and not all(re.fullmatch(r"[\d.,e+−-]*", text) for text in fixed[1]):
            nearest = np.abs(np.subtract.outer(np.array(trace[which], dtype=float), fixed[0])).argmin(axis=1)
            _add(trace, "name", [markup(fixed[1][i]) for i in nearest])
    columns = trace["meta"].get("columns", [])
    at = {name: f"%{{customdata[{i}]{'' if name == 'name' else ':.5g'}}}" for i, name in enumerate(columns)}
    said = [f"<b>{hover(group)}</b>" if group else "", at.get("name", "")]
    labels = plain(markup(axes.get_xlabel())) or "x", plain(markup(axes.get_ylabel())) or "y"
    said += [
        f"{hover(escaped(name))}: {at.get(k, f'%{{{k}:.5g}}')}" for k, name in zip("xy", labels, strict=True)
    ]
    if "low" in at:
        said.append(f"{at['low']} to {at['high']}")
    trace["hovertemplate"] = "<br>".join(filter(None, said)) + "<extra></extra>"


def _add(trace: dict[str, Any], name: str, values: Iterable[Any]) -> None:
    """Add a column to what is known of the points of a trace."""
    rows = trace.setdefault("customdata", [[] for _ in trace["x"]])
    trace["meta"].setdefault("columns", []).append(name)
    for row, value in zip(rows, values, strict=True):
        row.append(value)


def _line(panel: Panel, line: Any, bands: Sequence[Any] = ()) -> dict[str, Any]:
    points = panel.data(line.get_transform(), line.get_xydata())
    trace: dict[str, Any] = {"type": "scatter", "x": numbers(points[:, 0]), "y": numbers(points[:, 1])}
    look = look_of(line)
    trace |= {key: look[key] for key in ("mode", "line", "marker") if key in look}
    trace |= {"opacity": line.get_alpha() or 1.0, "meta": {"color": look["color"]}}
    trace["meta"]["reference"] = not all(
        line.get_transform().contains_branch_seperately(panel.axes.transData)
    )
    names = getattr(line, "point_names", None)
    if names is not None:
        _add(trace, "name", map(markup, names))
    fits = [
        (_misfit(band, points), i)
        for i, band in enumerate(bands)
        if hexed(band.get_facecolor()[0]) == look["color"]
    ]
    misfit, nearest = min(fits, default=(math.inf, 0))
    if misfit < math.inf:
        edges = _edges(bands[nearest])
        for i, name in enumerate(("low", "high")):
            _add(trace, name, numbers([edges.get(x, (np.nan, np.nan))[i] for x in points[:, 0]]))
        trace["meta"]["band"] = id(bands[nearest])
    return trace


def _misfit(band: Any, points: np.ndarray[Any, Any]) -> float:
    """Return how far a line is from the middle of a band at most, infinity where it leaves it."""
    edges = _edges(band)
    inside = [(*edges[x], y) for x, y in points if x in edges]
    if not inside or not all(low <= y <= high for low, high, y in inside):
        return math.inf
    return max(abs(0.5 * (low + high) - y) for low, high, y in inside)


def _edges(band: Any) -> dict[float, tuple[float, float]]:
    """Return the lower and upper edge of a band at each of its points."""
    edges: dict[float, tuple[float, float]] = {}
    for path in band.get_paths():
        for x, y in path.vertices:
            low, high = edges.get(x, (y, y))
            edges[x] = min(low, y), max(high, y)
    return edges


def _error_bars(panel: Panel, bar: Any) -> dict[str, Any]:
    line, _, collections = bar
    trace = _line(panel, line)
    for drawn in collections:
        ends = np.array([path.vertices.T for path in drawn.get_paths()])  # (points, axis, end)
        which = "x" if bar.has_xerr else "y"
        at, low, high = np.array(trace[which], dtype=float), *ends[:, "xy".index(which)].T
        trace[f"error_{which}"] = {
            "array": numbers(high - at),
            "arrayminus": numbers(at - low),
            "thickness": float(drawn.get_linewidth()[0]) * PIXELS_A_POINT,
            "width": 0,
        }
        _add(trace, "low", numbers(low))
        _add(trace, "high", numbers(high))
    return trace


def _band(panel: Panel, band: Any) -> dict[str, Any]:
    least = panel.axes.get_ylim()[0] / 10 if panel.axes.get_yscale() == "log" else -np.inf
    gap = [[np.nan, np.nan]]
    parts = [part for path in band.get_paths() for part in (path.vertices, gap)]
    points = np.vstack(parts[:-1])
    x = scaled(panel.axes.xaxis, points[:, 0])
    colour = hexed(band.get_facecolor()[0])
    return {
        "type": "scatter",
        "x": numbers(x),
        "y": numbers(np.maximum(points[:, 1], least)),
        "mode": "lines",
        "line": {"width": 0, "color": colour},
        "fill": "toself",
        "fillcolor": colour,
        "opacity": round(float(band.get_facecolor()[0][3]), 3),
        "hoverinfo": "skip",
        "meta": {"color": colour, "id": id(band)},
    }


def _segments(panel: Panel, lines: Any) -> dict[str, Any]:
    points = np.vstack([p for segment in lines.get_segments() for p in (segment, [[np.nan, np.nan]])][:-1])
    colour = hexed(lines.get_colors()[0])
    return {
        "type": "scatter",
        "x": numbers(points[:, 0]),
        "y": numbers(points[:, 1]),
        "mode": "lines",
        "line": {"color": colour, "width": float(lines.get_linewidths()[0]) * PIXELS_A_POINT},
        "hoverinfo": "skip",
        "meta": {"color": colour},
    }


def _marks(panel: Panel, marks: Any) -> dict[str, Any]:
    points = panel.data(marks.get_offset_transform(), marks.get_offsets())
    faces, edges = marks.get_facecolors(), marks.get_edgecolors()
    colours = [hexed(colour) for colour in (faces if len(faces) else edges)]
    symbol = SYMBOLS[_marker_of(marks)] + ("" if len(faces) else "-open")
    return {
        "type": "scatter",
        "x": numbers(points[:, 0]),
        "y": numbers(points[:, 1]),
        "mode": "markers",
        "marker": {
            "symbol": symbol + ("-open" if symbol == "x-thin" else ""),
            "color": colours[0] if len(set(colours)) == 1 else colours,
            "size": round(math.sqrt(marks.get_sizes()[0]) * PIXELS_A_POINT, 1),
            "line": {"width": 1.3 if "open" in symbol or "thin" in symbol else 0},
        },
        "opacity": marks.get_alpha() or 1.0,
        "meta": {"color": colours[0]},
    }


def _marker_of(marks: Any) -> str:
    from matplotlib.markers import MarkerStyle

    drawn: Any = marks.get_paths()[0].vertices
    for marker in SYMBOLS:
        style = MarkerStyle(marker)
        known: Any = style.get_path().transformed(style.get_transform()).vertices
        if known.shape == drawn.shape and np.allclose(known, drawn):
            return marker
    return "o"


def _thinned(values: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], str]:
    """Return means over blocks of a picture that has more points than a page should hold, and what they are of."""
    steps = [-(-size // MOST_POINTS) for size in values.shape]
    if max(steps) == 1:
        return values, ""
    starts = [np.arange(0, size, step) for size, step in zip(values.shape, steps, strict=True)]
    sums = np.add.reduceat(np.add.reduceat(values, starts[0], axis=0), starts[1], axis=1)
    sizes = [np.diff([*start, size]) for start, size in zip(starts, values.shape, strict=True)]
    return sums / np.outer(*sizes), f"mean of {steps[0]} × {steps[1]}: "


def _image(image: Any) -> dict[str, Any]:
    whole = np.ma.filled(image.get_array().astype(float), np.nan)
    values, block = _thinned(whole)
    left, right, bottom, top = image.get_extent()
    if image.origin == "lower":
        bottom, top = top, bottom
    rows, columns = values.shape
    low, high = image.get_clim()
    scale = [[i / 16, hexed(image.cmap(i / 16))] for i in range(17)]
    return {
        "type": "heatmap",
        "x": numbers(left + (np.arange(columns) + 0.5) * (right - left) / columns),
        "y": numbers(top + (np.arange(rows) + 0.5) * (bottom - top) / rows),
        "z": [numbers(row, 4 if values.size > 4096 else DIGITS) for row in values],
        "zmin": float(low),
        "zmax": float(high),
        "colorscale": scale,
        "colorbar": {"title": {"text": markup(image.colorbar.ax.get_ylabel()) if image.colorbar else ""}},
        "showscale": image.colorbar is not None,
        "hovertemplate": f"%{{y}}, %{{x}}: {block}%{{z:.4g}}<extra></extra>",
        "meta": {},
    }


def look_of(line: Any) -> dict[str, Any]:
    """Return how a line and its markers look."""
    colour = hexed(line.get_color())
    drawn, marked = (
        value not in ("None", "", " ", None) for value in (line.get_linestyle(), line.get_marker())
    )
    look: dict[str, Any] = {
        "color": colour,
        "mode": "+".join(["lines"] * drawn + ["markers"] * marked) or "none",
    }
    if drawn:
        dashes = getattr(line, "_dash_pattern", (0, None))[1]  # in points; the named styles have theirs
        look["line"] = {"color": colour, "width": round(line.get_linewidth() * PIXELS_A_POINT, 2)}
        if dashes:
            look["line"]["dash"] = ",".join(f"{length * PIXELS_A_POINT:.1f}px" for length in dashes)
    if marked:
        symbol, face = SYMBOLS[str(line.get_marker())], line.get_markerfacecolor()
        hollow = symbol == "x-thin" or line.get_fillstyle() == "none"
        hollow |= hexed(face) == "#ffffff" != colour
        look["marker"] = {
            "symbol": symbol + "-open" * hollow,
            "color": colour,
            "size": round(line.get_markersize() * PIXELS_A_POINT, 1),
            "line": {"width": 1.5 if hollow else 0},
        }
    return look
