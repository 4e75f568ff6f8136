"""Which kernels that learn features follow networks, and where deep RFMs fail and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Table, Verdict
from kernel_collapse.report.style import ACTIVATION_NAMES, KERNEL_NAMES
from kernel_collapse_paper.experiments import topics
from kernel_collapse_paper.experiments._nearest import nearest
from kernel_collapse_paper.experiments.feature_learning.grid import MACHINES, NAMES, OTHERS

__all__ = ["ALL_NAMES", "plain", "tables", "verdicts"]

#: Names of kernels, deep RFMs among them.
ALL_NAMES = KERNEL_NAMES | NAMES
CELLS = ["data", "activation", "kernel", "layer"]
#: A kernel follows the network where NC1 differs by less than this factor.
NEAR = 2.0
FALL = "fall of log10 NC1"
#: Kernels of networks that learn features, as sentences begin with them.
WORDS = {
    "adaptive": "The Gaussian equations of state",
    "mean-field": "The mean field",
    "posterior": "The posterior",
}


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without those in which deep RFMs of D2 are tried in other ways."""
    return table[(table["targets"] == "given") & ~table["constant"]]


def tables(table: pd.DataFrame) -> list[Table]:
    """Tabulate NC1 of every kernel and layer, and what the parts of a layer of deep RFMs make of it."""
    common = plain(table)
    rows = ["data", "activation", "layer"]
    nc1 = common.pivot_table(index=rows, columns="kernel", values="nc1", aggfunc="mean", sort=False)
    nc1 = nc1.reindex(columns=[name for name in (*OTHERS, *MACHINES) if name in nc1])
    machines = table[table["kernel"].isin(MACHINES)].replace({"kernel": NAMES})
    parts = machines.groupby([*CELLS, "targets", "constant"], sort=False)[
        ["nc1_input", "nc1_agop", "nc1"]
    ].mean()
    parts.columns = ["input", "after M^{1/2}", "features"]
    return [
        Table("NC1 of every layer, mean over seeds", nc1.rename(columns=ALL_NAMES).reset_index()),
        Table(
            "NC1 of the three kernels of every layer of deep RFMs, mean over seeds",
            parts.reset_index(),
            "Nothing where NC1 is below what float64 tells.",
        ),
    ]


def verdicts(table: pd.DataFrame) -> list[Verdict]:
    """Judge what follows trained networks, what a layer of deep RFMs does, and why they fail on D2."""
    common = plain(table)
    machines = common[common["kernel"].isin(MACHINES)]
    kinds = {**{words: [kernel] for kernel, words in WORDS.items()}, "Deep RFM": list(MACHINES)}
    layer = "log_nc1_input", "log_nc1_agop", "log_nc1"
    judged = [
        *(_direction(common, kernels, words) for words, kernels in kinds.items()),
        *(_follows(common, kernels, words) for words, kernels in kinds.items()),
        nearest(
            "Of the NNGP, the NTK, the equations of state and deep RFM, the equations of state are nearest to the "
            "trained network in every layer.",
            common,
            ["data", "activation", "layer"],
            ("nngp", "ntk", "adaptive", *MACHINES),
            "adaptive",
            ALL_NAMES,
            lambda row: f"{ACTIVATION_NAMES[row['activation']]}, {row['data']}, layer {row['layer']}",
        ),
        _falls("Each layer of a deep RFM lowers NC1.", machines, layer[0], layer[2]),
        _falls("M^{1/2} lowers NC1 in each layer of a deep RFM.", machines, layer[0], layer[1]),
        _falls("The activation lowers NC1 in each layer of a deep RFM.", machines, layer[1], layer[2]),
        *_on_d2(table),
    ]
    return [verdict.about(topics.LAYERS) for verdict in judged]


def _name(row: pd.Series[Any]) -> str:
    """Return the name of a cell, of as many columns as it has."""
    kernel = f"{row['kernel']}, " if row["kernel"] in MACHINES else ""
    return f"{kernel}{ACTIVATION_NAMES[row['activation']]}, {row['data']}, layer {row['layer']}"


def _beside(table: pd.DataFrame, kernels: list[str], other: str) -> pd.DataFrame:
    """Return the rows of these kernels with log10 NC1 of another one in the same layer and seed."""
    on = ["data", "activation", "layer", "seed"]
    of_other = table.loc[table["kernel"] == other, [*on, "log_nc1"]].rename(columns={"log_nc1": other})
    return table[table["kernel"].isin(kernels)].merge(of_other, on=on)


def _by(kernels: list[str]) -> str:
    return "kernel" if len(kernels) > 1 else "data"


def _direction(table: pd.DataFrame, kernels: list[str], words: str) -> Verdict:
    """Judge whether kernels differ from the NNGP in the direction of the trained network."""
    rows = _beside(table, kernels, "network")
    nngp = _beside(table, kernels, "nngp")["nngp"]
    along = np.sign(rows["network"] - nngp) * (rows["log_nc1"] - nngp)
    moved = rows.assign(along=along)
    return intervals.above_zero(
        f"{words}: NC1 of every layer differs from that of the NNGP in the direction in which training moves it.",
        intervals.paired(moved.assign(along=0.0), moved, "along", CELLS),
        _name,
        gap="change of log10 NC1 in the network's direction",
        by=_by(kernels),
    )


def _follows(table: pd.DataFrame, kernels: list[str], words: str) -> Verdict:
    """Judge whether kernels have the NC1 of the trained network within a factor."""
    rows = _beside(table, kernels, "network")
    return intervals.within(
        f"{words}: NC1 of every layer is that of the trained network within a factor of {NEAR:g}.",
        intervals.paired(rows.assign(log_nc1=rows["network"]), rows, "log_nc1", CELLS),
        _name,
        margin=float(np.log10(NEAR)),
        gap="gap log10 NC1(kernel) − log10 NC1(trained network)",
        by=_by(kernels),
    )


def _falls(claim: str, machines: pd.DataFrame, before: str, after: str) -> Verdict:
    """Judge whether NC1 falls from one of the kernels of a layer to another."""
    first, second = (machines.assign(log=machines[column]) for column in (before, after))
    return intervals.above_zero(
        claim, intervals.paired(second, first, "log", CELLS), _name, gap=FALL, by="kernel"
    )


def _on_d2(table: pd.DataFrame) -> list[Verdict]:
    """Judge what it takes for deep RFMs to collapse D2: other targets, or samples that differ in direction."""
    rows = table[(table["data"] == "D2") & table["kernel"].isin(MACHINES)]
    last = rows[rows["layer"] == rows["layer"].max()]
    inputs = rows[rows["layer"] == 1].assign(log_nc1=rows["log_nc1_input"])
    one_hot, beside = last["targets"] == "one-hot", last["constant"]
    plain_inputs, other_inputs = inputs[~inputs["constant"]], inputs[inputs["constant"]]
    cells = ["activation", "kernel", "targets"]
    return [
        _gap("On D2 deep RFM collapses its inputs.", last[~beside], plain_inputs, cells),
        _gap(
            "One-hot targets in place of −3, −1, 1, 3 collapse the last layer of deep RFM on D2 further.",
            last[one_hot & ~beside],
            last[~one_hot & ~beside],
            cells[:-1],
        ),
        _gap(
            "A constant feature beside the inputs, by which classes of one direction differ, collapses the last layer "
            "of deep RFM on D2 further.",
            last[beside],
            last[~beside],
            cells,
        ),
        _gap(
            "With a constant feature deep RFM collapses its inputs on D2.", last[beside], other_inputs, cells
        ),
    ]


def _gap(claim: str, lower: pd.DataFrame, higher: pd.DataFrame, cells: list[str]) -> Verdict:
    """Judge whether NC1 of the first rows is below that of the second, on D2."""

    def name(row: pd.Series[Any]) -> str:
        targets = f", targets {row['targets']}" if "targets" in row else ""
        return f"{row['kernel']}, {ACTIVATION_NAMES[row['activation']]}{targets}"

    return intervals.above_zero(
        claim, intervals.paired(lower, higher, "log_nc1", cells), name, gap=FALL, by="kernel"
    )
