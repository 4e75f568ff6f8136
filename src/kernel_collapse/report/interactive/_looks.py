"""How lines and markers look, in Plotly's words."""

from __future__ import annotations

from typing import Any

from kernel_collapse.report.interactive._text import hexed
from kernel_collapse.report.plot import Level, Line, Mark, Points

__all__ = ["PIXELS_A_POINT", "look_of"]

PIXELS_A_POINT = 100 / 72
#: Width of the edge of a hollow marker, in pixels.
EDGE = 1.5

SYMBOLS = {
    "": "",
    "o": "circle",
    "s": "square",
    "D": "diamond",
    "d": "diamond-tall",
    "^": "triangle-up",
    "v": "triangle-down",
    "X": "x",
    "x": "x-thin",
    "P": "cross",
    "*": "star",
    "h": "hexagon",
    "p": "pentagon",
}
#: In widths of the line, as matplotlib has them: dash, gap, dash, gap.
DASHES: dict[str, tuple[float, ...]] = {"-": (), "--": (3.7, 1.6), ":": (1, 1.65), "-.": (6.4, 1.6, 1, 1.6)}


def look_of(mark: Mark) -> dict[str, Any]:
    """Return how a mark looks, its line and its markers."""
    colour = hexed(mark.color)
    look: dict[str, Any] = {"color": colour}
    if isinstance(mark, Line | Level):
        dashes = DASHES[mark.dashes] if isinstance(mark.dashes, str) else mark.dashes[1]
        look["line"] = {"color": colour, "width": round(mark.width * PIXELS_A_POINT, 2)}
        if dashes:
            pixels = (length * mark.width * PIXELS_A_POINT for length in dashes)
            look["line"]["dash"] = ",".join(f"{length:.1f}px" for length in pixels)
    if isinstance(mark, Line | Points) and mark.marker:
        size = mark.size if isinstance(mark, Points) else Points.size
        look["marker"] = _marker(mark, colour) | {"size": round(size * PIXELS_A_POINT, 1)}
    look["mode"] = "+".join(["lines"] * ("line" in look) + ["markers"] * ("marker" in look))
    return look


def _marker(mark: Line | Points, colour: str) -> dict[str, Any]:
    """Return a marker: open if nothing fills it, and with an edge if that is of another colour than its face.

    A face that is white hides what lies behind it, as it does in print; Plotly's open symbols do not.
    """
    symbol = SYMBOLS[mark.marker]
    if symbol.endswith("-thin") or mark.face == "none":  # strokes alone
        return {"symbol": f"{symbol}-open", "color": colour, "line": {"width": EDGE}}
    face = colour if mark.face is None else hexed(mark.face)
    edge = {"width": 0} if face == colour else {"width": EDGE, "color": colour}
    return {"symbol": symbol, "color": face, "line": edge}
