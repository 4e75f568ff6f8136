"""One problem followed down in width: collapse, traces, free energy, spectrum and Gram matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kernel_collapse.adaptive import AdaptiveSolution, solve_adaptive
from kernel_collapse.report.intervals import TIE
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import (
    Axis,
    ColourScale,
    HeatMap,
    Legend,
    Level,
    Line,
    Mark,
    Panel,
    Plot,
)
from kernel_collapse.report.style import CYCLE, KERNEL_COLOURS
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import AdaptiveNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import adaptive_kernel
from kernel_collapse_paper.experiments.looks import of_kernel

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


def _draw_path(path: pd.DataFrame, nngp: pd.DataFrame, solution: AdaptiveSolution) -> Plot:
    widths, look = path["width"].to_numpy(), of_kernel("adaptive")
    collapse: list[Mark] = [Line(widths, path["nc1_paper"], **look)]
    if len(nngp):
        collapse.append(
            Level(nngp["nc1_paper"].iloc[0], color=KERNEL_COLOURS["nngp"], dashes=":", name="NNGP")
        )
    traces = [
        Line(
            widths,
            path[column] / (nngp[column].iloc[0] if len(nngp) else np.nan),
            marker=marker,
            name=label,
            color=colour,
        )
        for column, label, marker, colour in (
            ("within_paper", "within classes", "o", CYCLE[0]),
            ("between_paper", "between classes", "s", CYCLE[1]),
        )
    ]
    energy = Line(widths, path["free_energy_gain"], marker="o", color="#555555")
    eigenvalues = np.array([*(point.eigenvalues for point in solution.path), solution.eigenvalues])
    spectrum = [
        Line(widths, values, color=look["color"], group=look["name"], width=0.8) for values in eigenvalues.T
    ]
    x = Axis(label="width (narrower to the right)", scale="log", inverted=True)
    relative = Axis(label="trace / trace of the NNGP")
    gain, eigenvalue = (
        Axis(label=label, scale="log")
        for label in ("F(NNGP) − F(adaptive)", r"eigenvalues of $(d/\sigma_w^2)\,\Sigma$")
    )
    panels = [
        Panel(marks=collapse, x=x, y=Axis(label="NC1(H)", scale="log"), legend=Legend()),
        Panel(marks=traces, x=x, y=relative, legend=Legend()),
        Panel(marks=[energy], x=x, y=gain),
        Panel(marks=spectrum, x=x, y=eigenvalue),
    ]
    return Plot(rows=[panels], size=(12.5, 3.3))


def _draw_grams(solution: AdaptiveSolution, widths: list[float]) -> Plot:
    grams = (solution.path[0].gram if solution.path else solution.gram), solution.gram
    largest = max(np.abs(gram).max() for gram in grams)
    bare = Axis(ticks={}, grid=False)
    panels = [
        Panel(
            marks=[HeatMap(gram, low=-largest, high=largest, colours="RdBu_r")],
            x=bare,
            y=bare,
            title=f"width {width:,.10g}",
            square=True,
        )
        for gram, width in zip(grams, (widths[0], widths[-1]), strict=True)
    ]
    return Plot(rows=[panels], size=(7.4, 3.4), colours=ColourScale(r"$K(x_i, x_j)$", {"shrink": 0.85}))


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
    falls = steps < -TIE
    held = int(falls.sum())
    evidence = path[["width", "nc1_paper"]].assign(change=np.append(np.nan, steps))
    evidence["cell"] = [f"to width {width:g}" for width in path["width"]]
    evidence["verdict"] = ["", *np.where(falls, "holds", "fails")]
    answer = f"In {held} of {len(steps)} steps; from NC1 {10 ** logs[0]:.4g} to {10 ** logs[-1]:.4g}."
    test = "One sample and no repeats: the change of log10 NC1 from each width to the next."
    return [
        Verdict.of_cells(
            "NC1 of the adaptive kernel falls with every step down in width.", answer, test, evidence
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
