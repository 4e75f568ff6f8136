"""The metrics of neural collapse from a Gram matrix: of its samples, and of held-out ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from kernel_collapse import _arrays, _validate
from kernel_collapse._linalg import Cholesky
from kernel_collapse.collapse._metrics import (
    Collapse,
    Seen,
    assemble,
    by_class,
    class_targets_of,
    columns_of,
    membership_matrix,
)
from kernel_collapse.collapse._nc1 import (
    WEIGHTINGS,
    Weighting,
    averaging_matrix,
    class_weights,
    moments_of_sums,
)

__all__ = ["Sums", "collapse", "from_sums", "held_out_collapse", "sums_of"]


class Sums(NamedTuple):
    """What one pass over the Gram matrix leaves: enough for every metric, and of size n (C + k)."""

    diagonal: Float[Any, " n"]  # K_ii
    means: Float[Any, "n C"]  # K P
    scores: Float[Any, "n k"] | None  # K alpha


def collapse(
    gram: Any,
    labels: Any,
    *,
    targets: Any = None,
    noise_variance: float | None = None,
    dual_weights: Any = None,
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
        What kernel ridge regression (the mean of a Gaussian process) is fitted to, with dual weights
        alpha = (K + noise_variance I)^{-1} targets. A sample is decided to be of the class whose mean target is
        nearest to its output.
    noise_variance : float, optional
        The ridge; one millionth of the mean of diag K by default, as `Collapse.noise_variance` tells.
    dual_weights : array, shape (n, k), optional
        Dual weights of a classifier of your own, W = H'alpha; without `targets` its k outputs are the C classes, in
        sorted order.
    weighting : {"paper", "sample", "class", "published"}
        See `kernel_collapse.nc1`. "published" concerns NC1 alone: it is the variance of no feature map, `nc1_pinv` is
        NaN, and the others are those of "paper".

    Returns
    -------
    Collapse
        Of numbers, or of arrays of no dimension of the library that `gram` came from.

    Raises
    ------
    ValueError
        If shapes do not agree, values are not finite, or K + noise_variance I is not positive definite in the
        precision of K.

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
    codes, _ = _validate.encode_labels(labels)
    _validate.one_library(gram=gram, targets=targets, dual_weights=dual_weights)
    gram = _validate.gram(gram, len(codes))
    alpha, class_targets, noise_variance = _dual(gram, codes, targets, noise_variance, dual_weights)
    sums = sums_of(gram, codes, alpha)
    return from_sums(sums, codes, alpha, class_targets, weighting, noise_variance=noise_variance)


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
    weighting: Weighting = "paper",
) -> Collapse:
    r"""Return the collapse of held-out samples onto the class means of the training samples.

    Spread is that of the held-out samples about the *training* class means, distances are those between training class
    means. NC2 and NC3 are of training means and classifier, NC4 and
    the accuracies are of the held-out samples. With the training samples themselves held out it is `collapse`.

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
    targets, noise_variance, dual_weights
        Of the training samples, as for `collapse`.
    weighting
        As for `collapse`; u are the shares of the classes among the held-out samples.

    Returns
    -------
    Collapse
        As for `collapse`.

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
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, classes = _validate.encode_labels(labels)
    _validate.one_library(
        gram=gram, cross=cross, diagonal=diagonal, targets=targets, dual_weights=dual_weights
    )
    gram = _validate.gram(gram, len(codes))
    test_codes = _validate.codes_among(test_labels, classes)
    _arrays.same_kind(gram, "gram", cross, "cross")
    _arrays.same_kind(gram, "gram", diagonal, "diagonal")
    cross = _validate.shaped(cross, "cross", (len(test_codes), len(codes)), "held-out by training samples")
    diagonal = _validate.shaped(diagonal, "diagonal", (len(test_codes),), "one value a held-out sample")
    alpha, class_targets, noise_variance = _dual(gram, codes, targets, noise_variance, dual_weights)
    averaging, _ = averaging_matrix(codes, gram)
    test = Sums(diagonal, cross @ averaging, None if alpha is None else cross @ alpha)
    training = sums_of(gram, codes, alpha)
    return from_sums(
        training,
        codes,
        alpha,
        class_targets,
        weighting,
        noise_variance=noise_variance,
        held_out=(test, test_codes),
    )


def sums_of(gram: Float[Any, "n n"], codes: Int[np.ndarray, " n"], alpha: Float[Any, "n k"] | None) -> Sums:
    """Return what the metrics need of a Gram matrix, in one pass over it."""
    xp = _arrays.namespace(gram)
    averaging, _ = averaging_matrix(codes, gram)
    columns = averaging.shape[1]
    right = averaging if alpha is None else xp.concat([averaging, alpha], axis=1)
    found = gram @ right
    return Sums(xp.linalg.diagonal(gram), found[:, :columns], None if alpha is None else found[:, columns:])


def from_sums(
    training: Sums,
    codes: Int[np.ndarray, " n"],
    alpha: Float[Any, "n k"] | None,
    class_targets: Float[Any, "C k"] | None,
    weighting: Weighting,
    *,
    noise_variance: float = float("nan"),
    held_out: tuple[Sums, Int[np.ndarray, " m"]] | None = None,
) -> Collapse:
    """Return the metrics, given what one pass over the Gram matrix left."""
    xp = _arrays.namespace(training.means)
    averaging, sizes = averaging_matrix(codes, training.means)
    transposed = xp.permute_dims(averaging, (1, 0))
    means = transposed @ training.means
    largest = xp.max(xp.abs(training.diagonal))
    moments = moments_of_sums(transposed @ training.diagonal, means, sizes, largest)
    seen, seen_codes = (training, codes) if held_out is None else held_out
    membership, seen_sizes = membership_matrix(seen_codes, sizes)
    if held_out is not None:
        squares = seen.diagonal + membership @ xp.linalg.diagonal(means)
        squares = squares - 2.0 * xp.sum(seen.means * membership, axis=1)
        moments = moments._replace(
            seen_share=seen_sizes / xp.sum(seen_sizes), spread=by_class(membership, squares, seen_sizes)
        )
    _, _, p = class_weights(weighting, moments.share, moments.seen_share)
    of_samples = xp.permute_dims(seen.means, (1, 0))
    of_means = means @ xp.permute_dims(membership, (1, 0))
    deviations = of_samples - of_means
    cross = square = None
    if alpha is not None and training.scores is not None:
        # W M' = alpha'K E; every class mean less the global one.
        outputs = xp.permute_dims(training.scores, (1, 0)) @ averaging
        cross = outputs - (outputs @ p)[:, None]
        square = xp.permute_dims(alpha, (1, 0)) @ training.scores
    return assemble(
        Seen(
            moments,
            deviations - p @ deviations,
            xp.linalg.diagonal(means) - 2.0 * seen.means,
            seen.scores,
            cross,
            square,
        ),
        seen_codes,
        membership,
        p,
        class_targets,
        weighting,
        noise_variance,
    )


def _dual(
    gram: Any, codes: Int[np.ndarray, " n"], targets: Any, noise_variance: float | None, dual_weights: Any
) -> tuple[Any, Any, float]:
    """Return the dual weights, which classes they are for, and the ridge that they were fitted with."""
    if dual_weights is not None:
        if noise_variance is not None:
            raise ValueError(
                "dual_weights and noise_variance are both given, expected one: a ridge is for a fit."
            )
        _arrays.same_kind(gram, "gram", dual_weights, "dual_weights")
        alpha = columns_of(dual_weights, "dual_weights", len(codes))
        return alpha, class_targets_of(codes, targets, alpha.shape[1], gram), float("nan")
    if targets is None:
        if noise_variance is not None:
            raise ValueError(
                "noise_variance is given without targets, expected both: there is nothing to fit."
            )
        return None, None, float("nan")
    _arrays.same_kind(gram, "gram", targets, "targets")
    xp = _arrays.namespace(gram)
    wanted = columns_of(targets, "targets", len(codes))
    if noise_variance is None:
        scale = xp.mean(xp.linalg.diagonal(gram))
        ridge = 1e-6 * scale
        noise_variance = float("nan") if _arrays.traced(gram) else _arrays.number(ridge)
    else:
        ridge = noise_variance = _validate.positive(noise_variance, "noise_variance", zero_allowed=True)
    alpha = _solve(gram, ridge, wanted, noise_variance)
    return alpha, class_targets_of(codes, targets, wanted.shape[1], gram), noise_variance


def _solve(gram: Any, ridge: Any, wanted: Any, noise_variance: float) -> Any:
    """Return (K + ridge I)^{-1} targets."""
    xp = _arrays.namespace(gram)
    if _arrays.is_foreign(gram):
        alpha = xp.linalg.solve(gram + ridge * xp.eye(gram.shape[0], dtype=gram.dtype), wanted)
        finite = _arrays.traced(alpha) or bool(xp.all(xp.isfinite(alpha)))
    else:
        shifted = gram.copy()
        shifted.flat[:: len(gram) + 1] += ridge
        factor = Cholesky(shifted)
        alpha = factor.solve(wanted) if factor.ok else wanted
        finite = factor.ok and bool(np.isfinite(alpha).all())
    if not finite:
        raise ValueError(
            f"the Gram matrix with noise_variance {noise_variance:.3g} on its diagonal is not positive definite in its "
            "precision, expected a larger ridge: raise noise_variance."
        )
    return alpha
