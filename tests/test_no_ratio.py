"""Kernels without NC1: sampled and solved for, they end alike, and say why."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import kernel_collapse as kc
from kernel_collapse.networks import NetworkError, sample_posterior, solve_mean_field
from kernel_collapse.solution import Status

DATA = kc.data.gaussian_classes(n=10, dim=3, seed=2)


def at(value):
    return dataclasses.replace(DATA, x=np.full((10, 3), value))


SOLVE = {
    "posterior": lambda data, **options: sample_posterior(
        data, width=9, draws=300, noise_variance=0.1, **options
    ),
    "mean field": lambda data, **options: solve_mean_field(data, width=50, noise_variance=0.1, **options),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("solve", SOLVE.values(), ids=SOLVE)
@pytest.mark.parametrize(
    ("data", "options"),
    [
        (at(1.0), {}),
        (at(0.0), {}),
        (at(0.0), {"depth": 2}),
        (DATA, {"activation": lambda z: 0.0 * z}),
        (DATA, {"activation": jnp.ones_like}),
    ],
    ids=["constant", "zero", "zero, deep", "zero activation", "constant activation"],
)
def test_a_kernel_without_nc1_says_so(solve, data, options):
    found = solve(data, **options, raise_on_failure=False)
    assert found.status is Status.NOT_FINITE
    assert np.isnan(found.ratio)
    reason = kc.nc1(found.gram, data.labels).reason
    assert found.reason == reason != ""
    assert reason in found.explanation
    assert np.isfinite(found.gram).all()
    assert "scale x" not in found.explanation
    with pytest.raises(NetworkError, match="NC1 is no number: the class means coincide"):
        solve(data, **options)


@pytest.mark.parametrize("solve", SOLVE.values(), ids=SOLVE)
def test_a_kernel_with_nc1_has_nothing_to_say(solve):
    found = solve(DATA)
    assert found.status is Status.CONVERGED
    assert found.reason == ""
    assert "no number" not in found.explanation


def test_samples_that_are_the_same_have_no_tails():
    """What is left within the classes is round-off, whose largest number says nothing."""
    rows = np.random.default_rng(0).normal(size=(2, 3))
    data = dataclasses.replace(DATA, x=rows[DATA.labels])
    found = sample_posterior(data, width=9, draws=600, noise_variance=0.1)
    assert found.ratio < 1e-25
    assert found.tail_index < 0.3


@pytest.mark.parametrize("scale", [1e6, 1e8])
def test_a_descent_that_finds_no_way_is_not_called_cut_off(scale):
    """Targets so large that one step leaves no particle with weight."""
    data = dataclasses.replace(DATA, targets=scale * DATA.targets)
    found = solve_mean_field(data, width=50, noise_variance=1e-2, particles=2**14, raise_on_failure=False)
    assert found.status is Status.TOO_FEW_SAMPLES
    assert found.iterations < 1000
    assert found.ratio_error == np.inf
    assert "max_iterations" not in found.explanation
