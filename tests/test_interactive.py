import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import places
from kernel_collapse.report.interactive import convert, describe, markup, plain
from kernel_collapse.report.style import DARK, KERNEL_COLOURS, band, contrast, on_dark, readable


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


def test_bands_go_with_the_lines_that_they_are_of():
    axes = (figure := Figure()).subplots()
    for label, height in (("first", 1.0), ("second", 1.1)):  # of one colour, one within the band of the other
        table = pd.DataFrame({"d": [1, 2, 4], "mean": [height] * 3, "std": [0.5, 0.5, np.nan]})
        band(axes, table, "d", color="red", label=label)
    axes.axhline(2.0, color="red", label="_level")
    axes.legend()
    axes.set_xlabel("dimension d")
    traces = convert(figure)["data"]
    of = {(t["meta"]["group"], "fill" in t): t for t in traces if not t["meta"].get("reference")}
    assert set(of) == {(name, filled) for name in ("first", "second") for filled in (False, True)}
    assert of["second", False]["customdata"] == [[0.6, 1.6], [0.6, 1.6], [None, None]]
    assert max(filter(None, of["second", True]["y"])) == 1.6
    (level,) = [t for t in traces if t["meta"].get("reference")]
    assert level["meta"]["group"] == "first"  # the legend's first entry of its colour
    assert describe(convert(figure)) == "dimension d: dimension d from 1 to 4, value from 1 to 1.1."


def test_error_bars_and_named_rows():
    axes = (figure := Figure()).subplots()
    axes.errorbar(
        [1.0, 2.0], ["a long name", "another"], xerr=[[0.5, np.nan], [0.25, np.nan]], fmt="s", label="dots"
    )
    (trace,) = convert(figure)["data"]
    assert trace["error_x"]["array"] == [0.25, None]
    assert trace["error_x"]["arrayminus"] == [0.5, None]
    assert trace["meta"]["columns"] == ["low", "high", "name"]
    assert trace["customdata"] == [[0.5, 1.25, "a long name"], [None, None, "another"]]


def test_the_side_of_the_published_code():
    left, right = (figure := Figure()).subplots(1, 2)
    for axes, labels in ((left, ("NTK", "NTK, published code", "NNGP")), (right, ('"published"', '"paper"'))):
        for label in labels:
            axes.plot([1, 2], [1, 2], label=label)
    sides = {t["meta"]["group"]: t["meta"].get("side") for t in convert(figure)["data"]}
    assert sides == {
        "NTK": "right",
        "NTK, published code": "published",
        "NNGP": None,
        '"published"': "published",
        '"paper"': "right",
    }


def test_scales_and_what_they_can_be_changed_to():
    figure = Figure()
    for axes, scale in zip(figure.subplots(1, 3), ("log", "linear", "symlog"), strict=True):
        axes.plot([1, 10, 1000], [1, -1, 1])
        axes.set_xscale(scale)
        axes.set_xlim(1, 1000)
    log, linear, symlog = convert(figure)["panels"]
    assert log["xaxis"]["type"] == "log"
    assert log["xaxis"]["range"] == pytest.approx([0, 3])
    assert log["xaxis"]["other"] == [1, 1000]
    assert "other" not in linear["xaxis"]  # beside a logarithmic one it stays
    assert symlog["xaxis"]["type"] == "linear"
    assert symlog["xaxis"]["ticktext"][-1] == "1,000"
    trace = convert(figure)["data"][2]
    assert [row[0] for row in trace["customdata"]] == [1, 10, 1000]
    assert trace["x"] == pytest.approx(
        axes.xaxis.get_transform().transform(np.array([1.0, 10, 1000])), rel=6e-6
    )
    assert all("other" not in panel["yaxis"] for panel in (log, linear, symlog))


def test_large_pictures_are_means_over_blocks(rng):
    values = rng.normal(size=(300, 256))
    axes = (figure := Figure()).subplots()
    figure.colorbar(axes.imshow(values), ax=axes, label="K")
    (trace,) = convert(figure)["data"]
    assert np.shape(trace["z"]) == (100, 128)
    assert trace["z"][2][5] == pytest.approx(values[6:9, 10:12].mean(), rel=1e-3)
    assert trace["x"][:2] == [0.5, 2.5]
    assert trace["y"][:2] == [1, 4]
    assert "mean of 3 × 2" in trace["hovertemplate"]


@pytest.mark.parametrize("colour", sorted(set(KERNEL_COLOURS.values())))
def test_colours_can_be_read(colour):
    assert contrast(readable(colour), "#ffffff") >= 4.5
    assert contrast(on_dark(colour.lower()), DARK) >= 4.5
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert on_dark("#ffffff") == DARK


# -- the page draws what is printed

X, Y = np.array([1.0, 10, 100, 1000]), np.array([4.0, 1, 3, 2])
CELLS = np.arange(12.0).reshape(3, 4)


def draw_lines(axes):
    axes.plot(X, Y, marker="o", label="line")
    axes.axhline(2.5, color="red")
    axes.axvline(20, color="red")


def draw_steps(axes):
    for where in ("pre", "mid", "post"):
        axes.step(X, Y, where=where)


def draw_error_bars(axes):
    axes.errorbar(
        X, Y, xerr=X / 2, yerr=[Y / 3, Y / 4], fmt="o", markerfacecolor="white", capsize=3, label="both"
    )
    axes.errorbar(X, Y + 1, yerr=0.1, errorevery=2, label="every other")
    axes.errorbar(X, Y + 2, xerr=0.4, fmt="none")


def draw_bands(axes):
    axes.fill_between(X, Y - 0.5, Y + 0.5, color="green", alpha=0.2)
    axes.fill_between(X, Y + 1, Y + 2, step="mid", where=[True, True, False, True])
    axes.fill_betweenx([1, 2, 3, 4], X / 2, X)


def draw_levels(axes):
    axes.hlines([1.5, 3.5], 2, 500, colors=["red", "green"])
    axes.vlines(X, 1, 3)
    axes.axhspan(1, 1.5, alpha=0.1)
    axes.axvspan(20, 50, alpha=0.1)


def draw_marks(axes):
    axes.scatter(X, Y, c=Y, s=[10, 20, 30, 40], marker="^")
    axes.scatter(X, Y + 1, facecolors="none", edgecolors="red")
    axes.scatter(X, np.full(4, 0.97), marker="x", transform=axes.get_xaxis_transform())


def draw_bars(axes):
    axes.bar(X, Y, width=X / 3, bottom=0.5, label="bars")
    axes.barh([1, 2, 3, 4], X, left=2, label="lying")
    axes.stairs([1, 2, 3], [1, 10, 100, 1000], fill=True)


def draw_texts(axes):
    axes.plot(X, Y)
    axes.text(10, 2, "in the units of the axes")
    axes.text(0.5, 0.9, "in shares", transform=axes.transAxes, va="top")
    axes.text(20, 0.1, "of either", transform=axes.get_xaxis_transform())
    axes.annotate("corner", (0.02, 0.9), xycoords="axes fraction")
    axes.annotate("beside", (10, 1), xytext=(4, 4), textcoords="offset points")
    axes.annotate("arrow", (10, 1), xytext=(50, 3), arrowprops={"arrowstyle": "-"})


def draw_mesh(axes):
    axes.pcolormesh([1, 10, 100, 1000, 2000], [1, 2, 4, 8], CELLS)


KINDS = (
    draw_lines,
    draw_steps,
    draw_error_bars,
    draw_bands,
    draw_levels,
    draw_marks,
    draw_bars,
    draw_texts,
    draw_mesh,
)


@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
@pytest.mark.parametrize("draw", KINDS, ids=lambda draw: draw.__name__)
def test_every_kind_of_artist_is_where_it_is_in_print(draw, scale):
    figure = Figure()
    for i, axes in enumerate(figure.subplots(1, 4)):
        draw(axes)
        axes.set_xscale(scale)
        axes.set_yscale("log" if scale == "log" else "linear")
        if i % 2:
            axes.invert_xaxis()
        if i // 2:
            axes.invert_yaxis()
    shown = convert(figure)
    places.compare(figure, shown)
    go.Figure(shown["data"])  # refuses what Plotly does not know


def test_an_axis_that_is_turned_round_stays_so_on_either_scale():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.plot(X, Y)
        axes.set_xlim(2000, 0.5)
    left.set_xscale("log")
    log, linear = (panel["xaxis"] for panel in convert(figure)["panels"])
    assert log["range"] == pytest.approx(np.log10([2000, 0.5]))
    assert log["other"] == [2000, 0.5]
    assert linear["range"] == [2000, 0.5]
    right.set_ylim(5, 0)
    left.remove()
    ((panel,), _) = convert(figure)["panels"], None
    first, last = panel["xaxis"][
        "other"
    ]  # of the data, with a margin: what is left out of them has no logarithm
    assert first > 3 > 0 > last
    assert panel["yaxis"]["range"] == [5, 0]


@pytest.mark.parametrize("names", [(), ("a", "b", "c")])
@pytest.mark.parametrize("extent", [None, (0, 1, 5, 6), (1, 0, 6, 5)])
@pytest.mark.parametrize("origin", ["upper", "lower"])
def test_pictures_are_the_right_way_up(origin, extent, names):
    figure = Figure()
    for i, axes in enumerate(figure.subplots(1, 3)):
        picture = axes.imshow(CELLS, origin=origin, extent=extent)
        if names:
            _, _, bottom, top = picture.get_extent()
            axes.set_yticks(bottom + (top - bottom) * np.array([5, 3, 1]) / 6, names)
        if i == 1:
            axes.invert_yaxis()
        if i == 2:
            axes.set_xlim(*axes.get_xlim()[::-1])
    shown = convert(figure)
    places.compare(figure, shown)
    for trace in shown["data"]:
        assert sorted(trace["meta"].get("names", {}).get("y", [])) == list(names)


def test_twins_and_shared_axes():
    figure = Figure()
    grid = figure.subplots(2, 2, sharex=True, sharey="row")
    for axes in grid.flat:
        axes.plot(X, Y)
    grid[0, 0].invert_yaxis()
    grid[1, 1].set_xscale("log")
    grid[1, 1].invert_xaxis()
    twin = grid[0, 1].twinx()
    twin.plot(X, 100 * Y)
    twin.invert_yaxis()
    shown = convert(figure)
    places.compare(figure, shown)
    assert [panel["over"] for panel in shown["panels"]] == [None] * 4 + [1]
    assert [panel["yaxis"]["share"] for panel in shown["panels"]] == [0, 0, 2, 2, 4]
    assert {panel["xaxis"]["share"] for panel in shown["panels"]} == {0}


def test_hollow_markers_have_a_face_that_hides_their_bar():
    axes = (figure := Figure()).subplots()
    axes.errorbar([1, 2], [1, 2], yerr=0.5, fmt="o", color="#0072b2", markerfacecolor="white", label="hollow")
    axes.plot([1, 2], [3, 4], "s", color="#0072b2", fillstyle="none", label="open")
    axes.plot([1, 2], [4, 5], "D", color="#0072b2", label="filled")
    axes.legend()
    hollow, open_, filled = (
        trace["marker"] for trace in sorted(convert(figure)["data"], key=lambda t: t["y"])
    )
    assert (hollow["symbol"], hollow["color"]) == ("circle", "#ffffff")
    assert hollow["line"]["color"] == "#0072b2"
    assert hollow["line"]["width"] > 0
    assert (open_["symbol"], open_["color"]) == ("square-open", "#0072b2")
    assert (filled["symbol"], filled["color"], filled["line"]["width"]) == ("diamond", "#0072b2", 0)
    looks = {entry["name"]: entry["marker"] for entry in convert(figure)["legend"]}
    assert looks["hollow"]["color"] == "#ffffff"
    axes.legend(
        handles=[Line2D([], [], marker="v", color="#d55e00", label="hollow")]
    )  # one made by hand is taken so
    assert convert(figure)["legend"][0]["marker"]["symbol"] == "triangle-down"
    assert convert(figure)["legend"][0]["marker"]["color"] == "#d55e00"


def test_numbers_far_from_zero_stay_apart():
    axes = (figure := Figure()).subplots()
    axes.plot([1e7, 1e7 + 1, 1e7 + 2], [1, 1 + 1e-9, 1 - 1e-9])
    places.compare(figure, convert(figure))


def test_what_cannot_be_shown_is_refused():
    axes = (figure := Figure()).subplots()
    x, y = np.meshgrid(np.arange(4.0), np.arange(3.0))
    axes.pcolormesh(x + y, y, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no rectangles in rows and columns"):
        convert(figure)
