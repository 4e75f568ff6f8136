"""Pictures and meshes of coloured cells as Plotly's heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_collapse._input_error import InputError
from kernel_collapse.report.interactive._text import DIGITS, hexed, markup, numbers

__all__ = ["image", "mesh"]

#: A picture of more points a side is shown by means over blocks.
MOST_POINTS = 128


def image(drawn: Any) -> dict[str, Any]:
    """Return a picture of numbers, made by `imshow`."""
    values = np.ma.filled(np.ma.asarray(drawn.get_array()).astype(float), np.nan)
    left, right, bottom, top = drawn.get_extent()
    if drawn.origin == "upper":  # the first row is at the top
        bottom, top = top, bottom
    rows, columns = values.shape
    edges = np.linspace(left, right, columns + 1), np.linspace(bottom, top, rows + 1)
    return _cells(drawn, values, *edges)


def mesh(drawn: Any) -> dict[str, Any]:
    """Return a mesh of rectangles, made by `pcolormesh`.

    Raises
    ------
    ValueError
        If its cells are not rectangles side by side.
    """
    corners: Any = np.ma.filled(np.ma.asarray(drawn.get_coordinates(), dtype=float), np.nan)
    x, y = corners[0, :, 0], corners[:, 0, 1]
    if not (np.all(corners[..., 0] == x) and np.all(corners[..., 1] == y[:, None])):
        raise InputError(
            "a mesh",
            "cells that are no rectangles in rows and columns",
            "such as `pcolormesh(x, y, c)` draws of vectors x and y",
            verb="has",
        )
    values = np.ma.filled(np.ma.asarray(drawn.get_array()).astype(float), np.nan)
    if values.shape == (len(y), len(x)):  # shaded between its corners
        x, y = _around(x), _around(y)
    return _cells(drawn, values.reshape(len(y) - 1, len(x) - 1), x, y)


def _around(middles: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the edges of cells around these places."""
    between = 0.5 * (middles[1:] + middles[:-1])
    return np.concatenate([[2 * middles[0] - between[0]], between, [2 * middles[-1] - between[-1]]])


def _cells(
    drawn: Any, values: np.ndarray[Any, Any], x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]
) -> dict[str, Any]:
    """Return cells between these edges as a trace, whose x and y are still the edges."""
    from matplotlib.colors import Normalize

    (values, x, y), block = _thinned(values, x, y)
    drawn.autoscale_None()  # a picture that was never drawn has no limits of its colours
    low, high = drawn.get_clim()
    steps = 16 if type(drawn.norm) is Normalize else 256
    bar = drawn.colorbar
    return {
        "type": "heatmap",
        "x": x,
        "y": y,
        "z": [numbers(row, 4 if values.size > 4096 else DIGITS) for row in values],
        "zmin": float(low),
        "zmax": float(high),
        "colorscale": [
            [i / steps, hexed(drawn.cmap(float(drawn.norm(low + i / steps * (high - low)))))]
            for i in range(steps + 1)
        ],
        "colorbar": {"title": {"text": markup(bar.ax.get_ylabel() or bar.ax.get_xlabel()) if bar else ""}},
        "showscale": bar is not None,
        "hovertemplate": f"%{{y}}, %{{x}}: {block}%{{z:.4g}}<extra></extra>",
        "meta": {},
    }


def _thinned(
    values: np.ndarray[Any, Any], x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]
) -> tuple[tuple[np.ndarray[Any, Any], ...], str]:
    """Return means over blocks of a picture that has more points than a page should hold, and what they are of."""
    steps = [-(-size // MOST_POINTS) for size in values.shape]
    if max(steps) == 1:
        return (values, x, y), ""
    starts = [np.arange(0, size, step) for size, step in zip(values.shape, steps, strict=True)]
    sums = np.add.reduceat(np.add.reduceat(values, starts[0], axis=0), starts[1], axis=1)
    ends = [np.array([*start, size]) for start, size in zip(starts, values.shape, strict=True)]
    means = sums / np.outer(*(np.diff(end) for end in ends))
    return (means, x[ends[1]], y[ends[0]]), f"mean of {steps[0]} × {steps[1]}: "
