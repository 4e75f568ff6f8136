"""Parts and scales of a data set: what is held out, a stratified part, standardized features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._held_out import held_out
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.data._dataset import FROM_ARRAYS, Dataset
from kernel_collapse.data._names import aligned

__all__ = ["split", "standardize", "subset"]

#: The standard deviation of a column over its largest absolute value, at which there is nothing but round-off.
ROUND_OFF = 4.0 * float(np.finfo(float).eps)
#: That below which the round-off of the mean is taken off once more.
FAR = 2.0**-20


def standardize(dataset: Dataset, *, like: Dataset | None = None) -> Dataset:
    """Return the data set with every feature at mean 0 and standard deviation 1; constant ones become 0.

    A feature is constant if its standard deviation is no more than round-off: 4 eps of its largest absolute value.

    Parameters
    ----------
    dataset : Dataset
        What to scale.
    like : Dataset, optional
        The data set whose means and deviations are used; `dataset` by default. For held-out samples give the training
        samples. Features are matched by name and put into its order. If one of the two has no names, they are matched
        by position.

    Raises
    ------
    ValueError
        If a feature of one of the two is missing in the other.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.standardize(kc.data.from_arrays([[0.0, 5.0], [2.0, 5.0]], ["a", "b"])).x
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    known = dataset if like is None else like
    for each in (dataset, known):
        _validate.instance(each, Dataset, "what is standardized", FROM_ARRAYS)
    dataset = aligned(dataset, known)
    largest = np.abs(known.x).max(axis=0)
    exponents = np.frexp(largest)[1]  # each column times a power of two, so that no square of it is lost

    def about(x: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
        return np.ldexp(x, -exponents) - mean

    with np.errstate(over="ignore"):  # what is then infinite is refused, or of a column that is constant
        mean = np.ldexp(known.x, -exponents).mean(axis=0)
        away = about(known.x)
        scale = away.std(axis=0)
        # The mean of a column that is far from zero errs by as much as its samples differ, or by a share of it.
        shift = np.where(scale < FAR, away.mean(axis=0), 0.0)
        # A column that is constant up to round-off has no scale of its own.
        constant = scale <= ROUND_OFF * np.ldexp(largest, -exponents)
        found = np.where(constant, 0.0, (about(dataset.x) - shift) / np.where(constant, 1.0, scale))
    return replace(dataset, x=found)


def subset(dataset: Dataset, n: int, *, seed: int = 0) -> Dataset:
    """Return `n` random samples, in the order of the table. Every class is included, with about its share.

    Parameters
    ----------
    dataset : Dataset
        What to draw from.
    n : int
        Number of samples, from one a class to all.
    seed : int
        Seed of the generator.

    Raises
    ------
    ValueError
        If `n` is more than there are samples, or less than there are classes.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.subset(kc.data.shipped("wine"), 30)
    <Dataset wine: 30 samples, 13 features, classes of 10, 12, 8>
    """
    _validate.instance(dataset, Dataset, "dataset", FROM_ARRAYS)
    n, seed = _validate.count(n, "n"), _validate.seed(seed)
    least, most = len(_present(dataset)), len(dataset.labels)
    if not least <= n <= most:
        raise InputError(
            "n", f"{n}", f"{least} to {most}", "a sample of each class at least, and all of them at most"
        )
    return _rows(dataset, _stratified(dataset, n, seed))


def split(dataset: Dataset, holdout: float = 0.2, *, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Return a random training set and test set. Every class has about its share in both, and the order is the
    table's.

    Every class keeps at least one training sample. A small class may be missing in the test set.

    Parameters
    ----------
    dataset : Dataset
        What to split.
    holdout : float
        Fraction of the samples that is the test set, more than 0 and less than 1.
    seed : int
        Seed of the generator.

    Returns
    -------
    train, test : Dataset
        `train` is the `subset` of that size and seed.

    Raises
    ------
    ValueError
        If `holdout` is out of range, holds out no sample, or leaves fewer training samples than there are classes.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> train, test = kc.data.split(kc.data.shipped("wine"), holdout=0.25)
    >>> train.class_sizes, test.class_sizes
    ((45, 53, 36), (14, 18, 12))
    """
    _validate.instance(dataset, Dataset, "dataset", FROM_ARRAYS)
    n, seed = len(dataset.labels), _validate.seed(seed)
    held = held_out(holdout, n, len(_present(dataset)))
    train = _stratified(dataset, n - held, seed)
    return _rows(dataset, train), _rows(dataset, np.setdiff1d(np.arange(n), train))


def _present(dataset: Dataset) -> Int[np.ndarray, " C"]:
    """Return the classes that have a sample."""
    return np.unique(dataset.labels)


def _rows(dataset: Dataset, index: Int[np.ndarray, " m"]) -> Dataset:
    return replace(dataset, x=dataset.x[index], labels=dataset.labels[index], targets=dataset.targets[index])


def _stratified(dataset: Dataset, n: int, seed: int) -> Int[np.ndarray, " n"]:
    """Return `n` rows in ascending order: one of each class, the rest in proportion to what each has left."""
    classes, sizes = np.unique(dataset.labels, return_counts=True)
    spare = sizes - 1
    share = (n - len(classes)) * spare / max(spare.sum(), 1)
    whole = np.floor(share).astype(int)
    missing = n - len(classes) - whole.sum()  # rounded up are the shares that rounding down takes most from
    whole[np.argsort(whole - share, kind="stable")[:missing]] += 1
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(dataset.labels == c))[: 1 + extra]
        for c, extra in zip(classes, whole, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
