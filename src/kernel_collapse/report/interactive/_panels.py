"""Axes as Plotly's: titles, scales, ranges with their direction, ticks, texts and spans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_collapse._input_error import InputError
from kernel_collapse.report.interactive._looks import PIXELS_A_POINT
from kernel_collapse.report.interactive._text import DIGITS, hexed, markup, numbers
from kernel_collapse.report.style import readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

__all__ = ["Panel", "describe_panel", "is_span", "names_at", "of_data", "place", "share", "ticks", "twin_of"]


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

    def axis(self, which: str) -> Axis:
        """Return the axis of that letter."""
        return self.axes.xaxis if which == "x" else self.axes.yaxis

    def limits(self, which: str) -> tuple[float, float]:
        """Return where an axis begins and ends: at its left or lower end, whichever number is larger."""
        low, high = self.axes.get_xlim() if which == "x" else self.axes.get_ylim()
        return float(low), float(high)

    def data(self, transform: Transform, points: Any) -> np.ndarray[Any, Any]:
        """Return points (m, 2) in the units of the axes, whatever they were given in."""
        points = np.ma.filled(np.ma.asarray(points, dtype=float), np.nan).reshape(-1, 2)
        if all(of_data(self.axes, transform)):
            return points
        moved = self.axes.transData.inverted().transform(transform.transform(points))
        return np.where(np.isfinite(points), moved, np.nan)

    def scaled(self, values: Any, which: str) -> np.ndarray[Any, Any]:
        """Return values on a scale that Plotly does not know as places on its linear one."""
        values, axis = np.asarray(values, dtype=float), self.axis(which)
        if axis.get_scale() in ("linear", "log"):
            return values
        return np.asarray(axis.get_transform().transform(values.ravel()), dtype=float).reshape(values.shape)

    def placed(self, values: Any, which: str) -> list[Any]:
        """Return values as Plotly takes them, with digits enough to tell apart what is apart in print."""
        digits = DIGITS
        if self.axis(which).get_scale() != "log":
            low, high = self.scaled(self.limits(which), which)
            digits += max(0, math.floor(math.log10(max(abs(low), abs(high)) / abs(high - low))))
        return numbers(self.scaled(values, which), min(digits, 15))


def describe_panel(
    figure: Figure, panel: Panel, panels: list[Panel], traces: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what a panel is but for its traces."""
    axes = panel.axes
    mine = [t for t in traces if t["meta"]["panel"] == panel.number]
    colour = axes.title.get_color()
    below = [p.axes for p in panels if place(p.axes)[1] == place(axes)[1] and twin_of(p, panels) is None]
    beside = [p.axes for p in panels if place(p.axes)[0] == place(axes)[0]]
    labels = {
        "xaxis": [axes.get_xlabel(), figure.get_supxlabel(), *(a.get_xlabel() for a in reversed(below))],
        "yaxis": [axes.get_ylabel(), *(a.get_ylabel() for a in beside if share(a, axes, "y"))],
    }
    named = {name for t in mine for name in _names_of(t)}
    result: dict[str, Any] = {
        "title": panel.title,
        "name": panel.name,
        "row": place(axes)[0],
        "column": place(axes)[1],
        "color": readable(colour) if hexed(colour) != "#000000" else None,
        "texts": [
            _text(panel, text)
            for text in axes.texts
            if text.get_visible() and not (getattr(text, "arrow_patch", None) and text.get_text() in named)
        ],
        "spans": [_span(panel, p) for p in axes.patches if p.get_visible() and is_span(panel, p)],
        "square": axes.get_aspect() != "auto",
        "over": twin_of(panel, panels),
    }
    for name, axis in (("xaxis", axes.xaxis), ("yaxis", axes.yaxis)):
        shared = [p.number for p in panels if share(p.axes, axes, name[0])]
        result[name] = {
            "name": panel.names[name],
            "label": markup(next(filter(None, labels[name]), "")),
            "share": min(shared),
            "grid": any(line.get_visible() for line in axis.get_gridlines()),
            **_scale(panel, name[0], [t[name[0]] for t in mine if t["type"] == "scatter"]),
        }
    return result


def _names_of(trace: dict[str, Any]) -> list[str]:
    """Return the names of the points of a trace, which are shown when they are pointed at."""
    columns = trace["meta"].get("columns", [])
    return [row[columns.index("name")] for row in trace["customdata"]] if "name" in columns else []


def place(axes: Axes) -> tuple[int, int]:
    """Return row and column of a panel."""
    spec = axes.get_subplotspec()
    return (spec.rowspan.start, spec.colspan.start) if spec else (0, 0)


def share(first: Axes, second: Axes, axis: str) -> bool:
    """Return whether two panels share an axis."""
    groups = first.get_shared_x_axes() if axis == "x" else first.get_shared_y_axes()
    return first is second or groups.joined(first, second)


def twin_of(panel: Panel, panels: list[Panel]) -> int | None:
    """Return the number of the panel that this one lies upon, with another axis at its other side."""
    spec = panel.axes.get_subplotspec()
    for other in panels[: panel.number]:
        if spec is not None and other.axes.get_subplotspec() == spec:
            return other.number
    return None


def of_data(axes: Axes, transform: Transform) -> tuple[bool, bool]:
    """Return whether x and y are given in the units of the axes: what is not is a share of the panel."""
    x, y = transform.contains_branch_seperately(axes.transData)
    return bool(x), bool(y)


def _scale(panel: Panel, which: str, drawn: Sequence[list[Any]]) -> dict[str, Any]:
    """Return type, range and ticks of an axis, and its range on the other scale if it has one.

    A range goes from the left or lower end to the other, as matplotlib's limits do: an axis that is turned round has
    its larger number first, on either scale.
    """
    axis, ends = panel.axis(which), panel.limits(which)
    scale = axis.get_scale()
    result: dict[str, Any] = {"type": "log" if scale == "log" else "linear"}
    if scale == "log":
        result |= {"range": numbers(np.log10(ends), 9), "other": numbers(ends)}
    else:
        result["range"] = panel.placed(ends, which)
    fixed = ticks(axis)
    if fixed is not None:
        result |= {"tickvals": panel.placed(fixed[0], which), "ticktext": [markup(t) for t in fixed[1]]}
    elif scale == "linear":
        values = np.array([v for part in drawn for v in part if v is not None], dtype=float)
        if len(values) and values.min() > 0 and values.max() >= 8 * values.min():
            low, high = np.log10([values.min(), values.max()])
            margin = 0.05 * (high - low)
            other = [low - margin, high + margin]
            result["other"] = numbers(other if ends[0] < ends[1] else other[::-1])
    return result


def ticks(axis: Axis) -> tuple[Any, list[str]] | None:
    """Return places and texts of ticks that were set by hand, or that Plotly would set elsewhere."""
    from matplotlib.category import StrCategoryLocator
    from matplotlib.ticker import FixedLocator, NullLocator

    places = np.asarray(axis.get_majorticklocs(), dtype=float)
    if isinstance(axis.get_major_locator(), FixedLocator | StrCategoryLocator | NullLocator):
        return places, axis.get_major_formatter().format_ticks(list(places))
    if axis.get_scale() in ("linear", "log"):
        return None
    low, high = sorted(axis.get_view_interval())
    places = places[(places >= low) & (places <= high)]
    return places, [f"{place:,g}" for place in places]


def names_at(axis: Axis, places: np.ndarray[Any, Any], within: np.ndarray[Any, Any]) -> list[str] | None:
    """Return the text of the tick at each of these places, if every place has one."""
    fixed = ticks(axis)
    if fixed is None or not len(fixed[0]) or not len(places):
        return None
    away = np.abs(np.subtract.outer(places, fixed[0]))
    nearest = away.argmin(axis=1)
    if np.any(away.min(axis=1) >= within) or len(set(nearest)) < len(places):
        return None
    return [fixed[1][i] for i in nearest]


# -- texts and spans


def _shares(panel: Panel, transform: Transform, points: Any) -> np.ndarray[Any, Any]:
    """Return points as shares of the panel, from its left and lower side."""
    shown = transform.transform(np.asarray(points, dtype=float).reshape(-1, 2))
    return np.asarray(panel.axes.transAxes.inverted().transform(shown), dtype=float)


def _text(panel: Panel, text: Any) -> dict[str, Any]:
    """Return a text and where it is: in the units of an axis that it moves with, else in shares of the panel."""
    axes, transform, shift = panel.axes, text.get_transform(), (0.0, 0.0)
    at = text.get_unitless_position()
    if hasattr(text, "anncoords"):  # an annotation finds its place when it is drawn
        coordinates = text.anncoords
        if coordinates in ("offset points", "offset pixels"):
            scale = PIXELS_A_POINT if coordinates == "offset points" else 1.0
            shift, at, coordinates = (at[0] * scale, at[1] * scale), text.xy, text.xycoords
        known = {"data": axes.transData, "axes fraction": axes.transAxes}
        transform = known.get(coordinates, coordinates) if isinstance(coordinates, str) else coordinates
        if not hasattr(transform, "transform"):
            raise InputError(
                f"the annotation {text.get_text()!r}",
                f"coordinates {coordinates!r}",
                "'data', 'axes fraction', 'offset points' or a transform",
                verb="has",
            )
        units: Any = axes.xaxis, axes.yaxis
        at = tuple(float(axis.convert_units(value)) for axis, value in zip(units, at, strict=True))
    data = of_data(axes, transform)
    shares = _shares(panel, transform, at)[0]
    in_units = panel.data(transform, at)[0]
    return {
        "text": markup(text.get_text()),
        **{
            which: float(panel.scaled(in_units[i], which)) if data[i] else float(shares[i])
            for i, which in enumerate("xy")
        },
        "units": [which for which, given in zip("xy", data, strict=True) if given],
        "shift": [round(s, 1) for s in shift],
        "xanchor": text.get_horizontalalignment(),
        "yanchor": {"center": "middle", "center_baseline": "middle", "top": "top"}.get(
            text.get_verticalalignment(), "bottom"
        ),
        "font": {"color": readable(text.get_color()), "size": round(text.get_fontsize() * 1.25, 1)},
    }


def is_span(panel: Panel, patch: Any) -> bool:
    """Return whether a patch reaches over a share of the panel, whatever the limits are."""
    return not all(of_data(panel.axes, patch.get_data_transform()))


def _span(panel: Panel, patch: Any) -> dict[str, Any]:
    """Return a patch as the rectangle around it: in the units of an axis, or in shares of the panel."""
    corners = patch.get_path().transformed(patch.get_patch_transform()).get_extents().get_points()
    transform = patch.get_data_transform()
    data = of_data(panel.axes, transform)
    shares = _shares(panel, transform, corners)
    ends = {
        which: panel.scaled(corners[:, i], which) if data[i] else shares[:, i] for i, which in enumerate("xy")
    }
    return {
        **{f"{which}{i}": float(value) for which in "xy" for i, value in enumerate(ends[which])},
        "units": [which for which, given in zip("xy", data, strict=True) if given],
        "fillcolor": hexed(patch.get_facecolor()),
        "opacity": patch.get_alpha() or patch.get_facecolor()[3],
    }
