"""Pictures of every mode of Pillow, through both doors: folders, and data sets of other libraries."""

import numpy as np
import pytest
from PIL import Image

import kernel_collapse as kc

RNG = np.random.default_rng(11)
BYTES = RNG.integers(0, 256, size=(4, 6, 5, 4), dtype=np.uint8)
CLASSES = ["a", "b", "a", "b"]


def see_through(picture):
    picture.info["transparency"] = 3
    return picture


def of_mode(mode, k):
    """Return a picture, and what its numbers mean, from 0 to 1 where the range is known."""
    one, three, four = BYTES[k, ..., 0], BYTES[k, ..., :3], BYTES[k]
    if mode == "1":
        return Image.fromarray(one > 128), (one > 128)[..., None] * 1.0
    if mode == "LA":
        return Image.fromarray(four[..., :2].copy(), "LA"), four[..., :2] / 255
    if mode in ("L", "RGB", "RGBA"):
        pixels = {"L": one, "RGB": three, "RGBA": four}[mode]
        return Image.fromarray(pixels), np.atleast_3d(pixels) / 255
    if mode == "P":
        picture = Image.fromarray(three).quantize(8)
        return picture, np.asarray(picture.convert("RGB")) / 255
    if mode == "P, one colour transparent":
        picture = see_through(Image.fromarray(three).quantize(8))
        colours = np.asarray(picture.convert("RGB")) / 255
        return picture, np.dstack([colours, np.asarray(picture) != 3])
    if mode == "L, one grey transparent":
        grey = (one % 8).astype(np.uint8)
        return see_through(Image.fromarray(grey)), np.dstack([grey / 255, grey != 3])
    if mode in ("CMYK", "YCbCr"):
        picture = Image.fromarray(three).convert(mode)
        return picture, np.asarray(picture.convert("RGB")) / 255
    if mode == "I;16":
        pixels = four[..., 0].astype(np.uint16) * 256 + four[..., 1]
        return Image.fromarray(pixels), pixels[..., None] / 65535
    if mode == "I":
        pixels = four.sum(axis=2, dtype=np.int32) * 1000 - 7
        return Image.fromarray(pixels), pixels[..., None] * 1.0
    pixels = (one / 255).astype(np.float32)
    return Image.fromarray(pixels), pixels[..., None].astype(float)


MODES = {
    "1": "png",
    "L": "png",
    "LA": "png",
    "RGB": "png",
    "RGBA": "png",
    "P": "png",
    "P, one colour transparent": "png",
    "L, one grey transparent": "png",
    "CMYK": "tif",
    "YCbCr": "tif",
    "I;16": "png",
    "I": "tif",
    "F": "tif",
}


def in_folder(folder, pictures, ending, **how):
    for k, (picture, name) in enumerate(zip(pictures, CLASSES, strict=True)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        picture.save(folder / name / f"{k}.{ending}", **how)
    return folder


@pytest.mark.parametrize("mode", MODES)
def test_both_doors_give_the_numbers_of_a_picture(tmp_path, mode):
    pictures, expected = zip(*(of_mode(mode, k) for k in range(4)), strict=True)
    read = kc.data.images(in_folder(tmp_path, pictures, MODES[mode]))
    given = kc.data.images(list(zip(pictures, CLASSES, strict=True)))
    np.testing.assert_array_equal(given.images, np.stack(expected))
    np.testing.assert_array_equal(read.images, np.stack(expected)[[0, 2, 1, 3]])
    assert read.notes == given.notes
    said = " ".join(read.notes)
    assert (f"in {mode} were converted to RGB" in said) is (mode in ("CMYK", "YCbCr"))
    assert ("kept as they are" in said) is (mode == "I")


def test_the_layout_of_a_picture_is_known(tmp_path):
    for size in ((1, 1), (3, 1), (1, 4), (3, 3), (4, 3)):
        pictures = [Image.fromarray(BYTES[k, : size[0], : size[1], :3]) for k in range(4)]
        for data in (
            kc.data.images(in_folder(tmp_path / str(size), pictures, "png")),
            kc.data.images(list(zip(pictures, CLASSES, strict=True))),
        ):
            assert data.image_shape == (*size, 3)
            assert data.notes == ("Pixels from 0 to 255 were divided by 255.",)


def test_grey_of_sixteen_bits_is_known_in_every_format(tmp_path):
    pictures, expected = zip(*(of_mode("I;16", k) for k in range(4)), strict=True)
    for ending in ("png", "tif", "pgm"):
        data = kc.data.images(in_folder(tmp_path / ending, pictures, ending))
        np.testing.assert_array_equal(data.images, np.stack(expected)[[0, 2, 1, 3]])
        assert data.notes == ("Pixels from 0 to 65535 were divided by 65535.",)


def test_pictures_of_several_types_are_refused(tmp_path):
    pictures = [of_mode("L", 0)[0], of_mode("L", 1)[0], of_mode("I;16", 2)[0], of_mode("L", 3)[0]]
    with pytest.raises(kc.InputError, match="6 x 5 x 1 in uint8 .* and 6 x 5 x 1 in uint16"):
        kc.data.images(in_folder(tmp_path, pictures, "png"))


def test_colours_of_which_pillow_reads_eight_bits_are_said(tmp_path):
    pixels = (BYTES[..., :3] * np.uint16(256) + BYTES[..., 1:]).astype(">u2")
    for name, picture in zip(("a/0", "a/1", "b/2", "b/3"), pixels, strict=True):
        (tmp_path / name[0]).mkdir(exist_ok=True)
        (tmp_path / f"{name}.ppm").write_bytes(b"P6 5 6 65535\n" + picture.tobytes())
    data = kc.data.images(tmp_path)
    np.testing.assert_allclose(data.images, pixels / 65535, atol=0.6 / 255)
    assert "are read in 8 bits" in data.notes[0]


def test_of_several_frames_the_first_is_taken_and_said(tmp_path):
    frames = [Image.fromarray(BYTES[k, ..., :3]) for k in range(4)]
    data = kc.data.images(in_folder(tmp_path, frames[:1] * 4, "tif", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(data.images, np.stack([BYTES[0, ..., :3] / 255] * 4))
    assert data.notes[0] == "Of pictures with several frames frame 0 (counted from 0) is taken."


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_read_as_they_are_seen(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pictures = [Image.fromarray(BYTES[k, ..., :3]) for k in range(4)]
    data = kc.data.images(in_folder(tmp_path, pictures, "png", exif=exif))
    stored = BYTES[[0, 2, 1, 3], ..., :3] / 255
    # What the standard of EXIF says of the first row and the first column of what is stored.
    sideways = stored.transpose(0, 2, 1, 3)
    seen = {
        1: stored,
        2: stored[:, :, ::-1],
        3: stored[:, ::-1, ::-1],
        4: stored[:, ::-1],
        5: sideways,
        6: sideways[:, :, ::-1],
        7: sideways[:, ::-1, ::-1],
        8: sideways[:, ::-1],
    }[orientation]
    np.testing.assert_array_equal(data.images, seen)
    assert any("EXIF" in note for note in data.notes) is (orientation > 1)


def test_a_mode_that_is_no_colour_is_refused():
    lab = [(Image.new("LAB", (3, 3)), name) for name in CLASSES]
    with pytest.raises(kc.InputError, match="the image of entry 0 is in the mode 'LAB'"):
        kc.data.images(lab)


@pytest.mark.parametrize("deep", [False, True])
def test_parts_of_a_data_set_are_no_classes(tmp_path, deep):
    for part in ("train", "Test"):
        folder = tmp_path / part / "cat" if deep else tmp_path / part
        folder.mkdir(parents=True)
        of_mode("L", 0)[0].save(folder / "0.png")
    with pytest.raises(kc.InputError, match=r"'Test', 'train', which are parts .* give one of them"):
        kc.data.images(tmp_path)


def test_folders_within_those_of_the_classes_are_said(tmp_path):
    pictures = [of_mode("L", k)[0] for k in range(4)]
    in_folder(tmp_path, pictures, "png")
    (tmp_path / "b" / "more").mkdir()
    pictures[0].save(tmp_path / "b" / "more" / "4.png")
    data = kc.data.images(tmp_path)
    assert data.class_sizes == (2, 3)
    assert "is of 'b'" in data.notes[0]
