"""The documentation does what it says: its code runs, its commands parse, its links lead somewhere."""

import re
import shlex
import sys
import types

import numpy as np
import pytest
import typer
from sklearn.datasets import load_wine

import pages
from conftest import ROOT
from kernel_collapse import cli
from kernel_collapse.runs import sweep_file
from kernel_collapse.runs.measurements import (
    AdaptiveNC1,
    EmpiricalNC1,
    MeanFieldNC1,
    NetworkNC1,
    PosteriorNC1,
)
from pages import PAGES, name

#: Blocks of Python that are not run: a word that is in them, and why.
NOT_RUN = {"SLURMCluster": "needs a Slurm cluster", "tcp://host:8786": "needs a scheduler"}

#: What is made smaller so that a page runs in seconds; the code is otherwise what the page says.
SMALLER = {
    "README.md": {
        "n=1024, dim=128": "n=128, dim=16",
        "width=500, epochs=1000, seeds=10": "width=50, epochs=20, seeds=2",
        "small, width=200, noise_variance=1e-2)  # R-hat": "small, width=20, draws=400, noise_variance=1e-2)  # R-hat",
    }
}

#: A small run of a sweep in each of some folders.
SMALL_RUNS = """
from pathlib import Path
from kernel_collapse.runs import sweep, sweep_file
from kernel_collapse.runs.store import Store
Path("sweep.toml").write_text('seeds = 2\\n[data]\\nlaw = "xor"\\nn = 9\\ndim = 2\\n'
    '[measurement]\\nkernel = "nngp"\\nactivation = "erf"\\ndepth = [1, 2]\\n')
read, _ = sweep_file.read("sweep.toml")
for folder in FOLDERS:
    with Store(folder, {"sweep": "sweep"}, {"environment": {}}) as store:
        store.note({"specification": read.model_dump(mode="json")})
        sweep.run(read.trials(), store)
"""

#: What a page takes for granted, as a program that runs before its first block: the runs whose results it reads.
PRELUDE = {
    "docs/sweeps.md": SMALL_RUNS.replace("FOLDERS", '["runs/sweep"]'),
    "docs/compare.md": SMALL_RUNS.replace("FOLDERS", '["runs/before", "runs/after"]'),
}

#: Commands that are parsed, but not run: a part of them, and why.
LONG = {
    "reproduce all": "minutes: tests/conftest.py runs it once",
    "--preset paper": "an hour or more",
    "runs/paper": "reads what that has made",
    "runs/old": "needs two runs: tests/test_compare.py has them",
    "--dask": "needs a cluster: tests/test_cluster.py has one",
    "--kernel adaptive": "seconds: tests/test_cli.py has one",
}

ARGUMENT_OF = re.compile(r"--[a-z][a-z-]*")


def of(found):
    """Test parameters of (page, thing) pairs, named by page and line."""
    return [pytest.param(page, thing, id=f"{name(page)}:{line}") for page, thing, line in found]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in which everything runs, with the files that the pages call theirs."""
    wine = load_wine(as_frame=True)
    wine.data.iloc[::6].assign(species=wine.target[::6]).to_csv(tmp_path / "my_table.csv", index=False)
    layer = {
        "features": wine.data,
        "labels": wine.target,
        "classifier": np.ones((3, 13)),
        "bias": np.zeros(3),
    }
    np.savez(tmp_path / "layer3.npz", **layer)
    monkeypatch.chdir(tmp_path)
    return tmp_path


WITH_CODE = [page for page in PAGES if pages.blocks(page, "python")]


@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_code_runs(page, folder, monkeypatch):
    """Block after block in one namespace; what a block defines the next may use."""
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # where a class that the page defines looks itself up
    names = module.__dict__
    exec(PRELUDE.get(name(page), ""), names)
    smaller = dict(SMALLER.get(name(page), {}))
    for block in pages.blocks(page, "python"):
        if any(word in block.text for word in NOT_RUN):
            continue
        text = "\n" * (block.line - 1) + block.text  # so that an error has the line of the page
        for large in [large for large in smaller if large in text]:
            text = text.replace(large, smaller.pop(large))
        exec(compile(text, page, "exec"), names)
    assert not smaller, "what is to be made smaller is no longer in the page"


@pytest.mark.parametrize(
    ("page", "block"),
    of((p, b, b.line) for p in PAGES for b in pages.blocks(p, "toml") if "[[" in b.text),
)
def test_sweeps_are_accepted(page, block, folder):
    (folder / "flowers.csv").write_text("a,species\n" + "1,x\n2,y\n" * 5, encoding="utf-8")
    (folder / "sweep.toml").write_text(block.text, encoding="utf-8")
    sweep, _ = sweep_file.read("sweep.toml")
    assert len(sweep.trials()) > 1


def parse(arguments):
    """Take a command apart as the program would, without running it."""
    program = typer.main.get_command(cli.app)
    context = program.make_context("kernel-collapse", list(arguments), resilient_parsing=True)
    command = program.get_command(context, arguments[0])
    assert command is not None, f"there is no command {arguments[0]!r}"
    return command.make_context(arguments[0], list(arguments[1:]), parent=context)


@pytest.mark.parametrize(
    ("page", "command"), of((p, c, line) for p in PAGES for c, line in pages.commands(p))
)
def test_commands_parse(page, command):
    parse(shlex.split(command)[1:])


def test_a_command_that_is_none_does_not_parse():
    with pytest.raises(Exception, match="No such option"):
        parse(["measure", "table.csv", "--labels", "species"])
    with pytest.raises(AssertionError, match="there is no command 'mesure'"):
        parse(["mesure", "table.csv"])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_within_lines_have_these_options(page):
    """Whole commands parse; of parts of one (`measure --holdout 0.2`) the options exist."""
    program = typer.main.get_command(cli.app)
    for code in pages.inline_code(page):
        words = code.split()
        if words[0] == "kernel-collapse" and len(words) > 2:
            parse(shlex.split(code)[1:])
        elif words[0] == "kernel-collapse":
            assert words[1:] == [] or words[1] in program.commands, code
        elif words[0] in program.commands and len(words) > 1:
            known = {option for p in program.commands[words[0]].params for option in p.opts}
            assert set(ARGUMENT_OF.findall(code)) <= known, code


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "sweeps.md"], ids=name)
def test_commands_run(page, folder, monkeypatch, capsys):
    """One after the other, as they stand; `init` writes a sweep that is cut to one seed."""
    done = []
    for command, _ in pages.commands(page):
        if any(part in command for part in LONG):
            continue
        arguments = shlex.split(command)
        one_process = ["--workers", "1"] if arguments[1] == "run" else []  # starting others takes seconds
        monkeypatch.setattr(sys, "argv", arguments + one_process)
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert not stopped.value.code, f"{command}\n{capsys.readouterr().err}"
        if arguments[1] == "init":
            text = (folder / "sweep.toml").read_text(encoding="utf-8")
            (folder / "sweep.toml").write_text(text.replace("seeds = 3 ", "seeds = 1 "), encoding="utf-8")
        done.append(arguments[1])
    assert {"init", "run", "results"} <= set(done)
    assert (folder / "runs" / "sweep" / "report.html").is_file()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target in pages.links(page):
        if re.match(r"[a-z]+:", target):
            continue  # the rest of the world is not ours to test
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), f"{target}: there is no such file"
        if anchor:
            assert anchor in pages.anchors(goal), f"{target}: {goal.name} has no such heading"


#: A folder, or a file of the project's kinds, as it is written within a line.
PATH = re.compile(r"(?:[\w.-]+/)+|(?:[\w.-]+/)*[\w.-]+\.(?:py|md|css|js|j2)")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_that_are_named_exist(page):
    """From the root, from a package, or from the page's own folder. FILE stands for what one types."""
    for code in pages.inline_code(page):
        for path in (word for word in code.split() if PATH.fullmatch(word) and "FILE" not in word):
            packages = (ROOT / "src" / package for package in ("kernel_collapse", "kernel_collapse_paper"))
            places = (ROOT, *packages, page.parent)
            assert any((place / path).exists() for place in places), f"{path}: there is no such file"


def test_the_defects_have_one_order():
    """The errata number them; other pages that list them do so alike."""
    from kernel_collapse_paper.errata import DEFECTS

    listed = re.findall(
        r"^(\d)\. \*(.*?)\*", (ROOT / "docs" / "definitions.md").read_text(encoding="utf-8"), re.M
    )
    titled = re.findall(r"^## (\d)\. (.*)$", (ROOT / "docs" / "errata.md").read_text(encoding="utf-8"), re.M)
    assert [title for _, title in titled] == [defect.title for defect in DEFECTS]
    words = ("NTK", "label term", "mbalanced|different sizes", "readout")
    for found in (listed, titled):
        assert [number for number, _ in found] == ["1", "2", "3", "4"]
        assert all(re.search(word, text) for word, (_, text) in zip(words, found, strict=True)), found


def test_what_the_whole_run_says_is_small():
    """Its page, errata, open questions and pictures can be cloned over a slow line."""
    made = [
        "report.html",
        "open-questions.md",
        "overview-D1.png",
        *(f"errata.{kind}" for kind in ("md", "csv", "png")),
    ]
    assert sum((ROOT / "docs" / name).stat().st_size for name in made) < 5e6


def test_defaults_of_measurements_are_those_of_the_program():
    """The table of keys in sweeps.md names every key of a measurement of networks, with its default."""
    text = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    words = {"none": None, "1/128": 1 / 128, "1.97²": 1.97**2}
    for names, what in (
        ("adaptive", AdaptiveNC1),
        ("mean-field", MeanFieldNC1),
        ("posterior", PosteriorNC1),
        ("network", NetworkNC1),
        ("empirical-nngp, empirical-ntk", EmpiricalNC1),
    ):
        (row,) = re.findall(rf"^\| \| `kernel`: {names}, and (.*) \|$", text, re.MULTILINE)
        said = dict(re.findall(r"`(\w+)` \((.*?)\)", row))
        known = {key: field.default for key, field in what.model_fields.items() if key != "kernel"}
        if what is PosteriorNC1:  # "the keys of mean-field"
            of_mean_field = {key: field.default for key, field in MeanFieldNC1.model_fields.items()}
            of_mean_field.pop("kernel")
            said = {key: str(value) for key, value in of_mean_field.items()} | said
        assert said.keys() == known.keys()
        for key, default in known.items():
            written = words.get(said[key], said[key])
            default = default[0] if isinstance(default, tuple) else default
            same = float(written) == default if isinstance(default, float | int) else written == default
            assert same, (names, key)
