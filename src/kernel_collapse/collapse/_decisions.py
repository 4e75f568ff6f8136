"""Which class a sample is put into, by its distances or by a classifier, and where round-off leaves that in doubt."""

from __future__ import annotations

from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._shapes import Float, Int
from kernel_collapse._shared_targets import first_with_target
from kernel_collapse.collapse._round_off import UNITS, Measured

__all__ = ["Nearest", "Shares", "Votes", "decide", "shares", "shares_of", "smallest", "tally"]


class Votes(NamedTuple):
    """For each sample the nearest class, the one decided for, and whether round-off leaves them in doubt.

    Of classes that share a target a classifier decides for the first; `first` has that of each class.
    """

    nearest: Int[Any, " m"]
    nearest_doubt: Any
    decided: Int[Any, " m"] | None = None
    decided_doubt: Any = None
    first: Int[np.ndarray, " C"] | None = None


def decide(
    scores: Float[Any, "m k"],
    of_sample: Float[Any, " m"],
    of_output: Float[Any, " k"],
    class_targets: Float[Any, "C k"],
) -> tuple[Int[Any, " m"], Any, Int[np.ndarray, " C"] | None]:
    """Return the class whose target is nearest to the scores, and whether their errors leave that in doubt.

    Scores err by the product of what is given of the sample and of the output. With one-hot targets the class is that
    of the largest score. Third is the first class with the target of each, None where no two share one.
    """
    xp = _arrays.namespace(scores)
    first = None if _arrays.traced(class_targets) else first_with_target(_arrays.read(class_targets))
    alone = first is None or bool((first == np.arange(len(first))).all())
    own = np.array([]) if alone or first is None else np.unique(first)
    if not alone:
        class_targets = _arrays.rows(class_targets, own)
    class_targets, exponent = _arrays.in_reach(class_targets)
    scores, of_sample = _arrays.shifted(scores, -exponent), _arrays.shifted(of_sample, -exponent)
    half_squares = 0.5 * xp.sum(class_targets * class_targets, axis=1)
    half_squares = half_squares - xp.min(half_squares)  # of one-hot targets 0, however small the scores
    losses = half_squares - scores @ xp.permute_dims(class_targets, (1, 0))
    each = xp.max(xp.abs(class_targets) @ of_output) * of_sample
    best, doubt = smallest(losses, each, xp.zeros_like(half_squares))
    if alone:
        return best, doubt, None
    return xp.asarray(own, device=array_api_compat.device(best))[best], doubt, first


def smallest(
    values: Float[Any, "m C"], of_sample: Float[Any, " m"], of_class: Float[Any, " C"]
) -> tuple[Int[Any, " m"], Any]:
    """Return the column of the least value in each row, and whether another may be as small.

    A value errs by the sum of what is given of its sample and of its class. Those of NumPy are used up.
    """
    xp = _arrays.namespace(values)
    best = xp.argmin(values, axis=1)
    if not _arrays.is_foreign(values):  # in place: these are the largest arrays of all
        here = np.arange(len(values)), best
        least = values[here].copy()
        values -= of_class
        values[here] = np.inf
        return best, ~(values.min(axis=1) > least + of_class[best] + 2.0 * of_sample)
    columns = xp.arange(values.shape[1], device=array_api_compat.device(values))
    itself = columns[None, :] == best[:, None]
    infinite = xp.zeros_like(values) + float("inf")
    least = xp.min(xp.where(itself, values, infinite), axis=1)
    others = xp.min(xp.where(itself, infinite, values - of_class[None, :]), axis=1)
    return best, ~(others > least + xp.take(of_class, best) + 2.0 * of_sample)


class Nearest:
    """The nearest class mean of features about the same origin, and whether round-off leaves it in doubt.

    Of NumPy's arrays distances are told in float32 first, which takes half of the time, and again in float64 for the
    few samples that this leaves in doubt.
    """

    def __init__(self, means: Float[Any, "C p"]) -> None:
        xp = _arrays.namespace(means)
        self.own = _arrays.squares(means)
        self._turned = -2.0 * xp.permute_dims(means, (1, 0))
        self._unit = UNITS * float(xp.finfo(means.dtype).eps)
        if not _arrays.is_foreign(means):
            self._scale = float(np.abs(means).max()) or 1.0
            single = np.float32
            self._single = (
                (self._turned / self._scale).astype(single),
                (self.own / self._scale**2).astype(single),
            )
            # of a sum of p products, and of its factors
            self._single_unit = float(np.finfo(single).eps) * (means.shape[1] + 8)

    def __call__(self, about: Float[Any, "m p"], reach: Float[Any, " m"]) -> tuple[Int[Any, " m"], Any]:
        """Return the classes and the doubts; `reach` is no less than half of the squared lengths."""
        if _arrays.is_foreign(about):
            return self._exactly(about, reach)
        turned, own = self._single
        with np.errstate(over="ignore", invalid="ignore"):  # far away samples are in doubt
            distances = (about / self._scale).astype(np.float32) @ turned
            distances += own
            of_sample = (self._single_unit / self._scale**2 * reach).astype(np.float32)
            best, doubt = smallest(distances, of_sample, np.float32(self._single_unit) * own)
        some = np.flatnonzero(doubt)
        if len(some):
            best[some], doubt[some] = self._exactly(about[some], reach[some])
        return best, doubt

    def _exactly(self, about: Float[Any, "m p"], reach: Float[Any, " m"]) -> tuple[Int[Any, " m"], Any]:
        return smallest(about @ self._turned + self.own, self._unit * reach, self._unit * self.own)


class Shares(NamedTuple):
    """Shares of samples: of all of them, and NC4 of each class with how much of it is in doubt."""

    of_all: dict[str, Measured]
    by_class: tuple[Float[Any, " C"], Float[Any, " C"]] | None = None


def tally(votes: Votes, own: Int[np.ndarray, " m"], like: Float[Any, " C"]) -> dict[str, tuple[Any, Any]]:
    """Return how many samples of each class agree in each sense, and how many are in doubt.

    Numbers of the type of `like`, which has as many as there are classes.
    """
    xp = _arrays.namespace(votes.nearest)
    mine = xp.asarray(own, device=array_api_compat.device(votes.nearest))

    def count(agree: Any, doubt: Any) -> tuple[Any, Any]:
        found = [
            _arrays.segment_sum(xp.astype(told, like.dtype), own, like.shape[0]) for told in (agree, doubt)
        ]
        return found[0], found[1]

    found = {"ncm_accuracy": count(votes.nearest == mine, votes.nearest_doubt)}
    if votes.decided is not None:
        either = votes.nearest_doubt | votes.decided_doubt
        near, here = votes.nearest, mine
        if votes.first is not None:
            first = xp.asarray(votes.first, device=array_api_compat.device(mine))
            near, here = first[near], first[mine]
        found["nc4"] = count(votes.decided == near, either)
        found["accuracy"] = count(votes.decided == here, votes.decided_doubt)
    return found


def shares(tallies: list[dict[str, tuple[Any, Any]]], sizes: Int[np.ndarray, " C"]) -> Shares:
    """Return shares of the samples from the tallies of their parts; `sizes` is how many there are of each class."""
    added = {name: tuple(sum(part[name][i] for part in tallies) for i in (0, 1)) for name in tallies[0]}
    return shares_of({name: (*both, sizes) for name, both in added.items()})


def shares_of(counts: dict[str, tuple[Any, Any, np.ndarray]]) -> Shares:
    """Return shares of samples from how many agree, how many are in doubt and how many there are, class by class.

    NaN of none. NC4 of a class without a sample is NaN, and left out of the mean over classes.
    """
    found, by_class = {}, None
    for name, (agree, doubt, sizes) in counts.items():
        xp, n = _arrays.namespace(agree), float(sizes.sum()) or float("nan")
        found[name] = Measured(xp.sum(agree) / n, xp.sum(doubt) / n, 1.0)
        if name == "nc4":
            # Divided, because the product of n and 1 / n may be less than 1.
            each = _arrays.like(np.where(sizes > 0, sizes, np.nan), agree)
            by_class = agree / each, doubt / each
            least = _arrays.like(np.maximum(sizes, 1).astype(float), agree)
            count = float((sizes > 0).sum()) or float("nan")
            found["nc4_classwise"] = Measured(
                xp.sum(agree / least) / count, xp.sum(doubt / least) / count, 1.0
            )
    return Shares(found, by_class)
