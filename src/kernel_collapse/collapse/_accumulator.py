"""Neural collapse of features that come in batches: one pass, whatever their number, their order and where they are.

What is kept of them is in `_running`. Shares of samples (`accuracy`, `ncm_accuracy`, `nc4`) are counted beside that.
"""

from __future__ import annotations

import os
import zipfile
from copy import deepcopy
from typing import Any

import numpy as np

from kernel_collapse import _arrays, _memory, _validate
from kernel_collapse._files import atomic_write
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse import _batches
from kernel_collapse.collapse._accumulated import TALLIES, collapse_of, geometry_of
from kernel_collapse.collapse._collapse import Collapse
from kernel_collapse.collapse._decisions import Nearest
from kernel_collapse.collapse._geometry import Geometry, mean_of
from kernel_collapse.collapse._nc1 import WEIGHTINGS, Weighting
from kernel_collapse.collapse._running import Running

__all__ = ["Accumulator"]

#: Fewest samples that are added at once: a product of few rows is slow, and so is the correction of many small batches.
BUFFER = 1024
#: What a saved file holds, in this layout.
LAYOUT = 2


class Accumulator:
    """Every metric of neural collapse of features that are given batch by batch.

    Equal to `kernel_collapse.collapse_from_features` of all of them, whatever the batches, their order and the merging.

    Parameters
    ----------
    n_classes : int
        Number of classes C; labels are 0 to C - 1.
    dim : int
        Number of features p.
    metrics : {"all", "traces"}
        "all" keeps the scatter within the classes, O(C p + p^2) numbers. "traces" keeps O(C p) and leaves out what
        needs the scatter: nc1_pinv is NaN.
    class_means : array, shape (C, p), optional
        Class means from an earlier pass, such as those of the last epoch. In this pass samples are assigned to the
        nearest of them. A row of NaN is a class that had no sample there; no sample is assigned to it. Without class
        means `ncm_accuracy` and `nc4` need a second pass, by `decide`.

    Attributes
    ----------
    n_classes, dim, metrics
        As given.
    counts : array, shape (C,)
        Number of samples of each class so far.
    class_means : array, shape (C, p)
        Means of the classes so far; NaN for a class without a sample.

    Raises
    ------
    ValueError
        If the sizes are no whole numbers, or the sums do not fit into memory.

    References
    ----------
    Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance", American Statistician 37.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> labels = np.arange(300) % 3
    >>> features = np.eye(3)[labels] + 0.1 * np.random.default_rng(0).normal(size=(300, 3))
    >>> seen = kc.Accumulator(3, 3)
    >>> for batch in np.array_split(np.arange(300), 7):
    ...     seen.update(features[batch], labels[batch])
    >>> whole = kc.collapse_from_features(features, labels)
    >>> bool(np.isclose(seen.collapse().nc1, whole.nc1, rtol=1e-12))
    True
    """

    def __init__(self, n_classes: int, dim: int, *, metrics: str = "all", class_means: Any = None) -> None:
        self.n_classes = _validate.count(n_classes, "n_classes", least=2)
        self.dim = _validate.count(dim, "dim")
        _validate.choice(metrics, ("all", "traces"), "metrics")
        self.metrics = metrics
        self._rows = max(BUFFER, 4 * self.n_classes)
        scatter = self.dim**2 if metrics == "all" else 0
        _memory.require(
            8.0 * (scatter + (3 * self.n_classes + 2 * self._rows) * self.dim),
            f"an accumulator of {self.n_classes} classes and {self.dim} features with metrics={metrics!r}",
            "pool the features, or choose metrics='traces', which keeps no scatter"
            if scatter
            else "pool the features",
        )
        shape = (self.n_classes, self.dim)
        self._sums = Running(self.n_classes, self.dim, scatter=metrics == "all")
        self._waiting, self._codes, self._filled = np.empty((0, self.dim)), np.empty(0, dtype=np.int64), 0
        self._given = None
        if class_means is not None:
            self._given = _batches.class_means(class_means, shape)
        #: Of each share of samples, class by class: how many agree, how many are in doubt, and of how many.
        self._tallies = {name: np.zeros((3, self.n_classes)) for name in TALLIES}

    # -- what is given

    def update(self, features: Any, labels: Any, logits: Any = None) -> None:
        """Add a batch.

        Parameters
        ----------
        features : array, shape (m, p)
            Of NumPy, PyTorch or JAX, on any device, in any floating precision.
        labels : array, shape (m,)
            Class numbers, 0 to C - 1.
        logits : array, shape (m, C), optional
            Outputs of the classifier, for `accuracy`, and for `nc4` where class means were given.

        Raises
        ------
        ValueError
            If shapes do not agree, labels are not among the classes, or a value is not finite. Nothing is added then.
        """
        batch, codes, decided = _batches.read(features, labels, logits, (self.n_classes, self.dim))
        if self._given is not None:
            self._vote(self._given, batch, codes, decided)
        elif decided is not None:
            self._count("accuracy", codes, decided == codes)
        if not len(self._waiting):
            self._waiting, self._codes = (
                np.empty((self._rows, self.dim)),
                np.empty(self._rows, dtype=np.int64),
            )
        for top in range(0, len(codes), self._rows):
            part = codes[top : top + self._rows]
            if self._filled + len(part) > self._rows:
                self._flush()
            here = slice(self._filled, self._filled + len(part))
            self._waiting[here], self._codes[here] = batch[top : top + self._rows], part
            self._filled = here.stop

    def decide(self, features: Any, labels: Any, logits: Any = None) -> None:
        """Put a batch of a second pass to the nearest of the class means of the first, for `ncm_accuracy` and `nc4`.

        Parameters
        ----------
        features, labels, logits
            As for `update`; `nc4` needs the logits.

        Raises
        ------
        ValueError
            As for `update`; or if class means were given, with which the first pass has decided already, or a class had
            no sample in it.
        """
        if self._given is not None:
            raise InputError(
                "a second pass",
                "given to an accumulator with class_means",
                "one or the other",
                "leave class_means out, or call update alone",
            )
        batch, codes, decided = _batches.read(features, labels, logits, (self.n_classes, self.dim))
        means = self.class_means
        if not self.counts[codes].all():
            raise InputError(
                f"class {codes[self.counts[codes] == 0][0]}",
                "no sample in the first pass",
                "the samples of that pass",
                "call update for all of them first",
                verb="had",
            )
        self._vote(means, batch, codes, decided)

    def merge(self, other: Accumulator) -> None:
        """Add what another accumulator has seen: another process, another file.

        Raises
        ------
        ValueError
            If it is of other classes, features, metrics or class means.
        """
        _validate.instance(other, Accumulator, "other", "merge accumulators")
        for name in ("n_classes", "dim", "metrics"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise InputError(
                    "other", f"{name} {theirs!r}", f"{mine!r}", "merge accumulators of one kind", verb="has"
                )
        if not np.array_equal(_given(self), _given(other), equal_nan=True):
            raise InputError(
                "other", "other class_means", "the same", "give both those of one pass before", verb="has"
            )
        self._flush()
        other._flush()
        self._sums.merge(other._sums)
        for name, tally in other._tallies.items():
            self._tallies[name] += tally

    @property
    def decisions(self) -> dict[str, Float[np.ndarray, "3 C"]]:
        """How many samples of each class agree, are in doubt, and were seen, by share: for `add_decisions`."""
        return {name: tally.copy() for name, tally in self._tallies.items() if name != "accuracy"}

    def add_decisions(self, decisions: dict[str, Float[np.ndarray, "3 C"]]) -> None:
        """Add the `decisions` that another process made in its second pass, after the sums were merged.

        Parameters
        ----------
        decisions : dict
            Of an accumulator with the same sums.
        """
        for name, tally in decisions.items():
            self._tallies[name] += tally

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to another process: the sums, with the samples that waited added to them."""
        self._flush()
        waiting = {"_waiting": np.empty((0, self.dim)), "_codes": np.empty(0, dtype=np.int64)}
        return self.__dict__ | waiting

    def __copy__(self) -> Accumulator:
        """Return an accumulator that has seen the same and goes its own way."""
        return deepcopy(self)

    # -- what is found

    @property
    def counts(self) -> Int[np.ndarray, " C"]:
        """Number of samples of each class so far."""
        self._flush()
        return self._sums.counts.copy()

    @property
    def class_means(self) -> Float[np.ndarray, "C p"]:
        """Means of the classes so far; NaN for a class without a sample."""
        self._flush()
        return np.where(self.counts[:, None] > 0, self._sums.reference + self._sums.shift, np.nan)

    def collapse(
        self, *, classifier: Any = None, bias: Any = None, weighting: Weighting = "paper"
    ) -> Collapse:
        """Return every metric of what was seen so far.

        Parameters
        ----------
        classifier : array, shape (C, p), optional
            Weights of the last layer, a row a class, for NC3.
        bias : array, shape (C,), optional
            Of the last layer, for `nc_bias`. Decisions are those of the logits.
        weighting
            As for `kernel_collapse.collapse`. With "class" and classes of different sizes nc1_pinv is NaN, for it would
            need the scatter of each class.

        Returns
        -------
        Collapse
            As of `kernel_collapse.collapse_from_features`. Classes without a sample are left out. What was not asked
            for is NaN. `reason` names the classes left out, and says where `ncm_accuracy` and `nc4` were decided with
            class means that were given.

        Raises
        ------
        ValueError
            If fewer than two classes have been seen, or shapes do not agree.
        """
        _validate.choice(weighting, WEIGHTINGS, "weighting")
        weights, bias = _batches.classifier(classifier, bias, (self.n_classes, self.dim))
        self._flush()
        return collapse_of(
            self._sums, self._tallies, weights, bias, weighting, given_means=self._given is not None
        )

    def geometry(self, *, ood_features: Any = None) -> Geometry:
        """Return the geometry of what was seen so far, as far as the sums tell it.

        Parameters
        ----------
        ood_features : array, shape (m, dim), optional
            Features of samples of another distribution, for `nc5`; one row may be their mean.

        Returns
        -------
        Geometry
            As of `kernel_collapse.geometry_from_features`, with NaN where the features themselves are needed:
            `gnc1` and `stable_rank`. `metrics="traces"` knows neither `rankme` nor the alignments.

        Raises
        ------
        ValueError
            If fewer than two classes have been seen, or shapes do not agree.
        """
        mean = None if ood_features is None else mean_of(ood_features, self.dim)
        self._flush()
        return geometry_of(self._sums, mean)

    # -- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to an .npz file, from which `load` goes on.

        Raises
        ------
        ValueError
            If the name does not end in .npz.
        """
        self._flush()
        file = _validate.path(path, "path", "the name of an .npz file")
        if file.suffix != ".npz":
            raise InputError(
                "path", f"{str(file)!r}", "a name that ends in .npz", f"try {str(file) + '.npz'!r}"
            )
        held = {name: getattr(self._sums, name) for name in _SAVED} | {"given": self._given}
        with atomic_write(file) as part, part.open("wb") as new:
            np.savez(
                new,
                layout=LAYOUT,
                n_classes=self.n_classes,
                dim=self.dim,
                metrics=self.metrics,
                tallies=np.array([*self._tallies.values()]),
                **{name: array for name, array in held.items() if array is not None},
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Accumulator:
        """Return the accumulator that `save` wrote.

        Raises
        ------
        ValueError
            If the file is not one.
        """
        file = _validate.path(path, "path", "the name of an .npz file")
        try:
            with np.load(file, allow_pickle=False) as held:
                if int(held["layout"]) != LAYOUT:
                    raise ValueError(f"layout {held['layout']}")
                found = cls(
                    int(held["n_classes"]),
                    int(held["dim"]),
                    metrics=str(held["metrics"]),
                    class_means=held.get("given"),
                )
                for name in _SAVED:
                    mine = getattr(found._sums, name)
                    if mine is not None:
                        mine[...] = held[name].reshape(mine.shape)
                for tally, row in zip(found._tallies.values(), held["tallies"], strict=True):
                    tally[:] = row
                return found
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{str(file)!r}",
                f"no accumulator ({error})",
                "a file that Accumulator.save wrote",
                verb="holds",
            ) from None

    # -- the sums

    def _vote(
        self,
        means: Float[np.ndarray, "C p"],
        batch: Float[np.ndarray, "m p"],
        codes: Int[np.ndarray, " m"],
        decided: Int[np.ndarray, " m"] | None,
    ) -> None:
        """Count the samples that are nearest to their own class mean, and where that is the class decided for."""
        known = np.flatnonzero(np.isfinite(means).all(axis=1))
        origin = means[known].mean(axis=0)
        nearest = Nearest(means[known] - origin)
        about = batch - origin
        best, doubt = nearest(about, 2.0 * _arrays.squares(about))
        best = known[best]
        self._count("ncm_accuracy", codes, best == codes, doubt)
        if decided is not None:
            self._count("nc4", codes, best == decided, doubt)
            name = "accuracy" if self._given is not None else "accuracy again"
            self._count(name, codes, decided == codes)

    def _count(self, name: str, codes: Int[np.ndarray, " m"], agree: Any, doubt: Any = False) -> None:
        for row, told in zip(self._tallies[name], (agree, doubt, True), strict=True):
            row += np.bincount(codes, np.broadcast_to(told, codes.shape), self.n_classes)

    def _flush(self) -> None:
        """Add the samples that wait."""
        codes, self._filled = self._codes[: self._filled], 0
        if len(codes):
            self._sums.add(self._waiting[: len(codes)], codes)


#: The arrays of a file.
_SAVED = ("counts", "reference", "shift", "squares", "scatter")


def _given(accumulator: Accumulator) -> Float[np.ndarray, "c p"]:
    means = accumulator._given
    return np.empty((0, accumulator.dim)) if means is None else means
