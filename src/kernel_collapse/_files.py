"""Files that are written whole or not at all, and those that are read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from kernel_collapse._input_error import InputError

__all__ = ["atomic_write", "require_file"]


def require_file(path: Path, expected: str, hint: str = "check the path") -> None:
    """Refuse a path at which there is no file to read.

    Raises
    ------
    ValueError
        If there is nothing, a folder, or what can be read once alone, as a pipe.
    """
    said = repr(str(path))
    if path.is_dir():
        raise InputError(said, "a folder", expected, "name a file in it")
    if not path.exists():
        raise InputError(said, "exist", expected, hint, verb="does not")
    if not path.is_file():
        raise InputError(said, "a pipe or a device", expected, "write it to a file first")


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give the path to write to; what is there at the end takes the place of `path`.

    A killed program and a full disk leave the old file or the new one, never half of one; and of two that write it at
    once the last one's. What a killed program leaves beside it is removed by the next one that writes in the folder.
    """
    _remove_abandoned(path.parent)
    part = path.with_name(f".{_host()}-{os.getpid()}-{secrets.token_hex(4)}.part")  # short, whatever the name
    try:
        yield part
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@cache
def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _remove_abandoned(folder: Path) -> None:
    """Remove what processes of this machine that are no more had begun to write."""
    if os.name != "posix":  # elsewhere a process cannot be asked whether it is there
        return
    with contextlib.suppress(OSError):
        for part in folder.glob(f".{_host()}-*.part"):
            writer = re.fullmatch(r"\.\w+-(\d+)-[0-9a-f]{8}\.part", part.name)
            if writer is not None and not _is_alive(int(writer[1])):
                part.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True
