"""Arrays of NumPy, JAX, PyTorch and CuPy, by the names of the array API standard.

What is written against `namespace` gives back the kind of array that it was given, on its device. NumPy is the
namespace of plain numbers and lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import array_api_compat
import numpy as np

from kernel_collapse._input_error import InputError

__all__ = [
    "Rounded",
    "angle_of",
    "constant",
    "eps_of",
    "erf",
    "erfcx",
    "in_reach",
    "is_foreign",
    "kind",
    "lengths",
    "like",
    "namespace",
    "norm",
    "number",
    "read",
    "rows",
    "same_kind",
    "segment_sum",
    "shifted",
    "sqrt",
    "squares",
    "staged",
    "traced",
]

_NUMPY = (np.ndarray, np.generic, float, int)


@cache
def _of_numpy() -> Any:
    """Return NumPy by the names of the standard, which takes as long to import as all of NumPy: when it is needed."""
    from array_api_compat import numpy

    return numpy


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
    return _of_numpy()


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


def staged(value: Any) -> bool:
    """Tell whether what is computed of an array is not known yet: of a traced one, and of any under jax.jit."""
    if not array_api_compat.is_jax_array(value):
        return False
    return traced(value) or traced(namespace(value).zeros(()))


def read(value: Any) -> np.ndarray:
    """Return the values of an array of any library as one of NumPy's; those that NumPy does not know in float32."""
    if array_api_compat.is_torch_array(value):
        plain = value.detach().cpu().resolve_conj().resolve_neg()
        if plain.is_floating_point() and plain.dtype.itemsize < 4:
            plain = plain.float()
        return plain.numpy()
    if array_api_compat.is_jax_array(value):
        found = np.asarray(value)
        narrow = found.dtype.kind == "V" and "float" in found.dtype.name
        return found.astype(np.float32) if narrow else found
    if array_api_compat.is_cupy_array(value):
        return value.get()
    return np.from_dlpack(value) if hasattr(value, "__dlpack__") else np.asarray(value)


def number(value: Any) -> float:
    """Return an array of no dimension as a number, apart from any record of its derivatives."""
    return float(value.detach() if array_api_compat.is_torch_array(value) else value)


def same_kind(first: Any, what_first: str, second: Any, what_second: str) -> None:
    """Refuse arrays of two libraries, devices or precisions.

    An array that is traced is on no device yet: it goes where the other one is.

    Raises
    ------
    ValueError
        If the two do not go together.
    """
    if not (is_foreign(first) or is_foreign(second)):
        return
    readings: list[Callable[[Any], str]] = [kind, lambda array: str(array.dtype).rpartition(".")[2]]
    if not (traced(first) or traced(second)):
        readings.insert(1, lambda array: str(array_api_compat.device(array)))
    for reading in readings:
        one, other = reading(first), reading(second)
        if one != other:
            raise InputError(
                what_first,
                f"an array of {one} and {what_second} of {other}",
                "arrays of one library, device and precision",
                "convert one of them",
            )


def sqrt(xp: Any, value: Any) -> Any:
    """Return the square root of what is not negative, with derivative 0 rather than infinity at 0.

    NumPy takes no derivatives and is spared the two selections.
    """
    if xp is _of_numpy():
        return np.sqrt(value)
    positive = value > 0
    one, zero = xp.ones_like(value), xp.zeros_like(value)
    return xp.where(positive, xp.sqrt(xp.where(positive, value, one)), zero)


def angle_of(xp: Any, y: Any, x: Any) -> Any:
    """Return atan2(y, x), which is 0 at the origin, with derivative 0 there rather than none.

    NumPy takes no derivatives and is spared the selections.
    """
    if xp is _of_numpy():
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


@dataclass(frozen=True)
class Rounded:
    """A matrix of float64 whose entries are known to no more than that eps, in the place of one of lower precision."""

    values: np.ndarray
    eps: float


def eps_of(value: Any) -> float:
    """Return the relative spacing of the numbers that an array was given in, float64 for whole numbers.

    What is computed in float64 from an array of float32 is no more precise than float32, be it a table, or in rows of a
    list. Nor is an array of float64 whose entries are all numbers of float32, but where 16 binary digits write them
    all, as those of data on a grid.
    """
    double, single = float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps)
    if isinstance(value, Rounded):
        return value.eps
    if is_foreign(value):
        if not namespace(value).isdtype(value.dtype, "real floating"):
            return double
        eps = float(namespace(value).finfo(value.dtype).eps)
        return eps if eps > double or traced(value) or not _is_single(read(value)) else single
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    eps = max((_spacing(dtype) for dtype in (array.dtype, *_precisions(value, array))), default=double)
    if eps > double or not array.ndim or array.dtype.kind not in ("f", "O"):
        return eps
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):  # what is no number is NaN, or refused, where it is read
            return double
    return single if array.dtype == np.float64 and _is_single(array) else double


def _precisions(value: Any, array: np.ndarray) -> Iterator[Any]:
    """Yield the types of the numbers that NumPy has made an array of: of a table's columns, and of what lists hold."""
    if array.dtype == object:
        yield from {
            type(entry): entry.dtype for entry in array.flat if isinstance(entry, np.generic)
        }.values()
    if isinstance(value, list | tuple):
        kinds = set(map(type, value))
        if not kinds <= {float, int, bool}:
            for entry in value:
                if isinstance(entry, list | tuple):
                    yield from _precisions(entry, np.empty(0))
                elif (dtype := getattr(entry, "dtype", None)) is not None:
                    yield dtype
    elif hasattr(value, "columns") and (types := getattr(value, "dtypes", None)) is not None:
        yield from types


@cache
def _spacing(dtype: Any) -> float:
    """Return the eps of a type of floating-point numbers, of NumPy, pandas or polars; that of float64 for any other.

    No number of theirs is known better: it is computed with in float64.
    """
    double = float(np.finfo(np.float64).eps)
    dtype = getattr(dtype, "numpy_dtype", dtype)
    if not isinstance(dtype, np.dtype):
        name = str(dtype).lower()
        if name not in ("float16", "float32"):
            return double
        dtype = np.dtype(name)
    if dtype.kind == "f":
        return max(float(np.finfo(dtype).eps), double)
    if "float" not in dtype.name:
        return double
    step = 1.0  # narrow floats that are not NumPy's own
    while step > double and float(np.asarray(1.0 + 0.5 * step).astype(dtype).astype(np.float64)) != 1.0:
        step *= 0.5
    return step


def _is_single(array: np.ndarray) -> bool:
    """Tell whether numbers of float64 are numbers of float32, and of no fewer digits than those have."""
    few = True
    for part in (array[:1], array):  # the first row tells most often
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            single = np.ascontiguousarray(part, dtype=np.float32)
            if not np.array_equal(single, part):
                return False
        few = not (single.view(np.int32) & 0xFF).any()
    return not few


def like(values: np.ndarray, array: Any) -> Any:
    """Return NumPy's values as an array of the kind, precision and device of another."""
    if not is_foreign(array):
        return values
    xp = namespace(array)
    return xp.asarray(values, dtype=array.dtype, device=array_api_compat.device(array))


def rows(array: Any, numbers: np.ndarray) -> Any:
    """Return the rows of an array of those numbers, one after another."""
    if not is_foreign(array):
        return array[numbers]
    xp = namespace(array)
    return xp.take(array, xp.asarray(numbers, device=array_api_compat.device(array)), axis=0)


def squares(array: Any) -> Any:
    """Return the squared length of each row."""
    if not is_foreign(array):
        return np.einsum("ij,ij->i", array, array)
    return namespace(array).sum(array * array, axis=1)


def in_reach(values: Any) -> tuple[Any, int]:
    """Return the values times 2^-e, and e, so that eighth powers of them neither overflow nor vanish.

    e is even, and 0 where that holds already; else the largest value becomes one between 1/2 and 2. A power of two
    rounds nothing, so that what does not change with the scale of the values does not change at all.
    """
    if staged(values):
        return values, 0
    xp = namespace(values)
    largest = max(number(xp.max(values)), -number(xp.min(values)))
    exponent = int(np.frexp(largest)[1])
    if largest == 0.0 or abs(exponent) <= np.frexp(float(xp.finfo(values.dtype).max))[1] // 10:
        return values, 0
    exponent += exponent % 2
    return shifted(values, -exponent), exponent


def shifted(values: Any, exponent: int) -> Any:
    """Return the values times 2^exponent, which may itself be no number of their precision."""
    if not exponent:
        return values
    if not is_foreign(values):
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(values, exponent)
    half = exponent // 2
    return values * 2.0**half * 2.0 ** (exponent - half)


def lengths(array: Any) -> Any:
    """Return the length of each row, whose squares neither overflow nor vanish."""
    near, exponent = in_reach(array)
    return shifted(namespace(array).sqrt(squares(near)), exponent)


def norm(values: Any) -> Any:
    """Return the Frobenius norm, whose squares neither overflow nor vanish."""
    xp = namespace(values)
    largest = xp.max(xp.abs(values))
    safe = xp.where(largest > 0, largest, xp.ones_like(largest))
    return safe * sqrt(xp, xp.sum((values / safe) ** 2))


def segment_sum(values: Any, codes: np.ndarray, count: int) -> Any:
    """Return the sums of the rows of an array that share a code, 0 to count - 1; a row a code."""
    if not is_foreign(values):
        if values.ndim == 1:
            return np.bincount(codes, weights=values, minlength=count)
        from scipy.sparse import csr_array

        rows = np.arange(len(codes))
        return csr_array((np.ones(len(codes)), (codes, rows)), shape=(count, len(codes))) @ values
    xp = namespace(values)
    where = xp.asarray(codes, device=array_api_compat.device(values))
    zeros = xp.zeros((count, *values.shape[1:]), dtype=values.dtype, device=array_api_compat.device(values))
    if array_api_compat.is_torch_array(values):
        return zeros.index_add(0, where, values)
    if array_api_compat.is_jax_array(values):
        return zeros.at[where].add(values)
    membership = np.zeros((count, len(codes)))  # the standard has no sum by segments
    membership[codes, np.arange(len(codes))] = 1.0
    columns = values if values.ndim == 2 else values[:, None]
    sums = like(membership, values) @ columns
    return sums if values.ndim == 2 else sums[:, 0]
