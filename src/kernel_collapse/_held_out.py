"""How many samples are held out, as `data.split` does it and as a trial is checked before it runs."""

from __future__ import annotations

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError

__all__ = ["held_out"]


def held_out(holdout: float, n: int, classes: int) -> int:
    """Return how many of n samples of so many classes are held out.

    Raises
    ------
    ValueError
        If the share is out of range, holds out no sample, or leaves fewer training samples than there are classes.
    """
    share = _validate.positive(holdout, "holdout")
    if share >= 1:
        raise InputError.of(
            "holdout", holdout, "a fraction of the samples, more than 0 and less than 1", "try 0.2"
        )
    held = round(share * n)
    if held == 0 or held > n - classes:
        raise InputError(
            f"holdout {holdout!r}",
            f"a test set of {held} of {n} samples",
            f"1 to {n - classes}" if n > classes else f"more samples than the {classes} classes",
            f"one sample at least to test with, and one of each of {classes} classes to train with",
            verb="makes",
        )
    return held
