"""Where class means and features are."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.plots._metrics import MARKERS
from kernel_collapse.report.style import style

__all__ = ["cosines", "features"]


def _centred(class_means: Any) -> np.ndarray:
    """Return the class means that are known, about their mean."""
    means = np.asarray(_validate.in_numpy(class_means, "class_means"), dtype=float)
    if means.ndim != 2:
        raise InputError(
            "class_means", f"shape {means.shape}", "(C, p)", "as Record.means_of gives", verb="has"
        )
    known = means[~np.isnan(means).any(axis=1)]
    if len(known) < 2:
        raise InputError("class_means", f"{len(known)} classes with samples", "two at least", verb="has")
    return known - known.mean(axis=0)


def cosines(class_means: Any, *, axes: Any = None) -> Any:
    """Draw the cosines between all pairs of centred class means, with the value -1/(C - 1) of the simplex.

    Parameters
    ----------
    class_means : array, shape (C, p)
        As of `Record.means_of`; classes without a sample, rows of NaN, are left out. They are centred at their mean,
        each class alike.
    axes : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If the shape is another, or fewer than two classes are known.
    """
    import matplotlib.pyplot as plt

    away = _centred(class_means)
    lengths = np.linalg.norm(away, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        all_pairs = (away @ away.T) / np.outer(lengths, lengths)
    values = np.sort(all_pairs[np.triu_indices(len(away), 1)])
    with style():
        panel = plt.subplots(figsize=(4.5, 3.2))[1] if axes is None else axes
        panel.plot(np.arange(1, len(values) + 1), values, "o", color="#0072B2", label="pairs of class means")
        simplex = -1.0 / (len(away) - 1)
        panel.axhline(simplex, color="#D55E00", linestyle="--", label=f"simplex, {simplex:.3g}")
        panel.set_xlabel("pair, in order")
        panel.set_ylabel("cosine")
        panel.set_ylim(-1.05, 1.05)
        panel.legend(loc="upper left")
    return panel


def features(values: Any, labels: Any, *, dimensions: int = 2, axes: Any = None) -> Any:
    """Draw features in the two or three directions in which their class means differ most.

    Parameters
    ----------
    values : array, shape (n, p)
        Features, as of the last layer.
    labels : sequence, length n
        Class of each sample.
    dimensions : {2, 3}
        Directions: the first right singular vectors of the centred class means.
    axes : matplotlib axes, optional
        Of three dimensions, made with projection="3d", where three are drawn.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If shapes do not agree, or there are fewer features or centred class means than dimensions.
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    clean = _validate.matrix(values, "values", numpy=True)
    codes, classes = _validate.encode_labels(labels)
    _validate.as_many(len(clean), "values", len(codes))
    if dimensions not in (2, 3):
        raise InputError.of("dimensions", dimensions, "2 or 3")
    means = np.array([clean[codes == c].mean(axis=0) for c in range(len(classes))])
    turned = np.linalg.svd(_centred(means), full_matrices=False)[2]
    turned = turned[: len(classes) - 1][:dimensions]  # centred means of C classes span C - 1 directions
    if len(turned) < dimensions:
        raise InputError(
            f"{len(classes)} classes of {clean.shape[1]} features",
            f"{len(turned)} directions",
            f"{dimensions}",
            "draw fewer dimensions",
            verb="have",
        )
    places = (clean - means.mean(axis=0)) @ turned.T
    colours = mpl.colormaps["cividis"](np.linspace(0.0, 0.95, len(classes)))
    with style():
        if axes is None:
            axes = plt.figure(figsize=(5.0, 4.2)).add_subplot(projection="3d" if dimensions == 3 else None)
        for c, name in enumerate(classes):
            axes.scatter(
                *places[codes == c].T,
                s=14,
                alpha=0.7,
                color=colours[c],
                marker=MARKERS[c % len(MARKERS)],
                label=str(name),
            )
        axes.set_xlabel("first direction" if dimensions == 3 else "first direction of the class means")
        axes.set_ylabel("second direction")
        if dimensions == 3:
            axes.set_zlabel("third direction")
        beside = (1.02 if dimensions == 2 else 1.15, 0.5)
        axes.legend(title="class", fontsize="small", loc="center left", bbox_to_anchor=beside)
    return axes
