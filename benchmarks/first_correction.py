"""The first correction in 1/N to the mean field of one hidden layer, beside the posterior of the finite network.

`tests/fluctuations.py` has the formula, which `tests/test_mean_field.py` holds against a quadrature.
Give the widths as arguments, `25 50 100` by default, and after `--readout` the readout variance of 100 units; readout
and noise variance go as one over the width, as in `deep_networks.py --scaled`.
"""

import argparse
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import kernel_collapse as kc
from kernel_collapse import networks

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fluctuations import correction

#: Samples and dimensions, the points that moments are taken over (a power of two), and draws a chain.
N, DIM, POINTS, DRAWS = 16, 4, 2**17, 6000


def potential(q, targets, readout, noise):
    """Return U(Q) = 1/2 tr Y'M^{-1}Y + (k/2) logdet M."""
    m = readout * q + noise * jnp.eye(len(q))
    factor = jnp.linalg.cholesky(m)
    half = jax.scipy.linalg.solve_triangular(factor, targets, lower=True)
    return 0.5 * jnp.sum(half**2) + targets.shape[1] * jnp.sum(jnp.log(jnp.diag(factor)))


def compare(width, readout, noise):
    """Print NC1 of the mean field, of it with the correction, and of the posterior."""
    data = kc.data.gaussian_classes(N, DIM)
    options = {"width": width, "readout_variance": readout, "noise_variance": noise}
    field = networks.solve_mean_field(data, accuracy=1e-3, **options)
    posterior = networks.sample_posterior(data, draws=DRAWS, **options)
    with jax.enable_x64(True):
        points = stats.norm.ppf(stats.qmc.Sobol(DIM, seed=0).random(POINTS)) / np.sqrt(DIM)
        features = np.asarray(jax.scipy.special.erf(jnp.asarray(points @ data.x.T)))
        q = field.gram
        slope = np.asarray(jax.grad(potential)(jnp.asarray(q), data.targets, readout, noise)) / width
        logs = -np.einsum("ij,jk,ik->i", features, slope, features)
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        own = features.T @ (weights[:, None] * features)

        def u(kernel):
            return potential(kernel, data.targets, readout, noise)

        shifted = q + correction(q, features, weights, u, width)
    corrected = kc.nc1(shifted, data.labels).ratio
    error = np.hypot(posterior.ratio_error, field.ratio_error) / posterior.ratio
    print(
        f"| {width} | {readout:.4g} | {noise:.4g} | {posterior.ratio:.5f} ({posterior.ratio_error:.5f}) "
        f"| {field.ratio:.5f} ({field.ratio_error:.5f}) | {corrected:.5f} "
        f"| {100 * (field.ratio / posterior.ratio - 1):.2f} | {100 * (corrected / posterior.ratio - 1):.2f} "
        f"| {100 * error:.2f} | {width * (field.ratio / corrected - 1):.3f} | {np.abs(own - q).max():.1e} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("widths", nargs="*", type=int, default=[25, 50, 100])
    parser.add_argument("--readout", type=float, default=1 / 128)
    given = parser.parse_args()
    columns = (
        "width",
        "sigma_a^2",
        "sigma^2",
        "posterior",
        "mean field",
        "corrected",
        "mean field, %",
        "corrected, %",
    )
    print(f"| {' | '.join((*columns, 'error, %', 'N times the correction', 'moments off by'))} |")
    print("|---" * 11 + "|")
    for width in given.widths:
        compare(width, given.readout * 100 / width, 1e-2 * 100 / width)


if __name__ == "__main__":
    main()
