"""What every specification is, of data and of measurements, and how their results are stored."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from kernel_collapse._input_error import InputError
from kernel_collapse.collapse import NC1, Weighting

__all__ = ["Results", "Specification", "flat"]

#: What is stored of a trial: numbers, words, and curves.
Results = dict[str, Any]


class Specification(BaseModel):
    """Frozen, and an unknown key is an error rather than a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, given: Any) -> Any:
        """Refuse true and "9" where a number belongs, of which pydantic makes 1 and 9."""
        for key, value in given.items() if isinstance(given, dict) else ():
            kind = cls.model_fields[key].annotation if key in cls.model_fields else None
            parts = value if isinstance(value, list | tuple) else [value]
            if bool not in (kind, *get_args(kind)) and any(isinstance(part, bool) for part in parts):
                raise InputError.of(key, value, "a number or a name", "true and false are neither")
            if kind in (int, float) and isinstance(value, str):
                raise InputError.of(key, value, "a number", "write it without quotation marks")
        return given


def flat(values: dict[Weighting, NC1]) -> Results:
    """Return NC1 under every weighting as it is stored."""
    found: Results = {}
    for weighting, value in values.items():
        found |= {
            f"within_{weighting}": value.within,
            f"between_{weighting}": value.between,
            f"nc1_{weighting}": value.ratio,
        }
    return found
