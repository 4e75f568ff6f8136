"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

__all__ = ["atomic_write"]


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give the path to write to; what is there at the end takes the place of `path`.

    A killed program and a full disk leave the old file or the new one, never half of one; and of two that write it at
    once the last one's. What a killed one leaves beside it ends in ".part".
    """
    part = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.part")  # short, whatever the name
    try:
        yield part
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
