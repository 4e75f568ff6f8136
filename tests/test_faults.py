"""What goes wrong in a run of days: no finished row is lost, none is there twice, and what to do is said."""

import contextlib
import multiprocessing
import os
import random
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import kernel_collapse as kc
from conftest import refuse
from faulty import Dies, Exits, Hogs, Naps, Sleeps, Spins, trials
from kernel_collapse import cli
from kernel_collapse.cli import _app, _progress
from kernel_collapse.cli import trials as of_trials
from kernel_collapse.runs import _database, _pool, sweep
from kernel_collapse.runs.store import FILE, Store, StoreError
from kernel_collapse.runs.sweep import Outcome, Stop
from kernel_collapse.runs.trials import Trial
from kernel_collapse_paper import experiments
from tables import count, rows, whole_rows

#: 60 trials of a millisecond.
SWEEP = """seeds = 10
[[data]]
law = "gaussian"
n = 20
dim = [2, 3]
[[measurement]]
kernel = ["nngp", "ntk"]
activation = "erf"
[[measurement]]
kernel = "data"
"""
#: Not done in less than it takes to import JAX.
SLOW = """seeds = 1
[data]
law = "gaussian"
n = 8
dim = 2
[measurement]
kernel = "empirical-nngp"
activation = "erf"
width = 4
"""
EMPIRICAL = {"kernel": "empirical-nngp", "activation": "erf", "width": 4}
RUN = {"sweep": "mine", "version": kc.__version__}


def run(folder, todo, **options):
    with Store(folder, {"name": "test"}) as store:
        return sweep.run(todo, store, **options)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that commands run in, with a sweep."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(SWEEP, encoding="utf-8")
    return tmp_path


@pytest.fixture
def say(monkeypatch, capsys):
    """Run the program in this process; give exit code and what it printed.

    Of its files, and of its children's, none grows beyond `room` bytes, as on a full disk.
    """

    def command(*arguments, room=resource.RLIM_INFINITY):
        monkeypatch.setattr(sys, "argv", ["kernel-collapse", *map(str, arguments)])
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            with pytest.raises(SystemExit) as stopped:
                cli.main()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return command


# -- two processes


def test_one_process_writes_others_read(here, say, monkeypatch, capsys):
    """It holds the store until it ends, be it by SIGKILL."""
    holds = (
        "import time; from kernel_collapse.runs.store import Store\n"
        f"with Store('runs/mine', {RUN!r}, {{'environment': {{}}}}):\n"
        " print('has it', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", holds], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "has it\n"
            refused = refuse(monkeypatch, capsys, "run", "mine.toml")
            assert f"the run in 'runs/mine' is being written by process {other.pid} on " in refused
            assert f" since {datetime.now().year}-" in refused
            assert rows("runs/mine") == []
            code, out, _ = say("run", "mine.toml", "--dry")
            assert (code, "0 of them are in runs/mine, 60 to run" in out) == (0, True)
            with Store("runs/mine") as reader:  # which may read, and not write
                assert reader.finished() == set()
                with pytest.raises(ValueError, match="is being written by process"):
                    sweep.run(trials(1), reader)
                with pytest.raises(ValueError, match="is being written by process"):
                    reader.note({"toml": ""})
        finally:
            other.kill()
    code, out, _ = say("run", "mine.toml", "--workers", 1)
    assert (code, "60 trials run, 0 found" in out) == (0, True)
    assert len(rows("runs/mine")) == 60


def test_one_writes_within_a_process_too(tmp_path):
    with Store(tmp_path, {"name": "test"}) as store:
        with pytest.raises(ValueError, match="expected one process at a time"):
            Store(tmp_path, {"name": "test"})
        assert sweep.run(trials(1), store) == (0, 1, 0)
        with Store(tmp_path) as reader:
            assert len(reader.finished()) == 1
    assert run(tmp_path, trials(1)) == (1, 0, 0)


def test_a_run_that_was_killed_before_it_had_a_file_goes_on(tmp_path):
    (tmp_path / _database.LOCK).touch()
    assert run(tmp_path, trials(1)) == (0, 1, 0)


def test_another_program_that_locks_the_file_is_waited_for(tmp_path, monkeypatch):
    def add(store, trial):
        store.add(trial, status="ok", results={}, seconds=0.0)

    monkeypatch.setattr(_database, "PATIENCE", 0.5)
    first, second = trials(2)
    with (
        Store(tmp_path, {"name": "test"}) as store,
        closing(sqlite3.connect(tmp_path / FILE, check_same_thread=False)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        leaves = threading.Timer(0.1, other.rollback)
        leaves.start()
        add(store, first)
        leaves.join()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="database is locked.*: end the program that keeps it locked"):
            add(store, second)
        other.rollback()
        add(store, second)
    assert len(rows(tmp_path)) == 2


# -- signals


def test_told_to_stop_those_running_finish_and_no_other_begins(tmp_path):
    stop = Stop(grace=60)

    def tell(trial, outcome):
        stop.request()

    counts = run(tmp_path, trials(8, Naps), workers=2, stop=stop, report=tell)
    assert counts.failed == 0
    assert (
        1 <= counts.done <= 3
    )  # the first, the one beside it, and one that began before the first was stored
    assert len(rows(tmp_path)) == counts.done
    assert run(tmp_path, trials(8, Naps), workers=2, stop=stop) == (counts.done, 0, 0)
    assert run(tmp_path, trials(8), workers=2) == (counts.done, 8 - counts.done, 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_outlasts_the_grace_is_given_up(tmp_path, workers):
    stop = Stop(grace=0.5)
    told = threading.Timer(1.0, stop.request)
    told.start()
    start = time.monotonic()
    assert run(tmp_path, trials(3, Spins), workers=workers, stop=stop) == (0, 0, 0)
    assert time.monotonic() - start < 20
    assert multiprocessing.active_children() == []
    assert rows(tmp_path) == []


def test_an_executor_is_told_to_stop_too(tmp_path):
    stop = Stop(grace=0.2)
    stop.request()
    with ThreadPoolExecutor(1) as threads:
        assert run(tmp_path, trials(3), executor=threads, stop=stop) == (0, 0, 0)


def test_sigterm_to_every_process_of_a_run(here, say):
    """As Slurm does it, and as `timeout` does, twice: the run ends soon, in order, and goes on later."""
    (here / "mine.toml").write_text(SWEEP.replace("seeds = 10", "seeds = 200"), encoding="utf-8")
    code = "from kernel_collapse.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "mine.toml", "--workers", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        while process.poll() is None and count("runs/mine") < 20:
            time.sleep(0.01)
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGTERM)
        process.terminate()
        process.terminate()
        out, errors = process.communicate(timeout=4 * 3600)
    assert process.returncode == 143, errors
    kept = rows("runs/mine")
    goes_on = "trials are kept in runs/mine; the same command goes on from there."
    assert f"Stopped: {len(kept)} of 1200 {goes_on}" in errors
    assert "Traceback" not in errors
    assert out == ""
    assert {status for _, _, status, _, _ in kept} == {"ok"}
    code, out, _ = say("run", "mine.toml", "--workers", 2)
    assert (code, f"{1200 - len(kept)} trials run, {len(kept)} found" in out) == (0, True)


def test_a_second_signal_ends_the_grace(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(of_trials, "SAME_SIGNAL", 0.3)
    before = signal.getsignal(signal.SIGTERM)

    def send():
        time.sleep(0.5)
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.5)
        signal.raise_signal(signal.SIGTERM)

    with Store(tmp_path, {"name": "test"}) as store:
        sender = threading.Thread(target=send)
        sender.start()
        begun = time.monotonic()
        with pytest.raises(_app.typer.Exit) as stopped:
            of_trials.run_to_the_end(trials(2, Sleeps), store, 1, of_trials.Limits(None, 600.0))
        sender.join()
    assert stopped.value.exit_code == 143
    assert time.monotonic() - begun < 30
    assert "Stopped: 0 of 2 trials are kept in" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


# -- a full disk


def test_a_full_disk_keeps_every_row(tmp_path):
    todo = trials(60)
    with Store(tmp_path, {"name": "test"}) as store:
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages + 3}")
        with pytest.raises(StoreError, match="cannot be written .database or disk is full.*free some space"):
            sweep.run(todo, store, workers=2)
        kept = store.finished()
        assert 0 < len(kept) < len(todo)
    assert len(rows(tmp_path)) == len(kept)
    assert run(tmp_path, todo, workers=2) == (len(kept), len(todo) - len(kept), 0)
    run(tmp_path / "undisturbed", todo)
    assert rows(tmp_path) == rows(tmp_path / "undisturbed")


def test_a_full_disk_from_the_command_line(here, say):
    code, _, err = say("run", "mine.toml", "--workers", 1, room=200_000)
    assert code == 1
    kept = rows("runs/mine")
    assert 0 < len(kept) < 60
    assert (
        f"Stopped: {len(kept)} of 60 trials are kept in runs/mine; 'runs/mine/results.sqlite' cannot be"
        in err
    )
    assert err.endswith("free some space or see to the disk, then the same command goes on from there.\n")
    code, out, _ = say("run", "mine.toml", "--workers", 1)
    assert (code, f"{60 - len(kept)} trials run, {len(kept)} found" in out) == (0, True)
    pages = {
        path: path.read_bytes()
        for path in here.rglob("*")
        if path.suffix in (".html", ".pdf", ".svg", ".png")
    }
    assert len(pages) == 4
    # No room for page and figures: the old ones stay, and so do the rows.
    for command in (["report", "runs/mine"], ["run", "mine.toml"]):
        code, _, err = say(*command, room=34_000)
        assert code == 1
        assert err.endswith(
            "The trials are kept in runs/mine, but not the report (File too large, free some space): "
            "`kernel-collapse report runs/mine` writes it.\n"
        )
        assert {path: path.read_bytes() for path in pages} == pages
        assert not list(here.rglob("*.part"))
    code, _, err = say("run", "mine.toml", room=1_000)  # not even what SQLite needs to open a file
    assert (code, err.count("\n")) == (1, 1)
    assert "free some space or see to the disk" in err
    assert len(rows("runs/mine")) == 60
    assert say("report", "runs/mine")[0] == 0


def test_a_full_disk_stops_any_command_in_order(here, say):
    pd.DataFrame({"a": range(40), "label": [0, 1] * 20}).to_csv("own.csv", index=False)
    code, _, err = say("measure", "own.csv", "--activation", "erf", "--report", "own.html", room=1_000)
    assert (code, err) == (
        1,
        "kernel-collapse: the disk is full or fails (File too large), expected room for a file: free some space.\n",
    )
    assert not list(here.rglob("*.part"))


# -- trials that take too long or too much


@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_beyond_its_time_is_a_row_and_hurts_no_other(tmp_path, workers):
    hang = [trials(1, Spins, n=20)[0], trials(1, Sleeps, n=21)[0]]
    others = trials(3, Naps) + trials(20, n=9)
    counts = run(tmp_path, [*hang, *others], workers=workers, trial_timeout=2)
    assert counts == (0, len(others), 2)
    late = {t.key for t in hang}
    by_status = {}
    for key, _, status, message, _, seconds, _ in whole_rows(tmp_path):
        by_status.setdefault(status, set()).add(key)
        if key in late:
            assert message == "no result after 2 s, the time limit of a trial: it was ended."
            assert 2 <= seconds < 20
    assert by_status == {"timeout": late, "ok": {t.key for t in others}}
    with Store(tmp_path, {"name": "test"}) as store:
        assert [key for key, _ in store.failures(late)] == sorted(late)
        cured = trials(1, n=20) + trials(1, n=21)  # the same trials, as far as the store can tell
        assert sweep.run(cured, store) == (2, 0, 0)
        assert store.forget_failed() == 2
        assert sweep.run(cured, store) == (0, 2, 0)


def test_a_time_limit_from_the_command_line(here, say):
    (here / "mine.toml").write_text(SLOW, encoding="utf-8")
    code, out, err = say("run", "mine.toml", "--trial-timeout", 0.1)
    assert code == 1
    assert "1 trials run, 0 found" in out
    assert "no result after 0.1 s, the time limit of a trial" in err
    assert "1 trials failed; --retry-failed runs them again." in err
    (row,) = kc.results("runs/mine").to_dict("records")
    assert row["status"] == "timeout"
    code, out, _ = say("run", "mine.toml", "--retry-failed")
    assert (code, "1 trials run, 0 found" in out) == (0, True)
    assert kc.results("runs/mine")["status"].tolist() == ["ok"]
    assert len(rows("runs/mine")) == 1


def test_nothing_but_trials_that_take_too_long(tmp_path, say):
    """None of them is done before JAX is imported; there is no report without a trial that finished."""
    out = tmp_path / "run"
    command = ["reproduce", "late", "--out", out, "--workers", 2, "--trial-timeout", 0.1]
    late = [Trial(data=t.data, measurement=EMPIRICAL, seed=t.seed) for t in trials(2)]
    experiments.REGISTRY["late"] = SimpleNamespace(name="late", trials=lambda preset: late)
    try:
        code, printed, err = say(*command)
    finally:
        del experiments.REGISTRY["late"]
    assert code == 1
    assert (printed, "2 trials failed; --retry-failed" in err) == (f"2 trials run, 0 found in {out}.\n", True)
    assert [row[2] for row in rows(out)] == ["timeout"] * 2


def test_a_report_counts_and_lists_what_took_too_long(here, say):
    say("run", "mine.toml", "--workers", 1)
    with closing(sqlite3.connect(f"runs/mine/{FILE}")) as db, db:
        db.execute(
            "UPDATE trials SET status = 'timeout', message = 'too <long>', results = '{}' "
            "WHERE key = (SELECT min(key) FROM trials)"
        )
    assert say("report", "runs/mine")[0] == 0
    page = Path("runs/mine/report.html").read_text(encoding="utf-8")
    assert "59 finished, 0 failed, 1 over their time limit" in page
    assert "too &lt;long&gt;" in page


def test_what_has_no_memory_says_so(tmp_path):
    dies, exits, hogs = (trials(1, law, n=n)[0] for law, n in ((Dies, 20), (Exits, 21), (Hogs, 22)))
    assert run(tmp_path, [dies, exits, hogs, *trials(5)], workers=2) == (0, 5, 3)
    said = {key: message for key, _, status, message, _ in rows(tmp_path) if status == "failed"}
    assert said.keys() == {dies.key, exits.key, hogs.key}
    assert said[dies.key] == (
        "its process was killed by SIGKILL twice, the second time with no other trial beside it: "
        "it takes more memory than there is, most likely."
    )
    assert said[exits.key].startswith("its process ended with exit code 3 twice")
    assert said[hogs.key].startswith("out of memory (Unable to allocate 4.00 EiB")
    assert said[hogs.key].endswith("fewer processes or a larger machine may do.")


def test_processes_that_cannot_start_are_no_fault_of_the_trials(tmp_path, monkeypatch):
    monkeypatch.setattr(_pool, "_work", sys.exit)  # what they begin with
    with pytest.raises(BrokenExecutor, match="3 worker processes in a row ended with exit code"):
        run(tmp_path, trials(2))
    assert rows(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trial-timeout", "0"], "--trial-timeout is 0.0, expected a finite number that is more than zero"),
        (["--trial-timeout", "nan"], "--trial-timeout is nan"),
        (["--grace", "-1"], "--grace is -1.0, expected a finite number that is zero or more"),
    ],
)
@pytest.mark.parametrize("command", [["run", "mine.toml"], ["reproduce"]], ids=["run", "reproduce"])
def test_limits_that_are_none_are_refused(here, monkeypatch, capsys, command, options, message):
    assert message in refuse(monkeypatch, capsys, *command, *options)
    assert [path.name for path in here.iterdir()] == ["mine.toml"]


def test_a_limit_where_processes_are_not_ours_is_refused(tmp_path):
    with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match="trial_timeout and an executor"):
        run(tmp_path, trials(1), executor=threads, trial_timeout=1)
    with pytest.raises(ValueError, match="trial_timeout is -1, expected"):
        run(tmp_path, trials(1), trial_timeout=-1)


# -- stores of another version


@pytest.mark.parametrize(("version", "when"), [(0, "an earlier"), (1, "an earlier"), (3, "a later")])
def test_a_store_of_another_version_is_refused_as_it_is(tmp_path, version, when):
    run(tmp_path, trials(2))
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    before = (tmp_path / FILE).read_bytes()
    for given in ((), ({"name": "test"},)):
        with pytest.raises(
            ValueError, match=f"version {version}, expected 2: .* by {when} kernel-collapse, use"
        ):
            Store(tmp_path, *given)
    assert (tmp_path / FILE).read_bytes() == before


# -- clocks, and what is foretold


def test_the_wall_clock_may_jump_back(tmp_path, monkeypatch):
    class Jumps(datetime):
        """Goes back an hour whenever it is asked."""

        hours = 0

        @classmethod
        def now(cls, tz=None):
            cls.hours += 1
            return datetime.now(tz) - timedelta(hours=cls.hours)

    true = time.time
    monkeypatch.setattr("kernel_collapse.runs.store.datetime", Jumps)
    monkeypatch.setattr("kernel_collapse.runs._database.datetime", Jumps)
    monkeypatch.setattr(time, "time", lambda: true() - 3600 * Jumps.hours)
    todo = trials(3, Naps) + trials(3, n=9)
    for part in (todo[:2], todo):
        counts = run(tmp_path, part, workers=2, trial_timeout=30, stop=Stop())
        assert counts.failed == 0
    assert Jumps.hours > 6
    assert counts == (2, 4, 0)
    *_, seconds, finished = zip(*whole_rows(tmp_path), strict=True)
    assert all(0 < s < 30 for s in seconds)
    assert max(finished) < datetime.now(UTC).isoformat()


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def costly(*seconds):
    """Trials of that cost, the longest first."""

    class Costs(Trial):
        cost = property(lambda self: float(seconds[self.seed]))

    base = trials(1)[0]
    return [Costs(data=base.data, measurement=base.measurement, seed=i) for i in range(len(seconds))]


def done(seconds):
    return Outcome("ok", "", {}, seconds)


def test_the_forecast_knows_the_longest_trial_and_the_pace():
    clock = Clock()
    long, *short = costly(100, 10, 10, 10, 10)
    forecast = _progress.Forecast([long, *short], 2, clock)
    assert forecast.left() == 100  # 140 s of work on two processes, but one takes 100
    clock.now = 20
    assert forecast.left() == 80
    forecast.finish(short[0], done(20.0))  # it takes twice as long as the model says
    assert forecast.left() == 180
    clock.now = 60
    forecast.finish(short[1], Outcome("failed", "", {}, 0.0))  # which says nothing of the pace
    assert forecast.left() == 140
    clock.now = 500  # longer than was foretold
    assert forecast.left() == pytest.approx(20)
    for trial in (long, *short[2:]):
        forecast.finish(trial, done(2 * trial.cost))
    assert forecast.left() == 0
    assert _progress.Forecast([], 2).left() == 0


def test_a_log_gets_a_line_each_tenth_and_each_minute(monkeypatch, capsys):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    todo = costly(*[1.0] * 100)
    with _progress.Shown(todo, 20, 120, 2) as shown:
        for trial in todo[:50]:
            clock.now += 0.5
            shown.advance(trial, done(1.0))
        quick = capsys.readouterr().err.splitlines()
        for trial in todo[50:55]:
            clock.now += 50
            shown.advance(trial, done(1.0))
        slow = capsys.readouterr().err.splitlines()
    assert len(quick) == 4
    assert quick[0] == "31 of 120 trials, about 44 s left."
    assert [line.split()[0] for line in slow] == ["72", "74"]


def test_what_a_run_will_take_is_said_first(here, say):
    _, _, err = say("run", "mine.toml", "--workers", 2)
    lines = err.splitlines()
    assert lines[0] == "60 trials: 0 found in runs/mine, 60 to run, under 1 s on 2 processes."
    assert all(re.fullmatch(r"\d+ of 60 trials, (about \d+|under 1) s left\.", line) for line in lines[1:])
    assert 5 <= len(lines[1:]) <= 9
    assert say("run", "mine.toml", "--workers", 2)[2] == ""


# -- killed at any moment


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_twenty_times(tmp_path, workers):
    """The whole of a run, at random moments: while it starts, makes its file, or writes; the rest is computed once."""
    many, moments = 600, random.Random(20251125 + workers)
    folder = tmp_path / "killed"
    program = [sys.executable, str(Path(__file__).with_name("faulty.py"))]
    kept, caught = {}, 0
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runs:
        for kill in range(21):
            print(many, folder, workers, file=runs.stdin, flush=True)
            pid = int(runs.stdout.readline())
            if kill < 20:
                if moments.random() < 0.3:
                    time.sleep(moments.uniform(0.0, 0.5))
                else:
                    wanted = min(len(kept) + moments.randrange(1, 25), many - 1)
                    while count(folder) < wanted:
                        time.sleep(0.002)
                    time.sleep(moments.uniform(0.0, 0.01))
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            code = int(runs.stdout.readline())
            caught += code == -signal.SIGKILL
            now = {row[0]: row for row in whole_rows(folder)} if (folder / FILE).exists() else {}
            assert kept.items() <= now.items()  # nothing lost, nothing computed again
            kept = now
        assert (code, caught) == (0, 20)
        print(many, tmp_path / "undisturbed", 1, file=runs.stdin, flush=True)
        runs.stdout.readline()
        assert int(runs.stdout.readline()) == 0
        runs.stdin.close()
    assert len(kept) == many
    assert rows(folder) == rows(tmp_path / "undisturbed")
