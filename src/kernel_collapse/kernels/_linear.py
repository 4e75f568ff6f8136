"""The kernel of the inputs themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._resolved import require_own, require_squares
from kernel_collapse._shapes import Float
from kernel_collapse.kernels._kernel import described
from kernel_collapse.kernels._products import ProductKernel
from kernel_collapse.kernels._wide import NOT_FINITE

__all__ = ["Linear"]


@final
@dataclass(frozen=True, repr=False)
class Linear(ProductKernel):
    r"""The inner product of two samples over their number of features, weight_variance x.x'/d + bias_variance.

    It is the covariance G^1 of the pre-activations of the first layer. Without a bias it equals `NNGP("identity")`.

    Parameters
    ----------
    weight_variance, bias_variance, dtype
        As for `kernel_collapse.nngp`.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.kernels.Linear(bias_variance=1.0)([[1.0, 0.0], [0.0, 2.0]])
    array([[1.5, 1. ],
           [1. , 3. ]])
    """

    weight_variance: float = field(default=1.0, kw_only=True)
    bias_variance: float = field(default=0.0, kw_only=True)
    dtype: str | None = field(default=None, kw_only=True)

    _not_finite = NOT_FINITE
    _ours = True
    per_feature = True

    def __post_init__(self) -> None:
        if self.dtype is not None:
            _validate.choice(self.dtype, ("float64", "float32"), "dtype")
        for name, zero in (("weight_variance", False), ("bias_variance", True)):
            value = _validate.positive(getattr(self, name), name, zero_allowed=zero)
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return described(self)

    @np.errstate(over="ignore", invalid="ignore", under="ignore")  # what is not finite is refused
    def tile(self, x: Any, y: Any) -> Float[Any, "r s"]:
        """Return the kernel of every row of `x` with every row of `y`."""
        rows, columns = self._rows(x, y)
        for side in (rows,) if columns is rows else (rows, columns):
            self._require_lengths(side)
        return self._of(rows @ _arrays.namespace(rows).permute_dims(columns, (1, 0)), rows.shape[1])

    @np.errstate(over="ignore", invalid="ignore", under="ignore")  # as above
    def pairs(self, left: Any, right: Any) -> Float[Any, " m"]:
        """Return the kernel of each row of `left` with the same row of `right`."""
        rows, others = self._paired(left, right)
        for side in (rows, others):
            self._require_lengths(side)
        return self._of(_arrays.namespace(rows).sum(rows * others, axis=1), rows.shape[1])

    def of_products(self, q1: Any, q2: Any, c: Any) -> Any:
        """Return the kernel of rows with inner products `c`, which are taken for means over the features."""
        return self.weight_variance * c + self.bias_variance

    def slopes(self, q1: Any, q2: Any, c: Any) -> tuple[Any, Any]:
        """Return the derivatives of `of_products` in `q1` and in `c`."""
        return 0.0 * c, self.weight_variance + 0.0 * c

    def _require_lengths(self, rows: Any) -> None:
        """Refuse rows whose kernel with themselves has lost its digits."""
        if _arrays.staged(rows):
            return
        xp, weight = _arrays.namespace(rows), self.weight_variance / rows.shape[1]
        what, squares = "kernel of a sample with itself", _arrays.squares(rows)
        require_squares(squares, xp.any(rows != 0, axis=1), weight, self.bias_variance, what)
        require_own(squares, weight, self.bias_variance, what)

    def _of(self, products: Any, dim: int) -> Any:
        values = products * (self.weight_variance / dim) + self.bias_variance
        if not _arrays.staged(values):
            xp = _arrays.namespace(values)
            self._require_finite(xp.all(xp.isfinite(values)))
        return values
