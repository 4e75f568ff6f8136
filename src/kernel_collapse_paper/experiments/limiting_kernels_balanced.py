"""The paper's first figure: NNGP against NTK, erf against ReLU, on balanced Gaussian classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from kernel_collapse import data
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.style import (
    ACTIVATION_NAMES,
    KERNEL_COLOURS,
    KERNEL_MARKERS,
    KERNEL_NAMES,
    band,
    style,
    ticks_at,
)
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import _limiting, _published

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

GRIDS: dict[Preset, tuple[tuple[int, ...], int]] = {  # sizes, repeats
    "quick": ((128, 512), 5),
    "paper": ((128, 256, 512, 1024), 10),
}
CELLS = ["data", "n", "dim"]
#: "Similar" NC1 of two kernels: less than 0.1 decades (26 %) apart.
SIMILAR = 0.1


def trials(preset: Preset) -> list[Trial]:
    """Return the grid on D1 and on D2."""
    sizes, repeats = GRIDS[preset]
    laws = [
        GaussianClasses(n=n, dim=dim, class_means=means)
        for means in (data.D1_MEANS, data.D2_MEANS)
        for n in sizes
        for dim in _limiting.DIMS
    ]
    return _limiting.trials_of(laws, repeats)


def overview(rows: pd.DataFrame, law: str) -> MatplotlibFigure:
    """Draw every kernel against d at the largest size, so that the erratum is seen."""
    from matplotlib.figure import Figure

    rows = rows[rows["data"] == law]
    rows = rows[rows["n"] == rows["n"].max()]
    with style():
        figure = Figure(figsize=(8.2, 3.5))
        for axes, activation in zip(figure.subplots(1, 2, sharey=True), ("erf", "relu"), strict=True):
            for kernel in ("ntk", "ntk-published", "nngp"):
                chosen = rows[(rows["activation"] == activation) & (rows["kernel"] == kernel)]
                if chosen.empty:
                    continue
                band(
                    axes,
                    intervals.summarise(chosen, "log_nc1", ["dim"]),
                    "dim",
                    color=KERNEL_COLOURS[kernel],
                    marker=KERNEL_MARKERS[kernel],
                    linestyle="--" if kernel == "ntk-published" else "-",
                    label=KERNEL_NAMES[kernel],
                )
            ticks_at(axes, sorted(rows["dim"].unique()))
            axes.set_title(ACTIVATION_NAMES[activation])
            axes.set_xlabel("dimension d")
            axes.legend(loc="lower right")
        figure.axes[0].set_ylabel(r"$\log_{10}$ NC1(H)   (lower: more collapsed)")
    return figure


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw, for each law, the overview and the paper's panels."""
    rows = _limiting.prepare(rows)
    drawn = []
    for law in sorted(rows["data"].unique()):
        chosen = rows[rows["data"] == law]
        largest, repeats = chosen["n"].max(), chosen["seed"].nunique()
        drawn += [
            Figure(
                f"overview-{law}",
                f"{law}, N = {largest}: NC1 of the features under each limiting kernel against the dimension. Mean and "
                f"one standard deviation over {repeats} seeds. The published code's NTK (dashed) is almost the NNGP; "
                "the exact one is not.",
                overview(rows, law),
            ),
            Figure(
                f"panels-{law}",
                f"{law}: NC1 of the features (top) and relative to that of the data (bottom; below the dotted line, "
                f"the kernel collapses the data). Mean and one standard deviation over {repeats} seeds.",
                _limiting.panels(chosen, "n", str, "samples N"),
            ),
        ]
    return drawn


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate the published NTK beside the exact one, and every cell."""
    cells = intervals.summarise(
        _limiting.prepare(rows), "log_nc1", ["data", "activation", "kernel", "n", "dim"]
    )
    return [
        *_published.erf_ntk_table(rows, CELLS),
        Table("All cells: log10 NC1(H), mean and standard deviation over seeds", cells),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge the paper's claims on limiting kernels."""
    rows = _limiting.prepare(rows)

    def at(activation: str, kernel: str) -> pd.DataFrame:
        return rows[(rows["activation"] == activation) & (rows["kernel"] == kernel)]

    def kernel_gap(to: str) -> pd.DataFrame:
        return intervals.paired(at("erf", "nngp"), at("erf", to), "log_nc1", CELLS)

    exact, published = kernel_gap("ntk"), kernel_gap("ntk-published")
    similar = intervals.within(
        "NNGP and NTK have similar NC1 for erf (less than 0.1 decades apart).",
        exact,
        _limiting.name_balanced,
        margin=SIMILAR,
        gap="gap of the exact NTK",
        by="data",
    )
    as_published = intervals.within(
        "NNGP and NTK have similar NC1 for erf (less than 0.1 decades apart), with the published code's NTK.",
        published,
        _limiting.name_balanced,
        margin=SIMILAR,
        gap="gap of the published code's NTK",
        by="data",
    )
    return [*_limiting.order_verdicts(rows, CELLS, _limiting.name_balanced), similar, as_published]


EXPERIMENT = Experiment(
    name="limiting-kernels-balanced",
    title="Limiting kernels, balanced classes",
    question="Which limiting kernel is more collapsed, NNGP or NTK, erf or ReLU, over the data's size and dimension?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
