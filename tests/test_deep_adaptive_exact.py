"""Several linear layers against their exact posterior, by quadrature over the two lengths left to integrate."""

import numpy as np
import pytest

import kernel_collapse as kc
from kernel_collapse.adaptive import Status

READOUT, NOISE = 0.5, 0.1


def lengths(width, points=160):
    """Nodes and weights for g ~ chi^2_width / width: the trapezoidal rule in log g, whose error falls exponentially."""
    spread = np.sqrt(2.0 / width)
    t = np.linspace(max(-10.0 * spread, -8.0) - 4.0 * spread**2, 7.0 * spread, points)
    log = 0.5 * width * (t - np.exp(t))
    weights = np.exp(log - log.max())
    return np.exp(t), weights / weights.sum()


def exact_kernels(g0, y, widths, readout, noise, points=160):
    """E[Q_1 | y] and E[Q_2 | y] of f = a'W_2 W_1 x with one output.

    f = sqrt(s) v, with s = readout g_1 g_2 and v ~ N(0, g0) one of N_1 orthogonal combinations of the units of the
    first layer, and f = sqrt(readout g_2) u with u one of N_2 of the second; the other combinations never see the
    targets.
    """
    values, vectors = np.linalg.eigh(g0)
    z = vectors.T @ y
    (a, p), (b, q) = (lengths(width, points) for width in widths)
    s = readout * np.multiply.outer(a, b).ravel()
    second = np.broadcast_to(b, (len(a), len(b))).ravel()
    m = s[:, None] * values + noise
    log = (
        -0.5 * np.log(m).sum(axis=1) - 0.5 * (z**2 / m).sum(axis=1) + np.log(np.multiply.outer(p, q).ravel())
    )
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    # E[f f' | g, y] in the eigenbasis of g0.
    mean = s[:, None] * values * z / m
    spread = s[:, None] * values * noise / m

    def average(by):
        w = weight / by
        return (mean * w[:, None]).T @ mean + np.diag(spread.T @ w)

    first = np.diag(values) * (1.0 - 1.0 / widths[0]) + average(s) / widths[0]
    other = first * (1.0 - 1.0 / widths[1]) + average(readout * second) / widths[1]
    return [vectors @ q @ vectors.T for q in (first, other)]


def problem(n=12, dim=3):
    data = kc.data.gaussian_classes(n, dim, seed=1)
    return data, data.x @ data.x.T / dim, data.targets[:, 0]


def test_the_quadrature_is_that_of_networks_drawn_from_the_prior():
    """Importance weighting of 400,000 small networks, within four standard errors; twice the points change nothing."""
    rng = np.random.default_rng(0)
    data, g0, y = problem(n=4)
    widths, draws, readout, noise = (3, 5), 400_000, 1.0, 4.0
    exact = exact_kernels(g0, y, widths, readout, noise)
    finer = exact_kernels(g0, y, widths, readout, noise, points=320)
    for coarse, fine in zip(exact, finer, strict=True):
        np.testing.assert_allclose(coarse, fine, rtol=1e-6)
    h1 = rng.normal(size=(draws, widths[0], 3)) @ data.x.T / np.sqrt(3)
    h2 = rng.normal(size=(draws, widths[1], widths[0])) @ h1 / np.sqrt(widths[0])
    f = np.einsum("ri,rin->rn", rng.normal(size=(draws, widths[1])), h2) * np.sqrt(readout / widths[1])
    weight = np.exp(-0.5 * ((y - f) ** 2).sum(axis=1) / noise)
    weight /= weight.mean()
    for h, expected in zip((h1, h2), exact, strict=True):
        q = np.einsum("rin,rim->rnm", h, h) / h.shape[1]
        found = np.einsum("r,rnm->nm", weight, q) / draws
        error = np.sqrt(np.mean((weight[:, None, None] * (q - found)) ** 2, axis=0) / draws)
        assert np.all(np.abs(found - expected) < 4.0 * error)


@pytest.mark.parametrize("share", [1.0, 2.0])
def test_the_exact_posterior_of_linear_layers_is_approached_as_one_over_width(share):
    """The Gaussian equations have the shift from the NNGP to leading order: what is missing falls as 1/N beside it."""
    data, g0, y = problem()
    sizes = (10, 40, 160, 640, 2560)
    missing = []
    for width in sizes:
        widths = (width, int(share * width))
        solution = kc.solve_adaptive(
            data.x,
            data.targets,
            activation="identity",
            depth=2,
            width=widths,
            readout_variance=READOUT,
            noise_variance=NOISE,
        )
        assert solution.status is Status.CONVERGED
        exact = exact_kernels(g0, y, widths, READOUT, NOISE)
        missing.append(
            [
                np.linalg.norm(q - gram) / np.linalg.norm(q - g0)
                for q, gram in zip(exact, solution.grams, strict=True)
            ]
        )
    for layer in range(2):
        errors = [m[layer] for m in missing]
        assert np.all(np.diff(errors) < 0)
        slopes = np.diff(np.log(errors)) / np.log(4.0)  # of the last two -1.02 to -1.05 and -1.004 to -1.01
        assert slopes[-1] == pytest.approx(-1, abs=0.02)
        assert abs(slopes[-1] + 1) < abs(slopes[-2] + 1)
