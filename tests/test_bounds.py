"""Upper bounds on NC1 of networks: whatever the parameters, where they are attained, and where there can be none."""

from functools import cache

import numpy as np
import pytest
from scipy.special import erf, log_softmax, softmax

import kernel_collapse as kc
from kernel_collapse.kernels import Activation, Conv, Flatten
from nc1_bounds import (
    Layers,
    balance_bound,
    cross_entropy,
    deviations,
    errors,
    gradient_bound,
    gradients,
    imbalance,
    last_layers,
    nc1,
    outputs_bound,
    probabilities_bound,
    slope_bound,
    unexplained,
)

#: Round-off of quantities of order one.
TINY = 1e-9
#: Along a straight line the change of a smooth minimum is of the order of its square.
STEP = 1e-6
#: An activation and its largest slope.
ACTIVATIONS = {
    "linear": (lambda z: z, 1.0),
    "erf": (erf, 2 / np.sqrt(np.pi)),
    "relu": (lambda z: np.maximum(z, 0.0), 1.0),
}
#: Sizes of the classes and their targets: one output, several of which some are idle, two classes of very unequal size.
PROBLEMS = {
    "four": ((6, 6, 6, 6), np.array([[-3.0], [-1.0], [1.0], [3.0]])),
    "one-hot": ((9, 4, 7), np.eye(3)),
    "plane": ((8, 8, 8), np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 2.0], [-1.0, -1.0, 2.0]])),
    "unequal": ((20, 3), np.array([[-1.0], [1.0]])),
}


def problem(name, rng, spread=1.0):
    sizes, targets = PROBLEMS[name]
    labels = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.normal(size=(len(sizes), 5))[labels] + spread * rng.normal(size=(len(labels), 5))
    return kc.data.from_arrays(x, labels, targets[labels])


def regression(features, targets):
    """Return weights and offset of least squares."""
    columns = np.column_stack([features, np.ones(len(features))])
    solution = np.linalg.lstsq(columns, targets, rcond=None)[0]
    return solution[:-1].T, solution[-1]


def random_layers(data, phi, rng, noise):
    """Return layers of random weights, and a readout that is least squares but for noise, and as poor as this is."""
    width = rng.integers(4, 12)
    weights, biases = rng.normal(size=(width, data.x.shape[1])), rng.normal(size=width)
    features = phi(data.x @ weights.T + biases)
    readout, offset = regression(features, data.targets)
    readout = readout + noise * np.abs(readout).max() * rng.normal(size=readout.shape)
    offset = offset + noise * rng.normal(size=offset.shape)
    return Layers(readout, features @ readout.T + offset, features, weights, biases, data.x)


def cases(name):
    """Yield problems with generators, and how far the readout is from least squares."""
    for seed in range(60):
        rng = np.random.default_rng([seed, len(name)])
        yield problem(name, rng, spread=rng.choice([0.01, 0.3, 1.0])), rng, rng.choice([0.0, 1e-3, 0.1, 1.0])


def most(values):
    """Return the largest, and check that there are enough of them to say something."""
    values = np.array(values)[np.isfinite(values)]
    assert len(values) >= 20
    return values.max()


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_loss_bounds_nc1_of_the_outputs(name):
    ratios = []
    for data, rng, noise in cases(name):
        layers = random_layers(data, erf, rng, noise)
        ratios.append(nc1(layers.outputs, data.labels) / outputs_bound(layers, data))
    assert most(np.array(ratios)[np.array(ratios) > 0]) < 1 + TINY


def test_least_squares_of_two_classes_attains_it():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        data = problem("unequal", rng)
        layers = random_layers(data, erf, rng, 0.0)
        assert nc1(layers.outputs, data.labels) == pytest.approx(outputs_bound(layers, data), rel=1e-9)


def logits(seed):
    """Return a problem of one-hot targets, and layers whose logits are of any size."""
    rng = np.random.default_rng(seed)
    data = problem("one-hot", rng, spread=rng.choice([0.01, 0.3, 1.0]))
    layers = random_layers(data, lambda z: z, rng, rng.choice([1e-3, 0.1, 1.0]))
    size = 10.0 ** rng.uniform(-1, 2)
    return data, layers._replace(readout=size * layers.readout, outputs=size * layers.outputs)


def test_the_cross_entropy_bounds_nc1_of_the_probabilities():
    ratios = []
    for seed in range(200):
        data, layers = logits(seed)
        ratios.append(nc1(softmax(layers.outputs, axis=1), data.labels) / probabilities_bound(layers, data))
    assert 0.01 < most(np.array(ratios)[np.array(ratios) > 0]) < 1 + TINY


def test_the_cross_entropy_bounds_nothing_of_the_logits():
    """Logits that grow: loss and error fall to 0, the spread of their classes beside that of the means does not."""
    labels = np.array([0, 0, 1, 1])
    data = kc.data.from_arrays(np.eye(4), labels, np.eye(2)[labels])
    losses = []
    for size in (1.0, 10.0, 100.0):
        outputs = size * np.array([[0.5, -0.5], [1.5, -1.5], [-0.5, 0.5], [-1.5, 1.5]])
        layers = Layers(np.eye(2), outputs, outputs, np.zeros((2, 4)), np.zeros(2), data.x)
        assert nc1(outputs, labels) == pytest.approx(0.25)
        losses.append(cross_entropy(layers, data))
        assert np.linalg.norm(errors(layers, data, "cross_entropy")) < losses[-1]
    assert losses[-1] < 1e-40


def test_balance_and_gradient_bound_nc1_of_features_below_logits():
    by_balance, by_gradient = [], []
    for seed in range(100):
        data, layers = logits(seed)
        found = nc1(layers.features, data.labels)
        by_balance.append(found / balance_bound(layers, data, "cross_entropy"))
        by_gradient += [
            found / gradient_bound(layers, data, decay, "cross_entropy") for decay in (1e-3, 0.1, 10.0)
        ]
        assert found <= slope_bound(layers, data, 1.0, "cross_entropy")
    assert 0.01 < most(by_balance) < 1 + TINY
    assert most(by_gradient) < 1 + TINY


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_slope_bounds_nc1_of_the_features(name, activation):
    phi, slope = ACTIVATIONS[activation]
    ratios = []
    for data, rng, noise in cases(name):
        layers = random_layers(data, phi, rng, noise)
        ratios.append(nc1(layers.features, data.labels) / slope_bound(layers, data, slope))
    assert most(np.array(ratios)[np.array(ratios) > 0]) < 1 + TINY


@pytest.mark.parametrize("name", PROBLEMS)
def test_imbalance_and_gradient_bound_nc1_of_linear_features(name):
    """Random weights are far from balanced; those whose rows are almost those of the readout are less so."""
    by_balance, by_gradient = [], []
    for data, rng, noise in cases(name):
        layers = random_layers(data, lambda z: z, rng, noise)
        if rng.random() < 0.5:
            layers = nearly_balanced(data, rng, noise)
        found = nc1(layers.features, data.labels)
        by_balance.append(found / balance_bound(layers, data))
        by_gradient += [found / gradient_bound(layers, data, decay) for decay in (1e-3, 0.1, 10.0)]
    assert 0.3 < most(by_balance) < 1 + TINY
    assert most(by_gradient) < 1 + TINY


def nearly_balanced(data, rng, noise):
    """Return linear layers with A'A = WW' but for noise, which together are least squares, and no biases below."""
    both, offset = regression(data.x, data.targets)
    left, sizes, right = np.linalg.svd(both, full_matrices=False)
    basis = np.linalg.qr(rng.normal(size=(8, len(sizes))))[0]
    readout = left * np.sqrt(sizes) @ basis.T
    weights = basis * np.sqrt(sizes) @ right + 0.1 * noise * rng.normal(size=(8, data.x.shape[1]))
    features = data.x @ weights.T
    return Layers(readout, features @ readout.T + offset, features, weights, np.zeros(8), data.x)


def test_balanced_layers_that_are_least_squares_attain_the_bound():
    rng = np.random.default_rng(0)
    data = problem("unequal", rng)
    layers = nearly_balanced(data, rng, 0.0)
    np.testing.assert_allclose(imbalance(layers), 0.0, atol=1e-12)
    assert nc1(layers.features, data.labels) == pytest.approx(balance_bound(layers, data), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "loss"), [*((name, "mse") for name in PROBLEMS), ("one-hot", "cross_entropy")]
)
def test_the_imbalance_is_made_of_gradients(name, loss):
    """decay (A'A - WW' - bb') = A'D_A - D_W W' - D_b b', and the gradients are those of differences."""
    decay, rng = 0.3, np.random.default_rng(1)
    data = problem(name, rng)
    layers = random_layers(data, lambda z: z, rng, 0.5)
    offset = (layers.outputs - layers.features @ layers.readout.T)[0]
    parameters = (layers.readout, layers.weights, layers.biases)
    found = gradients(layers, data, decay, loss)
    for which, gradient in enumerate(found):
        step = [np.zeros_like(value) for value in parameters]
        step[which] = 1e-5 * rng.normal(size=gradient.shape)
        ahead, behind = (
            objective(
                data, decay, offset, *(p + sign * s for p, s in zip(parameters, step, strict=True)), loss=loss
            )
            for sign in (1, -1)
        )
        assert (ahead - behind) / 2 == pytest.approx(np.sum(gradient * step[which]), rel=1e-6)
    sides = (
        layers.readout.T @ found.readout
        - found.weights @ layers.weights.T
        - np.outer(found.biases, layers.biases)
    )
    np.testing.assert_allclose(decay * imbalance(layers), sides, atol=1e-9)


def objective(data, decay, offset, readout, weights, biases, phi=lambda z: z, loss="mse"):
    """Return the loss with weight decay of two layers."""
    outputs = phi(data.x @ weights.T + biases) @ readout.T + offset
    squares = sum(np.sum(value**2) for value in (readout, weights, biases))
    if loss == "mse":
        return np.mean((outputs - data.targets) ** 2) + decay / 2 * squares
    return -np.mean(np.sum(data.targets * log_softmax(outputs, axis=1), axis=1)) + decay / 2 * squares


@cache
def classes(law="D1"):
    """Return 32 samples in 8 dimensions, as images of one pixel: what sees all of it is fully connected."""
    means = {"D1": (-2.0, 2.0), "overlap": (-0.3, 0.3)}[law]
    data = kc.data.gaussian_classes(n=32, dim=8, class_means=means)
    return kc.data.from_arrays(data.x.reshape(-1, 1, 1, 8), data.labels, data.targets)


def train(data, activation, *, linear=True, **options):
    """Return the last layers of a network before and after training."""
    layers = [
        Conv(1),
        Activation(activation),
        Conv(1),
        *([] if linear else [Activation(activation)]),
        Flatten(),
    ]
    options = {"width": 16, "readout_variance": 1.0, "precision": "float64"} | options
    training = kc.networks.train(data, layers=layers, **options)
    return tuple(
        last_layers(network, data.images) for network in (training.initial_networks[0], training.networks[0])
    )


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("linear", [True, False])
def test_weight_decay_takes_the_imbalance_away(linear, loss):
    """By exp(-2 decay time) in gradient flow: the error of steps is in proportion to them. Of ReLU, unit by unit."""
    decay, time, errors = 0.2, 1.0, []
    for rate in (4e-4, 2e-4):
        first, last = train(
            classes(),
            "relu",
            linear=linear,
            epochs=round(time / rate),
            learning_rate=rate,
            weight_decay=decay,
            loss=loss,
        )
        start, end = (value if linear else np.diag(value) for value in map(imbalance, (first, last)))
        errors.append(np.abs(end - np.exp(-2 * decay * time) * start).max() / np.abs(start).max())
    assert errors[1] < 1e-2
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_trained_networks_come_to_the_bound(activation):
    """The loss is small long before the features collapse; the bound knows, and is met in the end."""
    data, decay = classes(), 3e-2
    options = {"learning_rate": 1e-3, "momentum": 0.9, "weight_decay": decay}
    _, early = train(data, activation, epochs=300, **options)
    assert 10 * outputs_bound(early, data) < nc1(early.features, data.labels)
    _, late = train(data, activation, epochs=20_000, **options)
    found = nc1(late.features, data.labels)
    for layers, bound in ((early, 1e3), (late, 1.05)):
        value = nc1(layers.features, data.labels)
        assert value <= balance_bound(layers, data) < bound * value
        assert value <= gradient_bound(layers, data, decay) < bound * value
    assert found == pytest.approx(nc1(late.outputs, data.labels), rel=1e-3)


def opposites(x):
    """Return x and -x of class 0, and two more opposite inputs of class 1."""
    points = np.concatenate([np.outer([1, -1], x), np.outer([1, -1], np.roll(x, 1) * [1, -1])])
    return kc.data.from_arrays(points, [0, 0, 1, 1])


def test_no_bound_by_loss_and_gradient_holds_for_relu():
    """The four units of docs/theory.md: no direction leads down, the loss is 4 decay^2, and NC1 is 2."""
    data, rng = opposites(np.array([1.0, 0.0])), np.random.default_rng(0)
    for decay in (1e-1, 1e-3, 1e-6):
        size = np.sqrt(1 - 2 * decay)
        weights = size * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        readout = size * np.array([[-1.0, -1.0, 1.0, 1.0]])

        def value(readout, weights, decay=decay):
            return objective(data, decay, 0.0, readout, weights, np.zeros(4), ACTIVATIONS["relu"][0])

        features = np.maximum(data.x @ weights.T, 0.0)
        assert np.mean((features @ readout.T - data.targets) ** 2) == pytest.approx(4 * decay**2, rel=1e-6)
        assert nc1(features, data.labels) == pytest.approx(2.0)
        for _ in range(200):
            moved = (p + STEP * rng.normal(size=p.shape) for p in (readout, weights))
            assert (value(*moved) - value(readout, weights)) / STEP > -1e-4


def test_opposite_inputs_never_collapse_in_one_layer_of_relu_without_biases():
    rng = np.random.default_rng(2)
    for _ in range(50):
        data = opposites(rng.normal(size=2))
        features = np.maximum(data.x @ rng.normal(size=(2, rng.integers(2, 20))), 0.0)
        assert nc1(features, data.labels) >= 2.0 - TINY
    data = opposites(np.array([1.0, 0.5]))
    training = kc.networks.train(
        data,
        width=30,
        activation="relu",
        biases=False,
        epochs=3000,
        learning_rate=0.05,
        weight_decay=1e-3,
        precision="float64",
    )
    layers = last_layers(training.networks[0], data.x)
    assert unexplained(layers, data) < 1e-4
    assert training.nc1[0, -1, -1] >= 2.0 - TINY


@pytest.mark.parametrize(
    ("activation", "means", "factor"),
    [("erf", (-2.0, 2.0), 1.0), ("relu", (-2.0, 2.0), 2.0), ("relu", (-6.0, -2.0, 2.0, 6.0), 5 / 3)],
)
def test_units_of_decayed_networks_share_one_input_but_for_its_sign(activation, means, factor):
    """Of erf they have NC1 of the outputs, of ReLU that of their positive and negative part."""
    data = kc.data.gaussian_classes(n=32, dim=8, class_means=means)
    training = kc.networks.train(
        data,
        activation=activation,
        width=100,
        readout_variance=1 / 128,
        parameterisation="ntk",
        epochs=6000,
        learning_rate=5.0,
        weight_decay=2e-2 / 32,
        precision="float64",
    )
    layers = last_layers(training.networks[0], data.x)
    found = nc1(layers.features, data.labels)
    if activation == "relu":
        parts = np.maximum(np.hstack([layers.outputs, -layers.outputs]), 0.0)
        assert found == pytest.approx(nc1(parts, data.labels), rel=1e-2)
    assert found / nc1(layers.outputs, data.labels) == pytest.approx(factor, rel=1e-2)
    assert (found <= outputs_bound(layers, data)) == (activation == "erf")
    assert found < slope_bound(layers, data, ACTIVATIONS[activation][1])


def test_deviations_are_those_of_the_library():
    rng = np.random.default_rng(3)
    data = problem("one-hot", rng)
    expected = kc.nc1_from_features(data.x, data.labels, weighting="sample")
    within, between = deviations(data.x, data.labels)
    assert np.sum(within**2) == pytest.approx(expected.within)
    assert np.sum(between**2) == pytest.approx(expected.between)
