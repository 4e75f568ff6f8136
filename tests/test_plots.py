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


# -- results of solvers, samplers and training


@pytest.fixture(scope="module")
def small():
    return kc.data.gaussian_classes(n=12, dim=3, seed=0)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_gram_matrix_by_class(small):
    labels = small.labels[::-1].copy()
    solution = kc.solve_adaptive(small.x, small.targets, width=50)
    panel = solution.plot(labels)
    order = np.argsort(labels, kind="stable")
    drawn = panel.get_images()[0].get_array()
    np.testing.assert_array_equal(drawn, solution.gram[np.ix_(order, order)])
    assert [line.get_ydata()[0] for line in panel.get_lines()[::2]] == [5.5]
    np.testing.assert_array_equal(
        kc.plots.gram_matrix(solution.gram).get_images()[0].get_array(), solution.gram
    )
    for bad in (np.ones((3, 4)), np.array([[1.0, np.nan], [np.nan, 1.0]]), [[1.0, 2.0], [0.0, 1.0]]):
        with pytest.raises(kc.InputError, match="Gram matrix"):
            kc.plots.gram_matrix(bad)
    with pytest.raises(kc.InputError):
        kc.plots.gram_matrix(solution.gram, labels[:5])


def test_nc1_of_every_layer(small):
    machine = kc.deep_rfm(small.x, small.targets, depth=3, ridge=0.1)
    panel = machine.plot()
    for line, values in zip(panel.get_lines(), machine.nc1.T, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert panel.get_yscale() == "log"
    field = kc.networks.solve_mean_field(small, width=50, noise_variance=0.1, depth=2)
    (line, *_), errors = field.plot().get_lines(), [layer.ratio_error for layer in field.layers]
    np.testing.assert_array_equal(line.get_ydata(), [layer.ratio for layer in field.layers])
    assert all(error > 0 for error in errors)
    with pytest.raises(kc.InputError, match="Posterior, MeanField or DeepRFM"):
        kc.plots.nc1_of_layers(small)


def test_training_over_epochs(small):
    training = kc.networks.train(small, width=20, depth=2, epochs=20, seeds=3)
    panel = training.plot()
    for layer, line in enumerate(panel.get_lines()):
        np.testing.assert_allclose(line.get_ydata(), training.nc1[..., layer].mean(axis=0))
        assert line.get_xdata().tolist() == training.epochs.tolist()
    assert len(panel.get_lines()) == 2
    assert len(training.plot(metric="loss").get_lines()) == 1
    with pytest.raises(kc.InputError, match="metric is 'nc5'"):
        training.plot(metric="nc5")


def test_every_solution_is_a_table_in_a_notebook(small):
    """With how it ended in words, every number of the certificate, and a row a layer."""
    found = [
        (
            kc.solve_adaptive(small.x, small.targets, width=50, depth=2),
            ["residual", "evaluations", "adaptation"],
            2,
        ),
        (kc.deep_rfm(small.x, small.targets, depth=3, ridge=0.1), ["fits", "nc1_agop", "resolved"], 3),
        (kc.networks.solve_mean_field(small, width=50, noise_variance=0.1), ["ratio_error", "particles"], 1),
        (kc.theory.expected_nc1(kc.theory.gaussian_mixture(3)), ["ratio", "points"], 0),
    ]
    for solution, names, layers in found:
        text = solution._repr_html_()
        assert solution.sentence.split(";")[0].split("(")[0].strip(" .") in text
        assert all(f">{name}<" in text for name in names)
        if layers:
            rows = text.split("<strong>Layers</strong>")[1]
            assert rows.count("<tr>") == 1 + layers
