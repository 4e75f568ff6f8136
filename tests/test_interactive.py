import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from kernel_collapse.experiments._style import DARK, KERNEL_COLOURS, band, contrast, on_dark, readable
from kernel_collapse.interactive import convert, describe, markup, plain


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
