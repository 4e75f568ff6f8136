"""What the two experiments on trained networks share: measurements, panels, verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Table, Verdict
from kernel_collapse.report.style import (
    ACTIVATION_NAMES,
    KERNEL_COLOURS,
    KERNEL_NAMES,
    band,
    sizes_palette,
    style,
    ticks_at,
)
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1, NetworkNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import _limiting

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

__all__ = ["certificates", "panels", "prepare", "trials_of", "verdicts"]

ACTIVATIONS = ("erf", "relu")
#: The networks of the published code, and the scale that its equations of state assume.
READOUTS = {"published": 1.97**2, "mean-field": 1 / 128}
READOUT_NAMES = {"published": r"$\sigma_a^2 = 1.97^2$", "mean-field": r"$\sigma_a^2 = 1/128$"}
READOUT_WORDS = {"published": "readout 1.97²", "mean-field": "readout 1/128"}


def trials_of(laws: Sequence[GaussianClasses], seeds: int, **training: Any) -> list[Trial]:
    """Return data, NNGP, and networks and adaptive kernel (erf) at both readout scales.

    Every seed has data and weights of its own. The networks are the published ones but for `training`.
    """
    return [
        Trial(data=law, measurement=m, seed=s)
        for law in laws
        for s in range(seeds)
        for m in _measurements(training)
    ]


def _measurements(training: dict[str, Any]) -> list[KernelNC1 | NetworkNC1 | AdaptiveNC1]:
    measurements: list[KernelNC1 | NetworkNC1 | AdaptiveNC1] = [
        KernelNC1(kernel="data"),
        *(AdaptiveNC1(readout_variance=variance) for variance in READOUTS.values()),
    ]
    for activation in ACTIVATIONS:
        measurements.append(KernelNC1(kernel="nngp", activation=activation))
        measurements += [
            NetworkNC1(activation=activation, readout_variance=variance, **training)
            for variance in READOUTS.values()
        ]
    return measurements


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the finished rows with log10 NC1, and which readout scale a network has."""
    rows = _limiting.prepare(rows)
    names = {variance: name for name, variance in READOUTS.items()}
    return rows.assign(readout=rows["readout_variance"].map(names).fillna("none"))


def panels(rows: pd.DataFrame, lines: str, name_line: Callable[[Any], str], legend: str) -> MatplotlibFigure:
    """Draw log10 NC1(H) (top) and log10 NC1(H)/NC1(X) against d: a column an activation and readout scale."""
    from matplotlib.figure import Figure

    values = sorted(rows[lines].unique())
    columns = [(activation, readout) for activation in ACTIVATIONS for readout in READOUTS]
    with style():
        figure = Figure(figsize=(11.5, 5.6))
        grid = figure.subplots(2, len(columns), sharex=True, sharey="row")
        for row, column in zip(grid, ("log_nc1", "log_nc1_ratio"), strict=True):
            for axes, (activation, readout) in zip(row, columns, strict=True):
                of = rows[rows["activation"] == activation]
                networks = of[(of["kernel"] == "network") & (of["readout"] == readout)]
                for value, colour in zip(values, sizes_palette(len(values)), strict=True):
                    part = networks[networks[lines] == value]
                    band(
                        axes,
                        intervals.summarise(part, column, ["dim"]),
                        "dim",
                        color=colour,
                        label=name_line(value),
                    )
                limit = of[(of["kernel"] == "nngp") & (of[lines] == values[-1])]
                table = intervals.summarise(limit, column, ["dim"])
                dotted: dict[str, Any] = {
                    "color": KERNEL_COLOURS["nngp"],
                    "linestyle": ":",
                    "label": KERNEL_NAMES["nngp"],
                }
                if len(table) > 1:
                    axes.plot(table["dim"], table["mean"], **dotted)
                else:  # a line of one point is not seen
                    axes.axhline(table["mean"].mean(), **dotted)
                ticks_at(axes, sorted(rows["dim"].unique()))
                if column == "log_nc1":
                    axes.set_title(f"{ACTIVATION_NAMES[activation]} · {READOUT_NAMES[readout]}")
                else:
                    axes.set_xlabel("dimension d")
        grid[0, 0].set_ylabel(r"$\log_{10}$ NC1(H)")
        grid[1, 0].set_ylabel(r"$\log_{10}$ NC1(H) / NC1(X)")
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, title=legend, loc="outside right center")
    return figure


def certificates(rows: pd.DataFrame, cells: Sequence[str]) -> Table:
    """Tabulate what the networks had learnt when NC1 was measured."""
    done = rows[(rows["kernel"] == "network") & (rows["status"] == "ok")]
    names = {variance: name for name, variance in READOUTS.items()}
    table = (
        done.assign(readout=done["readout_variance"].map(names))
        .groupby(["activation", "readout", *cells])
        .agg(
            networks=("seed", "size"),
            accuracy=("accuracy", "mean"),
            loss=("loss", "mean"),
            NC1_start=("nc1_start", "mean"),
            NC1_end=("nc1_paper", "mean"),
            NC3_cosine=("nc3_cosine", "mean"),
            NC4=("nc4", "mean"),
            largest_eigenvalue=("largest_eigenvalue", "mean"),
        )
    )
    table.columns = [name.replace("_", " ") for name in table.columns]
    note = (
        "Means over networks at the end of training. NC3 cosine: that of the readout and the centred class means. NC4: "
        "share of samples on which network and nearest class mean agree. Largest eigenvalue of W'W/N in units of its "
        "prior."
    )
    return Table("What the networks had learnt", table.reset_index(), note)


def verdicts(rows: pd.DataFrame, cells: list[str], name: Callable[[Any], str]) -> list[Verdict]:
    """Judge training against the start of a wide network, erf against ReLU, and the readout scale."""
    networks = rows[rows["kernel"] == "network"]
    nngp = rows[rows["kernel"] == "nngp"].drop(columns="readout")
    limit = pd.concat([nngp.assign(readout=readout) for readout in READOUTS])

    def of(row: Any) -> str:
        return f"{ACTIVATION_NAMES[row['activation']]}, {READOUT_WORDS[row['readout']]}, {name(row)}"

    def split(column: str, first: str, second: str, others: list[str]) -> pd.DataFrame:
        sides = [networks[networks[column] == value] for value in (first, second)]
        return intervals.paired(sides[0], sides[1], "log_nc1", [*others, *cells])

    return [
        intervals.above_zero(
            "A trained network is more collapsed than the NNGP.",
            intervals.paired(networks, limit, "log_nc1", ["activation", "readout", *cells]),
            of,
            gap="fall of log10 NC1",
            by="activation",
        ),
        intervals.above_zero(
            "Trained networks of erf collapse more than those of ReLU.",
            split("activation", "erf", "relu", ["readout"]),
            lambda row: f"{READOUT_WORDS[row['readout']]}, {name(row)}",
            gap="gap log10 NC1(ReLU) − log10 NC1(erf)",
        ),
        intervals.above_zero(
            "The published readout scale collapses networks more than the scale that the equations of state assume.",
            split("readout", "published", "mean-field", ["activation"]),
            lambda row: f"{ACTIVATION_NAMES[row['activation']]}, {name(row)}",
            gap="gap log10 NC1(readout 1/128) − log10 NC1(readout 1.97²)",
            by="activation",
        ),
    ]
