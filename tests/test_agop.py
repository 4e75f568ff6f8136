"""Average gradient outer products in closed form, of kernels and networks, against derivatives of what they predict."""

import jax
import mpmath
import numpy as np
import pytest
import torch
from torch import nn

import kernel_collapse as kc
from kernel_collapse.kernels import NNGP, NTK, Gaussian, Laplace, Linear


def outer(f, x, step=1e-3):
    """The AGOP of a function of rows, by differences of fourth order."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for row in x:
        around = row + step * np.array([-2, -1, 1, 2])[:, None, None] * np.eye(x.shape[1])
        values = np.array([f(points) for points in around])
        jacobian = np.tensordot([1, -8, 8, -1], values, axes=1) / (12 * step)
        total += jacobian @ jacobian.T / len(x)
    return total


#: Smooth at samples to second order at most: their differences know less.
KINKED = (
    NNGP("relu", depth=2),
    Laplace(2.0),
    NTK("relu"),
    NTK("relu", depth=2),
    NTK("rectified_monomial(2)"),
)


@pytest.fixture
def data():
    rng = np.random.default_rng(4)
    return rng.normal(size=(14, 4)), rng.normal(size=(14, 2))


@pytest.mark.parametrize(
    "kernel",
    [
        *(Laplace(2.0), Gaussian(1.5), Linear(bias_variance=0.2), NNGP("erf"), NNGP("relu", depth=2)),
        NNGP("gelu", depth=3, bias_variance=0.1, weight_variance=1.3),
        *(
            NTK("erf"),
            NTK("erf", depth=3, bias_variance=0.1, weight_variance=1.3),
            NTK("relu"),
            NTK("relu", depth=2),
        ),
        *(
            NTK("polynomial(0.2, 1, 0.3)", depth=2),
            NTK("rectified_monomial(2)"),
            NTK("sin(1, 0.7, 0.4)", depth=2),
        ),
    ],
    ids=str,
)
def test_kernels(kernel, data):
    x, y = data
    alpha = np.linalg.solve(kernel(x) + 0.1 * np.eye(14), y)
    found = kc.rfm.kernel_agop(x, y, kernel=kernel, ridge=0.1)
    expected = outer(lambda points: kernel(points, x) @ alpha, x)
    accuracy = 1e-4 if kernel in KINKED else 1e-8
    np.testing.assert_allclose(found, expected, atol=accuracy * np.abs(expected).max())


def test_a_deep_rfm_is_made_of_it():
    data = kc.data.gaussian_classes(n=30, dim=4, seed=0)
    x = data.x / np.linalg.norm(data.x, axis=1, keepdims=True)
    m = kc.rfm.kernel_agop(x, data.targets, kernel=Laplace(2.0), ridge=1e-3)
    layer = kc.deep_rfm(data.x, data.targets, depth=1, ridge=1e-3).layers[0]
    np.testing.assert_allclose(layer.gram_agop, x @ m @ x.T, atol=1e-11 * layer.gram_agop.max())


@pytest.mark.parametrize("activation", ["erf", "gelu"])
def test_the_adaptive_kernel(activation):
    data = kc.data.gaussian_classes(n=16, dim=3, seed=1)
    ridge, readout = 1e-2, 1 / 128
    solution = kc.solve_adaptive(
        data.x, data.targets, activation=activation, width=100, noise_variance=ridge, readout_variance=readout
    )
    alpha = np.linalg.solve(readout * solution.gram + ridge * np.eye(16), data.targets)
    found = kc.rfm.kernel_agop(
        data.x,
        data.targets,
        kernel=NNGP(activation),
        ridge=ridge / readout,
        metric=solution.weight_covariance,
    )
    expected = outer(lambda points: readout * solution.kernel(points, data.x) @ alpha, data.x)
    np.testing.assert_allclose(found, expected, atol=1e-7 * np.abs(expected).max())


def with_digits(kernel, x, y, ridge, digits=60):
    """The AGOP of the Gaussian, the Laplace or the arcsine kernel, of the numbers given, in that many digits."""
    mpmath.mp.dps = digits
    n, dim = x.shape
    rows = [[mpmath.mpf(float(v)) for v in row] for row in x]
    dot = [[mpmath.fsum(u * v for u, v in zip(a, b, strict=True)) for b in rows] for a in rows]

    def of(i, j):
        """The kernel, and its derivatives in the squared length of i and in the product."""
        q, p, c = dot[i][i], dot[j][j], dot[i][j]
        if isinstance(kernel, NNGP):
            q, p, c = q / dim, p / dim, c / dim
            root = mpmath.sqrt((1 + 2 * q) * (1 + 2 * p) - 4 * c * c)
            value = 2 / mpmath.pi * mpmath.atan2(2 * c, root)
            return value, -4 * c / (1 + 2 * q) / root / mpmath.pi / dim, 4 / root / mpmath.pi / dim
        h, squares = mpmath.mpf(kernel.bandwidth), abs(q + p - 2 * c)
        if isinstance(kernel, Gaussian):
            value = mpmath.exp(-squares / (2 * h**2))
            return value, -value / (2 * h**2), value / h**2
        apart = mpmath.sqrt(squares)
        value = mpmath.exp(-apart / h)
        slope = value / (h * apart) if apart > 0 else mpmath.mpf(0)
        return value, -slope / 2, slope

    known = [[of(i, j) for j in range(n)] for i in range(n)]
    matrix = mpmath.matrix(n, n)
    for i in range(n):
        for j in range(n):
            matrix[i, j] = known[i][j][0] + (mpmath.mpf(ridge) if i == j else 0)
    alpha = mpmath.lu_solve(matrix, mpmath.matrix([mpmath.mpf(float(v)) for v in y]))
    jacobian = [
        [
            mpmath.fsum(
                alpha[j] * (known[i][j][2] * rows[j][k] + 2 * known[i][j][1] * rows[i][k]) for j in range(n)
            )
            for k in range(dim)
        ]
        for i in range(n)
    ]
    return np.array(
        [
            [float(mpmath.fsum(row[a] * row[b] for row in jacobian) / n) for b in range(dim)]
            for a in range(dim)
        ]
    )


def hard(count):
    """Problems at random that are ill-conditioned, far from the origin, or have a pair that is close."""
    rng = np.random.default_rng(20261130)
    for _ in range(count):
        dim, n = int(rng.choice([1, 2, 3])), int(rng.integers(5, 10))
        h = float(rng.choice([0.5, 1.0, 2.0, 4.0]))
        kernel = rng.choice(np.array([Gaussian(h), Gaussian(h), Laplace(h), NNGP("erf")], dtype=object))
        ridge = float(rng.choice([0.0, 1e-14, 1e-9, 1e-6, 1e-3]))
        x = rng.normal(size=(n, dim))
        if rng.random() < 0.5:
            x[1] = x[0] + 10.0 ** rng.uniform(-12, -2) * rng.normal(size=dim)
        yield kernel, x + rng.choice([0.0, 1.0, 1e2, 1e4, 1e6]), np.sign(rng.normal(size=n)), ridge


def test_what_is_given_is_known_to_a_thousandth():
    """Against 60 digits: in problems of condition up to 1/eps every AGOP is right to 1e-3, or refused."""
    given = refused = 0
    for kernel, x, y, ridge in hard(150):
        try:
            found = kc.rfm.kernel_agop(x, y, kernel=kernel, ridge=ridge)
        except kc.InputError as error:
            assert "round-off" in str(error)  # noqa: PT017
            refused += 1
            continue
        known = with_digits(kernel, x, y, ridge)
        assert np.abs(found - known).max() <= 1e-3 * np.abs(known).max()
        given += 1
    assert given > 100
    assert refused > 10


@pytest.mark.parametrize("kernel", [Gaussian(2.0), Laplace(2.0)], ids=str)
def test_of_distances_it_does_not_move_with_the_samples(kernel, rng):
    """On a grid of 2^-20 the samples are as they were, 2^27 away from the origin."""
    x = np.round(rng.normal(size=(30, 3)) * 2**20) / 2**20
    y = np.sin(x[:, :2])
    for metric in (None, np.diag([1.0, 2.0, 0.0])):
        known = kc.rfm.kernel_agop(x, y, kernel=kernel, ridge=1e-3, metric=metric)
        for offset in (2.0**20, -(2.0**27)):
            found = kc.rfm.kernel_agop(x + offset, y, kernel=kernel, ridge=1e-3, metric=metric)
            np.testing.assert_allclose(found, known, atol=1e-11 * known.max())


@pytest.mark.parametrize("apart", [1e-3, 1e-7, 1e-8, 1e-12, 1e-15])
def test_a_close_pair_keeps_its_digits(apart, rng):
    x, y = rng.normal(size=(9, 3)), rng.normal(size=9)
    x[1] = x[0] + np.array([0.0, 0.0, apart])
    y[:2] = 1.0, -1.0
    known = with_digits(Laplace(2.0), x, y, 1e-3)
    found = kc.rfm.kernel_agop(x, y, kernel=Laplace(2.0), ridge=1e-3)
    np.testing.assert_allclose(found, known, atol=1e-11 * np.abs(known).max())


@pytest.mark.parametrize("kernel", [Gaussian(1.5), Laplace(2.0), NNGP("erf"), Linear()], ids=str)
def test_a_metric_is_that_of_other_features(kernel, rng):
    """With S = R'R and z = R x the gradient in x is R' that in z; more rows than are looked at twice."""
    x, y = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    x[1] = x[0] + 1e-6
    root = rng.normal(size=(2, 3))
    inner = kc.rfm.kernel_agop(x @ root.T, y, kernel=kernel, ridge=1e-2, metric=np.eye(2))
    found = kc.rfm.kernel_agop(x, y, kernel=kernel, ridge=1e-2, metric=root.T @ root)
    np.testing.assert_allclose(found, root.T @ inner @ root, atol=1e-8 * np.abs(found).max())


def test_gradients_whose_squares_are_lost_are_refused(data):
    x, y = data
    with pytest.raises(kc.InputError, match="the largest gradient is"):
        kc.rfm.kernel_agop(x, y * 1e-130, kernel=Linear(), ridge=1e10)
    zero = kc.rfm.kernel_agop(x[:1], y[:1], kernel=Gaussian())
    assert (zero == 0.0).all()
    assert (kc.rfm.kernel_agop(x, 0.0 * y, kernel=Gaussian(), ridge=0.1) == 0.0).all()


def test_of_a_linear_kernel_it_is_beta_beta(data):
    x, y = data
    beta = np.linalg.solve(x.T @ x / 4 + 0.1 * np.eye(4), x.T @ y / 4)
    found = kc.rfm.kernel_agop(x, y, kernel=Linear(), ridge=0.1)
    np.testing.assert_allclose(found, beta @ beta.T, atol=1e-12)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("parameterisation", ["standard", "ntk"])
def test_networks(layer, parameterisation, data):
    x, _ = data
    network = kc.networks.initialise(
        4, width=(6, 5), outputs=3, parameterisation=parameterisation, bias_variance=0.3, activation="tanh"
    )

    def above(features):
        for number in range(layer, 3):
            z = features @ (network.scales.weights[number] * network.weights[number]).T
            features = z + network.scales.biases[number] * network.biases[number]
            features = np.tanh(features) if number < 2 else features
        return features

    given = x if layer == 0 else network.features(x, layer=layer - 1)
    np.testing.assert_allclose(above(given), network(x), atol=1e-13)
    expected = outer(above, given)
    found = kc.networks.agop(network, x, layer=layer)
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())
    with pytest.raises(kc.InputError, match="layer is 3, expected 0 to 2"):
        kc.networks.agop(network, x, layer=3)


def test_training_brings_the_first_layer_to_the_ansatz():
    """One of eight features decides: its weights grow, and so does the gradient along it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8))
    data = kc.data.from_arrays(x, x[:, 0] > 0)
    options = {"width": 100, "activation": "relu", "learning_rate": 0.1, "weight_decay": 1e-3, "seeds": [0]}
    found = []
    for epochs in (0, 2000):
        network = kc.networks.train(data, epochs=epochs, readout_variance=0.01, **options).networks[0]
        weights = network.weights[0]
        found.append(kc.rfm.feature_ansatz(weights.T @ weights, kc.networks.agop(network, x)).correlation)
    assert found[1] > max(0.9, found[0])


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.other, self.unused = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 4)

    def forward(self, x):
        return self.other(self.fc(self.fc(x)))


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3)).double()


def test_torch_models(data):
    x = torch.tensor(data[0])
    model = small()
    flags = [module.training for module in model.modules()]
    for layer, part, given in ((None, model, x), ("0", model, x), ("3", model[3:], model[1](model[0](x)))):
        found = kc.torch.agop(model, x, layer=layer)
        part.eval()
        jacobian = np.array([torch.autograd.functional.jacobian(part, row[None])[0, :, 0] for row in given])
        part.train()
        expected = np.einsum("aki,akj->ij", jacobian, jacobian) / 14
        np.testing.assert_allclose(found, expected, atol=1e-13)
    assert [module.training for module in model.modules()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    assert x.requires_grad is False
    last = model[3].weight.detach().numpy()
    np.testing.assert_allclose(kc.torch.agop(model, x, layer="3"), last.T @ last, atol=1e-13)
    frozen = small().requires_grad_(False)
    np.testing.assert_allclose(kc.torch.agop(frozen, x), kc.torch.agop(model, x), atol=1e-13)


def descending():
    """A classifier one of whose eight features decides, its samples in batches of two sizes, and its training."""
    torch.manual_seed(0)
    x = torch.randn(120, 8, dtype=torch.float64)
    labels = (x[:, 0] > 0).long()
    model = nn.Sequential(
        nn.Linear(8, 40), nn.ReLU(inplace=True), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 2)
    )
    model = model.double()
    descent = torch.optim.SGD(model.parameters(), lr=0.2, weight_decay=1e-3)

    def step():
        descent.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        descent.step()

    return model, x, [(x[:70], labels[:70]), (x[70:], labels[70:])], step


def test_the_recorder_follows_the_ansatz_over_training(tmp_path):
    model, x, loader, step = descending()
    callback = kc.torch.Callback(
        loader, "4", epochs=[0, 150, 300], ansatz="all linear layers", path=tmp_path / "history.npz"
    )
    for epoch in range(301):
        found = callback(model, epoch)
        if found is not None:
            assert list(found.ansatz) == ["0", "2", "4"]
            for layer in found.ansatz:
                weight = dict(model.named_modules())[layer].weight.detach().numpy()
                known = kc.rfm.feature_ansatz(weight.T @ weight, kc.torch.agop(model, x, layer=layer))
                assert found.ansatz[layer].correlation == pytest.approx(known.correlation, abs=1e-9)
                assert found.ansatz[layer].cosine == pytest.approx(known.cosine, abs=1e-9)
        step()
    curves = callback.history.ansatz()
    assert curves["0"][-1] > max(0.9, curves["0"][0])
    loaded = kc.History.load(tmp_path / "history.npz")
    assert loaded.ansatz() == curves
    assert loaded.ansatz("cosine") == callback.history.ansatz("cosine")
    plain = kc.torch.record(model, loader, "4")
    assert plain.ansatz == {}
    assert plain["4"].nc1 == kc.torch.record(model, loader, "4", ansatz=["2", "0"])["4"].nc1
    callback.history.append(plain, 400)
    assert np.isnan(callback.history.ansatz()["0"][-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ansatz": "1"}, "ansatz is '1', a ReLU, expected torch.nn.Linear"),
        ({"ansatz": "fc"}, "layers is 'fc'"),
        ({"ansatz": "0", "decide": "none", "once": True}, "the loader is an iterator"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_has_no_ansatz_is_refused_before_any_pass(change, message):
    model, _, loader, _ = descending()
    once = change.pop("once", False)
    with pytest.raises(kc.InputError, match=message):
        kc.torch.record(model, iter(loader) if once else loader, "4", **change)


def test_torch_and_jax_agree(data):
    x = data[0]
    network = kc.networks.initialise(4, width=6, outputs=3, bias_variance=0.1, activation="erf")
    model = nn.Sequential(nn.Linear(4, 6), Erf(), nn.Linear(6, 3)).double()
    with torch.no_grad():
        for module, weights, biases in zip(
            (model[0], model[2]), network.weights, network.biases, strict=True
        ):
            module.weight.copy_(torch.tensor(weights))
            module.bias.copy_(torch.tensor(biases))
    for layer, name in ((0, None), (1, "2")):
        np.testing.assert_allclose(
            kc.torch.agop(model, torch.tensor(x), layer=name),
            kc.networks.agop(network, x, layer=layer),
            atol=1e-13,
        )


class Erf(nn.Module):
    def forward(self, x):
        return torch.erf(x)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda x: kc.torch.agop(small(), x, layer="fc"), "layer is 'fc'"),
        (lambda x: kc.torch.agop(small(), x, layer="*"), "expected the name of one module"),
        (lambda x: kc.torch.agop(small(), x.long()), "no floating-point tensor"),
        (lambda x: kc.torch.agop(small(), (x,)), "no floating-point tensor"),
        (lambda x: kc.torch.agop(Twice().double(), x, layer="fc"), "called 2 times"),
        (lambda x: kc.torch.agop(Twice().double(), x, layer="unused"), "never called"),
        (lambda x: kc.torch.agop(nn.Flatten(0), x), "output"),
        (lambda x: kc.torch.agop(small(), x * float("nan")), "a gradient is not finite"),
        (lambda x: kc.torch.agop(3, x), "torch.nn.Module"),
        (lambda x: kc.rfm.kernel_agop(x.numpy(), np.ones(3), kernel=Linear()), "x has 14 rows and targets 3"),
        (
            lambda x: kc.rfm.kernel_agop(x.numpy(), np.ones(14), kernel=kc.kernels.NTK("gelu")),
            "kernel is the NTK of 'gelu'",
        ),
        (lambda x: kc.rfm.kernel_agop(x.numpy(), np.ones(14), kernel=Linear()), "singular to round-off"),
        (lambda x: kc.rfm.kernel_agop(x.numpy(), np.ones(14), kernel=Linear(), ridge=-1), "ridge is -1"),
        (
            lambda x: kc.rfm.kernel_agop(x.numpy(), np.ones(14), kernel=Linear(), metric=np.eye(3)),
            "metric has shape",
        ),
        (lambda x: kc.rfm.feature_ansatz(np.eye(2), np.eye(3)), "agop has shape|shape"),
        (
            lambda x: kc.rfm.feature_ansatz([[1.0, 2.0], [0.0, 1.0]], np.eye(2)),
            "weight_gram is not symmetric",
        ),
        (lambda x: kc.rfm.feature_ansatz(np.eye(2), np.eye(2), power=0), "power is 0"),
        (lambda x: kc.rfm.feature_ansatz(-np.eye(2), np.eye(2)), "weight_gram is not positive semidefinite"),
        (lambda x: kc.rfm.feature_ansatz(np.eye(2), [[0, 1], [1, 0]]), "eigenvalues are from -1 to 1"),
        (
            lambda x: kc.rfm.kernel_agop(x, np.ones(14), kernel=Gaussian(), metric=-np.eye(4)),
            "metric is not positive semidefinite",
        ),
        (lambda x: kc.networks.agop(3, x.numpy()), "network"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(attempt, message):
    with pytest.raises(kc.InputError, match=message):
        attempt(torch.tensor(np.random.default_rng(0).normal(size=(14, 4))))


def test_the_ansatz_of_powers(rng):
    a = rng.normal(size=(5, 5))
    m = a @ a.T
    for power in (0.5, 1.0, 2.0):
        values, vectors = np.linalg.eigh(m)
        root = (vectors * values**power) @ vectors.T
        found = kc.rfm.feature_ansatz(3.0 * root, m, power=power)
        assert (found.correlation, found.cosine) == pytest.approx((1.0, 1.0), abs=1e-12)
    other = rng.normal(size=(5, 5))
    found = kc.rfm.feature_ansatz(other @ other.T, m, power=1.0)
    assert found.correlation == pytest.approx(np.corrcoef((other @ other.T).ravel(), m.ravel())[0, 1])
    nothing = kc.rfm.feature_ansatz(np.zeros((2, 2)), np.eye(2))
    assert np.isnan(nothing.cosine)
    assert nothing.reason
    assert jax.config.jax_enable_x64 is False


def test_the_ansatz_of_any_scale_and_power(rng):
    """Neither figure sees the scale; a power may be so large that the largest eigenvalue alone counts."""
    a, b = rng.normal(size=(2, 5, 5))
    left, right = a @ a.T, b @ b.T
    for power in (0.5, 2.0, 1e3):
        plain = kc.rfm.feature_ansatz(left, right, power=power)
        for scale in (1e-300, 1e300):
            scaled = kc.rfm.feature_ansatz(left * scale, right / scale, power=power)
            assert scaled.correlation == pytest.approx(plain.correlation, rel=1e-9)
            assert scaled.cosine == pytest.approx(plain.cosine, rel=1e-9)
    top = np.linalg.eigh(right)[1][:, -1]
    last = kc.rfm.feature_ansatz(np.outer(top, top), right, power=1e9)
    assert last.cosine == pytest.approx(1.0, abs=1e-12)


def test_the_ansatz_where_round_off_decides(rng):
    """The power 0.01 of an eigenvalue of round-off is 0.7, and of none it is 0; exact zeros are known."""
    b = rng.normal(size=(5, 2))
    found = kc.rfm.feature_ansatz(np.eye(5), b @ b.T, power=0.01)
    assert np.isnan([found.correlation, found.cosine]).all()
    assert "round-off" in found.reason
    assert kc.rfm.feature_ansatz(np.eye(5), b @ b.T).reason == ""
    exact = kc.rfm.feature_ansatz(np.diag([1.0, 1.0, 0.0]), np.diag([3.0, 3.0, 0.0]), power=0.01)
    assert exact.cosine == pytest.approx(1.0, abs=1e-15)
    below = kc.rfm.feature_ansatz(np.eye(2), np.diag([1.0, -1.3e-6]))  # whose root may be a thousandth
    assert np.isnan(below.cosine)
    assert "round-off" in below.reason
    assert kc.rfm.feature_ansatz(np.eye(2), np.diag([1.0, -1e-9])).reason == ""
    constant = kc.rfm.feature_ansatz(np.full((3, 3), 0.1), np.eye(3))
    assert np.isnan(constant.correlation)
    assert constant.reason


@pytest.mark.parametrize("layer", [None, "0", "1", "2", "3"])
def test_modules_that_work_in_place_have_the_same_gradients(layer):
    torch.manual_seed(0)
    first, last = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)
    x = torch.randn(10, 4)
    found = [
        kc.torch.agop(
            torch.nn.Sequential(torch.nn.ReLU(inplace), first, torch.nn.ReLU(inplace), last), x, layer=layer
        )
        for inplace in (False, True)
    ]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("dim", [2, 3, 5, 10, 50])
@pytest.mark.parametrize("precision", [np.float64, np.float32])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_what_is_constant_but_for_round_off_has_no_correlation(dim, precision, power, rng):
    """A function of the sum of the features has such an AGOP, all of whose entries are alike."""
    root = rng.normal(size=(dim + 2, dim))
    gram = root.T @ root
    gram = 0.5 * (gram + gram.T)
    slope = rng.normal() * np.ones(dim)
    for constant in (np.full((dim, dim), 0.1), np.outer(slope, slope)):
        for pair in ((gram, constant), (constant, gram)):
            found = kc.rfm.feature_ansatz(*(m.astype(precision) for m in pair), power=power)
            assert np.isnan(found.correlation)
            # In float32 the root of 10 features is round-off already.
            assert "one value throughout" in found.reason or "size of round-off" in found.reason
            assert precision == np.float32 or 0.0 < found.cosine <= 1.0


#: Activations with a kink at 0, and a few without.
AT_ZERO = (
    *("relu", "leaky_relu(0.1)", "abs", "abrelu(-0.5, 1)", "rectified_monomial(1)"),
    *("selu", "elu(0.5)", "elu", "gelu", "erf"),
)


def centred(kernel, x, step=1e-5):
    """Return the derivatives of the sum over x of the kernel with a row of zeros, which may have a kink there."""
    moves = step * np.eye(x.shape[1])
    return (kernel(moves, x).sum(axis=1) - kernel(-moves, x).sum(axis=1)) / (2 * step)


@pytest.mark.parametrize("kind", [kc.kernels.NNGP, kc.kernels.NTK])
@pytest.mark.parametrize("activation", AT_ZERO)
def test_the_derivative_at_a_row_of_zeros_is_that_of_both_sides(activation, kind, rng):
    """By `slopes`, by PyTorch, and in the AGOP: phi has a kink at every unit there, whose slope is the mean."""
    x, y = rng.normal(size=(12, 3)), rng.choice([-1.0, 1.0], size=12)
    kernel = kind(activation)
    expected = centred(kernel, x)
    zero = torch.zeros((1, 3), dtype=torch.float64, requires_grad=True)
    function = kc.nngp if kind is kc.kernels.NNGP else kc.ntk
    (found,) = torch.autograd.grad(function(zero, torch.tensor(x), activation=activation).sum(), zero)
    np.testing.assert_allclose(found.numpy()[0], expected, rtol=1e-4, atol=1e-8)
    try:
        kernel._require_slopes()
    except ValueError:
        return
    squares, products = np.sum(x * x, axis=1)[None] / 3, np.zeros((1, 12))
    of_products = kernel.slopes(np.zeros((1, 1)), squares, products)[1]
    np.testing.assert_allclose((of_products @ x)[0] / 3, expected, rtol=1e-4, atol=1e-8)
    x[0] = 0.0
    weights = np.linalg.solve(kernel(x) + 0.1 * np.eye(12), y)
    moves = 1e-5 * np.eye(3)
    jacobian = np.stack([(kernel(x + m, x) - kernel(x - m, x)) @ weights / 2e-5 for m in moves], axis=1)
    agop = kc.rfm.kernel_agop(x, y, kernel=kernel, ridge=0.1)
    np.testing.assert_allclose(agop, jacobian.T @ jacobian / 12, rtol=1e-4, atol=1e-8)


def test_a_kernel_that_jumps_at_its_samples_has_no_agop(rng):
    with pytest.raises(ValueError, match="the derivative of the kernel is not finite at some pair of rows"):
        kc.rfm.kernel_agop(rng.normal(size=(5, 2)), np.ones(5), kernel=kc.kernels.NNGP("step"), ridge=0.1)


@pytest.mark.parametrize(
    ("activation", "slope"), [("elu", 1.0), ("selu", 1.0507009873554805 * 1.6732632423543772)]
)
def test_an_exponential_unit_has_its_slope_at_zero(activation, slope):
    """A filter sees blank pixels, and biases start at 0: there many units are exactly 0."""
    at = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(kc.activations.get(activation)(at), at)
    assert float(found) == pytest.approx(slope, rel=1e-15)


def test_a_layer_that_is_applied_to_each_token_has_no_ansatz():
    torch = pytest.importorskip("torch")
    mean = type("Mean", (torch.nn.Module,), {"forward": lambda self, x: x.mean(1)})
    model = torch.nn.Sequential(torch.nn.Linear(6, 6), mean(), torch.nn.Linear(6, 3))
    labels = torch.arange(30) % 3
    with pytest.raises(kc.InputError, match="layer '0' is given 30 numbers a sample"):
        kc.torch.record(model, [(torch.randn(30, 5, 6), labels)], ansatz="all linear layers")
