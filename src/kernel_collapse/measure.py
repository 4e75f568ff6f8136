"""How collapsed a user's own data are under each kernel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from kernel_collapse import _validate, trials
from kernel_collapse import activations as duals
from kernel_collapse.adaptive import Status
from kernel_collapse.collapse import NC1, Weighting, nc1, nc1_from_features
from kernel_collapse.data import Dataset, standardize
from kernel_collapse.experiments._style import KERNEL_COLOURS, NAMES, style
from kernel_collapse.experiments._types import Figure
from kernel_collapse.measurements import AdaptiveNC1, KernelNC1, gram, solve

if TYPE_CHECKING:
    import pandas as pd

Measurement = KernelNC1 | AdaptiveNC1

__all__ = ["figure", "measure", "remarks", "specify", "standardize"]


def specify(
    kernels: Sequence[str],
    activations: Sequence[str],
    *,
    depth: int = 1,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
    width: float = 500.0,
    readout_variance: float = 1 / 128,
    noise_variance: float = 1e-6,
) -> list[Measurement]:
    """Return the measurements of every kernel with every activation, the data themselves first.

    `width`, `readout_variance` and `noise_variance` are the adaptive kernel's, which has one hidden layer and no bias.

    Raises
    ------
    ValueError
        If a name is unknown or a parameter is out of range.
    """
    for kernel in kernels:
        _validate.choice(kernel, ("nngp", "ntk", "adaptive"), "kernel")
    for activation in activations:
        duals.get(activation)
    _validate.count(depth, "depth")
    if "adaptive" in kernels and (depth != 1 or bias_variance != 0):
        raise ValueError(
            f"the adaptive kernel is asked for at depth {depth} with bias_variance {bias_variance:g}, expected depth 1 "
            "and no bias: measure the other kernels in a run of their own."
        )
    shared = {"weight_variance": weight_variance}
    fixed = shared | {"depth": depth, "bias_variance": bias_variance}
    adaptive = shared | {
        "width": width,
        "readout_variance": readout_variance,
        "noise_variance": noise_variance,
    }
    try:
        return [
            KernelNC1(kernel="data"),
            *(
                AdaptiveNC1.model_validate({"activation": activation} | adaptive)
                if kernel == "adaptive"
                else KernelNC1.model_validate({"kernel": kernel, "activation": activation} | fixed)
                for activation in dict.fromkeys(activations)
                for kernel in dict.fromkeys(kernels)
            ),
        ]
    except ValidationError as error:
        raise ValueError(trials.describe_errors(error)) from None


def measure(
    dataset: Dataset, measurements: Sequence[Measurement], weighting: Weighting = "paper"
) -> pd.DataFrame:
    """Return a row for each kernel: NC1, its traces, and NC1 relative to that of the data.

    Raises
    ------
    ValueError
        If the Gram matrix would not fit into memory.
    """
    import pandas as pd

    _fits_into_memory(len(dataset.x))
    of_data = nc1_from_features(dataset.x, dataset.labels, weighting=weighting)
    rows = []
    for what in measurements:
        reason, value = "", of_data
        if isinstance(what, AdaptiveNC1):
            solution = solve(what, dataset, raise_on_failure=False)
            if solution.status is not Status.CONVERGED:
                reason = f"adaptive kernel, {solution.status.value} at residual {solution.residual:.2g}: "
                reason += solution.status.sentence
            if np.isfinite(solution.gram).all():
                value = nc1(solution.gram, dataset.labels, weighting=weighting)
            else:
                value = NC1(np.nan, np.nan, np.nan, reason)
        elif what.kernel != "data":
            value = nc1(gram(what, dataset.x), dataset.labels, weighting=weighting)
        rows.append(
            {
                "kernel": NAMES[what.kernel],
                "activation": "–" if what.activation is None else NAMES.get(what.activation, what.activation),
                "depth": "–" if what.activation is None else str(getattr(what, "depth", 1)),
                "NC1": value.ratio,
                "NC1 / NC1(data)": value.ratio / of_data.ratio if of_data.ratio else float("nan"),
                "tr S_W": value.within,
                "tr S_B": value.between,
                "reason": value.reason or reason,
            }
        )
    return pd.DataFrame(rows)


def remarks(dataset: Dataset) -> list[str]:
    """Return what a reader of the numbers should know of the data."""
    found = []
    scale = dataset.x.std(axis=0)
    positive = scale[scale > 0]
    if len(positive) > 1 and positive.max() > 30 * positive.min():
        widest = int(scale.argmax())
        name = dataset.features[widest] if dataset.features else f"column {widest}"
        found.append(
            f"The features differ in scale by a factor of {positive.max() / positive.min():.3g}; the widest, {name!r}, "
            "dominates every kernel. Try --standardize."
        )
    sizes = dataset.class_sizes
    if max(sizes) == 1:
        found.append(
            "Every class has one sample, so NC1 is 0 whatever the kernel. Is the label column a class?"
        )
    elif max(sizes) != min(sizes):
        found.append(
            f"The classes have {min(sizes)} to {max(sizes)} samples: the weighting of classes matters (--weighting)."
        )
    return found


def figure(table: pd.DataFrame, name: str) -> Figure:
    """Draw NC1 of each kernel as a point on one logarithmic axis."""
    from matplotlib.figure import Figure as MatplotlibFigure
    from matplotlib.ticker import LogLocator

    shown = table[table["NC1"] > 0].iloc[::-1]
    colours = {NAMES[kernel]: colour for kernel, colour in KERNEL_COLOURS.items()}
    with style():
        drawn = MatplotlibFigure(figsize=(7.5, 1.2 + 0.4 * max(len(shown), 1)))
        axes = drawn.subplots()
        names = [
            row["kernel"] if row["activation"] == "–" else f"{row['activation']} {row['kernel']}"
            for _, row in shown.iterrows()
        ]
        axes.hlines(names, shown["NC1"].min(), shown["NC1"], color="#cccccc", linewidth=1)
        axes.scatter(shown["NC1"], names, c=[colours[k] for k in shown["kernel"]], s=45, zorder=3)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0), numticks=12))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_xlabel("NC1 of the features (left: more collapsed)")
    return Figure(
        f"nc1-{name}",
        f"NC1 of {name} under each kernel; values that are 0 or not a number are left out.",
        drawn,
    )


def _fits_into_memory(n: int) -> None:
    needed = 2 * 8 * n**2  # the Gram matrix, and as much again for the copies that checking it may make
    try:
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return
    if needed > available:
        raise ValueError(
            f"the Gram matrix of {n} samples takes {8 * n**2 / 1e9:.0f} GB of {available / 1e9:.0f} GB of memory, "
            f"expected at most {int((available / 16) ** 0.5)} samples here: measure a random subset."
        )
