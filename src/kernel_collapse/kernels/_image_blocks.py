"""A block of a convolutional kernel of NumPy's arrays: row by row of positions, and every angle to its last digits.

A row of positions goes through the filter and the activation in one go, in arrays that stay in the cache. The axes of
positions come first and those of images last, so that what moves along the image are whole stretches of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import activations
from kernel_collapse._input_error import InputError
from kernel_collapse._units import SAFE_POWERS
from kernel_collapse.kernels._image_arrays import equal_positions, inputs, mean, pooled, summed
from kernel_collapse.kernels._image_layers import Window
from kernel_collapse.kernels._image_near import AfterPool, Hidden, Near, OfPatches, Where, nearly_collinear
from kernel_collapse.kernels._image_plan import Plan, Stage
from kernel_collapse.kernels._image_whole import Variances

__all__ = ["Seen", "of_images", "through"]

#: Numbers of a row of positions that are worked on at once: their few temporaries stay in the cache.
ROW = 2**15
#: Tallest filter whose rows are added one by one: of taller ones sums of two, four, eight rows are made of one another.
TALL = 4


class Seen(NamedTuple):
    """What a block needs of each image by itself: of every activation the variance and the print of each position."""

    q: Sequence[np.ndarray]
    prints: Sequence[np.ndarray]


class _Layer(NamedTuple):
    """Arrays of the last activation, which the angles of the next layer are taken from."""

    phi: activations.Activation
    gram: np.ndarray
    det: np.ndarray
    number: int


@np.errstate(
    over="ignore", invalid="ignore", divide="ignore"
)  # what is not finite is refused by whoever asked
def through(
    x: np.ndarray, y: np.ndarray, plan: Plan, prior: Variances, of_x: Seen, of_y: Seen, *, tangent: bool
) -> tuple[Any, Any]:
    """Return the kernel of the features and, if `tangent`, the mean of T that enters the readout.

    The images are (height, width, channels, ...), and their variances and prints (height, width, ...), whose last axes
    broadcast against one another.
    """
    pairs = np.broadcast_shapes(x.shape[3:], y.shape[3:])
    gram, theta = inputs(_spread(x, pairs), _spread(y, pairs), plan.stages[0].full), None
    before: _Layer | None = None
    number, first = 0, True
    for place, stage in enumerate(plan.stages):
        if stage.pool is not None:
            gram, theta = pooled(gram, stage), None if theta is None else pooled(theta, stage)
            before, first = None, False
            continue
        near: Near = AfterPool()
        if stage.conv is not None and first:
            near = OfPatches(x, y, stage.conv, *prior)
        elif stage.conv is not None and before is not None:
            q = of_x.q[before.number], of_y.q[before.number]
            near = Hidden(before.phi, (before.gram, before.det, gram), q, stage.conv, prior, stage.full)
        row = _Rows(stage, prior, near, gram, theta, tangent=tangent)
        if stage.phi is not None:
            row.know(of_x.q[number], of_y.q[number], of_x.prints[number], of_y.prints[number])
        keep = _wanted_next(plan, place)
        gram, theta, kept = row.run(keep)
        before = None if kept is None or stage.phi is None else _Layer(stage.phi, kept[0], kept[1], number)
        number += stage.phi is not None
        first = False
    return mean(gram, plan.full), None if theta is None else mean(theta, plan.full)


def _wanted_next(plan: Plan, place: int) -> bool:
    """Tell whether the next layer takes the angles of nearly collinear patches from this one."""
    stage = plan.stages[place]
    following = plan.stages[place + 1] if place + 1 < len(plan.stages) else None
    return (
        following is not None
        and following.conv is not None
        and following.phi is not None
        and following.phi.needs_determinant
        and stage.phi is not None
        and stage.phi.needs_determinant
    )


class _Rows:
    """One stage of a block, row of positions by row."""

    def __init__(
        self, stage: Stage, prior: Variances, near: Near, gram: np.ndarray, theta: Any, *, tangent: bool
    ) -> None:
        self.stage, self.prior, self.near, self.gram, self.theta = stage, prior, near, gram, theta
        self.tangent = tangent
        self.share = gram.dtype.type(prior.weights / stage.filter_positions)
        self._of_rows: dict[int, np.ndarray] = {}
        self.q: Any = None
        self._spread: Any = None

    def know(self, q: np.ndarray, q_other: np.ndarray, prints: np.ndarray, prints_other: np.ndarray) -> None:
        """Take the variances and the prints of the images of both sides."""
        self.q = q, q_other
        pairs = np.broadcast_shapes(q.shape[2:], q_other.shape[2:])
        self._spread = [_spread(of, pairs) for of in (q, q_other, prints, prints_other)]

    def run(self, keep: bool) -> tuple[np.ndarray, Any, Any]:
        """Return K and T after the stage, and the G and determinants of its activation if they are to be kept."""
        stage = self.stage
        positions = (
            (stage.after[0],) * 2 + (stage.after[1],) * 2 if stage.full else (stage.after[0], stage.after[1])
        )
        shape = (*positions, *self.gram.shape[4 if stage.full else 2 :])
        after, kept = np.empty(shape, dtype=self.gram.dtype), None
        theta = np.empty_like(after) if self.tangent else None
        if keep:
            kept = np.empty_like(after), np.empty_like(after)
        for k in range(stage.after[0]):
            g, t = self._convolved(k)
            if stage.phi is not None:
                det = self._angles(k, g)
                if kept is not None:
                    kept[0][k], kept[1][k] = g, det
                g, t = self._activated(k, g, t, det)
            after[k] = g
            if theta is not None:
                theta[k] = t
        return after, theta, kept

    def _convolved(self, k: int) -> tuple[np.ndarray, Any]:
        """Return a row of G and T."""
        if self.stage.conv is None:
            row = self.gram[k] if self.stage.phi is None else self.gram[k].copy()
            return row, None if self.theta is None else self.theta[k]
        g = self._filtered(self.gram, k)
        g *= self.share
        if self.prior.biases > 0:
            g += g.dtype.type(self.prior.biases)
        if not self.tangent:
            return g, None
        if self.theta is None:
            return g, g
        t = self._filtered(self.theta, k)
        t *= self.share
        t += g
        return g, t

    def _filtered(self, values: np.ndarray, k: int) -> np.ndarray:
        """Return the sums over the filter in row k of the output."""
        assert self.stage.conv is not None
        rows, columns = self.stage.conv
        if rows.size > TALL:
            if id(values) not in self._of_rows:
                self._of_rows[id(values)] = summed(values, (0, 1) if self.stage.full else (0,), rows)
            return summed(self._of_rows[id(values)][k], (1, 2) if self.stage.full else (0,), columns)
        if not self.stage.full:
            room, total = _room((), values.shape[1:], 1, columns, values.dtype)
            first, *others = rows.inputs(k, len(values))
            np.copyto(total, values[first][: total.shape[0]])
            for p in others:
                total += values[p][: total.shape[0]]
            return summed(room, (0,), columns, padded=not columns.wrap)
        length = values.shape[1]
        room, total = _room((rows.outputs,), values.shape[2:], 2, columns, values.dtype)
        used = total.shape[1]
        for a in range(rows.size):
            p = rows.stride * k - rows.low + a
            if rows.wrap:
                places = (rows.stride * np.arange(rows.outputs) - rows.low + a) % length
                total += values[p % length][places][:, :used, :used]
            elif 0 <= p < length:
                first = a - rows.low
                start = max(0, -(first // rows.stride))
                stop = min(rows.outputs, (length - 1 - first) // rows.stride + 1)
                if start < stop:
                    of = slice(first + rows.stride * start, first + rows.stride * (stop - 1) + 1, rows.stride)
                    total[start:stop] += values[p][of, :used, :used]
        return summed(room, (1, 2), columns, padded=not columns.wrap)

    def _moments(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self._of_row(k, *self._spread[:2])

    def _of_row(self, k: int, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.stage.full:
            return left[k][None, :, None], right[:, None, :]
        return left[k], right[k]

    def _angles(self, k: int, g: np.ndarray) -> np.ndarray:
        """Return the determinants of a row, and write the covariance of equal patches: it is their variance."""
        q1, q2 = self._moments(k)
        product = q1 * q2
        det = g * g
        np.subtract(product, det, out=det)
        assert self.stage.phi is not None
        at = np.unravel_index(nearly_collinear(product, det, self.stage.phi), det.shape)
        if len(at[0]):
            one, other = (np.broadcast_to(side, det.shape)[at] for side in self._of_row(k, *self._spread[2:]))
            same = one == other
            here = tuple(i[same] for i in at)
            g[here], det[here] = np.broadcast_to(q1, g.shape)[here], 0.0
            here = tuple(i[~same] for i in at)
            if self.stage.phi.needs_determinant and len(here[0]):
                det[here] = self._looked_at(k, here, g, q1, q2)
            elif len(here[0]):
                det[here] = np.maximum(det[here], 0.0)
        return det

    def _looked_at(
        self, k: int, at: tuple[np.ndarray, ...], g: np.ndarray, q1: np.ndarray, q2: np.ndarray
    ) -> np.ndarray:
        """Return the determinants of nearly collinear pairs, from what they are made of."""
        rows = np.full(len(at[0]), k)
        if self.stage.full:
            p, r, images = (rows, at[1]), (at[0], at[2]), at[3:]
        else:
            p = r = (rows, at[0])
            images = at[1:]
        single = np.zeros_like(rows)
        sides = [
            tuple(single if length == 1 else i for i, length in zip(images, of.shape[2:], strict=True))
            for of in self.q
        ]
        where = Where(p, r, sides[0], sides[1], tuple(images))
        shape = g.shape
        return self.near.determinants(
            where, np.broadcast_to(q1, shape)[at], np.broadcast_to(q2, shape)[at], g[at]
        )

    def _activated(self, k: int, g: np.ndarray, t: Any, det: np.ndarray) -> tuple[np.ndarray, Any]:
        """Return a row of kappa, and of T times the slopes."""
        phi, (q1, q2) = self.stage.phi, self._moments(k)
        assert phi is not None
        if not self.tangent:
            return phi.kappa(q1, q2, g, det), None
        kappa, slopes = phi.kappa_and_slopes(q1, q2, g, det)
        return kappa, slopes * t


def _spread(of: np.ndarray, pairs: tuple[int, ...]) -> np.ndarray:
    """Return what is known of images on one side beside every image of the other, so that loops run over pairs."""
    return np.ascontiguousarray(np.broadcast_to(of, (*of.shape[: of.ndim - len(pairs)], *pairs)))


def _room(
    before: tuple[int, ...], shape: tuple[int, ...], axes: int, window: Window, dtype: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return zeros for axes of positions with what a window reaches beyond them, and the place of the positions."""
    wide = shape[0] if window.wrap else (window.outputs - 1) * window.stride + window.size
    low = 0 if window.wrap else window.low
    room = np.zeros((*before, *(wide,) * axes, *shape[axes:]), dtype=dtype)
    here = slice(low, low + min(shape[0], wide - low))
    return room, room[(*(slice(None) for _ in before), *(here,) * axes)]


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # as above
def of_images(x: np.ndarray, plan: Plan, prior: Variances, prints: Sequence[np.ndarray]) -> Seen:
    """Return what blocks need of images (height, width, channels, n); `plan` is that of the variances alone.

    Raises
    ------
    ValueError
        If a variance is so small or large that products of two are no numbers.
    """
    gram = inputs(x, x, plan.stages[0].full)
    found: list[np.ndarray] = []
    for stage in plan.stages:
        if stage.pool is not None:
            gram = pooled(gram, stage)
            continue
        # The variances first, from equal positions alone, in the order in which a block adds.
        here = stage if not stage.full else _of_equal(stage)
        row = _Rows(
            here, prior, AfterPool(), equal_positions(gram) if stage.full else gram, None, tangent=False
        )
        q = np.stack([row._convolved(k)[0] for k in range(stage.after[0])])
        if stage.phi is None:
            gram = (
                q
                if not stage.full
                else _Rows(stage, prior, AfterPool(), gram, None, tangent=False).run(False)[0]
            )
            continue
        _require_in_range(q, len(found) + 1)
        number = len(found)
        found.append(q)
        if number < len(prints) - 1 or stage is not plan.stages[-1]:
            step = _Rows(stage, prior, AfterPool(), gram, None, tangent=False)
            step.know(q, q, prints[number], prints[number])
            gram = step.run(False)[0]
    return Seen(found, prints)


def _of_equal(stage: Stage) -> Stage:
    return Stage(stage.conv, stage.phi, None, stage.before, stage.after, False, False)


def _require_in_range(q: np.ndarray, layer: int) -> None:
    """Refuse variances whose products are no numbers."""
    power = SAFE_POWERS[q.dtype]
    wrong = ~((q == 0) | ((q >= 2.0**-power) & (q <= 2.0**power)))
    if wrong.any():
        raise InputError(
            f"the variance at a position before activation {layer}",
            f"{float(q[wrong].flat[0]):.3g}",
            f"0, or a number from {2.0**-power:.3g} to {2.0**power:.3g}",
            "scale x or weight_variance",
        )
