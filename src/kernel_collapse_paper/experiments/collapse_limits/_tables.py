"""The fits, and how every trial ended."""

from __future__ import annotations

import numpy as np

from kernel_collapse.report.parts import Table
from kernel_collapse_paper.experiments.collapse_limits._fits import ENDS, FLOORS, Curves
from kernel_collapse_paper.experiments.collapse_limits._grid import KERNELS


def tables(curves: Curves) -> list[Table]:
    """Tabulate the fits, and how every trial ended."""
    logs, fitted = curves
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
