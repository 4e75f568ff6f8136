"""One self-contained HTML page of sections: facts, verdicts, figures, tables, environment."""

from __future__ import annotations

import base64
import gzip
import json
import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kernel_collapse._files import atomic_write
from kernel_collapse._text import for_html, lines_for_html, visible
from kernel_collapse.report import interactive
from kernel_collapse.report.pictures import lay_out, save
from kernel_collapse.report.style import NAMES, on_dark

if TYPE_CHECKING:
    from pathlib import Path

    import jinja2
    import pandas as pd

    from kernel_collapse.report.parts import Section

__all__ = ["write_page"]

#: The folder of the figures, beside the page.
FIGURES = "figures"
#: Longer tables are written when their box is opened.
MOST_ROWS = 30
#: How a verdict is marked besides by its colour and words, and the class of its colour.
MARKS = {
    "holds": ("✓", "holds"),
    "holds in part": ("◐", "part"),
    "does not hold": ("✗", "fails"),
    "undecided": ("?", "undecided"),
}


def write_page(
    path: Path,
    *,
    title: str,
    lead: str,
    facts: dict[str, str],
    sections: list[Section],
    about: dict[str, str],
    failures: pd.DataFrame | None = None,
    unresolved: pd.DataFrame | None = None,
    notes: list[str] | None = None,
    pictures: bool = True,
) -> Path:
    """Write one self-contained page; with `pictures`, its figures too, in the folder "figures" beside it."""
    beside = path.parent / FIGURES if pictures else None
    (beside or path.parent).mkdir(parents=True, exist_ok=True)
    shown: dict[str, dict[str, Any]] = {}
    colours: set[str] = set()
    tables: list[dict[str, Any]] = []
    for section in sections:
        for figure in section.figures:
            lay_out(figure)
            if beside is not None:
                save(figure, beside)
            colours |= interactive.colours(figure.plot)
            shown[figure.name] = interactive.convert(figure.plot, figure.printed.frames)

    def keep(frame: pd.DataFrame, name: str) -> int:
        """Keep a table for saving, and return its number."""
        tables.append(_numbers_of(frame, name))
        return len(tables) - 1

    written_figures = json.dumps(shown, separators=(",", ":"))
    html = _template().render(
        title=title,
        lead=lead,
        facts=facts,
        notes=notes or [],
        sections=sections,
        failures=failures,
        unresolved=unresolved,
        environment=about,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        folder=FIGURES if pictures else "",
        seen={name: interactive.describe(figure) for name, figure in shown.items()},
        figures=_packed(written_figures) if shown else "",
        dark=json.dumps({colour: on_dark(colour) for colour in sorted(colours)}),
        plotly=_plotly_script() if shown else "",
        marks=MARKS,
        counts=_count_verdicts(sections),
        opens_with=_opens_with(sections),
        most_rows=MOST_ROWS,
        keep=keep,
        tables=lambda: _packed(json.dumps(tables, separators=(",", ":"), ensure_ascii=False)),
    )
    with atomic_write(path) as part:
        part.write_bytes(html.encode())
    return path


def _opens_with(sections: list[Section]) -> dict[str, str]:
    """Return the figure of the finding of each section that has both."""
    return {
        section.name: section.finding.figure
        for section in sections
        if section.finding and any(figure.name == section.finding.figure for figure in section.figures)
    }


def _count_verdicts(sections: list[Section]) -> dict[str, int]:
    statuses = [verdict.status for section in sections for verdict in section.verdicts]
    return {status: statuses.count(status) for status in MARKS}


def _packed(text: str) -> str:
    """Return text compressed, as a page can hold it."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@lru_cache(maxsize=1)
def _plotly_script() -> str:
    from plotly.offline import get_plotlyjs

    return _packed(str(get_plotlyjs()))


def _cell(value: Any) -> str:
    """Return a table's entry as text: four digits of a real number, sizes with a slash, names as in figures."""
    if isinstance(value, tuple):
        return visible(" / ".join(map(str, value)))
    if isinstance(value, float):
        if math.isnan(value):
            return "–"
        return f"{value:.4g}".replace("-", "−")
    return NAMES.get(value, visible(value))


def _numbers_of(frame: pd.DataFrame, title: str) -> dict[str, Any]:
    """Return a table as the page saves it: six digits of a real number, None for what is none."""

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.6g}") if math.isfinite(value) else None
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else _cell(value)

    return {
        "title": visible(title),
        "columns": [_cell(column) for column in frame.columns],
        "numeric": [_is_number(frame[column]) for column in frame.columns],
        "rows": [list(map(plain, row)) for row in frame.itertuples(index=False)],
    }


def _is_number(column: pd.Series[Any]) -> bool:
    """Whether a column of a table is set flush right."""
    return bool(column.dtype.kind in "iuf")


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    import jinja2

    environment_ = jinja2.Environment(
        loader=jinja2.PackageLoader("kernel_collapse.report"),
        autoescape=True,
        finalize=for_html,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment_.filters["cell"] = _cell
    environment_.filters["lines"] = lines_for_html
    environment_.tests["number"] = _is_number
    return environment_.get_template("report.html.j2")
