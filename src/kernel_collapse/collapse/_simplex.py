"""NC2: how far class means, or the rows of a classifier, are from a simplex equiangular tight frame."""

from __future__ import annotations

from typing import Any

import array_api_compat

from kernel_collapse import _arrays
from kernel_collapse._shapes import Float
from kernel_collapse.collapse._round_off import LEAST, Measured

__all__ = ["cosines_of", "measured_nc2", "nc2", "to_simplex"]


def nc2(products: Float[Any, "C C"], error: Any = 0.0) -> tuple[Any, Any, Any]:
    """Return three measures of NC2 from the inner products Bc of centred class means; all are 0 on a simplex.

    The coefficient of variation of their norms, the standard deviation of the cosines between them, and the Frobenius
    distance of the matrix of cosines to that of the simplex. NaN where a class mean is the global one, to within the
    error of its square.
    """
    xp = _arrays.namespace(products)
    classes = products.shape[0]
    squares = xp.linalg.diagonal(products)
    nan = xp.zeros_like(squares) + float("nan")
    norms = _arrays.sqrt(xp, xp.where(squares > error, squares, nan))
    cosines = products / norms[:, None] / norms[None, :]
    eye = _eye(products)
    between = (1.0 - eye) * cosines
    mean = xp.sum(between) / (classes * (classes - 1))
    spread = xp.sum((1.0 - eye) * (between - mean) ** 2) / (classes * (classes - 1))
    simplex = (classes * eye - 1.0) / (classes - 1.0)
    relative = norms / xp.max(norms)  # whose squares neither overflow nor vanish
    return (
        xp.std(relative) / xp.mean(relative),
        _arrays.sqrt(xp, spread),
        _arrays.sqrt(xp, xp.sum((cosines - simplex) ** 2)),
    )


def cosines_of(
    products: Float[Any, "C C"], errors: Float[Any, "C C"]
) -> tuple[Float[Any, "C C"], Float[Any, "C C"], Float[Any, " C"]]:
    """Return the cosines between vectors of these inner products, their errors, and the relative errors of the norms.

    To first order. A vector that is 0 to within its error has norm 1 here, and is dealt with by whoever calls.
    """
    xp = _arrays.namespace(products)
    own_error = xp.linalg.diagonal(errors)
    squares = xp.linalg.diagonal(products)
    squares = xp.where(squares > own_error, squares, xp.ones_like(squares))
    norms = xp.sqrt(squares)
    of_norm = 0.5 * own_error / squares
    of_cosine = errors / norms[:, None] / norms[None, :] + of_norm[:, None] + of_norm[None, :]
    return products / norms[:, None] / norms[None, :], of_cosine, of_norm


def measured_nc2(products: Float[Any, "C C"], errors: Float[Any, "C C"]) -> dict[str, Measured]:
    """Return every measure of NC2 with errors: those of norms and of cosines, to first order."""
    xp = _arrays.namespace(products)
    classes = products.shape[0]
    pairs = classes * (classes - 1)
    values = nc2(products, xp.linalg.diagonal(errors))
    cosines, of_cosine, of_norm = cosines_of(products, errors)
    total = xp.sqrt(xp.sum(of_cosine * of_cosine))
    apart = 1.0 - _eye(products)
    maximal = xp.sum(apart * xp.abs(cosines + 1.0 / (classes - 1.0))) / pairs
    maximal = maximal + 0.0 * values[1]  # NaN where there are no cosines
    length = _arrays.norm(products)
    safe = xp.where(length > 0, length, xp.ones_like(length))
    return {
        "norms": Measured(values[0], (1.0 + values[0]) * xp.max(of_norm), LEAST),
        "angles": Measured(values[1], total / classes, LEAST),
        "maximal_angle": Measured(maximal, xp.sum(apart * of_cosine) / pairs, LEAST),
        "etf": Measured(values[2], total, LEAST),
        "gram": Measured(to_simplex(products), 2.0 * _arrays.norm(errors) / safe, LEAST),
    }


def to_simplex(products: Float[Any, "C C"]) -> Any:
    """Return the distance of C x C products to the simplex (I - 11'/C) / sqrt(C - 1), both of Frobenius norm 1.

    NaN where all products are 0.
    """
    xp = _arrays.namespace(products)
    classes = products.shape[0]
    nan = xp.zeros_like(products) + float("nan")
    largest = xp.max(xp.abs(products))
    products = products / xp.where(
        largest > 0, largest, xp.ones_like(largest)
    )  # so that squares do not overflow
    norm = _arrays.sqrt(xp, xp.sum(products * products))
    unit = xp.where(norm > 0, products, nan) / xp.where(norm > 0, norm, norm + 1.0)
    simplex = (_eye(products) - 1.0 / classes) / (classes - 1.0) ** 0.5
    return _arrays.sqrt(xp, xp.sum((unit - simplex) ** 2))


def _eye(products: Float[Any, "C C"]) -> Float[Any, "C C"]:
    xp = _arrays.namespace(products)
    return xp.eye(products.shape[0], dtype=products.dtype, device=array_api_compat.device(products))
