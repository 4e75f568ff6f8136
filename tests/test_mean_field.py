"""The mean field against quadrature, exact cases, its own error bars, and the Gaussian equations of state."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

import kernel_collapse as kc
from fluctuations import correction
from kernel_collapse.networks import solve_mean_field
from kernel_collapse.networks._importance_sampling import CLOSE
from kernel_collapse.networks._types import NetworkError
from kernel_collapse.networks.mean_field import Status

PHI = {"erf": special.erf, "relu": lambda x: np.maximum(x, 0.0)}


def line():
    return kc.data.gaussian_classes(12, 1, class_means=(-0.4, 0.8), seed=3)


def plane():
    return kc.data.gaussian_classes(14, 2, class_means=(-0.7, 0.9), class_sizes=(5, 9), seed=4)


def three_classes():
    return kc.data.gaussian_classes(12, 2, class_means=((-1.5, 0.0), (1.5, 0.5), (0.0, 2.0)), seed=5)


def table_problem():
    return kc.data.gaussian_classes(48, 4, seed=1)


def gaussian_nc1(data, **options):
    return kc.nc1(kc.solve_adaptive(data.x, data.targets, **options).gram, data.labels).ratio


@dataclasses.dataclass
class Quadrature:
    gram: np.ndarray
    covariance: np.ndarray
    free_energy: float
    ratio: float


@functools.cache
def quadrature(problem, activation, width, noise, readout=1 / 128):
    """The fixed point on a grid in w, by damped iteration and plain linear algebra."""
    data = problem()
    n, dim = data.x.shape
    axis = np.linspace(-7.0, 7.0, 4001 if dim == 1 else 141) / np.sqrt(dim)
    w = np.stack(np.meshgrid(*[axis] * dim), axis=-1).reshape(-1, dim)
    log_prior = -0.5 * dim * np.sum(w**2, axis=1)
    log_prior -= special.logsumexp(log_prior)
    phi, k = PHI[activation](w @ data.x.T), data.targets.shape[1]
    log_p = log_prior
    for _ in range(2000):
        p = np.exp(log_p)
        gram = (phi.T * p) @ phi
        m = readout * gram + noise * np.eye(n)
        t = np.linalg.solve(m, data.targets)
        a = k * np.linalg.inv(m) - t @ t.T
        new = log_prior - readout / (2 * width) * np.sum((phi @ a) * phi, axis=1)
        new -= special.logsumexp(new)
        change = np.abs(np.exp(new) - p).sum()
        if change < 1e-9:
            break
        log_p = 0.85 * log_p + 0.15 * new
        log_p -= special.logsumexp(log_p)
    assert change < 1e-9
    potential = 0.5 * np.sum(data.targets * t) + 0.5 * k * np.linalg.slogdet(m)[1]
    return Quadrature(
        gram=gram,
        covariance=(w.T * p) @ w,
        free_energy=np.sum(p * (log_p - log_prior)) + potential / width,
        ratio=kc.nc1(0.5 * (gram + gram.T), data.labels).ratio,
    )


# -- against quadrature


@pytest.mark.parametrize(
    ("problem", "activation", "width", "noise"),
    [
        (line, "erf", 20, 1e-2),
        (line, "relu", 40, 1e-2),
        (plane, "erf", 10, 1e-3),
        (plane, "erf", 40, 1e-2),
        (three_classes, "erf", 40, 1e-2),
        (three_classes, "relu", 40, 1e-2),
    ],
)
def test_quadrature(problem, activation, width, noise):
    data = problem()
    found = solve_mean_field(data, width=width, activation=activation, noise_variance=noise, seed=7)
    truth = quadrature(problem, activation, width, noise)
    assert found.status is Status.CONVERGED
    assert found.ratio_error < 0.01 * truth.ratio
    assert abs(found.ratio - truth.ratio) < 4 * found.ratio_error + 1e-4 * truth.ratio
    scale = np.abs(truth.gram).max()
    off = (found.gram - truth.gram) / (found.gram_error + 1e-4 * scale)
    assert np.sqrt(np.mean(off**2)) < 3  # entries err together, so that this is about one number
    assert found.free_energy == pytest.approx(truth.free_energy, abs=5e-3)
    error = np.abs(found.weight_covariance - truth.covariance).max()
    assert error < 3e-3 * np.trace(truth.covariance)
    gaussian = gaussian_nc1(data, activation=activation, width=width, noise_variance=noise)
    assert abs(gaussian - truth.ratio) > 10 * found.ratio_error


@pytest.mark.parametrize(
    ("problem", "width", "noise", "close"), [(plane, 10, 1e-2, False), (plane, 400, 1e-2, True)]
)
def test_errors_are_those_of_many_seeds(problem, width, noise, close):
    """Without and with the Gaussian's kernel as a control; a bias would show in the mean."""
    truth = quadrature(problem, "erf", width, noise).ratio
    options = {"width": width, "noise_variance": noise, "accuracy": 1.0}
    runs = [solve_mean_field(problem(), seed=seed, **options) for seed in range(24)]
    assert all((run.ess > CLOSE * run.particles) == close for run in runs)
    ratios, claimed = np.array([run.ratio for run in runs]), np.array([run.ratio_error for run in runs])
    claimed = np.sqrt(np.mean(claimed**2))
    spread = np.sqrt(np.mean((ratios - truth) ** 2))
    assert 1 / 1.6 < spread / claimed < 1.6
    assert abs(ratios.mean() - truth) < 4 * spread / np.sqrt(24) + 0.2 * claimed


def test_the_bias_of_few_particles_is_within_the_error():
    data = table_problem()
    options = {"width": 200, "noise_variance": 1e-2}
    few = solve_mean_field(data, **options, accuracy=1.0)
    many = solve_mean_field(data, **options, accuracy=5e-4)
    assert many.particles > 2 * few.particles
    assert many.ratio_error < few.ratio_error
    assert abs(few.ratio - many.ratio) < 3 * np.hypot(few.ratio_error, many.ratio_error)


# -- exact cases and limits


@pytest.mark.parametrize(("noise", "ratio"), [(1e-2, 0.0429), (1e-3, 0.0386)])
def test_table_of_two_gaussian_classes(noise, ratio):
    """MATHS section 6, whose own error is about one per cent."""
    data = table_problem()
    found = solve_mean_field(data, width=200, noise_variance=noise)
    assert found.status is Status.CONVERGED
    assert found.ratio == pytest.approx(ratio, rel=0.01)
    assert found.ratio_error < 0.005 * found.ratio
    assert found.residual < 1e-4
    assert found.residual_error < 1e-3
    gaussian = kc.solve_adaptive(data.x, data.targets, width=200, noise_variance=noise)
    assert kc.nc1(gaussian.gram, data.labels).ratio - found.ratio > 0.01
    # The two count the constants of a Gaussian differently.
    constant = 0.5 * 4 + 0.5 * 4 * np.log(4.0)
    assert found.free_energy < gaussian.free_energy - constant - 1e-3


def test_with_width_all_kernels_coincide():
    data = table_problem()
    nngp = kc.nc1(kc.nngp(data.x), data.labels).ratio
    shifts = []
    for width in (1e4, 1e5, 1e6):
        found = solve_mean_field(data, width=width, noise_variance=1e-2)
        gaussian = gaussian_nc1(data, width=width, noise_variance=1e-2)
        shifts.append([1 - found.ratio / nngp, 1 - found.ratio / gaussian])
        assert found.ratio_error / nngp < 0.05 * shifts[-1][1]
    slopes = np.log10(np.array(shifts[:-1]) / np.array(shifts[1:]))
    np.testing.assert_allclose(slopes, 1.0, atol=0.05)


def test_identity_is_gaussian():
    data = table_problem()
    found = solve_mean_field(data, width=20, activation="identity", noise_variance=1e-3)
    gaussian = kc.solve_adaptive(data.x, data.targets, width=20, activation="identity", noise_variance=1e-3)
    np.testing.assert_allclose(found.gram, gaussian.gram, rtol=1e-5)
    np.testing.assert_allclose(found.weight_covariance, gaussian.weight_covariance, atol=1e-6)
    constant = 0.5 * 4 + 0.5 * 4 * np.log(4.0)
    assert found.free_energy == pytest.approx(gaussian.free_energy - constant, abs=1e-6)


@pytest.mark.parametrize("name", ["identity", "erf"])
def test_a_function_of_the_user_starts_from_the_prior(name):
    data = table_problem()
    options = {"width": 50, "noise_variance": 1e-2}
    named = solve_mean_field(data, activation=name, **options)
    function = {"identity": lambda x: 1.0 * x, "erf": lambda x: jax.scipy.special.erf(x)}[name]
    own = solve_mean_field(data, activation=function, **options)
    assert abs(own.ratio - named.ratio) < 4 * np.hypot(own.ratio_error, named.ratio_error)
    assert own.ratio_error < 0.01 * own.ratio


def test_smooth_activation_without_closed_form():
    data = plane()
    found = solve_mean_field(data, width=100, activation=jnp.tanh, noise_variance=1e-2)
    assert found.status is Status.CONVERGED
    erf = solve_mean_field(data, width=100, noise_variance=1e-2)
    assert abs(found.ratio / erf.ratio - 1) < 0.2


# -- symmetries


def test_symmetries():
    data, rng = three_classes(), np.random.default_rng(5)
    options = {"width": 50, "noise_variance": 1e-2, "accuracy": 5e-3}
    base = solve_mean_field(data, **options)

    def same(other, gram):
        error = 5 * np.hypot(base.gram_error, other.gram_error) + 1e-6
        assert np.mean(np.abs(gram - base.gram) < error) > 0.97
        assert abs(other.ratio - base.ratio) < 4 * np.hypot(base.ratio_error, other.ratio_error)

    flipped = solve_mean_field(dataclasses.replace(data, targets=-data.targets), **options)
    same(flipped, flipped.gram)
    order = rng.permutation(12)
    shuffled = dataclasses.replace(
        data, x=data.x[order], labels=data.labels[order], targets=data.targets[order]
    )
    permuted = solve_mean_field(shuffled, **options)
    back = np.argsort(order)
    same(permuted, permuted.gram[np.ix_(back, back)])
    rotation = np.array([[0.6, -0.8], [0.8, 0.6]])
    rotated = solve_mean_field(dataclasses.replace(data, x=data.x @ rotation.T), **options)
    same(rotated, rotated.gram)
    turned = rotation.T @ rotated.weight_covariance @ rotation
    np.testing.assert_allclose(turned, base.weight_covariance, atol=0.01)
    wrong = dataclasses.replace(data, targets=data.targets[rng.permutation(12)])
    assert abs(solve_mean_field(wrong, **options).ratio - base.ratio) > 20 * base.ratio_error


def test_more_dimensions_than_samples():
    """Columns of zeros change nothing but the prior's share of each weight."""
    data = plane()
    padded = dataclasses.replace(data, x=np.hstack([data.x, np.zeros((14, 38))]))
    options = {"width": 40, "noise_variance": 1e-2}
    base = solve_mean_field(data, weight_variance=1.5, **options)
    wide = solve_mean_field(padded, weight_variance=30.0, **options)
    assert abs(wide.ratio - base.ratio) < 4 * np.hypot(wide.ratio_error, base.ratio_error)
    np.testing.assert_allclose(wide.weight_covariance[:2, :2], base.weight_covariance, atol=0.01)
    np.testing.assert_allclose(wide.weight_covariance[2:, 2:], 0.75 * np.eye(38), atol=0.05)
    for found in (base, wide):
        moment = found.weights.T @ found.weights / len(found.weights)
        error = 6 * np.sqrt(2 / 1000) * np.abs(found.weight_covariance).max()
        np.testing.assert_allclose(moment, found.weight_covariance, atol=error)


def test_weights_show_that_p_is_not_gaussian():
    data = table_problem()
    weights = solve_mean_field(data, width=20, noise_variance=1e-2).weights
    along = weights.sum(axis=1)  # the class means lie on the diagonal
    kurtosis = np.mean(along**4) / np.mean(along**2) ** 2
    assert weights.shape == (1000, 4)
    assert kurtosis < 2.2  # two lobes; a Gaussian has 3


# -- seeds, statuses, refusals


def test_the_seed_decides():
    options = {"width": 40, "noise_variance": 1e-2}
    first, second = (solve_mean_field(plane(), **options, seed=3) for _ in range(2))
    other = solve_mean_field(plane(), **options, seed=4)
    np.testing.assert_array_equal(first.gram, second.gram)
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.ratio_error == second.ratio_error
    assert other.ratio != first.ratio


def test_jax_is_left_as_it_was():
    solve_mean_field(plane(), width=100, noise_variance=1e-2)
    assert jnp.ones(1).dtype == jnp.float32


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"max_iterations": 2}, Status.MAX_ITERATIONS),
        ({"accuracy": 1e-7, "particles": 4096}, Status.TOO_FEW_SAMPLES),
    ],
)
def test_failure_is_a_value_or_one_error(options, status):
    options = {"width": 20, "noise_variance": 1e-2} | options
    found = solve_mean_field(plane(), **options, raise_on_failure=False)
    assert found.status is status
    assert np.isfinite(found.gram).all()
    with pytest.raises(NetworkError, match=rf"no mean field \({status.value}, .* raise "):
        solve_mean_field(plane(), **options)


def test_a_tail_that_particles_miss_is_not_called_converged():
    """Strong ReLU adaptation of a few units: most of p lies where a sample of moderate size has nothing."""
    data = table_problem()
    options = {"width": 20, "activation": "relu", "noise_variance": 1e-3, "particles": 2**13}
    found = solve_mean_field(data, **options, raise_on_failure=False)
    assert found.status is Status.TOO_FEW_SAMPLES
    assert found.ratio_error == np.inf


def test_not_finite():
    data = plane()
    doubled = dataclasses.replace(
        data,
        x=np.repeat(data.x, 2, axis=0),
        labels=np.repeat(data.labels, 2),
        targets=np.repeat(data.targets, 2, axis=0),
    )
    found = solve_mean_field(doubled, width=20, noise_variance=1e-30, raise_on_failure=False)
    assert found.status is Status.NOT_FINITE
    assert np.isnan(found.gram).all()
    assert np.isnan(found.ratio)
    assert found.weights.shape == (0, 2)
    with pytest.raises(NetworkError, match="raise noise_variance"):
        solve_mean_field(doubled, width=20, noise_variance=1e-30)
    same = dataclasses.replace(data, x=np.ones((14, 2)))
    found = solve_mean_field(same, width=20, noise_variance=1e-2, raise_on_failure=False)
    assert found.status is Status.NOT_FINITE
    assert "class means coincide" in found.sentence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"weight_variance": 0.0}, "weight_variance is 0.0"),
        ({"readout_variance": -1.0}, "readout_variance is -1.0"),
        ({"noise_variance": 0.0}, "noise_variance is 0.0, expected a finite number that is more than zero"),
        ({"accuracy": 0.0}, "accuracy is 0.0"),
        ({"accuracy": float("nan")}, "accuracy is nan"),
        ({"particles": 100}, "particles is 100, expected a whole number that is at least 4096"),
        ({"max_iterations": 0}, "max_iterations is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"weighting": "papr"}, "did you mean 'paper'"),
        ({"activation": "eft"}, "did you mean 'erf'"),
        ({"activation": 3}, "activation is 3, expected one of"),
        ({"activation": jnp.sign}, "does it jump"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        solve_mean_field(plane(), **{"width": 20} | arguments)


def test_bad_data_are_refused():
    with pytest.raises(ValueError, match="dataset is of type ndarray, expected a Dataset"):
        solve_mean_field(plane().x, width=20)
    alone = dataclasses.replace(plane(), labels=np.zeros(14, dtype=int))
    with pytest.raises(ValueError, match="of the data set has no sample, expected one at least in each"):
        solve_mean_field(alone, width=20)


def test_result_is_frozen():
    found = solve_mean_field(plane(), width=100, noise_variance=1e-2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.ratio = 0.0


# -- the first correction in 1/N


def test_first_correction_is_that_of_exact_linear_networks():
    """Of the identity p is Gaussian, and the posterior of finitely many units is a quadrature over |a|^2."""
    data = kc.data.gaussian_classes(5, 2, class_means=(-0.7, 0.9), seed=4)
    x, y, readout, noise = data.x, data.targets, 2.0, 0.1
    prior = x @ x.T / 2
    # Of the rank 2, so that a grid of Hermite's points has every moment of order six exactly.
    points, weights = np.polynomial.hermite_e.hermegauss(8)
    grid = np.stack(np.meshgrid(points, points), axis=-1).reshape(-1, 2)
    weights = np.outer(weights, weights).ravel() / weights.sum() ** 2
    gaps = []
    for width in (50, 200, 800):
        sa2, s2 = readout / width, noise / width
        start = kc.solve_adaptive(
            x, y, activation="identity", width=width, readout_variance=sa2, noise_variance=s2
        ).weight_covariance

        def residual(entries, width=width, sa2=sa2, s2=s2):
            sigma = entries.reshape(2, 2)
            inverse = np.linalg.inv(sa2 * x @ sigma @ x.T + s2 * np.eye(len(x)))
            pull = x.T @ (inverse - inverse @ y @ y.T @ inverse) @ x
            return (sigma @ (2 * np.eye(2) + sa2 / width * pull) - np.eye(2)).ravel()

        root = optimize.root(residual, start.ravel(), tol=1e-13)
        assert np.abs(residual(root.x)).max() < 1e-12
        sigma = 0.5 * (root.x.reshape(2, 2) + root.x.reshape(2, 2).T)
        features, q = grid @ np.linalg.cholesky(sigma).T @ x.T, x @ sigma @ x.T

        def potential(kernel, sa2=sa2, s2=s2):
            m = sa2 * kernel + s2 * jnp.eye(len(kernel))
            return 0.5 * jnp.sum(y * jnp.linalg.solve(m, y)) + 0.5 * jnp.linalg.slogdet(m)[1]

        with jax.enable_x64(True):
            shift = correction(q, features, weights, potential, width)
        exact = linear_posterior(prior, y[:, 0], width, sa2, s2)
        gaps.append(np.abs(width * (exact - q - shift)).max())
        largest = np.abs(width * (exact - q)).max()
    assert gaps[-1] < 0.01 * largest
    for before, after in itertools.pairwise(gaps):  # what is left is of the order 1/N^2
        assert after / before == pytest.approx(0.25, rel=0.1)


def linear_posterior(prior, y, width, sa2, s2):
    """Return E[H H' / N] of N linear units, by quadrature over s = |a|^2."""

    def terms(s):
        m_inverse = np.linalg.inv(s * prior + s2 * np.eye(len(y)))
        dual = m_inverse @ y
        log = (width / 2 - 1) * np.log(s) - s * width / (2 * sa2) - 0.5 * y @ dual
        log -= 0.5 * np.linalg.slogdet(s * prior + s2 * np.eye(len(y)))[1]
        return log, prior - s / width * prior @ (m_inverse - np.outer(dual, dual)) @ prior

    s = np.exp(np.linspace(-7, 7, 4001)) * sa2
    logs, kernels = zip(*map(terms, s), strict=True)
    density = np.exp(np.array(logs) - max(logs)) * s
    assert max(density[0], density[-1]) < 1e-12
    return np.einsum("i,ijk->jk", density / density.sum(), np.array(kernels))


@pytest.mark.parametrize("seed", range(5))
def test_the_kernel_of_samples_that_are_nearly_collinear_is_one(seed):
    """Where the rest of the spread within a class is a thousandth, errors of particles are more than what is left."""
    data = kc.data.gaussian(n=64, dim=4, separation=64.0, std=0.5, seed=seed)
    field = kc.networks.solve_mean_field(data, width=100, noise_variance=1e-2)
    assert field.status == "converged"
    lengths = np.sqrt(field.gram.diagonal())
    assert (np.abs(field.gram) <= np.outer(lengths, lengths) * (1 + 1e-9)).all()
    assert kc.nc1(field.gram, data.labels).ratio == field.ratio
