import csv
import dataclasses
import itertools

import numpy as np
import pytest
from mpmath import mp

import kernel_collapse as kc
import problems
from conftest import DATA
from kernel_collapse import activations
from kernel_collapse._linalg import (
    Cholesky,
    divided_differences,
    gram,
    less_gram,
    mirror,
    product,
    symmetric_product,
)
from kernel_collapse.adaptive import Status, _point
from kernel_collapse.adaptive._free_energy import FreeEnergy, published_label_term

with (DATA / "adaptive_erf.csv").open() as file:
    REFERENCE = list(csv.DictReader(file))


@pytest.mark.parametrize("row", REFERENCE, ids=lambda r: f"n{r['n']}-d{r['d']}-width{r['width']}")
def test_reference(row):
    n, dim, n_first, seed = (int(row[k]) for k in ("n", "d", "n_first_class", "seed"))
    data = kc.data.gaussian_classes(n, dim, class_sizes=(n_first, n - n_first), seed=seed)
    solution = kc.solve_adaptive(
        data.x,
        data.targets,
        width=float(row["width"]),
        readout_variance=float(row["readout_variance"]),
        noise_variance=float(row["noise_variance"]),
    )
    assert solution.status is Status.CONVERGED
    assert solution.residual <= 1e-6
    assert solution.evaluations <= 20
    assert kc.nc1(kc.nngp(data.x), data.labels).ratio == pytest.approx(float(row["nngp_nc1"]), rel=1e-9)
    assert kc.nc1(solution.gram, data.labels).ratio == pytest.approx(float(row["adaptive_nc1"]), rel=1e-6)
    gain = solution.prior_free_energy - solution.free_energy
    assert gain == pytest.approx(float(row["free_energy_gain"]), rel=1e-6)
    assert solution.eigenvalues[-1] == pytest.approx(float(row["max_eig_sigma_times_d"]), rel=1e-5)
    assert solution.eigenvalues[0] == pytest.approx(float(row["min_eig_sigma_times_d"]), rel=1e-5)


def naive(x, y, activation, sigma, width, sw2, sa2, s2):
    """F and the residual E of the equations of state, straight from their definitions."""
    phi, (n, d), k = activations.get(activation), x.shape, y.shape[1]
    g = x @ sigma @ x.T
    q = np.diag(g)
    matrix = sa2 * phi.kappa(q[:, None], q[None, :], g) + s2 * np.eye(n)
    inverse = np.linalg.inv(matrix)
    t = inverse @ y
    energy = 0.5 * (d / sw2 * np.trace(sigma) - np.linalg.slogdet(sigma)[1])
    energy += (0.5 * np.trace(y.T @ t) + 0.5 * k * np.linalg.slogdet(matrix)[1]) / width
    a = k * inverse - t @ t.T
    weights = a * phi.kappa_c(q[:, None], q[None, :], g)
    v = 2 * (a * phi.kappa_q(q[:, None], q[None, :], g)).sum(axis=1)
    shift = sa2 / width * x.T @ (weights + np.diag(v)) @ x
    return energy, np.linalg.inv(sigma) - d / sw2 * np.eye(d) - shift


@pytest.mark.parametrize("activation", problems.WITHOUT_JUMPS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_gradient_is_the_equations_of_state_and_finite_differences(activation, outputs, rng):
    x, y = rng.normal(size=(14, 4)), rng.normal(size=(14, outputs))
    factor = rng.normal(size=(4, 8)) / 4
    sigma = factor @ factor.T
    options = (activation, 30.0, 1.7, 0.3, 0.05)
    name, width, sw2, sa2, s2 = options

    def energy_of(s):
        return naive(x, y, name, s, width, sw2, sa2, s2)[0]

    _, residual = naive(x, y, name, sigma, width, sw2, sa2, s2)
    for _ in range(5):
        direction = rng.normal(size=(4, 4))
        direction = direction + direction.T
        direction *= 1e-3 / np.abs(np.linalg.eigvalsh(direction)).max()
        h = 0.05
        f = [energy_of(sigma + step * h * direction) for step in (-2, -1, 1, 2)]
        slope = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h)
        assert slope == pytest.approx(-0.5 * np.sum(residual * direction), rel=1e-8)
    # The library's own, in its scaled coordinates.
    scaled = sigma * 4 / sw2
    energy = FreeEnergy(x * np.sqrt(sw2 / 4), y, activations.get(name), width, sa2, s2)
    found = energy.evaluate(scaled)
    expected = np.linalg.inv(scaled) - np.eye(4) - residual * sw2 / 4
    np.testing.assert_allclose(found.gradient, expected, rtol=1e-9, atol=1e-11)
    values, _ = np.linalg.eigh(scaled)
    total = found.value + 0.5 * (values.sum() - np.log(values).sum())
    assert total - 2 * np.log(sw2 / 4) == pytest.approx(energy_of(sigma), rel=1e-12)


@pytest.mark.parametrize(
    "activation", [n for n in problems.SMOOTH if n != "mish"]
)  # whose expansion does not reach so far
def test_gradient_in_the_logarithm(activation, rng):
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
    energy = FreeEnergy(x, y, activations.get(activation), 20.0, 0.5, 0.1)
    h = rng.normal(size=(3, 3))
    h = h + h.T
    point = _point.Point(energy, _point.Blocks([h]))
    for _ in range(4):
        d = rng.normal(size=(3, 3))
        d = d + d.T
        f = [_point.Point(energy, _point.Blocks([h + step * 1e-3 * d])).value for step in (-2, -1, 1, 2)]
        slope = (8 * (f[2] - f[1]) - (f[3] - f[0])) / 12e-3
        assert slope == pytest.approx(np.sum(point.gradient[0] * d), rel=1e-8)


def test_the_residual_is_that_of_the_equations(rng):
    data = kc.data.gaussian_classes(40, 5, seed=3)
    y = np.column_stack([data.targets, rng.normal(size=40)])
    solution = kc.solve_adaptive(
        data.x,
        y,
        width=30,
        noise_variance=1e-2,
        weight_variance=1.3,
        max_evaluations=6,
        raise_on_failure=False,
    )
    assert solution.status is Status.MAX_ITERATIONS
    sigma = solution.weight_covariance
    energy, e = naive(data.x, y, "erf", sigma, 30, 1.3, 1 / 128, 1e-2)
    root = np.linalg.cholesky(sigma)
    assert solution.residual == pytest.approx(np.abs(np.linalg.eigvalsh(root.T @ e @ root)).max(), rel=1e-8)
    assert solution.free_energy == pytest.approx(energy, rel=1e-12)
    prior = naive(data.x, y, "erf", 1.3 / 5 * np.eye(5), 30, 1.3, 1 / 128, 1e-2)[0]
    assert solution.prior_free_energy == pytest.approx(prior, rel=1e-12)


# -- golden tests


def test_the_nngp_is_approached_as_one_over_width():
    data = kc.data.gaussian_classes(64, 4, seed=1)
    nngp = kc.nc1(kc.nngp(data.x), data.labels).ratio
    widths = np.array([3e3, 1e4, 3e4, 1e5, 3e5])
    solutions = [kc.solve_adaptive(data.x, data.targets, width=w, noise_variance=1e-3) for w in widths]
    change = [1 - kc.nc1(s.gram, data.labels).ratio / nngp for s in solutions]
    spread = [np.abs(s.eigenvalues - 1).max() for s in solutions]
    for values in (change, spread):
        assert np.polyfit(np.log(widths), np.log(values), 1)[0] == pytest.approx(-1, abs=0.1)


def test_exact_posterior_of_a_linear_network_is_approached_as_one_over_width():
    """With phi(x) = x the posterior is an integral over s = |a|^2; its mean feature kernel is the truth."""
    from scipy.integrate import quad

    rng = np.random.default_rng(5)
    x, sa2, s2 = rng.normal(size=(12, 3)), 1.0, 0.3
    y = np.sign(x[:, [0]]) + 0.3 * rng.normal(size=(12, 1))
    g0 = x @ x.T / 3
    lam, u = np.linalg.eigh(g0)
    lam, c = np.maximum(lam, 0), u.T @ y[:, 0]
    errors = []
    widths = (40, 160, 640, 2560)
    for n in widths:

        def log_density(s, n=n):
            m = s * lam + s2
            return (n / 2 - 1) * np.log(s) - s * n / (2 * sa2) - 0.5 * np.sum(np.log(m) + c**2 / m)

        grid = np.linspace(0.01, 4, 4001)
        peak = max(log_density(s) for s in grid)

        def mean(f, log_density=log_density, peak=peak):
            points = [0.01, 0.5, 0.8, 1.0, 1.2, 1.6, 4.0]
            parts = (
                quad(lambda t: f(t) * np.exp(log_density(t) - peak), a, b, epsabs=1e-14, epsrel=1e-12)
                for a, b in itertools.pairwise(points)
            )
            return sum(part for part, _ in parts)

        weight = mean(lambda s: 1.0)
        first = [mean(lambda s, m=m: s / (s * m + s2)) / weight for m in lam]
        second = [
            [mean(lambda s, a=a, b=b: s / ((s * a + s2) * (s * b + s2))) / weight for b in lam] for a in lam
        ]
        inner = np.diag(first) - np.outer(c, c) * np.array(second)
        truth = g0 - g0 @ (u @ inner @ u.T) @ g0 / n
        found = kc.solve_adaptive(
            x, y, activation="identity", width=n, readout_variance=sa2, noise_variance=s2
        ).gram
        errors.append(np.linalg.norm(found - truth) / np.linalg.norm(truth - g0))
    assert np.polyfit(np.log(widths), np.log(errors), 1)[0] == pytest.approx(-1, abs=0.1)
    assert errors[0] < 0.2


def test_symmetries(rng):
    data = kc.data.gaussian_classes(48, 5, seed=2)
    options = {"width": 50, "noise_variance": 1e-3}
    plain = kc.solve_adaptive(data.x, data.targets, **options)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    rotated = kc.solve_adaptive(data.x @ rotation, data.targets, **options)
    np.testing.assert_allclose(rotated.gram, plain.gram, atol=1e-6)
    np.testing.assert_allclose(
        rotation @ rotated.weight_covariance @ rotation.T, plain.weight_covariance, atol=1e-6
    )
    np.testing.assert_allclose(
        kc.solve_adaptive(data.x, -data.targets, **options).gram, plain.gram, atol=1e-12
    )
    order = rng.permutation(48)
    permuted = kc.solve_adaptive(data.x[order], data.targets[order], **options)
    np.testing.assert_allclose(permuted.gram, plain.gram[np.ix_(order, order)], atol=1e-6)


def test_labels_move_the_exact_kernel_and_not_the_published_one(rng):
    data = kc.data.gaussian_classes(128, 16, seed=0)
    shuffled = rng.permutation(data.targets)
    nc1 = {}
    for label_term in ("exact", "published"):
        for name, targets in (("true", data.targets), ("shuffled", shuffled)):
            solution = kc.solve_adaptive(data.x, targets, label_term=label_term)
            nc1[label_term, name] = kc.nc1(solution.gram, data.labels).ratio
    # Not quite blind: its label term is of the size of the noise variance, 1e-6.
    assert abs(nc1["published", "shuffled"] / nc1["published", "true"] - 1) < 1e-5
    assert abs(nc1["exact", "shuffled"] / nc1["exact", "true"] - 1) > 0.02


def test_published_solution_solves_the_published_equations():
    data = kc.data.gaussian_classes(40, 4, seed=1)
    options = {"readout_variance": 1 / 128, "noise_variance": 0.05, "width": 20}
    solution = kc.solve_adaptive(data.x, data.targets, label_term="published", **options)
    assert solution.status is Status.CONVERGED
    sigma, phi, y = solution.weight_covariance, activations.get("erf"), data.targets[:, 0]
    g = data.x @ sigma @ data.x.T
    q = np.diag(g)
    kernel = phi.kappa(q[:, None], q[None, :], g) / 128
    inverse = np.linalg.inv(kernel + 0.05 * np.eye(40))
    mean = kernel @ inverse @ y
    r = y[None, :] - mean[:, None]  # a vector less a column broadcasts to n x n
    a = inverse - 0.05 * r @ r.T
    weights = a * phi.kappa_c(q[:, None], q[None, :], g)
    v = 2 * (a * phi.kappa_q(q[:, None], q[None, :], g)).sum(axis=1)
    e = np.linalg.inv(sigma) - 4 * np.eye(4) - data.x.T @ (weights + np.diag(v)) @ data.x / 128 / 20
    root = np.linalg.cholesky(sigma)
    assert np.abs(np.linalg.eigvalsh(root.T @ e @ root)).max() < 3e-6


def test_published_value_on_the_papers_problem():
    data = kc.data.gaussian_classes(1024, 128, seed=0)
    solution = kc.solve_adaptive(data.x, data.targets, label_term="published")
    assert kc.nc1(solution.gram, data.labels).ratio == pytest.approx(0.0678, abs=1e-4)


# -- convergence


@pytest.mark.parametrize("key", problems.GRID[3::10], ids=str)
def test_convergence(key):
    solution = problems.solve(*key)
    assert solution.status in (Status.CONVERGED, Status.PRECISION_LIMIT)
    assert solution.free_energy <= solution.prior_free_energy
    assert np.isfinite(solution.gram).all()
    if solution.status is Status.CONVERGED:
        assert solution.residual <= 1e-6
    else:
        assert solution.residual <= 20 * solution.round_off
    if key[0] == "D1":
        assert solution.evaluations <= 20


def test_extended_entries_go_on_where_float64_stops(monkeypatch):
    key = ("xor", 256, 2, 1, (50, 1e-6))  # 50 times above the tolerance, by no one's luck
    with monkeypatch.context() as patch:
        patch.setattr(FreeEnergy, "extended", lambda self: None)
        double = problems.solve(*key)
    assert double.status is Status.PRECISION_LIMIT
    assert 1e-6 < double.residual < 20 * double.round_off
    assert np.finfo(np.longdouble).eps < np.finfo(float).eps, "needs a machine with extended precision"
    extended = problems.solve(*key)
    assert extended.status is Status.CONVERGED
    assert extended.residual < 0.1 * double.residual


def equation_on_a_line(energy, h):
    """The equation of state 1 - s - s g(s) = 0 at s = exp h in one dimension, everything with 40 digits."""
    long = np.frompyfunc(mp.mpf, 1, 1)
    z, y, s = long(energy.z), long(energy.targets), mp.exp(h)
    g = s * z @ z.T
    d = 1 + 2 * np.diag(g)
    root = np.frompyfunc(mp.sqrt, 1, 1)(d[:, None] + d[None, :] - 1)  # d_i d_j - 4 g_ij^2 on a line
    matrix = energy.readout_variance * 2 / mp.pi * np.frompyfunc(mp.atan2, 2, 1)(2 * g, root)
    matrix[np.diag_indices(len(z))] += mp.mpf(energy.noise_variance)
    factor = matrix.copy()
    for j in range(len(z)):
        factor[j, j] = mp.sqrt(factor[j, j])
        factor[j + 1 :, j] /= factor[j, j]
        factor[j + 1 :, j + 1 :] -= np.outer(factor[j + 1 :, j], factor[j + 1 :, j])
    inverse_factor = long(np.zeros(matrix.shape))
    for i in range(len(z)):
        inverse_factor[i, i] = 1 / factor[i, i]
        inverse_factor[i, :i] = -(factor[i, :i] @ inverse_factor[:i, :i]) / factor[i, i]
    inverse = inverse_factor.T @ inverse_factor
    t = inverse @ y
    a = inverse - t @ t.T
    kappa_c = 4 / mp.pi / root
    v = -2 * np.sum(a * kappa_c * g / d[:, None], axis=1)
    pull = z.T @ ((a * kappa_c + np.diag(v)) @ z)
    return 1 - s - s * energy.readout_variance / energy.width * pull[0, 0]


def test_the_precision_limit_is_round_off():
    """What stops far above the tolerance goes on to far below it where everything has more digits."""
    x, y = problems.problem("overlap", 64, 1, 7)
    solution = problems.solve("overlap", 64, 1, 7, (500, 1e-8))
    assert solution.status is Status.PRECISION_LIMIT
    assert 1e-6 < solution.residual < 20 * solution.round_off
    energy = FreeEnergy(x, y, activations.get("erf"), 500.0, 1 / 128, 1e-8)
    with mp.workdps(40):
        h = [mp.log(solution.eigenvalues[0]), mp.log(solution.eigenvalues[0]) + 1e-7]
        values = [equation_on_a_line(energy, v) for v in h]
        # Not against the residual, which is below its round-off here, and another one on every processor.
        assert abs(values[0]) < 20 * solution.round_off
        for _ in range(3):  # secant
            h.append(h[-1] - values[-1] * (h[-1] - h[-2]) / (values[-1] - values[-2]))
            values.append(equation_on_a_line(energy, h[-1]))
        assert abs(values[-1]) < 1e-3 * solution.round_off
        assert abs(h[-1] - h[0]) < 1e-8


def test_round_off_is_the_error_of_the_gradient(rng):
    """Against the same gradient in extended precision, within the factor of a rough estimate."""
    x, y = problems.problem("overlap", 64, 2, 1)
    energy = FreeEnergy(x / np.sqrt(2), y, activations.get("erf"), 50.0, 1 / 128, 1e-6)
    scaled = np.array([[700.0, 100.0], [100.0, 1500.0]])
    double, extended = energy.evaluate(scaled, certify=True), energy.extended().evaluate(scaled)
    root = np.linalg.cholesky(scaled)
    error = np.abs(np.linalg.eigvalsh(root.T @ (double.gradient - extended.gradient) @ root)).max()
    assert error / 10 < double.round_off < 300 * error


def test_noise_is_how_far_round_off_moves_the_free_energy(rng):
    """Of both of its terms: with many samples and little noise, log det M moves it a hundred times further."""
    data = kc.data.gaussian_classes(n=512, dim=8, seed=0)
    z = data.x / np.sqrt(8)
    energy = FreeEnergy(z, data.targets, activations.get("erf"), 500.0, 1.97**2, 1e-6)
    values, bounds = [], []
    for _ in range(20):
        nearly_one = np.diag(1.0 + 1e-14 * rng.normal(size=8))
        found = energy.evaluate(nearly_one)
        values.append(found.value)
        bounds.append(found.noise)
    scatter = np.std(values)
    assert max(bounds) / 30 < scatter < 3 * min(bounds)


@pytest.mark.parametrize("seed", [0, 1])
def test_many_samples_at_the_published_readout_scale(seed):
    """A descent that takes log det M for exact here never ends: its steps look as if they raised the free energy."""
    data = kc.data.gaussian_classes(n=1024, dim=8, seed=seed)
    solution = kc.solve_adaptive(data.x, data.targets, width=500, readout_variance=1.97**2)
    assert solution.status is Status.CONVERGED
    assert solution.evaluations < 20


def test_more_dimensions_than_samples():
    data = kc.data.gaussian_classes(20, 300, seed=4)
    wide = kc.solve_adaptive(data.x, data.targets, width=50, noise_variance=1e-3, weight_variance=2.0)
    assert wide.status is Status.CONVERGED
    energy, e = naive(data.x, data.targets, "erf", wide.weight_covariance, 50, 2.0, 1 / 128, 1e-3)
    root = np.linalg.cholesky(wide.weight_covariance)
    assert np.abs(np.linalg.eigvalsh(root.T @ e @ root)).max() < 2e-6
    assert wide.free_energy == pytest.approx(energy, rel=1e-10)
    np.testing.assert_allclose(wide.output_gram, wide.gram / 128)


def test_a_hundred_thousand_dimensions():
    data = kc.data.gaussian_classes(100, 100_000, seed=4)
    assert kc.solve_adaptive(data.x, data.targets).status is Status.CONVERGED


def test_duplicated_samples_and_constant_columns(rng):
    x = np.repeat(rng.normal(size=(8, 3)), 4, axis=0)
    x[:, 2] = 0.0
    y = np.repeat(np.sign(x[::4, [0]]), 4, axis=0)
    assert kc.solve_adaptive(x, y, noise_variance=1e-4).status is Status.CONVERGED


def test_annealing_ends_where_the_direct_solve_does():
    data = kc.data.gaussian_classes(64, 4, seed=1)
    direct = kc.solve_adaptive(data.x, data.targets, width=50)
    annealed = kc.solve_adaptive(data.x, data.targets, width=50, anneal=(1e5, 1e4, 1e3, 100))
    assert [point.width for point in annealed.path] == [1e5, 1e4, 1e3, 100]
    assert all(point.status is Status.CONVERGED for point in annealed.path)
    np.testing.assert_allclose(annealed.gram, direct.gram, atol=1e-5)
    assert annealed.prior_free_energy == pytest.approx(direct.prior_free_energy, rel=1e-12)
    largest = [point.eigenvalues[-1] for point in annealed.path]
    assert largest == sorted(largest)
    at_thousand = kc.solve_adaptive(data.x, data.targets, width=1000)
    assert annealed.path[2].free_energy == pytest.approx(at_thousand.free_energy, rel=1e-9)


def test_several_starts_return_the_lowest():
    x, y = problems.problem("xor", 64, 8, 1)
    starts = ("nngp", "published", "random", "annealed")
    solution = kc.solve_adaptive(x, y, width=20, noise_variance=1e-4, starts=starts)
    assert tuple(s.name for s in solution.starts) == starts
    assert solution.free_energy == pytest.approx(min(s.free_energy for s in solution.starts), rel=1e-10)
    spread = max(s.free_energy for s in solution.starts) - solution.free_energy
    assert solution.same_minimum == (spread < 1e-6 * (solution.prior_free_energy - solution.free_energy))
    easy = kc.data.gaussian_classes(64, 4)
    assert kc.solve_adaptive(easy.x, easy.targets, starts=starts).same_minimum


def test_curvature_is_that_of_the_hessian():
    data = kc.data.gaussian_classes(40, 3, seed=1)
    found = kc.solve_adaptive(data.x, data.targets, width=30, noise_variance=1e-2, curvature=True)
    values, vectors = np.linalg.eigh(found.weight_covariance)
    frame = vectors * np.sqrt(values)
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]

    def energy(coordinates):
        d = np.zeros((3, 3))
        for (i, j), v in zip(pairs, coordinates, strict=True):
            d[i, j] = d[j, i] = v if i == j else v / np.sqrt(2)
        w, u = np.linalg.eigh(d)
        return naive(
            data.x, data.targets, "erf", frame @ ((u * np.exp(w)) @ u.T) @ frame.T, 30, 1.0, 1 / 128, 1e-2
        )[0]

    h, unit = 1e-3, np.eye(6)
    hessian = np.array(
        [
            [
                (energy(h * (a + b)) - energy(h * (a - b)) - energy(h * (b - a)) + energy(-h * (a + b)))
                / (4 * h * h)
                for b in unit
            ]
            for a in unit
        ]
    )
    assert found.curvature == pytest.approx(np.linalg.eigvalsh(hessian)[0], rel=1e-2)
    assert 0 < found.curvature <= 0.6


# -- refusals and failures


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_variance": 0.0}, "noise_variance is 0.0, expected a finite number that is more than zero"),
        ({"noise_variance": -1e-6}, "noise_variance is -1e-06"),
        ({"width": 0}, "width is 0"),
        ({"width": float("inf")}, "width is inf"),
        ({"readout_variance": -1.0}, "readout_variance is -1.0"),
        ({"weight_variance": 0.0}, "weight_variance is 0.0"),
        ({"targets": [1.0, -1.0]}, "x has 3 rows and targets 2"),
        ({"targets": [1.0, np.nan, 1.0]}, "targets holds nan in row 1"),
        ({"x": [[1.0, 2.0]], "targets": [1.0]}, "x has 1 row, expected at least two samples"),
        ({"x": [[1.0], [np.inf], [0.0]]}, "x holds inf in row 1"),
        ({"label_term": "publish"}, "did you mean 'published'"),
        ({"starts": ("nnpg",)}, "did you mean 'nngp'"),
        ({"anneal": (100, -3)}, "a width of anneal is -3"),
        ({"activation": "eft"}, "did you mean 'erf'"),
        ({"max_evaluations": 0}, "max_evaluations is 0"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(arguments, message):
    arguments = {"x": [[1.0], [2.0], [0.0]], "targets": [1.0, -1.0, 1.0]} | arguments
    with pytest.raises(ValueError, match=message):
        kc.solve_adaptive(**arguments)


def test_an_activation_without_kappa_q_is_refused():
    class Half(activations.Erf):
        kappa_q = None

    with pytest.raises(ValueError, match="the activation erf has no kappa_q"):
        kc.solve_adaptive([[1.0], [2.0]], [1.0, -1.0], activation=Half())


def test_failure_is_a_value_or_one_error():
    x, y = problems.problem("xor", 64, 8, 1)
    solution = kc.solve_adaptive(
        x, y, width=20, noise_variance=1e-4, max_evaluations=5, raise_on_failure=False
    )
    assert solution.status is Status.MAX_ITERATIONS
    assert solution.free_energy < solution.prior_free_energy
    with pytest.raises(kc.AdaptiveError, match=r"max_iterations, residual .* raise max_evaluations"):
        kc.solve_adaptive(x, y, width=20, noise_variance=1e-4, max_evaluations=5)
    duplicates = np.repeat(x[:4], 8, axis=0)
    solution = kc.solve_adaptive(duplicates, y[:32], noise_variance=1e-30, raise_on_failure=False)
    assert solution.status is Status.NOT_FINITE
    assert np.isnan(solution.gram).all()
    assert np.isnan(solution.free_energy)
    with pytest.raises(kc.AdaptiveError, match="not positive definite in float64; raise noise_variance"):
        kc.solve_adaptive(duplicates, y[:32], noise_variance=1e-30)


# -- linear algebra


@pytest.mark.parametrize("n", [1, 5, 300])
def test_cholesky_and_inverse(n, rng):
    factor = rng.normal(size=(n, n + 3))
    matrix = factor @ factor.T
    right = rng.normal(size=(n, 2))
    cholesky = Cholesky(matrix.copy())
    assert cholesky.ok
    np.testing.assert_allclose(cholesky.pivots, np.diag(np.linalg.cholesky(matrix)), rtol=1e-10)
    np.testing.assert_allclose(matrix @ cholesky.solve(right), right, atol=1e-8)
    inverse = mirror(cholesky.upper_inverse())
    np.testing.assert_array_equal(inverse, inverse.T)
    np.testing.assert_allclose(inverse @ matrix, np.eye(n), atol=1e-7)
    assert not Cholesky(-np.eye(n)).ok
    matrix[0, -1] = np.nan
    assert not Cholesky(matrix).ok


@pytest.mark.parametrize("dtype", [float, np.longdouble])
def test_symmetric_matrices_are_upper_triangles(dtype, rng):
    for n, d in ((3, 1), (5, 7), (300, 2)):
        rows = rng.normal(size=(n, d)).astype(dtype)
        for given in (rows, np.asfortranarray(rows)):
            full = rows @ rows.T
            found = np.full((n, n), np.nan, dtype=dtype)
            assert np.shares_memory(gram(given, out=found), found)
            np.testing.assert_allclose(np.triu(found), np.triu(full), rtol=1e-12, atol=1e-12)
            matrix = np.triu(full) + np.tril(np.full((n, n), np.nan, dtype=dtype), -1)
            np.testing.assert_allclose(symmetric_product(matrix, given), full @ rows, rtol=1e-10)
            np.testing.assert_allclose(
                np.triu(less_gram(3, full, given)), np.triu(2 * rows @ rows.T), atol=1e-12
            )


def test_an_indefinite_step_is_no_error():
    """Strong adaptation takes S to where the next step of the search is indefinite in float64."""
    law = kc.data.sample("gaussian", n=64, dim=4, separation=0.5, seed=9)
    solution = kc.solve_adaptive(law.x, law.targets, width=0.01, noise_variance=1e-2, raise_on_failure=False)
    assert solution.status is Status.CONVERGED
    energy = FreeEnergy(law.x, law.targets, activations.get("erf"), 0.01, 1 / 128, 1e-2)
    assert not energy.evaluate(np.diag([1.0, 1.0, 1.0, -1e-12])).finite


def test_overflow_is_not_finite(rng):
    energy = FreeEnergy(
        rng.normal(size=(9, 5)), rng.normal(size=(9, 1)), activations.get("erf"), 10.0, 0.7, 0.2
    )
    assert not energy.evaluate(1e200 * np.eye(5)).finite
    assert energy.evaluate(np.eye(5)).finite  # though the memory has seen what was not


@pytest.mark.parametrize("activation", problems.SMOOTH)
def test_more_samples_than_a_tile(activation, rng):
    """The tiles off the diagonal too, where kappa_q has two orders, against the definition."""
    x, y = rng.normal(size=(300, 4)), rng.normal(size=(300, 2))
    _, residual = naive(x, y, activation, np.eye(4), 30.0, 4.0, 0.3, 0.05)
    found = FreeEnergy(x, y, activations.get(activation), 30.0, 0.3, 0.05).evaluate(np.eye(4))
    np.testing.assert_allclose(found.gradient, -residual, rtol=1e-7, atol=1e-8)


def test_product_takes_any_order_and_type(rng):
    a, b = rng.normal(size=(5, 7)), rng.normal(size=(7, 3))
    for left in (a, np.asfortranarray(a), a[::-1]):
        for right in (b, np.asfortranarray(b), b[:, ::-1]):
            np.testing.assert_allclose(product(left, right), left @ right, rtol=1e-12)
    assert product(a.astype(np.longdouble), b).dtype == np.longdouble


def test_divided_differences():
    h = np.array([-3.0, 0.5, 0.5, 0.5 + 1e-9, 12.0])
    found = divided_differences(h)
    assert found[0, 4] == pytest.approx((np.exp(12.0) - np.exp(-3.0)) / 15.0, rel=1e-14)
    np.testing.assert_allclose(found[1, 1:4], np.exp(0.5), rtol=1e-8)


def test_published_label_term_is_its_definition(rng):
    x, y = rng.normal(size=(9, 2)), rng.normal(size=(9, 1))
    energy = FreeEnergy(x, y, activations.get("erf"), 10.0, 0.7, 0.2)
    kernel = 0.7 * energy.kernel(np.eye(2))
    fitted = kernel @ np.linalg.solve(kernel + 0.2 * np.eye(9), y)
    r = y[:, 0] - fitted
    np.testing.assert_allclose(published_label_term(energy, np.eye(2)), 0.2 * r @ r.T, rtol=1e-10)


def test_a_linear_term_is_that_of_the_value_and_the_gradient(rng):
    x, y = rng.normal(size=(9, 2)), rng.normal(size=(9, 1))
    term = rng.normal(size=(9, 9))
    term = term + term.T
    energy = FreeEnergy(x, y, activations.get("erf"), 10.0, 0.7, 0.2)
    tilted = energy.with_linear_term(term)
    lower = energy.evaluate(np.eye(2)).value - tilted.evaluate(np.eye(2)).value
    assert lower == pytest.approx(0.7 * np.sum(term * energy.kernel(np.eye(2))) / 20)
    d = np.array([[1.0, 0.3], [0.3, -0.5]])
    f = [tilted.evaluate(np.eye(2) + step * d).value for step in (-1e-5, 1e-5)]
    slope = 0.5 * np.sum(tilted.evaluate(np.eye(2)).gradient * d)
    assert (f[1] - f[0]) / 2e-5 == pytest.approx(slope, rel=1e-7)


def test_solution_is_frozen():
    data = kc.data.gaussian_classes(10, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        kc.solve_adaptive(data.x, data.targets).residual = 0.0


SCALED = ("abs", "relu", "erf", "tanh", "rectified_monomial(2)")


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("activation", SCALED)
def test_where_no_layer_adapts_any_scale_gives_the_nngp_or_is_refused(activation, depth):
    """Small samples leave every layer at its prior, whose kernel the NNGP computes in units of its own."""
    data = kc.data.gaussian_classes(20, 3)
    given = 0
    for power in (-30, -60, -70, -76, -80, -90, -130, -155, -170):
        x = 10.0**power * data.x
        try:
            found = kc.solve_adaptive(
                x, data.targets, activation=activation, noise_variance=1e-2, depth=depth
            )
        except kc.InputError as error:
            assert "have lost digits" in str(error)  # noqa: PT017
            assert power < -30
            continue
        known = kc.nngp(x, activation=activation, depth=depth)
        np.testing.assert_allclose(found.gram, known, rtol=1e-6, atol=1e-9 * known.max())
        np.testing.assert_allclose(found.kernel(x), found.gram, rtol=1e-6, atol=1e-9 * known.max())
        given += 1
    assert given > 0


@pytest.mark.parametrize("activation", ["relu", "erf", "rectified_monomial(2)"])
@pytest.mark.parametrize("power", [76, 120])
@pytest.mark.usefixtures("unchecked")
def test_samples_of_no_usable_scale_are_refused_by_everything_that_adapts(activation, power):
    data = kc.data.gaussian_classes(8, 2)
    data = kc.data.from_arrays(10.0**power * data.x, data.labels)
    options = {"activation": activation, "width": 5, "noise_variance": 1e-2}
    for attempt in (
        lambda: kc.solve_adaptive(data.x, data.targets, **options),
        lambda: kc.networks.solve_mean_field(data, **options),
        lambda: kc.networks.sample_posterior(data, **options),
    ):
        with pytest.raises(kc.InputError, match="variance of a sample in layer 1|kernel of a sample"):
            attempt()
    small = kc.data.from_arrays(1e-120 / 10.0**power * data.x, data.labels)
    if activation == "relu":
        with pytest.raises(kc.InputError, match="variance of a sample in layer 1"):
            kc.networks.solve_mean_field(small, **options)


@pytest.mark.parametrize(("depth", "size"), [(1, 1e100), (1, 1e140), (2, 1e100)])
def test_targets_beyond_any_gradient_end_in_a_sentence(depth, size):
    data = kc.data.gaussian_classes(20, 3)
    options = {"activation": "relu", "noise_variance": 1e-2, "depth": depth}
    with pytest.raises(kc.adaptive.AdaptiveError, match="Of huge targets the gradient is no number"):
        kc.solve_adaptive(data.x, size * data.targets, **options)
    found = kc.solve_adaptive(data.x, size * data.targets, raise_on_failure=False, **options)
    assert found.status.value == "not_finite"
    assert np.isnan(found.gram).all()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_nothing_is_made_of_a_solution_that_is_none(depth, rng):
    """Every number that comes from the solution is NaN, of the shape that it has where there is one."""
    x = rng.normal(size=(10, 3))
    x[1] = x[2] = x[0]
    y = np.sign(x[:, 0])
    failed, known = (
        kc.solve_adaptive(x, y, depth=depth, noise_variance=noise, raise_on_failure=False)
        for noise in (1e-30, 1e-2)
    )
    assert failed.status is Status.NOT_FINITE
    assert known.status is Status.CONVERGED

    def numbers(solution):
        layers = range(1, depth + 1)
        return (
            *solution.grams,
            *solution.covariances,
            *(solution.kernel(x[:4], x, layer=layer) for layer in layers),
            *(solution.kernel(x[:4], layer=layer) for layer in layers),
            solution.output_gram,
            solution.adaptation,
            solution.ranks[1:],
            solution.root_free_residual,
            list(solution.free_energy_terms.values()),
            solution.weight_covariance,
            solution.eigenvalues,
        )

    for found, right in zip(map(np.asarray, numbers(failed)), map(np.asarray, numbers(known)), strict=True):
        assert found.shape == right.shape
        assert np.isnan(found).all()
        assert np.isfinite(right).all()
    assert failed.free_energy_terms.keys() == known.free_energy_terms.keys()
    assert failed.ranks[0] == known.ranks[0]
    with pytest.raises(kc.InputError, match="expected the 3 of the solution"):
        failed.kernel(x[:, :2])


@pytest.mark.parametrize("depth", [1, 2])
def test_a_descent_that_was_cut_off_is_not_said_to_be_at_the_prior(depth):
    """That no layer adapts is a property of a solution: after one evaluation it is where the descent began."""
    x, y = problems.problem("xor", 64, 8, 1)
    options = {"depth": depth, "width": 20, "noise_variance": 1e-4, "raise_on_failure": False}
    cut = kc.solve_adaptive(x, y, max_evaluations=1, **options)
    assert cut.status is Status.MAX_ITERATIONS
    assert max(cut.adaptation) == 0.0
    assert "No layer adapts" not in cut.explanation + cut.remark
    still = kc.solve_adaptive(x, y, depth=depth, width=1e3, readout_variance=1e-9, noise_variance=1.0)
    assert still.remark.startswith("No layer adapts")
