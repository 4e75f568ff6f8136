"""How far a run is and how long it will take: a bar on a terminal, and a line from time to time in a log."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import typer

from kernel_collapse._text import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.progress import Progress

    from kernel_collapse.runs.sweep import Outcome
    from kernel_collapse.runs.trials import Trial

__all__ = ["Forecast", "Shown", "about", "about_on"]

#: Seconds after which a log gets a line, should no tenth of the work have been done meanwhile.
QUIET = 60.0


def about(seconds: float) -> str:
    """Return a time that is an estimate as it is printed."""
    return duration(seconds) if seconds < 1 else f"about {duration(seconds)}"


def about_on(seconds: float, processes: int) -> str:
    """Return it with the number of processes that it is for."""
    return f"{about(seconds)} on {processes} process{'es' if processes > 1 else ''}"


class Forecast:
    """How long trials will take on so many processes, by the model of their costs and the pace of this machine.

    Parameters
    ----------
    todo : iterable of Trial
        In the order in which they are started.
    processes : int
        How many run at a time.
    clock : callable
        Gives seconds, and never goes back.
    """

    def __init__(
        self, todo: Iterable[Trial], processes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        from kernel_collapse.runs.trials import costs

        todo = list(todo)
        self._clock, self._processes = clock, processes
        self.costs = costs(todo, processes)
        self._waiting = dict(self.costs)
        self._running: dict[str, tuple[float, float]] = {}  # cost, and when it was started
        self.total = self._cost_waiting = sum(self._waiting.values())
        self._cost_done = self._seconds_done = 0.0
        self._start()

    def finish(self, trial: Trial, outcome: Outcome) -> None:
        """Take account of a trial that has ended."""
        if self._running.pop(trial.key, None) is None:  # started in another order: a worker died
            self._cost_waiting -= self._waiting.pop(trial.key, 0.0)
        if outcome.status == "ok":
            self._cost_done += self.costs.get(trial.key, trial.cost)
            self._seconds_done += outcome.seconds
        self._start()

    def left(self) -> float:
        """Return the seconds that are left: of all the work, shared out, or of the longest trial."""
        pace = self._seconds_done / self._cost_done if self._cost_done else 1.0
        now = self._clock()
        running = [max(0.0, cost * pace - (now - start)) for cost, start in list(self._running.values())]
        waiting = self._cost_waiting * pace
        longest = next(iter(list(self._waiting.values())[:1]), 0.0) * pace
        return max([(sum(running) + waiting) / self._processes, longest, *running])

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._processes:
            key = next(iter(self._waiting))
            cost = self._waiting.pop(key)
            self._cost_waiting -= cost
            self._running[key] = cost, self._clock()


class Shown:
    """Shows on stderr how far a run is while it is entered.

    Parameters
    ----------
    todo : list of Trial
        What is to run.
    done, total : int
        How many trials have rows already, and how many there are with them.
    processes : int
        How many run at a time.
    """

    def __init__(self, todo: list[Trial], done: int, total: int, processes: int) -> None:
        self.done, self.total = done, total
        self.forecast = Forecast(todo, processes)
        self._cost = self._said_cost = 0.0
        self._said = time.monotonic()
        self._open = ExitStack()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = self._open.enter_context(_bar(self.forecast))
            self._bar.add_task("", total=self.forecast.total, done=self.done, total_trials=self.total)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def advance(self, trial: Trial, outcome: Outcome) -> None:
        """Count a trial that has its row."""
        self.done += 1
        self._cost += self.forecast.costs.get(trial.key, trial.cost)
        self.forecast.finish(trial, outcome)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._cost, done=self.done)
            return
        tenth = self._cost - self._said_cost > self.forecast.total / 10
        if self.done < self.total and (tenth or time.monotonic() - self._said > QUIET):
            self._said, self._said_cost = time.monotonic(), self._cost
            left = about(self.forecast.left())
            typer.echo(f"{self.done} of {self.total} trials, {left} left.", err=True)


def _bar(forecast: Forecast) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Left(ProgressColumn):
        """Time left, by the forecast: rich's own knows nothing of trials that are running."""

        def render(self, task: Task) -> Text:
            return Text(f"{about(forecast.left())} left", style="progress.remaining")

    return Progress(
        TextColumn("{task.fields[done]} of {task.fields[total_trials]} trials"),
        BarColumn(),
        TimeElapsedColumn(),
        Left(),
        console=Console(stderr=True),
    )
