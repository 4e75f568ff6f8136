"""What is computed to compare kernels that learn features, and the table that everything is read from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kernel_collapse import data
from kernel_collapse.runs import laws
from kernel_collapse.runs.experiments import Preset
from kernel_collapse.runs.measurements import (
    AdaptiveNC1,
    DeepRFMNC1,
    KernelNC1,
    MeanFieldNC1,
    NetworkNC1,
    PosteriorNC1,
)
from kernel_collapse.runs.trials import GaussianClasses, ShippedData, Trial
from kernel_collapse_paper.experiments.logs import of_depths

__all__ = ["ADAPTING", "DEPTH", "LAWS", "MACHINES", "NAMES", "NOISE", "OTHERS", "WIDTH", "prepare", "trials"]


class Grid(NamedTuple):
    """The size of a preset: of samples and seeds, and of which laws and activations there is what."""

    n: int
    digits: int
    seeds: int
    draws: int
    cells: tuple[tuple[str, str], ...]
    mean_field: dict[tuple[str, str], int]
    posterior: dict[tuple[str, str], int]


#: In the order of the figures.
LAWS = ("D1", "D2", "overlap", "imbalance 3 to 1", "XOR", "digits")
_EVERY = tuple((law, "relu") for law in LAWS)
_BOTH = tuple((law, activation) for law in LAWS for activation in ("erf", "relu"))
_BOTH_OF_D1_D2_IMBALANCE = tuple(cell for cell in _BOTH if cell[0] in ("D1", "D2", "imbalance 3 to 1"))
#: Those of D1 with erf are trials of `deep-kernels` too. A mean field and a posterior, which take the longest, have
#: seeds of their own.
GRIDS: dict[Preset, Grid] = {
    "quick": Grid(24, 40, 5, 600, (("D1", "erf"), *_EVERY), {("D1", "erf"): 3}, {("D1", "erf"): 3}),
    "paper": Grid(
        32,
        100,
        6,
        800,
        _BOTH,
        # Without digits, XOR and overlap with ReLU: there it has no solution, or none within minutes.
        dict.fromkeys(_BOTH_OF_D1_D2_IMBALANCE, 4) | {("overlap", "erf"): 4},
        dict.fromkeys((("D1", "erf"), ("D1", "relu"), ("overlap", "erf"), ("overlap", "relu")), 4)
        | dict.fromkeys((("D2", "erf"), ("D2", "relu")), 2)
        | dict.fromkeys((("imbalance 3 to 1", "relu"), ("XOR", "relu")), 4),
    ),
}
DIM, DEPTH = 8, 3
WIDTH, READOUT, NOISE = 100, 1 / 128, 1e-2
OVERLAP, XOR_SIDE = (-0.3, 0.3), 4.0
#: Kernels that deep RFMs fit, by name; the ridge is the noise variance of the others.
MACHINES: dict[str, tuple[Any, float]] = {
    "Laplace 0.5": ("laplace", 0.5),
    "Laplace 2": ("laplace", 2.0),
    "Laplace 8": ("laplace", 8.0),
    "Gaussian 0.5": ("gaussian", 0.5),
    "Gaussian 1.5": ("gaussian", 1.5),
}
#: What D2 is tried with besides: other targets, and a feature by which samples of one direction differ.
CONSTANT = 4.0
OTHERS = ("ntk", "nngp", "adaptive", "mean-field", "posterior", "network")
ADAPTING = ("adaptive", "mean-field", "posterior", "network")
NAMES = {name: f"deep RFM ({name})" for name in MACHINES}


def law_of(name: str, grid: Grid) -> Any:
    """Return the law or table of that name."""
    if name == "digits":
        return ShippedData(name="digits", n=grid.digits)
    if name == "XOR":
        xor: Any = laws.XOR  # made of its law: types do not know its fields
        return xor(n=grid.n, dim=DIM, separation=XOR_SIDE)
    means = {"D2": data.D2_MEANS, "overlap": OVERLAP}.get(name, data.D1_MEANS)
    few = grid.n // 4
    sizes: dict[str, Any] = {"class_sizes": (grid.n - few, few)} if name.startswith("imbalance") else {}
    return GaussianClasses(n=grid.n, dim=DIM, class_means=means, **sizes)


def trials(preset: Preset) -> list[Trial]:
    """Return every kernel and network of every law; those that know no labels of every layer."""
    grid = GRIDS[preset]
    return [
        Trial(data=law_of(law, grid), measurement=what, seed=seed)
        for law, activation in grid.cells
        for seed in range(grid.seeds)
        for what in _measurements(grid, law, activation, seed)
    ]


def _measurements(grid: Grid, law: str, activation: str, seed: int) -> list[Any]:
    prior: dict[str, Any] = {
        "activation": activation,
        "depth": DEPTH,
        "width": WIDTH,
        "readout_variance": READOUT,
    }
    # Descent from a draw of the prior, as in `deep_kernels`; ten outputs take longer.
    epochs = 3000 if law == "digits" else 600
    found: list[Any] = [
        KernelNC1(kernel="data"),
        *_of_no_labels(activation),
        AdaptiveNC1(**prior, noise_variance=NOISE),
        NetworkNC1(
            **prior,
            parameterisation="ntk",
            learning_rate=5.0,
            epochs=epochs,
            weight_decay=0.0,
            probes=(epochs,),
        ),
        *_machines(law, activation),
    ]
    if seed < grid.mean_field.get((law, activation), 0):
        found.append(MeanFieldNC1(**prior, noise_variance=NOISE))
    if seed < grid.posterior.get((law, activation), 0):
        found.append(PosteriorNC1(**prior, noise_variance=NOISE, draws=grid.draws))
    return found


def _of_no_labels(activation: str) -> list[Any]:
    return [
        KernelNC1(kernel=kernel, activation=activation, depth=layer)
        for layer in range(1, DEPTH + 1)
        for kernel in ("nngp", "ntk")
    ]


def _machines(law: str, activation: str) -> list[Any]:
    """Return every deep RFM; of D2 with both kinds of targets, without a constant feature and with one."""
    changes: list[dict[str, Any]] = [{}]
    if law == "D2":
        changes = [
            {"targets": targets, "constant": constant}
            for targets in ("given", "one-hot")
            for constant in (0.0, CONSTANT)
        ]
    return [
        DeepRFMNC1(activation=activation, depth=DEPTH, fitted=fitted, bandwidth=width, ridge=NOISE, **change)
        for fitted, width in MACHINES.values()
        for change in changes
    ]


def _label(row: dict[str, Any]) -> str:
    """Return the name in figures of the law or table of a row."""
    if row["data_law"] != "gaussian_classes":
        return {"xor": "XOR"}.get(row["data_law"], row["data"])
    if row["class_sizes"] is not None:
        return "imbalance 3 to 1"
    return "overlap" if tuple(row["data_class_means"]) == OVERLAP else row["data"]


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a kernel and layer: log10 NC1 of the features; of deep RFMs also of input and M^{1/2} x.

    Deep RFMs are kernels of their own names, those of D2 in every way that they are tried.
    """
    fitted = {of: name for name, of in MACHINES.items()}
    parts = []
    for row in of_depths(rows).to_dict("records"):
        machine = row["kernel"] == "deep-rfm"
        found = {
            "data": _label(row),
            "activation": row["activation"],
            "kernel": fitted[row["fitted"], row["bandwidth"]] if machine else row["kernel"],
            "targets": row["targets"] if machine else "given",
            "constant": row["constant"] > 0 if machine else False,
            "seed": row["seed"],
            "log_nc1_data": row["log_nc1_data"],
        }
        values = _layers(row)
        layers = [row["depth"]] if len(values) == 1 else np.arange(1, len(values) + 1)
        found |= {"layer": layers, "nc1": values}
        for of in ("input", "agop"):
            found[f"nc1_{of}"] = row[f"layer_nc1_{of}"] if machine else np.nan
        parts.append(pd.DataFrame(found))
    table = pd.concat(parts, ignore_index=True)
    for of in ("", "_input", "_agop"):
        nc1 = table[f"nc1{of}"].astype(float)
        table[f"log_nc1{of}"] = np.log10(nc1.where(nc1 > 0))
    return table


def _layers(row: dict[str, Any]) -> list[float]:
    """Return NC1 of every hidden layer of one network, or of the kernel that stands for it."""
    if row["kernel"] == "network":
        return list(row["path_nc1"][-1])
    return list(row["layer_nc1"]) if row["kernel"] in (*ADAPTING, "deep-rfm") else [row["nc1_paper"]]
