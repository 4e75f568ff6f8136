"""Training in float32 and float64: what a precision does not hold is refused, and round-off is told."""

import dataclasses

import numpy as np
import pytest

import kernel_collapse as kc
from kernel_collapse.networks import train

DATA = kc.data.gaussian_classes(n=40, dim=2)
THREE = kc.data.gaussian_classes(n=42, dim=2, class_means=(-1.0, 0.0, 1.0), class_sizes=(8, 14, 20), seed=4)


def moved(data, offset, scale=1.0):
    return dataclasses.replace(data, targets=scale * data.targets + offset)


def decided(network, data):
    """The class whose target is nearest, by distances in float64."""
    targets = np.stack([data.targets[data.labels == c].mean(axis=0) for c in range(len(data.class_sizes))])
    return ((network(data.x)[:, None, :] - targets) ** 2).sum(axis=2).argmin(axis=1)


@pytest.mark.parametrize(
    ("data", "precision", "offset"),
    [(DATA, "float32", o) for o in (0.0, -3.0, 1e4, -1e5)]
    + [(DATA, "float64", o) for o in (1e4, 3e8)]
    + [(THREE, "float32", o) for o in (0.0, 1e4)],
)
def test_decisions_are_those_of_the_nearest_target(data, precision, offset):
    """Whatever all targets have in common."""
    data = moved(data, offset)
    found = train(
        data,
        width=50,
        epochs=20000 if precision == "float64" else 6000,
        learning_rate=0.01,
        precision=precision,
        seeds=2,
    )
    assert found.accuracy[:, -1].max() > 0.6
    for seed, network in enumerate(found.networks):
        right = decided(network, data) == data.labels
        assert found.accuracy[seed, -1] == pytest.approx(right.mean(), rel=1e-6)
        assert (found.zero_error_epoch[seed] >= 0) or not right.all()
        features = network.features(data.x)
        means = np.stack([features[data.labels == c].mean(axis=0) for c in range(len(data.class_sizes))])
        nearest = ((features[:, None, :] - means) ** 2).sum(axis=2).argmin(axis=1)
        assert found.nc4[seed, -1] == pytest.approx((nearest == decided(network, data)).mean(), abs=1.5 / 40)


@pytest.mark.parametrize(
    ("loss", "offset"), [("mse", o) for o in (0.0, 1e2, 1e4, 1e5)] + [("cross_entropy", 0.0)]
)
@pytest.mark.parametrize("rate", [1e-3, 1e-2])
def test_a_loss_is_right_but_for_its_round_off(loss, offset, rate):
    data = moved(DATA, offset)
    options = {"width": 50, "learning_rate": rate if loss == "mse" else 300.0 * rate, "epochs": 3000}
    found = train(data, loss=loss, probes=(0, 30, 300, 3000), weight_decay=0.0, **options)
    outputs = found.networks[0](data.x)
    if loss == "mse":
        exact = np.mean((outputs - data.targets) ** 2)
    else:
        exact = np.mean(np.logaddexp.reduce(outputs, axis=1) - outputs[np.arange(40), data.labels])
    assert abs(found.loss[0, -1] - exact) < found.loss_error[0, -1]
    unresolved = (found.loss < found.loss_error).any()
    assert unresolved == ("below their round-off in float32" in found.explanation)
    known = train(data, loss=loss, weight_decay=0.0, precision="float64", **options)
    assert known.loss_error[0, 0] < 1e-8 * found.loss_error[0, 0]
    assert ("round-off" in known.explanation) == (known.loss < known.loss_error).any()


@pytest.mark.parametrize("scale", [1e18, 1e30])
@pytest.mark.parametrize("options", [{"epochs": 0}, {"epochs": 3}, {"epochs": 3, "batch_size": 10}])
def test_an_infinite_loss_is_no_success(scale, options):
    data = dataclasses.replace(DATA, x=scale * DATA.x)
    options = options | {"width": 10, "activation": "relu", "learning_rate": 1e-30}
    options |= {"readout_variance": 1e6}
    found = train(data, **options, raise_on_failure=False)
    assert found.status == ("diverged",)
    assert found.diverged_epoch[0] == 0
    assert np.isnan(found.loss).all()
    with pytest.raises(
        kc.networks.NetworkError, match=r"loss at the start is not finite in float32; scale x"
    ):
        train(data, **options)
    known = train(data, **options | {"learning_rate": 1e-300}, precision="float64")
    assert np.isfinite(known.loss).all()


@pytest.mark.parametrize(
    ("changes", "options", "sentence"),
    [
        ({"x": 1e39 * DATA.x}, {}, "the largest entry of x is 3.16e"),
        ({"x": 1e-45 * DATA.x}, {}, "the largest entry of x is 3.16e-45, expected 0, or 1.18e-38 to 3.4e"),
        (
            {"targets": 1e20 * DATA.targets},
            {},
            "targets is 1e+20, .* because the sum of squares must be finite",
        ),
        ({"targets": 1e-40 * DATA.targets}, {}, "the largest entry of targets is 1e-40"),
        ({"targets": DATA.targets + 1e9}, {}, "the targets of two classes are the same in float32"),
        ({}, {"learning_rate": 1e-50}, "learning_rate is 1e-50"),
        ({}, {"learning_rate": 1e39}, r"learning_rate is 1e\+39"),
        ({}, {"weight_decay": 1e-60}, "weight_decay is 1e-60, expected 0, or 1.18e-38"),
        ({}, {"momentum": 1e-60}, "momentum is 1e-60"),
        ({}, {"momentum": 1 - 1e-9}, "momentum is 1 in float32"),
        ({}, {"weight_variance": 1e-90}, "the largest weight of layer 1 at the start"),
        ({}, {"readout_variance": 1e90}, "the largest weight of layer 2 at the start"),
        ({}, {"readout_variance": 1e90, "parameterisation": "ntk"}, "the largest weight of layer 2"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_float32_does_not_hold_is_refused(changes, options, sentence):
    data = dataclasses.replace(DATA, **changes)
    with pytest.raises(kc.InputError, match=sentence.replace("1e+20", r"1e\+20")):
        train(data, width=4, epochs=1, **options)
    if not {"learning_rate", "readout_variance"} & set(options) and "x" not in changes:
        train(data, width=4, epochs=1, precision="float64", **options)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("tiny", [1e-60, 0.0])
def test_a_tiny_number_beside_others_is_a_zero(tiny):
    x, targets = DATA.x.copy(), DATA.targets.copy()
    x[0, 0], targets[3] = tiny, tiny
    found = train(dataclasses.replace(DATA, x=x, targets=targets), width=4, epochs=3)
    x[0, 0], targets[3] = 0.0, 0.0
    assert (
        found.loss.tobytes()
        == train(dataclasses.replace(DATA, x=x, targets=targets), width=4, epochs=3).loss.tobytes()
    )


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5, 1e6, 1e7])
def test_geometry_is_right_or_nan_where_round_off_decides(offset):
    """NC2 and NC3 in float32 are those of the same network in float64, or NaN like NC1, and `explanation` says so."""
    labels = np.arange(60) % 3
    x = np.random.default_rng(0).normal(size=(60, 20)) + labels[:, None] + offset
    data = kc.data.from_arrays(np.float32(x).astype(float), labels)
    found = train(data, width=50, activation="relu", epochs=0)
    network = found.networks[0]
    exact = kc.collapse_from_features(
        network.features(data.x),
        labels,
        classifier=network.weights[-1],
        bias=network.biases[-1],
        targets=data.targets,
    )
    names = ("nc2_norms", "nc2_angles", "nc2_etf", "nc3", "nc3_cosine")
    values = np.array([getattr(found, name).item() for name in names])
    right = np.array([getattr(exact, name) for name in names])
    given = ~np.isnan(values)
    assert (np.abs(values - right)[given] <= 0.1 * np.maximum(np.abs(right), 1e-3)[given]).all()
    assert given.all() if offset <= 1e3 else not given.all()
    assert offset < 1e6 or not given.any()
    assert ("values of NC2 and NC3 are NaN" in found.explanation) == (not given.all())


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_round_off_of_a_loss_counts_terms_that_cancel_in_the_outputs(offset, optimiser):
    """The features are far larger than the outputs: their round-off is what the loss has."""
    labels = np.arange(40) % 2
    images = np.random.default_rng(0).normal(size=(40, 6, 6, 1)) + labels[:, None, None, None] + offset
    data = kc.data.from_arrays(images, labels)
    layers = [kc.kernels.Conv(3), kc.kernels.Activation("relu"), kc.kernels.AvgPool(2)]
    layers += [kc.kernels.Conv(3), kc.kernels.Activation("relu"), kc.kernels.Flatten()]
    rate = 1e-2 / (1.0 + offset**2) if optimiser == "sgd" else 1e-3 / (1.0 + offset)
    found = train(data, layers=layers, width=32, epochs=200, learning_rate=rate, optimiser=optimiser)
    for probe, network in enumerate((found.initial_networks[0], found.networks[0])):
        exact = np.mean((network(data.images) - data.targets) ** 2)
        off = abs(found.loss[0, probe] - exact)
        assert off < found.loss_error[0, probe] < 1e-6 * max(1.0, offset) * max(exact**0.5, 1e-3)
