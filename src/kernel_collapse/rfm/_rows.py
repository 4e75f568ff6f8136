r"""The AGOP of a kernel that is fitted to rows, and what round-off may have made of it.

A kernel of distances takes them from the rows less their mean, and those of pairs that are close from the differences
of the two rows: the gradient at x_a is S sum_j alpha_j v_aj (x_j - x_a), in which an offset of all rows cancels. Any
other kernel is a function of the products x'S y as they are.

Three errors are estimated, each as the root of a sum of squares, for round-off is of random sign: that of the slopes v,
which are evaluated again at products that differ in their last digits; that of the sums; and that of alpha, for which
the kernel's entries are moved at random by their round-off, d alpha = -(k + ridge)^{-1} dk alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kernel_collapse._input_error import InputError
from kernel_collapse._linalg import eigh, product, symmetric
from kernel_collapse._shapes import Float, Int
from kernel_collapse.kernels import ProductKernel
from kernel_collapse.rfm._fit import coincident, factored, moments
from kernel_collapse.rfm._gradients import EPS

__all__ = ["agop_of_rows"]

#: Squared distances below this share of the squared lengths are taken from the rows.
NEAR = 1e-4
#: Pairs whose differences are held at once, times dimensions.
CHUNK = 2**20
#: What the estimate of round-off is multiplied by, and the most of it that an AGOP may have, of its largest entry.
SAFETY, GIVEN = 8.0, 1e-3
#: Gradients below this have squares that lose digits.
LEAST = float(np.sqrt(np.finfo(np.float64).tiny) / EPS)
#: Most that the inverse may make of the entries' errors, in norms.
LINEAR = 0.1
#: Moved kernels, where the bound in norms does not tell that alpha is known.
DRAWS = 8
#: Rows at which slopes are evaluated again: as many that have the closest pairs, and as many that stand for the others.
AGAIN = 64


class Metric(NamedTuple):
    """S of the products x'S y: itself, a root r with S = r r', and the largest that S^{1/2} makes of a length."""

    matrix: Float[np.ndarray, "d d"] | None
    root: Float[np.ndarray, "d d"] | None
    scale: float
    stretch: float

    @classmethod
    def of(cls, matrix: Float[np.ndarray, "d d"] | None, scale: float) -> Metric:
        """Return the metric of that matrix; of None, of I times that scale."""
        if matrix is None:
            return cls(None, None, scale, float(np.sqrt(scale)))
        values, vectors = eigh(matrix)
        roots = np.sqrt(np.maximum(values, 0.0))
        return cls(matrix, vectors * roots, 1.0, float(roots.max()))

    def times(self, rows: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
        """Return S x for each row."""
        if self.matrix is not None:
            return product(rows, self.matrix)
        return rows if self.scale == 1.0 else rows * self.scale

    def lengths(self, rows: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
        """Return S^{1/2} x for each row, up to a rotation."""
        if self.root is not None:
            return product(rows, self.root)
        return rows if self.scale == 1.0 else rows * np.sqrt(self.scale)


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows as a kernel sees them, with what is known of their round-off."""

    given: Float[np.ndarray, "n d"]
    rows: Float[np.ndarray, "n d"]  # the same; less their mean, for a kernel of distances
    metric: Metric
    moments: tuple[np.ndarray, np.ndarray, np.ndarray]
    step: Float[np.ndarray, "n n"]  # the error of the products c, in units of eps
    reach: Float[np.ndarray, "n n"]  # squared lengths of what an error of the slope moves, before the metric
    terms: Float[np.ndarray, "n n"]  # squared lengths of what is added up, likewise
    near: tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]  # close pairs, each once

    def differences(self, part: slice) -> Float[np.ndarray, "m d"]:
        """Return x_j - x_i of some of the close pairs (i, j)."""
        i, j = self.near
        return self.given[j[part]] - self.given[i[part]]


@dataclass(frozen=True)
class Slopes:
    """The derivatives of a kernel at all pairs; of close pairs those in the products stand apart."""

    lengths: Float[np.ndarray, "n n"]
    far: Float[np.ndarray, "n n"]
    near: Float[np.ndarray, " m"]


@np.errstate(under="ignore")  # what vanishes beside other terms
def agop_of_rows(
    rows: Float[np.ndarray, "n d"],
    targets: Float[np.ndarray, "n k"],
    kernel: ProductKernel,
    ridge: float,
    metric: Float[np.ndarray, "d d"] | None,
) -> Float[np.ndarray, "d d"]:
    """Return the AGOP of the fit; refuse it where round-off may be more than `GIVEN` of its largest entry."""
    dim = rows.shape[1]
    pairs = _pairs(rows, kernel, Metric.of(metric, 1.0 / dim if kernel.per_feature else 1.0))
    values = np.asarray(kernel.of_products(*pairs.moments))
    variances = np.diag(values) + ridge
    factor, condition, inverse = factored(values, ridge)
    alpha = None if factor is None else factor.solve(targets)
    if factor is None or alpha is None or not np.isfinite(alpha).all():
        raise InputError(
            "the kernel with ridge on its diagonal", "singular to round-off", "one that is not", "raise ridge"
        )
    of_lengths, slope = map(np.asarray, kernel.slopes(*pairs.moments))
    slopes = _apart(pairs, of_lengths, slope)
    moved = pairs.metric.times(pairs.rows)
    total, most = np.zeros((dim, dim)), 0.0
    for k in range(targets.shape[1]):
        jacobian = _jacobian(pairs, slopes, kernel, moved, alpha[:, k])
        most = max(most, float(np.abs(jacobian).max()))
        total += product(jacobian.T, jacobian)
    found = symmetric(total) / len(rows)
    if not (np.isfinite(of_lengths).all() and np.isfinite(slope).all()):
        raise InputError(
            "the derivative of the kernel",
            "not finite at some pair of rows",
            "a kernel with a derivative everywhere",
            "take an activation without a jump, or scale x",
        )
    if not np.isfinite(found).all() or 0.0 < most < LEAST:
        raise InputError(
            "the largest gradient",
            f"{most:.3g}",
            "a number whose square is one of float64",
            "scale x or targets",
        )
    largest = float(np.diag(found).max())
    of_slopes = _slope_error(pairs, kernel, of_lengths, slope, alpha)
    entries, whole = _entry_error(pairs, slope, variances, alpha)
    if inverse * whole > LINEAR:  # alpha does not follow from its first derivative
        _require_known(np.inf, len(rows), largest, condition)
    of_alpha = inverse * float(np.linalg.norm(entries)) * _norm(pairs, of_lengths, slope)
    if of_alpha > 0.1 * GIVEN * np.sqrt(len(rows) * largest) / SAFETY:
        drawn = np.random.default_rng(0).standard_normal((len(rows), DRAWS))
        changes = factor.solve(entries[:, None] * drawn)
        squares = [np.sum(_jacobian(pairs, slopes, kernel, moved, change) ** 2) for change in changes.T]
        of_alpha = float(np.sqrt(np.mean(squares)))
    _require_known(np.hypot(of_slopes, of_alpha), len(rows), largest, condition)
    return found


def _require_known(error: float, n: int, largest: float, condition: float) -> None:
    """Refuse gradients whose error, the root of the sum of its squares, is too large a share of them."""
    size = float(np.sqrt(n * largest))
    share = 2.0 * SAFETY * error / size if size > 0.0 else (np.inf if error > 0.0 else 0.0)
    if share <= GIVEN:
        return
    raise InputError(
        "the AGOP",
        f"unknown to {min(share, 1.0):.1%} of its largest entry by round-off (the condition is {condition:.1e})",
        f"known to {GIVEN:.1%}",
        "raise ridge, or move x to the origin where the kernel is no function of distances",
    )


def _pairs(rows: Float[np.ndarray, "n d"], kernel: ProductKernel, metric: Metric) -> Pairs:
    """Return the pairs of these rows."""
    none = np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    if not kernel.radial:
        products = symmetric(product(metric.times(rows), rows.T))
        q1, q2, c = moments(products)
        q = np.maximum(q2, 0.0)
        step = np.sqrt(q[:, None] * q)
        i, j = np.nonzero(coincident(products, q2, q2))
        equal = (rows[i] == rows[j]).all(axis=1)
        step[i, j] *= np.where(equal, 0.0, 4.0)  # what is taken for equal and is not may be off by as much
        reach = np.broadcast_to(q, c.shape)
        return Pairs(rows, rows, metric, (q1, q2, c), step, reach, reach, none)
    centred = rows - rows.mean(axis=0)
    seen = metric.lengths(centred)
    products = symmetric(product(seen, seen.T))
    q = np.diag(products)
    step = q[:, None] + q
    squares = step - 2.0 * products
    i, j = np.nonzero(np.triu(squares <= NEAR * step, 1))
    near = i, j
    pairs = Pairs(rows, centred, metric, (squares,) * 3, step, squares, step, near)
    chunk = max(1, CHUNK // rows.shape[1])
    for start in range(0, len(near[0]), chunk):
        part = slice(start, start + chunk)
        i, j = near[0][part], near[1][part]
        apart = metric.lengths(pairs.differences(part))
        squares[i, j] = squares[j, i] = np.einsum("ij,ij->i", apart, apart)
        step[i, j] = step[j, i] = squares[i, j]
    for values in (squares, step):
        np.fill_diagonal(values, 0.0)
    # Seen from their middle both rows have half of their difference: q1 + q2 - 2c is its square to the last bit.
    quarters = 0.25 * squares
    return Pairs(rows, centred, metric, (quarters, quarters, -quarters), 0.5 * step, squares, step, near)


def _apart(pairs: Pairs, of_lengths: Float[np.ndarray, "n n"], slope: Float[np.ndarray, "n n"]) -> Slopes:
    """Return the slopes, those of close pairs apart from the others."""
    i, j = pairs.near
    far = slope
    if len(i):
        far = slope.copy()
        far[i, j] = far[j, i] = 0.0
    return Slopes(of_lengths, far, slope[i, j])


def _jacobian(
    pairs: Pairs,
    slopes: Slopes,
    kernel: ProductKernel,
    moved: Float[np.ndarray, "n d"],
    alpha: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n d"]:
    """Return the gradients of sum_j alpha_j k(x, x_j) at the samples."""
    own = -(slopes.far @ alpha) if kernel.radial else 2.0 * (slopes.lengths @ alpha)
    found = product(slopes.far, alpha[:, None] * moved)
    found += own[:, None] * moved
    i, j = pairs.near
    if not len(i):
        return found
    from scipy.sparse import csr_array

    n, chunk = len(alpha), max(1, CHUNK // moved.shape[1])
    for start in range(0, len(i), chunk):
        part = slice(start, start + chunk)
        numbers = np.arange(len(i[part]))
        weights = np.concatenate([alpha[j[part]] * slopes.near[part], -alpha[i[part]] * slopes.near[part]])
        where = np.concatenate([i[part], j[part]]), np.concatenate([numbers, numbers])
        found += csr_array((weights, where), shape=(n, len(numbers))) @ pairs.metric.times(
            pairs.differences(part)
        )
    return found


def _slope_error(
    pairs: Pairs,
    kernel: ProductKernel,
    of_lengths: Float[np.ndarray, "n n"],
    slope: Float[np.ndarray, "n n"],
    alpha: Float[np.ndarray, "n k"],
) -> float:
    """Return the error of all gradients that slopes and sums bring: the root of the sum of its squares."""
    rows, counts = _evaluated_again(pairs)
    q1, q2, c = (np.broadcast_to(part, pairs.step.shape)[rows] for part in pairs.moments)
    of_moved, moved = map(np.asarray, kernel.slopes(q1, q2, c - 4.0 * EPS * pairs.step[rows]))
    # A step of four last digits is not lost in rounding.
    squares = (0.25 * (moved - slope[rows])) ** 2 * pairs.reach[rows]
    squares += (EPS * slope[rows]) ** 2 * pairs.terms[rows]
    if not kernel.radial:
        own = (0.5 * (of_moved - of_lengths[rows])) ** 2 + (2.0 * EPS * of_lengths[rows]) ** 2
        squares += own * pairs.reach.T[rows]
    return pairs.metric.stretch * float(np.sqrt((squares @ (alpha * alpha)).sum(axis=1) @ counts))


def _evaluated_again(pairs: Pairs) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Return rows, and of how many each is one: those of the closest pairs are alone."""
    n = len(pairs.step)
    if n <= 2 * AGAIN:
        return np.arange(n), np.ones(n)
    q1, q2, c = pairs.moments
    apart = (q1 + q2 - 2.0 * c) / (pairs.terms + pairs.terms.T + np.finfo(float).tiny)
    np.fill_diagonal(apart, np.inf)
    order = np.argsort(apart.min(axis=1), kind="stable")
    others = order[AGAIN :: max(1, (n - AGAIN) // AGAIN)]
    counts = np.full(AGAIN + len(others), (n - AGAIN) / len(others))
    counts[:AGAIN] = 1.0
    return np.concatenate([order[:AGAIN], others]), counts


def _entry_error(
    pairs: Pairs,
    slope: Float[np.ndarray, "n n"],
    variances: Float[np.ndarray, " n"],
    alpha: Float[np.ndarray, "n k"],
) -> tuple[Float[np.ndarray, " n"], float]:
    """Return the error of each row of (k + ridge) alpha by entries and the solve, and the norm of that of entries."""
    moved = slope * pairs.step
    moved *= moved
    size, squares = np.maximum(variances, 0.0), np.einsum("ij,ij->i", alpha, alpha)
    whole = float(np.sqrt(moved.sum() + size.sum() ** 2))
    return EPS * np.sqrt(moved @ squares + size * (size @ squares)), EPS * whole


def _norm(pairs: Pairs, of_lengths: Float[np.ndarray, "n n"], slope: Float[np.ndarray, "n n"]) -> float:
    """Return a bound of what alpha of length 1 makes of the gradients of all samples."""
    moved = np.sqrt(np.einsum("ij,ij,ij->", slope, slope, pairs.reach))
    own = np.sqrt(np.einsum("ij,ij,ji->", of_lengths, of_lengths, pairs.reach))
    return pairs.metric.stretch * float(moved + 2.0 * own)
