"""How often different starts of the adaptive kernel end in different minima."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pandas as pd

from kernel_collapse import data
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Level, Mark, Panel, Plot, Points
from kernel_collapse.report.style import CYCLE
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import AdaptiveNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial

OVERLAP_MEANS = (-0.3, 0.3)
LAWS = {"D1": data.D1_MEANS, "D2": data.D2_MEANS, "overlapping": OVERLAP_MEANS}
REGIMES = ((500.0, 1e-6), (50.0, 1e-4), (20.0, 1e-2))  # width, noise variance
GRIDS: dict[Preset, tuple[int, tuple[int, ...], int]] = {  # size, dimensions, repeats
    "quick": (64, (2, 8), 2),
    "paper": (128, (2, 8, 32), 5),
}


def trials(preset: Preset) -> list[Trial]:
    """Return every law and regime, each descended from four starts."""
    n, dims, repeats = GRIDS[preset]
    return [
        Trial(
            data=GaussianClasses(n=n, dim=dim, class_means=means),
            measurement=AdaptiveNC1(
                width=width, noise_variance=noise, starts=("nngp", "published", "random", "annealed")
            ),
            seed=seed,
        )
        for means in LAWS.values()
        for dim in dims
        for width, noise in REGIMES
        for seed in range(repeats)
    ]


def _done(rows: pd.DataFrame) -> pd.DataFrame:
    done = rows[rows["status"] == "ok"]
    return done.assign(law=done["data"].replace("gaussian_classes", "overlapping"))


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw the spread of the free energies that the starts reach."""
    return [
        Figure(
            "minima-adaptive",
            "Difference between the highest and the lowest free energy that the four starts reach, relative to what "
            "is gained over the NNGP, a point a problem (at least 1e-10). Above the dotted line the minima differ.",
            _draw(_done(rows)),
        )
    ]


def _draw(done: pd.DataFrame) -> Plot:
    marks: list[Mark] = [
        Points(
            part["free_energy_gain"],
            (part["minima_spread"] / part["free_energy_gain"]).clip(lower=1e-10),
            size=24**0.5,
            alpha=0.7,
            name=str(law),
            color=colour,
        )
        for (law, part), colour in zip(done.groupby("law", sort=False), cycle(CYCLE), strict=False)
    ]
    panel = Panel(
        marks=[*marks, Level(1e-6, dashes=":", width=1)],
        x=Axis(label="gain in free energy over the NNGP", scale="log"),
        y=Axis(label="spread of the minima / gain", scale="log"),
        legend=Legend(),
    )
    return Plot(rows=[[panel]], size=(7.5, 3.4))


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate how often the starts disagree."""
    done = _done(rows)
    groups = done.groupby(["law", "dim", "width", "noise_variance"], sort=False)
    table = groups.agg(
        problems=("seed", "size"),
        differ=("same_minimum", lambda same: int((same == 0).sum())),
        largest_spread=("minima_spread", "max"),
        least_gain=("free_energy_gain", "min"),
    ).reset_index()
    note = (
        "Starts: the NNGP, the published code's solution, a random Wishart matrix, and a path down in width."
    )
    return [Table("How often the starts end in different minima", table, note)]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether every start finds the same minimum."""
    done = _done(rows)
    same = int(done["same_minimum"].sum())
    shares = [f"{law} {int(part['same_minimum'].sum())} of {len(part)}" for law, part in done.groupby("law")]
    columns = [
        "law",
        "n",
        "dim",
        "width",
        "noise_variance",
        "seed",
        "minima_spread",
        "free_energy_gain",
        "same_minimum",
    ]
    evidence = done[columns].assign(
        cell=[
            f"{row.law}, d={row.dim}, width {row.width:g}, σ²={row.noise_variance:g}, seed {row.seed}"
            for row in done.itertuples()
        ],
        verdict=np.where(done["same_minimum"] == 1, "holds", "fails"),
    )
    return [
        Verdict.of_cells(
            "Every start of the descent finds the same minimum.",
            f"In {same} of {len(done)} problems ({', '.join(shares)}).",
            "Free energies of the four solutions agree to 1e-6 of what was gained over the NNGP.",
            evidence,
        )
    ]


EXPERIMENT = Experiment(
    name="adaptive-minima",
    title="Adaptive kernel, several minima",
    question="Does the free energy have more than one minimum that a descent can end in?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
