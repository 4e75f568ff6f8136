"""What every specification is, of data and of measurements, and how their results are stored."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator

from kernel_collapse._input_error import InputError
from kernel_collapse.collapse import NC1, Collapse, Weighting

__all__ = ["Results", "Specification", "flat", "why_no_nc1", "with_reasons"]

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
        """Refuse true and "9" where numbers belong, and "no" and 0 where true or false does.

        Pydantic makes 1 and 9 of the first, alone or in a list, and false of the others. Of -0.0 is made 0.0.
        """
        kinds = _kinds(cls)
        for key, value in given.items() if isinstance(given, dict) else ():
            held = kinds.get(key, _ANYTHING)
            for part in _parts(value):
                text, number = isinstance(part, str | bytes), isinstance(part, int | float)
                if isinstance(part, bool):
                    if bool not in held:
                        raise InputError.of(key, value, "a number or a name", "true and false are neither")
                elif held == {bool} and (text or number):
                    plain = part in ("true", "false")
                    raise InputError.of(
                        key, part, "true or false", "write it without quotation marks" if plain else ""
                    )
                elif held <= _NUMBERS and text:
                    raise InputError.of(key, part, "a number", "write it without quotation marks")
        return (
            {key: _positive_zero(value) for key, value in given.items()} if isinstance(given, dict) else given
        )


def _positive_zero(value: Any) -> Any:
    """Return 0.0 for -0.0, which is the same number and another text."""
    if isinstance(value, list | tuple):
        return [_positive_zero(part) for part in value]
    return 0.0 if isinstance(value, float) and value == 0.0 else value


#: What a key that there is not, which is refused by its name, or one of any type can hold.
_ANYTHING = frozenset({object})
_NUMBERS = frozenset({bool, int, float})


@cache
def _kinds(specification: type[Specification]) -> dict[str, frozenset[Any]]:
    """Return the types of what a key holds, alone or in a list, None left out: a run is read with many thousands."""
    return {
        key: frozenset(_leaves(field.annotation)) - {type(None)}
        for key, field in specification.model_fields.items()
    }


def _leaves(kind: Any) -> Iterator[Any]:
    """Yield the types of a key: those of a union, and those of the entries of a list."""
    if get_origin(kind) is Literal:
        yield from map(type, get_args(kind))
    elif get_origin(kind) is Annotated:
        yield from _leaves(get_args(kind)[0])
    elif get_args(kind):
        for inner in get_args(kind):
            yield from () if inner is Ellipsis else _leaves(inner)
    else:
        yield kind


def _parts(value: Any) -> Iterator[Any]:
    """Yield what is in a list, and in the lists in it; a value alone is its only part."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
    else:
        yield value


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


def why_no_nc1(found: Collapse) -> str:
    """Return why NC1 is missing, if it is: what the other metrics lack is not asked for."""
    return found.reason if math.isnan(found.nc1) else ""


def with_reasons(results: Results, *reasons: str) -> Results:
    """Return results with more reasons why a number is missing or rough; without any, there is no such entry."""
    every = [results.get("reason", ""), *reasons]
    said = "; ".join(dict.fromkeys(filter(None, every)))
    return results | {"reason": said} if said else results
