"""Figures as files: PDF, SVG and PNG, the same bytes every time."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from kernel_collapse._files import atomic_write
from kernel_collapse.report.style import style

if TYPE_CHECKING:
    from pathlib import Path

    from kernel_collapse.report.parts import Figure

__all__ = ["lay_out", "save"]


def lay_out(figure: Figure) -> None:
    """Place what a figure holds, once for all its forms: `savefig` would do so for each, and twice."""
    import matplotlib as mpl

    with style():
        engine = figure.figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure.figure)
        figure.figure.set_layout_engine("none")
        figure.figure.set_dpi(mpl.rcParams["savefig.dpi"])


def save(figure: Figure, folder: Path) -> None:
    """Save a figure in three formats."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    drawn = figure.figure
    with style():  # saving has settings too: resolution, and names inside SVG that are the same every time
        for kind, save, about in (
            ("png", FigureCanvasAgg(drawn).print_png, {}),
            ("pdf", FigureCanvasPdf(drawn).print_pdf, {"CreationDate": None}),
            ("svg", FigureCanvasSVG(drawn).print_svg, {"Date": None}),
        ):
            picture = io.BytesIO()
            save(picture, metadata=about)
            with atomic_write(folder / f"{figure.name}.{kind}") as part:
                part.write_bytes(picture.getvalue())
