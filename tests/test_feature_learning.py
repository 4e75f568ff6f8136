"""The study of kernels that learn features, on rows whose answer is known."""

import numpy as np
import pytest

from kernel_collapse.runs.store import Row
from kernel_collapse.runs.tidy import tabulate
from kernel_collapse_paper.experiments import feature_learning
from kernel_collapse_paper.experiments.feature_learning import grid

#: log10 NC1 of layer l: the NNGP rises, the network falls, and what goes where.
LOGS = {
    "data": lambda layer: 0.0,
    "nngp": lambda layer: 0.1 * layer,
    "ntk": lambda layer: 0.3 + 0.1 * layer,
    "network": lambda layer: -0.4 * layer,
    "adaptive": lambda layer: -0.4 * layer + 0.05,
    "mean-field": lambda layer: -0.4 * layer + 0.02,
    "posterior": lambda layer: 0.1 * layer + 0.05,
}


def of_machine(what, law, layer):
    """Input, after M^{1/2} and features: a wide kernel collapses, a narrow one and D2 do not; constants help D2."""
    falls = what.bandwidth > 1 and (law != "D2" or what.constant)
    start = -1.0 if law == "D2" else 0.0
    step = -1.0 if falls else 0.5
    entry = start + step * (layer - 1)
    return entry, entry + step - 0.1, entry + step


def rows(trials):
    found = []
    for trial in {trial.key: trial for trial in trials}.values():
        what, rng = trial.measurement, np.random.default_rng(trial.seed)
        noise = 1e-4 * rng.normal()
        layers = range(1, getattr(what, "depth", 1) + 1)
        if what.kernel == "deep-rfm":
            parts = 10 ** (np.array([of_machine(what, trial.data.name, layer) for layer in layers]) + noise)
            of_layers = dict(
                zip(("layer_nc1_input", "layer_nc1_agop", "layer_nc1"), parts.T.tolist(), strict=True)
            )
        else:
            nc1 = [float(10 ** (LOGS[what.kernel](layer) + noise)) for layer in layers]
            of_layers = {"layer_nc1": nc1, "path_nc1": [[1.0] * len(nc1), nc1]}
        results = {"nc1_paper": of_layers["layer_nc1"][-1], **of_layers}
        found.append(Row(trial.key, trial, "ok", "", results, 0.0, {}))
    return tabulate(found)


@pytest.fixture(scope="module")
def table():
    return grid.prepare(rows(grid.trials("quick")))


@pytest.fixture(scope="module")
def verdicts(table):
    return feature_learning.EXPERIMENT.judge(table)


def test_every_kernel_and_layer_is_a_row(table):
    assert set(table["data"]) == set(grid.LAWS)
    ways = table.groupby("data")[["targets", "constant"]].nunique().product(axis=1)
    assert ways.pop("D2") == 4
    assert set(ways) == {1}
    cells = len(grid.GRIDS["quick"].cells)
    per_kernel = table.groupby("kernel").size()
    assert per_kernel["network"] == per_kernel["nngp"] == 5 * cells * grid.DEPTH
    assert per_kernel["posterior"] == 3 * grid.DEPTH
    assert set(per_kernel.index) == {*grid.OTHERS, *grid.MACHINES}
    for kernel in grid.OTHERS:
        of = table[table["kernel"] == kernel]
        np.testing.assert_allclose(of["log_nc1"], [LOGS[kernel](layer) for layer in of["layer"]], atol=1e-3)


def test_verdicts_say_what_the_layers_were_given(verdicts):
    assert [verdict.status for verdict in verdicts] == [
        *("holds", "holds", "does not hold", "holds in part"),  # the posterior was put above the NNGP
        *("holds", "holds", "does not hold", "holds in part"),  # within a factor of 2 of the network
        "holds",  # the equations of state are nearest
        *("holds in part", "holds in part", "does not hold"),  # a layer, M^{1/2}, the activation
        *("does not hold", "does not hold", "holds in part", "holds in part"),  # D2: not by its targets
    ]
    of_machines = verdicts[3]
    assert "Laplace 0.5 2 of 21" in of_machines.answer  # D2 begins below the NNGP, and is above it in layer 3
    assert "Laplace 2 20 of 21" in of_machines.answer
    beside = verdicts[-2]
    assert "Laplace 8 2 of 2" in beside.answer
    assert "Gaussian 0.5 0 of 2" in beside.answer
    assert all(verdict.topics == {"layers"} for verdict in verdicts)


def test_a_layer_that_float64_does_not_tell_is_left_out(table, verdicts):
    lost = (table["kernel"] == "Gaussian 1.5") & (table["layer"] == 3)
    part = table.assign(**{name: table[name].mask(lost) for name in ("nc1", "log_nc1", "log_nc1_agop")})
    assert "Gaussian 1.5 18 of 21" in verdicts[9].answer
    assert "Gaussian 1.5 12 of 14" in feature_learning.EXPERIMENT.judge(part)[9].answer
    assert all(len(figure.plot.rows) for figure in feature_learning.EXPERIMENT.draw(part))


def test_figures_have_every_law_and_kernel(table):
    relu, erf, on_d2 = feature_learning.EXPERIMENT.draw(table)
    panels = [panel for row in relu.plot.rows for panel in row]
    assert [panel.title for panel in panels] == list(grid.LAWS)
    assert {len(panel.marks) for panel in panels} == {4 + 3 + 1}  # no mean field or posterior of ReLU
    assert len(erf.plot.rows[0][0].marks) == 6 + 3 + 1
    assert [panel.title for panel in on_d2.plot.rows[0]] == list(grid.MACHINES)
    assert all(mark.x.tolist() == [0, 1, 2, 3] for panel in on_d2.plot.rows[0] for mark in panel.marks)


def test_the_grids_share_what_takes_long_with_another_study():
    from kernel_collapse_paper.experiments import deep_kernels

    for preset, kernels in (("quick", ("posterior", "mean-field")), ("paper", ("posterior",))):
        other = {trial.key for trial in deep_kernels.trials(preset)}
        ours = [
            trial
            for trial in grid.trials(preset)
            if trial.measurement.kernel in kernels
            and trial.data.name == "D1"
            and trial.data.class_sizes is None
        ]
        assert ours
        assert {trial.key for trial in ours} <= other
