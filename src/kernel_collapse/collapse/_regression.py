"""Neural regression collapse: features along as many directions as there are targets, and a readout of their form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernel_collapse import _arrays, _results, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.collapse._gram import read_gram, require_no_negative
from kernel_collapse.collapse._moments import EPS
from kernel_collapse.collapse._round_off import FEATURES, LEAST, UNITS, Measured, Source, of_gram, settle

__all__ = ["RegressionCollapse", "regression_collapse", "regression_collapse_from_features"]

MEANINGS = {
    "nrc1": "NRC1: variance of features outside the first k principal components",
    "nrc2": "NRC2: variance of features outside the span of W",
    "nrc3": "NRC3: distance of W W' to the form of the targets' covariance",
    "gamma": "the constant of NRC3",
}


@dataclass(frozen=True, eq=False)
class RegressionCollapse:
    r"""The metrics of neural regression collapse, for k targets with covariance Sigma; all are 0 at collapse.

    Attributes
    ----------
    nrc1 : float
        1 minus the share of the variance of the features that lies in their first k principal components.
    nrc2 : float
        1 minus the share of that variance that lies in the span of the rows of W, as they are.
    nrc3 : float
        \|W W'/\|W W'\| - A/\|A\|\| with A = Sigma^{1/2} - gamma^{1/2} I, at the gamma for which it is smallest. With
        one target it is 0 for every W.
    gamma : float
        The constant gamma, from 0 to the smallest eigenvalue of Sigma.
    reason : str
        Empty, or why numbers are NaN, or how far they are known; the first three are compared with no less than 1e-3.
    """

    nrc1: float
    nrc2: float
    nrc3: float
    gamma: float
    reason: str = ""

    def to_frame(self) -> _results.DataFrame:
        """Return a table of one row.

        Raises
        ------
        ValueError
            If pandas is not installed.
        """
        return _results.one_row(self, (*MEANINGS, "reason"))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return _results.fields_as_html("Neural regression collapse", self, MEANINGS)


def regression_collapse_from_features(
    features: Any, targets: Any, *, classifier: Any = None
) -> RegressionCollapse:
    """Return the metrics of neural regression collapse of explicit features.

    Parameters
    ----------
    features : array_like, shape (n, p)
        Features, one sample a row; they are centred here. Arrays of other libraries are read into NumPy's.
    targets : array_like, shape (n, k) or (n,)
        What the network is to predict; centred here.
    classifier : array_like, shape (k, p), optional
        Weights W of the last layer, as they are, for `nrc2` and `nrc3`.

    Returns
    -------
    RegressionCollapse

    Raises
    ------
    ValueError
        If shapes do not agree, values are not finite, or the features or targets do not vary.

    References
    ----------
    Andriopoulos et al. (2024), "The prevalence of neural collapse in neural multivariate regression", arXiv 2409.04180.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> targets = np.random.default_rng(0).normal(size=(50, 2))
    >>> found = kc.regression_collapse_from_features(targets @ np.eye(2, 5), targets, classifier=np.eye(2, 5))
    >>> round(found.nrc1, 9), round(found.nrc2, 9)
    (0.0, 0.0)
    """
    from scipy import linalg

    clean = _validate.squarable(_validate.matrix(features, "features", numpy=True), "features")
    clean, _ = _arrays.in_reach(clean)
    wanted = _targets(targets, len(clean), "features")
    about = clean - clean.mean(axis=0)
    total = float(np.sum(about**2))
    off = UNITS * EPS * float(np.linalg.norm(clean))
    _require_variance(total, off**2, "the features")
    values = linalg.svdvals(about, check_finite=False)
    rest = values[wanted.shape[1] :]
    measured = {
        "nrc1": Measured(np.sum(rest**2) / total, np.sum(2.0 * rest * off + off**2) / total, LEAST),
    }
    if classifier is None:
        return _result(measured, wanted, None, FEATURES)
    weights = _validate.matrix(classifier, "classifier", numpy=True)
    shape = (wanted.shape[1], clean.shape[1])
    weights = _validate.shaped(weights, "classifier", shape, "a row a target, a weight a feature")
    weights, _ = _arrays.in_reach(weights)
    _, sizes, axes = np.linalg.svd(weights, full_matrices=False)
    kept = sizes > UNITS * EPS * max(shape) * sizes[0]
    outside = about - (about @ axes[kept].T) @ axes[kept]
    lost = UNITS * EPS * sizes[0] / np.min(sizes[kept], initial=np.inf)  # by which the span turns
    residue = float(np.linalg.norm(outside))
    share = lost * total**0.5 + off
    measured["nrc2"] = Measured(
        np.float64(residue**2 / total), (2.0 * residue * share + share**2) / total, LEAST
    )
    return _result(measured, wanted, (weights @ weights.T, UNITS * EPS * float(np.sum(weights**2))), FEATURES)


def regression_collapse(gram: Any, targets: Any, *, dual_weights: Any = None) -> RegressionCollapse:
    """Return the metrics of neural regression collapse of the features whose Gram matrix is given.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        K_ij = <h(x_i), h(x_j)>. Arrays of other libraries are read into NumPy's.
    targets : array_like, shape (n, k) or (n,)
        As for `regression_collapse_from_features`.
    dual_weights : array_like, shape (n, k), optional
        Dual weights of the last layer, W = H'alpha, for `nrc2` and `nrc3`.

    Returns
    -------
    RegressionCollapse
        As of `regression_collapse_from_features`. The work is that of the eigenvalues of K, O(n^3).

    Raises
    ------
    ValueError
        As for `kernel_collapse.nc1` and `regression_collapse_from_features`, and if an eigenvalue of centred K
        is less than 0 by more than round-off.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> targets = np.random.default_rng(0).normal(size=(50, 2))
    >>> round(kc.regression_collapse(targets @ targets.T, targets).nrc1, 9)
    0.0
    """
    from scipy import linalg

    wanted = _targets(targets, None, "the Gram matrix")
    clean, eps = read_gram(gram, len(wanted), "gram")
    clean, _ = _arrays.in_reach(clean)
    source, unit = of_gram(eps), UNITS * eps
    column = clean.mean(axis=1)
    about = clean - column[:, None]
    about -= column - column.mean()
    total, off = float(about.trace()), 2.0 * unit * float(clean.trace())
    _require_variance(total, off, "the features")
    values = linalg.eigvalsh(0.5 * (about + about.T), check_finite=False)[::-1]
    require_no_negative(values, float(clean.trace()), eps)
    rest = values[wanted.shape[1] :]
    measured = {"nrc1": Measured(np.maximum(np.sum(rest), 0.0) / total, np.float64(off / total), LEAST)}
    if dual_weights is None:
        return _result(measured, wanted, None, source)
    alpha = _validate.columns(dual_weights, "dual_weights", numpy=True)
    alpha = _validate.shaped(alpha, "dual_weights", wanted.shape, "a row a sample, a column a target")
    alpha, _ = _arrays.in_reach(alpha)
    scores = clean @ alpha
    product = alpha.T @ scores
    reach = np.sqrt(clean.diagonal() @ alpha**2)
    product_error = unit * float(np.sum(reach**2))
    lengths, turned = np.linalg.eigh(product)
    kept = lengths > product_error
    along = (scores - scores.mean(axis=0)) @ turned[:, kept]
    inside = float(np.sum(along**2 / lengths[kept]))
    error = (2.0 * product_error / np.min(lengths[kept], initial=np.inf)) * inside + off
    error += (
        2.0 * unit * float(np.sum(reach**2) ** 0.5 / np.sqrt(np.min(lengths[kept], initial=np.inf))) * total
    )
    measured["nrc2"] = Measured(
        np.float64(max(total - inside, 0.0) / total), np.float64(error / total), LEAST
    )
    return _result(measured, wanted, (product, product_error), source)


def _targets(targets: Any, n: int | None, what: str) -> Float[np.ndarray, "n k"]:
    """Return the targets about their mean, which must vary."""
    wanted = _validate.squarable(_validate.columns(targets, "targets", numpy=True), "targets")
    if n is not None and len(wanted) != n:
        raise InputError(
            "targets", f"{len(wanted)} rows and {what} {n}", "as many", "a row a sample", verb="have"
        )
    about = wanted - wanted.mean(axis=0)
    _require_variance(float(np.sum(about**2)), (UNITS * EPS) ** 2 * float(np.sum(wanted**2)), "the targets")
    return about


def _require_variance(total: float, error: float, what: str) -> None:
    if not total > error:
        raise InputError(what, "all alike", "values that vary", "there is no variance to share out", "are")


def _result(
    measured: dict[str, Measured],
    wanted: Float[np.ndarray, "n k"],
    readout: tuple[Float[np.ndarray, "k k"], float] | None,
    source: Source,
) -> RegressionCollapse:
    """Return the metrics; `readout` is W W' with its error."""
    nan = np.float64("nan")
    said, gamma = "", float("nan")
    near, exponent = _arrays.in_reach(wanted)
    if readout is None:
        said = "no readout was given, so nrc2 and nrc3 are NaN"
        measured |= {"nrc2": Measured(nan, nan), "nrc3": Measured(nan, nan)}
    else:
        product, error = readout
        length = float(np.linalg.norm(product))
        if length > error:
            distance, gamma, rounding = _to_form(product / length, near)
            measured["nrc3"] = Measured(np.float64(distance), 2.0 * error / length + rounding, LEAST)
        else:
            said = "the readout is 0: there is no nrc2 and no nrc3"
            measured |= {"nrc2": Measured(nan, nan), "nrc3": Measured(nan, nan)}
    gamma = float(_arrays.shifted(np.float64(gamma), 2 * exponent))
    values, rounded = settle(measured, source)
    return RegressionCollapse(
        **{name: float(value) for name, value in values.items()},
        gamma=gamma,
        reason="; ".join(filter(None, (said, rounded))),
    )


def _to_form(
    product: Float[np.ndarray, "k k"], wanted: Float[np.ndarray, "n k"]
) -> tuple[float, float, float]:
    """Return the least distance of a matrix of norm 1 to (S - g I) of norm 1, S = Sigma^{1/2}, with g^2 and its error.

    The distance is least where the cosine <P, S - g I> / |S - g I| is largest. Its derivative in g is 0 at one point,
    g = (t s_2 - a s_1) / (t s_1 - a k) with a = <P, S>, t = tr P, s_1 = tr S, s_2 = |S|^2, which holds the
    largest value or the smallest: it is compared with both ends.
    """
    values, vectors = np.linalg.eigh(wanted.T @ wanted / len(wanted))
    roots = np.sqrt(np.maximum(values, 0.0))
    shape = (vectors * roots) @ vectors.T
    count, eye = len(roots), np.eye(len(roots))
    inner, trace = float(np.sum(product * shape)), float(product.trace())
    first, second = float(roots.sum()), float(np.sum(roots**2))
    below = trace * first - inner * count
    middle = (trace * second - inner * first) / below if below != 0.0 else 0.0
    best = (np.inf, 0.0, 0.0)
    for g in {0.0, float(np.clip(middle, 0.0, roots[0])), float(roots[0])}:
        form = shape - g * eye
        size = float(np.linalg.norm(form))
        if size > UNITS * EPS * count * roots[-1]:
            distance = float(np.linalg.norm(product - form / size))
            best = min(best, (distance, g**2, 2.0 * UNITS * EPS * count * float(roots[-1]) / size))
    return best
