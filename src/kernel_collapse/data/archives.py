"""Arrays in NumPy's files: which of an archive are meant, how large they are, and no other is read."""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from kernel_collapse import _files, _memory, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._pixels import channels_last
from kernel_collapse.data._columns import RawTable, refuse_missing

__all__ = ["FEATURES", "PAIRS", "TEST_PAIRS", "read_archive", "read_arrays", "shape_of_features"]

#: Features and labels as an archive may name them; the first pair that is there is taken.
PAIRS = (
    ("x", "labels"),
    ("x", "y"),
    ("X", "y"),
    ("X", "labels"),
    ("x_train", "y_train"),
    ("X_train", "y_train"),
    ("features", "labels"),
    ("features", "label"),
    ("data", "target"),
    ("data", "labels"),
    ("images", "labels"),
    ("train_images", "train_labels"),
)
#: The same of held-out samples, which are looked for first where they are asked for.
TEST_PAIRS = (("x_test", "y_test"), ("X_test", "y_test"), ("test_images", "test_labels"))
FEATURES = tuple(dict.fromkeys(x for x, _ in PAIRS))
LABELS = tuple(dict.fromkeys(y for _, y in PAIRS))


class _Header(NamedTuple):
    """What an array says of itself before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def read_archive(path: Path, label: str | None, features: str | None, *, held_out: bool = False) -> RawTable:
    """Return the features and labels of a .npz file; other arrays in it are not read.

    Raises
    ------
    ValueError
        If an array is missing or has another shape, or they do not fit into memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            x_name, y_name, notes = _chosen(names, label, features, path, held_out)
            targets = "targets" if x_name == "x" and y_name != "targets" and "targets" in names else None
            x, labels = (_member(archive, name, path) for name in (x_name, y_name))
            wanted = _member(archive, targets, path) if targets else None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise _unreadable(path, error) from None
    return _table(x, labels, wanted, notes, path, path)


def shape_of_features(path: Path, label: str | None) -> tuple[int, ...]:
    """Return the shape in which a .npz file that has been read holds the features."""
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        x, _, _ = _chosen(names, label, None, path, held_out=False)
        with archive.open(f"{x}.npy") as file:
            return _header(file).shape


def read_arrays(path: Path, label: str | None) -> RawTable:
    """Return the features of a .npy file, with the labels of another.

    Raises
    ------
    ValueError
        If a file is missing or holds another shape, or they do not fit into memory.
    """
    if label is None:
        raise InputError(
            path.name, "no labels", "label= to name a .npy file with one label a row", verb="holds"
        )
    other = Path(label)
    _files.require_file(other, "a .npy file with one label a row")
    return _table(_file(path), _file(other), None, (), path, other)


def _chosen(
    names: list[str], label: str | None, features: str | None, path: Path, held_out: bool
) -> tuple[str, str, tuple[str, ...]]:
    """Return which arrays are features and labels, and a note where that was not plain."""
    for told, what in ((features, "features"), (label, "label")):
        if told is not None and told not in names:
            raise InputError(
                what,
                f"{told!r}, which is not an array of {path.name}",
                f"the name of one that holds the {what}",
                f"it holds {_listed(names)}",
            )
    first = (*TEST_PAIRS, *PAIRS) if held_out else (*PAIRS, *TEST_PAIRS)
    partners = [pair for pair in first if features == pair[0] or label == pair[1]]
    known = [*partners, *(first if held_out else PAIRS)]
    told_apart = dict.fromkeys((features or x, label or y) for x, y in known)
    there = [(x, y) for x, y in told_apart if x in names and y in names and x != y]
    if not there:
        raise InputError(
            path.name,
            f"no {_lacking(names, label, features)} under a name that is known",
            "'x' and 'labels', or x_train and y_train, say",
            f"name them with features= and label= (--features, --label), it holds {_listed(names)}",
            verb="has",
        )
    x, y = there[0]
    chosen = features is not None and label is not None
    plain = (features or "x", label or "labels") == (x, y) and len(there) == 1
    if chosen or plain:
        return x, y, ()
    return (
        x,
        y,
        (f"Of the arrays of {path.name} ({_listed(names)}) {x!r} is taken for features, {y!r} for labels.",),
    )


def _lacking(names: list[str], label: str | None, features: str | None) -> str:
    if features is None and not set(FEATURES) & set(names):
        return "features"
    return (
        "labels" if label is None and not set(LABELS) & set(names) else "features and labels that go together"
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
    return shown or "no array"


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        return _array(file, f"{name!r} of {path.name}", path, archive.getinfo(f"{name}.npy").file_size)


def _file(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            return _array(file, path.name, path, path.stat().st_size)
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from None


def _array(file: Any, what: str, path: Path, length: int) -> np.ndarray:
    """Return an array whose header says that it fits into memory, as it is and as float64."""
    try:
        header = _header(file)
    except (ValueError, EOFError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise _unreadable(path, error) from None
    if header.dtype.hasobject:
        raise _unreadable(path, ValueError("it holds Python objects"))
    wide = 0 if header.dtype == np.float64 else 8 * prod(header.shape)
    shape = " x ".join(map(str, header.shape)) or "one number"
    _memory.require(header.bytes + wide, f"{what}, an array of {shape} {header.dtype},", "take a part of it")
    if header.bytes > length:
        raise _unreadable(
            path, ValueError(f"{what} is to hold {_memory.size(header.bytes)} and the file is shorter")
        )
    file.seek(0)
    try:
        return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from None


def _header(file: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return _Header(shape, dtype)


def _unreadable(path: Path, error: Exception) -> ValueError:
    said = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
    return ValueError(f"{path.name} cannot be read ({said}), expected arrays saved by NumPy without objects.")


def _table(x: Any, labels: Any, targets: Any, notes: tuple[str, ...], path: Path, other: Path) -> RawTable:
    x, flattened, image_shape = _flat(x)
    _refuse_not_finite(x, path)
    labels, told = _one_a_row(labels, other)
    return RawTable(_validate.matrix(x, "x"), labels, (), (*notes, *flattened, *told), targets, image_shape)


def _refuse_not_finite(x: np.ndarray, path: Path) -> None:
    """Refuse features of a file that are not finite, by row and column; what is no matrix of them is looked at next."""
    if x.ndim != 2 or x.dtype.kind != "f" or np.isfinite(x).all():
        return
    bad = np.argwhere(~np.isfinite(x))
    more = "" if len(bad) == 1 else f" (and {len(bad) - 1} more such entries)"
    row, column = map(int, bad[0])
    raise InputError(
        "x",
        f"{x[row, column]} in row {row}, column {column} (both counted from 0) of {path.name}{more}",
        "finite numbers",
        "drop or impute those rows",
        verb="holds",
    )


def _flat(x: np.ndarray) -> tuple[np.ndarray, tuple[str, ...], tuple[int, ...]]:
    """Return images as rows of features, notes, and their height, width and channels, which come last."""
    if x.ndim < 3 or 0 in x.shape:
        return x, (), ()
    shape = " x ".join(map(str, x.shape[1:]))
    kind = "images" if x.ndim in (3, 4) else "arrays"
    said = f"{len(x)} {kind} of {shape} flattened to {prod(x.shape[1:])} features."
    x, notes = channels_last(x) if x.ndim == 4 else (x, ())
    image_shape = (*x.shape[1:], 1)[:3] if x.ndim in (3, 4) else ()
    return x.reshape(len(x), -1), (said, *notes), image_shape


def _one_a_row(labels: np.ndarray, path: Path) -> tuple[list[Any], tuple[str, ...]]:
    """Return labels as a list; those of a column and one-hot ones are understood, and a note says so."""
    notes: tuple[str, ...] = ()
    if labels.ndim > 1 and labels.size == len(labels):
        notes = (f"The labels of {path.name}, of shape {labels.shape}, are taken as one a row.",)
        labels = labels.ravel()
    elif labels.ndim == 2 and labels.dtype.kind in "biuf":
        if not ((labels == 0) | (labels == 1)).all() or not (labels.sum(axis=1) == 1).all():
            raise InputError(
                f"the labels of {path.name}",
                f"shape {labels.shape} and are not one-hot",
                "one label a row",
                "give labels.argmax(axis=1) if they are scores, or one column",
                verb="have",
            )
        notes = (
            f"The labels of {path.name}, of shape {labels.shape}, are one-hot: the class is the column of the 1 "
            "(argmax).",
        )
        labels = labels.argmax(axis=1)
    if labels.ndim != 1:
        raise InputError(
            f"the labels of {path.name}",
            f"shape {labels.shape}",
            "one label a row",
            "one column",
            verb="have",
        )
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "backslashreplace")
    # As a list of numbers or text, a time that is missing would be one.
    refuse_missing(list(labels), path.name)
    if labels.dtype.kind in "Mm":
        labels = labels.astype(str)
    return labels.tolist(), notes
