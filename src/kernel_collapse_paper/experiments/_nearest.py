"""Which of several kernels is nearest to a trained network, cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kernel_collapse.report.parts import Verdict

__all__ = ["nearest"]

TEST = "Mean over seeds of |log10 NC1(kernel) − log10 NC1(trained network)|; the smallest is the nearest."


def nearest(
    claim: str,
    logs: pd.DataFrame,
    cells: Sequence[str],
    candidates: Sequence[str],
    expected: str,
    names: Mapping[str, str],
    name: Callable[[Any], str],
    *,
    needed: bool = True,
) -> Verdict:
    """Judge whether of all kernels the one expected is the nearest to the trained network, and name the nearest.

    The table has the columns `kernel`, `seed` and `log_nc1`; `name` names a cell from its row. Where it is `needed`,
    cells without the kernel that is expected do not count.
    """
    on = [*cells, "seed"]
    wide = logs.pivot_table(index=on, columns="kernel", values="log_nc1")
    wide = wide.reindex(columns=[*candidates, "network"])
    gaps = wide[list(candidates)].sub(wide["network"], axis=0).abs().groupby(list(cells)).mean()
    gaps = gaps.dropna(subset=expected) if needed else gaps.dropna(how="all")
    if gaps.empty:
        return Verdict(claim, "undecided", "No cell has both of them finished.", TEST, gaps.reset_index())
    closest = gaps.idxmin(axis=1)
    held = int((closest == expected).sum())
    counts = ", ".join(f"{names[name]} {count}" for name, count in closest.value_counts().items())
    best = gaps.min(axis=1)
    answer = (
        f"Nearest in {held} of {len(gaps)} cells ({counts}). The nearest is off by {best.min():.3f} to "
        f"{best.max():.3f} decades."
    )
    table = gaps.assign(nearest=closest).rename(columns=dict(names)).reset_index()
    table = table.assign(
        cell=[name(row) for _, row in table.iterrows()],
        verdict=np.where(table["nearest"] == expected, "holds", "fails"),
    )
    return Verdict.of_cells(claim, answer, TEST, table)
