"""Measure how collapsed a user's own data are under each kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_collapse import _memory, _validate
from kernel_collapse._grams import made, samples_of
from kernel_collapse._input_error import InputError, KernelRefused
from kernel_collapse._methods import FEATURES, METHODS, Measurement, choose_method, cost, needed
from kernel_collapse._names import NAMES
from kernel_collapse._shapes import Int
from kernel_collapse._specify import specify
from kernel_collapse.collapse import (
    Collapse,
    Weighting,
    collapse,
    collapse_from_features,
    nc1_from_features,
    sampled_nc1,
    streamed_collapse,
)
from kernel_collapse.collapse._from_gram import held_out_of_gram
from kernel_collapse.data import Dataset
from kernel_collapse.data._labels import codes_like
from kernel_collapse.data._names import aligned
from kernel_collapse.data.remarks import remarks
from kernel_collapse.kernels import Kernel
from kernel_collapse.readout import Readout, of_features, of_samples
from kernel_collapse.runs.deep_rfm import DeepRFMNC1
from kernel_collapse.runs.measurements import AdaptiveNC1, KernelNC1

if TYPE_CHECKING:
    import pandas as pd

#: The metrics as they are shown, and the attributes of a `Collapse` that hold them.
METRICS_OF = {
    "NC1": "nc1",
    "tr S_W": "within",
    "tr S_B": "between",
    "NC1 pinv": "nc1_pinv",
    "tr S_W / tr S_T": "nc1_total",
    "CDNV": "cdnv",
    "CDNV quartic": "cdnv_quartic",
    "NC2 norms": "nc2_norms",
    "NC2 angles": "nc2_angles",
    "NC2 maximal angle": "nc2_maximal_angle",
    "NC2 ETF": "nc2_etf",
    "NC2 Gram": "nc2_gram",
    "NC2 W norms": "nc2_classifier_norms",
    "NC2 W angles": "nc2_classifier_angles",
    "NC2 W maximal angle": "nc2_classifier_maximal_angle",
    "NC2 W Gram": "nc2_classifier_gram",
    "NC3": "nc3",
    "NC3 cosine": "nc3_cosine",
    "NC3 uncentred": "nc3_uncentred",
    "NC3 cosine uncentred": "nc3_cosine_uncentred",
    "NC3 self-duality": "nc3_self_duality",
    "GNC3": "gnc3",
    "UNC3": "unc3",
    "UNC3 cosine": "unc3_cosine",
    "bias": "nc_bias",
    "NC4": "nc4",
    "NC4 class-wise": "nc4_classwise",
    "NCM accuracy": "ncm_accuracy",
    "accuracy": "accuracy",
}
#: Those of a `Geometry`, which features that someone saved have besides.
GEOMETRY_OF = {
    "GNC1": "gnc1",
    "NC5": "nc5",
    "uniformity distance": "uniformity_distance",
    "uniformity log": "uniformity_log",
    "stable rank": "stable_rank",
    "RankMe": "rankme",
    "kernel-target alignment": "kernel_target_alignment",
    "CKA with labels": "label_cka",
}
METRICS = (*METRICS_OF, *GEOMETRY_OF)
#: The metrics of some samples under one kernel, and the reason why some of them are not a number.
Row = dict[str, Any]
__all__ = ["FEATURES", "METHODS", "METRICS", "choose_method", "cost", "measure", "remarks", "specify"]


def measure(
    dataset: Dataset,
    measurements: Sequence[Measurement],
    weighting: Weighting = "paper",
    *,
    test: Dataset | None = None,
    method: str = "auto",
    readout: Readout | None = None,
    progress: Callable[[Measurement], None] | None = None,
) -> pd.DataFrame:
    """Return a row for each kernel, and one more for the held-out samples: every metric of collapse.

    Of each row `reason` says why some of its metrics are not a number, if they should be.

    Parameters
    ----------
    dataset : Dataset
        The samples; its targets are what the classifier of each kernel is fitted to, with the ridge of
        `kernel_collapse.collapse`.
    measurements : sequence
        As `specify` gives them; and kernels, `kernel_collapse.kernels.Kernel`, each as it is.
    weighting
        As for `kernel_collapse.nc1`.
    test : Dataset, optional
        Held-out samples, with classes among those of the data set, of which one alone may be there. Features are
        matched by name, where both have names.
    method : {"auto", "dense", "streamed", "sampled"}
        See `choose_method`.
    readout : Readout, optional
        Of features that someone saved: the data themselves are measured by it, with its classifier, and without any
        Gram matrix.
    progress : callable, optional
        Is given each measurement when it is done.

    Raises
    ------
    ValueError
        If the method cannot do what is asked, the held-out samples do not fit the others, or memory runs out.
    """
    import pandas as pd

    chosen = FEATURES[0]
    if readout is None or len(measurements) > 1:
        chosen, _ = choose_method(
            len(dataset.x), measurements, method, held_out=test is not None, weighting=weighting
        )
    for what in measurements:
        for each in (dataset, test):
            if each is not None:
                samples_of(what, each)
    codes = None
    if test is not None:
        test = aligned(test, dataset)
        codes = codes_like([test.classes[code] for code in test.labels], dataset.classes, f" of {test.name}")
    rows = []
    base: dict[str, float] = {}
    for what in measurements:
        try:
            if readout is not None and _is_data(what):
                found = _features(dataset, readout, weighting, test, codes)
            else:
                found = _one(what, dataset, test, codes, weighting, chosen)
        except MemoryError:
            raise InputError(
                "memory",
                f"while {_named(what)['kernel']} of {len(dataset.x)} samples was measured by the method "
                f"{chosen!r}, which may take {_memory.size(needed(len(dataset.x)))} where it is dense",
                f"less than the {_memory.size(_memory.available() or 0)} that are free",
                "measure a random subset",
                verb="ran out",
            ) from None
        for samples, values in found.items():
            base.setdefault(samples, values["NC1"])
            rows.append(
                _named(what)
                | {
                    "samples": samples,
                    "NC1 / NC1(data)": values["NC1"] / base[samples] if base[samples] else float("nan"),
                }
                | values
            )
        if progress is not None:
            progress(what)
    order = ["kernel", "activation", "depth", "samples", "NC1", "NC1 / NC1(data)", *METRICS[1:]]
    table = pd.DataFrame(rows)
    return table[[*order, *(c for c in ("NC1 low", "NC1 high") if c in table), "reason"]]


def _named(what: Measurement) -> dict[str, str]:
    """Return how a table names what is measured."""
    if isinstance(what, Kernel):
        return {"kernel": _validate.shown(what), "activation": "–", "depth": "–"}
    if what.activation is None:
        return {"kernel": NAMES[what.kernel], "activation": "–", "depth": "–"}
    return {
        "kernel": NAMES[what.kernel],
        "activation": NAMES.get(what.activation, what.activation),
        "depth": str(getattr(what, "depth", 1)),
    }


def _one(
    what: Measurement,
    dataset: Dataset,
    test: Dataset | None,
    codes: Int[np.ndarray, " m"] | None,
    weighting: Weighting,
    method: str,
) -> dict[str, Row]:
    """Return the metrics of training and held-out samples under one kernel, each with why some are not a number."""
    if method == "dense":
        if _is_data(what):
            found = of_samples(dataset, weighting, test, codes)
            return {samples: _values(each) for samples, each in found.items()}
        return _dense(what, dataset, test, codes, weighting)
    if isinstance(what, AdaptiveNC1 | DeepRFMNC1):
        raise AssertionError("choose_method gives what is solved a whole Gram matrix")
    one = _streamed if method == "streamed" else _sampled
    return {"training": _resolved(what, lambda: one(what, dataset, weighting))}


def _dense(
    what: Measurement, dataset: Dataset, test: Dataset | None, codes: Any, weighting: Weighting
) -> dict[str, Row]:
    """Return the metrics of training and held-out samples, each with why some are not a number."""
    which = ("training",) if test is None else ("training", "held-out")
    try:
        kernel, others, reason = made(what, dataset)
    except KernelRefused as refusal:
        return dict.fromkeys(which, _nothing(_unresolved(what, refusal)))
    if kernel is None:
        return dict.fromkeys(which, _nothing(reason))
    # No ridge in proportion to it makes a kernel of zeros definite; the rest can be said without a classifier.
    targets = dataset.targets if kernel.diagonal().any() else None

    def training() -> Row:
        return _values(collapse(kernel, dataset.labels, targets=targets, weighting=weighting))

    def held_out(test: Dataset) -> Row:
        cross, diagonal, missing = others(test)
        if missing:
            return _nothing(missing)
        found = held_out_of_gram(
            kernel,
            dataset.labels,
            cross,
            diagonal,
            codes,
            targets=targets,
            weighting=weighting,
            names=dataset.classes,
        )
        return _values(found)

    values = {"training": _resolved(what, training)}
    if test is not None:
        values["held-out"] = _resolved(what, lambda: held_out(test))
    said = {
        samples: "; ".join(dict.fromkeys(filter(None, (reason, row["reason"]))))
        for samples, row in values.items()
    }
    return {samples: row | {"reason": said[samples]} for samples, row in values.items()}


def _resolved(what: Measurement, row: Callable[[], Row]) -> Row:
    """Return a row, without numbers where the kernel of these samples is none in float64."""
    try:
        return row()
    except KernelRefused as refusal:
        return _nothing(_unresolved(what, refusal))


def _unresolved(what: Measurement, refusal: KernelRefused) -> str:
    """Return why there are no numbers; a user's own code, of which nobody knows whether it is a kernel, is refused."""
    if isinstance(what, Kernel) and what._given:
        raise refusal
    return refusal.as_reason("centre and scale the features (--standardize), or leave the kernel out")


def _nothing(reason: str) -> Row:
    return dict.fromkeys(METRICS, float("nan")) | {"reason": reason}


def _is_data(what: Measurement) -> bool:
    return isinstance(what, KernelNC1) and what.kernel == "data"


def _features(
    dataset: Dataset, readout: Readout, weighting: Weighting, test: Dataset | None, codes: Any
) -> dict[str, Row]:
    """Return the metrics of features that someone saved, each with why some are not a number."""
    values = {}
    for samples, (found, around) in of_features(dataset, readout, weighting, test, codes).items():
        values[samples] = _values(found)
        if around is not None:
            reasons = dict.fromkeys(filter(None, (found.reason, around.reason)))
            values[samples] |= {name: getattr(around, field) for name, field in GEOMETRY_OF.items()}
            values[samples]["reason"] = "; ".join(reasons)
    return values


def _streamed(what: KernelNC1 | Kernel, dataset: Dataset, weighting: Weighting) -> Row:
    if isinstance(what, Kernel):
        found = streamed_collapse(samples_of(what, dataset), dataset.labels, kernel=what, weighting=weighting)
        return _values(found)
    if what.kernel == "data":
        return _values(collapse_from_features(dataset.x, dataset.labels, weighting=weighting))
    return _values(streamed_collapse(dataset.x, dataset.labels, weighting=weighting, **what.model_dump()))


def _sampled(what: KernelNC1 | Kernel, dataset: Dataset, weighting: Weighting) -> Row:
    nothing: Row = dict.fromkeys(METRICS, float("nan"))
    if isinstance(what, KernelNC1) and what.kernel == "data":
        exact = nc1_from_features(dataset.x, dataset.labels, weighting=weighting)
        found = {"NC1": exact.ratio, "tr S_W": exact.within, "tr S_B": exact.between}
        return nothing | found | {"NC1 low": exact.ratio, "NC1 high": exact.ratio, "reason": exact.reason}
    options: dict[str, Any] = {"kernel": what} if isinstance(what, Kernel) else what.model_dump()
    value = sampled_nc1(samples_of(what, dataset), dataset.labels, weighting=weighting, **options)
    found = {"NC1": value.ratio, "tr S_W": value.within, "tr S_B": value.between}
    return nothing | found | {"NC1 low": value.low, "NC1 high": value.high, "reason": value.reason}


def _values(found: Collapse) -> Row:
    nothing = dict.fromkeys(GEOMETRY_OF, float("nan"))
    metrics = {name: getattr(found, attribute) for name, attribute in METRICS_OF.items()}
    return metrics | nothing | {"reason": found.reason}
