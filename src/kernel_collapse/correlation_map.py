r"""The maps of variance and correlation of two inputs from layer to layer, and their limits.

Through a layer of infinite width the variance q of a pre-activation and the correlation c of two of them go to::

    V(q) = sigma_w^2 kappa(q, q, q) + sigma_b^2
    R(c) = ( sigma_w^2 kappa(q*, q*, c q*) + sigma_b^2 ) / q*          at the fixed point q* = V(q*)

R(1) = 1, and chi = R'(1) = sigma_w^2 kappa_c(q*, q*, q*) decides. If chi is below 1 (ordered), all correlations tend
to 1, and each layer multiplies the distance to 1 by chi. If chi is above 1 (chaotic), they tend to a c* < 1, and each
layer multiplies the distance to c* by R'(c*). If chi is 1 (critical), they tend to 1 more slowly than any power of a
number.

References
----------
Poole et al. (2016), "Exponential expressivity in deep neural networks through transient chaos", arXiv 1606.05340;
Schoenholz et al. (2017), "Deep information propagation", arXiv 1611.01232.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kernel_collapse import _validate, activations
from kernel_collapse._input_error import InputError
from kernel_collapse.activations import ActivationLike

__all__ = ["FixedPoint", "Phase", "critical_weight_variance", "fixed_point"]

Phase = Literal["ordered", "critical", "chaotic", "vanishing", "unbounded"]

#: Slopes this close to 1 are critical: the parameters of a critical network are seldom given to more digits.
CRITICAL = 1e-5
#: Variances beyond these are taken for zero and for infinity, where the limits of the maps are read off.
SMALLEST, LARGEST = 1e-8, 1e12
STEPS = 20_000


@dataclass(frozen=True)
class FixedPoint:
    """Where variance and correlation of two inputs tend to with depth.

    Attributes
    ----------
    variance : float
        q*, of every pre-activation; 0 (whatever is below 1e-8) or infinite (above 1e12) where the variance map leads
        to no other fixed point. The slopes are then those of the limit.
    variance_slope : float
        V'(q*): the factor by which a deviation from q* shrinks in a layer.
    slope : float
        chi, the slope of the correlation map at 1; infinite where the activation jumps.
    correlation : float
        c*, of every pair of inputs.
    rate : float
        The slope of the correlation map at c*: the factor by which a deviation from c* shrinks in a layer.
    """

    variance: float
    variance_slope: float
    slope: float
    correlation: float
    rate: float

    @property
    def phase(self) -> Phase:
        """What becomes of two inputs.

        Their correlation tends to 1 (ordered; critical: slowly) or to less (chaotic), or their variance to 0 or
        infinity.
        """
        if not 0.0 < self.variance < np.inf:
            return "unbounded" if self.variance else "vanishing"
        if abs(self.slope - 1.0) <= CRITICAL:
            return "critical"
        return "ordered" if self.slope < 1.0 else "chaotic"

    @property
    def depth_scale(self) -> float:
        """Layers in which the deviation of a correlation from c* falls by a factor e; infinite at criticality."""
        if self.rate >= 1.0 - CRITICAL:
            return np.inf
        return float(-1.0 / np.log(self.rate)) if self.rate > 0.0 else 0.0


def fixed_point(
    activation: ActivationLike, *, weight_variance: float = 1.0, bias_variance: float = 0.0
) -> FixedPoint:
    """Return where the variance and the correlation of two inputs of variance near 1 tend to with depth.

    Parameters
    ----------
    activation : str, Activation or callable
        As for `kernel_collapse.nngp`.
    weight_variance, bias_variance : float
        Prior variances: weights N(0, weight_variance / fan_in), biases N(0, bias_variance).

    Returns
    -------
    FixedPoint
        Variance, slopes and correlation; its ``phase`` names the regime. The variance map is followed from 1, which
        matters where it has several fixed points (or, as ReLU's at weight variance 2, where every variance is one).

    Raises
    ------
    ValueError
        If a parameter is out of its range, or the variance settles nowhere.

    Examples
    --------
    ReLU is critical at weight variance 2, and ordered below:

    >>> from kernel_collapse.correlation_map import fixed_point
    >>> fixed_point("relu", weight_variance=2).phase
    'critical'
    >>> point = fixed_point("relu", weight_variance=1.5, bias_variance=0.1)
    >>> round(point.variance, 6), round(point.slope, 6), point.phase
    (0.4, 0.75, 'ordered')

    An odd activation without bias forgets in the chaotic phase that inputs were correlated:

    >>> point = fixed_point("erf", weight_variance=4)
    >>> point.phase, point.correlation
    ('chaotic', 0.0)
    """
    phi = activations.get(activation)
    weight = _validate.positive(weight_variance, "weight_variance")
    bias = _validate.positive(bias_variance, "bias_variance", zero_allowed=True)

    def covariance(q: float, c: float) -> float:
        return weight * float(phi.kappa(np.float64(q), np.float64(q), np.float64(c * q))) + bias

    def slope(q: float, c: float) -> float:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
            found = float(phi.kappa_c(np.float64(q), np.float64(q), np.float64(c * q)))
        return weight * found * q / covariance(q, 1.0)

    variance = _settle(lambda q: covariance(q, 1.0), phi.name)
    q = min(max(variance, SMALLEST), LARGEST)
    step = 1e-4
    ends = [covariance(q * (1.0 + sign * step), 1.0) for sign in (-1, 1)]
    variance_slope = (ends[1] - ends[0]) / (2.0 * step * q)
    at_one = np.inf if phi.jumps else slope(q, 1.0)
    if at_one <= 1.0 + CRITICAL or not 0.0 < variance < np.inf:
        return FixedPoint(variance, variance_slope, at_one, 1.0, at_one)
    correlation = _crossing(lambda c: covariance(q, c) / q - c)
    return FixedPoint(variance, variance_slope, at_one, correlation, slope(q, correlation))


def critical_weight_variance(activation: ActivationLike, *, bias_variance: float = 0.0) -> float:
    """Return the weight variance at which the slope of the correlation map at 1 is 1.

    Parameters
    ----------
    activation : str, Activation or callable
        As for `kernel_collapse.nngp`.
    bias_variance : float
        Variance of the biases.

    Raises
    ------
    ValueError
        If no weight variance between 1e-3 and 1e3 is critical.

    Examples
    --------
    >>> from kernel_collapse.correlation_map import critical_weight_variance
    >>> round(critical_weight_variance("erf", bias_variance=0.05), 4)
    1.3758
    """
    from scipy.optimize import brentq

    name = activations.get(activation).name

    def excess(log_variance: float) -> float:
        slope = fixed_point(
            activation, weight_variance=float(np.exp(log_variance)), bias_variance=bias_variance
        ).slope
        return min(slope, 1e6) - 1.0

    low, high = np.log(1e-3), np.log(1e3)
    if not excess(low) < 0.0 < excess(high):
        raise InputError(
            f"the activation {name} with bias_variance {bias_variance}",
            "critical at no weight variance between 1e-3 and 1e3",
            "an activation whose correlations can spread",
            "tanh or erf, with a bias",
        )
    return float(np.exp(brentq(excess, low, high, xtol=1e-12)))


def _settle(variance_map: Callable[[float], float], name: str) -> float:
    """Return where the iterates of a map of variances from 1 tend to: a number, 0 or infinity."""
    q = 1.0
    for i in range(STEPS):
        new = variance_map(q)
        if new > LARGEST:
            return np.inf
        if new < SMALLEST:
            return 0.0
        if abs(new - q) <= 4e-16 * q:
            return new
        if i > 20:
            # Where steps shrink by a constant factor, the sum of all that are to come (Aitken).
            newer = variance_map(new)
            factor = (newer - new) / (new - q)
            if i > 1000 and new > q and abs(factor - 1.0) <= 1e-9:
                return np.inf  # it grows by the same step for ever
            if 0.0 < factor < 1.0 - 1e-9:
                ahead = newer + (newer - new) * factor / (1.0 - factor)
                if ahead <= SMALLEST:
                    ahead = newer / 2.0  # it tends to zero, more slowly than by a factor
                if abs(ahead - newer) <= 1e-15 * newer:
                    return ahead
                newer = ahead
            new = newer
        q = new
    raise InputError(
        f"the variance of {name}",
        f"not settled after {STEPS} layers",
        "a fixed point",
        "change weight_variance or bias_variance",
        verb="has",
    )


def _crossing(excess: Callable[[float], float]) -> float:
    """Return the root in [0, 1) of R(c) - c, which is convex and has another root at 1 with positive slope."""
    from scipy.optimize import brentq

    if abs(excess(0.0)) < 1e-15:
        return 0.0
    gap = 0.5
    while excess(1.0 - gap) >= 0.0 and gap > 1e-12:
        gap /= 2.0
    return float(brentq(excess, 0.0, 1.0 - gap, xtol=1e-15))
