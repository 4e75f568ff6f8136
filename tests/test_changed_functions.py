"""Functions of the user's that change: networks refuse them, and training takes them as they are now."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kernel_collapse as kc
from kernel_collapse.kernels import Activation, Conv, Flatten

DATA = kc.data.gaussian_classes(n=30, dim=3, seed=2)


class Bent:
    """A function, and a schedule, with a number that can be changed."""

    rate = 1.0

    def bend(self, z):
        return (jnp if isinstance(z, jax.Array) else np).tanh(self.rate * z)

    def at(self, step):
        return 1e-2 * self.rate / (1.0 + step)


def of_a_network():
    """Return every public function of a network and samples."""
    public = [getattr(kc.networks, name) for name in kc.networks.__all__]
    found = [
        f
        for f in public
        if inspect.isfunction(f) and next(iter(inspect.signature(f).parameters)) == "network"
    ]
    assert {"agop", "empirical_nngp", "empirical_ntk"} <= {f.__name__ for f in found}
    return [*found, kc.networks.Network.__call__, kc.networks.Network.features]


@pytest.mark.parametrize("use", of_a_network(), ids=lambda f: f.__name__)
@pytest.mark.parametrize("convolutions", [False, True])
def test_no_function_of_a_network_mixes_its_activation_with_what_it_became(use, convolutions):
    """For shapes that a program is compiled for, and for others."""
    bent, rng = Bent(), np.random.default_rng(0)
    shape = (4, 4, 1) if convolutions else (3,)
    layers = [Conv(3), Activation(bent.bend), Flatten()] if convolutions else None
    made = {"layers": layers} if convolutions else {"activation": bent.bend}
    network = kc.networks.initialise(shape if convolutions else 3, width=6, **made)
    x = rng.normal(size=(5, *shape))
    before = use(network, x)
    bent.rate = 3.0
    for other in (x, x[:2]):
        with pytest.raises(kc.InputError, match="has changed its values"):
            use(network, other)
    bent.rate = 1.0
    np.testing.assert_array_equal(use(network, x), before)


def test_training_takes_function_and_schedule_as_they_are_now():
    bent, options = Bent(), {"width": 4, "epochs": 3}
    for name, given in (("activation", bent.bend), ("learning_rate", bent.at)):
        losses = {}
        for bent.rate in (1.0, 3.0):
            now = partial(Bent.bend if name == "activation" else Bent.at, bent)  # a new function each time
            losses[bent.rate] = kc.networks.train(DATA, **options, **{name: given}).loss[0, -1]
            assert losses[bent.rate] == kc.networks.train(DATA, **options, **{name: now}).loss[0, -1]
        assert losses[1.0] != losses[3.0]


def test_training_refuses_an_activation_that_changed():
    rate = 1.0
    made = kc.activations.get(lambda z: (jnp if isinstance(z, jax.Array) else np).tanh(rate * z))
    kc.networks.train(DATA, width=4, epochs=3, activation=made)
    rate = 3.0
    with pytest.raises(kc.InputError, match="has changed its values"):
        kc.networks.train(DATA, width=4, epochs=3, activation=made)
