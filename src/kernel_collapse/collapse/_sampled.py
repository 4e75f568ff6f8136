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

The interval is that of a sum which is nearly normal. Three things guard what it claims:

- Deviations are those of all pairs drawn, so that what the first sample has seen is not forgotten. Their degrees of
  freedom are as many as the kurtosis leaves, and the interval is infinite where the skewness of the sum says that a
  few pairs decide on it (Cochran's rule).
- Where no pair of a stratum differs from the others, each sample of its classes is compared with one of its class. If
  there is no difference the stratum is known. If there is, the share of pairs that differ without having been drawn
  is at most log(1 / (1 - confidence)) / m of m (the rule of three), and those comparisons bound by how much.
- Neither trace is negative, so an estimate that is has no ratio.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Bool, Float, Int
from kernel_collapse._symmetry import require_symmetric
from kernel_collapse.activations import ActivationLike
from kernel_collapse.collapse._estimate import NC1Estimate, Rows, ratio_interval, student_quantile
from kernel_collapse.collapse._gram import slack
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
#: Most skewness of a sum that counts as normal: that of 25 G^2 draws of skewness G (Cochran, 1977, section 2.15).
SKEWED = 0.2
#: Share of the deviation that one stratum shows of a class that is allowed for in the others.
SUSPECTED = 0.5
#: Pairs for which a user's kernel is asked both ways round.
TURNED = 64
#: Most comparisons with a sample of the same class where the number of pairs is given.
COMPARISONS = 10_000_000

FEW = "a few of the pairs that were drawn make up most of their spread, so that the interval is not known: draw more"
FLAT = "no spread was seen in some classes, which have too many samples to look at each: draw more"
NO_SPREAD = (
    "no two samples of a class that were drawn together differ, so that NC1 is 0 or as small as the interval"
)


class _Strata(NamedTuple):
    """Pairs of classes, how many pairs of samples each has, and what their mean distances add to the traces."""

    first: Int[np.ndarray, " S"]
    second: Int[np.ndarray, " S"]
    totals: Int[np.ndarray, " S"]
    within: Float[np.ndarray, " S"]
    between: Float[np.ndarray, " S"]


class _Sample(NamedTuple):
    """Mean of D in each stratum, and the central moments of D of all that was drawn there."""

    sizes: Int[np.ndarray, " S"]
    mean: Float[np.ndarray, " S"]
    deviation: Float[np.ndarray, " S"]
    third: Float[np.ndarray, " S"]
    kurtosis: Float[np.ndarray, " S"]
    freedom: Float[np.ndarray, " S"]  # the draws that the moments are of, less one a sample
    seen: Int[np.ndarray, " S"]  # all draws


class _Found(NamedTuple):
    """An estimate, and what the next sample is to be like."""

    estimate: NC1Estimate
    spread: Float[np.ndarray, " S"]  # standard deviation of what one pair of each stratum adds
    skewness: float  # of the sum
    unsure: Bool[np.ndarray, " S"]  # strata that are not known, though all their pairs were alike


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


def _of_size(sampler: _Sampler, pairs: int) -> NC1Estimate:
    """Estimate from a given number of pairs."""
    totals = sampler.strata.totals
    if totals.sum() <= pairs:
        return sampler.estimate(sampler.draw(totals)).estimate
    pilot = sampler.draw(_pilot(totals, pairs // 5))
    left = pairs - sampler.drawn
    sampler.look(pilot, COMPARISONS)
    found = sampler.estimate(pilot)
    spread = np.where(found.unsure, found.spread.max(), found.spread)
    sample = sampler.draw(_allocation(spread, totals, budget=left))
    sampler.look(sample, COMPARISONS)
    return sampler.estimate(sample).estimate


def _to_error(sampler: _Sampler, relative_error: float, limit: int) -> NC1Estimate:
    """Estimate to a given error: each sample says how large the next must be, and the last alone is used."""
    totals = sampler.strata.totals
    sample = sampler.draw(_pilot(totals, limit // 5))
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
            sizes = _allocation(spread, totals, variance=variance or 1.0)
        else:
            sizes = _allocation(spread, totals, budget=10 * drawn)
        if found.skewness > SKEWED:  # which falls with the root of the number
            more = int(drawn * min(1.2 * (found.skewness / SKEWED) ** 2, 10.0))
            sizes = np.maximum(sizes, _allocation(spread, totals, budget=more))
        sizes = np.where(found.unsure, np.maximum(sizes, np.minimum(totals, 4 * sample.sizes)), sizes)
        left = limit - sampler.drawn
        if sizes.sum() > left:
            if left <= sample.sizes.sum():  # what is left would give no more than what there is
                few = f"the requested relative error needs more pairs than max_pairs, {limit}"
                return replace(estimate, reason=estimate.reason or few)
            sizes = _allocation(np.where(found.unsure, spread.max(), spread), totals, budget=left)
        sample = sampler.draw(sizes)
        sampler.look(sample, limit - sampler.drawn)
        found = sampler.estimate(sample)
        if found.estimate.relative_error <= relative_error or found.estimate.reason == COINCIDE:
            break
    return found.estimate


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
        #: Of what was drawn of each stratum: how many, less one a sample, and the sums of powers about the means.
        self.seen, self.freedom = (np.zeros(len(self.strata.totals), dtype=np.int64) for _ in range(2))
        self.powers = np.zeros((3, len(self.strata.totals)))
        #: Largest D of a sample of each class with one of them, where it was looked at.
        self.radius = np.full(len(self.sizes), np.nan)
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
        squares = np.square(distances)
        self.powers[0] += np.add.reduceat(squares, starts)
        self.powers[1] += np.add.reduceat(np.multiply(squares, distances, out=distances), starts)
        self.powers[2] += np.add.reduceat(np.square(squares, out=squares), starts)
        self.seen += sizes
        self.freedom += sizes - 1
        freedom = np.maximum(self.freedom, 1)
        variance, third, fourth = self.powers / freedom
        kurtosis = np.divide(fourth, variance**2, out=np.zeros_like(fourth), where=variance > 0)
        return _Sample(sizes, mean, np.sqrt(variance), third, kurtosis, freedom, self.seen.copy())

    @property
    def noise(self) -> float:
        """What round-off makes of a distance, in the unit of distances."""
        return UNITS * self.eps * self.largest / self.unit

    def flat(self, sample: _Sample) -> Bool[np.ndarray, " S"]:
        """Tell in which strata some pairs were not drawn, and all those that were are alike."""
        return (sample.sizes < self.strata.totals) & (sample.deviation <= self.noise)

    def look(self, sample: _Sample, most: int) -> None:
        """Compare each sample of the classes without spread with one of its class, if these are not too many."""
        flat = self.flat(sample)
        classes = np.union1d(self.strata.first[flat], self.strata.second[flat])
        classes = classes[np.isnan(self.radius[classes])]
        if self.sizes[classes].sum() > most:
            return
        block = max(1, BLOCK // self.rows.dim)
        for c in classes:
            members = self.order[self.starts[c] : self.starts[c] + self.sizes[c]]
            pieces = (members[top : top + block] for top in range(0, len(members), block))
            self.radius[c] = max(
                self._distances(piece, np.full(len(piece), members[0])).max() for piece in pieces
            )
            self.drawn += len(members)
        same = self.radius <= self.noise
        self.radius[same] = 0.0

    def _reach(self, sample: _Sample) -> Float[np.ndarray, " S"]:
        """Return how far D of other pairs of a flat stratum may be from those drawn, by the triangle inequality.

        Two samples of a class are apart by at most twice its radius, and those of a pair between two classes by what
        another pair is, up to twice the radius of each.
        """
        first, second = self.strata.first, self.strata.second
        radius = np.sqrt(np.maximum(self.radius, 0.0))
        reach = 2.0 * (radius[first] + radius[second])
        root = np.sqrt(np.maximum(sample.mean, 0.0))
        most = np.where(first == second, np.maximum(radius[first] * 2.0, root), root + reach)
        least = np.where(first == second, 0.0, np.maximum(root - reach, 0.0))
        known = np.where(reach == 0.0, 0.0, np.maximum(most**2 - root**2, root**2 - least**2))
        return np.where(np.isnan(reach), np.inf, known)

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
        if self.kernel._given:
            self._require_kernel(block, left, right, squares, values)
        if (distances < -slack(self.eps) * largest).any():
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

    def _require_kernel(
        self,
        block: Float[np.ndarray, "r ..."],
        left: Int[np.ndarray, " m"],
        right: Int[np.ndarray, " m"],
        squares: Float[np.ndarray, " r"],
        values: Float[np.ndarray, " m"],
    ) -> None:
        """Refuse what passes Schwarz's inequality or, in the first pairs, is not symmetric."""
        share, largest = slack(self.eps), float(np.abs(squares).max())
        roots = np.sqrt(np.maximum(squares, 0.0))
        bounds = roots[left] * roots[right]
        excess = np.abs(values) - bounds * (1.0 + share)
        if squares.min() < -share * largest or excess.max() > share * largest:
            raise InputError(
                "the kernel",
                "a pair with K_ij^2 > K_ii K_jj, or K_ii < 0",
                "a positive semidefinite kernel",
                "the inner product of features",
                verb="gives",
            )
        if not self.drawn:
            few = slice(0, TURNED)
            turned, _ = self.kernel._pairs(block[right[few]], block[left[few]])
            require_symmetric(float(np.abs(turned - values[few]).max()), largest, self.eps)

    def estimate(self, sample: _Sample) -> _Found:
        """Return the estimate, and what each stratum adds to its error."""
        strata = self.strata
        within, between = float(strata.within @ sample.mean), float(strata.between @ sample.mean)
        # What round-off makes of a mean distance; none of one that is exactly 0, as of rows that are equal.
        noise = np.where((sample.mean == 0.0) & (not self.hidden), 0.0, self.noise)
        round_off, within_off = float(np.abs(strata.between) @ noise), float(strata.within @ noise)
        between = 0.0 if abs(between) <= round_off else between
        scale = between or 1.0
        adds = strata.within - within / scale * strata.between
        open_ = sample.sizes < strata.totals
        of_pairs = np.where(open_, sample.deviation**2 / sample.sizes, 0.0)  # variances of the means
        variances = adds**2 * of_pairs
        variance = float(variances.sum())
        flat = self.flat(sample)
        # Of m pairs that are alike, others may be a share of at most log(1 / (1 - confidence)) / m.
        share = np.where(flat, -np.expm1(np.log1p(-self.confidence) / sample.seen), 0.0)
        off = np.where(flat, self._reach(sample), 0.0) * share
        unsure = off > 0.0
        blind = bool(np.isinf(off).any())
        off = np.where(np.isinf(off), 0.0, off)
        freedom, skewness = np.inf, 0.0
        if variance > 0:
            # Of a sum of variances: Satterthwaite. That of s^2 is as of so many normal draws, by the kurtosis.
            normal = 2.0 * sample.freedom / np.maximum(sample.kurtosis - 1.0, 2.0)
            freedom = float(1.0 / ((variances / variance) ** 2 / normal).sum())
            third = np.where(open_, np.abs(adds) ** 3 * np.abs(sample.third) / sample.sizes**2.0, 0.0)
            skewness = float(third.sum()) / variance**1.5
        ratio, low, high, reason = ratio_interval(
            within,
            between,
            variance=variance,
            between_variance=float(strata.between**2 @ of_pairs),
            covariance=float((adds * strata.between) @ of_pairs),
            quantile=student_quantile(self.confidence, freedom),
            round_off=(within_off, round_off),
            source=of_gram(self.eps),
            unseen=(float(np.abs(adds) @ off), float(np.abs(strata.between) @ off)),
        )
        known = np.isfinite(ratio)
        if known and (blind or skewness > SKEWED):
            low, high, reason = 0.0, np.inf, FLAT if blind else FEW
        elif known and ratio == 0.0 and high > 0.0:
            reason = reason or NO_SPREAD
        elif blind and reason == COINCIDE:
            reason = FLAT
        estimate = NC1Estimate(
            ratio,
            max(low, min(ratio, 0.0)),
            high,
            within * self.unit,
            between * self.unit,
            self.confidence,
            pairs=self.drawn,
            rows=self.rows.read,
            reason=reason,
        )
        deviation = np.where(flat & ~unsure, 0.0, np.maximum(sample.deviation, self._suspected(sample)))
        spread = np.abs(adds / scale if known else strata.between) * deviation
        return _Found(estimate, spread, skewness, unsure)

    def _suspected(self, sample: _Sample) -> Float[np.ndarray, " S"]:
        """Return a deviation to allow for in each stratum, by what the others show of its classes.

        A sample far from its class is far from the samples of all classes: where one stratum has drawn it, another may
        have missed it. One at squared distance d moves distances in its class by d, and those v to another class by
        d or, where that is more, by sqrt(v d).
        """
        first, second = self.strata.first, self.strata.second
        square = np.divide(
            sample.deviation**2, sample.mean, out=sample.deviation.copy(), where=sample.mean > 0
        )
        shown = np.where(first == second, sample.deviation, np.minimum(sample.deviation, square))
        of_class = np.zeros(len(self.sizes))
        np.maximum.at(of_class, first, shown)
        np.maximum.at(of_class, second, shown)
        return SUSPECTED * np.maximum(of_class[first], of_class[second])


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
