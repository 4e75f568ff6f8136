r"""Every metric of neural collapse, from a Gram matrix or from features.

With M the class means centred at the global mean (C x p), Bc = M M', W the classifier (C x p), whose row c is what
speaks for class c, centred like the means because what all rows share decides nothing, and q, u, p the weights of
`kernel_collapse.nc1`:

=========================  ==========================================================  ============================
`Collapse`                 what it is                                                  from the Gram matrix K
=========================  ==========================================================  ============================
``nc1``                    tr S_W / tr S_B                                             diag K, B = P'KP
``nc1_pinv``               tr(S_W S_B^+) / C                                           B, Z = E'(K - K P[:, labels])
``cdnv``                   (v_c + v_c') / (2 \|m_c - m_c'\|^2), mean over pairs          diag K, B
``nc2_norms``              coefficient of variation of the norms of M's rows           B
``nc2_angles``             standard deviation of the cosines between M's rows          B
``nc2_etf``                \|cosines - (C I - 11')/(C - 1)\|_F                           B
``nc3``                    \|WM'/\|WM'\|_F - (I - 11'/C)/sqrt(C - 1)\|_F                  alpha'KE
``nc3_cosine``             <W, M>_F / (\|W\|_F \|M\|_F)                                   alpha'KE, alpha'K alpha
``nc4``                    share of samples whose nearest class mean is the class      K P, K alpha
                           that the classifier decides for
=========================  ==========================================================  ============================

E = P - (P p) 1' averages about the global mean, and alpha are the dual weights of the classifier. Of k outputs
w_1..w_k and class targets T (C x k), row c of W is sum_k (T_ck - (p'T)_k) w_k: a sample is decided to be of the class
whose target is nearest, and with one-hot targets T this is the centred classifier itself. All metrics are 0 when
collapse is complete, but `nc3_cosine` and `nc4`, which are 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import array_api_compat
import numpy as np
from jaxtyping import Float, Int

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.collapse._gram import require_definite
from kernel_collapse.collapse._moments import Moments
from kernel_collapse.collapse._nc1 import Weighting, class_weights, traces_of, why
from kernel_collapse.collapse._round_off import GIVEN, LEAST, Measured, settle

__all__ = [
    "Classifier",
    "Collapse",
    "Seen",
    "assemble",
    "centred",
    "class_targets_of",
    "columns_of",
    "directions",
    "measured_pinv",
    "nc2",
    "nc3",
    "norm_of",
    "weighted_error",
]


@dataclass(frozen=True)
class Collapse:
    """The metrics of neural collapse of one set of samples.

    Attributes
    ----------
    nc1, within, between : float
        tr S_W / tr S_B and the two traces; see `kernel_collapse.nc1`.
    nc1_pinv : float
        tr(S_W S_B^+) / C, which weighs each direction between the classes by its own spread. S_B^+ keeps the
        directions that the precision tells from 0.
    cdnv : float
        Class-distance normalised variance, the mean over pairs of classes, each pair alike whatever its sizes.
    cdnv_pairs : array, shape (C, C)
        That of each pair; 0 on the diagonal.
    nc2_norms, nc2_angles, nc2_etf : float
        How far the centred class means are from a simplex equiangular tight frame: coefficient of variation of their
        norms, standard deviation of the cosines between them, and Frobenius distance of the matrix of cosines.
    nc3, nc3_cosine : float
        How far the classifier is from the centred class means: Frobenius distance of W M' (norm 1) to the simplex
        (norm 1), and cosine between W and M.
    nc4 : float
        Share of the samples whose nearest class mean is the class that the classifier decides for.
    ncm_accuracy, accuracy : float
        Share of the samples that the nearest class mean, and the classifier, put into their class.
    noise_variance : float
        Ridge of the classifier fitted here; NaN if none was.
    reason : str
        Empty, or why metrics are not a number, or how far they are known: a metric is NaN where round-off reaches a
        tenth of it, and its error is told where that is a thousandth. (NC2 and NC3 are compared with no less than 1e-3,
        shares of samples with 1.)

    Notes
    -----
    Without a classifier (no `targets`, `dual_weights` or `classifier`), nc3, nc3_cosine, nc4 and accuracy are NaN.
    Class means centred at the global one: the mean over samples, or over classes with weighting "class".
    """

    nc1: Any
    within: Any
    between: Any
    nc1_pinv: Any
    cdnv: Any
    cdnv_pairs: Float[Any, "C C"]
    nc2_norms: Any
    nc2_angles: Any
    nc2_etf: Any
    nc3: Any
    nc3_cosine: Any
    nc4: Any
    ncm_accuracy: Any
    accuracy: Any
    noise_variance: float = float("nan")
    reason: str = ""


class Classifier(NamedTuple):
    """What NC3 needs of the last layer, row c of which speaks for class c, with bounds of errors."""

    rows: Float[Any, "C C"]  # W M'
    rows_error: Any  # of its Frobenius norm
    square: Any  # |W|^2
    square_error: Any


class Seen(NamedTuple):
    """What the metrics are made of, whether it came from a Gram matrix or from features."""

    moments: Moments
    pinv: Measured
    decisions: dict[str, Measured]  # ncm_accuracy, and nc4 and accuracy where there is a classifier
    classifier: Classifier | None


def assemble(seen: Seen, weighting: Weighting, noise_variance: float) -> Collapse:
    """Return the metrics of what was seen of the features."""
    moments = seen.moments
    xp = _arrays.namespace(moments.products)
    traces = traces_of(moments, weighting)
    _, _, p = class_weights(weighting, moments.share, moments.seen_share)
    products, errors = centred(moments.products, p), _centred_error(moments.product_error, p)
    nan = xp.zeros_like(traces.ratio) + float("nan")
    pairs, pairs_error = _cdnv(moments)
    count = p.shape[0] * (p.shape[0] - 1)
    metrics = {
        "nc1": Measured(traces.ratio, traces.ratio_error),
        "nc1_pinv": seen.pinv if weighting != "published" else Measured(nan, nan),
        "cdnv": Measured(xp.sum(pairs) / count, xp.sum(pairs_error) / count),
        **_measured_nc2(products, errors),
        **dict.fromkeys(("nc3", "nc3_cosine", "nc4", "accuracy"), Measured(nan, nan)),
        **seen.decisions,
    }
    if seen.classifier is not None:
        metrics |= _measured_nc3(seen.classifier, products, errors)
    found, rounded = settle(metrics, moments.source)
    reason = ""
    if not _arrays.traced(traces.ratio):
        undefined = _why_undefined(metrics, bool(traces.apart), seen.classifier is not None)
        reason = "; ".join(filter(None, (why(moments, traces), undefined)))
    found |= {"within": traces.within, "between": traces.between}
    pairs = xp.where(pairs_error <= GIVEN * pairs, pairs, xp.zeros_like(pairs) + float("nan"))
    if not _arrays.is_foreign(pairs):
        found = {name: float(number) for name, number in found.items()}
    return Collapse(
        **found,
        cdnv_pairs=pairs,
        noise_variance=noise_variance,
        reason="; ".join(filter(None, (reason, rounded))),
    )


def _why_undefined(metrics: dict[str, Measured], apart: bool, classifier: bool) -> str:
    """Return which metrics are no number whatever the precision, and why."""
    undefined = [name for name, metric in metrics.items() if np.isnan(_arrays.number(metric.value))]
    found = []
    means = [name for name in ("cdnv", "nc2_etf") if name in undefined]
    if means and apart:
        found.append(f"class means coincide, or one is the global mean: there is no {' and '.join(means)}")
    align = [name for name in ("nc3", "nc3_cosine") if name in undefined]
    if classifier and align and apart:
        found.append(
            f"the classifier sees no difference between class means: there is no {' and '.join(align)}"
        )
    return "; ".join(found)


def centred(products: Float[Any, "C C"], p: Float[Any, " C"]) -> Float[Any, "C C"]:
    """Return Bc, the inner products of the class means about their mean under the weights p."""
    about = products - (products @ p)[:, None]
    return about - p @ about


def _centred_error(errors: Float[Any, "C C"], p: Float[Any, " C"]) -> Float[Any, "C C"]:
    each = errors @ p
    return errors + each[:, None] + each[None, :] + p @ each


def _cdnv(moments: Moments) -> tuple[Float[Any, "C C"], Float[Any, "C C"]]:
    """Return the variability of each pair of classes over their distance, and its error; NaN where means coincide."""
    xp = _arrays.namespace(moments.products)
    products, errors = moments.products, moments.product_error
    own, own_error = xp.linalg.diagonal(products), xp.linalg.diagonal(errors)
    eye = xp.eye(products.shape[0], dtype=products.dtype, device=array_api_compat.device(products)) > 0
    zero = xp.zeros_like(products)
    distances = own[:, None] + own[None, :] - 2.0 * products
    distance_errors = own_error[:, None] + own_error[None, :] + 2.0 * errors
    if not _arrays.traced(distances):
        least = xp.where(eye, zero, distances + distance_errors)
        require_definite(xp.min(least), 0.0, "a squared distance between class means")
    apart = (distances > distance_errors) & ~eye
    safe = xp.where(apart, distances, zero + 1.0)
    spreads = 0.5 * (moments.spread[:, None] + moments.spread[None, :])
    spread_errors = 0.5 * (moments.spread_error[:, None] + moments.spread_error[None, :])
    pairs = xp.where(apart, spreads, zero) / safe
    pairs_error = spread_errors / safe + xp.abs(pairs) * (distance_errors / safe)
    pairs = xp.where(apart, pairs, xp.where(eye, zero, zero + float("nan")))
    return pairs, xp.where(eye, zero, pairs_error)


def nc2(products: Float[Any, "C C"], error: Any = 0.0) -> tuple[Any, Any, Any]:
    """Return three measures of NC2 from the inner products Bc of centred class means; all are 0 on a simplex.

    The coefficient of variation of their norms, the standard deviation of the cosines between them, and the Frobenius
    distance of the matrix of cosines to that of the simplex. NaN where a class mean is the global one, to within the
    error of its square.
    """
    xp = _arrays.namespace(products)
    classes = products.shape[0]
    squares = xp.linalg.diagonal(products)
    nan = xp.zeros_like(squares) + float("nan")
    norms = _arrays.sqrt(xp, xp.where(squares > error, squares, nan))
    cosines = products / norms[:, None] / norms[None, :]
    eye = xp.eye(classes, dtype=products.dtype, device=array_api_compat.device(products))
    between = (1.0 - eye) * cosines
    mean = xp.sum(between) / (classes * (classes - 1))
    spread = xp.sum((1.0 - eye) * (between - mean) ** 2) / (classes * (classes - 1))
    simplex = (classes * eye - 1.0) / (classes - 1.0)
    relative = norms / xp.max(norms)  # whose squares neither overflow nor vanish
    return (
        xp.std(relative) / xp.mean(relative),
        _arrays.sqrt(xp, spread),
        _arrays.sqrt(xp, xp.sum((cosines - simplex) ** 2)),
    )


def _measured_nc2(products: Float[Any, "C C"], errors: Float[Any, "C C"]) -> dict[str, Measured]:
    """Return `nc2` with errors: those of norms and of cosines, to first order."""
    xp = _arrays.namespace(products)
    classes = products.shape[0]
    own_error = xp.linalg.diagonal(errors)
    values = nc2(products, own_error)
    squares = xp.linalg.diagonal(products)
    squares = xp.where(squares > own_error, squares, xp.ones_like(squares))
    norms = xp.sqrt(squares)
    of_norm = 0.5 * own_error / squares
    of_cosine = errors / norms[:, None] / norms[None, :] + of_norm[:, None] + of_norm[None, :]
    total = xp.sqrt(xp.sum(of_cosine * of_cosine))
    return {
        "nc2_norms": Measured(values[0], (1.0 + values[0]) * xp.max(of_norm), LEAST),
        "nc2_angles": Measured(values[1], total / classes, LEAST),
        "nc2_etf": Measured(values[2], total, LEAST),
    }


def nc3(rows: Float[Any, "C C"], square: Any, products: Float[Any, "C C"]) -> tuple[Any, Any]:
    """Return the distance of W M' to the simplex, both of norm 1, and the cosine between W and M.

    `rows` is W M' for classifier and class means about their means over classes, `square` is |W|^2 and `products` M M'.
    NaN where the classifier is 0 or sees no difference between the means.
    """
    xp = _arrays.namespace(products)
    classes = products.shape[0]
    eye = xp.eye(classes, dtype=products.dtype, device=array_api_compat.device(products))
    nan = xp.zeros_like(products) + float("nan")
    largest = xp.max(xp.abs(rows))
    rows = rows / xp.where(largest > 0, largest, xp.ones_like(largest))  # so that squares do not overflow
    norm = _arrays.sqrt(xp, xp.sum(rows * rows))
    unit = xp.where(norm > 0, rows, nan) / xp.where(norm > 0, norm, norm + 1.0)
    distance = _arrays.sqrt(xp, xp.sum((unit - (eye - 1.0 / classes) / (classes - 1.0) ** 0.5) ** 2))
    spread = xp.sum(xp.linalg.diagonal(products))
    known = (square > 0) & (spread > 0)
    size = _arrays.sqrt(xp, xp.where(known, square, nan[0, 0])) * _arrays.sqrt(
        xp, xp.where(known, spread, nan[0, 0])
    )
    return distance, xp.sum(xp.linalg.diagonal(rows)) * (largest / size)


def _measured_nc3(
    classifier: Classifier, products: Float[Any, "C C"], errors: Float[Any, "C C"]
) -> dict[str, Measured]:
    """Return `nc3` with errors, to first order."""
    xp = _arrays.namespace(products)
    rows, square = classifier.rows, classifier.square
    # A square that is lost in its error still has a sign: what is made of it is lost as well, and said to be.
    lost = square <= classifier.square_error
    square = xp.where(lost, classifier.square_error, square)
    distance, cosine = nc3(rows, square, products)
    norm = norm_of(rows)
    norm = xp.where(norm > 0, norm, xp.ones_like(norm))
    spread = xp.sum(xp.linalg.diagonal(products))
    spread_error = xp.sum(xp.linalg.diagonal(errors))
    positive = (square > 0) & (spread > 0)
    size = xp.sqrt(xp.where(positive, square, xp.ones_like(square))) * xp.sqrt(
        xp.where(positive, spread, xp.ones_like(spread))
    )
    of_sizes = classifier.square_error / xp.where(positive, square, xp.ones_like(square))
    of_sizes = 0.5 * (of_sizes + spread_error / xp.where(positive, spread, xp.ones_like(spread)))
    error = classifier.rows_error / size + xp.abs(cosine) * of_sizes
    return {
        "nc3": Measured(distance, 2.0 * classifier.rows_error / norm, LEAST),
        "nc3_cosine": Measured(cosine, xp.where(lost & (error > 0), float("inf") + error, error), LEAST),
    }


def directions(
    products: Float[Any, "C C"], q: Float[Any, " C"], error: Any
) -> tuple[Float[Any, " C"], Float[Any, "C C"], Any]:
    """Return what makes S_B^+ of the centred class means, and the share by which a variance along it may err.

    With Q = diag(q), S_B = M'QM and S_B^+ = M' Q^{1/2} (Q^{1/2} Bc Q^{1/2})^{+2} Q^{1/2} M, so that a sample counts by
    the length of (Q^{1/2} Bc Q^{1/2})^+ Q^{1/2} z, z its deviation along the centred class means. Returned are the
    eigenvalues of (Q^{1/2} Bc Q^{1/2})^+, 0 for those that are not told from 0, Q^{1/2} times the eigenvectors, and
    that share. `error` is that of the weighted products, as a spectral norm.
    """
    xp = _arrays.namespace(products)
    root = xp.sqrt(q)
    values, vectors = xp.linalg.eigh(root[:, None] * products * root[None, :])
    eps = float(xp.finfo(products.dtype).eps)
    floor = xp.maximum(error, xp.max(xp.abs(values)) * eps * 4.0 * products.shape[0])
    kept = values > floor
    one = xp.ones_like(values)
    inverse = xp.where(kept, 1.0 / xp.where(kept, values, one), xp.zeros_like(values))
    return inverse, root[:, None] * vectors, 2.0 * floor * xp.max(inverse)


def weighted_error(errors: Float[Any, "C C"], q: Float[Any, " C"]) -> Any:
    """Return the Frobenius norm of the errors of Q^{1/2} Bc Q^{1/2}, a bound of their spectral norm."""
    xp = _arrays.namespace(errors)
    return norm_of(xp.sqrt(q[:, None] * q[None, :]) * errors)


def norm_of(values: Any) -> Any:
    """Return the Frobenius norm, whose squares neither overflow nor vanish."""
    xp = _arrays.namespace(values)
    largest = xp.max(xp.abs(values))
    safe = xp.where(largest > 0, largest, xp.ones_like(largest))
    return safe * _arrays.sqrt(xp, xp.sum((values / safe) ** 2))


def measured_pinv(total: Any, share: Any, moved: Any, classes: int) -> Measured:
    """Return tr(S_W S_B^+) / C from its C-fold, the share by which S_B^+ errs, and the error of deviations under it.

    NaN where S_B has no direction.
    """
    xp = _arrays.namespace(total)
    value = total / classes
    error = share * value + (2.0 * xp.sqrt(total * moved) + moved) / classes
    none = share == 0
    return Measured(xp.where(none, xp.zeros_like(value) + float("nan"), value), error)


def columns_of(value: Any, what: str, n: int) -> Any:
    """Return a matrix of n rows; one column may come as a vector."""
    clean = _validate.columns(value, what)
    _validate.as_many(clean.shape[0], what, n)
    return clean


def class_targets_of(
    codes: Int[np.ndarray, " n"], targets: Any, outputs: int, like: Any
) -> Float[Any, "C k"]:
    """Return the target of each class: the mean over its samples, or its own output where no targets are given."""
    sizes = np.bincount(codes).astype(float)
    if targets is not None:
        wanted = columns_of(targets, "targets", len(codes))
        if wanted.shape[1] != outputs:
            raise InputError(
                "targets",
                f"{wanted.shape[1]} columns and the classifier {outputs} outputs",
                "as many",
                verb="have",
            )
        return _arrays.segment_sum(wanted, codes, len(sizes)) / _arrays.like(sizes, wanted)[:, None]
    if outputs != len(sizes):
        raise InputError(
            "the classifier",
            f"{outputs} outputs for {len(sizes)} classes",
            "one a class",
            "give targets= to say which outputs mean which class",
            verb="has",
        )
    return _arrays.like(np.eye(outputs), like)
