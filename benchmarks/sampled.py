"""Time and reached error of NC1 without a Gram matrix, on two Gaussian classes in 32 dimensions.

Pairs to 1 % of the ratio, the default, and 1024 random features; NNGP of erf. Medians of several runs.
"""

from timing import median_seconds

import kernel_collapse as kc


def main():
    print(
        f"{'n':>9} {'sizes':<9} {'what':<16} {'median':>9} {'pairs':>7} {'rows read':>9} {'ratio':>8} {'error':>7}"
    )
    for n in (10_000, 100_000, 1_000_000):
        for name, first in (("balanced", n // 2), ("1:50", n // 51)):
            data = kc.data.gaussian_classes(n, 32, class_sizes=(first, n - first))
            methods = {"sampled": kc.sampled_nc1}
            if name == "balanced":
                methods["random features"] = kc.random_feature_nc1
            for what, method in methods.items():
                results = []
                seconds = median_seconds(lambda m=method, d=data, r=results: r.append(m(d.x, d.labels)))
                value = results[0]
                print(
                    f"{n:>9} {name:<9} {what:<16} {seconds:>8.3f}s {value.pairs:>7} {value.rows:>9} "
                    f"{value.ratio:>8.5f} {value.relative_error:>7.2%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
