"""What is seen of a network at a probe: loss, decisions, class means and the spread around them, layer by layer."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import optax

from kernel_collapse.networks._architecture import Architecture
from kernel_collapse.networks.model import Parameters, Scales, layers

__all__ = ["Loss", "Seen", "Task", "decide", "look", "losses"]

Loss = Literal["mse", "cross_entropy"]


class Task(NamedTuple):
    """What is learnt: inputs (d, n), aims (k, n), labels (n,), targets of the classes (C, k) less their offset (k,),
    averaging (n, C), and for each class the first one with the same target (C,).
    """

    columns: Any
    aims: Any
    labels: Any
    class_targets: Any
    offset: Any
    averaging: Any
    first: Any


class Seen(NamedTuple):
    """What a probe keeps.

    Shares are kept as counts: XLA divides by some constants as a product with the inverse, and 41 of 41 were not 1.
    """

    loss: Any
    right: Any  # samples
    spread: Any  # per layer, (C,)
    class_means: Any  # per layer, (C, N_l)
    agreeing: Any  # samples for which network and nearest class mean agree
    covariance: Any
    readout: Any
    largest: Any  # output, or root of the sum of squares of the terms of one


def losses(outputs: Any, aims: Any, loss: Loss) -> Any:
    """Return the loss of every output (MSE) or sample (cross-entropy)."""
    if loss == "mse":
        return (outputs - aims) ** 2
    return optax.softmax_cross_entropy(outputs.T, aims.T)


def decide(outputs: Any, class_targets: Any) -> Any:
    """Return the class whose target is nearest; with one-hot targets, that of the largest output.

    An offset that targets and outputs have in common is to be taken from both: beside it round-off would decide.
    """
    half_squares = 0.5 * (class_targets**2).sum(axis=1)
    return jnp.argmax(class_targets @ outputs - half_squares[:, None], axis=0)


def look(parameters: Parameters, scales: Scales, task: Task, architecture: Architecture, loss: Loss) -> Seen:
    hidden, outputs = layers(parameters, scales, task.columns, architecture)
    means = [h @ task.averaging for h in hidden]
    spread = [
        ((h - m[:, task.labels]) ** 2).sum(axis=0) @ task.averaging
        for h, m in zip(hidden, means, strict=True)
    ]
    # Distances lose fewer digits about a point amid the classes.
    centre = means[-1].mean(axis=1, keepdims=True)
    nearest = decide(hidden[-1] - centre, (means[-1] - centre).T)
    decided = task.first[decide(outputs - task.offset[:, None], task.class_targets)]
    first = parameters.weights[0]
    scale = scales.weights[0] * jnp.ones_like(first[0, 0])
    return Seen(
        losses(outputs, task.aims, loss).mean(),
        (decided == task.first[task.labels]).sum(),
        spread,
        [m.T for m in means],
        (task.first[nearest] == decided).sum(),
        scale**2 * (first.T @ first) / len(first),
        scales.weights[-1] * parameters.weights[-1],
        jnp.maximum(jnp.abs(outputs).max(), _terms(scales.weights[-1] * parameters.weights[-1], hidden[-1])),
    )


def _terms(readout: Any, features: Any) -> Any:
    """Return the largest root of the sum of squares of what the units add to an output.

    Each of these terms carries round-off of its own, also where the terms cancel in the output.
    """
    peak = jnp.abs(features).max()
    peak = jnp.where(peak > 0, peak, 1.0)  # so that squares do not overflow
    return peak * jnp.sqrt((readout**2 @ (features / peak) ** 2).max())
