"""The average gradient outer product of a network, with respect to its inputs or to the input of a layer."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.networks._architecture import Architecture
from kernel_collapse.networks.empirical import activity_and_slopes
from kernel_collapse.networks.model import Network, Parameters, Scales, program_of

__all__ = ["agop"]


def agop(network: Network, x: ArrayLike, *, layer: int = 0) -> Float[np.ndarray, "d d"]:
    r"""Return the average gradient outer product of a network, (1/n) sum_ak grad f_k(x_a) grad f_k(x_a)'.

    The gradient is taken with respect to h^l, the input of layer l + 1. Let delta be the derivatives with respect to
    the pre-activations of that layer. Then the gradient is W' delta. A convolution is given a patch at every
    position, and the product is summed over the positions.

    Parameters
    ----------
    network : Network
    x : array_like, shape (n, d) or (n, height, width, channels)
        Inputs, over which the mean is taken.
    layer : int
        l: 0 for the inputs themselves, 1 for the features of the first hidden layer, and so on to the last.

    Returns
    -------
    ndarray, shape (N_l, N_l), or that of patches
        Compare it with W'W of the weights (N_{l+1}, N_l) of that layer by `kernel_collapse.rfm.feature_ansatz`.

    Raises
    ------
    ValueError
        If inputs do not have the network's number of features, there is no such layer, or the activation has changed
        since the network was made.

    References
    ----------
    Radhakrishnan et al. (2024), "Mechanism for feature learning in neural networks and backpropagation-free machine
    learning models", Science 383.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> network = kc.networks.initialise(dim=3, width=50)
    >>> x = np.random.default_rng(0).normal(size=(20, 3))
    >>> m = kc.networks.agop(network, x)
    >>> first = network.weights[0]
    >>> kc.rfm.feature_ansatz(first.T @ first, m).reason
    ''
    """
    _validate.instance(
        network, Network, "network", "make one with kernel_collapse.networks.initialise or train"
    )
    inputs = network.architecture.columns(x)
    number = _validate.count(layer, "layer", least=0)
    if number >= len(network.weights):
        raise InputError(
            "layer",
            f"{number}",
            f"0 to {len(network.weights) - 1}",
            f"the network has {len(network.weights) - 1} hidden layers",
        )
    weights = network.scales.weights[number] * network.weights[number]
    call = program_of(network, _outer, layer=number)
    slopes = sum(np.asarray(call(inputs, k)) for k in range(len(network.weights[-1])))
    found = weights.T @ slopes @ weights / inputs.shape[1]
    return 0.5 * (found + found.T)


@partial(jax.jit, static_argnames=("layer", "architecture"))
def _outer(
    parameters: Parameters,
    scales: Scales,
    columns: Any,
    output: Any,
    *,
    layer: int,
    architecture: Architecture,
) -> Any:
    """Return the sum over samples, and positions, of delta delta' of one output."""
    _, slopes = activity_and_slopes(parameters, scales, columns, output, architecture)
    return slopes[layer] @ slopes[layer].T
