r"""Deep recursive feature machines (deep RFM) in the limit of infinitely many random features.

Each layer takes rows x of unit length, fits a kernel to the targets, f(x) = k(x, X) (k + ridge I)^{-1} Y, forms the
average gradient outer product M = (1/n) sum_a J_a J_a' of f, and passes phi(W M^{1/2} x) on. With infinitely many rows
in the random W a layer is a function of the Gram matrix G of its inputs: M = X'BX with B of the fit, so that::

    G -> unit diagonal;   x_i' M x_j = (G B G)_ij;   next G = kappa_phi(G B G)
"""

from kernel_collapse.rfm._agop import FeatureAnsatz, feature_ansatz, kernel_agop
from kernel_collapse.rfm._held_out import HeldOut, HeldOutLayer
from kernel_collapse.rfm._solution import DeepRFM, RFMLayer
from kernel_collapse.rfm._solve import RFM_KERNELS, deep_rfm

__all__ = [
    "RFM_KERNELS",
    "DeepRFM",
    "FeatureAnsatz",
    "HeldOut",
    "HeldOutLayer",
    "RFMLayer",
    "deep_rfm",
    "feature_ansatz",
    "kernel_agop",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
