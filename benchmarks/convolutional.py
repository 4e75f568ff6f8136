"""Time of convolutional kernels against the least that they can cost, measured in the same run.

The bound of a kernel is the dual of every entry in every layer, of arrays that stay in the cache, and one pass of
additions for each addition of a 3 x 3 filter, two along each axis. Time is that of the processor, over all cores, which
other programs do not add to; seconds on the clock are beside it.

Run with: python benchmarks/convolutional.py [n of the digits, by default 2000]
"""

import os
import resource
import sys
import time

import numpy as np
from sklearn.datasets import load_digits

import kernel_collapse as kc
from kernel_collapse.kernels import ConvNNGP, ConvNTK

#: Numbers of the arrays that the dual is measured on.
ROW = 2**15


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    images = load_digits().images / 16.0
    images = np.concatenate([images, np.swapaxes(images, 1, 2)])[:n, :, :, None]
    print(f"{'what':<42} {'clock':>8} {'processor':>9} {'bound':>8} {'ratio':>6}")
    for activation in ("erf", "relu"):
        for kind in (ConvNNGP, ConvNTK):
            for readout, count, positions in (("flatten", n, 64), ("gap", n // 4, 64**2)):
                kernel = kind(3, activation=activation, readout=readout)
                x = images[:count]
                entries = 3 * positions * count * (count + 1) / 2
                bound = entries * second_of_an_entry(activation, tangent=kind is ConvNTK)
                clock, processor = seconds(lambda k=kernel, x=x: k(x))
                what = f"{kind.__name__} {activation} 3 layers, {readout}, n = {count}"
                print(
                    f"{what:<42} {clock:>7.2f}s {processor:>8.2f}s {bound:>7.2f}s {processor / bound:>6.2f}",
                    flush=True,
                )
    large()


def second_of_an_entry(activation, *, tangent):
    """What an entry costs in a layer: its dual, and four additions."""
    phi = kc.activations.get(activation)
    c = np.random.default_rng(0).random((8, ROW // 8))
    q = np.ones((8, 1)) + 0.1
    dual = phi.kappa_and_slopes if tangent else phi.kappa
    of_dual = min(seconds(lambda: dual(q, q, c))[1] for _ in range(50))
    of_sum = min(seconds(lambda: np.add(c, c))[1] for _ in range(50))
    return (of_dual + (8 if tangent else 4) * of_sum) / c.size


def seconds(function):
    clock, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - clock, time.process_time() - processor


def large():
    """Images of 32 x 32 with global average pooling: pairs a second, and from it NC1 of 50,000 images to 2 %."""
    rng = np.random.default_rng(0)
    labels = np.arange(50_000) % 10
    coarse = rng.random((10, 8, 8, 3))
    means = np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)
    few = 400
    x = np.clip(means[labels[:few]] + 0.3 * rng.normal(size=(few, 32, 32, 3)), 0.0, 1.0)
    print(
        f"{'32 x 32, global average pooling':<42} {'pairs/s':>8} {'to 2 %':>8} {'minutes':>8} {'memory':>8}"
    )
    kernels = {
        "ConvNNGP relu 5 layers": ConvNNGP(5, activation="relu", readout="gap"),
        "the same in float32": ConvNNGP(5, activation="relu", readout="gap", dtype="float32"),
        "ConvNNGP myrtle-5": ConvNNGP("myrtle-5", activation="relu"),
        "ConvNTK myrtle-5": ConvNTK("myrtle-5", activation="relu"),
    }
    for name, kernel in kernels.items():
        pairs = 2 * (os.cpu_count() or 1)
        clock, _ = seconds(lambda k=kernel, m=pairs: k.pairs(x[:m], x[m : 2 * m]))
        # How the error falls is that of a smaller kernel, whose distances spread alike.
        smaller = ConvNNGP(2, activation="relu", readout="gap")
        estimate = kc.sampled_nc1(x[:, ::4, ::4], labels[:few], kernel=smaller, pairs=2000)
        needed = estimate.pairs * (estimate.relative_error / 0.02) ** 2
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        rate = pairs / clock
        print(
            f"{name:<42} {rate:>8.2f} {needed:>8.0f} {needed / rate / 60:>8.1f} {memory:>6.2f}GB", flush=True
        )


if __name__ == "__main__":
    main()
