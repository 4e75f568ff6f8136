"""Deep RFM in the limit of infinite width: reference values, gradients, twins, invariances."""

import csv
import itertools

import numpy as np
import pytest

import kernel_collapse as kc
import naive_rfm
from conftest import DATA
from finite_rfm import finite_rfm
from kernel_collapse.kernels import Gaussian, Laplace, Linear, ProductKernel
from kernel_collapse.rfm._fit import fit, gradients_of
from kernel_collapse.rfm._gradients import EPS, groups_of
from kernel_collapse.solution import Status

with (DATA / "deep_rfm.csv").open() as file:
    ROWS = list(csv.DictReader(file))
MACHINES = [
    list(rows)
    for _, rows in itertools.groupby(
        ROWS, lambda r: tuple(r[k] for k in ("data", "n", "dim", "seed", "kernel", "bandwidth", "ridge"))
    )
]
MEANS = {"D1": (-2, 2), "D2": (-6, -2, 2, 6), "overlap": (-0.3, 0.3)}


class Square(ProductKernel):
    """(1 + x.y)^2 / (1 + x.x)(1 + y.y), which depends on all three products."""

    def of_products(self, q1, q2, c):
        return (1 + c) ** 2 / ((1 + q1) * (1 + q2))

    def slopes(self, q1, q2, c):
        return -self.of_products(q1, q2, c) / (1 + q1), 2 * (1 + c) / ((1 + q1) * (1 + q2))


KERNELS = [Laplace(2.0), Gaussian(1.5), Linear(bias_variance=0.3), Square()]


def one_hot(data):
    return 2.0 * np.eye(data.labels.max() + 1)[data.labels] - 1.0


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("rows", MACHINES, ids=lambda r: f"{r[0]['data']}-{r[0]['kernel']}-{r[0]['ridge']}")
def test_reference(rows):
    row = rows[0]
    data = kc.data.gaussian_classes(
        int(row["n"]), int(row["dim"]), class_means=MEANS[row["data"]], class_stds=0.5, seed=int(row["seed"])
    )
    machine = kc.deep_rfm(
        data.x,
        one_hot(data),
        depth=len(rows),
        kernel=row["kernel"],
        bandwidth=float(row["bandwidth"]),
        ridge=float(row["ridge"]),
    )
    assert machine.status is Status.RESOLVED
    for known, found, error in zip(rows, machine.nc1, machine.round_off, strict=True):
        expected = np.array([float(known[name]) for name in ("nc1_input", "nc1_agop", "nc1_features")])
        large = expected > 1e-8
        np.testing.assert_allclose(found[large], expected[large], rtol=1e-7)
        np.testing.assert_allclose(found, expected, rtol=1e-9 + error)


def test_the_kernels_of_a_layer_are_what_they_are_called():
    data = kc.data.gaussian_classes(n=40, dim=3, seed=0)
    machine = kc.deep_rfm(data.x, data.targets, depth=2, ridge=1e-3)
    first, second = machine.layers
    np.testing.assert_allclose(first.gram_input, unit(data.x) @ unit(data.x).T, atol=1e-15)
    lengths = np.sqrt(np.diag(first.gram))
    np.testing.assert_allclose(second.gram_input, first.gram / lengths[:, None] / lengths, atol=1e-15)
    relu = kc.activations.get("relu")
    q = np.diag(first.gram_agop)
    np.testing.assert_allclose(first.gram, relu.kappa(q[:, None], q, first.gram_agop), atol=1e-14 * q.max())
    for layer in machine.layers:
        for of, value in (("input", layer.nc1_input), ("agop", layer.nc1_agop), ("features", layer.nc1)):
            assert layer.collapse(of).nc1 == value
    assert machine.gram is second.gram
    assert machine.value is machine.layers
    np.testing.assert_array_equal(machine.nc1[1], [second.nc1_input, second.nc1_agop, second.nc1])
    inner = np.linalg.solve(
        np.exp(-np.sqrt(np.maximum(2 - 2 * first.gram_input, 0)) / 2) + 1e-3 * np.eye(40), data.targets
    )
    error = 1e-3 * np.linalg.norm(inner) / np.linalg.norm(data.targets)
    assert first.training_error == pytest.approx(error, rel=1e-6)
    np.testing.assert_allclose(
        first.predictions[:, 0], data.targets.ravel() - 1e-3 * inner.ravel(), atol=1e-9
    )


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: type(k).__name__)
def test_m_is_that_of_finite_differences_of_the_fit(kernel):
    """Samples are far enough apart for the kinks of the Laplace kernel to be no matter."""
    rng = np.random.default_rng(2)
    x, y = unit(rng.normal(size=(12, 5))), rng.normal(size=(12, 3))
    assert (2.0 - 2.0 * x @ x.T + 2.0 * np.eye(12)).min() > 0.3**2
    machine = kc.deep_rfm(x, y, depth=1, kernel=kernel, ridge=1e-2)
    ones = np.ones(12)
    alpha = np.linalg.solve(kernel.of_products(ones[:, None], ones, x @ x.T) + 1e-2 * np.eye(12), y)

    def f(z):
        return kernel.of_products((z * z).sum(axis=1)[:, None], ones, z @ x.T) @ alpha

    step, average = 1e-3, np.zeros((5, 5))
    for row in x:
        jacobian = []
        for direction in np.eye(5):
            around = row + step * np.array([-2, -1, 1, 2])[:, None] * direction
            jacobian.append(np.array([1, -8, 8, -1]) @ f(around) / (12 * step))
        average += np.array(jacobian) @ np.array(jacobian).T / 12
    expected = x @ average @ x.T
    np.testing.assert_allclose(machine.layers[0].gram_agop, expected, atol=1e-8 * np.abs(expected).max())


def test_of_a_linear_kernel_m_is_beta_beta():
    data = kc.data.gaussian_classes(n=40, dim=5, seed=3)
    x, y = unit(data.x), data.targets.ravel()
    machine = kc.deep_rfm(data.x, y, depth=2, kernel=Linear(), ridge=0.1)
    beta = np.linalg.solve(x.T @ x + 0.1 * np.eye(5), x.T @ y)
    np.testing.assert_allclose(machine.layers[0].gram_agop, np.outer(x @ beta, x @ beta), atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: type(k).__name__)
@pytest.mark.parametrize("outputs", [1, 4])
def test_both_ways_to_g_b_g_are_that_of_explicit_gradients(kernel, outputs):
    rng = np.random.default_rng(outputs)
    x, y = rng.normal(size=(30, 6)), rng.normal(size=(30, outputs))
    products = x @ x.T
    alpha = fit(products, y, kernel, 1e-2).alpha
    found = gradients_of(products, alpha, kernel)
    lengths = np.diag(products)
    of_lengths, slope = kernel.slopes(lengths[:, None], lengths, products)
    m = np.zeros((6, 6))
    for k in range(outputs):
        j = (slope * alpha[:, k]) @ x + (2 * of_lengths @ alpha[:, k])[:, None] * x
        m += j.T @ j / 30
    expected, other = x @ m @ x.T, rng.normal(size=(7, 6))
    tolerance = 1e-11 * np.abs(expected).max()
    np.testing.assert_allclose(found.gram(), expected, atol=tolerance)
    rough = max(tolerance, 4.0 * found.round_off * np.diag(expected).mean())
    np.testing.assert_allclose(found._grouped.gram() / 30, expected, atol=rough)
    ways = [found.between(other @ x.T)]
    turned, own = found._grouped.between((other @ x.T).T.copy())
    ways.append((turned.T / 30, own / 30))
    for cross, squares in ways:
        np.testing.assert_allclose(cross, other @ m @ x.T, atol=10 * rough)
        np.testing.assert_allclose(squares, np.einsum("id,de,ie->i", other, m, other), atol=10 * rough)


def test_the_way_at_once_keeps_the_digits_that_the_naive_one_loses():
    """Four classes of nearly one point each: B has entries of 1/D^2, and D is 1e-4."""
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 4
    x = unit(rng.normal(size=(4, 6))[labels] + 1e-4 * rng.normal(size=(48, 6)))
    y, products = np.eye(4)[labels], x @ x.T
    found = gradients_of(products, fit(products, y, Laplace(2.0), 0.0).alpha, Laplace(2.0))
    assert found.at_once
    expected = sum(z.T @ z for z in (found.images(k, products) for k in range(4))) / 48
    slope, alpha, own = found.slope, found.alpha, found.own
    b = slope @ slope * (alpha @ alpha.T) + slope * (alpha @ own.T + own @ alpha.T)
    b += np.diag((own * own).sum(axis=1))
    naive = products @ b @ products / 48
    ratios = [kc.nc1(0.5 * (k + k.T), labels).ratio for k in (expected, found.gram(), naive)]
    assert abs(ratios[1] - ratios[0]) < 4 * EPS
    assert (
        abs(ratios[2] - ratios[0]) > 10 * EPS
    )  # how far depends on the order of sums, that is on the processor


def test_groups_are_few_and_near():
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(5, 8)))
    labels = rng.integers(5, size=60)
    x = centres[labels] + 1e-3 * rng.normal(size=(60, 8))
    found = groups_of(x @ x.T)
    assert found.max() == 4
    assert len(set(zip(found, labels, strict=True))) == 5
    assert groups_of(np.eye(100)).max() == 15
    assert groups_of(np.ones((3, 3))).tolist() == [0, 0, 0]


def test_invariances(rng):
    data = kc.data.gaussian_classes(n=48, dim=5, class_means=(-6, -2, 2, 6), seed=2)
    y = one_hot(data)
    plain = kc.deep_rfm(data.x, y, depth=3, ridge=1e-3)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    lengths = rng.uniform(0.1, 10.0, size=(48, 1))
    order, classes = rng.permutation(48), rng.permutation(4)
    shifted = kc.deep_rfm(data.x[order], y[order], depth=3, ridge=1e-3)
    same = {
        "rotated": kc.deep_rfm(data.x @ rotation, y, depth=3, ridge=1e-3),
        "lengths": kc.deep_rfm(lengths * data.x, y, depth=3, ridge=1e-3),
        "renamed": kc.deep_rfm(data.x, y[:, classes], depth=3, ridge=1e-3),
        "turned": kc.deep_rfm(data.x, y @ turn, depth=3, ridge=1e-3),
    }
    for layer in range(3):
        known = plain.layers[layer]
        scale = 1e-9 * np.abs(known.gram).max()
        for name, other in same.items():
            np.testing.assert_allclose(other.layers[layer].gram, known.gram, atol=scale, err_msg=name)
            np.testing.assert_allclose(other.nc1[layer], plain.nc1[layer], rtol=1e-8, err_msg=name)
        permuted = known.gram[np.ix_(order, order)]
        np.testing.assert_allclose(shifted.layers[layer].gram, permuted, atol=scale)
    twice = kc.deep_rfm(data.x, 2.0 * y, depth=3, ridge=1e-3)
    np.testing.assert_allclose(twice.nc1, plain.nc1, rtol=1e-8)
    np.testing.assert_allclose(twice.layers[0].gram_agop, 4.0 * plain.layers[0].gram_agop, rtol=1e-9)
    shuffled = kc.deep_rfm(data.x, y[order], labels=data.labels, depth=1, ridge=1e-3)
    assert shuffled.layers[0].nc1 > 2.0 * plain.layers[0].nc1


@pytest.mark.parametrize("iterations", [1, 3])
def test_explicit_machines(iterations):
    """A machine with features and matrices M, whose rows go on as the root of the kernel of their features."""
    data = kc.data.gaussian_classes(n=24, dim=4, class_means=(-6, -2, 2, 6), seed=5)
    test = kc.data.gaussian_classes(n=9, dim=4, class_means=(-6, -2, 6), seed=6)
    y, labels = one_hot(data), np.array([0, 1, 3])[test.labels]
    machine = kc.deep_rfm(
        data.x, y, depth=2, bandwidth=1.5, ridge=1e-2, iterations=iterations, labels=data.labels
    )
    seen = machine.held_out(test.x, labels)
    x, n, relu = np.vstack([data.x, test.x]), 24, kc.activations.get("relu")
    for layer, held_out in zip(machine.layers, seen.layers, strict=True):
        x = unit(x)
        m = np.eye(x.shape[1])
        for iteration in range(iterations):
            if iteration:
                m = m / np.einsum("id,de,ie->i", x[:n], m, x[:n]).mean()
            lengths = np.einsum("id,de,ie->i", x, m, x)
            squares = lengths[:, None] + lengths[:n] - 2.0 * x @ m @ x[:n].T
            squares[:n][np.eye(n, dtype=bool)] = 0.0
            kernel = np.exp(-np.sqrt(np.maximum(squares, 0)) / 1.5)
            alpha = np.linalg.solve(kernel[:n] + 1e-2 * np.eye(n), y)
            distances = np.sqrt(np.maximum(squares[:n], 0.0)) + np.eye(n)
            slope = kernel[:n] * (1.0 - np.eye(n)) / (1.5 * distances)
            total = np.zeros_like(m)
            for k in range(4):
                weights = slope * alpha[:, k]
                j = (weights @ x[:n] - weights.sum(axis=1)[:, None] * x[:n]) @ m
                total += j.T @ j / n
            m = total
        agop = x @ m @ x.T
        q = np.diag(agop)
        features = relu.kappa(q[:, None], q, agop)
        np.testing.assert_allclose(layer.gram_agop, agop[:n, :n], atol=1e-9 * q.max())
        np.testing.assert_allclose(held_out.cross_agop, agop[n:, :n], atol=1e-9 * q.max())
        np.testing.assert_allclose(held_out.diagonal_agop, q[n:], atol=1e-9 * q.max())
        np.testing.assert_allclose(held_out.cross, features[n:, :n], atol=1e-8 * q.max())
        np.testing.assert_allclose(held_out.predictions, kernel[n:] @ alpha, atol=1e-8)
        np.testing.assert_allclose(layer.predictions, kernel[:n] @ alpha, atol=1e-8)
        expected = kc.held_out_collapse(
            features[:n, :n], data.labels, features[n:, :n], np.diag(features)[n:], labels
        )
        assert held_out.nc1 == pytest.approx(expected.nc1, rel=1e-6)
        decided = (((kernel[n:] @ alpha)[:, None] - 2 * np.eye(4) + 1) ** 2).sum(axis=2).argmin(axis=1)
        assert held_out.accuracy == np.mean(decided == labels)
        values, vectors = np.linalg.eigh(features)
        x = vectors * np.sqrt(np.maximum(values, 0.0))


def test_the_samples_held_out_are_the_samples():
    data = kc.data.gaussian_classes(n=60, dim=3, class_means=(-1, 0, 1), seed=0)
    machine = kc.deep_rfm(data.x, data.targets, depth=3, labels=data.labels, ridge=1e-4)
    seen = machine.held_out(data.x, data.labels)
    for known, found in zip(machine.layers, seen.layers, strict=True):
        np.testing.assert_allclose(found.cross, known.gram, atol=1e-9 * known.gram.max())
        assert found.nc1_input == pytest.approx(known.nc1_input, rel=1e-9)
        assert found.nc1_agop == pytest.approx(known.nc1_agop, rel=1e-7)
        assert found.nc1 == pytest.approx(known.nc1, rel=1e-7)
        assert found.accuracy == known.accuracy
    plain = machine.held_out(data.x[:4])
    assert np.isnan(plain.layers[0].nc1)
    assert plain.layers[0].reason == "no classes were given"


def test_a_gram_matrix_in_the_place_of_features():
    data, test = (kc.data.gaussian_classes(n=n, dim=4, seed=n) for n in (40, 10))
    known = kc.deep_rfm(data.x, data.targets, depth=2)
    options = {"depth": 2, "inputs": "gram"}
    found = kc.deep_rfm(data.x @ data.x.T, data.targets, **options)
    np.testing.assert_allclose(found.nc1, known.nc1, rtol=1e-9)
    lengths = (test.x * test.x).sum(axis=1)
    of_features = known.held_out(test.x, test.targets)
    of_products = found.held_out(test.x @ data.x.T, test.targets, diagonal=lengths)
    for one, other in zip(of_features.layers, of_products.layers, strict=True):
        assert other.nc1 == pytest.approx(one.nc1, rel=1e-8)
        assert other.accuracy == one.accuracy
    nngp = kc.deep_rfm(kc.nngp(data.x), data.targets, **options)
    assert nngp.layers[0].nc1_input == pytest.approx(
        kc.nc1(naive_rfm.unit(kc.nngp(data.x), np.sqrt), data.labels).ratio
    )


def test_an_activation_that_is_not_homogeneous_sees_a_mean_square_of_one():
    data = kc.data.gaussian_classes(n=30, dim=4, seed=0)
    found = [
        kc.deep_rfm(data.x, scale * data.targets, depth=1, activation="tanh").layers[0]
        for scale in (1.0, 7.0)
    ]
    np.testing.assert_allclose(found[1].gram, found[0].gram, rtol=1e-10)
    agop = found[0].gram_agop / np.diag(found[0].gram_agop).mean()
    tanh = kc.activations.get("tanh")
    q = np.diag(agop)
    np.testing.assert_allclose(found[0].gram, tanh.kappa(q[:, None], q, agop), atol=1e-9)


def test_random_features_of_growing_width_tend_to_the_limit():
    """|NC1(width) - NC1| falls as width^-1/2 or faster, to within three standard errors of 20 seeds."""
    data = kc.data.gaussian_classes(n=32, dim=4, seed=0)
    limit = kc.deep_rfm(data.x, data.targets, depth=3).nc1[:, 2]
    widths = np.array([128, 256, 512, 1024, 2048])
    logs = np.log(widths)
    away = np.array([np.abs(finite_rfm(data.x, data.targets, data.labels, w) / limit - 1) for w in widths])
    mean, error = away.mean(axis=1), away.std(axis=1) / np.sqrt(20)
    for layer in range(3):
        weights = (mean / error)[:, layer] ** 2
        centred = logs - np.average(logs, weights=weights)
        spread = (weights * centred**2).sum()
        slope = (weights * centred * np.log(mean[:, layer])).sum() / spread
        assert slope < -0.5 + 3 / np.sqrt(spread)
        assert slope > -1.0 - 3 / np.sqrt(spread)
        assert mean[-1, layer] < 0.1


def test_a_layer_is_not_changed_by_what_is_done_to_another(rng):
    """The kernels that others are made from cannot be written to; changing the targets changes nothing either."""
    x, y = rng.normal(size=(12, 3)), np.eye(2)[np.arange(12) % 2]
    for options in ({}, {"inputs": "gram"}):
        machine = kc.deep_rfm(x @ x.T if options else x, y, depth=3, ridge=1e-3, **options)
        for layer in machine.layers:
            for kept in (layer.gram, layer.gram_agop, layer.labels):
                with pytest.raises(ValueError, match="read-only"):
                    kept += 1
        with pytest.raises(ValueError, match="read-only"):
            machine.labels[:] = 0
        given = (x @ x.T, y, np.einsum("ij,ij->i", x, x)) if options else (x, y, None)
        before = machine.held_out(given[0], given[1], diagonal=given[2])
        below = machine.layers[1].gram_input
        below[:] = 0.0
        y *= -3.0
        after = machine.held_out(given[0], diagonal=given[2])
        y /= -3.0
        for one, other in zip(before.layers, after.layers, strict=True):
            np.testing.assert_array_equal(one.predictions, other.predictions)
            np.testing.assert_array_equal(one.cross, other.cross)
