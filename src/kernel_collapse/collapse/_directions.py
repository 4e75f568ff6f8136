"""The pseudo-inverse of S_B as directions, and tr(S_W S_B^+) along them."""

from __future__ import annotations

from typing import Any

from kernel_collapse import _arrays
from kernel_collapse._shapes import Float
from kernel_collapse.collapse._gram import require_definite, slack
from kernel_collapse.collapse._round_off import Measured

__all__ = ["directions", "measured_pinv", "weighted_error"]


def directions(
    products: Float[Any, "C C"], q: Float[Any, " C"], error: Any, square: Any = None
) -> tuple[Float[Any, " C"], Float[Any, "C C"], Any]:
    """Return what makes S_B^+ of the centred class means, and the share by which a variance along it may err.

    With Q = diag(q), S_B = M'QM and S_B^+ = M' Q^{1/2} (Q^{1/2} Bc Q^{1/2})^{+2} Q^{1/2} M, so that a sample counts by
    the length of (Q^{1/2} Bc Q^{1/2})^+ Q^{1/2} z, z its deviation along the centred class means. Returned are the
    eigenvalues of (Q^{1/2} Bc Q^{1/2})^+, 0 for those that are not told from 0, Q^{1/2} times the eigenvectors, and
    that share. `error` is that of the weighted products, as a spectral norm. With the mean `square` of features,
    products of which an eigenvalue is less than 0 are refused: they are of no features.
    """
    xp = _arrays.namespace(products)
    root = xp.sqrt(q)
    values, vectors = xp.linalg.eigh(root[:, None] * products * root[None, :])
    eps = float(xp.finfo(products.dtype).eps)
    floor = xp.maximum(error, xp.max(xp.abs(values)) * eps * 4.0 * products.shape[0])
    if square is not None:
        require_definite(xp.min(values), floor + slack(eps) * square, "an eigenvalue of S_B")
    kept = values > floor
    one = xp.ones_like(values)
    inverse = xp.where(kept, 1.0 / xp.where(kept, values, one), xp.zeros_like(values))
    return inverse, root[:, None] * vectors, 2.0 * floor * xp.max(inverse)


def weighted_error(errors: Float[Any, "C C"], q: Float[Any, " C"]) -> Any:
    """Return the Frobenius norm of the errors of Q^{1/2} Bc Q^{1/2}, a bound of their spectral norm."""
    xp = _arrays.namespace(errors)
    return _arrays.norm(xp.sqrt(q[:, None] * q[None, :]) * errors)


def measured_pinv(total: Any, share: Any, moved: Any, classes: int) -> Measured:
    """Return tr(S_W S_B^+) / C from its C-fold, the share by which S_B^+ errs, and the error of deviations under it.

    NaN where S_B has no direction.
    """
    xp = _arrays.namespace(total)
    value = total / classes
    error = share * value + (2.0 * xp.sqrt(total * moved) + moved) / classes
    none = share == 0
    return Measured(xp.where(none, xp.zeros_like(value) + float("nan"), value), error)
