r"""What a Gram matrix says of its features: refused where there are none, and reduced to sums over classes.

With d = diag K, half of the squared distance of two features is (d_i + d_j)/2 - K_ij, and its negative

    E_ij = K_ij - (d_i + d_j)/2 = ((K_ij - d_i) + (K_ij - d_j)) / 2

is what all metrics but those of a classifier are made of, for they do not change when the features move as a whole.
Written as on the right nothing large is rounded where two features are close: the large terms cancel before anything
is added up, so that what is left of round-off is that of the entries themselves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import KernelRefused
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse._round_off import UNITS

__all__ = [
    "Halves",
    "coincident",
    "halves_of",
    "read_cross",
    "read_gram",
    "require_definite",
    "require_no_negative",
    "slack",
]

#: Entries of a block: its temporaries stay in the cache.
BLOCK = 2**18
#: |K_ij| may pass sqrt(K_ii K_jj) by this share of it and of the largest K_ii, or by 16 eps of a lower precision.
SLACK = 1e-6


class Halves(NamedTuple):
    """Class averages of E, and the share of sqrt(d_i d_j) by which entries err."""

    means: Float[Any, "m C"]  # the mean of E_ij over the samples j of a class
    error: Any


def slack(eps: float) -> float:
    """Return the share of squares by which entries given in that precision may pass what is true of inner products."""
    return max(SLACK, 16.0 * eps)


def read_gram(gram: Any, n: int, numpy: str = "") -> tuple[Float[Any, "n n"], float]:
    """Return a Gram matrix of inner products, and the eps of the precision that it was given in.

    With the name of the argument for `numpy`, arrays of other libraries become NumPy's.

    Raises
    ------
    ValueError
        If it is not square, symmetric, finite and of that size, or cannot be one of inner products.
    """
    values = gram.values if isinstance(gram, _arrays.Rounded) else gram
    clean = _validate.gram(_validate.in_numpy(values, numpy) if numpy else values, n)
    eps = _arrays.eps_of(gram)
    if not _arrays.staged(clean):
        xp = _arrays.namespace(clean)
        diagonal = xp.linalg.diagonal(clean)
        _require_inner_products(clean, diagonal, diagonal, eps, ("the Gram matrix", "K_ii K_jj"))
    return clean, eps


def read_cross(
    cross: Any, diagonal: Any, gram_diagonal: Float[Any, " n"], m: int
) -> tuple[Float[Any, "m n"], Float[Any, " m"], float]:
    """Return the kernel of held-out with training samples and its diagonal on the former, as `read_gram` does."""
    _arrays.same_kind(gram_diagonal, "gram", cross, "cross")
    _arrays.same_kind(gram_diagonal, "gram", diagonal, "diagonal")
    shape, given = (m, gram_diagonal.shape[0]), (cross, diagonal)
    cross = cross.values if isinstance(cross, _arrays.Rounded) else cross
    cross = _validate.shaped(cross, "cross", shape, "held-out by training samples")
    diagonal = _validate.shaped(diagonal, "diagonal", (m,), "one value a held-out sample")
    eps = max(map(_arrays.eps_of, given))
    if not any(map(_arrays.staged, (cross, diagonal, gram_diagonal))):
        _require_inner_products(cross, diagonal, gram_diagonal, eps, ("cross", "diagonal_i K_jj"))
    return cross, diagonal, eps


def _require_inner_products(
    entries: Float[Any, "m n"],
    of_rows: Float[Any, " m"],
    of_columns: Float[Any, " n"],
    eps: float,
    names: tuple[str, str],
) -> None:
    """Refuse what is no matrix of inner products: a negative diagonal, or entries that pass Schwarz's inequality."""
    xp = _arrays.namespace(entries)
    what, product = names
    square = entries.shape[0] == entries.shape[1] and of_rows is of_columns
    share = slack(eps)
    largest = max(_arrays.number(xp.max(xp.abs(of_rows))), _arrays.number(xp.max(xp.abs(of_columns))))
    least = min(_arrays.number(xp.min(of_rows)), _arrays.number(xp.min(of_columns)))
    if least < -share * largest:
        where = f"the diagonal of {what}" if square else "the diagonal of the held-out samples"
        raise KernelRefused(
            where,
            f"{least:.3g}",
            "squares of lengths, which are not negative",
            "it looks like the negative of a kernel or a matrix of scores; give inner products of features",
            verb="holds",
        )
    zero = xp.zeros_like(of_rows)
    roots = xp.sqrt(xp.maximum(of_rows, zero)) * (1.0 + share)
    others = xp.sqrt(xp.maximum(of_columns, xp.zeros_like(of_columns)))
    step = max(1, BLOCK // entries.shape[1])
    for top in range(0, entries.shape[0], step):
        part = slice(top, min(top + step, entries.shape[0]))
        excess = xp.abs(entries[part, :]) - roots[part, None] * others[None, :]
        if _arrays.number(xp.max(excess)) > share * largest:
            worst = int(xp.argmax(xp.reshape(excess, (-1,))))
            i, j = top + worst // entries.shape[1], worst % entries.shape[1]
            value, bound = _arrays.number(entries[i, j]), _arrays.number(roots[i] * others[j])
            looks = (
                "with zeros on its diagonal it looks like a matrix of distances D, of which -D**2 / 2 is a Gram matrix "
                "once its rows and columns are centred"
                if square and largest == 0.0
                else "it looks like no kernel of these samples; give inner products of features, K = H H'"
            )
            raise KernelRefused(
                what,
                f"{value:.3g} in row {i}, column {j}",
                f"at most sqrt({product}) = {bound:.3g} in size, as inner products are",
                looks,
                verb="holds",
            )


def require_no_negative(values: Float[np.ndarray, " n"], trace: float, eps: float) -> None:
    """Refuse a Gram matrix with an eigenvalue that is less than 0 by more than round-off.

    Entries that err by a share of the squares move eigenvalues by no more than that share of their sum.
    """
    least = float(values.min())
    if least < -slack(eps) * trace:
        raise KernelRefused(
            "the Gram matrix",
            f"not positive semidefinite: an eigenvalue is {least:.3g}, their sum {trace:.3g}",
            "no eigenvalue below 0",
            "give inner products of features, K = H H'",
        )


def halves_of(
    entries: Float[Any, "m n"],
    of_rows: Float[Any, " m"],
    of_columns: Float[Any, " n"],
    codes: Int[np.ndarray, " n"],
    sizes: Float[Any, " C"],
    eps: float,
) -> Halves:
    """Return the class averages of E over columns, in one pass over the entries, and how far the entries err."""
    xp = _arrays.namespace(entries)
    count = int(codes.max()) + 1
    scales = [xp.sqrt(xp.maximum(d, xp.zeros_like(d))) for d in (of_rows, of_columns)]
    rows, columns = (xp.where(s > 0, 1.0 / xp.where(s > 0, s, xp.ones_like(s)), s) for s in scales)
    if _arrays.is_foreign(entries):
        halves = 0.5 * ((entries - of_rows[:, None]) + (entries - of_columns[None, :]))
        excess = xp.max(halves * rows[:, None] * columns[None, :])
        sums = _arrays.segment_sum(xp.permute_dims(halves, (1, 0)), codes, count)
        means = xp.permute_dims(sums, (1, 0)) / sizes
        floor = 0.5 * UNITS * eps + xp.zeros_like(excess)
        return Halves(means, xp.maximum(excess, floor))
    turned = entries if entries.shape[0] == entries.shape[1] and of_rows is of_columns else entries.T
    means, excess = np.empty((len(of_rows), count)), 0.0
    step = max(8, BLOCK // len(of_columns))
    for left in range(0, len(of_rows), step):
        part = slice(left, left + step)
        block = turned[:, part] - of_columns[:, None]
        block += turned[:, part] - of_rows[part]
        block *= 0.5
        if block.max() > 0.0:
            excess = max(excess, float((block * columns[:, None] * rows[part]).max()))
        means[part] = _arrays.segment_sum(block, codes, count).T
    return Halves(means / sizes, max(excess, 0.5 * UNITS * eps))


def coincident(gram: Float[Any, "n n"], members: Int[np.ndarray, " m"], units: float) -> bool:
    """Tell whether these samples have one feature vector, each pair by itself, to within units of round-off."""
    xp = _arrays.namespace(gram)
    if _arrays.is_foreign(gram):
        where = xp.asarray(members)
        part = _arrays.read(xp.take(xp.take(gram, where, axis=0), where, axis=1))
    else:
        part = gram[np.ix_(members, members)]
    diagonal = np.diag(part)
    halves = 0.5 * ((part - diagonal[:, None]) + (part - diagonal))
    return bool(np.abs(halves).max() <= 0.5 * units * np.finfo(np.float64).eps * np.abs(diagonal).max())


def require_definite(value: Any, error: Any, what: str) -> None:
    """Refuse a Gram matrix from which something negative came that is a square."""
    if _arrays.staged(value) or _arrays.staged(error):
        return
    if _arrays.number(value) < -_arrays.number(error):
        raise KernelRefused(
            "the Gram matrix",
            f"not positive semidefinite: {what} is {_arrays.number(value):.3g}",
            "a sum of squares",
            "give inner products of features, in float64 if these were rounded",
        )
