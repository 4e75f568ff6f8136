"""NC1 against every factor, with the power laws fitted to its end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse.report.intervals import summarise
from kernel_collapse.report.parts import Figure
from kernel_collapse.report.plot import Axis, Legend, Line, Mark, Panel, Plot, Points, Text
from kernel_collapse.report.style import KERNEL_COLOURS, KERNEL_MARKERS, KERNEL_NAMES
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


def _draw(logs: pd.DataFrame, fitted: pd.DataFrame) -> Plot:
    panels = [_panel(factor, logs, fitted) for factor in FACTORS]
    legend = Legend(where="outside lower center", layout={"ncols": 1 + len(KERNELS)})
    return Plot(rows=[panels[:4], panels[4:]], size=(13, 6.4), legend=legend)


def _panel(factor: Factor, logs: pd.DataFrame, fitted: pd.DataFrame) -> Panel:
    mine = logs[logs["factor"] == factor.name]
    marks: list[Mark] = []
    exponents: list[tuple[str, str]] = []
    for kernel in ("nngp", *KERNELS):
        marks += _curve(kernel, mine[mine["kernel"] == kernel])
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
        marks.append(Line(means.index, 10**line, color="#222222", dashes="--", width=1, layer=5))
        exponents.append((_exponent(factor, power, low, high), KERNEL_COLOURS[kernel]))
    at = 0.97 if factor.corner == "right" else 0.03
    marks += [
        Text(text, at, 0.04 + 0.1 * i, align=factor.corner, color=colour, size=11)
        for i, (text, colour) in enumerate(reversed(exponents))
    ]
    return Panel(marks=marks, x=_x(factor), y=_y(len(exponents)), title=factor.title)


def _curve(kernel: str, part: pd.DataFrame) -> list[Mark]:
    """Return means over seeds with their band, and marks for trials that did not converge or failed."""
    colour, name = KERNEL_COLOURS[kernel], KERNEL_NAMES[kernel]
    look: dict[str, Any] = {"color": colour, "group": name}
    marks: list[Mark] = []
    good = part[part["ended"] == "converged"]
    if not good.empty:
        table = summarise(good, "log_nc1", ["value"]).fillna({"std": 0.0})
        middle, low, high = (10 ** (table["mean"] + sign * table["std"]) for sign in (0, -1, 1))
        style: dict[str, Any] = {"dashes": ":"} if kernel == "nngp" else {"marker": KERNEL_MARKERS[kernel]}
        marks.append(Line(table["value"], middle, low, high, band=0.15, name=name, **look, **style))
    doubtful = part[(part["ended"] != "converged") & part["log_nc1"].notna()]
    failed = part[part["log_nc1"].isna()]
    return [
        *marks,
        Points(doubtful["value"], 10 ** doubtful["log_nc1"], face="none", size=6, layer=4, **look),
        Points(
            failed["value"],
            np.full(len(failed), 0.97),
            marker="x",
            at_edge=True,
            size=6,
            edge=1.6,
            layer=1,
            **look,
        ),
    ]


def _exponent(factor: Factor, power: float, low: float, high: float) -> str:
    """Return a power law with the half width of its exponent's interval."""
    digits = digits_of(high - low)
    spread = rf"\pm{(high - low) / 2:.{digits}f}" if np.isfinite(high - low) else ""
    base = f"({factor.symbol})" if "^" in factor.symbol else factor.symbol
    return rf"${base}^{{\,{rounded(power, digits)}{spread}}}$"


def _x(factor: Factor) -> Axis:
    """Return the axis of a factor, with the end asked about on the right."""
    pad = (factor.values[-1] / factor.values[0]) ** 0.05
    few = min(factor.values) >= 0.5 and max(factor.values) < 1e3
    return Axis(
        label=f"${factor.symbol}$",
        scale="log",
        low=factor.values[0] / pad,
        high=factor.values[-1] * pad,
        ticks={value: f"{value:g}" for value in factor.values} if few else None,
        fine={},
    )


def _y(lines: int) -> Axis:
    """Return the axis of NC1, with room below for so many lines of text."""
    fine: dict[float, tuple[float, ...]] = {10: (1.0, 2.0, 3.0, 5.0), 30: (1.0, 3.0)}
    return Axis(label="NC1(H)", scale="log", room=0.11 * lines, fine=fine)
