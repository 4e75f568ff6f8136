"""A block of a convolutional kernel of NumPy's arrays: row by row of positions, and every angle to its last digits.

A row of positions goes through the filter and the activation in one go, in arrays that stay in the cache. The axes of
positions come first and those of images last, so that what moves along the image are whole stretches of memory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _collinear, activations
from kernel_collapse._input_error import InputError
from kernel_collapse._resolved import require_features
from kernel_collapse._units import SAFE_POWERS
from kernel_collapse.kernels._image_arrays import equal_positions, inputs, mean, pooled, summed
from kernel_collapse.kernels._image_layers import Window
from kernel_collapse.kernels._image_near import (
    LOST,
    SMOOTH,
    AfterPool,
    Hidden,
    Near,
    OfPatches,
    Where,
    lost_angles,
    nearly_collinear,
)
from kernel_collapse.kernels._image_plan import Plan, Stage
from kernel_collapse.kernels._image_whole import Variances

__all__ = ["Seen", "of_images", "through"]

#: Numbers of a row of positions that are worked on at once: their few temporaries stay in the cache.
ROW = 2**15
#: Tallest filter whose rows are added one by one: of taller ones sums of two, four, eight rows are made of one another.
TALL = 4


#: Bytes of the largest array that a thread holds on to.
HELD = 2**24


class _Scratch(threading.local):
    """Arrays of a thread, which are written over and over: memory that is asked for anew has to be cleared first."""

    def __init__(self) -> None:
        self._held: dict[str, np.ndarray] = {}

    def __call__(self, name: str, shape: Sequence[int], dtype: Any) -> np.ndarray:
        """Return an array in the place of the last one of that name."""
        size = prod(shape) * np.dtype(dtype).itemsize
        if size > HELD:
            return np.empty(shape, dtype=dtype)
        if name not in self._held or self._held[name].size < size:
            self._held[name] = np.empty(size, dtype=np.uint8)
        return self._held[name][:size].view(dtype).reshape(shape)


_scratch = _Scratch()


class Seen(NamedTuple):
    """What a block needs of each image by itself: of every activation the variance and the print of each position."""

    q: Sequence[np.ndarray]
    prints: Sequence[np.ndarray]


class _Doubtful(NamedTuple):
    """Of a row the places, counted through, whose determinants subtraction does not give, with their G and other T."""

    row: int
    places: np.ndarray
    gram: np.ndarray
    theta: np.ndarray | None


class _Layer(NamedTuple):
    """Arrays of the last activation, which the angles of the next layer are taken from."""

    phi: activations.Activation
    gram: np.ndarray
    det: np.ndarray
    number: int


@np.errstate(
    over="ignore", invalid="ignore", divide="ignore", under="ignore"
)  # what is not finite is refused by whoever asked
def through(
    x: np.ndarray, y: np.ndarray, plan: Plan, prior: Variances, of_x: Seen, of_y: Seen, *, tangent: bool
) -> tuple[Any, Any]:
    """Return the kernel of the features and, if `tangent`, the mean of T that enters the readout.

    The images are (height, width, channels, ...), and their variances and prints (height, width, ...), whose last axes
    broadcast against one another.
    """
    pairs = np.broadcast_shapes(x.shape[3:], y.shape[3:])
    full = plan.stages[0].full
    gram, theta = inputs(_spread(x, pairs, full), _spread(y, pairs, full), full), None
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
        gram, theta, kept = row.run(keep, place % 2)
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
        height, width = stage.after
        positions = (height, height, width, width) if stage.full else (height, width)
        self.shape = (*positions, *gram.shape[4 if stage.full else 2 :])
        self._of_rows: dict[int, np.ndarray] = {}
        self._around: np.ndarray | None = None
        self.q: Any = None
        self._prints: Any = None
        self._spread: Any = None
        #: Whether determinants matter, and whether those of patches do to a smooth activation.
        self._matters = self._of_smooth = False
        #: Whether a smooth activation may take more of determinants than a difference gives, and there is no other.
        self._may_lose = False

    def know(self, q: np.ndarray, q_other: np.ndarray, prints: np.ndarray, prints_other: np.ndarray) -> None:
        """Take the variances and the prints of the images of both sides."""
        self.q, self._prints = (q, q_other), (prints, prints_other)
        pairs = np.broadcast_shapes(q.shape[2:], q_other.shape[2:])
        self._spread = [_spread(of, pairs, self.stage.full) for of in (q, q_other, prints, prints_other)]
        phi = self.stage.phi
        if phi is not None and not phi.needs_determinant:
            patches = isinstance(self.near, OfPatches)
            matters = _collinear.matters(phi, q, q_other, (SMOOTH if patches else LOST)[q.dtype])
            self._of_smooth, self._may_lose = patches and matters, matters and not patches
        self._matters = self._of_smooth or (phi is not None and phi.needs_determinant)

    def run(self, keep: bool, slot: int) -> tuple[np.ndarray, Any, Any]:
        """Return K and T after the stage, and the G and determinants of its activation if they are to be kept.

        They are scratch, written over by the next stage but one, whose slot is the same.
        """
        stage, shape = self.stage, self.shape
        dtype = self.gram.dtype
        after, kept = _scratch(f"after {slot}", shape, dtype), None
        theta = _scratch(f"theta {slot}", shape, dtype) if self.tangent else None
        if keep:
            kept = _scratch(f"gram {slot}", shape, dtype), _scratch(f"det {slot}", shape, dtype)
        row = _scratch("gram", shape[1:], dtype), _scratch("det", shape[1:], dtype)
        doubtful: list[_Doubtful] = []
        for k in range(stage.after[0]):
            out, det = row if kept is None else (kept[0][k], kept[1][k])
            g, t = self._convolved(k, out)
            if stage.phi is not None:
                found = self._angles(k, g, t, det, doubtful)
                after[k] = self._activated(k, g, t, found, None if theta is None else theta[k])
            else:
                after[k] = g
                if theta is not None:
                    theta[k] = t
        if doubtful:
            self._look_again(doubtful, after, theta, kept)
        return after, theta, kept

    def _convolved(self, k: int, out: np.ndarray) -> tuple[np.ndarray, Any]:
        """Return a row of G, which is put into `out`, and of T."""
        if self.stage.conv is None:
            np.copyto(out, self.gram[k])
            return out, None if self.theta is None else self.theta[k]
        g = self._filtered(self.gram, k, out)
        g *= self.share
        if self.prior.biases > 0:
            g += g.dtype.type(self.prior.biases)
        if not self.tangent:
            return g, None
        if self.theta is None:
            return g, g
        t = self._filtered(self.theta, k, _scratch("tangent", self.shape[1:], self.gram.dtype))
        t *= self.share
        t += g
        return g, t

    def _filtered(self, values: np.ndarray, k: int, out: np.ndarray) -> np.ndarray:
        """Return the sums over the filter in row k of the output, which are put into `out`."""
        assert self.stage.conv is not None
        rows, columns = self.stage.conv
        if rows.size > TALL:
            if id(values) not in self._of_rows:
                self._of_rows[id(values)] = summed(values, (0, 1) if self.stage.full else (0,), rows)
            return summed(self._of_rows[id(values)][k], (1, 2) if self.stage.full else (0,), columns, out=out)
        if not self.stage.full:
            room, total = self._room((), values.shape[1:], 1, columns)
            first, *others = rows.inputs(k, len(values))
            np.copyto(total, values[first][: total.shape[0]])
            for p in others:
                total += values[p][: total.shape[0]]
            return summed(room, (0,), columns, padded=not columns.wrap, out=out)
        room, total = self._room((rows.outputs,), values.shape[2:], 2, columns)
        self._add_rows(values, k, rows, total)
        return summed(room, (1, 2), columns, padded=not columns.wrap, out=out)

    @staticmethod
    def _add_rows(values: np.ndarray, k: int, rows: Window, total: np.ndarray) -> None:
        """Put the sums over the rows of the filter, of row k of p and of every row of r, into `total`."""
        length, used, begun = values.shape[1], total.shape[1], False
        for a in range(rows.size):
            p = rows.stride * k - rows.low + a
            start, stop, first = 0, rows.outputs, a - rows.low
            if rows.wrap:
                places: Any = (rows.stride * np.arange(rows.outputs) + first) % length
                p %= length
            elif 0 <= p < length:
                start = max(0, -(first // rows.stride))
                stop = min(rows.outputs, (length - 1 - first) // rows.stride + 1)
                places = slice(first + rows.stride * start, first + rows.stride * (stop - 1) + 1, rows.stride)
            else:
                continue
            if start >= stop:
                continue
            part = values[p][places][:, :used, :used]
            if begun:
                total[start:stop] += part
            else:
                total[:start], total[start:stop], total[stop:] = 0.0, part, 0.0
                begun = True
        if not begun:
            total[...] = 0.0

    def _moments(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self._of_row(k, *self._spread[:2])

    def _of_row(self, k: int, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.stage.full:
            return left[k][None, :, None], right[:, None, :]
        return left[k], right[k]

    def _angles(
        self, k: int, g: np.ndarray, t: Any, det: np.ndarray, doubtful: list[_Doubtful]
    ) -> np.ndarray | None:
        """Return the determinants of a row, put into `det`; add the places at which they are not good to `doubtful`.

        None stands for determinants that do not matter, of a smooth activation. Then the covariance of equal patches is
        set to their variance here.
        """
        q1, q2 = self._moments(k)
        if not self._matters:
            same = np.equal(*self._of_row(k, *self._spread[2:]), out=_scratch("same", g.shape, bool))
            if self._may_lose:
                assert self.stage.phi is not None
                lost = _collinear.nearly_smooth(q1, q2, q1 * q2 - g * g, self.stage.phi, smooth=LOST[g.dtype])
                if (lost & ~same).any():
                    raise lost_angles(self.stage.phi)
            if same.any():
                np.copyto(g, q1, where=same)
            return None
        product = np.multiply(q1, q2, out=_scratch("product", g.shape, g.dtype))
        np.multiply(g, g, out=det)
        np.subtract(product, det, out=det)
        assert self.stage.phi is not None
        places = nearly_collinear(product, det, self.stage.phi)
        if self._of_smooth:
            smooth = _collinear.nearly_smooth(q1, q2, det, self.stage.phi, smooth=SMOOTH[det.dtype])
            places = np.union1d(places, np.flatnonzero(smooth))
        if len(places):
            # T of the first convolution is G.
            of_theta = None if t is None or t is g else t.take(places)
            doubtful.append(_Doubtful(k, places, g.take(places), of_theta))
        return det

    def _look_again(self, doubtful: list[_Doubtful], after: np.ndarray, theta: Any, kept: Any) -> None:
        """Put what the activation makes of nearly collinear patches in its place, of all rows at once.

        The covariance of equal patches is their variance; the determinants of others are from what they are made of.
        """
        phi = self.stage.phi
        assert phi is not None
        rows = np.repeat([one.row for one in doubtful], [len(one.places) for one in doubtful])
        at = np.unravel_index(np.concatenate([one.places for one in doubtful]), self.shape[1:])
        g = np.concatenate([one.gram for one in doubtful])
        if self.stage.full:
            p, r, images = (rows, at[1]), (at[0], at[2]), at[3:]
        else:
            p = r = (rows, at[0])
            images = at[1:]
        single = np.zeros_like(rows)
        left, right = (
            tuple(single if length == 1 else i for i, length in zip(images, of.shape[2:], strict=True))
            for of in self.q
        )
        q1, q2 = self.q[0][(*p, *left)], self.q[1][(*r, *right)]
        same = self._prints[0][(*p, *left)] == self._prints[1][(*r, *right)]
        g, det = np.where(same, q1, g), np.zeros_like(g)
        if not same.all():
            others = Where(p, r, left, right, tuple(images)).part(~same)
            det[~same] = self.near.determinants(others, q1[~same], q2[~same], g[~same])
        place = (rows, *at)
        if kept is not None:
            kept[0][place], kept[1][place] = g, det
        if theta is None:
            after[place] = phi.kappa(q1, q2, g, det)
            return
        after[place], slopes = phi.kappa_and_slopes(q1, q2, g, det)
        parts = [one.theta for one in doubtful if one.theta is not None]
        theta[place] = slopes * (np.concatenate(parts) if parts else g)

    def _activated(self, k: int, g: np.ndarray, t: Any, det: np.ndarray | None, theta: Any) -> np.ndarray:
        """Return a row of kappa, and put T times the slopes into `theta`."""
        phi, (q1, q2) = self.stage.phi, self._moments(k)
        assert phi is not None
        if not self.tangent:
            return phi.kappa(q1, q2, g, det)
        if t is g:  # of the first convolution
            kappa, theta[...] = phi.kappa_and_first(q1, q2, g, det)
            return kappa
        kappa, slopes = phi.kappa_and_slopes(q1, q2, g, det)
        np.multiply(slopes, t, out=theta)
        return kappa

    def _room(
        self, before: tuple[int, ...], shape: tuple[int, ...], axes: int, window: Window
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return axes of positions with the zeros that a window reaches beyond them, and the place of the positions."""
        wide = shape[0] if window.wrap else (window.outputs - 1) * window.stride + window.size
        low = 0 if window.wrap else window.low
        if self._around is None:  # its zeros stay, whatever the row
            self._around = np.zeros((*before, *(wide,) * axes, *shape[axes:]), dtype=self.gram.dtype)
        here = slice(low, low + min(shape[0], wide - low))
        return self._around, self._around[(*(slice(None) for _ in before), *(here,) * axes)]


def _spread(of: np.ndarray, pairs: tuple[int, ...], full: bool) -> np.ndarray:
    """Return what is known of images on one side beside every image of the other, so that loops run over pairs.

    Of all pairs of positions alone, beside which it is little.
    """
    if not full:
        return of
    return np.ascontiguousarray(np.broadcast_to(of, (*of.shape[: of.ndim - len(pairs)], *pairs)))


@np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")  # as above
def of_images(x: np.ndarray, plan: Plan, prior: Variances, prints: Sequence[np.ndarray]) -> Seen:
    """Return what blocks need of images (height, width, channels, n); `plan` is that of the variances alone.

    Raises
    ------
    ValueError
        If a variance is so small or large that products of two are no numbers.
    """
    gram = inputs(x, x, plan.stages[0].full)
    found: list[np.ndarray] = []
    for place, stage in enumerate(plan.stages):
        if stage.pool is not None:
            gram = pooled(gram, stage)
            continue
        # The variances first, from equal positions alone, in the order in which a block adds.
        here = stage if not stage.full else _of_equal(stage)
        row = _Rows(
            here, prior, AfterPool(), equal_positions(gram) if stage.full else gram, None, tangent=False
        )
        q = np.empty(row.shape, dtype=gram.dtype)
        for k in range(stage.after[0]):
            row._convolved(k, q[k])
        if stage.phi is None:
            gram = (
                q
                if not stage.full
                else _Rows(stage, prior, AfterPool(), gram, None, tangent=False).run(False, place % 2)[0]
            )
            continue
        _require_in_range(q, len(found) + 1)
        require_features(q, stage.phi)
        number = len(found)
        found.append(q)
        if number < len(prints) - 1 or stage is not plan.stages[-1]:
            near: Near = AfterPool()
            if stage.conv is not None and place == 0 and not stage.phi.needs_determinant:
                near = OfPatches(x, x, stage.conv, *prior)
            step = _Rows(stage, prior, near, gram, None, tangent=False)
            step.know(q, q, prints[number], prints[number])
            gram = step.run(False, place % 2)[0]
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
