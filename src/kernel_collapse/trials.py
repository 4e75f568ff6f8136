"""A trial: which data, which measurement, which seed. Its key names its row in the store.

A trial is a pydantic model, so that what a user writes is checked before any work, and is identified by the
hash of its content: the same trial has the same key in every experiment, run and version of this program.
"""

from __future__ import annotations

import hashlib
import json

from pydantic import Field, NonNegativeInt, ValidationError

from kernel_collapse._linalg import one_blas_thread
from kernel_collapse.laws import LAWS, Data, GaussianClasses, ShippedData
from kernel_collapse.measurements import KERNELS, Measurement, Results, Specification

__all__ = ["LAWS", "GaussianClasses", "ShippedData", "Trial", "compute", "describe_errors"]


class Trial(Specification):
    """One row of the results."""

    data: Data
    measurement: Measurement
    seed: NonNegativeInt = Field(description="seed of the data")

    @property
    def key(self) -> str:
        """Hash of the full specification."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:24]

    @property
    def cost(self) -> float:
        """Estimated seconds on one core, to order trials and to foretell the time that is left."""
        return self.measurement.cost(self.data.n, self.data.dim, self.data.n_classes)


def compute(trial: Trial) -> Results:
    """Run one trial and return its results: within, between and NC1 under every weighting, and any certificate.

    The arithmetic of NumPy and SciPy runs on one BLAS thread, so that a trial gives the same bits on any number of
    workers.
    """
    with one_blas_thread():
        return trial.measurement.measure(trial.data.sample(trial.seed), trial.seed)


def describe_errors(error: ValidationError) -> str:
    """Return a validation error as one sentence a fault, without pydantic's own decoration."""
    faults = []
    for fault in error.errors():
        path = [str(part) for part in fault["loc"]]
        choices = {"data": LAWS, "measurement": KERNELS}.get(path[0] if path else "", ())
        if path[1:2] and path[1] in choices:
            del path[1]  # the name by which pydantic chose a specification is no key of what was written
        where = ".".join(path) or "the specification"
        if fault["type"] == "extra_forbidden":
            faults.append(f"{where} is not a key of this specification: remove it or check its spelling")
        elif fault["type"] == "union_tag_invalid":
            context = fault["ctx"]
            key = {"data": "law"}.get(where, "kernel")
            faults.append(f"{where}.{key} is {context['tag']!r}, expected one of {context['expected_tags']}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            faults.append(f"{where} is {fault['input']!r}: {message[0].lower() + message[1:]}".rstrip("."))
    return "; ".join(faults) + "."
