"""Duals of exponentials: waves, radial basis functions, exponentials and Gaussians."""

from __future__ import annotations

import numpy as np

from kernel_collapse import _arrays, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.activations._base import Activation, Array, called, determinant

__all__ = ["RBF", "Cos", "Exp", "Gabor", "Gaussian", "Sin"]


class Sin(Activation):
    r"""phi(x) = a sin(b x + shift) (Pearce, Tsuchida et al., 2020, "Expressive priors in Bayesian neural networks").

    E[sin u sin v] = e^{-(q1+q2)/2} sinh c and E[cos u cos v] = e^{-(q1+q2)/2} cosh c, so that with C = b^2 c,
    h = b^2 (q1 + q2) / 2::

        kappa   = a^2 e^{-h} ( cos^2(shift) sinh C + sin^2(shift) cosh C )
        kappa_c = a^2 b^2 e^{-h} ( cos^2(shift) cosh C + sin^2(shift) sinh C ),   kappa_q = -b^2 kappa / 2

    with e^{-h} e^{|C|} taken from h - |C| = ((q1 - q2)^2 + 4 det) b^2 / 2 / (q1 + q2 + 2|c|), which does not cancel.
    """

    _base = "sin"

    def __init__(self, a: float = 1.0, b: float = 1.0, shift: float = 0.0) -> None:
        self.a, self.b = _validate.finite(a, f"a of {self._base}"), _validate.finite(b, f"b of {self._base}")
        self.shift = _validate.finite(shift, f"shift of {self._base}")
        self.name = called(self._base, self.a, self.b, self.shift)
        self._odd, self._even = float(np.cos(self.shift) ** 2), float(np.sin(self.shift) ** 2)
        self.rate = abs(self.b)

    def __call__(self, x: Array) -> Array:
        """Return a sin(b x + shift)."""
        return self.a * _arrays.namespace(x).sin(self.b * x + self.shift)

    @np.errstate(under="ignore")  # of large arguments waves are not correlated
    def _waves(self, q1: Array, q2: Array, c: Array, det: Array | None) -> tuple[Array, Array]:
        """Return e^{-h} sinh C and e^{-h} cosh C."""
        xp = _arrays.namespace(q1, q2, c)
        size, square = xp.abs(c), self.b**2
        scale = xp.exp(-square * _half_gap(q1, q2, c, det))
        twice = xp.expm1(-2.0 * square * size)
        half = 0.5 * scale * twice
        return xp.where(c < 0, half, -half), scale + half

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return the mixture of sinh and cosh."""
        return self.kappa_and_c(q1, q2, c, det)[0]

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return its derivative in c."""
        return self.kappa_and_c(q1, q2, c, det)[1]

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return -b^2 kappa / 2."""
        return -0.5 * self.b**2 * self.kappa(q1, q2, c, det)

    def derivative(self) -> tuple[float, Activation]:
        """Return b times the wave a quarter further."""
        return self.b, type(self)(self.a, self.b, self.shift + 0.5 * float(np.pi))

    def kappa_and_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> tuple[Array, Array]:
        """Return both."""
        sinh, cosh = self._waves(q1, q2, c, det)
        square = self.a**2
        return (
            square * (self._odd * sinh + self._even * cosh),
            square * self.b**2 * (self._odd * cosh + self._even * sinh),
        )


class Cos(Sin):
    r"""phi(x) = a cos(b x + shift): `Sin` a quarter of a wave further."""

    _base = "cos"

    def __init__(self, a: float = 1.0, b: float = 1.0, shift: float = 0.0) -> None:
        super().__init__(a, b, shift)
        self._odd, self._even = self._even, self._odd

    def __call__(self, x: Array) -> Array:
        """Return a cos(b x + shift)."""
        return self.a * _arrays.namespace(x).cos(self.b * x + self.shift)


class RBF(Activation):
    r"""phi(x) = sqrt(2) sin(sqrt(2 gamma) x + pi/4) (Rahimi and Recht, 2007): kappa = exp(-gamma (q1 + q2 - 2c)).

    With q1 + q2 - 2c the expected square of u - v, the kernel of the first layer is the Gaussian radial basis function
    of the inputs. kappa_c = 2 gamma kappa, kappa_q = -gamma kappa.
    """

    def __init__(self, gamma: float = 1.0) -> None:
        self.gamma = _validate.finite(gamma, "gamma of rbf")
        if self.gamma <= 0:
            raise InputError.of("gamma of rbf", gamma, "more than zero")
        self.name = called("rbf", self.gamma)
        self.rate = float(np.sqrt(2.0 * self.gamma))

    def __call__(self, x: Array) -> Array:
        """Return sqrt(2) sin(sqrt(2 gamma) x + pi/4)."""
        return float(np.sqrt(2.0)) * _arrays.namespace(x).sin(
            float(np.sqrt(2.0 * self.gamma)) * x + np.pi / 4.0
        )

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return exp(-gamma (q1 + q2 - 2c))."""
        xp = _arrays.namespace(q1, q2, c)
        size = xp.abs(c)
        apart = 2.0 * _half_gap(q1, q2, c, det) + 2.0 * (size - c)
        return xp.exp(-self.gamma * apart)

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return 2 gamma kappa."""
        return 2.0 * self.gamma * self.kappa(q1, q2, c, det)

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return -gamma kappa."""
        return -self.gamma * self.kappa(q1, q2, c, det)


def _half_gap(q1: Array, q2: Array, c: Array, det: Array | None) -> Array:
    """Return (q1 + q2) / 2 - |c| without cancellation."""
    det = determinant(q1, q2, c) if det is None else det
    xp = _arrays.namespace(det)
    total = q1 + q2 + 2.0 * xp.abs(c)
    some = total > 0
    gap = ((q1 - q2) * (q1 - q2) + 4.0 * det) / xp.where(some, total, 1.0 + 0.0 * total)
    return 0.5 * xp.where(some, gap, 0.0 * gap)


class Exp(Activation):
    r"""phi(x) = a exp(b x): kappa = a^2 exp(b^2 (q1 + q2 + 2c) / 2), kappa_c = b^2 kappa, kappa_q = b^2 kappa / 2.

    The moment generating function of u + v; see Daniely, Frostig and Singer (2016), "Toward deeper understanding of
    neural networks".
    """

    rate = 0.0

    def __init__(self, a: float = 1.0, b: float = 1.0) -> None:
        self.a, self.b = _validate.finite(a, "a of exp"), _validate.finite(b, "b of exp")
        self.name = called("exp", self.a, self.b)

    def __call__(self, x: Array) -> Array:
        """Return a exp(b x)."""
        return self.a * _arrays.namespace(x).exp(self.b * x)

    def derivative(self) -> tuple[float, Activation]:
        """Return b times itself."""
        return self.b, self

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return a^2 exp(b^2 (q1 + q2 + 2c) / 2)."""
        total = q1 + q2 + 2.0 * c
        return self.a**2 * _arrays.namespace(total).exp(0.5 * self.b**2 * total)

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return b^2 kappa."""
        return self.b**2 * self.kappa(q1, q2, c, det)

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return b^2 kappa / 2."""
        return 0.5 * self.b**2 * self.kappa(q1, q2, c, det)


class Gaussian(Activation):
    r"""phi(x) = a exp(b x^2), b < 0 (Williams, 1997).

    With beta = -b and E = (1 + 2 beta q1)(1 + 2 beta q2) - 4 beta^2 c^2 = 1 + 2 beta (q1 + q2) + 4 beta^2 det::

        kappa = a^2 E^{-1/2},   kappa_c = 4 a^2 beta^2 c E^{-3/2},   kappa_q = -a^2 beta (1 + 2 beta q2) E^{-3/2}
    """

    def __init__(self, a: float = 1.0, b: float = -1.0) -> None:
        self.a, self.b = _validate.finite(a, "a of gaussian"), _validate.finite(b, "b of gaussian")
        if self.b >= 0:
            raise InputError.of(
                "b of gaussian",
                b,
                "less than zero",
                "exp(b x^2) grows too fast for a Gaussian expectation otherwise",
            )
        self.name = called("gaussian", self.a, self.b)
        self.rate = float(np.sqrt(-self.b))

    def __call__(self, x: Array) -> Array:
        """Return a exp(b x^2)."""
        return self.a * _arrays.namespace(x).exp(self.b * (x * x))

    def _inner(self, q1: Array, q2: Array, c: Array, det: Array | None) -> Array:
        det = determinant(q1, q2, c) if det is None else det
        beta = -self.b
        return 1.0 + 2.0 * beta * (q1 + q2) + 4.0 * beta**2 * det

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return a^2 E^{-1/2}."""
        inner = self._inner(q1, q2, c, det)
        return self.a**2 / _arrays.namespace(inner).sqrt(inner)

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return 4 a^2 beta^2 c E^{-3/2}."""
        return 4.0 * (self.a * self.b) ** 2 * c * self._inner(q1, q2, c, det) ** -1.5

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return -a^2 beta (1 + 2 beta q2) E^{-3/2}."""
        factor = self.a**2 * self.b * (1.0 - 2.0 * self.b * q2)
        return factor * self._inner(q1, q2, c, det) ** -1.5


class Gabor(Activation):
    r"""phi(x) = exp(-x^2) sin(x), a wave packet.

    exp(-u^2 - v^2) turns the Gaussian of covariance S into that of S (1 + 2S)^{-1}, of whose waves the expectation is
    that of `Sin`. With E = 1 + 2(q1 + q2) + 4 det, s = (q1 + q2 + 4 det) / (2E), r = c / E::

        kappa = E^{-1/2} e^{-s} sinh r

    and the derivatives by the chain rule.
    """

    name = "gabor"

    def __call__(self, x: Array) -> Array:
        """Return exp(-x^2) sin(x)."""
        xp = _arrays.namespace(x)
        return xp.exp(-(x * x)) * xp.sin(x)

    def _parts(self, q1: Array, q2: Array, c: Array, det: Array | None) -> tuple[Array, ...]:
        """Return E, q1 + q2 + 4 det, and E^{-1/2} e^{-s} times sinh r and cosh r (r and s are below 1)."""
        det = determinant(q1, q2, c) if det is None else det
        total = q1 + q2
        inner = 1.0 + 2.0 * total + 4.0 * det
        xp = _arrays.namespace(inner)
        sum_ = total + 4.0 * det
        scale = xp.exp(-0.5 * sum_ / inner) / xp.sqrt(inner)
        return inner, sum_, scale * xp.sinh(c / inner), scale * xp.cosh(c / inner)

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return E^{-1/2} e^{-s} sinh r."""
        return self._parts(q1, q2, c, det)[2]

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return 4c/E (1 + (1 + q1 + q2)/E) kappa + E^{-1/2} e^{-s} cosh r (1/E + 8c^2/E^2)."""
        inner, _, sinh, cosh = self._parts(q1, q2, c, det)
        return (
            4.0 * c / inner * (1.0 + (1.0 + q1 + q2) / inner) * sinh
            + (1.0 + 8.0 * c * c / inner) / inner * cosh
        )

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return the derivative in q1: of E it is 2 + 4 q2, and of q1 + q2 + 4 det it is 1 + 4 q2."""
        inner, sum_, sinh, cosh = self._parts(q1, q2, c, det)
        share = (2.0 + 4.0 * q2) / inner
        of_s = 0.5 * ((1.0 + 4.0 * q2) / inner - share * sum_ / inner)
        return -(0.5 * share + of_s) * sinh - c / inner * share * cosh
