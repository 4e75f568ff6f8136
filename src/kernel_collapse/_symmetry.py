"""Whether a kernel of the user's is symmetric."""

from __future__ import annotations

from typing import Any

from kernel_collapse import _arrays
from kernel_collapse._input_error import KernelRefused
from kernel_collapse._shapes import Float

__all__ = ["asymmetry", "require_symmetric"]

#: Share of the largest k(x, x) by which k(x, y) and k(y, x) may differ, as entries of a Gram matrix may.
ASYMMETRY = 1e-6


def asymmetry(square: Float[Any, "r r"]) -> float:
    """Return how far entries of a square block of a sample with itself are from their mirror images."""
    xp = _arrays.namespace(square)
    return _arrays.number(xp.max(square - xp.permute_dims(square, (1, 0))))


def require_symmetric(gap: float, largest: float, eps: float) -> None:
    """Refuse a user's kernel whose values differ by `gap` when its arguments change places.

    `largest` is that of the kernel of samples with themselves, and `eps` that of the precision of its values.
    """
    if gap > max(ASYMMETRY, 16.0 * eps) * largest:
        raise KernelRefused(
            "the kernel",
            f"not symmetric (k(x, y) and k(y, x) differ by up to {gap:.3g}, k(x, x) reaches {largest:.3g})",
            "k(x, y) = k(y, x)",
            "it is the inner product of the features of x and y",
        )
