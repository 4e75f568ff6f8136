"""Time and error of the mean field, beside the Gaussian equations of state; medians of several runs."""

from timing import median_seconds

import kernel_collapse as kc
from kernel_collapse import networks

D2 = (-6.0, -2.0, 2.0, 6.0)
PROBLEMS = (  # data, width, noise variance, activation, accuracy
    ("D1", 48, 4, 200, 1e-2, "erf", 0.01),
    ("D1", 48, 4, 200, 1e-3, "erf", 0.01),
    ("D1", 48, 4, 200, 1e-3, "erf", 0.001),
    ("D1", 48, 4, 200, 1e-6, "erf", 0.01),
    ("D1", 48, 4, 20, 1e-3, "erf", 0.01),
    ("D1", 48, 4, 20, 1e-3, "relu", 0.01),
    ("D1", 64, 1, 20, 1e-3, "erf", 0.01),
    ("D1", 128, 32, 500, 1e-2, "erf", 0.01),
    ("D1", 256, 128, 500, 1e-2, "erf", 0.01),
    ("D1", 256, 128, 500, 1e-3, "relu", 0.01),
    ("D1", 256, 128, 20, 1e-3, "erf", 0.01),
    ("D1", 256, 128, 1e6, 1e-3, "erf", 0.01),
    ("D2", 64, 4, 500, 1e-3, "erf", 0.01),
    ("D2", 128, 32, 500, 1e-2, "erf", 0.01),
    ("D2", 256, 128, 500, 1e-2, "erf", 0.01),
    ("D2", 64, 4, 50, 1e-3, "erf", 0.01),
)


def main():
    print(
        "| data | n | d | width | noise | activation | accuracy | NNGP | Gaussian | mean field | error | status "
        "| iterations | particles | effective | seconds |"
    )
    print("|---" * 16 + "|")
    for name, n, dim, width, noise, activation, accuracy in PROBLEMS:
        means = D2 if name == "D2" else (-2.0, 2.0)
        data = kc.data.gaussian_classes(n, dim, class_means=means, seed=1)
        options = {"activation": activation, "width": width, "noise_variance": noise}
        gaussian = kc.solve_adaptive(data.x, data.targets, **options)
        ratios = [
            kc.nc1(gram, data.labels).ratio
            for gram in (kc.nngp(data.x, activation=activation), gaussian.gram)
        ]
        found = []

        def solve(data=data, options=options, accuracy=accuracy, found=found):
            found.append(
                networks.solve_mean_field(data, **options, accuracy=accuracy, raise_on_failure=False)
            )

        seconds, last = median_seconds(solve), found[-1]
        print(
            f"| {name} | {n} | {dim} | {width:g} | {noise:g} | {activation} | {accuracy:g} | {ratios[0]:.4f} "
            f"| {ratios[1]:.4f} | {last.ratio:.5f} | {last.ratio_error:.1e} | {last.status.value} | {last.iterations} "
            f"| {last.particles} | {last.ess / last.particles:.0%} | {seconds:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
