"""A kernel that adapts to data and labels, its certificate, and what the labels do to it."""

import numpy as np

import kernel_collapse as kc

data = kc.data.gaussian_classes(n=256, dim=32, seed=0)
print(f"NC1 under the NNGP: {kc.nc1(kc.nngp(data.x), data.labels).ratio:.4f}")

for width in (5000, 500, 50):
    solution = kc.solve_adaptive(data.x, data.targets, width=width)
    ratio = kc.nc1(solution.gram, data.labels).ratio
    print(
        f"width {width}: NC1 {ratio:.4f}, {solution.status.value}, residual {solution.residual:.1e}", end=", "
    )
    print(
        f"largest eigenvalue of the weights' covariance {solution.eigenvalues[-1]:.2f} times that of the prior"
    )

shuffled = np.random.default_rng(0).permutation(data.targets)
solution = kc.solve_adaptive(data.x, shuffled, width=50)
print(f"width 50, labels shuffled: NC1 {kc.nc1(solution.gram, data.labels).ratio:.4f}")
