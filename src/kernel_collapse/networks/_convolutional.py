"""Networks with convolutions, of the layers that the kernels of images have.

Positions of an image are (channels, height, width, n): what a filter sees are its shifted copies, one below the other,
so that a convolution is one product of matrices, and remains one when many networks are trained at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.kernels import Activation, AvgPool, Conv, ConvNNGP, Flatten, GlobalAvgPool
from kernel_collapse.networks import _activations
from kernel_collapse.networks._activations import Phi
from kernel_collapse.networks._architecture import Architecture

__all__ = ["Convolutional", "Layer", "convolutional"]

Layer = Conv | Activation | AvgPool | Flatten | GlobalAvgPool
#: How a filter or a pool moves along height and width, a `Window` each.
Windows = tuple[Any, Any]


class Block(NamedTuple):
    """A convolution of images of one size, and what comes before the next: activations and pools."""

    shape: tuple[int, int]
    windows: Windows
    following: tuple[Phi | Windows, ...]

    @property
    def outputs(self) -> tuple[int, int]:
        """Height and width of what the convolution gives."""
        return self.windows[0].outputs, self.windows[1].outputs

    def followed_by(self, step: Phi | Windows) -> Block:
        """Return it with one more activation or pool."""
        return self._replace(following=(*self.following, step))


@dataclass(frozen=True)
class Convolutional(Architecture):
    """Blocks of convolutions, and a readout of all positions or of the mean over them."""

    #: Height, width and channels of the images.
    image: tuple[int, int, int]
    #: Pools of the images themselves.
    lead: tuple[Windows, ...]
    blocks: tuple[Block, ...]
    #: Height and width of what enters the readout; (1, 1) after global average pooling.
    left: tuple[int, int]

    @property
    def activation(self) -> tuple[Phi, ...]:
        """The JAX functions, in their order."""
        return tuple(step for block in self.blocks for step in block.following if callable(step))

    def multiple(self, layer: int) -> int:
        """Return the number of positions of the filter, and for the readout that of the image."""
        if layer == len(self.blocks):
            return self.left[0] * self.left[1]
        height, width = self.blocks[layer].windows
        return int(height.size * width.size)

    def positions(self, layer: int) -> int:
        """Return the number of positions that a filter takes, and 1 for the readout."""
        height, width = (1, 1) if layer == len(self.blocks) else self.blocks[layer].outputs
        return height * width

    def given(self, layer: int, activity: Any) -> Any:
        """Return what the filter sees at each position: row, column and channel below one another."""
        if layer == len(self.blocks):
            return activity
        shape = self.image[:2] if layer == 0 else self.blocks[layer].shape
        values = activity.reshape(-1, *shape, activity.shape[1])
        for windows in self.lead if layer == 0 else ():
            values = _mean(values, windows)
        seen = _seen(values, self.blocks[layer].windows)
        return seen.reshape(seen.shape[0] * seen.shape[1] * seen.shape[2], -1)

    def activity(self, layer: int, sums: Any) -> Any:
        """Return what activations and pools make of the sums, channel after channel."""
        block = self.blocks[layer]
        values = sums.reshape(len(sums), *block.outputs, -1)
        for step in block.following:
            values = step(values) if callable(step) else _mean(values, step)
        if layer == len(self.blocks) - 1 and self.left == (1, 1):
            values = values.mean(axis=(1, 2), keepdims=True)
        return values.reshape(-1, values.shape[3])

    def columns(self, x: ArrayLike) -> Float[np.ndarray, "d n"]:
        """Return images as columns, channel after channel."""
        images = _validate.images(x, "x", numpy=True)
        if images.shape[1:] != self.image:
            given, wanted = (" x ".join(map(str, shape)) for shape in (images.shape[1:], self.image))
            raise InputError("x", f"images of {given}", wanted, "those of the network", verb="holds")
        return np.ascontiguousarray(np.moveaxis(images, (3, 0), (0, 3))).reshape(-1, len(images))


def convolutional(layers: Any, image: Any) -> Convolutional:
    """Return the architecture of layers for images (height, width, channels).

    Raises
    ------
    ValueError
        If the layers make no network, do not fit the images, or an activation is not differentiable.
    """
    if isinstance(layers, int | str | np.integer):
        raise InputError.of(
            "layers",
            layers,
            "a list of layers, as in [Conv(3), Activation('relu'), Flatten()]",
            "kernel_collapse.kernels.ConvNNGP(3, activation='relu').stack is one",
        )
    height, width, channels = _image(image)
    shape = (height, width)
    lead: list[Windows] = []
    blocks: list[Block] = []
    *inner, end = ConvNNGP(layers).stack
    for layer in inner:
        if isinstance(layer, Activation):
            blocks[-1] = blocks[-1].followed_by(_activations.get(layer.activation))
            continue
        assert isinstance(layer, Conv | AvgPool), "ConvNNGP has looked"
        windows = layer.windows(shape)
        if isinstance(layer, Conv):
            blocks.append(Block(shape, windows, ()))
        elif blocks:
            blocks[-1] = blocks[-1].followed_by(windows)
        else:
            lead.append(windows)
        shape = (windows[0].outputs, windows[1].outputs)
    left = (1, 1) if isinstance(end, GlobalAvgPool) else shape
    return Convolutional((height, width, channels), tuple(lead), tuple(blocks), left)


def _image(image: Any) -> tuple[int, int, int]:
    what = "dim, of a network of images,"
    if isinstance(image, int | float | np.number):
        raise InputError.of(what, image, "(height, width, channels)", "as in (8, 8, 1)")
    sizes = tuple(
        _validate.count(size, "a size of dim") for size in _validate.several(image, what, "(8, 8, 1)")
    )
    if len(sizes) != 3:
        raise InputError.of(what, image, "(height, width, channels)", "as in (8, 8, 1)")
    return sizes


def _seen(values: Any, windows: Windows) -> Any:
    """Return what is in a window at each position of the output: (rows, columns, channels, height, width, n)."""
    for axis, window in ((-2, windows[1]), (-3, windows[0])):
        # Those of one axis after those of the other: a large filter has few pieces then, and is compiled soon.
        values = jnp.stack(list(_pieces(values, axis, window)))
    return values


def _mean(values: Any, windows: Windows) -> Any:
    """Return the mean over windows."""
    for axis, window in ((-3, windows[0]), (-2, windows[1])):
        values = sum(_pieces(values, axis, window)) / window.size
    return values


def _pieces(values: Any, axis: int, window: Any) -> Iterator[Any]:
    """Yield for every place in a window that moves along an axis what is there, output by output."""
    values = _reaching(values, axis, window)
    span = (window.outputs - 1) * window.stride + 1
    for first in range(window.size):
        yield jax.lax.slice_in_dim(values, first, first + span, window.stride, axis)


def _reaching(values: Any, axis: int, window: Any) -> Any:
    """Return an axis from the first input of the first window to the last of the last."""
    length, wanted = values.shape[axis], (window.outputs - 1) * window.stride + window.size
    if window.wrap:
        return jnp.take(values, np.arange(-window.low, wanted - window.low) % length, axis=axis)
    room = [(0, 0)] * values.ndim
    room[axis] = (window.low, max(0, wanted - window.low - length))
    return jnp.pad(values, room)
