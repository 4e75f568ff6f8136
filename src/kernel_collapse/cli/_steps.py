"""How far a measurement of a few long steps is: a bar on a terminal, and a line a step in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

from kernel_collapse.cli._app import say
from kernel_collapse.cli._progress import about

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Steps"]

#: Seconds that are borne in silence where there is no terminal.
SILENT = 5.0


class Steps:
    """Shows on stderr, while it is entered, how many steps are done and how long the others will take.

    Parameters
    ----------
    what : str
        What the steps are, in the plural.
    costs : sequence of float
        Estimated seconds of each, in their order; they are corrected by the time that was taken.
    clock : callable
        Gives seconds, and never goes back.
    """

    def __init__(
        self, what: str, costs: Sequence[float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.done, self.count = 0, len(costs)
        self._what, self._costs, self._clock = what, list(costs), clock
        self._start = self._last = clock()
        self._open = ExitStack()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        self._start = self._last = self._clock()
        with suppress(OSError, ValueError):
            if sys.stderr is not None and sys.stderr.isatty():
                self._bar = self._open.enter_context(self._progress())
                self._bar.add_task("", total=sum(self._costs), done=0)
        if self._bar is None and self.left() > SILENT:
            say(f"{self.count} {self._what} to measure, {about(self.left())}.", err=True)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, ValueError):
            self._open.close()

    def advance(self, *_: object) -> None:
        """Count a step that is done."""
        self.done += 1
        self._last = self._clock()
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar.update(
                    self._bar.task_ids[0], completed=sum(self._costs[: self.done]), done=self.done
                )
        elif self.done < self.count and self.left() + self._last - self._start > SILENT:
            say(f"{self.done} of {self.count} {self._what}, {about(self.left())} left.", err=True)

    def left(self) -> float:
        """Return the estimated seconds that are left, at the pace of the steps that are done."""
        known = sum(self._costs[: self.done])
        pace = (self._last - self._start) / known if known else 1.0
        return max(pace * sum(self._costs[self.done :]) - (self._clock() - self._last), 0.0)

    def _progress(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
        from rich.text import Text

        steps = self

        class Left(ProgressColumn):
            """Time left, by the estimates."""

            def render(self, task: Task) -> Text:
                return Text(f"{about(steps.left())} left", style="progress.remaining")

        return Progress(
            TextColumn(f"{{task.fields[done]}} of {self.count} {self._what}"),
            BarColumn(),
            TimeElapsedColumn(),
            Left(),
            console=Console(stderr=True),
            transient=True,
        )
