"""The layers that a convolutional network is made of, and what each makes of the height and the width of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, final

from kernel_collapse import _validate, activations
from kernel_collapse._input_error import InputError
from kernel_collapse.activations import ActivationLike

__all__ = [
    "MYRTLE",
    "Activation",
    "AvgPool",
    "Conv",
    "Flatten",
    "GlobalAvgPool",
    "Layer",
    "LayersLike",
    "Window",
    "as_layers",
    "stacked",
]

Padding = Literal["same", "valid", "circular"]
#: Most positions that a filter, a stride or a pool spans along one axis.
MOST_POSITIONS = 1024


class Window(NamedTuple):
    """How a filter or a pool moves along one axis: output k sums the `size` inputs from stride k - low on."""

    size: int
    stride: int
    low: int
    outputs: int
    wrap: bool

    def inputs(self, k: int, length: int) -> list[int]:
        """Return the inputs of output k, of an axis of that length; those that are padded with zeros are left out."""
        places = range(self.stride * k - self.low, self.stride * k - self.low + self.size)
        return [p % length for p in places] if self.wrap else [p for p in places if 0 <= p < length]


def _per_axis(value: Any, what: str) -> tuple[int, int]:
    """Return what is meant along height and width; a number is that of both."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise InputError.of(what, value, "a whole number, or one for height and one for width")
        return tuple(_validate.count(v, what, most=MOST_POSITIONS) for v in value)  # type: ignore[return-value]
    number = _validate.count(value, what, most=MOST_POSITIONS)
    return number, number


def _short(pair: tuple[int, int]) -> int | tuple[int, int]:
    return pair[0] if pair[0] == pair[1] else pair


@final
@dataclass(frozen=True, repr=False)
class Conv:
    """A convolution of infinitely many channels, with weights N(0, weight_variance / (filter positions x channels)).

    Parameters
    ----------
    filter_size : int or (int, int)
        Height and width of the filter, in positions; the covariance is a mean over all of them.
    stride : int or (int, int)
        Positions from one output to the next.
    padding : {"same", "valid", "circular"}
        "same" puts zeros around the image, so that ceil(positions / stride) are left; "valid" nothing; "circular" puts
        the image around itself.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.kernels.Conv(3, padding="valid")
    Conv(3, padding='valid')
    """

    filter_size: int | tuple[int, int] = 3
    stride: int | tuple[int, int] = 1
    padding: Padding = "same"

    def __post_init__(self) -> None:
        for name, what in (("filter_size", "the filter size"), ("stride", "the stride")):
            object.__setattr__(self, name, _short(_per_axis(getattr(self, name), f"{what} of Conv")))
        _validate.choice(self.padding, ("same", "valid", "circular"), "padding")

    def __repr__(self) -> str:
        more = "" if self.stride == 1 else f", stride={self.stride}"
        return (
            f"Conv({self.filter_size}{more}{'' if self.padding == 'same' else f', padding={self.padding!r}'})"
        )

    @property
    def positions(self) -> int:
        """Number of positions of the filter."""
        height, width = _per_axis(self.filter_size, "the filter size")
        return height * width

    def windows(self, shape: tuple[int, int]) -> tuple[Window, Window]:
        """Return how the filter moves along height and width of an image.

        Raises
        ------
        ValueError
            If it is larger than an image that nothing is put around.
        """
        sizes, strides = _per_axis(self.filter_size, "the filter size"), _per_axis(self.stride, "the stride")
        found = []
        for length, size, stride in zip(shape, sizes, strides, strict=True):
            if self.padding == "valid" and size > length:
                raise InputError(
                    f"the filter of {self!r}",
                    f"{sizes[0]} x {sizes[1]} and the image {shape[0]} x {shape[1]} there",
                    "a filter that fits into the image",
                    "take a smaller one, or padding='same'",
                )
            count = (length - size) // stride + 1 if self.padding == "valid" else -(-length // stride)
            padded = 0 if self.padding == "valid" else max((count - 1) * stride + size - length, 0)
            found.append(Window(size, stride, padded // 2, count, self.padding == "circular"))
        return found[0], found[1]


@final
@dataclass(frozen=True, repr=False)
class Activation:
    """An elementwise function of the output of a convolution: any whose dual is known, `kernel_collapse.activations`.

    Parameters
    ----------
    activation : str, Activation or callable
        As for `kernel_collapse.nngp`.

    Raises
    ------
    ValueError
        If it is not known.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.kernels.Activation("relu")
    Activation('relu')
    """

    activation: ActivationLike
    #: The activation with its dual, which `activation` stands for.
    phi: activations.Activation = field(init=False, compare=False)

    def __post_init__(self) -> None:
        phi = activations.get(self.activation)
        object.__setattr__(
            self, "activation", phi.name if isinstance(self.activation, str) else self.activation
        )
        object.__setattr__(self, "phi", phi)

    def __repr__(self) -> str:
        return f"Activation({self.activation!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"activation": self.activation}

    def __setstate__(self, state: dict[str, Any]) -> None:
        object.__setattr__(self, "activation", state["activation"])
        object.__setattr__(self, "phi", activations.get(state["activation"]))


@final
@dataclass(frozen=True, repr=False)
class AvgPool:
    """The mean over a window of positions.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), optional
        Positions from one window to the next; by default `size`, so that windows do not overlap.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.kernels.AvgPool(2)
    AvgPool(2)
    """

    size: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _short(_per_axis(self.size, "the size of AvgPool")))
        if self.stride is not None:
            object.__setattr__(self, "stride", _short(_per_axis(self.stride, "the stride of AvgPool")))

    def __repr__(self) -> str:
        return f"AvgPool({self.size}{'' if self.stride is None else f', stride={self.stride}'})"

    def windows(self, shape: tuple[int, int]) -> tuple[Window, Window]:
        """Return how the window moves along height and width of an image.

        Raises
        ------
        ValueError
            If it is larger than the image, of which nothing would be left.
        """
        sizes = _per_axis(self.size, "the size")
        strides = sizes if self.stride is None else _per_axis(self.stride, "the stride")
        if sizes[0] > shape[0] or sizes[1] > shape[1]:
            raise InputError(
                f"the window of {self!r}",
                f"{sizes[0]} x {sizes[1]} and the image {shape[0]} x {shape[1]} there, of which nothing is left",
                "a window that fits into the image",
                "pool less, or at fewer places",
            )
        found = [
            Window(size, stride, 0, (length - size) // stride + 1, wrap=False)
            for length, size, stride in zip(shape, sizes, strides, strict=True)
        ]
        return found[0], found[1]


@final
@dataclass(frozen=True)
class Flatten:
    """The end of the network: every position of every channel is a feature of its own.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.kernels.Flatten()
    Flatten()
    """


@final
@dataclass(frozen=True)
class GlobalAvgPool:
    """The end of the network: the features are the means of the channels over all positions.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.kernels.GlobalAvgPool()
    GlobalAvgPool()
    """


Layer = Conv | Activation | AvgPool | Flatten | GlobalAvgPool
#: What a user may give for the layers: them, a number of convolutions, or the name of a network.
LayersLike = int | str | Sequence[Layer]

#: Convolutions between the pools of the networks of Shankar et al. (2020), arXiv 2003.02237.
MYRTLE = {"myrtle-5": (2, 1, 1), "myrtle-7": (2, 2, 2), "myrtle-10": (3, 3, 3)}


def stacked(what: int | str, activation: ActivationLike, readout: str) -> tuple[Layer, ...]:
    """Return the layers of a number of 3 x 3 convolutions, or of a network that has a name.

    Raises
    ------
    ValueError
        If the number or the name is none.
    """
    step = (Conv(3), Activation(activation))
    if isinstance(what, str):
        _validate.choice(what, tuple(MYRTLE), "layers")
        first, second, third = MYRTLE[what]
        pool = AvgPool(2)
        return (*step * first, pool, *step * second, pool, *step * third, GlobalAvgPool())
    depth = _validate.count(what, "layers", most=_validate.MOST_LAYERS)
    return (*step * depth, Flatten() if readout == "flatten" else GlobalAvgPool())


def as_layers(given: Any) -> tuple[Layer, ...]:
    """Return layers that make a network.

    Raises
    ------
    ValueError
        If one is no layer, or they do not follow one another.
    """
    layers = tuple(_validate.several(given, "layers", "[Conv(3), Activation('relu'), Flatten()]"))
    for place, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            hint = (
                "make one, as in Conv(3)" if isinstance(layer, type) else "see kernel_collapse.kernels.Conv"
            )
            raise InputError.of(
                f"layer {place}", layer, "Conv, Activation, AvgPool, Flatten or GlobalAvgPool", hint
            )
    ends = [isinstance(layer, Flatten | GlobalAvgPool) for layer in layers]
    if sum(ends) != 1 or not ends[-1]:
        given = f"{'no' if not sum(ends) else 'an'} end {'' if not sum(ends) else 'before the last'}".strip()
        raise InputError(
            "layers", given, "Flatten() or GlobalAvgPool() as the last one, and there alone", verb="have"
        )
    gaussian = False
    for place, layer in enumerate(layers):
        if isinstance(layer, Activation):
            if not gaussian:
                raise InputError(
                    f"layer {place}",
                    f"{layer!r}, whose inputs are not the outputs of a convolution",
                    "a Conv before every Activation",
                    "put Conv(1) before it for a dense layer at every position",
                )
            gaussian = False
        gaussian = gaussian or isinstance(layer, Conv)
    if not any(isinstance(layer, Conv) for layer in layers):
        raise InputError("layers", "no convolution", "a Conv at least", "start with Conv(3)", verb="have")
    return layers
