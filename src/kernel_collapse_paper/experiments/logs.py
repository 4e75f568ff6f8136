"""What every experiment reads off its rows: the logarithm of NC1, and how a kernel of the published code is named."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["READOUTS", "by_readout", "of_depths", "with_logs"]

#: Readout variances of the published code's networks, and of its equations of state.
READOUTS = {"published": 1.97**2, "mean-field": 1 / 128}


def with_logs(rows: pd.DataFrame, weighting: str = "paper") -> pd.DataFrame:
    """Return the finished rows with log10 NC1 of the kernel, and the same less that of the data.

    A value without a logarithm ("published" can be negative) becomes NaN. The adaptive kernel with the published label
    term is a kernel of its own, "adaptive-published".
    """
    rows = rows[rows["status"] == "ok"].copy()
    if "label_term" in rows:
        published = (rows["kernel"] == "adaptive") & (rows["label_term"] == "published")
        rows.loc[published, "kernel"] = "adaptive-published"
    nc1 = rows[f"nc1_{weighting}"]
    rows["log_nc1"] = np.log10(nc1.where(nc1 > 0))
    same_data = ["data", "n", "dim", "class_sizes", "seed"]
    of_data = rows.loc[rows["kernel"] == "data", [*same_data, "log_nc1"]]
    rows = rows[rows["kernel"] != "data"].merge(of_data, on=same_data, how="left", suffixes=("", "_data"))
    rows["log_nc1_ratio"] = rows["log_nc1"] - rows["log_nc1_data"]
    return rows


def by_readout(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as `with_logs` does, with the name of the readout scale that a network or adaptive kernel has."""
    rows = with_logs(rows)
    names = {variance: name for name, variance in READOUTS.items()}
    return rows.assign(readout=rows["readout_variance"].map(names).fillna("none"))


def of_depths(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as `with_logs` does, with depths as whole numbers: beside trials of none they are floats."""
    # `astype` of one column leaves each column a block of its own; the copy joins them, so that adding others is cheap.
    return with_logs(rows).astype({"depth": int}).copy()
