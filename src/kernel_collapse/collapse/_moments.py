"""What the metrics need to know of features, with bounds of errors, from a Gram matrix or from class means."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse._gram import Halves, coincident, halves_of
from kernel_collapse.collapse._round_off import FEATURES, GIVEN, UNITS, Source, of_gram

__all__ = [
    "EPS",
    "Moments",
    "class_moments",
    "gram_moments",
    "moments_of_halves",
    "with_no_spread",
    "without_coincident",
]

EPS = float(np.finfo(np.float64).eps)


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
    if _arrays.traced(moments.spread) or moments.source != of_gram(EPS):
        return moments
    spread, error = (
        _arrays.read(v) if _arrays.is_foreign(v) else v for v in (moments.spread, moments.spread_error)
    )
    same = np.array(
        [
            GIVEN * spread[c] < error[c] and coincident(gram, np.flatnonzero(codes == c))
            for c in range(len(spread))
        ]
    )
    return with_no_spread(moments, same)


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
