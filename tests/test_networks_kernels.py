"""Empirical kernels: against the Jacobian, and against the limits of infinite width."""

from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kernel_collapse as kc
from kernel_collapse.networks import _activations
from kernel_collapse.networks._architecture import Dense
from kernel_collapse.networks.model import Scales, layers

X = kc.data.gaussian_classes(n=12, dim=3, seed=5).x


def jacobians(network, x):
    """Of each output its derivatives in every parameter that the network has, a sample a row: the slow twin."""
    with jax.enable_x64(True):
        used = [scale > 0 for scale in network.scales.biases]

        def f(parameters, row):
            return layers(parameters, network.scales, row[:, None], network.architecture)[1][:, 0]

        tree = jax.jit(jax.vmap(jax.jacrev(f), in_axes=(None, 0)))(
            jax.tree.map(jnp.asarray, network.parameters), jnp.asarray(x)
        )
        parts = [*tree.weights, *(b for b, kept in zip(tree.biases, used, strict=True) if kept)]
        outputs = range(parts[0].shape[1])
        return [np.hstack([np.asarray(p)[:, k].reshape(len(x), -1) for p in parts]) for k in outputs]


STRUCTURES = list(product(["standard", "ntk"], [False, True], [(7,), (7, 5, 6)]))
ACTIVATIONS = ["erf", "relu", "identity", jnp.tanh, "softplus"]


def is_enough(activation, structure):
    """Every structure with one activation, every activation with one structure: they share no line of code."""
    return activation == "erf" or structure == ("ntk", True, (7, 5, 6))


@pytest.mark.parametrize(
    ("activation", "parameterisation", "biases", "widths"),
    [
        pytest.param(a, *s, marks=() if is_enough(a, s) else pytest.mark.nightly)
        for a in ACTIVATIONS
        for s in STRUCTURES
    ],
)
def test_tangent_kernel_is_that_of_the_jacobian(activation, parameterisation, biases, widths):
    network = kc.networks.initialise(
        dim=3,
        width=widths,
        outputs=2,
        activation=activation,
        parameterisation=parameterisation,
        weight_variance=1.3,
        readout_variance=0.7,
        bias_variance=0.2 if biases else 0.0,
        biases=biases,
        seed=3,
    )
    both = jacobians(network, X)
    mean = sum(j @ j.T for j in both) / 2
    np.testing.assert_allclose(kc.networks.empirical_ntk(network, X), mean, rtol=1e-11, atol=1e-13)
    one = kc.networks.empirical_ntk(network, X[:5], X, output=1)
    np.testing.assert_allclose(one, both[1][:5] @ both[1].T, rtol=1e-11, atol=1e-13)
    features = network.features(X)
    np.testing.assert_allclose(
        kc.networks.empirical_nngp(network, X[:4], X), features[:4] @ features.T / widths[-1], rtol=1e-12
    )


WIDE = 4


@pytest.fixture(scope="module")
def wide_networks():
    """Deep wide networks; shallower ones and other activations are made of their layers."""
    return [
        kc.networks.initialise(
            dim=3,
            width=4096,
            depth=3,
            parameterisation="ntk",
            weight_variance=1.2,
            readout_variance=1.2,
            bias_variance=0.1,
            seed=seed,
        )
        for seed in range(WIDE)
    ]


@pytest.mark.parametrize(
    ("activation", "depth"),
    [(a, d) for a in ("erf", "relu") for d in (1, 2, 3)]
    + [("gelu", 2), ("silu", 2), ("elu", 1), ("leaky_relu(0.1)", 3), ("rbf", 1)],
)
def test_width_4096_within_sampling_error_of_infinite_width(wide_networks, activation, depth):
    """Mean over networks within 5 standard errors of the limit, entry by entry, and the error is small."""
    x = X[[0, 1, 6, 7]]
    options = {"activation": activation, "depth": depth, "weight_variance": 1.2, "bias_variance": 0.1}
    limits = {"nngp": kc.nngp(x, **options), "ntk": kc.ntk(x, **options)}
    samples = {"nngp": [], "ntk": []}
    for network in wide_networks:
        kept = replace(
            network,
            architecture=Dense(_activations.get(activation), dim=3),
            weights=(*network.weights[:depth], network.weights[-1]),
            biases=(*network.biases[:depth], network.biases[-1]),
            scales=Scales(
                (*network.scales.weights[:depth], network.scales.weights[-1]),
                network.scales.biases[: depth + 1],
            ),
        )
        samples["nngp"].append(kc.networks.empirical_nngp(kept, x))
        samples["ntk"].append(kc.networks.empirical_ntk(kept, x))
    for name, limit in limits.items():
        mean, error = np.mean(samples[name], axis=0), np.std(samples[name], axis=0, ddof=1) / np.sqrt(WIDE)
        pooled = np.sqrt(np.mean(error**2))  # that of one entry is uncertain with so few networks
        assert pooled < 0.04 * np.abs(np.diag(limit)).max()
        assert (np.abs(mean - limit) < 5 * np.maximum(error, pooled)).all(), name


def test_the_same_function_in_both_parameterisations():
    options = {"dim": 3, "width": (9, 4), "outputs": 2, "weight_variance": 1.7, "readout_variance": 0.3}
    standard, ntk = (
        kc.networks.initialise(parameterisation=p, bias_variance=0.4, seed=1, **options)
        for p in ("standard", "ntk")
    )
    np.testing.assert_allclose(standard(X), ntk(X), rtol=1e-13)
    assert standard.widths == ntk.widths == (9, 4)


def test_weights_are_not_the_numbers_of_the_data():
    """The same seed for data and network must not make rows of weights of rows of the data."""
    data = kc.data.gaussian_classes(n=400, dim=8, seed=3)
    noise = (data.x - np.where(data.labels == 0, -2.0, 2.0)[:, None]) / 0.5
    weights = kc.networks.initialise(dim=8, width=400, seed=3).weights[0] * np.sqrt(8)
    assert abs(np.corrcoef(noise.ravel(), weights.ravel())[0, 1]) < 5 / np.sqrt(weights.size)


def test_layers_are_counted_from_either_end():
    network = kc.networks.initialise(dim=3, width=(9, 4))
    assert network.features(X, layer=0).shape == (12, 9)
    np.testing.assert_array_equal(network.features(X, layer=1), network.features(X))
    np.testing.assert_allclose(
        kc.networks.empirical_nngp(network, X, layer=-2),
        kc.networks.empirical_nngp(network, X, layer=0),
        rtol=1e-14,
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kc.networks.initialise(dim=3, width=0), "width is 0, expected a whole number"),
        (lambda: kc.networks.initialise(dim=3, width=(4, 0)), "a width is 0, expected"),
        (lambda: kc.networks.initialise(dim=3, width=(4, 5), depth=3), "width has 2 entries and depth is 3"),
        (lambda: kc.networks.initialise(dim=3, weight_variance=-1), "weight_variance is -1, expected"),
        (lambda: kc.networks.initialise(dim=3, bias_variance=1.0, biases=False), "expected one or the other"),
        (
            lambda: kc.networks.initialise(dim=3, parameterisation="mup"),
            "parameterisation is 'mup', expected one of",
        ),
        (lambda: kc.networks.initialise(dim=3, activation="relo"), "did you mean 'relu'"),
        (lambda: kc.networks.initialise(dim=3, activation=jnp.sign), "not differentiable where it must be"),
        (lambda: kc.networks.initialise(dim=3, activation="sign"), "not differentiable where it must be"),
        (lambda: kc.networks.initialise(dim=3, activation=jnp.sum), "expected an elementwise function"),
        (lambda: kc.networks.initialise(dim=3, activation=np.tanh), "cannot be differentiated by JAX"),
        (lambda: kc.networks.initialise(dim=3, activation=7), "activation is 7, expected one of"),
        (lambda: kc.networks.initialise(dim=2)(X), "x has 3 features, expected 2"),
        (lambda: kc.networks.initialise(dim=3).features(X, layer=1), "layer is 1, expected -1 to 0"),
        (
            lambda: kc.networks.empirical_ntk(kc.networks.initialise(dim=3), X, output=1),
            "output is 1, expected 0 to 0",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
