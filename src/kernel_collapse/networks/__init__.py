"""Networks of finite width: what the kernels are held against.

The only part of the library that uses JAX; `kernel_collapse` imports it when it is first asked for.
"""

from kernel_collapse.networks.posterior import Posterior, sample_posterior

__all__ = ["Posterior", "sample_posterior"]
