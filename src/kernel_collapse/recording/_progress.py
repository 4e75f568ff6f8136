"""How far the passes over the batches are: one line on the error stream, or a function of the user's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from kernel_collapse import _validate

__all__ = ["Progress"]

#: Characters of the bar.
WIDTH = 30


class Progress:
    """Count batches, and show their number.

    Parameters
    ----------
    shown : bool, callable or None
        True draws a bar on the error stream; a function is called as shown(done, total).
    total : int, optional
        Number of batches of all passes, where it is known.
    """

    def __init__(self, shown: bool | Callable[[int, int | None], Any] | None, total: int | None) -> None:
        if shown is not None and not isinstance(shown, bool):
            _validate.function(shown, "progress", "it is called with two numbers", arguments=2)
        self._show = self._draw if shown is True else shown or None
        self._total, self._done = total, 0
        self._drawn = False

    def step(self) -> None:
        """Count a batch."""
        self._done += 1
        if self._show:
            self._show(self._done, self._total)

    def close(self) -> None:
        """End the line, if one was drawn."""
        if self._drawn:
            print(file=sys.stderr)

    def _draw(self, done: int, total: int | None) -> None:
        self._drawn = True
        if total:
            filled = WIDTH * min(done, total) // total
            said = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{total} batches"
        else:
            said = f"{done} batches"
        print(f"\r{said}", end="", file=sys.stderr, flush=True)
