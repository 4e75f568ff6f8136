"""The paper's second figure: the limiting kernels on two Gaussian classes of different sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kernel_collapse.collapse import WEIGHTINGS
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.style import NAMES, band, sizes_palette, style, ticks_at
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import _limiting, _published

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

#: Share of the first class in eighths, of these many samples, with these many repeats.
EIGHTHS = (4, 3, 2, 1)
GRIDS: dict[Preset, tuple[int, int]] = {"quick": (512, 5), "paper": (2048, 10)}
CELLS = ["class_sizes", "dim"]


def trials(preset: Preset) -> list[Trial]:
    """Return the grid on D1."""
    n, repeats = GRIDS[preset]
    laws = [
        GaussianClasses(n=n, dim=dim, class_sizes=(n * e // 8, n - n * e // 8))
        for e in EIGHTHS
        for dim in _limiting.DIMS
    ]
    return _limiting.trials_of(laws, repeats)


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw the paper's panels, and what the weighting of the classes changes."""
    by_size = _limiting.prepare(rows)
    by_size["minority"] = by_size["class_sizes"].map(min)
    n, repeats = by_size["n"].max(), by_size["seed"].nunique()
    return [
        Figure(
            "panels-D1-imbalanced",
            f"D1, N = {n}: NC1 of the features (top) and relative to that of the data (bottom), one line a pair of "
            f'class sizes, weighting "paper". Mean and one standard deviation over {repeats} seeds.',
            _limiting.panels(by_size, "minority", lambda m: f"{m} / {n - m}", "class sizes"),
        ),
        Figure(
            "weightings-D1-imbalanced",
            f"D1, N = {n}, NNGP of erf: NC1 under the four weightings. They agree for classes of one size; the "
            "published kernel code's is the variance of no feature map when they differ.",
            _weightings(rows),
        ),
    ]


def _weightings(rows: pd.DataFrame) -> MatplotlibFigure:
    from matplotlib.figure import Figure

    colours = dict(zip(WEIGHTINGS, [*sizes_palette(3), "#CC79A7"], strict=True))
    # One below the other where they coincide, so that each stays visible.
    widths = dict(zip(WEIGHTINGS, (4.5, 2.8, 1.4, 1.4), strict=True))
    sizes = sorted(rows["class_sizes"].unique(), reverse=True)
    with style():
        figure = Figure(figsize=(11, 3.3))
        for axes, pair in zip(figure.subplots(1, len(sizes), sharey=True), sizes, strict=True):
            chosen = rows[(rows["class_sizes"] == pair)]
            for weighting in WEIGHTINGS:
                logs = _limiting.prepare(chosen, weighting)
                logs = logs[(logs["activation"] == "erf") & (logs["kernel"] == "nngp")]
                band(
                    axes,
                    intervals.summarise(logs, "log_nc1", ["dim"]),
                    "dim",
                    color=colours[weighting],
                    linestyle="--" if weighting == "published" else "-",
                    linewidth=widths[weighting],
                    label=f'"{weighting}"',
                )
            ticks_at(axes, sorted(rows["dim"].unique()))
            axes.set_title(f"classes of {pair[0]} / {pair[1]}")
            axes.set_xlabel("dimension d")
        figure.axes[0].set_ylabel(r"$\log_{10}$ NC1(H)")
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, title="weighting", loc="outside right center")
    return figure


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate what is published beside what is right, every cell, and NC1 under each weighting."""
    done = rows[(rows["status"] == "ok") & rows["kernel"].isin(["nngp", "ntk"])]
    columns = {f"nc1_{w}": f"NC1 {w}" for w in WEIGHTINGS} | {"between_published": "tr S_B published"}
    means = done.groupby(["activation", "kernel", *CELLS])[list(columns)].mean().rename(columns=columns)
    cells = intervals.summarise(
        _limiting.prepare(rows), "log_nc1", ["activation", "kernel", "class_sizes", "dim"]
    )
    return [
        *_published.erf_ntk_table(rows, CELLS),
        *_published.weighting_table(rows, CELLS),
        Table("NC1 under each weighting (mean over seeds)", means.reset_index()),
        Table("All cells: log10 NC1(H), mean and standard deviation over seeds", cells),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge the claims on limiting kernels under imbalance, and what imbalance and weighting change."""
    logs = _limiting.prepare(rows)
    logs = logs.assign(skew=logs["class_sizes"].map(lambda s: max(s) / min(s)))
    kernels = logs[logs["kernel"] != "ntk-published"]
    return [
        *_limiting.order_verdicts(logs, CELLS, _limiting.name_imbalanced),
        _falls_with_imbalance(kernels),
        _weighting_matters(rows),
    ]


def _falls_with_imbalance(logs: pd.DataFrame) -> Verdict:
    columns = ["activation", "kernel", "dim", "seed", "log_nc1"]
    even = logs.loc[logs["skew"] == 1, columns]
    skewed = logs.loc[logs["skew"] > 1, [*columns, "class_sizes"]]
    repeated = even.merge(skewed.drop(columns="log_nc1"), on=["activation", "kernel", "dim", "seed"])
    return intervals.above_zero(
        'Imbalance lowers NC1 of the limiting kernels (weighting "paper", against classes of one size).',
        intervals.paired(skewed, repeated, "log_nc1", ["activation", "kernel", "class_sizes", "dim"]),
        lambda row: f"{NAMES[row['activation']]} {NAMES[row['kernel']]}, {_limiting.name_imbalanced(row)}",
        gap="fall of log10 NC1",
    )


def _weighting_matters(rows: pd.DataFrame) -> Verdict:
    right, published = _limiting.prepare(rows, "paper"), _limiting.prepare(rows, "published")
    chosen = ["nngp", "ntk"]
    right, published = (r[r["kernel"].isin(chosen)] for r in (right, published))
    skewed = [s for s in right["class_sizes"].unique() if len(set(s)) > 1]
    right, published = (r[r["class_sizes"].isin(skewed)] for r in (right, published))
    return intervals.within(
        'The published kernel code\'s weighting gives the NC1 of the features (weighting "paper") under imbalance.',
        intervals.paired(right, published, "log_nc1", ["activation", "kernel", "class_sizes", "dim"]),
        lambda row: f"{NAMES[row['activation']]} {NAMES[row['kernel']]}, {_limiting.name_imbalanced(row)}",
        margin=np.log10(1.01),
        gap="error of log10 NC1",
    )


EXPERIMENT = Experiment(
    name="limiting-kernels-imbalanced",
    title="Limiting kernels, imbalanced classes",
    question="Do the orders hold when one class has fewer samples, and which NC1 is meant then?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
