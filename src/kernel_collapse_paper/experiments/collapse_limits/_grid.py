"""Every factor, its values and its trials: one factor at a time, from one point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import pandas as pd

from kernel_collapse.runs.experiments import PRESETS, Preset
from kernel_collapse.runs.laws import Gaussian
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1, MeanFieldNC1
from kernel_collapse.runs.trials import Trial

#: The point that every factor starts from: D1 with N samples in d dimensions, and the prior.
N, DIM = 64, 4
PRIOR: dict[str, Any] = {"width": 100.0, "readout_variance": 1 / 128, "noise_variance": 1e-2}
#: Overlapping classes: both means are one standard deviation from the middle between them, in few dimensions with many
#: samples, and in more dimensions than samples. (Samples, dimensions.)
CROWDED, SPREAD = (256, 2), (64, 128)
#: Repeats of the adaptive kernel, which takes a hundredth of a second, and of the mean field, which takes a second.
SEEDS: dict[Preset, tuple[int, int]] = {"quick": (8, 4), "paper": (20, 10)}
KERNELS = ("adaptive", "mean-field")

WIDTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4)
READOUTS = tuple(10.0**k for k in range(-6, 4))
NOISES = tuple(10.0**k for k in range(-8, 3))
SEPARATIONS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
DIMS = (1, 2, 4, 8, 16, 32, 64, 128)
SIZES = (16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Factor:
    """What is varied: from `values`, ordered so that the last is the end asked about.

    `mean_field` are the values at which the mean field is solved as well, for each preset.
    """

    name: str
    title: str
    symbol: str
    claim: str
    values: tuple[float, ...]
    mean_field: dict[Preset, tuple[float, ...]]
    law: Callable[[float], Gaussian] = lambda _: Gaussian(n=N, dim=DIM)
    varies: str | None = None  # a field of the prior
    corner: Literal["left", "right"] = "left"  # of the panel, where there is room for a line of text

    def prior(self, value: float) -> dict[str, Any]:
        """Return the prior at that value."""
        return PRIOR | ({self.varies: value} if self.varies else {})


def _overlapping(n: int, dim: int) -> Gaussian:
    return Gaussian(n=n, dim=dim, separation=dim**-0.5)


_NARROWER = tuple(reversed(WIDTHS))
FACTORS = (
    Factor(
        "width",
        "width, classes apart",
        "N",
        "NC1 falls without a floor as the width falls, where the classes are apart.",
        _NARROWER,
        {"quick": tuple(w for w in _NARROWER if w > 0.1 and w != 3e3), "paper": _NARROWER},
        varies="width",
    ),
    Factor(
        "width, overlapping classes",
        "width, overlapping classes, d < n",
        "N",
        "NC1 falls without a floor as the width falls, where the classes overlap (n = {}, d = {}).".format(
            *CROWDED
        ),
        _NARROWER,
        {"quick": (), "paper": ()},  # below a width of 100 it takes minutes, or too many particles
        law=lambda _: _overlapping(*CROWDED),
        varies="width",
    ),
    Factor(
        "width, overlapping classes, d > n",
        "width, overlapping classes, d > n",
        "N",
        "NC1 falls without a floor as the width falls, where the classes overlap but have more dimensions than "
        "samples.",
        _NARROWER,
        {"quick": (), "paper": tuple(w for w in _NARROWER if w >= 100)},
        law=lambda _: _overlapping(*SPREAD),
        varies="width",
    ),
    Factor(
        "readout variance",
        "readout variance",
        r"\sigma_a^2",
        "NC1 falls without a floor as the readout variance grows.",
        READOUTS,
        {"quick": tuple(s for s in READOUTS if s < 2), "paper": READOUTS},
        varies="readout_variance",
        corner="right",
    ),
    Factor(
        "noise variance",
        "noise variance",
        r"\sigma^2",
        "NC1 falls without a floor as the noise variance falls.",
        tuple(reversed(NOISES)),
        {"quick": (), "paper": tuple(s for s in reversed(NOISES) if s >= 1e-5)},
        varies="noise_variance",
    ),
    Factor(
        "separation",
        "separation of the classes",
        r"\Delta",
        "NC1 falls without a floor as the classes move apart.",
        SEPARATIONS,
        {"quick": (), "paper": SEPARATIONS},
        law=lambda s: Gaussian(n=N, dim=DIM, separation=s),
    ),
    Factor(
        "dimension",
        "dimension",
        "d",
        "NC1 falls without a floor as the dimension grows.",
        DIMS,
        {"quick": (), "paper": DIMS},
        law=lambda d: Gaussian(n=N, dim=int(d)),
        corner="right",
    ),
    Factor(
        "samples",
        "number of samples",
        "n",
        "NC1 falls without a floor as the number of samples grows.",
        SIZES,
        {"quick": (), "paper": SIZES[:-1]},
        law=lambda n: Gaussian(n=int(n), dim=DIM),
        corner="right",
    ),
)


def _planned(preset: Preset) -> list[tuple[Factor, float, Trial]]:
    """Return every trial with the factor and the value that it stands for; the base point stands for several."""
    plan = []
    for factor in FACTORS:
        for value in factor.values:
            prior, law = factor.prior(value), factor.law(value)
            many, few = SEEDS[preset]
            kernels: list[tuple[Any, int]] = [
                (KernelNC1(kernel="nngp", activation="erf"), many),
                (AdaptiveNC1(**prior), many),
                (MeanFieldNC1(**prior), few if value in factor.mean_field[preset] else 0),
            ]
            plan += [
                (factor, value, Trial(data=law, measurement=m, seed=seed))
                for m, seeds in kernels
                for seed in range(seeds)
            ]
    return plan


def trials(preset: Preset) -> list[Trial]:
    """Return the NNGP, the adaptive kernel and, for some values, the mean field, one factor at a time."""
    return list({trial.key: trial for *_, trial in _planned(preset)}.values())


@cache
def plan() -> pd.DataFrame:
    """Return factor, value and key of every trial of any preset."""
    plan = [
        (factor.name, float(value), trial.key)
        for preset in PRESETS
        for factor, value, trial in _planned(preset)
    ]
    return pd.DataFrame(plan, columns=["factor", "value", "key"]).drop_duplicates()
