"""A sweep: every data set with every measurement and every seed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Annotated, NamedTuple, Self

from pydantic import Field, NonNegativeInt, model_validator

from kernel_collapse.runs.laws import Data
from kernel_collapse.runs.measurements import Measurement, Specification
from kernel_collapse.runs.trials import Trial

__all__ = ["MOST", "Block", "Sweep", "refuse_too_many"]

#: Most trials of a sweep.
MOST = 1_000_000


class Block(NamedTuple):
    """The trials of one entry of data and one of measurements."""

    data: int
    measurement: int
    trials: list[Trial]


class Sweep(Specification):
    """Every data set with every measurement and every seed; `data` and `measurement` hold a grid an entry."""

    name: str
    title: str | None = None
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    data: Annotated[tuple[tuple[Data, ...], ...], Field(min_length=1)]
    measurement: Annotated[tuple[tuple[Measurement, ...], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        refuse_too_many(sum(map(len, self.data)), sum(map(len, self.measurement)), len(self.seeds))
        return self

    def blocks(self) -> Iterator[Block]:
        """Yield the trials of every pair of entries."""
        for (i, data), (j, measures) in product(enumerate(self.data), enumerate(self.measurement)):
            grid = product(data, measures, self.seeds)
            yield Block(i, j, [Trial(data=d, measurement=m, seed=seed) for d, m, seed in grid])

    def trials(self) -> list[Trial]:
        """Return the trials, each once, in the order of the file."""
        return list({trial.key: trial for block in self.blocks() for trial in block.trials}.values())


def refuse_too_many(data: int, measurements: int, seeds: int) -> None:
    """Refuse more trials than a sweep can have."""
    trials = data * measurements * seeds
    if trials > MOST:
        raise ValueError(
            f"the sweep has {trials} trials ({data} data x {measurements} measurements x {seeds} seeds), expected at "
            f"most {MOST}: use fewer values, or several sweeps."
        )
