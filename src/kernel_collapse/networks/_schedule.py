"""Schedules of the user's, whose values may change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError

__all__ = ["Schedule"]

#: Steps of a run that are all looked at; of a longer one as many of the first, and later ones on a logarithmic scale.
MOST_STEPS = 1_000_000


@dataclass(frozen=True)
class Schedule:
    """A schedule of the user's: what is compiled for it is compiled anew when its values change."""

    function: Callable[[Any], Any]
    values: bytes

    @classmethod
    def of(cls, function: Callable[[Any], Any], steps: int) -> Schedule:
        """Return it with the values that it has now, for a run of so many steps.

        Raises
        ------
        ValueError
            If JAX cannot trace it, or its values are no learning rates.
        """
        what = "learning_rate"
        _validate.function(function, what, "of the number of steps", arguments=1)
        looked = np.arange(max(1, min(steps, MOST_STEPS)))
        if steps > MOST_STEPS:
            looked = np.concatenate([looked, np.geomspace(MOST_STEPS, min(steps - 1, 2**31 - 1), 512)])
        try:
            values = np.asarray(jax.vmap(lambda step: function(step))(jnp.asarray(looked, jnp.int32)))
        except Exception as error:  # whatever the user's function or JAX raises
            first = (str(error).strip() or type(error).__name__).splitlines()[0][:100].rstrip(".")
            raise InputError(
                what,
                f"be traced by JAX ({type(error).__name__}: {first})",
                "a function of the number of steps made of jax.numpy operations",
                "try jnp.where in the place of if, jnp.sqrt in that of np.sqrt, or a schedule of optax",
                verb="cannot",
            ) from None
        if values.shape != looked.shape or values.dtype.kind not in "fiu":
            given = f"shape {values.shape[1:]} and type {values.dtype} at a step"
            raise InputError(what, given, "one real number", "return a number for each step", verb="returns")
        bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if len(bad):
            given = f"{values[bad[0]]:g} at step {int(looked[bad[0]])}"
            raise InputError(what, given, "a finite number that is not negative", verb="returns")
        return cls(function, values.tobytes())

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step."""
        return self.function(step)
