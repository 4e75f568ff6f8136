"""One problem followed down in width: collapse, traces, free energy, spectrum and Gram matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kernel_collapse.adaptive import AdaptiveSolution, solve_adaptive
from kernel_collapse.report.intervals import TIE
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.style import KERNEL_COLOURS, style
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import AdaptiveNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import adaptive_kernel

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

GRIDS: dict[Preset, tuple[int, int]] = {"quick": (128, 32), "paper": (512, 32)}  # size, dimension
WIDTHS = (1e6, 3e5, 1e5, 3e4, 1e4, 3e3, 1e3, 500.0, 300.0, 100.0, 50.0, 30.0, 20.0)


def trials(preset: Preset) -> list[Trial]:
    """Return one sample of D1 at every width."""
    n, dim = GRIDS[preset]
    return adaptive_kernel.trials_of(
        [GaussianClasses(n=n, dim=dim)], 1, [AdaptiveNC1(width=w) for w in WIDTHS]
    )


def _path(rows: pd.DataFrame) -> pd.DataFrame:
    done = rows[(rows["status"] == "ok") & (rows["kernel"] == "adaptive")]
    return done.sort_values("width", ascending=False)


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw what the rows hold, and the spectra and Gram matrices of the same problem solved again as one path."""
    path = _path(rows)
    n, dim = int(path["n"].iloc[0]), int(path["dim"].iloc[0])
    nngp = rows[(rows["kernel"] == "nngp") & (rows["status"] == "ok")]
    dataset = GaussianClasses(n=n, dim=dim).sample(0)
    widths = path["width"].tolist()
    solution = solve_adaptive(dataset.x, dataset.targets, width=widths[-1], anneal=widths[:-1])
    return [
        Figure(
            "path-adaptive-D1",
            f"D1, N = {n}, d = {dim}, erf, one sample: NC1, its traces (relative to the NNGP), the gain in "
            "free energy, and the eigenvalues of (d / σ_w²) Σ against the width.",
            _draw_path(path, nngp, solution),
        ),
        Figure(
            "path-gram-D1",
            "The same problem: Gram matrix of the features at the largest and at the smallest width (samples in order "
            "of class; one colour scale).",
            _draw_grams(solution, widths),
        ),
    ]


def _draw_path(path: pd.DataFrame, nngp: pd.DataFrame, solution: AdaptiveSolution) -> MatplotlibFigure:
    from matplotlib.figure import Figure

    widths = path["width"].to_numpy()
    with style():
        figure = Figure(figsize=(12.5, 3.3))
        collapse, traces, energy, spectrum = figure.subplots(1, 4)
        collapse.plot(
            widths, path["nc1_paper"], marker="^", color=KERNEL_COLOURS["adaptive"], label="adaptive"
        )
        collapse.set_yscale("log")
        collapse.set_ylabel("NC1(H)")
        for column, label, marker in (
            ("within_paper", "within classes", "o"),
            ("between_paper", "between classes", "s"),
        ):
            relative = path[column] / (nngp[column].iloc[0] if len(nngp) else np.nan)
            traces.plot(widths, relative, marker=marker, label=label)
        traces.set_ylabel("trace / trace of the NNGP")
        traces.legend()
        if len(nngp):
            collapse.axhline(
                nngp["nc1_paper"].iloc[0], color=KERNEL_COLOURS["nngp"], linestyle=":", label="NNGP"
            )
        collapse.legend()
        energy.plot(widths, path["free_energy_gain"], marker="o", color="#555555")
        energy.set_yscale("log")
        energy.set_ylabel("F(NNGP) − F(adaptive)")
        eigenvalues = np.array([*(point.eigenvalues for point in solution.path), solution.eigenvalues])
        spectrum.plot(widths, eigenvalues, color=KERNEL_COLOURS["adaptive"], linewidth=0.8)
        spectrum.set_yscale("log")
        spectrum.set_ylabel(r"eigenvalues of $(d/\sigma_w^2)\,\Sigma$")
        for axes in figure.axes:
            axes.set_xscale("log")
            axes.invert_xaxis()
            axes.set_xlabel("width (narrower to the right)")
    return figure


def _draw_grams(solution: AdaptiveSolution, widths: list[float]) -> MatplotlibFigure:
    from matplotlib.figure import Figure

    first = solution.path[0].gram if solution.path else solution.gram
    with style():
        figure = Figure(figsize=(7.4, 3.4))
        panels = figure.subplots(1, 2)
        largest = max(np.abs(first).max(), np.abs(solution.gram).max())
        for axes, gram, width in zip(panels, (first, solution.gram), (widths[0], widths[-1]), strict=True):
            picture = axes.imshow(gram, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
            axes.set_title(f"width {width:,.10g}")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(False)
        figure.colorbar(picture, ax=panels, shrink=0.85, label=r"$K(x_i, x_j)$")
    return figure


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate the path."""
    columns = [
        "width",
        "nc1_paper",
        "within_paper",
        "between_paper",
        "free_energy_gain",
        "largest_eigenvalue",
    ]
    columns += ["smallest_eigenvalue", "residual", "evaluations", "solver"]
    return [Table("The path, width by width", _path(rows)[columns])]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether NC1 falls with every step down in width."""
    path = _path(rows)
    logs = np.log10(path["nc1_paper"].to_numpy())
    steps = np.diff(logs)
    evidence = path[["width", "nc1_paper"]].assign(change=np.append(np.nan, steps))
    held = int((steps < -TIE).sum())
    status = "holds" if held == len(steps) else "holds in part" if held else "does not hold"
    answer = f"In {held} of {len(steps)} steps; from NC1 {10 ** logs[0]:.4g} to {10 ** logs[-1]:.4g}."
    test = "One sample and no repeats: the change of log10 NC1 from each width to the next."
    return [
        Verdict(
            "NC1 of the adaptive kernel falls with every step down in width.", status, answer, test, evidence
        )
    ]


EXPERIMENT = Experiment(
    name="adaptive-path",
    title="Adaptive kernel, one path in width",
    question="What happens to collapse, weights and Gram matrix on the way from the NNGP to a narrow network?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
