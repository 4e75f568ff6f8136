"""What an estimate of NC1 is, and the interval of a ratio of two estimated traces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernel_collapse import _results, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse._round_off import COINCIDE, Measured, Source, settle

__all__ = ["NC1Estimate"]


@dataclass(frozen=True)
class NC1Estimate:
    """An estimate of NC1 with a confidence interval.

    Attributes
    ----------
    ratio : float
        within / between; NaN where the class means coincide, or cannot be told apart, and where round-off reaches a
        tenth of it.
    low : float
        Lower end of the confidence interval of the ratio.
    high : float
        Upper end of that interval; infinite where the sample does not tell how far the ratio may be off.
    within : float
        Estimate of tr S_W, in the squared units of the features; unbiased, but for random features at depth 2 and more,
        whose bias is less than their error.
    between : float
        Estimate of tr S_B, likewise.
    confidence : float
        Probability with which such an interval covers the ratio.
    pairs : int
        Pairs of samples drawn in all; 0 for random features.
    rows : int
        Rows of the data read.
    features : int
        Random features drawn; 0 for pairs.
    reason : str
        Empty, or why `ratio` is not a number, how far round-off reaches where that is a thousandth of it, or why the
        interval is infinite or wider than was asked for.
    """

    ratio: float
    low: float
    high: float
    within: float
    between: float
    confidence: float
    pairs: int = 0
    rows: int = 0
    features: int = 0
    reason: str = ""

    @property
    def relative_error(self) -> float:
        """How far the interval reaches from the ratio, as a share of it; 0 for an exact value."""
        half = max(self.high - self.ratio, self.ratio - self.low)
        if half == 0.0:
            return 0.0
        return float(half / abs(self.ratio)) if self.ratio != 0.0 else math.inf

    def to_frame(self) -> _results.DataFrame:
        """Return a table of one row.

        Raises
        ------
        ValueError
            If pandas is not installed.
        """
        names = ("ratio", "low", "high", "within", "between", "confidence", "pairs", "rows", "features")
        return _results.one_row(self, (*names, "reason"))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        ends = f"end of the {100 * self.confidence:g} % interval"
        meanings = {
            "ratio": "NC1: tr S_W / tr S_B",
            "low": f"lower {ends}",
            "high": f"upper {ends}",
            "within": "tr S_W",
            "between": "tr S_B",
        }
        return _results.fields_as_html("NC1, estimated", self, meanings)


def ratio_interval(
    within: float,
    between: float,
    *,
    variance: float,
    between_variance: float,
    quantile: float,
    round_off: tuple[float, float],
    source: Source,
    covariance: float | None = None,
    unseen: tuple[float, float] = (0.0, 0.0),
    signed: bool = False,
) -> tuple[float, float, float, str]:
    r"""Return a ratio of estimates, the ends of its interval, and why they are NaN if they are.

    `round_off` is that of within and of between, and `source` where it comes from. `unseen` is how far a - r b and b
    may be off besides, by what no draw has shown. With `signed` they are no variances, and may be less than 0.

    The delta method, or linearisation (Cochran, 1977, "Sampling Techniques", section 6): the variance of a/b is
    that of (a - r b) / b, r the ratio. `variance` is that of a - r b. It holds while b is known to be other than 0.
    With the `covariance` of a - r b and b the interval is Fieller's: the ratios r + d that a - (r + d) b does not tell
    from 0, (d b)^2 <= q^2 (variance - 2 d covariance + d^2 between_variance). The two agree where b is well known.
    """
    within_off, between_off = round_off
    nothing = float("nan"), float("nan"), float("nan")
    unsure = quantile * float(np.sqrt(between_variance)) + unseen[1]
    if abs(between) <= between_off and unsure <= between_off:
        return *nothing, COINCIDE
    if (abs(between) if signed else between) <= max(unsure, between_off) and unsure > 0.0:
        return *nothing, "the samples that were drawn do not distinguish tr S_B from 0: draw more"
    if not signed and (between < 0.0 or within < -within_off):
        which = "tr S_B" if between < 0.0 else "tr S_W"
        return *nothing, f"{which} is less than 0, so the kernel is not positive semidefinite"
    error = (within_off + abs(within / between) * between_off) / abs(between)
    values, reason = settle({"NC1": Measured(np.float64(within / between), error)}, source)
    ratio = float(values["NC1"])
    if not np.isfinite(ratio):
        return *nothing, reason
    square, middle, half = quantile**2, 0.0, quantile * float(np.sqrt(variance)) / abs(between)
    if covariance is not None:
        known = between**2 - square * between_variance
        middle = -square * covariance / known
        half = float(np.sqrt(middle**2 + square * variance / known))
    half += unseen[0] / (abs(between) - unseen[1])
    return ratio, ratio + min(middle - half, 0.0), ratio + max(middle + half, 0.0), reason


def student_quantile(confidence: float, freedom: float) -> float:
    """Return the t for which a Student variable lies in [-t, t] with that probability."""
    from scipy.special import ndtri, stdtrit

    upper = 0.5 + 0.5 * confidence
    return float(stdtrit(freedom, upper) if np.isfinite(freedom) else ndtri(upper))


class Rows:
    """The rows of data of any size, read and checked block by block as they are asked for; images where `images`."""

    def __init__(self, x: Any, n_labels: int, *, images: bool = False) -> None:
        _validate.ordered(x, "x", "an array of numbers, samples in rows")
        x = _validate.in_numpy(x, "x")
        # The brackets of a table take columns; what has no shape is no array yet.
        by_rows = hasattr(x, "shape") and not hasattr(x, "columns") and not isinstance(x, memoryview)
        self._checked = _validate.images if images else _validate.matrix
        self._x = x if by_rows else self._checked(x, "x")
        shape = _shape_of(self._x)
        if len(shape) != (4 if images else 2) or 0 in shape[1:]:
            self._checked(np.broadcast_to(0.0, shape), "x")  # which says what shape it must have
        if shape[0] != n_labels:
            raise InputError(
                "x",
                f"{shape[0]} rows and there are {n_labels} labels",
                "as many labels as rows",
                "give the label of every sample, in the order of the rows",
                verb="has",
            )
        self.shape = shape[1:]
        self.dim = math.prod(self.shape)
        self.read = 0

    def __getitem__(self, rows: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m ..."]:
        """Return the rows of those numbers, which ascend."""
        block = self._checked(self._taken(rows), "x", row_numbers=rows, numpy=True)
        if block.shape != (len(rows), *self.shape):
            raise InputError(
                "x",
                f"an array of shape {block.shape} for {len(rows)} of its rows",
                f"({', '.join(map(str, (len(rows), *self.shape)))})",
                "x[rows] must take an array of row numbers, as NumPy's arrays do",
                verb="gave",
            )
        self.read += len(rows)
        return block

    def _taken(self, rows: Int[np.ndarray, " m"]) -> Any:
        try:
            return self._x[rows]
        except Exception as error:  # whatever an object's own brackets raise
            raise InputError(
                "x",
                f"no rows for an array of their numbers ({type(error).__name__})",
                "x[rows] to take one, as NumPy's arrays do",
                verb="gave",
            ) from None


def _shape_of(x: Any) -> tuple[int, ...]:
    try:
        return tuple(int(length) for length in x.shape)
    except Exception:  # whatever an object calls a shape
        raise InputError(
            "x", f"{_validate.shown(x)}, whose shape is no tuple of numbers", "an array of numbers"
        ) from None
