"""The posterior of several hidden layers: its density, exact linear networks, reference values, statuses."""

import csv
import dataclasses

import numpy as np
import pytest
from scipy.special import erf

import kernel_collapse as kc
from conftest import DATA
from kernel_collapse.networks import sample_posterior
from kernel_collapse.networks._types import NetworkError
from kernel_collapse.networks.posterior import Status

SMALL = kc.data.gaussian_classes(12, 2, class_means=(-0.5, 0.5), seed=4)

with (DATA / "deep_posterior.csv").open() as file:
    ROWS = list(csv.DictReader(file))
#: Those that are sampled in some seconds; docs/posterior.md has the others.
QUICK = [row for row in ROWS if (row["activation"], row["widths"], row["data"]) == ("erf", "100-100", "D1")]


def short(data=SMALL, **options):
    """A run of fixed steps, too short to mix: what it does is compared, not what it finds."""
    plain = {"depth": 2, "width": (7, 5), "draws": 50, "warmup": 0, "step_size": 0.2, "noise_variance": 0.1}
    return sample_posterior(data, raise_on_failure=False, **(plain | options))


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("data", [SMALL, kc.data.from_arrays(np.eye(2, 20), ["a", "b"])], ids=["d<n", "d>n"])
def test_log_density_is_that_of_the_weights_returned(data, depth):
    widths, sw2, sa2, s2 = (7, 5, 6)[:depth], 1.7, 0.3, 0.1
    found = short(data, depth=depth, width=widths, weight_variance=sw2, readout_variance=sa2)
    n, y = len(data.x), data.targets
    assert [w.shape for w in found.deeper_weights] == [(4, 5, 7), (4, 6, 5)][: depth - 1]
    for chain in range(4):
        features, prior = data.x, 0.0
        for weights in (found.weights, *found.deeper_weights):
            w = weights[chain]
            prior += 0.5 * w.shape[1] / sw2 * np.sum(w**2)
            features = erf(features @ w.T)
        m = sa2 / widths[-1] * features @ features.T + s2 * np.eye(n)
        fit = -0.5 * (np.sum(y * np.linalg.solve(m, y)) + y.shape[1] * np.linalg.slogdet(m)[1])
        # With d > n the prior of the first layer is that of the weights in the span of the data.
        assert found.log_density[chain, -1] == pytest.approx(fit - prior, rel=1e-10)


@pytest.mark.parametrize("widths", [(7,), (7, 5), (7, 5, 6)])
def test_the_last_draw_of_the_traces_is_that_of_the_weights(widths):
    found = short(depth=len(widths), width=widths)
    for chain in range(4):
        features = SMALL.x
        for layer, weights in zip(found.layers, (found.weights, *found.deeper_weights), strict=True):
            features = erf(features @ weights[chain].T)
            expected = kc.nc1(features @ features.T / features.shape[1], SMALL.labels)
            assert layer.within[chain, -1] == pytest.approx(expected.within, rel=1e-9)
            assert layer.between[chain, -1] == pytest.approx(expected.between, rel=1e-9)
            norm = weights.shape[2] * np.mean(weights[chain] ** 2)
            assert layer.weight_norm[chain, -1] == pytest.approx(norm, rel=1e-9)


def exact_linear(x, y, widths, sa2, s2):
    """E[Phi_l Phi_l' / N_l | y] of a linear network of two hidden layers and one output.

    Given g_l, |.|^2 / N of the projections that feed the output, y is Gaussian with covariance s K + sigma^2 I,
    s = sigma_a^2 g_1 g_2 and N_l g_l of a chi square with N_l degrees of freedom: a quadrature over the two.
    """
    values, vectors = np.linalg.eigh(x @ x.T / x.shape[1])
    target = vectors.T @ y[:, 0]

    def log_density(a, b):  # of log g_1 and log g_2
        prior = sum(0.5 * n * (g - np.exp(g)) for n, g in zip(widths, (a, b), strict=True))
        m = sa2 * np.exp(a + b)[..., None] * values + s2
        return prior - 0.5 * np.sum(np.log(m) + target**2 / m, axis=-1)

    low, high = np.full(2, -8.0), np.full(2, 4.0)
    for _ in range(4):  # closer and closer to where the density is
        a, b = np.meshgrid(*np.linspace(low, high, 201).T, indexing="ij")
        score = log_density(a, b)
        inside = score > score.max() - 40.0
        step = (high - low) / 200
        low, high = (
            np.array([f(a[inside]), f(b[inside])]) + sign * step for f, sign in ((np.min, -1), (np.max, 1))
        )
    weights = np.exp(score - score.max())
    weights /= weights.sum()
    s = sa2 * np.exp(a + b)[..., None]
    m = s * values + s2
    pulled = np.sqrt(s) * values * target / m

    def fed(weights):  # weights times the second moment of the direction that feeds y
        outer = np.einsum("ab,abi,abj->ij", weights, pulled, pulled, optimize=True)
        return np.diag(np.einsum("ab,abi->i", weights, values - s * values**2 / m)) + outer

    first = (1 - 1 / widths[0]) * np.diag(values) + fed(weights) / widths[0]
    second = (1 - 1 / widths[1]) * first + fed(weights * np.exp(a)) / widths[1]
    return [vectors @ moment @ vectors.T for moment in (first, second)]


def test_linear_networks_are_exact():
    data = kc.data.gaussian_classes(12, 3, seed=2, class_means=(-0.5, 0.5))
    options = {"depth": 2, "width": (10, 20), "readout_variance": 0.25, "noise_variance": 0.05}
    found = sample_posterior(data, activation="identity", draws=1500, **options)
    exact = exact_linear(data.x, data.targets, (10, 20), 0.25, 0.05)
    prior = kc.nc1(data.x @ data.x.T, data.labels).ratio
    for layer, gram in zip(found.layers, exact, strict=True):
        ratio = kc.nc1(0.5 * (gram + gram.T), data.labels).ratio
        assert layer.ratio_error < 0.1 * abs(ratio - prior)
        assert abs(layer.ratio - ratio) < 4 * layer.ratio_error
        assert np.abs((layer.gram - gram) / layer.gram_error).max() < 4.5  # of 78 entries


@pytest.mark.parametrize("layer", [1, 2])
def test_the_exact_linear_network_is_that_of_the_reference(layer):
    """The twin above against draws of another program."""
    row = next(r for r in ROWS if r["activation"] == "identity" and r["layer"] == str(layer))
    data = kc.data.gaussian_classes(int(row["n"]), int(row["dim"]), seed=int(row["seed"]))
    gram = exact_linear(data.x, data.targets, (40, 40), 1 / 128, 1e-2)[layer - 1]
    ratio = kc.nc1(0.5 * (gram + gram.T), data.labels).ratio
    assert abs(ratio - float(row["posterior_nc1"])) < 3 * float(row["posterior_error"])


@pytest.mark.parametrize("rows", [QUICK], ids=lambda rows: rows[0]["widths"])
def test_reference(rows):
    row = rows[0]
    data = kc.data.gaussian_classes(int(row["n"]), int(row["dim"]), seed=int(row["seed"]))
    found = sample_posterior(
        data,
        depth=int(row["depth"]),
        width=[int(w) for w in row["widths"].split("-")],
        activation=row["activation"],
        readout_variance=float(row["readout_variance"]),
        noise_variance=float(row["noise_variance"]),
        draws=600,
    )
    for known in rows:
        layer = found.layers[int(known["layer"]) - 1]
        error = np.hypot(layer.ratio_error, float(known["posterior_error"]))
        assert abs(layer.ratio - float(known["posterior_nc1"])) < 3 * error
        assert layer.ratio_error < 0.01 * layer.ratio
    assert found.ratio == kc.nc1(found.gram, data.labels).ratio


def test_without_data_it_is_the_prior():
    options = {"activation": "identity", "depth": 3, "width": (7, 5, 6), "noise_variance": 1e6}
    found = sample_posterior(SMALL, draws=500, weight_variance=1.5, **options)
    for i, layer in enumerate(found.layers, 1):
        expected = 1.5**i * SMALL.x @ SMALL.x.T / 2
        assert (np.abs(layer.gram - expected) < 4.5 * layer.gram_error).all()
        assert layer.weight_norm.mean() == pytest.approx(1.0, abs=0.04)


def test_the_last_layer_is_the_result_and_the_worst_its_certificate():
    found = short(draws=100)
    last = found.layers[-1]
    assert found.gram is last.gram
    assert found.within is last.within
    assert found.weight_norm is found.layers[0].weight_norm
    assert found.rhat == max(layer.rhat for layer in found.layers)
    assert found.ess == min(layer.ess for layer in found.layers)
    assert len(found.grams) == 2


def test_one_layer_is_as_it_was():
    alone, listed = short(depth=1, width=7), short(depth=1, width=(7,))
    np.testing.assert_array_equal(alone.gram, listed.gram)
    assert len(alone.layers) == 1
    assert alone.deeper_weights == ()


def test_symmetries(rng):
    order, options = rng.permutation(12), {"trajectory": 0.2}  # so short that round-off does not grow
    found = short(**options)
    permuted = dataclasses.replace(
        SMALL, x=SMALL.x[order], labels=SMALL.labels[order], targets=SMALL.targets[order]
    )
    negated = short(dataclasses.replace(SMALL, targets=-SMALL.targets), **options)
    shuffled = short(dataclasses.replace(SMALL, targets=SMALL.targets[order]), **options)
    for i, other in enumerate(short(permuted, **options).grams):
        np.testing.assert_allclose(other, found.grams[i][np.ix_(order, order)], rtol=1e-7)
        np.testing.assert_array_equal(negated.grams[i], found.grams[i])
        assert np.abs(shuffled.grams[i] - found.grams[i]).max() > 1e-4


def test_chains_that_do_not_move_are_not_mixed():
    found = short(step_size=1e-4, trajectory=1e-4)
    assert found.status is Status.NOT_MIXED
    assert all(layer.rhat > 1.5 for layer in found.layers)
    assert all(np.isnan(layer.ratio) and np.isnan(layer.ratio_error) for layer in found.layers)
    with pytest.raises(NetworkError, match="ended as not_mixed"):
        found.raise_for_status()


def test_the_accuracy_is_that_of_every_layer():
    options = {"depth": 2, "width": (7, 5), "noise_variance": 0.1, "draws": 500, "raise_on_failure": False}
    found = sample_posterior(SMALL, accuracy=1e-3, **options)
    assert found.status is Status.TOO_FEW_DRAWS
    errors = [layer.ratio_error / layer.ratio for layer in found.layers]
    assert found.draws_needed == pytest.approx(500 * (max(errors) / 1e-3) ** 2, abs=1)
    between = 0.5 * (min(errors) + max(errors))
    assert sample_posterior(SMALL, accuracy=between, **options).status is Status.TOO_FEW_DRAWS
    assert sample_posterior(SMALL, accuracy=1.1 * max(errors), **options).status is Status.CONVERGED


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth is 0, expected a whole number that is at least 1"),
        ({"depth": 1.5}, "depth is 1.5"),
        ({"depth": 101}, "depth is 101, expected a whole number that is at most 100"),
        ({"depth": 2, "width": (5, 5, 5)}, "width has 3 widths at depth 2"),
        ({"depth": 2, "width": (5,)}, "width has 1 widths at depth 2"),
        ({"depth": 2, "width": (5, 0)}, "width of layer 2 is 0"),
        ({"depth": 2, "width": (5, 2.5)}, "width of layer 2 is 2.5, expected a whole number"),
        ({"depth": 2, "width": 0}, "width is 0, expected a whole number that is at least 1"),
        ({"depth": 2, "width": "ab"}, "width is 'ab'"),
        ({"depth": 2, "width": (10**6, 10**6)}, r"widths \(1000000, 1000000\) would take"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(options, message):
    with pytest.raises(kc.InputError, match=message):
        sample_posterior(SMALL, **{"width": 5} | options)
