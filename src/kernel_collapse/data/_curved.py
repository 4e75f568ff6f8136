"""Laws of classes that no hyperplane tells apart: XOR, a checkerboard, spheres, curved manifolds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.data.law import (
    Checked,
    Columns,
    Count,
    Distance,
    Law,
    Placed,
    Scale,
    function,
    line,
    orthonormal,
)

__all__ = ["XOR", "Checkerboard", "Manifolds", "Spheres", "checkerboard", "manifolds", "spheres", "xor"]


@dataclass(frozen=True, eq=False, kw_only=True)
class XOR(Law):
    """Two Gaussian classes on the corners of a square, opposite corners of one class.

    The corners have the coordinates -separation / 2 and separation / 2 in the first two dimensions; class 0 has those
    where both are alike, class 1 the others, each corner with probability 1/2. The other dimensions are noise about
    0. With ``rng = numpy.random.default_rng(seed)``, the noise ``std * rng.normal(size=(n, dim))`` is drawn first,
    class after class, then the corner of each sample, ``rng.integers(2, size=n)``, its number in the order of the
    first coordinate. Both class means are 0, so that a linear kernel has no collapse to speak of.

    Parameters
    ----------
    separation : float
        Side of the square, zero or more.
    std : float
        Standard deviation of the noise in every coordinate.
    n, dim, class_sizes, imbalance, seed
        As of `kernel_collapse.data.gaussian`; at least two dimensions.

    Returns
    -------
    Dataset
        Class after class, with targets -1, +1.

    Raises
    ------
    ValueError
        If a number is out of range, there is one dimension only, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.xor(n=10, dim=3)
    <Dataset xor: 10 samples, 3 features, classes of 5, 5>
    """

    law = "xor"
    n_classes: ClassVar[int] = 2

    dim: Count = field(default=2, kw_only=False)
    separation: Distance = 4.0
    std: Scale = 0.5

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        _refuse_fewer(self.dim, 2, self.law)
        x = self.std * self.normals(rng)
        x[:, :2] += _cells(rng, self.sizes, 2, self.separation)
        return x


xor = function(XOR)


def _cells_a_side(value: int, what: str) -> int:
    cells = _validate.count(value, what, least=2)
    _validate.fits(2 * cells * cells, f"a board of {_validate.shown(cells)} cells a side", "lower cells")
    return cells


@dataclass(frozen=True, eq=False, kw_only=True)
class Checkerboard(Law):
    """Two classes, uniform on the squares of either colour of a board of cells x cells.

    The board lies in the first two dimensions, centred at 0; a cell in row i and column j is of class
    (i + j) modulo 2, and a sample lies in each cell of its class with one probability. The other dimensions are
    noise about 0. With ``rng = numpy.random.default_rng(seed)``, the noise ``std * rng.normal(size=(n, dim))`` is
    drawn first, class after class, then the cell of each sample, ``rng.integers(number of cells of its class)``, in
    the order of rows, then its place in the cell, ``rng.random((n, 2))``, which takes the place of the noise.

    Parameters
    ----------
    cells : int
        Cells on a side, 2 or more.
    separation : float
        Side of a cell, zero or more: the distance of neighbouring centres.
    std : float
        Standard deviation of the noise in the coordinates from the third on.
    n, dim, class_sizes, imbalance, seed
        As of `kernel_collapse.data.gaussian`; at least two dimensions.

    Returns
    -------
    Dataset
        Class after class, with targets -1, +1.

    Raises
    ------
    ValueError
        If a number is out of range, there is one dimension only, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.checkerboard(n=10, dim=3, cells=3)
    <Dataset checkerboard: 10 samples, 3 features, classes of 5, 5>
    """

    law = "checkerboard"
    columns: ClassVar[Columns] = {"cells": ("cells of the checkerboard along each side", "")}
    n_classes: ClassVar[int] = 2

    dim: Count = field(default=2, kw_only=False)
    cells: Annotated[int, Checked(_cells_a_side, ge=2)] = 4
    separation: Distance = 4.0
    std: Scale = 0.5

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        _refuse_fewer(self.dim, 2, self.law)
        x = self.std * self.normals(rng)
        centres = _cells(rng, self.sizes, self.cells, self.separation)
        x[:, :2] = centres + self.separation * (rng.random((self.n, 2)) - 0.5)
        return x


checkerboard = function(Checkerboard)


@dataclass(frozen=True, eq=False, kw_only=True)
class Spheres(Placed):
    """Classes on concentric spheres, class c at ``radius + c * separation``, with noise along the radius.

    ``x = (radius + c * separation + std * e) * z / norm(z)`` with z, of dim coordinates, and e, one a sample, standard
    normal. With ``rng = numpy.random.default_rng(seed)``, z is ``rng.normal(size=(n, dim))``, class after class,
    then e is ``rng.normal(size=n)``. All class means are 0.

    Parameters
    ----------
    radius : float
        Radius of the innermost sphere, that of class 0.
    separation : float
        Difference of the radii of neighbouring spheres, zero or more.
    std : float
        Standard deviation of the radius.
    n, dim, n_classes, class_sizes, imbalance, seed
        As of `kernel_collapse.data.gaussian`.

    Returns
    -------
    Dataset
        Class after class, with targets -1, +1 for two classes, else one-hot.

    Raises
    ------
    ValueError
        If a number is out of range, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.spheres(n=9, dim=4, n_classes=3)
    <Dataset spheres: 9 samples, 4 features, classes of 3, 3, 3>
    """

    law = "spheres"

    dim: Count = field(default=2, kw_only=False)
    radius: Scale = 2.0

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        directions = self.normals(rng)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        radii = self.radius + self.separation * self.labels + self.std * rng.normal(size=self.n)
        return radii[:, None] * directions


spheres = function(Spheres)


@dataclass(frozen=True, eq=False, kw_only=True)
class Manifolds(Placed):
    r"""Classes on nested curved manifolds, turned at random into `dim` dimensions, with noise in all of them.

    ``x = y @ Q.T + std * e`` with e standard normal, Q a uniformly random orthonormal frame, and y on

    - "circles", of one dimension in a plane: y = separation (c + 1) (cos t, sin t), t uniform from 0 to 2 pi;
    - "spiral", the same, arms of Archimedes' spirals: y = b t (cos(t + 2 pi c / C), sin(t + 2 pi c / C)) with
      b = C separation / (2 pi) and t^2 uniform from pi^2 to (pi + 2 pi turns)^2, about even along the arm;
    - "swiss-roll", of two dimensions in three: those spirals, and a height uniform from -separation to separation.

    With ``rng = numpy.random.default_rng(seed)`` and m the 2 or 3 dimensions of y, Q is drawn first, from
    ``rng.normal(size=(dim, m))`` by its QR decomposition with a positive diagonal of R; then e,
    ``rng.normal(size=(n, dim))``, class after class; then ``rng.random((n, m - 1))``, from whose columns the uniform
    numbers are made.

    Source of the Swiss roll: Tenenbaum, de Silva and Langford, *A global geometric framework for nonlinear
    dimensionality reduction*, Science 290 (2000).

    Parameters
    ----------
    shape : {"circles", "spiral", "swiss-roll"}
        Which manifolds.
    turns : float
        Turns of each arm of a spiral, more than zero.
    separation : float
        Distance of neighbouring circles, or of neighbouring arms along a ray, zero or more.
    std : float
        Standard deviation of the noise in every coordinate.
    n, dim, n_classes, class_sizes, imbalance, seed
        As of `kernel_collapse.data.gaussian`; at least as many dimensions as the manifold is made in.

    Returns
    -------
    Dataset
        Class after class, with targets -1, +1 for two classes, else one-hot.

    Raises
    ------
    ValueError
        If a number is out of range, there are too few dimensions, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.manifolds(n=9, dim=10, shape="swiss-roll", n_classes=3)
    <Dataset manifolds: 9 samples, 10 features, classes of 3, 3, 3>
    """

    law = "manifolds"
    columns: ClassVar[Columns] = {
        "shape": ("shape of the manifolds", ""),
        "turns": ("turns of the spiral", ""),
    }

    dim: Count = field(default=2, kw_only=False)
    shape: Literal["circles", "spiral", "swiss-roll"] = "spiral"
    turns: Scale = 1.0

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        made_in = 3 if self.shape == "swiss-roll" else 2  # dimensions, before it is turned
        _refuse_fewer(self.dim, made_in, self.shape)
        turn = orthonormal(rng, self.dim, made_in)
        noise = self.std * self.normals(rng)
        along, *across = rng.random((self.n, made_in - 1)).T
        if self.shape == "circles":
            angle, radii = 2 * np.pi * along, self.separation * (self.labels + 1)
        else:
            first, last = np.pi, np.pi * (1 + 2 * self.turns)
            arc = np.sqrt(first**2 + (last**2 - first**2) * along)
            angle = arc + 2 * np.pi * self.labels / self.n_classes
            radii = self.n_classes * self.separation / (2 * np.pi) * arc
        heights = [self.separation * (2 * uniform - 1) for uniform in across]
        on_manifold = np.column_stack([radii * np.cos(angle), radii * np.sin(angle), *heights])
        return on_manifold @ turn.T + noise


manifolds = function(Manifolds)


def _refuse_fewer(dim: int, least: int, law: str) -> None:
    if dim < least:
        raise InputError("dim", f"{dim}", f"at least {least} for {law!r}", "raise dim")


def _cells(
    rng: np.random.Generator, sizes: tuple[int, ...], cells: int, side: float
) -> Float[np.ndarray, "n 2"]:
    """Return the centre of a random cell of its colour for each sample."""
    grid = np.indices((cells, cells)).reshape(2, -1).T
    coordinate = line(cells, side)
    centres = []
    for c, size in enumerate(sizes):
        own = grid[grid.sum(axis=1) % 2 == c]
        centres.append(coordinate[own[rng.integers(len(own), size=size)]])
    return np.vstack(centres)
