"""NC1 of every layer of a deep network while it trains, far into the terminal phase, beside kernels of its depth.

The networks descend l = (1/n) sum_i (y_i - f(x_i))^2 + (gamma/2) |theta|^2, gamma being the weight decay. Therefore
exp( -(n / 2 sigma^2) l ) is, for every sigma^2, the posterior of a network with noise variance sigma^2 whose weights
all have the prior variance v = 2 sigma^2 / (n gamma). The mode does not depend on sigma^2, which is a temperature: as
it goes to 0 the posterior contracts to its modes, and descent ends at one of them. A layer of fan-in m has sigma_w^2 =
m v. The fan-ins are 64, of the first layer 8. At v = 1/64 the variances of the later hidden layers and of the readout
are 1, as at the networks' start, and sigma^2 = n gamma v / 2 = 0.0025. That of the first layer is then 1/8. A kernel
has one variance for all hidden layers, so the inputs of the kernels are divided by sqrt(8) instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Level, Line, Mark, Panel, Plot, Points, means
from kernel_collapse.report.style import ACTIVATION_NAMES, CYCLE, KERNEL_MARKERS, sizes_palette
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1, NetworkNC1
from kernel_collapse.runs.trials import GaussianClasses, Trial
from kernel_collapse_paper.experiments import topics

#: Last epoch, repeats.
GRIDS: dict[Preset, tuple[int, int]] = {"quick": (3000, 5), "paper": (100_000, 10)}
DEPTH, WIDTH = 3, 64
N, DIM, DECAY = 64, 8, 5e-3
#: Classes that overlap in every coordinate: on the paper's data a first epoch or two end all errors.
LAW = GaussianClasses(n=N, dim=DIM, class_means=(-0.5, 0.5))
#: The same samples, divided by the root of fan-in over width: see the module.
SHRINK = float(np.sqrt(DIM / WIDTH))
SHRUNK = GaussianClasses(n=N, dim=DIM, class_means=(-0.5 * SHRINK, 0.5 * SHRINK), class_stds=0.5 * SHRINK)
NOISE = N * DECAY / (2 * WIDTH)
#: What multiplies all variances of the equations of state: the mode is the same, and the spread around it smaller.
COLD = 0.01
ACTIVATIONS = ("erf", "relu")
#: What the networks are held against: its name in words, and its marker.
KERNELS = {
    "nngp": ("NNGP", KERNEL_MARKERS["nngp"]),
    "adaptive": ("Gaussian equations of state", KERNEL_MARKERS["adaptive"]),
    "adaptive-cold": ("Gaussian equations of state, cold", KERNEL_MARKERS["adaptive-published"]),
}
CELLS = ["activation", "layer"]
#: Two values of NC1 are near one another where they differ by less than this factor.
NEAR = 2.0


def trials(preset: Preset) -> list[Trial]:
    """Return deep networks of both activations on a small problem, and kernels of their depth."""
    last, repeats = GRIDS[preset]
    probes = sorted({0, last, *(round(e) for e in np.geomspace(1, last, 40))})
    networks = [
        Trial(
            data=LAW,
            measurement=NetworkNC1(
                activation=activation,
                width=WIDTH,
                depth=DEPTH,
                epochs=last,
                learning_rate=0.02,
                weight_decay=DECAY,
                readout_variance=1.0,
                probes=tuple(probes),
                precision="float64",
            ),
            seed=seed,
        )
        for activation in ACTIVATIONS
        for seed in range(repeats)
    ]
    kernels = [
        Trial(data=SHRUNK, measurement=measurement, seed=seed)
        for activation in ACTIVATIONS
        for measurement in _kernels(activation)
        for seed in range(repeats)
    ]
    return networks + kernels


def _kernels(activation: str) -> list[Any]:
    """Return the NNGP of every layer, and the equations of state at the temperature of the start and at a lower one."""
    nngp = [KernelNC1(kernel="nngp", activation=activation, depth=layer) for layer in range(1, DEPTH + 1)]
    adaptive = [
        AdaptiveNC1(
            activation=activation,
            width=WIDTH,
            depth=DEPTH,
            weight_variance=temperature,
            readout_variance=temperature,
            noise_variance=temperature * NOISE,
        )
        for temperature in (1.0, COLD)
    ]
    return [*nngp, *adaptive]


def paths(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a network, epoch and layer: log10 NC1 and loss."""
    done = rows[(rows["status"] == "ok") & (rows["kernel"] == "network")]
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


def levels(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a kernel, seed and layer: log10 NC1."""
    done = rows[(rows["status"] == "ok") & (rows["kernel"] != "network")]
    found: list[dict[str, Any]] = []
    for row in done.to_dict("records"):
        kept = {name: row[name] for name in ("activation", "seed")}
        if row["kernel"] == "nngp":
            found.append({**kept, "kernel": "nngp", "layer": int(row["depth"]), "nc1": row["nc1_paper"]})
            continue
        kernel = "adaptive" if row["weight_variance"] == 1.0 else "adaptive-cold"
        for layer, nc1 in enumerate(row["layer_nc1"], start=1):
            found.append({**kept, "kernel": kernel, "layer": layer, "nc1": nc1})
    table = pd.DataFrame(found, columns=["activation", "seed", "kernel", "layer", "nc1"])
    return table.assign(log_nc1=np.log10(table["nc1"].astype(float)))


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 of the layers, the loss and the cosine of NC3 against the epoch, and NC1 of the kernels at the end."""
    path = paths(rows)
    return [
        Figure(
            "training-path",
            f"Two classes (means −0.5, 0.5), N = 64, d = 8, three hidden layers of {WIDTH} units: NC1 of each "
            f"layer, loss (grey, dashed) and NC3, the cosine (right) against the epoch, to {path['epoch'].max()}. "
            "Vertical line: median epoch of zero training error. Mean and one standard deviation over "
            f"{path['seed'].nunique()} networks. Right of the last epoch: kernels of the same depth and width, in the "
            "colours of the layers. They belong to the posterior whose mode descent with this weight decay seeks: "
            f"readout variance 1, weight variance 1 (first layer 1/8), noise variance {NOISE:g}; cold: the same mode "
            f"with all variances times {COLD:g}. Not matched: the kernels have no biases, and the temperature of "
            "descent is zero.",
            _draw(path, levels(rows)),
        )
    ]


def _draw(path: pd.DataFrame, kernels: pd.DataFrame) -> Plot:
    last = path["epoch"].max()
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
            *_beside(kernels[kernels["activation"] == activation], last),
        ]
        y = Axis(label=r"$\log_{10}$ NC1(H), $\log_{10}$ loss", logarithms=True)
        panels.append(Panel(marks=marks, x=epochs, y=y, title=name))
        cosine = intervals.summarise(first, "nc3_cosine", ["epoch"])
        alignment.append(Line(cosine["epoch"], cosine["mean"], name=name, color=colour))
    title = "NC3: cosine of readout and class means"
    panels.append(Panel(marks=alignment, x=epochs, y=Axis(high=1.02), title=title))
    # Markers have the colours of layers, so the legend shows them in none.
    keys = [Points([], [], marker=marker, name=name, size=6) for name, marker in KERNELS.values()]
    return Plot(rows=[panels], size=(13, 3.5), legend=Legend(where="outside right center", keys=keys))


def _beside(kernels: pd.DataFrame, last: int) -> list[Mark]:
    """Return NC1 of every kernel and layer at the right of the last epoch, a column a kernel."""
    shades = sizes_palette(DEPTH)
    marks: list[Mark] = []
    for column, (kernel, (name, marker)) in enumerate(KERNELS.items()):
        of = intervals.summarise(kernels[kernels["kernel"] == kernel], "log_nc1", ["layer"])
        for layer, mean, std in zip(of["layer"], of["mean"], of["std"], strict=True):
            marks.append(
                Points(
                    [last * 2.5 ** (column + 1)],
                    [mean],
                    [mean - std],
                    [mean + std],
                    marker=marker,
                    color=shades[layer - 1],
                    group=name,
                    size=6,
                )
            )
    return marks


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate start and end, and beside the end the kernels."""
    path = paths(rows)
    ends = path.groupby([*CELLS, "seed"]).agg(start=("log_nc1", "first"), end=("log_nc1", "last"))
    table = ends.groupby(CELLS).agg(["mean", "std"])
    table.columns = [f"log10 NC1 {which}, {what}" for which, what in table.columns]
    beside = levels(rows).pivot_table(index=CELLS, columns="kernel", values="log_nc1", aggfunc="mean")
    beside = beside[list(KERNELS)].rename(columns={kernel: words for kernel, (words, _) in KERNELS.items()})
    beside.insert(0, "trained network", ends.groupby(CELLS)["end"].mean())
    return [
        Table("NC1 of each layer at the start and the end", table.reset_index()),
        Table(
            "log10 NC1 of each layer at the end and of kernels of the same depth, mean over seeds",
            beside.reset_index(),
            f"Noise variance {NOISE:g}, readout and weight variance 1 (first layer 1/8), as weight decay has them; "
            f"cold: all of them times {COLD:g}, with the same mode.",
        ),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge whether NC1 falls with training, in the terminal phase and with depth, and how far kernels are from it."""
    path = paths(rows)
    kernels = levels(rows)
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
        *(
            intervals.above_zero(
                f"At the end, each layer is more collapsed than {words}.",
                intervals.paired(end, kernels[kernels["kernel"] == kernel], "log_nc1", CELLS),
                name,
                gap="gap log10 NC1(kernel) − log10 NC1(network)",
            ).about(topics.LAYERS)
            for kernel, words in (
                ("nngp", "in the NNGP of that depth"),
                (
                    "adaptive",
                    "under the Gaussian equations of state at the temperature that gives the start's prior",
                ),
            )
        ),
        intervals.within(
            "At a hundredth of the temperature, the Gaussian equations of state give the NC1 of each layer at the end "
            f"to a factor of {NEAR:g}.",
            intervals.paired(end, kernels[kernels["kernel"] == "adaptive-cold"], "log_nc1", CELLS),
            name,
            margin=float(np.log10(NEAR)),
            gap="gap log10 NC1(kernel) − log10 NC1(network)",
        ).about(topics.LAYERS),
    ]


EXPERIMENT = Experiment(
    name="training-path",
    title="Collapse while training",
    question="How does NC1 of each layer fall with the epochs, does it stop, and how near do kernels of the same depth "
    "come to where it ends?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
)
