r"""Kernels as values: those of infinitely wide networks, fully connected or convolutional, and a user's own.

==================  =====================================================================
on paper            in code
==================  =====================================================================
sigma_w^2           ``weight_variance``: W ~ N(0, sigma_w^2 / fan_in)
sigma_b^2           ``bias_variance``: b ~ N(0, sigma_b^2), in every hidden layer
L                   ``depth``: number of hidden layers
==================  =====================================================================

With kappa and kappa_c the dual of the activation (`kernel_collapse.activations`)::

    G^1 = sigma_w^2/d X X' + sigma_b^2,   Q^l = kappa(G^l),   G^{l+1} = sigma_w^2 Q^l + sigma_b^2
    T^1 = G^1,                            T^{l+1} = G^{l+1} + sigma_w^2 T^l * kappa_c(G^l)

A kernel is a value, `NNGP("relu", depth=3)`, that is called with samples; `nngp` and `ntk` make one and call it. The
Gram matrix is computed tile by tile, each tile through all layers. Only the result has the size of the matrix. Of a
square matrix only the upper half is computed and mirrored, so it is symmetric to the last bit.

Kernels take arrays of NumPy, JAX, PyTorch and CuPy and return the same kind on the same device. Arrays of JAX,
PyTorch and CuPy keep their precision. NumPy arrays are raised to float64 unless `dtype` says something else. In
float32 the error of an entry of a kernel of depth L is at most 1e-6 (L + 1) of the largest entry. The NTK of ReLU is
an exception: the angle of nearly collinear rows is lost below 3e-4, which is an error of the same share of the entry.
(Libraries other than NumPy have the same loss in float64, at 1e-8, because only NumPy treats such pairs one by one.)
"""

import importlib
from typing import TYPE_CHECKING, Any

from kernel_collapse.kernels._functions import nngp, ntk, ntk_published
from kernel_collapse.kernels._kernel import Kernel
from kernel_collapse.kernels._linear import Linear
from kernel_collapse.kernels._network import NNGP, NTK
from kernel_collapse.kernels._precomputed import Precomputed
from kernel_collapse.kernels._products import Gaussian, Laplace, ProductKernel

if TYPE_CHECKING:
    from kernel_collapse.kernels._convolutional import ConvNNGP, ConvNTK
    from kernel_collapse.kernels._image_layers import Activation, AvgPool, Conv, Flatten, GlobalAvgPool

__all__ = [
    "NNGP",
    "NTK",
    "Activation",
    "AvgPool",
    "Conv",
    "ConvNNGP",
    "ConvNTK",
    "Flatten",
    "Gaussian",
    "GlobalAvgPool",
    "Kernel",
    "Laplace",
    "Linear",
    "Precomputed",
    "ProductKernel",
    "nngp",
    "ntk",
    "ntk_published",
]

#: Kernels of images are imported when they are first asked for.
_HOMES = dict.fromkeys(("ConvNNGP", "ConvNTK"), "_convolutional") | dict.fromkeys(
    ("Activation", "AvgPool", "Conv", "Flatten", "GlobalAvgPool"), "_image_layers"
)


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__


def __getattr__(name: str) -> Any:
    """Import kernels of images."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"kernel_collapse.kernels.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
