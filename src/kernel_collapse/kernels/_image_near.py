"""Pairs of patches that are nearly collinear: their angle is taken from the patches, and from layer to layer.

The determinant q1 q2 - c^2 of two nearly collinear patches cancels, as in `kernel_collapse._collinear`. With
a = sqrt(q1 / q2) and the sign s of c it is E (sqrt(q1 q2) + |c|), where E = (q1 / a + a q2) / 2 - s c does not cancel:
it is linear, so that it adds up over the filter,

    E(G) = sigma_b^2 (a^{1/2} - s a^{-1/2})^2 / 2 + sigma_w^2/|F| sum_delta E(Q_delta),

and of each term, with the determinant D of kappa,

    E(Q) = ((k1/a)^{1/2} - (a k2)^{1/2})^2 / 2 + D / (sqrt(k1 k2) + s k12).

All are positive. Two averages of neighbours have no such sum, and after a pool the subtraction is what there is: what
is no more than its round-off is taken for 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _collinear, activations
from kernel_collapse._input_error import KernelRefused
from kernel_collapse._shapes import Float, Int
from kernel_collapse.kernels._image_plan import Windows

__all__ = [
    "LOST",
    "SMOOTH",
    "AfterPool",
    "Hidden",
    "Near",
    "OfPatches",
    "Where",
    "lost_angles",
    "nearly_collinear",
]

#: Of an activation that jumps the angle of the next layer is the root of this one: more pairs are looked at.
JUMPS = 1e4
#: Numbers held at once, while patches are compared.
CHUNK = 2**18


class Where(NamedTuple):
    """Pairs: positions p and r, and what picks their images out of arrays whose last axes are those of images."""

    p: tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]
    r: tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]
    left: tuple[Any, ...]
    right: tuple[Any, ...]
    images: tuple[Int[np.ndarray, " m"], ...]

    def part(self, of: Any) -> Where:
        """Return some of the pairs."""
        return Where(*(tuple(i[of] for i in each) for each in self))


class Near(ABC):
    """Where the determinants of nearly collinear pairs come from."""

    @abstractmethod
    def determinants(self, where: Where, q1: Any, q2: Any, c: Any) -> Float[np.ndarray, " m"]:
        """Return q1 q2 - c^2."""


#: As `_collinear.SMOOTH`, of patches, of which many are nearly collinear. In float64 those of variances above two
#: million are looked at, and below it no more than six of the digits are lost. Float32 has none to lose.
SMOOTH: dict[np.dtype[Any], float] = {np.dtype(np.float64): 2.0**-20, np.dtype(np.float32): _collinear.SMOOTH}
#: The same, of layers that have no determinants but the difference: what is below has lost half of its digits.
LOST: dict[np.dtype[Any], float] = {np.dtype(np.float64): 2.0**-26, np.dtype(np.float32): 2.0**-11}


def lost_angles(phi: activations.Activation) -> KernelRefused:
    """Return what is raised where a smooth activation takes more of a determinant than is left of it."""
    return KernelRefused(
        "the kernel",
        f"nearly parallel patches before {phi.name!r} above the first convolution, of variances so large that their "
        "angle has lost half of its digits",
        "numbers nearer to zero",
        "subtract the mean of the pixels, or scale x or weight_variance down",
        verb="has",
    )


def nearly_collinear(
    product: np.ndarray, det: np.ndarray, phi: activations.Activation
) -> Int[np.ndarray, " m"]:
    """Return the places, counted through, whose determinant the subtraction does not give; the product is used up."""
    product *= _collinear.NEARLY_COLLINEAR[product.dtype] * (JUMPS if phi.jumps else 1.0)
    return np.flatnonzero(det < product)


class AfterPool(Near):
    """Of pairs of means over positions: round-off is 0, and the rest is as the subtraction has it."""

    def determinants(self, where: Where, q1: Any, q2: Any, c: Any) -> Float[np.ndarray, " m"]:
        """Return q1 q2 - c^2, or 0."""
        product = q1 * q2
        det = product - c * c
        return np.where(det > 16.0 * np.finfo(det.dtype).eps * product, det, np.zeros_like(det))


class OfPatches(Near):
    """Of the first convolution: from the patches of pixels themselves."""

    def __init__(self, x: np.ndarray, y: np.ndarray, conv: Windows, weights: float, biases: float) -> None:
        self._x, self._y, self._conv = x, y, conv
        count = conv[0].size * conv[1].size * x.shape[2]
        self._bias = float(np.sqrt(biases * count / weights))

    def determinants(self, where: Where, q1: Any, q2: Any, c: Any) -> Float[np.ndarray, " m"]:
        """Return q1 q2 sin^2 t."""
        sines = np.empty(len(q1), dtype=q1.dtype)
        step = max(1, CHUNK // (self._conv[0].size * self._conv[1].size * self._x.shape[2]))
        for top in range(0, len(q1), step):
            part = slice(top, top + step)
            some = where.part(part)
            a = _collinear.unit(_patches(self._x, some.p, some.left, self._conv), self._bias)
            b = _collinear.unit(_patches(self._y, some.r, some.right, self._conv), self._bias)
            sines[part] = _collinear.sine(a, b)
        return q1 * q2 * sines * sines


def _patches(
    x: np.ndarray, places: tuple[np.ndarray, np.ndarray], images: tuple[Any, ...], conv: Windows
) -> Float[np.ndarray, "m e"]:
    """Return the numbers that the filter sees at these places, a row each, zeros where it leaves the image."""
    (rows, columns), inside = _seen_by(places, conv, x.shape[:2])
    found = np.moveaxis(x, 2, -1)[(rows, columns, *(i[:, None] for i in images))]
    return np.where(inside[..., None], found, 0.0).reshape(len(found), -1)


def _seen_by(
    places: tuple[np.ndarray, np.ndarray], conv: Windows, shape: tuple[int, ...]
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return the inputs of the filter at these places, (m, |F|), and which of them are there."""
    found, inside = [], np.ones((len(places[0]), conv[0].size * conv[1].size), dtype=bool)
    steps = np.divmod(np.arange(inside.shape[1]), conv[1].size)
    for place, window, step, length in zip(places, conv, steps, shape, strict=True):
        at = window.stride * place[:, None] - window.low + step
        if not window.wrap:
            inside &= (at >= 0) & (at < length)
        found.append(at % length)
    return (found[0], found[1]), inside


class Hidden(Near):
    """Of a convolution of the outputs of an activation: from what is known of the layer before."""

    def __init__(
        self,
        phi: activations.Activation,
        layer: tuple[np.ndarray, np.ndarray, np.ndarray],
        q: tuple[np.ndarray, np.ndarray],
        conv: Windows,
        prior: tuple[float, float],
        full: bool,
    ) -> None:
        self._phi, (self._gram, self._det, self._kappa), self._q = phi, layer, q
        self._conv, (self._weights, self._biases), self._full = conv, prior, full
        zero = [np.zeros_like(v) for v in q]
        self._squares = [phi.kappa(v, v, v, o) for v, o in zip(q, zero, strict=True)]

    def determinants(self, where: Where, q1: Any, q2: Any, c: Any) -> Float[np.ndarray, " m"]:
        """Return E (sqrt(q1 q2) + |c|)."""
        apart = np.empty(len(q1), dtype=q1.dtype)
        sign = np.where(c < 0, -1.0, 1.0).astype(q1.dtype)
        scale = np.sqrt(np.sqrt(q1 / q2))  # a^{1/2}
        share = self._weights / (self._conv[0].size * self._conv[1].size)
        step = max(1, CHUNK // (self._conv[0].size * self._conv[1].size))
        for top in range(0, len(q1), step):
            part = slice(top, top + step)
            some, s, of = where.part(part), scale[part, None], sign[part, None]
            apart[part] = share * self._apart(some, s, of).sum(axis=1)
        apart += 0.5 * self._biases * (scale - sign / scale) ** 2
        return apart * (np.sqrt(q1) * np.sqrt(q2) + np.abs(c))

    def _apart(self, where: Where, scale: np.ndarray, sign: np.ndarray) -> Float[np.ndarray, "m f"]:
        """Return E of every position of the filter; of one that a patch alone has it is half of its square."""
        shape = self._q[0].shape[:2]
        p, inside = _seen_by(where.p, self._conv, shape)
        r, inside_too = _seen_by(where.r, self._conv, shape)
        images = tuple(i[:, None] for i in where.images)
        place = (p[0], r[0], p[1], r[1], *images) if self._full else (*p, *images)
        left, right = ((*at, *(i[:, None] for i in of)) for at, of in ((p, where.left), (r, where.right)))
        k1, k2 = (
            np.where(inside, self._squares[0][left], 0.0),
            np.where(inside_too, self._squares[1][right], 0.0),
        )
        both = inside & inside_too
        k12 = np.where(both, sign * self._kappa[place], 0.0)
        det = self._phi.kappa_det(self._q[0][left], self._q[1][right], self._gram[place], self._det[place])
        roots = np.sqrt(k1), np.sqrt(k2)
        total = roots[0] * roots[1] + np.maximum(k12, 0.0)
        gap = 0.5 * (roots[0] / scale - scale * roots[1]) ** 2
        gap = gap + np.where(both, det, 0.0) / np.where(total > 0, total, 1.0)
        return np.where(k12 > 0, gap, 0.5 * (k1 / scale**2 + scale**2 * k2) - k12)
