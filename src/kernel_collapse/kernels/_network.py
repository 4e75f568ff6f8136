"""The two kernels of a wide network: NNGP and NTK."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, final

from kernel_collapse import _validate
from kernel_collapse.kernels._layers import WideNetwork

__all__ = ["NNGP", "NTK"]


@final
@dataclass(frozen=True, repr=False)
class NNGP(WideNetwork):
    """The kernel of a wide network at initialisation (neural network Gaussian process).

    Parameters
    ----------
    activation, depth, weight_variance, bias_variance, kind, dtype
        As for `kernel_collapse.nngp`.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kernel = kc.kernels.NNGP("relu", bias_variance=0.5)
    >>> kernel
    NNGP('relu', bias_variance=0.5)
    >>> kernel([[1.0, 0.0], [0.0, 2.0]]).round(4)
    array([[0.5   , 0.3893],
           [0.3893, 1.25  ]])
    """

    kind: Literal["features", "output"] = field(default="features", kw_only=True)
    dtype: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _validate.choice(self.kind, ("features", "output"), "kind")
        super().__post_init__()

    def _of(self, features: Any, theta: Any) -> Any:
        return features if self.kind == "features" else features * self.weight_variance + self.bias_variance


@final
@dataclass(frozen=True, repr=False)
class NTK(WideNetwork):
    """The neural tangent kernel of the whole network, its readout included.

    Parameters
    ----------
    activation, depth, weight_variance, bias_variance, dtype
        As for `kernel_collapse.ntk`.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kernel = kc.kernels.NTK("relu", depth=3)
    >>> data = kc.data.gaussian_classes(n=200, dim=8)
    >>> kc.nc1(kernel(data.x), data.labels) == kc.nc1(kc.ntk(data.x, activation="relu", depth=3), data.labels)
    True
    """

    dtype: str | None = field(default=None, kw_only=True)

    _tangent = True

    def _of(self, features: Any, theta: Any) -> Any:
        return theta
