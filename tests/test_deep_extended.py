"""Products, eigenvectors, inverses and the free energy of several layers in extended precision."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest

import kernel_collapse as kc
from kernel_collapse import activations
from kernel_collapse.adaptive import _extended, _point
from kernel_collapse.adaptive._free_energy import FreeEnergy

EPS = float(np.finfo(np.longdouble).eps)
pytestmark = pytest.mark.skipif(
    np.finfo(np.float64).eps <= EPS, reason="longdouble is float64 on this machine, and nothing is extended"
)


def in_forty_digits(matrix):
    return mpmath.matrix([[mpmath.mpf(np.format_float_scientific(v)) for v in row] for row in matrix])


def test_products_are_those_of_forty_digits(rng):
    left, right = (rng.normal(size=shape).astype(np.longdouble) for shape in ((7, 30), (30, 5)))
    left = left * np.longdouble(1) / 3 * np.logspace(-12, 8, 7)[:, None]
    size = np.abs(left).max(axis=1)[:, None] * np.abs(right).max(axis=0)
    with mpmath.workdps(40):
        error = in_forty_digits(left) * in_forty_digits(right) - in_forty_digits(
            _extended.product(left, right)
        )
    assert np.all(np.abs(np.array(error.tolist(), dtype=float)) <= 10 * EPS * size)
    same = _extended.product(left.astype(float), right.astype(float))
    assert same.dtype == np.float64


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_eigenvectors_of_kernels_whose_spectrum_ends_below_round_off(dim):
    gram = kc.nngp(kc.data.gaussian_classes(48, dim).x, depth=2).astype(np.longdouble)
    gram = 0.5 * (gram + gram.T) / 3
    values, vectors = _extended.eigh(gram)
    assert np.all(np.diff(values) >= 0)
    assert np.abs(_extended.product(vectors.T, vectors) - np.eye(48)).max() < 30 * EPS
    back = _extended.product(vectors * values, vectors.T)
    assert np.abs(back - gram).max() < 100 * EPS * float(values[-1])


def test_the_inverse_is_that_of_forty_digits(rng):
    root = rng.normal(size=(16, 8)).astype(np.longdouble)
    matrix = _extended.product(root, root.T) / 3 + 1e-6 * np.eye(16)
    inverse = _extended.extended_inverse(matrix, np.linalg.inv(matrix.astype(float)))
    condition = np.linalg.cond(matrix.astype(float))
    with mpmath.workdps(40):
        error = in_forty_digits(matrix) ** -1 - in_forty_digits(inverse)
    error = np.abs(np.array(error.tolist(), dtype=float)).max()
    assert error <= 10 * condition * EPS * float(np.abs(inverse).max())


@pytest.mark.parametrize("activation", ["erf", "relu", "gelu"])
def test_the_free_energy_is_that_of_float64_with_less_round_off(activation):
    data = kc.data.gaussian_classes(24, 2, class_means=(-0.3, 0.3))
    rng = np.random.default_rng(0)
    energy = FreeEnergy(
        data.x / np.sqrt(2),
        data.targets,
        activations.get(activation),
        100.0,
        1 / 128,
        1e-4,
        lower_widths=(100.0, 50.0),
    )
    blocks = []
    for size in (2, 24, 24):
        h = 0.2 * rng.normal(size=(size, size))
        blocks.append(h + h.T)
    h = _point.Blocks(blocks)
    finer = energy.extended()
    assert finer is not None
    coarse, fine = (_point.Point(e, h, certify=True) for e in (energy, finer))
    assert fine.value == pytest.approx(coarse.value, rel=1e-9)
    assert fine.residual == pytest.approx(coarse.residual, rel=1e-6)
    assert fine.data.round_off < coarse.data.round_off / 100
    assert energy.extended().extended() is None
    assert replace(energy, z=np.ones((200, 2))).extended() is None
