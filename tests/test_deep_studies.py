"""The studies of deep adaptive kernels, on rows whose answer is known."""

import numpy as np
import pytest

from kernel_collapse.runs.store import Row
from kernel_collapse.runs.tidy import tabulate
from kernel_collapse_paper.experiments import deep_data, deep_kernels, deep_widths, training_path

#: log10 NC1 of layer l that each kernel is given: the NNGP rises by 0.1 a layer, and the posterior falls by 0.4.
NNGP, POSTERIOR = (lambda layer: 0.1 * layer), (lambda layer: -0.4 * layer)


def share_of(layer, share):
    """Return log10 NC1 that is that share of the way from the NNGP to the posterior."""
    return NNGP(layer) + share * (POSTERIOR(layer) - NNGP(layer))


LAYERS = {
    "nngp": NNGP,
    "ntk": lambda layer: 0.3 + 0.1 * layer,
    "adaptive": lambda layer: share_of(layer, 0.6),
    "mean-field": lambda layer: share_of(layer, 0.99),
    "posterior": POSTERIOR,
    "network": lambda layer: share_of(layer, 1.5),
}


def tabulated(trials, logs_of):
    """Return rows of these trials: of every layer log10 NC1 of ours, and a little that depends on the seed."""
    rows = []
    for trial in trials:
        noise = 1e-4 * np.random.default_rng(trial.seed).normal()
        logs = [log + noise for log in logs_of(trial)]
        nc1 = [float(10**log) for log in logs]
        found = {"nc1_paper": nc1[-1], "layer_nc1": nc1, "path_nc1": [[1.0] * len(nc1), nc1]}
        rows.append(Row(trial.key, trial, "ok", "", found, 0.0, {}))
    return tabulate(rows)


def every_layer(trial):
    what = trial.measurement
    if what.kernel == "data":
        return [0.0]
    return [LAYERS[what.kernel](layer) for layer in range(1, what.depth + 1)]


@pytest.fixture(scope="module")
def deep():
    grid = deep_kernels.trials("paper")
    return deep_kernels.EXPERIMENT, deep_kernels.prepare(tabulated(grid, every_layer))


def test_every_layer_of_every_network_is_a_row(deep):
    _, table = deep
    *_, depths, chosen = deep_kernels.GRIDS["paper"]
    networks = sum(len(activations) * seeds for activations, seeds in chosen.values())
    law, activation = deep_kernels.UNSOLVED
    unsolved = chosen[law][1] * (sum(depths) - 1)  # layers of two and three; the mean field of one is solved
    assert len(table) == networks * sum(depths) * len(deep_kernels.KERNELS) - unsolved
    solved = table[
        (table["data"] == law) & (table["activation"] == activation) & (table["kernel"] == "mean-field")
    ]
    assert set(solved["depth"]) == {1}
    for kernel, logs in LAYERS.items():
        of = table[table["kernel"] == kernel]
        expected = [logs(layer) for layer in of["layer"]]
        np.testing.assert_allclose(of["log_nc1"], expected, atol=1e-3)
    assert set(table["kernel"]) == set(deep_kernels.KERNELS)
    assert (table["layer"] <= table["depth"]).all()


def test_verdicts_say_what_the_layers_were_given(deep):
    experiment, table = deep
    verdicts = {verdict.claim: verdict for verdict in experiment.judge(table)}
    falls = {
        kernel: verdicts[
            f"{name[0].upper()}{name[1:]}: each hidden layer is more collapsed than the one below."
        ].status
        for kernel, name in deep_kernels.KERNEL_NAMES.items()
        if kernel in deep_kernels.KERNELS
    }
    assert falls.pop("nngp") == falls.pop("ntk") == "does not hold"
    assert set(falls.values()) == {"holds"}
    others = [
        verdict.status for claim, verdict in verdicts.items() if "each hidden layer is more" not in claim
    ]
    assert others == [
        "holds",  # the last layer adapts most
        "holds",  # 99 % of the change: off by 0.02 decades at most
        "does not hold",  # 60 % is off by more
        "holds",  # and is more than half
        "holds",  # 99 % is more than 90 %
        "does not hold",  # the network goes 1.5 times as far as the posterior
    ]
    assert all(verdict.topics == {"layers"} for verdict in verdicts.values())


def test_shares_are_those_that_were_given(deep):
    shares = deep_kernels._explained(deep[1]).groupby("kernel")["share"]
    for kernel, share in (("adaptive", 0.6), ("mean-field", 0.99), ("network", 1.5)):
        np.testing.assert_allclose(shares.get_group(kernel), share, atol=2e-3)


def test_figures_have_every_law_and_kernel(deep):
    experiment, table = deep
    by_layer, shares = experiment.draw(table)
    every = len(deep_kernels.KERNELS) + 1
    # Of D2 erf alone. Overlapping classes with ReLU have a mean field of one layer, and the first figure shows three.
    for figure, lines in ((by_layer, [every] * 4 + [every - 1]), (shares, [4] * 5)):
        panels = [panel for row in figure.plot.rows for panel in row if panel is not None]
        assert sorted((len(panel.marks) for panel in panels), reverse=True) == lines


def change_by_width(trial):
    """Return layers whose change from the NNGP is the power of the width that each scaling foretells."""
    what = trial.measurement
    if what.kernel == "data":
        return [0.0]
    if what.kernel == "nngp":
        return [NNGP(layer) for layer in range(1, what.depth + 1)]
    if isinstance(what.width, tuple):
        narrow = what.width.index(min(what.width))
        own = [0.2 * (layer - 1 == narrow and min(what.width) < 100) for layer in range(1, 4)]
        return [NNGP(layer) - 0.1 - more for layer, more in zip(range(1, 4), own, strict=True)]
    ratio = what.width / deep_widths.REFERENCE
    powers = [
        power
        for readout, noise, power in deep_widths.SCALINGS.values()
        if np.isclose(what.readout_variance, deep_widths.READOUT * ratio**readout)
        and np.isclose(what.noise_variance, deep_widths.NOISE * ratio**noise)
    ]
    assert len(powers) == 1
    return [NNGP(layer) - 0.3 * layer * ratio ** powers[0] for layer in range(1, what.depth + 1)]


def test_slopes_are_those_of_each_scaling():
    grid = deep_widths.trials("quick")
    table = deep_widths.prepare(tabulated(grid, change_by_width))
    slopes = deep_widths._slopes(table)
    np.testing.assert_allclose(slopes["slope"], slopes["foretold"], atol=1e-6)
    power, narrow, _ = deep_widths.verdicts(table)
    assert (power.status, narrow.status) == ("holds", "holds")
    off = table.assign(change=table["change"] * np.where(table["layer"] == 2, table["width"] ** 0.02, 1.0))
    wrong = deep_widths.verdicts(off)[0]
    assert wrong.status == "holds in part"
    assert "fails in 3" in wrong.answer


def test_where_depth_helps_is_told_law_by_law():
    def logs(trial):
        what = trial.measurement
        if what.kernel == "data":
            return [0.0]
        harmed = trial.data.law == "xor"
        fall = -0.2 if what.kernel == "nngp" or harmed else 0.3
        return [-fall * what.depth]

    rows = tabulated(deep_data.trials("quick"), logs)
    table = deep_data.prepare(rows)
    assert list(dict.fromkeys(table["data"])) == list(deep_data.data_of("quick"))
    assert set(table["data"]) == set(deep_data.ORDER)
    nngp, adaptive, ahead = deep_data.verdicts(table)
    assert nngp.status == "does not hold"
    assert adaptive.status == "holds in part"
    assert adaptive.answer.startswith("In 18 of 20 cells")
    assert "fails in 2 (erf, XOR; ReLU, XOR)" in adaptive.answer
    assert ahead.answer.startswith("In 18 of 20 cells")


def test_kernels_beside_the_terminal_phase_have_the_prior_of_weight_decay():
    """Weight decay is the prior of one variance for every weight; a layer's is that times its fan-in."""
    v = 2 * training_path.NOISE / (training_path.N * training_path.DECAY)
    assert training_path.WIDTH * v == pytest.approx(1.0)
    networks = [t for t in training_path.trials("quick") if t.measurement.kernel == "network"]
    assert {t.measurement.weight_decay for t in networks} == {training_path.DECAY}
    x, shrunk = training_path.LAW.sample(3).x, training_path.SHRUNK.sample(3).x
    np.testing.assert_allclose(shrunk @ shrunk.T / training_path.DIM, v * x @ x.T, atol=1e-15)
    for trial in training_path.trials("quick"):
        what = trial.measurement
        if what.kernel == "adaptive":
            assert what.noise_variance / what.readout_variance == training_path.NOISE
            assert what.weight_variance == what.readout_variance


def test_terminal_phase_is_held_against_kernels():
    ends = {
        "network": -0.5,
        "nngp": 0.1,
        "warm": -0.2,
        "cold": -0.4,
    }  # log10 NC1 of layer 1; of layer l times l

    def rows_of(trials):
        rows = []
        for trial in trials:
            what = trial.measurement
            kernel = what.kernel
            if kernel == "adaptive":
                kernel = "warm" if what.weight_variance == 1 else "cold"
            noise = 1e-4 * np.random.default_rng(trial.seed).normal()
            nc1 = [float(10 ** (ends[kernel] * layer + noise)) for layer in range(1, what.depth + 1)]
            found = {"nc1_paper": nc1[-1]}
            if kernel == "network":
                found |= {"path_epochs": [0, 100, 3000], "path_nc1": [[1.0] * 3, [0.9] * 3, nc1]}
                found |= {
                    "path_loss": [1.0, 0.1, 0.01],
                    "path_nc3_cosine": [0.0, 0.5, 0.9],
                    "zero_error_epoch": 1.0,
                }
            elif kernel != "nngp":
                found["layer_nc1"] = nc1
            rows.append(Row(trial.key, trial, "ok", "", found, 0.0, {}))
        return tabulate(rows)

    rows = rows_of(training_path.trials("quick"))
    *falls, nngp, warm, cold = training_path.verdicts(rows)
    assert {verdict.status for verdict in falls} == {"holds"}
    for verdict, gap, status in ((nngp, 0.6, "holds"), (warm, 0.3, "holds"), (cold, 0.1, "holds")):
        evidence = verdict.evidence
        np.testing.assert_allclose(evidence["difference"], gap * evidence["layer"], atol=1e-6)
        assert verdict.status == status
    ends["cold"] = -0.3  # off by 0.2, 0.4 and 0.6 decades; a factor of two is 0.30
    assert "In 2 of 6 cells" in training_path.verdicts(rows_of(training_path.trials("quick")))[-1].answer
    (figure,) = training_path.figures(rows)
    assert [len(panel.marks) for panel in figure.plot.rows[0]] == [3 + 2 + 9, 3 + 2 + 9, 2]
    table = training_path.tables(rows)[1].frame
    np.testing.assert_allclose(table["trained network"], -0.5 * table["layer"], atol=1e-3)
