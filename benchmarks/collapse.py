"""Time of NC1 of a kernel from its Gram matrix, from tiles, from pairs and from random features, over n.

Two Gaussian classes in 100 dimensions, NNGP of erf. The bound of the tiles is one product and one arc sine of each,
on as many threads, in the same run. Medians of several runs; `--figure FILE` draws the times against n.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from timing import median_seconds

import kernel_collapse as kc
from kernel_collapse._linalg import one_blas_thread
from kernel_collapse.collapse._tiled_pass import TILE

DIM = 100
DENSE, STREAMED, FEATURES = 8192, 32_768, 131_072
SIZES = (512, 1024, 2048, 4096, 8192, 16_384, 32_768, 131_072, 524_288, 1_048_576)


def bare(x, tile=TILE):
    """Seconds of the product and the arc sine of every tile of the upper half, and nothing else."""
    tops = range(0, len(x), tile)
    scale = 0.999 / (x * x).sum(axis=1).max()

    def strip(top):
        for left in range(top, len(x), tile):
            gram = x[top : top + tile] @ x[left : left + tile].T
            gram *= scale
            np.arcsin(gram, out=gram)

    def every():
        with one_blas_thread(), ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(strip, tops))

    return median_seconds(every)


def measure():
    rows = []
    for n in SIZES:
        data = kc.data.gaussian_classes(n, DIM)
        x, labels = data.x, data.labels
        methods = {"sampled to 1 %": lambda x=x, labels=labels: kc.sampled_nc1(x, labels)}
        if n <= FEATURES:
            methods["1024 random features"] = lambda x=x, labels=labels: kc.random_feature_nc1(x, labels)
        if n <= STREAMED:
            methods = {"streamed": lambda x=x, labels=labels: kc.streamed_nc1(x, labels)} | methods
        if n <= DENSE:
            methods = {"dense": lambda x=x, labels=labels: kc.nc1(kc.nngp(x), labels)} | methods
        for what, method in methods.items():
            seconds = median_seconds(method)
            ratio = seconds / bare(x) if what == "streamed" else float("nan")
            rows.append((n, what, seconds))
            print(f"{n:>9} {what:<21} {seconds:>9.4f} s  of the bare tiles {ratio:>5.2f}", flush=True)
    return rows


def draw(rows, path):
    from matplotlib.figure import Figure

    from kernel_collapse.report.style import style

    with style():
        figure = Figure(figsize=(6.4, 4.0))
        axes = figure.subplots()
        for what in dict.fromkeys(what for _, what, _ in rows):
            points = [(n, seconds) for n, name, seconds in rows if name == what]
            axes.loglog(*zip(*points, strict=True), marker="o", label=what)
        axes.set_xlabel("number of samples n")
        axes.set_ylabel("seconds (2 cores)")
        axes.legend()
        figure.savefig(path, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    found = measure()
    if sys.argv[1:2] == ["--figure"]:
        draw(found, sys.argv[2])
