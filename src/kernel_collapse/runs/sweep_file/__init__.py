"""The user's own sweeps: a TOML file of data, measurements and seeds, which is read and checked before any work.

The format is in docs/sweeps.md; `EXAMPLE` is a file to begin with.
"""

from importlib.resources import files

from kernel_collapse.runs.sweep_file._describe import describe
from kernel_collapse.runs.sweep_file._read import read
from kernel_collapse.runs.sweep_file._sweep import Block, Sweep

__all__ = ["EXAMPLE", "Block", "Sweep", "describe", "read"]

#: A sweep with comments, as `kernel-collapse init` writes it.
EXAMPLE = files("kernel_collapse.runs.sweep_file").joinpath("sweep.toml").read_text(encoding="utf-8")
