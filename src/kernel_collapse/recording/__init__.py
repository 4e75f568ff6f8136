"""Collapse of every layer of a network, batch by batch: one record per pass, and a history of records during
training.

This package takes features of any library. `kernel_collapse.torch` finds them in a PyTorch model by itself.
"""

from kernel_collapse.recording._collect import DECIDE, Alone, Batch, Wanted, collect, refuse_decide
from kernel_collapse.recording._functions import record
from kernel_collapse.recording._history import History
from kernel_collapse.recording._progress import Progress
from kernel_collapse.recording._record import Record
from kernel_collapse.recording._streams import Streams

__all__ = [
    "DECIDE",
    "Alone",
    "Batch",
    "History",
    "Progress",
    "Record",
    "Streams",
    "Wanted",
    "collect",
    "record",
    "refuse_decide",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
