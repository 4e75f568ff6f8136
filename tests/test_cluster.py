"""Many machines, here as processes that meet over TCP on 127.0.0.1: what dies, what is lost, what is refused."""

import gc
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from multiprocessing import get_context
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest
import yaml
from distributed import Client, Scheduler, Worker
from distributed.security import Security

import kernel_collapse as kc
import tables
from conftest import ROOT, refuse, run_cli
from faulty import trials
from kernel_collapse import cluster
from kernel_collapse.cluster._loop import event_loop, quiet, wait_for
from kernel_collapse.runs import sweep, sweep_file
from kernel_collapse.runs.store import Store
from kernel_collapse.runs.trials import Trial
from tables import rows

TRIALS = [
    Trial.model_validate(
        {
            "data": {"law": "gaussian", "n": n, "dim": 4},
            "measurement": {"kernel": "ntk", "activation": activation},
            "seed": seed,
        }
    )
    for n in (50, 301)
    for activation in ("erf", "relu")
    for seed in range(8)
]
SWEEP = """seeds = 8
[[data]]
law = "gaussian"
n = 30
dim = [2, 3]
[[measurement]]
kernel = "ntk"
activation = "erf"
"""
#: What workers run before they take work: faults that a machine far away would have.
OTHER_VERSION = "import kernel_collapse; kernel_collapse.__version__ = '0.0.9'"
NO_PACKAGE = "import sys; sys.modules['kernel_collapse'] = None"
SEED_7_KILLS = """
import os
from kernel_collapse.runs import sweep
sweep.compute = lambda trial, compute=sweep.compute: os._exit(1) if trial.seed == 7 else compute(trial)
"""
SLOW = """
import time
from kernel_collapse.runs import sweep
sweep.compute = lambda trial, compute=sweep.compute: time.sleep(0.1) or compute(trial)
"""


def run(folder, executor=None, report=lambda trial, outcome: None):
    with Store(folder, {"name": "test"}) as store:
        return sweep.run(TRIALS, store, executor=executor, report=report)


def alone(folder):
    """Run the sweep without dask."""
    with Store(folder / "serial", {"name": "test"}) as store:
        sweep.run(sweep_file.read(folder / "sweep.toml")[0].trials(), store)


def until(true, what, seconds=4 * 3600):  # against hanging alone
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    run(folder)
    return rows(folder)


@pytest.fixture(scope="module")
def two():
    """Two worker processes, each with one thread."""
    with cluster.connect(local=2) as executor:
        yield executor


class Machines:
    """A scheduler and workers, started as on a cluster, each in a process."""

    def __init__(self, folder):
        self.processes, self.folder = [], folder
        environment = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
        self.scheduler = self._start("scheduler", "--port", "0", env=environment)
        said = folder / "scheduler.log"
        until(lambda: "Scheduler at" in said.read_text(), "the scheduler")
        self.address = re.search(r"Scheduler at: +(tcp://\S+)", said.read_text())[1]

    def worker(self, preload="pass ", nanny="--no-nanny"):
        return self._start(
            "worker", self.address, "--nthreads", "1", nanny, "--death-timeout", "20", "--preload", preload
        )

    def _start(self, what, *options, env=None):
        command = [sys.executable, "-m", "dask", what, "--host", "127.0.0.1", "--no-dashboard"]
        command += ["--dashboard-address", "127.0.0.1:0", *options]
        log = (self.folder / f"{what}.log").open("a")
        process = subprocess.Popen(command, stdout=log, stderr=log, env=env, cwd=self.folder)
        log.close()
        self.processes.append(process)
        return process

    def stop(self):
        for process in self.processes[::-1]:  # a nanny takes its worker with it when it is asked to end
            process.terminate()
        for process in self.processes:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:  # it waits for a scheduler that is gone
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """Make clusters; the tests of this file share the first where they can."""
    started = []

    def start():
        started.append(Machines(tmp_path_factory.mktemp("machines")))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="module")
def scheduler(machines):
    return machines()


def count(executor):
    return len(executor._client.nthreads())


def listening(pids):
    """The ports on which these processes listen."""
    found = [psutil.Process(pid).net_connections("inet") for pid in pids]
    return [each.laddr.port for every in found for each in every if each.status == psutil.CONN_LISTEN]


def hello(port, context=None):
    """What a port answers to a stranger who says hello, in plain text or with TLS; nothing if it hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=3600) as plain:
        stranger = plain
        try:
            if context is not None:
                stranger = context.wrap_socket(plain)
            stranger.sendall(b"GET /info/main/workers.html HTTP/1.1\r\nHost: here\r\n\r\n")
            return stranger.recv(100)
        except (ssl.SSLError, ConnectionError):
            return b""
        finally:
            stranger.close()


def opened(address, security, most=5, **options):
    """Return a client; dask gives the thread of its loop ten seconds to start, which a busy machine may take.

    A client that could not connect closes itself when it is collected. If that happens while the next one starts, both
    wait for one another for ever: so what is left is collected before, and nothing in between.
    """
    gc.collect()
    gc.disable()
    try:
        return Client(address, security=security, set_as_default=False, **options)
    except AssertionError:
        if most == 1:
            raise
    finally:
        gc.enable()
    return opened(address, security, most - 1, **options)


def test_a_cluster_of_ours_serves_nobody_without_its_certificate(two):
    until(lambda: count(two) == 2, "two workers")
    address, right = two._address, two._client.security
    assert address.startswith("tls://127.0.0.1:")
    ports = listening([os.getpid(), *two._client.run(os.getpid).values()])
    assert len(ports) == 5  # of the scheduler, two nannies and two workers: no dashboards
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    for port in ports:
        assert hello(port) == hello(port, trusting) == b""
    insecure = Security(require_encryption=False)
    for wrong, where in (
        (Security.temporary(), address),
        (insecure, address.replace("tls://", "tcp://")),
        (insecure, address),
    ):
        with pytest.raises((OSError, TypeError)):  # TypeError: no certificate at all
            opened(where, wrong, timeout=1)
    with opened(address, right) as owner:
        assert owner.submit(os.getppid).result() == os.getpid()
    for pid in two._client.run(os.getpid).values():
        assert "BEGIN" not in " ".join(psutil.Process(pid).cmdline())  # which everyone can read
    for folder in two._client.run(lambda dask_worker: dask_worker.local_directory).values():
        # It is where workers import from first: nobody else may put anything there, or rename a folder above it.
        ours = [path for path in Path(folder).parents if path.name.startswith("kernel-collapse-")]
        assert ours[0].stat().st_mode & 0o777 == 0o700


def test_the_documented_certificate_lets_in_who_has_it(tmp_path, monkeypatch):
    """With the commands and the configuration of the page."""
    monkeypatch.setattr(cluster, "TIMEOUT", 5.0)
    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    for command in re.findall(r"^(?:mkdir|openssl) .*-tls.*$", page, re.M):
        command = command.replace("~", str(tmp_path)).replace("rsa:3072", "rsa:2048")
        subprocess.run(command, shell=True, check=True, capture_output=True)
    assert (tmp_path / ".dask-tls").stat().st_mode & 0o777 == 0o700
    text = re.search(r"```yaml\n(distributed:.*?)```", page, re.S)[1]
    said = yaml.safe_load(text.replace("/home/me", str(tmp_path)))
    settings = dask.config.merge(dask.config.config, said)

    async def start(stack):
        node = {"host": "127.0.0.1", "protocol": "tls://", "dashboard_address": "127.0.0.1:0"}
        head = await stack.enter_async_context(Scheduler(**node, dashboard=False))
        await stack.enter_async_context(Worker(head.address, nthreads=1, dashboard=False, **node))
        return head.address

    def refused(where, said):
        with pytest.raises(ValueError, match=said), cluster.connect(where):
            pass

    stack = AsyncExitStack()
    with event_loop() as loop:
        with dask.config.set(settings):
            where = wait_for(loop, start(stack))
            with cluster.connect(where) as executor:
                assert executor.submit(pow, 2, 10).result() == 1024
            refused(where.replace("tls", "tcp"), "no scheduler answers at tcp://.*encryption required")
        refused(where, "no certificates are given")
        refused(where.replace("tls", "tcp"), "no scheduler answers at tcp://")
        with quiet():
            wait_for(loop, stack.aclose())


def test_a_killed_worker_does_not_show(tmp_path, two, serial):
    killed = []

    def kill_a_worker(trial, outcome):
        if not killed:
            killed.extend(list(two._client.run(os.getpid).values())[:1])
            os.kill(killed[0], signal.SIGKILL)

    assert run(tmp_path, two, kill_a_worker) == (0, len(TRIALS), 0)
    assert killed
    assert rows(tmp_path) == serial
    until(lambda: count(two) == 2, "the nanny's new worker")
    assert killed[0] not in two._client.run(os.getpid).values()


def test_this_process_keeps_its_environment(two):
    """Nannies would leave theirs in it, and processes that are started later would be several times slower."""
    assert "MALLOC_TRIM_THRESHOLD_" not in os.environ
    assert set(two._client.run(lambda: os.environ.get("MALLOC_TRIM_THRESHOLD_")).values()) == {None}


def test_in_flight_follows_the_threads(two):
    until(lambda: count(two) == 2, "two workers")
    two._asked = 0.0
    assert two.in_flight() == max(cluster.AT_LEAST, 2 * cluster.PER_THREAD)
    two._threads = 100
    assert two.in_flight() == 100 * cluster.PER_THREAD


def test_ctrl_c_cancels_what_is_on_the_cluster(tmp_path, two):
    def stop(trial, outcome):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, two, stop)
    until(
        lambda: two._client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0,
        "the scheduler to have nothing to do",
    )
    assert len(rows(tmp_path)) == 1


def test_an_error_of_the_function_is_its_own(two):
    def fail():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        two.submit(fail).result()


def gaussian(a, b):
    return np.exp(a @ b.T / 9)


def test_one_gram_matrix_over_executors_to_the_last_bit(rng, two, tmp_path, monkeypatch):
    x, labels = rng.normal(size=(901, 5)), rng.integers(4, size=901)
    alpha = rng.normal(size=(901, 4))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    # Several squares, the last ones narrow.
    monkeypatch.setattr(sys.modules["kernel_collapse.collapse._tiled_pass"], "SQUARE", 256)

    def all_of(x, executor):
        options = {"tile": 23, "executor": executor}
        progress = []
        return (
            kc.streamed_nc1(
                x, labels, kernel=("nngp", "ntk"), progress=lambda *p: progress.append(p), **options
            ),
            kc.streamed_nc1(x, labels, kernel=gaussian, **options),
            kc.streamed_collapse(x, labels, activation="relu", depth=2, dual_weights=alpha, **options),
            progress[-1],
        )

    here = all_of(x, None)
    assert here[-1] == (820, 820)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool, ThreadPoolExecutor(2) as threads:
        for executor in (pool, threads, two):
            assert repr(all_of(mapped, executor)) == repr(here)
    with pytest.raises(ValueError, match="kernel's block is not finite"):
        kc.streamed_nc1(x, labels, kernel=lambda a, b: a @ b.T * np.nan, executor=two)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": ThreadPoolExecutor(1), "workers": 2}, "workers is 2 and an executor is given"),
        ({"executor": 4}, "executor is of type int, expected a concurrent.futures.Executor"),
    ],
    ids=["both", "type"],
)
def test_executors_that_are_refused(rng, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        kc.streamed_nc1(rng.normal(size=(20, 2)), [0, 1] * 10, **options)


def test_a_kernel_that_cannot_be_sent_is_refused(rng):
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
        pytest.raises(ValueError, match="cannot be sent to another process"),
    ):
        kc.streamed_nc1(rng.normal(size=(20, 2)), [0, 1] * 10, kernel=lambda a, b: a @ b.T, executor=pool)


def test_a_run_that_is_killed_anywhere_goes_on_to_the_same_table(scheduler, tmp_path):
    """While it starts or connects, and between or within rows, on the workers that go on without it."""
    many, moments = 60, random.Random(20261128)
    worker = scheduler.worker()
    folder, kept = tmp_path / "killed", set()
    program = [sys.executable, str(Path(__file__).with_name("faulty.py"))]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runs:
        for wanted in (-1, 0, 1, 20, 45, many):
            print(many, folder, scheduler.address, file=runs.stdin, flush=True)
            pid = int(runs.stdout.readline())
            if wanted < many:
                if wanted >= 0:
                    until(lambda: tables.count(folder) >= wanted, f"{wanted} rows")  # noqa: B023
                time.sleep(moments.uniform(0.0, 0.02))
                os.killpg(pid, signal.SIGKILL)
            assert int(runs.stdout.readline()) == (0 if wanted == many else -signal.SIGKILL)
            now = set(rows(folder)) if tables.count(folder) else set()
            assert kept <= now
            kept = now
        runs.stdin.close()
    with Store(tmp_path / "here", {"name": "test"}) as store:
        assert sweep.run(trials(many), store) == (0, many, 0)
    assert rows(folder) == rows(tmp_path / "here")
    worker.terminate()
    worker.wait()


def test_other_versions_are_refused_by_name(scheduler, tmp_path, monkeypatch, capsys):
    """The version is faked in the worker's process, before it takes work; the package is hidden in the other's."""
    with cluster.connect(scheduler.address) as executor:  # no worker yet: those that come later are asked too
        late = scheduler.worker(OTHER_VERSION)
        with pytest.raises(BrokenExecutor, match=r"worker tcp://\S+ has kernel_collapse 0.0.9 \(here "):
            run(tmp_path / "late", executor)
        assert rows(tmp_path / "late") == []
        without = scheduler.worker(NO_PACKAGE)
        until(lambda: count(executor) == 2, "two workers")
        (tmp_path / "sweep.toml").write_text(SWEEP)
        monkeypatch.chdir(tmp_path)
        said = refuse(monkeypatch, capsys, "run", "sweep.toml", "--dask", scheduler.address)
        assert f"has kernel_collapse 0.0.9 (here {kc.__version__})" in said
        assert "has no kernel_collapse" in said
        assert len(re.findall(r"tcp://\S+ has", said)) == 2
        assert not (tmp_path / "runs").exists()
        for worker in (late, without):
            worker.terminate()
        until(lambda: count(executor) == 0, "the workers to be gone")


def test_a_trial_that_kills_its_workers_is_a_row_and_the_others_go_on(scheduler, tmp_path):
    """From the command line, on a scheduler that was there."""
    scheduler.worker(SEED_7_KILLS, "--nanny")
    (tmp_path / "sweep.toml").write_text(SWEEP)
    done = run_cli("run", "sweep.toml", "--dask", scheduler.address, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "16 trials run" in done.stdout
    assert "Traceback" not in done.stderr
    found = kc.results(tmp_path / "runs" / "sweep")
    assert sorted(found.loc[found["status"] == "failed", "seed"]) == [7, 7]
    assert set(found["message"]) == {"", sweep.SEVERAL_DIED}
    alone(tmp_path)
    ok = [row for row in rows(tmp_path / "runs" / "sweep") if row[2] == "ok"]
    assert ok == [row for row in rows(tmp_path / "serial") if row[0] in {key for key, *_ in ok}]
    assert len(ok) == 14


def test_a_lost_scheduler_stops_the_run_and_loses_nothing(machines, tmp_path, monkeypatch):
    own = machines()
    own.worker(SLOW)
    (tmp_path / "sweep.toml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    command = [Path(sys.executable).with_name("kernel-collapse"), "run", "sweep.toml", "--dask", own.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        until(lambda: tables.count(Path("runs/sweep")) >= 2, "two trials")
        own.scheduler.kill()
        out, err = program.communicate(timeout=4 * 3600)
    assert (program.returncode, out) == (1, "")
    kept = rows("runs/sweep")
    assert 2 <= len(kept) < 16
    assert {status for _, _, status, _, _ in kept} == {"ok"}
    *progress, last = err.splitlines()
    assert all("trials" in line for line in progress), err  # nothing of dask's
    assert last == (
        f"Stopped: {len(kept)} of 16 trials are kept in runs/sweep; the scheduler {own.address} is lost: start a "
        "scheduler and run the same command again."
    )
    again = run_cli("run", "sweep.toml", "--dask-local", 2, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"{16 - len(kept)} trials run, {len(kept)} found" in again.stdout
    assert all("trials" in line for line in again.stderr.splitlines()), again.stderr  # nothing of dask's
    alone(tmp_path)
    assert rows("runs/sweep") == rows("serial")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dask", "tcp://127.0.0.1:1"], "no scheduler answers at tcp://127.0.0.1:1, expected one within"),
        (["--dask", "http://127.0.0.1:8786"], "--dask is 'http://127.0.0.1:8786', expected the address"),
        (["--dask", "127.0.0.1"], "--dask is '127.0.0.1', expected the address"),
        (["--dask", "tcp://127.0.0.1:99999"], "expected the address"),
        (["--dask-local", "0"], "--dask-local is 0, expected a whole number that is at least 1"),
        (["--dask-local", "2", "--workers", "2"], "--workers 2 and --dask-local 2 are given, expected one"),
        (["--dask", "tcp://a:1", "--dask-local", "2"], "--dask tcp://a:1 and --dask-local 2 are given"),
    ],
    ids=["unreachable", "scheme", "no-port", "port", "none", "workers", "both"],
)
@pytest.mark.parametrize("command", ["run", "reproduce"])
def test_bad_options_are_refused_before_any_work(command, options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "TIMEOUT", 0.5)
    monkeypatch.chdir(tmp_path)
    Path("sweep.toml").write_text(SWEEP)
    what = ["sweep.toml"] if command == "run" else ["theory-vs-samples"]
    assert message in refuse(monkeypatch, capsys, command, *what, "--out", "new", *options)
    assert not Path("new").exists()


def test_without_dask_it_says_what_to_install(monkeypatch, capsys, tmp_path):
    for package in ("dask", "distributed"):
        monkeypatch.setitem(sys.modules, package, None)
    said = refuse(monkeypatch, capsys, "reproduce", "--dask-local", 2, "--out", tmp_path / "new")
    assert "dask is not installed" in said
    assert "pip install 'kernel-collapse[cluster]'" in said
    assert not (tmp_path / "new").exists()


def test_the_documented_slurm_cluster_submits_what_it_says(tmp_path):
    """Without Slurm: what would be submitted is the text of a job."""
    from dask_jobqueue import SLURMCluster

    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    call = re.search(r"^cluster = (SLURMCluster\(.*?^\))", page, re.S | re.M)[1]
    files = {name: str(tmp_path / f"{name}.pem") for name in ("cert", "key")}
    made = Security.temporary()
    Path(files["cert"]).write_text(made.tls_client_cert)
    Path(files["key"]).write_text(made.tls_client_key)
    settings = {"ca-file": files["cert"], **dict.fromkeys(("client", "scheduler", "worker"), files)}
    ours = {"comm": {"tls": settings, "require-encryption": True}, "scheduler": {"http": {"routes": []}}}
    with dask.config.set(dask.config.merge(dask.config.config, {"distributed": ours})):
        here = call.replace("scheduler_options={", 'scheduler_options={"host": "127.0.0.1", ')
        with eval(here, {"SLURMCluster": SLURMCluster, "Security": Security}) as jobs:
            script = jobs.job_script()
            assert jobs.scheduler_address.startswith("tls://127.0.0.1:")
    for line in ("-n 1", "--cpus-per-task=32", "--mem=60G", "-t 08:00:00"):
        assert f"#SBATCH {line}\n" in script
    assert "\nexport OPENBLAS_NUM_THREADS=1\n" in script
    assert "--nthreads 1 --memory-limit 1.86GiB --nworkers 32" in script
    assert "--lifetime 470m --lifetime-stagger 5m" in script
    assert f"--tls-ca-file {files['cert']} --tls-cert {files['cert']} --tls-key {files['key']}" in script
    assert "BEGIN" not in script
