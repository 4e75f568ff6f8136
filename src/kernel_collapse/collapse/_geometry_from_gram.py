"""The geometry of features whose Gram matrix is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse import _geometry_parts as parts
from kernel_collapse.collapse._from_gram import seen_of, sums_of, training_moments
from kernel_collapse.collapse._geometry import Elsewhere, Geometry, assemble_geometry, spreadless
from kernel_collapse.collapse._gram import read_gram, require_no_negative
from kernel_collapse.collapse._moments import Moments, gram_moments, without_coincident
from kernel_collapse.collapse._round_off import UNITS, Measured

__all__ = ["geometry"]


def geometry(
    gram: Any, labels: Any, *, dim: int | None = None, ood_cross: Any = None, ood_gram: Any = None
) -> Geometry:
    r"""Return the geometry of the features whose Gram matrix is given.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        K_ij = <h(x_i), h(x_j)>. Arrays of PyTorch, JAX and CuPy are read into NumPy's.
    labels : sequence, length n
        Class of each sample.
    dim : int, optional
        Number of features, for `uniformity_riesz`. It does not follow from the Gram matrix.
    ood_cross : array_like, shape (m, n), optional
        K of samples of another distribution with these, for `nc5`.
    ood_gram : array_like, shape (m, m), optional
        K among the samples of the other distribution, for `nc5`.

    Returns
    -------
    Geometry
        As of `geometry_from_features`. The work is that of the eigenvalues of K, O(n^3).

    Raises
    ------
    ValueError
        As for `kernel_collapse.nc1`; if an eigenvalue of K is less than 0 by more than round-off, shapes do not
        agree, or one of `ood_cross` and `ood_gram` is given alone.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> features = np.eye(4)[[0, 0, 1, 1, 2, 2]]
    >>> found = kc.geometry(features @ features.T, [0, 0, 1, 1, 2, 2])
    >>> round(found.rankme, 4), round(found.label_cka, 6)
    (3.0, 1.0)
    """
    from scipy import linalg

    codes, _ = _validate.encode_labels(labels)
    if dim is not None:
        dim = _validate.count(dim, "dim")
    gram, eps = read_gram(gram, len(codes), "gram")
    gram, exponent = _arrays.in_reach(gram)
    moments = gram_moments(gram, eps, codes)
    sizes, diagonal = np.bincount(codes).astype(float), gram.diagonal()
    elsewhere = _elsewhere(ood_cross, ood_gram, codes, moments, eps, exponent)
    unit, trace = UNITS * eps, float(diagonal.sum())
    column = gram.mean(axis=1)
    centred = gram - column[:, None]
    centred -= column - column.mean()
    values = linalg.eigvalsh(gram, check_finite=False)[::-1]
    require_no_negative(values, trace, eps)
    floor = unit * max(trace, values[0])
    rank, ranks = _stable_ranks_of(gram, codes, unit)
    gnc1, said = _gnc1_of(gram, codes, eps)
    said += [] if dim is not None else ["a Gram matrix does not tell the number of features, dim"]
    return assemble_geometry(
        {
            "gnc1": gnc1,
            **parts.uniformity(moments, dim),
            "stable_rank": rank,
            "rankme": parts.rankme_of_squares(values, floor),
            **parts.alignments(
                sizes,
                moments,
                trace,
                (float(np.linalg.norm(gram)), float(np.linalg.norm(centred))),
                (unit * trace, 2.0 * unit * trace),
                eps,
            ),
        },
        moments.source,
        len(sizes),
        elsewhere,
        ranks,
        [*said, *spreadless(ranks)],
    )


def _stable_ranks_of(
    gram: Float[np.ndarray, "n n"], codes: Int[np.ndarray, " n"], unit: float
) -> tuple[Measured, Float[np.ndarray, " C"]]:
    from scipy import linalg

    count = int(codes.max()) + 1
    traces, largest, errors = (np.zeros(count) for _ in range(3))
    for c in range(count):
        rows = np.flatnonzero(codes == c)
        block = gram[np.ix_(rows, rows)]
        errors[c] = unit * np.trace(block)
        block = block - block.mean(axis=1)[:, None]
        block -= block.mean(axis=0)
        traces[c] = np.trace(block)
        largest[c] = linalg.eigvalsh(0.5 * (block + block.T))[-1]
    return parts.stable_ranks(traces, largest, errors)


def _gnc1_of(
    gram: Float[np.ndarray, "n n"], codes: Int[np.ndarray, " n"], eps: float
) -> tuple[Measured, list[str]]:
    diagonal = gram.diagonal()
    if not (diagonal > 0).all():
        nan = np.float64("nan")
        count = int(np.sum(diagonal <= 0))
        return Measured(nan, nan), [f"{count} feature vectors are 0 and have no direction: there is no gnc1"]
    lengths = np.sqrt(diagonal)
    directions = gram / lengths[:, None] / lengths
    eps = 2.0 * eps  # of an entry, and of the lengths that it is divided by
    sums = sums_of(directions, codes, None, eps)
    moments = without_coincident(training_moments(sums, codes, eps), directions, codes)
    return seen_of(sums, codes, moments, None, "paper").pinv, []


def _elsewhere(
    cross: Any, others: Any, codes: Int[np.ndarray, " n"], moments: Moments, eps: float, exponent: int
) -> Elsewhere | None:
    """Return the samples of another distribution against the class means, from their kernels.

    The moments are of features that were multiplied by 2^(-exponent / 2); so are these.
    """
    if cross is None and others is None:
        return None
    if cross is None or others is None:
        raise InputError("ood_cross and ood_gram", "not both given", "both, or none", verb="are")
    count = len(_validate.matrix(others, "ood_gram", numpy=True))
    clean, others_eps = read_gram(others, count, "ood_gram")
    shape, given = (count, len(codes)), _validate.in_numpy(cross, "ood_cross")
    block = _validate.shaped(given, "ood_cross", shape, "samples of another distribution by these")
    eps = max(eps, others_eps, _arrays.eps_of(cross))
    clean, more = _arrays.in_reach(clean)
    block = _arrays.shifted(block, -(exponent + more) // 2)
    sizes = np.bincount(codes)
    inner = _arrays.segment_sum(block.mean(axis=0), codes, len(sizes)) / sizes
    unit, reach = UNITS * eps, float(clean.diagonal().mean())
    own = moments.class_squares + moments.spread
    errors = (unit * np.sqrt(own * reach), unit * own, unit * reach)
    return Elsewhere(inner, moments.class_squares, float(clean.mean()), errors)
