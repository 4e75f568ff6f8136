"""What a sweep found at a glance: a table of means over seeds, and a figure that chooses its axes by itself."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kernel_collapse._text import for_figure, told_apart, visible
from kernel_collapse.report.intervals import summarise
from kernel_collapse.report.parts import Figure, Table
from kernel_collapse.report.plot import Axis, Legend, Level, Mark, Panel, Plot, Points, means
from kernel_collapse.report.style import CYCLE, KERNEL_COLOURS, KERNEL_MARKERS, NAMES
from kernel_collapse.runs.tidy import MEASUREMENT

__all__ = ["figure", "swept", "table"]

VALUE = "nc1_paper"
#: More than these are not told apart: a parameter is then held at its first value.
MOST_LINES, MOST_PANELS = 12, 9
#: Most rows of the table in a page; the others are in the store.
MOST_ROWS = 2000

#: What tells which law or table the data are.
_SOURCE = ("data", "data_law", "data_name")
_LINESTYLES = ("-", "--", ":", "-.", (0, (1, 2)), (0, (6, 1)), (0, (5, 1, 1, 1, 1, 1)))


def swept(frame: pd.DataFrame) -> dict[str, int]:
    """Return the parameters of which the rows have several values, and how many one law, or kernel, has at most."""
    parameters = frame.columns[: frame.columns.get_loc("status")]
    fixed = ("key", "seed", "data_sha256")  # files of different content have different names
    found = {}
    for name in parameters:
        values = frame[name].map(repr)
        within = values.groupby(frame["kernel" if name in MEASUREMENT else "data_law"]).nunique().max()
        if name not in fixed and max(within, values[frame[name].notna()].nunique()) > 1:
            found[name] = int(within)
    return found


def table(frame: pd.DataFrame) -> Table:
    """Return mean and standard deviation of NC1 over seeds, a row for each cell of the grid."""
    varied = [name for name in swept(frame) if name not in ("data", "data_law", "data_name")]
    cells = ["data", *(name for name in varied if name not in MEASUREMENT)]
    cells += ["kernel", *(name for name in varied if name in MEASUREMENT and name != "kernel")]
    plain = _hashable(frame.assign(data=[_source(row) for row in _records(frame, _SOURCE)]), cells)
    plain = _once(plain, cells)
    means = summarise(plain, VALUE, cells).rename(columns={"mean": "NC1", "std": "standard deviation"})
    for name in cells:
        if means[name].isna().any() or means[name].dtype.kind == "f":
            means[name] = _texts(means[name])
    note = "NC1 under the weighting of the paper, mean and standard deviation over seeds."
    if len(means) > MOST_ROWS:
        note += f" The first {MOST_ROWS} of {len(means)} rows; `kernel-collapse results` writes them all."
    return Table("NC1 of every cell", means.head(MOST_ROWS).rename(columns=_short), note)


def figure(frame: pd.DataFrame) -> Figure:
    """Draw NC1 against the parameter that has most values: a line a measurement, a panel a data set."""
    rows = frame[frame[VALUE].notna()].copy()
    axes_ = _choose(rows)
    rows = _hashable(rows, [*axes_.lines, *axes_.panels])
    rows = _once(rows, [name for name in (axes_.x, *axes_.lines, *axes_.panels) if name is not None])
    rows = rows.assign(
        **{
            name: _texts(rows[name], None)
            for name in (*axes_.lines, *axes_.panels)
            if rows[name].dtype.kind == "f"
        }
    )
    rows, held = _hold(rows, axes_)
    rows["line"] = [_line(row) for row in _records(rows, axes_.lines)]
    rows["panel"] = [_panel(row) for row in _records(rows, axes_.panels)]
    lines = list(dict.fromkeys(rows["line"]))[:MOST_LINES]
    panels = list(dict.fromkeys(rows["panel"]))[:MOST_PANELS]
    across = min(len(panels), 3)
    down = -(-len(panels) // across)
    x, y = _axes(rows, axes_.x, lines)
    drawn: list[Panel | None] = []
    for panel in panels:
        inside = rows[rows["panel"] == panel]
        marks = _dots(inside, lines) if axes_.x is None else _curves(inside, axes_.x, lines)
        drawn.append(Panel(marks=marks, x=x, y=y, title=_wrapped(panel, 36)))
    drawn += [None] * (down * across - len(drawn))
    plot = Plot(
        rows=[drawn[i : i + across] for i in range(0, len(drawn), across)],
        size=(3.2 * across + 2.2, (3.2 if axes_.x else 1.4 + 0.3 * len(lines)) * down),
        share_x="all",
        share_y="all",
        legend=Legend(where="outside right upper") if axes_.x else None,
        outer_labels=False,
    )
    caption = "NC1, mean and one standard deviation over seeds" + (
        f", against {_short(axes_.x)}" if axes_.x else ""
    )
    left_out = len(set(rows["line"])) - len(lines) + len(set(rows["panel"])) - len(panels)
    caption += "".join(f"; {_short(name)} = {value}" for name, value in held.items())
    caption += "." + (" Not every line or panel is drawn: the table has all." if left_out or held else "")
    return Figure("nc1", caption, plot)


class _Axes(NamedTuple):
    """The parameter along x, those that make a line and those that make a panel."""

    x: str | None
    lines: list[str]
    panels: list[str]


def _choose(rows: pd.DataFrame) -> _Axes:
    varied = swept(rows)
    numeric = [name for name in varied if rows[name].dtype.kind in "iuf"]
    x = max(numeric, key=lambda name: varied[name], default=None)
    told = [name for name, values in varied.items() if values > 1 and name != x]
    lines = [name for name in told if name in MEASUREMENT and name not in ("kernel", "activation")]
    panels = [name for name in told if name not in MEASUREMENT and name not in _SOURCE]
    return _Axes(x, ["kernel", "activation", *lines], [*(name for name in _SOURCE if name in rows), *panels])


def _hold(rows: pd.DataFrame, axes_: _Axes) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the rows of fewer lines and panels, and the parameters that are held for it, at their first values."""
    held: dict[str, str] = {}
    for names, most, label in ((axes_.lines[2:], MOST_LINES, _line), (axes_.panels, MOST_PANELS, _panel)):
        chosen = axes_.lines if label is _line else axes_.panels
        spare = [name for name in names if name not in _SOURCE]
        while spare and len({label(row) for row in _records(rows, chosen)}) > most:
            name = max(spare, key=lambda name: rows[name].nunique())
            spare.remove(name)
            groups = rows.groupby("kernel" if name in MEASUREMENT else "data_law")[name]
            first = groups.transform("first")
            several = groups.transform("nunique") > 1
            held[name] = " or ".join(map(_said, dict.fromkeys(first[several])))
            rows = rows[~several | (rows[name] == first)]
    return rows, held


def _records(rows: pd.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    return rows[[name for name in names if name in rows]].to_dict("records")


def _line(row: dict[str, Any]) -> str:
    kernel, activation = NAMES.get(row["kernel"], row["kernel"]), row.get("activation")
    named = kernel if _missing(activation) else f"{NAMES.get(str(activation), activation)} {kernel}"
    rest = [
        f"{k} {_said(v)}" for k, v in row.items() if k not in ("kernel", "activation") and not _missing(v)
    ]
    return _wrapped(", ".join([named, *rest]), 40)


def _wrapped(text: str, width: int) -> str:
    """Return text for a figure, in lines that are no longer."""
    return "\n".join(map(for_figure, textwrap.wrap(visible(text), width))) or for_figure(text)


def _source(row: dict[str, Any]) -> str:
    """Return the name of the law, or of the table."""
    law = row["data_law"]
    return str(row["data_name"] if law == "shipped" else row["data"] if law == "file" else law)


def _panel(row: dict[str, Any]) -> str:
    rest = [f"{_short(k)} {_said(v)}" for k, v in row.items() if k not in _SOURCE and not _missing(v)]
    return ", ".join([_source(row), *rest])


def _short(name: str) -> str:
    """Return an option of a law as the sweep names it, unless a measurement has one of that name."""
    option = name.removeprefix("data_")
    return name if option in MEASUREMENT else option


def _curves(rows: pd.DataFrame, x: str, lines: list[str]) -> list[Mark]:
    """Return a line a measurement; one that does not depend on x is level."""
    marks: list[Mark] = []
    for line in lines:
        mine = rows[rows["line"] == line]
        if mine.empty:
            continue
        look = _look(mine.iloc[0], rows, lines.index(line))
        if mine[x].isna().all():
            look.pop("marker")
            marks.append(Level(mine[VALUE].mean(), name=line, **look))
        else:
            marks.append(means(summarise(mine, VALUE, [x]), x, name=line, **look))
    return marks


def _dots(rows: pd.DataFrame, lines: list[str]) -> list[Mark]:
    """Return a dot a measurement, where no number was swept."""
    marks: list[Mark] = []
    for i, line in enumerate(reversed(lines)):
        values = rows.loc[rows["line"] == line, VALUE]
        if len(values):
            colour = KERNEL_COLOURS.get(rows.loc[values.index[0], "kernel"], CYCLE[i % len(CYCLE)])
            mean, std = values.mean(), values.std()
            look: dict[str, Any] = {"along": "x", "cap": 2, "color": colour, "names": [line]}
            marks.append(Points([mean], [i], [mean - std], [mean + std], **look))
    return marks


def _look(row: pd.Series[Any], rows: pd.DataFrame, number: int) -> dict[str, Any]:
    """Return a kernel's colour and marker, an activation's dashes, and lighter lines for what else differs."""
    activations = [a for a in dict.fromkeys(rows["activation"]) if not _missing(a)]
    same = (rows["kernel"] == row["kernel"]) & (rows["activation"] == row["activation"])
    others = list(dict.fromkeys(rows.loc[same, "line"]))
    shade = others.index(row["line"]) / len(others) if row["line"] in others else 0.0
    dashes = activations.index(row["activation"]) if row["activation"] in activations else 0
    return {
        "color": KERNEL_COLOURS.get(row["kernel"], CYCLE[number % len(CYCLE)]),
        "marker": KERNEL_MARKERS.get(row["kernel"], "o"),
        "dashes": _LINESTYLES[dashes % len(_LINESTYLES)],
        "alpha": 1.0 - 0.7 * shade,
    }


def _axes(rows: pd.DataFrame, x: str | None, lines: list[str]) -> tuple[Axis, Axis]:
    """Return both axes: logarithmic where values are positive, and along x spread."""
    of_values = Axis(label="NC1", scale="log" if (rows[VALUE] > 0).all() else "linear")
    if x is None:
        return of_values, Axis(ticks=dict(enumerate(reversed(lines))), rows=True)
    values = np.unique(rows[x].dropna())
    spread = values.min() > 0 and values.max() >= 8 * values.min()
    few = dict(told_apart(values.tolist(), 3)) if len(values) <= 8 else None
    return Axis(label=_short(x), scale="log" if spread else "linear", ticks=few), of_values


def _hashable(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the table with text in place of what is neither that nor a number, so that rows can be grouped by it."""
    objects = [name for name in names if name in frame and frame[name].dtype.kind == "O"]
    return frame.assign(**{name: [None if _missing(v) else str(v) for v in frame[name]] for name in objects})


def _once(rows: pd.DataFrame, cells: Sequence[str]) -> pd.DataFrame:
    """Return the rows without those that say of a seed of a cell what another says: a seed counts once."""
    cells = [name for name in cells if name in rows]
    return rows.drop_duplicates([*cells, *(name for name in ("seed", VALUE) if name not in cells)])


def _texts(values: pd.Series[Any], missing: str | None = "–") -> pd.Series[Any]:
    """Return the values of a parameter as text in which different ones differ."""
    said = told_apart(value for value in values if isinstance(value, float) and not _missing(value))
    return values.map(lambda value: missing if _missing(value) else said.get(value, str(value)))


def _missing(value: Any) -> bool:
    return value is None or value != value


def _said(value: Any) -> str:
    return "–" if _missing(value) else str(value)
