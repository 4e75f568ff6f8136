"""What runs on a worker, and only if its versions are those of the client."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from functools import cache
from importlib import metadata
from typing import Any

__all__ = ["checked", "guarded", "keep_memory", "versions"]


@cache
def versions() -> dict[str, str]:
    """Return the versions here that decide the bits of a result."""
    from kernel_collapse import __version__

    libraries = {name: _version(name) for name in ("numpy", "scipy", "jax")}
    return {"kernel_collapse": __version__, "Python": ".".join(map(str, sys.version_info[:2])), **libraries}


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "none"


@cache
def keep_memory() -> None:
    """Let this process keep the memory that it frees, as glibc does by itself.

    Dask's nannies tell the allocator to give everything back at once: tiles then take four times as long, for the
    system clears every page anew.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ and sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-3, 32 * 2**20)  # M_MMAP_THRESHOLD and
            libc.mallopt(-1, 64 * 2**20)  # M_TRIM_THRESHOLD, where glibc's own adjustment ends


def guarded(expected: dict[str, str]) -> Callable[[bytes], bytes]:
    """Return what a worker runs. It is sent by value, as every function inside a function, so that any can read it.

    It answers with the pickle of a value and an error, one of which is None: what cannot be pickled is known there,
    while dask would lose it on the way, again and again.
    """

    def run(call: bytes) -> bytes:
        wrong = check()
        if wrong:
            from distributed import get_worker

            raise BrokenExecutor(
                f"worker {get_worker().address} has {wrong}: start workers of one version, run the same command again."
            )
        import cloudpickle

        from kernel_collapse.cluster._worker import keep_memory

        keep_memory()
        answer: tuple[Any, Exception | None]
        try:
            function, args, kwargs = pickle.loads(call)
            answer = (function(*args, **kwargs), None)
        except Exception as error:
            answer = (None, error)
        try:
            return bytes(cloudpickle.dumps(answer))
        except Exception as error:
            what = f"its result cannot be sent ({type(error).__name__}: {error})"
            if answer[1] is not None:
                what = f"{type(answer[1]).__name__}: {answer[1]}"
            return pickle.dumps((None, RuntimeError(what)))

    check = checked(expected)
    return run


def checked(expected: dict[str, str]) -> Callable[[], str]:
    """Return what says, where it is run, how the versions differ; sent by value."""

    def check() -> str:
        try:
            from kernel_collapse import __version__ as found
        except ImportError:
            return "no kernel_collapse"
        if found != expected["kernel_collapse"]:
            return f"kernel_collapse {found} (here {expected['kernel_collapse']})"
        from kernel_collapse.cluster._worker import versions

        differing = [name for name, version in expected.items() if versions()[name] != version]
        return ", ".join(f"{name} {versions()[name]} (here {expected[name]})" for name in differing)

    return check
