"""Figures of collapse, one call each.

You may give axes of matplotlib, or new ones are made. The call returns them.
"""

from kernel_collapse import _extras

_extras.require("cli", "kernel_collapse.plots", "matplotlib")

from kernel_collapse.plots._geometry import cosines, features
from kernel_collapse.plots._kernels import over_kernels
from kernel_collapse.plots._metrics import heat_map, over_epochs, over_layers
from kernel_collapse.plots._solutions import gram_matrix, nc1_of_layers, over_training

__all__ = [
    "cosines",
    "features",
    "gram_matrix",
    "heat_map",
    "nc1_of_layers",
    "over_epochs",
    "over_kernels",
    "over_layers",
    "over_training",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
