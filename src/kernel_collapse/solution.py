"""The common result of solvers, samplers and training: a value, how it ended, its certificate and its cost.

A failure is a value too. `Solution.raise_for_status` turns it into an error, which ``raise_on_failure=True`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

from kernel_collapse import _results

__all__ = ["Solution", "SolutionError", "Status"]


class Status(StrEnum):
    """How a computation ended; `sentence` says what it means, and what to try.

    Examples
    --------
    >>> from kernel_collapse.solution import Status
    >>> Status("max_points").sentence
    'the requested error is not reached with the allowed points; raise max_points.'
    """

    CONVERGED = "converged", "the requested accuracy is reached."
    PRECISION_LIMIT = (
        "precision_limit",
        "round-off ends the descent above the tolerance (see round_off); raise noise_variance if the residual matters.",
    )
    MAX_ITERATIONS = "max_iterations", "the descent was cut off; raise the limit that was given."
    NOT_FINITE = (
        "not_finite",
        "the problem is not finite in float64; raise noise_variance, scale x down, or drop duplicated samples.",
    )
    TOO_FEW_SAMPLES = (
        "too_few_samples",
        "the Monte Carlo error of NC1 is above the requested accuracy, or unknown (inf) because too few particles "
        "carry the weight; raise particles or accuracy, or width or noise_variance, which bring the density closer to "
        "a Gaussian.",
    )
    TOO_FEW_DRAWS = (
        "too_few_draws",
        "the chains agree, but the requested error is not reached; raise draws.",
    )
    NOT_MIXED = (
        "not_mixed",
        "the chains do not agree, or have too few independent draws to tell; raise draws and warmup, or "
        "noise_variance: a posterior with tiny noise mixes slowly.",
    )
    DIVERGENCES = (
        "divergences",
        "many trajectories diverged; raise acceptance or warmup, give a smaller step_size, or raise noise_variance.",
    )
    RESOLVED = "resolved", "every number is resolved in float64."
    SINGULAR = (
        "singular",
        "the kernel is singular to round-off; raise ridge, lower bandwidth, or drop samples of one direction.",
    )
    MAX_POINTS = "max_points", "the requested error is not reached with the allowed points; raise max_points."
    TRAINED = "trained", "the loss was in proportion to the last epoch."
    DIVERGED = "diverged", "the loss was not finite or out of all proportion; lower learning_rate."

    sentence: str

    def __new__(cls, value: str, sentence: str) -> Status:
        """Make the member, a string with its sentence."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


class SolutionError(RuntimeError):
    """The error of a computation that did not end as requested. `status` says how it ended."""

    def __init__(self, message: str, status: Status | tuple[Status, ...] | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """The result of a computation: what it found, how it ended, how far to trust it and what it cost.

    Attributes
    ----------
    status : Status
        How it ended; of several networks, a tuple with one for each.
    """

    status: Status | tuple[Status, ...]

    #: What `raise_for_status` raises, and the ends after which it does not.
    _error: ClassVar[type[SolutionError]] = SolutionError
    _successes: ClassVar[tuple[Status, ...]] = (Status.CONVERGED,)
    #: What a status means here, where that is more than its own sentence.
    _sentences: ClassVar[Mapping[Status, str]] = {}
    #: The attributes that are the value, the certificate and the cost.
    _value: ClassVar[str]
    _certificate: ClassVar[tuple[str, ...]]
    _cost: ClassVar[tuple[str, ...]]
    #: The numbers of each of its `layers` that a notebook shows.
    _of_layers: ClassVar[tuple[str, ...]] = ()

    @property
    def value(self) -> Any:
        """What was asked for: the kernel, a ratio, the trained networks."""
        return getattr(self, self._value)

    @property
    def certificate(self) -> dict[str, Any]:
        """What says how far to trust the value, by the names of the attributes."""
        return {name: getattr(self, name) for name in self._certificate}

    @property
    def cost(self) -> dict[str, Any]:
        """What it took, by the names of the attributes."""
        return {name: getattr(self, name) for name in self._cost}

    @property
    def failures(self) -> tuple[Status, ...]:
        """Every status that is no success; empty if all went well."""
        ends = (self.status,) if isinstance(self.status, Status) else self.status
        return tuple(status for status in ends if status not in self._successes)

    @property
    def sentence(self) -> str:
        """What the status means here, and what to try; of several, the first that failed."""
        ends = (self.status,) if isinstance(self.status, Status) else self.status
        status = (self.failures or ends)[0]
        return self._sentences.get(status, status.sentence)

    @property
    def explanation(self) -> str:
        """The status with its numbers, and what to try."""
        return self.sentence

    def raise_for_status(self) -> Self:
        """Return this solution if it is one.

        Raises
        ------
        SolutionError
            Otherwise, of the class that its solver documents (`AdaptiveError`, `networks.NetworkError`).
        """
        if self.failures:
            raise self._error(self.explanation, self.status)
        return self

    def _layer_table(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Return headings and rows of the table of the layers; no headings where there is none."""
        rows = [
            (k, *(getattr(layer, name) for name in self._of_layers))
            for k, layer in enumerate(getattr(self, "layers", ()), 1)
        ]
        return ("layer", *self._of_layers) if self._of_layers else (), rows

    def _repr_html_(self) -> str:
        """Return what a notebook shows: value or layers, certificate and cost, to four digits, and how it ended."""
        names = (self._value, *self._certificate, *self._cost)
        numbers = [(name, value) for name in names if isinstance(value := getattr(self, name), int | float)]
        headings, rows = self._layer_table()
        layers = _results.as_html("Layers", headings, rows, ()) if headings else ""
        table = _results.as_html(type(self).__name__, ("", "value"), numbers, (self.explanation,))
        return f"<div>{table}{layers}</div>"
