"""The site: `make site` builds it from the Markdown of this folder, offline.

The pages are plain Markdown that reads well on a code forge. Two of them are lists there and more than that here. The
headings and links of index.md become the tables of contents. Each name of api.md has a page of its own (reference.py).
Formulas are LaTeX between dollars. Code forges typeset them, and formulas.py does so here.
"""

import logging
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

from kernel_collapse import __version__ as release

HERE = Path(__file__).parent

project = "kernel-collapse"
author = "The kernel-collapse authors"
copyright = "the kernel-collapse authors, Apache-2.0"

sys.path.insert(0, str(HERE))  # of the two extensions that are ours
extensions = [
    "formulas",
    "myst_parser",
    "reference",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_*"]
highlight_language = "text"
default_role = "py:obj"  # what docstrings have in backticks: a link where it is a name that has a page
templates_path: list[str] = []

logging.getLogger("jax").setLevel(logging.WARNING)  # a missing accelerator is no fault of a page

html_theme = "furo"
html_title = f"kernel-collapse {release}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath"]
myst_dmath_allow_space = False  # a lone dollar is a dollar
myst_heading_anchors = 4

autosummary_generate = False  # reference.py writes the pages

autodoc_typehints = "none"  # the docstrings have types and shapes in words
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

_PAGE = re.compile(r"([\w-]+)\.md\b")
_ELSEWHERE = re.compile(r"\[([^\]]+)\]\(\.\./[\w/]+\.md\)")


def contents(text: str) -> str:
    """Return the tables of contents: one for each heading of index.md, of the pages that its links or comments name.

    What no heading names is listed last, so that a new page is found before it has its place.
    """
    pages = {path.stem for path in HERE.glob("*.md")} - {"index"}
    groups = {}
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        title, _, body = section.partition("\n")
        groups[title] = [page for page in dict.fromkeys(_PAGE.findall(body)) if page in pages]
    groups["More"] = sorted(pages - {page for group in groups.values() for page in group})
    trees = [
        "\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *group, "```"])
        for title, group in groups.items()
        if group
    ]
    return "\n\n".join(trees)


def extend(app: Sphinx, page: str, source: list[str]) -> None:
    """Add the tables of contents to index.md; pages that are not of this folder are named, not linked."""
    source[0] = _ELSEWHERE.sub(r"\1", source[0])
    if page == "index":
        source[0] += "\n\n" + contents(source[0])


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("source-read", extend)
