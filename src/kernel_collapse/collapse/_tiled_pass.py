"""One pass over the upper half of the Gram matrices of kernels, tile by tile, and what a user's kernel is asked for.

It leaves diag K, R = K P and K alpha, in O(n (C + k) + workers * tile^2) memory. Tiles are computed on threads or by an
executor, each with one thread of BLAS, and added up in one order whatever their number, with compensated sums, so that
neither the tile nor the workers show in the result beyond the last digits.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from kernel_collapse import _memory, _validate
from kernel_collapse._input_error import InputError, KernelRefused
from kernel_collapse._linalg import one_blas_thread
from kernel_collapse._shapes import Float, Int
from kernel_collapse._symmetry import require_symmetric
from kernel_collapse.collapse._estimate import Rows
from kernel_collapse.collapse._from_gram import Sums, training_moments
from kernel_collapse.collapse._gram import Halves, slack
from kernel_collapse.collapse._moments import EPS, Moments, with_no_spread
from kernel_collapse.collapse._round_off import GIVEN, UNITS
from kernel_collapse.collapse._threads import in_order
from kernel_collapse.collapse._tiles import STRIP, Doubt, Panel, Part, Prepared, Tiles, classes_of, pieces
from kernel_collapse.kernels import Kernel
from kernel_collapse.kernels.named import of_images

__all__ = ["TILE", "TiledPass"]

#: Side of a tile: large enough for the product to run at full speed, small enough for the tile's few temporaries to
#: stay in the cache of a core.
TILE = 256
#: Units by which the sums over a tile err: each adds up as many products, before they are added exactly.
TILE_SUM = 8.0
#: Samples with which a user's kernel is tried before the tiles are made.
FEW = 64
#: Side of the square of tiles that an executor computes at a time: seconds of work, for which rows are sent once.
SQUARE = 8192


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


class TiledPass:
    """One pass over the upper half of the Gram matrices of one or several kernels, with the classes sorted.

    With the samples of a class side by side a tile meets few classes, so that its product with P costs little however
    many classes there are.
    """

    def __init__(
        self,
        x: Any,
        codes: Int[np.ndarray, " n"],
        kernels: Sequence[Kernel],
        alpha: Float[np.ndarray, "n k"] | None,
        tile: int | None,
        workers: int | None,
        executor: Executor | None,
    ) -> None:
        if not kernels:
            raise InputError("kernel", "empty", "'nngp', 'ntk', both, or a callable")
        self.x = Rows(x, len(codes), images=of_images(kernels))
        side = min(TILE if tile is None else _validate.count(tile, "tile"), len(codes))
        self.tiles = Tiles(tuple(kernels), side)
        if executor is not None:
            self._require_usable(executor, workers)
        self.executor = executor
        self.workers = (
            os.cpu_count() or 1
            if workers is None
            else _validate.count(workers, "workers", most=_validate.MOST_WORKERS)
        )
        self.order = np.argsort(codes, kind="stable")
        self.codes = codes[self.order]
        self.sizes = np.bincount(codes)
        self.alpha = np.empty((len(codes), 0)) if alpha is None else alpha[self.order]
        #: Of the precision in which a callable's blocks come.
        self.eps = EPS

    def _require_usable(self, executor: Any, workers: int | None) -> None:
        if workers is not None:
            raise InputError(
                "workers",
                f"{_validate.shown(workers)} and an executor is given",
                "one of them",
                "drop workers",
            )
        if not isinstance(executor, Executor):
            raise InputError(
                "executor",
                f"of type {type(executor).__name__}",
                "a concurrent.futures.Executor",
                "of a dask client use kernel_collapse.cluster.connect, or client.get_executor()",
            )
        from concurrent.futures import ProcessPoolExecutor  # loads multiprocessing

        if isinstance(executor, ProcessPoolExecutor):
            try:
                pickle.dumps(self.tiles)
            except Exception as error:  # whatever an object's own pickling raises
                raise InputError(
                    "the kernel",
                    f"be sent to another process ({error})",
                    "a function or activation that can be pickled",
                    "define it at the top of a module, or use threads",
                    verb="cannot",
                ) from None

    def run(self, progress: Callable[[int, int], None] | None) -> list[Sums]:
        """Return diag K, K P and K alpha of every kernel, in the order of the samples."""
        _memory.keep_freed()
        n, classes = len(self.codes), len(self.sizes)
        means = [_Compensated((n, classes)) for _ in self.tiles.kernels]
        scores = [_Compensated(self.alpha.shape) for _ in self.tiles.kernels]
        diagonals = [np.empty(n) for _ in self.tiles.kernels]
        doubts = [Doubt() for _ in self.tiles.kernels]
        self._require_kernels()
        side = self.tiles.side
        count = -(-n // side)
        done = 0
        for part in self._parts() if self.executor is None else self._parts_elsewhere(self.executor):
            for k in range(len(self.tiles.kernels)):
                for rows, others, terms in (
                    (part.rows, part.columns, part.to_rows[k]),
                    (part.columns, part.rows, part.to_columns[k]),
                ):
                    met = classes_of(self.codes[others])
                    split = met.stop - met.start
                    means[k].add((rows, met), terms[:, :split])
                    scores[k].add((rows, slice(None)), terms[:, split:])
                self.eps = max(self.eps, part.eps)
                doubts[k] = doubts[k].or_worse(part.doubts[k])
                if part.diagonal is not None:
                    diagonals[k][part.diagonal[0]] = part.diagonal[1][k]
            done += -(-(part.rows.stop - part.rows.start) // side)
            if progress is not None:
                progress(done, count * (count + 1) // 2)
        for doubt, diagonal in zip(doubts, diagonals, strict=True):
            self._require_kernel(doubt, diagonal, self.order)
        back = np.empty(n, dtype=np.int64)
        back[self.order] = np.arange(n)
        return [
            Sums(
                diagonals[k][back],
                self._halves(diagonals[k], means[k].value / self.sizes, back),
                scores[k].value[back],
            )
            for k in range(len(self.tiles.kernels))
        ]

    def _require_kernels(self) -> None:
        """Refuse what a user's code gives of a few samples, before any work, if that is no kernel."""
        given = [kernel for kernel in self.tiles.kernels if kernel._given]
        if not given:
            return
        rows = np.unique(np.linspace(0, len(self.order) - 1, FEW).astype(np.int64))  # of all classes
        numbers = np.sort(self.order[rows])
        codes = np.zeros(len(rows), dtype=np.int64)
        panel = Panel(0, self.x[numbers], codes, np.empty((len(rows), 0)))
        tiles = Tiles(tuple(given), len(rows))
        # A copy: a matrix times its own transpose is symmetric, where tiles of other samples may not be.
        part = tiles.part(panel, tiles.prepared(panel.x), panel._replace(x=panel.x.copy()))
        self.eps = max(self.eps, part.eps)
        for doubt, diagonal in zip(part.doubts, part.diagonal[1] if part.diagonal else (), strict=True):
            self._require_kernel(doubt, diagonal, numbers)

    def _require_kernel(
        self, doubt: Doubt, diagonal: Float[np.ndarray, " m"], numbers: Int[np.ndarray, " m"]
    ) -> None:
        """Refuse what is not symmetric or passes Schwarz's inequality; `numbers` are those of the samples."""
        if diagonal.min() < 0.0:
            raise KernelRefused(
                "the diagonal of the kernel",
                f"{diagonal.min():.3g}",
                "squares of lengths",
                "give a kernel of inner products of features",
                verb="holds",
            )
        largest = float(diagonal.max())
        require_symmetric(doubt.asymmetry, largest, self.eps)
        if doubt.excess > slack(self.eps) * largest:
            i, j = (int(numbers[at]) for at in doubt.pair)
            raise KernelRefused(
                "the kernel",
                f"{doubt.value:.3g} for samples {i} and {j}",
                f"at most sqrt(K_ii K_jj) = {doubt.bound:.3g} in size, as inner products are",
                "give a kernel of inner products of features",
                verb="gives",
            )

    def _halves(
        self, diagonal: Float[np.ndarray, " n"], means: Float[np.ndarray, "n C"], back: Int[np.ndarray, " n"]
    ) -> Halves:
        """Return the class averages of E from those of K, which errs by the round-off of a tile's sums more."""
        squares = np.bincount(self.codes, weights=diagonal) / self.sizes
        halves = 0.5 * ((means - diagonal[:, None]) + (means - squares))
        return Halves(halves[back], 0.5 * UNITS * max(self.eps, TILE_SUM * EPS))

    def moments(self, sums: Sums) -> Moments:
        """Return the moments; classes whose samples are the same numbers have no spread."""
        codes = np.empty(len(self.codes), dtype=np.int64)
        codes[self.order] = self.codes
        found = training_moments(sums, codes, max(self.eps, EPS))
        same = np.zeros(len(self.sizes), dtype=bool)
        for c in np.flatnonzero(GIVEN * found.spread < found.spread_error):
            same[c] = self._same(np.flatnonzero(codes == c))
        return with_no_spread(found, same)

    def _same(self, members: Int[np.ndarray, " m"]) -> bool:
        """Tell whether these rows of x are the same numbers."""
        step = max(1, STRIP * self.tiles.side)
        first = self.x[members[:1]]
        return all(
            bool((self.x[members[top : top + step]] == first).all()) for top in range(0, len(members), step)
        )

    def _parts(self) -> Iterator[Part]:
        """Yield every part in one order, while threads work on the next ones."""
        with one_blas_thread(), ThreadPoolExecutor(self.workers) as threads:
            futures = (threads.submit(self._part, *task) for task in self._tasks())
            yield from in_order(futures, lambda: 2 * self.workers)

    def _tasks(self) -> Iterator[tuple[Panel, Prepared, slice]]:
        """Yield strips of rows, what is known of them, and the column tiles to their right, from the diagonal on."""
        for strip in pieces(slice(0, len(self.codes)), STRIP * self.tiles.side):
            rows = self._panel(strip)
            prepared = self.tiles.prepared(rows.x)
            for columns in pieces(slice(strip.start, len(self.codes)), self.tiles.side):
                yield rows, prepared, columns

    def _part(self, rows: Panel, prepared: Prepared, columns: slice) -> Part:
        return self.tiles.part(rows, prepared, self._panel(columns))

    def _parts_elsewhere(self, executor: Executor) -> Iterator[Part]:
        """Yield every part, computed by an executor in squares of many tiles.

        A row meets its terms in the order of `_parts`: squares go from left to right, and strips from top to bottom
        within them.
        """
        strip = STRIP * self.tiles.side
        squares = pieces(slice(0, len(self.codes)), max(1, SQUARE // strip) * strip)

        def taken(rows: Panel, across: Panel | None) -> Future[list[Part]]:
            try:
                return executor.submit(self.tiles.square, rows, across)
            except BrokenExecutor:
                raise
            except RuntimeError as error:  # one that was shut down takes no more
                raise BrokenExecutor(
                    f"the executor takes no work ({error}): give one that is open."
                ) from error

        def submit() -> Iterator[Future[list[Part]]]:
            for i, down in enumerate(squares):
                rows = self._panel(down)
                yield taken(rows, None)
                for across in squares[i + 1 :]:
                    yield taken(rows, self._panel(across))

        in_flight = getattr(executor, "in_flight", lambda: 2 * (os.cpu_count() or 1))
        for parts in in_order(submit(), in_flight):
            yield from parts

    def _panel(self, samples: slice) -> Panel:
        """Read rows of x."""
        numbers = self.order[samples]
        ascending = np.argsort(numbers)
        x = np.empty((len(numbers), *self.x.shape))
        x[ascending] = self.x[numbers[ascending]]
        return Panel(samples.start, x, self.codes[samples], self.alpha[samples])
