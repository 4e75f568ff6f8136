"""What every law is drawn in: sizes of classes, their places on a line, one generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from kernel_collapse import _validate
from kernel_collapse.data._dataset import Dataset, default_targets
from kernel_collapse.data._gaussian import D2_TARGETS

__all__ = ["Frame", "frame", "line", "line_targets", "orthonormal"]


@dataclass(frozen=True, eq=False)
class Frame:
    """Clean sizes and the generator that a law draws from, class after class."""

    n: int
    dim: int
    sizes: tuple[int, ...]
    separation: float
    rng: np.random.Generator

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.sizes)

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """Class of each sample, in ascending order."""
        return np.repeat(np.arange(self.n_classes), self.sizes)

    @property
    def centres(self) -> Float[np.ndarray, "n 1"]:
        """Mean of the class of each sample, the same in every coordinate."""
        return line(self.n_classes, self.separation)[self.labels, None]

    def normals(self) -> Float[np.ndarray, "n d"]:
        """Return standard normal coordinates, as class after class ``rng.normal(size=(n_c, dim))`` gives them."""
        return self.rng.normal(size=(self.n, self.dim))

    def dataset(self, x: Float[np.ndarray, "n d"], name: str, *, on_a_line: bool = False) -> Dataset:
        """Return these samples with labels and targets."""
        targets = (
            line_targets(self.n_classes, self.n) if on_a_line else default_targets(self.n_classes, self.n)
        )
        return Dataset(x, self.labels, targets[self.labels], name, tuple(range(self.n_classes)))


def frame(
    n: int,
    dim: int,
    n_classes: int,
    separation: float,
    class_sizes: Sequence[int] | None,
    imbalance: float | None,
    seed: int,
) -> Frame:
    """Return the frame, or refuse what it cannot be made of."""
    n, dim = _validate.count(n, "n"), _validate.count(dim, "dim")
    _validate.size(n, dim)
    _validate.fits(n * dim, f"{n} samples of {dim} features", "lower n or dim")
    n_classes = _validate.count(n_classes, "n_classes", least=2)
    separation = _validate.moderate(separation, "separation", zero_allowed=True)
    sizes = _validate.class_sizes(class_sizes, n, n_classes, imbalance)
    rng = np.random.default_rng(_validate.seed(seed))
    return Frame(n, dim, sizes, separation, rng)


def line(n_classes: int, separation: float) -> Float[np.ndarray, " C"]:
    """Return the coordinate of each class mean, `separation` apart and centred: -2 and 2 on D1."""
    return separation * (np.arange(n_classes) - (n_classes - 1) / 2)


def line_targets(n_classes: int, n: int) -> Float[np.ndarray, "C k"]:
    """Return the targets of classes on a line: those of D1 for two, of D2 for four, else one-hot."""
    return np.array(D2_TARGETS)[:, None] if n_classes == len(D2_TARGETS) else default_targets(n_classes, n)


def orthonormal(rng: np.random.Generator, dim: int, columns: int) -> Float[np.ndarray, "d m"]:
    """Return a uniformly random orthonormal frame: the Q of a Gaussian matrix whose R has a positive diagonal.

    Without that choice of signs Q is not uniform: Mezzadri, *How to generate random matrices from the classical
    compact groups*, Notices of the AMS 54 (2007).
    """
    q, r = np.linalg.qr(rng.normal(size=(dim, columns)))
    return q * np.where(r.diagonal() < 0, -1.0, 1.0)
