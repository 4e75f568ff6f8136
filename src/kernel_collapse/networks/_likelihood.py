r"""Likelihood of a network's features, with the readout integrated out.

With features Phi (n x N), readout a_j ~ N(0, sigma_a^2 / N) and Gaussian noise of variance sigma^2, each of the k
outputs is Gaussian with covariance M = (sigma_a^2 / N) Phi Phi' + sigma^2 I::

    log p(Y | Phi) = -1/2 tr Y'M^{-1}Y - (k/2) logdet M + const
    d log p / d Phi = -(sigma_a^2 / N) A Phi,   A = k M^{-1} - T T',   T = M^{-1} Y
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

__all__ = ["log_likelihood"]


@jax.custom_vjp
def log_likelihood(features: Any, targets: Any, readout_variance: Any, noise_variance: Any) -> Any:
    """Return log p(Y | Phi) up to a constant; differentiable in the features alone.

    Value and gradient come from one factorisation: of M, or where N < n of the N x N matrix of the Woodbury identity.
    """
    return _value_and_gradient(features, targets, readout_variance, noise_variance)[0]


def _value_and_gradient(features: Any, targets: Any, readout_variance: Any, noise_variance: Any) -> Any:
    (n, width), outputs = features.shape, targets.shape[1]
    scale = readout_variance / width
    if width < n:
        # B = (sigma_a^2/N) Phi'Phi + sigma^2 I:  M^{-1} Phi = Phi B^{-1},  logdet M = logdet B + (n - N) log sigma^2
        inverse, logdet = _inverse(scale * features.T @ features, noise_variance)
        solved = features @ inverse
        dual = (targets - scale * solved @ (features.T @ targets)) / noise_variance
        logdet = logdet + (n - width) * jnp.log(noise_variance)
    else:
        inverse, logdet = _inverse(scale * features @ features.T, noise_variance)
        solved, dual = inverse @ features, inverse @ targets
    value = -0.5 * jnp.sum(targets * dual) - 0.5 * outputs * logdet
    return value, -scale * (outputs * solved - dual @ (dual.T @ features))


def _inverse(matrix: Any, noise_variance: Any) -> tuple[Any, Any]:
    """Return the inverse of matrix + sigma^2 I and its log determinant, NaN where it is not positive definite."""
    identity = jnp.eye(len(matrix))
    factor = jnp.linalg.cholesky(matrix + noise_variance * identity)
    # One triangular solve and a product: on a CPU a product is several times as fast as a second solve.
    half = solve_triangular(factor, identity, lower=True)
    return half.T @ half, 2.0 * jnp.sum(jnp.log(jnp.diag(factor)))


def _backward(gradient: Any, cotangent: Any) -> tuple[Any, None, None, None]:
    return cotangent * gradient, None, None, None


log_likelihood.defvjp(_value_and_gradient, _backward)
