import json
import math
import multiprocessing
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from conftest import run_cli
from kernel_collapse.runs import sweep
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1
from kernel_collapse.runs.run import Run
from kernel_collapse.runs.store import FILE, Store
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import REGISTRY
from tables import count, rows

GRID = [
    Trial(
        data=GaussianClasses(n=n, dim=dim),
        measurement=KernelNC1(kernel="ntk", activation=activation),
        seed=seed,
    )
    for n in (50, 301)
    for dim in (1, 7)
    for activation in ("erf", "relu")
    for seed in range(3)
]
GRID += [Trial(data=GaussianClasses(n=50, dim=4), measurement=AdaptiveNC1(), seed=seed) for seed in range(3)]
#: Legal, and fails: its kernel passes the largest float64.
FAILING = Trial(
    data=GaussianClasses(n=4, dim=1, class_means=(-1e200, 1e200)),
    measurement=KernelNC1(kernel="nngp", activation="relu"),
    seed=0,
)


def run(folder, trials, **options):
    with Store(folder, {"name": "test"}) as store:
        return sweep.run(trials, store, **options)


def test_same_bits_whatever_the_workers(tmp_path):
    for workers in (1, 2, 3):
        assert run(tmp_path / str(workers), GRID, workers=workers) == (0, len(GRID), 0)
    with ThreadPoolExecutor(2) as threads:
        assert run(tmp_path / "threads", GRID, executor=threads) == (0, len(GRID), 0)
    expected = rows(tmp_path / "1")
    assert len(expected) == len(GRID)
    for other in ("2", "3", "threads"):
        assert rows(tmp_path / other) == expected


def test_only_what_is_missing_runs(tmp_path):
    assert run(tmp_path, GRID[:5] + GRID[:2]) == (0, 5, 0)
    seen = []
    counts = run(tmp_path, GRID[:8], report=lambda trial, outcome: seen.append(trial.key))
    assert counts == (5, 3, 0)
    assert sorted(seen) == sorted(trial.key for trial in GRID[5:8])
    assert run(tmp_path, GRID[:8]) == (8, 0, 0)


def test_the_row_is_there_before_the_report(tmp_path):
    def check(trial, outcome):
        with closing(sqlite3.connect(tmp_path / FILE)) as other:  # what another process would see
            found = other.execute("SELECT status FROM trials WHERE key = ?", (trial.key,)).fetchall()
        assert found == [("ok",)]

    run(tmp_path, GRID[:4], report=check)


def test_longest_first(tmp_path):
    with Store(tmp_path, {"name": "test"}) as store:
        todo = sweep.missing(GRID, store)
    costs = [trial.cost for trial in todo]
    assert costs == sorted(costs, reverse=True)
    sizes = [trial.data.n for trial in todo if trial.measurement.kernel == "ntk"]
    assert sizes == sorted(sizes, reverse=True)


def test_what_is_compiled_once_comes_before_all_that_uses_it(tmp_path):
    grid = [*REGISTRY["finite-width-ntk"].trials("quick"), *GRID]
    with Store(tmp_path, {"name": "test"}) as store:
        todo = sweep.missing(grid, store)
    assert sorted(trial.key for trial in todo) == sorted({trial.key for trial in grid})
    programs = set().union(*(trial.programs for trial in todo))
    first = next(i for i in range(len(todo)) if programs <= set().union(*(t.programs for t in todo[: i + 1])))
    assert 3 < first < 20
    for part in (todo[: first + 1], todo[first + 1 :]):
        costs = [trial.cost for trial in part]
        assert costs == sorted(costs, reverse=True)


def test_processes_share_what_is_compiled(tmp_path, monkeypatch):
    """The bits of a trial do not tell who compiled; the folder of programs goes with the run, if there is one."""
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    small = {"kernel": "network", "width": 8, "epochs": 3}
    grid = [Trial(data=GaussianClasses(n=12, dim=3), measurement=small, seed=seed) for seed in range(4)]
    with sweep._folder_of_programs(GRID) as folder:
        assert folder == ""
    with sweep._folder_of_programs(grid) as folder:
        shared = Path(folder)
        assert shared.is_dir()
    assert not shared.exists()
    shared.mkdir()
    monkeypatch.setattr(sweep, "TemporaryDirectory", lambda **_: nullcontext(str(shared)))
    assert run(tmp_path / "first", grid[:2], workers=1) == (0, 2, 0)
    compiled = {path.name for path in shared.iterdir()}
    assert compiled
    assert run(tmp_path / "both", grid, workers=2) == (0, 4, 0)
    assert {path.name for path in shared.iterdir()} >= compiled
    for row, trial in zip(rows(tmp_path / "both"), sorted(grid, key=lambda trial: trial.key), strict=True):
        assert json.loads(row[4]) == sweep.attempt(trial).results


def test_a_failed_trial_is_a_row(tmp_path):
    assert run(tmp_path, [FAILING, *GRID[:2]]) == (0, 2, 1)
    with Store(tmp_path, {"name": "test"}) as store:
        frame = Run(tmp_path).frame()
        failed = frame[frame["status"] == "failed"]
        assert failed["key"].tolist() == [FAILING.key]
        assert "the kernel is not finite" in failed["message"].item()
        assert failed["nc1_paper"].isna().all()
        assert store.failures([FAILING.key]) == [(FAILING.key, failed["message"].item())]
        assert sweep.run([FAILING], store) == (1, 0, 0)  # it stays failed
        assert store.forget_failed() == 1
        assert sweep.run([FAILING], store) == (0, 0, 1)  # unless it is asked for again


def test_a_dead_worker_loses_nothing(tmp_path):
    killed = []

    def kill_a_worker(trial, outcome):
        if not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    assert run(tmp_path / "a", GRID, workers=2, report=kill_a_worker) == (0, len(GRID), 0)
    assert killed
    run(tmp_path / "b", GRID)
    assert rows(tmp_path / "a") == rows(tmp_path / "b")


class Breaking(ThreadPoolExecutor):
    """An executor of a user's whose workers raise errors of their own."""

    def submit(self, function, trial):
        def attempt():
            if trial.seed == 1:
                raise ConnectionError("node lost")
            return function(trial)

        return super().submit(attempt)


def test_errors_of_an_executor_are_rows(tmp_path):
    with Breaking(2) as executor:
        counts = run(tmp_path, GRID, executor=executor)
    assert counts == (0, len(GRID) - len(GRID) // 3, len(GRID) // 3)
    assert {message for _, _, status, message, _ in rows(tmp_path) if status == "failed"} == {
        "ConnectionError: node lost"
    }


def test_sigkill_three_times_then_resume(tmp_path, smoke_run):
    """A run killed at random moments goes on where it was: the rows of an undisturbed run, none twice."""
    moments = random.Random(20241124)
    folder = tmp_path / "killed"
    program = str(Path(sys.executable).with_name("kernel-collapse"))
    name = "limiting-kernels-balanced"
    command = [program, "reproduce", name, "--out", str(folder), "--workers", "2"]
    keys = {trial.key for trial in REGISTRY[name].trials("quick")}
    kept = []
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = count(folder)
        while process.poll() is None and count(folder) <= before:  # it has begun to work
            time.sleep(0.02)
        time.sleep(moments.uniform(0.05, 0.8))
        workers = children(process.pid)
        assert process.poll() is None, "it finished before it could be killed"
        process.kill()
        process.wait()
        kept.append(len(rows(folder)))
        assert gone(workers), "a worker outlived its parent"
    undisturbed = [row for row in rows(smoke_run) if row[0] in keys]
    total = len(undisturbed)
    assert 0 < kept[0] < kept[1] < kept[2] < total, kept
    done = run_cli(*command[1:])
    assert done.returncode == 0, done.stderr
    assert re.findall(r"(\d+) trials run, (\d+) found", done.stdout) == [(str(total - kept[2]), str(kept[2]))]
    assert rows(folder) == undisturbed


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pids, seconds=4 * 3600):  # against hanging alone
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path):
    """The long trials, which are first, are given up at once."""
    folder = tmp_path / "stopped"
    program = str(Path(sys.executable).with_name("kernel-collapse"))
    names = ["limiting-kernels-balanced", "training-path"]
    # A test run in the background may have been started with Ctrl-C ignored, and would hand that on.
    hearing = (
        "import os, signal as s, sys; s.signal(s.SIGINT, s.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [program, "reproduce", *names, "--out", str(folder), "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", hearing, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and count(folder) < 2:
        time.sleep(0.02)
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=4 * 3600)
    assert process.returncode == 130
    assert gone(workers)
    assert f"trials are kept in {folder}; the same command goes on from there." in errors
    assert "Traceback" not in errors
    assert 2 <= count(folder) < len({t.key for name in names for t in REGISTRY[name].trials("quick")})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: (f / "notes.txt").write_text("mine"), r"holds other files \(notes.txt\)"),
        (lambda f: Store(f, {"name": "other"}).close(), "holds another run .name 'other', here 'test'"),
        (
            lambda f: (f / "results.sqlite").write_text("no database"),
            "cannot be used .*file is not a database",
        ),
    ],
)
def test_a_folder_that_holds_something_else_is_refused(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(ValueError, match=message):
        Store(tmp_path, {"name": "test"})


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        Store(tmp_path / "file" / "run", {"name": "test"})
    with pytest.raises(ValueError, match=r"holds no results.sqlite"):
        Store(tmp_path)


def test_the_limit_of_threads_outlives_the_first_to_leave():
    from threadpoolctl import threadpool_info

    from kernel_collapse._linalg import one_blas_thread

    def threads():
        return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}

    first, second = one_blas_thread(), one_blas_thread()
    before = threads()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert threads() == {1}
    second.__exit__(None, None, None)
    assert threads() == before


# -- executors of the user's


@pytest.mark.parametrize("executor", [4, "threads", ThreadPoolExecutor, object()])
def test_what_is_no_executor_is_refused(tmp_path, executor):
    with pytest.raises(
        ValueError, match="executor is of type .*, expected a concurrent.futures.Executor: of a dask"
    ):
        run(tmp_path, GRID, executor=executor)


class Deaf(Executor):
    """An executor that takes some trials, never runs them, and is shut down as another thread would do it."""

    def __init__(self, takes):
        self.takes, self.taken = takes, []

    def submit(self, function, /, *args, **kwargs):
        if len(self.taken) == self.takes:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.taken.append(Future())
        if len(self.taken) == self.takes:
            for future in self.taken:
                future.cancel()
        return self.taken[-1]


@pytest.mark.parametrize("takes", [0, 1, 3])
def test_an_executor_that_is_shut_down_ends_the_run(tmp_path, takes):
    """Cancelled futures are never done, and a pool that was shut down takes none: the run ends and says so."""
    with pytest.raises(BrokenExecutor, match="executor"):
        run(tmp_path, GRID, executor=Deaf(takes))
    assert run(tmp_path, GRID[:2], workers=1) == (0, 2, 0)


# -- numbers that are missing or rough


def test_a_row_says_why_a_number_is_missing(tmp_path):
    """As `kc.nc1` says it, in the rows, on the page and in the terminal: NaN is no silent result."""
    resolved = GaussianClasses(n=20, dim=2)
    hidden = [
        KernelNC1(kernel="nngp", activation="relu", bias_variance=1e300),  # beside which nothing is seen
        KernelNC1(kernel="nngp", activation="relu", bias_variance=1e300, holdout=0.5),
    ]
    trials = [Trial(data=resolved, measurement=what, seed=0) for what in hidden]
    plain = Trial(data=resolved, measurement=KernelNC1(kernel="nngp", activation="relu"), seed=0)
    run(tmp_path, [*trials, plain])
    frame = Run(tmp_path).frame().set_index("key")
    for trial in trials:
        row = frame.loc[trial.key]
        assert row["status"] == "ok"
        assert math.isnan(row["nc1_paper"])
        assert "the class means coincide" in row["reason"]
    assert isinstance(frame.loc[plain.key, "reason"], float)  # there is none
    assert frame.attrs["columns"]["reason"]["meaning"]
    with Store(tmp_path) as store:
        assert store.unresolved(frame.index) == 2
        assert store.unresolved([plain.key]) == 0


def test_minus_zero_is_zero():
    one, other = (
        Trial(
            data=GaussianClasses(n=20, dim=1, class_means=(zero, 1.0)),
            seed=0,
            measurement=KernelNC1(kernel="nngp", activation="erf", bias_variance=zero),
        )
        for zero in (0.0, -0.0)
    )
    assert one.key == other.key
    assert math.copysign(1.0, other.measurement.bias_variance) == 1.0


@pytest.mark.parametrize("holdout", [1e-9, 0.999])
def test_a_share_that_leaves_nothing_is_refused_before_any_work(holdout):
    with pytest.raises(ValueError, match=r"holdout .* makes a test set of .* of 20 samples"):
        Trial(
            data=GaussianClasses(n=20, dim=2),
            measurement=KernelNC1(kernel="nngp", activation="relu", holdout=holdout),
            seed=0,
        )
