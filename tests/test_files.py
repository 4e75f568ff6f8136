"""What a file means: names, labels as they are written, numbers, arrays; and what is said of one that means nothing."""

import csv
import gzip
import io
import itertools
import os
import sys
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_collapse as kc
from conftest import refuse
from kernel_collapse import _memory, cli, measure
from kernel_collapse.cli._steps import Steps
from kernel_collapse.data._labels import alike
from kernel_collapse.runs import laws, sweep_file

RNG = np.random.default_rng(14)
#: Two classes of six, with a column that is wide, so that a wrong order of columns shows.
X = RNG.normal(size=(12, 3)) * [1.0, 10.0, 100.0] + 5.0
Y = np.arange(12) % 2
X[Y == 1] += [3.0, 30.0, 300.0]
X_TEST = RNG.normal(size=(6, 3)) * [1.0, 10.0, 100.0] + 5.0
Y_TEST = np.arange(6) % 2
X_TEST[Y_TEST == 1] += [3.0, 30.0, 300.0]
NAMES = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(name, x, labels, names=NAMES, order=None):
    """Write a table with its columns in an order, of which "y" is that of labels."""
    table = pd.DataFrame(x, columns=names).assign(y=labels)[order or [*names, "y"]]
    table.to_parquet(name) if name.endswith(".parquet") else table.to_csv(name, index=False)
    return name


def text(name, content):
    with open(name, "w", encoding="utf-8", newline="") as file:
        file.write(content)
    return name


def run(monkeypatch, capsys, *arguments):
    """Run the program in this process; give what it printed, without line breaks."""
    monkeypatch.setattr(sys, "argv", ["kernel-collapse", *arguments])
    monkeypatch.setenv("COLUMNS", "250")
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    captured = capsys.readouterr()
    assert stopped.value.code == 0, captured.err
    return " ".join(captured.out.split())


def held_out_nc1(x, labels, x_test, test_labels):
    """NC1 of held-out samples by its definition, for classes of one size: spread about the training means."""
    means = np.array([x[labels == c].mean(axis=0) for c in (0, 1)])
    within = np.mean([((x_test[test_labels == c] - means[c]) ** 2).sum(axis=1).mean() for c in (0, 1)])
    return within / ((means - means.mean(axis=0)) ** 2).sum(axis=1).mean()


# -- columns are known by their names


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("order", list(itertools.permutations([*NAMES, "y"]))[::5])
def test_held_out_columns_are_matched_by_name(ending, order, monkeypatch, capsys):
    train, test = written("tr.csv", X, Y), written(f"te.{ending}", X_TEST, Y_TEST, order=list(order))
    right = held_out_nc1(X, Y, X_TEST, Y_TEST)
    wrong = held_out_nc1(X, Y, X_TEST[:, [1, 2, 0]], Y_TEST)
    assert abs(wrong / right - 1) > 1  # the example can tell
    data = kc.data.load(train, label="y")
    loaded = kc.data.load(test, label="y", like=data)
    apart = kc.data.load(test, label="y")
    np.testing.assert_allclose(loaded.x, X_TEST, rtol=1e-15)
    assert loaded.features == data.features
    for other in (loaded, apart):
        table = measure.measure(data, measure.specify(["nngp"], ["erf"]), test=other).set_index(
            ["kernel", "samples"]
        )
        np.testing.assert_allclose(table.loc[("data", "held-out"), "NC1"], right, rtol=1e-12)
        scaled = kc.data.standardize(other, like=data)
        np.testing.assert_allclose(scaled.x, (X_TEST - X.mean(axis=0)) / X.std(axis=0), rtol=1e-11)
    said = run(monkeypatch, capsys, "measure", train, "--label", "y", "--test", test, "--activation", "erf")
    assert f"data │ held-out │ {right:.4g} │" in said
    assert ("matched by name" in said) == ([name for name in order if name != "y"] != NAMES)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a", "b", "d"], r"te lacks 'c' and has 'd', expected the 3 features of tr"),
        (["a", "B", "c"], r"'b' and 'B' differ in white space, case or notation alone"),
    ],
)
def test_other_names_are_refused(names, said, monkeypatch, capsys):
    train = kc.data.load(written("tr.csv", X, Y), label="y")
    written("te.csv", X_TEST, Y_TEST, names)
    test = kc.data.load("te.csv", label="y")
    for call in (
        lambda: kc.data.load("te.csv", label="y", like=train),
        lambda: kc.data.standardize(test, like=train),
        lambda: measure.measure(train, measure.specify(["nngp"], ["erf"]), test=test),
    ):
        with pytest.raises(ValueError, match=said):
            call()


def test_missing_and_new_columns_are_named():
    train = kc.data.load(written("tr.csv", X, Y), label="y")
    written("few.csv", X_TEST[:, :2], Y_TEST, ["a", "b"])
    written("many.csv", np.c_[X_TEST, Y_TEST], Y_TEST, ["a", "id", "b", "c"])
    with pytest.raises(ValueError, match=r"few lacks 'c', expected the 3 features of tr"):
        kc.data.load("few.csv", label="y", like=train)
    with pytest.raises(ValueError, match=r"many has 'id' beside them, expected the 3 features"):
        kc.data.load("many.csv", label="y", like=train)


def test_without_names_position_is_taken_and_noted():
    named = kc.data.load(written("tr.csv", X, Y), label="y")
    nameless = kc.data.from_arrays(X_TEST, Y_TEST, name="te")
    for first, second in ((named, nameless), (nameless, named)):
        aligned = kc.data.standardize(second, like=first)
        assert ["have no names" in note for note in aligned.notes] == [True]
        assert any("have no names" in remark for remark in measure.remarks(first, second))
        with pytest.raises(ValueError, match=r"has 2 features and .* has 3, expected the same features"):
            kc.data.standardize(kc.data.from_arrays(X_TEST[:, :2], Y_TEST), like=first)
    assert kc.data.standardize(nameless, like=nameless).notes == ()


def test_names_go_with_the_data():
    frame = pd.DataFrame(X, columns=NAMES)
    data = kc.data.from_arrays(frame, Y)
    assert data.features == ("a", "b", "c")
    assert kc.data.from_arrays(X, Y, features=NAMES).features == data.features
    assert kc.data.from_arrays(pd.DataFrame(X), Y).features == ()  # numbers that pandas made up
    parts = [kc.data.subset(data, 6), *kc.data.split(data, 0.5), kc.data.label_noise(data, 0.2)]
    for part in [*parts, kc.data.standardize(data, like=data)]:
        assert part.features == data.features
    swapped = kc.data.from_arrays(frame[["c", "a", "b"]], Y)
    np.testing.assert_array_equal(kc.data.standardize(swapped, like=data).x, kc.data.standardize(data).x)
    with pytest.raises(ValueError, match="several columns 'a'"):
        kc.data.from_arrays(X, Y, features=["a", "a", "b"])
    with pytest.raises(ValueError, match="features has 2 names and x 3 columns"):
        kc.data.from_arrays(X, Y, features=["a", "b"])


def test_dataframes_of_held_out_samples_are_matched_by_name():
    train, test = pd.DataFrame(X, columns=NAMES), pd.DataFrame(X_TEST, columns=NAMES)
    turned = test[["c", "a", "b"]]
    np.testing.assert_array_equal(kc.nngp(train, turned), kc.nngp(X, X_TEST))
    right = kc.held_out_collapse_from_features(X, Y, X_TEST, Y_TEST).nc1
    assert kc.held_out_collapse_from_features(train, Y, turned, Y_TEST).nc1 == right
    np.testing.assert_allclose(right, held_out_nc1(X, Y, X_TEST, Y_TEST), rtol=1e-12)
    with pytest.raises(ValueError, match="x_other lacks 'c' and has 'd' beside them"):
        kc.ntk(train, test.rename(columns={"c": "d"}))
    with pytest.raises(ValueError, match="test_features lacks 'c'"):
        kc.held_out_collapse_from_features(train, Y, test[["a", "b"]], Y_TEST)


# -- the first line


def test_a_file_without_header(monkeypatch, capsys):
    """The layout of UCI's wine: the class first, no names. No sample is eaten."""
    lines = "".join(
        ",".join([str(y + 1), *map(repr, row)]) + "\n" for y, row in zip(Y, X.tolist(), strict=True)
    )
    text("wine.csv", lines)
    assert "the first line of wine.csv (1," in refuse(
        monkeypatch, capsys, "measure", "wine.csv", "--label", "0"
    )
    data = kc.data.load("wine.csv", label="0", header=False)
    np.testing.assert_array_equal(data.x, X)
    assert (data.classes, data.features) == ((1, 2), ())
    ratio = kc.nc1_from_features(X, Y).ratio
    said = run(
        monkeypatch, capsys, "measure", "wine.csv", "--label", "0", "--no-header", "--activation", "erf"
    )
    assert "wine: 12 samples, 3 features, 2 classes (1: 6, 2: 6)" in said
    assert f"data │ {ratio:.4g} │" in said
    np.testing.assert_array_equal(kc.data.load("wine.csv", label=0, header=False).x, X)
    law = laws.FileData(path="wine.csv", label=0, header=False, standardized=False)
    assert (law.n, law.dim, law.name) == (12, 3, "wine.csv(label=0, header=no, standardized=no)")
    np.testing.assert_array_equal(law.sample(0).x, X)


@pytest.mark.parametrize(
    ("content", "label", "features"),
    [
        ("a,b,k\n1,2,u\n3,4,v\n", "k", ("a", "b")),
        ("0,1,label\n1,2,u\n3,4,v\n", None, ("0", "1")),  # pandas, of an array without names
        ("1,2,label\n1,2,u\n3,4,v\n", None, ("1", "2")),
        ("\ufeffa,b,k\n1,2,u\n3,4,v\n", "k", ("a", "b")),
        ("a, b , k\n1,2,u\n3,4,v\n", "k", ("a", "b")),
        ('"a","b,c","k"\r\n1,2,u\r\n3,4,v\r\n', "k", ("a", "b,c")),
        ("a;b;k\n1;2;u\n3;4;v\n", "k", ("a", "b")),
        ("a\tb\tk\n1\t2\tu\n3\t4\tv\n", "k", ("a", "b")),
        ("a|b|k\n1|2|u\n3|4|v\n", "k", ("a", "b")),
        ("a, cm;b;k\n1;2;u\n3;4;v\n", "k", ("a, cm", "b")),
        ("<a>,<b>,k\n1,2,u\n3,4,v\n", "k", ("<a>", "<b>")),
        ("PAR1,PAR2,k\n1,2,u\n3,4,v\n", "k", ("PAR1", "PAR2")),
        ("sep=;\na;b;k\n1;2;u\n3;4;v\n", "k", ("a", "b")),
        ("a,b,k\n1,2,u\n\n3,4,v\n  \n", "k", ("a", "b")),
        ("a,b,k,\n1,2,u,\n3,4,v,\n", "k", ("a", "b")),
        ("a,b,k,\n1,2,u\n3,4,v\n", "k", ("a", "b")),
        ("k,a,b\ru,1,2\rv,3,4\r", "k", ("a", "b")),
    ],
)
def test_headers_and_separators(content, label, features):
    data = kc.data.load(text("t.csv", content), label=label)
    assert (data.features, data.classes, data.x.tolist()) == (features, ("u", "v"), [[1, 2], [3, 4]])


def test_a_first_line_is_what_it_is_said_to_be():
    text("t.csv", "0,1,2\n1,2,5\n3,4,6\n")
    with pytest.raises(ValueError, match="looks like a sample"):
        kc.data.load("t.csv", label="2")
    assert kc.data.load("t.csv", label="2", header=True).x.tolist() == [[1, 2], [3, 4]]
    assert kc.data.load("t.csv", label="2", header=False).x.tolist() == [[0, 1], [1, 2], [3, 4]]


# -- what cells mean


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["None", "NA", "null"], ("NA", "None", "null")),
        (["nan", "N/A", "inf"], ("N/A", "inf", "nan")),
        (["True", "False", "True"], ("False", "True")),
        (["007", "7", "8"], ("007", "7", "8")),
        (["10", "9", "-1"], (-1, 9, 10)),
        (["1", "1.0", "2"], ("1", "1.0", "2")),
        (["+1", "-1", "+1"], ("+1", "-1")),
        (["-0", "0", "1"], ("-0", "0", "1")),
        (["1e3", "1000", "1"], ("1", "1000", "1e3")),
        (["0.5", "1.5", "0.5"], ("0.5", "1.5")),
        (["u", "u ", "U"], ("U", "u", "u ")),
        (["2020-01-01", "2021-01-01", "2020-01-01"], ("2020-01-01", "2021-01-01")),
        ([str(2**63), str(2**63 + 1), "0"], (0, 2**63, 2**63 + 1)),
        (
            ["12345678901234567890", "12345678901234567891", "1"],
            (1, 12345678901234567890, 12345678901234567891),
        ),
        (["#1", "=1+1", "b"], ("#1", "=1+1", "b")),
    ],
)
def test_labels_are_text_as_written_or_plain_integers(labels, classes, monkeypatch, capsys):
    rows = [labels[i % 3] for i in range(6)]
    text("t.csv", "a,k\n" + "".join(f"{i},{label}\n" for i, label in enumerate(rows)))
    data = kc.data.load("t.csv", label="k")
    assert data.classes == classes
    assert list(map(type, data.classes)) == list(map(type, classes))
    assert [str(data.classes[code]) for code in data.labels] == rows
    assert f"{len(classes)} classes" in run(
        monkeypatch, capsys, "measure", "t.csv", "--label", "k", "--activation", "erf"
    )
    # The same labels are found again in held-out samples, whatever those alone would look like.
    for kept in {*rows}:
        text("te.csv", f"k,a\n{kept},1\n{kept},2\n")
        test = kc.data.load("te.csv", label="k", like=data)
        assert {str(data.classes[code]) for code in test.labels} == {kept}


@settings(max_examples=60)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).filter(str.strip),
        min_size=2,
        max_size=6,
        unique=True,
    ),
    st.sampled_from(",;\t|"),
)
def test_any_text_is_a_class_of_its_own(tmp_path_factory, labels, separator):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator)
    writer.writerow(["k", "a", "b"])
    writer.writerows([label, i, -i] for i, label in enumerate(labels * 2))
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(file.getvalue(), encoding="utf-8", newline="")
    data = kc.data.load(path, label="k", header=True)
    assert [str(data.classes[code]) for code in data.labels] == labels * 2


def test_classes_that_may_be_one_are_named():
    data = kc.data.load(text("t.csv", "a,k\n1,u\n2,u \n3,U\n4,v\n5,007\n6,7\n7,1\n8,1.0\n"), label="k")
    said = " ".join(measure.remarks(data))
    for group in ("'U' and 'u' and 'u '", "'007' and '7'", "'1' and '1.0'"):
        assert f"The classes {group} differ in white space, case or notation alone" in said
    assert "'v'" not in said
    assert alike([12345678901234567890, 12345678901234567891]) == []


def test_a_label_column_that_is_no_class_is_noted():
    labels = [f"id{i % 716}" for i in range(900)]
    data = kc.data.from_arrays(RNG.normal(size=(900, 2)), labels)
    assert any(
        "532 of 716 classes have one sample alone, of 900 samples" in remark
        and "Is the label column a class?" in remark
        for remark in measure.remarks(data)
    )
    assert not any("Is the label" in remark for remark in measure.remarks(kc.data.from_arrays(X, Y)))


@settings(max_examples=60)
@given(
    st.lists(
        # smaller ones are refused, for their squares are lost
        st.floats(-1e150, 1e150).filter(lambda value: value == 0.0 or abs(value) > 1e-130),
        min_size=4,
        max_size=4,
    )
)
def test_numbers_keep_every_bit(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "bits.csv"
    a, b, c, d = values
    path.write_text(f"a,b,k\n{a!r},{b!r},u\n{c!r}, {d!r},v\n", encoding="utf-8")
    np.testing.assert_array_equal(kc.data.load(path, label="k").x, [[a, b], [c, d]])


def test_truth_is_one_and_zero_and_long_numbers_are_noted():
    data = kc.data.load(text("t.csv", f"a,id,k\nTrue,{2**53 + 1},u\nfalse,{2**53 + 3},v\n"), label="k")
    assert data.x[:, 0].tolist() == [1, 0]
    assert "'id' holds whole numbers beyond 2^53" in measure.remarks(data)[0]
    pd.DataFrame({"id": [2**60 + 1, 2**60 + 2], "k": ["u", "v"]}).to_parquet("t.parquet")
    assert "'id' holds whole numbers beyond 2^53" in kc.data.load("t.parquet", label="k").notes[0]
    assert (
        kc.data.load(text("t.csv", "a,k\n1e300,u\n1e100,v\n".replace("1e300", "1e30")), label="k").notes == ()
    )


def test_parquet_means_what_its_types_say():
    kinds = pd.CategoricalDtype(["v", "unused", "u"])
    frame = pd.DataFrame({"a": [1.5, 2.0], "k": pd.Series(["u", "v"], dtype=kinds), "n": [True, False]})
    frame.to_parquet("t.parquet")
    data = kc.data.load("t.parquet", label="k")
    assert (data.classes, data.x.tolist()) == (("u", "v"), [[1.5, 1], [2, 0]])
    for labels, classes in (
        (["1", "2"], ("1", "2")),
        ([2**63, 2**63 + 1], (2**63, 2**63 + 1)),
        ([True, False], (False, True)),
        (["NA", "None"], ("NA", "None")),
        (pd.to_datetime(["2020", "2021"]), ("2020-01-01 00:00:00", "2021-01-01 00:00:00")),
    ):
        pd.DataFrame({"a": [1.0, 2.0], "k": labels}).to_parquet("t.parquet")
        assert kc.data.load("t.parquet", label="k").classes == classes
    table = pa.table(
        {"a": pa.array([1, 2], pa.decimal128(5, 2)), "k": pa.array([10**20, 1], pa.decimal128(38, 0))}
    )
    pq.write_table(table, "d.parquet")
    assert kc.data.load("d.parquet", label="k").classes == (1, 10**20)


def test_an_index_in_parquet_is_no_feature_but_may_be_the_label():
    frame = pd.DataFrame({"a": [1.0, 2.0], "k": ["u", "v"]}, index=pd.Index([7, 9], name="id"))
    frame.to_parquet("t.parquet")
    data = kc.data.load("t.parquet", label="k")
    assert data.features == ("a",)
    assert "The index of t.parquet ('id') is left out" in data.notes[0]
    frame.drop(columns="k").to_parquet("i.parquet")
    assert kc.data.load("i.parquet", label="id").classes == (7, 9)


# -- arrays


@pytest.mark.parametrize(
    ("arrays", "names", "said"),
    [
        ({"x": X, "labels": Y}, {}, ""),
        ({"x": X, "y": Y}, {}, "'x' is taken for features, 'y' for labels"),
        ({"X": X, "y": Y}, {}, "'X' is taken for features, 'y' for labels"),
        ({"features": X, "labels": Y}, {}, "'features' is taken"),
        ({"data": X, "target": Y}, {}, "'target' for labels"),
        ({"X_train": X, "y_train": Y, "X_test": X_TEST, "y_test": Y_TEST}, {}, "'X_train' is taken"),
        ({"x": X, "labels": Y, "X": X_TEST, "y": Y_TEST}, {}, "'x' is taken for features, 'labels' for labels"),
        ({"pixels": X, "y": Y}, {"features": "pixels"}, "'pixels' is taken for features, 'y' for labels"),
        ({"x": X_TEST, "y": Y_TEST, "p": X, "q": Y}, {"features": "p", "label": "q"}, ""),
        ({"x_train": X_TEST, "y_train": Y_TEST, "x_test": X, "y_test": Y}, {"features": "x_test"}, "'y_test' for"),
        ({"x": X, "labels": Y[:, None]}, {}, "of shape (12, 1), are taken as one a row"),
        ({"x": X, "labels": np.eye(2)[Y]}, {}, "are one-hot: the class is the column of the 1 (argmax)"),
        ({"x": X.reshape(12, 3, 1), "labels": Y}, {}, "12 images of 3 x 1 flattened to 3 features"),
    ],
)  # fmt: skip
def test_arrays_of_an_archive(arrays, names, said):
    np.savez("t.npz", **arrays)
    data = kc.data.load("t.npz", **names)
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.labels, Y)
    assert said in " ".join(data.notes)
    assert bool(said) == bool(data.notes)


def test_keras_mnist_as_it_is(monkeypatch, capsys):
    images = RNG.integers(0, 256, size=(40, 28, 28)).astype(np.uint8)
    digits = (np.arange(40) % 10).astype(np.uint8)
    np.savez("mnist.npz", x_train=images[:30], y_train=digits[:30], x_test=images[30:], y_test=digits[30:])
    right = kc.nc1_from_features(images[:30].reshape(30, -1).astype(float), digits[:30]).ratio
    said = run(monkeypatch, capsys, "measure", "mnist.npz", "--test", "mnist.npz", "--activation", "erf")
    assert "mnist: 30 samples, 784 features, 10 classes" in said
    assert f"data │ training │ {right:.4g} │" in said
    assert "30 images of 28 x 28 flattened to 784 features" in said
    assert "'x_test' is taken for features, 'y_test' for labels" in said
    test = kc.data.load("mnist.npz", like=kc.data.load("mnist.npz"))
    np.testing.assert_array_equal(test.x, images[30:].reshape(10, -1))
    said = run(monkeypatch, capsys, "measure", "mnist.npz", "--features", "x_test", "--activation", "erf")
    assert "mnist: 10 samples" in said


def test_the_training_samples_as_held_out_ones_are_noted():
    data = kc.data.from_arrays(X, Y)
    assert "The held-out samples are the training samples." in measure.remarks(data, data)


def test_held_out_samples_of_one_class(monkeypatch, capsys):
    train = written("tr.csv", X, np.array(["u", "v"])[Y])
    written("te.csv", X_TEST[Y_TEST == 1], ["v"] * 3)
    test = kc.data.load("te.csv", label="y", like=kc.data.load(train, label="y"))
    assert (test.classes, test.labels.tolist(), test.class_sizes) == (("u", "v"), [1, 1, 1], (0, 3))
    assert test.targets.tolist() == [[1.0]] * 3
    mean = X[Y == 1].mean(axis=0)
    means = np.array([X[Y == 0].mean(axis=0), mean])
    right = ((X_TEST[Y_TEST == 1] - mean) ** 2).sum(axis=1).mean()
    said = run(
        monkeypatch, capsys, "measure", train, "--label", "y", "--test", "te.csv", "--activation", "erf"
    )
    table = measure.measure(kc.data.load(train, label="y"), measure.specify(["nngp"], ["erf"]), test=test)
    found = table[(table["kernel"] == "data") & (table["samples"] == "held-out")].iloc[0]
    assert f"held-out │ {found['NC1']:.4g} │" in said
    np.testing.assert_allclose(
        found["tr S_B"], ((means - means.mean(axis=0)) ** 2).sum(axis=1).mean(), rtol=1e-12
    )
    np.testing.assert_allclose(found["tr S_W"], right, rtol=1e-12)
    written("other.csv", X_TEST, ["V"] * 6)
    with pytest.raises(
        ValueError, match=r"the held-out class 'V' of other.csv has no .*'V' and 'v' differ in"
    ):
        kc.data.load("other.csv", label="y", like=kc.data.load(train, label="y"))


def test_only_the_arrays_that_are_needed_are_read(here):
    """An array beside them is damaged: whoever read it would see that its checksum is wrong."""
    np.savez("t.npz", x=X, labels=Y, other=np.full(1000, 7.5))
    path = here / "t.npz"
    content = path.read_bytes()
    assert content.count(np.full(4, 7.5).tobytes())
    path.write_bytes(content.replace(np.full(4, 7.5).tobytes(), np.full(4, 8.5).tobytes()))
    with pytest.raises(zipfile.BadZipFile), np.load("t.npz") as archive:
        archive["other"]
    np.testing.assert_array_equal(kc.data.load("t.npz").x, X)


# -- memory


def claiming(shape):
    """Return the bytes of a .npy file that holds no more than its header."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


def test_what_does_not_fit_is_refused_from_its_header(monkeypatch, capsys):
    monkeypatch.setattr(_memory, "available", lambda: 1e9)
    with open("big.npy", "wb") as file:
        file.write(claiming((2**40, 1)))
    np.save("y.npy", Y)
    said = refuse(monkeypatch, capsys, "measure", "big.npy", "--label", "y.npy")
    assert "an array of 1099511627776 x 1 float64, takes 8796 GB of memory, expected at most the 1 GB" in said
    with zipfile.ZipFile("big.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x", "labels"):
            archive.writestr(f"{name}.npy", claiming((2**40, 1)))
    assert "takes 8796 GB of memory" in refuse(monkeypatch, capsys, "measure", "big.npz")
    with zipfile.ZipFile("short.npz", "w") as archive:
        archive.writestr("x.npy", claiming((2**20, 1)))
    np.savez("y.npz", labels=Y)
    with zipfile.ZipFile("short.npz", "a") as archive, zipfile.ZipFile("y.npz") as other:
        archive.writestr("labels.npy", other.read("labels.npy"))
    assert "is to hold 8 MB and the file is shorter" in refuse(monkeypatch, capsys, "measure", "short.npz")


def test_a_parquet_bomb_is_refused_from_its_footer(monkeypatch, capsys):
    zeros = pa.array(np.zeros(2**15, dtype=np.int8))
    table = pa.table({f"c{i}": zeros for i in range(9)} | {"label": zeros})
    with pq.ParquetWriter("bomb.parquet", table.schema) as writer:
        for _ in range(4):
            writer.write_table(table)
    monkeypatch.setattr(_memory, "available", lambda: 5e6)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **__: pytest.fail("it is read"))
    said = refuse(monkeypatch, capsys, "measure", "bomb.parquet")
    assert (
        "bomb.parquet, with 131072 rows of 9 numbers, takes 18 MB of memory, expected at most the 5 MB"
        in said
    )


def test_memory_that_runs_out_is_a_sentence(monkeypatch, capsys):
    written("tr.csv", X, Y)

    def no_memory(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(measure, "collapse", no_memory)
        said = refuse(patch, capsys, "measure", "tr.csv", "--label", "y")
        assert "memory ran out while NNGP of 12 samples was measured" in said
    monkeypatch.setattr("kernel_collapse.data._text._table", no_memory)
    assert "does not fit into memory" in refuse(monkeypatch, capsys, "measure", "tr.csv", "--label", "y")


def test_memory_is_what_is_left_of_every_limit(monkeypatch):
    resource = pytest.importorskip("resource")
    free = _memory.available()
    assert free is not None
    assert free > 0
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**62, 2**62))
    assert _memory._process() > 2**61
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**20, 2**20))  # less than this process has already
    assert _memory.available() == 0
    with pytest.raises(
        ValueError, match=r"x takes 2 GB of memory, expected at most the 0 bytes that are free: wait"
    ):
        _memory.require(2e9, "x", "wait")


def test_the_dense_method_knows_what_memory_there_is(monkeypatch):
    monkeypatch.setattr(_memory, "available", lambda: 2e9)
    measurements = measure.specify(["nngp"], ["erf"])
    with pytest.raises(
        ValueError, match=r"20000 samples takes 3.2 GB .* the 2 GB that are free, enough for 9128"
    ):
        measure.choose_method(20_000, measurements, held_out=True)
    with pytest.raises(ValueError, match="or take --method streamed"):
        measure.choose_method(20_000, measurements, "dense")
    assert measure.choose_method(9128, measurements, "dense")[0] == "dense"


# -- the command line: progress, Ctrl-C


def test_ctrl_c_is_a_sentence(monkeypatch, capsys):
    written("tr.csv", X, Y)
    measured = measure._one
    seen = []

    def interrupted(*arguments):
        seen.append(arguments)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return measured(*arguments)

    monkeypatch.setattr(measure, "_one", interrupted)
    monkeypatch.setattr(sys, "argv", ["kernel-collapse", "measure", "tr.csv", "--label", "y"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    captured = capsys.readouterr()
    assert stopped.value.code == 130
    assert captured.out == ""
    assert captured.err.startswith("Stopped after 2 of 5 kernels: ")
    assert captured.err.count("\n") == 1


def test_long_measurements_are_announced_and_followed(capsys):
    now = [0.0]
    with Steps("kernels", [10.0, 10.0, 20.0], clock=lambda: now[0]) as steps:
        assert capsys.readouterr().err == "3 kernels to measure, about 40 s.\n"
        now[0] = 20.0  # twice as long as foretold
        steps.advance()
        assert capsys.readouterr().err == "1 of 3 kernels, about 60 s left.\n"
        now[0] = 30.0
        assert steps.left() == 50.0
        now[0] = 40.0
        steps.advance()
        steps.advance()
    assert capsys.readouterr().err == "2 of 3 kernels, about 40 s left.\n"
    with Steps("kernels", [0.1] * 3, clock=lambda: now[0]) as steps:
        steps.advance()
    assert capsys.readouterr().err == ""


def test_progress_that_cannot_be_written_does_not_matter(monkeypatch):
    class Full(io.StringIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    with Steps("kernels", [10.0, 10.0]) as steps:
        steps.advance()
    assert steps.done == 1


def test_a_terminal_has_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with Steps("kernels", [10.0, 10.0]) as steps:
        steps.advance()
    assert "1 of 2 kernels" in shown.getvalue()


def test_every_measurement_is_reported():
    data, seen = kc.data.from_arrays(X, Y), []
    measurements = measure.specify(["nngp"], ["erf", "relu"])
    measure.measure(data, measurements, progress=seen.append)
    assert seen == measurements
    assert all(
        measure.cost(what, data, method) > 0 for what in measurements for method in measure.METHODS[1:]
    )


# -- sweeps


def test_a_sweep_reads_files_as_measure_does():
    np.savez("t.npz", pixels=X.reshape(12, 3, 1), q=np.eye(2)[Y])
    text(
        "s.toml",
        '[data]\nlaw = "file"\npath = "t.npz"\nfeatures = "pixels"\nlabel = "q"\n[measurement]\nkernel = "data"\n',
    )
    (trial, *_) = sweep_file.read("s.toml")[0].trials()
    assert (trial.data.n, trial.data.dim, trial.data.n_classes) == (12, 3, 2)
    np.testing.assert_array_equal(trial.data.sample(0).x, kc.data.standardize(kc.data.from_arrays(X, Y)).x)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kernel =", "kernal =", "s.toml, line 6, [[measurement]] 1: .*did you mean 'kernel'?"),
        ("law =", "lwa =", "s.toml, line 2, [[data]] 1: .*did you mean 'law'?"),
        ("n = 9", "nn = 9", "did you mean 'n'"),
        ("dim =", "dmi =", "did you mean 'dim'"),
        ("[measurement]", "[mesurement]", "did you mean 'measurement'"),
        ('kernel = "nngp"', 'kernel = "nngp"\nactivaton = "erf"', "did you mean 'activation'"),
    ],
)
def test_keys_that_are_misspelt_are_suggested(old, new, said):
    good = '[data]\nlaw = "xor"\nn = 9\ndim = 2\n[measurement]\nkernel = "nngp"\n'
    text("s.toml", good.replace(old, new))
    with pytest.raises(ValueError, match=said.replace("[[", r"\[\[").replace("]]", r"\]\]")):
        sweep_file.read("s.toml")


# -- what is refused


def workbook():
    """Return the beginning of a workbook of Excel: a zip archive with its folders."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


def archive(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def array(x):
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


GOOD = "a,b,k\n1.5,2,u\n2,3,v\n"
ZIP = io.BytesIO()
with zipfile.ZipFile(ZIP, "w") as packed:
    packed.writestr("t.csv", GOOD)

#: A file, what it holds, the options of `measure`, and a part of the sentence that refuses it.
#: How a row of a file is named.
LINE_2, LINE_3 = "line 2 (row 0, counted from 0)", "line 3 (row 1, counted from 0)"
ROW_1 = "row 1 (counted from 0)"
HOLE = X.copy()
HOLE[1, 1] = np.nan

BAD = [
    # The first line
    ("t.csv", "1,14.23,1.71\n1,13.2,1.78\n2,12.1,2\n", "--label 0", "first line of t.csv (1,14.23,1.71) looks like a"),
    ("t.csv", "5.1,3.5,setosa\n4.9,3,setosa\n6,4,virginica\n", "--label setosa", "looks like a sample"),
    ("t.csv", "0,1,2,3\n1,2,3,4\n4,5,6,7\n", "--label 3", "(header=True or --header)"),
    ("t.csv", "1.5,x\n2.5,y\n", "--label x", "looks like a sample"),
    ("t.csv", "5.1,3.5,u\n4.9,3,v\n", "--label u", "expected a header: add one, or say that there is none"),
    ("t.csv", "1,2,u\n3,4,v\n", "--no-header", "choose from '0', '1', '2' (columns of a file without header"),
    ("t.csv", "a,b\n1,2,u\n3,4,v\n", "--label b", LINE_2 + " has 3 fields and the header 2 names; name every"),
    ("t.csv", "a,k\n7,1,2,u\n8,3,4,v\n", "--label k", "has 4 fields and the header 2 names"),
    ("t.csv", "a,b,c,k\n1,2,u\n3,4,v\n", "--label k", LINE_2 + " has 3 fields and the header 4 names"),
    ("t.csv", "a,b,k\n1,2,u,\n3,4,v,\n", "--label k", "it ends in a separator, take that away"),
    ("t.csv", "a,b,k\n1,2,u\n3,4,v,x\n", "--label k", "line 3 (row 1, counted from 0) has 4 fields"),
    ("t.csv", "a,b,k,\n1,2,u,\n3,4,v,5\n", "--label k", "has no name and holds '5' in line 3 (row 1, counted from 0)"),
    ("t.csv", "a,b,k\n1,2,u\n# a comment\n3,4,v\n", "--label k", "it begins with '#', take comments away"),
    ("t.csv", "# made by hand\na,b,k\n1,2,u\n3,4,v\n", "--label k", "one column"),
    ("t.csv", "# a,b,k\n1,2,u\n3,4,v\n", "--label k", "begins with '#', expected names of columns"),
    ("t.csv", "a,a,k\n1,2,u\n3,4,v\n", "--label k", "t.csv has several columns 'a'"),
    ("t.csv", "a, a,k\n1,2,u\n3,4,v\n", "--label k", "t.csv has several columns 'a'"),
    ("t.csv", "a,b,K\n1,2,u\n3,4,v\n", "--label k", "choose from 'a', 'b', 'K'"),
    ("t.csv", "a,,k\n1,2,u\n3,4,v\n", "--label k", "column 1 (counted from 0) of t.csv has no name"),
    ("t.csv", ",a,k\n0,2,u\n1,4,v\n", "--label k", "column 0 (counted from 0) of t.csv has no name"),
    ("t.csv", "\n\n  \n", "--label k", "t.csv is empty"),
    ("t.csv", "a,b,k\n\n", "--label k", "t.csv has 0 rows of 3 columns"),
    ("t.csv", b"\xef\xbb\xbf", "--label k", "t.csv is empty"),
    # Separators and text
    ("t.csv", "a b k\n1 2 u\n3 4 v\n", "--label k", "(are the fields separated by spaces?)"),
    ("t.csv", "a:b:k\n1:2:u\n3:4:v\n", "--label k", "separated by commas, semicolons, tabs, bars"),
    ("t.csv", "a,b;k,c;d\n1,2;3,4;5\n", "--label k", "splits into 3 columns at commas and semicolons alike"),
    ("t.csv", 'a,b,k\n1,2,"u\n3,4,v\n', "--label k", "unexpected end of data"),
    ("t.csv", 'a,b,k\n1,2,"u"x\n3,4,v\n', "--label k", "t.csv cannot be read as CSV"),
    ("t.csv", "a,k\n1,größe\n2,maß\n".encode("latin-1"), "--label k", "byte 0xf6 is not UTF-8"),
    ("t.csv", GOOD.encode("utf-16"), "--label k", "it is UTF-16 text"),
    ("t.csv", GOOD.encode("utf-16-le"), "--label k", "it holds zero bytes"),
    # What is not a number
    ("t.csv", "a;b;k\n1,5;2;u\n2,5;3;v\n", "--label k", "'a' holds numbers with a decimal comma ('1,5')"),
    ("t.csv", 'a,b,k\n"1,234,567",2,u\n"2,500,000",3,v\n', "--label k", "a separator of thousands"),
    ("t.csv", "a,b,k\n1 234,2,u\n2 500,3,v\n", "--label k", "a separator of thousands"),
    ("t.csv", "a,b,k\n1_000,2,u\n2_000,3,v\n", "--label k", "a separator of thousands"),
    ("t.csv", "a,b,k\nyes,2,u\nno,3,v\n", "--label k", "'a' holds text ('yes')"),
    ("t.csv", "a,b,k\nTrue,2,u\n2,3,v\n", "--label k", "'a' holds text ('True')"),
    ("t.csv", "a,b,k\n5%,2,u\n6%,3,v\n", "--label k", "'a' holds text ('5%')"),
    ("t.csv", "a,b,k\n0x1F,2,u\n3,3,v\n", "--label k", "'a' holds text ('0x1F')"),
    ("t.csv", "a,b,k\n2020-01-01,2,u\n2020-01-02,3,v\n", "--label k", "dates or times ('2020-01-01')"),
    ("t.csv", "a,b,k\n1,x,u\n2,3,v\n", "--label a", "columns that are not numeric ('b', 'k')"),
    ("t.csv", "a,b,k\n1,2,u\nNA,3,v\n", "--label k", "x holds 'NA' in " + LINE_3 + ", column 'a' of t.csv"),
    ("t.csv", "a,b,k\n1,2,u\n2,?,v\n", "--label k", "x holds '?' in " + LINE_3 + ", column 'b' of t.csv"),
    ("t.csv", "a,b,k\n1,2,u\n2,,v\n", "--label k", "x holds '', an empty field, in " + LINE_3 + ", column 'b'"),
    ("t.csv", "a,b,k\n1,nan,u\n2,None,v\n", "--label k", "'nan' in " + LINE_2 + ", column 'b' of t.csv (and 1 more"),
    ("t.csv", "a,b,k\n1,2,u\n2,-inf,v\n", "--label k", "x holds '-inf' in line 3 (row 1, counted from 0)"),
    ("t.csv", "a,b,k\n1,2,u\n2,1e999,v\n", "--label k", "x holds '1e999' in line 3 (row 1, counted from 0)"),
    # Labels
    ("t.csv", "a,b,k\n1,2,u\n2,3,\n", "--label k", "the label in line 3 (row 1, counted from 0) of t.csv is missing"),
    ("t.csv", "a,b,k\n1,2,u\n2,3,v\n,,\n", "--label k", "to keep them as a class"),
    ("t.csv", 'a,b,k\n1,2,""\n2,3,v\n', "--label k", "the label in line 2 (row 0, counted from 0) of t.csv is missing"),
    ("t.csv", "a,b,k\n1,2,u\n2,3,  \n", "--label k", "the label in line 3 (row 1, counted from 0) of t.csv is missing"),
    ("t.csv", "a,b,k\n1,2,NA\n2,3,NA\n", "--label k", "all 2 labels are 'NA'"),
    # Files of another kind than their ending says
    ("t.csv", workbook(), "--label k", "it is a workbook of Excel), expected a header and"),
    ("t.csv", ZIP.getvalue(), "--label k", "it is a zip archive"),
    ("t.csv", archive(x=X, labels=Y), "--label k", "it is an archive of NumPy"),
    ("t.csv", gzip.compress(GOOD.encode()), "--label k", "it is compressed by gzip"),
    ("t.csv", parquet(a=[1.0, 2.0], k=["u", "v"]), "--label k", "it is in Parquet"),
    ("t.csv", "<!DOCTYPE html>\n<html>404, not found</html>\n", "--label k", "it is a page of HTML"),
    ("t.csv", '{"a": [1, 2]}', "--label k", "it is JSON"),
    ("t.csv", b"\x93NUMPY\x01\x00", "--label k", "it is an array of NumPy"),
    ("t.csv.gz", gzip.compress(GOOD.encode()), "--label k", "the ending of 't.csv.gz' is '.gz'"),
    ("t.xlsx", workbook(), "--label k", "save the sheet as CSV"),
    ("t.parquet", GOOD, "--label k", "t.parquet cannot be read as PARQUET"),
    ("t.npz", GOOD, "", "t.npz cannot be read (File is not a zip file)"),
    ("t.npz", ZIP.getvalue(), "", "has no features under a name that is known"),
    ("t.csv", GOOD, "--label k --features a", "features is 'a' and t.csv no .npz file"),
    ("t.npz", archive(x=X, labels=Y), "--no-header", "header is False and t.npz no .csv file"),
    # Parquet
    ("t.parquet", parquet(a=[1.0, None], k=["u", "v"]), "--label k", "x holds null in " + ROW_1 + ", column 'a' of"),
    ("t.parquet", parquet(a=[1.0, np.nan], k=["u", "v"]), "--label k", "x holds nan in " + ROW_1 + ", column 'a'"),
    ("t.parquet", parquet(a=[1.0, 2.0], k=["u", None]), "--label k", "the label in " + ROW_1 + " of t.parquet"),
    ("t.parquet", parquet(a=["1", "2"], k=["u", "v"]), "--label k", "'a' is of type string"),
    ("t.parquet", parquet(a=[[1], [2]], k=["u", "v"]), "--label k", "'a' is of type list"),
    ("t.parquet", parquet(k=["u", "v"]), "--label k", "2 rows of 1 columns"),
    ("t.parquet", parquet(a=[1.0, 2.0], k=["u", "v"]), "--label y", "choose from 'a', 'k'"),
    # Arrays
    ("t.npz", archive(x=X, labels=Y), "--features p", "features is 'p', which is not an array of t.npz"),
    ("t.npz", archive(x=X, labels=Y), "--label p", "label is 'p', which is not an array of t.npz"),
    ("t.npz", archive(x=X), "", "t.npz has no labels under a name that is known"),
    ("t.npz", archive(labels=Y), "", "t.npz has no features under a name that is known"),
    ("t.npz", archive(x_train=X, labels=Y), "", "no features and labels that go together"),
    ("t.npz", archive(x=X, labels=RNG.normal(size=(12, 3))), "", "are not one-hot, expected one label a row"),
    ("t.npz", archive(x=X, labels=np.where(Y, np.nan, 1.0)), "", "the label in " + ROW_1 + " of t.npz is missing"),
    ("t.npz", archive(x=X, labels=Y[:5]), "", "x has 12 rows and there are 5 labels"),
    ("t.npz", archive(x=HOLE, labels=Y), "", "x holds nan in row 1, column 1 (both counted"),
    ("t.npy", array(HOLE), "--label t.npy", "x holds nan in row 1, column 1 (both"),
    ("t.npz", archive(x=X[:, 0], labels=Y), "", "x has shape (12,), expected two dimensions"),
    ("t.npz", archive(x=np.full((12, 2), "a"), labels=Y), "", "expected real numbers"),
    ("t.npy", claiming((30, 30)), "--label t.npy", "is to hold 7200 bytes and the file is shorter"),
    ("t.npy", b"\x93NUMPY\x01\x00", "--label t.npy", "t.npy cannot be read"),
    # Held-out samples
    ("t.csv", GOOD, "--label k --test gone.csv", "'gone.csv' does not exist"),
    ("t.csv", GOOD, "--label k --test .", "'.' is a folder, expected a .csv"),
    ("t.csv", GOOD, "--label k --test t.npy", "which holds no labels, expected a file with labels"),
]  # fmt: skip


def test_what_is_no_file_is_named(here):
    """Nothing, a folder and a pipe are three sentences, for every kind of file that is read."""
    (here / "t.csv").mkdir()
    os.mkfifo(here / "p.csv")
    for load in (lambda name: kc.data.load(name, label="k"), sweep_file.read):
        for name, said in (("gone.csv", "does not exist"), ("t.csv", "is a folder"), ("p.csv", "is a pipe")):
            with pytest.raises(kc.InputError, match=f"^'{name}' {said}"):
                load(name)


@pytest.mark.parametrize(
    ("name", "content", "options", "said"), BAD, ids=[f"{i} {b[3]}"[:60] for i, b in enumerate(BAD)]
)
def test_bad_files_are_refused_with_their_cause(name, content, options, said, here, monkeypatch, capsys):
    (here / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refuse(monkeypatch, capsys, "measure", name, *options.split())
    assert said in message
    assert "expected" in message
    assert [path.name for path in here.iterdir()] == [name]
