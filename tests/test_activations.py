import pickle

import mpmath
import numpy as np
import pytest
from scipy import special

import kernel_collapse as kc
import problems
from kernel_collapse import activations
from kernel_collapse.activations import _logistic

#: Closed forms, with parameters that show all terms of each.
CLOSED = (
    "abrelu(-0.5, 1.5)",
    "abs",
    "cos(1, 0.7, 0.3)",
    "elu",
    "elu(0.6)",
    "erf",
    "exp(1.3, 0.5)",
    "gabor",
    "gaussian(2, -0.7)",
    "gelu",
    "hermite(3)",
    "identity",
    "leaky_relu(0.1)",
    "monomial(3)",
    "polynomial(0.3, 1, -0.5, 0.2)",
    "rbf(0.8)",
    "rectified_monomial(1)",
    "rectified_monomial(2)",
    "rectified_monomial(3)",
    "relu",
    "scaled_erf(0.5, 1.4, 0.5)",
    "selu",
    "sign",
    "sin(0.8, 1.2, 0.2)",
    "step",
)
NAMES = (*CLOSED, *problems.EXPANDED)
KINKED = ("abrelu", "abs", "elu", "leaky_relu", "rectified_monomial", "relu", "selu", "sign", "step")
MOMENTS = [
    (0.7, 1.3, 0.4),
    (0.7, 1.3, -0.9),
    (2.0, 2.0, 1.9),
    (0.01, 5.0, 0.1),
    (30.0, 20.0, -24.0),
    (1.0, 1.0, 0.0),
]


def base_name(name):
    return name.partition("(")[0]


def is_kinked(name):
    return base_name(name) in KINKED


def expectation(phi, q1, q2, c, kinks=(0.0,), apart=1.0):
    """E phi(u) phi(v) by Gauss-Legendre rules in u, and in v given u, split at the kinks."""
    points, weights = np.polynomial.legendre.leggauss(14)
    even = np.clip(np.arange(-12.0, 12.1, 0.25 * apart), -12.0, 12.0)

    def rule(breaks):
        """Of each row of breaks the points and weights; a piece between breaks that are equal weighs nothing."""
        breaks = np.clip(breaks, -12.0, 12.0)
        edges = np.sort(np.hstack([np.tile(even, (len(breaks), 1)), breaks]))
        half = np.diff(edges)[:, :, None] / 2
        z = (edges[:, :-1, None] + half * (1 + points)).reshape(len(breaks), -1)
        return z, (half * weights).reshape(len(breaks), -1) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    std, total = np.sqrt(q2 - c**2 / q1), 0.0
    (z,), (w,) = rule(np.array([[k / np.sqrt(q1) for k in kinks]]))
    if not kinks:  # one rule in v serves for every u
        (y,), (of_y,) = rule(np.empty((1, 0)))
        u = np.sqrt(q1) * z
        return np.sum(w * phi(u) * (phi(c / q1 * u[:, None] + std * y) @ of_y))
    for some in np.array_split(np.arange(len(z)), len(z) // 32):
        mean = c / np.sqrt(q1) * z[some, None]
        y, of_y = rule((np.array(kinks) - mean) / std)
        total += np.sum(w[some] * phi(np.sqrt(q1) * z[some]) * np.sum(of_y * phi(mean + std * y), axis=1))
    return total


@pytest.mark.parametrize(
    ("name", "moments"),
    # the integrand of an exponential of large variance lies beyond the rule
    [(name, m) for name in NAMES for m in MOMENTS if not (name.startswith("exp") and m[0] > 10)],
)
def test_kappa_is_the_expectation(name, moments):
    q1, q2, c = moments
    phi = activations.get(name)
    size = np.sqrt(phi.kappa(q1, q1, q1) * phi.kappa(q2, q2, q2))
    # of the rule where phi is steep on its scale
    accuracy = 1e-8 if max(q1, q2) > 10 else 1e-10
    exact = expectation(phi, q1, q2, c, kinks=(0.0,) if is_kinked(name) else ())
    assert phi.kappa(q1, q2, c) == pytest.approx(exact, abs=accuracy * size)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("moments", MOMENTS)
def test_derivatives_are_those_of_kappa(name, moments):
    q1, q2, c = moments
    phi, step = activations.get(name), 1e-5

    def slope(f, x):  # fourth order
        h = step * max(abs(x), 0.1)
        return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)

    accuracy = {"rel": 1e-6, "abs": 1e-8}
    assert phi.kappa_c(q1, q2, c) == pytest.approx(slope(lambda x: phi.kappa(q1, q2, x), c), **accuracy)
    assert phi.kappa_q(q1, q2, c) == pytest.approx(slope(lambda x: phi.kappa(x, q2, c), q1), **accuracy)


# -- the general route against the closed forms


@pytest.mark.parametrize("name", CLOSED)
def test_the_expansion_is_the_closed_form(name, rng):
    phi = activations.get(name)
    expansion = activations.expand(lambda x: phi(x), name="by expansion")
    assert bool(expansion.kinks) == is_kinked(name)
    rho = np.concatenate(
        [rng.uniform(-1, 1, 200), 1 - 10 ** -rng.uniform(1, 12, 60), np.repeat([1, -1, 0], 5)]
    )
    q1, q2 = rng.uniform(0.01, 3, (2, len(rho)))
    moments = (q1, q2, rho * np.sqrt(q1 * q2))
    for which in ("kappa", "kappa_c", "kappa_q"):
        if phi.jumps and which != "kappa":
            continue
        exact = getattr(phi, which)(*moments)
        error = np.abs(getattr(expansion, which)(*moments) - exact).max()
        # what is left of ELU without its kink is no polynomial: its tail is that of a function with kinks
        accuracy = 1e-6 if base_name(name) in ("elu", "selu") else 1e-10
        assert error <= accuracy * max(np.abs(exact).max(), 1e-3), which


@pytest.mark.parametrize("name", _logistic.MIXTURES)
def test_two_ways_to_the_logistic_family(name, rng):
    """The expansion, and the mixture of closed forms that takes over where the variance is large."""
    rho = np.concatenate([rng.uniform(-1, 1, 60), 1 - 10 ** -rng.uniform(1, 12, 20), [1, -1]])
    q1, q2 = 10 ** rng.uniform(-3, 1, (2, len(rho)))
    moments = (q1, q2, rho * np.sqrt(q1 * q2))
    phi = activations.get(name)
    mixture = _logistic.MIXTURES[name].moments(*moments, None)
    for which, found in zip(("kappa", "kappa_c", "kappa_q"), mixture, strict=True):
        expanded = getattr(phi, which)(*moments)
        np.testing.assert_allclose(found, expanded, rtol=0, atol=1e-11 * np.abs(expanded).max())


@pytest.mark.parametrize("name", _logistic.MIXTURES)
def test_heavy_tails_take_both_ways(name, rng):
    """Variances from 0.01 to 10,000 in one block: the pairs with a large one go the way of the mixture."""
    x = rng.normal(size=(30, 2)) * 10 ** rng.uniform(-1, 2, (30, 1))
    q, c = np.sum(x * x, axis=1), x @ x.T
    phi = activations.get(name)
    mixture = _logistic.MIXTURES[name].moments(q[:, None], q[None, :], c, None)
    for which, exact in zip(("kappa", "kappa_c", "kappa_q"), mixture, strict=True):
        found = getattr(phi, which)(q[:, None], q[None, :], c)
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-11 * np.abs(exact).max())
    np.testing.assert_allclose(
        phi.kappa(q, q[::-1], np.diag(c[:, ::-1])), np.diag(mixture[0][:, ::-1]), rtol=1e-9
    )
    np.testing.assert_allclose(phi.kappa(q, q, q), np.diag(mixture[0]), rtol=1e-11)


@pytest.mark.parametrize("name", _logistic.MIXTURES)
def test_the_mixture_takes_over_without_a_step(name):
    phi = activations.get(name)
    q = np.exp(np.linspace(np.log(20.0), np.log(400.0), 200))
    for values in (phi.kappa(q, q, 0.999 * q), phi.kappa_c(q, q, q), phi.kappa(q, q, q)):
        curvature = np.abs(np.diff(np.log(values), 3))
        assert curvature.max() < 1e-4


@pytest.mark.parametrize(
    ("function", "kinks"),
    [
        (lambda x: np.clip(x, -1, 1), (-1, 1)),
        (lambda x: np.clip(x, 0, 6), (0, 6)),
        (lambda x: x * np.clip(x + 3, 0, 6) / 6, (-3, 3)),
        (lambda x: np.maximum(x - 0.37, 0), (0.37,)),
        (lambda x: np.maximum(1 - np.abs(x), 0), (-1, 0, 1)),
        (lambda x: (np.abs(x) < 1) * 1.0, (-1, 1)),
        (lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0) / 2)), (0,)),
        (lambda x: np.sign(x) * np.log1p(np.abs(x)), (0,)),
        (lambda x: x / (1 + np.exp(-1.7 * x)), ()),
    ],
    ids=["hard tanh", "relu6", "hard swish", "shifted", "hat", "box", "celu", "log", "swish(1.7)"],
)
def test_a_users_function_with_kinks(function, kinks):
    phi = activations.get(function)
    np.testing.assert_allclose(phi.kinks, kinks, atol=1e-9)
    for q1, q2, rho in [(1, 1, 0.5), (2, 0.7, -0.9), (1.5, 3, 0.999), (0.05, 0.08, 0.95), (3, 2, 0.0)]:
        c = rho * np.sqrt(q1 * q2)
        exact = expectation(function, q1, q2, c, kinks, apart=min(1.0, 4 * np.sqrt(1 - rho**2)))
        size = np.sqrt(phi.kappa(q1, q1, q1) * phi.kappa(q2, q2, q2))
        assert phi.kappa(q1, q2, c) == pytest.approx(exact, abs=1e-7 * size)
    if not phi.jumps:
        q1, q2, c, h = 1.5, 3.0, 0.6 * np.sqrt(4.5), 1e-3

        def slope(f):
            return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)

        assert phi.kappa_c(q1, q2, c) == pytest.approx(slope(lambda s: phi.kappa(q1, q2, c + s)), abs=1e-6)
        assert phi.kappa_q(q1, q2, c) == pytest.approx(slope(lambda s: phi.kappa(q1 + s, q2, c)), abs=1e-6)


def test_a_singularity_that_is_no_kink_is_not_taken_for_one():
    root = activations.get(lambda x: np.sqrt(np.maximum(x, 0)))
    assert root.kinks == ()
    with pytest.raises(ValueError, match="leaves .* of its mass at a variance of 1 after 2046 orders"):
        root.kappa(1.0, 1.0, 1.0)


# -- every scale and correlation


VARIANCES = [(1e-8, 1e-8), (1e-8, 1e4), (1e-3, 2.0), (1.0, 1.0), (50.0, 3.0), (1e4, 1e4)]
CORRELATIONS = [0.0, 0.3, -0.8, 1 - 1e-4, 1 - 1e-8, 1 - 1e-12, 1.0, -1.0]


def reachable(name, q1, q2):
    """Whether the expectations are representable, and the expansion has orders enough."""
    base = name.partition("(")[0]
    if base == "exp":
        return max(q1, q2) < 100
    return max(q1, q2) < 20 if base == "mish" else True


REACHABLE = [(name, q) for name in NAMES for q in VARIANCES if reachable(name, *q)]


@pytest.mark.parametrize(("name", "variances"), REACHABLE)
def test_scaling_both_is_a_step_along_the_derivatives(name, variances):
    """d kappa(s q1, s q2, s c) / ds, which differences resolve at any correlation."""
    q1, q2 = variances
    phi, h = activations.get(name), 2e-3
    rho = np.array([r for r in CORRELATIONS if not (phi.jumps and abs(r) == 1)])
    c = rho * np.sqrt(q1 * q2)
    det = q1 * q2 * (1 - rho) * (1 + rho)

    def at(log_s):
        s = np.exp(log_s)
        return phi.kappa(s * q1 + 0 * c, s * q2 + 0 * c, s * c, s**2 * det)

    slope = (45 * (at(h) - at(-h)) - 9 * (at(2 * h) - at(-2 * h)) + (at(3 * h) - at(-3 * h))) / (60 * h)
    q1, q2 = q1 + 0 * c, q2 + 0 * c
    exact = (
        q1 * phi.kappa_q(q1, q2, c, det) + q2 * phi.kappa_q(q2, q1, c, det) + c * phi.kappa_c(q1, q2, c, det)
    )
    size = np.sqrt(phi.kappa(q1, q1, q1, 0 * c) * phi.kappa(q2, q2, q2, 0 * c))
    np.testing.assert_allclose(exact, slope, rtol=1e-7, atol=2e-9 * size.max())


@pytest.mark.parametrize(("name", "variances"), [(n, q) for n, q in REACHABLE if n not in ("sign", "step")])
def test_monte_carlo(name, variances):
    """E[phi phi], E[phi' phi'] and E[u phi'(u) phi(v)] = 2 q1 kappa_q + c kappa_c, within five standard errors."""
    q1, q2 = variances
    phi, rng = activations.get(name), np.random.default_rng(5)
    z, y = rng.normal(size=(2, 200_000))

    def slope(x, h=1e-6):  # almost everywhere: the middle of a kink is met by nobody
        return (phi(x * (1 + h)) - phi(x * (1 - h))) / (2 * h * x)

    u = np.sqrt(q1) * z
    phi_u, of_u = phi(u), slope(u)
    for rho in CORRELATIONS:
        v = np.sqrt(q2) * (rho * z + np.sqrt((1 - rho) * (1 + rho)) * y)
        c, det = rho * np.sqrt(q1 * q2), q1 * q2 * (1 - rho) * (1 + rho)
        phi_v, of_v = phi(v), slope(v)
        kappa_c, kappa_q = phi.kappa_c(q1, q2, c, det), phi.kappa_q(q1, q2, c, det)
        for samples, exact in (
            (phi_u * phi_v, phi.kappa(q1, q2, c, det)),
            (of_u * of_v, kappa_c),
            (u * of_u * phi_v, 2 * q1 * kappa_q + c * kappa_c),
        ):
            error = samples.std() / np.sqrt(len(z))
            assert abs(samples.mean() - exact) < 5 * error + 1e-6 * np.abs(samples).mean() + 1e-12, (
                rho,
                exact,
            )


@pytest.mark.parametrize("name", ["sign", "step"])
@pytest.mark.parametrize("variances", VARIANCES)
@pytest.mark.parametrize("rho", [0.0, 0.3, -0.8, 0.999])
def test_jumps_against_the_angle(name, variances, rho):
    q1, q2 = variances
    phi, scale = activations.get(name), 1.0 if name == "sign" else 0.25
    c = rho * np.sqrt(q1 * q2)
    with mpmath.workdps(40):
        sheppard = float(2 / mpmath.pi * mpmath.asin(mpmath.mpf(rho)))
    assert phi.kappa(q1, q2, c) == pytest.approx(
        (name == "step") / 4 + scale * sheppard, rel=1e-12, abs=1e-16
    )
    assert phi.kappa_c(q1, q2, c) == pytest.approx(
        scale * 2 / np.pi / np.sqrt(q1 * q2 * (1 - rho**2)), rel=1e-10
    )
    for other in (1.0, -1.0):
        assert phi.kappa_c(q1, q1, other * q1, 0.0) == np.inf
        assert phi.kappa_q(q1, q1, other * q1, 0.0) == -other * np.inf


@pytest.mark.parametrize(
    ("name", "q"), [(n, q) for n in NAMES for q in (0.0, 1e-300, 1e-12, 1e12) if reachable(n, q, q)]
)
def test_extreme_variances_are_numbers(name, q):
    phi = activations.get(name)
    for c in (q, 0.0, -q):
        values = [phi.kappa(q, q, c), phi.kappa_c(q, q, c), phi.kappa_q(q, q, c)]
        assert np.isfinite(values[0]), values
        # of a jump the derivatives are infinite, but never undefined
        assert (not np.isnan(values).any()) if phi.jumps else np.isfinite(values).all(), values


@pytest.mark.parametrize("name", NAMES)
def test_a_variance_of_zero_is_a_constant(name):
    phi = activations.get(name)
    at_zero = float(phi(np.zeros(1))[0])
    assert phi.kappa(0.0, 0.0, 0.0) == pytest.approx(at_zero**2, abs=1e-15)
    mean = {"relu": 1 / np.sqrt(2 * np.pi), "gelu": 1 / np.sqrt(4 * np.pi), "step": 0.5}.get(name)
    if mean is not None:
        assert phi.kappa(0.0, 1.0, 0.0) == pytest.approx(at_zero * mean, abs=1e-15)


@pytest.mark.parametrize("name", ["gelu", "rbf(0.8)", "sin(0.8, 1.2, 0.2)", "gaussian(2, -0.7)", "gabor"])
@pytest.mark.parametrize("rho", [0.5, 1 - 1e-6, 1 - 1e-12, 1.0])
@pytest.mark.parametrize("q", [1e-6, 1.0, 1e4])
def test_closed_forms_keep_their_digits(name, rho, q):
    """The formulas in 60 digits, from the same variance and correlation."""
    p = mpmath
    with p.workdps(60):
        Q, R = p.mpf(q), p.mpf(rho)
        C = Q * R
        if name == "gelu":
            e = (1 + Q) ** 2 - C**2
            b = Q * Q + C**2 * (1 - Q * Q) / (1 + Q) ** 2
            exact = C / 4 + (C * p.asin(C / (1 + Q)) + b / p.sqrt(e)) / (2 * p.pi)
        elif name.startswith("rbf"):
            exact = p.exp(-p.mpf(0.8) * (2 * Q - 2 * C))
        elif name.startswith("sin"):
            b2, odd = p.mpf(1.2) ** 2, p.cos(p.mpf(0.2)) ** 2
            exact = p.mpf(0.8) ** 2 * p.exp(-b2 * Q) * (odd * p.sinh(b2 * C) + (1 - odd) * p.cosh(b2 * C))
        elif name.startswith("gaussian"):
            beta = p.mpf(0.7)
            exact = 4 / p.sqrt((1 + 2 * beta * Q) ** 2 - 4 * beta**2 * C**2)
        else:
            e = (1 + 2 * Q) ** 2 - 4 * C**2
            s = (2 * Q + 4 * (Q * Q - C * C)) / (2 * e)
            exact = p.exp(-s) * p.sinh(C / e) / p.sqrt(e)
        c, det = float(C), float(Q * Q - C * C)
        exact = float(exact)
    assert activations.get(name).kappa(q, q, c, det) == pytest.approx(exact, rel=1e-12, abs=1e-250)


# -- determinants from layer to layer, ratios, both at once


@pytest.mark.parametrize("angle", [1e-12, 1e-9, 1e-5, 9.9e-3, 1.01e-2, 0.5, 1.5, 3.0, np.pi - 1e-3])
@pytest.mark.parametrize("q", [(1.0, 1.0), (0.3, 40.0)])
@pytest.mark.parametrize("name", ["relu", "abs", "leaky_relu(0.1)", "abrelu(-0.5, 1.5)", "sign", "step"])
def test_determinant_keeps_its_digits(name, angle, q):
    q1, q2 = q
    with mpmath.workdps(60):
        t, root = mpmath.mpf(angle), mpmath.sqrt(mpmath.mpf(q1) * q2)
        pi = mpmath.pi
        if name == "sign":
            exact = 1 - (1 - 2 * t / pi) ** 2
        elif name == "step":
            exact = mpmath.mpf(1) / 4 - ((pi - t) / (2 * pi)) ** 2
        else:
            a, b = {"relu": (0, 1), "abs": (-1, 1), "leaky_relu(0.1)": (0.1, 1)}.get(name, (-0.5, 1.5))
            line, bend = (mpmath.mpf(a) + b) ** 2 / 4, (mpmath.mpf(b) - a) ** 2 / 4
            kappa = line * mpmath.cos(t) + bend * 2 / pi * (mpmath.sin(t) + (pi / 2 - t) * mpmath.cos(t))
            exact = root**2 * ((line + bend) ** 2 - kappa**2)
        exact = float(exact)
        c, det = float(root * mpmath.cos(t)), float((root * mpmath.sin(t)) ** 2)
    found = activations.get(name).kappa_det(q1, q2, np.asarray(c), np.asarray(det))
    assert found == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_both_at_once_is_each_alone(name, rng):
    phi = activations.get(name)
    x = rng.normal(size=(20, 3))
    q = (x**2).sum(axis=1)
    both = phi.kappa_and_c(q[:, None], q[None, :], x @ x.T)
    np.testing.assert_array_equal(both[0], phi.kappa(q[:, None], q[None, :], x @ x.T))
    np.testing.assert_array_equal(both[1], phi.kappa_c(q[:, None], q[None, :], x @ x.T))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("moments", MOMENTS)
def test_the_ratio_is_that_of_the_derivatives(name, moments):
    q1, q2, c = moments
    phi = activations.get(name)
    ratio = phi.kappa_q_ratio(q1)
    if ratio is not None:
        assert ratio * c * phi.kappa_c(q1, q2, c) == pytest.approx(phi.kappa_q(q1, q2, c), rel=1e-14)


@pytest.mark.parametrize("q", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("apart", [0.0, 1e-9, 1e-3])
def test_erf_of_large_variance(q, apart):
    """The determinant, not the sine, carries the digits where 2c is nearly sqrt(D1 D2)."""
    c = q * (1 - apart)
    with mpmath.workdps(40):
        exact = float(2 / mpmath.pi * mpmath.asin(2 * mpmath.mpf(c) / (1 + 2 * mpmath.mpf(q))))
    assert activations.get("erf").kappa(q, q, c) == pytest.approx(exact, rel=1e-13)


# -- the functions themselves, and an expansion in a kernel


@pytest.mark.parametrize("name", NAMES)
def test_the_function(name):
    x = np.linspace(-3, 3, 13)
    exact = {
        "abs": np.abs(x),
        "elu": np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
        "erf": special.erf(x),
        "gelu": x * special.ndtr(x),
        "hermite(3)": (x**3 - 3 * x) / np.sqrt(6),
        "leaky_relu(0.1)": np.where(x > 0, x, 0.1 * x),
        "mish": x * np.tanh(np.log1p(np.exp(x))),
        "polynomial(0.3, 1, -0.5, 0.2)": 0.3 + x - 0.5 * x**2 + 0.2 * x**3,
        "rectified_monomial(2)": np.where(x > 0, x, 0) ** 2,
        "sigmoid": 1 / (1 + np.exp(-x)),
        "silu": x / (1 + np.exp(-x)),
        "softplus": np.log1p(np.exp(x)),
        "tanh": np.tanh(x),
    }
    if name in exact:
        np.testing.assert_allclose(activations.get(name)(x), exact[name], rtol=1e-14, atol=1e-15)
    assert activations.get(name)(x).shape == x.shape


def test_far_out_functions_do_not_overflow():
    x = np.array([-800.0, 800.0])
    for name, values in (("softplus", (0, 800)), ("silu", (0, 800)), ("mish", (0, 800)), ("elu", (-1, 800))):
        np.testing.assert_allclose(activations.get(name)(x), values, atol=1e-12)


@pytest.mark.parametrize("kernel", [kc.nngp, kc.ntk])
@pytest.mark.parametrize("name", [*problems.EXPANDED, "a user's"])
@pytest.mark.parametrize(("depth", "bias_variance"), [(1, 0.0), (3, 0.2)])
def test_expansions_in_tiles_and_depth(kernel, name, depth, bias_variance, rng):
    """Tiles choose their orders themselves: the same to the tail."""
    phi = activations.expand(np.arctan, name="arctan") if name == "a user's" else activations.get(name)
    x = rng.normal(size=(300, 5))
    gram = kernel(x, activation=phi, depth=depth, weight_variance=1.5, bias_variance=bias_variance)
    np.testing.assert_array_equal(gram, gram.T)
    q = bias_variance + 1.5 * np.sum(x**2, axis=1) / 5
    g = bias_variance + 1.5 * x @ x.T / 5
    theta = g
    for _ in range(depth):
        kappa, kappa_c = phi.kappa_and_c(q[:, None], q[None, :], g)
        q, g = bias_variance + 1.5 * np.diag(kappa), bias_variance + 1.5 * kappa
        theta = g + 1.5 * theta * kappa_c
    # bias first: this recursion adds it to T as the library does
    expected = theta if kernel is kc.ntk else kappa
    accuracy = 1e-10
    np.testing.assert_allclose(gram, expected, rtol=0, atol=accuracy * np.abs(expected).max())
    assert np.linalg.eigvalsh(gram).min() > -accuracy * np.abs(gram).max() * len(x)


def test_streams_and_pairs_of_an_expansion(rng):
    data = kc.data.gaussian_classes(n=200, dim=3)
    dense = kc.nc1(kc.ntk(data.x, activation="silu", depth=2), data.labels)
    streamed = kc.streamed_nc1(data.x, data.labels, kernel="ntk", activation="silu", depth=2, tile=64)
    assert streamed.ratio == pytest.approx(dense.ratio, rel=1e-10)
    sampled = kc.sampled_nc1(data.x, data.labels, kernel="ntk", activation="silu", depth=2, pairs=10_000)
    assert sampled.low < dense.ratio < sampled.high


@pytest.mark.parametrize("name", ["gelu", "silu", "tanh", "elu"])
def test_the_adaptive_kernel_of_other_activations(name):
    data = kc.data.gaussian_classes(n=64, dim=4)
    solution = kc.solve_adaptive(
        data.x, data.targets, activation=name, width=100, noise_variance=1e-3, readout_variance=1 / 128
    )
    assert solution.status is kc.adaptive.Status.CONVERGED
    assert solution.residual < 1e-6
    adapted, prior = (
        kc.nc1(gram, data.labels).ratio for gram in (solution.gram, kc.nngp(data.x, activation=name))
    )
    assert adapted < prior


# -- names and bad input


def test_names():
    for name in (*activations.names(), *activations.names(expanded=True)):
        phi = activations.get(name)
        assert phi.name.partition("(")[0] == name
        assert activations.get(phi.name).name == phi.name
        assert repr(phi) == f"<activation {phi.name}>"
    assert activations.get("swish") is activations.get("silu") or activations.get("swish").name == "silu"
    assert activations.get("leaky_relu").name == "leaky_relu(0.01)"
    assert activations.get(" sin( 2 , 1,0.5 ) ").name == "sin(2, 1, 0.5)"


def test_an_activation_is_passed_through():
    relu = activations.ReLU()
    assert activations.get(relu) is relu


def test_fixed_orders():
    phi = activations.expand(np.tanh, orders=60)
    exact = activations.get("tanh")
    assert phi.kappa(0.3, 0.2, 0.2) == pytest.approx(exact.kappa(0.3, 0.2, 0.2), rel=1e-11)
    with pytest.raises(
        ValueError, match=r"after 60 orders \(as many as orders= allows\), expected at most 1.0e-11"
    ):
        phi.kappa(9.0, 9.0, 9.0)
    loose = activations.expand(np.tanh, orders=60, tail=0.1)
    assert loose.kappa(9.0, 9.0, 9.0) == pytest.approx(exact.kappa(9.0, 9.0, 9.0), rel=0.02)


def test_kinks_may_be_named():
    named = activations.expand(lambda x: np.maximum(x - 0.5, 0), kinks=[0.5])
    found = activations.expand(lambda x: np.maximum(x - 0.5, 0))
    assert named.kinks == found.kinks == (0.5,)
    assert named.kappa(1.0, 2.0, 0.7) == pytest.approx(found.kappa(1.0, 2.0, 0.7), rel=1e-12)
    assert activations.expand(np.tanh, kinks=[]).kinks == ()


def raises(x):
    raise KeyError("no")


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("rleu", r"activation is 'rleu', expected one of abrelu, abs, .*tanh: did you mean 'relu'"),
        ("softmax?!", "choose one of these"),
        ("relu(1)", r"activation is 'relu\(1\)', expected fewer parameters than 1"),
        ("sin(1, 2, 3, 4)", "expected fewer parameters than 4"),
        ("tanh(2)", "expected no parameters: write 'tanh'"),
        ("leaky_relu(x)", "expected numbers in the brackets, as in 'leaky_relu"),
        ("leaky_relu(nan)", "the slope of leaky_relu is nan, expected a finite number"),
        ("monomial(1.5)", "p of monomial is 1.5, expected a whole number from 0 to 20"),
        ("monomial(-1)", "p of monomial is -1.0, expected a whole number"),
        ("rectified_monomial(0)", "expected a whole number from 1 to 20"),
        ("gaussian(1, 1)", "grows too fast for a Gaussian expectation"),
        ("rbf(-1)", "gamma of rbf is -1.0, expected more than zero"),
        (7, "activation is 7, expected one of the names"),
        (
            lambda x: x / np.sum(x),
            "is not elementwise: its value at a number depends on the numbers beside it",
        ),
        (np.sum, r"returns shape \(\) and type float64 for an array of shape \(5, 7\)"),
        (lambda x: np.log(x), r"is not finite at -4"),
        (lambda x: 1 / x, "is not finite at 0"),
        (lambda x: x + 1j, "type complex128"),
        (lambda x: x.astype(np.float32), "returns float32 for float64, expected double precision"),
        (raises, r"the activation raises cannot be applied to an array of NumPy \(KeyError: 'no'\)"),
        (lambda x: x if x > 0 else 0, "cannot be applied to an array of NumPy"),
    ],
)
def test_bad_input(activation, message, unchecked):
    with pytest.raises(ValueError, match=message):
        activations.get(activation)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"orders": 1}, "orders is 1, expected 2 to 2046"),
        ({"orders": 5000}, "orders is 5000, expected 2 to 2046"),
        ({"orders": 3.5}, "orders is 3.5, expected a whole number"),
        ({"tail": 0.0}, "tail is 0.0, expected a finite number that is more than zero"),
        ({"kinks": [np.nan]}, "kinks holds nan"),
    ],
)
def test_bad_options_of_an_expansion(options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        activations.expand(np.tanh, **options)


@pytest.mark.parametrize(
    "function",
    [lambda x: np.exp(x**2), lambda x: np.exp(0.3 * x**2), np.sinh],
    ids=["square", "third", "sinh"],
)
def test_what_grows_too_fast(function):
    phi = activations.get(function)
    with pytest.raises(ValueError, match="grows too fast for a Gaussian expectation at a variance of 100"):
        kc.nngp([[10.0], [-10.0]], activation=phi)


def test_jumps_are_refused_where_they_have_no_meaning():
    data = kc.data.gaussian_classes(n=10, dim=2)
    for activation in ("sign", lambda x: (x > 0) + 0.5 * x):
        with pytest.raises(ValueError, match="has a jump, so that the free energy has no gradient"):
            kc.solve_adaptive(data.x, data.targets, activation=activation)
    with pytest.raises(ValueError, match="has a jump, so that its NTK is infinite"):
        kc.ntk(data.x, activation=lambda x: (x > 0) + 0.5 * x)
    assert np.isfinite(kc.ntk(data.x, activation="sign", depth=3)).all()


def celu(x):
    return np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0) / 2))


def test_a_solve_ends_where_the_tail_does():
    """The moments of a function with a kink are known to 1e-8: a residual below that error is not asked of them."""
    data = kc.data.gaussian_classes(n=48, dim=4)
    options = {"width": 50, "noise_variance": 1e-6, "raise_on_failure": False}
    solution = kc.solve_adaptive(0.3 * data.x, data.targets, activation=celu, **options)
    assert solution.status in (kc.adaptive.Status.CONVERGED, kc.adaptive.Status.PRECISION_LIMIT)
    assert solution.residual < 1e-4
    assert solution.evaluations < 300
    assert activations.get(lambda x: np.maximum(x - 0.3, 0)).accuracy < 1e-15 < activations.get(celu).accuracy


# -- functions whose parameters change


class Bent:
    """A function with a parameter that can be changed."""

    slope = 0.1

    def act(self, x):
        return np.where(x > 0, x, self.slope * x)


def test_a_function_is_what_it_is_now():
    x, bent = np.random.default_rng(0).normal(size=(6, 3)), Bent()
    for bent.slope in (0.1, 0.9, 0.1):
        expected = kc.ntk(x, activation=f"leaky_relu({bent.slope})")
        np.testing.assert_allclose(kc.ntk(x, activation=bent.act), expected, rtol=1e-6)


@pytest.mark.parametrize("make", [kc.kernels.NNGP, kc.kernels.NTK, kc.activations.get])
def test_a_function_that_changes_is_not_mixed_with_what_it_was(make):
    x, rate = np.random.default_rng(0).normal(size=(6, 3)), 1.0
    made = make(lambda z: np.sin(rate * z))
    use = made if isinstance(made, kc.kernels.Kernel) else lambda x: kc.nngp(x, activation=made)
    before = use(x)
    rate = 3.0
    for other in (x, 2.0 * x):
        with pytest.raises(
            ValueError, match="has changed its values since the kernel or the network was made"
        ):
            use(other)
    rate = 1.0
    np.testing.assert_array_equal(use(x), before)


def test_an_expanded_activation_can_be_pickled():
    x = np.random.default_rng(0).normal(size=(6, 3))
    for activation in (kc.activations.get("tanh"), kc.activations.expand(np.arctan)):
        again = pickle.loads(pickle.dumps(activation))
        np.testing.assert_array_equal(kc.nngp(x, activation=again), kc.nngp(x, activation=activation))


# -- functions with narrow parts


NARROW = {
    "bump": lambda u, width: 1.0 * (np.abs(u - 0.7) < width),
    "spike on a line": lambda u, width: u + 50.0 * (np.abs(u - 0.7) < width),
    "triangle": lambda u, width: np.maximum(0.0, 1.0 - np.abs(u - 0.7) / width),
    "triangle on a ramp": lambda u, width: (
        np.maximum(u, 0.0) + np.maximum(0.0, 1.0 - np.abs(u - 0.7) / width)
    ),
    "peak": lambda u, width: np.exp(-0.5 * ((u - 0.7) / width) ** 2),
}


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("width", [0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4])
def test_no_narrow_part_is_missed(name, width):
    """It is in the second moment, or the function is refused: by kernels as by expectations without data."""

    def phi(u):
        return NARROW[name](u, width)

    z = np.linspace(-9.0, 9.0, 2_000_001)
    truth = float(np.sum(phi(z) ** 2 * np.exp(-0.5 * z * z)) * (z[1] - z[0]) / np.sqrt(2.0 * np.pi))
    try:
        found = float(kc.nngp(np.ones((1, 1)), activation=phi)[0, 0])
    except ValueError as error:
        assert "of its mass" in str(error)  # noqa: PT017 -- either will do
    else:
        assert found == pytest.approx(truth, rel=2e-4)
    mixture = kc.theory.gaussian_mixture(1, class_means=(-1.0, 1.0), class_stds=0.1)
    if width < 0.01 and name != "peak":
        with pytest.raises(ValueError, match="parts too narrow"):
            kc.theory.expected_nc1(mixture, activation=phi, accuracy=1e-3)


def test_kinks_that_are_named_may_be_close_to_one_another():
    def phi(u):
        return NARROW["triangle on a ramp"](u, 0.01)

    known = activations.expand(phi, kinks=(0.0, 0.69, 0.7, 0.71))
    assert known.kinks == (0.0, 0.69, 0.7, 0.71)
    assert float(kc.nngp(np.ones((1, 1)), activation=known)[0, 0]) == pytest.approx(0.5064531512108, rel=1e-7)
    step = activations.expand(lambda u: NARROW["bump"](u, 1e-3), kinks=(0.699, 0.701))
    share = float(special.ndtr(0.701) - special.ndtr(0.699))
    assert float(kc.nngp(np.ones((1, 1)), activation=step)[0, 0]) == pytest.approx(share, rel=1e-7)
