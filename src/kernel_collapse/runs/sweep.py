"""Runs trials on any `concurrent.futures` executor, and resumes.

Each finished trial is in the store before the next is reported; a trial that fails is a row with its message.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from tempfile import TemporaryDirectory
from typing import NamedTuple

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.cluster import WorkersDied
from kernel_collapse.runs._pool import DIED, GRACE, Ended, Pool
from kernel_collapse.runs._storable import said, storable
from kernel_collapse.runs.measurements import Results
from kernel_collapse.runs.store import Store
from kernel_collapse.runs.trials import Trial, compute
from kernel_collapse.solution import SolutionError

__all__ = ["Counts", "Outcome", "Stop", "missing", "run"]

#: Seconds after which a run looks up from its trials: whether it is told to stop.
POLL = 0.2


class Outcome(NamedTuple):
    """What became of one trial."""

    status: str
    message: str
    results: Results
    seconds: float


SEVERAL_DIED = "worker after worker died while it ran, alone too (out of memory?)"


class Counts(NamedTuple):
    """What became of the trials of a sweep; those beyond their time limit are among the failed."""

    reused: int
    done: int
    failed: int


class Stop:
    """Tells a run, from a signal handler or another thread, to start no more trials.

    Parameters
    ----------
    grace : float
        Seconds that the trials which are running get to finish; what has not finished then is given up.

    Examples
    --------
    >>> stop = Stop(grace=5)
    >>> stop.requested, stop.left
    (False, inf)
    >>> stop.request()
    >>> stop.requested, 0 < stop.left <= 5
    (True, True)
    """

    def __init__(self, grace: float = GRACE) -> None:
        self.grace = _validate.positive(grace, "grace", zero_allowed=True)
        self._since = math.inf

    def request(self) -> None:
        """Stop; the grace begins with the first request."""
        self._since = min(self._since, time.monotonic())

    @property
    def requested(self) -> bool:
        """Whether the run has been told."""
        return self._since < math.inf

    @property
    def left(self) -> float:
        """Seconds that are left to what is running."""
        return self._since + self.grace - time.monotonic()


def missing(trials: Iterable[Trial], store: Store) -> list[Trial]:
    """Return the trials that have no row yet, each once, the longest first.

    Before them goes one trial of each program that JAX compiles, for the others to find it compiled.
    """
    finished = store.finished()
    todo = {trial.key: trial for trial in trials}
    compiling: list[Trial] = []
    others: list[Trial] = []
    known = set[Hashable]()
    for trial in sorted((t for key, t in todo.items() if key not in finished), key=lambda t: -t.cost):
        programs = trial.programs.keys()
        (others if programs <= known else compiling).append(trial)
        known |= programs
    return compiling + others


def run(
    trials: Iterable[Trial],
    store: Store,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    report: Callable[[Trial, Outcome], None] = lambda trial, outcome: None,
    trial_timeout: float | None = None,
    stop: Stop | None = None,
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
    trial_timeout : float, optional
        Seconds that a trial may run. Beyond them its process is ended, whatever it does, with every process that it has
        started, and its row has the status "timeout"; the trials beside it go on. Time during which the process, or
        this one, was stopped is not counted. Not with an `executor`, whose processes are not ours to end.
    stop : Stop, optional
        What to ask whether to stop: the run returns early then, and goes on when it is called again.

    Raises
    ------
    ValueError
        If another process writes to the store, or an argument is out of its range.
    StoreError
        If the disk is full or fails; every row written until then is kept. `StoreMoved` if the folder was moved or
        deleted meanwhile; its message says where the rows are.
    BrokenExecutor
        If worker processes cannot even start, or the `executor` breaks. Nothing is written of the trials that it had:
        running again goes on from there.
    """
    limit = math.inf if trial_timeout is None else _validate.positive(trial_timeout, "trial_timeout")
    if executor is not None and trial_timeout is not None:
        raise InputError(
            "trial_timeout and an executor",
            "both given",
            "one",
            "a trial that runs elsewhere cannot be ended from here",
            verb="are",
        )
    if executor is not None and not isinstance(executor, Executor):
        raise InputError(
            "executor",
            f"of type {type(executor).__name__}",
            "a concurrent.futures.Executor",
            "of a dask client use kernel_collapse.cluster.connect, or client.get_executor()",
        )
    stop = stop or Stop()
    store.hold()
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
        for suspect in _drain_elsewhere(executor, todo, keep, in_flight, stop):
            for trial in _drain_elsewhere(executor, deque([suspect]), keep, in_flight, stop):
                if not stop.requested:
                    keep(trial, Outcome("failed", SEVERAL_DIED, {}, 0.0))
        return counts
    # A worker dies of one trial, or because the others have taken the memory: what dies again, alone, is the one.
    for lost in _run_here(todo, keep, workers, limit, stop):
        for culprit in _run_here(deque([lost.task]), keep, 1, limit, stop):
            if not stop.requested:  # else it may have died of the same signal
                keep(culprit.task, _died_twice(culprit))
    return counts


def attempt(trial: Trial) -> Outcome:
    """Run one trial; an error is an outcome, with its message."""
    start = time.perf_counter()
    try:
        results = storable(compute(trial))
        return Outcome("ok", "", results, time.perf_counter() - start)
    except MemoryError as error:
        message = f"out of memory ({str(error).rstrip('.')}): fewer processes or a larger machine may do."
        return Outcome("failed", message, {}, time.perf_counter() - start)
    except (Exception, SystemExit) as error:  # a sweep of thousands must not end because one trial did
        return Outcome("failed", said(error), _ended(error), time.perf_counter() - start)


def _ended(error: BaseException) -> Results:
    """Return how a computation ended that raised, as its measurement would have stored it."""
    status = error.status if isinstance(error, SolutionError) else None
    if isinstance(status, tuple):  # a trial trains one network
        status = status[0]
    return {} if status is None else {"solver": status.value}


def _attempt_with(programs: str, trial: Trial) -> Outcome:
    """Run one trial in a process that shares what JAX compiles, unless the user has a folder for that."""
    if programs:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", programs)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
    return attempt(trial)


@contextmanager
def _folder_of_programs(trials: Iterable[Trial]) -> Iterator[str]:
    """Make a folder for what JAX compiles, if it compiles anything and the disk takes it; else its name is empty."""
    with ExitStack() as made:
        folder = ""
        if any(trial.programs for trial in trials):
            with suppress(OSError):
                temporary = TemporaryDirectory(prefix="kernel-collapse-", ignore_cleanup_errors=True)
                folder = made.enter_context(temporary)
        yield folder


def _run_here(
    todo: deque[Trial],
    keep: Callable[[Trial, Outcome], None],
    workers: int,
    limit: float,
    stop: Stop,
) -> list[Ended[Trial, Outcome]]:
    """Run trials on processes of this machine; return those whose process died."""
    lost = []
    ended: list[Ended[Trial, Outcome]] = []
    with (
        _folder_of_programs(todo) as programs,
        Pool(partial(_attempt_with, programs), workers, limit) as pool,
    ):
        while ended or (pool.running and stop.left > 0) or (todo and not stop.requested):
            while todo and pool.free and not stop.requested:
                pool.start(todo.popleft())
            for end in ended:  # stored while the workers have begun with the next
                if end.how == DIED:
                    lost.append(end)
                elif end.result is None:
                    keep(end.task, _overdue(end, limit))
                else:
                    keep(end.task, end.result)
            ended = pool.wait(min(POLL, max(0.0, stop.left))) if pool.running else []
    return lost


def _drain_elsewhere(
    executor: Executor,
    todo: deque[Trial],
    keep: Callable[[Trial, Outcome], None],
    in_flight: Callable[[], int],
    stop: Stop,
) -> list[Trial]:
    """Run trials until none is left; return those whose workers died. A broken executor ends it: no row is made up."""
    running: dict[Future[Outcome], Trial] = {}
    suspects: list[Trial] = []
    try:
        while (running and stop.left > 0) or (todo and not stop.requested):
            while todo and not stop.requested and len(running) < in_flight():
                try:
                    future = executor.submit(attempt, todo[0])
                except BrokenExecutor:
                    raise
                except RuntimeError as error:  # one that was shut down takes no more
                    raise BrokenExecutor(f"the executor takes no trials ({said(error)})") from error
                running[future] = todo.popleft()
            broken: Exception | None = None
            in_flight()  # an executor that is lost says so here, where no future would
            # A future that was cancelled is not done for `wait` until its executor says so, which one that is shut down
            # never does.
            ended = wait(running, timeout=POLL, return_when=FIRST_COMPLETED).done
            for future in ended or [future for future in running if future.cancelled()]:
                trial = running.pop(future)
                try:
                    keep(trial, future.result())
                except WorkersDied:
                    suspects.append(trial)
                except (BrokenExecutor, CancelledError) as error:
                    broken = error
                except Exception as error:  # an executor of the user's has errors of its own
                    keep(trial, Outcome("failed", said(error), {}, 0.0))
            if broken is not None:
                why = str(broken) or "the executor cancelled what it had: run again with a new one."
                raise BrokenExecutor(why) from broken
    finally:
        for future in running:  # after Ctrl-C, or when the grace is over
            future.cancel()
    return suspects


def _overdue(end: Ended[Trial, Outcome], limit: float) -> Outcome:
    return Outcome(
        "timeout", f"no result after {limit:g} s, the time limit of a trial: it was ended.", {}, end.seconds
    )


def _died_twice(end: Ended[Trial, Outcome]) -> Outcome:
    code = end.exit_code or 0
    names = {known.value: known.name for known in signal.Signals}
    how = (
        f"ended with exit code {code}"
        if code >= 0
        else f"was killed by {names.get(-code, f'signal {-code}')}"
    )
    killed = code == -signal.SIGKILL
    memory = ": it takes more memory than there is, most likely" if killed else ""
    message = f"its process {how} twice, the second time with no other trial beside it{memory}."
    return Outcome("failed", message, {}, end.seconds)
