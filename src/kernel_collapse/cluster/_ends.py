"""What is done about each of the ways in which a task on a cluster can end."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from enum import Enum
from typing import NamedTuple

__all__ = ["AGAIN", "TRIES", "Decision", "Do", "WorkersDied", "decide"]

#: Times that a task is given to the cluster before it is given up.
TRIES = 4


class WorkersDied(RuntimeError):
    """Worker after worker died while it ran one task, or the cluster lost the task again and again."""


class Do(Enum):
    """What comes next."""

    RETURN = "hand over the result"
    AGAIN = "give the task to the cluster once more"
    RAISE = "hand over an error"


class Decision(NamedTuple):
    """What comes next, and the error if it is one."""

    do: Do
    error: Exception | None = None


AGAIN = Decision(Do.AGAIN)


def decide(error: BaseException | None, *, lost: str, tries: int) -> Decision:
    """Return what is done about a task that ended.

    An error of the task's own function is no business of this: the worker returns it as a result.

    Parameters
    ----------
    error : BaseException or None
        What dask raised in place of the result: KilledWorker, an error of the connection, a cancellation that nobody
        here asked for (its data went with a worker, the scheduler was told to restart), or whatever else. None if
        there is a result.
    lost : str
        What is wrong with the scheduler, empty if nothing is.
    tries : int
        How many times the task was given to the cluster, this time included.

    Returns
    -------
    Decision
        BrokenExecutor is the error if no other task can do better, `WorkersDied` if this task alone is given up.
    """
    from distributed import KilledWorker

    if error is None:
        return Decision(Do.RETURN)
    if isinstance(error, BrokenExecutor):  # the worker's own refusal: it is of another version
        return Decision(Do.RAISE, error)
    if lost:
        return Decision(Do.RAISE, BrokenExecutor(lost))
    if isinstance(error, KilledWorker):  # dask has tried it on several workers
        died = f"{error.allowed_failures + 1} workers died while they ran it (out of memory?)"
        return Decision(Do.RAISE, WorkersDied(died))
    if tries < TRIES:
        return AGAIN
    said = f"{type(error).__name__}: {error}".rstrip(": .")
    return Decision(Do.RAISE, WorkersDied(f"the cluster lost it {tries} times, the last time with {said}"))
