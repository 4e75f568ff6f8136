"""Formulas are typeset while the site is built: LaTeX becomes MathML, which every browser draws without a script.

The font of the formulas is part of the site. It holds the signs that the pages use, and no others.
"""

import logging
import re
import unicodedata
from html import escape, unescape
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from fontTools import subset
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

FONT = Path("fonts", "STIXTwoMath-Regular.ttf")  # of ziamath, under the SIL Open Font License
_MATHML = LatexToMathML(fancy_error=False)
_FORMULA = re.compile(r"<math.*?</math>", re.S)
_log = getLogger(__name__)
logging.getLogger("fontTools.subset").setLevel(logging.WARNING)  # it tells of every table


def typeset(node: nodes.Element, *, displayed: bool) -> str:
    """Return the MathML of a formula; one that is no LaTeX is a warning, and stays as it is."""
    latex = node.astext()
    try:
        return _MATHML.convert_with_local_state(latex, displaystyle=displayed)
    except LatexError as error:
        _log.warning("a formula cannot be typeset: %s in %s", error, latex, location=node)
        return escape(latex)


def within_a_line(translator, node: nodes.math) -> None:
    """Write a formula of a line of text."""
    translator.body.append(typeset(node, displayed=False))
    raise nodes.SkipNode


def displayed(translator, node: nodes.math_block) -> None:
    """Write a formula that stands by itself."""
    translator.body.append(f'<div class="formula">{typeset(node, displayed=True)}</div>\n')
    raise nodes.SkipNode


def add_font(app: Sphinx, failure: Exception | None) -> None:
    """Write the font: of the signs in the formulas of all pages, with the sizes and pieces that they may need."""
    if failure or app.builder.format != "html":
        return
    pages = (page.read_text(encoding="utf-8") for page in Path(app.outdir).rglob("*.html"))
    formulas = [formula for page in pages for formula in _FORMULA.findall(page)]
    signs = {sign for formula in formulas for sign in unescape(formula)}
    signs |= {"\N{SQUARE ROOT}"}  # an element of MathML draws it
    options = subset.Options(flavor="woff", layout_features=["*"], name_IDs=["*"], hinting=False)
    (package,) = find_spec("ziamath").submodule_search_locations
    font = subset.load_font(str(Path(package) / FONT), options)
    chosen = subset.Subsetter(options)
    chosen.populate(unicodes=map(ord, signs | slanted(signs)))
    chosen.subset(font)
    subset.save_font(font, str(Path(app.outdir) / "_static" / "formulas.woff"), options)


def slanted(signs: set[str]) -> set[str]:
    """Return the letters that browsers draw in place of single ones: Unicode has slanted ones of its own."""
    found = {"\N{PLANCK CONSTANT}"} if "h" in signs else set()  # the slanted h is older than the others
    for letter in map(chr, range(0x1D434, 0x1D7CC)):
        if unicodedata.name(letter, "").startswith("MATHEMATICAL ITALIC"):
            _, plain = unicodedata.decomposition(letter).split()
            found |= {letter} if chr(int(plain, 16)) in signs else set()
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the above."""
    app.add_html_math_renderer("mathml", (within_a_line, None), (displayed, None))
    app.connect("build-finished", add_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
