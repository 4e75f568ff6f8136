"""NC1 by depth in every phase, and how it nears its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kernel_collapse import activations
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure
from kernel_collapse.report.style import KERNEL_COLOURS, KERNEL_MARKERS, KERNEL_NAMES, band, style
from kernel_collapse_paper.experiments.depth._grid import (
    DIM,
    KERNELS,
    LAWS,
    RATE_DEPTHS,
    of_setting,
    settings_in,
)
from kernel_collapse_paper.experiments.depth._settings import SETTINGS, Setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 against depth in every phase, and how it nears its end beside the rates of the theory."""
    about = (
        f"n = {rows['n'].max()} samples of two classes in {DIM} dimensions, {rows['seed'].nunique()} seeds; "
        f"mean and one standard deviation"
    )
    return [
        Figure(
            "depth-panels",
            "NC1 against depth, a column a prior. Dashed: predicted limits; the NNGP of the ordered phase has none, "
            f"and that of its NTK comes from the NNGP at depth {rows['depth'].max()}. Dotted: of the data themselves. "
            f"{about[0].upper()}{about[1:]}.",
            _draw(rows),
        ),
        Figure(
            "depth-rates",
            "Left: correlation maps R(c) at the fixed point of the variance; above the diagonal they draw correlations "
            "to 1. Middle: how far 1/NC1 of the NNGP is from its end (ordered: from its value at depth "
            f"{rows['depth'].max()}, which bends the last points down), and lines that fall by the predicted "
            "rate a layer. Right: at criticality NC1 of "
            f"erf grows linearly with depth; the line is through depths {RATE_DEPTHS[0]} and {RATE_DEPTHS[-1]}. Two "
            f"Gaussians, {about}.",
            _draw_rates(rows[rows["data"] == "two Gaussians"]),
        ),
    ]


def _draw(rows: pd.DataFrame) -> MatplotlibFigure:
    from matplotlib.figure import Figure

    settings, names = settings_in(rows), [label for label in LAWS if label in set(rows["data"])]
    with style():
        figure = Figure(figsize=(12.5, 5.6))
        grid = figure.subplots(len(names), len(settings), sharex=True, sharey=True, squeeze=False)
        for panels, name in zip(grid, names, strict=True):
            for axes, setting in zip(panels, settings, strict=True):
                of = of_setting(rows[rows["data"] == name], setting)
                for kernel in KERNELS:
                    chosen = of[of["kernel"] == kernel]
                    colour = KERNEL_COLOURS[kernel]
                    line = {
                        "color": colour,
                        "marker": KERNEL_MARKERS[kernel],
                        "label": KERNEL_NAMES[kernel],
                    }
                    band(axes, intervals.summarise(chosen, "log_nc1", ["depth"]), "depth", **line)
                    limit = chosen.drop_duplicates("seed")["limit"].mean()
                    if np.isfinite(limit):
                        offset = (
                            0 if kernel == "nngp" else 4
                        )  # where both limits are one, both dashes are seen
                        axes.axhline(limit, color=colour, linewidth=1.3, linestyle=(offset, (4, 4)))
                of_data = of["log_nc1_data"].mean()
                axes.axhline(of_data, color=KERNEL_COLOURS["data"], linewidth=1.2, linestyle=":")
                _depth_axis(axes, rows)
        for axes, setting in zip(grid[0], settings, strict=True):
            axes.set_title(_heading(setting))
        for axes in grid[-1]:
            axes.set_xlabel("depth (hidden layers)")
        for axes, name in zip(grid[:, 0], names, strict=True):
            axes.set_ylabel(f"{name}\n" + r"$\log_{10}$ NC1")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        from matplotlib.lines import Line2D

        handles += [
            Line2D([], [], color="#444444", linestyle="--", linewidth=1.3),
            Line2D([], [], color=KERNEL_COLOURS["data"], linestyle=":", linewidth=1.2),
        ]
        figure.legend(
            handles, [*labels, "predicted limit", "data themselves"], loc="outside lower center", ncols=4
        )
    return figure


def _heading(setting: Setting) -> str:
    variances = rf"$\sigma_w^2$={setting.weight_variance:.3g}, $\sigma_b^2$={setting.bias_variance:.3g}"
    return f"{setting.label}\n{variances}\n" + rf"$\chi$={setting.point.slope:.3f}"


def _depth_axis(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_xscale("log", base=2)
    shown = [d for d in (1, 2, 4, 8, 16, 32, 50) if rows["depth"].min() <= d <= rows["depth"].max()]
    shown = [d for d in shown if d != 32 or 50 not in shown]
    axes.set_xticks(shown, [str(d) for d in shown])
    axes.minorticks_off()


def _draw_rates(rows: pd.DataFrame) -> MatplotlibFigure:
    from matplotlib.figure import Figure

    colours = ("#0072B2", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#E69F00")
    markers = ("o", "^", "s", "v", "D", "P")
    of_nngp = rows[rows["kernel"] == "nngp"]
    with style():
        figure = Figure(figsize=(12.5, 3.9))
        maps, decay, linear = figure.subplots(1, 3)
        correlations = np.linspace(0.0, 1.0, 201)
        for setting, colour, marker in zip(SETTINGS, colours, markers, strict=True):
            if setting.point.phase != "unbounded":
                dashes = "-" if setting.activation == "erf" else "--"
                maps.plot(
                    correlations,
                    correlation_map(setting, correlations),
                    color=colour,
                    linestyle=dashes,
                    label=setting.label,
                )
            table = _distances(of_setting(of_nngp, setting), setting)
            if setting.rate < 1.0 and len(table):
                mean = table.groupby("depth")["distance"].agg(lambda v: np.exp(np.mean(np.log(v))))
                decay.plot(mean.index, mean, color=colour, marker=marker, label=setting.label)
                start = max(d for d in mean.index if d <= RATE_DEPTHS[0])
                depths = np.arange(start, mean.index.max() + 1)
                decay.plot(
                    depths,
                    mean[start] * setting.rate ** (depths - start),
                    color=colour,
                    linestyle=":",
                    linewidth=2.4,
                )
        maps.plot([0, 1], [0, 1], color="#999999", linewidth=0.9)
        maps.set(xlabel="correlation c", ylabel="R(c) one layer on", aspect="equal")
        maps.legend(loc="upper left", fontsize=8)
        decay.set_yscale("log")
        decay.plot([], [], color="#444444", linestyle=":", linewidth=2.4, label="predicted rate")
        decay.set(xlabel="depth (hidden layers)", ylabel=r"|1/NC1 $-$ 1/NC1$_\infty$|  of the NNGP")
        decay.legend(loc="lower left", fontsize=8)
        critical = of_setting(of_nngp, SETTINGS[1])
        table = intervals.summarise(critical, "nc1_paper", ["depth"])
        band(linear, table, "depth", color=colours[1], marker=markers[1], label="NNGP, measured")
        mean = table.set_index("depth")["mean"]
        first, last = mean.index.asof(RATE_DEPTHS[0]), mean.index.asof(RATE_DEPTHS[-1])
        if last > first:
            slope = (mean[last] - mean[first]) / (last - first)
            depths = np.array([0.0, float(mean.index.max())])
            linear.plot(
                depths,
                mean[first] + slope * (depths - first),
                color="#444444",
                linestyle=":",
                linewidth=2.4,
                label="straight line",
            )
        linear.set(xlabel="depth (hidden layers)", ylabel=f"NC1  ({SETTINGS[1].label})")
        linear.legend(loc="upper left", fontsize=8)
    return figure


def correlation_map(setting: Setting, correlations: Any) -> Any:
    """Return R(c) at the fixed point of the variance."""
    activation, weight, bias = setting
    q = np.full_like(correlations, setting.point.variance)
    return (weight * activations.get(activation).kappa(q, q, correlations * q) + bias) / q


def _distances(rows: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """Return how far 1/NC1 is from its end by depth and seed: from the limit, or if there is none the deepest value."""
    inverse = 1.0 / rows["nc1_paper"]
    if setting.point.phase == "ordered":
        deepest = rows["depth"].max()
        last = rows.assign(end=inverse)[rows["depth"] == deepest][["seed", "end"]]
        rows = rows[rows["depth"] < deepest].merge(last, on="seed")
    else:
        rows = rows.assign(end=10 ** -rows["limit"])
    table = rows.assign(distance=(1.0 / rows["nc1_paper"] - rows["end"]).abs())
    return table.loc[table["distance"] > 0, ["seed", "depth", "distance"]]
