"""Kernels of convolutional networks: reference values, the definition in many digits, networks of finite width."""

import copy
import pickle
import tracemalloc
from pathlib import Path

import jax
import mpmath
import numpy as np
import pytest
import torch

import kernel_collapse as kc
from kernel_collapse.kernels import Activation, AvgPool, Conv, ConvNNGP, ConvNTK, Flatten, GlobalAvgPool

REFERENCE = np.load(Path(__file__).parent / "data" / "conv_kernels.npz")
KINDS = {"features": ConvNNGP, "ntk": ConvNTK}
#: Networks that go through every stage: strides, paddings, even filters, pools that overlap, linear layers.
NETWORKS = {
    "flatten": [Conv(3), Activation("relu"), Conv(3, stride=2), Activation("relu"), Flatten()],
    "pool and flatten": [
        Conv((2, 3)),
        Activation("relu"),
        AvgPool(2),
        Conv(3),
        Activation("relu"),
        Flatten(),
    ],
    "circular": [
        Conv(3, padding="circular"),
        Activation("abs"),
        Conv(4, 2, "circular"),
        Activation("relu"),
        GlobalAvgPool(),
    ],
    "valid": [
        Conv(3, padding="valid"),
        Activation("relu"),
        AvgPool(2, stride=1),
        Conv(1),
        Activation("erf"),
        GlobalAvgPool(),
    ],
    "tall": [
        Conv((7, 6)),
        Activation("relu"),
        Conv((5, 1), padding="circular"),
        Activation("relu"),
        GlobalAvgPool(),
    ],
    "pool first": [
        AvgPool(2),
        Conv(2),
        Conv(3),
        AvgPool((1, 2)),
        Activation("relu"),
        Conv(5),
        GlobalAvgPool(),
    ],
}
PRIORS = [(1.0, 0.0), (1.7, 0.3)]


@pytest.fixture(scope="module")
def images():
    """Seven images of 5 x 6 and two channels: drawn, equal, nearly equal, scaled, half equal, and blank."""
    x = np.random.default_rng(5).normal(size=(7, 5, 6, 2))
    x[1] = x[0]
    x[2] = x[0] + 1e-9 * x[2]
    x[3] = 3.0 * x[0]
    x[4, :, :4] = x[0, :, 1:5]
    x[5] = 0.0
    x[6, :, :3] = 0.0
    return x


# -- values from elsewhere


def case(name):
    """The layers, the prior and the kind of kernel of a reference value."""
    activation, depth, padding, stride, pool, readout, weight, bias, kind = name.split("|")
    layers = []
    for number in range(int(depth[1:])):
        layers += [Conv(3, int(stride[6:]) if number == 0 else 1, padding.lower()), Activation(activation)]
        layers += [AvgPool(2)] if number == 0 and pool == "pool1" else []
    layers.append(Flatten() if readout == "flatten" else GlobalAvgPool())
    prior = {"weight_variance": float(weight[1:]) ** 2, "bias_variance": float(bias[1:]) ** 2}
    return KINDS[kind](layers, **prior)


CASES = [name for name in REFERENCE.files if name != "x"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_reference_values(activation, kind, unchecked):
    """Of an independent library, whose own ReLU NTK loses half of its digits next to the diagonal."""
    names = [name for name in CASES if name.startswith(activation) and name.endswith(kind)]
    assert len(CASES) == 2 * 62
    for name in names:
        expected = REFERENCE[name]
        accuracy = (1e-8 if (activation, kind) == ("relu", "ntk") else 1e-12) * np.abs(expected).max()
        np.testing.assert_allclose(case(name)(REFERENCE["x"]), expected, rtol=0, atol=accuracy, err_msg=name)


@pytest.mark.parametrize("name", ["relu", "erf", "gelu", "abs", "leaky_relu(0.1)", "tanh", "sign"])
@pytest.mark.parametrize("kind", ["features", "ntk"])
def test_images_of_one_pixel_have_the_dense_kernels(name, kind, unchecked):
    """With filters of one position, or images round which they are put; nearly collinear pixels are among them."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 40))
    x[1], x[2], x[3], x[4] = x[0], -x[0], 3.0 * x[0], 0.0
    if name != "sign":  # whose next angle is the root of this one, and so has half of its digits
        x[5], x[6] = x[0] + 1e-7 * x[5], x[0] + 1e-10 * x[6]
    dense = kc.nngp if kind == "features" else kc.ntk
    for depth in (1, 4):
        for weight, bias in PRIORS:
            prior = {"weight_variance": weight, "bias_variance": bias}
            expected = dense(x, activation=name, depth=depth, **prior)
            found = [KINDS[kind]([Conv(1), Activation(name)] * depth + [Flatten()], **prior)]
            if name != "sign":
                found.append(
                    KINDS[kind](
                        [Conv(3, padding="circular"), Activation(name)] * depth + [GlobalAvgPool()], **prior
                    )
                )
            for kernel in found:
                accuracy = 1e-13 * np.abs(expected).max()
                np.testing.assert_allclose(kernel(x[:, None, None]), expected, rtol=0, atol=accuracy)


# -- the recursion, position by position


def definition(layers, x, weight, bias, number=float):
    """The kernel of the features and that of the whole network, from the definition, by loops over positions.

    `number` is float, or mpmath's numbers of many digits.
    """
    height, width = x.shape[1:3]
    where = [(p, q) for p in range(height) for q in range(width)]
    shape = (height, width)
    values = {
        (i, j, p, r): sum(number(a) * number(b) for a, b in zip(x[i][p], x[j][r], strict=True)) / x.shape[3]
        for i in range(len(x))
        for j in range(len(x))
        for p in where
        for r in where
    }
    tangents = dict.fromkeys(values, number(0))
    first = True
    for layer in layers:
        if isinstance(layer, Activation):
            moments = {
                key: (values[key[0], key[0], key[2], key[2]], values[key[1], key[1], key[3], key[3]])
                for key in values
            }
            for key, (q1, q2) in moments.items():
                kappa, slopes = dual(
                    layer.activation, q1, q2, values[key], number, same=key[0] == key[1] and key[2] == key[3]
                )
                values[key], tangents[key] = kappa, tangents[key] * slopes
        elif isinstance(layer, Conv | AvgPool):
            windows, before = layer.windows(shape), shape
            pool, size = isinstance(layer, AvgPool), windows[0].size * windows[1].size
            shape = windows[0].outputs, windows[1].outputs
            where = [(p, q) for p in range(shape[0]) for q in range(shape[1])]
            moved = [
                {
                    (i, j, p, r): gathered(of, (i, j), (p, r), windows, before, pool, number)
                    * (1 / number(size * size) if pool else number(weight) / size)
                    for i in range(len(x))
                    for j in range(len(x))
                    for p in where
                    for r in where
                }
                for of in (values, tangents)
            ]
            if pool:
                values, tangents = moved
            else:
                values = {key: value + number(bias) for key, value in moved[0].items()}
                tangents = dict(values) if first else {key: values[key] + moved[1][key] for key in values}
                first = False
        else:
            pairs = [(p, r) for p in where for r in where if isinstance(layer, GlobalAvgPool) or p == r]
            n = range(len(x))
            mean = [
                np.array([[float(sum(of[i, j, p, r] for p, r in pairs) / len(pairs)) for j in n] for i in n])
                for of in (values, tangents)
            ]
    return mean[0], weight * (mean[0] + mean[1]) + bias


def gathered(of, images, positions, windows, shape, pool, number):
    """The sum over a filter, of both positions at once, or over the pairs of positions of two pools."""
    steps = [(a, b) for a in range(windows[0].size) for b in range(windows[1].size)]

    def place(at, step):
        found = [w.stride * k - w.low + s for w, k, s in zip(windows, at, step, strict=True)]
        if windows[0].wrap:
            return found[0] % shape[0], found[1] % shape[1]
        return tuple(found) if 0 <= found[0] < shape[0] and 0 <= found[1] < shape[1] else None

    total = number(0)
    for step in steps:
        for other in steps if pool else [step]:
            p, r = place(positions[0], step), place(positions[1], other)
            if p is not None and r is not None:
                total += of[(*images, p, r)]
    return total


def dual(name, q1, q2, c, number, *, same):
    """The dual of ReLU, of the absolute value and of erf, with as many digits as the numbers have."""
    m = mpmath if number is not float else np
    pi = mpmath.pi if number is not float else np.pi
    if name == "erf":
        root = m.sqrt((1 + 2 * q1) * (1 + 2 * q2) - 4 * c * c)
        arcsine = mpmath.asin if number is not float else np.arcsin
        return 2 / pi * arcsine(2 * c / m.sqrt((1 + 2 * q1) * (1 + 2 * q2))), 4 / pi / root
    if q1 == 0 or q2 == 0:
        return number(0), number(0)
    scale = m.sqrt(q1) * m.sqrt(q2)
    cosine = min(max(c / scale, number(-1)), number(1))
    t = number(0) if same else (mpmath.acos if number is not float else np.arccos)(cosine)
    line, bend = (number(0.25), number(0.25)) if name == "relu" else (number(0), number(1))
    slopes = line + bend * (1 - 2 * t / pi)
    return 2 * bend / pi * scale * m.sin(t) + slopes * c, slopes


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_are_the_definition(name, unchecked):
    x = np.random.default_rng(2).normal(size=(2, 5, 6, 2))
    for weight, bias in PRIORS:
        expected = definition(NETWORKS[name], x, weight, bias)
        for kind, value in zip((ConvNNGP, ConvNTK), expected, strict=True):
            found = kind(NETWORKS[name], weight_variance=weight, bias_variance=bias)(x)
            # arccos has lost half of the digits next to the diagonal: what the definition knows of a ReLU NTK
            accuracy = 1e-12 if kind is ConvNNGP else 3e-8
            np.testing.assert_allclose(found, value, rtol=0, atol=accuracy * np.abs(value).max())


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_nearly_equal_and_collinear_images_keep_their_digits(bias, unchecked):
    """Against 60 digits, of patches that are nearly equal, scaled, and seen beyond an edge by one of two alone."""
    layers = [Conv(2), Activation("relu"), Conv((1, 2)), Activation("relu"), Conv(2), Activation("relu")]
    x = np.random.default_rng(3).normal(size=(4, 2, 2, 1))
    x[1], x[2] = x[0] + 1e-9 * x[1], 2.0 * x[0] * (1.0 + 1e-9 * x[2])
    x[3, 0] = 0.0
    with mpmath.workdps(60):
        for end in (Flatten(), GlobalAvgPool()):
            expected = definition([*layers, end], x, 1.5, bias, mpmath.mpf)
            for kind, value in zip((ConvNNGP, ConvNTK), expected, strict=True):
                found = kind([*layers, end], weight_variance=1.5, bias_variance=bias)(x)
                np.testing.assert_allclose(found, value, rtol=0, atol=1e-14 * np.abs(value).max())


def test_after_a_pool_nearly_equal_images_keep_half_of_their_digits(unchecked):
    layers = [Conv(1), Activation("relu"), AvgPool(2), Conv(1), Activation("relu"), Flatten()]
    x = np.random.default_rng(3).normal(size=(3, 2, 2, 1))
    x[1] = x[0] + 1e-9 * x[1]
    with mpmath.workdps(60):
        expected = definition(layers, x, 1.5, 0.1, mpmath.mpf)
    for kind, value, accuracy in zip((ConvNNGP, ConvNTK), expected, (1e-14, 3e-8), strict=True):
        found = kind(layers, weight_variance=1.5, bias_variance=0.1)(x)
        np.testing.assert_allclose(found, value, rtol=0, atol=accuracy * np.abs(value).max())


# -- networks of finite width


def patches(x):
    """What a 3 x 3 filter with padding "same" sees of images (n, h, w, c): (n, h, w, 9 c)."""
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    seen = [wide[:, a : a + height, b : b + width] for a in range(3) for b in range(3)]
    return np.concatenate(seen, axis=3)


@pytest.mark.parametrize("readout", ["flatten", "gap"])
def test_convolutional_networks_of_finite_width_have_these_kernels(readout):
    """The tangent kernel of one hidden layer, whose expectation is exact at any width; the features of two."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4, 4, 2)) + 0.5
    weight, bias, width, draws = 1.5, 0.2, 300, 60
    prior = {"weight_variance": weight, "bias_variance": bias, "activation": "relu", "readout": readout}
    features, tangents = [], []
    for _ in range(draws):
        seen = patches(x)
        w = rng.normal(size=(seen.shape[3], width)) * np.sqrt(weight / seen.shape[3])
        z = seen @ w + np.sqrt(bias) * rng.normal(size=width)
        phi, slope = np.maximum(z, 0.0), z > 0
        tangents.append(
            finite_tangent(phi, slope, seen, rng.normal(size=(4, 4, width)), readout, (weight, bias))
        )
        seen = patches(phi)
        z = seen @ (rng.normal(size=(seen.shape[3], width)) * np.sqrt(weight / seen.shape[3]))
        phi = np.maximum(z + np.sqrt(bias) * rng.normal(size=width), 0.0)
        flat = phi.reshape(3, -1) / 4.0 if readout == "flatten" else phi.mean(axis=(1, 2))
        features.append(flat @ flat.T / width)
    for found, kernel in ((features, ConvNNGP(2, **prior)), (tangents, ConvNTK(1, **prior))):
        error = np.std(found, axis=0, ddof=1) / np.sqrt(draws)
        assert (np.abs(np.mean(found, axis=0) - kernel(x)) < 4.0 * error).all()


def finite_tangent(phi, slope, seen, readout_weights, readout, prior):
    """The kernel of all derivatives of a network of one hidden layer, in the NTK parameterisation."""
    (weight, bias), width = prior, phi.shape[3]
    if readout == "gap":
        ends, g = phi.mean(axis=(1, 2)), slope / 16.0 * readout_weights[0, 0]
    else:
        ends, g = phi.reshape(3, -1) / 4.0, slope / 4.0 * readout_weights
    by_weights = np.einsum("ipqn,ipqf->inf", g, seen).reshape(3, -1) * np.sqrt(weight / seen.shape[3])
    by_biases = g.sum(axis=(1, 2)) * np.sqrt(bias)
    hidden = by_weights @ by_weights.T + by_biases @ by_biases.T
    return weight / width * (hidden + ends @ ends.T) + bias


# -- the laws of a kernel


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_pairs_and_diagonal_are_entries(name, images, unchecked):
    for kind in (ConvNNGP, ConvNTK):
        kernel = kind(NETWORKS[name], bias_variance=0.1)
        gram = kernel(images)
        assert np.isfinite(gram).all()
        np.testing.assert_array_equal(gram, gram.T)
        assert np.linalg.eigvalsh(gram)[0] > -1e-13 * gram.max()
        close = {"rtol": 0, "atol": 1e-14 * gram.max()}
        np.testing.assert_allclose(kernel.diagonal(images), np.diag(gram), **close)
        np.testing.assert_allclose(kernel(images[:2], images), gram[:2], **close)
        np.testing.assert_allclose(kernel.tile(images[:2], images[3:]), gram[:2, 3:], **close)
        np.testing.assert_allclose(kernel.pairs(images[:-1], images[1:]), np.diag(gram, 1), **close)
        assert kernel(images[0], images[4]) == pytest.approx(gram[0, 4], rel=1e-14)


def test_equal_and_blank_images_have_their_limits(images, unchecked):
    """To the last bit, in a network that is chaotic, whose round-off would grow from layer to layer."""
    for readout in ("flatten", "gap"):
        for bias in (0.0, 0.1):
            for name in ("relu", "erf"):
                kernel = ConvNTK(8, activation=name, readout=readout, weight_variance=9.0, bias_variance=bias)
                gram = kernel(images)
                assert gram[0, 1] == gram[0, 0] == gram[1, 1]
                np.testing.assert_array_equal(gram[0], gram[1])
                if bias == 0:
                    np.testing.assert_array_equal(gram[5], 0.0)


def test_blocks_are_the_same_whatever_the_tile(images, monkeypatch, unchecked):
    from kernel_collapse.kernels import _image_network

    kernel = ConvNTK(NETWORKS["pool and flatten"], bias_variance=0.1)
    whole = kernel(images)
    monkeypatch.setattr(_image_network, "ROW", 1)
    np.testing.assert_array_equal(kernel(images), whole)


def test_translated_images_are_the_same_where_they_are_put_round_themselves(unchecked):
    x = np.random.default_rng(0).normal(size=(4, 5, 5, 1))
    layers = [Conv(3, padding="circular"), Activation("relu")] * 2
    pooled = ConvNTK([*layers, GlobalAvgPool()])
    np.testing.assert_allclose(pooled(x, np.roll(x, 2, axis=1)), pooled(x), rtol=1e-13)
    flat = ConvNTK([*layers, Flatten()])
    both = np.roll(x, (1, 3), axis=(1, 2))
    np.testing.assert_allclose(flat(both), flat(x), rtol=1e-13)


def test_a_pair_of_32_x_32_images_fits_into_little_memory(unchecked):
    x = np.random.default_rng(0).random((2, 32, 32, 3))
    tracemalloc.start()
    value = ConvNTK(2, activation="relu", readout="gap").pairs(x[:1], x[1:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert value > 0
    assert peak < 2e8


def test_single_precision(images, unchecked):
    for kind, accuracy in ((ConvNNGP, 1e-6), (ConvNTK, 1e-3)):
        double, single = kind(NETWORKS["flatten"]), kind(NETWORKS["flatten"], dtype="float32")
        found, expected = single(images), double(images)
        assert found.dtype == np.float32
        assert found[0, 1] == found[0, 0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=accuracy * expected.max())


# -- arrays of other libraries


@pytest.mark.parametrize("name", NETWORKS)
def test_arrays_of_other_libraries(name, images, unchecked):
    """At the digits that are left of the angle of nearly collinear patches, which are looked at in NumPy alone."""
    for kind in (ConvNNGP, ConvNTK):
        kernel = kind(NETWORKS[name], bias_variance=0.1)
        expected = kernel(images)
        accuracy = (1e-14 if kind is ConvNNGP else 3e-8) * expected.max()
        x = torch.asarray(images)
        for found, value in (
            (kernel(x), expected),
            (kernel(x[:2], x), expected[:2]),
            (kernel.pairs(x[:-1], x[1:]), np.diag(expected, 1)),
            (kernel.diagonal(x), np.diag(expected)),
        ):
            assert isinstance(found, torch.Tensor)
            np.testing.assert_allclose(found.numpy(), value, rtol=0, atol=accuracy)
    with jax.enable_x64(True):  # of the NTK, compiled in one piece
        found = jax.jit(kernel)(jax.numpy.asarray(images))
        assert isinstance(found, jax.Array)
        np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=accuracy)


@pytest.mark.parametrize("name", ["pool and flatten", "circular"])
def test_gradients_are_differences(name, unchecked):
    rng = np.random.default_rng(4)
    x, way = rng.normal(size=(2, 3, 5, 6, 2))
    labels = np.array([0, 1, 1])
    kernel = ConvNTK(NETWORKS[name], bias_variance=0.1)

    def value(points):
        return (kernel(points) ** 2).sum() if points is not None else 0.0

    step = 1e-5
    expected = (value(x + step * way) - value(x - step * way)) / (2 * step)
    points = torch.tensor(x, requires_grad=True)
    value(points).backward()
    assert float((points.grad * torch.tensor(way)).sum()) == pytest.approx(expected, rel=1e-6)
    kc.nc1(kernel(points), labels).ratio.backward()
    if name == "circular":  # which JAX takes as long to compile
        return
    with jax.enable_x64(True):
        slopes = jax.jit(jax.grad(value))(jax.numpy.asarray(x))
        assert float((slopes * way).sum()) == pytest.approx(expected, rel=1e-6)


def test_blank_and_equal_images_have_finite_gradients(images, unchecked):
    for kind in (ConvNNGP, ConvNTK):
        points = torch.tensor(images, requires_grad=True)
        kind(NETWORKS["flatten"])(points).sum().backward()
        assert torch.isfinite(points.grad).all()


# -- values


@pytest.mark.parametrize(
    ("kernel", "shown"),
    [
        (ConvNNGP(), "ConvNNGP(1)"),
        (ConvNTK(3, activation="relu", readout="gap"), "ConvNTK(3, activation='relu', readout='gap')"),
        (ConvNNGP("myrtle-5", dtype="float32"), "ConvNNGP('myrtle-5', dtype='float32')"),
        (
            ConvNNGP(
                [Conv((3, 2), stride=2, padding="valid"), Activation("relu"), AvgPool(2, stride=1), Flatten()]
            ),
            "ConvNNGP((Conv((3, 2), stride=2, padding='valid'), Activation('relu'), AvgPool(2, stride=1), Flatten()))",
        ),
    ],
    ids=["default", "depth", "named", "layers"],
)
def test_a_kernel_is_a_value(kernel, shown):
    assert repr(kernel) == shown
    again = pickle.loads(pickle.dumps(kernel))
    assert again == kernel
    assert hash(again) == hash(kernel)
    assert copy.copy(kernel) is copy.deepcopy(kernel) is kernel


def test_a_depth_and_a_name_are_layers(unchecked):
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1))
    step = [Conv(3), Activation("relu")]
    for given, layers in (
        (ConvNTK(2, activation="relu"), [*step, *step, Flatten()]),
        (ConvNTK("myrtle-7", activation="relu"), [*(*step * 2, AvgPool(2)) * 2, *step * 2, GlobalAvgPool()]),
    ):
        np.testing.assert_array_equal(given(x), ConvNTK(layers)(x))
    assert ConvNNGP(2) == ConvNNGP(2)
    assert (
        len(
            {ConvNNGP(2), ConvNTK(2), ConvNNGP(3), ConvNNGP(2, readout="gap"), ConvNNGP(2, activation="relu")}
        )
        == 5
    )


# -- what is refused

X = np.ones((4, 5, 5, 1))
RELU, END = Activation("relu"), Flatten()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: ConvNNGP([Conv(6, padding="valid"), END])(X),
            "the filter of Conv\\(6, padding='valid'\\) is 6 x 6",
        ),
        (lambda: ConvNNGP([Conv(3), AvgPool(2), AvgPool(3), END])(X), "of which nothing is left"),
        (lambda: ConvNNGP("myrtle-5")(X[:, :3]), "of which nothing is left"),
        (lambda: Conv(3, stride=0), "the stride of Conv is 0"),
        (lambda: Conv(0), "the filter size of Conv is 0"),
        (lambda: Conv((3, 3, 3)), "the filter size of Conv is \\(3, 3, 3\\)"),
        (lambda: Conv(3, padding="reflect"), "padding is 'reflect'"),
        (lambda: AvgPool(0), "the size of AvgPool is 0"),
        (lambda: AvgPool(2, stride=0), "the stride of AvgPool is 0"),
        (lambda: Activation("rleu"), "activation is 'rleu'"),
        (lambda: ConvNNGP(1)(X[..., :0]), "at least one sample, row, column and channel"),
        (lambda: ConvNNGP(1)(X.reshape(4, -1)), "reshape it by x.reshape"),
        (lambda: ConvNNGP(1)(X[0]), "a single image"),
        (lambda: ConvNNGP(1)([np.ones((3, 3, 1)), np.ones((4, 3, 1))]), "images of several sizes"),
        (lambda: ConvNNGP(1)(X, X[:, :4]), "images of one height, width and number of channels"),
        (lambda: ConvNNGP(1).pairs(X, X[:3]), "as many"),
        (lambda: ConvNNGP(1)(np.where(X > 0, np.nan, X)), "nan in row 0"),
        (lambda: ConvNNGP(0), "layers is 0"),
        (lambda: ConvNNGP("resnet"), "layers is 'resnet'"),
        (lambda: ConvNNGP("myrtle-5", readout="flatten"), "ends with global average pooling"),
        (lambda: ConvNNGP([Conv(3), RELU, END], activation="erf"), "beside a list of layers"),
        (lambda: ConvNNGP([]), "have no end"),
        (lambda: ConvNNGP([Conv(3), RELU]), "have no end"),
        (lambda: ConvNNGP([Conv(3), END, RELU]), "an end before the last"),
        (lambda: ConvNNGP([RELU, END]), "a Conv before every Activation"),
        (lambda: ConvNNGP([Conv(3), RELU, RELU, END]), "a Conv before every Activation"),
        (lambda: ConvNNGP([AvgPool(2), END]), "no convolution"),
        (lambda: ConvNNGP([Conv, END]), "make one, as in"),
        (lambda: ConvNNGP([Conv(3), "relu", END]), "layer 1 is 'relu'"),
        (lambda: ConvNNGP(1, weight_variance=0.0), "weight_variance is 0"),
        (lambda: ConvNNGP(1, bias_variance=-1.0), "bias_variance is -1"),
        (lambda: ConvNNGP(1, readout="mean"), "readout is 'mean'"),
        (lambda: ConvNNGP(1, dtype="float16"), "dtype is 'float16'"),
        (lambda: ConvNNGP(2)(1e150 * X), "variance at a position"),
        (lambda: ConvNNGP(1)(torch.ones((2, 3, 3, 1), dtype=torch.int64)), "float32 or float64"),
        (lambda: kc.nngp(X), "kernel_collapse.kernels.ConvNNGP"),
        (lambda: kc.collapse_from_features(X, [0, 1, 0, 1]), "kernel_collapse.kernels.ConvNNGP"),
        (lambda: kc.streamed_nc1(X, [0, 1, 0, 1]), "kernel_collapse.kernels.ConvNNGP"),
        (lambda: kc.streamed_nc1(X.reshape(4, -1), [0, 1, 0, 1], kernel="conv-ntk"), "reshape it"),
        (lambda: kc.streamed_nc1(X, [0, 1, 0, 1], kernel=("conv-ntk", "ntk")), "kernels of images beside"),
        (lambda: kc.sampled_nc1(X.reshape(4, -1), [0, 1, 0, 1], kernel=ConvNTK(1)), "reshape it"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(make, said, unchecked):
    with pytest.raises(kc.InputError, match=said) as refused:
        make()
    sentence = str(refused.value)
    assert sentence.endswith((".", "?"))
    assert "expected" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("readout", ["flatten", "gap"])
@pytest.mark.parametrize("activation", ["erf", "rbf", "sin", "gelu"])
@pytest.mark.parametrize("kind", [ConvNNGP, ConvNTK])
def test_single_precision_keeps_its_digits_far_from_zero(kind, activation, readout, rng):
    """Of pixels of a thousand, float32 has no digit of the angle by a difference of products."""
    for channels in (1, 3):
        x = 1000 + np.arange(8)[:, None, None, None] % 2 + rng.normal(size=(8, 4, 5, channels))
        x = x.astype(np.float32).astype(float)
        expected = kind(1, activation=activation, readout=readout)(x)
        single = kind(1, activation=activation, readout=readout, dtype="float32")(x)
        of_torch = kind(1, activation=activation, readout=readout)(torch.tensor(x, dtype=torch.float32))
        for found in (single, of_torch.numpy()):
            np.testing.assert_allclose(found, expected, atol=5e-5 * np.abs(expected).max())


@pytest.mark.parametrize("array", [np.asarray, torch.tensor])
def test_angles_that_are_lost_above_the_first_convolution_are_refused(array, rng):
    """There the determinant is a difference: half of its digits are gone, and a smooth dual would take them all."""
    x = 1e6 + rng.normal(size=(4, 4, 4, 1))
    kernel = ConvNNGP([Conv(3), Conv(3), Activation("rbf"), Flatten()])
    with pytest.raises(ValueError, match="angle has lost half of its digits"):
        kernel(array(x))
    assert np.isfinite(np.asarray(kernel(array(x - 1e6)))).all()
