"""Schedules of the user's, whose values may change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Schedule"]

#: Steps at which a schedule is looked at: the first ones all, later ones on a logarithmic scale.
STEPS = np.concatenate([np.arange(4096), np.geomspace(4096, 2**31 - 1, 512)]).astype(np.int32)


@dataclass(frozen=True)
class Schedule:
    """A schedule of the user's: what is compiled for it is compiled anew when its values change."""

    function: Callable[[Any], Any]
    values: bytes

    @classmethod
    def of(cls, function: Callable[[Any], Any]) -> Schedule:
        """Return it with the values that it has now; of one that cannot be evaluated, whoever uses it says so."""
        try:
            values = np.asarray(jax.vmap(lambda step: function(step))(jnp.asarray(STEPS))).tobytes()
        except Exception:  # whatever the user's function raises
            values = b""
        return cls(function, values)

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step."""
        return self.function(step)
