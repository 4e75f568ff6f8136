"""Classes that share a target: a sample is right if its output is nearest to the target of its class."""

import numpy as np
import pytest

import kernel_collapse as kc
from kernel_collapse import networks
from kernel_collapse._shared_targets import class_targets, first_with_target
from kernel_collapse.runs.of_networks import NetworkNC1

LABELS = np.repeat([0, 1, 2, 3], [10, 7, 9, 3])
#: Targets of which the mean of several differs from each by round-off, too.
PAIRS = (-1.0, 1.0), (0.1, 0.7)


@pytest.fixture(params=PAIRS)
def apart(request, rng):
    """Four classes far apart, two of either target, as a data set."""
    low, high = request.param
    x = rng.normal(size=(len(LABELS), 5)) + 8.0 * np.eye(5)[LABELS]
    return kc.data.from_arrays(x, LABELS, targets=np.where(LABELS < 2, low, high))


def share_right(outputs, targets, labels):
    """Return the share of samples no class target of which is nearer to the output than that of their class."""
    aims = np.array([targets[labels == c][0] for c in range(labels.max() + 1)])
    gaps = ((outputs[:, None, :] - aims) ** 2).sum(axis=2)
    return np.mean(gaps[np.arange(len(labels)), labels] <= gaps.min(axis=1))


def test_the_first_class_with_a_target():
    aims = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 1.0], [2.0, 1.0], [2.0, 0.0]])
    assert first_with_target(aims).tolist() == [0, 1, 0, 3, 1]
    codes = np.repeat(np.arange(5), [3, 10, 7, 1, 6])
    np.testing.assert_array_equal(class_targets(codes, 0.1 * aims[codes]), 0.1 * aims)
    mixed = class_targets(np.array([0, 0, 1]), np.array([[1.0], [2.0], [5.0]]))
    assert mixed.tolist() == [[1.5], [5.0]]


def test_of_a_deep_rfm(apart):
    machine = kc.deep_rfm(apart.x, apart.targets, depth=2, labels=apart.labels)
    for layer in machine.layers:
        assert layer.training_error < 1e-9
        assert layer.accuracy == share_right(layer.predictions, apart.targets, apart.labels) == 1.0
    for layer in machine.held_out(apart.x, apart.labels).layers:
        assert layer.accuracy == 1.0


def test_of_a_gram_matrix_and_of_features(apart):
    found = kc.collapse(kc.nngp(apart.x), apart.labels, targets=apart.targets)
    assert found.accuracy == found.nc4 == 1.0
    assert found.reason == ""
    weights = np.linalg.lstsq(apart.x, apart.targets, rcond=None)[0].T
    held = kc.collapse_from_features(apart.x, apart.labels, classifier=weights, targets=apart.targets)
    assert held.accuracy == share_right(apart.x @ weights.T, apart.targets, apart.labels)


def test_of_a_trained_network(apart):
    training = networks.train(apart, seeds=[0, 1], epochs=400, probes=[0, 400], width=50, learning_rate=1e-3)
    for seed, network in enumerate(training.networks):
        right = share_right(network(apart.x), apart.targets, apart.labels)
        assert training.accuracy[seed, -1] == pytest.approx(right, abs=1e-6)
    assert training.accuracy.max() > 0.9  # two of four classes would be wrong
    what = NetworkNC1(width=50, epochs=400)
    outputs = what._held_out(training.networks[0], apart, apart)[0]
    assert outputs["held_out_accuracy"] == pytest.approx(training.accuracy[0, -1], abs=1e-6)
