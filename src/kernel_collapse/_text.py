r"""Text that users wrote, as its destination shows it: a terminal, Rich, HTML, Markdown, CSV, a figure, a file's name.

Names of classes, columns, files, data sets and sweeps, and messages of the user's own functions are text that this
program did not write. Whatever prints, draws or writes such text passes it through the function of its destination, so
that no part of it is taken for markup, mathematics, a formula, a path or a command to the terminal. Tables for machines
(.parquet, the store) keep the text as it is.

All of them begin with `visible`: a character that is not seen, or that changes what is seen around it, is shown by its
escape, as Python writes it. A backslash stays one, for a path or a name like ``\alpha`` should look as it is written.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from markupsafe import Markup
    from rich.text import Text

__all__ = [
    "duration",
    "encodable",
    "for_csv",
    "for_figure",
    "for_file",
    "for_html",
    "for_markdown",
    "for_rich",
    "for_terminal",
    "lines_for_html",
    "named",
    "told_apart",
    "visible",
]

#: Control characters, marks and overrides of the direction of writing, separators of lines, characters without width
#: that do not join others, and halves of characters (lone surrogates), which no encoding has.
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
#: What Markdown gives a meaning to, anywhere or at the beginning of a line.
_MARKDOWN = re.compile(r"[|*_<>`\\\[\]&$~]|^[#+=-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]")
#: A cell that a spreadsheet takes for a formula, whatever apostrophes are before it; full-width signs are such too.
_FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)
#: What the name of a file may have besides letters and digits.
_IN_FILES = " ._-,()+=@"
#: Names that Windows keeps for devices, whatever their ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
#: Whole numbers below this are shown to the last digit.
MOST_WHOLE = 1e15
#: Bytes of a file's name, which has 255 at most: room is left for an ending.
_MOST_BYTES = 200


def visible(text: Any) -> str:
    r"""Return text in one line with escapes for what is not seen.

    Examples
    --------
    >>> print(visible("a\nb\x1b[31m \u202egnp.exe"))
    a\nb\x1b[31m \u202egnp.exe
    """
    return _UNSEEN.sub(_escape, str(text))


def told_apart(numbers: Iterable[float], digits: int = 6) -> dict[float, str]:
    """Return every number as text: with so many digits, or with as many as tell them apart; whole numbers as they are.

    Examples
    --------
    >>> list(told_apart([1e-3, 0.1 + 0.2, 1024, 20240615]).values())
    ['0.001', '0.3', '1024', '20240615']
    >>> list(told_apart([4.0, 4.00000001, 1e20]).values())
    ['4', '4.00000001', '1e+20']
    """
    different = dict.fromkeys(numbers)
    said: dict[float, str] = {}
    for some in range(digits, 18):
        said = {
            number: f"{int(number)}"
            if abs(number) < MOST_WHOLE and number == int(number)
            else f"{number:.{some}g}"
            for number in different
        }
        if len(set(said.values())) == len(said):
            break
    return said


def encodable(text: str) -> str:
    """Return text that can be encoded, else as it is: lone surrogates alone become escapes."""
    return _SURROGATE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def named(name: Any) -> str:
    """Return a name as it is told, in quotation marks where it begins or ends with a space or is empty."""
    text = visible(name)
    return text if text and text == text.strip() else f"'{text}'"


def duration(seconds: float) -> str:
    """Return a time as it is told.

    Examples
    --------
    >>> [duration(seconds) for seconds in (0.2, 75.0, 600.0, 7500.0)]
    ['under 1 s', '75 s', '10 min', '2 h 5 min']
    """
    if seconds < 1:
        return "under 1 s"
    minutes = round(seconds / 60)
    if minutes >= 90:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min"


def for_terminal(text: Any) -> str:
    """Return text as one line of a terminal or a log shows it."""
    return visible(text)


def for_rich(text: Any, style: str = "") -> Text:
    """Return text that Rich prints as it is: without markup, highlighting or names of emoji."""
    from rich.text import Text

    return Text(visible(text), style=style)


def for_html(value: Any) -> Any:
    """Return text that Jinja2 escapes next (as its `finalize`); what is markup already stays.

    Jinja2's own escaping leaves control characters, and overrides of the direction of writing, as they are.
    """
    return value if hasattr(value, "__html__") else visible(value)


def lines_for_html(text: str) -> Markup:
    """Return a text of several lines, a file that is shown as a whole, as HTML."""
    from markupsafe import Markup, escape

    lines = text.replace("\r\n", "\n").expandtabs(4).split("\n")
    return Markup("\n").join(escape(visible(line)) for line in lines)


def for_markdown(text: Any) -> str:
    r"""Return text as Markdown shows it as it is, in a cell of a table too.

    Examples
    --------
    >>> print(for_markdown("a|b <script> [x](y) `z`"))
    a\|b \<script\> \[x\](y) \`z\`
    """
    return _MARKDOWN.sub(r"\\\g<0>", visible(text))


def for_csv(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table to be written as CSV, which people open in spreadsheets and terminals.

    Text that a spreadsheet would take for a formula gets an apostrophe before it, the usual sign of text; numbers, and
    text that is one (-1.5), stay. What is not seen becomes an escape, so that a row is a line. To have the text back,
    take one apostrophe away wherever apostrophes are followed by =, +, - or @, or by their full-width forms.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"name": ["=1+1", "-1.5", "plain"], "value": [-1.0, 2.0, 3.0]})
    >>> for_csv(table)["name"].tolist(), for_csv(table)["value"].tolist()
    (["'=1+1", '-1.5', 'plain'], [-1.0, 2.0, 3.0])
    """
    import pandas as pd

    columns = [
        table.iloc[:, i]
        if table.dtypes.iloc[i].kind in "biufc"
        else pd.Series([_cell_for_csv(value) for value in table.iloc[:, i]], index=table.index, dtype=object)
        for i in range(table.shape[1])
    ]
    safe = pd.concat(columns, axis="columns") if columns else table.copy()
    safe.columns = [_cell_for_csv(name) for name in table.columns]
    return safe


def _cell_for_csv(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def for_figure(text: Any) -> str:
    r"""Return text as matplotlib draws it, and `kernel_collapse.report.interactive` after it: without mathematics.

    Examples
    --------
    >>> print(for_figure("$x$ and \\alpha"))
    \$x\$ and \alpha
    """
    return visible(text).replace("$", r"\$")


def for_file(name: Any) -> str:
    """Return the name of a file, without its ending, that every system has: letters, digits and a few signs.

    What may not be in it becomes a dash. A name that had to be changed ends in a hash of what it was, so that two names
    stay two.

    Examples
    --------
    >>> for_file("nc1-wine"), for_file("nc1-../../etc/passwd"), for_file("")
    ('nc1-wine', 'nc1-.-.-etc-passwd-5c2fe9ef', 'unnamed-e3b0c442')
    """
    text = str(name)
    kept = "".join(
        c if c.isalnum() or c in _IN_FILES or unicodedata.category(c)[0] == "M" else "-" for c in text
    )
    kept = re.sub(r"\.{2,}", ".", kept).strip(" .-") or "unnamed"
    if _DEVICES.match(kept):
        kept = f"_{kept}"
    kept = kept.encode()[:_MOST_BYTES].decode(errors="ignore").rstrip(" .-")
    if kept == text:
        return kept
    return f"{kept}-{hashlib.sha256(encodable(text).encode()).hexdigest()[:8]}"
