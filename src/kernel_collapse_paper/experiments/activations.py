"""Which activations collapse, by depth and law, and which of their properties predicts it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse import activations
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import (
    Axis,
    ColourScale,
    HeatMap,
    Legend,
    Line,
    Mark,
    Panel,
    Plot,
    Points,
)
from kernel_collapse.report.style import ACTIVATION_NAMES, KERNEL_NAMES
from kernel_collapse.runs import laws
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import KernelNC1
from kernel_collapse.runs.trials import Trial
from kernel_collapse_paper.experiments import topics
from kernel_collapse_paper.experiments._properties import PROPERTIES, least_squares, properties, shuffled
from kernel_collapse_paper.experiments.logs import of_depths
from kernel_collapse_paper.experiments.looks import decades, of_kernel

#: exp and higher powers are left out: their kernels pass the largest number before depth 5.
ACTIVATIONS = (
    "identity",
    "erf",
    "tanh",
    "sigmoid",
    "sin",
    "sign",
    "step",
    "relu",
    "leaky_relu(0.1)",
    "elu",
    "gelu",
    "silu",
    "mish",
    "softplus",
    "abs",
    "cos",
    "gaussian(1, -0.5)",
    "rbf",
    "gabor",
    "monomial(2)",
    "rectified_monomial(2)",
)
#: Laws by the name they have in figures; with these separations the first layer's variance is near 1.
LAWS: dict[str, tuple[type[Any], dict[str, float]]] = {
    "Gaussian": (laws.Gaussian, {"separation": 2.0}),
    "contaminated": (laws.Contaminated, {"separation": 2.0}),
    "XOR": (laws.XOR, {"separation": 4.0}),
    "spheres": (laws.Spheres, {"separation": 2.0}),
}
DIM = 8
KERNELS = ("nngp", "ntk")
#: Samples, depths, seeds. The integrals of elu take as long as all others together.
GRIDS: dict[Preset, tuple[int, tuple[int, ...], int]] = {
    "quick": (64, (1, 2, 3, 5), 4),
    "paper": (128, (1, 2, 3, 4, 5), 10),
}
SLOW = {"elu"}
#: R^2 of predictions of one activation from the others above which a property is said to predict.
ENOUGH = 0.5
CONFIDENCE = 0.95
SCALE = (
    "Weight variance 1 and no bias: an activation of another scale sees another variance from the second layer on, "
    "while properties are those at variance 1."
)
TEST = (
    "Per law and kernel, log10 NC1 of each activation, mean over depths and seeds, is predicted by a straight line "
    f"through those of all others. It holds where R² of these predictions is at least {ENOUGH:g} and more than random "
    f"orders of the activations reach (999 of them; {CONFIDENCE:.0%} for all cells together). The activations are "
    "chosen and not drawn. "
) + SCALE


def _law(label: str, n: int) -> Any:
    kind, options = LAWS[label]
    return kind.model_validate({"n": n, "dim": DIM, **options})


def trials(preset: Preset) -> list[Trial]:
    """Return both kernels of every activation at every depth on every law."""
    n, depths, seeds = GRIDS[preset]
    measurements = [
        KernelNC1(kernel="data"),
        *(
            KernelNC1(kernel=kernel, activation=activation, depth=depth)  # type: ignore[arg-type]
            for activation in ACTIVATIONS
            if preset == "paper" or activation not in SLOW
            for kernel in KERNELS
            for depth in depths
        ),
    ]
    return [
        Trial(data=_law(label, n), measurement=m, seed=seed)
        for label in LAWS
        for seed in range(seeds)
        for m in measurements
    ]


def _prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of kernels, with the law's name in figures in the place of its specification's."""
    names = {kind.of.law: label for label, (kind, _) in LAWS.items()}
    rows = of_depths(rows)
    short = {
        activations.get(name).name: name for name in ACTIVATIONS
    }  # as they are asked for, not as they are stored
    return rows.assign(data=rows["data_law"].map(names), activation=rows["activation"].map(short))


def _name(activation: str) -> str:
    return ACTIVATION_NAMES.get(activation, activation)


@lru_cache
def _property_table() -> pd.DataFrame:
    table = pd.DataFrame([{"activation": a, **properties(a)} for a in ACTIVATIONS])
    return table.set_index("activation")


def _means(rows: pd.DataFrame, by: tuple[str, ...] = ("data", "kernel")) -> pd.DataFrame:
    """Return log10 NC1 of each activation in each cell, mean over all else, beside its properties."""
    means = rows.groupby([*by, "activation"])["log_nc1"].mean().reset_index().dropna()
    return means.join(_property_table(), on="activation")


def _uneven(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of activations that are not even: those that are lie far from all others and carry a fit."""
    odd = _property_table()["odd"]
    return rows[~rows["activation"].isin(odd[odd < 1e-6].index)]


def _single(rows: pd.DataFrame, by: tuple[str, ...] = ("data", "kernel")) -> pd.DataFrame:
    """Return how well each property alone predicts, in each cell."""
    found = []
    for key, cell in _means(rows, by).groupby(list(by)):
        for what in PROPERTIES:
            if len(cell) > 3:
                fit = least_squares(cell, [what], "log_nc1")
                found.append(
                    {
                        **dict(zip(by, key, strict=True)),
                        "property": what,
                        "slope": fit["coefficients"][what],
                        "r2": fit["r2"],
                        "r2_out": fit["r2_out"],
                    }
                )
    return pd.DataFrame(found)


def _best(single: pd.DataFrame) -> pd.DataFrame:
    """Return the property that predicts best in each law and kernel."""
    return single.loc[single.groupby(["data", "kernel"])["r2_out"].idxmax()]


# -- figures


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 of every activation by depth, and against the property that predicts it best."""
    single = _single(rows)
    about = f"n = {rows['n'].max()}, d = {DIM}, mean over {rows['seed'].nunique()} seeds"
    best = _best(single[single["kernel"] == "nngp"]).set_index("data")
    said = "; ".join(
        f"{label}: {best.loc[label, 'property']}, R² {best.loc[label, 'r2_out']:.2f}".replace("-", "−")
        for label in LAWS
        if label in best.index
    )
    return [
        Figure(
            "activations-depth",
            f"log10 NC1 of each activation by depth ({about}); lower is more collapsed. Activations in the order of "
            f"their share of Hermite order 1, the largest above. {SCALE}",
            _draw(rows),
        ),
        Figure(
            "activations-properties",
            "Mean over depths of log10 NC1 against the property that predicts it best for the NNGP of each law, "
            f"leaving out one activation at a time ({said}); {about}. Lines: least squares.",
            _draw_properties(rows, best),
        ),
    ]


def _ordered(rows: pd.DataFrame) -> list[str]:
    linear = _property_table()["linear"].sort_values(ascending=False, kind="stable")
    return [name for name in linear.index if name in set(rows["activation"])]


def _panels(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return [(label, kernel) for kernel in KERNELS for label in LAWS if label in set(rows["data"])]


def _draw(rows: pd.DataFrame) -> Plot:
    order, depths = _ordered(rows), sorted(rows["depth"].unique())
    values = rows.groupby(["data", "kernel", "activation", "depth"])["log_nc1"].mean()
    bare: dict[str, Any] = {"grid": False, "tick_marks": False, "rows": True}
    panels = []
    for label, kernel in _panels(rows):
        cells = values.loc[label, kernel].unstack("depth").reindex(index=order, columns=depths)
        panels.append(
            Panel(
                marks=[HeatMap(cells.to_numpy(), low=values.min(), high=values.max())],
                x=Axis(ticks=dict(enumerate(map(str, depths))), **bare),
                y=Axis(ticks=dict(enumerate(map(_name, order))), **bare),
                title=f"{label}\n{KERNEL_NAMES[kernel]}",
                frame=False,
            )
        )
    scale = ColourScale(r"$\log_{10}$ NC1   (lower: more collapsed)", {"pad": 0.01})
    return Plot(rows=[panels], size=(12.5, 5.2), share_y="all", xlabel="depth (hidden layers)", colours=scale)


LABELS = {
    "linear": "share of Hermite order 1",
    "quadratic": "share of Hermite order 2",
    "odd": "share of odd orders",
    "roughness": r"$\log_{10}$ share of orders above 8",
    "degree": "degree of homogeneity",
    "saturation": "saturation",
}


def _draw_properties(rows: pd.DataFrame, best: pd.DataFrame) -> Plot:
    means, names = _means(rows), [label for label in LAWS if label in best.index]
    panels: list[Panel | None] = []
    for label in names:
        what = str(best.loc[label, "property"])
        marks: list[Mark] = []
        of: dict[str, Points] = {}
        for kernel in KERNELS:
            cell = means[(means["data"] == label) & (means["kernel"] == kernel)].sort_values(what)
            look = of_kernel(kernel)
            activations_ = [_name(a) for a in cell["activation"]]
            of[kernel] = Points(cell[what], cell["log_nc1"], names=activations_, **look)
            slope, intercept = np.polyfit(cell[what], cell["log_nc1"], 1)
            ends = np.array([cell[what].min(), cell[what].max()])
            fit = Line(
                ends, intercept + slope * ends, group=look["name"], color=look["color"], width=1.1, alpha=0.7
            )
            marks += [of[kernel], fit]
        panels.append(
            Panel(
                marks=marks,
                x=Axis(label=LABELS[what], logarithms=what == "roughness"),
                y=decades("NC1, mean over depths"),
                title=label,
                named=of["nngp"],
            )
        )
    across = (len(panels) + 1) // 2
    panels += [None] * (2 * across - len(panels))
    legend = Legend(where="outside upper center", layout={"ncols": 2})
    rows_of_panels = [panels[:across], panels[across:]]
    return Plot(rows=rows_of_panels, size=(12.5, 7.2), legend=legend, outer_labels=False)


# -- tables and verdicts


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate NC1, the properties, and the regressions."""
    wide = rows.pivot_table(index="activation", columns=["data", "kernel"], values="log_nc1")
    wide = wide.reindex(_ordered(rows))
    wide.columns = [f"{label}, {KERNEL_NAMES[kernel]}" for label, kernel in wide.columns]
    single = _single(rows)
    out, out_uneven = (
        fit.pivot_table(index=["data", "kernel"], columns="property", values="r2_out", dropna=False)
        for fit in (single, _single(_uneven(rows)))
    )
    fits = []
    for (label, kernel), cell in _means(rows).groupby(["data", "kernel"]):
        if len(cell) > len(PROPERTIES) + 2:
            fit = least_squares(cell, list(PROPERTIES), "log_nc1")
            fits.append(
                {
                    "data": label,
                    "kernel": kernel,
                    **fit["coefficients"],
                    "R²": fit["r2"],
                    "R² leaving one out": fit["r2_out"],
                }
            )
    depths = _single(rows, ("data", "kernel", "depth"))
    by_depth = depths.loc[depths.groupby(["data", "kernel", "depth"])["r2_out"].idxmax()]
    return [
        Table("log10 NC1, mean over depths and seeds", wide.reset_index(), SCALE),
        Table(
            "Properties of the activations at variance 1",
            _property_table().reset_index(),
            "Shares of the variance in Hermite orders; log10 of the share above order 8; degree of the power law of "
            "E phi² for variances of 1/10 to 10; 1 less that from 100 to 1000.",
        ),
        Table(
            "One property alone: R² leaving out one activation at a time",
            out.reindex(columns=list(PROPERTIES)).reset_index(),
            "Below 0, the mean of the other activations is the better guess.",
        ),
        Table(
            "The same without the even activations",
            out_uneven.reindex(columns=list(PROPERTIES)).reset_index(),
            "Even ones see nothing of classes that mirror one another, and carry much of a fit with them.",
        ),
        Table(
            "All properties: least squares of log10 NC1 on standardised properties",
            pd.DataFrame(fits),
            "Coefficients in decades a standard deviation of the property over the activations.",
        ),
        Table(
            "The property that predicts best, by depth",
            by_depth.rename(columns={"r2": "R²", "r2_out": "R² leaving one out"}).reset_index(drop=True),
        ),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge each property as a predictor, the order of the kernels, and whether any activation collapses the data."""
    single = _single(rows)
    means = _means(rows)

    def name(row: pd.Series[Any]) -> str:
        depth = f", depth {row['depth']}" if "depth" in row else ""
        return f"{_name(row['activation'])} {KERNEL_NAMES[row['kernel']]}, {row['data']}{depth}"

    uneven = _single(_uneven(rows)).rename(columns={"r2_out": "r2_out_uneven"})
    single = single.merge(uneven[["data", "kernel", "property", "r2_out_uneven"]], how="left")
    judged = [_predicts(single, means, what) for what in PROPERTIES]
    every = ["activation", "data", "depth"]
    order = intervals.above_zero(
        "The NTK is not more collapsed than the NNGP, for any activation.",
        intervals.paired(rows[rows["kernel"] == "nngp"], rows[rows["kernel"] == "ntk"], "log_nc1", every),
        lambda row: f"{_name(row['activation'])}, {row['data']}, depth {row['depth']}",
        gap="gap log10 NC1(NTK) − log10 NC1(NNGP)",
        ties_hold=True,
        by="data",
    ).about(topics.KERNELS)
    shallow = rows[rows["depth"] == rows["depth"].min()]
    collapses = intervals.above_zero(
        f"The kernel collapses the data: at depth {rows['depth'].min()} NC1 of the features is below that of the "
        "inputs.",
        intervals.paired(
            shallow,
            shallow.assign(log_nc1=shallow["log_nc1_data"]),
            "log_nc1",
            ["activation", "kernel", "data"],
        ),
        name,
        gap="gap log10 NC1(X) − log10 NC1(H)",
        by="data",
    )
    return [*judged, order, collapses]


def _predicts(single: pd.DataFrame, means: pd.DataFrame, what: str) -> Verdict:
    """Judge whether one property predicts log10 NC1 of an activation from the others, in each law and kernel."""
    table = single[single["property"] == what].reset_index(drop=True)
    allowed = (1.0 - CONFIDENCE) / max(len(table), 1)
    chances = []
    for row in table.itertuples():
        cell = means[(means["data"] == row.data) & (means["kernel"] == row.kernel)]
        chances.append(shuffled(cell, [what], "log_nc1") if row.r2_out >= ENOUGH else np.nan)
    table = table.assign(chance=chances)
    yes = (table["r2_out"] >= ENOUGH) & (table["chance"] <= allowed)
    names = [f"{row.data}, {KERNEL_NAMES[row.kernel]}" for row in table.itertuples()]
    table = table.assign(cell=names, verdict=np.where(yes, "holds", "fails"))
    claim = (
        f"The {NAMED[what]} alone predicts how collapsed an activation is (R² ≥ {ENOUGH:g} leaving one out)."
    )
    if table.empty:
        return Verdict(claim, "undecided", "Too few finished trials to compare.", TEST, table)
    least, most = (table.loc[table["r2_out"].agg(which)] for which in ("idxmin", "idxmax"))
    where = "; ".join(f"{row.data} {KERNEL_NAMES[row.kernel]}" for row in table[yes].itertuples())
    answer = f"In {int(yes.sum())} of {len(table)} cells" + (f" ({where})" if where else "")
    ends = [
        f"{row['r2_out']:.2f}".replace("-", "−") + f" ({row['data']} {KERNEL_NAMES[row['kernel']]})"
        for row in (least, most)
    ]
    answer += (
        f". R² leaving one out runs from {ends[0]} to {ends[1]}; there its slope is {_signed(most['slope'])} decades a "
        "standard deviation. Without the even activations R² reaches "
        f"{ENOUGH:g} in {int((table['r2_out_uneven'] >= ENOUGH).sum())} of them."
    )
    return Verdict.of_cells(claim, answer, TEST, table)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


NAMED = {
    "linear": "share of variance in Hermite order 1",
    "quadratic": "share of variance in Hermite order 2",
    "odd": "share of variance in odd orders",
    "roughness": "share of variance in orders above 8",
    "degree": "degree of homogeneity",
    "saturation": "saturation",
}


EXPERIMENT = Experiment(
    name="activations",
    title="Activations",
    question="Which activations collapse, and which of their properties predicts it?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    prepare=_prepare,
)
