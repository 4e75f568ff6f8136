"""The event loop in which dask's part of the work runs, so that whatever it does can be bounded and ended."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["event_loop", "quiet", "wait_for"]

Result = TypeVar("Result")

#: Whose loggers have nothing to add once we have said what happened.
NOISY = {"distributed", "tornado", "asyncio"}
#: Seconds that what is left in the loop gets to end.
JOIN = 10.0


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread; whatever is left in it at the end is cancelled."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def until_told() -> None:
        told = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), told))
        await told.wait()

    thread = threading.Thread(target=asyncio.run, args=(until_told(),), daemon=True, name="dask")
    thread.start()
    loop, told = started.result()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(told.set)
        thread.join(JOIN)


def wait_for(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Result], seconds: float | None = None
) -> Result:
    """Return what a coroutine returns in the loop of another thread.

    Raises
    ------
    TimeoutError
        If it takes longer; it is cancelled.
    """

    async def bounded() -> Result:
        async with asyncio.timeout(seconds):
            return await coroutine

    future = asyncio.run_coroutine_threadsafe(bounded(), loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()  # after Ctrl-C it would go on
        raise


@contextmanager
def quiet(below: int = logging.CRITICAL + 1) -> Iterator[None]:
    """Drop what dask and its libraries log, while we close what may be broken and say so in a sentence of our own.

    With a level only what is below it is dropped: the end of a connection is news to dask, and told by us.
    """

    def drop(record: logging.LogRecord) -> bool:
        return record.levelno >= below

    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in NOISY]
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(drop)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(drop)
