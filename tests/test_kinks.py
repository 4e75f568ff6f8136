"""Functions with kinks: next to perfect correlation, at small and large variances, and the laws of any Gram matrix."""

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

import kernel_collapse as kc
from kernel_collapse import activations


def clip(u):
    return np.clip(u, -1, 1)


def shifted(u):
    return np.clip(u - 0.5, -1, 2)


def softshrink(u):
    return u - np.clip(u, -0.5, 0.5)


def three_kinks(u):
    return np.where(u < -1, -1 - u, np.where(u < 0.2, 0.0, np.where(u < 2, u - 0.2, 1.8)))


def jump(u):
    return (u > 0.3) + np.maximum(u + 1, 0.0)


def like_selu(u):
    return np.where(u > 0, u, 1.6 * np.expm1(np.minimum(u, 0)))


CALLABLES = (clip, shifted, softshrink, three_kinks, jump, like_selu)
#: Those whose dual is exact but for round-off.
PIECEWISE = (clip, shifted, softshrink, three_kinks, jump)
NAMES = (*activations.names(), *activations.names(expanded=True))
LABELS = np.array([0, 1] * 64)


def title(activation):
    return activation if isinstance(activation, str) else activation.__name__


# -- the example, and what it was wrong with


def test_the_example():
    """Of a clip, whose diagonal is E clip(sqrt(q) z)^2: it lies in (0, 1]."""
    x = np.random.default_rng(0).normal(size=(500, 10))
    gram = kc.nngp(x, activation=clip)
    q = np.sum(x * x, axis=1) / 10
    np.testing.assert_allclose(gram.diagonal(), [second_moment(clip, v, (-1.0, 1.0)) for v in q], rtol=1e-12)
    assert 0.0 < gram.diagonal().min() <= gram.diagonal().max() <= 1.0


def clip_by_quadrature(x):
    """The Gram matrix of a clip: a rule over u, split at its kinks, with the mean of clip(v) given u in closed form."""

    def ramp(z):  # the integral of the normal distribution function
        return z * ndtr(z) + np.exp(-z * z / 2) / np.sqrt(2 * np.pi)

    points, weights = np.polynomial.legendre.leggauss(32)
    g = x @ x.T / x.shape[1]
    q, gram = np.diag(g), np.empty_like(g)
    for i, row in enumerate(g):
        edges = np.unique(
            np.clip([-9, -6, -4, -2, 0, 2, 4, 6, 9, *(np.array([-1, 1]) / np.sqrt(q[i]))], -9, 9)
        )
        half = np.diff(edges)[:, None] / 2
        z = (edges[:-1, None] + half * (1 + points)).ravel()
        w = (half * weights).ravel() * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
        mean = row[:, None] / np.sqrt(q[i]) * z
        std = np.sqrt(np.maximum(q - row**2 / q[i], 1e-10))[:, None]
        given_u = std * (ramp((mean + 1) / std) - ramp((mean - 1) / std)) - 1
        gram[i] = given_u @ (w * clip(np.sqrt(q[i]) * z))
    return gram


def test_nc1_of_a_clip_by_every_route():
    data = kc.data.gaussian_classes(n=256, dim=8, seed=0)
    gram = kc.nngp(data.x, activation=clip)
    expected = clip_by_quadrature(data.x)
    np.testing.assert_allclose(gram, expected, rtol=0, atol=1e-6)
    ratio = kc.nc1(gram, data.labels).ratio
    assert ratio == pytest.approx(kc.nc1(expected, data.labels).ratio, rel=1e-5)
    assert ratio == pytest.approx(0.09845, abs=1e-5)
    for kernel in ("nngp", "ntk"):
        whole = {"nngp": gram, "ntk": kc.ntk(data.x, activation=clip)}[kernel]
        dense = kc.nc1(whole, data.labels).ratio
        streamed = kc.streamed_nc1(data.x, data.labels, kernel=kernel, activation=clip, tile=64)
        assert streamed.ratio == pytest.approx(dense, rel=1e-10)
    pairs = kc.kernels.NNGP(clip).pairs(data.x, data.x)
    np.testing.assert_allclose(pairs, gram.diagonal(), rtol=1e-13)
    solution = kc.solve_adaptive(data.x, data.targets, activation=clip, width=200, noise_variance=1e-2)
    assert solution.status is kc.adaptive.Status.CONVERGED
    assert 0.0 < kc.nc1(solution.gram, data.labels).ratio < ratio


# -- the laws of a Gram matrix


def awkward_rows(draw):
    """Rows, and beside them duplicates, multiples, mirror images, zero, and rows next to them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dim = draw(st.integers(1, 5))
    base = rng.normal(size=(3, dim)) * 10.0 ** rng.uniform(-1, 1, (3, 1))
    apart = 10.0 ** rng.uniform(-16, -2, (3, 1)) * rng.normal(size=(3, dim))
    return np.concatenate([base, base, -base, 2.0 * base, base * (1 + apart), np.zeros((1, dim))])


@settings(max_examples=3)
@given(data=st.data())
@pytest.mark.parametrize("activation", [*NAMES, *CALLABLES], ids=title)
def test_laws_of_a_gram_matrix(activation, data):
    """Positive semidefinite, |K_ij|^2 <= K_ii K_jj, equal rows have equal entries, all to round-off or the tail."""
    x = awkward_rows(data.draw)
    if title(activation) == "mish":
        x = np.clip(0.3 * x, -3.0, 3.0)
    if title(activation) in ("exp", "like_selu"):
        x = np.clip(x, -1.5, 1.5)
    depth = data.draw(st.integers(1, 3)) if activation in ("relu", "erf", "elu", clip) else 1
    bias_variance = data.draw(st.sampled_from([0.0, 0.3]))
    gram = kc.nngp(x, activation=activation, depth=depth, bias_variance=bias_variance)
    diagonal = gram.diagonal()
    phi = activations.get(activation)
    # Of a function with a jump the entries know the angle to the root of the round-off of its determinant.
    accuracy = 1e-12 + 2.0 * phi.accuracy + (1e-7 if phi.jumps or depth > 1 else 0.0)
    size = np.sqrt(np.outer(diagonal, diagonal))
    assert (diagonal >= 0).all()
    of_largest = 1e-13 * size.max() if activation in (softshrink, three_kinks) else 1e-300
    assert (np.abs(gram) <= size * (1 + accuracy) + of_largest).all()
    # Far below a kink the moments of what is left are differences: there round-off is that of the largest entries.
    scaled = gram / (size.max() if activation in (softshrink, three_kinks) else np.where(size > 0, size, 1.0))
    assert np.linalg.eigvalsh(scaled).min() >= -accuracy * len(x)
    np.testing.assert_allclose(gram[:3], gram[3:6], rtol=0, atol=accuracy * size.max())
    np.testing.assert_allclose(gram[0, 0], gram[0, 3], rtol=accuracy)


# -- the diagonal, at every variance


def second_moment(phi, q, kinks):
    """E phi(sqrt(q) z)^2 by a rule that is split at the kinks and fine where functions vary and the density is."""
    points, weights = np.polynomial.legendre.leggauss(16)
    root = np.sqrt(q)
    edges = [*(root * np.linspace(-13, 13, 53)), *kinks]
    if root > 1:
        edges = [*edges, *np.linspace(-40, 40, 161)]
    edges = np.unique(np.clip(edges, -13 * root, 13 * root))
    half = np.diff(edges)[:, None] / 2
    u = (edges[:-1, None] + half * (1 + points)).ravel()
    density = np.exp(-u * u / (2 * q)) / np.sqrt(2 * np.pi * q)
    return float(np.sum((half * weights).ravel() * density * phi(u) ** 2))


def value_or_refusal(phi, q):
    """The second moment that the dual has, and the sentence in place of it."""
    try:
        return float(phi.kappa(q, q, q, 0.0)), ""
    except ValueError as refused:
        return np.nan, str(refused)


#: Exponentials of large variance lie beyond the rule, waves of large variance between its nodes.
UNREACHED = {"exp": 10.0, "cos": 1e3, "sin": 1e3, "rbf": 1e3}


@pytest.mark.parametrize("activation", [*NAMES, *CALLABLES], ids=title)
def test_the_diagonal_is_an_integral_over_one_variable(activation):
    """Right to the accuracy that is promised, or refused, at variances from 1e-8 to 1e8."""
    phi = activations.get(activation)
    accuracy = 1e-12 + 10.0 * phi.accuracy
    if activation in PIECEWISE:  # parts that are larger than the whole leave their round-off
        accuracy = 1e-11
    reached = 0
    for q in 10.0 ** np.arange(-8.0, 9.0, 2.0):
        if q > UNREACHED.get(title(activation), np.inf):
            continue
        exact, (found, refusal) = second_moment(phi, q, phi.kinks), value_or_refusal(phi, q)
        if refusal:
            assert "of its mass at a variance of" in refusal
            continue
        reached += 1
        of_parts = 1e-15 * q / exact if activation in (clip, shifted) else 0.0
        assert found == pytest.approx(exact, rel=max(accuracy, of_parts), abs=1e-80)
        if activation in CALLABLES:  # and where the covariance is one unit of its last digit off
            beside = float(phi.kappa(q, q, q * (1 - 2e-16)))
            accuracy_beside = 1e-7 if phi.jumps else max(accuracy, 10 * of_parts)
            assert beside == pytest.approx(exact, rel=accuracy_beside, abs=1e-80)
    fewer = {"mish": 5, "like_selu": 5, "exp": 5, "cos": 6, "sin": 6, "rbf": 6}
    assert reached >= fewer.get(title(activation), 9)


# -- next to the diagonal and off it, in 30 digits


def in_digits(name, q1, q2, t, which="kappa"):
    """kappa or kappa_c by quadrature over u in 30 digits, with the mean over v given u in closed form."""
    with mpmath.workdps(30):
        a, b, t = mpmath.sqrt(mpmath.mpf(q1)), mpmath.sqrt(mpmath.mpf(q2)), mpmath.mpf(t)
        cosine, s = mpmath.cos(t), b * mpmath.sin(t)

        def ramp(m):  # E max(v, 0)
            return m * mpmath.ncdf(m / s) + s * mpmath.npdf(m / s)

        def of_u(u):
            if which == "kappa_c":
                return mpmath.mpf(abs(u) < 1) if name == "clip" else mpmath.exp(min(u, mpmath.mpf(0)))
            return max(min(u, 1), -1) if name == "clip" else (u if u > 0 else mpmath.expm1(u))

        def of_v(m):
            if name == "clip":
                if which == "kappa_c":
                    return mpmath.ncdf((1 - m) / s) - mpmath.ncdf((-1 - m) / s)
                return ramp(m + 1) - ramp(m - 1) - 1
            below = mpmath.exp(m + s * s / 2) * mpmath.ncdf(-(m + s * s) / s)
            if which == "kappa_c":
                return mpmath.ncdf(m / s) + below
            return ramp(m) + below - mpmath.ncdf(-m / s)

        layers = [k + s * y for k in (-1, 0, 1) for y in (-9, -3, 0, 3, 9)] if s < 1 else [-1, 0, 1]
        breaks = {mpmath.mpf(k) / a for k in [*layers, *(range(-40, 41, 8) if a > 1 else [])]}
        breaks = sorted({z for z in breaks if abs(z) < 9} | {mpmath.mpf(z) for z in (-9, -4, -1, 0, 1, 4, 9)})
        return mpmath.quad(lambda z: mpmath.npdf(z) * of_u(a * z) * of_v(b * cosine * z), breaks)


@pytest.mark.parametrize("angle", [1e-12, 1e-7, 1e-3, 1.0])
@pytest.mark.parametrize("which", ["kappa", "kappa_c"])
@pytest.mark.parametrize(("name", "q"), [("clip", 0.3), ("clip", 40.0), ("elu", 40.0)])
def test_beside_the_diagonal(name, q, which, angle):
    phi = activations.get(clip if name == "clip" else name)
    with mpmath.workdps(30):
        c, det = float(q * mpmath.cos(angle)), float((q * mpmath.sin(angle)) ** 2)
    exact = float(in_digits(name, q, q, angle, which))
    assert float(getattr(phi, which)(q, q, c, np.asarray(det))) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("name", ["clip", "elu"])
@pytest.mark.parametrize("q", [(1e-8, 1e-8), (1e-8, 1e-2), (1.0, 1e4), (1e4, 1e4), (1e8, 1e8)])
def test_off_the_diagonal_at_every_variance(name, q):
    """Errors as a share of the root of the two diagonal entries."""
    q1, q2 = q
    phi = activations.get(clip if name == "clip" else name)
    c, det = (float(np.sqrt(q1) * np.sqrt(q2) * np.cos(1.1)), float(q1 * q2 * np.sin(1.1) ** 2))
    size = np.sqrt(phi.kappa(q1, q1, q1, 0.0) * phi.kappa(q2, q2, q2, 0.0))
    exact = float(in_digits(name, q1, q2, 1.1))
    accuracy = 2e-12 if name == "elu" else max(1e-13, 1e-15 * max(q))
    assert float(phi.kappa(q1, q2, c, np.asarray(det))) == pytest.approx(exact, abs=accuracy * size)


def test_slopes_of_thresholds_that_meet_are_continuous():
    """kappa_c of a clip between equal, nearly equal and collinear rows, from 1e-16 to 0.1 apart."""
    x = np.array([[0.8, -0.3, 1.1]])
    other = np.concatenate(
        [x * (1 + d) + d * np.array([[0.3, 1.0, -0.2]]) for d in 10.0 ** np.arange(-16, 0)]
    )
    gram = kc.ntk(x, other, activation=clip)[0]
    at_zero = kc.ntk(x, activation=clip).item()
    apart = 10.0 ** np.arange(-16, 0)
    assert (np.abs(gram - at_zero) <= 3.0 * apart * at_zero + 1e-14).all()


# -- what is measured in units of phi, and what is refused


def test_wine_and_elu():
    """NC1 of ELU on features up to 1680: by random features and, as variances are large, next to ReLU's."""
    wine = kc.data.shipped("wine")
    ratio = kc.nc1(kc.nngp(wine.x, activation="elu"), wine.labels).ratio
    drawn = kc.random_feature_nc1(wine.x, wine.labels, activation="elu", seed=0)
    assert drawn.low < ratio < drawn.high
    assert ratio == pytest.approx(0.43775, abs=3e-4)
    assert kc.nc1(kc.nngp(wine.x, activation="selu"), wine.labels).ratio == pytest.approx(ratio, rel=1e-4)
    with pytest.raises(ValueError, match=r"leaves .* of its mass at a variance of 2\.\de\+05"):
        kc.nngp(wine.x, activation=like_selu)


@pytest.mark.parametrize(
    "function",
    [
        lambda u: np.exp(-u * u),
        lambda u: u + 0.1 * np.exp(-((u - 5) ** 2)),
        lambda u: clip(u) + np.exp(-((u - 5) ** 2)),
        lambda u: u * np.exp(-np.abs(u)),
        lambda u: np.tanh(u) + 0.1 * np.abs(u - 1),
    ],
    ids=["bump", "line and bump", "clip and bump", "bend", "tanh and bend"],
)
@pytest.mark.parametrize("q", [1e4, 1e6, 1e8])
def test_what_no_node_sees_is_refused(function, q):
    """Features of width 1 are a ten-thousandth of the deviation of u: no rule over it meets them."""
    with pytest.raises(ValueError, match=r"of its mass at a variance of|grows too fast"):
        activations.get(function).kappa_c(q, q, q, 0.0)


def test_kinks_lie_where_the_two_sides_meet():
    third = activations.get(lambda u: np.maximum(u - 1 / 3, 0.0))
    assert third.kinks == pytest.approx((1 / 3,), abs=1e-12)
    assert not third.jumps
    assert third.kappa_c(2.0, 2.0, 2.0, 0.0) == pytest.approx(ndtr(-1 / 3 / np.sqrt(2.0)), rel=1e-12)


@pytest.mark.parametrize("function", [clip, softshrink, "elu(0.5)"], ids=title)
def test_duplicates_of_kinked_functions_at_depth(function):
    x = np.random.default_rng(3).normal(size=(4, 3))[[0, 0, 1, 2, 2, 3]]
    for kernel in (kc.nngp, kc.ntk):
        for depth in (1, 3):
            gram = kernel(x, activation=function, depth=depth, weight_variance=1.5)
            np.testing.assert_allclose(gram[0], gram[1], rtol=1e-12)
            np.testing.assert_allclose(gram[3, 3], gram[3, 4], rtol=1e-13)


@pytest.mark.parametrize("activation", ["elu", "elu(0.5)", "selu", clip], ids=title)
@pytest.mark.parametrize("q", [0.3, 40.0])
def test_next_to_opposite(activation, q):
    """kappa there is quadratic in what the angle lacks: one that is off by the root of round-off changes nothing."""
    phi = activations.get(activation)
    opposite = float(phi.kappa(q, q, -q, 0.0))
    z, w = np.polynomial.legendre.leggauss(400)
    for side in (-1, 1):  # from 0 to 9 deviations, split at the kinks of a clip
        breaks = np.sort([0.0, min(1 / np.sqrt(q), 9.0), 9.0])
        for low, high in pairwise(breaks):
            u = side * np.sqrt(q) * (low + (high - low) * (z + 1) / 2)
            density = np.exp(-u * u / (2 * q)) / np.sqrt(2 * np.pi * q)
            opposite -= np.sum(w * (high - low) / 2 * np.sqrt(q) * density * phi(u) * phi(-u))
    assert opposite == pytest.approx(0.0, abs=1e-13 * q)
    for lack in (1e-9, 1e-8):
        near = phi.kappa(q, q, -q, np.asarray((q * lack) ** 2))
        assert near == pytest.approx(float(phi.kappa(q, q, -q, 0.0)), abs=1e-14 * q)
