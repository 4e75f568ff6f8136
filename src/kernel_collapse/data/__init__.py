"""Data sets: Gaussian classes, arrays in memory, tables in files and in scikit-learn; their parts and scales."""

from kernel_collapse.data._dataset import Dataset, from_arrays
from kernel_collapse.data._gaussian import D1_MEANS, D2_MEANS, gaussian_classes
from kernel_collapse.data._parts import split, standardize, subset
from kernel_collapse.data._tables import SHIPPED, load, shipped

__all__ = [
    "D1_MEANS",
    "D2_MEANS",
    "SHIPPED",
    "Dataset",
    "from_arrays",
    "gaussian_classes",
    "load",
    "shipped",
    "split",
    "standardize",
    "subset",
]
