"""Sweeps as a user meets them: a TOML file, a folder, a table."""

import json
import os
import sys

import pandas as pd
import pytest

import kernel_collapse as kc
from conftest import refuse
from kernel_collapse import cli, report
from kernel_collapse.report import overview
from kernel_collapse.runs import laws, measurements, tidy
from kernel_collapse.runs.store import Store
from tables import count

SWEEP = """seeds = 2

[[data]]
law = "gaussian"
n = 20
dim = [2, 3]

[[measurement]]
kernel = ["nngp", "ntk"]
activation = ["erf", "relu"]

[[measurement]]
kernel = "data"
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def say(monkeypatch, capsys):
    """Run the program in this process; give exit code and what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kernel-collapse", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return run


def written(folder):
    """Every file and its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_example_runs(here, say):
    assert say("init", "sweep.toml")[0] == 0
    code, out, _ = say("run", "sweep.toml", "--dry", "--workers", 2)
    assert code == 0
    assert "351 trials, each once; 0 of them are in runs/sweep, 351 to run." in out
    text = (here / "sweep.toml").read_text(encoding="utf-8")
    (here / "sweep.toml").write_text(text.replace("seeds = 3", "seeds = 1"), encoding="utf-8")
    code, out, _ = say("run", "sweep.toml", "--workers", 1)
    assert code == 0
    assert "117 trials run, 0 found in runs/sweep." in out


def test_an_extended_sweep_goes_on(here, say):
    path = here / "mine.toml"
    path.write_text(SWEEP, encoding="utf-8")
    assert "20 trials run, 0 found" in say("run", "mine.toml", "--workers", 1)[1]
    path.write_text(SWEEP.replace("seeds = 2", "seeds = 3").replace("[2, 3]", "[2, 3, 4]"), encoding="utf-8")
    before = written(here)
    code, out, _ = say("run", "mine.toml", "--dry")
    assert code == 0
    assert "45 trials, each once; 20 of them are in runs/mine, 25 to run." in out
    assert written(here) == before
    assert "25 trials run, 20 found" in say("run", "mine.toml", "--workers", 1)[1]
    assert len(kc.results("runs/mine")) == 45
    # What is no longer named is kept, and not shown.
    path.write_text(SWEEP.replace("[2, 3]", "[4]"), encoding="utf-8")
    assert "0 trials run, 10 found" in say("run", "mine.toml", "--workers", 1)[1]
    frame = kc.results("runs/mine")
    assert frame["dim"].unique().tolist() == [4]
    assert count(here / "runs" / "mine") == 45
    with Store("runs/mine") as store:
        assert store.about()["toml"] == path.read_text(encoding="utf-8")
    # In the order of the file, whatever was run first.
    assert frame["kernel"].tolist() == ["nngp"] * 4 + ["ntk"] * 4 + ["data"] * 2
    assert frame["seed"].tolist() == [0, 1] * 5


def test_a_changed_file_is_measured_anew(here, say):
    def write(shift):
        rows = [{"a": i + shift * (i % 2), "label": i % 2} for i in range(10)]
        pd.DataFrame(rows).to_csv("own.csv", index=False)

    write(1.0)
    (here / "mine.toml").write_text(
        'seeds = 2\n[data]\nlaw = "file"\npath = "own.csv"\n[measurement]\nkernel = "data"\n',
        encoding="utf-8",
    )
    code, out, _ = say("run", "mine.toml", "--dry")
    assert code == 0
    assert "Note: every seed uses all of own.csv" in out
    assert "2 trials run, 0 found" in say("run", "mine.toml", "--workers", 1)[1]
    first = kc.results("runs/mine")["nc1_paper"].unique()
    write(3.0)
    assert "2 trials run, 0 found" in say("run", "mine.toml", "--workers", 1)[1]
    second = kc.results("runs/mine")["nc1_paper"].unique()
    assert len(first) == len(second) == 1
    assert first != second
    os.remove("own.csv")  # results and report do not need it
    assert len(kc.results("runs/mine")) == 2
    assert say("report", "runs/mine")[0] == 0


def test_failed_trials_are_listed(here, say):
    text = SWEEP.replace(
        'law = "gaussian"', 'law = "gaussian_classes"\nclass_means = [[-2, 2], [-1e200, 1e200]]'
    )
    (here / "mine.toml").write_text(text, encoding="utf-8")
    code, out, err = say("run", "mine.toml", "--workers", 1)
    assert code == 1
    failed = kc.results("runs/mine").query("status == 'failed'")
    assert 0 < len(failed) < 40
    assert f"{len(failed)} trials failed; --retry-failed runs them again." in err
    assert failed["message"].str.contains("finite").all()
    assert failed["nc1_paper"].isna().all()
    assert "Failed trials" in (here / "runs" / "mine" / "report.html").read_text(encoding="utf-8")
    code, out, _ = say("run", "mine.toml", "--workers", 1, "--retry-failed")
    assert code == 1
    assert f"{len(failed)} trials run, {40 - len(failed)} found" in out


def test_numbers_that_are_missing_are_told_of(here, say):
    """A bias beside which nothing else is seen: NC1 is NaN with a reason, on the terminal, on the page, in the rows."""
    (here / "mine.toml").write_text(
        'seeds = 2\n[[data]]\nlaw = "gaussian"\nn = 20\ndim = 2\n[[measurement]]\nkernel = "nngp"\n'
        'activation = "relu"\nbias_variance = [0.0, 1e300]\n',
        encoding="utf-8",
    )
    code, out, _ = say("run", "mine.toml", "--workers", 1)
    assert code == 0
    assert "A number is missing or rough in 2 trials; the column `reason` of their rows says why." in out
    page = (here / "runs" / "mine" / "report.html").read_text(encoding="utf-8")
    assert "in 2 trials" in page
    assert "the class means coincide to within round-off" in page
    frame = kc.results("runs/mine").set_index("bias_variance")
    assert frame.loc[1e300, "reason"].str.contains("the class means coincide").all()
    assert frame.loc[0.0, "reason"].isna().all()


def test_nothing_but_failures(here, say):
    text = DATA.replace("gaussian", "gaussian_classes") + "class_means = [-1e200, 1e200]\n"
    text += MEASUREMENT.replace("erf", "relu")
    (here / "mine.toml").write_text("seeds = 2\n" + text, encoding="utf-8")
    code, out, err = say("run", "mine.toml", "--workers", 1)
    assert code == 1
    assert "Report" not in out
    assert "2 trials failed" in err


DATA = '[[data]]\nlaw = "gaussian"\nn = 20\ndim = 2\n'
MEASUREMENT = '[[measurement]]\nkernel = "nngp"\nactivation = "erf"\n'
FILE = '[[data]]\nlaw = "file"\n'

BAD = [
    ("", "sweep.toml is empty, expected a sweep"),
    ("# nothing\n", "sweep.toml is empty"),
    ("seeds 3\n", "sweep.toml is not TOML (Expected '=' after a key"),
    (DATA + "n = 30\n" + MEASUREMENT, "not TOML (Cannot overwrite a value (at line 5, column 7))"),
    ("data,n\n1,2\n", "(at line 1, column 5)), expected lines like"),
    ("seeds = 3\n" + MEASUREMENT, "there is no [[data]], expected a table or several: write [[data]]"),
    (DATA, "there is no [[measurement]], expected a table or several"),
    ('data = "gaussian"\n' + MEASUREMENT, "line 1: data is 'gaussian', expected a table or several"),
    ("sed = 3\n" + DATA + MEASUREMENT, "line 1: a key of the sweep is 'sed', expected one of title, seeds"),
    ("title = 3\n" + DATA + MEASUREMENT, "line 1: title is 3, expected text"),
    ("seeds = 0\n" + DATA + MEASUREMENT, "line 1: seeds is 0, expected a whole number that is at least 1"),
    ("seeds = []\n" + DATA + MEASUREMENT, "line 1: seeds is an empty list"),
    ("seeds = [1, -2]\n" + DATA + MEASUREMENT, "line 1: a seed is -2, expected a whole number"),
    ("seeds = 1.5\n" + DATA + MEASUREMENT, "line 1: seeds is 1.5, expected a whole number"),
    ("seeds = 'ten'\n" + DATA + MEASUREMENT, "line 1: seeds is 'ten', expected a whole number"),
    ("seeds = 1000000000000\n" + DATA + MEASUREMENT, "expected at most 1000000: it is the number of repeats"),
    ("seeds = 1000000\n" + DATA.replace("2\n", "[2, 3]\n") + MEASUREMENT, "the sweep has 2000000 trials"),
    (
        DATA.replace("gaussian", "gausian") + MEASUREMENT,
        "line 2, [[data]] 1: law is 'gausian', expected one of ball",
    ),
    (
        DATA.replace('law = "gaussian"\n', "") + MEASUREMENT,
        "line 1, [[data]] 1: law is missing, expected one of",
    ),
    (DATA.replace('"gaussian"', "[]") + MEASUREMENT, "line 2, [[data]] 1: law is missing"),
    (
        DATA + MEASUREMENT.replace("nngp", "nnpg"),
        "line 6, [[measurement]] 1: kernel is 'nnpg', expected one of",
    ),
    (
        DATA + MEASUREMENT.replace('"erf"', '["erf", "rleu"]'),
        "line 7, [[measurement]] 1: activation is 'rleu', expected",
    ),
    (
        DATA + MEASUREMENT.replace('activation = "erf"\n', ""),
        "line 6, [[measurement]] 1: kernel is 'nngp' with activation None",
    ),
    (
        DATA + MEASUREMENT + "dept = 3\n",
        "line 8, [[measurement]] 1: a key of kernel 'nngp' is 'dept', expected one",
    ),
    (
        DATA + MEASUREMENT + "depth = 0\n",
        "line 8, [[measurement]] 1: depth is 0, expected more than 0",
    ),
    (
        DATA + MEASUREMENT + "depth = []\n",
        "line 8, [[measurement]] 1: depth is [], expected at least one value",
    ),
    (DATA + MEASUREMENT + "depth = 'deep'\n", "line 8, [[measurement]] 1: depth is 'deep'"),
    (DATA + MEASUREMENT + "weight_variance = nan\n", "line 8, [[measurement]] 1: weight_variance is nan"),
    (DATA.replace("20", "-20") + MEASUREMENT, "line 3, [[data]] 1: n is -20, expected more than 0"),
    (DATA.replace("n = 20\n", "") + MEASUREMENT, "line 1, [[data]] 1: n is missing, expected a value"),
    (DATA.replace("20", "1") + MEASUREMENT, "line 3, [[data]] 1: n is 1 for 2 classes"),
    (DATA + "stds = 2\n" + MEASUREMENT, "line 5, [[data]] 1: a key of law 'gaussian' is 'stds'"),
    (DATA + "content = {}\n" + MEASUREMENT, "line 5, [[data]] 1: a key of law 'gaussian' is 'content'"),
    (DATA + "class_sizes = [5, 5]\n" + MEASUREMENT, "line 5, [[data]] 1: class_sizes (5, 5) add up to 10"),
    (
        DATA + "covariance = 'round'\n" + MEASUREMENT,
        "line 5, [[data]] 1: covariance is 'round', expected one of ar1",
    ),
    (
        DATA.replace("dim = 2", "dim = { from = 4, to = 1 }") + MEASUREMENT,
        "line 4, [[data]] 1: dim runs from 4 to 1",
    ),
    (
        DATA + "separation = { from = 0, to = 1, steps = 3, scale = 'log' }\n" + MEASUREMENT,
        "separation runs from 0 on a log",
    ),
    (DATA + "separation = { from = 1, to = 2 }\n" + MEASUREMENT, "separation is a range without steps"),
    (
        DATA + "separation = { from = 1, to = 2, steps = 1 }\n" + MEASUREMENT,
        "steps of the range separation is 1",
    ),
    (
        DATA + "separation = { from = 1, to = 2, step = 1 }\n" + MEASUREMENT,
        "an option of the range separation is 'step'",
    ),
    (
        DATA + "separation = { from = 1, to = 2, steps = 3, scale = 'ln' }\n" + MEASUREMENT,
        "scale of the range separation is",
    ),
    (
        DATA + "separation = { from = 'a', to = 2, steps = 3 }\n" + MEASUREMENT,
        "from of the range separation is 'a'",
    ),
    (DATA + "separation = { to = 2, steps = 3 }\n" + MEASUREMENT, "expected a range with from and to"),
    (DATA + "separation = { values = 2 }\n" + MEASUREMENT, "separation is 2, expected at least one value"),
    (
        DATA + MEASUREMENT.replace('"erf"', "{ from = 1, to = 2 }"),
        "activation is a table, expected numbers, of which alone there is a range",
    ),
    (
        FILE + MEASUREMENT,
        "[[data]] 1: path is missing, expected the name of a .csv, .tsv, .parquet, .npz file",
    ),
    (
        FILE + 'path = "nowhere.csv"\n' + MEASUREMENT,
        "line 3, [[data]] 1: 'nowhere.csv' does not exist",
    ),
    (FILE + 'path = "own.xlsx"\n' + MEASUREMENT, "line 3, [[data]] 1: the ending of 'own.xlsx' is '.xlsx'"),
    (
        FILE + 'path = "own.csv"\nlabel = "kind"\n' + MEASUREMENT,
        "line 4, [[data]] 1: label is 'kind', which is not a column of own.csv",
    ),
    (
        FILE + 'path = "own.csv"\n' + MEASUREMENT,
        "line 3, [[data]] 1: label is 'label', which is not a column of own.csv",
    ),
    (
        FILE + 'path = "own.csv"\nlabel = "sort"\nn = 50\n' + MEASUREMENT,
        "line 5, [[data]] 1: n is 50, expected 2 to 4",
    ),
    (
        FILE + 'path = "own.csv"\nlabel = 3\n' + MEASUREMENT,
        "line 4, [[data]] 1: label is '3', which is not a column of own.csv, expected the column of classes",
    ),
    (
        FILE + 'path = "own.csv"\nlabel = "a"\n' + MEASUREMENT,
        "own.csv has columns that are not numeric ('sort')",
    ),
    (
        '[[data]]\nlaw = "shipped"\nname = "iris"\nn = 9\n' + MEASUREMENT,
        "line 3, [[data]] 1: name is 'iris', expected",
    ),
    (
        '[[data]]\nlaw = "label-noise"\nbase = "xor"\n' + MEASUREMENT,
        "line 3, [[data]] 1: base is 'xor', expected a table",
    ),
    (
        '[[data]]\nlaw = "label-noise"\nbase = { law = "xr", n = 9, dim = 2 }\n' + MEASUREMENT,
        "line 3, [[data]] 1: law is 'xr', expected one of",
    ),
    (
        "[defaults]\nn = 3\n" + DATA + MEASUREMENT,
        "line 2, [defaults.n]: a table of defaults is 'n', expected one of data, measurement",
    ),
    ("[defaults.data]\nm = 3\n" + DATA + MEASUREMENT, "line 2, [defaults.data]: a key of data is 'm'"),
    (
        "[defaults.data]\nstd = 0\n" + DATA + MEASUREMENT,
        "line 2, [defaults.data]: std is 0, expected more than 0",
    ),
    ("defaults = 3\n" + DATA + MEASUREMENT, "line 1: defaults is 3, expected tables"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[message[:50] for _, message in BAD])
@pytest.mark.parametrize("dry", [False, True])
def test_bad_sweeps_are_refused(monkeypatch, capsys, here, text, message, dry):
    (here / "own.csv").write_text("a,sort\n1,x\n2,y\n3,x\n5,y\n", encoding="utf-8")
    (here / "own.xlsx").write_text("")
    (here / "sweep.toml").write_text(text, encoding="utf-8")
    before = written(here)
    said = refuse(monkeypatch, capsys, "run", "sweep.toml", *["--dry"] * dry)
    assert message in said
    assert said.startswith("kernel-collapse: sweep.toml")
    assert "pydantic" not in said
    assert written(here) == before
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.toml"], "'nowhere.toml' does not exist, expected a sweep in TOML"),
        (["run", "."], "'.' is a folder, expected a sweep in TOML"),
        (["run", "binary.toml"], "binary.toml is not text"),
        (["run", "good.toml", "--workers", "0"], "--workers is 0, expected a whole number"),
        (["run", "good.toml", "--out", "thesis"], "holds other files (thesis.tex)"),
        (["run", "good.toml", "--out", "thesis", "--dry"], "holds other files (thesis.tex)"),
        (["run", "good.toml", "--out", "good.toml", "--dry"], "'good.toml' is a file, expected a folder"),
        (["run", "good.toml", "--out", "good.toml"], "cannot be written"),
        (["run", "good.toml", "--out", "other"], "holds another run (sweep 'another', here 'good')"),
        (["run", "good.toml", "--out", "other", "--dry"], "holds another run (sweep 'another', here 'good')"),
        (["run", "good.toml", "--out", "paper"], "holds another run (it has no sweep)"),
        (["reproduce", "real-data", "--out", "other"], "holds another run (it has no experiments)"),
        (["init", "good.toml"], "'good.toml' is there already, expected a new file"),
        (
            ["init", "sweep.txt"],
            "'sweep.txt' does not end in .toml, expected the name of a sweep: try sweep.toml",
        ),
        (["init", "deep/er/sweep.toml"], "'deep/er/sweep.toml' cannot be written"),
        (["results", "nowhere"], "'nowhere' holds no results.sqlite"),
        (
            ["results", "other", "--to", "all.xlsx"],
            "the ending of 'all.xlsx' is '.xlsx', expected one of .csv",
        ),
        (["results", "other", "--to", "good.toml/all.csv"], "cannot be written"),
        (["report", "other"], "the run in 'other' has no finished trial"),
    ],
)
def test_commands_on_sweeps_refuse_bad_input(monkeypatch, capsys, here, arguments, message):
    (here / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (here / "good.toml").write_text(SWEEP, encoding="utf-8")
    (here / "thesis").mkdir()
    (here / "thesis" / "thesis.tex").write_text("")
    (here / "another.toml").write_text(SWEEP, encoding="utf-8")
    sweep, _ = kc_read("another.toml")
    with Store("other", {"sweep": "another", "version": kc.__version__}) as store:
        store.note({"specification": sweep.model_dump(mode="json"), "environment": {}})
    Store("paper", {"experiments": ["real-data"], "preset": "quick", "version": kc.__version__}).close()
    before = written(here)
    assert message in refuse(monkeypatch, capsys, *arguments)
    assert written(here) == before


def kc_read(path):
    from kernel_collapse.runs import sweep_file

    return sweep_file.read(path)


def test_every_column_is_described(quick_run, quick_rows_frame):
    known = kc.describe_columns()
    for law in laws.SPECIFICATIONS.values():
        for key in set(law.model_fields) - {"n", "dim", "class_sizes", "path", "content", "base"}:
            assert known.loc[f"data_{key}", "meaning"], key
    for what in measurements.SPECIFICATIONS.values():
        for key in set(what.model_fields) - {"base"}:
            assert known.loc[tidy._RENAMED.get(key, key), "meaning"], key
    frame = kc.results(quick_run)
    for name in frame:
        assert frame.attrs["columns"][name]["meaning"]
    left_out = {name for name in measurements.SPECIFICATIONS if "-myrtle-" in name} | {"conv-network"}
    assert set(frame["kernel"]) == set(measurements.SPECIFICATIONS) - left_out
    pd.testing.assert_series_equal(frame["nc1_paper"], quick_rows_frame["nc1_paper"])  # NaN is NaN


def test_results_in_files(here, say):
    text = """seeds = 2
    [[data]]
    law = "label-noise"
    base = { law = "gaussian", n = 20, dim = 2, covariance = { values = ["isotropic", 2.0, [[1, 0], [0, 2]]] } }
    [[data]]
    law = "xor"
    n = 20
    dim = 2
    class_sizes = [5, 15]
    [[measurement]]
    kernel = "nngp"
    activation = ["erf", "relu"]
    """
    (here / "mine.toml").write_text(text, encoding="utf-8")
    assert say("run", "mine.toml", "--workers", 1)[0] == 0
    frame = kc.results("runs/mine")
    for name in ("rows.csv", "deep/rows.parquet", "rows.csv"):  # written over
        assert say("results", "runs/mine", "--to", name)[0] == 0
    tables = pd.read_csv("rows.csv"), pd.read_parquet("deep/rows.parquet")
    assert tables[1].attrs["columns"] == frame.attrs["columns"]
    for table in tables:
        assert table.columns.tolist() == frame.columns.tolist()
        assert table["nc1_paper"].tolist() == frame["nc1_paper"].tolist()
        assert json.loads(table["class_sizes"].dropna().iloc[0]) == [5, 15]
        assert set(table["data_base_covariance"].dropna()) == {"isotropic", "2.0", "[[1.0, 0.0], [0.0, 2.0]]"}
    code, out, _ = say("results", "runs/mine")
    assert code == 0
    assert "data_base_covariance" in out
    assert not list(here.rglob("*.part"))


def overview_of(folder, text):
    """Rows, figure and table of a sweep of constant trials: what is looked at is what is drawn, not computed."""
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    sweep, _ = kc_read(folder / "mine.toml")
    run = {"sweep": "mine", "version": kc.__version__}
    with Store(folder / "run", run, {"environment": {}}) as store:
        store.note({"specification": sweep.model_dump(mode="json")})
        for trial in sweep.trials():
            value = trial.data.n / trial.data.dim + trial.seed
            store.add(trial, status="ok", results={"nc1_paper": value}, seconds=0.0)
    rows = kc.results(folder / "run")
    return rows, overview.figure(rows), overview.table(rows).frame


def test_the_figure_chooses_what_was_swept(tmp_path):
    rows, figure, table = overview_of(tmp_path, SWEEP.replace("[2, 3]", "[1, 2, 4]"))
    assert overview.swept(rows) == {"dim": 3, "kernel": 1, "activation": 2}
    (axes,) = figure.figure.axes
    assert axes.get_xlabel() == "dim"
    assert axes.get_title() == "gaussian"
    assert [text.get_text() for text in figure.figure.legends[0].get_texts()] == [
        "erf NNGP",
        "ReLU NNGP",
        "erf NTK",
        "ReLU NTK",
        "data",
    ]
    assert axes.lines[0].get_xdata().tolist() == [1, 2, 4]
    assert axes.lines[0].get_ydata().tolist() == [20.5, 10.5, 5.5]  # means over seeds 0 and 1
    assert table.columns.tolist() == [
        "data",
        "dim",
        "kernel",
        "activation",
        "NC1",
        "standard deviation",
        "seeds",
    ]
    assert len(table) == 15
    assert table["NC1"].tolist() == [20.5] * 5 + [10.5] * 5 + [5.5] * 5
    assert table["standard deviation"].tolist() == pytest.approx([0.5**0.5] * 15)


@pytest.mark.parametrize(
    ("change", "panels", "label"),
    [
        ({"dim = [2, 3]": "dim = 2"}, ["gaussian"], "NC1"),  # no number: a dot each
        ({"dim = [2, 3]": "dim = 2", "seeds = 2": "seeds = 1"}, ["gaussian"], "NC1"),
        ({'"gaussian"': '["gaussian", "ball"]'}, ["gaussian", "ball"], "dim"),
        ({"n = 20": "n = 20\nseparation = [1, 2, 3]"}, ["gaussian, dim 2", "gaussian, dim 3"], "separation"),
        (
            {'"data"\n': '"adaptive"\nwidth = { from = 1, to = 5, steps = 5 }\n'},
            ["gaussian, dim 2", "gaussian, dim 3"],
            "width",
        ),
        (
            {'"relu"]': '"relu"]\ndepth = { from = 1, to = 9 }'},
            ["gaussian, dim 2", "gaussian, dim 3"],
            "depth",
        ),
    ],
)
def test_figures_of_other_sweeps(tmp_path, change, panels, label):
    text = SWEEP
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    _, figure, _ = overview_of(tmp_path, text)
    drawn = [axes for axes in figure.figure.axes if axes.axison]
    assert [axes.get_title() for axes in drawn] == panels
    assert {axes.get_xlabel() for axes in drawn} == {label}
    assert report.build(tmp_path / "run").path.is_file()


def test_a_figure_of_very_much_holds_what_it_must(tmp_path, monkeypatch):
    monkeypatch.setattr(overview, "MOST_ROWS", 100)
    text = SWEEP.replace("n = 20", "n = 20\nseparation = { from = 1, to = 11, steps = 11 }")
    text = text.replace("[2, 3]", "{ from = 2, to = 11 }").replace('"relu"]', '"relu"]\ndepth = [1, 2, 3]')
    rows, figure, table = overview_of(tmp_path, text.replace("seeds = 2", "seeds = 1"))
    drawn = [axes for axes in figure.figure.axes if axes.axison]
    assert [axes.get_title() for axes in drawn] == ["gaussian, dim 2"]
    assert "; depth = 1; dim = 2. Not every line or panel is drawn" in figure.caption
    assert len(drawn[0].lines) == 5
    assert len(table) == 100 < len(rows)
