"""Trials and rows: two laws under every prior, by depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse.collapse import nc1
from kernel_collapse.runs import laws
from kernel_collapse.runs.experiments import Preset
from kernel_collapse.runs.measurements import KernelNC1
from kernel_collapse.runs.trials import Trial
from kernel_collapse_paper.experiments.depth._settings import SETTINGS, Setting, limiting_gram
from kernel_collapse_paper.experiments.logs import with_depths

KERNELS = ("nngp", "ntk")
#: Laws by the name they have in figures: classes at two means, and at one mean with two lengths.
LAWS: dict[str, tuple[type[Any], dict[str, float]]] = {
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


def law(label: str, n: int) -> Any:
    """Return one of `LAWS` with n samples."""
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
        Trial(data=law(label, n), measurement=m, seed=seed)
        for label in LAWS
        for seed in range(seeds)
        for m in measurements
    ]


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of kernels with labels of settings, and the logarithm of the NC1 that they should tend to."""
    names = {kind.of.law: label for label, (kind, _) in LAWS.items()}
    rows = with_depths(rows)
    rows["data"] = rows["data_law"].map(names)
    rows["setting"] = [Setting(*row).label for row in rows[PRIOR].itertuples(index=False)]
    deepest = int(rows["depth"].max())
    of = ["data", "n", "seed", *PRIOR, "kernel"]
    cases = rows[of].drop_duplicates()
    limits = []
    for label, n, seed, activation, weight, bias, kernel in cases.itertuples(index=False):
        data = law(label, n).sample(seed)
        gram = limiting_gram(Setting(activation, weight, bias), kernel, data, deepest)
        limits.append(np.nan if gram is None else np.log10(nc1(gram, data.labels).ratio))
    return rows.merge(cases.assign(limit=limits), on=of)


def settings_in(rows: pd.DataFrame) -> list[Setting]:
    """Return the settings that there are rows of."""
    present = set(rows["setting"])
    return [setting for setting in SETTINGS if setting.label in present]


def of_setting(rows: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """Return the rows of a setting."""
    return rows[rows["setting"] == setting.label]
