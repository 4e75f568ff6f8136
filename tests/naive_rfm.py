"""A naive deep RFM, entry by entry as it is defined, in numbers of any precision: arrays of floats or of mpmath's."""

import mpmath
import numpy as np


def in_digits(array, digits):
    """The entries as numbers of that many digits; as they are where digits is None."""
    mpmath.mp.dps = digits or 15
    return array if digits is None else np.vectorize(mpmath.mpf, otypes=[object])(array)


def _functions(digits):
    if digits is None:
        return np.exp, np.sqrt, np.arctan2, np.pi
    return (
        np.frompyfunc(mpmath.exp, 1, 1),
        np.frompyfunc(mpmath.sqrt, 1, 1),
        np.frompyfunc(mpmath.atan2, 2, 1),
        mpmath.pi,
    )


def _solve(matrix, right):
    """By elimination without pivots, as a positive definite matrix allows."""
    a, b = matrix.copy(), right.copy()
    n = len(a)
    for j in range(n):
        factors = a[j + 1 :, j] / a[j, j]
        a[j + 1 :] = a[j + 1 :] - factors[:, None] * a[j]
        b[j + 1 :] = b[j + 1 :] - factors[:, None] * b[j]
    for j in range(n - 1, -1, -1):
        b[j] = (b[j] - a[j, j + 1 :] @ b[j + 1 :]) / a[j, j]
    return b


def unit(gram, sqrt):
    roots = sqrt(np.diag(gram))
    found = gram / roots[:, None] / roots
    found[np.diag_indices(len(found))] = found[0, 0] * 0 + 1
    return found


def step(gram, targets, kernel, bandwidth, ridge, digits):
    """X M X' of the fit, from Z_k = C~_k G."""
    exp, sqrt, _, _ = _functions(digits)
    n = len(gram)
    zero = gram[0, 0] * 0
    lengths = np.diag(gram)
    squares = np.maximum(lengths[:, None] + lengths - 2 * gram, zero)
    squares[np.diag_indices(n)] = zero
    distances = sqrt(squares)
    if kernel == "laplace":
        values = exp(-distances / bandwidth)
        slope = values / (bandwidth * np.where(distances > 0, distances, zero + 1))
        slope = np.where(distances > 0, slope, zero)
    else:
        values = exp(-squares / (2 * bandwidth * bandwidth))
        slope = values / (bandwidth * bandwidth)
    shifted = values.copy()
    shifted[np.diag_indices(n)] = shifted[np.diag_indices(n)] + ridge
    alpha = _solve(shifted, targets)
    total = gram * 0
    for k in range(targets.shape[1]):
        weights = slope * alpha[:, k]
        weights[np.diag_indices(n)] = weights[np.diag_indices(n)] - weights.sum(axis=1)
        z = weights @ gram
        total = total + z.T @ z
    return total / n


def relu(gram, digits):
    """kappa of ReLU."""
    _, sqrt, atan2, pi = _functions(digits)
    lengths = np.diag(gram)
    root = sqrt(np.maximum(lengths[:, None] * lengths - gram * gram, gram[0, 0] * 0))
    root[np.diag_indices(len(gram))] = gram[0, 0] * 0
    return (root + (pi - atan2(root, gram)) * gram) / (2 * pi)


def nc1(gram, labels):
    """tr S_W / tr S_B of balanced classes."""
    classes = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    means = np.array([[gram[np.ix_(a, b)].sum() / (len(a) * len(b)) for b in classes] for a in classes])
    own = np.diag(means)
    within = sum(gram[i, i] for i in range(len(gram))) / len(gram) - own.sum() / len(own)
    return within / (own.sum() / len(own) - means.sum() / means.size)


def deep_rfm(x, targets, labels, *, depth, kernel="laplace", bandwidth=2.0, ridge=0.0, digits=None):
    """NC1 of every layer, of input, M^{1/2} x and features, in float64 from as many digits as asked."""
    _, sqrt, _, _ = _functions(digits)
    x, targets = in_digits(x, digits), in_digits(targets, digits)
    bandwidth, ridge = (x[0, 0] * 0 + number for number in (bandwidth, ridge))
    gram, found = unit(x @ x.T, sqrt), []
    for _ in range(depth):
        agop = step(gram, targets, kernel, bandwidth, ridge, digits)
        features = relu(agop, digits)
        found.append([float(nc1(one, labels)) for one in (gram, agop, features)])
        gram = unit(features, sqrt)
    return np.array(found)
