"""NC2 and NC3 from class means that were kept with the spread around them, NaN where round-off decides them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kernel_collapse._shapes import Float
from kernel_collapse.collapse._duality import measured_nc3
from kernel_collapse.collapse._round_off import FEATURES, UNITS, Measured, settle
from kernel_collapse.collapse._simplex import measured_nc2

__all__ = ["ClassMeans"]


@dataclass(frozen=True)
class ClassMeans:
    """Class means of features, the mean squared distance of the samples of each class from its own, and shares.

    The mean of all is that of the class means by their shares. `eps` is that of the precision of the features, which
    had been rounded before they were centred.
    """

    means: Float[np.ndarray, "C p"]
    spread: Float[np.ndarray, " C"]
    shares: Float[np.ndarray, " C"]
    eps: float

    @cached_property
    def centred(self) -> Float[np.ndarray, "C p"]:
        """The class means less the mean of all."""
        return self.means - self.shares @ self.means

    @cached_property
    def _moved(self) -> Float[np.ndarray, " C"]:
        """Bounds of the errors of centred class means, as NC1 has them."""
        moved = 4.0 * self.eps * np.sqrt((self.means * self.means).sum(axis=1) + self.spread)
        return moved + self.shares @ moved

    @cached_property
    def _errors(self) -> Float[np.ndarray, "C C"]:
        """Bounds of the errors of the inner products of centred class means."""
        lengths = np.linalg.norm(self.centred, axis=1)
        mixed = lengths[:, None] * self._moved[None, :]
        return mixed + mixed.T + self._moved[:, None] * self._moved[None, :]

    def nc2(self) -> tuple[list[float], int]:
        """Return NC2 of norms, of angles and of the simplex, and how many of them round-off took."""
        found = measured_nc2(self.centred @ self.centred.T, self._errors)
        return _settled([found[name] for name in ("norms", "angles", "etf")])

    def nc3(
        self, towards: Float[np.ndarray, "C k"], readout: Float[np.ndarray, "k p"]
    ) -> tuple[list[float], int]:
        """Return NC3 and its cosine of the weights towards the target of each class, and how many round-off took."""
        classifier = towards @ readout
        square = np.einsum("cj,cj->", classifier, classifier)
        size = np.linalg.norm(np.abs(towards) @ np.linalg.norm(readout, axis=1))
        # What the means and the classifier err by.
        error = np.sqrt(square) * np.linalg.norm(self._moved)
        error += UNITS * self.eps * size * np.linalg.norm(self.centred)
        found = measured_nc3(
            classifier @ self.centred.T,
            error,
            square,
            UNITS * self.eps * size**2,
            self.centred @ self.centred.T,
            self._errors,
        )
        return _settled(found)


def _settled(metrics: Sequence[Measured]) -> tuple[list[float], int]:
    """Return the values, NaN where they are not resolved, and how many of them round-off took."""
    values, _ = settle({str(place): one for place, one in enumerate(metrics)}, FEATURES)
    found = [float(value) for value in values.values()]
    before = [float(one.value) for one in metrics]
    return found, int(np.isnan(found).sum() - np.isnan(before).sum())
