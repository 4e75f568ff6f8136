"""All epochs of all seeds as one compiled loop, and what is noted on the way."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from kernel_collapse.networks._architecture import Architecture
from kernel_collapse.networks._probes import Loss, Seen, Task, decide, look, losses
from kernel_collapse.networks.model import Parameters, Scales, layers

__all__ = ["NEVER", "Trained", "Watch", "run"]

#: A loss this many times that of the start (or of predicting zero, if that is more) counts as divergence. From there
#: gradient descent at one rate does not come back. Other methods may, and then they have not diverged.
DIVERGED = 1e6

NEVER = -1


class Watch(NamedTuple):
    """First epochs, over all of training.

    `limit` is what a loss must not exceed. After one that is not finite it is -inf, so that nothing comes back.
    """

    zero_error: Any
    diverged: Any
    limit: Any


class Trained(NamedTuple):
    """What training leaves; the leading axis is the seed, the next one of what was seen the probe."""

    parameters: Parameters
    watch: Watch
    seen: Seen


def _may_come_back(fixed: Any) -> bool:
    """Whether a loss out of all proportion may come down again: with anything but gradient descent at one rate."""
    return isinstance(fixed, optax.GradientTransformation) or fixed != ("sgd", False, None)


def _transformation(fixed: Any, traced: tuple[Any, ...]) -> optax.GradientTransformation:
    if isinstance(fixed, optax.GradientTransformation):
        return fixed
    name, has_momentum, schedule = fixed
    decay, momentum, *rest = traced
    rate = rest[0] if schedule is None else schedule
    step = (
        optax.adam(rate) if name == "adam" else optax.sgd(rate, momentum=momentum if has_momentum else None)
    )
    return optax.chain(optax.add_decayed_weights(decay), step)


@partial(jax.jit, static_argnames=("architecture", "loss", "fixed", "batch"))
def run(
    parameters: Parameters,
    scales: Scales,
    task: Task,
    traced: tuple[Any, ...],
    seeds: Any,
    stops: Any,
    *,
    architecture: Architecture,
    loss: Loss,
    fixed: Any,
    batch: int,
) -> Trained:
    """Train every network to the last stop, looking at each."""
    transformation = _transformation(fixed, traced)
    n = task.columns.shape[1]
    steps = n // batch
    note = partial(_note, may_come_back=_may_come_back(fixed))

    def objective(parameters: Parameters, columns: Any, aims: Any) -> tuple[Any, Any]:
        outputs = layers(parameters, scales, columns, architecture)[1]
        return losses(outputs, aims, loss).mean(), outputs

    slope = jax.vmap(jax.value_and_grad(objective, has_aux=True), in_axes=(0, None, None))
    slope_of_own = jax.vmap(jax.value_and_grad(objective, has_aux=True))
    update = jax.vmap(transformation.update)

    def move(parameters: Parameters, state: Any, gradient: Parameters) -> tuple[Parameters, Any]:
        change, state = update(gradient, state, parameters)
        return optax.apply_updates(parameters, change), state

    def whole(epoch: Any, carry: Any) -> Any:
        parameters, state, watch = carry
        (value, outputs), gradient = slope(parameters, task.columns, task.aims)
        watch = note(watch, epoch, value, _right(outputs, task))
        return (*move(parameters, state, gradient), watch)

    def in_batches(epoch: Any, carry: Any) -> Any:
        parameters, state, watch = carry
        orders = jax.vmap(lambda seed: _order(seed, epoch, n))(seeds)

        def step(i: Any, carry: Any) -> Any:
            parameters, state = carry
            rows = jax.lax.dynamic_slice_in_dim(orders, i * batch, batch, axis=1)
            columns, aims = (jnp.moveaxis(a[:, rows], 1, 0) for a in (task.columns, task.aims))
            _, gradient = slope_of_own(parameters, columns, aims)
            return move(parameters, state, gradient)

        # Noted is what holds at the start of the epoch, as without batches.
        value, outputs = jax.vmap(lambda p: objective(p, task.columns, task.aims))(parameters)
        watch = note(watch, epoch, value, _right(outputs, task))
        return (*jax.lax.fori_loop(0, steps, step, (parameters, state)), watch)

    def to_stop(carry: Any, stop: Any) -> Any:
        epoch, *rest = carry
        rest = jax.lax.fori_loop(epoch, stop, whole if batch == n else in_batches, tuple(rest))
        return (stop, *rest), jax.vmap(lambda p: look(p, scales, task, architecture, loss))(rest[0])

    first = jax.vmap(lambda p: objective(p, task.columns, task.aims)[0])(parameters)
    zero = losses(jnp.zeros_like(task.aims), task.aims, loss).mean()
    never = jnp.full(len(seeds), NEVER)
    watch = Watch(never, never, DIVERGED * jnp.maximum(first, zero))
    carry = (jnp.zeros((), stops.dtype), parameters, jax.vmap(transformation.init)(parameters), watch)
    (_, parameters, _, watch), seen = jax.lax.scan(to_stop, carry, stops)
    last = jax.tree.map(lambda leaf: leaf[-1], seen)
    watch = note(watch, stops[-1], last.loss, last.right == n)
    too_late = (watch.diverged != NEVER) & (watch.zero_error >= watch.diverged)
    watch = watch._replace(zero_error=jnp.where(too_late, NEVER, watch.zero_error))
    return Trained(parameters, watch, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), seen))


def _right(outputs: Any, task: Task) -> Any:
    """Whether all samples are right, for each network."""
    decided = jax.vmap(decide, in_axes=(0, None))(outputs - task.offset[:, None], task.class_targets)
    return (task.first[decided] == task.first[task.labels]).all(axis=1)


def _note(watch: Watch, epoch: Any, value: Any, right: Any, *, may_come_back: bool) -> Watch:
    def first(known: Any, happens: Any) -> Any:
        return jnp.where((known == NEVER) & happens, epoch, known)

    # Where the first loss is infinite, so is the limit, and what is not a number passes none.
    gone = ~(jnp.isfinite(value) & (value <= watch.limit))
    diverged = first(watch.diverged, gone)
    if may_come_back:
        diverged = jnp.where(gone, diverged, NEVER)
    limit = jnp.where(jnp.isfinite(value), watch.limit, -jnp.inf)
    return Watch(first(watch.zero_error, right), diverged, limit)


def _order(seed: Any, epoch: Any, n: int) -> Any:
    """Return the order of the samples in an epoch of the network of that seed."""
    return jax.random.permutation(jax.random.fold_in(jax.random.key(seed), epoch), n)
