"""The metrics of neural collapse from a Gram matrix: of its samples, and of held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse._collapse import Collapse
from kernel_collapse.collapse._decisions import Votes, decide, shares, smallest, tally
from kernel_collapse.collapse._directions import directions, measured_pinv, weighted_error
from kernel_collapse.collapse._dual import Dual, by_position, classifier_of, dual_of
from kernel_collapse.collapse._gram import Halves, halves_of, read_cross, read_gram
from kernel_collapse.collapse._metrics import Seen, assemble, centred, without_sample
from kernel_collapse.collapse._moments import (
    Moments,
    moments_of_halves,
    units_of_equal,
    unseen,
    with_no_spread,
    without_coincident,
)
from kernel_collapse.collapse._nc1 import WEIGHTINGS, Weighting, class_weights
from kernel_collapse.collapse._round_off import Measured

__all__ = [
    "Sums",
    "collapse",
    "from_sums",
    "held_out_collapse",
    "held_out_of_gram",
    "seen_of",
    "sums_of",
    "training_moments",
]


class Sums(NamedTuple):
    """What one pass over the Gram matrix leaves: enough for every metric, and of size n (C + k)."""

    diagonal: Float[Any, " n"]  # K_ii
    halves: Halves
    scores: Float[Any, "n k"] | None  # K alpha


def collapse(
    gram: Any,
    labels: Any,
    *,
    targets: Any = None,
    noise_variance: float | None = None,
    dual_weights: Any = None,
    bias: Any = None,
    weighting: Weighting = "paper",
) -> Collapse:
    r"""Return every metric of neural collapse of the features whose Gram matrix is given.

    Parameters
    ----------
    gram : array, shape (n, n)
        K_ij = <h(x_i), h(x_j)>; of NumPy, JAX, PyTorch or CuPy.
    labels : sequence, length n
        Class of each sample.
    targets : array, shape (n, k) or (n,), optional
        The targets of kernel ridge regression (the mean of a Gaussian process), with dual weights
        alpha = (K + noise_variance I)^{-1} targets. A sample is assigned to the class whose mean target is nearest to
        its output.
    noise_variance : float, optional
        The ridge; one millionth of the mean of diag K by default. `Collapse.noise_variance` gives the value.
    dual_weights : array, shape (n, k), optional
        Dual weights of a classifier of your own, W = H'alpha; without `targets` its k outputs are the C classes, in
        sorted order (ordered categories of pandas: in their order).
    bias : array, shape (k,), optional
        The bias of the classifier of `dual_weights`. If it is not given, it is 0 in decisions, and `nc_bias` is NaN.
    weighting : {"paper", "sample", "class", "published"}
        See `kernel_collapse.nc1`. "published" affects NC1 only. It is not the variance of any feature map, `nc1_pinv`
        is NaN, and the other metrics are those of "paper".

    Returns
    -------
    Collapse
        Of numbers, or of arrays of no dimension of the library that `gram` came from.

    Raises
    ------
    ValueError
        If shapes do not agree, values are not finite, `gram` cannot be one of inner products (see `.nc1`),
        K + noise_variance I is not positive definite in the precision of K, or `dual_weights` come without targets for
        classes that have no order.

    References
    ----------
    NC1-NC4: Papyan, Han and Donoho (2020), arXiv 2008.08186; the distances to the simplex: Zhu et al. (2021), arXiv
    2105.02375; CDNV: Galanti, Gyorgy and Hutter (2022), arXiv 2112.15121; NC1 by traces: Tirer and Bruna (2022),
    arXiv 2202.08087.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(n=100, dim=8, seed=0)
    >>> found = kc.collapse(kc.nngp(data.x), data.labels, targets=data.targets)
    >>> round(found.nc1, 3), round(found.nc3_cosine, 3), found.nc4
    (0.091, 0.685, 1.0)
    """
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, _ = _validate.encode_labels(labels, matched=by_position(dual_weights, targets))
    _validate.one_library(gram=gram, targets=targets, dual_weights=dual_weights, bias=bias)
    gram, eps = read_gram(gram, len(codes))
    dual = dual_of(gram, codes, targets, noise_variance, dual_weights, bias)
    sums = sums_of(gram, codes, None if dual is None else dual.alpha, eps)
    moments = without_coincident(training_moments(sums, codes, eps), gram, codes)
    return from_sums(sums, codes, moments, dual, weighting)


def held_out_collapse(
    gram: Any,
    labels: Any,
    cross: Any,
    diagonal: Any,
    test_labels: Any,
    *,
    targets: Any = None,
    noise_variance: float | None = None,
    dual_weights: Any = None,
    bias: Any = None,
    weighting: Weighting = "paper",
) -> Collapse:
    r"""Return the collapse of held-out samples onto the class means of the training samples.

    The spread is that of the held-out samples about the *training* class means. The distances are those between
    training class means. NC2 and NC3 are those of training means and classifier. NC4 and the accuracies are those of
    the held-out samples. If the held-out samples are the training samples, the result is `collapse`.

    Parameters
    ----------
    gram, labels
        Of the n training samples, as for `collapse`.
    cross : array, shape (m, n)
        K(x_test, x_train).
    diagonal : array, shape (m,)
        K(x, x) of each held-out sample.
    test_labels : sequence, length m
        Classes of the held-out samples, all of them among the training classes.
    targets, noise_variance, dual_weights, bias
        Of the training samples, as for `collapse`.
    weighting
        As for `collapse`; u are the shares of the classes among the held-out samples, and with "class" equal weights
        of the classes that have held-out samples.

    Returns
    -------
    Collapse
        As for `collapse`. Of a class without a held-out sample no spread is known: its pairs are NaN in `cdnv_pairs`,
        `cdnv` and `cdnv_quartic` are means over the other pairs (NaN if there are none), `nc4_classwise` is a mean
        over the other classes, and `reason` names the class.

    Raises
    ------
    ValueError
        As for `collapse`, and if a held-out class has no training sample.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> train, test = (kc.data.gaussian_classes(n=100, dim=8, seed=seed) for seed in (0, 1))
    >>> kernel, cross = kc.nngp(train.x), kc.nngp(test.x, train.x)
    >>> diagonal = kc.nngp(test.x).diagonal()
    >>> found = kc.held_out_collapse(kernel, train.labels, cross, diagonal, test.labels, targets=train.targets)
    >>> round(found.nc1, 3), found.accuracy
    (0.09, 1.0)
    """
    return held_out_of_gram(
        gram,
        labels,
        cross,
        diagonal,
        test_labels,
        targets=targets,
        noise_variance=noise_variance,
        dual_weights=dual_weights,
        bias=bias,
        weighting=weighting,
    )


def held_out_of_gram(
    gram: Any,
    labels: Any,
    cross: Any,
    diagonal: Any,
    test_labels: Any,
    *,
    targets: Any = None,
    noise_variance: float | None = None,
    dual_weights: Any = None,
    bias: Any = None,
    weighting: Weighting = "paper",
    names: Sequence[Any] | None = None,
) -> Collapse:
    """Return `held_out_collapse`; `names` gives each label the name that `reason` calls it by."""
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, classes = _validate.encode_labels(labels, matched=by_position(dual_weights, targets))
    _validate.one_library(
        gram=gram, cross=cross, diagonal=diagonal, targets=targets, dual_weights=dual_weights, bias=bias
    )
    gram, eps = read_gram(gram, len(codes))
    test_codes = _validate.codes_among(test_labels, classes)
    of_training = _arrays.namespace(gram).linalg.diagonal(gram)
    cross, diagonal, cross_eps = read_cross(cross, diagonal, of_training, len(test_codes))
    eps = max(eps, cross_eps)
    dual = dual_of(gram, codes, targets, noise_variance, dual_weights, bias)
    training = sums_of(gram, codes, None if dual is None else dual.alpha, eps)
    halves = halves_of(cross, diagonal, of_training, codes, _sizes(codes, gram), eps)
    test = Sums(diagonal, halves, None if dual is None else cross @ dual.alpha)
    moments = training_moments(training, codes, eps)
    seen = seen_of(training, codes, moments, dual, weighting, (test, test_codes))
    seen = seen._replace(
        unseen=without_sample(test_codes, classes if names is None else [names[c] for c in classes])
    )
    return assemble(seen, weighting, float("nan") if dual is None else dual.noise_variance)


def sums_of(
    gram: Float[Any, "n n"], codes: Int[np.ndarray, " n"], alpha: Float[Any, "n k"] | None, eps: float
) -> Sums:
    """Return what the metrics need of a Gram matrix."""
    xp = _arrays.namespace(gram)
    diagonal = xp.linalg.diagonal(gram)
    halves = halves_of(gram, diagonal, diagonal, codes, _sizes(codes, gram), eps)
    return Sums(diagonal, halves, None if alpha is None else gram @ alpha)


def training_moments(sums: Sums, codes: Int[np.ndarray, " n"], eps: float) -> Moments:
    """Return the moments of the samples that the class means are of."""
    return moments_of_halves(sums.diagonal, sums.halves, codes, _sizes(codes, sums.diagonal), eps)


def _sizes(codes: Int[np.ndarray, " n"], like: Any) -> Float[Any, " C"]:
    return _arrays.like(np.bincount(codes).astype(float), like)


def from_sums(
    training: Sums,
    codes: Int[np.ndarray, " n"],
    moments: Moments,
    dual: Dual | None,
    weighting: Weighting,
) -> Collapse:
    """Return the metrics, given what one pass over the Gram matrix left, and the moments of the samples."""
    seen = seen_of(training, codes, moments, dual, weighting)
    return assemble(seen, weighting, float("nan") if dual is None else dual.noise_variance)


def seen_of(
    training: Sums,
    codes: Int[np.ndarray, " n"],
    moments: Moments,
    dual: Dual | None,
    weighting: Weighting,
    held_out: tuple[Sums, Int[np.ndarray, " m"]] | None = None,
) -> Seen:
    """Return what the metrics are made of."""
    xp = _arrays.namespace(training.diagonal)
    squares = _means_by_class(training.diagonal, codes)
    seen, seen_codes = (training, codes) if held_out is None else held_out
    if held_out is not None:
        moments = _of_held_out(moments, seen, seen_codes, squares)
    _, q, p = class_weights(weighting, moments.share, moments.seen_share)
    products = moments.products
    own = xp.linalg.diagonal(products)
    unit = seen.halves.error
    deviations = seen.halves.means - _arrays.rows(products, seen_codes)
    deviations = deviations - (deviations @ p)[:, None]
    off = 4.0 * unit * (seen.diagonal + xp.sum(p * squares) + _arrays.rows(squares, seen_codes))
    pinv = _pinv(moments, deviations, off, seen_codes, weighting, q, p)
    votes = Votes(
        *smallest(own[None, :] - 2.0 * seen.halves.means, unit * seen.diagonal, 2.0 * unit * squares)
    )
    classifier = None
    if dual is not None and training.scores is not None and seen.scores is not None:
        near, exponent = _arrays.in_reach(dual.alpha)
        weight_errors = _arrays.shifted(xp.sqrt(training.diagonal @ (near * near)), exponent)
        sizes = _sizes(codes, training.diagonal)
        classifier = classifier_of(
            dual, training.scores, codes, sizes, p, squares, weight_errors, training.halves.error, exponent
        )
        of_sample = 2.0 * unit * xp.sqrt(seen.diagonal)
        scores = seen.scores if dual.bias is None else seen.scores + dual.bias
        votes = Votes(*votes[:2], *decide(scores, of_sample, weight_errors, dual.class_targets))
    counts = np.bincount(seen_codes, minlength=own.shape[0])
    decisions = shares([tally(votes, seen_codes, own)], counts)
    return Seen(moments, pinv, decisions, classifier)


def _means_by_class(values: Float[Any, " n"], codes: Int[np.ndarray, " n"]) -> Float[Any, " C"]:
    sizes = _sizes(codes, values)
    return _arrays.segment_sum(values, codes, sizes.shape[0]) / sizes


def _of_held_out(
    moments: Moments, seen: Sums, codes: Int[np.ndarray, " m"], squares: Float[Any, " C"]
) -> Moments:
    """Return the moments with the spread of held-out samples about the training class means."""
    xp = _arrays.namespace(seen.diagonal)
    count = squares.shape[0]
    own = _arrays.rows(xp.linalg.diagonal(moments.products), codes)
    columns = _arrays.like(np.eye(count)[codes], own)
    distances = own - 2.0 * xp.sum(columns * seen.halves.means, axis=1)
    errors = 2.0 * seen.halves.error * (seen.diagonal + _arrays.rows(squares, codes))
    errors = errors + float(xp.finfo(own.dtype).smallest_normal)
    sizes = _arrays.like(np.bincount(codes, minlength=count).astype(float), own)
    some = xp.maximum(sizes, xp.ones_like(sizes))
    found = moments._replace(
        seen_share=sizes / xp.sum(sizes),
        spread=_arrays.segment_sum(distances, codes, count) / some,
        spread_error=_arrays.segment_sum(errors, codes, count) / some,
    )
    if _arrays.staged(distances):
        return found
    # A class whose samples all lie at its mean, as far as float64 tells, has no spread.
    limit = errors * (0.5 * units_of_equal(moments) * float(np.finfo(np.float64).eps)) / seen.halves.error
    away = _arrays.segment_sum(xp.astype(xp.abs(distances) > limit, own.dtype), codes, count)
    none = np.asarray(_arrays.read(away) if _arrays.is_foreign(away) else away) == 0
    none &= np.bincount(codes, minlength=count) > 0
    return with_no_spread(found, none & unseen(found, none))


def _pinv(
    moments: Moments,
    deviations: Float[Any, "m C"],
    off: Float[Any, " m"],
    codes: Int[np.ndarray, " m"],
    weighting: Weighting,
    q: Float[Any, " C"],
    p: Float[Any, " C"],
) -> Measured:
    """Return tr(S_W S_B^+) / C from the deviations of samples along the centred class means, and their errors."""
    xp = _arrays.namespace(deviations)
    u = class_weights(weighting, moments.share, moments.seen_share)[0]
    error = weighted_error(moments.product_error, q)
    square = xp.sum(q * xp.abs(moments.class_squares))
    inverse, vectors, share = directions(centred(moments.products, p), q, error, square)
    # A class without spread has no deviations but those of round-off.
    u = xp.where(moments.spread_error > 0, u, xp.zeros_like(u))
    seen_sizes = moments.seen_share * len(codes)
    weights = _arrays.rows(u / xp.maximum(seen_sizes, xp.ones_like(seen_sizes)), codes)
    along = (deviations @ vectors) * inverse
    moved = off * xp.max(inverse)
    total = xp.sum(weights * xp.sum(along * along, axis=1))
    return measured_pinv(total, share, xp.sum(weights * moved * moved), u.shape[0])
