"""From passes over batches to a record: one pass or two, in one process or in several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.collapse import WEIGHTINGS, Weighting
from kernel_collapse.recording._record import Record
from kernel_collapse.recording._streams import Streams

__all__ = ["DECIDE", "Alone", "Batch", "Wanted", "collect", "refuse_decide"]

#: How samples are put to the nearest class mean, beside a record of a pass before.
DECIDE = ("second pass", "none")


class Batch(NamedTuple):
    """What a batch of samples is to the layers."""

    features: Mapping[str, Any]
    labels: Any
    logits: Any = None


@dataclass(frozen=True)
class Wanted:
    """What is asked of a record.

    Attributes
    ----------
    n_classes : int
    metrics : {"all", "traces"}
    weighting : as for `kernel_collapse.collapse`
    decide : {"second pass", "none"} or Record
    """

    n_classes: int
    metrics: str = "all"
    weighting: Weighting = "paper"
    decide: str | Record = "second pass"


class Alone:
    """One process; what several do instead is in `kernel_collapse.torch`."""

    def agree(self, error: Exception | None) -> None:
        """Raise the error, if there is one in any process."""
        if error is not None:
            raise error

    def merge(self, streams: Streams) -> None:
        """Give each process the sums of all."""

    def share_decisions(self, streams: Streams) -> None:
        """Give each process the decisions of all."""


def refuse_decide(decide: Any, batches: Any) -> None:
    """Refuse what `decide` cannot be, and batches that can be read once where two passes are asked for."""
    if not isinstance(decide, Record):
        _validate.choice(decide, DECIDE, "decide")
    if not isinstance(batches, Iterable):
        raise InputError.of(
            "the loader", batches, "something to go through batch by batch, as a DataLoader or a list"
        )
    if decide == "second pass" and isinstance(batches, Iterator):
        raise InputError(
            "the loader",
            "an iterator, which can be read once",
            "an iterable that can be read again, because nc4 and ncm_accuracy need the class means first",
            "give a list or a DataLoader, or decide='none', or decide= a record of a pass before",
        )


def collect(
    passes: Callable[[], Iterable[Batch]],
    wanted: Wanted,
    classifiers: Callable[[Sequence[str]], Mapping[str, tuple[Any, Any]]],
    processes: Alone | None = None,
    classifier: str = "",
) -> Record:
    """Return the record of batches, which `passes` starts again for each pass.

    Parameters
    ----------
    passes : callable
        Returns the batches from the first.
    wanted : Wanted
    classifiers : callable
        Of the names of the layers: weights and bias of those that a classifier follows.
    processes : Alone, optional
        Who merges what several processes see.
    classifier : str
        What the classifier is called.
    """
    _validate.choice(wanted.weighting, WEIGHTINGS, "weighting")
    processes = processes or Alone()
    before = wanted.decide if isinstance(wanted.decide, Record) else None
    streams = Streams(
        wanted.n_classes, metrics=wanted.metrics, class_means=None if before is None else before.class_means
    )
    _each(passes, streams.update, processes)
    processes.merge(streams)
    decided = "not decided" if before is None else "class means of a record before"
    if wanted.decide == "second pass":
        _each(passes, streams.decide, processes)
        processes.share_decisions(streams)
        decided = "second pass"
    found = streams.collapses(classifiers([*streams.accumulators]), wanted.weighting)
    return Record(
        collapses=found,
        class_means={layer: seen.class_means for layer, seen in streams.accumulators.items()},
        counts=next(iter(streams.accumulators.values())).counts,
        decided=decided,
        classifier=classifier,
    )


def _each(passes: Callable[[], Iterable[Batch]], take: Callable[..., None], processes: Alone) -> None:
    """Give every batch to a method of the streams; a process that fails says so to the others."""
    failed: Exception | None = None
    try:
        number = -1
        for number, batch in enumerate(passes()):
            take(number, batch.features, batch.labels, batch.logits)
        if number < 0:
            raise InputError("the loader", "empty", "a batch at least", "is the data set empty, or used up?")
    except Exception as error:  # whatever a model or a loader raises: the other processes wait for this one
        failed = error
    processes.agree(failed)
