"""The law of images: shapes that are moved about, blurred, and drowned in noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
from scipy.special import ndtr

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.data.law import Apart, Checked, Columns, Count, Distance, Scale, function

__all__ = ["PENTOMINOES", "Shapes", "shapes"]

#: The twelve shapes of five cells, by the letter that each looks like; the first ones are least alike.
PENTOMINOES = {
    "X": (".#.", "###", ".#."),
    "I": ("#####",),
    "U": ("#.#", "###"),
    "V": ("#..", "#..", "###"),
    "Z": ("##.", ".#.", ".##"),
    "T": ("###", ".#.", ".#."),
    "P": ("##", "##", "#."),
    "L": ("#...", "####"),
    "W": ("#..", "##.", ".##"),
    "Y": (".#..", "####"),
    "N": ("##..", ".###"),
    "F": (".##", "##.", ".#."),
}
#: Standard deviations of a blur beyond which nothing is left of it in float64.
REACH = 9.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Shapes(Apart):
    r"""Square images of one channel with a shape in each, moved about, blurred, and noisy.

    Class c has the c-th of the twelve pentominoes, which are X, I, U, V, Z, T, P, L, W, Y, N, F: five square cells, so
    that all shapes have one area. With side = sqrt(dim), the shape has its centre at side / 2 + (a, b), a and b uniform
    from -translation to translation along rows and columns; it is blurred by a Gaussian; a pixel is the mean of it over
    the square of the pixel, times `separation`, and has normal noise on top. What leaves the image on one side enters
    on the other. With ``rng = numpy.random.default_rng(seed)``, the places are drawn first,
    ``translation * (2 * rng.random((n, 2)) - 1)``, then the noise, ``noise * rng.normal(size=(n, dim))``, both class
    after class.

    What is known of it: without noise the pixels of every image sum to ``5 * separation * cell**2``, wherever the shape
    is and however it is blurred. With ``translation=side / 2`` a moved image is as likely as the image itself, and all
    class means are one image of one value: what is linear in the pixels tells nothing of the class. With
    ``translation=0`` a class is its shape and Gaussian noise.

    Source of the shapes: Golomb, *Polyominoes*, Princeton (1994).

    Parameters
    ----------
    n : int
        Number of images.
    dim : int
        Number of pixels, a square: 64 for images of 8 x 8.
    n_classes : int
        Number of shapes, 2 to 12.
    separation : float
        Value of a pixel that a shape covers, of which the others have 0: two pixels of two shapes are so far apart.
    cell : float, optional
        Side of a cell, in pixels; an eighth of the image by default. Five cells fit into the image.
    blur : float
        Standard deviation of the blur, in pixels, from 0 to the side of the image.
    translation : float, optional
        How far a shape moves to either side, in pixels, at most half of the image; a quarter by default.
    noise : float
        Standard deviation of the noise of a pixel, zero or more.
    class_sizes, imbalance, seed
        As of `kernel_collapse.data.gaussian`.

    Returns
    -------
    Dataset
        Class after class, with targets -1, +1 for two classes, else one-hot; `Dataset.images` has the images.

    Raises
    ------
    ValueError
        If a number is out of range, `dim` is no square, a shape does not fit, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.shapes(n=9, dim=64, n_classes=3, noise=0.0)
    >>> data
    <Dataset shapes: 9 samples, images of 8 x 8 x 1, classes of 3, 3, 3>
    >>> data.x.sum(axis=1).round(12).tolist()
    [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]
    """

    law = "shapes"
    columns: ClassVar[Columns] = {
        "cell": ("side of a cell of a shape", "pixels"),
        "blur": ("standard deviation of the blur", "pixels"),
        "translation": ("how far a shape moves to either side", "pixels"),
        "noise": ("standard deviation off the subspace, or of the noise of a pixel", "features"),
    }

    dim: Count = field(default=64, kw_only=False)
    n_classes: Annotated[
        int, Checked(partial(_validate.count, least=2, most=len(PENTOMINOES)), ge=2, le=len(PENTOMINOES))
    ] = 2
    separation: Distance = 1.0
    cell: Scale | None = None
    blur: Distance = 0.5
    translation: Distance | None = None
    noise: Distance = 0.1

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of an image."""
        side = math.isqrt(self.dim)
        if side**2 != self.dim:
            raise InputError(
                "dim",
                f"{self.dim}",
                "a square, such as 64 for images of 8 x 8",
                f"take {side**2} or {(side + 1) ** 2}",
            )
        return side, side, 1

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        side = self.image_shape[0]
        cell = side / 8 if self.cell is None else self.cell
        translation = side / 4 if self.translation is None else self.translation
        for name, value, most in (
            ("cell", cell, side / 5),
            ("blur", self.blur, side),
            ("translation", translation, side / 2),
        ):
            if value > most:
                raise InputError(name, f"{value:g}", f"at most {most:g} pixels in images of {side} x {side}")
        places = translation * (2.0 * rng.random((self.n, 2)) - 1.0)
        x = np.zeros((self.n, side, side))
        for c, cells in enumerate(list(PENTOMINOES.values())[: self.n_classes]):
            mine = self.labels == c
            corners = side / 2 + cell * _corners(cells)
            for row, column in corners:
                down = _covered(places[mine, 0] + row, cell, self.blur, side)
                across = _covered(places[mine, 1] + column, cell, self.blur, side)
                x[mine] += down[:, :, None] * across[:, None, :]
        return self.separation * x.reshape(self.n, self.dim) + self.noise * self.normals(rng)


shapes = function(Shapes)


def _corners(cells: tuple[str, ...]) -> Float[np.ndarray, "5 2"]:
    """Return row and column of the upper left corner of each cell, about the middle of the shape, in cells."""
    places = [(i, j) for i, line in enumerate(cells) for j, mark in enumerate(line) if mark == "#"]
    return np.array(places) - np.array([len(cells), len(cells[0])]) / 2


def _covered(
    start: Float[np.ndarray, " n"], length: float, blur: float, side: int
) -> Float[np.ndarray, "n side"]:
    """Return how much of each pixel of a ring of so many a blurred interval covers; all add up to its length."""
    around = math.ceil(1.0 + (REACH * blur + length) / side)
    edges = np.arange(side * (2 * around + 1) + 1) - side * around
    below = edges - start[:, None] % side
    shares = np.diff(_ramp(below, blur) - _ramp(below - length, blur), axis=1)
    return shares.reshape(len(start), -1, side).sum(axis=1)


def _ramp(x: Float[np.ndarray, "n e"], blur: float) -> Float[np.ndarray, "n e"]:
    """Return the integral of a blurred step from 0 to 1 at 0, up to x."""
    if blur == 0.0:
        return np.maximum(x, 0.0)
    z = x / blur
    return x * ndtr(z) + blur * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
