"""Networks of finite width: what the kernels are held against.

The only part of the library that uses JAX; `kernel_collapse` imports it when it is first asked for.
"""

__all__: list[str] = []
