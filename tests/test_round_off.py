"""What no precision changes, and what is said where precision ends.

The laws: NC1 to NC4 and CDNV do not change when the features are scaled, by any route and in any library. A value that
is given without a reason is right to a thousandth, whatever precision the Gram matrix came in; what is not resolved is
NaN with a reason. What cannot be a matrix of inner products is refused.
"""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import kernel_collapse as kc

#: What does not change with scale; nc3 has the classifier scaled back.
METRICS = ("nc1", "nc1_pinv", "cdnv", "nc2_norms", "nc2_angles", "nc2_etf", "nc3", "nc3_cosine", "nc4")
SHARES = ("ncm_accuracy", "accuracy")
ROUTES = ("gram", "features", "streamed", "held out", "held out features")


def sample(seed, n=24, classes=3, dim=5, apart=2.0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    return rng.normal(size=(n, dim)) + apart * rng.normal(size=(classes, dim))[labels], labels


def by_route(route, x, labels, targets):
    """Every metric of features x, by one way of getting there; the classifier is that of the same samples."""
    if route == "features":
        return kc.collapse_from_features(x, labels, classifier=targets.T @ x, targets=targets)
    if route == "held out features":
        return kc.held_out_collapse_from_features(
            x, labels, x, labels, classifier=targets.T @ x, targets=targets
        )
    if route == "streamed":
        return kc.streamed_collapse(
            x, labels, kernel=lambda a, b: a @ b.T, dual_weights=targets, targets=targets, tile=7
        )
    gram = x @ x.T
    if route == "gram":
        return kc.collapse(gram, labels, dual_weights=targets, targets=targets)
    return kc.held_out_collapse(
        gram, labels, gram, gram.diagonal(), labels, dual_weights=targets, targets=targets
    )


@pytest.mark.parametrize("route", ROUTES)
@given(seed=st.integers(0, 10**6), power=st.integers(-100, 100))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_scale_does_not_matter_in_float64(route, seed, power):
    x, labels = sample(seed)
    targets = np.eye(3)[labels]
    one, other = (by_route(route, scale * x, labels, targets) for scale in (1.0, 10.0**power))
    for name in (*METRICS, *SHARES):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-10, abs=1e-11), name
    assert other.reason == one.reason == ""


@pytest.mark.parametrize("library", ["torch", "jax", "numpy"])
@pytest.mark.parametrize("route", ["gram", "features", "held out", "held out features"])
@pytest.mark.parametrize("power", [-40, -13, 17, 40])
def test_powers_of_two_do_not_matter_in_float32(library, route, power):
    """To the last bit but where the classifier's size takes part: all is multiplied by a power of two."""
    make = {"torch": torch.tensor, "jax": jnp.asarray, "numpy": lambda a: a}[library]
    x, labels = sample(3)
    targets = make(np.eye(3, dtype=np.float32)[labels])
    one, other = (by_route(route, make((2.0**k * x).astype(np.float32)), labels, targets) for k in (0, power))
    exact = by_route("features", x.astype(np.float32).astype(float), labels, np.eye(3)[labels])
    for name in (*METRICS, *SHARES):
        assert float(getattr(other, name)) == pytest.approx(float(getattr(one, name)), rel=1e-6), name
        assert float(getattr(one, name)) == pytest.approx(getattr(exact, name), rel=2e-4, abs=1e-5), name


@given(seed=st.integers(0, 10**6), power=st.integers(-100, 100))
@settings(deadline=None, max_examples=15, derandomize=True)
def test_scale_does_not_matter_to_pairs_and_random_features(seed, power):
    x, labels = sample(seed)
    estimates = [
        kc.sampled_nc1(scale * x, labels, kernel=lambda a, b: (a * b).sum(axis=1), pairs=500)
        for scale in (1.0, 10.0**power)
    ]
    estimates += [
        kc.random_feature_nc1(scale * x, labels, activation="identity", features=32)
        for scale in (1.0, 10.0**power)
    ]
    for one, other in (estimates[:2], estimates[2:]):
        assert (other.ratio, other.low, other.high) == pytest.approx((one.ratio, one.low, one.high), rel=1e-9)


@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(2, 6),
    dim=st.integers(1, 300),
    mean=st.floats(0, 6),
    spread=st.floats(-8, 1),
    library=st.sampled_from(["torch", "jax", "numpy", "upcast"]),
    targets=st.booleans(),
)
@settings(deadline=None, max_examples=100, derandomize=True)
def test_no_number_is_wrong_in_silence(seed, classes, dim, mean, spread, library, targets):
    """Features far from the origin and classes of any spread, from a Gram matrix in float32, against float64.

    The truth is that of the same float32 features, centred. "upcast" hides that a Gram matrix was made in float32.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(12 * classes) % classes)
    means = 10.0**mean * rng.normal(size=dim) + 3.0 * rng.normal(size=(classes, dim))
    x = (means[labels] + 10.0**spread * rng.normal(size=(len(labels), dim))).astype(np.float32)
    exact = x.astype(float) - x.astype(float).mean(axis=0)
    if not np.ptp(exact, axis=0).any():
        return
    code = np.eye(classes)[labels]
    truth = kc.collapse_from_features(exact, labels)
    single = {"torch": torch.tensor, "jax": jnp.asarray}.get(library, np.asarray)(x)
    gram = single @ single.T
    gram = gram.astype(float) if library == "upcast" else gram
    like = {"torch": torch.tensor, "jax": jnp.asarray}.get(library, np.asarray)
    options = {"targets": like(code.astype(np.asarray(gram).dtype)), "noise_variance": 1.0} if targets else {}
    try:
        found = kc.collapse(gram, labels, **options)
    except ValueError as refusal:  # not definite in this precision
        assume("definite" not in str(refusal) and "at most sqrt" not in str(refusal))
        raise
    wrong = {}
    for name in ("nc1", "cdnv", "nc1_pinv"):
        value, right = float(getattr(found, name)), getattr(truth, name)
        if np.isnan(value):
            assert found.reason
        elif not np.isnan(right):
            wrong[name] = abs(value / right - 1.0) if right else abs(value)
    for name in ("nc2_norms", "nc2_angles", "nc2_etf"):
        value, right = float(getattr(found, name)), getattr(truth, name)
        if np.isnan(value):
            assert found.reason
        elif not np.isnan(right):
            wrong[name] = abs(value - right) / max(abs(right), 1e-3)
    if targets:
        for name in ("nc3", "nc3_cosine"):
            assert found.reason or np.isfinite(float(getattr(found, name)))
    # A thousandth in silence, a tenth with a reason that names the metric.
    assert all(error <= (0.1 if name in found.reason else 1e-3) for name, error in wrong.items()), wrong
