"""How images and what is known of them are cut into blocks, and spread over threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._linalg import one_blas_thread
from kernel_collapse.kernels._image_arrays import pooled_images
from kernel_collapse.kernels._image_blocks import Seen
from kernel_collapse.kernels._image_plan import Plan

__all__ = ["cut", "inside", "pieces", "seen_of", "spread"]


def inside(x: Any, plan: Plan) -> Any:
    """Return images (n, height, width, channels) as (height, width, channels, n), pooled as before the first filter."""
    moved = _arrays.namespace(x).moveaxis(x, 0, -1)
    if isinstance(moved, np.ndarray):
        moved = np.ascontiguousarray(moved)
    return pooled_images(moved, plan.lead)


def seen_of(prepared: Sequence[np.ndarray], samples: Any, axes: tuple[Any, ...]) -> Seen:
    """Return what a block needs of some images, with their axis beside that of the others."""
    arrays = [np.ascontiguousarray(np.moveaxis(v[samples], 0, -1))[(..., *axes)] for v in prepared]
    return Seen(arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :])


def cut(rows: int, columns: int, pairs: int) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of about so many pairs, which are as square as they can be."""
    side = max(1, int(np.sqrt(pairs)))
    wide = min(columns, max(1, pairs // min(rows, side)))
    for down in pieces(rows, side):
        for across in pieces(columns, wide):
            yield down, across


def pieces(count: int, size: int) -> list[slice]:
    return [slice(top, min(top + size, count)) for top in range(0, count, size)]


def spread(function: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """Return what a function gives of each part, on as many threads as there are cores; NumPy lets them run at once."""
    parts = list(parts)
    cores = min(os.cpu_count() or 1, len(parts))
    if cores <= 1:
        return [function(part) for part in parts]
    with one_blas_thread(), ThreadPoolExecutor(cores) as threads:
        return list(threads.map(function, parts))
