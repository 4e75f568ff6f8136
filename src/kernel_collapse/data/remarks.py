"""What a reader of the numbers of a data set should know of the data."""

from __future__ import annotations

import numpy as np

from kernel_collapse.data import Dataset
from kernel_collapse.data._labels import alike
from kernel_collapse.data._names import aligned

__all__ = ["remarks"]


def remarks(dataset: Dataset, test: Dataset | None = None) -> list[str]:
    """Return what a reader of the numbers should know of the data."""
    found = list(dataset.notes)
    if test is not None:
        found += [note for note in aligned(test, dataset).notes if note not in found]
        found.append(
            f"{len(test.x)} samples are held out: their spread is that about the class means of the {len(dataset.x)} "
            "training samples, whose NC2 and NC3 are shown."
        )
        if np.array_equal(test.x, dataset.x):
            found.append("The held-out samples are the training samples.")
    scale = dataset.x.std(axis=0)
    positive = scale[scale > 0]
    if len(positive) > 1 and positive.max() > 30 * positive.min():
        widest = int(scale.argmax())
        name = dataset.features[widest] if dataset.features else f"column {widest}"
        found.append(
            f"The features differ in scale by a factor of {positive.max() / positive.min():.3g}; the widest, {name!r}, "
            "dominates every kernel. Try --standardize."
        )
    return [*found, *_of_classes(dataset)]


def _of_classes(dataset: Dataset) -> list[str]:
    """Return what should be known of the classes: those that may be one, and whether they are classes at all."""
    sizes = [size for size in dataset.class_sizes if size]
    groups = alike(dataset.classes)
    found = [
        f"The classes {' and '.join(map(repr, group))} differ in white space, case or notation alone, and are counted "
        "as different classes."
        for group in groups[:5]
    ]
    if len(groups) > 5:
        found.append(f"So do {len(groups) - 5} more groups of classes.")
    single = sizes.count(1)
    if max(sizes) == 1:
        found.append(
            "Every class has one sample, so NC1 is 0 whatever the kernel. Is the label column a class?"
        )
    elif len(sizes) > 2 and 2 * single >= len(sizes):
        found.append(
            f"{single} of {len(sizes)} classes have one sample alone, of {sum(sizes)} samples: half of the classes or "
            "more, and such classes have no spread. Is the label column a class?"
        )
    if max(sizes) != min(sizes):
        found.append(
            f"The classes have {min(sizes)} to {max(sizes)} samples: the weighting of classes matters (--weighting)."
        )
    return found
