"""Kernels at every scale: the right value or a refusal, and derivatives where rows are zero, equal or opposite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import kernel_collapse as kc
from kernel_collapse import activations

HOMOGENEOUS = {
    "relu": 1,
    "leaky_relu(0.1)": 1,
    "abs": 1,
    "abrelu(-0.5, 1)": 1,
    "identity": 1,
    "sign": 0,
    "step": 0,
    "rectified_monomial(1)": 1,
    "rectified_monomial(2)": 2,
    "rectified_monomial(3)": 3,
    "monomial(2)": 2,
}
KERNELS = {"nngp": kc.nngp, "ntk": kc.ntk}
LABELS = np.array([0, 1] * 6)


@pytest.fixture
def x(rng):
    return np.random.default_rng(0).normal(size=(12, 3)) + 3.0 * LABELS[:, None]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_nc1_has_no_scale(x, name, depth, kernel):
    """Of 10^k x it is that of x, or a refusal where the values are no numbers of full precision."""
    options = {"activation": name, "depth": depth}
    expected = kc.nc1(KERNELS[kernel](x, **options), LABELS).ratio
    degree = 2 * max(1, HOMOGENEOUS[name] ** depth)
    for k in (-100, -81, -77, -39, 39, 76, 77, 81, 100):
        scaled = 10.0**k * x
        if -280 < k * degree < 280:
            gram = KERNELS[kernel](scaled, **options)
            assert kc.nc1(gram, LABELS).ratio == pytest.approx(expected, rel=1e-11)
        elif abs(k * degree) > 330:
            with pytest.raises(ValueError, match="the kernel is not finite|expected at least 1e-292"):
                KERNELS[kernel](scaled, **options)


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("name", [name for name, p in HOMOGENEOUS.items() if p < 2])
def test_nc1_has_no_scale_in_single_precision(x, name, library):
    """Powers of two change no digit; in JAX, whose scales are no powers of two, a few units of the last."""
    make = {"numpy": np.asarray, "torch": torch.asarray, "jax": jnp.asarray}[library]
    dtype = "float32" if library == "numpy" else None
    for kernel in KERNELS.values():

        def ratio(k, kernel=kernel):
            scaled = np.ldexp(x, k).astype(np.float32)
            return float(kc.nc1(kernel(make(scaled), activation=name, dtype=dtype), LABELS).ratio)

        for k in (-48, -30, 33, 50):
            assert ratio(k) == pytest.approx(ratio(0), rel=1e-4)


@pytest.mark.parametrize("name", ["silu", "erf", "gelu", "tanh", "elu", "selu", "mish"])
@pytest.mark.parametrize(("kernel", "depth"), [("nngp", 2), ("ntk", 1)])
def test_other_activations_tend_to_their_limits_or_refuse(x, name, kernel, depth):
    """Far out SiLU is ReLU; near zero all are lines."""
    options = {"activation": name, "depth": depth}
    if name in ("elu", "selu"):
        found = kc.nc1(KERNELS[kernel](1e80 * x, **options), LABELS).ratio
        relu = kc.nc1(KERNELS[kernel](x, activation="relu", depth=depth), LABELS).ratio
        assert found == pytest.approx(relu, rel=1e-7)
    else:
        with pytest.raises(ValueError, match=r"the kernel is not finite|expected at most 1.0e-11"):
            KERNELS[kernel](1e80 * x, **options)
    if name in ("erf", "gelu", "silu", "tanh", "elu", "mish"):
        of_line = kc.nc1(KERNELS[kernel](x, activation="identity", depth=depth), LABELS).ratio
        for scale in (1e-80, 1e-100):
            found = kc.nc1(KERNELS[kernel](scale * x, **options), LABELS).ratio
            # of an expansion kappa_c is known to 1e-9 at a variance of 0
            assert found == pytest.approx(of_line, rel=1e-8)
    with pytest.raises(ValueError, match="expected at least 1e-292"):
        KERNELS[kernel](1e-160 * x, **options)


def test_the_example_of_silu(x):
    with pytest.raises(ValueError, match="the kernel is not finite"):
        kc.nngp(1e80 * x, activation="silu")
    found = kc.nc1(kc.nngp(1e30 * x, activation="silu"), LABELS).ratio
    assert found == pytest.approx(kc.nc1(kc.nngp(x, activation="relu"), LABELS).ratio, rel=1e-10)
    assert found == pytest.approx(0.2304, abs=5e-5)


def test_rows_of_every_scale_beside_one_another(x):
    """The sign sees no scale of a row, and ReLU is homogeneous in each."""
    scale = 10.0 ** np.linspace(-120, 120, 12)[:, None]
    for name, power in (("sign", 0), ("step", 0), ("relu", 1)):
        expected = kc.nngp(x, activation=name) * (scale @ scale.T) ** power
        np.testing.assert_allclose(kc.nngp(scale * x, activation=name), expected, rtol=1e-12)


def test_a_network_that_fades_is_right_to_the_end(x):
    """ReLU at weight variance 1 halves variances: the determinant of the 600th layer is 2^-1200."""
    deep = kc.nc1(kc.nngp(x, activation="relu", depth=600), LABELS).ratio
    kept = kc.nc1(kc.nngp(x, activation="relu", depth=600, weight_variance=2.0), LABELS).ratio
    assert deep == pytest.approx(kept, rel=1e-9)
    with pytest.raises(ValueError, match=r"variance of a sample in layer 9\d\d is"):
        kc.nngp(x, activation="relu", depth=1100)


@pytest.mark.parametrize("name", [*HOMOGENEOUS, "elu", "selu"])
@pytest.mark.parametrize("which", ["kappa", "kappa_c", "kappa_q"])
def test_duals_find_their_determinant_at_every_scale(name, which):
    phi, rho = activations.get(name), 0.6
    q1, q2 = np.array([[2.0], [0.5]]), np.array([[1.0, 3.0]])
    for k in (-130, -60, 60, 130):
        # of ELU the limits: x near zero, alpha x below for SELU, and ReLU far out
        limit = phi
        if name in ("elu", "selu"):
            if k > 0 and which == "kappa_q":
                continue
            alpha = phi.alpha if k < 0 else 0.0
            limit = activations.ABReLU(phi.scale * alpha, phi.scale)
        degree = k * (limit.homogeneity - (which != "kappa"))
        if abs(degree) > 290 or (name == "elu" and which == "kappa_q"):
            continue
        scale, factor = 10.0**k, 10.0**degree
        moments = (q1, q2, rho * np.sqrt(q1 * q2))
        found = getattr(phi, which)(*(scale * value for value in moments))
        np.testing.assert_allclose(found, factor * getattr(limit, which)(*moments), rtol=1e-12)


def test_a_determinant_that_is_no_number_is_said_to_be_none():
    """1e160 times 1e149 overflows while 1e150 squared does not: erf would be 0."""
    assert np.isnan(activations.get("erf").kappa(1e160, 1e149, 1e150))
    assert activations.get("relu").kappa(1e160, 1e149, 0.0) == pytest.approx(10.0**154.5 / 2 / np.pi)


# -- derivatives


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("depth", "bias_variance"), [(1, 0.0), (2, 0.0), (3, 0.2)])
def test_gradients_at_zero_equal_and_opposite_rows(kernel, depth, bias_variance):
    """JAX and PyTorch agree with one another, and with differences where there is a derivative."""
    x = np.array([[1.0, 0.4, -0.3], [0.3, -1.0, 0.8], [-0.5, 0.2, 0.9]])[[0, 0, 1, 0, 1, 2]]
    x *= np.array([0.0, 1.0, 1.0, 1.0, -1.0, 1.0])[:, None]
    with jax.enable_x64(True):
        for name in HOMOGENEOUS:

            def value(values, name=name):
                gram = KERNELS[kernel](values, activation=name, depth=depth, bias_variance=bias_variance)
                return kc.nc1(gram, [0, 1, 0, 1, 0, 1]).ratio

            of_jax = np.asarray(jax.grad(value)(jnp.asarray(x)))
            inputs = torch.tensor(x, requires_grad=True)
            value(inputs).backward()
            of_torch = inputs.grad.numpy()
            assert np.isfinite(of_jax).all(), name
            size = max(np.abs(of_torch).max(), 1e-3)
            np.testing.assert_allclose(of_jax, of_torch, rtol=0, atol=1e-9 * size, err_msg=name)
            step = np.zeros_like(x)
            step[5, 1] = 1e-5  # a row that is like no other
            slope = (value(x + step) - value(x - step)) / 2e-5
            assert of_torch[5, 1] == pytest.approx(slope, rel=1e-6, abs=1e-7 * size), name


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_example_of_a_zero_row(kernel):
    """NC1 of ReLU: derivatives of a smooth row beside a zero one are those of differences, in both libraries."""
    x = np.array([[0.0, 0.0, 0.0], [1.0, 0.4, -0.3], [0.3, -1.0, 0.8], [-0.5, 0.2, 0.9]])

    def value(values):
        return kc.nc1(KERNELS[kernel](values, activation="relu"), [0, 0, 1, 1]).ratio

    with jax.enable_x64(True):
        of_jax = np.asarray(jax.grad(value)(jnp.asarray(x)))
        compiled = np.asarray(jax.jit(jax.grad(value))(jnp.asarray(x)))
    inputs = torch.tensor(x, requires_grad=True)
    value(inputs).backward()
    slopes = np.zeros_like(x)
    for index in np.ndindex(3, 3):
        step = np.zeros_like(x)
        step[index[0] + 1, index[1]] = 1e-5
        slopes[index[0] + 1, index[1]] = (value(x + step) - value(x - step)) / 2e-5
    for found in (of_jax, compiled, inputs.grad.numpy()):
        np.testing.assert_allclose(found[1:], slopes[1:], rtol=1e-6, atol=1e-7 * np.abs(slopes).max())


IMAGES = np.random.default_rng(7).normal(size=(4, 5, 5, 2))
VECTORS = np.random.default_rng(8).normal(size=(6, 3))
#: Kernels that are homogeneous, with the powers of x and of weight_variance that they go with.
SMALL = {
    "linear": (lambda **o: kc.kernels.Linear(**o), VECTORS, 2, 1),
    "nngp": (lambda **o: kc.kernels.NNGP("relu", **o), VECTORS, 2, 1),
    "output": (lambda **o: kc.kernels.NNGP("relu", kind="output", **o), VECTORS, 2, 2),
    "deep output": (lambda **o: kc.kernels.NNGP("abs", kind="output", depth=2, **o), VECTORS, 2, 3),
    "ntk": (lambda **o: kc.kernels.NTK("relu", **o), VECTORS, 2, 2),
    "cubes": (lambda **o: kc.kernels.NNGP("rectified_monomial(3)", **o), VECTORS, 6, 3),
    "conv": (lambda **o: kc.kernels.ConvNNGP(1, activation="relu", **o), IMAGES, 2, 1),
    "conv ntk": (lambda **o: kc.kernels.ConvNTK(1, activation="relu", **o), IMAGES, 2, 2),
    "conv cubes": (lambda **o: kc.kernels.ConvNNGP(1, activation="rectified_monomial(3)", **o), IMAGES, 6, 3),
    "conv linear": (
        lambda **o: kc.kernels.ConvNNGP([kc.kernels.Conv(3), kc.kernels.Flatten()], **o),
        IMAGES,
        2,
        1,
    ),
    "conv linear gap": (
        lambda **o: kc.kernels.ConvNNGP([kc.kernels.Conv(3), kc.kernels.GlobalAvgPool()], **o),
        IMAGES,
        2,
        1,
    ),
}
REFUSED = "fewer digits in their precision|or a number from"


@pytest.mark.parametrize("name", SMALL)
def test_a_kernel_that_underflows_is_refused(name):
    """As x or the weights fall by powers of two the kernel does by exact powers of two, until it is refused."""
    make, x, of_x, of_weight = SMALL[name]
    plain = make()(x)
    for what, power in (("x", of_x), ("weight_variance", of_weight)):
        refused = 0
        for exponent in range(0, -1100, -40):
            scale = 2.0 ** (exponent // 2)
            kernel = make() if what == "x" else make(weight_variance=scale)
            given = scale * x if what == "x" else x
            attempts = (
                (lambda kernel=kernel, given=given: kernel(given), plain),
                (lambda kernel=kernel, given=given: kernel(given, given[:2])[:, :2], plain[:, :2]),
                (lambda kernel=kernel, given=given: kernel.pairs(given, given), np.diag(plain)),
                (lambda kernel=kernel, given=given: kernel.diagonal(given), np.diag(plain)),
            )
            for attempt, known in attempts:
                try:
                    found = attempt()
                except kc.InputError as error:
                    assert "fewer digits in their precision" in str(error) or "or a number from" in str(error)  # noqa: PT017
                    refused += 1
                    continue
                expected = known * scale**power
                np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-10 * np.abs(expected).max())
                assert np.abs(expected).max() > 0
        assert refused % len(attempts) == 0
        assert refused or what == "weight_variance"


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("name", SMALL)
def test_of_other_libraries_too(name, library):
    make, x, _, _ = SMALL[name]
    single = (1e-22 * x).astype(np.float32)
    single = torch.tensor(single) if library == "torch" else jnp.asarray(single)
    with pytest.raises(kc.InputError, match=REFUSED):
        make()(single)


def test_digits_that_a_large_weight_would_bring_back_are_refused():
    for kernel in (kc.kernels.Linear, lambda **o: kc.kernels.NNGP("relu", **o)):
        with pytest.raises(kc.InputError, match="fewer digits"):
            kernel(weight_variance=1e200)(1e-160 * VECTORS)
        with pytest.raises(kc.InputError, match="fewer digits"):
            kernel(weight_variance=1e200, bias_variance=1e-120)(1e-160 * VECTORS)
        beside = kernel(bias_variance=1.0)
        np.testing.assert_allclose(beside(1e-170 * VECTORS), beside(0.0 * VECTORS), rtol=1e-15)
    zero = np.vstack([VECTORS[:2], np.zeros(3)])
    assert (kc.kernels.Linear()(zero)[2] == 0.0).all()


@pytest.mark.parametrize(
    "kernel",
    [
        *(
            kc.kernels.Gaussian(0.1),
            kc.kernels.Gaussian(0.01),
            kc.kernels.Laplace(1e-3),
            kc.kernels.Gaussian(1e-100),
        ),
        *(kc.kernels.NNGP(a, depth=2) for a in ("sin(1)", "cos", "gelu", "elu", "rectified_monomial(2)")),
        *(kc.kernels.NTK("sin(1, 0.7, 0.4)"), kc.kernels.NTK("erf", depth=2)),
    ],
    ids=str,
)
def test_whoever_raises_on_underflow_gets_the_same(kernel):
    """Underflow that is harmless is the library's own affair, whatever numpy.seterr says."""
    data = kc.data.gaussian_classes(24, 3)
    x = np.vstack([data.x, 100.0 * data.x[:3], np.zeros(3)])
    labels = np.append(data.labels, [*data.labels[:3], 0])
    calls = [
        lambda: kernel(x),
        lambda: kernel.pairs(x, x[::-1]),
        lambda: kc.streamed_nc1(x, labels, kernel=kernel).ratio,
        lambda: kc.sampled_nc1(x, labels, kernel=kernel, pairs=200).ratio,
        lambda: kc.nc1(kernel(x), labels).ratio,
    ]
    if isinstance(kernel, kc.kernels.Gaussian | kc.kernels.Laplace):
        options = {"kernel": kernel, "ridge": 0.1}
        machine = {"depth": 2, "raise_on_failure": False, **options}
        calls.append(lambda: kc.deep_rfm(data.x, data.targets, **machine).nc1)
        calls.append(lambda: kc.rfm.kernel_agop(data.x, data.targets, **options))
    for call in calls:
        with np.errstate(all="ignore"):
            known = _outcome(call)
        with np.errstate(all="raise"):
            found = _outcome(call)
        np.testing.assert_array_equal(found, known)


def _outcome(call):
    try:
        return call()
    except kc.InputError as error:
        return str(error)


@pytest.mark.parametrize("activation", ["relu", "erf", "sin(1)"])
def test_whoever_raises_on_underflow_gets_the_same_solution(activation):
    data = kc.data.gaussian_classes(16, 3)
    images = kc.kernels.ConvNNGP(2, activation=activation)
    calls = [lambda: images(30.0 * IMAGES)]
    for depth in (1, 2):
        calls.append(
            lambda depth=depth: (
                kc.solve_adaptive(
                    10.0 * data.x, data.targets, activation=activation, noise_variance=1e-2, depth=depth
                ).gram
            )
        )
    for call in calls:
        known = call()
        with np.errstate(all="raise"):
            np.testing.assert_array_equal(call(), known)


@pytest.mark.parametrize("kernel", [kc.kernels.NNGP, kc.kernels.NTK])
def test_a_deep_rfm_has_no_scale_of_its_kernel_or_refuses_it(kernel):
    data = kc.data.gaussian_classes(20, 3)
    known = kc.deep_rfm(data.x, data.targets, kernel=kernel("relu"), depth=1).nc1
    found = kc.deep_rfm(data.x, data.targets, kernel=kernel("relu", weight_variance=1e-60), depth=1).nc1
    np.testing.assert_allclose(found, known, rtol=1e-6)
    for weight_variance in (1e-160, 1e160):
        bad = kernel("relu", weight_variance=weight_variance)
        with pytest.raises(kc.InputError, match="have lost digits"):
            kc.deep_rfm(data.x, data.targets, kernel=bad, depth=1)
        with pytest.raises(kc.InputError, match="have lost digits"):
            kc.rfm.kernel_agop(data.x, data.targets, kernel=bad, ridge=1e-3)
