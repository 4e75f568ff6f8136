"""Pictures of numbers as Plotly's heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_collapse.report.interactive._panels import WHICH, View
from kernel_collapse.report.interactive._text import DIGITS, hexed, markup, numbers
from kernel_collapse.report.plot import HeatMap

__all__ = ["cells"]

#: A picture of more points a side is shown by means over blocks.
MOST_POINTS = 128
#: Steps of a colour scale.
STEPS = 16


def cells(mark: HeatMap, view: View) -> dict[str, Any]:
    """Return a picture as a trace; where every row or column has a tick, it is called as that is."""
    import matplotlib as mpl

    values = np.asarray(mark.values, dtype=float)
    names = _names(view, values.shape)
    values, x, y, block = _thinned(values)
    colours = mpl.colormaps[mark.colours]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": view.placed(x, "x"),
        "y": view.placed(y, "y"),
        "z": [numbers(row, 4 if values.size > 4096 else DIGITS) for row in values],
        "zmin": float(mark.low),
        "zmax": float(mark.high),
        "colorscale": [[i / STEPS, hexed(colours(i / STEPS))] for i in range(STEPS + 1)],
        "showscale": False,
        "hovertemplate": f"%{{y}}, %{{x}}: {block}%{{z:.4g}}<extra></extra>",
        "meta": {},
    }
    if names:
        trace["meta"]["names"] = names
        rows, columns = (
            names.get(which, [f"{place:g}" for place in trace[which]]) for which in reversed(WHICH)
        )
        trace["customdata"] = [[[row, column] for column in columns] for row in rows]
        trace["hovertemplate"] = f"%{{customdata[0]}}, %{{customdata[1]}}: {block}%{{z:.4g}}<extra></extra>"
    return trace


def _names(view: View, shape: tuple[int, ...]) -> dict[str, list[str]]:
    """Return the names of rows and columns that all have one."""
    ticks = {which: view.axis(which).ticks or {} for which in WHICH}
    sizes = dict(zip(WHICH, reversed(shape), strict=True))
    return {
        which: [markup(ticks[which][place]) for place in range(size)]
        for which, size in sizes.items()
        if ticks[which].keys() >= set(range(size))
    }


def _thinned(values: Any) -> tuple[Any, Any, Any, str]:
    """Return a picture, the places of its columns and rows, and what its values are of.

    One of more points than a page should hold is shown by means over blocks, whose edges are returned for places.
    """
    steps = [-(-size // MOST_POINTS) for size in values.shape]
    if max(steps) == 1:
        return values, np.arange(values.shape[1]), np.arange(values.shape[0]), ""
    starts = [np.arange(0, size, step) for size, step in zip(values.shape, steps, strict=True)]
    sums = np.add.reduceat(np.add.reduceat(values, starts[0], axis=0), starts[1], axis=1)
    ends = [np.array([*start, size]) for start, size in zip(starts, values.shape, strict=True)]
    means = sums / np.outer(*(np.diff(end) for end in ends))
    y, x = ends[0] - 0.5, ends[1] - 0.5
    places: list[Any] = [
        0.5 * (edges[1:] + edges[:-1]) if np.ptp(np.diff(edges)) == 0 and len(edges) > 2 else edges
        for edges in (x, y)
    ]
    return means, places[0], places[1], f"mean of {steps[0]} × {steps[1]}: "
