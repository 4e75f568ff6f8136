"""Networks of finite width: what the kernels are held against.

The only part of the library that uses JAX; `kernel_collapse` imports it when it is first asked for.
"""

from kernel_collapse.networks.mean_field import MeanField, solve_mean_field

__all__ = ["MeanField", "solve_mean_field"]
