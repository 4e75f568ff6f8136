"""The two designs of the paper's figures, balanced and imbalanced classes: their data, and the names of their cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernel_collapse import data
from kernel_collapse.runs.trials import GaussianClasses

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BALANCED", "DIMS", "EIGHTHS", "IMBALANCED", "Design", "Grid", "name_balanced", "name_imbalanced"]

DIMS = (1, 2, 8, 32, 128)
#: Shares of the first of two classes, in eighths.
EIGHTHS = (4, 3, 2, 1)

#: Rows, the column whose every value is a line of a panel, the name of a line, and the title of the legend.
Lines = tuple["pd.DataFrame", str, Callable[[Any], str], str]


@dataclass(frozen=True)
class Grid:
    """Gaussian classes of some sizes and dimensions, of one law and of equal sizes unless shares are given."""

    sizes: tuple[int, ...]
    means: tuple[float, ...] = data.D1_MEANS
    dims: tuple[int, ...] = DIMS
    eighths: tuple[int, ...] | None = None

    def laws(self) -> list[GaussianClasses]:
        """Return the law of each size, share and dimension."""
        return [
            GaussianClasses(
                n=n,
                dim=dim,
                class_means=self.means,
                class_sizes=None if share is None else (n * share // 8, n - n * share // 8),
            )
            for n in self.sizes
            for share in self.eighths or (None,)
            for dim in self.dims
        ]


@dataclass(frozen=True)
class Design:
    """A way in which data sets differ from cell to cell."""

    name: str
    law: tuple[str, ...]
    sizes: tuple[str, ...]
    cell: Callable[[pd.Series[Any]], str]
    lines: Callable[[pd.DataFrame], Lines]
    #: Whether classes differ in size, so that their weighting matters.
    weighted: bool

    @property
    def cells(self) -> list[str]:
        """The columns that tell one cell from another."""
        return self.columns()

    def columns(self, *between: str) -> list[str]:
        """Return the columns of a cell, others put between the law and the sizes."""
        return [*self.law, *between, *self.sizes]

    @property
    def by(self) -> str | None:
        """The column by which a verdict counts its cells, if any."""
        return next(iter(self.law), None)


def name_balanced(row: pd.Series[Any]) -> str:
    """Name a cell of a grid over laws, sizes and dimensions."""
    return f"{row['data']}, N={row['n']}, d={row['dim']}"


def name_imbalanced(row: pd.Series[Any]) -> str:
    """Name a cell of a grid over class sizes and dimensions."""
    return f"{row['class_sizes'][0]}/{row['class_sizes'][1]}, d={row['dim']}"


def _by_samples(rows: pd.DataFrame) -> Lines:
    return rows, "n", str, "samples N"


def _by_class_sizes(rows: pd.DataFrame) -> Lines:
    n = rows["n"].max()
    smallest = rows["class_sizes"].map(min)
    return rows.assign(minority=smallest), "minority", lambda m: f"{m} / {n - m}", "class sizes"


BALANCED = Design("balanced", ("data",), ("n", "dim"), name_balanced, _by_samples, weighted=False)
IMBALANCED = Design("imbalanced", (), ("class_sizes", "dim"), name_imbalanced, _by_class_sizes, weighted=True)
