r"""Every metric of neural collapse, from a Gram matrix or from features.

With M the class means centred at the global mean h_G (C x p), Bc = M M', W the classifier (C x p), whose row c is what
speaks for class c, S = (I - 11'/C)/sqrt(C - 1) the simplex, and q, u, p the weights of `kernel_collapse.nc1`:

=========================  ==========================================================  ============================
`Collapse`                 what it is                                                  from the Gram matrix K
=========================  ==========================================================  ============================
``nc1``                    tr S_W / tr S_B                                             diag K, B = P'KP
``nc1_pinv``               tr(S_W S_B^+) / C                                           B, Z = E'(K - K P[:, labels])
``nc1_total``              tr S_W / (tr S_W + sum_c u_c \|m_c\|^2)                      diag K, B
``cdnv``                   (v_c + v_c') / (2 \|m_c - m_c'\|^2), mean over pairs          diag K, B
``cdnv_quartic``           the same with \|m_c - m_c'\|^4                               diag K, B
``nc2_norms``              coefficient of variation of the norms of M's rows           B
``nc2_angles``             standard deviation of the cosines between M's rows          B
``nc2_maximal_angle``      mean of \|cos + 1/(C - 1)\|                                  B
``nc2_etf``                \|cosines - (C I - 11')/(C - 1)\|_F                          B
``nc2_gram``               \|M M'/\|M M'\|_F - S\|_F                                    B
``nc2_classifier_...``     the same of W, its rows as they are                         alpha'K alpha
``nc3``, ``nc3_cosine``    \|WM'/\|WM'\|_F - S\|_F, <W, M>_F/(\|W\|_F \|M\|_F), W       alpha'KE, alpha'K alpha
                           centred like the means
``nc3_..._uncentred``      the same with the rows of W as they are                     alpha'KE, alpha'K alpha
``nc3_self_duality``       \|W/\|W\|_F - M/\|M\|_F\|_F                                  alpha'KE, alpha'K alpha
``gnc3``                   1 - mean_c cos(w_c, m_c)                                    alpha'KE, alpha'K alpha
``unc3``, ``unc3_cosine``  variance over classes of <w_c, m_c>, of cos(w_c, m_c)       alpha'KE, alpha'K alpha
``nc_bias``                \|b + W h_G\|                                               alpha'KPp
``nc4``                    share of samples whose nearest class mean is the class      K P, K alpha
                           that the classifier decides for
=========================  ==========================================================  ============================

E = P - (P p) 1' averages about the global mean, and alpha are the dual weights of the classifier. Of k outputs
w_1..w_k and class targets T (C x k), row c of W is sum_k T_ck w_k, or centred sum_k (T_ck - (p'T)_k) w_k: a sample is
decided to be of the class whose target is nearest, and with one-hot targets T this is the classifier itself. All
metrics are 0 when collapse is complete, but the cosines of NC3 and the shares of NC4, which are 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import InputError, shown
from kernel_collapse._shapes import Float, Int
from kernel_collapse._shared_targets import class_targets
from kernel_collapse.collapse._collapse import Collapse
from kernel_collapse.collapse._decisions import Shares
from kernel_collapse.collapse._duality import OF_CLASSIFIER, Classifier, measured_duality
from kernel_collapse.collapse._gram import require_definite
from kernel_collapse.collapse._moments import Moments
from kernel_collapse.collapse._nc1 import Traces, Weighting, class_weights, traces_of, why
from kernel_collapse.collapse._round_off import GIVEN, Measured, settle
from kernel_collapse.collapse._simplex import measured_nc2

__all__ = [
    "NO_BIAS",
    "NO_CLASSIFIER",
    "Seen",
    "assemble",
    "centred",
    "class_targets_of",
    "columns_of",
    "without_sample",
]

NO_CLASSIFIER = "no classifier was given, so metrics that compare with one are NaN"
NO_BIAS = "no bias was given, so nc_bias is NaN"


class Seen(NamedTuple):
    """What the metrics are made of, whether it came from a Gram matrix or from features."""

    moments: Moments
    pinv: Measured
    decisions: Shares
    classifier: Classifier | None
    unseen: tuple[Any, ...] = ()  # classes without a held-out sample


def assemble(seen: Seen, weighting: Weighting, noise_variance: float) -> Collapse:
    """Return the metrics of what was seen of the features."""
    moments = seen.moments
    xp = _arrays.namespace(moments.products)
    traces = traces_of(moments, weighting)
    u, _, p = class_weights(weighting, moments.share, moments.seen_share)
    products, errors = centred(moments.products, p), centred_error(moments.product_error, p)
    nan = xp.zeros_like(traces.ratio) + float("nan")
    pairs, pairs_error, mean, quartic = _cdnv(moments)
    metrics = {
        "nc1": Measured(traces.ratio, traces.ratio_error),
        "nc1_pinv": seen.pinv if weighting != "published" else Measured(nan, nan),
        "nc1_total": _total(moments, u, products, errors),
        "cdnv": mean,
        "cdnv_quartic": quartic,
        **{f"nc2_{name}": metric for name, metric in measured_nc2(products, errors).items()},
        **dict.fromkeys((*OF_CLASSIFIER, "nc4", "nc4_classwise", "accuracy"), Measured(nan, nan)),
        **seen.decisions.of_all,
    }
    if seen.classifier is not None:
        metrics |= measured_duality(seen.classifier, products, errors)
    found, rounded = settle(metrics, moments.source)
    reason = ""
    # Of a traced classifier the metrics of the features alone are known.
    if not any(_arrays.staged(metric.value) for metric in metrics.values()):
        found_out = why(moments, traces), _of_unseen(seen, weighting), *_why_undefined(metrics, traces, seen)
        reason = "; ".join(filter(None, found_out))
    found |= {"within": traces.within, "between": traces.between}
    pairs = xp.where(pairs_error <= GIVEN * pairs, pairs, xp.zeros_like(pairs) + float("nan"))
    if not _arrays.is_foreign(pairs):
        found = {name: float(number) for name, number in found.items()}
    return Collapse(
        **found,
        cdnv_pairs=pairs,
        nc4_by_class=_by_class(seen.decisions, moments.share),
        noise_variance=noise_variance,
        reason="; ".join(filter(None, (reason, rounded))),
    )


def _by_class(decisions: Shares, share: Float[Any, " C"]) -> Float[Any, " C"]:
    """Return NC4 of each class; NaN where it is not known."""
    xp = _arrays.namespace(share)
    nan = xp.zeros_like(share) + float("nan")
    if decisions.by_class is None:
        return nan
    value, doubt = decisions.by_class
    return xp.where(doubt <= GIVEN, value, nan)


def _why_undefined(metrics: dict[str, Measured], traces: Traces, seen: Seen) -> list[str]:
    """Return which metrics are no number whatever the precision, and why."""
    undefined = [name for name, metric in metrics.items() if np.isnan(_arrays.number(metric.value))]
    found = []
    apart = bool(traces.apart)
    alone = seen.moments.share.shape[0] - len(seen.unseen) == 1  # which has no pair, whatever the means
    means = [name for name in ("cdnv", "nc2_etf") if name in undefined and not (alone and name == "cdnv")]
    if means and apart:
        found.append(f"class means coincide, or one is the global mean: there is no {' and '.join(means)}")
    if seen.classifier is None:
        return [*found, NO_CLASSIFIER]
    align = [name for name in ("nc3", "nc3_cosine") if name in undefined]
    if align and apart:
        found.append(
            f"the classifier sees no difference between class means: there is no {' and '.join(align)}"
        )
    if "nc2_classifier_norms" in undefined:
        found.append(
            "a row of the classifier is 0, or nothing beside the others: it has no angles, and no gnc3"
        )
    if seen.classifier.outputs is None:
        found.append(NO_BIAS)
    return found


def without_sample(codes: Int[np.ndarray, " m"], classes: Sequence[Any]) -> tuple[Any, ...]:
    """Return the classes that no sample is of."""
    sizes = np.bincount(codes, minlength=len(classes))
    return tuple(name for name, size in zip(classes, sizes, strict=True) if not size)


def _of_unseen(seen: Seen, weighting: Weighting) -> str:
    """Return what classes without a held-out sample change."""
    if not seen.unseen:
        return ""
    names = [shown(name) for name in seen.unseen[:5]]
    if len(seen.unseen) > 5:
        names.append(f"{len(seen.unseen) - 5} more")
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    subject = f"classes {listed} have" if len(names) > 1 else f"class {listed} has"
    one = seen.moments.share.shape[0] - len(seen.unseen) == 1
    found = ["there is no cdnv of one class alone" if one else "cdnv is over pairs of the others"]
    found += ['"class" weighs those that have one'] * (weighting == "class")
    return f"{subject} no held-out sample: {', and '.join(found)}"


def centred(products: Float[Any, "C C"], p: Float[Any, " C"]) -> Float[Any, "C C"]:
    """Return Bc, the inner products of the class means about their mean under the weights p."""
    about = products - (products @ p)[:, None]
    return about - p @ about


def centred_error(errors: Float[Any, "C C"], p: Float[Any, " C"]) -> Float[Any, "C C"]:
    """Return bounds of the errors of Bc from those of the products."""
    each = errors @ p
    return errors + each[:, None] + each[None, :] + p @ each


def _total(
    moments: Moments, u: Float[Any, " C"], products: Float[Any, "C C"], errors: Float[Any, "C C"]
) -> Measured:
    """Return tr S_W / tr S_T, with the classes weighted alike in both; NaN where all features coincide."""
    xp = _arrays.namespace(products)
    within, within_error = xp.sum(u * moments.spread), xp.sum(u * moments.spread_error)
    between = xp.sum(u * xp.linalg.diagonal(products))
    between_error = xp.sum(u * xp.linalg.diagonal(errors))
    total = within + between
    some = total > within_error + between_error
    safe = xp.where(some, total, xp.ones_like(total))
    value = xp.where(some, within / safe, xp.zeros_like(total) + float("nan"))
    # The derivatives in both, each over the total before they are multiplied, for squares of it may overflow.
    error = (xp.abs(between) / safe) * (within_error / safe) + (xp.abs(within) / safe) * (
        between_error / safe
    )
    return Measured(value, error)


def _cdnv(moments: Moments) -> tuple[Float[Any, "C C"], Float[Any, "C C"], Measured, Measured]:
    """Return the variability of each pair of classes over their squared distance, its error, the mean, the quartic one.

    NaN where means coincide, and of pairs with a class that no sample is of, which the means leave out.
    """
    xp = _arrays.namespace(moments.products)
    own, own_error = (xp.linalg.diagonal(a) for a in (moments.products, moments.product_error))
    eye = xp.eye(own.shape[0], dtype=own.dtype, device=array_api_compat.device(own)) > 0
    zero = xp.zeros_like(moments.products)
    safe = own[:, None] + own[None, :] - 2.0 * moments.products
    off = own_error[:, None] + own_error[None, :] + 2.0 * moments.product_error
    if not _arrays.staged(safe):
        least = xp.where(eye, zero, safe + off)
        require_definite(xp.min(least), 0.0, "a squared distance between class means")
    apart = (safe > off) & ~eye
    seen = moments.seen_share > 0
    known = (seen[:, None] & seen[None, :]) | eye
    safe = xp.where(apart, safe, zero + 1.0)
    off = off / safe
    pairs = xp.where(apart, 0.5 * (moments.spread[:, None] + moments.spread[None, :]), zero) / safe
    pairs_error = 0.5 * (moments.spread_error[:, None] + moments.spread_error[None, :]) / safe + pairs * off
    pairs_error = xp.where(eye | ~known, zero, pairs_error)
    quartic_error = xp.sum(xp.where(eye | ~known, zero, (pairs_error + pairs * off) / safe))
    nan = zero + float("nan")
    pairs = xp.where(apart | eye, pairs, nan)
    count = xp.sum(xp.astype(known & ~eye, own.dtype))
    count = xp.where(count > 0, count, zero[0, 0] + float("nan"))
    mean = Measured(xp.sum(xp.where(known, pairs, zero)) / count, xp.sum(pairs_error) / count)
    quartic = Measured(xp.sum(xp.where(known, pairs / safe, zero)) / count, quartic_error / count)
    return xp.where(known, pairs, nan), pairs_error, mean, quartic


def columns_of(value: Any, what: str, n: int) -> Any:
    """Return a matrix of n rows; one column may come as a vector."""
    clean = _validate.columns(value, what)
    _validate.as_many(clean.shape[0], what, n)
    return clean


def class_targets_of(
    codes: Int[np.ndarray, " n"], targets: Any, outputs: int, like: Any
) -> Float[Any, "C k"]:
    """Return the target of each class: the mean over its samples, or its own output where no targets are given."""
    sizes = np.bincount(codes).astype(float)
    if targets is not None:
        wanted = columns_of(targets, "targets", len(codes))
        if wanted.shape[1] != outputs:
            raise InputError(
                "targets",
                f"{wanted.shape[1]} columns and the classifier {outputs} outputs",
                "as many",
                verb="have",
            )
        if not _arrays.is_foreign(wanted):
            return class_targets(codes, wanted)
        return _arrays.segment_sum(wanted, codes, len(sizes)) / _arrays.like(sizes, wanted)[:, None]
    if outputs != len(sizes):
        raise InputError(
            "the classifier",
            f"{outputs} outputs for {len(sizes)} classes",
            "one a class",
            "give targets= to say which outputs mean which class",
            verb="has",
        )
    return _arrays.like(np.eye(outputs), like)
