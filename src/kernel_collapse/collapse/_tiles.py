"""Tiles of a Gram matrix: what a worker, be it a thread or a machine far away, is given, computes and gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from kernel_collapse import _validate, kernels
from kernel_collapse._input_error import InputError
from kernel_collapse._linalg import one_blas_thread

__all__ = ["STRIP", "BlockKernel", "Panel", "Part", "Tiles", "classes_of", "pieces"]

BlockKernel = Callable[[Any, Any], Any]

#: Row tiles that share what is read of a column tile.
STRIP = 8


class Panel(NamedTuple):
    """Some samples, side by side in the order of their classes."""

    start: int
    x: Float[np.ndarray, "r d"]
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


class Tiles(NamedTuple):
    """Kernels, and the side of their tiles."""

    names: tuple[str | BlockKernel, ...]
    layers: kernels.Layers
    side: int

    def square(self, rows: Panel, columns: Panel | None) -> list[Part]:
        """Return the parts of many row and column tiles, strip by strip; None stands for columns that are the rows."""
        # A copy: a matrix times its own transpose goes to another routine of BLAS, whose last digits are others.
        across = rows._replace(x=rows.x.copy()) if columns is None else columns
        parts = []
        with one_blas_thread():
            for strip in pieces(rows.samples, STRIP * self.side):
                panel = rows.cut(strip)
                variances = kernels.variances(panel.x, self.layers)
                right_of_diagonal = slice(max(strip.start, across.start), across.samples.stop)
                for tile in pieces(right_of_diagonal, self.side):
                    parts.append(self.part(panel, variances, across.cut(tile)))
        return parts

    def part(self, strip: Panel, variances: list[Float[np.ndarray, " r"]], columns: Panel) -> Part:
        """Return what a strip of rows, down to the diagonal, and a column tile have with one another."""
        q_columns = kernels.variances(columns.x, self.layers)
        end = min(strip.samples.stop, columns.samples.stop)
        rows = strip.cut(slice(strip.start, end))
        right, right_of_rows = columns.right, rows.right
        to_rows = [np.empty((len(rows.x), right.shape[1])) for _ in self.names]
        to_columns = [np.zeros((len(columns.x), right_of_rows.shape[1])) for _ in self.names]
        diagonal, eps = None, 0.0
        for tile in pieces(rows.samples, self.side):
            here = slice(tile.start - rows.start, tile.stop - rows.start)
            blocks, block_eps = self._blocks(rows.x[here], columns.x, [v[here] for v in variances], q_columns)
            eps = max(eps, block_eps)
            if tile.start == columns.start:
                diagonal = columns.samples, [block.diagonal().copy() for block in blocks]
            for k, block in enumerate(blocks):
                to_rows[k][here] = block @ right
                if tile.start != columns.start:
                    to_columns[k] += block.T @ right_of_rows[here]
        for terms, name in zip(to_rows, self.names, strict=True):
            if callable(name) and not np.isfinite(terms).all():
                raise InputError("the kernel's block", "not finite", "finite numbers for every pair of rows")
            kernels.require_finite(np.isfinite(terms).all())
        return Part(rows.samples, columns.samples, diagonal, to_rows, to_columns, eps)

    def _blocks(
        self,
        x: Float[np.ndarray, "r d"],
        x_columns: Float[np.ndarray, "s d"],
        q: Sequence[Float[np.ndarray, " r"]],
        q_columns: Sequence[Float[np.ndarray, " s"]],
    ) -> tuple[list[Float[np.ndarray, "r s"]], float]:
        """Return the block of every kernel, and the eps of the least precise."""
        named = [name for name in self.names if not callable(name)]
        if named:
            features, theta = kernels.tile(x, x_columns, q, q_columns, self.layers, tangent="ntk" in named)
        own = [_block(name, x, x_columns) for name in self.names if callable(name)]
        given = iter(block for block, _ in own)
        blocks = [
            next(given) if callable(name) else theta if name == "ntk" else features for name in self.names
        ]
        return blocks, max((eps for _, eps in own), default=0.0)


def classes_of(codes: Int[np.ndarray, " r"]) -> slice:
    """Return the classes that sorted samples are of."""
    return slice(int(codes[0]), int(codes[-1]) + 1)


def pieces(samples: slice, size: int) -> list[slice]:
    """Return consecutive samples cut into pieces of a size; the last has what is left."""
    return [slice(top, min(top + size, samples.stop)) for top in range(samples.start, samples.stop, size)]


def _block(
    kernel: BlockKernel, x: Float[np.ndarray, "r d"], x_columns: Float[np.ndarray, "s d"]
) -> tuple[Float[np.ndarray, "r s"], float]:
    """Return the block of a user's kernel and the eps of the precision that it came in, or refuse it."""
    shape = (len(x), len(x_columns))
    block, eps = _validate.called(kernel, "the kernel", x, x_columns)
    if block.shape != shape:
        raise InputError(
            "the kernel",
            f"an array of shape {block.shape} for {shape[0]} and {shape[1]} rows",
            f"{shape}",
            "it is called with the rows of a tile and those of its columns",
            verb="gave",
        )
    return block, eps
