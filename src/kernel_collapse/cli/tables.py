"""Tables in a terminal, of which nothing is cut: what is wider than the terminal runs over its edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = ["print_side_by_side", "print_whole"]

#: Wider than any table.
WIDEST = 100_000


def print_whole(console: Console, table: Table) -> None:
    """Print a table whose columns of numbers do not wrap; the others are as narrow as their longest word at least."""
    before = console.width
    console.width = max(before, _least_width(console, table))
    try:
        console.print(table, crop=False)
    finally:
        console.width = before


def print_side_by_side(
    console: Console, title: str, names: Sequence[str], columns: Sequence[tuple[Text, Sequence[str]]]
) -> None:
    """Print columns of numbers beside their names, in as many tables as the width of the terminal asks for."""
    shown = 0
    while shown < len(columns):
        count = 1
        while shown + count < len(columns):
            wider = _beside(title, names, columns[shown : shown + count + 1])
            if _least_width(console, wider) > console.width:
                break
            count += 1
        print_whole(console, _beside(title, names, columns[shown : shown + count]))
        shown += count


def _beside(title: str, names: Sequence[str], columns: Sequence[tuple[Text, Sequence[str]]]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("metric", no_wrap=True)
    for heading, _ in columns:
        table.add_column(heading, justify="right")
    for name, *cells in zip(names, *(cells for _, cells in columns), strict=True):
        table.add_row(name, *cells)
    return table


def _least_width(console: Console, table: Table) -> int:
    from rich.measure import Measurement

    wide = console.options.update(max_width=WIDEST)
    for column in table.columns:
        if column.no_wrap:  # which Rich would cut to make room for those that wrap
            cells = (column.header, *column.cells)
            column.min_width = max(Measurement.get(console, wide, cell).maximum for cell in cells)
    return Measurement.get(console, wide, table).minimum
