"""Pairs of rows that are nearly collinear: their angle is taken from the rows themselves.

The determinant q1 q2 - c^2 cancels next to perfect correlation, and with it the angle between the two. It is carried
from layer to layer by its square root, q1^{1/2} q2^{1/2} sin t, which is a number wherever variances are.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._shapes import Bool, Float, Int
from kernel_collapse._units import Array, in_units
from kernel_collapse.activations import Activation, determinant

__all__ = [
    "NearPairs",
    "equal_rows",
    "matters",
    "nearly_collinear",
    "nearly_smooth",
    "next_root",
    "of_differences",
    "sine",
    "sines_of",
    "unit",
]

#: Pairs with det below this share of q1 q2 take the determinant from the rows: above it, the subtraction
#: q1 q2 - c^2 keeps at least half of the digits.
NEARLY_COLLINEAR = {np.dtype(np.float64): 1e-8, np.dtype(np.float32): 3e-4}
#: The dual of a smooth activation depends on a number like 1 + r^2 (q1 + q2) + r^4 det, r its rate. Pairs of which
#: that is below this share of r^4 q1 q2 take the determinant from the rows: above it, what the subtraction rounds away
#: is less than a hundred units of round-off of that number.
SMOOTH = 2.0**-6

#: Pairs a row from which on they are compared row by row.
MANY = 16
#: Numbers held at once, while rows are compared.
CHUNK = 256**2


def equal_rows(
    x: Float[np.ndarray, "r d"],
    other: Float[np.ndarray, "s d"],
    gram: Float[np.ndarray, "r s"],
    q: Float[np.ndarray, " r"],
    q_other: Float[np.ndarray, " s"],
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return the pairs of rows that are the same numbers: the diagonal, and duplicates."""
    slack = 64.0 * np.sqrt(x.shape[1]) * np.finfo(gram.dtype).eps
    like = np.abs(gram - q[:, None]) <= slack * q[:, None]
    like &= np.abs(gram - q_other) <= slack * q_other
    i, j = _where(like)
    same = np.empty(len(i), dtype=bool)
    chunk = max(1, CHUNK // x.shape[1])
    for start in range(0, len(i), chunk):
        part = slice(start, start + chunk)
        same[part] = (x[i[part]] == other[j[part]]).all(axis=1)
    return i[same], j[same]


class NearPairs:
    """The nearly collinear pairs of a tile, with the root of the determinant of each."""

    def __init__(
        self,
        x: Float[np.ndarray, "r d"],
        other: Float[np.ndarray, "s d"],
        gram: Float[np.ndarray, "r s"],
        q: Float[np.ndarray, " r"],
        q_other: Float[np.ndarray, " s"],
        bias: float,
        activation: Activation,
    ) -> None:
        (v1, v2, c), scales = in_units(q[:, None], q_other[None, :], gram)
        #: Of the first layer, until it is asked for.
        self._first: Float[np.ndarray, "r s"] | None = determinant(v1, v2, c)
        self.index = nearly_collinear(v1, v2, self._first, activation, scales)
        i, j = self.index
        self.root = np.zeros(len(i), dtype=x.dtype)
        if len(i):  # few tiles but those on the diagonal have any
            sines = sines_of(unit(x, bias), unit(other, bias), self.index)
            self.root = np.sqrt(q[i]) * np.sqrt(q_other[j]) * sines

    def determinant(
        self, q1: Array, q2: Array, c: Array, scales: tuple[Array, Array] | None
    ) -> Float[np.ndarray, "r s"]:
        """Return those of all pairs in a layer, in the units of their variances; the next layer's come next."""
        det, self._first = self._first, None
        if det is None:
            det = determinant(q1, q2, c)
        root = self.root
        if scales is not None:
            for scale in scales:
                root = root / np.broadcast_to(scale, det.shape)[self.index]
        det[self.index] = root * root
        return det

    def advance(
        self,
        activation: Activation,
        weight_variance: float,
        bias_variance: float,
        q: Float[np.ndarray, " r"],
        q_other: Float[np.ndarray, " s"],
        gram: Float[np.ndarray, "r s"],
    ) -> None:
        """Carry the roots through one layer."""
        i, j = self.index
        moments = q[i], q_other[j], gram[self.index]
        self.root = next_root(self.root, *moments, activation, weight_variance, bias_variance)


def matters(activation: Activation, q: Array, q_other: Array, smooth: float = SMOOTH) -> bool:
    """Tell whether the dual of some pair of these variances may take more of a determinant than a subtraction gives."""
    if activation.needs_determinant:
        return True
    with np.errstate(divide="ignore", over="ignore"):
        inverses = (1.0 / (activation.rate**2 * np.max(of, initial=0.0)) for of in (q, q_other))
        return bool(sum(inverses) < smooth)


def of_differences(x: Array, other: Array, bias: float, *, pairs: bool = False) -> Array:
    """Return |x|^2 |y|^2 - (x'y)^2 of rows of arrays of any library, `bias` beside each; `pairs` meets row by row.

    With m = (x + y)/2 and e = x - y it is |m|^2 |e|^2 - (m'e)^2, where 2 m'e = |x|^2 - |y|^2. Of all pairs both terms
    are taken from the rows about their mean, so that what is rounded away is in proportion to the spread of the rows
    and not to how far they are from 0. What is no more than that is 0.
    """
    xp = _arrays.namespace(x)
    if pairs:
        middle, apart = 0.5 * (x + other), x - other
        size, along = xp.sum(middle * middle, axis=1) + bias**2, xp.sum(middle * apart, axis=1)
        gap = spread = xp.sum(apart * apart, axis=1)
    else:
        middle = (xp.sum(x, axis=0) + xp.sum(other, axis=0)) / float(x.shape[0] + other.shape[0])
        u, w = x - middle, other - middle
        columns = xp.permute_dims(other, (1, 0))
        spread = xp.sum(u * u, axis=1)[:, None] + xp.sum(w * w, axis=1)[None, :]
        gap = spread - 2.0 * (u @ xp.permute_dims(w, (1, 0)))
        squares = xp.sum(x * x, axis=1)[:, None] + xp.sum(other * other, axis=1)[None, :]
        size = 0.25 * (squares + 2.0 * (x @ columns)) + bias**2
        halves = (xp.sum(about * (0.5 * about + middle), axis=1) for about in (u, w))
        along = next(halves)[:, None] - next(halves)[None, :]
    det = size * gap - along * along
    none = det <= 16.0 * float(xp.finfo(det.dtype).eps) * size * spread
    return xp.where(none, xp.zeros_like(det), det)


def nearly_collinear(
    q1: Array,
    q2: Array,
    det: Array,
    activation: Activation,
    scales: tuple[Array, Array] | None = None,
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return the pairs whose determinant `det` the subtraction does not give; `scales` are units of the variances."""
    if not activation.needs_determinant:
        return _where(nearly_smooth(q1, q2, det, activation, scales))
    share = NEARLY_COLLINEAR.get(det.dtype, NEARLY_COLLINEAR[np.dtype(np.float64)])
    return _where(det < (share * q1) * q2)


def nearly_smooth(
    q1: Array,
    q2: Array,
    det: Array,
    activation: Activation,
    scales: tuple[Array, Array] | None = None,
    smooth: float = SMOOTH,
) -> Bool[np.ndarray, ...]:
    """Tell of which pairs a smooth activation takes more of the determinant than the subtraction gives."""
    s, t = (1.0, 1.0) if scales is None else scales
    with np.errstate(divide="ignore", over="ignore"):
        one, other = (1.0 / ((activation.rate * scale) ** 2 * q) for q, scale in ((q1, s), (q2, t)))
        return det < q1 * q2 * (smooth - (one + other + one * other))


def _where(mask: Bool[np.ndarray, "r s"]) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return where a mask is set, fast where it nowhere is."""
    if not mask.any():
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    i, j = np.nonzero(mask)
    return i, j


def sines_of(
    a: Float[np.ndarray, "r e"],
    b: Float[np.ndarray, "s e"],
    index: tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]],
) -> Float[np.ndarray, " m"]:
    """Return the sines of the angles of these pairs of unit vectors, of which the rows ascend."""
    i, j = index
    sines = np.empty(len(i), dtype=a.dtype)
    if len(i) > MANY * len(a):  # row by row, so that most of b is read where it is
        ends = np.searchsorted(i, np.arange(len(a) + 1))
        for row, (start, stop) in enumerate(pairwise(ends)):
            others = b if stop - start == len(b) else b[j[start:stop]]
            sines[start:stop] = sine(a[row], others)
        return sines
    chunk = max(1, CHUNK // a.shape[1])
    for start in range(0, len(i), chunk):
        part = slice(start, start + chunk)
        sines[part] = sine(a[i[part]], b[j[part]])
    return sines


def next_root(
    root: Float[np.ndarray, " m"],
    q1: Float[np.ndarray, " m"],
    q2: Float[np.ndarray, " m"],
    c: Float[np.ndarray, " m"],
    activation: Activation,
    weight_variance: float,
    bias_variance: float,
) -> Float[np.ndarray, " m"]:
    """Carry the roots of determinants of pairs through one layer: kappa, then the weights, then the bias.

    Adding b to all three entries of [[q1, c], [c, q2]] adds b (q1 + q2 - 2c) to its determinant, and
    q1 + q2 - 2c = (sqrt q1 - sqrt q2)^2 + 2 det / (sqrt(q1 q2) + c) for c > 0 does not cancel.
    """
    p = activation.homogeneity
    (v1, v2, v), scales = in_units(q1, q2, c) if p is not None else ((q1, q2, c), None)
    s, t = (1.0, 1.0) if scales is None else scales
    det = (root / s / t) ** 2
    grown = (s**p * t**p) if p is not None and scales is not None else 1.0
    carried = np.sqrt(activation.kappa_det(v1, v2, v, det)) * grown * weight_variance
    if bias_variance > 0:
        zero = np.zeros_like(q1)
        k1 = weight_variance * activation.kappa(q1, q1, q1, zero)
        k2 = weight_variance * activation.kappa(q2, q2, q2, zero)
        k12 = weight_variance * grown * activation.kappa(v1, v2, v, det)
        roots = np.sqrt(k1), np.sqrt(k2)
        total = roots[0] * roots[1] + np.maximum(k12, 0.0)
        some = np.where(total > 0, total, 1.0)
        apart = (roots[0] - roots[1]) ** 2 + 2.0 * carried * np.where(total > 0, carried / some, 0.0)
        apart = np.where(k12 > 0, apart, k1 + k2 - 2.0 * k12)
        carried = np.hypot(carried, np.sqrt(bias_variance * np.maximum(apart, 0.0)))
    return carried


def unit(x: Float[np.ndarray, "n d"], bias: float) -> Float[np.ndarray, "n e"]:
    """Return rows of unit length, of x and `bias` beside it, whose cosines are correlations; a zero row stays zero."""
    if bias > 0:
        x = np.hstack([x, np.full((len(x), 1), bias, dtype=x.dtype)])
    for length in (np.abs(x).max(axis=1, keepdims=True), None):  # the squares of what is left are numbers
        size = np.linalg.norm(x, axis=1, keepdims=True) if length is None else length
        x = np.divide(x, size, out=np.zeros_like(x), where=size > 0)
    return x


def sine(a: Float[np.ndarray, "... e"], b: Float[np.ndarray, "m e"]) -> Float[np.ndarray, " m"]:
    """Return the sine of the angle between unit vectors, |a - b| |a + b| / 2 (Kahan); `a` may be one for all.

    It is exact for duplicates and keeps its digits however small the angle.
    """
    return np.linalg.norm(a - b, axis=1) * np.linalg.norm(a + b, axis=1) / 2.0
