"""From inputs and targets to a deep recursive feature machine: checks, then layer after layer."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _arrays, _collinear, _memory, _validate, activations
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.kernels import Gaussian, Kernel, Laplace, ProductKernel
from kernel_collapse.rfm._fit import coincident
from kernel_collapse.rfm._gradients import EPS
from kernel_collapse.rfm._layer import Machine, unit
from kernel_collapse.rfm._solution import DeepRFM, require_directions
from kernel_collapse.rfm._train import trained

__all__ = ["RFM_KERNELS", "deep_rfm"]

#: Kernels by name.
RFM_KERNELS: dict[str, type[Laplace] | type[Gaussian]] = {"laplace": Laplace, "gaussian": Gaussian}
#: Layers: each takes two matrices of n x n for good.
MOST_LAYERS = 1000
MOST_ITERATIONS = 1000
#: Matrices of n x n that are held while a layer is computed.
AT_WORK = 10


def deep_rfm(
    x: ArrayLike,
    targets: ArrayLike,
    *,
    depth: int = 5,
    kernel: str | Kernel = "laplace",
    bandwidth: float | None = None,
    ridge: float = 0.0,
    activation: activations.ActivationLike = "relu",
    iterations: int = 1,
    labels: Any = None,
    inputs: Literal["features", "gram"] = "features",
    raise_on_failure: bool = True,
) -> DeepRFM:
    r"""Return a deep recursive feature machine (deep RFM) in the limit of infinitely many random features.

    Each layer scales its inputs to unit length, fits a kernel to the targets by ridge regression, multiplies the inputs
    by the root of M, the average gradient outer product of the fit, and passes phi(W M^{1/2} x) on, W of independent
    standard normal entries. With infinitely many rows in W every layer is a function of a Gram matrix, without any
    random number.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Inputs, at least two samples, none of zeros alone; their lengths do not matter. Arrays of PyTorch, JAX and CuPy
        are read into NumPy's float64, in which all is computed. With ``inputs="gram"`` the Gram matrix (n, n) of any
        features, such as those of an NNGP, a convolutional kernel or a network.
    targets : array_like, shape (n,) or (n, k)
        What the kernel of every layer is fitted to. They are not centred.
    depth : int
        Number of layers.
    kernel : {"laplace", "gaussian"} or ProductKernel
        The kernel that is fitted: `kernels.Laplace`, exp(-D/h), or `kernels.Gaussian`, exp(-D^2/2h^2), of distances
        D; or any `kernels.ProductKernel`, such as `kernels.Linear`.
    bandwidth : float, optional
        h, for rows of unit length; 2 by default. A kernel that is given as an object has its own.
    ridge : float
        Added to the diagonal of the kernel, zero or more.
    activation : str, Activation or callable
        phi. If it is not homogeneous, the inputs M^{1/2} x are scaled to a mean square length of 1.
    iterations : int
        Fits of each layer. After the first one the distances are those of M^{1/2} x, scaled to a mean square length of
        1: the plain recursive feature machine.
    labels : sequence, length n, optional
        Classes, used only for NC1. By default samples with equal targets are in one class.
    inputs : {"features", "gram"}
        What `x` is.
    raise_on_failure : bool
        Raise `kernel_collapse.solution.SolutionError` where the status is `singular`.

    Returns
    -------
    DeepRFM
        `layers[i]` has the kernels `gram_input`, `gram_agop` and `gram` of layer i + 1 with NC1 of each.

    Raises
    ------
    ValueError
        If an input is not finite or out of its range, a row has no direction, or samples of one direction have
        different targets and there is no ridge.
    SolutionError
        If a kernel is singular to round-off.

    References
    ----------
    Beaglehole, Sukenik, Mondelli and Belkin (2024), "Average gradient outer product as a mechanism for deep neural
    collapse", arXiv 2402.13728; Radhakrishnan et al. (2024), "Mechanism for feature learning in neural networks and
    backpropagation-free machine learning models", Science 383.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> data = kc.data.gaussian_classes(n=128, dim=8, seed=0)
    >>> machine = kc.deep_rfm(data.x, data.targets, depth=3)
    >>> machine.nc1.round(6)
    array([[5.0798e-02, 4.4390e-03, 8.6910e-03],
           [8.4340e-03, 1.5600e-04, 3.0900e-04],
           [3.0600e-04, 8.0000e-06, 1.6000e-05]])
    >>> machine.status.value, machine.layers[2].accuracy
    ('resolved', 1.0)
    """
    _validate.choice(inputs, ("features", "gram"), "inputs")
    machine = Machine(
        _kernel(kernel, bandwidth),
        _validate.positive(ridge, "ridge", zero_allowed=True),
        activations.get(activation),
        _validate.count(iterations, "iterations", most=MOST_ITERATIONS),
    )
    depth = _validate.count(depth, "depth", most=MOST_LAYERS)
    raise_on_failure = _validate.flag(raise_on_failure, "raise_on_failure")
    gram, rows, eps = _gram_of(x, inputs, depth)
    y = _targets(targets, len(gram))
    classes = _classes(labels, y)
    first = unit(gram)
    if first is None:
        raise InputError(
            "x", "rows whose lengths differ by more than float64 tells", "lengths of one size", verb="has"
        )
    if machine.ridge == 0.0:
        _require_one_target(first, y)
    found = trained(machine, gram, y, classes, rows, depth, eps)
    if raise_on_failure:
        found.raise_for_status()
    return found


class Classes(NamedTuple):
    """The class of each sample, and what each class is; nothing where the samples have none."""

    codes: Int[np.ndarray, " n"] | None
    known: tuple[Any, ...]
    #: Whether the classes are rows of the targets.
    of_targets: bool


def _kernel(kernel: Any, bandwidth: float | None) -> ProductKernel:
    """Return the kernel that is meant."""
    if isinstance(kernel, str):
        kind = RFM_KERNELS[_validate.choice(kernel, RFM_KERNELS, "kernel")]
        return kind(_validate.moderate(2.0 if bandwidth is None else bandwidth, "bandwidth"))
    if not isinstance(kernel, ProductKernel):
        raise InputError.of(
            "kernel",
            kernel,
            f"one with a derivative: {', '.join(map(repr, RFM_KERNELS))}, or a kernels.ProductKernel",
            "give it the methods of_products and slopes",
        )
    kernel._require_slopes()
    if bandwidth is not None:
        raise InputError("bandwidth", "given beside a kernel", "either", "a kernel has its own parameters")
    return kernel


def _gram_of(
    x: ArrayLike, inputs: str, depth: int
) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n d"] | None, float]:
    """Return inner products of the inputs, their rows scaled to unit length if they are features, and the eps of both.

    Features are the numbers that they are; a Gram matrix of float32 is one of other features to its last digit.
    """
    clean = _validate.matrix(x, "x", numpy=True)
    n = len(clean)
    if n < 2:
        raise InputError(
            "x", "1 row", "at least two samples", "one sample has no class beside it", verb="has"
        )
    needed = 8.0 * n**2 * (2 * depth + AT_WORK)
    _memory.require(needed, f"the deep RFM of {n} samples in {depth} layers", "take fewer samples or layers")
    if inputs == "features":
        require_directions(np.abs(clean).max(axis=1), "x")
        rows = _collinear.unit(clean, 0.0)
        return rows @ rows.T, rows, EPS
    gram, eps = _validate.gram(clean, n), _arrays.eps_of(x)
    gram = 0.5 * (gram + gram.T)
    require_directions(np.diag(gram), "the diagonal of x")
    roots = np.sqrt(np.diag(gram))
    if (np.abs(gram) / roots[:, None] / roots).max() > 1.0 + max(1e-6, 16.0 * eps):
        raise InputError(
            "x",
            "an entry beyond sqrt(K_ii K_jj)",
            "a Gram matrix, K = H H'",
            "give inner products of features",
            verb="holds",
        )
    return gram, None, eps


def _targets(targets: ArrayLike, n: int) -> Float[np.ndarray, "n k"]:
    y = np.array(_validate.squarable(_validate.columns(targets, "targets", numpy=True), "targets"))  # kept
    if len(y) != n:
        raise InputError("x", f"{n} rows and targets {len(y)}", "as many targets as rows", verb="has")
    if not y.any():
        raise InputError(
            "targets", "zeros alone", "numbers to fit", "a fit of zeros has no gradient", verb="are"
        )
    return y


def _classes(labels: Any, targets: Float[np.ndarray, "n k"]) -> Classes:
    """Return classes as they are given, else samples of equal targets; none if that tells nothing."""
    if labels is not None:
        codes, known = _validate.encode_labels(labels)
        _validate.as_many(len(targets), "x", len(codes))
        return Classes(codes, known, False)
    values, codes = np.unique(targets, axis=0, return_inverse=True)
    if not 1 < len(values) < len(targets):
        return Classes(None, (), True)
    return Classes(codes.reshape(-1), tuple(map(tuple, values.tolist())), True)


def _require_one_target(cosines: Float[np.ndarray, "n n"], targets: Float[np.ndarray, "n k"]) -> None:
    """Refuse samples of one direction with different targets, which no kernel fits without a ridge."""
    ones = np.ones(len(cosines))
    for i, j in zip(*np.nonzero(np.triu(coincident(cosines, ones, ones), 1)), strict=True):
        if np.abs(targets[i] - targets[j]).max() > 16.0 * EPS * np.abs(targets).max():
            raise InputError(
                "x",
                f"rows {i} and {j} of one direction, whose targets differ",
                "one target a direction",
                "give a ridge, or drop either row",
                verb="has",
            )
