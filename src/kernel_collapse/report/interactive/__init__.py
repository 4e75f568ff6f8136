"""What a plot shows, as a Plotly figure of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernel_collapse.report.interactive._looks import look_of
from kernel_collapse.report.interactive._panels import WHICH, View, describe_panel, views_of
from kernel_collapse.report.interactive._text import hexed, markup, plain
from kernel_collapse.report.interactive._traces import traces_of
from kernel_collapse.report.plot import Frame, HeatMap, Plot, Text
from kernel_collapse.report.style import readable

__all__ = ["colours", "convert", "describe", "markup", "plain"]

PIXELS_AN_INCH = 82


def convert(plot: Plot, frames: Sequence[Frame]) -> dict[str, Any]:
    """Return what a plot shows as Plotly traces, and what the page needs to arrange them.

    Parameters
    ----------
    plot : Plot
        What is drawn.
    frames : sequence of Frame
        Where the axes of each panel begin and end, as `kernel_collapse.report.printing.draw` found in print.

    Returns
    -------
    dict
        ``data``: traces of Plotly, whose ``meta`` tells panel, group of the legend, side ("published", "right" or
        neither) and the names of the columns of ``customdata``; ``panels``: axes, titles, texts and spans of each;
        ``legend``: entries with how they look; ``xlabel``: of all panels together; ``least``: pixels that a panel needs
        across; ``height`` of a panel. Numbers have six digits, and what is no finite number is None.

    Examples
    --------
    >>> from kernel_collapse.report import printing
    >>> from kernel_collapse.report.plot import Line, Panel
    >>> plot = Plot(rows=[[Panel(marks=[Line([1, 2, 4], [0.5, 0.25, 0.125], group="NNGP")])]], size=(4, 3))
    >>> trace = convert(plot, printing.draw(plot).frames)["data"][0]
    >>> trace["y"], trace["meta"]["group"]
    ([0.5, 0.25, 0.125], 'NNGP')
    """
    views = views_of(plot, frames)
    traces = [trace for view in views for trace in traces_of(view)]
    pictures = [trace for trace in traces if trace["type"] == "heatmap"]
    if plot.colours is not None:
        pictures[-1] |= {"showscale": True, "colorbar": {"title": {"text": markup(plot.colours.label)}}}
    described = [describe_panel(view, traces) for view in views]
    for which in WHICH:
        _keep_switches([panel[f"{which}axis"] for panel in described])
    used = {trace["meta"]["group"] for trace in traces}
    return {
        "data": traces,
        "panels": described,
        "legend": [{**entry, "key": entry["name"] not in used} for entry in _legend(plot)],
        "xlabel": markup(plot.xlabel),
        "least": _least(plot, views),
        "height": round(plot.size[1] / len(plot.rows) * PIXELS_AN_INCH),
    }


def _keep_switches(axes: list[dict[str, Any]]) -> None:
    """Leave another scale to logarithmic axes; without any to all, if all have one."""
    logarithmic = any(axis["type"] == "log" for axis in axes)
    allowed = logarithmic or all("other" in axis for axis in axes)
    for axis in axes:
        if not allowed or (logarithmic and axis["type"] != "log"):
            axis.pop("other", None)


def _least(plot: Plot, views: list[View]) -> int:
    """Return how many pixels a panel needs across, without what is at its left where panels share that."""
    if len(views) > 2 and any(isinstance(mark, HeatMap) for view in views for mark in view.panel.marks):
        return 70
    return 200 if plot.share_y == "none" and len(plot.rows[0]) > 1 else 140


def _legend(plot: Plot) -> list[dict[str, Any]]:
    """Return the entries of all legends, each name once."""
    found: dict[str, dict[str, Any]] = {}
    for legend, marks in plot.legends():
        for mark in marks:
            name = markup(mark.name)
            found.setdefault(name, {"name": name, "title": markup(legend.title), **look_of(mark)})
    return list(found.values())


def colours(plot: Plot) -> set[str]:
    """Return the colours of a plot's marks, titles and texts, as `convert` gives them."""
    found = {readable(panel.title_color) for _, _, panel in plot.panels()}
    marks = [mark for _, _, panel in plot.panels() for mark in panel.marks]
    for mark in (*marks, *(entry for _, entries in plot.legends() for entry in entries)):
        found.add(readable(mark.color) if isinstance(mark, Text) else hexed(mark.color))
        face = getattr(mark, "face", None)
        if face not in (None, "none"):
            found.add(hexed(face))
    return found


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
            ranges = [
                (
                    plain(panel[f"{which}axis"]["label"]) or "value",
                    [v for t in traces for v in _values(t, which)],
                )
                for which in WHICH
                if not panel[f"{which}axis"]["rows"]
            ]
        ends = (_said(name, [v for v in values if v is not None]) for name, values in ranges)
        said.append(f"{plain(panel['name'])}: {', '.join(filter(None, ends))}")
    return "; ".join(said) + "."


def _said(name: str, values: list[float]) -> str:
    if not values:
        return ""
    low, high = (f"{end:.3g}".replace("-", "−") for end in (min(values), max(values)))
    return f"{name} from {low} to {high}"


def _values(trace: dict[str, Any], which: str) -> list[float]:
    """Return the numbers of a trace along an axis, as they were before a scale that Plotly does not know."""
    columns = trace["meta"].get("columns", [])
    if which in columns:
        return [row[columns.index(which)] for row in trace["customdata"]]
    return [value for value in trace[which] if isinstance(value, int | float)]
