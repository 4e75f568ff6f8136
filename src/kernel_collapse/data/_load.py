"""Data sets in files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from kernel_collapse import _files, _memory, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.data._columns import RawTable
from kernel_collapse.data._dataset import FROM_ARRAYS, Dataset, dataset_of, default_targets
from kernel_collapse.data._labels import codes_like
from kernel_collapse.data._names import aligned
from kernel_collapse.data._parquet import read_parquet
from kernel_collapse.data._text import read_text
from kernel_collapse.data.archives import read_archive, read_arrays

__all__ = ["ENDINGS", "a_file", "load"]

TEXT = (".csv", ".tsv")
ENDINGS = (*TEXT, ".parquet", ".npz", ".npy")
EXPECTED = "a .csv, .tsv, .parquet, .npz or .npy file"

#: How files of other kinds begin, and what to do with them.
_BEGINNINGS = (
    (b"\x1f\x8b", "compressed by gzip", "unpack it first, with gunzip"),
    (b"BZh91AY&SY", "compressed by bzip2", "unpack it first, with bunzip2"),
    (b"\xfd7zXZ", "compressed by xz", "unpack it first, with unxz"),
    (b"(\xb5/\xfd", "compressed by zstd", "unpack it first, with unzstd"),
    (b"\xd0\xcf\x11\xe0", "a workbook of Excel", "save the sheet as CSV"),
    (b"PAR1\x15", "in Parquet", "give it the ending .parquet"),
    (b"\x93NUMPY", "an array of NumPy", "give it the ending .npy"),
    (b"SQLite format 3\0", "a database of SQLite", "export the table as CSV"),
    (b"\x89HDF", "in HDF5", "save its arrays as .npz"),
    (b"%PDF", "a PDF", "save the table as CSV"),
    (b"version https://git-lfs", "a pointer of Git LFS and not the file itself", "run git lfs pull"),
    (b"<!doctype", "a page of HTML", "download the table itself"),
    (b"<html", "a page of HTML", "download the table itself"),
    (b"<?xml", "XML", "download the table itself"),
    (b"{", "JSON", "save the table as CSV"),
)
#: Compressed and other files that have an ending of their own.
_ENDINGS = {
    ".gz": "unpack it first, with gunzip",
    ".bz2": "unpack it first, with bunzip2",
    ".xz": "unpack it first, with unxz",
    ".zip": "unpack it first, with unzip",
    ".zst": "unpack it first, with unzstd",
    ".xls": "save the sheet as CSV",
    ".xlsx": "save the sheet as CSV",
    ".ods": "save the sheet as CSV",
    ".txt": "give it the ending .csv if it is a table with separators",
    ".data": "give it the ending .csv if it is a table with separators",
    ".dat": "give it the ending .csv if it is a table with separators",
    ".feather": "save it as Parquet",
    ".arrow": "save it as Parquet",
}
#: Models, whose features only their own code can make, and pickled objects, which may run any code.
_CHECKPOINTS = (".ckpt", ".pt", ".pth", ".safetensors", ".h5", ".pkl", ".joblib")


def load(
    path: str | Path,
    *,
    label: str | int | None = None,
    features: str | None = None,
    header: bool | None = None,
    like: Dataset | None = None,
) -> Dataset:
    r"""Return the data set in a file.

    ========== ========================================================================================
    format     what it holds
    ========== ========================================================================================
    .csv, .tsv a header and one sample a row, between commas, semicolons, tabs or bars
    .parquet   one sample a row; an index of pandas is left out
    .npz       arrays of features and labels, and perhaps `targets`; of images `Dataset.images` is set
    .npy       features alone; `label` is the path of a second .npy file with the classes
    ========== ========================================================================================

    One column is that of classes, all others are features and must be numbers. The code never guesses the meaning of
    a cell:

    - The labels of a .csv file are *text as it is written* ("NA", "None", "007", "1.0", "True"), unless every one is
      a plain integer (digits and perhaps a minus sign, no leading zero or plus sign): then they are whole numbers.
      The labels of other files keep their type. An empty field is a missing label and is refused.
    - A feature is a number with a decimal point, or true and false throughout (1 and 0). A cell that is empty, NA, ?,
      inf or text is refused, and the message names row, column and text.
    - The first line of a .csv file holds names. If it looks like a sample, the file is refused, unless `header` says
      what it is.

    Parameters
    ----------
    path : path
        The file.
    label : str or int, optional
        Of a table the column of classes, "label" by default; of an .npz file the array of classes, by default the
        first that is there of the pairs x and labels, x and y, X and y, X and labels, x_train and y_train, X_train and
        y_train, features and labels, features and label, data and target, data and labels, images and labels,
        train_images and train_labels.
    features : str, optional
        Of an .npz file the array of features.
    header : bool, optional
        Of a .csv file, whether its first line holds the names of the columns. Without header they are numbered from 0,
        so that ``label="0"`` is the first.
    like : Dataset, optional
        The training samples, if the file holds held-out samples. Features are matched to theirs by name. The classes
        are those of the training samples, and the file may contain only one of them.

    Returns
    -------
    Dataset
        Its `notes` say how the file was read.

    Raises
    ------
    ValueError
        If the file is missing, unreadable, empty or does not fit into memory, the label is absent, a column is not
        numeric, or an entry is missing or not finite (named by row, column and text).

    Examples
    --------
    >>> import kernel_collapse as kc, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "flowers.csv"
    >>> _ = path.write_text("width,length,species\n1.0,2.0,rose\n1.5,2.5,lily\n")
    >>> kc.data.load(path, label="species")
    <Dataset flowers: 2 samples, 2 features, classes of 1, 1>
    """
    path = a_file(_validate.path(path, "path", f"the name of {EXPECTED}"))
    if not isinstance(label, str | int | None) or isinstance(label, bool):
        raise InputError.of("label", label, "a name in the file, or the number of a column without name")
    if not isinstance(features, str | None):
        raise InputError.of("features", features, "the name of an array in the file")
    column = None if label is None else str(label)
    if header is not None:
        header = _validate.flag(header, "header")
    if like is not None:
        _validate.instance(like, Dataset, "like", FROM_ARRAYS)
    try:
        table = _read(path, column, features, header, held_out=like is not None)
    except OSError as error:
        raise InputError(
            path.name, f"be read ({error.strerror or error})", EXPECTED, "check its rights", verb="cannot"
        ) from None
    except MemoryError:
        raise InputError(
            f"{path.name} of {_memory.size(path.stat().st_size)}",
            f"fit into memory, of which {_memory.size(_memory.available() or 0)} are free",
            "a smaller file",
            "take a part of it",
            verb="does not",
        ) from None
    if like is None:
        return dataset_of(
            table.x,
            table.labels,
            table.targets,
            path.stem,
            table.features,
            table.notes,
            image_shape=table.image_shape,
        )
    return _held_out(table, path, like)


def a_file(path: Path) -> Path:
    """Return the path of a file that can be loaded, by its ending and the way it begins; say what it is else."""
    if path.is_dir():
        _files.require_file(path, EXPECTED)
    ending = path.suffix.lower()
    if ending in _CHECKPOINTS:
        raise InputError(
            repr(path.name),
            "a checkpoint, which cannot be opened without its code",
            EXPECTED,
            "run the model, save numpy.savez('layer.npz', features=..., labels=..., classifier=..., bias=...) and "
            "measure --features layer.npz, or give features to kernel_collapse.Accumulator",
        )
    if ending in _ENDINGS:
        raise InputError.of(
            f"the ending of {path.name!r}", ending, f"one of {', '.join(ENDINGS)}", _ENDINGS[ending]
        )
    _files.require_file(path, EXPECTED)
    _validate.choice(ending, ENDINGS, f"the ending of {path.name!r}")
    return path


def _read(
    path: Path, label: str | None, features: str | None, header: bool | None, *, held_out: bool
) -> RawTable:
    kind = path.suffix.lower()
    if features is not None and kind != ".npz":
        raise InputError(
            "features",
            f"{features!r} and {path.name} no .npz file",
            "none",
            "all columns beside the label are features",
        )
    if header is not None and kind not in TEXT:
        raise InputError("header", f"{header} and {path.name} no .csv file", "none", "leave it out")
    if kind in TEXT:
        _refuse_other_kinds(path)
        return read_text(path, label, header)
    if kind == ".parquet":
        return read_parquet(path, label)
    return (
        read_arrays(path, label) if kind == ".npy" else read_archive(path, label, features, held_out=held_out)
    )


def _refuse_other_kinds(path: Path) -> None:
    """Refuse a file that is no text but has its ending, and say what it is."""
    with path.open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    kind = next(
        ((what, do) for begin, what, do in _BEGINNINGS if start.lower().startswith(begin.lower())), None
    )
    if start.startswith(b"PK\x03\x04"):
        kind = "a zip archive", "unpack it first, with unzip"
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            if any(name.startswith("xl/") for name in names):
                kind = "a workbook of Excel", "save the sheet as CSV"
            elif names and all(name.endswith(".npy") for name in names):
                kind = "an archive of NumPy", "give it the ending .npz"
    elif start.startswith((b"\xff\xfe", b"\xfe\xff")):
        kind = "UTF-16 text", "save it as UTF-8"
    if kind is not None:
        raise InputError(
            path.name,
            f"be read as CSV (it is {kind[0]})",
            "a header and one sample a row",
            kind[1],
            verb="cannot",
        )


def _held_out(table: RawTable, path: Path, like: Dataset) -> Dataset:
    """Return held-out samples with the features and classes of the training samples."""
    codes = codes_like(table.labels, like.classes, f" of {path.name}")
    if len(codes) != len(table.x):
        raise InputError(
            "x",
            f"{len(table.x)} rows and there are {len(codes)} labels",
            "as many labels as rows",
            verb="has",
        )
    _validate.squarable(table.x, "x")
    first = {int(code): row for row, code in reversed(list(enumerate(like.labels)))}
    of_class = default_targets(len(like.classes), len(codes))
    if set(first) == set(range(len(like.classes))):
        of_class = like.targets[[first[code] for code in range(len(like.classes))]]
    targets = np.asarray(of_class)[codes]
    read = Dataset(
        table.x, codes, targets, path.stem, like.classes, table.features, table.notes, table.image_shape
    )
    return aligned(read, like)
