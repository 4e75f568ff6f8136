"""Specifications of data: which law or table, which size, without the seed.

A specification is a frozen pydantic model, named by its `law`. Its `sample` returns the data set of a seed, and what
its function in `kernel_collapse.data` would refuse is refused when it is made. Adding a law is a class in `_samples`
and a line in `Data`.

>>> from kernel_collapse import laws
>>> law = laws.StudentT(n=10, dim=3, df=2.5, imbalance=4)
>>> law.name, law.sample(0).class_sizes
('student-t(imbalance=4.0, df=2.5)', (8, 2))
"""

from kernel_collapse import _extras

_extras.require("cli", "specifications of data")

from kernel_collapse.laws._data import LAWS, SPECIFICATIONS, Data, LabelNoise
from kernel_collapse.laws._samples import (
    XOR,
    Ball,
    Checkerboard,
    Contaminated,
    Gaussian,
    GaussianClasses,
    Laplace,
    Law,
    Manifolds,
    Shell,
    Skewed,
    Spheres,
    StudentT,
    Subspace,
    Tree,
)
from kernel_collapse.laws._tables import FileContent, FileData, ShippedData

__all__ = [
    "LAWS",
    "SPECIFICATIONS",
    "XOR",
    "Ball",
    "Checkerboard",
    "Contaminated",
    "Data",
    "FileContent",
    "FileData",
    "Gaussian",
    "GaussianClasses",
    "LabelNoise",
    "Laplace",
    "Law",
    "Manifolds",
    "Shell",
    "ShippedData",
    "Skewed",
    "Spheres",
    "StudentT",
    "Subspace",
    "Tree",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
