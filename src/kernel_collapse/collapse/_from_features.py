"""The metrics of neural collapse from explicit features: of their samples, and of held-out ones."""

from __future__ import annotations

from typing import Any

from kernel_collapse import _arrays, _validate
from kernel_collapse.collapse._metrics import (
    Collapse,
    Seen,
    assemble,
    by_class,
    class_targets_of,
    membership_matrix,
)
from kernel_collapse.collapse._nc1 import (
    WEIGHTINGS,
    Weighting,
    averaging_matrix,
    class_moments,
    class_weights,
)

__all__ = ["collapse_from_features", "held_out_collapse_from_features"]


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

    Equal to `collapse` of ``features @ features.T``, and sharper: the features are centred before they are squared.

    Parameters
    ----------
    features : array, shape (n, p)
        Features, one sample a row.
    labels
        As for `collapse`.
    classifier : array, shape (k, p), optional
        Weights W of the last layer: outputs are features W' + bias.
    bias : array, shape (k,), optional
        Of the last layer; 0 by default. It takes part in decisions, not in NC3.
    targets : array, shape (n, k) or (n,), optional
        Whose class means say which outputs mean which class; without it the k outputs are the C classes.
    weighting
        As for `collapse`.

    Returns
    -------
    Collapse
        As for `collapse`.

    Raises
    ------
    ValueError
        If shapes do not agree or values are not finite.

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
    _validate.encode_labels(test_labels, two_classes=False, what="test_labels")
    _validate.one_library(
        features=features, test_features=test_features, classifier=classifier, bias=bias, targets=targets
    )
    return _of_features(features, labels, test_features, test_labels, classifier, bias, targets, weighting)


def _of_features(
    features: Any,
    labels: Any,
    test_features: Any,
    test_labels: Any,
    classifier: Any,
    bias: Any,
    targets: Any,
    weighting: Weighting,
) -> Collapse:
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, classes = _validate.encode_labels(labels)
    clean = _validate.squarable(_validate.matrix(features, "features"), "features")
    _validate.as_many(clean.shape[0], "features", len(codes))
    xp = _arrays.namespace(clean)
    averaging, sizes = averaging_matrix(codes, clean)
    origin = xp.mean(clean, axis=0)
    class_means = xp.permute_dims(averaging, (1, 0)) @ (clean - origin)
    if test_labels is None:
        seen, seen_codes = clean - origin, codes
    else:
        seen_codes = _validate.codes_among(test_labels, classes)
        _arrays.same_kind(features, "features", test_features, "test_features")
        shape = (len(seen_codes), clean.shape[1])
        seen = (
            _validate.shaped(test_features, "test_features", shape, "held-out samples by features") - origin
        )
    membership, seen_sizes = membership_matrix(seen_codes, sizes)
    within = seen - membership @ class_means
    spread = by_class(membership, xp.sum(within * within, axis=1), seen_sizes)
    largest = xp.max(xp.sum(clean * clean, axis=1))
    moments = class_moments(sizes, spread, class_means, origin, largest=largest)
    moments = moments._replace(seen_share=seen_sizes / xp.sum(seen_sizes))
    _, _, p = class_weights(weighting, moments.share, moments.seen_share)
    centred = class_means - p @ class_means
    scores = cross = square = decided = None
    if classifier is not None:
        weights = _validate.matrix(classifier, "classifier")
        _arrays.same_kind(clean, "features", weights, "classifier")
        if weights.shape[1] != clean.shape[1]:
            raise ValueError(
                f"classifier has shape {tuple(weights.shape)}, expected (k, {clean.shape[1]}): a weight a feature."
            )
        decided = class_targets_of(codes, targets, weights.shape[0], clean)
        scores = (seen + origin) @ xp.permute_dims(weights, (1, 0))
        if bias is not None:
            scores = scores + _validate.shaped(bias, "bias", (weights.shape[0],), "one value an output")
        cross = weights @ xp.permute_dims(centred, (1, 0))
        square = weights @ xp.permute_dims(weights, (1, 0))
    elif bias is not None or targets is not None:
        raise ValueError(
            "a bias or targets are given without a classifier, expected its weights: give classifier=."
        )
    half = seen @ xp.permute_dims(class_means, (1, 0))
    distances = xp.sum(class_means * class_means, axis=1) - 2.0 * half
    deviations = centred @ xp.permute_dims(within, (1, 0))
    return assemble(
        Seen(moments, deviations, distances, scores, cross, square),
        seen_codes,
        membership,
        p,
        decided,
        weighting,
        float("nan"),
    )
