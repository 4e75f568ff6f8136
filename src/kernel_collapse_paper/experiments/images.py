"""Whether locality or pooling collapses images that dense kernels do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.plot import Axis, Legend, Level, Mark, Panel, Plot, Points, at, means
from kernel_collapse.report.style import KERNEL_COLOURS, KERNEL_NAMES
from kernel_collapse.runs import laws
from kernel_collapse.runs.experiments import Experiment, Preset
from kernel_collapse.runs.measurements import ConvNetworkNC1, ImageNC1, KernelNC1, NetworkNC1
from kernel_collapse.runs.trials import ShippedData, Trial
from kernel_collapse_paper.experiments import topics
from kernel_collapse_paper.experiments.logs import of_depths
from kernel_collapse_paper.experiments.looks import decades

#: Samples of digits and of shapes, depths, seeds, the laws of shapes, and the networks that are trained: what is
#: compiled for each takes longer than its training.
GRIDS: dict[Preset, tuple[int, int, tuple[int, ...], int, tuple[str, ...], tuple[str, ...]]] = {
    "quick": (30, 40, (1, 2), 3, ("shapes in one place", "shapes anywhere"), ("network", "conv-network-gap")),
    "paper": (
        80,
        64,
        (1, 2, 3, 5),
        6,
        ("shapes in one place", "shapes nearby", "shapes anywhere"),
        ("network", "conv-network", "conv-network-gap"),
    ),
}
HOLDOUT = 0.25
ACTIVATION = "relu"
#: Pixels along a side, how far a shape moves, and the noise of a pixel: that of shapes that do not move makes them
#: as hard to tell apart, by their pixels, as those that do.
SIDE = 6
SHAPES = {
    "shapes in one place": (0.0, 0.3),
    "shapes nearby": (1.0, 0.05),
    "shapes anywhere": (SIDE / 2, 0.05),
}
CLASSES = 4
#: In the order of the figures.
ORDER = ("digits", *SHAPES)
#: What a network knows of images, and which of its kernels is measured.
KINDS = {
    "nngp": ("dense", "NNGP"),
    "ntk": ("dense", "NTK"),
    "conv-nngp": ("flattened", "NNGP"),
    "conv-ntk": ("flattened", "NTK"),
    "conv-nngp-gap": ("pooled", "NNGP"),
    "conv-ntk-gap": ("pooled", "NTK"),
}
#: And networks, of how many hidden layers, and how they are trained. Their features are of order one where the weights
#: have these variances: pixels of digits run to 16, those of shapes to 1.
TRAINED = {"network": "dense", "conv-network": "flattened", "conv-network-gap": "pooled"}
LAYERS = 2
DESCENT: dict[str, Any] = {
    "width": 32,
    "epochs": 300,
    "optimiser": "adam",
    "learning_rate": 3e-3,
    "weight_decay": 0.0,
    "readout_variance": 1.0,
}
WEIGHTS = {"shipped": 0.25, "shapes": 4.0}
COLOURS = {"dense": "#0072B2", "flattened": "#009E73", "pooled": "#D55E00"}
MARKERS = {"dense": "o", "flattened": "^", "pooled": "s"}
CELLS = ["data", "limit", "depth"]
#: What is drawn of the samples that were seen, and of those that were not.
VALUES = {
    "log_nc1": "NC1",
    "log_held_out": "NC1, held out",
    "held_out_ncm_accuracy": "held out, nearest class mean",
}


def trials(preset: Preset) -> list[Trial]:
    """Return every kernel of every depth, and every network, on digits and on every law of shapes."""
    *_, depths, seeds, _, networks = GRIDS[preset]
    return [
        Trial(data=law, measurement=m, seed=seed)
        for name, law in data_of(preset).items()
        for seed in range(seeds)
        for m in (
            KernelNC1(kernel="data", holdout=HOLDOUT),
            *_kernels(law, depths),
            *(_networks(law, networks) if preset == "paper" or name != "digits" else ()),
        )
    ]


def data_of(preset: Preset) -> dict[str, Any]:
    """Return the table of digits and every law of shapes by the name that it has in figures."""
    digits, n, _, _, chosen, _ = GRIDS[preset]

    def shapes(translation: float, noise: float) -> Any:
        options = {"n": n, "dim": SIDE**2, "n_classes": CLASSES, "cell": 1.0}
        return laws.SPECIFICATIONS["shapes"].model_validate(
            options | {"translation": translation, "noise": noise}
        )

    table = ShippedData(name="digits", n=digits, standardized=False)
    return {"digits": table} | {name: shapes(*SHAPES[name]) for name in chosen}


def _padding(law: Any) -> dict[str, Any]:
    """Return how convolutions pad images: around shapes, which leave an image on one side to enter on the other."""
    return {"padding": "circular" if law.law == "shapes" else "same"}


def _kernels(law: Any, depths: tuple[int, ...]) -> list[Any]:
    """Return the kernels of every depth."""
    found: list[Any] = []
    for depth in depths:
        for kernel in KINDS:
            options = {"kernel": kernel, "activation": ACTIVATION, "depth": depth, "holdout": HOLDOUT}
            if kernel in ("nngp", "ntk"):
                found.append(KernelNC1.model_validate(options))
            else:
                found.append(ImageNC1.model_validate(options | _padding(law)))
    return found


def _networks(law: Any, kinds: tuple[str, ...]) -> list[Any]:
    """Return the networks that are trained."""
    shared = DESCENT | {"activation": ACTIVATION, "depth": LAYERS, "holdout": HOLDOUT}
    shared |= {"weight_variance": WEIGHTS[law.law]}
    return [
        NetworkNC1.model_validate(shared)
        if kind == "network"
        else ConvNetworkNC1.model_validate(shared | {"kernel": kind} | _padding(law))
        for kind in kinds
    ]


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of kernels with the names of data, what the network knows, and log10 NC1 of held-out images."""
    rows = rows.assign(log_held_out=np.log10(rows["held_out_nc1"].where(rows["held_out_nc1"] > 0)))
    of_data = rows.loc[rows["kernel"] == "data", ["data", "seed", "log_held_out"]]
    rows = of_depths(rows)
    rows = rows.merge(of_data, on=["data", "seed"], how="left", suffixes=("", "_data"))
    known = KINDS | {kernel: (structure, "trained") for kernel, structure in TRAINED.items()}
    kinds = [known[kernel] for kernel in rows["kernel"]]
    rows = rows.assign(structure=[kind for kind, _ in kinds], limit=[limit for _, limit in kinds])
    return rows.assign(data=[_label(row) for _, row in rows.iterrows()])


def _label(row: pd.Series[Any]) -> str:
    """Return the name in figures of the law or table of a row."""
    if row["data_law"] != "shapes":
        return "digits"
    return next(name for name, (moves, _) in SHAPES.items() if moves == row["data_translation"])


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 of training and of held-out images by depth, and how many of the latter are told."""
    return [
        Figure(
            "images",
            "NC1 by depth of kernels of ReLU networks: dense (blue), convolutional and flattened (green), and with "
            "global average pooling (red); NNGP solid, NTK dashed; stars: trained networks; dotted: pixels. Below: of "
            f"{100 * HOLDOUT:.0f} % of the images, which are held out, about the class means of the others, and which "
            f"share of them is nearest to the mean of its class. Digits of 8 x 8 pixels; shapes of {CLASSES} classes "
            f"in {SIDE} x {SIDE}, in one place or moved about. Mean and one standard deviation over "
            f"{rows['seed'].nunique()} seeds; bands of shares are cut at the frame.",
            _draw(rows),
        )
    ]


def _present(rows: pd.DataFrame) -> list[str]:
    present = set(rows["data"])
    return [name for name in ORDER if name in present]


def _draw(rows: pd.DataFrame) -> Plot:
    names = _present(rows)
    panels = [[_panel(rows[rows["data"] == name], value, name) for name in names] for value in VALUES]
    return Plot(
        rows=panels,
        size=(3.4 * len(names) + 0.6, 8.2),
        share_x="all",
        legend=Legend(where="outside lower center", layout={"ncols": 4}),
    )


def _panel(of: pd.DataFrame, value: str, name: str) -> Panel:
    """Draw a value of every kernel against the depth, of one law or table."""
    marks: list[Mark] = []
    for structure, limit in KINDS.values():
        chosen = of[(of["structure"] == structure) & (of["limit"] == limit)]
        marks.append(
            means(
                intervals.summarise(chosen, value, ["depth"]),
                "depth",
                name=f"{structure} {limit}",
                color=COLOURS[structure],
                marker=MARKERS[structure],
                dashes="-" if limit == "NNGP" else "--",
                band=0.1,
            )
        )
    for structure, seen in of[of["limit"] == "trained"].groupby("structure"):
        at_depth = intervals.summarise(seen, value, ["depth"])
        mean, std = at_depth["mean"], at_depth["std"]
        look: dict[str, Any] = {"color": COLOURS[str(structure)], "marker": "*", "size": 10.0}
        marks.append(
            Points(at_depth["depth"], mean, mean - std, mean + std, name=f"{structure} trained", **look)
        )
    if f"{value}_data" in of:
        level = of.drop_duplicates("seed")[f"{value}_data"].mean()
        marks.append(Level(level, color=KERNEL_COLOURS["data"], width=1.2, dashes=":", name="pixels"))
    accuracy = value == "held_out_ncm_accuracy"
    return Panel(
        marks=marks,
        x=at(sorted(of["depth"].unique()), "depth", "linear"),
        y=Axis(label=VALUES[value], low=0.0, high=1.05) if accuracy else decades(VALUES[value]),
        title=name if value == "log_nc1" else "",
    )


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate NC1 of training and held-out images, and the accuracy of class means, by depth."""
    rows = rows.assign(kernel=[KERNEL_NAMES[kernel] for kernel in rows["kernel"]])

    def by_depth(value: str) -> pd.DataFrame:
        wide = rows.pivot_table(index=["data", "n", "kernel"], columns="depth", values=value, aggfunc="mean")
        return wide.rename(columns="depth {}".format).reset_index()

    return [
        Table("NC1 of the images by depth, mean over seeds", by_depth("nc1_paper")),
        Table("NC1 of held-out images by depth, mean over seeds", by_depth("held_out_nc1")),
        Table(
            "Share of held-out images that are nearest to the mean of their class",
            by_depth("held_out_ncm_accuracy"),
        ),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge locality, pooling, depth, and the order of the two kernels."""
    kernels, trained = (rows[(rows["limit"] == "trained") == which] for which in (False, True))
    of = {structure: kernels[kernels["structure"] == structure] for structure in COLOURS}
    return [*_of_kernels(of), *_of_networks(trained, kernels), _order(kernels)]


def _less(
    claim: str, lower: pd.DataFrame, upper: pd.DataFrame, value: str = "log_nc1", cells: list[str] = CELLS
) -> Verdict:
    """Judge whether a value is lower in every cell."""
    return intervals.above_zero(
        claim, intervals.paired(lower, upper, value, cells), _name, gap="fall of log10 NC1", by="data"
    )


def _of_kernels(of: dict[str, pd.DataFrame]) -> list[Verdict]:
    """Judge what locality, pooling and depth do to the kernels."""
    dense, flattened, pooled = of["dense"], of["flattened"], of["pooled"]
    shallow, deep = (pooled["depth"].agg(which) for which in ("min", "max"))
    return [
        _less(
            "Locality collapses images: kernels of flattened convolutions have a lower NC1 than dense ones.",
            flattened,
            dense,
        ),
        _less("Pooling collapses images further than flattening.", pooled, flattened),
        _less(
            "Pooling collapses held-out images further than flattening.", pooled, flattened, "log_held_out"
        ),
        *(
            _less(
                f"The {structure} kernels collapse the images: NC1 is below that of the pixels.",
                rows,
                rows.assign(log_nc1=rows["log_nc1_data"]),
            )
            for structure, rows in of.items()
        ),
        _less(
            f"Depth collapses the pooled kernels further: NC1 at depth {deep} is below that at depth {shallow}.",
            pooled[pooled["depth"] == deep],
            pooled[pooled["depth"] == shallow],
            cells=CELLS[:-1],
        ),
    ]


def _of_networks(trained: pd.DataFrame, kernels: pd.DataFrame) -> list[Verdict]:
    """Judge what training adds, and whether it makes up for pooling."""
    nngp, cells = kernels[kernels["limit"] == "NNGP"], ["data", "structure", "depth"]
    dense, pooled = (trained[trained["structure"] == structure] for structure in ("dense", "pooled"))
    said = "Trained networks are more collapsed than the NNGP of their layers"
    return [
        _less(f"{said}.", trained, nngp, cells=cells),
        _less(f"{said} on held-out images, too.", trained, nngp, "log_held_out", cells),
        _less(
            "Trained networks that pool are more collapsed than dense ones on held-out images.",
            pooled,
            dense,
            "log_held_out",
        ),
    ]


def _order(kernels: pd.DataFrame) -> Verdict:
    """Judge the order of the two kernels."""
    nngp, ntk = (kernels[kernels["limit"] == limit] for limit in ("NNGP", "NTK"))
    return intervals.above_zero(
        "The NTK is not more collapsed than the NNGP.",
        intervals.paired(nngp, ntk, "log_nc1", ["data", "structure", "depth"]),
        _name,
        gap="gap log10 NC1(NTK) − log10 NC1(NNGP)",
        ties_hold=True,
        by="structure",
    ).about(topics.KERNELS)


def _name(row: pd.Series[Any]) -> str:
    kind = row["limit"] if "limit" in row else row["structure"]
    return f"{kind}, {row['data']}" + (f", depth {row['depth']}" if "depth" in row else "")


EXPERIMENT = Experiment(
    name="images",
    title="Images: locality and pooling",
    question="Does a kernel that knows of neighbouring pixels, or of none in particular, collapse images that dense "
    "kernels do not?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    prepare=prepare,
)
