"""What is drawn in a panel as Plotly's traces."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from kernel_collapse.report.interactive import _pictures
from kernel_collapse.report.interactive._looks import PIXELS_A_POINT, look_of, look_of_marks
from kernel_collapse.report.interactive._panels import Panel, is_span, names_at, of_data, ticks
from kernel_collapse.report.interactive._text import escaped, hexed, hover, markup, numbers, plain

__all__ = ["traces_of"]

Array = np.ndarray[Any, Any]
#: What is drawn: its height above the page, its label, and the trace, with numbers in the units of the axes.
Drawn = tuple[float, str, dict[str, Any]]


def traces_of(panel: Panel, legend: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is drawn in a panel, from the back to the front."""
    found = sorted(_drawn(panel), key=lambda item: item[0])
    lines = {trace["meta"].pop("band", None): label for _, label, trace in found}
    traces = []
    for _, label, trace in found:
        label = lines.get(trace["meta"].pop("id", 0), label)  # a band goes with its line
        named = label and not label.startswith("_")
        colour = trace["meta"].pop("color", None)
        like = (entry["name"] for entry in legend if entry["color"] == colour)
        group = markup(label) if named else next(like, "")
        trace["meta"] |= {"panel": panel.number, "group": group}
        trace |= panel.names | {"showlegend": False}
        if trace["type"] == "heatmap":
            _place_cells(panel, trace)
        else:
            _place_points(panel, trace)
            if "hoverinfo" not in trace:
                _say(panel, trace, group)
        traces.append(trace)
    return traces


def _drawn(panel: Panel) -> Iterator[Drawn]:
    """Yield what is drawn in a panel."""
    from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
    from matplotlib.container import BarContainer, ErrorbarContainer

    axes: Any = panel.axes
    done: set[int] = set()
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer) and container[0] is not None:
            done |= {id(part) for part in (container[0], *container[1], *container[2])}
            if container[0].get_visible():
                yield container[0].get_zorder(), str(container.get_label()), _error_bars(panel, container)
        elif isinstance(container, BarContainer) and len(container.patches):
            done |= {id(patch) for patch in container.patches}
            yield container.patches[0].get_zorder(), str(container.get_label()), _bars(panel, container)
    for picture in axes.images:
        if picture.get_visible():
            yield -1.0, "", _pictures.image(picture)
    bands = [c for c in axes.collections if isinstance(c, PolyCollection)]
    for line in axes.get_lines():
        if id(line) not in done and line.get_visible() and len(line.get_xdata()):
            yield line.get_zorder(), str(line.get_label()), _line(panel, line, bands)
    for drawn in axes.collections:
        if id(drawn) in done or not drawn.get_visible() or not len(drawn.get_paths()):
            continue
        label = str(drawn.get_label())
        if isinstance(drawn, QuadMesh):
            yield -1.0, "", _pictures.mesh(drawn)
        elif isinstance(drawn, PolyCollection):
            yield drawn.get_zorder(), label, _band(panel, drawn)
        elif isinstance(drawn, LineCollection):
            for trace in _segments(panel, drawn):
                yield drawn.get_zorder(), label, trace
        elif not isinstance(drawn, PathCollection) or np.size(drawn.get_offsets()):
            yield drawn.get_zorder(), label, _marks(panel, drawn)
    for patch in axes.patches:
        if id(patch) not in done and patch.get_visible() and not is_span(panel, patch):
            yield patch.get_zorder(), str(patch.get_label()), _shape(panel, patch)


# -- places and words


def _place_cells(panel: Panel, trace: dict[str, Any]) -> None:
    """Put the cells of a picture where they are in print, and give rows and columns the names at them."""
    names = {}
    for which in ("x", "y"):
        edges = trace[which]
        middles = 0.5 * (edges[1:] + edges[:-1])
        named = names_at(panel.axis(which), middles, np.abs(np.diff(edges)) / 2)
        if named is not None:
            names[which] = [markup(name) for name in named]
        widths = np.diff(edges)
        even = panel.axis(which).get_scale() == "linear" and np.allclose(widths, widths[0])
        trace[which] = panel.placed(middles if even and len(middles) > 1 else edges, which)
    if names:
        trace["meta"]["names"] = names
        x, y = (names.get(w, [f"{v:g}" for v in _middles(trace[w], n)]) for w, n in _sides(trace))
        trace["customdata"] = [[[row, column] for column in x] for row in y]
        trace["hovertemplate"] = trace["hovertemplate"].replace(
            "%{y}, %{x}", "%{customdata[0]}, %{customdata[1]}"
        )


def _sides(trace: dict[str, Any]) -> tuple[tuple[str, int], tuple[str, int]]:
    return ("x", len(trace["z"][0])), ("y", len(trace["z"]))


def _middles(places: list[float], cells: int) -> list[float]:
    return places if len(places) == cells else list(np.convolve(places, [0.5, 0.5], "valid"))


def _place_points(panel: Panel, trace: dict[str, Any]) -> None:
    """Turn numbers in the units of the axes into those that Plotly takes, and keep beside them what those are."""
    raw = {which: np.asarray(trace[which], dtype=float) for which in ("x", "y")}
    silent = "hoverinfo" in trace
    for which in ("x", "y"):
        axis = panel.axis(which)
        if "base" in trace and which == trace["meta"]["along"]:  # a bar is drawn from its base by its length
            ends, starts = raw[which], np.asarray(trace["base"], dtype=float)
            scale = panel.scaled
            trace["base"] = panel.placed(starts, which)
            trace[which] = numbers(scale(ends, which) - scale(starts, which))
            _add(trace, which, numbers(ends))
            continue
        if trace["type"] == "bar":
            edges = panel.scaled(trace["width"], which)
            trace["width"] = numbers(np.abs(np.diff(edges, axis=1))[:, 0])
            trace[which] = numbers(edges.mean(axis=1), 9)
        else:
            trace[which] = panel.placed(raw[which], which)
        if not silent and axis.get_scale() not in ("linear", "log"):
            _add(trace, which, numbers(raw[which]))
        bars = trace.get(f"error_{which}")
        if bars:
            low, high = bars.pop("low"), bars.pop("high")
            at = panel.scaled(raw[which], which)
            bars["array"] = numbers(panel.scaled(high, which) - at)
            bars["arrayminus"] = numbers(at - panel.scaled(low, which))
        fixed = ticks(axis)
        if not silent and fixed is not None and not all(re.fullmatch(r"[\d.,e+−-]*", t) for t in fixed[1]):
            nearest = np.abs(np.subtract.outer(raw[which], fixed[0])).argmin(axis=1)
            _add(trace, "name", [markup(fixed[1][i]) for i in nearest])


def _say(panel: Panel, trace: dict[str, Any], group: str) -> None:
    """Give a trace what is read when it is pointed at."""
    axes = panel.axes
    columns = trace["meta"].get("columns", [])
    at = {name: f"%{{customdata[{i}]{'' if name == 'name' else ':.5g'}}}" for i, name in enumerate(columns)}
    said = [f"<b>{hover(group)}</b>" if group else "", at.get("name", "")]
    labels = plain(markup(axes.get_xlabel())) or "x", plain(markup(axes.get_ylabel())) or "y"
    said += [
        f"{hover(escaped(name))}: {at.get(k, f'%{{{k}:.5g}}')}" for k, name in zip("xy", labels, strict=True)
    ]
    for low, high in (("low", "high"), ("low_y", "high_y")):
        if low in at:
            said.append(f"{at[low]} to {at[high]}")
    trace["hovertemplate"] = "<br>".join(filter(None, said)) + "<extra></extra>"


def _add(trace: dict[str, Any], name: str, values: Iterable[Any]) -> None:
    """Add a column to what is known of the points of a trace."""
    rows = trace.setdefault("customdata", [[] for _ in trace["x"]])
    trace["meta"].setdefault("columns", []).append(name)
    for row, value in zip(rows, values, strict=True):
        row.append(value)


# -- lines, error bars and bands


def _line(panel: Panel, line: Any, bands: Sequence[Any] = ()) -> dict[str, Any]:
    points = panel.data(line.get_transform(), line.get_xydata())
    trace: dict[str, Any] = {"type": "scatter", "x": points[:, 0], "y": points[:, 1]}
    look = look_of(line)
    trace |= {key: look[key] for key in ("mode", "line", "marker") if key in look}
    trace |= {"opacity": line.get_alpha() or 1.0, "meta": {"color": look["color"]}}
    trace["meta"]["reference"] = not all(of_data(panel.axes, line.get_transform()))
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


def _misfit(band: Any, points: Array) -> float:
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
    line, caps, collections = bar
    trace = _line(panel, line)
    cap = max((c.get_markersize() for c in caps), default=0.0) * PIXELS_A_POINT / 2
    ways = ["x"] * bar.has_xerr + ["y"] * bar.has_yerr
    for which, drawn in zip(ways, collections, strict=True):
        ends = np.array([path.vertices for path in drawn.get_paths()]).reshape(
            -1, 2, 2
        )  # (points, end, axis)
        low, high = _bars_of_points(np.column_stack([trace["x"], trace["y"]]), ends, "xy".index(which))
        trace[f"error_{which}"] = {
            "low": low,
            "high": high,
            "color": hexed(drawn.get_colors()[0]),
            "thickness": float(drawn.get_linewidth()[0]) * PIXELS_A_POINT,
            "width": round(cap, 1),
        }
        ending = "_y" if which != ways[0] else ""
        _add(trace, f"low{ending}", numbers(low))
        _add(trace, f"high{ending}", numbers(high))
    return trace


def _bars_of_points(points: Array, ends: Array, along: int) -> tuple[Array, Array]:
    """Return the ends of each point's error bar; matplotlib may leave some out, but keeps their order."""
    low, high = np.full(len(points), np.nan), np.full(len(points), np.nan)
    rest = iter(range(len(points)))
    for first, last in ends:
        for i in rest:
            across = points[i, 1 - along]
            if len(ends) == len(points) or across == first[1 - along]:
                low[i], high[i] = first[along], last[along]
                break
    return low, high


def _band(panel: Panel, band: Any) -> dict[str, Any]:
    gap = [[np.nan, np.nan]]
    parts = [part for path in band.get_paths() for part in (path.vertices, gap)]
    colour = hexed(band.get_facecolor()[0])
    return _filled(panel, panel.data(band.get_transform(), np.vstack(parts[:-1])), colour) | {
        "opacity": round(float(band.get_facecolor()[0][3]), 3),
        "meta": {"color": colour, "id": id(band)},
    }


def _filled(panel: Panel, points: Array, colour: str) -> dict[str, Any]:
    """Return an area; what a logarithmic axis cannot show goes to just outside of it, as in print."""
    points = points.copy()
    for i, (scale, limits) in enumerate(
        ((panel.axes.get_xscale(), panel.axes.get_xlim()), (panel.axes.get_yscale(), panel.axes.get_ylim()))
    ):
        if scale == "log":
            points[:, i] = np.maximum(points[:, i], min(limits) / 10)
    return {
        "type": "scatter",
        "x": points[:, 0],
        "y": points[:, 1],
        "mode": "lines",
        "line": {"width": 0, "color": colour},
        "fill": "toself",
        "fillcolor": colour,
        "hoverinfo": "skip",
    }


def _segments(panel: Panel, lines: Any) -> Iterator[dict[str, Any]]:
    """Yield the lines of a collection, those of one colour at a time."""
    gap = [[np.nan, np.nan]]
    segments = lines.get_segments()
    colours = [hexed(lines.get_colors()[i % len(lines.get_colors())]) for i in range(len(segments))]
    for colour in dict.fromkeys(colours):
        mine = [s for s, of in zip(segments, colours, strict=True) if of == colour]
        points = panel.data(
            lines.get_transform(), np.vstack([part for segment in mine for part in (segment, gap)][:-1])
        )
        yield {
            "type": "scatter",
            "x": points[:, 0],
            "y": points[:, 1],
            "mode": "lines",
            "line": {"color": colour, "width": float(lines.get_linewidths()[0]) * PIXELS_A_POINT},
            "hoverinfo": "skip",
            "meta": {"color": colour},
        }


# -- marks, bars and shapes


def _marks(panel: Panel, marks: Any) -> dict[str, Any]:
    points = panel.data(marks.get_offset_transform(), marks.get_offsets())
    look = look_of_marks(marks)
    colour = look["color"] if isinstance(look["color"], str) else look["color"][0]
    edge = look["line"].get("color", colour)
    return {
        "type": "scatter",
        "x": points[:, 0],
        "y": points[:, 1],
        "mode": "markers",
        "marker": look,
        "opacity": marks.get_alpha() or 1.0,
        "meta": {"color": edge if colour == "#ffffff" and isinstance(edge, str) else colour},
    }


def _bars(panel: Panel, container: Any) -> dict[str, Any]:
    corners = np.array([patch.get_bbox().get_points() for patch in container.patches])  # (bars, end, axis)
    lying = container.orientation == "horizontal"
    along, across = (0, 1) if lying else (1, 0)
    colours = [hexed(patch.get_facecolor()) for patch in container.patches]
    middles = corners[..., across].mean(axis=1)
    return {
        "type": "bar",
        "orientation": "h" if lying else "v",
        "xy"[across]: middles,
        "xy"[along]: corners[:, 1, along],
        "base": corners[:, 0, along],
        "width": corners[..., across],  # where it is put: from the edges
        "marker": {"color": colours[0] if len(set(colours)) == 1 else colours},
        "opacity": container.patches[0].get_alpha() or 1.0,
        "meta": {"color": colours[0], "along": "xy"[along]},
    }


def _shape(panel: Panel, patch: Any) -> dict[str, Any]:
    """Return a patch as the area within its outline."""
    outline = patch.get_path().transformed(patch.get_patch_transform())
    parts = [part for polygon in outline.to_polygons() for part in (polygon, [[np.nan, np.nan]])]
    points = panel.data(patch.get_data_transform(), np.vstack(parts[:-1]))
    face, edge = patch.get_facecolor(), patch.get_edgecolor()
    colour = hexed(face if face[3] else edge)
    shape = _filled(panel, points, colour) | {"opacity": patch.get_alpha() or float(face[3]) or 1.0}
    if not face[3]:
        shape |= {"fill": "none", "line": {"width": patch.get_linewidth() * PIXELS_A_POINT, "color": colour}}
    return shape | {"meta": {"color": colour}}
