"""Single numbers, names and sizes at the door: their kinds, ranges and limits.

A limit is stated where a number beyond it could only hang the program or fill the memory.
"""

from __future__ import annotations

import difflib
import inspect
import math
import os
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np

from kernel_collapse._input_error import InputError, shown

__all__ = [
    "MOST_LAYERS",
    "MOST_SEED",
    "MOST_STEPS",
    "MOST_WORKERS",
    "choice",
    "confidence",
    "count",
    "finite",
    "fits",
    "flag",
    "function",
    "instance",
    "moderate",
    "positive",
    "probability",
    "seed",
    "share",
    "size",
    "text",
]

T = TypeVar("T")

#: Hidden layers: each is a pass over the whole Gram matrix, and no kernel changes in the digits beyond some thousands.
MOST_LAYERS = 10_000
#: Threads.
MOST_WORKERS = 1024
#: Steps, draws, epochs and the like: years of work.
MOST_STEPS = 10**9
#: Seeds: what NumPy and JAX both take.
MOST_SEED = 2**63 - 1


def choice(value: object, options: Iterable[str], what: str) -> str:
    """Return `value` if it is one of `options`; else suggest the closest names."""
    names = list(options)
    if isinstance(value, str) and value in names:
        return value
    said = str(value)[:100].lower() if isinstance(value, str) else ""
    close = difflib.get_close_matches(said, names, n=3, cutoff=0.5)
    close = close or [name for name in names if len(said) > 2 and said in name.lower()][:3]
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "choose one of these"
    raise InputError.of(what, value, f"one of {', '.join(names)}", hint)


def count(value: Any, what: str, *, least: int = 1, most: int | None = None) -> int:
    """Return a whole number from `least` to `most`; 3.0 is 3, True and 1.5 are refused."""
    number = int(value) if _is_finite(value) else least - 1
    if number < least or number != value:
        raise InputError.of(what, value, f"a whole number that is at least {least}")
    if most is not None and number > most:
        raise InputError.of(what, value, f"a whole number that is at most {most}", "lower it")
    return number


def seed(value: Any, what: str = "seed") -> int:
    """Return the seed of a generator."""
    return count(value, what, least=0, most=MOST_SEED)


def positive(value: Any, what: str, *, zero_allowed: bool = False) -> float:
    """Return a finite number that is positive (or zero, if allowed) as a float."""
    if not _is_finite(value) or value < 0 or (value == 0 and not zero_allowed):
        kind = "zero or more" if zero_allowed else "more than zero"
        raise InputError.of(what, value, f"a finite number that is {kind}")
    return float(value) + 0.0  # a negative zero becomes a plain one


def moderate(value: Any, what: str, *, zero_allowed: bool = False) -> float:
    """Return a positive number (or zero, if allowed) that may be multiplied by others and squared."""
    number = positive(value, what, zero_allowed=zero_allowed)
    if number and not 1e-100 <= number <= 1e100:
        raise InputError.of(what, value, "a number from 1e-100 to 1e100", "powers of it must be float64")
    return number


def finite(value: Any, what: str) -> float:
    """Return a finite number as a float."""
    if not _is_finite(value):
        raise InputError.of(what, value, "a finite number")
    return float(value)


def _is_finite(value: Any) -> bool:
    """Whether it is a real number that a float can hold; True and False are none."""
    if isinstance(value, bool | np.bool_ | np.timedelta64):  # a span of time is an integer to NumPy
        return False
    if not isinstance(value, int | float | np.integer | np.floating):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # of a whole number
        return False


def size(n: int, dim: int) -> None:
    """Refuse samples that no memory holds."""
    if n * dim > 2**40:
        raise InputError(
            f"n = {shown(n)} samples of dim = {shown(dim)} features",
            f"{shown(n * dim)} numbers",
            "at most 2^40 (8 TB)",
            "lower either",
            verb="are",
        )


def fits(numbers: int, what: str, hint: str) -> None:
    """Refuse, before it is begun, what the memory of this machine does not hold in float64."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        memory = 2**43
    if 8 * numbers > memory:
        needed = (
            f"{8 * numbers / 2**30:.3g} GiB" if numbers < 2**60 else "more memory than there is in the world"
        )
        raise InputError(
            what,
            f"take {needed}",
            f"at most the {memory / 2**30:.3g} GiB of this machine",
            hint,
            verb="would",
        )


def instance(value: Any, kind: type[T], what: str, hint: str) -> T:
    """Return the value if it is of that kind."""
    if not isinstance(value, kind):
        raise InputError(what, f"of type {type(value).__name__}", f"a {kind.__name__}", hint)
    return value


def text(value: Any, what: str) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise InputError.of(what, value, "a text in quotation marks")
    return value


def function(value: Any, what: str, meaning: str, *, arguments: int) -> Any:
    """Return what can be called with so many arguments."""
    fits_ = callable(value)
    try:
        inspect.signature(value).bind(*range(arguments))
    except TypeError:
        fits_ = False
    except ValueError:  # what is written in C may not tell
        pass
    if not fits_:
        raise InputError.of(what, value, "a function", f"{meaning}")
    return value


def flag(value: Any, what: str) -> bool:
    """Return True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InputError.of(what, value, "True or False")
    return bool(value)


def share(value: Any, what: str) -> float:
    """Return a number from 0 to less than 1 as a float."""
    number = positive(value, what, zero_allowed=True)
    if number >= 1.0:
        raise InputError.of(what, value, "0 or more and less than 1, say 0.1")
    return number


def probability(value: Any, what: str) -> float:
    """Return a number strictly between 0 and 1 as a float."""
    number = positive(value, what)
    if number >= 1.0:
        raise InputError.of(what, value, "a number between 0 and 1, say 0.95")
    return number


def confidence(value: Any) -> float:
    """Return the probability of an interval, away from 0 and 1 where its width is 0 or infinite."""
    number = probability(value, "confidence")
    if not 1e-3 <= number <= 1.0 - 1e-9:
        raise InputError.of(
            "confidence",
            value,
            "a number from 0.001 to 1 - 1e-9, say 0.95",
            "the normal approximation does not hold beyond these limits",
        )
    return number
