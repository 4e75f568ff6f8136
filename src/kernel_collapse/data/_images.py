"""Data sets of images, from the files in which they are handed round and from data sets of other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kernel_collapse import _memory, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._pixels import channels_last, scaled
from kernel_collapse.data._dataset import Dataset, dataset_of
from kernel_collapse.data._image_files import PICKLE, Read, read_batch, read_idx, read_records
from kernel_collapse.data._pictures import is_picture, pixels_of, read_folder

__all__ = ["images"]

EXPECTED = (
    "an IDX file, a batch of CIFAR, a folder with a folder of pictures for each class, or a data set with a length "
    "whose entries are pairs of an image and its label"
)
#: What a data set of another library may call an image and its label, where an entry is a mapping.
_IMAGE, _LABEL = ("image", "img", "pixel_values", "x"), ("label", "labels", "fine_label", "y")


def images(source: Any, labels: str | Path | None = None) -> Dataset:
    """Return a data set of images, as numbers from 0 to 1 where their range is known, with their channels last.

    ================================= ==================================================================
    source                            what it is
    ================================= ==================================================================
    an IDX file (MNIST and its kin)   "train-images-idx3-ubyte", compressed by gzip or not; the labels are
                                      those of `labels`, by default the file whose name says so beside it
    a batch of CIFAR-10 or CIFAR-100  binary, or that for Python, of whose pickle nothing but arrays is taken
    a folder                          of folders that are named as their classes, with pictures (needs Pillow)
    a data set of another library     what has a length, and whose entries are (image, label) or have "image" and
                                      "label", as those of torchvision and of Hugging Face
    ================================= ==================================================================

    Archives of arrays, as Keras has them, are read by `kernel_collapse.data.load`. Nothing is downloaded.

    Parameters
    ----------
    source : path or data set
        As above.
    labels : path, optional
        Of an IDX file, the IDX file of its labels.

    Returns
    -------
    Dataset
        With `Dataset.images` of shape (n, height, width, channels). Whole numbers without a sign are divided by 255 if
        they have 8 bits and by 65535 if they have 16, and a note says so. Other numbers are kept, and a note says so if
        they are not from 0 to 1. A note says how channels were found where that was not plain, and what was done to
        pictures.

    Raises
    ------
    ValueError
        If a file is missing, of another kind or broken, a pickle asks for anything but arrays, images have several
        sizes or types, labels are missing or given where they are not used, a folder has those of parts ("train",
        "test") in the place of classes, or the images do not fit into memory.

    Examples
    --------
    >>> import kernel_collapse as kc, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> pairs = [(rng.integers(0, 256, size=(8, 8), dtype=np.uint8), k % 2) for k in range(6)]
    >>> data = kc.data.images(pairs)
    >>> data, data.images.shape, bool(data.x.max() <= 1.0)
    (<Dataset images: 6 samples, images of 8 x 8 x 1, classes of 3, 3>, (6, 8, 8, 1), True)
    """
    if isinstance(source, str | Path):
        path = _validate.path(source, "source", EXPECTED)
        read, name = _from_path(path, labels), path.stem
    else:
        if labels is not None:
            raise InputError("labels", "given beside a data set", "the path of an IDX file", "leave it out")
        read, name = _from_dataset(source), "images"
    pixels, notes = scaled(read.images)
    return dataset_of(
        pixels.reshape(len(pixels), -1),
        read.labels,
        None,
        name,
        (),
        (*read.notes, *notes),
        image_shape=pixels.shape[1:],
    )


def _from_path(path: Path, labels: Any) -> Read:
    other = None if labels is None else _validate.path(labels, "labels", "the path of an IDX file")
    for file, what in ((path, "source"), (other, "labels")):
        if file is not None and not file.exists():
            raise InputError(what, f"{str(file)!r}, where there is no file", EXPECTED, "check the path")
    try:
        if path.is_dir():
            _refuse_labels(other, "a folder, whose folders name the classes")
            return read_folder(path)
        with path.open("rb") as opened:
            start = opened.read(4)
        if path.suffix.lower() in (".npz", ".npy", ".csv", ".tsv", ".parquet"):
            raise InputError(
                "source", repr(path.name), EXPECTED, "kernel_collapse.data.load reads arrays and tables"
            )
        if path.suffix.lower() == ".bin" or start.startswith(PICKLE):
            _refuse_labels(other, "a batch of CIFAR, which has labels of its own")
            return read_batch(path) if start.startswith(PICKLE) else read_records(path)
        return read_idx(path, other)
    except OSError as error:
        raise InputError(
            path.name, f"be read ({error.strerror or error})", EXPECTED, "check its rights", verb="cannot"
        ) from None


def _refuse_labels(labels: Path | None, beside: str) -> None:
    """Refuse a file of labels beside what has labels of its own."""
    if labels is not None:
        raise InputError("labels", f"given beside {beside}", "labels of an IDX file alone", "leave it out")


def _from_dataset(source: Any) -> Read:
    """Return the images and labels of a data set by protocol: a length, and entries by number."""
    count = _length(source)
    pictures: list[np.ndarray] = []
    labels: list[Any] = []
    notes: dict[str, None] = {}
    of_pillow = False
    for k in range(count):
        try:
            entry = source[k]
        except Exception as error:  # whatever an object of somebody else's raises
            said = f"be read ({type(error).__name__}: {error})"
            raise InputError(f"entry {k} of source", said, "an image and its label", verb="cannot") from None
        given, label = _entry(entry, k)
        picture, seen = _array(given, k)
        of_pillow |= is_picture(given)
        notes |= dict.fromkeys(seen)
        if not pictures:
            each = (8.0 + picture.itemsize) * picture.size
            _memory.require(each * count, f"{count} images", "take a part of them")
        elif picture.shape != pictures[0].shape or picture.dtype != pictures[0].dtype:
            raise InputError(
                f"image {k}",
                f"of shape {picture.shape} in {picture.dtype} and the first of {pictures[0].shape} in "
                f"{pictures[0].dtype}",
                "images of one size and type",
                "crop or scale them first",
            )
        pictures.append(picture)
        labels.append(label)
    images = np.stack(pictures)
    if images.ndim == 3:
        return Read(images[..., None], labels, tuple(notes))
    # The channels of a picture are known.
    images, found = (images, ()) if of_pillow else channels_last(images)
    return Read(images, labels, (*notes, *found))


def _length(source: Any) -> int:
    """Return the number of entries of a data set; refuse what has none, or no entries by number."""
    try:
        count = len(source) if hasattr(source, "__getitem__") and not isinstance(source, dict | bytes) else -1
    except Exception:  # whatever an object of somebody else's raises
        count = -1
    if count < 0:
        raise InputError("source", f"of type {type(source).__name__}", EXPECTED)
    if count == 0:
        raise InputError("source", "no image", "some", verb="has")
    return count


def _entry(entry: Any, k: int) -> tuple[Any, Any]:
    """Return image and label of an entry."""
    if isinstance(entry, dict):
        chosen = [next((entry[n] for n in names if n in entry), None) for names in (_IMAGE, _LABEL)]
        missing = chosen[0] is not None and any(n in entry for n in _LABEL)
    elif isinstance(entry, tuple | list) and len(entry) >= 2:
        chosen = list(entry[:2])
        missing = chosen[0] is not None
    else:
        chosen, missing = [None, None], False
    picture, label = chosen
    if missing and label is None:
        raise InputError(f"the label of entry {k}", "missing", "a class of every image", "drop those entries")
    if picture is None or label is None:
        raise InputError(
            f"entry {k} of source",
            f"of type {type(entry).__name__}",
            "an image and its label",
            "(image, label), or a mapping with 'image' and 'label'",
        )
    number = np.asarray(label)
    return picture, number.item() if number.ndim == 0 else label


def _array(picture: Any, k: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return an image as an array, and notes on what was done to it."""
    what = f"the image of entry {k}"
    notes: tuple[str, ...] = ()
    try:
        if is_picture(picture):
            array, notes = pixels_of(picture, what)
        else:
            array = np.asarray(picture)
    except InputError:
        raise
    except Exception as error:  # lists of unequal lengths, tensors that need a gradient
        said = f"be read as an array ({' '.join(str(error).split())[:200].rstrip('.')})"
        raise InputError(what, said, "an array of numbers", verb="cannot") from None
    if array.ndim not in (2, 3) or array.dtype.kind not in "buif":
        raise InputError(
            what,
            f"of shape {array.shape} in {array.dtype}",
            "numbers of shape (height, width) or (height, width, channels)",
        )
    return array, notes
