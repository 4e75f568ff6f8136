"""The kernels of finite networks against their width, before and after training."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Level, Mark, Panel, Plot, means
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import EmpiricalNC1, KernelNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments.logs import with_logs
from kernel_collapse_paper.experiments.looks import decades, of_kernel

#: Samples, dimensions, widths, repeats.
GRIDS: dict[Preset, tuple[int, tuple[int, ...], tuple[int, ...], int]] = {
    "quick": (64, (8,), (32, 256, 2048), 6),
    "paper": (128, (2, 8, 32), (32, 64, 128, 256, 512, 1024, 2048, 4096), 10),
}
EPOCHS = 1000
CELLS = ["dim", "width"]
KERNELS = ("empirical-nngp", "empirical-ntk")


def trials(preset: Preset) -> list[Trial]:
    """Return the limits, and both kernels of networks of every width before and after training."""
    n, dims, widths, repeats = GRIDS[preset]
    measurements: list[Any] = [
        KernelNC1(kernel="data"),
        *(KernelNC1(kernel=kernel, activation="erf") for kernel in ("nngp", "ntk")),
        *(
            EmpiricalNC1(kernel=kernel, width=width, epochs=epochs)  # type: ignore[arg-type]
            for kernel in KERNELS
            for width in widths
            for epochs in (0, EPOCHS)
        ),
    ]
    laws = [GaussianClasses(n=n, dim=dim) for dim in dims]
    return [
        Trial(data=law, measurement=m, seed=s) for law in laws for s in range(repeats) for m in measurements
    ]


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 against width before and after training."""
    logs = with_logs(rows)
    return [
        Figure(
            "finite-width-D1",
            f"D1, N = {logs['n'].max()}, erf, one hidden layer in NTK parameterisation: NC1 under the NNGP and the NTK "
            f"of a network at its start (open) and after {EPOCHS} epochs of gradient descent (filled), against its "
            f"width. Dotted: infinite width. Mean and one standard deviation over {logs['seed'].nunique()} networks.",
            _draw(logs),
        )
    ]


def _draw(logs: pd.DataFrame) -> Plot:
    panels = []
    for dim in sorted(logs["dim"].unique()):
        part = logs[logs["dim"] == dim]
        marks: list[Mark] = []
        for kernel in KERNELS:
            look = of_kernel(kernel)
            names = [f"{look['name']}, {ended}" for ended in ("start", "trained")]
            limit = part.loc[part["kernel"] == kernel.removeprefix("empirical-"), "log_nc1"].mean()
            marks.append(Level(limit, color=look["color"], dashes=":", group=names[0]))
            for epochs, name, face in ((0, names[0], "white"), (EPOCHS, names[1], None)):
                of = part[(part["kernel"] == kernel) & (part["epochs"] == epochs)]
                table = intervals.summarise(of, "log_nc1", ["width"])
                marks.append(means(table, "width", face=face, **look | {"name": name}))
        x = Axis(label="width", scale="log", base=2)
        panels.append(Panel(marks=marks, x=x, y=decades("NC1(H)"), title=f"d = {dim}"))
    legend = Legend(where="outside right center")
    return Plot(rows=[panels], size=(3.4 * len(panels) + 2.2, 3.5), legend=legend)


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate every cell."""
    logs = with_logs(rows)
    finite = logs[logs["kernel"].isin(KERNELS)]
    cells = intervals.summarise(finite, "log_nc1", ["kernel", "epochs", *CELLS])
    learnt = finite.groupby(["epochs", *CELLS])[["loss", "accuracy"]].mean().reset_index()
    return [
        Table("log10 NC1(H), mean and standard deviation over seeds", cells),
        Table("What the networks had learnt (means)", learnt),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether the NTK of a finite network is more collapsed than the NNGP, at the start and after training."""
    logs = with_logs(rows)
    widths = logs.loc[logs["kernel"].isin(KERNELS), "width"].unique()
    nngp = pd.concat([logs[logs["kernel"] == "nngp"].assign(width=width) for width in widths])

    def of(kernel: str, epochs: int) -> pd.DataFrame:
        return logs[(logs["kernel"] == kernel) & (logs["epochs"] == epochs)]

    def judge(claim: str, more: pd.DataFrame, less: pd.DataFrame, gap: str) -> Verdict:
        table = intervals.paired(more, less, "log_nc1", CELLS)
        return intervals.above_zero(
            claim, table, lambda row: f"width {row['width']:g}, d={row['dim']:g}", gap=gap
        )

    trained = of("empirical-ntk", EPOCHS)
    return [
        judge(
            "After training, the NTK of a finite network is more collapsed than the NNGP.",
            trained,
            nngp,
            "gap log10 NC1(NNGP) − log10 NC1(NTK, trained)",
        ),
        judge(
            "Training makes the NTK of a finite network more collapsed.",
            trained,
            of("empirical-ntk", 0),
            "fall of log10 NC1",
        ),
        judge(
            "Training makes the features of a finite network more collapsed.",
            of("empirical-nngp", EPOCHS),
            of("empirical-nngp", 0),
            "fall of log10 NC1",
        ),
    ]


EXPERIMENT = Experiment(
    name="finite-width-ntk",
    title="Kernels of finite networks",
    question="Does the NTK of a finite network collapse by training, and at which width does that end?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
