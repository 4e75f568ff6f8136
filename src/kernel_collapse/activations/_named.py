"""Activations by name whose dual has no closed form: they are expanded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kernel_collapse import _arrays

__all__ = ["NAMED", "Named"]


class Named(NamedTuple):
    """A function of arrays of any library, and where it or its derivatives jump."""

    function: Callable[[Any], Any]
    kinks: tuple[float, ...] = ()


def tanh(x: Any) -> Any:
    return _arrays.namespace(x).tanh(x)


def sigmoid(x: Any) -> Any:
    return 0.5 + 0.5 * tanh(0.5 * x)


def silu(x: Any) -> Any:
    return x * sigmoid(x)


def softplus(x: Any) -> Any:
    xp = _arrays.namespace(x)
    return xp.logaddexp(x, xp.zeros_like(x))


def mish(x: Any) -> Any:
    return x * tanh(softplus(x))


NAMED: dict[str, Named] = {
    "mish": Named(mish),
    "sigmoid": Named(sigmoid),
    "silu": Named(silu),
    "softplus": Named(softplus),
    "tanh": Named(tanh),
}
