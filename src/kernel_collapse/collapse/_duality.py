"""NC3 and what else compares a classifier with the class means: GNC3, UNC3, the bias, and NC2 of its rows."""

from __future__ import annotations

from typing import Any, NamedTuple

from kernel_collapse import _arrays
from kernel_collapse._shapes import Float
from kernel_collapse.collapse._round_off import LEAST, Measured
from kernel_collapse.collapse._simplex import cosines_of, measured_nc2, to_simplex

__all__ = ["OF_CLASSIFIER", "Classifier", "Outputs", "Rows", "measured_duality", "measured_nc3", "nc3"]

#: The metrics that need a classifier, but for those that are shares of samples.
OF_CLASSIFIER = (
    *("nc2_classifier_norms", "nc2_classifier_angles", "nc2_classifier_maximal_angle", "nc2_classifier_gram"),
    *("nc3", "nc3_cosine", "nc3_uncentred", "nc3_cosine_uncentred", "nc3_self_duality"),
    *("gnc3", "unc3", "unc3_cosine", "nc_bias"),
)


class Rows(NamedTuple):
    """The rows of W as they are, against each other and against the class means.

    An entry of W M' errs by `unit` times the sizes of its row and its mean, one of W W' by it times those of two rows.
    """

    cross: Float[Any, "C C"]  # W M'
    gram: Float[Any, "C C"]  # W W'
    unit: Any
    row_sizes: Float[Any, " C"]
    mean_sizes: Float[Any, " C"]


class Outputs(NamedTuple):
    """The outputs at the global mean, b + W h_G, their errors, and sizes of outputs that they are compared with."""

    values: Float[Any, " k"]
    errors: Float[Any, " k"]
    sizes: Float[Any, " k"]


class Classifier(NamedTuple):
    """What is needed of the last layer, row c of which speaks for class c, with bounds of errors."""

    rows: Float[Any, "C C"]  # W M', W centred like the means
    rows_error: Any  # of its Frobenius norm
    square: Any  # |W|^2, W centred
    square_error: Any
    plain: Rows
    outputs: Outputs | None  # none where the bias is not known
    exponent: int = 0  # of the power of two by which W and its errors were divided, but not the outputs


def nc3(rows: Float[Any, "C C"], square: Any, products: Float[Any, "C C"]) -> tuple[Any, Any]:
    """Return the distance of W M' to the simplex, both of norm 1, and the cosine between W and M.

    `rows` is W M', `square` is |W|^2 and `products` M M' of centred class means. NaN where the classifier is 0 or sees
    no difference between the means.
    """
    xp = _arrays.namespace(products)
    largest = xp.max(xp.abs(rows))
    spread = xp.sum(xp.linalg.diagonal(products))
    known = (square > 0) & (spread > 0)
    nan = xp.zeros_like(spread) + float("nan")
    size = _arrays.sqrt(xp, xp.where(known, square, nan)) * _arrays.sqrt(xp, xp.where(known, spread, nan))
    scaled = rows / xp.where(largest > 0, largest, xp.ones_like(largest))  # so that sums do not overflow
    return to_simplex(rows), xp.sum(xp.linalg.diagonal(scaled)) * (largest / size)


def measured_duality(
    classifier: Classifier, products: Float[Any, "C C"], errors: Float[Any, "C C"]
) -> dict[str, Measured]:
    """Return the metrics of `OF_CLASSIFIER`, given the products of the centred class means, with errors."""
    xp = _arrays.namespace(products)
    plain = classifier.plain
    cross_error = plain.unit * _arrays.norm(plain.row_sizes) * _arrays.norm(plain.mean_sizes)
    square, square_error = (
        xp.sum(xp.linalg.diagonal(plain.gram)),
        plain.unit * _arrays.norm(plain.row_sizes) ** 2,
    )
    distance, cosine = measured_nc3(plain.cross, cross_error, square, square_error, products, errors)
    centred = measured_nc3(*classifier[:4], products, errors)
    of_rows = plain.unit * plain.row_sizes[:, None] * plain.row_sizes[None, :]
    # The square of a row that is tiny beside the others has fewer digits, or none.
    of_rows = of_rows + float(xp.finfo(of_rows.dtype).smallest_normal)
    nc2_of_rows = measured_nc2(plain.gram, of_rows)
    nan = xp.zeros_like(square) + float("nan")
    return {
        **{
            f"nc2_classifier_{name}": nc2_of_rows[name]
            for name in ("norms", "angles", "maximal_angle", "gram")
        },
        "nc3": centred[0],
        "nc3_cosine": centred[1],
        "nc3_uncentred": distance,
        "nc3_cosine_uncentred": cosine,
        "nc3_self_duality": _self_duality(cosine),
        **_class_by_class(plain, of_rows, products, errors, classifier.exponent),
        "nc_bias": Measured(nan, nan) if classifier.outputs is None else _length(classifier.outputs),
    }


def measured_nc3(
    rows: Float[Any, "C C"],
    rows_error: Any,
    square: Any,
    square_error: Any,
    products: Float[Any, "C C"],
    errors: Float[Any, "C C"],
) -> tuple[Measured, Measured]:
    """Return `nc3` with errors, to first order."""
    xp = _arrays.namespace(products)
    # A square that is lost in its error still has a sign: what is made of it is lost as well, and said to be.
    lost = square <= square_error
    square = xp.where(lost, square_error, square)
    distance, cosine = nc3(rows, square, products)
    norm = _arrays.norm(rows)
    norm = xp.where(norm > 0, norm, xp.ones_like(norm))
    spread = xp.sum(xp.linalg.diagonal(products))
    spread_error = xp.sum(xp.linalg.diagonal(errors))
    positive = (square > 0) & (spread > 0)
    size = xp.sqrt(xp.where(positive, square, xp.ones_like(square))) * xp.sqrt(
        xp.where(positive, spread, xp.ones_like(spread))
    )
    of_sizes = square_error / xp.where(positive, square, xp.ones_like(square))
    of_sizes = 0.5 * (of_sizes + spread_error / xp.where(positive, spread, xp.ones_like(spread)))
    error = rows_error / size + xp.abs(cosine) * of_sizes
    return (
        Measured(distance, 2.0 * rows_error / norm, LEAST),
        Measured(cosine, xp.where(lost & (error > 0), float("inf") + error, error), LEAST),
    )


def _self_duality(cosine: Measured) -> Measured:
    """Return |W/|W| - M/|M||, whose square is 2 - 2 cos: where that is small, its error is the root of that of cos."""
    xp = _arrays.namespace(cosine.value)
    square = 2.0 - 2.0 * cosine.value
    distance = _arrays.sqrt(xp, xp.where(square < 0.0, xp.zeros_like(square), square))
    root = xp.sqrt(2.0 * cosine.error)
    far = distance > root
    error = xp.where(far, 2.0 * cosine.error / xp.where(far, distance, xp.ones_like(distance)), root)
    return Measured(distance, error, LEAST)


def _class_by_class(
    plain: Rows,
    of_rows: Float[Any, "C C"],
    products: Float[Any, "C C"],
    errors: Float[Any, "C C"],
    exponent: int,
) -> dict[str, Measured]:
    """Return what compares each row of W with its own class mean."""
    xp = _arrays.namespace(products)
    classes = products.shape[0]
    inner = xp.linalg.diagonal(plain.cross)
    inner_error = plain.unit * plain.row_sizes * plain.mean_sizes
    lengths, known = [], []
    for gram, error in ((plain.gram, of_rows), (products, errors)):
        square, square_error = xp.linalg.diagonal(gram), xp.linalg.diagonal(error)
        known.append(square > square_error)
        lengths.append(xp.sqrt(xp.where(known[-1], square, xp.ones_like(square))))
    of_norms = cosines_of(plain.gram, of_rows)[2] + cosines_of(products, errors)[2]
    size = lengths[0] * lengths[1]
    nan = xp.zeros_like(inner) + float("nan")
    cosines = xp.where(known[0] & known[1], inner / size, nan)
    off = inner_error / size + xp.abs(cosines) * of_norms
    level = xp.sum(cosines) / classes
    scatter = xp.sum((cosines - level) ** 2) / classes
    return {
        "gnc3": Measured(1.0 - level, xp.sum(off) / classes, LEAST),
        "unc3": _variance(*(_arrays.shifted(values, exponent) for values in (inner, inner_error))),
        "unc3_cosine": Measured(scatter, _of_variance(scatter, off), LEAST),
    }


def _variance(values: Float[Any, " C"], errors: Float[Any, " C"]) -> Measured:
    """Return the variance of values in units of their own; infinite, which is not resolved, where it is no float."""
    xp = _arrays.namespace(values)
    limits = xp.finfo(values.dtype)
    least, most = (float(limits.smallest_normal) ** 0.5 / float(limits.eps), 0.5 * float(limits.max) ** 0.5)
    largest = xp.max(xp.abs(values))
    fits = ((largest > least) & (largest < most)) | (largest == 0.0)
    unit = xp.where(fits & (largest > 0), largest, xp.ones_like(largest))
    values = xp.where(fits, values / unit, xp.zeros_like(values))
    square = xp.sum(values * values) / values.shape[0]
    variance = xp.sum((values - xp.sum(values) / values.shape[0]) ** 2) / values.shape[0]
    error = _of_variance(variance, xp.where(fits, errors / unit, xp.zeros_like(values)))
    nothing = xp.where(fits, xp.zeros_like(largest), xp.zeros_like(largest) + float("inf"))
    return Measured(variance * unit * unit + nothing, error * unit * unit, LEAST * square * unit * unit)


def _of_variance(variance: Any, errors: Float[Any, " C"]) -> Any:
    """Return how far errors of this size move a variance."""
    xp = _arrays.namespace(errors)
    rms = _arrays.norm(errors) / errors.shape[0] ** 0.5
    return 2.0 * xp.sqrt(variance) * rms + rms * rms


def _length(outputs: Outputs) -> Measured:
    sizes = _arrays.norm(outputs.sizes)
    return Measured(_arrays.norm(outputs.values), _arrays.norm(outputs.errors), LEAST * sizes)
