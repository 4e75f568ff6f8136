"""Figures of what solvers, samplers and training return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.plots._metrics import MARKERS
from kernel_collapse.report.style import sizes_palette, style

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["gram_matrix", "nc1_of_layers", "over_training"]

#: NC1 of a layer of a deep RFM: what it is of, and the colour.
OF_RFM = {
    "nc1_input": ("input", "#0072B2"),
    "nc1_agop": ("after $M^{1/2}$", "#D55E00"),
    "nc1": ("features", "#009E73"),
}


def gram_matrix(gram: ArrayLike, labels: Any = None, *, axes: Any = None) -> Any:
    """Draw a Gram matrix as a picture, with the samples of a class side by side.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        Symmetric.
    labels : sequence, length n, optional
        Class of each sample. With labels, samples are sorted by class, and lines part the classes.
    axes : matplotlib axes, optional
        Made by default.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If the matrix is not finite, square and symmetric, or there are not as many labels as samples.
    """
    import matplotlib.pyplot as plt

    codes = None if labels is None else _validate.encode_labels(labels)[0]
    values = np.asarray(_validate.gram(gram, np.shape(gram)[0] if codes is None else len(codes)))
    order, ends = np.arange(len(values)), np.array([], dtype=int)
    if codes is not None:
        order, ends = np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1]
    with style():
        panel = plt.subplots(figsize=(4.4, 3.6), layout="constrained")[1] if axes is None else axes
        panel.grid(False)
        picture = panel.imshow(values[np.ix_(order, order)], cmap="viridis", interpolation="nearest")
        for end in ends:
            panel.axhline(end - 0.5, color="white", linewidth=0.8)
            panel.axvline(end - 0.5, color="white", linewidth=0.8)
        what = "sample" if labels is None else "sample, by class"
        panel.set_xlabel(what)
        panel.set_ylabel(what)
        panel.figure.colorbar(picture, ax=panel, label="$K(x_i, x_j)$")
    return panel


def nc1_of_layers(solution: Any, *, axes: Any = None) -> Any:
    """Draw NC1 of every layer, on a logarithmic axis.

    Parameters
    ----------
    solution : Posterior, MeanField or DeepRFM
        Of the first two the bars are one standard error of NC1. A deep RFM has three NC1 a layer: of its input, after
        M^{1/2}, and of its features; what is not resolved is left out.
    axes : matplotlib axes, optional
        Made by default.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If the result has no layers with an NC1, or none that is a positive number.
    """
    import matplotlib.pyplot as plt

    lines = _lines_of(solution)
    if not any(np.isfinite(values).any() for _, _, values, _ in lines):
        raise InputError("the solution", "no NC1 that is a positive number", "one at least", verb="has")
    with style():
        panel = plt.subplots(figsize=(4.6, 3.2), layout="constrained")[1] if axes is None else axes
        for k, (name, colour, values, errors) in enumerate(lines):
            panel.errorbar(
                np.arange(1, len(values) + 1),
                values,
                yerr=errors,
                color=colour,
                marker=MARKERS[k],
                capsize=2.0,
                label=name,
            )
        panel.set_xticks(range(1, len(lines[0][2]) + 1))
        panel.set_yscale("log")
        panel.set_xlabel("hidden layer")
        panel.set_ylabel("NC1 (lower: more collapsed)")
        if len(lines) > 1:
            panel.legend()
    return panel


def _lines_of(solution: Any) -> list[tuple[str, str, np.ndarray, np.ndarray | None]]:
    """Return of each line its name, colour, values and errors; NaN where NC1 is no positive number."""
    layers = getattr(solution, "layers", ())
    found: list[tuple[str, str, np.ndarray, np.ndarray | None]]
    if layers and hasattr(layers[0], "nc1_agop"):
        found = [
            (name, colour, np.array([getattr(layer, field) for layer in layers]), None)
            for field, (name, colour) in OF_RFM.items()
        ]
    elif layers and hasattr(layers[0], "ratio_error"):
        errors = np.array([layer.ratio_error for layer in layers])
        errors = np.where(np.isfinite(errors), errors, 0.0)
        found = [("NC1", "#0072B2", np.array([layer.ratio for layer in layers]), errors)]
    else:
        raise InputError.of("solution", solution, "a Posterior, MeanField or DeepRFM")
    return [
        (name, colour, np.where(values > 0.0, values, np.nan), errors)
        for name, colour, values, errors in found
    ]


def over_training(training: Any, *, metric: str = "nc1", axes: Any = None) -> Any:
    """Draw a metric over the epochs of a training, a line a layer: mean and one standard deviation over networks.

    Parameters
    ----------
    training : kernel_collapse.networks.Training
    metric : str
        Its `loss`, `accuracy`, or a metric of collapse, as `nc1`.
    axes : matplotlib axes, optional
        Made by default.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If there is no such metric.
    """
    import matplotlib.pyplot as plt

    names = ("loss", "accuracy", "nc1", "nc2_norms", "nc2_etf", "nc3", "nc3_cosine", "nc4")
    known = [name for name in names if hasattr(training, name)]
    if not known:
        raise InputError.of("training", training, "what kernel_collapse.networks.train returns")
    _validate.choice(metric, known, "metric")
    values = np.asarray(getattr(training, metric), dtype=float)  # seeds, epochs[, layers]
    by_layer = values[..., None] if values.ndim == 2 else values
    with style():
        panel = plt.subplots(figsize=(4.6, 3.2), layout="constrained")[1] if axes is None else axes
        colours = sizes_palette(by_layer.shape[-1])
        for layer in range(by_layer.shape[-1]):
            line = by_layer[..., layer]
            mean, spread = line.mean(axis=0), line.std(axis=0, ddof=1) if len(line) > 1 else 0.0
            name = f"layer {layer + 1}" if values.ndim == 3 else metric
            panel.plot(
                training.epochs, mean, color=colours[layer], marker=MARKERS[layer % len(MARKERS)], label=name
            )
            panel.fill_between(
                training.epochs, mean - spread, mean + spread, color=colours[layer], alpha=0.2, linewidth=0
            )
        if metric not in ("accuracy", "nc4") and np.nanmin(by_layer) > 0.0:
            panel.set_yscale("log")
        panel.set_xscale("symlog", linthresh=1.0)
        panel.set_xlabel("epoch")
        panel.set_ylabel(metric)
        if by_layer.shape[-1] > 1:
            panel.legend()
    return panel
