r"""Samples of the posterior of a Bayesian network of finite width, which its kernels approximate.

The readout is integrated out. With one hidden layer a state is therefore the first layer alone, W (N x d)::

    log p(W) = -(d / 2 sigma_w^2) |W|^2 - 1/2 tr Y'M_W^{-1}Y - (k/2) logdet M_W + const
    M_W = (sigma_a^2 / N) Phi Phi' + sigma^2 I,   Phi = phi(X W')

With L hidden layers a state consists of all their weights, W_l (N_l x N_{l-1}) with the prior
N(0, sigma_w^2 / N_{l-1}). M is made from the features of the last layer, Phi_l = phi(Phi_{l-1} W_l').

It is sampled in units of the prior, W_1 = (sigma_w / sqrt(d)) U_1, where the prior is standard normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from kernel_collapse import _validate, activations
from kernel_collapse._input_error import InputError
from kernel_collapse._resolved import require_scales
from kernel_collapse._shapes import Float
from kernel_collapse._span import Span, span_of
from kernel_collapse.activations import Activation
from kernel_collapse.collapse import WEIGHTINGS, Weighting
from kernel_collapse.data import Dataset
from kernel_collapse.networks import _activations, _chains, _mixing
from kernel_collapse.networks._mixing import PosteriorLayer
from kernel_collapse.networks._types import NetworkError, OfKernels, check_dataset, whole_widths, why_no_ratio
from kernel_collapse.solution import SolutionError, Status

__all__ = ["SAMPLERS", "Posterior", "PosteriorLayer", "Sampler", "Status", "sample_posterior"]

Sampler = Literal["hmc", "nuts", "mala", "langevin"]
SAMPLERS: tuple[Sampler, ...] = ("hmc", "nuts", "mala", "langevin")

#: Share of divergent draws above which they are not trusted.
DIVERGENT_LIMIT = 0.01


@dataclass(frozen=True, eq=False)
class Posterior(OfKernels):
    """Draws from the posterior, summed up.

    Attributes
    ----------
    gram : ndarray, shape (n, n)
        The mean feature kernel E[phi phi'] / N of the last hidden layer, without `readout_variance`, over all draws of
        all chains.
    gram_error : ndarray, shape (n, n)
        Monte Carlo standard error of each of its entries, from the means of batches of draws.
    ratio : float
        NC1 of the mean kernel; NaN unless the status is `converged` or `too_few_draws`.
    ratio_error : float
        Monte Carlo standard error of `ratio`: that of the mean of within - ratio * between, over the mean of between.
    within, between : ndarray, shape (chains, draws)
        tr S_W and tr S_B of the features of the last hidden layer, draw by draw.
    log_density : ndarray, shape (chains, draws)
        log p of the weights of all hidden layers, up to a constant.
    weight_norm : ndarray, shape (chains, draws)
        Mean square of a first-layer weight in units of its prior (in the span of the data): about 1.
    weight_covariance : ndarray, shape (d, d)
        Mean of W'W / N, to be compared with the covariance Sigma of the adaptive kernel.
    rhat : float
        The worst rank-normalised split R-hat of NC1, within, between, log density and weight norm, of any layer.
    ess : float
        The smallest bulk effective sample size of these, over all chains.
    tail_ess : float
        The smallest effective sample size of their quantiles at 5 and 95 per cent, and of the difference whose mean
        sets the error of `ratio`.
    tail_index : float
        The largest k of Pareto distributions fitted to the tails of within, between and that difference. From 0.7 on a
        few draws far out decide about the mean, and its error is not to be trusted.
    acceptance : float
        Mean acceptance probability; 1 for "langevin", which accepts everything.
    divergences : int
        Number of draws (of all chains) whose trajectory diverged.
    step_size : float
        As adapted: of the integrator, or of the Euler scheme of the Langevin samplers.
    steps : float
        Gradients a draw, on average over the chains.
    status : Status
        `converged`, `too_few_draws`, `not_mixed`, `divergences` or `not_finite`.
    reason : str
        Why NC1 is no number where the kernels are known, as `kernel_collapse.NC1.reason` has it; empty otherwise.
    accuracy : float or None
        Relative error of `ratio` that was asked for.
    weights : ndarray, shape (chains, N, d)
        The last W of each chain, of the first layer.
    layers : tuple of PosteriorLayer
        Kernel, NC1, their errors and how well the chains mixed, for every hidden layer. The last layer has the values
        given above.
    deeper_weights : tuple of ndarray, shapes (chains, N_l, N_{l-1})
        The last weights of each chain, of the second layer and those after it.
    """

    gram: Float[np.ndarray, "n n"] = field(repr=False)
    gram_error: Float[np.ndarray, "n n"] = field(repr=False)
    ratio: float
    ratio_error: float
    within: Float[np.ndarray, "chains draws"] = field(repr=False)
    between: Float[np.ndarray, "chains draws"] = field(repr=False)
    log_density: Float[np.ndarray, "chains draws"] = field(repr=False)
    weight_norm: Float[np.ndarray, "chains draws"] = field(repr=False)
    weight_covariance: Float[np.ndarray, "d d"] = field(repr=False)
    rhat: float
    ess: float
    tail_ess: float
    tail_index: float
    acceptance: float
    divergences: int
    step_size: float
    steps: float
    status: Status
    accuracy: float | None
    weights: Float[np.ndarray, "chains N d"] = field(repr=False)
    layers: tuple[PosteriorLayer, ...] = field(repr=False)
    deeper_weights: tuple[Float[np.ndarray, "chains _ _"], ...] = field(repr=False)

    _error: ClassVar[type[SolutionError]] = NetworkError
    _sentences: ClassVar = {
        Status.CONVERGED: "the chains agree, with enough independent draws.",
        Status.NOT_MIXED: "the chains do not agree, have too few independent draws to tell, or a few draws far out "
        "decide about the mean (tail_index from 0.7 on); raise draws and warmup, or noise_variance: a posterior with "
        "tiny noise mixes slowly.",
        Status.NOT_FINITE: "the density is not finite in float64; raise noise_variance, scale x down, or give a "
        "smaller step_size.",
    }
    _value: ClassVar = "gram"
    _mixing: ClassVar = ("rhat", "ess", "tail_ess", "tail_index")
    _certificate: ClassVar = ("ratio_error", *_mixing, "acceptance", "divergences")
    _cost: ClassVar = ("chains", "draws", "steps")
    _of_layers: ClassVar = ("ratio", "ratio_error", "rhat", "ess")

    @property
    def grams(self) -> tuple[Float[np.ndarray, "n n"], ...]:
        """The mean feature kernel of every hidden layer; `gram` is the last."""
        return tuple(layer.gram for layer in self.layers)

    @property
    def nc1(self) -> Float[np.ndarray, "chains draws"]:
        """NC1 draw by draw; its mean is not `ratio`, which is that of the mean kernel."""
        return self.within / self.between

    def plot(self, **options: Any) -> Any:
        """Draw NC1 of every layer; options and result are those of `kernel_collapse.plots.nc1_of_layers`."""
        from kernel_collapse import plots

        return plots.nc1_of_layers(self, **options)

    @property
    def chains(self) -> int:
        """Number of chains."""
        return self.within.shape[0]

    @property
    def draws(self) -> int:
        """Draws a chain: as asked for, rounded up."""
        return self.within.shape[1]

    @property
    def draws_needed(self) -> int:
        """Draws a chain that would reach the accuracy asked for, by these draws; 0 where none was asked or known."""
        known = [layer for layer in self.layers if np.isfinite(layer.ratio_error) and layer.ratio > 0]
        if self.accuracy is None or not known:
            return 0
        worst = max(layer.ratio_error / (self.accuracy * layer.ratio) for layer in known)
        return int(np.ceil(self.draws * worst**2))

    @property
    def explanation(self) -> str:
        """The status with its numbers, and what to try."""
        needed = (
            f" (about {self.draws_needed} a chain would do)" if self.status is Status.TOO_FEW_DRAWS else ""
        )
        error = f", relative error {self.ratio_error / self.ratio:.2g}" if self.ratio > 0 else ""
        return (
            f"{self.chains} chains of {self.draws} draws ended as {self.status.value} (R-hat {self.rhat:.3f}, "
            f"effective sample size {self.ess:.0f}, acceptance {self.acceptance:.2f}{error}): {self.sentence}"
            f"{needed}"
        )


def sample_posterior(
    dataset: Dataset,
    *,
    depth: int = 1,
    width: int | Sequence[int],
    activation: str | Activation | _activations.Phi = "erf",
    weight_variance: float = 1.0,
    readout_variance: float = 1 / 128,
    noise_variance: float = 1e-3,
    sampler: Sampler = "hmc",
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 300,
    thin: int | None = None,
    trajectory: float = 1.2,
    acceptance: float | None = None,
    step_size: float | None = None,
    accuracy: float | None = None,
    weighting: Weighting = "paper",
    seed: int = 0,
    raise_on_failure: bool = True,
) -> Posterior:
    r"""Return draws from the posterior of a Bayesian network of finite width.

    Chains start from the prior. The step size is adapted during warm-up, one for all chains, and then kept. No array
    of size draws x N x d is held. The mean kernel and a few numbers per draw are summed up during the run.

    Parameters
    ----------
    dataset : Dataset
        Inputs, classes and regression targets. With d > n everything is done in the span of the samples.
    depth : int
        Number L of hidden layers.
    width : int or sequence of int
        Number N of hidden units, of every layer or one for each, from the first to the last.
    activation : str, Activation or callable
        A name, or an elementwise function made of `jax.numpy` operations (compiled anew for each function object).
    weight_variance, readout_variance, noise_variance : float
        sigma_w^2 (weights N(0, sigma_w^2/d), of deeper layers N(0, sigma_w^2/N_{l-1})), sigma_a^2 (readout
        N(0, sigma_a^2/N)), sigma^2 (of the likelihood).
    sampler : {"hmc", "nuts", "mala", "langevin"}
        "hmc" (trajectories of random length), "nuts", "mala" (Langevin steps, accepted or not) or "langevin".
        "langevin" accepts every step after warm-up. Its step size makes it biased, and no diagnostic here shows this
        bias. Compare it with another sampler, or halve `step_size`, before you use its numbers.
    chains : int
        Two or more, because mixing is judged by the agreement of the chains.
    draws, warmup : int
        Draws a chain that are kept and that are dropped; rounded up to multiples of 50.
    thin : int, optional
        Transitions a draw; by default 10 for the Langevin samplers, whose transition is one gradient, else 1.
    trajectory : float
        Mean length in time of the trajectories of "hmc", in units in which the prior has period 2 pi.
    acceptance : float, optional
        Acceptance that the step size is adapted to, 0 to 1; by default 0.8 for "hmc" and "nuts", 0.57 for "mala", and
        0.9 for the warm-up of "langevin".
    step_size : float, optional
        Step size to keep to, instead of adapting it.
    accuracy : float, optional
        The relative Monte Carlo standard error of NC1 that you want, in every layer.
    weighting : {"paper", "sample", "class", "published"}
        Of NC1; see `kernel_collapse.nc1`.
    seed : int
        Seed of the start and of the chains.
    raise_on_failure : bool
        Raise `NetworkError` unless the status is `converged`.

    Returns
    -------
    Posterior
        The mean kernel and its NC1, with their errors and whether the chains mixed: R-hat below 1.01, effective sample
        sizes of bulk and tails of at least 100 a chain, the worst of five summaries of every layer, and tails that let
        a mean settle. No diagnostic sees a mode that no chain has visited. Narrow networks (a few units) have such
        modes: compare several seeds, and more chains, before you use their numbers.

    Raises
    ------
    ValueError
        If an input is not finite or out of its range.
    NetworkError
        If the chains did not mix, diverged, or fell short of the accuracy asked for, with what to try.

    References
    ----------
    Duane, Kennedy, Pendleton and Roweth (1987), "Hybrid Monte Carlo"; Vehtari, Gelman, Simpson, Carpenter and Bürkner
    (2021), "Rank-normalization, folding, and localization: an improved R-hat"; Vehtari, Simpson, Gelman, Yao and Gabry
    (2024), "Pareto smoothed importance sampling".

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> from kernel_collapse.networks import sample_posterior
    >>> data = kc.data.gaussian_classes(n=12, dim=2)
    >>> posterior = sample_posterior(data, width=7, noise_variance=1e-2)
    >>> posterior.status.value
    'converged'
    >>> posterior.ratio < kc.nc1(kc.nngp(data.x), data.labels).ratio
    True

    Of two hidden layers, each with its kernel:

    >>> deep = sample_posterior(data, depth=2, width=(9, 7), noise_variance=1e-1)
    >>> [layer.ratio < 1 for layer in deep.layers]
    [True, True]
    """
    check_dataset(dataset)
    weight_variance = _validate.moderate(weight_variance, "weight_variance")
    span, x = span_of(dataset.x, weight_variance)
    widths = whole_widths(width, depth)
    phi = activations.get(activation) if isinstance(activation, str | Activation) else None
    require_scales(dataset.x, x, phi, depth=len(widths), weight_variance=weight_variance, determinants=False)
    raise_on_failure = _validate.flag(raise_on_failure, "raise_on_failure")
    accuracy = _checked(weighting, accuracy)
    plan, draws = _plan(sampler, chains, draws, warmup, step_size)
    target = (
        _chains.ACCEPTANCE[sampler] if acceptance is None else _validate.positive(acceptance, "acceptance")
    )
    if target >= 1:
        raise InputError.of("acceptance", acceptance, "less than 1", "only steps of length 0 reach it")
    problem = _chains.Problem(
        x=x,
        targets=dataset.targets,
        averaging=np.eye(len(dataset.class_sizes))[dataset.labels] / np.array(dataset.class_sizes),
        readout_variance=_validate.moderate(readout_variance, "readout_variance"),
        noise_variance=_validate.moderate(noise_variance, "noise_variance"),
        trajectory=_validate.moderate(trajectory, "trajectory"),
        acceptance=target,
        thin=_chains.THIN[sampler]
        if thin is None
        else _validate.count(thin, "thin", most=_validate.MOST_STEPS),
        weight_variance=weight_variance,
    )
    _fits(widths, x.shape[1], plan, draws, len(dataset.class_sizes))
    seed = _validate.seed(seed)
    found = _chains.run(problem, plan, widths, _activations.get(activation), seed)
    posterior = _summed_up(found, dataset, span, weighting, accuracy, weight_variance)
    if raise_on_failure:
        posterior.raise_for_status()
    return posterior


def _checked(weighting: Weighting, accuracy: float | None) -> float | None:
    """Return the accuracy asked for, or refuse it or the weighting."""
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    return None if accuracy is None else _validate.positive(accuracy, "accuracy")


def _plan(
    sampler: Sampler, chains: int, draws: int, warmup: int, step_size: float | None
) -> tuple[_chains.Plan, int]:
    """Return how long to run, and the draws that were asked for."""
    _validate.choice(sampler, SAMPLERS, "sampler")
    if step_size is not None:
        step_size = _validate.positive(step_size, "step_size")
    # Without a step size given there must be a warm-up to find it.
    warmup = _validate.count(warmup, "warmup", least=1 if step_size is None else 0, most=_validate.MOST_STEPS)
    chains = _validate.count(chains, "chains", least=2)
    draws = _validate.count(draws, "draws", most=_validate.MOST_STEPS)
    batches = -(-draws // _chains.BATCH)
    return _chains.Plan(sampler, chains, -(-warmup // _chains.BATCH), batches, step_size), draws


def _fits(widths: tuple[int, ...], rank: int, plan: _chains.Plan, draws: int, classes: int) -> None:
    """Refuse what does not fit into memory: the weights, and what is kept of each draw."""
    weights = sum(width * inputs for width, inputs in zip(widths, (rank, *widths), strict=False))
    _validate.fits(
        plan.chains * (weights + draws * len(widths) * classes**2),
        f"{_validate.shown(plan.chains)} chains of {draws} draws of "
        + (f"width {_validate.shown(widths[0])}" if len(widths) == 1 else f"widths {widths}"),
        "lower one of them",
    )


def _summed_up(
    found: _chains.Draws,
    dataset: Dataset,
    span: Span,
    weighting: Weighting,
    accuracy: float | None,
    weight_variance: float,
) -> Posterior:
    """Return the result, with its status."""
    record = found.record
    layers = _mixing.layers(found, dataset, weighting)
    last = layers[-1]
    finite = bool(np.isfinite(record.log_density).all()) and all(layer.finite for layer in layers)

    def worst(of: Any, name: str) -> float:
        return float(of(getattr(layer, name) for layer in layers))

    rhat, tail_index = (worst(max, name) if finite else np.nan for name in ("rhat", "tail_index"))
    ess, tail_ess = (worst(min, name) if finite else np.nan for name in ("ess", "tail_ess"))
    reason = why_no_ratio((layer.gram for layer in layers), dataset, weighting) if finite else ""
    if not finite:
        status = Status.NOT_FINITE
    elif record.divergent.mean() > DIVERGENT_LIMIT:
        status = Status.DIVERGENCES
    elif reason:
        status = Status.NOT_FINITE
    elif not all(layer.mixed for layer in layers):
        status = Status.NOT_MIXED
    elif accuracy is not None and any(layer.ratio_error > accuracy * abs(layer.ratio) for layer in layers):
        status = Status.TOO_FEW_DRAWS
    else:
        status = Status.CONVERGED
    if status not in (Status.CONVERGED, Status.TOO_FEW_DRAWS):
        layers = tuple(replace(layer, ratio=np.nan, ratio_error=np.nan) for layer in layers)
        last = layers[-1]
    scales = [np.sqrt(weight_variance / u.shape[2]) for u in found.position[1:]]
    return Posterior(
        gram=last.gram,
        gram_error=last.gram_error,
        ratio=last.ratio,
        ratio_error=last.ratio_error,
        within=last.within,
        between=last.between,
        log_density=record.log_density,
        weight_norm=layers[0].weight_norm,
        weight_covariance=span.weight_covariance(found.scatter),
        rhat=rhat,
        ess=ess,
        tail_ess=tail_ess,
        tail_index=tail_index,
        acceptance=float(record.acceptance.mean()),
        divergences=int(record.divergent.sum()),
        step_size=found.step_size,
        steps=float(record.steps.mean()),
        status=status,
        reason=reason,
        accuracy=accuracy,
        weights=span.lift(np.sqrt(span.variance) * found.position[0]),
        layers=layers,
        deeper_weights=tuple(s * u for s, u in zip(scales, found.position[1:], strict=True)),
    )
