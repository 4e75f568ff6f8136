"""Every metric of collapse against a twin of loops and explicit covariances, and against the other kinds of input."""

import enum
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_collapse as kc
from kernel_collapse import measure
from kernel_collapse._input_error import shown

NAMES = (
    "nc1",
    "nc1_pinv",
    "cdnv",
    "nc2_norms",
    "nc2_angles",
    "nc2_etf",
    "nc3",
    "nc3_cosine",
    "nc4",
    "ncm_accuracy",
    "accuracy",
)
WEIGHTINGS = ("paper", "sample", "class")


def naive(features, labels, weights, targets, weighting, held_out=None):
    """The metrics by their definitions: covariances as matrices, loops over classes and samples."""
    classes = sorted(set(labels))
    total, n = len(classes), len(labels)
    groups = [features[[label == c for label in labels]] for c in classes]
    seen, seen_labels = (features, labels) if held_out is None else held_out
    seen_groups = [seen[[label == c for label in seen_labels]] for c in classes]
    means = np.array([g.mean(axis=0) for g in groups])
    share = np.array([len(g) / n for g in groups])
    seen_share = np.array([len(g) / len(seen) for g in seen_groups])
    even = np.full(total, 1 / total)
    met = (seen_share > 0) / np.sum(seen_share > 0)
    u, q, p = {
        "paper": (seen_share, even, share),
        "sample": (seen_share, share, share),
        "class": (met, even, even),
    }[weighting]
    covariances = [(g - m).T @ (g - m) / max(len(g), 1) for g, m in zip(seen_groups, means, strict=True)]
    within = sum(w * c for w, c in zip(u, covariances, strict=True))
    centred = means - p @ means
    between = sum(w * np.outer(m, m) for w, m in zip(q, centred, strict=True))
    found = {
        "nc1": np.trace(within) / np.trace(between),
        "nc1_pinv": np.trace(within @ np.linalg.pinv(between, rcond=1e-12, hermitian=True)) / total,
    }
    pairs = [
        (np.trace(covariances[a]) + np.trace(covariances[b])) / 2 / np.sum((means[a] - means[b]) ** 2)
        for a in range(total)
        for b in range(a)
        if met[a] and met[b]
    ]
    found["cdnv"] = np.mean(pairs) if pairs else np.nan
    spread = sum(w * np.trace(c) for w, c in zip(u, covariances, strict=True))
    found["nc1_total"] = spread / (spread + u @ (centred**2).sum(axis=1))
    norms = np.linalg.norm(centred, axis=1)
    cosines = centred @ centred.T / np.outer(norms, norms)
    found["nc2_norms"] = norms.std() / norms.mean()
    found["nc2_angles"] = np.std([cosines[a, b] for a in range(total) for b in range(total) if a != b])
    simplex = (total * np.eye(total) - 1) / (total - 1)
    found["nc2_etf"] = np.linalg.norm(cosines - simplex)
    class_targets = np.array([targets[[label == c for label in labels]].mean(axis=0) for c in classes])
    classifier = (class_targets - p @ class_targets) @ weights
    product = classifier @ centred.T
    found["nc3"] = np.linalg.norm(product / np.linalg.norm(product) - simplex / np.linalg.norm(simplex))
    found["nc3_cosine"] = np.sum(classifier * centred) / np.linalg.norm(classifier) / np.linalg.norm(centred)
    outputs = seen @ weights.T
    decided = [int(np.argmin(((class_targets - o) ** 2).sum(axis=1))) for o in outputs]
    nearest = [int(np.argmin(((means - h) ** 2).sum(axis=1))) for h in seen]
    own = [classes.index(label) for label in seen_labels]
    found["nc4"] = np.mean([a == b for a, b in zip(decided, nearest, strict=True)])
    found["ncm_accuracy"] = np.mean([a == b for a, b in zip(nearest, own, strict=True)])
    found["accuracy"] = np.mean([a == b for a, b in zip(decided, own, strict=True)])
    return found, between


@st.composite
def problems(draw):
    """Classes of any number and size, fewer and more features than samples, of full rank or not."""
    total = draw(st.integers(2, 20))
    balanced = draw(st.booleans())
    sizes = (
        [draw(st.integers(2, 6))] * total
        if balanced
        else draw(st.lists(st.integers(1, 9), min_size=total, max_size=total))
    )
    width = draw(st.integers(1, 40))
    rank = draw(st.integers(1, width))
    one_hot = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.permutation(np.repeat(np.arange(total), sizes))
    features = (rng.normal(size=(total, rank)) * 2)[labels] + rng.normal(size=(sum(sizes), rank))
    features = features @ rng.normal(size=(rank, width)) / np.sqrt(rank)
    targets = np.eye(total)[labels] if one_hot else rng.normal(size=(total, 2))[labels]
    return features, labels, targets, rng


def tolerances(features, labels, alpha, targets, weighting, expected, between):
    """How far round-off may take each metric, to first order: of entries of the Gram matrix, by 40 units of round-off.

    A class mean, a distance of means and an eigenvalue of S_B err by as much of the largest square; what is divided by
    them errs by that over their own size.
    """
    classes = np.unique(labels)
    means = np.array([features[labels == c].mean(axis=0) for c in classes])
    share = np.array([np.mean(labels == c) for c in classes])
    centred = means - (share if weighting != "class" else np.full(len(classes), 1 / len(classes))) @ means
    unit = 40 * np.finfo(float).eps * np.sqrt(features.shape[1]) * (features**2).sum(axis=1).max()
    squares = (centred**2).sum(axis=1)
    distances = ((means[:, None] - means[None]) ** 2).sum(axis=2)[~np.eye(len(means), dtype=bool)]
    values = np.linalg.eigvalsh(between)
    values = values[values > 1e-12 * values[-1]]
    code = np.array([targets[labels == c].mean(axis=0) for c in classes])
    towards = code - share @ code
    rows = towards @ (alpha.T @ features)
    summed = np.abs(towards) @ np.abs(alpha).T @ np.linalg.norm(features, axis=1)  # what rows are sums of
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        direction = 4 * len(classes) * unit / squares.min()
        aligned = (
            np.sqrt(unit * unit / squares.sum()) * np.linalg.norm(rows) / np.linalg.norm(rows @ centred.T)
        )
        cancelled = 40 * np.finfo(float).eps * (np.linalg.norm(summed) / np.linalg.norm(rows)) ** 2
        spreads = 4 * expected["cdnv"] * len(distances) * distances.min()  # no pair has more
        return {
            "nc1": unit * (1 + expected["nc1"]) / np.trace(between),
            "nc1_pinv": 10 * unit * (1 + expected["nc1_pinv"]) * len(values) / values[0],
            "cdnv": np.mean(unit / distances * (1 + spreads / distances)),
            **dict.fromkeys(("nc2_norms", "nc2_angles", "nc2_etf"), direction),
            **dict.fromkeys(("nc3", "nc3_cosine"), 1e-11 + 10 * aligned + direction + cancelled),
            **dict.fromkeys(("nc4", "ncm_accuracy", "accuracy"), 1e-12),
        }


def agree(found, expected, tolerance, names=NAMES):
    """Hold metrics to their definitions; one that is not resolved must be said not to be."""
    for name in names:
        value = getattr(found, name)
        if np.isnan(value) and re.search(rf"\b{name}\b", found.reason):
            continue
        assert value == pytest.approx(expected[name], rel=1e-11, abs=tolerance[name]), (name, found.reason)


def well_posed(between):
    """Whether no direction of S_B lies between those that are told from 0 and those that are not."""
    values = np.linalg.eigvalsh(between)
    return not ((values > 1e-14 * values[-1]) & (values < 1e-7 * values[-1])).any()


@given(problem=problems(), weighting=st.sampled_from(WEIGHTINGS), own_weights=st.booleans())
@settings(max_examples=120)
def test_gram_equals_features_equals_definitions(problem, weighting, own_weights):
    features, labels, targets, rng = problem
    gram = features @ features.T
    ridge = 0.3 * np.trace(gram) / len(gram)
    if own_weights:
        alpha = rng.normal(size=targets.shape)
        from_gram = kc.collapse(gram, labels, targets=targets, dual_weights=alpha, weighting=weighting)
    else:
        alpha = np.linalg.solve(gram + ridge * np.eye(len(gram)), targets)
        from_gram = kc.collapse(gram, labels, targets=targets, noise_variance=ridge, weighting=weighting)
    weights = alpha.T @ features
    expected, between = naive(features, labels, weights, targets, weighting)
    from_features = kc.collapse_from_features(
        features, labels, classifier=weights, targets=targets, weighting=weighting
    )
    tolerance = tolerances(features, labels, alpha, targets, weighting, expected, between)
    names = NAMES if well_posed(between) else [name for name in NAMES if name != "nc1_pinv"]
    for found in (from_gram, from_features):
        agree(found, expected, tolerance, names)


@given(problem=problems(), weighting=st.sampled_from(WEIGHTINGS), left_out=st.integers(0, 5))
@settings(max_examples=90)
def test_held_out_equals_definitions(problem, weighting, left_out):
    """Classes may have no held-out sample: their spread is not known, and is no spread of 0."""
    features, labels, targets, rng = problem
    gram = features @ features.T
    test_labels = rng.permutation(np.concatenate([np.unique(labels), rng.choice(labels, size=9)]))
    kept = rng.permutation(np.unique(labels))[: max(len(np.unique(labels)) - left_out, 1)]
    test_labels = test_labels[np.isin(test_labels, kept)]
    test = rng.normal(size=(len(test_labels), features.shape[1])) + features[:1]
    alpha = rng.normal(size=targets.shape)
    weights = alpha.T @ features
    expected, between = naive(features, labels, weights, targets, weighting, (test, test_labels))
    found = (
        kc.held_out_collapse(
            gram,
            labels,
            test @ features.T,
            (test**2).sum(axis=1),
            test_labels,
            targets=targets,
            dual_weights=alpha,
            weighting=weighting,
        ),
        kc.held_out_collapse_from_features(
            features, labels, test, test_labels, classifier=weights, targets=targets, weighting=weighting
        ),
    )
    together = np.vstack([features, test])  # the errors are those of the larger of both
    if len(kept) == 1:
        expected["cdnv"] = 0.0
    tolerance = tolerances(features, labels, alpha, targets, weighting, expected, between)
    more = (together**2).sum(axis=1).max() / (features**2).sum(axis=1).max()
    tolerance = {name: more * value for name, value in tolerance.items()}
    names = ["nc1", "nc3", "nc3_cosine", "nc4", "ncm_accuracy", "accuracy"]
    unseen = ~np.isin(np.unique(labels), kept)
    apart = ~np.eye(len(unseen), dtype=bool)
    for value in found:
        agree(value, expected, tolerance, names + ["nc1_pinv"] * well_posed(between))
        assert value.nc1_total == pytest.approx(expected["nc1_total"], rel=1e-9)
        assert np.isnan(value.cdnv_pairs[(unseen[:, None] | unseen[None, :]) & apart]).all()
        if len(kept) > 1 and not (np.isnan(value.cdnv) and "round-off" in value.reason):
            assert value.cdnv == pytest.approx(expected["cdnv"], rel=1e-11, abs=tolerance["cdnv"])
        assert len(kept) > 1 or np.isnan([value.cdnv, value.cdnv_quartic]).all()
        assert ("no held-out sample" in value.reason) == unseen.any()
        for label in np.unique(labels)[unseen][:5]:
            assert shown(label.item()) in value.reason.partition(" no held-out sample")[0]


def test_a_class_without_a_held_out_sample_is_named_where_it_is_measured(rng):
    """By the name that it has in the data, whatever its number is."""
    x = rng.normal(size=(30, 4)) + 5.0 * np.eye(4)[np.arange(30) % 3]
    train = kc.data.from_arrays(x, ["ant", "bee", "cow"] * 10)
    test = kc.data.from_arrays(x[np.arange(30) % 3 > 0], ["bee", "cow"] * 10)
    table = measure.measure(train, measure.specify(["nngp"], ["erf"]), "class", test=test)
    seen = table[table["samples"] == "held-out"]
    assert len(seen) == 2
    assert seen["reason"].str.contains("class 'ant' has no held-out sample").all()
    pair = kc.held_out_collapse_from_features(train.x, train.labels, test.x, test.labels + 1).cdnv_pairs[1, 2]
    assert seen["CDNV"].iloc[0] == pytest.approx(pair, rel=1e-9)


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"
    GREEN = "g"


#: Classes with a partial order that sorts without an error, or with none.
WITHOUT_ORDER = {
    "sets apart": [frozenset("a"), frozenset("b"), frozenset("c")],
    "a set in another": [frozenset("a"), frozenset("ab"), frozenset("b")],
    "text and numbers": ["z", 1, 2],
    "members of an enumeration": list(Colour),
    "tuples of text and numbers": [(1, "a"), ("a", 1), (2, "a")],
}


@pytest.mark.parametrize("classes", WITHOUT_ORDER.values(), ids=WITHOUT_ORDER)
def test_classes_without_an_order_are_not_matched_by_position(classes, rng):
    """The order of the samples is no order of the classes; what does not depend on one is the same in every order."""
    numbers = rng.permutation(np.repeat(np.arange(3), 4))
    x = rng.normal(size=(12, 5)) + 2.0 * np.eye(3, 5)[numbers]
    targets, alpha = np.eye(3)[numbers], rng.normal(size=(12, 3))
    first = kc.collapse_from_features(x, numbers, classifier=alpha.T @ x, targets=targets)
    for order in (np.arange(12), np.arange(12)[::-1], rng.permutation(12)):
        y, labels = x[order], [classes[c] for c in numbers[order]]
        own, dual = {"classifier": alpha.T @ x}, {"dual_weights": alpha[order]}
        for function, arguments, classifier in (
            (kc.collapse_from_features, (y, labels), own),
            (kc.held_out_collapse_from_features, (y, labels, y, labels), own),
            (kc.collapse, (y @ y.T, labels), dual),
            (kc.held_out_collapse, (y @ y.T, labels, y @ y.T, (y * y).sum(axis=1), labels), dual),
            (kc.streamed_collapse, (y, labels), dual),
        ):
            with pytest.raises(kc.InputError, match=r"order of the classes .* give labels 0 to 2 in the"):
                function(*arguments, **classifier)
        meant = {"targets": targets[order]}
        for found in (
            kc.collapse_from_features(y, labels, **own, **meant),
            kc.collapse(y @ y.T, labels, **dual, **meant),
            kc.held_out_collapse_from_features(y, labels, y, labels, **own, **meant),
        ):
            for name in (*NAMES, "gnc3", "unc3", "nc2_classifier_gram", "nc4_classwise"):
                assert getattr(found, name) == pytest.approx(getattr(first, name), rel=1e-9), name


def test_classes_with_an_order_keep_it(rng):
    """Ordered categories have theirs; a classifier is refused where categories and sorting disagree."""
    kinds = pd.CategoricalDtype(["low", "none", "mid", "high"], ordered=True)
    numbers = rng.permutation(np.repeat(np.arange(3), 4))
    x, weights = rng.normal(size=(12, 5)) + 2.0 * np.eye(3, 5)[numbers], rng.normal(size=(3, 5))
    right = kc.collapse_from_features(x, numbers, classifier=weights)
    labels = pd.Series(np.array(["low", "mid", "high"])[numbers], dtype=kinds)
    for each in (labels, labels.array, pd.Index(labels)):
        assert repr(kc.collapse_from_features(x, each, classifier=weights)) == repr(right)
        assert kc.data.from_arrays(x, each).classes == ("low", "mid", "high")
    loose = labels.cat.as_unordered()
    assert kc.data.from_arrays(x, loose).classes == ("high", "low", "mid")
    with pytest.raises(kc.InputError, match=r"order of the classes 'high', 'low', ... is not known"):
        kc.collapse_from_features(x, loose, classifier=weights)
    text = pd.Series(np.array(["a", "b", "c"])[numbers], dtype="category")
    chain = [frozenset("ab"[:c]) for c in numbers]
    for each in (text, chain):
        assert repr(kc.collapse_from_features(x, each, classifier=weights)) == repr(right)


@pytest.mark.parametrize("size", [49, 98, 103])
def test_all_samples_of_a_class_are_a_share_of_one(size):
    """The product of these numbers and their inverse is less than 1."""
    labels = np.repeat(np.arange(3), size)
    features = np.eye(3, 5)[labels] + 0.01 * np.random.default_rng(0).normal(size=(len(labels), 5))
    found = kc.collapse_from_features(features, labels, classifier=np.eye(3, 5))
    assert found.nc4 == found.nc4_classwise == 1.0
    assert list(found.nc4_by_class) == [1.0, 1.0, 1.0]
