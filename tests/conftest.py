import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

from kernel_collapse.cli import main

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[1]

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


def pytest_collection_modifyitems(items):
    for item in items:
        if "quick_run" in item.fixturenames:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory):
    """Folder of a complete quick run of everything, made once by the command line, whichever process asks first."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "quick"
    with FileLock(base / "quick.lock"):
        if not (folder / "report.html").exists():
            done = run_cli("reproduce", "all", "--out", folder, "--workers", 2)
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def quick_run_again(quick_run):
    """Folder of the same rows, reported a second time, with the open questions; made once too."""
    folder = quick_run.parent / "again"
    page = folder / "new" / "open-questions.md"
    with FileLock(quick_run.parent / "again.lock"):
        if not page.exists():
            shutil.copytree(quick_run, folder, ignore=shutil.ignore_patterns("figures", "report.html"))
            done = run_cli("report", folder, "--open-questions", page)
            assert done.returncode == 0, done.stderr
            assert done.stdout == f"Report: {folder / 'report.html'}\nOpen questions: {page}\n"
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(20240602)


@pytest.fixture
def unchecked():
    """Leave types to the library: what is tested is what it says of bad input."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
