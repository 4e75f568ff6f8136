"""Upper bounds on NC1 of the last hidden layer of a network; docs/theory.md proves each of them.

The outputs are f = A h + c, of features h = phi(W g + b), where g is the layer below or the inputs. Samples are rows.
All samples of a class have one target. NC1 has the weighting "sample", in which S_W + S_B is the covariance. The loss
is the mean squared error, or the cross-entropy of logits f: then there is one output a class, and targets are one-hot.
"""

from typing import Literal, NamedTuple

import numpy as np
from scipy.linalg import null_space, orth
from scipy.special import logsumexp, softmax

Loss = Literal["mse", "cross_entropy"]


class Layers(NamedTuple):
    """The last two layers, scales included, and what they make of the samples."""

    readout: np.ndarray  # A, (k, N)
    outputs: np.ndarray  # f, (n, k)
    features: np.ndarray  # h, (n, N)
    weights: np.ndarray  # W, (N, M)
    biases: np.ndarray  # b, (N,)
    below: np.ndarray  # g, (n, M)


class Gradients(NamedTuple):
    """Of the loss with weight decay, by the parameters of the last two layers if both are linear."""

    readout: np.ndarray  # D_A, (k, N)
    weights: np.ndarray  # D_W, (N, M)
    biases: np.ndarray  # D_b, (N,)


def last_layers(network, inputs):
    """Return them of a network whose filters, if it has any, see the whole image."""
    weights, biases = (
        [scale * value for scale, value in zip(*pair, strict=True)]
        for pair in zip(network.scales, network.parameters, strict=True)
    )
    below = network.features(inputs, layer=-2) if len(weights) > 2 else inputs.reshape(len(inputs), -1)
    return Layers(
        weights[-1], network(inputs), network.features(inputs), weights[-2], biases[-2], np.asarray(below)
    )


def deviations(values, labels):
    """Return what S_W and S_B are the squares of: samples less class means, and class means less the mean."""
    means = np.array([values[labels == c].mean(axis=0) for c in range(labels.max() + 1)])[labels]
    return (values - means) / np.sqrt(len(values)), (means - values.mean(axis=0)) / np.sqrt(len(values))


def nc1(values, labels):
    within, between = deviations(values, labels)
    return np.sum(within**2) / np.sum(between**2)


def unexplained(layers, data):
    """Return r: the mean squared error of a sample over T, the variance of the targets."""
    errors, targets = layers.outputs - data.targets, data.targets - data.targets.mean(axis=0)
    return np.sum(errors**2) / np.sum(targets**2)


def outputs_bound(layers, data):
    """Return r / (1 - r), which NC1 of the outputs does not exceed; infinite from r = 1 on."""
    r = unexplained(layers, data)
    return r / (1.0 - r) if r < 1.0 else np.inf


def cross_entropy(layers, data):
    """Return the mean over samples of -log p of the class of each."""
    own = layers.outputs[np.arange(len(data.labels)), data.labels]
    over = layers.outputs - own[:, None]  # of its own class 0, so that no digits of a small loss are lost
    over[np.arange(len(data.labels)), data.labels] = -np.inf
    return np.mean(np.logaddexp(0.0, logsumexp(over, axis=1)))


def probabilities_bound(layers, data):
    """Return what the cross-entropy bounds NC1 of the probabilities by; infinite where it is too large to say any."""
    targets = data.targets - data.targets.mean(axis=0)
    r = 2.0 * -np.expm1(-cross_entropy(layers, data)) * len(targets) / np.sum(targets**2)
    return r / (1.0 - r) if r < 1.0 else np.inf


def slope_bound(layers, data, slope, loss: Loss = "mse"):
    """Return the bound on NC1 of the features for an activation of at most this slope; no weight decay is needed."""
    within, _ = deviations(layers.below, data.labels)
    spread = np.sum((within @ layers.weights.T) ** 2)
    return slope**2 * spread * np.linalg.norm(layers.readout, 2) ** 2 * _outputs(layers, data, loss).inverse


def errors(layers, data, loss: Loss):
    """Return E, the derivative of the loss by the outputs, (n, k)."""
    if loss == "mse":
        return 2.0 * (layers.outputs - data.targets) / data.targets.size
    return (softmax(layers.outputs, axis=1) - data.targets) / len(data.targets)


def gradients(layers, data, weight_decay, loss: Loss = "mse"):
    slope = errors(layers, data, loss)
    back = slope @ layers.readout
    return Gradients(
        slope.T @ layers.features + weight_decay * layers.readout,
        back.T @ layers.below + weight_decay * layers.weights,
        back.sum(axis=0) + weight_decay * layers.biases,
    )


def imbalance(layers):
    """Return A'A - WW' - bb', which weight decay takes to 0 where the last hidden layer is linear."""
    a, w, b = layers.readout, layers.weights, layers.biases
    return a.T @ a - w @ w.T - np.outer(b, b)


def balance_bound(layers, data, loss: Loss = "mse"):
    """Return the bound on NC1 of the features by outputs and imbalance, if the last hidden layer is linear."""
    idle = _idle(data.targets).T @ layers.readout
    return _linear_bound(layers, data, np.sum(idle**2) + np.linalg.norm(imbalance(layers), "nuc"), loss)


def gradient_bound(layers, data, weight_decay, loss: Loss = "mse"):
    """Return the bound on NC1 of the features by outputs and gradient, if the last hidden layer is linear."""
    idle = _idle(data.targets)
    aside = np.linalg.norm((idle.T @ layers.readout).T @ (errors(layers, data, loss) @ idle).T @ layers.below)
    steep = np.linalg.norm(gradients(layers, data, weight_decay, loss).weights)
    return _linear_bound(layers, data, ((steep + aside) / weight_decay) ** 2, loss)


def _linear_bound(layers, data, unseen, loss: Loss):
    """Return the bound, given one on the square of the weights into directions that the readout does not see."""
    sizes = np.linalg.svd(_working(data.targets).T @ layers.readout, compute_uv=False)
    sizes = sizes[sizes > 1e-12 * sizes[0]]
    within, _ = deviations(layers.below, data.labels)
    spread = np.linalg.norm(within, 2) ** 2
    outputs = _outputs(layers, data, loss)
    return (sizes[0] / sizes[-1]) ** 2 * outputs.nc1 + sizes[0] ** 2 * spread * unseen * outputs.inverse


class _Outputs(NamedTuple):
    """Of the outputs in the directions in which the targets differ: NC1 and 1 / tr S_B, or bounds on them."""

    nc1: float
    inverse: float


def _outputs(layers, data, loss: Loss):
    """Return bounds by the mean squared error; of logits, which the cross-entropy bounds by nothing, what they are."""
    if loss == "cross_entropy":
        _, between = deviations(layers.outputs @ _working(data.targets), data.labels)
        return _Outputs(nc1(layers.outputs @ _working(data.targets), data.labels), 1.0 / np.sum(between**2))
    r = unexplained(layers, data)
    if r >= 1.0:
        return _Outputs(np.inf, np.inf)
    targets = data.targets - data.targets.mean(axis=0)
    return _Outputs(
        outputs_bound(layers, data), len(targets) / (np.sum(targets**2) * (1.0 - np.sqrt(r)) ** 2)
    )


def _working(targets):
    """Return an orthonormal basis of the span of the centred targets, (k, p)."""
    return orth((targets - targets.mean(axis=0)).T, rcond=1e-10)


def _idle(targets):
    """Return one of the outputs' directions in which the targets do not differ, (k, k - p)."""
    return null_space(targets - targets.mean(axis=0), rcond=1e-10)
