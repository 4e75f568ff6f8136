"""A block of a convolutional kernel of arrays of any library, in one piece: compiled and differentiated as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from kernel_collapse import _arrays, _collinear, activations
from kernel_collapse.kernels._image_arrays import (
    axes_of,
    equal_positions,
    inputs,
    mean,
    of_differences,
    of_left,
    of_right,
    pooled,
    summed,
)
from kernel_collapse.kernels._image_near import LOST, SMOOTH, lost_angles
from kernel_collapse.kernels._image_plan import Plan, Stage
from kernel_collapse.kernels._layers import Wanted, _dual

__all__ = ["Variances", "through", "variances"]


class Variances(NamedTuple):
    """The numbers that weights and biases are drawn with."""

    weights: float
    biases: float


def variances(x: Any, plan: Plan, prior: Variances) -> list[Any]:
    """Return the variances of every activation at every position, of images (height, width, channels, n)."""
    found: list[Any] = []
    gram = inputs(x, x, plan.stages[0].full)
    for stage in plan.stages:
        gram, _ = _convolved(gram, None, stage, prior)
        if stage.phi is not None:
            q = equal_positions(gram) if stage.full else gram
            first = _first(x, x, stage, prior, (q, q)) if stage is plan.stages[0] and stage.full else None
            found.append(q)
            same = _same_place(gram) if stage.full else q >= 0.0
            gram, _ = _activated(gram, None, stage, (q, q), same, first)
        gram = pooled(gram, stage)
    return found


def through(
    x: Any,
    y: Any,
    plan: Plan,
    prior: Variances,
    of_x: Sequence[Any],
    of_y: Sequence[Any],
    *,
    tangent: bool,
    itself: Any = None,
) -> tuple[Any, Any]:
    """Return the kernel of the features and, if `tangent`, the mean of T that enters the readout.

    The images are (height, width, channels, ...) and their variances (height, width, ...), whose last axes broadcast
    against one another; `itself` says which pairs of images are one image.
    """
    gram, theta, number = inputs(x, y, plan.stages[0].full), None, 0
    for stage in plan.stages:
        gram, theta = _convolved(gram, theta, stage, prior)
        theta = gram if theta is None and stage.conv is not None and tangent else theta
        if stage.phi is not None:
            same = itself
            if same is not None and stage.full:
                same = _same_place(gram) & itself
            q = of_x[number], of_y[number]
            first = _first(x, y, stage, prior, q) if stage is plan.stages[0] else None
            gram, theta = _activated(gram, theta, stage, q, same, first)
            number += 1
        gram, theta = pooled(gram, stage), None if theta is None else pooled(theta, stage)
    return mean(gram, plan.full), None if theta is None else mean(theta, plan.full)


def _convolved(gram: Any, theta: Any, stage: Stage, prior: Variances) -> tuple[Any, Any]:
    """Return G and T after a convolution; T is None before the first."""
    if stage.conv is None:
        return gram, theta
    share = prior.weights / stage.filter_positions
    for window, axes in zip(stage.conv, axes_of(stage.full), strict=True):
        gram = summed(gram, axes, window)
        theta = None if theta is None else summed(theta, axes, window)
    gram = gram * share + prior.biases
    return gram, None if theta is None else gram + theta * share


def _first(x: Any, y: Any, stage: Stage, prior: Variances, q: tuple[Any, Any]) -> Any:
    """Return the determinants of the first convolution where a smooth activation takes more of them than q1 q2 - c^2.

    None stands for those that the difference gives.
    """
    phi, conv = stage.phi, stage.conv
    assert phi is not None
    assert conv is not None
    if phi.needs_determinant or phi.rate == 0.0 or not _of_smooth(phi, q, SMOOTH):
        return None
    weight = prior.weights / (stage.filter_positions * int(x.shape[2]))
    bias = float(np.sqrt(prior.biases / weight))
    return weight**2 * of_differences(x, y, conv, bias, stage.full)


def _of_smooth(phi: activations.Activation, q: tuple[Any, Any], shares: dict[np.dtype[Any], float]) -> bool:
    """Tell whether variances are so large, or may be, that a smooth dual depends on determinants."""
    if any(map(_arrays.staged, q)):
        return True
    xp = _arrays.namespace(*q)
    smooth = shares[np.dtype(str(q[0].dtype).rpartition(".")[2])]
    largest = [phi.rate**2 * _arrays.number(xp.max(of)) for of in q]
    return all(largest) and sum(1.0 / of for of in largest) < smooth


def _activated(
    gram: Any, theta: Any, stage: Stage, q: tuple[Any, Any], itself: Any, first: Any = None
) -> tuple[Any, Any]:
    """Return kappa, and T times the slopes."""
    xp = _arrays.namespace(gram)
    q1, q2 = of_left(q[0], stage.full), of_right(q[1], stage.full)
    q1, q2 = q1 + 0.0 * gram, q2 + 0.0 * gram
    if itself is not None:
        gram = xp.where(itself, q1, gram)
    phi = stage.phi
    assert phi is not None
    above = first is None and not phi.needs_determinant and phi.rate > 0.0
    if above and not _arrays.staged(gram) and _of_smooth(phi, q, LOST):
        _require_angles(phi, (q1, q2, gram), itself)
    wanted: Wanted = "kappa" if theta is None else "slopes"
    kappa, slopes = _dual(phi, (q1, q2, gram), wanted, itself=itself, first=first)
    return kappa, None if theta is None else theta * slopes


def _require_angles(phi: activations.Activation, moments: tuple[Any, Any, Any], itself: Any) -> None:
    """Refuse pairs of which a smooth activation takes more of the determinant than q1 q2 - c^2 has left."""
    q1, q2, gram = map(_arrays.read, moments)
    lost = _collinear.nearly_smooth(q1, q2, q1 * q2 - gram * gram, phi, smooth=LOST[gram.dtype])
    if (lost if itself is None else lost & ~_arrays.read(itself)).any():
        raise lost_angles(phi)


def _same_place(gram: Any) -> Any:
    """Return where p = r, of all pairs of positions."""
    xp, device = _arrays.namespace(gram), array_api_compat.device(gram)
    rows, columns = (xp.eye(int(gram.shape[axis]), dtype=xp.bool, device=device) for axis in (0, 2))
    both = rows[:, :, None, None] & columns[None, None]
    return xp.reshape(both, (*both.shape, *(1 for _ in gram.shape[4:])))
