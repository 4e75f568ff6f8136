r"""NC1 from pairs of samples drawn at random, for data too large for all pairs.

`_strata` has the pairs of classes, what their mean distances add to the traces, and how many pairs are drawn of each;
`_pair_sampler` draws them and makes an estimate of a sample. Here samples follow one another until the error is small
enough: what decides on the sizes of a sample is thrown away, and the estimates come from a sample of their own. They
are unbiased, whatever the sizes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.activations import ActivationLike
from kernel_collapse.collapse._estimate import NC1Estimate, Rows, student_quantile
from kernel_collapse.collapse._nc1 import Weighting
from kernel_collapse.collapse._pair_sampler import SKEWED, PairSampler
from kernel_collapse.collapse._round_off import COINCIDE
from kernel_collapse.collapse._strata import LEAST, allocation, pilot
from kernel_collapse.kernels.named import KernelLike, OfPairs, resolve

__all__ = ["sampled_nc1"]

#: Most comparisons with a sample of the same class where the number of pairs is given.
COMPARISONS = 10_000_000


def sampled_nc1(
    x: Any,
    labels: Any,
    *,
    kernel: KernelLike = "nngp",
    relative_error: float = 0.01,
    confidence: float = 0.95,
    pairs: int | None = None,
    max_pairs: int = 10_000_000,
    weighting: Weighting = "paper",
    seed: int = 0,
    activation: ActivationLike | None = None,
    depth: int | None = None,
    weight_variance: float | None = None,
    bias_variance: float | None = None,
) -> NC1Estimate:
    r"""Estimate NC1 of a kernel from random pairs of samples, to a given error.

    The work does not depend on the number of samples n. The memory is that of the labels, 16 bytes per pair and a
    block of rows. Each class is sampled to the precision that the ratio needs, whatever its size. If a pair of
    classes has fewer pairs of samples than would be drawn, it is computed in full. Small data therefore give the
    exact value. Only where the pairs of a class show no spread at all is each of its samples compared with one of
    them.

    The interval is that of random sampling: it knows nothing of samples that the pairs drawn have not met. What is
    rarer than about three in the pairs drawn of two classes, and far from all else, may be missed; only
    `kernel_collapse.streamed_nc1` meets every sample. If a few pairs make up most of the spread, the interval is
    infinite and `reason` says so.

    Parameters
    ----------
    x : array_like, shape (n, d) or (n, height, width, channels)
        Inputs, one sample a row, or images for the kernels of convolutional networks: an array, a memory map, or
        anything else with `shape` that takes an ascending array of row numbers in brackets. Only the rows drawn are
        read. Arrays of PyTorch, JAX and CuPy are read into NumPy's, in which all is computed, without derivatives.
    labels : sequence, length n
        Class of each sample: any hashable values, in any order.
    kernel : {"nngp", "ntk", "conv-nngp", ...}, Kernel or callable
        `kernel_collapse.nngp` or `kernel_collapse.ntk`; a `kernel_collapse.kernels.Kernel`, which has its own
        parameters; or a function of two arrays of shape (m, d) that returns the m values of the kernel of each row of
        the first with the same row of the second.
    relative_error : float
        Pairs are drawn until half of the interval is at most this share of the ratio, from 1e-9 to 1.
    confidence : float
        Probability with which the interval is to cover the ratio, from 0.001 to 1 - 1e-9.
    pairs : int, optional
        Draw this number of pairs (or all, if there are fewer) instead of the number that `relative_error` needs.
        About a fifth of them are used for the allocation. The comparisons in classes without spread come on top.
    max_pairs : int
        Stop here even if the error is larger than asked for; `reason` then says so.
    weighting : {"paper", "sample", "class"}
        As for `kernel_collapse.nc1`. "published" is not offered: it is the variance of no feature map.
    seed : int
        Seed of the generator.
    activation, depth, weight_variance, bias_variance
        As for `nngp`, with the same defaults. They have no effect with a function.

    Returns
    -------
    NC1Estimate
        If the class means coincide, or nearly so, the ratio has no interval. It is then NaN, and `reason` says so.
        If all samples of each class have the same features, the ratio is 0 with an interval of no width. If only
        the pairs drawn do, it is 0 with an interval from 0 up.

    Raises
    ------
    ValueError
        If labels do not fit the rows, there is only one class, a parameter is out of its range, there are more pairs
        of classes than `pairs` can serve, a row that is read is not finite, or the kernel returns anything but m
        finite values of a symmetric, positive semidefinite kernel.

    References
    ----------
    Stratified sampling, Neyman's allocation and ratios: Cochran (1977), "Sampling Techniques", chapters 5 and 6.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(100_000, 8)
    >>> estimate = kc.sampled_nc1(data.x, data.labels, relative_error=0.02)
    >>> estimate.relative_error <= 0.02, estimate.low < 0.0932 < estimate.high, estimate.pairs < 10_000
    (True, True, True)
    """
    if weighting == "published":
        raise InputError(
            "weighting",
            "'published'",
            "'paper', 'sample' or 'class'",
            "it is the variance of no feature map, so it does not follow from distances of pairs; try nc1 on a part of "
            "the data",
        )
    _validate.choice(weighting, ("paper", "sample", "class"), "weighting")
    if not 1e-9 <= _validate.positive(relative_error, "relative_error") <= 1.0:
        raise InputError.of(
            "relative_error",
            relative_error,
            "a share of the ratio from 1e-9 to 1, say 0.01",
            "a smaller error takes more pairs than can be drawn",
        )
    confidence = _validate.confidence(confidence)
    fixed = pairs is not None
    limit = _validate.count(pairs, "pairs") if fixed else _validate.count(max_pairs, "max_pairs")
    seed = _validate.seed(seed)
    chosen = resolve(
        kernel,
        OfPairs,
        activation=activation,
        depth=depth,
        weight_variance=weight_variance,
        bias_variance=bias_variance,
    )
    codes, _ = _validate.encode_labels(labels)
    sampler = PairSampler(
        Rows(x, len(codes), images=chosen._of_images),
        codes,
        chosen,
        weighting,
        confidence,
        np.random.default_rng(seed),
    )
    totals = sampler.strata.totals
    most = min(limit, int(totals.sum()))
    _validate.fits(2 * most, f"{_validate.shown(most)} pairs", f"lower {'pairs' if fixed else 'max_pairs'}")
    needed = min(2 * int(np.minimum(totals, LEAST).sum()), int(totals.sum()))
    if limit < needed:
        raise InputError(
            f"{'pairs' if fixed else 'max_pairs'}",
            f"{limit}",
            f"at least {needed}",
            f"{LEAST} for the allocation and {LEAST} for the estimate in each of {len(totals)} pairs of "
            "classes",
        )
    return _of_size(sampler, limit) if fixed else _to_error(sampler, relative_error, limit)


def _of_size(sampler: PairSampler, pairs: int) -> NC1Estimate:
    """Estimate from a given number of pairs."""
    totals = sampler.strata.totals
    if totals.sum() <= pairs:
        return sampler.estimate(sampler.draw(totals)).estimate
    first = sampler.draw(pilot(totals, pairs // 5))
    left = pairs - sampler.drawn
    sampler.look(first, COMPARISONS)
    found = sampler.estimate(first)
    spread = np.where(found.unsure, found.spread.max(), found.spread)
    sample = sampler.draw(allocation(spread, totals, budget=left))
    sampler.look(sample, COMPARISONS)
    return sampler.estimate(sample).estimate


def _to_error(sampler: PairSampler, relative_error: float, limit: int) -> NC1Estimate:
    """Estimate to a given error: each sample says how large the next must be, and the last alone is used."""
    totals = sampler.strata.totals
    sample = sampler.draw(pilot(totals, limit // 5))
    sampler.look(sample, limit - sampler.drawn - int(np.minimum(totals, LEAST).sum()))
    found = sampler.estimate(sample)
    # A tenth to spare, for then the first sample after the pilot is mostly the last. Stopping on a sample's own
    # variance is harmless where the sample was as large as it had to be anyway.
    half = 0.9 * relative_error / student_quantile(sampler.confidence, np.inf)
    while (sample.sizes < totals).any():
        estimate, spread = found.estimate, found.spread
        drawn = int(sample.sizes.sum())
        variance = (half * estimate.ratio) ** 2
        if variance > 0.0 or estimate.high == 0.0:
            sizes = allocation(spread, totals, variance=variance or 1.0)
        else:
            sizes = allocation(spread, totals, budget=10 * drawn)
        if found.skewness > SKEWED:  # which falls with the root of the number
            more = int(drawn * min(1.2 * (found.skewness / SKEWED) ** 2, 10.0))
            sizes = np.maximum(sizes, allocation(spread, totals, budget=more))
        sizes = np.where(found.unsure, np.maximum(sizes, np.minimum(totals, 4 * sample.sizes)), sizes)
        left = limit - sampler.drawn
        if sizes.sum() > left:
            if left <= sample.sizes.sum():  # what is left would give no more than what there is
                few = f"the requested relative error needs more pairs than max_pairs, {limit}"
                return replace(estimate, reason=estimate.reason or few)
            sizes = allocation(np.where(found.unsure, spread.max(), spread), totals, budget=left)
        sample = sampler.draw(sizes)
        sampler.look(sample, limit - sampler.drawn)
        found = sampler.estimate(sample)
        if found.estimate.relative_error <= relative_error or found.estimate.reason == COINCIDE:
            break
    return found.estimate
