"""What one pass found: every metric of every layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_collapse import _extras, _results
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse import Collapse
from kernel_collapse.rfm import FeatureAnsatz

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Record", "as_html", "numbers_of"]

#: The metrics that a notebook shows of every layer; `Record.to_frame` has them all.
SHOWN = ("nc1", "cdnv", "nc2_etf", "nc3", "nc4", "ncm_accuracy")


def numbers_of(found: Collapse) -> dict[str, float]:
    """Return every field of a `Collapse` that is a number, by name."""
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return {
        name: float(value) for name, value in values.items() if isinstance(value, int | float | np.number)
    }


@dataclass(frozen=True, eq=False)
class Record(Mapping[str, Collapse]):
    """Every metric of every layer that was recorded, in the order of the layers: ``record["layer1"].nc1``.

    Attributes
    ----------
    collapses : dict
        A `kernel_collapse.Collapse` a layer.
    class_means : dict
        For each layer an array of shape (C, p), NaN for a class without a sample. Empty if a `History` did not keep
        them.
    counts : array, shape (C,)
        Samples of each class.
    decided : str
        How samples were assigned to the nearest class mean, for `nc4` and `ncm_accuracy`: "second pass" over the
        samples, "class means of a record before", or "not decided". In the last case both are NaN.
    classifier : str
        Name of the last linear layer, whose weights and bias are in the metrics of the features before it; empty if
        there is none.
    ansatz : dict
        Of each linear layer that was asked for a `kernel_collapse.rfm.FeatureAnsatz`: how well W'W matches the root of
        the average gradient outer product in what it is given.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> labels = np.arange(60) % 3
    >>> x = np.eye(3)[labels] + 0.1 * np.random.default_rng(0).normal(size=(60, 3))
    >>> batches = [(x[:30], labels[:30]), (x[30:], labels[30:])]
    >>> found = kc.record(lambda x: {"x": x, "squares": x**2}, batches, n_classes=3)
    >>> list(found), found["x"].nc1 < 0.1, found.decided
    (['x', 'squares'], True, 'second pass')
    >>> found.to_frame().columns[:2].tolist()
    ['layer', 'nc1']
    """

    collapses: dict[str, Collapse]
    class_means: dict[str, Float[np.ndarray, "C p"]]
    counts: Int[np.ndarray, " C"]
    decided: str
    classifier: str = ""
    ansatz: dict[str, FeatureAnsatz] = field(default_factory=dict)

    def __getitem__(self, layer: str) -> Collapse:
        """Return the metrics of a layer; a `KeyError` names the layers that were recorded."""
        return _results.named(self.collapses, layer, "layer")

    def __contains__(self, layer: object) -> bool:
        """Whether there is a layer of that name."""
        return layer in self.collapses

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the layers."""
        return iter(self.collapses)

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self.collapses)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row a layer: its name, every metric that is a number, and `reason`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        _extras.require("tables", "to_frame", "pandas")
        import pandas as pd

        return pd.DataFrame(
            [{"layer": layer, **numbers_of(found), "reason": found.reason} for layer, found in self.items()]
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the best-known metrics of every layer, to four digits."""
        return as_html(f"{len(self)} layers", self)

    def plot(self, **options: Any) -> Any:
        """Draw NC1 to NC4 over the layers; options and result are those of `kernel_collapse.plots.over_layers`."""
        from kernel_collapse import plots

        return plots.over_layers(self, **options)

    def means_of(self, layer: str) -> Float[np.ndarray, "C p"]:
        """Return the class means of a layer.

        Raises
        ------
        ValueError
            If there is no such layer, or its class means were let go.
        """
        _results.named(self.collapses, layer, "layer")
        if layer not in self.class_means:
            raise InputError(
                "this record",
                "no class means",
                "those of the newest record",
                "History(keep_means=True) keeps all",
                verb="has",
            )
        return self.class_means[layer]


def as_html(title: str, record: Record) -> str:
    """Return the best-known metrics of every layer of a record as HTML, with the reason of what is NaN below."""
    rows = [(layer, *(float(getattr(found, name)) for name in SHOWN)) for layer, found in record.items()]
    reasons = [f"{layer}: {found.reason}" for layer, found in record.items() if found.reason]
    note = f"{len(record.counts)} classes, {int(record.counts.sum())} samples; nearest class means: {record.decided}"
    return _results.as_html(title, ("layer", *SHOWN), rows, (note, *reasons))
