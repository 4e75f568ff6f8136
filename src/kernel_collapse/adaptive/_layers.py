r"""What a solution of several layers says besides its Gram matrices: other inputs, its energies, its certificate.

Only the pre-activations of the samples leave their prior, so that those of other inputs given them do not. With K the
prior kernel of a layer, K_A that of inputs A and the samples, C = K^{1/2}, a_A = K_A C^{-1} and S of the layer::

    G_AB = K_AB + a_A (S - I) a_B'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernel_collapse import kernels
from kernel_collapse._linalg import Cholesky, mirror, product
from kernel_collapse._shapes import Float
from kernel_collapse.adaptive._between import Between
from kernel_collapse.adaptive._free_energy import FreeEnergy

__all__ = ["Inputs", "energy_terms", "kernel_between", "root_free_residual"]


@dataclass(frozen=True)
class Inputs:
    """Kernels of inputs that are stretched as the first layer does it: with themselves one by one, and the samples."""

    x: Float[np.ndarray, "m d"]
    diagonal: Float[np.ndarray, " m"]
    cross: Float[np.ndarray, "m n"]

    @classmethod
    def first(
        cls, x: Float[np.ndarray, "m d"], samples: Float[np.ndarray, "n d"], kernel: kernels.NNGP
    ) -> Inputs:
        """Return the kernels of the first layer."""
        return cls(x, kernel.diagonal(x), kernel(x, samples))

    def above(
        self, energy: FreeEnergy, between: Between, variances: Float[np.ndarray, " n"]
    ) -> tuple[Inputs, np.ndarray, np.ndarray]:
        """Return the kernels one layer above, and with them a and the variances of the pre-activations."""
        cross, diagonal = energy.weight_variance * self.cross, energy.weight_variance * self.diagonal
        inverse = np.divide(1.0, between.root, out=np.zeros_like(between.root), where=between.root > 0)
        a = product(cross, between.vectors) * inverse  # in the eigenbasis of K
        moved = product(a, between.change)
        q = diagonal + np.einsum("ij,ij->i", moved, a)
        covariance = cross + product(moved * between.root, between.vectors.T)
        phi = energy.activation
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            kappa = phi.kappa(q[:, None], variances[None, :], covariance)
            return Inputs(self.x, phi.kappa(q, q, q, np.zeros_like(q)), kappa), a, q


def kernel_between(
    energy: FreeEnergy,
    layers: Sequence[tuple[np.ndarray, Between | None]],
    left: Inputs,
    right: Inputs,
    gram: Float[np.ndarray, "m p"],
) -> Float[np.ndarray, "m p"]:
    """Return the kernel of two sets of inputs in the last of these layers, from that in the first."""
    for rows, between in layers[1:]:
        assert between is not None, "each layer but the first has one below it"
        variances = np.einsum("ij,ij->i", rows, rows)
        left, a, q = left.above(energy, between, variances)
        right, b, p = right.above(energy, between, variances)
        covariance = energy.weight_variance * gram + product(product(a, between.change), b.T)
        gram = energy.activation.kappa(q[:, None], p[None, :], covariance)
    return gram


def energy_terms(
    energy: FreeEnergy, gram: Float[np.ndarray, "n n"], spectra: Sequence[Float[np.ndarray, " r"]]
) -> dict[str, float]:
    """Return the terms of F in nats: N_l KL of each layer, then tr(Y'T)/2 and (k/2) logdet M."""
    widths = (*energy.lower_widths, energy.width)
    terms = {
        f"divergence_{layer}": 0.5 * width * float(np.sum(np.expm1(values) - values))
        for layer, (width, values) in enumerate(zip(widths, spectra, strict=True), 1)
    }
    matrix = energy.readout_variance * gram
    matrix[np.diag_indices(len(matrix))] += energy.noise_variance
    factor = Cholesky(matrix)
    solved = factor.solve(energy.targets) if factor.ok else np.full_like(energy.targets, np.nan)
    logdet = 2.0 * float(np.log(factor.pivots).sum()) if factor.ok else np.nan
    terms["misfit"] = 0.5 * float(np.sum(energy.targets * solved))
    terms["log_determinant"] = 0.5 * energy.targets.shape[1] * logdet
    return terms


def root_free_residual(energy: FreeEnergy, layers: Sequence[tuple[np.ndarray, Between | None]]) -> float:
    """Return the largest ``|G - K + K R K| / |G|`` over the layers, from the G and K alone.

    With P = sigma_a^2 A / 2 at the last layer, B = P * kappa_c + diag(v) and B' = 2 B / N: R = B' (I + K B')^{-1}, and
    P = N sigma_w^2 R / 2 of the layer below. No root and no inverse of K is in it.
    """
    widths = (*energy.lower_widths, energy.width)
    n, k = energy.targets.shape
    kappas = []
    for rows, _ in layers:
        kappa, kappa_c, kappa_q, _ = energy._kappas(rows, energy.room(deeper=True))
        kappas.append((mirror(kappa), kappa_c, kappa_q))
    matrix = energy.readout_variance * kappas[-1][0] + energy.noise_variance * np.eye(n)
    inverse = np.linalg.inv(matrix)
    solved = inverse @ energy.targets
    slope = 0.5 * energy.readout_variance * (k * inverse - solved @ solved.T)
    worst = 0.0
    for layer in range(len(layers) - 1, -1, -1):
        rows = layers[layer][0]
        _, kappa_c, kappa_q = kappas[layer]
        shift = 2.0 / widths[layer] * energy._slope(slope, kappa_c, kappa_q, rows)
        below = energy.z @ energy.z.T if layer == 0 else energy.weight_variance * kappas[layer - 1][0]
        r = np.linalg.solve((np.eye(n) + below @ shift).T, shift.T).T
        covariance = rows @ rows.T
        left = covariance - below + below @ r @ below
        worst = max(worst, float(np.linalg.norm(left) / np.linalg.norm(covariance)))
        slope = 0.5 * widths[layer] * energy.weight_variance * 0.5 * (r + r.T)
    return worst
