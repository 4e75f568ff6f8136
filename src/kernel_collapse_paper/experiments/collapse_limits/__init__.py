"""How low NC1 can go: the adaptive kernel and the mean field, one factor at a time, to its end."""

from __future__ import annotations

from kernel_collapse.runs.experiments import Experiment
from kernel_collapse_paper.experiments.collapse_limits._figure import figures
from kernel_collapse_paper.experiments.collapse_limits._fits import curves
from kernel_collapse_paper.experiments.collapse_limits._grid import trials
from kernel_collapse_paper.experiments.collapse_limits._tables import tables
from kernel_collapse_paper.experiments.collapse_limits._verdicts import verdicts
from kernel_collapse_paper.experiments.conclusions import Words, of_claims

__all__ = ["EXPERIMENT"]

EXPERIMENT = Experiment(
    name="collapse-limits",
    title="How low NC1 goes",
    question="Is there a limit to how far feature learning lowers NC1, or does it go to zero, and how fast?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    prepare=curves,
    conclude=of_claims(
        "collapse-limits",
        Words(
            "NC1 comes down",
            "A kernel that adapts to the data can come close to complete collapse",
            "No kernel that adapts to the data comes close to complete collapse",
        ),
    ),
)
