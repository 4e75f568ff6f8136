"""Transitions of all chains at once: (key, state, step size) -> state, (acceptance, divergent, gradients) of each.

A state is a position (the weights of every layer), its log density and the gradient of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from blackjax.mcmc import hmc, mala, nuts
from blackjax.mcmc.diffusions import overdamped_langevin
from blackjax.mcmc.integrators import IntegratorState

__all__ = ["TRANSITIONS"]

_MAX_STEPS, _MAX_DOUBLINGS = 100, 6  # of a trajectory


def _hmc(log_density: Callable[[Any], Any], trajectory: Any) -> Callable[..., Any]:
    kernel = hmc.build_kernel(_rotation)

    def transition(key: Any, state: Any, step_size: Any) -> Any:
        key, length_key = jax.random.split(key)
        # A random length, since at a fixed one all coordinates come round together; the same for all chains.
        time = trajectory * jax.random.uniform(length_key, minval=0.5, maxval=1.5)
        steps = jnp.clip(jnp.ceil(time / step_size), 1, _MAX_STEPS).astype(int)
        step_size = jnp.minimum(step_size, time / steps)

        def one(key: Any, state: Any) -> Any:
            unit_mass = jnp.ones(_size(state[0]))
            state, info = kernel(key, hmc.HMCState(*state), log_density, step_size, unit_mass, steps)
            return tuple(state), (info.acceptance_rate, info.is_divergent, info.num_integration_steps * 1.0)

        return _each(one, key, state)

    return transition


def _nuts(log_density: Callable[[Any], Any], trajectory: Any) -> Callable[..., Any]:
    kernel = nuts.build_kernel(_rotation)

    def transition(key: Any, state: Any, step_size: Any) -> Any:
        def one(key: Any, state: Any) -> Any:
            unit_mass = jnp.ones(_size(state[0]))
            state, info = kernel(key, hmc.HMCState(*state), log_density, step_size, unit_mass, _MAX_DOUBLINGS)
            return tuple(state), (info.acceptance_rate, info.is_divergent, info.num_integration_steps * 1.0)

        return _each(one, key, state)

    return transition


def _mala(log_density: Callable[[Any], Any], trajectory: Any) -> Callable[..., Any]:
    kernel = mala.build_kernel()

    def transition(key: Any, state: Any, step_size: Any) -> Any:
        def one(key: Any, state: Any) -> Any:
            state, info = kernel(key, mala.MALAState(*state), log_density, step_size)
            return tuple(state), (info.acceptance_rate, False, 1.0)

        return _each(one, key, state)

    return transition


def _langevin(log_density: Callable[[Any], Any], trajectory: Any) -> Callable[..., Any]:
    step = overdamped_langevin(jax.value_and_grad(log_density))

    def transition(key: Any, state: Any, step_size: Any) -> Any:
        def one(key: Any, state: Any) -> Any:
            return tuple(step(key, mala.MALAState(*state), step_size)), (1.0, False, 1.0)

        return _each(one, key, state)

    return transition


TRANSITIONS = {"hmc": _hmc, "nuts": _nuts, "mala": _mala, "langevin": _langevin}


def _each(one: Callable[[Any, Any], Any], key: Any, state: Any) -> Any:
    return jax.vmap(one)(jax.random.split(key, len(state[1])), state)


def _size(position: tuple[Any, ...]) -> int:
    return sum(weights.size for weights in position)


def _rotation(log_density: Callable[[Any], Any], _: Any) -> Callable[[IntegratorState, Any], IntegratorState]:
    """Return a leapfrog step that follows the prior and the kinetic energy exactly and kicks by the likelihood.

    Under the standard normal prior alone position and momentum rotate into each other. What limits the step is then the
    likelihood, not the number of weights.
    """
    value_and_gradient = jax.value_and_grad(log_density)

    def step(state: IntegratorState, step_size: Any) -> IntegratorState:
        cos, sin = jnp.cos(step_size), jnp.sin(step_size)
        kicked = jax.tree.map(
            lambda p, g, q: p + 0.5 * step_size * (g + q),
            state.momentum,
            state.logdensity_grad,
            state.position,
        )
        position = jax.tree.map(lambda q, p: cos * q + sin * p, state.position, kicked)
        value, gradient = value_and_gradient(position)
        momentum = jax.tree.map(
            lambda p, q, new, g: cos * p - sin * q + 0.5 * step_size * (g + new),
            kicked,
            state.position,
            position,
            gradient,
        )
        return IntegratorState(position, momentum, value, gradient)

    return step
