r"""What depth does to NC1, in the three phases of a deep network, beside what the fixed points of its maps foretell.

Limits of a balanced data set of C classes with n_c samples each, from the maps of
`kernel_collapse.correlation_map`:

- *Chaotic*, and *critical* for a smooth activation: all pairs end equally far apart, so that class means differ by the
  chance of their samples alone: NC1 = (n_c - 1) / (1 - 1/C). The diagonal of the NTK grows by chi a layer and what is
  beside it does not, with the same result. 1/NC1 of the NNGP nears it by R'(c*) a layer; at criticality distances fall
  like 1/(l + l_0) with an l_0 of each pair, so that NC1 grows linearly before it levels off.
- *Ordered*: squared distances of features near the fixed point all shrink by chi a layer, so that NC1 of the NNGP
  freezes at a value that is the data's. The next order is smaller by chi^l (by chi^(l/2) where the activation has a
  kink, as ReLU's kappa has a term (1 - c)^(3/2)), or by V'(q*)^l if that is larger: the rate at which NC1 nears its
  end. Squared distances of the NTK obey T' = chi T + a multiple of those of the NNGP, hence grow like l chi^l, and its
  NC1 nears the NNGP's like 1/l; with a kink the source is their root, which shrinks more slowly and takes over: NC1 of
  root distances.
- *ReLU without a fixed point* (weight variance 2 and no bias, or more than 2): angles vanish like 3 pi / l and relative
  lengths r_i stay. NNGP: r_i r_j, NC1 of the lengths alone. NTK: the product of slopes 1 - 3/k from layer m to l is
  (m/l)^3, whose mean over m is 1/4: r_i r_j (1 + 3 delta_ij) / 4.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from kernel_collapse import activations, kernels, laws
from kernel_collapse.collapse import nc1
from kernel_collapse.correlation_map import FixedPoint, fixed_point
from kernel_collapse.data import Dataset
from kernel_collapse.experiments import _limiting, _statistics
from kernel_collapse.experiments._style import (
    ACTIVATION_NAMES,
    KERNEL_COLOURS,
    KERNEL_MARKERS,
    KERNEL_NAMES,
    band,
    style,
)
from kernel_collapse.experiments._types import Experiment, Figure, Preset, Table, Verdict
from kernel_collapse.measurements import KernelNC1
from kernel_collapse.trials import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

KERNELS = ("nngp", "ntk")
#: Critical for erf with biases of variance 0.05 (`correlation_map.critical_weight_variance`), to six digits.
CRITICAL_ERF = 1.375839


class Setting(NamedTuple):
    """An activation with the variances of the prior."""

    activation: str
    weight_variance: float
    bias_variance: float

    @property
    def point(self) -> FixedPoint:
        """Where variance and correlation end."""
        return _point(self)

    @property
    def label(self) -> str:
        """Activation and phase."""
        return f"{ACTIVATION_NAMES[self.activation]}, {self.point.phase}"

    @property
    def kinked(self) -> bool:
        """Whether the activation has a kink."""
        return bool(activations.get(self.activation).kinks) or self.activation == "relu"

    @property
    def rate(self) -> float:
        """The factor a layer by which 1/NC1 of the NNGP nears its end; 1 where it does so by no such factor."""
        point = self.point
        if point.phase == "ordered":
            return max(np.sqrt(point.slope) if self.kinked else point.slope, abs(point.variance_slope))
        return point.rate if point.phase == "chaotic" else 1.0


SETTINGS = (
    Setting("erf", 1.0, 0.05),
    Setting("erf", CRITICAL_ERF, 0.05),
    Setting("erf", 4.0, 0.05),
    Setting("relu", 1.5, 0.1),
    Setting("relu", 2.0, 0.0),
    Setting("relu", 2.5, 0.1),
)
#: Laws by the name they have in figures: classes at two means, and at one mean with two lengths.
LAWS: dict[str, tuple[type[laws.Law], dict[str, float]]] = {
    "two Gaussians": (laws.Gaussian, {"separation": 2.0}),
    "two spheres": (laws.Spheres, {"separation": 2.0}),
}
DIM = 8
#: Samples, depths, seeds. Rates are read off three depths at equal distances, which need no limit.
GRIDS: dict[Preset, tuple[int, tuple[int, ...], int]] = {
    "quick": (64, (1, 2, 4, 8, 16, 24, 32, 50), 5),
    "paper": (256, (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32, 40, 50), 10),
}
RATE_DEPTHS = (16, 24, 32)
PRIOR = ["activation", "weight_variance", "bias_variance"]
CELLS = ["data", *PRIOR, "kernel"]
AT_LIMIT, FROZEN, RATE_MARGIN, LINEAR_MARGIN = 0.05, 0.02, 1.05, 1.1


@lru_cache
def _point(setting: Setting) -> FixedPoint:
    activation, weight, bias = setting
    return fixed_point(activation, weight_variance=weight, bias_variance=bias)


def _law(label: str, n: int) -> Any:
    kind, options = LAWS[label]
    return kind.model_validate({"n": n, "dim": DIM, **options})


def trials(preset: Preset) -> list[Trial]:
    """Return both kernels of every setting at every depth on every law."""
    n, depths, seeds = GRIDS[preset]
    measurements = [
        KernelNC1(kernel="data"),
        *(
            KernelNC1(kernel=kernel, depth=depth, **setting._asdict())  # type: ignore[arg-type]
            for setting in SETTINGS
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


def limiting_gram(setting: Setting, kernel: str, data: Dataset, depth: int) -> Any:
    """Return a Gram matrix with the NC1 that a deep kernel tends to, or None where that is the data's alone.

    `depth` is that of the NNGP from which the end of the NTK is foretold in the ordered phase.
    """
    activation, weight, bias = setting
    phase = setting.point.phase
    if phase == "chaotic" or (phase == "critical" and not setting.kinked):
        return np.eye(len(data.x))
    if phase != "ordered":
        lengths = np.sum(data.x**2, axis=1) * (weight / data.x.shape[1]) + bias
        if bias > 0:
            lengths = lengths + bias / (weight / 2.0 - 1.0)  # q -> weight q / 2 + bias stretches from there
        gram = np.sqrt(np.outer(lengths, lengths))
        return gram if kernel == "nngp" else gram * (0.25 + 0.75 * np.eye(len(gram)))
    if kernel == "nngp":
        return None
    gram = kernels.nngp(
        data.x, activation=activation, depth=depth, weight_variance=weight, bias_variance=bias
    )
    if not setting.kinked:
        return gram
    q = np.diag(gram)
    roots = -0.5 * np.sqrt(np.maximum(q[:, None] + q[None, :] - 2.0 * gram, 0.0))
    centred = roots - roots.mean(axis=0)
    return centred - centred.mean(axis=1, keepdims=True)


def _prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of kernels with labels of settings, and the logarithm of the NC1 that they should tend to."""
    names = {_law(label, 2).name: label for label in LAWS}
    rows = _limiting.prepare(rows).astype({"depth": int})
    rows["data"] = rows["data"].map(names)
    rows["setting"] = [Setting(*row).label for row in rows[PRIOR].itertuples(index=False)]
    deepest = int(rows["depth"].max())
    of = ["data", "n", "seed", *PRIOR, "kernel"]
    cases = rows[of].drop_duplicates()
    limits = []
    for label, n, seed, activation, weight, bias, kernel in cases.itertuples(index=False):
        data = _law(label, n).sample(seed)
        gram = limiting_gram(Setting(activation, weight, bias), kernel, data, deepest)
        limits.append(np.nan if gram is None else np.log10(nc1(gram, data.labels).ratio))
    return rows.merge(cases.assign(limit=limits), on=of)


def _settings_in(rows: pd.DataFrame) -> list[Setting]:
    present = set(rows["setting"])
    return [setting for setting in SETTINGS if setting.label in present]


def _of(rows: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    return rows[rows["setting"] == setting.label]


# -- figures


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 against depth in every phase, and how it nears its end beside the rates of the theory."""
    rows = _prepare(rows)
    about = (
        f"n = {rows['n'].max()} samples of two classes in {DIM} dimensions, {rows['seed'].nunique()} seeds; "
        f"mean and one standard deviation"
    )
    return [
        Figure(
            "depth-panels",
            "NC1 against depth, a column a prior. Dashed: predicted limits; the NNGP of the ordered phase has none, "
            f"and that of its NTK comes from the NNGP at depth {rows['depth'].max()}. Dotted: of the data themselves. "
            f"{about[0].upper()}{about[1:]}.",
            _draw(rows),
        ),
        Figure(
            "depth-rates",
            "Left: correlation maps R(c) at the fixed point of the variance; above the diagonal they draw correlations "
            "to 1. Middle: how far 1/NC1 of the NNGP is from its end (ordered: from its value at depth "
            f"{rows['depth'].max()}, which bends the last points down), and lines that fall by the predicted "
            "rate a layer. Right: at criticality NC1 of "
            f"erf grows linearly with depth; the line is through depths {RATE_DEPTHS[0]} and {RATE_DEPTHS[-1]}. Two "
            f"Gaussians, {about}.",
            _draw_rates(rows[rows["data"] == "two Gaussians"]),
        ),
    ]


def _draw(rows: pd.DataFrame) -> MatplotlibFigure:
    from matplotlib.figure import Figure

    settings, names = _settings_in(rows), [label for label in LAWS if label in set(rows["data"])]
    with style():
        figure = Figure(figsize=(12.5, 5.6))
        grid = figure.subplots(len(names), len(settings), sharex=True, sharey=True, squeeze=False)
        for panels, name in zip(grid, names, strict=True):
            for axes, setting in zip(panels, settings, strict=True):
                of = _of(rows[rows["data"] == name], setting)
                for kernel in KERNELS:
                    chosen = of[of["kernel"] == kernel]
                    colour = KERNEL_COLOURS[kernel]
                    line = {
                        "color": colour,
                        "marker": KERNEL_MARKERS[kernel],
                        "label": KERNEL_NAMES[kernel],
                    }
                    band(axes, _statistics.summarise(chosen, "log_nc1", ["depth"]), "depth", **line)
                    limit = chosen.drop_duplicates("seed")["limit"].mean()
                    if np.isfinite(limit):
                        offset = (
                            0 if kernel == "nngp" else 4
                        )  # where both limits are one, both dashes are seen
                        axes.axhline(limit, color=colour, linewidth=1.3, linestyle=(offset, (4, 4)))
                of_data = of["log_nc1_data"].mean()
                axes.axhline(of_data, color=KERNEL_COLOURS["data"], linewidth=1.2, linestyle=":")
                _depth_axis(axes, rows)
        for axes, setting in zip(grid[0], settings, strict=True):
            axes.set_title(_heading(setting))
        for axes in grid[-1]:
            axes.set_xlabel("depth (hidden layers)")
        for axes, name in zip(grid[:, 0], names, strict=True):
            axes.set_ylabel(f"{name}\n" + r"$\log_{10}$ NC1")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        from matplotlib.lines import Line2D

        handles += [
            Line2D([], [], color="#444444", linestyle="--", linewidth=1.3),
            Line2D([], [], color=KERNEL_COLOURS["data"], linestyle=":", linewidth=1.2),
        ]
        figure.legend(
            handles, [*labels, "predicted limit", "data themselves"], loc="outside lower center", ncols=4
        )
    return figure


def _heading(setting: Setting) -> str:
    variances = rf"$\sigma_w^2$={setting.weight_variance:.3g}, $\sigma_b^2$={setting.bias_variance:.3g}"
    return f"{setting.label}\n{variances}\n" + rf"$\chi$={setting.point.slope:.3f}"


def _depth_axis(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_xscale("log", base=2)
    shown = [d for d in (1, 2, 4, 8, 16, 32, 50) if rows["depth"].min() <= d <= rows["depth"].max()]
    shown = [d for d in shown if d != 32 or 50 not in shown]
    axes.set_xticks(shown, [str(d) for d in shown])
    axes.minorticks_off()


def _draw_rates(rows: pd.DataFrame) -> MatplotlibFigure:
    from matplotlib.figure import Figure

    colours = ("#0072B2", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#E69F00")
    markers = ("o", "^", "s", "v", "D", "P")
    of_nngp = rows[rows["kernel"] == "nngp"]
    with style():
        figure = Figure(figsize=(12.5, 3.9))
        maps, decay, linear = figure.subplots(1, 3)
        correlations = np.linspace(0.0, 1.0, 201)
        for setting, colour, marker in zip(SETTINGS, colours, markers, strict=True):
            if setting.point.phase != "unbounded":
                dashes = "-" if setting.activation == "erf" else "--"
                maps.plot(
                    correlations,
                    correlation_map(setting, correlations),
                    color=colour,
                    linestyle=dashes,
                    label=setting.label,
                )
            table = _distances(_of(of_nngp, setting), setting)
            if setting.rate < 1.0 and len(table):
                mean = table.groupby("depth")["distance"].agg(lambda v: np.exp(np.mean(np.log(v))))
                decay.plot(mean.index, mean, color=colour, marker=marker, label=setting.label)
                start = max(d for d in mean.index if d <= RATE_DEPTHS[0])
                depths = np.arange(start, mean.index.max() + 1)
                decay.plot(
                    depths,
                    mean[start] * setting.rate ** (depths - start),
                    color=colour,
                    linestyle=":",
                    linewidth=2.4,
                )
        maps.plot([0, 1], [0, 1], color="#999999", linewidth=0.9)
        maps.set(xlabel="correlation c", ylabel="R(c) one layer on", aspect="equal")
        maps.legend(loc="upper left", fontsize=8)
        decay.set_yscale("log")
        decay.plot([], [], color="#444444", linestyle=":", linewidth=2.4, label="predicted rate")
        decay.set(xlabel="depth (hidden layers)", ylabel=r"|1/NC1 $-$ 1/NC1$_\infty$|  of the NNGP")
        decay.legend(loc="lower left", fontsize=8)
        critical = _of(of_nngp, SETTINGS[1])
        table = _statistics.summarise(critical, "nc1_paper", ["depth"])
        band(linear, table, "depth", color=colours[1], marker=markers[1], label="NNGP, measured")
        mean = table.set_index("depth")["mean"]
        first, last = mean.index.asof(RATE_DEPTHS[0]), mean.index.asof(RATE_DEPTHS[-1])
        if last > first:
            slope = (mean[last] - mean[first]) / (last - first)
            depths = np.array([0.0, float(mean.index.max())])
            linear.plot(
                depths,
                mean[first] + slope * (depths - first),
                color="#444444",
                linestyle=":",
                linewidth=2.4,
                label="straight line",
            )
        linear.set(xlabel="depth (hidden layers)", ylabel=f"NC1  ({SETTINGS[1].label})")
        linear.legend(loc="upper left", fontsize=8)
    return figure


def correlation_map(setting: Setting, correlations: Any) -> Any:
    """Return R(c) at the fixed point of the variance."""
    activation, weight, bias = setting
    q = np.full_like(correlations, setting.point.variance)
    return (weight * activations.get(activation).kappa(q, q, correlations * q) + bias) / q


def _distances(rows: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """Return how far 1/NC1 is from its end by depth and seed: from the limit, or if there is none the deepest value."""
    inverse = 1.0 / rows["nc1_paper"]
    if setting.point.phase == "ordered":
        deepest = rows["depth"].max()
        last = rows.assign(end=inverse)[rows["depth"] == deepest][["seed", "end"]]
        rows = rows[rows["depth"] < deepest].merge(last, on="seed")
    else:
        rows = rows.assign(end=10 ** -rows["limit"])
    table = rows.assign(distance=(1.0 / rows["nc1_paper"] - rows["end"]).abs())
    return table.loc[table["distance"] > 0, ["seed", "depth", "distance"]]


# -- tables and verdicts


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate the fixed points, the limits, and the rates, measured beside predicted."""
    rows = _prepare(rows)
    deepest = rows["depth"].max()
    points = [
        {
            "setting": s.label,
            "weight variance": s.weight_variance,
            "bias variance": s.bias_variance,
            "q*": s.point.variance,
            "V'(q*)": s.point.variance_slope,
            "chi": s.point.slope,
            "c*": s.point.correlation,
            "R'(c*)": s.point.rate,
            "depth scale": s.point.depth_scale,
        }
        for s in SETTINGS
    ]
    last = rows[rows["depth"] == deepest].groupby(["data", "setting", "kernel"])
    ends = last[["log_nc1", "limit"]].mean().reset_index()
    ends["gap"] = ends["log_nc1"] - ends["limit"]
    columns = {"log_nc1": f"log10 NC1 at depth {deepest}", "limit": "predicted limit"}
    rates = _rates(rows)
    measured = rates.groupby(["data", "setting"])[["measured", "predicted"]].mean().reset_index()
    by = ["data", "setting", "kernel"]
    wide = rows.pivot_table(index=by, columns="depth", values="log_nc1", aggfunc="mean")
    return [
        Table(
            "Fixed points of the maps of variance and correlation",
            pd.DataFrame(points),
            "The depth scale is that of correlations, −1 / log R'(c*) layers.",
        ),
        Table("Limits: log10 NC1, mean over seeds", ends.rename(columns=columns)),
        Table(
            "Rates of the NNGP: the factor a layer by which 1/NC1 nears its end",
            measured,
            f"Measured from depths {', '.join(map(str, RATE_DEPTHS))}, mean over seeds.",
        ),
        Table("log10 NC1 by depth, mean over seeds", wide.rename(columns="depth {}".format).reset_index()),
    ]


def _rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rate of each seed from three depths, (y3 - y2) / (y2 - y1) with y = 1/NC1, beside the predicted."""
    decaying = [s.label for s in SETTINGS if s.rate < 1.0]
    chosen = rows[(rows["kernel"] == "nngp") & rows["setting"].isin(decaying)]
    chosen = chosen.assign(y=1.0 / chosen["nc1_paper"])
    wide = chosen.pivot_table(index=["data", "setting", "seed"], columns="depth", values="y", sort=False)
    wide = wide.reindex(columns=list(RATE_DEPTHS)).dropna()
    first, middle, last = (wide[d] for d in RATE_DEPTHS)
    ratio = (last - middle) / (middle - first)
    table = wide.assign(measured=ratio.where(ratio > 0) ** (1.0 / (RATE_DEPTHS[1] - RATE_DEPTHS[0])))
    table = table[["measured"]].reset_index()
    return table.assign(predicted=table["setting"].map({s.label: s.rate for s in SETTINGS}).astype(float))


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge limits and rates against the theory, and whether depth collapses at all."""
    rows = _prepare(rows)
    shallowest, deepest = rows["depth"].min(), rows["depth"].max()
    before = max((d for d in rows["depth"].unique() if d < deepest), default=deepest)
    middle = max((d for d in rows["depth"].unique() if d <= RATE_DEPTHS[0]), default=deepest)
    cells = ["data", "setting", "kernel"]
    phase = {s.label: s.point.phase for s in SETTINGS}
    first, last, at_middle, nearly = (rows[rows["depth"] == d] for d in (shallowest, deepest, middle, before))
    limit = rows.drop_duplicates([*cells, "seed"]).assign(log_nc1=lambda r: r["limit"])
    chaotic, ordered = ([s for s, of in phase.items() if of == which] for which in ("chaotic", "ordered"))

    def name(row: pd.Series[Any]) -> str:
        kernel = f" {KERNEL_NAMES[row['kernel']]}" if "kernel" in row else ""
        return f"{row['setting']}{kernel}, {row['data']}"

    def away(part: pd.DataFrame) -> pd.DataFrame:
        return part.assign(away=(part["log_nc1"] - part["limit"]).abs().clip(lower=AT_LIMIT))

    rates = _rates(rows)
    rate_gap = _statistics.paired(
        rates.assign(v=np.log10(rates["predicted"])),
        rates.assign(v=np.log10(rates["measured"])),
        "v",
        ["data", "setting"],
    )
    judged = [
        _statistics.within(
            f"The chaotic phase forgets the classes: NC1 at depth {deepest} is (n_c − 1) / (1 − 1/C), to {AT_LIMIT:g} "
            "decades.",
            _statistics.paired(limit[limit["setting"].isin(chaotic)], last, "log_nc1", cells),
            name,
            margin=AT_LIMIT,
            gap="gap log10 NC1 − limit",
        ),
        _statistics.within(
            f"The ordered phase freezes the NNGP: from depth {before} to {deepest} NC1 changes by less than {FROZEN:g} "
            "decades.",
            _statistics.paired(
                nearly[nearly["setting"].isin(ordered) & (nearly["kernel"] == "nngp")], last, "log_nc1", cells
            ),
            name,
            margin=FROZEN,
            gap="change of log10 NC1",
        ),
        _statistics.above_zero(
            f"NC1 nears the predicted limit, wherever there is one: it is closer at depth {deepest} than at {middle} "
            f"(closer than {AT_LIMIT:g} decades is there).",
            _statistics.paired(away(last), away(at_middle), "away", cells),
            name,
            gap="fall of the distance to the limit",
            ties_hold=True,
            by="setting",
        ),
        replace(
            _statistics.within(
                "NC1 of the NNGP nears its end at the predicted rate, to "
                f"{100 * (RATE_MARGIN - 1):.0f} % a layer, in the ordered and chaotic phases.",
                rate_gap,
                name,
                margin=float(np.log10(RATE_MARGIN)),
                gap="gap log10 measured rate − log10 predicted rate",
                by="setting",
            ),
            test="The rate of each seed from 1/NC1 at depths "
            f"{', '.join(map(str, RATE_DEPTHS))}. " + _statistics.TEST.replace("log10 NC1", "log10 rate"),
        ),
        _linear_growth(rows, name),
        _statistics.above_zero(
            f"Depth collapses the features further: NC1 at depth {deepest} is below that at depth {shallowest}.",
            _statistics.paired(last, first, "log_nc1", cells),
            name,
            gap="fall of log10 NC1",
            by="data",
        ),
    ]
    return judged


def _linear_growth(rows: pd.DataFrame, name: Any) -> Verdict:
    """Judge whether NC1 of critical erf grows by as much a layer late as early."""
    setting = SETTINGS[1].label
    chosen = rows[
        (rows["setting"] == setting) & (rows["kernel"] == "nngp") & (rows["data"] == "two Gaussians")
    ]
    wide = chosen.pivot_table(index=["data", "setting", "seed"], columns="depth", values="nc1_paper")
    ends = [RATE_DEPTHS[0], RATE_DEPTHS[-1], rows["depth"].max()]
    wide = wide.reindex(columns=ends).dropna()

    def growth(start: int, stop: int) -> pd.DataFrame:
        rate = (wide[stop] - wide[start]) / max(stop - start, 1)
        return wide.assign(v=np.log10(rate.where(rate > 0))).reset_index()[["data", "setting", "seed", "v"]]

    verdict = _statistics.within(
        "At criticality NC1 of the NNGP grows linearly: by as much a layer from depth "
        f"{ends[1]} to {ends[2]} as from {ends[0]} to {ends[1]}, to {100 * (LINEAR_MARGIN - 1):.0f} % "
        "(erf, two Gaussians).",
        _statistics.paired(growth(*ends[:2]), growth(*ends[1:]), "v", ["data", "setting"]),
        name,
        margin=float(np.log10(LINEAR_MARGIN)),
        gap="gap log10 late growth − log10 early growth",
    )
    return replace(verdict, test=_statistics.TEST.replace("log10 NC1", "log10 growth a layer"))


EXPERIMENT = Experiment(
    name="depth",
    title="What depth does",
    question="What does depth do to NC1 in the ordered, critical and chaotic phase, and do fixed points foretell it?",
    trials=trials,
    figures=figures,
    tables=tables,
    verdicts=verdicts,
)
