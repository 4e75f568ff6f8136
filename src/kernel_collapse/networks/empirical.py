r"""Kernels of a given network: what it computes, and how gradient descent moves it.

The tangent kernel is a sum over layers. A weight W^l_ab contributes delta^l_a(x) h^{l-1}_b(x) to the gradient of an
output, where delta^l is the output's derivative in z^l, so that the layer adds::

    s_l^2 <h^{l-1}(x), h^{l-1}(x')> <delta^l(x), delta^l(x')>

(s_l multiplies the weights of the layer). Its biases add the same with sigma_b^2 instead of the first two factors.
For a convolution it is summed over all pairs of positions, with what the filter sees there instead of h^{l-1}.
The largest arrays are the activities, (N_l, n). The Jacobian, n times the number of weights, is never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.networks._architecture import Architecture
from kernel_collapse.networks.model import Network, Parameters, Scales, program_of

__all__ = ["activity_and_slopes", "empirical_nngp", "empirical_ntk"]


def empirical_nngp(
    network: Network, x: ArrayLike, x_other: ArrayLike | None = None, *, layer: int = -1
) -> Float[np.ndarray, "n m"]:
    r"""Return the Gram matrix of a hidden layer's features over its width, <h(x), h(x')> / N_l.

    At the start of a wide network it is `kernel_collapse.nngp` with a sampling error of order 1 / sqrt(N_l), and
    `kernel_collapse.kernels.ConvNNGP` for one with convolutions.

    Parameters
    ----------
    network : Network
    x : array_like, shape (n, d) or (n, height, width, channels)
    x_other : array_like, shape (m, d) or (m, height, width, channels), optional
        For the rectangular block; `x` by default.
    layer : int
        Hidden layer, from 0; the last one by default.

    Returns
    -------
    ndarray, shape (n, n) or (n, m)
        In NumPy's float64, in which inputs of any library are read.

    Raises
    ------
    ValueError
        If inputs do not have the network's number of features, there is no such layer, or the activation has changed
        since the network was made.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> network = kc.networks.initialise(dim=2, width=100)
    >>> kc.networks.empirical_nngp(network, [[0.0, 1.0], [2.0, 0.0]]).shape
    (2, 2)
    """
    _validate.instance(
        network, Network, "network", "make one with kernel_collapse.networks.initialise or train"
    )
    features = network.features(x, layer=layer)
    other = features if x_other is None else network.features(x_other, layer=layer)
    gram = features @ other.T / features.shape[1]
    return 0.5 * (gram + gram.T) if x_other is None else gram


def empirical_ntk(
    network: Network, x: ArrayLike, x_other: ArrayLike | None = None, *, output: int | None = None
) -> Float[np.ndarray, "n m"]:
    r"""Return the tangent kernel of a network, sum over parameters of df(x)/dp df(x')/dp.

    At the start of a wide network in the "ntk" parameterisation it is `kernel_collapse.ntk`, or
    `kernel_collapse.kernels.ConvNTK`, if `readout_variance` is `weight_variance`. In the "standard" parameterisation it
    grows with the width.

    Parameters
    ----------
    network : Network
    x : array_like, shape (n, d) or (n, height, width, channels)
    x_other : array_like, shape (m, d) or (m, height, width, channels), optional
        For the rectangular block; `x` by default.
    output : int, optional
        Of which output; the mean of all by default (at infinite width they are the same).

    Returns
    -------
    ndarray, shape (n, n) or (n, m)
        In NumPy's float64, in which inputs of any library are read.

    Raises
    ------
    ValueError
        If inputs do not have the network's number of features, there is no such output, or the activation has changed
        since the network was made.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> network = kc.networks.initialise(dim=2, width=100, parameterisation="ntk")
    >>> kc.networks.empirical_ntk(network, [[0.0, 1.0], [2.0, 0.0]]).shape
    (2, 2)
    """
    _validate.instance(
        network, Network, "network", "make one with kernel_collapse.networks.initialise or train"
    )
    outputs = len(network.weights[-1])
    if output is None:
        chosen = range(outputs)
    else:
        number = _validate.count(output, "output", least=0)
        if number >= outputs:
            raise InputError(
                "output", f"{number}", f"0 to {outputs - 1}", f"the network has {outputs} outputs"
            )
        chosen = range(number, number + 1)
    inputs = network.architecture.columns(x)
    others = inputs if x_other is None else network.architecture.columns(x_other)
    call = program_of(network, _tangent)
    gram = np.mean([np.asarray(call(inputs, others, k)) for k in chosen], axis=0)
    return 0.5 * (gram + gram.T) if x_other is None else gram


@partial(jax.jit, static_argnames=("architecture",))
def _tangent(
    parameters: Parameters, scales: Scales, left: Any, right: Any, output: Any, *, architecture: Architecture
) -> Any:
    pair = [
        activity_and_slopes(parameters, scales, columns, output, architecture) for columns in (left, right)
    ]
    n, m = left.shape[1], right.shape[1]
    gram = 0.0
    for below, other_below, slope, other_slope, *scaled in zip(
        *(part for side in zip(*pair, strict=True) for part in side), *scales, strict=True
    ):
        gram += _of_layer((below, slope), (other_below, other_slope), scaled, (n, m))
    return gram


def _of_layer(
    left: Sequence[Any], right: Sequence[Any], scales: Sequence[Any], counts: tuple[int, int]
) -> Any:
    """Return what a layer adds to the kernel; of many positions one sample of the left at a time."""
    scale, bias_scale = scales

    def product(below: Any, slope: Any) -> Any:
        return (scale**2 * (below.T @ right[0]) + bias_scale**2) * (slope.T @ right[1])

    n, m = counts
    if left[0].shape[1] == n:
        return product(*left)
    samples = [jnp.moveaxis(side.reshape(len(side), -1, n), 2, 0) for side in left]
    return jax.lax.map(lambda one: product(*one).reshape(-1, m).sum(axis=0), samples)


def activity_and_slopes(
    parameters: Parameters, scales: Scales, columns: Any, output: Any, architecture: Architecture
) -> tuple[list[Any], list[Any]]:
    """Return what each layer is given, h^{l-1}, and the derivative of an output in z^l, the readout's last.

    Of a convolution, what is given and the derivative at every position, (fan-in, positions x n).
    """

    def between(layer: int, sums: Any) -> Any:
        return architecture.given(layer + 1, architecture.activity(layer, sums))

    below, pull_backs = [architecture.given(0, columns)], []
    hidden = list(zip(*parameters, *scales, strict=True))[:-1]
    for layer, (weights, biases, scale, bias_scale) in enumerate(hidden):
        sums = (scale * weights) @ below[-1] + (bias_scale * biases)[:, None]
        given, pull_back = jax.vjp(partial(between, layer), sums)
        below.append(given)
        pull_backs.append(pull_back)
    one = jnp.zeros((len(parameters.weights[-1]), columns.shape[1])).at[output].set(1.0)
    slopes = [one]
    for pull_back, weights, scale in zip(
        reversed(pull_backs), reversed(parameters.weights), reversed(scales.weights), strict=False
    ):
        slopes.append(pull_back((scale * weights).T @ slopes[-1])[0])
    return below, slopes[::-1]
