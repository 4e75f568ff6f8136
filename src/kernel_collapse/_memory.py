"""How much memory there is, so that what does not fit is refused before any work."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np

from kernel_collapse._input_error import InputError

__all__ = ["available", "keep_freed", "require", "size"]

#: Just below the most that the allocator of glibc goes by.
LARGE = 24 * 2**20


@lru_cache(maxsize=1)
def keep_freed() -> None:
    """Let this process keep the memory of arrays that it frees, for the next ones.

    The allocator of glibc gives freed memory back to the system, which clears it before a new array gets it. It keeps
    the memory once a much larger block has been freed, so this function frees one. Tiles are then about a tenth faster.
    """
    np.empty(LARGE, dtype=np.uint8)


def available() -> float | None:
    """Return the bytes that this process may still take, or None where the system does not say.

    The least of what the machine has free, what a limit on the process leaves (``ulimit -v``), and what the control
    group of a container or a job of Slurm leaves.
    """
    known = [found for found in (_machine(), _process(), _group()) if found is not None]
    return max(min(known), 0.0) if known else None


def require(needed: float, what: str, remedy: str) -> None:
    """Refuse what takes more memory than there is.

    Raises
    ------
    ValueError
        With both numbers.
    """
    known = available()
    if known is not None and needed > known:
        raise InputError(
            what,
            f"{size(needed)} of memory",
            f"at most the {size(known)} that are free",
            remedy,
            verb="takes",
        )


def size(count: float) -> str:
    """Return a number of bytes as it is printed."""
    if count < 1e6:
        return f"{count:.0f} bytes"
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.4g} GB"


def _machine() -> float | None:
    with suppress(OSError, ValueError, IndexError):  # Linux alone has it: what is free, and what can be freed
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * float(line.split()[1])
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return None


def _process() -> float | None:
    try:
        import resource
    except ImportError:  # on Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    with suppress(OSError, ValueError, IndexError):
        taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        return float(limit - taken)
    return float(limit)


def _group() -> float | None:
    with suppress(OSError, ValueError):  # no control group, or none with a limit ("max" is no number)
        place = Path("/proc/self/cgroup").read_text(encoding="utf-8").strip().rpartition("::")[2]
        folder = Path("/sys/fs/cgroup") / place.lstrip("/")
        limit = float((folder / "memory.max").read_text(encoding="ascii"))
        used = float((folder / "memory.current").read_text(encoding="ascii"))
        # Pages of files are given back when they are needed.
        stat = dict(
            line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        )
        return limit - used + float(stat.get("inactive_file", 0)) + float(stat.get("active_file", 0))
    return None
