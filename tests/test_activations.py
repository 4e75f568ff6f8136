import mpmath
import numpy as np
import pytest
from scipy import integrate, special

from kernel_collapse import activations

NAMES = activations.names()
MOMENTS = [
    (0.7, 1.3, 0.4),
    (0.7, 1.3, -0.9),
    (2.0, 2.0, 1.9),
    (0.01, 5.0, 0.1),
    (30.0, 20.0, -24.0),
    (1.0, 1.0, 0.0),
]


def conditional_mean(name, mean, std):
    """E phi(mean + std z), in closed form: one half of the expectation over a pair."""
    if name == "erf":
        return special.erf(mean / np.sqrt(1 + 2 * std**2))
    if name == "relu":
        t = mean / std
        return mean * special.ndtr(t) + std * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
    return mean


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("moments", MOMENTS)
def test_kappa_is_the_expectation(name, moments):
    q1, q2, c = moments
    phi, std = activations.get(name), np.sqrt(q2 - c**2 / q1)

    def integrand(z):
        u = np.sqrt(q1) * z
        return phi(u) * conditional_mean(name, c / q1 * u, std) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    parts = [integrate.quad(integrand, a, b, epsabs=1e-13, epsrel=1e-12)[0] for a, b in ((-12, 0), (0, 12))]
    assert phi.kappa(q1, q2, c) == pytest.approx(sum(parts), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("moments", MOMENTS)
def test_erf_against_gauss_hermite(moments):
    q1, q2, c = moments
    z, w = np.polynomial.hermite_e.hermegauss(200)
    w = w / w.sum()
    u = np.sqrt(q1) * z
    v = c / q1 * u[:, None] + np.sqrt(q2 - c**2 / q1) * z[None, :]
    value = np.einsum("i,j,i,ij->", w, w, special.erf(u), special.erf(v))
    # The rule's own accuracy: erf is steep on the scale of the nodes where the variance is large.
    assert activations.get("erf").kappa(q1, q2, c) == pytest.approx(
        value, abs=1e-10 if max(q1, q2) < 3 else 2e-3
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("moments", MOMENTS)
def test_derivatives_are_those_of_kappa(name, moments):
    q1, q2, c = moments
    phi, step = activations.get(name), 1e-5

    def slope(f, x):  # fourth order
        h = step * max(abs(x), 0.1)
        return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)

    assert phi.kappa_c(q1, q2, c) == pytest.approx(
        slope(lambda x: phi.kappa(q1, q2, x), c), rel=1e-7, abs=1e-9
    )
    assert phi.kappa_q(q1, q2, c) == pytest.approx(
        slope(lambda x: phi.kappa(x, q2, c), q1), rel=1e-7, abs=1e-9
    )


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


@pytest.mark.parametrize("angle", [1e-12, 1e-9, 1e-5, 9.9e-3, 1.01e-2, 0.5, 1.5, 3.0])
@pytest.mark.parametrize("q", [(1.0, 1.0), (0.3, 40.0)])
def test_relu_determinant_keeps_its_digits(angle, q):
    q1, q2 = q
    with mpmath.workdps(60):
        t, root = mpmath.mpf(angle), mpmath.sqrt(mpmath.mpf(q1) * q2)
        kappa = root * (mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t)) / (2 * mpmath.pi)
        exact = float(mpmath.mpf(q1) / 2 * q2 / 2 - kappa**2)
        c, det = float(root * mpmath.cos(t)), float((root * mpmath.sin(t)) ** 2)
    assert activations.get("relu").kappa_det(q1, q2, c, det) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("q", [0.0, 1e-300, 1e-12, 1e12])
def test_extreme_variances_are_finite(name, q):
    phi = activations.get(name)
    for c in (q, 0.0, -q):
        values = [phi.kappa(q, q, c), phi.kappa_c(q, q, c), phi.kappa_q(q, q, c)]
        assert np.isfinite(values).all(), values


@pytest.mark.parametrize("q", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("apart", [0.0, 1e-9, 1e-3])
def test_erf_of_large_variance(q, apart):
    """The determinant, not the sine, carries the digits where 2c is nearly sqrt(D1 D2)."""
    c = q * (1 - apart)
    with mpmath.workdps(40):
        exact = float(2 / mpmath.pi * mpmath.asin(2 * mpmath.mpf(c) / (1 + 2 * mpmath.mpf(q))))
    assert activations.get("erf").kappa(q, q, c) == pytest.approx(exact, rel=1e-13)


def test_unknown_name_suggests_the_closest():
    with pytest.raises(
        ValueError, match=r"activation is 'rleu', expected one of erf, identity, relu: did you mean 'relu'"
    ):
        activations.get("rleu")
    with pytest.raises(ValueError, match="choose one of these"):
        activations.get("softmax?!")


def test_an_activation_is_passed_through():
    relu = activations.ReLU()
    assert activations.get(relu) is relu
    assert repr(relu) == "<activation relu>"
