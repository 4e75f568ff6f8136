import itertools
import os
import re
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from conftest import refuse, run_cli
from kernel_collapse.compare import _differences, compare, write_comparison
from kernel_collapse.runs import sweep, sweep_file
from kernel_collapse.runs.run import Run
from kernel_collapse.runs.store import Store
from kernel_collapse.runs.trials import GaussianClasses, Trial, compute
from kernel_collapse_paper import experiments

NAME = "limiting-kernels-balanced"
RUN = {"experiments": [NAME], "preset": "quick", "version": "0.1.0"}
#: Of the quick grid: D1 and D2, N = 128, three seeds.
GRID = [
    trial
    for trial in experiments.REGISTRY[NAME].trials("quick")
    if trial.data.n == 128 and trial.data.dim in (2, 8) and trial.seed < 3
]


@pytest.fixture(scope="module")
def computed():
    return {trial.key: (trial, compute(trial)) for trial in GRID}


def write(folder, results, run=RUN, environment=None, failed=()):
    with Store(folder, run, {"environment": environment or {"numpy": "1"}}) as store:
        for key, (trial, values) in results.items():
            ok = key not in failed
            store.add(
                trial,
                status="ok" if ok else "failed",
                message="" if ok else "lost",
                results=values,
                seconds=0,
            )
    return folder


def key_of(law, kernel, dim, seed, activation="erf"):
    (found,) = [
        t.key
        for t in GRID
        if t.data.name == law and t.data.dim == dim and t.seed == seed and t.measurement.kernel == kernel
        if kernel == "data" or t.measurement.activation == activation
    ]
    return found


def scaled(values, factor):
    return {name: v * factor if name.startswith("nc1_") else v for name, v in values.items()}


@pytest.fixture(scope="module")
def runs(computed, tmp_path_factory):
    """Run B has altered, missing and failed rows, an added one, and other versions."""
    base = tmp_path_factory.mktemp("runs")
    altered = dict(computed)

    def alter(factor, *where):
        trial, values = altered[key_of(*where)]
        altered[key_of(*where)] = (trial, scaled(values, factor))

    for seed in range(3):
        alter(10.0, "D1", "nngp", 8, seed)  # far beyond the noise
        alter(1 + 1e-4, "D1", "ntk", 8, seed)  # a change, but small against it
    alter(1 + 1e-12, "D1", "nngp", 2, 0)
    gone = key_of("D2", "ntk", 8, 0, "relu")
    del altered[gone]
    added = Trial(data=GaussianClasses(n=20, dim=3), measurement={"kernel": "data"}, seed=0)
    altered[added.key] = (added, compute(added))
    other = key_of("D2", "nngp", 2, 1)
    altered[other] = (altered[other][0], altered[other][1] | {"extra": 1.0})
    failed = key_of("D2", "ntk", 2, 0)
    run = {**RUN, "version": "0.2.0"}
    return write(base / "a", computed), write(base / "b", altered, run, {"numpy": "2"}, {failed})


def test_what_became_of_every_trial(runs, computed):
    found = compare(*runs)
    counts = found.counts.set_index("what")["trials"]
    total = len(computed)
    assert counts["only in A"] == 1
    assert counts["only in B"] == 1
    assert counts["status changed"] == 1
    assert counts["NC1 changed"] == 6
    assert counts["NC1 within round-off (1e-09)"] == 1
    assert counts["same NC1, another result differs"] == 1
    assert counts["identical bit for bit"] == total - 10
    assert counts.sum() == total + 1
    assert set(found.rows["change"]) <= set(_differences.CHANGES)
    (lost,) = found.rows[found.rows["change"] == "status changed"].to_dict("records")
    assert (lost["status_a"], lost["status_b"], lost["message_b"], lost["seed"]) == (
        "ok",
        "failed",
        "lost",
        0,
    )
    assert lost["cell"] == "D2, N=128, d=2: erf NTK"
    assert found.about.set_index("what").loc["numpy"].tolist() == ["1", "2"]
    assert found.about.set_index("what").loc["version"].tolist() == ["0.1.0", "0.2.0"]
    assert len(found.about) == 2


def test_cells_against_the_noise_of_their_seeds(runs, computed):
    cells = compare(*runs).cells
    assert cells["kind"].tolist() == ["beyond seed noise", "within seed noise", "round-off"]
    assert cells["cell"].tolist() == [
        "D1, N=128, d=8: erf NNGP",
        "D1, N=128, d=8: erf NTK",
        "D1, N=128, d=2: erf NNGP",
    ]
    assert cells["weighting"].tolist() == ["paper"] * 3
    old = np.log10([computed[key_of("D1", "nngp", 8, seed)][1]["nc1_paper"] for seed in range(3)])
    assert cells["a"][0] == pytest.approx(old.mean(), rel=1e-12)
    assert cells["difference"][0] == pytest.approx(1.0, rel=1e-12)
    error = np.sqrt(2 * old.var(ddof=1) / 3)
    assert cells["error"][0] == pytest.approx(error, rel=1e-9)
    assert cells["errors"][0] == pytest.approx(1 / error, rel=1e-9)
    assert cells["largest"][1] == pytest.approx(np.log10(1 + 1e-4), rel=1e-6)
    assert (cells[["seeds_a", "seeds_b", "in_both"]] == 3).all(axis=None)
    quantities = compare(*runs).quantities.set_index("quantity")
    assert quantities.loc["nc1_class", "differ"] == 7
    assert quantities.loc["extra", "differ"] == 1
    assert np.isinf(quantities.loc["extra", "largest"])
    assert quantities.loc["nc1_paper", "largest"] == pytest.approx(0.9)
    assert "within_paper" not in quantities.index


def test_verdicts_that_changed(runs):
    """Ten times the NC1 of the NNGP makes it less collapsed than the NTK."""
    verdicts = compare(*runs).verdicts
    assert "The NTK is not more collapsed than the NNGP." in set(verdicts["claim"])
    of = {}
    for side, folder in zip("ab", runs, strict=True):
        rows = Run(folder).frame()
        of[side] = {v.claim: v.status for v in experiments.REGISTRY[NAME].verdicts(rows)}
    changed = {
        claim: (status, of["b"][claim]) for claim, status in of["a"].items() if status != of["b"][claim]
    }
    assert {row.claim: (row.a, row.b) for row in verdicts.itertuples()} == changed


def test_a_run_and_its_copy_are_the_same(computed, tmp_path):
    found = compare(write(tmp_path / "a", computed), write(tmp_path / "b", computed))
    assert found.counts.set_index("what")["trials"]["identical bit for bit"] == len(computed)
    assert found.counts["trials"].sum() == len(computed)
    for table in (found.cells, found.about, found.verdicts, found.quantities):
        assert table.empty
    assert "What became of the trials" in write_comparison(found, tmp_path / "c.html").read_text(
        encoding="utf-8"
    )


def test_one_weighting_alone(computed, tmp_path):
    """What changed under another weighting than the first is found, with values that have no logarithm."""
    key = key_of("D1", "nngp", 8, 0)
    trial, values = computed[key]
    changed = computed | {key: (trial, values | {"nc1_published": -0.5})}
    (cell,) = compare(write(tmp_path / "a", computed), write(tmp_path / "b", changed)).cells.to_dict(
        "records"
    )
    assert (cell["weighting"], cell["unit"]) == ("published", "NC1")
    assert cell["largest"] == pytest.approx(values["nc1_published"] + 0.5)


def sweep_run(tmp_path, name, seeds, dim="[2, 4]"):
    text = f"""
        seeds = {seeds}
        [data]
        law = "gaussian"
        n = 30
        dim = {dim}
        [measurement]
        kernel = "nngp"
        activation = "erf"
    """
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    mine, toml = sweep_file.read(tmp_path / "mine.toml")
    with Store(tmp_path / name, {"sweep": "mine"}, {"environment": {"numpy": "1"}}) as store:
        store.note({"toml": toml, "specification": mine.model_dump(mode="json")})
        sweep.run(mine.trials(), store)
    return tmp_path / name


def test_sweeps_with_other_seeds_are_compared_by_their_means(tmp_path):
    a, b = (
        sweep_run(tmp_path, "a", "[0, 1, 2, 3]"),
        sweep_run(tmp_path, "b", "[10, 11, 12, 13, 14]", "[4, 8]"),
    )
    found = compare(a, b)
    counts = found.counts.set_index("what")["trials"]
    assert (counts["only in A"], counts["only in B"]) == (8, 10)
    assert counts.sum() == 18
    (cell,) = found.cells.to_dict("records")
    assert (cell["seeds_a"], cell["seeds_b"], cell["in_both"]) == (4, 5, 0)
    assert cell["kind"] == "within seed noise"  # nothing has changed but the seeds
    assert np.isnan(cell["largest"])
    assert found.verdicts.empty
    assert found.about["what"].tolist() == ["SHA-256 of the sweep's file"]


def test_one_seed_has_no_noise(tmp_path):
    a, b = sweep_run(tmp_path, "a", "[0]", "2"), sweep_run(tmp_path, "b", "[1]", "2")
    assert compare(a, b).cells["kind"].tolist() == ["one seed"]


def test_a_trial_of_another_version_is_matched_where_it_can_be(tmp_path):
    """A row without an option that has been added since is that of its default; one that cannot be read is itself."""
    a, b = sweep_run(tmp_path, "a", "[0, 1]", "2"), sweep_run(tmp_path, "b", "[0, 1]", "2")
    with closing(sqlite3.connect(a / "results.sqlite")) as db, db:
        db.execute(
            "UPDATE trials SET key = 'old' || key, specification = json_remove(specification, '$.measurement.depth')"
        )
    assert compare(a, b).counts.set_index("what")["trials"]["identical bit for bit"] == 2
    with closing(sqlite3.connect(a / "results.sqlite")) as db, db:
        db.execute(
            "UPDATE trials SET specification = json_set(specification, '$.measurement.kernel', 'gone')"
        )
        db.execute("DELETE FROM run WHERE name = 'specification'")
    counts = compare(a, b).counts.set_index("what")["trials"]
    assert (counts["only in A"], counts["only in B"]) == (2, 2)


def test_the_command(runs, tmp_path):
    page = tmp_path / "new" / "changes.html"
    done = run_cli("report", *runs, "--out", page, env={**os.environ, "COLUMNS": "140"})
    assert done.returncode == 0, done.stderr
    assert f"Comparison: {page}" in done.stdout
    cell = r"beyond seed noise +D1, N=128, d=8: erf NNGP +paper +log10 NC1 +-\d\.\d+ +-\d\.\d+ +\+1 "
    assert re.search(cell, done.stdout)
    assert re.search(r"only in A +1 *\n", done.stdout)
    assert "failed in both" not in done.stdout
    html = page.read_text(encoding="utf-8")
    for text in (
        "Cells whose NC1 changed",
        "Verdicts that changed",
        "Trials whose status changed",
        "0.1.0 → 0.2.0",
    ):
        assert text in html
    assert not re.search(r'(src|href)="(?!#|data:|figures/)', html)
    assert not (tmp_path / "new" / "figures").exists()  # one file to send on


def test_bad_input_is_refused_and_nothing_written(runs, tmp_path, monkeypatch, capsys):
    a, b = runs
    before = {path.name for path in b.iterdir()}

    def said(*arguments):
        return refuse(monkeypatch, capsys, "report", *arguments)

    assert "holds no results.sqlite" in said(a, tmp_path)
    assert "expected two runs" in said(a, a)
    assert "3 folders are given" in said(a, b, a)
    assert "--open-questions is given with two folders" in said(a, b, "--open-questions", tmp_path / "q.md")
    assert "--errata is given with two folders" in said(a, b, "--errata", tmp_path / "e.md")
    assert "expected the name of a page" in said(a, b, "--out", tmp_path / "c.pdf")
    assert "expected the name of a page" in said(a, "--out", tmp_path / "c.pdf")
    (tmp_path / "file").write_text("")
    assert "cannot be written" in said(a, "--out", tmp_path / "file" / "c.html")
    assert "cannot be written" in said(a, b, "--out", tmp_path / "file" / "c.html")
    assert {path.name for path in b.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_lists_and_missing_values_are_compared():
    assert _differences._relative([[1.0, 2.0]], [[1.0, 2.2]]) == pytest.approx(0.2 / 2.2)
    assert _differences._relative(float("nan"), float("nan")) == 0
    assert _differences._relative(float("nan"), 1.0) == np.inf
    assert _differences._relative([1.0], [1.0, 2.0]) == np.inf
    assert _differences._relative("converged", "stalled") == np.inf
    assert _differences._relative(0.0, 0.0) == 0
    assert _differences._relative(None, 1.0) == np.inf


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("values", list(itertools.permutations([0.003, np.nan, np.inf, -np.inf], 2)))
def test_what_is_finite_on_one_side_alone_has_changed(values, computed, tmp_path):
    """From or to infinity or no number is a change without end, by cell and by quantity; equal infinities are none."""
    old, new = values
    assert _differences._relative(old, old) == _differences._relative([1.0, old], [1.0, old]) == 0.0
    assert _differences._relative(old, new) == _differences._relative([1.0, old], [1.0, new]) == np.inf
    where = key_of("D1", "nngp", 8, 0)
    runs = []
    for name, value in (("a", old), ("b", new)):
        trial, found = computed[where]
        row = found | {"nc1_error": value, "nc1_paper": value}
        runs.append(write(tmp_path / name, {where: (trial, row)}))
    found = compare(*runs)
    assert found.quantities.set_index("quantity").loc["nc1_error", "largest"] == np.inf
    assert found.counts.set_index("what")["trials"]["NC1 changed"] == 1
    assert len(found.cells) == 1


def test_a_seed_that_is_infinite_in_both_runs_says_nothing_of_the_others():
    old, new = np.array([np.inf, 1.0, 1.2, 0.9]), np.array([np.inf, 1.0, 1.2001, 0.9])
    found = _differences._against_noise(old, new, paired=True)
    assert found["kind"] == "within seed noise"
    assert np.isfinite([found[name] for name in ("a", "b", "difference", "error", "largest")]).all()
