"""What is published: the wheel and the source build, install, and work where nothing but the core is installed."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from conftest import ROOT
from test_dependencies import CORE, plain

#: What the core is for, as a program that prints what it finds and what was imported for that.
USE = """
import json, sys
import numpy as np
import kernel_collapse as kc

data = kc.data.gaussian_classes(n=64, dim=3, seed=0)
x, labels = data.x, data.labels
gram = kc.nngp(x, activation="relu", depth=2)
curved = kc.ntk(x, activation=lambda u: u * np.exp(-(u**2)))
solution = kc.solve_adaptive(x, data.targets, width=100, noise_variance=1e-2)
law = kc.data.sample("xor", n=64, dim=2)
found = {
    "nc1": kc.nc1(gram, labels).ratio,
    "nc3": kc.collapse(gram, labels, targets=data.targets).nc3,
    "features": kc.nc1_from_features(x, labels).ratio,
    "callable": kc.nc1(curved, labels).ratio,
    "adaptive": kc.nc1(solution.gram, labels).ratio,
    "streamed": kc.streamed_nc1(x, labels).ratio,
    "streamed_cdnv": kc.streamed_collapse(x, labels, kernel="ntk").cdnv,
    "sampled": kc.sampled_nc1(x, labels, pairs=500).ratio,
    "random": kc.random_feature_nc1(x, labels, features=100).ratio,
    "expected": kc.theory.expected_nc1(kc.theory.gaussian_mixture(3)).ratio,
    "law": kc.nc1_from_features(law.x, law.labels).ratio,
}
print(json.dumps([found, sorted({name.partition(".")[0] for name in sys.modules})]))
"""

#: What needs an extra, and the sentence that says so.
SENTENCES = {
    "kc.networks": "jax is not installed, expected for networks: pip install 'kernel-collapse[networks]'.",
    "kc.results('runs')": "typer is not installed, expected for runs and their results: "
    "pip install 'kernel-collapse[cli]'.",
    "kc.describe_columns()": "typer is not installed, expected for runs and their results: "
    "pip install 'kernel-collapse[cli]'.",
    "kc.data.shipped('wine')": "scikit-learn is not installed, expected for tables that are shipped: "
    "pip install 'kernel-collapse[tables]'.",
    "kc.data.load('table.parquet')": "pyarrow is not installed, expected for a Parquet file: "
    "pip install 'kernel-collapse[tables]'.",
    "import_module('kernel_collapse.report')": "typer is not installed, expected for reports: "
    "pip install 'kernel-collapse[cli]'.",
    "import_module('kernel_collapse.measure')": "typer is not installed, expected for runs and their results: "
    "pip install 'kernel-collapse[cli]'.",
    "import_module('kernel_collapse.compare')": "typer is not installed, expected for the comparison of runs: "
    "pip install 'kernel-collapse[cli]'.",
    "import_module('kernel_collapse.cluster').connect(local=1).__enter__()": "dask is not installed, expected for "
    "work on a cluster: pip install 'kernel-collapse[cluster]'.",
}
ASK = f"""
import json
from importlib import import_module
import kernel_collapse as kc

said = {{}}
for code in {list(SENTENCES)!r}:
    try:
        eval(code)
    except ImportError as error:
        said[code] = str(error)
print(json.dumps(said))
"""


def call(*command, **options):
    """Run a program, with one thread of BLAS so that bits compare, and what is installed only where it is installed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=environment,
        timeout=3600,
        **options,
    )


def build(project, folder, *targets):
    """Build a project offline, by what the backend of the build offers for that."""
    chosen = [part for target in targets for part in ("-t", target)]
    done = call(sys.executable, "-m", "hatchling", "build", "-d", folder, *chosen, cwd=project)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the archive of the source."""
    folder = build(ROOT, tmp_path_factory.mktemp("dist"), "wheel", "sdist")
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


def needed(names):
    """The distributions of these names, and those that they need in turn."""
    found, todo = {}, list(names)
    while todo:
        name = plain(todo.pop())
        if name not in found:
            found[name] = distribution(name)
            always = [line for line in found[name].requires or () if "extra ==" not in line]
            todo += [re.match(r"[\w.-]+", line)[0] for line in always]
    return found


@pytest.fixture(scope="module")
def core(built, tmp_path_factory):
    """A fresh environment with the wheel, and of the packages installed here with what the core needs and no other."""
    folder = tmp_path_factory.mktemp("core") / "environment"
    assert call(sys.executable, "-m", "venv", "--without-pip", folder).returncode == 0
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    done = call(*pip, "install", "--quiet", "--no-index", "--no-deps", "--no-compile", built[0])
    assert done.returncode == 0, done.stderr
    (packages,) = folder.glob("lib/python*/site-packages")
    for found in needed(CORE).values():
        for name in {file.parts[0] for file in found.files if file.parts[0] not in ("..", "__pycache__")}:
            (packages / name).symlink_to(Path(found.locate_file(name)).resolve())
    checked = call(*pip, "check")
    assert checked.returncode == 0, checked.stdout
    return python


def test_the_wheel_holds_both_packages_and_what_they_read(built):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())
        (entries,) = (name for name in names if name.endswith("entry_points.txt"))
        said = wheel.read(entries).decode()
    ours = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
    files = (path.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*") if path.is_file())
    assert ours == {path.as_posix() for path in files if path.parent.name != "__pycache__"}
    assert {"kernel_collapse/py.typed", "kernel_collapse_paper/py.typed"} <= ours
    for group in project["entry-points"].values():
        for name, value in group.items():
            assert f"{name} = {value}" in said


def test_the_source_holds_what_a_wheel_is_built_from_and_no_tests(built, tmp_path):
    wheel, source = built
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (project,) = tmp_path.iterdir()
    assert {path.name for path in project.iterdir()} == {
        *(
            "src",
            "pyproject.toml",
            "README.md",
            "CHANGELOG.md",
            "CITATION.cff",
            "LICENSE",
            "PKG-INFO",
            ".gitignore",
        )
    }
    (again,) = build(project, tmp_path / "again", "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert one.namelist() == other.namelist()


def test_the_core_gives_the_same_numbers_without_any_extra(core, tmp_path):
    done = call(core, "-c", USE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found, imported = json.loads(done.stdout)
    here, _ = json.loads(call(sys.executable, "-c", USE, cwd=tmp_path).stdout)
    assert found == here
    assert not {"jax", "matplotlib", "pandas", "pydantic", "rich", "typer"} & set(imported)


def test_what_needs_an_extra_says_which_in_one_sentence(core, tmp_path):
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    done = call(core, "-c", ASK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == SENTENCES


def test_the_program_says_what_it_needs_and_ends_with_2(core, tmp_path):
    done = call(core.with_name("kernel-collapse"), "--help", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "kernel-collapse: typer is not installed, expected for the command line: "
        "pip install 'kernel-collapse[cli]'.\n"
    )
