"""Expected NC1 of the paper's mixtures, exact, beside samples and what the published code computes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd

from kernel_collapse import data, theory
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Level, Line, Mark, Panel, Plot, Points
from kernel_collapse.report.style import ACTIVATION_NAMES, KERNEL_COLOURS, KERNEL_NAMES
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.trials import Trial
from kernel_collapse_paper.experiments import limiting_kernels
from kernel_collapse_paper.experiments.designs import Grid
from kernel_collapse_paper.experiments.logs import with_logs
from kernel_collapse_paper.experiments.looks import decades, of_kernel

#: Samples and repeats; the trials are among those of the limiting kernels, and cost nothing beside them.
GRIDS: dict[Preset, tuple[int, int]] = {"quick": (512, 5), "paper": (1024, 10)}
MEANS = {"D1": data.D1_MEANS, "D2": data.D2_MEANS}
#: Dimensions of the exact lines, and distances of the class means of D1 in standard deviations.
DIMS = (1, 2, 3, 4, 6, 8, 16, 32, 64, 128, 512, 2048, 10_000)
SEPARATIONS = tuple(float(s) for s in np.geomspace(0.25, 256.0, 16))
SEPARATION_DIM = 8

#: Relative error of the exact values: far below what can be drawn, or sampled.
ACCURACY = 1e-4

Kernel = Literal["nngp", "ntk"]
CELLS = ["data", "activation", "kernel", "dim"]


def trials(preset: Preset) -> list[Trial]:
    """Return the limiting kernels on D1 and D2 at one size, as `limiting-kernels-balanced` has them."""
    n, repeats = GRIDS[preset]
    laws = [law for means in MEANS.values() for law in Grid((n,), means).laws()]
    return limiting_kernels.trials_of(laws, repeats)


@lru_cache(maxsize=1024)
def expected(law: str, n: int, dim: int, kernel: Kernel, activation: str) -> theory.ExpectedNC1:
    """Return the ratio of expected traces for balanced classes, n samples in all."""
    means = MEANS[law]
    mixture = theory.gaussian_mixture(dim, class_means=means)
    sizes = (n // len(means),) * len(means)
    return theory.expected_nc1(
        mixture, kernel=kernel, activation=activation, class_sizes=sizes, accuracy=ACCURACY
    )


@lru_cache(maxsize=1024)
def separated(separation: float, kernel: Kernel, activation: str, limit: bool) -> float:
    """Return NC1 in expectation of two classes that many standard deviations apart, a coordinate; or its limit."""
    mixture = theory.gaussian_mixture(
        SEPARATION_DIM, class_means=(-0.25 * separation, 0.25 * separation), class_stds=0.5
    )
    if limit:
        return float(theory.far_separated_nc1(mixture, kernel=kernel, activation=activation).ratio)
    return theory.expected_nc1(mixture, kernel=kernel, activation=activation, accuracy=ACCURACY).ratio


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a cell: means of the traces over seeds with their t intervals, and what is expected of them."""
    rows = rows[rows["kernel"] != "ntk-published"]
    groups = rows.groupby(CELLS, sort=True)
    seeds = groups["seed"].nunique()
    table = pd.DataFrame({"seeds": seeds})
    level = intervals.together(2 * len(table))  # two traces a cell
    n = int(rows["n"].iloc[0]) if len(rows) else 0
    exact = [expected(law, n, int(dim), kernel, activation) for law, activation, kernel, dim in table.index]
    for trace in ("within", "between"):
        column = groups[f"{trace}_paper"]
        table[f"{trace}, samples"] = column.mean()
        table[f"{trace}, half interval"] = intervals.half_width(column.std(ddof=1), seeds, level)
        table[f"{trace}, expected"] = [getattr(e, trace) for e in exact]
    table["log10 NC1, samples"] = np.log10(table["within, samples"] / table["between, samples"])
    table["log10 NC1, expected"] = [e.log10_ratio for e in exact]
    return table.reset_index()


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw the exact lines with the samples on them, and the approach to the limit of classes far apart."""
    n, repeats = rows["n"].max(), rows["seed"].nunique()
    return [
        Figure(
            "theory-vs-samples",
            f"Lines: the exact ratio of expected traces, N = {n}. Marks: means over {repeats} sampled data "
            f"sets. Crosses: the published code's NTK on the same samples. Dotted: d = {DIMS[-1]:,}.",
            _draw_dimensions(rows),
        ),
        Figure(
            "theory-separation",
            f"NC1 in expectation of two classes in {SEPARATION_DIM} dimensions, infinitely many samples, against the "
            "distance of their means. Dotted: the limit of small spread, in which the means are fixed and the standard "
            "deviations vanish; for erf it stays a little off however far the means are, for its units see the spread.",
            _draw_separations(),
        ),
    ]


def _draw_dimensions(rows: pd.DataFrame) -> Plot:
    x, y = Axis(label="dimension d", scale="log"), decades("NC1")
    grid = [
        [
            Panel(
                marks=_by_dimension(
                    rows[(rows["data"] == law) & (rows["activation"] == activation)],
                    law,
                    activation,
                    int(rows["n"].max()),
                ),
                x=x,
                y=y,
                title=f"{law}, {ACTIVATION_NAMES[activation]}",
            )
            for activation in ("erf", "relu")
        ]
        for law in MEANS
        if law in set(rows["data"])
    ]
    legend = Legend(where="outside upper center", layout={"ncols": 5})
    size = 9.5, 3.2 * len(grid) + 0.3
    return Plot(rows=grid, size=size, share_x="all", share_y="row", legend=legend)


def _by_dimension(rows: pd.DataFrame, law: str, activation: str, n: int) -> list[Mark]:
    """Return the exact lines with their limits, the samples, and what the published code makes of them."""
    marks: list[Mark] = []
    present = set(rows["kernel"])
    for kernel in _KERNELS[::-1]:
        exact = [expected(law, n, dim, kernel, activation).log10_ratio for dim in DIMS]
        look = of_kernel(kernel, present)
        line = {"color": look["color"], "side": look["side"]}
        name = f"{KERNEL_NAMES[kernel]}, exact"
        of = rows[rows["kernel"] == kernel].groupby("dim")[["within_paper", "between_paper"]].mean()
        sampled = np.log10(of["within_paper"] / of["between_paper"])
        marks += [
            Line(DIMS, exact, name=name, **line),
            Level(exact[-1], group=name, dashes=":", width=1, **line),
            Points(of.index, sampled, **look | {"name": f"{KERNEL_NAMES[kernel]}, samples"}),
        ]
    published = rows[rows["kernel"] == "ntk-published"].groupby("dim")["log_nc1"].mean()
    if len(published):
        marks.append(Points(published.index, published, **of_kernel("ntk-published") | {"marker": "x"}))
    return marks


def _draw_separations() -> Plot:
    panels = []
    for activation in ("erf", "relu"):
        marks = []
        for kernel in _KERNELS[::-1]:
            name, colour = KERNEL_NAMES[kernel], KERNEL_COLOURS[kernel]
            for limit, dashes, what in ((False, "-", "exact"), (True, ":", "limit")):
                values = np.log10([separated(s, kernel, activation, limit) for s in SEPARATIONS])
                marks.append(Line(SEPARATIONS, values, color=colour, dashes=dashes, name=f"{name}, {what}"))
        panels.append(
            Panel(
                marks=marks,
                x=Axis(label="distance of means / standard deviation, in each coordinate", scale="log"),
                y=decades("NC1"),
                title=ACTIVATION_NAMES[activation],
                legend=Legend() if activation == "relu" else None,
            )
        )
    return Plot(rows=[panels], size=(10, 3.4), share_y="all")


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate samples, exact values and limits."""
    table = _cells(rows)
    published = rows[rows["kernel"] == "ntk-published"].groupby(["data", "dim"])["log_nc1"].mean()
    erf = table["activation"] == "erf"
    table["log10 NC1, published code"] = [
        published.get((law, dim), np.nan) if is_erf and kernel == "ntk" else np.nan
        for law, dim, is_erf, kernel in zip(table["data"], table["dim"], erf, table["kernel"], strict=True)
    ]
    return [
        Table(
            "Traces: means over seeds, and expectations",
            table,
            "The ratio of expected traces. Half intervals are those of all means together.",
        )
    ]


def _name(row: pd.Series[Any]) -> str:
    kernel = f"{ACTIVATION_NAMES[row['activation']]} {KERNEL_NAMES[row['kernel']]}"
    return f"{kernel}, {row['data']}, d={row['dim']}"


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether samples and expectations agree, and the paper's claims on the expectations themselves."""
    return [_agreement(_cells(rows)), *_orders(int(rows["n"].max()))]


def _agreement(table: pd.DataFrame) -> Verdict:
    apart = {
        trace: (table[f"{trace}, samples"] - table[f"{trace}, expected"]) / table[f"{trace}, half interval"]
        for trace in ("within", "between")
    }
    worst = np.maximum(apart["within"].abs(), apart["between"].abs())
    outside = worst > 1.0
    undecided = worst.isna()
    table = table.assign(
        cell=[_name(row) for _, row in table.iterrows()],
        verdict=np.select([undecided, outside], ["undecided", "fails"], "holds"),
    )
    failed = table.loc[outside, "cell"].tolist()
    if len(table) == 0 or undecided.all():
        answer = "No cell has two seeds."
    else:
        gap = (table["log10 NC1, samples"] - table["log10 NC1, expected"]).abs()
        held = int((table["verdict"] == "holds").sum())
        answer = (
            f"In {held} of {len(table)} cells both traces are within their intervals"
            + (f" (not: {', '.join(failed)})" if failed else "")
            + (f"; {int(undecided.sum())} have one seed, and no interval" if undecided.any() else "")
            + f"; log10 NC1 is off by {gap.max():.4f} at most ({table['cell'][gap.idxmax()]})."
        )
    return Verdict.of_cells(
        "Sampled traces agree with the exact expectations.",
        answer,
        "Per cell and trace, the t interval of the mean over seeds; all hold together with "
        f"{intervals.CONFIDENCE:.0%} confidence (Bonferroni).",
        table,
    )


def _orders(n: int) -> list[Verdict]:
    """Judge the order of kernels and of activations in expectation, at every dimension and separation."""
    cells = [
        (f"{law}, d={dim}", {(k, a): expected(law, n, dim, k, a).log10_ratio for k, a in _PAIRS})
        for law in MEANS
        for dim in DIMS
    ] + [
        (
            f"separation {s:.3g}, d={SEPARATION_DIM}",
            {(k, a): float(np.log10(separated(s, k, a, False))) for k, a in _PAIRS},
        )
        for s in SEPARATIONS
    ]
    return [
        _order(
            "In expectation, the NTK is not more collapsed than the NNGP.",
            [
                (f"{ACTIVATION_NAMES[a]}, {cell}", values["ntk", a] - values["nngp", a])
                for cell, values in cells
                for a in ("erf", "relu")
            ],
            "log10 NC1(NTK) − log10 NC1(NNGP)",
        ),
        _order(
            "In expectation, erf collapses more than ReLU.",
            [
                (f"{KERNEL_NAMES[k]}, {cell}", values[k, "relu"] - values[k, "erf"])
                for cell, values in cells
                for k in _KERNELS
            ],
            "log10 NC1(ReLU) − log10 NC1(erf)",
        ),
    ]


_KERNELS: tuple[Kernel, ...] = ("nngp", "ntk")
_PAIRS: tuple[tuple[Kernel, str], ...] = tuple((k, a) for k in _KERNELS for a in ("erf", "relu"))


def _order(claim: str, gaps: list[tuple[str, float]], what: str) -> Verdict:
    table = pd.DataFrame(gaps, columns=["cell", "gap"])
    holds = table["gap"] > -intervals.TIE
    table["verdict"] = np.where(holds, "holds", "fails")
    failed, total = int((~holds).sum()), len(table)
    low, high = table.loc[table["gap"].idxmin()], table.loc[table["gap"].idxmax()]
    reversals = table.loc[~holds, "cell"].tolist()
    named = ", ".join(reversals[:6]) + (f" and {failed - 6} more" if failed > 6 else "")
    answer = (
        f"In {total - failed} of {total} cells"
        + (f"; fails in {failed} ({named})" if failed else "")
        + f". The gap {what} runs from {low['gap']:+.3f} ({low['cell']}) to {high['gap']:+.3f} decades "
        f"({high['cell']})."
    ).replace("-", "−")
    return Verdict.of_cells(
        claim,
        answer,
        f"Expectations with a relative error of {ACCURACY:g} at most: no interval is needed.",
        table,
    )


EXPERIMENT = Experiment(
    name="theory-vs-samples",
    title="Exact expectations and samples",
    question="What is NC1 of a Gaussian mixture in expectation, in any dimension and at any separation?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    prepare=with_logs,
)
