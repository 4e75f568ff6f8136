"""One self-contained HTML page of a run: figures, tables, environment, and a verdict on each claim."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import os
import platform
import re
import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel_collapse import _extras

_extras.require("cli", "reports")

from pydantic import ValidationError

from kernel_collapse._linalg import one_blas_thread
from kernel_collapse._text import for_file, for_html, lines_for_html, named, visible
from kernel_collapse.report import interactive, overview
from kernel_collapse.report.parts import Figure, Table, Verdict
from kernel_collapse.report.style import NAMES, on_dark, style
from kernel_collapse.runs import _run_rows, tidy
from kernel_collapse.runs.experiments import Preset
from kernel_collapse.runs.store import Store
from kernel_collapse.runs.sweep_file import Sweep, describe
from kernel_collapse.runs.trials import describe_errors

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

    from kernel_collapse.runs.trials import Trial

__all__ = ["Built", "Section", "build", "environment", "write_page"]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__


FILE = "report.html"
FIGURES = "figures"
#: Longer tables are written when their box is opened.
MOST_ROWS = 40
#: How a verdict is marked besides by its colour and words, and the class of its colour.
MARKS = {
    "holds": ("✓", "holds"),
    "holds in part": ("◐", "part"),
    "does not hold": ("✗", "fails"),
    "undecided": ("?", "undecided"),
}


@dataclass(frozen=True)
class Section:
    """A part of the page: an experiment, or a user's measurement.

    `specification` says what made it, as `kernel_collapse.runs.sweep_file.describe` does; `command` makes it again,
    from the text of a sweep, `toml`, if it is one.
    """

    name: str
    title: str
    question: str
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    specification: list[tuple[str, str]] = field(default_factory=list)
    command: str = ""
    toml: str = ""


class Built(NamedTuple):
    """The page that was written, and what is on it: of which experiments and preset, and how far they went."""

    path: Path
    sections: list[Section]
    experiments: list[str]
    facts: dict[str, str]


@one_blas_thread()  # on a busy machine the threads of a small solve wait for one another
def build(folder: str | Path, page: str | Path | None = None) -> Built:
    """Write the report of a run from its stored rows, and its figures as PDF, SVG and PNG.

    Parameters
    ----------
    folder : path
        Folder of a run, as `kernel-collapse reproduce` or `run` made it; a run that is not complete is reported
        as far as it went.
    page : path, optional
        Write the page alone there, one file that can be sent on; by default it is report.html in the folder, and
        the figures lie beside it.

    Raises
    ------
    ValueError
        If the folder holds no run, or a run without a finished trial.
    """
    with Store(folder) as store:
        about = store.about()
        if "experiments" not in about:
            return _build_sweep(Path(folder), about, page, [row.trial for row in store.rows()])
        run = _run_rows.read(store)
    if run.unknown and not run.by_experiment:
        raise ValueError(
            f"the run in {str(folder)!r} is of experiments that this version does not know "
            f"({', '.join(run.unknown)}), expected some of `kernel-collapse reproduce --list`: report it with the "
            f"version that made it ({about.get('environment', {}).get('kernel-collapse', 'not recorded')})."
        )
    _refuse_unfinished(run.rows, folder)
    sections = [_section(part, about["preset"]) for part in run.by_experiment.values()]
    facts = {"Preset": about["preset"], **_counts(run.rows, run.planned)}
    path = write_page(
        Path(page or Path(folder) / FILE),
        title="How collapsed are kernels?",
        lead="Neural Collapse (NC1) measured from the Gram matrices of kernels, and what that says of each claim.",
        facts=facts,
        sections=sections,
        failures=_failures(run.rows),
        about=about.get("environment", {}),
        pictures=page is None,
        notes=[
            f"This version does not know the experiment {name!r}: it is left out." for name in run.unknown
        ],
    )
    return Built(path, sections, list(run.by_experiment), facts)


def _section(part: _run_rows.ExperimentRows, preset: Preset) -> Section:
    """Draw, tabulate and judge an experiment."""
    experiment, trials, rows = part
    if not part.far_enough:
        return Section(experiment.name, experiment.title, "Too few trials of it have finished yet.")
    return Section(
        experiment.name,
        experiment.title,
        experiment.question,
        experiment.figures(rows),
        experiment.tables(rows),
        experiment.verdicts(rows),
        describe(trials),
        _remake(experiment.name, preset),
    )


def _build_sweep(folder: Path, about: dict[str, Any], page: str | Path | None, trials: list[Trial]) -> Built:
    """Write the report of a sweep of the user's: means over seeds and a figure, without a verdict.

    Of trials that a program of the user's ran, the rows are all that there is: `trials` is theirs.
    """
    name, command = folder.resolve().name, ""
    title: str | None = None
    if "specification" in about:
        try:
            sweep = Sweep.model_validate(about["specification"])
        except ValidationError as error:
            raise ValueError(
                f"the sweep in {str(folder)!r} is none of this version ({describe_errors(error).rstrip('.')}): report "
                "it with the version that made it; `kernel-collapse results` writes its rows."
            ) from None
        name, title, trials = sweep.name, sweep.title, sweep.trials()
        command = shlex.join(["kernel-collapse", "run", f"{name}.toml", "--out", f"runs/{for_file(name)}"])
    rows = tidy.results(folder)
    _refuse_unfinished(rows, folder)
    done = rows[rows["status"] == "ok"]
    section = Section(
        "sweep",
        "NC1 of every cell",
        "NC1 = tr S_W / tr S_B: the spread within classes over the spread between them; lower is more collapsed.",
        [overview.figure(done)] if done[overview.VALUE].notna().any() else [],
        [overview.table(done)],
        specification=describe(trials),
        command=command,
        toml=about.get("toml", ""),
    )
    facts = {
        "Sweep": f"{name}.toml" if command else f"{name}, run from Python",
        "Seeds": str(len({trial.seed for trial in trials})),
        **_counts(rows, len(trials)),
    }
    path = write_page(
        Path(page or folder / FILE),
        title=title or named(name),
        lead="A sweep of kernel-collapse: Neural Collapse (NC1) of every data set under every measurement.",
        facts=facts,
        sections=[section],
        failures=_failures(rows),
        about=about.get("environment", {}),
        pictures=page is None,
    )
    return Built(path, [section], [], facts)


def _remake(name: str, preset: str) -> str:
    """Return the command that makes the figures of an experiment again."""
    return f"kernel-collapse reproduce {name} --preset {preset} --out runs/{name}-{preset}"


def _refuse_unfinished(rows: pd.DataFrame, folder: str | Path) -> None:
    if rows.empty or not (rows["status"] == "ok").any():
        raise ValueError(f"the run in {str(folder)!r} has no finished trial, expected some: resume it first.")


def _failures(rows: pd.DataFrame) -> pd.DataFrame:
    columns = ["key", "data", "n", "dim", "seed", "kernel", "activation", "message"]
    return rows.loc[rows["status"] != "ok", columns]


def _counts(rows: pd.DataFrame, planned: int) -> dict[str, str]:
    failed, late = (int((rows["status"] == status).sum()) for status in ("failed", "timeout"))
    over = f", {late} over their time limit" if late else ""
    to_go = f", {planned - len(rows)} to go" if planned > len(rows) else ""
    return {
        "Trials": f"{len(rows) - failed - late} finished, {failed} failed{over}{to_go}",
        "Computing time": f"{rows['seconds'].sum():.1f} s on one core",
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
    notes: list[str] | None = None,
    pictures: bool = True,
) -> Path:
    """Write one self-contained page; with `pictures`, its figures too, in the folder "figures" beside it."""
    beside = path.parent / FIGURES if pictures else None
    (beside or path.parent).mkdir(parents=True, exist_ok=True)
    shown: dict[str, dict[str, Any]] = {}
    tables: list[dict[str, Any]] = []
    for section in sections:
        for figure in section.figures:
            _lay_out(figure)
            if beside is not None:
                _save(figure, beside)
            shown[figure.name] = interactive.convert(figure.figure)

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
        environment=about,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        folder=FIGURES if pictures else "",
        seen={name: interactive.describe(figure) for name, figure in shown.items()},
        figures=_packed(written_figures) if shown else "",
        dark=json.dumps(_dark(written_figures)),
        plotly=_plotly_script() if shown else "",
        marks=MARKS,
        counts=_count_verdicts(sections),
        most_rows=MOST_ROWS,
        keep=keep,
        tables=lambda: _packed(json.dumps(tables, separators=(",", ":"), ensure_ascii=False)),
    )
    _write(path, html.encode())
    return path


def _count_verdicts(sections: list[Section]) -> dict[str, int]:
    statuses = [verdict.status for section in sections for verdict in section.verdicts]
    return {status: statuses.count(status) for status in MARKS}


def environment() -> dict[str, str]:
    """Return what the numbers may depend on: versions, processor, linear algebra library."""
    from threadpoolctl import threadpool_info

    packages = ("kernel-collapse", "numpy", "scipy", "pandas", "matplotlib")
    blas = {
        f"{info['internal_api']} {info['version']} ({info.get('architecture', 'unknown kernels')})"
        for info in threadpool_info()
        if info["user_api"] == "blas"
    }
    return {
        "Python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
        "BLAS": ", ".join(sorted(blas)) or "unknown",
        "System": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _lay_out(figure: Figure) -> None:
    """Place what a figure holds, once for all its forms: `savefig` would do so for each, and twice."""
    import matplotlib as mpl

    with style():
        figure.figure.draw_without_rendering()
        figure.figure.set_layout_engine("none")
        figure.figure.set_dpi(mpl.rcParams["savefig.dpi"])


def _save(figure: Figure, folder: Path) -> None:
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
            _write(folder / f"{figure.name}.{kind}", picture.getvalue())


def _write(path: Path, content: bytes) -> None:
    """Write a file; a killed run and a full disk leave the old one or the new one, never half of one."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _packed(text: str) -> str:
    """Return text compressed, as a page can hold it."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@lru_cache(maxsize=1)
def _plotly_script() -> str:
    from plotly.offline import get_plotlyjs

    return _packed(str(get_plotlyjs()))


def _dark(figures: str) -> dict[str, str]:
    """Return the colours of figures, and what they are on a dark screen; those of colour scales stay."""
    figures = re.sub(r'"colorscale":\[\[.*?\]\]', "", figures)
    return {colour: on_dark(colour) for colour in sorted(set(re.findall(r'"(#[0-9a-f]{6})"', figures)))}


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
