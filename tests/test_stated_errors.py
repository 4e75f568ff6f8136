"""Errors that a mean field states, against quadrature in one dimension, and what the tails of draws say."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import kernel_collapse as kc
from kernel_collapse.networks import _mixing, sample_posterior, solve_mean_field
from kernel_collapse.solution import Status

DATA = kc.data.gaussian_classes(n=8, dim=1, seed=1)
PHI = {
    "relu": lambda h: np.maximum(h, 0.0),
    "gelu": lambda h: 0.5 * h * (1.0 + special.erf(h / np.sqrt(2.0))),
    "identity": lambda h: h,
}


def quadrature(activation, width, noise, readout):
    """The kernel of the fixed point, by damped iteration on a grid."""
    grid = np.linspace(-30.0, 30.0, 12001)
    phi, y = PHI[activation](grid[:, None] * DATA.x[:, 0]), DATA.targets
    prior = -0.5 * grid**2
    log_p = prior - special.logsumexp(prior)
    for _ in range(4000):
        gram = (phi.T * np.exp(log_p)) @ phi
        inverse = np.linalg.inv(readout * gram + noise * np.eye(8))
        a = inverse - inverse @ y @ y.T @ inverse
        new = prior - readout / (2 * width) * np.sum((phi @ a) * phi, axis=1)
        new -= special.logsumexp(new)
        change = np.abs(np.exp(new) - np.exp(log_p)).sum()
        log_p = 0.9 * log_p + 0.1 * new
        log_p -= special.logsumexp(log_p)
        if change < 1e-12:
            return gram
    raise AssertionError("no fixed point")


@pytest.mark.parametrize(
    ("activation", "width", "noise", "readout"),
    [
        ("relu", 200, 1e-2, 1 / 128),
        ("gelu", 20, 1e-1, 1 / 128),
        ("identity", 10, 1e-2, 1 / 128),
        ("identity", 2, 0.1, 1.0),
        ("identity", 1000, 1.0, 1.0),
    ],
)
def test_stated_errors_hold(activation, width, noise, readout):
    """Over seeds; with the identity all that is left is the descent, which is the same for all particles."""
    truth = quadrature(activation, width, noise, readout)
    ratio = kc.nc1(0.5 * (truth + truth.T), DATA.labels).ratio
    options = {"width": width, "activation": activation, "noise_variance": noise, "readout_variance": readout}
    runs = [solve_mean_field(DATA, **options, seed=seed) for seed in range(12)]
    floor = 1e-9 * np.abs(truth).max()  # of the quadrature
    for found, claimed in (
        (np.array([run.gram - truth for run in runs]), np.array([run.gram_error for run in runs])),
        (np.array([run.ratio - ratio for run in runs]), np.array([run.ratio_error for run in runs])),
    ):
        rms, stated = (np.sqrt(np.mean(part**2, axis=0)) for part in (found, claimed))
        assert (rms < 1.6 * stated + floor).all()
    for run in runs:
        assert run.residual_error > 0.3 * run.residual or run.residual < 1e-9


@pytest.mark.parametrize("k", [0.0, 0.3, 1.0, 1.5])
def test_the_index_of_a_tail_is_that_of_its_law(k):
    """Of generalised Pareto draws by inversion, whatever their scale, of few draws too."""
    u = np.random.default_rng(3).random((4, 5000))
    draws = -np.log(u) if k == 0.0 else (u**-k - 1.0) / k
    found = _mixing._tail_index(draws)
    assert found == pytest.approx(k, abs=0.2)
    assert _mixing._tail_index(1e-30 * draws + 0.0) == pytest.approx(found, rel=1e-9)
    assert _mixing._tail_index(draws[:, :15]) == pytest.approx(k, abs=0.5)
    assert _mixing._tail_index(np.ones((4, 100))) == -np.inf


def test_chains_that_agree_on_a_heavy_tail_have_not_mixed():
    """One unit with an exponential: the mean of the kernel is in draws that hardly come."""
    data = kc.data.gaussian_classes(n=6, dim=1, seed=1)
    options = {"width": 1, "noise_variance": 0.1, "draws": 1000, "raise_on_failure": False}
    ends = [
        sample_posterior(data, **options, activation=lambda u: jnp.exp(1.5 * u), seed=seed) for seed in (0, 2)
    ]
    assert any(end.rhat < _mixing.RHAT_LIMIT and end.ess > 400 for end in ends)
    for end in ends:
        assert end.status is Status.NOT_MIXED
        assert end.tail_index > _mixing.TAIL_LIMIT or end.rhat > _mixing.RHAT_LIMIT
    usual = sample_posterior(kc.data.gaussian_classes(n=12, dim=2), width=7, noise_variance=1e-2)
    assert usual.tail_index < 0.3
    assert usual.tail_ess > 400
