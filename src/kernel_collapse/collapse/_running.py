"""Class means and deviations of samples that come a few at a time.

Samples are added by the update of Chan, Golub and LeVeque: deviations are about the means of their own batch, and the
difference of two means is added once. Each class is seen from its first sample, so that features far from the origin
lose no digits.
"""

from __future__ import annotations

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._shapes import Float, Int

__all__ = ["Running"]


class Running:
    """Sums over the samples so far.

    Attributes
    ----------
    counts : array, shape (C,)
        Samples of each class.
    reference, shift : array, shape (C, p)
        A class mean is the sum of both: the first sample of the class, and how far the mean is from it.
    squares : array, shape (C,)
        Squared deviations from the class mean, summed.
    scatter : array, shape (p, p), or None
        Products of deviations, summed over all samples.
    """

    def __init__(self, n_classes: int, dim: int, *, scatter: bool) -> None:
        self.counts = np.zeros(n_classes, dtype=np.int64)
        self.reference, self.shift = np.zeros((n_classes, dim)), np.zeros((n_classes, dim))
        self.squares = np.zeros(n_classes)
        self.scatter = np.zeros((dim, dim)) if scatter else None

    def add(self, samples: Float[np.ndarray, "m p"], codes: Int[np.ndarray, " m"]) -> None:
        """Add samples, which are used up."""
        met, first = np.unique(codes, return_index=True)
        new = self.counts[met] == 0
        self.reference[met[new]] = samples[first[new]]
        samples -= self.reference[codes]
        count = len(self.counts)
        counts = np.bincount(codes, minlength=count)
        means = _arrays.segment_sum(samples, codes, count) / np.maximum(counts, 1)[:, None]
        samples -= means[codes]
        squares = _arrays.segment_sum(_arrays.squares(samples), codes, count)
        self._add(counts, means, squares, None if self.scatter is None else samples.T @ samples)

    def merge(self, other: Running) -> None:
        """Add the samples of another."""
        new = (self.counts == 0) & (other.counts > 0)
        self.reference[new] = other.reference[new]
        means = (other.reference - self.reference) + other.shift
        self._add(other.counts, means, other.squares, other.scatter)

    def in_reach(self) -> Running:
        """Return the sums of features of another scale, by a power of two, whose eighth powers do not vanish."""
        sizes = [np.abs(self.reference).max(), np.abs(self.shift).max(), np.sqrt(self.squares.max())]
        _, exponent = _arrays.in_reach(np.array(sizes))
        if not exponent:
            return self
        found = Running(*self.reference.shape, scatter=self.scatter is not None)
        found.counts = self.counts
        found.reference = _arrays.shifted(self.reference, -exponent)
        found.shift = _arrays.shifted(self.shift, -exponent)
        found.squares = _arrays.shifted(self.squares, -2 * exponent)
        if self.scatter is not None:
            found.scatter = _arrays.shifted(self.scatter, -2 * exponent)
        return found

    def _add(
        self,
        counts: Int[np.ndarray, " C"],
        means: Float[np.ndarray, "C p"],
        squares: Float[np.ndarray, " C"],
        scatter: Float[np.ndarray, "p p"] | None,
    ) -> None:
        """Add other samples: their numbers, their means about the reference, and their deviations from these."""
        both = np.maximum(self.counts + counts, 1)
        gap = np.where((counts > 0)[:, None], means - self.shift, 0.0)
        weight = self.counts * (counts / both)
        self.squares += squares + weight * _arrays.squares(gap)
        if self.scatter is not None and scatter is not None:
            moved = np.sqrt(weight[weight > 0])[:, None] * gap[weight > 0]
            self.scatter += scatter + moved.T @ moved
        self.shift += (counts / both)[:, None] * gap
        self.counts = self.counts + counts
