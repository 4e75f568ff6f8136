"""Collapse of PyTorch models: their layers recorded while they train, and set beside the kernels of the same data.

The only part of the library that uses PyTorch; `kernel_collapse` imports it when it is first asked for.
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
