"""Draws pairs of samples, and says what the distances of their features tell of NC1 and of its error.

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

from typing import NamedTuple

import numpy as np

from kernel_collapse._input_error import KernelRefused
from kernel_collapse._shapes import Bool, Float, Int
from kernel_collapse._symmetry import require_symmetric
from kernel_collapse.collapse._estimate import NC1Estimate, Rows, ratio_interval, student_quantile
from kernel_collapse.collapse._gram import slack
from kernel_collapse.collapse._moments import EPS
from kernel_collapse.collapse._nc1 import Weighting
from kernel_collapse.collapse._round_off import COINCIDE, UNITS, of_gram
from kernel_collapse.collapse._strata import strata_of
from kernel_collapse.kernels import Kernel

__all__ = ["SKEWED", "PairSampler", "Sample"]

#: Numbers in the rows that are held at once.
BLOCK = 2**22
#: Most skewness of a sum that counts as normal: that of 25 G^2 draws of skewness G (Cochran, 1977, section 2.15).
SKEWED = 0.2
#: Share of the deviation that one stratum shows of a class that is allowed for in the others.
SUSPECTED = 0.5
#: Pairs for which a user's kernel is asked both ways round.
TURNED = 64

FEW = "a few of the pairs that were drawn make up most of their spread, so that the interval is not known: draw more"
FLAT = "no spread was seen in some classes, which have too many samples to look at each: draw more"
NO_SPREAD = (
    "no two samples of a class that were drawn together differ, so that NC1 is 0 or as small as the interval"
)


class Sample(NamedTuple):
    """Mean of D in each stratum, and the central moments of D of all that was drawn there."""

    sizes: Int[np.ndarray, " S"]
    mean: Float[np.ndarray, " S"]
    deviation: Float[np.ndarray, " S"]
    third: Float[np.ndarray, " S"]
    kurtosis: Float[np.ndarray, " S"]
    freedom: Float[np.ndarray, " S"]  # the draws that the moments are of, less one a sample
    seen: Int[np.ndarray, " S"]  # all draws


class Found(NamedTuple):
    """An estimate, and what the next sample is to be like."""

    estimate: NC1Estimate
    spread: Float[np.ndarray, " S"]  # standard deviation of what one pair of each stratum adds
    skewness: float  # of the sum
    unsure: Bool[np.ndarray, " S"]  # strata that are not known, though all their pairs were alike


class PairSampler:
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
        self.strata = strata_of(self.sizes, weighting)
        self.drawn = 0
        #: Of what was drawn of each stratum: how many, less one a sample, and the sums of powers about the means.
        self.seen, self.freedom = (np.zeros(len(self.strata.totals), dtype=np.int64) for _ in range(2))
        self.powers = np.zeros((3, len(self.strata.totals)))
        #: Largest D of a sample of each class with one of them, where it was looked at.
        self.radius = np.full(len(self.sizes), np.nan)
        self.largest, self.eps, self.hidden = 0.0, EPS, False
        #: Distances are told in this unit, a power of two, so that their squares neither overflow nor vanish.
        self.unit = 0.0

    def draw(self, sizes: Int[np.ndarray, " S"]) -> Sample:
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
        return Sample(sizes, mean, np.sqrt(variance), third, kurtosis, freedom, self.seen.copy())

    @property
    def noise(self) -> float:
        """What round-off makes of a distance, in the unit of distances."""
        return UNITS * self.eps * self.largest / self.unit

    def flat(self, sample: Sample) -> Bool[np.ndarray, " S"]:
        """Tell in which strata some pairs were not drawn, and all those that were are alike."""
        return (sample.sizes < self.strata.totals) & (sample.deviation <= self.noise)

    def look(self, sample: Sample, most: int) -> None:
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

    def _reach(self, sample: Sample) -> Float[np.ndarray, " S"]:
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
            raise KernelRefused(
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
            raise KernelRefused(
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

    def estimate(self, sample: Sample) -> Found:
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
        return Found(estimate, spread, skewness, unsure)

    def _suspected(self, sample: Sample) -> Float[np.ndarray, " S"]:
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
