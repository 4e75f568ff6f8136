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
from kernel_collapse.collapse._nc1 import (
    Moments,
    Weighting,
    averaging_matrix,
    class_weights,
    convert,
    from_moments,
)

__all__ = [
    "Collapse",
    "Seen",
    "assemble",
    "by_class",
    "class_targets_of",
    "columns_of",
    "decide",
    "membership_matrix",
    "nc2",
    "nc3",
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
        Empty, or why metrics are not a number.

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


class Seen(NamedTuple):
    """What the metrics are made of, whether it came from a Gram matrix or from features."""

    moments: Moments  # of the class means and the spread about them
    deviations: Float[Any, "C n"]  # Z: of each sample from its class mean, along the centred class means
    distances: Float[Any, "n C"]  # squared, to the class means, less a term of the sample
    scores: Float[Any, "n k"] | None
    cross: Float[Any, "k C"] | None  # W M' of the k outputs
    square: Float[Any, "k k"] | None  # W W'


def assemble(
    seen: Seen,
    codes: Int[np.ndarray, " n"],
    membership: Float[Any, "n C"],
    p: Float[Any, " C"],
    class_targets: Float[Any, "C k"] | None,
    weighting: Weighting,
    noise_variance: float,
) -> Collapse:
    """Return the metrics of what was seen of the features."""
    moments = seen.moments
    xp = _arrays.namespace(moments.means)
    value = from_moments(moments, weighting)
    about = moments.means - (moments.means @ p)[:, None]
    products = about - p @ about  # Bc
    nan = xp.zeros_like(moments.square) + float("nan")
    own = xp.asarray(codes, device=array_api_compat.device(products))

    def share(agree: Any) -> Any:
        return xp.mean(xp.astype(agree, products.dtype))

    nearest = xp.argmin(seen.distances, axis=1)
    third = cosine = fourth = accuracy = nan
    if class_targets is not None and seen.scores is not None and seen.cross is not None:
        decided = decide(seen.scores, class_targets)
        fourth, accuracy = share(decided == nearest), share(decided == own)
        towards = class_targets - p @ class_targets
        third, cosine = nc3(towards @ seen.cross, xp.sum((towards @ seen.square) * towards), products)
    distances = _distances(products, moments.round_off)
    spreads = 0.5 * (moments.spread[:, None] + moments.spread[None, :])
    off_diagonal = 1.0 - xp.eye(p.shape[0], dtype=products.dtype, device=array_api_compat.device(products))
    pairs = off_diagonal * (spreads / distances)
    norms, angles, etf = nc2(products, moments.round_off)
    found = {
        "nc1": value.ratio,
        "within": value.within,
        "between": value.between,
        "nc1_pinv": nan if weighting == "published" else _pinv(seen, products, membership, weighting),
        "cdnv": xp.sum(pairs) / (p.shape[0] * (p.shape[0] - 1)),
        "nc2_norms": norms,
        "nc2_angles": angles,
        "nc2_etf": etf,
        "nc3": third,
        "nc3_cosine": cosine,
        "nc4": fourth,
        "ncm_accuracy": share(nearest == own),
        "accuracy": accuracy,
    }
    reason = value.reason
    if not reason and not _arrays.traced(cosine):
        undefined = [name for name in ("cdnv", "nc2_etf") if np.isnan(_arrays.number(found[name]))]
        if undefined:
            which = " and ".join(undefined)
            reason = f"class means coincide, or one is the global mean: there is no {which}"
    if not _arrays.is_foreign(pairs):
        found = {name: float(number) for name, number in found.items()}
    return Collapse(**found, cdnv_pairs=pairs, noise_variance=noise_variance, reason=reason)


def decide(scores: Float[Any, "n k"], class_targets: Float[Any, "C k"]) -> Int[Any, " n"]:
    """Return the class whose target is nearest; with one-hot targets, that of the largest output."""
    xp = _arrays.namespace(scores)
    half_squares = 0.5 * xp.sum(class_targets * class_targets, axis=1)
    return xp.argmax(scores @ xp.permute_dims(class_targets, (1, 0)) - half_squares, axis=1)


def _distances(products: Float[Any, "C C"], round_off: Any) -> Float[Any, "C C"]:
    """Return squared distances between class means; NaN where two coincide, 1 on the diagonal."""
    xp = _arrays.namespace(products)
    squares = xp.linalg.diagonal(products)
    one = xp.eye(products.shape[0], dtype=products.dtype, device=array_api_compat.device(products))
    distances = squares[:, None] + squares[None, :] - 2.0 * products + one
    return xp.where(distances > round_off, distances, xp.zeros_like(distances) + float("nan"))


def nc2(products: Float[Any, "C C"], round_off: Any = 0.0) -> tuple[Any, Any, Any]:
    """Return three measures of NC2 from the inner products Bc of centred class means; all are 0 on a simplex.

    The coefficient of variation of their norms, the standard deviation of the cosines between them, and the Frobenius
    distance of the matrix of cosines to that of the simplex. NaN where a class mean is the global one.
    """
    xp = _arrays.namespace(products)
    classes = products.shape[0]
    squares = xp.linalg.diagonal(products)
    nan = xp.zeros_like(squares) + float("nan")
    norms = _arrays.sqrt(xp, xp.where(squares > round_off, squares, nan))
    cosines = products / (norms[:, None] * norms[None, :])
    eye = xp.eye(classes, dtype=products.dtype, device=array_api_compat.device(products))
    between = (1.0 - eye) * cosines
    mean = xp.sum(between) / (classes * (classes - 1))
    spread = xp.sum((1.0 - eye) * (between - mean) ** 2) / (classes * (classes - 1))
    simplex = (classes * eye - 1.0) / (classes - 1.0)
    return (
        xp.std(norms) / xp.mean(norms),
        _arrays.sqrt(xp, spread),
        _arrays.sqrt(xp, xp.sum((cosines - simplex) ** 2)),
    )


def nc3(rows: Float[Any, "C C"], square: Any, products: Float[Any, "C C"]) -> tuple[Any, Any]:
    """Return the distance of W M' to the simplex, both of norm 1, and the cosine between W and M.

    `rows` is W M' for classifier and class means about their means over classes, `square` is |W|^2 and `products` M M'.
    NaN where the classifier is 0 or sees no difference between the means.
    """
    xp = _arrays.namespace(products)
    classes = products.shape[0]
    eye = xp.eye(classes, dtype=products.dtype, device=array_api_compat.device(products))
    nan = xp.zeros_like(products) + float("nan")
    norm = _arrays.sqrt(xp, xp.sum(rows * rows))
    unit = xp.where(norm > 0, rows, nan) / xp.where(norm > 0, norm, norm + 1.0)
    distance = _arrays.sqrt(xp, xp.sum((unit - (eye - 1.0 / classes) / (classes - 1.0) ** 0.5) ** 2))
    size = _arrays.sqrt(xp, xp.maximum(square, 0.0) * xp.sum(xp.linalg.diagonal(products)))
    cosine = xp.sum(xp.linalg.diagonal(rows)) / xp.where(size > 0, size, nan[0, 0])
    return distance, cosine


def _pinv(
    seen: Seen, products: Float[Any, "C C"], membership: Float[Any, "n C"], weighting: Weighting
) -> Any:
    """Return tr(S_W S_B^+) / C.

    With Q = diag(q), S_B = M'QM and S_B^+ = M' Q^{1/2} (Q^{1/2} Bc Q^{1/2})^{+2} Q^{1/2} M, so that a sample counts by
    the length of (Q^{1/2} Bc Q^{1/2})^+ Q^{1/2} z, z its deviation along the centred class means.
    """
    xp = _arrays.namespace(products)
    sizes = xp.sum(membership, axis=0)
    u, q, _ = class_weights(weighting, seen.moments.share, seen.moments.seen_share)
    root = xp.sqrt(q)
    values, vectors = xp.linalg.eigh(root[:, None] * products * root[None, :])
    eps = float(xp.finfo(products.dtype).eps)
    floor = xp.maximum(xp.max(xp.abs(values)) * eps * 4.0 * products.shape[0], seen.moments.round_off)
    kept = values > floor
    one = xp.ones_like(values)
    inverse = xp.where(kept, 1.0 / xp.where(kept, values, one), xp.zeros_like(values))
    along = inverse[:, None] * (xp.permute_dims(vectors, (1, 0)) @ (root[:, None] * seen.deviations))
    weights = membership @ (u / xp.where(sizes > 0, sizes, one))
    total = xp.sum(weights * xp.sum(along * along, axis=0)) / products.shape[0]
    return xp.where(xp.any(kept), total, xp.zeros_like(total) + float("nan"))


def membership_matrix(codes: Int[np.ndarray, " n"], like: Any) -> tuple[Float[Any, "n C"], Float[Any, " C"]]:
    """Return which class each sample is of, and how many are of each."""
    membership = np.zeros((len(codes), like.shape[0]))
    membership[np.arange(len(codes)), codes] = 1.0
    return convert(membership, like), convert(membership.sum(axis=0), like)


def by_class(membership: Any, values: Any, sizes: Any) -> Any:
    """Return the mean of the values over each class; 0 for one without a sample."""
    xp = _arrays.namespace(values)
    one = xp.ones_like(sizes)
    return (xp.permute_dims(membership, (1, 0)) @ values) / xp.where(sizes > 0, sizes, one)


def columns_of(value: Any, what: str, n: int) -> Any:
    """Return a matrix of n rows; one column may come as a vector."""
    clean = _validate.columns(value, what)
    _validate.as_many(clean.shape[0], what, n)
    return clean


def class_targets_of(
    codes: Int[np.ndarray, " n"], targets: Any, outputs: int, like: Any
) -> Float[Any, "C k"]:
    """Return the target of each class: the mean over its samples, or its own output where no targets are given."""
    averaging, sizes = averaging_matrix(codes, like)
    xp = _arrays.namespace(like)
    if targets is not None:
        wanted = columns_of(targets, "targets", len(codes))
        if wanted.shape[1] != outputs:
            raise ValueError(
                f"targets have {wanted.shape[1]} columns and the classifier {outputs} outputs, expected as many."
            )
        return xp.permute_dims(averaging, (1, 0)) @ wanted
    if outputs != sizes.shape[0]:
        raise ValueError(
            f"the classifier has {outputs} outputs for {sizes.shape[0]} classes, expected one a class: give targets= "
            "to say which outputs mean which class."
        )
    return convert(np.eye(outputs), like)
