"""What a network does beside its weights: what the units of a layer are given, and what becomes of their sums.

Activity has one sample a column, of every layer. A unit of a convolution looks at many positions of one sample, each
of which is a column of its own then: all layers are one matrix product, whatever the network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.networks._activations import Phi

__all__ = ["Architecture", "Dense"]


class Architecture(ABC):
    """What a network does beside its weights; a value with a hash, for programs are compiled for it.

    Layers are counted from 0, and the last one is the readout.
    """

    @property
    @abstractmethod
    def activation(self) -> Phi | tuple[Phi, ...]:
        """The JAX function, or all of them."""

    @abstractmethod
    def multiple(self, layer: int) -> int:
        """Return how many numbers of each unit below a unit of this layer is given."""

    @abstractmethod
    def positions(self, layer: int) -> int:
        """Return at how many positions of a sample the units of this layer stand."""

    @abstractmethod
    def given(self, layer: int, activity: Any) -> Any:
        """Return what the units are given, (fan-in, positions x n), of the activity below, (numbers, n)."""

    @abstractmethod
    def activity(self, layer: int, sums: Any) -> Any:
        """Return the activity of a hidden layer, (numbers, n), of the sums of its units, (N_l, positions x n)."""

    @abstractmethod
    def columns(self, x: ArrayLike) -> Float[np.ndarray, "d n"]:
        """Return samples in columns, in NumPy's float64, or refuse what does not fit the network."""


@dataclass(frozen=True)
class Dense(Architecture):
    """Every unit is given all of the layer below, and goes through one activation."""

    phi: Phi
    dim: int

    @property
    def activation(self) -> Phi:
        """The JAX function."""
        return self.phi

    def multiple(self, layer: int) -> int:
        """Return 1."""
        return 1

    def positions(self, layer: int) -> int:
        """Return 1."""
        return 1

    def given(self, layer: int, activity: Any) -> Any:
        """Return the activity."""
        return activity

    def activity(self, layer: int, sums: Any) -> Any:
        """Return the activation of each sum."""
        return self.phi(sums)

    def columns(self, x: ArrayLike) -> Float[np.ndarray, "d n"]:
        """Return rows of a matrix as columns."""
        inputs = _validate.matrix(x, "x", numpy=True)
        if inputs.shape[1] != self.dim:
            raise InputError(
                "x", f"{inputs.shape[1]} features", f"{self.dim}", "those of the network", verb="has"
            )
        return inputs.T
