"""The two kernels of a wide network: NNGP and NTK."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse.kernels._layers import WideNetwork
from kernel_collapse.kernels._products import ProductKernel

__all__ = ["NNGP", "NTK"]


@final
@dataclass(frozen=True, repr=False)
class NNGP(WideNetwork, ProductKernel):
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

    per_feature = True

    def __post_init__(self) -> None:
        _validate.choice(self.kind, ("features", "output"), "kind")
        super().__post_init__()

    def _of(self, features: Any, theta: Any) -> Any:
        return features if self.kind == "features" else features * self.weight_variance + self.bias_variance

    def of_products(self, q1: Any, q2: Any, c: Any) -> Any:
        """Return the kernel of rows with squared lengths `q1`, `q2` and products `c`, means over the features."""
        return self._through(q1, q2, c)[0]

    def slopes(self, q1: Any, q2: Any, c: Any) -> tuple[Any, Any]:
        """Return the derivatives of `of_products` in `q1` and in `c`.

        From layer to layer, with kappa_q and kappa_c the derivatives of the dual: a change of q1 by dq moves the
        variance by (2 kappa_q + kappa_c)(q1, q1, q1) dq, and the covariance by kappa_q dq + kappa_c dc.
        """
        return self._through(q1, q2, c)[1:]

    @np.errstate(over="ignore", invalid="ignore")
    def _through(self, q1: Any, q2: Any, c: Any) -> tuple[Any, Any, Any]:
        """Return a kernel of moments, and its derivatives in the first variance and in the covariance."""
        phi, scale, bias = self.phi, self.weight_variance, self.bias_variance
        v1, v2, v12 = (scale * moment + bias for moment in (q1, q2, c))
        v1_q, v12_q, v12_c = scale + 0.0 * v1, 0.0 * v12, scale + 0.0 * v12
        for layer in range(self.depth):
            if layer:
                v1, v2, v12 = (scale * moment + bias for moment in (v1, v2, v12))
                v1_q, v12_q, v12_c = scale * v1_q, scale * v12_q, scale * v12_c
            v12_q = phi.kappa_q(v1, v2, v12) * v1_q + phi.kappa_c(v1, v2, v12) * v12_q
            v12_c = phi.kappa_c(v1, v2, v12) * v12_c
            zero = _arrays.namespace(v1).zeros_like(v1)
            own = 2.0 * phi.kappa_q(v1, v1, v1, zero) + phi.kappa_c(v1, v1, v1, zero)
            v1_q = own * v1_q
            other = _arrays.namespace(v2).zeros_like(v2)
            v12 = phi.kappa(v1, v2, v12)
            v1, v2 = phi.kappa(v1, v1, v1, zero), phi.kappa(v2, v2, v2, other)
        if self.kind == "output":
            return scale * v12 + bias, scale * v12_q, scale * v12_c
        return v12, v12_q, v12_c


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
