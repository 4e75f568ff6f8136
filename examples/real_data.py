"""How collapsed real images of digits are under each kernel, by depth; and a split to test with."""

import kernel_collapse as kc

digits = kc.data.shipped("digits")  # comes with scikit-learn: nothing is downloaded
train, test = kc.data.split(digits, holdout=0.5, seed=0)  # every class in its share in both
print(f"training: {train}\n    test: {test}\n")

depths = (1, 2, 4, 8)
print("NC1 at depth      " + "".join(f"{depth:>8}" for depth in depths))
for activation in ("erf", "relu"):
    for name, kernel in (("NNGP", kc.nngp), ("NTK", kc.ntk)):
        for part, data in (("train", train), ("test", test)):
            x = kc.data.standardize(data).x
            ratios = [
                kc.nc1(kernel(x, activation=activation, depth=depth), data.labels).ratio for depth in depths
            ]
            print(f"{activation:>4} {name:>4}, {part:<5}   " + "".join(f"{ratio:8.3f}" for ratio in ratios))
