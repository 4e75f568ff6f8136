r"""The data-aware kernel of a network of finite width, from the equations of state.

One hidden layer of `width` N units, k outputs. With S the covariance of a weight vector in units of its prior,
Sigma = (sigma_w^2/d) S, the kernel is Q = sigma_a^2 kappa(X Sigma X'), M = Q + sigma^2 I, T = M^{-1} Y, and the
solution minimises the free energy::

    F(Sigma) = 1/2 [ (d/sigma_w^2) tr Sigma - logdet Sigma ] + (1/N) [ 1/2 tr(Y'T) + (k/2) logdet M ]

whose stationary points are the equations of state of Seroussi, Naveh and Ringel (2023)::

    Sigma^{-1} = (d/sigma_w^2) I + (1/N) d/dSigma tr( A Q(Sigma) ) |_{A fixed},   A = k M^{-1} - T T'

A minimum is always there to be descended to; that the gradient vanishes there is the certificate
(`AdaptiveSolution.residual`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from kernel_collapse import _minimise, _validate, activations, kernels
from kernel_collapse._free_energy import FreeEnergy, published_label_term

__all__ = [
    "START_NAMES",
    "AdaptiveError",
    "AdaptiveSolution",
    "PathPoint",
    "Start",
    "Status",
    "solve_adaptive",
]

#: Residual of the equations of state below which a solution counts as converged.
TOLERANCE = 1e-6

LabelTerm = Literal["exact", "published"]
LABEL_TERMS: tuple[LabelTerm, ...] = ("exact", "published")
START_NAMES = ("nngp", "published", "random", "annealed")


class Status(Enum):
    """How a solve ended."""

    CONVERGED = "converged"
    PRECISION_LIMIT = "precision_limit"
    MAX_ITERATIONS = "max_iterations"
    NOT_FINITE = "not_finite"

    @property
    def sentence(self) -> str:
        """What it means, and what to try."""
        return {
            Status.CONVERGED: "the equations of state hold to the tolerance.",
            Status.PRECISION_LIMIT: "round-off ends the descent above the tolerance (see round_off); raise "
            "noise_variance if the residual matters.",
            Status.MAX_ITERATIONS: "the descent was cut off; raise max_evaluations or start from a solution at a "
            "larger width (anneal).",
            Status.NOT_FINITE: "kernel plus noise is not positive definite in float64; raise noise_variance, scale x "
            "down, or drop duplicated samples.",
        }[self]


class AdaptiveError(RuntimeError):
    """A solve that did not end at a solution."""


@dataclass(frozen=True)
class PathPoint:
    """The solution at one width of an annealing path; `eigenvalues` are those of (d/sigma_w^2) Sigma."""

    width: float
    status: Status
    residual: float
    free_energy: float
    evaluations: int
    eigenvalues: Float[np.ndarray, " r"] = field(repr=False)
    gram: Float[np.ndarray, "n n"] = field(repr=False)


@dataclass(frozen=True)
class Start:
    """Where one descent started, and where it ended."""

    name: str
    status: Status
    residual: float
    free_energy: float
    evaluations: int


@dataclass(frozen=True)
class AdaptiveSolution:
    """A solution of the equations of state with its certificate.

    Attributes
    ----------
    gram : ndarray, shape (n, n)
        The feature kernel kappa(x Sigma x'), without `readout_variance`; NaN where the status is not_finite.
    status : Status
        `converged`, `precision_limit`, `max_iterations` or `not_finite`.
    residual : float
        Spectral norm of Sigma^{1/2} E Sigma^{1/2}, E the left less the right side of the equations of state: the
        relative error of Sigma, dimensionless.
    round_off : float
        How much of a residual float64 can make of nothing here: an estimate from the size of what cancels.
    free_energy, prior_free_energy : float
        F at the solution and at the prior (the NNGP).
    iterations, evaluations : int
        Descent steps; evaluations of F, each with one factorisation of an n x n matrix.
    smallest_pivot, condition : float
        Smallest pivot of the factorisation of M at the solution, and its ratio to the largest.
    curvature : float
        Smallest eigenvalue of the Hessian of F in the frame of Sigma (the prior alone gives 1/2): positive at a
        minimum, negative at a saddle. NaN unless asked for.
    path : tuple of PathPoint
        One for each width of `anneal`.
    starts : tuple of Start
        One for each start; the solution is the lowest.
    """

    gram: Float[np.ndarray, "n n"] = field(repr=False)
    status: Status
    residual: float
    round_off: float
    free_energy: float
    prior_free_energy: float
    iterations: int
    evaluations: int
    smallest_pivot: float
    condition: float
    curvature: float
    readout_variance: float
    path: tuple[PathPoint, ...] = field(repr=False)
    starts: tuple[Start, ...] = field(repr=False)
    activation: activations.Activation
    _scaled: Float[np.ndarray, "r r"] = field(repr=False)
    _basis: Float[np.ndarray, "d r"] | None = field(repr=False)
    _prior: tuple[int, float] = field(repr=False)

    @property
    def output_gram(self) -> Float[np.ndarray, "n n"]:
        """The kernel of the output, readout_variance times `gram`."""
        return self.readout_variance * self.gram

    def kernel(self, x: ArrayLike, x_other: ArrayLike | None = None) -> Float[np.ndarray, "m n"]:
        """Return the feature kernel kappa(x Sigma x_other') of other inputs: `gram` for those it was solved on.

        Parameters
        ----------
        x : array_like, shape (m, d)
            Inputs, of as many dimensions as those of the solution.
        x_other : array_like, shape (n, d), optional
            Inputs of the columns; `x` itself by default.

        Raises
        ------
        ValueError
            If the inputs are not finite, or not of d dimensions.

        Examples
        --------
        >>> import numpy as np, kernel_collapse as kc
        >>> data = kc.data.gaussian_classes(n=20, dim=3)
        >>> solution = kc.solve_adaptive(data.x, data.targets)
        >>> bool(np.allclose(solution.kernel(data.x[:5], data.x), solution.gram[:5]))
        True
        """
        dim, variance = self._prior
        values, vectors = np.linalg.eigh(self._scaled)
        stretch = (vectors * (np.sqrt(values) - 1.0)) @ vectors.T

        def stretched(inputs: ArrayLike, what: str) -> Float[np.ndarray, "m d"]:
            clean = _validate.matrix(inputs, what)
            if clean.shape[1] != dim:
                raise ValueError(f"{what} has {clean.shape[1]} features, expected the {dim} of the solution.")
            basis = np.eye(dim) if self._basis is None else self._basis
            return clean + (clean @ basis) @ stretch @ basis.T

        return kernels.nngp(
            stretched(x, "x"),
            None if x_other is None else stretched(x_other, "x_other"),
            activation=self.activation,
            weight_variance=variance * dim,
        )

    @property
    def weight_covariance(self) -> Float[np.ndarray, "d d"]:
        """Sigma, made when asked for: with many dimensions only its part in the span of the data is held."""
        dim, variance = self._prior
        if self._basis is None:
            return variance * self._scaled
        change = self._basis @ (self._scaled - np.eye(len(self._scaled))) @ self._basis.T
        return variance * (np.eye(dim) + change)

    @property
    def eigenvalues(self) -> Float[np.ndarray, " r"]:
        """Eigenvalues of (d/sigma_w^2) Sigma in the span of the data, ascending; all 1 at the prior."""
        return np.linalg.eigvalsh(self._scaled)

    @property
    def same_minimum(self) -> bool:
        """Whether every start that converged ended at the same free energy, to 1e-6 of what was gained."""
        energies = [
            s.free_energy for s in self.starts if s.status in (Status.CONVERGED, Status.PRECISION_LIMIT)
        ]
        if len(energies) < 2:
            return True
        gained = abs(self.prior_free_energy - min(energies))
        return max(energies) - min(energies) <= 1e-6 * max(gained, abs(min(energies)) * 1e-6)


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
        Inputs, at least two samples. With d > n everything is done in the span of the samples, where alone Sigma
        leaves its prior: memory and time then depend on n.
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
        raise ValueError(
            f"starts is empty, expected at least one of {', '.join(START_NAMES)}: try ('nngp',)."
        )
    for start in starts:
        _validate.choice(start, START_NAMES, "the start")
    path = () if anneal is None else _validate.several(anneal, "anneal", "(5000, 1000)")
    widths = [_validate.positive(w, "a width of anneal") for w in path]
    n, dim = x.shape
    basis = None
    z = x * np.sqrt(_validate.positive(weight_variance, "weight_variance") / dim)
    if dim > n:
        basis, triangle = np.linalg.qr(z.T)
        z = np.ascontiguousarray(triangle.T)
    phi = activations.get(activation)
    if phi.jumps:
        raise ValueError(
            f"the activation {phi.name} has a jump, so that the free energy has no gradient, expected one without: a "
            "steep scaled_erf is close to a step."
        )
    energy = FreeEnergy(
        z,
        y,
        phi,
        width=_validate.positive(width, "width"),
        readout_variance=_validate.positive(readout_variance, "readout_variance"),
        noise_variance=_validate.positive(noise_variance, "noise_variance"),
    )
    if not callable(getattr(energy.activation, "kappa_q", None)):
        raise ValueError(
            f"the activation {energy.activation.name} has no kappa_q, expected one with that derivative: the adaptive "
            "kernel needs it."
        )
    limit = _validate.count(max_evaluations, "max_evaluations")
    rng = np.random.default_rng(_validate.count(seed, "seed", least=0))

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
            f"{solution.evaluations} evaluations): {solution.status.sentence}"
        )
    return solution


def _inputs(x: ArrayLike, targets: ArrayLike) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n k"]]:
    clean = _validate.matrix(x, "x")
    if len(clean) < 2:
        raise ValueError("x has 1 row, expected at least two samples: one sample has no kernel to adapt.")
    y: Any = np.asarray(targets)
    y = _validate.matrix(y[:, None] if y.ndim == 1 else y, "targets")
    if len(y) != len(clean):
        raise ValueError(f"x has {len(clean)} rows and targets {len(y)}, expected as many targets as rows.")
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
