r"""The data-aware kernel of a network of finite width, from the equations of state.

One hidden layer of `width` N units, k outputs. With S the covariance of a weight vector in units of its prior,
Sigma = (sigma_w^2/d) S, the kernel is Q = sigma_a^2 kappa(X Sigma X'), M = Q + sigma^2 I, T = M^{-1} Y, and the
solution minimises the free energy::

    F(Sigma) = 1/2 [ (d/sigma_w^2) tr Sigma - logdet Sigma ] + (1/N) [ 1/2 tr(Y'T) + (k/2) logdet M ]

whose stationary points are the equations of state of Seroussi, Naveh and Ringel (2023)::

    Sigma^{-1} = (d/sigma_w^2) I + (1/N) d/dSigma tr( A Q(Sigma) ) |_{A fixed},   A = k M^{-1} - T T'

Of L hidden layers of N_l units, with G_l the covariance of the pre-activations of layer l, K_0 = (sigma_w^2/d) X X',
K_l = sigma_w^2 kappa(G_l) and M = sigma_a^2 kappa(G_L) + sigma^2 I, F in nats is::

    F(G) = sum_l N_l KL( N(0, G_l) || N(0, K_{l-1}) ) + 1/2 tr(Y'T) + (k/2) logdet M

A minimum always exists. The certificate is that the gradient vanishes there (`AdaptiveSolution.residual`).
"""

from kernel_collapse.adaptive._solution import AdaptiveError, AdaptiveSolution, PathPoint, Start
from kernel_collapse.adaptive._solve import START_NAMES, layer_widths, solve_adaptive
from kernel_collapse.solution import Status

__all__ = [
    "START_NAMES",
    "AdaptiveError",
    "AdaptiveSolution",
    "PathPoint",
    "Start",
    "Status",
    "layer_widths",
    "solve_adaptive",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
