import numpy as np
import pandas as pd
import pytest

import kernel_collapse as kc
from kernel_collapse.data import D1_MEANS, D2_MEANS, SHIPPED


def test_d1_is_seeded_as_documented():
    data = kc.data.gaussian_classes(n=7, dim=3, class_sizes=(3, 4), seed=5)
    rng = np.random.default_rng(5)
    expected = np.vstack([-2.0 + 0.5 * rng.normal(size=(3, 3)), 2.0 + 0.5 * rng.normal(size=(4, 3))])
    np.testing.assert_array_equal(data.x, expected)
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert data.targets.ravel().tolist() == [-1, -1, -1, 1, 1, 1, 1]
    assert data.name == "D1"


def test_d2_has_four_classes_and_its_targets():
    data = kc.data.gaussian_classes(n=8, dim=2, class_means=D2_MEANS, seed=1)
    rng = np.random.default_rng(1)
    expected = np.vstack([mean + 0.5 * rng.normal(size=(2, 2)) for mean in (-6.0, -2.0, 2.0, 6.0)])
    np.testing.assert_array_equal(data.x, expected)
    assert data.targets.ravel().tolist() == [-3, -3, -1, -1, 1, 1, 3, 3]
    assert data.name == "D2"


def test_general_means_and_covariances():
    full = np.array([[2.0, 0.6], [0.6, 0.5]])
    data = kc.data.gaussian_classes(
        n=60_000,
        dim=2,
        class_means=([0.0, 1.0], 5.0, (-3.0, 2.0)),
        class_covariances=(full, 4.0, (1.0, 9.0)),
        seed=3,
    )
    assert data.class_sizes == (20_000,) * 3
    np.testing.assert_array_equal(data.targets[[0, 20_000, 40_000]], np.eye(3))
    expected = [([0, 1], full), ([5, 5], 4 * np.eye(2)), ([-3, 2], np.diag([1.0, 9.0]))]
    for c, (mean, covariance) in enumerate(expected):
        x = data.x[data.labels == c]
        error = np.sqrt(np.diag(covariance) / len(x))
        assert (np.abs(x.mean(axis=0) - mean) < 4 * error).all()
        # Var of a sample covariance of Gaussians: (S_ij^2 + S_ii S_jj) / n
        error = np.sqrt((covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))) / len(x))
        assert (np.abs(np.cov(x.T) - covariance) < 4 * error).all()
    rng = np.random.default_rng(3)
    first = np.array([0.0, 1.0]) + rng.normal(size=(20_000, 2)) @ np.linalg.cholesky(full).T
    np.testing.assert_array_equal(data.x[:20_000], first)


def test_standard_deviations_by_class_and_coordinate():
    data = kc.data.gaussian_classes(n=4, dim=2, class_stds=(0.1, (1.0, 2.0)), class_targets=[[1, 0], [0, 2]])
    rng = np.random.default_rng(0)
    expected = [-2.0 + 0.1 * rng.normal(size=(2, 2)), 2.0 + np.array([1.0, 2.0]) * rng.normal(size=(2, 2))]
    np.testing.assert_array_equal(data.x, np.vstack(expected))
    assert data.name == "gaussian_classes"
    assert data.targets.tolist() == [[1, 0], [1, 0], [0, 2], [0, 2]]


def test_odd_sizes_and_one_sample_a_class():
    assert kc.data.gaussian_classes(n=7, class_means=(0, 1, 2)).class_sizes == (3, 2, 2)
    assert kc.data.gaussian_classes(n=2).class_sizes == (1, 1)
    assert "2 samples, 1 features, classes of 1, 1" in repr(kc.data.gaussian_classes(n=2))


def test_labels_of_any_kind_in_any_order():
    data = kc.data.from_arrays(np.eye(4), ["b", "a", "c", "a"])
    assert data.labels.tolist() == [1, 0, 2, 0]
    assert data.classes == ("a", "b", "c")
    np.testing.assert_array_equal(data.targets, np.eye(3)[[1, 0, 2, 0]])
    mixed = kc.data.from_arrays(np.eye(3), [("x", 1), "y", ("x", 1)])
    assert mixed.classes == (("x", 1), "y")  # not sortable: in order of appearance
    assert kc.data.from_arrays(np.eye(2), np.array([True, False])).classes == (False, True)
    assert kc.data.from_arrays(np.eye(2), pd.Series([7, -7])).labels.tolist() == [1, 0]
    given = kc.data.from_arrays(np.eye(2), [0, 1], targets=[0.5, 1.5])
    assert given.targets.tolist() == [[0.5], [1.5]]


@pytest.fixture
def table():
    return pd.DataFrame({"a": [1.0, 2.0, 4.0], "kind": ["u", "v", "u"], "b": [True, False, True]})


def test_tables_and_arrays_from_files(tmp_path, table):
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        data = kc.data.load(tmp_path / name, label="kind")
        assert data.x.tolist() == [[1, 1], [2, 0], [4, 1]]
        assert (data.classes, data.labels.tolist(), data.name) == (("u", "v"), [0, 1, 0], "t")
        assert data.features == ("a", "b")
    np.savez(tmp_path / "t.npz", x=np.eye(3), labels=np.array(["u", "v", "u"]), targets=[[1.0], [2.0], [1.0]])
    data = kc.data.load(tmp_path / "t.npz")
    assert (data.classes, data.targets.ravel().tolist()) == (("u", "v"), [1, 2, 1])
    np.save(tmp_path / "x.npy", np.eye(3))
    np.save(tmp_path / "c.npy", [2, 1, 2])
    assert kc.data.load(tmp_path / "x.npy", label=str(tmp_path / "c.npy")).classes == (1, 2)
    table.rename(columns={"kind": "label"}).to_csv(tmp_path / "l.csv", index=False)
    assert kc.data.load(tmp_path / "l.csv").classes == ("u", "v")


@pytest.mark.parametrize(
    ("name", "content", "label", "message"),
    [
        ("gone.csv", None, "k", "gone.csv' does not exist"),
        ("t.xlsx", "a", "k", r"the ending of 't.xlsx' is '.xlsx', expected one of .csv"),
        ("empty.csv", "", "k", "empty.csv is empty"),
        ("header.csv", "a,k\n", "k", "header.csv has 0 rows"),
        (
            "t.csv",
            "a,k\n1,u\n2,v\n",
            "kind",
            "label is 'kind', which is not a column of t.csv.*choose from 'a', 'k'",
        ),
        ("t.csv", "a,k\n1,u\n2,v\n", None, "label is 'label', which is not a column of t.csv"),
        ("t.csv", "a,s,k\n1,x,u\n2,y,v\n", "k", r"columns that are not numeric \('s'\)"),
        (
            "t.csv",
            "a,b,k\n1,2,u\n2,,v\n",
            "k",
            r"x holds '', an empty field, in line 3 \(row 1, counted from 0\), column 'b' of t.csv",
        ),
        (
            "t.csv",
            "a,b,k\n1,2,u\n2,inf,v\n",
            "k",
            r"x holds 'inf' in line 3 \(row 1, counted from 0\), column 'b' of t.csv",
        ),
        (
            "t.csv",
            "a,k\n1,u\n2,\n",
            "k",
            r"the label in line 3 \(row 1, counted from 0\) of t.csv is missing",
        ),
        ("t.csv", "a,k\n1,u\n2,u\n", "k", "all 2 labels are 'u', expected at least two classes"),
        ("t.csv", ",a,k\n0,1,u\n1,2,v\n", "k", r"column 0 \(counted from 0\) of t.csv has no name"),
        ("t.csv", 'a,k\n1,u\n2,"v\n', "k", "t.csv cannot be read as CSV"),
        ("t.csv", b"\xff\xfe\x00\x01", "k", "t.csv cannot be read as CSV"),
        (
            "t.csv",
            "k\nu\nv\n",
            "k",
            "t.csv has one column, 'k', expected the classes and features beside them",
        ),
        ("t.parquet", "nonsense", "k", "t.parquet cannot be read as PARQUET"),
        ("t.npz", "nonsense", None, "t.npz cannot be read"),
        ("t.npy", "nonsense", None, "t.npy holds no labels"),
    ],
)
def test_bad_files_are_refused(tmp_path, name, content, label, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        kc.data.load(path, label=label)


def test_bad_archives_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", pixels=np.eye(2), labels=[0, 1])
    with pytest.raises(
        ValueError, match=r"a.npz has no features under a name that is known.*'pixels', 'labels'"
    ):
        kc.data.load(tmp_path / "a.npz")
    np.save(tmp_path / "x.npy", np.eye(2))
    with pytest.raises(ValueError, match="'nowhere.npy' does not exist"):
        kc.data.load(tmp_path / "x.npy", label="nowhere.npy")
    np.savez(tmp_path / "o.npz", x=np.array([{}], dtype=object), labels=[0])
    with pytest.raises(ValueError, match="o.npz cannot be read"):
        kc.data.load(tmp_path / "o.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_sizes": (2, 3)}, r"class_sizes \(2, 3\) add up to 5, expected n = 6"),
        ({"class_sizes": (6, 0)}, "leaves class 1 without a sample"),
        ({"class_sizes": (3, 2, 1)}, "class_sizes has 3 entries, expected 2"),
        ({"class_sizes": (2.5, 3.5)}, "a class size is 2.5, expected a whole number"),
        ({"class_sizes": (-1, 7)}, "a class size is -1"),
        ({"n": 1}, "n is 1 for 2 classes, expected at least one sample a class"),
        ({"n": 0}, "n is 0, expected a whole number that is at least 1"),
        ({"dim": 0}, "dim is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"class_stds": (0.5, 0.0)}, "the standard deviation of class 1 is 0.0, expected more than zero"),
        ({"class_stds": -0.5}, "the standard deviation of class 0 is -0.5"),
        ({"class_stds": (0.5,)}, "class_stds has 1 entries, expected 2"),
        ({"class_covariances": (1.0, (1.0, -1.0))}, "the variance of class 1"),
        (
            {"class_covariances": (np.eye(2), [[1.0, 2.0], [2.0, 1.0]])},
            "has the eigenvalue -1, expected all to be",
        ),
        ({"class_covariances": (np.eye(3), np.eye(3))}, r"has shape \(3, 3\), expected a symmetric 2 x 2"),
        ({"class_covariances": (np.eye(2), [[1.0, 0.5], [0.4, 1.0]])}, "expected a symmetric"),
        ({"class_means": (1.0,)}, "expected the means of at least two classes"),
        ({"class_means": 3.0}, "expected the means of at least two classes"),
        ({"class_means": ((0, 0, 0), 1.0)}, "the mean of class 0 is .*one for each of 2 coordinates"),
        ({"class_means": (float("nan"), 1.0)}, "the mean of class 0 is nan"),
        ({"class_targets": (1, 2, 3)}, "class_targets has 3 rows, expected 2"),
    ],
)
def test_bad_mixtures_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kc.data.gaussian_classes(**({"n": 6, "dim": 2} | arguments))


@pytest.mark.parametrize(
    ("x", "labels", "targets", "message"),
    [
        (np.eye(3), [0, 1], None, "x has 3 rows and there are 2 labels"),
        (np.eye(2), [0, 1], [1.0], "x has 2 rows and targets 1"),
        (np.eye(2), [0, 1], [1.0, np.nan], "targets holds nan in row 1"),
        (np.eye(2), [0, None], None, "the label of row 1 is missing"),
        (np.eye(2), [0, float("nan")], None, "the label of row 1 is missing"),
        (np.eye(2), [[0], [1]], None, "labels are nested"),
        (np.eye(2), [{}, {}], None, "labels cannot be hashed"),
        (np.eye(2), [], None, "labels are empty"),
        (np.eye(2), ["a", "a"], None, "all 2 labels are 'a'"),
    ],
)
def test_bad_arrays_are_refused(x, labels, targets, message):
    with pytest.raises(ValueError, match=message):
        kc.data.from_arrays(x, labels, targets)


def test_the_papers_means():
    assert D1_MEANS == (-2.0, 2.0)
    assert D2_MEANS == (-6.0, -2.0, 2.0, 6.0)


# -- tables that come with scikit-learn, and parts of a table


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("digits", tuple(range(10))),
        ("wine", ("class_0", "class_1", "class_2")),
        ("breast-cancer", ("benign", "malignant")),
    ],
)
def test_shipped_tables(name, classes):
    data = kc.data.shipped(name)
    assert (*data.x.shape, len(data.classes)) == SHIPPED[name]
    assert data.name == name
    assert data.classes == classes
    assert len(set(data.features)) == data.x.shape[1]
    assert {type(feature) for feature in data.features} == {str}


def test_shipped_labels_are_those_of_the_table():
    from sklearn.datasets import load_breast_cancer

    table, data = load_breast_cancer(), kc.data.shipped("breast-cancer")
    np.testing.assert_array_equal(data.x, table.data)
    assert [data.classes[c] for c in data.labels] == table.target_names[table.target].tolist()


def test_shipped_shapes():
    assert SHIPPED == {"digits": (1797, 64, 10), "wine": (178, 13, 3), "breast-cancer": (569, 30, 2)}


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="name is 'digit', expected one of .*did you mean 'digits'"):
        kc.data.shipped("digit")


def test_standardized_features():
    digits = kc.data.shipped("digits")
    x = kc.data.standardize(digits).x
    constant = np.ptp(digits.x, axis=0) == 0
    assert constant.any()
    assert (x[:, constant] == 0).all()
    round_off = len(x) * np.finfo(float).eps
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=round_off)
    np.testing.assert_allclose(x[:, ~constant].std(axis=0), 1, rtol=round_off)


def test_what_is_resolved_is_standardized(rng):
    """Neither the origin nor the unit of a feature matters to it, as far as float64 resolves the samples."""
    labels = np.arange(200) % 2
    signal = 2.0 * labels + 0.1 * rng.normal(size=200)
    plain = kc.data.from_arrays(signal[:, None], labels)
    expected = kc.data.standardize(plain).x[:, 0]
    cases = {  # origin and unit, and how far the samples are from those of the plain column
        (0.0, 2.0**-560): 0.0,
        (0.0, 2.0**400): 0.0,
        (0.0, 1e-170): 1e-12,
        (0.0, 1e-300): 1e-12,
        (0.0, 1e150): 1e-12,
        (1.7e9, 1e-3): 1e-3,
        (-1.7e9, 1e-3): 1e-3,
        (1e-200, 1e-206): 1e-9,
        (1e12, 1e-1): 1e-2,
    }
    columns = [origin + unit * signal for origin, unit in cases]
    constant = [np.full(200, 0.1), np.full(200, 1e150), np.zeros(200), np.full(200, -1e-200)]
    constant += [np.where(labels, 0.1 + 0.2, 0.3), np.where(labels, 1.0, np.nextafter(1.0, 2.0)) * 1e-100]
    data = kc.data.from_arrays(np.array([*columns, *constant]).T, labels)
    found = kc.data.standardize(data)
    for column, ((origin, unit), off) in zip(found.x.T, cases.items(), strict=False):
        np.testing.assert_allclose(column, expected, rtol=0, atol=off, err_msg=f"{origin} {unit}")
        assert abs(column.mean()) < 1e-9
        assert column.std() == pytest.approx(1.0, rel=1e-9)
        one = kc.nc1_from_features(column[:, None], labels).ratio
        assert one == pytest.approx(kc.nc1_from_features(plain.x, labels).ratio, rel=1e-2)
    assert not found.x[:, len(cases) :].any()
    np.testing.assert_array_equal(
        kc.data.standardize(kc.data.from_arrays(data.x[:9], labels[:9]), like=data).x, found.x[:9]
    )


def numbered(*sizes, seed=0):
    """Classes of these sizes in a random order; the one feature and the target are the number of the row."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = np.arange(len(labels), dtype=float)
    return kc.data.from_arrays(rows[:, None], labels, rows)


@pytest.mark.parametrize("sizes", [(50, 50), (90, 30, 10), (200, 1, 2, 1), (7, 8, 9)])
@pytest.mark.parametrize("holdout", [0.1, 0.25, 0.5])
def test_a_split_is_complete_disjoint_and_stratified(sizes, holdout):
    data = numbered(*sizes)
    train, test = kc.data.split(data, holdout, seed=3)
    rows = [part.x[:, 0].astype(int) for part in (train, test)]
    assert len(rows[1]) == round(holdout * sum(sizes))
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(sum(sizes)))
    for part, index in zip((train, test), rows, strict=True):
        assert (np.diff(index) > 0).all()
        np.testing.assert_array_equal(part.labels, data.labels[index])
        np.testing.assert_array_equal(part.targets[:, 0], index)
        assert part.classes == data.classes
    assert len(train.class_sizes) == len(sizes)
    # One sample a class is set apart before the rest is shared out and rounded.
    share = (1 - holdout) * np.array(sizes)
    assert (np.abs(np.array(train.class_sizes) - share) < 2).all()
    assert min(train.class_sizes) >= 1


def test_a_split_is_seeded_as_documented():
    data = numbered(6, 4)
    train, test = kc.data.split(data, 0.5, seed=8)
    assert train.class_sizes == (3, 2)
    rng = np.random.default_rng(8)
    expected = [rng.permutation(np.flatnonzero(data.labels == c))[:kept] for c, kept in ((0, 3), (1, 2))]
    np.testing.assert_array_equal(train.x[:, 0], np.sort(np.concatenate(expected)))
    again = kc.data.split(data, 0.5, seed=8)
    np.testing.assert_array_equal(again[1].x, test.x)
    assert (kc.data.split(data, 0.5, seed=9)[0].x != train.x).any()


def test_every_sample_is_held_out_alike():
    data = numbered(30, 20)
    held = np.zeros(50)
    repeats = 400
    for seed in range(repeats):
        held[kc.data.split(data, 0.3, seed=seed)[1].x[:, 0].astype(int)] += 1
    error = np.sqrt(repeats * 0.3 * 0.7)
    assert (np.abs(held - 0.3 * repeats) < 4 * error).all()


def test_a_subset_is_the_training_part_of_a_split():
    data = numbered(50, 30, 5)
    np.testing.assert_array_equal(kc.data.subset(data, 68, seed=2).x, kc.data.split(data, 0.2, seed=2)[0].x)
    assert kc.data.subset(data, 3).class_sizes == (1, 1, 1)
    np.testing.assert_array_equal(kc.data.subset(data, 85, seed=1).x, data.x)


@pytest.mark.parametrize(
    ("holdout", "message"),
    [
        (0, "holdout is 0, expected a finite number that is more than zero"),
        (-0.2, "holdout is -0.2"),
        (float("nan"), "holdout is nan"),
        ("0.2", "holdout is '0.2'"),
        (True, "holdout is True"),
        (1, "holdout is 1, expected a fraction of the samples, more than 0 and less than 1: try 0.2"),
        (20, "holdout is 20"),
        (0.01, "a test set of 0 of 10 samples, expected 1 to 7"),
        (0.8, "a test set of 8 of 10 samples, expected 1 to 7: .*one of each of 3 classes to train with"),
    ],
)
def test_bad_holdouts_are_refused(holdout, message):
    with pytest.raises(ValueError, match=message):
        kc.data.split(numbered(5, 3, 2), holdout)


@pytest.mark.parametrize("n", [2, 11])
def test_bad_subsets_are_refused(n):
    with pytest.raises(ValueError, match=f"n is {n}, expected 3 to 10"):
        kc.data.subset(numbered(5, 3, 2), n)


def test_no_share_can_be_held_out_of_as_many_samples_as_classes():
    two = kc.data.from_arrays(np.eye(2), [0, 1])
    with pytest.raises(
        kc.InputError, match="a test set of 1 of 2 samples, expected more samples than the 2 classes"
    ):
        kc.data.split(two, 0.5)
