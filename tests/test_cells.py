"""A cell is a trial without its seed: tables, figures and comparisons neither merge two cells nor split one."""

import shutil
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table

import kernel_collapse as kc
from kernel_collapse import _text, measure
from kernel_collapse._files import atomic_write
from kernel_collapse.cli import tables
from kernel_collapse.compare import compare
from kernel_collapse.report import overview
from kernel_collapse.runs import sweep_file
from kernel_collapse.runs.store import Store
from kernel_collapse.runs.tables import FileContent, FileData, file_names

HEAD = "seeds = 3\n"
TWO_CLASSES = 'law = "gaussian"\nn = 20\ndim = 2\n'
DATA_ALONE = '[[measurement]]\nkernel = "data"\n'


def value_of(trial):
    """A number that differs from cell to cell, and a little from seed to seed."""
    cell = trial.model_copy(update={"seed": 0}).key
    return 1.0 + int(cell[:8], 16) / 2**32 + 1e-3 * trial.seed


def stored(folder, text, run="run"):
    """Store constant trials of a sweep; return the folder of the run and the trials."""
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    sweep, _ = sweep_file.read(folder / "mine.toml")
    with Store(folder / run, {"sweep": "mine", "version": kc.__version__}) as store:
        store.note({"specification": sweep.model_dump(mode="json")})
        known = store.finished()
        for trial in sweep.trials():
            if trial.key not in known:
                store.add(trial, status="ok", results={"nc1_paper": value_of(trial)}, seconds=0.0)
    return folder / run, list(sweep.trials())


def panels_of(figure):
    return [panel for row in figure.plot.rows for panel in row if panel is not None]


def a_table(path, seed):
    rng = np.random.default_rng(seed)
    path.parent.mkdir(exist_ok=True)
    frame = pd.DataFrame({"a": rng.normal(size=12), "b": rng.normal(size=12), "y": [0, 1] * 6})
    frame.to_csv(path, index=False)


@pytest.mark.parametrize(
    "entry",
    [
        TWO_CLASSES + "class_sizes = [[10, 10], [5, 15]]\n",
        TWO_CLASSES + "separation = [4.0, 4.00000001, 4.1]\n",
        'law = "file"\npath = ["a/t.csv", "b/t.csv", "b/u.csv"]\nlabel = "y"\n',
        'law = "label-noise"\nfraction = 0.1\nbase = [{ law = "file", path = "a/t.csv", label = "y" }, '
        '{ law = "file", path = "b/t.csv", label = "y" }]\n',
        f"law = 'label-noise'\nfraction = [0.1, 0.2]\n[data.base]\n{TWO_CLASSES}class_sizes = [[10, 10], [5, 15]]\n",
    ],
)
@pytest.mark.parametrize(
    "measured", [DATA_ALONE, '[[measurement]]\nkernel = "nngp"\nactivation = ["erf", "relu"]\n']
)
def test_every_cell_is_a_row_of_its_own_seeds(tmp_path, entry, measured):
    for seed, name in enumerate(("a/t.csv", "b/t.csv", "b/u.csv")):
        a_table(tmp_path / name, seed)
    folder, trials = stored(tmp_path, f"{HEAD}[[data]]\n{entry}\n{measured}")
    rows = kc.results(folder)
    table = overview.table(rows).frame
    cells = {
        trial.model_copy(update={"seed": 0}).key: value_of(trial.model_copy(update={"seed": 0}))
        for trial in trials
    }
    assert sorted(table["NC1"]) == pytest.approx(sorted(value + 1e-3 for value in cells.values()), rel=1e-12)
    assert set(table["seeds"]) == {3}
    told = table.drop(columns=["NC1", "standard deviation", "seeds"]).astype(str)
    assert not told.duplicated().any()
    assert panels_of(overview.figure(rows))
    columns = rows.columns[: rows.columns.get_loc("status")].drop(["key", "seed"])
    grouped = rows.assign(**{name: rows[name].astype(str) for name in columns})
    assert grouped.groupby(list(columns), dropna=False)["nc1_paper"].std().max() < 2e-3


def test_close_values_are_lines_and_panels_of_their_own(tmp_path):
    text = f"{HEAD}[[data]]\n{TWO_CLASSES}separation = [4.0, 4.00000001]\n"
    text += '[[measurement]]\nkernel = "nngp"\nactivation = "erf"\nweight_variance = [1.0, 1.0000001]\n'
    text += "depth = [1, 2, 3]\n"
    figure = overview.figure(kc.results(stored(tmp_path, text)[0]))
    panels = panels_of(figure)
    assert [panel.title for panel in panels] == ["gaussian, separation 4", "gaussian, separation 4.00000001"]
    assert {len(panel.marks) for panel in panels} == {2}


def test_ticks_tell_sizes_apart(tmp_path):
    text = f"{HEAD}[[data]]\n{TWO_CLASSES.replace('20', '[1000, 1001, 1024]')}\n{DATA_ALONE}"
    figure = overview.figure(kc.results(stored(tmp_path, text)[0]))
    assert list(figure.plot.rows[0][0].x.ticks.values()) == ["1000", "1001", "1024"]


def test_what_a_kernel_does_not_have_makes_no_trials(tmp_path):
    text = f"{HEAD}[defaults.measurement]\ndepth = [1, 2]\nweight_variance = [1.0, 2.0]\n[[data]]\n{TWO_CLASSES}\n"
    folder, trials = stored(
        tmp_path, f"{text}{DATA_ALONE}[[measurement]]\nkernel = 'ntk'\nactivation = 'erf'\n"
    )
    assert len(trials) == 3 * (1 + 4)
    assert set(overview.table(kc.results(folder)).frame["seeds"]) == {3}
    with pytest.raises(
        ValueError, match="a key of kernel 'data' is 'depth', expected one of kernel, holdout"
    ):
        stored(tmp_path, f"{text}{DATA_ALONE}depth = 2\n")


def test_a_renamed_file_is_one_cell_and_a_changed_one_another(tmp_path):
    a_table(tmp_path / "old.csv", 0)
    text = f'[[data]]\nlaw = "file"\npath = "old.csv"\nlabel = "y"\nn = 8\n{DATA_ALONE}'
    stored(tmp_path, f"seeds = 2\n{text}")
    shutil.move(tmp_path / "old.csv", tmp_path / "new.csv")
    folder, _ = stored(tmp_path, f"seeds = 4\n{text.replace('old', 'new')}")
    rows = kc.results(folder)
    assert set(rows["data"]) == {"new.csv(label=y)"}
    assert overview.table(rows).frame["seeds"].tolist() == [4]
    files = [
        FileData(path="t.csv", n=9, content=FileContent(sha256=digit * 64, rows=9, features=2, classes=2))
        for digit in "12"
    ]
    assert list(file_names(files).values()) == ["t.csv, SHA-256 11111111", "t.csv, SHA-256 22222222"]


def test_files_of_one_name_are_told_apart_in_a_comparison(tmp_path):
    for seed, name in enumerate(("a/t.csv", "b/t.csv")):
        a_table(tmp_path / name, seed)
    text = f'{HEAD}[[data]]\nlaw = "file"\npath = ["a/t.csv", "b/t.csv"]\nlabel = "y"\n{DATA_ALONE}'
    first, trials = stored(tmp_path, text, "first")
    with Store(tmp_path / "second", {"sweep": "mine", "version": kc.__version__}) as store:
        for trial in trials:
            store.add(trial, status="ok", results={"nc1_paper": 2.0 * value_of(trial)}, seconds=0.0)
    cells = compare(first, tmp_path / "second").cells["cell"].tolist()
    assert len(set(cells)) == 2
    assert {cell.split("(")[0] for cell in cells} == {"a/t.csv", "b/t.csv"}


@pytest.mark.parametrize("unit", ["decades", "NC1"])
def test_a_comparison_says_of_what_its_numbers_are(tmp_path, unit, capsys):
    from kernel_collapse.cli._compare import compare_runs

    text = f"{HEAD}[[data]]\n{TWO_CLASSES}\n{DATA_ALONE}"
    first, trials = stored(tmp_path, text, "first")
    with Store(tmp_path / "second", {"sweep": "mine", "version": kc.__version__}) as store:
        for trial in trials:
            value = 0.0 if unit == "NC1" and trial.seed == 0 else 2e-7 * value_of(trial)
            store.add(trial, status="ok", results={"nc1_paper": value}, seconds=0.0)
    page = tmp_path / "send" / "changes.html"
    compare_runs(first, tmp_path / "second", page)
    out = capsys.readouterr().out
    assert ("log10 NC1" in out) == (unit == "decades")
    assert "paper" in out
    shown = compare(first, tmp_path / "second").cells["b"].item()
    assert (f"{shown:.4f}" if unit == "decades" else f"{shown:.4g}") in out
    assert [path.name for path in page.parent.iterdir()] == ["changes.html"]  # one file to send on


def test_seeds_without_a_number_say_nothing(tmp_path):
    text = f"{HEAD}[[data]]\n{TWO_CLASSES}\n{DATA_ALONE}"
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    trials = list(sweep_file.read(tmp_path / "mine.toml")[0].trials())
    for run, factor in (("first", 1.0), ("second", 1.0 + 1e-7)):
        with Store(tmp_path / run, {"sweep": "mine", "version": kc.__version__}) as store:
            for trial in trials:
                value = np.nan if trial.seed == 0 else factor * value_of(trial)
                store.add(trial, status="ok", results={"nc1_paper": value}, seconds=0.0)
    cell = compare(tmp_path / "first", tmp_path / "second").cells.iloc[0]
    assert cell["kind"] == "within seed noise"
    assert np.isfinite(cell[["a", "b", "difference", "error", "errors"]].astype(float)).all()


# -- numbers as text


@pytest.mark.parametrize(
    "numbers",
    [[1024, 1025, 20240615], [4.0, 4.00000001], [1e-9, 1e-9 * (1 + 1e-15)], [0.1 + 0.2], [1e20, 1e-300]],
)
def test_different_numbers_are_different_text(numbers):
    said = _text.told_apart(numbers)
    assert len(set(said.values())) == len(set(numbers))
    assert all(float(text) == pytest.approx(number, rel=1e-5) for number, text in said.items())


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_number_of_a_table_is_cut(width):
    console = Console(width=width, record=True)
    values = [f"{v:.4g}" for v in 1.2345e-17 * 10.0 ** np.arange(9)]
    table = Table("name of the kernel")
    for i in range(9):
        table.add_column(f"column {i}", justify="right", no_wrap=True)
    table.add_row("trained network, weight decay", *values)
    tables.print_whole(console, table)
    columns = [(f"relu adaptive {i}", [v]) for i, v in enumerate(values)]
    tables.print_side_by_side(console, "Others", ["NC2 maximal angle"], columns)
    out = console.export_text()
    assert console.width == width
    assert all(out.count(value) == 2 for value in values)
    assert "…" not in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"width": -5},
            "width belongs to the kernel 'adaptive', which is not asked for \\(width is -5\\)",
        ),
        ({"width": 100}, "ask for that kernel too, or leave width out"),
        ({"noise_variance": 1.0}, "noise_variance belongs to the kernel 'adaptive'"),
        ({"fitted": "gaussian"}, "fitted belongs to the kernel 'deep-rfm'.*'gaussian'"),
        ({"bandwidth": 7.0}, "bandwidth belongs to the kernel 'deep-rfm'"),
        ({"base_depth": 2}, "base_depth belongs to the kernel 'deep-rfm'.*2"),
    ],
)
def test_options_of_a_kernel_that_is_not_measured_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        measure.specify(["nngp", "ntk"], ["erf"], **options)


@pytest.mark.parametrize("kernels", [["deep-rfm"], ["nngp", "deep-rfm"]])
def test_the_depth_of_a_base_that_is_not_there_is_refused(kernels):
    said = "base_depth belongs to the kernel below a deep RFM, and none is asked for \\(base_depth is 3\\)"
    with pytest.raises(kc.InputError, match=said):
        measure.specify(kernels, ["relu"], base_depth=3)
    assert measure.specify(kernels, ["relu"], base_depth=3, base="nngp")[-1].base.depth == 3


# -- files


def test_two_writers_of_a_file_do_not_meet(tmp_path):
    path, begun, done = tmp_path / "page.html", threading.Event(), threading.Event()

    def first():
        with atomic_write(path) as part:
            part.write_text("A" * 5)
            begun.set()
            done.wait()

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait()
    with atomic_write(path) as part:
        part.write_text("B" * 20)
    assert path.read_text() == "B" * 20
    done.set()
    thread.join()
    assert path.read_text() == "A" * 5
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_what_a_killed_writer_leaves_is_removed(tmp_path):
    program = (
        "import os, pathlib\n"
        "from kernel_collapse._files import atomic_write\n"
        "with atomic_write(pathlib.Path('page.html')) as part:\n"
        "    part.write_text('half')\n"
        "    os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".part"
    with atomic_write(tmp_path / "other.csv") as part:
        part.write_text("whole")
    assert [file.name for file in tmp_path.iterdir()] == ["other.csv"]


def test_rows_of_another_version_are_not_forgotten(tmp_path):
    folder, trials = stored(tmp_path, f"{HEAD}[[data]]\n{TWO_CLASSES}\n{DATA_ALONE}")
    with Store(folder, {"sweep": "mine", "version": kc.__version__}) as store:
        with store._writing():
            store._db.execute(
                'UPDATE trials SET specification = replace(specification, \'"kernel"\', \'"younger": 1, "kernel"\') '
                "WHERE key = ?",
                (trials[0].key,),
            )
        before = store.finished()
        store.forget_failed()
        assert store.finished() == before
