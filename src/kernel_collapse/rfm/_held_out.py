"""Other inputs, carried through every layer of a deep recursive feature machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kernel_collapse._shapes import Float, Int
from kernel_collapse._shared_targets import class_targets, first_with_target
from kernel_collapse.collapse import held_out_collapse
from kernel_collapse.rfm._gradients import EPS
from kernel_collapse.rfm._layer import GIVEN, SAFETY, SHORTEST, SILENT, Machine, kappa_between, known_to

if TYPE_CHECKING:
    from kernel_collapse.rfm._solution import RFMLayer

__all__ = ["HeldOut", "HeldOutLayer", "accuracy_of", "carried"]

#: Rows that a reason names, at most.
MOST_NAMED = 5


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
    """The results of every layer for other inputs: as many layers as the machine has.

    Attributes
    ----------
    layers : tuple of HeldOutLayer
        From the first to the last. An input whose features vanish in a layer has no direction, which the layers above
        need: its rows are NaN there, and so are NC1 and accuracy, which are of all inputs. A layer that could not be
        computed for the samples is NaN.
    reason : str
        Empty, or which inputs have no direction, and why layers are NaN.
    """

    layers: tuple[HeldOutLayer, ...]
    reason: str = ""


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
    m, reasons = len(cross), list[str]()
    here = np.arange(m)  # the inputs that have a direction; `cross` has rows of these alone
    for number, layer in enumerate(layers, 1):
        if not np.isfinite(layer.gram).all():
            found.append(_nothing(layer, m, "; ".join([*reasons, layer.reason])))
            continue
        own = np.ones(len(here))
        passed = machine.apply(layer.gram_input, layer._alphas, cross, own)
        features, lengths = kappa_between(machine.activation, layer.gram_agop, passed.cross, passed.own)
        predictions = passed.outputs @ turn
        if len(here) == m:
            kernels = (
                (layer.gram_input, cross, own),
                (layer.gram_agop, passed.cross, passed.own),
                (layer.gram, features, lengths),
            )
            nc1, reason = _nc1(kernels, layer, codes, eps)
            accuracy = np.nan if codes is None else accuracy_of(predictions, codes, targets, layer.labels)
        else:
            nc1, reason, accuracy = (np.nan, np.nan, np.nan), "; ".join(reasons), np.nan
        full = partial(_in_place, here=here, m=m)
        found.append(
            HeldOutLayer(
                full(cross),
                full(passed.cross),
                full(features),
                full(passed.own),
                full(lengths),
                *nc1,
                accuracy,
                full(predictions),
                reason,
            )
        )
        known = lengths > SHORTEST * float(np.diag(layer.gram).max())
        if not known.all():
            reasons.append(_vanished(here[~known], number))
            here, features, lengths = here[known], features[known], lengths[known]
        cross = np.clip(features / np.sqrt(lengths)[:, None] / np.sqrt(np.diag(layer.gram)), -1.0, 1.0)
    missing = next((layer.reason for layer in layers if not np.isfinite(layer.gram).all()), "")
    return HeldOut(tuple(found), "; ".join(filter(None, [*reasons, missing])))


def _in_place(values: np.ndarray, here: Int[np.ndarray, " h"], m: int) -> np.ndarray:
    """Return the rows of these inputs among those of all m, the others NaN."""
    if len(here) == m:
        return values
    found = np.full((m, *values.shape[1:]), np.nan)
    found[here] = values
    return found


def _nothing(layer: RFMLayer, m: int, reason: str) -> HeldOutLayer:
    """Return what a layer that could not be computed says of m inputs: NaN."""
    none, row = np.full((m, len(layer.gram)), np.nan), np.full(m, np.nan)
    outputs = np.full((m, layer.predictions.shape[1]), np.nan)
    return HeldOutLayer(none, none, none, row, row, np.nan, np.nan, np.nan, np.nan, outputs, reason)


def _vanished(rows: Int[np.ndarray, " v"], number: int) -> str:
    """Return why these inputs are NaN above a layer."""
    shown = ", ".join(map(str, rows[:MOST_NAMED]))
    more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
    one = len(rows) == 1
    return (
        f"the features of row{'' if one else 's'} {shown}{more} vanish in layer {number}, "
        f"so that {'it has' if one else 'they have'} no direction above it"
    )


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
    """Return the share of outputs that are nearest to the mean target of their class, which others may share."""
    if labels is None:
        return float("nan")
    means = class_targets(labels, targets)
    first = first_with_target(means)
    nearest = (((outputs[:, None, :] - means) ** 2).sum(axis=2)).argmin(axis=1)
    return float(np.mean(first[nearest] == first[codes]))
