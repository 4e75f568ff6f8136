import os
import re
import shutil

import pytest
from playwright.sync_api import sync_playwright

from conftest import run_cli
from kernel_collapse import experiments, report, specification, sweep
from kernel_collapse.store import Store

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
        instance = playwright.chromium.launch(executable_path=path, args=quiet)
        yield instance
        instance.close()


@pytest.fixture
def visit(browser):
    """Open a page; give it with what it logged and what it asked the network for."""
    pages = []

    def open_page(path):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        pages.append(page)
        page.complaints, page.requests_made = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requests_made.append(request.url))
        page.goto(path.resolve().as_uri())
        page.wait_for_load_state("networkidle")
        return page

    yield open_page
    for page in pages:
        page.close()


def test_the_report_in_a_browser(quick_run, visit):
    page = visit(quick_run / "report.html")
    # Every box opened and every plot drawn: still no complaint, and no request but for the page itself.
    for box in page.query_selector_all("details:not([open]) > summary"):
        box.click()
    page.wait_for_timeout(500)
    assert page.complaints == []
    assert [url for url in page.requests_made if not url.startswith("data:")] == [page.url]
    images = page.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth])")
    assert len(images) == len(list((quick_run / "figures").glob("*.png")))
    assert all(complete and width > 300 for complete, width in images)
    assert page.locator(".js-plotly-plot .main-svg").count() > 0
    for plot in page.query_selector_all(".js-plotly-plot"):
        assert plot.bounding_box()["width"] > 600
    verdicts = {
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
        "finite-width-ntk": 3,
        "training-path": 3,
        "real-data": 4,
        "theory-vs-samples": 3,
        "beyond-gaussian": 4,
        "activations": 8,
        "depth": 6,
    }
    assert set(verdicts) == set(experiments.REGISTRY)
    assert page.locator(".verdicts .status").count() == sum(verdicts.values())
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page scrolls sideways"
    )


def test_the_report_says_what_the_rows_say(quick_run):
    text = (quick_run / "report.html").read_text(encoding="utf-8")
    body = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    with Store(quick_run) as store:
        rows = store.frame()
    for experiment in experiments.REGISTRY.values():
        keys = {trial.key for trial in experiment.trials("quick")}
        for verdict in experiment.verdicts(rows[rows["key"].isin(keys)]):
            assert verdict.answer.replace("'", "&#39;").replace('"', "&#34;") in body
    assert f"{len(rows)} finished, 0 failed" in body
    assert "OpenBLAS" in body or "openblas" in body or "mkl" in body.lower()
    assert not re.search(r'(src|href)="(?!#|data:)', body)


def test_figures_are_saved_in_three_formats(quick_run):
    names = {path.name for path in (quick_run / "figures").iterdir()}
    for figure in (
        "overview-D1",
        "panels-D1",
        "panels-D2",
        "panels-D1-imbalanced",
        "weightings-D1-imbalanced",
    ):
        assert {f"{figure}.{kind}" for kind in ("pdf", "svg", "png")} <= names


def test_the_same_rows_make_the_same_figures(quick_run, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(quick_run, again, ignore=shutil.ignore_patterns("figures", "report.html"))
    done = run_cli("report", again)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Report: {again / 'report.html'}\n"
    for figure in (quick_run / "figures").glob("*.svg"):
        assert (again / "figures" / figure.name).read_bytes() == figure.read_bytes()


def test_an_unfinished_run_is_reported_as_far_as_it_went(tmp_path, visit):
    names = list(experiments.REGISTRY)
    run = {"experiments": names, "preset": "quick", "version": "test"}
    trials = [t for t in experiments.REGISTRY[names[0]].trials("quick") if t.data.n == 128 and t.seed < 2]
    planned = len({t.key for e in experiments.REGISTRY.values() for t in e.trials("quick")})
    with Store(tmp_path, run, {"environment": report.environment()}) as store:
        sweep.run(trials, store)
    page = visit(report.build(tmp_path).path)
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
    sweep_, _ = specification.read(tmp_path / "mine.toml")
    with Store(tmp_path / "run", {"sweep": "mine"}, {"environment": report.environment()}) as store:
        store.note({"specification": sweep_.model_dump(mode="json")})
        sweep.run(sweep_.trials()[:-1], store)
    page = visit(report.build(tmp_path / "run").path)
    assert page.complaints == []
    assert [url for url in page.requests_made if not url.startswith("data:")] == [page.url]
    text = page.inner_text("body")
    assert "Mine & <yours>" in text
    assert "23 finished, 0 failed, 1 to go" in text
    assert page.locator("table.numbers tbody tr").count() == 12
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 300)")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator(".status").count() == 0  # no verdict


def test_failures_are_listed(tmp_path):
    run = {"experiments": ["limiting-kernels-balanced"], "preset": "quick", "version": "test"}
    trials = experiments.REGISTRY["limiting-kernels-balanced"].trials("quick")
    with Store(tmp_path, run, {"environment": report.environment()}) as store:
        with pytest.raises(ValueError, match="has no finished trial"):
            report.build(tmp_path)
        sweep.run([t for t in trials if t.data.n == 128 and t.seed > 0], store)
        store.add(trials[0], status="failed", message="ran out of <luck>", seconds=0.1)
    text = report.build(tmp_path).path.read_text(encoding="utf-8")
    assert "Failed trials" in text
    assert "ran out of &lt;luck&gt;" in text
