import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from sklearn.datasets import load_wine

import kernel_collapse as kc
from conftest import ROOT, refuse, run_cli
from kernel_collapse import cli, measure, report
from kernel_collapse.cli import trials
from kernel_collapse_paper import experiments


@pytest.fixture(scope="module")
def wine(tmp_path_factory):
    """A real table: the path of scikit-learn's wine data in CSV, with names as labels."""
    data = load_wine(as_frame=True)
    table = data.data.assign(cultivar=data.target_names[data.target])
    path = tmp_path_factory.mktemp("tables") / "wine.csv"
    table.to_csv(path, index=False)
    return path


def planned(preset, names):
    return len({t.key for name in names for t in experiments.REGISTRY[name].trials(preset)})


@pytest.mark.parametrize(
    "command", [[], ["reproduce"], ["measure"], ["report"], ["init"], ["run"], ["results"]]
)
def test_help_shows_an_example(command):
    done = run_cli(*command, "--help")
    assert done.returncode == 0
    assert "Example: kernel-collapse" in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


@pytest.mark.parametrize("command", ["reproduce", "measure", "report", "init", "run", "results"])
def test_help_shows_what_to_type(command):
    """No type of Python, nothing after a flag, arguments as they are typed, and paragraphs that are whole."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", run_cli(command, "-h", env={"COLUMNS": "100", "PATH": ""}).stdout)
    assert not re.search(r"[<{]|list\[|\[\[", text)
    (usage,) = re.findall(r"Usage: kernel-collapse (.*?) *\n", text)
    assert re.fullmatch(
        rf"{command} \[OPTIONS\] (\[FILE\]|\[NAME \.\.\.\]|DIR|DIR \[DIR\]|SWEEP\.toml)", usage
    )
    for option, shown in re.findall(r"--([a-z-]+)  +(?:-h +)?(?:--no-header +)?(\S*)", text):
        flags = {"dry", "retry-failed", "list", "standardize", "header", "no-header", "help"}
        assert bool(re.match(r"(N|NUMBER|NAME|DIR|SHARE|SECONDS|FILE|tcp:)", shown)) != (option in flags), (
            option
        )
    _, *others = [one.split("\n") for one in re.split(r"\n *\n", text.partition("╭")[0])]
    for paragraph in others:
        for line, following in itertools.pairwise(paragraph):
            assert len(f"{line.rstrip()} {following.split()[0]}") > 99, line


def test_commands_that_are_printed_can_be_pasted(monkeypatch, capsys, tmp_path):
    """A path with a space or a sign of the shell is quoted."""
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kernel-collapse", "init", "a b/$s.toml"])
    with pytest.raises(SystemExit):
        cli.main()
    command = capsys.readouterr().out.split("then: ")[1]
    assert shlex.split(command) == ["kernel-collapse", "run", "a b/$s.toml", "--dry"]
    with pytest.raises(typer.Exit):
        _report_that_fails(monkeypatch, "a b")
    (command,) = re.findall("`(.*)`", capsys.readouterr().err)
    assert shlex.split(command)[:3] == ["kernel-collapse", "report", "a b"]


def _report_that_fails(monkeypatch, folder):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "build", fails)
    trials.write_report(Path(folder))


def test_version():
    assert run_cli("--version").stdout == f"kernel-collapse {kc.__version__}\n"


def test_import_and_help_load_nothing_heavy():
    heavy = "{'pandas', 'scipy', 'matplotlib', 'plotly', 'pydantic', 'pyarrow', 'sklearn', 'jax'}"
    for module in ("kernel_collapse", "kernel_collapse.cli"):
        code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


def test_list_names_every_experiment():
    done = run_cli("reproduce", "--list")
    assert done.returncode == 0
    for name in experiments.REGISTRY:
        assert name in done.stdout
    assert "quick: 600 trials" in done.stdout
    assert "paper: 2400 trials" in done.stdout


def test_running_again_reuses_every_row(tmp_path):
    names = ("adaptive-width", "adaptive-path")
    for run, found in ((planned("quick", names), 0), (0, planned("quick", names))):
        done = run_cli("reproduce", *names, "--out", tmp_path / "run")
        assert done.returncode == 0, done.stderr
        assert f"{run} trials run, {found} found" in done.stdout
        assert "holds" in done.stdout


def test_measure_a_real_table_as_a_newcomer(wine):
    done = run_cli("measure", wine, "--label", "cultivar", env={"COLUMNS": "100", "PATH": ""})
    assert done.returncode == 0, done.stderr
    assert "wine: 178 samples, 13 features, 3 classes (class_0: 59, class_1: 71, class_2: 48)" in done.stdout
    assert "'proline', dominates every kernel. Try --standardize." in " ".join(done.stdout.split())
    data = kc.data.load(wine, label="cultivar")
    for activation in ("erf", "relu"):
        for kernel in (kc.nngp, kc.ntk):
            ratio = kc.nc1(kernel(data.x, activation=activation), data.labels).ratio
            assert f"{ratio:.4g}" in done.stdout


def test_measure_with_every_option(wine, tmp_path):
    page = tmp_path / "deep" / "wine.html"
    options = "--standardize --depth 3 --kernel ntk --activation relu --weighting class --weight-variance 2"
    options += " --bias-variance 0.1"
    done = run_cli("measure", wine, "--label", "cultivar", *options.split(), "--report", page)
    assert done.returncode == 0, done.stderr
    data = kc.data.load(wine, label="cultivar")
    x = (data.x - data.x.mean(axis=0)) / data.x.std(axis=0)
    gram = kc.ntk(x, activation="relu", depth=3, weight_variance=2.0, bias_variance=0.1)
    ratio = f"{kc.nc1(gram, data.labels, weighting='class').ratio:.4g}"
    assert ratio in done.stdout
    assert "NNGP" not in done.stdout
    text = page.read_text(encoding="utf-8")
    assert ratio in text
    assert "13, standardized" in text
    assert (tmp_path / "deep" / "figures" / "wine-nc1-wine.png").is_file()


def test_measure_the_adaptive_kernel_of_a_real_table(wine):
    options = (
        "--standardize --kernel nngp --kernel adaptive --activation erf --width 100 --noise-variance 0.01"
    )
    done = run_cli("measure", wine, "--label", "cultivar", *options.split())
    assert done.returncode == 0, done.stderr
    data = kc.data.load(wine, label="cultivar")
    x = (data.x - data.x.mean(axis=0)) / data.x.std(axis=0)
    solution = kc.solve_adaptive(x, data.targets, width=100, noise_variance=0.01)  # three classes, one-hot
    assert solution.status.value == "converged"
    assert f"{kc.nc1(solution.gram, data.labels).ratio:.3g}"[:4] in done.stdout
    assert "adaptive" in done.stdout


def test_measure_a_deep_rfm_of_a_real_table_with_held_out_samples(wine):
    options = "--standardize --kernel deep-rfm --activation relu --depth 3 --ridge 0.01 --fitted gaussian --bandwidth 1"
    done = run_cli("measure", wine, "--label", "cultivar", *options.split(), "--holdout", 0.25)
    assert done.returncode == 0, done.stderr
    train, test = kc.data.split(kc.data.load(wine, label="cultivar"), 0.25, seed=0)
    x, x_test = (kc.data.standardize(part, like=train).x for part in (train, test))
    options = {"kernel": "gaussian", "bandwidth": 1.0, "ridge": 0.01, "depth": 3}
    machine = kc.deep_rfm(x, train.targets, labels=train.labels, **options)
    seen = machine.held_out(x_test, test.labels).layers[-1]
    assert (
        "ReLU deep RFM, depth 3" in " ".join(done.stdout.replace("│", " ").split())
        or "deep RFM" in done.stdout
    )
    assert f"{machine.layers[-1].nc1:.4g}" in done.stdout
    assert f"{seen.nc1:.4g}" in done.stdout


def test_measure_says_why_a_deep_rfm_has_no_number(wine):
    data = kc.data.standardize(kc.data.load(wine, label="cultivar"))
    table = measure.measure(
        data, measure.specify(["deep-rfm"], ["relu"], depth=2, fitted="gaussian", bandwidth=1e3)
    )
    assert table["NC1"].isna().tolist() == [False, True]
    assert table["reason"].iloc[1].startswith("deep RFM (")


def test_measure_says_what_a_solver_says_of_its_result():
    """Round-off of the last layer of a deep RFM, and that no layer of an adaptive kernel adapts."""
    data = kc.data.gaussian_classes(n=40, dim=3, seed=1)
    options = {"bandwidth": 4.0, "depth": 8}
    machine = kc.deep_rfm(data.x, data.targets, labels=data.labels, **options)
    assert machine.status.value == "resolved"
    assert machine.layers[-1].reason.startswith("round-off may be up to")
    row = measure.measure(data, measure.specify(["deep-rfm"], ["relu"], **options)).iloc[-1]
    assert machine.layers[-1].reason in row["reason"]
    options = {"width": 1e3, "readout_variance": 1e-9, "noise_variance": 1.0}
    solution = kc.solve_adaptive(data.x, data.targets, **options)
    assert "No layer adapts" in solution.remark
    row = measure.measure(data, measure.specify(["adaptive"], ["erf"], **options)).iloc[-1]
    assert solution.remark in row["reason"]


def test_measure_prints_every_metric_of_held_out_samples_too(wine, tmp_path):
    page = tmp_path / "wine.html"
    options = "--standardize --kernel ntk --activation erf --holdout 0.25 --seed 3"
    done = run_cli("measure", wine, "--label", "cultivar", *options.split(), "--report", page)
    assert done.returncode == 0, done.stderr
    train, test = kc.data.split(kc.data.load(wine, label="cultivar"), 0.25, seed=3)
    x, x_test = (kc.data.standardize(part, like=train).x for part in (train, test))
    gram, cross = kc.ntk(x), kc.ntk(x_test, x)
    found = kc.collapse(gram, train.labels, targets=train.targets)
    held_out = kc.held_out_collapse(
        gram, train.labels, cross, kc.ntk(x_test).diagonal(), test.labels, targets=train.targets
    )
    assert f"{held_out.nc1:.4g}" in done.stdout
    for values in (found, held_out):
        for name in ("nc1_pinv", "cdnv", "nc2_etf", "nc3", "nc3_cosine", "nc4", "ncm_accuracy", "accuracy"):
            assert f"{getattr(values, name):.3g}" in done.stdout, name
    assert "Method: dense" in done.stdout
    assert "CDNV" in page.read_text(encoding="utf-8")
    # The same split, in files.
    for name, part in (("train", train), ("test", test)):
        names = [train.classes[code] for code in part.labels]
        pd.DataFrame(part.x, columns=train.features).assign(cultivar=names).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    options = f"--label cultivar --standardize --kernel ntk --activation erf --test {tmp_path / 'test.csv'}"
    again = run_cli("measure", tmp_path / "train.csv", *options.split())
    assert f"{held_out.nc1:.4g}" in again.stdout


@pytest.mark.parametrize("method", ["streamed", "sampled"])
def test_measure_without_the_gram_matrix(wine, method):
    options = f"--label cultivar --standardize --activation erf --method {method}"
    done = run_cli("measure", wine, *options.split())
    assert done.returncode == 0, done.stderr
    data = kc.data.standardize(kc.data.load(wine, label="cultivar"))
    assert (
        f"{kc.nc1(kc.ntk(data.x), data.labels).ratio:.4g}" in done.stdout
    )  # few enough pairs to take them all
    assert f"Method: {method} (asked for)" in done.stdout
    assert ("CDNV" in done.stdout) == (method == "streamed")
    assert "accuracy" not in done.stdout.replace("NCM accuracy", "")
    assert ("95 % interval" in done.stdout) == (method == "sampled")


@pytest.mark.parametrize("method", ["dense", "streamed", "sampled"])
def test_each_row_has_its_own_reason(method, rng):
    """Means that coincide, under the data and every kernel, by whatever method: no NaN without a reason."""
    x = np.repeat(rng.normal(size=(20, 3)), 2, axis=0)
    data = kc.data.from_arrays(x, np.arange(40) % 2)
    what = [*measure.specify(["nngp"], ["erf"]), kc.kernels.Linear()]
    table = measure.measure(data, what, method=method)
    assert len(table) == 3
    assert table["NC1"].isna().all()
    assert table["reason"].str.len().gt(0).all()
    if method == "dense":
        return
    for row, what_ in zip(table.to_dict("records"), what, strict=True):
        if isinstance(what_, kc.kernels.Kernel):
            road = {"streamed": kc.streamed_collapse, "sampled": kc.sampled_nc1}[method]
            assert row["reason"] == road(data.x, data.labels, kernel=what_).reason


def test_held_out_rows_have_the_reasons_of_held_out_samples():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    train = kc.data.from_arrays(rng.normal(size=(40, 3)) + labels[:, None], labels)
    test = kc.data.from_arrays(np.zeros((4, 3)), [0, 1, 0, 1])
    table = measure.measure(train, [kc.kernels.Linear()], test=test, method="dense").set_index("samples")
    targets = train.targets
    found = kc.collapse(kc.kernels.Linear()(train.x), labels, targets=targets)
    held_out = kc.held_out_collapse(
        kc.kernels.Linear()(train.x),
        labels,
        kc.kernels.Linear()(test.x, train.x),
        kc.kernels.Linear().diagonal(test.x),
        test.labels,
        targets=targets,
    )
    assert table.loc["training", "reason"] == found.reason
    assert table.loc["held-out", "reason"] == held_out.reason != found.reason


def test_the_method_is_chosen_by_size():
    measurements = measure.specify(["nngp"], ["erf"])
    assert [measure.choose_method(n, measurements)[0] for n in (8192, 8193, 65_536, 65_537, 10**9)] == [
        "dense",
        "streamed",
        "streamed",
        "sampled",
        "sampled",
    ]
    with pytest.raises(ValueError, match="the Gram matrix of 1000000 samples takes 8000 GB"):
        measure.choose_method(10**6, measurements, held_out=True)
    with pytest.raises(ValueError, match="method is 'sampled' for the adaptive kernel, expected 'dense'"):
        measure.choose_method(100, measure.specify(["adaptive"], ["erf"]), "sampled")
    with pytest.raises(ValueError, match="method is 'streamed' for the deep RFM, expected 'dense'"):
        measure.choose_method(100, measure.specify(["deep-rfm"], ["erf"]), "streamed")
    with pytest.raises(
        ValueError, match="the deep RFM is asked for with weight_variance 1 and bias_variance 0.5"
    ):
        measure.specify(["deep-rfm"], ["erf"], bias_variance=0.5)


def test_measure_says_why_there_is_no_number(tmp_path):
    pd.DataFrame({"a": [1.0, 1.0, 1.0, 1.0], "label": [0, 0, 1, 1]}).to_csv(
        tmp_path / "flat.csv", index=False
    )
    done = run_cli("measure", tmp_path / "flat.csv", "--report", tmp_path / "flat.html")
    assert done.returncode == 0, done.stderr
    assert "nan" in done.stdout
    assert "the class means coincide" in done.stdout
    pd.DataFrame({"a": [1.0, 2.0, 4.0], "label": [0.1, 0.2, 0.3]}).to_csv(tmp_path / "each.csv", index=False)
    done = run_cli("measure", tmp_path / "each.csv")
    assert "Every class has one sample" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "species"], "label is 'species', which is not a column of wine.csv"),
        (["--label", "cultivar", "--depth", "0"], "depth is 0, expected a whole number that is at least 1"),
        (["--label", "cultivar", "--activation", "rleu"], "did you mean 'relu'"),
        (["--label", "cultivar", "--holdout", "1.5"], "holdout is 1.5, expected a fraction"),
        (["--label", "cultivar", "--holdout", "0.2", "--test", "wine.csv"], "expected one: held-out samples"),
        (["--label", "cultivar", "--test", "nowhere.csv"], "'nowhere.csv' does not exist"),
        (["--label", "cultivar", "--holdout", "0.2", "--method", "sampled"], "expected 'dense'"),
        (["--label", "cultivar", "--method", "streaming"], "the method is 'streaming'"),
        (
            ["--label", "cultivar", "--kernel", "nkt"],
            "kernel is 'nkt', expected one of nngp, ntk, adaptive, deep-rfm, conv-nngp, conv-ntk, conv-nngp-gap, "
            "conv-ntk-gap, conv-nngp-myrtle-5, conv-nngp-myrtle-7, conv-nngp-myrtle-10, conv-ntk-myrtle-5, "
            "conv-ntk-myrtle-7, conv-ntk-myrtle-10: did you mean 'ntk'",
        ),
        (["--label", "cultivar", "--weighting", "papers"], "did you mean 'paper'"),
        (["--label", "cultivar", "--weight-variance", "-1"], "weight_variance is -1.0"),
        (["--label", "cultivar", "--bias-variance", "nan"], "bias_variance is nan"),
        (
            ["--label", "cultivar", "--report", "page.pdf"],
            "--report is 'page.pdf', expected the name of a page",
        ),
    ],
)
def test_measure_refuses_bad_input(monkeypatch, capsys, wine, options, message):
    assert message in refuse(monkeypatch, capsys, "measure", wine, *options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["measure", "nowhere.csv"], "'nowhere.csv' does not exist"),
        (
            ["reproduce", "limiting-kernel"],
            "the experiment is 'limiting-kernel', expected one of limiting-kernels",
        ),
        (["reproduce", "--workers", "0"], "--workers is 0, expected a whole number that is at least 1"),
        (["reproduce", "--preset", "papre"], "did you mean 'paper'"),
        (["report", "nowhere"], "'nowhere' holds no results.sqlite"),
    ],
)
def test_commands_refuse_bad_input(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refuse(monkeypatch, capsys, *arguments)
    assert list(tmp_path.iterdir()) == []  # before any work


def test_a_folder_of_another_run_is_refused(monkeypatch, capsys, quick_run, tmp_path):
    message = refuse(monkeypatch, capsys, "reproduce", "--preset", "paper", "--out", quick_run)
    assert "holds another run (preset 'quick', here 'paper')" in message
    message = refuse(monkeypatch, capsys, "reproduce", "limiting-kernels-balanced", "--out", quick_run)
    assert "holds another run" in message
    (tmp_path / "thesis.tex").write_text("")
    assert "holds other files (thesis.tex)" in refuse(monkeypatch, capsys, "reproduce", "--out", tmp_path)
    assert "cannot be written" in refuse(
        monkeypatch, capsys, "reproduce", "--out", tmp_path / "thesis.tex" / "run"
    )


def test_text_where_a_number_belongs_is_a_usage_error(wine):
    done = run_cli("measure", wine, "--label", "cultivar", "--depth", "1.5")
    assert done.returncode == 2
    assert "--depth" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_examples_run(example, tmp_path):
    done = subprocess.run(
        [sys.executable, str(example)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "NC1" in done.stdout
