"""The kernels of wide networks as functions: each makes a kernel and calls it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.activations import ActivationLike
from kernel_collapse.kernels._network import NNGP, NTK
from kernel_collapse.kernels._wide import NOT_FINITE

__all__ = ["nngp", "ntk", "ntk_published"]


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
        "features": Q^L = E[phi phi'] of the last hidden layer, which is the layer whose collapse is measured.
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
    kernel = NNGP(
        activation,
        depth=depth,
        weight_variance=weight_variance,
        bias_variance=bias_variance,
        kind=kind,
        dtype=dtype,
    )
    return kernel._gram(x, x_other, "x_other")


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
        The Gram matrix, an array of the library that `x` came from; symmetric to the last bit without `x_other`. With
        NumPy the relative error is a few units of round-off, also next to the diagonal. (The derivative kernel of
        ReLU has a square-root singularity there. The angle of nearly collinear rows is therefore computed from the
        rows.) See the module for other libraries.

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
    kernel = NTK(
        activation, depth=depth, weight_variance=weight_variance, bias_variance=bias_variance, dtype=dtype
    )
    return kernel._gram(x, x_other, "x_other")


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
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        gram = clean @ clean.T / clean.shape[1]
        scale = 1.0 + 2.0 * np.diag(gram)
        tangent = gram * ((4.0 / np.pi) / np.sqrt(scale @ scale - 4.0 * gram**2))
    if not np.isfinite(tangent).all():
        raise InputError(*NOT_FINITE)
    return nngp(clean) + tangent
