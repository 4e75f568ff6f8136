"""Runs trials on any `concurrent.futures` executor, and resumes.

Each finished trial is in the store before the next is reported; a trial that fails is a row with its message.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_sentinel
from typing import NamedTuple

from kernel_collapse.cluster import WorkersDied
from kernel_collapse.measurements import Results
from kernel_collapse.store import Store
from kernel_collapse.trials import Trial, compute

__all__ = ["Counts", "Outcome", "missing", "run"]


class Outcome(NamedTuple):
    """What became of one trial."""

    status: str
    message: str
    results: Results
    seconds: float


WORKER_DIED = Outcome("failed", "the worker process died (out of memory?)", {}, 0.0)
SEVERAL_DIED = "worker after worker died while it ran, alone too (out of memory?)"


class Counts(NamedTuple):
    """What became of the trials of a sweep."""

    reused: int
    done: int
    failed: int


def missing(trials: Iterable[Trial], store: Store) -> list[Trial]:
    """Return the trials that have no row yet, each once, the longest first."""
    finished = store.finished()
    todo = {trial.key: trial for trial in trials}
    return sorted((t for key, t in todo.items() if key not in finished), key=lambda t: -t.cost)


def run(
    trials: Iterable[Trial],
    store: Store,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    report: Callable[[Trial, Outcome], None] = lambda trial, outcome: None,
) -> Counts:
    """Run what is missing and return how many trials were reused, done and failed.

    Parameters
    ----------
    trials : iterable of Trial
        Duplicates run once.
    store : Store
        Rows that it has are not computed again, failed ones neither (`Store.forget_failed`).
    workers : int
        Size of the process pool, where no `executor` is given.
    executor : concurrent.futures.Executor, optional
        Whatever runs trials elsewhere: a pool of your own, or many machines (`kernel_collapse.cluster.connect`). If
        it has a method ``in_flight()``, as these have, that many trials are with it at a time, and else 64.
    report : callable
        Called with each trial and its `Outcome`, after its row has been written.

    Raises
    ------
    BrokenExecutor
        If the `executor` breaks. Nothing is written of the trials that it had: running again goes on from there.
    """
    trials = list(trials)
    todo = deque(missing(trials, store))
    counts = Counts(reused=len({trial.key for trial in trials}) - len(todo), done=0, failed=0)

    def keep(trial: Trial, outcome: Outcome) -> None:
        nonlocal counts
        store.add(trial, **outcome._asdict())
        ok = outcome.status == "ok"
        counts = counts._replace(done=counts.done + ok, failed=counts.failed + (not ok))
        report(trial, outcome)

    if executor is not None:
        in_flight = getattr(executor, "in_flight", lambda: 64)
        # Workers die with all that waits for them: what dies again, alone, is at fault.
        for trial in _drain_elsewhere(executor, todo, keep, in_flight):
            for culprit in _drain_elsewhere(executor, deque([trial]), keep, in_flight):
                keep(culprit, Outcome("failed", SEVERAL_DIED, {}, 0.0))
    while todo:
        with _pool(workers) as pool:
            suspects = _drain(pool, todo, keep, in_flight=2 * workers)
        for trial in suspects:  # a worker died of one of them: the one that dies again, alone, is the one
            with _pool(1) as pool:
                for culprit in _drain(pool, deque([trial]), keep, in_flight=1):
                    keep(culprit, WORKER_DIED)
    return counts


def attempt(trial: Trial) -> Outcome:
    """Run one trial; an error is an outcome, with its message."""
    start = time.perf_counter()
    try:
        results = compute(trial)
        return Outcome("ok", "", results, time.perf_counter() - start)
    except Exception as error:  # a sweep of thousands must not end because one trial did
        return Outcome("failed", f"{type(error).__name__}: {error}", {}, time.perf_counter() - start)


def _drain(
    executor: Executor, todo: deque[Trial], keep: Callable[[Trial, Outcome], None], in_flight: int
) -> list[Trial]:
    """Run trials until none is left, or the executor breaks; return those that were in flight when it did."""
    running: dict[Future[Outcome], Trial] = {}
    lost: list[Trial] = []
    while running or (todo and not lost):
        while todo and not lost and len(running) < in_flight:
            try:
                running[executor.submit(attempt, todo[0])] = todo[0]
            except BrokenExecutor:
                lost.append(todo[0])
            todo.popleft()
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            trial = running.pop(future)
            try:
                outcome = future.result()
            except BrokenExecutor:
                lost.append(trial)
            except Exception as error:  # an executor of the user's has errors of its own
                keep(trial, Outcome("failed", f"{type(error).__name__}: {error}", {}, 0.0))
            else:
                keep(trial, outcome)
    return lost


def _drain_elsewhere(
    executor: Executor,
    todo: deque[Trial],
    keep: Callable[[Trial, Outcome], None],
    in_flight: Callable[[], int],
) -> list[Trial]:
    """Run trials until none is left; return those whose workers died. A broken executor ends it: no row is made up."""
    running: dict[Future[Outcome], Trial] = {}
    suspects: list[Trial] = []
    try:
        while running or todo:
            while todo and len(running) < in_flight():
                trial = todo.popleft()
                running[executor.submit(attempt, trial)] = trial
            broken: Exception | None = None
            in_flight()  # an executor that is lost says so here, where no future would
            for future in wait(running, timeout=5.0, return_when=FIRST_COMPLETED).done:
                trial = running.pop(future)
                try:
                    keep(trial, future.result())
                except WorkersDied:
                    suspects.append(trial)
                except (BrokenExecutor, CancelledError) as error:
                    broken = error
                except Exception as error:  # an executor of the user's has errors of its own
                    keep(trial, Outcome("failed", f"{type(error).__name__}: {error}", {}, 0.0))
            if broken is not None:
                said = str(broken) or "the executor cancelled what it had: run again with a new one."
                raise BrokenExecutor(said) from broken
    finally:
        for future in running:  # after Ctrl-C nothing new is started
            future.cancel()
    return suspects


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    # "spawn" starts workers clean on every platform: a fork would copy BLAS threads and open database handles.
    context = multiprocessing.get_context("spawn")
    stopped, going = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(stopped,))
    try:
        yield pool
    except BaseException:  # Ctrl-C: what runs is given up, for it may take minutes
        going.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C nothing new is started


def _start_worker(stopped: Connection) -> None:
    """Leave Ctrl-C to the parent, and end when it says so or is killed: a worker would wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait_for_sentinel([parent.sentinel, stopped])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
