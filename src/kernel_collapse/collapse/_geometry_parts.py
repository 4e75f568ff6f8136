"""The numbers of `Geometry`, each with a bound of its round-off, from sums that features or a Gram matrix leave."""

from __future__ import annotations

import numpy as np

from kernel_collapse._shapes import Float
from kernel_collapse.collapse._metrics import centred, centred_error
from kernel_collapse.collapse._moments import EPS, Moments
from kernel_collapse.collapse._round_off import GIVEN, LEAST, UNITS, Measured
from kernel_collapse.collapse._simplex import cosines_of

__all__ = ["alignments", "nc5", "rankme", "rankme_of_squares", "stable_ranks", "uniformity"]


def uniformity(moments: Moments, dim: int | None) -> dict[str, Measured]:
    """Return mean and variance over pairs of classes of d, log 1/d and d^-(dim - 2).

    d is the distance of two class means, about the global mean and of length 1: d^2 = 2 - 2 cos.
    """
    products = centred(moments.products, moments.share)
    errors = centred_error(moments.product_error, moments.share)
    cosines, of_cosine, _ = cosines_of(products, errors)
    pairs = np.triu_indices(len(products), 1)
    squares = np.maximum(2.0 - 2.0 * cosines[pairs], 0.0)
    off = 2.0 * of_cosine[pairs]
    if not (np.diag(products) > np.diag(errors)).all():
        squares = np.full_like(squares, np.nan)  # a class mean is the global one: it has no direction
    distances = np.sqrt(squares)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        of_distance = np.where(squares > off, off / distances, np.sqrt(off))
        relative = of_distance / distances
        logs, power = -np.log(distances), float("nan") if dim is None else dim - 2.0
        riesz = distances**-power
        of_riesz = np.abs(riesz * np.expm1(abs(power) * relative))
    # A power is compared with itself; distances and logarithms are of the order of one.
    return (
        _mean_and_variance("uniformity_distance", distances, of_distance, LEAST)
        | _mean_and_variance("uniformity_log", logs, relative, LEAST)
        | _mean_and_variance("uniformity_riesz", riesz, of_riesz, 0.0)
    )


def _mean_and_variance(
    name: str, values: Float[np.ndarray, " m"], errors: Float[np.ndarray, " m"], least: float
) -> dict[str, Measured]:
    with np.errstate(over="ignore", invalid="ignore"):
        mean, variance = values.mean(), values.var()
        rms = np.sqrt(np.mean(errors**2))
        error = 2.0 * np.sqrt(variance) * rms + rms**2
        of_variance = least or LEAST * np.mean(values**2)
        return {
            name: Measured(mean, errors.mean(), least),
            f"{name}_variance": Measured(variance, error, of_variance),
        }


def nc5(
    inner: Float[np.ndarray, " C"],
    squares: Float[np.ndarray, " C"],
    square: float,
    errors: tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"], float],
) -> tuple[Measured, Float[np.ndarray, " C"]]:
    """Return the mean absolute cosine of class means and the mean of other features, and that of each class.

    Given are their inner products and squared lengths, uncentred, and the errors of the three.
    """
    known = (squares > errors[1]) & (square > errors[2])
    size = np.sqrt(np.where(known, squares * square, 1.0))
    cosines = np.where(known, np.abs(inner) / size, np.nan)
    safe, safe_square = np.where(known, squares, 1.0), square if square > 0 else 1.0
    off = errors[0] / size + 0.5 * np.abs(cosines) * (errors[1] / safe + errors[2] / safe_square)
    resolved = off <= GIVEN * np.maximum(cosines, LEAST)
    return Measured(cosines.mean(), off.mean(), LEAST), np.where(resolved, cosines, np.nan)


def rankme(values: Float[np.ndarray, " r"], errors: Float[np.ndarray, " r"] | float) -> Measured:
    """Return the exponential of the entropy of singular values, which are known to within these errors."""
    total = values.sum()
    if not total > 0:
        return Measured(np.float64("nan"), np.float64("nan"))
    shares, off = values / total, np.broadcast_to(errors, values.shape) / total
    entropy = -np.sum(shares * np.log(np.where(shares > 0, shares, 1.0)))
    # The derivative of the entropy by a share is its logarithm: at most that of its error, where it is less.
    logs = np.log(np.maximum(np.maximum(shares, off), np.finfo(float).tiny))
    found = np.exp(entropy)
    return Measured(found, found * np.sum(off * (np.abs(logs) + abs(entropy) + 1.0)))


def rankme_of_squares(values: Float[np.ndarray, " r"], floor: float) -> Measured:
    """Return RankMe from the squares of singular values, which are known to within `floor`.

    What is not told from 0 is left out; what it may add, all of it together the floor, counts as error.
    """
    roots = np.sqrt(np.where(values > floor, values, 0.0))
    off = np.where(roots > 0, floor / np.where(roots > 0, 2.0 * roots, 1.0), 0.0)
    found, rest, total = rankme(roots, off), int(np.sum(roots == 0)), float(roots.sum())
    if not rest or not total:
        return found
    share = np.sqrt(floor * rest) / total  # the sum of the roots of what adds up to the floor
    return found._replace(error=found.error + found.value * share * (1.0 + abs(np.log(share / rest))))


def stable_ranks(
    traces: Float[np.ndarray, " C"],
    largest: Float[np.ndarray, " C"],
    errors: Float[np.ndarray, " C"],
) -> tuple[Measured, Float[np.ndarray, " C"]]:
    """Return tr / largest eigenvalue of the covariance of each class, and their mean; `errors` are those of both.

    NaN of a class without spread, which the mean leaves out.
    """
    some = (traces > errors) & (largest > errors)
    if not some.any():
        return Measured(np.float64("nan"), np.float64("nan")), np.full_like(traces, np.nan)
    ranks = np.where(some, traces, np.nan) / np.where(some, largest, 1.0)
    off = np.where(some, errors * (1.0 + ranks) / np.where(some, largest, 1.0), 0.0)
    found = Measured(np.nanmean(ranks), off[some].mean())
    return found, np.where(off <= GIVEN * ranks, ranks, np.nan)


def alignments(
    sizes: Float[np.ndarray, " C"],
    moments: Moments,
    trace: float,
    norms: tuple[float, float],
    errors: tuple[float, float],
    eps: float = EPS,
) -> dict[str, Measured]:
    """Return the alignment of K with YY', Y one-hot labels, as it is and centred.

    `norms` are those of K and of K centred, with errors, and `trace` is that of K.
    """
    squares = sizes**2
    inner = np.sum(squares * moments.class_squares)
    inner_error = UNITS * eps * np.sum(squares * (moments.class_squares + moments.spread))
    own = np.diag(centred(moments.products, moments.share))
    own_error = np.diag(centred_error(moments.product_error, moments.share))
    labels = np.diag(sizes) - np.outer(sizes, sizes) / sizes.sum()
    return {
        "kernel_target_alignment": _cosine(inner, inner_error, norms[0], errors[0], np.sqrt(squares.sum())),
        "label_cka": _cosine(
            np.sum(squares * own),
            np.sum(squares * own_error),
            norms[1],
            errors[1],
            float(np.linalg.norm(labels)),
        ),
    }


def _cosine(inner: float, inner_error: float, norm: float, norm_error: float, other: float) -> Measured:
    if not norm > norm_error:
        return Measured(np.float64("nan"), np.float64("nan"))
    value = inner / norm / other
    return Measured(value, inner_error / norm / other + abs(value) * norm_error / norm, LEAST)
