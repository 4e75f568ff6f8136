"""The command line: `kernel-collapse init | run | results | reproduce | measure | report`, a file for each of them.

Exit codes: 0 done; 1 the run finished but some trials failed, rows are damaged, the disk is full, or the folder went
away; 2 bad input, refused before any work; 130 stopped by Ctrl-C, 143 by SIGTERM.
"""

from kernel_collapse.cli import _measure, _report, _reproduce, _sweeps  # noqa: F401 (they register their commands)
from kernel_collapse.cli._app import app, main

__all__ = ["app", "main"]
