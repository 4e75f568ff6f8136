"""Functions that users give, and whether they are still what they were: a parameter that one refers to may change."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from kernel_collapse._input_error import InputError

__all__ = ["require_unchanged", "values_at_probes"]

#: Where a function is looked at, on both sides of zero and at every size that a pre-activation has.
PROBES = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 61), -np.geomspace(1.1e-3, 1.1e3, 61)])


def values_at_probes(function: Callable[[Any], Any]) -> bytes:
    """Return what tells an elementwise function from what it becomes when a parameter that it refers to changes.

    Of a function that cannot be evaluated it is empty: whoever uses it says so.
    """
    jax = sys.modules.get("jax")  # which would put the function into a program that it is tracing
    try:
        with np.errstate(all="ignore"), jax.ensure_compile_time_eval() if jax else nullcontext():
            return np.asarray(function(PROBES.copy()), dtype=float).tobytes()
    except Exception:  # whatever the user's function raises
        return b""


def require_unchanged(function: Callable[[Any], Any], values: bytes, name: str) -> None:
    """Refuse a function that has other values than it had when the kernel or the network was made of it."""
    if values_at_probes(function) not in (values, b""):
        raise InputError(
            f"the activation {name}",
            "changed its values since the kernel or the network was made",
            "the same function",
            "make the kernel or the network anew, or give the function its parameters by functools.partial",
            verb="has",
        )
