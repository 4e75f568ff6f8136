"""Samples drawn from a loader: a part of it that fits into memory, drawn alike whatever the order of the loader."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Int
from kernel_collapse.torch._batches import Split, like, mapped, split_batch

__all__ = ["drawn"]


def drawn(
    loader: Iterable[Any], samples: int, seed: int, split: Split | None
) -> tuple[Any, Int[np.ndarray, " n"]]:
    """Return inputs and labels of that many samples of a loader, or of all if it has fewer, in its order.

    Each set of samples is as likely as any other (Vitter's algorithm R), so that a loader that goes class by class
    gives every class.

    Raises
    ------
    ValueError
        If the loader is empty, has no labels, or its inputs are no tensors of one shape.
    """
    rng = np.random.default_rng(seed)
    kept: dict[int, tuple[int, Any, int]] = {}
    seen = 0
    for number, batch in enumerate(loader):
        inputs, labels = split_batch(batch, split, number)
        codes = _validate.in_numpy(labels, "labels")
        if np.ndim(codes) != 1 or not np.issubdtype(np.asarray(codes).dtype, np.integer):
            raise InputError(
                f"labels of batch {number}",
                f"of type {np.asarray(codes).dtype} and shape {np.shape(codes)}",
                "class numbers, one a sample",
                verb="are",
            )
        if (least := np.min(codes, initial=0)) < 0:
            raise InputError(
                f"labels of batch {number}",
                f"{least}",
                "class numbers, from 0",
                "number the classes, and leave out samples without one",
                verb="hold",
            )
        for row, code in enumerate(np.asarray(codes)):
            place = seen if seen < samples else int(rng.integers(seen + 1))
            if place < samples:
                kept[place] = (seen, _row(inputs, row), int(code))
            seen += 1
    if not kept:
        raise InputError("the loader", "empty", "a batch at least", "is the data set empty, or used up?")
    chosen = sorted(kept.values(), key=lambda one: one[0])
    try:
        together = _stacked([inputs for _, inputs, _ in chosen])
    except RuntimeError:
        raise InputError(
            "inputs of the loader", "of several shapes", "one shape", "pad or crop them", verb="are"
        ) from None
    return together, np.array([code for _, _, code in chosen])


def _row(inputs: Any, row: int) -> Any:
    return mapped(lambda tensor: tensor[row].clone(), inputs)


def _stacked(rows: list[Any]) -> Any:
    """Return the inputs of samples as those of a batch."""
    first = rows[0]
    if isinstance(first, torch.Tensor):
        return torch.stack(rows)
    if isinstance(first, dict):
        return {name: _stacked([row[name] for row in rows]) for name in first}
    if isinstance(first, tuple | list):
        return like(first, [_stacked([row[k] for row in rows]) for k in range(len(first))])
    raise InputError.of("inputs of the loader", first, "tensors", "give split=, which returns tensors")
