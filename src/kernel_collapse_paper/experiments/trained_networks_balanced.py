"""The paper's trained two-layer networks on balanced Gaussian classes."""

from __future__ import annotations

import pandas as pd

from kernel_collapse import data
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import _limiting, _published, _trained

#: Sizes and dimensions of D1 and of D2, repeats.
Grid = tuple[tuple[int, ...], tuple[int, ...]]
GRIDS: dict[Preset, tuple[Grid, Grid, int]] = {
    "quick": (((128,), (1, 8, 128)), ((128,), (8,)), 3),
    "paper": (((128, 256, 512, 1024), _limiting.DIMS), ((128,), _limiting.DIMS), 10),
}
CELLS = ["data", "n", "dim"]
#: On D2 networks of ReLU diverge at the published learning rate of 1e-3.
SMALL_STEPS = {"learning_rate": 1e-4, "epochs": 10_000}
TRAINING = {
    "D1": "1000 epochs of gradient descent as published",
    "D2": "10,000 epochs of gradient descent at a tenth of the published learning rate",
}


def trials(preset: Preset) -> list[Trial]:
    """Return the grid on D1 and on D2."""
    first, second, repeats = GRIDS[preset]

    def laws(means: tuple[float, ...], grid: Grid) -> list[GaussianClasses]:
        return [GaussianClasses(n=n, dim=dim, class_means=means) for n in grid[0] for dim in grid[1]]

    return [
        *_trained.trials_of(laws(data.D1_MEANS, first), repeats),
        *_trained.trials_of(laws(data.D2_MEANS, second), repeats, **SMALL_STEPS),
    ]


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw the panels of each law."""
    logs = _trained.prepare(rows)
    return [
        Figure(
            f"panels-networks-{law}",
            f"{law}, width 500, {TRAINING[law]}: NC1 of the hidden layer (top) and relative to that of the data "
            f"(bottom). Mean and one standard deviation over {part['seed'].nunique()} networks, each with data of its "
            f"own. Dotted: the NNGP at N = {part['n'].max()}.",
            _trained.panels(part, "n", str, "samples N"),
        )
        for law, part in logs.groupby("data")
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
    """Judge the claims on trained networks."""
    return _trained.verdicts(_trained.prepare(rows), CELLS, _limiting.name_balanced)


EXPERIMENT = Experiment(
    name="trained-networks-balanced",
    title="Trained networks, balanced classes",
    question="How collapsed are the published two-layer networks, and what does their readout scale change?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
