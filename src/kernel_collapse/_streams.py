"""Printing that cannot end what prints, on a full disk, a closed pipe or a terminal that is gone: it is best effort.

The streams of a program are replaced while it runs, so that this holds for every line of it, a progress bar's and a
library's too.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

__all__ = ["ReaderGone", "best_effort", "require_printed"]


class ReaderGone(Exception):
    """Whoever reads what is printed has closed the pipe, as `head` does when it has its lines.

    It is no `OSError`: Click answers one of a closed pipe itself, and ends with code 1.
    """


class _Raw(io.RawIOBase):
    """What is below a stream; what it cannot take is lost, and the first error is kept."""

    def __init__(self, below: Any) -> None:
        self._below = below
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        while self.error is None:
            try:
                written = self._below.write(data)
            except (OSError, ValueError) as error:  # a closed file is a ValueError
                self.error = error if isinstance(error, OSError) else OSError(str(error))
                break
            if written is not None:
                return int(written)
            select.select([], [self._below], [])  # it does not block, and is full
        return len(data)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return bool(self._below.isatty())

    def fileno(self) -> int:
        return int(self._below.fileno())


class _Forgiving:
    """A stream that is no file's, and may fail all the same."""

    def __init__(self, below: TextIO) -> None:
        self._below = below
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        self._attempt(lambda: self._below.write(text))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._below.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    def _attempt(self, do: Callable[[], object]) -> None:
        try:
            do()
        except (OSError, ValueError) as error:
            self.error = error if isinstance(error, OSError) else OSError(str(error))


class _Nowhere(io.TextIOBase):
    """A stream that is closed, and prints nothing."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)

    def writable(self) -> bool:
        return True


@contextlib.contextmanager
def best_effort() -> Iterator[None]:
    """Let stdout and stderr swallow what they cannot write, as long as this is entered."""
    _fill_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _forgiving(sys.stdout), _forgiving(sys.stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = before


def require_printed() -> None:
    """Raise what became of stdout, where what is printed is the result.

    Raises
    ------
    ReaderGone
        If its reader has closed the pipe.
    OSError
        If some of it could not be written for another reason.
    """
    sys.stdout.flush()
    stream: Any = sys.stdout
    below = (
        stream if isinstance(stream, _Forgiving) else getattr(getattr(stream, "buffer", None), "raw", None)
    )
    if isinstance(below, _Forgiving | _Raw) and below.error is not None:
        if isinstance(below.error, BrokenPipeError):
            raise ReaderGone from below.error
        raise below.error


def _forgiving(stream: TextIO | None) -> TextIO:
    if stream is None or stream.closed:
        return _Nowhere()  # type: ignore[return-value]
    buffer = getattr(stream, "buffer", None)
    below = getattr(buffer, "raw", buffer)
    if isinstance(below, _Raw) or isinstance(stream, _Forgiving | _Nowhere):
        return stream
    if not isinstance(below, io.RawIOBase):
        return _Forgiving(stream)  # type: ignore[return-value]
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Raw(below)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream is sys.stderr or below.isatty(),
        write_through=stream is sys.stderr,
    )


def _fill_descriptors() -> None:
    """Open what was closed of stdin, stdout and stderr: a file would get their number, and messages would go there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
