"""The site is built offline, without a warning, and needs nothing from anywhere."""

import re
import subprocess
import sys

import pytest

from conftest import ROOT
from pages import Needs

PAGES = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that `make site` makes."""
    (command,) = re.findall(r"^site:.*\n\t\$\(BIN\)/python (.*)$", (ROOT / "Makefile").read_text(), re.M)
    folder = tmp_path_factory.mktemp("site")
    *options, source, out = command.split()
    assert (source, out) == ("docs", "site")
    done = subprocess.run(
        [sys.executable, *options, "-d", folder / "read", source, folder / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip()
    return folder / "site"


def test_every_page_is_there_and_within_reach(site):
    reached = set(Needs(site / "index.html").links)
    for page in PAGES:
        assert (site / f"{page}.html").is_file()
        assert page == "index" or f"{page}.html" in reached


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.glob("*.html"):
        for target in Needs(page).fetched:
            assert not re.match(r"([a-z]+:)?//", target), f"{page.name} fetches {target}"
            assert target.startswith("data:") or (site / re.split("[?#]", target)[0]).exists(), target
    for sheet in site.rglob("*.css"):
        outside = re.findall(
            r"@import[^;]*|url\(\s*[\"']?(?:[a-z]+:)?//[^)]*\)", sheet.read_text(encoding="utf-8")
        )
        assert outside == [], sheet.name


def test_links_within_the_site_lead_somewhere(site):
    pages = {page.name: Needs(page) for page in site.glob("*.html")}
    for name, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            assert not path or (site / path).is_file(), f"{name}: {link}"
            if anchor and path.endswith(("", ".html")) and (goal := pages.get(path or name)):
                assert anchor in goal.anchors, f"{name}: {link}"


def test_the_reference_documents_every_public_name(site):
    import kernel_collapse as kc

    anchors = Needs(site / "api.html").anchors
    modules = ("activations", "data", "kernels", "networks", "plots", "rfm", "theory", "torch")
    for name in set(kc.__all__) - set(modules):
        assert f"kernel_collapse.{name}" in anchors
    text = (site / "api.html").read_text(encoding="utf-8")
    assert "Parameters" in text
    assert "class_sizes" in text
    assert "<em>,</em>)" not in text  # attributes that are described together, taken for a type


def test_a_page_that_no_heading_names_is_listed_last():
    import importlib.util

    specification = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
    conf = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(conf)
    trees = conf.contents("# Title\n\n## Start\n\n- [a](data.md), [none](nowhere.md)\n<!-- sweeps.md -->\n")
    first, last = trees.split("\n\n```{toctree}")
    assert first.splitlines()[2:-1] == [":caption: Start", "", "data", "sweeps"]
    assert ":caption: More" in last
    assert "theory" in last.splitlines()
    assert "data" not in last.splitlines()
