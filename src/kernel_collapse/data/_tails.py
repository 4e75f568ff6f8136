"""Laws of classes on a line that differ in their tails: Student-t, Laplace, contaminated, skewed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse.data.law import Checked, Columns, Flag, Placed, Positive, Scale, Share, function

__all__ = ["Contaminated", "Laplace", "Skewed", "StudentT", "contaminated", "laplace", "skewed", "student_t"]


@dataclass(frozen=True, eq=False, kw_only=True)
class StudentT(Placed):
    r"""Classes on a line with the multivariate Student-t law: heavy tails, common to all coordinates.

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

    law = "student-t"
    columns: ClassVar[Columns] = {
        "df": ("degrees of freedom", ""),
        "scaled": ("whether the covariance is scaled to that of `std`, for all tails", ""),
    }
    on_a_line = True

    df: Positive = 3.0
    scaled: Flag = True

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        unit = self.std * np.sqrt((self.df - 2.0) / self.df) if self.scaled and self.df > 2 else self.std
        normals = self.normals(rng)
        mixing = np.sqrt(rng.chisquare(self.df, size=self.n) / self.df)
        with np.errstate(divide="ignore", over="ignore"):
            x = self.centres + unit * normals / mixing[:, None]
        if not np.isfinite(x).all():
            raise InputError(
                "df",
                f"{self.df:g}, at which samples lie beyond the range of float64",
                "a larger one",
                "try 1 or more",
            )
        return x


student_t = function(StudentT)


@dataclass(frozen=True, eq=False, kw_only=True)
class Laplace(Placed):
    r"""Classes on a line with independent Laplace coordinates: kurtosis 6 where a Gaussian has 3.

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

    law = "laplace"
    on_a_line = True

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        return self.centres + rng.laplace(scale=self.std / np.sqrt(2.0), size=(self.n, self.dim))


laplace = function(Laplace)


@dataclass(frozen=True, eq=False, kw_only=True)
class Contaminated(Placed):
    r"""Gaussian classes on a line in which a fraction of the samples is spread `factor` times as wide.

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

    law = "contaminated"
    columns: ClassVar[Columns] = {
        "fraction": ("share of the samples that is contaminated, or whose label is flipped", ""),
        "factor": ("standard deviation of the contaminated samples over that of the others", ""),
    }
    on_a_line = True

    fraction: Share = 0.1
    factor: Scale = 5.0
    scaled: Flag = True

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        unit = self.std
        if self.scaled:
            unit /= np.sqrt(1.0 - self.fraction + self.fraction * self.factor**2)
        normals = self.normals(rng)
        spread = np.where(rng.random(self.n) < self.fraction, self.factor, 1.0)
        return self.centres + unit * spread[:, None] * normals


contaminated = function(Contaminated)


def _skewness(value: float, what: str) -> float:
    number = _validate.finite(value, what)
    if not 1e-3 <= abs(number) <= 100:
        raise InputError.of(
            what, value, "0.001 to 100 or the negative of it", "without skewness take the law 'gaussian'"
        )
    return number


@dataclass(frozen=True, eq=False, kw_only=True)
class Skewed(Placed):
    r"""Classes on a line with independent skewed coordinates of that mean, deviation and skewness.

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

    law = "skewed"
    columns: ClassVar[Columns] = {
        "family": ("family of skewed distributions", ""),
        "skewness": ("skewness of a feature within a class", ""),
        "mirrored": ("whether every second class is turned over", ""),
    }
    on_a_line = True

    family: Literal["gamma", "log-normal"] = "gamma"
    skewness: Annotated[float, Checked(_skewness)] = 2.0
    mirrored: Flag = True

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Return the samples, class after class."""
        size = abs(self.skewness)
        if self.family == "gamma":
            shape = 4.0 / size**2
            unit = (rng.standard_gamma(shape, size=(self.n, self.dim)) - shape) / np.sqrt(shape)
        else:
            # w^3 + 3 w^2 - 4 = a^2 has one positive root, w = A + 1/A - 1; its excess over 1 is (A - 1)^2 / A.
            log_a = np.arcsinh(size / 2.0) * 2.0 / 3.0
            excess = 4.0 * np.sinh(log_a / 2.0) ** 2
            variance = np.log1p(excess)
            unit = np.expm1(np.sqrt(variance) * self.normals(rng) - variance / 2.0) / np.sqrt(excess)
        turned = self.labels % 2 if self.mirrored else np.zeros(self.n)
        sign = np.sign(self.skewness) * np.where(turned, -1.0, 1.0)
        return self.centres + self.std * sign[:, None] * unit


skewed = function(Skewed)
