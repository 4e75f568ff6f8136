"""Axes as Plotly's: titles, scales, ranges, ticks, texts and spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_collapse.experiments._style import readable
from kernel_collapse.interactive._text import hexed, markup, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

__all__ = ["Panel", "describe_panel", "place", "scaled", "share", "ticks"]


@dataclass
class Panel:
    """Axes with their number, and what of them Plotly calls by it."""

    axes: Axes
    number: int
    title: str
    name: str
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ending = str(self.number + 1) if self.number else ""
        self.names = {"xaxis": f"x{ending}", "yaxis": f"y{ending}"}

    def data(self, transform: Transform, points: Any) -> np.ndarray[Any, Any]:
        """Return points (m, 2) in the units of the axes, whatever they were given in."""
        points = np.ma.filled(np.ma.asarray(points, dtype=float), np.nan).reshape(-1, 2)
        if all(transform.contains_branch_seperately(self.axes.transData)):
            return points
        moved = self.axes.transData.inverted().transform(transform.transform(points))
        return np.where(np.isfinite(points), moved, np.nan)


def describe_panel(
    figure: Figure, panel: Panel, panels: list[Panel], traces: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what a panel is but for its traces; pictures among these get the names of their rows and columns."""
    axes = panel.axes
    mine = [t for t in traces if t["meta"]["panel"] == panel.number]
    colour = axes.title.get_color()
    below = [p.axes for p in panels if place(p.axes)[1] == place(axes)[1]]
    beside = [p.axes for p in panels if place(p.axes)[0] == place(axes)[0]]
    labels = {
        "xaxis": [axes.get_xlabel(), figure.get_supxlabel(), *(a.get_xlabel() for a in reversed(below))],
        "yaxis": [axes.get_ylabel(), *(a.get_ylabel() for a in beside if share(a, axes, "y"))],
    }
    result: dict[str, Any] = {
        "title": panel.title,
        "name": panel.name,
        "row": place(axes)[0],
        "column": place(axes)[1],
        "color": readable(colour) if hexed(colour) != "#000000" else None,
        "texts": [_text(panel, text) for text in axes.texts if not getattr(text, "arrow_patch", None)],
        "spans": [_span(panel, patch) for patch in axes.patches],
        "square": axes.get_aspect() != "auto",
    }
    for name, axis in (("xaxis", axes.xaxis), ("yaxis", axes.yaxis)):
        shared = [p.number for p in panels if share(p.axes, axes, name[0])]
        result[name] = {
            "name": panel.names[name],
            "label": markup(next(filter(None, labels[name]), "")),
            "share": min(shared),
            "grid": any(line.get_visible() for line in axis.get_gridlines()),
            **_scale(axis, [t[name[0]] for t in mine if t["type"] != "heatmap"]),
        }
        for trace in mine:
            if trace["type"] == "heatmap" and len(result[name].get("ticktext", ())) == len(trace[name[0]]):
                trace[name[0]] = result[name]["ticktext"]
                result[name]["type"] = "category"
                del result[name]["tickvals"], result[name]["ticktext"]
    return result


def place(axes: Axes) -> tuple[int, int]:
    """Return row and column of a panel."""
    spec = axes.get_subplotspec()
    return (spec.rowspan.start, spec.colspan.start) if spec else (0, 0)


def share(first: Axes, second: Axes, axis: str) -> bool:
    """Return whether two panels share an axis."""
    groups = first.get_shared_x_axes() if axis == "x" else first.get_shared_y_axes()
    return first is second or groups.joined(first, second)


def _scale(axis: Axis, drawn: Sequence[list[Any]]) -> dict[str, Any]:
    """Return type, range and ticks of an axis, and its range on the other scale if it has one."""
    low, high = ends = axis.get_view_interval() if not axis.get_inverted() else axis.get_view_interval()[::-1]
    scale = axis.get_scale()
    result: dict[str, Any] = {"type": "log" if scale == "log" else "linear"}
    if scale == "log":
        result |= {"range": numbers(np.log10(ends)), "other": numbers(ends)}
    else:
        result["range"] = numbers(scaled(axis, ends))
    fixed = ticks(axis)
    if fixed is not None:
        result |= {"tickvals": numbers(scaled(axis, fixed[0])), "ticktext": [markup(t) for t in fixed[1]]}
    elif scale == "linear":
        values = np.array([v for part in drawn for v in part if v is not None], dtype=float)
        if len(values) and values.min() > 0 and values.max() >= 8 * values.min():
            low, high = np.log10([values.min(), values.max()])
            margin = 0.05 * (high - low)
            result["other"] = numbers([low - margin, high + margin][:: -1 if axis.get_inverted() else 1])
    return result


def ticks(axis: Axis) -> tuple[Any, list[str]] | None:
    """Return places and texts of ticks that were set by hand, or that Plotly would set elsewhere."""
    from matplotlib.category import StrCategoryLocator
    from matplotlib.ticker import FixedLocator

    places = np.asarray(axis.get_majorticklocs(), dtype=float)
    if isinstance(axis.get_major_locator(), FixedLocator | StrCategoryLocator):
        return places, axis.get_major_formatter().format_ticks(list(places))
    if axis.get_scale() in ("linear", "log"):
        return None
    low, high = sorted(axis.get_view_interval())
    places = places[(places >= low) & (places <= high)]
    return places, [f"{place:,g}" for place in places]


def scaled(axis: Axis, values: Any) -> Any:
    """Return values on a scale that Plotly does not know as places on its linear one."""
    return values if axis.get_scale() in ("linear", "log") else axis.get_transform().transform(values)


def _text(panel: Panel, text: Any) -> dict[str, Any]:
    x, y = text.xy if hasattr(text, "xy") else text.get_position()
    return {
        "text": markup(text.get_text()),
        "x": float(x),
        "y": float(y),
        "xanchor": text.get_horizontalalignment(),
        "font": {"color": readable(text.get_color()), "size": round(text.get_fontsize() * 1.25, 1)},
    }


def _span(panel: Panel, patch: Any) -> dict[str, Any]:
    """Return a patch as the rectangle around it, in shares of the panel across."""
    corners = patch.get_extents().transformed(panel.axes.transData.inverted())
    return {
        "y0": float(corners.y0),
        "y1": float(corners.y1),
        "fillcolor": hexed(patch.get_facecolor()),
        "opacity": patch.get_alpha() or patch.get_facecolor()[3],
    }
