r"""Neural collapse from a Gram matrix.

Let P be the n x C class-averaging matrix (P_ic = 1/n_c if sample i is in class c, else 0). Everything needs
only diag K and R = K P, one pass over K: B = P'KP holds the inner products of the class means, and::

    tr S_W = sum_c u_c ( mean_{i in c} K_ii - B_cc )
    tr S_B = sum_c q_c ( B_cc - 2 (B p)_c + p'Bp )
    NC1    = tr S_W / tr S_B

===============  =====  =====  =====  ==========================================================
`weighting`      u_c    q_c    p_c    note
===============  =====  =====  =====  ==========================================================
``"paper"``      n_c/n  1/C    n_c/n  the definition of the neural-collapse literature (default)
``"sample"``     n_c/n  n_c/n  n_c/n  S_T = S_W + S_B holds
``"class"``      1/C    1/C    1/C    insensitive to imbalance
``"published"``  --     --     --     what the published kernel code computes, see `nc1`
===============  =====  =====  =====  ==========================================================

All four agree when the classes are of one size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import array_api_compat
import numpy as np
from jaxtyping import Float, Int

from kernel_collapse import _arrays, _validate

__all__ = ["NC1", "WEIGHTINGS", "Weighting", "nc1", "nc1_from_features", "nc1_weightings"]

Weighting = Literal["paper", "sample", "class", "published"]
WEIGHTINGS: tuple[Weighting, ...] = ("paper", "sample", "class", "published")


EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class NC1:
    """Within-class variability against between-class variability.

    Attributes
    ----------
    within, between : float
        tr S_W and tr S_B, in the squared units of the features. A value below what the precision resolves of the
        Gram matrix is returned as exactly 0.
    ratio : float
        within / between; NaN where the class means coincide.
    reason : str
        Empty, or why `ratio` is not a number.

    Notes
    -----
    Of a Gram matrix of JAX, PyTorch or CuPy the three are arrays of no dimension on its device, which can be
    differentiated; under `jax.jit` nothing is known of their values, and `reason` stays empty.
    """

    within: Any
    between: Any
    ratio: Any
    reason: str = ""


class Moments(NamedTuple):
    """What NC1 needs to know of the features; arrays of one library."""

    share: Float[Any, " C"]  # n_c / n
    seen_share: Float[Any, " C"]  # the same of the samples that `spread` is of, if those were held out
    spread: Float[Any, " C"]  # mean_{i in c} K_ii - B_cc
    means: Float[Any, "C C"]  # B, or the same about another origin
    square: Any  # mean of diag K
    class_squares: Float[Any, " C"]  # diag B
    global_square: Any  # 1'K1 / n^2
    round_off: Any


def nc1(gram: Any, labels: Any, *, weighting: Weighting = "paper") -> NC1:
    r"""Return NC1 of the features whose Gram matrix is given.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        K_ij = <h(x_i), h(x_j)> for some feature map h, in the units of the features squared. An array of NumPy, JAX,
        PyTorch or CuPy; NC1 can be differentiated by the libraries that do, and so be a regulariser.
    labels : sequence, length n
        Class of each sample: any hashable values, in any order.
    weighting : {"paper", "sample", "class", "published"}
        How classes of different sizes are weighted; see the module. "published" reproduces the authors'
        kernel code, tr S_W = mean(diag K) - (1/C) sum_c B_cc, tr S_B = (1/C) sum_c B_cc - 1'K1/n^2. It
        agrees with the others when the classes are of one size. When they are not, it is the variance of no
        feature map and can be negative: use it for nothing but a comparison.

    Returns
    -------
    NC1
        `within`, `between` and their `ratio`. One sample a class: the ratio is 0. Class means that coincide
        (constant features, say): `between` is 0, the ratio NaN, and `reason` says so.

    Raises
    ------
    ValueError
        If the Gram matrix is not square, symmetric, finite and as large as `labels`, or if there is only
        one class.

    References
    ----------
    Papyan, Han and Donoho (2020), arXiv 2008.08186; from a kernel: Kothapalli and Tirer (2025),
    arXiv 2406.02105.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> features = np.array([[0.0], [2.0], [10.0], [12.0]])
    >>> kc.nc1(features @ features.T, ["a", "a", "b", "b"])
    NC1(within=1.0, between=25.0, ratio=0.04, reason='')

    The step that makes a network's features collapse less or more starts with its gradient:

    >>> import jax
    >>> gradient = jax.grad(lambda k: kc.nc1(k, ["a", "a", "b", "b"]).ratio)(jax.numpy.eye(4))
    >>> gradient.shape
    (4, 4)
    """
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, _ = _validate.encode_labels(labels)
    return from_moments(gram_moments(_validate.gram(gram, len(codes)), codes), weighting)


def nc1_weightings(gram: Any, labels: Any) -> dict[Weighting, NC1]:
    """Return `nc1` under every weighting, in one pass over the Gram matrix.

    Parameters
    ----------
    gram, labels
        As for `nc1`.

    Returns
    -------
    dict
        From the name of each weighting to its `NC1`.

    Raises
    ------
    ValueError
        As for `nc1`.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> features = np.array([[0.0], [2.0], [10.0]])
    >>> values = kc.nc1_weightings(features @ features.T, ["a", "a", "b"])
    >>> {name: round(value.ratio, 4) for name, value in values.items()}
    {'paper': 0.0296, 'sample': 0.037, 'class': 0.0247, 'published': -0.4589}
    """
    codes, _ = _validate.encode_labels(labels)
    moments = gram_moments(_validate.gram(gram, len(codes)), codes)
    return {weighting: from_moments(moments, weighting) for weighting in WEIGHTINGS}


def nc1_from_features(features: Any, labels: Any, *, weighting: Weighting = "paper") -> NC1:
    r"""Return NC1 of explicit features, which equals `nc1` of ``features @ features.T``.

    The features are centred before anything is squared, so that tiny ratios keep their digits.

    Parameters
    ----------
    features : array_like, shape (n, p)
        Features, one sample a row.
    labels, weighting
        As for `nc1`.

    Returns
    -------
    NC1
        As for `nc1`.

    Raises
    ------
    ValueError
        If the features are not a finite matrix with as many rows as labels, or there is only one class.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.nc1_from_features([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"]).ratio
    0.04
    """
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, _ = _validate.encode_labels(labels)
    clean = _validate.squarable(_validate.matrix(features, "features"), "features")
    _validate.as_many(len(clean), "features", len(codes))
    return from_moments(_feature_moments(clean, codes), weighting)


def averaging_matrix(codes: Int[np.ndarray, " n"], like: Any) -> tuple[Float[Any, "n C"], Float[Any, " C"]]:
    """Return the class-averaging matrix P and the class sizes, as arrays of the kind of `like`."""
    sizes = np.bincount(codes).astype(float)
    averaging = np.zeros((len(codes), len(sizes)))
    averaging[np.arange(len(codes)), codes] = 1.0 / sizes[codes]
    return convert(averaging, like), convert(sizes, like)


def convert(values: np.ndarray, like: Any) -> Any:
    """Return values as an array of the kind, precision and device of another."""
    if not _arrays.is_foreign(like):
        return values
    xp = _arrays.namespace(like)
    return xp.asarray(values, dtype=like.dtype, device=array_api_compat.device(like))


def gram_moments(gram: Float[Any, "n n"], codes: Int[np.ndarray, " n"]) -> Moments:
    """Return the moments of the features of a Gram matrix, in one pass over it."""
    averaging, sizes = averaging_matrix(codes, gram)
    xp = _arrays.namespace(gram)
    transposed = xp.permute_dims(averaging, (1, 0))
    diagonal = xp.linalg.diagonal(gram)
    return moments_of_sums(
        transposed @ diagonal, transposed @ (gram @ averaging), sizes, xp.max(xp.abs(diagonal))
    )


def moments_of_sums(
    diagonal: Float[Any, " C"], means: Float[Any, "C C"], sizes: Float[Any, " C"], largest: Any
) -> Moments:
    """Return the moments, given the class means of diag K, B = P'KP, and the largest K_ii."""
    xp = _arrays.namespace(means)
    share = sizes / xp.sum(sizes)
    class_squares = xp.linalg.diagonal(means)
    return Moments(
        share=share,
        seen_share=share,
        spread=diagonal - class_squares,
        means=means,
        square=xp.sum(share * diagonal),
        class_squares=class_squares,
        global_square=xp.sum(share * (means @ share)),
        # A sum of n rounded products errs by about sqrt(n) units of round-off of its largest terms.
        round_off=4.0 * float(xp.finfo(means.dtype).eps) * xp.sqrt(xp.sum(sizes)) * largest,
    )


def _feature_moments(features: Float[Any, "n p"], codes: Int[np.ndarray, " n"]) -> Moments:
    averaging, sizes = averaging_matrix(codes, features)
    xp = _arrays.namespace(features)
    transposed = xp.permute_dims(averaging, (1, 0))
    origin = xp.mean(features, axis=0)
    centred = features - origin
    class_means = transposed @ centred
    within = centred - (averaging * sizes) @ class_means
    spread = transposed @ xp.sum(within * within, axis=1)
    largest = xp.max(xp.sum(features * features, axis=1))
    return class_moments(sizes, spread, class_means, origin, largest=largest)


def class_moments(
    sizes: Float[Any, " C"],
    spread: Float[Any, " C"],
    class_means: Float[Any, "C p"],
    origin: Float[Any, " p"],
    *,
    largest: Any,
    eps: float | None = None,
) -> Moments:
    """Return the moments of features whose class means are given about an origin, and their mean squared distance.

    `largest` is the largest square of a feature vector: centring errs by round-off of the features, then squared.
    """
    xp = _arrays.namespace(class_means)
    eps = float(xp.finfo(class_means.dtype).eps) if eps is None else eps
    share = sizes / xp.sum(sizes)
    centre = class_means + origin
    class_squares = xp.sum(centre * centre, axis=1)
    overall = share @ centre
    return Moments(
        share=share,
        seen_share=share,
        spread=spread,
        means=class_means @ xp.permute_dims(class_means, (1, 0)),
        square=xp.sum(share * (spread + class_squares)),
        class_squares=class_squares,
        global_square=xp.sum(overall * overall),
        round_off=(4.0 * eps) ** 2 * xp.sum(sizes) * largest,
    )


def nc1_from_classes(
    sizes: Float[np.ndarray, " C"],
    spread: Float[np.ndarray, " C"],
    class_means: Float[np.ndarray, "C p"],
    *,
    eps: float | None = None,
) -> dict[Weighting, NC1]:
    """Return NC1 under every weighting from what is kept of features while a network trains.

    `spread` is the mean squared distance of a class's features from their mean; `eps` is the round-off they
    carry (float64 by default).
    """
    origin = sizes / sizes.sum() @ class_means
    largest = float((spread + np.einsum("ij,ij->i", class_means, class_means)).max())
    moments = class_moments(sizes, spread, class_means - origin, origin, largest=largest, eps=eps)
    return {weighting: from_moments(moments, weighting) for weighting in WEIGHTINGS}


def class_weights(
    weighting: Weighting, share: Float[Any, " C"], seen_share: Float[Any, " C"]
) -> tuple[Any, Any, Any]:
    """Return u, q and p of the module's table; those of "paper" for "published", which has none."""
    xp = _arrays.namespace(share)
    even = xp.ones_like(share) / share.shape[0]
    if weighting == "class":
        return even, even, even
    return seen_share, share if weighting == "sample" else even, share


def from_moments(moments: Moments, weighting: Weighting) -> NC1:
    """Return NC1 under a weighting; numbers if the moments are NumPy's."""
    xp = _arrays.namespace(moments.means)
    spread, means = moments.spread, moments.means
    u, q, p = class_weights(weighting, moments.share, moments.seen_share)
    if weighting == "published":
        class_square = xp.mean(moments.class_squares)
        within, between = moments.square - class_square, class_square - moments.global_square
    else:
        distance = xp.linalg.diagonal(means) - 2.0 * (means @ p) + xp.sum(p * (means @ p))
        within, between = xp.sum(u * spread), xp.sum(q * distance)
    zero = xp.zeros_like(within)
    within = xp.where(xp.abs(within) <= moments.round_off, zero, within)
    between = xp.where(xp.abs(between) <= moments.round_off, zero, between)
    # The quotient is taken where there is one: a derivative would carry what is selected away.
    ratio = xp.where(between == 0, zero + float("nan"), within / xp.where(between == 0, zero + 1.0, between))
    if not _arrays.is_foreign(ratio):
        within, between, ratio = float(within), float(between), float(ratio)
    reason = ""
    if not _arrays.traced(ratio) and _arrays.number(between) == 0.0:
        reason = "the class means coincide to within round-off, so there is no spread to compare with"
    return NC1(within, between, ratio, reason)
