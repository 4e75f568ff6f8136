"""The rows that are kept are those that the library computes: some of every kind here, all of them each night."""

import json
import random
from functools import cache

import numpy as np
import pytest

import quick_rows
from conftest import SMOKE, run_cli
from kernel_collapse import report
from kernel_collapse.compare import compare
from kernel_collapse.runs import sweep
from kernel_collapse.runs.store import Store
from kernel_collapse_paper.experiments import REGISTRY

#: Seconds that a trial took, up to which it is among those that may be drawn.
SHORT = 3.0
#: What has no trial of its own.
SHARED = ("theory-vs-samples",)
#: Relative change of NC1 on another machine: round-off in float64, in a solve to a residual of 1e-6, and of networks
#: that gradient descent trains in float32. What is drawn at random has an error of its own.
ROUND_OFF = {"adaptive": 1e-5, "network": 1e-2, "conv-network": 1e-2, "conv-network-gap": 1e-2}


@cache
def same_machine():
    environment, _ = quick_rows.kept()
    here = report.environment()
    return all(environment.get(name) == here.get(name) for name in quick_rows.MACHINE)


def exactly(results):
    """Return results as text, to the last bit, in which NaN is NaN."""
    return {name: json.dumps(value) for name, value in results.items()}


def assert_same(key, results):
    """On the machine of the rows, to the last bit."""
    trial, (known, _) = quick_rows.grid()[key], quick_rows.kept()[1][key]
    if same_machine():
        assert exactly(results) == exactly(known), trial
        return
    assert results.keys() == known.keys()
    kernel = trial.measurement.kernel
    for name in (name for name in known if name.startswith("nc1_") and isinstance(known[name], float)):
        allowed = ROUND_OFF.get(kernel, 1e-9) * abs(known[name])
        if "nc1_round_off" in known:
            allowed += 2 * known["nc1_round_off"] * abs(known[name])
        if "ess" in known and name != "nc1_error":
            allowed += 4 * np.hypot(known["nc1_error"], results["nc1_error"])
        if name in ("nc1_error", "nc1_round_off"):
            continue
        given, kept = results[name], known[name]
        assert abs(given - kept) <= allowed or (np.isnan(given) and np.isnan(kept)), (trial, name)


@cache
def stratified(most=100):
    """Return names and keys: of each experiment and kernel in turn another trial at random, none of the smoke run."""
    drawn, seen, strata = random.Random(20261128), set(), {}
    for name, experiment in REGISTRY.items():
        for trial in experiment.trials("quick"):
            if name not in SMOKE and trial.key not in seen:
                strata.setdefault((name, trial.measurement.kernel), []).append(trial.key)
            seen.add(trial.key)

    def seconds(key):
        return quick_rows.kept()[1][key][1]

    for keys in strata.values():
        short = [key for key in keys if seconds(key) <= SHORT]
        keys[:] = drawn.sample(short, len(short)) or [min(keys, key=seconds)]
    chosen = []
    while len(chosen) < most:
        chosen += [(name, keys.pop()) for (name, _), keys in strata.items() if keys]
    return chosen[:most]


@pytest.mark.parametrize("experiment", [name for name in REGISTRY if name not in (*SMOKE, *SHARED)])
def test_a_hundred_trials_give_the_rows_that_are_kept(experiment):
    for key in (key for name, key in stratified() if name == experiment):
        ended = sweep.attempt(quick_rows.grid()[key])
        assert (ended.status, ended.message) == ("ok", "")
        assert_same(key, ended.results)


def test_every_kind_is_among_the_hundred():
    chosen = stratified()
    assert len(chosen) == len(set(chosen)) == 100
    experiments = {name for name, _ in chosen}
    assert experiments == set(REGISTRY) - set(SMOKE) - set(SHARED)
    kernels = {trial.measurement.kernel for trial in quick_rows.grid().values()}
    assert {quick_rows.grid()[key].measurement.kernel for _, key in chosen} == kernels


def test_the_smoke_run_gives_the_rows_that_are_kept(smoke_run):
    """Through the command line, in processes, and the store."""
    with Store(smoke_run) as store:
        rows = list(store.rows())
    assert {row.key for row in rows} == {t.key for name in SMOKE for t in REGISTRY[name].trials("quick")}
    for row in rows:
        assert (row.status, row.message) == ("ok", "")
        assert_same(row.key, row.results)


@pytest.mark.nightly
def test_a_quick_run_of_everything_gives_the_rows_that_are_kept(quick_report, tmp_path):
    done = run_cli("reproduce", "all", "--out", tmp_path / "quick", "--workers", 2)
    assert done.returncode == 0, done.stderr
    with Store(tmp_path / "quick") as store:
        for row in store.rows():
            assert (row.status, row.message) == ("ok", "")
            assert_same(row.key, row.results)
    changes = compare(quick_report, tmp_path / "quick")
    assert changes.verdicts.empty
    if same_machine():
        assert changes.cells.empty
        for figure in (quick_report / "figures").glob("*.svg"):
            assert (tmp_path / "quick" / "figures" / figure.name).read_bytes() == figure.read_bytes()
