"""What is imported is declared, and what is declared as the lowest version is what `make test-lowest` runs."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from conftest import ROOT
from kernel_collapse import _extras
from sources import parsed

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
#: Whoever gives CuPy arrays has it.
OF_THE_USER = {"cupyx"}
#: Modules beside the tests, which benchmarks use too.
OURS = {"kernel_collapse", "kernel_collapse_paper", *(path.stem for path in (ROOT / "tests").glob("*.py"))}


def plain(name):
    """The name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required(requirements):
    """The floor of each distribution that is required."""
    floors = {}
    for requirement in requirements:
        name, floor = re.fullmatch(r"([\w-]+)(?:\[[\w,-]+\])?(?:>=([\d.]+))?", requirement).groups()
        if name != PROJECT["name"]:
            assert floor, f"{name} has no lowest version"
            floors[plain(name)] = floor
    return floors


def of_extra(extra):
    """The floors of what an extra installs beside the core, and of the extras that it includes."""
    found = required(EXTRAS[extra])
    for requirement in EXTRAS[extra]:
        if requirement.startswith(f"{PROJECT['name']}["):
            for other in re.search(r"\[(.*)\]", requirement)[1].split(","):
                found |= of_extra(other)
    return found


CORE = required(PROJECT["dependencies"])
EVERY = CORE | of_extra("dev")
#: What a file imports only where somebody has imported it before: those who check shapes.
CHECKED = {"kernel_collapse/_shapes.py": {"jaxtyping"}}
#: What parts of src may import beside the core: the packages of an extra.
PARTS = {
    "kernel_collapse/_arrays.py": "networks",  # of those who give JAX arrays
    "kernel_collapse/_results.py": "tables",
    "kernel_collapse/_specification.py": "cli",
    "kernel_collapse/_specify.py": "cli",
    "kernel_collapse/_text.py": "cli",
    "kernel_collapse/cli": "cli",
    "kernel_collapse/cluster": "cluster",
    "kernel_collapse/compare": "cli",
    "kernel_collapse/data/_pictures.py": "cli",
    "kernel_collapse/data/_parquet.py": "tables",
    "kernel_collapse/data/_tables.py": "tables",
    "kernel_collapse/kernels/_kernel.py": "tables",  # of those who give kernels to scikit-learn
    "kernel_collapse/measure.py": "cli",
    "kernel_collapse/networks": "networks",
    "kernel_collapse/plots": "cli",
    "kernel_collapse/recording": "tables",
    "kernel_collapse/report": "cli",
    "kernel_collapse/runs": "cli",
    "kernel_collapse/torch": "torch",
    "kernel_collapse_paper": "cli",
}


def imported(path):
    """The packages that a file imports, wherever in it, those of Python and ours apart."""
    names = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.partition(".")[0])
    beside = {other.stem for other in path.parent.glob("*.py")} if "src" not in path.parts else set()
    return names - sys.stdlib_module_names - beside - OF_THE_USER - OURS


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "examples"])
def test_every_package_that_is_imported_is_declared(folder):
    providers = packages_distributions()
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        declared = EVERY
        if folder == "src":
            extras = [extra for part, extra in PARTS.items() if path.is_relative_to(ROOT / "src" / part)]
            declared = CORE.keys() | set().union(*map(of_extra, extras))
            declared |= CHECKED.get(path.relative_to(ROOT / "src").as_posix(), set())
        for name in imported(path):
            found = {plain(provider) for provider in providers.get(name, [])}
            assert found & set(declared), (
                f"{path.relative_to(ROOT)} imports {name}: {found or 'not installed'}"
            )


def test_every_part_that_has_an_extra_uses_it():
    for part, extra in PARTS.items():
        path = ROOT / "src" / part
        names = set().union(*map(imported, path.rglob("*.py") if path.is_dir() else [path]))
        assert names & set(_extras.PACKAGES[extra]), part


def test_each_extra_is_known_by_the_packages_that_it_installs():
    providers = packages_distributions()
    assert {*_extras.PACKAGES, "all", "dev", "docs"} == set(EXTRAS)
    assert of_extra("all").keys() == set().union(*map(of_extra, _extras.PACKAGES))
    for extra, packages in _extras.PACKAGES.items():
        distributions = {plain(name) for name in packages.values()}
        assert required(EXTRAS[extra]).keys() <= distributions <= of_extra(extra).keys(), extra
        for name, distribution in packages.items():
            assert distribution in map(plain, providers[name])


def test_the_check_of_imports_sees_one_that_is_not_declared(tmp_path):
    (tmp_path / "module.py").write_text(
        "import os\ndef f():\n    from requests.adapters import x\n    import PIL.Image\n"
    )
    assert imported(tmp_path / "module.py") == {"requests", "PIL"}


def pins(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines]
    assert all(found), f"{name}: a line is not NAME==VERSION"
    return {plain(pin[1]): pin[2] for pin in found}


def numbers(version):
    """A release as numbers that compare: 21 is 21.0.0."""
    release = [int(part) for part in re.match(r"[\d.]+", version)[0].strip(".").split(".")]
    return tuple(release + [0] * (4 - len(release)))


def test_the_lowest_versions_are_those_that_are_run():
    lowest, newest = pins("constraints-lowest.txt"), pins("constraints.txt")
    for name, floor in EVERY.items():
        assert numbers(lowest[name]) == numbers(floor), name
        assert numbers(newest[name]) >= numbers(floor), name
