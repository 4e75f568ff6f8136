"""How low NC1 can go: the adaptive kernel and the mean field, one factor at a time, to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from kernel_collapse.experiments._power_laws import (
    Interval,
    fit_floor,
    floor_p_value,
    interval,
    slope,
)
from kernel_collapse.experiments._statistics import CONFIDENCE, above_zero, paired, summarise
from kernel_collapse.experiments._style import KERNEL_COLOURS, KERNEL_MARKERS, KERNEL_NAMES, style
from kernel_collapse.experiments._types import PRESETS, Experiment, Figure, Preset, Table, Verdict
from kernel_collapse.laws import Gaussian
from kernel_collapse.measurements import AdaptiveNC1, KernelNC1, MeanFieldNC1
from kernel_collapse.trials import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

#: The point that every factor starts from: D1 with N samples in d dimensions, and the prior.
N, DIM = 64, 4
PRIOR: dict[str, Any] = {"width": 100.0, "readout_variance": 1 / 128, "noise_variance": 1e-2}
#: Overlapping classes: both means are one standard deviation from the middle between them, in few dimensions with many
#: samples, and in more dimensions than samples. (Samples, dimensions.)
CROWDED, SPREAD = (256, 2), (64, 128)
#: Repeats of the adaptive kernel, which takes a hundredth of a second, and of the mean field, which takes a second.
SEEDS: dict[Preset, tuple[int, int]] = {"quick": (8, 4), "paper": (20, 10)}
KERNELS = ("adaptive", "mean-field")

#: Values at an end of a curve to which the power law and the floor are fitted.
ENDS, FLOORS = 3, 5
#: A fall of less than this many decades of NC1 a decade of the factor is none, nor is a rise of as little.
FLAT = 0.02
#: A floor that sinks further than to this with one value more is a curve that flattens, and no floor yet.
STAYS = 0.98
#: So many decades from the NNGP is more than the Monte Carlo error of the mean field.
LEFT = 0.01
#: A power law is drawn where the means lie this near to it, in decades.
STRAIGHT = 0.05
#: A floor is one that NC1 has come near to: it is at least this share of the lowest value.
REACHED = 0.5

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
def _plan() -> pd.DataFrame:
    """Return factor, value and key of every trial of any preset."""
    plan = [
        (factor.name, float(value), trial.key)
        for preset in PRESETS
        for factor, value, trial in _planned(preset)
    ]
    return pd.DataFrame(plan, columns=["factor", "value", "key"]).drop_duplicates()


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each row once for every factor that it stands for, with `ended`: how the solver did, or failed to."""
    rows = rows.merge(_plan(), on="key")
    said = rows["message"].fillna("").astype(str).str.extract(r"\(([a-z_]+),", expand=False)
    failed = rows["status"] != "ok"
    rows["ended"] = np.where(failed, said.fillna(rows["status"]), rows["solver"].fillna("converged"))
    nc1 = rows["nc1_paper"].where(~failed)
    rows["log_nc1"] = np.log10(nc1.where(nc1 > 0))
    # The base point is on every curve; where a kernel has no other there is no curve.
    return rows[rows.groupby(["factor", "kernel"])["value"].transform("nunique") >= ENDS]


def _converged(logs: pd.DataFrame, factor: Factor, kernel: str) -> pd.DataFrame:
    """Return log10 NC1 of the trials that converged: a row a value in the order of the factor, a column a seed."""
    part = logs[(logs["factor"] == factor.name) & (logs["kernel"] == kernel) & (logs["ended"] == "converged")]
    table = part.pivot_table(index="value", columns="seed", values="log_nc1")
    return table.reindex([float(v) for v in factor.values if float(v) in table.index])


def _slopes(table: pd.DataFrame) -> list[float]:
    """Return the slope of log10 NC1 against log10 of the factor of each seed."""
    found = []
    for seed in table:
        part = table[seed].dropna()
        if len(part) >= 2:
            found.append(slope(part.index.to_numpy(), 10 ** part.to_numpy()))
    return found


def _usable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the values at which at least half of the seeds converged."""
    return table[table.notna().sum(axis=1) >= max(2, table.shape[1] / 2)]


def fits(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what is fitted to every curve: a row a factor and kernel, with intervals that hold together.

    Slopes of log10 NC1 against log10 of the factor at either end, the lowest NC1 and where it is, how far the end is
    above it (decades), the floor as a share of NC1 at the end, and how many trials converged.
    """
    logs = prepare(rows)
    cells = [
        (factor, kernel)
        for factor in FACTORS
        for kernel in KERNELS
        if ((logs["factor"] == factor.name) & (logs["kernel"] == kernel)).any()
    ]
    if not cells:
        return pd.DataFrame(columns=["factor", "kernel", "verdict"])
    level = 1.0 - (1.0 - CONFIDENCE) / len(cells)
    found = pd.DataFrame([_fit(logs, factor, kernel, level) for factor, kernel in cells])
    return found.assign(verdict=[_judge(row) for _, row in found.iterrows()])


def _fit(logs: pd.DataFrame, factor: Factor, kernel: str, level: float) -> dict[str, Any]:
    all_of_it = logs[(logs["factor"] == factor.name) & (logs["kernel"] == kernel)]
    lost = all_of_it[all_of_it["ended"] != "converged"]["ended"].value_counts()
    table = _usable(_converged(logs, factor, kernel))
    nan = Interval(np.nan, np.nan, np.nan)
    row: dict[str, Any] = {"factor": factor.name, "kernel": kernel}
    start = end = rise = share = kept = nan
    p, lowest, at, last, of_nngp = (np.nan,) * 5
    if len(table) >= 2:
        start, end = (interval(_slopes(t), level) for t in (table.iloc[:ENDS], table.iloc[-ENDS:]))
        means = table.mean(axis=1)
        at, last = float(means.idxmin()), float(table.index[-1])
        lowest = float(10 ** means.min())
        nngp = _converged(logs, factor, "nngp")
        of_nngp = lowest / 10 ** nngp.loc[at].mean() if at in nngp.index else np.nan
        if at == last:
            every = _floors(table.iloc[-FLOORS:])
            share = interval([fit.share for fit in every], level)
            p = floor_p_value(list(every))
            kept = _stays(table, level) if share.low > REACHED else nan
        else:  # the lowest was chosen among all values
            rise = interval(table.loc[last] - table.loc[at], 1.0 - (1.0 - level) / (len(table) - 1))
    towards = 1.0 if factor.values[-1] > factor.values[0] else -1.0
    fall = sorted((-towards * end.low, -towards * end.high))
    for name, found in (("slope at the start", start), ("slope at the end", end)):
        row |= {name: found.mean, f"{name}, low": found.low, f"{name}, high": found.high}
    return row | {
        "fall low": fall[0],
        "fall high": fall[1],
        "lowest NC1": lowest,
        "at": at,
        "of the NNGP": of_nngp,
        "end": last,
        "rise to the end": rise.mean,
        "rise low": rise.low,
        "floor": share.mean,
        "floor low": share.low,
        "floor high": share.high,
        "floor p": p,
        "floor kept": kept.mean,
        "floor kept, high": kept.high,
        "trials": len(all_of_it),
        "not converged": ", ".join(f"{count} {status}" for status, count in lost.items()),
    }


def _floors(table: pd.DataFrame) -> pd.Series[Any]:
    """Return the floor that is fitted to each seed, where it has four values or more."""
    decades = np.abs(np.log10(table.index.to_numpy()) - np.log10(table.index[-1]))
    found = {}
    for seed in table:
        there = table[seed].notna().to_numpy()
        if there.sum() >= 4:
            found[seed] = fit_floor(decades[there], 10 ** table[seed].to_numpy()[there])
    return pd.Series(found, dtype=object)


def _stays(table: pd.DataFrame, level: float) -> Interval:
    """Return the floor over the one that is fitted without the last value."""
    before, after = (_floors(part.iloc[-FLOORS:]) for part in (table.iloc[:-1], table))
    pairs = [(before[seed].floor, after[seed].floor) for seed in after.index.intersection(before.index)]
    return interval([now / then for then, now in pairs if then > 0], level)


def _judge(row: pd.Series[Any]) -> str:
    """Return "holds" for a fall without a floor in sight, "fails" for a rise, no fall, or a floor."""
    floor = row["floor low"] > REACHED and row["floor p"] < 1 - CONFIDENCE and row["floor kept, high"] > STAYS
    if row["rise low"] > FLAT or row["fall high"] < FLAT or floor:
        return "fails"
    falls = row["fall low"] > FLAT and row["at"] == row["end"]
    return "holds" if falls and row["floor high"] < REACHED else "undecided"


def _say(factor: Factor, row: pd.Series[Any]) -> str:
    """Put one curve into words."""
    name, symbol = KERNEL_NAMES[row["kernel"]], _plain(factor.symbol)
    if np.isnan(row["lowest NC1"]):
        text = f"{name}: too few finished trials"
    else:
        text = f"{name}: down to NC1 {row['lowest NC1']:.3g} at {symbol} = {row['at']:g}"
        if np.isfinite(row["of the NNGP"]):
            text += f" ({row['of the NNGP']:.2g} of the NNGP's)"
        power = _between(row, "slope at the end")
        share = _between(row, "floor")
        if row["verdict"] == "holds":
            text += f", falling on as {symbol}^{power}"
        elif row["rise low"] > FLAT:
            text += (
                f", from where it rises by {row['rise to the end']:.2f} decades to {symbol} = {row['end']:g}"
            )
        elif row["fall high"] < FLAT:
            text += f", and no longer falls at the end (slope {power})"
        elif row["verdict"] == "fails":
            text += f", of which the floor is {share}"
        else:
            floor = f", floor {share} of it" if np.isfinite(row["floor"]) else ""
            if row["floor low"] > REACHED and row["floor kept, high"] <= STAYS:
                floor += f", which sank to {row['floor kept']:.2f} of what it was without the last value"
            text += f"; undecided at the end (slope {power}{floor})"
    if row["not converged"]:
        text += f"; not converged, of {row['trials']} trials: {row['not converged']}"
    return text.replace("-", "−")


def _between(row: pd.Series[Any], name: str) -> str:
    """Return a mean with its interval, to two decimals, or three where the interval is that narrow."""
    low, high = ("{}, low", "{}, high") if name.startswith("slope") else ("{} low", "{} high")
    mean, ends = row[name], (row[low.format(name)], row[high.format(name)])
    digits = _digits(ends[1] - ends[0])
    return f"{_round(mean, digits)} ({_round(ends[0], digits)} to {_round(ends[1], digits)})"


def _digits(width: float) -> int:
    return 3 if width < 0.02 else 2


def _round(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no minus before a zero


def _plain(symbol: str) -> str:
    return {r"\sigma_a^2": "σ_a²", r"\sigma^2": "σ²", r"\Delta": "Δ"}.get(symbol, symbol)


def figures(rows: pd.DataFrame) -> list[Figure]:
    """Draw NC1 against every factor, with the power laws fitted to its end."""
    logs = prepare(rows)
    return [
        Figure(
            "collapse-limits",
            f"Two Gaussian classes, erf. Where not varied: n = {N}, d = {DIM}, separation 4 in every coordinate, width "
            f"N = {PRIOR['width']:g}, readout variance 1/128, noise variance {PRIOR['noise_variance']:g}. Mean and one "
            f"standard deviation of log10 NC1 over {_seeds(logs)} seeds; dotted: the NNGP; dashed: power law "
            f"fitted to the last {ENDS} values (where they are straight), with its exponent and 95 % interval (all "
            "curves together). The end asked about is on the right. Overlapping classes, whose means are one standard "
            "deviation from the middle "
            "between them: "
            f"n = {CROWDED[0]}, d = {CROWDED[1]}, and n = {SPREAD[0]}, d = {SPREAD[1]}. "
            "Open marks: the solver did not certify its solution; crosses at the upper "
            "edge: trials that failed. Widths below 1 are no network's: 1/N is how strongly the data act.",
            _draw(logs, fits(rows)),
        )
    ]


def _seeds(logs: pd.DataFrame) -> str:
    counts = logs[logs["kernel"].isin(KERNELS)].groupby("kernel")["seed"].nunique()
    return " and ".join(f"{count} ({KERNEL_NAMES[kernel]})" for kernel, count in counts.items())


def _draw(logs: pd.DataFrame, fitted: pd.DataFrame) -> MatplotlibFigure:
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(13, 6.4))
        grid = figure.subplots(2, 4)
        for factor, axes in zip(FACTORS, grid.flat, strict=True):
            _draw_factor(axes, factor, logs, fitted)
        for axes in grid[:, 0]:
            axes.set_ylabel("NC1(H)")
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _draw_factor(axes: Axes, factor: Factor, logs: pd.DataFrame, fitted: pd.DataFrame) -> None:
    mine = logs[logs["factor"] == factor.name]
    texts = []
    for kernel in ("nngp", *KERNELS):
        colour = KERNEL_COLOURS[kernel]
        part = mine[mine["kernel"] == kernel]
        good = part[part["ended"] == "converged"]
        if not good.empty:
            table = summarise(good, "log_nc1", ["value"]).fillna({"std": 0.0})
            marker: dict[str, Any] = (
                {"linestyle": ":"} if kernel == "nngp" else {"marker": KERNEL_MARKERS[kernel]}
            )
            axes.plot(table["value"], 10 ** table["mean"], color=colour, label=KERNEL_NAMES[kernel], **marker)
            low, high = (10 ** (table["mean"] + sign * table["std"]) for sign in (-1, 1))
            axes.fill_between(table["value"], low, high, color=colour, alpha=0.15, linewidth=0)
        doubtful = part[(part["ended"] != "converged") & part["log_nc1"].notna()]
        axes.scatter(
            doubtful["value"], 10 ** doubtful["log_nc1"], facecolors="none", edgecolors=colour, zorder=4
        )
        failed = part[part["log_nc1"].isna()]
        axes.scatter(
            failed["value"],
            np.full(len(failed), 0.97),
            marker="x",
            color=colour,
            transform=axes.get_xaxis_transform(),
        )
        fit = fitted[(fitted["factor"] == factor.name) & (fitted["kernel"] == kernel)]
        means = _usable(_converged(logs, factor, kernel)).iloc[-ENDS:].mean(axis=1)
        if fit.empty or len(means) < 2:
            continue
        power, low, high = fit.iloc[0][
            ["slope at the end", "slope at the end, low", "slope at the end, high"]
        ]
        logs_of_x = np.log10(means.index.to_numpy())
        line = means.mean() + power * (logs_of_x - logs_of_x.mean())
        if np.abs(line - means).max() > STRAIGHT:
            continue
        axes.plot(means.index, 10**line, color="#222222", linestyle="--", linewidth=1, zorder=5)
        digits = _digits(high - low)
        spread = rf"\pm{(high - low) / 2:.{digits}f}" if np.isfinite(high - low) else ""
        base = f"({factor.symbol})" if "^" in factor.symbol else factor.symbol
        texts.append((rf"${base}^{{\,{_round(power, digits)}{spread}}}$", colour))
    axes.set_xscale("log")
    axes.set_yscale("log")
    pad = (factor.values[-1] / factor.values[0]) ** 0.05
    axes.set_xlim(
        factor.values[0] / pad, factor.values[-1] * pad
    )  # so that the end asked about is on the right
    axes.set_title(factor.title)
    axes.set_xlabel(f"${factor.symbol}$")
    _ticks(axes, factor, len(texts))
    for i, (text, colour) in enumerate(reversed(texts)):
        where = (0.97 if factor.corner == "right" else 0.03, 0.04 + 0.1 * i)
        axes.annotate(text, where, xycoords="axes fraction", ha=factor.corner, color=colour, fontsize=11)


def _ticks(axes: Axes, factor: Factor, lines: int) -> None:
    """Put ticks at powers of ten, and beside them where an axis spans few of those."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.xaxis.set_minor_formatter(NullFormatter())
    if min(factor.values) >= 0.5 and max(factor.values) < 1e3:
        axes.set_xticks(list(factor.values), [f"{value:g}" for value in factor.values])
        axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    if lines:  # room for the text
        low *= (low / high) ** (0.11 * lines)
        axes.set_ylim(low, high)
    axes.yaxis.set_minor_formatter(NullFormatter())
    if high / low < 30:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0) if high / low < 10 else (1.0, 3.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate the fits, and how every trial ended."""
    fitted = fits(rows)
    logs = prepare(rows)
    solved = logs[logs["kernel"].isin(KERNELS)]
    worst = (solved["nc1_error"] / solved["nc1_paper"]) if "nc1_error" in solved else np.nan
    ended = (
        solved.assign(error=worst)
        .groupby(["factor", "kernel", "ended"], sort=False)
        .agg(
            trials=("key", "size"), worst_residual=("residual", "max"), worst_relative_error=("error", "max")
        )
        .reset_index()
    )
    ended.columns = [name.replace("_", " ") for name in ended.columns]
    note = (
        f"Slopes of log10 NC1 against log10 of the factor over the first and the last {ENDS} values, a fit a seed; the "
        f"floor, as a share of NC1 at the end, of floor + a x^b over the last {FLOORS} values, negative where the "
        "curve bends down; its F test against the power law; and what is kept of the floor that is fitted "
        "without the last value. t intervals over seeds, 95 % for all curves together."
    )
    return [
        Table("Power laws and floors", fitted.drop(columns=["fall low", "fall high"], errors="ignore"), note),
        Table("How the solvers ended", ended, "Trials that did not converge are in no fit."),
    ]


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge for every factor whether NC1 falls without a floor, and whether the mean field falls faster."""
    fitted, logs = fits(rows), prepare(rows)
    return [*(_without_floor(factor, fitted) for factor in FACTORS), _faster(logs), _lowest(logs)]


def _without_floor(factor: Factor, fitted: pd.DataFrame) -> Verdict:
    test = (
        f"Slopes over the last {ENDS} values and floors over the last {FLOORS}, fitted seed by seed, with t intervals "
        f"over seeds that hold together for all curves with {CONFIDENCE:.0%} confidence. It holds where NC1 is lowest "
        f"at the end, falls there by more than {FLAT:g} decades a decade, and a floor of {REACHED:.0%} of it is "
        "excluded; it fails where NC1 rises towards the end, no longer falls, or has a floor above that share (the F "
        f"test against a pure power law rejects, and the last value does not lower it below {STAYS:g} of what it was). "
        "Trials that did not converge are in no fit."
    )
    mine = fitted[fitted["factor"] == factor.name]
    if mine.empty:
        return Verdict(factor.claim, "undecided", "Too few finished trials to fit.", test, mine)
    said = mine["verdict"]
    status = (
        "holds"
        if (said == "holds").all()
        else "holds in part"
        if (said == "holds").any()
        else "does not hold"
        if (said == "fails").any()
        else "undecided"
    )
    sentences = [_say(factor, row) for _, row in mine.iterrows()]
    answer = "; ".join(sentences) + "."
    return Verdict(factor.claim, status, answer[0].upper() + answer[1:], test, mine)


def _faster(logs: pd.DataFrame) -> Verdict:
    """Judge whether the mean field is the lower of the two wherever there is something to tell."""
    good = logs[(logs["ended"] == "converged") & logs["log_nc1"].notna()]
    nngp, adaptive, field = (good[good["kernel"] == kernel] for kernel in ("nngp", *KERNELS))
    left = paired(nngp, adaptive, "log_nc1", ["factor", "value"])
    left = left[left["difference"].abs() > LEFT]
    table = paired(field, adaptive, "log_nc1", ["factor", "value"])
    return above_zero(
        f"Where the adaptive kernel leaves the NNGP (by {LEFT:g} decades), the mean field goes lower.",
        table.merge(left[["factor", "value"]]),
        lambda row: f"{row['factor']} = {row['value']:g}",
        gap="gap log10 NC1(adaptive) − log10 NC1(mean field)",
        by="factor",
    )


def _lowest(logs: pd.DataFrame) -> Verdict:
    """Judge whether any of it came near to complete collapse, and name the lowest NC1 of all."""
    claim = "NC1 comes down to a thousandth of the NNGP's or less."
    test = (
        "Mean over seeds of log10 NC1, less that of the NNGP on the same data; the lowest of all points is named, and "
        "a t interval over seeds decides."
    )
    good = logs[(logs["ended"] == "converged") & logs["log_nc1"].notna()]
    nngp = good[good["kernel"] == "nngp"]
    table = pd.concat(
        [
            paired(nngp, good[good["kernel"] == kernel], "log_nc1", ["factor", "value"]).assign(kernel=kernel)
            for kernel in KERNELS
        ]
    ).reset_index(drop=True)
    if table.empty:
        return Verdict(claim, "undecided", "No pair of finished trials to compare.", test, table)
    best = table.loc[table["difference"].idxmin()]
    status = "holds" if best["high"] < -3 else "does not hold" if best["low"] > -3 else "undecided"
    answer = (
        f"The lowest is NC1 {10 ** best['second']:.2g}, {10 ** best['difference']:.2g} of the NNGP's "
        f"{10 ** best['first']:.2g}: {KERNEL_NAMES[best['kernel']]}, {best['factor']} = {best['value']:g}."
    )
    return Verdict(claim, status, answer.replace("-", "−"), test, table)


EXPERIMENT = Experiment(
    name="collapse-limits",
    title="How low NC1 goes",
    question="Is there a limit to how far feature learning lowers NC1, or does it go to zero, and how fast?",
    trials=trials,
    figures=figures,
    tables=tables,
    verdicts=verdicts,
)
