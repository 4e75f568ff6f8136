"""Laws of classes on a line that differ in their tails: Gaussian, Student-t, Laplace, contaminated, skewed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.data._dataset import Dataset
from kernel_collapse.data._frame import frame, line, line_targets
from kernel_collapse.data._gaussian import gaussian_classes

__all__ = ["contaminated", "gaussian", "laplace", "skewed", "student_t"]


def gaussian(
    n: int = 1024,
    dim: int = 1,
    *,
    n_classes: int = 2,
    separation: float = 4.0,
    std: float = 0.5,
    covariance: str | ArrayLike = "isotropic",
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return Gaussian classes on a line, all of one covariance; the paper's D1 by default.

    Class c of C has the mean ``separation * (c - (C - 1) / 2)`` in every coordinate: two classes at -2 and 2, and
    with ``n_classes=4`` the paper's D2. The samples are those of `gaussian_classes` with these means, which takes
    any others too.

    Parameters
    ----------
    n, dim : int
        Number of samples in all, and of features.
    n_classes : int
        Number of classes C, two or more.
    separation : float
        Distance of neighbouring class means in every coordinate, zero or more.
    std : float
        Standard deviation in every coordinate.
    covariance : str, or array_like of shape (), (dim,) or (dim, dim)
        A structure of `kernel_collapse.data.covariance`, as "ar1(0.9)", scaled by ``std**2``; or a variance, the
        variances, or a positive semi-definite matrix, in place of `std`.
    class_sizes : sequence of C int, optional
        Samples in each class; as equal as can be by default.
    imbalance : float, optional
        Largest class over the smallest, 1 or more, in place of `class_sizes`: class c has
        ``imbalance ** (-c / (C - 1))`` of what class 0 has, rounded to the largest remainders, one sample at least.
    seed : int
        Seed of the generator.

    Returns
    -------
    Dataset
        Class after class, with targets -1, +1 for two classes, -3, -1, 1, 3 for four, else one-hot.

    Raises
    ------
    ValueError
        If a number is out of range, the covariance is not positive semi-definite, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.gaussian(n=6, dim=2, imbalance=2.0)
    <Dataset D1: 6 samples, 2 features, classes of 4, 2>
    >>> kc.data.gaussian(n=9, dim=2, n_classes=3, covariance="ar1(0.9)").class_sizes
    (3, 3, 3)
    """
    room = frame(n, dim, n_classes, separation, class_sizes, imbalance, seed)
    n_classes = room.n_classes
    _validate.moderate(std, "std")
    dataset = gaussian_classes(
        n,
        dim,
        class_means=line(n_classes, separation).tolist(),
        class_stds=std,
        class_covariances=None if _is(covariance, "isotropic") else [covariance] * n_classes,
        class_sizes=class_sizes,
        class_targets=line_targets(n_classes, room.n),
        imbalance=imbalance,
        seed=seed,
    )
    return replace(dataset, name="gaussian" if dataset.name == "gaussian_classes" else dataset.name)


def student_t(
    n: int = 1024,
    dim: int = 1,
    *,
    df: float = 3.0,
    n_classes: int = 2,
    separation: float = 4.0,
    std: float = 0.5,
    scaled: bool = True,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    r"""Return classes on a line with the multivariate Student-t law: heavy tails, common to all coordinates.

    With z standard normal and q chi-square of `df` degrees of freedom, one a sample,

    .. math:: x = \mu_c + \mathrm{std} \cdot s \, z / \sqrt{q / \mathrm{df}}

    where s^2 = (df - 2) / df if `scaled` and df > 2: the covariance is then std^2 I, and more of it lies far
    out the smaller df is. Elsewhere s = 1, and for df <= 2, where there is no variance, std is a scale alone. The
    samples are those of ``rng = numpy.random.default_rng(seed)``: z is ``rng.normal(size=(n, dim))``, class after
    class, then q is ``rng.chisquare(df, size=n)``. For df to infinity they become those of `gaussian`.

    Source: Lange, Little and Taylor, *Robust statistical modeling using the t distribution*, JASA 84 (1989).

    Parameters
    ----------
    df : float
        Degrees of freedom, more than zero.
    std : float
        Standard deviation in every coordinate where scaled, else the scale.
    scaled : bool
        Whether a variance that exists is made std^2.
    n, dim, n_classes, separation, class_sizes, imbalance, seed
        As of `gaussian`.

    Returns
    -------
    Dataset
        As of `gaussian`.

    Raises
    ------
    ValueError
        If a number is out of range, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.student_t(n=10, dim=3, df=2.5)
    <Dataset student-t: 10 samples, 3 features, classes of 5, 5>
    """
    room = frame(n, dim, n_classes, separation, class_sizes, imbalance, seed)
    df, std = _validate.positive(df, "df"), _validate.moderate(std, "std")
    unit = std * np.sqrt((df - 2.0) / df) if _validate.flag(scaled, "scaled") and df > 2 else std
    normals = room.normals()
    mixing = np.sqrt(room.rng.chisquare(df, size=room.n) / df)
    with np.errstate(divide="ignore", over="ignore"):
        x = room.centres + unit * normals / mixing[:, None]
    if not np.isfinite(x).all():
        raise InputError(
            "df", f"{df:g}, at which samples lie beyond the range of float64", "a larger one", "try 1 or more"
        )
    return room.dataset(x, "student-t", on_a_line=True)


def laplace(
    n: int = 1024,
    dim: int = 1,
    *,
    n_classes: int = 2,
    separation: float = 4.0,
    std: float = 0.5,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    r"""Return classes on a line with independent Laplace coordinates: kurtosis 6 where a Gaussian has 3.

    The density of a coordinate about its mean is exp(-|u| / b) / (2 b) with b = std / sqrt(2). The samples are
    ``mean + numpy.random.default_rng(seed).laplace(scale=b, size=(n, dim))``, class after class.

    Parameters
    ----------
    n, dim, n_classes, separation, std, class_sizes, imbalance, seed
        As of `gaussian`.

    Returns
    -------
    Dataset
        As of `gaussian`; every class has the covariance std^2 I.

    Raises
    ------
    ValueError
        If a number is out of range, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.laplace(n=8, dim=2, n_classes=4)
    <Dataset laplace: 8 samples, 2 features, classes of 2, 2, 2, 2>
    """
    room = frame(n, dim, n_classes, separation, class_sizes, imbalance, seed)
    scale = _validate.moderate(std, "std") / np.sqrt(2.0)
    noise = room.rng.laplace(scale=scale, size=(room.n, room.dim))
    return room.dataset(room.centres + noise, "laplace", on_a_line=True)


def contaminated(
    n: int = 1024,
    dim: int = 1,
    *,
    fraction: float = 0.1,
    factor: float = 5.0,
    n_classes: int = 2,
    separation: float = 4.0,
    std: float = 0.5,
    scaled: bool = True,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    r"""Return Gaussian classes on a line in which a fraction of the samples is spread `factor` times as wide.

    With z standard normal and, one a sample, k = factor with probability `fraction` and else 1,

    .. math:: x = \mu_c + \mathrm{std} \cdot s \, k \, z

    where s^2 = 1 / (1 - fraction + fraction factor^2) if `scaled`, so that the covariance is std^2 I; else s = 1 and
    std is that of the clean samples. With ``rng = numpy.random.default_rng(seed)``, z is ``rng.normal(size=(n,
    dim))``, class after class, and then the wide samples are those where ``rng.random(n) < fraction``.

    Source: Tukey, *A survey of sampling from contaminated distributions* (1960).

    Parameters
    ----------
    fraction : float
        Probability of a wide sample, 0 or more and less than 1.
    factor : float
        Their standard deviation over that of the others, more than zero.
    std : float
        Standard deviation in every coordinate: of all where scaled, else of the clean samples.
    scaled : bool
        Whether the variance of all is made std^2.
    n, dim, n_classes, separation, class_sizes, imbalance, seed
        As of `gaussian`.

    Returns
    -------
    Dataset
        As of `gaussian`.

    Raises
    ------
    ValueError
        If a number is out of range, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.contaminated(n=10, dim=3, fraction=0.2)
    <Dataset contaminated: 10 samples, 3 features, classes of 5, 5>
    """
    room = frame(n, dim, n_classes, separation, class_sizes, imbalance, seed)
    fraction, factor = _validate.share(fraction, "fraction"), _validate.moderate(factor, "factor")
    unit = _validate.moderate(std, "std")
    if _validate.flag(scaled, "scaled"):
        unit /= np.sqrt(1.0 - fraction + fraction * factor**2)
    normals = room.normals()
    spread = np.where(room.rng.random(room.n) < fraction, factor, 1.0)
    return room.dataset(room.centres + unit * spread[:, None] * normals, "contaminated", on_a_line=True)


def skewed(
    n: int = 1024,
    dim: int = 1,
    *,
    family: Literal["gamma", "log-normal"] = "gamma",
    skewness: float = 2.0,
    mirrored: bool = True,
    n_classes: int = 2,
    separation: float = 4.0,
    std: float = 0.5,
    class_sizes: Sequence[int] | None = None,
    imbalance: float | None = None,
    seed: int = 0,
) -> Dataset:
    r"""Return classes on a line with independent skewed coordinates of that mean, deviation and skewness.

    A coordinate is mean + std t g with g of mean 0, variance 1 and skewness a = \|skewness\|, and the sign t of
    `skewness`, turned in every second class (1, 3, ...) if `mirrored`: two classes are then mirror images, whose long
    tails point at one another, or away for a negative skewness.

    - "gamma": g = (y - k) / sqrt(k), y gamma of shape k = 4 / a^2 and scale 1; a = 2 is the exponential law.
      y is ``rng.standard_gamma(k, size=(n, dim))``.
    - "log-normal": g = (exp(s z - s^2 / 2) - 1) / sqrt(w - 1) with w = exp(s^2) and
      (w + 2) sqrt(w - 1) = a. z is ``rng.normal(size=(n, dim))``.

    The samples are drawn with ``rng = numpy.random.default_rng(seed)``, class after class.

    Parameters
    ----------
    family : {"gamma", "log-normal"}
        Which of the two.
    skewness : float
        Third standardized moment of every coordinate of class 0; its size is 0.001 to 100.
    mirrored : bool
        Whether every second class has the opposite skewness.
    n, dim, n_classes, separation, std, class_sizes, imbalance, seed
        As of `gaussian`.

    Returns
    -------
    Dataset
        As of `gaussian`; every class has the covariance std^2 I.

    Raises
    ------
    ValueError
        If a number is out of range, or sizes do not add up.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.data.skewed(n=10, dim=3, family="log-normal", skewness=-1.0)
    <Dataset skewed: 10 samples, 3 features, classes of 5, 5>
    """
    room = frame(n, dim, n_classes, separation, class_sizes, imbalance, seed)
    _validate.choice(family, ("gamma", "log-normal"), "family")
    std, size = _validate.moderate(std, "std"), abs(_validate.finite(skewness, "skewness"))
    if not 1e-3 <= size <= 100:
        raise InputError.of(
            "skewness",
            skewness,
            "0.001 to 100 or the negative of it",
            "without skewness take the law 'gaussian'",
        )
    if family == "gamma":
        shape = 4.0 / size**2
        unit = (room.rng.standard_gamma(shape, size=(room.n, room.dim)) - shape) / np.sqrt(shape)
    else:
        # w^3 + 3 w^2 - 4 = a^2 has one positive root, w = A + 1/A - 1; its excess over 1 is (A - 1)^2 / A.
        log_a = np.arcsinh(size / 2.0) * 2.0 / 3.0
        excess = 4.0 * np.sinh(log_a / 2.0) ** 2
        variance = np.log1p(excess)
        unit = np.expm1(np.sqrt(variance) * room.normals() - variance / 2.0) / np.sqrt(excess)
    turned = room.labels % 2 if _validate.flag(mirrored, "mirrored") else np.zeros(room.n)
    sign = np.sign(skewness) * np.where(turned, -1.0, 1.0)
    return room.dataset(room.centres + std * sign[:, None] * unit, "skewed", on_a_line=True)


def _is(value: str | ArrayLike, name: str) -> bool:
    return isinstance(value, str) and value == name
