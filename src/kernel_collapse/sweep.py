"""Runs trials on any `concurrent.futures` executor, and resumes.

Each finished trial is in the store before the next is reported; a trial that fails is a row with its message.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_sentinel
from typing import NamedTuple

from kernel_collapse.store import Store
from kernel_collapse.trials import Trial, measure

__all__ = ["Counts", "Outcome", "missing", "run"]


class Outcome(NamedTuple):
    """What became of one trial."""

    status: str
    message: str
    results: dict[str, float]
    seconds: float


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
        Whatever runs trials elsewhere: a pool of your own, or dask.distributed's ``client.get_executor()``.
    report : callable
        Called with each trial and its `Outcome`, after its row has been written.
    """
    trials = list(trials)
    todo = missing(trials, store)
    reused = len({trial.key for trial in trials}) - len(todo)
    failed = 0

    def keep(trial: Trial, outcome: Outcome) -> None:
        nonlocal failed
        failed += outcome.status != "ok"
        store.add(
            trial,
            status=outcome.status,
            message=outcome.message,
            results=outcome.results,
            seconds=outcome.seconds,
        )
        report(trial, outcome)

    if executor is not None:
        _drain(executor, todo, keep, in_flight=64)
    elif todo:
        _run_in_pools(todo, keep, workers)
    return Counts(reused, len(todo) - failed, failed)


def attempt(trial: Trial) -> Outcome:
    """Run one trial; an error is an outcome, with its message."""
    start = time.perf_counter()
    try:
        results = measure(trial)
        return Outcome("ok", "", results, time.perf_counter() - start)
    except Exception as error:  # a sweep of thousands must not end because one trial did
        return Outcome("failed", f"{type(error).__name__}: {error}", {}, time.perf_counter() - start)


def _run_in_pools(todo: list[Trial], keep: Callable[[Trial, Outcome], None], workers: int) -> None:
    """Run on process pools: when a worker dies, the trials it may have died of are tried once more, alone."""
    suspects: list[Trial] = []
    while todo or suspects:
        alone = bool(suspects)
        batch = suspects[:1] if alone else todo
        with _pool(1 if alone else workers) as pool:
            lost = _drain(pool, batch, keep, in_flight=2 * workers)
        if alone:
            suspects = suspects[1:]
            for trial in lost:
                keep(trial, Outcome("failed", "the worker process died (out of memory?)", {}, 0.0))
        else:
            suspects = lost
            handled = {trial.key for trial in lost}
            todo = [t for t in batch if t.key in _unstarted and t.key not in handled]


def _pool(workers: int) -> ProcessPoolExecutor:
    # "spawn" starts workers clean on every platform: a fork would copy BLAS threads and open database handles.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_leave_with_parent)


def _leave_with_parent() -> None:
    """End this worker when its parent is killed; otherwise it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait_for_sentinel([parent.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
