"""How alike two kernels are, or a kernel and the labels, and the mean entries within and between classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernel_collapse import _arrays, _results, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse._gram import read_gram
from kernel_collapse.collapse._moments import EPS
from kernel_collapse.collapse._round_off import FEATURES, LEAST, UNITS, Measured, Source, of_gram, settle

__all__ = [
    "Alignment",
    "BlockStructure",
    "block_structure",
    "cka",
    "cka_from_features",
    "kernel_target_alignment",
]


@dataclass(frozen=True)
class Alignment:
    """A cosine between two Gram matrices.

    Attributes
    ----------
    value : float
        Their inner product over their Frobenius norms: 1 where one is a multiple of the other.
    reason : str
        Empty, or why `value` is NaN, or how far it is known.
    """

    value: float
    reason: str = ""

    def to_frame(self) -> _results.DataFrame:
        """Return a table of one row.

        Raises
        ------
        ValueError
            If pandas is not installed.
        """
        return _results.one_row(self, ("value", "reason"))


def kernel_target_alignment(gram: Any, labels: Any, *, targets: Any = None) -> Alignment:
    r"""Return the kernel-target alignment <K, YY'> / (\|K\|_F \|YY'\|_F), which says how well a kernel matches its
    labels.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        Arrays of PyTorch, JAX and CuPy are read into NumPy's.
    labels : sequence, length n
        Class of each sample: Y has a column a class, 1 for the samples in it.
    targets : array_like, shape (n, k) or (n,), optional
        Y itself, -1 and +1 say, in place of the one-hot labels.

    Returns
    -------
    Alignment
        Neither K nor YY' is centred; `cka` of K and YY' is the same with both centred.

    Raises
    ------
    ValueError
        As for `kernel_collapse.nc1`, or if targets have other rows.

    References
    ----------
    Cristianini et al. (2001), NIPS 14; Cortes, Mohri and Rostamizadeh (2012), JMLR 13.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> kc.kernel_target_alignment(np.eye(4), [0, 0, 1, 1]).value
    0.7071067811865475
    """
    codes, _ = _validate.encode_labels(labels)
    clean, eps = read_gram(gram, len(codes), "gram")
    clean, _ = _arrays.in_reach(clean)
    unit, size = UNITS * eps, float(np.linalg.norm(clean))
    if targets is None:
        sizes = np.bincount(codes).astype(float)
        inner = float(
            np.sum(
                _arrays.segment_sum(
                    _arrays.segment_sum(clean, codes, len(sizes)).T, codes, len(sizes)
                ).diagonal()
            )
        )
        reach = float(np.sum(_arrays.segment_sum(np.sqrt(np.abs(clean.diagonal())), codes, len(sizes)) ** 2))
        other = float(np.sqrt(np.sum(sizes**2)))
    else:
        wanted = _validate.columns(targets, "targets", numpy=True)
        _validate.as_many(len(wanted), "targets", len(codes))
        wanted, _ = _arrays.in_reach(wanted)
        inner = float(np.sum((clean @ wanted) * wanted))
        reach = float(np.sum((np.sqrt(np.abs(clean.diagonal())) @ np.abs(wanted)) ** 2))
        other = float(np.linalg.norm(wanted.T @ wanted))
    return _aligned(inner, unit * reach, (size, other), (unit * float(clean.trace()), 0.0), of_gram(eps))


def cka(gram: Any, other: Any) -> Alignment:
    r"""Return the centred alignment (CKA) of two Gram matrices of the same samples, <HKH, HLH> / (\|HKH\| \|HLH\|).

    Parameters
    ----------
    gram, other : array_like, shape (n, n)
        Arrays of PyTorch, JAX and CuPy are read into NumPy's.

    Returns
    -------
    Alignment
        The biased estimate, as first published. It does not change if the features are shifted, rotated or multiplied
        by a number.

    Raises
    ------
    ValueError
        If the two are not Gram matrices of one size.

    References
    ----------
    Cortes, Mohri and Rostamizadeh (2012), JMLR 13; Kornblith et al. (2019), arXiv 1905.00414.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> x = kc.data.gaussian_classes(n=40, dim=3).x
    >>> round(kc.cka(kc.nngp(x), kc.ntk(x)).value, 3), round(kc.cka(kc.nngp(x), 3.0 * kc.nngp(x) + 1.0).value, 9)
    (0.999, 1.0)
    """
    given = ((gram, "gram"), (other, "other"))
    count = len(_validate.matrix(gram, "gram", numpy=True))
    (first, first_eps), (second, second_eps) = (read_gram(value, count, what) for value, what in given)
    unit = UNITS * max(first_eps, second_eps)
    first, second = _arrays.in_reach(first)[0], _arrays.in_reach(second)[0]
    centred = [_centred(first), _centred(second)]
    norms = tuple(float(np.linalg.norm(value)) for value in centred)
    errors = tuple(2.0 * unit * float(value.trace()) for value in (first, second))
    inner = float(np.sum(centred[0] * centred[1]))
    error = errors[0] * norms[1] + errors[1] * norms[0]
    return _aligned(inner, error, (norms[0], norms[1]), (errors[0], errors[1]), of_gram(unit / UNITS))


def _centred(gram: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    column = gram.mean(axis=1)
    about = gram - column[:, None]
    about -= column - column.mean()
    return about


def cka_from_features(features: Any, other: Any) -> Alignment:
    r"""Return linear CKA of two sets of features of the same samples, \|Y'X\|^2 / (\|X'X\| \|Y'Y\|), both centred.

    Parameters
    ----------
    features, other : array_like, shape (n, p) and (n, q)
        Features, one sample a row, of two layers or networks. Arrays of other libraries are read into NumPy's.

    Returns
    -------
    Alignment
        As of `cka` of their Gram matrices.

    Raises
    ------
    ValueError
        If the two have different numbers of rows, or values are not finite.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> turned = x @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    >>> round(kc.cka_from_features(x, 5.0 * turned + 1.0).value, 9)
    1.0
    """
    clean = [
        _arrays.in_reach(_validate.squarable(_validate.matrix(value, what, numpy=True), what))[0]
        for value, what in ((features, "features"), (other, "other"))
    ]
    if len(clean[0]) != len(clean[1]):
        raise InputError(
            "other",
            f"{len(clean[1])} rows and there are {len(clean[0])} rows of features",
            "as many",
            "give features of the same samples in the same order",
            verb="has",
        )
    about = [value - value.mean(axis=0) for value in clean]
    moved = [EPS * float(np.linalg.norm(value)) for value in clean]  # by centring
    # Of features far from the origin the rest may be so small that its fourth powers vanish.
    scales = [_arrays.in_reach(value) for value in about]
    first, second = (value for value, _ in scales)
    moved = [float(_arrays.shifted(np.float64(off), -e)) for off, (_, e) in zip(moved, scales, strict=True)]
    sizes = [float(np.linalg.norm(value)) for value in (first, second)]
    reach = [UNITS * (EPS * size + off) for size, off in zip(sizes, moved, strict=True)]
    if len(first) < max(first.shape[1], second.shape[1]):
        grams = [value @ value.T for value in (first, second)]
        inner = float(np.sum(grams[0] * grams[1]))
        norms = [float(np.linalg.norm(gram)) for gram in grams]
    else:
        inner = float(np.sum((second.T @ first) ** 2))
        norms = [float(np.linalg.norm(value.T @ value)) for value in (first, second)]
    errors = [2.0 * off * size for off, size in zip(reach, sizes, strict=True)]
    error = errors[0] * norms[1] + errors[1] * norms[0]
    return _aligned(inner, error, (norms[0], norms[1]), (errors[0], errors[1]), FEATURES)


def _aligned(
    inner: float, error: float, norms: tuple[float, float], off: tuple[float, float], source: Source
) -> Alignment:
    """Return a cosine with its round-off."""
    if not (norms[0] > off[0] and norms[1] > off[1]):
        return Alignment(float("nan"), "a Gram matrix is 0 to within round-off: there is nothing to compare")
    value = inner / norms[0] / norms[1]
    relative = error / norms[0] / norms[1] + abs(value) * (off[0] / norms[0] + off[1] / norms[1])
    values, reason = settle({"the alignment": Measured(np.float64(value), relative, LEAST)}, source)
    return Alignment(float(values["the alignment"]), reason)


@dataclass(frozen=True, eq=False)
class BlockStructure:
    r"""The mean entries of a kernel: on the diagonal, within classes and between classes.

    Take a kernel with only these three values: d on the diagonal, c within a class and n between classes. It is
    K = (d - c) I + (c - n) YY' + n 11'. With C classes of m samples it has tr S_W = (1 - 1/m)(d - c) and
    tr S_B = (1 - 1/C) [(d - c)/m + c - n].

    Attributes
    ----------
    diagonal : float
        Mean of K_ii.
    within : float
        Mean of K_ij over all pairs of different samples of one class, each pair with the same weight. NaN if no class
        has two samples.
    between : float
        Mean of K_ij over pairs of samples of different classes.
    residual : float
        \|K - the kernel with these three values\|_F / \|K\|_F: 0 where K has this structure.
    reason : str
        Empty, or why a number is NaN, or how far it is known.
    """

    diagonal: float
    within: float
    between: float
    residual: float
    reason: str = ""

    def to_frame(self) -> _results.DataFrame:
        """Return a table of one row.

        Raises
        ------
        ValueError
            If pandas is not installed.
        """
        return _results.one_row(self, ("diagonal", "within", "between", "residual", "reason"))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        meanings = {
            "diagonal": "mean of the diagonal",
            "within": "mean within classes",
            "between": "mean between classes",
            "residual": "relative distance to these blocks",
        }
        return _results.fields_as_html("Block structure of a kernel", self, meanings)


def block_structure(gram: Any, labels: Any) -> BlockStructure:
    """Return the mean entries of a kernel on the diagonal, within classes and between them.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        Any symmetric matrix: a kernel, an NTK. Arrays of PyTorch, JAX and CuPy are read into NumPy's.
    labels : sequence, length n
        Class of each sample.

    Returns
    -------
    BlockStructure

    Raises
    ------
    ValueError
        If the matrix is not square, symmetric and finite, of the size of the labels, or there is only one class.

    References
    ----------
    Seleznova et al. (2023), "Neural (Tangent Kernel) Collapse", arXiv 2305.16427, which assumes such an NTK.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> labels = np.array([0, 0, 1, 1])
    >>> same = labels[:, None] == labels
    >>> kc.block_structure(2.0 * np.eye(4) + 0.5 * same + 0.25, labels)
    BlockStructure(diagonal=2.75, within=0.75, between=0.25, residual=0.0, reason='')
    """
    codes, _ = _validate.encode_labels(labels)
    clean, exponent = _arrays.in_reach(_validate.gram(_validate.in_numpy(gram, "gram"), len(codes)))
    eps = _arrays.eps_of(gram)
    n, sizes = len(codes), np.bincount(codes).astype(float)
    diagonal, inside, everything = (np.array(_sums(clean, codes)[i]) for i in range(3))
    counts = np.array([n, np.sum(sizes**2) - n, n**2 - np.sum(sizes**2)])
    sums = np.array([diagonal[0], inside[0] - diagonal[0], everything[0] - inside[0]])
    sizes_of = np.array([diagonal[1], inside[1] - diagonal[1], everything[1] - inside[1]])
    with np.errstate(invalid="ignore"):
        means, reach = sums / counts, sizes_of / counts
    unit = UNITS * eps
    rest = _residual(clean, codes, means)
    size = float(np.linalg.norm(clean))
    measured = {
        name: Measured(mean, unit * far, LEAST * far)
        for name, mean, far in zip(("diagonal", "within", "between"), means, reach, strict=True)
    }
    nothing = np.float64("nan")
    measured["residual"] = (
        Measured(np.float64(rest / size), unit, LEAST) if size > 0 else Measured(nothing, nothing)
    )
    values, rounded = settle(measured, of_gram(eps))
    values |= {name: _arrays.shifted(values[name], exponent) for name in ("diagonal", "within", "between")}
    said = "no class has two samples: there is no mean within classes" if counts[1] == 0 else ""
    return BlockStructure(
        **{name: float(value) for name, value in values.items()},
        reason="; ".join(filter(None, (said, rounded))),
    )


def _sums(
    gram: Float[np.ndarray, "n n"], codes: Int[np.ndarray, " n"]
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Return sums of entries and of their sizes: on the diagonal, within classes with it, and all."""
    count = int(codes.max()) + 1
    inside, everything = [0.0, 0.0], [0.0, 0.0]
    step = max(1, 2**20 // len(codes))
    for top in range(0, len(codes), step):
        block, which = gram[top : top + step], codes[top : top + step]
        for i, part in enumerate((block, np.abs(block))):
            by_class = _arrays.segment_sum(np.ascontiguousarray(part.T), codes, count)  # (C, rows)
            inside[i] += float(by_class[which, np.arange(len(which))].sum())
            everything[i] += float(by_class.sum())
    own = gram.diagonal()
    return (
        (float(own.sum()), float(np.abs(own).sum())),
        (inside[0], inside[1]),
        (everything[0], everything[1]),
    )


def _residual(
    gram: Float[np.ndarray, "n n"], codes: Int[np.ndarray, " n"], means: Float[np.ndarray, " 3"]
) -> float:
    """Return the distance of a matrix to the one with these entries."""
    diagonal, within, between = means
    total = 0.0
    step = max(1, 2**20 // len(codes))
    for top in range(0, len(codes), step):
        which = codes[top : top + step]
        rows = np.arange(len(which))
        off = gram[top : top + step] - np.where(which[:, None] == codes, within, between)
        off[rows, top + rows] = gram[top + rows, top + rows] - diagonal
        total += float(np.sum(off**2))
    return total**0.5
