"""Numbers so small that they have lost digits, or so large that products of them are none: refused in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.activations import Activation

__all__ = [
    "least",
    "require_features",
    "require_own",
    "require_products",
    "require_resolved",
    "require_scales",
    "require_squares",
]

#: Room that is left to variances that adapt, below and above.
ROOM = 2.0**20


def least(values: Any) -> float:
    """Return the least number beside which round-off is still a number of full precision."""
    limits = _arrays.namespace(values).finfo(values.dtype)
    return float(limits.smallest_normal) / float(limits.eps)


def require_resolved(values: Float[Any, " n"], expected: Any, what: str) -> None:
    """Refuse what has lost its digits, as numbers do next to the smallest one, where more than 0 is expected."""
    xp, smallest = _arrays.namespace(values), least(values)
    lost = (values < smallest) & expected
    if bool(xp.any(lost)):
        raise InputError(
            f"the {what}",
            f"{_arrays.number(xp.min(values[lost])):.3g}",
            f"at least {smallest:.3g}, because smaller numbers have fewer digits in their precision",
            "scale x or weight_variance up, or set the row to zero",
        )


def require_squares(squares: Any, expected: Any, weight: float, bias: float, what: str) -> None:
    """Refuse squared lengths that have lost digits, of rows that are not 0, where these digits reach the kernel.

    The kernel takes them times `weight`, and adds `bias`, beside which what is lost is nothing unless the weight is
    large.
    """
    if bias == 0.0 or weight > 1.0:
        require_resolved(squares, expected, what)


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def require_own(kappa: Any, weight: float, bias: float, what: str) -> None:
    """Refuse a kernel of samples with themselves, weight * kappa + bias, that has lost digits on the way from kappa."""
    require_resolved(weight * kappa + bias, kappa > 0, what)


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def require_features(q: Float[Any, "h w *n"], activation: Activation) -> None:
    """Refuse images of whose features all have lost their digits, given the variances at every position."""
    xp = _arrays.namespace(q)
    if bool(xp.any((q > 0) & (q < least(q) ** 0.25))):  # a power of it may be lost
        kappa = activation.kappa(q, q, q, xp.zeros_like(q))
        largest, before = (xp.max(values, axis=(0, 1)) for values in (kappa, q))
        require_resolved(largest, before > 0, "kernel of an image with itself")


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def require_scales(
    x: Float[np.ndarray, "n d"],
    z: Float[np.ndarray, "n r"],
    activation: Activation | None,
    *,
    depth: int = 1,
    weight_variance: float = 1.0,
    determinants: bool = True,
) -> None:
    """Refuse samples whose variances, layer by layer, have products that are no numbers of full precision.

    `z` are the samples in units of the prior, so that their squared lengths are the variances of the first layer; of an
    activation that is not known they are all that is looked at. Without `determinants` no kernel is computed by these.
    """
    q = np.einsum("ij,ij->i", z, z)
    expected = (x != 0.0).any(axis=1)
    smallest = least(q)
    for layer in range(1, depth + 1):
        require_products(
            q, expected, activation if determinants else None, f"variance of a sample in layer {layer}"
        )
        if activation is None:
            return
        kappa = activation.kappa(q, q, q, np.zeros_like(q))
        _require_between(
            kappa, expected & (q > 0.0), smallest, f"kernel of a sample with itself in layer {layer}"
        )
        expected, q = kappa > 0.0, weight_variance * kappa


def require_products(
    q: Float[np.ndarray, "*n"], expected: Any, activation: Activation | None, what: str
) -> None:
    """Refuse variances that have lost digits, or products of two have, where the activation's dual is made of these."""
    products = activation is not None and activation.needs_determinant
    _require_between(q, expected, least(q) ** (0.5 if products else 1.0), what)


def _require_between(values: Float[np.ndarray, " n"], expected: Any, smallest: float, what: str) -> None:
    """Refuse numbers that are below that one where more than 0 is expected, or whose products are none."""
    most = float(np.finfo(values.dtype).max) ** 0.5 / ROOM
    wrong = ((values < smallest) & expected) | ~(values <= most)
    if wrong.any():
        raise InputError(
            f"the {what}",
            f"{float(values[wrong][0]):.3g}",
            f"{smallest:.3g} to {most:.3g}, because products of other numbers have lost digits",
            "scale x or weight_variance, or set the row to zero",
        )
