"""Class means of explicit features, and each feature's deviation from its own.

Each class is seen from one of its samples, its reference: where the samples of a class lie close together the
difference is exact, and so is what follows from it however far the features are from the origin.

NumPy's arrays are gone over in parts, class by class, on threads: a part's temporaries stay in the cache, and no array
of n x C, nor another of n x p beside the features, is made. Parts are added up in one order, so that the number of
threads does not show in the result. Arrays of other libraries are one part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._linalg import one_blas_thread
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse._threads import in_order

__all__ = ["ClassMeans", "by_part"]

T = TypeVar("T")

#: Numbers in a part of the features, and at most in another temporary of it. Parts of fewer rows make products slow,
#: parts of more leave the cache.
PART, WIDEST = 2**18, 2**20


def by_part(
    work: Callable[[Float[Any, "r p"], Int[np.ndarray, " r"]], T],
    features: Float[Any, "n p"],
    codes: Int[np.ndarray, " n"],
    columns: int = 0,
) -> Iterator[T]:
    """Yield what is made of each part of the features and its classes; `columns` are those of the widest temporary."""
    step = max(64, min(PART // features.shape[1], WIDEST // max(columns, 1)))
    if _arrays.is_foreign(features) or len(codes) <= step:
        yield work(features, codes)
        return
    order = np.argsort(codes, kind="stable")

    def part(top: int) -> T:
        numbers = order[top : top + step]
        return work(features[numbers], codes[numbers])

    threads = os.cpu_count() or 1
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        futures = (pool.submit(part, top) for top in range(0, len(codes), step))
        yield from in_order(futures, lambda: 2 * threads)


class ClassMeans:
    """Sizes and means of classes.

    Attributes
    ----------
    count : int
        Number of classes.
    sizes : array, shape (C,)
        Number of samples of each class.
    origin : array, shape (p,)
        A point amid the features.
    means : array, shape (C, p)
        Class means about the origin.
    reach : array, shape (C,)
        Mean squared distance of the samples from the reference, no less than the spread.
    """

    def __init__(self, features: Float[Any, "n p"], codes: Int[np.ndarray, " n"]) -> None:
        self.count = int(codes.max()) + 1
        self.sizes = _arrays.like(np.bincount(codes).astype(float), features)
        self._reference = _arrays.rows(features, np.unique(codes, return_index=True)[1])
        sums, squares = self._sums(features, codes)
        self._shift = sums / self.sizes[:, None]
        self.reach = squares / self.sizes
        share = self.sizes / len(codes)
        self.origin = share @ (self._reference + self._shift)
        self.means = (self._reference - self.origin) + self._shift

    def _sums(
        self, features: Float[Any, "n p"], codes: Int[np.ndarray, " n"]
    ) -> tuple[Float[Any, "C p"], Float[Any, " C"]]:
        """Return sums over classes of what is seen from the references, and of its squares."""
        if _arrays.is_foreign(features):
            moved = features - _arrays.rows(self._reference, codes)
            return tuple(
                _arrays.segment_sum(values, codes, self.count) for values in (moved, _arrays.squares(moved))
            )
        sums, squares = np.zeros(self._reference.shape), np.zeros(self.count)

        def of_part(
            block: Float[np.ndarray, "r p"], which: Int[np.ndarray, " r"]
        ) -> tuple[Int[np.ndarray, " c"], Float[np.ndarray, "c p"], Float[np.ndarray, " c"]]:
            order = np.argsort(which, kind="stable")
            met, starts = np.unique(which[order], return_index=True)
            moved = block[order] if len(block) == len(features) else block
            moved -= self._reference[which[order]]
            return met, np.add.reduceat(moved, starts), np.add.reduceat(_arrays.squares(moved), starts)

        for met, added, more in by_part(of_part, features, codes):
            sums[met] += added
            squares[met] += more
        return sums, squares

    def deviations(self, block: Float[Any, "m p"], codes: Int[np.ndarray, " m"]) -> Float[Any, "m p"]:
        """Return how far samples of these classes are from their class means."""
        moved = block - _arrays.rows(self._reference, codes)
        shift = _arrays.rows(self._shift, codes)
        return moved - shift if _arrays.is_foreign(moved) else np.subtract(moved, shift, out=moved)

    def spread(
        self, features: Float[Any, "m p"], codes: Int[np.ndarray, " m"]
    ) -> tuple[Float[Any, " C"], Float[Any, " C"]]:
        """Return the mean squared distance of each class's samples from its mean, and how many samples there are."""

        def of_part(block: Float[Any, "r p"], which: Int[np.ndarray, " r"]) -> Float[Any, " C"]:
            return _arrays.segment_sum(_arrays.squares(self.deviations(block, which)), which, self.count)

        return self.average(sum(by_part(of_part, features, codes)), codes)

    def average(
        self, sums: Float[Any, " C"], codes: Int[np.ndarray, " m"]
    ) -> tuple[Float[Any, " C"], Float[Any, " C"]]:
        """Return sums over classes as means, 0 for a class without a sample, and how many samples there are."""
        xp = _arrays.namespace(sums)
        seen = _arrays.like(np.bincount(codes, minlength=self.count).astype(float), sums)
        return sums / xp.maximum(seen, xp.ones_like(seen)), seen
