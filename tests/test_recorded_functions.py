"""Functions whose layers are recorded: which layer a classifier belongs to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kernel_collapse as kc

LABELS = np.arange(90) % 3
X = np.eye(3, 4)[LABELS] + 0.1 * np.random.default_rng(0).normal(size=(90, 4))
BATCHES = [(X[k : k + 30], LABELS[k : k + 30]) for k in range(0, 90, 30)]
W = [jax.random.normal(jax.random.key(k), shape) for k, shape in enumerate([(4, 16), (16, 16), (16, 3)])]
READOUT = np.asarray(W[2]).T
#: The last layer has the first name.
NAMES = ("hidden", "features")


def network(x):
    first = jax.nn.relu(x @ W[0])
    second = jax.nn.relu(first @ W[1])
    return dict(zip(NAMES, (first, second), strict=True)), second @ W[2]


def in_numpy(x):
    return jax.device_get(jax.jit(network)(x))


def record(function, classifier=READOUT, **options):
    return kc.record(function, BATCHES, n_classes=3, classifier=classifier, **options)


@pytest.mark.parametrize("function", [jax.jit(network), in_numpy])
def test_no_classifier_goes_to_the_last_of_sorted_names(function):
    """JAX sorts by name what a compiled function returns."""
    plain = record(network)
    assert np.isnan(plain["hidden"].nc3)
    with pytest.raises(kc.InputError, match=r"of 16 features, as layers 'features', 'hidden' are.*by name"):
        record(function)
    named = record(function, {"features": READOUT}, bias={"features": np.zeros(3)})
    assert np.isnan(named["hidden"].nc3)
    np.testing.assert_allclose(named["features"].nc3, plain["features"].nc3, rtol=1e-5)


def test_a_classifier_that_fits_one_layer_is_that_of_it():
    def narrow(x):
        (first, second), logits = network(x)[0].values(), network(x)[1]
        return {"b": first[:, :7], "a": second}, logits

    plain, compiled = record(narrow), record(jax.jit(narrow))
    np.testing.assert_allclose(compiled["a"].nc3, plain["a"].nc3, rtol=1e-5)
    assert np.isnan(compiled["b"].nc3)


def test_classifiers_of_several_layers():
    both = {"hidden": READOUT[:, ::-1], "features": READOUT}
    found = record(jax.jit(network), both)
    for layer, weights in both.items():
        assert found[layer].nc3 == record(jax.jit(network), {layer: weights})[layer].nc3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"classifier": {"last": READOUT}},
            "classifier of layer 'last' is given, expected one of the layers",
        ),
        (
            {"classifier": {"hidden": READOUT}, "bias": jnp.zeros(3)},
            "bias is an array and the classifier by layer",
        ),
        ({"bias": {"hidden": jnp.zeros(3)}}, "bias is by layer and the classifier not"),
        (
            {"classifier": {"hidden": READOUT}, "bias": {"features": jnp.zeros(3)}},
            "bias of layer 'features' is without a classifier",
        ),
    ],
)
def test_bad_classifiers(options, message):
    with pytest.raises(kc.InputError, match=message):
        record(network, **options)
