r"""From the kernel of one layer to the pre-activations of the next, and gradients back through it.

With K the kernel of the pre-activations below and C = U diag(c) U' its symmetric root, the pre-activations of a
particle v of the next layer, whose prior is N(0, I), are h = C v. Of a gradient C- in C, that in K is U K- U' with::

    K-_ij = [ U' sym(C-) U ]_ij / (c_i + c_j)

Eigenvalues of K below n eps times the largest are no more than round-off: there c = 0, and so is the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernel_collapse._linalg import eigh, product, symmetric
from kernel_collapse._shapes import Float
from kernel_collapse.activations import Activation, determinant

__all__ = ["Closed", "Root", "kappa_of", "root_of"]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Root:
    """The symmetric root C of a kernel, by its eigenvalues c and eigenvectors."""

    values: Float[np.ndarray, " n"]
    vectors: Float[np.ndarray, "n n"]
    matrix: Float[np.ndarray, "n n"]

    def back(self, slope: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
        """Return the gradient in K of a gradient in C."""
        bent = symmetric(product(product(self.vectors.T, slope), self.vectors))
        total = self.values[:, None] + self.values[None, :]
        bent = np.divide(bent, total, out=np.zeros_like(bent), where=total > 0)
        return symmetric(product(product(self.vectors, bent), self.vectors.T))

    def whitened(self, covariance: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
        """Return S with C S C the covariance, and S = I where C is too small for float64 to tell."""
        known = self.values > 1e-5 * self.values[-1]
        inner = product(product(self.vectors.T, covariance), self.vectors)
        s = np.eye(len(inner))
        c = self.values[known]
        s[np.ix_(known, known)] = inner[np.ix_(known, known)] / np.outer(c, c)
        return symmetric(product(product(self.vectors, s), self.vectors.T))


def root_of(kernel: Float[np.ndarray, "n n"]) -> Root:
    """Return the root of a kernel."""
    values, vectors = eigh(kernel)
    resolved = values > len(values) * EPS * values[-1]
    values = np.sqrt(np.where(resolved, values, 0.0))
    return Root(values, vectors, symmetric(product(vectors * values, vectors.T)))


def kappa_of(
    activation: Activation, stretch: Float[np.ndarray, "n r"], covariance: Float[np.ndarray, "r r"]
) -> Float[np.ndarray, "n n"]:
    """Return the kernel of pre-activations stretch u, u of a Gaussian of that covariance, in closed form."""
    inner = symmetric(product(product(stretch, covariance), stretch.T))
    q = np.maximum(inner.diagonal(), 0.0)
    rows, columns = q[:, None], q[None, :]
    det = determinant(rows, columns, inner)
    np.fill_diagonal(det, 0.0)
    return symmetric(activation.kappa(rows, columns, inner, det))


@dataclass(frozen=True)
class Closed:
    """kappa(C S C) of a Gaussian in closed form, with its gradient in C."""

    gram: Float[np.ndarray, "n n"]
    _kappa_c: Float[np.ndarray, "n n"]
    _kappa_q: Float[np.ndarray, "n n"]
    _root_covariance: Float[np.ndarray, "n n"]  # C S

    @classmethod
    def of(cls, activation: Activation, root: Root, covariance: Float[np.ndarray, "n n"]) -> Closed:
        """Return that of one activation, root and S."""
        left = product(root.matrix, covariance)
        inner = symmetric(product(left, root.matrix))
        q = np.maximum(inner.diagonal(), 0.0)
        rows, columns = q[:, None], q[None, :]
        det = determinant(rows, columns, inner)
        np.fill_diagonal(det, 0.0)
        kappa, kappa_c = activation.kappa_and_c(rows, columns, inner, det)
        return cls(symmetric(kappa), kappa_c, activation.kappa_q(rows, columns, inner, det), left)

    def back(self, slope: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
        """Return the gradient in C of <slope, kappa(C S C)>, the slope symmetric."""
        bent = slope * self._kappa_c
        bent[np.diag_indices(len(bent))] += 2.0 * np.einsum("ij,ij->i", slope, self._kappa_q)
        return 2.0 * product(bent, self._root_covariance)
