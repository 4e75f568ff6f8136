"""Networks with convolutions: against PyTorch, dense networks, the Jacobian, and the limits of infinite width."""

from functools import cache

import numpy as np
import pytest
import torch

import kernel_collapse as kc
from kernel_collapse.kernels import Activation, AvgPool, Conv, ConvNNGP, ConvNTK, Flatten, GlobalAvgPool

RELU, ERF = Activation("relu"), Activation("erf")
#: Through strides, paddings, even filters, pools that overlap, linear layers, a filter that is larger than the image.
STACKS = {
    "flatten": [Conv(3), RELU, Conv(3, stride=2), ERF, Flatten()],
    "pooled": [
        AvgPool(2),
        Conv((2, 3), padding="circular"),
        RELU,
        AvgPool(2, 1),
        Conv(4),
        ERF,
        GlobalAvgPool(),
    ],
    "valid": [Conv(3, padding="valid"), RELU, AvgPool(2), Conv(1), Conv(7, 3, "circular"), RELU, Flatten()],
}
IMAGE = (5, 6, 2)
X = np.random.default_rng(0).normal(size=(5, *IMAGE))
LABELS = np.array([0, 0, 1, 1, 1])
DATA = kc.data.from_arrays(X, LABELS)


def network(stack, **options):
    options = {"width": 4, "outputs": 2, "weight_variance": 1.7, "bias_variance": 0.3, "seed": 1} | options
    return kc.networks.initialise(IMAGE, layers=stack, **options)


def by_torch(network, stack, parameters, x):
    """The features of every hidden layer, and the outputs, written a second time."""
    h, hidden = torch.tensor(x).permute(0, 3, 1, 2), []
    scales = list(zip(*network.scales, strict=True))
    number = 0
    for layer in stack:
        if isinstance(layer, Conv):
            if number:
                hidden.append(h.flatten(1))
            rows, columns = layer.windows(tuple(h.shape[2:]))
            around = []
            for window, length in ((columns, h.shape[3]), (rows, h.shape[2])):
                reach = (window.outputs - 1) * window.stride + window.size
                around += [window.low, max(0, reach - window.low - length)]
            if layer.padding == "circular":  # which PyTorch does not do more than once around
                down, across = (4 * length for length in h.shape[2:])
                h = torch.tile(h, (1, 1, 9, 9))
                h = h[:, :, down - rows.low :, across - columns.low :]
                h = h[:, :, : down // 4 + around[2] + around[3], : across // 4 + around[0] + around[1]]
            else:
                h = torch.nn.functional.pad(h, around)
            scale, bias_scale = scales[number]
            weights = parameters[0][number].reshape(-1, rows.size, columns.size, h.shape[1])
            h = torch.nn.functional.conv2d(
                h,
                scale * weights.permute(0, 3, 1, 2),
                bias_scale * parameters[1][number],
                (rows.stride, columns.stride),
            )
            number += 1
        elif isinstance(layer, Activation):
            h = torch.relu(h) if layer == RELU else torch.erf(h)
        elif isinstance(layer, AvgPool):
            h = torch.nn.functional.avg_pool2d(h, layer.size, layer.stride)
        elif isinstance(layer, GlobalAvgPool):
            h = h.mean(dim=(2, 3))
    h = h.flatten(1)
    scale, bias_scale = scales[number]
    return [*hidden, h], h @ (scale * parameters[0][-1]).T + bias_scale * parameters[1][-1]


def parameters_of(network):
    return [[torch.tensor(p, requires_grad=True) for p in kind] for kind in network.parameters]


@pytest.mark.parametrize("parameterisation", ["standard", "ntk"])
@pytest.mark.parametrize("name", STACKS)
def test_features_and_outputs_are_those_of_another_library(name, parameterisation, unchecked):
    found = network(STACKS[name], parameterisation=parameterisation)
    hidden, outputs = by_torch(found, STACKS[name], parameters_of(found), X)
    np.testing.assert_allclose(found(X), outputs.detach(), rtol=1e-11, atol=1e-13)
    for layer, features in enumerate(hidden):
        np.testing.assert_allclose(found.features(X, layer=layer), features.detach(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", STACKS)
def test_a_step_is_that_of_another_library(name, unchecked):
    """One epoch of gradient descent with weight decay, by the derivatives that PyTorch takes."""
    rate, decay = 0.1, 0.02
    training = kc.networks.train(
        DATA,
        layers=STACKS[name],
        width=3,
        epochs=1,
        learning_rate=rate,
        weight_decay=decay,
        parameterisation="ntk",
        bias_variance=0.3,
        precision="float64",
        seeds=2,
    )
    for start, end in zip(training.initial_networks, training.networks, strict=True):
        before = parameters_of(start)
        outputs = by_torch(start, STACKS[name], before, X)[1]
        ((outputs - torch.tensor(DATA.targets)) ** 2).mean().backward()
        for kind, after in zip(before, end.parameters, strict=True):
            for old, new in zip(kind, after, strict=True):
                step = old - rate * (old.grad + decay * old)
                np.testing.assert_allclose(new, step.detach(), rtol=1e-11, atol=1e-13)


def test_images_of_one_pixel_have_the_dense_networks(unchecked):
    """With filters of one position: the same start, the same training, the same empirical kernels."""
    x = np.random.default_rng(3).normal(size=(12, 4))
    labels = np.arange(12) % 3
    options = {"width": (6, 5), "epochs": 20, "learning_rate": 0.1, "seeds": 2, "precision": "float64"}
    dense = kc.networks.train(kc.data.from_arrays(x, labels), depth=2, activation="relu", **options)
    stack = [Conv(1), RELU, Conv(1), RELU, Flatten()]
    pixels = x[:, None, None]
    images = kc.networks.train(kc.data.from_arrays(pixels, labels), layers=stack, **options)
    for name in ("loss", "accuracy", "nc1", "nc2_etf", "nc3", "nc4", "weight_covariance"):
        np.testing.assert_allclose(getattr(images, name), getattr(dense, name), rtol=1e-9, atol=1e-12)
    one, other = images.networks[1], dense.networks[1]
    for kernel in (kc.networks.empirical_ntk, kc.networks.empirical_nngp, kc.networks.agop):
        np.testing.assert_allclose(kernel(one, pixels), kernel(other, x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", STACKS)
def test_the_tangent_kernel_is_that_of_the_jacobian(name, unchecked):
    found = network(STACKS[name])
    parameters = parameters_of(found)
    outputs = by_torch(found, STACKS[name], parameters, X)[1]
    jacobian = np.array(
        [
            [
                np.concatenate(
                    [
                        s.ravel()
                        for s in torch.autograd.grad(f, [*parameters[0], *parameters[1]], retain_graph=True)
                    ]
                )
                for f in row
            ]
            for row in outputs
        ]
    )
    expected = np.einsum("akp,bkp->ab", jacobian, jacobian) / 2
    np.testing.assert_allclose(kc.networks.empirical_ntk(found, X), expected, rtol=1e-11, atol=1e-12)
    part = np.einsum("ap,bp->ab", jacobian[:, 1], jacobian[:, 1])
    np.testing.assert_allclose(kc.networks.empirical_ntk(found, X, X, output=1), part, rtol=1e-11, atol=1e-12)
    if name == "flatten":
        np.testing.assert_allclose(
            kc.networks.empirical_ntk(found, X[:2], X), expected[:2], rtol=1e-11, atol=1e-12
        )


def test_agop_is_that_of_patches(unchecked):
    """A filter that sees all of the image has the gradient in the pixels, its rows, columns and channels in order."""
    found = network([Conv((5, 6), padding="valid"), ERF, Flatten()])
    images = torch.tensor(X, requires_grad=True)
    outputs = by_torch(found, [Conv((5, 6), padding="valid"), ERF, Flatten()], parameters_of(found), X)[1]
    weights = parameters_of(found)
    h = torch.erf(images.reshape(5, -1) @ weights[0][0].T + weights[1][0])
    again = h @ weights[0][1].T + weights[1][1]
    np.testing.assert_allclose(again.detach(), outputs.detach(), rtol=1e-12)
    expected = 0.0
    for output in range(2):
        (slope,) = torch.autograd.grad(again[:, output].sum(), images, retain_graph=True)
        rows = slope.reshape(5, -1).numpy()
        expected = expected + rows.T @ rows / 5
    np.testing.assert_allclose(kc.networks.agop(found, X), expected, rtol=1e-11, atol=1e-13)


# -- the limits of infinite width

SEEDS = 40
KINDS = {"nngp": (ConvNNGP, kc.networks.empirical_nngp), "ntk": (ConvNTK, kc.networks.empirical_ntk)}


@cache
def empirical(name, width):
    """Both kernels of networks in the NTK parameterisation, one a seed, of three images."""
    found = {kind: [] for kind in KINDS}
    for seed in range(SEEDS):
        one = network(
            STACKS[name], width=width, outputs=1, parameterisation="ntk", readout_variance=1.7, seed=seed
        )
        for kind, (_, kernel) in KINDS.items():
            found[kind].append(kernel(one, X[:3])[np.triu_indices(3)])
    return {kind: np.array(values) for kind, values in found.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STACKS)
def test_wide_networks_have_these_kernels(name, kind, unchecked):
    """Within four standard errors; and errors fall as the root of the width, within four of theirs."""
    exact = KINDS[kind][0](STACKS[name], weight_variance=1.7, bias_variance=0.3)(X[:3])[np.triu_indices(3)]
    squares = []
    for width in (32, 128):
        values = empirical(name, width)[kind]
        error = values.std(axis=0, ddof=1) / np.sqrt(SEEDS)
        # The expectation itself is off by order 1 / width, a tenth of a standard error or so at the larger one.
        if width == 128:
            assert (np.abs(values.mean(axis=0) - exact) < 4.0 * error).all()
        squares.append((((values - exact) / exact.max()) ** 2).mean(axis=1))
    means = [s.mean() for s in squares]
    relative = np.sqrt(sum((s.std(ddof=1) / m) ** 2 / SEEDS for s, m in zip(squares, means, strict=True)))
    assert abs(np.log(means[0] / means[1] / 4.0)) < 4.0 * relative
    assert relative < 0.45  # or else it would say nothing


# -- training

DIGITS = kc.data.shipped("digits")
ROWS = kc.data.from_arrays(DIGITS.x[:60], DIGITS.labels[:60])
SMALL = kc.data.from_arrays(DIGITS.x[:60].reshape(-1, 8, 8, 1) / 16.0, DIGITS.labels[:60])
TWO = [Conv(3), RELU, AvgPool(2), Conv(3), RELU, GlobalAvgPool()]


OPTIONS = {
    "layers": TWO,
    "width": 8,
    "epochs": 30,
    "optimiser": "adam",
    "seeds": 2,
    "loss": "cross_entropy",
    "batch_size": 20,
    "probes": (0, 15, 30),
}


def test_training_descends_and_looks_at_every_layer(unchecked):
    training = kc.networks.train(SMALL, learning_rate=0.01, **OPTIONS)
    assert training.status == ("trained", "trained")
    assert training.nc1.shape == (2, 3, 2)
    assert (np.diff(training.loss, axis=1) < 0).all()
    for networks, probe in ((training.initial_networks, 0), (training.networks, -1)):
        for layer in range(2):
            features = networks[1].features(SMALL.images, layer=layer)
            expected = kc.nc1_from_features(features, SMALL.labels).ratio
            assert training.nc1[1, probe, layer] == pytest.approx(expected, rel=1e-4)
    assert training.networks[0].features(SMALL.images, layer=0).shape == (60, 8 * 16)
    assert training.networks[0].features(SMALL.images).shape == (60, 8)
    assert training.weight_covariance.shape == (2, 3, 9, 9)


def test_a_rate_that_is_too_large_has_its_status(unchecked):
    training = kc.networks.train(SMALL, learning_rate=1e9, raise_on_failure=False, **OPTIONS)
    assert training.status == ("diverged", "diverged")
    assert np.isnan(training.nc1[0, -1]).all()
    with pytest.raises(kc.networks.NetworkError, match="diverged"):
        kc.networks.train(SMALL, learning_rate=1e9, **OPTIONS)


def test_the_nc1_of_a_wide_network_is_that_of_its_kernel_layer_by_layer(unchecked):
    networks = [kc.networks.initialise((8, 8, 1), layers=TWO, width=128, seed=seed) for seed in range(8)]
    for layer, stack in enumerate(([Conv(3), RELU, AvgPool(2), Flatten()], TWO)):
        exact = kc.nc1(ConvNNGP(stack)(SMALL.images), SMALL.labels).ratio
        features = [one.features(SMALL.images, layer=layer) for one in networks]
        values = np.log([kc.nc1_from_features(h, SMALL.labels).ratio / exact for h in features])
        assert abs(values.mean()) < 4.0 * values.std(ddof=1) / np.sqrt(len(values))


# -- what is refused


def test_what_does_not_fit_into_memory_is_refused_before_any_work(monkeypatch, unchecked):
    """What a filter sees at every position, and its sums, of all seeds and a batch, in single precision."""
    numbers = 64 * (9 + 8) + 16 * (9 * 8 + 8) + 8 + SMALL.targets.shape[1]
    options = {"layers": TWO, "width": 8, "epochs": 1, "seeds": 2}
    monkeypatch.setattr("kernel_collapse._memory.available", lambda: 60 * 2 * 4 * numbers - 1)
    with pytest.raises(
        kc.InputError, match="training 2 networks at once takes .* of memory, expected at most"
    ):
        kc.networks.train(SMALL, **options)
    monkeypatch.setattr("kernel_collapse._memory.available", lambda: 60 * 2 * 4 * numbers)
    kc.networks.train(SMALL, **options)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: kc.networks.train(ROWS, layers=TWO), "rows of 64 numbers"),
        (lambda: kc.networks.train(SMALL, layers=3), r"stack is one"),
        (lambda: kc.networks.train(SMALL, layers="myrtle-5"), r"stack is one"),
        (lambda: kc.networks.train(SMALL, layers=TWO, depth=2), "depth is given beside layers"),
        (lambda: kc.networks.train(SMALL, layers=TWO, activation="erf"), "activation is given beside layers"),
        (lambda: kc.networks.train(SMALL, layers=TWO, width=(3, 4, 5)), "one width a hidden layer"),
        (lambda: kc.networks.train(SMALL, layers=[Conv(3), RELU]), r"Flatten\(\) or GlobalAvgPool\(\)"),
        (lambda: network([Conv(7, padding="valid"), RELU, Flatten()]), "a filter that fits into the image"),
        (lambda: network([Conv(3, 4), RELU, AvgPool(3), Flatten()]), "of which nothing is left"),
        (lambda: network([Conv(3), Activation("step"), Flatten()]), "does it jump"),
        (lambda: kc.networks.initialise(8, layers=TWO), r"\(height, width, channels\)"),
        (lambda: kc.networks.initialise((8, 8), layers=TWO), r"\(height, width, channels\)"),
        (lambda: kc.networks.initialise((8, 8, 0), layers=TWO), "a size of dim"),
        (lambda: kc.networks.initialise((8, 8, 1)), "dim"),
        (lambda: network(TWO)(X[:, :4]), "images of 4 x 6 x 2, expected 5 x 6 x 2"),
        (lambda: network(TWO)(X.reshape(5, -1)), "four dimensions"),
        (lambda: network(TWO).features(X, layer=2), "2 hidden layers"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, said, unchecked):
    with pytest.raises(kc.InputError, match=said):
        call()
