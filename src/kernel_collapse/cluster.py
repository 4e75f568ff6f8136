"""Many machines: a dask scheduler as the executor of a sweep, or of one huge Gram matrix.

What is sent to a worker runs there only if its kernel_collapse, Python and numerical libraries are those of the client:
the workers that are there are asked before any work, and every task asks again, for workers join at any time.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from functools import cache, partial
from importlib import metadata
from typing import Any

from kernel_collapse import _validate

__all__ = ["Cluster", "WorkersDied", "address", "connect", "versions"]

#: Seconds after which a scheduler that does not answer is said to be unreachable.
TIMEOUT = 10.0
#: Tasks a thread: one that runs, and some on the way.
PER_THREAD = 3
#: Tasks that wait on the scheduler while there are no workers, or few.
AT_LEAST = 8
#: Seconds for which what the scheduler said of itself is believed.
NEWS = 2.0
#: Ctrl-C is left to the client: the terminal sends it to every process of the session.
DEAF = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"


class WorkersDied(RuntimeError):
    """Worker after worker died while it ran one task."""


class Cluster(Executor):
    """The executor of a dask client: one version everywhere, and errors that say whose they are.

    A future raises what its function raised, `WorkersDied` if worker after worker died of it, and BrokenExecutor for
    whatever else became of it: the scheduler was lost, or a worker is of another version.

    Parameters
    ----------
    client : distributed.Client
        Connected, and left open by `shutdown`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)
        about = client.scheduler_info()
        self._address, self._id = about["address"], about["id"]
        self._asked, self._threads = 0.0, 0
        self._run = _guarded(versions())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the future of fn(*args, **kwargs) on a worker."""
        import cloudpickle
        import dask

        if self._client.status != "running":
            raise self._lost()
        outer: Future[Any] = Future()
        # A task carries its inputs, so that it can be run again wherever a worker died: dask warns of large ones.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            inner = self._executor.submit(self._run, cloudpickle.dumps((fn, args, kwargs)))
        # By a weak reference, for in a cycle of the two the result would stay on its worker.
        outer.add_done_callback(partial(_cancel_too, weakref.ref(inner)))
        inner.add_done_callback(partial(self._pass_on, outer))
        return outer

    def in_flight(self) -> int:
        """Return how many tasks the cluster should have at a time, as workers come and go.

        Raises
        ------
        BrokenExecutor
            If the scheduler is lost.
        """
        if time.monotonic() - self._asked > NEWS:
            try:
                # A scheduler that was started anew at the address of the old one knows nothing of our tasks.
                same = self._client.status == "running" and self._client.scheduler_info()["id"] == self._id
                self._threads = sum(self._client.nthreads().values()) if same else 0
            except Exception as error:  # dask's errors of a lost connection are of many types
                raise self._lost() from error
            if not same:
                raise self._lost()
            self._asked = time.monotonic()
        return max(AT_LEAST, PER_THREAD * self._threads)

    def threads(self) -> int:
        """Return how many tasks the workers can run at a time, of those that are there; 1 if none is yet."""
        self.in_flight()
        return max(1, self._threads)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what is on the cluster, or cancel it."""
        self._executor.shutdown(wait=wait and not cancel_futures)

    def _pass_on(self, outer: Future[Any], inner: Future[Any]) -> None:
        from distributed import KilledWorker

        if not outer.set_running_or_notify_cancel():
            return
        error = self._lost() if inner.cancelled() else inner.exception()
        if error is None:
            value, error = inner.result()
            if error is None:
                outer.set_result(value)
                return
        elif isinstance(error, KilledWorker):
            error = WorkersDied(
                f"{error.allowed_failures + 1} workers died while they ran it (out of memory?)"
            )
        elif not isinstance(error, BrokenExecutor):
            error = BrokenExecutor(f"a worker could not begin ({type(error).__name__}: {error})")
        outer.set_exception(error)

    def _lost(self) -> BrokenExecutor:
        return BrokenExecutor(
            f"the scheduler {self._address} is lost: start a scheduler and run the same command again."
        )


def address(value: str, what: str = "--dask") -> str:
    """Return the address of a scheduler as dask takes it, or refuse it."""
    scheme, separator, rest = value.rpartition("://")
    host, _, port = rest.rpartition(":")
    if (
        (separator and scheme not in ("tcp", "tls"))
        or not host
        or not port.isdecimal()
        or not 0 < int(port) < 65536
    ):
        raise ValueError(
            f"{what} is {value!r}, expected the address of a scheduler, which `dask scheduler` prints: try tcp://HOST:8786."
        )
    return value if separator else f"tcp://{value}"


@contextmanager
def connect(scheduler: str | None = None, *, local: int | None = None) -> Iterator[Cluster]:
    """Connect to a scheduler, or start one with workers on this machine, and give an executor.

    Parameters
    ----------
    scheduler : str, optional
        Address, tcp://HOST:PORT.
    local : int, optional
        Number of worker processes, each with one thread, of a scheduler of our own on 127.0.0.1. Give one of the two.

    Yields
    ------
    Cluster
        What is in flight when the context is left is cancelled.

    Raises
    ------
    ValueError
        If the address is none, nothing answers there, dask is not installed, or a worker has other versions.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> from kernel_collapse import cluster
    >>> data = kc.data.gaussian_classes(n=1000, dim=8)
    >>> with cluster.connect(local=2) as executor:  # doctest: +SKIP
    ...     kc.streamed_nc1(data.x, data.labels, executor=executor)
    """
    if (scheduler is None) == (local is None):
        raise ValueError(
            f"scheduler is {scheduler!r} and local is {local!r}, expected one of them: the address of a scheduler, "
            "or a number of processes here."
        )
    if scheduler is None:
        processes = _validate.count(local, "--dask-local")
    else:
        scheduler = address(scheduler)
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise ValueError(
            "dask is not installed, expected for work on a cluster: pip install 'kernel-collapse[cluster]'."
        ) from None
    if scheduler is None:
        with (
            # Nannies would set variables of this process too, which slow down every process that it starts later.
            dask.config.set({"distributed.nanny.pre-spawn-environ": {}}),
            LocalCluster(
                n_workers=processes,
                threads_per_worker=1,
                host="127.0.0.1",
                protocol="tcp://",
                dashboard_address=None,
                memory_limit=None,  # as the workers of a pool, which no nanny kills for what they use
                preload=[DEAF],
                silence_logs=logging.CRITICAL,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            ) as here,
            Client(here, set_as_default=False) as client,
        ):
            yield from _executor(client)
        return
    try:
        client = Client(scheduler, timeout=TIMEOUT, set_as_default=False)
    except (OSError, TimeoutError):
        raise ValueError(
            f"no scheduler answers at {scheduler}, expected one within {TIMEOUT:g} s: start one there "
            "(dask scheduler), or check the address and the firewall."
        ) from None
    with client:
        yield from _executor(client)


def _executor(client: Any) -> Iterator[Cluster]:
    _require_same(client)
    executor = Cluster(client)
    try:
        yield executor
    finally:
        executor.shutdown(wait=False)


@cache
def versions() -> dict[str, str]:
    """Return the versions here that decide the bits of a result."""
    from kernel_collapse import __version__

    libraries = {name: metadata.version(name) for name in ("numpy", "scipy", "jax")}
    return {"kernel_collapse": __version__, "Python": ".".join(map(str, sys.version_info[:2])), **libraries}


def _cancel_too(inner: weakref.ref[Future[Any]], outer: Future[Any]) -> None:
    future = inner()
    if outer.cancelled() and future is not None:
        future.cancel()


@cache
def keep_memory() -> None:
    """Let this process keep the memory that it frees, as glibc does by itself.

    Dask's nannies tell the allocator to give everything back at once: tiles then take four times as long, for the
    system clears every page anew.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ and sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-3, 32 * 2**20)  # M_MMAP_THRESHOLD and
            libc.mallopt(-1, 64 * 2**20)  # M_TRIM_THRESHOLD, where glibc's own adjustment ends


def _guarded(expected: dict[str, str]) -> Callable[[bytes], Any]:
    """Return what a worker runs. It is sent by value, as every function inside a function, so that any can read it."""

    def run(call: bytes) -> tuple[Any, Exception | None]:
        wrong = check()
        if wrong:
            from distributed import get_worker

            raise BrokenExecutor(
                f"worker {get_worker().address} has {wrong}: start workers of one version, run the same command again."
            )
        from kernel_collapse.cluster import keep_memory

        keep_memory()
        function, args, kwargs = pickle.loads(call)
        try:
            return function(*args, **kwargs), None
        except Exception as error:
            return None, error

    check = _checked(expected)
    return run


def _checked(expected: dict[str, str]) -> Callable[[], str]:
    """Return what says, where it is run, how the versions differ; sent by value."""

    def check() -> str:
        try:
            from kernel_collapse import __version__ as found
        except ImportError:
            return "no kernel_collapse"
        if found != expected["kernel_collapse"]:
            return f"kernel_collapse {found} (here {expected['kernel_collapse']})"
        from kernel_collapse.cluster import versions

        differing = [name for name, version in expected.items() if versions()[name] != version]
        return ", ".join(f"{name} {versions()[name]} (here {expected[name]})" for name in differing)

    return check


def _require_same(client: Any) -> None:
    """Refuse workers, and a scheduler, of other versions than the client's."""
    here = versions()
    of_client = f"(here {here['Python']})"
    found = client.get_versions()
    wrong = {}
    # A function is sent as the bytecode of one Python: before any is, dask itself says which Python there is.
    for where, about in {"the scheduler": found["scheduler"], **found["workers"]}.items():
        python = ".".join(about["host"]["python"].split(".")[:2])
        if python != here["Python"]:
            wrong[where] = f"Python {python} {of_client}"
    if not wrong:
        wrong = {where: said for where, said in client.run(_checked(here)).items() if said}
    if wrong:
        named = "; ".join(f"{where} has {said}" for where, said in list(wrong.items())[:5])
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(
            f"{named}{more}, expected the same versions on every worker, for the same bits: start them anew from one "
            "environment."
        )
