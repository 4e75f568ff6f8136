"""Labels that are wrong: a fraction of them flipped to another class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.data._dataset import FROM_ARRAYS, Dataset

__all__ = ["label_noise"]


def label_noise(dataset: Dataset, fraction: float = 0.1, *, seed: int = 0) -> Dataset:
    """Return the data set with a fraction of its labels flipped, each to another class. All other classes are equally
    likely.

    Exactly ``round(fraction * n)`` labels are flipped, whatever their classes, and the targets follow the labels; the
    samples stay where they are, so that they no longer come class after class. With
    ``rng = numpy.random.default_rng([seed, 1])``, which is independent of the generator that a law of that seed draws
    from, the flipped rows are the first of ``rng.permutation(n)``; in that order label c becomes
    ``(c + rng.integers(1, C, size=flipped)) % C``.

    Source: Angluin and Laird, *Learning from noisy examples*, Machine Learning 2 (1988), for two classes.

    Parameters
    ----------
    dataset : Dataset
        What to flip labels of.
    fraction : float
        Share of the labels, 0 or more and less than 1.
    seed : int
        Seed of the generator.

    Returns
    -------
    Dataset
        With `labels` and `targets` changed, and the fraction in its name.

    Raises
    ------
    ValueError
        If the fraction is out of range, there is one class only, its targets differ within a class, or a class
        would be left without a sample.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> clean = kc.data.gaussian(n=10)
    >>> noisy = kc.data.label_noise(clean, 0.2)
    >>> noisy, int((noisy.labels != clean.labels).sum())
    (<Dataset D1, 20 % of labels flipped: 10 samples, 1 features, classes of 5, 5>, 2)
    """
    _validate.instance(dataset, Dataset, "dataset", FROM_ARRAYS)
    fraction = _validate.share(fraction, "fraction")
    rng = np.random.default_rng([_validate.seed(seed), 1])
    present, first, codes = np.unique(dataset.labels, return_index=True, return_inverse=True)
    if len(present) < 2:
        raise InputError(
            "the data set", "one class only", "two or more", "a label is flipped to another", verb="has"
        )
    targets = dataset.targets[first]
    if not np.array_equal(targets[codes], dataset.targets):
        raise InputError(
            "the targets",
            "within a class",
            "one a class",
            "a flipped label takes those of its new class",
            verb="differ",
        )
    flipped = rng.permutation(len(codes))[: round(fraction * len(codes))]
    codes = codes.copy()
    codes[flipped] = (codes[flipped] + rng.integers(1, len(present), size=len(flipped))) % len(present)
    sizes = np.bincount(codes, minlength=len(present))
    if sizes.min() == 0:
        raise InputError(
            f"flipping {len(flipped)} of {len(codes)} labels",
            f"class {present[sizes.argmin()]} without a sample",
            "one at least",
            "take a smaller fraction, more samples or another seed",
            verb="leaves",
        )
    name = f"{dataset.name}, {100 * fraction:g} % of labels flipped"
    return replace(dataset, labels=present[codes], targets=targets[codes], name=name)
