"""Covariances of positions, as arrays of any library: windows that move over them, pools, and equal positions.

The axes of positions come first, those of images last: (p_y, p_x, ...) of equal positions, and
(p_y, r_y, p_x, r_x, ...) of all pairs of them. What moves along height or width moves p and r alike.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from kernel_collapse import _arrays
from kernel_collapse.kernels._image_layers import Window
from kernel_collapse.kernels._image_plan import Stage, Windows

__all__ = [
    "axes_of",
    "equal_positions",
    "inputs",
    "mean",
    "of_differences",
    "of_left",
    "of_right",
    "pooled",
    "pooled_images",
    "summed",
]


def axes_of(full: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes of height, and those of width."""
    return ((0, 1), (2, 3)) if full else ((0,), (1,))


def of_left(of_positions: Any, full: bool) -> Any:
    """Return what is known of positions p of the left image, beside all pairs p, r."""
    return of_positions[:, None, :, None] if full else of_positions


def of_right(of_positions: Any, full: bool) -> Any:
    """Return what is known of positions r of the right image, likewise."""
    return of_positions[None, :, None, :] if full else of_positions


#: Most channels that are multiplied and added one after another, which gives equal pixels equal bits.
CHANNELS = 32


def inputs(x: Any, y: Any, full: bool) -> Any:
    """Return K^0, products of pixels over the number of channels, of images (height, width, channels, ...)."""
    in_place = isinstance(x, np.ndarray)
    channels = x.shape[2]
    if channels > CHANNELS and x.ndim == 5 and int(x.shape[4]) == 1 and int(y.shape[3]) == 1:
        return _products(x, y, full)
    total = None
    for k in range(channels):
        product = of_left(x[:, :, k], full) * of_right(y[:, :, k], full)
        total = product if total is None else _added(total, product, total if in_place else None)
    return _over(total, channels, in_place)


def of_differences(x: Any, y: Any, conv: Windows, bias: float, full: bool) -> Any:
    """Return |a|^2 |b|^2 - (a'b)^2 of the patches a, b that a filter sees, `bias` beside each, of any library's arrays.

    As `kernel_collapse._collinear.of_differences` of pairs: sums over the window of products of middles and
    differences of pixels, which do not grow with how far the pixels are from 0 together. The images are those of
    `inputs`. What is no more than round-off is 0.
    """
    xp = _arrays.namespace(x)
    for axis, window in enumerate(conv):  # a patch that leaves the image meets the other one there, too
        x, y = (_padded(xp, side, axis, window) for side in (x, y))
    sums: list[Any] = [None] * 3
    for k in range(int(x.shape[2])):
        left, right = of_left(x[:, :, k], full), of_right(y[:, :, k], full)
        middle, apart = 0.5 * (left + right), left - right
        products = middle * middle, apart * apart, middle * apart
        sums = [new if old is None else old + new for old, new in zip(sums, products, strict=True)]
    for window, axes in zip(conv, axes_of(full), strict=True):
        sums = [summed(values, axes, window, padded=True) for values in sums]
    size, gap, along = sums[0] + bias**2, sums[1], sums[2]
    det = size * gap - along * along
    none = det <= 16.0 * float(xp.finfo(det.dtype).eps) * size * gap
    return xp.where(none, xp.zeros_like(det), det)


def _over(values: Any, count: int, in_place: bool) -> Any:
    return np.divide(values, count, out=values) if in_place else values / count


def _products(x: Any, y: Any, full: bool) -> Any:
    """Return the same of every left with every right image, as matrix products."""
    xp = _arrays.namespace(x)
    (h, w, channels, r), s = x.shape[:4], y.shape[4]
    left = xp.permute_dims(x[..., 0], (0, 1, 3, 2))
    right = y[:, :, :, 0, :]
    if not full:
        return xp.matmul(left, right) / channels
    left = xp.reshape(left, (h * w * r, channels))
    right = xp.reshape(xp.permute_dims(right, (2, 0, 1, 3)), (channels, h * w * s))
    products = xp.reshape(xp.matmul(left, right), (h, w, r, h, w, s))
    return xp.permute_dims(products, (0, 3, 1, 4, 2, 5)) / channels


def summed(
    values: Any, axes: tuple[int, ...], window: Window, *, padded: bool = False, out: Any = None
) -> Any:
    """Return the sums over a window that moves along some axes at once; `padded` says that there is room around them.

    Those of NumPy's arrays are put into `out`, if it is given.

    A window of any size takes about twice its binary digits of additions an entry: sums of two, four, eight positions
    are made of one another. Nothing is subtracted, so that a sum of equal numbers is the same wherever it is taken.
    """
    xp = _arrays.namespace(values)
    for axis in () if padded else axes:
        values = _padded(xp, values, axis, window)
    length = (window.outputs - 1) * window.stride + 1
    if window.size == 3:  # the same sum, without the sums of two that no window needs
        first, second, third = (_cut(values, axes, slice(k, k + length, window.stride)) for k in range(3))
        return _added(first, _added(second, third, out), out)
    total, power, width, offset, left = None, values, 1, 0, window.size
    while left:
        if left % 2:
            part = _cut(power, axes, slice(offset, offset + length, window.stride))
            total = part if total is None else _added(total, part, out)
            offset += width
        left //= 2
        if left:
            power = _cut(power, axes, slice(None, -width)) + _cut(power, axes, slice(width, None))
            width *= 2
    if out is None or total is out:
        return total
    out[...] = total  # of a window of one position
    return out


def _added(values: Any, others: Any, out: Any) -> Any:
    return values + others if out is None else np.add(values, others, out=out)


def _padded(xp: Any, values: Any, axis: int, window: Window) -> Any:
    """Return an axis from the first input of the first window to the last of the last."""
    length, wanted = int(values.shape[axis]), (window.outputs - 1) * window.stride + window.size
    if window.wrap:
        places = (xp.arange(wanted, device=array_api_compat.device(values)) - window.low) % length
        return xp.take(values, places, axis=axis)
    parts = [_cut(values, (axis,), slice(0, min(length, wanted - window.low)))]
    for count, before in ((window.low, True), (wanted - window.low - length, False)):
        if count > 0:
            shape = [*values.shape[:axis], count, *values.shape[axis + 1 :]]
            zeros = xp.zeros(tuple(shape), dtype=values.dtype, device=array_api_compat.device(values))
            parts = [zeros, *parts] if before else [*parts, zeros]
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=axis)


def _cut(values: Any, axes: tuple[int, ...], part: slice) -> Any:
    return values[tuple(part if axis in axes else slice(None) for axis in range(max(axes) + 1))]


def pooled(values: Any, stage: Stage) -> Any:
    """Return the means over two windows, one of p and one of r, of all pairs of positions."""
    if stage.pool is None or not stage.full:  # a pool of a single position
        return values
    for window, axes in zip(stage.pool, axes_of(True), strict=True):
        for axis in axes:
            values = summed(values, (axis,), window)
    count = stage.pool[0].size * stage.pool[1].size
    values = values / float(count * count)
    return values if stage.full_after else equal_positions(values)


def pooled_images(x: Any, lead: tuple[Windows, ...]) -> Any:
    """Return images (height, width, ...) pooled as the layers before the first convolution do."""
    for windows in lead:
        for axis, window in enumerate(windows):
            x = summed(x, (axis,), window)
        x = x / float(windows[0].size * windows[1].size)
    return x


def equal_positions(values: Any) -> Any:
    """Return the entries of equal positions of all pairs of them."""
    xp = _arrays.namespace(values)
    rows, columns = (
        xp.arange(int(values.shape[axis]), device=array_api_compat.device(values)) for axis in (0, 2)
    )
    return values[rows, rows][:, columns, columns]


def mean(values: Any, full: bool) -> Any:
    """Return the mean over positions, axis by axis, so that no long sum loses digits."""
    xp = _arrays.namespace(values)
    for _ in range(4 if full else 2):
        values = xp.mean(values, axis=0)
    return values
