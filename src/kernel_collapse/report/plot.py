"""A figure as a value: its panels, and what each mark in them is. It is drawn twice, in print and on the page.

Whoever makes a figure says here what a line is: its name, the entry of the legend that hides it, whether it is of the
published code or of what is right, the band that is its own. `kernel_collapse.report.printing` draws it with
matplotlib, and `kernel_collapse.report.interactive` with Plotly; neither reads the other's picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kernel_collapse._input_error import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Axis",
    "ColourScale",
    "Frame",
    "HeatMap",
    "Legend",
    "Level",
    "Line",
    "Mark",
    "Panel",
    "Plot",
    "Points",
    "Scale",
    "Span",
    "Text",
    "Which",
    "at",
    "means",
]

Side = Literal["published", "right"]
Which = Literal["x", "y"]
Scale = Literal["linear", "log", "symlog"]
#: Of reference lines.
GREY = "#888888"


# -- marks


@dataclass(frozen=True, eq=False, kw_only=True)
class Mark:
    """What every mark says of itself.

    Attributes
    ----------
    name : str
        Its entry in the legend; without a name it has none.
    group : str
        The entry of the legend that it goes with, and is hidden with; by default its own.
    side : "published" or "right", optional
        Whose it is, where the published code and what is right are compared; without one it belongs to both.
    color, alpha
        As matplotlib takes them.
    layer : float
        What has a larger one lies above.
    """

    name: str = ""
    group: str = ""
    side: Side | None = None
    color: Any = GREY
    alpha: float = 1.0
    layer: float = 2.0

    @property
    def goes_with(self) -> str:
        """The entry of the legend that hides it."""
        return self.group or self.name


@dataclass(frozen=True, eq=False)
class _Places(Mark):
    """Marks at points, with an interval each: arrays of float64 of one length."""

    x: Any
    y: Any
    low: Any = None
    high: Any = None
    marker: str = ""
    #: Of the markers: by default their colour; "none" leaves them open, and white hides what lies behind.
    face: Any = None

    def __post_init__(self) -> None:
        for which in ("x", "y", "low", "high"):
            given = getattr(self, which)
            object.__setattr__(self, which, None if given is None else np.array(given, dtype=float).ravel())
        lengths = {len(values) for values in (self.x, self.y, self.low, self.high) if values is not None}
        if len(lengths) > 1 or (self.low is None) != (self.high is None):
            raise InputError(
                f"the mark {self.goes_with!r}",
                f"x, y, low and high of the lengths {sorted(lengths)}",
                "one length, and both low and high or neither",
                verb="has",
            )
        if self.low is not None:  # an interval of one end is none
            there = np.isfinite(self.low) & np.isfinite(self.high)
            object.__setattr__(self, "low", np.where(there, self.low, np.nan))
            object.__setattr__(self, "high", np.where(there, self.high, np.nan))

    @property
    def has_interval(self) -> bool:
        """Whether any point has one; of a single value there is none, and its ends are NaN."""
        return self.low is not None and bool(np.isfinite(self.low).any())


@dataclass(frozen=True, eq=False)
class Line(_Places):
    """A line through points (x, y), and between `low` and `high` a band."""

    dashes: Any = "-"
    width: float = 1.6
    #: How much of the band's colour is seen.
    band: float = 0.18
    #: Whether it is a help to the eye alone, with no values that one points at.
    silent: bool = False


@dataclass(frozen=True, eq=False)
class Points(_Places):
    """Markers at (x, y), and from `low` to `high` along an axis error bars."""

    marker: str = "o"
    along: Which = "y"
    #: Across, and width of the edge, in points.
    size: float = 4.5
    edge: float = 1.0
    #: Width of the error bars and of their caps, in points.
    bar: float = 1.6
    cap: float = 0.0
    #: Of each point, shown when it is pointed at.
    names: Sequence[str] | None = None
    #: Whether y is a share of the panel's height, from below.
    at_edge: bool = False


@dataclass(frozen=True, eq=False)
class Level(Mark):
    """A line across the panel, at one value of an axis."""

    value: float
    axis: Which = "y"
    dashes: Any = "-"
    width: float = 1.6


@dataclass(frozen=True, eq=False)
class Span(Mark):
    """A strip across the panel, between two values of its y axis; it is behind everything, and no legend hides it."""

    low: float
    high: float
    alpha: float = field(default=0.15, kw_only=True)


@dataclass(frozen=True, eq=False)
class HeatMap(Mark):
    """Values (rows, columns) as colours: the cell (i, j) is at x = j and y = i, and the first row is at the top."""

    values: Any
    low: float
    high: float
    colours: str = "cividis"


@dataclass(frozen=True, eq=False)
class Text(Mark):
    """Text at a place given in shares of the panel, from its left and lower side."""

    text: str
    x: float
    y: float
    align: Literal["left", "center", "right"] = "left"
    upright: Literal["baseline", "center"] = "baseline"
    size: float = 9.5


# -- panels


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis: its label, scale, limits and ticks. What is not given follows from what is drawn.

    Attributes
    ----------
    label : str
        What is drawn along it.
    scale : "linear", "log" or "symlog"
        The last is linear between -1 and 1.
    low, high : float, optional
        Limits.
    inverted : bool
        Whether it begins with its larger number.
    ticks : mapping of float to str, optional
        Text of each tick, by its place.
    rows : bool
        Whether its places are rows that have names, and no numbers.
    logarithms : bool
        Whether its numbers are logarithms themselves, so that no logarithmic scale is offered.
    grid, tick_marks : bool
        Whether there are lines, and strokes, at ticks.
    same : str
        Axes of one name cover the same range.
    base : int
        Of a logarithmic scale's ticks in print.
    fine : mapping of float to sequence of float, optional
        Multiples of powers of ten that have a tick in print, by the ratio of the limits below which they do: an axis
        of few decades has more than its powers of ten.
    room : float
        Share of a logarithmic axis to be left free at its lower end.
    """

    label: str = ""
    scale: Scale = "linear"
    low: float | None = None
    high: float | None = None
    inverted: bool = False
    ticks: Mapping[float, str] | None = None
    rows: bool = False
    logarithms: bool = False
    grid: bool = True
    tick_marks: bool = True
    same: str = ""
    base: int = 10
    fine: Mapping[float, Sequence[float]] | None = None
    room: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Legend:
    """Where the names of marks are listed.

    `keys` are marks that are drawn in the legend alone. `layout` is what else matplotlib's legend takes.
    """

    where: str = "best"
    title: str = ""
    keys: Sequence[Mark] = ()
    layout: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """Axes and what is drawn in them, from the back to the front."""

    marks: Sequence[Mark]
    x: Axis = Axis()
    y: Axis = Axis()
    title: str = ""
    title_color: Any = "#000000"
    legend: Legend | None = None
    #: Whether a unit is as long along x as along y.
    square: bool = False
    frame: bool = True
    #: Points whose names print writes at the right of the panel.
    named: Points | None = None


@dataclass(frozen=True)
class ColourScale:
    """The bar that says what the colours of heat maps mean; `layout` is what else matplotlib's takes."""

    label: str
    layout: Mapping[str, Any] = field(default_factory=dict)


Shared = Literal["all", "row", "none"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plot:
    """Panels in rows; None leaves a place free.

    Attributes
    ----------
    rows : sequence of sequences of Panel
        All of one length.
    size : (float, float)
        Width and height in print, in inches.
    share_x, share_y : "all", "row" or "none"
        Which panels have one axis, with ticks at the outer ones.
    legend : Legend, optional
        Of all panels together.
    xlabel : str
        Label of the x axes of all panels together.
    colours : ColourScale, optional
        Of all heat maps together.
    outer_labels : bool
        Whether print writes the label of an axis once a row, or column, of panels that have the same.

    Examples
    --------
    >>> from kernel_collapse.report import interactive, printing
    >>> line = Line([1, 2, 4], [0.5, 0.25, 0.125], name="NNGP", color="#0072B2")
    >>> plot = Plot(rows=[[Panel(marks=[line], y=Axis(label="NC1", scale="log"), legend=Legend())]], size=(4, 3))
    >>> shown = interactive.convert(plot, printing.draw(plot).frames)
    >>> shown["data"][0]["y"], shown["panels"][0]["yaxis"]["type"]
    ([0.5, 0.25, 0.125], 'log')
    """

    rows: Sequence[Sequence[Panel | None]]
    size: tuple[float, float]
    share_x: Shared = "none"
    share_y: Shared = "none"
    legend: Legend | None = None
    xlabel: str = ""
    colours: ColourScale | None = None
    outer_labels: bool = True

    def panels(self) -> Iterator[tuple[int, int, Panel]]:
        """Yield every panel, with its row and column."""
        for i, row in enumerate(self.rows):
            for j, panel in enumerate(row):
                if panel is not None:
                    yield i, j, panel

    def legends(self) -> list[tuple[Legend, list[Mark]]]:
        """Return every legend with its entries: of each name the first mark, then the keys."""
        found = [(self.legend, [panel for _, _, panel in self.panels()])]
        found += [(panel.legend, [panel]) for _, _, panel in self.panels()]
        return [
            (legend, list(entries(chain.from_iterable(p.marks for p in panels), legend.keys)))
            for legend, panels in found
            if legend is not None
        ]


def entries(marks: Iterator[Mark], keys: Sequence[Mark]) -> Iterator[Mark]:
    """Yield of each name the first mark, in the order of their drawing, then the keys."""
    seen: dict[str, Mark] = {}
    for mark in chain(marks, keys):
        if mark.name:
            seen.setdefault(mark.name, mark)
    yield from seen.values()


@dataclass(frozen=True)
class Frame:
    """Where the axes of a panel begin and end in print: at the left or lower end first.

    `ticks` are those of a scale that is neither linear nor logarithmic.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    ticks: Mapping[Which, Sequence[float]]

    def ends(self, which: Which) -> tuple[float, float]:
        """Return where that axis begins and ends."""
        return self.x if which == "x" else self.y


# -- from tables


def means(table: pd.DataFrame, x: str, **line: Any) -> Line:
    """Return means over seeds as a line, and one standard deviation to either side as its band.

    The table is one of `kernel_collapse.report.intervals.summarise`, whose column `x` is along the x axis.
    """
    table = table.sort_values(x)
    low, high = table["mean"] - table["std"], table["mean"] + table["std"]
    return Line(table[x], table["mean"], low, high, **{"marker": "o"} | line)


def at(values: Sequence[Any], label: str, scale: Scale = "log") -> Axis:
    """Return an axis with a tick at each of the values."""
    return Axis(label=label, scale=scale, base=2, ticks={value: str(value) for value in values})
