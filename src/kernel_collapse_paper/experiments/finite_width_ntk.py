"""The kernels of finite networks against their width, before and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.style import KERNEL_COLOURS, KERNEL_MARKERS, KERNEL_NAMES, band, style
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import EmpiricalNC1, KernelNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments.logs import with_logs

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

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


def _draw(logs: pd.DataFrame) -> MatplotlibFigure:
    from matplotlib.figure import Figure

    dims = sorted(logs["dim"].unique())
    with style():
        figure = Figure(figsize=(3.4 * len(dims) + 2.2, 3.5))
        for axes, dim in zip(figure.subplots(1, len(dims), squeeze=False)[0], dims, strict=True):
            part = logs[logs["dim"] == dim]
            for kernel in KERNELS:
                limit = part.loc[part["kernel"] == kernel.removeprefix("empirical-"), "log_nc1"].mean()
                axes.axhline(limit, color=KERNEL_COLOURS[kernel], linestyle=":")
                for epochs, face in ((0, "white"), (EPOCHS, KERNEL_COLOURS[kernel])):
                    of = part[(part["kernel"] == kernel) & (part["epochs"] == epochs)]
                    band(
                        axes,
                        intervals.summarise(of, "log_nc1", ["width"]),
                        "width",
                        color=KERNEL_COLOURS[kernel],
                        marker=KERNEL_MARKERS[kernel],
                        markerfacecolor=face,
                        label=f"{KERNEL_NAMES[kernel]}, {'trained' if epochs else 'start'}",
                    )
            axes.set_xscale("log", base=2)
            axes.set_xlabel("width")
            axes.set_title(f"d = {dim}")
        figure.axes[0].set_ylabel(r"$\log_{10}$ NC1(H)")
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center")
    return figure


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
