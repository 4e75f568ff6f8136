"""What the literature measures of features beside NC1 to NC4, and what of it a Gram matrix tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _arrays, _results, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse import _geometry_parts as parts
from kernel_collapse.collapse._directions import measured_pinv
from kernel_collapse.collapse._features import ClassMeans, by_part
from kernel_collapse.collapse._from_features import axes_of
from kernel_collapse.collapse._moments import EPS, Moments, class_moments
from kernel_collapse.collapse._round_off import FEATURES, UNITS, Measured, Source, settle

__all__ = [
    "Elsewhere",
    "Geometry",
    "against",
    "assemble_geometry",
    "geometry_from_features",
    "mean_of",
    "spreadless",
]

#: What each number is, in a line.
MEANINGS = {
    "gnc1": "GNC1: tr(S_W S_B^+) / C of features of length 1",
    "nc5": "NC5: mean |cos| of class means and the mean of out-of-distribution features",
    "uniformity_distance": "mean distance of class directions",
    "uniformity_distance_variance": "variance of that distance",
    "uniformity_log": "mean log 1/distance of class directions",
    "uniformity_log_variance": "variance of that logarithm",
    "uniformity_riesz": "mean distance^-(p - 2) of class directions",
    "uniformity_riesz_variance": "variance of that power",
    "stable_rank": "stable rank of a class, mean over classes",
    "rankme": "RankMe: effective rank of the features",
    "kernel_target_alignment": "kernel-target alignment with the labels",
    "label_cka": "centred CKA with the labels",
}
NO_OOD = "no out-of-distribution features were given, so nc5 is NaN"


@dataclass(frozen=True, eq=False)
class Geometry:
    r"""Where features lie on the sphere, along how many directions, and how they align with the labels.

    Attributes
    ----------
    gnc1 : float
        GNC1 of Jiang et al.: tr(S_W S_B^+) / C after each feature vector was divided by its length. 0 at collapse.
    nc5 : float
        NC5 of Ammar et al.: mean over classes of \|cos\| between the class mean, not centred, and the mean of the
        out-of-distribution features. 0 at collapse.
    nc5_by_class : array, shape (C,)
        That cosine of each class.
    uniformity_distance : float
        Mean over pairs of classes of the distance d between the class means, centred at the global mean and of length
        1 (Liu et al.). sqrt(2 C/(C - 1)) on the simplex.
    uniformity_distance_variance : float
        Its variance over pairs. 0 at collapse.
    uniformity_log : float
        Mean of log 1/d.
    uniformity_log_variance : float
        Its variance over pairs. 0 at collapse.
    uniformity_riesz : float
        Mean of d^-(p - 2), p being the number of features.
    uniformity_riesz_variance : float
        Its variance over pairs. 0 at collapse.
    stable_rank : float
        tr S_c / \|S_c\|_2 of the covariance S_c of a class, mean over the classes that have spread.
    stable_rank_by_class : array, shape (C,)
        That of each class; NaN of a class without spread.
    rankme : float
        RankMe of Garrido et al.: exponential of the entropy of the singular values of the features, not centred,
        divided by their sum.
    kernel_target_alignment : float
        <K, YY'> / (\|K\| \|YY'\|) with K = H H' and one-hot labels Y (Cortes, Mohri and Rostamizadeh).
    label_cka : float
        The same of K and YY' with rows and columns centred: linear CKA of features and labels.
    reason : str
        Empty, or why numbers are NaN, or how far they are known, as in `kernel_collapse.Collapse`.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(n=60, dim=8)
    >>> found = kc.geometry_from_features(data.x, data.labels)
    >>> round(found.rankme, 2), round(found.label_cka, 2), round(found.uniformity_distance, 6)
    (4.05, 0.99, 2.0)
    """

    gnc1: float
    nc5: float
    nc5_by_class: Float[np.ndarray, " C"]
    uniformity_distance: float
    uniformity_distance_variance: float
    uniformity_log: float
    uniformity_log_variance: float
    uniformity_riesz: float
    uniformity_riesz_variance: float
    stable_rank: float
    stable_rank_by_class: Float[np.ndarray, " C"]
    rankme: float
    kernel_target_alignment: float
    label_cka: float
    reason: str = ""

    def to_frame(self) -> _results.DataFrame:
        """Return a table of one row, a column a number, and `reason`; arrays are left out.

        Raises
        ------
        ValueError
            If pandas is not installed.
        """
        return _results.one_row(self, (*MEANINGS, "reason"))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return _results.fields_as_html("Geometry of features", self, MEANINGS)


class Elsewhere(NamedTuple):
    """Out-of-distribution features against the class means: inner products, squared lengths, and their errors."""

    inner: Float[np.ndarray, " C"]
    squares: Float[np.ndarray, " C"]
    square: float
    errors: tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"], float]


def assemble_geometry(
    measured: dict[str, Measured],
    source: Source,
    classes: int,
    elsewhere: Elsewhere | None,
    ranks: Float[np.ndarray, " C"] | None,
    said: list[str],
) -> Geometry:
    """Return the numbers, NaN where they are not resolved or not known."""
    nothing = np.full(classes, np.nan)
    nan = np.float64("nan")
    by_class = nothing
    known = {name: Measured(nan, nan) for name in MEANINGS} | measured
    if elsewhere is not None:
        known["nc5"], by_class = parts.nc5(*elsewhere)
    values, rounded = settle(known, source)
    reasons = [*said, *([NO_OOD] if elsewhere is None else []), *_undefined(known, elsewhere is not None)]
    return Geometry(
        **{name: float(value) for name, value in values.items()},
        nc5_by_class=by_class,
        stable_rank_by_class=nothing if ranks is None else ranks,
        reason="; ".join(filter(None, (*reasons, rounded))),
    )


def _undefined(known: dict[str, Measured], elsewhere: bool) -> list[str]:
    """Return why numbers that were made are none."""
    found = []
    if np.isnan(known["uniformity_distance"].value):
        found.append("a class mean is the global mean, so it has no direction")
    elif np.isinf(known["uniformity_riesz"].value):
        found.append("two class means have one direction, or nearly: a power of their distance is no float64")
    if elsewhere and np.isnan(known["nc5"].value):
        found.append("a class mean, or that of the out-of-distribution features, is 0: there is no nc5")
    return found


def geometry_from_features(features: Any, labels: Any, *, ood_features: Any = None) -> Geometry:
    r"""Return the geometry of explicit features.

    Parameters
    ----------
    features : array_like, shape (n, p)
        Features, one sample a row. Arrays of PyTorch, JAX and CuPy are read into NumPy's.
    labels : sequence, length n
        As for `kernel_collapse.collapse`.
    ood_features : array_like, shape (m, p), optional
        Features of samples of another distribution, for `nc5`; one row may be their mean.

    Returns
    -------
    Geometry
        The work is that of the singular values, O(n p min(n, p)).

    Raises
    ------
    ValueError
        If shapes do not agree or values are not finite.

    References
    ----------
    Jiang et al. (2023), arXiv 2310.05351; Ammar et al. (2024), arXiv 2310.06823; Liu et al. (2023), arXiv 2303.06484;
    Garrido et al. (2023), arXiv 2210.02885; Cortes et al. (2012), JMLR 13; Kornblith et al. (2019), arXiv 1905.00414.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> features = np.eye(4)[[0, 0, 1, 1, 2, 2]]
    >>> found = kc.geometry_from_features(features, [0, 0, 1, 1, 2, 2], ood_features=np.eye(4)[3:])
    >>> found.gnc1, found.nc5, round(found.rankme, 6), round(found.kernel_target_alignment, 6)
    (0.0, 0.0, 3.0, 1.0)
    """
    from scipy import linalg

    codes, _ = _validate.encode_labels(labels)
    clean = _validate.squarable(_validate.matrix(features, "features", numpy=True), "features")
    _validate.as_many(len(clean), "features", len(codes))
    clean, _ = _arrays.in_reach(clean)
    elsewhere = None if ood_features is None else mean_of(ood_features, clean.shape[1])
    means = ClassMeans(clean, codes)
    spread, _ = means.spread(clean, codes)
    moments = class_moments(means.sizes, spread, means.means, means.origin)
    unit = UNITS * EPS
    second, scatter = _norms(clean, codes, means)
    trace, inner_trace = float(np.sum(clean**2)), float(np.sum(means.sizes * spread))
    inner_trace += float(np.sum(means.sizes * np.sum(means.means**2, axis=1)))
    rank, ranks = _stable_ranks(clean, codes, means)
    singular = linalg.svdvals(clean, check_finite=False)
    gnc1, said = _gnc1(clean, codes)
    return assemble_geometry(
        {
            "gnc1": gnc1,
            **parts.uniformity(moments, clean.shape[1]),
            "stable_rank": rank,
            "rankme": parts.rankme(singular, unit * singular[0]),
            **parts.alignments(
                means.sizes, moments, trace, (second, scatter), (unit * trace, unit * inner_trace)
            ),
        },
        FEATURES,
        means.count,
        None if elsewhere is None else against(elsewhere, means.means + means.origin, moments),
        ranks,
        [*said, *spreadless(ranks)],
    )


def spreadless(ranks: Float[np.ndarray, " C"]) -> list[str]:
    """Return how many classes have no stable rank, if there are any."""
    count = int(np.isnan(ranks).sum())
    return [f"{count} of {len(ranks)} classes have no spread, and no stable rank"] if count else []


def mean_of(ood_features: Any, dim: int) -> Float[np.ndarray, " p"]:
    """Return the mean of out-of-distribution features of that many columns, times a power of two."""
    clean = _validate.squarable(_validate.matrix(ood_features, "ood_features", numpy=True), "ood_features")
    if clean.shape[1] != dim:
        raise InputError(
            "ood_features",
            f"shape {clean.shape}",
            f"{dim} columns, as the features",
            "give those of one layer",
            verb="have",
        )
    found: Float[np.ndarray, " p"] = _arrays.in_reach(clean.mean(axis=0))[0]
    return found


def against(
    mean: Float[np.ndarray, " p"], class_means: Float[np.ndarray, "C p"], moments: Moments
) -> Elsewhere:
    """Return a mean of other features against the class means, which are not centred."""
    unit = UNITS * EPS
    squares, square = np.sum(class_means**2, axis=1), float(mean @ mean)
    own = squares + moments.spread
    errors = (unit * np.sqrt(own * square), unit * own, unit * square)
    return Elsewhere(class_means @ mean, squares, square, errors)


def _norms(
    features: Float[np.ndarray, "n p"], codes: Int[np.ndarray, " n"], means: ClassMeans
) -> tuple[float, float]:
    """Return the Frobenius norms of the Gram matrix and of that of the centred features."""
    n, p = features.shape
    middle = means.means - means.sizes / n @ means.means
    if n < p:
        about = means.deviations(features, codes) + middle[codes]
        return float(np.linalg.norm(features @ features.T)), float(np.linalg.norm(about @ about.T))

    def of_part(here: Float[Any, "r p"], which: Int[np.ndarray, " r"]) -> Float[np.ndarray, "2 p p"]:
        away = means.deviations(here, which)
        return np.stack([here.T @ here, away.T @ away])

    second, within = np.zeros((p, p)), np.zeros((p, p))
    for both in by_part(of_part, features, codes):
        second += both[0]
        within += both[1]
    between = (middle.T * means.sizes) @ middle
    return float(np.linalg.norm(second)), float(np.linalg.norm(within + between))


def _stable_ranks(
    features: Float[np.ndarray, "n p"], codes: Int[np.ndarray, " n"], means: ClassMeans
) -> tuple[Measured, Float[np.ndarray, " C"]]:
    from scipy import linalg

    traces, largest, errors = (np.zeros(means.count) for _ in range(3))
    order = np.argsort(codes, kind="stable")
    for c, rows in enumerate(np.split(order, np.cumsum(np.bincount(codes))[:-1])):
        away = means.deviations(features[rows], codes[rows])
        small = away @ away.T if len(away) < away.shape[1] else away.T @ away
        traces[c] = np.trace(small)
        largest[c] = linalg.eigh(small, eigvals_only=True, subset_by_index=[len(small) - 1, len(small) - 1])[
            0
        ]
        errors[c] = UNITS * EPS * np.sqrt(len(small)) * traces[c]
    return parts.stable_ranks(traces, largest, errors)


def _gnc1(features: Float[np.ndarray, "n p"], codes: Int[np.ndarray, " n"]) -> tuple[Measured, list[str]]:
    """Return tr(S_W S_B^+) / C of the features, each divided by its length."""
    lengths = np.sqrt(_arrays.squares(features))
    if not lengths.all():
        nan = np.float64("nan")
        count = int(np.sum(lengths == 0))
        return Measured(nan, nan), [f"{count} feature vectors are 0 and have no direction: there is no gnc1"]
    unit = features / lengths[:, None]
    means = ClassMeans(unit, codes)
    share = means.sizes / len(codes)
    centre = means.means - share @ means.means
    alone = class_moments(means.sizes, means.reach, means.means, means.origin, eps=EPS)
    axes, lost = axes_of(centre, np.full(means.count, 1.0 / means.count), alone.product_error)

    def of_part(here: Float[Any, "r p"], which: Int[np.ndarray, " r"]) -> float:
        return float(np.sum(_arrays.squares(means.deviations(here, which) @ axes)))

    along = np.float64(sum(by_part(of_part, unit, codes, means.count)) / len(codes))
    # Each direction errs by two units of round-off, unless all of a class are one.
    moved = (along > 0) * (2.0 * EPS) ** 2 * np.max(np.sum(axes**2, axis=0), initial=0.0)
    return measured_pinv(along, lost, moved, means.count), []
