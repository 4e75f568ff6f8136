"""NC1 against every factor, with the power laws fitted to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kernel_collapse.report.intervals import summarise
from kernel_collapse.report.parts import Figure
from kernel_collapse.report.style import KERNEL_COLOURS, KERNEL_MARKERS, KERNEL_NAMES, style
from kernel_collapse_paper.experiments.collapse_limits._fits import (
    ENDS,
    Curves,
    converged,
    digits_of,
    rounded,
    usable,
)
from kernel_collapse_paper.experiments.collapse_limits._grid import (
    CROWDED,
    DIM,
    FACTORS,
    KERNELS,
    PRIOR,
    SPREAD,
    Factor,
    N,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

#: A power law is drawn where the means lie this near to it, in decades.
STRAIGHT = 0.05


def figures(curves: Curves) -> list[Figure]:
    """Draw NC1 against every factor, with the power laws fitted to its end."""
    logs = curves.logs
    return [
        Figure(
            "collapse-limits",
            f"Two Gaussian classes, erf. Where not varied: n = {N}, d = {DIM}, separation 4 in every coordinate, width "
            f"N = {PRIOR['width']:g}, readout variance 1/128, noise variance {PRIOR['noise_variance']:g}. Mean and one "
            f"standard deviation of log10 NC1 over {_seeds(logs)} seeds; dotted: the NNGP; dashed: power law "
            f"fitted to the last {ENDS} values (where they are straight), with its exponent and 95 % interval (all "
            "curves together). The end asked about is on the right. Overlapping classes, whose means are one standard "
            "deviation from the middle "
            "between them: "
            f"n = {CROWDED[0]}, d = {CROWDED[1]}, and n = {SPREAD[0]}, d = {SPREAD[1]}. "
            "Open marks: the solver did not certify its solution; crosses at the upper "
            "edge: trials that failed. Widths below 1 are no network's: 1/N is how strongly the data act.",
            _draw(logs, curves.fitted),
        )
    ]


def _seeds(logs: pd.DataFrame) -> str:
    counts = logs[logs["kernel"].isin(KERNELS)].groupby("kernel")["seed"].nunique()
    return " and ".join(f"{count} ({KERNEL_NAMES[kernel]})" for kernel, count in counts.items())


def _draw(logs: pd.DataFrame, fitted: pd.DataFrame) -> MatplotlibFigure:
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(13, 6.4))
        grid = figure.subplots(2, 4)
        for factor, axes in zip(FACTORS, grid.flat, strict=True):
            _draw_factor(axes, factor, logs, fitted)
        for axes in grid[:, 0]:
            axes.set_ylabel("NC1(H)")
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _draw_factor(axes: Axes, factor: Factor, logs: pd.DataFrame, fitted: pd.DataFrame) -> None:
    mine = logs[logs["factor"] == factor.name]
    texts = []
    for kernel in ("nngp", *KERNELS):
        colour = KERNEL_COLOURS[kernel]
        part = mine[mine["kernel"] == kernel]
        good = part[part["ended"] == "converged"]
        if not good.empty:
            table = summarise(good, "log_nc1", ["value"]).fillna({"std": 0.0})
            marker: dict[str, Any] = (
                {"linestyle": ":"} if kernel == "nngp" else {"marker": KERNEL_MARKERS[kernel]}
            )
            axes.plot(table["value"], 10 ** table["mean"], color=colour, label=KERNEL_NAMES[kernel], **marker)
            low, high = (10 ** (table["mean"] + sign * table["std"]) for sign in (-1, 1))
            axes.fill_between(table["value"], low, high, color=colour, alpha=0.15, linewidth=0)
        doubtful = part[(part["ended"] != "converged") & part["log_nc1"].notna()]
        axes.scatter(
            doubtful["value"], 10 ** doubtful["log_nc1"], facecolors="none", edgecolors=colour, zorder=4
        )
        failed = part[part["log_nc1"].isna()]
        axes.scatter(
            failed["value"],
            np.full(len(failed), 0.97),
            marker="x",
            color=colour,
            transform=axes.get_xaxis_transform(),
        )
        fit = fitted[(fitted["factor"] == factor.name) & (fitted["kernel"] == kernel)]
        means = usable(converged(logs, factor, kernel)).iloc[-ENDS:].mean(axis=1)
        if fit.empty or len(means) < 2:
            continue
        power, low, high = fit.iloc[0][
            ["slope at the end", "slope at the end, low", "slope at the end, high"]
        ]
        logs_of_x = np.log10(means.index.to_numpy())
        line = means.mean() + power * (logs_of_x - logs_of_x.mean())
        if np.abs(line - means).max() > STRAIGHT:
            continue
        axes.plot(means.index, 10**line, color="#222222", linestyle="--", linewidth=1, zorder=5)
        digits = digits_of(high - low)
        spread = rf"\pm{(high - low) / 2:.{digits}f}" if np.isfinite(high - low) else ""
        base = f"({factor.symbol})" if "^" in factor.symbol else factor.symbol
        texts.append((rf"${base}^{{\,{rounded(power, digits)}{spread}}}$", colour))
    axes.set_xscale("log")
    axes.set_yscale("log")
    pad = (factor.values[-1] / factor.values[0]) ** 0.05
    axes.set_xlim(
        factor.values[0] / pad, factor.values[-1] * pad
    )  # so that the end asked about is on the right
    axes.set_title(factor.title)
    axes.set_xlabel(f"${factor.symbol}$")
    _ticks(axes, factor, len(texts))
    for i, (text, colour) in enumerate(reversed(texts)):
        where = (0.97 if factor.corner == "right" else 0.03, 0.04 + 0.1 * i)
        axes.annotate(text, where, xycoords="axes fraction", ha=factor.corner, color=colour, fontsize=11)


def _ticks(axes: Axes, factor: Factor, lines: int) -> None:
    """Put ticks at powers of ten, and beside them where an axis spans few of those."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.xaxis.set_minor_formatter(NullFormatter())
    if min(factor.values) >= 0.5 and max(factor.values) < 1e3:
        axes.set_xticks(list(factor.values), [f"{value:g}" for value in factor.values])
        axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    if lines:  # room for the text
        low *= (low / high) ** (0.11 * lines)
        axes.set_ylim(low, high)
    axes.yaxis.set_minor_formatter(NullFormatter())
    if high / low < 30:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0) if high / low < 10 else (1.0, 3.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
