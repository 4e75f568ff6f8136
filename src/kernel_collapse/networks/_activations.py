"""Activations as JAX functions: the library's by name, or any function of a user's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernel_collapse import _probed, activations
from kernel_collapse._input_error import InputError
from kernel_collapse.activations import Activation

__all__ = ["Own", "Phi", "get", "name_of", "plain", "require_unchanged"]

#: An elementwise function of one array, made of JAX operations.
Phi = Callable[[Any], Any]

#: Where JAX has a function of its own; ReLU's has the slope 0 at 0, where that of a maximum is 1/2.
_OF_JAX: dict[str, Phi] = {"erf": jax.lax.erf, "relu": jax.nn.relu}


def get(activation: str | Activation | Phi) -> Phi:
    """Return the activation as a JAX function.

    Parameters
    ----------
    activation : str, Activation or callable
        A name, or an elementwise function made of `jax.numpy` operations.

    Raises
    ------
    ValueError
        If there is none of that name, JAX cannot trace the function, or its derivative is not that of the function
        (one with jumps, say): a network with it cannot be trained or sampled by gradients.
    """
    if isinstance(activation, str | Activation):
        known = activations.get(activation)
        require_unchanged(known)
        if known.name in _OF_JAX:
            return _OF_JAX[known.name]
        activation = known
    elif not callable(activation):
        raise InputError.of(
            "activation",
            activation,
            "one of the names of kernel_collapse.activations or a function made of jax.numpy operations",
        )
    _check_derivative(activation)
    return activation if isinstance(activation, Activation) else Own(activation, _values_of(activation))


@dataclass(frozen=True)
class Own:
    """A function of the user's: what is compiled for it is compiled anew when its values change."""

    function: Phi
    values: bytes

    @property
    def __name__(self) -> str:
        return name_of(self.function)

    def __call__(self, x: Any) -> Any:
        """Return phi(x)."""
        return self.function(x)

    def require_unchanged(self) -> None:
        """Refuse a function that has other values than when the network was made: a parameter of it was changed."""
        _probed.require_unchanged(self.function, self.values, name_of(self.function))


def require_unchanged(phi: Phi) -> None:
    """Refuse a function of the user's that has other values than when the network was made."""
    if isinstance(phi, Own | Activation):
        with jax.enable_x64(True):  # as when its values were noted
            phi.require_unchanged()


def plain(phi: Phi) -> Phi:
    """Return the function as the user gave it."""
    return phi.function if isinstance(phi, Own) else phi


def _values_of(phi: Phi) -> bytes:
    with jax.enable_x64(True):
        return _probed.values_at_probes(phi)


def name_of(activation: str | Activation | Phi) -> str:
    """Return the name to print."""
    if isinstance(activation, Activation):
        return activation.name
    return activation if isinstance(activation, str) else getattr(activation, "__name__", repr(activation))


def _check_derivative(phi: Phi) -> None:
    """Refuse a function whose derivative does not integrate to the function itself."""
    grid = np.linspace(-3.0, 3.0, 6007)  # kinks at round numbers fall between points
    with jax.enable_x64(True):
        try:
            values = np.asarray(phi(jnp.asarray(grid)))
            slopes = np.asarray(jax.vmap(jax.grad(lambda x: jnp.squeeze(phi(x))))(jnp.asarray(grid)))
        except Exception as error:  # whatever the user's function or JAX raises
            raise InputError(
                f"the activation {name_of(phi)}",
                f"be differentiated by JAX ({type(error).__name__}: {str(error).splitlines()[0]})",
                "an elementwise function made of jax.numpy operations",
                verb="cannot",
            ) from None
    if values.shape != grid.shape or not (np.isfinite(values).all() and np.isfinite(slopes).all()):
        raise InputError(
            f"the activation {name_of(phi)}",
            f"shape {values.shape} for {grid.shape} numbers or is not finite with its derivative on [-3, 3]",
            "an elementwise function with finite values and slopes",
            verb="has",
        )
    area = np.concatenate([[0.0], np.cumsum(0.5 * (slopes[1:] + slopes[:-1]) * np.diff(grid))])
    if np.abs(values - values[0] - area).max() > 1e-2 * (np.abs(values).max() + 1e-12):
        raise InputError(
            f"the activation {name_of(phi)}",
            "not differentiable where it must be: its derivative does not add up to its values (does it "
            "jump?)",
            "a continuous function, such as a steep tanh in the place of a step",
        )
