"""Laws of classes that fill a body, a shell, a subspace, or the leaves of a tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.data._dataset import Dataset
from kernel_collapse.data._frame import frame, orthonormal

__all__ = ["ball", "shell", "subspace", "tree"]


def ball(
    n: int = 1024,
    dim: int = 1,
    *,
    radius: float | None = None,
    n_classes: int = 2,
    separation: float = 4.0,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return classes on a line that are uniform in a ball: no tails at all.

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
    room = frame(n, dim, n_classes, separation, class_sizes, imbalance, seed)
    radius = np.sqrt(room.dim + 2) / 2 if radius is None else _validate.moderate(radius, "radius")
    directions = _directions(room.normals())
    return room.dataset(
        room.centres + radius * room.rng.random((room.n, 1)) ** (1 / room.dim) * directions,
        "ball",
        on_a_line=True,
    )


def shell(
    n: int = 1024,
    dim: int = 1,
    *,
    radius: float | None = None,
    thickness: float = 0.0,
    n_classes: int = 2,
    separation: float = 4.0,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return classes on a line that are uniform on a sphere, or between it and a smaller one.

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
    room = frame(n, dim, n_classes, separation, class_sizes, imbalance, seed)
    radius = np.sqrt(room.dim) / 2 if radius is None else _validate.moderate(radius, "radius")
    thickness = _validate.moderate(thickness, "thickness", zero_allowed=True)
    if thickness > radius:
        raise InputError(
            "thickness", f"{thickness:g}", f"at most the radius, {radius:g}", "at that it is a ball"
        )
    directions = _directions(room.normals())
    inner = (1 - thickness / radius) ** room.dim
    radii = radius * (inner + (1 - inner) * room.rng.random((room.n, 1))) ** (1 / room.dim)
    return room.dataset(room.centres + radii * directions, "shell", on_a_line=True)


def subspace(
    n: int = 1024,
    dim: int = 2,
    *,
    intrinsic_dim: int = 2,
    noise: float = 0.05,
    n_classes: int = 2,
    separation: float = 4.0,
    std: float = 0.5,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return Gaussian classes of few dimensions, turned at random into many, with noise in all of them.

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
    room = frame(n, dim, n_classes, separation, class_sizes, imbalance, seed)
    intrinsic_dim = _validate.count(intrinsic_dim, "intrinsic_dim")
    if intrinsic_dim > room.dim:
        raise InputError(
            "intrinsic_dim",
            f"{intrinsic_dim} in {room.dim} dimensions",
            "at most as many",
            "raise dim or lower intrinsic_dim",
        )
    std, noise = _validate.moderate(std, "std"), _validate.moderate(noise, "noise", zero_allowed=True)
    turn = orthonormal(room.rng, room.dim, intrinsic_dim)
    inside = room.centres + std * room.rng.normal(size=(room.n, intrinsic_dim))
    return room.dataset(inside @ turn.T + noise * room.normals(), "subspace", on_a_line=True)


def tree(
    n: int = 1024,
    dim: int = 1,
    *,
    depth: int = 2,
    branching: int = 2,
    shrink: float = 0.5,
    separation: float = 4.0,
    std: float = 0.5,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return Gaussian classes whose means are the leaves of a random tree: classes of classes.

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
    depth, branching = _validate.count(depth, "depth"), _validate.count(branching, "branching", least=2)
    if depth > 60:  # before a number of leaves is computed that has more digits than there are samples
        raise InputError("depth", f"{depth}", "at most 60", "there are branching^depth classes")
    room = frame(n, dim, branching**depth, separation, class_sizes, imbalance, seed)
    shrink, std = _validate.positive(shrink, "shrink"), _validate.moderate(std, "std")
    if shrink > 1:
        raise InputError(
            "shrink", f"{shrink:g}", "more than 0 and at most 1", "the steps get shorter from level to level"
        )
    means = np.zeros((1, room.dim))
    for level in range(1, depth + 1):
        step = room.separation / np.sqrt(2.0) * shrink ** (level - 1)
        means = np.repeat(means, branching, axis=0)
        means = means + step * room.rng.normal(size=means.shape)
    return room.dataset(means[room.labels] + std * room.normals(), "tree")


def _directions(normals: np.ndarray) -> np.ndarray:
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)
