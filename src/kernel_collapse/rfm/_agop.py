r"""The average gradient outer product (AGOP) of kernel predictors, and the neural feature ansatz.

With f_k(x) = sum_j alpha_jk k(x, x_j), k a function of the products x'S y, the gradient at a sample is
S X' times row a of C~_k (`kernel_collapse.rfm._gradients`), so that no derivative is taken but those of the kernel::

    M = (1/n) sum_ak grad f_k(x_a) grad f_k(x_a)' = (1/n) sum_k (C~_k X S)' (C~_k X S)

The neural feature ansatz says that W'W of a layer is in proportion to a power of the AGOP of the network in what the
layer is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._linalg import Cholesky, eigh, eigvalsh, symmetric
from kernel_collapse._shapes import Float
from kernel_collapse.kernels import ProductKernel
from kernel_collapse.rfm._rows import agop_of_rows

__all__ = ["FeatureAnsatz", "feature_ansatz", "kernel_agop"]

#: What round-off may make of the largest entry of a power, at most.
RESOLVED = 1e-3
#: Share of what is left of a centred matrix from which its error decides what that is.
DECIDES = 0.1
#: Up to this share of the largest entry, times the root of the dimensions, a negative eigenvalue is round-off.
INDEFINITE = 1e-6


def kernel_agop(
    x: ArrayLike,
    targets: ArrayLike,
    *,
    kernel: ProductKernel,
    ridge: float = 0.0,
    metric: ArrayLike | None = None,
) -> Float[np.ndarray, "d d"]:
    r"""Return the AGOP of kernel ridge regression, M = (1/n) sum_a J_a' J_a with J_a the gradients of all outputs.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Inputs, used as they are: they are not scaled to unit length.
    targets : array_like, shape (n,) or (n, k)
        What is fitted.
    kernel : ProductKernel
        `kernels.NNGP`, `kernels.NTK`, `kernels.Linear`, `kernels.Laplace`, `kernels.Gaussian` or your own kernel. The
        first three use products that are means over the features. The NTK has slopes where the dual of the
        activation's derivative is known. The NTK of ReLU has a kink at the samples, as the Laplace kernel has; that
        part of the gradient is taken as 0. At a sample of zeros an activation with a kink at 0 has the mean of its
        slopes on both sides.
    ridge : float
        Zero or more.
    metric : array_like, shape (d, d), optional
        The matrix S of the products x'S y, instead of I (or I/d for means). To get the AGOP of the adaptive kernel,
        give the `weight_covariance` of `kernel_collapse.solve_adaptive` with one hidden layer, the kernel NNGP of its
        activation and the ridge noise_variance / readout_variance.

    Returns
    -------
    ndarray, shape (d, d)
        Known to 0.1 % of its largest entry at least. Round-off is estimated from the condition of the kernel and from
        how close samples are. It is measured, not proved.

    Raises
    ------
    ValueError
        If an input is not finite or out of its range, `metric` is not positive semidefinite, the kernel has no slopes
        or is singular to round-off with this ridge, or round-off may be more than 0.1 % of the result.

    References
    ----------
    Radhakrishnan et al. (2024), "Mechanism for feature learning in neural networks and backpropagation-free machine
    learning models", Science 383.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> m = kc.rfm.kernel_agop(x, np.sign(x[:, 0]), kernel=kc.kernels.NNGP("relu"), ridge=1e-2)
    >>> bool(m[0, 0] > 5 * max(m[1, 1], m[2, 2]))
    True
    """
    rows = np.asarray(_validate.squarable(_validate.matrix(x, "x", numpy=True), "x"))
    y = np.asarray(_validate.squarable(_validate.columns(targets, "targets", numpy=True), "targets"))
    if len(y) != len(rows):
        raise InputError("x", f"{len(rows)} rows and targets {len(y)}", "as many targets as rows", verb="has")
    ridge = _validate.positive(ridge, "ridge", zero_allowed=True)
    if not isinstance(kernel, ProductKernel):
        raise InputError.of("kernel", kernel, "a kernels.ProductKernel", "those have slopes")
    kernel._require_slopes()
    clean = None if metric is None else _definite(metric, "metric", rows.shape[1])
    return agop_of_rows(rows, y, kernel, ridge, clean)


def _definite(value: ArrayLike, what: str, dim: int | None = None) -> Float[np.ndarray, "d d"]:
    """Return a positive semidefinite matrix of that size."""
    given = np.asarray(_validate.matrix(value, what, numpy=True))
    size = given.shape[0] if dim is None else dim
    if given.shape != (size, size):
        raise InputError(what, f"shape {given.shape}", f"({size}, {size})", verb="has")
    if np.abs(given - given.T).max() > 1e-6 * np.abs(given).max():
        raise InputError(what, "not symmetric", "a symmetric matrix")
    clean = symmetric(given)
    largest = np.abs(clean).max()
    if largest > 0.0:
        slack = INDEFINITE * float(np.sqrt(size))
        if not Cholesky(clean / largest + slack * np.eye(size)).ok:
            least, most = eigvalsh(clean / largest)[[0, -1]] * largest
            raise InputError(
                what,
                f"not positive semidefinite: its eigenvalues are from {least:.3g} to {most:.3g}",
                "a sum of outer products, whose eigenvalues are not negative",
                "give W'W, a covariance or an AGOP",
            )
    return clean


@dataclass(frozen=True, eq=False)
class FeatureAnsatz:
    """How close W'W is to being proportional to a power of an AGOP.

    Attributes
    ----------
    correlation : float
        Pearson correlation of the entries; NaN where either matrix has one value throughout, or where round-off
        decides the power.
    cosine : float
        Cosine of the entries, not centred; NaN where either matrix is 0, or where round-off decides the power.
    reason : str
        Empty, or why a number is NaN.
    """

    correlation: float
    cosine: float
    reason: str = ""


@np.errstate(under="ignore")  # what vanishes beside other terms
def feature_ansatz(weight_gram: ArrayLike, agop: ArrayLike, *, power: float = 0.5) -> FeatureAnsatz:
    """Return how well W'W of a layer, or the covariance of its weights, matches a power of the AGOP.

    Parameters
    ----------
    weight_gram : array_like, shape (d, d)
        W'W, W of shape (units, d); or Sigma of the adaptive kernel.
    agop : array_like, shape (d, d)
        AGOP in what the layer is given: `kernel_agop`, `kernel_collapse.networks.agop`, `kernel_collapse.torch.agop`.
    power : float
        Of the AGOP, more than zero.

    Returns
    -------
    FeatureAnsatz
        Two conventions, by two names.

    Raises
    ------
    ValueError
        If the matrices are not finite, square, symmetric, positive semidefinite to round-off and of one size.

    References
    ----------
    Radhakrishnan et al. (2024), as for `kernel_agop`; they correlate W'W with the root.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> found = kc.rfm.feature_ansatz(np.diag([2.0, 1.0]), np.diag([4.0, 1.0]))
    >>> round(found.correlation, 12), round(found.cosine, 12)
    (1.0, 1.0)
    """
    left = _scaled(_definite(weight_gram, "weight_gram"))
    right = _scaled(_definite(agop, "agop", len(left)))
    right, off, reason = _power(right, _validate.positive(power, "power"), _arrays.eps_of(agop))
    own = 4.0 * np.finfo(float).eps * float(np.linalg.norm(left))
    cosine, correlation = _cosine(left, right), _cosine(_centred(left, own), _centred(right, off))
    if not reason and np.isnan(cosine + correlation):
        reason = "either matrix is 0, or has one value throughout to within round-off"
    return FeatureAnsatz(correlation, cosine, reason)


def _scaled(matrix: Any) -> Any:
    """Return a matrix with its largest entry at 1: neither figure sees the scale, and no power overflows."""
    largest = np.abs(matrix).max()
    return matrix / largest if largest > 0.0 else matrix


def _power(matrix: Any, power: float, eps: float) -> tuple[Any, float, str]:
    """Return a power of a positive semidefinite matrix and its error, or NaN with the reason where that decides it.

    The error is a bound of its Frobenius norm; the largest eigenvalue of the power is 1.

    An eigenvalue of the size of round-off may be zero as well. The power of it is then uncertain by as much as the
    power of the round-off, which is small beside the power of the largest unless the exponent is close to zero. Where
    an eigenvalue is negative, the round-off is at least as large.
    """
    values, vectors = eigh(matrix)
    size = max(float(values.max()), 0.0)
    shares = np.maximum(values, 0.0) / (size or 1.0)
    unclear = len(matrix) * eps
    if size > 0.0:
        unclear = max(unclear, -float(values.min()) / size)
    lost = int(np.sum((values != 0.0) & (shares <= unclear)))
    off = float(np.sqrt(lost)) * unclear**power + float(np.sqrt(len(matrix))) * unclear
    if lost and unclear**power > RESOLVED:
        reason = (
            f"the AGOP has eigenvalues of the size of round-off, and their power of {power:g} is not small beside that "
            "of the largest"
        )
        return np.full_like(matrix, np.nan), off, reason
    return (vectors * shares**power) @ vectors.T, off, ""


def _centred(matrix: Any, off: float) -> Any:
    """Return a matrix less the mean of its entries; 0 where its error, a Frobenius norm, would decide what is left."""
    left = matrix - matrix.mean()
    return left if off <= DECIDES * np.linalg.norm(left) else np.zeros_like(matrix)


def _cosine(left: Any, right: Any) -> float:
    """Return the cosine of two matrices as vectors; NaN where one is 0."""
    sizes = [float(np.linalg.norm(matrix)) for matrix in (left, right)]
    if min(sizes) == 0.0:
        return float("nan")
    return float(np.sum((left / sizes[0]) * (right / sizes[1])))
