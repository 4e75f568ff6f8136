"""Text, numbers and colours as Plotly takes them."""

from __future__ import annotations

import math
import re
from html import unescape
from typing import Any

import numpy as np

__all__ = ["escaped", "hexed", "hover", "markup", "numbers", "plain"]

DIGITS = 6

_MATHS = {r"\log": "log", r"\pm": "±", r"\infty": "∞", r"\,": "\u2009", "-": "−"} | {
    rf"\{name}": letter
    for name, letter in zip(
        ("sigma", "Sigma", "chi", "Delta", "kappa", "lambda", "phi", "alpha"), "σΣχΔκλφα", strict=True
    )
}


def escaped(text: str) -> str:
    """Return text as HTML, and the part of it that Plotly knows, shows it as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markup(text: str) -> str:
    r"""Return text with simple mathematics as HTML; an escaped dollar is one, as in matplotlib.

    Examples
    --------
    >>> markup(r"$\log_{10}$ NC1 of $\sigma_w^2$ & more")
    'log<sub>10</sub> NC1 of σ<sub>w</sub><sup>2</sup> &amp; more'
    """
    text = escaped(text)
    parts = re.split(r"(?<!\\)\$", text)
    if len(parts) % 2 == 0:  # matplotlib takes none of it for mathematics
        parts = [text]
    html = "".join(_mathematics(part) if i % 2 else part.replace(r"\$", "$") for i, part in enumerate(parts))
    return html.replace("$", "&#36;").replace("\n", "<br>")  # Plotly asks MathJax for what is between dollars


def _mathematics(text: str) -> str:
    for name, letter in _MATHS.items():
        text = text.replace(name, letter)
    for mark, tag in (("_", "sub"), (r"\^", "sup")):
        text = re.sub(rf"{mark}(?:\{{([^{{}}]*)\}}|(.))", rf"<{tag}>\1\2</{tag}>", text)
    return text


def hover(html: str) -> str:
    """Return markup that stays as it is in a template of Plotly's, which fills in what follows a percent sign."""
    return html.replace("%", "&#37;")


def plain(html: str) -> str:
    """Return markup as text."""
    text = re.sub("<[^>]*>", "", html.replace("<br>", ", ").replace("<sup>", "^"))
    return unescape(text)


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
