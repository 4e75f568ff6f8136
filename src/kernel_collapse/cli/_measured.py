"""What `kernel-collapse measure` prints: the table of kernels, the other metrics, and the notes below them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kernel_collapse._text import for_rich, named
from kernel_collapse.cli.tables import print_side_by_side, print_whole

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from kernel_collapse.data import Dataset

__all__ = ["classes_of", "print_measurement"]


def print_measurement(dataset: Dataset, table: pd.DataFrame, remarks: list[str], weighting: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    n, d = dataset.x.shape
    classes = f"{len(dataset.classes)} classes {classes_of(dataset)}"
    console.print(for_rich(f"{named(dataset.name)}: {n} samples, {d} features, {classes}"))
    columns = {
        "kernel": [_kernel(row) for _, row in table.iterrows()],
        "samples": table["samples"],
        "NC1": table["NC1"].map("{:.4g}".format),
    }
    if "NC1 low" in table:
        ends = zip(table["NC1 low"], table["NC1 high"], strict=True)
        columns["95 % interval"] = [f"{low:.4g} to {high:.4g}" for low, high in ends]
    if (table["samples"] == "training").all():
        del columns["samples"]
    columns |= {name: table[name].map("{:.4g}".format) for name in ("NC1 / NC1(data)", "tr S_W", "tr S_B")}
    printed = Table()
    for name in columns:
        text = name in ("kernel", "samples")
        printed.add_column(name, justify="left" if text else "right", no_wrap=not text)
    for cells in zip(*columns.values(), strict=True):
        printed.add_row(*map(for_rich, cells))
    print_whole(console, printed)
    _print_other_metrics(console, table)
    console.print(
        "NC1 = tr S_W / tr S_B, spread within classes over spread between them "
        f'(weighting "{weighting}"); 0 is complete collapse.'
    )
    for remark in [*_reasons(table), *remarks]:
        console.print(for_rich(f"Note: {remark}", "yellow"))


def _reasons(table: pd.DataFrame) -> list[str]:
    """Return why numbers are missing or rough, of which kernels, with metrics as the tables call them."""
    from kernel_collapse.measure import GEOMETRY_OF, METRICS_OF

    named = METRICS_OF | GEOMETRY_OF
    # No reason is about either trace, and the words are words of sentences.
    shown = {attribute: name for name, attribute in named.items() if attribute not in ("within", "between")}
    every = {_kernel(row) for _, row in table.iterrows()}
    of: dict[str, list[str]] = {}
    for _, row in table[table["reason"] != ""].iterrows():
        why = re.sub(r"[a-z0-9_]+", lambda found: shown.get(found[0], found[0]), row["reason"])
        of.setdefault(why, []).append(_kernel(row))
    return [
        why if set(kernels) == every else f"{', '.join(dict.fromkeys(kernels))}: {why}"
        for why, kernels in of.items()
    ]


def _kernel(row: pd.Series) -> str:
    """Return what a kernel is called in a table."""
    if row["activation"] == "–":
        return str(row["kernel"])
    return f"{row['activation']} {row['kernel']}" + (f", depth {row['depth']}" if row["depth"] != "1" else "")


def _print_other_metrics(console: Console, table: pd.DataFrame) -> None:
    """Print the metrics beside NC1, a line each and a column a kernel; what no kernel has is left out."""
    from kernel_collapse.measure import METRICS

    for samples, rows in table.groupby("samples", sort=False):
        known = [name for name in METRICS[3:] if rows[name].notna().any()]
        if not known:
            continue
        columns = [
            (for_rich(_kernel(row)), [f"{row[name]:.3g}" for name in known]) for _, row in rows.iterrows()
        ]
        print_side_by_side(console, f"Other metrics, {samples} samples", known, columns)


def classes_of(dataset: Dataset) -> str:
    shown = [
        f"{named(name)}: {size}" for name, size in zip(dataset.classes, dataset.class_sizes, strict=True)
    ]
    return (
        f"({', '.join(shown)})"
        if len(shown) <= 10
        else f"of {min(dataset.class_sizes)} to {max(dataset.class_sizes)} samples"
    )
