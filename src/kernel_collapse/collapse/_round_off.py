"""How far round-off reaches into a metric, and what is said of it.

Every metric comes with a bound of its error. Up to `SILENT` of the metric the value stands by itself. Up to `GIVEN` the
value is given and `reason` tells its error. Beyond, the metric is NaN and `reason` says what to do.

A Gram matrix is taken to err, in an average of its entries, by `UNITS` units of round-off of the precision that it was
given in, relative to the squares on its diagonal. Its own entries may say that it errs by more: in exact arithmetic no
K_ij is larger than (K_ii + K_jj) / 2, so that the largest excess is an error that was made.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _arrays

__all__ = [
    "COINCIDE",
    "FEATURES",
    "GIVEN",
    "LEAST",
    "SILENT",
    "UNITS",
    "Measured",
    "Source",
    "of_gram",
    "settle",
]

#: Errors relative to a metric: up to the first nothing is said, up to the second the value is given.
SILENT, GIVEN = 1e-3, 0.1
#: Units of round-off, each half of the gap between 1 and the next number.
UNITS = 4.0
#: A metric that lies between 0 and about 1 has its error compared with no less than this.
LEAST = 1e-3

COINCIDE = "the class means coincide to within round-off, so there is no spread to compare with"
TOGETHER = "the samples of each class coincide to within round-off, so that NC1 is 0 or too small to be seen"


class Source(NamedTuple):
    """Where round-off comes from, and what can be done about it."""

    what: str
    hint: str


FEATURES = Source(
    "the features", "give them in float64, and multiply them by a number if they are tiny or huge"
)


def of_gram(eps: float) -> Source:
    """Return the source for a Gram matrix that was given in the precision of that eps."""
    if eps > 1e-15:
        name = "float32" if eps < 1e-4 else "float16"
        return Source(
            f"the {name} Gram matrix",
            "make it in float64, of centred features, or use the functions that end in _from_features",
        )
    return Source(
        "the Gram matrix",
        "make it in float64 of centred features, or use the functions that end in _from_features",
    )


class Measured(NamedTuple):
    """A metric, a bound of its error, and the size below which that bound is compared with this size."""

    value: Any
    error: Any
    least: float = 0.0


def settle(metrics: dict[str, Measured], source: Source) -> tuple[dict[str, Any], str]:
    """Return the metrics, NaN where they are not resolved, and what is to be said of them.

    A metric that is NaN already is left to whoever found that out.
    """
    values: dict[str, Any] = {}
    lost, rough = [], []
    for name, (value, error, least) in metrics.items():
        xp = _arrays.namespace(value, error)
        value = value if _arrays.is_foreign(value) else np.asarray(value)
        size = xp.maximum(xp.abs(value), xp.zeros_like(value) + least)
        resolved = (error <= GIVEN * size) & (size < float("inf"))
        values[name] = xp.where(resolved, value, xp.zeros_like(value) + float("nan"))
        if _arrays.staged(value) or _arrays.staged(error) or _arrays.number(xp.isnan(value)):
            continue
        if not bool(resolved):
            lost.append(name)
        elif not bool(error <= SILENT * size):
            share = _arrays.number(error) / _arrays.number(size)
            small = _arrays.number(size) > abs(_arrays.number(value))
            rough.append(f"{_arrays.number(error):.1g} in {name}" if small else f"{share:.1%} in {name}")
    return values, _sentence(lost, rough, source)


def _sentence(lost: list[str], rough: list[str], source: Source) -> str:
    found = [f"leaves {_listed(lost)} unresolved"] if lost else []
    found += [f"may be up to {_listed(rough)}"] if rough else []
    return f"round-off in {source.what} {' and '.join(found)}: {source.hint}" if found else ""


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
