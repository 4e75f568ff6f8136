"""Whether the order of kernels and activations on Gaussian classes holds on data of other laws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Level, Mark, Panel, Plot, Points, Span
from kernel_collapse.report.style import ACTIVATION_NAMES, KERNEL_NAMES, sizes_palette
from kernel_collapse.runs import laws
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import KernelNC1
from kernel_collapse.runs.trials import Trial
from kernel_collapse_paper.experiments import limiting_kernels, topics
from kernel_collapse_paper.experiments.conclusions import exceptions
from kernel_collapse_paper.experiments.logs import of_depths


class Choice(NamedTuple):
    """A law with options, and whether its class means differ."""

    law: type[Any]
    options: dict[str, Any]
    apart: bool = True
    noise: float = 0.0


#: Laws by the name they have in figures: clusters first, then those whose class means coincide.
LAWS: dict[str, Choice] = {
    "Gaussian": Choice(laws.Gaussian, {}),
    "Laplace": Choice(laws.Laplace, {}),
    "contaminated": Choice(laws.Contaminated, {}),
    "Student t(3)": Choice(laws.StudentT, {"df": 3.0}),
    "Student t(1.5)": Choice(laws.StudentT, {"df": 1.5}),
    "skewed one way": Choice(laws.Skewed, {"mirrored": False}),
    "skewed facing": Choice(laws.Skewed, {"mirrored": True}),
    "ball": Choice(laws.Ball, {}),
    "shell": Choice(laws.Shell, {}),
    "plane": Choice(laws.Subspace, {}),
    "tree of 4": Choice(laws.Tree, {}),
    "spirals": Choice(laws.Manifolds, {"shape": "spiral"}),
    "10 % label noise": Choice(laws.Gaussian, {}, noise=0.1),
    "circles": Choice(laws.Manifolds, {"shape": "circles"}, apart=False),
    "spheres": Choice(laws.Spheres, {}, apart=False),
    "checkerboard": Choice(laws.Checkerboard, {}, apart=False),
    "XOR": Choice(laws.XOR, {}, apart=False),
}
#: Samples, dimensions, separations, depths, seeds.
GRIDS: dict[Preset, tuple[int, tuple[int, ...], tuple[float, ...], tuple[int, ...], int]] = {
    "quick": (64, (2, 32), (1.0, 4.0), (1, 3), 8),
    "paper": (512, (2, 8, 32), (1.0, 4.0), (1, 2, 3), 10),
}
KERNELS = tuple((activation, kernel) for activation in ("erf", "relu") for kernel in ("nngp", "ntk"))
CELLS = ["data", "separation", "dim", "depth"]


class Claim(NamedTuple):
    """An order of two kernels, in figures and tables."""

    name: str
    words: str
    gap: str
    column: str
    first: str
    second: str
    other: str


CLAIMS = (
    Claim(
        "ntk-nngp",
        "log10 NC1(NTK) − log10 NC1(NNGP)",
        r"$\log_{10}$ NC1(NTK) $-$ $\log_{10}$ NC1(NNGP)",
        "kernel",
        "nngp",
        "ntk",
        "activation",
    ),
    Claim(
        "relu-erf",
        "log10 NC1(ReLU) − log10 NC1(erf)",
        r"$\log_{10}$ NC1(ReLU) $-$ $\log_{10}$ NC1(erf)",
        "activation",
        "erf",
        "relu",
        "kernel",
    ),
)


def _law(label: str, n: int, dim: int, separation: float) -> Any:
    choice = LAWS[label]
    law: Any = choice.law.model_validate({"n": n, "dim": dim, "separation": separation, **choice.options})
    return laws.LabelNoise(base=law, fraction=choice.noise) if choice.noise else law


def trials(preset: Preset) -> list[Trial]:
    """Return NNGP and NTK of erf and ReLU at every depth on every law."""
    n, dims, separations, depths, seeds = GRIDS[preset]
    measurements = [
        KernelNC1(kernel="data"),
        *(KernelNC1(kernel=k, activation=a, depth=depth) for a, k in KERNELS for depth in depths),  # type: ignore[arg-type]
    ]
    return [
        Trial(data=_law(label, n, dim, separation), measurement=m, seed=seed)
        for label in LAWS
        for separation in separations
        for dim in dims
        for seed in range(seeds)
        for m in measurements
    ]


def _prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of kernels, with the law's name in figures in the place of its specification's."""
    rows = of_depths(rows)
    labels = np.select([_is_of(rows, choice) for choice in LAWS.values()], list(LAWS), default="")
    separations = rows["data_separation"].fillna(
        rows["data_base_separation"]
    )  # of label noise: that of its base
    rows = rows.assign(data=labels, separation=separations)
    order = list(LAWS)
    return rows.sort_values("data", key=lambda names: names.map(order.index), kind="stable")


def _is_of(rows: pd.DataFrame, choice: Choice) -> pd.Series[bool]:
    """Return which rows are of a law with its options."""
    column = "data_base_law" if choice.noise else "data_law"
    found = rows[column] == choice.law.of.law
    for option, value in choice.options.items():
        found &= rows[f"data_{option}"] == value
    return found


def _gaps(rows: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Return the gap of each cell with its simultaneous interval, and what that says of the order."""
    first, second = (rows[rows[claim.column] == value] for value in (claim.first, claim.second))
    table = intervals.paired(first, second, "log_nc1", [claim.other, *CELLS])
    tie = np.maximum(table["low"].abs(), table["high"].abs()) < intervals.TIE
    says = np.select(
        [tie, table["low"] > 0, table["high"] < 0], ["tie", "holds", "reversed"], default="undecided"
    )
    return table.assign(says=says)


# -- figures


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw each gap on every law, with its interval; reversals are ringed."""
    found = []
    for claim in CLAIMS:
        table = _gaps(rows, claim)
        counts = table["says"].value_counts()
        caption = (
            f"Gap {claim.words} on each law, mean over {rows['seed'].nunique()} seeds with intervals that hold "
            f"together with {intervals.CONFIDENCE:.0%} confidence, cut at the frame (n = {rows['n'].max()}, weight "
            "variance 1, no bias). Right of the line the order of Gaussian classes holds. Of "
            f"{len(table)} cells it holds in {counts.get('holds', 0)}, ties in {counts.get('tie', 0)}, is undecided in "
            f"{counts.get('undecided', 0)} (hollow) and reversed in {counts.get('reversed', 0)} (ringed). Below the "
            "rule, laws whose class means coincide."
        )
        found.append(Figure(f"beyond-gaussian-{claim.name}", caption, _draw(table, claim)))
    return found


def _positions(table: pd.DataFrame) -> dict[str, float]:
    """Return the height of each law in a figure, from above."""
    present = [label for label in LAWS if label in set(table["data"])]
    gap = 0.6
    return {label: -i - (0.0 if LAWS[label].apart else gap) for i, label in enumerate(present)}


def _draw(table: pd.DataFrame, claim: Claim) -> Plot:
    heights = _positions(table)
    dims, depths = sorted(table["dim"].unique()), sorted(table["depth"].unique())
    colours = dict(zip(dims, sizes_palette(len(dims)), strict=True))
    markers = dict(zip(depths, "osD^v"[: len(depths)], strict=True))
    slots: dict[tuple[int, int], dict[str, Any]] = {
        (dim, depth): {"color": colours[dim], "marker": markers[depth], "group": f"d = {dim}, depth {depth}"}
        for dim in dims
        for depth in depths
    }
    least, most = table["difference"].min(), table["difference"].max()
    margin = 0.12 * max(most - least, 0.1)
    x = Axis(low=min(least, 0.0) - margin, high=max(most, 0.0) + margin, logarithms=True)
    y = Axis(
        low=min(heights.values()) - 0.6,
        high=max(heights.values()) + 0.6,
        ticks={height: label for label, height in heights.items()},
        rows=True,
        grid=False,
        tick_marks=False,
    )
    names = KERNEL_NAMES if claim.other == "kernel" else ACTIVATION_NAMES
    panels = []
    for (other, separation), of in table.groupby([claim.other, "separation"]):
        marks: list[Mark] = []
        for number, ((dim, depth), look) in enumerate(slots.items()):
            offset = 0.32 - 0.64 * number / max(len(slots) - 1, 1)
            marks += _dots(of[(of["dim"] == dim) & (of["depth"] == depth)], heights, offset, look)
        title = f"{names[other]}, separation {separation:g}"
        panels.append(Panel(marks=[*marks, *_background(heights)], x=x, y=y, title=title))
    keys = [Points([], [], **look, name=look["group"]) for look in slots.values()]
    keys += [Points([], [], color="#555555", face="white", name="undecided"), _ring([], [], name="reversed")]
    return Plot(
        rows=[panels],
        size=(12.5, 1.4 + 0.36 * len(heights)),
        share_x="all",
        share_y="all",
        legend=Legend(where="outside right center", keys=keys),
        xlabel=f"{claim.gap}   (decades)",
    )


def _background(heights: dict[str, float]) -> list[Mark]:
    """Return the line of no gap, stripes behind every other law, and a rule above those whose means coincide."""
    marks: list[Mark] = [Level(0, axis="x", color="#333333", width=1.0)]
    marks += [
        Span(height - 0.5, height + 0.5, color="#000000", alpha=0.035) for height in [*heights.values()][::2]
    ]
    apart = [height for label, height in heights.items() if LAWS[label].apart]
    if 0 < len(apart) < len(heights):
        marks.append(Level(min(apart) - 0.8, width=0.8))
    return marks


def _dots(cells: pd.DataFrame, heights: dict[str, float], offset: float, look: dict[str, Any]) -> list[Mark]:
    """Return gaps with their intervals: hollow where undecided, ringed where reversed."""
    y = cells["data"].map(heights).astype(float) + offset
    hollow, ringed = (cells["says"] == which for which in ("undecided", "reversed"))
    marks: list[Mark] = []
    for which, face in ((~hollow, None), (hollow, "white")):  # a white face covers the bar behind it
        part = cells[which]
        if len(part):
            marks.append(
                Points(
                    part["difference"],
                    y[which],
                    part["low"],
                    part["high"],
                    along="x",
                    face=face,
                    size=4.2,
                    edge=1.1,
                    bar=1.1,
                    names=list(part["data"]),
                    **look,
                )
            )
    return [*marks, _ring(cells.loc[ringed, "difference"], y[ringed], list(cells.loc[ringed, "data"]))]


def _ring(x: Any, y: Any, names: Sequence[str] = (), name: str = "") -> Points:
    """Return rings around reversed gaps, or their key in the legend, which has the name."""
    look: dict[str, Any] = {"face": "none", "size": 9, "group": "reversed", "name": name}
    return Points(x, y, color="#D55E00", names=names, **look)


# -- tables and verdicts


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate the gaps by law, and every cell that is reversed."""
    summary, reversed_cells = [], []
    for claim in CLAIMS:
        table = _gaps(rows, claim)
        title = {"ntk-nngp": "NTK − NNGP", "relu-erf": "ReLU − erf"}[claim.name]
        for label, cells in table.groupby("data", sort=False):
            counts = cells["says"].value_counts()
            summary.append(
                {
                    "law": label,
                    "gap": title,
                    "cells": len(cells),
                    "holds": counts.get("holds", 0) + counts.get("tie", 0),
                    "undecided": counts.get("undecided", 0),
                    "reversed": counts.get("reversed", 0),
                    "smallest": cells["difference"].min(),
                    "median": cells["difference"].median(),
                    "largest": cells["difference"].max(),
                }
            )
        cells = table[table["says"] == "reversed"].rename(columns={claim.other: "of", "data": "law"})
        reversed_cells.append(cells.assign(gap=title))
    columns = ["law", "gap", "of", "separation", "dim", "depth", "difference", "low", "high"]
    order = list(LAWS)
    by_law = pd.DataFrame(summary)
    by_law = by_law.sort_values(["gap", "law"], key=lambda c: c.map(order.index) if c.name == "law" else c)
    wide = rows.pivot_table(
        index=["data", "separation", "dim"], columns=["activation", "kernel", "depth"], values="log_nc1"
    ).sort_index(
        level="data", key=lambda c: c.map(order.index) if c.name == "data" else c, sort_remaining=True
    )
    names = ACTIVATION_NAMES | KERNEL_NAMES
    wide.columns = [f"{names[a]} {names[k]}, depth {depth}" for a, k, depth in wide.columns]
    of_data = rows.groupby(["data", "separation", "dim"], sort=False)["log_nc1_data"].mean()
    return [
        Table("Gaps by law, in decades", by_law, "Ties count as holding. Median over cells."),
        Table(
            "Cells with the order reversed",
            pd.concat(reversed_cells)[columns],
            "The checkerboard in two dimensions is the same at either separation but for its scale, which ReLU without "
            "bias does not see.",
        ),
        Table(
            "log10 NC1, mean over seeds",
            wide.assign(**{"data themselves": of_data}).reset_index().rename(columns={"data": "law"}),
        ),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge both orders on every law, and what reverses them."""

    def name(row: pd.Series[Any]) -> str:
        return f"{row['data']}, s={row['separation']:g}, d={row['dim']}, depth {row['depth']}"

    coincide = [label for label, choice in LAWS.items() if not choice.apart]
    relu, erf = (rows[(rows["activation"] == a) & rows["data"].isin(coincide)] for a in ("relu", "erf"))
    lead = rows.pivot_table(index=["kernel", *CELLS, "seed"], columns="activation", values="log_nc1")
    lead = lead.assign(lead=lead["relu"] - lead["erf"]).reset_index()
    heaviest, gaussian = (lead[lead["data"] == label] for label in ("Student t(1.5)", "Gaussian"))
    cells = ["kernel", "separation", "dim", "depth"]

    def of_kernel(row: pd.Series[Any]) -> str:
        return f"{KERNEL_NAMES[row['kernel']]}, s={row['separation']:g}, d={row['dim']}, depth {row['depth']}"

    return [
        *limiting_kernels.order_verdicts(rows, CELLS, name),
        intervals.above_zero(
            "Where class means coincide the order of the activations is reversed: ReLU collapses more than erf.",
            intervals.paired(relu, erf, "log_nc1", ["kernel", *CELLS]),
            lambda row: f"{KERNEL_NAMES[row['kernel']]}, {name(row)}",
            gap="gap log10 NC1(erf) − log10 NC1(ReLU)",
            by="data",
        ).about(topics.ACTIVATION),
        intervals.above_zero(
            "Heavy tails widen the lead of erf over ReLU: it is larger for Student t with df = 1.5 than for Gaussians.",
            intervals.paired(gaussian, heaviest, "lead", cells),
            of_kernel,
            gap="growth of the gap log10 NC1(ReLU) − log10 NC1(erf)",
            by="kernel",
        ).about(topics.ACTIVATION),
    ]


EXPERIMENT = Experiment(
    name="beyond-gaussian",
    title="Beyond Gaussians",
    question="Does the order of kernels and activations on Gaussian classes hold on other laws: heavy tails, skewness, "
    "other shapes, label noise, classes with one mean?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    prepare=_prepare,
    conclude=exceptions(
        "beyond-gaussian-ntk-nngp",
        "Some data reverse that order. The NTK is more collapsed than the NNGP on",
        "That order holds on every other law too",
    ),
)
