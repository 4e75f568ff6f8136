"""What a precision makes of what is learnt: numbers that it does not hold are refused, round-off in losses is told."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.networks._probes import Loss, Seen

__all__ = ["centre_of", "require_apart", "require_held", "round_off"]

#: Offset of the targets, in units of their spread over the classes, from which decisions are made about it.
OFFSET = 4.0


def require_held(values: Any, what: str, precision: str, hint: str, *, squared: bool = False) -> None:
    """Refuse numbers of which the largest is 0 or nearly so in a precision, or infinite, or infinite when squared."""
    limits, values = np.finfo(precision), np.abs(np.asarray(values, dtype=float))
    least, most = float(limits.smallest_normal), float(limits.max)
    if squared:
        most = (most / (4 * values.size)) ** 0.5  # the sum of squares is to be finite too
    largest = float(values.max(initial=0.0))
    if largest == 0.0 or least <= largest <= most:
        return
    because = ", because the sum of squares must be finite" if squared and largest > most else ""
    other = ', or give precision="float64"' if precision == "float32" else ""
    raise InputError(
        what, f"{largest:.3g}", f"0, or {least:.3g} to {most:.3g} in {precision}{because}", f"{hint}{other}"
    )


def require_apart(class_targets: Float[np.ndarray, "C k"], precision: str) -> None:
    """Refuse targets of which a precision makes those of two classes the same."""
    held = class_targets.astype(precision)
    if len(np.unique(held, axis=0)) < len(np.unique(class_targets, axis=0)):
        raise InputError(
            "the targets of two classes",
            f"the same in {precision}",
            "targets that differ in it",
            'take an offset from all targets, or give precision="float64"',
            verb="are",
        )


def centre_of(class_targets: Float[np.ndarray, "C k"], precision: str) -> Float[np.ndarray, " k"]:
    """Return an offset that all targets have, in numbers of a precision; 0 where it costs decisions no digits."""
    centre = class_targets.mean(axis=0)
    spread = np.abs(class_targets - centre).max()
    return np.where(np.abs(centre) > OFFSET * spread, centre, 0.0).astype(precision).astype(float)


def round_off(
    seen: Seen, aims: Float[np.ndarray, "k n"], loss: Loss, precision: str
) -> Float[np.ndarray, "S P"]:
    """Return about how much of each loss is round-off.

    Outputs carry two units in the last place of the largest, or of the terms that they are summed of, whose round-off
    adds like that of independent numbers.
    """
    eps = float(np.finfo(precision).eps)
    if loss == "cross_entropy":
        return 2.0 * eps * np.maximum(seen.largest, 1.0)
    off = 2.0 * eps * np.maximum(seen.largest, np.abs(aims).max())
    return 2.0 * np.sqrt(seen.loss) * off + off**2
