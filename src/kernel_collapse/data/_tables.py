"""Tables: in files, and those that come with scikit-learn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from kernel_collapse import _validate
from kernel_collapse.data._dataset import Dataset, dataset_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SHIPPED", "load", "shipped"]

#: Tables of `shipped`: samples, features and classes, so that they are known without loading scikit-learn.
SHIPPED = {"digits": (1797, 64, 10), "wine": (178, 13, 3), "breast-cancer": (569, 30, 2)}


def load(path: str | Path, *, label: str | None = None) -> Dataset:
    r"""Return the data set in a file.

    ======== ==========================================================================================
    format   what it holds, and what `label` names
    ======== ==========================================================================================
    .csv     a header and one sample a row; `label` is the column of classes ("label" by default), all
    .parquet other columns are features and must be numeric
    .npz     arrays `x` (n, d) and `labels` (n,), and `targets` if there are any; `label` is the name of
             the array of classes where that is not "labels"
    .npy     `x`; `label` is the path of a second .npy file with the classes
    ======== ==========================================================================================

    Raises
    ------
    ValueError
        If the file is missing, unreadable or empty, the label is absent, a column is not numeric, or an entry
        is not finite (named by row and column).

    Examples
    --------
    >>> import kernel_collapse as kc, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "flowers.csv"
    >>> _ = path.write_text("width,length,species\n1.0,2.0,rose\n1.5,2.5,lily\n")
    >>> kc.data.load(path, label="species")
    <Dataset flowers: 2 samples, 2 features, classes of 1, 1>
    """
    path = _validate.path(path, "path", "the name of a .csv, .parquet, .npz or .npy file")
    if not path.is_file():
        raise ValueError(
            f"there is no file {str(path)!r}, expected a .csv, .parquet, .npz or .npy file: check the path."
        )
    kind = _validate.choice(
        path.suffix.lower(), (".csv", ".parquet", ".npz", ".npy"), f"the ending of {path.name!r}"
    )
    if kind in (".csv", ".parquet"):
        return _from_table(_read_table(path), path, label)
    return _from_numpy_file(path, label)


def shipped(name: str) -> Dataset:
    """Return a table of real data that comes with scikit-learn; nothing is downloaded.

    =============== ======= ======== ======= ==========================================================
    name            samples features classes what it holds
    =============== ======= ======== ======= ==========================================================
    "digits"        1797    64       10      images of handwritten digits, 8 x 8 pixels of 0 to 16
    "wine"          178     13       3       chemical analyses of wines of three cultivars
    "breast-cancer" 569     30       2       measurements of cell nuclei, benign and malignant tumours
    =============== ======= ======== ======= ==========================================================

    The features of wine and breast cancer differ in scale by orders of magnitude: see `standardize`.

    Raises
    ------
    ValueError
        If there is no table of that name; the closest names are suggested.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.shipped("breast-cancer")
    <Dataset breast-cancer: 569 samples, 30 features, classes of 357, 212>
    """
    _validate.choice(name, SHIPPED, "name")
    from sklearn import datasets  # takes a second to import

    table = getattr(datasets, f"load_{name.replace('-', '_')}")()
    labels = table.target_names[table.target]
    return dataset_of(
        _validate.matrix(table.data, "x"), labels, None, name, tuple(map(str, table.feature_names))
    )


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    header = None
    try:
        if path.suffix.lower() == ".csv":
            table, header = pd.read_csv(path), pd.read_csv(path, header=None, nrows=1, dtype=str)
        else:
            table = pd.read_parquet(path)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path.name} is empty, expected a header and one sample a row.") from None
    except (ValueError, OSError, UnicodeDecodeError) as error:  # pandas' parser and Arrow's errors are these
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path.name} cannot be read as {path.suffix[1:].upper()} ({first}), expected a header and one sample "
            "a row: check the file and its ending."
        ) from None
    # As the file has them: pandas renames the second of two columns, and a second label would be a feature.
    names = table.columns if header is None else header.iloc[0].dropna()
    twice = [name for name, times in Counter(map(str, names)).items() if times > 1]
    if twice:
        raise ValueError(
            f"{path.name} has several columns {twice[0]!r}, expected a name of its own for each: rename or drop one."
        )
    return table


def _from_table(table: pd.DataFrame, path: Path, label: str | None) -> Dataset:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    table.columns = [str(column) for column in table.columns]
    if table.empty:
        raise ValueError(
            f"{path.name} has {len(table)} rows of {len(table.columns)} columns, expected some of each."
        )
    label = "label" if label is None else label
    if label not in table.columns:
        columns = ", ".join(map(repr, table.columns[:20])) + (", ..." if len(table.columns) > 20 else "")
        raise ValueError(
            f"{path.name} has no column {label!r}, expected the column of classes: choose from {columns}."
        )
    x = table.drop(columns=label)
    unnamed = [c for c in x.columns if c.startswith("Unnamed: ")]
    if unnamed:
        raise ValueError(
            f"column {table.columns.get_loc(unnamed[0])} of {path.name} has no name, expected a name for every column: "
            "a saved row index is no feature, drop it (index=False in pandas)."
        )
    text = [c for c in x.columns if not (is_numeric_dtype(x[c]) or is_bool_dtype(x[c]))]
    if text:
        shown = ", ".join(map(repr, text[:5])) + (f" and {len(text) - 5} more" if len(text) > 5 else "")
        raise ValueError(
            f"{path.name} has columns that are not numeric ({shown}), expected numbers: drop or encode them."
        )
    values = x.to_numpy(dtype=float, na_value=np.nan)
    clean = _validate.matrix(values, "x", columns=tuple(x.columns))
    labels = [
        None if missing else value for value, missing in zip(table[label], table[label].isna(), strict=True)
    ]
    return dataset_of(clean, labels, None, path.stem, tuple(x.columns))


def _from_numpy_file(path: Path, label: str | None) -> Dataset:
    if path.suffix.lower() == ".npy":
        if label is None:
            raise ValueError(
                f"{path.name} holds no labels, expected label= to name a .npy file with one label a row."
            )
        return dataset_of(_validate.matrix(_read_numpy(path), "x"), _read_numpy(Path(label)), None, path.stem)
    archive = _read_numpy(path)
    label = "labels" if label is None else label
    for key in ("x", label):
        if key not in archive:
            raise ValueError(
                f"{path.name} has no array {key!r}, expected 'x' and {label!r}: it holds "
                f"{', '.join(map(repr, archive))}."
            )
    x = _validate.matrix(archive["x"], "x")
    return dataset_of(x, archive[label], archive.get("targets"), path.stem)


def _read_numpy(path: Path) -> Any:
    """Return an array, or a dictionary of the arrays of an archive."""
    if not path.is_file():
        raise ValueError(
            f"there is no file {str(path)!r}, expected a .npy file with one label a row: check the path."
        )
    try:
        with path.open("rb") as file:  # by its name NumPy would leave it open where it is no archive
            content = np.load(file)
            return content if isinstance(content, np.ndarray) else dict(content)
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(
            f"{path.name} cannot be read ({error}), expected arrays saved by NumPy without objects."
        ) from None
