"""The metrics of what an accumulator has seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse import _geometry_parts as parts
from kernel_collapse.collapse._collapse import Collapse
from kernel_collapse.collapse._decisions import Shares, shares_of
from kernel_collapse.collapse._directions import measured_pinv
from kernel_collapse.collapse._from_features import Layer, aligned, axes_of
from kernel_collapse.collapse._geometry import Geometry, against, assemble_geometry
from kernel_collapse.collapse._metrics import Seen, assemble
from kernel_collapse.collapse._moments import EPS, Moments, class_moments
from kernel_collapse.collapse._nc1 import Weighting, class_weights
from kernel_collapse.collapse._round_off import FEATURES, UNITS, Measured
from kernel_collapse.collapse._running import Running

__all__ = ["TALLIES", "collapse_of", "geometry_of"]

#: Shares of samples that are counted; the last is the accuracy of a second pass.
TALLIES = ("ncm_accuracy", "nc4", "accuracy", "accuracy again")


class Known:
    """Class means and spreads of the classes that have a sample, as `ClassMeans` has them.

    Attributes
    ----------
    seen : array, shape (c,)
        Numbers of the classes that have a sample.
    sizes : array, shape (c,)
    origin : array, shape (p,)
        The mean of all samples.
    means : array, shape (c, p)
        Class means about the origin.
    moments : Moments
    """

    def __init__(self, sums: Running) -> None:
        self.seen: Int[np.ndarray, " c"] = np.flatnonzero(sums.counts)
        if len(self.seen) < 2:
            raise InputError(
                f"samples of {len(self.seen)} classes",
                "given",
                "at least two",
                "call update for every batch",
                verb="were",
            )
        self.sizes: Float[np.ndarray, " c"] = sums.counts[self.seen].astype(float)
        share = self.sizes / self.sizes.sum()
        reference, shift = sums.reference[self.seen], sums.shift[self.seen]
        self.origin: Float[np.ndarray, " p"] = share @ reference + share @ shift
        self.means: Float[np.ndarray, "c p"] = (reference - self.origin) + shift
        spread = sums.squares[self.seen] / self.sizes
        self.moments: Moments = class_moments(self.sizes, spread, self.means, self.origin)


def collapse_of(
    sums: Running,
    tallies: dict[str, Float[np.ndarray, "3 C"]],
    weights: Float[np.ndarray, "C p"] | None,
    bias: Float[np.ndarray, " C"] | None,
    weighting: Weighting,
    *,
    given_means: bool,
) -> Collapse:
    """Return every metric of the samples so far; `given_means` tells whether those decided were of a pass before."""
    known = Known(sums)
    seen, moments = known.seen, known.moments
    u, q, p = class_weights(weighting, moments.share, moments.share)
    each = u / known.sizes
    centre = known.means - p @ known.means
    layer = None
    if weights is not None:
        layer = Layer(weights[seen], None if bias is None else bias[seen], np.eye(len(seen)))
    middle = known.origin + p @ known.means
    found = assemble(
        Seen(
            moments,
            _pinv(sums, centre, each, q, moments),
            _decisions(tallies, seen),
            None if layer is None else aligned(layer, centre, p, moments, middle),
        ),
        weighting,
        float("nan"),
    )
    said = _remarks(sums, seen, each)
    if not tallies["ncm_accuracy"].any():
        said.append("ncm_accuracy and nc4 need a second pass (decide) or class_means")
    elif given_means:
        said.append("ncm_accuracy and nc4 are decided with the class means that were given")
    if weights is not None and not any(tallies[name].any() for name in ("accuracy", "accuracy again")):
        said.append("accuracy and nc4 need logits")
    return replace(found, reason="; ".join(filter(None, (found.reason, *said))))


def _decisions(tallies: dict[str, Float[np.ndarray, "3 C"]], seen: Int[np.ndarray, " c"]) -> Shares:
    """Return shares of samples; the accuracy of the first pass if it had logits, and else that of the second."""
    first = tallies["accuracy"] if tallies["accuracy"].any() else tallies["accuracy again"]
    chosen = {name: tallies[name] for name in ("ncm_accuracy", "nc4")} | {"accuracy": first}
    return shares_of({name: tuple(tally[:, seen]) for name, tally in chosen.items()})


def _pinv(
    sums: Running,
    centre: Float[np.ndarray, "c p"],
    each: Float[np.ndarray, " c"],
    q: Float[np.ndarray, " c"],
    moments: Moments,
) -> Measured:
    """Return tr(S_W S_B^+) / C of the pooled scatter, which weighs each sample alike."""
    if sums.scatter is None or not _alike(each):
        return Measured(np.float64("nan"), np.float64("nan"))
    axes, lost = axes_of(centre, q, moments.product_error)
    along = each[0] * np.sum((sums.scatter @ axes) * axes)
    return measured_pinv(along, lost, 0.0 * lost, len(each))


def _remarks(sums: Running, seen: Int[np.ndarray, " c"], each: Float[np.ndarray, " c"]) -> list[str]:
    """Return what is to be known of the metrics beside their round-off."""
    said = []
    if len(seen) < len(sums.counts):
        unseen = np.setdiff1d(np.arange(len(sums.counts)), seen)
        more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
        said.append(f"classes without a sample are left out: {', '.join(map(str, unseen[:5]))}{more}")
    if sums.scatter is None:
        said.append("nc1_pinv needs metrics='all'")
    elif not _alike(each):
        said.append("nc1_pinv with weighting 'class' needs classes of one size, or collapse_from_features")
    return said


def _alike(weights: Float[np.ndarray, " c"]) -> bool:
    """Whether each sample counts alike, whatever its class."""
    return bool(np.ptp(weights) <= 1e-12 * np.max(weights))


def geometry_of(sums: Running, ood_mean: Float[np.ndarray, " p"] | None) -> Geometry:
    """Return the geometry of the samples so far, as far as their sums tell it."""
    sums = sums.in_reach()
    known = Known(sums)
    moments, sizes, n = known.moments, known.sizes, known.sizes.sum()
    class_means = known.means + known.origin
    measured = parts.uniformity(moments, class_means.shape[1])
    said = ["gnc1 and stable_rank need the features themselves"]
    if sums.scatter is None:
        said.append("rankme, kernel_target_alignment and label_cka need metrics='all'")
    else:
        middle = known.means - sizes / n @ known.means
        centred = sums.scatter + (middle.T * sizes) @ middle
        second = sums.scatter + (class_means.T * sizes) @ class_means
        trace, unit = float(np.trace(second)), UNITS * EPS
        values = np.linalg.eigvalsh(second)[::-1]
        norms = float(np.linalg.norm(second)), float(np.linalg.norm(centred))
        measured["rankme"] = parts.rankme_of_squares(values, unit * max(trace, values[0]))
        measured |= parts.alignments(
            sizes, moments, trace, norms, (unit * trace, unit * float(np.trace(centred)))
        )
    elsewhere = None if ood_mean is None else against(ood_mean, class_means, moments)
    return assemble_geometry(measured, FEATURES, len(sizes), elsewhere, None, said)
