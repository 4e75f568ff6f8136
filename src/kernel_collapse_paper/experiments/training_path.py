"""NC1 of every layer of a deep network while it trains, far into the terminal phase."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Level, Line, Mark, Panel, Plot, means
from kernel_collapse.report.style import ACTIVATION_NAMES, CYCLE, sizes_palette
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import NetworkNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import topics

#: Last epoch, repeats.
GRIDS: dict[Preset, tuple[int, int]] = {"quick": (3000, 5), "paper": (100_000, 10)}
DEPTH, WIDTH = 3, 64
#: Classes that overlap in every coordinate: on the paper's data a first epoch or two end all errors.
LAW = GaussianClasses(n=64, dim=8, class_means=(-0.5, 0.5))
ACTIVATIONS = ("erf", "relu")
CELLS = ["activation", "layer"]


def trials(preset: Preset) -> list[Trial]:
    """Return deep networks of both activations on a small problem."""
    last, repeats = GRIDS[preset]
    probes = sorted({0, last, *(round(e) for e in np.geomspace(1, last, 40))})
    return [
        Trial(
            data=LAW,
            measurement=NetworkNC1(
                activation=activation,
                width=WIDTH,
                depth=DEPTH,
                epochs=last,
                learning_rate=0.02,
                weight_decay=5e-3,
                readout_variance=1.0,
                probes=tuple(probes),
                precision="float64",
            ),
            seed=seed,
        )
        for activation in ACTIVATIONS
        for seed in range(repeats)
    ]


def paths(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a network, epoch and layer: log10 NC1 and loss."""
    done = rows[rows["status"] == "ok"]
    parts = []
    for _, row in done.iterrows():
        nc1 = np.asarray(row["path_nc1"], dtype=float)
        for layer in range(nc1.shape[1]):
            parts.append(
                pd.DataFrame(
                    {
                        "activation": row["activation"],
                        "seed": row["seed"],
                        "layer": layer + 1,
                        "epoch": row["path_epochs"],
                        "log_nc1": np.log10(nc1[:, layer]),
                        "log_loss": np.log10(row["path_loss"]),
                        "nc3_cosine": row["path_nc3_cosine"],
                        "zero_error": row["zero_error_epoch"],
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 of the layers, the loss and the cosine of NC3 against the epoch."""
    path = paths(rows)
    return [
        Figure(
            "training-path",
            f"Two classes (means −0.5, 0.5), N = 64, d = 8, three hidden layers of {WIDTH} units: NC1 of each "
            f"layer, loss (grey, dashed) and NC3, the cosine (right) against the epoch, to {path['epoch'].max()}. "
            "Vertical line: median epoch of zero training error. Mean and one standard deviation over "
            f"{path['seed'].nunique()} networks.",
            _draw(path),
        )
    ]


def _draw(path: pd.DataFrame) -> Plot:
    epochs = Axis(label="epoch", scale="symlog", low=0)
    panels, alignment = [], []
    for activation, colour in zip(ACTIVATIONS, CYCLE, strict=False):
        of, name = path[path["activation"] == activation], ACTIVATION_NAMES[activation]
        first = of[of["layer"] == 1]
        marks: list[Mark] = [
            means(
                intervals.summarise(of[of["layer"] == layer], "log_nc1", ["epoch"]),
                "epoch",
                marker="",
                color=shade,
                name=f"layer {layer}",
            )
            for layer, shade in enumerate(sizes_palette(DEPTH), start=1)
        ]
        loss = intervals.summarise(first, "log_loss", ["epoch"])
        zero_error = float(of.groupby("seed")["zero_error"].first().median())
        grey: dict[str, Any] = {"color": "#777777", "group": "loss"}
        marks += [
            Line(loss["epoch"], loss["mean"], dashes="--", name="loss", **grey),
            Level(zero_error, axis="x", width=0.8, **grey),
        ]
        y = Axis(label=r"$\log_{10}$ NC1(H), $\log_{10}$ loss", logarithms=True)
        panels.append(Panel(marks=marks, x=epochs, y=y, title=name, legend=Legend()))
        last = intervals.summarise(first, "nc3_cosine", ["epoch"])
        alignment.append(Line(last["epoch"], last["mean"], name=name, color=colour))
    title = "NC3: cosine of readout and class means"
    panels.append(Panel(marks=alignment, x=epochs, y=Axis(high=1.02), title=title, legend=Legend()))
    return Plot(rows=[panels], size=(11, 3.5))


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate start, zero error and end."""
    path = paths(rows)
    ends = path.groupby([*CELLS, "seed"]).agg(start=("log_nc1", "first"), end=("log_nc1", "last"))
    table = ends.groupby(CELLS).agg(["mean", "std"])
    table.columns = [f"log10 NC1 {which}, {what}" for which, what in table.columns]
    return [Table("NC1 of each layer at the start and the end", table.reset_index())]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether NC1 falls with training, goes on falling in the terminal phase, and falls with depth."""
    path = paths(rows)
    last = path["epoch"].max()
    start, end = (path[path["epoch"] == epoch] for epoch in (0, last))
    middle_epoch = path.loc[path["epoch"] <= last / 10, "epoch"].max()
    middle = path[path["epoch"] == middle_epoch]

    def name(row: pd.Series[float]) -> str:
        return f"{ACTIVATION_NAMES[str(row['activation'])]}, layer {row['layer']}"

    deeper = end.assign(layer=end["layer"] - 1)
    return [
        intervals.above_zero(
            "Training collapses every layer.",
            intervals.paired(end, start, "log_nc1", CELLS),
            name,
            gap="fall of log10 NC1",
        ).about(topics.LAYERS),
        intervals.above_zero(
            f"In the last decade of epochs ({middle_epoch} to {last}), after zero training error, NC1 goes on falling.",
            intervals.paired(end, middle, "log_nc1", CELLS),
            name,
            gap="fall of log10 NC1",
        ).about(topics.LIMIT),
        intervals.above_zero(
            "At the end, each layer is more collapsed than the one below.",
            intervals.paired(deeper[deeper["layer"] > 0], end[end["layer"] < DEPTH], "log_nc1", CELLS),
            lambda row: f"{ACTIVATION_NAMES[row['activation']]}, layer {row['layer']} to {row['layer'] + 1}",
            gap="fall of log10 NC1",
        ).about(topics.LAYERS),
    ]


EXPERIMENT = Experiment(
    name="training-path",
    title="Collapse while training",
    question="How does NC1 of each layer fall with the epochs, and does it stop?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
