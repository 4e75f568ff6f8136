r"""Markov chains over the hidden layers of a network, in units of their prior.

A position is the weights of every layer, U_1 (N_1 x r), U_2 (N_2 x N_1), ..., a priori standard normal. The features
are Phi_1 = phi(X U_1') and Phi_l = phi( (sigma_w / sqrt(N_{l-1})) Phi_{l-1} U_l' ). All chains share one step size, and
one length of trajectory at each transition, so that no chain waits for another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import DualAveragingAdaptationState, dual_averaging_adaptation

from kernel_collapse._linalg import one_blas_thread
from kernel_collapse.networks._activations import Phi
from kernel_collapse.networks._likelihood import log_likelihood
from kernel_collapse.networks._transitions import TRANSITIONS

__all__ = [
    "ACCEPTANCE",
    "BATCH",
    "THIN",
    "Draws",
    "Plan",
    "Problem",
    "Record",
    "Seen",
    "diagnostics",
    "run",
]

#: By sampler: acceptance that the step size is adapted to, transitions a draw, first step size.
ACCEPTANCE = {"hmc": 0.8, "nuts": 0.8, "mala": 0.57, "langevin": 0.9}
THIN = {"hmc": 1, "nuts": 1, "mala": 10, "langevin": 10}
_FIRST_STEP = {"hmc": 0.1, "nuts": 0.1, "mala": 1e-3, "langevin": 1e-3}
#: Draws a batch, which is one call of the compiled program, whatever the number of draws.
BATCH = 50

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
    weight_variance: Any = 1.0  # of the layers after the first; that of the first is in x


class Plan(NamedTuple):
    """How long to run, and how."""

    sampler: str
    chains: int
    warmup: int  # batches of draws to adapt in and drop
    batches: int  # to keep
    step_size: float | None


class Seen(NamedTuple):
    """What is kept of one layer in each draw; the first axes are (chains, draws)."""

    spread: Any  # (.., C): mean squared distance of a class from its mean
    means: Any  # (.., C, C): inner products of class means
    square: Any  # |U|^2


class Record(NamedTuple):
    """What is kept of each draw; the first axes are (chains, draws)."""

    layers: tuple[Seen, ...]
    log_density: Any
    acceptance: Any
    divergent: Any
    steps: Any


class Draws(NamedTuple):
    """What is kept of all draws."""

    record: Record
    grams: tuple[np.ndarray, ...]  # (n, n), of each layer: mean of Phi Phi' / N
    gram_errors: tuple[np.ndarray, ...]  # (n, n): standard errors of them, from the means of batches
    scatter: np.ndarray  # (r, r): mean of U'U / N of the first layer
    position: tuple[np.ndarray, ...]  # (chains, N, r), ...: the last U of each layer
    step_size: float


class _Carry(NamedTuple):
    state: Any  # position, log density and its gradient of each chain
    tuning: DualAveragingAdaptationState


class _Moments:
    """Sums over batches: of the kernel of every layer, of its squares, of the scatter of the first layer's weights."""

    def __init__(self, n: int, rank: int, depth: int) -> None:
        self.totals, self.squares = np.zeros((2, depth, n, n))
        self.scatter = np.zeros((rank, rank))

    def add(self, sums: Any) -> None:
        grams, scatter = sums
        for layer, gram in enumerate(grams):
            means = np.asarray(gram) / BATCH
            self.totals[layer] += means.sum(0)
            self.squares[layer] += (means**2).sum(0)
        self.scatter += (np.asarray(scatter) / BATCH).sum(0)

    def of_layer(self, layer: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean kernel of a layer and its standard error, entry by entry."""
        mean = self.totals[layer] / count
        variance = np.maximum(self.squares[layer] / count - mean**2, 0.0) / (count - 1)
        return 0.5 * (mean + mean.T), np.sqrt(0.5 * (variance + variance.T))


def run(problem: Problem, plan: Plan, widths: tuple[int, ...], phi: Phi, seed: int) -> Draws:
    """Run the chains from the prior, batch after batch of one compiled program."""
    # LAPACK on one thread: its calls are small, and threads that wait for each other on a busy machine cost far more
    # than they give. The products, which are JAX's own, still use every core.
    with jax.enable_x64(True), one_blas_thread():
        problem = Problem(*map(jnp.asarray, problem))
        key = jax.random.key(seed)
        rng, (n, rank) = np.random.default_rng(seed), problem.x.shape
        shapes = zip(widths, (rank, *widths), strict=False)
        position = tuple(rng.normal(size=(plan.chains, *shape)) for shape in shapes)
        adapts = plan.step_size is None
        carry = _start(position, problem, plan.step_size or _FIRST_STEP[plan.sampler], phi=phi)
        # Unadjusted Langevin finds its step size as the adjusted one does.
        first = "mala" if plan.sampler == "langevin" else plan.sampler
        records, moments = [], _Moments(n, rank, len(widths))
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
                moments.add(sums)
                records.append(jax.tree.map(np.asarray, record))
        found = [moments.of_layer(layer, plan.chains * plan.batches) for layer in range(len(widths))]
        return Draws(
            record=jax.tree.map(lambda *parts: np.concatenate(parts).swapaxes(0, 1), *records),
            grams=tuple(gram for gram, _ in found),
            gram_errors=tuple(error for _, error in found),
            scatter=moments.scatter / (plan.chains * plan.batches),
            position=tuple(map(np.asarray, carry.state[0])),
            step_size=float(_step_size(carry.tuning, problem, plan.sampler)),
        )


def _log_density(problem: Problem, phi: Phi) -> Callable[[Any], Any]:
    """Return log p of the weights of one chain."""

    def log_density(position: tuple[Any, ...]) -> Any:
        features = phi(problem.x @ position[0].T)
        for below, weights in pairwise(position):
            scale = jnp.sqrt(problem.weight_variance / len(below))
            features = phi(scale * features @ weights.T)
        fit = log_likelihood(features, problem.targets, problem.readout_variance, problem.noise_variance)
        return fit - sum(0.5 * jnp.sum(weights**2) for weights in position)

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
    transition = TRANSITIONS[sampler](_log_density(problem, phi), problem.trajectory)
    update = dual_averaging_adaptation(problem.acceptance)[1]
    chains, depth, (n, rank) = len(carry.state[1]), len(carry.state[0]), problem.x.shape

    def move(i: Any, moved: tuple[Any, Any, Any], key: Any) -> tuple[Any, Any, Any]:
        state, tuning, (acceptance, divergent, steps) = moved
        state, (rate, diverges, taken) = transition(
            jax.random.fold_in(key, i), state, _step_size(tuning, problem, sampler)
        )
        tuning = jax.lax.cond(adapting, lambda t: update(t, jnp.mean(rate)), lambda t: t, tuning)
        return state, tuning, (acceptance + rate / problem.thin, divergent | diverges, steps + taken)

    def draw(carried: tuple[Any, Any, Any], key: Any) -> tuple[tuple[Any, Any, Any], Record]:
        state, tuning, (grams, scatter) = carried
        nothing = (jnp.zeros(chains), jnp.zeros(chains, dtype=bool), jnp.zeros(chains))
        state, tuning, info = jax.lax.fori_loop(
            0, problem.thin, partial(move, key=key), (state, tuning, nothing)
        )
        position, log_density, _ = state
        features = _features(position, problem, phi)
        record = Record(
            tuple(_seen(*layer, problem.averaging) for layer in zip(position, features, strict=True)),
            log_density,
            *info,
        )
        sums = jax.lax.cond(
            recording,
            lambda: (
                tuple(g + _gram(f) for g, f in zip(grams, features, strict=True)),
                scatter + jnp.einsum("cjr,cjs->crs", position[0], position[0]) / position[0].shape[1],
            ),
            lambda: (grams, scatter),
        )
        return (state, tuning, sums), record

    zeros = ((jnp.zeros((chains, n, n)),) * depth, jnp.zeros((chains, rank, rank)))
    (state, tuning, sums), record = jax.lax.scan(draw, (*carry, zeros), jax.random.split(key, BATCH))
    return _Carry(state, tuning), record, sums


def _features(position: tuple[Any, ...], problem: Problem, phi: Phi) -> list[Any]:
    """Return the features (chains, n, N) of every layer."""
    features = [phi(jnp.einsum("ir,cjr->cij", problem.x, position[0]))]
    for weights in position[1:]:
        scale = jnp.sqrt(problem.weight_variance / weights.shape[2])
        features.append(phi(scale * jnp.einsum("cir,cjr->cij", features[-1], weights)))
    return features


def _seen(weights: Any, features: Any, averaging: Any) -> Seen:
    """Return what is kept of one layer."""
    width = features.shape[2]
    class_means = jnp.einsum("ik,cij->ckj", averaging, features)
    centred = features - jnp.einsum("ik,ckj->cij", (averaging > 0).astype(float), class_means)
    return Seen(
        jnp.einsum("ik,ci->ck", averaging, jnp.sum(centred**2, axis=2)) / width,
        jnp.einsum("ckj,clj->ckl", class_means, class_means) / width,
        jnp.sum(weights**2, axis=(1, 2)),
    )


def _gram(features: Any) -> Any:
    return jnp.einsum("cij,clj->cil", features, features) / features.shape[2]


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
