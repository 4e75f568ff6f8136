"""NC1 by depth in every phase, and how it nears its end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse import activations
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure
from kernel_collapse.report.plot import Axis, Legend, Level, Line, Mark, Panel, Plot, at, means
from kernel_collapse.report.style import KERNEL_COLOURS
from kernel_collapse_paper.experiments.depth._grid import (
    DIM,
    KERNELS,
    LAWS,
    RATE_DEPTHS,
    of_setting,
    settings_in,
)
from kernel_collapse_paper.experiments.depth._settings import SETTINGS, Setting
from kernel_collapse_paper.experiments.looks import of_kernel


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


def _draw(rows: pd.DataFrame) -> Plot:
    settings, names = settings_in(rows), [label for label in LAWS if label in set(rows["data"])]
    shown = [d for d in (1, 2, 4, 8, 16, 32, 50) if rows["depth"].min() <= d <= rows["depth"].max()]
    x = at([d for d in shown if d != 32 or 50 not in shown], "depth (hidden layers)")
    grid = [
        [
            Panel(
                marks=_by_depth(of_setting(rows[rows["data"] == name], setting)),
                x=x,
                y=Axis(label=f"{name}\n" + r"$\log_{10}$ NC1", logarithms=True),
                title=_heading(setting) if name == names[0] else "",
            )
            for setting in settings
        ]
        for name in names
    ]
    keys = (
        Level(0, color="#444444", dashes="--", width=1.3, name="predicted limit"),
        Level(0, color=KERNEL_COLOURS["data"], dashes=":", width=1.2, name="data themselves"),
    )
    legend = Legend(where="outside lower center", keys=keys, layout={"ncols": 4})
    return Plot(rows=grid, size=(12.5, 5.6), share_x="all", share_y="all", legend=legend)


def _by_depth(rows: pd.DataFrame) -> list[Mark]:
    """Return NC1 of both kernels by depth, their predicted limits, and NC1 of the data themselves."""
    marks: list[Mark] = []
    for kernel in KERNELS:
        chosen, look = rows[rows["kernel"] == kernel], of_kernel(kernel)
        marks.append(means(intervals.summarise(chosen, "log_nc1", ["depth"]), "depth", **look))
        limit = chosen.drop_duplicates("seed")["limit"].mean()
        if np.isfinite(limit):
            offset = 0 if kernel == "nngp" else 4  # where both limits are one, both dashes are seen
            dashes = (offset, (4, 4))
            marks.append(Level(limit, color=look["color"], group=look["name"], width=1.3, dashes=dashes))
    of_data = rows["log_nc1_data"].mean()
    return [
        *marks,
        Level(of_data, color=KERNEL_COLOURS["data"], group="data themselves", width=1.2, dashes=":"),
    ]


def _heading(setting: Setting) -> str:
    variances = rf"$\sigma_w^2$={setting.weight_variance:.3g}, $\sigma_b^2$={setting.bias_variance:.3g}"
    return f"{setting.label}\n{variances}\n" + rf"$\chi$={setting.point.slope:.3f}"


COLOURS = ("#0072B2", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#E69F00")
MARKERS = ("o", "^", "s", "v", "D", "P")
#: Of lines that the theory foretells.
FORETOLD: dict[str, Any] = {"dashes": ":", "width": 2.4}
DEPTH = Axis(label="depth (hidden layers)")


def _draw_rates(rows: pd.DataFrame) -> Plot:
    of_nngp = rows[rows["kernel"] == "nngp"]
    panels = [_maps(), _decay(of_nngp), _linear(of_setting(of_nngp, SETTINGS[1]))]
    return Plot(rows=[panels], size=(12.5, 3.9))


def _maps() -> Panel:
    """Return the correlation maps beside the diagonal."""
    correlations = np.linspace(0.0, 1.0, 201)
    marks = [
        Line(
            correlations,
            correlation_map(setting, correlations),
            color=colour,
            dashes="-" if setting.activation == "erf" else "--",
            name=setting.label,
        )
        for setting, colour in zip(SETTINGS, COLOURS, strict=True)
        if setting.point.phase != "unbounded"
    ]
    return Panel(
        marks=[*marks, Line([0, 1], [0, 1], color="#999999", width=0.9)],
        x=Axis(label="correlation c"),
        y=Axis(label="R(c) one layer on"),
        legend=Legend(where="upper left", layout={"fontsize": 8}),
        square=True,
    )


def _decay(rows: pd.DataFrame) -> Panel:
    """Return how far 1/NC1 is from its end by depth, beside lines that fall by the predicted rate."""
    marks = []
    for setting, colour, marker in zip(SETTINGS, COLOURS, MARKERS, strict=True):
        table = _distances(of_setting(rows, setting), setting)
        if setting.rate < 1.0 and len(table):
            mean = table.groupby("depth")["distance"].agg(lambda v: np.exp(np.mean(np.log(v))))
            start = max(d for d in mean.index if d <= RATE_DEPTHS[0])
            depths = np.arange(start, mean.index.max() + 1)
            rate = mean[start] * setting.rate ** (depths - start)
            marks += [
                Line(mean.index, mean, color=colour, marker=marker, name=setting.label),
                Line(depths, rate, color=colour, group=setting.label, **FORETOLD),
            ]
    key = Line([], [], color="#444444", name="predicted rate", **FORETOLD)
    return Panel(
        marks=marks,
        x=DEPTH,
        y=Axis(label=r"|1/NC1 $-$ 1/NC1$_\infty$|  of the NNGP", scale="log"),
        legend=Legend(where="lower left", keys=(key,), layout={"fontsize": 8}),
    )


def _linear(rows: pd.DataFrame) -> Panel:
    """Return NC1 at criticality by depth, beside a straight line."""
    table = intervals.summarise(rows, "nc1_paper", ["depth"])
    marks = [means(table, "depth", color=COLOURS[1], marker=MARKERS[1], name="NNGP, measured")]
    mean = table.set_index("depth")["mean"]
    first, last = mean.index.asof(RATE_DEPTHS[0]), mean.index.asof(RATE_DEPTHS[-1])
    if last > first:
        slope = (mean[last] - mean[first]) / (last - first)
        depths = np.array([0.0, float(mean.index.max())])
        line = mean[first] + slope * (depths - first)
        marks.append(Line(depths, line, color="#444444", name="straight line", **FORETOLD))
    return Panel(
        marks=marks,
        x=DEPTH,
        y=Axis(label=f"NC1  ({SETTINGS[1].label})"),
        legend=Legend(where="upper left", layout={"fontsize": 8}),
    )


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
