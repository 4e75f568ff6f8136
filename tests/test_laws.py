"""Laws of data: what their moments are, that they are made as documented, and what is refused."""

import json
import re

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

import kernel_collapse as kc
from kernel_collapse.data import D2_MEANS
from kernel_collapse.runs import laws, trials
from kernel_collapse.runs.measurements import KernelNC1
from kernel_collapse.runs.trials import GaussianClasses, ShippedData, Trial

NNGP = KernelNC1(kernel="nngp", activation="erf")
SPECIFICATIONS = {
    law: specification
    for law, specification in laws.SPECIFICATIONS.items()
    if issubclass(specification, laws.Law)
}
#: An example of each law with options that are not the default.
OPTIONS = {
    "ball": {"radius": 1.5, "n_classes": 3},
    "checkerboard": {"cells": 3},
    "contaminated": {"fraction": 0.2, "factor": 3.0},
    "gaussian": {"covariance": "ar1(0.5)", "std": 0.7},
    "gaussian_classes": {
        "class_covariances": ("spiked(3)", ((1.0, 0.5, 0.0), (0.5, 1.0, 0.0), (0.0, 0.0, 0.0)))
    },
    "laplace": {"std": 1.0, "separation": 1.0},
    "manifolds": {"shape": "swiss-roll", "turns": 1.5},
    "shapes": {"n_classes": 3, "translation": 0.2},
    "shell": {"thickness": 0.1, "n_classes": 4},
    "skewed": {"family": "log-normal", "mirrored": False},
    "spheres": {"n_classes": 3, "radius": 1.0},
    "student-t": {"df": 2.5},
    "subspace": {"intrinsic_dim": 1, "noise": 0.1},
    "tree": {"depth": 3, "shrink": 0.7},
    "xor": {"separation": 2.0},
}
#: Features of the examples: of images a square.
DIM = dict.fromkeys(OPTIONS, 3) | {"shapes": 9}
EVERY = pytest.mark.parametrize("law", sorted(OPTIONS))


def agrees(values, expected, errors=4.5):
    """Hold the mean of samples (rows) against its expectation, within standard errors of that mean."""
    values = np.asarray(values, dtype=float)
    error = values.std(axis=0) / np.sqrt(len(values))
    gap = np.abs(values.mean(axis=0) - expected)
    assert (gap <= errors * error + 1e-12).all(), (gap / error, errors)


def has_moments(x, mean, covariance):
    """Hold the mean and the covariance of samples against theirs."""
    centred = x - mean
    agrees(x, mean)
    agrees(centred[:, :, None] * centred[:, None, :], covariance)


def classes(dataset):
    return [dataset.x[dataset.labels == c] for c in range(len(dataset.class_sizes))]


def test_the_tests_know_every_law():
    assert set(OPTIONS) | {"label-noise"} == set(kc.data.laws())
    assert set(laws.LAWS) == {*kc.data.laws(), "shipped", "file"}
    assert set(SPECIFICATIONS) == set(OPTIONS)
    assert list(kc.data.laws()) == sorted(kc.data.laws())


# -- what all laws have in common


@EVERY
@pytest.mark.parametrize("options", [{}, "other"])
def test_samples_are_seeded_and_complete(law, options):
    options = OPTIONS[law] if options else {}
    size = {"n": 41, "dim": DIM[law]}
    data = kc.data.sample(law, **size, seed=7, **options)
    again = kc.data.sample(law, **size, seed=7, **options)
    np.testing.assert_array_equal(data.x, again.x)
    other = kc.data.sample(law, **size, seed=8, **options).x
    assert (other != data.x).any(axis=1).all()
    assert data.x.shape == (41, DIM[law])
    assert data.x.dtype == np.float64
    assert np.isfinite(data.x).all()
    assert (np.diff(data.labels) >= 0).all()
    assert max(data.class_sizes) - min(data.class_sizes) <= 1
    assert data.classes == tuple(range(len(data.class_sizes)))
    known = (
        {2: [[-1], [1]]}
        if law in ("spheres", "manifolds", "tree", "shapes")
        else {2: [[-1], [1]], 4: [[-3], [-1], [1], [3]]}
    )
    c = len(data.classes)
    np.testing.assert_array_equal(data.targets, np.array(known.get(c, np.eye(c)))[data.labels])


@EVERY
def test_classes_of_given_sizes(law):
    options = {k: v for k, v in OPTIONS[law].items() if k not in ("n_classes", "depth")}
    if law == "tree":
        options["depth"] = 1
    size = {"n": 50, "dim": DIM[law]}
    assert kc.data.sample(law, **size, class_sizes=(13, 37), **options).class_sizes == (13, 37)
    assert kc.data.sample(law, **size, imbalance=4, **options).class_sizes == (40, 10)


@pytest.mark.parametrize(
    ("n", "count", "ratio", "sizes"),
    [
        (100, 2, 1.0, (50, 50)),
        (101, 2, 1.0, (51, 50)),
        (70, 3, 4.0, (40, 20, 10)),
        (150, 4, 8.0, (80, 40, 20, 10)),
        (10, 2, 1e6, (9, 1)),
        (5, 4, 1e6, (2, 1, 1, 1)),
        (3, 3, 50.0, (1, 1, 1)),
    ],
)
def test_imbalance_is_geometric(n, count, ratio, sizes):
    assert kc.data.gaussian(n, 1, n_classes=count, imbalance=ratio).class_sizes == sizes


@EVERY
def test_a_specification_draws_what_the_law_does(law):
    written = {"law": law, "n": 20, "dim": DIM[law]} | OPTIONS[law]
    trial = Trial(data=written, measurement=NNGP, seed=5)
    again = Trial.model_validate_json(trial.model_dump_json())
    assert again == trial
    assert again.key == trial.key
    assert type(trial.data) is SPECIFICATIONS[law]
    data = kc.data.sample(law, n=20, dim=DIM[law], seed=5, **OPTIONS[law])
    sampled = trial.data.sample(5)
    np.testing.assert_array_equal(sampled.x, data.x)
    assert sampled.image_shape == data.image_shape == trial.data.image_shape
    np.testing.assert_array_equal(sampled.targets, data.targets)
    assert (trial.data.n, trial.data.dim, trial.data.n_classes) == (*data.x.shape, len(data.class_sizes))
    assert trial.data.class_sizes is None
    found = trials.compute(trial)
    assert found["nc1_paper"] == kc.nc1(kc.nngp(data.x), data.labels).ratio
    assert found["nc1_paper"] > 0
    assert trial.cost == NNGP.cost(20, DIM[law], trial.data.n_classes)


@EVERY
def test_names_tell_options_apart(law):
    plain = SPECIFICATIONS[law](n=20, dim=DIM[law])
    assert plain.name == ("D1" if "gaussian" in law else law)
    other = SPECIFICATIONS[law](n=20, dim=DIM[law], imbalance=3.0, **OPTIONS[law])
    assert other.name != plain.name
    assert "imbalance=3.0" in other.name
    assert all(key in other.name for key in OPTIONS[law])
    assert other.sample(0).name == other.name


def test_names_of_the_papers_laws():
    assert laws.Gaussian(n=8, dim=1, n_classes=4).name == "D2"
    assert laws.Gaussian(n=8, dim=1, n_classes=4, imbalance=2).name == "D2(imbalance=2.0)"
    assert laws.Gaussian(n=8, dim=1, n_classes=3).name == "gaussian(n_classes=3)"
    assert laws.Gaussian(n=8, dim=1, std=1).name == "gaussian(std=1.0)"
    wide = laws.Gaussian(n=8, dim=9, covariance=np.eye(9)).name
    assert re.fullmatch(r"gaussian\(covariance=[0-9a-f]{8}\)", wide)
    assert wide != laws.Gaussian(n=8, dim=9, covariance=2 * np.eye(9)).name


def test_keys_of_stored_rows_stay():
    def key(law, seed):
        return Trial(data=law, measurement=NNGP, seed=seed).key

    # Computed before there were other laws: a change here orphans the rows of earlier runs.
    assert key(GaussianClasses(n=1024, dim=1), 0) == "3e790d6e5dc4942b53bf925a"
    assert key(GaussianClasses(n=64, dim=3, class_means=D2_MEANS), 2) == "3df6dcbcf4eca736f691ccfd"
    assert key(ShippedData(name="wine", n=60), 3) == "f35bd3a5df82bcabaafc8d4c"
    keys = {key({"law": law, "n": 20, "dim": DIM[law]} | OPTIONS[law], 0) for law in OPTIONS}
    assert len(keys) == len(OPTIONS)
    plain = GaussianClasses(n=8, dim=1)
    assert set(plain.model_dump()) == {"law", "n", "dim", "class_means", "class_stds", "class_sizes"}
    assert key(plain, 0) != key(GaussianClasses(n=8, dim=1, imbalance=1), 0)
    assert key(plain, 0) != key(GaussianClasses(n=8, dim=1, class_covariances=0.25), 0)


def test_arrays_and_lists_are_one_specification():
    matrix = [[1.0, 0.5], [0.5, 1.0]]
    law = laws.Gaussian(n=8, dim=2, covariance=np.array(matrix))
    assert law == laws.Gaussian(n=8, dim=2, covariance=matrix)
    assert hash(law) == hash(laws.Gaussian(n=8, dim=2, covariance=tuple(map(tuple, matrix))))
    assert laws.Gaussian(n=8, dim=2, covariance=1) == laws.Gaussian(n=8, dim=2, covariance=1.0)


# -- that anyone can make the samples again, and their moments


def test_gaussian_is_d1_and_d2():
    d1, d2 = (
        kc.data.gaussian_classes(9, 3, seed=2),
        kc.data.gaussian_classes(9, 3, class_means=D2_MEANS, seed=2),
    )
    for expected, count in ((d1, 2), (d2, 4)):
        data = kc.data.gaussian(9, 3, n_classes=count, seed=2)
        np.testing.assert_array_equal(data.x, expected.x)
        np.testing.assert_array_equal(data.targets, expected.targets)
        assert data.name == expected.name
    assert kc.data.gaussian(9, 3, separation=1.0).name == "gaussian"


@pytest.mark.parametrize(
    "structure", ["isotropic", "ar1(-0.6)", "equicorrelated(0.4)", "spiked(9)", "power(1.5)"]
)
def test_named_covariances(structure):
    expected = {
        "isotropic": np.eye(4),
        "ar1(-0.6)": [[(-0.6) ** abs(i - j) for j in range(4)] for i in range(4)],
        "equicorrelated(0.4)": 0.6 * np.eye(4) + 0.4,
        "spiked(9)": np.diag([3.0, 1 / 3, 1 / 3, 1 / 3]),
        "power(1.5)": np.diag([i**-1.5 for i in range(1, 5)]) / np.mean([i**-1.5 for i in range(1, 5)]),
    }[structure]
    found = kc.data.covariance(structure, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1e-15)
    assert found.trace() == pytest.approx(4, rel=1e-14)
    one, two = classes(kc.data.gaussian(40_000, 4, covariance=structure, std=0.7, seed=1))
    has_moments(one, -2.0, 0.49 * found)
    has_moments(two, 2.0, 0.49 * found)


def test_named_covariances_of_classes_are_scaled_by_their_deviations():
    data = kc.data.gaussian_classes(
        40_000, 2, class_stds=((0.5, 2.0), 1.0), class_covariances=("ar1(0.8)", "isotropic"), seed=3
    )
    one, two = classes(data)
    has_moments(one, -2.0, [[0.25, 0.8], [0.8, 4.0]])
    np.testing.assert_array_equal(two, kc.data.gaussian_classes(40_000, 2, class_stds=1.0, seed=3).x[20_000:])
    assert data.name == "gaussian_classes"


@pytest.mark.parametrize("rank", [1, 3])
def test_singular_covariances(rank):
    rng = np.random.default_rng(rank)
    factor = rng.normal(size=(5, rank))
    covariance = factor @ factor.T
    data = kc.data.gaussian_classes(40_000, 5, class_covariances=(covariance, 0.0), seed=4)
    one, two = classes(data)
    has_moments(one, -2.0, covariance)
    assert np.linalg.matrix_rank(one + 2.0, tol=1e-5) == rank
    assert (two == 2.0).all()
    # The symmetric root is unique, whatever the signs of the eigenvectors.
    noise = np.random.default_rng(4).normal(size=(20_000, 5))
    u, s, _ = np.linalg.svd(factor, full_matrices=False)
    np.testing.assert_allclose(one, -2.0 + noise @ (u * s) @ u.T, atol=1e-6)


def test_student_t_is_made_as_documented():
    data = kc.data.student_t(7, 3, df=5.0, class_sizes=(3, 4), seed=6)
    rng = np.random.default_rng(6)
    z = np.vstack([rng.normal(size=(3, 3)), rng.normal(size=(4, 3))])
    q = rng.chisquare(5.0, size=7)
    means = np.repeat([-2.0, 2.0], (3, 4))[:, None]
    expected = means + 0.5 * np.sqrt(3 / 5) * z / np.sqrt(q / 5)[:, None]
    np.testing.assert_allclose(data.x, expected, rtol=1e-14)
    unscaled = means + 0.5 * z / np.sqrt(q / 5)[:, None]
    np.testing.assert_allclose(
        kc.data.student_t(7, 3, df=5.0, scaled=False, class_sizes=(3, 4), seed=6).x, unscaled, rtol=1e-14
    )


def test_student_t_of_many_degrees_of_freedom_is_d1():
    huge, d1 = kc.data.student_t(2000, 3, df=1e14, seed=1), kc.data.gaussian_classes(2000, 3, seed=1)
    np.testing.assert_allclose(huge.x, d1.x, atol=1e-5)
    np.testing.assert_array_equal(huge.targets, d1.targets)
    for x, mean in zip(classes(kc.data.student_t(40_000, 3, df=1e6, seed=2)), (-2.0, 2.0), strict=True):
        has_moments(x, mean, 0.25 * np.eye(3))
        agrees((x - mean) ** 4, 3 * 0.25**2)


def test_student_t_has_heavy_tails_common_to_all_coordinates():
    df = 12.0
    for x, mean in zip(classes(kc.data.student_t(200_000, 2, df=df, seed=3)), (-2.0, 2.0), strict=True):
        has_moments(x, mean, 0.25 * np.eye(2))
        squares = ((x - mean) / 0.5) ** 2
        agrees(squares**2, 3 * (df - 2) / (df - 4))
        agrees(squares[:, 0] * squares[:, 1], (df - 2) / (df - 4))


@pytest.mark.parametrize(
    ("df", "scaled", "unit"), [(1.0, True, 1), (2.0, True, 1), (3.0, True, 3**-0.5), (3.0, False, 1)]
)
def test_student_t_by_its_distribution(df, scaled, unit):
    x = kc.data.student_t(20_000, 2, df=df, scaled=scaled, std=2.0, separation=0.0, seed=4).x
    assert stats.kstest(x[:, 0], stats.t(df, scale=2.0 * unit).cdf).pvalue > 1e-3


def test_laplace():
    for x, mean in zip(classes(kc.data.laplace(100_000, 2, std=1.5, seed=1)), (-2.0, 2.0), strict=True):
        has_moments(x, mean, 1.5**2 * np.eye(2))
        unit = (x - mean) / 1.5
        agrees(unit**4, 6)
        agrees(unit[:, 0] ** 2 * unit[:, 1] ** 2, 1)  # independent
        agrees(np.abs(unit), 2**-0.5)


@pytest.mark.parametrize("scaled", [True, False])
def test_contaminated(scaled):
    share, factor = 0.1, 3.0
    variance = 1 - share + share * factor**2
    total = 0.25 * (1 if scaled else variance)
    data = kc.data.contaminated(200_000, 2, fraction=share, factor=factor, scaled=scaled, seed=2)
    for x, mean in zip(classes(data), (-2.0, 2.0), strict=True):
        has_moments(x, mean, total * np.eye(2))
        agrees((x - mean) ** 4, total**2 * 3 * (1 - share + share * factor**4) / variance**2)
    d1 = kc.data.gaussian_classes(50, 2, seed=3).x
    np.testing.assert_array_equal(kc.data.contaminated(50, 2, fraction=0.0, seed=3).x, d1)


@pytest.mark.parametrize("family", ["gamma", "log-normal"])
@pytest.mark.parametrize(("skewness", "mirrored"), [(0.8, True), (-0.8, True), (0.8, False), (-0.8, False)])
def test_skewed(family, skewness, mirrored):
    data = kc.data.skewed(200_000, 2, family=family, skewness=skewness, mirrored=mirrored, std=0.7, seed=5)
    signs = (1, -1) if mirrored else (1, 1)
    for x, mean, sign in zip(classes(data), (-2.0, 2.0), signs, strict=True):
        has_moments(x, mean, 0.49 * np.eye(2))
        agrees(((x - mean) / 0.7) ** 3, sign * skewness)


def test_skewed_families_by_their_distributions():
    x = kc.data.skewed(20_000, 1, skewness=2.0, std=1.0, separation=0.0, mirrored=False, seed=1).x[:, 0]
    assert stats.kstest(x + 1.0, stats.expon.cdf).pvalue > 1e-3
    # (w + 2) sqrt(w - 1) = 4 at w = 2
    x = kc.data.skewed(
        20_000, 1, family="log-normal", skewness=4.0, std=1.0, separation=0.0, mirrored=False, seed=1
    ).x[:, 0]
    lognormal = stats.lognorm(np.sqrt(np.log(2.0)), scale=1 / np.sqrt(2.0))
    assert lognormal.var() == pytest.approx(1.0)
    assert stats.kstest(x + 1.0, lognormal.cdf).pvalue > 1e-3
    for family in ("gamma", "log-normal"):  # hardly skewed is Gaussian, huge skewness is finite
        x = kc.data.skewed(20_000, 1, family=family, skewness=1e-3, std=1.0, separation=0.0, seed=2).x[:, 0]
        assert stats.kstest(x, stats.norm.cdf).pvalue > 1e-3
        assert np.isfinite(kc.data.skewed(1000, 2, family=family, skewness=100.0).x).all()


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_ball(dim):
    for radius, used in ((3.0, 3.0), (None, np.sqrt(dim + 2) / 2)):
        data = kc.data.ball(40_000, dim, radius=radius, n_classes=2, seed=2)
        for x, mean in zip(classes(data), (-2.0, 2.0), strict=True):
            has_moments(x, mean, used**2 / (dim + 2) * np.eye(dim))
            radii = np.linalg.norm(x - mean, axis=1)
            assert radii.max() <= used * (1 + 1e-15)
            assert stats.kstest((radii / used) ** dim, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_shell(dim):
    for x, mean in zip(classes(kc.data.shell(40_000, dim, seed=2)), (-2.0, 2.0), strict=True):
        np.testing.assert_allclose(np.linalg.norm(x - mean, axis=1), np.sqrt(dim) / 2, rtol=1e-13)
        has_moments(x, mean, 0.25 * np.eye(dim))
    thick = kc.data.shell(40_000, dim, radius=2.0, thickness=0.5, separation=0.0, seed=3).x
    radii = np.linalg.norm(thick, axis=1)
    assert radii.min() >= 1.5 * (1 - 1e-14)
    assert radii.max() <= 2.0 * (1 + 1e-14)
    assert stats.kstest((radii**dim - 1.5**dim) / (2.0**dim - 1.5**dim), "uniform").pvalue > 1e-3
    ball = kc.data.ball(100, dim, radius=2.0, seed=3).x
    np.testing.assert_allclose(kc.data.shell(100, dim, radius=2.0, thickness=2.0, seed=3).x, ball, rtol=1e-14)


def test_bodies_in_many_dimensions():
    x = kc.data.shell(20, 2000, radius=10.0, thickness=5.0, separation=0.0).x
    assert (np.linalg.norm(x, axis=1) > 9.9).all()  # nearly all of the volume is outside


def haar(rng, dim, columns):
    """A twin of the frame: Gram-Schmidt makes a QR decomposition with a positive diagonal."""
    gaussian = rng.normal(size=(dim, columns))
    basis = []
    for column in gaussian.T:
        for known in basis * 2:
            column = column - known * (known @ column)
        basis.append(column / np.linalg.norm(column))
    return np.column_stack(basis)


def test_subspace_is_made_as_documented():
    data = kc.data.subspace(7, 5, intrinsic_dim=2, noise=0.3, class_sizes=(3, 4), seed=6)
    rng = np.random.default_rng(6)
    q = haar(rng, 5, 2)
    z = np.vstack([rng.normal(size=(3, 2)), rng.normal(size=(4, 2))])
    e = rng.normal(size=(7, 5))
    means = np.repeat([-2.0, 2.0], (3, 4))[:, None]
    np.testing.assert_allclose(data.x, (means + 0.5 * z) @ q.T + 0.3 * e, rtol=1e-12)


def test_subspace_moments():
    data = kc.data.subspace(40_000, 5, intrinsic_dim=2, noise=0.3, seed=6)
    q = haar(np.random.default_rng(6), 5, 2)
    for x, mean in zip(classes(data), (-2.0, 2.0), strict=True):
        has_moments(x, mean * q.sum(axis=1), 0.25 * q @ q.T + 0.09 * np.eye(5))
    full = kc.data.subspace(50, 4, intrinsic_dim=4, noise=0.0, seed=1).x
    assert np.linalg.matrix_rank(full) == 4


def test_frames_are_uniform():
    frames = np.array([kc.data.subspace(2, 3, intrinsic_dim=1, noise=0.0, seed=s).x[1] for s in range(3000)])
    directions = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    assert (
        stats.kstest(directions[:, 0], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    )  # Archimedes: uniform in 3-D


def test_tree_is_made_as_documented():
    data = kc.data.tree(16, 3, depth=3, branching=2, shrink=0.5, seed=4)
    rng = np.random.default_rng(4)
    steps = [rng.normal(size=(2**level, 3)) * 4 / np.sqrt(2) * 0.5 ** (level - 1) for level in (1, 2, 3)]
    noise = rng.normal(size=(16, 3))
    for row in range(16):
        leaf = row // 2
        mean = steps[0][leaf // 4] + steps[1][leaf // 2] + steps[2][leaf]
        np.testing.assert_allclose(data.x[row], mean + 0.5 * noise[row], rtol=1e-13)


def test_tree_distances():
    seeds, dim = 400, 20
    means = np.array(
        [kc.data.tree(8, dim, depth=3, shrink=0.5, separation=2.0, std=1e-9, seed=s).x for s in range(seeds)]
    )
    for pair, levels in (((0, 1), (3,)), ((0, 2), (2, 3)), ((1, 7), (1, 2, 3))):
        squared = ((means[:, pair[0]] - means[:, pair[1]]) ** 2).mean(axis=1)
        agrees(squared, sum(4.0 * 0.25 ** (level - 1) for level in levels))


def test_xor_is_made_as_documented():
    data = kc.data.xor(9, 3, separation=2.0, class_sizes=(4, 5), seed=3)
    rng = np.random.default_rng(3)
    x = 0.5 * rng.normal(size=(9, 3))
    first = np.concatenate([rng.integers(2, size=4), rng.integers(2, size=5)])
    for row in range(9):
        second = first[row] if row < 4 else 1 - first[row]
        x[row, :2] += [2.0 * first[row] - 1.0, 2.0 * second - 1.0]
    np.testing.assert_array_equal(data.x, x)


def test_xor_moments():
    for x, sign in zip(classes(kc.data.xor(60_000, 3, separation=3.0, seed=1)), (1, -1), strict=True):
        corners = np.array([[2.25, sign * 2.25, 0], [sign * 2.25, 2.25, 0], [0, 0, 0]])
        has_moments(x, 0.0, corners + 0.25 * np.eye(3))


@pytest.mark.parametrize("cells", [2, 3, 4])
def test_checkerboard(cells):
    data = kc.data.checkerboard(60_000, 3, cells=cells, separation=1.5, seed=2)
    board = data.x[:, :2] / 1.5 + cells / 2
    place = np.floor(board).astype(int)
    assert place.min() == 0
    assert place.max() == cells - 1
    np.testing.assert_array_equal(place.sum(axis=1) % 2, data.labels)
    for c in (0, 1):
        counts = np.bincount(place[data.labels == c] @ [cells, 1], minlength=cells**2)
        assert stats.chisquare(counts[counts > 0]).pvalue > 1e-3
        assert (counts > 0).sum() == (cells**2 + (1 - c)) // 2
    assert stats.kstest((board - place).ravel(), "uniform").pvalue > 1e-3
    has_moments(data.x[:, 2:], 0.0, [[0.25]])


@pytest.mark.parametrize("dim", [2, 5])
def test_spheres(dim):
    data = kc.data.spheres(60_000, dim, n_classes=3, radius=1.5, separation=2.0, std=0.2, seed=1)
    for c, x in enumerate(classes(data)):
        radius = 1.5 + 2.0 * c
        agrees((x**2).sum(axis=1), radius**2 + 0.04)
        assert stats.kstest(np.linalg.norm(x, axis=1), stats.norm(radius, 0.2).cdf).pvalue > 1e-3
        has_moments(x, 0.0, (radius**2 + 0.04) / dim * np.eye(dim))


@pytest.mark.parametrize("shape", ["circles", "spiral", "swiss-roll"])
def test_manifolds_are_made_as_documented(shape):
    m = 3 if shape == "swiss-roll" else 2
    data = kc.data.manifolds(6, 4, shape=shape, turns=1.5, n_classes=3, separation=2.0, std=0.1, seed=5)
    rng = np.random.default_rng(5)
    q = haar(rng, 4, m)
    noise = rng.normal(size=(6, 4))
    uniform = rng.random((6, m - 1))
    for row in range(6):
        c = row // 2
        if shape == "circles":
            angle, radius = 2 * np.pi * uniform[row, 0], 2.0 * (c + 1)
        else:
            t = np.sqrt(np.pi**2 + ((4 * np.pi) ** 2 - np.pi**2) * uniform[row, 0])
            angle, radius = t + 2 * np.pi * c / 3, 3 * 2.0 / (2 * np.pi) * t
        y = [radius * np.cos(angle), radius * np.sin(angle)] + (
            [4.0 * uniform[row, 1] - 2.0] if m == 3 else []
        )
        np.testing.assert_allclose(data.x[row], q @ y + 0.1 * noise[row], rtol=1e-12)


def test_manifolds_moments():
    dim, std = 6, 0.1
    for c, x in enumerate(classes(kc.data.manifolds(40_000, dim, shape="circles", std=std, seed=1))):
        q = haar(np.random.default_rng(1), dim, 2)
        has_moments(x, 0.0, (4.0 * (c + 1)) ** 2 / 2 * q @ q.T + std**2 * np.eye(dim))
    b, first, last = 2 * 4.0 / (2 * np.pi), np.pi, 3 * np.pi
    for x in classes(kc.data.manifolds(40_000, dim, shape="swiss-roll", std=std, seed=1)):
        q = haar(np.random.default_rng(1), dim, 3)
        agrees((x**2).sum(axis=1), b**2 * (first**2 + last**2) / 2 + 4.0**2 / 3 + dim * std**2)
        agrees((x @ q[:, 2]) ** 2, 4.0**2 / 3 + std**2)


def test_arms_of_a_spiral_are_apart():
    one, two = classes(kc.data.manifolds(4000, 2, separation=3.0, std=1e-6, seed=2))
    nearest = np.sqrt(((one[:, None] - two[None]) ** 2).sum(axis=2)).min(axis=1)
    # The distance to the next arm is less than along the ray, which an Archimedean spiral meets at an angle.
    slope = 3.0 / np.pi
    assert nearest.max() < 3.0 + 0.1
    assert nearest.min() > 3.0 * np.cos(np.arctan2(slope, slope * np.pi)) - 0.1


# -- labels that are wrong


@pytest.mark.parametrize("base", ["gaussian", "xor", "tree", "spheres"])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.333, 0.9])
def test_label_noise_flips_that_many(base, fraction):
    clean = kc.data.sample(base, n=61, dim=2, seed=3)
    noisy = kc.data.sample("label-noise", n=61, dim=2, seed=3, base=base, fraction=fraction)
    np.testing.assert_array_equal(noisy.x, clean.x)
    assert (noisy.labels != clean.labels).sum() == round(fraction * 61)
    known = {c: clean.targets[clean.labels == c][0] for c in range(len(clean.classes))}
    np.testing.assert_array_equal(noisy.targets, [known[c] for c in noisy.labels])
    other = kc.data.label_noise(clean, fraction, seed=4)
    assert (fraction == 0) == (other.labels == noisy.labels).all()


def test_flipped_labels_are_uniform():
    clean = kc.data.gaussian(6000, 1, n_classes=4, class_sizes=(3000, 1500, 1000, 500))
    noisy = kc.data.label_noise(clean, 0.5, seed=1)
    flipped = clean.labels != noisy.labels
    counts = np.zeros((4, 4))
    np.add.at(counts, (clean.labels[flipped], noisy.labels[flipped]), 1)
    for c in range(4):
        assert stats.chisquare(np.delete(counts[c], c)).pvalue > 1e-3
    assert stats.chisquare(counts.sum(axis=1), 0.5 * np.array(clean.class_sizes)).pvalue > 1e-3


def test_label_noise_is_made_as_documented():
    clean = kc.data.gaussian(10, 1, n_classes=3)
    noisy = kc.data.label_noise(clean, 0.4, seed=9)
    rng = np.random.default_rng([9, 1])
    labels = clean.labels.copy()
    flipped = rng.permutation(10)[:4]
    labels[flipped] = (labels[flipped] + rng.integers(1, 3, size=4)) % 3
    np.testing.assert_array_equal(noisy.labels, labels)


@pytest.mark.parametrize(
    "base",
    [
        {"law": "student-t", "n": 40, "dim": 3, "df": 2.5, "class_sizes": [10, 30]},
        {"law": "shipped", "name": "wine", "n": 40},
        {"n": 40, "dim": 13},
    ],
)
def test_label_noise_of_a_specification(base):
    trial = Trial(data={"law": "label-noise", "base": base, "fraction": 0.2}, measurement=NNGP, seed=2)
    again = Trial.model_validate_json(trial.model_dump_json())
    assert (again, again.key) == (trial, trial.key)
    law = trial.data
    clean, noisy = law.base.sample(2), law.sample(2)
    assert (noisy.labels != clean.labels).sum() == 8
    assert (law.n, law.dim, law.n_classes) == (*clean.x.shape, len(clean.class_sizes))
    assert law.class_sizes == law.base.class_sizes
    assert law.name == noisy.name == f"{law.base.name}, 20 % of labels flipped"
    expected = kc.nc1(kc.nngp(clean.x), noisy.labels).ratio
    assert trials.compute(trial)["nc1_paper"] == expected
    base_trial = Trial(data=law.base, measurement=NNGP, seed=2)
    assert trials.compute(base_trial)["nc1_paper"] < expected  # wrong labels spread the classes


def test_label_noise_keeps_every_class():
    clean = kc.data.gaussian(5, 1, class_sizes=(1, 4))
    lost = [seed for seed in range(30) if np.random.default_rng([seed, 1]).permutation(5)[0] == 0]
    assert lost
    for seed in range(30):
        if seed not in lost:
            assert min(kc.data.label_noise(clean, 0.2, seed=seed).class_sizes) >= 1
            continue
        message = "flipping 1 of 5 labels leaves class 0 without a sample, .*another seed"
        with pytest.raises(ValueError, match=message):
            kc.data.label_noise(clean, 0.2, seed=seed)


def test_label_noise_needs_a_target_a_class():
    with pytest.raises(ValueError, match="the targets differ within a class"):
        kc.data.label_noise(kc.data.from_arrays(np.eye(4), [0, 0, 1, 1], [1.0, 2.0, 3.0, 3.0]))
    one = kc.data.Dataset(np.eye(2), np.array([0, 0]), np.ones((2, 1)))
    with pytest.raises(ValueError, match="has one class only"):
        kc.data.label_noise(one)


# -- what is refused


BAD = [
    ("student-t", {"df": 0.0}, "df is 0.0, expected a finite number that is more than zero"),
    ("student-t", {"df": -3}, "df is -3"),
    ("student-t", {"df": float("inf")}, "df is inf"),
    ("student-t", {"df": 1e-9}, "df is 1e-09, at which samples lie beyond the range of float64"),
    ("student-t", {"scaled": "no"}, "scaled is 'no'"),
    ("gaussian", {"std": 0.0}, "std is 0.0"),
    ("gaussian", {"std": -1}, "std is -1"),
    ("gaussian", {"separation": -0.5}, "separation is -0.5, expected a finite number that is zero or more"),
    ("gaussian", {"n_classes": 1}, "n_classes is 1"),
    ("gaussian", {"n_classes": 2.5}, "n_classes is 2.5"),
    ("gaussian", {"n": 3, "n_classes": 4}, "n is 3 for 4 classes, expected at least one sample a class"),
    ("gaussian", {"class_sizes": (5, 6)}, "class_sizes .5, 6. add up to 11, expected n = 12"),
    ("gaussian", {"class_sizes": (4, 4, 4)}, "class_sizes has 3 entries, expected 2"),
    (
        "gaussian",
        {"class_sizes": (6, 6), "imbalance": 2.0},
        "class_sizes .6, 6. and imbalance 2.0 are both given",
    ),
    ("gaussian", {"imbalance": 0.5}, "imbalance is 0.5"),
    ("gaussian", {"imbalance": float("nan")}, "imbalance is nan"),
    (
        "gaussian",
        {"covariance": ((1.0, 2.0, 0), (2.0, 1.0, 0), (0, 0, 1.0))},
        "has the eigenvalue -1, expected all",
    ),
    ("gaussian", {"covariance": ((1.0, 2.0), (2.0, 1.0))}, "has shape .2, 2., expected a symmetric 3 x 3"),
    ("gaussian", {"covariance": (1.0, -1.0, 1.0)}, "the variance of class 0 is .*expected zero or more"),
    (
        "gaussian",
        {"covariance": ((1.0, 2.0), (3.0,))},
        "the variance of class 0 is ..1.0, 2.0., .3.0,.., expected",
    ),
    ("gaussian", {"class_sizes": 6}, "class_sizes is 6"),
    ("gaussian", {"covariance": (1.0, 1.0)}, "one for each of 3 coordinates"),
    ("gaussian", {"covariance": "ar(0.5)"}, "covariance is 'ar', .*did you mean 'ar1'"),
    (
        "gaussian",
        {"covariance": "ar1"},
        "covariance is 'ar1', expected ar1.number. with a number from -1 to 1",
    ),
    ("gaussian", {"covariance": "ar1(2)"}, "covariance is 'ar1.2.'"),
    ("gaussian", {"covariance": "ar1(x)"}, "covariance is 'ar1.x.'"),
    ("gaussian", {"covariance": "isotropic(1)"}, "expected 'isotropic' alone"),
    ("gaussian", {"covariance": "!"}, "covariance is '!', expected one of ar1.number"),
    (
        "gaussian",
        {"covariance": "equicorrelated(-0.9)"},
        "has the eigenvalue -0.8 in 3 dimensions, .*at least -0.5",
    ),
    (
        "gaussian_classes",
        {"class_covariances": (1.0, ((1, 0, 0), (0, 1, 0), (0, 0, -2)))},
        "class 1 has the eigen.* -2",
    ),
    ("gaussian_classes", {"class_sizes": (6, 6), "imbalance": 2}, "are both given"),
    ("ball", {"radius": 0.0}, "radius is 0.0"),
    ("shell", {"radius": -1.0}, "radius is -1.0"),
    ("shell", {"radius": 1.0, "thickness": 2.0}, "thickness is 2, expected at most the radius, 1"),
    ("shell", {"thickness": -0.1}, "thickness is -0.1"),
    ("spheres", {"radius": 0}, "radius is 0"),
    ("subspace", {"intrinsic_dim": 4}, "intrinsic_dim is 4 in 3 dimensions, expected at most as many"),
    ("subspace", {"intrinsic_dim": 0}, "intrinsic_dim is 0"),
    ("subspace", {"noise": -1.0}, "noise is -1.0"),
    ("shapes", {"dim": 63}, "dim is 63, expected a square, such as 64 for images of 8 x 8: take 49 or 64"),
    ("shapes", {"dim": 64, "n_classes": 13}, "n_classes is 13, expected .*12"),
    ("shapes", {"dim": 64, "cell": 1.7}, "cell is 1.7, expected at most 1.6 pixels in images of 8 x 8"),
    ("shapes", {"dim": 64, "blur": 9}, "blur is 9, expected at most 8 pixels"),
    ("shapes", {"dim": 64, "blur": -1}, "blur is -1"),
    ("shapes", {"dim": 64, "translation": 4.5}, "translation is 4.5, expected at most 4 pixels"),
    ("shapes", {"dim": 64, "noise": float("nan")}, "noise is nan"),
    ("xor", {"dim": 1}, "dim is 1, expected at least 2 for 'xor'"),
    ("checkerboard", {"dim": 1}, "dim is 1, expected at least 2 for 'checkerboard'"),
    ("checkerboard", {"cells": 1}, "cells is 1"),
    ("manifolds", {"dim": 2, "shape": "swiss-roll"}, "dim is 2, expected at least 3 for 'swiss-roll'"),
    ("manifolds", {"turns": 0}, "turns is 0"),
    ("manifolds", {"shape": "swissroll"}, "'swiss-roll'"),
    ("contaminated", {"fraction": 1.0}, "fraction is 1"),
    ("contaminated", {"fraction": -0.1}, "fraction is -0.1"),
    ("contaminated", {"factor": 0}, "factor is 0"),
    ("skewed", {"skewness": 0.0}, "skewness is 0.0, .*take the law 'gaussian'"),
    ("skewed", {"skewness": float("nan")}, "skewness is nan"),
    ("skewed", {"family": "beta"}, "'gamma'.* 'log-normal'|gamma, log-normal"),
    ("tree", {"depth": 0}, "depth is 0"),
    ("tree", {"depth": 10**9}, "depth is 1000000000"),
    ("tree", {"depth": 4}, "n is 12 for 16 classes"),
    ("tree", {"branching": 1}, "branching is 1"),
    ("tree", {"shrink": 1.5}, "shrink is 1.5"),
]


def one_sentence(message):
    assert "\n" not in message
    assert re.search(r"[.?]$", message)
    assert not re.search(r"\.\?|\?\.|\.\.$", message)
    assert "pydantic" not in message.lower()


@pytest.mark.parametrize(("law", "change", "message"), BAD)
def test_bad_laws_are_refused(law, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        kc.data.sample(law, **{"n": 12, "dim": 3} | change)
    assert type(caught.value) is kc.InputError
    one_sentence(str(caught.value))


@pytest.mark.parametrize(("law", "change", "message"), BAD)
@pytest.mark.parametrize("nested", [False, True])
def test_bad_specifications_of_laws_are_refused(law, change, message, nested):
    written = {"law": law, "n": 12, "dim": 3} | change
    if nested:
        written = {"law": "label-noise", "base": written}
    with pytest.raises(ValidationError) as caught:
        Trial.model_validate({"data": written, "measurement": NNGP.model_dump(), "seed": 0})
    described = trials.describe_errors(caught.value)
    one_sentence(described)
    (key, *_), where = (
        [k for k in change if k not in ("n", "dim")] or ["dim"],
        "data.base" if nested else "data",
    )
    assert re.search(rf"^{where}(\.{key}|: .*{message}|\.{message})", described), described


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"law": "student"}, "law is 'student', expected one of ball, .*did you mean 'student-t'"),
        ({"law": "zzz"}, "law is 'zzz', expected one of ball, .*: choose one of these.$"),
        ({"law": None}, "law is None"),
        (
            {"law": "xor", "stds": 1.0},
            "an option of 'xor' is 'stds', expected one of class_sizes, .*mean 'std'",
        ),
        (
            {"law": "xor", "n_classes": 3},
            "an option of 'xor' is 'n_classes', expected one of class_sizes, imbalance",
        ),
        ({"law": "label-noise", "fraction": 1}, "fraction is 1, expected 0 or more and less than 1"),
        ({"law": "label-noise", "fraction": -0.2}, "fraction is -0.2"),
        ({"law": "label-noise", "base": "label-noise"}, "base is 'label-noise', expected another law"),
        ({"law": "label-noise", "base": "xr"}, "law is 'xr', .*did you mean 'xor'"),
        ({"law": "label-noise", "base": "xor", "df": 3}, "an option of 'xor' is 'df'"),
        ({"law": "gaussian", "seed": -1}, "seed is -1"),
        ({"law": "gaussian", "seed": 0.5}, "seed is 0.5"),
        ({"law": "gaussian", "n": 0}, "n is 0"),
        ({"law": "gaussian", "dim": 0}, "dim is 0"),
    ],
)
def test_bad_samples_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        kc.data.sample(**{"n": 12, "dim": 3} | arguments)
    one_sentence(str(caught.value))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fraction": 1.0}, "^data.fraction is 1.0"),
        ({"fraction": -0.1}, "^data.fraction is -0.1"),
        (
            {"base": {"law": "label-noise", "base": {"n": 9, "dim": 1}}},
            "^data.base is 'label-noise', expected another",
        ),
        ({"base": {"law": "xr", "n": 9, "dim": 2}}, "^data.base.law is 'xr', .*did you mean 'xor'"),
        (
            {"base": {"law": "xor", "n": 9, "dim": 2, "df": 1}},
            "^data.base.df is not a key of this specification",
        ),
        ({"base": {"law": "skewed", "n": 9, "dim": 2, "skewness": "much"}}, "^data.base.skewness is 'much'"),
        ({"n": 9}, "^data.n is not a key of this specification"),
        ({"base": 3}, "^data.base is 3"),
    ],
)
def test_bad_label_noise_is_refused(change, message):
    written = {"law": "label-noise", "base": {"n": 9, "dim": 2}} | change
    with pytest.raises(ValidationError) as caught:
        Trial.model_validate({"data": written, "measurement": json.loads(NNGP.model_dump_json()), "seed": 0})
    described = trials.describe_errors(caught.value)
    one_sentence(described)
    assert re.search(message, described), described


def test_errors_of_a_specification_alone():
    with pytest.raises(ValidationError) as caught:
        laws.XOR(n=9, dim=1)
    assert trials.describe_errors(caught.value) == "dim is 1, expected at least 2 for 'xor': raise dim."
    with pytest.raises(ValidationError) as caught:
        laws.Ball(n=9, dim=1, radius=0)
    assert trials.describe_errors(caught.value) == "radius is 0, expected more than 0."
