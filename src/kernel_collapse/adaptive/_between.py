r"""From the kernel of one layer to the covariances of the next, and the gradient back through it.

With K the kernel of the pre-activations below, C = K^{1/2} = U diag(c) U' its symmetric root and S = V exp(h) V' the
covariance of a layer in units of its prior, G = C S C. Let Q = U'V and D = Q (exp(h) - 1) Q', which is S - I in the
eigenbasis of K. Of a gradient B in G, with B~ = U'BU, the gradient in S is C B C, and that in K is U Kb U'::

    Kb_ij = B~_ij + [ D diag(c) B~ + B~ diag(c) D ]_ij / (c_i + c_j)

Eigenvalues of K below n eps times the largest are no more than round-off: there c = 0, a projection onto what float64
resolves, and nothing is added to the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kernel_collapse import _linalg
from kernel_collapse._linalg import symmetric
from kernel_collapse._shapes import Float
from kernel_collapse.adaptive._algebra import congruence
from kernel_collapse.adaptive._extended import eigh, product

__all__ = ["Between", "Spectrum"]


@dataclass(frozen=True)
class Spectrum:
    """S of a layer by the eigenvalues and eigenvectors of its logarithm."""

    values: Float[np.ndarray, " r"]
    vectors: Float[np.ndarray, "r r"]

    @classmethod
    def of(cls, h: Float[np.ndarray, "r r"]) -> Spectrum:
        """Return that of exp(h)."""
        return cls(*_linalg.eigh(h))

    @cached_property
    def scale(self) -> Float[np.ndarray, " r"]:
        """The eigenvalues of S."""
        return np.exp(self.values)

    @property
    def scaled(self) -> Float[np.ndarray, "r r"]:
        """S itself."""
        return symmetric(_linalg.product(self.vectors * self.scale, self.vectors.T))


class Between:
    """The way from a kernel to the layer above it, in the precision of the kernel."""

    def __init__(self, kernel: Float[np.ndarray, "n n"], above: Spectrum) -> None:
        self.above = above
        values, self.vectors = eigh(kernel)
        resolved = values > len(values) * float(np.finfo(kernel.dtype).eps) * values[-1]
        self.rank = int(resolved.sum())
        self.root = np.sqrt(np.where(resolved, values, 0.0))
        self.turned = product(self.vectors.T, above.vectors.astype(kernel.dtype, copy=False))
        inner = self.root[:, None] * self.turned * np.sqrt(above.scale)
        #: Rows w with w w' = G.
        self.rows = product(self.vectors, inner)

    @cached_property
    def change(self) -> Float[np.ndarray, "n n"]:
        """S - I in the eigenbasis of K."""
        return product(self.turned * np.expm1(self.above.values), self.turned.T)

    def back(
        self, slope: Float[np.ndarray, "n n"]
    ) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]]:
        """Return the gradient in S, in the eigenbasis of S, and that in K, of a gradient in G."""
        bent = congruence(self.vectors, slope)
        down = self.root[:, None] * self.turned
        half = product(bent, down)
        in_layer = product(down.T, half)
        # (S - I) diag(c) B~ without S - I itself, whose eigenvectors are already in `half`.
        moved = product(self.turned * np.expm1(self.above.values), half.T)
        total = self.root[:, None] + self.root
        moved = np.divide(moved + moved.T, total, out=np.zeros_like(moved), where=total > 0)
        moved += bent
        return symmetric(in_layer), congruence(self.vectors.T, moved)
