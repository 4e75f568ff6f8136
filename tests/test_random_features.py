import tracemalloc

import numpy as np
import pytest

import kernel_collapse as kc
from conftest import types_unchecked
from kernel_collapse import activations, kernels
from kernel_collapse.activations import Activation
from kernel_collapse.collapse import WEIGHTINGS, _random_features


def small(sizes=(40, 40), dim=4):
    data = kc.data.gaussian_classes(
        sum(sizes), dim, class_means=np.linspace(-2.0, 2.0, len(sizes)), class_sizes=sizes, seed=3
    )
    order = np.random.default_rng(0).permutation(len(data.x))
    return data.x[order], data.labels[order]


# -- the one pass, against all features at once


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("rows", [1, 7, 80, 1000])
@pytest.mark.parametrize("depth", [1, 3])
def test_blocks_give_nc1_of_the_whole_feature_matrix(weighting, rows, depth):
    x, labels = small((50, 29, 1))
    options = {"bias_variance": 0.3, "weight_variance": 1.7, "activation": "relu", "depth": depth}
    value = kc.random_feature_nc1(x, labels, features=600, weighting=weighting, rows=rows, seed=5, **options)
    kernel = kernels.NNGP("relu", depth=depth, weight_variance=1.7, bias_variance=0.3)
    network = (_random_features._Shallow if depth == 1 else _random_features._Deep)(
        4, 600, kernel, np.random.default_rng(5)
    )
    expected = kc.nc1_from_features(network(x) / np.sqrt(600), labels, weighting=weighting)
    assert (value.features, value.rows, value.pairs) == (600, 80, 0)
    for name in ("within", "between", "ratio"):
        assert getattr(value, name) == pytest.approx(getattr(expected, name), rel=1e-11)


def test_deep_networks_are_the_layers_written_out():
    kernel = kernels.NNGP("erf", depth=3, weight_variance=1.7, bias_variance=0.3)
    network = _random_features._Deep(4, 512, kernel, np.random.default_rng(0))
    x, _ = small()
    for k in range(8):
        part = slice(64 * k, 64 * (k + 1))
        h = activations.get("erf")(x @ network.first.weights[:, part] + network.first.bias[part])
        for layer in range(2):
            h = activations.get("erf")(h @ network.weights[layer][k] + network.biases[layer, k])
        np.testing.assert_allclose(network(x)[:, part], h, rtol=1e-12, atol=1e-14)


def test_features_far_from_the_origin_keep_their_digits():
    """A unit whose mean is 1e6 times its spread: sums of squares would leave no digit of it."""
    x, labels = small()
    features = x @ np.random.default_rng(0).normal(size=(4, 50))
    near, far = (_random_features._ClassMoments(2) for _ in range(2))
    for start in range(0, 80, 10):
        part = slice(start, start + 10)
        near.add(features[part].copy(), labels[part])
        far.add(features[part] + 1e6, labels[part])
    for exact, shifted in zip(near.traces("paper"), far.traces("paper"), strict=True):
        np.testing.assert_allclose(shifted, exact, rtol=1e-8)


# -- statistics


@pytest.mark.parametrize(
    ("activation", "depth", "sizes", "features"),
    [("erf", 1, (40, 40), 512), ("relu", 1, (100, 2), 512), ("erf", 3, (20, 20), 1024)],
)
def test_intervals_cover_and_traces_are_those_of_the_kernel(activation, depth, sizes, features):
    x, labels = small(sizes)
    options = {"activation": activation, "depth": depth, "bias_variance": 0.1}
    exact = kc.nc1(kc.nngp(x, **options), labels)
    with types_unchecked():
        values = [
            kc.random_feature_nc1(x, labels, features=features, seed=seed, **options) for seed in range(1000)
        ]
    covered = sum(value.low <= exact.ratio <= value.high for value in values)
    assert 930 <= covered <= 970
    for name in ("within", "between"):
        drawn = np.array([getattr(value, name) for value in values])
        bias = abs(drawn.mean() - getattr(exact, name)) / drawn.std()
        # Unbiased at depth 1; below it, the bias of a finite width is a small part of the standard deviation.
        assert bias < 3.5 / np.sqrt(1000) + (0.0 if depth == 1 else 0.1)


def test_error_falls_with_the_root_of_features():
    x, labels = small()
    coarse, fine = (kc.random_feature_nc1(x, labels, features=f).relative_error for f in (500, 50_000))
    assert coarse / fine == pytest.approx(10.0, rel=0.2)


def test_any_callable_activation_will_do():
    """No more than its call is asked for; that of sin has the kernel exp(-(q1 + q2)/2) sinh c."""

    class Sine(Activation):
        name = "sine"
        kappa = kappa_c = kappa_q = None

        def __call__(self, x):
            return np.sin(x)

    x, labels = small()
    gram = x @ x.T / 4
    q = np.diag(gram)
    exact = kc.nc1(np.exp(-0.5 * (q[:, None] + q)) * np.sinh(gram), labels).ratio
    value = kc.random_feature_nc1(x, labels, activation=Sine(), features=20_000, confidence=0.999)
    assert value.low < exact < value.high
    assert value.relative_error < 0.1


# -- cost


class Made:
    """Rows that are made as they are read."""

    shape = (20_000, 3)

    def __init__(self):
        self.read = []

    def __getitem__(self, rows):
        self.read.append(rows)
        return np.sin(rows[:, None] * np.arange(1.0, 4.0)) + (rows[:, None] % 2)


def test_rows_are_read_once_and_features_never_held_whole():
    x, labels = Made(), np.arange(20_000) % 2
    tracemalloc.start()
    value = kc.random_feature_nc1(x, labels, features=1024, rows=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert value.rows == 20_000
    np.testing.assert_array_equal(np.concatenate(x.read), np.arange(20_000))
    assert max(map(len, x.read)) == 256
    assert peak < 8 * 20_000 * 1024 / 5


# -- degenerate, but legal


def test_constant_features_have_no_ratio():
    value = kc.random_feature_nc1(np.full((3000, 3), 0.1), np.arange(3000) % 2, rows=100)
    assert (value.within, value.between) == (0.0, 0.0)
    assert np.isnan([value.ratio, value.low, value.high]).all()
    assert "the class means coincide" in value.reason


def test_complete_collapse(rng):
    x, labels = np.repeat(rng.normal(size=(3, 4)), 50, axis=0), np.repeat([0, 1, 2], 50)
    value = kc.random_feature_nc1(x, labels, rows=37)
    assert (value.low, value.ratio, value.high, value.relative_error) == (0.0, 0.0, 0.0, 0.0)
    assert value.between > 0
    alone = kc.random_feature_nc1(rng.normal(size=(4, 2)), list("abcd"))
    assert (alone.within, alone.ratio) == (0.0, 0.0)


def test_seeds_repeat_and_differ():
    x, labels = small()
    first, again, other = (kc.random_feature_nc1(x, labels, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.ratio != other.ratio


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 1}, "features is 1, expected a whole number that is at least 2"),
        ({"features": 511, "depth": 2}, "features is 511, expected a whole number that is at least 512"),
        ({"confidence": 1.0}, "confidence is 1.0, expected a number between 0 and 1"),
        ({"rows": 0}, "rows is 0"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"depth": 0}, "depth is 0"),
        ({"weight_variance": 0.0}, "weight_variance is 0.0"),
        ({"weighting": "papre"}, "did you mean 'paper'"),
        ({"activation": "reul"}, "did you mean 'relu'"),
    ],
)
def test_bad_parameters_are_refused(options, message):
    x, labels = small()
    with pytest.raises(ValueError, match=message):
        kc.random_feature_nc1(x, labels, **options)


@pytest.mark.parametrize(
    ("x", "labels", "message"),
    [
        (np.eye(3), [0, 1], "x has 3 rows and there are 2 labels"),
        (np.eye(3), [0, 0, 0], "all 3 labels are 0, expected at least two classes"),
        (np.array([[1.0], [2.0], [np.nan]]), [0, 0, 1], "x holds nan in row 2, column 0"),
        (np.full((4, 2), 1e200), [0, 0, 1, 1], "features are not finite or their squares pass"),
    ],
)
def test_bad_data_are_refused(x, labels, message):
    with pytest.raises(ValueError, match=message):
        kc.random_feature_nc1(x, labels, activation="relu", rows=2)
