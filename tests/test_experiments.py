import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from matplotlib.collections import PolyCollection
from scipy import stats

import kernel_collapse as kc
import pages
import places
from kernel_collapse import kernels
from kernel_collapse.report import interactive, intervals
from kernel_collapse.report.interactive import markup, plain
from kernel_collapse.report.parts import Verdict
from kernel_collapse.runs import sweep
from kernel_collapse.runs.run import Run
from kernel_collapse.runs.store import Store
from kernel_collapse_paper import experiments
from kernel_collapse_paper.experiments import all_kernels, conclusions
from kernel_collapse_paper.experiments.logs import with_logs


@pytest.fixture(scope="module")
def rows(quick_rows_frame):
    return quick_rows_frame


def of(rows, name, preset="quick"):
    keys = {trial.key for trial in experiments.REGISTRY[name].trials(preset)}
    return rows[rows["key"].isin(keys)]


def test_the_papers_grids():
    balanced = experiments.REGISTRY["limiting-kernels-balanced"].trials("paper")
    laws, sizes, dimensions, seeds, measurements = 2, 4, 5, 10, 6
    assert len({t.key for t in balanced}) == len(balanced) == laws * sizes * dimensions * seeds * measurements
    assert {t.data.n for t in balanced} == {128, 256, 512, 1024}
    assert {t.data.dim for t in balanced} == {1, 2, 8, 32, 128}
    assert {t.data.name for t in balanced} == {"D1", "D2"}
    imbalanced = experiments.REGISTRY["limiting-kernels-imbalanced"].trials("paper")
    assert len({t.key for t in imbalanced}) == 4 * 5 * 10 * 6
    assert {t.data.class_sizes for t in imbalanced} == {(1024, 1024), (768, 1280), (512, 1536), (256, 1792)}


def test_choose():
    assert [e.name for e in experiments.choose([])] == list(experiments.REGISTRY)
    assert experiments.choose(["all"]) == experiments.choose([])
    assert [e.name for e in experiments.choose(["limiting-kernels-imbalanced"])] == [
        "limiting-kernels-imbalanced"
    ]
    with pytest.raises(ValueError, match="did you mean 'limiting-kernels-balanced'"):
        experiments.choose(["limiting-kernel-balanced"])


def test_prepared_values_are_logarithms_of_nc1(rows):
    prepared = with_logs(of(rows, "limiting-kernels-balanced"))
    row = prepared[
        (prepared["data"] == "D2")
        & (prepared["n"] == 128)
        & (prepared["dim"] == 8)
        & (prepared["seed"] == 3)
        & (prepared["kernel"] == "ntk-published")
    ].squeeze()
    data = kc.data.gaussian_classes(128, 8, class_means=(-6, -2, 2, 6), seed=3)
    kernel = np.log10(kc.nc1(kernels.ntk_published(data.x), data.labels).ratio)
    assert row["log_nc1"] == pytest.approx(kernel, rel=1e-12)
    of_data = np.log10(kc.nc1_from_features(data.x, data.labels).ratio)
    assert row["log_nc1_ratio"] == pytest.approx(kernel - of_data, rel=1e-12)


def test_a_value_without_a_logarithm_is_not_a_number(rows):
    some = of(rows, "limiting-kernels-imbalanced").copy()
    some.loc[some["kernel"] == "nngp", "nc1_published"] = -0.1
    prepared = with_logs(some, "published")
    assert prepared.loc[prepared["kernel"] == "nngp", "log_nc1"].isna().all()
    assert prepared.loc[prepared["kernel"] == "ntk", "log_nc1"].notna().all()


# -- statistics


def cells(differences, cell="a"):
    first = pd.DataFrame(
        {"cell": cell, "seed": range(len(differences)), "v": np.arange(len(differences)) * 10.0}
    )
    return first, first.assign(v=first["v"] + differences)


def name(row):
    return str(row["cell"])


def test_paired_interval_is_that_of_the_t_test(rng):
    first, second = cells(rng.normal(size=8) + 0.3)
    table = intervals.paired(first, second.sample(frac=1, random_state=1), "v", ["cell"])
    expected = stats.ttest_rel(second["v"], first["v"]).confidence_interval(0.95)
    assert (table["low"].item(), table["high"].item()) == pytest.approx((expected.low, expected.high))
    assert table["seeds"].item() == 8


def test_intervals_of_many_cells_hold_together(rng):
    one = cells(rng.normal(size=6), "a")
    many = [cells(rng.normal(size=6), c) for c in "bcde"]
    both = [pd.concat([one[i], *(m[i] for m in many)]) for i in (0, 1)]
    table = intervals.paired(*both, "v", ["cell"]).set_index("cell")
    expected = stats.ttest_rel(one[1]["v"], one[0]["v"]).confidence_interval(1 - 0.05 / 5)
    assert (table.loc["a", "low"], table.loc["a", "high"]) == pytest.approx((expected.low, expected.high))


def test_pairs_with_a_missing_value_are_left_out():
    first, second = cells([1.0, 2.0, 3.0, np.nan])
    table = intervals.paired(first, second, "v", ["cell"])
    assert (table["seeds"].item(), table["difference"].item()) == (3, 2.0)


@pytest.mark.parametrize(
    ("differences", "ties_hold", "status"),
    [
        ([1.0, 1.1, 0.9, 1.0], False, "holds"),
        ([-1.0, -1.1, -0.9, -1.0], False, "does not hold"),
        ([1.0, -1.1, 0.9, -1.0], False, "undecided"),
        ([1e-13, -1e-13, 2e-13, 0.0], True, "holds"),
        ([1e-13, -1e-13, 2e-13, 0.0], False, "does not hold"),
        ([1.0], False, "undecided"),  # one seed has no interval
        ([], False, "undecided"),
    ],
)
def test_verdict_on_an_order(differences, ties_hold, status):
    table = intervals.paired(*cells(np.array(differences)), "v", ["cell"])
    verdict = intervals.above_zero("claim", table, name, ties_hold=ties_hold)
    assert verdict.status == status
    assert len(verdict.evidence) == len(table)


@pytest.mark.parametrize(
    ("said", "status", "short"),
    [
        (["holds"] * 40, "holds", "holds, 40 of 40"),
        (["holds"] * 38 + ["fails", "undecided"], "holds in part", "holds in most, 38 of 40"),
        (["holds"] * 20 + ["fails"] * 20, "holds in part", "holds in some, 20 of 40"),
        (["holds"] * 5 + ["undecided"] * 95, "holds in part", "holds rarely, 5 of 100"),
        (["undecided"] * 3 + ["fails"], "does not hold", "does not hold, 0 of 4"),
        (["undecided"] * 3, "undecided", "undecided, 0 of 3"),
        (["", "holds"], "holds", "holds, 1 of 1"),
        ([], "undecided", "undecided"),
    ],
)
def test_what_cells_say_is_the_status(said, status, short):
    evidence = pd.DataFrame({"cell": [f"c{i}" for i in range(len(said))], "verdict": said})
    verdict = Verdict.of_cells("claim", "answer", "test", evidence)
    assert (verdict.status, verdict.short) == (status, short)
    assert [says for _, says in verdict.cells] == [says for says in said if says]


def test_a_finding_says_no_more_than_the_rows():
    """Its words are those of a claim that holds in every cell, or in none; else the claim itself is told."""

    def verdict(*said):
        evidence = pd.DataFrame({"cell": said, "verdict": said})
        return Verdict.of_cells("All is well.", "answer", "test", evidence)

    conclude = conclusions.of_claims(
        "figure", conclusions.Words("All is", "All is found well", "Nothing is well")
    )
    told = [
        (["holds", "holds"], "All is found well (2 of 2 cells)."),
        (["holds", "fails"], "“All is well”: holds in some, 1 of 2 cells."),
        (["fails", "undecided"], "Nothing is well (0 of 2 cells)."),
    ]
    for said, sentence in told:
        assert conclude([verdict(*said)]).sentence == sentence
    assert conclude([verdict("undecided")]) is None
    assert conclude([]) is None


def test_every_verdict_on_cells_has_names_of_them(rows):
    """A strip shows where a claim holds; claims about one number have none."""
    for name, experiment in experiments.REGISTRY.items():
        for verdict in experiment.verdicts(of(rows, name)):
            if "verdict" in verdict.evidence:
                assert verdict.tally is not None, verdict.claim
                assert verdict.tally.status == verdict.status, verdict.claim
                assert all(cell for cell, _ in verdict.cells)
                assert len(set(verdict.cells)) == len(verdict.cells), verdict.claim


@pytest.mark.parametrize(
    ("differences", "status"),
    [
        ([0.01, 0.011, 0.009, 0.01], "holds"),
        ([0.3, 0.31, 0.29, 0.3], "does not hold"),
        ([-0.3, -0.31, -0.29, -0.3], "does not hold"),
        ([0.1, 0.12, 0.08, 0.1], "undecided"),
    ],
)
def test_verdict_on_likeness(differences, status):
    table = intervals.paired(*cells(np.array(differences)), "v", ["cell"])
    assert intervals.within("claim", table, name, margin=0.1).status == status


def test_a_verdict_counts_and_names_its_cells():
    parts = [
        cells(np.array(d), c)
        for d, c in (([1.0, 1.1, 0.9], "up"), ([-2.0, -2.1, -1.9], "down"), ([1, -1, 0], "flat"))
    ]
    table = intervals.paired(*(pd.concat([p[i] for p in parts]) for i in (0, 1)), "v", ["cell"])
    verdict = intervals.above_zero("claim", table, name)
    assert verdict.status == "holds in part"
    assert verdict.answer.startswith("In 1 of 3 cells; fails in 1 (down); undecided in 1 (flat).")
    assert "runs from −2.000 (down) to +1.000 decades (up)" in verdict.answer


# -- what the quick run says, which the mathematics and the reference values confirm


def test_verdicts_of_the_quick_run(rows):
    balanced = experiments.REGISTRY["limiting-kernels-balanced"]
    order, activation, similar, published = balanced.verdicts(of(rows, balanced.name))
    assert order.status == "holds"
    assert order.answer.startswith("In 40 of 40 cells (D1 20 of 20, D2 20 of 20), 4 of them ties")
    assert activation.answer.startswith("In 24 of 40 cells (D1 20 of 20, D2 4 of 20); fails in 16")
    assert similar.status == "does not hold"
    assert similar.evidence["low"].min() > 0.25
    assert published.evidence["difference"].abs().median() < 0.02
    imbalanced = experiments.REGISTRY["limiting-kernels-imbalanced"]
    statuses = [v.status for v in imbalanced.verdicts(of(rows, imbalanced.name))]
    assert statuses == ["holds", "holds", "holds in part", "does not hold"]


def test_verdicts_on_the_adaptive_kernel(rows):
    verdicts = {
        name: e.verdicts(of(rows, name)) for name, e in experiments.REGISTRY.items() if "adaptive" in name
    }
    for name in ("adaptive-balanced", "adaptive-imbalanced"):
        evidence = verdicts[name][0].evidence
        if (
            "data" in evidence
        ):  # on D2, whose targets are spaced like its means, adapting can undo the collapse
            assert "fails" in set(evidence["verdict"])
            evidence = evidence[evidence["data"] == "D1"]
        assert (evidence["difference"] > 0).all()
        assert (evidence["verdict"] != "fails").all()
    by_labels = verdicts["adaptive-balanced"][1].evidence
    assert (by_labels.loc[by_labels["data"] == "D1", "difference"] > 0).all()
    assert (
        by_labels.loc[by_labels["data"] == "D2", "difference"] < 0
    ).any()  # there the labels undo the collapse
    assert (verdicts["adaptive-imbalanced"][1].evidence["difference"] > 0).all()
    trend = verdicts["adaptive-balanced"][2].evidence.set_index(["data", "n", "step"])
    logs = with_logs(of(rows, "adaptive-balanced"))
    means = logs[logs["data"] == "D2"].groupby(["kernel", "dim"])["log_nc1"].mean()
    expected = (means["adaptive", 32] - means["adaptive", 8]) * np.sign(means["nngp", 32] - means["nngp", 8])
    assert trend.loc[("D2", 128, "8 to 32"), "difference"] == pytest.approx(expected)
    assert expected < 0
    assert verdicts["adaptive-width"][0].status == "holds"
    assert verdicts["adaptive-path"][0].status == "holds"
    solved = rows[rows["kernel"] == "adaptive"]
    assert (solved["solver"] == "converged").all()
    assert (solved["residual"] <= 1e-6).all()
    assert (solved.loc[solved["label_term"] == "exact", "free_energy_gain"] > 0).all()


def test_adaptive_grids():
    def solves(name):
        return [t for t in experiments.REGISTRY[name].trials("paper") if t.measurement.kernel == "adaptive"]

    on_d1 = {
        t.key
        for t in solves("adaptive-balanced")
        if t.data.name == "D1" and t.measurement.label_term == "exact"
    }
    assert len(on_d1) == 200
    for term, solved in (("exact", 200), ("published", 120)):  # ten seeds in one dimension, else five
        imbalanced = {t.key for t in solves("adaptive-imbalanced") if t.measurement.label_term == term}
        assert len(imbalanced) == solved


def test_verdicts_on_networks(rows):
    verdicts = {name: e.verdicts(of(rows, name)) for name, e in experiments.REGISTRY.items()}
    field, gaussian, _, nearest, decay = verdicts["all-kernels"]
    # What is claimed of the mean field is more than its Monte Carlo error, and less than what it is held against.
    logs = all_kernels.prepare(of(rows, "all-kernels"))
    sampled = logs[logs["kernel"].isin(["mean-field", "posterior"])]
    assert (sampled["solver"] == "converged").all()
    assert (sampled["nc1_error"] < 0.01 * sampled["nc1_paper"]).all()
    on_d1 = field.evidence[field.evidence["data"] == "D1"]
    assert (on_d1["difference"].abs() < np.log10(1.03)).all()
    assert (gaussian.evidence["difference"] > np.log10(1.1)).all()
    assert (decay.evidence["difference"] > 0.5).all()
    assert set(nearest.evidence["nearest"]) <= {"mean-field", "adaptive", "ntk"}
    shares = all_kernels._explained(logs[logs["data"] == "D1"]).groupby("kernel")["share"].mean()
    assert shares["mean-field"] == pytest.approx(1.0, abs=0.05)
    assert 0.3 < shares["adaptive"] < 0.5
    assert abs(shares["adaptive-published"]) < 0.05
    assert shares["network-decayed"] > shares["network"] > 1.5
    *falls, nngp, gaussian, cold = verdicts["training-path"]
    for verdict in falls:
        assert verdict.status == "holds"
    # The kernels are in order; so few epochs end between the first and the last.
    gaps = [v.evidence.set_index(["activation", "layer"])["difference"] for v in (nngp, gaussian, cold)]
    assert all(len(gap) == 6 for gap in gaps)
    assert (gaps[0] > 0).all()
    assert (gaps[0] > gaps[1]).all()
    assert (gaps[1] > gaps[2]).all()
    assert (gaps[2] < 0).all()
    _, _, features = verdicts["finite-width-ntk"]
    falls = features.evidence.set_index("width")["difference"]
    assert falls[32] > 5 * falls[2048] > 0
    for name in ("trained-networks-balanced", "trained-networks-imbalanced"):
        trained = of(rows, name)
        trained = trained[trained["kernel"] == "network"]
        assert (trained["solver"] == "trained").all()
        assert trained["accuracy"].min() > 0.8


def test_grids_of_networks():
    published = {
        name: [t for t in experiments.REGISTRY[name].trials("paper") if t.measurement.kernel == "network"]
        for name in ("trained-networks-balanced", "trained-networks-imbalanced")
    }
    for grid, seeds in zip(published.values(), (10, 5), strict=True):
        on_d1 = [t for t in grid if t.data.name == "D1"]
        assert len({t.key for t in on_d1}) == 4 * 5 * seeds * 2 * 2
        assert {t.measurement.readout_variance for t in grid} == {1.97**2, 1 / 128}
        assert {(t.measurement.width, t.measurement.epochs, t.measurement.learning_rate) for t in on_d1} == {
            (500, 1000, 1e-3)
        }
    on_d2 = [t for t in published["trained-networks-balanced"] if t.data.name == "D2"]
    assert len({t.key for t in on_d2}) == 5 * 10 * 2 * 2
    assert {(t.measurement.epochs, t.measurement.learning_rate) for t in on_d2} == {(10_000, 1e-4)}
    widths = {
        t.measurement.width
        for t in experiments.REGISTRY["finite-width-ntk"].trials("paper")
        if t.measurement.kernel == "empirical-ntk"
    }
    assert widths == {32, 64, 128, 256, 512, 1024, 2048, 4096}
    path = experiments.REGISTRY["training-path"].trials("paper")
    epochs = {t.measurement.epochs for t in path if t.measurement.kernel == "network"}
    assert epochs == {100_000}


def test_relu_kernels_tie_on_a_line(rows):
    """In one dimension the ReLU NTK is twice the NNGP: the tie that "not more collapsed" includes."""
    x = np.random.default_rng(0).normal(size=(9, 1))
    np.testing.assert_allclose(
        kc.ntk(x, activation="relu"), 2 * kc.nngp(x, activation="relu"), rtol=1e-14, atol=1e-16
    )


# -- real data, from a few trials of its own


@pytest.fixture(scope="module")
def real_rows(tmp_path_factory):
    grid = experiments.REGISTRY["real-data"].trials("quick")
    some = [t for t in grid if t.data.name != "digits" and t.seed < 3 and t.measurement.depth in (1, 4)]
    folder = tmp_path_factory.mktemp("real")
    with Store(folder, {"experiments": ["real-data"]}) as store:
        for trial in some:
            store.add(trial, **sweep.attempt(trial)._asdict())
    return Run(folder).frame().astype({"depth": float})  # as it comes beside trials that have no depth


def test_grids_of_real_data():
    for preset, seeds, depths in (("quick", 5, 4), ("paper", 10, 8)):
        grid = experiments.REGISTRY["real-data"].trials(preset)
        assert len({t.key for t in grid}) == len(grid) == 3 * seeds * (1 + 4 * depths)
        assert {t.data.name for t in grid} == set(kc.data.SHIPPED)
    assert {t.data.n for t in grid} == {n // 2 for n, _, _ in kc.data.SHIPPED.values()}


def real_logs(name, activation, kernel, depth):
    """Return log10 NC1 of the features and of the data for seeds 0, 1, 2, as the library computes them."""
    n = {"wine": 89, "breast-cancer": 284}[name]
    logs = []
    for seed in range(3):
        data = kc.data.standardize(kc.data.subset(kc.data.shipped(name), n, seed=seed))
        gram = {"nngp": kc.nngp, "ntk": kc.ntk}[kernel](data.x, activation=activation, depth=depth)
        both = kc.nc1(gram, data.labels), kc.nc1_from_features(data.x, data.labels)
        logs.append([np.log10(value.ratio) for value in both])
    return np.array(logs)


def test_verdicts_on_real_data(real_rows):
    order, activation, collapses, depth = experiments.REGISTRY["real-data"].verdicts(real_rows)
    assert (order.status, activation.status, depth.status) == ("holds", "holds", "does not hold")
    assert all("random parts of one table" in v.test for v in (order, activation, collapses, depth))
    deep, shallow = (real_logs("wine", "relu", "ntk", d) for d in (4, 1))
    falls = depth.evidence.set_index(["data", "activation", "kernel"])["difference"]
    assert len(falls) == 2 * 2 * 2
    assert falls["wine", "relu", "ntk"] == pytest.approx((shallow - deep)[:, 0].mean(), rel=1e-10)
    erf = real_logs("breast-cancer", "erf", "nngp", 4)
    gaps = collapses.evidence.set_index(["data", "activation", "kernel", "depth"])["difference"]
    assert len(gaps) == 2 * 2 * 2 * 2
    assert "NC1 at depth 4 is below that at depth 1." in depth.claim
    assert gaps["breast-cancer", "erf", "nngp", 4] == pytest.approx((erf[:, 1] - erf[:, 0]).mean(), rel=1e-10)
    assert gaps["breast-cancer", "erf", "nngp", 1] > 0 > gaps["breast-cancer", "erf", "nngp", 4]


def test_tables_and_figure_of_real_data(real_rows):
    experiment = experiments.REGISTRY["real-data"]
    nc1, ratio, _ = (
        table.frame.set_index(["data", "activation", "kernel"]) for table in experiment.tables(real_rows)
    )
    logs = real_logs("wine", "relu", "nngp", 4)
    assert nc1.loc[("wine", "relu", "nngp"), "depth 4"] == pytest.approx((10 ** logs[:, 0]).mean())
    relative = (10 ** (logs[:, 0] - logs[:, 1])).mean()
    assert ratio.loc[("wine", "relu", "nngp"), "depth 4"] == pytest.approx(relative)
    (figure,) = experiment.figures(real_rows)
    assert "89 of wine, 284 of breast-cancer" in figure.caption
    assert [tick.get_text() for tick in figure.figure.axes[0].get_xticklabels()] == ["1", "4"]
    assert [axes.get_title() for axes in figure.figure.axes] == ["wine", "breast-cancer"]
    lines = {line.get_label(): line for line in figure.figure.axes[0].get_lines()}
    assert set(lines) == {"ReLU NTK", "ReLU NNGP", "erf NTK", "erf NNGP", "data themselves"}
    assert lines["ReLU NNGP"].get_ydata()[-1] == pytest.approx(logs[:, 0].mean())
    assert lines["data themselves"].get_ydata()[0] == pytest.approx(logs[:, 1].mean())


@pytest.fixture(scope="module")
def on_the_page(quick_report):
    return pages.figures(quick_report / "report.html")


@pytest.mark.parametrize("experiment", experiments.REGISTRY.values(), ids=lambda e: e.name)
def test_figures_show_every_row(rows, on_the_page, experiment):
    figures = experiment.figures(of(rows, experiment.name))
    assert len({figure.name for figure in figures}) == len(figures)
    for figure in figures:
        if figure.name in (
            "path-gram-D1",
            "activations-depth",
            "minima-adaptive",
            "panels-networks-D2",
            "images",
        ):
            continue  # pictures, and points: the quick preset has one dimension of D2 and two depths of images
        lines = [
            line for axes in figure.figure.axes for line in axes.get_lines() if len(line.get_xdata()) > 2
        ]
        assert lines
        for line in lines:
            assert np.isfinite(np.asarray(line.get_ydata(), dtype=float)).all()
    for figure in figures:
        drawn = figure.figure
        shown = interactive.convert(figure.plot, figure.printed.frames)
        places.compare(drawn, shown)
        panels = places.panels_of(drawn)
        assert [plain(panel["title"]) for panel in shown["panels"]] == [
            plain(markup(axes.get_title())) for axes in panels
        ]
        for axes in panels:
            assert not len(places.cut(axes)) or "cut at the frame" in figure.caption, figure.name
        assert_bands_go_with_their_lines(shown, panels)
        assert_legends_have_marks(shown, drawn)
        assert json.loads(json.dumps(shown, allow_nan=False)) == shown
        assert places.same(on_the_page[figure.name], shown), figure.name  # drawn by another process
        assert len(json.dumps(shown)) < 400_000
        go.Figure(shown["data"])  # refuses what Plotly does not know


def assert_bands_go_with_their_lines(shown, panels):
    """A line that has a band knows its edges, and both are hidden by the same entry of the legend."""
    for number, axes in enumerate(panels):
        traces = [t for t in shown["data"] if t["meta"]["panel"] == number]
        bands = [t for t in traces if t.get("fill")]
        assert len(bands) == len(
            [c for c in axes.collections if isinstance(c, PolyCollection) and c.get_paths()]
        )
        for band in bands:
            (line,) = [
                t
                for t in traces
                if t["meta"]["group"] == band["meta"]["group"] and "low" in t["meta"].get("columns", ())
            ]
            assert line["meta"]["columns"][:2] == ["low", "high"]
            edges = np.array([row[:2] for row in line["customdata"]], dtype=float)
            drawn_at = [v for v in band["y"] if v is not None]
            if axes.get_yscale() == "linear":
                assert {min(drawn_at), max(drawn_at)} <= set(edges[np.isfinite(edges)])


def assert_legends_have_marks(shown, drawn):
    """What a legend names is to be seen: a line of one point without a marker is not."""
    seen = {}
    lines = [
        line for axes in drawn.axes for line in axes.get_lines() if len(line.get_xdata())
    ]  # the rest are keys
    for line in lines:
        points = np.isfinite(np.asarray(line.get_xydata(), dtype=float)).all(axis=1).sum()
        visible = points > 1 or (points == 1 and line.get_marker() not in ("None", "", None))
        seen[line.get_label()] = seen.get(line.get_label(), False) or visible
    assert [label for label, visible in seen.items() if not visible and not label.startswith("_")] == []
    assert {trace["meta"]["group"] for trace in shown["data"]} <= {e["name"] for e in shown["legend"]} | {""}


@pytest.mark.parametrize("experiment", experiments.REGISTRY.values(), ids=lambda e: e.name)
def test_a_run_with_failures_is_still_judged(rows, experiment):
    some = of(rows, experiment.name).copy()
    lost = some.sample(frac=0.3, random_state=0).index
    some.loc[lost, "status"] = "failed"
    some.loc[lost, [c for c in some if c.startswith(("nc1", "within", "between"))]] = np.nan
    assert experiment.figures(some)
    assert experiment.tables(some)
    assert all(len(v.evidence) for v in experiment.verdicts(some))
