"""The house: what imports what. No circle, no arrow from the library to the paper, no door into a private room."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from conftest import ROOT
from sources import parsed

LIBRARY, PAPER = "kernel_collapse", "kernel_collapse_paper"
#: Imports into another package's private module that are borne with for now, and why. This list only shrinks.
ALLOWANCE = {
    ("kernel_collapse.cli._app", "kernel_collapse.runs._database"): "the store costs --help its models",
    ("kernel_collapse.cli.trials", "kernel_collapse.runs._pool"): "the sweep costs --help its models",
    ("kernel_collapse.cli.trials", "kernel_collapse.runs._snapshot"): "a run is to say whether it changed",
    ("kernel_collapse.runs.tables", "kernel_collapse.data._load"): "a table is to know its file",
    ("kernel_collapse.measure", "kernel_collapse.data._labels"): "a data set is to align another with itself",
    ("kernel_collapse.measure", "kernel_collapse.collapse._from_gram"): "reasons name classes as the data do",
    (
        "kernel_collapse.readout",
        "kernel_collapse.collapse._from_features",
    ): "reasons name classes as the data do",
    ("kernel_collapse.measure", "kernel_collapse.data._names"): "a data set is to align another with itself",
    ("kernel_collapse.theory._moments", "kernel_collapse.collapse._moments"): "both have moments of classes",
    ("kernel_collapse.theory._moments", "kernel_collapse.collapse._nc1"): "both have moments of classes",
    (
        "kernel_collapse.theory._moments",
        "kernel_collapse.collapse._round_off",
    ): "both have moments of classes",
}


def modules(source):
    """The files under a folder by the names of their modules."""
    found = {}
    for path in source.rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def is_for_types(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(tree, late=False):
    """Each import: a module, a name in it or a module below it, and whether it waits for a call or a type checker."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out from the root"
            yield from ((node.module, alias.name, late) for alias in node.names)
        waits = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_for_types(node)
        yield from imports(node, late or waits)


def arrows(source):
    """Pairs of a module and one that it imports, with whether the import waits."""
    known = modules(source)
    for name, path in known.items():
        for module, what, late in imports(parsed(path)):
            target = f"{module}.{what}" if f"{module}.{what}" in known else module
            if target in known and target != name:
                yield name, target, late


def circle(source):
    """The modules of a circle at import time, or none."""
    graph = {}
    for name, target, late in arrows(source):
        if not late:
            graph.setdefault(name, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def private_room(name, target):
    """Whether a module is private to a package that the other is not in; the ground is open to all."""
    parts = target.split(".")
    private = next((i for i, part in enumerate(parts) if part.startswith("_")), None)
    if private is None:
        return False
    owner = ".".join(parts[:private])
    return owner != LIBRARY and not f"{name}.".startswith(f"{owner}.")


def test_no_circle_of_imports():
    assert circle(ROOT / "src") is None


def test_the_library_never_imports_the_paper():
    assert not [
        pair
        for *pair, _ in arrows(ROOT / "src")
        if pair[0].startswith(f"{LIBRARY}.") and pair[1].split(".")[0] == PAPER
    ]


def test_no_package_enters_a_private_module_of_another():
    found = {(name, target) for name, target, _ in arrows(ROOT / "src") if private_room(name, target)}
    assert found - set(ALLOWANCE) == set(), "make the module public, in its right place"
    assert set(ALLOWANCE) - found == set(), "mended: take it off the list"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"a": "import b", "b": "import c", "c": "import a"}, {"a", "b", "c"}),
        (
            {"a/__init__": "from a import x", "a/x": "from a.y import z", "a/y": "from a.x import z"},
            {"a.x", "a.y"},
        ),
        ({"a": "import b", "b": "def f():\n    import a"}, None),
        ({"a": "import b", "b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a"}, None),
    ],
    ids=["three", "in a package", "in a function", "for types"],
)
def test_circles_are_seen(files, found, tmp_path):
    for name, text in files.items():
        path = (tmp_path / name).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    seen = circle(tmp_path)
    assert (seen and set(seen)) == found


def test_private_rooms_are_known():
    assert private_room("kernel_collapse.runs.store", "kernel_collapse.data._labels")
    assert private_room("kernel_collapse_paper.errata", "kernel_collapse_paper.experiments._limiting")
    assert private_room("kernel_collapse.runs", "kernel_collapse.data._laws.normal")
    assert not private_room("kernel_collapse.data.laws", "kernel_collapse.data._labels")
    assert not private_room("kernel_collapse_paper.cli", "kernel_collapse._validate")
    assert not private_room("kernel_collapse_paper.cli", "kernel_collapse.report.style")
