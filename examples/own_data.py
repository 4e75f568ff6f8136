"""How collapsed a table of your own is, and how depth changes that. Labels may be of any kind."""

from sklearn.datasets import load_wine

import kernel_collapse as kc

wine = load_wine()
x = (wine.data - wine.data.mean(axis=0)) / wine.data.std(axis=0)
data = kc.data.from_arrays(x, wine.target_names[wine.target], name="wine")
print(data, data.classes)

for depth in (1, 2, 3, 5):
    ratios = [
        kc.nc1(kernel(data.x, activation="relu", depth=depth), data.labels).ratio
        for kernel in (kc.nngp, kc.ntk)
    ]
    print(f"depth {depth}: NC1 {ratios[0]:.3f} (NNGP), {ratios[1]:.3f} (NTK)")
