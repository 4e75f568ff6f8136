"""Which activation collapses most: closed forms, names without one, and a function of your own."""

import numpy as np

import kernel_collapse as kc

data = kc.data.gaussian_classes(n=256, dim=16, seed=0)


def wavelet(x):
    return x * np.exp(-(x**2) / 2)


for activation in ("erf", "tanh", "gelu", "silu", "relu", "leaky_relu(0.1)", "hermite(3)", wavelet):
    nngp, ntk = (
        kc.nc1(kernel(data.x, activation=activation), data.labels).ratio for kernel in (kc.nngp, kc.ntk)
    )
    name = kc.activations.get(activation).name
    print(f"{name:16} NC1 under the NNGP {nngp:.3f}, under the NTK {ntk:.3f}")

# A kink is found by looking, and so is a jump, of which there is no NTK.
hat = kc.activations.expand(lambda x: np.maximum(1 - np.abs(x), 0), name="hat")
print(
    f"{hat.name} has kinks at {hat.kinks}: NC1 {kc.nc1(kc.ntk(data.x, activation=hat), data.labels).ratio:.3f}"
)

solution = kc.solve_adaptive(data.x, data.targets, activation="silu", width=100, noise_variance=1e-3)
print(
    f"silu, adapted at width 100: NC1 {kc.nc1(solution.gram, data.labels).ratio:.3f} ({solution.status.value})"
)
