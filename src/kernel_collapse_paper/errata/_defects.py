"""The four defects of the published code: what it computes, what is right, where it shows, what rests on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from kernel_collapse_paper.errata._claims import Judgement, gaps, judge, judge_trend
from kernel_collapse_paper.experiments import published as published_code
from kernel_collapse_paper.experiments.limiting_kernels import SIMILAR
from kernel_collapse_paper.experiments.logs import by_readout, with_logs
from kernel_collapse_paper.experiments.published import Sides

__all__ = ["DEFECTS", "Defect", "Part", "Rows"]

#: The rows of each experiment.
Rows = Mapping[str, pd.DataFrame]

BALANCED, IMBALANCED = ["data", "n", "dim"], ["class_sizes", "dim"]


class Part(NamedTuple):
    """Where a defect shows: an experiment, its figures, the two sides of every cell, and the claims judged on both."""

    experiment: str
    figures: tuple[str, ...]
    kernels: frozenset[str]
    sides: Callable[[pd.DataFrame], Sides]
    judge: Callable[[Rows], Iterator[Judgement]]

    def ready(self, rows: Rows) -> bool:
        """Whether the run went far enough: every kernel that is compared has a finished trial."""
        mine = rows.get(self.experiment)
        if mine is None or mine.empty:
            return False
        return self.kernels <= set(mine.loc[mine["status"] == "ok", "kernel"])


@dataclass(frozen=True)
class Defect:
    """A defect of the published code."""

    title: str
    published: str
    right: str
    unit: str
    parts: tuple[Part, ...]
    note: str = ""


def _kernel(logs: pd.DataFrame, kernel: str, activation: str = "erf") -> pd.DataFrame:
    return logs[(logs["kernel"] == kernel) & (logs["activation"] == activation)]


def _ntk_claims(experiment: str, cells: Sequence[str]) -> Callable[[Rows], Iterator[Judgement]]:
    def judged(rows: Rows) -> Iterator[Judgement]:
        logs = with_logs(rows[experiment])
        nngp, relu = _kernel(logs, "nngp"), _kernel(logs, "ntk", "relu")
        ntks = [_kernel(logs, kernel) for kernel in ("ntk-published", "ntk")]
        order = [gaps(nngp, ntk, cells) for ntk in ntks]
        gap = "gap log10 NC1(NTK) − log10 NC1(NNGP)"
        yield judge(
            "The NTK of erf is not more collapsed than the NNGP.", order, cells, gap=gap, ties_hold=True
        )
        alike = f"NNGP and NTK of erf have similar NC1 (less than {SIMILAR} decades apart)."
        yield judge(alike, order, cells, gap=gap, margin=SIMILAR)
        yield judge(
            "The NTK of erf is more collapsed than that of ReLU.",
            [gaps(ntk, relu, cells) for ntk in ntks],
            cells,
            gap="gap log10 NC1(ReLU) − log10 NC1(erf)",
        )

    return judged


ADAPTS = "The adaptive kernel is more collapsed than the NNGP."
FALL = "fall of log10 NC1"


def _adapts(experiment: str, cells: Sequence[str]) -> Callable[[Rows], Iterator[Judgement]]:
    def judged(rows: Rows) -> Iterator[Judgement]:
        logs = with_logs(rows[experiment])
        nngp = _kernel(logs, "nngp")
        sides = [gaps(_kernel(logs, kernel), nngp, cells) for kernel in ("adaptive-published", "adaptive")]
        yield judge(ADAPTS, sides, cells, gap=FALL)

    return judged


#: Along which column the kernel may go against the network, and what is then the same.
TRENDS = {
    "the dimension": ("dim", ("data", "n")),
    "the number of samples": ("n", ("data", "dim")),
}
TRENDS_IMBALANCED = {
    "the dimension": ("dim", ("class_sizes",)),
    "the imbalance": ("class_sizes", ("dim",)),
}


def _against(over: str, where: str = "") -> str:
    return (
        f"The adaptive kernel need not follow the trends of the network: over {over} it somewhere goes against it"
        f"{where}."
    )


def _adapts_and_follows(rows: Rows) -> Iterator[Judgement]:
    yield from _adapts("adaptive-balanced", BALANCED)(rows)
    trained = rows.get("trained-networks-balanced")
    if trained is not None and "readout_variance" in trained and (trained["status"] == "ok").any():
        network = _networks(by_readout(trained), "published")
        logs = with_logs(rows["adaptive-balanced"])
        pairs = [(network, _kernel(logs, kernel)) for kernel in ("adaptive-published", "adaptive")]
        for over, (along, series) in TRENDS.items():
            yield judge_trend(_against(over), pairs, series, along)


def _networks(logs: pd.DataFrame, readout: str, kernel: str = "network") -> pd.DataFrame:
    return _kernel(logs[logs["readout"] == readout], kernel)


def _weighting_claims(rows: Rows) -> Iterator[Judgement]:
    sides = published_code.weighting(rows["limiting-kernels-imbalanced"], IMBALANCED)[:2]
    cells = ["activation", *IMBALANCED]
    yield judge(
        "The NTK is not more collapsed than the NNGP.",
        [gaps(*_pick(side, "kernel", ("nngp", "ntk")), cells) for side in sides],
        cells,
        gap="gap log10 NC1(NTK) − log10 NC1(NNGP)",
        ties_hold=True,
    )
    cells = ["kernel", *IMBALANCED]
    yield judge(
        "erf collapses more than ReLU.",
        [gaps(*_pick(side, "activation", ("erf", "relu")), cells) for side in sides],
        cells,
        gap="gap log10 NC1(ReLU) − log10 NC1(erf)",
    )
    yield judge(
        "Imbalance lowers NC1, against classes of one size.",
        [_fall_with_imbalance(side) for side in sides],
        ["activation", "kernel", *IMBALANCED],
        gap=FALL,
    )


def _pick(logs: pd.DataFrame, column: str, values: tuple[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    return logs[logs[column] == values[0]], logs[logs[column] == values[1]]


def _fall_with_imbalance(logs: pd.DataFrame) -> pd.DataFrame:
    even = logs["class_sizes"].map(lambda sizes: max(sizes) == min(sizes))
    same = ["activation", "kernel", "dim", "seed"]
    repeated = logs.loc[even, [*same, "log_nc1"]].merge(logs.loc[~even, [*same, "class_sizes"]], on=same)
    return gaps(logs[~even], repeated, ["activation", "kernel", *IMBALANCED])


def _adapts_weighted(rows: Rows) -> Iterator[Judgement]:
    sides = published_code.weighting(rows["adaptive-imbalanced"], IMBALANCED)[:2]
    found = [gaps(_kernel(side, "adaptive"), _kernel(side, "nngp"), IMBALANCED) for side in sides]
    yield judge(ADAPTS, found, IMBALANCED, gap=FALL)


def _readout_claims(
    experiment: str, cells: Sequence[str], trends: Mapping[str, tuple[str, tuple[str, ...]]]
) -> Callable[[Rows], Iterator[Judgement]]:
    def judged(rows: Rows) -> Iterator[Judgement]:
        logs = by_readout(rows[experiment])
        networks, adaptive = (
            {scale: _networks(logs, scale, kernel) for scale in published_code.SCALES}
            for kernel in ("network", "adaptive")
        )
        published = networks["published"], adaptive["mean-field"]
        for over, (along, series) in trends.items():
            for scale, name in published_code.SCALES.items():
                sides = [published, (networks[scale], adaptive[scale])]
                yield judge_trend(_against(over, f" (both at {name})"), sides, series, along)
        nngp = _kernel(logs, "nngp")
        yield judge(
            f"{ADAPTS[:-1]} (at {published_code.SCALES['published']}, the scale of the published networks).",
            [gaps(adaptive[scale], nngp, cells) for scale in ("mean-field", "published")],
            cells,
            gap=FALL,
        )

    return judged


def _part(
    experiment: str,
    figures: Sequence[str],
    kernels: Sequence[str],
    sides: Callable[[pd.DataFrame, Sequence[str]], Sides],
    cells: Sequence[str],
    judge: Callable[[Rows], Iterator[Judgement]],
) -> Part:
    return Part(experiment, tuple(figures), frozenset(kernels), lambda rows: sides(rows, cells), judge)


ADAPTIVE = ("nngp", "adaptive")
NETWORK = ("network", "adaptive", "nngp")

DEFECTS = (
    Defect(
        "The NTK of erf",
        "With G = X X' / d and D_i = 1 + 2 G_ii, the derivative kernel is (4/π) / sqrt(D'D − 4 G_ij²): the inner "
        "product D'D, a sum over all samples, where its own comment has an outer product.",
        "(4/π) / sqrt(D_i D_j − 4 G_ij²). The published derivative kernel falls like 1/sqrt(N), so that the published "
        "NTK is almost the NNGP.",
        "log10 NC1 of the NTK of erf",
        (
            _part(
                "limiting-kernels-balanced",
                ("overview-D1", "overview-D2"),
                ("nngp", "ntk", "ntk-published"),
                published_code.erf_ntk,
                BALANCED,
                _ntk_claims("limiting-kernels-balanced", BALANCED),
            ),
            _part(
                "limiting-kernels-imbalanced",
                ("panels-D1-imbalanced",),
                ("nngp", "ntk", "ntk-published"),
                published_code.erf_ntk,
                IMBALANCED,
                _ntk_claims("limiting-kernels-imbalanced", IMBALANCED),
            ),
        ),
    ),
    Defect(
        "The label term of the equations of state",
        "Σ⁻¹ = (d/σ_w²) I + (1/N) d/dΣ tr(A Q(Σ)) with A = M⁻¹ − σ² R R', R_ij = y_j − ȳ_i: an n × n array, for a row "
        "less a column broadcasts.",
        "A = M⁻¹ − T T' with T = M⁻¹ y = (y − ȳ)/σ²: the label term is σ⁻⁴ (y − ȳ)(y − ȳ)'. With the published "
        "σ² = 1e-6 the published kernel hardly sees the labels.",
        "log10 NC1 of the adaptive kernel",
        (
            _part(
                "adaptive-balanced",
                ("overview-adaptive-D1", "panels-adaptive-D1", "panels-adaptive-D2"),
                ADAPTIVE,
                published_code.label_term,
                BALANCED,
                _adapts_and_follows,
            ),
            _part(
                "adaptive-imbalanced",
                ("panels-adaptive-D1-imbalanced",),
                ADAPTIVE,
                published_code.label_term,
                IMBALANCED,
                _adapts("adaptive-imbalanced", IMBALANCED),
            ),
            _part(
                "all-kernels",
                ("all-kernels",),
                ADAPTIVE,
                published_code.label_term,
                BALANCED,
                _adapts("all-kernels", BALANCED),
            ),
        ),
        "Both solve their own equations to the same residual; all else is equal. The networks of the claim on trends "
        "are the published ones.",
    ),
    Defect(
        "The weighting of classes of different sizes",
        "tr S_W = mean_i K_ii − (1/C) Σ_c B_cc and tr S_B = (1/C) Σ_c B_cc − 1'K1/n² in the kernel code, B_cc = mean "
        "of K over the pairs of class c. The code of features weights classes otherwise, so that networks and "
        "kernels are measured differently.",
        "tr S_W = Σ_c (n_c/n) (mean_{i in c} K_ii − B_cc) and tr S_B = (1/C) Σ_c ‖μ_c − μ‖², μ = Σ_c (n_c/n) μ_c, for "
        "both. The published kernel quantity is the variance of no feature map, and can be negative.",
        "log10 NC1",
        (
            _part(
                "limiting-kernels-imbalanced",
                ("weightings-D1-imbalanced", "panels-D1-imbalanced"),
                ("nngp", "ntk"),
                published_code.weighting,
                IMBALANCED,
                _weighting_claims,
            ),
            _part(
                "adaptive-imbalanced",
                ("panels-adaptive-D1-imbalanced",),
                ADAPTIVE,
                published_code.weighting,
                IMBALANCED,
                _adapts_weighted,
            ),
        ),
        "The kernels themselves are right on both sides. With classes of one size both weightings are the same.",
    ),
    Defect(
        "The scale of the readout",
        "Networks start with readout weights of variance 1.97²/N (σ_a² = 1.97² = 3.88), and are compared with "
        "equations of state at σ_a² = 1/128.",
        "One σ_a² for both. Which is a choice, so both are shown: networks and equations of state at 1.97², and at "
        "1/128.",
        "gap log10 NC1(network) − log10 NC1(adaptive kernel), erf",
        (
            _part(
                "trained-networks-balanced",
                ("panels-networks-D1", "panels-networks-D2"),
                NETWORK,
                published_code.readout,
                BALANCED,
                _readout_claims("trained-networks-balanced", BALANCED, TRENDS),
            ),
            _part(
                "trained-networks-imbalanced",
                ("panels-networks-D1-imbalanced",),
                NETWORK,
                published_code.readout,
                IMBALANCED,
                _readout_claims("trained-networks-imbalanced", IMBALANCED, TRENDS_IMBALANCED),
            ),
        ),
        "The label term and the weighting are right on both sides.",
    ),
)
