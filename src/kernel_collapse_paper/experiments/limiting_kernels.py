"""The paper's first two figures: NNGP against NTK, erf against ReLU, on Gaussian classes, balanced and not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse import data
from kernel_collapse.collapse import WEIGHTINGS
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Legend, Level, Mark, Panel, Plot, at, means
from kernel_collapse.report.style import (
    ACTIVATION_NAMES,
    KERNEL_COLOURS,
    KERNEL_NAMES,
    NAMES,
    sizes_palette,
)
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import KernelNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import published as published_code
from kernel_collapse_paper.experiments import topics
from kernel_collapse_paper.experiments.conclusions import Words, of_claims
from kernel_collapse_paper.experiments.designs import BALANCED, EIGHTHS, IMBALANCED, Design, Grid
from kernel_collapse_paper.experiments.logs import with_logs
from kernel_collapse_paper.experiments.looks import decades, of_kernel

__all__ = ["COLUMNS", "EXPERIMENTS", "MEASUREMENTS", "SIMILAR", "order_verdicts", "trials_of"]

#: Grids and repeats of each design.
GRIDS: dict[str, dict[Preset, tuple[tuple[Grid, ...], int]]] = {
    "balanced": {
        "quick": ((Grid((128, 512)), Grid((128, 512), data.D2_MEANS)), 5),
        "paper": ((Grid((128, 256, 512, 1024)), Grid((128, 256, 512, 1024), data.D2_MEANS)), 10),
    },
    "imbalanced": {
        "quick": ((Grid((512,), eighths=EIGHTHS),), 5),
        "paper": ((Grid((2048,), eighths=EIGHTHS),), 10),
    },
}
#: "Similar" NC1 of two kernels: less than 0.1 decades (26 %) apart.
SIMILAR = 0.1
#: One column of panels each, the published NTK beside the right one.
COLUMNS = (("erf", "nngp"), ("erf", "ntk"), ("erf", "ntk-published"), ("relu", "nngp"), ("relu", "ntk"))
MEASUREMENTS = (KernelNC1(kernel="data"), *(KernelNC1(kernel=k, activation=a) for a, k in COLUMNS))  # type: ignore[arg-type]


def trials_of(laws: Sequence[GaussianClasses], seeds: int) -> list[Trial]:
    """Return every measurement on every law for seeds 0, 1, ..."""
    return [
        Trial(data=law, measurement=m, seed=s) for law in laws for s in range(seeds) for m in MEASUREMENTS
    ]


def _trials(design: Design, preset: Preset) -> list[Trial]:
    grids, repeats = GRIDS[design.name][preset]
    return trials_of([law for grid in grids for law in grid.laws()], repeats)


def panels(rows: pd.DataFrame, lines: str, name_line: Callable[[Any], str], legend: str) -> Plot:
    """Draw log10 NC1(H) and log10 NC1(H)/NC1(X) against d: a column a kernel, a line for each value of `lines`."""
    values = sorted(rows[lines].unique())
    colours = dict(zip(values, sizes_palette(len(values)), strict=True))
    x = at(sorted(rows["dim"].unique()), "dimension d")
    grid = []
    for column, y in (("log_nc1", decades("NC1(H)")), ("log_nc1_ratio", decades("NC1(H) / NC1(X)"))):
        row = []
        for activation, kernel in COLUMNS:
            chosen = rows[(rows["activation"] == activation) & (rows["kernel"] == kernel)]
            side = of_kernel(kernel, {k for a, k in COLUMNS if a == activation})["side"]
            marks: list[Mark] = [
                means(
                    intervals.summarise(chosen[chosen[lines] == value], column, ["dim"]),
                    "dim",
                    color=colour,
                    name=name_line(value),
                    side=side,
                )
                for value, colour in colours.items()
            ]
            heading: dict[str, Any] = {}
            if column == "log_nc1":
                heading["title"] = f"{ACTIVATION_NAMES[activation]} · {KERNEL_NAMES[kernel]}"
                if side == "published":
                    heading["title_color"] = KERNEL_COLOURS[kernel]
            else:
                marks.append(Level(0, width=0.8, dashes=":", side=side))
            row.append(Panel(marks=marks, x=x, y=y, **heading))
        grid.append(row)
    legend_ = Legend(where="outside right center", title=legend)
    return Plot(rows=grid, size=(11.5, 5.4), share_x="all", share_y="row", legend=legend_)


def _overview(rows: pd.DataFrame) -> Plot:
    """Draw every kernel against d, so that the erratum is seen, beside the data themselves."""
    drawn = []
    for activation in ("erf", "relu"):
        of = rows[rows["activation"] == activation]
        kernels = [k for k in ("ntk", "ntk-published", "nngp") if k in set(of["kernel"])]
        marks = [
            means(
                intervals.summarise(of[of["kernel"] == kernel], "log_nc1", ["dim"]),
                "dim",
                dashes="--" if kernel == "ntk-published" else "-",
                **of_kernel(kernel, kernels),
            )
            for kernel in kernels
        ]
        # The data have no activation: every kernel's rows hold their NC1, so those of one are taken.
        of_data = intervals.summarise(of[of["kernel"] == "nngp"], "log_nc1_data", ["dim"])
        look: dict[str, Any] = {"color": KERNEL_COLOURS["data"], "marker": "", "dashes": ":", "width": 1.2}
        drawn.append(
            Panel(
                marks=[*marks, means(of_data, "dim", name="data themselves", **look)],
                x=at(sorted(rows["dim"].unique()), "dimension d"),
                y=decades("NC1   (lower: more collapsed)"),
                title=ACTIVATION_NAMES[activation],
                legend=Legend(where="lower right"),
            )
        )
    return Plot(rows=[drawn], size=(8.2, 3.5), share_y="all")


def _figures_balanced(rows: pd.DataFrame) -> list[Figure]:
    """Draw every kernel of each law at its largest size: the smaller ones give the same lines."""
    rows = with_logs(rows)
    drawn = []
    for law, of_law in rows.groupby("data"):
        n, repeats = of_law["n"].max(), of_law["seed"].nunique()
        drawn.append(
            Figure(
                f"overview-{law}",
                f"{law}, N = {n}: NC1 of the features under each limiting kernel against the dimension, and NC1 of the "
                "data themselves (dotted: a kernel below that line collapses the data). Mean and one standard "
                f"deviation over {repeats} seeds. {_over_sizes(of_law)}The published code's NTK (dashed) is almost the "
                "NNGP; the exact one is not.",
                _overview(of_law[of_law["n"] == n]),
            )
        )
    return drawn


def _over_sizes(rows: pd.DataFrame) -> str:
    """Return a sentence on how far the kernels' means at the smaller sizes are from those at the largest."""
    wide = rows.pivot_table(index=["activation", "kernel", "dim"], columns="n", values="log_nc1")
    *smaller, largest = wide.columns
    if not smaller:
        return ""
    furthest = wide[smaller].sub(wide[largest], axis=0).abs().max().max()
    upto = f" to {smaller[-1]}" if len(smaller) > 1 else ""
    return f"At N = {smaller[0]}{upto} the mean of every kernel is within {furthest:.2g} decades of its mean here. "


def _figures_imbalanced(rows: pd.DataFrame) -> list[Figure]:
    """Draw the paper's panels, and what the weighting of the classes changes."""
    by_size = with_logs(rows)
    n, repeats = by_size["n"].max(), by_size["seed"].nunique()
    return [
        Figure(
            "panels-D1-imbalanced",
            f"D1, N = {n}: NC1 of the features (top) and relative to that of the data (bottom), one line a pair of "
            f'class sizes, weighting "paper". Mean and one standard deviation over {repeats} seeds.',
            panels(*IMBALANCED.lines(by_size)),
        ),
        Figure(
            "weightings-D1-imbalanced",
            f"D1, N = {n}, NNGP of erf: NC1 under the four weightings. They agree for classes of one size; the "
            "published kernel code's is the variance of no feature map when they differ.",
            _weightings(rows),
        ),
    ]


def _weightings(rows: pd.DataFrame) -> Plot:
    colours = dict(zip(WEIGHTINGS, [*sizes_palette(3), "#CC79A7"], strict=True))
    # One below the other where they coincide, so that each stays visible.
    widths = dict(zip(WEIGHTINGS, (4.5, 2.8, 1.4, 1.4), strict=True))
    drawn = []
    for pair in sorted(rows["class_sizes"].unique(), reverse=True):
        marks = []
        for weighting in WEIGHTINGS:
            published = weighting == "published"
            logs = with_logs(rows[rows["class_sizes"] == pair], weighting)
            logs = logs[(logs["activation"] == "erf") & (logs["kernel"] == "nngp")]
            marks.append(
                means(
                    intervals.summarise(logs, "log_nc1", ["dim"]),
                    "dim",
                    color=colours[weighting],
                    dashes="--" if published else "-",
                    width=widths[weighting],
                    name=f'"{weighting}"',
                    side="published" if published else "right",
                )
            )
        x = at(sorted(rows["dim"].unique()), "dimension d")
        title = f"classes of {pair[0]} / {pair[1]}"
        drawn.append(Panel(marks=marks, x=x, y=decades("NC1(H)"), title=title))
    legend = Legend(where="outside right center", title="weighting")
    return Plot(rows=[drawn], size=(11, 3.3), share_y="all", legend=legend)


def _tables(design: Design, rows: pd.DataFrame) -> list[Table]:
    """Tabulate what is published beside what is right, NC1 under each weighting, and every cell."""
    cells = intervals.summarise(with_logs(rows), "log_nc1", design.columns("activation", "kernel"))
    weighted = []
    if design.weighted:
        done = rows[(rows["status"] == "ok") & rows["kernel"].isin(["nngp", "ntk"])]
        columns = {f"nc1_{w}": f"NC1 {w}" for w in WEIGHTINGS} | {"between_published": "tr S_B published"}
        groups = done.groupby(["activation", "kernel", *design.cells])
        means = groups[list(columns)].mean().rename(columns=columns)
        weighted = [
            *published_code.weighting_table(rows, design.cells),
            Table("NC1 under each weighting (mean over seeds)", means.reset_index()),
        ]
    return [
        *published_code.erf_ntk_table(rows, design.cells),
        *weighted,
        Table("All cells: log10 NC1(H), mean and standard deviation over seeds", cells),
    ]


def _verdicts(design: Design, rows: pd.DataFrame) -> list[Verdict]:
    """Judge the paper's claims on limiting kernels, and what imbalance and weighting change."""
    logs = with_logs(rows)
    own = [_falls_with_imbalance(logs), _weighting_matters(rows)] if design.weighted else _similar(logs)
    return [*order_verdicts(logs, design.cells, design.cell), *own]


def order_verdicts(rows: pd.DataFrame, cells: list[str], name: Callable[[Any], str]) -> list[Verdict]:
    """Judge "the NTK is not more collapsed" for each activation and "erf collapses more" for each kernel."""
    rows = rows[rows["kernel"] != "ntk-published"]

    def compare(column: str, first: str, second: str, other: str) -> pd.DataFrame:
        return intervals.paired(
            rows[rows[column] == first], rows[rows[column] == second], "log_nc1", [other, *cells]
        )

    return [
        intervals.above_zero(
            "The NTK is not more collapsed than the NNGP.",
            compare("kernel", "nngp", "ntk", "activation"),
            lambda row: f"{ACTIVATION_NAMES[row['activation']]}, {name(row)}",
            gap="gap log10 NC1(NTK) − log10 NC1(NNGP)",
            ties_hold=True,
            by="data" if "data" in cells else "activation",
        ).about(topics.KERNELS),
        intervals.above_zero(
            "erf collapses more than ReLU.",
            compare("activation", "erf", "relu", "kernel"),
            lambda row: f"{KERNEL_NAMES[row['kernel']]}, {name(row)}",
            gap="gap log10 NC1(ReLU) − log10 NC1(erf)",
            by="data" if "data" in cells else "kernel",
        ).about(topics.ACTIVATION),
    ]


def _similar(rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether NNGP and NTK have similar NC1, with the exact NTK and with the published code's."""

    def at(activation: str, kernel: str) -> pd.DataFrame:
        return rows[(rows["activation"] == activation) & (rows["kernel"] == kernel)]

    def kernel_gap(to: str) -> pd.DataFrame:
        return intervals.paired(at("erf", "nngp"), at("erf", to), "log_nc1", BALANCED.cells)

    exact, published = kernel_gap("ntk"), kernel_gap("ntk-published")
    similar = intervals.within(
        "NNGP and NTK have similar NC1 for erf (less than 0.1 decades apart).",
        exact,
        BALANCED.cell,
        margin=SIMILAR,
        gap="gap of the exact NTK",
        by="data",
    )
    as_published = intervals.within(
        "NNGP and NTK have similar NC1 for erf (less than 0.1 decades apart), with the published code's NTK.",
        published,
        BALANCED.cell,
        margin=SIMILAR,
        gap="gap of the published code's NTK",
        by="data",
    )
    return [verdict.about(topics.KERNELS, topics.ACTIVATION) for verdict in (similar, as_published)]


def _falls_with_imbalance(logs: pd.DataFrame) -> Verdict:
    logs = logs[logs["kernel"] != "ntk-published"]
    logs = logs.assign(skew=logs["class_sizes"].map(lambda s: max(s) / min(s)))
    columns = ["activation", "kernel", "dim", "seed", "log_nc1"]
    even = logs.loc[logs["skew"] == 1, columns]
    skewed = logs.loc[logs["skew"] > 1, [*columns, "class_sizes"]]
    repeated = even.merge(skewed.drop(columns="log_nc1"), on=["activation", "kernel", "dim", "seed"])
    return intervals.above_zero(
        'Imbalance lowers NC1 of the limiting kernels (weighting "paper", against classes of one size).',
        intervals.paired(skewed, repeated, "log_nc1", ["activation", "kernel", "class_sizes", "dim"]),
        lambda row: f"{NAMES[row['activation']]} {NAMES[row['kernel']]}, {IMBALANCED.cell(row)}",
        gap="fall of log10 NC1",
    )


def _weighting_matters(rows: pd.DataFrame) -> Verdict:
    right, published = with_logs(rows, "paper"), with_logs(rows, "published")
    chosen = ["nngp", "ntk"]
    right, published = (r[r["kernel"].isin(chosen)] for r in (right, published))
    skewed = [s for s in right["class_sizes"].unique() if len(set(s)) > 1]
    right, published = (r[r["class_sizes"].isin(skewed)] for r in (right, published))
    return intervals.within(
        'The published kernel code\'s weighting gives the NC1 of the features (weighting "paper") under imbalance.',
        intervals.paired(right, published, "log_nc1", ["activation", "kernel", "class_sizes", "dim"]),
        lambda row: f"{NAMES[row['activation']]} {NAMES[row['kernel']]}, {IMBALANCED.cell(row)}",
        margin=np.log10(1.01),
        gap="error of log10 NC1",
    )


def _experiment(
    design: Design, question: str, figures: Callable[[pd.DataFrame], list[Figure]], **more: Any
) -> Experiment:
    return Experiment(
        name=f"limiting-kernels-{design.name}",
        title=f"Limiting kernels, {design.name} classes",
        question=question,
        trials=partial(_trials, design),
        draw=figures,
        tabulate=partial(_tables, design),
        judge=partial(_verdicts, design),
        **more,
    )


EXPERIMENTS = (
    _experiment(
        BALANCED,
        "Which limiting kernel is more collapsed, NNGP or NTK, erf or ReLU, over the data's size and dimension?",
        _figures_balanced,
        conclude=of_claims(
            "overview-D1",
            Words(
                "The NTK is not more collapsed",
                "The kernel of lazy training does not explain collapse: the NTK is at no size and dimension more "
                "collapsed than the NNGP, the kernel of the network at initialisation",
                "Nowhere is the NTK shown to be at most as collapsed as the NNGP, the kernel of the network at "
                "initialisation",
            ),
        ),
    ),
    _experiment(
        IMBALANCED,
        "Do the orders hold when one class has fewer samples, and which NC1 is meant then?",
        _figures_imbalanced,
    ),
)
