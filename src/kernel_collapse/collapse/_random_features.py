r"""NC1 of the NNGP from random features: a few wide networks at initialisation, read in one pass over the data.

Depth 1: the hidden units f of a network at initialisation are independent, and the NNGP is E[phi_f phi_f']. So each
unit is a sample of both traces,

    a_f = sum_c u_c var_c(phi_f),    b_f = sum_c q_c (mean_c(phi_f) - m_f)^2,    m_f = sum_c p_c mean_c(phi_f),

whose means over units are unbiased for tr S_W and tr S_B.

Depth 2 and more: units share the layers below, so that independent networks are the samples, `NETWORKS` of width w =
features / `NETWORKS` each. The finite width biases the kernel by O(depth / w), which is less than the standard error
of O(1 / sqrt(features)): few networks, then, and wide ones. Measured on 1,000 draws (500 of 1024 features) for two
classes (n = 80, d = 4, bias_variance 0.1; in the second row 78 and 2 samples): the bias of the ratio as a share of its
standard error, and how many intervals of 95 % cover it.

==========  =====  ========  ======  =======
activation  depth  features  bias    covered
==========  =====  ========  ======  =======
erf         2      512        0.04   94.2 %
erf         3      1024       0.03   95.8 %
relu        2      512       -0.02   93.3 %
relu        3      512       -0.09   93.4 %
relu        3      1024      -0.09   95.0 %
relu        5      1024      -0.17   91.8 %
==========  =====  ========  ======  =======

Taking the bias out by networks of half the width (2 trace(w) - trace(w/2)) widens the interval 1.4 to 1.9 times and
covers no better.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.activations import ActivationLike
from kernel_collapse.collapse._estimate import (
    NC1Estimate,
    Rows,
    ratio_interval,
    student_quantile,
)
from kernel_collapse.collapse._moments import EPS
from kernel_collapse.collapse._nc1 import WEIGHTINGS, Weighting, class_weights
from kernel_collapse.collapse._round_off import FEATURES, TOGETHER
from kernel_collapse.kernels import NNGP, Kernel
from kernel_collapse.kernels.named import resolve

__all__ = ["random_feature_nc1"]

#: Independent networks at depth 2 and more: enough for a variance, and few enough to be wide.
NETWORKS = 8
#: Width of the narrowest network whose bias is small against the error.
NARROWEST = 64


def random_feature_nc1(
    x: Any,
    labels: Any,
    *,
    features: int = 1024,
    kernel: Literal["nngp"] | NNGP = "nngp",
    activation: ActivationLike | None = None,
    depth: int | None = None,
    weight_variance: float | None = None,
    bias_variance: float | None = None,
    weighting: Weighting = "paper",
    confidence: float = 0.95,
    seed: int = 0,
    rows: int = 1024,
) -> NC1Estimate:
    r"""Estimate NC1 of the NNGP from random features, in one pass over the data.

    The work is O(n features d), and O(n features^2 / 8) more for each layer after the first; the memory is O(features
    C + rows features) and never that of all features. The interval is for the random draw of the weights, because all
    samples are used. Its width falls like 1 / sqrt(features). `sampled_nc1` reaches a given error sooner and also
    treats the NTK. This function treats activations whose dual is not known.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Inputs, one sample a row: an array, a memory map, or anything else with `shape` that takes an ascending array
        of row numbers in brackets. Every row is read once.
        Arrays of PyTorch, JAX and CuPy are read into NumPy's, in which all is computed, without derivatives.
    labels : sequence, length n
        Class of each sample: any hashable values, in any order.
    features : int
        Total number of units of the last hidden layer. At depth 2 and more it is rounded down to a multiple of 8 and
        spread over 8 independent networks, whose hidden layers all have the same width; at least 512.
    kernel : {"nngp"} or NNGP
        The kernel; a `kernel_collapse.kernels.NNGP` of the features has its own parameters.
    activation, depth, weight_variance, bias_variance
        As for `nngp`, by default too; an `Activation` need only be callable.
    weighting : {"paper", "sample", "class", "published"}
        As for `kernel_collapse.nc1`.
    confidence : float
        Probability with which the interval is to cover the ratio, from 0.001 to 1 - 1e-9.
    seed : int
        Seed of the generator.
    rows : int
        Samples whose features are held at once.

    Returns
    -------
    NC1Estimate
        `within` and `between` are unbiased at depth 1; at depth 2 and more the width of the networks biases them, by
        less than their error. Where the class means coincide, the ratio is NaN and `reason` says so.

    Raises
    ------
    ValueError
        If labels do not fit the rows, there is only one class, a parameter is out of its range, or a row or a feature
        is not finite.

    References
    ----------
    Rahimi and Recht (2007), "Random features for large-scale kernel machines"; the interval of a ratio: Cochran (1977),
    "Sampling Techniques", chapter 6.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(300, 8)
    >>> estimate = kc.random_feature_nc1(data.x, data.labels, features=4096)
    >>> exact = kc.nc1(kc.nngp(data.x), data.labels).ratio
    >>> estimate.low < exact < estimate.high, estimate.relative_error < 0.1
    (True, True)
    """
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    layers = _network(
        resolve(
            kernel,
            activation=activation,
            depth=depth,
            weight_variance=weight_variance,
            bias_variance=bias_variance,
        )
    )
    shallow = layers.depth == 1
    features = _validate.count(features, "features", least=2 if shallow else NETWORKS * NARROWEST)
    confidence = _validate.confidence(confidence)
    rng = np.random.default_rng(_validate.seed(seed))
    block = _validate.count(rows, "rows")
    codes, classes = _validate.encode_labels(labels)
    data = Rows(x, len(codes))
    deeper = 0 if shallow else (layers.depth - 1) * features * (features // NETWORKS)
    _validate.fits(
        features * (data.dim + min(block, len(codes)) + 2 * len(classes)) + deeper,
        f"{_validate.shown(features)} features of {data.dim} inputs, {min(block, len(codes))} rows at a time,",
        "lower features or rows",
    )
    network = _Shallow(data.dim, features, layers, rng) if shallow else _Deep(data.dim, features, layers, rng)

    moments = _ClassMoments(len(classes))
    for start in range(0, len(codes), block):
        numbers = np.arange(start, min(start + block, len(codes)))
        moments.add(_finite(network, data[numbers]), codes[numbers])
    within, between = (network.replicates(trace) for trace in moments.traces(weighting))
    # Means err by round-off of the features, then squared, as in nc1_from_features.
    round_off = (4.0 * EPS) ** 2 * moments.largest
    signed = weighting == "published"
    return _estimate(within, between, round_off, confidence, network.features, data.read, signed=signed)


def _network(kernel: Kernel) -> NNGP:
    """Return the kernel if random features are known of it."""
    if isinstance(kernel, NNGP) and kernel.kind == "features":
        return kernel
    raise InputError.of(
        "kernel",
        kernel,
        "kernel_collapse.kernels.NNGP of the features",
        "random features are the hidden units of its network; use sampled_nc1",
    )


def _finite(network: _Shallow | _Deep, x: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m f"]:
    with np.errstate(over="ignore", invalid="ignore"):
        phi = network(x)
    # Squares are what is summed, so they are what must be finite.
    largest = np.abs(phi).max()
    if 0.0 < largest < 1e-138:
        raise InputError(
            "the largest feature",
            f"{largest:.3g}",
            "more than 1e-138, or squares are lost",
            "scale x or weight_variance up",
        )
    if not largest < 1e150:
        raise InputError(
            "the features",
            "not finite or their squares pass the largest float64",
            "smaller ones",
            "scale x, weight_variance or depth down",
            verb="are",
        )
    return phi


def _estimate(
    within: Float[np.ndarray, " k"],
    between: Float[np.ndarray, " k"],
    round_off: float,
    confidence: float,
    features: int,
    rows: int,
    *,
    signed: bool,
) -> NC1Estimate:
    """Return the estimate from independent replicates of both traces."""
    count = len(within)
    # In a unit, a power of two, in which squares of the traces neither overflow nor vanish.
    unit = float(2.0 ** np.round(np.log2(float(max(np.abs(within).max(), np.abs(between).max())) or 1.0)))
    within, between, round_off = within / unit, between / unit, round_off / unit
    mean_within, mean_between = float(within.mean()), float(between.mean())
    # Round-off of the features moves distances, which are squares.
    within_off = 0.0 if mean_within == 0.0 else round_off + 2.0 * (round_off * abs(mean_within)) ** 0.5
    nothing = 0.0 < abs(mean_within) <= round_off
    mean_within = 0.0 if nothing else mean_within
    mean_between = 0.0 if abs(mean_between) <= round_off else mean_between
    residual = within - (mean_within / mean_between if mean_between else 0.0) * between
    ratio, low, high, reason = ratio_interval(
        mean_within,
        mean_between,
        variance=0.0 if mean_within == 0.0 else float(residual.var(ddof=1)) / count,
        between_variance=float(between.var(ddof=1)) / count,
        quantile=student_quantile(confidence, count - 1.0),
        round_off=(0.0 if nothing else within_off, round_off),
        source=FEATURES,
        signed=signed,
    )
    if nothing and not reason:
        reason = TOGETHER
    return NC1Estimate(
        ratio,
        low,
        high,
        mean_within * unit,
        mean_between * unit,
        confidence,
        rows=rows,
        features=features,
        reason=reason,
    )


class _Shallow:
    """The hidden units of one layer, each a replicate by itself."""

    def __init__(self, dim: int, features: int, network: NNGP, rng: np.random.Generator) -> None:
        self.activation, self.features = network.phi, features
        self.weights = rng.normal(scale=np.sqrt(network.weight_variance / dim), size=(dim, features))
        self.bias = rng.normal(scale=np.sqrt(network.bias_variance), size=features)

    def __call__(self, x: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m f"]:
        return self.activation(x @ self.weights + self.bias)

    def replicates(self, trace: Float[np.ndarray, " f"]) -> Float[np.ndarray, " f"]:
        return trace


class _Deep:
    """Independent networks of equal width, each a replicate."""

    def __init__(self, dim: int, features: int, network: NNGP, rng: np.random.Generator) -> None:
        width = features // NETWORKS
        self.activation, self.features = network.phi, NETWORKS * width
        self.first = _Shallow(dim, self.features, network, rng)
        scale = np.sqrt(network.weight_variance / width)
        self.weights = [
            rng.normal(scale=scale, size=(NETWORKS, width, width)) for _ in range(network.depth - 1)
        ]
        self.biases = rng.normal(
            scale=np.sqrt(network.bias_variance), size=(network.depth - 1, NETWORKS, 1, width)
        )

    def __call__(self, x: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m f"]:
        h = self.first(x).reshape(len(x), NETWORKS, -1).transpose(1, 0, 2)
        for weights, bias in zip(self.weights, self.biases, strict=True):
            h = self.activation(h @ weights + bias)
        return h.transpose(1, 0, 2).reshape(len(x), -1)

    def replicates(self, trace: Float[np.ndarray, " f"]) -> Float[np.ndarray, " k"]:
        return trace.reshape(NETWORKS, -1).mean(axis=1)


class _ClassMoments:
    """Mean and sum of squared deviations of each feature in each class, merged block by block (Chan et al., 1983)."""

    def __init__(self, n_classes: int) -> None:
        self.sizes = np.zeros((n_classes, 1))
        self.mean: np.ndarray = np.zeros((n_classes, 1))
        self.squares: np.ndarray = np.zeros((n_classes, 1))

    def add(self, phi: Float[np.ndarray, "m f"], codes: Int[np.ndarray, " m"]) -> None:
        """Take in the features of samples of these classes."""
        order = np.argsort(codes, kind="stable")
        c, starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
        phi, added = phi[order], counts[:, None]
        mean = np.add.reduceat(phi, starts) / added
        phi -= np.repeat(mean, counts, axis=0)
        squares = np.add.reduceat(np.square(phi, out=phi), starts)
        if not self.sizes.any():  # the number of features is known from here on
            self.mean, self.squares = (np.zeros((len(self.sizes), phi.shape[1])) for _ in range(2))
        total = self.sizes[c] + added
        step = mean - self.mean[c]
        self.squares[c] += squares + step**2 * (self.sizes[c] * added / total)
        self.mean[c] += step * (added / total)
        self.sizes[c] = total

    @property
    def largest(self) -> float:
        """The largest mean square of a class's features."""
        return float((self.squares / self.sizes + self.mean**2).mean(axis=1).max())

    def traces(self, weighting: Weighting) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
        """Return what each feature adds to tr S_W and tr S_B."""
        share = self.sizes[:, 0] / self.sizes.sum()
        spread = self.squares / self.sizes
        if weighting == "published":
            class_squares = (self.mean**2).mean(axis=0)
            within = share @ (spread + self.mean**2) - class_squares
            return within, class_squares - (share @ self.mean) ** 2
        _, q, p = class_weights(weighting, share, share)
        return p @ spread, q @ (self.mean - p @ self.mean) ** 2
