"""The mean field of several hidden layers: against quadrature, exact networks, reference values, its own error bars."""

import csv
import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest
from scipy import special

import kernel_collapse as kc
from conftest import DATA
from kernel_collapse import activations
from kernel_collapse._linalg import one_blas_thread
from kernel_collapse.networks import _activations, solve_mean_field
from kernel_collapse.networks._ensemble import Ensemble, Problem
from kernel_collapse.networks._particles import Gaussian, draw
from kernel_collapse.networks._roots import Closed, root_of
from kernel_collapse.networks._types import NetworkError
from kernel_collapse.networks.mean_field import Status
from test_deep_posterior import exact_linear

with (DATA / "deep_posterior.csv").open() as file:
    ROWS = [row for row in csv.DictReader(file) if row["mean_field_nc1"]]
SOLVED = [
    list(rows)
    for _, rows in itertools.groupby(
        ROWS, lambda r: tuple(r[k] for k in ("activation", "widths", "readout_variance", "data"))
    )
]
MEANS = {"D1": (-2, 2), "D2": (-6, -2, 2, 6)}


def plane():
    return kc.data.gaussian_classes(14, 2, class_means=(-0.7, 0.9), class_sizes=(5, 9), seed=4)


def named(rows):
    row = rows[0]
    return f"{row['data']}-{row['activation']}-{row['widths']}-{row['readout_variance']}"


@pytest.mark.parametrize("rows", SOLVED, ids=named)
def test_reference(rows):
    """Within one per cent of the values of another program; D2 within the errors of both, for it stopped early."""
    row = rows[0]
    data = kc.data.gaussian_classes(
        int(row["n"]), int(row["dim"]), class_means=MEANS[row["data"]], seed=int(row["seed"])
    )
    found = solve_mean_field(
        data,
        depth=int(row["depth"]),
        width=[float(w) for w in row["widths"].split("-")],
        activation=row["activation"],
        readout_variance=float(row["readout_variance"]),
        noise_variance=float(row["noise_variance"]),
    )
    assert found.status is Status.CONVERGED
    assert found.residual < 1e-4
    for known in rows:
        layer, expected = found.layers[int(known["layer"]) - 1], float(known["mean_field_nc1"])
        error = np.hypot(layer.ratio_error, float(known["mean_field_error"]))
        assert layer.ratio_error < 0.01 * layer.ratio
        assert abs(layer.ratio - expected) < (3 * error if row["data"] == "D2" else 0.01 * expected)


# -- against quadrature


@functools.cache
def quadrature(widths, readout=0.1, noise=1e-2, sw2=1.5):
    """Two layers over three samples on a line, by damped iteration of the equations in the pre-activations.

    P^_1 = (N_2/N_1) sigma_w^2 (K^-1 - K^-1 E[h h'] K^-1) needs neither a root nor a slope of phi.
    """
    data = kc.data.from_arrays(np.array([[-1.0], [-0.3], [0.8]]), ["a", "a", "b"])
    w = np.linspace(-8.0, 8.0, 2001)
    log_prior = -0.5 * w**2 - special.logsumexp(-0.5 * w**2)
    first = special.erf(np.sqrt(sw2) * w[:, None] * data.x.T)
    v = np.stack(np.meshgrid(*[np.linspace(-6.0, 6.0, 41)] * 3), axis=-1).reshape(-1, 3)
    log_normal = -0.5 * np.sum(v**2, axis=1)
    log_normal -= special.logsumexp(log_normal)
    p1, p2 = np.zeros((2, 3, 3))
    for _ in range(500):
        log_1 = log_prior - 0.5 * np.sum((first @ p1) * first, axis=1)
        log_1 -= special.logsumexp(log_1)
        gram_1 = (first.T * np.exp(log_1)) @ first
        h = v @ np.linalg.cholesky(sw2 * gram_1).T
        second = special.erf(h)
        log_2 = log_normal - 0.5 * np.sum((second @ p2) * second, axis=1)
        log_2 -= special.logsumexp(log_2)
        gram_2 = (second.T * np.exp(log_2)) @ second
        m = readout * gram_2 + noise * np.eye(3)
        t = np.linalg.solve(m, data.targets)
        new_2 = readout / widths[1] * (np.linalg.inv(m) - t @ t.T)
        inverse = np.linalg.inv(sw2 * gram_1)
        moment = (h.T * np.exp(log_2)) @ h
        new_1 = widths[1] / widths[0] * sw2 * (inverse - inverse @ moment @ inverse)
        change = max(np.abs(new_1 - p1).max(), np.abs(new_2 - p2).max())
        p1, p2 = p1 + 0.3 * (new_1 - p1), p2 + 0.3 * (new_2 - p2)
        if change < 1e-9:
            break
    assert change < 1e-9
    divergence = sum(
        n * np.sum(np.exp(log_p) * (log_p - log_q))
        for n, log_p, log_q in zip(widths, (log_1, log_2), (log_prior, log_normal), strict=True)
    )
    free_energy = divergence + 0.5 * np.sum(data.targets * t) + 0.5 * np.linalg.slogdet(m)[1]
    return data, (gram_1, gram_2), free_energy


@pytest.mark.parametrize("widths", [(20, 30), (100, 40)])
def test_quadrature(widths):
    data, grams, free_energy = quadrature(widths)
    options = {"depth": 2, "width": widths, "readout_variance": 0.1, "noise_variance": 1e-2}
    found = solve_mean_field(data, weight_variance=1.5, **options)
    assert found.status is Status.CONVERGED
    assert found.free_energy == pytest.approx(free_energy, abs=3e-4 * free_energy)
    for layer, gram in zip(found.layers, grams, strict=True):
        ratio = kc.nc1(0.5 * (gram + gram.T), data.labels).ratio
        assert layer.ratio_error < 1e-3 * ratio
        assert abs(layer.ratio - ratio) < 4 * layer.ratio_error
        off = (layer.gram - gram) / (layer.gram_error + 1e-6)
        assert np.sqrt(np.mean(off**2)) < 3  # entries err together, so that this is about one number
    gaussian = kc.solve_adaptive(data.x, data.targets, weight_variance=1.5, **options)
    shift = abs(kc.nc1(gaussian.gram, data.labels).ratio - ratio)
    assert shift > 10 * found.ratio_error


def test_errors_are_those_of_many_seeds():
    data, grams, _ = quadrature((20, 30))
    options = {"depth": 2, "width": (20, 30), "readout_variance": 0.1, "noise_variance": 1e-2}
    runs = [solve_mean_field(data, weight_variance=1.5, seed=seed, **options) for seed in range(16)]
    for i, gram in enumerate(grams):
        truth = kc.nc1(0.5 * (gram + gram.T), data.labels).ratio
        errors = np.array([run.layers[i].ratio - truth for run in runs])
        claimed = np.sqrt(np.mean([run.layers[i].ratio_error ** 2 for run in runs]))
        spread = np.sqrt(np.mean(errors**2))
        assert 1 / 1.8 < spread / claimed < 1.8
        assert abs(errors.mean()) < 4 * spread / np.sqrt(16) + 0.2 * claimed


# -- the gradient


@pytest.mark.parametrize("activation", ["erf", "gelu", "relu"])
def test_the_gradient_in_the_root_is_that_of_finite_differences(activation, rng):
    kernel = rng.normal(size=(5, 7))
    kernel, change, slope, s = kernel @ kernel.T, *rng.normal(size=(3, 5, 5))
    change, slope, s = change + change.T, slope + slope.T, s @ s.T + np.eye(5)
    phi = activations.get(activation)

    def value(step):
        return np.sum(slope * Closed.of(phi, root_of(kernel + step * change), s).gram)

    root = root_of(kernel)
    found = np.sum(root.back(Closed.of(phi, root, s).back(slope)) * change)
    f = [value(1e-3 * t) for t in (-2, -1, 1, 2)]
    assert found == pytest.approx((8 * (f[2] - f[1]) - (f[3] - f[0])) / 12e-3, rel=1e-6)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("activation", ["erf", "gelu"])
def test_directions_are_the_gradient_of_the_free_energy(activation, known, rng):
    """On particles F is a function of the logarithms of their weights, here of three layers of unequal widths."""
    phi = activations.get(activation)
    z, y = rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    with one_blas_thread(), jax.enable_x64(True):
        problem = Problem(z, y, jax.jit(_activations.get(activation)), (30.0, 10.0, 20.0), 0.5, 0.1, 1.3, phi)
        stretches = [z, np.eye(6), np.eye(6)]
        covariances = [np.diag(rng.uniform(0.5, 1.5, size=s.shape[1])) for s in stretches]
        particles = [draw(s, c, 64, rng) for s, c in zip(stretches, covariances, strict=True)]
        first = kc.nngp(z @ np.sqrt(covariances[0]), activation=phi, weight_variance=2.0)
        gaussians = [Gaussian(c, first) for c in covariances]
        ensemble = Ensemble(problem, particles, gaussians if known else [None] * 3)
        start = [0.3 * rng.normal(size=len(p.u)) for p in particles]
        state = ensemble.state(start)
        for layer, share in enumerate(problem.shares):
            change = rng.normal(size=len(start[layer]))

            def value(step, layer=layer, change=change):
                moved = [w + step * change * (i == layer) for i, w in enumerate(start)]
                return ensemble.state(moved).free_energy

            f = [value(1e-3 * t) for t in (-2, -1, 1, 2)]
            slope = (8 * (f[2] - f[1]) - (f[3] - f[0])) / 12e-3
            expected = -share * np.sum(state.weights[layer] * state.directions[layer] * change)
            assert slope == pytest.approx(expected, rel=1e-6)


# -- exact cases and limits


def test_linear_networks():
    """Of the identity p is Gaussian, and the posterior a quadrature whose distance falls as one over the width."""
    data = kc.data.gaussian_classes(12, 3, seed=2, class_means=(-0.5, 0.5))
    deviations = []
    for width in (50, 200, 800):
        noisy = {"readout_variance": 5 / width, "noise_variance": 1 / width}  # the mean field stays as it is
        options = {"depth": 2, "width": width, "activation": "identity"} | noisy
        found = solve_mean_field(data, **options)
        gaussian = kc.solve_adaptive(data.x, data.targets, **options)
        for mine, theirs in zip(found.grams, gaussian.grams, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5 * np.abs(theirs).max())
        exact = exact_linear(data.x, data.targets, (width, width), 5 / width, 1 / width)
        ratios = [kc.nc1(0.5 * (gram + gram.T), data.labels).ratio for gram in exact]
        deviations.append(
            [layer.ratio / ratio - 1 for layer, ratio in zip(found.layers, ratios, strict=True)]
        )
    slopes = np.log(np.array(deviations[1:]) / np.array(deviations[:-1])) / np.log(4)
    np.testing.assert_allclose(slopes, -1.0, atol=0.1)


def test_with_width_all_kernels_coincide():
    data = plane()
    shifts = []
    for width in (1e4, 1e5):
        found = solve_mean_field(data, depth=3, width=width, noise_variance=1e-2)
        limits = [kc.nc1(kc.nngp(data.x, depth=i), data.labels).ratio for i in (1, 2, 3)]
        shifts.append([1 - layer.ratio / limit for layer, limit in zip(found.layers, limits, strict=True)])
    np.testing.assert_allclose(np.log10(np.array(shifts[0]) / np.array(shifts[1])), 1.0, atol=0.05)


def test_one_layer_is_as_it_was():
    options = {"noise_variance": 1e-2}
    alone, listed = (solve_mean_field(plane(), width=w, **options) for w in (40, (40,)))
    np.testing.assert_array_equal(alone.gram, listed.gram)
    assert alone.free_energy == listed.free_energy
    assert alone.grams[0] is alone.gram
    assert len(alone.layers) == 1


def test_a_function_of_the_user_starts_from_the_prior():
    options = {"depth": 2, "width": 50, "noise_variance": 1e-2}
    named = solve_mean_field(plane(), **options)
    own = solve_mean_field(plane(), activation=lambda x: jax.scipy.special.erf(x), **options)
    for mine, theirs in zip(own.layers, named.layers, strict=True):
        assert abs(mine.ratio - theirs.ratio) < 4 * np.hypot(mine.ratio_error, theirs.ratio_error)


def test_symmetries(rng):
    data, options = plane(), {"depth": 2, "width": (50, 30), "noise_variance": 1e-2}
    base, order = solve_mean_field(data, **options), rng.permutation(14)
    back, rotation = np.argsort(order), np.array([[0.6, -0.8], [0.8, 0.6]])
    shuffled = dataclasses.replace(
        data, x=data.x[order], labels=data.labels[order], targets=data.targets[order]
    )
    others = {
        "flipped": solve_mean_field(dataclasses.replace(data, targets=-data.targets), **options),
        "rotated": solve_mean_field(dataclasses.replace(data, x=data.x @ rotation.T), **options),
        "permuted": solve_mean_field(shuffled, **options),
    }
    for name, other in others.items():
        for mine, theirs in zip(base.layers, other.layers, strict=True):
            gram = theirs.gram[np.ix_(back, back)] if name == "permuted" else theirs.gram
            error = 5 * np.hypot(mine.gram_error, theirs.gram_error) + 1e-6
            assert np.mean(np.abs(gram - mine.gram) < error) > 0.97
            assert abs(theirs.ratio - mine.ratio) < 4 * np.hypot(mine.ratio_error, theirs.ratio_error)
    wrong = solve_mean_field(dataclasses.replace(data, targets=data.targets[order]), **options)
    for mine, theirs in zip(base.layers, wrong.layers, strict=True):
        assert abs(theirs.ratio - mine.ratio) > 10 * mine.ratio_error


def test_more_dimensions_than_samples():
    """Columns of zeros change nothing but the prior's share of each weight: here of the first layer alone."""
    data = plane()
    options = {"depth": 2, "width": 40, "noise_variance": 1e-2, "activation": "relu"}
    base = solve_mean_field(data, **options)
    # ReLU is homogeneous: inputs times sqrt(20) make up for a prior of 1/40 in the place of 1/2.
    padded = np.hstack([np.sqrt(20) * data.x, np.zeros((14, 38))])
    wide = solve_mean_field(dataclasses.replace(data, x=padded), **options)
    for mine, theirs in zip(base.layers, wide.layers, strict=True):
        assert abs(theirs.ratio - mine.ratio) < 4 * np.hypot(mine.ratio_error, theirs.ratio_error)
    assert wide.weights.shape == (1000, 40)
    np.testing.assert_allclose(wide.weight_covariance[2:, 2:], np.eye(38) / 40, atol=0.002)


# -- statuses and refusals


def test_kinks_do_not_end_a_descent_for_nothing():
    """Above the first layer F of ReLU has a kink for every particle and sample; a minimum may lie on one."""
    data = kc.data.gaussian_classes(24, 4)
    found = solve_mean_field(data, depth=3, width=100, activation="relu", noise_variance=1e-2)
    other = solve_mean_field(data, depth=3, width=100, activation="relu", noise_variance=1e-2, seed=1)
    for mine, theirs in zip(found.layers, other.layers, strict=True):
        assert abs(theirs.ratio - mine.ratio) < 4 * np.hypot(mine.ratio_error, theirs.ratio_error)


def test_too_few_particles_have_a_status_and_no_error():
    data = kc.data.gaussian_classes(24, 4)
    options = {"depth": 2, "width": 20, "activation": "relu", "noise_variance": 1e-3, "particles": 4096}
    found = solve_mean_field(data, raise_on_failure=False, **options)
    assert found.status is Status.TOO_FEW_SAMPLES
    assert all(layer.ratio_error == np.inf for layer in found.layers)
    assert all(np.isfinite(gram).all() for gram in found.grams)
    with pytest.raises(NetworkError, match="no mean field .too_few_samples, .* raise particles"):
        found.raise_for_status()


def test_other_failures_are_values():
    data, options = plane(), {"depth": 2, "width": 20, "noise_variance": 1e-2, "raise_on_failure": False}
    cut = solve_mean_field(data, max_iterations=2, **options)
    assert cut.status is Status.MAX_ITERATIONS
    few = solve_mean_field(data, accuracy=1e-6, particles=4096, **options)
    assert few.status is Status.TOO_FEW_SAMPLES
    doubled = kc.data.from_arrays(np.repeat(data.x, 2, axis=0), np.repeat(data.labels, 2))
    none = solve_mean_field(doubled, **options | {"noise_variance": 1e-30})
    assert none.status is Status.NOT_FINITE
    assert len(none.layers) == 2
    assert np.isnan(none.gram).all()
    same = solve_mean_field(dataclasses.replace(data, x=np.ones((14, 2))), **options)
    assert same.status is Status.NOT_FINITE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "depth is 0, expected a whole number that is at least 1"),
        ({"depth": 1.5}, "depth is 1.5"),
        ({"depth": 2, "width": (20, 20, 20)}, "width has 3 widths at depth 2"),
        ({"depth": 2, "width": (20,)}, "width has 1 widths at depth 2"),
        ({"depth": 2, "width": (20, 0)}, "width of layer 2 is 0"),
        ({"depth": 2, "width": 0}, "width is 0"),
        ({"depth": 2, "particles": 100}, "particles is 100, expected a whole number that is at least 4096"),
        ({"depth": 2, "particles": 10**12}, "1000000000000 particles of 14 samples in 2 layers would take"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(kc.InputError, match=message):
        solve_mean_field(plane(), **{"width": 20} | arguments)
