"""How figures of the experiments look: a kernel's line, its side in a comparison, axes of logarithms."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kernel_collapse.report.plot import Axis
from kernel_collapse.report.style import KERNEL_COLOURS, KERNEL_MARKERS, KERNEL_NAMES

__all__ = ["decades", "of_kernel"]

PUBLISHED = "-published"


def of_kernel(kernel: str, beside: Collection[str] = ()) -> dict[str, Any]:
    """Return name, colour, marker and side of a kernel's line, in a panel of these kernels.

    A kernel of the published code is on its side; the one that it should be is right, where both are drawn.
    """
    right = f"{kernel}{PUBLISHED}" in set(beside)
    return {
        "name": KERNEL_NAMES[kernel],
        "color": KERNEL_COLOURS[kernel],
        "marker": KERNEL_MARKERS[kernel],
        "side": "published" if kernel.endswith(PUBLISHED) else "right" if right else None,
    }


def decades(what: str, **axis: Any) -> Axis:
    """Return an axis of log10 of something."""
    return Axis(label=rf"$\log_{{10}}$ {what}", logarithms=True, **axis)
