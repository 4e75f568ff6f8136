"""What every specification is, of data and of measurements, and how their results are stored."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from kernel_collapse._input_error import InputError
from kernel_collapse.collapse import NC1, Weighting

__all__ = ["Results", "Specification", "flat", "with_reasons"]

#: What is stored of a trial: numbers, words, and curves.
Results = dict[str, Any]


class Specification(BaseModel):
    """Frozen, and an unknown key is an error rather than a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def fixed(cls, name: str) -> tuple[str, ...]:
        """Return the keys that one of that name does not have, though others of the class do."""
        return ()

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, given: Any) -> Any:
        """Refuse true and "9" where a number belongs, of which pydantic makes 1 and 9, and write 0.0 for -0.0."""
        truths, numbers = _kinds(cls)
        for key, value in given.items() if isinstance(given, dict) else ():
            parts = value if isinstance(value, list | tuple) else (value,)
            if key not in truths and any(isinstance(part, bool) for part in parts):
                raise InputError.of(key, value, "a number or a name", "true and false are neither")
            if key in numbers and isinstance(value, str):
                raise InputError.of(key, value, "a number", "write it without quotation marks")
        return (
            {key: _positive_zero(value) for key, value in given.items()} if isinstance(given, dict) else given
        )


def _positive_zero(value: Any) -> Any:
    """Return 0.0 for -0.0, which is the same number and another text."""
    if isinstance(value, list | tuple):
        return [_positive_zero(part) for part in value]
    return 0.0 if isinstance(value, float) and value == 0.0 else value


@cache
def _kinds(specification: type[Specification]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the keys that can be true or false, and those that are one number: a run is read with many thousands."""
    kinds = {key: field.annotation for key, field in specification.model_fields.items()}
    truths = frozenset(key for key, kind in kinds.items() if bool in (kind, *get_args(kind)))
    return truths, frozenset(key for key, kind in kinds.items() if kind in (int, float))


def flat(values: dict[Weighting, NC1]) -> Results:
    """Return NC1 under every weighting as it is stored, and why a number is missing or rough."""
    found: Results = {}
    for weighting, value in values.items():
        found |= {
            f"within_{weighting}": value.within,
            f"between_{weighting}": value.between,
            f"nc1_{weighting}": value.ratio,
        }
    return with_reasons(found, *(value.reason for value in values.values()))


def with_reasons(results: Results, *reasons: str) -> Results:
    """Return results with more reasons why a number is missing or rough; without any, there is no such entry."""
    every = [results.get("reason", ""), *reasons]
    said = "; ".join(dict.fromkeys(filter(None, every)))
    return results | {"reason": said} if said else results
