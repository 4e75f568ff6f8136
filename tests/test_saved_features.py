"""`measure --features layer.npz`: features that someone saved, with the layer after them; and what is no such file."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import kernel_collapse as kc
from conftest import DATA, refuse
from kernel_collapse import cli, measure, readout

CHECKPOINTS = ("ckpt", "pt", "pth", "safetensors", "h5", "pkl", "joblib")


@pytest.fixture
def arrays():
    with np.load(DATA / "metrics.npz") as held:
        names = ("features", "labels", "classifier", "bias", "ood")
        return {name: held[f"1|{name}"] for name in names}


@pytest.fixture
def layer(arrays, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = {name: arrays[name] for name in ("features", "labels", "classifier", "bias")}
    np.savez("layer3.npz", **named, ood_features=arrays["ood"])
    return arrays


def printed(monkeypatch, capsys, *arguments):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["kernel-collapse", "measure", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    captured = capsys.readouterr()
    assert not stopped.value.code, captured.err
    return captured.out


def test_every_metric_of_a_layer(layer, monkeypatch, capsys):
    shown = printed(monkeypatch, capsys, "--features", "layer3.npz", "--report", "page.html")
    found = kc.collapse_from_features(
        layer["features"], layer["labels"], classifier=layer["classifier"], bias=layer["bias"]
    )
    around = kc.geometry_from_features(layer["features"], layer["labels"], ood_features=layer["ood"])
    for result, fields in ((found, measure.METRICS_OF), (around, measure.GEOMETRY_OF)):
        for name, field in list(fields.items())[3:] if result is found else fields.items():
            assert re.search(rf"{re.escape(name)} +│ +{getattr(result, field):.3g} │", shown), name
    assert "Method: features (no Gram matrix is needed)." in shown
    assert "RankMe" in Path("page.html").read_text(encoding="utf-8")


def test_kernels_beside_a_layer_and_held_out_samples(layer, monkeypatch, capsys):
    dataset = kc.data.load("layer3.npz")
    train, test = kc.data.split(dataset, 0.3, seed=0)
    last = readout.read(Path("layer3.npz"), dataset)
    table = measure.measure(train, measure.specify(["nngp"], ["relu"]), test=test, readout=last)
    table = table.set_index(["kernel", "samples"])
    found = kc.held_out_collapse_from_features(
        train.x, train.labels, test.x, test.labels, classifier=layer["classifier"], bias=layer["bias"]
    )
    assert table.loc[("data", "held-out"), "accuracy"] == found.accuracy
    assert table.loc[("data", "held-out"), "NC3 self-duality"] == found.nc3_self_duality
    assert np.isnan(table.loc[("NNGP", "training"), "RankMe"])
    assert np.isfinite(table.loc[("NNGP", "training"), "NC3"])
    shown = printed(
        monkeypatch, capsys, "--features", "layer3.npz", "--kernel", "nngp", "--activation", "relu"
    )
    assert "ReLU NNGP" in shown


@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 5, 3), (7, 4, 5), (1, 60, 1), (3, 5, 3)], ids=str)
def test_channels_first_or_last_a_classifier_has_its_features(shape, tmp_path, rng):
    """Whichever axis is moved: decisions are those of the products that the model made."""
    features, labels = rng.normal(size=(60, *shape)), np.repeat(np.arange(4), 15)
    weights, ood = rng.normal(size=(4, np.prod(shape))), rng.normal(size=(9, *shape))
    path = tmp_path / "maps.npz"
    np.savez(path, features=features, label=labels, classifier=weights, bias=np.zeros(4), ood_features=ood)
    for label in (None, "label"):
        dataset = kc.data.load(path, label=label)
        last = readout.read(path, dataset, label)
        np.testing.assert_allclose(
            dataset.x @ last.classifier.T, features.reshape(60, -1) @ weights.T, atol=1e-12
        )
        np.testing.assert_allclose(
            last.ood_features @ last.classifier.T, ood.reshape(9, -1) @ weights.T, atol=1e-12
        )


def test_a_classifier_of_more_classes_than_have_samples(layer, tmp_path):
    keep = layer["labels"] != 2
    path = tmp_path / "some.npz"
    arrays = {"features": layer["features"][keep], "labels": layer["labels"][keep]}
    np.savez(path, **arrays, classifier=layer["classifier"], bias=layer["bias"])
    last = readout.read(path, kc.data.load(path))
    others = np.flatnonzero(np.arange(len(layer["classifier"])) != 2)
    np.testing.assert_array_equal(last.classifier, layer["classifier"][others])
    np.testing.assert_array_equal(last.bias, layer["bias"][others])
    assert last.notes == ("1 rows of the classifier are of classes without a sample, and left out.",)
    bare = tmp_path / "bare.npz"
    np.savez(bare, **arrays)
    last = readout.read(bare, kc.data.load(bare))
    assert last.classifier is None
    assert "no array 'classifier'" in last.notes[0]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"classifier": np.ones((5, 3))}, r"classifier has shape \(5, 3\), expected \(classes, 18\)"),
        ({"classifier": np.ones((4, 18))}, "classifier has 4 rows for 5 classes, expected a row a class"),
        ({"bias": np.ones(3)}, r"bias has shape \(3,\), expected \(5,\)"),
        ({"classifier": None}, "bias in layer3.npz is without a classifier, expected both"),
        ({"ood_features": np.full((2, 18), np.nan)}, "ood_features holds nan in row 0"),
        ({"ood_features": np.ones((2, 3))}, r"ood_features have shape \(2, 3\), expected 18 columns"),
    ],
)
def test_what_does_not_go_together(layer, monkeypatch, capsys, changed, sentence):
    named = {name: layer[name] for name in ("features", "labels", "classifier", "bias")} | changed
    np.savez("layer3.npz", **{name: value for name, value in named.items() if value is not None})
    assert re.search(sentence, refuse(monkeypatch, capsys, "measure", "--features", "layer3.npz"))


@pytest.mark.parametrize("ending", CHECKPOINTS)
def test_a_checkpoint_cannot_be_opened(ending, layer, monkeypatch, capsys):
    for arguments in ((f"run.{ending}",), ("--features", f"run.{ending}")):
        said = refuse(monkeypatch, capsys, "measure", *arguments)
        assert f"'run.{ending}' is a checkpoint, which cannot be opened without its code" in said
        assert "numpy.savez('layer.npz', features=..., labels=..., classifier=..., bias=...)" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--features", "table.csv"), "--features is 'table.csv', expected an .npz file"),
        (("--features", "x"), "--features is 'x', expected an .npz file"),
        (("--features", "layer3.npz", "--standardize"), "--standardize is given for features of a layer"),
        (("--features", "none.npz"), "'none.npz' does not exist"),
    ],
)
def test_what_is_no_file_of_features(arguments, sentence, layer, monkeypatch, capsys):
    assert sentence in refuse(monkeypatch, capsys, "measure", *arguments)
