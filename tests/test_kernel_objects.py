"""Kernels as values: the same bits as the functions, the laws of a kernel, and one's own on every road."""

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import FrozenInstanceError, dataclass
from multiprocessing import get_context

import jax
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import SpectralClustering
from sklearn.decomposition import KernelPCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.svm import SVC

import kernel_collapse as kc
import kernel_collapse.theory
from kernel_collapse import measure
from kernel_collapse.kernels import NNGP, NTK, Gaussian, Kernel, Laplace, Linear, Precomputed
from kernel_collapse.report import measurement

FUNCTIONS = {NNGP: kc.nngp, NTK: kc.ntk}
NAMES = {NNGP: "nngp", NTK: "ntk"}
OPTIONS = [
    {"activation": "erf"},
    {"activation": "relu", "depth": 3, "weight_variance": 1.3, "bias_variance": 0.2},
    {"activation": "gelu", "depth": 2},
]
#: Errors in units of the largest entry.
ACCURACY = 1e-13


@dataclass(frozen=True)
class Laplacian(Kernel):
    """exp(-|x - y| / length), by its three methods."""

    length: float = 2.0

    def tile(self, x, y):
        return np.exp(-np.sqrt(((x[:, None] - y[None]) ** 2).sum(axis=2)) / self.length)

    def pairs(self, left, right):
        return np.exp(-np.sqrt(((left - right) ** 2).sum(axis=1)) / self.length)

    def diagonal(self, x):
        return np.ones(len(x))


@dataclass(frozen=True)
class OneMethod(Kernel):
    """The same kernel, by the one method that is needed."""

    length: float = 2.0

    def tile(self, x, y):
        return Laplacian(self.length).tile(x, y)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    labels = rng.integers(3, size=290)
    x = rng.normal(size=(290, 5)) + 2.0 * rng.normal(size=(3, 5))[labels]
    x[7], x[8], x[9] = x[20], -x[20], 0.0
    return kc.data.from_arrays(x, labels)


def own(data):
    """Every kernel that is no network's, with the samples that it takes."""
    gram = Laplacian()(data.x)
    samples = np.arange(len(data.x), dtype=float)[:, None]
    kernels = [Linear(bias_variance=0.1), Laplace(2.0), Gaussian(1.5), Laplacian(), OneMethod()]
    return [*((kernel, data.x) for kernel in kernels), (Precomputed(gram), samples)]


def arrays(data, compiled=True):
    """The samples of each library; JAX compiles every step, which is done of one kernel alone."""
    found = [data.x, torch.asarray(data.x[:60])]
    with jax.enable_x64(True):
        return [*found, jax.numpy.asarray(data.x[:60])] if compiled else found


def same(found, expected):
    assert type(found) is type(expected)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


# -- a function makes an object and calls it


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("options", OPTIONS)
def test_a_gram_matrix_is_the_functions_to_the_bit(kind, options, data):
    kernel, function = kind(**options), FUNCTIONS[kind]
    with jax.enable_x64(True):
        for x in arrays(data, options["activation"] == "relu"):
            same(kernel(x), function(x, **options))
            same(kernel(x[:40], x), function(x[:40], x, **options))
    same(
        kind(**options, dtype="float32")(data.x),
        function(data.x, dtype="float32", **options),
    )


@pytest.mark.parametrize("options", OPTIONS)
def test_the_output_kernel_is_the_layer_after(options, data):
    same(NNGP(**options, kind="output")(data.x), kc.nngp(data.x, kind="output", **options))
    features = NNGP(**options)(data.x)
    expected = options.get("weight_variance", 1.0) * features + options.get("bias_variance", 0.0)
    np.testing.assert_allclose(NNGP(**options, kind="output")(data.x), expected, rtol=1e-15)


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("options", OPTIONS)
def test_every_road_takes_a_name_or_an_object(kind, options, data):
    x, labels, kernel, name = data.x, data.labels, kind(**options), NAMES[kind]
    assert kc.streamed_nc1(x, labels, kernel=kernel) == kc.streamed_nc1(x, labels, kernel=name, **options)
    assert kc.streamed_nc1(torch.asarray(x), labels, kernel=kernel) == kc.streamed_nc1(
        x, labels, kernel=kernel
    )
    found = [
        kc.streamed_collapse(x, labels, tile=64, dual_weights=np.eye(290, 3), **given)
        for given in ({"kernel": kernel}, {"kernel": name} | options)
    ]
    assert found[0].nc1 == found[1].nc1
    assert found[0].nc3 == found[1].nc3
    sampled = [
        kc.sampled_nc1(x, labels, pairs=2000, **given)
        for given in ({"kernel": kernel}, {"kernel": name} | options)
    ]
    assert sampled[0] == sampled[1]


def test_several_kernels_share_a_pass(data):
    kernels = (NNGP("relu"), NTK("relu"), Laplacian(), NTK("erf"))
    found = kc.streamed_nc1(data.x, data.labels, kernel=kernels, tile=64)
    assert tuple(found) == kernels
    named = kc.streamed_nc1(data.x, data.labels, kernel=("nngp", "ntk"), activation="relu", tile=64)
    assert [found[kernel] for kernel in kernels[:2]] == list(named.values())
    for kernel, value in found.items():
        assert value.ratio == pytest.approx(kc.nc1(kernel(data.x), data.labels).ratio, rel=1e-12)


def test_random_features_and_expectations_take_an_object(data):
    options = {"activation": "relu", "weight_variance": 1.3}
    assert kc.random_feature_nc1(data.x, data.labels, features=64, kernel=NNGP(**options)) == (
        kc.random_feature_nc1(data.x, data.labels, features=64, **options)
    )
    mixture = kc.theory.gaussian_mixture(8)
    for function in (kc.theory.expected_nc1, kc.theory.far_separated_nc1, kc.theory.large_dimension_nc1):
        for kind, name in NAMES.items():
            assert function(mixture, kernel=kind(**options)) == function(mixture, kernel=name, **options)


# -- the laws of a kernel


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("options", [*OPTIONS, {"activation": "step", "bias_variance": 0.3}])
def test_blocks_pairs_and_diagonal_are_entries(kind, options, data):
    kernel = kind(**options)
    with jax.enable_x64(True):
        for x in arrays(data, options["activation"] == "relu"):
            check_laws(kernel, x, ACCURACY)


def test_laws_of_other_kernels(data):
    for kernel, x in own(data):
        check_laws(kernel, x, ACCURACY)


def test_laws_of_a_linear_kernel_of_any_library(data):
    with jax.enable_x64(True):
        for x in arrays(data):
            check_laws(Linear(weight_variance=2.0), x, ACCURACY)
    np.testing.assert_allclose(
        Linear()(data.x), kc.nngp(data.x, activation="identity"), rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize("kernel", [Laplace(2.0), Gaussian(1.5)])
def test_laws_of_radial_kernels_of_any_library(kernel, data):
    """Libraries other than NumPy have distances from inner products, to half of the digits; so do they with slopes."""
    with jax.enable_x64(True):
        for x in arrays(data)[1:]:
            check_laws(kernel, x, 1e-7)
            np.testing.assert_allclose(np.asarray(kernel(x)), kernel(data.x[:60]), atol=1e-7)
    points = torch.tensor(data.x[:30], requires_grad=True)
    kc.nc1(kernel(points), data.labels[:30]).ratio.backward()
    assert torch.isfinite(points.grad).all()
    assert kernel(data.x).diagonal().tolist() == [1.0] * 290
    assert kernel(1e3 * data.x)[7, 20] == 1.0  # equal rows
    with pytest.raises(ValueError, match="bandwidth is 0"):
        type(kernel)(0.0)
    assert type(kernel)(2.0, dtype="float32")(data.x).dtype == np.float32


@pytest.mark.parametrize(
    "kernel",
    [
        *(Laplace(2.0), Gaussian(1.5), Linear(weight_variance=2.0, bias_variance=0.3)),
        *(NNGP("erf", depth=3), NNGP("relu", depth=2, weight_variance=1.5, bias_variance=0.2, kind="output")),
        *(NNGP("gelu"), NNGP("tanh", depth=2)),
        *(
            NTK("relu", depth=3, bias_variance=0.2),
            NTK("leaky_relu(0.1)"),
            NTK("erf", depth=2),
            NTK("exp(1, 0.3)"),
        ),
        *(NTK("cos", depth=2), NTK("hermite(3)"), NTK("identity", depth=2), NTK("scaled_erf(0.5, 0.4, 0.5)")),
        NTK("rectified_monomial(3)", depth=2),
    ],
    ids=str,
)
def test_slopes_are_derivatives(kernel):
    q1, q2, c, h = np.array([1.0, 2.0]), np.array([1.5, 0.7]), np.array([0.3, -0.9]), 1e-5
    in_q, in_c = kernel.slopes(q1, q2, c)
    difference = kernel.of_products(q1 + h, q2, c) - kernel.of_products(q1 - h, q2, c)
    np.testing.assert_allclose(in_q, difference / (2 * h), atol=1e-9)
    difference = kernel.of_products(q1, q2, c + h) - kernel.of_products(q1, q2, c - h)
    np.testing.assert_allclose(in_c, difference / (2 * h), atol=1e-9)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", ["features", "output", "tangent"])
def test_a_kernel_of_products_is_that_of_rows(options, kind, data):
    kernel, x = NTK(**options) if kind == "tangent" else NNGP(**options, kind=kind), data.x[20:60]
    lengths, products = (x * x).mean(axis=1), x @ x.T / 5
    np.testing.assert_allclose(
        kernel.of_products(lengths[:, None], lengths, products), kernel(x), atol=1e-7 * kernel(x).max()
    )


def check_laws(kernel, x, accuracy):
    gram = np.asarray(kernel(x))
    np.testing.assert_array_equal(gram, gram.T)
    assert np.linalg.eigvalsh(gram)[0] > -1e-11 * np.abs(gram).max() * len(gram)
    close = {"rtol": 0, "atol": accuracy * np.abs(gram).max()}
    np.testing.assert_allclose(np.asarray(kernel.diagonal(x)), np.diag(gram), **close)
    np.testing.assert_allclose(np.asarray(kernel.tile(x[:40], x[10:50])), gram[:40, 10:50], **close)
    np.testing.assert_allclose(np.asarray(kernel(x[:40], x[10:50])), gram[:40, 10:50], **close)
    np.testing.assert_allclose(np.asarray(kernel.pairs(x[:40], x[10:50])), np.diag(gram, 10)[:40], **close)
    assert kernel(x[3], x[11]) == pytest.approx(gram[3, 11], rel=1e-12)


def test_single_precision_is_that_of_a_dtype(data):
    kernel, double = NTK("erf", depth=2, dtype="float32"), NTK("erf", depth=2)
    for values in (kernel(data.x), kernel.pairs(data.x, data.x), kernel.tile(data.x, data.x)):
        assert values.dtype == np.float32
    check_laws(kernel, data.x, 1e-5)
    for road in (kc.streamed_nc1, kc.sampled_nc1):
        given = {"pairs": 10**6} if road is kc.sampled_nc1 else {}
        found = road(data.x, data.labels, kernel=kernel, **given)
        assert found.ratio != road(data.x, data.labels, kernel=double, **given).ratio
        assert found.ratio == pytest.approx(kc.nc1(double(data.x), data.labels).ratio, rel=1e-4)


# -- a kernel of one's own


def test_every_road_of_a_kernel_of_ones_own_gives_one_number(data):
    for kernel, x in own(data):
        exact = kc.collapse(kernel(x), data.labels)
        streamed = kc.streamed_collapse(x, data.labels, kernel=kernel, tile=64)
        for name in ("nc1", "nc1_pinv", "cdnv", "nc2_norms", "nc2_etf", "ncm_accuracy"):
            assert getattr(streamed, name) == pytest.approx(getattr(exact, name), rel=1e-10), (kernel, name)
        every = kc.sampled_nc1(x, data.labels, kernel=kernel, pairs=290 * 289 // 2)
        assert every.ratio == pytest.approx(exact.nc1, rel=1e-11)
        some = kc.sampled_nc1(x, data.labels, kernel=kernel, pairs=5000, confidence=0.9999)
        assert some.low < exact.nc1 < some.high


def test_a_function_does_what_it_did(data):
    kernel = Laplacian()
    block = kc.streamed_nc1(data.x, data.labels, kernel=kernel.tile, tile=64)
    assert block == kc.streamed_nc1(data.x, data.labels, kernel=kernel, tile=64)
    pairs = kc.sampled_nc1(data.x, data.labels, kernel=kernel.pairs, pairs=2000, activation="relu")
    assert pairs == kc.sampled_nc1(data.x, data.labels, kernel=kernel, pairs=2000)


def test_measure_takes_kernels_beside_names(data):
    train, test = kc.data.split(data, 0.2, seed=0)
    kernels = [Laplacian(), NTK("relu", depth=2), NNGP("erf")]
    what = measure.specify(["nngp", *kernels], ["erf"])
    table = measure.measure(train, what, test=test)
    shown = [*dict.fromkeys(table["kernel"])]
    assert shown == ["data", "NNGP", "Laplacian(length=2.0)", "NTK('relu', depth=2)", "NNGP('erf')"]
    for kernel in kernels:
        rows = table[table["kernel"] == repr(kernel)].set_index("samples")
        expected = kc.collapse(kernel(train.x), train.labels, targets=train.targets)
        held_out = kc.held_out_collapse(
            kernel(train.x),
            train.labels,
            kernel(test.x, train.x),
            kernel.diagonal(test.x),
            test.labels,
            targets=train.targets,
        )
        for samples, found in (("training", expected), ("held-out", held_out)):
            assert rows.loc[samples, "NC1"] == found.nc1
            assert rows.loc[samples, "accuracy"] == found.accuracy
    named, given = (
        table[table["kernel"] == name].drop(columns=["kernel", "activation", "depth"]) for name in shown[1::3]
    )
    np.testing.assert_allclose(
        named.iloc[:, 1:-1].astype(float), given.iloc[:, 1:-1].astype(float), rtol=1e-9
    )
    for method in ("streamed", "sampled"):
        other = measure.measure(train, kernels, method=method).set_index("kernel")
        for kernel in kernels:
            exact = kc.nc1(kernel(train.x), train.labels).ratio
            accuracy = 1e-10 if method == "streamed" else 0.05
            assert other.loc[repr(kernel), "NC1"] == pytest.approx(exact, rel=accuracy)
    assert all(measure.cost(w, train, m) > 0 for w in what for m in ("dense", "streamed", "sampled"))
    assert "data" in measurement.figure(table, "data").name


def test_a_kernel_goes_to_other_processes(data):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = kc.streamed_nc1(data.x, data.labels, kernel=NTK("relu", depth=2), executor=pool, tile=64)
    assert found == kc.streamed_nc1(data.x, data.labels, kernel=NTK("relu", depth=2), tile=64)


# -- a value


def smooth(u):
    return u / np.sqrt(1 + u**2)


@pytest.mark.parametrize(
    ("kernel", "shown"),
    [
        (NNGP(), "NNGP('erf')"),
        (NTK("relu", depth=3), "NTK('relu', depth=3)"),
        (NNGP("leaky_relu( 0.10 )", kind="output"), "NNGP('leaky_relu(0.1)', kind='output')"),
        (Linear(bias_variance=1.0), "Linear(bias_variance=1.0)"),
        (Laplace(2.0), "Laplace(2.0)"),
        (Precomputed(np.eye(3)), "Precomputed(<3 x 3>)"),
        (NTK(smooth), f"NTK({smooth!r})"),
    ],
    ids=["default", "depth", "kind", "linear", "laplace", "precomputed", "function"],
)
def test_a_kernel_is_a_value(kernel, shown):
    assert repr(kernel) == shown
    again = pickle.loads(pickle.dumps(kernel))
    assert again == kernel
    assert hash(again) == hash(kernel)
    assert again is not kernel
    assert copy.copy(kernel) is copy.deepcopy(kernel) is kernel
    x = np.arange(3.0)[:, None]
    np.testing.assert_array_equal(again(x), kernel(x))
    field = "gram" if isinstance(kernel, Precomputed) else "weight_variance"
    if field == "gram":
        with pytest.raises(ValueError, match="read-only"):
            kernel.gram[0, 0] = 2.0
    field = "bandwidth" if isinstance(kernel, Laplace) else field
    with pytest.raises(FrozenInstanceError):
        setattr(kernel, field, 2.0)


def test_kernels_differ_where_a_parameter_does(unchecked):
    kernels = [
        NNGP(),
        NTK(),
        NTK("relu"),
        NTK(depth=2),
        NTK(weight_variance=2.0),
        NNGP(kind="output"),
        Linear(),
    ]
    kernels += [NTK(dtype="float32"), Precomputed(np.eye(2)), Precomputed(np.ones((2, 2))), Laplacian()]
    kernels += [Laplace(2.0), Gaussian(2.0), Laplace(1.0)]
    assert len(set(kernels)) == len(kernels)
    assert NTK(weight_variance=2) == NTK(weight_variance=2.0)
    assert NTK("swish") == NTK("silu")


# -- scikit-learn


ESTIMATORS = {
    "SVC": lambda k: SVC(kernel=k),
    "KernelRidge": lambda k: KernelRidge(kernel=k, alpha=0.01),
    "KernelPCA": lambda k: KernelPCA(n_components=2, kernel=k),
    "SpectralClustering": lambda k: SpectralClustering(3, affinity=k, random_state=0),
}


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("kernel", [NTK("relu", depth=3), Laplacian(length=3.0)])
def test_estimators_of_scikit_learn_take_a_kernel(name, kernel):
    wine = kc.data.standardize(kc.data.shipped("wine"))
    x, labels, new = wine.x[::2], wine.labels[::2], wine.x[1::2]
    make = ESTIMATORS[name]
    given = clone(make(kernel))
    known = make("precomputed")
    if name == "SpectralClustering":
        np.testing.assert_array_equal(given.fit_predict(x), known.fit_predict(kernel(x)))
        return
    given.fit(x, labels)
    known.fit(kernel(x), labels)
    road = "transform" if name == "KernelPCA" else "predict"
    found, expected = getattr(given, road)(new), getattr(known, road)(kernel(new, x))
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-6, atol=1e-7)
    assert clone(given).get_params() == given.get_params()


def test_scikit_learn_calls_with_all_samples_at_once():
    x = np.random.default_rng(0).normal(size=(12, 3))
    calls = []

    @dataclass(frozen=True)
    class Counted(Kernel):
        def tile(self, x, y):
            calls.append((len(x), len(y)))
            return x @ y.T

    np.testing.assert_allclose(pairwise_kernels(x, metric=Counted()), x @ x.T, rtol=1e-14)
    assert calls == [(12, 12)]


def test_scikit_learn_after_the_kernel_gives_the_same():
    """It then calls with two samples at a time."""
    code = (
        "import numpy as np, kernel_collapse as kc\n"
        "kernel = kc.kernels.NTK('relu', depth=2)\n"
        "from sklearn.metrics.pairwise import pairwise_kernels\n"
        "from sklearn.gaussian_process.kernels import Kernel\n"
        "x = np.random.default_rng(0).normal(size=(9, 3))\n"
        "assert not isinstance(kernel, Kernel)\n"
        "np.testing.assert_allclose(pairwise_kernels(x, metric=kernel), kernel(x), rtol=1e-13)\n"
        "np.testing.assert_allclose(pairwise_kernels(x, x[:4], metric=kernel), kernel(x, x[:4]), rtol=1e-13)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


# -- bad input

X, Y = np.random.default_rng(0).normal(size=(6, 2)), [0, 1] * 3


@dataclass(frozen=True)
class Wrong(Kernel):
    """A kernel whose block and values are whatever is given."""

    value: object

    def tile(self, x, y):
        return self.value(x, y)

    def pairs(self, left, right):
        return self.value(left, right)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NTK(depth=0), "depth is 0, expected a whole number"),
        (lambda: NTK("rleu"), "activation is 'rleu'.*did you mean 'relu'"),
        (lambda: NNGP(kind="outputs"), "kind is 'outputs'"),
        (lambda: NNGP(weight_variance=0), "weight_variance is 0"),
        (lambda: Linear(bias_variance=-1), "bias_variance is -1"),
        (lambda: NTK(dtype="half"), "dtype is 'half'"),
        (lambda: Linear(dtype=3), "dtype is 3"),
        (lambda: NTK()(X[:, 0]), "two dimensions"),
        (lambda: NTK()(X, X[:, :1]), "x has 2 features and y has 1"),
        (lambda: NTK().tile(X, [[np.nan, 1.0]]), "y holds nan in row 0"),
        (lambda: NTK().pairs(X, X[:2]), r"left has shape \(6, 2\) and right has \(2, 2\), expected the same"),
        (lambda: Linear().pairs(X, X[:2]), "expected the same"),
        (lambda: NTK().diagonal([[np.inf, 1.0]]), "x holds inf"),
        (lambda: NTK()(X * 1e200), "the kernel is not finite"),
        (lambda: Linear()(X * 1e200), "the kernel is not finite"),
        (lambda: NTK()(X, torch.asarray(X)), "x is an array of NumPy and y of PyTorch"),
        (lambda: Precomputed(X), "expected a square matrix"),
        (lambda: Precomputed([[1.0, 2.0], [3.0, 1.0]]), "not symmetric"),
        (lambda: Precomputed(3.0), "the Gram matrix has shape"),
        (
            lambda: Precomputed(np.eye(3))([[3.0]]),
            "expected a column of row numbers of the Gram matrix, from 0 to 2",
        ),
        (lambda: Precomputed(np.eye(3))([[0.5]]), "expected a column of row numbers"),
        (lambda: Precomputed(np.eye(3))(X), "expected a column of row numbers"),
        (lambda: kc.streamed_nc1(X, Y, kernel=NTK), "kernel is the class NTK, expected a kernel"),
        (
            lambda: kc.streamed_nc1(X, Y, kernel=NTK(), depth=2),
            "NTK.* and depth is given beside it, expected either",
        ),
        (
            lambda: kc.streamed_nc1(X, Y, kernel=NTK("relu"), activation="erf"),
            "activation is given beside it",
        ),
        (lambda: kc.streamed_collapse(X, Y, kernel=Laplacian(), bias_variance=0.0), "bias_variance is given"),
        (
            lambda: kc.streamed_nc1(X, Y, kernel=("nngp", NTK()), activation="relu"),
            "activation is given beside",
        ),
        (
            lambda: kc.sampled_nc1(X, Y, kernel=NTK(), depth=1, activation="erf"),
            "activation and depth are given",
        ),
        (lambda: kc.random_feature_nc1(X, Y, kernel=NNGP(), depth=1), "depth is given beside it"),
        (lambda: kc.random_feature_nc1(X, Y, kernel="ntk"), r"kernel is NTK\('erf'\), expected .*NNGP"),
        (lambda: kc.random_feature_nc1(X, Y, kernel=Laplacian()), "expected .*NNGP"),
        (
            lambda: kc.theory.expected_nc1(kc.theory.gaussian_mixture(2), kernel=Laplacian()),
            "expected .*NNGP of the features or NTK",
        ),
        (
            lambda: kc.theory.expected_nc1(kc.theory.gaussian_mixture(2), kernel=NTK(depth=2)),
            "depth is 2, expected 1",
        ),
        (
            lambda: kc.theory.expected_nc1(kc.theory.gaussian_mixture(2), kernel=NTK(), activation="erf"),
            "activation is given beside it",
        ),
        (lambda: measure.specify([NTK], ["erf"]), "kernel is the class NTK"),
        (
            lambda: Wrong(lambda x, y: x)(X),
            r"gave an array of shape \(6, 2\) for 6 and 6 rows, expected \(6, 6\)",
        ),
        (lambda: Wrong(lambda x, y: x @ y.T * np.nan)(X), "the kernel's block is not finite"),
        (lambda: Wrong(lambda x, y: 1 / 0)(X), "cannot be called with 2 arrays .ZeroDivisionError"),
        (lambda: Wrong(lambda x, y: np.linalg.norm(x, y))(torch.asarray(X)), "arrays of PyTorch"),
        (lambda: kc.streamed_nc1(X, Y, kernel=Wrong(lambda x, y: x)), "gave an array of shape"),
        (lambda: kc.streamed_nc1(X, Y, kernel=Wrong(lambda x, y: -x @ y.T)), "expected squares of lengths"),
        (lambda: kc.sampled_nc1(X, Y, kernel=Wrong(lambda x, y: x)), r"shape \(6, 2\) for 6 pairs of rows"),
        (lambda: kc.sampled_nc1(X, Y, kernel=Wrong(lambda x, y: x[:, 0] * np.inf)), "not finite"),
    ],
)
def test_bad_input(call, message, unchecked):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_a_kernel_without_a_tile_is_none():
    class Empty(Kernel):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Empty()
