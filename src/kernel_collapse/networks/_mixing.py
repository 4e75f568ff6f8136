"""What draws say of each layer: its mean kernel, NC1 with its error, and how well the chains mixed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from kernel_collapse._shapes import Float
from kernel_collapse.collapse import Weighting, nc1
from kernel_collapse.data import Dataset
from kernel_collapse.networks import _chains

__all__ = ["PosteriorLayer", "layers", "traces"]


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
        summary = _Summary(np.nan, np.nan, np.nan, np.nan)
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
            )
        )
    return tuple(result)


class _Summary(NamedTuple):
    """NC1 of the mean kernel with its standard error, and how well the chains mixed."""

    ratio: float
    ratio_error: float
    rhat: float
    ess: float


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
    return _Summary(ratio, error, rhat, ess)


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
