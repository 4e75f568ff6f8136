"""What every door of the data has in common: the layout of images, labels that are missing, and truth values."""

import struct
from itertools import product

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kernel_collapse as kc

Y = np.arange(6) % 2
CHANNELS = (1, 3, 4)
SHAPES = list(product((1, 2, 3, 4, 5, 8), repeat=3))


def doors(x, folder):
    """Yield the data set of images that each door makes of an array of them."""
    yield kc.data.from_arrays(x, Y)
    yield kc.Dataset(x, Y, Y.astype(float))
    np.savez(folder / "x.npz", x=x, labels=Y)
    yield kc.data.load(folder / "x.npz")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", Y)
    yield kc.data.load(folder / "x.npy", label=str(folder / "y.npy"))
    yield kc.data.images(list(zip(x, Y, strict=True)))
    content = bytes([0, 0, 14, 4]) + struct.pack(">4I", *x.shape) + x.astype(">f8").tobytes()
    (folder / "images").write_bytes(content)
    (folder / "codes").write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 6) + Y.astype("u1").tobytes())
    yield kc.data.images(folder / "images", labels=folder / "codes")


def about_channels(data):
    return [note for note in data.notes if "hannels" in note]


def test_all_doors_read_images_in_one_layout(tmp_path, unchecked):
    rng = np.random.default_rng(0)
    for shape in SHAPES[::7]:
        x = rng.random((6, *shape))
        first, *others = doors(x, tmp_path)
        for other in others:
            np.testing.assert_array_equal(other.images, first.images)
            assert about_channels(other) == about_channels(first)
        moved = first.image_shape != shape
        np.testing.assert_array_equal(first.images, np.moveaxis(x, 1, 3) if moved else x)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_layout_is_plain_or_said(shape, unchecked):
    x = np.random.default_rng(0).random((6, *shape))
    data = kc.data.from_arrays(x, Y)
    first, second, last = shape
    notes = about_channels(data)
    moved = not np.array_equal(data.x, x.reshape(6, -1)) or data.image_shape != shape
    if first in CHANNELS and last in CHANNELS:  # nothing tells
        assert "may have their channels first or last" in notes[0]
        assert moved is (second == last != first)
    elif first in CHANNELS and first < min(second, last):
        assert notes == ["Channels were the first axis of an image, and are the last here."]
        assert data.image_shape == (second, last, first)
    else:
        assert not moved
        # Without a note the first axis is no axis of channels: it has another number, and is not the shortest.
        assert notes or (first not in CHANNELS and (last in CHANNELS or first >= min(second, last)))


@pytest.mark.parametrize("size", [2, 4, 5, 8])
@pytest.mark.parametrize("channels", CHANNELS)
def test_square_images_are_the_same_however_they_are_laid_out(size, channels, unchecked):
    if size == channels:  # every axis has as many entries
        return
    x = np.random.default_rng(0).random((6, size, size, channels))
    data, other = kc.data.from_arrays(x, Y), kc.data.from_arrays(np.moveaxis(x, 3, 1), Y)
    # Three channels of 2 x 2 pixels are more channels than rows: read as they are, and said.
    if size > channels or size in CHANNELS:
        np.testing.assert_array_equal(other.images, data.images)
    assert about_channels(other)


def test_a_layout_can_be_told(unchecked):
    x = np.random.default_rng(0).random((6, 3, 8, 8))
    told = kc.Dataset(x, Y, Y.astype(float), image_shape=(3, 8, 8))
    np.testing.assert_array_equal(told.images, x)
    assert told.notes == ()
    with pytest.raises(kc.InputError, match=r"image_shape is \(8, 8, 3\), expected that of the images of x"):
        kc.Dataset(x, Y, Y.astype(float), image_shape=(8, 8, 3))


def test_names_of_columns_move_with_the_numbers(unchecked):
    x = np.random.default_rng(0).random((6, 3, 4, 5))
    names = [f"c{i}" for i in range(60)]
    plain = dict(zip(names, x.reshape(6, -1).T.tolist(), strict=True))
    for data in (
        kc.data.from_arrays(x, Y, features=names),
        kc.Dataset(x, Y, Y.astype(float), features=names),
    ):
        assert data.image_shape == (4, 5, 3)
        assert dict(zip(data.features, data.x.T.tolist(), strict=True)) == plain


MISSING = {
    "dates": np.array(["2020-01-01", "2020-01-02", "NaT"] * 2, dtype="M8[D]"),
    "spans": np.array([1, 2, "NaT"] * 2, dtype="m8[s]"),
    "numbers": np.array([1.0, 2.0, np.nan] * 2),
    "half precision": np.array([1.0, 2.0, np.nan] * 2, dtype=np.float16),
    "complex numbers": np.array([1.0, 2.0, np.nan] * 2, dtype=complex),
    "text": np.array(["a", "b", " "] * 2),
    "bytes": np.array([b"a", b"b", b""] * 2),
}


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize("column", [False, True])
def test_a_label_that_is_missing_in_an_array_is_refused_by_its_row(kind, column, tmp_path):
    labels = MISSING[kind][:, None] if column else MISSING[kind]
    np.savez(tmp_path / "t.npz", x=np.eye(6), labels=labels)
    np.save(tmp_path / "x.npy", np.eye(6))
    np.save(tmp_path / "y.npy", labels)
    for path, label in ((tmp_path / "t.npz", None), (tmp_path / "x.npy", str(tmp_path / "y.npy"))):
        with pytest.raises(kc.InputError, match=r"the label in row 2 \(counted from 0\) of .* is missing"):
            kc.data.load(path, label=label)


def test_dates_and_spans_without_a_gap_are_classes_by_their_text(tmp_path):
    for kind, classes in (("dates", ("2020-01-01", "2020-01-02")), ("spans", ("1 seconds", "2 seconds"))):
        np.savez(tmp_path / "t.npz", x=np.eye(6)[:2], labels=MISSING[kind][:2])
        assert kc.data.load(tmp_path / "t.npz").classes == classes


@pytest.mark.parametrize(
    "labels",
    [
        pa.array(["a", None, "b"]),
        pa.array(["a", " ", "b"]),
        pa.array([1.0, np.nan, 2.0]),
        pa.array([1, None, 2]),
        pa.array(["a", None, "b"]).dictionary_encode(),
        pa.array([0, None, 1], pa.timestamp("s")),
        pa.array([0, None, 1], pa.duration("s")),
        pa.array([[1], [None], [2]]),
        pa.array([{"a": 1}, {"a": None}, {"a": 2}]),
    ],
    ids=str,
)
def test_a_label_that_is_missing_in_a_parquet_file_is_refused_by_its_row(labels, tmp_path):
    pq.write_table(pa.table({"a": [1.0, 2.0, 3.0], "label": labels}), tmp_path / "t.parquet")
    with pytest.raises(kc.InputError, match=r"the label in row 1 \(counted from 0\) of t.parquet is missing"):
        kc.data.load(tmp_path / "t.parquet")


def saved(path, labels):
    pd.DataFrame({"a": np.arange(float(len(labels))), "label": labels}).to_parquet(path)
    return path


@pytest.mark.parametrize("numbers", [[0, 1, 1], [0.0, 1.0, 1.0]])
def test_truth_values_are_no_numbers_in_held_out_files(numbers, tmp_path):
    truths = [False, True, True]
    for train, test in ((truths, numbers), (numbers, truths)):
        like = kc.data.load(saved(tmp_path / "train.parquet", train))
        with pytest.raises(kc.InputError, match="the held-out class .* has no training sample"):
            kc.data.load(saved(tmp_path / "test.parquet", test), like=like)
        again = kc.data.load(saved(tmp_path / "test.parquet", train), like=like)
        assert again.labels.tolist() == [0, 1, 1]
    text = tmp_path / "test.csv"
    text.write_text("a,label\n1,True\n2,False\n")
    like = kc.data.load(saved(tmp_path / "train.parquet", truths))
    assert kc.data.load(text, like=like).labels.tolist() == [1, 0]


@pytest.mark.parametrize("written", ["true", "TRUE", "False"])
def test_a_truth_value_beside_numbers_is_quoted_as_it_is_written(written, tmp_path):
    (tmp_path / "t.csv").write_text(f"a,b,label\n1,0,u\n2,{written},v\n3,1,u\n")
    with pytest.raises(kc.InputError, match=rf"\('b'\): 'b' holds text \('{written}'\)"):
        kc.data.load(tmp_path / "t.csv")
