r"""The gradients of a fitted kernel at its samples, and what their average outer product makes of inner products.

With f_k(x) = sum_j alpha_jk k(x, x_j) and a kernel of inner products, the gradient at sample a is a sum of samples::

    grad f_k(x_a) = sum_j c~_aj x_j,   c~_aj = alpha_jk v_aj + (j = a) r_ak,
    v = dk/dc,   r = 2 (dk/dq1) alpha,   so that M = (1/n) sum_k X' C~_k' C~_k X = X'BX

and the inner products of M^{1/2} x with one another are G B G, G those of x. Two ways to them, where k is the number of
outputs:

*By outputs*: Z_k = C~_k G and the sum of Z_k' Z_k. That is 3k n^3 operations.

*At once*: V'V gives B of every output together, elementwise::

    n B = (V'V) * (alpha alpha') + V * (alpha r' + r alpha') + diag(sum_k r_k^2)

and G B G takes two products more, 5 n^3 operations whatever k is. Left to itself this loses twice the digits: entries
of B are 1/D^2 where two samples are at a distance D, and they cancel. So samples are moved to the centres of few
groups: with x_j = m_g(j) + d_j and P the n x m matrix of groups, C~ x = (C~ P) m + C~ d, in which entries of 1/D meet
differences d. C~ P is summed without cancellation, for a radial kernel as minus the sum over other groups.
What is left of cancellation is bounded (`Gradients.round_off`), and where it is too much, the first way is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kernel_collapse._linalg import gram, mirror, product, symmetric
from kernel_collapse._shapes import Float, Int

__all__ = ["Gradients", "groups_of"]

EPS = float(np.finfo(np.float64).eps)
#: Most centres of groups, and the squared distance to them, of the largest squared length, at which no more are added.
MOST_GROUPS, NEAR = 16, 1e-4
#: Round-off of the way at once, in units of eps, up to which it is taken.
BEARABLE = 32.0
#: Columns of a product that is symmetric, computed block by block.
BLOCK = 512


@dataclass(frozen=True)
class Gradients:
    """The gradients of a fitted kernel at its n samples.

    `slope` is v and `own` is r of the module; `excess` is r + V alpha, which is exactly 0 for a radial kernel.
    """

    products: Float[np.ndarray, "n n"]
    slope: Float[np.ndarray, "n n"]
    alpha: Float[np.ndarray, "n k"]
    own: Float[np.ndarray, "n k"]
    excess: Float[np.ndarray, "n k"]

    @property
    def at_once(self) -> bool:
        """Whether the second way of the module is taken: it is cheaper, and as accurate here."""
        return self.alpha.shape[1] > 1 and self.round_off <= BEARABLE * EPS

    def gram(self) -> Float[np.ndarray, "n n"]:
        """Return the inner products of M^{1/2} x, G B G."""
        if self.at_once:
            return self._grouped.gram() / len(self.products)
        total = np.zeros_like(self.products)
        for k in range(self.alpha.shape[1]):
            z = self.images(k, self.products)
            part = np.empty_like(total)
            total += gram(z.T, part)
        return mirror(total) / len(self.products)

    def between(
        self, cross: Float[np.ndarray, "m n"]
    ) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, " m"]]:
        """Return the inner products of M^{1/2} y of other inputs with those of the samples, and with themselves.

        `cross` are the inner products of y with x.
        """
        n, turned = len(self.products), np.ascontiguousarray(cross.T)
        if self.at_once:
            found, own = self._grouped.between(turned)
            return found.T / n, own / n
        total, squares = np.zeros_like(cross), np.zeros(len(cross))
        for k in range(self.alpha.shape[1]):
            other = self.images(k, turned)
            total += product(other.T, self.images(k, self.products))
            squares += np.einsum("am,am->m", other, other)
        return total / n, squares / n

    def images(self, k: int, right: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
        """Return the gradients of output k times inputs, C~_k X y', given X y'."""
        found = product(self.slope, self.alpha[:, k : k + 1] * right)
        found += self.own[:, k : k + 1] * right
        return found

    @property
    def round_off(self) -> float:
        """How far entries of G B G may err on the second way, in units of their mean square length."""
        return self._grouped.round_off

    @cached_property
    def _grouped(self) -> _Grouped:
        return _Grouped(self)


class _Grouped:
    """B in the coordinates of the module: centres of groups and differences from them."""

    def __init__(self, of: Gradients) -> None:
        self.groups = groups_of(of.products)
        count, n = int(self.groups.max()) + 1, len(of.products)
        self.shares = np.zeros((count, n))
        self.shares[self.groups, np.arange(n)] = 1.0 / np.bincount(self.groups)[self.groups]
        self.centres, self.differences = self._split(of.products)
        rows = np.arange(n)
        self.of_centres = np.zeros((count, count))
        self.mixed = np.zeros((count, n))
        indicator = (self.shares > 0).T.astype(float)
        for k in range(of.alpha.shape[1]):
            alpha = of.alpha[:, k]
            sums = product(of.slope, alpha[:, None] * indicator)
            sums[rows, self.groups] = 0.0
            sums[rows, self.groups] = of.excess[:, k] - sums.sum(axis=1)
            self.of_centres += sums.T @ sums
            self.mixed += product(sums.T, of.slope) * alpha + sums.T * of.own[:, k]
        self.within = self._within(of)
        self.round_off = self._round_off()

    def _round_off(self) -> float:
        """Return a bound of the error of an entry, over the mean of the diagonal: eps times all terms without signs."""
        near, far = (np.abs(part).max(axis=1) for part in (self.differences, self.centres))
        terms = near @ (np.abs(self.within) @ near) + far @ (np.abs(self.of_centres) @ far)
        terms += 2.0 * far @ (np.abs(self.mixed) @ near)
        size = len(near) * float(np.mean(self._lengths()))
        return EPS * float(terms) / size if size > 0 else np.inf

    @staticmethod
    def _within(of: Gradients) -> Float[np.ndarray, "n n"]:
        """Return n B of the differences."""
        found = np.empty_like(of.slope)
        mirror(gram(of.slope, found))
        found *= product(of.alpha, of.alpha.T)
        mixed = product(of.alpha, of.own.T)
        mixed += mixed.T.copy()
        mixed *= of.slope
        found += mixed
        found[np.diag_indices(len(found))] += (of.own * of.own).sum(axis=1)
        return found

    def _split(
        self, right: Float[np.ndarray, "n m"]
    ) -> tuple[Float[np.ndarray, "g m"], Float[np.ndarray, "n m"]]:
        """Return inner products with the centres, and with the differences from them."""
        centres = product(self.shares, right)
        return centres, right - centres[self.groups]

    def _images(
        self, centres: Float[np.ndarray, "g m"], differences: Float[np.ndarray, "n m"]
    ) -> tuple[Float[np.ndarray, "g m"], Float[np.ndarray, "n m"]]:
        """Return n B times inputs, in these coordinates."""
        below = product(self.within, differences) + product(self.mixed.T, centres)
        return product(self.of_centres, centres) + product(self.mixed, differences), below

    @cached_property
    def _of_samples(self) -> tuple[Float[np.ndarray, "g n"], Float[np.ndarray, "n n"]]:
        return self._images(self.centres, self.differences)

    def _lengths(self) -> Float[np.ndarray, " n"]:
        above, below = self._of_samples
        lengths = np.einsum("gi,gi->i", self.centres, above)
        return lengths + np.einsum("ai,ai->i", self.differences, below)

    def gram(self) -> Float[np.ndarray, "n n"]:
        """Return n times the inner products of M^{1/2} x."""
        above, below = self._of_samples
        n = len(below)
        found = np.empty((n, n))
        for left in range(0, n, BLOCK):  # of a symmetric product the upper triangle alone
            columns = slice(left, min(left + BLOCK, n))
            rows = slice(0, columns.stop)
            part = product(self.differences[:, rows].T, below[:, columns])
            part += product(self.centres[:, rows].T, above[:, columns])
            found[rows, columns] = part
            found[columns, columns] = symmetric(part[left : columns.stop])
        return mirror(found)

    def between(
        self, right: Float[np.ndarray, "n m"]
    ) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, " m"]]:
        """Return n times the inner products of M^{1/2} x with M^{1/2} y, and of the latter with themselves."""
        centres, differences = self._split(right)
        above, below = self._of_samples
        found = product(below.T, differences) + product(above.T, centres)
        other, under = self._images(centres, differences)
        own = np.einsum("gi,gi->i", centres, other) + np.einsum("ai,ai->i", differences, under)
        return found, own


def groups_of(products: Float[np.ndarray, "n n"]) -> Int[np.ndarray, " n"]:
    """Return the group of each sample: that of the nearest of few centres, each the farthest from those before it."""
    lengths = np.diag(products)
    nearest, groups = np.full(len(lengths), np.inf), np.zeros(len(lengths), dtype=int)
    centre = int(lengths.argmax())
    for group in range(MOST_GROUPS):
        squares = lengths + lengths[centre] - 2.0 * products[centre]
        closer = squares < nearest
        groups[closer] = group
        nearest[closer] = squares[closer]
        centre = int(nearest.argmax())
        if nearest[centre] <= NEAR * lengths.max():
            break
    return np.unique(groups, return_inverse=True)[1]
