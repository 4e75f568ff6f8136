"""A user who has nothing but README and a table of their own, in one folder: each step goes on where the last ended."""

import re
import shlex
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from sklearn.datasets import load_wine

import kernel_collapse as kc
import pages
from conftest import ROOT, run_cli
from kernel_collapse.runs.run import Run
from tables import count

#: In place of the laws of the example: their table, and a measurement that takes longer than the others.
THEIRS = """[[data]]
law = "file"
path = "my_table.csv"
label = "species"
n = [60, 120]

[[measurement]]
kernel = "adaptive"
width = [50, 100]
noise_variance = 0.01

"""
TRIALS = 2 * 11 * 8  # parts, measurements, seeds


def readme(start):
    """The first command of README that begins so, as arguments."""
    lines = [command for command, _ in pages.commands(ROOT / "README.md")]
    return shlex.split(next(line for line in lines if line.startswith(f"kernel-collapse {start}")))[1:]


@pytest.fixture
def folder(tmp_path_factory):
    """A fresh folder with a table in it."""
    folder = tmp_path_factory.mktemp("newcomer")
    wine = load_wine(as_frame=True)
    table = wine.data.assign(species=wine.target_names[wine.target])
    table.to_csv(folder / "my_table.csv", index=False)
    return folder


def interrupt(folder, *arguments, after):
    """Run the program, press Ctrl-C when so many trials are finished, and give what it said."""
    hearing = "import signal as s; s.signal(s.SIGINT, s.default_int_handler); "
    code = hearing + "from kernel_collapse.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and count(folder / "runs" / "sweep") < after:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=4 * 3600)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    return errors


def stored(folder):
    """Time and NC1 of every finished trial, by its key."""
    return Run(folder / "runs" / "sweep").frame().set_index("key")[["seconds", "nc1_paper"]]


def measures_a_table(folder):
    done = run_cli(*readme("measure my_table.csv"), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "my_table: 178 samples, 13 features, 3 classes" in done.stdout
    data = kc.data.load(folder / "my_table.csv", label="species")
    assert f"{kc.nc1(kc.ntk(data.x, activation='relu'), data.labels).ratio:.4g}" in done.stdout
    assert {path.name for path in folder.iterdir()} == {"my_table.csv"}


def runs_a_sweep(folder):
    """init, edit, dry, run, Ctrl-C, run again, results, report."""
    done = run_cli(*readme("init"), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "kernel-collapse run sweep.toml --dry" in done.stdout
    sweep = folder / "sweep.toml"
    text = sweep.read_text(encoding="utf-8")
    assert run_cli(*readme("init"), cwd=folder).returncode == 2  # it is not overwritten
    assert sweep.read_text(encoding="utf-8") == text
    text = re.sub(r"\[\[data\]\].*?(?=# Your own)", THEIRS, text, count=1, flags=re.S)
    sweep.write_text(text.replace("seeds = 3 ", "seeds = 8 "), encoding="utf-8")

    done = run_cli(*readme("run sweep.toml --dry"), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"{TRIALS} trials, each once; 0 of them are in runs/sweep, {TRIALS} to run." in done.stdout
    assert not (folder / "runs").exists()

    run = readme("run sweep.toml --workers")
    stopped = interrupt(folder, *run, after=20)
    assert "trials are kept in runs/sweep; the same command goes on from there." in stopped
    kept = count(folder / "runs" / "sweep")
    assert 20 <= kept < TRIALS
    before = stored(folder)

    done = run_cli(*run, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"{TRIALS - kept} trials run, {kept} found in runs/sweep." in done.stdout
    assert "Report: runs/sweep/report.html" in done.stdout
    frame = kc.results(folder / "runs" / "sweep")
    assert len(frame) == TRIALS
    assert (frame["status"] == "ok").all()
    # Nothing was computed twice: the rows from before Ctrl-C are there as they were, with the seconds that they took.
    assert len(before) == kept
    pd.testing.assert_frame_equal(stored(folder).loc[before.index], before, check_exact=True)


def runs_it_without_interruption(folder):
    done = run_cli("run", "sweep.toml", "--workers", 1, "--out", "undisturbed", cwd=folder)
    assert done.returncode == 0, done.stderr
    frame = kc.results(folder / "runs" / "sweep")
    pd.testing.assert_frame_equal(
        frame.drop(columns="seconds"),
        kc.results(folder / "undisturbed").drop(columns="seconds"),
        check_exact=True,
    )
    # One number, by hand.
    row = frame.query("kernel == 'ntk' and activation == 'relu' and depth == 2 and n == 60 and seed == 5")
    table = kc.data.load(folder / "my_table.csv", label="species")
    part = kc.data.standardize(kc.data.subset(table, 60, seed=5))
    expected = kc.nc1(kc.ntk(part.x, activation="relu", depth=2), part.labels).ratio
    assert row["nc1_paper"].item() == pytest.approx(expected, rel=1e-12)


def reads_results_and_report(folder):
    frame = kc.results(folder / "runs" / "sweep")
    done = run_cli(*readme("results runs/sweep"), cwd=folder)
    assert done.stdout == f"Wrote {TRIALS} rows of {len(frame.columns)} columns to sweep.parquet.\n"
    assert pd.read_parquet(folder / "sweep.parquet")["nc1_paper"].tolist() == frame["nc1_paper"].tolist()
    path = folder / "runs" / "sweep" / "report.html"
    page = path.read_text(encoding="utf-8")
    assert "My first sweep" in page
    assert f"{TRIALS} finished, 0 failed" in page
    # Without JavaScript the picture beside the page stands in for the figure.
    needed = [target for target in pages.Needs(path).fetched if not target.startswith("data:")]
    assert needed == ["figures/nc1.svg"]
    figures = folder / "runs" / "sweep" / "figures"
    assert {p.name for p in figures.iterdir()} == {"nc1.pdf", "nc1.png", "nc1.svg"}


def test_from_a_table_to_a_report(folder):
    """One test, for its steps need one another wherever they run."""
    for step in (measures_a_table, runs_a_sweep, runs_it_without_interruption, reads_results_and_report):
        step(folder)
