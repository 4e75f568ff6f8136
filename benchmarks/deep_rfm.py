"""Time and memory of a deep RFM against what its layers cannot do without, and how its finite twin converges.

The bound of a layer is one factorisation and 3 products of n x n for one output, 1 factorisation and 4.5 products (one
of a matrix with itself, two, one of which the upper triangle alone) for several, timed in the same run. One run each.
With sizes as arguments these are timed, those above 2048 with several outputs alone; with "width" the table of random
features is printed.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np
from scipy.linalg import blas, lapack

import kernel_collapse as kc
from kernel_collapse.rfm._fit import fit, gradients_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from finite_rfm import finite_rfm

DEPTH, CLASSES, DIM = 5, 10, 64
#: Most samples for which both ways, and one output, are timed: they take minutes.
MOST = 2048


def problem(n):
    """Ten overlapping Gaussian classes on a line through the origin of many dimensions, with one-hot targets."""
    means = list(np.random.default_rng(0).normal(size=(CLASSES, DIM)))
    return kc.data.gaussian_classes(n, DIM, class_means=means, class_stds=1.0, seed=1)


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def bound(n, outputs):
    """Seconds of the n^3 work of one layer."""
    matrix = np.asfortranarray(np.random.default_rng(0).normal(size=(n, n)))
    definite = np.asfortranarray(np.eye(n) * n)
    product = seconds(lambda: blas.dgemm(1.0, matrix, matrix))
    factor = seconds(lambda: lapack.dpotrf(definite, lower=1, overwrite_a=1))
    return factor + product * (3 if outputs == 1 else 4.5)


def times(sizes):
    print(
        f"{'n':>5} {'outputs':>8} {'seconds':>8} {'bound':>8} {'ratio':>6} {'peak':>8}  status, NC1 of the last layer"
    )
    for n in sizes:
        data = problem(n)
        for outputs in (1, CLASSES) if n <= MOST else (CLASSES,):
            targets = data.targets if outputs > 1 else np.where(data.labels < CLASSES // 2, -1.0, 1.0)
            found = []
            taken = seconds(
                lambda d=data, t=targets, f=found: f.append(
                    kc.deep_rfm(d.x, t, depth=DEPTH, labels=d.labels, ridge=1e-3)
                )
            )
            least = DEPTH * bound(n, outputs)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            machine = found[0]
            print(
                f"{n:>5} {outputs:>8} {taken:>7.1f}s {least:>7.1f}s {taken / least:>6.2f} {peak:>6.2f}GB  "
                f"{machine.status.value}, {machine.layers[-1].nc1:.4g}",
                flush=True,
            )


def ways(sizes):
    """Both ways to G B G of the first layer, and how far NC1 after M^{1/2} differs between them."""
    print(f"{'n':>5} {'by outputs':>11} {'at once':>8} {'ratio':>6} {'round-off':>10} {'difference':>11}")
    for n in sizes:
        data = problem(n)
        x = data.x / np.linalg.norm(data.x, axis=1, keepdims=True)
        kernel, products = kc.kernels.Laplace(2.0), x @ x.T
        found = gradients_of(products, fit(products, data.targets, kernel, 1e-3).alpha, kernel)
        start = time.perf_counter()
        assert found.at_once
        fast = found._grouped.gram()
        once = time.perf_counter() - start
        start = time.perf_counter()
        slow = sum(z.T @ z for z in (found.images(k, products) for k in range(CLASSES)))
        by_outputs = time.perf_counter() - start
        difference = abs(kc.nc1(fast, data.labels).ratio / kc.nc1(slow, data.labels).ratio - 1)
        print(
            f"{n:>5} {by_outputs:>10.2f}s {once:>7.2f}s {by_outputs / once:>6.2f} {found.round_off:>10.1e} "
            f"{difference:>11.1e}",
            flush=True,
        )


def widths():
    """Mean over 20 seeds of |NC1(width) / NC1 - 1|, layer by layer, with the slope of its logarithm."""
    data = kc.data.gaussian_classes(n=32, dim=4, seed=0)
    limit = kc.deep_rfm(data.x, data.targets, depth=3).nc1[:, 2]
    sizes = np.array([128, 256, 512, 1024, 2048, 4096])
    away = np.array([np.abs(finite_rfm(data.x, data.targets, data.labels, w) / limit - 1) for w in sizes])
    mean, error = away.mean(axis=1), away.std(axis=1) / np.sqrt(20)
    for width, values, errors in zip(sizes, mean, error, strict=True):
        print(f"{width:>5} " + " ".join(f"{v:.3f}({e:.3f})" for v, e in zip(values, errors, strict=True)))
    logs = np.log(sizes)
    for layer in range(3):
        weights = (mean / error)[:, layer] ** 2
        centred = logs - np.average(logs, weights=weights)
        spread = (weights * centred**2).sum()
        slope = (weights * centred * np.log(mean[:, layer])).sum() / spread
        print(f"layer {layer + 1}: slope {slope:.2f} ({1 / np.sqrt(spread):.2f})")


def main():
    asked = sys.argv[1:]
    if asked == ["width"]:
        widths()
        return
    sizes = [int(n) for n in asked] or [512, 1024, 2048]
    ways([n for n in sizes if n <= MOST])
    times(sizes)


if __name__ == "__main__":
    main()
