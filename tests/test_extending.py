"""docs/extending.md is followed to the letter, on a copy of the program."""

import os
import re
import shutil
import subprocess
import sys

import pytest

import pages
from conftest import ROOT

PAGE = ROOT / "docs" / "extending.md"

SWEEP = """seeds = 2
[[data]]
law = "cube"
n = 12
dim = 2
side = [1.0, 3.0]
[[measurement]]
kernel = "laplacian"
length = [0.5, 2.0]
[[measurement]]
kernel = ["nngp", "ntk"]
activation = "cosh"
"""

CHECKS = """
import numpy as np
import kernel_collapse as kc
from kernel_collapse import activations

cosh = activations.get("cosh")
rule, weights = np.polynomial.hermite_e.hermegauss(60)
weights = weights / weights.sum()
u, v = np.meshgrid(rule, rule)
v = 0.6 * u + 0.8 * v  # variances 1, covariance 0.6
both = np.outer(weights, weights)
np.testing.assert_allclose(cosh.kappa(1.0, 1.0, 0.6), (both * np.cosh(u) * np.cosh(v)).sum(), rtol=1e-12)
np.testing.assert_allclose(cosh.kappa_c(1.0, 1.0, 0.6), (both * np.sinh(u) * np.sinh(v)).sum(), rtol=1e-12)

data = kc.data.gaussian_classes(n=90, dim=4, class_means=(-2, 0, 3), seed=0)
found = kc.collapse(kc.nngp(data.x), data.labels)
assert found.cdnv_worst == found.cdnv_pairs.max() > found.cdnv

from kernel_collapse.laplacian import Laplacian

for kernel in (Laplacian(2.0), kc.kernels.NTK(activations.get("cosh"))):
    found = kc.streamed_nc1(data.x, data.labels, kernel=kernel)
    np.testing.assert_allclose(found.ratio, kc.nc1(kernel(data.x), data.labels).ratio, rtol=1e-10)
    assert (np.abs(kernel.pairs(data.x[1:], data.x[:-1]) / np.diag(kernel(data.x), 1) - 1) < 1e-10).all()

rows = kc.results("runs/sweep")
assert len(rows) == 16 and (rows["status"] == "ok").all()
assert set(rows["kernel"]) == {"laplacian", "nngp", "ntk"}
assert rows.attrs["columns"]["length"]["meaning"] and rows.attrs["columns"]["data_side"]["meaning"]
row = rows[(rows["kernel"] == "laplacian") & (rows["length"] == 2.0) & (rows["data_side"] == 3.0) & (rows["seed"] == 1)]
x = kc.data.sample("cube", n=12, dim=2, side=3.0, seed=1)
gram = [[np.exp(-np.sqrt(((a - b) ** 2).sum()) / 2.0) for a in x.x] for b in x.x]
np.testing.assert_allclose(row["nc1_paper"].item(), kc.nc1(gram, x.labels).ratio, rtol=1e-12)
"""


def apply(diff, root):
    """Add the lines of a diff where the lines around them are, which must be in one place only."""
    for part in re.split(r"^--- ", diff, flags=re.M)[1:]:
        path, _, hunks = part.partition("\n")
        file = root / path
        text = file.read_text(encoding="utf-8")
        for hunk in re.split(r"^@@\n", hunks, flags=re.M):
            lines = hunk.splitlines()
            old = "".join(line[1:] + "\n" for line in lines if line[:1] in " -")
            new = "".join(line[1:] + "\n" for line in lines if line[:1] in " +")
            assert text.count("\n" + old) == 1, f"{path} has not once:\n{old}"
            text = text.replace("\n" + old, "\n" + new)
        file.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the program with what the page adds, and an empty folder beside it to run in."""
    root = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for block in pages.blocks(PAGE, "python"):
        if named := re.match(r"# (src/\S+\.py)\n", block.text):
            assert not (root / named[1]).exists()
            (root / named[1]).write_text(block.text.removeprefix(named[0]), encoding="utf-8")
    for block in pages.blocks(PAGE, "diff"):
        apply(block.text, root)
    (root / "here").mkdir()
    return root


def python(root, *arguments):
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root / "here", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_extended_program_runs(extended):
    program = "from kernel_collapse.cli import main; main()"
    (extended / "here" / "sweep.toml").write_text(SWEEP, encoding="utf-8")
    assert "16 trials run, 0 found" in python(extended, "-c", program, "run", "sweep.toml", "--workers", "1")
    said = python(extended, "-c", program, "reproduce", "bias", "--workers", "1")
    assert "12 trials run, 0 found" in said
    assert "A bias makes the NNGP of erf less collapsed." in said
    python(extended, "-c", CHECKS)


def test_the_extended_program_has_the_style_of_the_rest(extended):
    shutil.copy(ROOT / "pyproject.toml", extended)
    for arguments in (["check"], ["format", "--check", "--diff"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "src"], cwd=extended, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
