"""From inputs and targets to a solution: checks, starts, annealing, the published label term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _memory, _validate, activations
from kernel_collapse._input_error import InputError
from kernel_collapse._resolved import require_scales
from kernel_collapse._shapes import Float
from kernel_collapse._span import Span, span_of
from kernel_collapse.adaptive._free_energy import NOT_FINITE, FreeEnergy, published_label_term
from kernel_collapse.adaptive._minimise import (
    MEMORY as PAIRS,
)
from kernel_collapse.adaptive._minimise import (
    Run,
    exponential,
    logarithm,
    minimise,
    prior_term,
    smallest_curvature,
    spectra_of,
)
from kernel_collapse.adaptive._point import Blocks
from kernel_collapse.adaptive._solution import TOLERANCE, AdaptiveSolution, Layer, PathPoint, Start
from kernel_collapse.solution import Status

__all__ = ["START_NAMES", "solve_adaptive"]

#: Hidden layers: each takes matrices of n x n, and the round-off of a kernel grows from one to the next.
MOST_LAYERS = 100

LabelTerm = Literal["exact", "published"]
LABEL_TERMS: tuple[LabelTerm, ...] = ("exact", "published")
START_NAMES = ("nngp", "published", "random", "annealed")


def solve_adaptive(
    x: ArrayLike,
    targets: ArrayLike,
    *,
    activation: activations.ActivationLike = "erf",
    depth: int = 1,
    width: float | Sequence[float] = 500,
    weight_variance: float = 1.0,
    readout_variance: float = 1 / 128,
    noise_variance: float = 1e-6,
    label_term: LabelTerm = "exact",
    anneal: Sequence[float] | None = None,
    starts: Sequence[str] = ("nngp",),
    curvature: bool = False,
    seed: int = 0,
    max_evaluations: int = 3000,
    raise_on_failure: bool = True,
) -> AdaptiveSolution:
    r"""Return the adaptive kernel of a network of finite width, from the equations of state.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Inputs, at least two samples. Arrays of PyTorch, JAX and CuPy are read into NumPy's float64. The computation
        and the result are in NumPy, without derivatives. With d > n everything is done in the span of the samples,
        because Sigma leaves its prior only there. Memory and time then depend on n.
    targets : array_like, shape (n,) or (n, k)
        Regression targets, in the units of the output.
    activation : str, Activation or callable
        A name (`kernel_collapse.activations` lists them), an `Activation`, or an elementwise function; without jumps.
    depth : int
        Number L of hidden layers.
    width : float or sequence of float
        Number N of hidden units, of every layer or one for each, from the first to the last; the kernel tends to the
        NNGP as 1/N.
    weight_variance, readout_variance, noise_variance : float
        sigma_w^2 (weights N(0, sigma_w^2/d)), sigma_a^2 (readout N(0, sigma_a^2/N)), sigma^2 (of the likelihood).
    label_term : {"exact", "published"}
        "published" replaces A by A = M^{-1} - sigma^2 R R' with R_ij = y_j - ybar_i, as the authors' code does. It is
        blind to the labels for small noise and is not the gradient of any free energy. Use it for comparison only.
        `free_energy` is then F of the exact problem at that kernel. Only for one hidden layer.
    anneal : sequence of float, optional
        Widths of the last layer to pass through before `width`, in the order given. Each descent starts from the
        previous solution. With several layers all widths are scaled by the same factor.
    starts : sequence of {"nngp", "published", "random", "annealed"}
        Where to start the descent; the lowest solution is returned and all are listed in `starts`.
    curvature : bool
        Also compute the smallest eigenvalue of the Hessian, by Lanczos on differences of gradients. This costs some
        dozens of additional evaluations. Only for one hidden layer.
    seed : int
        Of the random start.
    max_evaluations : int
        Evaluations of F after which a descent is cut off.
    raise_on_failure : bool
        Raise `AdaptiveError` unless the status is `converged` or `precision_limit`.

    Returns
    -------
    AdaptiveSolution
        The kernel with its certificate.

    Raises
    ------
    ValueError
        If an input is not finite or out of its range, or samples are so small or large that products of two variances
        have lost digits.
    AdaptiveError
        If the solve failed, with the cause and what to try.

    References
    ----------
    Seroussi, Naveh and Ringel (2023), "Separation of scales and a thermodynamic description of feature learning in
    some CNNs", Nature Communications 14; Kothapalli and Tirer (2025), arXiv 2406.02105.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(n=64, dim=8)
    >>> solution = kc.solve_adaptive(data.x, data.targets, width=500)
    >>> solution.status.value
    'converged'
    >>> nngp = kc.nc1(kc.nngp(data.x), data.labels).ratio
    >>> kc.nc1(solution.gram, data.labels).ratio < nngp
    True
    """
    x, y = _inputs(x, targets)
    _validate.choice(label_term, LABEL_TERMS, "label_term")
    raise_on_failure = _validate.flag(raise_on_failure, "raise_on_failure")
    curvature = _validate.flag(curvature, "curvature")
    names = _start_names(starts)
    widths = () if anneal is None else _validate.several(anneal, "anneal", "(5000, 1000)")
    widths = [_validate.moderate(w, "a width of anneal") for w in widths]
    layers = layer_widths(width, depth)
    _one_layer_alone(len(layers), label_term, names, curvature=curvature)
    _fits(len(x), len(layers))
    weight_variance = _validate.moderate(weight_variance, "weight_variance")
    span, z = span_of(x, weight_variance)
    phi = _differentiable(activation)
    require_scales(x, z, phi, depth=len(layers), weight_variance=weight_variance)
    energy = FreeEnergy(
        z,
        y,
        phi,
        width=layers[-1],
        readout_variance=_validate.moderate(readout_variance, "readout_variance"),
        noise_variance=_validate.moderate(noise_variance, "noise_variance"),
        lower_widths=layers[:-1],
        weight_variance=weight_variance if len(layers) > 1 else 1.0,
    )
    solver = _Solver(energy, _validate.count(max_evaluations, "max_evaluations"))
    rng = np.random.default_rng(_validate.seed(seed))

    path, first = solver.anneal(widths, solver.origin)
    if label_term == "published":
        runs = {"nngp": solver.published(first)}
    else:
        runs = {name: solver.descend_from(name, first, rng) for name in names}
    # Else the descent went down another function, or started elsewhere.
    from_prior = label_term == "exact" and not widths and "nngp" in runs
    solution = _solution(energy, span, runs, path, from_prior=from_prior, curvature=curvature)
    if raise_on_failure:
        solution.raise_for_status()
    return solution


def _inputs(x: ArrayLike, targets: ArrayLike) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n k"]]:
    clean = _validate.matrix(x, "x", numpy=True)
    if len(clean) < 2:
        raise InputError(
            "x", "1 row", "at least two samples", "one sample has no kernel to adapt", verb="has"
        )
    y = np.array(_validate.columns(targets, "targets", numpy=True))  # it is kept
    if len(y) != len(clean):
        raise InputError(
            "x", f"{len(clean)} rows and targets {len(y)}", "as many targets as rows", verb="has"
        )
    return clean, y


def layer_widths(width: float | Sequence[float], depth: int) -> tuple[float, ...]:
    """Return the width of every layer, or refuse them."""
    depth = _validate.count(depth, "depth", most=MOST_LAYERS)
    if _validate.dimensions(width) == 0:
        return (_validate.moderate(width, "width"),) * depth
    widths = _validate.several(width, "width", "500, or (200, 100) at depth 2")
    if len(widths) != depth:
        raise InputError(
            "width",
            f"{len(widths)} widths at depth {depth}",
            "one number, or one for each hidden layer",
            f"give {depth} of them, or depth={len(widths)}" if widths else "give one",
            verb="has",
        )
    return tuple(_validate.moderate(w, f"width of layer {i}") for i, w in enumerate(widths, 1))


def _one_layer_alone(depth: int, label_term: str, names: Sequence[str], *, curvature: bool) -> None:
    """Refuse at other depths what there is of one hidden layer alone."""
    for asked, what in (
        (label_term == "published", "label_term 'published'"),
        ("published" in names, "the start 'published'"),
        (curvature, "curvature=True"),
    ):
        if depth > 1 and asked:
            raise InputError(what, f"asked for at depth {depth}", "depth 1", "leave it out, or take depth=1")


def _fits(n: int, depth: int) -> None:
    """Refuse what does not fit into memory: of each deeper layer the pairs of L-BFGS and a dozen matrices."""
    if depth > 1:
        needed = 8.0 * n**2 * depth * (2 * PAIRS + 12)
        _memory.require(
            needed, f"the adaptive kernel of {n} samples at depth {depth}", "measure a random subset of them"
        )


def _start_names(starts: Sequence[str]) -> tuple[str, ...]:
    """Return each name once, or refuse them."""
    names = _validate.several(starts, "starts", "('nngp',)")
    if not names:
        raise InputError("starts", "empty", f"at least one of {', '.join(START_NAMES)}", "try ('nngp',)")
    for name in names:
        _validate.choice(name, START_NAMES, "the start")
    return tuple(dict.fromkeys(names))


def _differentiable(activation: activations.ActivationLike) -> activations.Activation:
    """Return the activation, or refuse one whose free energy has no gradient."""
    phi = activations.get(activation)
    if phi.jumps:
        raise InputError(
            f"the activation {phi.name}",
            "a jump, so that the free energy has no gradient",
            "one without",
            "a steep scaled_erf is close to a step",
            verb="has",
        )
    if not callable(getattr(phi, "kappa_q", None)):
        raise InputError(
            f"the activation {phi.name}",
            "no kappa_q",
            "one with that derivative",
            "the adaptive kernel needs it",
            verb="has",
        )
    return phi


@dataclass(frozen=True)
class _Solver:
    """A free energy, and how many times a descent of it may evaluate it."""

    energy: FreeEnergy
    limit: int

    @property
    def origin(self) -> Blocks:
        """The prior."""
        n, rank = self.energy.z.shape
        return Blocks(np.zeros((size, size)) for size in (rank, *(n for _ in self.energy.lower_widths)))

    def descend(self, start: Blocks) -> Run:
        return minimise(self.energy, start, tolerance=TOLERANCE, limit=self.limit)

    def anneal(self, widths: Sequence[float], log_scaled: Blocks) -> tuple[list[PathPoint], Blocks]:
        """Solve at each width from the solution at the one before; return the path and its end."""
        path = []
        for width in widths:
            energy = self.energy.at_widths([width * share for share in self.energy.shares])
            run = replace(self, energy=energy).descend(log_scaled)
            log_scaled = run.log_scaled
            scaled, deeper = spectra_of(log_scaled)
            path.append(
                PathPoint(
                    width,
                    run.status,
                    run.residual,
                    run.free_energy,
                    run.evaluations,
                    np.linalg.eigvalsh(scaled),
                    energy.kernel(scaled, deeper),
                )
            )
        return path, log_scaled

    def descend_from(self, name: str, first: Blocks, rng: np.random.Generator) -> Run:
        """Descend from the start of that name; "nngp" is at the end of the path that was asked for."""
        start = first
        if name == "published":
            start = self.published(first).log_scaled
        elif name == "annealed":
            widths = [self.energy.width * factor for factor in (1000.0, 100.0, 10.0, 3.0)]
            _, start = self.anneal(widths, self.origin)
        elif name == "random":  # a Wishart matrix of twice as many degrees of freedom as dimensions
            factors = [
                rng.normal(size=(len(block), 2 * len(block))) / np.sqrt(2 * len(block)) for block in first
            ]
            start = Blocks(logarithm(factor @ factor.T) for factor in factors)
        return self.descend(start)

    def published(self, start: Blocks) -> Run:
        """Solve the published code's equations: their label term, frozen, makes F linear in Q; renew it to the end.

        It is tiny beside the rest (a factor sigma^4 against the right one), so that a few renewals do.
        """
        blind = self.energy.without_labels()
        run = replace(self, energy=blind).descend(start)
        evaluations, iterations = run.evaluations, run.iterations
        for _ in range(50):
            if run.failed:
                break
            term = published_label_term(self.energy, exponential(run.log_scaled[0]))
            evaluations += 1
            frozen = blind.with_linear_term(term)
            run = minimise(frozen, run.log_scaled, tolerance=0.5 * TOLERANCE, limit=self.limit)
            evaluations, iterations = evaluations + run.evaluations, iterations + run.iterations
            if run.iterations == 0:  # the renewed term left the solution where it was
                break
        return replace(run, evaluations=evaluations, iterations=iterations)


def _solution(
    energy: FreeEnergy,
    span: Span,
    runs: dict[str, Run],
    path: list[PathPoint],
    *,
    from_prior: bool,
    curvature: bool,
) -> AdaptiveSolution:
    """Return the lowest of the runs; `from_prior`: that named "nngp" went down F itself, from the prior."""
    n, rank = energy.z.shape
    depth = len(energy.shares)
    best = min(runs.values(), key=lambda run: (run.failed, run.free_energy))
    # Outside of the span of the samples Sigma is at its prior; and F is in units of Sigma, not of S.
    constant = 0.5 * (span.dim - rank) - 0.5 * span.dim * np.log(span.variance)
    unit = 1.0
    if depth > 1:  # in nats, and 0 is the divergence of the prior
        constant = -0.5 * sum(
            share * len(block) for share, block in zip(energy.shares, best.log_scaled, strict=True)
        )
        unit = energy.width
    scaled, deeper = spectra_of(best.log_scaled)
    if from_prior:
        prior_energy, end = runs["nngp"].start_energy, best.data
    else:
        prior = spectra_of(Blocks(np.zeros_like(block) for block in best.log_scaled))
        prior_energy = energy.evaluate(*prior).value + prior_term(
            Blocks(np.zeros_like(block) for block in best.log_scaled), energy.shares
        )
        end = energy.evaluate(scaled, deeper)
    if best.status is Status.NOT_FINITE:
        end = NOT_FINITE
    layers = energy.layers(scaled, deeper) if end.finite else []
    grams = tuple(kappa for _, kappa, _ in layers) or (np.full((n, n), np.nan),) * depth
    free_energy = end.value + prior_term(best.log_scaled, energy.shares) if end.finite else np.nan

    def in_unit(value: float) -> float:
        return unit * (value + constant)

    return AdaptiveSolution(
        gram=grams[-1],
        grams=grams,
        status=best.status,
        residual=best.residual,
        round_off=best.round_off,
        free_energy=in_unit(free_energy),
        prior_free_energy=in_unit(prior_energy if np.isfinite(prior_energy) else np.nan),
        iterations=best.iterations,
        evaluations=sum(run.evaluations for run in runs.values()) + sum(p.evaluations for p in path),
        smallest_pivot=end.smallest_pivot,
        condition=end.condition,
        curvature=smallest_curvature(energy, best.log_scaled[0]) if curvature and end.finite else np.nan,
        readout_variance=energy.readout_variance,
        widths=(*energy.lower_widths, energy.width),
        path=tuple(replace(p, free_energy=_path_energy(p, energy, constant)) for p in path),
        starts=tuple(
            Start(name, run.status, run.residual, in_unit(run.free_energy), run.evaluations)
            for name, run in runs.items()
        ),
        activation=energy.activation,
        _energy=energy,
        _scaled=scaled,
        _layers=tuple(Layer(rows, between) for rows, _, between in layers),
        _deeper=tuple(deeper),
        _span=span,
    )


def _path_energy(point: PathPoint, energy: FreeEnergy, constant: float) -> float:
    """Return F at a point of the path, in the unit of that of the solution."""
    return (point.width if energy.lower_widths else 1.0) * (point.free_energy + constant)
