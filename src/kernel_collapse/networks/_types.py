"""What trained and sampled networks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.adaptive import layer_widths
from kernel_collapse.data import Dataset
from kernel_collapse.solution import SolutionError

__all__ = ["NetworkError", "check_dataset", "whole_widths"]


class NetworkError(SolutionError):
    """The error of a network or a posterior that was not trained or sampled to the requested accuracy."""


def check_dataset(dataset: Any) -> None:
    """Refuse what is no data set of two classes or more with a label and a target for every sample."""
    if not isinstance(dataset, Dataset):
        raise InputError(
            "dataset",
            f"of type {type(dataset).__name__}",
            "a Dataset",
            "make one with kernel_collapse.data.from_arrays(x, labels, targets)",
        )
    if len(dataset.class_sizes) < 2:
        raise InputError(
            "dataset",
            "one class",
            "at least two",
            "collapse compares the spread within classes with the spread between them",
            verb="has",
        )
    if 0 in dataset.class_sizes:
        raise InputError(
            f"class {dataset.class_sizes.index(0)} of the data set",
            "no sample",
            "one at least in each",
            "number the classes anew with kernel_collapse.data.from_arrays",
            verb="has",
        )


def whole_widths(width: int | Sequence[int], depth: int) -> tuple[int, ...]:
    """Return the number of units of every hidden layer, or refuse what is none."""
    if _validate.dimensions(width) == 0:
        alone = _validate.count(width, "width")
        return tuple(map(int, layer_widths(alone, depth)))
    widths = layer_widths(width, depth)
    return tuple(_validate.count(w, f"width of layer {i}") for i, w in enumerate(widths, 1))
