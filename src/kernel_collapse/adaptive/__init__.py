r"""The data-aware kernel of a network of finite width, from the equations of state.

One hidden layer of `width` N units, k outputs. With S the covariance of a weight vector in units of its prior,
Sigma = (sigma_w^2/d) S, the kernel is Q = sigma_a^2 kappa(X Sigma X'), M = Q + sigma^2 I, T = M^{-1} Y, and the
solution minimises the free energy::

    F(Sigma) = 1/2 [ (d/sigma_w^2) tr Sigma - logdet Sigma ] + (1/N) [ 1/2 tr(Y'T) + (k/2) logdet M ]

whose stationary points are the equations of state of Seroussi, Naveh and Ringel (2023)::

    Sigma^{-1} = (d/sigma_w^2) I + (1/N) d/dSigma tr( A Q(Sigma) ) |_{A fixed},   A = k M^{-1} - T T'

A minimum is always there to be descended to; that the gradient vanishes there is the certificate
(`AdaptiveSolution.residual`).
"""

from kernel_collapse.adaptive._solution import AdaptiveError, AdaptiveSolution, PathPoint, Start
from kernel_collapse.adaptive._solve import START_NAMES, solve_adaptive
from kernel_collapse.solution import Status

__all__ = [
    "START_NAMES",
    "AdaptiveError",
    "AdaptiveSolution",
    "PathPoint",
    "Start",
    "Status",
    "solve_adaptive",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
