"""Many machines: a dask scheduler as the executor of a sweep, or of one huge Gram matrix.

A task runs on a worker only if its kernel_collapse, Python and numerical libraries are those of the client. The
workers are asked before any work. Every task asks again, because workers can join at any time.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import AsyncExitStack, contextmanager, suppress
from itertools import count
from typing import Any

from kernel_collapse import _extras, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.cluster import _open
from kernel_collapse.cluster._ends import Do, WorkersDied, decide
from kernel_collapse.cluster._loop import event_loop, quiet, wait_for
from kernel_collapse.cluster._open import address
from kernel_collapse.cluster._worker import guarded, versions

__all__ = ["Cluster", "WorkersDied", "address", "connect", "versions"]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__


#: Seconds after which a scheduler that does not answer is said to be unreachable.
TIMEOUT = 10.0
#: Seconds after which workers that do not say their versions are given up: each imports this package first.
PATIENCE = 60.0
#: Seconds that closing may take, of what may be broken.
CLOSING = 20.0
#: Tasks a thread: one that runs, and some on the way.
PER_THREAD = 3
#: Tasks that wait on the scheduler while there are no workers, or few.
AT_LEAST = 8
#: Seconds for which an answer of the scheduler holds.
FRESH = 2.0
#: Seconds that are spent waiting for its answer at a time.
POLL = 1.0


class Cluster(Executor):
    """The executor of a dask client: one version everywhere, and errors that say whose they are.

    A future raises what its function raised, `WorkersDied` if worker after worker died of it or lost it, and
    BrokenExecutor for whatever else became of it: the scheduler was lost, or a worker is of another version.

    Parameters
    ----------
    client : distributed.Client
        Connected, and left open by `shutdown`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop
        about = client.scheduler_info()
        self._address, self._id = about["address"], about["id"]
        self._asked, self._threads = 0.0, 0
        self._asking: Future[int] | None = None
        self._followed: set[Future[None]] = set()
        self._shut, self._same = False, True
        self._run = guarded(versions())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the future of fn(*args, **kwargs) on a worker."""
        import cloudpickle

        if self._shut:
            raise RuntimeError("the executor was shut down, expected one that is open: connect again.")
        if lost := self._lost():
            raise BrokenExecutor(lost)
        outer: Future[Any] = Future()
        # A task carries its inputs, so that it can be run again wherever a worker died.
        call = cloudpickle.dumps((fn, args, kwargs))
        followed = asyncio.run_coroutine_threadsafe(self._follow(call, outer), self._loop)
        self._followed.add(followed)
        followed.add_done_callback(self._followed.discard)
        outer.add_done_callback(lambda outer: followed.cancel() if outer.cancelled() else None)
        return outer

    def in_flight(self) -> int:
        """Return how many tasks the cluster should have at a time, as workers come and go.

        Raises
        ------
        BrokenExecutor
            If the scheduler is lost.
        """
        if lost := self._lost():
            raise BrokenExecutor(lost)
        if time.monotonic() - self._asked > FRESH:
            self._ask()
        return max(AT_LEAST, PER_THREAD * self._threads)

    def threads(self) -> int:
        """Return how many tasks the workers can run at a time, of those that are there; 1 if none is yet."""
        self.in_flight()
        return max(1, self._threads)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what is on the cluster, or cancel it."""
        self._shut = True
        followed = set(self._followed)
        if not wait or cancel_futures:
            for one in followed:
                one.cancel()
        if wait:
            futures.wait(followed)

    def _ask(self) -> None:
        """Ask the scheduler for its threads, and read what it has answered if it has: it may be slow, or hang."""

        async def threads() -> int:
            async with asyncio.timeout(PATIENCE):
                found = await self._client.nthreads()
            self._look()
            return sum(found.values())

        if self._asking is None:
            self._asking = asyncio.run_coroutine_threadsafe(threads(), self._loop)
        if not futures.wait([self._asking], POLL).done:
            return
        answer, self._asking = self._asking, None
        try:
            self._threads, self._asked = answer.result(), time.monotonic()
        except Exception as error:  # dask's errors of a lost connection are of many types
            raise BrokenExecutor(self._is_lost()) from error
        if lost := self._lost():
            raise BrokenExecutor(lost)

    async def _follow(self, call: bytes, outer: Future[Any]) -> None:
        """See a task through to its end, whatever happens to it on the way."""
        value, error = None, None
        try:
            value, error = await self._outcome(call)
        except asyncio.CancelledError:
            outer.cancel()
            raise
        except Exception as fault:  # a future that never ends would be worse
            error = BrokenExecutor(f"the cluster failed ({type(fault).__name__}: {fault})")
        finally:
            if outer.set_running_or_notify_cancel():
                if error is None:
                    outer.set_result(value)
                else:
                    outer.set_exception(error)

    async def _outcome(self, call: bytes) -> tuple[Any, Exception | None]:
        """Return what the function returned, and the error: the function's, or of its worker or scheduler."""
        task = asyncio.current_task()
        for tries in count(1):
            answer, inner, error = b"", None, None
            try:
                inner = self._give(call)
                answer = await self._client.gather(inner)
            except BaseException as raised:  # dask's cancellations too
                if task is not None and task.cancelling():  # our own
                    raise
                error = raised
            finally:
                if inner is not None:
                    inner.release()
            self._look()
            decision = decide(error, lost=self._lost(), tries=tries)
            if decision.do is Do.RAISE:
                return None, decision.error
            if decision.do is Do.RETURN:
                break
        try:
            return pickle.loads(answer)
        except Exception as error:
            return None, RuntimeError(f"its result cannot be read here ({type(error).__name__}: {error})")

    def _give(self, call: bytes) -> Any:
        """Give a task to dask, which drops it when what this returns is released."""
        import dask

        # Dask warns of large tasks.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self._client.submit(self._run, call, pure=False)

    def _look(self) -> None:
        """Note, in the loop, whether the scheduler is still the one: another knows nothing of our tasks."""
        self._same = self._client.scheduler_info().get("id") == self._id

    def _lost(self) -> str:
        """Return what is wrong with the scheduler, empty if nothing is."""
        return "" if self._client.status == "running" and self._same else self._is_lost()

    def _is_lost(self) -> str:
        return f"the scheduler {self._address} is lost: start a scheduler and run the same command again."


@contextmanager
def connect(scheduler: str | None = None, *, local: int | None = None) -> Iterator[Cluster]:
    """Connect to a scheduler, or start one with workers on this machine, and give an executor.

    Parameters
    ----------
    scheduler : str, optional
        Address, tcp://HOST:PORT; or tls://HOST:PORT, with the certificate that dask's configuration names.
    local : int, optional
        Number of worker processes, each with one thread, of a scheduler of our own on 127.0.0.1. Who has not their
        certificate, which is made for them and is in no file, is refused by all of them. Give one of the two.

    Yields
    ------
    Cluster
        What is in flight when the context is left is cancelled.

    Raises
    ------
    ValueError
        If the address is none, no scheduler answers there in time, dask is not installed, or a worker has other
        versions.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> from kernel_collapse import cluster
    >>> data = kc.data.gaussian_classes(n=1000, dim=8)
    >>> with cluster.connect(local=2) as executor:  # doctest: +SKIP
    ...     kc.streamed_nc1(data.x, data.labels, executor=executor)
    """
    if (scheduler is None) == (local is None):
        raise InputError(
            "scheduler",
            f"{scheduler!r} and local is {local!r}",
            "one of them",
            "the address of a scheduler, or a number of processes here",
        )
    processes = 0
    if scheduler is None:
        processes = _validate.count(local, "--dask-local")
    else:
        scheduler = address(scheduler)
    certificates = ["cryptography"] if scheduler is None else []
    _extras.require("cluster", "work on a cluster", "dask", "distributed", "cloudpickle", *certificates)
    with event_loop() as loop, quiet(logging.WARNING), _closed_quietly(loop) as stack:
        if scheduler is None:
            client = wait_for(loop, _open.start(stack, processes))
        else:
            with quiet():  # until it is known to be one
                client = wait_for(loop, _open.reach(stack, scheduler, TIMEOUT))
        wait_for(loop, _open.require_same(client, PATIENCE))
        executor = Cluster(client)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)


@contextmanager
def _closed_quietly(loop: asyncio.AbstractEventLoop) -> Iterator[AsyncExitStack]:
    """Give a stack for what is opened in the loop; it is closed there, in time and without a word of dask's."""
    stack = AsyncExitStack()
    try:
        yield stack
    finally:
        with quiet(), suppress(TimeoutError):  # what does not close by itself ends with this process
            wait_for(loop, stack.aclose(), CLOSING)
