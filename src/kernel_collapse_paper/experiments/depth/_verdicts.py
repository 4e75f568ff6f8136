"""Limits and rates held against the theory, and whether depth collapses at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse.report import intervals
from kernel_collapse.report.parts import Verdict
from kernel_collapse.report.style import KERNEL_NAMES
from kernel_collapse_paper.experiments.depth._grid import RATE_DEPTHS
from kernel_collapse_paper.experiments.depth._settings import SETTINGS
from kernel_collapse_paper.experiments.depth._tables import measured_rates

AT_LIMIT, FROZEN, RATE_MARGIN, LINEAR_MARGIN = 0.05, 0.02, 1.05, 1.1


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Judge limits and rates against the theory, and whether depth collapses at all."""
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

    rates = measured_rates(rows)
    rate_gap = intervals.paired(
        rates.assign(v=np.log10(rates["predicted"])),
        rates.assign(v=np.log10(rates["measured"])),
        "v",
        ["data", "setting"],
    )
    judged = [
        intervals.within(
            f"The chaotic phase forgets the classes: NC1 at depth {deepest} is (n_c − 1) / (1 − 1/C), to {AT_LIMIT:g} "
            "decades.",
            intervals.paired(limit[limit["setting"].isin(chaotic)], last, "log_nc1", cells),
            name,
            margin=AT_LIMIT,
            gap="gap log10 NC1 − limit",
        ),
        intervals.within(
            f"The ordered phase freezes the NNGP: from depth {before} to {deepest} NC1 changes by less than {FROZEN:g} "
            "decades.",
            intervals.paired(
                nearly[nearly["setting"].isin(ordered) & (nearly["kernel"] == "nngp")], last, "log_nc1", cells
            ),
            name,
            margin=FROZEN,
            gap="change of log10 NC1",
        ),
        intervals.above_zero(
            f"NC1 nears the predicted limit, wherever there is one: it is closer at depth {deepest} than at {middle} "
            f"(closer than {AT_LIMIT:g} decades is there).",
            intervals.paired(away(last), away(at_middle), "away", cells),
            name,
            gap="fall of the distance to the limit",
            ties_hold=True,
            by="setting",
        ),
        replace(
            intervals.within(
                "NC1 of the NNGP nears its end at the predicted rate, to "
                f"{100 * (RATE_MARGIN - 1):.0f} % a layer, in the ordered and chaotic phases.",
                rate_gap,
                name,
                margin=float(np.log10(RATE_MARGIN)),
                gap="gap log10 measured rate − log10 predicted rate",
                by="setting",
            ),
            test="The rate of each seed from 1/NC1 at depths "
            f"{', '.join(map(str, RATE_DEPTHS))}. " + intervals.TEST.replace("log10 NC1", "log10 rate"),
        ),
        _linear_growth(rows, name),
        intervals.above_zero(
            f"Depth collapses the features further: NC1 at depth {deepest} is below that at depth {shallowest}.",
            intervals.paired(last, first, "log_nc1", cells),
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

    verdict = intervals.within(
        "At criticality NC1 of the NNGP grows linearly: by as much a layer from depth "
        f"{ends[1]} to {ends[2]} as from {ends[0]} to {ends[1]}, to {100 * (LINEAR_MARGIN - 1):.0f} % "
        "(erf, two Gaussians).",
        intervals.paired(growth(*ends[:2]), growth(*ends[1:]), "v", ["data", "setting"]),
        name,
        margin=float(np.log10(LINEAR_MARGIN)),
        gap="gap log10 late growth − log10 early growth",
    )
    return replace(verdict, test=intervals.TEST.replace("log10 NC1", "log10 growth a layer"))
