"""Collapse of Gaussian mixtures in expectation: no data, no Gram matrix.

`expected_nc1` is exact to an error that it returns. `far_separated_nc1` and `large_dimension_nc1` are limits that
explain its value.
"""

from kernel_collapse.theory._asymptotics import far_separated_nc1, large_dimension_nc1
from kernel_collapse.theory._expected import ExpectedNC1, expected_nc1
from kernel_collapse.theory._mixture import GaussianMixture, gaussian_mixture

__all__ = [
    "ExpectedNC1",
    "GaussianMixture",
    "expected_nc1",
    "far_separated_nc1",
    "gaussian_mixture",
    "large_dimension_nc1",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
