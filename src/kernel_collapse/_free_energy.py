"""The free energy of the adaptive kernel and its gradient; the mathematics is in `kernel_collapse.adaptive`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from kernel_collapse._linalg import Cholesky, eigvalsh, product, symmetric
from kernel_collapse.activations import Activation, determinant

__all__ = ["Evaluation", "FreeEnergy", "published_label_term"]

EPS = float(np.finfo(np.float64).eps)

#: Rows of the kernel that are made at once.
ROWS = 64

#: Up to this many dimensions det = q1 q2 - c^2 is summed from the squares of Lagrange's identity, which does not
#: cancel: with few dimensions and strong adaptation the variances reach 1e5, where the subtraction would lose
#: what the kernel needs next to its diagonal.
LAGRANGE_DIMENSIONS = 3


@dataclass(frozen=True)
class Evaluation:
    """The data's part of F at one S, its gradient, and how far round-off reaches."""

    value: float
    gradient: Float[np.ndarray, "r r"]  # of twice the value, in S
    noise: float  # of the value
    round_off: float  # of S^{1/2} gradient S^{1/2}
    smallest_pivot: float
    condition: float

    @property
    def finite(self) -> bool:
        """Whether M was positive definite and everything is a number."""
        return bool(np.isfinite(self.value))


NOT_FINITE = Evaluation(np.inf, np.empty((0, 0)), np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class FreeEnergy:
    """(1/N) [ 1/2 tr Y'T + (k/2) logdet M ] as a function of S, for inputs z whose prior is S = I.

    `dtype` is that of the kernel's entries and of the sums over them; the factorisation is in float64. In extended
    precision the rounding of the entries, which is what ends a descent first, is 2000 times smaller.
    """

    z: Float[np.ndarray, "n r"]
    targets: Float[np.ndarray, "n k"]
    activation: Activation
    width: float
    readout_variance: float
    noise_variance: float
    labels: bool = True
    linear_term: Float[np.ndarray, "n n"] | None = None
    dtype: Any = np.float64

    def at_width(self, width: float) -> FreeEnergy:
        """Return the same for another width."""
        return replace(self, width=width)

    def without_labels(self) -> FreeEnergy:
        """Return F without its label term."""
        return replace(self, labels=False)

    def with_linear_term(self, term: Float[np.ndarray, "n n"]) -> FreeEnergy:
        """Return F less tr(term Q) / 2N."""
        return replace(self, linear_term=term)

    def extended(self) -> FreeEnergy | None:
        """Return the same in extended precision, where the machine has it."""
        better = np.finfo(np.longdouble).eps < np.finfo(self.dtype).eps
        return replace(self, dtype=np.longdouble) if better else None

    def kernel(self, scaled: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "n n"]:
        """Return kappa(z S z'), symmetric to the last bit."""
        gram = self._kappas(scaled)[0]
        return np.triu(gram) + np.triu(gram, 1).T

    def evaluate(self, scaled: Float[np.ndarray, "r r"], *, certify: bool = False) -> Evaluation:
        """Return value and gradient at S: one Cholesky factorisation and one inverse from it.

        With `certify` the round-off includes that of the solve, which costs one more product.
        """
        n, k = self.targets.shape
        scale = self.readout_variance / self.width
        with np.errstate(over="ignore", invalid="ignore"):
            kappa, kappa_c, kappa_q, q = self._kappas(scaled)
        if not np.isfinite(kappa).all():
            return NOT_FINITE
        matrix = np.asarray(kappa, dtype=np.float64)
        diagonal = np.diag_indices(n)
        linear = 0.0
        if self.linear_term is not None:
            linear = self.readout_variance * float(np.einsum("ij,ij->", self.linear_term, matrix))
        matrix *= self.readout_variance
        matrix[diagonal] += self.noise_variance
        variances = matrix[diagonal]
        factor = Cholesky(matrix)
        if not factor.ok:
            return NOT_FINITE
        pivots = factor.pivots
        targets = self.targets if self.labels else np.zeros_like(self.targets)
        solved = factor.solve(targets)
        value = (
            0.5 * float(np.einsum("ij,ij->", targets, solved))
            + k * float(np.log(pivots).sum())
            - 0.5 * linear
        )
        squares = np.einsum("ij,ij->i", solved, solved)
        inverse = factor.inverse()
        change = self._solve_error(inverse, solved, squares, variances) if certify else None
        # From here on `inverse` becomes A, and kappa_c becomes W.
        inverse *= k
        if self.linear_term is not None:
            inverse -= self.linear_term
        weights = inverse if self.dtype is np.float64 else inverse.astype(self.dtype)
        precise = solved.astype(self.dtype)
        for top in range(0, n, ROWS):
            rows = slice(top, top + ROWS)
            weights[rows] -= product(precise[rows], precise.T)
        slope_q = float(np.sum(squares * q * np.asarray(kappa_c[diagonal], dtype=float)))
        round_off = scale * slope_q * float(np.finfo(self.dtype).eps)
        if change is not None:
            tilt = -product(change, solved.T) - product(solved, change.T)
            round_off += self._norm(scaled, scale * self._pull_back(tilt, kappa_c.copy(), kappa_q))
        return Evaluation(
            value / self.width,
            scale * self._pull_back(weights, kappa_c, kappa_q),
            EPS / (2.0 * self.width) * float(squares @ variances),
            round_off,
            float(pivots.min() ** 2),
            float((pivots.max() / pivots.min()) ** 2),
        )

    def _kappas(
        self, scaled: Float[np.ndarray, "r r"]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return kappa, kappa_c, kappa_q of z S z' and its diagonal, made by rows to keep temporaries small."""
        n = len(self.z)
        w = product(self.z.astype(self.dtype), _root(scaled).astype(self.dtype))
        q = np.einsum("ij,ij->i", w, w)
        kappa, kappa_c, kappa_q = (np.empty((n, n), dtype=self.dtype) for _ in range(3))
        for top in range(0, n, ROWS):
            rows = slice(top, top + ROWS)
            c = product(w[rows], w.T)
            q1, q2 = q[rows, None], q[None, :]
            if w.shape[1] <= LAGRANGE_DIMENSIONS:
                det = np.zeros_like(c)
                for a in range(w.shape[1]):
                    for b in range(a):
                        det += (
                            np.multiply.outer(w[rows, a], w[:, b]) - np.multiply.outer(w[rows, b], w[:, a])
                        ) ** 2
            else:
                det = determinant(q1, q2, c)
            kappa[rows], kappa_c[rows], kappa_q[rows] = self.activation.kappas(q1, q2, c, det)
        return kappa, kappa_c, kappa_q, np.asarray(q, dtype=np.float64)

    def _pull_back(
        self, weights: np.ndarray, kappa_c: np.ndarray, kappa_q: np.ndarray
    ) -> Float[np.ndarray, "r r"]:
        """Return d/dS tr(A kappa(z S z')) = z'(A * kappa_c + diag v) z, v_i = 2 sum_j A_ij kappa_q,ij."""
        diagonal = 2.0 * np.einsum("ij,ij->i", weights, kappa_q)
        kappa_c *= weights
        kappa_c[np.diag_indices(len(kappa_c))] += diagonal
        z = self.z.astype(self.dtype)
        return symmetric(np.asarray(product(z.T, product(kappa_c, z)), dtype=np.float64))

    @staticmethod
    def _solve_error(
        inverse: Float[np.ndarray, "n n"],
        solved: Float[np.ndarray, "n k"],
        squares: Float[np.ndarray, " n"],
        variances: Float[np.ndarray, " n"],
    ) -> Float[np.ndarray, "n k"]:
        """Return how far T may be off when the entries of M are rounded, with signs drawn at random."""
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=solved.shape)
        size = EPS * np.sqrt(variances)[:, None] * np.sqrt(float(squares @ variances) / solved.shape[1])
        return product(inverse, signs * size)

    @staticmethod
    def _norm(scaled: Float[np.ndarray, "r r"], gradient: Float[np.ndarray, "r r"]) -> float:
        root = _root(scaled)
        return float(np.abs(eigvalsh(product(product(root.T, gradient), root))).max())


def _root(scaled: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "r r"]:
    """Return the lower Cholesky factor of S."""
    from scipy import linalg

    return linalg.cholesky(scaled, lower=True, check_finite=False)


def published_label_term(energy: FreeEnergy, scaled: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "n n"]:
    """Return sigma^2 R R' summed over outputs, R_ij = y_j - ybar_i, which the published code takes for T T'."""
    matrix = energy.readout_variance * energy.kernel(scaled)
    matrix[np.diag_indices(len(matrix))] += energy.noise_variance
    fitted = energy.targets - energy.noise_variance * Cholesky(matrix).solve(energy.targets)
    n, total = len(fitted), energy.targets.sum(axis=0)
    mixed = fitted @ total
    term = n * fitted @ fitted.T - mixed[:, None] - mixed[None, :] + float(np.sum(energy.targets**2))
    return energy.noise_variance * term
