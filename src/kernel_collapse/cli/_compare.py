"""`kernel-collapse report` of two runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kernel_collapse._text import for_rich
from kernel_collapse.cli._app import say
from kernel_collapse.cli.tables import print_whole

if TYPE_CHECKING:
    from kernel_collapse.compare import Comparison

__all__ = ["compare_runs"]

#: Most rows of a table in the terminal.
MOST_ROWS = 15


def compare_runs(a: Path, b: Path, out: Path | None) -> None:
    """Print what changed from A to B, and write the page."""
    from kernel_collapse import _validate
    from kernel_collapse.compare import FILE, compare, write_comparison

    if out is not None:
        _validate.page(out, "--out", ".html")
    comparison = compare(a, b)
    page = write_comparison(comparison, b / FILE if out is None else out, pictures=out is None)
    _print(comparison)
    say(f"Comparison: {page}")


def _print(comparison: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)

    def show(title: str, columns: dict[str, bool], rows: Sequence[tuple[str, ...]], of: int) -> None:
        if not rows:
            return
        more = f", the first {len(rows)} of {of}" if of > len(rows) else ""
        console.print(for_rich(f"{title}{more}", "bold"))
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=any(name.strip() for name in columns))
        for name, right in columns.items():
            table.add_column(name, justify="right" if right else "left", no_wrap=right)
        for row in rows:
            table.add_row(*map(for_rich, row))
        print_whole(console, table)

    counts = comparison.counts[comparison.counts["trials"] > 0]
    show(
        "Trials", {"": False, " ": True}, [(r.what, str(r.trials)) for r in counts.itertuples()], len(counts)
    )
    about = comparison.about
    show(
        "Runs",
        {"": False, "A": False, "B": False},
        [(r.what, r.a, r.b) for r in about.itertuples()],
        len(about),
    )
    cells = comparison.cells
    found = [
        (
            r.kind,
            r.cell,
            r.weighting,
            "log10 NC1" if r.unit == "decades" else "NC1",
            *(f"{value:.4f}" if r.unit == "decades" else f"{value:.4g}" for value in (r.a, r.b)),
            f"{r.difference:+.2g}",
            f"{r.errors:.2g}",
        )
        for r in cells.head(MOST_ROWS).itertuples()
    ]
    headers = {"": False, "cell": False, "weighting": False, "of": False}
    headers |= dict.fromkeys(("A", "B", "B − A", "errors"), True)
    show("Cells whose NC1 changed (mean over seeds)", headers, found, len(cells))
    statuses = comparison.rows[comparison.rows["change"] == "status changed"]
    lost = [
        (r.cell, str(r.seed), r.status_a, r.status_b, r.message_b or r.message_a)
        for r in statuses.head(MOST_ROWS).itertuples()
    ]
    headers = {"cell": False, "seed": True, "A": False, "B": False, "message": False}
    show("Trials whose status changed", headers, lost, len(statuses))
    judged = [(r.experiment, r.claim, r.a, r.b) for r in comparison.verdicts.itertuples()]
    headers = {"experiment": False, "claim": False, "A": False, "B": False}
    show("Verdicts that changed", headers, judged, len(judged))
