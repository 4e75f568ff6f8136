"""The Gram matrix of a measurement on samples, and the kernel of others with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse._methods import Measurement
from kernel_collapse._shapes import Float
from kernel_collapse.data import Dataset
from kernel_collapse.kernels import Kernel
from kernel_collapse.runs.deep_rfm import DeepRFMNC1, carried, machine
from kernel_collapse.runs.measurements import AdaptiveNC1, gram, solve
from kernel_collapse.solution import Status

__all__ = ["Made", "made", "samples_of"]

#: Rows of which a block is made for its diagonal.
ROWS = 256


class Beside(NamedTuple):
    """The kernel of other samples with those that it was made of, and with themselves one by one; why it is NaN."""

    cross: Float[np.ndarray, "m n"]
    diagonal: Float[np.ndarray, " m"]
    reason: str = ""


#: What gives the kernel of other samples.
Others = Callable[[Dataset], Beside]


class Made(NamedTuple):
    """A Gram matrix, None where there is none that is resolved; what gives the kernel of others; what is to be said."""

    gram: Float[np.ndarray, "n n"] | None
    others: Others
    reason: str = ""


def made(what: Measurement, dataset: Dataset) -> Made:
    """Return the Gram matrix of a measurement on a data set."""
    if isinstance(what, AdaptiveNC1):
        return _adaptive(what, dataset)
    if isinstance(what, DeepRFMNC1):
        return _deep_rfm(what, dataset)
    if isinstance(what, Kernel):
        return _plain(what, dataset)
    return Made(gram(what, dataset.x), _by_blocks(partial(gram, what), dataset))


def samples_of(what: Measurement, dataset: Dataset) -> Any:
    """Return the samples as a kernel, or that which a deep RFM stands on, takes them: rows, or images."""
    if isinstance(what, DeepRFMNC1) and what.base is not None:
        return what.base.samples(dataset)
    return dataset.images if isinstance(what, Kernel) and what._of_images else dataset.x


def _plain(kernel: Kernel, dataset: Dataset) -> Made:
    samples = samples_of(kernel, dataset)

    def others(test: Dataset) -> Beside:
        x = samples_of(kernel, test)
        return Beside(kernel(x, samples), kernel._diagonal(x)[0])

    return Made(kernel(samples), others)


def _adaptive(what: AdaptiveNC1, dataset: Dataset) -> Made:
    solution = solve(what, dataset, raise_on_failure=False)
    reason = solution.remark
    if solution.status is not Status.CONVERGED:
        reason = f"adaptive kernel, {solution.status.value} at residual {solution.residual:.2g}: "
        reason = f"{reason}{solution.sentence} {solution.remark}".rstrip()
    finite = np.isfinite(solution.gram).all()
    return Made(solution.gram if finite else None, _by_blocks(solution.kernel, dataset), reason)


def _deep_rfm(what: DeepRFMNC1, dataset: Dataset) -> Made:
    found = machine(what, dataset, raise_on_failure=False)

    def others(test: Dataset) -> Beside:
        seen = carried(what, found, dataset, test)
        last = seen.layers[-1]
        known = np.isfinite(last.diagonal).all()
        return Beside(last.cross, last.diagonal, "" if known else f"of the held-out samples {seen.reason}")

    resolved = found.status is Status.RESOLVED
    return Made(
        found.gram if resolved else None, others, found.layers[-1].reason if resolved else found.explanation
    )


def _by_blocks(between: Callable[[Any, Any], Any], dataset: Dataset) -> Others:
    """Return what gives the kernel of others from that of any two sets of inputs."""

    def others(test: Dataset) -> Beside:
        parts = np.array_split(test.x, -(-len(test.x) // ROWS))
        diagonal = np.concatenate([np.diag(between(rows, rows)) for rows in parts])
        return Beside(between(test.x, dataset.x), diagonal)

    return others
