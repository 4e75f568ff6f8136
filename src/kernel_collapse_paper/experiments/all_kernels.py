"""Every kernel, the posterior and trained networks on one axis, at the same hyper-parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse import data
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Level, Mark, Panel, Plot, at, means
from kernel_collapse.report.style import KERNEL_COLOURS, KERNEL_NAMES
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1, MeanFieldNC1, NetworkNC1, PosteriorNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import published as published_code
from kernel_collapse_paper.experiments import topics
from kernel_collapse_paper.experiments._nearest import nearest
from kernel_collapse_paper.experiments.conclusions import Words, of_claims
from kernel_collapse_paper.experiments.designs import name_balanced
from kernel_collapse_paper.experiments.logs import with_logs
from kernel_collapse_paper.experiments.looks import of_kernel

#: Draws a chain, and for each law its sizes, dimensions and repeats: the posterior of D2 takes ten times as long.
Grid = tuple[tuple[int, ...], tuple[int, ...], int]
GRIDS: dict[Preset, tuple[int, dict[tuple[float, ...], Grid]]] = {
    "quick": (600, {data.D1_MEANS: ((32,), (2, 8, 32), 3), data.D2_MEANS: ((32,), (8,), 1)}),
    "paper": (
        1000,
        {data.D1_MEANS: ((48, 96), (1, 2, 8, 32), 5), data.D2_MEANS: ((48,), (2, 8, 32), 3)},
    ),
}
WIDTH, READOUT, NOISE = 200, 1 / 128, 1e-2
#: In the order of the legend: what does not know the labels, what does, what it is held against.
KERNELS = (
    "ntk",
    "nngp",
    "adaptive-published",
    "adaptive",
    "mean-field",
    "posterior",
    "network",
    "network-decayed",
)
EXPLAINED = ("adaptive-published", "adaptive", "mean-field", "network", "network-decayed")
CELLS = ["data", "n", "dim"]
#: Two kernels follow one another where their NC1 differ by less than this factor.
FOLLOWS = 1.03
NEAR = 1.10


def trials(preset: Preset) -> list[Trial]:
    """Return every kernel and network on D1 and D2."""
    draws, laws = GRIDS[preset]
    return [
        Trial(data=GaussianClasses(n=n, dim=dim, class_means=means), measurement=m, seed=seed)
        for means, (sizes, dims, seeds) in laws.items()
        for n in sizes
        for dim in dims
        for seed in range(seeds)
        for m in _measurements(n, draws)
    ]


def _measurements(n: int, draws: int) -> list[Any]:
    prior: dict[str, Any] = {"width": WIDTH, "readout_variance": READOUT}
    noisy = {**prior, "noise_variance": NOISE}
    # Descent from a draw of the prior. Weight decay 2 sigma^2 / n makes the loss the posterior's negative logarithm,
    # so that the second network ends at its mode.
    descent = {**prior, "parameterisation": "ntk", "learning_rate": 10.0}
    return [
        KernelNC1(kernel="data"),
        KernelNC1(kernel="nngp", activation="erf"),
        KernelNC1(kernel="ntk", activation="erf"),
        AdaptiveNC1(**noisy),
        AdaptiveNC1(**noisy, label_term="published"),
        MeanFieldNC1(**noisy),
        PosteriorNC1(**noisy, draws=draws),
        NetworkNC1(**descent, epochs=300, weight_decay=0.0),
        NetworkNC1(**descent, epochs=3000, weight_decay=2 * NOISE / n),
    ]


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the finished rows with log10 NC1; the decayed network is a kernel of its own."""
    rows = rows.copy()
    rows.loc[(rows["kernel"] == "network") & (rows["weight_decay"] > 0), "kernel"] = "network-decayed"
    return with_logs(rows)


def _explained(logs: pd.DataFrame) -> pd.DataFrame:
    """Return (NC1(NNGP) - NC1(kernel)) / (NC1(NNGP) - NC1(posterior)) of each cell and seed."""
    wide = logs.pivot_table(index=[*CELLS, "seed"], columns="kernel", values="nc1_paper")
    wide = wide.reindex(columns=list(KERNELS))
    shares = wide[list(EXPLAINED)].rsub(wide["nngp"], axis=0).div(wide["nngp"] - wide["posterior"], axis=0)
    return shares.reset_index().melt([*CELLS, "seed"], var_name="kernel", value_name="share").dropna()


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 of everything, and how much of the posterior's collapse each explains."""
    logs = prepare(rows)
    largest = logs.groupby("data")["n"].transform("max")
    drawn, repeats = logs[logs["n"] == largest], logs["seed"].nunique()
    sizes = ", ".join(f"N = {part['n'].max()} on {law}" for law, part in drawn.groupby("data"))
    return [
        Figure(
            "all-kernels",
            f"{sizes}; erf, width {WIDTH}, readout variance 1/128, noise variance {NOISE:g}: NC1 of every kernel, of "
            "the posterior and of trained networks (left), relative to that of the data (middle), and the share of "
            "the posterior's change from the NNGP that each makes (right; 1: all of it, 0: none, below 0: the other "
            "way). The NTK is left out on the right: it knows no labels, so nothing of that change is its own. "
            f"Mean and one standard deviation over {repeats} seeds at most.",
            _draw(drawn),
        )
    ]


def _draw(logs: pd.DataFrame) -> Plot:
    shares = _explained(logs)
    columns = (
        (logs, "log_nc1", r"$\log_{10}$ NC1(H)"),
        (logs, "log_nc1_ratio", r"$\log_{10}$ NC1(H) / NC1(X)"),
        (shares, "share", "share of the change explained"),
    )
    grid = []
    for law in sorted(logs["data"].unique()):
        row = []
        for table, column, label in columns:
            of = table[table["data"] == law]
            marks: list[Mark] = [
                means(
                    intervals.summarise(of[of["kernel"] == kernel], column, ["dim"]),
                    "dim",
                    width=2.4 if kernel == "posterior" else 1.4,
                    **of_kernel(kernel, KERNELS),
                )
                for kernel in KERNELS
                if kernel in set(of["kernel"])
            ]
            if column == "share":
                for value, kernel in ((1, "posterior"), (0, "nngp")):
                    look: dict[str, Any] = {"color": KERNEL_COLOURS[kernel], "group": KERNEL_NAMES[kernel]}
                    marks.append(Level(value, width=1, **look))
            x = at(sorted(logs["dim"].unique()), "dimension d")
            y = Axis(label=f"{law}: {label}", logarithms=column != "share")
            row.append(Panel(marks=marks, x=x, y=y))
        grid.append(row)
    return Plot(rows=grid, size=(12, 3.4 * len(grid)), legend=Legend(where="outside right center"))


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate the published adaptive kernel beside the exact one, NC1 of everything, and the shares explained."""
    logs = prepare(rows)
    nc1 = logs.pivot_table(index=CELLS, columns="kernel", values="nc1_paper", aggfunc="mean")
    kept = [kernel for kernel in KERNELS if kernel in nc1]
    shares = _explained(logs).pivot_table(index=CELLS, columns="kernel", values="share", aggfunc="mean")
    sampled = logs[logs["kernel"].isin(["mean-field", "posterior"])]
    errors = sampled.assign(relative=sampled["nc1_error"] / sampled["nc1_paper"])
    certificates = errors.groupby(["kernel", *CELLS]).agg(
        worst_relative_error=("relative", "max"),
        converged=("solver", lambda s: int((s == "converged").sum())),
        of=("solver", "size"),
        worst_rhat=("rhat", "max"),
        least_ess=("ess", "min"),
    )
    certificates.columns = [name.replace("_", " ") for name in certificates.columns]
    return [
        *published_code.label_term_table(rows, CELLS),
        Table("NC1(H), mean over seeds", nc1[kept].rename(columns=KERNEL_NAMES).reset_index()),
        Table(
            "Share of the posterior's change from the NNGP, mean over seeds",
            shares.rename(columns=KERNEL_NAMES).reset_index(),
            "(NC1(NNGP) - NC1(kernel)) / (NC1(NNGP) - NC1(posterior)): 1 is all of it, more than 1 goes further.",
        ),
        Table("Monte Carlo errors of the sampled kernels", certificates.reset_index()),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge which kernel follows the posterior, and which the trained network."""
    logs = prepare(rows)
    of = {kernel: logs[logs["kernel"] == kernel] for kernel in KERNELS}

    def follows(claim: str, first: str, second: str, margin: float) -> Verdict:
        return intervals.within(
            claim,
            intervals.paired(of[first], of[second], "log_nc1", CELLS),
            name_balanced,
            margin=np.log10(margin),
            gap=f"gap log10 NC1({KERNEL_NAMES[second]}) − log10 NC1({KERNEL_NAMES[first]})",
            by="data",
        ).about(topics.LIMIT)

    return [
        follows("The mean field gives the NC1 of the posterior to 3 %.", "posterior", "mean-field", FOLLOWS),
        follows(
            "The Gaussian equations of state give the NC1 of the posterior to 3 %.",
            "posterior",
            "adaptive",
            FOLLOWS,
        ),
        follows("The posterior is as collapsed as a trained network, to 10 %.", "network", "posterior", NEAR),
        nearest(
            "Of the kernels, the mean field is nearest to the trained network.",
            logs,
            CELLS,
            ("ntk", "nngp", "adaptive-published", "adaptive", "mean-field"),
            "mean-field",
            KERNEL_NAMES,
            name_balanced,
        ),
        intervals.above_zero(
            "Weight decay to the posterior's mode collapses a network further than the posterior itself.",
            intervals.paired(of["network-decayed"], of["posterior"], "log_nc1", CELLS),
            name_balanced,
            gap="gap log10 NC1(posterior) − log10 NC1(trained, weight decay)",
            by="data",
        ).about(topics.LIMIT),
    ]


EXPERIMENT = Experiment(
    name="all-kernels",
    title="Kernels, posterior and networks on one axis",
    question="At the same hyper-parameters, which kernel is as collapsed as the posterior, and as a trained network?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    conclude=of_claims(
        "all-kernels",
        Words(
            "The mean field gives",
            "Kernels that adapt to the data explain collapse: the mean field over neurons gives the NC1 of the "
            "posterior of networks to 3 %",
            "The mean field over neurons misses the NC1 of the posterior of networks by more than 3 %",
        ),
        Words(
            "The Gaussian equations",
            "So do the Gaussian equations of state",
            "The Gaussian equations of state do not come as near",
        ),
    ),
)
