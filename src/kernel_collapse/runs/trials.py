"""A trial: which data, which measurement, which seed. Its key names its row in the store.

A trial is a pydantic model, so the user's input is checked before any work. It is identified by the hash of its
content. The same trial has the same key in every experiment, run and version of this program.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple, Self

from pydantic import Field, NonNegativeInt, ValidationError, model_validator

from kernel_collapse import _validate
from kernel_collapse._held_out import held_out
from kernel_collapse._input_error import InputError
from kernel_collapse._linalg import one_blas_thread
from kernel_collapse.runs.laws import LAWS, Data, GaussianClasses, ShippedData
from kernel_collapse.runs.measurements import KERNELS, Measurement, Programs, Results, Specification

__all__ = [
    "LAWS",
    "Fault",
    "GaussianClasses",
    "ShippedData",
    "Trial",
    "compute",
    "costs",
    "describe_errors",
    "faults",
    "refusal",
    "require",
]

#: What pydantic's checks of a field expect, with the limits that it names.
_EXPECTED = {
    "json_invalid": "text in JSON ({error})",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a table of keys and values",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "list_type": "a list",
    "literal_error": "{expected}",
    "model_attributes_type": "a table of keys and values",
    "model_type": "a table of keys and values",
    "string_type": "a text",
    "too_long": "at most {max_length} values",
    "too_short": "at least {min_length} values",
    "tuple_type": "a list",
}


class Trial(Specification):
    """One row of the results."""

    data: Data
    measurement: Measurement
    seed: NonNegativeInt = Field(description="seed of the data")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        require(self.measurement, self.data)
        return self

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


def require(measurement: Any, data: Any) -> None:
    """Refuse a measurement of data that it cannot be made of: of a kernel of images, those that are none.

    Raises
    ------
    ValueError
        If it needs images and the data have none, they are too small for its filters and pools, or the share that is
        held out leaves nothing to test or to train with.
    """
    if holdout := getattr(measurement, "holdout", 0.0):
        held_out(holdout, data.n, data.n_classes)
    of_images = getattr(measurement, "base", None) or measurement
    if hasattr(of_images, "require"):
        of_images.require(data.name, data.image_shape)


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
    text = "; ".join(str(fault.refusal).removesuffix(".") for fault in faults(error))
    return text if text.endswith("?") else text + "."


def refusal(error: ValidationError) -> ValueError:
    """Return a validation error as what is raised at the door."""
    found = faults(error)
    return found[0].refusal if len(found) == 1 else ValueError(describe_errors(error))


class Fault(NamedTuple):
    """What is wrong with a specification, and the key that it was found at, from the outermost; () is the whole."""

    path: tuple[str, ...]
    refusal: InputError


def faults(error: ValidationError) -> list[Fault]:
    """Return every fault of a validation error."""
    return [_fault(found) for found in error.errors()]


def _fault(found: Mapping[str, Any]) -> Fault:
    path = _written([str(part) for part in found["loc"]])
    where, given, about = ".".join(path) or "the specification", found["input"], found.get("ctx", {})
    raised = about.get("error")
    if found["type"] == "extra_forbidden":
        said = InputError(
            where, "not a key of this specification", "one that is", "remove it or check its spelling"
        )
    elif found["type"] == "missing":
        said = InputError(where, "missing", "a value", "add it")
    elif found["type"] == "union_tag_invalid":
        return _unknown(about["tag"], path, about)
    elif isinstance(raised, InputError):
        return _placed(raised, path, given)
    elif found["type"] in _EXPECTED:
        said = InputError.of(where, given, _EXPECTED[found["type"]].format(**about))
    else:
        said = InputError.of(where, given, "another value", str(raised or found["msg"]).rstrip("."))
    return Fault(tuple(path), said)


def _unknown(name: str, path: list[str], about: Mapping[str, Any]) -> Fault:
    """Return what is said of a law or kernel that there is not."""
    key = "kernel" if "kernel" in about["discriminator"] else "law"
    names = sorted(tag.strip("'") for tag in about["expected_tags"].split(", "))
    path = [*path, key]
    try:
        _validate.choice(name, names, ".".join(path))
    except InputError as unknown:
        return Fault(tuple(path), unknown)
    raise AssertionError(f"{name} is one of {names}")


def _placed(said: InputError, path: list[str], given: Any) -> Fault:
    """Return a refusal of the library with the path of the key that it is about."""
    keys: Iterable[str] = type(given).model_fields if isinstance(given, Specification) else ()
    keys = given if isinstance(given, dict) else keys
    if said.what in keys:  # a check of the whole that found one field wrong
        path = [*path, said.what]
    where = ".".join(path)
    what = where if said.what in path[-1:] else ": ".join(filter(None, [where, said.what]))
    return Fault(tuple(path), InputError(what, said.given, said.expected, said.hint, said.verb))


def _written(path: list[str]) -> list[str]:
    """Return the path without the names by which pydantic chose a specification: nobody wrote them as keys."""
    choices = {"data": LAWS, "base": (*LAWS, *KERNELS), "measurement": KERNELS}
    kept: list[str] = []
    for i, part in enumerate(path):
        chosen = (kept[-1:] and part in choices.get(kept[-1], ())) or (i == 0 and part in LAWS)
        if not chosen:
            kept.append(part)
    return kept
