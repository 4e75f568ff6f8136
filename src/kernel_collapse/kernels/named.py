"""The one place that turns the user's argument into a kernel: a name with parameters, a function, or a kernel."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from kernel_collapse import _arrays, _validate, activations
from kernel_collapse._input_error import InputError
from kernel_collapse.kernels._image_layers import MYRTLE
from kernel_collapse.kernels._kernel import Evaluated, Kernel
from kernel_collapse.kernels._network import NNGP, NTK

__all__ = [
    "IMAGE_NETWORKS",
    "OF_IMAGES",
    "KernelLike",
    "OfBlocks",
    "OfPairs",
    "of_images",
    "resolve",
    "resolve_all",
]

#: What a user may give for a kernel.
KernelLike = str | Kernel | Callable[[Any, Any], Any]

_NAMED: dict[str, type[NNGP | NTK]] = {"nngp": NNGP, "ntk": NTK}
#: Kernels of images by name: so many 3 x 3 convolutions, then every position by itself or their mean; or the layers of
#: a network that has a name.
_OF_IMAGES: dict[str, tuple[str, dict[str, str]]] = {
    "conv-nngp": ("ConvNNGP", {"readout": "flatten"}),
    "conv-ntk": ("ConvNTK", {"readout": "flatten"}),
    "conv-nngp-gap": ("ConvNNGP", {"readout": "gap"}),
    "conv-ntk-gap": ("ConvNTK", {"readout": "gap"}),
    **{f"conv-nngp-{name}": ("ConvNNGP", {"layers": name}) for name in MYRTLE},
    **{f"conv-ntk-{name}": ("ConvNTK", {"layers": name}) for name in MYRTLE},
}
#: The names.
OF_IMAGES = tuple(_OF_IMAGES)
#: Networks that have a name.
IMAGE_NETWORKS = tuple(MYRTLE)


@dataclass(frozen=True)
class OfBlocks(Kernel):
    """The kernel of a function that gives blocks."""

    function: Callable[[Any, Any], Any]

    def tile(self, x: Any, y: Any) -> Any:
        """Return the kernel of every row of `x` with every row of `y`."""
        return self.function(x, y)


@dataclass(frozen=True)
class OfPairs(Kernel):
    """The kernel of a function that gives the values of pairs."""

    function: Callable[[Any, Any], Any]

    def tile(self, x: Any, y: Any) -> Any:
        """Return the kernel of every row of `x` with every row of `y`."""
        xp, r, s = _arrays.namespace(x), x.shape[0], y.shape[0]
        left = xp.repeat(x, s, axis=0)
        return xp.reshape(self.function(left, xp.tile(y, (r, 1))), (r, s))

    def pairs(self, left: Any, right: Any) -> Any:
        """Return the kernel of each row of `left` with the same row of `right`."""
        return self.function(left, right)

    def _diagonal(self, x: Any) -> Evaluated:
        return self._pairs(x, x)


def resolve(kernel: Any, function: type[OfBlocks | OfPairs] | None = None, **parameters: Any) -> Kernel:
    """Return the kernel that is meant; `parameters` go with a name, and are None where they were not given.

    `function` says what a callable gives; None that none is taken.

    Raises
    ------
    ValueError
        If the name is unknown, a parameter is out of its range, or a kernel comes with parameters beside its own.
    """
    return resolve_all([kernel], function, **parameters)[0]


def resolve_all(
    given: Sequence[Any], function: type[OfBlocks | OfPairs] | None = None, **parameters: Any
) -> list[Kernel]:
    """Return several kernels, as `resolve` does; names share one activation."""
    known = {name: value for name, value in parameters.items() if value is not None}
    for kernel in given:
        if isinstance(kernel, type) and issubclass(kernel, Kernel):
            raise InputError(
                "kernel",
                f"the class {kernel.__name__}",
                "a kernel",
                f"make one, as in {kernel.__name__}(...)",
            )
        if isinstance(kernel, Kernel) and known:
            raise InputError(
                "kernel",
                f"{_validate.shown(kernel)} and {' and '.join(known)} {'is' if len(known) == 1 else 'are'} given "
                "beside it",
                "either",
                "a kernel has its own parameters, so make it with these",
            )
    if not isinstance(known.get("activation"), Hashable):  # looked up once, as others are remembered
        known["activation"] = activations.get(known["activation"])
    NNGP(**known)  # parameters are refused whatever the kernel is
    return [_one(kernel, function, known) for kernel in given]


def _one(kernel: Any, function: type[OfBlocks | OfPairs] | None, known: dict[str, Any]) -> Kernel:
    if isinstance(kernel, Kernel):
        return kernel
    if function is not None and callable(kernel):
        return function(kernel)
    if isinstance(kernel, str) and kernel in _OF_IMAGES:
        from kernel_collapse.kernels import _convolutional  # a fifth of the import of everything

        kind, fixed = _OF_IMAGES[kernel]
        rest = dict(known)
        depth = rest.pop("depth", 1)
        if depth != 1 and "layers" in fixed:
            raise InputError("depth", f"{depth} beside {kernel!r}", "no depth", "that name says every layer")
        made: Kernel = getattr(_convolutional, kind)(**{"layers": depth} | fixed | rest)
        return made
    return _NAMED[_validate.choice(kernel, (*_NAMED, *_OF_IMAGES), "kernel")](**known)


def of_images(kernels: Sequence[Kernel]) -> bool:
    """Tell whether the samples of kernels are images; those of all of them must be.

    Raises
    ------
    ValueError
        If some are kernels of images and some of vectors.
    """
    found = {kernel._of_images for kernel in kernels}
    if len(found) > 1:
        raise InputError(
            "kernel",
            "kernels of images beside kernels of vectors",
            "one kind, for one x",
            "call it once with images and once with images.reshape(len(images), -1)",
            verb="holds",
        )
    return True in found
