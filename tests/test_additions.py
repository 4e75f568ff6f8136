"""What other packages add to the command line: commands and pages, and none of them may break the others."""

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from conftest import refuse
from kernel_collapse import cli
from kernel_collapse.cli import _app, _report, additions


@pytest.fixture
def entries(monkeypatch):
    """Let the installed packages be those that the test names."""

    def install(*values):
        found = [EntryPoint(name, value, additions.GROUP) for name, value in values]
        monkeypatch.setattr(additions, "entry_points", lambda group: found)

    for made_once in (additions.registered, _app.program):
        made_once.cache_clear()
    yield install
    for made_once in (additions.registered, _app.program):
        made_once.cache_clear()


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["kernel-collapse", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code, *capsys.readouterr()


def greet(name: str) -> None:
    """Greet whoever is named."""
    print(f"Good morning, {name}!")


def write(page, folder, built):
    page.write_text(f"{folder.name}: {len(built.sections)} sections\n")
    return page


HERS = additions.Additions((greet,), (additions.Page("her_page", "Hers", "Write what she found.", write),))
NONE = "neither commands nor pages"


def test_the_paper_adds_its_command_between_those_of_the_library(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "--help")
    assert (code, err) == (0, "")
    names = ["measure", "report", "reproduce", "init", "run", "results"]
    places = [out.index(f"│ {name}") for name in names]
    assert places == sorted(places)
    code, out, _ = run(monkeypatch, capsys, "report", "--help")
    assert 0 <= out.index("--open-questions") < out.index("--errata") < out.index("--out")


def test_a_package_adds_a_command_and_a_page(entries, monkeypatch, capsys, tmp_path):
    from kernel_collapse.runs.store import Store

    entries(("hers", f"{__name__}:HERS"))
    assert run(monkeypatch, capsys, "greet", "Ada") == (0, "Good morning, Ada!\n", "")
    assert "Write what she found." in run(monkeypatch, capsys, "report", "--help")[1]
    for folder in ("a", "b"):
        with Store(tmp_path / folder, {"name": "test"}):
            pass
    page = tmp_path / "page.md"
    said = refuse(monkeypatch, capsys, "report", tmp_path / "a", tmp_path / "b", "--her-page", page)
    assert said.startswith("kernel-collapse: --her-page is given with two folders")
    said = refuse(monkeypatch, capsys, "report", tmp_path / "a", "--her-page", tmp_path / "page.txt")
    assert "--her-page" in said
    assert not page.exists()
    built = SimpleNamespace(path=tmp_path / "report.html", sections=[])
    monkeypatch.setattr(_report, "write_report", lambda folder, out: built)
    code, out, err = run(monkeypatch, capsys, "report", tmp_path / "a", "--her-page", page)
    assert (code, out, err) == (0, f"Report: {built.path}\nHers: {page}\n", "")
    assert page.read_text() == "a: 0 sections\n"


def test_the_library_is_complete_without_other_packages(entries, monkeypatch, capsys):
    entries()
    code, out, err = run(monkeypatch, capsys, "--help")
    assert (code, err) == (0, "")
    assert "reproduce" not in out
    assert "errata" not in run(monkeypatch, capsys, "report", "--help")[1]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module:ADDITIONS", "ModuleNotFoundError: No module named 'no_such_module'"),
        (f"{__name__}:nothing", "AttributeError: "),
        (f"{__name__}:NONE", "AttributeError: 'str' object has no attribute 'commands'"),
    ],
    ids=["module", "name", "kind"],
)
def test_additions_that_cannot_be_loaded_are_named_and_no_other_command_suffers(
    value, why, entries, monkeypatch, capsys, tmp_path
):
    entries(("bad", value), ("hers", f"{__name__}:HERS"))
    code, out, err = run(monkeypatch, capsys, "greet", "Ada")
    assert (code, out) == (0, "Good morning, Ada!\n")
    assert err.startswith(f"kernel-collapse: what 'bad' adds ({value}) cannot be loaded ({why}")
    assert err.count("\n") == 1
    assert run(monkeypatch, capsys, "init", tmp_path / "sweep.toml")[0] == 0
