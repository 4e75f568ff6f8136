"""What a matplotlib figure shows, as a Plotly figure: the page draws what was printed, and nothing is plotted twice.

Panels, lines, bands, error bars, marks, pictures and legends are read off the artists. What is drawn is grouped by its
label, or where it has none by the legend's first entry of its colour. Lines and panels named "published" are those of
the published code; "right" are their namesakes, or in their panel all others where there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_collapse.report.interactive._artists import traces_of
from kernel_collapse.report.interactive._looks import look_of
from kernel_collapse.report.interactive._panels import Panel, describe_panel, place, share
from kernel_collapse.report.interactive._text import hexed, markup, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["convert", "describe", "markup", "plain"]

PUBLISHED = ", published code"
PIXELS_AN_INCH = 82


def convert(figure: Figure) -> dict[str, Any]:
    """Return what a figure shows as Plotly traces, and what the page needs to arrange them.

    Parameters
    ----------
    figure : matplotlib figure
        Panels on one grid, of lines, bands, error bars, marks, spans, pictures and texts.

    Returns
    -------
    dict
        ``data``: traces of Plotly, whose ``meta`` tells panel, group of the legend, side ("published", "right" or
        neither) and the names of the columns of ``customdata``; ``panels``: axes, titles, texts and spans of each;
        ``legend``: entries with how they look; ``xlabel``: of all panels together; ``least``: pixels that a panel needs
        across; ``height`` of a panel. Numbers have six digits, and what is no finite number is None.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> drawn = Figure()
    >>> axes = drawn.subplots()
    >>> _ = axes.plot([1, 2, 4], [0.5, 0.25, 0.125], label="NNGP")
    >>> axes.set_yscale("log")
    >>> shown = convert(drawn)
    >>> shown["data"][0]["y"], shown["panels"][0]["yaxis"]["type"]
    ([0.5, 0.25, 0.125], 'log')
    """
    coloured: list[Any] = [c for axes in figure.axes for c in (*axes.images, *axes.collections)]
    bars = {c.colorbar.ax for c in coloured if c.colorbar}
    shown = [axes for axes in figure.axes if axes.axison and axes not in bars]
    panels = [Panel(axes, i, markup(axes.get_title()), _name(axes, shown)) for i, axes in enumerate(shown)]
    legend = _legend(figure)
    traces = [trace for panel in panels for trace in traces_of(panel, legend)]
    _take_sides(traces, panels)
    spec = shown[0].get_subplotspec()
    rows = spec.get_gridspec().nrows if spec else 1
    used = {trace["meta"]["group"] for trace in traces}
    described = [describe_panel(figure, panel, panels, traces) for panel in panels]
    for axis in ("xaxis", "yaxis"):
        _keep_switches([panel[axis] for panel in described])
    return {
        "data": traces,
        "panels": described,
        "legend": [{**entry, "key": entry["name"] not in used} for entry in legend],
        "xlabel": markup(figure.get_supxlabel()),
        "least": _least(panels),
        "height": round(figure.get_figheight() / rows * PIXELS_AN_INCH),
    }


def _keep_switches(axes: list[dict[str, Any]]) -> None:
    """Leave another scale to logarithmic axes; without any to all, if all have one and none is of logarithms."""
    logarithmic = any(axis["type"] == "log" for axis in axes)
    allowed = logarithmic or all("other" in axis and "log" not in axis["label"] for axis in axes)
    for axis in axes:
        if not allowed or (logarithmic and axis["type"] != "log"):
            axis.pop("other", None)


def _least(panels: list[Panel]) -> int:
    """Return how many pixels a panel needs across, without what is at its left where panels share that."""
    if len(panels) > 2 and any(panel.axes.images for panel in panels):
        return 70
    first, *others = panels
    shared = all(
        share(first.axes, other.axes, "y") for other in others if place(other.axes)[0] == place(first.axes)[0]
    )
    return 140 if shared else 200


def describe(shown: dict[str, Any]) -> str:
    """Return what is seen in each panel: the ranges of what is drawn, from its numbers."""
    said = []
    for number, panel in enumerate(shown["panels"]):
        traces = [
            trace
            for trace in shown["data"]
            if trace["meta"]["panel"] == number
            and trace.get("hoverinfo") != "skip"
            and not trace["meta"].get("reference")
        ]
        ranges = [("values", [v for t in traces for row in t.get("z", ()) for v in row])]
        if not any(t["type"] == "heatmap" for t in traces):
            names = (plain(panel[axis]["label"]) for axis in ("xaxis", "yaxis"))
            ranges = [
                (name or "value", [v for t in traces for v in _values(t, axis)])
                for name, axis in zip(names, "xy", strict=True)
            ]
        ends = (_said(name, [v for v in values if v is not None]) for name, values in ranges)
        said.append(f"{plain(panel['name'])}: {', '.join(filter(None, ends))}")
    return "; ".join(said) + "."


def _said(name: str, values: list[float]) -> str:
    if not values:
        return ""
    low, high = (f"{end:.3g}".replace("-", "−") for end in (min(values), max(values)))
    return f"{name} from {low} to {high}"


def _name(axes: Axes, shown: list[Axes]) -> str:
    """Return what a panel is called: by its title, that of its column, or what it shows."""
    column = [other.get_title() for other in shown if place(other)[1] == place(axes)[1]]
    names = (axes.get_title(), *(column if place(axes)[0] else ()), axes.get_ylabel(), axes.get_xlabel())
    return markup(next(filter(None, names), f"panel {shown.index(axes) + 1}"))


def _values(trace: dict[str, Any], axis: str) -> list[float]:
    columns = trace["meta"].get("columns", [])
    if axis in columns:
        return [row[columns.index(axis)] for row in trace["customdata"]]
    if "name" in columns and axis == "y" and trace.get("error_x"):  # of rows that have names
        return []
    return [value for value in trace[axis] if isinstance(value, int | float)]


def _legend(figure: Figure) -> list[dict[str, Any]]:
    """Return the entries of all legends, each name once."""
    from matplotlib.container import ErrorbarContainer

    legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    with_bars = {
        bars.get_label(): bars[0]
        for axes in figure.axes
        for bars in reversed(axes.containers)  # the first of a name stands for it
        if isinstance(bars, ErrorbarContainer) and bars[0] is not None
    }
    entries: dict[str, dict[str, Any]] = {}
    handle: Any
    for legend in legends:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            name = markup(text.get_text())
            if not hasattr(handle, "get_xydata"):  # of error bars a legend gives the bars alone
                handle = with_bars.get(text.get_text(), handle)
            if hasattr(handle, "get_xydata"):
                look = look_of(handle)
            elif hasattr(handle, "get_facecolor"):
                look = _look_of_area(handle)
            else:
                look = look_of(handle.get_children()[0]) if handle.get_children() else {"color": "#777777"}
            entries.setdefault(name, {"name": name, "title": markup(legend.get_title().get_text()), **look})
    return list(entries.values())


def _look_of_area(handle: Any) -> dict[str, Any]:
    """Return how the entry of a band, a bar or marks looks."""
    face, edge = (np.atleast_2d(get())[:1] for get in (handle.get_facecolor, handle.get_edgecolor))
    filled = bool(face.size and face[0, 3])
    colour = hexed(face[0] if filled else edge[0]) if filled or edge.size else "#777777"
    return {"color": colour, "marker": {"symbol": "circle" + "-open" * (not filled), "color": colour}}


def _take_sides(traces: list[dict[str, Any]], panels: list[Panel]) -> None:
    """Note which traces are the published code's, and which show the same as it should be."""
    titles = [panel.name for panel in panels]
    twins = {title.replace(PUBLISHED, "") for title in titles if PUBLISHED in title}
    for panel in panels:
        mine = [t for t in traces if t["meta"]["panel"] == panel.number]
        published = [t for t in mine if "published" in t["meta"]["group"]]
        bases = {t["meta"]["group"].replace(PUBLISHED, "") for t in published}
        others = [t for t in mine if t not in published]
        right = [t for t in others if any(f"{t['meta']['group']},".startswith(f"{b},") for b in bases)]
        for trace in right or (others if published else []):
            trace["meta"]["side"] = "right"
        for trace in published:
            trace["meta"]["side"] = "published"
        if panel.name in twins or PUBLISHED in panel.name:
            for trace in mine:
                trace["meta"]["side"] = "right" if panel.name in twins else "published"
