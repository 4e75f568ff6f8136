"""The site: `make site` builds it from the Markdown of this folder, offline.

The pages are plain Markdown that reads well on a code forge. Two of them are lists there and more than that here:
index.md, whose headings and links become the tables of contents, and api.md, whose names become their docstrings.
"""

import inspect
import logging
import re
from importlib import import_module
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent

project = "kernel-collapse"
author = "The kernel-collapse authors"
copyright = "the kernel-collapse authors, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_*"]
highlight_language = "text"  # indented lines are formulas
templates_path: list[str] = []

logging.getLogger("jax").setLevel(
    logging.WARNING
)  # what it says of missing accelerators is no fault of a page

html_theme = "furo"
html_title = "kernel-collapse"
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 4

autodoc_typehints = "none"  # the docstrings have types and shapes in words
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

#: Classes whose name means another one wherever a docstring says it.
HOMONYMS = {"kernel_collapse.kernels.Activation"}

_PAGE = re.compile(r"([\w-]+)\.md\b")
_ELSEWHERE = re.compile(r"\[([^\]]+)\]\(\.\./[\w/]+\.md\)")
_SEVERAL = re.compile(r"(\w+(?:, \w+)+)( : .*)?")
_NAME = re.compile(r"^- `(kernel_collapse[\w.]*)`.*$", re.M)


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


def documented(path: str) -> str:
    """Return the directive that puts the docstring of a public name there."""
    module, _, last = path.rpartition(".")
    try:
        what = getattr(import_module(module), last) if module else import_module(path)
    except ModuleNotFoundError:
        parent, _, owner = module.rpartition(".")
        what = getattr(getattr(import_module(parent), owner), last)
    kind = "module" if inspect.ismodule(what) else "class" if inspect.isclass(what) else "function"
    members = ["   :members:"] if kind == "class" else []
    members += ["   :no-index:"] if path in HOMONYMS else []
    return "\n".join(["", "```{eval-rst}", f".. auto{kind}:: {path}", *members, "```"])


def extend(app: Sphinx, page: str, source: list[str]) -> None:
    """Turn the two lists into what they are lists of; pages that are not of this folder are named, not linked."""
    source[0] = _ELSEWHERE.sub(r"\1", source[0])
    if page == "index":
        source[0] += "\n\n" + contents(source[0])
    if page == "api":
        source[0] = _NAME.sub(lambda line: documented(line[1]), source[0])


def each_by_itself(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Give each of several attributes that are described together ("a, b : float") an entry of its own.

    Napoleon takes the first for the name and the others for its type, and looks for classes of their names.
    """
    parted: list[str] = []
    at = 0
    while at < len(lines):
        found = _SEVERAL.fullmatch(lines[at])
        indented = at + 1 < len(lines) and lines[at + 1].startswith("    ")
        if not (found and indented):
            parted.append(lines[at])
            at += 1
            continue
        end = at + 1
        while end < len(lines) and (lines[end].startswith("    ") or not lines[end]):
            end += 1
        for attribute in found[1].split(", "):
            parted += [attribute + (found[2] or ""), *lines[at + 1 : end]]
        at = end
    lines[:] = parted


def setup(app: Sphinx) -> None:
    """Register the above."""
    app.connect("source-read", extend)
    app.connect("autodoc-process-docstring", each_by_itself, priority=400)  # before napoleon
