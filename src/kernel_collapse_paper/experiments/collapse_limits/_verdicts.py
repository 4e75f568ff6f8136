"""Whether NC1 falls without a floor, and how far, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse.report.intervals import CONFIDENCE, above_zero, paired
from kernel_collapse.report.parts import Verdict
from kernel_collapse.report.style import KERNEL_NAMES
from kernel_collapse_paper.experiments.collapse_limits._fits import (
    ENDS,
    FLAT,
    FLOORS,
    REACHED,
    STAYS,
    Curves,
    digits_of,
    rounded,
)
from kernel_collapse_paper.experiments.collapse_limits._grid import FACTORS, KERNELS, Factor

#: So many decades from the NNGP is more than the Monte Carlo error of the mean field.
LEFT = 0.01


def verdicts(curves: Curves) -> list[Verdict]:
    """Judge for every factor whether NC1 falls without a floor, and whether the mean field falls faster."""
    logs, fitted = curves
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
    mine = mine.assign(cell=mine["kernel"].map(KERNEL_NAMES))
    sentences = [_say(factor, row) for _, row in mine.iterrows()]
    answer = "; ".join(sentences) + "."
    return Verdict.of_cells(factor.claim, answer[0].upper() + answer[1:], test, mine)


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
    digits = digits_of(ends[1] - ends[0])
    return f"{rounded(mean, digits)} ({rounded(ends[0], digits)} to {rounded(ends[1], digits)})"


def _plain(symbol: str) -> str:
    return {r"\sigma_a^2": "σ_a²", r"\sigma^2": "σ²", r"\Delta": "Δ"}.get(symbol, symbol)


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
