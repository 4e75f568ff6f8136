"""Plots as matplotlib draws them, for paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_collapse.report.plot import (
    Axis,
    Frame,
    HeatMap,
    Legend,
    Level,
    Line,
    Mark,
    Panel,
    Plot,
    Points,
    Span,
    Text,
    Which,
)
from kernel_collapse.report.style import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

__all__ = ["Printed", "draw"]


@dataclass(frozen=True)
class Printed:
    """A figure of matplotlib's, and where the axes of each of its panels begin and end."""

    figure: MatplotlibFigure
    frames: list[Frame]


def draw(plot: Plot) -> Printed:
    """Draw a plot with matplotlib."""
    from matplotlib.figure import Figure as MatplotlibFigure

    with style():
        figure = MatplotlibFigure(figsize=plot.size)
        down, across = len(plot.rows), len(plot.rows[0])
        grid = figure.subplots(down, across, squeeze=False, sharex=plot.share_x, sharey=plot.share_y)
        panels = [(grid[i, j], panel) for i, j, panel in plot.panels()]
        for axes in {*grid.flat} - {axes for axes, _ in panels}:
            axes.set_axis_off()
        for axes, panel in panels:
            _draw_panel(axes, panel)
        _cover_the_same(panels)
        _label(plot, grid)
        targets = [figure] * (plot.legend is not None) + [
            a for a, panel in panels if panel.legend is not None
        ]
        for target, (legend, marks) in zip(targets, plot.legends(), strict=True):
            _list(target, legend, marks)
        if plot.xlabel:
            figure.supxlabel(plot.xlabel, fontsize="medium")
        if plot.colours is not None:
            every = [axes for axes, _ in panels]
            figure.colorbar(every[-1].images[-1], ax=every, label=plot.colours.label, **plot.colours.layout)
        return Printed(figure, [_frame(axes, panel) for axes, panel in panels])


# -- marks


def _look(mark: Mark) -> dict[str, Any]:
    """Return how a line or its entry in a legend looks, as matplotlib's `Line2D` takes it."""
    look = {"color": mark.color, "alpha": None if mark.alpha == 1 else mark.alpha, "label": mark.name or None}
    if isinstance(mark, Line | Level):
        look |= {"linestyle": mark.dashes, "linewidth": mark.width}
    if isinstance(mark, Line | Points):
        look |= {"marker": mark.marker or None, "markerfacecolor": mark.face}
    if isinstance(mark, Points):
        look |= {"linestyle": "", "markersize": mark.size, "markeredgewidth": mark.edge}
    return {name: value for name, value in look.items() if value is not None}


@singledispatch
def _draw(mark: Mark, axes: Axes) -> None:
    """Draw a mark."""
    raise TypeError(f"{type(mark).__name__} is no mark that can be drawn.")


@_draw.register(Line)
def _draw_line(mark: Line, axes: Axes) -> None:
    axes.plot(mark.x, mark.y, zorder=mark.layer, **_look(mark))
    if mark.low is not None:
        axes.fill_between(
            mark.x, mark.low, mark.high, color=mark.color, alpha=mark.band, linewidth=0, zorder=mark.layer - 1
        )


@_draw.register(Points)
def _draw_points(mark: Points, axes: Axes) -> None:
    look = _look(mark) | {"zorder": mark.layer}
    if mark.at_edge:
        axes.plot(mark.x, mark.y, transform=axes.get_xaxis_transform(), **look)
    elif mark.low is None:
        axes.plot(mark.x, mark.y, **look)
    else:
        middle = mark.x if mark.along == "x" else mark.y
        bars: dict[str, Any] = {f"{mark.along}err": np.stack([middle - mark.low, mark.high - middle])}
        axes.errorbar(mark.x, mark.y, **bars, elinewidth=mark.bar, capsize=mark.cap, **look)


@_draw.register(Level)
def _draw_level(mark: Level, axes: Axes) -> None:
    across = axes.axhline if mark.axis == "y" else axes.axvline
    across(mark.value, zorder=mark.layer, **_look(mark))


@_draw.register(Span)
def _draw_span(mark: Span, axes: Axes) -> None:
    axes.axhspan(mark.low, mark.high, color=mark.color, alpha=mark.alpha, linewidth=0)


@_draw.register(HeatMap)
def _draw_heat_map(mark: HeatMap, axes: Axes) -> None:
    axes.imshow(
        mark.values, aspect="auto", cmap=mark.colours, vmin=mark.low, vmax=mark.high, interpolation="nearest"
    )


@_draw.register(Text)
def _draw_text(mark: Text, axes: Axes) -> None:
    axes.annotate(
        mark.text,
        (mark.x, mark.y),
        xycoords="axes fraction",
        ha=mark.align,
        va=mark.upright,
        color=mark.color,
        fontsize=mark.size,
    )


# -- panels


def _draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw the marks of a panel, and set its axes."""
    for mark in panel.marks:
        _draw(mark, axes)
    if panel.square:
        axes.set_aspect("equal")
    axes.set_title(panel.title, color=panel.title_color)
    if not panel.frame:
        axes.spines[:].set_visible(False)
    for which, axis in (("x", panel.x), ("y", panel.y)):
        _set_axis(axes, which, axis)
    if panel.named is not None:
        _name_beside(axes, panel.named)


def _set_axis(axes: Axes, which: str, axis: Axis) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    drawn: Any = axes.xaxis if which == "x" else axes.yaxis
    get, limit = (getattr(axes, f"{name}_{which}lim") for name in ("get", "set"))
    if axis.scale != "linear":
        how: dict[str, Any] = {"base": axis.base} if axis.scale == "log" else {"linthresh": 1}
        getattr(axes, f"set_{which}scale")(axis.scale, **how)
    if axis.low is not None or axis.high is not None:
        limit(axis.low, axis.high)
    if axis.inverted:
        drawn.set_inverted(True)
    if axis.room:
        low, high = get()
        limit(low * (low / high) ** axis.room, high)
    if axis.fine is not None:
        low, high = sorted(get())
        drawn.set_minor_formatter(NullFormatter())
        for ratio, multiples in sorted(axis.fine.items()):
            if high / low < ratio:
                drawn.set_major_locator(LogLocator(subs=multiples, numticks=12))
                drawn.set_major_formatter("{x:g}")
                break
    if axis.ticks is not None:
        drawn.set_ticks(list(axis.ticks), list(axis.ticks.values()))
        drawn.minorticks_off()
    if not axis.grid:
        drawn.grid(visible=False)
    if not axis.tick_marks:
        axes.tick_params(axis=which, length=0)  # type: ignore[arg-type]


def _cover_the_same(panels: Sequence[tuple[Axes, Panel]]) -> None:
    """Give y axes that are to cover the same range the smallest that has all of theirs."""
    for name in {panel.y.same for _, panel in panels} - {""}:
        mine = [axes for axes, panel in panels if panel.y.same == name]
        low, high = zip(*(axes.get_ylim() for axes in mine), strict=True)
        for axes in mine:
            axes.set_ylim(min(low), max(high))


def _label(plot: Plot, grid: Any) -> None:
    """Write the labels of the axes: at outer panels alone, of those that have the same."""
    labels = {(i, j): (panel.x.label, panel.y.label) for i, j, panel in plot.panels()}
    for (i, j), (x, y) in labels.items():
        below, left = (labels.get(place, (None, None)) for place in ((i + 1, j), (i, j - 1)))
        if not plot.outer_labels or below[0] != x:
            grid[i, j].set_xlabel(x)
        if not plot.outer_labels or left[1] != y:
            grid[i, j].set_ylabel(y)


def _list(target: Any, legend: Legend, marks: Sequence[Mark]) -> None:
    """Add a legend to a figure or to axes."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **_look(mark)) for mark in marks]
    target.legend(handles=handles, loc=legend.where, title=legend.title or None, **legend.layout)


def _name_beside(axes: Axes, points: Points) -> None:
    """Name points in a column to the right of the panel, in the order of their heights, each with a thin line."""
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    names = points.names or []
    heights = np.linspace(low, high, len(names) + 2)[1:-1]
    for height, i in zip(heights, np.argsort(points.y), strict=True):
        axes.annotate(
            names[i],
            (points.x[i], points.y[i]),
            xytext=(right + 0.06 * (right - left), height),
            fontsize=7,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": "#999999",
                "linewidth": 0.4,
                "shrinkA": 1,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)


def _frame(axes: Axes, panel: Panel) -> Frame:
    """Return where axes begin and end, and the ticks that matplotlib chose on a scale of its own."""
    ends = axes.get_xlim(), axes.get_ylim()
    scales: tuple[tuple[Which, Any, Axis], ...] = (("x", axes.xaxis, panel.x), ("y", axes.yaxis, panel.y))
    ticks: dict[Which, Any] = {
        which: drawn.get_majorticklocs() for which, drawn, axis in scales if axis.scale == "symlog"
    }
    x, y = ((float(low), float(high)) for low, high in ends)
    return Frame(x, y, ticks)
