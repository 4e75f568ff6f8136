"""Moments of a wide network's layers with their derivatives, which the slopes of its kernels are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._resolved import require_products, require_resolved
from kernel_collapse.kernels._layers import WideNetwork

__all__ = ["Moments", "through"]


class Moments(NamedTuple):
    """Two variances and the covariance, and derivatives in the first squared length and in the inner product."""

    variance: Any
    other: Any
    covariance: Any
    covariance_q: Any
    covariance_c: Any
    variance_q: Any

    def into(self, scale: float, bias: float) -> Moments:
        """Return the moments of the pre-activations that features of these moments lead to."""
        moved = (scale * value + bias for value in self[:3])
        return Moments(*moved, *(scale * value for value in self[3:]))


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def through(kernel: WideNetwork, q1: Any, q2: Any, c: Any) -> Iterator[tuple[Moments, Moments]]:
    """Yield the moments of pre-activations and of features, layer by layer.

    With kappa_q and kappa_c the derivatives of the dual: a change of q1 by dq moves the variance by
    (2 kappa_q + kappa_c)(q1, q1, q1) dq, and the covariance by kappa_q dq + kappa_c dc.
    """
    phi, scale, bias = kernel.phi, kernel.weight_variance, kernel.bias_variance
    features = Moments(q1, q2, c, 0.0 * c, 1.0 + 0.0 * c, 1.0 + 0.0 * q1)
    for _ in range(kernel.depth):
        below = features.into(scale, bias)
        v1, v2, v12 = below[:3]
        for variance, before in ((v1, features.variance), (v2, features.other)):
            if isinstance(variance, np.ndarray):
                require_products(variance, (before > 0) | (bias > 0), phi, "variance of a sample")
        in_c = phi.kappa_c(v1, v2, v12)
        zero, other = (_arrays.namespace(v).zeros_like(v) for v in (v1, v2))
        own = 2.0 * phi.kappa_q(v1, v1, v1, zero) + phi.kappa_c(v1, v1, v1, zero)
        features = Moments(
            phi.kappa(v1, v1, v1, zero),
            phi.kappa(v2, v2, v2, other),
            phi.kappa(v1, v2, v12),
            phi.kappa_q(v1, v2, v12) * below.variance_q + in_c * below.covariance_q,
            in_c * below.covariance_c,
            own * below.variance_q,
        )
        if isinstance(features.variance, np.ndarray):
            require_resolved(features.variance, v1 > 0, "kernel of a sample with itself")
        yield below, features
