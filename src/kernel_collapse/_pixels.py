"""What arrays of images mean: which axis holds the channels, and what range the pixels have.

Every door to images asks here: arrays in memory and in files, IDX files, and data sets of other libraries.
"""

from __future__ import annotations

import numpy as np

from kernel_collapse import _memory
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Shaped
from kernel_collapse._whole import first_rounded

__all__ = ["channels_last", "scaled"]

#: Numbers of channels by which the axis of channels is known: grey, colours, and colours with transparency.
CHANNELS = (1, 3, 4)


def channels_last(
    images: Shaped[np.ndarray, "n a b c"],
) -> tuple[Shaped[np.ndarray, "n h w channels"], tuple[str, ...]]:
    """Return images with the channels last, and a note where they were first or may have been.

    Channels are last unless the first axis alone has 1, 3 or 4 entries, and has less than each of the others. Where
    both ends have so many, they are last unless the images are square with the channels first alone.
    """
    first, second, last = images.shape[1:]
    both = first in CHANNELS and last in CHANNELS
    fewest = first < min(second, last)
    moved = second == last != first if both else first in CHANNELS and fewest
    doubtful = both or (not moved and last not in CHANNELS and (fewest or first in CHANNELS))
    found = np.moveaxis(images, 1, 3) if moved else images
    notes = ("Channels were the first axis of an image, and are the last here.",) if moved else ()
    if doubtful:
        height, width, channels = found.shape[1:]
        given = f"{first} x {second} x {last}"
        notes = (
            f"Images of shape {given} may have their channels first or last. They are taken as {height} x {width} "
            f"pixels with {channels} channel{'s' * (channels != 1)}, the channels {'first' if moved else 'last'}. If "
            "that is wrong, give kernel_collapse.Dataset image_shape=(height, width, channels) beside x.",
        )
    return found, notes


def scaled(pixels: Shaped[np.ndarray, "n h w c"]) -> tuple[Float[np.ndarray, "n h w c"], tuple[str, ...]]:
    """Return the pixels in float64, and a note on what was done to them.

    Whole numbers of 8 and 16 bits without a sign are divided by the largest that there is. Nothing says what range
    other numbers have, so they are kept, and a note tells of those that are not from 0 to 1.
    """
    if 0 in pixels.shape:
        raise InputError("the images", f"of shape {pixels.shape}", "some pixels in each")
    _memory.require(8.0 * pixels.size, f"{len(pixels)} images in float64", "take a part of them")
    kind, bits = pixels.dtype.kind, 8 * pixels.dtype.itemsize
    if kind == "u" and bits <= 16:
        top = 2**bits - 1
        return np.divide(pixels, float(top), dtype=np.float64), (
            f"Pixels from 0 to {top} were divided by {top}.",
        )
    if (rounded := first_rounded(pixels)) is not None:
        raise InputError(
            "the images",
            f"the whole number {rounded}, which float64 rounds",
            "whole numbers that float64 holds, as all up to 2^53",
            "scale them first",
            verb="hold",
        )
    found = pixels.astype(np.float64)
    low, high = float(found.min()), float(found.max())
    if low >= 0.0 and high <= 1.0:
        return found, ()
    return found, (
        f"Pixels are numbers of type {pixels.dtype.name} from {low:g} to {high:g}, and are kept as they are: nothing "
        "says what range they have.",
    )
