"""Laws of classes that no hyperplane tells apart: XOR, a checkerboard, spheres, curved manifolds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.data._dataset import Dataset
from kernel_collapse.data._frame import Frame, frame, line, orthonormal

__all__ = ["checkerboard", "manifolds", "spheres", "xor"]

#: Dimensions that a manifold is made in before it is turned.
_ROOM = {"circles": 2, "spiral": 2, "swiss-roll": 3}


def xor(
    n: int = 1024,
    dim: int = 2,
    *,
    separation: float = 4.0,
    std: float = 0.5,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return two Gaussian classes on the corners of a square, opposite corners of one class.

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
    room = _plane(frame(n, dim, 2, separation, class_sizes, imbalance, seed), "xor", 2)
    x = _validate.moderate(std, "std") * room.normals()
    x[:, :2] += _cells(room, 2)
    return room.dataset(x, "xor")


def checkerboard(
    n: int = 1024,
    dim: int = 2,
    *,
    cells: int = 4,
    separation: float = 4.0,
    std: float = 0.5,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return two classes, uniform on the squares of either colour of a board of cells x cells.

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
    room = _plane(frame(n, dim, 2, separation, class_sizes, imbalance, seed), "checkerboard", 2)
    cells = _validate.count(cells, "cells", least=2)
    _validate.fits(2 * cells * cells, f"a board of {_validate.shown(cells)} cells a side", "lower cells")
    x = _validate.moderate(std, "std") * room.normals()
    centres = _cells(room, cells)
    x[:, :2] = centres + room.separation * (room.rng.random((room.n, 2)) - 0.5)
    return room.dataset(x, "checkerboard")


def spheres(
    n: int = 1024,
    dim: int = 2,
    *,
    radius: float = 2.0,
    n_classes: int = 2,
    separation: float = 4.0,
    std: float = 0.5,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return classes on concentric spheres, class c at ``radius + c * separation``, with noise along the radius.

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
    room = frame(n, dim, n_classes, separation, class_sizes, imbalance, seed)
    radius, std = _validate.moderate(radius, "radius"), _validate.moderate(std, "std")
    directions = room.normals()
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = radius + room.separation * room.labels + std * room.rng.normal(size=room.n)
    return room.dataset(radii[:, None] * directions, "spheres")


def manifolds(
    n: int = 1024,
    dim: int = 2,
    *,
    shape: Literal["circles", "spiral", "swiss-roll"] = "spiral",
    turns: float = 1.0,
    n_classes: int = 2,
    separation: float = 4.0,
    std: float = 0.5,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    r"""Return classes on nested curved manifolds, turned at random into `dim` dimensions, with noise in all of them.

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
    room = frame(n, dim, n_classes, separation, class_sizes, imbalance, seed)
    made_in = _ROOM[_validate.choice(shape, _ROOM, "shape")]
    _plane(room, shape, made_in)
    turns, std = _validate.moderate(turns, "turns"), _validate.moderate(std, "std")
    turn = orthonormal(room.rng, room.dim, made_in)
    noise = std * room.normals()
    along, *across = room.rng.random((room.n, made_in - 1)).T
    if shape == "circles":
        angle, radii = 2 * np.pi * along, room.separation * (room.labels + 1)
    else:
        first, last = np.pi, np.pi * (1 + 2 * turns)
        arc = np.sqrt(first**2 + (last**2 - first**2) * along)
        angle = arc + 2 * np.pi * room.labels / room.n_classes
        radii = room.n_classes * room.separation / (2 * np.pi) * arc
    heights = [room.separation * (2 * uniform - 1) for uniform in across]
    on_manifold = np.column_stack([radii * np.cos(angle), radii * np.sin(angle), *heights])
    return room.dataset(on_manifold @ turn.T + noise, "manifolds")


def _plane(room: Frame, law: str, least: int) -> Frame:
    if room.dim < least:
        raise InputError("dim", f"{room.dim}", f"at least {least} for {law!r}", "raise dim")
    return room


def _cells(room: Frame, cells: int) -> Float[np.ndarray, "n 2"]:
    """Return the centre of a random cell of its colour for each sample."""
    grid = np.indices((cells, cells)).reshape(2, -1).T
    coordinate = line(cells, room.separation)
    centres = []
    for c, size in enumerate(room.sizes):
        own = grid[grid.sum(axis=1) % 2 == c]
        centres.append(coordinate[own[room.rng.integers(len(own), size=size)]])
    return np.vstack(centres)
