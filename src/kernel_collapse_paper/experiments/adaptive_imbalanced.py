"""The adaptive kernel on two Gaussian classes of different sizes."""

from __future__ import annotations

import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import _adaptive, _limiting, _published
from kernel_collapse_paper.experiments.limiting_kernels_imbalanced import EIGHTHS

GRIDS: dict[Preset, tuple[int, int]] = {"quick": (256, 5), "paper": (2048, 10)}
CELLS = ["class_sizes", "dim"]


def trials(preset: Preset) -> list[Trial]:
    """Return the grid on D1."""
    n, repeats = GRIDS[preset]
    laws = [
        GaussianClasses(n=n, dim=d, class_sizes=(n * e // 8, n - n * e // 8))
        for e in EIGHTHS
        for d in _limiting.DIMS
    ]
    return _adaptive.trials_of(laws, repeats, (_adaptive.ADAPTIVE, _adaptive.PUBLISHED))


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw the panels."""
    logs = _adaptive.prepare(rows)
    logs["minority"] = logs["class_sizes"].map(min)
    n = logs["n"].max()
    return [
        Figure(
            "panels-adaptive-D1-imbalanced",
            f'D1, N = {n}, erf, width 500: NC1 (weighting "paper") under the NNGP and the adaptive kernel, one line a '
            f"pair of class sizes. Mean and one standard deviation over {logs['seed'].nunique()} seeds.",
            _adaptive.panels(logs, "minority", lambda m: f"{m} / {n - m}", "class sizes"),
        )
    ]


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate what is published beside what is right, the certificates and every cell."""
    logs = _adaptive.prepare(rows)
    return [
        *_published.label_term_table(rows, CELLS),
        *_published.weighting_table(rows, CELLS),
        _adaptive.certificates(rows, CELLS),
        Table(
            "All cells: log10 NC1(H), mean and standard deviation over seeds",
            intervals.summarise(logs, "log_nc1", ["kernel", "class_sizes", "dim"]),
        ),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether the adaptive kernel is more collapsed than the NNGP under imbalance."""
    logs = _adaptive.prepare(rows)
    nngp, adaptive, published = (
        logs[logs["kernel"] == kernel] for kernel in ("nngp", "adaptive", "adaptive-published")
    )
    return [
        intervals.above_zero(
            "The adaptive kernel is more collapsed than the NNGP.",
            intervals.paired(adaptive, nngp, "log_nc1", CELLS),
            _limiting.name_imbalanced,
            gap="fall of log10 NC1",
        ),
        intervals.above_zero(
            "With the labels as the equations of state have them, the adaptive kernel is more collapsed than in the "
            "published code.",
            intervals.paired(adaptive, published, "log_nc1", CELLS),
            _limiting.name_imbalanced,
            gap="fall of log10 NC1 by the labels",
        ),
    ]


EXPERIMENT = Experiment(
    name="adaptive-imbalanced",
    title="Adaptive kernel, imbalanced classes",
    question="Does the adaptive kernel collapse further than the NNGP when one class has fewer samples?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
