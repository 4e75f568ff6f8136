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
from jaxtyping import Float
from numpy.typing import ArrayLike

from kernel_collapse import _arrays, _collinear, _validate, activations
from kernel_collapse.activations import Activation, ActivationLike
from kernel_collapse.activations._base import Array, in_units

__all__ = ["nngp", "ntk", "ntk_published"]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__


#: Side of a tile: its few temporaries of 8 * TILE**2 bytes stay in the cache.
TILE = 256


class Layers(NamedTuple):
    """What a kernel needs to know of the network."""

    activation: Activation
    depth: int
    weight_variance: float
    bias_variance: float

    def bias(self, dim: int) -> float:
        """Return the input that a bias is: beside `dim` others it adds `bias_variance` to all covariances."""
        return float(np.sqrt(self.bias_variance * dim / self.weight_variance))


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
            "the kernel is not finite: its entries, or products of two variances, pass the largest number of their "
            "precision, expected smaller ones; scale x, weight_variance or depth down."
        )


@np.errstate(over="ignore", invalid="ignore")
def variances(x: Float[Any, "n d"], layers: Layers) -> list[Float[Any, " n"]]:
    """Return diag G^1..G^L, the variance of each sample's pre-activations in every layer."""
    activation, depth, weight_variance, bias_variance = layers
    xp = _arrays.namespace(x)
    q = [xp.sum(x * x, axis=1) * (weight_variance / x.shape[1]) + bias_variance]
    known = not _arrays.traced(x)
    if known:
        require_finite(xp.all(xp.isfinite(q[0])))
        _require_resolved(
            q[0], xp.any(x != 0, axis=1) | (bias_variance > 0), "variance of a sample in layer 1"
        )

    def kappa(of: Float[Any, " n"]) -> Float[Any, " n"]:
        return activation.kappa(of, of, of, xp.zeros_like(of))

    for layer in range(2, depth + 1):
        q.append(weight_variance * kappa(q[-1]) + bias_variance)
        if known:
            require_finite(xp.all(xp.isfinite(q[-1])))
            _require_resolved(q[-1], q[-2] > 0, f"variance of a sample in layer {layer}")
    if known and bool(xp.any((q[-1] > 0) & (q[-1] < _least(x) ** 0.25))):  # a power of it may be lost
        _require_resolved(kappa(q[-1]), q[-1] > 0, "kernel of a sample with itself")
    return q


def _least(values: Array) -> float:
    """Return the least variance beside which round-off is still a number of full precision."""
    limits = _arrays.namespace(values).finfo(values.dtype)
    return float(limits.smallest_normal) / float(limits.eps)


def _require_resolved(values: Float[Any, " n"], expected: Any, what: str) -> None:
    """Refuse what has lost its digits, as numbers do next to the smallest one, where more than 0 is expected."""
    xp, least = _arrays.namespace(values), _least(values)
    lost = (values < least) & expected
    if bool(xp.any(lost)):
        raise ValueError(
            f"the {what} is {_arrays.number(xp.min(values[lost])):.3g}, expected at least {least:.3g}, for smaller "
            "numbers have fewer digits in their precision: scale x or weight_variance up, or set the row to zero."
        )


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
            near = _collinear.NearPairs(x, other, gram, q[0], q_other[0], layers.bias(x.shape[1]))
        if depth > 1:
            equal = _collinear.equal_rows(x, other, gram, q[0], q_other[0])
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
        kappa, slopes = _dual(activation, (q1, q2, gram), tangent, near, itself)
        if tangent:
            theta = weight_variance * (theta * slopes + kappa) + bias_variance
        if layer == depth - 1:
            return kappa, theta if tangent else None
        if near is not None:
            near.advance(activation, weight_variance, bias_variance, q[layer], q_other[layer], gram)
        gram = weight_variance * kappa + bias_variance
    raise AssertionError("depth is at least 1")


def _dual(
    activation: Activation,
    moments: tuple[Any, Any, Any],
    tangent: bool,
    near: _collinear.NearPairs | None = None,
    itself: Any = None,
    root: Any = None,
) -> tuple[Any, Any]:
    """Return kappa, and the slopes if `tangent`, with the determinant as well as it is known.

    Of variances whose products are no numbers, a homogeneous activation has its dual in other units, and any other
    looks for the angle itself.
    """
    (q1, q2, c), scales = in_units(*moments)
    p = activation.homogeneity
    det = None
    if p is None and _arrays.traced(moments[2]):  # no unit is known to be 1 then
        (q1, q2, c), scales = moments, None
    if scales is None or p is not None:
        if root is not None:
            det = root * root if scales is None else (root / scales[0] / scales[1]) ** 2
        else:
            det = activations.determinant(q1, q2, c)
            if near is not None:
                near.put_into(det, scales)
            elif _arrays.is_foreign(det):
                det = _without_round_off(det, q1 * q2, itself)
    else:
        (q1, q2, c), scales = moments, None
    if not tangent:
        kappa, slopes = activation.kappa(q1, q2, c, det), None
    else:
        kappa, slopes = activation.kappa_and_slopes(q1, q2, c, det)
    if scales is not None and p is not None:
        s, t = scales
        kappa = kappa * s ** float(p) * t ** float(p)
        slopes = None if slopes is None else slopes * s ** float(p - 1) * t ** float(p - 1)
    return kappa, slopes


def _without_round_off(det: Any, product: Any, itself: Any) -> Any:
    """Return determinants that are 0 where they are no more than the round-off of q1 q2 - c^2, as for equal rows.

    Of libraries other than NumPy no pair is looked at by itself, and the derivative of such an angle would be noise.
    """
    xp = _arrays.namespace(det)
    none = det <= 16.0 * float(xp.finfo(det.dtype).eps) * product
    none = none if itself is None else none | itself
    return xp.where(none, xp.zeros_like(det), det)


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
    root = None
    if activation.needs_determinant:
        bias = layers.bias(left.shape[1])
        angle = _collinear.sine(_collinear.unit(left, bias), _collinear.unit(right, bias))
        root = np.sqrt(q[0]) * np.sqrt(q_other[0]) * angle
    equal = (left == right).all(axis=1)  # of a sample with itself, as in a tile
    theta = c
    for layer in range(depth):
        q1, q2 = q[layer], q_other[layer]
        c = np.where(equal, q1, c)
        kappa, slopes = _dual(activation, (q1, q2, c), tangent, root=root)
        if tangent:
            theta = weight_variance * (theta * slopes + kappa) + bias_variance
        if root is not None and layer < depth - 1:
            root = _collinear.next_root(root, q1, q2, c, activation, weight_variance, bias_variance)
        c = weight_variance * kappa + bias_variance
    return theta if tangent else kappa
