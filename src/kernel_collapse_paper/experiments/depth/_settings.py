"""The priors, one in each phase of a deep network, and the limits that the fixed points of their maps foretell."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import activations, kernels
from kernel_collapse.correlation_map import FixedPoint, fixed_point
from kernel_collapse.data import Dataset
from kernel_collapse.report.style import ACTIVATION_NAMES

#: Critical for erf with biases of variance 0.05 (`correlation_map.critical_weight_variance`), to six digits.
CRITICAL_ERF = 1.375839


class Setting(NamedTuple):
    """An activation with the variances of the prior."""

    activation: str
    weight_variance: float
    bias_variance: float

    @property
    def point(self) -> FixedPoint:
        """Where variance and correlation end."""
        return _point(self)

    @property
    def label(self) -> str:
        """Activation and phase."""
        return f"{ACTIVATION_NAMES[self.activation]}, {self.point.phase}"

    @property
    def kinked(self) -> bool:
        """Whether the activation has a kink."""
        return bool(activations.get(self.activation).kinks) or self.activation == "relu"

    @property
    def rate(self) -> float:
        """The factor a layer by which 1/NC1 of the NNGP nears its end; 1 where it does so by no such factor."""
        point = self.point
        if point.phase == "ordered":
            return max(np.sqrt(point.slope) if self.kinked else point.slope, abs(point.variance_slope))
        return point.rate if point.phase == "chaotic" else 1.0


SETTINGS = (
    Setting("erf", 1.0, 0.05),
    Setting("erf", CRITICAL_ERF, 0.05),
    Setting("erf", 4.0, 0.05),
    Setting("relu", 1.5, 0.1),
    Setting("relu", 2.0, 0.0),
    Setting("relu", 2.5, 0.1),
)


@lru_cache
def _point(setting: Setting) -> FixedPoint:
    activation, weight, bias = setting
    return fixed_point(activation, weight_variance=weight, bias_variance=bias)


def limiting_gram(setting: Setting, kernel: str, data: Dataset, depth: int) -> Any:
    """Return a Gram matrix with the NC1 that a deep kernel tends to, or None where that is the data's alone.

    `depth` is that of the NNGP from which the end of the NTK is foretold in the ordered phase.
    """
    activation, weight, bias = setting
    phase = setting.point.phase
    if phase == "chaotic" or (phase == "critical" and not setting.kinked):
        return np.eye(len(data.x))
    if phase != "ordered":
        lengths = np.sum(data.x**2, axis=1) * (weight / data.x.shape[1]) + bias
        if bias > 0:
            lengths = lengths + bias / (weight / 2.0 - 1.0)  # q -> weight q / 2 + bias stretches from there
        gram = np.sqrt(np.outer(lengths, lengths))
        return gram if kernel == "nngp" else gram * (0.25 + 0.75 * np.eye(len(gram)))
    if kernel == "nngp":
        return None
    gram = kernels.nngp(
        data.x, activation=activation, depth=depth, weight_variance=weight, bias_variance=bias
    )
    if not setting.kinked:
        return gram
    q = np.diag(gram)
    roots = -0.5 * np.sqrt(np.maximum(q[:, None] + q[None, :] - 2.0 * gram, 0.0))
    centred = roots - roots.mean(axis=0)
    return centred - centred.mean(axis=1, keepdims=True)
