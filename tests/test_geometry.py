"""Laws of the metrics of the literature: what they do not change with, exact cases, and what is said where they end."""

import dataclasses
import itertools
import re

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_collapse as kc
from kernel_collapse.collapse._collapse import MEANINGS
from kernel_collapse.collapse._geometry import MEANINGS as OF_GEOMETRY

EPS = np.finfo(float).eps
#: How a number goes with the scale of the features: its power; all others do not change.
POWERS = {"within": 2, "between": 2, "cdnv_quartic": -2, "unc3": 2, "nc_bias": 0}
OF_COLLAPSE = [name for name in MEANINGS if name != "noise_variance"]
SHARES = ("nc4", "nc4_classwise", "ncm_accuracy", "accuracy")


def problem(seed, classes=4, dim=7, n=60):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.concatenate([np.arange(classes).repeat(3), rng.integers(classes, size=n)]))
    features = 2.0 * rng.normal(size=(classes, dim))[labels] + rng.normal(size=(len(labels), dim)) + 1.0
    return features, labels, rng.normal(size=(classes, dim)), rng.normal(size=classes), rng


def everything(features, labels, weights, bias):
    found = kc.collapse_from_features(features, labels, classifier=weights, bias=bias)
    around = kc.geometry_from_features(features, labels, ood_features=features[:5] ** 2)
    return {name: float(getattr(found, name)) for name in OF_COLLAPSE} | {
        name: getattr(around, name) for name in OF_GEOMETRY
    }


def condition(features, labels):
    """How much round-off of the features is made larger: lengths over the distances that are divided by."""
    means = np.array([features[labels == c].mean(axis=0) for c in np.unique(labels)])
    centred = means - features.mean(axis=0)
    values = np.linalg.eigvalsh(centred @ centred.T)
    gaps = ((means[:, None] - means) ** 2).sum(axis=2)[~np.eye(len(means), dtype=bool)]
    least = min(values[1], gaps.min(), (centred**2).sum(axis=1).min())  # one is 0: they are centred
    return len(features) * (features**2).sum(axis=1).max() / least


def same(found, expected, tolerance, but=()):
    for name, value in expected.items():
        if name not in but:
            least = 0.0 if name.startswith("uniformity_riesz") else 1e-3
            assert found[name] == pytest.approx(value, rel=tolerance, abs=tolerance * least, nan_ok=True), (
                name
            )


def in_conditions(seed, classes, dim):
    """A problem whose round-off stays below a millionth."""
    features, labels, weights, bias, rng = problem(seed, classes, dim)
    return features, labels, weights, bias, rng, min(1e-6, 100 * EPS * condition(features, labels) ** 1.5)


@given(seed=st.integers(0, 10**6), classes=st.integers(3, 6), dim=st.integers(6, 12))
@settings(max_examples=25)
def test_rotations_and_orders_do_not_matter(seed, classes, dim):
    features, labels, weights, bias, rng, tolerance = in_conditions(seed, classes, dim)
    expected = everything(features, labels, weights, bias)
    order = rng.permutation(len(labels))
    ood = ("nc5",)  # of the squares of some features, which turn in another way
    same(everything(features[order], labels[order], weights, bias), expected, tolerance, ood)
    turn = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    same(everything(features @ turn, labels, weights @ turn, bias), expected, tolerance, ood)
    names = rng.permutation(classes)
    back = np.argsort(names)
    same(everything(features, names[labels], weights[back], bias[back]), expected, tolerance, ood)


@given(seed=st.integers(0, 10**6), power=st.integers(-30, 30))
@settings(max_examples=25)
def test_scale(seed, power):
    """All but what has units, which goes with its power of the scale; a power of two changes nothing else."""
    features, labels, weights, bias, _ = problem(seed)
    one = everything(features, labels, weights, bias)
    scale = 2.0**power
    other = everything(scale * features, labels, weights / scale, bias)
    for name, value in one.items():
        expected = value * scale ** (0 if name == "unc3" else POWERS.get(name, 0))
        assert other[name] == pytest.approx(expected, rel=1e-12, abs=1e-15), name


def of_scales():
    """What no scale changes, as functions of two scales, one of features or the square of one of a Gram matrix."""
    features, labels, weights, _, rng = problem(5)
    gram, other, ood = features @ features.T, np.exp(-np.abs(features[:, :1] - features[:, 0])), features[:5]
    alpha, targets = rng.normal(size=(len(labels), 4)), rng.normal(size=(len(labels), 4))

    def accumulated(a, b):
        seen = kc.Accumulator(4, 7)
        seen.update(features * a, labels)
        return seen.geometry(ood_features=ood * b)

    def classified(a, b):
        seen = kc.Accumulator(4, 7)
        seen.update(features, labels, features @ weights.T)
        return seen.collapse(classifier=weights * a)

    return {
        "kta": lambda a, b: kc.kernel_target_alignment(gram * a**2, labels),
        "kta of targets": lambda a, b: kc.kernel_target_alignment(gram * a**2, labels, targets=targets * b),
        "cka": lambda a, b: kc.cka(gram * a**2, other * b**2),
        "cka of features": lambda a, b: kc.cka_from_features(features * a, ood.T[:, :2][labels] * b),
        "geometry of features": lambda a, b: kc.geometry_from_features(
            features * a, labels, ood_features=ood * b
        ),
        "geometry": lambda a, b: kc.geometry(
            gram * a**2,
            labels,
            dim=7,
            ood_cross=features[:5] @ features.T * a * b,
            ood_gram=gram[:5, :5] * b**2,
        ),
        "geometry in batches": accumulated,
        "blocks": lambda a, b: kc.block_structure(gram * a**2, labels),
        "regression": lambda a, b: kc.regression_collapse_from_features(
            features * a, targets, classifier=weights * b
        ),
        "regression of targets": lambda a, b: kc.regression_collapse_from_features(
            features, targets * a, classifier=weights * b
        ),
        "regression of a Gram matrix": lambda a, b: kc.regression_collapse(
            gram * a**2, targets[:, :1], dual_weights=alpha[:, :1] * b
        ),
        "classifier": lambda a, b: kc.collapse_from_features(features, labels, classifier=weights * a),
        "classifier in batches": classified,
        "targets": lambda a, b: kc.collapse_from_features(
            features, labels, classifier=weights * a, targets=targets * b
        ),
        "dual weights": lambda a, b: kc.collapse(gram, labels, dual_weights=alpha * a),
        "dual weights and targets": lambda a, b: kc.collapse(
            gram, labels, dual_weights=alpha * a, targets=targets * b
        ),
        "a fit": lambda a, b: kc.collapse(
            other * a**2, labels, targets=np.eye(4)[labels] * (b if a == 1.0 else 1.0)
        ),
        "streamed": lambda a, b: kc.streamed_collapse(features, labels, dual_weights=alpha * a),
    }


#: What goes with the scale, or may then be no number; shares of samples are decided against the targets.
WITH_SCALE = {*POWERS, *SHARES, "gamma", "noise_variance", "diagonal"}


@pytest.mark.parametrize("name", of_scales())
def test_squares_of_any_scale_neither_overflow_nor_vanish(name):
    """A power of two changes no bit, 1e150 and 1e-150 the last ones, whatever squares and fourth powers there are."""
    route = of_scales()[name]

    def numbers(a, b):
        found = dataclasses.asdict(route(a, b))
        assert "row of the classifier is 0" not in found["reason"]
        return {
            key: value for key, value in found.items() if isinstance(value, float) and key not in WITH_SCALE
        }

    one = numbers(1.0, 1.0)
    assert np.isfinite(list(one.values())).any()
    # LAPACK scales a matrix of extreme entries by another number before it looks for eigenvalues.
    bits = {"rel": 1e-14 if name == "a fit" else 0, "abs": 0, "nan_ok": True}
    of_features = name in ("cka of features", "geometry of features", "geometry in batches", "regression")
    for power in (-400, -260, -130, 1, 7, 130, 260, 420):
        assert numbers(2.0**power, 1.0) == pytest.approx(one, **bits), power
        assert numbers(1.0, 2.0**power) == pytest.approx(one, **bits), power
        assert numbers(2.0**power, 2.0**-power) == pytest.approx(one, **bits), power
    far = 1e135 if of_features or name == "regression of targets" else 1e150
    for a, b in itertools.product((far, 1.0, 1.0 / far), repeat=2):
        assert numbers(a, b) == pytest.approx(one, rel=1e-9, abs=1e-12, nan_ok=True), (a, b)


@pytest.mark.parametrize("scale", [1e-80, 1e-140, 1e-150, 1e-156, 1e-160, 1e-200, 1e150, 1e160, 1e200])
def test_a_row_of_another_scale_has_its_angles_or_none(scale):
    features, labels, weights, _, _ = problem(5)
    expected = kc.collapse_from_features(features, labels, classifier=weights)
    found = kc.collapse_from_features(
        features, labels, classifier=weights * np.array([1.0, scale, 1.0, 1.0])[:, None]
    )
    for name in ("gnc3", "unc3_cosine", "nc2_classifier_angles", "nc2_classifier_maximal_angle"):
        value = getattr(found, name)
        if 1e-150 <= scale <= 1e150 or not np.isnan(value):
            assert value == pytest.approx(getattr(expected, name), rel=1e-9), name
        else:
            assert "a row of the classifier is 0, or nothing beside the others" in found.reason


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15)
def test_what_moves_with_the_features(seed):
    """Means that are centred do not feel a shift; the bias takes it up: b - W shift gives the same outputs."""
    features, labels, weights, bias, rng, tolerance = in_conditions(seed, 4, 7)
    shift = rng.normal(size=7)
    expected = everything(features, labels, weights, bias)
    moved = everything(features + shift, labels, weights, bias - weights @ shift)
    same(moved, expected, 10 * tolerance, ("nc5", "gnc1", "rankme", "kernel_target_alignment"))


@pytest.mark.parametrize("library", [torch.tensor, jnp.asarray], ids=["torch", "jax"])
def test_float32_of_other_libraries(library):
    """Collapse computes in the precision that it is given, geometry in float64 of the same numbers."""
    features, labels, weights, bias, _ = problem(1)
    single = [value.astype(np.float32) for value in (features, weights, bias)]
    exact = kc.collapse_from_features(
        single[0].astype(float), labels, classifier=single[1].astype(float), bias=single[2].astype(float)
    )
    mine = [library(value) for value in single]
    found = kc.collapse_from_features(mine[0], labels, classifier=mine[1], bias=mine[2])
    single_unit = 10 * float(np.finfo(np.float32).eps)
    for name in OF_COLLAPSE:
        value = float(getattr(found, name))
        assert value == pytest.approx(getattr(exact, name), rel=single_unit * 30, abs=single_unit), name
    np.testing.assert_allclose(np.asarray(found.nc4_by_class), exact.nc4_by_class, rtol=1e-6)
    around, same_around = (kc.geometry_from_features(x, labels) for x in (mine[0], single[0].astype(float)))
    for name in OF_GEOMETRY:
        assert getattr(around, name) == pytest.approx(getattr(same_around, name), rel=1e-12, nan_ok=True)


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 72), max_size=6), ways=st.integers(1, 3))
@settings(max_examples=20)
def test_batches_and_merging_do_not_matter_to_geometry(seed, cuts, ways):
    features, labels, _, _, rng, tolerance = in_conditions(seed, 4, 7)
    parts = [kc.Accumulator(4, 7) for _ in range(ways)]
    batches = [b for b in np.split(rng.permutation(len(labels)), sorted(cuts)) if len(b)]
    for i, batch in enumerate(batches):
        parts[i % ways].update(features[batch], labels[batch])
    for other in parts[1:]:
        parts[0].merge(other)
    found = parts[0].geometry(ood_features=features[:3] + 1.0)
    expected = kc.geometry_from_features(features, labels, ood_features=features[:3] + 1.0)
    for name in OF_GEOMETRY:
        if name not in ("gnc1", "stable_rank"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=tolerance), name
    np.testing.assert_allclose(found.nc5_by_class, expected.nc5_by_class, rtol=tolerance)


# -- what is exact


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_complete_collapse(classes):
    """A simplex with the classifier dual to it: everything is at its end, from features and from a Gram matrix."""
    simplex = np.eye(classes) - 1.0 / classes
    features, labels = 3.0 * simplex.repeat(4, axis=0), np.arange(classes).repeat(4)
    gram = features @ features.T
    dual = np.eye(classes)[labels] / 12.0  # W = simplex
    zero, one = np.zeros(classes), {"nc3_cosine", "nc3_cosine_uncentred", "between", *SHARES}
    for found in (
        kc.collapse_from_features(features, labels, classifier=simplex, bias=zero),
        kc.collapse(gram, labels, dual_weights=dual, bias=zero),
    ):
        for name in OF_COLLAPSE:
            value = 1.0 if name in one else 0.0
            wanted = 9.0 * (1 - 1 / classes) if name == "between" else value
            # of a distance of vectors whose cosine is 1: the root of its round-off
            assert getattr(found, name) == pytest.approx(wanted, abs=1e-7), name
    around = kc.geometry_from_features(features, labels, ood_features=np.ones((1, classes)))
    distance = np.sqrt(2 * classes / (classes - 1))
    assert around.gnc1 == 0.0
    assert around.nc5 == pytest.approx(0.0, abs=1e-12)
    assert around.uniformity_distance == pytest.approx(distance, rel=1e-12)
    assert around.uniformity_log == pytest.approx(-np.log(distance), rel=1e-12)
    assert around.uniformity_distance_variance == pytest.approx(0.0, abs=1e-12)
    assert around.rankme == pytest.approx(classes - 1, rel=1e-12)
    assert around.label_cka == pytest.approx(1.0, rel=1e-12)
    assert np.isnan(around.stable_rank)
    assert f"{classes} of {classes} classes have no spread" in around.reason


@given(
    classes=st.integers(2, 5),
    size=st.integers(2, 6),
    values=st.tuples(st.floats(0.1, 5), st.floats(0.1, 5), st.floats(-1, 5)),
)
@settings(max_examples=25)
def test_a_kernel_of_three_values(classes, size, values):
    """K = (d - c) I + (c - n) YY' + n 11': traces are known, and block structure gives the values back."""
    away, apart, between = values
    between = max(between, -0.9 * apart / classes)  # or it is no Gram matrix
    within = between + apart
    diagonal = within + away
    labels = np.arange(classes).repeat(size)
    same_class = labels[:, None] == labels
    gram = away * np.eye(len(labels)) + apart * same_class + between
    blocks = kc.block_structure(gram, labels)
    assert blocks.diagonal == pytest.approx(diagonal, rel=1e-13)
    assert blocks.within == pytest.approx(within, rel=1e-13, abs=1e-13)
    assert blocks.between == pytest.approx(between, rel=1e-12, abs=1e-13)
    assert blocks.residual == pytest.approx(0.0, abs=1e-13)
    found = kc.nc1(gram, labels)
    assert found.within == pytest.approx((1 - 1 / size) * (diagonal - within), rel=1e-11)
    wanted = (1 - 1 / classes) * ((diagonal - within) / size + within - between)
    assert found.between == pytest.approx(wanted, rel=1e-11)


def test_block_structure_of_any_matrix(rng):
    labels = np.array([0, 0, 0, 1, 1, 2])
    values = rng.normal(size=(6, 6))
    values += values.T
    other = ~np.eye(6, dtype=bool)
    inside = labels[:, None] == labels
    for given_matrix in (values, torch.tensor(values)):
        found = kc.block_structure(given_matrix, labels)
        means = [np.diag(values).mean(), values[inside & other].mean(), values[~inside].mean()]
        assert (found.diagonal, found.within, found.between) == pytest.approx(means, rel=1e-12)
        model = np.where(inside, means[1], means[2])
        np.fill_diagonal(model, means[0])
        wanted = np.linalg.norm(values - model) / np.linalg.norm(values)
        assert found.residual == pytest.approx(wanted, rel=1e-12)
    alone = kc.block_structure(values[:2, :2], [0, 1])
    assert np.isnan(alone.within)
    assert "no class has two samples" in alone.reason


@given(seed=st.integers(0, 10**6), n=st.integers(4, 30), p=st.integers(1, 40), q=st.integers(1, 8))
@settings(max_examples=30)
def test_alignment_is_what_its_definition_says(seed, n, p, q):
    """CKA by the centring matrix, of Gram matrices and of features; a shift, a turn and a scale change nothing."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, p)), rng.normal(size=(n, q))
    centring = np.eye(n) - 1.0 / n
    first, second = (centring @ value @ value.T @ centring for value in (x, y))
    wanted = np.sum(first * second) / np.linalg.norm(first) / np.linalg.norm(second)
    turn = np.linalg.qr(rng.normal(size=(p, p)))[0]
    for found in (
        kc.cka(x @ x.T, y @ y.T),
        kc.cka_from_features(x, y),
        kc.cka_from_features(3.0 * x @ turn + 1.0, y),
        kc.cka_from_features(y, x),
    ):
        assert found.value == pytest.approx(wanted, rel=1e-10)
        assert found.reason == ""
    labels = np.arange(n) % 2
    signs = np.where(labels == 0, -1.0, 1.0)
    gram, target = x @ x.T, np.outer(signs, signs)
    wanted = np.sum(gram * target) / np.linalg.norm(gram) / np.linalg.norm(target)
    found = kc.kernel_target_alignment(gram, labels, targets=signs)
    assert found.value == pytest.approx(wanted, rel=1e-10, abs=1e-12)


def test_a_line_through_layers(rng):
    labels = np.arange(60) % 3
    means, noise = rng.normal(size=(3, 5)), rng.normal(size=(60, 5))
    layers = [means[labels] + 0.5 * 2.0**-layer * noise for layer in range(4)]
    found = [kc.collapse_from_features(layer, labels, weighting="sample") for layer in layers]
    law = kc.law_of_separation(found)
    by_hand = []
    for layer in layers:
        own = np.array([layer[labels == c].mean(axis=0) for c in range(3)])
        away, centred = layer - own[labels], own - layer.mean(axis=0)
        by_hand.append(np.trace(away.T @ away / 60 @ np.linalg.pinv(centred.T @ centred / 3, rcond=1e-10)))
    np.testing.assert_allclose(law.log_fuzziness, np.log(by_hand), rtol=1e-9)
    slope, intercept = np.polyfit(range(4), np.log(by_hand), 1)
    assert (law.slope, law.intercept) == pytest.approx((slope, intercept), rel=1e-9)
    assert law.correlation == pytest.approx(np.corrcoef(range(4), np.log(by_hand))[0, 1], rel=1e-9)
    assert law.decay == pytest.approx(np.exp(slope))
    assert law.to_frame()["line"].iloc[2] == pytest.approx(intercept + 2 * slope, rel=1e-9)
    collapsed = kc.collapse_from_features(means[labels], labels)
    with_zero = kc.law_of_separation([*found, collapsed])
    assert with_zero.slope == pytest.approx(law.slope)
    assert with_zero.reason == "left out of the line: layers 4"
    flat = kc.law_of_separation([2.0, 2.0, 2.0])
    assert (flat.slope, flat.decay) == (0.0, 1.0)
    assert np.isnan(flat.correlation)
    with pytest.raises(ValueError, match="layers are 1 of them, expected at least two"):
        kc.law_of_separation([2.0])


def test_every_record_of_a_history_has_its_line(tmp_path, rng):
    """Records that let go of their arrays, saved or not, know the number of classes."""
    labels, noise = np.arange(60) % 3, rng.normal(size=(60, 5))
    x = np.eye(3, 5)[labels] + 0.2 * noise
    kept, slim = kc.History(keep_means=True), kc.History()
    for epoch in range(3):
        layers = {f"layer{k}": x + 0.1 * (3 - k) / (1 + epoch) * noise for k in range(3)}
        record = kc.record(lambda of, layers=layers: layers, [(x, labels)], n_classes=4)  # one has no sample
        kept.append(record, epoch)
        slim.append(record, epoch)
    slim.save(tmp_path / "run.npz")
    with np.load(tmp_path / "run.npz") as held:
        sizes = {key: array.size for key, array in held.items() if "cdnv_pairs" in key}
    assert sizes == {f"{k} {j} cdnv_pairs": 9 * (k == 2) for k in range(3) for j in range(3)}
    for history in (slim, kc.History.load(tmp_path / "run.npz")):
        assert np.isnan(history[0]["layer0"].cdnv_pairs).all()
        for one, other in zip(history, kept, strict=True):
            assert repr(kc.law_of_separation(list(one.values()))) == repr(
                kc.law_of_separation(list(other.values()))
            )
    assert np.isfinite(kc.law_of_separation(list(slim[0].values())).decay)
    bare = dataclasses.replace(slim[0]["layer0"], cdnv_pairs=np.empty((0, 0)), nc4_by_class=np.empty(0))
    with pytest.raises(ValueError, match="the number of classes is not known"):
        kc.law_of_separation([bare, bare])


@given(seed=st.integers(0, 10**6), n=st.integers(12, 40), p=st.integers(3, 9), k=st.integers(1, 3))
@settings(max_examples=25)
def test_regression_collapse_is_what_its_definitions_say(seed, n, p, k):
    rng = np.random.default_rng(seed)
    x, y, alpha = rng.normal(size=(n, p)) + 1.0, rng.normal(size=(n, k)), rng.normal(size=(n, k))
    weights = alpha.T @ x
    about, targets = x - x.mean(axis=0), y - y.mean(axis=0)
    values = np.linalg.eigvalsh(about.T @ about)[::-1]
    inside = about @ np.linalg.pinv(weights) @ weights
    covariance = targets.T @ targets / n
    eigen, turned = np.linalg.eigh(covariance)
    root = (turned * np.sqrt(eigen)) @ turned.T
    unit = weights @ weights.T / np.linalg.norm(weights @ weights.T)

    def distance(g):
        form = root - g * np.eye(k)
        return np.linalg.norm(unit - form / np.linalg.norm(form))

    grid = np.linspace(0.0, np.sqrt(eigen[0]), 200, endpoint=k > 1)
    for found in (
        kc.regression_collapse_from_features(x, y, classifier=weights),
        kc.regression_collapse(x @ x.T, y, dual_weights=alpha),
    ):
        assert found.nrc1 == pytest.approx(values[k:].sum() / values.sum(), rel=1e-9, abs=1e-11)
        wanted = 1 - np.sum(inside**2) / np.sum(about**2)
        assert found.nrc2 == pytest.approx(wanted, rel=1e-8, abs=1e-10 * np.linalg.cond(weights) ** 2)
        assert found.nrc3 == pytest.approx(distance(found.gamma**0.5), rel=1e-9, abs=1e-9)
        assert found.nrc3 <= min(map(distance, grid)) + 1e-9
        assert 0.0 <= found.gamma <= eigen[0] * (1 + 1e-12)
    nothing = kc.regression_collapse(x @ x.T, y)
    assert np.isnan(nothing.nrc2)
    assert nothing.reason == "no readout was given, so nrc2 and nrc3 are NaN"


# -- what is said where they end


def test_what_was_not_given_is_said_in_a_sentence(rng):
    features, labels, weights, bias, _ = problem(0)
    without = kc.collapse_from_features(features, labels)
    assert without.reason == "no classifier was given, so metrics that compare with one are NaN"
    half = kc.collapse_from_features(features, labels, classifier=weights)
    assert np.isnan(half.nc_bias)
    assert half.reason == "no bias was given, so nc_bias is NaN"
    assert np.isfinite(half.nc3_self_duality)
    fitted = kc.collapse(features @ features.T, labels, targets=np.eye(4)[labels])
    assert np.isfinite(fitted.nc_bias)
    around = kc.geometry(features @ features.T, labels)
    assert np.isnan(around.uniformity_riesz)
    assert "a Gram matrix does not tell the number of features, dim" in around.reason
    assert "no out-of-distribution features were given, so nc5 is NaN" in around.reason
    traces = kc.Accumulator(4, 7, metrics="traces")
    traces.update(features, labels)
    found = traces.geometry()
    assert np.isnan(found.rankme)
    assert np.isfinite(found.uniformity_log)
    assert "rankme, kernel_target_alignment and label_cka need metrics='all'" in found.reason
    with pytest.raises(ValueError, match="a bias is given without dual_weights, expected both"):
        kc.collapse(features @ features.T, labels, targets=np.eye(4)[labels], bias=bias)
    with pytest.raises(ValueError, match="ood_cross and ood_gram are not both given"):
        kc.geometry(features @ features.T, labels, ood_cross=features @ features.T)


def test_degenerate_features(rng):
    features, labels, weights, bias, _ = problem(3)
    dead = features.copy()
    dead[0] = 0.0
    found = kc.geometry_from_features(dead, labels)
    assert np.isnan(found.gnc1)
    assert "1 feature vectors are 0 and have no direction" in found.reason
    gone = weights.copy()
    gone[1] = 0.0
    found = kc.collapse_from_features(features, labels, classifier=gone, bias=bias)
    assert np.isnan([found.gnc3, found.nc2_classifier_norms]).all()
    assert np.isfinite([found.nc3_self_duality, found.nc2_classifier_gram, found.unc3]).all()
    assert "a row of the classifier is 0" in found.reason
    twins = features - np.array([features[labels == c].mean(axis=0) for c in range(4)])[labels]
    found = kc.collapse_from_features(twins + 1.0, labels, classifier=weights, bias=bias)
    assert np.isnan([found.cdnv_quartic, found.nc2_gram, found.nc3_uncentred, found.gnc3]).all()
    assert found.nc1_total == pytest.approx(1.0, rel=1e-12)
    constant = kc.collapse_from_features(np.ones((6, 2)), [0, 0, 1, 1, 2, 2])
    assert np.isnan(constant.nc1_total)
    assert constant.reason


def test_no_new_number_is_wrong_in_silence(rng):
    """Gram matrices in float32 of features far away: what is given without a reason is right to a thousandth."""
    checked = lost = 0
    for seed in range(12):
        features, labels, weights, bias, _ = problem(seed)
        far = (features + 10.0 ** (seed / 3)).astype(np.float32)
        exact, single = far.astype(float), torch.tensor(far)
        dual = np.linalg.pinv(exact).T @ weights.T
        truth = kc.collapse_from_features(exact, labels, classifier=dual.T @ exact, bias=bias)
        found = kc.collapse(
            single @ single.T,
            labels,
            dual_weights=torch.tensor(dual.astype(np.float32)),
            bias=torch.tensor(bias.astype(np.float32)),
        )
        for name in ("nc1_total", "cdnv_quartic", "nc2_maximal_angle", "nc2_gram"):
            value, right = float(getattr(found, name)), getattr(truth, name)
            named = re.search(rf"\b{name}\b", found.reason)
            if np.isnan(value):
                assert found.reason
                lost += 1
                continue
            least = 0.0 if name in ("nc1_total", "cdnv_quartic") else 1e-3
            assert abs(value - right) <= (0.1 if named else 1e-3) * max(abs(right), least), (seed, name)
            checked += 1
    assert checked > 10
    assert lost > 0


def test_tables_and_notebooks():
    """Numbers to four digits in HTML, in full in a table, and reasons as text."""
    features, labels, weights, bias, _ = problem(2)
    found = kc.collapse_from_features(features, labels, classifier=weights, bias=bias)
    table = found.to_frame()
    assert len(table) == 1
    assert table["nc3_self_duality"].item() == found.nc3_self_duality
    assert "cdnv_pairs" not in table
    shown = found._repr_html_()
    assert f"{found.nc1:.4g}" in shown
    assert "nan" not in shown
    gram = features @ features.T
    results = [
        kc.nc1(gram, labels),
        kc.sampled_nc1(features, labels),
        kc.geometry(gram, labels),
        kc.block_structure(gram, labels),
        kc.regression_collapse(gram, features[:, :2]),
        kc.law_of_separation([2.0, 1.0]),
    ]
    for result in results:
        assert result._repr_html_().startswith("<div>")
        assert len(result.to_frame()) >= 1
    hostile = dataclasses.replace(found, reason="<script>alert(1)</script> \u202egnp")
    assert "<script>" not in hostile._repr_html_()
    assert "&lt;script&gt;" in hostile._repr_html_()
    assert "\u202e" not in hostile._repr_html_()
    assert kc.cka(gram, gram).to_frame()["value"].item() == pytest.approx(1.0)


# -- Gram matrices of no features


def rotated(values, seed):
    """Return a matrix of these eigenvalues; the vector of the first has mean 0, so that centring keeps it."""
    columns = np.random.default_rng(seed).normal(size=(len(values), len(values)))
    columns[:, 0] -= columns[:, 0].mean()
    basis = np.linalg.qr(columns)[0]
    gram = (basis * values) @ basis.T
    return 0.5 * (gram + gram.T)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(3))
def test_a_negative_eigenvalue_is_refused_and_round_off_is_not(seed, dtype):
    """An indefinite matrix that no single entry gives away; and one of few dimensions, as round-off leaves it."""
    n = 40
    labels = np.arange(n) % 4
    targets = np.random.default_rng(seed).normal(size=(n, 2))
    values = np.linspace(1.0, 2.0, n)
    roads = (lambda gram: kc.geometry(gram, labels), lambda gram: kc.regression_collapse(gram, targets))
    for least in (-0.3, -0.01):
        indefinite = rotated(np.concatenate([[least], values[1:]]), seed).astype(dtype)
        for road in roads:
            with pytest.raises(
                kc.InputError, match=f"not positive semidefinite: an eigenvalue is {least:.3g}"
            ):
                road(indefinite)
    flat = np.random.default_rng(seed).normal(size=(n, 3)).astype(dtype)
    for scale in (1e-20, 1.0, 1e20) if dtype == np.float64 else (1.0,):
        gram = dtype(scale) * (flat @ flat.T)
        assert np.linalg.eigvalsh(gram.astype(float))[0] < 0.0
        for road in roads:
            road(gram)
            road(gram.astype(float))


def test_an_indefinite_scatter_of_class_means_is_refused():
    """Two samples a class and eight classes: their means have what the samples of no features would have."""
    means = rotated(np.array([-0.5, *np.full(7, 2.0)]), 0)
    labels = np.arange(16) // 2
    gram = means[np.ix_(labels, labels)] + 0.1 * np.eye(16)
    with pytest.raises(kc.InputError, match="not positive semidefinite: an eigenvalue of S_B"):
        kc.collapse(gram, labels)
