"""Time of one solve against that of its n^3 work alone, measured in the same run.

The bound is as many times (potrf + potri + two n x n x d products) as the solve takes evaluations. Medians of
several runs; peak memory in arrays of n x n.
"""

import tracemalloc

import numpy as np
from scipy import linalg
from scipy.linalg import blas, lapack
from timing import median_seconds

import kernel_collapse as kc


def least_work(x):
    """What one evaluation cannot do without."""
    n, dim = x.shape
    matrix = x @ x.T / dim + n * np.eye(n)

    def work():
        factor, _ = lapack.dpotrf(matrix.T, lower=1, clean=0)
        lapack.dpotri(factor, lower=1, overwrite_c=1)
        blas.dgemm(1.0, x.T, x.T, trans_a=1)
        blas.dgemm(1.0, x.T, blas.dgemm(1.0, matrix.T, x.T, trans_b=1))

    return work


def least_work_of_layers(x, depth):
    """What one evaluation of several layers cannot do without, by the count of its eigendecompositions and products."""
    n, dim = x.shape
    matrix = x @ x.T / dim + n * np.eye(n)

    def work():
        factor, _ = lapack.dpotrf(matrix.T, lower=1, clean=0)
        lapack.dpotri(factor, lower=1, overwrite_c=1)
        for _ in range(depth - 1):
            for _ in range(2):
                linalg.eigh(matrix, check_finite=False, driver="evd")
            for _ in range(12):
                blas.dgemm(1.0, matrix, matrix)

    return work


def deep():
    """Print the same of several layers: the bound is potrf + potri, and two eigh and 12 products a deeper layer."""
    print(f"{'n':>5} {'depth':>6} {'evaluations':>11} {'solve':>8} {'bound':>8} {'ratio':>6}")
    for n, dim, depth in ((128, 32, 2), (256, 32, 2), (256, 32, 3), (512, 32, 2)):
        data = kc.data.gaussian_classes(n, dim)
        solutions = []
        options = {"depth": depth, "width": 100, "noise_variance": 1e-2}
        seconds = median_seconds(
            lambda d=data, s=solutions, o=options: s.append(kc.solve_adaptive(d.x, d.targets, **o))
        )
        bound = solutions[0].evaluations * median_seconds(least_work_of_layers(data.x, depth))
        print(
            f"{n:>5} {depth:>6} {solutions[0].evaluations:>11} {seconds:>7.2f}s {bound:>7.2f}s {seconds / bound:>6.2f}"
        )


def main():
    print(
        f"{'n':>5} {'d':>6} {'evaluations':>11} {'solve':>8} {'bound':>8} {'ratio':>6} {'peak, n x n arrays':>19}"
    )
    for n, dim in ((512, 32), (1024, 128), (2048, 128), (200, 100_000)):
        data = kc.data.gaussian_classes(n, dim)
        solutions = []
        seconds = median_seconds(lambda d=data, s=solutions: s.append(kc.solve_adaptive(d.x, d.targets)))
        evaluations = solutions[0].evaluations
        rows = data.x if dim <= n else np.linalg.qr(data.x.T, mode="r").T.copy()
        bound = evaluations * median_seconds(least_work(rows))
        tracemalloc.start()
        kc.solve_adaptive(data.x, data.targets)
        peak = tracemalloc.get_traced_memory()[1] / (8 * n * n)
        tracemalloc.stop()
        ratio = seconds / bound
        print(
            f"{n:>5} {dim:>6} {evaluations:>11} {seconds:>7.2f}s {bound:>7.2f}s {ratio:>6.2f} {peak:>19.1f}"
        )


if __name__ == "__main__":
    main()
    deep()
