"""Collapse tile by tile against the whole Gram matrix."""

import os
import subprocess
import sys
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch

import kernel_collapse as kc
from kernel_collapse.collapse import WEIGHTINGS

KERNELS = {"nngp": kc.nngp, "ntk": kc.ntk}
FIELDS = (
    "nc1",
    "nc1_pinv",
    "cdnv",
    "nc2_norms",
    "nc2_angles",
    "nc2_etf",
    "nc3",
    "nc3_cosine",
    "nc4",
    "ncm_accuracy",
)


def problem(n, dim, classes, rng, offset=1.0):
    labels = rng.integers(classes, size=n)
    labels[:classes] = np.arange(classes)
    return rng.normal(size=(n, dim)) + offset * rng.normal(size=(classes, dim))[labels], labels


@pytest.mark.parametrize("tile", [64, 100, 256, 997, 1500, 2999, 3000])
def test_equals_dense(rng, tile):
    x, labels = problem(3000, 6, 4, rng)
    found = kc.streamed_nc1(x, labels, kernel=("nngp", "ntk"), tile=tile)
    for name, kernel in KERNELS.items():
        expected = kc.nc1(kernel(x), labels)
        assert found[name].within == pytest.approx(expected.within, rel=1e-12)
        assert found[name].between == pytest.approx(expected.between, rel=1e-12)
        assert found[name].ratio == pytest.approx(expected.ratio, rel=1e-12)


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_every_tile_of_a_small_problem(rng, activation):
    x, labels = problem(41, 3, 5, rng)
    x[7] = x[20]  # a duplicate, whose angle must be exact in whatever tile it falls
    options = {"activation": activation, "depth": 2, "bias_variance": 0.2}
    alpha = rng.normal(size=(41, 5))
    for kernel, dense in KERNELS.items():
        gram = dense(x, **options)
        expected = kc.collapse(gram, labels, dual_weights=alpha)
        for tile in range(1, 42):
            found = kc.streamed_collapse(x, labels, kernel=kernel, tile=tile, dual_weights=alpha, **options)
            for field in FIELDS:
                assert getattr(found, field) == pytest.approx(getattr(expected, field), rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_weightings_and_a_callable(rng, weighting):
    x, labels = problem(150, 4, 3, rng)
    value = kc.streamed_nc1(x, labels, kernel=lambda a, b: np.exp(a @ b.T / 9), weighting=weighting, tile=32)
    expected = kc.nc1(np.exp(x @ x.T / 9), labels, weighting=weighting)
    assert value.ratio == pytest.approx(expected.ratio, rel=1e-12)


# -- what is no kernel


def shifted(a, b):
    """Of a and b in their order: k(x, y) is not k(y, x)."""
    return np.exp(-((a[:, None] - b + 0.1 * a[:, None] ** 2) ** 2).sum(axis=2))


def saturating(a, b):
    """Symmetric, and beyond Schwarz's inequality."""
    return np.tanh(a @ b.T)


def turned_apart(a, b):
    """Symmetric within each class of `signs`, and not between them."""
    return np.where((a[:, :1] > 0) & (b[:, 0] < 0), 0.1, 0.2) + a[:, 1:] @ b[:, 1:].T


def hidden(a, b):
    """A kernel but for one pair of samples, of which nothing else tells."""
    far = (a[:, :1] > 9.0) & (b[:, 0] < -9.0) | (a[:, :1] < -9.0) & (b[:, 0] > 9.0)
    return np.where(far, 5.0, np.exp(-0.5 * ((a[:, None] - b) ** 2).sum(axis=2)))


class Own(kc.kernels.Kernel):
    def __init__(self, function):
        self.function = function

    def tile(self, x, y):
        return self.function(x, y)


@pytest.mark.parametrize("tile", [4, 64, 256])
@pytest.mark.parametrize("function", [shifted, saturating, turned_apart, hidden])
def test_what_its_dense_twin_refuses_is_refused(rng, function, tile):
    x, labels = rng.normal(size=(150, 2)), np.arange(150) // 75
    x[:, 0] = np.where(labels == 1, 1.0, -1.0) * np.abs(x[:, 0])
    x[18], x[104] = (-10.0, 0.0), (10.0, 0.0)
    with pytest.raises(kc.InputError, match="not symmetric|in row"):
        kc.nc1(function(x, x), labels)
    for kernel in (function, Own(function)):
        for road in (kc.streamed_nc1, kc.streamed_collapse):
            with pytest.raises(kc.InputError, match=r"not symmetric|at most sqrt\(K_ii K_jj\)"):
                road(x, labels, kernel=kernel, tile=tile)


@pytest.mark.parametrize("function", [shifted, turned_apart])
def test_a_kernel_of_ones_own_must_be_symmetric(rng, function):
    x = rng.normal(size=(40, 2))
    with pytest.raises(kc.InputError, match="the kernel is not symmetric"):
        Own(function)(x)
    with pytest.raises(kc.InputError, match="the kernel is not symmetric"):
        kc.sampled_nc1(x, np.arange(40) % 2, kernel=lambda a, b: np.diag(function(a, b)))
    assert Own(function)(x, x[:3]).shape == (40, 3)


def test_a_kernel_of_float32_and_of_any_scale_is_taken(rng):
    x, labels = problem(300, 3, 2, rng)
    exact = kc.streamed_nc1(x, labels, kernel=lambda a, b: np.exp(a @ b.T / 9)).ratio
    for scale in (1e-30, 1.0, 1e30):
        value = kc.streamed_nc1(x, labels, kernel=lambda a, b, s=scale: s * np.exp(a @ b.T / 9))
        assert value.ratio == pytest.approx(exact, rel=1e-11)
    single = kc.streamed_nc1(x, labels, kernel=lambda a, b: np.exp(a @ b.T / 9).astype(np.float32))
    assert single.ratio == pytest.approx(exact, rel=1e-4)


def test_many_classes_names_and_order(rng):
    x, labels = problem(600, 4, 150, rng)
    names = [f"class {label}" for label in labels]
    expected = kc.nc1(kc.nngp(x), names)
    assert kc.streamed_nc1(x, names, tile=64).ratio == pytest.approx(expected.ratio, rel=1e-11)


def test_threads_do_not_show_and_progress_counts_tiles(rng):
    x, labels = problem(700, 5, 3, rng)
    seen = []
    values = {
        kc.streamed_nc1(x, labels, tile=50, workers=workers, progress=lambda *p: seen.append(p)).ratio
        for workers in (1, 2, 5)
    }
    assert len(values) == 1
    assert seen[-1] == (105, 105)
    assert [done for done, _ in seen[: len(seen) // 3]] == sorted(done for done, _ in seen[: len(seen) // 3])


FORKS = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
import numpy as np
import kernel_collapse as kc
from kernel_collapse._linalg import _limit, one_blas_thread
from threadpoolctl import threadpool_info

x, labels = np.random.default_rng(0).normal(size=(300, 4)), np.arange(300) % 2
context = multiprocessing.get_context("fork")


def threads():
    return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]


def value(_=None):
    return kc.streamed_nc1(x, labels, workers=2), threads()


def in_a_pool():
    with context.Pool(1) as pool:
        return pool.apply(value, (0,))


expected = value()
assert in_a_pool() == expected
with ProcessPoolExecutor(1, mp_context=context) as executor:
    assert kc.streamed_nc1(x, labels, executor=executor) == expected[0]
    assert executor.submit(value).result() == expected
with one_blas_thread():  # another thread is at work: its limit is not the child's to keep
    assert in_a_pool() == expected
with _limit._lock:
    assert in_a_pool() == expected
if not (child := os.fork()):
    sys.exit(0 if value() == expected else 1)
assert os.waitpid(child, 0)[1] == 0
assert value() == expected
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_after_a_streamed_call_goes_on():
    done = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=3600, check=False
    )
    assert done.stdout == "done\n", done.stderr


def test_memory_map_and_other_arrays(rng, tmp_path):
    x, labels = problem(500, 5, 3, rng)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    expected = kc.streamed_nc1(x, labels)
    assert kc.streamed_nc1(mapped, labels) == expected
    assert kc.streamed_nc1(torch.asarray(x), labels) == expected


def test_memory_stays_far_below_the_gram_matrix(tmp_path):
    """20,000 samples in 100 dimensions: the Gram matrix alone would take 3.2 GB."""
    code = (
        "import re, numpy as np, kernel_collapse as kc\n"
        "x = np.random.default_rng(0).normal(size=(20_000, 100))\n"
        "x[:10_000] += 0.3\n"
        "kc.streamed_nc1(x, np.arange(20_000) < 10_000)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 400_000  # kB; what getrusage tells would be the parent's


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: kc.streamed_nc1(x, y, tile=0), "tile is 0, expected a whole number"),
        (lambda x, y: kc.streamed_nc1(x, y, workers=0), "workers is 0"),
        (lambda x, y: kc.streamed_nc1(x, y[:-1]), "there are 29 labels"),
        (lambda x, y: kc.streamed_nc1(x[:, 0], y), "expected two dimensions"),
        (lambda x, y: kc.streamed_nc1(x, y, kernel="ntkk"), "kernel is 'ntkk'.*did you mean 'ntk'"),
        (lambda x, y: kc.streamed_nc1(x, y, kernel=[]), "kernel is empty"),
        (lambda x, y: kc.streamed_nc1(x, y, kernel=lambda a, b: a), "gave an array of shape"),
        (lambda x, y: kc.streamed_nc1(x, y, kernel=lambda a, b: a @ b.T * np.nan), "not finite"),
        (lambda x, y: kc.streamed_nc1(x * 1e200, y, activation="relu"), "the kernel is not finite"),
        (lambda x, y: kc.streamed_nc1(np.where(x == x[4, 1], np.nan, x), y), "holds nan in row 4, column 1"),
        (lambda x, y: kc.streamed_nc1(x, y, depth=0), "depth is 0"),
        (lambda x, y: kc.streamed_nc1(x, y, weighting="papr"), "weighting is 'papr'"),
        (lambda x, y: kc.streamed_collapse(x, y, targets=y), "targets are given without dual_weights"),
        (lambda x, y: kc.streamed_collapse(x, y, dual_weights=x[:7]), "7 rows and there are 30 labels"),
        (lambda x, y: kc.streamed_collapse(x, y, dual_weights=x), "4 outputs for 3 classes"),
    ],
)
def test_bad_input(rng, call, message, unchecked):
    x, labels = problem(30, 4, 3, rng)
    with pytest.raises(ValueError, match=message):
        call(x, labels)


def test_an_executor_that_is_shut_down_is_named():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(BrokenExecutor, match="the executor takes no work .*: give one that is open"):
        kc.streamed_nc1(np.eye(4), [0, 0, 1, 1], executor=executor)
