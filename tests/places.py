"""Where numbers stand, in print and on the page: as shares of their panel, from its left and lower side.

In print the artists' own transforms say so; on the page the ranges and scales that Plotly is given do. Six digits of a
number move it by at most 5e-5 of an axis, and so do those of the limits.
"""

from types import SimpleNamespace

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.text import Annotation
from scipy.spatial import KDTree

from kernel_collapse.report.interactive import markup

CLOSE = 1e-4


def panels_of(figure):
    """The axes of a figure that are shown as panels: not those of colour bars."""
    bars = {c.colorbar.ax for axes in figure.axes for c in (*axes.images, *axes.collections) if c.colorbar}
    return [axes for axes in figure.axes if axes.axison and axes not in bars]


def compare(figure, shown):
    """Compare direction, limits, scale, ticks and every number that is drawn, panel by panel."""
    panels = panels_of(figure)
    assert len(panels) == len(shown["panels"])
    for number, (axes, panel) in enumerate(zip(panels, shown["panels"], strict=True)):
        traces = [t for t in shown["data"] if t["meta"]["panel"] == number]
        compare_axes(axes, panel)
        there, here = printed(axes), np.vstack([[[0.0, 0.0]], *(points(panel, t) for t in traces)])[1:]
        same_points(there, here)
        for trace in traces:
            if trace["type"] == "heatmap":
                compare_cells(axes, panel, trace)
        compare_texts(axes, panel)


def compare_axes(axes, panel):
    for which, limits, scale in (
        ("x", axes.get_xlim(), axes.get_xscale()),
        ("y", axes.get_ylim(), axes.get_yscale()),
    ):
        described, axis = panel[f"{which}axis"], axes.xaxis if which == "x" else axes.yaxis
        ends = np.array(described["range"])
        assert (described["type"] == "log") == (scale == "log")
        assert np.sign(ends[1] - ends[0]) == np.sign(limits[1] - limits[0]), "the direction"
        if "other" in described:
            assert np.sign(np.diff(described["other"])) == np.sign(ends[1] - ends[0]), "after the switch"
        scaled = np.log10 if scale == "log" else axis.get_transform().transform
        known = scaled(np.array(limits))
        np.testing.assert_allclose(ends, known, rtol=0, atol=CLOSE * abs(known[1] - known[0]))
        if "tickvals" in described:
            places = scaled(np.asarray(axis.get_majorticklocs(), dtype=float))
            mine = np.array(described["tickvals"], dtype=float)
            mine = np.log10(mine) if scale == "log" else mine
            near = CLOSE * abs(known[1] - known[0])
            places, mine = (t[(t >= known.min() - near) & (t <= known.max() + near)] for t in (places, mine))
            np.testing.assert_allclose(mine, places, atol=near)
            words = [label.get_text() for label in axis.get_ticklabels()]
            if any(words) and not any(
                "$" in word for word in words
            ):  # inner panels share those of the outer ones
                assert described["ticktext"] == [markup(word) for word in words]


def to_share(panel, which, values, *, given=False):
    """Values of the page as shares of the panel; those given in the axis's own numbers are not taken logarithms of."""
    axis = panel[f"{which}axis"]
    low, high = axis["range"]
    values = np.array(values, dtype=float)
    if axis["type"] == "log" and not given:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log10(np.where(values > 0, values, np.nan))
    return (values - low) / (high - low)


def points(panel, trace):
    """Every point that a trace of the page draws."""
    if trace["type"] == "heatmap":
        return np.empty((0, 2))
    x, y = (np.array(trace[which], dtype=float) for which in "xy")
    pairs = [(x, y)]
    if trace["type"] == "bar":
        along = trace["orientation"] == "v"
        at, length = (x, y) if along else (y, x)
        base, half = np.array(trace["base"], dtype=float), np.array(trace["width"]) / 2
        corners = [(at + s * half, end) for s in (-1, 1) for end in (base, base + length)]
        pairs = corners if along else [corner[::-1] for corner in corners]
    for which in "xy":
        if bars := trace.get(f"error_{which}"):
            up, down = (np.array(bars[name], dtype=float) for name in ("array", "arrayminus"))
            pairs += [(x + up, y), (x - down, y)] if which == "x" else [(x, y + up), (x, y - down)]
    return np.vstack(
        [
            np.column_stack([to_share(panel, "x", first), to_share(panel, "y", second)])
            for first, second in pairs
        ]
    )


def printed(axes):
    """Every point that is drawn in print: of lines, error bars, marks, bands, segments and patches."""
    found = [np.empty((0, 2))]

    def add(transform, values):
        values = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan).reshape(-1, 2)
        values = values[np.isfinite(values).all(axis=1)]
        data = transform.contains_branch_seperately(axes.transData)
        for i, scale in enumerate((axes.get_xscale(), axes.get_yscale())):
            if scale == "log" and data[i]:  # there is no place for the others
                values = values[values[:, i] > 0]
        found.append(axes.transAxes.inverted().transform(transform.transform(values)))

    caps = {
        id(cap) for container in axes.containers for cap in np.ravel(getattr(container, "lines", ())[1:2])
    }
    for line in axes.get_lines():
        if id(line) not in caps:
            add(line.get_transform(), line.get_xydata())
    for drawn in axes.collections:
        if isinstance(drawn, LineCollection | PolyCollection):
            for path in drawn.get_paths():
                add(drawn.get_transform(), path.vertices)
        elif isinstance(drawn, PathCollection):
            add(drawn.get_offset_transform(), drawn.get_offsets())
        else:
            assert isinstance(drawn, QuadMesh)
    for patch in axes.patches:
        if all(patch.get_data_transform().contains_branch_seperately(axes.transData)):
            for polygon in patch.get_path().transformed(patch.get_patch_transform()).to_polygons():
                add(patch.get_data_transform(), polygon)
    return np.vstack(found)


def same_points(there, here):
    """Each point of either has one of the other at its place; far outside of the panel the digits count for less."""
    sides = [side[np.isfinite(side).all(axis=1) & (np.abs(side) < 50).all(axis=1)] for side in (there, here)]
    inside = [side[((side > -0.01) & (side < 1.01)).all(axis=1)] for side in sides]
    for some, all_ in ((sides[0], sides[1]), (inside[1], sides[0])):
        if len(some):
            assert len(all_), "one draws something that the other does not"
            away, _ = KDTree(all_).query(some)
            assert np.all(away <= CLOSE * (1 + np.abs(some).max(axis=1))), some[away.argmax()]


def compare_cells(axes, panel, trace):
    """The value that matplotlib reads at the place of each cell is that of the page."""
    pictures = [*axes.images, *(c for c in axes.collections if isinstance(c, QuadMesh))]
    z = np.array(trace["z"], dtype=float)
    if "mean of" in trace["hovertemplate"]:
        return
    shares = []
    for which, cells in (("x", z.shape[1]), ("y", z.shape[0])):
        places = np.array(trace[which], dtype=float)
        shares.append(
            to_share(panel, which, places if len(places) == cells else (places[1:] + places[:-1]) / 2)
        )
    for i in range(0, z.shape[0], 1 + z.shape[0] // 25):
        for j in range(0, z.shape[1], 1 + z.shape[1] // 25):
            x, y = axes.transAxes.transform([shares[0][j], shares[1][i]])
            event = SimpleNamespace(x=x, y=y, canvas=axes.figure.canvas, inaxes=axes)
            read = [np.ravel(picture.get_cursor_data(event)) for picture in pictures]
            assert any(np.allclose(value, z[i, j], rtol=1e-3) for value in read if len(value)), (i, j)
    for which, names in trace["meta"].get("names", {}).items():
        axis = panel[f"{which}axis"]
        at = to_share(panel, which, axis["tickvals"])
        mine = shares["xy".index(which)]
        assert names == [axis["ticktext"][np.abs(at - share).argmin()] for share in mine]


def compare_texts(axes, panel):
    """Texts stand where they do in print; those with an arrow may be names of points instead."""
    renderer = RendererAgg(10, 10, axes.figure.dpi)
    expected = []
    for text in axes.texts:
        if isinstance(text, Annotation):
            text.update_positions(renderer)
        at = text.get_transform().transform(text.get_unitless_position())
        expected.append((markup(text.get_text()), *axes.transAxes.inverted().transform(at)))
    assert len(panel["texts"]) <= len(expected)
    for text in panel["texts"]:
        mine = [entry for entry in expected if entry[0] == text["text"]]
        assert any(np.allclose([text["x"], text["y"]], entry[1:], atol=CLOSE) for entry in mine), text
    left_out = {entry[0] for entry in expected} - {text["text"] for text in panel["texts"]}
    arrows = {markup(t.get_text()) for t in axes.texts if getattr(t, "arrow_patch", None)}
    assert left_out <= arrows
    compare_spans(axes, panel)


def compare_spans(axes, panel):
    spans = [
        patch
        for patch in axes.patches
        if not all(patch.get_data_transform().contains_branch_seperately(axes.transData))
    ]
    assert len(spans) == len(panel["spans"])
    for patch, span in zip(spans, panel["spans"], strict=True):
        corners = axes.transAxes.inverted().transform(
            patch.get_transform().transform_path(patch.get_path()).get_extents().get_points()
        )
        mine = np.column_stack(
            [[0, 1], np.sort(to_share(panel, "y", [span["y0"], span["y1"]]))]  # from side to side
        )
        np.testing.assert_allclose(mine, corners, atol=CLOSE)


def cut(axes):
    """Points of the data that are outside of the frame, where axes have limits that hide them."""
    shares = printed(axes)
    return shares[((shares < -1e-9) | (shares > 1 + 1e-9)).any(axis=1)]


def same(there, here):
    """Whether two descriptions of a figure agree but for the round-off of transforms, which knows the resolution.

    The steps of a colour scale hang on its last bit, and so does the name that a reference line halfway between two
    named rows is given; what is drawn is compared.
    """
    by_a_bit = ("colorscale", "customdata")
    if isinstance(here, dict):
        return there.keys() == here.keys() and all(
            name in by_a_bit or same(there[name], here[name]) for name in here
        )
    if isinstance(here, list):
        return len(there) == len(here) and all(map(same, there, here))
    if isinstance(here, int | float) and isinstance(there, int | float):
        return bool(np.isclose(there, here, rtol=1e-9, atol=1e-12))
    return there == here
