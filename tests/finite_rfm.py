"""Deep recursive feature machines with random features, as they are published: the twin of the infinitely wide ones."""

import numpy as np

import kernel_collapse as kc


def finite_rfm(x, targets, labels, width, *, depth=3, bandwidth=2.0, ridge=0.0, seeds=20, seed=0):
    """NC1 of the features of every layer, of shape (seeds, depth), under the Laplace kernel with ReLU features.

    All seeds go through a layer in one batch. M = A'A with A the gradients of all samples, of the few rows n k; with
    A = U S V', M^{1/2} = V S V', and of a Gaussian W with rows of the width of the layer below, W V is Gaussian with
    independent entries: it is drawn as such.
    """
    rng = np.random.default_rng(seed)
    rows = np.broadcast_to(x, (seeds, *x.shape))
    targets = targets.reshape(len(x), -1)
    found = []
    for _ in range(depth):
        rows = rows / np.linalg.norm(rows, axis=2, keepdims=True)
        squares = 2.0 - 2.0 * rows @ rows.swapaxes(1, 2)
        distances = np.sqrt(np.maximum(squares, 0.0))
        distances[:, np.arange(len(x)), np.arange(len(x))] = 0.0
        kernel = np.exp(-distances / bandwidth)
        alpha = np.linalg.solve(
            kernel + ridge * np.eye(len(x)), np.broadcast_to(targets, (seeds, *targets.shape))
        )
        slope = np.divide(kernel, bandwidth * distances, out=np.zeros_like(kernel), where=distances > 0)
        gradients = []
        for k in range(targets.shape[1]):
            weights = slope * alpha[:, None, :, k]
            gradients.append(weights @ rows - weights.sum(axis=2, keepdims=True) * rows)
        matrix = np.concatenate(gradients, axis=1) / np.sqrt(len(x))
        _, values, right = np.linalg.svd(matrix, full_matrices=False)
        stretched = (rows @ right.swapaxes(1, 2)) * values[:, None, :]
        projection = rng.normal(size=(seeds, right.shape[1], width)) / np.sqrt(width)
        rows = np.maximum(stretched @ projection, 0.0)
        found.append([kc.nc1_from_features(one, labels).ratio for one in rows])
    return np.array(found).T
