import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf
from threadpoolctl import threadpool_info

import kernel_collapse as kc
from kernel_collapse.networks import _chains, _mixing, sample_posterior
from kernel_collapse.networks._activations import get
from kernel_collapse.networks._types import NetworkError
from kernel_collapse.networks.posterior import SAMPLERS, Status


def naive(features, y, sa2, s2):
    """log p(Y | Phi), straight from its definition."""
    n, width = features.shape
    matrix = sa2 / width * features @ features.T + s2 * np.eye(n)
    return -0.5 * (np.sum(y * np.linalg.solve(matrix, y)) + y.shape[1] * np.linalg.slogdet(matrix)[1])


#: Of one shape wherever it will do, so that little is compiled.
SMALL = kc.data.gaussian_classes(12, 2, class_means=(-0.5, 0.5), seed=4)


def short(data=SMALL, **options):
    """A run of fixed steps, too short to mix: what it does is compared, not what it finds."""
    plain = {"width": 7, "draws": 50, "warmup": 0, "step_size": 0.2, "noise_variance": 0.1}
    return sample_posterior(data, raise_on_failure=False, **(plain | options))


# -- the density


@pytest.mark.parametrize("activation", ["erf", "relu", "identity"])
@pytest.mark.parametrize(("outputs", "width"), [(1, 5), (3, 5), (3, 30)], ids=["N<n", "N<n, k=3", "N>n"])
def test_gradient_is_that_of_finite_differences(activation, outputs, width, rng):
    x, y, u = rng.normal(size=(12, 3)), rng.normal(size=(12, outputs)), rng.normal(size=(width, 3))
    sa2, s2 = 0.7, 0.05
    phi = get(activation)
    problem = _chains.Problem(x, y, None, sa2, s2, None, None, None)
    with jax.enable_x64(True):
        value, (gradient,) = jax.value_and_grad(_chains._log_density(problem, phi))((u,))

        def expected(position):
            return naive(np.asarray(phi(jnp.asarray(x @ position.T))), y, sa2, s2) - 0.5 * np.sum(position**2)

        assert float(value) == pytest.approx(expected(u), rel=1e-11)
        for _ in range(4):
            direction = rng.normal(size=u.shape)
            h = 5e-6  # hardly a kink of ReLU lies within
            f = [expected(u + step * h * direction) for step in (-2, -1, 1, 2)]
            slope = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h)
            assert np.sum(np.asarray(gradient) * direction) == pytest.approx(slope, rel=1e-6)


def test_density_has_the_symmetries_of_the_problem(rng):
    x, y, u = rng.normal(size=(8, 3)), rng.normal(size=(8, 1)), rng.normal(size=(6, 3))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    order = rng.permutation(8)

    def density(x, y, u):
        with jax.enable_x64(True):
            return float(
                _chains._log_density(_chains.Problem(x, y, None, 0.5, 0.1, *[None] * 3), get("erf"))((u,))
            )

    expected = density(x, y, u)
    assert density(x @ rotation, y, u @ rotation) == pytest.approx(expected, rel=1e-12)
    assert density(x, -y, u) == expected
    assert density(x[order], y[order], u) == pytest.approx(expected, rel=1e-12)
    assert density(x, y[order], u) != pytest.approx(expected, rel=1e-3)


def test_log_density_is_that_of_the_weights_returned():
    for data in (SMALL, kc.data.from_arrays(np.eye(2, 20), ["a", "b"])):  # d < n and d > n
        found = short(data, weight_variance=1.7, readout_variance=0.3)
        (_, d), sw2 = data.x.shape, 1.7
        for chain, weights in enumerate(found.weights):
            expected = naive(erf(data.x @ weights.T), data.targets, 0.3, 0.1) - d / (2 * sw2) * np.sum(
                weights**2
            )
            assert found.log_density[chain, -1] == pytest.approx(expected, rel=1e-10)


# -- the kernel


def exact_linear(x, y, width, sa2, s2):
    """E[Phi Phi' / N | y] of a linear network with one output, an integral over s = |a|^2, and the prior's."""
    n, d = x.shape
    prior = x @ x.T / d
    values, vectors = np.linalg.eigh(prior)
    projected = vectors.T @ y[:, 0]

    def log_weight(t):  # over t = log s
        s = np.exp(t)
        m = s * values + s2
        return 0.5 * width * t - s * width / (2 * sa2) - 0.5 * np.sum(np.log(m) + projected**2 / m)

    grid = np.linspace(-30, 10, 4001)
    peak = max(map(log_weight, grid))
    inside = grid[[log_weight(t) > peak - 45 for t in grid]]
    limits = {"a": inside[0], "b": inside[-1], "epsabs": 0, "epsrel": 1e-10, "limit": 400}

    def mean(function):
        return quad(lambda t: np.exp(log_weight(t) - peak) * function(np.exp(t)), **limits)[0]

    total = mean(lambda s: 1.0)
    # In the eigenbasis of the prior kernel G: E[H | s] = G - (s/N) G (M^-1 - M^-1 y y' M^-1) G.
    pairs = np.diag(
        values - values**2 * [mean(lambda s, v=v: s / (s * v + s2)) / total / width for v in values]
    )
    for i, j in np.ndindex(n, n):
        if min(values[i], values[j]) > 1e-12:
            pull = mean(lambda s, i=i, j=j: s / ((s * values[i] + s2) * (s * values[j] + s2))) / total / width
            pairs[i, j] += values[i] * values[j] * projected[i] * projected[j] * pull
    return vectors @ pairs @ vectors.T, prior


@pytest.mark.parametrize("width", [10, 40])
def test_linear_network_is_exact(width):
    data = kc.data.gaussian_classes(12, 3, seed=2, class_means=(-0.5, 0.5))
    exact, prior = exact_linear(data.x, data.targets, width, 0.25, 0.05)
    options = {"activation": "identity", "width": width, "readout_variance": 0.25, "noise_variance": 0.05}
    found = sample_posterior(data, draws=1000, **options)
    ratio, prior_ratio = (kc.nc1(gram, data.labels).ratio for gram in (exact, prior))
    assert found.ratio_error < 0.05 * abs(ratio - prior_ratio)  # small against what is to be found
    assert abs(found.ratio - ratio) < 4 * found.ratio_error
    assert np.abs((found.gram - exact) / found.gram_error).max() < 4.5  # of 78 entries
    assert np.abs((prior - exact) / found.gram_error).max() > 20
    assert np.linalg.eigvalsh(3 * found.weight_covariance)[-1] > 1.1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_without_data_it_is_the_prior(sampler):
    options = {"sampler": sampler, "width": 7, "noise_variance": 1e6, "weight_variance": 1.5}
    if sampler == "langevin":  # its bias is of the order of the step
        options |= {"step_size": 0.01, "thin": 50, "warmup": 0}
    found = sample_posterior(SMALL, draws=500, raise_on_failure=False, **options)
    nngp = kc.nngp(SMALL.x, weight_variance=1.5)
    allowed = 4.5 * found.gram_error + (0.01 * nngp.max() if sampler == "langevin" else 0.0)
    assert (np.abs(found.gram - nngp) < allowed).all()
    assert found.gram_error.max() < 0.01
    np.testing.assert_allclose(found.weight_covariance, 0.75 * np.eye(2), atol=0.03)
    assert found.weight_norm.mean() == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("sampler", SAMPLERS[1:])
def test_samplers_agree(sampler):
    options = {"width": 7, "noise_variance": 0.05, "readout_variance": 1.0}
    expected = sample_posterior(SMALL, **options)
    if sampler == "langevin":
        options |= {"step_size": 0.01, "thin": 30}
    found = sample_posterior(SMALL, sampler=sampler, raise_on_failure=False, **options)
    ratio = found.within.mean() / found.between.mean()
    bias = 0.01 * ratio if sampler == "langevin" else 0.0
    assert abs(ratio - expected.ratio) < 4 * np.sqrt(2) * expected.ratio_error + bias
    assert expected.ratio_error < 0.1 * (kc.nc1(kc.nngp(SMALL.x), SMALL.labels).ratio - expected.ratio)


@pytest.mark.parametrize(("noise", "expected"), [(1e-2, 0.0427), (1e-3, 0.0384)])
def test_two_gaussian_classes(noise, expected):
    data = kc.data.gaussian_classes(48, 4, seed=1)
    found = sample_posterior(data, width=200, noise_variance=noise, draws=500, warmup=100, accuracy=0.01)
    assert found.ratio == pytest.approx(expected, rel=0.02)
    assert found.ratio == pytest.approx(kc.nc1(found.gram, data.labels).ratio, rel=1e-9)
    assert found.ratio < 0.9 * kc.nc1(kc.nngp(data.x), data.labels).ratio


@pytest.mark.parametrize("weighting", ["paper", "sample", "class", "published"])
def test_traces_are_those_of_the_kernel(weighting, rng):
    sizes = np.array([2, 3, 7])
    labels, features = np.repeat(range(3), sizes), rng.normal(size=(12, 5))
    means = np.array([features[labels == c].mean(axis=0) for c in range(3)])
    spread = [np.mean(np.sum((features[labels == c] - means[c]) ** 2, axis=1)) for c in range(3)]
    seen = _chains.Seen(np.array(spread), means @ means.T, None)
    expected = kc.nc1(features @ features.T, labels, weighting=weighting)
    assert _mixing.traces(seen, sizes, weighting) == pytest.approx((expected.within, expected.between))


def test_permuting_the_samples_permutes_the_kernel(rng):
    data, order = SMALL, rng.permutation(12)
    permuted = dataclasses.replace(
        data, x=data.x[order], labels=data.labels[order], targets=data.targets[order]
    )
    options = {"trajectory": 0.2}  # so short that round-off does not grow
    found = short(data, **options)
    np.testing.assert_allclose(short(permuted, **options).gram, found.gram[np.ix_(order, order)], rtol=1e-7)
    negated = short(dataclasses.replace(data, targets=-data.targets), **options)
    np.testing.assert_array_equal(negated.gram, found.gram)
    shuffled = short(dataclasses.replace(data, targets=data.targets[order]), **options)
    assert np.abs(shuffled.gram - found.gram).max() > 1e-3


def test_more_dimensions_than_samples():
    x = np.vander([0.3, 0.9], 20)
    found = short(kc.data.from_arrays(x, ["a", "b"]), weight_variance=2.0)
    assert found.weights.shape == (4, 7, 20)
    outside, prior = np.linalg.svd(x)[2][2:], 2.0 / 20
    np.testing.assert_allclose(outside @ found.weight_covariance, prior * outside, atol=1e-12)
    assert np.abs(found.weight_covariance - prior * np.eye(20)).max() > 1e-3


# -- errors and status


def test_standard_errors_are_the_spread_over_seeds():
    options = {"noise_variance": 0.05, "readout_variance": 0.3, "draws": 1000, "warmup": 100}
    runs = [sample_posterior(SMALL, width=7, seed=seed, **options) for seed in range(12)]
    # The spread of 12 runs is known to 21 %, and the errors of the entries are those of few batches.
    spread = np.std([run.ratio for run in runs], ddof=1)
    assert spread == pytest.approx(np.mean([run.ratio_error for run in runs]), rel=0.5)
    spreads = np.std([run.gram for run in runs], axis=0, ddof=1)
    assert np.mean(spreads / np.mean([run.gram_error for run in runs], axis=0)) == pytest.approx(
        1.0, abs=0.35
    )
    assert len({run.ratio for run in runs}) == 12


def test_the_same_seed_gives_the_same_result():
    first, second, other = short(), short(), short(seed=1)
    for name in ("gram", "gram_error", "within", "between", "weights"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert (getattr(first, name) != getattr(other, name)).any()


def test_no_global_state_is_left_changed():
    threads = [library["num_threads"] for library in threadpool_info()]
    found = short()
    assert found.gram.dtype == np.float64
    assert jnp.ones(3).dtype == np.float32
    assert [library["num_threads"] for library in threadpool_info()][: len(threads)] == threads


def test_chains_that_do_not_move_are_not_mixed():
    options = {"width": 7, "step_size": 1e-4, "trajectory": 1e-4, "warmup": 0, "draws": 50}
    with pytest.raises(NetworkError, match=r"50 draws ended as not_mixed \(R-hat .*raise draws and warmup"):
        sample_posterior(SMALL, **options)
    found = sample_posterior(SMALL, raise_on_failure=False, **options)
    assert found.status is Status.NOT_MIXED
    assert found.rhat > 2
    assert np.isnan(found.ratio)
    assert np.isnan(found.ratio_error)
    assert found.acceptance > 0.99


def test_too_few_draws_says_how_many_would_do():
    options = {"width": 7, "noise_variance": 0.1, "draws": 500, "raise_on_failure": False}
    found = sample_posterior(SMALL, accuracy=1e-3, **options)
    assert found.status is Status.TOO_FEW_DRAWS
    assert np.isfinite(found.ratio)
    expected = 500 * (found.ratio_error / found.ratio / 1e-3) ** 2
    assert found.draws_needed == pytest.approx(expected, abs=1)
    assert f"about {found.draws_needed} a chain would do" in found.explanation
    reachable = 1.1 * found.ratio_error / found.ratio
    assert sample_posterior(SMALL, accuracy=reachable, **options).status is Status.CONVERGED


def test_divergences():
    found = short(step_size=0.5, noise_variance=1e-8, readout_variance=1.0)
    assert found.status is Status.DIVERGENCES
    assert found.divergences > 1
    assert "raise acceptance or warmup" in found.explanation


@pytest.mark.parametrize(
    "options",
    [
        # a function of the user's, and weights that grow without end
        {"sampler": "langevin", "step_size": 10.0, "activation": lambda z: jax.nn.relu(z)},
    ],
)
def test_not_finite(options):
    options = {"width": 7, "warmup": 0, "step_size": 0.2, "draws": 50, "thin": 100} | options
    with pytest.raises(NetworkError, match="not_finite .* not finite in float64; raise noise_variance"):
        sample_posterior(SMALL, **options)
    with pytest.raises(ValueError, match="noise_variance is 1e-320, expected a number from 1e-100"):
        sample_posterior(SMALL, **(options | {"noise_variance": 1e-320}))  # its inverse is not finite
    found = sample_posterior(SMALL, raise_on_failure=False, **options)
    assert found.status is Status.NOT_FINITE
    assert np.isnan(found.ratio)


def test_one_sample_a_class_has_no_spread():
    found = sample_posterior(
        kc.data.from_arrays(np.eye(2, 20), ["a", "b"]), width=7, noise_variance=0.1, draws=500
    )
    assert (found.status, found.ratio, found.ratio_error) == (Status.CONVERGED, 0.0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width is 0, expected a whole number that is at least 1"),
        ({"weight_variance": 0.0}, "weight_variance is 0.0, expected a finite number that is more than zero"),
        ({"readout_variance": -1.0}, "readout_variance is -1.0, expected"),
        ({"noise_variance": 0.0}, "noise_variance is 0.0, expected"),
        (
            {"sampler": "hcm"},
            "sampler is 'hcm', expected one of hmc, nuts, mala, langevin: did you mean 'hmc'",
        ),
        ({"chains": 1}, "chains is 1, expected a whole number that is at least 2"),
        ({"draws": 0}, "draws is 0, expected"),
        ({"warmup": 0}, "warmup is 0, expected a whole number that is at least 1"),
        ({"thin": 0}, "thin is 0, expected"),
        ({"acceptance": 1.0}, "acceptance is 1.0, expected less than 1"),
        ({"step_size": -0.1}, "step_size is -0.1, expected"),
        ({"accuracy": 0.0}, "accuracy is 0.0, expected"),
        ({"trajectory": 0.0}, "trajectory is 0.0, expected"),
        ({"weighting": "papers"}, "weighting is 'papers'.*did you mean 'paper'"),
        ({"activation": jnp.sign}, "activation sign is not differentiable"),
        ({"activation": "tanhh"}, "activation is 'tanhh', expected one of"),
        ({"seed": -1}, "seed is -1, expected"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        sample_posterior(SMALL, **{"width": 5} | options)


def test_bad_data():
    data = SMALL
    with pytest.raises(ValueError, match="dataset is of type ndarray, expected a Dataset: make one with"):
        sample_posterior(data.x, width=5)
    with pytest.raises(ValueError, match="of the data set has no sample, expected one at least in each"):
        sample_posterior(dataclasses.replace(data, labels=np.zeros(12, dtype=int)), width=5)
    with pytest.raises(ValueError, match="x has 12 rows and targets 7, expected as many targets"):
        sample_posterior(dataclasses.replace(data, targets=data.targets[:7]), width=5)


def test_result_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        short().ratio = 0.0
