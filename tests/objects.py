"""Objects that a user may give where numbers or labels are wanted, made of what is right.

Each maker takes the right value, as an array of NumPy's, and returns the object and what it is the same as: an array
(the answer must then be that of the array, or a refusal), or `REFUSED` where there is nothing that it could mean.
"""

import array
import warnings
from decimal import Decimal
from fractions import Fraction

import jax
import jax.experimental.sparse
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.sparse
import torch

import kernel_collapse as kc

#: No answer is right.
REFUSED = object()


class Half(float):
    """A subclass of float."""


class Stubborn:
    """Raises whatever is asked of it."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no\narray")

    def __repr__(self):
        raise RuntimeError("no text")

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    __hash__ = None


class Endless:
    """A sequence without a length."""

    def __iter__(self):
        while True:
            yield 0.0


def masked(v):
    mask = np.zeros(v.shape, dtype=bool)
    mask.flat[0] = True
    return np.ma.array(v, mask=mask)


def with_hole(hole):
    def make(v):
        objects = v.astype(object)
        objects.flat[0] = hole
        return objects, REFUSED

    return make


def as_matrix(v):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy would rather have nobody make one
        return np.asmatrix(v)


def frame(v):
    columns = v.reshape(-1, 1) if v.ndim < 2 else v.reshape(len(v), -1)
    return pd.DataFrame(columns, columns=[f"c{i}" for i in range(columns.shape[1])])


def nullable(v, hole=False):
    table = frame(v).astype("Float64")
    if hole:
        table.iloc[0, 0] = pd.NA
    return table


def narrowed(v, dtype):
    """The array, and its values as that precision has them."""
    tensor = torch.tensor(np.array(v, dtype=float)).to(dtype)
    return tensor, tensor.double().numpy()


def nested(v):
    return v.tolist(), v


def each(v, kind):
    return np.array([kind(float(e)) for e in v.ravel()], dtype=object).reshape(v.shape)


def ragged(v):
    rows = v.tolist()
    return [*rows[:-1], [1.0, 2.0, 3.0, 4.0, 5.0]] if v.ndim > 1 else [*rows[:-1], [1.0]]


def records(v):
    table = frame(v)
    return table.to_records(index=False)


def huge(v):
    values = v.astype(object)
    values.flat[0] = 10**400
    return values.tolist()


def large(v):
    values = v.astype(float)
    values.flat[-1] = float(2**70)
    exact = values.astype(object)
    exact.flat[-1] = 2**70
    return exact.tolist(), values


def rounded(v):
    """Whole numbers of which float64 rounds the last."""
    values = np.round(v).astype(np.int64)
    values.flat[-1] = 2**53 + 1
    return values


def one_hot(v):
    eye = np.eye(2)[np.arange(len(np.atleast_1d(v))) % 2]
    return eye, eye


def on_jax(v):
    with jax.enable_x64(True):
        return jnp.asarray(np.array(v, dtype=float))


def sparse_of_jax(v):
    with jax.enable_x64(True):
        return jax.experimental.sparse.BCOO.fromdense(on_jax(v))


def quantized(v):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch moves the function elsewhere
        return torch.quantize_per_tensor(torch.tensor(v, dtype=torch.float32), 0.1, 0, torch.qint8)


def dataset(v):
    return kc.data.gaussian_classes(n=8, dim=2)


#: Name, and the maker.
OBJECTS = {
    # Arrays that are what they look like.
    "list": nested,
    "tuple of lists": lambda v: (tuple(v.tolist()), v),
    "list of arrays": lambda v: (list(v), v),
    "float32": lambda v: (v.astype(np.float32), v.astype(np.float32).astype(float)),
    "float16": lambda v: (v.astype(np.float16), v.astype(np.float16).astype(float)),
    "long double": lambda v: (v.astype(np.longdouble), v.astype(float)),
    "int8": lambda v: (np.round(v).astype(np.int8), np.round(v).astype(np.int8).astype(float)),
    "uint64": lambda v: (np.abs(np.round(v)).astype(np.uint64), np.abs(np.round(v))),
    "bool": lambda v: (v > 0, (v > 0).astype(float)),
    "Fortran order": lambda v: (np.asfortranarray(v), v),
    "reversed view": lambda v: (v[::-1], v[::-1].copy()),
    "read-only": lambda v: (np.frombuffer(v.astype(float).tobytes()).reshape(v.shape), v),
    "big-endian": lambda v: (v.astype(">f8"), v.astype(float)),
    "object array": lambda v: (v.astype(object), v),
    "Fraction": lambda v: (each(v, Fraction), v),
    "Decimal": lambda v: (each(v, Decimal), v),
    "subclass of float": lambda v: (each(v, Half).tolist(), v),
    "numpy scalars": lambda v: (each(v, np.float64), v),
    "2**70": large,
    "matrix": lambda v: (as_matrix(v), np.atleast_2d(v)),
    "memoryview": lambda v: (memoryview(np.ascontiguousarray(v, dtype=float)), v),
    "array.array": lambda v: (array.array("d", v.ravel().tolist()), v.ravel()),
    "range": lambda v: (range(len(np.atleast_1d(v))), np.arange(len(np.atleast_1d(v)))),
    "DataFrame": lambda v: (frame(v), frame(v).to_numpy()),
    "DataFrame, nullable": lambda v: (nullable(v), frame(v).to_numpy()),
    "Series": lambda v: (pd.Series(v.ravel()), v.ravel()),
    "Series, nullable": lambda v: (pd.Series(v.ravel()).astype("Float64"), v.ravel()),
    "Series, Arrow": lambda v: (pd.Series(v.ravel(), dtype="double[pyarrow]"), v.ravel()),
    "Index": lambda v: (pd.Index(v.ravel()), v.ravel()),
    "(n, 1)": lambda v: (v.reshape(-1, 1), v.reshape(-1, 1)),
    "(1, n)": lambda v: (v.reshape(1, -1), v.reshape(1, -1)),
    "one-hot": one_hot,
    "0-d": lambda v: (np.array(1.5), np.array(1.5)),
    "3-d": lambda v: (v[None, ..., None], v[None, ..., None]),
    # Of other libraries.
    "tensor": lambda v: (torch.tensor(v.astype(float)), v),
    "tensor with derivatives": lambda v: (torch.tensor(v.astype(float), requires_grad=True), v),
    "Parameter": lambda v: (torch.nn.Parameter(torch.tensor(v.astype(float))), v),
    "tensor of float32": lambda v: narrowed(v, torch.float32),
    "tensor of float16": lambda v: narrowed(v, torch.float16),
    "tensor of bfloat16": lambda v: narrowed(v, torch.bfloat16),
    "tensor of int64": lambda v: narrowed(np.round(v), torch.int64),
    "tensor of bool": lambda v: narrowed(v > 0, torch.bool),
    "negated view of a tensor": lambda v: (torch._neg_view(torch.tensor(v.astype(float))), -v.astype(float)),
    "JAX": lambda v: (on_jax(v), v),
    "JAX bfloat16": lambda v: (
        jnp.asarray(v, dtype=jnp.bfloat16),
        np.asarray(jnp.asarray(v, dtype=jnp.bfloat16)).astype(float),
    ),
    # What has no values, not all of them, or other ones.
    "None inside": with_hole(None),
    "NaN inside": with_hole(float("nan")),
    "pd.NA inside": with_hole(pd.NA),
    "NaT inside": with_hole(pd.NaT),
    "Decimal NaN inside": with_hole(Decimal("nan")),
    "Decimal sNaN inside": with_hole(Decimal("snan")),
    "masked array": lambda v: (masked(v), REFUSED),
    "list of masked arrays": lambda v: ([masked(v)] * 2, REFUSED),
    "list with masked": lambda v: ([np.ma.masked, *v.tolist()[1:]], REFUSED),
    "DataFrame with NA": lambda v: (nullable(v, hole=True), REFUSED),
    "Series with NA": lambda v: (pd.Series([None, *v.ravel()[1:]], dtype="Float64"), REFUSED),
    "10**400": lambda v: (huge(v), REFUSED),
    "2**53 + 1": lambda v: (rounded(v), REFUSED),
    "2**53 + 1 in a list": lambda v: (rounded(v).tolist(), REFUSED),
    "2**53 + 1 beside 0.5": lambda v: ([*v.tolist()[:-1], rounded(v).tolist()[-1]], REFUSED),
    "2**53 + 1 in a DataFrame": lambda v: (frame(rounded(v)).assign(c0=0.5, last=2**53 + 1), REFUSED),
    "2**53 + 1 in a Series": lambda v: (pd.Series(rounded(v).ravel(), dtype="Int64"), REFUSED),
    "text inside": with_hole("1.5"),
    "complex": lambda v: (v + 1j, REFUSED),
    "complex object": with_hole(1j),
    "datetime64": lambda v: (np.round(v).astype(np.int64).astype("M8[ns]"), REFUSED),
    "timedelta64": lambda v: (np.round(v).astype(np.int64).astype("m8[ns]"), REFUSED),
    "text": lambda v: (v.astype(str), REFUSED),
    "bytes": lambda v: (v.astype("S"), REFUSED),
    "DataFrame of text": lambda v: (frame(v).astype(str), REFUSED),
    "Categorical": lambda v: (pd.Categorical(v.ravel()), v.ravel()),
    "records": lambda v: (records(v), REFUSED),
    "structured": lambda v: (np.zeros(len(np.atleast_1d(v)), dtype=[("a", float)]), REFUSED),
    "ragged": lambda v: (ragged(v), REFUSED),
    "empty": lambda v: (np.empty((0, *v.shape[1:])), REFUSED),
    "empty list": lambda v: ([], REFUSED),
    "None": lambda v: (None, REFUSED),
    "str": lambda v: ("abab", REFUSED),
    "bytes alone": lambda v: (b"abab", REFUSED),
    "bytearray": lambda v: (bytearray(b"abab"), REFUSED),
    "dict": lambda v: (dict(enumerate(v.tolist())), REFUSED),
    "list of dicts": lambda v: ([{"a": 1.0}] * len(np.atleast_1d(v)), REFUSED),
    "set": lambda v: (set(v.ravel().tolist()), REFUSED),
    "frozenset": lambda v: (frozenset(v.ravel().tolist()), REFUSED),
    "dict keys": lambda v: (dict(enumerate(v.ravel())).keys(), REFUSED),
    "generator": lambda v: ((row for row in v.tolist()), REFUSED),
    "iterator": lambda v: (iter(v.tolist()), REFUSED),
    "endless": lambda v: (Endless(), REFUSED),
    "sparse matrix": lambda v: (scipy.sparse.csr_matrix(np.atleast_2d(v)), REFUSED),
    "sparse array": lambda v: (scipy.sparse.coo_array(np.atleast_2d(v)), REFUSED),
    "sparse tensor": lambda v: (torch.tensor(v.astype(float)).to_sparse(), REFUSED),
    "JAX sparse": lambda v: (sparse_of_jax(v), REFUSED),
    "meta tensor": lambda v: (torch.zeros(v.shape, dtype=torch.float64, device="meta"), REFUSED),
    "quantized tensor": lambda v: (quantized(v), REFUSED),
    "list of tensors": lambda v: ([torch.tensor(row, dtype=torch.float64) for row in v], v),
    "JAX key": lambda v: (jax.random.key(0), REFUSED),
    "ShapeDtypeStruct": lambda v: (jax.ShapeDtypeStruct(v.shape, jnp.float32), REFUSED),
    "Dataset": lambda v: (dataset(v), REFUSED),
    "class": lambda v: (np.ndarray, REFUSED),
    "DataFrame class": lambda v: (pd.DataFrame, REFUSED),
    "function": lambda v: (len, REFUSED),
    "module": lambda v: (np, REFUSED),
    "object": lambda v: (object(), REFUSED),
    "stubborn": lambda v: (Stubborn(), REFUSED),
    "list of stubborn": lambda v: ([Stubborn()] * len(np.atleast_1d(v)), REFUSED),
    "True": lambda v: (True, REFUSED),
    "number": lambda v: (3, REFUSED),
    "huge number": lambda v: (10**5000, REFUSED),
    "NaN": lambda v: (float("nan"), REFUSED),
    "Ellipsis": lambda v: (..., REFUSED),
    "slice": lambda v: (slice(3), REFUSED),
}
