"""Fingerprints of what a position sees of its image, which say where two images look the same.

Where the receptive fields of two positions hold the same numbers, the covariance is the variance of either and the two
are collinear, which the arithmetic knows to a few digits less: in a network that is chaotic its round-off would grow
from layer to layer. Pairs are far too many to compare fields; 64 bits a position are compared in their place. A sum
with odd random factors, mixed, tells two fields apart but for a chance of about 2^-63 a pair.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kernel_collapse._shapes import UInt64
from kernel_collapse.kernels._image_layers import Window
from kernel_collapse.kernels._image_plan import Plan

__all__ = ["fingerprints"]

Prints = UInt64[np.ndarray, "_ _ n"]


def fingerprints(x: np.ndarray, plan: Plan) -> list[Prints]:
    """Return those of every activation, of images (height, width, channels, n); a blank pixel, and none, have 0."""
    bits = (x.astype(np.float64) + 0.0).view(np.uint64)  # the two zeros are one number
    seen = _mixed((_mixed(bits) * _factors(x.shape[2], 0)[:, None]).sum(axis=2, dtype=np.uint64))
    found = []
    for place, stage in enumerate(plan.stages, start=1):
        for axis, window in enumerate(stage.conv or stage.pool or ()):
            seen = _summed(seen, axis, window, 2 * place + axis)
        if stage.phi is not None:
            found.append(seen)
        seen = seen ^ np.uint64(0x5851F42D4C957F2D)  # a blank position is no longer what is around the image
    return found


def _summed(seen: Prints, axis: int, window: Window, number: int) -> Prints:
    """Return the prints of the windows along an axis."""
    factors = _factors(window.size, number)
    length = seen.shape[axis]
    total = np.zeros([*seen.shape[:axis], window.outputs, *seen.shape[axis + 1 :]], dtype=np.uint64)
    for k in range(window.size):
        places = window.stride * np.arange(window.outputs) - window.low + k
        inside = np.ones(window.outputs, dtype=bool) if window.wrap else (places >= 0) & (places < length)
        terms = np.take(seen, places % length, axis=axis) * factors[k]
        shape = [1] * seen.ndim
        shape[axis] = window.outputs
        total += np.where(inside.reshape(shape), terms, np.uint64(0))
    return _mixed(total)


def _mixed(value: np.ndarray) -> np.ndarray:
    """Return 64 bits of which each depends on all (the finaliser of SplitMix, Steele et al. 2014); 0 stays 0."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@lru_cache(maxsize=1024)
def _factors(count: int, number: int) -> np.ndarray:
    """Return odd numbers of 64 bits, the same in every process."""
    drawn = np.random.default_rng([20, number]).integers(2**63, size=count, dtype=np.uint64)
    return drawn * np.uint64(2) + np.uint64(1)
