"""What every specification is, of data and of measurements, and how their results are stored."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from kernel_collapse.collapse import NC1, Weighting

__all__ = ["Results", "Specification", "flat"]

#: What is stored of a trial: numbers, words, and curves.
Results = dict[str, Any]


class Specification(BaseModel):
    """Frozen, and an unknown key is an error rather than a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
