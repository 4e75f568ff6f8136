r"""Limits of the expected NC1: classes far apart, and many dimensions.

With alpha = sigma_w^2/d, G(x, x') = alpha x.x' + sigma_b^2 and q = G(x, x), the kernels of one hidden layer are
functions K(q, q', c) of q, q' and c = G(x, x'): K = kappa for the NNGP and K = sigma_w^2 (kappa + c kappa_c) for the
NTK, up to a constant. Both limits are Taylor expansions of K, so they hold for any activation. A prime at kappa_c is a
derivative along the diagonal q = q' = c, and kappa_cc = d kappa_c / dc; both are taken by finite differences of the
activation's own functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.activations import ActivationLike
from kernel_collapse.collapse import NC1, WEIGHTINGS, Weighting
from kernel_collapse.kernels import NNGP, NTK
from kernel_collapse.theory._expected import network_of, sizes_of
from kernel_collapse.theory._mixture import Covariance, GaussianMixture, applied
from kernel_collapse.theory._moments import EPS, Network, Sizes, traces

__all__ = ["far_separated_nc1", "large_dimension_nc1"]

#: Relative steps of finite differences: round-off and truncation both stay below 1e-6 of what they multiply.
SECOND = 1e-3
FIRST = 1e-4


@np.errstate(all="ignore")  # what is not finite is refused at the end
def large_dimension_nc1(
    mixture: GaussianMixture,
    *,
    order: Literal[0, 1] = 1,
    kernel: Literal["nngp", "ntk"] | NNGP | NTK = "nngp",
    activation: ActivationLike | None = None,
    depth: int | None = None,
    weight_variance: float | None = None,
    bias_variance: float | None = None,
    class_sizes: Sequence[int] | None = None,
    class_shares: Sequence[float] | None = None,
    weighting: Weighting = "paper",
) -> NC1:
    r"""Return E tr S_W / E tr S_B for many dimensions, in which lengths and angles of samples concentrate.

    With means and variances per coordinate that stay as they are while d grows, ``|x|^2/d`` approaches
    ``(|mu|^2 + tr S)/d`` and x.y/d of independent samples approaches mu.nu/d, with fluctuations of order d^(-1/2) and
    means that are exactly these. So the expectation of the kernel is the kernel at these values, with a relative error
    of order 1/d (`order` 0), and with half the sum of its second derivatives times the covariances of the three, an
    error of order 1/d^2 (`order` 1). For x of mean mu and covariance S, y of mean nu and covariance T::

        Var |x|^2 = 2 tr S^2 + 4 mu'S mu      Var x.y = mu'T mu + nu'S nu + tr S T      Cov(|x|^2, x.y) = 2 mu'S nu

    It holds where these are small beside d^2: not for covariances with a few directions of most of the variance. The
    classes do not collapse in this limit: NC1 of the NNGP of D1 is 0.107 for erf however many dimensions there are.

    Parameters
    ----------
    mixture : GaussianMixture
        The law of the samples.
    order : {0, 1}
        0: the limit. 1: with the correction of order 1/d.
    kernel, activation, depth, weight_variance, bias_variance, class_sizes, class_shares, weighting
        As for `expected_nc1`; any activation that has `kappa` (and `kappa_c`, for the NTK).

    Returns
    -------
    NC1

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> mixture = kc.theory.gaussian_mixture(128)
    >>> exact = kc.theory.expected_nc1(mixture).ratio
    >>> [round(kc.theory.large_dimension_nc1(mixture, order=order).ratio / exact - 1, 6) for order in (0, 1)]
    [0.008009, -3e-06]
    """
    network = network_of(kernel, activation, depth, weight_variance, bias_variance)
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    if isinstance(order, bool) or not isinstance(order, int | np.integer) or order not in (0, 1):
        raise InputError.of("order", order, "0 (the limit) or 1 (with the correction of order 1/d)")
    sizes = sizes_of(mixture, class_sizes, class_shares)
    scale, classes = network.weight_variance / mixture.dim, range(len(mixture.means))
    both = [[_pair(mixture, network, a, b) for b in classes] for a in classes]
    q = np.array([pair.at[0] for pair in (both[c][c] for c in classes)])
    diagonal = np.array([_kernel(network, q[c], q[c], q[c], 0.0) for c in classes])
    pairs = np.array([[pair.kernel(network) for pair in row] for row in both])
    errors = np.abs(pairs)
    if order == 1:
        for a in classes:
            diagonal[a] += _diagonal_correction(network, q[a], scale**2 * _length_variance(mixture, a))
            for b in classes:
                correction, times = _pair_correction(network, both[a][b])
                pairs[a, b] += correction
                errors[a, b] *= 1.0 + times
    error = 8.0 * EPS * (np.abs(diagonal) + errors.max(axis=1))
    return _from_pairs(diagonal - np.diag(pairs), pairs, sizes, weighting, (error, error))


@np.errstate(all="ignore")  # as above
def far_separated_nc1(
    mixture: GaussianMixture,
    *,
    kernel: Literal["nngp", "ntk"] | NNGP | NTK = "nngp",
    activation: ActivationLike | None = None,
    depth: int | None = None,
    weight_variance: float | None = None,
    bias_variance: float | None = None,
    class_sizes: Sequence[int] | None = None,
    class_shares: Sequence[float] | None = None,
    weighting: Weighting = "paper",
) -> NC1:
    r"""Return E tr S_W / E tr S_B for classes whose means are far apart compared with their spread.

    A class is then a point, to first order, and its features vary by their gradient times the noise. With S the
    covariance of a class, mu its mean, alpha = sigma_w^2/d and ``q = alpha |mu|^2 + sigma_b^2``, its spread is::

        NNGP   alpha tr S kappa_c + 2 alpha^2 mu'S mu kappa_c'
        NTK    sigma_w^2 [ alpha tr S k + 2 alpha^2 mu'S mu (k' - kappa_cc) ],    k = 2 kappa_c + q kappa_cc

    all at q = q' = c, and tr S_B is that of the kernel between the means. NC1 falls as the square of epsilon, the ratio
    of standard deviation and distance. The relative error is of order epsilon^2 for smooth activations, and epsilon for
    ReLU (exponentially small in one dimension without a bias, where a unit sees a class as linear).

    The NTK of ReLU, or another activation with a kink, is different: a unit's derivative jumps between samples of one
    class if its hyperplane is between them. With theta the angle of two samples of a class (with the bias as a
    coordinate) its spread is, with a relative error of order epsilon, ::

        sigma_w^2 q E theta lim (kappa_c(q, q, q) - kappa_c(q, q, q cos theta)) / theta      (limit 1/(2 pi) for ReLU)

    so that its NC1 falls as epsilon itself: in the limit it is *less* collapsed than that of any smooth activation.

    It holds for standard deviations far below ``|mu|``, and below what the activation resolves: sigma_w^2 tr S / d << 1
    for erf, whose argument has the scale 1.

    Parameters
    ----------
    mixture, kernel, activation, depth, weight_variance, bias_variance, class_sizes, class_shares, weighting
        As for `expected_nc1`; any activation that has `kappa` and `kappa_c`.

    Returns
    -------
    NC1

    Raises
    ------
    ValueError
        If a class has mean 0 and there is no bias, or a parameter is out of its range.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> mixture = kc.theory.gaussian_mixture(8, class_stds=0.01)
    >>> round(kc.theory.far_separated_nc1(mixture).ratio / kc.theory.expected_nc1(mixture).ratio - 1, 5)
    3e-05
    """
    network = network_of(kernel, activation, depth, weight_variance, bias_variance)
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    sizes = sizes_of(mixture, class_sizes, class_shares)
    means = mixture.means
    inner = network.weight_variance / mixture.dim * means @ means.T + network.bias_variance
    q = np.diag(inner)
    if (q <= 0).any():
        raise InputError(
            f"class {int(np.argmin(q))}",
            "mean 0 and there is no bias",
            "means far from 0 beside the spread",
            "use expected_nc1",
            verb="has",
        )
    classes = range(len(means))
    pairs = np.array([[_kernel(network, q[a], q[b], inner[a, b]) for b in classes] for a in classes])
    spread = np.array([_far_spread(mixture, network, c, float(q[c])) for c in classes])
    error = 8.0 * EPS * np.abs(pairs).max(axis=1)
    return _from_pairs(spread, pairs, sizes, weighting, (8.0 * EPS * np.abs(spread), error))


def _from_pairs(
    spread: Float[np.ndarray, " C"],
    pairs: Float[np.ndarray, "C C"],
    sizes: Sizes,
    weighting: Weighting,
    errors: tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]],
) -> NC1:
    """Return the traces from spreads and the kernel between independent samples of every two classes.

    `errors` are the round-off of the spreads and of the kernel.
    """
    _require_finite(spread, pairs)
    centre = np.eye(len(pairs)) - sizes.share
    row = [spread, np.diag(pairs), [sizes.share @ pairs @ sizes.share], (centre @ pairs @ centre.T).ravel()]
    return traces(np.concatenate(row), sizes, weighting, errors)


def _require_finite(*terms: np.ndarray) -> None:
    if not all(np.isfinite(term).all() for term in terms):
        raise InputError(
            "the limit",
            "not finite: its terms pass the largest float64, or one hides the others",
            "means, deviations and variances nearer to 1",
            "scale them",
        )


def _kernel(network: Network, q1: float, q2: float, c: float, det: float | None = None) -> float:
    """Return K, without the constant of the NTK; the determinant is that of the three where it is not given."""
    activation = network.activation
    moments = tuple(np.array([float(value)]) for value in (q1, q2, c) + (() if det is None else (det,)))
    kappa = np.asarray(activation.kappa(*moments))
    if network.tangent:
        kappa = network.weight_variance * (kappa + c * np.asarray(activation.kappa_c(*moments)))
    return float(kappa[0])


def _length_variance(mixture: GaussianMixture, c: int) -> float:
    """Return Var |x|^2."""
    mu, covariance = mixture.means[c], mixture.covariances[c]
    return 2.0 * _trace_of_product(covariance, covariance, mixture.dim) + 4.0 * float(
        mu @ _apply(covariance, mu)
    )


class _Pair(NamedTuple):
    """Two independent samples, by coordinates in which nothing cancels, in units of sigma_w^2/d.

    With q1, q2 and c those of the two and s the sign of c: m = (q1 + q2)/2, delta = q1 - q2, and a = m - s c, which is
    half of the squared distance of x and s y, small for samples of one tight class.
    """

    at: Float[np.ndarray, " 3"]  # m, delta, a at their means
    covariance: Float[np.ndarray, "3 3"]  # of m, delta, a
    sign: float

    def kernel(self, network: Network, step: Any = 0.0) -> float:
        """Return K a step away."""
        m, delta, a = self.at + step
        det = max(2.0 * m * a - a * a - 0.25 * delta * delta, 0.0)
        return _kernel(network, m + 0.5 * delta, m - 0.5 * delta, self.sign * (m - a), det)

    def steps(self) -> Float[np.ndarray, " 3"]:
        """Return steps that are small beside what the kernel resolves, and leave the correlation below 1."""
        m, delta, a = self.at
        room = max(a - 0.125 * (delta * delta + a * a) / m, 0.0) / 20.0  # of a, until the two are collinear
        largest = SECOND * m
        of_delta = min(largest, np.sqrt(8.0 * m * room), 4.0 * m * room / abs(delta) if delta else np.inf)
        return np.array([min(largest, m * room / a) if a > 0 else largest, of_delta, min(largest, room)])


def _pair(mixture: GaussianMixture, network: Network, a: int, b: int) -> _Pair:
    """Return two independent samples of these classes."""
    mu, nu, s, t = mixture.means[a], mixture.means[b], mixture.covariances[a], mixture.covariances[b]
    dim, scale, bias = mixture.dim, network.weight_variance / mixture.dim, network.bias_variance
    sign = 1.0 if scale * float(mu @ nu) + bias >= 0 else -1.0
    between = mu - sign * nu
    trace = float(mixture.traces[a] + mixture.traces[b])
    of_x, of_y = _length_variance(mixture, a), _length_variance(mixture, b)
    # Cov(|x|^2, |w|^2/2) of w = x - s y, and that of |y|^2; half of the squared length of w
    with_x = _trace_of_product(s, s, dim) + 2.0 * float(mu @ _apply(s, between))
    with_y = _trace_of_product(t, t, dim) - 2.0 * sign * float(nu @ _apply(t, between))
    squares = sum(_trace_of_product(left, right, dim) for left in (s, t) for right in (s, t))
    along = float(between @ (_apply(s, between) + _apply(t, between)))
    covariance = [
        [0.25 * (of_x + of_y), 0.5 * (of_x - of_y), 0.5 * (with_x + with_y)],
        [0.5 * (of_x - of_y), of_x + of_y, with_x - with_y],
        [0.5 * (with_x + with_y), with_x - with_y, 0.5 * squares + along],
    ]
    lengths = [scale * float(mean @ mean) for mean in (mu, nu)]
    traces_ = [scale * float(mixture.traces[c]) for c in (a, b)]
    at = [
        0.5 * (sum(lengths) + sum(traces_)) + bias,
        lengths[0] + traces_[0] - lengths[1] - traces_[1],
        scale * 0.5 * (float(between @ between) + trace) + (2.0 * bias if sign < 0 else 0.0),
    ]
    return _Pair(np.array(at), scale**2 * np.array(covariance), sign)


def _apply(covariance: Covariance, vector: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    return applied(covariance, vector[None, :])[0]


def _trace_of_product(s: Covariance, t: Covariance, dim: int) -> float:
    """Return tr S T of covariances in any of their forms."""
    if np.ndim(s) < 2 and np.ndim(t) < 2:
        return float(np.sum(np.broadcast_to(np.multiply(s, t), (dim,))))
    if np.ndim(s) == 2 and np.ndim(t) == 2:
        return float(np.sum(s * t))
    full, other = (s, t) if np.ndim(s) == 2 else (t, s)
    return float(np.sum(np.diag(full) * other))


def _diagonal_correction(network: Network, q: float, variance: float) -> float:
    h = SECOND * q
    low, mid, high = (_kernel(network, at, at, at) for at in (q - h, q, q + h))
    return 0.5 * variance * (low - 2.0 * mid + high) / h**2


def _pair_correction(network: Network, pair: _Pair) -> tuple[float, float]:
    """Return half the sum of second derivatives times covariances, by the directions of the covariance's factors.

    The second is how many times the round-off of K the sum has of its own.
    """
    steps = pair.steps()
    # In units of the steps, so that the matrix is as even as the function; along what has no room nothing varies.
    scaled = pair.covariance / np.where(steps > 0, np.outer(steps, steps), np.inf)
    _require_finite(scaled)
    values, vectors = np.linalg.eigh(scaled)
    middle, total = pair.kernel(network), 0.0
    for value, vector in zip(values, vectors.T, strict=True):
        low, high = (pair.kernel(network, sign * steps * vector) for sign in (-1.0, 1.0))
        total += 0.5 * value * (low - 2.0 * middle + high)
    return total, 2.0 * float(np.abs(values).sum())


def _far_spread(mixture: GaussianMixture, network: Network, c: int, q: float) -> float:
    activation, scale = network.activation, network.weight_variance / mixture.dim
    mu, covariance = mixture.means[c], mixture.covariances[c]
    trace = scale * float(mixture.traces[c])
    along = scale**2 * float(mu @ _apply(covariance, mu))

    def kappa_c(q: float, c: float | None = None) -> float:
        c = q if c is None else c
        one, other, det = np.array([q]), np.array([c]), np.array([(q - c) * (q + c)])
        return float(np.asarray(activation.kappa_c(one, one, other, det))[0])

    if not network.tangent:
        return trace * kappa_c(q) + 2.0 * along * _derivative(kappa_c, q)
    if activation.needs_determinant or activation.kinks:
        theta = 1e-3  # a tangent, by Richardson's extrapolation
        slope = [(kappa_c(q) - kappa_c(q, q * np.cos(angle))) / angle for angle in (theta, 0.5 * theta)]
        jump = q * (2.0 * slope[1] - slope[0]) * _mean_angle(mixture, c, scale, q)
        return network.weight_variance * (jump + 2.0 * trace * kappa_c(q))

    def kappa_cc(q: float) -> float:
        # One-sided, as c cannot pass q; an activation's own scale is about 1.
        h = SECOND * min(q, 1.0)
        weights = np.array([25.0, -48.0, 36.0, -16.0, 3.0]) / (12.0 * h)
        return float(weights @ [kappa_c(q, q - k * h) for k in range(5)])

    def of_both(q: float) -> float:
        return 2.0 * kappa_c(q) + q * kappa_cc(q)

    return network.weight_variance * (
        trace * of_both(q) + 2.0 * along * (_derivative(of_both, q) - kappa_cc(q))
    )


def _derivative(function: Callable[[float], float], q: float) -> float:
    h = FIRST * q
    return (function(q + h) - function(q - h)) / (2.0 * h)


def _mean_angle(mixture: GaussianMixture, c: int, scale: float, q: float) -> float:
    r"""Return the mean angle of two samples of a class about the origin, to first order.

    It is sqrt(Q) with Q = y'M y, y ~ N(0, 2S), M = alpha/q (I - alpha mu mu'/q). E sqrt(Q) = pi^(-1/2) int t^(-1/2)
    E[Q exp(-tQ)] dt, and E exp(-tQ) = prod_i (1 + 2 t lambda_i)^(-1/2), lambda the eigenvalues.
    """
    mu, covariance = mixture.means[c], mixture.covariances[c]
    radial = max(0.0, 1.0 - scale * float(mu @ mu) / q)
    if np.ndim(covariance) == 0:
        eigenvalues, times = (
            2.0 * covariance * scale / q * np.array([1.0, radial]),
            np.array([mixture.dim - 1, 1]),
        )
    else:
        root = np.linalg.cholesky(covariance) if np.ndim(covariance) == 2 else np.diag(np.sqrt(covariance))
        inner = root.T @ mu
        metric = root.T @ root - np.outer(inner, inner) * (scale / q)
        eigenvalues = 2.0 * scale / q * np.maximum(np.linalg.eigvalsh(metric), 0.0)
        times = np.ones(len(eigenvalues))
    total = float(times @ eigenvalues)
    if total <= 1e-14 * scale / q * float(mixture.traces[c]):
        return 0.0
    step = 0.125
    y = np.arange(-80.0, 80.0, step)
    t = np.exp(y)[:, None] / total
    log_transform = -0.5 * np.log1p(2.0 * t * eigenvalues) @ times
    rate = (eigenvalues / (1.0 + 2.0 * t * eigenvalues)) @ times
    return float(np.sum(np.sqrt(t[:, 0]) * np.exp(log_transform) * rate) * step / np.sqrt(np.pi))
