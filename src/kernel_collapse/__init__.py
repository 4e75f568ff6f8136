"""Neural Collapse measured from kernels: data -> kernel -> Gram matrix -> collapse -> comparison.

What is exported here is what scripts may rely on; ``import kernel_collapse as kc``.
"""

from kernel_collapse import activations, data, kernels
from kernel_collapse.adaptive import AdaptiveError, AdaptiveSolution, solve_adaptive
from kernel_collapse.collapse import NC1, nc1, nc1_from_features, nc1_weightings
from kernel_collapse.data import Dataset
from kernel_collapse.kernels import nngp, ntk

__version__ = "0.1.0"

__all__ = [
    "NC1",
    "AdaptiveError",
    "AdaptiveSolution",
    "Dataset",
    "activations",
    "data",
    "kernels",
    "nc1",
    "nc1_from_features",
    "nc1_weightings",
    "nngp",
    "ntk",
    "solve_adaptive",
]
