"""What trained and sampled networks have in common."""

from __future__ import annotations

from typing import Any

from kernel_collapse.data import Dataset
from kernel_collapse.solution import SolutionError

__all__ = ["NetworkError", "check_dataset"]


class NetworkError(SolutionError):
    """A network that was not trained, or a posterior that was not sampled, to what was asked."""


def check_dataset(dataset: Any) -> None:
    """Refuse what is no data set of two classes or more with a label and a target for every sample."""
    if not isinstance(dataset, Dataset):
        raise ValueError(
            f"dataset is of type {type(dataset).__name__}, expected a Dataset: make one with "
            "kernel_collapse.data.from_arrays(x, labels, targets)."
        )
    if len(dataset.class_sizes) < 2:
        raise ValueError(
            "dataset has one class, expected at least two: collapse compares the spread within classes with the "
            "spread between them."
        )
    if 0 in dataset.class_sizes:
        raise ValueError(
            f"class {dataset.class_sizes.index(0)} of the data set has no sample, expected one at least in each: "
            "number the classes anew with kernel_collapse.data.from_arrays."
        )
