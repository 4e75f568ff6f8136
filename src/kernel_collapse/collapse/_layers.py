"""The law of separation: how fast tr(S_W S_B^+) falls from layer to layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernel_collapse import _results, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.collapse._collapse import Collapse

__all__ = ["LawOfSeparation", "law_of_separation"]


@dataclass(frozen=True, eq=False)
class LawOfSeparation:
    """A straight line through log tr(S_W S_B^+) against the number of the layer.

    Attributes
    ----------
    log_fuzziness : array, shape (L,)
        Natural logarithm of D = tr(S_W S_B^+), the separation fuzziness, of each layer; NaN where it is not known.
    slope : float
        Of the line of least squares, per layer; negative where layers separate.
    intercept : float
        Of the line, at layer 0, the first.
    decay : float
        exp(slope): the factor by which a layer multiplies D, rho of the paper.
    correlation : float
        Pearson's, of the logarithm and the layer: -1 is the law. NaN where all layers are alike.
    residual : float
        Root of the mean square distance from the line.
    reason : str
        Empty, or why numbers are NaN, or which layers are left out.
    """

    log_fuzziness: Float[np.ndarray, " L"]
    slope: float
    intercept: float
    decay: float
    correlation: float
    residual: float
    reason: str = ""

    def to_frame(self) -> _results.DataFrame:
        """Return a table of a row a layer: its number, the logarithm, and the line.

        Raises
        ------
        ValueError
            If pandas is not installed.
        """
        layers = np.arange(len(self.log_fuzziness))
        line = self.intercept + self.slope * layers
        return _results.frame({"layer": layers, "log_fuzziness": self.log_fuzziness, "line": line})

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        meanings = {
            "slope": "change of log tr(S_W S_B^+) a layer",
            "decay": "factor a layer",
            "correlation": "with the number of the layer",
            "residual": "root mean square distance from the line",
        }
        return _results.fields_as_html("Law of separation", self, meanings)


def law_of_separation(layers: Sequence[Collapse] | Any) -> LawOfSeparation:
    """Return the line through log tr(S_W S_B^+) of layers, the first one first.

    Parameters
    ----------
    layers : sequence
        One `Collapse` per layer, or the numbers tr(S_W S_B^+), which are C times `Collapse.nc1_pinv`. The paper uses
        the covariances of weighting "sample", which are those of the other weightings if the classes have the same
        size.

    Returns
    -------
    LawOfSeparation
        Layers are left out of the line if their `nc1_pinv` is NaN or their number is not positive. The numbers of the
        line are NaN if fewer than two layers are left.

    Raises
    ------
    ValueError
        If fewer than two layers are given.

    References
    ----------
    He and Su (2023), "A law of data separation in deep learning", PNAS 120, arXiv 2210.17020.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> found = kc.law_of_separation([8.0, 4.0, 2.0, 1.0])
    >>> round(found.decay, 6), round(found.correlation, 6)
    (0.5, -1.0)
    """
    given = _validate.several(layers, "layers", "[kc.collapse(...), kc.collapse(...)]")
    if len(given) < 2:
        raise InputError("layers", f"{len(given)} of them", "at least two", "give a Collapse a layer", "are")
    values = np.array([_fuzziness(layer, i) for i, layer in enumerate(given)])
    known = np.isfinite(values) & (values > 0)
    logs = np.full(len(values), np.nan)
    logs[known] = np.log(values[known])
    left = (
        f"left out of the line: layers {', '.join(map(str, np.flatnonzero(~known)))}"
        if not known.all()
        else ""
    )
    where, kept = np.flatnonzero(known).astype(float), logs[known]
    if len(kept) < 2:
        nothing = (float("nan"),) * 5
        return LawOfSeparation(logs, *nothing, f"fewer than two layers have a positive tr(S_W S_B^+); {left}")
    centre, about = where - where.mean(), kept - kept.mean()
    slope = float(centre @ about / (centre @ centre))
    intercept = float(kept.mean() - slope * where.mean())
    off = about - slope * centre
    size = float(np.sqrt((centre @ centre) * (about @ about)))
    # Logarithms that agree to round-off have no direction.
    flat = np.abs(about).max() <= 8.0 * np.finfo(float).eps * max(1.0, np.abs(kept).max())
    said = ["all layers are alike: there is no correlation"] if flat else []
    return LawOfSeparation(
        logs,
        slope,
        intercept,
        float(np.exp(slope)),
        float("nan") if flat else float(centre @ about) / size,
        float(np.sqrt(np.mean(off**2))),
        "; ".join(filter(None, (*said, left))),
    )


def _fuzziness(layer: Any, number: int) -> float:
    if isinstance(layer, Collapse):
        if not np.size(layer.cdnv_pairs, 0):
            raise InputError(
                f"layer {number}",
                "a Collapse whose cdnv_pairs are empty, so that the number of classes is not known",
                "one that has them",
                "give the numbers, C nc1_pinv",
            )
        return float(layer.nc1_pinv) * len(layer.cdnv_pairs)
    return _validate.finite(layer, f"layer {number}")
