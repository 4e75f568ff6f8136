"""Where every class has one sample NC1 is 0 whatever the kernel, and every door says so."""

import jax
import numpy as np
import pytest
import torch

import kernel_collapse as kc

SAID = "every class has one sample, so NC1 is 0 whatever the kernel"
LABELS = list("abcde")
X = np.random.default_rng(0).normal(size=(5, 3))
TWICE = np.repeat(X, 2, axis=0)


def accumulated(x, labels):
    numbers = np.unique(labels, return_inverse=True)[1]
    seen = kc.Accumulator(int(numbers.max()) + 2, x.shape[1])  # one class more than there are
    seen.update(x, numbers)
    return seen.collapse()


DOORS = {
    "nc1": lambda x, labels: kc.nc1(x @ x.T, labels),
    "nc1 of a tensor": lambda x, labels: kc.nc1(torch.tensor(x @ x.T), labels),
    "features": kc.nc1_from_features,
    "collapse": lambda x, labels: kc.collapse(x @ x.T, labels),
    "collapse of features": kc.collapse_from_features,
    "streamed": kc.streamed_nc1,
    "streamed collapse": kc.streamed_collapse,
    "sampled": kc.sampled_nc1,
    "pairs": lambda x, labels: kc.sampled_nc1(x, labels, pairs=1000),
    "random features": kc.random_feature_nc1,
    "accumulator": accumulated,
}


@pytest.mark.parametrize("door", DOORS)
def test_the_reason_says_that_every_class_has_one_sample(door):
    found = DOORS[door](X, LABELS)
    assert float(getattr(found, "nc1", getattr(found, "ratio", None))) == 0.0
    assert SAID in found.reason
    assert SAID not in DOORS[door](np.vstack([X, X[:1] + 0.1]), [*LABELS, "a"]).reason
    assert SAID not in DOORS[door](TWICE, [label for label in LABELS for _ in range(2)]).reason


@pytest.mark.parametrize("weighting", ["paper", "sample", "class", "published"])
def test_under_every_weighting(weighting):
    assert kc.nc1(X @ X.T, LABELS, weighting=weighting).reason == SAID
    assert kc.nc1_weightings(X @ X.T, LABELS)[weighting].reason == SAID


def test_held_out_samples_have_a_spread_about_the_means():
    found = kc.held_out_collapse_from_features(X, LABELS, X + 0.1, LABELS)
    of_gram = kc.held_out_collapse(X @ X.T, LABELS, (X + 0.1) @ X.T, np.sum((X + 0.1) ** 2, axis=1), LABELS)
    assert found.nc1 == pytest.approx(of_gram.nc1)
    assert found.nc1 > 0.0
    assert SAID not in found.reason + of_gram.reason


def test_class_means_that_coincide_come_first():
    assert "the class means coincide" in kc.nc1_from_features(np.ones((3, 2)), [0, 1, 2]).reason


def test_nothing_is_said_under_jit():
    with jax.enable_x64(True):
        assert float(jax.jit(lambda x: kc.nc1_from_features(x, LABELS).ratio)(X)) == 0.0
