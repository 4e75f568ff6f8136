r"""NC1 from pairs of samples drawn at random, for data too large for all pairs.

Let D_ij = (K_ii + K_jj)/2 - K_ij, half of the squared distance of two feature vectors, and Dbar_cc' its mean over the
pairs of a sample of class c and one of class c' (two different samples where c = c'). With u = p, q, p as in
`kernel_collapse.collapse._nc1` and M = diag(q) - p q' - q p' + p p'::

    spread_c = (1 - 1/n_c) Dbar_cc
    tr S_W   = sum_c p_c spread_c
    tr S_B   = - sum_c M_cc spread_c - sum_{c != c'} M_cc' Dbar_cc'

The second line holds because the rows of M add up to 0, so that K_ii drops out of sum_cc' M_cc' B_cc'; and as D does
not change when the features move as a whole, nothing large cancels, in the sums as in their variance.

Both traces are linear in the means Dbar of the strata (c, c'), each of which is sampled by itself. Its share of the
pairs is in proportion to the standard deviation of what it adds to the ratio (Neyman's allocation), so that small
classes do not drown. What decides on the allocation is thrown away, and the estimates come from a sample of their own:
they are unbiased, whatever the allocation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.activations import ActivationLike
from kernel_collapse.collapse._estimate import NC1Estimate, Rows, ratio_interval, student_quantile
from kernel_collapse.collapse._gram import SLACK
from kernel_collapse.collapse._moments import EPS
from kernel_collapse.collapse._nc1 import Weighting, class_weights
from kernel_collapse.collapse._round_off import COINCIDE, UNITS, of_gram
from kernel_collapse.kernels import Kernel
from kernel_collapse.kernels.named import KernelLike, OfPairs, resolve

__all__ = ["sampled_nc1"]

#: Pairs a stratum of the sample that decides on the first allocation.
PILOT = 50
#: Fewest pairs of a stratum, however little it adds: enough for its own variance.
LEAST = 8
#: Numbers in the rows that are held at once.
BLOCK = 2**22


class _Strata(NamedTuple):
    """Pairs of classes, how many pairs of samples each has, and what their mean distances add to the traces."""

    first: Int[np.ndarray, " S"]
    second: Int[np.ndarray, " S"]
    totals: Int[np.ndarray, " S"]
    within: Float[np.ndarray, " S"]
    between: Float[np.ndarray, " S"]


class _Sample(NamedTuple):
    """Mean and standard deviation of D in each stratum."""

    sizes: Int[np.ndarray, " S"]
    mean: Float[np.ndarray, " S"]
    deviation: Float[np.ndarray, " S"]


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

    The work does not depend on the number of samples n. The memory is that of the labels, 8 bytes per pair and a
    block of rows. Each class is sampled to the precision that the ratio needs, whatever its size. If a pair of
    classes has fewer pairs of samples than would be drawn, it is computed in full. Small data therefore give the
    exact value.

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
        About a fifth of them are used for the allocation.
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

    Raises
    ------
    ValueError
        If labels do not fit the rows, there is only one class, a parameter is out of its range, there are more pairs
        of classes than `pairs` can serve, a row that is read is not finite, or the kernel returns anything but m
        finite values of a positive semidefinite kernel.

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
    sampler = _Sampler(
        Rows(x, len(codes), images=chosen._of_images),
        codes,
        chosen,
        weighting,
        confidence,
        np.random.default_rng(seed),
    )
    totals = sampler.strata.totals
    most = min(limit, int(totals.sum()))
    _validate.fits(most, f"{_validate.shown(most)} pairs", f"lower {'pairs' if fixed else 'max_pairs'}")
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


def _of_size(sampler: _Sampler, pairs: int) -> NC1Estimate:
    """Estimate from a given number of pairs."""
    totals = sampler.strata.totals
    if totals.sum() <= pairs:
        return sampler.estimate(sampler.draw(totals))[0]
    pilot = sampler.draw(_pilot(totals, pairs // 5))
    spread = sampler.estimate(pilot)[1]
    return sampler.estimate(sampler.draw(_allocation(spread, totals, budget=pairs - sampler.drawn)))[0]


def _to_error(sampler: _Sampler, relative_error: float, limit: int) -> NC1Estimate:
    """Estimate to a given error: each sample says how large the next must be, and the last alone is used."""
    totals = sampler.strata.totals
    sample = sampler.draw(_pilot(totals, limit // 5))
    estimate, spread = sampler.estimate(sample)
    # A tenth to spare, for then the first sample after the pilot is mostly the last. Stopping on a sample's own
    # variance is harmless where the sample was as large as it had to be anyway.
    half = 0.9 * relative_error / student_quantile(sampler.confidence, np.inf)
    while (sample.sizes < totals).any():
        if np.isfinite(estimate.ratio):
            sizes = _allocation(spread, totals, variance=(half * estimate.ratio) ** 2)
        else:
            sizes = _allocation(spread, totals, budget=10 * int(sample.sizes.sum()))
        left = limit - sampler.drawn
        if sizes.sum() > left:
            if left <= sample.sizes.sum():  # what is left would give no more than what there is
                few = f"the requested relative error needs more pairs than max_pairs, {limit}"
                return replace(estimate, reason=estimate.reason or few)
            sizes = _allocation(spread, totals, budget=left)
        sample = sampler.draw(sizes)
        estimate, spread = sampler.estimate(sample)
        if estimate.relative_error <= relative_error or estimate.reason == COINCIDE:
            break
    return estimate


def _pilot(totals: Int[np.ndarray, " S"], budget: int) -> Int[np.ndarray, " S"]:
    """Return the sizes of a first sample, of about `budget` pairs at most."""
    return np.minimum(totals, min(max(budget // len(totals), LEAST), PILOT))


def _allocation(
    spread: Float[np.ndarray, " S"],
    totals: Int[np.ndarray, " S"],
    *,
    variance: float | None = None,
    budget: int = 0,
) -> Int[np.ndarray, " S"]:
    """Return the sizes, in proportion to `spread`, that reach a variance of the ratio, or add up to a budget.

    A stratum that would have as many pairs as there are is taken in full: it costs its pairs, and adds no variance.
    """
    least = np.minimum(totals, LEAST)
    if variance is None and not spread.any():
        spread = np.ones_like(spread)
    in_full = np.zeros(len(totals), dtype=bool)
    while True:
        total = float(spread[~in_full].sum())
        if variance is None:
            scale = (budget - totals[in_full].sum() - least[~in_full].sum()) / total if total > 0 else 0.0
        else:
            scale = total / variance if total > 0 else 0.0
        wanted = least + np.floor(spread * scale)
        more = ~in_full & (wanted >= totals) & (totals > least)
        if not more.any():
            return np.where(in_full, totals, np.minimum(wanted, totals)).astype(np.int64)
        in_full |= more


class _Sampler:
    """Draws pairs of samples from each stratum and evaluates the distances of their features."""

    def __init__(
        self,
        rows: Rows,
        codes: Int[np.ndarray, " n"],
        kernel: Kernel,
        weighting: Weighting,
        confidence: float,
        rng: np.random.Generator,
    ) -> None:
        self.rows, self.kernel, self.confidence, self.rng = rows, kernel, confidence, rng
        self.sizes = np.bincount(codes)
        self.order = np.argsort(codes, kind="stable")  # the samples, class after class
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.strata = _strata(self.sizes, weighting)
        self.drawn = 0
        self.largest, self.eps, self.hidden = 0.0, EPS, False
        #: Distances are told in this unit, a power of two, so that their squares neither overflow nor vanish.
        self.unit = 0.0

    def draw(self, sizes: Int[np.ndarray, " S"]) -> _Sample:
        """Draw so many pairs of each stratum, with replacement; or all of them, where there are no more."""
        ends = np.cumsum(sizes)
        starts = ends - sizes
        total = int(ends[-1])
        distances = np.empty(total)
        block = max(1, BLOCK // self.rows.dim)
        for start in range(0, total, block):
            place = np.arange(start, min(start + block, total))
            stratum = np.searchsorted(ends, place, side="right")
            limits = self.strata.totals[stratum]
            number = np.where(sizes[stratum] == limits, place - starts[stratum], self.rng.integers(limits))
            distances[start : start + len(place)] = self._distances(*self._pairs(stratum, number))
        self.drawn += total
        mean = np.add.reduceat(distances, starts) / sizes
        distances -= np.repeat(mean, sizes)
        squares = np.add.reduceat(np.square(distances, out=distances), starts)
        return _Sample(sizes, mean, np.sqrt(squares / np.maximum(sizes - 1, 1)))

    def _pairs(
        self, stratum: Int[np.ndarray, " m"], number: Int[np.ndarray, " m"]
    ) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
        """Return the samples of the pair of that number in its stratum."""
        c, other = self.strata.first[stratum], self.strata.second[stratum]
        turn, i = np.divmod(number, self.sizes[c])
        # In a class of n, sample i meets i + 1, ..., i + n/2 round a circle: every pair once, without a root to round.
        j = np.where(c == other, (i + turn + 1) % self.sizes[c], turn)
        return self.order[self.starts[c] + i], self.order[self.starts[other] + j]

    def _distances(self, i: Int[np.ndarray, " m"], j: Int[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Return half of the squared distance of the features of each pair; exactly 0 for rows that are equal."""
        numbers, inverse = np.unique(np.concatenate([i, j]), return_inverse=True)
        block = self.rows[numbers]
        left, right = inverse[: len(i)], inverse[len(i) :]
        squares, values, eps = self.kernel._pairs_among(block, left, right)
        self.eps = max(self.eps, eps)
        distances = 0.5 * ((squares[left] - values) + (squares[right] - values))
        largest = np.maximum(np.abs(squares[left]), np.abs(squares[right]))
        self.unit = self.unit or float(2.0 ** np.round(np.log2(float(largest.max()) or 1.0)))
        if (distances < -max(SLACK, 16.0 * self.eps) * largest).any():
            raise InputError(
                "the kernel",
                "a pair with K_ii + K_jj < 2 K_ij",
                "a positive semidefinite kernel",
                "the inner product of features",
                verb="gives",
            )
        self.largest = max(self.largest, float(largest.max()))
        equal = (block[left] == block[right]).reshape(len(left), -1).all(axis=1)
        distances[equal] = 0.0
        if self.eps > EPS and (distances[~equal] == 0.0).any():  # numbers of few digits may hide a distance
            self.hidden = True
        return distances / self.unit

    def estimate(self, sample: _Sample) -> tuple[NC1Estimate, Float[np.ndarray, " S"]]:
        """Return the estimate, and the standard deviation of what one pair of each stratum adds to it."""
        strata = self.strata
        within, between = float(strata.within @ sample.mean), float(strata.between @ sample.mean)
        # What round-off makes of a mean distance; none of one that is exactly 0, as of rows that are equal.
        unit = UNITS * self.eps * self.largest / self.unit
        noise = np.where((sample.mean == 0.0) & (not self.hidden), 0.0, unit)
        round_off, within_off = float(np.abs(strata.between) @ noise), float(strata.within @ noise)
        between = 0.0 if abs(between) <= round_off else between
        scale = between or 1.0
        spread = np.abs(strata.within - within / scale * strata.between) * sample.deviation
        open_ = sample.sizes < strata.totals
        variances = np.where(open_, spread**2 / sample.sizes, 0.0)
        between_variance = np.sum(
            np.where(open_, (strata.between * sample.deviation) ** 2 / sample.sizes, 0.0)
        )
        variance = float(variances.sum())
        freedom = np.inf
        if variance > 0:  # of a sum of variances: Satterthwaite
            freedom = float(1.0 / ((variances / variance) ** 2 / np.maximum(sample.sizes - 1, 1)).sum())
        ratio, half, reason = ratio_interval(
            within,
            between,
            variance=variance,
            between_variance=float(between_variance),
            quantile=student_quantile(self.confidence, freedom),
            round_off=(within_off, round_off),
            source=of_gram(self.eps),
        )
        estimate = NC1Estimate(
            ratio,
            ratio - half,
            ratio + half,
            within * self.unit,
            between * self.unit,
            self.confidence,
            pairs=self.drawn,
            rows=self.rows.read,
            reason=reason,
        )
        known = np.isfinite(ratio)
        return estimate, spread / abs(scale) if known else np.abs(strata.between) * sample.deviation


def _strata(sizes: Int[np.ndarray, " C"], weighting: Weighting) -> _Strata:
    """Return the pairs of classes; a class of one sample has no pair with itself, and no spread."""
    share = sizes / sizes.sum()
    _, q, p = class_weights(weighting, share, share)
    first, second = np.triu_indices(len(sizes))
    same = first == second
    totals = np.where(same, sizes[first] * (sizes[first] - 1) // 2, sizes[first] * sizes[second])
    # Off the diagonal c, c' stands for c', c too; on it the mean over all pairs, i = j included, is the spread.
    count = np.where(same, 1.0 - 1.0 / sizes[first], 2.0)
    between = (
        q[first] * p[second] + p[first] * q[second] - p[first] * p[second] - np.where(same, q[first], 0.0)
    )
    strata = _Strata(first, second, totals, np.where(same, count * p[first], 0.0), count * between)
    return _Strata(*(field[totals > 0] for field in strata))
