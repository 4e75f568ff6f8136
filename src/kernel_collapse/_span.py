"""The row space of the samples, in which alone a weight vector leaves its prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernel_collapse._shapes import Float

__all__ = ["Span", "span_of"]


@dataclass(frozen=True)
class Span:
    """The span of samples in d dimensions, and the prior N(0, variance I) of a weight vector outside of it.

    With more dimensions than samples it has an orthonormal basis B (d x r); else it is the whole space, and B the unit
    matrix, which is not made. S (r x r) is a second moment in the span, in units of the prior, whose S is I.
    """

    dim: int
    variance: float
    basis: Float[np.ndarray, "d r"] | None

    def weight_covariance(self, scaled: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "d d"]:
        """Return Sigma = variance (I + B (S - I) B')."""
        if self.basis is None:
            return self.variance * scaled
        change = self.basis @ (scaled - np.eye(len(scaled))) @ self.basis.T
        return self.variance * (np.eye(self.dim) + change)

    def lift(
        self, u: Float[np.ndarray, "*m r"], rng: np.random.Generator | None = None
    ) -> Float[np.ndarray, "*m d"]:
        """Return weight vectors given by their coordinates in the span; with `rng` also their prior outside of it."""
        if self.basis is None:
            return u
        if rng is None:
            return u @ self.basis.T
        outside = rng.normal(size=(len(u), self.dim))
        return outside + (u - outside @ self.basis) @ self.basis.T

    def transform(
        self, x: Float[np.ndarray, "m d"], change: Float[np.ndarray, "r r"]
    ) -> Float[np.ndarray, "m d"]:
        """Return x (I + B C B'), C the change of coordinates in the span."""
        if self.basis is None:
            return x + x @ change
        return x + (x @ self.basis) @ change @ self.basis.T


def span_of(x: Float[np.ndarray, "n d"], weight_variance: float) -> tuple[Span, Float[np.ndarray, "n r"]]:
    """Return the span of the samples and their coordinates in it, in units of the prior N(0, (weight_variance/d) I)."""
    n, dim = x.shape
    z = x * np.sqrt(weight_variance / dim)
    basis = None
    if dim > n:
        basis, triangle = np.linalg.qr(z.T)
        z = np.ascontiguousarray(triangle.T)
    return Span(dim, weight_variance / dim, basis), z
