r"""Markov chains over the first layer of a network, in units of its prior.

A state is U (N x r), a priori standard normal; the features are Phi = phi(X U'). All chains share one step size, and
one length of trajectory at each transition, so that no chain waits for another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import DualAveragingAdaptationState, dual_averaging_adaptation
from blackjax.mcmc import hmc, mala, nuts
from blackjax.mcmc.diffusions import overdamped_langevin
from blackjax.mcmc.integrators import IntegratorState

from kernel_collapse._linalg import one_blas_thread
from kernel_collapse.networks._activations import Phi
from kernel_collapse.networks._likelihood import log_likelihood

__all__ = ["ACCEPTANCE", "BATCH", "THIN", "Draws", "Plan", "Problem", "diagnostics", "run"]

#: By sampler: acceptance that the step size is adapted to, transitions a draw, first step size.
ACCEPTANCE = {"hmc": 0.8, "nuts": 0.8, "mala": 0.57, "langevin": 0.9}
THIN = {"hmc": 1, "nuts": 1, "mala": 10, "langevin": 10}
_FIRST_STEP = {"hmc": 0.1, "nuts": 0.1, "mala": 1e-3, "langevin": 1e-3}
#: Draws a batch, which is one call of the compiled program, whatever the number of draws.
BATCH = 50
_MAX_STEPS, _MAX_DOUBLINGS = 100, 6  # of a trajectory

# For what runs once, the compiler's effort costs more than it saves.
_jit_once = partial(partial, jax.jit, compiler_options={"xla_backend_optimization_level": 0})


class Problem(NamedTuple):
    """What the density and the transitions depend on: arrays all, so that one program serves any values."""

    x: Any  # (n, r), in units of the prior: x sigma_w / sqrt(d)
    targets: Any  # (n, k)
    averaging: Any  # (n, C), P of the class means
    readout_variance: Any
    noise_variance: Any
    trajectory: Any
    acceptance: Any
    thin: Any


class Plan(NamedTuple):
    """How long to run, and how."""

    sampler: str
    chains: int
    warmup: int  # batches of draws to adapt in and drop
    batches: int  # to keep
    step_size: float | None


class Record(NamedTuple):
    """What is kept of each draw; the first axes are (chains, draws)."""

    spread: Any  # (.., C): mean squared distance of a class from its mean
    means: Any  # (.., C, C): inner products of class means
    log_density: Any
    square: Any  # |U|^2
    acceptance: Any
    divergent: Any
    steps: Any


class Draws(NamedTuple):
    """What is kept of all draws."""

    record: Record
    gram: np.ndarray  # (n, n): mean of Phi Phi' / N
    gram_error: np.ndarray  # (n, n): standard error of it, from the means of batches
    scatter: np.ndarray  # (r, r): mean of U'U / N
    position: np.ndarray  # (chains, N, r): the last U
    step_size: float


class _Carry(NamedTuple):
    state: Any  # position, log density and its gradient of each chain
    tuning: DualAveragingAdaptationState


def run(problem: Problem, plan: Plan, width: int, phi: Phi, seed: int) -> Draws:
    """Run the chains from the prior, batch after batch of one compiled program."""
    # LAPACK on one thread: its calls are small, and threads that wait for each other on a busy machine cost far more
    # than they give. The products, which are JAX's own, still use every core.
    with jax.enable_x64(True), one_blas_thread():
        problem = Problem(*map(jnp.asarray, problem))
        key = jax.random.key(seed)
        position = np.random.default_rng(seed).normal(size=(plan.chains, width, problem.x.shape[1]))
        adapts = plan.step_size is None
        carry = _start(position, problem, plan.step_size or _FIRST_STEP[plan.sampler], phi=phi)
        # Unadjusted Langevin finds its step size as the adjusted one does.
        first = "mala" if plan.sampler == "langevin" else plan.sampler
        records = []
        total, squares = np.zeros((2, len(problem.x), len(problem.x)))
        scatter = np.zeros((problem.x.shape[1],) * 2)
        for i in range(plan.warmup + plan.batches):
            warming = i < plan.warmup
            if i == plan.warmup and adapts:
                carry = _settle(carry)
            carry, record, sums = _batch(
                carry,
                jax.random.fold_in(key, i),
                problem,
                jnp.asarray(warming and adapts),
                jnp.asarray(not warming),
                sampler=first if warming else plan.sampler,
                phi=phi,
            )
            if not warming:
                gram, outer = (np.asarray(part) / BATCH for part in sums)
                total, squares, scatter = (
                    total + gram.sum(0),
                    squares + (gram**2).sum(0),
                    scatter + outer.sum(0),
                )
                records.append([np.asarray(part) for part in record])
        count = plan.chains * plan.batches
        mean = total / count
        variance = np.maximum(squares / count - mean**2, 0.0) / (count - 1)
        return Draws(
            record=Record(*(np.concatenate(parts).swapaxes(0, 1) for parts in zip(*records, strict=True))),
            gram=0.5 * (mean + mean.T),
            gram_error=np.sqrt(0.5 * (variance + variance.T)),
            scatter=scatter / count,
            position=np.asarray(carry.state[0]),
            step_size=float(_step_size(carry.tuning, problem, plan.sampler)),
        )


def _log_density(problem: Problem, phi: Phi) -> Callable[[Any], Any]:
    def log_density(position: Any) -> Any:
        features = phi(problem.x @ position.T)
        fit = log_likelihood(features, problem.targets, problem.readout_variance, problem.noise_variance)
        return fit - 0.5 * jnp.sum(position**2)

    return log_density


@_jit_once(static_argnames=("phi",))
def _start(position: Any, problem: Problem, step_size: Any, *, phi: Phi) -> _Carry:
    """Return chains at these positions."""
    value, gradient = jax.vmap(jax.value_and_grad(_log_density(problem, phi)))(position)
    tuning = dual_averaging_adaptation(0.5)[0](jnp.asarray(step_size))
    return _Carry((position, value, gradient), tuning)


def _settle(carry: _Carry) -> _Carry:
    """Go over from the step size last tried to the average that the adaptation converges to."""
    return carry._replace(tuning=carry.tuning._replace(log_step_size=carry.tuning.log_step_size_avg))


def _step_size(tuning: DualAveragingAdaptationState, problem: Problem, sampler: str) -> Any:
    """Return the step size; where the likelihood is weak any step is accepted, so that it must be limited."""
    step_size = jnp.exp(tuning.log_step_size)
    return jnp.minimum(step_size, problem.trajectory) if sampler in ("hmc", "nuts") else step_size


@partial(jax.jit, static_argnames=("sampler", "phi"))
def _batch(
    carry: _Carry,
    key: Any,
    problem: Problem,
    adapting: Any,
    recording: Any,
    *,
    sampler: str,
    phi: Phi,
) -> tuple[_Carry, Record, Any]:
    """Return the chains after a batch of draws, what is recorded of each draw, and sums over the draws."""
    transition = _TRANSITIONS[sampler](_log_density(problem, phi), problem.trajectory)
    update = dual_averaging_adaptation(problem.acceptance)[1]
    (chains, width, rank), n = carry.state[0].shape, len(problem.x)

    def move(i: Any, moved: tuple[Any, Any, Any], key: Any) -> tuple[Any, Any, Any]:
        state, tuning, (acceptance, divergent, steps) = moved
        state, (rate, diverges, taken) = transition(
            jax.random.fold_in(key, i), state, _step_size(tuning, problem, sampler)
        )
        tuning = jax.lax.cond(adapting, lambda t: update(t, jnp.mean(rate)), lambda t: t, tuning)
        return state, tuning, (acceptance + rate / problem.thin, divergent | diverges, steps + taken)

    def draw(carried: tuple[Any, Any, Any], key: Any) -> tuple[tuple[Any, Any, Any], Record]:
        state, tuning, (gram, scatter) = carried
        nothing = (jnp.zeros(chains), jnp.zeros(chains, dtype=bool), jnp.zeros(chains))
        state, tuning, info = jax.lax.fori_loop(
            0, problem.thin, partial(move, key=key), (state, tuning, nothing)
        )
        position, log_density, _ = state
        features = phi(jnp.einsum("ir,cjr->cij", problem.x, position))
        class_means = jnp.einsum("ik,cij->ckj", problem.averaging, features)
        centred = features - jnp.einsum("ik,ckj->cij", (problem.averaging > 0).astype(float), class_means)
        record = Record(
            jnp.einsum("ik,ci->ck", problem.averaging, jnp.sum(centred**2, axis=2)) / width,
            jnp.einsum("ckj,clj->ckl", class_means, class_means) / width,
            log_density,
            jnp.sum(position**2, axis=(1, 2)),
            *info,
        )
        sums = jax.lax.cond(
            recording,
            lambda: (
                gram + jnp.einsum("cij,clj->cil", features, features) / width,
                scatter + jnp.einsum("cjr,cjs->crs", position, position) / width,
            ),
            lambda: (gram, scatter),
        )
        return (state, tuning, sums), record

    zeros = (jnp.zeros((chains, n, n)), jnp.zeros((chains, rank, rank)))
    (state, tuning, sums), record = jax.lax.scan(draw, (*carry, zeros), jax.random.split(key, BATCH))
    return _Carry(state, tuning), record, sums


# -- transitions: (key, state of all chains, step size) -> state, (acceptance, divergent, gradients) of each


def _hmc(log_density: Callable[[Any], Any], trajectory: Any) -> Callable[..., Any]:
    kernel = hmc.build_kernel(_rotation)

    def transition(key: Any, state: Any, step_size: Any) -> Any:
        key, length_key = jax.random.split(key)
        # A random length, since at a fixed one all coordinates come round together; the same for all chains.
        time = trajectory * jax.random.uniform(length_key, minval=0.5, maxval=1.5)
        steps = jnp.clip(jnp.ceil(time / step_size), 1, _MAX_STEPS).astype(int)
        step_size = jnp.minimum(step_size, time / steps)

        def one(key: Any, state: Any) -> Any:
            unit_mass = jnp.ones(state[0].size)
            state, info = kernel(key, hmc.HMCState(*state), log_density, step_size, unit_mass, steps)
            return tuple(state), (info.acceptance_rate, info.is_divergent, info.num_integration_steps * 1.0)

        return _each(one, key, state)

    return transition


def _nuts(log_density: Callable[[Any], Any], trajectory: Any) -> Callable[..., Any]:
    kernel = nuts.build_kernel(_rotation)

    def transition(key: Any, state: Any, step_size: Any) -> Any:
        def one(key: Any, state: Any) -> Any:
            unit_mass = jnp.ones(state[0].size)
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


_TRANSITIONS = {"hmc": _hmc, "nuts": _nuts, "mala": _mala, "langevin": _langevin}


def _each(one: Callable[[Any, Any], Any], key: Any, state: Any) -> Any:
    return jax.vmap(one)(jax.random.split(key, len(state[0])), state)


def _rotation(log_density: Callable[[Any], Any], _: Any) -> Callable[[IntegratorState, Any], IntegratorState]:
    """Return a leapfrog step that follows the prior and the kinetic energy exactly and kicks by the likelihood.

    Under the standard normal prior alone position and momentum rotate into each other. What limits the step is then the
    likelihood, not the number of weights.
    """
    value_and_gradient = jax.value_and_grad(log_density)

    def step(state: IntegratorState, step_size: Any) -> IntegratorState:
        kicked = state.momentum + 0.5 * step_size * (state.logdensity_grad + state.position)
        cos, sin = jnp.cos(step_size), jnp.sin(step_size)
        position = cos * state.position + sin * kicked
        value, gradient = value_and_gradient(position)
        momentum = cos * kicked - sin * state.position + 0.5 * step_size * (gradient + position)
        return IntegratorState(position, momentum, value, gradient)

    return step


@_jit_once()
def _diagnostics(summaries: Any) -> tuple[Any, Any, Any]:
    return (
        blackjax.diagnostics.rhat(summaries),
        blackjax.diagnostics.ess_bulk(summaries),
        blackjax.diagnostics.effective_sample_size(summaries),
    )


def diagnostics(summaries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return R-hat, bulk and plain effective sample size of each of the summaries, (chains, draws, summaries)."""
    with jax.enable_x64(True):
        rhat, bulk, plain = _diagnostics(jnp.asarray(summaries))
        return np.asarray(rhat), np.asarray(bulk), np.asarray(plain)
