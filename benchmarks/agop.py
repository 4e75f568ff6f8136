"""Trained networks by layer: the neural feature ansatz, and what weights and activation do to NC1; means over seeds."""

import numpy as np

import kernel_collapse as kc

MEANS = {"D1": (-2, 2), "D2": (-6, -2, 2, 6), "overlap": (-0.3, 0.3)}
SEEDS, DEPTH, EPOCHS = (0, 1, 2), 3, 2000


def problem(law):
    if law == "xor":
        return kc.data.sample("xor", n=128, dim=8, seed=0)
    return kc.data.gaussian_classes(128, 8, class_means=MEANS[law], seed=0)


def of_layers(network, data):
    """Correlation with the root of the AGOP, and decades of NC1 by the weights and by the activation, a row a layer."""
    rows, below = [], data.x
    for layer in range(DEPTH):
        weights = network.scales.weights[layer] * network.weights[layer]
        ansatz = kc.rfm.feature_ansatz(weights.T @ weights, kc.networks.agop(network, data.x, layer=layer))
        bias = network.scales.biases[layer] * network.biases[layer]
        above = network.features(data.x, layer=layer)
        values = [
            kc.nc1_from_features(h, data.labels).ratio for h in (below, below @ weights.T + bias, above)
        ]
        rows.append([ansatz.correlation, *np.diff(np.log10(values)), values[-1]])
        below = above
    return np.array(rows)


def main():
    print(
        f"{'data':>8} {'layer':>5} {'ansatz: start':>13} {'end':>6} {'weights':>8} {'ReLU':>6} {'NC1':>8} {'loss':>8}"
    )
    for law in (*MEANS, "xor"):
        data = problem(law)
        options = {"width": 200, "depth": DEPTH, "activation": "relu", "seeds": SEEDS}
        start, end = (kc.networks.train(data, epochs=epochs, **options) for epochs in (0, EPOCHS))
        of = [np.mean([of_layers(network, data) for network in run.networks], axis=0) for run in (start, end)]
        for layer in range(DEPTH):
            first, last = of[0][layer], of[1][layer]
            print(
                f"{law:>8} {layer + 1:>5} {first[0]:>13.2f} {last[0]:>6.2f} {last[1]:>8.2f} {last[2]:>6.2f} "
                f"{last[3]:>8.3g} {end.loss[:, -1].mean():>8.2g}"
            )
        adaptive = kc.solve_adaptive(data.x, data.targets, activation="relu", width=100, noise_variance=1e-2)
        m = kc.rfm.kernel_agop(
            data.x,
            data.targets,
            kernel=kc.kernels.NNGP("relu"),
            ridge=1e-2 / adaptive.readout_variance,
            metric=adaptive.weight_covariance,
        )
        found = kc.rfm.feature_ansatz(adaptive.weight_covariance, m)
        print(f"{law:>8} adaptive kernel, Sigma: {found.correlation:.2f}", flush=True)


if __name__ == "__main__":
    main()
