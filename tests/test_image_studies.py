"""The study of images, on rows whose answer is known."""

import numpy as np
import pytest

from kernel_collapse_paper.experiments import images
from test_deep_studies import tabulated

#: log10 NC1 that each kind is given: locality and pooling each lower it, but on digits, where pooling harms.
LOGS = {"dense": 0.9, "flattened": 0.8, "pooled": 0.2}
PIXELS, TRAINED, HELD_OUT = 0.85, -0.5, 0.1


def logs_of(trial):
    """Return log10 NC1 of the rows: the NTK is above the NNGP unless it is pooled, and depth lowers the pooled."""
    what = trial.measurement
    if what.kernel == "data":
        return [PIXELS]
    if what.kernel in images.TRAINED:
        return [LOGS[images.TRAINED[what.kernel]] + TRAINED]
    structure, limit = images.KINDS[what.kernel]
    log = LOGS[structure] + (0.9 if structure == "pooled" and trial.data.law == "shipped" else 0.0)
    tangent = {"NNGP": 0.0, "NTK": -0.05 if structure == "pooled" else 0.05}[limit]
    return [log + tangent - (0.02 * what.depth if structure == "pooled" else 0.0)]


@pytest.fixture(scope="module")
def table():
    rows = tabulated(images.trials("paper"), logs_of)
    seen = {"held_out_nc1": rows["nc1_paper"] * 10**HELD_OUT, "held_out_ncm_accuracy": 0.75}
    return images.prepare(rows.assign(**seen))


def test_rows_have_the_names_of_figures(table):
    assert list(dict.fromkeys(table["data"])) == list(images.ORDER) == list(images.data_of("paper"))
    assert set(images.data_of("quick")) < set(images.ORDER)
    seen = set(zip(table["structure"], table["limit"], strict=True))
    assert seen == {*images.KINDS.values(), *((kind, "trained") for kind in images.TRAINED.values())}
    np.testing.assert_allclose(table["log_held_out"] - table["log_nc1"], HELD_OUT, atol=1e-9)
    np.testing.assert_allclose(table["log_held_out_data"], PIXELS + HELD_OUT, atol=1e-3)


def test_every_trial_can_be_made_of_its_images():
    for preset in ("quick", "paper"):
        grid = images.trials(preset)
        assert len({trial.key for trial in grid}) == len(grid)
        for trial in grid:
            padding = getattr(trial.measurement, "padding", None)
            assert padding in (None, "circular" if trial.data.law == "shapes" else "same")
            assert trial.measurement.holdout == images.HOLDOUT
    assert sum(trial.cost for trial in images.trials("quick")) < 12


def test_verdicts_say_what_the_rows_were_given(table):
    found = [(verdict.status, verdict.topics) for verdict in images.verdicts(table)]
    assert found == [
        ("holds", set()),  # locality
        ("holds in part", set()),  # pooling, but on digits
        ("holds in part", set()),  # held out, as in training
        ("does not hold", set()),  # the dense kernels are above the pixels
        ("holds in part", set()),  # the flattened NNGP is below them, the NTK on them
        ("holds in part", set()),  # the pooled ones are below, but on digits
        ("holds", set()),  # with depth
        ("holds", set()),  # trained networks are below the NNGP
        ("holds", set()),
        ("holds", set()),  # and pooled ones below dense ones
        ("holds in part", {"kernels"}),  # the order of NTK and NNGP, which pooling reverses
    ]
    order = images.verdicts(table)[-1]
    cells = len(images.GRIDS["paper"][2]) * len(images.ORDER)
    assert f"dense {cells} of {cells}, flattened {cells} of {cells}, pooled 0 of {cells}" in order.answer


def test_figures_have_every_kind_and_stars_for_networks(table):
    (figure,) = images.figures(table)
    assert [len(row) for row in figure.plot.rows] == [len(images.ORDER)] * len(images.VALUES)
    for row, value in zip(figure.plot.rows, images.VALUES, strict=True):
        for panel in row:
            names = [mark.name for mark in panel.marks]
            assert names[:6] == [f"{structure} {limit}" for structure, limit in images.KINDS.values()]
            assert names[6:9] == ["dense trained", "flattened trained", "pooled trained"]
            assert names[9:] == ([] if value == "held_out_ncm_accuracy" else ["pixels"])
    assert len(images.tables(table)) == len(images.VALUES)
