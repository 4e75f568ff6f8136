"""Kernels that learn features without a network beside networks that do, layer by layer."""

from kernel_collapse.runs.experiments import Experiment
from kernel_collapse_paper.experiments.feature_learning.figures import figures
from kernel_collapse_paper.experiments.feature_learning.grid import prepare, trials
from kernel_collapse_paper.experiments.feature_learning.verdicts import tables, verdicts

__all__ = ["EXPERIMENT"]

EXPERIMENT = Experiment(
    name="feature-learning-kernels",
    title="Kernels that learn features, layer by layer",
    question="Which kernel that learns features follows trained networks on which data, and where does deep RFM, which "
    "has no network, go another way?",
    trials=trials,
    draw=figures,
    tabulate=tables,
    judge=verdicts,
    prepare=prepare,
)
