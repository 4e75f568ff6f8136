"""Networks of several hidden layers: every kernel, the posterior and trained networks, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse import data
from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Level, Mark, Panel, Plot, at, means
from kernel_collapse.report.style import ACTIVATION_NAMES, KERNEL_COLOURS, KERNEL_NAMES
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1, MeanFieldNC1, NetworkNC1, PosteriorNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import topics
from kernel_collapse_paper.experiments.conclusions import Words, of_claims
from kernel_collapse_paper.experiments.logs import of_depths
from kernel_collapse_paper.experiments.looks import of_kernel

#: Classes that overlap in every coordinate.
OVERLAP = (-0.3, 0.3)
#: Laws by the name they have in figures.
LAWS: dict[str, tuple[float, ...]] = {"D1": data.D1_MEANS, "D2": data.D2_MEANS, "overlap": OVERLAP}
#: Activations and seeds of each law: a posterior takes most of the time, that of D2 ten times as long as the others.
Laws = dict[str, tuple[tuple[str, ...], int]]
#: Samples, dimensions, draws a chain, depths, and the laws.
GRIDS: dict[Preset, tuple[int, int, int, tuple[int, ...], Laws]] = {
    "quick": (24, 8, 600, (1, 3), {"D1": (("erf",), 3)}),
    "paper": (
        32,
        8,
        800,
        (1, 2, 3),
        {"D1": (("erf", "relu"), 4), "D2": (("erf",), 2), "overlap": (("erf", "relu"), 4)},
    ),
}
ACTIVATIONS = ("erf", "relu")
WIDTH, READOUT, NOISE = 100, 1 / 128, 1e-2
#: In the order of the legend: what does not know the labels, what does. The mean field is drawn upon the posterior.
KERNELS = ("ntk", "nngp", "adaptive", "posterior", "mean-field", "network", "network-decayed")
#: Those of one network of each depth, whose every layer knows the labels.
ADAPTING = ("adaptive", "mean-field", "posterior", "network", "network-decayed")
CELLS = ["data", "activation", "depth", "layer"]
#: Of several layers it has no mean field that can be solved: of eight tries seven ended without one.
UNSOLVED = ("overlap", "relu")
#: Two kernels follow one another where their NC1 differ by less than this factor.
FOLLOWS, NEAR = 1.05, 1.10
#: Share of the posterior's change of log10 NC1 from the NNGP that counts as most of it.
MOST = 0.9


def trials(preset: Preset) -> list[Trial]:
    """Return every kernel and network of every depth on every law; those that know no labels of every layer."""
    n, dim, draws, depths, chosen = GRIDS[preset]
    return [
        Trial(data=GaussianClasses(n=n, dim=dim, class_means=LAWS[law]), measurement=m, seed=seed)
        for law, (activations, seeds) in chosen.items()
        for seed in range(seeds)
        for m in [
            KernelNC1(kernel="data"),
            *(m for a in activations for m in _of_no_network(a, max(depths))),
            *(
                m
                for a in activations
                for depth in depths
                for m in _measurements(n, draws, a, depth)
                if not (isinstance(m, MeanFieldNC1) and (law, a) == UNSOLVED and depth > 1)
            ),
        ]
    ]


def _of_no_network(activation: str, deepest: int) -> list[Any]:
    """Return the kernels that know no labels, of every layer."""
    return [
        KernelNC1(kernel=kernel, activation=activation, depth=layer)
        for layer in range(1, deepest + 1)
        for kernel in ("nngp", "ntk")
    ]


def _measurements(n: int, draws: int, activation: str, depth: int) -> list[Any]:
    prior: dict[str, Any] = {
        "activation": activation,
        "depth": depth,
        "width": WIDTH,
        "readout_variance": READOUT,
    }
    noisy = {**prior, "noise_variance": NOISE}
    # As in `all_kernels`: descent from a draw of the prior, and to the posterior's mode.
    descent = {**prior, "parameterisation": "ntk", "learning_rate": 5.0}
    return [
        AdaptiveNC1(**noisy),
        MeanFieldNC1(**noisy),
        PosteriorNC1(**noisy, draws=draws),
        NetworkNC1(**descent, epochs=600, weight_decay=0.0, probes=(600,)),
        NetworkNC1(**descent, epochs=6000, weight_decay=2 * NOISE / n, probes=(6000,)),
    ]


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a kernel, depth of the network and layer: log10 NC1 and its error.

    The kernels that know no labels have no network: layer l of any depth is theirs of depth l.
    """
    rows = rows.copy()
    rows.loc[(rows["kernel"] == "network") & (rows["weight_decay"] > 0), "kernel"] = "network-decayed"
    rows = of_depths(rows)
    names = {means: law for law, means in LAWS.items()}
    rows["data"] = [names[tuple(means)] for means in rows["data_class_means"]]
    depths = sorted(rows.loc[rows["kernel"].isin(ADAPTING), "depth"].unique())
    parts = []
    for row in rows.to_dict("records"):
        if row["kernel"] in ADAPTING:
            values = np.asarray(_layers(row), dtype=float)
            layers, of = np.arange(1, row["depth"] + 1), np.full(row["depth"], row["depth"])
        else:
            of = np.array([depth for depth in depths if depth >= row["depth"]])
            layers, values = np.full(len(of), row["depth"]), np.full(len(of), row["nc1_paper"])
        kept = {name: row[name] for name in ("data", "activation", "kernel", "seed", "log_nc1_data")}
        parts.append(pd.DataFrame({**kept, "depth": of, "layer": layers, "nc1": values}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(log_nc1=np.log10(table["nc1"].where(table["nc1"] > 0)))


def _layers(row: dict[str, Any]) -> list[float]:
    """Return NC1 of every hidden layer of one network, or of the kernel that stands for it."""
    if row["kernel"].startswith("network"):
        return list(row["path_nc1"][-1])
    return [row["nc1_paper"]] if row["depth"] == 1 else list(row["layer_nc1"])


def _explained(table: pd.DataFrame) -> pd.DataFrame:
    """Return of each layer the share of the posterior's change of log10 NC1 from the NNGP that a kernel makes."""
    wide = table.pivot_table(index=[*CELLS, "seed"], columns="kernel", values="log_nc1")
    wide = wide.reindex(columns=list(KERNELS))
    of = [kernel for kernel in ADAPTING if kernel != "posterior"]
    shares = wide[of].sub(wide["nngp"], axis=0).div(wide["posterior"] - wide["nngp"], axis=0)
    return shares.reset_index().melt([*CELLS, "seed"], var_name="kernel", value_name="share").dropna()


def figures(table: pd.DataFrame) -> list[Figure]:
    """Draw NC1 by layer of the deepest networks, and the share of the posterior's change that each kernel makes."""
    deepest = table[table["depth"] == table["depth"].max()]
    names = " and ".join(ACTIVATION_NAMES[activation] for activation in _activations_in(table))
    about = (
        f"hidden layer of networks of {table['depth'].max()} hidden layers ({names}, width {WIDTH}, readout variance "
        f"1/128, noise variance {NOISE:g})"
    )
    return [
        Figure(
            "deep-kernels",
            f"NC1 of every {about}: kernels, the posterior and trained networks. The NTK and NNGP of layer l are those "
            "of a network of l hidden layers. Dotted: the data themselves. Mean and one standard deviation over seeds.",
            _grid(deepest, _by_kernel),
        ),
        Figure(
            "deep-kernels-explained",
            "Share of the posterior's change of log10 NC1, from the NNGP of the same layer, that each kernel makes in "
            f"every {about}: 1 is all of it, 0 nothing. Mean and one standard deviation over seeds.",
            _grid(deepest, _shares),
        ),
    ]


def _grid(table: pd.DataFrame, marks: Callable[[pd.DataFrame], list[Mark]]) -> Plot:
    """Return a panel a law and activation, of marks over the layers."""
    what = "share of the change" if marks is _shares else r"$\log_{10}$ NC1"
    x = at(sorted(table["layer"].unique()), "hidden layer", "linear")
    grid = []
    for law in _laws_in(table):
        row: list[Panel | None] = []
        for activation in _activations_in(table):
            of = table[(table["data"] == law) & (table["activation"] == activation)]
            y = Axis(label=f"{law}: {what}", logarithms=marks is not _shares)
            panel = Panel(marks=marks(of), x=x, y=y, title=ACTIVATION_NAMES[activation])
            row.append(panel if len(of) else None)
        grid.append(row)
    size = (2.5 + 3.5 * len(grid[0]), 0.5 + 2.9 * len(grid))
    return Plot(rows=grid, size=size, share_y="row", legend=Legend(where="outside right center"))


def _by_kernel(table: pd.DataFrame) -> list[Mark]:
    """Return NC1 of every kernel by layer, and that of the data themselves."""
    marks: list[Mark] = [
        means(
            intervals.summarise(table[table["kernel"] == kernel], "log_nc1", ["layer"]),
            "layer",
            width=2.4 if kernel == "posterior" else 1.4,
            **of_kernel(kernel),
        )
        for kernel in KERNELS
        if kernel in set(table["kernel"])
    ]
    look: dict[str, Any] = {"color": KERNEL_COLOURS["data"], "name": "data themselves"}
    return [*marks, Level(table["log_nc1_data"].mean(), width=1.2, dashes=":", **look)]


def _shares(table: pd.DataFrame) -> list[Mark]:
    """Return the share of the posterior's change that each kernel makes, by layer."""
    shares = _explained(table)
    marks: list[Mark] = [
        means(
            intervals.summarise(shares[shares["kernel"] == kernel], "share", ["layer"]),
            "layer",
            **of_kernel(kernel),
        )
        for kernel in ("adaptive", "mean-field", "network")
    ]
    return [*marks, Level(1, color=KERNEL_COLOURS["posterior"], name="posterior", width=1)]


def _activations_in(table: pd.DataFrame) -> list[str]:
    present = set(table["activation"])
    return [activation for activation in ACTIVATIONS if activation in present]


def _laws_in(table: pd.DataFrame) -> list[str]:
    present = set(table["data"])
    return [law for law in LAWS if law in present]


def tables(table: pd.DataFrame) -> list[Table]:
    """Tabulate NC1 of every layer, and the shares explained."""
    nc1 = table.pivot_table(index=CELLS, columns="kernel", values="nc1", aggfunc="mean")
    kept = [kernel for kernel in KERNELS if kernel in nc1]
    shares = _explained(table).pivot_table(index=CELLS, columns="kernel", values="share", aggfunc="mean")
    order = [kernel for kernel in KERNELS if kernel in shares]
    return [
        Table(
            "NC1 of every hidden layer, mean over seeds",
            nc1[kept].rename(columns=KERNEL_NAMES).reset_index(),
        ),
        Table(
            "Share of the posterior's change of log10 NC1 from the NNGP, mean over seeds",
            shares[order].rename(columns=KERNEL_NAMES).reset_index(),
            "1 is all of the change, 0 nothing; more than 1 goes further than the posterior.",
        ),
    ]


def verdicts(table: pd.DataFrame) -> list[Verdict]:
    """Judge whether each kernel collapses with depth, which layer adapts most, and which kernel follows networks."""
    of = {kernel: table[table["kernel"] == kernel] for kernel in KERNELS}
    judged = [
        *(_by_layer(of[kernel], KERNEL_NAMES[kernel]) for kernel in KERNELS),
        _last_adapts_most(of["posterior"], of["nngp"]),
        _follows("The mean field gives", "posterior", "mean-field", of, FOLLOWS),
        _follows("The Gaussian equations of state give", "posterior", "adaptive", of, FOLLOWS),
        _explains(table, "adaptive", "The Gaussian equations of state make more than half", 0.5),
        _explains(table, "mean-field", f"The mean field makes more than {100 * MOST:.0f} %", MOST),
        _follows("The posterior gives", "network", "posterior", of, NEAR),
    ]
    return [verdict.about(topics.LAYERS) for verdict in judged]


def _name(row: pd.Series[Any]) -> str:
    depth = f", depth {row['depth']}" if "depth" in row else ""
    layer = f", layer {row['layer']}" if "layer" in row else ""
    return f"{ACTIVATION_NAMES[row['activation']]}, {row['data']}{depth}{layer}"


def _by_layer(rows: pd.DataFrame, kernel: str) -> Verdict:
    """Judge whether each layer of the deepest networks is more collapsed than the one below."""
    deepest = rows[rows["depth"] == rows["depth"].max()]
    above, cells = deepest.assign(layer=deepest["layer"] - 1), ["data", "activation", "layer"]
    return intervals.above_zero(
        f"{kernel[0].upper()}{kernel[1:]}: each hidden layer is more collapsed than the one below.",
        intervals.paired(above, deepest, "log_nc1", cells),
        lambda row: (
            f"{ACTIVATION_NAMES[row['activation']]}, {row['data']}, layer {row['layer']} to {row['layer'] + 1}"
        ),
        gap="fall of log10 NC1",
        by="data",
    )


def _last_adapts_most(posterior: pd.DataFrame, nngp: pd.DataFrame) -> Verdict:
    """Judge whether the posterior's NC1 differs most from that of the NNGP in the last layer of each network."""
    on = [*CELLS, "seed"]
    both = posterior[[*on, "log_nc1"]].merge(nngp[[*on, "log_nc1"]], on=on, suffixes=("", "_prior"))
    change = both.assign(change=(both["log_nc1"] - both["log_nc1_prior"]).abs())
    last = change[change["layer"] == change["depth"]]
    network = ["data", "activation", "depth", "seed"]
    other = change[change["layer"] < change["depth"]].groupby(network)["change"].max().reset_index()
    return intervals.above_zero(
        "The last hidden layer adapts most: there log10 NC1 of the posterior is furthest from that of the NNGP.",
        intervals.paired(other, last, "change", network[:-1]),
        _name,
        gap="lead of the last layer",
        by="data",
    )


def _follows(words: str, first: str, second: str, of: dict[str, pd.DataFrame], margin: float) -> Verdict:
    return intervals.within(
        f"{words} the NC1 of every layer of the {KERNEL_NAMES[first]} to {100 * (margin - 1):.0f} %.",
        intervals.paired(of[first], of[second], "log_nc1", CELLS),
        _name,
        margin=float(np.log10(margin)),
        gap=f"gap log10 NC1({KERNEL_NAMES[second]}) − log10 NC1({KERNEL_NAMES[first]})",
        by="data",
    )


def _explains(table: pd.DataFrame, kernel: str, words: str, share: float) -> Verdict:
    """Judge whether a kernel makes at least that share of the posterior's change from the NNGP, in every layer."""
    wide = table.pivot_table(index=[*CELLS, "seed"], columns="kernel", values="log_nc1")
    wide = wide.reindex(columns=list(KERNELS))
    change = wide["posterior"] - wide["nngp"]
    over = (
        (np.sign(change) * (wide[kernel] - wide["nngp"] - share * change))
        .dropna()
        .rename("over")
        .reset_index()
    )
    return intervals.above_zero(
        f"{words} of the posterior's change of log10 NC1 from the NNGP, in every layer.",
        intervals.paired(over.assign(over=0.0), over, "over", CELLS),
        _name,
        gap="change beyond that share",
        by="data",
    )


EXPERIMENT = Experiment(
    name="deep-kernels",
    title="Deep adaptive kernels, layer by layer",
    question="Do kernels that adapt to the data collapse with depth as networks do, and how much of the posterior's "
    "collapse does each explain, layer by layer?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    prepare=prepare,
    conclude=of_claims(
        "deep-kernels",
        Words(
            "Posterior: each hidden layer",
            "With several hidden layers, each layer of the posterior is more collapsed than the one below",
            "No layer of the posterior is more collapsed than the one below",
        ),
        Words(
            "NNGP: each hidden layer",
            "So is each layer of the NNGP",
            "The NNGP does not adapt, and no layer of it is more collapsed than the one below",
        ),
    ),
)
