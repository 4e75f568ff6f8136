"""What other packages register under entry points: loaded one by one, and refused whole where it is not sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint
from typing import Any

from kernel_collapse._input_error import InputError

__all__ = ["load"]

OWN = "kernel-collapse"


def load(
    entries: Iterable[EntryPoint], take: Callable[[Any], None], expected: str, others: str
) -> tuple[str, ...]:
    """Load entry points and take what each has; return a sentence on each that cannot be loaded or taken.

    Those of this library come first, so that whoever takes one of its names is refused. `take` raises before it
    changes anything. `expected` is what an entry holds; `others` is what works without it.
    """
    faults: list[str] = []
    for entry in sorted(entries, key=lambda entry: (not _own(entry), entry.name)):
        try:
            take(entry.load())
        except InputError as error:
            faults.append(_sentence(entry, str(error).rstrip("."), expected, "change that package", others))
        except (Exception, SystemExit) as error:  # whatever another package raises as it is imported
            why = " ".join(f"{type(error).__name__}: {error}".split())
            faults.append(_sentence(entry, why, expected, "install that package again", others))
    return tuple(faults)


def _own(entry: EntryPoint) -> bool:
    return entry.dist is not None and entry.dist.name == OWN


def _sentence(entry: EntryPoint, why: str, expected: str, hint: str, others: str) -> str:
    return (
        f"what {entry.name!r} adds ({entry.value}) cannot be loaded ({why}), expected {expected}: {hint}; "
        f"all other {others} work."
    )
