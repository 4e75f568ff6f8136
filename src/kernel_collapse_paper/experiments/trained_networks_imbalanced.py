"""The paper's trained two-layer networks on two Gaussian classes of different sizes."""

from __future__ import annotations

import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import _limiting, _published, _trained
from kernel_collapse_paper.experiments.limiting_kernels_imbalanced import EIGHTHS

#: Samples, shares of the first class in eighths, dimensions, repeats.
GRIDS: dict[Preset, tuple[int, tuple[int, ...], tuple[int, ...], int]] = {
    "quick": (128, (4, 1), (1, 8, 128), 3),
    "paper": (2048, EIGHTHS, _limiting.DIMS, 10),
}
CELLS = ["class_sizes", "dim"]


def trials(preset: Preset) -> list[Trial]:
    """Return the grid on D1."""
    n, eighths, dims, repeats = GRIDS[preset]
    laws = [
        GaussianClasses(n=n, dim=dim, class_sizes=(n * e // 8, n - n * e // 8))
        for e in eighths
        for dim in dims
    ]
    return _trained.trials_of(laws, repeats)


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw the panels."""
    logs = _trained.prepare(rows)
    logs["minority"] = logs["class_sizes"].map(min)
    n = logs["n"].max()
    return [
        Figure(
            "panels-networks-D1-imbalanced",
            f"D1, N = {n}, width 500, 1000 epochs of gradient descent as published: NC1 of the hidden layer (top) and "
            'relative to that of the data (bottom), one line a pair of class sizes, weighting "paper". Mean and one '
            f"standard deviation over {logs['seed'].nunique()} networks, each with data of its own.",
            _trained.panels(logs, "minority", lambda m: f"{m} / {n - m}", "class sizes"),
        )
    ]


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate the published comparison beside like with like, what the networks had learnt, and every cell."""
    logs = _trained.prepare(rows)
    return [
        *_published.readout_table(rows, CELLS),
        _trained.certificates(rows, CELLS),
        Table(
            "All cells: log10 NC1(H), mean and standard deviation over seeds",
            intervals.summarise(logs, "log_nc1", ["kernel", "activation", "readout", *CELLS]),
        ),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge the claims on trained networks under imbalance."""
    return _trained.verdicts(_trained.prepare(rows), CELLS, _limiting.name_imbalanced)


EXPERIMENT = Experiment(
    name="trained-networks-imbalanced",
    title="Trained networks, imbalanced classes",
    question="How collapsed are the published networks when one class has fewer samples?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
