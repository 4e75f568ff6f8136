"""What no precision changes, and what is said where precision ends.

The laws: NC1 to NC4 and CDNV do not change when the features are scaled, by any route and in any library. A value that
is given without a reason is right to a thousandth, whatever precision the Gram matrix came in; what is not resolved is
NaN with a reason. What cannot be a matrix of inner products is refused.
"""

import re
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import kernel_collapse as kc
from kernel_collapse.collapse import _features

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
@settings(max_examples=25)
def test_scale_does_not_matter_in_float64(route, seed, power):
    x, labels = sample(seed)
    targets = np.eye(3)[labels]
    one, other = (by_route(route, scale * x, labels, targets) for scale in (1.0, 10.0**power))
    for name in (*METRICS, *SHARES):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-10, abs=1e-11), name
    assert one.reason == "no bias was given, so nc_bias is NaN"
    # The variance of products, the fourth power of the features here, may be no float64 at all.
    unfit = "; round-off in .* leaves unc3 unresolved: .*" if np.isnan(other.unc3) else ""
    assert re.fullmatch(one.reason + unfit, other.reason)
    if abs(power) < 30:
        assert other.unc3 == pytest.approx(one.unc3 * 10.0 ** (4 * power), rel=1e-9)


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
@settings(max_examples=15)
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


@pytest.mark.parametrize("library", [torch.tensor, jnp.asarray, np.asarray])
def test_a_singular_gram_matrix_is_refused_by_every_library(library):
    """PyTorch raises where others give numbers that are none."""
    gram = library(np.full((4, 4), 2.0**30, dtype=np.float32))
    with pytest.raises(
        ValueError, match="is not positive definite in its precision, expected a larger ridge"
    ):
        kc.collapse(
            gram,
            [0, 1, 0, 1],
            targets=library(np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]),
            noise_variance=1e-9,
        )


@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(2, 6),
    dim=st.integers(1, 300),
    mean=st.floats(0, 6),
    spread=st.floats(-8, 1),
    library=st.sampled_from(["torch", "jax", "numpy", "upcast"]),
    targets=st.booleans(),
)
@settings(max_examples=100)
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
    assert all(
        error <= (0.1 if re.search(rf"\b{name}\b", found.reason) else 1e-3) for name, error in wrong.items()
    ), wrong


# -- the examples that made the laws


def test_a_gram_matrix_in_float32_does_not_resolve_a_tight_class(rng):
    """Norm 1e4, spread 1e-2: the entries are 1e8 and err by 6. The features themselves resolve it."""
    labels = np.arange(60) % 3
    means = rng.normal(size=(3, 512))
    means *= 1e4 / np.linalg.norm(means, axis=1, keepdims=True)
    x = (means[labels] + 1e-2 * rng.normal(size=(60, 512))).astype(np.float32)
    exact = x.astype(float) - x.astype(float).mean(axis=0)
    right = naive_nc1(exact, labels)
    for gram in (x @ x.T, (x @ x.T).astype(float), torch.tensor(x) @ torch.tensor(x).T):
        value = kc.nc1(gram, labels)
        assert np.isnan(float(value.ratio))
        assert "float32" in value.reason
        assert "_from_features" in value.reason
    assert kc.nc1_from_features(x, labels).ratio == pytest.approx(right, rel=1e-6)


#: What a Gram matrix of few digits may come in: everything that is no array of that type itself.
WRAPPED = {
    "list of rows": list,
    "list of lists": lambda gram: [list(row) for row in gram],
    "list of lists of two kinds": lambda gram: [gram[0].tolist(), *map(tuple, gram[1:])],
    "DataFrame": pd.DataFrame,
    "DataFrame of nullable numbers": lambda gram: pd.DataFrame(gram).astype(
        f"Float{8 * max(4, gram.itemsize)}"
    ),
    "DataFrame of two types": lambda gram: pd.DataFrame(gram).astype({0: "float64"}),
    "list of Series": lambda gram: [pd.Series(row) for row in gram],
    "objects": lambda gram: np.array([list(row) for row in gram] + [[None] * len(gram)], dtype=object)[:-1],
}


@pytest.mark.parametrize(
    ("wrapped", "precision"),
    [
        (name, p)
        for name in WRAPPED
        for p in ("float32", "float16")
        if "nullable" not in name or p == "float32"
    ],
)
def test_few_digits_are_known_however_they_are_wrapped(wrapped, precision, rng):
    """NC1 of a class of spread 1e-4 about 100 is far below what a Gram matrix of float32 tells, let alone float16."""
    labels = np.arange(40) % 2
    x = 100.0 * np.eye(2, 6)[labels] + 1e-4 * rng.normal(size=(40, 6))
    plain = (x @ x.T).astype(precision)
    gram = WRAPPED[wrapped](plain)
    found = [kc.nc1(gram, labels), kc.collapse(gram, labels), kc.geometry(gram, labels)]
    assert np.isnan(found[0].ratio)
    assert np.isnan(found[1].nc1)
    samples, kernel = np.arange(40)[:, None], kc.kernels.Precomputed(gram)
    found += [
        kc.sampled_nc1(samples, labels, kernel=kernel, pairs=500),
        kc.streamed_nc1(samples, labels, kernel=kernel, tile=16),
    ]
    assert np.isnan([found[3].ratio, found[3].low, found[3].high, found[4].ratio]).all()
    assert all(precision in one.reason for one in found)
    assert kc.block_structure(gram, labels).reason == kc.block_structure(plain, labels).reason
    assert kernel != kc.kernels.Precomputed(x @ x.T)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_of_other_libraries_is_known(half, rng):
    """What is read into NumPy's float32 has no more digits for that."""
    labels = np.arange(40) % 2
    x = torch.tensor(labels[:, None] + 0.3 * rng.normal(size=(40, 4)))
    gram = (x @ x.T).to(half)
    for found in (kc.geometry(gram, labels), kc.block_structure(gram, labels), kc.cka(gram, gram)):
        assert "float16" in found.reason


def test_lists_and_tables_of_float64_keep_their_digits(rng):
    labels = np.arange(40) % 2
    x = 100.0 * np.eye(2, 6)[labels] + 1e-4 * rng.normal(size=(40, 6))
    gram = x @ x.T
    known = kc.nc1(gram, labels)
    for wrapped in (gram.tolist(), list(gram), pd.DataFrame(gram), gram.astype(object)):
        assert kc.nc1(wrapped, labels) == known
    grid = [[2, 0, 1, 0], [0, 2, 0, 1], [1, 0, 2, 0], [0, 1, 0, 2]]
    assert kc.nc1(grid, [0, 1, 0, 1]).reason == ""
    assert kc.nc1(pd.DataFrame(grid), [0, 1, 0, 1]).reason == ""


def naive_nc1(x, labels):
    """NC1 of balanced classes by its definition."""
    groups = [x[labels == c] for c in np.unique(labels)]
    means = np.array([group.mean(axis=0) for group in groups])
    within = np.mean(
        [((group - mean) ** 2).sum(axis=1).mean() for group, mean in zip(groups, means, strict=True)]
    )
    return within / ((means - means.mean(axis=0)) ** 2).sum(axis=1).mean()


def test_kelvin_is_told_with_its_error(rng):
    """60 samples at 300, 303 and 306 +- 0.5: a float32 Gram matrix knows NC1 to a tenth, and says so."""
    labels = np.arange(60) % 3
    x = (np.array([300.0, 303.0, 306.0])[labels] + 0.5 * rng.normal(size=60))[:, None]
    single = torch.tensor(x, dtype=torch.float32)
    right = naive_nc1(np.asarray(single, dtype=float), labels)
    value = kc.nc1(single @ single.T, labels)
    assert "NC1" in value.reason
    assert float(value.ratio) == pytest.approx(right, rel=0.1)
    assert float(kc.nc1_from_features(single, labels).ratio) == pytest.approx(right, rel=1e-4)
    double = single.double()
    assert float(kc.nc1(double @ double.T, labels).ratio) == pytest.approx(right, rel=1e-8)


def test_a_classifier_that_round_off_decides_is_not_given(rng):
    """One-hot targets in 50 dimensions at the ridge of one millionth: float32 knows no NC3; float64 does."""
    labels = np.arange(200) % 10
    x = rng.normal(size=(200, 50)) + 2 * rng.normal(size=(10, 50))[labels]
    code = np.eye(10)[labels]
    exact = kc.collapse(x @ x.T, labels, targets=code)
    ridge = exact.noise_variance * np.eye(50)
    twin = kc.collapse_from_features(x, labels, classifier=np.linalg.solve(x.T @ x + ridge, x.T @ code).T)
    assert (exact.nc3, exact.nc3_cosine) == pytest.approx((twin.nc3, twin.nc3_cosine), rel=1e-4)
    assert not re.search(r"\bnc3(_cosine)?\b", exact.reason)
    single = torch.tensor(x, dtype=torch.float32)
    found = kc.collapse(single @ single.T, labels, targets=torch.tensor(code, dtype=torch.float32))
    assert float(found.nc1) == pytest.approx(exact.nc1, rel=1e-5)
    for name in ("nc3", "nc3_cosine"):
        assert np.isnan(float(getattr(found, name)))
        assert name in found.reason


def not_inner_products():
    data = kc.data.gaussian_classes(200, 16, seed=0)
    rng = np.random.default_rng(0)
    distances = cdist(data.x, data.x)
    random = rng.normal(size=(200, 200))
    sides = np.where(data.labels == 0, -1.0, 1.0)
    indefinite = np.eye(200) - 0.02 * np.outer(sides, sides)  # every pair is in order, all together are not
    near = kc.nngp(data.x)
    near[3, 7] = near[7, 3] = 1.01 * np.sqrt(near[3, 3] * near[7, 7])
    return data.labels, {
        "distances": (distances, "looks like a matrix of distances"),
        "squared distances": (distances**2, "looks like a matrix of distances"),
        "negative distances": (-distances, "looks like a matrix of distances"),
        "a negative kernel": (-kc.nngp(data.x), "holds -"),
        "a random matrix": (random + random.T, "holds -"),
        "an indefinite matrix": (indefinite, "not positive semidefinite"),
        "one entry too large": (near, "in row 3, column 7"),
    }


@pytest.mark.parametrize("what", not_inner_products()[1])
def test_what_is_no_gram_matrix_is_refused(what):
    labels, matrices = not_inner_products()
    gram, message = matrices[what]
    for give in (np.asarray, torch.tensor):
        for call in (kc.nc1, kc.nc1_weightings, kc.collapse):
            with pytest.raises(ValueError, match=message):
                call(give(gram), labels)
        if what != "an indefinite matrix":
            good = kc.nngp(kc.data.gaussian_classes(200, 16, seed=0).x)
            with pytest.raises(ValueError, match="expected at most sqrt|diagonal of the held-out|holds -"):
                kc.held_out_collapse(give(good), labels, give(gram), give(gram.diagonal().copy()), labels)


def test_a_callable_in_float32_is_known_to_be_so(rng):
    labels = np.arange(40) % 2
    x = 1e3 + 30.0 * labels[:, None] + 1e-3 * rng.normal(size=(40, 4))
    for kernel in (
        lambda a, b: a.astype("f") @ b.astype("f").T,
        lambda a, b: torch.tensor(a).float() @ torch.tensor(b).float().T,
    ):
        value = kc.streamed_nc1(x, labels, kernel=kernel, tile=16)
        assert np.isnan(value.ratio)
        assert "float32" in value.reason
    pairs = kc.sampled_nc1(
        x, labels, kernel=lambda a, b: (a.astype("f") * b.astype("f")).sum(axis=1), pairs=500
    )
    assert np.isnan(pairs.ratio)
    assert "float32" in pairs.reason


def test_features_need_no_more_memory_than_their_classes(rng):
    """No array of samples by classes: 20,000 samples in 500 classes would take 80 MB."""
    x, labels = rng.normal(size=(20_000, 16)), np.arange(20_000) % 500
    expected = kc.collapse(x[:600] @ x[:600].T, labels[:600]).nc1
    assert kc.nc1_from_features(x[:600], labels[:600]).ratio == pytest.approx(expected, rel=1e-10)
    tracemalloc.start()
    found = kc.collapse_from_features(x, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(found.nc1_pinv)
    assert peak < 40e6


def test_parts_and_threads_do_not_show(rng, monkeypatch):
    """The features in one part, and in many on one thread and on several: equal to rounding, and to the last bit."""
    x, labels = rng.normal(size=(500, 6)), rng.permutation(np.arange(500) % 7)
    whole = kc.collapse_from_features(x, labels, classifier=rng.normal(size=(7, 6)))
    monkeypatch.setattr(_features, "PART", 64)
    many = []
    for threads in (1, 3):
        monkeypatch.setattr(_features.os, "cpu_count", lambda threads=threads: threads)
        many.append(kc.collapse_from_features(x, labels))
    for name in ("nc1", "nc1_pinv", "cdnv", "nc2_etf", "ncm_accuracy"):
        assert getattr(many[0], name) == getattr(many[1], name)
        assert getattr(many[0], name) == pytest.approx(getattr(whole, name), rel=1e-12)


# -- what round-off hides is not 0


@pytest.mark.parametrize("route", ["gram", "held out", "streamed"])
@pytest.mark.parametrize("offset", [1.0, 1e4, 1e6, 1e7, 1e8, 1e9])
@pytest.mark.parametrize("apart", [0.0, 1.0, 30.0, 1e3, 1e6])
def test_a_spread_that_round_off_hides_is_not_zero(route, offset, apart, rng):
    """Samples differ: 0 is said, with a reason, only of an NC1 below 1e-10, however far they are from the origin."""
    x = rng.normal(size=(20, 3)) + offset
    labels = np.arange(20) % 2
    x[labels == 1] += apart
    exact = kc.nc1_from_features(x, labels)
    found = by_route(route, x, labels, np.eye(2)[labels])
    for name, value in (("within", exact.within), ("nc1", exact.ratio), ("cdnv", None)):
        given = getattr(found, name)
        if given == 0.0:
            assert exact.ratio < 1e-10
            assert "0 or too small to be seen" in found.reason
            continue
        assert np.isnan(given) or value is None or given == pytest.approx(value, rel=0.2), name
    assert not np.isnan(found.nc1) or found.reason


@pytest.mark.parametrize("route", ["gram", "held out", "streamed"])
@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
def test_samples_that_are_one_have_no_spread(route, offset, rng):
    x = np.repeat(rng.normal(size=(3, 4)), [5, 2, 7], axis=0) + offset
    labels = np.repeat([0, 1, 2], [5, 2, 7])
    found = by_route(route, x, labels, np.eye(3)[labels])
    assert (found.within, found.nc1, found.cdnv) == (0.0, 0.0, 0.0)


def test_a_tight_class_beside_one_that_is_resolved_adds_no_error(rng):
    """The spread of one class is unknown by as much as the other's is wide: both together are not known."""
    wide, tight = 1e-3 * rng.normal(size=(10, 3)), 1e-5 * rng.normal(size=(10, 3)) + 1e5
    x, labels = np.concatenate([wide, tight]), np.repeat([0, 1], 10)
    exact, found = kc.nc1_from_features(x, labels), kc.nc1(x @ x.T, labels)
    assert np.isnan(found.ratio) or found.ratio == pytest.approx(exact.ratio, rel=1e-3)
