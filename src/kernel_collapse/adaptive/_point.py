r"""One place on a descent: F, its gradient in H = log S, the residual of the equations of state, the preconditioner.

In the eigenbasis of S, with Phi the divided differences of exp and psi = Phi / sqrt(s_i s_j), the Kullback-Leibler
part of F has the Hessian Phi/2 far from a stationary point and psi^2/2 at one (elementwise); the initial Hessian of
L-BFGS is sqrt(psi^4 + Phi^2) / 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernel_collapse._linalg import divided_differences, eigvalsh, product, symmetric
from kernel_collapse._shapes import Float
from kernel_collapse.adaptive._algebra import congruence, differences_and_curvature, norm_at_least
from kernel_collapse.adaptive._between import Spectrum
from kernel_collapse.adaptive._free_energy import Evaluation, FreeEnergy

__all__ = ["Blocks", "Point", "dot", "spectral_norm"]

ROOTS = 20.0  # how much more the roots of kernels move F than the rounding of the entries, as measured


class Blocks(tuple[np.ndarray, ...]):
    """One symmetric matrix for each layer, with the arithmetic of vectors."""

    __slots__ = ()

    def __add__(self, other: Blocks) -> Blocks:  # type: ignore[override]
        return Blocks(a + b for a, b in zip(self, other, strict=True))

    def __sub__(self, other: Blocks) -> Blocks:
        return Blocks(a - b for a, b in zip(self, other, strict=True))

    def __rmul__(self, factor: float) -> Blocks:  # type: ignore[override]
        return Blocks(factor * a for a in self)

    def __neg__(self) -> Blocks:
        return Blocks(-a for a in self)

    def copy(self) -> Blocks:
        """Return the same in memory of its own."""
        return Blocks(a.copy() for a in self)

    def add(self, factor: float, other: Blocks) -> None:
        """Add a multiple of others in place: of several layers in one pass."""
        from scipy.linalg import blas

        for a, b in zip(self, other, strict=True):
            if len(self) == 1:
                a += factor * b
            else:  # the order of memory does not matter to what is symmetric
                blas.daxpy(b.ravel(order="K"), a.ravel(order="K"), a=factor)


def dot(a: Blocks, b: Blocks) -> float:
    """Return the sum of tr(a'b) over layers, without waking the threads of NumPy's BLAS."""
    from scipy.linalg import blas

    if len(a) > 1:
        return sum(
            float(blas.ddot(x.ravel(order="K"), y.ravel(order="K"))) for x, y in zip(a, b, strict=True)
        )
    return sum(float(np.einsum("ij,ij->", x, y)) for x, y in zip(a, b, strict=True))


def spectral_norm(h: Blocks) -> float:
    """Return the largest of the spectral norms."""
    return max(float(np.abs(eigvalsh(block)).max()) for block in h)


class Point:
    """F, its gradient in H, the residual of the equations of state and the preconditioner at one H.

    Of several layers `residual` is a lower bound where that is above `enough`, else exact, for its eigenvalues cost as
    much as two products.
    """

    def __init__(
        self, energy: FreeEnergy, h: Blocks, *, certify: bool = False, enough: float = np.inf
    ) -> None:
        self.h = h
        self.shares = energy.shares
        self.spectra = [Spectrum.of(block) for block in h]
        first, *deeper = self.spectra
        self.data: Evaluation = energy.evaluate(first.scaled, deeper, certify=certify)
        self.finite = self.data.finite
        if not self.finite:
            self.value = np.inf
            return
        self.value = self.data.value
        alone = len(h) == 1
        equations: list[np.ndarray] = []
        slopes, self._hessian = [], []
        pulls = (_to_eigenbasis(self.data.gradient, first, alone=alone), *self.data.deeper)
        for spectrum, pull, share in zip(self.spectra, pulls, self.shares, strict=True):
            values, scale = spectrum.values, spectrum.scale
            self.value += share * (0.5 * float(scale.sum() - values.sum()))
            root = np.sqrt(scale)
            diagonal = np.diag_indices(len(scale))
            equation = root[:, None] * pull * root[None, :]
            equation[diagonal] += scale - 1.0
            equations.append(equation)
            phi, curvature = (
                _of_one_layer(values, root) if alone else differences_and_curvature(values, scale)
            )
            slope = 0.5 * phi * pull
            slope[diagonal] += 0.5 * (scale - 1.0)
            slopes.append(share * _from_eigenbasis(slope, spectrum, alone=alone))
            self._hessian.append(share * curvature)
        self.gradient = Blocks(slopes)
        self.residual = _norm(equations, np.inf if alone else enough)
        entries = 30.0 if alone else 30.0 * ROOTS
        self.noise = max(2.0 * np.finfo(float).eps * abs(self.value), entries * self.data.noise)

    def precondition(self, matrix: Blocks) -> Blocks:
        """Divide by the Kullback-Leibler Hessian."""
        alone = len(self.h) == 1
        parts = zip(matrix, self._hessian, self.spectra, strict=True)
        return Blocks(
            _from_eigenbasis(_to_eigenbasis(m, s, alone=alone) / h, s, alone=alone) for m, h, s in parts
        )

    def preconditioned_square(self, matrix: Blocks) -> float:
        """Return the inner product of a matrix with itself preconditioned."""
        alone = len(self.h) == 1
        turned = Blocks(_to_eigenbasis(m, s, alone=alone) for m, s in zip(matrix, self.spectra, strict=True))
        return dot(turned, Blocks(m / h for m, h in zip(turned, self._hessian, strict=True)))


def _to_eigenbasis(
    matrix: Float[np.ndarray, "r r"], of: Spectrum, *, alone: bool
) -> Float[np.ndarray, "r r"]:
    """Return V' m V."""
    return product(product(of.vectors.T, matrix), of.vectors) if alone else congruence(of.vectors, matrix)


def _from_eigenbasis(
    matrix: Float[np.ndarray, "r r"], of: Spectrum, *, alone: bool
) -> Float[np.ndarray, "r r"]:
    """Return V m V'."""
    back = product(product(of.vectors, matrix), of.vectors.T) if alone else congruence(of.vectors.T, matrix)
    return symmetric(back)


def _of_one_layer(
    values: Float[np.ndarray, " r"], root: Float[np.ndarray, " r"]
) -> tuple[Float[np.ndarray, "r r"], Float[np.ndarray, "r r"]]:
    """Return what `differences_and_curvature` does, to the bits that depth 1 has always had."""
    phi = divided_differences(values)
    psi = phi / (root[:, None] * root[None, :])
    return phi, 0.5 * np.hypot(psi**2, phi)


def _norm(equations: Sequence[Float[np.ndarray, "r r"]], enough: float) -> float:
    """Return the largest spectral norm, or a lower bound of it if that is above `enough`."""
    if np.isfinite(enough):
        least = max(norm_at_least(equation) for equation in equations)
        if least > enough:
            return least
    return max(float(np.abs(eigvalsh(equation)).max()) for equation in equations)
