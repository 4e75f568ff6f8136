"""Kernels of images on every road: data sets, files, streamed, sampled, measured, compared."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import kernel_collapse as kc
from kernel_collapse import measure
from kernel_collapse.cli import app
from kernel_collapse.kernels import ConvNNGP, ConvNTK

KERNELS = [ConvNNGP(2, activation="relu", bias_variance=0.1), ConvNTK(1, readout="gap")]


@pytest.fixture(scope="module")
def images():
    """Ninety images of 4 x 5 and two channels, of three classes; some are equal, one is blank."""
    rng = np.random.default_rng(7)
    labels = rng.integers(3, size=90)
    x = rng.normal(size=(90, 4, 5, 2)) + 1.5 * rng.normal(size=(3, 4, 5, 2))[labels]
    x[1], x[2] = x[0], 0.0
    labels[1] = labels[0]
    return x, labels


@pytest.fixture(scope="module")
def data(images):
    return kc.data.from_arrays(*images)


# -- every road gives one number


@pytest.mark.parametrize("kernel", KERNELS, ids=["flatten", "gap"])
def test_every_road_of_a_kernel_of_images_gives_one_number(kernel, images, unchecked):
    x, labels = images
    exact = kc.collapse(kernel(x), labels)
    streamed = kc.streamed_collapse(x, labels, kernel=kernel, tile=32)
    for name in ("nc1", "nc1_pinv", "cdnv", "nc2_norms", "nc2_etf", "ncm_accuracy"):
        assert getattr(streamed, name) == pytest.approx(getattr(exact, name), rel=1e-10), name
    assert kc.streamed_nc1(x, labels, kernel=kernel).ratio == pytest.approx(exact.nc1, rel=1e-12)
    assert kc.streamed_nc1(torch.asarray(x), labels, kernel=kernel, tile=32) == kc.streamed_nc1(
        x, labels, kernel=kernel, tile=32
    )
    every = kc.sampled_nc1(x, labels, kernel=kernel, pairs=90 * 89 // 2)
    assert every.ratio == pytest.approx(exact.nc1, rel=1e-11)
    some = kc.sampled_nc1(x, labels, kernel=kernel, pairs=1000, confidence=0.9999)
    assert some.low < exact.nc1 < some.high


def test_a_name_is_a_kernel_and_several_share_a_pass(images, unchecked):
    x, labels = images
    named = kc.streamed_nc1(x, labels, kernel=("conv-nngp", "conv-ntk"), activation="relu", depth=2)
    given = (ConvNNGP(2, activation="relu"), ConvNTK(2, activation="relu"))
    assert list(named.values()) == list(kc.streamed_nc1(x, labels, kernel=given).values())
    pooled = kc.sampled_nc1(x, labels, kernel="conv-ntk-gap", pairs=500)
    assert pooled == kc.sampled_nc1(x, labels, kernel=KERNELS[1], pairs=500)


def test_rows_of_images_are_read_as_they_are_asked_for(images, tmp_path, unchecked):
    x, labels = images
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert kc.streamed_nc1(mapped, labels, kernel=KERNELS[0]) == kc.streamed_nc1(x, labels, kernel=KERNELS[0])
    estimate = kc.sampled_nc1(mapped, labels, kernel=KERNELS[0], pairs=200)
    assert estimate == kc.sampled_nc1(x, labels, kernel=KERNELS[0], pairs=200)
    x = x.copy()
    x[17, 1, 2, 0] = np.nan
    with pytest.raises(kc.InputError, match="nan in row 17"):
        kc.streamed_nc1(x, labels, kernel=KERNELS[0])


# -- data sets


def test_a_data_set_of_images_has_rows_and_images(images, unchecked):
    x, labels = images
    data = kc.data.from_arrays(x, labels)
    assert data.image_shape == (4, 5, 2)
    assert "images of 4 x 5 x 2" in repr(data)
    np.testing.assert_array_equal(data.images, x)
    np.testing.assert_array_equal(data.x, x.reshape(90, -1))
    train, test = kc.data.split(data, 0.3, seed=0)
    scaled = kc.data.standardize(test, like=train)
    for part in (train, scaled, kc.data.subset(data, 12)):
        assert part.images.shape == (len(part.x), 4, 5, 2)
    made = kc.Dataset(x, data.labels, data.targets)
    assert made.image_shape == (4, 5, 2)
    np.testing.assert_array_equal(kc.data.from_arrays(torch.asarray(x), labels).images, x)


def test_what_is_no_image_is_refused(images, unchecked):
    x, labels = images
    rows = kc.data.from_arrays(x.reshape(90, -1), labels)
    with pytest.raises(kc.InputError, match="rows of 40 numbers"):
        _ = rows.images
    with pytest.raises(kc.InputError, match="whose product is the 40 columns"):
        kc.Dataset(rows.x, rows.labels, rows.targets, image_shape=(5, 5, 2))
    with pytest.raises(kc.InputError, match="rows of 40 numbers"):
        measure.measure(rows, [KERNELS[0]])
    with pytest.raises(kc.InputError, match="images of several sizes"):
        KERNELS[0]([np.ones((2, 3, 1)), np.ones((3, 3, 1))])


@pytest.mark.parametrize(
    ("shape", "image", "said"),
    [
        ((12, 6, 7), (6, 7, 1), "12 images of 6 x 7 flattened to 42 features."),
        ((12, 6, 7, 3), (6, 7, 3), "12 images of 6 x 7 x 3 flattened to 126 features."),
        ((12, 3, 6, 7), (6, 7, 3), "Channels were the first axis of an image, and are the last here."),
        ((12, 3, 3, 3), (3, 3, 3), "12 images of 3 x 3 x 3 flattened to 27 features."),
        ((12, 5), (), ""),
    ],
)
def test_images_of_a_file_are_known(shape, image, said, tmp_path, unchecked):
    x = np.random.default_rng(0).integers(255, size=shape).astype(np.uint8)
    labels = np.arange(12) % 2
    np.savez(tmp_path / "images.npz", x_train=x, y_train=labels, x_test=x[:4], y_test=labels[:4])
    data = kc.data.load(tmp_path / "images.npz")
    held_out = kc.data.load(tmp_path / "images.npz", like=data)
    assert data.image_shape == held_out.image_shape == image
    assert said in " ".join(data.notes)
    if image:
        last = np.moveaxis(x, 1, 3) if "first" in said else x.reshape(12, *image)
        np.testing.assert_array_equal(data.images, last)


# -- measured


def test_measure_takes_kernels_of_images_beside_others(data, unchecked):
    train, test = kc.data.split(data, 0.2, seed=0)
    what = measure.specify(["nngp", "conv-nngp", "conv-ntk-gap", KERNELS[1]], ["relu", "erf"], depth=2)
    shown = [repr(k) for k in what if isinstance(k, kc.kernels.Kernel)]
    assert shown == [
        "ConvNNGP(2, activation='relu', readout='flatten')",
        "ConvNTK(2, activation='relu', readout='gap')",
        "ConvNNGP(2, activation='erf', readout='flatten')",
        "ConvNTK(2, activation='erf', readout='gap')",
        "ConvNTK(1, readout='gap')",
    ]
    table = measure.measure(train, [what[0], what[1], KERNELS[0]], test=test)
    rows = table[table["kernel"] == repr(KERNELS[0])].set_index("samples")
    kernel = KERNELS[0]
    expected = kc.collapse(kernel(train.images), train.labels, targets=train.targets)
    held_out = kc.held_out_collapse(
        kernel(train.images),
        train.labels,
        kernel(test.images, train.images),
        kernel.diagonal(test.images),
        test.labels,
        targets=train.targets,
    )
    for samples, found in (("training", expected), ("held-out", held_out)):
        assert rows.loc[samples, "NC1"] == pytest.approx(found.nc1, rel=1e-12)
        assert rows.loc[samples, "accuracy"] == found.accuracy
    for method in ("streamed", "sampled"):
        other = measure.measure(train, [kernel], method=method)
        assert other.loc[0, "NC1"] == pytest.approx(expected.nc1, rel=1e-10 if method == "streamed" else 0.05)
    for method in ("dense", "streamed", "sampled"):
        assert 0 < measure.cost(KERNELS[0], train, method) < measure.cost(KERNELS[1], train, method, test)


def test_the_command_line_measures_images(images, tmp_path, unchecked):
    x, labels = images
    path = tmp_path / "images.npz"
    np.savez(path, images=x, labels=labels)
    asked = [
        "measure",
        str(path),
        "--kernel",
        "conv-nngp",
        "--depth",
        "5",
        "--activation",
        "relu",
        "--holdout",
        "0.2",
    ]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert "ConvNNGP(5" in result.output
    (tmp_path / "table.csv").write_text("a,b,label\n1,2,x\n3,4,y\n5,6,x\n1,4,y\n")
    refused = CliRunner().invoke(app, ["measure", str(tmp_path / "table.csv"), "--kernel", "conv-ntk"])
    assert refused.exit_code == 2 or isinstance(refused.exception, kc.InputError)


# -- beside a model


def test_a_model_is_compared_with_kernels_of_its_images(images, unchecked):
    x, labels = images
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 2 * 3, 3)
    )
    inputs = torch.asarray(x, dtype=torch.float32).permute(0, 3, 1, 2)
    loader = [(inputs, torch.asarray(labels))]
    found = kc.torch.compare(
        model, loader, ["conv-nngp", KERNELS[1], "ntk"], tangent=False, activation="relu"
    )
    assert list(found)[:3] == ["conv-nngp (relu)", "ConvNTK(1, readout='gap')", "NTK (relu)"]
    single = x.astype(np.float32).astype(float)
    np.testing.assert_allclose(
        found.grams["conv-nngp (relu)"], ConvNNGP(1, activation="relu")(single), rtol=1e-13, atol=1e-15
    )
    np.testing.assert_allclose(found.grams["ConvNTK(1, readout='gap')"], KERNELS[1](single), rtol=1e-13)
    flat = [(inputs.reshape(90, -1), torch.asarray(labels))]
    dense = torch.nn.Sequential(torch.nn.Linear(40, 3))
    with pytest.raises(kc.InputError, match="images \\(n, channels, height, width\\)"):
        kc.torch.compare(dense, flat, ["conv-nngp"], tangent=False)


def test_every_road_has_the_shapes_that_it_says(images):
    """Types are checked here, which the other tests go without."""
    x, labels = images[0][:4], [0, 1, 0, 1]
    for readout in ("flatten", "gap"):
        kernel = ConvNTK(2, activation="relu", readout=readout)
        for given in (x, torch.asarray(x)):
            for found, shape in (
                (kernel(given), (4, 4)),
                (kernel(given, given[:2]), (4, 2)),
                (kernel.tile(given[:1], given), (1, 4)),
                (kernel.pairs(given, given), (4,)),
                (kernel.diagonal(given), (4,)),
            ):
                assert tuple(found.shape) == shape
            kc.sampled_nc1(given, labels, kernel=kernel)
            kc.streamed_nc1(given, labels, kernel=kernel)
