"""How a data set is measured, by its size: what each way can do, takes of memory, and costs."""

from __future__ import annotations

from collections.abc import Sequence

from kernel_collapse import _memory, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.collapse import Weighting
from kernel_collapse.data import Dataset
from kernel_collapse.kernels import Kernel
from kernel_collapse.runs.deep_rfm import DeepRFMNC1
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1

__all__ = ["FEATURES", "METHODS", "Measurement", "choose_method", "cost", "needed"]

#: What is measured: a specification, or a kernel as it is.
Measurement = KernelNC1 | AdaptiveNC1 | DeepRFMNC1 | Kernel

METHODS = ("auto", "dense", "streamed", "sampled")
#: How features alone are measured, and why.
FEATURES = ("features", "no Gram matrix is needed")
#: Most samples for which the Gram matrix is made unasked (0.5 GB, seconds), and for which all pairs are (a minute).
DENSE, STREAMED = 8192, 65_536


def choose_method(
    n: int,
    measurements: Sequence[Measurement],
    method: str = "auto",
    *,
    held_out: bool = False,
    weighting: Weighting = "paper",
) -> tuple[str, str]:
    """Return how a data set of n samples is measured, and why.

    Dense: every metric, a classifier fitted, held-out samples. Streamed: exact, tile by tile, without a classifier.
    Sampled: NC1 with an interval.

    Raises
    ------
    ValueError
        If the method is unknown, cannot do what is asked, or would not fit into memory.
    """
    _validate.choice(method, METHODS, "the method")
    if weighting == "published" and (
        method == "sampled" or (method == "auto" and n > STREAMED and not held_out)
    ):
        raise InputError(
            "the weighting",
            "'published' with the method 'sampled'",
            "another weighting, or the method 'streamed'",
            "it does not follow from distances of pairs",
        )
    only_dense = [
        what
        for what, asked in (
            ("held-out samples", held_out),
            ("the adaptive kernel", any(isinstance(m, AdaptiveNC1) for m in measurements)),
            ("the deep RFM", any(isinstance(m, DeepRFMNC1) for m in measurements)),
        )
        if asked
    ]
    if method == "auto" and not only_dense:
        if n <= DENSE:
            return "dense", f"the Gram matrix of {n} samples fits easily into memory"
        if n <= STREAMED:
            return "streamed", f"more than {DENSE} samples: exact, tile by tile, without a classifier"
        return (
            "sampled",
            f"more than {STREAMED} samples: only NC1, to 1 % with 95 % confidence; --method streamed is exact",
        )
    if method in ("streamed", "sampled") and only_dense:
        raise InputError(
            "method",
            f"{method!r} for {only_dense[0]}",
            "'dense', the only method with the whole Gram matrix",
            "leave out either",
        )
    if method in ("auto", "dense"):
        _fits_into_memory(n, streamed=not only_dense)
        return "dense", "asked for" if method == "dense" else f"{only_dense[0]} takes the whole Gram matrix"
    return method, "asked for"


def cost(what: Measurement, dataset: Dataset, method: str, test: Dataset | None = None) -> float:
    """Return the estimated seconds that `measure` takes for one measurement."""
    (n, dim), classes = dataset.x.shape, len(dataset.classes)
    if isinstance(what, Kernel) and what._of_images:
        pair = what._seconds_a_pair(dataset.images)
        if method == "sampled":
            return 0.05 + 2 * pair * min(20_000, n**2 / 2)
        dim = 0
    else:
        pair = 0.0
    if method == "sampled":
        return min(2.0, 0.05 + 1e-6 * n**2)  # of all pairs, where there are few
    made = (
        2e-3 + n**2 * (3e-8 + 1e-9 * dim + pair / 2)
        if isinstance(what, Kernel)
        else what.cost(n, dim, classes)
    )
    if method == "streamed":
        data = isinstance(what, KernelNC1) and what.kernel == "data"
        return 2 * made + (2e-8 * n * dim if data else 0.0)
    held_out = 0 if test is None else len(test.x)
    made += (5e-8 + pair) * held_out * n
    return made + 1.2e-7 * n**2 + 4e-11 * n**3


def needed(n: int) -> float:
    """Return the bytes that the dense method takes: the Gram matrix, and what its metrics are computed in."""
    return 3 * 8.0 * n**2


def _fits_into_memory(n: int, *, streamed: bool) -> None:
    free, bytes_of_all = _memory.available(), needed(n)
    if free is not None and bytes_of_all > free:
        other = ", or take --method streamed" if streamed else ""
        raise InputError(
            f"the Gram matrix of {n} samples",
            f"{_memory.size(8.0 * n**2)} and its metrics {_memory.size(bytes_of_all)} of memory",
            f"at most the {_memory.size(free)} that are free, enough for {int((free / 24) ** 0.5)} samples",
            f"measure a random subset{other}",
            verb="takes",
        )
