"""Neural collapse of kernels tile by tile: no array of the size of the Gram matrix is ever held.

One pass over the upper half of K leaves diag K, R = K P and K alpha, in O(n (C + k) + workers * tile^2) memory. Tiles
are computed on threads, each with one thread of BLAS, and added up in one order whatever the number of threads, with
compensated sums, so that neither the tile nor the threads show in the result beyond the last digits.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from kernel_collapse import _arrays, _validate, kernels
from kernel_collapse._linalg import one_blas_thread
from kernel_collapse.activations import ActivationLike
from kernel_collapse.collapse._estimate import Rows
from kernel_collapse.collapse._from_gram import Sums, from_sums
from kernel_collapse.collapse._metrics import Collapse, class_targets_of, columns_of
from kernel_collapse.collapse._nc1 import (
    WEIGHTINGS,
    Weighting,
    averaging_matrix,
    from_moments,
    moments_of_sums,
)

__all__ = ["BlockKernel", "streamed_collapse", "streamed_nc1"]

BlockKernel = Callable[[Any, Any], Any]

#: Side of a tile: large enough for the product to run at full speed, small enough for the tile's few temporaries to
#: stay in the cache of a core.
TILE = 256
#: Row tiles that are read at once, and share what is read of a column tile.
STRIP = 8


def streamed_nc1(
    x: Any,
    labels: Any,
    *,
    kernel: str | Sequence[str] | BlockKernel = "nngp",
    weighting: Weighting = "paper",
    tile: int | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    activation: ActivationLike = "erf",
    depth: int = 1,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
) -> Any:
    r"""Return NC1 of a kernel without its Gram matrix: exact, in memory proportional to n.

    Parameters
    ----------
    x : array, shape (n, d)
        Inputs. NumPy's, a memory map, or whatever has a shape and gives rows for an array of row numbers: they are
        read tile by tile, and need not fit into memory.
    labels : sequence, length n
        Class of each sample.
    kernel : {"nngp", "ntk"}, sequence of these, or callable
        Several share one pass. A callable takes the rows of a tile (r, d) and of its columns (s, d) and returns the
        block (r, s) of a symmetric kernel; it must be safe to call from several threads.
    weighting
        As for `kernel_collapse.nc1`.
    tile : int, optional
        Side of a tile; by default one whose temporaries stay in the cache.
    workers : int, optional
        Threads; by default one a core.
    progress : callable, optional
        Called as progress(done, total) with the number of tiles.
    activation, depth, weight_variance, bias_variance
        Of "nngp" and "ntk", as for `kernel_collapse.nngp`.

    Returns
    -------
    NC1, or a dict of NC1 by the names of several kernels
        What `kernel_collapse.nc1` of the whole Gram matrix gives.

    Raises
    ------
    ValueError
        If shapes do not agree, values are not finite, or the callable returns anything but a finite block.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(n=1000, dim=8)
    >>> value = kc.streamed_nc1(data.x, data.labels, kernel="ntk")
    >>> abs(value.ratio / kc.nc1(kc.ntk(data.x), data.labels).ratio - 1) < 1e-12
    True
    """
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, _ = _validate.encode_labels(labels)
    one = isinstance(kernel, str) or callable(kernel)
    names: list[Any] = [kernel] if one else _validate.several(kernel, "kernel", "'nngp', or ('nngp', 'ntk')")
    layers = kernels.layers_of(activation, depth, weight_variance, bias_variance)
    found = _Stream(x, codes, names, layers, None, tile, workers).run(progress)
    averaging, sizes = averaging_matrix(codes, found[0].means)
    values = [
        from_moments(
            moments_of_sums(
                averaging.T @ sums.diagonal, averaging.T @ sums.means, sizes, np.abs(sums.diagonal).max()
            ),
            weighting,
        )
        for sums in found
    ]
    return values[0] if one else dict(zip(names, values, strict=True))


def streamed_collapse(
    x: Any,
    labels: Any,
    *,
    kernel: str | BlockKernel = "nngp",
    dual_weights: Any = None,
    targets: Any = None,
    weighting: Weighting = "paper",
    tile: int | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    activation: ActivationLike = "erf",
    depth: int = 1,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
) -> Collapse:
    r"""Return every metric of collapse of a kernel without its Gram matrix.

    A classifier must be given by its dual weights: to fit one takes the whole matrix.

    Parameters
    ----------
    x, labels, kernel, tile, workers, progress, activation, depth, weight_variance, bias_variance
        As for `streamed_nc1`, but of one kernel.
    dual_weights, targets, weighting
        As for `kernel_collapse.collapse`.

    Returns
    -------
    Collapse
        What `kernel_collapse.collapse` of the whole Gram matrix gives.

    Raises
    ------
    ValueError
        As for `streamed_nc1`, and if targets come without dual weights.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(n=1000, dim=8)
    >>> found = kc.streamed_collapse(data.x, data.labels)
    >>> found.ncm_accuracy, abs(found.nc1_pinv / kc.collapse(kc.nngp(data.x), data.labels).nc1_pinv - 1) < 1e-10
    (1.0, True)
    """
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, _ = _validate.encode_labels(labels)
    alpha = class_targets = None
    if dual_weights is not None:
        alpha = columns_of(dual_weights, "dual_weights", len(codes))
        class_targets = class_targets_of(codes, targets, alpha.shape[1], alpha)
    elif targets is not None:
        raise ValueError(
            "targets are given without dual_weights, expected both: to fit a classifier takes the whole Gram matrix; "
            "use kernel_collapse.collapse, or fit it elsewhere and give dual_weights."
        )
    layers = kernels.layers_of(activation, depth, weight_variance, bias_variance)
    (sums,) = _Stream(x, codes, [kernel], layers, alpha, tile, workers).run(progress)
    return from_sums(sums, codes, alpha, class_targets, weighting)


class _Part(NamedTuple):
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


class _Compensated:
    """Running sums that carry what each addition rounds away (Neumaier, 1974)."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._sum, self._lost = np.zeros(shape), np.zeros(shape)

    def add(self, where: tuple[slice, slice], terms: Float[np.ndarray, "r m"]) -> None:
        before = self._sum[where]
        after = before + terms
        larger = np.abs(before) >= np.abs(terms)
        self._lost[where] += np.where(larger, (before - after) + terms, (terms - after) + before)
        self._sum[where] = after

    @property
    def value(self) -> Float[np.ndarray, "n k"]:
        return self._sum + self._lost


class _Stream:
    """One pass over the upper half of the Gram matrices of one or several kernels, with the classes sorted.

    With the samples of a class side by side a tile meets few classes, so that its product with P costs little however
    many classes there are.
    """

    def __init__(
        self,
        x: Any,
        codes: Int[np.ndarray, " n"],
        names: Sequence[str | BlockKernel],
        layers: kernels.Layers,
        alpha: Float[np.ndarray, "n k"] | None,
        tile: int | None,
        workers: int | None,
    ) -> None:
        if not names:
            raise ValueError("kernel is empty, expected 'nngp', 'ntk', both, or a callable.")
        for name in names:
            if not callable(name):
                _validate.choice(name, ("nngp", "ntk"), "kernel")
        self.x = Rows(_arrays.read(x) if _arrays.is_foreign(x) else x, len(codes))
        self.names, self.layers = names, layers
        self.tile = min(TILE if tile is None else _validate.count(tile, "tile"), len(codes))
        self.workers = os.cpu_count() or 1 if workers is None else _validate.count(workers, "workers")
        self.order = np.argsort(codes, kind="stable")
        self.codes = codes[self.order]
        self.sizes = np.bincount(codes)
        self.alpha = np.empty((len(codes), 0)) if alpha is None else alpha[self.order]

    def run(self, progress: Callable[[int, int], None] | None) -> list[Sums]:
        """Return diag K, K P and K alpha of every kernel, in the order of the samples."""
        n, classes = len(self.codes), len(self.sizes)
        means = [_Compensated((n, classes)) for _ in self.names]
        scores = [_Compensated(self.alpha.shape) for _ in self.names]
        diagonals = [np.empty(n) for _ in self.names]
        count = -(-n // self.tile)
        done = 0
        for part in self._parts():
            for k in range(len(self.names)):
                for rows, others, terms in (
                    (part.rows, part.columns, part.to_rows[k]),
                    (part.columns, part.rows, part.to_columns[k]),
                ):
                    met = self._classes(others)
                    split = met.stop - met.start
                    means[k].add((rows, met), terms[:, :split])
                    scores[k].add((rows, slice(None)), terms[:, split:])
                if part.diagonal is not None:
                    diagonals[k][part.diagonal[0]] = part.diagonal[1][k]
            done += -(-(part.rows.stop - part.rows.start) // self.tile)
            if progress is not None:
                progress(done, count * (count + 1) // 2)
        back = np.empty(n, dtype=np.int64)
        back[self.order] = np.arange(n)
        return [
            Sums(diagonals[k][back], means[k].value[back] / self.sizes, scores[k].value[back])
            for k in range(len(self.names))
        ]

    def _parts(self) -> Iterator[_Part]:
        """Yield every part in one order, while threads work on the next ones."""
        with one_blas_thread(), ThreadPoolExecutor(self.workers) as threads:
            waiting: deque[Future[_Part]] = deque()
            try:
                for task in self._tasks():
                    waiting.append(threads.submit(self._part, *task))
                    if len(waiting) > 2 * self.workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _tasks(self) -> Iterator[tuple[slice, Any, slice]]:
        """Yield strips of rows, their inputs, and the column tiles to their right, from the diagonal on."""
        n = len(self.codes)
        for top in range(0, n, STRIP * self.tile):
            strip = slice(top, min(top + STRIP * self.tile, n))
            inputs = self._inputs(strip)
            for left in range(top, n, self.tile):
                yield strip, inputs, slice(left, min(left + self.tile, n))

    def _inputs(self, rows: slice) -> tuple[Float[np.ndarray, "r d"], list[Float[np.ndarray, " r"]]]:
        """Return rows of x with their variances in every layer."""
        numbers = self.order[rows]
        ascending = np.argsort(numbers)
        x = np.empty((len(numbers), self.x.dim))
        x[ascending] = self.x[numbers[ascending]]
        return x, kernels.variances(x, self.layers)

    def _classes(self, samples: slice) -> slice:
        """Return the classes that sorted samples are of."""
        return slice(int(self.codes[samples.start]), int(self.codes[samples.stop - 1]) + 1)

    def _right(self, samples: slice) -> Float[np.ndarray, "r m"]:
        """Return what a tile is multiplied by: which class each sample is of, and its dual weights."""
        met = self._classes(samples)
        of_class = self.codes[samples, None] == np.arange(met.start, met.stop)
        return np.hstack([of_class, self.alpha[samples]])

    def _part(self, strip: slice, inputs: Any, columns: slice) -> _Part:
        x, q = inputs
        x_columns, q_columns = self._inputs(columns)
        rows = slice(strip.start, min(strip.stop, columns.stop))
        right, right_of_rows = self._right(columns), self._right(rows)
        to_rows = [np.empty((rows.stop - rows.start, right.shape[1])) for _ in self.names]
        to_columns = [np.zeros((columns.stop - columns.start, right_of_rows.shape[1])) for _ in self.names]
        diagonal = None
        for top in range(rows.start, rows.stop, self.tile):
            here = slice(top - rows.start, min(top + self.tile, rows.stop) - rows.start)
            blocks = self._blocks(x[here], x_columns, [v[here] for v in q], q_columns)
            if top == columns.start:
                diagonal = columns, [block.diagonal().copy() for block in blocks]
            for k, block in enumerate(blocks):
                to_rows[k][here] = block @ right
                if top != columns.start:
                    to_columns[k] += block.T @ right_of_rows[here]
        for terms, name in zip(to_rows, self.names, strict=True):
            if callable(name) and not np.isfinite(terms).all():
                raise ValueError(
                    "the kernel's block is not finite, expected finite numbers for every pair of rows."
                )
            kernels.require_finite(np.isfinite(terms).all())
        return _Part(rows, columns, diagonal, to_rows, to_columns)

    def _blocks(
        self,
        x: Float[np.ndarray, "r d"],
        x_columns: Float[np.ndarray, "s d"],
        q: list[Float[np.ndarray, " r"]],
        q_columns: list[Float[np.ndarray, " s"]],
    ) -> list[Float[np.ndarray, "r s"]]:
        """Return the block of every kernel."""
        shape = (len(x), len(x_columns))
        named = [name for name in self.names if not callable(name)]
        if named:
            features, theta = kernels.tile(x, x_columns, q, q_columns, self.layers, tangent="ntk" in named)
        return [
            _block(name(x, x_columns), shape) if callable(name) else theta if name == "ntk" else features
            for name in self.names
        ]


def _block(value: Any, shape: tuple[int, int]) -> Float[np.ndarray, "r s"]:
    block = np.asarray(value, dtype=float)
    if block.shape != shape:
        raise ValueError(
            f"the kernel gave an array of shape {block.shape} for {shape[0]} and {shape[1]} rows, expected {shape}: it "
            "is called with the rows of a tile and those of its columns."
        )
    return block
