"""Time of streamed NC1 of two kernels at once against the product, arc tangent and square root of the same tiles.

Both are timed by turns in one run: processor time of one core, medians. `python benchmarks/streamed.py [n] [d]`
"""

import sys
import time

import numpy as np

import kernel_collapse as kc
from kernel_collapse._linalg import one_blas_thread

TILE = 256


def main():
    n, dim = (int(given) for given in (*sys.argv[1:], 8192, 128)[:2])
    data = kc.data.gaussian_classes(n=n, dim=dim)

    def bound():
        other = np.empty((TILE, TILE))
        with one_blas_thread():
            for top in range(0, n, TILE):
                for left in range(top, n, TILE):
                    gram = data.x[top : top + TILE] @ data.x[left : left + TILE].T
                    np.arctan(gram, out=other)
                    np.sqrt(np.abs(gram, out=gram), out=gram)

    def streamed(activation):
        kc.streamed_nc1(data.x, data.labels, kernel=("nngp", "ntk"), activation=activation, workers=1)

    print(f"{'activation':<10} {'streamed':>9} {'bound':>8} {'ratio':>6}")
    for activation in ("erf", "relu", "gelu", "leaky_relu(0.1)", "sin", "tanh"):
        turns = [(seconds(lambda a=activation: streamed(a)), seconds(bound)) for _ in range(5)]
        ours, least = np.median(turns, axis=0)
        print(f"{activation:<10} {ours:>8.2f}s {least:>7.2f}s {ours / least:>6.2f}", flush=True)


def seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


if __name__ == "__main__":
    main()
