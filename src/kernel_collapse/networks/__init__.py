"""Networks of finite width, with which the kernels are compared.

It is the only part of the library that uses JAX. `kernel_collapse` imports it at the first use.
"""

from kernel_collapse import _extras

_extras.require("networks", "networks")

from kernel_collapse.networks._types import NetworkError
from kernel_collapse.networks.agop import agop
from kernel_collapse.networks.empirical import empirical_nngp, empirical_ntk
from kernel_collapse.networks.mean_field import MeanField, MeanFieldLayer, solve_mean_field
from kernel_collapse.networks.model import Network, initialise
from kernel_collapse.networks.posterior import Posterior, PosteriorLayer, sample_posterior
from kernel_collapse.networks.training import Training, train

__all__ = [
    "MeanField",
    "MeanFieldLayer",
    "Network",
    "NetworkError",
    "Posterior",
    "PosteriorLayer",
    "Training",
    "agop",
    "empirical_nngp",
    "empirical_ntk",
    "initialise",
    "sample_posterior",
    "solve_mean_field",
    "train",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
