r"""Neural collapse from a Gram matrix.

Let P be the n x C class-averaging matrix (P_ic = 1/n_c if sample i is in class c, else 0). Everything needs
only diag K and R = K P, one pass over K: B = P'KP holds the inner products of the class means, and::

    tr S_W = sum_c u_c ( mean_{i in c} K_ii - B_cc )
    tr S_B = sum_c q_c ( B_cc - 2 (B p)_c + p'Bp )
    NC1    = tr S_W / tr S_B

===============  =====  =====  =====  ==========================================================
`weighting`      u_c    q_c    p_c    note
===============  =====  =====  =====  ==========================================================
``"paper"``      n_c/n  1/C    n_c/n  the definition of the neural-collapse literature (default)
``"sample"``     n_c/n  n_c/n  n_c/n  S_T = S_W + S_B holds
``"class"``      1/C    1/C    1/C    insensitive to imbalance
``"published"``  --     --     --     what the published kernel code computes, see `kernel_collapse.nc1`
===============  =====  =====  =====  ==========================================================

All four agree when the classes are of one size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import array_api_compat
import numpy as np

from kernel_collapse import _arrays, _results, _validate
from kernel_collapse._shapes import Float
from kernel_collapse.collapse._features import ClassMeans
from kernel_collapse.collapse._gram import read_gram, require_definite
from kernel_collapse.collapse._moments import EPS, Moments, class_moments, gram_moments
from kernel_collapse.collapse._round_off import COINCIDE, GIVEN, TOGETHER, UNITS, Measured, settle

__all__ = ["NC1", "WEIGHTINGS", "Weighting", "nc1", "nc1_from_features", "nc1_weightings"]

Weighting = Literal["paper", "sample", "class", "published"]
WEIGHTINGS: tuple[Weighting, ...] = ("paper", "sample", "class", "published")


@dataclass(frozen=True)
class NC1:
    """Within-class variability against between-class variability.

    Attributes
    ----------
    within : float
        tr S_W, in the squared units of the features; exactly 0 where every class has one sample, or samples that
        coincide. NaN where round-off reaches a tenth of it: such samples may coincide or not.
    between : float
        tr S_B, in the squared units of the features; 0 where the class means coincide to within round-off.
    ratio : float
        within / between; NaN where the class means coincide, and where round-off reaches a tenth of it.
    reason : str
        Empty, or why `ratio` is not a number, or how far it is known where round-off reaches a thousandth of it.

    Notes
    -----
    Of a Gram matrix of JAX, PyTorch or CuPy the three are arrays of no dimension on its device, which can be
    differentiated; under `jax.jit` nothing is known of their values, and `reason` stays empty.
    """

    within: Any
    between: Any
    ratio: Any
    reason: str = ""

    def to_frame(self) -> _results.DataFrame:
        """Return a table of one row.

        Raises
        ------
        ValueError
            If pandas is not installed.
        """
        return _results.one_row(self, ("within", "between", "ratio", "reason"))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        meanings = {"ratio": "NC1: tr S_W / tr S_B", "within": "tr S_W", "between": "tr S_B"}
        return _results.fields_as_html("NC1", self, meanings)


def nc1(gram: Any, labels: Any, *, weighting: Weighting = "paper") -> NC1:
    r"""Return NC1 of the features whose Gram matrix is given.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        K_ij = <h(x_i), h(x_j)> for some feature map h, in the units of the features squared. An array of NumPy, JAX,
        PyTorch or CuPy; NC1 can be differentiated by the libraries that do, and so be a regulariser.
    labels : sequence, length n
        Class of each sample: any hashable values, in any order.
    weighting : {"paper", "sample", "class", "published"}
        How classes of different sizes are weighted; see the module. "published" reproduces the authors' kernel code,
        tr S_W = mean(diag K) - (1/C) sum_c B_cc, tr S_B = (1/C) sum_c B_cc - 1'K1/n^2. It agrees with the others if
        the classes have the same size. Otherwise it is not the variance of any feature map and can be negative. Use
        it only for a comparison.

    Returns
    -------
    NC1
        `within`, `between` and their `ratio`. With one sample per class the ratio is 0. If the class means coincide
        (for example with constant features), `between` is 0, the ratio is NaN, and `reason` says so. The ratio is
        also NaN if the precision of the Gram matrix does not resolve it. `reason` then says what to do.

    Raises
    ------
    ValueError
        If the Gram matrix is not square, symmetric, finite and as large as `labels`, if it cannot be one of inner
        products (a negative diagonal, an entry with \|K_ij\|^2 > K_ii K_jj, a negative trace), or if there is only one
        class.

    References
    ----------
    Papyan, Han and Donoho (2020), arXiv 2008.08186; from a kernel: Kothapalli and Tirer (2025),
    arXiv 2406.02105.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> features = np.array([[0.0], [2.0], [10.0], [12.0]])
    >>> kc.nc1(features @ features.T, ["a", "a", "b", "b"])
    NC1(within=1.0, between=25.0, ratio=0.04, reason='')

    The step that makes a network's features collapse less or more starts with its gradient:

    >>> import jax
    >>> gradient = jax.grad(lambda k: kc.nc1(k, ["a", "a", "b", "b"]).ratio)(jax.numpy.eye(4))
    >>> gradient.shape
    (4, 4)
    """
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, _ = _validate.encode_labels(labels)
    return from_moments(gram_moments(*read_gram(gram, len(codes)), codes), weighting)


def nc1_weightings(gram: Any, labels: Any) -> dict[Weighting, NC1]:
    """Return `kernel_collapse.nc1` under every weighting, in one pass over the Gram matrix.

    Parameters
    ----------
    gram, labels
        As for `kernel_collapse.nc1`.

    Returns
    -------
    dict
        From the name of each weighting to its `NC1`.

    Raises
    ------
    ValueError
        As for `kernel_collapse.nc1`.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> features = np.array([[0.0], [2.0], [10.0]])
    >>> values = kc.nc1_weightings(features @ features.T, ["a", "a", "b"])
    >>> {name: round(value.ratio, 4) for name, value in values.items()}
    {'paper': 0.0296, 'sample': 0.037, 'class': 0.0247, 'published': -0.4589}
    """
    codes, _ = _validate.encode_labels(labels)
    moments = gram_moments(*read_gram(gram, len(codes)), codes)
    return {weighting: from_moments(moments, weighting) for weighting in WEIGHTINGS}


def nc1_from_features(features: Any, labels: Any, *, weighting: Weighting = "paper") -> NC1:
    r"""Return NC1 of explicit features, which equals `kernel_collapse.nc1` of ``features @ features.T``.

    Each class is moved to one of its samples before anything is squared, so that tiny ratios keep their digits. The
    result is NC1 of the numbers given, however far from the origin they are. The function needs the memory of the
    class means in addition to the features.

    Parameters
    ----------
    features : array_like, shape (n, p)
        Features, one sample a row.
    labels, weighting
        As for `kernel_collapse.nc1`.

    Returns
    -------
    NC1
        As for `kernel_collapse.nc1`.

    Raises
    ------
    ValueError
        If the features are not a finite matrix with as many rows as labels, or there is only one class.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.nc1_from_features([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"]).ratio
    0.04
    """
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    codes, _ = _validate.encode_labels(labels)
    clean = _validate.squarable(_validate.matrix(features, "features"), "features")
    _validate.as_many(len(clean), "features", len(codes))
    classes = ClassMeans(clean, codes)
    spread, _ = classes.spread(clean, codes)
    return from_moments(class_moments(classes.sizes, spread, classes.means, classes.origin), weighting)


def nc1_from_classes(
    sizes: Float[np.ndarray, " C"],
    spread: Float[np.ndarray, " C"],
    class_means: Float[np.ndarray, "C p"],
    *,
    eps: float | None = None,
) -> dict[Weighting, NC1]:
    """Return NC1 under every weighting from what is kept of features while a network trains.

    `spread` is the mean squared distance of a class's features from their mean; `eps` is the round-off they
    carry (float64 by default).
    """
    origin = sizes / sizes.sum() @ class_means
    moments = class_moments(sizes, spread, class_means - origin, origin, eps=EPS if eps is None else eps)
    return {weighting: from_moments(moments, weighting) for weighting in WEIGHTINGS}


def class_weights(
    weighting: Weighting, share: Float[Any, " C"], seen_share: Float[Any, " C"]
) -> tuple[Any, Any, Any]:
    """Return u, q and p of the module's table; those of "paper" for "published", which has none.

    Held-out samples may leave out classes: a class without one has no spread that is known, and u is 0.
    """
    xp = _arrays.namespace(share)
    even = xp.ones_like(share) / share.shape[0]
    if weighting == "class":
        seen = xp.astype(seen_share > 0, share.dtype)
        return seen / xp.sum(seen), even, even
    return seen_share, share if weighting == "sample" else even, share


class Traces(NamedTuple):
    """The two traces and their quotient, with bounds of their errors."""

    within: Any
    within_error: Any
    between: Any
    apart: Any  # whether `between` is more than round-off
    ratio: Any
    ratio_error: Any


def traces_of(moments: Moments, weighting: Weighting) -> Traces:
    """Return the traces under a weighting; refuse what cannot come from inner products."""
    xp = _arrays.namespace(moments.products)
    u, q, p = class_weights(weighting, moments.share, moments.seen_share)
    weights = _between_weights(q, p)
    if weighting == "published":
        weights = _diagonal(q) - p[:, None] * p[None, :]
    # Both traces are linear in what is known: q'diag B - 2 q'Bp + p'Bp is the sum of M * B.
    within, between = xp.sum(u * moments.spread), xp.sum(weights * moments.products)
    within_error = xp.sum(u * moments.spread_error)
    between_error = xp.sum(xp.abs(weights) * moments.product_error)
    if weighting == "published":
        own, own_error = xp.linalg.diagonal(moments.products), xp.linalg.diagonal(moments.product_error)
        eps = float(xp.finfo(own.dtype).eps)
        more = xp.sum(xp.abs(p - q) * (own_error + UNITS * eps * moments.class_squares))
        within = within + xp.sum((p - q) * moments.class_squares)
        between = between + xp.sum((q - p) * (moments.class_squares - own))
        within_error, between_error = within_error + more, between_error + more
    else:
        require_definite(within, within_error, "tr S_W")
        require_definite(between, between_error, "tr S_B")
    return _quotient(within, within_error, between, between_error)


def _quotient(within: Any, within_error: Any, between: Any, between_error: Any) -> Traces:
    """Return the traces with their quotient, each where it is more than its round-off."""
    xp = _arrays.namespace(within)
    zero = xp.zeros_like(within)
    apart = xp.abs(between) > between_error
    # The quotient is taken where there is one: a derivative would carry what is selected away.
    safe = xp.where(apart, between, zero + 1.0)
    ratio = xp.where(apart, within, zero) / safe
    error = within_error / xp.abs(safe) + xp.abs(ratio) * (between_error / xp.abs(safe))
    ratio = xp.where(apart, ratio, zero + float("nan"))
    within = xp.where(GIVEN * xp.abs(within) < within_error, zero + float("nan"), within)
    return Traces(within, within_error, xp.where(apart, between, zero), apart, ratio, error)


def why(moments: Moments, found: Traces) -> str:
    """Return what is to be said of traces that are 0 to within round-off."""
    if not bool(found.apart):
        return COINCIDE
    return TOGETHER if moments.coincident and bool(found.within == 0.0) else ""


def from_moments(moments: Moments, weighting: Weighting) -> NC1:
    """Return NC1 under a weighting; numbers if the moments are NumPy's."""
    found = traces_of(moments, weighting)
    values, reason = settle({"NC1": Measured(found.ratio, found.ratio_error)}, moments.source)
    if not _arrays.staged(found.ratio):
        reason = reason or why(moments, found)
    within, between, ratio = found.within, found.between, values["NC1"]
    if not _arrays.is_foreign(ratio):
        within, between, ratio = float(within), float(between), float(ratio)
    return NC1(within, between, ratio, reason)


def _between_weights(q: Float[Any, " C"], p: Float[Any, " C"]) -> Float[Any, "C C"]:
    """Return M = diag(q) - q p' - p q' + p p'."""
    xp = _arrays.namespace(q)
    outer = q[:, None] * p[None, :]
    return _diagonal(q) - outer - xp.permute_dims(outer, (1, 0)) + p[:, None] * p[None, :]


def _diagonal(values: Float[Any, " C"]) -> Float[Any, "C C"]:
    """Return the diagonal matrix of the values."""
    xp = _arrays.namespace(values)
    count = values.shape[0]
    return xp.eye(count, dtype=values.dtype, device=array_api_compat.device(values)) * values[:, None]
