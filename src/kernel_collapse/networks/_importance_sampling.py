"""Particles drawn anew from what they say of the density, until the error of NC1 is small enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from kernel_collapse.networks._ensemble import (
    POPULATIONS,
    Ensemble,
    Gaussian,
    Particles,
    Problem,
    State,
    draw,
)
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
    """NC1 with its standard error, and that of the kernel; infinite where the particles cannot tell."""

    ratio: float
    ratio_error: float
    gram_error: Float[np.ndarray, "n n"]


@dataclass(frozen=True)
class Run:
    """Where the descent ended."""

    status: Status
    particles: Particles
    state: State
    errors: Errors
    residual: float
    iterations: int
    second_moment: Float[np.ndarray, "r r"]


def solve(problem: Problem, start: Gaussian, goal: Goal, rng: np.random.Generator) -> Run | None:
    """Descend on particles of a Gaussian, and on those of the second moment found, until the error is small enough.

    Where the weights become too uneven on the way, particles of the second moment so far go on from there.
    """
    tolerance, limit = goal.tolerance, goal.iterations
    largest = 1 << (goal.particles // POPULATIONS).bit_length() - 1
    size = min(max(FEWEST, 1 << (4 * len(problem.z) - 1).bit_length()), largest)
    covariance, known = start.covariance, start if start.gram is not None else None
    particles = draw(problem, covariance, size, rng)
    iterations = draws = 0
    while True:
        ensemble = Ensemble(problem, particles, known)
        state = ensemble.gaussian()
        if state is None:
            return None
        least = EFFECTIVE * POPULATIONS * len(problem.z)
        if draws < DRAWS:
            least = max(least, GENTLE * len(state.weights))
        state = ensemble.descend(state, tolerance, limit - iterations, least)
        iterations += state.iterations
        even, arrived = state.ess >= least, state.slope <= tolerance
        if known and iterations < limit and not (arrived and state.ess >= CLOSE * len(state.weights)):
            known = None  # p is far from the Gaussian, whose moments are of no help then
            continue
        errors, status = _unknown(state, goal), None
        if even and arrived:
            errors = _errors(ensemble, state, goal)
        if not np.isfinite(errors.ratio):
            status = Status.NOT_FINITE
        elif errors.ratio_error <= goal.accuracy * abs(errors.ratio):
            status = Status.CONVERGED
        elif not arrived and (even or iterations >= limit):
            status = Status.MAX_ITERATIONS
        elif (arrived and even) or draws == DRAWS:
            if 2 * size > largest:
                status = Status.TOO_FEW_SAMPLES
            size, draws = min(4 * size, largest), 0
        else:
            draws += 1
        if status is not None:
            residual, moment = ensemble.residual(state), ensemble.second_moment(state.weights)
            return Run(status, particles, state, errors, residual, iterations, moment)
        if known is None:
            covariance = ensemble.second_moment(state.weights)
        particles = draw(problem, covariance, size, rng)


def _errors(together: Ensemble, state: State, goal: Goal) -> Errors:
    """Solve on every population alone: their spread gives the error of the solution on all.

    A solution on m particles has a bias of order 1/m, so that the mean of the populations is as many times further off
    than the solution on all as there are populations; that estimate of the bias is part of the error. A population can
    also be blind to where p has its tails; then its solution gives nearly all weight to a few of the others' particles,
    and no spread tells the error.
    """
    grams = []
    for i in range(POPULATIONS):
        ensemble = together.part(i)
        own = ensemble.state(state.log_weights[together.particles.population(i)])
        alone = own and ensemble.descend(own, goal.tolerance, goal.iterations, 0.0)
        if alone is None or together.ess(alone.potential) < HOLDS * state.ess:
            return _unknown(state, goal)
        grams.append(alone.gram)
    ratio = goal.nc1(state.gram)
    ratio_error = _standard_error(np.array([goal.nc1(gram) for gram in grams]), ratio)
    return Errors(ratio, float(ratio_error), _standard_error(np.array(grams), state.gram))


def _unknown(state: State, goal: Goal) -> Errors:
    return Errors(goal.nc1(state.gram), np.inf, np.full_like(state.gram, np.inf))


def _standard_error(alone: np.ndarray, together: np.ndarray | float) -> np.ndarray:
    bias = (alone.mean(axis=0) - together) / (POPULATIONS - 1)
    return np.hypot(alone.std(axis=0, ddof=1) / np.sqrt(POPULATIONS), bias)
