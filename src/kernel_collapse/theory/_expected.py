"""The ratio of expected traces of a Gaussian mixture, without a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.activations import ActivationLike
from kernel_collapse.collapse import WEIGHTINGS, Weighting
from kernel_collapse.kernels import NNGP, NTK
from kernel_collapse.kernels.named import resolve
from kernel_collapse.solution import Solution, Status
from kernel_collapse.theory import _qmc, _quadrature
from kernel_collapse.theory._mixture import GaussianMixture
from kernel_collapse.theory._moments import Network, Problem, Sizes, problem_of, traces

__all__ = ["ExpectedNC1", "expected_nc1"]

Method = Literal["quadrature", "qmc"]
#: Relative errors of the ratio that are asked for by default, and the smallest that float64 can promise.
ACCURACY: dict[Method, float] = {"quadrature": 1e-6, "qmc": 1e-3}


@dataclass(frozen=True)
class ExpectedNC1(Solution):
    """Expected traces of a kernel and their ratio.

    Attributes
    ----------
    within, between : float
        E tr S_W and E tr S_B, in the squared units of the features.
    ratio : float
        within / between; NaN where the classes have one mean.
    ratio_error : float
        Bound (quadrature) or half of a 95 % interval (qmc) of the error of `ratio`, in its own units; infinite if the
        rule does not converge with the points allowed.
    status : Status
        `converged` if the error asked for was reached, else `max_points`.
    method : {"quadrature", "qmc"}
        What was used.
    points : int
        Nodes of the quadrature, or points of all scramblings.
    reason : str
        Empty, or why `ratio` is not a number or less accurate than was asked for.
    """

    within: float
    between: float
    ratio: float
    ratio_error: float
    status: Status
    method: Method
    points: int
    reason: str = ""

    _value: ClassVar = "ratio"
    _certificate: ClassVar = ("ratio_error",)
    _cost: ClassVar = ("points",)

    @property
    def explanation(self) -> str:
        """Why `ratio` is not a number or less accurate than was asked for, if it is so."""
        return self.reason or self.sentence

    @property
    def log10_ratio(self) -> float:
        """Logarithm of the ratio to base 10; NaN where it has none."""
        return float(np.log10(self.ratio)) if self.ratio > 0 else float("nan")


def expected_nc1(
    mixture: GaussianMixture,
    *,
    kernel: Literal["nngp", "ntk"] | NNGP | NTK = "nngp",
    activation: ActivationLike | None = None,
    depth: int | None = None,
    weight_variance: float | None = None,
    bias_variance: float | None = None,
    class_sizes: Sequence[int] | None = None,
    class_shares: Sequence[float] | None = None,
    weighting: Weighting = "paper",
    method: Literal["auto", "quadrature", "qmc"] = "auto",
    accuracy: float | None = None,
    max_points: int | None = None,
    seed: int = 0,
) -> ExpectedNC1:
    r"""Return E tr S_W / E tr S_B of the kernel of a wide network of one hidden layer on a Gaussian mixture.

    No data are sampled. For independent x and x' the expectation of E_w[phi(w.x) phi(w.x')] is E_w[m_c(w) m_c'(w)]
    with m_c(w) = E phi(w.x), a Gaussian expectation in one variable; and likewise for the NTK. The remaining
    computation is an expectation over the weights of one unit. The mean of n_c samples has the expected squared norm
    diag / n_c + (1 - 1/n_c) off-diagonal.

    The result is a ratio of expectations. The mean of the ratios over many data sets approaches it as the classes
    grow.

    Parameters
    ----------
    mixture : GaussianMixture
        The law of the samples, from `gaussian_mixture`.
    kernel : {"nngp", "ntk"}, NNGP or NTK
        `kernel_collapse.nngp` (of the features) or `kernel_collapse.ntk`; or a kernel with its own parameters.
    activation : str or Activation, optional
        erf by default. erf, ReLU and identity have closed forms. For any other activation phi is integrated
        numerically. The integral is split at the points of its attribute `kinks`, if it has one. The NTK also needs
        its `kappa_c`.
    depth : int
        Number of hidden layers; must be 1.
    weight_variance, bias_variance : float
        Prior variances, as for the kernels, by default too.
    class_sizes : sequence of C int, optional
        Samples in each class. By default the limit of infinitely many.
    class_shares : sequence of C float, optional
        The shares of the classes in that limit, up to a factor; equal by default.
    weighting : {"paper", "sample", "class", "published"}
        As for `kernel_collapse.nc1`.
    method : {"auto", "quadrature", "qmc"}
        "quadrature": for isotropic classes whose means are on a line (without a bias, through the origin or not; with
        a bias, through the origin); exact to the error that is returned. "qmc": randomised quasi-Monte Carlo, for any
        mixture. "auto": quadrature where it applies and reaches the accuracy, else the more accurate of both.
    accuracy : float, optional
        Relative error of the ratio to reach; 1e-6 for quadrature and 1e-3 for qmc by default.
    max_points : int, optional
        Largest number of nodes of a rule, or of points of all scramblings.
    seed : int
        Seed of the scramblings.

    Returns
    -------
    ExpectedNC1

    Raises
    ------
    ValueError
        If a parameter is out of its range, the method does not apply to the mixture, or the activation grows too
        fast for the expectation.

    References
    ----------
    Williams (1997), "Computing with infinite networks"; Cho and Saul (2009), "Kernel methods for deep learning".
    docs/theory.md has the formulas and the measured accuracy.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> mixture = kc.theory.gaussian_mixture(128)
    >>> round(kc.theory.expected_nc1(mixture, class_sizes=(512, 512)).log10_ratio, 4)
    -0.9768
    >>> round(kc.theory.expected_nc1(mixture, class_sizes=(512, 512), kernel="ntk").log10_ratio, 4)
    -0.6741
    """
    network = network_of(kernel, activation, depth, weight_variance, bias_variance)
    _validate.choice(weighting, WEIGHTINGS, "weighting")
    _validate.choice(method, ("auto", "quadrature", "qmc"), "method")
    if accuracy is not None:
        accuracy = _validate.positive(accuracy, "accuracy")
    if max_points is not None:
        max_points = _validate.count(max_points, "max_points", most=2**30)
    seed = _validate.seed(seed)
    sizes = sizes_of(mixture, class_sizes, class_shares)
    problem = problem_of(mixture, network, sizes.share)
    network.activation.require_seen(_largest_variance(problem))
    count = _quadrature.directions(problem)
    if method == "quadrature" and (count is None or count > 2):
        raise _why_not(mixture, network)
    found: list[ExpectedNC1] = []
    methods: tuple[Method, ...] = ("quadrature", "qmc") if method == "auto" else (method,)
    for one in methods:
        if one == "quadrature" and (count is None or count > 2):
            continue
        found.append(_run(one, problem, sizes, weighting, accuracy or ACCURACY[one], max_points, seed))
        # Sampling is no use where quadrature is already as accurate as sampling would be asked to be.
        enough = found[-1].ratio_error <= (accuracy or ACCURACY["qmc"]) * abs(found[-1].ratio)
        if not found[-1].failures or enough:
            return found[-1]
    return min(found, key=lambda result: result.ratio_error)


def _run(
    method: Method,
    problem: Problem,
    sizes: Sizes,
    weighting: Weighting,
    accuracy: float,
    max_points: int | None,
    seed: int,
) -> ExpectedNC1:
    row: Float[np.ndarray, " S"]
    if method == "quadrature":
        row, error, points = _quadrature.integrate(problem, sizes, weighting, accuracy, max_points)
    else:
        row, error, points = _qmc.integrate(problem, sizes, weighting, accuracy, max_points, seed)
    value = traces(row, sizes, weighting)
    reason = value.reason
    if error > accuracy and not reason:
        reason = (
            f"the relative error is {error:.2g} with {points} points, not {accuracy:.2g}: raise max_points"
        )
    return ExpectedNC1(
        within=value.within,
        between=value.between,
        ratio=value.ratio,
        ratio_error=error * abs(value.ratio),
        status=Status.CONVERGED if error <= accuracy else Status.MAX_POINTS,
        method=method,
        points=points,
        reason=reason,
    )


def _largest_variance(problem: Problem) -> float:
    """Return the mean variance of a pre-activation of a sample, of the class in which it is largest."""
    squares = (problem.means**2).sum(axis=1) + problem.traces
    return float(problem.scale * squares.max() + problem.network.bias_variance)


def network_of(
    kernel: Any,
    activation: ActivationLike | None,
    depth: int | None,
    weight_variance: float | None,
    bias_variance: float | None,
) -> Network:
    """Return the network, or refuse it."""
    chosen = resolve(
        kernel,
        activation=activation,
        depth=depth,
        weight_variance=weight_variance,
        bias_variance=bias_variance,
    )
    if not isinstance(chosen, NTK) and not (isinstance(chosen, NNGP) and chosen.kind == "features"):
        raise InputError.of(
            "kernel",
            chosen,
            "kernel_collapse.kernels.NNGP of the features or NTK, whose expectation is known",
            "for others sample data and use kc.streamed_nc1 or kc.sampled_nc1",
        )
    if chosen.depth != 1:
        raise InputError(
            "depth",
            f"{chosen.depth}",
            "1",
            "only one hidden layer makes the kernel an expectation over the weights of one unit; for deeper "
            "networks sample data and use kc.streamed_nc1 or kc.sampled_nc1",
        )
    return Network(
        chosen.phi,
        isinstance(chosen, NTK),
        _validate.moderate(chosen.weight_variance, "weight_variance"),
        _validate.moderate(chosen.bias_variance, "bias_variance", zero_allowed=True),
    )


def sizes_of(
    mixture: GaussianMixture, class_sizes: Sequence[int] | None, class_shares: Sequence[float] | None
) -> Sizes:
    """Return shares and inverse sizes, or refuse them."""
    _validate.instance(
        mixture, GaussianMixture, "mixture", "make one with kernel_collapse.theory.gaussian_mixture"
    )
    classes = mixture.n_classes
    if class_sizes is not None and class_shares is not None:
        raise InputError(
            "class_sizes and class_shares", "both given", "one of them", "sizes imply the shares", verb="are"
        )
    given: Any = class_shares if class_sizes is None else class_sizes
    if given is None:
        return Sizes(np.full(classes, 1.0 / classes), np.zeros(classes))
    what = "class_shares" if class_sizes is None else "class_sizes"
    alone = isinstance(given, int | float | np.number)
    given = [given] if alone else _validate.several(given, what, "an entry a class, as in class_means")
    if len(given) != classes:
        raise InputError.of(what, given, f"{classes} entries", "one a class, as in class_means")
    if class_sizes is None:
        shares = np.array([_validate.positive(share, "a class share") for share in given])
        return Sizes(shares / shares.sum(), np.zeros(classes))
    counts = np.array([_validate.count(size, "a class size") for size in given], dtype=float)
    return Sizes(counts / counts.sum(), 1.0 / counts)


def _why_not(mixture: GaussianMixture, network: Network) -> InputError:
    if not mixture.isotropic:
        what, wanted = (
            "covariances that are not multiples of the unit matrix",
            "isotropic classes with means on a line",
        )
    elif network.bias_variance > 0:
        what, wanted = (
            "means on no line through the origin, and a bias",
            "with a bias, means on a line through the origin",
        )
    else:
        what, wanted = "means that are on no line", "means on a line"
    return InputError(
        "method", f"'quadrature' for a mixture with {what}", wanted, "use method='qmc', or 'auto'"
    )
