r"""Networks, fully connected or with convolutions, of any depth, width and activation, in two parameterisations.

With h^0 = x and fan-in N_{l-1}, layer l is h^l = phi(z^l) and the output is z^{L+1}, where

=================  ===================================================  ==========================================
parameterisation   layer                                                parameters at the start
=================  ===================================================  ==========================================
``"standard"``     z^l = W^l h^{l-1} + b^l                              W ~ N(0, s^2 / fan-in), b ~ N(0, sigma_b^2)
``"ntk"``          z^l = s / sqrt(fan-in) W^l h^{l-1} + sigma_b b^l     W, b ~ N(0, 1)
=================  ===================================================  ==========================================

with s^2 = sigma_w^2 in the hidden layers and sigma_a^2 in the readout. Both are the same function at the start;
gradient descent moves them differently. A convolution has the same formula at every position, with what its filter
sees there instead of h^{l-1}. The fan-in is the number of positions of the filter times the channels, at the edge as
well, and h^l is what activations and pools make of z^l before the next convolution. Activity is stored with one sample
per *column*. This makes training faster, because the long axis of every product is contiguous.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.activations import Activation
from kernel_collapse.networks import _activations
from kernel_collapse.networks._activations import Phi
from kernel_collapse.networks._architecture import Architecture, Dense
from kernel_collapse.networks._convolutional import Layer, convolutional

__all__ = [
    "Network",
    "Parameterisation",
    "Parameters",
    "Scales",
    "initialise",
    "layers",
    "program_of",
    "widths_of",
]

Parameterisation = Literal["standard", "ntk"]
PARAMETERISATIONS: tuple[Parameterisation, ...] = get_args(Parameterisation)


#: Beside the seed: with the seed alone the weights would be the very numbers that made the data of that seed.
STREAM = 1


class Parameters(NamedTuple):
    """Weights (N_l, N_{l-1}) and biases (N_l,) of every layer, the readout last."""

    weights: tuple[Any, ...]
    biases: tuple[Any, ...]


class Scales(NamedTuple):
    """What multiplies the weights and the biases of each layer."""

    weights: tuple[Any, ...]
    biases: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Network:
    """A network with given parameters.

    Attributes
    ----------
    weights : tuple of ndarray, shapes (N_l, fan-in), the readout (k, N_L) last
        The fan-in is N_{l-1}; of a convolution rows, columns and channels of the filter, in this order.
    biases : tuple of ndarray, shapes (N_l,), that of the readout last
    scales : Scales
        The factors of weights and biases: 1 in the standard parameterisation; 0 for biases that the network does not
        have.
    architecture : Architecture
        What the network does besides; its `activation` is the JAX function.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> network = kc.networks.initialise(dim=3, width=(20, 10), outputs=2)
    >>> network([[0.0, 1.0, 2.0]]).shape, network.features([[0.0, 1.0, 2.0]]).shape
    ((1, 2), (1, 10))
    """

    weights: tuple[np.ndarray, ...] = field(repr=False)
    biases: tuple[np.ndarray, ...] = field(repr=False)
    scales: Scales = field(repr=False)
    architecture: Architecture = field(repr=False)

    @property
    def activation(self) -> Phi | tuple[Phi, ...]:
        """The JAX function; of a network with convolutions all of them."""
        given = self.architecture.activation
        return (
            tuple(map(_activations.plain, given)) if isinstance(given, tuple) else _activations.plain(given)
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each hidden layer; channels of a convolution."""
        return tuple(len(weights) for weights in self.weights[:-1])

    @property
    def parameters(self) -> Parameters:
        """Weights and biases as a tree."""
        return Parameters(self.weights, self.biases)

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """Return the outputs, shape (n, k), in NumPy's float64, in which inputs of any library are read.

        Inputs are (n, d), or images (n, height, width, channels) for a network with convolutions.
        """
        return self._evaluate(x)[-1].T

    def features(self, x: ArrayLike, *, layer: int = -1) -> np.ndarray:
        """Return the activity h^l of a hidden layer, shape (n, N_l), the last one by default.

        Of a convolution it is what enters the next layer: activations and pools are done, and N_l counts channels and
        positions, channel after channel.
        """
        hidden = self._evaluate(x)[:-1]
        whole = isinstance(layer, int | np.integer) and not isinstance(layer, bool)
        if not whole or not -len(hidden) <= layer < len(hidden):
            raise InputError.of(
                "layer",
                layer,
                f"-{len(hidden)} to {len(hidden) - 1}",
                f"the network has {len(hidden)} hidden layers",
            )
        return hidden[layer].T

    def require_unchanged(self) -> None:
        """Refuse an activation of the user's that has other values than when the network was made.

        Raises
        ------
        ValueError
            If it has.
        """
        given = self.architecture.activation
        for phi in given if isinstance(given, tuple) else (given,):
            _activations.require_unchanged(phi)

    def _evaluate(self, x: ArrayLike) -> list[np.ndarray]:
        hidden, outputs = program_of(self, _layers)(self.architecture.columns(x))
        return [np.asarray(h) for h in (*hidden, outputs)]


def program_of(network: Network, compiled: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
    """Return a compiled function of parameters, scales and arrays as one of the arrays, in float64.

    No network is computed by another way: what is compiled for a function of the user's does not see that the function
    has changed, and goes on with the old one for shapes that it knows.

    Raises
    ------
    ValueError
        If an activation has other values than when the network was made.
    """
    network.require_unchanged()

    def program(*arrays: Any) -> Any:
        with jax.enable_x64(True):
            given = [jnp.asarray(a) if isinstance(a, np.ndarray) else a for a in arrays]
            return compiled(
                network.parameters, network.scales, *given, architecture=network.architecture, **fixed
            )

    return program


def layers(
    parameters: Parameters, scales: Scales, columns: Any, architecture: Architecture
) -> tuple[list[Any], Any]:
    """Return the activity of the hidden layers, (N_l, n), and the outputs, (k, n), for inputs (d, n)."""
    hidden: list[Any] = []
    z = None
    for layer, (weights, biases, scale, bias_scale) in enumerate(zip(*parameters, *scales, strict=True)):
        if z is not None:
            hidden.append(architecture.activity(layer - 1, z))
        given = architecture.given(layer, hidden[-1] if hidden else columns)
        z = (scale * weights) @ given + (bias_scale * biases)[:, None]
    return hidden, z


_layers = jax.jit(layers, static_argnames=("architecture",))


def widths_of(width: int | Sequence[int], depth: int) -> tuple[int, ...]:
    """Return the widths of the hidden layers."""
    depth = _validate.count(depth, "depth", most=_validate.MOST_LAYERS)
    if not isinstance(width, int | float | np.number):
        given = _validate.several(width, "width", "500, or (200, 100) for two layers")
        widths = tuple(_validate.count(w, "a width") for w in given)
        if not widths or (depth not in (1, len(widths))):
            raise InputError(
                "width",
                f"{len(widths)} entries and depth is {depth}",
                "one width a hidden layer",
                "leave depth out",
                verb="has",
            )
        return widths
    return (_validate.count(width, "width"),) * depth


def _architecture(
    dim: Any, depth: int, activation: str | Activation | Phi | None, layers: Any
) -> tuple[Architecture, int, int]:
    """Return what is made of the inputs, with their channels and the number of hidden layers."""
    if layers is None:
        dim = _validate.count(dim, "dim")
        return Dense(_activations.get("erf" if activation is None else activation), dim), dim, depth
    if activation is not None or depth != 1:
        name = "depth" if activation is None else "activation"
        raise InputError(name, "given beside layers", "either", "the layers say it", verb="is")
    found = convolutional(layers, dim)
    return found, found.image[2], len(found.blocks)


def initialise(
    dim: int | tuple[int, int, int],
    *,
    width: int | Sequence[int] = 500,
    depth: int = 1,
    outputs: int = 1,
    activation: str | Activation | Phi | None = None,
    layers: Sequence[Layer] | None = None,
    parameterisation: Parameterisation = "standard",
    weight_variance: float = 1.0,
    readout_variance: float = 1.0,
    bias_variance: float = 0.0,
    biases: bool = True,
    seed: int = 0,
) -> Network:
    """Return a network at its start.

    Parameters
    ----------
    dim : int or (int, int, int)
        Number of input features; with `layers` height, width and channels of the images.
    width : int, or sequence of int
        Units of every hidden layer, or of each; with `layers` the channels of the convolutions.
    depth : int
        Number of hidden layers, where `width` is one number.
    outputs : int
        Number of outputs k.
    activation : str, Activation or callable, optional
        By name, or an elementwise function made of `jax.numpy` operations; "erf" by default.
    layers : sequence of layers, optional
        Of a network with convolutions: `Conv`, `Activation` and `AvgPool`, and `Flatten` or `GlobalAvgPool` as the
        last, as `kernel_collapse.kernels.ConvNNGP` takes them (whose `stack` they are). The convolutions are the hidden
        layers; they take the place of `depth` and `activation`.
    parameterisation : {"standard", "ntk"}
        See the module.
    weight_variance, readout_variance, bias_variance : float
        sigma_w^2, sigma_a^2, sigma_b^2: the variances of W and a times their fan-in, and of the biases.
    biases : bool
        Whether layers have biases. In the "ntk" parameterisation they have none where `bias_variance` is 0.
    seed : int
        Parameters are those of ``numpy.random.default_rng([seed, 1])``, layer after layer, weights before biases.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        If a width is zero, a variance negative, the activation not differentiable, or layers make no network or do not
        fit the images.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.networks.initialise(dim=4, width=32, depth=3).widths
    (32, 32, 32)
    >>> from kernel_collapse.kernels import Activation, AvgPool, Conv, Flatten
    >>> network = kc.networks.initialise(
    ...     (8, 8, 1), layers=[Conv(3), Activation("relu"), AvgPool(2), Flatten()], width=10
    ... )
    >>> [weights.shape for weights in network.weights]
    [(10, 9), (1, 160)]
    """
    architecture, channels, depth = _architecture(dim, depth, activation, layers)
    widths, outputs = widths_of(width, depth), _validate.count(outputs, "outputs")
    _validate.choice(parameterisation, PARAMETERISATIONS, "parameterisation")
    hidden = _validate.moderate(weight_variance, "weight_variance")
    readout = _validate.moderate(readout_variance, "readout_variance")
    bias = _validate.moderate(bias_variance, "bias_variance", zero_allowed=True)
    biases = _validate.flag(biases, "biases")
    if bias > 0 and not biases:
        raise InputError("bias_variance", f"{bias:g} and biases is False", "one or the other", "drop either")
    rng = np.random.default_rng([_validate.seed(seed), STREAM])
    sizes = (channels, *widths, outputs)
    fan_ins = [architecture.multiple(layer) * below for layer, below in enumerate(sizes[:-1])]
    parameters = sum(fan_in * fan_out for fan_in, fan_out in zip(fan_ins, sizes[1:], strict=True))
    _validate.fits(parameters, f"a network with layers of {_validate.shown(sizes)}", "lower width or depth")
    stds = [
        np.sqrt(variance / fan_in)
        for variance, fan_in in zip([hidden] * len(widths) + [readout], fan_ins, strict=True)
    ]
    ntk = parameterisation == "ntk"
    weights, offsets = [], []
    for fan_in, fan_out, std in zip(fan_ins, sizes[1:], stds, strict=True):
        weights.append((1.0 if ntk else std) * rng.normal(size=(fan_out, fan_in)))
        offsets.append((1.0 if ntk else np.sqrt(bias)) * rng.normal(size=fan_out))
    bias_scale = float(np.sqrt(bias)) if ntk else float(biases)
    scales = Scales(
        tuple(float(std) if ntk else 1.0 for std in stds),
        (bias_scale,) * len(stds),
    )
    return Network(tuple(weights), tuple(offsets), scales, architecture)
