"""The command line: `kernel-collapse init | run | results | measure | report`, and what other packages add to it.

Exit codes: 0 done; 1 the run finished but some trials failed, rows are damaged, the disk is full, or the folder went
away; 2 bad input, refused before any work; 130 stopped by Ctrl-C, 143 by SIGTERM; 141 the reader of what is printed
closed the pipe, as `head` does.
"""

import sys
from typing import Any

from kernel_collapse import _extras

__all__ = ["app", "main"]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__


def main() -> None:
    """Run the command line.

    Bad input is one sentence and exit code 2; a disk that is full or fails, or rows that are damaged, one and 1.
    """
    try:
        _extras.require("cli", "the command line")
    except _extras.MissingExtra as error:
        sys.stderr.write(f"kernel-collapse: {error}\n")
        raise SystemExit(2) from None
    from kernel_collapse.cli import _app

    _app.main()


def __getattr__(name: str) -> Any:
    """Build `app`, the program that the commands belong to, when it is first asked for."""
    if name == "app":
        from kernel_collapse.cli import _app

        return _app.program()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
