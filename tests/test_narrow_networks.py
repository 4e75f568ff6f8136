"""How NC1 falls as the width of the equations goes to zero: the asymptotes of docs/theory.md."""

import numpy as np
import pytest
from scipy.special import erf

import kernel_collapse as kc

READOUT, NOISE = 1 / 128, 1e-2


def solve(data, width):
    return kc.solve_adaptive(
        data.x,
        data.targets,
        width=width,
        readout_variance=READOUT,
        noise_variance=NOISE,
        max_evaluations=1000,
    )


def exponent(values, widths):
    """Return the local exponents of every column of values."""
    return (np.diff(np.log(values), axis=0).T / np.diff(np.log(widths))).T


@pytest.mark.parametrize("seed", [0, 1])
def test_the_equations_of_state_in_one_dimension(seed):
    """s = (a / 2N)^(2/3), and NC1 as its features have it; the error is of order s^(-1/2), so it falls as N^(1/3)."""
    data = kc.data.gaussian_classes(n=64, dim=1, seed=seed)
    x, y = data.x[:, 0], data.targets.ravel()
    signs = np.outer(np.sign(x), np.sign(x))
    lag = (2 / np.pi) * signs * np.sqrt((x[:, None] ** -2 + x[None] ** -2) / 2)
    inverse = np.linalg.inv(READOUT * signs + NOISE * np.eye(64))
    t = inverse @ y
    a = READOUT * (t @ lag @ t - np.trace(inverse @ lag))
    widths = np.array([1e-3, 1e-5, 1e-7])
    errors = []
    for width in widths:
        s = (a / (2 * width)) ** (2 / 3)
        solution = solve(data, width)
        found = kc.nc1(solution.gram, data.labels).ratio
        expected = kc.nc1(signs - lag / np.sqrt(s), data.labels).ratio
        errors.append([solution.weight_covariance[0, 0] / s - 1, found / expected - 1])
    errors = np.abs(errors)
    assert errors[-1].max() < 2e-3
    np.testing.assert_allclose(exponent(errors, widths), 1 / 3, atol=0.03)


def exponents_in_four_dimensions():
    data = kc.data.gaussian_classes(n=64, dim=4, seed=0)
    widths = np.array([1e-1, 1e-2, 1e-4, 1e-5])
    solutions = [solve(data, width) for width in widths]
    nc1 = [kc.nc1(solution.gram, data.labels).ratio for solution in solutions]
    ends = [np.linalg.eigvalsh(solution.weight_covariance)[[0, -1]] for solution in solutions]
    return (
        exponent(nc1, widths),
        exponent(np.array(ends)[:, 0], widths),
        exponent(np.array(ends)[:, 1], widths),
    )


def test_the_equations_of_state_in_four_dimensions():
    """Along the class means the covariance grows as N^(-2/3), across them it falls as N^(2/3); 0.75 is a crossover."""
    nc1, across, along = exponents_in_four_dimensions()
    assert across[-1] == pytest.approx(2 / 3, abs=0.01)
    assert along[-1] == pytest.approx(-2 / 3, abs=0.01)
    assert nc1[0] > 0.7
    assert 1 / 3 < nc1[-1] < 0.36


def mean_field(data, width, gram, points=2001):
    """The fixed point of the density of weights of one dimension, by quadrature; both signs of a weight are alike."""
    x, y = data.x[:, 0], data.targets.ravel()
    w = np.linspace(1e-6, 6.0, points)
    features = erf(np.outer(w, x))
    for _ in range(2000):
        inverse = np.linalg.inv(READOUT * gram + NOISE * np.eye(len(x)))
        t = inverse @ y
        a = inverse - np.outer(t, t)
        exponents = -(w**2 / 2 + READOUT / (2 * width) * np.sum((features @ a) * features, axis=1))
        density = np.exp(exponents - exponents.max())
        density /= density.sum()
        new = (features * density[:, None]).T @ features
        if np.abs(new - gram).max() < 1e-12:
            return new
        gram = gram + (0.05 if width < 3 else 0.3) * (new - gram)
    raise AssertionError("the fixed point was not reached")


def test_the_mean_field_in_one_dimension():
    """Its exponent nears 2 from below, as a logarithm does; where both can be had, it is that of the solver."""
    data = kc.data.gaussian_classes(n=16, dim=1, seed=0)
    gram, found = kc.nngp(data.x, activation="erf"), {}
    for width in (10.0, 1.0, 0.1, 0.01, 0.003):
        gram = mean_field(data, width, gram)
        found[width] = kc.nc1(gram, data.labels).ratio
    widths = np.array([1.0, 0.1, 0.01, 0.003])
    exponents = exponent([found[width] for width in widths], widths)
    assert (np.diff(exponents) > 0).all()
    assert 1.75 < exponents[-1] < 2.0
    field = kc.networks.solve_mean_field(
        data, width=10.0, readout_variance=READOUT, noise_variance=NOISE, accuracy=0.02, seed=0
    )
    assert abs(field.ratio - found[10.0]) < 4 * field.ratio_error
