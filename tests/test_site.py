"""The site is built offline, without a warning, and needs nothing from anywhere."""

import importlib.util
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from fontTools.ttLib import TTFont
from typer.main import get_command

from conftest import ROOT
from kernel_collapse import cli
from pages import Needs, links

PAGES = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
#: A formula that stands by itself in a page of Markdown.
DISPLAYED = re.compile(r"^\$\$$.*?^\$\$$", re.M | re.S)
FORMULA = re.compile(r"<math.*?</math>", re.S)
#: Public modules, which have no page of their own in the reference.
MODULES = {"activations", "data", "kernels", "networks", "plots", "rfm", "theory", "torch"}


def sphinx(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that `make site` makes, from a copy of the pages: the reference is written beside them."""
    (command,) = re.findall(
        r"^site:.*\n\t\$\(BIN\)/python -m sphinx (.*)$", (ROOT / "Makefile").read_text(), re.M
    )
    *options, source, out = command.split()
    assert (source, out) == ("docs", "site")
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "api"))
    done = sphinx(*options, source, out, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip()
    return folder / "site"


@pytest.fixture(scope="module")
def read(site):
    """What each page needs, by its path; what can be taken home (a report, a notebook) is no page of the site."""
    found = site.rglob("*.html")
    return {page: Needs(page) for page in found if "_downloads" not in page.relative_to(site).parts}


def test_every_page_is_there_and_within_reach(site, read):
    reached = set(read[site / "index.html"].links)
    for page in PAGES:
        assert (site / f"{page}.html").is_file()
        assert page == "index" or f"{page}.html" in reached


def test_nothing_is_fetched_from_elsewhere(site, read):
    for page, needs in read.items():
        for target in needs.fetched:
            assert not re.match(r"([a-z]+:)?//", target), f"{page.name} fetches {target}"
            assert target.startswith("data:") or (page.parent / re.split("[?#]", target)[0]).exists(), target
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert "@import" not in text, sheet.name
        for target in re.findall(r"url\(\s*[\"']?([^\"')]*)", text):
            assert target.startswith("data:") or (sheet.parent / target).is_file(), (
                f"{sheet.name} needs {target}"
            )


def test_links_within_the_site_lead_somewhere(read):
    followed = 0
    for page, needs in read.items():
        for link in needs.links:
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            goal = (page.parent / unquote(path)).resolve() if path else page
            assert goal.is_file(), f"{page.name}: {link}"
            if anchor and goal in read:
                assert unquote(anchor) in read[goal].anchors, f"{page.name}: {link}"
            followed += 1
    assert followed > 100 * len(PAGES)


@pytest.fixture(scope="module")
def reference():
    """The module that writes what two of the pages say."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_is_described_with_its_options(reference):
    page = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    described = re.findall(r"^## `kernel-collapse (\w+)`$", page, re.M)
    assert sorted(described) == sorted(get_command(cli.app).commands)
    assert reference.with_options(page) == page
    assert reference.with_options(page.replace("| `--depth N` |", "| `--deep N` |")) == page


def test_the_list_of_names_says_what_each_is(reference):
    """What stands beside a name is the beginning of its docstring; `python docs/reference.py` writes it."""
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    assert reference.with_summaries(page) == page
    for name, said in re.findall(r"^- `(kernel_collapse[\w.]*)`(.*)$", page, re.M):
        assert re.fullmatch(r": [A-Z].{15,}\.", said), name


def test_every_public_name_has_a_page_with_its_source(site, read):
    import kernel_collapse as kc

    listed = re.findall(r"^- `(kernel_collapse[\w.]*)`", (ROOT / "docs" / "api.md").read_text("utf-8"), re.M)
    assert {f"kernel_collapse.{name}" for name in set(kc.__all__) - MODULES} <= set(listed)
    reached = read[site / "api.html"].links
    for name in listed:
        page = site / "api" / f"{name}.html"
        text = page.read_text(encoding="utf-8")
        assert any(link.startswith(f"api/{name}.html") for link in reached), name
        assert name in read[page].anchors or name == "kernel_collapse.kernels.Activation", name
        assert any(link.startswith("../_modules/kernel_collapse/") for link in read[page].links), name
        assert "(*args, **kwargs)" not in text
        assert "<em>,</em>)" not in text  # attributes that are described together, taken for a type
    gaussian = (site / "api" / "kernel_collapse.data.gaussian_classes.html").read_text(encoding="utf-8")
    assert "Parameters" in gaussian
    assert "class_sizes" in gaussian


def test_formulas_are_typeset(site):
    for page in PAGES:
        source = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        html = (site / f"{page}.html").read_text(encoding="utf-8")
        assert html.count('<div class="formula"><math display="block"') == len(DISPLAYED.findall(source)), (
            page
        )
    texts = [
        re.sub(r"<pre>.*?</pre>|<[^>]*>", "", p.read_text("utf-8"), flags=re.S) for p in site.glob("*.html")
    ]
    assert not any("$$" in text or re.search(r"\\[a-z]{2,}|\$\\", text) for text in texts)


def test_the_font_of_the_formulas_has_every_sign(site, read):
    formulas = [formula for page in read for formula in FORMULA.findall(page.read_text(encoding="utf-8"))]
    signs = {sign for formula in formulas for sign in unescape(re.sub("<[^>]*>", "", formula))}
    font = TTFont(site / "_static" / "formulas.woff")
    has = set(map(chr, font.getBestCmap()))
    invisible = {" ", "\N{FUNCTION APPLICATION}", "\N{VARIATION SELECTOR-1}"}
    assert {"\N{GREEK SMALL LETTER KAPPA}", "\N{N-ARY SUMMATION}", "S"} <= signs
    assert signs - invisible <= has
    assert {
        "\N{SQUARE ROOT}",
        "\N{MATHEMATICAL ITALIC SMALL KAPPA}",
        "\N{MATHEMATICAL ITALIC CAPITAL S}",
    } <= has
    assert "MATH" in font


def test_what_is_no_formula_is_a_warning(tmp_path):
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'docs')!r})\n"
        "extensions = ['formulas', 'myst_parser']\nhtml_math_renderer = 'mathml'\n"
        "myst_enable_extensions = ['dollarmath']\n",
        encoding="utf-8",
    )
    (tmp_path / "index.md").write_text("# Page\n\nA line with $\\nothing{x}$.\n", encoding="utf-8")
    done = sphinx("-W", "-q", "-b", "html", ".", "out", cwd=tmp_path)
    assert done.returncode != 0
    assert "a formula cannot be typeset" in done.stderr
    assert "index.md" in done.stderr


def test_the_gallery_has_every_picture_and_every_example():
    shown = {Path(link).name for link in links(ROOT / "docs" / "gallery.md")}
    assert {path.name for path in (ROOT / "docs").glob("*.png")} <= shown
    assert {path.name for path in (ROOT / "examples").glob("*.*")} <= shown


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
