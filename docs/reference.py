"""The reference: api.md is a list of names, of which each has a page on the site, with its docstring and its source.

The tables of command-line.md are made of the program. `python docs/reference.py` writes both.
"""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from typer.main import get_command

from kernel_collapse.cli import app as program

PACKAGE = "kernel_collapse"
#: Classes whose name means another one wherever a docstring says it.
HOMONYMS = {"kernel_collapse.kernels.Activation"}

_NAME = rf"- `({PACKAGE}[\w.]*)`.*\n"
#: What the help of an option says of its default.
_DEFAULT = r" \(default(?:: ((?:[^()]|\([^()]*\))*))?\)"
_COMMAND = r"(## `kernel-collapse (\w+)`\n(?:(?!\|).*\n)*)(?:\|.*\n)*"
_LIST = re.compile(rf"(?:^{_NAME})+", re.M)
_BACK = re.compile(r'(api/[\w.]+)\.(\w+)\.html#[\w.]*?\b\2((?:\.\w+)*)"')
_SEVERAL = re.compile(r"(\w+(?:, \w+)+)( : .*)?")


def summary(path: str) -> str:
    """Return the first sentences of the docstring of a public name, which api.md has beside it, in Markdown."""
    module, _, name = path.rpartition(".")
    said = inspect.getdoc(getattr(import_module(module), name)) or ""
    return " ".join(said.split("\n\n")[0].split())


def with_summaries(text: str) -> str:
    """Return the text of api.md with the summary of each name: `python docs/reference.py` writes it."""
    return re.sub(_NAME, lambda found: f"- `{found[1]}`: {summary(found[1])}\n", text)


def with_options(text: str) -> str:
    """Return the text of command-line.md with the table of arguments and options of each command that it describes."""
    return re.sub(_COMMAND, lambda found: f"{found[1]}{options_of(found[2])}", text)


def options_of(command: str) -> str:
    """Return the table of what a command is given."""
    parameters = get_command(program).commands[command].params
    lines = [row(parameter) for parameter in parameters if parameter.name != "help"]
    return "\n".join(["| given as | meaning | default |", "| --- | --- | --- |", *lines, ""])


def row(parameter: Any) -> str:
    """Return the line of one argument or option."""
    said = str(parameter.help)
    default = "".join(re.findall(_DEFAULT, said))
    said = re.sub(_DEFAULT, "", said)
    said = re.sub(r"(?<![^.]\.\.)\.$", "", said)  # but of three dots none
    if parameter.param_type_name == "option":
        given = " / ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        if parameter.is_flag:
            default = default or "no"
        else:
            given = f"{given[:-1]} {parameter.metavar}`"
            shown = parameter.show_default and parameter.default is not None
            default = f"{parameter.default}" if shown else default
    else:
        given = f"`{parameter.metavar}`"
        default = "required" if parameter.required else default
    return " | ".join(["", *(cell.replace("|", "\\|") for cell in (given, said, default)), ""]).strip()


def page(path: str) -> str:
    """Return the page of a public name: its docstring, and those of its members if it is a class."""
    module, _, name = path.rpartition(".")
    kind = "class" if inspect.isclass(getattr(import_module(module), name)) else "function"
    members = ["   :members:"] if kind == "class" else []
    members += ["   :no-index:"] if path in HOMONYMS else []
    title = path.removeprefix(f"{PACKAGE}.")
    return "\n".join([title, "=" * len(title), "", f".. auto{kind}:: {path}", *members, ""])


def write_pages(app: Sphinx) -> None:
    """Write the pages that are not there, or not as they should be; remove those of names that are gone."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    names = re.findall(_NAME, (Path(app.srcdir) / "api.md").read_text(encoding="utf-8"))
    pages = {folder / f"{name}.rst": page(name) for name in names}
    for path in set(folder.glob("*.rst")) - set(pages):
        path.unlink()
    for path, text in pages.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def tables(app: Sphinx, page: str, source: list[str]) -> None:
    """Turn each list of api.md into a table: a name, the link to its page, and the first sentence of its docstring."""
    if page == "api":
        source[0] = _LIST.sub(lambda names: table(re.findall(_NAME, names[0])), source[0])


def table(names: list[str]) -> str:
    """Return the directive that makes the table of these names."""
    short = [f"   {name.removeprefix(f'{PACKAGE}.')}" for name in names]
    options = ["   :toctree: api", "   :nosignatures:"]
    within = [f".. currentmodule:: {PACKAGE}", "", ".. autosummary::", *options, "", *short]
    return "\n".join(["```{eval-rst}", *within, "```", ""])


def source(app: Sphinx, module: str) -> tuple[str, dict[str, tuple[str, int, int]]]:
    """Return the source of a module, and where in it each name is: also functions that another function has made."""
    analyzer = ModuleAnalyzer.for_module(module)
    analyzer.find_tags()
    found = dict(analyzer.tags)
    for node in ast.parse(analyzer.code).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, ("def", node.lineno, node.end_lineno))
    return analyzer.code, found


def mend_ways_back(app: Sphinx, name: str, template: str, context: dict, tree: object) -> None:
    """Lead from the source of a name to its page; viewcode takes all names of a module for those of one package."""
    if name.startswith("_modules/"):
        context["body"] = _BACK.sub(way_back, context["body"])


def way_back(found: re.Match[str]) -> str:
    """Return the end of such a link; a class whose name means another one elsewhere has no anchor."""
    module, name, member = found.groups()
    path = f"{module.removeprefix('api/')}.{name}"
    anchor = "" if path in HOMONYMS else f"#{path}{member}"
    return f'{module}.{name}.html{anchor}"'


def signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, given: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Return what a class is called with; autodoc takes that of what makes its classes, which takes anything."""
    if what == "class" and given == "(*args, **kwargs)":
        found = inspect.signature(obj)
        plain = [parameter.replace(annotation=parameter.empty) for parameter in found.parameters.values()]
        given = str(found.replace(parameters=plain, return_annotation=found.empty))
    return given, returned


def words_of_types(app: Sphinx, tree: nodes.document) -> None:
    """Leave words of types as they are ("shape (dim,)"): Sphinx takes each for a class, and ours have capitals."""
    for reference in list(tree.findall(addnodes.pending_xref)):
        if reference["reftype"] == "class" and re.fullmatch("[a-z_]+", reference["reftarget"]):
            reference.replace_self(reference.children)


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


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the above."""
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.viewcode")
    app.connect("builder-inited", write_pages)
    app.connect("source-read", tables)
    app.connect("doctree-read", words_of_types)
    app.connect("viewcode-find-source", source)
    app.connect("html-page-context", mend_ways_back)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", each_by_itself, priority=400)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    API = Path(__file__).with_name("api.md")
    API.write_text(with_summaries(API.read_text(encoding="utf-8")), encoding="utf-8")
    COMMANDS = Path(__file__).with_name("command-line.md")
    COMMANDS.write_text(with_options(COMMANDS.read_text(encoding="utf-8")), encoding="utf-8")
