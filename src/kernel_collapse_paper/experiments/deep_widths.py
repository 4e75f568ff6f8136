"""How strongly the layers of a deep adaptive kernel adapt: over the width, in three scalings, and with a bottleneck."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Line, Mark, Panel, Plot, at, means
from kernel_collapse.report.style import CYCLE, KERNEL_COLOURS, KERNEL_NAMES, sizes_palette
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1, MeanFieldNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import topics
from kernel_collapse_paper.experiments._power_laws import slope
from kernel_collapse_paper.experiments.logs import with_depths

#: Samples, dimensions, seeds.
GRIDS: dict[Preset, tuple[int, int, int]] = {"quick": (32, 8, 3), "paper": (64, 8, 6)}
DEPTH, READOUT, NOISE = 3, 1 / 128, 1e-2
#: The width at which all scalings are the same, and the widths that are tried.
REFERENCE = 100.0
WIDTHS = (30.0, 300.0, 3e3, 3e4, 1e5, 3e5)
#: Where the change is small enough to be a power of the width.
LARGE = 1e5
#: Scalings by name: powers of the width in the readout variance and in the noise variance, and the slope foretold.
SCALINGS: dict[str, tuple[int, int, float]] = {
    "both variances fixed": (0, 0, -1.0),
    "both ~ 1/width": (-1, -1, 0.0),
    "readout ~ 1/width, noise fixed": (-1, 0, -2.0),
}
MARGIN = 0.01
#: One narrow layer among wide ones, and equal widths beside it.
NARROW, EQUAL, WIDE = 50, 100, 200
BOTTLENECKS = (
    (EQUAL, EQUAL, EQUAL),
    (NARROW, WIDE, WIDE),
    (WIDE, NARROW, WIDE),
    (WIDE, WIDE, NARROW),
)
KERNELS = ("adaptive", "mean-field")


def trials(preset: Preset) -> list[Trial]:
    """Return the NNGP of every depth, the adaptive kernel of every width and scaling, and both with a bottleneck."""
    n, dim, seeds = GRIDS[preset]
    measurements: list[Any] = [KernelNC1(kernel="data")]
    measurements += [KernelNC1(kernel="nngp", activation="erf", depth=depth) for depth in range(1, DEPTH + 1)]
    for readout, noise, _ in SCALINGS.values():
        for width in WIDTHS:
            ratio = width / REFERENCE
            measurements.append(
                AdaptiveNC1(
                    depth=DEPTH,
                    width=width,
                    readout_variance=READOUT * ratio**readout,
                    noise_variance=NOISE * ratio**noise,
                )
            )
    for widths in BOTTLENECKS:
        options: dict[str, Any] = {"depth": DEPTH, "readout_variance": READOUT, "noise_variance": NOISE}
        measurements += [AdaptiveNC1(width=widths, **options), MeanFieldNC1(width=widths, **options)]
    law = GaussianClasses(n=n, dim=dim)
    return [Trial(data=law, measurement=m, seed=seed) for seed in range(seeds) for m in measurements]


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a kernel that adapts, and layer: log10 NC1, and how far it is from the NNGP of that depth."""
    rows = with_depths(rows)
    prior = rows[rows["kernel"] == "nngp"].set_index(["seed", "depth"])["log_nc1"]
    parts = []
    for row in rows[rows["kernel"] != "nngp"].to_dict("records"):
        layers = np.arange(1, DEPTH + 1)
        logs = np.log10(np.asarray(row["layer_nc1"], dtype=float))
        nngp = np.array([prior.get((row["seed"], layer), np.nan) for layer in layers])
        widths = row["width"] if isinstance(row["width"], list | tuple) else None
        kept = {name: row[name] for name in ("kernel", "seed")}
        kept["width"] = np.nan if widths else float(row["width"])
        kept["widths"] = "-".join(f"{width:g}" for width in widths) if widths else ""
        kept["scaling"] = "" if widths else _scaling(row)
        parts.append(pd.DataFrame({**kept, "layer": layers, "log_nc1": logs, "change": np.abs(logs - nngp)}))
    return pd.concat(parts, ignore_index=True)


def _scaling(row: dict[str, Any]) -> str:
    """Return which scaling the variances of a row follow."""
    ratio = row["width"] / REFERENCE
    for name, (readout, noise, _) in SCALINGS.items():
        expected = READOUT * ratio**readout, NOISE * ratio**noise
        if np.allclose((row["readout_variance"], row["noise_variance"]), expected, rtol=1e-9):
            return name
    raise AssertionError("every trial is of one of the scalings")


def figures(table: pd.DataFrame) -> list[Figure]:
    """Draw the change of each layer over the width in the three scalings, and NC1 by layer with a bottleneck."""
    seeds = table["seed"].nunique()
    about = f"D1, erf, {DEPTH} hidden layers; mean and one standard deviation over {seeds} seeds"
    return [
        Figure(
            "deep-widths",
            "How far log10 NC1 of each layer of the Gaussian equations of state is from that of the NNGP, against the "
            "common width of the layers. A column is a scaling of the variances of readout and noise, which all agree "
            f"at width {REFERENCE:g}. Dotted: the power of the width that is foretold. {about}.",
            _draw_scalings(table[table["scaling"] != ""]),
        ),
        Figure(
            "deep-widths-bottleneck",
            "NC1 of each layer of networks in which one layer is narrow, beside equal widths, by the Gaussian "
            f"equations of state (left) and the mean field (right). {about}.",
            _draw_bottlenecks(table[table["widths"] != ""]),
        ),
    ]


def _draw_scalings(table: pd.DataFrame) -> Plot:
    panels = []
    for scaling, (*_, power) in SCALINGS.items():
        marks: list[Mark] = []
        for layer, colour in enumerate(sizes_palette(DEPTH), start=1):
            of = table[(table["scaling"] == scaling) & (table["layer"] == layer)]
            seen = intervals.summarise(of, "change", ["width"])
            low = (seen["mean"] - seen["std"]).clip(lower=0.05 * seen["mean"])
            look = {"color": colour, "name": f"layer {layer}", "group": f"layer {layer}"}
            marks.append(
                Line(seen["width"], seen["mean"], low, seen["mean"] + seen["std"], marker="o", **look)
            )
        last = table[(table["scaling"] == scaling) & (table["width"] == LARGE)]["change"].max()
        widths = np.array([w for w in WIDTHS if w >= LARGE])
        foretold = 2.0 * last * (widths / LARGE) ** power
        marks.append(
            Line(widths, foretold, color=KERNEL_COLOURS["data"], dashes=":", name=f"power {power:g}")
        )
        x, y = (
            Axis(label="width", scale="log"),
            Axis(label=r"change of $\log_{10}$ NC1 from the NNGP", scale="log"),
        )
        panels.append(Panel(marks=marks, x=x, y=y, title=scaling, legend=Legend()))
    return Plot(rows=[panels], size=(12, 3.8), share_y="all")


def _draw_bottlenecks(table: pd.DataFrame) -> Plot:
    panels = []
    for kernel in KERNELS:
        marks: list[Mark] = [
            means(
                intervals.summarise(
                    table[(table["kernel"] == kernel) & (table["widths"] == _named(widths))],
                    "log_nc1",
                    ["layer"],
                ),
                "layer",
                marker="o",
                color=colour,
                name=_named(widths),
            )
            for widths, colour in zip(BOTTLENECKS, CYCLE, strict=False)
        ]
        y = Axis(label=r"$\log_{10}$ NC1", logarithms=True)
        panels.append(
            Panel(marks=marks, x=at([1, 2, 3], "hidden layer", "linear"), y=y, title=KERNEL_NAMES[kernel])
        )
    return Plot(rows=[panels], size=(9, 3.6), share_y="all", legend=Legend(where="outside right center"))


def _named(widths: tuple[int, ...]) -> str:
    return "-".join(map(str, widths))


def _slopes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the log-log slope of the change against the width, of each scaling, layer and seed."""
    large = table[(table["scaling"] != "") & (table["width"] >= LARGE)]
    fits = [
        (*key, slope(part["width"].to_numpy(float), part["change"].to_numpy(float)))
        for key, part in large.groupby(["scaling", "layer", "seed"])
        if len(part) >= 2
    ]
    found = pd.DataFrame(fits, columns=["scaling", "layer", "seed", "slope"])
    return found.assign(
        foretold=found["scaling"].map({name: power for name, (*_, power) in SCALINGS.items()})
    )


def tables(table: pd.DataFrame) -> list[Table]:
    """Tabulate the slopes, and NC1 with a bottleneck."""
    slopes = (
        _slopes(table).groupby(["scaling", "layer", "foretold"])["slope"].agg(["mean", "std"]).reset_index()
    )
    narrow = table[table["widths"] != ""].assign(nc1=lambda t: 10 ** t["log_nc1"])
    nc1 = narrow.pivot_table(index=["widths", "layer"], columns="kernel", values="nc1", aggfunc="mean")
    return [
        Table(f"Slope of the change against the width, from {LARGE:g} on", slopes),
        Table("NC1 with a bottleneck, mean over seeds", nc1.rename(columns=KERNEL_NAMES).reset_index()),
    ]


def verdicts(table: pd.DataFrame) -> list[Verdict]:
    """Judge the slopes of the three scalings, and what a bottleneck does."""
    slopes = _slopes(table)
    narrow = table[table["widths"] != ""]
    first, last, equal = (narrow[narrow["widths"] == _named(BOTTLENECKS[i])] for i in (1, 3, 0))
    own = pd.concat(
        narrow[(narrow["widths"] == _named(widths)) & (narrow["layer"] == widths.index(NARROW) + 1)]
        for widths in BOTTLENECKS[1:]
    )
    cells = ["kernel", "layer"]
    judged = [
        intervals.within(
            "The change of NC1 from the NNGP is the foretold power of the width in every layer: −1 with both variances "
            f"fixed, 0 with both ~ 1/width, −2 with the readout's alone, to {MARGIN:g} (widths from {LARGE:g} on).",
            intervals.paired(
                slopes.assign(v=slopes["foretold"]),
                slopes.assign(v=slopes["slope"]),
                "v",
                ["scaling", "layer"],
            ),
            lambda row: f"{row['scaling']}, layer {row['layer']}",
            margin=MARGIN,
            gap="gap slope − foretold",
            by="scaling",
        ),
        intervals.above_zero(
            f"A layer of {NARROW} units is more collapsed among layers of {WIDE} than at equal widths of {EQUAL}.",
            intervals.paired(own, equal, "log_nc1", cells),
            _name,
            gap="fall of log10 NC1",
            by="kernel",
        ),
        intervals.above_zero(
            "A narrow first layer collapses every layer further than a narrow last layer does.",
            intervals.paired(first, last, "log_nc1", cells),
            _name,
            gap="fall of log10 NC1",
            by="kernel",
        ),
    ]
    return [verdict.about(topics.LAYERS) for verdict in judged]


def _name(row: pd.Series[Any]) -> str:
    return f"{KERNEL_NAMES[row['kernel']]}, layer {row['layer']}"


EXPERIMENT = Experiment(
    name="deep-widths",
    title="Widths of deep adaptive kernels",
    question="How does the adaptation of every layer depend on the widths, on the scaling of readout and noise, and on "
    "which layer is narrow?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    prepare=prepare,
)
