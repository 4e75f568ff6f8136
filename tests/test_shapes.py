"""The law of images: that shapes are made as documented, and what is known of them."""

import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import gaussian_filter

import kernel_collapse as kc
from kernel_collapse.data._pentominoes import PENTOMINOES


def forms(cells):
    """The eight forms of a shape under turns and mirrors, as text."""
    array = np.array([list(line) for line in cells])
    turned = [np.rot90(side, k) for side in (array, array.T) for k in range(4)]
    return {"/".join("".join(line) for line in form) for form in turned}


def test_there_are_twelve_shapes_of_five_cells():
    assert len(PENTOMINOES) == 12
    seen = [forms(cells) for cells in PENTOMINOES.values()]
    assert all("".join(cells).count("#") == 5 for cells in PENTOMINOES.values())
    assert all(seen[i].isdisjoint(seen[j]) for i in range(12) for j in range(i))


@pytest.mark.parametrize("blur", [0.0, 0.7])
def test_shapes_are_made_as_documented(blur):
    """A twin on a fine grid of points: a shape that is drawn, blurred, and averaged over pixels."""
    side, fine, separation = 10, 40, 1.5
    options = {"cell": 1.3, "blur": blur, "translation": 5.0, "noise": 0.2, "separation": separation}
    data = kc.data.shapes(n=6, dim=side**2, n_classes=3, seed=4, **options)
    rng = np.random.default_rng(4)
    places, noise = 5.0 * (2 * rng.random((6, 2)) - 1), 0.2 * rng.normal(size=(6, side**2))
    points = (np.arange(side * fine) + 0.5) / fine
    for row, (a, b) in enumerate(places):
        cells = PENTOMINOES["XIU"[row // 2]]
        # Of every point, its place in the shape, in cells, on the ring.
        middle = np.array([len(cells), len(cells[0])]) / 2
        i, j = (
            np.floor(((points - side / 2 - shift + m * 1.3) % side) / 1.3).astype(int)
            for shift, m in zip((a, b), middle, strict=True)
        )
        drawn = np.zeros((side * fine, side * fine))
        for p, line in enumerate(cells):
            for q, mark in enumerate(line):
                drawn[np.ix_(i == p, j == q)] = mark == "#"
        if blur:
            drawn = gaussian_filter(drawn, blur * fine, mode="wrap", truncate=8)
        pixels = drawn.reshape(side, fine, side, fine).mean(axis=(1, 3))
        np.testing.assert_allclose(
            data.x[row], separation * pixels.ravel() + noise[row], atol=separation / fine
        )


@pytest.mark.parametrize("blur", [0.0, 1e-8, 0.5, 3.0, 8.0])
def test_blur_and_translation_keep_the_mass(blur):
    data = kc.data.shapes(n=48, dim=64, n_classes=12, cell=1.2, blur=blur, translation=4.0, noise=0.0, seed=1)
    np.testing.assert_allclose(data.x.sum(axis=1), 5 * 1.2**2, rtol=1e-13)
    assert data.x.min() > -1e-13
    assert data.x.max() < 1.0 + 1e-13
    sharp = kc.data.shapes(n=48, dim=64, n_classes=12, cell=1.2, blur=0.0, translation=4.0, noise=0.0, seed=1)
    # The blur is a convolution on the ring: Fourier coefficients shrink by that of the Gaussian, aliases included.
    lengths, blurred = ((d.x**2).sum(axis=1) for d in (sharp, data))
    assert (blurred <= lengths * (1 + 1e-12)).all()
    if blur == 8.0:
        np.testing.assert_allclose(data.x, 5 * 1.2**2 / 64, rtol=1e-6)


def test_shapes_that_do_not_move_are_gaussian_classes():
    data = kc.data.shapes(n=4000, dim=64, n_classes=2, translation=0.0, blur=0.0, noise=0.3, seed=2)
    cross = np.zeros((8, 8))
    cross[3:5, 3:5] = 0.75  # a quarter of each pixel in the middle is the centre, and two arms have a quarter
    clean = kc.data.shapes(n=2, dim=64, n_classes=2, translation=0.0, blur=0.0, noise=0.0).images[0, ..., 0]
    np.testing.assert_allclose(clean[3:5, 3:5], cross[3:5, 3:5], atol=1e-15)
    centred = data.x[data.labels == 0] - clean.ravel()
    assert stats.kstest(centred.ravel() / 0.3, "norm").pvalue > 1e-3


def test_moved_images_are_as_likely_as_the_images_themselves():
    """With translations over the whole image the distribution is that of any cyclic shift of it."""
    data = kc.data.shapes(n=8000, dim=64, n_classes=2, translation=4.0, noise=0.0, seed=3)
    for c in (0, 1):
        images = data.images[data.labels == c, ..., 0]
        error = images.std(axis=0) / np.sqrt(len(images))
        assert (np.abs(images.mean(axis=0) - 5 / 64) < 4.5 * error).all()  # no pixel tells the class
        for one, other in (((0, 0), (5, 3)), ((2, 7), (4, 1))):
            tested = stats.ks_2samp(images[:4000:2, *one], images[1:4000:2, *other])
            assert tested.pvalue > 1e-3
        products = np.einsum("nij,nij->n", images, np.roll(images, (1, 0), (1, 2)))
        pairs = images[:, 3, 3] * images[:, 2, 3], images[:, 6, 0] * images[:, 5, 0]
        for pair in pairs:  # the second moment depends on the difference of two pixels alone
            gap = pair - products / 64
            assert abs(gap.mean()) < 4.5 * gap.std() / np.sqrt(len(gap))
    # What the linear kernel does not see, a kernel of convolutions with a mean over positions does.
    few = kc.data.shapes(n=60, dim=64, translation=4.0, noise=0.05, seed=3)
    pooled = kc.kernels.ConvNNGP(2, activation="relu", readout="gap")(few.images)
    assert kc.nc1(pooled, few.labels).ratio < 0.5 * kc.nc1_from_features(few.x, few.labels).ratio


def test_shapes_are_images_through_parts_and_wrong_labels():
    data = kc.data.shapes(n=30, dim=64, n_classes=3, imbalance=4.0)
    assert data.class_sizes == (17, 9, 4)
    assert data.images.shape == (30, 8, 8, 1)
    parts = (*kc.data.split(data, 0.3), kc.data.standardize(data), kc.data.label_noise(data, 0.1))
    assert {part.image_shape for part in parts} == {(8, 8, 1)}
