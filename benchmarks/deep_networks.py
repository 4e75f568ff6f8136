"""Mean field against posterior, layer by layer and over widths: how fast the deviation falls.

Give the widths as arguments, `50 100 200` by default, after `--readout` the readout variance and after `--depth` the
number of hidden layers. With `--scaled` readout and noise variance are those of 100 units and go as one over the width:
then the mean field hardly changes with the width, and the deviation alone does. The posterior of 200 units takes
minutes. The last lines fit the exponent in the width, each deviation by its error, and the coefficient of 1 / width.
"""

import argparse
import time

import numpy as np

import kernel_collapse as kc
from kernel_collapse import networks

#: Draws a chain, so that the error of NC1 is about a tenth of a per cent.
DRAWS = 6000


def compare(width, depth, readout, noise):
    """Return relative deviation and its standard error of every layer, and print them."""
    data = kc.data.gaussian_classes(32, 4)
    options = {"depth": depth, "width": width, "readout_variance": readout, "noise_variance": noise}
    start = time.perf_counter()
    posterior = networks.sample_posterior(data, draws=DRAWS, **options)
    between = time.perf_counter()
    field = networks.solve_mean_field(data, accuracy=1e-3, **options)
    seconds = between - start, time.perf_counter() - between
    found = []
    for layer, (truth, limit) in enumerate(zip(posterior.layers, field.layers, strict=True), 1):
        deviation = limit.ratio / truth.ratio - 1
        error = np.hypot(truth.ratio_error, limit.ratio_error) / truth.ratio
        found.append((deviation, error))
        print(
            f"| {width} | {readout:.4g} | {noise:g} | {layer} | {truth.ratio:.5f} ({truth.ratio_error:.5f}) "
            f"| {limit.ratio:.5f} ({limit.ratio_error:.5f}) | {100 * deviation:.2f} ({100 * error:.2f}) "
            f"| {truth.rhat:.4f} | {truth.ess:.0f} | {seconds[0]:.0f} | {seconds[1]:.0f} |",
            flush=True,
        )
    return found


def exponent(widths, deviations, errors):
    """Return the slope of log deviation against log width and its standard error, by weighted least squares."""
    x, y, weights = np.log(widths), np.log(deviations), (deviations / errors) ** 2
    centred = x - np.average(x, weights=weights)
    spread = np.sum(weights * centred**2)
    return float(np.sum(weights * centred * y) / spread), float(spread**-0.5)


def coefficient(widths, deviations, errors):
    """Return the weighted mean of width x deviation with its error, and chi squared of what a constant leaves."""
    values, weights = widths * deviations, (widths * errors) ** -2
    mean = np.average(values, weights=weights)
    return mean, np.sum(weights) ** -0.5, np.sum(weights * (values - mean) ** 2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("widths", nargs="*", type=int, default=[50, 100, 200])
    parser.add_argument("--readout", type=float, default=1 / 128)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--scaled", action="store_true")
    given = parser.parse_args()
    columns = ("widths", "sigma_a^2", "sigma^2", "layer", "posterior", "mean field", "deviation in %")
    print(f"| {' | '.join((*columns, 'R-hat', 'ESS', 'seconds', 'seconds'))} |")
    print("|---" * 11 + "|")
    found = []
    for width in given.widths:
        scale = 100 / width if given.scaled else 1.0
        found.append(compare(width, given.depth, scale * given.readout, scale * 1e-2))
    found = np.array(found)
    widths = np.array(given.widths)
    for layer in range(given.depth):
        deviations, errors = found[:, layer].T
        if len(deviations) > 1 and (deviations > 0).all():
            slope, error = exponent(widths, deviations, errors)
            mean, its_error, chi_squared = coefficient(widths, deviations, errors)
            print(
                f"layer {layer + 1}: exponent {slope:.2f} ({error:.2f}), width x deviation {mean:.2f} "
                f"({its_error:.2f}), chi squared {chi_squared:.1f} of {len(widths) - 1}"
            )


if __name__ == "__main__":
    main()
