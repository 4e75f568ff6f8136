"""The first correction in 1/N to the kernel of the mean field of one hidden layer.

The posterior of N units is the mean field's density p of each unit, reweighted by what the potential U of the kernel is
beyond its linear term. With d = Q - Q*, m = n(n+1)/2 entries of a symmetric kernel, S = cov_p(phi phi') of one unit,
H and G the second and third derivatives of U / N at the mean field's kernel Q*, and K[.] the third central moment of
phi phi' contracted in two places,

    D = H (I + S H)^{-1},   C = (I + S H)^{-1} S,   E[d] = -(1 / 2N) (I + S H)^{-1} ( K[D] + S G[C] ) + O(1/N^2).
"""

import jax
import jax.numpy as jnp
import numpy as np


def correction(q, features, weights, u, width):
    """Return E[Q] - Q* to first order in 1/N, of particles with features (p, n) and weights (p,)."""
    n = len(q)
    rows, columns = np.triu_indices(n)

    def matrix(entries):
        upper = jnp.zeros((n, n)).at[rows, columns].set(entries)
        return upper + upper.T - jnp.diag(jnp.diag(upper))

    def scaled(entries):
        return u(matrix(entries)) / width

    start = jnp.asarray(q[rows, columns])
    hessian = np.asarray(jax.hessian(scaled)(start))
    x = features[:, rows] * features[:, columns]
    x = x - weights @ x
    covariance = x.T @ (weights[:, None] * x)
    resolvent = np.linalg.inv(np.eye(len(start)) + covariance @ hessian)
    d, c = hessian @ resolvent, resolvent @ covariance
    third = x.T @ (weights * np.einsum("ij,ij->i", x @ (0.5 * (d + d.T)), x))
    values, vectors = np.linalg.eigh(0.5 * (c + c.T))

    def curvature(entries, along):
        return jax.jvp(lambda e: jax.jvp(scaled, (e,), (along,))[1], (entries,), (along,))[1]

    slopes = jax.lax.map(lambda along: jax.grad(curvature)(start, along), jnp.asarray(vectors.T))
    shift = -resolvent @ (third + covariance @ (values @ np.asarray(slopes))) / (2 * width)
    return np.asarray(matrix(jnp.asarray(shift)))
