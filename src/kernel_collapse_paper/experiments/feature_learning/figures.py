"""The figures of kernels that learn features: NC1 by layer on every law, and what it takes on D2."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure
from kernel_collapse.report.plot import Axis, Legend, Level, Mark, Panel, Plot, at, means
from kernel_collapse.report.style import ACTIVATION_NAMES, KERNEL_COLOURS
from kernel_collapse_paper.experiments.feature_learning.grid import (
    CONSTANT,
    DEPTH,
    LAWS,
    MACHINES,
    NAMES,
    NOISE,
    OTHERS,
    WIDTH,
)
from kernel_collapse_paper.experiments.feature_learning.verdicts import plain
from kernel_collapse_paper.experiments.looks import decades, of_kernel

__all__ = ["figures"]

#: Those drawn beside the others, and how: one colour, dashes by kernel.
DRAWN = {"Laplace 0.5": ":", "Laplace 2": "-", "Gaussian 1.5": "--"}
LOWEST = -3.5
#: What D2 is tried with: its name, dashes and marker.
WAYS = {
    ("given", False): ("targets −3, −1, 1, 3", "-", "o"),
    ("one-hot", False): ("one-hot targets", "--", "s"),
    ("given", True): ("−3, −1, 1, 3, constant feature", "-", "^"),
    ("one-hot", True): ("one-hot, constant feature", "--", "D"),
}
#: Without a constant feature and with one.
COLOURS = {False: KERNEL_COLOURS["deep-rfm"], True: "#D55E00"}


def figures(table: pd.DataFrame) -> list[Figure]:
    """Draw NC1 by layer of every kernel on every law, and of deep RFMs on D2 in every way that they are tried."""
    about = (
        f"Networks of {DEPTH} hidden layers of {WIDTH} units, readout variance 1/128; noise variance, and ridge of "
        f"deep RFMs, {NOISE:g}. Mean and one standard deviation over seeds."
    )
    drawn = [
        Figure(
            f"feature-learning-{activation}",
            f"NC1 of every hidden layer, {ACTIVATION_NAMES[activation]}: kernels that know no labels (NTK, NNGP), "
            "kernels that learn features (Gaussian equations of state, mean field, deep RFM), the posterior and "
            f"trained networks. Dotted grey: the data themselves. {about} Lines are cut at the frame, at log10 NC1 "
            f"= {LOWEST:g}, and end where NC1 is below what float64 tells.",
            _by_law(plain(table[table["activation"] == activation])),
        )
        for activation in ("relu", "erf")
        if activation in set(table["activation"])
    ]
    on_d2 = table[(table["data"] == "D2") & (table["activation"] == "relu")]
    return [
        *drawn,
        Figure(
            "feature-learning-D2",
            "Deep RFM on D2, ReLU: NC1 of the features by layer with targets −3, −1, 1, 3 and with one-hot ones, and "
            f"with a constant feature of {CONSTANT:g} beside the inputs, by which classes of one direction differ "
            "after rows have been scaled to unit length. Layer 0 is the input. Mean and one standard deviation over "
            "seeds.",
            _on_d2(on_d2),
        ),
    ]


def _by_law(table: pd.DataFrame) -> Plot:
    """Return a panel a law."""
    x = at(list(range(1, DEPTH + 1)), "hidden layer", "linear")
    panels = [
        Panel(marks=_marks(of), x=x, y=_y_of(of), title=law)
        for law in LAWS
        if len(of := table[table["data"] == law])
    ]
    across = min(3, len(panels))
    grid: list[list[Panel | None]] = [list(panels[i : i + across]) for i in range(0, len(panels), across)]
    grid[-1] += [None] * (across - len(grid[-1]))
    return Plot(
        rows=grid,
        size=(3.0 + 2.9 * across, 0.4 + 2.8 * len(grid)),
        legend=Legend(where="outside right center"),
    )


def _y_of(table: pd.DataFrame) -> Axis:
    """Return the axis of a panel, which ends above what would press the rest together."""
    far = table.loc[table["kernel"].isin(DRAWN), "log_nc1"].min() < LOWEST
    return decades("NC1", low=LOWEST if far else None)


def _marks(table: pd.DataFrame) -> list[Mark]:
    marks: list[Mark] = []
    for kernel in (*OTHERS, *DRAWN):
        of = table[(table["kernel"] == kernel) & table["log_nc1"].notna()]
        if not len(of):
            continue
        look: dict[str, Any] = {"name": NAMES[kernel], "dashes": DRAWN[kernel]} if kernel in DRAWN else {}
        look = of_kernel("deep-rfm" if kernel in DRAWN else kernel) | look
        bold = kernel in ("network", "posterior")
        seen = intervals.summarise(of, "log_nc1", ["layer"])
        marks.append(means(seen, "layer", width=2.4 if bold else 1.4, **look))
    level = table.drop_duplicates("seed")["log_nc1_data"].mean()
    return [*marks, Level(level, color=KERNEL_COLOURS["data"], name="data themselves", width=1.2, dashes=":")]


def _on_d2(table: pd.DataFrame) -> Plot:
    """Return a panel a deep RFM, of its input and features in every way that it is tried."""
    x = at(list(range(DEPTH + 1)), "layer", "linear")
    panels = []
    for kernel in MACHINES:
        marks: list[Mark] = []
        for (targets, constant), (name, dashes, marker) in WAYS.items():
            chosen = (
                (table["kernel"] == kernel) & (table["targets"] == targets) & (table["constant"] == constant)
            )
            of = table[chosen]
            first = of[of["layer"] == 1]
            of = pd.concat([first.assign(layer=0, log_nc1=first["log_nc1_input"]), of])
            seen = intervals.summarise(of[of["log_nc1"].notna()], "log_nc1", ["layer"])
            look: dict[str, Any] = {
                "color": COLOURS[constant],
                "marker": marker,
                "dashes": dashes,
                "name": name,
            }
            marks.append(means(seen, "layer", **look))
        panels.append(Panel(marks=marks, x=x, y=decades("NC1"), title=kernel))
    return Plot(
        rows=[panels],
        size=(13, 3.4),
        share_y="row",
        legend=Legend(where="outside lower center", layout={"ncols": 4}),
    )
