"""What `kernel_collapse.collapse` and its kin return: every metric, and where one is NaN, why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kernel_collapse import _results
from kernel_collapse._shapes import Float

__all__ = ["MEANINGS", "Collapse"]

#: What each number is, in a line.
MEANINGS = {
    "nc1": "NC1: tr S_W / tr S_B",
    "within": "tr S_W",
    "between": "tr S_B",
    "nc1_pinv": "NC1: tr(S_W S_B^+) / C",
    "nc1_total": "NC1: tr S_W / tr S_T",
    "cdnv": "CDNV: variance over squared distance of means, mean over pairs of classes",
    "cdnv_quartic": "CDNV with the fourth power of the distance",
    "nc2_norms": "NC2: equal norms of class means",
    "nc2_angles": "NC2: equal angles of class means",
    "nc2_maximal_angle": "NC2: maximal angles of class means",
    "nc2_etf": "NC2: distance of the cosines of class means to the simplex",
    "nc2_gram": "NC2: distance of M M' to the simplex",
    "nc2_classifier_norms": "NC2: equal norms of the classifier's rows",
    "nc2_classifier_angles": "NC2: equal angles of the classifier's rows",
    "nc2_classifier_maximal_angle": "NC2: maximal angles of the classifier's rows",
    "nc2_classifier_gram": "NC2: distance of W W' to the simplex",
    "nc3": "NC3: distance of W M' to the simplex, W centred",
    "nc3_cosine": "NC3: cosine of W and M, W centred (1 at collapse)",
    "nc3_uncentred": "NC3: distance of W M' to the simplex",
    "nc3_cosine_uncentred": "NC3: cosine of W and M (1 at collapse)",
    "nc3_self_duality": "NC3: distance of W to M, both of norm 1",
    "gnc3": "GNC3: 1 - mean cosine of a row of W and its class mean",
    "unc3": "UNC3: variance of <w_c, m_c> over classes",
    "unc3_cosine": "UNC3 of cosines",
    "nc_bias": "bias: |b + W h_G|",
    "nc4": "NC4: classifier agrees with the nearest class mean (1 at collapse)",
    "nc4_classwise": "NC4, mean over classes (1 at collapse)",
    "ncm_accuracy": "accuracy of the nearest class mean",
    "accuracy": "accuracy of the classifier",
    "noise_variance": "ridge of the classifier fitted here",
}


@dataclass(frozen=True, eq=False)
class Collapse:
    r"""The metrics of neural collapse of one set of samples.

    M are the class means (C x p) about the global mean h_G. W are the rows of the classifier (C x p); row c belongs
    to class c. b is its bias, S = (I - 11'/C) / sqrt(C - 1) is the simplex, and \|.\| is the Frobenius norm.
    docs/metrics.md says which paper and which code has which number. Every metric is 0 at collapse unless its
    description says something else.

    Attributes
    ----------
    nc1 : float
        NC1 as a ratio of traces, tr S_W / tr S_B; see `kernel_collapse.nc1`.
    within : float
        tr S_W, in the squared units of the features.
    between : float
        tr S_B, in the squared units of the features.
    nc1_pinv : float
        NC1 of Papyan, Han and Donoho, tr(S_W S_B^+) / C, which weighs each direction between the classes by its own
        spread. S_B^+ keeps the directions that the precision tells from 0.
    cdnv : float
        Class-distance normalised variance (v_c + v_c') / (2 \|m_c - m_c'\|^2), the mean over pairs of classes, each
        pair alike whatever its sizes.
    cdnv_pairs : array, shape (C, C)
        That of each pair; 0 on the diagonal. Classes are in sorted order (ordered categories of pandas: in theirs),
        or, if they cannot be sorted, in the order of their first samples. NaN of a pair with a class of which no
        sample is held out, where the samples are held out; `cdnv` leaves it out.
    nc2_norms : float
        Equal norms: coefficient of variation (deviation over mean) of the norms of M's rows.
    nc2_angles : float
        Equal angles: standard deviation of the cosines between M's rows.
    nc2_etf : float
        Frobenius distance of the matrix of cosines between M's rows to that of the simplex, (C I - 11')/(C - 1). No
        paper uses it; the literature uses `nc2_gram`.
    nc3 : float
        Distance of W M' to S, both of norm 1. W is centred as M is, because a part that all rows share decides
        nothing.
    nc3_cosine : float
        Cosine between W, centred, and M: <W, M> / (\|W\| \|M\|). 1 at collapse.
    nc4 : float
        Share of the samples whose nearest class mean is the class that the classifier decides for. 1 at collapse.
    ncm_accuracy : float
        Share of the samples whose nearest class mean is that of their class.
    accuracy : float
        Share of the samples that the classifier puts into their class.
    nc1_total : float
        tr S_W / tr S_T, S_T = S_W + S_B with the classes weighted alike in both: the share of the variance that lies
        within the classes. 1 where all class means coincide.
    cdnv_quartic : float
        `cdnv` with the fourth power of the distance, in units of 1 / features^2.
    nc2_maximal_angle : float
        Mean of \|cos + 1/(C - 1)\| over pairs of M's rows.
    nc2_gram : float
        \|M M'/\|M M'\| - S\|, of lengths and angles together.
    nc2_classifier_norms : float
        `nc2_norms` of W, its rows as they are.
    nc2_classifier_angles : float
        `nc2_angles` of W, its rows as they are.
    nc2_classifier_maximal_angle : float
        `nc2_maximal_angle` of W, its rows as they are.
    nc2_classifier_gram : float
        \|W W'/\|W W'\| - S\|, the rows as they are.
    nc3_uncentred : float
        \|W M'/\|W M'\| - S\|, the rows of W as they are.
    nc3_cosine_uncentred : float
        Cosine between W, its rows as they are, and M. 1 at collapse.
    nc3_self_duality : float
        \|W/\|W\| - M/\|M\|\|, the rows of W as they are; the square of it is 2 - 2 `nc3_cosine_uncentred`.
    gnc3 : float
        1 minus the mean over classes of the cosine between row c of W, as it is, and row c of M.
    unc3 : float
        Variance over classes of <w_c, m_c>, in the squared units of weights times features.
    unc3_cosine : float
        Variance over classes of the cosine between w_c and m_c.
    nc_bias : float
        \|b + W h_G\|, the outputs at the global mean, in their units. NaN where no bias was given; a classifier that
        was fitted here has none, and b is 0.
    nc4_classwise : float
        The share of `nc4`, computed in each class and averaged over classes. 1 at collapse.
    nc4_by_class : array, shape (C,)
        That share of each class; NaN of a class without a sample.
    noise_variance : float
        Ridge of the classifier fitted here; NaN if none was.
    reason : str
        Empty, or why metrics are not a number, or how far they are known: a metric is NaN where round-off reaches a
        tenth of it, and its error is told where that is a thousandth. (NC2, NC3 and cosines are compared with no less
        than 1e-3, `unc3` and `nc_bias` with a thousandth of the products and outputs that they are made of, shares of
        samples with 1.)

    Notes
    -----
    Without a classifier (no `targets`, `dual_weights` or `classifier`) whatever has W in it is NaN, and `reason` says
    so. Class means are centred at the mean over samples, or over classes with weighting "class".

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(n=40, dim=3)
    >>> found = kc.collapse_from_features(data.x, data.labels)
    >>> found.to_frame()[["nc1", "nc2_norms"]].round(3)
         nc1  nc2_norms
    0  0.052        0.0
    """

    nc1: Any
    within: Any
    between: Any
    nc1_pinv: Any
    cdnv: Any
    cdnv_pairs: Float[Any, "C C"]
    nc2_norms: Any
    nc2_angles: Any
    nc2_etf: Any
    nc3: Any
    nc3_cosine: Any
    nc4: Any
    ncm_accuracy: Any
    accuracy: Any
    nc1_total: Any
    cdnv_quartic: Any
    nc2_maximal_angle: Any
    nc2_gram: Any
    nc2_classifier_norms: Any
    nc2_classifier_angles: Any
    nc2_classifier_maximal_angle: Any
    nc2_classifier_gram: Any
    nc3_uncentred: Any
    nc3_cosine_uncentred: Any
    nc3_self_duality: Any
    gnc3: Any
    unc3: Any
    unc3_cosine: Any
    nc_bias: Any
    nc4_classwise: Any
    nc4_by_class: Float[Any, " C"]
    noise_variance: float = float("nan")
    reason: str = ""

    def to_frame(self) -> _results.DataFrame:
        """Return a table of one row, a column a number, and `reason`.

        Arrays (`cdnv_pairs`, `nc4_by_class`) are left out. Several rows, of layers or epochs, are put together by
        ``pandas.concat``.

        Raises
        ------
        ValueError
            If pandas is not installed.
        """
        return _results.one_row(self, (*MEANINGS, "reason"))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the numbers that there are, to four digits."""
        return _results.fields_as_html("Collapse", self, MEANINGS)
