r"""Descent of the free energy over the matrix logarithm of S.

L-BFGS in H = log S, where S stays positive definite and a change of scale is a step of one size everywhere. In the
eigenbasis of S, with Phi the divided differences of exp and psi = Phi / sqrt(s_i s_j), the Kullback-Leibler part
of F has the Hessian Phi/2 far from a stationary point and psi^2/2 at one (elementwise); the initial Hessian is
sqrt(psi^4 + Phi^2) / 2. Once changes of F drown in its round-off, steps are judged by the slope alone; once the
residual itself is round-off of the kernel's entries, the descent goes on in extended precision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kernel_collapse._linalg import eigh, eigvalsh, product, symmetric
from kernel_collapse._shapes import Float
from kernel_collapse.adaptive._between import Spectrum
from kernel_collapse.adaptive._free_energy import NOT_FINITE, Evaluation, FreeEnergy
from kernel_collapse.adaptive._point import Blocks, Point, dot, spectral_norm
from kernel_collapse.solution import Status

__all__ = [
    "Run",
    "exponential",
    "logarithm",
    "minimise",
    "prior_term",
    "smallest_curvature",
    "spectra_of",
]

MEMORY = 100  # pairs of steps and gradients; each is of the size of S of all layers
FIRST_STEP, LONGEST_STEP = 1.0, 2.0  # in log S: a factor of e and of e^2
LIMIT = 20.0  # a residual within so many times the round-off estimated ends at the precision limit
PATIENCE = 10  # steps without progress after which round-off is suspected


@dataclass(frozen=True)
class Run:
    """Where a descent ended."""

    status: Status
    log_scaled: Blocks
    free_energy: float
    residual: float
    round_off: float
    iterations: int
    evaluations: int
    start_energy: float
    data: Evaluation  # at the end

    @property
    def failed(self) -> bool:
        """Whether it ended neither at a stationary point nor where round-off ends the descent."""
        return self.status in (Status.NOT_FINITE, Status.MAX_ITERATIONS)


def exponential(h: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "r r"]:
    """Return exp of a symmetric matrix."""
    values, vectors = eigh(h)
    return symmetric(product(vectors * np.exp(values), vectors.T))


def spectra_of(h: Blocks) -> tuple[Float[np.ndarray, "r r"], list[Spectrum]]:
    """Return S of the first layer, and those of the deeper ones by their eigenvalues."""
    return exponential(h[0]), [Spectrum.of(block) for block in h[1:]]


def logarithm(s: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "r r"]:
    """Return log of a symmetric positive definite matrix."""
    values, vectors = eigh(s)
    return symmetric(product(vectors * np.log(values), vectors.T))


def prior_term(h: Blocks, shares: Sequence[float] = (1.0,)) -> float:
    """Return (tr S - logdet S) / 2 at S = exp h, of several layers by their shares."""
    total = 0.0
    for block, share in zip(h, shares, strict=True):
        values = eigvalsh(block)
        total += share * (0.5 * float(np.exp(values).sum() - values.sum()))
    return total


class _History:
    """The pairs of L-BFGS."""

    def __init__(self) -> None:
        self.pairs: deque[tuple[Blocks, Blocks, float]] = deque(maxlen=MEMORY)

    def add(self, step: Blocks, change: Blocks) -> None:
        """Keep a pair if the slope rose along it, as in a convex function."""
        inner = dot(step, change)
        if inner > 1e-10 * np.sqrt(dot(step, step) * dot(change, change)):
            self.pairs.append((step, change, inner))

    def direction(self, point: Point) -> Blocks:
        """Return minus the approximate inverse Hessian times the gradient."""
        q, coefficients = point.gradient.copy(), []
        for step, change, inner in reversed(self.pairs):
            coefficients.append(dot(step, q) / inner)
            q.add(-coefficients[-1], change)
        direction = point.precondition(q)
        if self.pairs:
            _, change, inner = self.pairs[-1]
            direction = (inner / point.preconditioned_square(change)) * direction
        for (step, change, inner), a in zip(self.pairs, reversed(coefficients), strict=True):
            direction.add(a - dot(change, direction) / inner, step)
        return -direction


class _Descent:
    """A descent on its way: where it is, the best point so far, and for how many steps nothing was gained."""

    def __init__(self, energy: FreeEnergy, start: Blocks, enough: float) -> None:
        self.energy, self.history, self.enough = energy, _History(), enough
        self.evaluations = self.iterations = 0
        self.flat = self.idle = (
            0  # steps within the round-off of F; and those that did not lower the residual either
        )
        self.point = self.best = self.evaluate(start)

    def evaluate(self, h: Blocks, *, certify: bool = False) -> Point:
        """Return the point at H, and count it."""
        self.evaluations += 1
        return Point(self.energy, h, certify=certify, enough=np.inf if certify else self.enough)

    def run(self, tolerance: float, limit: int) -> Status:
        """Descend to the end; return how it ended."""
        while not self.best.residual <= tolerance:
            if self.evaluations >= limit:
                return Status.MAX_ITERATIONS
            moved = self._step(limit - self.evaluations)
            stuck = not moved or (self.idle >= PATIENCE and self.flat >= PATIENCE)
            if stuck and not self._goes_on(moved):
                return Status.PRECISION_LIMIT
        return Status.CONVERGED

    def _step(self, limit: int) -> bool:
        """Take a step; return whether there was one that goes down."""
        before = self.point
        trial, used = self._line_search(limit)
        self.evaluations += used
        if trial is None:
            return False
        self.history.add(trial.h - before.h, trial.gradient - before.gradient)
        self.iterations += 1
        self.flat = self.flat + 1 if abs(trial.value - before.value) <= before.noise else 0
        gained = trial.residual < 0.7 * self.best.residual or self.flat == 0
        self.idle = 0 if gained else self.idle + 1
        if trial.value < self.best.value - trial.noise or trial.residual < self.best.residual:
            self.best = trial
        self.point = trial
        return True

    def _line_search(self, limit: int) -> tuple[Point | None, int]:
        """Return the next point, or None where there is no descent left; and the evaluations that took."""
        point, history = self.point, self.history
        direction = history.direction(point)
        slope = dot(point.gradient, direction)
        if slope >= 0:
            history.pairs.clear()
            direction = -point.precondition(point.gradient)
            slope = dot(point.gradient, direction)
        longest = LONGEST_STEP if history.pairs else FIRST_STEP
        t = 1.0
        if (
            dot(direction, direction) > longest**2
        ):  # else the spectral norm, which is smaller, is not too long either
            t = min(t, longest / spectral_norm(direction))
        for used in range(1, min(20, limit) + 1):
            trial = Point(self.energy, point.h + t * direction, enough=self.enough)
            if not trial.finite:
                t *= 0.2
                continue
            rise = trial.value - point.value
            end_slope = dot(trial.gradient, direction)
            # Within the round-off of F only the slope says whether the step was too long.
            if rise <= 1e-4 * t * slope or (rise <= point.noise and end_slope <= 0.8 * abs(slope)):
                return trial, used
            if rise > 10.0 * point.noise:
                shorter = -slope * t * t / (2.0 * (rise - slope * t))
            else:
                shorter = t * slope / (slope - end_slope)
            t *= min(max(shorter / t, 0.1), 0.5)
        return None, min(20, limit)

    def _goes_on(self, moved: bool) -> bool:
        """Return whether the descent goes on where it is stuck: in extended precision, or as it is only slow."""
        certified = self.evaluate(self.best.h, certify=True)
        alone = len(self.best.h) == 1
        limited = certified.residual <= 10.0 * certified.data.round_off
        lost = not moved and not self.history.pairs  # not even the gradient goes down
        # If there was a step that goes down, changes of F drown in round-off.
        finer = self.energy.extended() if alone or limited or lost or moved else None
        if finer is not None:
            coarse, self.energy = self.energy, finer
            point = self.evaluate(self.best.h)
            if not point.finite:
                self.energy = coarse
                return False
            self.point = self.best = point
            if not moved:
                self.history = _History()
        elif limited:
            return False
        elif not moved:
            if alone or lost:
                return False
            self.history, self.point = _History(), self.best
        self.flat = self.idle = 0
        return True


@np.errstate(under="ignore")  # what vanishes beside other terms
def minimise(energy: FreeEnergy, start: Blocks, *, tolerance: float, limit: int) -> Run:
    """Descend from `start` until the residual is below `tolerance`, round-off, or `limit` evaluations."""
    nowhere = Run(Status.NOT_FINITE, start, np.inf, np.inf, np.nan, 0, 1, np.inf, NOT_FINITE)
    try:
        descent = _Descent(energy, start, tolerance)
    except np.linalg.LinAlgError:  # as below
        return nowhere
    if not descent.point.finite:
        return nowhere
    start_energy = descent.point.value
    try:
        status = descent.run(tolerance, limit)
    except np.linalg.LinAlgError:  # the gradient is beyond float64
        return replace(nowhere, evaluations=descent.evaluations)
    best = descent.best
    round_off = best.data.round_off
    residual = best.residual
    if status is not Status.CONVERGED:
        certified = descent.evaluate(best.h, certify=True)
        round_off, residual = certified.data.round_off, certified.residual
    if status is Status.PRECISION_LIMIT and len(best.h) > 1 and residual > LIMIT * round_off:
        status = Status.MAX_ITERATIONS  # there is no way down that the search finds, and round-off is not why
    return Run(
        status,
        best.h,
        best.value,
        residual,
        round_off,
        descent.iterations,
        descent.evaluations,
        start_energy,
        best.data,
    )


def smallest_curvature(energy: FreeEnergy, h: Float[np.ndarray, "r r"]) -> float:
    """Return the smallest eigenvalue of the Hessian of F at a stationary point, in the frame of Sigma.

    With S = L exp(D) L' and the inner product tr(D D') the prior's part is 1/2 in every direction.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    values, vectors = eigh(h)
    frame = vectors * np.exp(0.5 * values)
    size = len(h)
    upper = np.triu_indices(size)
    weight = np.where(upper[0] == upper[1], 1.0, np.sqrt(2.0))

    def slope(d: np.ndarray) -> np.ndarray:
        d_values, d_vectors = eigh(d)
        moved = frame @ ((d_vectors * np.exp(0.5 * d_values)) @ d_vectors.T)
        gradient = energy.evaluate(symmetric(moved @ moved.T)).gradient
        return 0.5 * (moved.T @ moved - np.eye(size) + moved.T @ gradient @ moved)

    def product(v: np.ndarray) -> np.ndarray:
        d = np.zeros((size, size))
        d[upper] = v / weight
        d = d + np.triu(d, 1).T
        step = 1e-4 / max(float(np.abs(eigvalsh(d)).max()), 1e-300)
        change = (slope(step * d) - slope(-step * d)) / (2.0 * step)
        return symmetric(change)[upper] * weight

    dimension = len(weight)
    if dimension <= 3:
        hessian = np.array([product(e) for e in np.eye(dimension)])
        return float(eigvalsh(symmetric(hessian))[0])
    operator = LinearOperator((dimension, dimension), matvec=product, dtype=float)
    start = np.random.default_rng(0).normal(size=dimension)
    return float(eigsh(operator, k=1, which="SA", v0=start, tol=1e-3, return_eigenvectors=False)[0])
