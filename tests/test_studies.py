"""The studies beyond the paper: laws, activations, depth; and what they are judged by."""

import numpy as np
import pandas as pd
import pytest

import kernel_collapse as kc
from kernel_collapse import correlation_map
from kernel_collapse.report import interactive
from kernel_collapse.runs import sweep
from kernel_collapse.runs.measurements import KernelNC1
from kernel_collapse.runs.run import Run
from kernel_collapse.runs.store import Row, Store
from kernel_collapse.runs.tidy import tabulate
from kernel_collapse_paper import experiments
from kernel_collapse_paper.experiments import _properties, activations, beyond_gaussian, theory_vs_samples
from kernel_collapse_paper.experiments.depth import _grid, _settings


def ran(trials, folder):
    with Store(folder, {"experiments": ["some"]}) as store:
        for trial in trials:
            outcome = sweep.attempt(trial)
            assert outcome.status == "ok", outcome.message
            store.add(trial, **outcome._asdict())
    return Run(folder).frame().astype({"depth": float})  # as it comes beside trials that have no depth


def synthetic(trials, log_nc1):
    """Return rows of these trials with an NC1 of our own: a function of the trial and of noise."""
    rng = np.random.default_rng(0)
    values = [10 ** (log_nc1(trial) + 0.01 * rng.normal()) for trial in trials]
    rows = [
        Row(trial.key, trial, "ok", "", {"nc1_paper": value}, 0.0, {})
        for trial, value in zip(trials, values, strict=True)
    ]
    return tabulate(rows).astype({"depth": float})


# -- grids


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_grids(preset):
    laws, kernels = len(beyond_gaussian.LAWS), 4
    _, dims, separations, depths, seeds = beyond_gaussian.GRIDS[preset]
    grid = experiments.REGISTRY["beyond-gaussian"].trials(preset)
    expected = laws * len(dims) * len(separations) * seeds * (1 + kernels * len(depths))
    assert len({t.key for t in grid}) == len(grid) == expected
    assert laws >= 16
    assert {t.data.dim for t in grid} == set(dims)

    _, depths, seeds = activations.GRIDS[preset]
    grid = experiments.REGISTRY["activations"].trials(preset)
    used = len(activations.ACTIVATIONS) - (preset == "quick") * len(activations.SLOW)
    assert len({t.key for t in grid}) == len(grid) == 4 * seeds * (1 + used * 2 * len(depths))
    assert used >= 16

    _, depths, seeds = _grid.GRIDS[preset]
    grid = experiments.REGISTRY["depth"].trials(preset)
    assert len({t.key for t in grid}) == len(grid) == 2 * seeds * (1 + 6 * 2 * len(depths))
    assert set(_grid.RATE_DEPTHS) <= set(depths)
    assert max(depths) == 50


def test_what_is_expanded_is_said_to_cost_more():
    def cost(activation):
        return KernelNC1(kernel="nngp", activation=activation, depth=3).cost(256, 8, 2)

    assert cost("erf") < cost("tanh") / 5 < cost("elu") / 10


# -- properties of activations


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity", {"linear": 1, "quadratic": 0, "odd": 1, "roughness": -12, "degree": 1, "saturation": 0}),
        ("monomial(2)", {"linear": 0, "quadratic": 1, "odd": 0, "degree": 2, "saturation": -1}),
        ("sign", {"linear": 2 / np.pi, "quadratic": 0, "odd": 1, "degree": 0, "saturation": 1}),
        # E relu^2 = 1/2, E relu = 1/sqrt(2 pi); a_1 = E relu' = 1/2; a_2 = 1/sqrt(2) E z^2 relu'' = 1/(2 sqrt(pi))
        (
            "relu",
            {
                "linear": 0.25 / (0.5 - 0.5 / np.pi),
                "quadratic": 1 / (4 * np.pi) / (0.5 - 0.5 / np.pi),
                "degree": 1,
                "saturation": 0,
            },
        ),
        ("abs", {"linear": 0, "odd": 0, "degree": 1, "quadratic": (1 / np.pi) / (1 - 2 / np.pi)}),
        ("sin", {"linear": np.exp(-1) / ((1 - np.exp(-2)) / 2), "quadratic": 0, "odd": 1}),
        # E erf(z)^2 = (2/pi) asin(2/3), a_1 = E erf' = 2 / sqrt(3 pi)
        ("erf", {"linear": 4 / (3 * np.pi) / (2 / np.pi * np.arcsin(2 / 3)), "quadratic": 0, "odd": 1}),
        ("rectified_monomial(2)", {"degree": 2}),
    ],
)
def test_properties(name, expected):
    found = _properties.properties(name)
    assert set(found) == set(_properties.PROPERTIES)
    for what, value in expected.items():
        assert found[what] == pytest.approx(value, abs=1e-10), what


def test_shares_are_those_of_the_kernel():
    """The kernel at correlation c is the power series of the shares."""
    for name in ("erf", "gelu", "softplus", "cos"):
        phi = kc.activations.get(name)
        shares = _properties.hermite_shares(name, orders=40)
        one, c = np.array([1.0]), np.array([0.4])
        constant = float(phi.kappa(one, one, 0.0 * one).item())
        variance = float(phi.kappa(one, one, one).item()) - constant
        series = np.sum(shares[:-1] * 0.4 ** np.arange(1, 41)) * variance + constant
        assert float(phi.kappa(one, one, c).item()) == pytest.approx(series, rel=1e-10)


def test_rough_and_saturating_activations():
    of = {name: _properties.properties(name) for name in ("step", "relu", "gelu", "softplus", "tanh")}
    roughness = [of[name]["roughness"] for name in ("step", "relu", "gelu", "softplus")]
    assert roughness == sorted(roughness, reverse=True)
    assert of["tanh"]["saturation"] > 0.9
    assert abs(of["softplus"]["saturation"]) < 0.01


# -- regression


def test_least_squares_and_leaving_one_out(rng):
    table = pd.DataFrame(rng.normal(size=(12, 2)), columns=["a", "b"])
    table["y"] = 3.0 * table["a"] - table["b"] + 0.5 * rng.normal(size=12)
    fit = _properties.least_squares(table, ["a", "b"], "y")
    design = np.column_stack([np.ones(12), table[["a", "b"]]])
    y = table["y"].to_numpy()
    beta = np.linalg.solve(design.T @ design, design.T @ y)
    assert fit["r2"] == pytest.approx(1 - np.var(y - design @ beta) / np.var(y))
    deviations = table[["a", "b"]].std(ddof=0)
    assert fit["coefficients"]["a"] == pytest.approx(beta[1] * deviations["a"])
    errors = of_mean = 0.0
    for i in range(12):  # the naive twin
        others = np.arange(12) != i
        coefficients = np.linalg.lstsq(design[others], y[others], rcond=None)[0]
        errors += (y[i] - design[i] @ coefficients) ** 2
        of_mean += (y[i] - y[others].mean()) ** 2
    assert fit["r2_out"] == pytest.approx(1 - errors / of_mean)


def test_degenerate_regressions(rng):
    table = pd.DataFrame({"a": np.r_[np.zeros(7), 1.0], "constant": 2.0, "y": rng.normal(size=8)})
    assert _properties.least_squares(table, ["a"], "y")["r2_out"] == -np.inf  # one row decides the slope
    of_mean = _properties.least_squares(table, ["constant"], "y")
    assert (of_mean["r2"], of_mean["r2_out"]) == (pytest.approx(0.0), pytest.approx(0.0))


def test_chance_of_a_regression(rng):
    table = pd.DataFrame({"a": rng.normal(size=12), "noise": rng.normal(size=12)})
    table["y"] = table["a"] + 0.1 * rng.normal(size=12)
    assert _properties.shuffled(table, ["a"], "y", times=199) == pytest.approx(1 / 200)
    assert _properties.shuffled(table, ["noise"], "y", times=199) > 0.05


# -- fixed points


def test_fixed_points_of_relu():
    """V(q) = w q / 2 + b and R(c) = w kappa / q + b / q have all of it in closed form."""
    for weight, bias in ((0.5, 0.3), (1.5, 0.1), (1.9, 0.05)):
        point = correlation_map.fixed_point("relu", weight_variance=weight, bias_variance=bias)
        assert point.variance == pytest.approx(bias / (1 - weight / 2), rel=1e-12)
        assert (point.slope, point.variance_slope) == (
            pytest.approx(weight / 2),
            pytest.approx(weight / 2, rel=1e-6),
        )
        assert (point.correlation, point.phase) == (1.0, "ordered")
        assert point.depth_scale == pytest.approx(-1 / np.log(weight / 2))
    critical = correlation_map.fixed_point("relu", weight_variance=2)
    assert (critical.phase, critical.depth_scale) == ("critical", np.inf)
    unbounded = correlation_map.fixed_point("relu", weight_variance=2.5, bias_variance=0.1)
    assert (unbounded.phase, unbounded.variance) == ("unbounded", np.inf)
    steadily = correlation_map.fixed_point("relu", weight_variance=2, bias_variance=0.1)
    assert (steadily.phase, steadily.correlation) == ("unbounded", 1.0)
    assert unbounded.slope == pytest.approx(1.0)


def test_fixed_points_of_erf():
    """Without bias erf is critical at pi / 4, below which all variances vanish; above it is chaotic."""
    below, above = (correlation_map.fixed_point("erf", weight_variance=np.pi / 4 * f) for f in (0.9, 1.1))
    assert (below.phase, below.variance) == ("vanishing", 0.0)
    assert (above.phase, above.correlation) == ("chaotic", 0.0)
    at = correlation_map.fixed_point("erf", weight_variance=np.pi / 4)
    assert at.variance == 0.0  # as slowly as 1 / l, which the acceleration shortens
    point = correlation_map.fixed_point("erf", weight_variance=4.0, bias_variance=0.05)
    q, c = point.variance, point.correlation
    assert 4.0 * 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)) + 0.05 == pytest.approx(q, rel=1e-12)
    assert point.slope == pytest.approx(4.0 * 4 / np.pi / np.sqrt((1 + 2 * q) ** 2 - 4 * q * q), rel=1e-12)
    assert 4.0 * 2 / np.pi * np.arcsin(2 * c * q / (1 + 2 * q)) + 0.05 == pytest.approx(c * q, rel=1e-10)
    assert point.rate < 1 < point.slope


def test_fixed_points_are_where_deep_kernels_end(rng):
    """Not too deep in the chaotic phase, where round-off of the diagonal grows by chi a layer."""
    x = rng.normal(size=(5, 4))
    for activation, weight, bias, layers in (
        ("erf", 1.0, 0.3, 40),
        ("erf", 4.0, 0.05, 50),
        ("tanh", 1.5, 0.05, 150),
    ):
        point = correlation_map.fixed_point(activation, weight_variance=weight, bias_variance=bias)
        prior = {"activation": activation, "weight_variance": weight, "bias_variance": bias}
        gram = kc.nngp(x, depth=layers, kind="output", **prior)
        expected = point.variance * (point.correlation + (1 - point.correlation) * np.eye(5))
        left = abs(gram / expected - 1).max()
        assert left < 20 * point.rate**layers
        assert left > point.rate**layers / 100


def test_jumps_and_constants_of_the_map():
    sign = correlation_map.fixed_point("sign", bias_variance=0.3)
    assert (sign.slope, sign.phase, sign.variance) == (np.inf, "chaotic", pytest.approx(1.3))
    identity = correlation_map.fixed_point("identity", weight_variance=0.5, bias_variance=0.1)
    assert (identity.variance, identity.slope) == (pytest.approx(0.2), pytest.approx(0.5))


def test_critical_weight_variance():
    assert (
        round(correlation_map.critical_weight_variance("erf", bias_variance=0.05), 6)
        == _settings.CRITICAL_ERF
    )
    for bias in (0.02, 0.2):
        weight = correlation_map.critical_weight_variance("erf", bias_variance=bias)
        point = correlation_map.fixed_point("erf", weight_variance=weight, bias_variance=bias)
        assert point.phase == "critical"
    with pytest.raises(ValueError, match="critical at no weight variance"):
        correlation_map.critical_weight_variance("relu", bias_variance=0.1)


def test_bad_input_of_the_map_is_refused():
    with pytest.raises(ValueError, match="weight_variance"):
        correlation_map.fixed_point("erf", weight_variance=0.0)
    with pytest.raises(ValueError, match="bias_variance"):
        correlation_map.fixed_point("erf", bias_variance=-1.0)
    with pytest.raises(ValueError, match="variance of some has not settled"):
        correlation_map._settle(lambda q: 2.0 / q, "some")


# -- depth


def test_limits_of_deep_kernels():
    """What is said of the limits, against kernels so deep that they are nearly there."""
    data = _grid.law("two spheres", 24).sample(0)
    equidistant = (12 - 1) / (1 - 1 / 2)
    settings = {s.label: s for s in _settings.SETTINGS}

    def nc1(gram):
        return kc.nc1(gram, data.labels).ratio

    def deep(setting, kernel, layers):
        activation, weight, bias = setting
        make = {"nngp": kc.nngp, "ntk": kc.ntk}[kernel]
        return nc1(
            make(data.x, activation=activation, depth=layers, weight_variance=weight, bias_variance=bias)
        )

    for kernel in ("nngp", "ntk"):
        chaotic = settings["erf, chaotic"]
        assert nc1(_settings.limiting_gram(chaotic, kernel, data, 50)) == pytest.approx(equidistant)
        assert deep(chaotic, kernel, 200) == pytest.approx(equidistant, rel=1e-9)
    lengths = np.linalg.norm(data.x, axis=1)[:, None]
    of_lengths = kc.nc1_from_features(lengths, data.labels).ratio
    critical = settings["ReLU, critical"]
    assert nc1(_settings.limiting_gram(critical, "nngp", data, 50)) == pytest.approx(of_lengths)
    errors = [deep(critical, "nngp", layers) / of_lengths - 1 for layers in (100, 200, 400)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)  # angles squared fall like 1 / l^2
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)
    limit = nc1(_settings.limiting_gram(critical, "ntk", data, 50))
    errors = [abs(deep(critical, "ntk", layers) / limit - 1) for layers in (100, 400, 1600)]
    assert errors[2] < 0.01
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    unbounded = settings["ReLU, unbounded"]
    limit = nc1(_settings.limiting_gram(unbounded, "nngp", data, 50))
    assert deep(unbounded, "nngp", 1000) == pytest.approx(limit, rel=0.01)
    kinked = nc1(_settings.limiting_gram(settings["ReLU, ordered"], "ntk", data, 40))
    assert deep(settings["ReLU, ordered"], "ntk", 70) == pytest.approx(kinked, rel=0.02)
    assert _settings.limiting_gram(settings["ReLU, ordered"], "nngp", data, 50) is None
    smooth = settings["erf, ordered"]
    gaps = [
        deep(smooth, "ntk", layers) / nc1(_settings.limiting_gram(smooth, "ntk", data, layers)) - 1
        for layers in (30, 60, 90)
    ]
    assert abs(gaps[2]) < abs(gaps[1]) < abs(gaps[0])


@pytest.fixture(scope="module")
def depth_rows(tmp_path_factory):
    grid = [t for t in experiments.REGISTRY["depth"].trials("quick") if t.seed < 3]
    return ran(grid, tmp_path_factory.mktemp("depth"))


def test_verdicts_on_depth(depth_rows):
    chaotic, ordered, nears, rate, linear, collapses = experiments.REGISTRY["depth"].verdicts(depth_rows)
    assert (chaotic.status, ordered.status, linear.status) == ("holds", "holds", "holds")
    assert len(nears.evidence) == 4 * 2 * 2 + 2 * 2
    assert (nears.evidence["verdict"] != "fails").all()
    assert rate.evidence["difference"].abs().max() < np.log10(1.03)
    assert len(collapses.evidence) == 6 * 2 * 2
    falls = collapses.evidence.set_index(["data", "setting", "kernel"])["difference"]
    assert (falls["two Gaussians"] < 0).all()
    assert falls["two spheres", "ReLU, critical", "nngp"] > 1


def test_verdicts_on_depth_can_fail(depth_rows):
    chaotic = depth_rows["weight_variance"] == 4.0
    of_depth = 5.0 * (1.0 + 50.0 * 0.6 ** depth_rows["depth"] + 1e-4 * depth_rows["seed"])
    wrong = depth_rows.assign(nc1_paper=depth_rows["nc1_paper"].where(~chaotic, of_depth))
    forgets, _, nears, rate, _, _ = experiments.REGISTRY["depth"].verdicts(wrong)
    assert forgets.status == "does not hold"
    assert set(nears.evidence.loc[nears.evidence["verdict"] == "fails", "setting"]) == {"erf, chaotic"}
    gaps = rate.evidence.set_index(["setting", "data"])["difference"].abs()
    assert gaps["erf, chaotic"].to_numpy() == pytest.approx(np.log10(0.831 / 0.6), abs=0.01)
    assert gaps["erf, ordered"].max() < np.log10(1.03)


def test_tables_and_figures_of_depth(depth_rows):
    experiment = experiments.REGISTRY["depth"]
    points, limits, rates, by_depth = (table.frame for table in experiment.tables(depth_rows))
    assert list(points["setting"]) == [s.label for s in _settings.SETTINGS]
    assert limits["predicted limit"].isna().sum() == 4  # the NNGP of two ordered settings on two laws
    assert len(rates) == 3 * 2
    assert list(by_depth.columns[3:]) == [f"depth {d}" for d in _grid.GRIDS["quick"][1]]
    panels, rate = experiment.figures(depth_rows)
    assert len(panels.figure.axes) == 2 * 6
    assert "3 seeds" in panels.caption
    assert len(rate.figure.axes) == 3


# -- activations


def test_verdicts_on_properties():
    """Rows in which NC1 is a line in one property: it predicts, and what is unlike it does not."""
    grid = [t for t in activations.trials("quick") if t.seed < 2]

    def log_nc1(trial):
        name = trial.measurement.activation
        level = 0.0 if name is None else -_properties.properties(name)["degree"]
        return level + 0.5 * (trial.measurement.kernel == "ntk")

    verdicts = experiments.REGISTRY["activations"].verdicts(synthetic(grid, log_nc1))
    by_claim = dict(zip(_properties.PROPERTIES, verdicts, strict=False))
    assert by_claim["degree"].status == "holds"
    assert (by_claim["degree"].evidence["r2_out"] > 0.99).all()
    assert (by_claim["degree"].evidence["slope"] < 0).all()
    assert "In 8 of 8 cells" in by_claim["degree"].answer
    assert by_claim["odd"].status == "does not hold"
    assert "In 0 of 8 cells." in by_claim["odd"].answer
    order, collapses = verdicts[len(_properties.PROPERTIES) :]
    assert (order.evidence["difference"] > 0.4).all()
    assert len(order.evidence) == 20 * 4 * 4
    assert set(collapses.evidence["verdict"]) != {"holds"}


@pytest.fixture(scope="module")
def activation_rows(tmp_path_factory):
    grid = [
        t
        for t in activations.trials("quick")
        if t.seed < 2 and t.measurement.depth < 3 and t.data.law in ("gaussian", "xor")
    ]
    return ran(grid, tmp_path_factory.mktemp("activations"))


def test_tables_and_figures_of_activations(activation_rows):
    experiment = experiments.REGISTRY["activations"]
    nc1, table, alone, _, together, by_depth = (t.frame for t in experiment.tables(activation_rows))
    assert len(nc1) == 20
    assert len(table) == len(activations.ACTIVATIONS)
    linear = alone.set_index(["data", "kernel"])["linear"]
    assert linear["Gaussian", "nngp"] > 0.8
    assert len(together) == 4
    assert len(by_depth) == 4 * 2
    heat, scatter = experiment.figures(activation_rows)
    assert [trace["type"] for trace in interactive.convert(heat.plot, heat.printed.frames)["data"]] == [
        "heatmap"
    ] * 4
    names = [tick.get_text() for tick in heat.figure.axes[0].get_yticklabels()]
    assert names[0] == "identity"
    assert len(names) == 20
    assert "Gaussian: " in scatter.caption
    order, _ = experiment.verdicts(activation_rows)[-2:]
    ties = order.evidence[order.evidence["activation"].isin(["identity", "sign", "step"])]
    assert (ties["difference"].abs() < 1e-6).all()


# -- other laws


def test_verdicts_on_laws_that_hold_and_reverse():
    grid = [t for t in beyond_gaussian.trials("quick") if t.seed < 4 and t.data.dim == 2]
    reversing = {beyond_gaussian._law(label, 4, 2, s).name for label in ("XOR",) for s in (1.0, 4.0)}

    def log_nc1(trial):
        m = trial.measurement
        sign = -1 if trial.data.name in reversing else 1
        return sign * (0.8 * (m.kernel == "ntk") + 1.6 * (m.activation == "relu"))

    rows = synthetic(grid, log_nc1)
    kernel, activation, coincide, tails = experiments.REGISTRY["beyond-gaussian"].verdicts(rows)
    for verdict in (kernel, activation):
        assert verdict.status == "holds in part"
        assert set(verdict.evidence.loc[verdict.evidence["verdict"] == "fails", "data"]) == {"XOR"}
        assert (verdict.evidence["verdict"] != "undecided").all()
        assert "XOR 0 of 8" in verdict.answer
        assert "fails in 8" in verdict.answer
    assert set(coincide.evidence.loc[coincide.evidence["verdict"] == "holds", "data"]) == {"XOR"}
    assert tails.status == "undecided"
    experiment = experiments.REGISTRY["beyond-gaussian"]
    by_law, reversed_cells, _ = (table.frame for table in experiment.tables(rows))
    assert by_law.set_index("law")["reversed"].sum() == len(reversed_cells) == 2 * 8
    for figure in experiment.figures(rows):
        assert f"Of {8 * len(beyond_gaussian.LAWS)} cells" in figure.caption
        assert "reversed in 8 (ringed)" in figure.caption
        labels = [tick.get_text() for tick in figure.figure.axes[0].get_yticklabels()]
        assert labels == list(beyond_gaussian.LAWS)
        traces = interactive.convert(figure.plot, figure.printed.frames)["data"]
        assert sum(len(trace["x"]) for trace in traces if "error_x" in trace) == 8 * len(beyond_gaussian.LAWS)


def test_laws_whose_class_means_coincide():
    for label, choice in beyond_gaussian.LAWS.items():
        many = beyond_gaussian._law(label, 4096, 2, 4.0)
        data = many.sample(0)
        means = np.array([data.x[data.labels == c].mean(axis=0) for c in range(2)])
        apart = np.linalg.norm(means[1] - means[0])
        if choice.apart:
            assert apart > 0.5, label
        else:
            assert apart < 0.5, label


# -- exact expectations and samples


@pytest.fixture(scope="module")
def sampled_rows(tmp_path_factory):
    trials = experiments.REGISTRY["theory-vs-samples"].trials("quick")
    some = [trial for trial in trials if trial.data.dim in (1, 8) and trial.data.name == "D1"]
    return ran(some, tmp_path_factory.mktemp("theory"))


def test_samples_agree_with_theory(sampled_rows):
    agreement, kernels, activations_ = theory_vs_samples.verdicts(sampled_rows)
    assert agreement.status == "holds"
    assert len(agreement.evidence) == 2 * 2 * 2  # dimensions, activations, kernels
    assert kernels.status == "holds"
    assert activations_.status == "holds in part"
    assert "NTK, separation 256" in activations_.answer


def test_samples_that_do_not_agree_are_named(sampled_rows):
    off = sampled_rows.copy()
    off.loc[(off["kernel"] == "ntk") & (off["dim"] == 8), "within_paper"] *= 1.2
    verdict = theory_vs_samples.verdicts(off)[0]
    assert verdict.status == "holds in part"
    assert (verdict.tally.fails, verdict.tally.undecided) == (2, 0)
    assert "not: erf NTK, D1, d=8, ReLU NTK, D1, d=8" in verdict.answer
    one_seed = theory_vs_samples.verdicts(sampled_rows[sampled_rows["seed"] == 0])[0]
    assert (one_seed.status, one_seed.answer) == ("undecided", "No cell has two seeds.")


def test_the_exact_values_are_those_of_the_theory():
    mixture = kc.theory.gaussian_mixture(8)
    exact = kc.theory.expected_nc1(mixture, kernel="ntk", class_sizes=(256, 256)).ratio
    assert theory_vs_samples.expected("D1", 512, 8, "ntk", "erf").ratio == pytest.approx(exact, rel=1e-4)


def test_an_order_in_expectation():
    held = theory_vs_samples._order("claim", [("a", 0.2), ("b", 0.0)], "gap")
    assert held.status == "holds"
    mixed = theory_vs_samples._order("claim", [("a", 0.2), ("b", -0.1)], "gap")
    assert (mixed.status, mixed.answer.startswith("In 1 of 2 cells; fails in 1 (b).")) == (
        "holds in part",
        True,
    )
    assert theory_vs_samples._order("claim", [("a", -0.2)], "gap").status == "does not hold"
