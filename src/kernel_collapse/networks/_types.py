"""What trained and sampled networks have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.adaptive import layer_widths
from kernel_collapse.collapse import Weighting, nc1
from kernel_collapse.data import Dataset
from kernel_collapse.solution import Solution, SolutionError, Status

__all__ = ["NetworkError", "OfKernels", "check_dataset", "whole_widths", "why_no_ratio"]


class NetworkError(SolutionError):
    """The error of a network or a posterior that was not trained or sampled to the requested accuracy."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OfKernels(Solution):
    """The kernels of a network's layers with their NC1, which not every kernel has.

    Attributes
    ----------
    status : Status
        How it ended; `not_finite` where a kernel has no NC1.
    reason : str
        Why NC1 is no number where the kernels are known, as `kernel_collapse.NC1.reason` has it; empty otherwise.
    """

    reason: str = field(default="", repr=False)

    @property
    def sentence(self) -> str:
        """What the status means here, and what to try."""
        if self.status is Status.NOT_FINITE and self.reason:
            return f"NC1 is no number: {self.reason}; give samples, or an activation, that tell the classes apart."
        return super().sentence


def why_no_ratio(grams: Iterable[Float[np.ndarray, "n n"]], dataset: Dataset, weighting: Weighting) -> str:
    """Return why the first of the kernels without NC1 has none; empty if all of them have it."""
    found = (nc1(gram, dataset.labels, weighting=weighting) for gram in grams)
    return next((of.reason for of in found if np.isnan(of.ratio)), "")


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
