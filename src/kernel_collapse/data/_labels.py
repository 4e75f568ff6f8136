"""What the labels in a file mean: the rule by which text is a number, and labels that look like one another."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from kernel_collapse._input_error import InputError
from kernel_collapse._labels import truths
from kernel_collapse._shapes import Int

__all__ = ["alike", "as_written", "codes_like", "folded"]

#: Whole numbers that are written in one way only, so that text and number are the same label.
_PLAIN_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,99}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


def as_written(texts: Sequence[str]) -> list[Any]:
    """Return labels from text: whole numbers if every one is a plain integer, else the text as it is written.

    A plain integer has digits and perhaps a minus sign: no plus sign, no leading zero, no white space, no decimal
    point. So 7 and 007, or 1 and 1.0, stay two labels, and no digit of a long number is lost.
    """
    if all(_PLAIN_INTEGER.fullmatch(text) for text in dict.fromkeys(texts)):
        return [int(text) for text in texts]
    return list(texts)


def folded(value: Any) -> str:
    """Return what a name has in common with others that differ from it in white space, case or notation alone."""
    text = " ".join(unicodedata.normalize("NFKC", str(value)).split()).casefold()
    return str(Fraction(text)) if _NUMBER.fullmatch(text) else text  # to the last digit, as a float is not


def alike(values: Iterable[Any]) -> list[list[Any]]:
    """Return the groups of two or more names that differ in white space, case or notation alone."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for value in values:
        if isinstance(value, str | int | float):
            groups[folded(value)].append(value)
    return [group for group in groups.values() if len(group) > 1]


def codes_like(labels: Sequence[Any], classes: Sequence[Any], where: str = "") -> Int[np.ndarray, " m"]:
    """Return the indices of held-out labels among the classes of the training samples.

    A label is a class if the two are equal or are written in the same way: the text "7" is the class 7. True equals 1
    in Python but is not written so, and neither is the class of the other.

    Raises
    ------
    ValueError
        If a label is none of the classes.
    """
    known = {(truths(label), label): i for i, label in enumerate(classes)}
    written = {str(label): i for i, label in reversed(list(enumerate(classes)))}
    keys = [(truths(label), label) for label in labels]
    found = {key: known.get(key, written.get(str(key[1]))) for key in dict.fromkeys(keys)}
    for (_, label), code in found.items():
        if code is None:
            close = [known for known in classes if folded(known) == folded(label)]
            hint = (
                f"{label!r} and {close[0]!r} differ in white space, case or notation alone, write both in one way"
                if close
                else "drop those samples, or split by class"
            )
            shown = ", ".join(map(repr, classes[:10])) + (", ..." if len(classes) > 10 else "")
            raise InputError(
                f"the held-out class {label!r}{where}",
                "no training sample",
                f"classes among {shown}",
                hint,
                verb="has",
            )
    return np.array([found[key] for key in keys], dtype=np.int64)
