"""What an `Accumulator` is given, checked: batches of features with their classes, a classifier, and class means."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_collapse import _objects, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int

__all__ = ["class_means", "classifier", "read"]


def read(
    features: Any, labels: Any, logits: Any, shape: tuple[int, int]
) -> tuple[Float[np.ndarray, "m p"], Int[np.ndarray, " m"], Int[np.ndarray, " m"] | None]:
    """Return a batch in float64, its classes, and the classes that logits decide for."""
    n_classes, dim = shape
    batch = _validate.matrix(features, "features", numpy=True)
    if batch.shape[1] != dim:
        raise InputError("features", f"shape {batch.shape}", f"{dim} columns, as many as dim", verb="have")
    _validate.squarable(batch, "features")
    codes = _class_numbers(labels, n_classes)
    _validate.as_many(len(batch), "features", len(codes))
    if logits is None:
        return batch, codes, None
    outputs = (len(codes), n_classes)
    scores = _validate.shaped(_validate.in_numpy(logits, "logits"), "logits", outputs, "an output a class")
    return batch, codes, np.argmax(scores, axis=1)


def _class_numbers(labels: Any, n_classes: int) -> Int[np.ndarray, " m"]:
    values = _objects.numbers(_validate.in_numpy(labels, "labels"), "labels", rounded=True)
    if values.ndim != 1:
        raise InputError("labels", f"shape {values.shape}", "(m,)", "a class number a sample", verb="have")
    bad = values[~((values >= 0) & (values < n_classes) & (values == np.floor(values)))]
    if len(bad):
        raise InputError(
            "labels",
            f"{bad[0]:g}",
            f"whole numbers from 0 to {n_classes - 1}",
            "number the classes, or make the accumulator with more of them",
            verb="hold",
        )
    return np.asarray(values, dtype=np.int64)


def classifier(
    weights: Any, bias: Any, shape: tuple[int, int]
) -> tuple[Float[np.ndarray, "C p"] | None, Float[np.ndarray, " C"] | None]:
    """Return weights and bias of a last layer, where they are given."""
    if weights is None:
        if bias is not None:
            raise InputError("a bias", "given without a classifier", "its weights", "give classifier=")
        return None, None
    given = _validate.in_numpy(weights, "classifier")
    clean: Float[np.ndarray, "C p"] = _validate.shaped(given, "classifier", shape, "a row a class")
    if bias is not None:
        bias = _validate.shaped(_validate.in_numpy(bias, "bias"), "bias", shape[:1], "one value an output")
    return clean, bias


def class_means(given: Any, shape: tuple[int, int]) -> Float[np.ndarray, "C p"]:
    """Return class means, of which whole rows may be NaN."""
    numbers = _objects.numbers(_validate.in_numpy(given, "class_means"), "class_means")
    if numbers.shape != shape:
        raise InputError("class_means", f"shape {numbers.shape}", f"{shape}", "a mean a class", verb="has")
    means = np.array(numbers, dtype=float)
    seen = ~np.isnan(means).all(axis=1)
    if not seen.any():
        raise InputError("class_means", "NaN for every class", "the mean of a class at least", verb="hold")
    rows = np.flatnonzero(seen)
    means[seen] = _validate.matrix(means[seen], "class_means", row_numbers=rows)
    return means
