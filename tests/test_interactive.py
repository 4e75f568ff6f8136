import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import places
from kernel_collapse.report import printing
from kernel_collapse.report.interactive import colours, convert, describe, markup, plain
from kernel_collapse.report.plot import (
    Axis,
    ColourScale,
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
    means,
)
from kernel_collapse.report.style import DARK, KERNEL_COLOURS, contrast, on_dark, readable


def drawn(*panels, **plot):
    """Panels side by side, in print and on the page."""
    plot = Plot(rows=[panels], size=(3 * len(panels), 3), **plot)
    printed = printing.draw(plot)
    return printed.figure, convert(plot, printed.frames)


@pytest.mark.parametrize(
    ("text", "html", "words"),
    [
        (r"$\log_{10}$ NC1(H)", "log<sub>10</sub> NC1(H)", "log10 NC1(H)"),
        (r"$\sigma_a^{\,-0.05\pm0.01}$", "σ<sub>a</sub><sup>\u2009−0.05±0.01</sup>", "σa^\u2009−0.05±0.01"),
        ("d < n & more\nbelow", "d &lt; n &amp; more<br>below", "d < n & more, below"),
    ],
)
def test_mathematics_becomes_html_and_words(text, html, words):
    assert markup(text) == html
    assert plain(html) == words


def test_bands_go_with_the_lines_that_say_so():
    marks = []
    for name, height in (("first", 1.0), ("second", 1.1)):  # of one colour, one within the band of the other
        table = pd.DataFrame({"d": [1, 2, 4], "mean": [height] * 3, "std": [0.5, 0.5, np.nan]})
        marks.append(means(table, "d", color="red", name=name))
    marks.append(Level(2.0, color="red", group="first"))
    _, shown = drawn(Panel(marks=marks, x=Axis(label="dimension d"), legend=Legend()))
    traces = shown["data"]
    of = {(t["meta"]["group"], "fill" in t): t for t in traces if not t["meta"].get("reference")}
    assert set(of) == {(name, filled) for name in ("first", "second") for filled in (False, True)}
    assert of["second", False]["customdata"] == [[0.6, 1.6], [0.6, 1.6], [None, None]]
    assert max(filter(None, of["second", True]["y"])) == 1.6
    (level,) = [t for t in traces if t["meta"].get("reference")]
    assert level["meta"]["group"] == "first"
    assert describe(shown) == "dimension d: dimension d from 1 to 4, value from 1 to 1.1."


def test_a_band_has_a_part_for_each_run_of_points():
    low = np.array([0.5, 0.5, np.nan, 0.5, np.nan])
    figure, shown = drawn(Panel(marks=[Line(range(5), [1.0] * 5, low, 2 - low)]))
    band, _ = shown["data"]
    assert band["x"] == [0, 1, 1, 0, None, 3, 3]
    assert band["y"] == [0.5, 0.5, 1.5, 1.5, None, 0.5, 1.5]
    places.compare(figure, shown)


def test_what_has_no_interval_has_no_band():
    alone = pd.DataFrame({"d": [1, 2], "mean": [1.0, 2.0], "std": [np.nan] * 2})
    _, shown = drawn(Panel(marks=[means(alone, "d", name="one seed")]))
    (trace,) = shown["data"]
    assert "columns" not in trace["meta"]


def test_error_bars_and_named_rows():
    names = ["a long name", "another"]
    points = Points(
        [1.0, 2.0],
        [0, 1],
        [0.5, np.nan],
        [1.25, np.nan],
        along="x",
        marker="s",
        name="dots",
        names=names,
    )
    _, shown = drawn(Panel(marks=[points], y=Axis(ticks=dict(enumerate(names)), rows=True)))
    (trace,) = shown["data"]
    assert trace["error_x"]["array"] == [0.25, None]
    assert trace["error_x"]["arrayminus"] == [0.5, None]
    assert trace["meta"]["columns"] == ["low", "high", "name"]
    assert trace["customdata"] == [[0.5, 1.25, "a long name"], [None, None, "another"]]
    assert "y:" not in trace["hovertemplate"]  # the place of a row is no number
    assert describe(shown) == "panel 1: value from 1 to 2."


def test_a_side_is_what_the_drawer_says():
    """Whatever a line is called, and whatever its colour."""
    sides = {"NTK": "right", "published": None, "NNGP": "published"}
    marks = [Line([1, 2], [1, 2], name=name, side=side, color="red") for name, side in sides.items()]
    _, shown = drawn(Panel(marks=marks, title="NTK, published code"))
    assert {t["meta"]["group"]: t["meta"].get("side") for t in shown["data"]} == sides


def test_scales_and_what_they_can_be_changed_to():
    line = Line([1, 10, 1000], [1, -1, 1])
    panels = [Panel(marks=[line], x=Axis(scale=s, low=1, high=1000)) for s in ("log", "linear", "symlog")]
    figure, shown = drawn(*panels)
    log, linear, symlog = shown["panels"]
    assert log["xaxis"]["type"] == "log"
    assert log["xaxis"]["range"] == pytest.approx([0, 3])
    assert log["xaxis"]["other"] == [1, 1000]
    assert "other" not in linear["xaxis"]  # beside a logarithmic one it stays
    assert symlog["xaxis"]["type"] == "linear"
    assert symlog["xaxis"]["ticktext"][-1] == "1,000"
    trace = shown["data"][2]
    assert [row[0] for row in trace["customdata"]] == [1, 10, 1000]
    turn = figure.axes[2].xaxis.get_transform()
    assert trace["x"] == pytest.approx(turn.transform(np.array([1.0, 10, 1000])), rel=6e-6)
    assert all("other" not in panel["yaxis"] for panel in (log, linear, symlog))


def test_logarithms_are_offered_no_logarithmic_scale():
    line = Line([1, 2], [0.1, 3.0])
    for logarithms in (False, True):
        _, shown = drawn(Panel(marks=[line], y=Axis(logarithms=logarithms)))
        assert ("other" in shown["panels"][0]["yaxis"]) is not logarithms


def test_large_pictures_are_means_over_blocks(rng):
    values = rng.normal(size=(300, 256))
    marks = [HeatMap(values, low=-3, high=3)]
    _, shown = drawn(Panel(marks=marks), colours=ColourScale("K"))
    (trace,) = shown["data"]
    assert np.shape(trace["z"]) == (100, 128)
    assert trace["z"][2][5] == pytest.approx(values[6:9, 10:12].mean(), rel=1e-3)
    assert trace["x"][:2] == [0.5, 2.5]
    assert trace["y"][:2] == [1, 4]
    assert "mean of 3 × 2" in trace["hovertemplate"]
    assert (trace["showscale"], trace["colorbar"]["title"]["text"]) == (True, "K")


@pytest.mark.parametrize("colour", sorted(set(KERNEL_COLOURS.values())))
def test_colours_can_be_read(colour):
    assert contrast(readable(colour), "#ffffff") >= 4.5
    assert contrast(on_dark(colour.lower()), DARK) >= 4.5
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert on_dark("#ffffff") == DARK


# -- the page draws what is printed

X, Y = np.array([1.0, 10, 100, 1000]), np.array([4.0, 1, 3, 2])
CELLS = np.arange(12.0).reshape(3, 4)

KINDS = {
    "lines": [
        Line(X, Y, marker="o", name="line"),
        Line(X, Y / 2, dashes=(4, (4, 4)), width=3),
        Line([1, 10, np.nan, 100, 1000], [1, 2, np.nan, 2, 1], silent=True),
        Level(2.5, color="red"),
        Level(20, axis="x", color="red", dashes="--"),
    ],
    "error bars": [
        Points(X, Y, X / 2, X * 2, along="x", face="white", cap=3, name="lying"),
        Points(X, Y + 1, Y + 0.5, Y + 1.2, marker="s"),
        Points(X, Y + 2, Y - 1, [np.nan, 6, 7, np.nan], names=list("abcd")),
    ],
    "bands": [
        Line(X, Y, Y - 0.5, Y + 0.5, color="green", band=0.2),
        Line(X, Y + 1, Y - 3, Y + 2),  # below zero: a logarithmic axis cannot show it
        Line(X, Y + 2, [3, np.nan, 2, 2], [7, np.nan, 5, 4]),
    ],
    "marks": [
        Points(X, Y, marker="^", size=3),
        Points(X, Y + 1, face="none", color="red"),
        Points(X, [0.97] * 4, marker="x", at_edge=True),
        Points([], []),
    ],
    "texts": [
        Line(X, Y),
        Text("in shares", 0.5, 0.9, align="center", upright="center"),
        Text("corner", 0.02, 0.1, color="blue", size=11),
        Span(1, 1.5),
        Span(2, 3, color="#000000", alpha=0.04),
    ],
}


@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_mark_is_where_it_is_in_print(kind, scale):
    y = Axis(scale="log" if scale == "log" else "linear")
    panels = [
        Panel(
            marks=KINDS[kind], x=Axis(scale=scale, inverted=bool(i % 2)), y=replace(y, inverted=bool(i // 2))
        )
        for i in range(4)
    ]
    figure, shown = drawn(*panels)
    assert [axes.xaxis_inverted() for axes in figure.axes] == [False, True] * 2
    assert [axes.yaxis_inverted() for axes in figure.axes] == [False] * 2 + [True] * 2
    places.compare(figure, shown)
    go.Figure(shown["data"])  # refuses what Plotly does not know


def test_every_mark_is_drawn_in_print_and_on_the_page():
    kinds = {type(mark) for marks in KINDS.values() for mark in marks} | {HeatMap}
    assert kinds == {Line, Points, Level, Span, Text, HeatMap}
    with pytest.raises(TypeError, match="Mark is no mark that can be drawn"):
        drawn(Panel(marks=[Mark()]))


def test_an_axis_that_is_turned_round_stays_so_on_either_scale():
    turned = Axis(low=2000, high=0.5)
    panels = [Panel(marks=[Line(X, Y)], x=x) for x in (replace(turned, scale="log"), turned)]
    _, shown = drawn(*panels)
    log, linear = (panel["xaxis"] for panel in shown["panels"])
    assert log["range"] == pytest.approx(np.log10([2000, 0.5]))
    assert log["other"] == [2000, 0.5]
    assert linear["range"] == [2000, 0.5]
    _, shown = drawn(replace(panels[1], y=Axis(low=5, high=0)))
    (panel,) = shown["panels"]
    first, last = panel["xaxis"][
        "other"
    ]  # of the data, with a margin: what is left out of them has no logarithm
    assert first > 3 > 0 > last
    assert panel["yaxis"]["range"] == [5, 0]


@pytest.mark.parametrize("names", [(), ("a", "b", "c")])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True)])
def test_pictures_are_the_right_way_up(turned, names):
    x, y = (
        Axis(inverted=inverted, ticks=dict(enumerate(n)) if n else None)
        for inverted, n in zip(turned, ((), names), strict=True)
    )
    figure, shown = drawn(Panel(marks=[HeatMap(CELLS, low=0, high=11)], x=x, y=y))
    places.compare(figure, shown)
    (trace,) = shown["data"]
    assert trace["meta"].get("names", {}).get("y", []) == list(names)
    (panel,) = shown["panels"]
    first, last = panel["yaxis"]["range"]
    assert (first > last) is not turned[1] or turned == (False, True)  # the first row is at the top


def test_shared_axes():
    panels = [Panel(marks=[Line(X * 10**i, Y * 10**i)], y=Axis(inverted=i == 0)) for i in range(4)]
    plot = Plot(rows=[panels[:2], panels[2:]], size=(6, 6), share_x="all", share_y="row")
    printed = printing.draw(plot)
    shown = convert(plot, printed.frames)
    places.compare(printed.figure, shown)
    assert [panel["yaxis"]["share"] for panel in shown["panels"]] == [0, 0, 2, 2]
    assert {panel["xaxis"]["share"] for panel in shown["panels"]} == {0}


def test_panels_that_are_to_cover_the_same_range_do():
    panels = [Panel(marks=[Line(X, Y * (1 + i))], y=Axis(same="NC1" * (i < 2))) for i in range(3)]
    figure, shown = drawn(*panels)
    first, second, third = (axes.get_ylim() for axes in figure.axes)
    assert first == second
    assert first != third
    assert first[0] < 1
    assert first[1] > 8
    places.compare(figure, shown)


def test_hollow_markers_have_a_face_that_hides_their_bar():
    look = {"color": "#0072b2"}
    marks = [
        Points([1, 2], [1, 2], [0.5, 1.5], [1.5, 2.5], face="white", name="hollow", **look),
        Points([1, 2], [3, 4], marker="s", face="none", name="open", **look),
        Points([1, 2], [4, 5], marker="D", name="filled", **look),
    ]
    _, shown = drawn(Panel(marks=marks, legend=Legend()))
    hollow, open_, filled = (trace["marker"] for trace in sorted(shown["data"], key=lambda t: t["y"]))
    assert (hollow["symbol"], hollow["color"]) == ("circle", "#ffffff")
    assert hollow["line"]["color"] == "#0072b2"
    assert hollow["line"]["width"] > 0
    assert (open_["symbol"], open_["color"]) == ("square-open", "#0072b2")
    assert (filled["symbol"], filled["color"], filled["line"]["width"]) == ("diamond", "#0072b2", 0)
    assert {entry["name"]: entry["marker"]["color"] for entry in shown["legend"]}["hollow"] == "#ffffff"


def test_a_legend_lists_each_name_once_and_its_keys():
    """What no trace goes with is a key, and no button."""
    marks = [Line([1, 2], [1, 2], name="a", color="red"), Line([1, 2], [2, 3], name="a", color="blue")]
    dots = [Points([1], [1], group="dots")]
    keys = [Points([], [], name="dots", marker="v"), Line([], [], name="key")]
    figure, shown = drawn(
        Panel(marks=marks),
        Panel(marks=[*marks, *dots]),
        legend=Legend(where="outside right center", keys=keys),
    )
    assert [(e["name"], e["color"], e["key"]) for e in shown["legend"]] == [
        ("a", "#ff0000", False),
        ("dots", "#888888", False),
        ("key", "#888888", True),
    ]
    assert shown["legend"][1]["marker"]["symbol"] == "triangle-down"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "dots", "key"]


def test_every_colour_of_the_page_is_known():
    """The page has another for each on a dark screen."""
    marks = [mark for kind in KINDS.values() for mark in kind]
    panel = Panel(marks=marks, title="published", title_color="#CC79A7")
    legend = Legend(where="outside right center", keys=[Line([], [], color="gold", name="key")])
    plot = Plot(rows=[[panel]], size=(4, 3), legend=legend)
    shown = json.dumps(convert(plot, printing.draw(plot).frames))
    used = set(re.findall("#[0-9a-f]{6}", shown))
    assert len(used) >= 8
    assert used <= colours(plot)


def test_labels_are_written_once_and_known_everywhere():
    panels = [
        [Panel(marks=[], x=Axis(label="d"), y=Axis(label=f"row {i}")) for _ in range(2)] for i in range(2)
    ]
    plot = Plot(rows=panels, size=(6, 6))
    printed = printing.draw(plot)
    assert [axes.get_xlabel() for axes in printed.figure.axes] == ["", "", "d", "d"]
    assert [axes.get_ylabel() for axes in printed.figure.axes] == ["row 0", "", "row 1", ""]
    assert [p["yaxis"]["label"] for p in convert(plot, printed.frames)["panels"]] == ["row 0"] * 2 + [
        "row 1"
    ] * 2


def test_numbers_far_from_zero_stay_apart():
    places.compare(*drawn(Panel(marks=[Line([1e7, 1e7 + 1, 1e7 + 2], [1, 1 + 1e-9, 1 - 1e-9])])))


def test_points_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"the mark 'NNGP' has .* \[2, 3\]"):
        Line([1, 2, 3], [1, 2], name="NNGP")
