"""NC1 of the adaptive kernel against the width of the network, down from the NNGP at infinite width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kernel_collapse.report.intervals import half_width, summarise, together
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.style import KERNEL_COLOURS, sizes_palette, style
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import AdaptiveNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import adaptive_kernel

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

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


def _draw(falls: pd.DataFrame) -> MatplotlibFigure:
    from matplotlib.figure import Figure

    dims = sorted(falls["dim"].unique())
    with style():
        figure = Figure(figsize=(9, 3.6))
        left, right = figure.subplots(1, 2)
        for dim, colour in zip(dims, sizes_palette(len(dims)), strict=True):
            part = falls[falls["dim"] == dim]
            for axes, column in ((left, "nc1_paper"), (right, "fall")):
                table = summarise(part, column, ["width"])
                axes.plot(table["width"], table["mean"], marker="o", color=colour, label=f"d = {dim}")
                low = (table["mean"] - table["std"]).clip(lower=table["mean"] * 0.05)
                axes.fill_between(
                    table["width"], low, table["mean"] + table["std"], color=colour, alpha=0.18, linewidth=0
                )
            left.axhline(part["nc1_paper_nngp"].mean(), color=colour, linestyle=":", linewidth=1)
        widths = np.array(LINEAR)
        middle = summarise(falls[falls["width"] == LINEAR[0]], "fall", ["dim"])["mean"].median()
        right.plot(widths, 2.0 * middle * widths[0] / widths, color=KERNEL_COLOURS["data"], linestyle=":")
        for axes, label in ((left, "NC1(H)"), (right, "1 − NC1(H) / NC1(NNGP)")):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("width")
            axes.set_ylabel(label)
        left.legend()
    return figure


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
    table = table.assign(verdict=np.select([inside, outside], ["holds", "fails"], "undecided"))
    held, total = int(inside.sum()), len(table)
    status = (
        "holds"
        if held == total
        else "holds in part"
        if held
        else "does not hold"
        if outside.any()
        else "undecided"
    )
    answer = f"In {held} of {total} dimensions; slopes from {table['slope'].min():.3f} to {table['slope'].max():.3f}."
    return [Verdict(claim, status, answer.replace("-", "−"), test, table)]


EXPERIMENT = Experiment(
    name="adaptive-width",
    title="Adaptive kernel against width",
    question="How does the adaptive kernel's collapse grow as the network narrows, and is the NNGP its limit?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
