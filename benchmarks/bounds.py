"""How far bounds on NC1 are from NC1 of trained networks: the tables of docs/theory.md.

First networks whose last hidden layer is linear, for which the loss with the imbalance or the gradient of the last two
layers bounds NC1, trained on the squared error and on the cross-entropy; then those of the study `deep-kernels`, whose
last hidden layer is not. Everything is in float64, of several seeds. `--figure FILE` draws the bounds over training.
It takes some minutes.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np

import kernel_collapse as kc
from kernel_collapse.kernels import Activation, Conv, Flatten

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import nc1_bounds as bounds

DIM = 8
LAWS = {
    "D1": {"n": 32},
    "D2": {"n": 32, "class_means": (-6.0, -2.0, 2.0, 6.0)},
    "overlap": {"n": 32, "class_means": (-0.3, 0.3)},
    "one-hot": {"n": 33, "class_means": (-3.0, 0.0, 3.0)},
}
#: The largest slope of each activation.
SLOPES = {"erf": 2 / np.sqrt(np.pi), "relu": 1.0}
#: One way of training all networks with a linear layer; momentum makes a step as long as ten.
EPOCHS, RATE, MOMENTUM = 30_000, 1e-3, 0.9
DECAYS = (3e-2, 3e-3, 1e-6)
#: Networks of each kind, which differ in their start.
SEEDS = 5
#: The figure looks at these epochs.
LOOKS = (30, 60, 100, 200, 300, 600, 1000, 1500, 2000, 3000, 4500, 6000, 8000, 10_000, 15_000, 20_000, 30_000)


def data_of(law, loss="mse"):
    """Return a law's data as images of one pixel, of which a convolution makes a fully connected layer."""
    data = kc.data.gaussian_classes(dim=DIM, **LAWS[law])
    targets = data.targets if loss == "mse" else np.eye(len(data.class_sizes))[data.labels]
    return kc.data.from_arrays(data.x.reshape(-1, 1, 1, DIM), data.labels, targets)


def time_of(epochs):
    """Return the time of gradient flow that so many epochs are."""
    return epochs * RATE / (1 - MOMENTUM)


def train(data, activation, depth, decay, *, linear=True, epochs=EPOCHS, loss="mse", seeds=SEEDS):
    """Return networks before and after training: `depth` layers with the activation, one, linear or not, on top."""
    top = [Conv(1)] if linear else [Conv(1), Activation(activation)]
    training = kc.networks.train(
        data,
        layers=[Conv(1), Activation(activation)] * depth + [*top, Flatten()],
        width=50,
        readout_variance=1.0,
        epochs=epochs,
        learning_rate=RATE,
        momentum=MOMENTUM,
        weight_decay=decay,
        loss=loss,
        seeds=seeds,
        precision="float64",
    )
    return list(zip(training.initial_networks, training.networks, strict=True))


def linear_rows(law, activation, depth, decay, loss):
    """Return what each network with a linear last hidden layer has left of its imbalance, r, NC1, and bounds over it.

    Of cross-entropy r is the loss itself, and the first of the bounds is NC1 of the logits.
    """
    data, rows = data_of(law, loss), []
    for seed, networks in enumerate(train(data, activation, depth, decay, loss=loss)):
        first, last = (bounds.last_layers(network, data.images) for network in networks)
        left = np.linalg.norm(bounds.imbalance(last)) / np.linalg.norm(bounds.imbalance(first))
        nc1 = bounds.nc1(last.features, data.labels)
        of_mse = loss == "mse"
        found = (
            bounds.outputs_bound(last, data) if of_mse else bounds.nc1(last.outputs, data.labels),
            bounds.balance_bound(last, data, loss),
            bounds.gradient_bound(last, data, decay, loss),
            bounds.slope_bound(last, data, 1.0, loss),
        )
        how_far = bounds.unexplained(last, data) if of_mse else bounds.cross_entropy(last, data)
        rows.append((left, how_far, nc1, *(bound / nc1 for bound in found)))
        show((law, activation, depth, f"{decay:g}", seed), rows[-1])
    return rows


def rows_on_top(law, activation, depth, decay):
    """Return of networks that end with an activation: the cross-entropy, NC1, over it that of the logits, and slope."""
    data, rows = data_of(law, "cross_entropy"), []
    trained = train(data, activation, depth, decay, linear=False, loss="cross_entropy")
    for seed, (_, network) in enumerate(trained):
        layers = bounds.last_layers(network, data.images)
        nc1 = bounds.nc1(layers.features, data.labels)
        found = (
            bounds.nc1(layers.outputs, data.labels),
            bounds.slope_bound(layers, data, SLOPES[activation], "cross_entropy"),
        )
        rows.append((bounds.cross_entropy(layers, data), nc1, *(bound / nc1 for bound in found)))
        show((law, activation, depth, f"{decay:g}", seed), rows[-1])
    return rows


def study_rows(law, activation, depth, decayed):
    """Return NC1 of networks of the study, and over it that of the outputs, and the bounds of loss and slope."""
    data, rows = kc.data.gaussian_classes(dim=DIM, **LAWS[law]), []
    training = kc.networks.train(
        data,
        activation=activation,
        depth=depth,
        width=100,
        readout_variance=1 / 128,
        parameterisation="ntk",
        epochs=6000 if decayed else 600,
        learning_rate=5.0,
        weight_decay=2e-2 / len(data.x) if decayed else 0.0,
        seeds=SEEDS,
        precision="float64",
    )
    for seed, network in enumerate(training.networks):
        layers = bounds.last_layers(network, data.x)
        nc1 = bounds.nc1(layers.features, data.labels)
        found = (
            bounds.nc1(layers.outputs, data.labels),
            bounds.outputs_bound(layers, data),
            bounds.slope_bound(layers, data, SLOPES[activation]),
        )
        rows.append((bounds.unexplained(layers, data), nc1, *(bound / nc1 for bound in found)))
        show((law, activation, depth, "yes" if decayed else "no", seed), rows[-1])
    return rows


def show(names, row):
    print("".join(f"{name:>9}" for name in names), "".join(f"{value:>11.2e}" for value in row), flush=True)


def summary(name, values, nc1):
    """Print of values over NC1 their range, in how many cells they are no less than NC1, and in how many below 1."""
    held, of_use = np.count_nonzero(values >= 1), np.count_nonzero(values * nc1 < 1)
    print(
        f"  {name:<20} {values.min():.3g} to {values.max():.3g}, median {np.median(values):.3g}; "
        f"no less than NC1 in {held} of {len(values)}, less than 1 in {of_use}"
    )


def draw(path):
    from matplotlib.figure import Figure

    from kernel_collapse.report.style import style

    decay, data = DECAYS[0], data_of("D1")
    with style():
        figure = Figure(figsize=(8.4, 3.8), layout="constrained")
        for axes, linear in zip(figure.subplots(1, 2, sharey=True), (True, False), strict=True):
            curves = {"NC1": [], "loss": [], "loss and imbalance": [], "loss and gradient": [], "slope": []}
            for epochs in LOOKS:
                ((_, network),) = train(data, "relu", 1, decay, linear=linear, epochs=epochs, seeds=1)
                layers = bounds.last_layers(network, data.images)
                curves["NC1"].append(bounds.nc1(layers.features, data.labels))
                curves["loss"].append(bounds.outputs_bound(layers, data))
                curves["slope"].append(bounds.slope_bound(layers, data, 1.0))
                if linear:
                    curves["loss and imbalance"].append(bounds.balance_bound(layers, data))
                    curves["loss and gradient"].append(bounds.gradient_bound(layers, data, decay))
            times = 2 * decay * time_of(np.array(LOOKS))
            looks = {
                "NC1": {"color": "black", "lw": 2.5},
                "loss": {"color": "#0072B2", "ls": ":"},
                "loss and imbalance": {"color": "#D55E00"},
                "loss and gradient": {"color": "#009E73", "ls": "--"},
                "slope": {"color": "#CC79A7", "ls": "-."},
            }
            for name, values in curves.items():
                if values:
                    label = {"NC1": "NC1 of the last hidden layer", "loss": "r / (1 - r), of the loss alone"}
                    label = label.get(name, f"bound by {name}")
                    axes.loglog(times, values, label=label, **looks[name])
            axes.set_xlabel(r"time in units of $1 / 2\lambda$")
            axes.set_title(f"last hidden layer {'linear' if linear else 'of ReLU'}")
            axes.legend()
        figure.axes[0].set_ylabel("NC1 and its bounds")
        figure.savefig(path, dpi=110, bbox_inches="tight")


def main():
    if sys.argv[1:2] == ["--figure"]:
        draw(sys.argv[2])
        return
    linear()
    on_top()
    of_the_study()


def linear():
    for loss, first, second in (("mse", "r", "loss"), ("cross_entropy", "loss", "logits")):
        print(f"\nThe last hidden layer is linear, the loss is {loss}. Of each bound: over NC1.")
        heads = ("left", first, "NC1", second, "imbalance", "gradient", "slope")
        print(f"      law      phi   layers    decay     seed {''.join(f'{head:>11}' for head in heads)}")
        for decay in DECAYS:
            cells = product(LAWS, SLOPES, (1, 2))
            rows = [row for law, a, depth in cells for row in linear_rows(law, a, depth, decay, loss)]
            columns = np.array(rows).T
            print(f"decay {decay:g}: exp(-2 decay time) = {np.exp(-2 * decay * time_of(EPOCHS)):.3g}")
            for name, values in zip(("imbalance left", first, "NC1"), columns, strict=False):
                print(
                    f"  {name:<20} {values.min():.3g} to {values.max():.3g}, median {np.median(values):.3g}"
                )
            one = np.repeat([law != "one-hot" and loss == "mse" for law in LAWS], 4 * SEEDS)
            for name, values in zip(heads[3:], columns[3:], strict=True):
                summary(name, values, columns[2])
                if loss == "mse":
                    summary(f"{name}, one output", values[one], columns[2, one])
                    summary(f"{name}, one-hot", values[~one], columns[2, ~one])


def on_top():
    print(
        "\nThe last hidden layer has an activation, the loss is cross_entropy. Of logits and slope: over NC1."
    )
    print("      law      phi   layers    decay     seed        loss        NC1     logits      slope")
    for decay, activation in product(DECAYS, SLOPES):
        cells = product(LAWS, (1, 2))
        columns = np.array([row for law, d in cells for row in rows_on_top(law, activation, d, decay)]).T
        print(f"{activation}, decay {decay:g}")
        for name, values in zip(("loss", "NC1"), columns, strict=False):
            print(f"  {name:<20} {values.min():.3g} to {values.max():.3g}, median {np.median(values):.3g}")
        for name, values in zip(("logits", "slope"), columns[2:], strict=True):
            summary(name, values, columns[1])


def of_the_study():
    print("\nThe last hidden layer has an activation. Of NC1 of the outputs and each bound: over NC1.")
    print(
        "      law      phi   layers    decay     seed          r        NC1    outputs       loss      slope"
    )
    for decayed, activation in product((False, True), SLOPES):
        cells = product(list(LAWS)[:3], (1, 2, 3))
        columns = np.array([row for law, d in cells for row in study_rows(law, activation, d, decayed)]).T
        print(f"{activation}, {'with' if decayed else 'without'} decay")
        for name, values in zip(("outputs", "loss", "slope"), columns[2:], strict=True):
            summary(name, values, columns[1])


if __name__ == "__main__":
    main()
