"""The paper's trained two-layer networks on balanced Gaussian classes."""

from __future__ import annotations

import pandas as pd

from kernel_collapse.experiments import _limiting, _statistics, _trained
from kernel_collapse.experiments._types import Experiment, Figure, Preset, Table, Verdict
from kernel_collapse.trials import GaussianClasses, Trial

#: Sizes, dimensions, repeats.
GRIDS: dict[Preset, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    "quick": ((128,), (1, 8, 128), 3),
    "paper": ((128, 256, 512, 1024), _limiting.DIMS, 10),
}
CELLS = ["n", "dim"]


def trials(preset: Preset) -> list[Trial]:
    """Return the grid on D1."""
    sizes, dims, repeats = GRIDS[preset]
    return _trained.trials_of([GaussianClasses(n=n, dim=dim) for n in sizes for dim in dims], repeats)


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw the panels."""
    logs = _trained.prepare(rows)
    return [
        Figure(
            "panels-networks-D1",
            "D1, width 500, 1000 epochs of gradient descent as published: NC1 of the hidden layer (top) and relative "
            f"to that of the data (bottom). Mean and one standard deviation over {logs['seed'].nunique()} networks, "
            f"each with data of its own. Dotted: the NNGP at N = {logs['n'].max()}.",
            _trained.panels(logs, "n", str, "samples N"),
        )
    ]


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate what the networks had learnt, and every cell."""
    logs = _trained.prepare(rows)
    return [
        _trained.certificates(rows, CELLS),
        Table(
            "All cells: log10 NC1(H), mean and standard deviation over seeds",
            _statistics.summarise(logs, "log_nc1", ["kernel", "activation", "readout", *CELLS]),
        ),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge the claims on trained networks."""
    return _trained.verdicts(_trained.prepare(rows), CELLS, lambda row: f"N={row['n']}, d={row['dim']}")


EXPERIMENT = Experiment(
    name="trained-networks-balanced",
    title="Trained networks, balanced classes",
    question="How collapsed are the published two-layer networks, and what does their readout scale change?",
    trials=trials,
    figures=figures,
    tables=tables,
    verdicts=verdicts,
)
