"""How lines and markers look, in Plotly's words."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_collapse.report.interactive._text import hexed

__all__ = ["PIXELS_A_POINT", "is_nothing", "look_of", "look_of_marks"]

PIXELS_A_POINT = 100 / 72
#: Width of the edge of a hollow marker, in pixels.
EDGE = 1.5

SYMBOLS = {
    "o": "circle",
    ".": "circle",
    "s": "square",
    "D": "diamond",
    "d": "diamond-tall",
    "^": "triangle-up",
    "v": "triangle-down",
    "<": "triangle-left",
    ">": "triangle-right",
    "X": "x",
    "x": "x-thin",
    "P": "cross",
    "+": "cross-thin",
    "*": "star",
    "h": "hexagon",
    "p": "pentagon",
    "|": "line-ns",
    "_": "line-ew",
}
#: Where a line that goes in steps turns.
STEPS = {"steps": "vh", "steps-pre": "vh", "steps-mid": "hvh", "steps-post": "hv"}


def is_nothing(style: Any) -> bool:
    """Return whether a style of a line or marker, or its colour, is that nothing is drawn."""
    return style is None or (isinstance(style, str) and style.lower() in ("none", "", " "))


def look_of(line: Any) -> dict[str, Any]:
    """Return how a line and its markers look."""
    colour = hexed(line.get_color())
    drawn, marked = not is_nothing(line.get_linestyle()), not is_nothing(line.get_marker())
    look: dict[str, Any] = {
        "color": colour,
        "mode": "+".join(["lines"] * drawn + ["markers"] * marked) or "none",
    }
    if drawn:
        dashes = getattr(line, "_dash_pattern", (0, None))[1]  # in points; the named styles have theirs
        look["line"] = {"color": colour, "width": round(line.get_linewidth() * PIXELS_A_POINT, 2)}
        if dashes:
            look["line"]["dash"] = ",".join(f"{length * PIXELS_A_POINT:.1f}px" for length in dashes)
        if line.get_drawstyle() in STEPS:
            look["line"]["shape"] = STEPS[line.get_drawstyle()]
    if marked:
        face = None if line.get_fillstyle() == "none" else line.get_markerfacecolor()
        size = line.get_markersize() * (0.5 if line.get_marker() == "." else 1)
        look["marker"] = {
            **_marker(str(line.get_marker()), face, line.get_markeredgecolor()),
            "size": round(size * PIXELS_A_POINT, 1),
        }
    return look


def look_of_marks(marks: Any) -> dict[str, Any]:
    """Return how the marks of a scatter plot look; what all of them share is one value."""
    marks.update_scalarmappable()  # colours that stand for numbers are known when it is drawn
    faces, edges = marks.get_facecolors(), marks.get_edgecolors()
    sizes = [round(size, 1) for size in np.sqrt(marks.get_sizes()) * PIXELS_A_POINT]
    looks = [
        _marker(_marker_of(marks), _nth(faces, i), _nth(edges, i))
        for i in range(max(len(faces), len(edges), 1))
    ]
    first = looks[0]
    return {
        "symbol": _one([look["symbol"] for look in looks]),
        "color": _one([look["color"] for look in looks]),
        "size": _one([float(size) for size in sizes]),
        "line": {
            "width": _one([look["line"]["width"] for look in looks]),
            **(
                {"color": _one([look["line"].get("color") for look in looks])}
                if "color" in first["line"]
                else {}
            ),
        },
    }


def _nth(colours: Any, i: int) -> Any:
    return colours[i % len(colours)] if len(colours) else None


def _one(values: list[Any]) -> Any:
    return values[0] if len(set(values)) == 1 else values


def _marker(name: str, face: Any, edge: Any) -> dict[str, Any]:
    """Return a marker: open if nothing fills it, and with an edge if that is of another colour than its face.

    A face that is white hides what lies behind it, as it does in print; Plotly's open symbols do not.
    """
    symbol = SYMBOLS.get(name, "circle")
    if symbol.endswith(("-thin", "-ns", "-ew")):  # strokes alone
        return {
            "symbol": f"{symbol}-open",
            "color": hexed(edge if not is_nothing(edge) else face),
            "line": {"width": EDGE},
        }
    if is_nothing(face) or (len(face) == 4 and not isinstance(face, str) and face[3] == 0):
        return {"symbol": f"{symbol}-open", "color": hexed(edge), "line": {"width": EDGE}}
    colour = hexed(face)
    if is_nothing(edge) or hexed(edge) == colour:
        return {"symbol": symbol, "color": colour, "line": {"width": 0}}
    return {"symbol": symbol, "color": colour, "line": {"width": EDGE, "color": hexed(edge)}}


def _marker_of(marks: Any) -> str:
    from matplotlib.markers import MarkerStyle

    drawn: Any = marks.get_paths()[0].vertices
    for marker in SYMBOLS:
        style = MarkerStyle(marker)
        known: Any = style.get_path().transformed(style.get_transform()).vertices
        if known.shape == drawn.shape and np.allclose(known, drawn):
            return marker
    return "o"
