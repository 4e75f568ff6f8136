"""A trained network, the posterior, and the kernels that are meant to follow them, on one small problem."""

import numpy as np

import kernel_collapse as kc

data = kc.data.gaussian_classes(n=48, dim=4, seed=1)
prior = {"width": 200, "readout_variance": 1 / 128}
noisy = {**prior, "noise_variance": 1e-2}


def show(name, gram, error=None):
    ratio = kc.nc1(gram, data.labels).ratio
    print(f"{name:>22}: NC1 {ratio:.4f}" + ("" if error is None else f" +- {error:.4f}"))


show("NNGP", kc.nngp(data.x))
show("equations of state", kc.solve_adaptive(data.x, data.targets, **noisy).gram)
mean_field = kc.networks.solve_mean_field(data, **noisy)
show("mean field", mean_field.gram, mean_field.ratio_error)
posterior = kc.networks.sample_posterior(data, **noisy, draws=600)
show("posterior", posterior.gram, posterior.ratio_error)

training = kc.networks.train(
    data, **prior, parameterisation="ntk", learning_rate=10.0, weight_decay=0.0, epochs=300, seeds=5
)
ends = training.nc1[:, -1, -1]
print(f"{'5 trained networks':>22}: NC1 {np.mean(ends):.4f} +- {np.std(ends) / np.sqrt(5):.4f}")
show("NTK of the first", kc.networks.empirical_ntk(training.networks[0], data.x))
