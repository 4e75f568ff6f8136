"""Images as they come: every kind of file made here and read back, and broken ones of each."""

import gzip
import os
import pickle
import struct

import numpy as np
import pytest
from PIL import Image

import kernel_collapse as kc

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, size=(6, 7, 5), dtype=np.uint8)
LABELS = [0, 1, 2, 0, 1, 2]
COLOURS = RNG.integers(0, 256, size=(4, 3, 32, 32), dtype=np.uint8)


def idx(array, code=8):
    array = np.asarray(array)
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def written(path, content):
    path.write_bytes(content)
    return path


def assert_images(data, pixels, labels):
    np.testing.assert_array_equal(data.images, pixels / 255.0)
    assert [data.classes[code] for code in data.labels] == labels
    assert any("divided by 255" in note for note in data.notes)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files_with_the_labels_beside_them_or_named(tmp_path, pack):
    path = written(tmp_path / "train-images-idx3-ubyte.gz", pack(idx(PIXELS)))
    other = written(tmp_path / "train-labels-idx1-ubyte.gz", pack(idx(np.array(LABELS, np.uint8))))
    data = kc.data.images(path)
    assert_images(data, PIXELS[..., None], LABELS)
    assert "train-labels-idx1-ubyte.gz" in " ".join(data.notes)
    assert_images(kc.data.images(str(path), labels=other), PIXELS[..., None], LABELS)
    assert data.image_shape == (7, 5, 1)


def test_idx_files_of_floating_point_numbers_are_taken_as_they_are(tmp_path):
    values = RNG.normal(size=(6, 3, 3)).astype(">f4")
    path = written(tmp_path / "images", idx(values, 0x0D))
    other = written(tmp_path / "codes", idx(np.array(LABELS, np.uint8)))
    data = kc.data.images(path, other)
    np.testing.assert_array_equal(data.images[..., 0], values.astype(np.float64))
    (note,) = data.notes
    assert "float32" in note
    assert "kept as they are" in note


@pytest.mark.parametrize(("labels", "codes"), [(1, [3, 9, 0, 3]), (2, [99, 7, 0, 7])])
def test_binary_batches_of_cifar(tmp_path, labels, codes):
    coarse = [[1]] * 4 if labels == 2 else [[]] * 4
    records = b"".join(
        bytes([*first, code]) + image.tobytes()
        for first, code, image in zip(coarse, codes, COLOURS, strict=True)
    )
    data = kc.data.images(written(tmp_path / "data_batch_1.bin", records))
    assert_images(data, np.moveaxis(COLOURS, 1, 3), codes)


@pytest.mark.parametrize(("key", "protocol"), [("labels", 2), ("fine_labels", 4)])
@pytest.mark.parametrize("text", [str, str.encode])
def test_batches_of_cifar_for_python(tmp_path, key, protocol, text):
    batch = {text("data"): COLOURS.reshape(4, -1), text(key): [5, 1, 5, 2], text("filenames"): [b"a.png"] * 4}
    data = kc.data.images(written(tmp_path / "data_batch_1", pickle.dumps(batch, protocol=protocol)))
    assert_images(data, np.moveaxis(COLOURS, 1, 3), [5, 1, 5, 2])


class Runs:
    def __reduce__(self):
        return os.system, ("touch touched",)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in ({"data": Runs()}, Runs(), [Runs()]):
        path = written(tmp_path / "data_batch_1", pickle.dumps(content, protocol=2))
        with pytest.raises(ValueError, match=r"a pickle that asks for (posix|nt)\.system"):
            kc.data.images(path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_folders_of_pictures(tmp_path, mode):
    channels = len(Image.new(mode, (1, 1)).getbands())
    pictures = RNG.integers(0, 256, size=(4, 6, 5, channels), dtype=np.uint8)
    for k, (picture, name) in enumerate(zip(pictures, ["cat", "cat", "dog", "dog"], strict=True)):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray(picture[..., 0] if mode == "L" else picture, mode).save(tmp_path / name / f"{k}.png")
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    assert_images(kc.data.images(tmp_path), pictures, ["cat", "cat", "dog", "dog"])


class Pairs:
    """A data set as torchvision has them, without being one."""

    def __init__(self, entries):
        self.entries = entries

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, k):
        return self.entries[k]


def test_data_sets_of_other_libraries():
    pairs = list(zip(PIXELS, LABELS, strict=True))
    assert_images(kc.data.images(Pairs(pairs)), PIXELS[..., None], LABELS)
    pictures = [(Image.fromarray(pixels), label) for pixels, label in pairs]
    assert_images(kc.data.images(pictures), PIXELS[..., None], LABELS)
    mappings = [{"img": pixels, "fine_label": label} for pixels, label in pairs]
    assert_images(kc.data.images(Pairs(mappings)), PIXELS[..., None], LABELS)


def test_channels_that_come_first_are_found_and_said():
    import torch

    images = [torch.from_numpy(RNG.random(size=(3, 8, 6))) for _ in range(4)]
    data = kc.data.images([(image, torch.tensor(k % 2)) for k, image in enumerate(images)])
    np.testing.assert_array_equal(data.images, np.moveaxis(np.stack(images), 1, 3))
    assert data.notes == ("Channels were the first axis of an image, and are the last here.",)
    assert data.classes == (0, 1)


def test_images_go_to_the_kernels_of_images():
    data = kc.data.images(list(zip(PIXELS, LABELS, strict=True)))
    gram = kc.kernels.ConvNNGP(2)(data.images)
    assert gram.shape == (6, 6)
    assert np.isfinite(kc.nc1(gram, data.labels).ratio)


def files(folder):
    """Broken and other files by what is said of them."""
    whole, codes = idx(PIXELS), idx(np.array(LABELS, np.uint8))
    good = written(folder / "codes", codes)
    (folder / "empty").mkdir()
    (folder / "sizes" / "a").mkdir(parents=True)
    for k, size in enumerate([(4, 4), (4, 5)]):
        Image.new("L", size).save(folder / "sizes" / "a" / f"{k}.png")
    (folder / "broken" / "a").mkdir(parents=True)
    written(folder / "broken" / "a" / "0.png", b"\x89PNG and no more")
    batch = {"data": COLOURS.reshape(4, -1), "labels": [1, 2]}
    return {
        "where there is no file": (folder / "nowhere", None),
        "labels is .* where there is no file": (written(folder / "a", whole), folder / "nowhere"),
        "tells of 226 bytes .* and it has 220": (written(folder / "b", whole[:-6]), good),
        "it ends within its header": (written(folder / "c", whole[:9]), good),
        "neither an IDX file nor a batch": (written(folder / "d", b"\x01\x02" + whole), good),
        "be read .*unpacked|be read .*ended|be read .*end-of-stream": (
            written(folder / "e.gz", gzip.compress(whole)[:60]),
            good,
        ),
        "an array of 1 dimensions": (good, good),
        "an array of shape": (written(folder / "f", whole), written(folder / "g", whole)),
        "holds 5 labels": (written(folder / "h", whole), written(folder / "i", idx(np.zeros(5, np.uint8)))),
        "has no labels beside it": (written(folder / "j", whole), None),
        "neither those of CIFAR-10": (written(folder / "k.bin", bytes(3000)), None),
        "neither those of CIFAR-10 ": (written(folder / "l.bin", bytes([10]) + bytes(3072)), None),
        "no list 'labels'": (written(folder / "m", pickle.dumps(batch, protocol=2)), None),
        "no array 'data'": (written(folder / "n", pickle.dumps({"data": [1]}, protocol=2)), None),
        "cannot be read": (written(folder / "o", pickle.dumps(batch, protocol=2)[:50]), None),
        "no picture in a folder of its own class": (folder / "empty", None),
        "4 x 4 x 1 .* and 5 x 4 x 1": (folder / "sizes", None),
        "0.png cannot be read": (folder / "broken", None),
        "kernel_collapse.data.load reads": (written(folder / "p.npz", b"PK"), None),
    }


def test_broken_and_other_files_are_refused_in_a_sentence(tmp_path):
    for said, (path, labels) in files(tmp_path).items():
        with pytest.raises(ValueError, match=said) as refused:
            kc.data.images(path, labels)
        assert "\n" not in str(refused.value)
        assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (5, "source is of type int"),
        ([], "source has no image"),
        ([(PIXELS[0], 0), (PIXELS[1][:, :3], 1)], "image 1 is of shape"),
        ([(PIXELS[0], 0), PIXELS[1]], "entry 1 of source is of type ndarray"),
        ([{"image": PIXELS[0]}], "entry 0 of source is of type dict"),
        ([("a", 0)], "the image of entry 0"),
        ([(PIXELS[0], 0), (PIXELS[1], 0)], "expected at least two classes"),
    ],
)
def test_bad_data_sets_are_refused_in_a_sentence(source, said):
    with pytest.raises(ValueError, match=said):
        kc.data.images(source)


def test_labels_belong_to_an_idx_file(tmp_path):
    with pytest.raises(ValueError, match="labels is given beside a data set"):
        kc.data.images([(PIXELS[0], 0)], labels="labels-idx1-ubyte")
    other = written(tmp_path / "codes", idx(np.array(LABELS, np.uint8)))
    broken = tmp_path / "pictures" / "a"
    broken.mkdir(parents=True)
    written(broken / "0.png", b"no picture")  # which is not looked at
    for source, kind in (
        (tmp_path / "pictures", "a folder"),
        (written(tmp_path / "data.bin", b"\0"), "a batch of CIFAR"),
        (written(tmp_path / "data_batch_1", pickle.dumps({}, protocol=2)), "a batch of CIFAR"),
    ):
        with pytest.raises(kc.InputError, match=f"labels is given beside {kind}"):
            kc.data.images(source, labels=other)


def test_an_empty_path_is_not_the_folder_that_the_program_runs_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(PIXELS[0]).save(tmp_path / name / "0.png")
    assert kc.data.images(".").classes == ("a", "b")
    for read in (kc.data.images, kc.data.load):
        with pytest.raises(kc.InputError, match="is '', expected"):
            read("")


CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


@pytest.mark.parametrize("kind", [*CODES, "u2", ">u2", "u4", "i8", "f2", "?"])
@pytest.mark.parametrize("top", [1, 100])
def test_pixels_are_divided_by_a_range_that_is_known_or_kept_with_a_note(tmp_path, kind, top):
    pixels = (RNG.random((4, 5, 5)) * top).astype(kind)
    pixels[0, 0, :2] = 0, top
    doors = [kc.data.images(list(zip(pixels, "abab", strict=True)))]
    if kind in CODES:
        path = written(tmp_path / "images", idx(pixels, CODES[kind]))
        doors.append(kc.data.images(path, written(tmp_path / "codes", idx(np.arange(4, dtype=np.uint8) % 2))))
    full = {"u1": 255, "u2": 65535, ">u2": 65535}.get(kind)
    for data in doors:
        np.testing.assert_array_equal(data.images[..., 0], pixels.astype(float) / (full or 1))
        kept = top > 1 and kind != "?"
        said = (
            f"divided by {full}"
            if full
            else f"{pixels.dtype.name} from 0 to 100, and are kept"
            if kept
            else ""
        )
        assert len(data.notes) == bool(said)
        assert said in " ".join(data.notes)


def test_whole_numbers_of_pixels_are_not_rounded():
    with pytest.raises(kc.InputError, match=f"the images hold the whole number {2**53 + 1}"):
        kc.data.images([(np.full((2, 2), 2**53 + 1), k) for k in range(2)])


def test_a_batch_of_objects_is_no_batch(tmp_path):
    batch = {"data": COLOURS.reshape(4, -1).astype(object), "labels": [5, 1, 5, 2]}
    with pytest.raises(kc.InputError, match="no array 'data'"):
        kc.data.images(written(tmp_path / "data_batch_1", pickle.dumps(batch, protocol=2)))


def test_a_label_that_is_missing_is_named_by_its_entry():
    for entry in ((PIXELS[0], None), {"img": PIXELS[0], "label": None}):
        with pytest.raises(kc.InputError, match="the label of entry 1 is missing"):
            kc.data.images([(PIXELS[0], 0), entry])
