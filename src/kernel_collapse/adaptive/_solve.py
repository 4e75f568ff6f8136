"""From inputs and targets to a solution: checks, starts, annealing, the published label term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from kernel_collapse import _validate, activations
from kernel_collapse._input_error import InputError
from kernel_collapse.adaptive import _minimise
from kernel_collapse.adaptive._free_energy import FreeEnergy, published_label_term
from kernel_collapse.adaptive._solution import AdaptiveError, AdaptiveSolution, PathPoint, Start, Status

__all__ = ["START_NAMES", "solve_adaptive"]

#: Residual of the equations of state below which a solution counts as converged.
TOLERANCE = 1e-6

LabelTerm = Literal["exact", "published"]
LABEL_TERMS: tuple[LabelTerm, ...] = ("exact", "published")
START_NAMES = ("nngp", "published", "random", "annealed")


def solve_adaptive(
    x: ArrayLike,
    targets: ArrayLike,
    *,
    activation: activations.ActivationLike = "erf",
    width: float = 500,
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
    r"""Return the adaptive kernel of a network of one hidden layer, from the equations of state.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Inputs, at least two samples. Arrays of PyTorch, JAX and CuPy are read into NumPy's float64, in which all is
        computed and returned, without derivatives. With d > n everything is done in the span of the samples, where
        alone Sigma leaves its prior: memory and time then depend on n.
    targets : array_like, shape (n,) or (n, k)
        Regression targets, in the units of the output.
    activation : str, Activation or callable
        A name (`kernel_collapse.activations` lists them), an `Activation`, or an elementwise function; without jumps.
    width : float
        Number N of hidden units; the kernel tends to the NNGP as 1/N.
    weight_variance, readout_variance, noise_variance : float
        sigma_w^2 (weights N(0, sigma_w^2/d)), sigma_a^2 (readout N(0, sigma_a^2/N)), sigma^2 (of the likelihood).
    label_term : {"exact", "published"}
        "published" puts A = M^{-1} - sigma^2 R R' with R_ij = y_j - ybar_i in the place of A, as the authors' code
        does: blind to the labels for small noise, the gradient of no free energy; for comparison only. Its
        `free_energy` is then F of the exact problem at that kernel.
    anneal : sequence of float, optional
        Widths to pass through, each started from the last, in the order given; then `width`.
    starts : sequence of {"nngp", "published", "random", "annealed"}
        Where to start the descent; the lowest solution is returned and all are listed in `starts`.
    curvature : bool
        Also compute the smallest eigenvalue of the Hessian, by Lanczos on differences of gradients; costs some
        dozens of evaluations more.
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
        If an input is not finite or out of its range.
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
    starts = _validate.several(starts, "starts", "('nngp',)")
    if not starts:
        raise InputError("starts", "empty", f"at least one of {', '.join(START_NAMES)}", "try ('nngp',)")
    for start in starts:
        _validate.choice(start, START_NAMES, "the start")
    path = () if anneal is None else _validate.several(anneal, "anneal", "(5000, 1000)")
    widths = [_validate.moderate(w, "a width of anneal") for w in path]
    n, dim = x.shape
    basis = None
    z = x * np.sqrt(_validate.moderate(weight_variance, "weight_variance") / dim)
    if dim > n:
        basis, triangle = np.linalg.qr(z.T)
        z = np.ascontiguousarray(triangle.T)
    phi = activations.get(activation)
    if phi.jumps:
        raise InputError(
            f"the activation {phi.name}",
            "a jump, so that the free energy has no gradient",
            "one without",
            "a steep scaled_erf is close to a step",
            verb="has",
        )
    energy = FreeEnergy(
        z,
        y,
        phi,
        width=_validate.moderate(width, "width"),
        readout_variance=_validate.moderate(readout_variance, "readout_variance"),
        noise_variance=_validate.moderate(noise_variance, "noise_variance"),
    )
    if not callable(getattr(energy.activation, "kappa_q", None)):
        raise InputError(
            f"the activation {energy.activation.name}",
            "no kappa_q",
            "one with that derivative",
            "the adaptive kernel needs it",
            verb="has",
        )
    limit = _validate.count(max_evaluations, "max_evaluations")
    rng = np.random.default_rng(_validate.seed(seed))

    origin = np.zeros((z.shape[1],) * 2)
    path, first = _anneal(energy, widths, origin, limit)
    if label_term == "published":
        runs = {"nngp": _published(energy, first, limit)}
    else:
        runs = {name: _descend_from(name, energy, first, limit, rng) for name in dict.fromkeys(starts)}
    best = min(
        runs.values(), key=lambda run: (run.status in ("not_finite", "max_iterations"), run.free_energy)
    )
    # Outside of the span of the samples Sigma is at its prior; and F is in units of Sigma, not of S.
    constant = 0.5 * (dim - len(origin)) - 0.5 * dim * np.log(weight_variance / dim)
    energies = {name: run.free_energy + constant for name, run in runs.items()}
    scaled = _minimise.exponential(best.log_scaled)
    exact_from_prior = label_term == "exact" and not widths and "nngp" in runs
    if exact_from_prior:
        prior_energy, end = runs["nngp"].start_energy, best.data
    else:  # the descent went down another function, or started elsewhere
        prior_energy, end = (
            energy.evaluate(np.eye(len(origin))).value + 0.5 * len(origin),
            energy.evaluate(scaled),
        )
    solution = AdaptiveSolution(
        gram=energy.kernel(scaled) if end.finite else np.full((n, n), np.nan),
        status=Status(best.status),
        residual=best.residual,
        round_off=best.round_off,
        free_energy=(end.value + _minimise.prior_term(best.log_scaled) if end.finite else np.nan) + constant,
        prior_free_energy=(prior_energy if np.isfinite(prior_energy) else np.nan) + constant,
        iterations=best.iterations,
        evaluations=sum(run.evaluations for run in runs.values()) + sum(p.evaluations for p in path),
        smallest_pivot=end.smallest_pivot,
        condition=end.condition,
        curvature=_minimise.smallest_curvature(energy, best.log_scaled)
        if curvature and end.finite
        else np.nan,
        readout_variance=float(readout_variance),
        path=tuple(replace(p, free_energy=p.free_energy + constant) for p in path),
        starts=tuple(
            Start(name, Status(run.status), run.residual, energies[name], run.evaluations)
            for name, run in runs.items()
        ),
        activation=phi,
        _scaled=scaled,
        _basis=basis,
        _prior=(dim, weight_variance / dim),
    )
    if raise_on_failure and solution.status in (Status.MAX_ITERATIONS, Status.NOT_FINITE):
        raise AdaptiveError(
            f"no solution of the equations of state ({solution.status.value}, residual {solution.residual:.3g} after "
            f"{solution.evaluations} evaluations): {solution.status.sentence}",
            solution.status,
        )
    return solution


def _inputs(x: ArrayLike, targets: ArrayLike) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n k"]]:
    clean = _validate.matrix(x, "x", numpy=True)
    if len(clean) < 2:
        raise InputError(
            "x", "1 row", "at least two samples", "one sample has no kernel to adapt", verb="has"
        )
    y = _validate.columns(targets, "targets", numpy=True)
    if len(y) != len(clean):
        raise InputError(
            "x", f"{len(clean)} rows and targets {len(y)}", "as many targets as rows", verb="has"
        )
    return clean, y


def _anneal(
    energy: FreeEnergy, widths: list[float], log_scaled: Float[np.ndarray, "r r"], limit: int
) -> tuple[list[PathPoint], Float[np.ndarray, "r r"]]:
    """Solve at each width from the solution at the one before; return the path and its end."""
    path = []
    for width in widths:
        run = _minimise.minimise(energy.at_width(width), log_scaled, tolerance=TOLERANCE, limit=limit)
        scaled = _minimise.exponential(run.log_scaled)
        path.append(
            PathPoint(
                width,
                Status(run.status),
                run.residual,
                run.free_energy,
                run.evaluations,
                np.linalg.eigvalsh(scaled),
                energy.kernel(scaled),
            )
        )
        log_scaled = run.log_scaled
    return path, log_scaled


def _descend_from(
    name: str, energy: FreeEnergy, first: Float[np.ndarray, "r r"], limit: int, rng: np.random.Generator
) -> _minimise.Run:
    start = first
    if name == "published":
        start = _published(energy, first, limit).log_scaled
    elif name == "annealed":
        widths = [energy.width * factor for factor in (1000.0, 100.0, 10.0, 3.0)]
        _, start = _anneal(energy, widths, np.zeros_like(first), limit)
    elif name == "random":  # a Wishart matrix of twice as many degrees of freedom as dimensions
        factor = rng.normal(size=(len(first), 2 * len(first))) / np.sqrt(2 * len(first))
        start = _minimise.logarithm(factor @ factor.T)
    return _minimise.minimise(energy, start, tolerance=TOLERANCE, limit=limit)


def _published(energy: FreeEnergy, start: Float[np.ndarray, "r r"], limit: int) -> _minimise.Run:
    """Solve the published code's equations: their label term, frozen, makes F linear in Q; renew it to the end.

    It is tiny beside the rest (a factor sigma^4 against the right one), so that a few renewals do.
    """
    blind = energy.without_labels()
    run = _minimise.minimise(blind, start, tolerance=TOLERANCE, limit=limit)
    evaluations, iterations = run.evaluations, run.iterations
    for _ in range(50):
        if run.status in ("not_finite", "max_iterations"):
            break
        term = published_label_term(energy, _minimise.exponential(run.log_scaled))
        evaluations += 1
        frozen = blind.with_linear_term(term)
        run = _minimise.minimise(frozen, run.log_scaled, tolerance=0.5 * TOLERANCE, limit=limit)
        evaluations, iterations = evaluations + run.evaluations, iterations + run.iterations
        if run.iterations == 0:  # the renewed term left the solution where it was
            break
    return replace(run, evaluations=evaluations, iterations=iterations)
