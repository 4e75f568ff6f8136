"""How collapsed real data is under each limiting kernel, by depth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from kernel_collapse import data
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Legend, Level, Mark, Panel, Plot, Span, at, means
from kernel_collapse.report.style import ACTIVATION_NAMES, KERNEL_COLOURS, KERNEL_NAMES
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import KernelNC1
from kernel_collapse.runs.trials import ShippedData, Trial
from kernel_collapse_paper.experiments import limiting_kernels, topics
from kernel_collapse_paper.experiments.logs import with_depths
from kernel_collapse_paper.experiments.looks import decades, of_kernel

#: Samples drawn of each table, depths, repeats. The paper preset draws halves.
GRIDS: dict[Preset, tuple[dict[str, int], tuple[int, ...], int]] = {
    "quick": ({"digits": 300, "wine": 89, "breast-cancer": 284}, (1, 2, 4, 8), 5),
    "paper": ({"digits": 898, "wine": 89, "breast-cancer": 284}, (1, 2, 3, 4, 6, 8, 12, 16), 10),
}
LINES = (("relu", "ntk"), ("relu", "nngp"), ("erf", "ntk"), ("erf", "nngp"))
CELLS = ["data", "depth"]
SAMPLED = (
    "Seeds are random parts of one table, so that the intervals speak of the table and not of a population."
)


def trials(preset: Preset) -> list[Trial]:
    """Return every kernel at every depth on parts of every table."""
    sizes, depths, repeats = GRIDS[preset]
    measurements = [
        KernelNC1(kernel="data"),
        *(KernelNC1(kernel=k, activation=a, depth=depth) for depth in depths for a, k in LINES),  # type: ignore[arg-type]
    ]
    return [
        Trial(data=ShippedData(name=name, n=n), measurement=m, seed=seed)
        for name, n in sizes.items()
        for seed in range(repeats)
        for m in measurements
    ]


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 against the depth, a panel a table."""
    sizes = ", ".join(f"{rows.loc[rows['data'] == name, 'n'].max()} of {name}" for name in _tables_in(rows))
    return [
        Figure(
            "real-data",
            "NC1 of the features of real tables, standardized, against the depth of the kernel (weight variance 1, no "
            "bias); dotted: of the data themselves. Mean and one standard deviation over "
            f"{rows['seed'].nunique()} random parts of each table ({sizes}).",
            _draw(rows),
        )
    ]


def _prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of kernels, with depths as whole numbers: beside trials that have none they come as floats."""
    return with_depths(rows)


def _tables_in(rows: pd.DataFrame) -> list[str]:
    """Return the names of the tables in these rows, in the order of the library's list."""
    return [name for name in data.SHIPPED if name in set(rows["data"])]


def _draw(rows: pd.DataFrame) -> Plot:
    panels = []
    for name in _tables_in(rows):
        of = rows[rows["data"] == name]
        marks: list[Mark] = []
        for activation, kernel in LINES:
            chosen = of[(of["activation"] == activation) & (of["kernel"] == kernel)]
            table = intervals.summarise(chosen, "log_nc1", ["depth"])
            look = of_kernel(kernel) | {"name": f"{ACTIVATION_NAMES[activation]} {KERNEL_NAMES[kernel]}"}
            marks.append(means(table, "depth", dashes="-" if activation == "erf" else "--", **look))
        themselves = of.drop_duplicates("seed")["log_nc1_data"]
        mean, deviation, colour = themselves.mean(), themselves.std(), KERNEL_COLOURS["data"]
        marks += [
            Level(mean, color=colour, width=1.2, dashes=":", name="data themselves"),
            Span(mean - deviation, mean + deviation, color=colour),
        ]
        x = at(sorted(rows["depth"].unique()), "depth (hidden layers)")
        panels.append(Panel(marks=marks, x=x, y=decades("NC1   (lower: more collapsed)"), title=name))
    legend = Legend(where="outside right center", layout={"handlelength": 3})
    return Plot(rows=[panels], size=(11, 3.6), share_y="all", legend=legend)


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate NC1 and NC1 relative to the data, by depth."""
    rows = rows.assign(ratio=rows["nc1_paper"] / 10 ** rows["log_nc1_data"])

    def by_depth(value: str) -> pd.DataFrame:
        index = ["data", "n", "activation", "kernel"]
        wide = rows.pivot_table(index=index, columns="depth", values=value, aggfunc="mean")
        return wide.rename(columns="depth {}".format).reset_index()

    return [
        Table("NC1(H) by depth, mean over seeds", by_depth("nc1_paper"), SAMPLED),
        Table(
            "NC1(H) / NC1(X) by depth, mean over seeds",
            by_depth("ratio"),
            "Below 1, the kernel collapses the data; above 1, the features are less collapsed than the inputs.",
        ),
        Table(
            "All cells: log10 NC1(H), mean and standard deviation over seeds",
            intervals.summarise(rows, "log_nc1", ["data", "activation", "kernel", "depth"]),
        ),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge the order of kernels and activations on real data, and whether they collapse it, and depth further."""
    shallow, deep = (rows[rows["depth"] == rows["depth"].agg(which)] for which in ("min", "max"))
    first, last = rows["depth"].min(), rows["depth"].max()

    def name(row: pd.Series[Any]) -> str:
        kernel = f"{ACTIVATION_NAMES[row['activation']]} {KERNEL_NAMES[row['kernel']]}, {row['data']}"
        return f"{kernel}, depth {row['depth']}" if "depth" in row else kernel

    judged = [
        *limiting_kernels.order_verdicts(rows, CELLS, lambda row: f"{row['data']}, depth {row['depth']}"),
        intervals.above_zero(
            "The kernel collapses the data: NC1 of the features is below that of the inputs.",
            intervals.paired(
                rows, rows.assign(log_nc1=rows["log_nc1_data"]), "log_nc1", ["activation", "kernel", *CELLS]
            ),
            name,
            gap="gap log10 NC1(X) − log10 NC1(H)",
            by="activation",
        ),
        intervals.above_zero(
            f"Depth collapses the features further: NC1 at depth {last} is below that at depth {first}.",
            intervals.paired(deep, shallow, "log_nc1", ["activation", "kernel", "data"]),
            name,
            gap="fall of log10 NC1",
            by="activation",
        ).about(topics.LAYERS),
    ]
    return [replace(verdict, test=f"{verdict.test} {SAMPLED}") for verdict in judged]


EXPERIMENT = Experiment(
    name="real-data",
    title="Real data, by depth",
    question="How collapsed is real data under each limiting kernel, and does depth collapse it further?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    prepare=_prepare,
)
