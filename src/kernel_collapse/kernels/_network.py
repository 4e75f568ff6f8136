"""The two kernels of a wide network: NNGP and NTK."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.kernels._derivatives import through
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

    def _readout_weight(self) -> float:
        return 1.0 if self.kind == "features" else self.weight_variance

    def of_products(self, q1: Any, q2: Any, c: Any) -> Any:
        """Return the kernel of rows with squared lengths `q1`, `q2` and products `c`, means over the features."""
        return self._through(q1, q2, c)[0]

    def slopes(self, q1: Any, q2: Any, c: Any) -> tuple[Any, Any]:
        """Return the derivatives of `of_products` in `q1` and in `c`."""
        return self._through(q1, q2, c)[1:]

    @np.errstate(over="ignore", invalid="ignore", under="ignore")
    def _through(self, q1: Any, q2: Any, c: Any) -> tuple[Any, Any, Any]:
        """Return a kernel of moments, and its derivatives in the first variance and in the covariance."""
        ((_, features),) = deque(through(self, q1, q2, c), maxlen=1)
        if self.kind == "output":
            return tuple(features.into(self.weight_variance, self.bias_variance)[2:5])
        return features[2:5]


@final
@dataclass(frozen=True, repr=False)
class NTK(WideNetwork, ProductKernel):
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

    per_feature = True
    _tangent = True

    def _of(self, features: Any, theta: Any) -> Any:
        return theta

    def of_products(self, q1: Any, q2: Any, c: Any) -> Any:
        """Return the kernel of rows with squared lengths `q1`, `q2` and products `c`, means over the features."""
        theta = None
        for below, features in through(self, q1, q2, c):
            slopes = self.phi.kappa_and_slopes(*below[:3])[1]
            theta = below.covariance if theta is None else theta
            theta = self.weight_variance * (theta * slopes + features.covariance) + self.bias_variance
        return theta

    @np.errstate(divide="ignore", over="ignore", invalid="ignore", under="ignore")
    def slopes(self, q1: Any, q2: Any, c: Any) -> tuple[Any, Any]:
        """Return the derivatives of `of_products` in `q1` and in `c`.

        Those of kappa_c are of the dual of phi'. Where that is a step, as of ReLU, the kernel has a kink where rows are
        equal or one of them is 0, and what the kink adds is taken as 0 there, its mean over all directions.

        Raises
        ------
        ValueError
            If the dual of the activation's derivative is not known.
        """
        self._require_slopes()
        scale, phi = self.weight_variance, self.phi
        factor, slope = phi.derivative()  # type: ignore[misc]  # it is required above
        xp = _arrays.namespace(q1, q2, c)
        kink = (q1 + q2) - 2.0 * c <= 4.0 * float(np.finfo(np.float64).eps) * (q1 + q2)
        theta = None
        for below, features in through(self, q1, q2, c):
            if theta is None:
                theta, theta_q, theta_c = below.covariance, below.covariance_q, below.covariance_c
            moments = below[:3]
            slopes = phi.kappa_c(*moments)
            in_q, in_c = (factor**2 * of(*moments) for of in (slope.kappa_q, slope.kappa_c))
            if slope.jumps:  # of a variance of 0 T is 0, and the slopes of phi are those of no direction
                kink = kink | (below.variance == 0) | (below.other == 0)
                in_q, in_c = (xp.where(kink, 0.0 * slopes, values) for values in (in_q, in_c))
            slopes_q = in_q * below.variance_q + in_c * below.covariance_q
            slopes_c = in_c * below.covariance_c
            theta_q = scale * (theta_q * slopes + theta * slopes_q + features.covariance_q)
            theta_c = scale * (theta_c * slopes + theta * slopes_c + features.covariance_c)
            theta = scale * (theta * slopes + features.covariance) + self.bias_variance
        return theta_q, theta_c

    def _require_slopes(self) -> None:
        if self.phi.derivative() is None or self.phi.jumps:
            raise InputError(
                "kernel",
                f"the NTK of {self.phi.name!r}, whose slopes have no closed form",
                "an NNGP, or the NTK of another activation",
                "erf, relu, sin, cos, exp, polynomials and rectified monomials have them",
            )
