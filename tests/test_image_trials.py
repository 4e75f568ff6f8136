"""Trials of images: kernels of convolutions on laws, tables and files, in sweeps and under a deep RFM."""

import sys

import numpy as np
import pytest
from pydantic import ValidationError

import kernel_collapse as kc
from kernel_collapse import cli, measure
from kernel_collapse.kernels import Activation, AvgPool, Conv, ConvNNGP, ConvNTK, Flatten, GlobalAvgPool
from kernel_collapse.runs import deep_rfm, laws, tidy, trials
from kernel_collapse.runs.measurements import DeepRFMNC1, ImageNC1, KernelNC1, NetworkNC1
from kernel_collapse.runs.trials import ShippedData, Trial, compute, describe_errors

SHAPES = laws.SPECIFICATIONS["shapes"](n=24, dim=64, n_classes=3)
CONV, PHI = Conv(3), Activation("relu")


@pytest.mark.parametrize(
    ("options", "kernel"),
    [
        ({"kernel": "conv-nngp"}, ConvNNGP([CONV, Activation("erf"), Flatten()])),
        ({"kernel": "conv-ntk", "activation": "relu", "depth": 2}, ConvNTK(2, activation="relu")),
        (
            {"kernel": "conv-nngp-gap", "activation": "relu", "bias_variance": 0.1, "weight_variance": 2.0},
            ConvNNGP(1, activation="relu", readout="gap", bias_variance=0.1, weight_variance=2.0),
        ),
        (
            {"kernel": "conv-ntk-gap", "activation": "relu", "depth": 2, "pool": 2, "padding": "circular"},
            ConvNTK([Conv(3, padding="circular"), PHI, AvgPool(2)] * 2 + [GlobalAvgPool()]),
        ),
        (
            {"kernel": "conv-nngp", "activation": "relu", "filter_size": 5, "padding": "valid"},
            ConvNNGP([Conv(5, padding="valid"), PHI, Flatten()]),
        ),
        ({"kernel": "conv-ntk-myrtle-5", "activation": "relu"}, ConvNTK("myrtle-5", activation="relu")),
        (
            {"kernel": "conv-nngp-myrtle-10", "depth": 9, "bias_variance": 0.1},
            ConvNNGP("myrtle-10", activation="erf", bias_variance=0.1),
        ),
    ],
)
def test_a_trial_measures_the_kernel_that_is_written(options, kernel):
    trial = Trial(data=SHAPES, measurement=options, seed=3)
    again = Trial.model_validate_json(trial.model_dump_json())
    assert (again, again.key) == (trial, trial.key)
    data = SHAPES.sample(3)
    assert compute(trial)["nc1_paper"] == pytest.approx(
        kc.nc1(kernel(data.images), data.labels).ratio, rel=1e-12
    )
    assert trial.cost > 0


@pytest.mark.parametrize(
    "measurement",
    [
        KernelNC1(kernel="data", holdout=0.25),
        KernelNC1(kernel="ntk", activation="relu", depth=2, holdout=0.25),
        ImageNC1(kernel="conv-nngp", activation="relu", holdout=0.25),
    ],
)
def test_held_out_samples_of_a_trial(measurement):
    found = compute(Trial(data=SHAPES, measurement=measurement, seed=1))
    train, test = kc.data.split(SHAPES.sample(1), 0.25, seed=1)
    if measurement.kernel == "data":
        expected = kc.held_out_collapse_from_features(train.x, train.labels, test.x, test.labels)
        inside = kc.nc1_from_features(train.x, train.labels).ratio
    else:
        of = measurement.samples
        gram, cross = (measurement.network(of(part), of(train)) for part in (train, test))
        diagonal = np.diag(measurement.network(of(test)))
        expected = kc.held_out_collapse(gram, train.labels, cross, diagonal, test.labels)
        inside = kc.nc1(gram, train.labels).ratio
    assert found["nc1_paper"] == pytest.approx(inside, rel=1e-10)
    assert found["held_out_nc1"] == pytest.approx(expected.nc1, rel=1e-9)
    assert found["held_out_ncm_accuracy"] == expected.ncm_accuracy
    plain = measurement.model_copy(update={"holdout": 0.0})
    assert "holdout" not in plain.model_dump()
    assert "held_out_nc1" not in compute(Trial(data=SHAPES, measurement=plain, seed=1))


@pytest.mark.parametrize(("kernel", "loss"), [("network", "mse"), ("conv-network-gap", "cross_entropy")])
def test_held_out_samples_of_a_trained_network(kernel, loss):
    options = {"width": 8, "depth": 1, "epochs": 40, "learning_rate": 0.01, "optimiser": "adam", "loss": loss}
    what = {"kernel": kernel, "activation": "relu", "holdout": 0.25, "precision": "float64", **options}
    found = compute(Trial(data=SHAPES, measurement=what, seed=1))
    train, test = kc.data.split(SHAPES.sample(1), 0.25, seed=1)
    if kernel == "network":
        made, x, x_test = {"activation": "relu"}, train.x, test.x
    else:
        made, x, x_test = {"layers": [CONV, PHI, GlobalAvgPool()]}, train.images, test.images
        del options["depth"]
    training = kc.networks.train(train, seeds=[1], precision="float64", **options, **made)
    network = training.networks[0]
    expected = kc.held_out_collapse_from_features(
        network.features(x), train.labels, network.features(x_test), test.labels
    )
    assert found["nc1_paper"] == training.nc1[0, -1, -1]
    assert found["held_out_nc1"] == expected.nc1
    assert found["held_out_ncm_accuracy"] == expected.ncm_accuracy
    decided = network(x_test).argmax(
        axis=1
    )  # one output a class: the largest is nearest to its one-hot target
    assert found["held_out_accuracy"] == (decided == test.labels).mean()
    stored = NetworkNC1().model_dump()
    assert {"optimiser", "holdout"}.isdisjoint(stored)


def test_keys_of_rows_without_images_stay():
    """Computed before there were images: a change here orphans the rows of earlier runs."""
    law = laws.SPECIFICATIONS["gaussian"](n=20, dim=3)
    machine = Trial(data=law, measurement=DeepRFMNC1(depth=2), seed=0)
    assert "base" not in machine.measurement.model_dump()
    content = laws.FileContent(sha256="0" * 64, rows=9, features=3, classes=2)
    assert set(content.model_dump()) == {"sha256", "rows", "features", "classes"}
    assert laws.FileContent.model_validate(content.model_dump()) == content


@pytest.mark.parametrize(
    "base", [ImageNC1(kernel="conv-nngp-gap"), KernelNC1(kernel="ntk", activation="relu")]
)
def test_a_deep_rfm_stands_on_the_features_of_a_kernel(base):
    what = DeepRFMNC1(depth=2, base=base, fits=2)
    found = compute(Trial(data=SHAPES, measurement=what, seed=2))
    data = SHAPES.sample(2)
    gram = base.network(base.samples(data))
    expected = kc.deep_rfm(gram, data.targets, inputs="gram", depth=2, iterations=2, labels=data.labels)
    assert found["nc1_paper"] == pytest.approx(expected.layers[-1].nc1, rel=1e-9)
    assert found["layer_nc1_input"][0] == pytest.approx(expected.nc1[0, 0], rel=1e-12)
    assert what.cost(100, 64, 3) > DeepRFMNC1(depth=2, fits=2).cost(100, 64, 3)
    row = tidy._parameters(Trial(data=SHAPES, measurement=what, seed=2), SHAPES.name)
    assert (row["base_kernel"], row["base_depth"], row["depth"]) == (base.kernel, 1, 2)
    assert "convolutions; of the kernel that a deep RFM stands on" in tidy._meaning("base_depth")


def test_a_constant_feature_stands_beside_those_of_a_kernel():
    """The identity network has the features x / sqrt(d), so that both ways are one."""
    what = DeepRFMNC1(
        depth=2, base=KernelNC1(kernel="nngp", activation="identity"), constant=3.0, ridge=0.01, bandwidth=1.5
    )
    train, test = SHAPES.sample(2), SHAPES.sample(3)
    rows, others = (
        np.hstack([part.x / np.sqrt(part.x.shape[1]), np.full((len(part.x), 1), 3.0)])
        for part in (train, test)
    )
    found = deep_rfm.machine(what, train)
    plain = kc.deep_rfm(rows, train.targets, depth=2, ridge=0.01, bandwidth=1.5, labels=train.labels)
    np.testing.assert_allclose(found.nc1, plain.nc1, rtol=1e-9)
    cross = deep_rfm.carried(what, found, train, test).layers[-1].cross
    np.testing.assert_allclose(cross, plain.held_out(others).layers[-1].cross, rtol=1e-8, atol=1e-12)


SWEEP = """seeds = 2
[[data]]
law = "shapes"
n = 24
dim = 64
n_classes = 3
translation = [0.0, 2.0]
[[data]]
law = "shipped"
name = "digits"
n = 24
standardized = false
[[data]]
law = "file"
path = "mine.npz"
standardized = false
[[measurement]]
kernel = ["conv-nngp", "conv-ntk-gap"]
activation = "relu"
depth = [1, 2]
pool = 2
[[measurement]]
kernel = "deep-rfm"
depth = 2
base = { kernel = "conv-nngp-gap", activation = "relu", depth = [1, 2] }
[[measurement]]
kernel = "data"
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with images, in which commands run."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, size=(12, 6, 5, 3), dtype=np.uint8)
    np.savez("mine.npz", x_train=images, y_train=np.arange(12) % 2)
    return tmp_path


@pytest.fixture
def say(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kernel-collapse", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return run


def test_a_sweep_of_images(here, say):
    (here / "images.toml").write_text(SWEEP, encoding="utf-8")
    code, _, err = say("run", "images.toml", "--workers", 1)
    assert code == 0, err
    rows = kc.results("runs/images")
    assert len(rows) == 4 * (4 + 2 + 1) * 2
    assert set(rows["status"]) == {"ok"}
    assert rows["nc1_paper"].notna().all()
    assert {"data_translation", "filter_size", "padding", "pool", "base_kernel", "base_depth"} <= set(rows)
    assert all(said["meaning"] != "not known to this version" for said in rows.attrs["columns"].values())
    of = rows[(rows["data"] == "mine.npz(standardized=no)") & (rows["depth"] == 2)]
    data = kc.data.load("mine.npz")
    assert data.image_shape == (6, 5, 3)
    kernel = ConvNTK([CONV, PHI, AvgPool(2)] * 2 + [GlobalAvgPool()])
    expected = kc.nc1(kernel(data.images), data.labels).ratio
    assert of.loc[of["kernel"] == "conv-ntk-gap", "nc1_paper"].tolist() == pytest.approx(
        [expected] * 2, rel=1e-10
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("[[data]]\n", '[[data]]\nlaw = "xor"\nn = 9\ndim = 2\n[[data]]\n'),
            "'conv-nngp' with the data 'xor', rows",
        ),
        (("pool = 2", "pool = 8"), "the window of AvgPool(8) is 8 x 8 and the image"),
        (
            ("pool = 2", 'padding = "valid"\nfilter_size = 7'),
            "the filter of Conv(7, padding='valid') is 7 x 7",
        ),
        (("pool = 2", "pool = 0"), "pool is 0, expected more than 0"),
        (
            ('conv-nngp-gap", activation', 'adaptive", activation'),
            "base.kernel is 'adaptive', expected one of conv-",
        ),
        (
            ('conv-nngp-gap", activation = "relu"', 'data"'),
            "base is 'data', expected a kernel of any two sets",
        ),
    ],
)
def test_what_has_no_images_is_refused_before_any_work(here, say, change, message):
    (here / "images.toml").write_text(SWEEP.replace(*change, 1), encoding="utf-8")
    code, _, err = say("run", "images.toml")
    assert code == 2
    assert message in err
    assert "images.toml, line " in err
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    "data", [laws.SPECIFICATIONS["xor"](n=9, dim=2), ShippedData(name="wine", n=20), {"n": 8, "dim": 2}]
)
@pytest.mark.parametrize(
    "what",
    [
        {"kernel": "conv-ntk"},
        {"kernel": "conv-network"},
        {"kernel": "deep-rfm", "base": {"kernel": "conv-ntk"}},
    ],
)
def test_trials_without_images_are_refused(data, what):
    with pytest.raises(ValidationError) as caught:
        Trial(data=data, measurement=what, seed=0)
    assert "rows of numbers, expected data of images: take the law 'shapes'" in describe_errors(caught.value)


def test_a_table_knows_its_images():
    digits = ShippedData(name="digits", n=30, standardized=False)
    assert digits.image_shape == digits.sample(0).image_shape == kc.data.IMAGES["digits"] == (8, 8, 1)
    assert kc.data.shipped("wine").image_shape == ShippedData(name="wine", n=9).image_shape == ()
    noisy = laws.LabelNoise(base=digits, fraction=0.1)
    assert noisy.image_shape == noisy.sample(0).image_shape == (8, 8, 1)
    trials.require(ImageNC1(kernel="conv-ntk"), noisy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"depth": 3},
            "depth is 3 beside 'conv-ntk-myrtle-7', expected 6 or nothing: that name says every layer",
        ),
        ({"pool": 2}, "pool is 2 beside"),
        ({"filter_size": 5}, "filter_size is 5 beside"),
        ({"padding": "valid"}, "padding is 'valid' beside"),
    ],
)
def test_the_name_of_a_network_says_every_layer(options, message):
    with pytest.raises(ValidationError, match=message):
        ImageNC1(kernel="conv-ntk-myrtle-7", **options)


def test_networks_with_a_name_go_everywhere():
    data = SHAPES.sample(0)
    kernel = ConvNNGP("myrtle-5", activation="relu")
    expected = kc.nc1(kernel(data.images), data.labels).ratio
    named = {"kernel": "conv-nngp-myrtle-5", "activation": "relu"}
    assert kc.streamed_nc1(data.images, data.labels, **named).ratio == pytest.approx(expected, rel=1e-10)
    with pytest.raises(ValueError, match="depth is 2 beside 'conv-nngp-myrtle-5', expected no depth"):
        kc.streamed_nc1(data.images, data.labels, **named, depth=2)
    what = measure.specify(["conv-nngp-myrtle-5"], ["relu"])
    assert measure.measure(data, what)["NC1"].to_numpy()[-1] == pytest.approx(expected, rel=1e-12)
    machine = measure.specify(["deep-rfm"], ["relu"], base="conv-nngp-myrtle-5", depth=2)[-1]
    assert machine.base.network.stack == kernel.stack
    trained = Trial(
        data=SHAPES, measurement={**named, "kernel": "conv-network-myrtle-5", "width": 4, "epochs": 2}, seed=0
    )
    assert trained.measurement.layers == kernel.stack
    assert compute(trained)["nc1_paper"] > 0


def test_measure_a_deep_rfm_on_a_kernel_of_images(here, say):
    data = kc.data.shapes(n=45, dim=36, n_classes=3, seed=4)
    np.savez("shapes.npz", x=data.images, y=data.labels)
    options = (
        "--kernel deep-rfm --activation relu --depth 2 --base conv-nngp-gap --base-depth 2 --holdout 0.2"
    )
    code, out, err = say("measure", "shapes.npz", *options.split())
    assert code == 0, err
    train, test = kc.data.split(kc.data.load("shapes.npz"), 0.2, seed=0)
    kernel = ConvNNGP(2, activation="relu", readout="gap")
    machine = kc.deep_rfm(kernel(train.images), train.targets, inputs="gram", depth=2, labels=train.labels)
    crossed = kernel(test.images, train.images)
    seen = machine.held_out(crossed, test.labels, diagonal=kernel.diagonal(test.images)).layers[-1]
    assert f"{machine.layers[-1].nc1:.4g}" in out
    assert f"{seen.nc1:.4g}" in out
    assert measure.specify(["deep-rfm"], ["erf"])[1].base is None
    with pytest.raises(ValueError, match="base belongs to the kernel 'deep-rfm'.*'conv-ntk'"):
        measure.specify(["nngp"], ["erf"], base="conv-ntk")
    with pytest.raises(ValueError, match="base is 'conv-nkt', expected one of"):
        measure.specify(["deep-rfm"], ["erf"], base="conv-nkt")
    rows = kc.data.gaussian(n=20, dim=3)
    with pytest.raises(ValueError, match="holds rows of 3 numbers, expected images"):
        measure.measure(rows, measure.specify(["deep-rfm"], ["erf"], base="conv-ntk"))
