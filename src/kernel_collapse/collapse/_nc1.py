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

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from kernel_collapse import _validate

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
        tr S_W and tr S_B, in the squared units of the features. A value below what float64 resolves of the
        Gram matrix is returned as exactly 0.
    ratio : float
        within / between; NaN where the class means coincide.
    reason : str
        Empty, or why `ratio` is not a number.
    """

    within: float
    between: float
    ratio: float
    reason: str = ""


class _Moments(NamedTuple):
    """What NC1 needs to know of the features."""

    share: Float[np.ndarray, " C"]  # n_c / n
    spread: Float[np.ndarray, " C"]  # mean_{i in c} K_ii - B_cc
    means: Float[np.ndarray, "C C"]  # B, or the same about another origin
    square: float  # mean of diag K
    class_squares: Float[np.ndarray, " C"]  # diag B
    global_square: float  # 1'K1 / n^2
    round_off: float


def nc1(gram: ArrayLike, labels: Any, *, weighting: Weighting = "paper") -> NC1:
    r"""Return NC1 of the features whose Gram matrix is given.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        K_ij = <h(x_i), h(x_j)> for some feature map h, in the units of the features squared.
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
    """
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, _ = _validate.encode_labels(labels)
    return _from_moments(_gram_moments(_validate.gram(gram, len(codes)), codes), weighting)


def nc1_weightings(gram: ArrayLike, labels: Any) -> dict[Weighting, NC1]:
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
    moments = _gram_moments(_validate.gram(gram, len(codes)), codes)
    return {weighting: _from_moments(moments, weighting) for weighting in WEIGHTINGS}


def nc1_from_features(features: ArrayLike, labels: Any, *, weighting: Weighting = "paper") -> NC1:
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
    clean = _validate.matrix(features, "features")
    if len(clean) != len(codes):
        raise ValueError(
            f"features have {len(clean)} rows and there are {len(codes)} labels, expected as many labels as rows."
        )
    return _from_moments(_feature_moments(clean, codes), weighting)


def _averaging(codes: Int[np.ndarray, " n"]) -> tuple[Float[np.ndarray, "n C"], Float[np.ndarray, " C"]]:
    """Return the class-averaging matrix P and the class sizes."""
    sizes = np.bincount(codes).astype(float)
    averaging = np.zeros((len(codes), len(sizes)))
    averaging[np.arange(len(codes)), codes] = 1.0 / sizes[codes]
    return averaging, sizes


def _gram_moments(gram: Float[np.ndarray, "n n"], codes: Int[np.ndarray, " n"]) -> _Moments:
    averaging, sizes = _averaging(codes)
    share, diagonal = sizes / len(codes), np.diag(gram)
    means = averaging.T @ (gram @ averaging)
    class_squares = np.diag(means)
    return _Moments(
        share=share,
        spread=averaging.T @ diagonal - class_squares,
        means=means,
        square=float(diagonal.mean()),
        class_squares=class_squares,
        global_square=float(share @ means @ share),
        # A sum of n rounded products errs by about sqrt(n) units of round-off of its largest terms.
        round_off=4.0 * EPS * np.sqrt(len(codes)) * float(np.abs(diagonal).max()),
    )


def _feature_moments(features: Float[np.ndarray, "n p"], codes: Int[np.ndarray, " n"]) -> _Moments:
    averaging, sizes = _averaging(codes)
    origin = features.mean(axis=0)
    centred = features - origin
    class_means = averaging.T @ centred
    within = centred - class_means[codes]
    spread = averaging.T @ np.einsum("ij,ij->i", within, within)
    return _class_moments(sizes, spread, class_means, origin, largest=_largest_square(features))


def _largest_square(features: Float[np.ndarray, "n p"]) -> float:
    return float(np.einsum("ij,ij->i", features, features).max())


def _class_moments(
    sizes: Float[np.ndarray, " C"],
    spread: Float[np.ndarray, " C"],
    class_means: Float[np.ndarray, "C p"],
    origin: Float[np.ndarray, " p"],
    *,
    largest: float,
    eps: float = EPS,
) -> _Moments:
    """Return the moments of features whose class means are given about an origin, and their mean squared distance.

    `largest` is the largest square of a feature vector: centring errs by round-off of the features, then squared.
    """
    share = sizes / sizes.sum()
    centre = class_means + origin
    class_squares = np.einsum("ij,ij->i", centre, centre)
    overall = share @ centre
    return _Moments(
        share=share,
        spread=spread,
        means=class_means @ class_means.T,
        square=float(share @ (spread + class_squares)),
        class_squares=class_squares,
        global_square=float(overall @ overall),
        round_off=(4.0 * eps) ** 2 * float(sizes.sum()) * largest,
    )


def nc1_from_classes(
    sizes: Float[np.ndarray, " C"],
    spread: Float[np.ndarray, " C"],
    class_means: Float[np.ndarray, "C p"],
    *,
    eps: float = EPS,
) -> dict[Weighting, NC1]:
    """Return NC1 under every weighting from what is kept of features while a network trains.

    `spread` is the mean squared distance of a class's features from their mean; `eps` is the round-off they carry.
    """
    origin = sizes / sizes.sum() @ class_means
    largest = float((spread + np.einsum("ij,ij->i", class_means, class_means)).max())
    moments = _class_moments(sizes, spread, class_means - origin, origin, largest=largest, eps=eps)
    return {weighting: _from_moments(moments, weighting) for weighting in WEIGHTINGS}


def geometry(
    sizes: Float[np.ndarray, " C"], class_means: Float[np.ndarray, "C p"]
) -> tuple[float, float, float]:
    """Return three measures of NC2 of class means centred at the global mean; all are 0 on a simplex.

    The coefficient of variation of their norms, the standard deviation of the cosines between them, and the Frobenius
    distance of the matrix of cosines to that of the simplex. NaN where a class mean is the global one.
    """
    centred = class_means - sizes / sizes.sum() @ class_means
    norms = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    if not norms.min() > 0:
        return (float("nan"),) * 3
    cosines = centred @ centred.T / np.outer(norms, norms)
    classes = len(sizes)
    simplex = (classes * np.eye(classes) - 1.0) / (classes - 1.0)
    between = cosines[~np.eye(classes, dtype=bool)]
    return float(norms.std() / norms.mean()), float(between.std()), float(np.linalg.norm(cosines - simplex))


def _from_moments(moments: _Moments, weighting: Weighting) -> NC1:
    share, spread, means = moments.share, moments.spread, moments.means
    even = np.full_like(share, 1.0 / len(share))
    if weighting == "published":
        within = moments.square - float(moments.class_squares.mean())
        between = float(moments.class_squares.mean()) - moments.global_square
    else:
        centre = even if weighting == "class" else share
        distance = np.diag(means) - 2.0 * (means @ centre) + centre @ means @ centre
        within = float(centre @ spread)
        between = float((share if weighting == "sample" else even) @ distance)
    within = 0.0 if abs(within) <= moments.round_off else within
    between = 0.0 if abs(between) <= moments.round_off else between
    if between == 0.0:
        reason = "the class means coincide to within round-off, so there is no spread to compare with"
        return NC1(within, between, float("nan"), reason)
    return NC1(within, between, within / between)
