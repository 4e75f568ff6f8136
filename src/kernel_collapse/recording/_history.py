"""Records of one network while it trains: appended, tabulated, drawn, saved."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_collapse import _extras, _validate
from kernel_collapse._files import atomic_write
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.collapse import Collapse
from kernel_collapse.recording._record import Record, as_html, numbers_of
from kernel_collapse.rfm import FeatureAnsatz

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["History"]

#: What a saved file holds, in this layout.
LAYOUT = 1


class History(Sequence[Record]):
    """Records in the order of their epochs. New records are added only at the end.

    Parameters
    ----------
    keep_means : bool
        Keep arrays (class means, values of pairs of classes) of every record: C p numbers per layer and epoch. By
        default only the newest record keeps its arrays, and the others keep only their numbers.

    Attributes
    ----------
    epochs : tuple
        Of each record.
    layers : tuple of str
        Of the newest record.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> labels = np.arange(60) % 3
    >>> noise = np.random.default_rng(0).normal(size=(60, 3))
    >>> history = kc.History()
    >>> for epoch in (0, 10):
    ...     features = np.eye(3)[labels] + noise / (1 + epoch)
    ...     history.append(kc.record(lambda x: x, [(features, labels)], n_classes=3), epoch)
    >>> history.to_frame()[["epoch", "layer"]].values.tolist()
    [[0, 'features'], [10, 'features']]
    >>> history.values("nc1")["features"][1] < history.values("nc1")["features"][0]
    True
    """

    def __init__(self, *, keep_means: bool = False) -> None:
        self.keep_means = _validate.flag(keep_means, "keep_means")
        self._records: list[Record] = []
        self._epochs: list[float] = []

    def __getitem__(self, index: Any) -> Any:
        """Return a record, or several."""
        return tuple(self._records[index]) if isinstance(index, slice) else self._records[index]

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        """Go through the records."""
        return iter(tuple(self._records))

    @property
    def epochs(self) -> tuple[float, ...]:
        """Epochs of the records."""
        return tuple(self._epochs)

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers of the newest record."""
        return tuple(self._records[-1]) if self._records else ()

    def append(self, record: Record, epoch: float) -> None:
        """Add the record of an epoch, later than those before.

        Raises
        ------
        ValueError
            If it is not later.
        """
        _validate.instance(record, Record, "record", "make one with kernel_collapse.torch.record or record")
        number = _validate.finite(epoch, "epoch")
        if self._epochs and number <= self._epochs[-1]:
            raise InputError.of("epoch", epoch, f"more than {self._epochs[-1]:g}, that of the record before")
        if self._records and not self.keep_means:
            self._records[-1] = _slim(self._records[-1])
        self._records.append(record)
        self._epochs.append(int(number) if number == int(number) else number)

    def values(self, metric: str) -> dict[str, list[float]]:
        """Return a metric by layer, a number an epoch: NaN where a record has no such layer.

        Raises
        ------
        ValueError
            If there is no such metric.
        """
        known = [*numbers_of(next(iter(self._records[0].values())))] if self._records else []
        _validate.choice(metric, known, "metric")
        layers = dict.fromkeys(layer for record in self._records for layer in record)
        nan = float("nan")
        return {
            layer: [
                float(getattr(record[layer], metric)) if layer in record else nan for record in self._records
            ]
            for layer in layers
        }

    def ansatz(self, which: str = "correlation") -> dict[str, list[float]]:
        """Return the neural feature ansatz by linear layer, a number an epoch: NaN where it was not recorded.

        Parameters
        ----------
        which : {"correlation", "cosine"}
            Which figure of `kernel_collapse.rfm.FeatureAnsatz`.
        """
        _validate.choice(which, ("correlation", "cosine"), "which")
        layers = dict.fromkeys(layer for record in self._records for layer in record.ansatz)
        return {
            layer: [float(getattr(record.ansatz.get(layer), which, float("nan"))) for record in self._records]
            for layer in layers
        }

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row an epoch and layer: every metric that is a number, and `reason`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        _extras.require("tables", "to_frame", "pandas")
        import pandas as pd

        tables = []
        for epoch, record in zip(self._epochs, self._records, strict=True):
            table = record.to_frame()
            table.insert(0, "epoch", epoch)
            table.insert(2, "decided", record.decided)
            tables.append(table)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["epoch", "layer"])

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the newest record, and which epochs there are."""
        if not self._records:
            return "<div><p><strong>no record yet</strong></p></div>"
        more = (
            f"the last of {len(self)} records, from epoch {self._epochs[0]:g}"
            if len(self) > 1
            else "the only record"
        )
        return as_html(f"epoch {self._epochs[-1]:g}, {more}", self._records[-1])

    def plot(self, **options: Any) -> Any:
        """Draw NC1 to NC4 over epochs; options and result are those of `kernel_collapse.plots.over_epochs`."""
        from kernel_collapse import plots

        return plots.over_epochs(self, **options)

    # -- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to an .npz file, which `load` reads.

        Raises
        ------
        ValueError
            If the name does not end in .npz.
        """
        file = _validate.path(path, "path", "the name of an .npz file")
        if file.suffix != ".npz":
            raise InputError(
                "path", f"{str(file)!r}", "a name that ends in .npz", f"try {str(file) + '.npz'!r}"
            )
        arrays: dict[str, np.ndarray] = {}
        said = [_packed(record, f"{k}", arrays) for k, record in enumerate(self._records)]
        about = {"layout": LAYOUT, "keep_means": self.keep_means, "epochs": self._epochs, "records": said}
        with atomic_write(file) as part, part.open("wb") as new:
            held: Any = arrays | {"about": np.array(json.dumps(about))}
            np.savez(new, **held)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Return the history that `save` wrote.

        Raises
        ------
        ValueError
            If the file is not one.
        """
        file = _validate.path(path, "path", "the name of an .npz file")
        try:
            with np.load(file, allow_pickle=False) as held:
                about = json.loads(str(held["about"]))
                if about["layout"] != LAYOUT:
                    raise ValueError(f"layout {about['layout']}")
                found = cls(keep_means=about["keep_means"])
                for k, (epoch, said) in enumerate(zip(about["epochs"], about["records"], strict=True)):
                    found._records.append(_unpacked(said, f"{k}", held))
                    found._epochs.append(epoch)
                return found
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{str(file)!r}",
                f"no history ({' '.join(str(error).split())})",
                "a file that History.save wrote",
                verb="holds",
            ) from None


def _slim(record: Record) -> Record:
    """Return the record without its arrays: of them it keeps the shapes, which tell the number of classes."""
    collapses = {}
    for layer, found in record.items():
        values = {field.name: getattr(found, field.name) for field in fields(found)}
        empty: Any = {
            name: _unknown(value.shape)
            for name, value in values.items()
            if isinstance(value, np.ndarray) and value.ndim
        }
        collapses[layer] = replace(found, **empty)
    return replace(record, collapses=collapses, class_means={})


def _unknown(shape: tuple[int, ...]) -> Float[np.ndarray, ...]:
    """Return an array of that shape that is not known; it takes the room of one number."""
    return np.broadcast_to(np.nan, shape)


def _packed(record: Record, place: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what JSON takes of a record, and put the rest among the arrays."""
    arrays[f"{place} counts"] = record.counts
    layers = []
    for j, (layer, found) in enumerate(record.items()):
        if layer in record.class_means:
            arrays[f"{place} {j} class means"] = record.class_means[layer]
        plain: dict[str, Any] = {}
        for field in fields(found):
            value = getattr(found, field.name)
            if isinstance(value, np.ndarray):
                if value.ndim and not any(value.strides):  # what was let go takes no room
                    value = np.empty((0,) * value.ndim)
                arrays[f"{place} {j} {field.name}"] = value
            else:
                plain[field.name] = value if isinstance(value, str) else float(value)
        layers.append({"layer": layer, "fields": plain})
    ansatz = {layer: astuple(found) for layer, found in record.ansatz.items()}
    return {
        "layers": layers,
        "decided": record.decided,
        "classifier": record.classifier,
        "ansatz": ansatz,
    }


def _unpacked(said: dict[str, Any], place: str, held: Any) -> Record:
    """Return the record; metrics that the file does not have, for it is older, are NaN."""
    collapses, means = {}, {}
    for j, part in enumerate(said["layers"]):
        own = f"{place} {j} "
        values = dict(part["fields"])
        for field in fields(Collapse):
            if own + field.name in held:
                values[field.name] = held[own + field.name]
            values.setdefault(field.name, "" if field.name == "reason" else float("nan"))
        classes = int(np.sum(held[f"{place} counts"] > 0))
        for name, value in values.items():
            if isinstance(value, np.ndarray) and value.ndim and not value.size:
                values[name] = _unknown((classes,) * value.ndim)
        known = {field.name for field in fields(Collapse)}
        layer = part["layer"]
        collapses[layer] = Collapse(**{name: value for name, value in values.items() if name in known})
        if own + "class means" in held:
            means[layer] = held[own + "class means"]
    ansatz = {layer: FeatureAnsatz(*found) for layer, found in said.get("ansatz", {}).items()}
    return Record(collapses, means, held[f"{place} counts"], said["decided"], said["classifier"], ansatz)
