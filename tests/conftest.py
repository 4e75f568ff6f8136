import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

import checks  # noqa: F401, before any module of the library
import quick_rows
from kernel_collapse.cli import main
from kernel_collapse.runs.run import Run

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[1]
#: What is run end to end: what `test_sweep` kills and resumes, and a solver.
SMOKE = ("limiting-kernels-balanced", "adaptive-path")

# Properties are tried on the same examples everywhere, so that no test fails by an unlucky draw. Others are drawn with
# --hypothesis-profile=drawn --hypothesis-seed=N.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("drawn", deadline=None, database=None)
settings.load_profile("fixed")


def run_cli(*arguments: object, **options) -> subprocess.CompletedProcess:
    """Run the installed program in a process of its own, as a user does."""
    program = Path(sys.executable).with_name("kernel-collapse")
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=4 * 3600, **options)


def refuse(monkeypatch, capsys, *arguments):
    """Run the program in this process, and give the sentence with which it refuses its input."""
    monkeypatch.setattr(sys, "argv", ["kernel-collapse", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("kernel-collapse: ")
    assert captured.err.count("\n") == 1
    return captured.err


def pytest_configure(config):
    """Compile each program of JAX once for all test processes and the programs that they start."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # workers have that of the process that started them
        folder = tempfile.TemporaryDirectory(prefix="kernel-collapse-jax-")
        config.add_cleanup(folder.cleanup)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
        os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**30)  # it is locked only if it has a limit
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"


def pytest_collection_modifyitems(items):
    for item in items:
        # The order of a set and the address of an object differ from process to process, and both test processes must
        # have the same names.
        if re.search(r"frozenset\(|\{'[^']*'[,}]| at 0x", item.nodeid):
            raise pytest.UsageError(
                f"{item.nodeid}: give this case a name that is the same in every process (ids=)"
            )
        if {"quick_run", "smoke_run"} & set(item.fixturenames):
            item.add_marker("slow")


def once(tmp_path_factory, name, make):
    """Folder that whichever test process asks first makes, for all of them."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, made = base / name, base / f"{name}.made"
    with FileLock(base / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory):
    """Folder of a quick run of everything, from the rows that are kept."""
    return once(tmp_path_factory, "quick", quick_rows.restore)


@pytest.fixture(scope="session")
def quick_rows_frame(quick_run):
    """The rows of the quick run as a table, which nobody changes."""
    return Run(quick_run).frame()


@pytest.fixture(scope="session")
def quick_report(quick_run, tmp_path_factory):
    """Folder of the report of the quick run, with the open questions."""

    def make(folder):
        shutil.copytree(quick_run, folder)
        page = folder / "new" / "open-questions.md"
        done = run_cli("report", folder, "--open-questions", page)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"Report: {folder / 'report.html'}\nOpen questions: {page}\n"

    return once(tmp_path_factory, "reported", make)


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """Folder of a quick run of a few experiments, computed and reported by the command line."""

    def make(folder):
        done = run_cli("reproduce", *SMOKE, "--out", folder, "--workers", 2)
        assert done.returncode == 0, done.stderr

    return once(tmp_path_factory, "smoke", make)


@pytest.fixture
def rng():
    return np.random.default_rng(20240602)


@contextmanager
def types_unchecked():
    """Call a function as users do, whose shapes nobody checks: a thousand calls take a fifth of the time."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def unchecked():
    """Leave types to the library: what is tested is what it says of bad input."""
    with types_unchecked():
        yield
