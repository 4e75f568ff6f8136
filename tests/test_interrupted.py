"""Runs whose folder, terminal, machine or life is taken from them: rows, page and exit code are what they should be."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faulty import Garbles, Sleeps, Starts, trials
from kernel_collapse import _streams, cli, report
from kernel_collapse.cli import _progress
from kernel_collapse.runs import _pool, sweep, sweep_file
from kernel_collapse.runs.store import FILE, Store, StoreMoved
from tables import read, whole_rows

SWEEP = """seeds = 8
[data]
law = "gaussian"
n = 9
dim = 2
[measurement]
kernel = "data"
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that commands run in, with a sweep of eight trials."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(SWEEP, encoding="utf-8")
    return tmp_path


@pytest.fixture
def say(monkeypatch, capsys):
    """Run the program in this process; give exit code and what it printed."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["kernel-collapse", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return command


# -- streams that take nothing


def full():
    return open("/dev/full", "w", encoding="utf-8")


def without_reader():
    reads, writes = os.pipe()
    os.close(reads)
    return os.fdopen(writes, "w", encoding="utf-8")


def terminal_that_is_gone():
    master, slave = os.openpty()
    os.close(master)
    return os.fdopen(slave, "w", encoding="utf-8")


def closed():
    stream = full()
    with pytest.raises(OSError, match="No space"):
        print("x", file=stream, flush=True)
    with pytest.raises(OSError, match="No space"):
        stream.close()
    return stream


def none():
    return None


@pytest.mark.parametrize("stream", [full, without_reader, terminal_that_is_gone, closed, none])
def test_messages_that_cannot_be_written(here, monkeypatch, stream):
    """The rows, the page and the exit code are there; where what is printed is the result, the exit code is 1."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream())

    def code(*arguments):
        monkeypatch.setattr(sys, "argv", ["kernel-collapse", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code

    before = sys.stdout, sys.stderr
    Path("mine.csv").write_text("a,b,label\n1,2,u\n2,1,v\n1,1,u\n2,2,v\n", encoding="utf-8")
    assert code("run", "mine.toml", "--workers", "1") == 0
    assert (sys.stdout, sys.stderr) == before
    assert len(read("runs/mine")) == 8
    assert Path("runs/mine/report.html").stat().st_size > 1e6
    assert code("results", "runs/mine", "--to", "rows.csv") == 0
    # A reader that closes the pipe has what it wants; of a stream that is closed from the start nothing is expected.
    lost = {none: 0, closed: 0, without_reader: 141}.get(stream, 1)
    assert code("results", "runs/mine") == lost
    assert code("run", "mine.toml", "--dry", "--workers", "1") == lost
    assert code("reproduce", "--list", "--workers", "1") == lost
    assert code("measure", "mine.csv", "--kernel", "nngp", "--report", "mine.html") == lost
    assert Path("mine.html").stat().st_size > 1e4
    assert code("report", "runs/mine") == 0
    assert code("init", "new.toml") == 0
    assert code("results", "nowhere") == 2
    for open_one in before:
        if stream not in (none, closed):
            open_one.detach().detach().close()


def test_streams_that_are_closed_from_the_start(here):
    """Their numbers are not given to files, in which messages would end."""
    shell = f"{sys.executable} -c 'from kernel_collapse.cli import main; main()' run mine.toml --workers 1 <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", shell], check=False).returncode == 0
    assert len(read("runs/mine")) == 8
    assert Path("runs/mine/report.html").is_file()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("results runs/mine", 141),
        ("run mine.toml --dry --workers 1", 141),
        ("reproduce --list --workers 1", 141),
        ("measure mine.csv --kernel nngp", 141),
        ("run mine.toml --workers 1", 0),
        ("report runs/mine", 0),
    ],
)
def test_a_pipe_that_its_reader_closes(here, say, command, code):
    """The program ends without a word: it says in its code whether a part of the result was not read."""
    Path("mine.csv").write_text("a,b,label\n1,2,u\n2,1,v\n1,1,u\n2,2,v\n", encoding="utf-8")
    if "runs/mine" in command:
        assert say("run", "mine.toml", "--workers", 1)[0] == 0
    program = [sys.executable, "-c", "from kernel_collapse.cli import main; main()", *command.split()]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.close()
        said = running.stderr.read()
    assert running.returncode == code
    assert "Traceback" not in said
    assert "kernel-collapse:" not in said
    if command.startswith("run mine.toml --workers"):
        assert len(read("runs/mine")) == 8


def test_what_forgives_prints_all_that_it_can(capfd):
    with _streams.best_effort():
        print("half \ud800 a letter")
        print("message", file=sys.stderr)
        _streams.require_printed()
    assert capfd.readouterr() == ("half \\ud800 a letter\n", "message\n")


def test_a_terminal_that_is_closed_ends_no_run(here, say, monkeypatch):
    advance = _progress.Shown.advance

    def hang_up(self, trial, outcome):
        advance(self, trial, outcome)
        signal.raise_signal(signal.SIGHUP)

    monkeypatch.setattr(_progress.Shown, "advance", hang_up)
    before = signal.getsignal(signal.SIGHUP)
    assert say("run", "mine.toml", "--workers", 1)[0] == 0
    assert len(read("runs/mine")) == 8
    assert signal.getsignal(signal.SIGHUP) is before


# -- folders that go away


def move(folder):
    folder.rename(folder.with_name("moved"))


def replace(folder):
    move(folder)
    with Store(folder, {"name": "another"}):
        pass


def remove(folder):
    shutil.rmtree(folder)


def remove_file(folder):
    (folder / FILE).unlink()


@pytest.mark.parametrize(
    ("harm", "place", "what"),
    [
        (move, "moved", "was moved during the run"),
        (replace, "moved", "was moved during the run"),
        (remove, "run-rescued", "was deleted during the run"),
        (remove_file, "run-rescued", "was deleted during the run"),
    ],
)
def test_a_folder_that_goes_away(tmp_path, harm, place, what):
    """It is noticed with the next row, which is kept with the others where the message says, and goes on there."""
    todo, done = trials(9, n=9), []

    def third(trial, outcome):
        done.append(trial.key)
        if len(done) == 3:
            harm(tmp_path / "run")

    with (
        Store(tmp_path / "run", {"name": "test"}) as store,
        pytest.raises(StoreMoved, match=what) as stopped,
    ):
        sweep.run(todo, store, report=third)
    found = tmp_path / place
    assert f"{str(found / FILE)!r}; give --out {shlex.quote(str(found))} to go on." in str(stopped.value)
    assert len(read(found)) == 4
    with Store(found, {"name": "test"}) as store:
        assert sweep.run(todo, store) == (4, 5, 0)
    with Store(tmp_path / "undisturbed", {"name": "test"}) as store:
        sweep.run(todo, store)
    assert read(found) == read(tmp_path / "undisturbed")


def test_a_folder_that_goes_away_on_the_command_line(here, say, monkeypatch):
    advance = _progress.Shown.advance

    def harm(self, trial, outcome):
        advance(self, trial, outcome)
        if self.done == 3:
            move(here / "runs" / "mine")

    monkeypatch.setattr(_progress.Shown, "advance", harm)
    code, out, err = say("run", "mine.toml", "--workers", 1)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("Stopped: the folder 'runs/mine' was moved during the run")
    assert f"is in '{here}/runs/moved/{FILE}'" in err
    assert len(read("runs/moved")) == 4
    monkeypatch.undo()
    monkeypatch.chdir(here)
    build = report.build

    def harm_then(folder, page=None):
        move(Path(folder))
        return build(folder, page)

    shutil.rmtree("runs/moved")
    monkeypatch.setattr(report, "build", harm_then)
    monkeypatch.setattr(sys, "argv", ["kernel-collapse", "run", "mine.toml", "--workers", "1"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code in (1, 2)
    assert len(read("runs/moved")) == 8


# -- processes


def test_two_that_start_at_one_instant(tmp_path):
    """One has it; the other is told who, or at least that somebody has."""
    starts = (
        "import sys; from pathlib import Path; from kernel_collapse.runs.store import Store\n"
        "print('ready', flush=True)\n"
        "for line in sys.stdin:\n"
        "    try:\n"
        "        with Store(Path(line.strip()), {'name': 'test'}):\n"
        "            print('has it', flush=True); sys.stdin.readline()\n"
        "            print('left', flush=True)\n"
        "    except ValueError as refused: print(refused, flush=True)\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen([sys.executable, "-c", starts], **pipes) as one,
        subprocess.Popen([sys.executable, "-c", starts], **pipes) as two,
    ):
        both = (one, two)
        assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
        for number in range(60):
            for process in both:
                process.stdin.write(f"{tmp_path / str(number)}\n")
                process.stdin.flush()
            said = {process: process.stdout.readline() for process in both}
            (owner,) = [process for process in both if said[process] == "has it\n"]
            (refused,) = [line for line in said.values() if line != "has it\n"]
            assert "is being written by " in refused
            assert "move the file away" not in refused
            owner.stdin.write("\n")
            owner.stdin.flush()
            assert owner.stdout.readline() == "left\n"
        for process in both:
            process.stdin.close()


def test_what_a_trial_starts_ends_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FAULTY_PID", str(tmp_path / "pid"))
    (todo,) = trials(1, Starts)
    with Store(tmp_path / "run", {"name": "test"}) as store, _pool.Pool(sweep.attempt, 1, limit=1e9) as pool:
        pool.start(todo)
        until(
            lambda: pool.wait(0.01) == [] and (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()
        )
        pid = int((tmp_path / "pid").read_text())
        pool._limit = 0.0
        (end,) = pool.wait(0.01)
        assert end.how == _pool.OVERDUE
        until(lambda: not runs(pid))
        store.add(todo, **sweep._overdue(end, 1.0)._asdict())


def runs(pid):
    """Whether there is such a process that has not ended, though nobody may have asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition):
    """Wait as long as it takes; the runner of the tests ends what hangs."""
    while not condition():
        time.sleep(0.01)


def test_a_process_that_is_stopped_does_not_grow_older(monkeypatch):
    """Nor does one whose parent was stopped: the time of a trial is that for which it was seen to run."""
    with _pool.Pool(sweep.attempt, 1, limit=1e9) as pool:
        pool.start(trials(1, Sleeps)[0])
        (worker,) = pool._workers
        until(lambda: pool.wait(0.05) == [] and worker.ran > 0)
        os.kill(worker.process.pid, signal.SIGSTOP)
        until(lambda: worker.state == _pool.STOPPED)
        ran = worker.ran
        for _ in range(5):
            assert pool.wait(0.02) == []
        assert worker.ran == ran
        os.kill(worker.process.pid, signal.SIGCONT)
        until(lambda: pool.wait(0.02) == [] and worker.ran > ran)
        ran, clock, jump = worker.ran, time.monotonic, 0.0
        monkeypatch.setattr(_pool.time, "monotonic", lambda: clock() + jump)
        jump = 3600.0  # as after a night
        assert pool.wait(0.02) == []
        assert worker.ran - ran <= _pool.BUSY + 0.02


def test_a_message_of_half_a_character_is_a_row(tmp_path):
    with Store(tmp_path, {"name": "test"}) as store:
        assert sweep.run([*trials(1, Garbles, n=10), *trials(3, n=9)], store) == (0, 3, 1)
        assert [message for _, message in store.failures(store.finished())] == ["ValueError: half \\ud800"]


# -- killed in every phase

#: Where, and when it is there for the so many-th time: until all trials but one are done,
COMPUTING = [
    ("folder", 1),
    ("lock", 1),
    ("file", 1),
    ("tables", 1),
    ("made", 1),
    ("about", 2),
    ("about", 4),
    ("begun", 1),
    ("row", 4),
    ("stored", 3),
    ("row", 6),
    ("stored", 1),
    ("row", 5),
]
#: and after that.
REPORTING = [
    ("lock", 1),
    ("drawing", 1),
    ("saving", 1),
    ("picture", 3),
    ("page", 2),
    ("picture", 4),
    ("table", 3),
    ("exported", 5),
]


@pytest.mark.parametrize(("workers", "phases"), [(1, [*COMPUTING, *REPORTING]), (2, COMPUTING)])
def test_killed_in_every_phase(here, workers, phases):
    """Before there is a file, in mid-row, between trials, while it draws or exports: the table is the same."""
    program = [sys.executable, str(Path(__file__).with_name("phases.py"))]
    folder, kept, codes = here / "killed", [], []
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
        for place, times in [*phases, ("-", 0)]:
            print("mine.toml", folder, workers, place, times, file=runner.stdin, flush=True)
            codes.append(int(runner.stdout.readline()))
            now = read(folder) if (folder / FILE).exists() else []
            assert {row[0]: row for row in kept}.items() <= {row[0]: row for row in now}.items()
            kept = now
        runner.stdin.close()
    assert codes == [-signal.SIGKILL] * len(phases) + [0]
    assert len(kept) == 8
    assert kept == [
        (t.key, *sweep.attempt(t)[:3]) for t in sorted(trials_of_the_sweep(), key=lambda t: t.key)
    ]
    assert not list(here.rglob("*.part"))
    assert (folder / "rows.csv").read_text(encoding="utf-8").count("\n") == 9
    assert len(whole_rows(folder)) == 8


def trials_of_the_sweep():
    return sweep_file.read(Path("mine.toml"))[0].trials()
