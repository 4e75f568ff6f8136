"""A deep RFM on images of digits: collapse and accuracy by layer, of training and of held-out samples.

With the name of a picture the figure is drawn, with a number the samples are as many: FILE.png 1797 takes them all.
"""

import sys

import numpy as np

import kernel_collapse as kc
from kernel_collapse.report.style import style


def measure(samples, depth=6):
    """NC1 of the three kernels of every layer and the accuracy of its fit, of training and of held-out samples."""
    digits = kc.data.shipped("digits")
    part = digits if samples >= len(digits.x) else kc.data.subset(digits, samples, seed=0)
    train, test = kc.data.split(part, holdout=0.2, seed=0)
    x, x_test = (kc.data.standardize(half, like=train).x for half in (train, test))
    machine = kc.deep_rfm(x, train.targets, depth=depth, labels=train.labels)
    seen = machine.held_out(x_test, test.labels)
    found = {}
    for name, layers in (("training", machine.layers), ("held-out", seen.layers)):
        nc1 = np.array([[layer.nc1_input, layer.nc1_agop, layer.nc1] for layer in layers])
        found[name] = nc1, np.array([layer.accuracy for layer in layers])
    return found


def draw(found, path):
    """Draw NC1 through the layers, input, M^{1/2} x and features in turn, and the accuracy beside it."""
    import matplotlib.pyplot as plt

    with style():
        _, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.0), layout="constrained", width_ratios=(3, 2))
        for (name, (nc1, accuracy)), colour in zip(found.items(), ("#0072B2", "#D55E00"), strict=True):
            layers = np.arange(1, len(nc1) + 1)
            places = (layers[:, None] + np.array([-0.5, -0.15, 0.2])).ravel()
            left.semilogy(places, nc1.ravel(), color=colour, linewidth=0.8)
            for k, (marker, kernel) in enumerate((("D", "input"), ("o", "$M^{1/2}x$"), ("s", "features"))):
                label = f"{name}, {kernel}"
                left.semilogy(places[k::3], nc1[:, k], marker, color=colour, markersize=3.5, label=label)
            right.plot(layers, 100 * accuracy, "o-", color=colour, label=name)
        left.set(xlabel="layer", ylabel="NC1", xticks=layers)
        left.legend(ncols=2, fontsize=7)
        right.set(xlabel="layer", ylabel="accuracy (%)", xticks=layers)
        right.legend()
        plt.savefig(path, dpi=150)


def main():
    found = measure(int(sys.argv[2]) if len(sys.argv) > 2 else 300)
    for name, (nc1, accuracy) in found.items():
        print(
            f"NC1 of {name} samples\n{'layer':>6} {'input':>10} {'M^1/2 x':>10} {'features':>10} {'accuracy':>9}"
        )
        for layer, (values, share) in enumerate(zip(nc1, accuracy, strict=True), 1):
            print(f"{layer:>6} " + " ".join(f"{value:>10.4g}" for value in values) + f" {share:>9.4f}")
    if len(sys.argv) > 1:
        draw(found, sys.argv[1])


if __name__ == "__main__":
    main()
