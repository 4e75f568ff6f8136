"""One self-contained HTML page of a run: figures, tables, environment, and a verdict on each claim."""

from kernel_collapse import _extras

_extras.require("cli", "reports")

from kernel_collapse.report.machine import environment
from kernel_collapse.report.page import write_page
from kernel_collapse.report.parts import Figure, Section, Table, Verdict
from kernel_collapse.report.run_report import Built, build

__all__ = ["Built", "Figure", "Section", "Table", "Verdict", "build", "environment", "write_page"]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
