import tracemalloc

import mpmath
import numpy as np
import pytest

import kernel_collapse as kc
import problems
from conftest import DATA
from kernel_collapse import activations, kernels
from kernel_collapse.kernels import _kernel
from kernel_collapse.kernels._kernel import TILE

REFERENCE = np.load(DATA / "kernels.npz")
KERNELS = {"nngp": kc.nngp, "ntk": kc.ntk}


def naive(x, activation, depth, weight_variance, bias_variance, tangent):
    """The recursion of the module's docstring, on whole matrices."""
    phi = activations.get(activation)
    g = weight_variance / x.shape[1] * x @ x.T + bias_variance
    theta = g
    for _ in range(depth):
        q = np.diag(g)
        kappa, slopes = phi.kappa_and_slopes(q[:, None], q[None, :], g)
        g = weight_variance * kappa + bias_variance
        theta = g + weight_variance * theta * slopes
    return theta if tangent else kappa


#: Names of the reference, where they are not those of the library in another case.
NAMED = {
    "LeakyRelu(0.1)": "leaky_relu(0.1)",
    "RectifiedMonomial(2)": "rectified_monomial(2)",
    "Sigmoid_like": f"scaled_erf(0.5, {1 / 2.4020563531719796}, 0.5)",
}


@pytest.mark.parametrize("key", [key for key in REFERENCE if not key.startswith("x|")])
def test_independent_reference(key):
    """Closed forms in 40 digits to round-off; tanh and swish to the quadrature's own accuracy (times depth)."""
    name, depth, bias, dim, kind = key.split("|")
    bias_variance = float(bias[1:]) ** 2
    gram = KERNELS[kind](
        REFERENCE[f"x|{dim}"],
        activation=NAMED.get(name, name.lower()),
        depth=int(depth[1:]),
        bias_variance=bias_variance,
    )
    if kind == "ntk":  # the reference's readout has no bias
        gram -= bias_variance
    scale = np.abs(REFERENCE[key]).max()
    # sign at depth 3 amplifies the last digit of its inputs, next to perfect correlation, by 1 / sqrt(1 - rho^2)
    accuracy = {"tanh": 1e-11, "swish": 1e-11, "Sign": 5e-12}.get(name, 1e-13)
    np.testing.assert_allclose(gram, REFERENCE[key], rtol=0, atol=accuracy * scale)


@pytest.mark.parametrize("kernel", [kc.nngp, kc.ntk])
@pytest.mark.parametrize("activation", problems.CLOSED)
@pytest.mark.parametrize(("depth", "bias_variance"), [(1, 0.0), (2, 0.3), (4, 0.1)])
def test_tiles_are_the_recursion(kernel, activation, depth, bias_variance, rng, monkeypatch):
    side = TILE if (activation, depth) == ("relu", 1) else 32  # whatever it is: all are cut in the same way
    monkeypatch.setattr(_kernel, "TILE", side)
    tiles = 2 if depth == 1 else 1  # and a part of one; a layer does not know of tiles
    x = rng.normal(size=(tiles * side + 17, 5))
    options = {
        "activation": activation,
        "depth": depth,
        "weight_variance": 1.7,
        "bias_variance": bias_variance,
    }
    gram = kernel(x, **options)
    np.testing.assert_array_equal(gram, gram.T)
    expected = naive(x, tangent=kernel is kc.ntk, **options)
    # The naive recursion loses half the digits of the angle on the diagonal.
    np.testing.assert_allclose(gram, expected, rtol=1e-7, atol=1e-12)
    off = ~np.eye(len(x), dtype=bool)
    np.testing.assert_allclose(gram[off], expected[off], rtol=1e-11, atol=1e-13)
    rows = len(x) - 10
    np.testing.assert_allclose(kernel(x[:rows], x, **options), gram[:rows], rtol=1e-13, atol=1e-14)


def exact_pair(x, y, activation, depth, bias_variance, tangent):
    """Kernel of two rows in 50 digits."""
    with mpmath.workdps(50):
        b, pi = mpmath.mpf(bias_variance), mpmath.pi
        x, y = ([mpmath.mpf(float(v)) for v in row] for row in (x, y))

        def inner(p, q):
            return sum((a * c for a, c in zip(p, q, strict=True)), mpmath.mpf(0)) / len(p) + b

        q1, q2, c = inner(x, x), inner(y, y), inner(x, y)
        theta = c

        def dual(q1, q2, c):
            if activation == "erf":
                d = (1 + 2 * q1) * (1 + 2 * q2)
                return 2 / pi * mpmath.asin(2 * c / mpmath.sqrt(d)), 4 / pi / mpmath.sqrt(d - 4 * c**2)
            t = mpmath.acos(min(c / mpmath.sqrt(q1 * q2), mpmath.mpf(1)))
            return mpmath.sqrt(q1 * q2) * (mpmath.sin(t) + (pi - t) * mpmath.cos(t)) / (2 * pi), (pi - t) / (
                2 * pi
            )

        for _ in range(depth):
            kappa, kappa_c = dual(q1, q2, c)
            q1, q2 = dual(q1, q1, q1)[0] + b, dual(q2, q2, q2)[0] + b
            c = kappa + b
            theta = c + theta * kappa_c
        return float(theta if tangent else kappa)


@pytest.mark.parametrize("kernel", [kc.nngp, kc.ntk])
@pytest.mark.parametrize("activation", ["erf", "relu"])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("bias_variance", [0.0, 0.5])
@pytest.mark.parametrize("apart", [0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-4, 1e-2])
def test_next_to_the_diagonal(kernel, activation, depth, bias_variance, apart, rng):
    row = rng.normal(size=7)
    x = np.array([row, row + apart * rng.normal(size=7), -row, 3.0 * row])
    gram = kernel(x, activation=activation, depth=depth, bias_variance=bias_variance)
    for i, j in ((0, 1), (0, 2), (0, 3), (1, 3)):
        exact = exact_pair(x[i], x[j], activation, depth, bias_variance, kernel is kc.ntk)
        assert gram[i, j] == pytest.approx(exact, rel=1e-14 * 50, abs=1e-15)


@pytest.mark.parametrize("kernel", [kc.nngp, kc.ntk])
@pytest.mark.parametrize("activation", problems.CLOSED)
def test_duplicates_are_equal_to_round_off(kernel, activation, rng):
    x = np.repeat(rng.normal(size=(5, 11)), 60, axis=0)
    gram = kernel(x, activation=activation, depth=3, bias_variance=0.2)
    diagonal = np.diag(gram)
    for start in range(0, 300, 60):
        block = gram[start : start + 60, start : start + 60]
        np.testing.assert_allclose(block, diagonal[start], rtol=5e-15)


@pytest.mark.parametrize("kernel", [kc.nngp, kc.ntk])
@pytest.mark.parametrize("activation", ["sin", "erf", "relu", "tanh"])
def test_a_chaotic_network_does_not_part_a_sample_from_itself(kernel, activation, rng):
    """Round-off of the covariance of a sample with itself would grow by chi > 1 in every layer."""
    x = rng.normal(size=(12, 5))
    x[7], x[8] = x[2], x[2]
    options = {"activation": activation, "depth": 60, "weight_variance": 4.0, "bias_variance": 0.05}
    gram = kernel(x, **options)
    one = np.array([kernel(row[None, :], **options).item() for row in x])
    accuracy = 1e-9 if activation == "tanh" else 1e-12  # of an expansion, sixty layers deep
    np.testing.assert_allclose(np.diag(gram), one, rtol=accuracy)
    np.testing.assert_allclose(gram[[2, 2, 7], [7, 8, 8]], one[2], rtol=accuracy)
    pairs = (kernels.NNGP if kernel is kc.nngp else kernels.NTK)(**options).pairs(x[[2, 3]], x[[7, 3]])
    np.testing.assert_allclose(pairs, one[[2, 3]], rtol=accuracy)
    # The exact recursion of the variance, in 60 digits.
    if kernel is kc.nngp and activation in ("sin", "erf"):
        with mpmath.workdps(60):
            q = mpmath.mpf(float(x[0] @ x[0])) * 4 / 5 + mpmath.mpf(0.05)
            for _ in range(60):
                dual = (
                    (1 - mpmath.exp(-2 * q)) / 2
                    if activation == "sin"
                    else 2 / mpmath.pi * mpmath.asin(2 * q / (1 + 2 * q))
                )
                q = 4 * dual + mpmath.mpf(0.05)
        assert gram[0, 0] == pytest.approx(float(dual), rel=1e-13)


def test_zero_rows_and_one_sample():
    gram = kc.ntk([[0.0, 0.0], [1.0, 1.0]], activation="relu", depth=2)
    np.testing.assert_array_equal(gram[0], 0.0)
    assert kc.nngp([[3.0]], activation="identity", depth=4).item() == 9.0


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_random_features_of_a_wide_layer(activation, rng):
    """NNGP and NTK of depth 1 are expectations over the weights: within 4 standard errors."""
    x = rng.normal(size=(6, 4))
    n, phi = 400_000, activations.get(activation)
    pre = rng.normal(size=(n, 4)) @ x.T / 2 + np.sqrt(0.3) * rng.normal(size=(n, 1))
    post = phi(pre)
    slope = 2 / np.sqrt(np.pi) * np.exp(-(pre**2)) if activation == "erf" else (pre > 0).astype(float)
    g = x @ x.T / 4 + 0.3

    def check(samples, expected):
        error = samples.std(axis=0, ddof=1) / np.sqrt(n)
        assert (np.abs(samples.mean(axis=0) - expected) < 4 * error).all()

    for i in range(6):
        nngp = post[:, [i]] * post
        check(nngp, kc.nngp(x, activation=activation, bias_variance=0.3)[i])
        check(
            nngp + g[i] * slope[:, [i]] * slope + 0.3, kc.ntk(x, activation=activation, bias_variance=0.3)[i]
        )


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_random_features_of_the_second_layer(activation, rng):
    x = rng.normal(size=(5, 4))
    n, phi = 400_000, activations.get(activation)
    second = kc.nngp(x, activation=activation, kind="output", weight_variance=1.5, bias_variance=0.1)
    post = phi(rng.multivariate_normal(np.zeros(5), second, size=n))
    expected = kc.nngp(x, activation=activation, depth=2, weight_variance=1.5, bias_variance=0.1)
    for i in range(5):
        samples = post[:, [i]] * post
        error = samples.std(axis=0, ddof=1) / np.sqrt(n)
        assert (np.abs(samples.mean(axis=0) - expected[i]) < 4 * error).all()


def test_published_ntk_is_the_inner_product_slip(rng):
    x = rng.normal(size=(40, 3))
    g = x @ x.T / 3
    d = 1 + 2 * np.diag(g)
    expected = np.empty((40, 40))
    for i in range(40):
        for j in range(40):
            kappa = 2 / np.pi * np.arcsin(2 * g[i, j] / np.sqrt(d[i] * d[j]))
            slope = 4 / np.pi / np.sqrt(sum(d * d) - 4 * g[i, j] ** 2)
            expected[i, j] = kappa + g[i, j] * slope
    np.testing.assert_allclose(kernels.ntk_published(x), expected, rtol=1e-12)


def test_output_kind_is_one_layer_on(rng):
    x = rng.normal(size=(4, 3))
    features = kc.nngp(x, depth=2)
    np.testing.assert_allclose(kc.nngp(x, depth=2, kind="output", weight_variance=1.0), features)
    scaled = kc.nngp(x, weight_variance=2.0, bias_variance=0.5)
    np.testing.assert_allclose(
        kc.nngp(x, weight_variance=2.0, bias_variance=0.5, kind="output"), 2 * scaled + 0.5
    )


@pytest.mark.parametrize("kernel", [kc.nngp, kc.ntk])
@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_memory_is_that_of_the_result(kernel, activation, rng):
    x = rng.normal(size=(1500, 3))
    tracemalloc.start()
    gram = kernel(x, activation=activation, depth=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * gram.nbytes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "depth is 0, expected a whole number that is at least 1"),
        ({"depth": 1.5}, "depth is 1.5, expected a whole number"),
        ({"depth": True}, "depth is True, expected a whole number"),
        ({"weight_variance": 0.0}, "weight_variance is 0.0, expected a finite number that is more than zero"),
        ({"weight_variance": -1.0}, "weight_variance is -1.0"),
        ({"bias_variance": -0.1}, "bias_variance is -0.1, expected a finite number that is zero or more"),
        ({"bias_variance": float("nan")}, "bias_variance is nan"),
        ({"activation": "tahn"}, "activation is 'tahn', expected one of"),
        ({"x_other": [[1.0]]}, "x has 2 features and x_other has 1"),
        ({"x": [1.0, 2.0]}, r"x has shape \(2,\), expected two dimensions"),
        ({"x": [[1.0, np.nan], [0.0, 1.0]]}, "x holds nan in row 0, column 1"),
        ({"x": [[np.inf, 2.0], [0.0, np.inf]]}, r"x holds inf in row 0, column 0 \(and 1 more"),
        ({"x": [["a", "b"]]}, "expected real numbers"),
        ({"x": [[1j, 2]]}, "expected real numbers"),
        ({"x": np.empty((0, 2))}, "at least one row"),
        ({"x": [[1e200, 1.0]]}, "the kernel is not finite"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(arguments, message):
    arguments = {"x": [[1.0, 2.0], [3.0, 4.0]]} | arguments
    for kernel in (kc.nngp, kc.ntk):
        with pytest.raises(ValueError, match=message):
            kernel(**arguments)
    with pytest.raises(ValueError, match="kind is 'feature'.*did you mean 'features'"):
        kc.nngp([[1.0]], kind="feature")
