"""What solvers, samplers and training return alike."""

import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_collapse as kc
from kernel_collapse._span import span_of
from kernel_collapse.networks import mean_field, posterior, training
from kernel_collapse.solution import Solution, SolutionError, Status

SMALL = kc.data.gaussian_classes(n=16, dim=3, seed=5)
WIDE = kc.data.gaussian_classes(n=12, dim=30, seed=6)
NETWORK = {"width": 20, "raise_on_failure": False}


def solutions():
    """One of each kind."""
    yield kc.solve_adaptive(SMALL.x, SMALL.targets)
    yield kc.networks.solve_mean_field(SMALL, noise_variance=1e-2, max_iterations=2, **NETWORK)
    yield kc.networks.sample_posterior(SMALL, noise_variance=1e-2, draws=50, warmup=50, **NETWORK)
    yield kc.networks.train(SMALL, epochs=3, seeds=2, learning_rate=1e6, **NETWORK)
    yield kc.theory.expected_nc1(kc.theory.gaussian_mixture(4))
    yield kc.deep_rfm(np.ones((4, 2)), [1.0, 1.0, 1.0, 1.0], raise_on_failure=False)


@pytest.fixture(scope="module")
def found():
    return list(solutions())


def kinds(base):
    """The classes of solutions that nothing else is derived from."""
    below = base.__subclasses__()
    return set().union(*map(kinds, below)) if below else {base}


def test_every_result_is_a_solution(found):
    assert len({type(solution) for solution in found}) == 6
    assert {type(solution) for solution in found} == kinds(Solution)
    for solution in found:
        fields = {field.name for field in dataclasses.fields(solution)}
        assert {*solution.certificate, *solution.cost} <= fields | set(dir(solution))
        assert "status" in fields
        assert solution.certificate
        assert solution.cost
        assert all(np.all(np.asarray(number) >= 0) for number in solution.cost.values())
        assert "raise " in solution.explanation or "lower " in solution.explanation or not solution.failures
        assert solution.explanation.endswith(".")


def test_the_value_is_the_attribute_of_its_kind(found):
    adaptive, field, sampled, trained, expected, machine = found
    for solution in (adaptive, field, sampled):
        assert solution.value is solution.gram
    assert trained.value is trained.networks
    assert expected.value == expected.ratio
    assert machine.value is machine.layers
    assert adaptive.certificate["residual"] == adaptive.residual
    assert sampled.cost["draws"] == 50


def test_a_failure_is_a_value_or_one_kind_of_error(found):
    for solution in found:
        if not solution.failures:
            assert solution.raise_for_status() is solution
            continue
        with pytest.raises(SolutionError) as raised:
            solution.raise_for_status()
        assert raised.type is (SolutionError if solution is found[5] else kc.networks.NetworkError)
        assert str(raised.value) == solution.explanation
        assert raised.value.status == solution.status
    assert [bool(solution.failures) for solution in found] == [False, True, True, True, False, True]
    assert found[3].failures == (Status.DIVERGED, Status.DIVERGED)
    assert issubclass(kc.AdaptiveError, SolutionError)
    assert issubclass(SolutionError, RuntimeError)


def test_an_error_keeps_its_status_between_processes():
    with pytest.raises(kc.AdaptiveError) as raised:
        kc.solve_adaptive(SMALL.x, SMALL.targets, width=20, max_evaluations=2)
    back = pickle.loads(pickle.dumps(raised.value))
    assert type(back) is kc.AdaptiveError
    assert back.status is Status.MAX_ITERATIONS
    assert str(back) == str(raised.value)


@pytest.mark.parametrize("status", Status)
def test_a_status_is_its_string(status):
    """So it was stored, and so rows are compared."""
    assert status == status.value == str(status)
    assert Status(status.value) is status
    assert json.loads(json.dumps({"solver": status})) == {"solver": status.value}
    assert pickle.loads(pickle.dumps(status)) is copy.deepcopy(status) is status
    assert status.sentence.endswith(".")


def test_there_is_one_status():
    assert {of.Status for of in (kc.adaptive, mean_field, posterior, training)} == {Status}
    stored = "converged precision_limit max_iterations not_finite too_few_samples too_few_draws not_mixed"
    assert {*stored.split(), "divergences", "trained", "diverged", "max_points", "resolved", "singular"} == {
        *map(str, Status)
    }


@given(n=st.integers(2, 6), dim=st.integers(1, 9), variance=st.floats(0.1, 10.0), seed=st.integers(0, 99))
@settings(deadline=None)
def test_a_span_is_the_whole_space_seen_by_the_samples(n, dim, variance, seed):
    """Sigma, its root and the weights, against their d x d definitions."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dim))
    span, z = span_of(x, variance)
    rank = min(n, dim)
    assert z.shape == (n, rank)
    np.testing.assert_allclose(z @ z.T, variance / dim * x @ x.T, atol=1e-12)
    root = np.eye(rank) + 0.1 * rng.normal(size=(rank, rank))
    root = root + root.T
    sigma = span.weight_covariance(root @ root)
    np.testing.assert_allclose(x @ sigma @ x.T, z @ root @ root @ z.T, atol=1e-10)
    np.testing.assert_allclose(span.weight_covariance(np.eye(rank)), variance / dim * np.eye(dim), atol=1e-12)
    moved = span.transform(x, root - np.eye(rank))
    np.testing.assert_allclose(variance / dim * moved @ moved.T, x @ sigma @ x.T, atol=1e-10)
    u = rng.normal(size=(5, rank))
    for w in (span.lift(u), span.lift(u, rng)):
        assert w.shape == (5, dim)
        np.testing.assert_allclose(np.sqrt(variance / dim) * w @ x.T, u @ z.T, atol=1e-10)


def test_outside_of_the_span_weights_are_at_their_prior():
    span, _ = span_of(WIDE.x, 1.0)
    w = span.lift(np.zeros((20_000, 12)), np.random.default_rng(0))
    outside = np.eye(30) - span.basis @ span.basis.T
    np.testing.assert_allclose(w.T @ w / len(w), outside, atol=6 * np.sqrt(2 / len(w)))


def test_results_are_compared_as_objects():
    """Numbers of two results may be arrays, of which neither "equal" nor a hash is defined."""
    data = kc.data.gaussian_classes(n=12, dim=2)
    gram = data.x @ data.x.T
    makes = [
        lambda: kc.collapse_from_features(data.x, data.labels),
        lambda: kc.geometry_from_features(data.x, data.labels),
        lambda: kc.regression_collapse(gram, data.x),
        lambda: kc.block_structure(gram, data.labels),
        lambda: kc.solve_adaptive(data.x, data.targets),
        lambda: kc.deep_rfm(data.x, data.targets, depth=1),
        lambda: kc.networks.initialise(2, width=3),
        lambda: kc.data.gaussian_classes(n=12, dim=2),
        lambda: kc.rfm.feature_ansatz(np.eye(2), np.eye(2)),
    ]
    for make in makes:
        one, other = make(), make()
        assert one == one
        assert one != other
        assert len({one, other, one}) == 2
