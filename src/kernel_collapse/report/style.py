"""How figures look: one palette, the same kernel in the same colour everywhere."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kernel_collapse._names import ACTIVATION_NAMES, KERNEL_NAMES, NAMES

__all__ = [
    "ACTIVATION_NAMES",
    "CYCLE",
    "KERNEL_COLOURS",
    "KERNEL_MARKERS",
    "KERNEL_NAMES",
    "NAMES",
    "contrast",
    "on_dark",
    "readable",
    "sizes_palette",
    "style",
]

#: Colour-blind safe (Okabe and Ito).
KERNEL_COLOURS = {
    "data": "#777777",
    "nngp": "#0072B2",
    "ntk": "#D55E00",
    "ntk-published": "#CC79A7",
    "conv-nngp": "#117733",
    "conv-ntk": "#CC6677",
    "conv-nngp-gap": "#332288",
    "conv-ntk-gap": "#AA4499",
    "adaptive": "#009E73",
    "adaptive-published": "#E69F00",
    "deep-rfm": "#7A3E9D",
    "mean-field": "#56B4E9",
    "posterior": "#000000",
    "network": "#8B3A1A",
    "network-decayed": "#B39A00",
    "conv-network": "#44AA99",
    "conv-network-gap": "#882255",
    "empirical-nngp": "#0072B2",
    "empirical-ntk": "#D55E00",
}
KERNEL_MARKERS = {
    "data": "D",
    "nngp": "o",
    "ntk": "s",
    "ntk-published": "X",
    "conv-nngp": "^",
    "conv-ntk": "v",
    "conv-nngp-gap": "P",
    "conv-ntk-gap": "X",
    "adaptive": "^",
    "adaptive-published": "v",
    "deep-rfm": "p",
    "mean-field": "P",
    "posterior": "*",
    "network": "h",
    "network-decayed": "d",
    "conv-network": "<",
    "conv-network-gap": ">",
    "empirical-nngp": "o",
    "empirical-ntk": "s",
}
#: Of what has no colour of its own.
CYCLE = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
)
#: Where they are installed, for names in scripts that the first font lacks.
FURTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
)


@contextmanager
def style() -> Iterator[None]:
    """Draw with the library's settings, leaving the user's untouched."""
    import matplotlib as mpl
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    settings: Any = {
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": "medium",
        "figure.constrained_layout.use": True,
        "figure.dpi": 100,
        "font.family": ["DejaVu Sans", *(name for name in FURTHER_FONTS if name in installed)],
        "font.size": 9.5,
        "grid.alpha": 0.3,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "lines.markersize": 4.5,
        "savefig.dpi": 160,
        "svg.fonttype": "path",
        "svg.hashsalt": "kernel-collapse",
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # A box stands for what no font has: names in other scripts are no fault of whoever gave them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


#: Behind figures on a dark screen, and the least contrast of text (WCAG 2, level AA).
DARK = "#12161c"
CONTRAST = 4.5


def contrast(first: Any, second: Any) -> float:
    """Return the contrast of two colours as WCAG 2 defines it, from 1 to 21."""
    from matplotlib.colors import to_rgb

    def luminance(colour: Any) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def readable(colour: Any, background: str = "#ffffff") -> str:
    """Return the colour, mixed with as much black or white as text on that background needs."""
    from matplotlib.colors import to_hex, to_rgb

    ends = max(("#000000", "#ffffff"), key=lambda end: contrast(end, background))
    for share in range(0, 101, 4):
        pairs = zip(to_rgb(colour), to_rgb(ends), strict=True)
        red, green, blue = (c + (e - c) * share / 100 for c, e in pairs)
        mixed = str(to_hex((red, green, blue)))
        if contrast(mixed, background) >= CONTRAST:
            break
    return mixed


def on_dark(colour: str) -> str:
    """Return a colour of a figure as it is on a dark screen; white is the paper."""
    return DARK if colour == "#ffffff" else readable(colour, DARK)


def sizes_palette(n: int) -> list[Any]:
    """Return n colours in order, light to dark, all of them visible on white."""
    import matplotlib as mpl

    if n == 1:
        return [mpl.colormaps["viridis"](0.35)]
    return [mpl.colormaps["viridis"](0.85 * (1 - i / (n - 1))) for i in range(n)]
