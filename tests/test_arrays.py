"""Arrays of other libraries: the same numbers, of the same kind, and derivatives."""

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import kernel_collapse as kc
import problems
from kernel_collapse import _arrays

METRICS = (
    "nc1",
    "within",
    "between",
    "nc1_pinv",
    "cdnv",
    "nc2_norms",
    "nc2_angles",
    "nc2_etf",
    "nc3",
    "nc3_cosine",
    "nc4",
    "ncm_accuracy",
    "accuracy",
)
LABELS = ["a", "b", "c"] * 8
TARGETS = np.eye(3)[[0, 1, 2] * 8]


@pytest.fixture
def x(rng):
    return rng.normal(size=(24, 5)) + np.repeat(rng.normal(size=(1, 3, 5)) * 2, 8, axis=0).reshape(24, 5)


LIBRARIES = {
    "torch": lambda values, dtype: torch.asarray(values, dtype=getattr(torch, dtype)),
    "jax": lambda values, dtype: jnp.asarray(values, dtype=dtype),
    "strict": lambda values, dtype: array_api_strict.asarray(values, dtype=getattr(array_api_strict, dtype)),
}
CASES = [("torch", "float64"), ("torch", "float32"), ("jax", "float32"), ("strict", "float64")]


def chain(x, targets, kernel, **options):
    gram = kernel(x, **options)
    return gram, kc.collapse(gram, LABELS, targets=targets, noise_variance=0.1)


@pytest.mark.parametrize(("library", "dtype"), CASES)
@pytest.mark.parametrize("kernel", [kc.nngp, kc.ntk])
@pytest.mark.parametrize("activation", ["erf", "relu", "identity"])
@pytest.mark.parametrize("depth", [1, 3])
def test_one_chain_gives_the_numbers_of_numpy(x, library, dtype, kernel, activation, depth):
    make = LIBRARIES[library]
    options = {"activation": activation, "depth": depth, "bias_variance": 0.1}
    mine = make(x, dtype)
    gram, found = chain(mine, make(TARGETS, dtype), kernel, **options)
    expected_gram, expected = chain(x, TARGETS, kernel, **options)
    # Next to the diagonal the angle of ReLU's derivative keeps half of the digits; no pair here is that close.
    tolerance = 1e-12 if dtype == "float64" else 1e-6 * (depth + 1)
    assert type(gram) is type(mine)
    assert gram.dtype == mine.dtype
    values = _arrays.read(gram)
    np.testing.assert_allclose(values, expected_gram, rtol=0, atol=tolerance * np.abs(expected_gram).max())
    np.testing.assert_array_equal(values, values.T)
    for name in METRICS:
        value = getattr(found, name)
        assert type(value) is type(mine), name
        # A trace is a difference of entries, a hundredth of them here.
        assert float(value) == pytest.approx(
            getattr(expected, name), rel=300 * tolerance, abs=300 * tolerance
        )
    cross = kernel(make(x[:5], dtype), mine, **options)
    np.testing.assert_allclose(
        _arrays.read(cross)[:, 5:],
        expected_gram[:5, 5:],
        rtol=0,
        atol=tolerance * np.abs(expected_gram).max(),
    )


@pytest.mark.parametrize("library", ["torch", "strict"])
def test_features_and_held_out(x, rng, library):
    def make(values):
        return LIBRARIES[library](values, "float64")

    weights, test = rng.normal(size=(3, 5)), rng.normal(size=(6, 5))
    test_labels = LABELS[:6]
    pairs = [
        (
            kc.collapse_from_features(make(x), LABELS, classifier=make(weights)),
            kc.collapse_from_features(x, LABELS, classifier=weights),
        ),
        (
            kc.held_out_collapse_from_features(make(x), LABELS, make(test), test_labels),
            kc.held_out_collapse_from_features(x, LABELS, test, test_labels),
        ),
        (
            kc.held_out_collapse(
                make(x @ x.T), LABELS, make(test @ x.T), make((test**2).sum(axis=1)), test_labels
            ),
            kc.held_out_collapse(x @ x.T, LABELS, test @ x.T, (test**2).sum(axis=1), test_labels),
        ),
    ]
    for found, expected in pairs:
        for name in METRICS:
            assert float(getattr(found, name)) == pytest.approx(
                getattr(expected, name), rel=1e-10, nan_ok=True
            )


def directional(function, x, direction, step=1e-5):
    return (function(x + step * direction) - function(x - step * direction)) / (2 * step)


@pytest.mark.parametrize("kernel", [kc.nngp, kc.ntk])
@pytest.mark.parametrize("activation", ["erf", "relu"])
@pytest.mark.parametrize("metric", ["nc1", "nc1_pinv", "cdnv", "nc2_etf"])
def test_gradient_by_torch_equals_finite_differences(x, rng, kernel, activation, metric):
    def value(inputs):
        return getattr(kc.collapse(kernel(inputs, activation=activation, depth=2), LABELS), metric)

    direction = rng.normal(size=x.shape)
    inputs = torch.tensor(x, requires_grad=True)
    value(inputs).backward()
    assert torch.isfinite(inputs.grad).all()
    expected = directional(value, x, direction)
    assert float((inputs.grad * torch.tensor(direction)).sum()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kernel", [kc.nngp, kc.ntk])
@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_gradient_by_jax_equals_finite_differences_and_compiles(x, rng, kernel, activation):
    def value(inputs):
        return kc.nc1(kernel(inputs, activation=activation, depth=2), LABELS).ratio

    direction = rng.normal(size=x.shape)
    with jax.enable_x64(True):
        inputs = jnp.asarray(x)
        gradient = jax.jit(jax.grad(value))(inputs)
        assert np.isfinite(gradient).all()
        assert float((gradient * direction).sum()) == pytest.approx(
            directional(value, x, direction), rel=1e-6
        )
        assert float(jax.jit(value)(inputs)) == pytest.approx(value(x), rel=1e-12)
        whole = jax.jit(lambda k: kc.collapse(k, LABELS, targets=jnp.asarray(TARGETS)).nc3)(
            kernel(inputs, activation=activation)
        )
        gram = kernel(x, activation=activation)
        assert float(whole) == pytest.approx(kc.collapse(gram, LABELS, targets=TARGETS).nc3, rel=1e-8)


def test_gradient_at_duplicated_rows_and_zero_is_finite(x):
    x[3], x[6] = x[0], 0.0
    inputs = torch.tensor(x, requires_grad=True)
    kc.nc1(kc.ntk(inputs, activation="relu", depth=2), LABELS).ratio.backward()
    assert torch.isfinite(inputs.grad).all()


def test_numpy_keeps_float32_only_where_asked(x):
    single = x.astype(np.float32)
    assert kc.nngp(single).dtype == np.float64
    gram = kc.ntk(single, activation="relu", dtype="float32")
    assert gram.dtype == np.float32
    expected = kc.ntk(single.astype(float), activation="relu")
    np.testing.assert_allclose(gram, expected, atol=2e-6 * expected.max(), rtol=0)
    assert kc.nngp(torch.asarray(single), dtype="float64").dtype == torch.float64


def test_means_that_coincide_are_a_reason_in_every_library():
    value = kc.nc1(torch.ones((4, 4)), [0, 0, 1, 1])
    assert bool(torch.isnan(value.ratio))
    assert "coincide" in value.reason
    assert np.isnan(jax.jit(lambda k: kc.nc1(k, [0, 0, 1, 1]).ratio)(jnp.ones((4, 4))))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: kc.nngp(torch.asarray(x), x), "x is an array of PyTorch and x_other of NumPy"),
        (lambda x: kc.nngp(torch.asarray(x), jnp.asarray(x)), "PyTorch and x_other of JAX"),
        (lambda x: kc.nngp(torch.asarray(x), torch.asarray(x).float()), "float64 and x_other of float32"),
        (lambda x: kc.ntk(torch.asarray(x).int()), "of type torch.int32, expected float32 or float64"),
        (lambda x: kc.ntk(torch.asarray(x).half()), "expected float32 or float64"),
        (lambda x: kc.nngp(torch.asarray(x)[0]), "expected two dimensions"),
        (lambda x: kc.nngp(torch.full((3, 2), torch.nan)), "holds nan in row 0, column 0"),
        (lambda x: kc.nngp(x, dtype="float16"), "dtype is 'float16', expected one of float64, float32"),
        (lambda x: kc.nngp(torch.full((3, 2), 1e30)), "the kernel is not finite"),
        (lambda x: kc.nc1(torch.asarray(x @ x.T), LABELS[:3]), "24 rows and there are 3 labels"),
        (lambda x: kc.nc1(torch.asarray(x @ x.T).triu(), LABELS), "not symmetric"),
        (lambda x: kc.collapse(torch.asarray(x @ x.T), LABELS, targets=TARGETS), "targets of NumPy"),
        (lambda x: jax.jit(lambda y: kc.nc1(jnp.eye(4), y).ratio)(jnp.arange(4)), "labels are traced"),
    ],
)
def test_bad_input(x, call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call(x)


@pytest.mark.parametrize(
    ("library", "dtype"), [("torch", "float64"), ("jax", "float64"), ("strict", "float64")]
)
@pytest.mark.parametrize("kernel", [kc.nngp, kc.ntk])
@pytest.mark.parametrize("activation", [*problems.CLOSED, "mish", "sigmoid", "silu", "softplus", "tanh"])
def test_every_activation_in_other_libraries(x, library, dtype, kernel, activation):
    options = {"activation": activation, "depth": 2, "weight_variance": 0.8}
    expected = kernel(0.5 * x, **options)
    with jax.enable_x64(True):
        gram = kernel(0.5 * LIBRARIES[library](x, dtype), **options)
        found = _arrays.read(gram)
    # beside the diagonal the angle keeps half of the digits, where no pair is looked at by itself
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize(
    "activation", ["gelu", "rbf", "polynomial", "sin", "rectified_monomial", "tanh", "mish"]
)
def test_gradients_through_other_activations(x, activation):
    x = 0.3 * x
    phi = kc.activations.get(activation)
    if activation in kc.activations.names(expanded=True):
        phi = kc.activations.expand(phi, name=activation, orders=100)

    def ratio(values):
        return kc.nc1(kc.ntk(values, activation=phi, weight_variance=0.8), LABELS).ratio

    with jax.enable_x64(True):
        of_jax = np.asarray(jax.grad(ratio)(jnp.asarray(x)))
    values = torch.tensor(x, requires_grad=True)
    ratio(values).backward()
    of_torch = values.grad.numpy()
    np.testing.assert_allclose(of_jax, of_torch, rtol=0, atol=1e-10 * np.abs(of_torch).max())
    for i, j in ((0, 0), (7, 3), (23, 4)):
        step = np.zeros_like(x)
        step[i, j] = 1e-4
        f = [ratio(x + s * step) for s in (-2, -1, 1, 2)]
        slope = (8 * (f[2] - f[1]) - (f[3] - f[0])) / 12e-4
        assert of_torch[i, j] == pytest.approx(slope, abs=1e-6 * np.abs(of_torch).max())


def test_an_expansion_under_a_tracer_wants_its_orders(x):
    def ratio(values):
        return kc.nc1(kc.nngp(values, activation="tanh"), LABELS).ratio

    with pytest.raises(
        ValueError, match="chosen from values that JAX does not know while it traces, expected orders="
    ):
        jax.jit(ratio)(jnp.asarray(x))
    with pytest.raises(ValueError, match="clip has kinks, whose dual is computed by NumPy alone"):
        kc.nngp(torch.tensor(x), activation=kc.activations.expand(lambda u: np.clip(u, -1, 1), name="clip"))


KERNELS = [
    kc.kernels.Linear(),
    kc.kernels.Laplace(1.0),
    kc.kernels.Gaussian(1.0),
    kc.kernels.NNGP("relu", depth=2),
    kc.kernels.NTK("erf"),
    kc.kernels.ConvNNGP(1, activation="relu"),
    kc.kernels.ConvNTK(2, readout="gap"),
]


def of_two_kernels():
    """Return functions of two arrays of samples of 4 numbers, of which either may be fixed."""
    for kernel in KERNELS:
        shape = (-1, 2, 2, 1) if isinstance(kernel, kc.kernels.ConvNNGP | kc.kernels.ConvNTK) else (-1, 4)

        def between(x, y, kernel=kernel, shape=shape):
            return kernel(x.reshape(shape), y.reshape(shape)).sum()

        def of_pairs(x, y, kernel=kernel, shape=shape):
            return kernel.pairs(x.reshape(shape), y.reshape(shape)).sum()

        yield pytest.param(between, id=repr(kernel))
        yield pytest.param(of_pairs, id=f"{kernel!r}.pairs")


def of_two_in_collapse():
    """Return metrics of features and of a second array, of which either may be fixed."""
    labels = [0, 1, 0, 1, 0, 1]

    def of_gram(x, y):
        return kc.collapse(x @ x.T, labels, dual_weights=y[:, :2]).nc3

    def of_targets(x, y):
        return kc.collapse(x @ x.T, labels, targets=y[:, :2], noise_variance=0.1).nc3

    def of_features(x, y):
        return kc.collapse_from_features(x, labels, classifier=y[:2]).nc3

    def held_out_features(x, y):
        return kc.held_out_collapse_from_features(x, labels, y, labels).nc1

    def held_out_of_gram(x, y):
        return kc.held_out_collapse(x @ x.T, labels, y @ x.T, (y**2).sum(axis=1), labels).nc1

    return [of_gram, of_targets, of_features, held_out_features, held_out_of_gram]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [*of_two_kernels(), *of_two_in_collapse()])
def test_one_array_may_be_traced_beside_a_fixed_one(value, side, rng):
    """A traced array is on no device yet, and of fixed ones nothing is known that jit computes."""
    x, y, direction = rng.normal(size=(3, 6, 4))

    def of_one(moved, make=np.asarray):
        return value(*((moved, make(y)) if side == 0 else (make(x), moved)))

    start = (x, y)[side]
    with jax.enable_x64(True):
        inputs = jnp.asarray(start)

        def traced(moved):
            return of_one(moved, jnp.asarray)

        gradient = np.asarray(jax.grad(traced)(inputs))
        np.testing.assert_allclose(
            np.asarray(jax.jit(jax.grad(traced))(inputs)), gradient, rtol=1e-9, atol=1e-11
        )
        assert float(jax.jit(traced)(inputs)) == pytest.approx(float(of_one(start)), rel=1e-10)
        batch = jax.vmap(traced)(jnp.stack([inputs, inputs + 0.1]))
    assert np.asarray(batch) == pytest.approx([float(of_one(start)), float(of_one(start + 0.1))], rel=1e-10)
    expected = directional(of_one, start, direction)
    assert (gradient * direction).sum() == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_a_traced_array_beside_one_of_another_library_or_precision_is_refused(x):
    for other in (x, jnp.asarray(x, dtype=jnp.float16)):
        with pytest.raises(ValueError, match="one library, device and precision"):
            jax.grad(lambda z, other=other: kc.nngp(z, other).sum())(jnp.asarray(x, dtype=jnp.float32))
