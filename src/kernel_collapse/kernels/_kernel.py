"""What a kernel is to this library: an immutable value that gives blocks of its Gram matrix."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from kernel_collapse import _arrays, _memory, _validate
from kernel_collapse._input_error import InputError, KernelRefused
from kernel_collapse._shapes import Float
from kernel_collapse._symmetry import asymmetry, require_symmetric

__all__ = ["Kernel", "asymmetry", "described", "require_symmetric"]

#: Side of a tile: its few temporaries of 8 * TILE**2 bytes stay in the cache.
TILE = 256
#: Pairs whose values are taken from one block, where a kernel has no way of its own: most of the block is unused.
CHUNK = 16
#: Round-off of the numbers of float64.
EPS = float(np.finfo(np.float64).eps)

#: A block or values of pairs, and the eps of the precision that they came in.
Evaluated = tuple[Any, float]


class Kernel(ABC):
    """A positive semidefinite kernel: the inner product of some features of two samples.

    A kernel is a value: it does not change, and two kernels with the same parameters are equal. You call it with
    samples, and you can pass it wherever an argument `kernel=` is accepted: `kernel_collapse.streamed_nc1`,
    `streamed_collapse`, `sampled_nc1`, `measure`, and the estimators of scikit-learn.

    To write your own kernel, make a subclass, preferably a frozen dataclass, with three methods. Only `tile` is
    required. If `pairs` and `diagonal` are missing, they are computed from `tile` at sixteen times the cost. The
    methods are called with clean arrays. These are NumPy arrays in float64, unless the kernel itself is called with
    arrays of another library.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np, kernel_collapse as kc
    >>> @dataclass(frozen=True)
    ... class Gaussian(kc.kernels.Kernel):
    ...     length: float = 1.0
    ...
    ...     def tile(self, x, y):
    ...         return np.exp(-0.5 * ((x[:, None] - y) ** 2).sum(axis=2) / self.length**2)
    ...
    ...     def pairs(self, left, right):
    ...         return np.exp(-0.5 * ((left - right) ** 2).sum(axis=1) / self.length**2)
    ...
    ...     def diagonal(self, x):
    ...         return np.ones(len(x))
    >>> kernel = Gaussian(length=2.0)
    >>> kernel([[0.0], [2.0]]).round(4)
    array([[1.    , 0.6065],
           [0.6065, 1.    ]])
    >>> data = kc.data.gaussian_classes(n=100, dim=8)
    >>> dense = kc.nc1(kernel(data.x), data.labels).ratio
    >>> abs(kc.streamed_nc1(data.x, data.labels, kernel=kernel).ratio / dense - 1) < 1e-12
    True
    """

    #: What is said where a block is not finite.
    _not_finite = "the kernel's block", "not finite", "finite numbers for every pair of rows", ""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a kernel that scikit-learn, if it is there, calls with all samples at once."""
        _known_to_scikit_learn()
        return super().__new__(cls)

    #: Whether the kernel is the library's, which says itself what is wrong with its samples.
    _ours = False
    #: Whether its samples are images (height, width, channels) in place of vectors.
    _of_images = False

    @abstractmethod
    def tile(self, x: Float[Any, "r d"], y: Float[Any, "s d"]) -> Float[Any, "r s"]:
        """Return the kernel of every row of `x` with every row of `y`."""

    def pairs(self, left: Float[Any, "m d"], right: Float[Any, "m d"]) -> Float[Any, " m"]:
        """Return the kernel of each row of `left` with the same row of `right`."""
        xp = _arrays.namespace(left)
        count = left.shape[0]
        parts = [slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
        return xp.concat([xp.linalg.diagonal(xp.asarray(self.tile(left[p], right[p]))) for p in parts])

    def diagonal(self, x: Float[Any, "n d"]) -> Float[Any, " n"]:
        """Return the kernel of each row of `x` with itself."""
        return self.pairs(x, x)

    def __call__(self, x: Any, y: Any = None) -> Any:
        """Return the Gram matrix, made tile by tile: symmetric to the last bit without `y`.

        Parameters
        ----------
        x : array_like, shape (n, d)
            Samples of the rows: of NumPy, JAX, PyTorch or CuPy.
        y : array_like, shape (m, d), optional
            Samples of the columns; `x` itself by default. Of two single samples, of shape (d,), the value is a number.

        Returns
        -------
        array, shape (n, m)
            Of the library that `x` came from.

        Raises
        ------
        ValueError
            If an input or the kernel of it is not finite, not two-dimensional, or the two do not fit one another; or
            if a kernel of your own is not symmetric.
        """
        one = 3 if self._of_images else 1
        if y is not None and _validate.dimensions(x) == one and _validate.dimensions(y) == one:
            _known_to_scikit_learn()  # which may have called; the next time it need not do so pair by pair
            return float(self._pairs(*self._rows(_row(x), _row(y)))[0][0])
        return self._gram(x, y)

    def __copy__(self) -> Kernel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Kernel:
        _known_to_scikit_learn()
        return self  # it does not change; so a clone of an estimator has the same kernel

    @property
    def _given(self) -> bool:
        """Whether the values are those of a user's own code, of which nobody knows whether it is a kernel."""
        return not self._ours and type(self)._blocks is Kernel._blocks

    # -- what the library calls; what tiles have in common is computed once where a kernel can

    def _seconds_a_pair(self, x: Any) -> float:
        """Return about how long one core takes for a pair, beyond what any kernel does."""
        return 0.0

    def _kin(self, other: Kernel) -> bool:
        """Tell whether the blocks of the other come out of the same computation."""
        return False

    def _prepared(self, x: Float[Any, "n d"]) -> list[Any]:
        """Return what tiles need of each sample by itself, an entry a sample."""
        return []

    def _blocks(
        self,
        kin: Sequence[Kernel],
        x: Any,
        y: Any,
        of_x: Sequence[Any],
        of_y: Sequence[Any],
        *,
        diagonal: bool = False,
    ) -> list[Evaluated]:
        """Return the block of this kernel and those of its kin; `diagonal` says that the rows are the columns."""
        shape = (int(x.shape[0]), int(y.shape[0]))
        block, eps = self._call(self.tile, "the kernel", x, y)
        if tuple(np.shape(block)) != shape:
            raise InputError(
                "the kernel",
                f"an array of shape {tuple(np.shape(block))} for {shape[0]} and {shape[1]} rows",
                f"{shape}",
                "it is called with the rows of a tile and those of its columns",
                verb="gave",
            )
        return [(block, eps)]

    def _pairs(self, left: Any, right: Any) -> Evaluated:
        """Return the values of pairs of rows, or refuse them."""
        return self._values(self.pairs, left, right)

    def _diagonal(self, x: Any) -> Evaluated:
        """Return the values of rows with themselves, or refuse them."""
        return self._values(self.diagonal, x)

    def _pairs_among(self, x: Any, left: Any, right: Any) -> tuple[Any, Any, float]:
        """Return the values of rows with themselves and of pairs of them, whose numbers are given."""
        squares, eps = self._diagonal(x)
        values, other_eps = self._pairs(x[left], x[right])
        return squares, values, max(eps, other_eps)

    def _values(self, method: Any, *rows: Any) -> Evaluated:
        values, eps = self._call(method, "kernel", *rows)
        if _arrays.is_foreign(values):
            return values, eps
        if values.shape != (len(rows[0]),):
            raise InputError(
                "kernel",
                f"an array of shape {values.shape} for {len(rows[0])} pairs of rows",
                f"({len(rows[0])},)",
                "the value of each row of the first array with the same row of the second",
                verb="returned",
            )
        if not np.isfinite(values).all():
            raise KernelRefused(
                "kernel", "values that are not finite", "finite numbers", "scale x down", verb="returned"
            )
        return values, eps

    def _call(self, method: Any, what: str, *arrays: Any) -> Evaluated:
        """Return what a method of this kernel makes of clean arrays, or say what is wrong with it."""
        if self._ours:
            values = method(*arrays)
            return values, 0.0 if _arrays.is_foreign(values) else _arrays.eps_of(values)
        if _arrays.is_foreign(arrays[0]):
            return _with_arrays(method, *arrays), 0.0
        return _validate.called(method, what, *arrays)

    def _require_finite(self, finite: Any) -> None:
        """Refuse values if not all of them are finite."""
        if not bool(finite):
            raise KernelRefused(*self._not_finite)

    def _precision(self) -> str | None:
        """Return the precision that is asked for, if it is."""
        return getattr(self, "dtype", None)

    def _rows(self, x: Any, y: Any) -> tuple[Any, Any]:
        return _validate.rows(x, y, dtype=self._precision(), what="y")

    def _paired(self, left: Any, right: Any) -> tuple[Any, Any]:
        _arrays.same_kind(left, "left", right, "right")
        rows = _validate.matrix(left, "left", dtype=self._precision())
        others = _validate.matrix(right, "right", dtype=self._precision())
        if rows.shape != others.shape:
            raise InputError(
                "left",
                f"shape {tuple(rows.shape)} and right has {tuple(others.shape)}",
                "the same",
                "a pair a row",
                verb="has",
            )
        return rows, others

    def _gram(self, x: Any, y: Any, what: str = "y") -> Float[Any, "n m"]:
        rows, columns = _validate.matrix(x, "x", dtype=self._precision()), None
        if y is not None:
            rows, columns = _validate.rows(x, y, dtype=self._precision(), what=what)
        return _tiled(self, rows, columns) if isinstance(rows, np.ndarray) else _whole(self, rows, columns)


def _tiled(
    kernel: Kernel, x: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"] | None
) -> Float[np.ndarray, "n m"]:
    """Return the Gram matrix of NumPy arrays, made tile by tile."""
    symmetric = other is None
    of_x = kernel._prepared(x)
    if other is None:
        other, of_other = x, of_x
    else:
        of_other = kernel._prepared(other)
    _validate.fits(
        len(x) * len(other),
        f"the Gram matrix of {len(x)} by {len(other)} samples",
        "use streamed_nc1 or sampled_nc1",
    )
    _memory.keep_freed()
    gram = np.empty((len(x), len(other)), dtype=x.dtype)
    gap, largest, eps = 0.0, 0.0, 0.0
    for top in range(0, len(x), TILE):
        rows = slice(top, min(top + TILE, len(x)))
        for left in range(top if symmetric else 0, len(other), TILE):
            columns = slice(left, min(left + TILE, len(other)))
            ((entries, of_block),) = kernel._blocks(
                [kernel], x[rows], other[columns], [v[rows] for v in of_x], [v[columns] for v in of_other]
            )
            kernel._require_finite(np.isfinite(entries).all())
            eps = max(eps, of_block)
            if symmetric and top == left:
                if kernel._given:
                    gap, largest = (
                        max(gap, asymmetry(entries)),
                        max(largest, np.abs(entries.diagonal()).max()),
                    )
                entries = np.triu(entries) + np.triu(entries, 1).T
            gram[rows, columns] = entries
            if symmetric and top != left:
                gram[columns, rows] = entries.T
    require_symmetric(gap, float(largest), eps)
    return gram


def _whole(kernel: Kernel, x: Float[Any, "n ..."], other: Float[Any, "m ..."] | None) -> Float[Any, "n m"]:
    """Return the Gram matrix of arrays of another library, which may be compiled or differentiated: in one piece."""
    xp = _arrays.namespace(x)
    of_x = kernel._prepared(x)
    if other is not None:
        ((gram, _),) = kernel._blocks([kernel], x, other, of_x, kernel._prepared(other))
    else:
        ((gram, _),) = kernel._blocks([kernel], x, x, of_x, of_x, diagonal=True)
        if kernel._given and not _arrays.staged(gram):
            largest = _arrays.number(xp.max(xp.abs(xp.linalg.diagonal(gram))))
            require_symmetric(asymmetry(gram), largest, _arrays.eps_of(gram))
        gram = xp.triu(gram) + xp.permute_dims(xp.triu(gram, k=1), (1, 0))
    if not _arrays.staged(gram):
        kernel._require_finite(xp.all(xp.isfinite(gram)))
    return gram


def _row(sample: Any) -> Any:
    return sample[None] if _arrays.is_foreign(sample) or isinstance(sample, np.ndarray) else [sample]


def _with_arrays(method: Any, *arrays: Any) -> Any:
    """Return what a kernel makes of arrays of another library, or say that it does not take them."""
    try:
        return method(*arrays)
    except ValueError:
        raise
    except Exception as error:  # whatever the user's method raises
        raise InputError(
            "the kernel",
            f"be called with arrays of {_arrays.kind(arrays[0])} ({type(error).__name__})",
            "one written in functions that take them",
            "give NumPy's arrays",
            verb="cannot",
        ) from error


def described(kernel: Any) -> str:
    """Return a frozen dataclass as it is written: the first field, and what is not as by default."""
    shown = []
    for k, field in enumerate(f for f in fields(kernel) if f.init):
        value = getattr(kernel, field.name)
        if not field.kw_only and k == 0:
            shown.append(repr(value))
        elif field.default is MISSING or value != field.default:
            shown.append(f"{field.name}={value!r}")
    return f"{type(kernel).__name__}({', '.join(shown)})"


def _known_to_scikit_learn() -> None:
    """Tell scikit-learn that a kernel takes all samples at once, as those of its Gaussian processes do.

    What goes through its `pairwise_kernels` would call any other function with two samples at a time, n^2 / 2 times.
    It is not imported for that: where it comes after the kernel, it does call with two samples, which gives the same.
    """
    if "sklearn.metrics.pairwise" not in sys.modules:
        return
    from sklearn.gaussian_process.kernels import Kernel as TakesAll

    if not issubclass(Kernel, TakesAll):
        TakesAll.register(Kernel)
