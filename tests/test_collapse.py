import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_collapse as kc
from conftest import DATA
from kernel_collapse import kernels
from kernel_collapse.collapse import WEIGHTINGS

with (DATA / "limiting_d1.csv").open() as file:
    REFERENCE = list(csv.DictReader(file))


@pytest.mark.parametrize("case", range(0, len(REFERENCE), 6))
def test_reference_rows(case):
    first = REFERENCE[case]
    n, dim, n_first, seed = (int(first[k]) for k in ("n", "d", "n_first_class", "seed"))
    data = kc.data.gaussian_classes(n, dim, class_sizes=(n_first, n - n_first), seed=seed)
    for row in REFERENCE[case : case + 6]:
        assert [int(row[k]) for k in ("n", "d", "n_first_class", "seed")] == [n, dim, n_first, seed]
        if row["kernel"] == "data":
            values = {w: kc.nc1_from_features(data.x, data.labels, weighting=w) for w in WEIGHTINGS}
        elif row["kernel"] == "ntk_published_code":
            values = kc.nc1_weightings(kernels.ntk_published(data.x), data.labels)
        else:
            kernel = {"nngp": kc.nngp, "ntk": kc.ntk}[row["kernel"]]
            values = kc.nc1_weightings(kernel(data.x, activation=row["activation"]), data.labels)
        for weighting in WEIGHTINGS:
            assert values[weighting].ratio == pytest.approx(float(row[f"nc1_{weighting}"]), rel=1e-10)


def naive(features, labels, weighting):
    """Covariances by loops over samples and classes, and their traces."""
    classes = sorted(set(labels))
    groups = [features[[label == c for label in labels]] for c in classes]
    n, total = len(features), len(classes)
    means = [g.mean(axis=0) for g in groups]
    share = [len(g) / n for g in groups]
    if weighting == "published":
        class_squares = sum(m @ m for m in means) / total
        overall = features.mean(axis=0)
        within = sum(f @ f for f in features) / n - class_squares
        return within, class_squares - overall @ overall
    even = [1 / total] * total
    u, q, p = {"paper": (share, even, share), "sample": (share,) * 3, "class": (even,) * 3}[weighting]
    centre = sum(w * m for w, m in zip(p, means, strict=True))
    spread = [np.mean([(f - m) @ (f - m) for f in g]) for g, m in zip(groups, means, strict=True)]
    within = sum(w * s for w, s in zip(u, spread, strict=True))
    return within, sum(w * (m - centre) @ (m - centre) for w, m in zip(q, means, strict=True))


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=8),
    width=st.integers(1, 30),
    seed=st.integers(0, 2**32 - 1),
    weighting=st.sampled_from(WEIGHTINGS),
    offset=st.floats(-3, 3),
)
@settings(max_examples=150)
def test_gram_equals_features_equals_loops(sizes, width, seed, weighting, offset):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([f"class {c}" for c in range(len(sizes))], sizes)).tolist()
    features = rng.normal(size=(sum(sizes), width)) + offset
    within, between = naive(features, labels, weighting)
    scale = (features**2).sum(axis=1).mean()
    for value in (
        kc.nc1(features @ features.T, labels, weighting=weighting),
        kc.nc1_from_features(features, labels, weighting=weighting),
    ):
        if np.isnan(value.within):  # of one that round-off decides
            assert abs(within) < 1e-13 * scale
            continue
        assert value.within == pytest.approx(within, rel=1e-10, abs=1e-13 * scale)
        assert value.between == pytest.approx(between, rel=1e-10, abs=1e-13 * scale)
        if abs(between) > 1e-3 * scale:
            assert value.ratio == pytest.approx(within / between, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_weightings_agree_when_balanced(weighting, rng):
    features = rng.normal(size=(60, 9)) + np.repeat(np.eye(3), 20, axis=0) @ rng.normal(size=(3, 9))
    labels = np.repeat([0, 1, 2], 20)
    expected = kc.nc1_from_features(features, labels).ratio
    assert kc.nc1(features @ features.T, labels, weighting=weighting).ratio == pytest.approx(
        expected, rel=1e-12
    )


def test_sample_weighting_adds_up_to_the_total(rng):
    features, labels = rng.normal(size=(30, 4)), rng.integers(0, 3, size=30)
    value = kc.nc1(features @ features.T, labels, weighting="sample")
    assert value.within + value.between == pytest.approx(features.var(axis=0).sum(), rel=1e-12)


def test_all_weightings_at_once(rng):
    features, labels = rng.normal(size=(30, 4)), rng.integers(0, 3, size=30)
    at_once = kc.nc1_weightings(features @ features.T, labels)
    assert at_once == {w: kc.nc1(features @ features.T, labels, weighting=w) for w in WEIGHTINGS}


def test_order_of_samples_and_names_of_classes_do_not_matter(rng):
    features, labels = rng.normal(size=(40, 6)), np.array(["b", "a", "c", "a"] * 10)
    order = rng.permutation(40)
    gram = features @ features.T
    shuffled = kc.nc1(gram[np.ix_(order, order)], labels[order])
    renamed = kc.nc1(gram, [{"a": 9, "b": 1, "c": 4}[label] for label in labels])
    assert shuffled.ratio == pytest.approx(kc.nc1(gram, labels).ratio, rel=1e-12)
    assert renamed.ratio == pytest.approx(kc.nc1(gram, labels).ratio, rel=1e-12)


def test_published_weighting_can_be_negative():
    """Two tight classes of 1 and 9 far from the origin: its "within" is below zero, as no variance is."""
    features = np.array([[10.0], *[[1.0]] * 9])
    assert kc.nc1(features @ features.T, [0, *[1] * 9], weighting="published").within < 0
    assert kc.nc1(features @ features.T, [0, *[1] * 9]).within == 0.0


# -- degenerate, but legal


@pytest.mark.parametrize("weighting", ["paper", "sample", "class"])
def test_one_sample_a_class_is_complete_collapse(weighting, rng):
    features = rng.normal(size=(5, 3))
    for value in (
        kc.nc1(features @ features.T, list("abcde"), weighting=weighting),
        kc.nc1_from_features(features, list("abcde"), weighting=weighting),
    ):
        assert (value.within, value.ratio, value.reason) == (0.0, 0.0, "")
        assert value.between > 0


def test_identical_samples_of_each_class_are_complete_collapse(rng):
    features = np.repeat(rng.normal(size=(3, 4)), [50, 20, 7], axis=0)
    labels = np.repeat([0, 1, 2], [50, 20, 7])
    assert kc.nc1(features @ features.T, labels).ratio == 0.0
    assert kc.nc1_from_features(features, labels).ratio == 0.0
    gram = kc.ntk(features, activation="relu", depth=2)
    assert kc.nc1(gram, labels).ratio == 0.0


@pytest.mark.parametrize("n", [4, 300, 3000])
def test_constant_features_have_no_ratio(n):
    features = np.full((n, 3), 0.1)
    labels = np.arange(n) % 2
    for value in (kc.nc1(features @ features.T, labels), kc.nc1_from_features(features, labels)):
        assert (value.within, value.between) == (0.0, 0.0)
        assert np.isnan(value.ratio)
        assert "the class means coincide" in value.reason


def test_coinciding_means_of_spread_classes_have_no_ratio():
    features = np.array([[-1.0], [1.0], [-2.0], [2.0]])
    value = kc.nc1(features @ features.T, [0, 0, 1, 1])
    assert value.within == pytest.approx(2.5)
    assert np.isnan(value.ratio)
    assert value.reason


def test_zero_gram_matrix_has_no_ratio():
    assert np.isnan(kc.nc1(np.zeros((4, 4)), [0, 0, 1, 1]).ratio)


def test_more_features_than_samples_and_duplicated_rows(rng):
    features = rng.normal(size=(6, 500))
    features[1] = features[0]
    expected = kc.nc1_from_features(features, [0, 0, 0, 1, 1, 1])
    assert kc.nc1(features @ features.T, [0, 0, 0, 1, 1, 1]).ratio == pytest.approx(expected.ratio, rel=1e-12)


def test_integer_and_single_precision_gram_matrices(rng):
    features = rng.integers(-3, 4, size=(12, 5))
    labels = [0, 1] * 6
    exact = kc.nc1_from_features(features, labels).ratio
    assert kc.nc1(features @ features.T, labels).ratio == pytest.approx(exact, rel=1e-12)
    single = features.astype(np.float32)
    assert kc.nc1(single @ single.T, labels).ratio == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    ("gram", "labels", "message"),
    [
        (np.ones((3, 2)), [0, 1, 1], r"has shape \(3, 2\), expected a square matrix"),
        (np.ones(3), [0, 1, 1], r"has shape \(3,\), expected a square matrix"),
        (np.eye(3), [0, 1], "has 3 rows and there are 2 labels"),
        (np.array([[1.0, 0.5], [0.4, 1.0]]), [0, 1], "is not symmetric"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), [0, 1], "holds nan in row 0, column 1"),
        (np.eye(3), [0, 0, 0], "all 3 labels are 0, expected at least two classes"),
        (np.eye(2) * 1j, [0, 1], "expected real numbers"),
    ],
)
def test_bad_gram_matrices_are_refused(gram, labels, message):
    with pytest.raises(ValueError, match=message):
        kc.nc1(gram, labels)


@pytest.mark.usefixtures("unchecked")
def test_bad_features_and_weightings_are_refused():
    with pytest.raises(ValueError, match="features have 3 rows and there are 2 labels"):
        kc.nc1_from_features(np.eye(3), [0, 1])
    for call in (
        lambda w: kc.nc1(np.eye(2), [0, 1], weighting=w),
        lambda w: kc.nc1_from_features(np.eye(2), [0, 1], weighting=w),
    ):
        with pytest.raises(ValueError, match="weighting is 'papre', expected one of .*did you mean 'paper'"):
            call("papre")


def test_asymmetry_beyond_the_first_strip_is_seen(rng):
    features = rng.normal(size=(700, 2))
    gram = features @ features.T
    gram[650, 600] += 1.0
    with pytest.raises(ValueError, match="is not symmetric"):
        kc.nc1(gram, np.arange(700) % 2)
