"""The free energy of the adaptive kernel and its gradient; the mathematics is in `kernel_collapse.adaptive`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from kernel_collapse import _collinear
from kernel_collapse._linalg import (
    Cholesky,
    eigvalsh,
    gram,
    less_gram,
    mirror,
    product,
    symmetric,
    symmetric_product,
    upper_tiles,
)
from kernel_collapse._shapes import Float
from kernel_collapse.activations import Activation, determinant
from kernel_collapse.adaptive import _extended
from kernel_collapse.adaptive._between import Between, Spectrum

__all__ = ["NOT_FINITE", "Evaluation", "FreeEnergy", "norm_of_upper", "published_label_term"]

EPS = float(np.finfo(np.float64).eps)

#: Up to this many dimensions det = q1 q2 - c^2 is summed from the squares of Lagrange's identity, which does not
#: cancel: with few dimensions and strong adaptation the variances reach 1e5, where the subtraction would lose
#: what the kernel needs next to its diagonal.
LAGRANGE_DIMENSIONS = 3

#: Up to this many samples several layers go on in extended precision: an evaluation takes twenty times as long.
EXTENDED_SAMPLES = 128


@dataclass(frozen=True)
class Evaluation:
    """The data's part of F at one S, its gradient, and how far round-off reaches."""

    value: float
    gradient: Float[np.ndarray, "r r"]  # of twice the value, in S
    deeper: tuple[
        Float[np.ndarray, "n n"], ...
    ]  # the same of the layers above, each in the eigenbasis of its S
    noise: float  # of the value
    round_off: float  # of S^{1/2} gradient S^{1/2}
    smallest_pivot: float
    condition: float

    @property
    def finite(self) -> bool:
        """Whether M was positive definite and everything is a number."""
        return bool(np.isfinite(self.value))


@dataclass(frozen=True)
class Room:
    """Memory for the kernel of a layer, its derivative, and where kappa_q follows from these the covariances."""

    kappa: Float[np.ndarray, "n n"]
    kappa_c: np.ndarray
    covariances: np.ndarray | None
    deeper: bool = False


NOT_FINITE = Evaluation(np.inf, np.empty((0, 0)), (), np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class FreeEnergy:
    """(1/N) [ 1/2 tr Y'T + (k/2) logdet M ] as a function of S, for inputs z whose prior is S = I.

    `dtype` is that of the kernel's entries and of the sums over them; the factorisation is in float64. In extended
    precision the rounding of the entries, which is what ends a descent first, is 2000 times smaller; of several layers
    all else is in it as well.
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
    lower_widths: tuple[float, ...] = ()  # of the layers before the last, whose width is `width`
    weight_variance: float = 1.0  # of the layers after the first; that of the first is in z
    shaken: bool = False  # whether the entries of every kernel are rounded otherwise, to see what that does

    def at_widths(self, widths: Sequence[float]) -> FreeEnergy:
        """Return the same for other widths."""
        return replace(self, width=widths[-1], lower_widths=tuple(widths[:-1]))

    def without_labels(self) -> FreeEnergy:
        """Return F without its label term."""
        return replace(self, labels=False)

    def with_linear_term(self, term: Float[np.ndarray, "n n"]) -> FreeEnergy:
        """Return F less tr(term Q) / 2N."""
        return replace(self, linear_term=term)

    def extended(self) -> FreeEnergy | None:
        """Return the same in extended precision, where the machine has it."""
        if self.lower_widths and len(self.z) > EXTENDED_SAMPLES:
            return None
        better = np.finfo(np.longdouble).eps < np.finfo(self.dtype).eps and not self.activation.accuracy
        return replace(self, dtype=np.longdouble) if better else None

    def kernel(
        self, scaled: Float[np.ndarray, "r r"], deeper: Sequence[Spectrum] = ()
    ) -> Float[np.ndarray, "n n"]:
        """Return kappa of the last layer, symmetric to the last bit."""
        return self.kernels(scaled, deeper)[-1]

    def kernels(
        self, scaled: Float[np.ndarray, "r r"], deeper: Sequence[Spectrum] = ()
    ) -> list[Float[np.ndarray, "n n"]]:
        """Return kappa of every layer."""
        return [kappa for _, kappa, _ in self.layers(scaled, deeper)]

    def layers(
        self, scaled: Float[np.ndarray, "r r"], deeper: Sequence[Spectrum] = ()
    ) -> list[tuple[np.ndarray, Float[np.ndarray, "n n"], Between | None]]:
        """Return of every layer the rows w of G = w w', kappa, and the way that led to it from the layer below."""
        rows, _ = self._scale(scaled)
        found: list[tuple[np.ndarray, Float[np.ndarray, "n n"], Between | None]] = []
        between = None
        for above in (*deeper, None):
            kappa = mirror(self._kappas(rows, self.rooms[len(found)])[0].copy())
            found.append((rows, kappa, between))
            if above is not None:
                between = Between(self.weight_variance * kappa, above)
                rows = between.rows
        return found

    @property
    def shares(self) -> tuple[float, ...]:
        """Widths of the layers, each as a share of the last."""
        return (*(width / self.width for width in self.lower_widths), 1.0)

    def evaluate(
        self, scaled: Float[np.ndarray, "r r"], deeper: Sequence[Spectrum] = (), *, certify: bool = False
    ) -> Evaluation:
        """Return value and gradient at S: one Cholesky factorisation and one inverse from it.

        With `certify` the round-off includes that of the solve. Of everything n x n the upper triangle alone is made.
        """
        if deeper:
            from kernel_collapse.adaptive._layered import evaluate_layers  # made of this class

            return evaluate_layers(self, scaled, deeper, certify=certify)
        n, k = self.targets.shape
        scale = self.readout_variance / self.width
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            try:
                w, root = self._scale(scaled)
            except np.linalg.LinAlgError:  # S is so ill-conditioned that it is indefinite in float64
                return NOT_FINITE
            matrix, kappa_c, kappa_q, q = self._kappas(w, self.rooms[0], self.readout_variance)
        diagonal = np.diag_indices(n)
        linear = 0.0
        if self.linear_term is not None:
            upper = 2.0 * np.triu(matrix, 1) + np.diag(matrix[diagonal])
            linear = float(np.einsum("ij,ij->", self.linear_term, upper))
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
        slope_q = float(np.sum(squares * np.asarray(q * kappa_c[diagonal], dtype=np.float64)))
        round_off = scale * slope_q * max(float(np.finfo(self.dtype).eps), self.activation.accuracy)
        if certify:
            change = self._solve_error(factor, solved, squares, variances)
            tilt = -product(change, solved.T) - product(solved, change.T)
            round_off += self._norm(scaled, scale * self._pull_back(tilt, kappa_c.copy(), kappa_q, w, root))
        weights = factor.upper_inverse()
        # The rounding of the entries of M, of random sign, moves y'T / 2 and k logdet M / 2.
        moved = float(squares @ variances) + k * norm_of_upper(weights, variances)
        if self.linear_term is not None:
            weights -= self.linear_term / k
        weights = less_gram(k, weights.astype(self.dtype, copy=False), solved.astype(self.dtype, copy=False))
        gradient = scale * self._pull_back(weights, kappa_c, kappa_q, w, root)
        return Evaluation(
            value / self.width,
            gradient,
            (),
            max(EPS, self.activation.accuracy) / (2.0 * self.width) * moved,
            round_off,
            float(pivots.min() ** 2),
            float((pivots.max() / pivots.min()) ** 2),
        )

    @cached_property
    def rooms(self) -> list[Room]:
        """One for each layer, kept from one evaluation to the next: the pages of new arrays cost time."""
        return [self.room(deeper=layer > 0) for layer in range(len(self.shares))]

    def room(self, *, deeper: bool) -> Room:
        """Return room for the kernel of a layer."""
        shape = (len(self.z),) * 2
        follows = deeper and self.activation.kappa_q_ratio(np.ones(1)) is not None
        return Room(
            # At depth 1 the factorisation is in float64, and so is what it takes.
            np.zeros(shape, self.dtype if self.lower_widths else np.float64),
            np.zeros(shape, self.dtype),
            np.zeros(shape, self.dtype) if follows else None,
            deeper,
        )

    @cached_property
    def _inputs(self) -> np.ndarray:
        return self.z.astype(self.dtype, copy=False)

    def _scale(self, scaled: Float[np.ndarray, "r r"]) -> tuple[np.ndarray, np.ndarray]:
        """Return w with w w' = z S z', and the factor by which it comes from z."""
        root = _root(scaled).astype(self.dtype, copy=False)
        return product(self._inputs, root), root

    def _kappas(
        self, w: np.ndarray, room: Room, factor: float = 1.0
    ) -> tuple[Float[np.ndarray, "n n"], np.ndarray, np.ndarray | None, np.ndarray]:
        """Return factor * kappa, kappa_c and kappa_q of w w' in that room, and the diagonal of w w'.

        Of the first two the upper triangles are made, by tiles; kappa_q is None where it follows from kappa_c, and of
        deeper layers the upper triangle of the covariances, from which it follows.
        """
        out = room.kappa
        q = np.einsum("ij,ij->i", w, w)
        kappa_c = (
            gram(w, out=room.kappa_c)
            if w.dtype == np.float64 or not room.deeper
            else _extended.product(w, w.T)
        )
        # The derivative takes the place of the covariances.
        covariances = room.covariances
        if covariances is not None:
            np.copyto(covariances, kappa_c)
        kappa_q = np.empty_like(kappa_c) if self.activation.kappa_q_ratio(q) is None else None
        few = w.shape[1] <= LAGRANGE_DIMENSIONS  # of deeper layers w is n x n
        units = None if few or not _collinear.matters(self.activation, q, q) else _collinear.unit(w, 0.0)
        for rows, columns in upper_tiles(len(w)):
            c, q1, q2 = kappa_c[rows, columns], q[rows, None], q[None, columns]
            if rows == columns:
                mirror(c)
            det = _lagrange(w[rows], w[columns]) if few else determinant(q1, q2, c)
            if (
                units is not None
            ):  # of the diagonal and of duplicates it is 0, which a subtraction seldom leaves
                near = _collinear.nearly_collinear(q1, q2, det, self.activation)
                sines = _collinear.sines_of(units[rows], units[columns], near)
                det[near] = q1[near[0], 0] * q2[0, near[1]] * sines**2
            if kappa_q is not None:
                kappa_q[rows, columns] = self.activation.kappa_q(q1, q2, c, det)
                kappa_q[columns, rows] = self.activation.kappa_q(q2, q1, c, det).T
            kappa, kappa_c[rows, columns] = self.activation.kappa_and_c(q1, q2, c, det)
            np.multiply(kappa, factor, out=out[rows, columns], casting="same_kind")
        return out, kappa_c, covariances if kappa_q is None else kappa_q, q

    def _slope(
        self,
        weights: Float[np.ndarray, "n n"],
        kappa_c: Float[np.ndarray, "n n"],
        kappa_q: Float[np.ndarray, "n n"] | None,
        w: Float[np.ndarray, "n m"],
    ) -> Float[np.ndarray, "n n"]:
        """Return d/dG tr(A kappa(G)) at G = w w', of a deeper layer; of A the upper triangle is read."""
        assert kappa_q is not None, "a deeper layer has it, or the covariances in its place"
        ratio = self.activation.kappa_q_ratio(np.einsum("ij,ij->i", w, w))
        slope, v = np.empty_like(weights), np.zeros(len(weights), dtype=weights.dtype)
        if ratio is None:
            v += np.einsum("ij,ij->i", mirror(weights), kappa_q)
        for rows, columns in upper_tiles(len(weights)):
            tile = weights[rows, columns] * kappa_c[rows, columns]
            slope[rows, columns] = tile
            if rows == columns:
                tile = mirror(slope[rows, columns])
            else:
                slope[columns, rows] = tile.T
            if ratio is not None:  # v_i is that times sum_j W_ij c_ij
                part = kappa_q[rows, columns]
                part = mirror(part) if rows == columns else part
                v[rows] += np.einsum("ij,ij->i", tile, part)
                if rows != columns:
                    v[columns] += np.einsum("ij,ij->j", tile, part)
        slope[np.diag_indices(len(slope))] += 2.0 * (v if ratio is None else ratio * v)
        return slope

    def _pull_back(
        self,
        weights: np.ndarray,
        kappa_c: np.ndarray,
        kappa_q: np.ndarray | None,
        w: np.ndarray,
        root: np.ndarray,
    ) -> Float[np.ndarray, "r r"]:
        """Return d/dS tr(A kappa(z S z')) = z'(W + diag v) z, W = A * kappa_c, v_i = 2 sum_j A_ij kappa_q,ij.

        Of A and kappa_c the upper triangles are read; W takes the place of kappa_c.
        """
        z = self._inputs
        for rows, columns in upper_tiles(len(z)):
            kappa_c[rows, columns] *= weights[rows, columns]
        moved = symmetric_product(kappa_c, z)
        if kappa_q is None:
            # v_i is a factor times sum_j W_ij c_ij, the diagonal of W w w'. With z S in the place of root w' it would
            # differ from that of the c in kappa by the round-off of the root, which is that of float64.
            ratio = self.activation.kappa_q_ratio(np.einsum("ij,ij->i", w, w))
            v = ratio * np.einsum("ij,ij->i", product(moved, root), w)
        else:
            v = np.einsum("ij,ij->i", mirror(weights), kappa_q)
        moved += (2.0 * v)[:, None] * z
        return symmetric(np.asarray(product(z.T, moved), dtype=np.float64))

    @staticmethod
    def _solve_error(
        factor: Cholesky,
        solved: Float[np.ndarray, "n k"],
        squares: Float[np.ndarray, " n"],
        variances: Float[np.ndarray, " n"],
    ) -> Float[np.ndarray, "n k"]:
        """Return how far T may be off when the entries of M are rounded, with signs drawn at random."""
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=solved.shape)
        size = EPS * np.sqrt(variances)[:, None] * np.sqrt(float(squares @ variances) / solved.shape[1])
        return factor.solve(signs * size)

    @staticmethod
    def _norm(scaled: Float[np.ndarray, "r r"], gradient: Float[np.ndarray, "r r"]) -> float:
        root = _root(scaled)
        return float(np.abs(eigvalsh(product(product(root.T, gradient), root))).max())


def norm_of_upper(upper: Float[np.ndarray, "n n"], v: Float[np.ndarray, " n"]) -> float:
    """Return the Frobenius norm of sqrt(v_i v_j) A_ij, of a symmetric A of which the upper triangle is read."""
    total = -float(np.sum((v * np.diag(upper)) ** 2))  # the diagonal is in twice the upper triangle twice
    for rows, columns in upper_tiles(len(upper)):
        part = upper[rows, columns]
        part = np.triu(part) if rows == columns else part
        # Not `v @ part**2 @ v`: that would wake the threads of NumPy's BLAS beside those of SciPy's.
        total += 2.0 * float(np.einsum("i,i->", v[rows], np.einsum("ij,ij,j->i", part, part, v[columns])))
    return math.sqrt(total)


def _root(scaled: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "r r"]:
    """Return the lower Cholesky factor of S."""
    from scipy import linalg

    return linalg.cholesky(scaled, lower=True, check_finite=False)


def _lagrange(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return |u|^2 |v|^2 - (u v)^2 of each row u of the left and v of the right, as a sum of squares."""
    det = np.zeros((len(left), len(right)), dtype=left.dtype)
    for a in range(left.shape[1]):
        for b in range(a):
            det += (
                np.multiply.outer(left[:, a], right[:, b]) - np.multiply.outer(left[:, b], right[:, a])
            ) ** 2
    return det


def published_label_term(energy: FreeEnergy, scaled: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "n n"]:
    """Return sigma^2 R R' summed over outputs, R_ij = y_j - ybar_i, which the published code takes for T T'."""
    matrix = energy.readout_variance * energy.kernel(scaled)
    matrix[np.diag_indices(len(matrix))] += energy.noise_variance
    fitted = energy.targets - energy.noise_variance * Cholesky(matrix).solve(energy.targets)
    n, total = len(fitted), energy.targets.sum(axis=0)
    mixed = fitted @ total
    term = n * fitted @ fitted.T - mixed[:, None] - mixed[None, :] + float(np.sum(energy.targets**2))
    return energy.noise_variance * term
