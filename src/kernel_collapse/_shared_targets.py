"""Classes that share a target: no output tells them apart, so that a decision for one is a decision for all of them."""

from __future__ import annotations

import numpy as np

from kernel_collapse._shapes import Float, Int

__all__ = ["class_targets", "first_with_target"]


def class_targets(
    codes: Int[np.ndarray, " n"], targets: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "C k"]:
    """Return the target of each class: that of its samples where they have one, else the mean over them."""
    sizes = np.bincount(codes)
    summed = [np.bincount(codes, weights=column) for column in targets.T]
    means = np.stack(summed, axis=1) / np.maximum(sizes, 1)[:, None]
    any_of = np.zeros(len(sizes), dtype=int)
    any_of[codes] = np.arange(len(codes))
    one = np.ones(len(sizes), dtype=bool)
    np.logical_and.at(one, codes, (targets == targets[any_of[codes]]).all(axis=1))
    return np.where(one[:, None], targets[any_of], means).astype(targets.dtype)


def first_with_target(class_targets: Float[np.ndarray, "C k"]) -> Int[np.ndarray, " C"]:
    """Return for each class the first class with the same target: itself, where no class before it has that."""
    _, first, which = np.unique(class_targets, axis=0, return_index=True, return_inverse=True)
    return first[which.reshape(-1)]
