"""Particles drawn anew from what they say of the density, until the error of NC1 is small enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse._shapes import Float
from kernel_collapse.networks._anderson import descend
from kernel_collapse.networks._ensemble import Ensemble, Problem, State
from kernel_collapse.networks._particles import POPULATIONS, Gaussian, Particles, draw
from kernel_collapse.networks._roots import root_of
from kernel_collapse.solution import Status

__all__ = ["CLOSE", "FEWEST", "Goal", "Run", "solve"]

#: Particles of each to begin with, at least; always a power of two, as Sobol points come.
FEWEST = 512
#: Effective particles of each population for every sample: with fewer the kernel of a population means nothing.
EFFECTIVE = 0.5
#: Share of effective particles above which p is so close to the Gaussian that knowing the latter's kernel helps.
CLOSE = 0.9
#: Share of the effective particles that have to be left under the solution of one population alone: it is near 1 where
#: the errors can be trusted, and below a few hundredths where they cannot.
HOLDS = 0.5
#: How often particles of one number are drawn anew from the second moment reached, as soon as less than a share GENTLE
#: of them is effective, before the descent goes on as far as EFFECTIVE lets it.
DRAWS, GENTLE = 3, 0.25
#: Share of the accuracy that may be left to go where no step goes down. With an activation that has kinks F has as many
#: above the first layer, one for each particle and sample, and its minimum on given particles may lie on one.
LEFT = 0.1
#: Steps of a population alone, of several layers: from the solution on all a dozen or two lead there, or none do.
STEPS_ALONE = 200
#: Share of what is left to go after which a descent goes no further to tell how far that was, and the share of an error
#: below which it does not count: beside eight populations, which know their error to a fourth, it is nothing.
FURTHER, NEGLIGIBLE = 1e-2, 0.1


@dataclass(frozen=True)
class Goal:
    """The relative standard error of NC1 that is asked for, and the most that may be spent on it."""

    nc1: Callable[[Float[np.ndarray, "n n"]], float]
    accuracy: float
    particles: int
    iterations: int

    @property
    def tolerance(self) -> float:
        """Slope at which a descent has arrived."""
        return max(1e-3 * self.accuracy, 1e-8)


class Errors(NamedTuple):
    """NC1 of a layer with its standard error, and that of the kernel; infinite where the particles cannot tell."""

    ratio: float
    ratio_error: float
    gram_error: Float[np.ndarray, "n n"]


@dataclass(frozen=True)
class Run:
    """Where the descent ended; particles, errors and second moments are those of every layer."""

    status: Status
    particles: tuple[Particles, ...]
    state: State
    errors: tuple[Errors, ...]
    residual: float
    iterations: int
    second_moments: tuple[Float[np.ndarray, "_ _"], ...]


def solve(problem: Problem, start: Sequence[Gaussian], goal: Goal, rng: np.random.Generator) -> Run | None:
    """Descend on particles of Gaussians, and on those of the second moments found, until the error is small enough.

    Where the weights become too uneven on the way, particles of the second moments so far go on from there.
    """
    tolerance, limit = goal.tolerance, goal.iterations
    largest = 1 << (goal.particles // POPULATIONS).bit_length() - 1
    size = min(max(FEWEST, 1 << (4 * len(problem.z) - 1).bit_length()), largest)
    covariances = [gaussian.covariance for gaussian in start]
    known = _known(problem, start)
    stretches = _stretches(problem, [gaussian.gram for gaussian in start])
    particles = _drawn(stretches, covariances, size, rng)
    iterations = draws = 0
    while True:
        ensemble = Ensemble(problem, particles, known)
        state = ensemble.gaussian()
        if state is None:
            return None
        least = EFFECTIVE * POPULATIONS * len(problem.z)
        if draws < DRAWS:
            least = max(least, GENTLE * len(state.weights[0]))
        state = descend(ensemble, state, tolerance, limit - iterations, least)
        iterations += state.iterations
        even, arrived = state.ess >= least, state.slope <= tolerance
        stalled = even and not arrived and iterations < limit
        arrived = arrived or (stalled and state.slope <= LEFT * goal.accuracy)
        close = _close(state, known, arrived=arrived)
        if iterations < limit and close != known:
            known = close  # where p is far from the Gaussian, its moments are of no help
            continue
        errors, status = _unknown(state, goal), None
        if even and arrived:
            found = _errors(ensemble, state, goal)
            if found is None:
                known = _of_the_last_alone(known)
                continue
            errors = found
        if not all(np.isfinite(error.ratio) for error in errors):
            status = Status.NOT_FINITE
        elif all(error.ratio_error <= goal.accuracy * abs(error.ratio) for error in errors):
            status = Status.CONVERGED
        elif not arrived and not stalled and (even or iterations >= limit):
            status = Status.MAX_ITERATIONS
        elif even or draws == DRAWS:
            if 2 * size > largest:
                status = Status.TOO_FEW_SAMPLES
            size, draws = min(4 * size, largest), 0
        else:
            draws += 1
        if status is not None:
            return _run(status, ensemble, state, errors, iterations)
        for i, layer in enumerate(ensemble.layers):
            if known[i] is None:
                covariances[i] = layer.second_moment(state.weights[i])
        stretches = _stretches(problem, state.grams)
        particles = _drawn(stretches, covariances, size, rng)


def _run(
    status: Status, ensemble: Ensemble, state: State, errors: tuple[Errors, ...], iterations: int
) -> Run:
    layers = list(zip(ensemble.layers, state.weights, strict=True))
    return Run(
        status,
        tuple(layer.particles for layer, _ in layers),
        state,
        errors,
        ensemble.residual(state),
        iterations,
        tuple(layer.second_moment(weights) for layer, weights in layers),
    )


def _known(problem: Problem, start: Sequence[Gaussian]) -> list[Gaussian | None]:
    """Return the Gaussians whose kernels are known in closed form."""
    return [
        gaussian if gaussian.gram is not None and (i == 0 or problem.closed is not None) else None
        for i, gaussian in enumerate(start)
    ]


def _close(state: State, known: list[Gaussian | None], *, arrived: bool) -> list[Gaussian | None]:
    """Return the known Gaussians of those layers alone where p is close to them."""
    if not arrived and any(known[:-1]):
        return _of_the_last_alone(known)
    return [
        gaussian if arrived and effective >= CLOSE * len(weights) else None
        for gaussian, effective, weights in zip(known, state.effective, state.weights, strict=True)
    ]


def _of_the_last_alone(known: list[Gaussian | None]) -> list[Gaussian | None]:
    """Return what is known of the last layer.

    The kernel of few particles less that of a Gaussian, plus what is known of it, need not be positive definite. Of the
    last layer that does no harm. Above another one it has no root, and then F has no smooth way down.
    """
    return [None] * (len(known) - 1) + known[-1:]


def _stretches(
    problem: Problem, grams: Sequence[Float[np.ndarray, "n n"] | None]
) -> list[Float[np.ndarray, "n _"]]:
    """Return of each layer the matrix that makes pre-activations of its particles."""
    n = len(problem.z)
    found = [problem.z]
    for gram in grams[:-1]:
        found.append(np.eye(n) if gram is None else root_of(problem.weight_variance * gram).matrix)
    return found


def _drawn(
    stretches: Sequence[Float[np.ndarray, "n _"]],
    covariances: Sequence[Float[np.ndarray, "_ _"]],
    size: int,
    rng: np.random.Generator,
) -> list[Particles]:
    parts = zip(stretches, covariances, strict=True)
    return [draw(stretch, covariance, size, rng) for stretch, covariance in parts]


def _errors(together: Ensemble, state: State, goal: Goal) -> tuple[Errors, ...] | None:
    """Solve on every population alone: their spread gives the error of the solution on all.

    A solution on m particles has a bias of order 1/m, so that the mean of the populations is as many times further off
    than the solution on all as there are populations; that estimate of the bias is part of the error. A population can
    also be blind to where p has its tails; then its solution gives nearly all weight to a few of the others' particles,
    and no spread tells the error.

    What is left to go, and what the Gaussian's kernel is off, is the same for all populations: it comes on top.

    Of several layers, None where a population does not arrive while the Gaussian of a lower layer is used.
    """
    populations = []
    deep = together.problem.depth > 1
    limit = min(goal.iterations, STEPS_ALONE) if deep else goal.iterations
    for i in range(POPULATIONS):
        ensemble = together.part(i)
        parts = zip(state.log_weights, together.layers, strict=True)
        own = ensemble.state([w[layer.particles.population(i)] for w, layer in parts])
        alone = own and descend(ensemble, own, goal.tolerance, limit, 0.0)
        lost = alone is None or (deep and alone.slope > LEFT * goal.accuracy)
        if lost and any(layer.known for layer in together.layers[:-1]):
            return None
        if alone is None or lost or not together.holds(alone, HOLDS, state):
            return _unknown(state, goal)
        populations.append(alone.grams)
    ends = _ends(together, state)
    if ends is None:
        return _unknown(state, goal)
    errors = []
    for end, gram, *grams in zip(ends, state.grams, *populations, strict=True):
        ratio = goal.nc1(gram)
        ratio_error = _standard_error(np.array([goal.nc1(alone) for alone in grams]), ratio)
        left = _distance([goal.nc1(gram) for gram in end], ratio)
        gram_error = _with(_standard_error(np.array(grams), gram), _distance(end, gram))
        errors.append(Errors(ratio, float(_with(ratio_error, left)), gram_error))
    return tuple(errors)


class End(NamedTuple):
    """Kernels of a layer: where a descent further down ends, and what that one leads to."""

    gram: Float[np.ndarray, "n n"]
    after: Float[np.ndarray, "n n"]


def _ends(together: Ensemble, state: State) -> list[End] | None:
    """Go on where the descent has arrived, with the Gaussian's kernel in closed form; None if there is no way."""
    exact = together.exact()
    own = exact.state(state.log_weights)
    further = own and descend(exact, own, FURTHER * state.slope, STEPS_ALONE, 0.0)
    if further is None:
        return None
    return [End(*pair) for pair in zip(further.grams, exact.led_to(further), strict=True)]


def _distance(end: Sequence[Any], here: Any) -> Any:
    """Return how far the end is from here; where no step went further, how far it leads from itself counts."""
    return np.abs(end[0] - here) + np.abs(end[1] - end[0])


def _with(error: Any, left: Any) -> np.ndarray:
    """Return a standard error with a distance that is known, where it counts."""
    return np.where(left > NEGLIGIBLE * error, np.hypot(error, left), error)


def _unknown(state: State, goal: Goal) -> tuple[Errors, ...]:
    return tuple(Errors(goal.nc1(gram), np.inf, np.full_like(gram, np.inf)) for gram in state.grams)


def _standard_error(alone: np.ndarray, together: np.ndarray | float) -> np.ndarray:
    bias = (alone.mean(axis=0) - together) / (POPULATIONS - 1)
    return np.hypot(alone.std(axis=0, ddof=1) / np.sqrt(POPULATIONS), bias)
