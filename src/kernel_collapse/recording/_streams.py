"""The accumulators of several layers, which the same batches go through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from numpy import ndarray

from kernel_collapse import _memory, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.collapse import Accumulator, Collapse, Weighting

__all__ = ["Streams"]

#: Rows that an accumulator keeps before it adds them; see `kernel_collapse.Accumulator`.
ROWS = 1024


class Streams:
    """One accumulator a layer, made when the first batch tells the width of its features.

    Parameters
    ----------
    n_classes : int
        Number of classes; labels are 0 to n_classes - 1.
    metrics : {"all", "traces"}
        As for `kernel_collapse.Accumulator`.
    class_means : mapping, optional
        Of each layer, from a pass before.

    Attributes
    ----------
    accumulators : dict
        By the names of the layers.
    """

    def __init__(
        self,
        n_classes: int,
        *,
        metrics: str = "all",
        class_means: Mapping[str, Float[ndarray, "C p"]] | None = None,
    ) -> None:
        self.n_classes = _validate.count(n_classes, "n_classes", least=2)
        self.metrics = _validate.choice(metrics, ("all", "traces"), "metrics")
        self._means = class_means
        self.accumulators: dict[str, Accumulator] = {}

    def update(self, number: int, features: Mapping[str, Any], labels: Any, logits: Any = None) -> None:
        """Add a batch of that number, whose features are given by layer."""
        if not self.accumulators:
            self._make(features, number)
        self._feed("update", number, features, labels, logits)

    def decide(self, number: int, features: Mapping[str, Any], labels: Any, logits: Any = None) -> None:
        """Put a batch of a second pass to the nearest class means of the first."""
        self._feed("decide", number, features, labels, logits)

    def collapses(
        self, classifiers: Mapping[str, tuple[Any, Any]], weighting: Weighting
    ) -> dict[str, Collapse]:
        """Return every metric of every layer; `classifiers` has weights and bias of the layers that have one."""
        found = {}
        for layer, seen in self.accumulators.items():
            weights, bias = classifiers.get(layer, (None, None))
            found[layer] = seen.collapse(classifier=weights, bias=bias, weighting=weighting)
        return found

    def _feed(self, how: str, number: int, features: Mapping[str, Any], labels: Any, logits: Any) -> None:
        if features.keys() != self.accumulators.keys():
            raise InputError(
                f"batch {number}",
                f"features of {', '.join(map(repr, features)) or 'no layer'}",
                f"those of {', '.join(map(repr, self.accumulators))}",
                "give the same layers for every batch",
                verb="has",
            )
        for layer, values in features.items():
            seen = self.accumulators[layer]
            with located(layer, number):
                width = _width(values)
                if width != seen.dim:
                    raise InputError(
                        "features",
                        f"{width} columns",
                        f"{seen.dim}, as in the batches before",
                        "pool what changes its size, as sequences of different lengths do",
                        verb="have",
                    )
                getattr(seen, how)(values, labels, logits)

    def _make(self, features: Mapping[str, Any], number: int) -> None:
        """Make the accumulators, once it is known that their sums fit into memory together."""
        if not features:
            raise InputError(f"batch {number}", "no features", "those of a layer at least", verb="has")
        widths = {}
        for layer, values in features.items():
            with located(layer, number):
                widths[layer] = _width(values)
        scatter = sum(width**2 for width in widths.values()) if self.metrics == "all" else 0
        sums = sum((3 * self.n_classes + 2 * ROWS) * width for width in widths.values())
        widest = max(widths, key=lambda layer: widths[layer])
        _memory.require(
            8.0 * (scatter + sums),
            f"the sums of {len(widths)} layers, of which {widest!r} is the widest with {widths[widest]} features,",
            "pool the features, name fewer layers, or choose metrics='traces', which keeps no scatter"
            if scatter
            else "pool the features, or name fewer layers",
        )
        for layer, width in widths.items():
            means = None if self._means is None else self._means.get(layer)
            if self._means is not None and means is None:
                raise InputError(
                    f"the record with class means has no layer {layer!r}",
                    f"but {', '.join(map(repr, self._means))}",
                    "the layers that are recorded now",
                    "record the same layers, or decide='second pass'",
                    verb="",
                )
            with located(layer, number):
                self.accumulators[layer] = Accumulator(
                    self.n_classes, width, metrics=self.metrics, class_means=means
                )


def _width(values: Any) -> int:
    if not hasattr(values, "shape"):
        raise InputError.of("features", values, "an array", "give one of NumPy, PyTorch or JAX", verb="are")
    shape = tuple(values.shape)
    if len(shape) != 2:
        raise InputError(
            "features",
            f"shape {shape}",
            "two dimensions (samples, features)",
            "flatten or pool what has more",
            verb="have",
        )
    return int(shape[1])


@contextmanager
def located(layer: str, number: int) -> Iterator[None]:
    """Say of which layer and batch, counted from 0, it is that input is refused."""
    try:
        yield
    except InputError as error:
        where = (
            f"batch {number}" if error.what in ("labels", "logits") else f"layer {layer!r}, batch {number}"
        )
        raise InputError(
            f"{error.what} ({where})", error.given, error.expected, error.hint, error.verb
        ) from None
