"""The paper's adaptive kernel on Gaussian classes, balanced and not, beside the NNGP and the published code's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse import data
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Level, Mark, Panel, Plot, at, means
from kernel_collapse.report.style import KERNEL_NAMES, sizes_palette
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import published as published_code
from kernel_collapse_paper.experiments.designs import BALANCED, EIGHTHS, IMBALANCED, Design, Grid
from kernel_collapse_paper.experiments.logs import with_logs
from kernel_collapse_paper.experiments.looks import decades, of_kernel

__all__ = ["ADAPTIVE", "EXPERIMENTS", "PUBLISHED", "certificates", "panels", "trials_of"]

#: The authors' hyper-parameters are the defaults: width 500, readout variance 1/128, noise variance 1e-6.
ADAPTIVE, PUBLISHED = AdaptiveNC1(), AdaptiveNC1(label_term="published")
DATA, NNGP = KernelNC1(kernel="data"), KernelNC1(kernel="nngp", activation="erf")
ONE, BOTH = (ADAPTIVE,), (ADAPTIVE, PUBLISHED)
#: Grids, the adaptive kernels on each, and their repeats. Solves on D2 take several times as long as on D1, and those
#: with the published label term twice as long as the others: of 2048 samples they have five seeds, which decide every
#: cell but those of one dimension.
GRIDS: dict[str, dict[Preset, tuple[tuple[Grid, tuple[AdaptiveNC1, ...], int], ...]]] = {
    "balanced": {
        "quick": (
            (Grid((128, 256)), ONE, 5),
            (Grid((256,)), BOTH, 5),
            (Grid((128,), data.D2_MEANS), BOTH, 5),
        ),
        "paper": (
            (Grid((128, 256, 512, 1024)), ONE, 10),
            (Grid((512,)), BOTH, 10),
            (Grid((128, 256), data.D2_MEANS), BOTH, 10),
        ),
    },
    "imbalanced": {
        "quick": ((Grid((256,), eighths=EIGHTHS), BOTH, 5),),
        "paper": (
            (Grid((2048,), eighths=EIGHTHS), ONE, 10),
            (Grid((2048,), eighths=EIGHTHS), BOTH, 5),
            (Grid((2048,), dims=(1,), eighths=EIGHTHS), BOTH, 10),
        ),
    },
}


def trials_of(
    laws: Sequence[GaussianClasses], seeds: int, measurements: Sequence[AdaptiveNC1] = (ADAPTIVE,)
) -> list[Trial]:
    """Return the data, their NNGP and the adaptive kernels on every law for seeds 0, 1, ..."""
    every: list[KernelNC1 | AdaptiveNC1] = [DATA, NNGP, *measurements]
    return [Trial(data=law, measurement=m, seed=s) for law in laws for s in range(seeds) for m in every]


def _trials(design: Design, preset: Preset) -> list[Trial]:
    grids = GRIDS[design.name][preset]
    return [trial for grid, kernels, repeats in grids for trial in trials_of(grid.laws(), repeats, kernels)]


def panels(rows: pd.DataFrame, lines: str, name_line: Callable[[Any], str], legend: str) -> Plot:
    """Draw log10 NC1(H) and log10 NC1(H)/NC1(X) against d: NNGP, adaptive kernel, and the fall between them."""
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
    drawn = []
    for table, column, title in columns:
        marks: list[Mark] = [
            means(
                intervals.summarise(table[table[lines] == value], column, ["dim"]),
                "dim",
                color=colour,
                name=name_line(value),
            )
            for value, colour in zip(values, sizes_palette(len(values)), strict=True)
        ]
        if column != "log_nc1":
            marks.append(Level(0, width=0.8, dashes=":"))
        y = Axis(logarithms=True, same="features" if column == "log_nc1" else "")
        x = at(sorted(rows["dim"].unique()), "dimension d")
        drawn.append(Panel(marks=marks, x=x, y=y, title=title))
    return Plot(rows=[drawn], size=(12, 3.3), legend=Legend(where="outside right center", title=legend))


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


def _at_published_size(rows: pd.DataFrame) -> pd.DataFrame:
    published = rows[rows["kernel"] == "adaptive-published"]
    return rows[(rows["data"] == "D1") & rows["n"].isin(published["n"].unique())]


def _overview(rows: pd.DataFrame) -> Plot:
    """Draw NNGP and adaptive kernel, exact and published, against d on D1."""
    kernels = [k for k in ("nngp", "adaptive-published", "adaptive") if k in set(rows["kernel"])]
    marks = [
        means(
            intervals.summarise(rows[rows["kernel"] == kernel], "log_nc1", ["dim"]),
            "dim",
            dashes="--" if kernel == "adaptive-published" else "-",
            **of_kernel(kernel, kernels),
        )
        for kernel in kernels
    ]
    panel = Panel(
        marks=marks,
        x=at(sorted(rows["dim"].unique()), "dimension d"),
        y=decades("NC1(H)   (lower: more collapsed)"),
        legend=Legend(where="lower right"),
    )
    return Plot(rows=[[panel]], size=(5.2, 3.6))


def _figures_balanced(rows: pd.DataFrame) -> list[Figure]:
    """Draw the overview on D1 and the panels of each law."""
    rows = with_logs(rows)
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
                _overview(compared),
            )
        )
    for law in sorted(rows["data"].unique()):
        drawn.append(
            Figure(
                f"panels-adaptive-{law}",
                f"{law}, erf, width 500: NC1 under the NNGP and the adaptive kernel, relative to the data, and "
                f"relative to each other, seed by seed. Mean and one standard deviation over {repeats} seeds.",
                panels(*BALANCED.lines(rows[rows["data"] == law])),
            )
        )
    return drawn


def _figures_imbalanced(rows: pd.DataFrame) -> list[Figure]:
    """Draw the panels."""
    logs = with_logs(rows)
    n = logs["n"].max()
    return [
        Figure(
            "panels-adaptive-D1-imbalanced",
            f'D1, N = {n}, erf, width 500: NC1 (weighting "paper") under the NNGP and the adaptive kernel, one line a '
            f"pair of class sizes. Mean and one standard deviation over {logs['seed'].nunique()} seeds.",
            panels(*IMBALANCED.lines(logs)),
        )
    ]


def _tables(design: Design, rows: pd.DataFrame) -> list[Table]:
    """Tabulate what is published beside what is right, the certificates and every cell."""
    cells = intervals.summarise(with_logs(rows), "log_nc1", design.columns("kernel"))
    return [
        *published_code.label_term_table(rows, design.cells),
        *(published_code.weighting_table(rows, design.cells) if design.weighted else ()),
        certificates(rows, design.cells),
        Table("All cells: log10 NC1(H), mean and standard deviation over seeds", cells),
    ]


def _verdicts(design: Design, rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether the adaptive kernel is more collapsed than the NNGP, and whether the labels matter."""
    logs = with_logs(rows)
    nngp, adaptive, published = (
        logs[logs["kernel"] == kernel] for kernel in ("nngp", "adaptive", "adaptive-published")
    )
    found = [
        intervals.above_zero(
            "The adaptive kernel is more collapsed than the NNGP.",
            intervals.paired(adaptive, nngp, "log_nc1", design.cells),
            design.cell,
            gap="fall of log10 NC1",
            by=design.by,
        ),
        intervals.above_zero(
            "With the labels as the equations of state have them, the adaptive kernel is more collapsed than in the "
            "published code.",
            intervals.paired(adaptive, published, "log_nc1", design.cells),
            design.cell,
            gap="fall of log10 NC1 by the labels",
            by=design.by,
        ),
    ]
    return found if design.weighted else [*found, _follows(nngp, adaptive)]


def _follows(nngp: pd.DataFrame, adaptive: pd.DataFrame) -> Verdict:
    return intervals.above_zero(
        "The adaptive kernel follows the trend of the NNGP over the dimension (rises and falls where that does).",
        _aligned_changes(nngp, adaptive),
        lambda row: f"{row['data']}, N={row['n']}, d={row['step']}",
        gap="change of log10 NC1 in the direction of the NNGP's",
        by="data",
    )


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


def _experiment(design: Design, question: str, figures: Callable[[pd.DataFrame], list[Figure]]) -> Experiment:
    return Experiment(
        name=f"adaptive-{design.name}",
        title=f"Adaptive kernel, {design.name} classes",
        question=question,
        trials=partial(_trials, design),
        draw=figures,
        tabulate=partial(_tables, design),
        judge=partial(_verdicts, design),
    )


EXPERIMENTS = (
    _experiment(
        BALANCED,
        "How much further does a kernel collapse that adapts to the data and the labels?",
        _figures_balanced,
    ),
    _experiment(
        IMBALANCED,
        "Does the adaptive kernel collapse further than the NNGP when one class has fewer samples?",
        _figures_imbalanced,
    ),
)
