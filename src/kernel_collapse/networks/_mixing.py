"""What draws say of each layer: its mean kernel, NC1 with its error, and how well the chains mixed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from kernel_collapse._shapes import Float
from kernel_collapse.collapse import Weighting, nc1
from kernel_collapse.data import Dataset
from kernel_collapse.networks import _chains

__all__ = ["PosteriorLayer", "layers", "traces"]

#: Chains count as mixed where the worst R-hat is below this and the worst effective sample size reaches that.
RHAT_LIMIT, ESS_A_CHAIN = 1.01, 100
#: Tail index from which on a mean of draws is not settled, whatever the chains say (Vehtari et al. 2024).
TAIL_LIMIT = 0.7
#: Quantiles whose effective sample sizes are those of the tails.
TAILS = (0.05, 0.95)


@dataclass(frozen=True)
class PosteriorLayer:
    """One hidden layer of a posterior.

    Attributes
    ----------
    gram, gram_error : ndarray, shape (n, n)
        The mean feature kernel E[phi phi'] / N and the Monte Carlo standard error of each entry.
    ratio, ratio_error : float
        NC1 of the mean kernel and its Monte Carlo standard error; NaN where the chains did not mix.
    within, between : ndarray, shape (chains, draws)
        tr S_W and tr S_B of the features, draw by draw.
    weight_norm : ndarray, shape (chains, draws)
        Mean square of a weight of the layer in units of its prior.
    rhat, ess : float
        The worst R-hat and the smallest effective sample size of NC1, within, between, weight norm and log density.
    tail_ess : float
        The smallest effective sample size of their quantiles at 5 and 95 per cent, and of what sets the error of
        `ratio`, within - ratio * between.
    tail_index : float
        The largest k of generalised Pareto distributions fitted to both tails of within, between and that difference.
    """

    gram: Float[np.ndarray, "n n"] = field(repr=False)
    gram_error: Float[np.ndarray, "n n"] = field(repr=False)
    ratio: float
    ratio_error: float
    within: Float[np.ndarray, "chains draws"] = field(repr=False)
    between: Float[np.ndarray, "chains draws"] = field(repr=False)
    weight_norm: Float[np.ndarray, "chains draws"] = field(repr=False)
    rhat: float
    ess: float
    tail_ess: float
    tail_index: float

    @property
    def mixed(self) -> bool:
        """Whether chains agree, with enough independent draws, and no few of them decide about the mean."""
        enough = min(self.ess, self.tail_ess) >= ESS_A_CHAIN * len(self.within)
        return self.rhat < RHAT_LIMIT and enough and self.tail_index < TAIL_LIMIT

    @property
    def finite(self) -> bool:
        """Whether every draw is a number."""
        return all(bool(np.isfinite(part).all()) for part in (self.within, self.between, self.gram))


def layers(found: _chains.Draws, dataset: Dataset, weighting: Weighting) -> tuple[PosteriorLayer, ...]:
    """Return what the draws say of each layer."""
    sizes, log_density = np.array(dataset.class_sizes), found.record.log_density
    result = []
    for i, seen in enumerate(found.record.layers):
        gram = found.grams[i]
        within, between = traces(seen, sizes, weighting)
        weight_norm = seen.square / found.position[i][0].size
        summary = _Summary(*(np.nan,) * 6)
        if all(np.isfinite(part).all() for part in (log_density, within, between, gram)):
            ratio = nc1(gram, dataset.labels, weighting=weighting).ratio  # NaN if the means coincide
            summary = _summary(ratio, within, between, log_density, weight_norm)
        result.append(
            PosteriorLayer(
                gram=gram,
                gram_error=found.gram_errors[i],
                ratio=summary.ratio,
                ratio_error=summary.ratio_error,
                within=within,
                between=between,
                weight_norm=weight_norm,
                rhat=summary.rhat,
                ess=summary.ess,
                tail_ess=summary.tail_ess,
                tail_index=summary.tail_index,
            )
        )
    return tuple(result)


class _Summary(NamedTuple):
    """NC1 of the mean kernel with its standard error, and how well the chains mixed."""

    ratio: float
    ratio_error: float
    rhat: float
    ess: float
    tail_ess: float
    tail_index: float


def _summary(
    ratio: float,
    within: Float[np.ndarray, "chains draws"],
    between: Float[np.ndarray, "chains draws"],
    log_density: Float[np.ndarray, "chains draws"],
    weight_norm: Float[np.ndarray, "chains draws"],
) -> _Summary:
    """Return how well the worst of five summaries mixed, and the error of the ratio."""
    deviation = within - np.nan_to_num(ratio) * between
    ratios = np.divide(within, between, out=np.zeros_like(within), where=between != 0)
    summaries = np.stack([ratios, within, between, log_density, weight_norm, deviation], axis=-1)
    rhats, bulk, plain = _chains.diagnostics(summaries)
    # What never moves in any chain (within = 0 with one sample a class) has nothing to mix; what stays at one
    # value in each chain and differs between them has not mixed.
    moves = np.ptp(summaries, axis=(0, 1)) > 0
    rhat = float(np.nan_to_num(rhats, nan=np.inf)[:-1][moves[:-1]].max(initial=1.0))
    ess = float(np.nan_to_num(bulk)[:-1][moves[:-1]].min(initial=within.size))
    error = _standard_error(deviation, plain[-1]) / abs(between.mean()) if np.isfinite(ratio) else np.nan
    tails = _tail_ess(summaries[..., moves], plain[-1] if moves[-1] else float(within.size))
    # What differs by round-off alone (within, of samples that are the same) has no tails.
    least = np.finfo(float).eps * max(np.abs(within).max(), np.abs(between).max())
    parts = [part for part in (within, between, deviation) if np.ptp(part) > least]
    index = max((_tail_index(side) for part in parts for side in (part, -part)), default=-np.inf)
    return _Summary(ratio, error, rhat, ess, tails, index)


def _tail_ess(summaries: Float[np.ndarray, "chains draws m"], of_the_error: float) -> float:
    """Return the smallest effective sample size of both tails of the summaries, and of the mean that is reported."""
    found = [of_the_error]
    if summaries.shape[-1]:
        below = [summaries <= np.quantile(summaries, share, axis=(0, 1)) for share in TAILS]
        inside = np.concatenate(below, axis=-1).astype(float)
        some = np.ptp(inside, axis=(0, 1)) > 0
        found += list(np.nan_to_num(_chains.diagnostics(inside)[2])[some])
    return float(min(found))


def _tail_index(values: Float[np.ndarray, "chains draws"]) -> float:
    """Return k of a generalised Pareto distribution fitted to the upper tail, by Zhang and Stephens (2009).

    The mean of draws has a variance for k < 1/2, and settles with the number of draws that there are for k < 0.7. It is
    drawn to 1/2 where the tail has few draws, as Vehtari et al. (2024) have it.
    """
    values = np.sort(values, axis=None)
    many = int(min(0.2 * values.size, 3.0 * np.sqrt(values.size)))
    tail = values[-many:] - values[-many - 1]
    if many < 5 or not tail[-1] > 0.0:
        return -np.inf
    tail /= tail[-1]
    guesses = 30 + int(np.sqrt(many))
    quarter = max(tail[(many + 2) // 4 - 1], np.finfo(float).eps)
    theta = 1.0 + (1.0 - np.sqrt(guesses / (np.arange(1, guesses + 1) - 0.5))) / (3.0 * quarter)
    k = np.log1p(-theta[:, None] * tail).mean(axis=1)
    log_likelihood = many * (np.log(-theta / k) - k - 1.0)
    weights = np.exp(log_likelihood - logsumexp(log_likelihood))
    k_hat = float(np.log1p(-float(np.einsum("i,i->", weights, theta)) * tail).mean())
    return (many * k_hat + 10 * 0.5) / (many + 10)


def _standard_error(values: Float[np.ndarray, "chains draws"], ess: float) -> float:
    """Return the standard error of their mean; 0 if they are all the same, infinite if no draw is independent."""
    spread = float(values.std(ddof=1))
    return 0.0 if spread == 0 else spread / np.sqrt(ess) if ess > 0 else np.inf


def traces(
    seen: _chains.Seen, sizes: Float[np.ndarray, " C"], weighting: Weighting
) -> tuple[Float[np.ndarray, "chains draws"], Float[np.ndarray, "chains draws"]]:
    """Return tr S_W and tr S_B of every draw; both are linear in its kernel (see `kernel_collapse.collapse`)."""
    share = sizes / sizes.sum()
    even = np.full_like(share, 1.0 / len(share))
    squares = np.diagonal(seen.means, axis1=-2, axis2=-1)
    if weighting == "published":
        overall = np.einsum("k,...kl,l->...", share, seen.means, share)
        return (seen.spread + squares) @ share - squares @ even, squares @ even - overall
    centre = even if weighting == "class" else share
    distance = (
        squares
        - 2.0 * seen.means @ centre
        + np.einsum("k,...kl,l->...", centre, seen.means, centre)[..., None]
    )
    return seen.spread @ centre, distance @ (share if weighting == "sample" else even)
