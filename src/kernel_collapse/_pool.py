"""Processes on this machine that compute, each of which can be ended at once without harm to the others.

The pool of the standard library breaks as a whole when one of its processes dies, and cannot end one that hangs; here a
process that dies or takes too long costs its own task alone, and the pool says which that was.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Generic, NamedTuple, Self, TypeVar

__all__ = ["DIED", "DONE", "GRACE", "OVERDUE", "Ended", "Pool"]

Task = TypeVar("Task")
Result = TypeVar("Result")

#: Seconds that running tasks get when a run is told to stop; Slurm kills 30 s after it has told (its KillWait).
GRACE = 20.0
DONE, DIED, OVERDUE = "done", "died", "overdue"
#: Processes in a row that may end before they are ready: one may be killed, all of them cannot start.
FALSE_STARTS = 3
#: Seconds that a killed process is waited for.
JOIN = 5.0


class Ended(NamedTuple, Generic[Task, Result]):
    """What became of a task: its result, or how its process ended and after how long."""

    task: Task
    how: str
    result: Result | None
    seconds: float
    exit_code: int | None


class Pool(Generic[Task, Result]):
    """Processes that run one function, each a task at a time.

    Parameters
    ----------
    function : callable
        Of a task; a process imports it.
    workers : int
        Processes at most; they are started when there is work for them.
    limit : float
        Seconds that a task may take before its process is ended, whatever it does.
    """

    def __init__(self, function: Callable[[Task], Result], workers: int, limit: float = math.inf) -> None:
        self._function, self._most, self._limit = function, workers, limit
        self._workers: list[_Worker[Task, Result]] = []
        self._false_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End every process at once: what still runs is given up."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    @property
    def running(self) -> int:
        """How many tasks have been started and have not ended."""
        return sum(worker.busy for worker in self._workers)

    @property
    def free(self) -> bool:
        """Whether another task can be started."""
        return self.running < self._most

    def start(self, task: Task) -> None:
        """Give a task to a process that has none."""
        for worker in [w for w in self._workers if not w.busy]:
            if worker.give(task):
                return
            self._drop(worker)  # it died while it had nothing to do
        worker = _Worker(self._function)
        self._workers.append(worker)
        worker.give(task)

    def wait(self, seconds: float) -> list[Ended[Task, Result]]:
        """Return the tasks that end in the next seconds, as soon as there is one."""
        busy = [worker for worker in self._workers if worker.busy]
        now = time.monotonic()
        seconds = min([seconds, *(max(0.0, worker.since + self._limit - now) for worker in busy)])
        wait([source for worker in busy for source in (worker.connection, worker.process.sentinel)], seconds)
        return [end for worker in busy if (end := self._look_at(worker)) is not None]

    def _look_at(self, worker: _Worker[Task, Result]) -> Ended[Task, Result] | None:
        """Return how the task of a worker ended, or None if it has not."""
        seconds = max(0.0, time.monotonic() - worker.since)
        try:
            if worker.connection.poll():
                message = worker.connection.recv()
                if message is None:
                    self._false_starts = 0
                    worker.ready = True
                    worker.since = time.monotonic()
                    return None
                worker.busy = False
                return Ended(worker.task, DONE, message[0], seconds, None)
            if seconds > self._limit:
                self._drop(worker)
                return Ended(worker.task, OVERDUE, None, seconds, None)
            if worker.process.is_alive():
                return None
        except (EOFError, OSError):  # it died, perhaps while it was sending
            worker.process.join(JOIN)
        self._drop(worker)
        code = worker.process.exitcode
        if worker.ready:
            return Ended(worker.task, DIED, None, seconds, code)
        self._false_starts += 1
        if self._false_starts >= FALSE_STARTS:
            raise BrokenExecutor(
                f"{FALSE_STARTS} worker processes in a row ended with exit code {code} before they were ready, "
                "expected them to start: a script that runs trials needs `if __name__ == '__main__':` around them."
            )
        self.start(worker.task)
        return None

    def _drop(self, worker: _Worker[Task, Result]) -> None:
        self._workers.remove(worker)
        worker.process.kill()
        worker.end()


class _Worker(Generic[Task, Result]):
    """A process, its end of the line, and what it does."""

    task: Task

    def __init__(self, function: Callable[[Task], Result]) -> None:
        # "spawn" starts workers clean on every platform: a fork would copy BLAS threads and open database handles.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_work, args=(function, theirs))
        self.process.start()
        theirs.close()  # or the line would not break with the process
        self.busy = self.ready = False
        self.since = math.inf  # when its task began: not before it is ready

    def give(self, task: Task) -> bool:
        """Send it a task; return whether it took it."""
        self.task, self.busy = task, True
        if self.ready:
            self.since = time.monotonic()
        try:
            self.connection.send(task)
        except OSError:
            return False
        return True

    def end(self) -> None:
        """Let go of a process that was killed."""
        self.process.join(JOIN)
        self.connection.close()


def _work(function: Callable[[Task], object], connection: Connection) -> None:
    """Run the tasks that come over the line, until it breaks."""
    # Ctrl-C, and the SIGTERM that Slurm sends to every process of a job, are the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end_with_it() -> None:
            wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=end_with_it, daemon=True).start()
    connection.send(None)  # ready
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send((function(task),))
