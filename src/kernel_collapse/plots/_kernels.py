"""Kernels of the data and of a model on one axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kernel_collapse._input_error import InputError
from kernel_collapse._text import for_figure
from kernel_collapse.report.style import style

__all__ = ["over_kernels"]

#: Colour and marker of kernels of the inputs alone and of those of the model.
LOOKS = {"data": ("#0072B2", "o"), "model": ("#D55E00", "s")}
#: Of an interval of 95 %.
REACH = 1.959964


def over_kernels(comparison: Mapping[str, Any], *, axes: Any = None) -> Any:
    """Draw NC1 of every kernel of a comparison on one logarithmic axis, the least collapsed on top.

    Parameters
    ----------
    comparison : kernel_collapse.torch.Comparison
        The comparison. If gradients were projected, the figure shows the 95 % interval.
    axes : matplotlib axes, optional
        Made by default.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If there is no kernel, or none of whose NC1 is a positive number.
    """
    import matplotlib.pyplot as plt

    known = {
        name: found
        for name, found in comparison.items()
        if np.isfinite(getattr(found, "nc1", np.nan)) and found.nc1 > 0.0
    }
    if not known:
        raise InputError(
            "the comparison",
            "no kernel whose NC1 is a positive number",
            "one at least",
            "look at `reason` in to_frame()",
            verb="has",
        )
    names = sorted(known, key=lambda name: known[name].nc1)
    with style():
        size = (6.0, 0.9 + 0.32 * len(names))
        panel = plt.subplots(figsize=size, layout="constrained")[1] if axes is None else axes
        for source, (colour, marker) in LOOKS.items():
            rows = [k for k, name in enumerate(names) if known[name].source == source]
            values = [known[names[k]].nc1 for k in rows]
            reach = [REACH * known[names[k]].nc1_error for k in rows]
            if rows:
                label = "kernel of the data" if source == "data" else "kernel of the model"
                shown = reach if any(reach) else None
                panel.errorbar(
                    values, rows, xerr=shown, fmt=marker, color=colour, label=label, capsize=2.0, zorder=3
                )
        panel.set_yticks(range(len(names)), [for_figure(name) for name in names])
        panel.set_ylim(-0.6, len(names) - 0.4)
        panel.set_xscale("log")
        panel.set_xlabel("NC1 (to the left: more collapsed)")
        panel.legend(loc="best")
    return panel
