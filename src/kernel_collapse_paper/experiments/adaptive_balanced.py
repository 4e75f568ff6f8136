"""The paper's adaptive kernel on balanced Gaussian classes, beside the NNGP and the published code's version."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kernel_collapse import data
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.style import (
    KERNEL_COLOURS,
    KERNEL_MARKERS,
    KERNEL_NAMES,
    band,
    style,
    ticks_at,
)
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import _adaptive, _limiting, _published

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

#: Sizes on D1, sizes on D2 (whose solves take several times as long), repeats, size of the published code's kernel.
GRIDS: dict[Preset, tuple[tuple[int, ...], tuple[int, ...], int, int]] = {
    "quick": ((128, 256), (128,), 5, 256),
    "paper": ((128, 256, 512, 1024), (128, 256), 10, 512),
}
CELLS = ["data", "n", "dim"]


def trials(preset: Preset) -> list[Trial]:
    """Return the grid on D1 and on D2, with the published label term at one size of D1 and every size of D2."""
    first, second, repeats, published = GRIDS[preset]
    both = (_adaptive.ADAPTIVE, _adaptive.PUBLISHED)

    def laws(means: tuple[float, ...], sizes: tuple[int, ...]) -> list[GaussianClasses]:
        return [GaussianClasses(n=n, dim=dim, class_means=means) for n in sizes for dim in _limiting.DIMS]

    return [
        *_adaptive.trials_of(laws(data.D1_MEANS, first), repeats),
        *_adaptive.trials_of(laws(data.D1_MEANS, (published,)), repeats, both),
        *_adaptive.trials_of(laws(data.D2_MEANS, second), repeats, both),
    ]


def _at_published_size(rows: pd.DataFrame) -> pd.DataFrame:
    published = rows[rows["kernel"] == "adaptive-published"]
    return rows[(rows["data"] == "D1") & rows["n"].isin(published["n"].unique())]


def overview(rows: pd.DataFrame) -> MatplotlibFigure:
    """Draw NNGP and adaptive kernel, exact and published, against d on D1."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(5.2, 3.6))
        axes = figure.subplots()
        for kernel in ("nngp", "adaptive-published", "adaptive"):
            chosen = rows[rows["kernel"] == kernel]
            if not chosen.empty:
                band(
                    axes,
                    intervals.summarise(chosen, "log_nc1", ["dim"]),
                    "dim",
                    color=KERNEL_COLOURS[kernel],
                    marker=KERNEL_MARKERS[kernel],
                    linestyle="--" if kernel == "adaptive-published" else "-",
                    label=KERNEL_NAMES[kernel],
                )
        ticks_at(axes, sorted(rows["dim"].unique()))
        axes.set_xlabel("dimension d")
        axes.set_ylabel(r"$\log_{10}$ NC1(H)   (lower: more collapsed)")
        axes.legend(loc="lower right")
    return figure


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw the overview on D1 and the panels of each law."""
    rows = _adaptive.prepare(rows)
    repeats = rows["seed"].nunique()
    compared = _at_published_size(rows)
    drawn = []
    if not compared.empty:
        drawn.append(
            Figure(
                "overview-adaptive-D1",
                f"D1, N = {compared['n'].max()}, erf, width 500: NC1 under the NNGP and the adaptive kernel, as "
                f"the equations of state have it and as the published code does. Mean and one standard deviation over "
                f"{repeats} seeds.",
                overview(compared),
            )
        )
    for law in sorted(rows["data"].unique()):
        drawn.append(
            Figure(
                f"panels-adaptive-{law}",
                f"{law}, erf, width 500: NC1 under the NNGP and the adaptive kernel, relative to the data, and "
                f"relative to each other, seed by seed. Mean and one standard deviation over {repeats} seeds.",
                _adaptive.panels(rows[rows["data"] == law], "n", str, "samples N"),
            )
        )
    return drawn


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate the published adaptive kernel beside the exact one, the certificates and every cell."""
    logs = _adaptive.prepare(rows)
    return [
        *_published.label_term_table(rows, CELLS),
        _adaptive.certificates(rows, CELLS),
        Table(
            "All cells: log10 NC1(H), mean and standard deviation over seeds",
            intervals.summarise(logs, "log_nc1", ["data", "kernel", "n", "dim"]),
        ),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether the adaptive kernel is more collapsed than the NNGP, and whether the labels matter."""
    logs = _adaptive.prepare(rows)
    nngp, adaptive, published = (
        logs[logs["kernel"] == kernel] for kernel in ("nngp", "adaptive", "adaptive-published")
    )
    return [
        intervals.above_zero(
            "The adaptive kernel is more collapsed than the NNGP.",
            intervals.paired(adaptive, nngp, "log_nc1", CELLS),
            _limiting.name_balanced,
            gap="fall of log10 NC1",
            by="data",
        ),
        intervals.above_zero(
            "With the labels as the equations of state have them, the adaptive kernel is more collapsed than in the "
            "published code.",
            intervals.paired(adaptive, published, "log_nc1", CELLS),
            _limiting.name_balanced,
            gap="fall of log10 NC1 by the labels",
            by="data",
        ),
        intervals.above_zero(
            "The adaptive kernel follows the trend of the NNGP over the dimension (rises and falls where that does).",
            _aligned_changes(nngp, adaptive),
            lambda row: f"{row['data']}, N={row['n']}, d={row['step']}",
            gap="change of log10 NC1 in the direction of the NNGP's",
            by="data",
        ),
    ]


def _aligned_changes(nngp: pd.DataFrame, adaptive: pd.DataFrame) -> pd.DataFrame:
    """Return changes of log10 NC1 from one dimension to the next, positive where they go the NNGP's way."""
    series = ["data", "n", "seed"]
    wide = {
        name: t.pivot_table(index=series, columns="dim", values="log_nc1")
        for name, t in (("nngp", nngp), ("adaptive", adaptive))
    }
    dims = [d for d in wide["nngp"].columns if d in wide["adaptive"].columns]
    parts = []
    for low, high in pairwise(dims):
        change = {name: table[high] - table[low] for name, table in wide.items()}
        direction = np.sign(change["nngp"].groupby(["data", "n"]).transform("mean"))
        aligned = (change["adaptive"] * direction).rename("aligned").reset_index()
        parts.append(aligned.assign(step=f"{low} to {high}"))
    changes = pd.concat(parts) if parts else pd.DataFrame(columns=[*series, "aligned", "step"])
    return intervals.paired(changes.assign(aligned=0.0), changes, "aligned", ["data", "n", "step"])


EXPERIMENT = Experiment(
    name="adaptive-balanced",
    title="Adaptive kernel, balanced classes",
    question="How much further does a kernel collapse that adapts to the data and the labels?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
