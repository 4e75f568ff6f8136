"""The data's part of the free energy of several layers, its gradient layer by layer, and how far round-off reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kernel_collapse._linalg import Cholesky, eigvalsh, less_gram, mirror
from kernel_collapse._shapes import Float
from kernel_collapse.adaptive._between import Between, Spectrum
from kernel_collapse.adaptive._extended import extended_inverse, product
from kernel_collapse.adaptive._free_energy import NOT_FINITE, Evaluation, FreeEnergy, norm_of_upper

__all__ = ["evaluate_layers"]


def evaluate_layers(
    energy: FreeEnergy, scaled: Float[np.ndarray, "r r"], deeper: Sequence[Spectrum], *, certify: bool
) -> Evaluation:
    """Return value and gradient at S of the first layer and of those above it.

    One Cholesky factorisation, one inverse from it, and of each deeper layer one eigendecomposition. With `certify` the
    round-off is how far the gradient moves when every entry of every kernel is rounded otherwise.
    """
    k = energy.targets.shape[1]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        try:
            w, root = energy._scale(scaled)
        except np.linalg.LinAlgError:  # S is so ill-conditioned that it is indefinite in float64
            return NOT_FINITE
        rows, below = w, []
        for room, above in zip(energy.rooms, deeper, strict=False):
            kernel, *slopes, _ = energy._kappas(rows, room, energy.weight_variance)
            if not np.isfinite(mirror(kernel)).all():
                return NOT_FINITE
            between = Between(_rounded(energy, kernel), above)
            below.append((slopes, rows, between))
            rows = between.rows
        matrix, kappa_c, kappa_q, _ = energy._kappas(rows, energy.rooms[-1], energy.readout_variance)
    matrix = _rounded(energy, matrix)
    matrix[np.diag_indices(len(matrix))] += energy.noise_variance
    solve = _Solve.of(energy, matrix)
    if solve is None:
        return NOT_FINITE
    weights, scale, pulls = solve.slope(k), energy.readout_variance / energy.width, []
    for (slopes, low_rows, between), share in zip(reversed(below), reversed(energy.shares[1:]), strict=True):
        pull, weights = between.back(energy._slope(weights, kappa_c, kappa_q, rows))
        pulls.append(np.asarray(scale / share * pull, dtype=np.float64))
        scale *= energy.weight_variance
        (kappa_c, kappa_q), rows = slopes, low_rows
    gradient = scale / energy.shares[0] * energy._pull_back(weights, kappa_c, kappa_q, w, root)
    found = Evaluation(
        solve.value / energy.width,
        gradient,
        tuple(reversed(pulls)),
        _eps(energy) / (2.0 * energy.width) * solve.moved,
        np.nan,
        float(solve.pivots.min() ** 2),
        float((solve.pivots.max() / solve.pivots.min()) ** 2),
    )
    return replace(found, round_off=_round_off(energy, scaled, deeper, found)) if certify else found


class _Solve:
    """T = M^{-1} Y, the inverse, and the value that they make."""

    def __init__(self, energy: FreeEnergy, matrix: np.ndarray, factor: Cholesky) -> None:
        k = energy.targets.shape[1]
        targets = energy.targets if energy.labels else np.zeros_like(energy.targets)
        self.pivots = factor.pivots
        self.solved = factor.solve(targets)
        variances = np.diag(matrix).astype(np.float64)
        self.inverse = factor.upper_inverse()
        half_logdet = np.log(self.pivots).sum()
        if energy.dtype != np.float64:
            self.inverse = extended_inverse(matrix, mirror(self.inverse))
            self.solved = product(self.inverse, targets.astype(energy.dtype))
            # logdet M - logdet L L' is tr M^{-1} (M - L L') to first order in what float64 loses.
            lower = np.linalg.cholesky(matrix.astype(np.float64)).astype(energy.dtype)
            lost = matrix - product(lower, lower.T)
            half_logdet = np.log(np.diag(lower)).sum() + 0.5 * np.einsum("ij,ij->", self.inverse, lost)
        squares = np.einsum("ij,ij->i", self.solved, self.solved)
        misfit = 0.5 * np.einsum("ij,ij->", targets, self.solved)
        self.value = float(misfit + k * half_logdet)
        # The rounding of the entries of M, of random sign, moves y'T / 2 and k logdet M / 2.
        self.moved = float(squares @ variances) + k * norm_of_upper(self.inverse, variances)

    @classmethod
    def of(cls, energy: FreeEnergy, matrix: np.ndarray) -> _Solve | None:
        """Return that of M, of which the upper triangle is read; None where it is not positive definite in float64."""
        extended = matrix.dtype != np.float64
        factor = Cholesky(matrix.astype(np.float64) if extended else matrix)
        if not factor.ok:
            return None
        return cls(energy, mirror(matrix) if extended else matrix, factor)

    def slope(self, k: int) -> np.ndarray:
        """Return the upper triangle of A = k M^{-1} - T T', in the memory of the inverse."""
        return less_gram(k, self.inverse, self.solved)


def _eps(energy: FreeEnergy) -> float:
    """Return the relative round-off of the entries of a kernel."""
    return max(float(np.finfo(energy.dtype).eps), energy.activation.accuracy)


def _rounded(energy: FreeEnergy, matrix: np.ndarray) -> np.ndarray:
    """Round the entries otherwise, with signs drawn at random, where the energy is `shaken`."""
    if energy.shaken:
        signs = np.random.default_rng(len(matrix)).choice([-1.0, 1.0], size=matrix.shape)
        matrix *= energy.dtype(1.0) + _eps(energy) * (np.triu(signs) + np.triu(signs, 1).T).astype(
            energy.dtype
        )
    return matrix


def _round_off(
    energy: FreeEnergy, scaled: Float[np.ndarray, "r r"], deeper: Sequence[Spectrum], found: Evaluation
) -> float:
    """Return the largest of S^{1/2} (difference of two gradients) S^{1/2} over the layers."""
    other = evaluate_layers(replace(energy, shaken=True), scaled, deeper, certify=False)
    if not other.finite:
        return np.inf
    norms = [energy._norm(scaled, found.gradient - other.gradient)]
    for above, pull, shaken in zip(deeper, found.deeper, other.deeper, strict=True):
        root = np.sqrt(above.scale)
        norms.append(float(np.abs(eigvalsh(root[:, None] * (pull - shaken) * root)).max()))
    return max(norms)
