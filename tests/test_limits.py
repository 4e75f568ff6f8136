import numpy as np
import pandas as pd
import pytest

from conftest import run_cli
from kernel_collapse import report
from kernel_collapse.report import Built, Section
from kernel_collapse.report.parts import Verdict
from kernel_collapse.runs.store import Store
from kernel_collapse_paper import experiments, open_questions
from kernel_collapse_paper.experiments import _power_laws, topics
from kernel_collapse_paper.experiments.collapse_limits import EXPERIMENT, _fits, _grid

# -- power laws and floors

AWAY = np.array([0.0, 0.5, 1.0, 1.5, 2.0])


def curve(floor, exponent, away=AWAY):
    """Return NC1 that is 1 at the end: a floor and a power law."""
    return floor + (1.0 - floor) * 10.0 ** (exponent * away)


@pytest.mark.parametrize("exponent", [-1.5, -0.05, 0.7, 2.0])
def test_the_slope_of_a_power_law(exponent):
    x = np.array([0.1, 0.3, 1.0])
    assert _power_laws.slope(x, 3.7 * x**exponent) == pytest.approx(exponent, rel=1e-12)


@pytest.mark.parametrize("floor", [0.0, 0.3, 0.6, 0.9, -0.5])
@pytest.mark.parametrize("exponent", [0.5, 1.5])
@pytest.mark.parametrize("scale", [1e-5, 1.0])
def test_an_exact_floor_is_found(floor, exponent, scale):
    fit = _power_laws.fit_floor(AWAY, scale * curve(floor, exponent))
    assert (fit.share, fit.exponent) == pytest.approx((floor, exponent), abs=1e-4)
    assert fit.floor == pytest.approx(scale * fit.share)
    assert fit.misfit < 1e-10
    line = np.polyfit(AWAY, np.log10(curve(floor, exponent)), 1)
    left = ((np.polyval(line, AWAY) - np.log10(curve(floor, exponent))) ** 2).sum()
    assert fit.misfit_of_power_law == pytest.approx(left, abs=1e-12)


def test_a_curve_that_bends_down_has_no_floor():
    fit = _power_laws.fit_floor(AWAY, 10.0 ** (AWAY - 0.3 * AWAY**2))
    assert fit.share == pytest.approx(_power_laws.SHARES[0])


def test_the_interval_is_that_of_the_t_test(rng):
    from scipy import stats

    values = rng.normal(size=7)
    found = _power_laws.interval([*values, np.nan], 0.9)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert found == pytest.approx((values.mean(), expected.low, expected.high))
    assert np.isnan(_power_laws.interval([1.0], 0.9)).tolist() == [False, True, True]
    assert np.isnan(_power_laws.interval([], 0.9)).all()


@pytest.mark.parametrize(("floor", "exponent"), [(0.0, 0.7), (0.6, 1.2)])
def test_intervals_cover_and_the_test_keeps_its_level(floor, exponent, rng):
    """Of 60 samples of 6 seeds each with noise of 0.01 decades, about 90 intervals of 90 % hold the truth."""
    covered, rejected = 0, 0
    for _ in range(60):
        noise = 10.0 ** (0.01 * rng.normal(size=(6, len(AWAY))) + 0.2 * rng.normal(size=(6, 1)))
        fits = [_power_laws.fit_floor(AWAY, curve(floor, exponent) * factor) for factor in noise]
        found = _power_laws.interval([fit.share for fit in fits], 0.9)
        covered += found.low < floor < found.high
        rejected += _power_laws.floor_p_value(fits) < 0.1
    error = 3 * np.sqrt(0.1 * 0.9 / 60)
    assert covered / 60 > 0.9 - error
    if floor == 0:
        assert rejected / 60 < 0.1 + error
    else:
        assert rejected == 60


def test_too_few_points_have_no_p_value():
    assert np.isnan(_power_laws.floor_p_value([]))
    three = _power_laws.FloorFit(0.0, 0.0, 1.0, 0.0, 0.0, points=3)
    assert np.isnan(_power_laws.floor_p_value([three]))


# -- the experiment


@pytest.mark.parametrize("preset", experiments.PRESETS)
def test_grids_of_collapse_limits(preset):
    grid = _grid.trials(preset)
    assert len({t.key for t in grid}) == len(grid)
    many, few = _grid.SEEDS[preset]
    assert few >= 4
    for factor in _grid.FACTORS:
        values = np.array(factor.values)
        assert len(values) >= 6
        steps = np.diff(np.log10(values))
        assert (np.sign(steps) == np.sign(steps[0])).all()
        assert np.abs(steps).max() <= 1 + 1e-9
        solved = factor.mean_field[preset]
        assert set(solved) <= set(values)
        assert not solved or len(solved) >= _fits.FLOORS
    base = [t for t in grid if t.measurement.kernel == "adaptive" and t.data.name == "D1"]
    at_base = [
        t
        for t in base
        if (t.measurement.width, t.measurement.noise_variance, t.measurement.readout_variance)
        == (100.0, 1e-2, 1 / 128)
    ]
    assert len([t for t in at_base if (t.data.n, t.data.dim) == (64, 4)]) == many
    # Overlapping classes overlap alike in any dimension: the means are a standard deviation from the middle.
    for n, dim in (_grid.CROWDED, _grid.SPREAD):
        law = _grid._overlapping(n, dim)
        assert law.separation / 2 * np.sqrt(dim) == pytest.approx(law.std)


def rows_of(shape, only, kernels=("nngp", "adaptive", "mean-field"), scatter=0.002):
    """Return rows of one factor's own trials in which `shape(factor, u)` is NC1 u of the way to the end."""
    rng = np.random.default_rng(0)
    found = {}
    for factor, value, trial in _grid._planned("quick"):
        kernel = trial.measurement.kernel
        if kernel not in kernels or factor.name != only:
            continue
        ends = np.log10([factor.values[0], factor.values[-1]])
        u = (np.log10(value) - ends[0]) / (ends[1] - ends[0])
        nc1 = 1.0 if kernel == "nngp" else shape(factor.name, u) * (0.5 if kernel == "mean-field" else 1.0)
        found[trial.key] = {
            "key": trial.key,
            "seed": trial.seed,
            "kernel": kernel,
            "status": "ok",
            "message": "",
            "solver": np.nan if kernel == "nngp" else "converged",
            "residual": 1e-7,
            "nc1_error": 1e-4,
            "nc1_paper": nc1 * 10 ** (scatter * rng.normal()),
        }
    return pd.DataFrame(list(found.values()))


def decades(factor):
    values = next(f.values for f in _grid.FACTORS if f.name == factor)
    return abs(np.log10(values[-1] / values[0]))


SHAPES = {
    "falls": lambda factor, u: 10.0 ** (-0.7 * decades(factor) * u),
    "floor": lambda factor, u: 0.1 + 0.003 * 10.0 ** (decades(factor) * (1 - u)),
    "flat": lambda factor, u: 0.3,
    "turns": lambda factor, u: 10.0 ** (2 * abs(u - 0.5)),
}


@pytest.mark.parametrize(
    ("shape", "status", "words"),
    [
        ("falls", "holds", "falling on as N^0.699"),
        ("floor", "does not hold", "of which the floor is 0.9"),
        ("flat", "does not hold", "no longer falls at the end (slope"),
        ("turns", "does not hold", "from where it rises by"),
    ],
)
def test_verdicts_on_curves_that_are_known(shape, status, words):
    first, *others = EXPERIMENT.verdicts(rows_of(SHAPES[shape], "width", ("nngp", "adaptive")))
    assert first.status == status
    assert words in first.answer
    assert {v.status for v in others[:-1]} == {"undecided"}
    row = first.evidence.squeeze()
    slopes = {"falls": 0.7, "flat": 0.0}
    if shape in slopes:
        assert row["slope at the end, low"] < slopes[shape] < row["slope at the end, high"]
    if shape == "floor":
        assert row["floor low"] < 0.1 / 0.103 < row["floor high"]


def test_a_fall_towards_larger_values_has_a_negative_slope():
    table = (
        _fits.curves(rows_of(SHAPES["falls"], "separation"))
        .fitted.set_index(["factor", "kernel"])
        .sort_index()
    )
    row = table.loc[("separation", "adaptive")]
    assert row["slope at the end"] == pytest.approx(-0.7, abs=0.02)
    assert (row["fall low"], row["at"], row["verdict"]) == (pytest.approx(0.7, abs=0.05), 64.0, "holds")


def test_the_mean_field_is_compared_and_the_lowest_is_named():
    *_, lower, lowest = EXPERIMENT.verdicts(rows_of(SHAPES["falls"], "width"))
    assert lower.status == "holds"
    np.testing.assert_allclose(lower.evidence["difference"], np.log10(2), atol=0.01)
    assert len(lower.evidence) == 8  # at the first width the adaptive kernel is still the NNGP
    assert lowest.status == "holds"
    assert "adaptive, width = 0.1." in lowest.answer
    assert "The lowest is NC1 0.00032" in lowest.answer
    *_, shallow = EXPERIMENT.verdicts(rows_of(SHAPES["flat"], "width"))
    assert shallow.status == "does not hold"


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_a_floor_that_sinks_with_every_value_is_none(power):
    """A power of a logarithm flattens for ever, and so falls below every floor that is fitted to it."""

    def slow(factor, u):
        return (1.0 + 30.0 * u) ** -power

    first, *_ = EXPERIMENT.verdicts(rows_of(slow, "width", ("nngp", "adaptive"), scatter=1e-4))
    row = first.evidence.squeeze()
    assert row["floor low"] > _fits.REACHED
    assert row["floor p"] < 0.05
    assert row["floor kept, high"] < _fits.STAYS
    assert first.status == "undecided"
    assert "of what it was without the last value" in first.answer


def test_what_did_not_converge_is_shown_and_in_no_fit():
    rows = rows_of(SHAPES["falls"], "width")
    plan = _grid.plan()
    ends = set(plan[(plan["factor"] == "width") & (plan["value"] == 0.1)]["key"])
    last = rows["key"].isin(ends) & (rows["kernel"] == "adaptive")
    rows.loc[last & (rows["seed"] == 0), ["solver", "nc1_paper"]] = ["precision_limit", 1e3]
    for seed, solver in ((1, "max_iterations"), (2, None)):
        lost = ["failed", "a message that nobody reads", solver, np.nan]
        rows.loc[last & (rows["seed"] == seed), ["status", "message", "solver", "nc1_paper"]] = lost
    first = EXPERIMENT.verdicts(rows)[0]
    assert first.status == "holds"
    assert "not converged, of 88 trials: 1 " in first.answer
    for said in ("1 precision_limit", "1 max_iterations", "1 failed"):
        assert said in first.answer
    ended = EXPERIMENT.tables(rows)[1].frame.set_index(["factor", "kernel", "ended"])["trials"].sort_index()
    assert ended["width", "adaptive"].to_dict() == {
        "converged": 85,
        "precision_limit": 1,
        "max_iterations": 1,
        "failed": 1,
    }
    (figure,) = EXPERIMENT.figures(rows)
    points = [line.get_xydata() for line in figure.figure.axes[0].get_lines() if len(line.get_xydata())]
    assert [0.1, 1e3] in np.concatenate(points).tolist()
    assert [[0.1, 0.97]] * 2 in [p.tolist() for p in points]


def test_an_end_that_fails_for_most_seeds_is_not_the_end():
    rows = rows_of(SHAPES["falls"], "width")
    plan = _grid.plan()
    ends = set(plan[(plan["factor"] == "width") & (plan["value"] == 0.1)]["key"])
    rows.loc[rows["key"].isin(ends) & (rows["kernel"] == "adaptive") & (rows["seed"] > 1), "solver"] = "x"
    row = _fits.curves(rows).fitted.iloc[0]
    assert (row["factor"], row["end"], row["not converged"]) == ("width", 0.3, "6 x")


def test_nothing_finished_is_undecided():
    rows = rows_of(SHAPES["falls"], "width").assign(
        status="failed", message="", solver=None, nc1_paper=np.nan
    )
    for some in (rows, rows.iloc[:1]):
        found = EXPERIMENT.verdicts(some)
        assert {v.status for v in found} == {"undecided"}
        assert EXPERIMENT.figures(some)


def test_collapse_limits_of_the_quick_run(quick_rows_frame):
    rows = quick_rows_frame
    apart, crowded, spread, *_ = EXPERIMENT.verdicts(rows)
    assert [apart.status, crowded.status, spread.status] == ["holds", "does not hold", "holds"]
    logs = _fits.prepare(rows)
    assert (logs["ended"] == "converged").all()
    slopes = apart.evidence.set_index("kernel")["slope at the end"]
    assert slopes["mean-field"] > 1.2 > 0.8 > slopes["adaptive"] > 0.6


# -- the open questions


def verdict(claim, status, answer="In 1 of 1 cells."):
    return Verdict(claim, status, answer, "A test | of its own.", pd.DataFrame())


def built(**sections):
    """Return a report with these experiments, each a list of verdicts."""
    names = [name.replace("_", "-") for name in sections]
    every = [
        Section(name, name.title(), "", verdicts=verdicts)
        for name, verdicts in zip(names, sections.values(), strict=True)
    ]
    return Built(None, every, names, {"Preset": "quick", "Trials": "7 finished, 1 failed, 2 to go"})


def parts_of(page):
    _, *parts = page.split("\n## ")
    return parts


def test_the_page_is_put_together_from_verdicts():
    order = "The NTK is not more collapsed than the NNGP."
    page = open_questions.page(
        built(
            limiting_kernels_balanced=[
                verdict(order, "holds", "In 40 of 40 cells.").about(topics.KERNELS),
                verdict("erf collapses more than ReLU.", "holds in part").about(topics.ACTIVATION),
            ],
            real_data=[verdict(order, "does not hold", "Fails in |one|.").about(topics.KERNELS)],
        )
    )
    assert page.startswith("# The paper's open questions\n")
    assert "preset quick; 7 finished, 1 failed, 2 to go" in page
    assert (
        "kernel-collapse reproduce limiting-kernels-balanced real-data --preset quick --out runs/quick"
        in page
    )
    ntk, deeper, activation, limit = parts_of(page)
    assert "2 verdicts: holds 1, does not hold 1." in ntk
    assert (
        f"- {order.rstrip('.')}: **holds** in `limiting-kernels-balanced`; **does not hold** in `real-data`"
        in ntk
    )
    assert f"| Real-Data | {order} | does not hold | Fails in \\|one\\|. |" in ntk
    assert "- A test \\| of its own." in ntk
    assert "erf" not in ntk
    assert "holds in part" in activation
    assert "None yet: no experiment of this run bears on it." in limit
    assert "not run, or not far enough: `deep-kernels`, `deep-widths`, `deep-data`" in deeper.lower()
    for part in parts_of(page):
        for word in ("**Question.**", "**Answer.**", "**What would change it.**"):
            assert part.count(word) == 1


def test_experiments_that_are_not_there_are_named():
    question = open_questions.Question(
        "t",
        "q?",
        (open_questions.Source("adaptive-width"), open_questions.Source("not-yet")),
        "Something.",
    )
    page = open_questions.page(built(adaptive_width=[]), [question])
    assert "**Missing.** Not run, or not far enough: `adaptive-width`" in page
    assert "(`kernel-collapse reproduce adaptive-width`); not in this version: `not-yet`." in page


def test_the_page_of_the_quick_run(quick_report, quick_rows_frame):
    rows, text = quick_rows_frame, (quick_report / "new" / "open-questions.md").read_text(encoding="utf-8")
    assert "kernel-collapse reproduce all --preset quick" in text
    assert str(quick_report) not in text
    for question, part in zip(open_questions.QUESTIONS, parts_of(text), strict=True):
        for source in question.sources:
            if source.experiment not in experiments.REGISTRY:
                assert f"`{source.experiment}`" in part.split("**Missing.**")[1]
                continue
            experiment = experiments.REGISTRY[source.experiment]
            keys = {trial.key for trial in experiment.trials("quick")}
            section = Section(
                experiment.name,
                experiment.title,
                "",
                verdicts=experiment.verdicts(rows[rows["key"].isin(keys)]),
            )
            assert source.of(section), f"no claim of {source.experiment} bears on {question.title}"
            (told,) = [line for line in part.splitlines() if line.startswith("**Answer.**")] or [""]
            for answers, conclude in question.answer:
                if answers == source.experiment:
                    assert open_questions.escape(conclude(section.verdicts).sentence) in told
            for found in source.of(section):
                assert open_questions.escape(found.answer) in part


@pytest.mark.parametrize(
    ("name", "words"), [("page.html", "try '{}/page.md'"), (".", "expected the name of a page")]
)
def test_a_name_that_is_no_page_is_refused_before_any_work(name, words, tmp_path):
    done = run_cli("report", tmp_path / "nowhere", "--open-questions", tmp_path / name)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words.format(tmp_path) in done.stderr


def test_without_a_run_or_a_finished_trial_there_is_no_page(tmp_path):
    page = tmp_path / "page.md"
    done = run_cli("report", tmp_path / "nowhere", "--open-questions", page)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "holds no results.sqlite" in done.stderr
    run = {"experiments": ["collapse-limits"], "preset": "quick", "version": "test"}
    with Store(tmp_path / "empty", run, {"environment": report.environment()}):
        pass
    done = run_cli("report", tmp_path / "empty", "--open-questions", page)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "has no finished trial" in done.stderr
    assert not page.exists()


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be written"):
        open_questions.write(tmp_path / "file" / "page.md", built(real_data=[]))
    with pytest.raises(ValueError, match="the run is a sweep of your own, which judges no claim"):
        open_questions.write(tmp_path / "page.md", built())
