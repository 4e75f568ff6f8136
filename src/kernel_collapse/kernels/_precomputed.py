"""A kernel that is known as a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.kernels._kernel import EPS, Evaluated, Kernel

__all__ = ["Precomputed"]


@final
@dataclass(frozen=True, repr=False, eq=False)
class Precomputed(Kernel):
    """The kernel whose Gram matrix is given: its samples are row numbers of that matrix.

    With it you can pass the Gram matrix of any kernel wherever a kernel is accepted. `x` then has shape (n, 1) and
    contains the row numbers of the samples.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        The Gram matrix of all samples, including the held-out ones. It is not copied and must not change.

    Raises
    ------
    ValueError
        If the matrix is not finite, square and symmetric; when called, if a number is none of its rows.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(n=100, dim=8)
    >>> kernel = kc.kernels.Precomputed(np.exp(data.x @ data.x.T / 8))
    >>> kernel
    Precomputed(<100 x 100>)
    >>> samples = np.arange(100)[:, None]
    >>> found = kc.streamed_nc1(samples, data.labels, kernel=kernel)
    >>> abs(found.ratio / kc.nc1(kernel.gram, data.labels).ratio - 1) < 1e-12
    True
    """

    gram: Any

    _ours = True
    #: The eps of the precision that the matrix was given in.
    _eps = EPS

    def __post_init__(self) -> None:
        given = _validate.matrix(self.gram, "the Gram matrix", numpy=True)
        eps = _arrays.eps_of(self.gram)
        clean = _validate.gram(given, len(given)).view()
        clean.setflags(write=False)
        object.__setattr__(self, "gram", clean)
        object.__setattr__(self, "_eps", eps)

    def __repr__(self) -> str:
        return f"Precomputed(<{len(self.gram)} x {len(self.gram)}>)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Precomputed) or self._eps != other._eps:
            return False
        return np.array_equal(self.gram, other.gram)

    def __hash__(self) -> int:
        return hash((Precomputed, self.gram.shape, float(self.gram[0, -1])))

    def tile(self, x: Any, y: Any) -> Float[np.ndarray, "r s"]:
        """Return the entries of every row number in `x` with every row number in `y`."""
        return self.gram[np.ix_(self._numbers(x, "x"), self._numbers(y, "y"))]

    def pairs(self, left: Any, right: Any) -> Float[np.ndarray, " m"]:
        """Return the entry of each row number in `left` with the same one in `right`."""
        rows, others = self._numbers(left, "left"), self._numbers(right, "right")
        if len(rows) != len(others):
            raise InputError(
                "left", f"{len(rows)} rows and right has {len(others)}", "as many", "a pair a row", verb="has"
            )
        return self.gram[rows, others]

    def _gram(self, x: Any, y: Any, what: str = "y") -> Float[np.ndarray, "n m"]:
        return super()._gram(_validate.in_numpy(x, "x"), _validate.in_numpy(y, what), what)

    def _call(self, method: Any, what: str, *arrays: Any) -> Evaluated:
        values, eps = super()._call(method, what, *arrays)
        return values, max(eps, self._eps)

    def _numbers(self, x: Any, what: str) -> Int[np.ndarray, " r"]:
        given = _validate.matrix(x, what, numpy=True)
        numbers = given[:, 0].astype(int)
        if (
            given.shape[1] != 1
            or (numbers != given[:, 0]).any()
            or not ((numbers >= 0) & (numbers < len(self.gram))).all()
        ):
            raise InputError.of(
                what,
                x,
                f"a column of row numbers of the Gram matrix, from 0 to {len(self.gram) - 1}",
                f"try numpy.arange({len(self.gram)})[:, None]",
            )
        return numbers
