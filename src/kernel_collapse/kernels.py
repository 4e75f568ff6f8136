r"""Kernels of infinitely wide fully connected networks: NNGP and NTK, of any depth.

==================  =====================================================================
on paper            in code
==================  =====================================================================
sigma_w^2           ``weight_variance``: W ~ N(0, sigma_w^2 / fan_in)
sigma_b^2           ``bias_variance``: b ~ N(0, sigma_b^2), in every hidden layer
L                   ``depth``: number of hidden layers
==================  =====================================================================

With kappa and kappa_c the dual of the activation (`kernel_collapse.activations`)::

    G^1 = sigma_w^2/d X X' + sigma_b^2,   Q^l = kappa(G^l),   G^{l+1} = sigma_w^2 Q^l + sigma_b^2
    T^1 = G^1,                            T^{l+1} = G^{l+1} + sigma_w^2 T^l * kappa_c(G^l)

All layers are elementwise once G^1 is known, so the Gram matrix is made tile by tile, each tile through all
layers: nothing of its size is held but the result, and of a square one only the upper half is computed and
mirrored, which makes it symmetric to the last bit.

`nngp` and `ntk` take arrays of NumPy, JAX, PyTorch and CuPy and give back the same kind on the same device; those of
JAX, PyTorch and CuPy keep their precision, NumPy's are raised to float64 unless `dtype` says otherwise. In float32 an
entry of a kernel of depth L errs by at most 1e-6 (L + 1) of the largest one, but for the NTK of ReLU: there the angle
of nearly collinear rows is lost below 3e-4, which is as much of the entry. (The same loss, 1e-8 in float64, is what
libraries other than NumPy have, for which no pair is looked at by itself.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import array_api_compat
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from kernel_collapse import _arrays, _validate, activations
from kernel_collapse.activations import Activation, ActivationLike

__all__ = ["nngp", "ntk", "ntk_published"]

#: Side of a tile: its few temporaries of 8 * TILE**2 bytes stay in the cache.
TILE = 256

#: Pairs with det below this share of q1 q2 take the determinant from the rows: above it, the subtraction
#: q1 q2 - c^2 keeps at least half of the digits.
NEARLY_COLLINEAR = {np.dtype(np.float64): 1e-8, np.dtype(np.float32): 3e-4}


class Layers(NamedTuple):
    """What a kernel needs to know of the network."""

    activation: Activation
    depth: int
    weight_variance: float
    bias_variance: float


def nngp(
    x: ArrayLike,
    x_other: ArrayLike | None = None,
    *,
    activation: ActivationLike = "erf",
    depth: int = 1,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
    kind: Literal["features", "output"] = "features",
    dtype: str | None = None,
) -> Float[Any, "n m"]:
    r"""Return the kernel of a wide network at initialisation (neural network Gaussian process).

    Parameters
    ----------
    x : array_like, shape (n, d)
        Inputs, one sample a row.
    x_other : array_like, shape (m, d), optional
        Inputs of the columns; `x` itself by default.
    activation : str, Activation or callable
        A name (`kernel_collapse.activations` lists them), an `Activation`, or an elementwise function.
    depth : int
        Number of hidden layers L, at most 10,000; the "two-layer network" of the literature is depth 1.
    weight_variance, bias_variance : float
        Prior variances: weights N(0, weight_variance / fan_in), biases N(0, bias_variance).
    kind : {"features", "output"}
        "features": Q^L = E[phi phi'] of the last hidden layer, whose collapse is in question.
        "output": the kernel of the layer after it, weight_variance Q^L + bias_variance.
    dtype : {"float64", "float32"}, optional
        Precision of arithmetic and result. By default float64 for NumPy, and that of `x` for other libraries.

    Returns
    -------
    array, shape (n, m)
        The Gram matrix, an array of the library that `x` came from; symmetric to the last bit without `x_other`.

    Raises
    ------
    ValueError
        If an input is not finite, not two-dimensional, `x` and `x_other` are arrays of two kinds, or a parameter is
        out of its range.

    References
    ----------
    Neal (1996), "Bayesian Learning for Neural Networks"; Lee et al. (2018), "Deep neural networks as Gaussian
    processes", arXiv 1711.00165.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.nngp([[1.0, 0.0], [0.0, 2.0]], activation="relu").round(4)
    array([[0.25  , 0.1592],
           [0.1592, 1.    ]])
    """
    _validate.choice(kind, ("features", "output"), "kind")
    layers = layers_of(activation, depth, weight_variance, bias_variance)
    gram = _evaluate(x, x_other, layers, tangent=False, dtype=dtype)
    return gram if kind == "features" else gram * layers.weight_variance + layers.bias_variance


def ntk(
    x: ArrayLike,
    x_other: ArrayLike | None = None,
    *,
    activation: ActivationLike = "erf",
    depth: int = 1,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
    dtype: str | None = None,
) -> Float[Any, "n m"]:
    r"""Return the neural tangent kernel T^{L+1} of the whole network (NTK parameterisation).

    The readout layer is counted with its own weights and bias, as in MATHS: T^{L+1} = G^{L+1} + sigma_w^2
    T^L * kappa_c(G^L) with G^{L+1} = sigma_w^2 Q^L + sigma_b^2. Subtract `bias_variance` for a readout
    without bias.

    Parameters
    ----------
    x, x_other, activation, depth, weight_variance, bias_variance, dtype
        As for `nngp`.

    Returns
    -------
    array, shape (n, m)
        The Gram matrix, an array of the library that `x` came from; symmetric to the last bit without `x_other`.
        The relative error of NumPy's is a few units of round-off, next to the diagonal too (for ReLU, whose
        derivative kernel has a square-root singularity there, the angle of nearly collinear rows is taken from the
        rows); see the module for other libraries.

    Raises
    ------
    ValueError
        As for `nngp`.

    References
    ----------
    Jacot, Gabriel and Hongler (2018), "Neural tangent kernel", arXiv 1806.07572.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.ntk([[1.0, 0.0], [0.0, 2.0]], activation="relu").round(4)
    array([[0.5   , 0.1592],
           [0.1592, 2.    ]])
    """
    layers = layers_of(activation, depth, weight_variance, bias_variance)
    return _evaluate(x, x_other, layers, tangent=True, dtype=dtype)


def ntk_published(x: ArrayLike) -> Float[np.ndarray, "n n"]:
    r"""Return what the published code computes as the NTK of erf at depth 1; wrong, for comparison only.

    Where the derivative kernel needs sqrt(D_i D_j - 4 G_ij^2), D = 1 + 2 diag G, that code takes the inner
    product D'D in place of the outer product D D'. The derivative kernel then falls like 1/sqrt(n) and the
    result is almost the NNGP.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Inputs, one sample a row; the value of each entry depends on all of them.

    Returns
    -------
    ndarray, shape (n, n)
        The Gram matrix; not the NTK of any network.

    References
    ----------
    Code of Kothapalli and Tirer (2025), arXiv 2406.02105, commit 1037b99.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.kernels.ntk_published([[1.0], [-1.0]]).round(4) - kc.ntk([[1.0], [-1.0]]).round(4)
    array([[-0.2292,  0.2292],
           [ 0.2292, -0.2292]])
    """
    clean = _validate.matrix(x, "x", numpy=True)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        gram = clean @ clean.T / clean.shape[1]
        scale = 1.0 + 2.0 * np.diag(gram)
        tangent = gram * ((4.0 / np.pi) / np.sqrt(scale @ scale - 4.0 * gram**2))
    require_finite(np.isfinite(tangent).all())
    return nngp(clean) + tangent


def layers_of(activation: ActivationLike, depth: int, weight_variance: float, bias_variance: float) -> Layers:
    return Layers(
        activations.get(activation),
        _validate.count(depth, "depth", most=_validate.MOST_LAYERS),
        _validate.positive(weight_variance, "weight_variance"),
        _validate.positive(bias_variance, "bias_variance", zero_allowed=True),
    )


def _evaluate(
    x: ArrayLike, x_other: ArrayLike | None, layers: Layers, *, tangent: bool, dtype: str | None
) -> Float[Any, "n m"]:
    rows, columns = _validate.matrix(x, "x", dtype=dtype), None
    if x_other is not None:
        rows, columns = _validate.rows(x, x_other, dtype=dtype)
    whole = _tiled if isinstance(rows, np.ndarray) else _whole
    return whole(rows, columns, layers, tangent=tangent)


def _tiled(
    x: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"] | None, layers: Layers, *, tangent: bool
) -> Float[np.ndarray, "n m"]:
    """Return the Gram matrix of NumPy arrays, made tile by tile."""
    symmetric = other is None
    q = variances(x, layers)
    if other is None:
        other, q_other = x, q
    else:
        q_other = variances(other, layers)
    _validate.fits(
        len(x) * len(other),
        f"the Gram matrix of {len(x)} by {len(other)} samples",
        "use streamed_nc1 or sampled_nc1",
    )
    gram = np.empty((len(x), len(other)), dtype=x.dtype)
    for top in range(0, len(x), TILE):
        rows = slice(top, min(top + TILE, len(x)))
        for left in range(top if symmetric else 0, len(other), TILE):
            columns = slice(left, min(left + TILE, len(other)))
            features, theta = tile(
                x[rows],
                other[columns],
                [v[rows] for v in q],
                [v[columns] for v in q_other],
                layers,
                tangent=tangent,
            )
            entries = theta if tangent else features
            require_finite(np.isfinite(entries).all())
            if symmetric and top == left:
                entries = np.triu(entries) + np.triu(entries, 1).T
            gram[rows, columns] = entries
            if symmetric and top != left:
                gram[columns, rows] = entries.T
    return gram


def _whole(
    x: Float[Any, "n d"], other: Float[Any, "m d"] | None, layers: Layers, *, tangent: bool
) -> Float[Any, "n m"]:
    """Return the Gram matrix of arrays of another library, which may be compiled or differentiated: in one piece."""
    xp = _arrays.namespace(x)
    q = variances(x, layers)
    if other is not None:
        features, theta = tile(x, other, q, variances(other, layers), layers, tangent=tangent)
        gram = theta if tangent else features
    else:
        features, theta = tile(x, x, q, q, layers, tangent=tangent, diagonal=True)
        gram = theta if tangent else features
        gram = xp.triu(gram) + xp.permute_dims(xp.triu(gram, k=1), (1, 0))
    if not _arrays.traced(gram):
        require_finite(xp.all(xp.isfinite(gram)))
    return gram


def require_finite(finite: Any) -> None:
    if not bool(finite):
        raise ValueError(
            "the kernel is not finite: its entries pass the largest number of their precision, expected smaller ones; "
            "scale x, weight_variance or depth down."
        )


@np.errstate(over="ignore", invalid="ignore")
def variances(x: Float[Any, "n d"], layers: Layers) -> list[Float[Any, " n"]]:
    """Return diag G^1..G^L, the variance of each sample's pre-activations in every layer."""
    activation, depth, weight_variance, bias_variance = layers
    xp = _arrays.namespace(x)
    q = [xp.sum(x * x, axis=1) * (weight_variance / x.shape[1]) + bias_variance]
    for _ in range(depth - 1):
        kappa = activation.kappa(q[-1], q[-1], q[-1], xp.zeros_like(q[-1]))
        q.append(weight_variance * kappa + bias_variance)
    return q


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is refused by whoever asked
def tile(
    x: Float[Any, "r d"],
    other: Float[Any, "s d"],
    q: Sequence[Float[Any, " r"]],
    q_other: Sequence[Float[Any, " s"]],
    layers: Layers,
    *,
    tangent: bool,
    diagonal: bool = False,
) -> tuple[Float[Any, "r s"], Any]:
    """Return a block of Q^L, and of T^{L+1} if `tangent`.

    `diagonal` says that the rows are the columns: next to themselves they are exactly collinear. Of NumPy's arrays
    every pair that is nearly so is found and looked at by itself instead.
    """
    activation, depth, weight_variance, bias_variance = layers
    xp = _arrays.namespace(x)
    gram = (x @ xp.permute_dims(other, (1, 0))) * (weight_variance / x.shape[1]) + bias_variance
    near = itself = equal = None
    if isinstance(x, np.ndarray):
        if activation.needs_determinant:
            near = _Near(x, other, gram, q[0], q_other[0], layers)
        if depth > 1:
            equal = _equal_rows(x, other, gram, q[0], q_other[0])
    elif diagonal:
        itself = xp.eye(x.shape[0], dtype=xp.bool, device=array_api_compat.device(x))
    theta = gram
    for layer in range(depth):
        q1, q2 = q[layer][:, None], q_other[layer][None, :]
        # The covariance of a sample with itself is its variance: left to itself, its round-off would grow from layer to
        # layer where the network is chaotic.
        if equal is not None:
            gram[equal] = q[layer][equal[0]]
        elif itself is not None:
            gram = xp.where(itself, q1, gram)
        det = activations.determinant(q1, q2, gram)
        if near is not None:
            det[near.index] = near.det
        elif itself is not None:
            det = xp.where(itself, xp.zeros_like(det), det)
        if tangent:
            kappa, slopes = activation.kappa_and_slopes(q1, q2, gram, det)
            theta = weight_variance * (theta * slopes + kappa) + bias_variance
        else:
            kappa = activation.kappa(q1, q2, gram, det)
        if layer == depth - 1:
            return kappa, theta if tangent else None
        if near is not None:
            near.advance(q[layer], q_other[layer], gram)
        gram = weight_variance * kappa + bias_variance
    raise AssertionError("depth is at least 1")


def _equal_rows(
    x: Float[np.ndarray, "r d"],
    other: Float[np.ndarray, "s d"],
    gram: Float[np.ndarray, "r s"],
    q: Float[np.ndarray, " r"],
    q_other: Float[np.ndarray, " s"],
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return the pairs of rows that are the same numbers: the diagonal, and duplicates."""
    slack = 64.0 * np.sqrt(x.shape[1]) * np.finfo(gram.dtype).eps
    like = np.abs(gram - q[:, None]) <= slack * q[:, None]
    like &= np.abs(gram - q_other) <= slack * q_other
    i, j = np.nonzero(like)
    same = np.empty(len(i), dtype=bool)
    chunk = max(1, TILE**2 // x.shape[1])
    for start in range(0, len(i), chunk):
        part = slice(start, start + chunk)
        same[part] = (x[i[part]] == other[j[part]]).all(axis=1)
    return i[same], j[same]


class _Near:
    """The nearly collinear pairs of a tile, with the determinant of each carried from layer to layer."""

    def __init__(
        self,
        x: Float[np.ndarray, "r d"],
        other: Float[np.ndarray, "s d"],
        gram: Float[np.ndarray, "r s"],
        q: Float[np.ndarray, " r"],
        q_other: Float[np.ndarray, " s"],
        layers: Layers,
    ) -> None:
        self.layers = layers
        product = np.multiply.outer(q, q_other)
        self.index = np.nonzero(product - gram * gram < NEARLY_COLLINEAR[product.dtype] * product)
        i, j = self.index
        self.det = np.empty(len(i), dtype=x.dtype)
        a, b = (_unit(rows, layers) for rows in (x, other))
        chunk = max(1, TILE**2 // a.shape[1])
        for start in range(0, len(i), chunk):
            part = slice(start, start + chunk)
            self.det[part] = q[i[part]] * q_other[j[part]] * _sine(a[i[part]], b[j[part]]) ** 2

    def advance(
        self, q: Float[np.ndarray, " r"], q_other: Float[np.ndarray, " s"], gram: Float[np.ndarray, "r s"]
    ) -> None:
        """Carry the determinants through one layer."""
        i, j = self.index
        self.det = _next_determinant(self.det, q[i], q_other[j], gram[self.index], self.layers)


def _next_determinant(
    det: Float[np.ndarray, " m"],
    q1: Float[np.ndarray, " m"],
    q2: Float[np.ndarray, " m"],
    c: Float[np.ndarray, " m"],
    layers: Layers,
) -> Float[np.ndarray, " m"]:
    """Carry the determinants of pairs through one layer: kappa, then the weights, then the bias.

    Adding b to all three entries of [[q1, c], [c, q2]] adds b (q1 + q2 - 2c) to its determinant, and
    q1 + q2 - 2c = (sqrt q1 - sqrt q2)^2 + 2 det / (sqrt(q1 q2) + c) for c > 0 does not cancel.
    """
    activation, _, weight_variance, bias_variance = layers
    carried = activation.kappa_det(q1, q2, c, det) * weight_variance**2
    if bias_variance > 0:
        zero = np.zeros_like(q1)
        k1 = weight_variance * activation.kappa(q1, q1, q1, zero)
        k2 = weight_variance * activation.kappa(q2, q2, q2, zero)
        k12 = weight_variance * activation.kappa(q1, q2, c, det)
        apart = (np.sqrt(k1) - np.sqrt(k2)) ** 2 + 2.0 * carried / (np.sqrt(k1 * k2) + np.maximum(k12, 0.0))
        carried = carried + bias_variance * np.where(k12 > 0, apart, k1 + k2 - 2.0 * k12)
    return carried


def _unit(x: Float[np.ndarray, "n d"], layers: Layers) -> Float[np.ndarray, "n e"]:
    """Return rows of unit length whose cosines are the correlations of G^1; a zero row stays zero."""
    if layers.bias_variance > 0:
        bias = np.full((len(x), 1), np.sqrt(layers.bias_variance * x.shape[1] / layers.weight_variance))
        x = np.hstack([x, bias])
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def _sine(a: Float[np.ndarray, "m e"], b: Float[np.ndarray, "m e"]) -> Float[np.ndarray, " m"]:
    """Return the sine of the angle between unit vectors, |a - b| |a + b| / 2 (Kahan).

    It is exact for duplicates and keeps its digits however small the angle.
    """
    return np.linalg.norm(a - b, axis=1) * np.linalg.norm(a + b, axis=1) / 2.0


def of_pairs(
    left: Float[np.ndarray, "m d"], right: Float[np.ndarray, "m d"], layers: Layers, *, tangent: bool
) -> Float[np.ndarray, " m"]:
    """Return the kernel of each row of `left` with the same row of `right`: Q^L, or T^{L+1} if `tangent`."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = _of_pairs(left, right, layers, tangent)
    require_finite(np.isfinite(values).all())
    return values


def _of_pairs(
    left: Float[np.ndarray, "m d"], right: Float[np.ndarray, "m d"], layers: Layers, tangent: bool
) -> Float[np.ndarray, " m"]:
    activation, depth, weight_variance, bias_variance = layers
    q, q_other = variances(left, layers), variances(right, layers)
    c = np.einsum("ij,ij->i", left, right) * (weight_variance / left.shape[1]) + bias_variance
    det = None
    if activation.needs_determinant:
        det = q[0] * q_other[0] * _sine(_unit(left, layers), _unit(right, layers)) ** 2
    equal = (left == right).all(axis=1)  # of a sample with itself, as in a tile
    theta = c
    for layer in range(depth):
        q1, q2 = q[layer], q_other[layer]
        c = np.where(equal, q1, c)
        kappa, slopes = activation.kappa_and_slopes(q1, q2, c, det)
        theta = weight_variance * (theta * slopes + kappa) + bias_variance
        if det is not None and layer < depth - 1:
            det = _next_determinant(det, q1, q2, c, layers)
        c = weight_variance * kappa + bias_variance
    return theta if tangent else kappa
