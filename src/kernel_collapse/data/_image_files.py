"""How files of many images are read: IDX, and the batches of CIFAR. Nothing in a file is run."""

from __future__ import annotations

import gzip
import io
import pickle
import zlib
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _memory
from kernel_collapse._input_error import InputError
from kernel_collapse._pixels import channels_last

__all__ = ["PICKLE", "Read", "broken", "read_batch", "read_idx", "read_records"]

#: How gzip, and a pickle of a protocol that batches have, begin.
GZIP, PICKLE = b"\x1f\x8b", b"\x80"
#: Type of the numbers of an IDX file, by its third byte.
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
#: Pixels of a picture of CIFAR: three channels, one after the other, of 32 x 32.
_CIFAR = (3, 32, 32)
#: What a batch of CIFAR is made of; whatever else a pickle asks for is refused.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class Read(NamedTuple):
    """Images (n, height, width, channels) with the numbers of a file, and a label for each."""

    images: np.ndarray
    labels: list[Any]
    notes: tuple[str, ...] = ()


def read_idx(path: Path, labels: Path | None) -> Read:
    """Return the images of an IDX file, with the labels of another: MNIST's, and those that are made like them."""
    images = _idx(path)
    if images.ndim not in (3, 4):
        raise InputError(
            path.name, f"an array of {images.ndim} dimensions", "images: (n, height, width)", verb="holds"
        )
    other = labels or _beside(path)
    codes = _idx(other)
    if codes.ndim != 1:
        raise InputError(other.name, f"an array of shape {codes.shape}", "one label an image", verb="holds")
    if len(codes) != len(images):
        raise InputError(
            other.name, f"{len(codes)} labels", f"one for each of the {len(images)} images", verb="holds"
        )
    images, notes = (images[..., None], ()) if images.ndim == 3 else channels_last(images)
    beside = () if labels else (f"The labels are those of {other.name}.",)
    return Read(images, codes.tolist(), (*beside, *notes))


def _beside(path: Path) -> Path:
    """Return the file of labels that belongs to one of images, by its name."""
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    other = path.with_name(name)
    if name == path.name or not other.is_file():
        raise InputError(
            path.name,
            "no labels beside it",
            "an IDX file of labels",
            "name it with labels=, as in labels='train-labels-idx1-ubyte.gz'",
            verb="has",
        )
    return other


def _idx(path: Path) -> np.ndarray:
    """Return the array of an IDX file, which may be compressed."""
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise InputError(
            path.name,
            "neither an IDX file nor a batch of CIFAR",
            "one of them, or a folder of pictures",
            "kernel_collapse.data.load reads tables and archives of arrays",
        )
    dtype, axes = np.dtype(_IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise broken(path, "it ends within its header")
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", axes, 4))
    expected = start + prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise broken(path, f"its header tells of {expected} bytes (shape {shape}), and it has {len(content)}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    """Return the bytes of a file, unpacked where it is compressed by gzip."""
    _memory.require(2.0 * path.stat().st_size, path.name, "take a part of it")
    content = path.read_bytes()
    if not content.startswith(GZIP):
        return content
    _memory.require(
        2.0 * int.from_bytes(content[-4:], "little"), f"{path.name}, unpacked,", "take a part of it"
    )
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            return file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise broken(path, str(error)) from None


def read_records(path: Path) -> Read:
    """Return the images of a binary file of CIFAR-10 or CIFAR-100: a label or two, then the pixels."""
    content = np.frombuffer(_content(path), np.uint8)
    for labels, classes in ((1, 10), (2, 100)):
        length = labels + prod(_CIFAR)
        if content.size and content.size % length == 0:
            records = content.reshape(-1, length)
            codes = records[:, labels - 1]
            if (codes < classes).all():
                return Read(_channels_last(records[:, labels:]), codes.tolist())
    raise broken(path, "its records are neither those of CIFAR-10 (3073 bytes) nor of CIFAR-100 (3074 bytes)")


def read_batch(path: Path) -> Read:
    """Return the images of a batch of CIFAR for Python. It is a pickle, of which nothing but arrays is taken."""
    content = _content(path)
    try:
        found = _Batch(io.BytesIO(content), encoding="bytes").load()
    except InputError:
        raise
    except Exception as error:  # whatever a broken pickle raises
        raise broken(path, str(error) or type(error).__name__) from None
    entries = {_text(key): value for key, value in found.items()} if isinstance(found, dict) else {}
    pixels = entries.get("data")
    codes = next((entries[name] for name in ("labels", "fine_labels") if name in entries), None)
    kept = isinstance(pixels, np.ndarray) and pixels.ndim == 2 and pixels.dtype.kind in "uif"
    if pixels is None or not kept or pixels.shape[1] != prod(_CIFAR):
        raise broken(path, "it has no array 'data' of 3072 numbers an image")
    if not isinstance(codes, list) or len(codes) != len(pixels):
        raise broken(path, f"it has no list 'labels' or 'fine_labels' of {len(pixels)} labels")
    return Read(_channels_last(pixels), codes)


class _Batch(pickle.Unpickler):
    """A reader of pickles that makes arrays of numbers and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what an array is made with; refuse anything else."""
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        raise InputError(
            "the file",
            f"a pickle that asks for {module}.{name}",
            "arrays alone, as in a batch of CIFAR",
            "a pickle may run any code, so it is not opened: save images and labels as .npz",
        )


def _text(key: Any) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)


def _channels_last(pixels: np.ndarray) -> np.ndarray:
    return np.moveaxis(pixels.reshape(-1, *_CIFAR), 1, 3)


def broken(path: Path, why: str) -> InputError:
    said = " ".join(why.split())[:200].rstrip(".")
    return InputError(path.name, f"be read ({said})", "a whole file", "fetch it once more", verb="cannot")
