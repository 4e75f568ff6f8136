"""What changed between two runs: rows matched by trial, cells compared with the noise of their seeds, verdicts.

Rows are matched by the key of their trial, as this version has it: the same trial stored by an older version, before an
option was added, is still the same.
"""

from kernel_collapse import _extras

_extras.require("cli", "the comparison of runs")

from kernel_collapse.compare._differences import CHANGES, KINDS, NOISE, ROUND_OFF, Comparison, compare
from kernel_collapse.compare._page import FILE, write_comparison

__all__ = ["CHANGES", "FILE", "KINDS", "NOISE", "ROUND_OFF", "Comparison", "compare", "write_comparison"]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
