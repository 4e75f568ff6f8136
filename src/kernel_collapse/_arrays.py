"""Arrays of NumPy, JAX, PyTorch and CuPy, by the names of the array API standard.

What is written against `namespace` gives back the kind of array that it was given, on its device. NumPy is the
namespace of plain numbers and lists.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np
from array_api_compat import numpy as numpy_namespace

__all__ = [
    "angle_of",
    "constant",
    "erf",
    "erfcx",
    "is_foreign",
    "kind",
    "namespace",
    "number",
    "read",
    "same_kind",
    "sqrt",
    "traced",
]

_NUMPY = (np.ndarray, np.generic, float, int)


def is_foreign(value: Any) -> bool:
    """Tell whether the value is an array of a library other than NumPy."""
    return (
        not isinstance(value, _NUMPY)
        and array_api_compat.is_array_api_obj(value)
        and not array_api_compat.is_numpy_array(value)
    )


def namespace(*values: Any) -> Any:
    """Return the functions of the library whose arrays these are; numbers go with any."""
    for value in values:
        if is_foreign(value):
            return array_api_compat.array_namespace(value)
    return numpy_namespace


def kind(value: Any) -> str:
    """Return the name of an array's library, for messages."""
    if not is_foreign(value):
        return "NumPy"
    if array_api_compat.is_torch_array(value):
        return "PyTorch"
    if array_api_compat.is_jax_array(value):
        return "JAX"
    if array_api_compat.is_cupy_array(value):
        return "CuPy"
    return type(value).__module__.partition(".")[0]


def traced(value: Any) -> bool:
    """Tell whether an array stands for values that are not known yet (under jax.jit, jax.grad, jax.vmap)."""
    if not array_api_compat.is_jax_array(value):
        return False
    import jax

    return isinstance(value, jax.core.Tracer)


def read(value: Any) -> np.ndarray:
    """Return the values of an array of any library as one of NumPy's."""
    if array_api_compat.is_torch_array(value):
        return value.detach().cpu().numpy()
    if array_api_compat.is_cupy_array(value):
        return value.get()
    return np.from_dlpack(value) if hasattr(value, "__dlpack__") else np.asarray(value)


def number(value: Any) -> float:
    """Return an array of no dimension as a number, apart from any record of its derivatives."""
    return float(value.detach() if array_api_compat.is_torch_array(value) else value)


def same_kind(first: Any, what_first: str, second: Any, what_second: str) -> None:
    """Refuse arrays of two libraries, devices or precisions.

    Raises
    ------
    ValueError
        If the two do not go together.
    """
    if not (is_foreign(first) or is_foreign(second)):
        return
    for reading in (
        kind,
        lambda array: str(array_api_compat.device(array)),
        lambda array: str(array.dtype).rpartition(".")[2],
    ):
        one, other = reading(first), reading(second)
        if one != other:
            raise ValueError(
                f"{what_first} is an array of {one} and {what_second} of {other}, expected arrays of one library, "
                f"device and precision: convert one of them."
            )


def sqrt(xp: Any, value: Any) -> Any:
    """Return the square root of what is not negative, with derivative 0 rather than infinity at 0.

    NumPy takes no derivatives and is spared the two selections.
    """
    if xp is numpy_namespace:
        return np.sqrt(value)
    positive = value > 0
    one, zero = xp.ones_like(value), xp.zeros_like(value)
    return xp.where(positive, xp.sqrt(xp.where(positive, value, one)), zero)


def angle_of(xp: Any, y: Any, x: Any) -> Any:
    """Return atan2(y, x), which is 0 at the origin, with derivative 0 there rather than none.

    NumPy takes no derivatives and is spared the selections.
    """
    if xp is numpy_namespace:
        return np.arctan2(y, x)
    origin = (y == 0) & (x == 0)
    x = xp.where(origin, xp.ones_like(x), x)
    return xp.atan2(y, x)


def constant(value: Any) -> Any:
    """Return an array whose values are not differentiated."""
    if array_api_compat.is_torch_array(value):
        return value.detach()
    if array_api_compat.is_jax_array(value):
        import jax

        return jax.lax.stop_gradient(value)
    return value


def erf(value: Any) -> Any:
    """Return the error function, which the standard does not have and every library does."""
    return _special("erf", value)


def erfcx(value: Any) -> Any:
    """Return exp(x^2) erfc(x), likewise."""
    return _special("erfcx", value)


def _special(name: str, value: Any) -> Any:
    if array_api_compat.is_torch_array(value):
        return getattr(array_api_compat.array_namespace(value).special, name)(value)
    if array_api_compat.is_jax_array(value):
        from jax.scipy import special as of_jax

        return getattr(of_jax, name)(value)
    if array_api_compat.is_cupy_array(value):
        from cupyx.scipy import special as of_cupy

        return getattr(of_cupy, name)(value)
    from scipy import special

    if is_foreign(value):
        return namespace(value).asarray(getattr(special, name)(read(value)))
    return getattr(special, name)(value)
