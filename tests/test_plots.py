"""Figures of records: what is drawn is what was found."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

import kernel_collapse as kc

LABELS = np.arange(60) % 4


@pytest.fixture
def history():
    rng, found = np.random.default_rng(0), kc.History(keep_means=True)
    noise = rng.normal(size=(60, 5))
    for epoch in (0, 5, 10):
        x = np.eye(4, 5)[LABELS] + noise / (1 + epoch)
        found.append(kc.record(lambda x: {"one": x, "two": np.tanh(x)}, [(x, LABELS)], n_classes=4), epoch)
    yield found
    plt.close("all")


def test_over_epochs(history):
    panels = history.plot(metrics=("nc1", "nc2_etf"))
    for panel, metric in zip(panels, ("nc1", "nc2_etf"), strict=True):
        lines = {line.get_label(): line for line in panel.get_lines()}
        assert list(lines) == ["one", "two"]
        for layer, numbers in history.values(metric).items():
            assert lines[layer].get_ydata().tolist() == numbers
            assert lines[layer].get_xdata().tolist() == [0, 5, 10]
    own = plt.subplots()[1]
    assert kc.plots.over_epochs(history, metrics=["nc1"], axes=own)[0] is own


def test_over_layers(history):
    (panel,) = history[-1].plot(metrics=["cdnv"])
    assert panel.get_lines()[0].get_ydata().tolist() == [one.cdnv for one in history[-1].values()]
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["one", "two"]


def test_heat_map(history):
    panel = kc.plots.heat_map(history)
    assert np.array_equal(panel.get_images()[0].get_array(), list(history.values("nc1").values()))


def test_cosines(history):
    means = history[-1].means_of("one")
    panel = kc.plots.cosines(means)
    away = means - means.mean(axis=0)
    away /= np.linalg.norm(away, axis=1)[:, None]
    expected = sorted(away[i] @ away[j] for i in range(4) for j in range(i))
    np.testing.assert_allclose(panel.get_lines()[0].get_ydata(), expected, atol=1e-12)
    assert panel.get_lines()[1].get_ydata()[0] == -1 / 3


@pytest.mark.parametrize("dimensions", [2, 3])
def test_features(dimensions):
    x = np.eye(4, 5)[LABELS] + 0.01 * np.random.default_rng(0).normal(size=(60, 5))
    axes = kc.plots.features(x, LABELS, dimensions=dimensions)
    assert [len(drawn.get_offsets()) for drawn in axes.collections] == [15] * 4
    plt.close("all")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda h: kc.plots.over_epochs(kc.History()), "the history is empty"),
        (lambda h: kc.plots.over_epochs(h, metrics=["nc9"]), "metric is 'nc9'"),
        (lambda h: kc.plots.over_epochs(h, axes=plt.subplots()[1]), "axes are 1, expected 4"),
        (lambda h: kc.plots.heat_map(3), "history is of type int"),
        (lambda h: kc.plots.cosines([1.0, 2.0]), r"class_means has shape \(2,\)"),
        (
            lambda h: kc.plots.features(np.eye(4), [0, 1, 0, 1]),
            "2 classes of 4 features have 1 directions, expected 2",
        ),
        (lambda h: kc.plots.features(np.eye(4), [0, 1, 0, 1], dimensions=4), "dimensions is 4"),
    ],
)
def test_bad_input(call, sentence, history):
    with pytest.raises(kc.InputError, match=sentence):
        call(history)
