"""The one error of bad input: four facts, rendered to one sentence."""

from __future__ import annotations

from typing import Any, Self

__all__ = ["InputError", "KernelRefused", "UnknownName", "shown"]


class InputError(ValueError):
    """The error for input that is refused. It says what was given, what is expected, and what to try.

    ``str`` of the error is the sentence "WHAT is GIVEN, expected EXPECTED: HINT.". No code reads that sentence again.
    A program that needs the details uses the fields. The error can be pickled, so a worker can send it.

    Parameters
    ----------
    what : str
        The argument, key, option or file that is refused, by the name that its user knows.
    given : str
        What was given, or what is wrong with it, as the sentence says it.
    expected : str
        What would be accepted.
    hint : str
        What to try; empty where `expected` says it all.
    verb : str
        The verb between `what` and `given`; empty if `given` has its own verb.

    Attributes
    ----------
    what, given, expected, hint, verb : str
        The parameters.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> try:
    ...     kc.nngp([[1.0]], depth=0)
    ... except kc.InputError as error:
    ...     print(error)
    ...     print(error.what, "|", error.given, "|", error.expected)
    depth is 0, expected a whole number that is at least 1.
    depth | 0 | a whole number that is at least 1
    """

    what: str
    given: str
    expected: str
    hint: str
    verb: str

    def __init__(self, what: str, given: str, expected: str, hint: str = "", verb: str = "is") -> None:
        super().__init__(what, given, expected, hint, verb)
        self.what, self.given, self.expected, self.hint, self.verb = what, given, expected, hint, verb

    @classmethod
    def of(cls, what: str, value: Any, expected: str, hint: str = "", verb: str = "is") -> Self:
        """Return the refusal of a value, whatever object it is."""
        return cls(what, shown(value), expected, hint, verb)

    def __str__(self) -> str:
        subject = f"{self.what} {self.verb}" if self.verb else self.what
        sentence = f"{subject} {self.given}, expected {self.expected}"
        if self.hint:
            sentence += f": {self.hint}"
        return sentence if sentence.endswith("?") else f"{sentence}."


class KernelRefused(InputError):
    """The refusal of values that are no inner products of features in their precision, whoever made them."""

    def as_reason(self, hint: str) -> str:
        """Return why a row has no numbers, of a kernel that is one but for round-off."""
        found = " ".join(filter(None, (self.what, self.verb, self.given)))
        return f"float64 does not resolve this kernel on these samples ({found}): {hint}"


class UnknownName(InputError, KeyError):
    """The error for a name that a result does not have: also a `KeyError`, as of any other mapping."""


def shown(value: Any) -> str:
    """Return an object as a sentence shows it: on one line, cut where it is long."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whatever an object's own repr raises; Python writes no whole number of 5,000 digits
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
