"""Data sets: seeded laws, arrays in memory, tables in files and in scikit-learn; their parts and scales."""

from kernel_collapse.data._bodies import ball, shell, subspace, tree
from kernel_collapse.data._covariance import covariance
from kernel_collapse.data._curved import checkerboard, manifolds, spheres, xor
from kernel_collapse.data._dataset import Dataset, from_arrays
from kernel_collapse.data._gaussian import D1_MEANS, D2_MEANS, gaussian, gaussian_classes
from kernel_collapse.data._images import images
from kernel_collapse.data._label_noise import label_noise
from kernel_collapse.data._load import load
from kernel_collapse.data._parts import split, standardize, subset
from kernel_collapse.data._pentominoes import shapes
from kernel_collapse.data._tables import IMAGES, SHIPPED, shipped
from kernel_collapse.data._tails import contaminated, laplace, skewed, student_t
from kernel_collapse.data.catalogue import laws, sample

__all__ = [
    "D1_MEANS",
    "D2_MEANS",
    "IMAGES",
    "SHIPPED",
    "Dataset",
    "ball",
    "checkerboard",
    "contaminated",
    "covariance",
    "from_arrays",
    "gaussian",
    "gaussian_classes",
    "images",
    "label_noise",
    "laplace",
    "laws",
    "load",
    "manifolds",
    "sample",
    "shapes",
    "shell",
    "shipped",
    "skewed",
    "spheres",
    "split",
    "standardize",
    "student_t",
    "subset",
    "subspace",
    "tree",
    "xor",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__
