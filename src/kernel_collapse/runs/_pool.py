"""Processes on this machine that compute, each of which can be ended at once without harm to the others.

The pool of the standard library breaks as a whole when one of its processes dies, and cannot end one that hangs; here a
process that dies or takes too long costs its own task alone, and the pool says which that was.
Pebble has such a pool, but its limits are of the wall clock, which goes on while a machine is paused, and it ends a
process without those that its task has started.

The time of a task is that during which its process ran, as far as the pool has seen: neither a process that is stopped
(SIGSTOP) grows older, nor one whose pool was stopped too (Ctrl-Z, a machine that was paused).
"""

from __future__ import annotations

import contextlib
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

from kernel_collapse import _streams

__all__ = ["DIED", "DONE", "GRACE", "OVERDUE", "Ended", "Pool"]

Task = TypeVar("Task")
Result = TypeVar("Result")

#: Seconds that running tasks get when a run is told to stop; Slurm kills 30 s after it has told (its KillWait).
GRACE = 20.0
DONE, DIED, OVERDUE = "done", "died", "overdue"
RUNS, STOPPED, DEAD = "runs", "stopped", "dead"
#: Processes in a row that may end before they are ready: one may be killed, all of them cannot start.
FALSE_STARTS = 3
#: Seconds that a killed process is waited for.
JOIN = 5.0
#: Seconds between two checks of the processes, beyond which the pool itself was stopped and not merely busy.
BUSY = 1.0
#: Seconds that a check takes at least, so that a limit which is all but reached is reached.
SHORTEST = 0.001


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
        Seconds that a task may run before its process is ended, whatever it does, and with it every process that it
        has started.
    """

    def __init__(self, function: Callable[[Task], Result], workers: int, limit: float = math.inf) -> None:
        self._function, self._most, self._limit = function, workers, limit
        self._workers: list[_Worker[Task, Result]] = []
        self._false_starts = 0
        self._looked = math.inf  # when

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End every process at once: what still runs is given up."""
        for worker in self._workers:
            worker.kill()
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
        before = time.monotonic()
        seconds = min([seconds, *(max(SHORTEST, self._limit - worker.ran) for worker in busy)])
        wait([source for worker in busy for source in (worker.connection, worker.process.sentinel)], seconds)
        now = time.monotonic()
        passed = min(max(0.0, before - self._looked), BUSY) + min(now - before, seconds)
        self._looked = now
        for worker in busy:
            worker.grow_older(passed)
        return [end for worker in busy if (end := self._look_at(worker)) is not None]

    def _look_at(self, worker: _Worker[Task, Result]) -> Ended[Task, Result] | None:
        """Return how the task of a worker ended, or None if it has not."""
        try:
            if worker.connection.poll():
                message = worker.connection.recv()
                if message is None:
                    self._false_starts = 0
                    worker.ready = True
                    return None
                worker.busy = False
                return Ended(worker.task, DONE, message[0], worker.ran, None)
            if worker.ran >= self._limit:
                self._drop(worker)
                return Ended(worker.task, OVERDUE, None, worker.ran, None)
            if worker.state != DEAD:
                return None
        except (EOFError, OSError):  # it died, perhaps while it was sending
            pass
        self._drop(worker)
        code = worker.process.exitcode
        if worker.ready:
            return Ended(worker.task, DIED, None, worker.ran, code)
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
        worker.kill()
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
        self.ran = 0.0  # seconds that it has run at its task

    def give(self, task: Task) -> bool:
        """Send it a task; return whether it took it."""
        self.task, self.busy, self.ran = task, True, 0.0
        try:
            self.connection.send(task)
        except OSError:
            return False
        return True

    @property
    def state(self) -> str:
        """Whether it runs, is stopped or is dead; a dead one stays in the system's table, and keeps its number."""
        if not hasattr(os, "waitid"):  # macOS: that it is stopped is not seen
            return RUNS if self.process.is_alive() else DEAD
        pid = self.process.pid
        assert pid is not None
        try:
            seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody has asked for its exit code
            return DEAD
        if seen is None:
            return RUNS
        return STOPPED if seen.si_code in (os.CLD_STOPPED, os.CLD_TRAPPED) else DEAD

    def grow_older(self, seconds: float) -> None:
        """Count the seconds since it was last looked at, unless it did not work then."""
        if self.ready and self.state == RUNS:
            self.ran += seconds

    def kill(self) -> None:
        """End it, and every process that its task has started, whose group it leads."""
        pid = self.process.pid
        with contextlib.suppress(ProcessLookupError, PermissionError, AttributeError):
            if pid is not None and self.ready:  # else it may lead no group yet, and has started nothing
                os.killpg(pid, signal.SIGKILL)
        self.process.kill()

    def end(self) -> None:
        """Let go of a process that was killed."""
        self.process.join(JOIN)
        self.connection.close()


def _work(function: Callable[[Task], object], connection: Connection) -> None:
    """Run the tasks that come over the line, until it breaks."""
    # Ctrl-C, the SIGTERM that Slurm sends to every process of a job, and a terminal that is closed are the parent's to
    # answer.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    leads = hasattr(os, "setsid")
    if leads:
        os.setsid()  # it leads the group of what its tasks start
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end_with_it() -> None:
            wait([parent.sentinel])
            if leads:
                os.killpg(0, signal.SIGKILL)
            os._exit(1)

        threading.Thread(target=end_with_it, daemon=True).start()
    with _streams.best_effort():  # what a task prints is no fault of it
        connection.send(None)  # ready
        while True:
            try:
                task = connection.recv()
            except (EOFError, OSError):  # the parent was killed
                return
            connection.send((function(task),))
