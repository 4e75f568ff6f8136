"""The metrics of neural collapse from explicit features: of their samples, and of held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _arrays, _frames, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse._collapse import Collapse
from kernel_collapse.collapse._decisions import Nearest, Votes, decide, shares, tally
from kernel_collapse.collapse._directions import directions, measured_pinv, weighted_error
from kernel_collapse.collapse._duality import Classifier, Outputs, Rows
from kernel_collapse.collapse._features import ClassMeans, by_part
from kernel_collapse.collapse._metrics import Seen, assemble, class_targets_of, without_sample
from kernel_collapse.collapse._moments import Moments, class_moments
from kernel_collapse.collapse._nc1 import WEIGHTINGS, Weighting, class_weights
from kernel_collapse.collapse._round_off import UNITS

__all__ = [
    "Layer",
    "aligned",
    "axes_of",
    "collapse_from_features",
    "held_out_collapse_from_features",
    "held_out_of_features",
]


def collapse_from_features(
    features: Any,
    labels: Any,
    *,
    classifier: Any = None,
    bias: Any = None,
    targets: Any = None,
    weighting: Weighting = "paper",
) -> Collapse:
    r"""Return every metric of neural collapse of explicit features.

    The result equals `collapse` of ``features @ features.T``, with more digits, because the features are centred
    before they are squared.

    Parameters
    ----------
    features : array, shape (n, p)
        Features, one sample a row.
    labels
        As for `collapse`.
    classifier : array, shape (k, p), optional
        Weights W of the last layer: outputs are features W' + bias.
    bias : array, shape (k,), optional
        Of the last layer. It takes part in decisions (as 0 where it is not given) and in `nc_bias`, not in NC3.
    targets : array, shape (n, k) or (n,), optional
        Regression targets. Their class means say which outputs mean which class. Without targets the k outputs are
        the C classes, in sorted order (ordered categories of pandas: in their order).
    weighting
        As for `collapse`.

    Returns
    -------
    Collapse
        As for `collapse`.

    Raises
    ------
    ValueError
        If shapes do not agree, values are not finite, or a classifier comes without targets for classes that have no
        order.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> simplex = np.array([[1.0, 0.0], [-0.5, 3**0.5 / 2], [-0.5, -(3**0.5) / 2]])
    >>> found = kc.collapse_from_features(simplex.repeat(5, axis=0), np.arange(3).repeat(5), classifier=simplex)
    >>> found.nc1, round(found.nc2_etf, 12), round(found.nc3, 12), found.nc4
    (0.0, 0.0, 0.0, 1.0)
    """
    _validate.one_library(features=features, classifier=classifier, bias=bias, targets=targets)
    return _of_features(features, labels, None, None, classifier, bias, targets, weighting)


def held_out_collapse_from_features(
    features: Any,
    labels: Any,
    test_features: Any,
    test_labels: Any,
    *,
    classifier: Any = None,
    bias: Any = None,
    targets: Any = None,
    weighting: Weighting = "paper",
) -> Collapse:
    """Return the collapse of held-out features onto the class means of the training features.

    Parameters
    ----------
    features, labels
        Of the training samples, as for `collapse_from_features`.
    test_features : array, shape (m, p)
        Of the held-out samples.
    test_labels : sequence, length m
        Their classes.
    classifier, bias, targets, weighting
        As for `collapse_from_features`.

    Returns
    -------
    Collapse
        As for `held_out_collapse`, which it equals.

    Raises
    ------
    ValueError
        As for `held_out_collapse`.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.held_out_collapse_from_features([[0.0], [2.0]], ["a", "b"], [[0.1], [1.9]], ["a", "b"]).ncm_accuracy
    1.0
    """
    return held_out_of_features(
        features,
        labels,
        test_features,
        test_labels,
        classifier=classifier,
        bias=bias,
        targets=targets,
        weighting=weighting,
    )


def held_out_of_features(
    features: Any,
    labels: Any,
    test_features: Any,
    test_labels: Any,
    *,
    classifier: Any = None,
    bias: Any = None,
    targets: Any = None,
    weighting: Weighting = "paper",
    names: Sequence[Any] | None = None,
) -> Collapse:
    """Return `held_out_collapse_from_features`; `names` gives each label the name that `reason` calls it by."""
    _validate.encode_labels(test_labels, two_classes=False, what="test_labels")
    _validate.one_library(
        features=features, test_features=test_features, classifier=classifier, bias=bias, targets=targets
    )
    return _of_features(
        features, labels, test_features, test_labels, classifier, bias, targets, weighting, names
    )


def _of_features(
    features: Any,
    labels: Any,
    test_features: Any,
    test_labels: Any,
    classifier: Any,
    bias: Any,
    targets: Any,
    weighting: Weighting,
    names: Sequence[Any] | None = None,
) -> Collapse:
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, classes = _validate.encode_labels(
        labels, matched="classifier is" if classifier is not None and targets is None else ""
    )
    clean = _validate.squarable(_validate.matrix(features, "features"), "features")
    _validate.as_many(clean.shape[0], "features", len(codes))
    seen, seen_codes = clean, codes
    if test_labels is not None:
        seen_codes = _validate.codes_among(test_labels, classes)
        test_features = _frames.matched(test_features, "test_features", features, "features")
        _arrays.same_kind(features, "features", test_features, "test_features")
        shape = (len(seen_codes), clean.shape[1])
        seen = _validate.shaped(test_features, "test_features", shape, "held-out samples by features")
        seen = _validate.squarable(seen, "test_features")
    layer = _last_layer(clean, codes, classifier, bias, targets)
    means = ClassMeans(clean, codes)
    share = means.sizes / len(codes)
    seen_share = _arrays.like(np.bincount(seen_codes, minlength=means.count) / len(seen_codes), share)
    u, q, p = class_weights(weighting, share, seen_share)
    centre = means.means - p @ means.means
    # The class means alone say what S_B is, so that one pass over the samples does for all the rest.
    alone = class_moments(means.sizes, means.reach, means.means, means.origin)
    axes, share_lost = axes_of(centre, q, alone.product_error)
    weights, _ = means.average(u, seen_codes)
    sums = _pass(seen, seen_codes, means, weights, axes, layer)
    spread, sizes = means.average(sums.squares, seen_codes)
    moments = class_moments(means.sizes, spread, means.means, means.origin, seen_sizes=sizes)
    return assemble(
        Seen(
            moments,
            measured_pinv(sums.along, share_lost, 0.0 * share_lost, means.count),
            shares(sums.tallies, np.bincount(seen_codes, minlength=means.count)),
            None if layer is None else aligned(layer, centre, p, moments, means.origin + p @ means.means),
            without_sample(seen_codes, classes if names is None else [names[c] for c in classes]),
        ),
        weighting,
        float("nan"),
    )


class Layer(NamedTuple):
    """The last layer, and which outputs speak for which class."""

    weights: Float[Any, "k p"]
    bias: Float[Any, " k"] | None
    class_targets: Float[Any, "C k"]


def _last_layer(
    features: Float[Any, "n p"], codes: Int[np.ndarray, " n"], classifier: Any, bias: Any, targets: Any
) -> Layer | None:
    if classifier is None:
        if bias is not None or targets is not None:
            raise InputError(
                "a bias or targets",
                "given without a classifier",
                "its weights",
                "give classifier=",
                verb="are",
            )
        return None
    weights = _validate.matrix(classifier, "classifier")
    _arrays.same_kind(features, "features", weights, "classifier")
    if weights.shape[1] != features.shape[1]:
        raise InputError(
            "classifier",
            f"shape {tuple(weights.shape)}",
            f"(k, {features.shape[1]})",
            "a weight a feature",
            verb="has",
        )
    decided = class_targets_of(codes, targets, weights.shape[0], features)
    if bias is not None:
        bias = _validate.shaped(bias, "bias", (weights.shape[0],), "one value an output")
    return Layer(weights, bias, decided)


class _Sums(NamedTuple):
    """What a pass over samples leaves."""

    squares: Float[Any, " C"]  # of deviations, by class
    along: Any  # C tr(S_W S_B^+)
    tallies: list[dict[str, tuple[Any, Any]]]


def _pass(
    seen: Float[Any, "m p"],
    codes: Int[np.ndarray, " m"],
    means: ClassMeans,
    weights: Float[Any, " C"],
    axes: Float[Any, "p r"],
    layer: Layer | None,
) -> _Sums:
    """Go over samples once; `weights` are those of a sample in tr S_W, by class."""
    xp = _arrays.namespace(seen)
    unit = UNITS * float(xp.finfo(seen.dtype).eps)
    nearest = Nearest(means.means)
    sizes = None if layer is None else _arrays.lengths(layer.weights)
    # With more axes than half of the features the scatter, a symmetric product, is less work than the projections.
    project = 2 * axes.shape[1] <= axes.shape[0] or _arrays.is_foreign(seen)

    def of_part(here: Float[Any, "r p"], which: Int[np.ndarray, " r"]) -> _Sums:
        away = means.deviations(here, which)
        lengths = _arrays.squares(away)
        each = _arrays.rows(weights, which)
        about = here - means.origin
        votes = Votes(*nearest(about, lengths + _arrays.rows(nearest.own, which)))
        if layer is not None:
            scores = here @ xp.permute_dims(layer.weights, (1, 0))
            if layer.bias is not None:
                scores = scores + layer.bias
            reach = xp.sqrt(_arrays.squares(here))
            votes = Votes(*votes[:2], *decide(scores, unit * reach, sizes, layer.class_targets))
        if project:
            along = xp.sum(each * _arrays.squares(away @ axes))
        else:
            away *= np.sqrt(each)[:, None]
            along = away.T @ away
        squares = _arrays.segment_sum(lengths, which, means.count)
        return _Sums(squares, along, [tally(votes, which, nearest.own)])

    squares: Any = 0.0
    along: Any = 0.0
    tallies = []
    for part in by_part(of_part, seen, codes, means.count):
        squares, along = squares + part.squares, along + part.along
        tallies += part.tallies
    return _Sums(squares, along if project else np.sum((along @ axes) * axes), tallies)


def axes_of(
    centre: Float[Any, "C p"], q: Float[Any, " C"], errors: Float[Any, "C C"]
) -> tuple[Float[Any, "p r"], Any]:
    """Return (S_B^+)^(1/2) as r axes, from the smaller of S_B and its twin of C x C, and the share by which it errs."""
    xp = _arrays.namespace(centre)
    turned = xp.permute_dims(centre, (1, 0))
    error = weighted_error(errors, q)
    if centre.shape[0] <= centre.shape[1]:
        inverse, vectors, share = directions(centre @ turned, q, error)
        return (turned @ vectors) * inverse, share
    inverse, vectors, share = directions((turned * q) @ centre, xp.ones_like(centre[0, :]), error)
    return vectors * xp.sqrt(inverse), share


def aligned(
    layer: Layer, centre: Float[Any, "C p"], p: Float[Any, " C"], moments: Moments, middle: Float[Any, " p"]
) -> Classifier:
    """Return what the rows that speak for each class are against the means, centred and as they are.

    `middle` is the global mean.
    """
    xp = _arrays.namespace(centre)
    turned = xp.permute_dims(centre, (1, 0))
    weights, exponent = _arrays.in_reach(layer.weights)
    class_targets, more = _arrays.in_reach(layer.class_targets)
    towards = class_targets - p @ class_targets
    rows = towards @ weights
    unit = UNITS * float(xp.finfo(centre.dtype).eps)
    lengths = xp.sqrt(_arrays.squares(weights))
    size = _arrays.norm(xp.abs(towards) @ lengths)
    reach = xp.sqrt(xp.linalg.diagonal(moments.product_error) / unit)
    plain = class_targets @ weights
    return Classifier(
        rows @ turned,
        unit * size * _arrays.norm(reach),
        _arrays.norm(rows) ** 2,
        unit * size**2,
        Rows(
            plain @ turned,
            plain @ xp.permute_dims(plain, (1, 0)),
            unit,
            xp.abs(class_targets) @ lengths,
            reach,
        ),
        None
        if layer.bias is None
        else _outputs(
            layer.weights, layer.bias, middle, _arrays.shifted(lengths, exponent), unit, moments, p
        ),
        exponent + more,
    )


def _outputs(
    weights: Float[Any, "k p"],
    bias: Float[Any, " k"],
    middle: Float[Any, " p"],
    lengths: Float[Any, " k"],
    unit: float,
    moments: Moments,
    p: Float[Any, " C"],
) -> Outputs:
    """Return the outputs at the global mean."""
    xp = _arrays.namespace(middle)
    away = xp.sqrt(xp.sum(p * (moments.class_squares + moments.spread)))  # no less than |h_G|
    errors = unit * (lengths * away + xp.abs(bias))
    return Outputs(weights @ middle + bias, errors, lengths * away + xp.abs(bias))
