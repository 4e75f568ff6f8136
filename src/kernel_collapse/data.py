"""Data sets: Gaussian classes, arrays in memory, tables in files and in scikit-learn; their parts and scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from kernel_collapse import _validate

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "D1_MEANS",
    "D2_MEANS",
    "SHIPPED",
    "Dataset",
    "from_arrays",
    "gaussian_classes",
    "load",
    "shipped",
    "split",
    "standardize",
    "subset",
]

#: Coordinates of the class means of the paper's two data sets; the standard deviation is 0.5.
D1_MEANS = (-2.0, 2.0)
D2_MEANS = (-6.0, -2.0, 2.0, 6.0)
_D2_TARGETS = (-3.0, -1.0, 1.0, 3.0)

#: Tables of `shipped`: samples, features and classes, so that they are known without loading scikit-learn.
SHIPPED = {"digits": (1797, 64, 10), "wine": (178, 13, 3), "breast-cancer": (569, 30, 2)}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with their classes and regression targets.

    Attributes
    ----------
    x : ndarray, shape (n, d)
        Inputs, one sample a row.
    labels : ndarray of int, shape (n,)
        Class of each sample, 0..C-1.
    targets : ndarray, shape (n, k)
        Regression targets.
    name : str
        For titles and tables.
    classes : tuple, length C
        The label that the user gave to each class.
    features : tuple of str, length d
        Names of the columns of `x`; empty where they have none.
    """

    x: Float[np.ndarray, "n d"]
    labels: Int[np.ndarray, " n"]
    targets: Float[np.ndarray, "n k"]
    name: str = "data"
    classes: tuple[Any, ...] = ()
    features: tuple[str, ...] = ()

    @property
    def class_sizes(self) -> tuple[int, ...]:
        """Number of samples in each class."""
        return tuple(int(size) for size in np.bincount(self.labels))

    def __repr__(self) -> str:
        n, d = self.x.shape
        return f"<Dataset {self.name}: {n} samples, {d} features, classes of {', '.join(map(str, self.class_sizes))}>"


def gaussian_classes(
    n: int = 1024,
    dim: int = 1,
    *,
    class_means: Sequence[ArrayLike] = D1_MEANS,
    class_stds: ArrayLike | Sequence[ArrayLike] = 0.5,
    class_covariances: Sequence[ArrayLike] | None = None,
    class_sizes: Sequence[int] | None = None,
    class_targets: ArrayLike | None = None,
    seed: int = 0,
) -> Dataset:
    r"""Return samples of a Gaussian mixture, class after class.

    The paper's D1 is the default; its D2 is ``class_means=D2_MEANS``. The samples are those of
    ``rng = numpy.random.default_rng(seed)``, class after class ``mean + std * rng.normal(size=(n_c, dim))``,
    so that anyone can make them again. A full covariance S takes the place of the standard deviation by its
    lower Cholesky factor: ``mean + rng.normal(size=(n_c, dim)) @ cholesky(S).T``.

    Parameters
    ----------
    n, dim : int
        Number of samples in all, and of features.
    class_means : sequence of C numbers or of C arrays of shape (dim,)
        A number stands for the same mean in every coordinate.
    class_stds : number, or sequence of C numbers or of C arrays of shape (dim,)
        Standard deviation in every coordinate.
    class_covariances : sequence of C numbers, of shape (dim,) or of shape (dim, dim), optional
        Variance, variances of the coordinates, or covariance matrix of each class; in place of `class_stds`.
    class_sizes : sequence of C int, optional
        Samples in each class; as equal as can be by default.
    class_targets : array_like, shape (C,) or (C, k), optional
        Regression target of each class. By default -1, +1 for two classes, -3, -1, 1, 3 for D2, else one-hot.
    seed : int
        Seed of the generator.

    Returns
    -------
    Dataset
        With `targets` of shape (n, 1) or (n, k).

    Raises
    ------
    ValueError
        If sizes do not add up, a class is empty, a variance is not positive, or shapes do not match.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.gaussian_classes(n=6, dim=2, class_sizes=(2, 4))
    <Dataset D1: 6 samples, 2 features, classes of 2, 4>
    """
    n, dim = _validate.count(n, "n"), _validate.count(dim, "dim")
    seed = _validate.count(seed, "seed", least=0)
    means = _means(class_means, dim)
    sizes = _validate.class_sizes(class_sizes, n, len(means))
    scales = _scales(class_stds, class_covariances, len(means), dim)
    targets = _class_targets(class_targets, class_means, len(means))
    rng = np.random.default_rng(seed)
    samples = []
    for mean, scale, size in zip(means, scales, sizes, strict=True):
        noise = rng.normal(size=(size, dim))
        samples.append(mean + (noise @ scale.T if scale.ndim == 2 else scale * noise))
    labels = np.repeat(np.arange(len(means)), sizes)
    name = {D1_MEANS: "D1", D2_MEANS: "D2"}.get(_as_numbers(class_means), "")
    stds = _as_numbers(class_stds if hasattr(class_stds, "__len__") else [class_stds])
    default_law = class_covariances is None and set(stds) == {0.5}
    return Dataset(
        np.vstack(samples),
        labels,
        targets[labels],
        name if name and default_law else "gaussian_classes",
        tuple(range(len(means))),
    )


def from_arrays(
    x: ArrayLike, labels: Any, targets: ArrayLike | None = None, *, name: str = "data"
) -> Dataset:
    """Return a data set from arrays in memory.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Inputs, one sample a row.
    labels : sequence, length n
        Any hashable values (numbers, strings, ...), in any order. Classes are numbered in sorted order.
    targets : array_like, shape (n,) or (n, k), optional
        Regression targets; by default -1, +1 for two classes, else one-hot.
    name : str
        For titles and tables.

    Returns
    -------
    Dataset
        With `classes` holding the original labels.

    Raises
    ------
    ValueError
        If an entry is not a finite number, lengths differ, a label is missing, or there is only one class.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.from_arrays([[0.0], [1.0], [5.0]], ["cat", "dog", "cat"])
    >>> data.labels.tolist(), data.classes, data.targets.ravel().tolist()
    ([0, 1, 0], ('cat', 'dog'), [-1.0, 1.0, -1.0])
    """
    return _dataset(_validate.matrix(x, "x"), labels, targets, name)


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
    path = Path(path)
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
    return _dataset(
        _validate.matrix(table.data, "x"), labels, None, name, tuple(map(str, table.feature_names))
    )


def standardize(dataset: Dataset, *, like: Dataset | None = None) -> Dataset:
    """Return the data set with every feature at mean 0 and standard deviation 1; constant ones become 0.

    Parameters
    ----------
    dataset : Dataset
        What to scale.
    like : Dataset, optional
        Whose means and deviations are used, of held-out samples those of the training samples; `dataset` by default.

    Raises
    ------
    ValueError
        If the two have not the same number of features.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.standardize(kc.data.from_arrays([[0.0, 5.0], [2.0, 5.0]], ["a", "b"])).x
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    known = dataset if like is None else like
    if known.x.shape[1] != dataset.x.shape[1]:
        raise ValueError(
            f"the samples have {dataset.x.shape[1]} features and those they are scaled like {known.x.shape[1]}, "
            "expected as many."
        )
    mean = known.x.mean(axis=0)
    scale = (known.x - mean).std(axis=0)
    # A column that is constant up to round-off has no scale of its own.
    constant = scale <= 1e-12 * np.abs(known.x).max(axis=0)
    return replace(dataset, x=np.where(constant, 0.0, (dataset.x - mean) / np.where(constant, 1.0, scale)))


def subset(dataset: Dataset, n: int, *, seed: int = 0) -> Dataset:
    """Return a random part of `n` samples, with every class in it and in about its share, in the order of the table.

    Parameters
    ----------
    dataset : Dataset
        What to draw from.
    n : int
        Number of samples, from one a class to all.
    seed : int
        Seed of the generator.

    Raises
    ------
    ValueError
        If `n` is more than there are samples, or less than there are classes.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.subset(kc.data.shipped("wine"), 30)
    <Dataset wine: 30 samples, 13 features, classes of 10, 12, 8>
    """
    n, seed = _validate.count(n, "n"), _validate.count(seed, "seed", least=0)
    least, most = len(_present(dataset)), len(dataset.labels)
    if not least <= n <= most:
        raise ValueError(
            f"n is {n}, expected {least} to {most}: a sample of each class at least, and all of them at most."
        )
    return _rows(dataset, _stratified(dataset, n, seed))


def split(dataset: Dataset, holdout: float = 0.2, *, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Return a random training and test set, with every class in about its share in both, in the table's order.

    Every class keeps at least one training sample; one that is small may be missing in the test set.

    Parameters
    ----------
    dataset : Dataset
        What to split.
    holdout : float
        Fraction of the samples that is the test set, more than 0 and less than 1.
    seed : int
        Seed of the generator.

    Returns
    -------
    train, test : Dataset
        `train` is the `subset` of that size and seed.

    Raises
    ------
    ValueError
        If `holdout` is out of range, holds out no sample, or leaves fewer training samples than there are classes.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> train, test = kc.data.split(kc.data.shipped("wine"), holdout=0.25)
    >>> train.class_sizes, test.class_sizes
    ((45, 53, 36), (14, 18, 12))
    """
    fraction = _validate.positive(holdout, "holdout")
    n, seed = len(dataset.labels), _validate.count(seed, "seed", least=0)
    if fraction >= 1:
        raise ValueError(
            f"holdout is {holdout!r}, expected a fraction of the samples, more than 0 and less than 1: try 0.2."
        )
    held, classes = round(fraction * n), len(_present(dataset))
    if held == 0 or held > n - classes:
        raise ValueError(
            f"holdout {holdout!r} makes a test set of {held} of {n} samples, expected 1 to {n - classes}: one sample "
            f"at least to test with, and one of each of {classes} classes to train with."
        )
    train = _stratified(dataset, n - held, seed)
    return _rows(dataset, train), _rows(dataset, np.setdiff1d(np.arange(n), train))


def _as_numbers(values: Any) -> tuple[Any, ...]:
    """Return a tuple of floats if these are numbers, else an empty one."""
    try:
        return tuple(float(v) for v in values)
    except (TypeError, ValueError):
        return ()


def _class_vector(value: ArrayLike, what: str, dim: int) -> Float[np.ndarray, " d"]:
    """Return a vector of `dim` finite numbers, a single number repeated."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all() or array.shape not in ((), (dim,)):
        raise ValueError(
            f"{what} is {value!r}, expected a finite number or one for each of {dim} coordinates."
        )
    return np.broadcast_to(array, (dim,)).astype(float)


def _means(class_means: Sequence[ArrayLike], dim: int) -> list[Float[np.ndarray, " d"]]:
    if not hasattr(class_means, "__len__") or len(class_means) < 2:
        raise ValueError(
            f"class_means is {class_means!r}, expected the means of at least two classes, as in (-2, 2)."
        )
    return [_class_vector(mean, f"the mean of class {c}", dim) for c, mean in enumerate(class_means)]


def _scales(
    stds: ArrayLike | Sequence[ArrayLike], covariances: Sequence[ArrayLike] | None, n_classes: int, dim: int
) -> list[np.ndarray]:
    """Return standard deviations (d,), or a Cholesky factor (d, d), for each class."""
    given: Any
    given, what = (stds, "class_stds") if covariances is None else (covariances, "class_covariances")
    values: list[Any] = list(given) if hasattr(given, "__len__") else [given] * n_classes
    if len(values) != n_classes:
        raise ValueError(
            f"{what} has {len(values)} entries, expected {n_classes}: one a class, as in class_means."
        )
    scales = []
    for c, value in enumerate(values):
        if covariances is not None and np.ndim(value) == 2:
            scales.append(_cholesky(value, c, dim))
            continue
        name = "standard deviation" if covariances is None else "variance"
        vector = _class_vector(value, f"the {name} of class {c}", dim)
        if (vector <= 0).any():
            raise ValueError(
                f"the {name} of class {c} is {value!r}, expected more than zero in every coordinate."
            )
        scales.append(vector if covariances is None else np.sqrt(vector))
    return scales


def _cholesky(value: ArrayLike, c: int, dim: int) -> Float[np.ndarray, "d d"]:
    covariance = _validate.matrix(value, f"the covariance of class {c}")
    if covariance.shape != (dim, dim) or not np.allclose(covariance, covariance.T, rtol=1e-12, atol=0.0):
        raise ValueError(
            f"the covariance of class {c} has shape {covariance.shape}, expected a symmetric {dim} x {dim} matrix."
        )
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh(covariance)[0]
        raise ValueError(
            f"the covariance of class {c} has the eigenvalue {lowest:.3g}, expected all to be positive: "
            "no direction may have zero or negative variance."
        ) from None


def _class_targets(
    targets: ArrayLike | None, class_means: Sequence[ArrayLike], n_classes: int
) -> Float[np.ndarray, "C k"]:
    if targets is None:
        if _as_numbers(class_means) == D2_MEANS:
            return np.array(_D2_TARGETS)[:, None]
        return _default_targets(n_classes)
    clean = _column(targets, "class_targets")
    if len(clean) != n_classes:
        raise ValueError(f"class_targets has {len(clean)} rows, expected {n_classes}: one a class.")
    return clean


def _default_targets(n_classes: int) -> Float[np.ndarray, "C k"]:
    return np.array([[-1.0], [1.0]]) if n_classes == 2 else np.eye(n_classes)


def _column(values: ArrayLike, what: str) -> Float[np.ndarray, "n k"]:
    array = np.asarray(values)
    return _validate.matrix(array[:, None] if array.ndim == 1 else array, what)


def _dataset(
    x: Float[np.ndarray, "n d"],
    labels: Any,
    targets: ArrayLike | None,
    name: str,
    features: tuple[str, ...] = (),
) -> Dataset:
    codes, classes = _validate.encode_labels(labels)
    if len(codes) != len(x):
        raise ValueError(
            f"x has {len(x)} rows and there are {len(codes)} labels, expected as many labels as rows."
        )
    values = _default_targets(len(classes))[codes] if targets is None else _column(targets, "targets")
    if len(values) != len(x):
        raise ValueError(f"x has {len(x)} rows and targets {len(values)}, expected as many targets as rows.")
    return Dataset(x, codes, values, name, classes, features)


def _present(dataset: Dataset) -> Int[np.ndarray, " C"]:
    """Return the classes that have a sample."""
    return np.unique(dataset.labels)


def _rows(dataset: Dataset, index: Int[np.ndarray, " m"]) -> Dataset:
    return replace(dataset, x=dataset.x[index], labels=dataset.labels[index], targets=dataset.targets[index])


def _stratified(dataset: Dataset, n: int, seed: int) -> Int[np.ndarray, " n"]:
    """Return `n` rows in ascending order: one of each class, the rest in proportion to what each has left."""
    classes, sizes = np.unique(dataset.labels, return_counts=True)
    spare = sizes - 1
    share = (n - len(classes)) * spare / max(spare.sum(), 1)
    whole = np.floor(share).astype(int)
    missing = n - len(classes) - whole.sum()  # rounded up are the shares that rounding down takes most from
    whole[np.argsort(whole - share, kind="stable")[:missing]] += 1
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(dataset.labels == c))[: 1 + extra]
        for c, extra in zip(classes, whole, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path.name} is empty, expected a header and one sample a row.") from None
    except (ValueError, OSError, UnicodeDecodeError) as error:  # pandas' parser and Arrow's errors are these
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path.name} cannot be read as {path.suffix[1:].upper()} ({first}), expected a header and one sample "
            "a row: check the file and its ending."
        ) from None


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
    return _dataset(clean, labels, None, path.stem, tuple(x.columns))


def _from_numpy_file(path: Path, label: str | None) -> Dataset:
    if path.suffix.lower() == ".npy":
        if label is None:
            raise ValueError(
                f"{path.name} holds no labels, expected label= to name a .npy file with one label a row."
            )
        return _dataset(_validate.matrix(_read_numpy(path), "x"), _read_numpy(Path(label)), None, path.stem)
    archive = _read_numpy(path)
    label = "labels" if label is None else label
    for key in ("x", label):
        if key not in archive:
            raise ValueError(
                f"{path.name} has no array {key!r}, expected 'x' and {label!r}: it holds "
                f"{', '.join(map(repr, archive))}."
            )
    x = _validate.matrix(archive["x"], "x")
    return _dataset(x, archive[label], archive.get("targets"), path.stem)


def _read_numpy(path: Path) -> Any:
    """Return an array, or a dictionary of the arrays of an archive."""
    if not path.is_file():
        raise ValueError(
            f"there is no file {str(path)!r}, expected a .npy file with one label a row: check the path."
        )
    try:
        content = np.load(path)
        if isinstance(content, np.ndarray):
            return content
        with content as archive:
            return dict(archive)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"{path.name} cannot be read ({error}), expected arrays saved by NumPy without objects."
        ) from None
