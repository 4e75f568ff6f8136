"""Samples far from 0: the dual of nearly parallel samples depends on their angle, which must not be a difference."""

import mpmath
import numpy as np
import pytest

import kernel_collapse as kc

EPS = np.finfo(float).eps
#: Of those with parameters one as steep as it is flat by default.
ACTIVATIONS = (
    *("erf", "gelu", "sin", "cos", "gaussian", "gabor", "rbf", "tanh", "sigmoid", "softplus", "elu", "relu"),
    *("scaled_erf(1, 30)", "sin(1, 30)", "rbf(400)", "gaussian(1, -900)"),
)


def shifted(rng, size, n=24, dim=3):
    """Samples of a spread of 3 about a point of that size, and the same ones turned."""
    x = size + 3.0 * rng.normal(size=(n, dim))
    turn, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    return x, x @ turn


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", sorted({*ACTIVATIONS, *kc.activations.names()}))
def test_a_turn_changes_no_kernel(name, depth, rng):
    """Beyond what it does to the samples: a unit of round-off of a sample moves its distance to others.

    Every activation keeps to it, or refuses: a new one that does not has a `rate` that it does not tell.
    """
    steep = kc.activations.get(name).rate
    for size in (10.0, 1e3, 1e5, 1e7):
        x, turned = shifted(rng, size)
        for kernel in (kc.nngp, kc.ntk):
            try:
                one, other = (kernel(of, activation=name, depth=depth) for of in (x, turned))
            except ValueError:
                assert name not in ACTIVATIONS, "it has a kernel there"
                continue
            allowed = 1e-11 + 40.0 * EPS * max(steep, 1.0) ** 2 * size * 10.0
            lengths = np.sqrt(one.diagonal())
            change = np.abs(one / lengths - other / lengths) / lengths[:, None]
            assert change.max() <= allowed, (size, kernel)


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6, 1e8])
def test_erf_to_its_last_digits(size, rng):
    """Against 50 digits: tiles, pairs and the diagonal."""
    x = size + rng.normal(size=(12, 2)) * 10.0
    nngp, ntk = kc.nngp(x), kc.ntk(x)
    left, right = np.repeat(x, 12, axis=0), np.tile(x, (12, 1))
    of_pairs = kc.kernels.NTK("erf").pairs(left, right).reshape(12, 12)
    with mpmath.workdps(50):
        exact = [[mpmath.mpf(float(v)) for v in row] for row in x]
        for i, one in enumerate(exact):
            for j, other in enumerate(exact):
                a, b, c = (mpmath.fdot(u, v) / 2 for u, v in ((one, one), (other, other), (one, other)))
                root = mpmath.sqrt((1 + 2 * a) * (1 + 2 * b) - 4 * c * c)
                kappa = 2 / mpmath.pi * mpmath.atan(2 * c / root)
                theta = kappa + 4 * c / mpmath.pi / root
                assert abs(nngp[i, j] / float(kappa) - 1) < 20 * EPS
                assert abs(ntk[i, j] / float(theta) - 1) < 1e-14 + 4 * EPS * size
                assert abs(of_pairs[i, j] / float(theta) - 1) < 1e-14 + 4 * EPS * size


def test_nc1_of_tiles_and_pairs_is_that_of_the_matrix(rng):
    x = 1e5 + rng.normal(size=(60, 4)) * 10.0
    labels = np.arange(60) % 3
    for kernel in ("nngp", "ntk"):
        whole = kc.nc1(getattr(kc, kernel)(x), labels)
        streamed = kc.streamed_nc1(x, labels, kernel=kernel, tile=17)
        sampled = kc.sampled_nc1(x, labels, kernel=kernel, pairs=10_000)
        assert streamed.ratio == pytest.approx(whole.ratio, rel=1e-6)
        assert sampled.ratio == pytest.approx(whole.ratio, rel=1e-6)


@pytest.mark.parametrize("activation", ["erf", "sin", "gelu"])
def test_images_of_large_numbers(activation, rng):
    """A turn of the channels changes no kernel of images."""
    layers = [kc.kernels.Conv(3), kc.kernels.Activation(activation), kc.kernels.Flatten()]
    for size in (1e2, 1e4, 1e6):
        images, turned = shifted(rng, size, n=5 * 16)
        images, turned = (of.reshape(5, 4, 4, 3) for of in (images, turned))
        for kernel in (kc.kernels.ConvNNGP, kc.kernels.ConvNTK):
            one, other = (kernel(layers)(of) for of in (images, turned))
            assert np.abs(one / other - 1).max() <= 1e-11 + 40.0 * EPS * size * 10.0


def test_the_adaptive_kernel_of_large_numbers(rng):
    """Of many dimensions, where covariances are subtracted, and of few, where they are not: one kernel."""
    data = kc.data.gaussian_classes(n=24, dim=3)
    x = 1e3 + 3.0 * data.x
    few = kc.solve_adaptive(x, data.targets, width=100, noise_variance=1e-2)
    wide = np.hstack([x, np.zeros((24, 17))])
    many = kc.solve_adaptive(wide, data.targets, width=100, noise_variance=1e-2, weight_variance=20 / 3)
    assert many.gram == pytest.approx(few.gram, rel=1e-6)


def test_what_bends_nowhere_looks_at_no_pair():
    for name in ("identity", "polynomial", "hermite", "exp"):
        assert kc.activations.get(name).rate == 0.0


@pytest.mark.parametrize("bias_variance", [0.0, 0.5])
@pytest.mark.parametrize("name", ["erf", "sin", "relu", "gelu", "tanh"])
def test_other_libraries(name, bias_variance, rng):
    """Blocks, pairs and the diagonal, about as precise as NumPy's, and as symmetric."""
    torch = pytest.importorskip("torch")
    for size in (1.0, 1e2, 1e4, 1e6):
        x, _ = shifted(rng, size)
        for kind in (kc.kernels.NNGP, kc.kernels.NTK):
            kernel = kind(name, bias_variance=bias_variance)
            ours, theirs = kernel(x), kernel(torch.from_numpy(x)).numpy()
            pairs = kernel.pairs(torch.from_numpy(x[:-1]), torch.from_numpy(x[1:])).numpy()
            scale = np.sqrt(np.multiply.outer(ours.diagonal(), ours.diagonal()))
            allowed = 1e-11 + 200.0 * EPS * size
            assert (np.abs(theirs - ours) / scale).max() <= allowed, size
            assert (np.abs(pairs - np.diagonal(ours, 1)) / np.diagonal(scale, 1)).max() <= allowed, size
            assert (theirs == theirs.T).all()
