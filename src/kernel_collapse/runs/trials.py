"""A trial: which data, which measurement, which seed. Its key names its row in the store.

A trial is a pydantic model, so that what a user writes is checked before any work, and is identified by the
hash of its content: the same trial has the same key in every experiment, run and version of this program.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any

from pydantic import Field, NonNegativeInt, ValidationError

from kernel_collapse import _validate
from kernel_collapse._linalg import one_blas_thread
from kernel_collapse.runs.laws import LAWS, Data, GaussianClasses, ShippedData
from kernel_collapse.runs.measurements import KERNELS, Measurement, Programs, Results, Specification

__all__ = ["LAWS", "GaussianClasses", "ShippedData", "Trial", "compute", "costs", "describe_errors", "faults"]


class Trial(Specification):
    """One row of the results."""

    data: Data
    measurement: Measurement
    seed: NonNegativeInt = Field(description="seed of the data")

    @property
    def key(self) -> str:
        """Hash of the full specification; where a file lies is no part of it, for its content is."""
        no_path: dict[str, Any] = {"data": {"path": True, "base": {"path": True}}}
        canonical = json.dumps(
            self.model_dump(mode="json", exclude=no_path), sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(canonical.encode()).hexdigest()[:24]

    @property
    def cost(self) -> float:
        """Estimated seconds on one core, compilation left out, to order trials and to foretell the time left."""
        return self.measurement.cost(self.data.n, self.data.dim, self.data.n_classes)

    @property
    def programs(self) -> Programs:
        """What is compiled for it, unless the process has done so for another trial, and the estimated seconds."""
        programs = getattr(self.measurement, "programs", None)  # kernels have none
        return programs(self.data.n, self.data.dim, self.data.n_classes) if programs else {}


def costs(trials: Iterable[Trial], processes: int = 1) -> dict[str, float]:
    """Return the estimated seconds of each trial by its key, for so many processes that take them in this order.

    What has to be compiled counts for the first trials that need it, one a process.
    """
    compiled: Counter[Hashable] = Counter()
    found = {}
    for trial in trials:
        new = {program: s for program, s in trial.programs.items() if compiled[program] < processes}
        compiled.update(new.keys())
        found[trial.key] = trial.cost + sum(new.values())
    return found


def compute(trial: Trial) -> Results:
    """Run one trial and return its results: within, between and NC1 under every weighting, and any certificate.

    The arithmetic of NumPy and SciPy runs on one BLAS thread, so that a trial gives the same bits on any number of
    workers.
    """
    with one_blas_thread():
        return trial.measurement.measure(trial.data.sample(trial.seed), trial.seed)


def describe_errors(error: ValidationError) -> str:
    """Return a validation error as one sentence, without pydantic's own decoration."""
    text = "; ".join(said for _, said in faults(error))
    return text if text.endswith("?") else text + "."


def faults(error: ValidationError) -> list[tuple[tuple[str, ...], str]]:
    """Return the key and a sentence, without its full stop, of every fault of a validation error."""
    found = []
    for fault in error.errors():
        path = _written([str(part) for part in fault["loc"]])
        where, given = ".".join(path) or "the specification", fault["input"]
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            text = f"{where} is not a key of this specification: remove it or check its spelling"
        elif fault["type"] == "missing":
            text = f"{where} is missing, expected a value: add it"
        elif fault["type"] == "union_tag_invalid":
            key, names = ("kernel", KERNELS) if where == "measurement" else ("law", LAWS)
            what = ".".join([*path, key])
            try:
                text = _validate.choice(fault["ctx"]["tag"], names, what)
            except ValueError as unknown:
                text = str(unknown)
        elif fault["type"] == "value_error" and isinstance(given, dict) and message.split(" is ")[0] in given:
            # A check of the whole that found one field wrong.
            text = ".".join([*path, message])
        elif fault["type"] == "value_error" and isinstance(given, dict | Specification):
            # Fields that do not go together: the message names them, and need not repeat all the others.
            text = f"{'.'.join(path)}: {message}" if path else message
        elif path and message.startswith(f"{path[-1]} is "):
            text = ".".join([*path[:-1], message])
        else:
            text = f"{where} is {given!r}: {message[0].lower() + message[1:]}"
        found.append((tuple(path), text.rstrip(".")))
    return found


def _written(path: list[str]) -> list[str]:
    """Return the path without the names by which pydantic chose a specification: nobody wrote them as keys."""
    choices = {"data": LAWS, "base": LAWS, "measurement": KERNELS}
    kept: list[str] = []
    for i, part in enumerate(path):
        chosen = (kept[-1:] and part in choices.get(kept[-1], ())) or (i == 0 and part in LAWS)
        if not chosen:
            kept.append(part)
    return kept
