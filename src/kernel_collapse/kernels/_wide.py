"""What the kernels of infinitely wide networks have in common, be they of vectors or of images."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._shapes import Float
from kernel_collapse.kernels._kernel import Kernel, described

__all__ = ["NOT_FINITE", "Wide"]

NOT_FINITE = (
    "the kernel",
    "not finite: its entries, or products of two variances, pass the largest number of their precision",
    "smaller ones",
    "scale x, weight_variance or depth down",
)


class Wide(Kernel):
    """A kernel of an infinitely wide network; abstract. Its kinds are frozen dataclasses of fields of their own."""

    weight_variance: float
    bias_variance: float

    _not_finite = NOT_FINITE
    #: Whether the kernel is made of the slopes as well.
    _tangent = False

    def __repr__(self) -> str:
        return described(self)

    @abstractmethod
    def _of(self, features: Any, theta: Any) -> Any:
        """Return this kernel, of that of the features and of T as the blocks have it; the latter if `_tangent`."""

    @abstractmethod
    def _samples(self, x: Any, what: str) -> Any:
        """Return samples that are finite, in the precision that is asked for, or refuse them."""

    @abstractmethod
    def _network(self) -> tuple[Any, ...]:
        """Return all that blocks are made of beside variances and precision."""

    def tile(self, x: Any, y: Any) -> Float[Any, "r s"]:
        """Return the kernel of every sample of `x` with every sample of `y`, in one piece."""
        rows, columns = self._rows(x, y)
        ((block, _),) = self._blocks([self], rows, columns, self._prepared(rows), self._prepared(columns))
        return self._finite(block)

    def pairs(self, left: Any, right: Any) -> Float[Any, " m"]:
        """Return the kernel of each sample of `left` with the same one of `right`."""
        return self._pairs(*self._paired(left, right))[0]

    def diagonal(self, x: Any) -> Float[Any, " n"]:
        """Return the kernel of each sample of `x` with itself."""
        return self._diagonal(self._samples(x, "x"))[0]

    def _kin(self, other: Kernel) -> bool:
        return isinstance(other, Wide) and self._computation() == other._computation()

    def _computation(self) -> tuple[Any, ...]:
        return (*self._network(), self.weight_variance, self.bias_variance, self._precision())

    def _clean(self) -> dict[str, Any]:
        """Return the variances, or refuse them and the precision."""
        if self._precision() is not None:
            _validate.choice(self._precision(), ("float64", "float32"), "dtype")
        return {
            "weight_variance": _validate.positive(self.weight_variance, "weight_variance"),
            "bias_variance": _validate.positive(self.bias_variance, "bias_variance", zero_allowed=True),
        }

    def _readout_weight(self) -> float:
        """Return what the kernel of the features is multiplied by, to be this kernel; 1 for that of the features."""
        return self.weight_variance if self._tangent else 1.0

    def _finite(self, values: Any) -> Any:
        if not _arrays.staged(values):
            xp = _arrays.namespace(values)
            self._require_finite(xp.all(xp.isfinite(values)))
        return values

    def _eps(self) -> float:
        """Return the eps of a precision below that of the samples; 0 where there is none."""
        return float(np.finfo(np.float32).eps) if self._precision() == "float32" else 0.0

    def _cast(self, x: Any) -> Any:
        """Return samples in the precision that is asked for."""
        precision, xp = self._precision(), _arrays.namespace(x)
        return x if precision is None else xp.astype(x, getattr(xp, precision), copy=False)
