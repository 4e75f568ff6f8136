"""The list of the laws: whatever goes through all of them takes them from here."""

from __future__ import annotations

from kernel_collapse.data._bodies import Ball, Shell, Subspace, Tree
from kernel_collapse.data._curved import XOR, Checkerboard, Manifolds, Spheres
from kernel_collapse.data._gaussian import Gaussian, GaussianClasses
from kernel_collapse.data._law import Law
from kernel_collapse.data._tails import Contaminated, Laplace, Skewed, StudentT

#: Every law, in the order in which columns and sweeps name them.
ALL: tuple[type[Law], ...] = (
    GaussianClasses,
    Gaussian,
    StudentT,
    Laplace,
    Contaminated,
    Skewed,
    Ball,
    Shell,
    Subspace,
    Tree,
    XOR,
    Checkerboard,
    Spheres,
    Manifolds,
)
#: The samples of one of these with flipped labels.
NOISE = "label-noise"
