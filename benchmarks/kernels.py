"""Time of a Gram matrix and of NC1 against the least that they can cost, measured in the same run.

The bound for a kernel is the product x x' of its inputs plus one elementwise pass over the result for each
transcendental function of its dual; for NC1 it is the product K P. Medians of several runs; ratios, because
the machine is noisy.
"""

import numpy as np
from timing import median_seconds

import kernel_collapse as kc


def main():
    print(f"{'n':>5} {'d':>4} {'what':<14} {'median':>9} {'bound':>9} {'ratio':>6}")
    for n, dim in ((1024, 128), (2048, 1), (2048, 128), (4096, 784)):
        data = kc.data.gaussian_classes(n, dim)
        gram = data.x @ data.x.T / dim
        classes = np.zeros((n, 2))
        classes[np.arange(n), data.labels] = 2 / n
        root, angle = np.sqrt(np.abs(gram)), np.empty_like(gram)
        product = median_seconds(lambda x=data.x: x @ x.T)
        dual = median_seconds(lambda g=gram, r=root, o=angle: np.arctan2(r, g, out=o))
        dual += median_seconds(lambda g=root, o=angle: np.sqrt(g, out=o))
        projection = median_seconds(lambda g=gram, p=classes: g @ p)
        cases = {
            f"{name} {activation}": (
                lambda k=kernel, a=activation, x=data.x: k(x, activation=a),
                product + dual,
            )
            for activation in ("erf", "relu")
            for name, kernel in (("nngp", kc.nngp), ("ntk", kc.ntk))
        }
        cases["nc1"] = (lambda g=gram, y=data.labels: kc.nc1(g, y), projection)
        for what, (function, bound) in cases.items():
            seconds = median_seconds(function)
            print(f"{n:>5} {dim:>4} {what:<14} {seconds:>8.4f}s {bound:>8.4f}s {seconds / bound:>6.2f}")


if __name__ == "__main__":
    main()
