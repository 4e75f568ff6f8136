"""Whatever becomes of a task, a scheduler or a connection: a row, another try, or one sentence; without a cluster."""

import asyncio
import http.server
import itertools
import logging
import os
import pickle
import socket
import sys
import threading
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from distributed import KilledWorker
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError, listen

from conftest import refuse, run_cli
from faulty import trials
from kernel_collapse import cluster, report
from kernel_collapse.cluster import _open
from kernel_collapse.cluster._ends import TRIES, Do, decide
from kernel_collapse.cluster._loop import event_loop, quiet, wait_for
from kernel_collapse.runs import sweep
from kernel_collapse.runs.store import Store
from tables import read

KILLED = KilledWorker("task", SimpleNamespace(address="tcp://a:1"), 3)
VERSION = BrokenExecutor("worker tcp://a:1 has kernel_collapse 0.0.9")
#: Ways in which dask loses a task of a scheduler that is still there.
LOSSES = {
    "its data went with the worker": FutureCancelledError("task", "unknown"),
    "the scheduler forgot it": FutureCancelledError("task", "already forgotten"),
    "another client restarted the workers": FutureCancelledError("task", "scheduler-restart"),
    "the connection broke for a moment": FutureCancelledError("task", "scheduler-connection-lost"),
    "the question of another task was cancelled": asyncio.CancelledError(),
    "a connection": CommClosedError("in <TCP>: Stream is closed"),
    "a socket": ConnectionResetError("reset"),
    "too late": TimeoutError(),
    "no error that could be raised": AttributeError("'NoneType' object has no attribute 'with_traceback'"),
    "the worker could not begin": ImportError("No module named 'numpy'"),
    "the worker had no memory for it": MemoryError(),
    "the worker ended": SystemExit(1),
}


# -- the decision


def test_a_result_is_returned():
    for lost, tries in itertools.product(("", "the scheduler is lost"), (1, TRIES)):
        assert decide(None, lost=lost, tries=tries) == (Do.RETURN, None)


@pytest.mark.parametrize("error", LOSSES.values(), ids=LOSSES)
def test_what_is_lost_is_tried_again_and_then_given_up(error):
    for tries in range(1, TRIES):
        assert decide(error, lost="", tries=tries) == (Do.AGAIN, None)
    do, given_up = decide(error, lost="", tries=TRIES)
    assert do is Do.RAISE
    assert isinstance(given_up, cluster.WorkersDied)
    assert str(given_up).startswith(
        f"the cluster lost it {TRIES} times, the last time with {type(error).__name__}"
    )


@pytest.mark.parametrize("tries", [1, TRIES])
def test_what_kills_workers_is_given_up_alone(tries):
    do, error = decide(KILLED, lost="", tries=tries)
    assert do is Do.RAISE
    assert isinstance(error, cluster.WorkersDied)
    assert str(error) == "4 workers died while they ran it (out of memory?)"


@pytest.mark.parametrize("error", [*LOSSES.values(), KILLED], ids=[*LOSSES, "killed"])
def test_without_a_scheduler_nothing_can_be_tried(error):
    do, broken = decide(error, lost="the scheduler is lost", tries=1)
    assert do is Do.RAISE
    assert type(broken) is BrokenExecutor
    assert str(broken) == "the scheduler is lost"


def test_a_worker_of_another_version_ends_it_for_all():
    for lost in ("", "the scheduler is lost"):
        assert decide(VERSION, lost=lost, tries=1) == (Do.RAISE, VERSION)


# -- the executor, on a client that fails as it is told


class Client:
    """A client whose tasks run here; before each ends, it is asked what happens to it."""

    def __init__(self, loop, happens):
        self.loop, self.happens = SimpleNamespace(asyncio_loop=loop), happens
        self.status, self.about = "running", {"address": "tcp://fake:1", "id": "one"}
        self.given = self.kept = 0

    def scheduler_info(self):
        return self.about

    async def nthreads(self):
        return {"tcp://a:1": 2}

    def submit(self, run, call, pure):
        self.given += 1
        self.kept += 1
        return SimpleNamespace(run=lambda: run(call), call=call, release=self._release)

    def _release(self):
        self.kept -= 1

    async def gather(self, inner):
        await asyncio.sleep(0)
        error = self.happens(self, inner)
        if error is not None:
            raise error
        return inner.run()


@contextmanager
def failing(happens):
    with event_loop() as loop:
        client = Client(loop, happens)
        executor = cluster.Cluster(client)
        yield client, executor
        executor.shutdown()
        assert client.kept == 0


def always(error):
    return lambda client, inner: error


def once(error):
    errors = iter([error])
    return lambda client, inner: next(errors, None)


@pytest.mark.parametrize("error", LOSSES.values(), ids=LOSSES)
def test_a_task_that_is_lost_once_has_its_result_all_the_same(error):
    with failing(once(error)) as (client, executor):
        assert executor.submit(pow, 2, 10).result() == 1024
        assert client.given == 2


@pytest.mark.parametrize(
    ("happens", "given", "kind"),
    [
        *((always(error), TRIES, cluster.WorkersDied) for error in LOSSES.values()),
        (always(KILLED), 1, cluster.WorkersDied),
        (always(VERSION), 1, BrokenExecutor),
    ],
    ids=[*LOSSES, "killed", "version"],
)
def test_a_task_that_never_ends_well_ends(happens, given, kind):
    with failing(happens) as (client, executor):
        assert type(executor.submit(pow, 2, 10).exception()) is kind
        assert client.given == given


@pytest.mark.parametrize(
    "change",
    [{"status": "closed"}, {"status": "connecting"}, {"about": {"id": "two"}}, {"about": {}}],
    ids=str,
)
def test_a_scheduler_that_is_lost_or_another_one_breaks_the_executor(change):
    def leave(client, inner):
        vars(client).update(change)
        return FutureCancelledError("task", "unknown")

    with failing(leave) as (_, executor):
        assert executor.in_flight() == cluster.AT_LEAST
        future = executor.submit(pow, 2, 10)
        said = "the scheduler tcp://fake:1 is lost: start a scheduler and run the same command again"
        with pytest.raises(BrokenExecutor, match=said):
            future.result()
        executor._asked = 0.0
        with pytest.raises(BrokenExecutor, match=said):
            executor.in_flight()
        with pytest.raises(BrokenExecutor, match=said):
            executor.submit(pow, 2, 10)


def test_a_scheduler_that_hangs_is_waited_for_without_hanging(monkeypatch):
    monkeypatch.setattr(cluster, "POLL", 0.01)
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)

    async def never():
        await asyncio.Event().wait()

    with failing(always(None)) as (client, executor):
        client.nthreads = never
        assert executor.in_flight() == cluster.AT_LEAST  # it may only be busy
        with pytest.raises(BrokenExecutor, match="is lost"):
            list(iter(executor.in_flight, None))


class Unreadable:
    """Can be sent and not read."""

    def __reduce__(self):
        return (int, ("no number",))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: (_ for _ in ()), "its result cannot be sent (TypeError: cannot pickle 'generator' object)"),
        (
            Unreadable,
            "its result cannot be read here (ValueError: invalid literal for int() with base 10: 'no number')",
        ),
    ],
    ids=["sent", "read"],
)
def test_a_result_that_cannot_travel_is_an_error_of_its_task(function, message):
    with failing(always(None)) as (client, executor):
        error = executor.submit(function).exception()
        assert type(error) is RuntimeError
        assert str(error) == message
        assert client.given == 1


def test_an_error_that_cannot_travel_says_what_it_was():
    def fail():
        raise KeyError(threading.Lock())

    with failing(always(None)) as (_, executor):
        assert str(executor.submit(fail).exception()).startswith("KeyError: <unlocked _thread.lock object")


def test_what_is_cancelled_leaves_the_others_alone():
    waiting = threading.Event()

    class Held(Client):
        async def gather(self, inner):
            while not waiting.is_set():
                await asyncio.sleep(0.001)
            return inner.run()

    with event_loop() as loop:
        executor = cluster.Cluster(Held(loop, None))
        first, second, third = (executor.submit(pow, 2, n) for n in range(3))
        assert second.cancel()
        waiting.set()
        assert (first.result(), third.result()) == (1, 4)
        waiting.clear()
        last = executor.submit(pow, 2, 3)
        executor.shutdown(wait=False)
        while not last.done():
            pass
        assert last.cancelled()
        with pytest.raises(RuntimeError, match="was shut down"):
            executor.submit(pow, 2, 3)


def test_a_sweep_that_loses_every_task_now_and_then_has_the_same_table(tmp_path):
    """The losses come in turns, and one trial is lost for ever."""
    ways, seen = itertools.cycle(LOSSES.values()), set()

    def happens(client, inner):
        _, (trial,), _ = pickle.loads(inner.call)
        first = trial.seed not in seen
        seen.add(trial.seed)
        return next(ways) if first or trial.seed == 3 else None

    many = trials(30)
    with Store(tmp_path / "here", {"name": "test"}) as here:
        sweep.run(many, here)
    with failing(happens) as (_, executor), Store(tmp_path / "there", {"name": "test"}) as there:
        assert sweep.run(many, there, executor=executor) == (0, 29, 1)
        ((_, message),) = there.failures(trial.key for trial in many)
    assert message == sweep.SEVERAL_DIED
    expected, found = read(tmp_path / "here"), read(tmp_path / "there")
    key = next(trial.key for trial in many if trial.seed == 3)
    assert [row for row in found if row[0] != key] == [row for row in expected if row[0] != key]


def test_a_run_from_python_has_a_report(tmp_path):
    with failing(always(None)) as (_, executor), Store(tmp_path / "mine", {"name": "mine"}) as store:
        sweep.run(trials(3, n=20), store, executor=executor)
    built = report.build(tmp_path / "mine")
    assert built.facts["Trials"] == "3 finished, 0 failed"
    assert built.facts["Seeds"] == "3"
    assert len(built.sections[0].figures) == 1
    assert "mine, run from Python" in built.path.read_text(encoding="utf-8")
    done = run_cli("report", tmp_path / "mine")
    assert (done.returncode, done.stderr) == (0, "")


# -- what answers at an address


def accept(answer):
    """A port on which each connection is given to a function; and its end."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listening:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1], lambda: listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def silent():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@contextmanager
def web():
    class Page(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def hangs_up():
    port, end = accept(lambda connection: connection.close())
    yield port
    end()


@contextmanager
def noise():
    def answer(connection):
        with connection:
            connection.sendall(bytes(range(1, 256)) * 8)
            connection.recv(2**16)

    port, end = accept(answer)
    yield port
    end()


@contextmanager
def greets():
    """As dask does, and says nothing more."""

    async def answer(comm):
        await asyncio.Event().wait()

    with event_loop() as loop:

        async def start():
            return await listen("tcp://127.0.0.1:0", answer)

        listener = wait_for(loop, start())
        yield int(listener.contact_address.rpartition(":")[2])
        loop.call_soon_threadsafe(listener.stop)


@pytest.mark.parametrize("serve", [silent, web, hangs_up, noise, greets], ids=lambda serve: serve.__name__)
def test_what_is_no_scheduler_is_refused_in_time_in_one_sentence(serve, monkeypatch, capfd):
    monkeypatch.setattr(cluster, "TIMEOUT", 0.5)
    with serve() as port:
        said = refuse(monkeypatch, capfd, "reproduce", "--dask", f"tcp://127.0.0.1:{port}", "--out", "new")
    assert f"no scheduler answers at tcp://127.0.0.1:{port}, expected one within 0.5 s" in said
    assert not os.path.exists("new")


def test_workers_that_do_not_say_their_versions_are_refused():
    async def never():
        await asyncio.Event().wait()

    async def fails():
        raise CommClosedError("gone")

    for answer in (never, fails):
        with pytest.raises(ValueError, match="does not say its versions .* expected an answer within 0.01 s"):
            asyncio.run(_open.require_same(SimpleNamespace(get_versions=answer), 0.01))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "no certificates are given for tls://127.0.0.1:1"),
        (
            {"ca-file": "gone.pem", "client.cert": "gone.pem"},
            "the certificates for tls://127.0.0.1:1 cannot be read",
        ),
        (
            {"ca-file": "no.pem", "client.cert": "no.pem"},
            "the certificates for tls://127.0.0.1:1 cannot be read",
        ),
    ],
    ids=["none", "gone", "not one"],
)
def test_certificates_that_are_missing_or_none_are_refused(settings, said, tmp_path, monkeypatch, capsys):
    import dask

    monkeypatch.chdir(tmp_path)
    (tmp_path / "no.pem").write_text("nothing\n")
    with dask.config.set({f"distributed.comm.tls.{key}": value for key, value in settings.items()}):
        refused = refuse(monkeypatch, capsys, "reproduce", "--dask", "tls://127.0.0.1:1")
    assert said in refused
    assert "expected those of distributed.comm.tls in dask's configuration" in refused


def test_without_cryptography_no_cluster_of_ours_is_opened(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with (
        pytest.raises(ValueError, match="cryptography is not installed, .*kernel-collapse.cluster"),
        cluster.connect(local=1),
    ):
        pass


# -- noise


def test_what_dask_logs_is_dropped_only_while_we_close():
    messages = []

    class Collector(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    collector = Collector()
    loggers = [
        logging.getLogger(name) for name in ("distributed.core", "tornado.application", "asyncio", "mine")
    ]
    for logger in loggers:
        logger.addHandler(collector)
    try:
        for when in ("before", "while", "after"):
            with quiet() if when == "while" else contextmanager(lambda: iter([None]))():
                for logger in loggers:
                    logger.error("%s %s", logger.name, when)
    finally:
        for logger in loggers:
            logger.removeHandler(collector)
    assert [said for said in messages if "while" in said] == ["mine while"]
    assert len(messages) == 2 * len(loggers) + 1


def test_the_loop_ends_with_its_context():
    async def forever():
        await asyncio.Event().wait()

    with event_loop() as loop:
        future = asyncio.run_coroutine_threadsafe(forever(), loop)
        with pytest.raises(TimeoutError):
            wait_for(loop, forever(), 0.01)
    assert loop.is_closed()
    assert future.cancelled()
    assert "dask" not in {thread.name for thread in threading.enumerate()}
