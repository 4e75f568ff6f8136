"""What the experiments on the adaptive kernel share: trials, preparation, panels, the certificate's table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from kernel_collapse.report.intervals import summarise
from kernel_collapse.report.parts import Table
from kernel_collapse.report.style import KERNEL_NAMES, band, sizes_palette, style, ticks_at
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments._limiting import prepare as prepare_logs

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

__all__ = ["ADAPTIVE", "PUBLISHED", "certificates", "panels", "prepare", "trials_of"]

#: The authors' hyper-parameters are the defaults: width 500, readout variance 1/128, noise variance 1e-6.
ADAPTIVE, PUBLISHED = AdaptiveNC1(), AdaptiveNC1(label_term="published")
DATA, NNGP = KernelNC1(kernel="data"), KernelNC1(kernel="nngp", activation="erf")


def trials_of(
    laws: Sequence[GaussianClasses], seeds: int, measurements: Sequence[AdaptiveNC1] = (ADAPTIVE,)
) -> list[Trial]:
    """Return the data, their NNGP and the adaptive kernels on every law for seeds 0, 1, ..."""
    every: list[KernelNC1 | AdaptiveNC1] = [DATA, NNGP, *measurements]
    return [Trial(data=law, measurement=m, seed=s) for law in laws for s in range(seeds) for m in every]


def prepare(rows: pd.DataFrame, weighting: str = "paper") -> pd.DataFrame:
    """Return the finished rows with log10 NC1, the published label term as a kernel of its own."""
    rows = rows.copy()
    if "label_term" in rows:
        published = (rows["kernel"] == "adaptive") & (rows["label_term"] == "published")
        rows.loc[published, "kernel"] = "adaptive-published"
    return prepare_logs(rows, weighting)


def panels(rows: pd.DataFrame, lines: str, name_line: Callable[[Any], str], legend: str) -> MatplotlibFigure:
    """Draw log10 NC1(H) and log10 NC1(H)/NC1(X) against d: NNGP, adaptive kernel, and the fall between them."""
    from matplotlib.figure import Figure

    values = sorted(rows[lines].unique())
    seeded = [c for c in ("data", "n", "dim", "class_sizes", "seed", lines) if c in rows]
    nngp, adaptive = (rows[rows["kernel"] == kernel] for kernel in ("nngp", "adaptive"))
    fall = nngp.merge(adaptive, on=list(dict.fromkeys(seeded)), suffixes=("", "_adaptive"))
    fall = fall.assign(fall=fall["log_nc1_adaptive"] - fall["log_nc1"])
    columns = (
        (nngp, "log_nc1", f"{KERNEL_NAMES['nngp']}: " + r"$\log_{10}$ NC1(H)"),
        (adaptive, "log_nc1", f"{KERNEL_NAMES['adaptive']}: " + r"$\log_{10}$ NC1(H)"),
        (adaptive, "log_nc1_ratio", r"adaptive: $\log_{10}$ NC1(H) / NC1(X)"),
        (fall, "fall", r"$\log_{10}$ NC1(adaptive) / NC1(NNGP)"),
    )
    with style():
        figure = Figure(figsize=(12, 3.3))
        for axes, (table, column, title) in zip(figure.subplots(1, 4), columns, strict=True):
            for value, colour in zip(values, sizes_palette(len(values)), strict=True):
                part = table[table[lines] == value]
                band(axes, summarise(part, column, ["dim"]), "dim", color=colour, label=name_line(value))
            ticks_at(axes, sorted(rows["dim"].unique()))
            axes.set_title(title)
            axes.set_xlabel("dimension d")
            if column != "log_nc1":
                axes.axhline(0, color="#888888", linewidth=0.8, linestyle=":")
        low, high = zip(*(axes.get_ylim() for axes in figure.axes[:2]), strict=True)
        for axes in figure.axes[:2]:
            axes.set_ylim(min(low), max(high))
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, title=legend, loc="outside right center")
    return figure


def certificates(rows: pd.DataFrame, cells: Sequence[str]) -> Table:
    """Tabulate how the solver ended: the most that any seed took, and the worst residual."""
    done = rows[(rows["kernel"] == "adaptive") & (rows["status"] == "ok")]
    groups = done.groupby([*cells, "label_term"])
    table = groups.agg(
        solves=("seed", "size"),
        converged=("solver", lambda s: int((s == "converged").sum())),
        worst_residual=("residual", "max"),
        median_evaluations=("evaluations", "median"),
        most_evaluations=("evaluations", "max"),
        least_gain=("free_energy_gain", "min"),
        largest_eigenvalue=("largest_eigenvalue", "max"),
    )
    table.columns = [name.replace("_", " ") for name in table.columns]
    note = (
        "Residual of the equations of state (relative error of Sigma; 1e-6 is converged), factorisations of an n x n "
        "matrix, gain in free energy over the NNGP, largest eigenvalue of (d / sigma_w^2) Sigma (1 at the NNGP)."
    )
    return Table("Certificates of the solutions", table.reset_index(), note)
