"""The last layer after features, which an .npz file holds or which is fitted, and the collapse of such features."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernel_collapse import _memory, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._pixels import channels_last
from kernel_collapse._ridge import ridge_of_features
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse import (
    Collapse,
    Geometry,
    Weighting,
    collapse_from_features,
    geometry_from_features,
)
from kernel_collapse.collapse._from_features import held_out_of_features
from kernel_collapse.data import Dataset
from kernel_collapse.data.archives import shape_of_features

__all__ = ["Readout", "of_features", "of_samples", "read"]


@dataclass(frozen=True)
class Readout:
    """What a file of features has of the layer after them, and of samples of another distribution.

    Attributes
    ----------
    classifier : array, shape (C, p), or None
        Weights, a row a class of the data set.
    bias : array, shape (C,), or None
        Of the classifier.
    ood_features : array, shape (m, p), or None
        Features of samples of another distribution, for NC5.
    notes : tuple of str
        What a reader of the numbers should know.
    """

    classifier: Float[np.ndarray, "C p"] | None = None
    bias: Float[np.ndarray, " C"] | None = None
    ood_features: Float[np.ndarray, "m p"] | None = None
    notes: tuple[str, ...] = ()


def read(path: Path, dataset: Dataset, label: str | None = None) -> Readout:
    """Return the arrays `classifier`, `bias` and `ood_features` of an .npz file, as far as they are there.

    The data set is the features of the file with the labels called `label`. A classifier has a column for each number
    of the features as the file holds them: where those are images whose channels are put last, its columns are too.
    Where the classifier has more rows than there are classes, and classes are whole numbers, they are its rows: those
    of classes without a sample are left out.

    Raises
    ------
    ValueError
        If they do not fit the features and classes, or cannot be read.
    """
    dim, classes = dataset.x.shape[1], dataset.classes
    names = ("classifier", "bias", "ood_features")
    try:
        with np.load(path, allow_pickle=False) as held:
            _memory.require(path.stat().st_size, f"the arrays of {path.name}", "save fewer samples")
            found = {name: held[name] for name in names if name in held}
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            path.name, f"be read ({error})", "arrays saved by NumPy", "save them anew", verb="cannot"
        ) from None
    ood = found.get("ood_features")
    if ood is not None:
        ood, _ = (
            channels_last(ood) if ood.ndim == 4 else (ood, ())
        )  # as of the features, which are rows by now
        ood = _validate.matrix(ood.reshape(len(ood), -1) if ood.ndim > 2 else ood, "ood_features")
    if "classifier" not in found:
        if "bias" in found:
            raise InputError(
                f"bias in {path.name}", "without a classifier", "both", "save classifier= beside it"
            )
        return Readout(
            ood_features=ood, notes=(f"{path.name} has no array 'classifier': NC3 and NC4 need one.",)
        )
    weights = _validate.matrix(found["classifier"], "classifier")
    if weights.shape[1] != dim:
        raise InputError(
            "classifier", f"shape {weights.shape}", f"(classes, {dim})", "a weight a feature", verb="has"
        )
    rows, notes = _rows(len(weights), classes)
    given = shape_of_features(path, label)[1:]
    if len(given) == 3 and given != dataset.image_shape:
        weights = np.moveaxis(weights.reshape(-1, *given), 1, 3).reshape(-1, dim)
    bias = None
    if "bias" in found:
        bias = _validate.shaped(found["bias"].ravel(), "bias", (len(weights),), "one value an output")[rows]
    else:
        notes = (*notes, f"{path.name} has no array 'bias': decisions are made without one.")
    return Readout(weights[rows], bias, ood, notes)


def _rows(count: int, classes: tuple[object, ...]) -> tuple[Int[np.ndarray, " C"], tuple[str, ...]]:
    """Return which rows of a classifier the classes are."""
    if count == len(classes):
        return np.arange(count), ()
    numbered = all(isinstance(name, int) and 0 <= name < count for name in classes)
    if count < len(classes) or not numbered:
        raise InputError(
            "classifier",
            f"{count} rows for {len(classes)} classes",
            "a row a class, in the order of the sorted labels",
            "label classes by the numbers of their rows if some have no sample",
            verb="has",
        )
    note = f"{count - len(classes)} rows of the classifier are of classes without a sample, and left out."
    return np.array(classes, dtype=np.int64), (note,)


def of_features(
    dataset: Dataset,
    readout: Readout,
    weighting: Weighting,
    test: Dataset | None = None,
    codes: Int[np.ndarray, " m"] | None = None,
) -> dict[str, tuple[Collapse, Geometry | None]]:
    """Return every metric of explicit features, and of held-out ones, whose classes are `codes`."""
    layer = {"classifier": readout.classifier, "bias": readout.bias}
    found: dict[str, tuple[Collapse, Geometry | None]] = {
        "training": (
            collapse_from_features(dataset.x, dataset.labels, weighting=weighting, **layer),
            geometry_from_features(dataset.x, dataset.labels, ood_features=readout.ood_features),
        )
    }
    if test is not None:
        held_out = held_out_of_features(
            dataset.x, dataset.labels, test.x, codes, weighting=weighting, names=dataset.classes, **layer
        )
        found["held-out"] = (held_out, None)
    return found


def of_samples(
    dataset: Dataset,
    weighting: Weighting,
    test: Dataset | None = None,
    codes: Int[np.ndarray, " m"] | None = None,
) -> dict[str, Collapse]:
    """Return every metric of the samples as their own features, with the classifier that is fitted to their targets.

    A Gram matrix would lose digits that the samples have.
    """
    classifier = ridge_of_features(dataset.x, dataset.targets)
    layer: dict[str, Any] = {}
    if classifier is not None:
        layer = {"classifier": classifier, "bias": np.zeros(len(classifier)), "targets": dataset.targets}
    x, labels = dataset.x, dataset.labels
    found = {"training": collapse_from_features(x, labels, weighting=weighting, **layer)}
    if test is not None:
        found["held-out"] = held_out_of_features(
            x, labels, test.x, codes, weighting=weighting, names=dataset.classes, **layer
        )
    return found
