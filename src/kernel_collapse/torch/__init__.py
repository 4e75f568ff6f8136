"""Collapse of PyTorch models: their layers are recorded during training and compared with kernels of the same data.

It is the only part of the library that uses PyTorch. `kernel_collapse` imports it at the first use.
"""

from kernel_collapse import _extras

_extras.require("torch", "kernel_collapse.torch")

from kernel_collapse.torch._agop import agop
from kernel_collapse.torch._callback import Callback
from kernel_collapse.torch._compare import Compared, Comparison, compare
from kernel_collapse.torch._record import record
from kernel_collapse.torch._tangent import TangentKernel, empirical_ntk

__all__ = [
    "Callback",
    "Compared",
    "Comparison",
    "TangentKernel",
    "agop",
    "compare",
    "empirical_ntk",
    "record",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
