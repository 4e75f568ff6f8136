"""What other packages add to the command line: commands and pages, and none of them may break the others."""

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
import typer

from conftest import refuse
from kernel_collapse import cli
from kernel_collapse.cli import _app, _report, additions
from kernel_collapse.runs import experiments
from kernel_collapse_paper.experiments import REGISTRY, choose


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
        (f"{__name__}:NONE", "what is registered is 'neither commands nor pages', expected an"),
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


def page(name, **given):
    return additions.Page(**({"name": name, "title": "T", "help": "H", "write": write} | given))


def measure(table: str) -> None:
    """Measure otherwise."""


def odd(value: SimpleNamespace | dict[str, int]) -> None:
    """Take what no command line gives."""


def unbalanced() -> None:
    """Close [/bold] what was never opened."""


UNSOUND = {
    "taken page": (
        additions.Additions(pages=(page("her_page"),)),
        "the name 'her_page' among the pages is taken",
    ),
    "own option": (additions.Additions(pages=(page("out"),)), "the name 'out' among the pages is taken"),
    "dash": (additions.Additions(pages=(page("my-page"),)), "the name of a page is 'my-page'"),
    "word of Python": (additions.Additions(pages=(page("class"),)), "the name of a page is 'class'"),
    "no text": (additions.Additions(pages=(page("one", help=None),)), "the help of the page 'one' is None"),
    "no writer": (additions.Additions(pages=(page("one", write=1),)), "`write` of the page 'one' is 1"),
    "no page": (additions.Additions(pages=("one",)), "a page is 'one'"),
    "no function": (additions.Additions((3,)), "a command is 3"),
    "lambda": (additions.Additions((lambda: None,)), "a command is called '<lambda>'"),
    "own command": (additions.Additions((measure,)), "the name 'measure' among the commands is taken"),
    "taken command": (additions.Additions((greet,)), "the name 'greet' among the commands is taken"),
    "parameters": (additions.Additions((odd,)), "the command 'odd' is no command for Typer"),
    "markup": (additions.Additions((unbalanced,)), "the docstring of 'unbalanced' is no text for Rich"),
    "no tuple": (additions.Additions(3), "commands are 3"),
}


@pytest.mark.parametrize("fault", UNSOUND)
def test_additions_that_are_not_sound_are_named_and_no_other_command_suffers(
    fault, entries, monkeypatch, capsys, tmp_path
):
    found, why = UNSOUND[fault]
    monkeypatch.setattr(sys.modules[__name__], "FOUND", found, raising=False)
    entries(("hers", f"{__name__}:HERS"), ("unsound", f"{__name__}:FOUND"))
    code, out, err = run(monkeypatch, capsys, "greet", "Ada")
    assert (code, out) == (0, "Good morning, Ada!\n")
    assert err.startswith(f"kernel-collapse: what 'unsound' adds ({__name__}:FOUND) cannot be loaded ({why}")
    assert err.count("\n") == 1
    for command in ("--version", "--help"):
        assert run(monkeypatch, capsys, command)[0] == 0
    assert "--her-page" in run(monkeypatch, capsys, "report", "--help")[1]


def test_the_names_that_no_package_may_take_are_those_of_the_program(entries):
    entries()
    group = typer.main.get_command(_app.program())
    assert set(group.commands) == set(additions.OWN_COMMANDS)
    report = group.commands["report"]
    assert {parameter.name for parameter in report.params} | {"help"} == set(additions.OWN_OPTIONS)


@pytest.fixture
def exits(tmp_path, monkeypatch):
    (tmp_path / "exits_at_once.py").write_text("import sys\n\nsys.exit('this package needs a licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "exits_at_once:FOUND"


def test_a_module_that_ends_the_program_ends_no_other_command(exits, entries, monkeypatch, capsys):
    entries(("bad", exits))
    code, out, err = run(monkeypatch, capsys, "--version")
    assert (code, out.startswith("kernel-collapse ")) == (0, True)
    assert "SystemExit: this package needs a licence" in err


@pytest.fixture
def registered(monkeypatch):
    """Let the installed packages have the experiments of the paper, and those that the test names."""

    def install(value):
        ours = EntryPoint("paper", "kernel_collapse_paper.experiments:REGISTRY", experiments.GROUP)
        monkeypatch.setattr(
            experiments,
            "entry_points",
            lambda group: [ours, EntryPoint("theirs", value, experiments.GROUP)],
        )

    experiments.registered.cache_clear()
    yield install
    experiments.registered.cache_clear()


def mine(name="mine", **given):
    functions = dict.fromkeys(("trials", "draw", "tabulate", "judge"), lambda of: [])
    return experiments.Experiment(
        **({"name": name, "title": "Mine", "question": "Is it?"} | functions | given)
    )


NOT_SOUND = {
    "list": (["x"], "what is registered is ['x']"),
    "other object": ({"mine": 3}, "the experiment 'mine' is 3"),
    "other name": ({"theirs": mine()}, "the experiment 'mine' is under 'theirs'"),
    "taken": ({"adaptive-path": mine("adaptive-path")}, "the name 'adaptive-path' is taken"),
    "all": ({"all": mine("all")}, "the name of an experiment is 'all'"),
    "option": ({"--out": mine("--out")}, "the name of an experiment is '--out'"),
    "no function": ({"mine": mine(judge=None)}, "`judge` of 'mine' is None"),
    "no text": ({"mine": mine(question=None)}, "`question` of 'mine' is None"),
    "missing": (None, "ModuleNotFoundError: "),
    "exits": (None, "SystemExit: "),
}


@pytest.mark.parametrize("fault", NOT_SOUND)
def test_experiments_that_are_not_sound_are_named_and_ours_stay(fault, registered, exits, monkeypatch):
    found, why = NOT_SOUND[fault]
    monkeypatch.setattr(sys.modules[__name__], "FOUND", found, raising=False)
    value = {"missing": "no_such_module:FOUND", "exits": exits}.get(fault, f"{__name__}:FOUND")
    registered(value)
    with pytest.warns(experiments.NotLoaded) as said:
        assert list(experiments.registered()) == list(REGISTRY)
    (warning,) = said
    assert str(warning.message).startswith(f"what 'theirs' adds ({value}) cannot be loaded ({why}")
    assert choose(["adaptive-path"]) == [REGISTRY["adaptive-path"]]


def test_what_is_not_loaded_is_one_line_of_reproduce(registered, monkeypatch, capsys):
    registered("no_such_module:FOUND")
    code, out, err = run(monkeypatch, capsys, "reproduce", "adaptive-path", "--list")
    assert (code, out.startswith("adaptive-path\n")) == (0, True)
    assert err.startswith("kernel-collapse: what 'theirs' adds (no_such_module:FOUND) cannot be loaded")
    assert err.count("\n") == 1


def test_reproduce_knows_the_experiments_of_other_packages(registered, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "FOUND", {"mine": mine()}, raising=False)
    registered(f"{__name__}:FOUND")
    assert [experiment.name for experiment in choose(["mine"])] == ["mine"]
    assert [experiment.name for experiment in choose([])] == [*REGISTRY, "mine"]
