"""Tiles of a Gram matrix: what a worker, be it a thread or a machine far away, is given, computes and gives back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernel_collapse._linalg import one_blas_thread
from kernel_collapse._shapes import Float, Int
from kernel_collapse._symmetry import asymmetry
from kernel_collapse.collapse._gram import slack
from kernel_collapse.kernels import Kernel

__all__ = ["STRIP", "Doubt", "Panel", "Part", "Tiles", "classes_of", "pieces"]

#: What tiles need of each sample by itself, of each kernel that has computations of its own.
Prepared = list[list[Any]]

#: Rows of the blocks from which the squares of a user's kernel are taken.
CHUNK = 32

#: Row tiles that share what is read of a column tile.
STRIP = 8


class Panel(NamedTuple):
    """Some samples, side by side in the order of their classes."""

    start: int
    x: Float[np.ndarray, "r ..."]
    codes: Int[np.ndarray, " r"]
    alpha: Float[np.ndarray, "r k"]

    @property
    def samples(self) -> slice:
        """Which of all the samples these are."""
        return slice(self.start, self.start + len(self.x))

    def cut(self, samples: slice) -> Panel:
        """Return some of them."""
        here = slice(samples.start - self.start, samples.stop - self.start)
        return Panel(samples.start, self.x[here], self.codes[here], self.alpha[here])

    @property
    def right(self) -> Float[np.ndarray, "r m"]:
        """What a tile is multiplied by: which class each sample is of, and its dual weights."""
        met = classes_of(self.codes)
        return np.hstack([self.codes[:, None] == np.arange(met.start, met.stop), self.alpha])


class Doubt(NamedTuple):
    """How far what a user's code gave is from a kernel: 0 where it is one."""

    asymmetry: float = 0.0  # of blocks of samples with themselves
    excess: float = 0.0  # of the size of an entry over sqrt(K_ii K_jj), the worst, which is:
    value: float = 0.0
    bound: float = 0.0
    pair: tuple[int, int] = (0, 0)

    def or_worse(self, other: Doubt) -> Doubt:
        """Return the worse of each."""
        worse = self if self.excess >= other.excess else other
        return worse._replace(asymmetry=max(self.asymmetry, other.asymmetry))


class Part(NamedTuple):
    """What some row tiles against one column tile add to the sums: to their rows, and by symmetry to the columns."""

    rows: slice
    columns: slice
    diagonal: (
        tuple[slice, list[Float[np.ndarray, " s"]]] | None
    )  # of the rows that are columns, a kernel each
    to_rows: list[
        Float[np.ndarray, "r m"]
    ]  # a kernel each: the classes met in the columns, then the dual weights
    to_columns: list[Float[np.ndarray, "s m"]]
    eps: float  # of the least precise block
    doubts: list[Doubt]  # a kernel each


class Tiles(NamedTuple):
    """Kernels, and the side of their tiles."""

    kernels: tuple[Kernel, ...]
    side: int

    def prepared(self, x: Float[np.ndarray, "r ..."]) -> Prepared:
        """Return what tiles need of each sample by itself; of a user's kernel what its values are checked with."""
        firsts = [self.kernels[kin[0]] for kin in self._families()]
        return [[_roots(kernel, x)] if kernel._given else kernel._prepared(x) for kernel in firsts]

    def square(self, rows: Panel, columns: Panel | None) -> list[Part]:
        """Return the parts of many row and column tiles, strip by strip; None stands for columns that are the rows."""
        # A copy: a matrix times its own transpose goes to another routine of BLAS, whose last digits are others.
        across = rows._replace(x=rows.x.copy()) if columns is None else columns
        parts = []
        with one_blas_thread():
            for strip in pieces(rows.samples, STRIP * self.side):
                panel = rows.cut(strip)
                prepared = self.prepared(panel.x)
                right_of_diagonal = slice(max(strip.start, across.start), across.samples.stop)
                for tile in pieces(right_of_diagonal, self.side):
                    parts.append(self.part(panel, prepared, across.cut(tile)))
        return parts

    def part(self, strip: Panel, of_strip: Prepared, columns: Panel) -> Part:
        """Return what a strip of rows, down to the diagonal, and a column tile have with one another."""
        of_columns = self.prepared(columns.x)
        end = min(strip.samples.stop, columns.samples.stop)
        rows = strip.cut(slice(strip.start, end))
        right, right_of_rows = columns.right, rows.right
        to_rows = [np.empty((len(rows.x), right.shape[1])) for _ in self.kernels]
        to_columns = [np.zeros((len(columns.x), right_of_rows.shape[1])) for _ in self.kernels]
        diagonal, eps = None, 0.0
        doubts = [Doubt() for _ in self.kernels]
        given = {kin[0]: at for at, kin in enumerate(self._families()) if self.kernels[kin[0]]._given}
        for tile in pieces(rows.samples, self.side):
            here = slice(tile.start - rows.start, tile.stop - rows.start)
            of_rows = [[v[here] for v in found] for found in of_strip]
            blocks, block_eps = self._blocks(rows.x[here], columns.x, of_rows, of_columns)
            eps = max(eps, block_eps)
            if tile.start == columns.start:
                diagonal = columns.samples, [block.diagonal().copy() for block in blocks]
            for k, block in enumerate(blocks):
                to_rows[k][here] = block @ right
                if k in given:
                    found = _doubt(block, of_rows[given[k]][0], of_columns[given[k]][0], eps)
                    found = found._replace(
                        pair=(tile.start + found.pair[0], columns.start + found.pair[1]),
                        asymmetry=asymmetry(block) if tile.start == columns.start else 0.0,
                    )
                    doubts[k] = doubts[k].or_worse(found)
                if tile.start != columns.start:
                    to_columns[k] += block.T @ right_of_rows[here]
        for terms, kernel in zip(to_rows, self.kernels, strict=True):
            kernel._require_finite(np.isfinite(terms).all())
        return Part(rows.samples, columns.samples, diagonal, to_rows, to_columns, eps, doubts)

    def _blocks(
        self,
        x: Float[np.ndarray, "r ..."],
        x_columns: Float[np.ndarray, "s ..."],
        of_rows: Prepared,
        of_columns: Prepared,
    ) -> tuple[list[Float[np.ndarray, "r s"]], float]:
        """Return the block of every kernel, and the eps of the least precise."""
        blocks: dict[int, Any] = {}
        eps = 0.0
        for kin, of_x, of_y in zip(self._families(), of_rows, of_columns, strict=True):
            members = [self.kernels[k] for k in kin]
            for k, (block, of_block) in zip(
                kin, members[0]._blocks(members, x, x_columns, of_x, of_y), strict=True
            ):
                blocks[k], eps = block, max(eps, of_block)
        return [blocks[k] for k in range(len(self.kernels))], eps

    def _families(self) -> list[list[int]]:
        """Return which kernels come out of one computation, as NNGP and NTK of one network do."""
        families: list[list[int]] = []
        for k, kernel in enumerate(self.kernels):
            kin = next((family for family in families if self.kernels[family[0]]._kin(kernel)), None)
            if kin is None:
                families.append([k])
            else:
                kin.append(k)
        return families


def _roots(kernel: Kernel, x: Float[np.ndarray, "r ..."]) -> Float[np.ndarray, " r"]:
    """Return the square roots of the kernel of rows with themselves, from its blocks."""
    rows = [x[part] for part in pieces(slice(0, len(x)), CHUNK)]
    squares = [kernel._blocks([kernel], part, part.copy(), [], [])[0][0].diagonal() for part in rows]
    return np.sqrt(np.maximum(np.concatenate(squares), 0.0))


def _doubt(
    block: Float[np.ndarray, "r s"],
    rows: Float[np.ndarray, " r"],
    columns: Float[np.ndarray, " s"],
    eps: float,
) -> Doubt:
    """Return the entry that passes Schwarz's inequality by most, given the lengths of the features."""
    most = rows * (1.0 + slack(eps))
    if columns.min() > 0.0:  # the quick way, where nothing is wrong
        cosines = block * (1.0 / columns)
        if (cosines.max(axis=1) <= most).all() and (cosines.min(axis=1) >= -most).all():
            return Doubt()
    bounds = np.multiply.outer(most, columns)
    excess = np.abs(block)
    excess -= bounds
    worst = int(excess.argmax())
    i, j = divmod(worst, block.shape[1])
    if not excess[i, j] > 0.0:
        return Doubt()
    return Doubt(0.0, float(excess[i, j]), float(block[i, j]), float(bounds[i, j]), (i, j))


def classes_of(codes: Int[np.ndarray, " r"]) -> slice:
    """Return the classes that sorted samples are of."""
    return slice(int(codes[0]), int(codes[-1]) + 1)


def pieces(samples: slice, size: int) -> list[slice]:
    """Return consecutive samples cut into pieces of a size; the last has what is left."""
    return [slice(top, min(top + size, samples.stop)) for top in range(samples.start, samples.stop, size)]
