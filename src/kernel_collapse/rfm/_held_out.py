"""Other inputs, carried through every layer of a deep recursive feature machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse import held_out_collapse
from kernel_collapse.rfm._gradients import EPS
from kernel_collapse.rfm._layer import GIVEN, SAFETY, SHORTEST, SILENT, Machine, kappa_between, known_to

if TYPE_CHECKING:
    from kernel_collapse.rfm._solution import RFMLayer

__all__ = ["HeldOut", "HeldOutLayer", "accuracy_of", "carried"]


@dataclass(frozen=True, eq=False)
class HeldOutLayer:
    """The results of one layer for m other inputs.

    Attributes
    ----------
    cross_input, cross_agop, cross : ndarray, shape (m, n)
        Kernels of the other inputs with the samples: of the inputs, after M^{1/2}, of the features.
    diagonal_agop, diagonal : ndarray, shape (m,)
        The latter two of each input with itself; those of the inputs are 1.
    nc1_input, nc1_agop, nc1 : float
        Spread of the other inputs about the class means of the samples, over that between these means; see
        `kernel_collapse.held_out_collapse`.
    accuracy : float
        Share of the inputs whose prediction is nearest to the target of their class.
    predictions : ndarray, shape (m, k)
        Outputs of the layer's last fit.
    reason : str
        Empty, or why a number is NaN, or how far it is known.
    """

    cross_input: Float[np.ndarray, "m n"] = field(repr=False)
    cross_agop: Float[np.ndarray, "m n"] = field(repr=False)
    cross: Float[np.ndarray, "m n"] = field(repr=False)
    diagonal_agop: Float[np.ndarray, " m"] = field(repr=False)
    diagonal: Float[np.ndarray, " m"] = field(repr=False)
    nc1_input: float
    nc1_agop: float
    nc1: float
    accuracy: float
    predictions: Float[np.ndarray, "m k"] = field(repr=False)
    reason: str = ""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The results of every layer for other inputs, from the first layer to the last that could be computed."""

    layers: tuple[HeldOutLayer, ...]


@np.errstate(under="ignore")  # what vanishes beside other terms
def carried(
    machine: Machine,
    layers: Sequence[RFMLayer],
    cross: Float[np.ndarray, "m n"],
    targets: Float[np.ndarray, "n k"],
    turn: Float[np.ndarray, "r k"],
    codes: Int[np.ndarray, " m"] | None,
    eps: float = EPS,
) -> HeldOut:
    """Return what these layers make of inputs with these cosines, known to that eps.

    `turn` leads from the outputs that are fitted to those of the targets.
    """
    found: list[HeldOutLayer] = []
    for layer in layers:
        own = np.ones(len(cross))
        passed = machine.apply(layer.gram_input, layer._alphas, cross, own)
        features, lengths = kappa_between(machine.activation, layer.gram_agop, passed.cross, passed.own)
        predictions = passed.outputs @ turn
        kernels = (
            (layer.gram_input, cross, own),
            (layer.gram_agop, passed.cross, passed.own),
            (layer.gram, features, lengths),
        )
        nc1, reason = _nc1(kernels, layer, codes, eps)
        accuracy = np.nan if codes is None else accuracy_of(predictions, codes, targets, layer.labels)
        found.append(
            HeldOutLayer(
                cross, passed.cross, features, passed.own, lengths, *nc1, accuracy, predictions, reason
            )
        )
        shortest = SHORTEST * float(np.diag(layer.gram).max())
        if not lengths.min() > shortest:  # an input without a direction ends it
            break
        cross = np.clip(features / np.sqrt(lengths)[:, None] / np.sqrt(np.diag(layer.gram)), -1.0, 1.0)
    return HeldOut(tuple(found))


def _nc1(
    kernels: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...],
    layer: RFMLayer,
    codes: Int[np.ndarray, " m"] | None,
    eps: float,
) -> tuple[tuple[float, float, float], str]:
    """Return held-out NC1 of three kernels, and why one is NaN."""
    if codes is None or layer.labels is None:
        return (np.nan, np.nan, np.nan), "no classes were given"
    found = [
        held_out_collapse(
            known_to(gram, eps), layer.labels, known_to(cross, eps), np.maximum(own, 0.0), codes
        )
        for gram, cross, own in kernels
    ]
    values = [float(one.nc1) for one in found]
    reasons = [one.reason for one in found if not np.isfinite(one.nc1)]
    if eps > EPS:
        values, more = _of_low_precision(values, layer.round_off, eps)
        reasons += more
    return (values[0], values[1], values[2]), next(iter(reasons), "")


def _of_low_precision(values: list[float], below: float, eps: float) -> tuple[list[float], list[str]]:
    """Return NC1 of inner products that are known to that eps, NaN where they do not tell it, and why.

    `below` is the relative error of NC1 of the samples after this layer.
    """
    found, reasons = [], []
    for place, value in enumerate(values):
        error = SAFETY * 4.0 * eps * (1.0 / value + value) if value > 0.0 else np.inf
        error += below if place else 0.0
        found.append(np.nan if error > GIVEN else value)
        if error > GIVEN:
            reasons.append("NC1 is too small for the precision of the inner products")
        elif error > SILENT:
            reasons.append(f"round-off may be up to {error:.1%} of NC1")
    return found, reasons


def accuracy_of(
    outputs: Float[np.ndarray, "m k"],
    codes: Int[np.ndarray, " m"],
    targets: Float[np.ndarray, "n k"],
    labels: Int[np.ndarray, " n"] | None,
) -> float:
    """Return the share of outputs that are nearest to the mean target of their class."""
    if labels is None:
        return float("nan")
    sizes = np.bincount(labels)
    means = np.stack([np.bincount(labels, weights=column) for column in targets.T], axis=1) / sizes[:, None]
    nearest = (((outputs[:, None, :] - means) ** 2).sum(axis=2)).argmin(axis=1)
    return float(np.mean(nearest == codes))
