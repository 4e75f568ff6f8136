"""Metrics over epochs, over layers, and over both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._text import for_figure
from kernel_collapse.recording import History, Record
from kernel_collapse.report.style import sizes_palette, style

__all__ = ["METRICS", "heat_map", "over_epochs", "over_layers"]

#: NC1 to NC4, as they are drawn by default.
METRICS = ("nc1", "nc2_etf", "nc3", "nc4")
#: Metrics that are shares of samples, from 0 to 1.
SHARES = ("nc4", "nc4_classwise", "ncm_accuracy", "accuracy")
MARKERS = "osD^vPX*hd"


def over_epochs(history: History, *, metrics: Sequence[str] = METRICS, axes: Any = None) -> Any:
    """Draw metrics over epochs, with one panel per metric and one line per layer.

    Parameters
    ----------
    history : History
    metrics : sequence of str
        Fields of `kernel_collapse.Collapse` that are numbers.
    axes : sequence of matplotlib axes, optional
        One a metric; made by default.

    Returns
    -------
    ndarray of matplotlib axes
        One a metric.

    Raises
    ------
    ValueError
        If the history is empty, a metric is unknown, or there are not as many axes as metrics.
    """
    _filled(history)
    values = {metric: history.values(metric) for metric in metrics}
    with style():
        panels = _panels(axes, len(values))
        for panel, (metric, by_layer) in zip(panels, values.items(), strict=True):
            colours = sizes_palette(len(by_layer))
            for k, (layer, numbers) in enumerate(by_layer.items()):
                panel.plot(
                    history.epochs,
                    numbers,
                    color=colours[k],
                    marker=MARKERS[k % len(MARKERS)],
                    label=for_figure(layer),
                )
            _named(panel, metric, [n for numbers in by_layer.values() for n in numbers])
            panel.set_xlabel("epoch")
        panels[0].legend()
    return panels


def over_layers(record: Record, *, metrics: Sequence[str] = METRICS, axes: Any = None) -> Any:
    """Draw metrics over the layers of a record, with one panel per metric.

    Parameters
    ----------
    record : Record
    metrics, axes
        As for `over_epochs`.

    Returns
    -------
    ndarray of matplotlib axes
        One a metric.

    Raises
    ------
    ValueError
        As for `over_epochs`.
    """
    _validate.instance(record, Record, "record", "make one with kernel_collapse.torch.record or record")
    history = History()
    history.append(record, 0)
    values = {metric: [n for (n,) in history.values(metric).values()] for metric in metrics}
    with style():
        panels = _panels(axes, len(values))
        for panel, (metric, numbers) in zip(panels, values.items(), strict=True):
            panel.plot(range(len(record)), numbers, color=sizes_palette(1)[0], marker="o")
            panel.set_xticks(
                range(len(record)), [for_figure(layer) for layer in record], rotation=30, ha="right"
            )
            _named(panel, metric, numbers)
    return panels


def heat_map(history: History, *, metric: str = "nc1", axes: Any = None) -> Any:
    """Draw a metric of every layer (downwards) and epoch (to the right) as a colour.

    Parameters
    ----------
    history : History
    metric : str
        A field of `kernel_collapse.Collapse` that is a number. Where all are positive, colours are logarithmic.
    axes : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If the history is empty or the metric unknown.
    """
    from matplotlib.colors import LogNorm, Normalize

    _filled(history)
    values = history.values(metric)
    table = np.array(list(values.values()))
    seen = table[np.isfinite(table)]
    norm = (LogNorm if len(seen) and seen.min() > 0.0 else Normalize)(
        *((seen.min(), seen.max()) if len(seen) else (0.0, 1.0))
    )
    with style():
        (panel,) = _panels(None if axes is None else [axes], 1)
        panel.grid(False)
        mesh = panel.imshow(table, aspect="auto", norm=norm, cmap="viridis", interpolation="nearest")
        panel.set_yticks(range(len(values)), [for_figure(layer) for layer in values])
        panel.set_xticks(range(len(history)), [f"{epoch:g}" for epoch in history.epochs])
        panel.set_xlabel("epoch")
        panel.figure.colorbar(mesh, ax=panel, label=metric)
    return panel


def _filled(history: Any) -> None:
    _validate.instance(history, History, "history", "make one with kernel_collapse.torch.Callback")
    if not len(history):
        raise InputError("the history", "empty", "a record at least", "append one")


def _panels(axes: Any, count: int) -> Any:
    """Return as many axes as there are metrics."""
    import matplotlib.pyplot as plt

    if axes is None:
        return plt.subplots(1, count, figsize=(3.4 * count + 0.6, 3.0), squeeze=False)[1][0]
    given = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
    if len(given) != count:
        raise InputError("axes", f"{len(given)}", f"{count}, one a metric", "leave them out", verb="are")
    return given


def _named(panel: Any, metric: str, numbers: Sequence[float]) -> None:
    """Title a panel; what spans more than a factor of ten and is positive is logarithmic, unless it is a share."""
    panel.set_title(metric)
    finite = np.array([n for n in numbers if np.isfinite(n)])
    if metric in SHARES:
        panel.set_ylim(-0.03, 1.03)
    elif len(finite) and finite.min() > 0.0 and finite.max() > 10.0 * finite.min():
        panel.set_yscale("log")
    if not len(finite):
        panel.text(0.5, 0.5, "not a number here", ha="center", va="center", transform=panel.transAxes)
