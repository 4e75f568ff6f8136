"""Laws of classes that fill a body, a shell, a subspace, or the leaves of a tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.data.law import (
    Apart,
    Checked,
    Classes,
    Columns,
    Count,
    Distance,
    Law,
    Placed,
    Scale,
    function,
    orthonormal,
)

__all__ = ["Ball", "Shell", "Subspace", "Tree", "ball", "shell", "subspace", "tree"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Ball(Apart):
    """Classes on a line that are uniform in a ball: no tails at all.

    With z standard normal and u uniform, one a sample, ``x = mean + radius * u**(1 / dim) * z / norm(z)``. With
    ``rng = numpy.random.default_rng(seed)``, z is ``rng.normal(size=(n, dim))``, class after class, then u is
    ``rng.random(n)``. The covariance of every class is radius^2 / (dim + 2) I.

    Source: Muller, *A note on a method for generating points uniformly on n-dimensional spheres*, CACM 2 (1959).

    Parameters
    ----------
    radius : float, optional
        Radius; ``sqrt(dim + 2) / 2`` by default, at which every coordinate has the standard deviation 0.5 of D1.
    n, dim, n_classes, separation, class_sizes, imbalance, seed
        As of `kernel_collapse.data.gaussian`.

    Returns
    -------
    Dataset
        As of `kernel_collapse.data.gaussian`.

    Raises
    ------
    ValueError
        If a number is out of range, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.ball(n=10, dim=3, radius=1.0)
    <Dataset ball: 10 samples, 3 features, classes of 5, 5>
    """

    law = "ball"
    columns: ClassVar[Columns] = {"radius": ("radius of the ball, shell or smallest sphere", "features")}
    on_a_line = True

    radius: Scale | None = None

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        radius = np.sqrt(self.dim + 2) / 2 if self.radius is None else self.radius
        directions = _directions(self.normals(rng))
        return self.centres + radius * rng.random((self.n, 1)) ** (1 / self.dim) * directions


ball = function(Ball)


@dataclass(frozen=True, eq=False, kw_only=True)
class Shell(Apart):
    """Classes on a line that are uniform on a sphere, or between it and a smaller one.

    With z standard normal and u uniform, one a sample, ``x = mean + r * z / norm(z)`` where r^dim is uniform
    between (radius - thickness)^dim and radius^dim: ``r = radius * (q + (1 - q) * u)**(1 / dim)`` with
    ``q = (1 - thickness / radius)**dim``. With ``rng = numpy.random.default_rng(seed)``, z is
    ``rng.normal(size=(n, dim))``, class after class, then u is ``rng.random(n)``. Without thickness the covariance of
    every class is radius^2 / dim I; with ``thickness=radius`` this is `ball`.

    Parameters
    ----------
    radius : float, optional
        Outer radius; ``sqrt(dim) / 2`` by default, at which every coordinate of a shell without thickness has the
        standard deviation 0.5 of D1.
    thickness : float
        Outer radius less the inner one, from 0 to `radius`.
    n, dim, n_classes, separation, class_sizes, imbalance, seed
        As of `kernel_collapse.data.gaussian`.

    Returns
    -------
    Dataset
        As of `kernel_collapse.data.gaussian`.

    Raises
    ------
    ValueError
        If a number is out of range, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc, numpy as np
    >>> data = kc.data.shell(n=10, dim=3, radius=1.0, separation=0.0)
    >>> np.allclose(np.linalg.norm(data.x, axis=1), 1.0)
    True
    """

    law = "shell"
    columns: ClassVar[Columns] = {"thickness": ("thickness of the shell", "features")}
    on_a_line = True

    radius: Scale | None = None
    thickness: Distance = 0.0

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        radius = np.sqrt(self.dim) / 2 if self.radius is None else self.radius
        if self.thickness > radius:
            raise InputError(
                "thickness", f"{self.thickness:g}", f"at most the radius, {radius:g}", "at that it is a ball"
            )
        directions = _directions(self.normals(rng))
        inner = (1 - self.thickness / radius) ** self.dim
        radii = radius * (inner + (1 - inner) * rng.random((self.n, 1))) ** (1 / self.dim)
        return self.centres + radii * directions


shell = function(Shell)


@dataclass(frozen=True, eq=False, kw_only=True)
class Subspace(Placed):
    """Gaussian classes of few dimensions, turned at random into many, with noise in all of them.

    ``x = (mean + std * z) @ Q.T + noise * e`` with z, of `intrinsic_dim` coordinates, and e standard normal, the
    means on a line in every intrinsic coordinate, and Q a uniformly random orthonormal frame, the same for all
    classes. Every class has the covariance std^2 Q Q' + noise^2 I. With ``rng = numpy.random.default_rng(seed)``
    and k the intrinsic dimension, Q is drawn first, from ``rng.normal(size=(dim, k))`` by its QR decomposition
    with a positive diagonal of R; then z, ``rng.normal(size=(n, k))``, class after class; then e,
    ``rng.normal(size=(n, dim))``.

    Parameters
    ----------
    intrinsic_dim : int
        Dimension of the subspace, at most `dim`.
    noise : float
        Standard deviation of what is added in every coordinate, zero or more.
    separation, std : float
        Distance of neighbouring class means, and standard deviation, in every intrinsic coordinate.
    n, dim, n_classes, class_sizes, imbalance, seed
        As of `kernel_collapse.data.gaussian`.

    Returns
    -------
    Dataset
        As of `kernel_collapse.data.gaussian`.

    Raises
    ------
    ValueError
        If a number is out of range, the subspace does not fit, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc, numpy as np
    >>> data = kc.data.subspace(n=20, dim=8, intrinsic_dim=3, noise=0.0)
    >>> int(np.linalg.matrix_rank(data.x))
    3
    """

    law = "subspace"
    columns: ClassVar[Columns] = {
        "intrinsic_dim": ("dimension of the subspace", ""),
        "noise": ("standard deviation off the subspace", "features"),
    }
    on_a_line = True

    dim: Count = field(default=2, kw_only=False)
    intrinsic_dim: Count = 2
    noise: Distance = 0.05

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        if self.intrinsic_dim > self.dim:
            raise InputError(
                "intrinsic_dim",
                f"{self.intrinsic_dim} in {self.dim} dimensions",
                "at most as many",
                "raise dim or lower intrinsic_dim",
            )
        turn = orthonormal(rng, self.dim, self.intrinsic_dim)
        inside = self.centres + self.std * rng.normal(size=(self.n, self.intrinsic_dim))
        return inside @ turn.T + self.noise * self.normals(rng)


subspace = function(Subspace)


def _depth(value: int, what: str) -> int:
    depth = _validate.count(value, what)
    if depth > 60:  # before a number of leaves is computed that has more digits than there are samples
        raise InputError(what, f"{depth}", "at most 60", "there are branching^depth classes")
    return depth


def _shrink(value: float, what: str) -> float:
    shrink = _validate.positive(value, what)
    if shrink > 1:
        raise InputError(
            what, f"{shrink:g}", "more than 0 and at most 1", "the steps get shorter from level to level"
        )
    return shrink


@dataclass(frozen=True, eq=False, kw_only=True)
class Tree(Law):
    """Gaussian classes whose means are the leaves of a random tree: classes of classes.

    The root is the origin. Each node of level l = 1..depth is its parent plus a random step whose coordinates are
    normal with standard deviation ``separation / sqrt(2) * shrink**(l - 1)``; the ``branching**depth`` leaves are the
    class means, in the order of the tree, so that neighbouring classes are siblings. The squared distance of two
    leaves whose paths part at level j is, per coordinate and on average over trees,
    separation^2 sum_{l >= j} shrink^{2 (l - 1)}. With ``rng = numpy.random.default_rng(seed)`` the steps are drawn
    first, level after level, ``rng.normal(size=(branching**l, dim))``; then the samples, class after class,
    ``mean + std * rng.normal(size=(n_c, dim))``.

    Parameters
    ----------
    depth, branching : int
        Levels below the root, 1 or more, and children of each node, 2 or more.
    shrink : float
        Length of the steps of a level over that of the level before, more than 0 and at most 1.
    separation : float
        Root mean square distance, in every coordinate, of two children of the root before they have children of
        their own.
    n, dim, std, class_sizes, imbalance, seed
        As of `kernel_collapse.data.gaussian`.

    Returns
    -------
    Dataset
        Class after class, with targets -1, +1 for two classes, else one-hot.

    Raises
    ------
    ValueError
        If a number is out of range, there are fewer samples than leaves, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.tree(n=18, dim=5, depth=2, branching=3)
    <Dataset tree: 18 samples, 5 features, classes of 2, 2, 2, 2, 2, 2, 2, 2, 2>
    """

    law = "tree"
    columns: ClassVar[Columns] = {
        "depth": ("levels of the tree of classes", ""),
        "branching": ("children of each node of the tree", ""),
        "shrink": ("length of a step over that of the level above", ""),
    }

    depth: Annotated[int, Checked(_depth, ge=1, le=60)] = 2
    branching: Classes = 2
    shrink: Annotated[float, Checked(_shrink, gt=0, le=1)] = 0.5
    separation: Distance = 4.0
    std: Scale = 0.5

    @property
    def n_classes(self) -> int:
        """Number of classes: the leaves."""
        return self.branching**self.depth

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        means = np.zeros((1, self.dim))
        for level in range(1, self.depth + 1):
            step = self.separation / np.sqrt(2.0) * self.shrink ** (level - 1)
            means = np.repeat(means, self.branching, axis=0)
            means = means + step * rng.normal(size=means.shape)
        return means[self.labels] + self.std * self.normals(rng)


tree = function(Tree)


def _directions(normals: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)
