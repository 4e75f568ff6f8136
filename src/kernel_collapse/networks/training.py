r"""Training of many networks at once by gradient descent, with measurements of their collapse.

All epochs of all seeds are one compiled loop, and the networks of different seeds are one axis of every array. The
probes store little: class means and the spread around them, layer by layer. NC1 and the other metrics follow from
these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kernel_collapse import _memory, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse._shared_targets import class_targets, first_with_target
from kernel_collapse.activations import Activation
from kernel_collapse.collapse import NC1, WEIGHTINGS, Weighting, nc1_from_classes
from kernel_collapse.collapse.class_means import ClassMeans
from kernel_collapse.data import Dataset
from kernel_collapse.networks._activations import Phi
from kernel_collapse.networks._convolutional import Layer
from kernel_collapse.networks._descent import NEVER, Trained, run
from kernel_collapse.networks._precision import centre_of, require_apart, require_held, round_off
from kernel_collapse.networks._probes import Loss, Seen, Task
from kernel_collapse.networks._schedule import Schedule
from kernel_collapse.networks._training import Training
from kernel_collapse.networks._types import check_dataset
from kernel_collapse.networks.model import Network, Parameterisation, initialise
from kernel_collapse.solution import Status

__all__ = ["Status", "Training", "train"]

#: Networks that are trained at once.
MOST_SEEDS = 100_000

Optimiser = Literal["sgd", "adam"]
Precision = Literal["float32", "float64"]


def train(
    dataset: Dataset,
    *,
    width: int | Sequence[int] = 500,
    depth: int = 1,
    activation: str | Activation | Phi | None = None,
    layers: Sequence[Layer] | None = None,
    epochs: int = 1000,
    learning_rate: float | Callable[[Any], Any] = 1e-3,
    weight_decay: float = 1e-6,
    seeds: int | Sequence[int] = 1,
    parameterisation: Parameterisation = "standard",
    weight_variance: float = 1.0,
    readout_variance: float = 1.97**2,
    bias_variance: float = 0.0,
    biases: bool = True,
    loss: Loss = "mse",
    optimiser: Optimiser | optax.GradientTransformation = "sgd",
    momentum: float = 0.0,
    batch_size: int | None = None,
    probes: Sequence[int] | None = None,
    weighting: Weighting = "paper",
    precision: Precision = "float32",
    raise_on_failure: bool = True,
) -> Training:
    """Train networks on a data set, one for each seed, all at once.

    The defaults are those of the published networks: one layer of 500 units with biases that start at zero, readout
    variance 1.97^2, full-batch gradient descent. With `layers` the networks have convolutions.

    Parameters
    ----------
    dataset : Dataset
        Inputs (n, d), labels and targets (n, k); images for `layers`.
    width, depth, activation, layers, parameterisation, weight_variance, readout_variance, bias_variance, biases
        The networks at their start, as in `initialise`.
    epochs : int
        Passes over the data; 0 only looks at the start.
    learning_rate : float or optax schedule
        A schedule is a function of the number of steps done, made of `jax.numpy` operations. After a million steps it
        is looked at in 512 places, so that a change of it there may go unseen: make it anew.
    weight_decay : float
        Added to the gradient as ``weight_decay * parameter``, before momentum or Adam.
    seeds : int or sequence of int
        Number of networks (seeds 0, 1, ...), or their seeds; a seed settles the start and the order of batches.
    loss : {"mse", "cross_entropy"}
        Mean over samples and outputs of the squared error from the targets; or cross-entropy of one output a class.
    optimiser : {"sgd", "adam"} or optax.GradientTransformation
        A transformation of yours takes the place of `learning_rate`, `momentum` and `weight_decay`. Make it anew where
        a number that it refers to changes.
    momentum : float
        For "sgd", at least 0 and below 1.
    batch_size : int, optional
        Samples a step; all by default. Each epoch has its own order, and leaves out what does not fill a batch.
    probes : sequence of int, optional
        Epochs at which to look; the start and the end by default.
    weighting : {"paper", "sample", "class", "published"}
        Of `Training.nc1`, and of the mean that NC2 and NC3 are centred at; see `kernel_collapse.collapse`.
    precision : {"float32", "float64"}
        Of parameters and arithmetic.
    raise_on_failure : bool
        Raise if a network diverges; otherwise its `status` says so, with the epoch.

    Returns
    -------
    Training

    Raises
    ------
    ValueError
        If a width is zero, an option unknown, a batch larger than the data set, a probe beyond the last epoch, the
        activation not differentiable, layers are given with samples that are no images, or the precision does not hold
        samples, targets, rates or weights.
    NetworkError
        If a network diverges and `raise_on_failure` is set.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(n=40, dim=2)
    >>> training = kc.networks.train(data, width=50, epochs=300, learning_rate=0.01, seeds=2)
    >>> training.nc1.shape, training.accuracy[:, -1].tolist()
    ((2, 2, 1), [1.0, 1.0])
    """
    check_dataset(dataset)
    _validate.choice(loss, get_args(Loss), "loss")
    _validate.choice(precision, get_args(Precision), "precision")
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    raise_on_failure = _validate.flag(raise_on_failure, "raise_on_failure")
    epochs = _validate.count(epochs, "epochs", least=0, most=_validate.MOST_STEPS)
    batch = _batch(batch_size, len(dataset.x))
    plan = _Plan(
        seeds=_seeds(seeds),
        probes=_probes(probes, epochs),
        batch=batch,
        hyper=_rates(optimiser, learning_rate, momentum, weight_decay, epochs * (len(dataset.x) // batch)),
        loss=loss,
        precision=precision,
    )
    x = dataset.x if layers is None else dataset.images
    starts = tuple(
        initialise(
            x.shape[1] if layers is None else x.shape[1:],
            width=width,
            depth=depth,
            layers=layers,
            outputs=_class_targets(dataset, loss).shape[1],
            activation=activation,
            parameterisation=parameterisation,
            weight_variance=weight_variance,
            readout_variance=readout_variance,
            bias_variance=bias_variance,
            biases=biases,
            seed=seed,
        )
        for seed in plan.seeds
    )
    columns = starts[0].architecture.columns(x)
    _fits(starts, plan)
    _require_steps(starts[0], plan)
    _require_held(dataset, columns, starts, plan)
    trained = _run(dataset, columns, starts, plan)
    training = _collect(dataset, starts, plan, trained, weight_variance, weighting)
    if raise_on_failure:
        training.raise_for_status()
    return training


class _Hyper(NamedTuple):
    """Numbers that the compiled program takes as arguments, and what it is compiled for."""

    traced: tuple[float, ...]
    fixed: Any


class _Plan(NamedTuple):
    """How to train: `batch` samples a step, a look at each of the epochs `probes`, the last of which is the end."""

    seeds: tuple[int, ...]
    probes: tuple[int, ...]
    batch: int
    hyper: _Hyper
    loss: Loss
    precision: Precision


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    if not isinstance(seeds, int | float | np.number):
        given = _validate.several(seeds, "seeds", "3, or (0, 1, 2)")
        chosen = tuple(_validate.seed(seed, "a seed") for seed in given)
        if not chosen:
            raise InputError("seeds", "empty", "at least one seed, or their number")
        return chosen
    return tuple(range(_validate.count(seeds, "seeds", most=MOST_SEEDS)))


def _probes(probes: Sequence[int] | None, epochs: int) -> tuple[int, ...]:
    if probes is None:
        return (0, epochs) if epochs else (0,)
    stops = sorted(
        {_validate.count(p, "a probe epoch", least=0) for p in _validate.several(probes, "probes", "(0, 10)")}
    )
    if not stops or stops[-1] > epochs:
        raise InputError.of("probes", probes, f"epochs from 0 to {epochs}, at least one")
    return tuple(stops) if stops[-1] == epochs else (*stops, epochs)


def _batch(batch_size: int | None, n: int) -> int:
    batch = n if batch_size is None else _validate.count(batch_size, "batch_size")
    if batch > n:
        raise InputError(
            "batch_size", f"{batch}", f"at most the number of samples, {n}", "leave it out for all"
        )
    return batch


def _fits(starts: tuple[Network, ...], plan: _Plan) -> None:
    """Refuse what does not fit into memory: what units are given and their sums, which the backward pass needs."""
    network = starts[0]
    numbers = sum(
        network.architecture.positions(layer) * sum(weights.shape)
        for layer, weights in enumerate(network.weights)
    )
    many = f"{len(starts)} {'networks' if len(starts) > 1 else 'network'} at once"
    needed = np.dtype(plan.precision).itemsize * float(len(starts)) * plan.batch * numbers
    _memory.require(needed, f"training {many}", "give a smaller batch_size or width, or fewer seeds")


def _require_steps(start: Network, plan: _Plan) -> None:
    """Refuse a transformation of the user's that does not make a step of gradients and parameters alone."""
    rule = plan.hyper.fixed
    if not isinstance(rule, optax.GradientTransformation):
        return
    try:
        with jax.enable_x64(plan.precision == "float64"):
            like = jax.tree.map(lambda leaf: jnp.asarray(leaf, plan.precision), start.parameters)
            jax.eval_shape(lambda leaves: rule.update(leaves, rule.init(leaves), leaves), like)
    except Exception as error:  # whatever the user's transformation or JAX raises
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:160].rstrip(".")
        raise InputError(
            "optimiser",
            f"make a step of gradients and parameters alone ({type(error).__name__}: {first})",
            "a transformation that JAX traces and that needs no loss, as optax.adam(1e-3)",
            verb="cannot",
        ) from None


def _require_held(
    dataset: Dataset, columns: Float[np.ndarray, "d n"], starts: tuple[Network, ...], plan: _Plan
) -> None:
    """Refuse what becomes another number in the precision of training."""
    require_held(columns, "the largest entry of x", plan.precision, "scale x")
    if plan.loss == "mse":
        require_held(
            dataset.targets, "the largest entry of targets", plan.precision, "scale the targets", squared=True
        )
        require_apart(_class_targets(dataset, plan.loss), plan.precision)
    rates = zip(("weight_decay", "momentum", "learning_rate"), plan.hyper.traced, strict=False)
    for name, value in rates:
        require_held(value, name, plan.precision, "give another")
        if name == "momentum" and np.dtype(plan.precision).type(value) == 1.0:
            raise InputError("momentum", f"1 in {plan.precision}", "less than 1", "give a smaller one")
    for layer, (weights, scale) in enumerate(zip(starts[0].weights, starts[0].scales.weights, strict=True)):
        what = f"the largest weight of layer {layer + 1} at the start"
        require_held(scale * np.abs(weights).max(), what, plan.precision, "give another variance")


def _rates(optimiser: Any, learning_rate: Any, momentum: float, weight_decay: float, steps: int) -> _Hyper:
    """Return the numbers that may change without compiling anew, and the choice of optimiser."""
    if isinstance(optimiser, optax.GradientTransformation):
        return _Hyper((), optimiser)
    _validate.choice(optimiser, get_args(Optimiser), "optimiser")
    decay = _validate.positive(weight_decay, "weight_decay", zero_allowed=True)
    momentum = _validate.positive(momentum, "momentum", zero_allowed=True)
    if momentum >= 1 or (momentum > 0 and optimiser != "sgd"):
        raise InputError("momentum", f"{momentum:g} with {optimiser!r}", "at least 0 and below 1, and 'sgd'")
    if callable(learning_rate):
        return _Hyper((decay, momentum), (optimiser, momentum > 0, Schedule.of(learning_rate, steps)))
    rate = _validate.positive(learning_rate, "learning_rate")
    return _Hyper((decay, momentum, rate), (optimiser, momentum > 0, None))


def _class_targets(dataset: Dataset, loss: Loss) -> Float[np.ndarray, "C k"]:
    """Return the output that stands for each class."""
    if loss == "cross_entropy":
        return np.eye(len(dataset.class_sizes))
    return class_targets(dataset.labels, dataset.targets)


def _aims(dataset: Dataset, loss: Loss) -> Float[np.ndarray, "k n"]:
    """Return the outputs that every sample should have."""
    if loss == "cross_entropy":
        return np.eye(len(dataset.class_sizes))[dataset.labels].T
    return dataset.targets.T


def _run(
    dataset: Dataset, columns: Float[np.ndarray, "d n"], starts: tuple[Network, ...], plan: _Plan
) -> Trained:
    """Train all networks at once, and return NumPy's arrays."""
    seeds = np.array(plan.seeds, dtype=np.int64)
    if plan.precision == "float32":
        # The orders of batches follow the last 32 bits, for JAX has no others there; the starts follow all.
        seeds = seeds.astype(np.int32)
    with jax.enable_x64(plan.precision == "float64"):
        dtype = jnp.dtype(plan.precision)

        def arrays(tree: Any) -> Any:
            return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)

        membership = np.eye(len(dataset.class_sizes))[dataset.labels]
        of_classes = _class_targets(dataset, plan.loss)
        offset = centre_of(of_classes, plan.precision)
        task = Task(
            arrays(columns),
            arrays(_aims(dataset, plan.loss)),
            jnp.asarray(dataset.labels),
            arrays(of_classes - offset),
            arrays(offset),
            arrays(membership / np.array(dataset.class_sizes, dtype=float)),
            jnp.asarray(first_with_target(of_classes)),
        )
        trained = run(
            arrays(jax.tree.map(lambda *leaves: np.stack(leaves), *(s.parameters for s in starts))),
            arrays(starts[0].scales),
            task,
            arrays(plan.hyper.traced),
            jnp.asarray(seeds),
            jnp.asarray(plan.probes),
            architecture=starts[0].architecture,
            loss=plan.loss,
            fixed=plan.hyper.fixed,
            batch=plan.batch,
        )
        return jax.tree.map(np.asarray, trained)


class _Metrics(NamedTuple):
    """Of every network at every probe: NC1 of each layer by weighting, NC2 of each layer, NC3.

    `lost` is how many values of NC2 and NC3 are NaN because round-off decides about them.
    """

    nc1: np.ndarray  # of dict, (S, P, L)
    nc2: Float[np.ndarray, "S P L 3"]
    nc3: Float[np.ndarray, "S P 2"]
    lost: int


def _metrics(dataset: Dataset, plan: _Plan, seen: Seen, gone: np.ndarray, weighting: Weighting) -> _Metrics:
    """Return them from class means and spreads, in float64; NaN where the network had diverged (`gone`)."""
    sizes = np.array(dataset.class_sizes, dtype=float)
    of_classes = _class_targets(dataset, plan.loss)
    eps = float(np.finfo(plan.precision).eps)
    depth = len(seen.spread)
    # Centred as `kernel_collapse.collapse` has it: about the mean over samples, or over classes.
    share = np.full(len(sizes), 1.0 / len(sizes)) if weighting == "class" else sizes / sizes.sum()
    towards = of_classes - share @ of_classes
    nc1s, nc2s = np.empty((*gone.shape, depth), dtype=object), np.full((*gone.shape, depth, 3), np.nan)
    nc3s = np.full((*gone.shape, 2), np.nan)
    nc1s[gone] = dict.fromkeys(WEIGHTINGS, NC1(np.nan, np.nan, np.nan, "the network had diverged"))
    lost = 0
    for s, p in np.argwhere(~gone):
        for layer in range(depth):
            spread, means = seen.spread[layer][s, p], seen.class_means[layer][s, p]
            nc1s[s, p, layer] = nc1_from_classes(sizes, spread, means, eps=eps)
            of_layer = ClassMeans(means, spread, share, eps)
            nc2s[s, p, layer], more = of_layer.nc2()
            lost += more
        nc3s[s, p], more = of_layer.nc3(towards, seen.readout[s, p])
        lost += more
    return _Metrics(nc1s, nc2s, nc3s, lost)


def _collect(
    dataset: Dataset,
    starts: tuple[Network, ...],
    plan: _Plan,
    trained: Trained,
    weight_variance: float,
    weighting: Weighting,
) -> Training:
    """Return the result; what was seen after a divergence becomes NaN."""
    diverged = trained.watch.diverged
    seen = jax.tree.map(lambda leaf: np.asarray(leaf, dtype=float), trained.seen)
    gone = (diverged[:, None] != NEVER) & (diverged[:, None] <= np.array(plan.probes))
    metrics = _metrics(dataset, plan, seen, gone, weighting)

    def values(name: str) -> np.ndarray:
        found = [getattr(of[weighting], name) for of in metrics.nc1.flat]
        return np.array(found).reshape(metrics.nc1.shape)

    def unless_gone(array: np.ndarray) -> np.ndarray:
        return np.where(gone.reshape(gone.shape + (1,) * (array.ndim - 2)), np.nan, array)

    def networks() -> Iterator[Network]:
        for s, start in enumerate(starts):
            weights, biases = (
                [np.asarray(leaf[s], dtype=float) for leaf in leaves] for leaves in trained.parameters
            )
            yield replace(start, weights=tuple(weights), biases=tuple(biases))

    return Training(
        epochs=np.array(plan.probes),
        seeds=plan.seeds,
        loss=unless_gone(seen.loss),
        loss_error=unless_gone(round_off(seen, _aims(dataset, plan.loss), plan.loss, plan.precision)),
        accuracy=unless_gone(seen.right / len(dataset.labels)),
        within=values("within"),
        between=values("between"),
        nc1=values("ratio"),
        nc2_norms=metrics.nc2[..., 0],
        nc2_angles=metrics.nc2[..., 1],
        nc2_etf=metrics.nc2[..., 2],
        nc3=metrics.nc3[..., 0],
        nc3_cosine=metrics.nc3[..., 1],
        nc4=unless_gone(seen.agreeing / len(dataset.labels)),
        weight_covariance=unless_gone(seen.covariance) * starts[0].weights[0].shape[1] / weight_variance,
        zero_error_epoch=trained.watch.zero_error,
        diverged_epoch=diverged,
        status=tuple(Status.TRAINED if epoch == NEVER else Status.DIVERGED for epoch in diverged),
        networks=tuple(networks()),
        initial_networks=starts,
        _weightings=metrics.nc1,
        _precision=plan.precision,
        _lost=metrics.lost,
        _no_start=tuple(bool(o) for o in (diverged == 0) & ~np.isfinite(trained.watch.limit)),
    )
