"""The page of the errata in Markdown."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd

from kernel_collapse import _validate
from kernel_collapse._files import atomic_write
from kernel_collapse._input_error import InputError
from kernel_collapse._text import encodable, for_csv, for_markdown, visible
from kernel_collapse.report import printing
from kernel_collapse.report.style import style
from kernel_collapse.runs.run import Run
from kernel_collapse_paper.errata._claims import Judgement, name_cell
from kernel_collapse_paper.errata._defects import DEFECTS, Defect, Part, Rows
from kernel_collapse_paper.errata._figure import draw
from kernel_collapse_paper.experiments import REGISTRY
from kernel_collapse_paper.experiments import published as published_code

__all__ = ["page", "write"]

#: A table of more rows than these has the worst of them alone; the file beside the page has all.
MOST_ROWS, WORST_ROWS = 40, 12


class Page(NamedTuple):
    """The page, and every cell of it."""

    text: str
    cells: pd.DataFrame


class _Found(NamedTuple):
    """A part of a defect that the run has rows of: both numbers of every cell, and the claims."""

    part: Part
    cells: pd.DataFrame
    judgements: list[Judgement]

    @property
    def differing(self) -> pd.DataFrame:
        """The cells in which the two numbers differ."""
        return self.cells[published_code.differ(self.cells)]


def write(path: Path, folder: str | Path) -> Path:
    """Write the errata of a run, with their figure (.png) and every cell (.csv) beside the page, and return where.

    Parameters
    ----------
    path : Path
        The page, NAME.md; NAME.png and NAME.csv are written beside it.
    folder : path
        Folder of a run of experiments, finished or not.

    Raises
    ------
    ValueError
        If there can be no page at that path, or the folder holds no run, or a sweep of the user's.
    """
    _validate.page(path, "--errata", ".md")
    run = Run(folder)
    if "experiments" not in run.about:
        raise InputError(
            "the run",
            "a sweep of your own, which the published code has no part in",
            "one of experiments",
            "see `kernel-collapse reproduce --list`",
        )
    rows = {name: part.rows for name, part in run.experiments().by_name.items()}
    made = page(rows, run.about["preset"], path.name)
    picture = _picture(rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path.with_suffix(".png")) as part:
            part.write_bytes(picture)
        with atomic_write(path.with_suffix(".csv")) as part:
            for_csv(made.cells).to_csv(part, index=False, lineterminator="\n")
        with atomic_write(path) as part:
            part.write_text(made.text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{str(path)!r}",
            f"be written ({error.strerror})",
            "a folder that can",
            "choose another",
            verb="cannot",
        ) from None
    return path


def _picture(rows: Rows) -> bytes:
    """Return the figure as a PNG of few colours, which is a third of the size."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    with style():
        printing.draw(draw(rows)).figure.savefig(drawn, format="png", dpi=110)
    Image.open(drawn).convert("RGB").quantize(255).save(small, format="PNG", optimize=True)
    return small.getvalue()


def page(rows: Rows, preset: str, name: str = "errata.md") -> Page:
    """Return the page and its cells, from the rows of each experiment.

    Parameters
    ----------
    rows : mapping of str to DataFrame
        Rows of each experiment, as `Run.frame` has them; an experiment that is not there is named on the page.
    preset : str
        That the rows are of.
    name : str
        Name of the page's file, after which its figure and table are called.
    """
    stem = encodable(Path(name).stem)
    found = [[_find(part, rows) for part in defect.parts] for defect in DEFECTS]
    used = [e for e in REGISTRY if any(part.experiment == e for d in DEFECTS for part in d.parts)]
    shared = {key: status for e in used if e in rows and len(rows[e]) for key, status in _statuses(rows[e])}
    failed = sum(status == "failed" for status in shared.values())
    parts = [
        "# Errata of the published code",
        "The code that was published with Kothapalli and Tirer, *Can Kernel Methods Explain How the Data Affects "
        "Neural Collapse?* (commit 1037b99), has four defects. They are defects of the code, not of the paper's "
        "equations. Formulas and claims are written by hand. Every number, and what becomes of a claim, is computed "
        f"from the rows of one run (preset {preset}; {len(shared) - failed} trials finished, {failed} failed). These "
        "commands make the page again:",
        f"```\nkernel-collapse reproduce {' '.join(used)} --preset {preset} --out runs/{preset}\n"
        f"kernel-collapse report runs/{preset} --errata {visible(shlex.quote(f'docs/{name}'))}\n```",
        'Numbers are log10 NC1 (weighting "paper" unless it is said otherwise), means over seeds; lower is more '
        "collapsed, and one decade is a factor of ten. Differences are published − right, seed by seed on the same "
        "samples, ± half of an interval; the intervals of all cells of an experiment hold together with 95 % "
        f"confidence. Every cell is in [{for_markdown(stem)}.csv]({quote(stem)}.csv).",
        "## Summary",
        _summary(found),
        f"![What the published code computes against what is right, a panel for each defect]({quote(stem)}.png)",
        "*Mean and one standard deviation over seeds. Dashed: the published code.*",
        "A claim is judged twice by the same rule, with the published numbers and with the right ones. It *survives* "
        "if it holds with the right ones in every cell in which it held with the published ones, *more strongly* if "
        "in all of these its gap has grown (simultaneous intervals), *in part* if in some; it is *not touched* if no "
        "gap changes by more than round-off. A claim that a kernel goes against the network somewhere survives if "
        "there still is such a step, more strongly if there are more of them. A claim that held in no cell with the "
        "published numbers *holds only with the right numbers*, or *with neither*; what the right rows do not decide "
        "in any cell is *undecided*. Claims are after the paper's abstract and what its figures are read for (whether "
        "NNGP and NTK are alike, what imbalance does).",
        *(
            _section(number, defect, finds)
            for number, (defect, finds) in enumerate(zip(DEFECTS, found, strict=True), 1)
        ),
    ]
    return Page("\n\n".join(parts) + "\n", _every_cell(found))


def _statuses(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(rows["key"], rows["status"], strict=True))


def _find(part: Part, rows: Rows) -> _Found | None:
    if not part.ready(rows):
        return None
    cells = published_code.against(part.sides(rows[part.experiment]))
    if cells.empty:
        return None
    return _Found(part, cells, list(part.judge(rows)))


def _summary(found: list[list[_Found | None]]) -> str:
    lines = [
        "| defect | shows in | cells that differ | largest change | claim | survives? |",
        "|---|---|---|---|---|---|",
    ]
    for number, (defect, finds) in enumerate(zip(DEFECTS, found, strict=True), 1):
        title = f"{number}. {defect.title}"
        for part, one in zip(defect.parts, finds, strict=True):
            where = f"`{part.experiment}`"
            if one is None:
                lines.append(f"| {title} | {where} | not in this run, or not far enough | | | |")
                continue
            first = f"{title} | {where} | {len(one.differing)} of {len(one.cells)} | {_largest(one)}"
            for judgement in one.judgements:
                lines.append(f"| {first} | {for_markdown(judgement.claim)} | **{judgement.survives}** |")
                first = " | | | "
    return "\n".join(lines)


def _largest(one: _Found) -> str:
    """Return the largest change with its cell."""
    if one.cells["difference"].isna().all():
        return "–"
    worst = one.cells.loc[one.cells["difference"].abs().idxmax()]
    return f"{_signed(worst['difference'])} decades ({for_markdown(name_cell(worst))})"


def _section(number: int, defect: Defect, finds: list[_Found | None]) -> str:
    parts = [
        f"## {number}. {defect.title}",
        f"**Published code.** {for_markdown(defect.published)}",
        f"**Right.** {for_markdown(defect.right)}",
    ]
    if defect.note:
        parts.append(f"**Compared.** {for_markdown(defect.note)}")
    for part, one in zip(defect.parts, finds, strict=True):
        parts.append(f"### {REGISTRY[part.experiment].title} (`{part.experiment}`)")
        parts.append(_missing(part) if one is None else _part(defect, one))
    return "\n\n".join(parts)


def _missing(part: Part) -> str:
    return f"Not in this run, or not far enough: `kernel-collapse reproduce {part.experiment}`."


def _part(defect: Defect, one: _Found) -> str:
    figures = ", ".join(f"`{figure}`" for figure in one.part.figures)
    said = (
        f"It shows in {figures}. In {len(one.differing)} of {len(one.cells)} cells the published number is not the "
        f"right one; the largest change is {_largest(one)}{_factor(one)}."
    )
    lost, seeds = int(one.cells["without"].sum()), int((one.cells["seeds"] + one.cells["without"]).sum())
    if lost:
        said += f" On {lost} of {seeds} samples the published number is not positive, and left out."
    if "scale" in one.cells:
        signs = one.cells["published"] * one.cells["right"] < 0
        said += f" The sign of the gap changes in {int(signs.sum())} of {len(one.cells)} cells."
    return "\n\n".join([said, _numbers(defect.unit, one), _claims(one.judgements)])


def _factor(one: _Found) -> str:
    most = one.cells["difference"].abs().max()
    return f", a factor of {10**most:.2f}" if most == most else ""


def _numbers(unit: str, one: _Found) -> str:
    """Return both numbers of each cell that differs, or of the worst."""
    table = one.differing
    if table.empty:
        return "No cell differs by more than round-off."
    note = ""
    if len(table) > MOST_ROWS:
        worst = table["difference"].abs().sort_values(ascending=False, kind="stable").index[:WORST_ROWS]
        note = f" The {WORST_ROWS} worst of {len(table)} cells."
        table = table.loc[worst]
    lines = [
        f"{for_markdown(unit)}.{note}",
        "",
        "| cell | published | right | published − right | seeds |",
        "|---|---:|---:|---:|---:|",
    ]
    for _, row in table.iterrows():
        numbers = [_number(row["published"]), _number(row["right"]), _with_half(row), str(row["seeds"])]
        lines.append(f"| {for_markdown(name_cell(row))} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def _claims(judgements: list[Judgement]) -> str:
    lines = ["| claim | published numbers | right numbers | survives? |", "|---|---|---|---|"]
    for claim, published, right, survives in judgements:
        told = [f"{verdict.status}: {_lower(verdict.answer)}" for verdict in (published, right)]
        lines.append(
            f"| {for_markdown(claim)} | {for_markdown(told[0])} | {for_markdown(told[1])} | **{survives}** |"
        )
    tests = dict.fromkeys(judgement.right.test for judgement in judgements)
    return "\n".join([*lines, "", "How it was decided:", "", *(f"- {for_markdown(test)}" for test in tests)])


def _every_cell(found: list[list[_Found | None]]) -> pd.DataFrame:
    """Return every cell of every defect, those that do not differ too."""
    numbers = ["published", "right", "difference", "low", "high", "seeds", "without"]
    where = ["scale", "activation", "kernel", "data", "n", "class_sizes", "dim"]
    frames = []
    for number, finds in enumerate(found, 1):
        for one in finds:
            if one is not None:
                cells = one.cells.reindex(columns=[*where, *numbers])
                if "class_sizes" in one.cells:
                    cells["class_sizes"] = cells["class_sizes"].map(lambda sizes: "/".join(map(str, sizes)))
                cells.insert(0, "experiment", one.part.experiment)
                cells.insert(0, "defect", number)
                frames.append(cells.astype(object))
    every = pd.concat(frames) if frames else pd.DataFrame(columns=["defect", "experiment", *where, *numbers])
    return every.reset_index(drop=True)


def _number(value: Any) -> str:
    return "–" if value != value else f"{value:.3f}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _with_half(row: pd.Series[Any]) -> str:
    if row["difference"] != row["difference"]:
        return "–"
    half = (row["high"] - row["low"]) / 2
    return _signed(row["difference"]) + (f" ± {half:.3f}" if half == half else "")


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
