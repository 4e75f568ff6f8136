"""Kernels that are functions of inner products, with their derivatives."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._shapes import Float
from kernel_collapse.kernels._kernel import Kernel, described
from kernel_collapse.kernels._wide import NOT_FINITE

__all__ = ["Gaussian", "Laplace", "ProductKernel"]


class ProductKernel(Kernel):
    """A kernel that is a function of inner products, k(x, y) = f(x.x, y.y, x.y), and knows its derivatives.

    It needs no features. `kernel_collapse.deep_rfm` fits it to Gram matrices and computes the gradients of the fit
    from `slopes`. Your own kernel needs the methods `of_products` and `slopes`; `tile` is made from `of_products`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np, kernel_collapse as kc
    >>> @dataclass(frozen=True)
    ... class Square(kc.kernels.ProductKernel):
    ...     '''(x.y)^2.'''
    ...
    ...     def of_products(self, q1, q2, c):
    ...         return c**2
    ...
    ...     def slopes(self, q1, q2, c):
    ...         return 0.0 * c, 2.0 * c
    >>> Square()([[1.0, 0.0], [1.0, 2.0]])
    array([[ 1.,  1.],
           [ 1., 25.]])
    >>> data = kc.data.gaussian_classes(n=20, dim=3)
    >>> kc.deep_rfm(data.x, data.targets, depth=1, kernel=Square(), ridge=1e-3).status.value
    'resolved'
    """

    #: Whether f depends on the distance of x and y alone: then 2 d/dq1 + d/dc is 0.
    radial = False
    #: Whether products are means over the features, x.y/d.
    per_feature = False

    @abstractmethod
    def of_products(self, q1: Any, q2: Any, c: Any) -> Any:
        """Return the kernel of rows with squared lengths `q1` and `q2` and inner products `c`, which broadcast."""

    @abstractmethod
    def slopes(self, q1: Any, q2: Any, c: Any) -> tuple[Any, Any]:
        """Return the derivatives of `of_products` in `q1` and in `c`."""

    def _require_slopes(self) -> None:
        """Refuse, before any work, a kernel whose parameters leave it without slopes."""

    def tile(self, x: Any, y: Any) -> Float[Any, "r s"]:
        """Return the kernel of every row of `x` with every row of `y`."""
        xp = _arrays.namespace(x)
        q1, q2 = xp.sum(x * x, axis=1), xp.sum(y * y, axis=1)
        return self.of_products(q1[:, None], q2[None, :], x @ xp.permute_dims(y, (1, 0)))


@dataclass(frozen=True, repr=False)
class _Radial(ProductKernel):
    """A function of the distance over a bandwidth."""

    bandwidth: float = 1.0
    dtype: str | None = field(default=None, kw_only=True)

    _not_finite = NOT_FINITE
    _ours = True
    radial = True

    def __post_init__(self) -> None:
        if self.dtype is not None:
            _validate.choice(self.dtype, ("float64", "float32"), "dtype")
        object.__setattr__(self, "bandwidth", _validate.moderate(self.bandwidth, "bandwidth"))

    def __repr__(self) -> str:
        return described(self)

    @abstractmethod
    def _of_squares(self, squares: Any) -> Any:
        """Return the kernel of squared distances."""

    @np.errstate(over="ignore", invalid="ignore", under="ignore")  # what is not finite is refused
    def tile(self, x: Any, y: Any) -> Float[Any, "r s"]:
        """Return the kernel of every row of `x` with every row of `y`."""
        rows, columns = self._rows(x, y)
        if isinstance(rows, np.ndarray):  # from the differences, which keep their digits
            from scipy.spatial.distance import cdist

            squares = cdist(rows, columns, "sqeuclidean").astype(rows.dtype, copy=False)
            return self._finite(self._of_squares(squares))
        xp = _arrays.namespace(rows)
        q1, q2 = xp.sum(rows * rows, axis=1)[:, None], xp.sum(columns * columns, axis=1)[None, :]
        squares = _squares(q1, q2, rows @ xp.permute_dims(columns, (1, 0)))
        # No more than the round-off of inner products, as of equal rows: the derivative of its root would be noise.
        none = squares <= 16.0 * float(xp.finfo(rows.dtype).eps) * (q1 + q2)
        return self._finite(self._of_squares(xp.where(none, xp.zeros_like(squares), squares)))

    @np.errstate(over="ignore", invalid="ignore", under="ignore")  # as above
    def pairs(self, left: Any, right: Any) -> Float[Any, " m"]:
        """Return the kernel of each row of `left` with the same row of `right`."""
        rows, others = self._paired(left, right)
        return self._finite(self._of_squares(_arrays.namespace(rows).sum((rows - others) ** 2, axis=1)))

    def diagonal(self, x: Any) -> Float[Any, " n"]:
        """Return the kernel of each row of `x` with itself, which is 1."""
        clean = _validate.matrix(x, "x", dtype=self._precision())
        return _arrays.namespace(clean).ones_like(clean[:, 0])

    @np.errstate(under="ignore")  # far away the kernel is 0
    def of_products(self, q1: Any, q2: Any, c: Any) -> Any:
        """Return the kernel of rows with squared lengths `q1` and `q2` and inner products `c`."""
        return self._of_squares(_squares(q1, q2, c))

    def _finite(self, values: Any) -> Any:
        if not _arrays.staged(values):
            xp = _arrays.namespace(values)
            self._require_finite(xp.all(xp.isfinite(values)))
        return values


def _squares(q1: Any, q2: Any, c: Any) -> Any:
    """Return squared distances, never negative."""
    xp = _arrays.namespace(q1, q2, c)
    squares = (q1 + q2) - 2.0 * c
    return xp.maximum(squares, 0.0 * squares)


@final
class Laplace(_Radial):
    r"""The Laplace kernel, exp(-\|x - y\| / bandwidth).

    Its slope at a distance of 0, where it has a kink, is taken as 0.

    Parameters
    ----------
    bandwidth : float
        In units of the features, from 1e-100 to 1e100.
    dtype
        As for `kernel_collapse.nngp`.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.kernels.Laplace(2.0)([[0.0], [2.0]]).round(4)
    array([[1.    , 0.3679],
           [0.3679, 1.    ]])
    """

    def _of_squares(self, squares: Any) -> Any:
        xp = _arrays.namespace(squares)
        return xp.exp(-_arrays.sqrt(xp, squares) / self.bandwidth)

    @np.errstate(under="ignore")  # as above
    def slopes(self, q1: Any, q2: Any, c: Any) -> tuple[Any, Any]:
        """Return the derivatives of `of_products` in `q1` and in `c`, k / (bandwidth D) in `c`."""
        squares = _squares(q1, q2, c)
        xp = _arrays.namespace(squares)
        distance = _arrays.sqrt(xp, squares)
        some = xp.where(squares > 0, distance, 1.0 + 0.0 * distance)
        slope = xp.exp(-distance / self.bandwidth) / (self.bandwidth * some)
        slope = xp.where(squares > 0, slope, 0.0 * slope)
        return -0.5 * slope, slope


@final
class Gaussian(_Radial):
    r"""The Gaussian kernel, exp(-\|x - y\|^2 / (2 bandwidth^2)).

    Parameters
    ----------
    bandwidth, dtype
        As for `Laplace`.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.kernels.Gaussian(2.0)([[0.0], [2.0]]).round(4)
    array([[1.    , 0.6065],
           [0.6065, 1.    ]])
    """

    def _of_squares(self, squares: Any) -> Any:
        return _arrays.namespace(squares).exp(squares * (-0.5 / self.bandwidth**2))

    @np.errstate(under="ignore")  # as above
    def slopes(self, q1: Any, q2: Any, c: Any) -> tuple[Any, Any]:
        """Return the derivatives of `of_products` in `q1` and in `c`, k / bandwidth^2 in `c`."""
        slope = self.of_products(q1, q2, c) / self.bandwidth**2
        return -0.5 * slope, slope
