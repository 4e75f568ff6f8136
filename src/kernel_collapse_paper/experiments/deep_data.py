"""On which data depth helps a kernel that adapts, and where it harms."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kernel_collapse import data
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Legend, Level, Mark, Panel, Plot, at, means
from kernel_collapse.report.style import ACTIVATION_NAMES, KERNEL_COLOURS, KERNEL_NAMES
from kernel_collapse.runs import laws
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1
from kernel_collapse.runs.trials import GaussianClasses, ShippedData, Trial
from kernel_collapse_paper.experiments import topics
from kernel_collapse_paper.experiments.logs import with_depths
from kernel_collapse_paper.experiments.looks import decades, of_kernel

#: Samples, and samples of digits, depths, seeds.
GRIDS: dict[Preset, tuple[int, int, tuple[int, ...], int]] = {
    "quick": (32, 60, (1, 2, 3), 4),
    "paper": (64, 200, (1, 2, 3, 4), 6),
}
ACTIVATIONS = ("erf", "relu")
KERNELS = ("nngp", "adaptive")
PRIOR: dict[str, Any] = {"width": 100.0, "readout_variance": 1 / 128, "noise_variance": 1e-2}
DIM, IMBALANCE = 8, 3.0
CELLS = ["data", "activation"]


def data_of(preset: Preset) -> dict[str, Any]:
    """Return every law or table by the name that it has in figures."""
    n, digits, _, _ = GRIDS[preset]

    def made(law: Any, separation: float, dim: int = DIM, **options: Any) -> Any:
        return law.model_validate({"n": n, "dim": dim, "separation": separation, **options})

    found = {f"separation {s:g}": made(laws.Gaussian, s) for s in (0.5, 1.0, 2.0, 4.0)}
    found |= {f"{dim} dimensions": made(laws.Gaussian, 2.0 * (DIM / dim) ** 0.5, dim) for dim in (2, 32)}
    return found | {
        "imbalance 3 to 1": made(laws.Gaussian, 2.0, imbalance=IMBALANCE),
        "D2": GaussianClasses(n=n, dim=DIM, class_means=data.D2_MEANS),
        "XOR": made(laws.XOR, 4.0),
        "digits": ShippedData(name="digits", n=digits),
    }


#: In the order of the figures.
ORDER = (
    "separation 0.5",
    "separation 1",
    "separation 2",
    "separation 4",
    "2 dimensions",
    "32 dimensions",
    "imbalance 3 to 1",
    "D2",
    "XOR",
    "digits",
)


def _label(row: pd.Series[Any]) -> str:
    """Return the name in figures of the law or table of a row."""
    if row["data_law"] != "gaussian":
        return {"gaussian-classes": "D2", "xor": "XOR"}.get(row["data_law"], row["data"])
    if row["class_sizes"] is not None or row["data_imbalance"] == IMBALANCE:
        return "imbalance 3 to 1"
    return f"separation {row['data_separation']:g}" if row["dim"] == DIM else f"{row['dim']} dimensions"


def trials(preset: Preset) -> list[Trial]:
    """Return the NNGP and the adaptive kernel of every depth on every law and table."""
    *_, depths, seeds = GRIDS[preset]
    measurements: list[Any] = [KernelNC1(kernel="data")]
    for activation in ACTIVATIONS:
        for depth in depths:
            measurements.append(KernelNC1(kernel="nngp", activation=activation, depth=depth))
            measurements.append(AdaptiveNC1(activation=activation, depth=depth, **PRIOR))
    return [
        Trial(data=law, measurement=m, seed=seed)
        for law in data_of(preset).values()
        for seed in range(seeds)
        for m in measurements
    ]


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of kernels with the names of data that figures have: log10 NC1 of the last layer."""
    rows = with_depths(rows)
    return rows.assign(data=[_label(row) for _, row in rows.iterrows()])


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 of the last layer against the depth of the network, a panel a law or table."""
    n = ", ".join(str(n) for n in sorted(rows["n"].unique()))
    return [
        Figure(
            "deep-data",
            "NC1 of the last hidden layer against the depth of the network: the NNGP (blue) and the Gaussian equations "
            "of state (green) of erf (solid) and ReLU (dashed); dotted: the data themselves. Width "
            f"{PRIOR['width']:g}, readout variance 1/128, noise variance 0.01; n = {n}. Mean and one standard "
            f"deviation over {rows['seed'].nunique()} seeds.",
            _draw(rows),
        )
    ]


def _draw(rows: pd.DataFrame) -> Plot:
    x = at(sorted(rows["depth"].unique()), "depth", "linear")
    panels = []
    for name in _present(rows):
        of = rows[rows["data"] == name]
        marks: list[Mark] = []
        for activation in ACTIVATIONS:
            for kernel in KERNELS:
                chosen = of[(of["activation"] == activation) & (of["kernel"] == kernel)]
                look = of_kernel(kernel) | {"name": f"{ACTIVATION_NAMES[activation]} {KERNEL_NAMES[kernel]}"}
                seen = intervals.summarise(chosen, "log_nc1", ["depth"])
                marks.append(means(seen, "depth", dashes="-" if activation == "erf" else "--", **look))
        level = of.drop_duplicates("seed")["log_nc1_data"].mean()
        marks.append(
            Level(level, color=KERNEL_COLOURS["data"], width=1.2, dashes=":", name="data themselves")
        )
        panels.append(Panel(marks=marks, x=x, y=decades("NC1"), title=name))
    across = 5
    grid: list[list[Panel | None]] = [list(panels[i : i + across]) for i in range(0, len(panels), across)]
    grid[-1] += [None] * (across - len(grid[-1]))
    return Plot(
        rows=grid,
        size=(13, 3.0 * len(grid)),
        legend=Legend(where="outside lower center", layout={"ncols": 5}),
    )


def _present(rows: pd.DataFrame) -> list[str]:
    present = set(rows["data"])
    return [name for name in ORDER if name in present]


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate NC1 of the last layer by depth, and what a layer more does."""
    index = ["data", "n", "activation", "kernel"]
    wide = rows.pivot_table(index=index, columns="depth", values="nc1_paper", aggfunc="mean")
    return [
        Table(
            "NC1 of the last hidden layer by depth, mean over seeds",
            wide.rename(columns="depth {}".format).reset_index(),
        )
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether depth collapses each kernel further, and which of the two is more collapsed at that depth."""
    first, last = (rows[rows["depth"] == rows["depth"].agg(which)] for which in ("min", "max"))
    shallow, deep = rows["depth"].min(), rows["depth"].max()

    def name(row: pd.Series[Any]) -> str:
        return f"{ACTIVATION_NAMES[row['activation']]}, {row['data']}"

    def of(part: pd.DataFrame, kernel: str) -> pd.DataFrame:
        return part[part["kernel"] == kernel]

    judged = [
        *(
            intervals.above_zero(
                f"Depth collapses the last layer of the {KERNEL_NAMES[kernel]} kernel further: NC1 at depth {deep} is "
                f"below that at depth {shallow}.",
                intervals.paired(of(last, kernel), of(first, kernel), "log_nc1", CELLS),
                name,
                gap="fall of log10 NC1",
                by="activation",
            )
            for kernel in KERNELS
        ),
        intervals.above_zero(
            f"At depth {deep} the adaptive kernel is more collapsed than the NNGP.",
            intervals.paired(of(last, "adaptive"), of(last, "nngp"), "log_nc1", CELLS),
            name,
            gap="gap log10 NC1(NNGP) − log10 NC1(adaptive)",
            by="activation",
        ),
    ]
    return [verdict.about(topics.LAYERS) for verdict in judged]


EXPERIMENT = Experiment(
    name="deep-data",
    title="Where depth helps, and where it harms",
    question="On which data does a kernel that adapts collapse further with depth, and on which does depth harm?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    prepare=prepare,
)
