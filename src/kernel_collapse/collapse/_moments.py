"""What the metrics need to know of features, with bounds of errors, from a Gram matrix or from class means."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._shapes import Bool, Float, Int
from kernel_collapse.collapse._gram import Halves, coincident, halves_of
from kernel_collapse.collapse._round_off import FEATURES, GIVEN, SILENT, UNITS, Source, of_gram

__all__ = [
    "EPS",
    "Moments",
    "class_moments",
    "gram_moments",
    "moments_of_halves",
    "units_of_equal",
    "unseen",
    "with_no_spread",
    "without_coincident",
]

EPS = float(np.finfo(np.float64).eps)
#: A spread that is not resolved counts as 0 where it can be no more than this share of the squared distance to the
#: nearest other class mean.
UNSEEN = 1e-10


class Moments(NamedTuple):
    """What NC1 needs to know of the features, with bounds of its errors; arrays of one library.

    `products` are the inner products of the class means up to a term of the row and one of the column: about any
    origin, or the class averages of E (`_gram`). The weighting "published" alone needs more, `class_squares`, for it
    changes when the features move as a whole.
    """

    share: Float[Any, " C"]  # n_c / n
    seen_share: Float[Any, " C"]  # the same of the samples that `spread` is of, if those were held out
    spread: Float[
        Any, " C"
    ]  # mean squared distance of a class's samples from its mean; 0 where `seen_share` is 0
    spread_error: Float[Any, " C"]
    products: Float[Any, "C C"]
    product_error: Float[Any, "C C"]
    source: Source
    class_squares: Float[Any, " C"]  # squared lengths of the class means
    coincident: bool = False  # whether a spread was found to be 0 to within round-off, and was set to 0


def gram_moments(gram: Float[Any, "n n"], eps: float, codes: Int[np.ndarray, " n"]) -> Moments:
    """Return the moments of the features of a Gram matrix, in one pass over it."""
    xp = _arrays.namespace(gram)
    diagonal = xp.linalg.diagonal(gram)
    sizes = _arrays.like(np.bincount(codes).astype(float), gram)
    halves = halves_of(gram, diagonal, diagonal, codes, sizes, eps)
    return without_coincident(moments_of_halves(diagonal, halves, codes, sizes, eps), gram, codes)


def moments_of_halves(
    diagonal: Float[Any, " n"],
    halves: Halves,
    codes: Int[np.ndarray, " n"],
    sizes: Float[Any, " C"],
    eps: float,
) -> Moments:
    """Return the moments, given diag K and the class averages of E over the columns."""
    xp = _arrays.namespace(halves.means)
    count = sizes.shape[0]
    share = sizes / xp.sum(sizes)
    squares = _arrays.segment_sum(diagonal, codes, count) / sizes
    products = _arrays.segment_sum(halves.means, codes, count) / sizes[:, None]
    own = xp.linalg.diagonal(products)
    tiny = float(xp.finfo(products.dtype).smallest_normal)
    error = halves.error * squares + tiny
    alone = sizes == 1.0  # a sample is at no distance from itself
    return Moments(
        share=share,
        seen_share=share,
        spread=xp.where(alone, xp.zeros_like(own), -own),
        spread_error=xp.where(alone, xp.zeros_like(own), error),
        products=products,
        product_error=0.5 * (error[:, None] + error[None, :]),
        source=of_gram(eps),
        class_squares=squares + own,
    )


def without_coincident(moments: Moments, gram: Float[Any, "n n"], codes: Int[np.ndarray, " n"]) -> Moments:
    """Return the moments with a spread of exactly 0 for classes whose samples coincide, pair by pair.

    Only a spread that float64 does not resolve is looked at: a pass over the class's part of the Gram matrix.
    """
    if _arrays.staged(moments.spread) or moments.source != of_gram(EPS):
        return moments
    spread, error = map(_arrays.read, (moments.spread, moments.spread_error))
    units = units_of_equal(moments)
    same = np.array(
        [
            GIVEN * spread[c] < error[c] and coincident(gram, np.flatnonzero(codes == c), units)
            for c in range(len(spread))
        ]
    )
    return with_no_spread(moments, same & unseen(moments, same))


def units_of_equal(moments: Moments) -> float:
    """Return by how many units of round-off entries may differ of samples that are called equal.

    Where no class mean is told apart from any other, round-off may hide all there is: then only the same numbers are.
    """
    return UNITS if _apart(moments)[1].any() else 0.0


def unseen(moments: Moments, same: np.ndarray) -> np.ndarray:
    """Tell of which classes the spread, not resolved, is too small to matter: beside distances of means, and others.

    A class whose samples are far from the origin may have a spread that round-off hides and that is as large as the
    distances between the classes. Such a spread is not 0 but unknown.
    """
    squares, apart = _apart(moments)
    if not apart.any():  # nothing is told apart from anything, and `reason` says so
        return np.ones(len(squares), dtype=bool)
    spread, error = map(_arrays.read, (moments.spread, moments.spread_error))
    nearest = np.where(apart, squares, np.inf).min(axis=1)
    others = spread[~same & (error > 0.0)]
    least = SILENT * others.min(initial=np.inf, where=others > 0.0)
    return np.isfinite(nearest) & (error <= np.minimum(UNSEEN * nearest, least))


def _apart(moments: Moments) -> tuple[Float[np.ndarray, "C C"], Bool[np.ndarray, "C C"]]:
    """Return the squared distances of the class means, and which are more than round-off."""
    products, off = map(_arrays.read, (moments.products, moments.product_error))
    own, own_error = np.diag(products), np.diag(off)
    squares = own[:, None] + own[None, :] - 2.0 * products
    return squares, squares > own_error[:, None] + own_error[None, :] + 2.0 * off


def with_no_spread(moments: Moments, same: np.ndarray) -> Moments:
    """Return the moments with a spread of exactly 0 for some classes."""
    if not same.any():
        return moments
    xp = _arrays.namespace(moments.spread)
    none, zero = _arrays.like(same * 1.0, moments.spread) > 0, xp.zeros_like(moments.spread)
    return moments._replace(
        spread=xp.where(none, zero, moments.spread),
        spread_error=xp.where(none, zero, moments.spread_error),
        coincident=True,
    )


def class_moments(
    sizes: Float[Any, " C"],
    spread: Float[Any, " C"],
    class_means: Float[Any, "C p"],
    origin: Float[Any, " p"],
    *,
    seen_sizes: Float[Any, " C"] | None = None,
    eps: float | None = None,
) -> Moments:
    """Return the moments of features whose class means are given about an origin, and their mean squared distance.

    Distances from a sample of the class are known to round-off of themselves. With an `eps` the features themselves had
    been rounded to it before they were centred, so that distances err by as much of the features.
    """
    xp = _arrays.namespace(class_means)
    share = sizes / xp.sum(sizes)
    seen = sizes if seen_sizes is None else seen_sizes
    limits = xp.finfo(class_means.dtype)
    own = xp.sum(class_means * class_means, axis=1)
    centre = class_means + origin
    class_squares = xp.sum(centre * centre, axis=1)
    tiny = float(limits.smallest_normal) * class_means.shape[1]
    unit = UNITS * max(float(limits.eps), eps or 0.0)
    spread_error = unit * xp.sqrt(sizes) * spread
    if eps is not None:
        moved = 4.0 * eps * xp.sqrt(class_squares + spread)
        spread_error = spread_error + 2.0 * xp.sqrt(spread) * moved + moved * moved
    spread_error = spread_error + xp.where(spread > 0, xp.zeros_like(spread) + tiny, xp.zeros_like(spread))
    error = unit * (own + spread) + tiny
    return Moments(
        share=share,
        seen_share=seen / xp.sum(seen),
        spread=spread,
        spread_error=spread_error,
        products=class_means @ xp.permute_dims(class_means, (1, 0)),
        product_error=0.5 * (error[:, None] + error[None, :]),
        source=FEATURES,
        class_squares=class_squares,
    )
