"""Results in one order, whoever makes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["in_order"]

T = TypeVar("T")


def in_order(futures: Iterator[Future[T]], in_flight: Callable[[], int]) -> Iterator[T]:
    """Yield results in the order of their futures, of which so many are made ahead."""
    waiting: deque[Future[T]] = deque()
    try:
        for future in futures:
            waiting.append(future)
            if len(waiting) > in_flight():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
