"""NC1 of the paper's D1 under the two limiting kernels, in a dozen lines."""

import kernel_collapse as kc

data = kc.data.gaussian_classes(n=1024, dim=128, seed=0)  # two classes at -2 and +2 in every coordinate
print(data)
print(f"NC1 of the data: {kc.nc1_from_features(data.x, data.labels).ratio:.4f}")

for activation in ("erf", "relu"):
    for name, kernel in (("NNGP", kc.nngp), ("NTK", kc.ntk)):
        gram = kernel(data.x, activation=activation)  # shape (1024, 1024)
        value = kc.nc1(gram, data.labels)
        print(f"NC1 under the {name} of {activation}: {value.ratio:.4f}")
