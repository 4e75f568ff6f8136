"""The fixed points, the limits and the rates, measured beside predicted."""

from __future__ import annotations

import pandas as pd

from kernel_collapse.report.parts import Table
from kernel_collapse_paper.experiments.depth._grid import RATE_DEPTHS
from kernel_collapse_paper.experiments.depth._settings import SETTINGS


def tables(rows: pd.DataFrame) -> list[Table]:
    """Tabulate the fixed points, the limits, and the rates, measured beside predicted."""
    deepest = rows["depth"].max()
    points = [
        {
            "setting": s.label,
            "weight variance": s.weight_variance,
            "bias variance": s.bias_variance,
            "q*": s.point.variance,
            "V'(q*)": s.point.variance_slope,
            "chi": s.point.slope,
            "c*": s.point.correlation,
            "R'(c*)": s.point.rate,
            "depth scale": s.point.depth_scale,
        }
        for s in SETTINGS
    ]
    last = rows[rows["depth"] == deepest].groupby(["data", "setting", "kernel"])
    ends = last[["log_nc1", "limit"]].mean().reset_index()
    ends["gap"] = ends["log_nc1"] - ends["limit"]
    columns = {"log_nc1": f"log10 NC1 at depth {deepest}", "limit": "predicted limit"}
    rates = measured_rates(rows)
    measured = rates.groupby(["data", "setting"])[["measured", "predicted"]].mean().reset_index()
    by = ["data", "setting", "kernel"]
    wide = rows.pivot_table(index=by, columns="depth", values="log_nc1", aggfunc="mean")
    return [
        Table(
            "Fixed points of the maps of variance and correlation",
            pd.DataFrame(points),
            "The depth scale is that of correlations, −1 / log R'(c*) layers.",
        ),
        Table("Limits: log10 NC1, mean over seeds", ends.rename(columns=columns)),
        Table(
            "Rates of the NNGP: the factor a layer by which 1/NC1 nears its end",
            measured,
            f"Measured from depths {', '.join(map(str, RATE_DEPTHS))}, mean over seeds.",
        ),
        Table("log10 NC1 by depth, mean over seeds", wide.rename(columns="depth {}".format).reset_index()),
    ]


def measured_rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rate of each seed from three depths, (y3 - y2) / (y2 - y1) with y = 1/NC1, beside the predicted."""
    decaying = [s.label for s in SETTINGS if s.rate < 1.0]
    chosen = rows[(rows["kernel"] == "nngp") & rows["setting"].isin(decaying)]
    chosen = chosen.assign(y=1.0 / chosen["nc1_paper"])
    wide = chosen.pivot_table(index=["data", "setting", "seed"], columns="depth", values="y", sort=False)
    wide = wide.reindex(columns=list(RATE_DEPTHS)).dropna()
    first, middle, last = (wide[d] for d in RATE_DEPTHS)
    ratio = (last - middle) / (middle - first)
    table = wide.assign(measured=ratio.where(ratio > 0) ** (1.0 / (RATE_DEPTHS[1] - RATE_DEPTHS[0])))
    table = table[["measured"]].reset_index()
    return table.assign(predicted=table["setting"].map({s.label: s.rate for s in SETTINGS}).astype(float))
