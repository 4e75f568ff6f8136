import os
import re
import shutil
from pathlib import Path

import axe_playwright_python
import pandas as pd
import pytest
from playwright.sync_api import sync_playwright

import pages
from conftest import ROOT
from kernel_collapse import report
from kernel_collapse.report.style import DARK, NAMES, contrast
from kernel_collapse.runs import sweep, sweep_file
from kernel_collapse.runs.store import Store
from kernel_collapse_paper import experiments
from kernel_collapse_paper.experiments.logs import with_logs

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
#: How many verdicts each experiment has.
VERDICTS = {
    "limiting-kernels-balanced": 4,
    "limiting-kernels-imbalanced": 4,
    "adaptive-balanced": 3,
    "adaptive-imbalanced": 2,
    "adaptive-width": 1,
    "adaptive-path": 1,
    "adaptive-minima": 1,
    "collapse-limits": 10,
    "trained-networks-balanced": 3,
    "trained-networks-imbalanced": 3,
    "all-kernels": 5,
    "deep-kernels": 13,
    "deep-widths": 3,
    "deep-data": 3,
    "images": 11,
    "feature-learning-kernels": 16,
    "finite-width-ntk": 3,
    "training-path": 6,
    "real-data": 4,
    "theory-vs-samples": 3,
    "beyond-gaussian": 4,
    "activations": 8,
    "depth": 6,
}
#: Axes that begin with their larger number.
TURNED = {
    ("path-adaptive-D1", "xaxis"),
    ("path-gram-D1", "yaxis"),
    ("activations-depth", "yaxis"),
    ("collapse-limits", "xaxis"),
}
#: Milliseconds after which a browser that does nothing has hung; a busy machine may take its time.
HANGS = 3_600_000
BROWSERS = (os.environ.get("KERNEL_COLLAPSE_BROWSER", ""), "chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, filter(None, BROWSERS))), None)
    assert path, "no Chromium: `make browser` installs one or says how"
    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=path, args=quiet, timeout=HANGS)
        yield instance
        instance.close()


@pytest.fixture
def visit(browser):
    """Open a page; give it with what it logged and what it asked the network for."""
    contexts = []

    def open_page(path, width=1280, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        contexts[-1].set_default_timeout(HANGS)
        page = contexts[-1].new_page()
        page.complaints, page.requests_made = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requests_made.append(request.url))
        page.goto(path.resolve().as_uri())
        page.wait_for_load_state("networkidle")
        if options.get("java_script_enabled", True):
            page.wait_for_function("window.Plotly || !document.querySelector('.plot')")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def rows(quick_rows_frame):
    return quick_rows_frame


def of(rows, name):
    keys = {trial.key for trial in experiments.REGISTRY[name].trials("quick")}
    return rows[rows["key"].isin(keys)]


def figure_of(page, name):
    """Scroll to a figure, which may be folded, and wait until it is drawn."""
    figure = page.locator(f"figure[data-figure='{name}']")
    figure.evaluate("figure => { const fold = figure.closest('details'); if (fold) fold.open = true; }")
    figure.locator(".plot").scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for()
    return figure


def drawn(figure):
    """Return panel, group and side of the traces that are seen, and the axes that there are."""
    return figure.locator(".plot").evaluate(
        """plot => [plot.data.filter(t => t.visible).map(t => [t.meta.panel, t.meta.group, t.meta.side ?? null]),
                    Object.entries(plot.layout).filter(([name]) => /^[xy]axis/.test(name))]"""
    )


def assert_ranges_are_those_of_print(page, figures):
    """Plotly takes every range as it is given: from which end, on which scale."""
    taken = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("figure[data-figure]")].map(figure => {
          const layout = Object.entries(figure.querySelector(".plot")._fullLayout);
          const axes = layout.filter(([name]) => /^[xy]axis/.test(name));
          const taken = axes.map(([name, {type, range}]) => [name, [type, range]]);
          return [figure.dataset.figure, Object.fromEntries(taken)];
        }))"""
    )
    assert set(taken) == set(figures)
    turned = set()
    for name, figure in figures.items():
        for panel in figure["panels"]:
            for which in ("xaxis", "yaxis"):
                described = panel[which]
                kind, ends = taken[name][which + described["name"][1:]]
                assert kind == described["type"]
                assert ends == pytest.approx(described["range"], rel=1e-6), (name, which)
                if ends[0] > ends[1]:
                    turned.add((name, which))
    assert turned == TURNED


def saved(page, button):
    with page.expect_download() as waiting:
        button.click()
    return waiting.value.suggested_filename, pd.read_csv(waiting.value.path())


def asks_nothing_of_the_network(page):
    return {url for url in page.requests_made if not url.startswith(("data:", "blob:"))} == {page.url}


def test_the_report_in_a_browser(quick_report, visit):
    page = visit(quick_report / "report.html")
    assert page.locator(".main-svg").count() < len(
        list((quick_report / "figures").glob("*.png"))
    )  # lazily drawn
    for box in page.query_selector_all("details:not([open]) > summary"):
        box.evaluate("summary => summary.click()")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    names = {path.stem for path in (quick_report / "figures").glob("*.png")}
    plots = page.locator("figure[data-figure] .js-plotly-plot")
    assert plots.count() == len(names) == len(page.query_selector_all("figure[data-figure]"))
    assert page.evaluate(
        "[...document.querySelectorAll('.plot')].every(plot => plot._fullLayout.width === 680 && plot.data.length)"
    )
    assert_ranges_are_those_of_print(page, pages.figures(quick_report / "report.html"))
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        plot = figure_of(page, "panels-D1-imbalanced").locator(".plot")
        page.wait_for_function("p => p._fullLayout.width === p.clientWidth", arg=plot.element_handle())
        assert plot.evaluate("plot => plot.clientWidth") > 0.7 * width
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    assert page.complaints == []
    assert asks_nothing_of_the_network(page)
    assert set(VERDICTS) == set(experiments.REGISTRY)
    assert page.locator(".verdicts li .status").count() == sum(VERDICTS.values())
    assert {a.get_attribute("href") for a in page.query_selector_all("nav a")} >= {
        f"#{name}" for name in VERDICTS
    }
    targets = page.eval_on_selector_all("a[href^='#']", "links => links.map(link => link.hash.slice(1))")
    assert page.evaluate("names => names.every(name => document.getElementById(name))", targets)
    holds = page.locator(".counts button.holds")
    assert int(holds.locator("b").inner_text()) == page.locator(".verdicts details .holds").count()
    holds.click()
    assert page.locator(".verdicts details .status:visible").count() == int(holds.locator("b").inner_text())
    assert page.locator(".verdicts details .fails:visible").count() == 0
    holds.click()
    assert page.locator(".verdicts details .status:visible").count() == 0  # folded again


def test_paper_shows_what_is_folded(quick_report, visit):
    """Every figure and every reason is printed; tables, which can be saved, are not; then all is as it was."""
    page = visit(quick_report / "report.html")
    folds = "[...document.querySelectorAll('details')].map(fold => fold.open)"
    before = page.evaluate(folds)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    figures = page.locator("figure[data-figure]")
    drawn = page.locator("figure[data-figure] .js-plotly-plot:visible")
    assert drawn.count() == figures.count() == len(list((quick_report / "figures").glob("*.png")))
    assert page.locator(".why").count() == page.locator(".why .method:visible").count() > 50
    assert page.locator(".why table:visible").count() == 0
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(folds) == before


def test_the_page_opens_with_findings(quick_report, rows, visit):
    """Five sentences of what the rows say, each with its figure, before any list."""
    page = visit(quick_report / "report.html")
    found = {
        name: experiment.conclude(experiment.verdicts(of(rows, name)))
        for name, experiment in experiments.REGISTRY.items()
    }
    found = {name: finding for name, finding in found.items() if finding}
    assert len(found) >= 5
    assert page.locator("main section").first.get_attribute("id") == "findings"
    for name, finding in found.items():
        article = page.locator(f"#finding-{name}")
        assert finding.sentence in article.locator(".finding").inner_text()
        assert article.locator("figure").get_attribute("data-figure") == finding.figure
        assert page.locator(f"#{name} a[href='#finding-{name}']").count() == 1


def test_a_strip_has_a_square_a_cell(quick_report, rows, visit):
    page = visit(quick_report / "report.html")
    for name in ("beyond-gaussian", "theory-vs-samples"):
        for number, verdict in enumerate(experiments.REGISTRY[name].verdicts(of(rows, name)), 1):
            said = page.locator(f"#{name}-{number} + .said")
            squares = said.locator(".strip i").evaluate_all("all => all.map(i => [i.title, i.className])")
            names = [
                [cell, ""] if says == "holds" else [f"{cell}: {says}", says] for cell, says in verdict.cells
            ]
            assert squares == names
            assert len(squares) == len(verdict.evidence)
            assert said.locator(".status").inner_text().endswith(verdict.short)


def test_the_page_of_the_whole_run_in_the_docs(visit):
    page = visit(ROOT / "docs" / "report.html")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    figures = page.locator("figure[data-figure]")
    assert page.locator("figure[data-figure] .js-plotly-plot").count() == figures.count() >= 30
    assert page.complaints == []
    assert asks_nothing_of_the_network(page)
    assert "figures/" not in page.content()
    # It was a whole run; whether of today's grids is not asked, or a new trial would wait for an hour's run.
    facts = r"Preset paper\s+Trials \d{5} finished, (\d+) failed\s+(?:Numbers .* in \d+ trials\s+)?Computing"
    counts = re.search(facts, page.inner_text("body"))
    # What has no answer is a row with a reason: a mean field that takes more particles than there are, say.
    failed = page.locator("#failures tbody tr")
    assert failed.count() == int(counts[1]) < 20
    assert all("no mean field (" in text for text in failed.all_inner_texts())
    assert page.get_by_text("Too few trials").count() == 0


def test_a_legend_hides_a_line_in_every_panel(quick_report, visit):
    page = visit(quick_report / "report.html")
    figure = figure_of(page, "panels-D1-imbalanced")
    line = "64 / 448"
    before, _ = drawn(figure)
    assert {panel for panel, group, _ in before if group == line} == set(range(10))
    paths = figure.locator(".scatterlayer .trace").count()
    figure.get_by_role("button", name=line).click()
    after, _ = drawn(figure)
    assert after == [trace for trace in before if trace[1] != line]
    assert figure.locator(".scatterlayer .trace").count() == paths - (len(before) - len(after))
    assert figure.get_by_role("button", name=line).get_attribute("aria-pressed") == "false"
    figure.get_by_role("button", name=line).press("Enter")
    assert drawn(figure)[0] == before


def test_the_published_code_beside_what_is_right(quick_report, visit):
    page = visit(quick_report / "report.html")
    figure = figure_of(page, "overview-D1")
    seen = {}
    for side in ("both", "right", "published"):
        figure.locator("input[type=radio]:checked").focus()
        if side != "both":
            page.keyboard.press("ArrowRight")
        assert figure.locator("input[type=radio]:checked").get_attribute("value") == side
        seen[side] = {(panel, group) for panel, group, _ in drawn(figure)[0]}
    of_erf = {side: {group for panel, group in groups if panel == 0} for side, groups in seen.items()}
    assert of_erf["both"] == {"NTK", "NTK, published code", "NNGP", "data themselves"}
    assert of_erf["right"] == {"NTK", "NNGP", "data themselves"}
    assert of_erf["published"] == {"NTK, published code", "NNGP", "data themselves"}
    # it has no other of ReLU
    of_relu = {group for panel, group in seen["published"] if panel == 1}
    assert of_relu == {"NTK", "NNGP", "data themselves"}
    panels = figure_of(page, "panels-D1-imbalanced")
    panels.locator("input[value=right]").check()
    traces, axes = drawn(panels)
    assert len(axes) == 2 * 8
    assert {panel for panel, *_ in traces} == set(range(10)) - {2, 7}


def test_axes_change_between_logarithmic_and_linear(quick_report, visit):
    page = visit(quick_report / "report.html")
    figure = figure_of(page, "width-adaptive-D1")
    scales = {name: axis["type"] for name, axis in drawn(figure)[1]}
    assert set(scales.values()) == {"log"}
    figure.get_by_label("y axis linear").check()
    axes = dict(drawn(figure)[1])
    assert {name[0]: axis["type"] for name, axis in axes.items()} == {"x": "log", "y": "linear"}
    for name in ("yaxis", "yaxis2"):
        axis = figure.locator(".plot").evaluate("(plot, name) => plot._fullLayout[name]", name)
        assert axis["type"] == "linear"
        assert axes[name]["range"][1] == pytest.approx(max(axis["range"]))
        assert 0 < axes[name]["range"][1] < 2
    figure.get_by_label("y axis linear").uncheck()
    assert {name: axis["type"] for name, axis in drawn(figure)[1]} == scales
    assert figure_of(page, "training-path").locator("[data-turn]").count() == 0
    figure = figure_of(page, "path-adaptive-D1")  # wide networks are on the left, on either scale
    for turn, kind in (("check", "linear"), ("uncheck", "log"), ("check", "linear")):
        getattr(figure.get_by_label("x axis linear"), turn)()
        axes = figure.locator(".plot").evaluate(
            "plot => ['', 2, 3, 4].map(i => plot._fullLayout[`xaxis${i}`])"
        )
        assert {axis["type"] for axis in axes} == {kind}
        assert all(axis["range"][0] > axis["range"][1] for axis in axes)


def test_saved_figures_hold_the_means_of_the_rows(quick_report, rows, visit):
    page = visit(quick_report / "report.html")
    name, table = saved(page, figure_of(page, "overview-D1").locator(".saves button"))
    assert name == "overview-d1.csv"
    logs = with_logs(of(rows, "limiting-kernels-balanced"))
    logs = logs[(logs["data"] == "D1") & (logs["n"] == logs["n"].max())]
    for (activation, kernel, dim), cell in logs.groupby(["activation", "kernel", "dim"]):
        line = table[
            (table["panel"] == {"erf": "erf", "relu": "ReLU"}[activation])
            & (table["line"] == NAMES[kernel])
            & (table["x"] == dim)
        ].squeeze()
        mean, std = cell["log_nc1"].mean(), cell["log_nc1"].std()
        assert line[["y", "low", "high"]].tolist() == pytest.approx([mean, mean - std, mean + std], rel=2e-5)
    of_data = table[table["line"] == "data themselves"]
    assert len(of_data) == logs.groupby(["activation", "dim"]).ngroups
    for _, line in of_data.iterrows():
        cell = logs[logs["dim"] == line["x"]]
        assert line["y"] == pytest.approx(cell["log_nc1_data"].mean(), rel=2e-5)
    assert len(table) == logs.groupby(["activation", "kernel", "dim"]).ngroups + len(of_data)
    _, heat = saved(page, figure_of(page, "activations-depth").locator(".saves button"))
    assert {"relu", "ReLU"} & set(heat["y"])
    assert len(heat) == 8 * 20 * 4


@pytest.mark.parametrize(("experiment", "claim"), [("beyond-gaussian", 0), ("adaptive-path", 0)])
def test_saved_tables_hold_the_evidence(quick_report, rows, visit, experiment, claim):
    evidence = experiments.REGISTRY[experiment].verdicts(of(rows, experiment))[claim].evidence
    page = visit(quick_report / "report.html")
    box = page.locator(f"#{experiment}-{claim + 1} ~ details").first
    box.locator("summary").click()
    assert box.locator("tbody tr").count() == len(evidence)  # the long one is written when its box is opened
    _, table = saved(page, box.locator("button[data-csv]"))
    assert table.columns.tolist() == evidence.columns.tolist()
    for column in evidence.select_dtypes("number"):
        assert table[column].tolist() == pytest.approx(evidence[column].tolist(), rel=1e-5, nan_ok=True)
    shown = box.locator("tbody tr").last.inner_text().split("\t")
    assert float(shown[evidence.columns.get_loc("seeds" if "seeds" in evidence else "width")]) > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(quick_report, visit, scheme):
    page = visit(quick_report / "report.html", color_scheme=scheme)
    for name in ("overview-D1", "collapse-limits"):
        figure_of(page, name)
    page.evaluate(
        "document.querySelectorAll('#limiting-kernels-balanced details').forEach(box => box.open = true)"
    )
    if (
        scheme == "dark"
    ):  # of the sections, which are made alike, some: it looks at every cell of their tables
        keep = [
            "findings",
            "verdicts",
            "limiting-kernels-balanced",
            "activations",
            "collapse-limits",
            "environment",
        ]
        page.evaluate(
            "keep => document.querySelectorAll('section').forEach(s => keep.includes(s.id) || s.remove())",
            keep,
        )
    page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']}).then(results => results.violations)")
    grave = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["nodes"][0]["html"]) for v in grave] == []
    label = page.locator("figure[data-figure='overview-D1'] .plot").get_attribute("aria-label")
    assert "erf: dimension d from 1 to 128, log10 NC1 " in label
    # What axe does not look at: texts and lines of figures, on the page's own colour.
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    paper = "#{:02x}{:02x}{:02x}".format(*map(int, re.findall(r"\d+", background)))
    assert paper == {"light": "#ffffff", "dark": DARK}[scheme]
    figure = page.locator("figure[data-figure='collapse-limits']")
    texts = figure.locator(".plot text").evaluate_all("all => all.map(text => getComputedStyle(text).fill)")
    assert texts
    for colour in set(texts):
        rgb = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        assert contrast(rgb, paper) >= 4.5
    if scheme == "dark":
        lines = figure.locator(".js-line").evaluate_all(
            "all => all.map(line => getComputedStyle(line).stroke)"
        )
        for colour in set(lines):
            assert contrast([int(part) / 255 for part in re.findall(r"\d+", colour)[:3]], paper) >= 4.5


def test_a_page_without_scripts_shows_pictures_and_tables(quick_report, visit):
    page = visit(quick_report / "report.html", java_script_enabled=False)
    images = page.locator("figure img")
    assert images.count() == len(list((quick_report / "figures").glob("*.svg")))
    assert images.first.bounding_box()["width"] > 300
    assert page.locator(".needs-script:visible").count() == 0
    assert page.locator("#adaptive-path table.numbers tbody tr").count() >= 13


def test_the_page_is_light(quick_report):
    assert (quick_report / "report.html").stat().st_size < 3.2e6


def test_the_report_says_what_the_rows_say(quick_report, rows):
    text = (quick_report / "report.html").read_text(encoding="utf-8")
    body = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    for experiment in experiments.REGISTRY.values():
        keys = {trial.key for trial in experiment.trials("quick")}
        for verdict in experiment.verdicts(rows[rows["key"].isin(keys)]):
            assert verdict.answer.replace("'", "&#39;").replace('"', "&#34;") in body
        assert f"kernel-collapse reproduce {experiment.name} --preset quick --out" in body
    assert f"{len(rows)} finished, 0 failed" in body
    assert "OpenBLAS" in body or "openblas" in body or "mkl" in body.lower()
    assert not re.search(r'(src|href)="(?!#|data:|figures/)', body)
    links = set(re.findall(r'(?:src|href)="(figures/[^"]*)"', body))
    assert links == {f"figures/{path.name}" for path in (quick_report / "figures").iterdir()}


def test_figures_are_saved_in_three_formats(quick_report):
    names = {path.name for path in (quick_report / "figures").iterdir()}
    for figure in (
        "overview-D1",
        "overview-D2",
        "panels-D1-imbalanced",
        "weightings-D1-imbalanced",
    ):
        assert {f"{figure}.{kind}" for kind in ("pdf", "svg", "png")} <= names


def test_the_same_rows_make_the_same_figures(smoke_run, tmp_path):
    """Byte by byte in print; of every experiment, on the page: test_experiments.test_figures_show_every_row."""
    again = shutil.copytree(
        smoke_run, tmp_path / "again", ignore=shutil.ignore_patterns("figures", "report.html")
    )
    report.build(again)
    figures = sorted((smoke_run / "figures").glob("*.svg"))
    assert len(figures) >= 3
    for figure in figures:
        assert (again / "figures" / figure.name).read_bytes() == figure.read_bytes()


def test_an_unfinished_run_is_reported_as_far_as_it_went(tmp_path, visit):
    names = list(experiments.REGISTRY)
    run = {"experiments": names, "preset": "quick", "version": "test"}
    trials = [t for t in experiments.REGISTRY[names[0]].trials("quick") if t.data.n == 128 and t.seed < 2]
    planned = len({t.key for e in experiments.REGISTRY.values() for t in e.trials("quick")})
    with Store(tmp_path, run, {"environment": report.environment()}) as store:
        sweep.run(trials, store)
    page = visit(report.build(tmp_path, tmp_path / "alone.html").path)
    assert page.complaints == []
    text = page.inner_text("body")
    assert f"{len(trials)} finished, 0 failed, {planned - len(trials)} to go" in text
    assert "Too few trials of it have finished yet." in text


def test_the_report_of_a_sweep(tmp_path, visit):
    (tmp_path / "mine.toml").write_text(
        """
        title = "Mine & <yours>"
        seeds = 2
        [data]
        law = "gaussian"
        n = 20
        dim = [1, 2, 4]
        [measurement]
        kernel = ["nngp", "ntk"]
        activation = ["erf", "silu"]
        """,
        encoding="utf-8",
    )
    sweep_, text = sweep_file.read(tmp_path / "mine.toml")
    with Store(tmp_path / "run", {"sweep": "mine"}, {"environment": report.environment()}) as store:
        store.note({"toml": text, "specification": sweep_.model_dump(mode="json")})
        sweep.run(sweep_.trials()[:-1], store)
    page = visit(report.build(tmp_path / "run").path)
    lines = drawn(figure_of(page, "nc1"))
    assert page.locator("figure .saves a").count() == 3
    # The page alone: the same figure, and no link to a file that is not there.
    assert report.build(tmp_path / "run", tmp_path / "sent" / "mine.html").path.parent == tmp_path / "sent"
    assert [path.name for path in (tmp_path / "sent").iterdir()] == ["mine.html"]
    page = visit(tmp_path / "sent" / "mine.html")
    figure = figure_of(page, "nc1")
    assert drawn(figure) == lines
    assert page.locator("figure .saves a").count() == 0
    assert "figures/" not in page.content()
    assert page.complaints == []
    assert asks_nothing_of_the_network(page)
    text = page.inner_text("body")
    assert "Mine & <yours>" in text
    assert "23 finished, 0 failed, 1 to go" in text
    assert page.locator("table.numbers tbody tr").count() == 12
    assert {group for _, group, _ in drawn(figure)[0]} == {
        f"{activation} {kernel}" for activation in ("erf", "silu") for kernel in ("NNGP", "NTK")
    }
    made = page.locator(".made")
    made.locator("summary").first.click()
    assert "kernel-collapse run mine.toml --out runs/mine" in made.inner_text()
    assert "dim = 1, 2, 4" in made.inner_text()
    made.locator("summary").nth(1).click()
    assert 'kernel = ["nngp", "ntk"]' in made.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator(".status").count() == 0  # no verdict


def test_without_scripts_a_page_alone_says_what_a_figure_shows(tmp_path, visit):
    run = {
        "experiments": ["limiting-kernels-imbalanced", "of-another-version"],
        "preset": "quick",
        "version": "test",
    }
    trials = experiments.REGISTRY["limiting-kernels-imbalanced"].trials("quick")
    with Store(tmp_path / "run", run, {"environment": report.environment()}) as store:
        sweep.run([t for t in trials if t.seed < 2 and t.data.dim in (2, 8)], store)
    page = visit(report.build(tmp_path / "run", tmp_path / "alone.html").path, java_script_enabled=False)
    assert (
        "This version does not know the experiment 'of-another-version': it is left out."
        in page.inner_text("body")
    )
    figures = page.locator("figure")
    assert figures.count() == 2
    for i in range(2):
        assert "scripts are off" in figures.nth(i).locator("noscript").inner_text()
        assert figures.nth(i).locator("img").count() == 0


def test_experiments_of_another_version_are_named(tmp_path):
    run = {"experiments": ["of-another-version"], "preset": "quick", "version": "test"}
    with Store(tmp_path, run, {"environment": {"kernel-collapse": "9.9"}}):
        pass
    with pytest.raises(
        ValueError, match=r"does not know \(of-another-version\), expected some of .* \(9.9\)\.$"
    ):
        report.build(tmp_path)


def test_failures_are_listed(tmp_path):
    run = {"experiments": ["limiting-kernels-balanced"], "preset": "quick", "version": "test"}
    trials = experiments.REGISTRY["limiting-kernels-balanced"].trials("quick")
    with Store(tmp_path, run, {"environment": report.environment()}) as store:
        with pytest.raises(ValueError, match="has no finished trial"):
            report.build(tmp_path)
        sweep.run([t for t in trials if t.data.n == 128 and t.seed > 0], store)
        store.add(trials[0], status="failed", message="ran out of <luck>", seconds=0.1)
    text = report.build(tmp_path, tmp_path / "alone.html").path.read_text(encoding="utf-8")
    assert "Failed trials" in text
    assert "ran out of &lt;luck&gt;" in text
