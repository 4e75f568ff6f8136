"""Units in which products of two variances are numbers, however large or small the variances are."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_collapse import _arrays

__all__ = ["SAFE_POWERS", "Array", "in_units", "units"]

Array = Any  # an array or a number; the three moments broadcast against one another

#: Variances within these, as powers of two, have a determinant that neither overflows nor underflows.
SAFE_POWERS = {np.dtype(np.float64): 400, np.dtype(np.float32): 40}


def units(q: Array) -> Array | None:
    """Return a scale s for each variance, so that the determinants of variances q / s^2 are numbers; None if it is 1.

    In NumPy the scales are powers of two, whose products round nothing.
    """
    if not _arrays.is_foreign(q):
        q = np.asarray(q)
        power = SAFE_POWERS.get(q.dtype, 400)
        low, high = 2.0**-power, 2.0**power
        with np.errstate(invalid="ignore"):
            unsafe = ((q < low) | (q > high)) & (q > 0) & np.isfinite(q)
        if not unsafe.any():
            return None
        halves = np.frexp(np.where(unsafe, q, 1.0))[1] // 2
        return np.ldexp(np.ones_like(q), np.where(unsafe, halves, 0))
    xp = _arrays.namespace(q)
    power = SAFE_POWERS[np.dtype(str(q.dtype).rpartition(".")[2])]
    of = _arrays.constant(q)
    unsafe = ((of < 2.0**-power) | (of > 2.0**power)) & (of > 0) & xp.isfinite(of)
    if not _arrays.staged(unsafe) and not bool(xp.any(unsafe)):
        return None
    one = xp.ones_like(of)
    return xp.where(unsafe, xp.sqrt(xp.where(unsafe, of, one)), one)


def in_units(q1: Array, q2: Array, c: Array) -> tuple[tuple[Array, Array, Array], tuple[Array, Array] | None]:
    """Return the moments in units in which their determinant is a number, and the units; None where they are 1."""
    scales = units(q1), units(q2)
    if scales[0] is None and scales[1] is None:
        return (q1, q2, c), None
    s, t = (1.0 if scale is None else scale for scale in scales)
    return (q1 / s / s, q2 / t / t, c / s / t), (s, t)
