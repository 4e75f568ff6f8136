"""The classifier of a Gram matrix, W = H'alpha by its dual weights: given, or kernel ridge regression."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import InputError, KernelRefused
from kernel_collapse._linalg import Cholesky
from kernel_collapse._ridge import RIDGE
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse._duality import Classifier, Outputs, Rows
from kernel_collapse.collapse._metrics import class_targets_of, columns_of

__all__ = ["Dual", "by_position", "classifier_of", "dual_of"]


class Dual(NamedTuple):
    """Dual weights, which classes they are for, the bias if it is known, and the ridge if they were fitted here."""

    alpha: Float[Any, "n k"]
    class_targets: Float[Any, "C k"]
    bias: Float[Any, " k"] | None
    noise_variance: float = float("nan")


def by_position(dual_weights: Any, targets: Any) -> str:
    """Return what is matched to the classes by position: dual weights whose outputs no targets explain."""
    return "the classifier of dual_weights is" if dual_weights is not None and targets is None else ""


def dual_of(
    gram: Any,
    codes: Int[np.ndarray, " n"],
    targets: Any,
    noise_variance: float | None,
    dual_weights: Any,
    bias: Any,
) -> Dual | None:
    """Return the dual weights of a classifier, fitted if none are given; none without targets."""
    if dual_weights is not None:
        if noise_variance is not None:
            raise InputError(
                "dual_weights and noise_variance", "both given", "one", "a ridge is for a fit", verb="are"
            )
        _arrays.same_kind(gram, "gram", dual_weights, "dual_weights")
        alpha = columns_of(dual_weights, "dual_weights", len(codes))
        class_targets = class_targets_of(codes, targets, alpha.shape[1], gram)
        if bias is not None:
            _arrays.same_kind(gram, "gram", bias, "bias")
            bias = _validate.shaped(bias, "bias", (alpha.shape[1],), "one value an output")
        return Dual(alpha, class_targets, bias)
    if bias is not None:
        raise InputError(
            "a bias", "given without dual_weights", "both", "what is fitted here is fitted without a bias"
        )
    if targets is None:
        if noise_variance is not None:
            raise InputError("noise_variance", "given without targets", "both", "there is nothing to fit")
        return None
    _arrays.same_kind(gram, "gram", targets, "targets")
    xp = _arrays.namespace(gram)
    wanted = columns_of(targets, "targets", len(codes))
    if noise_variance is None:
        scale = xp.mean(xp.linalg.diagonal(gram))
        ridge = RIDGE * scale
        noise_variance = float("nan") if _arrays.staged(gram) else _arrays.number(ridge)
    else:
        ridge = noise_variance = _validate.positive(noise_variance, "noise_variance", zero_allowed=True)
    alpha = _solve(gram, ridge, wanted, noise_variance)
    none = xp.zeros_like(alpha[0, :])
    return Dual(alpha, class_targets_of(codes, targets, wanted.shape[1], gram), none, noise_variance)


def classifier_of(
    dual: Dual,
    scores: Float[Any, "n k"],
    codes: Int[np.ndarray, " n"],
    sizes: Float[Any, " C"],
    p: Float[Any, " C"],
    squares: Float[Any, " C"],
    weight_errors: Float[Any, " k"],
    unit: Any,
    exponent: int,
) -> Classifier:
    """Return W M' = alpha'KE and W W' = alpha'K alpha of the rows that speak for each class, given K alpha.

    Weights and their errors are 2^exponent times those of alpha 2^-exponent, which is near 1.

    Entries of K that err by delta change them by alpha' delta E and alpha' delta alpha, or, for a classifier that was
    fitted to K, by alpha' delta F E and alpha' G delta alpha, F and G symmetric with eigenvalues between -1 and 1.
    Independent errors of the size eps sqrt(K_ii K_jj) add up to products of the lengths of the weights under diag K.
    """
    xp = _arrays.namespace(scores)
    outputs = xp.permute_dims(_arrays.segment_sum(scores, codes, sizes.shape[0]) / sizes[:, None], (1, 0))
    alpha, near, near_errors, near_outputs = (
        _arrays.shifted(values, -exponent) for values in (dual.alpha, scores, weight_errors, outputs)
    )
    class_targets, more = _arrays.in_reach(dual.class_targets)
    cross = near_outputs - (near_outputs @ p)[:, None]
    square = xp.permute_dims(alpha, (1, 0)) @ near
    towards = class_targets - p @ class_targets
    of_rows = _arrays.norm(xp.abs(towards) @ near_errors)
    of_each = squares / sizes
    of_middle = xp.sum(p * p * of_each)
    of_means = xp.sqrt(of_each + of_middle)
    plain = class_targets @ square
    return Classifier(
        towards @ cross,
        unit * of_rows * _arrays.norm(of_means),
        xp.sum((towards @ square) * towards),
        unit * of_rows**2,
        Rows(
            class_targets @ cross,
            plain @ xp.permute_dims(class_targets, (1, 0)),
            unit,
            xp.abs(class_targets) @ near_errors,
            of_means,
        ),
        None
        if dual.bias is None
        else _outputs(dual.bias, outputs, p, weight_errors * xp.sqrt(of_middle), unit),
        exponent + more,
    )


def _outputs(
    bias: Float[Any, " k"],
    outputs: Float[Any, "k C"],
    p: Float[Any, " C"],
    of_middle: Float[Any, " k"],
    unit: Any,
) -> Outputs:
    """Return the outputs at the global mean; those at class means are given without bias.

    W h_G errs by `unit` times `of_middle`.
    """
    xp = _arrays.namespace(outputs)
    sizes = xp.max(xp.abs(outputs), axis=1) + xp.abs(bias)
    return Outputs(outputs @ p + bias, unit * (of_middle + sizes), sizes)


def _solve(gram: Any, ridge: Any, wanted: Any, noise_variance: float) -> Any:
    """Return (K + ridge I)^{-1} targets."""
    xp = _arrays.namespace(gram)
    if _arrays.is_foreign(gram):
        try:
            alpha = xp.linalg.solve(gram + ridge * xp.eye(gram.shape[0], dtype=gram.dtype), wanted)
            finite = _arrays.staged(alpha) or bool(xp.all(xp.isfinite(alpha)))
        except RuntimeError as error:  # PyTorch raises where the others return no numbers
            if "LinAlgError" not in type(error).__name__:
                raise
            finite = False
    else:
        shifted = gram.copy()
        shifted.flat[:: len(gram) + 1] += ridge
        factor = Cholesky(shifted)
        alpha = factor.solve(wanted) if factor.ok else wanted
        finite = factor.ok and bool(np.isfinite(alpha).all())
        if factor.ok and not finite:
            raise KernelRefused(
                "the dual weights of these targets",
                "beyond the largest float64",
                "numbers that are finite",
                "divide the targets by a number, or multiply the Gram matrix by one",
                verb="are",
            )
    if not finite:
        raise KernelRefused(
            f"the Gram matrix with noise_variance {noise_variance:.3g} on its diagonal",
            "not positive definite in its precision",
            "a larger ridge",
            "raise noise_variance",
        )
    return alpha
