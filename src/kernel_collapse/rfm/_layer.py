r"""One layer of a deep recursive feature machine with infinitely many random features, on inner products.

    G -> unit diagonal;   N = G;   as often as is asked: N -> N B N with B of the fit to N;   next G = kappa_phi(N)

Between two fits of one layer N is scaled to a mean of 1 on its diagonal, as that of unit rows is, so that the bandwidth
keeps its meaning; for an activation that is not homogeneous it is scaled likewise before kappa_phi.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernel_collapse._arrays import Rounded
from kernel_collapse._linalg import TILE, mirror, upper_tiles
from kernel_collapse._shapes import Float
from kernel_collapse.activations import Activation
from kernel_collapse.kernels import ProductKernel
from kernel_collapse.rfm._fit import Fit, fit, gradient_error, gradients_of, magnified, values_between
from kernel_collapse.rfm._gradients import EPS

__all__ = [
    "GIVEN",
    "SAFETY",
    "SILENT",
    "Machine",
    "Passed",
    "Trained",
    "kappa_between",
    "kappa_of",
    "known_to",
    "unit",
]

#: A row whose squared length is below this share of the longest has no direction that float64 tells.
SHORTEST = 64.0 * EPS
#: What the estimate of round-off is multiplied by: how far it fell short of the error in 100 problems of 6 layers.
SAFETY = 8.0
#: Estimated errors of NC1, relative, up to which nothing is said, and up to which it is given.
SILENT, GIVEN = 1e-3, 0.1


@dataclass(frozen=True, eq=False)
class Trained:
    """What a layer makes of its samples: the fits of its iterations, and N = X M X' after the last.

    `agop` is None where a fit is singular to round-off. `slope_error` is the error of the gradients, from the rounding
    of inner products, over their size along the samples, and `product_error` that of the entries of `agop`, over the
    mean of its diagonal, from the way that they were made; both are added up over the iterations. `magnified` is
    that of `kernel_collapse.rfm._fit`, the largest of the iterations.
    """

    fits: tuple[Fit, ...]
    agop: Float[np.ndarray, "n n"] | None
    slope_error: float
    product_error: float
    magnified: float


@dataclass(frozen=True, eq=False)
class Passed:
    """What a layer makes of other inputs: inner products with those of the samples, and with themselves."""

    cross: Float[np.ndarray, "m n"]
    own: Float[np.ndarray, " m"]
    outputs: Float[np.ndarray, "m k"]


@dataclass(frozen=True, eq=False)
class Machine:
    """What every layer is made with."""

    kernel: ProductKernel
    ridge: float
    activation: Activation
    iterations: int

    def train(
        self, products: Float[np.ndarray, "n n"], targets: Float[np.ndarray, "n k"], eps: float = EPS
    ) -> Trained:
        """Return what a layer makes of samples with these inner products, known to that eps."""
        fits: list[Fit] = []
        slope_error = product_error = most = 0.0
        for iteration in range(self.iterations):
            if iteration:
                products = products / np.diag(products).mean()
            found = fit(products, targets, self.kernel, self.ridge)
            fits.append(found)
            if not found.solved:
                return Trained(tuple(fits), None, np.inf, np.inf, np.inf)
            gradients = gradients_of(products, found.alpha, self.kernel)
            most = max(most, magnified(gradients, found.inverse))
            products = gradients.gram()
            size = np.sqrt(np.diag(products).mean())
            slope_error += gradient_error(self.kernel, gradients, eps) / size if size > 0 else np.inf
            product_error += gradients.round_off if gradients.at_once else 0.0
        return Trained(tuple(fits), products, slope_error, product_error, most)

    def apply(
        self,
        products: Float[np.ndarray, "n n"],
        alphas: tuple[Float[np.ndarray, "n k"], ...],
        cross: Float[np.ndarray, "m n"],
        own: Float[np.ndarray, " m"],
    ) -> Passed:
        """Return what a trained layer makes of other inputs, whose inner products with the samples are given."""
        for iteration, alpha in enumerate(alphas):
            if iteration:
                scale = np.diag(products).mean()
                products, cross, own = products / scale, cross / scale, own / scale
            values = values_between(self.kernel, cross, own, np.diag(products))
            found = gradients_of(products, alpha, self.kernel)
            cross, own = found.between(cross)
            if iteration < len(alphas) - 1:
                products = found.gram()
        return Passed(cross, own, values @ alpha)


def unit(gram: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"] | None:
    """Return inner products of rows scaled to length 1; None where a row has no direction."""
    lengths = np.diag(gram)
    if not np.isfinite(gram).all() or lengths.min() <= SHORTEST * lengths.max():
        return None
    roots = np.sqrt(lengths)
    found = gram / roots[:, None]
    found /= roots
    np.clip(found, -1.0, 1.0, out=found)
    np.fill_diagonal(found, 1.0)
    return found


def known_to(gram: Float[np.ndarray, "n n"], eps: float) -> Any:
    """Return a Gram matrix for a metric of it, with its precision where that is below float64."""
    return gram if eps <= EPS else Rounded(gram, eps)


def _scale(activation: Activation, agop: Float[np.ndarray, "n n"]) -> float:
    return 1.0 if activation.homogeneity is not None else float(np.diag(agop).mean())


def kappa_of(activation: Activation, agop: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Return the kernel of the features phi(W M^{1/2} x)."""
    scaled = agop / _scale(activation, agop)
    q = np.diag(scaled).copy()
    found = np.empty_like(scaled)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for rows, columns in upper_tiles(len(q)):
            found[rows, columns] = activation.kappa(q[rows, None], q[None, columns], scaled[rows, columns])
        found[np.diag_indices(len(q))] = activation.kappa(q, q, q, np.zeros_like(q))
    return mirror(found)


def kappa_between(
    activation: Activation,
    agop: Float[np.ndarray, "n n"],
    cross: Float[np.ndarray, "m n"],
    own: Float[np.ndarray, " m"],
) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, " m"]]:
    """Return the kernel of the features of other inputs with those of the samples, and with themselves."""
    scale = _scale(activation, agop)
    q, p = np.diag(agop) / scale, np.maximum(own, 0.0) / scale
    found = np.empty_like(cross)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for top in range(0, len(p), TILE):
            rows = slice(top, top + TILE)
            found[rows] = activation.kappa(p[rows, None], q[None, :], cross[rows] / scale)
        return found, activation.kappa(p, p, p, np.zeros_like(p))
