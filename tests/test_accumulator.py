"""Collapse of features that come in batches: that of all of them, whatever the batches."""

import copy
import dataclasses
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_collapse as kc
from objects import OBJECTS

FIELDS = [
    field.name for field in dataclasses.fields(kc.Collapse) if field.name not in ("reason", "noise_variance")
]
DECIDED = ("nc4", "nc4_classwise", "nc4_by_class", "ncm_accuracy", "accuracy")
NO_CLASSIFIER = "no classifier was given, so metrics that compare with one are NaN"
NO_DECISIONS = "ncm_accuracy and nc4 need a second pass (decide) or class_means"


def problem(seed, classes=4, dim=6, n=90, offset=0.0, spread=1.0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes).repeat(2), rng.integers(classes, size=n - 2 * classes)])
    features = 3.0 * rng.normal(size=(classes, dim))[labels] + spread * rng.normal(size=(n, dim)) + offset
    return features, labels, rng.normal(size=(classes, dim)), rng.normal(size=classes)


def equal(found, expected, names=FIELDS, rel=1e-12):
    for name in names:
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=rel, atol=1e-13, err_msg=name
        )


@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(2, 6),
    dim=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 90), max_size=12),
    ways=st.integers(1, 4),
    buffer=st.integers(1, 100),
    weighting=st.sampled_from(["paper", "sample", "published"]),
    offset=st.sampled_from([0.0, 1e3]),
)
@settings(max_examples=80)
def test_batches_order_and_merging_do_not_matter(seed, classes, dim, cuts, ways, buffer, weighting, offset):
    features, labels, weights, bias = problem(seed, classes, dim, offset=offset)
    logits = features @ weights.T + bias
    parts = [kc.Accumulator(classes, dim) for _ in range(ways)]
    order = np.random.default_rng(seed).permutation(len(labels))
    batches = [batch for batch in np.split(order, sorted(cuts)) if len(batch)]
    for i, batch in enumerate(batches):
        parts[i % ways]._rows = buffer
        parts[i % ways].update(features[batch], labels[batch], logits[batch])
    whole, *others = parts
    for other in others:
        whole.merge(other)
    for batch in batches:
        whole.decide(features[batch], labels[batch], logits[batch])
    expected = kc.collapse_from_features(features, labels, classifier=weights, bias=bias, weighting=weighting)
    # What the means lose beside the offset, and beside the spread of their class, is as much of their distances.
    rel = 1e-12 * (1.0 + offset) * (1.0 + np.sqrt(np.max(expected.cdnv_pairs))) * (10.0 if dim < 3 else 1.0)
    names = [name for name in FIELDS if name == "nc1" or not np.isnan(np.sum(getattr(expected, name)))]
    equal(whole.collapse(classifier=weights, bias=bias, weighting=weighting), expected, names, rel)


def test_a_class_a_sample_is_enough():
    seen = kc.Accumulator(2, 1)
    seen.update([[0.0]], [0])
    seen.update([[2.0]], [1])
    assert seen.collapse().nc1 == 0.0
    assert seen.class_means.tolist() == [[0.0], [2.0]]


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_what_is_far_from_the_origin_is_seen_sharply(offset):
    """NC1 of 1e-10 from float32 features: what is read is exact, and so are differences within a class."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    centres = offset / 8**0.5 + 64.0 * rng.normal(size=(4, 8))
    step = 2.0**-10  # a few units of the last place of float32 beside 1e4
    features = (np.round(centres / step)[labels] * step + step * rng.integers(-1, 2, size=(400, 8))).astype(
        np.float32
    )
    exact = features.astype(np.longdouble)
    means = np.array([exact[labels == c].mean(axis=0) for c in range(4)])
    within = ((exact - means[labels]) ** 2).sum() / 400
    between = ((means - means.mean(axis=0)) ** 2).sum() / 4
    seen = kc.Accumulator(4, 8)
    for batch in np.array_split(rng.permutation(400), 9):
        seen.update(features[batch], labels[batch])
    found = seen.collapse()
    assert float(within / between) < 1e-8
    assert found.nc1 == pytest.approx(float(within / between), rel=1e-6)
    assert found.reason == f"{NO_CLASSIFIER}; {NO_DECISIONS}"


@pytest.mark.parametrize(
    ("library", "precision"),
    [(library, precision) for library in ("torch", "jax") for precision in ("float32", "float16", "bfloat16")]
    + [("torch", "float64")],
)
def test_other_libraries_and_precisions(library, precision):
    """What an array holds is read exactly, whatever its precision."""
    features, labels, weights, _ = problem(3)
    if library == "torch":
        import torch

        given_features = torch.tensor(features).to(getattr(torch, precision)).requires_grad_()
        exact = given_features.detach().double().numpy()
        given_labels, logits = torch.tensor(labels), given_features.double() @ torch.tensor(weights).T
    else:
        import jax.numpy as jnp

        given_features = jnp.asarray(features, dtype=precision)
        exact = np.asarray(given_features.astype("float32")).astype(float)
        given_labels, logits = (
            jnp.asarray(labels),
            given_features.astype("float32") @ jnp.asarray(weights, "float32").T,
        )
    seen = kc.Accumulator(4, 6)
    seen.update(given_features, given_labels, logits)
    expected = kc.collapse_from_features(exact, labels, classifier=weights)
    equal(seen.collapse(classifier=weights), expected, [name for name in FIELDS if name not in DECIDED])
    assert seen.collapse().accuracy == expected.accuracy


def test_means_of_a_pass_before_decide_in_one_pass():
    features, labels, weights, _ = problem(1)
    logits = features @ weights.T
    first = kc.Accumulator(4, 6)
    first.update(features, labels)
    assert np.isnan(first.collapse().ncm_accuracy)
    second = kc.Accumulator(4, 6, class_means=first.class_means)
    for batch in np.array_split(np.arange(len(labels)), 5):
        second.update(features[batch], labels[batch], logits[batch])
    found = second.collapse(classifier=weights)
    equal(found, kc.collapse_from_features(features, labels, classifier=weights))
    said = "ncm_accuracy and nc4 are decided with the class means that were given"
    assert found.reason == f"no bias was given, so nc_bias is NaN; {said}"
    again = kc.Accumulator(4, 6)
    again.update(features, labels)
    for batch in np.array_split(np.arange(len(labels)), 5):
        again.decide(features[batch], labels[batch], logits[batch])
    equal(again.collapse(classifier=weights), found)


def test_traces_keep_no_scatter():
    features, labels, *_ = problem(2)
    seen = kc.Accumulator(4, 6, metrics="traces")
    seen.update(features, labels)
    found, expected = seen.collapse(), kc.collapse_from_features(features, labels)
    equal(found, expected, [name for name in FIELDS if name not in (*DECIDED, "nc1_pinv")])
    assert np.isnan(found.nc1_pinv)
    assert found.reason == f"{NO_CLASSIFIER}; nc1_pinv needs metrics='all'; {NO_DECISIONS}"
    kc.Accumulator(10, 10**6, metrics="traces")
    with pytest.raises(
        ValueError, match=r"1000000 features with metrics='all' takes .* memory.*metrics='traces'"
    ):
        kc.Accumulator(10, 10**6)


def test_weighting_class_and_sizes():
    features, labels, *_ = problem(5)
    seen = kc.Accumulator(4, 6)
    seen.update(features, labels)
    found = seen.collapse(weighting="class")
    equal(found, kc.collapse_from_features(features, labels, weighting="class"), ["nc1", "cdnv", "nc2_etf"])
    assert np.isnan(found.nc1_pinv)
    assert "weighting 'class' needs classes of one size" in found.reason
    keep = np.concatenate([np.flatnonzero(labels == c)[:8] for c in range(4)])
    even = kc.Accumulator(4, 6)
    even.update(features[keep], labels[keep])
    expected = kc.collapse_from_features(features[keep], labels[keep], weighting="class")
    equal(even.collapse(weighting="class"), expected, ["nc1_pinv"])


def test_a_class_that_is_never_seen_is_left_out():
    features, labels, weights, _ = problem(6)
    seen = kc.Accumulator(9, 6)
    with pytest.raises(ValueError, match="samples of 0 classes were given"):
        seen.collapse()
    names = np.array([0, 2, 5, 7])
    seen.update(features, names[labels])
    found = seen.collapse(classifier=np.insert(weights, [1, 2, 2, 3, 4], 1.0, axis=0))
    equal(
        found,
        kc.collapse_from_features(features, labels, classifier=weights),
        ["nc1", "nc1_pinv", "nc2_etf", "nc3"],
    )
    said = "classes without a sample are left out: 1, 3, 4, 6, 8"
    needs = f"{NO_DECISIONS}; accuracy and nc4 need logits"
    assert found.reason == f"no bias was given, so nc_bias is NaN; {said}; {needs}"
    assert np.isnan(seen.class_means[[1, 3, 4, 6, 8]]).all()
    with pytest.raises(ValueError, match="class 1 had no sample in the first pass"):
        seen.decide(features, labels)


def test_a_file_goes_on_where_it_was(tmp_path):
    features, labels, weights, _ = problem(7)
    logits = features @ weights.T
    for options in ({}, {"metrics": "traces"}, {"class_means": np.zeros((4, 6))}):
        seen = kc.Accumulator(4, 6, **options)
        seen.update(features[:40], labels[:40], logits[:40])
        seen.save(tmp_path / "seen.npz")
        again = kc.Accumulator.load(tmp_path / "seen.npz")
        for one in (seen, again):
            one.update(features[40:], labels[40:], logits[40:])
        mine, theirs = seen.collapse(classifier=weights), again.collapse(classifier=weights)
        equal(theirs, mine, rel=0.0)
        assert theirs.reason == mine.reason
    assert [path.name for path in tmp_path.iterdir()] == ["seen.npz"]
    Path(tmp_path / "other.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "third.npz", x=np.zeros(3))
    for name in ("other.npz", "third.npz", "missing.npz"):
        with pytest.raises(ValueError, match=f"{name}' holds no accumulator"):
            kc.Accumulator.load(tmp_path / name)
    with pytest.raises(ValueError, match=re.escape("expected a name that ends in .npz")):
        seen.save(tmp_path / "seen.pt")


def good():
    return kc.Accumulator(3, 2)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: kc.Accumulator(1, 2), "n_classes is 1, expected"),
        (lambda: kc.Accumulator(3, 2, metrics="some"), "metrics is 'some', expected"),
        (
            lambda: kc.Accumulator(3, 2, class_means=np.zeros((2, 2))),
            r"class_means has shape \(2, 2\), expected \(3, 2\)",
        ),
        (lambda: good().update(np.zeros((4, 3)), [0, 1, 2, 0]), "expected 2 columns, as many as dim"),
        (lambda: good().update(np.zeros((4, 2, 1, 1)), [0, 1, 2, 0]), "expected two dimensions"),
        (lambda: good().update([[np.nan, 0.0]], [0]), "features holds nan in row 0, column 0"),
        (
            lambda: good().update(np.zeros((2, 2)), [0, 3]),
            "labels hold 3, expected whole numbers from 0 to 2",
        ),
        (
            lambda: good().update(np.zeros((2, 2)), [0, -1]),
            "labels hold -1, expected whole numbers from 0 to 2",
        ),
        (
            lambda: good().update(np.zeros((2, 2)), [0.5, 1.0]),
            "labels hold 0.5, expected whole numbers from 0 to 2",
        ),
        (lambda: good().update(np.zeros((2, 2)), [0]), "2 rows and there are 1 labels|features has 2 rows"),
        (
            lambda: good().update(np.zeros((2, 2)), [0, 1], np.zeros((2, 4))),
            r"logits has shape \(2, 4\), expected \(2, 3\)",
        ),
        (lambda: good().merge(kc.Accumulator(4, 2)), "other has n_classes 4, expected 3"),
        (lambda: good().merge(kc.Accumulator(3, 5)), "other has dim 5, expected 2"),
        (
            lambda: good().merge(kc.Accumulator(3, 2, metrics="traces")),
            "other has metrics 'traces', expected 'all'",
        ),
        (lambda: good().merge(kc.Accumulator(3, 2, class_means=np.zeros((3, 2)))), "other class_means"),
        (lambda: good().merge(3), "other is of type int"),
        (
            lambda: kc.Accumulator(3, 2, class_means=np.zeros((3, 2))).decide(np.zeros((1, 2)), [0]),
            "one or the other",
        ),
        (lambda: good().collapse(bias=[0, 0, 0]), "a bias is given without a classifier"),
    ],
)
def test_bad_input(call, sentence, unchecked):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_batch_that_is_refused_adds_nothing():
    features, labels, *_ = problem(8)
    seen = kc.Accumulator(4, 6)
    seen.update(features, labels)
    before = seen.collapse()
    with pytest.raises(ValueError, match="nan"):
        seen.update(np.full((3, 6), np.nan), [0, 1, 2])
    equal(seen.collapse(), before, [name for name in FIELDS if name not in DECIDED], rel=0.0)


@pytest.mark.parametrize("kind", OBJECTS)
def test_labels_are_class_numbers_whatever_holds_them(kind, unchecked):
    """They are taken as numbers, or refused in a sentence."""
    given, _ = OBJECTS[kind](np.array([0, 1, 2, 1, 0, 1, 2, 0]))
    seen, refused = kc.Accumulator(3, 2), ""
    try:
        seen.update(np.arange(16.0).reshape(8, 2), given)
    except ValueError as refusal:
        refused = str(refusal)
    if refused:
        assert re.search(r"expected .*[.?]$", refused)
    assert seen.class_means.shape == (3, 2)
    assert seen.counts.sum() == (0 if refused else 8)


def test_what_is_handed_out_does_not_reach_inside():
    """Neither do counts, means and decisions that are changed, nor a copy that goes its own way."""
    features, labels, _, _ = problem(3)
    seen = kc.Accumulator(5, 6)  # one class has no sample
    seen.update(features, labels)
    seen.decide(features, labels, np.zeros((len(labels), 5)))
    before = repr(seen.collapse()), seen.class_means.copy()
    for found in (seen.counts, seen.class_means, *seen.decisions.values()):
        found += 1
    assert repr(seen.collapse()) == before[0]
    for other in (copy.copy(seen), copy.deepcopy(seen), pickle.loads(pickle.dumps(seen))):
        assert repr(other.collapse()) == before[0]
        other.update(features + 1.0, labels)
        other.decide(features, labels)
        assert repr(seen.collapse()) == before[0]
        np.testing.assert_array_equal(seen.class_means, before[1])
        assert other.counts.sum() == 2 * seen.counts.sum()
