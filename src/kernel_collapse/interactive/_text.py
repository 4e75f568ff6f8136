"""Text, numbers and colours as Plotly takes them."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

__all__ = ["hexed", "markup", "numbers", "plain"]

DIGITS = 6

_MATHS = {r"\log": "log", r"\pm": "±", r"\infty": "∞", r"\,": "\u2009", "-": "−"} | {
    rf"\{name}": letter
    for name, letter in zip(
        ("sigma", "Sigma", "chi", "Delta", "kappa", "lambda", "phi", "alpha"), "σΣχΔκλφα", strict=True
    )
}


def markup(text: str) -> str:
    r"""Return text with simple mathematics as HTML.

    Examples
    --------
    >>> markup(r"$\log_{10}$ NC1 of $\sigma_w^2$ & more")
    'log<sub>10</sub> NC1 of σ<sub>w</sub><sup>2</sup> &amp; more'
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    parts = text.split("$")
    return "".join(_mathematics(part) if i % 2 else part for i, part in enumerate(parts)).replace(
        "\n", "<br>"
    )


def _mathematics(text: str) -> str:
    for name, letter in _MATHS.items():
        text = text.replace(name, letter)
    for mark, tag in (("_", "sub"), (r"\^", "sup")):
        text = re.sub(rf"{mark}(?:\{{([^{{}}]*)\}}|(.))", rf"<{tag}>\1\2</{tag}>", text)
    return text


def plain(html: str) -> str:
    """Return markup as text."""
    text = re.sub("<[^>]*>", "", html.replace("<br>", ", ").replace("<sup>", "^"))
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def hexed(colour: Any) -> str:
    from matplotlib.colors import to_hex

    return str(to_hex(colour)).lower()


def numbers(values: Any, digits: int = DIGITS) -> list[Any]:
    """Return numbers of few digits; None for what is none."""
    return [
        number(float(value), digits) for value in np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)
    ]


def number(value: float, digits: int) -> float | int | None:
    if not math.isfinite(value):
        return None
    value = float(f"{value:.{digits}g}")
    return int(value) if value.is_integer() and abs(value) < 1e15 else value
