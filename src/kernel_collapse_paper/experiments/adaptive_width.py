"""NC1 of the adaptive kernel against the width of the network, down from the NNGP at infinite width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from kernel_collapse.report.intervals import half_width, summarise, together
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Level, Line, Mark, Panel, Plot
from kernel_collapse.report.style import KERNEL_COLOURS, sizes_palette
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import AdaptiveNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import adaptive_kernel

#: Size, dimensions, repeats.
GRIDS: dict[Preset, tuple[int, tuple[int, ...], int]] = {
    "quick": (128, (2, 32), 3),
    "paper": (256, (1, 2, 8, 32, 128), 10),
}
WIDTHS = (10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6)
#: Where the fall is small enough to be linear in 1/width, and large enough beside the tolerance of the solver.
LINEAR = (3e4, 1e6)
SLOPE, MARGIN = -1.0, 0.1


def trials(preset: Preset) -> list[Trial]:
    """Return D1 in some dimensions at every width."""
    n, dims, repeats = GRIDS[preset]
    laws = [GaussianClasses(n=n, dim=dim) for dim in dims]
    return adaptive_kernel.trials_of(laws, repeats, [AdaptiveNC1(width=width) for width in WIDTHS])


def _falls(rows: pd.DataFrame) -> pd.DataFrame:
    """Return 1 - NC1 / NC1(NNGP) of each width, dimension and seed."""
    done = rows[rows["status"] == "ok"]
    on = ["n", "dim", "seed"]
    nngp = done.loc[done["kernel"] == "nngp", [*on, "nc1_paper"]]
    falls = done[done["kernel"] == "adaptive"].merge(nngp, on=on, suffixes=("", "_nngp"))
    return falls.assign(fall=1.0 - falls["nc1_paper"] / falls["nc1_paper_nngp"])


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 and its fall below the NNGP against the width."""
    falls = _falls(rows)
    return [
        Figure(
            "width-adaptive-D1",
            f"D1, N = {falls['n'].max()}, erf: NC1 of the adaptive kernel against the width (left; dotted: the NNGP), "
            "and its relative fall below the NNGP (right; dotted: slope −1). Mean and one standard deviation over "
            f"{falls['seed'].nunique()} seeds.",
            _draw(falls),
        )
    ]


def _draw(falls: pd.DataFrame) -> Plot:
    dims = sorted(falls["dim"].unique())
    colours = dict(zip(dims, sizes_palette(len(dims)), strict=True))
    panels = []
    for column, label in (("nc1_paper", "NC1(H)"), ("fall", "1 − NC1(H) / NC1(NNGP)")):
        marks: list[Mark] = []
        for dim, colour in colours.items():
            part = falls[falls["dim"] == dim]
            table = summarise(part, column, ["width"])
            low = (table["mean"] - table["std"]).clip(lower=table["mean"] * 0.05)
            high = table["mean"] + table["std"]
            look = {"color": colour, "group": f"d = {dim}"}
            marks.append(
                Line(table["width"], table["mean"], low, high, marker="o", name=f"d = {dim}", **look)
            )
            if column == "nc1_paper":
                marks.append(Level(part["nc1_paper_nngp"].mean(), dashes=":", width=1, **look))
        panels.append(
            Panel(
                marks=marks,
                x=Axis(label="width", scale="log"),
                y=Axis(label=label, scale="log"),
                legend=Legend() if column == "nc1_paper" else None,
            )
        )
    widths = np.array(LINEAR)
    middle = summarise(falls[falls["width"] == LINEAR[0]], "fall", ["dim"])["mean"].median()
    slope = Line(widths, 2.0 * middle * widths[0] / widths, color=KERNEL_COLOURS["data"], dashes=":")
    left, right = panels
    return Plot(rows=[[left, replace(right, marks=[*right.marks, slope])]], size=(9, 3.6))


def _slopes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the log-log slope of the fall against the width, for each dimension, with its interval over seeds."""
    falls = _falls(rows)
    falls = falls[(falls["width"] >= LINEAR[0]) & (falls["width"] <= LINEAR[1]) & (falls["fall"] > 0)]
    fits = [
        (dim, np.polyfit(np.log(part["width"]), np.log(part["fall"]), 1)[0])
        for (dim, _), part in falls.groupby(["dim", "seed"])
        if len(part) >= 3
    ]
    groups = pd.DataFrame(fits, columns=["dim", "slope"]).groupby("dim")["slope"]
    table = groups.agg(slope="mean", seeds="size", std="std").reset_index()
    half = half_width(table["std"], table["seeds"], together(len(table)))
    return table.assign(low=table["slope"] - half, high=table["slope"] + half).drop(columns="std")


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate the certificates."""
    return [adaptive_kernel.certificates(rows, ["dim", "width"])]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether the NNGP is reached at infinite width, as 1/width."""
    claim = "The adaptive kernel reproduces the NNGP at infinite width: NC1 approaches it as 1/width (slope -1 to 0.1)."
    test = (
        f"Slope of log(1 - NC1/NC1(NNGP)) against log(width) from {LINEAR[0]:g} to {LINEAR[1]:g}, fitted seed by seed; "
        "its mean over seeds has a t interval, and those of all dimensions hold together with 95 % confidence."
    )
    table = _slopes(rows)
    if table.empty:
        return [Verdict(claim, "undecided", "Too few finished trials to fit a slope.", test, table)]
    inside = (table["low"] > SLOPE - MARGIN) & (table["high"] < SLOPE + MARGIN)
    outside = (table["low"] > SLOPE + MARGIN) | (table["high"] < SLOPE - MARGIN)
    table = table.assign(
        cell=[f"d={dim}" for dim in table["dim"]],
        verdict=np.select([inside, outside], ["holds", "fails"], "undecided"),
    )
    held, total = int(inside.sum()), len(table)
    answer = f"In {held} of {total} dimensions; slopes from {table['slope'].min():.3f} to {table['slope'].max():.3f}."
    return [Verdict.of_cells(claim, answer.replace("-", "−"), test, table)]


EXPERIMENT = Experiment(
    name="adaptive-width",
    title="Adaptive kernel against width",
    question="How does the adaptive kernel's collapse grow as the network narrows, and is the NNGP its limit?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
