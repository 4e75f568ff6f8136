r"""Dual activations: expectations of an activation over a pair of correlated Gaussians.

For zero-mean jointly Gaussian ``(u, v)`` with variances ``q1``, ``q2`` and covariance ``c``:

======================  ===============================================  =============================
method                  on paper                                         what it gives
======================  ===============================================  =============================
``kappa``               E[phi(u) phi(v)]                                 the NNGP
``kappa_c``             d kappa / d c = E[phi'(u) phi'(v)]               the NTK
``kappa_q``             d kappa / d q1 = E[phi''(u) phi(v)] / 2          the adaptive kernel's gradient
======================  ===============================================  =============================

All methods take numbers and arrays that broadcast, of NumPy (in float64), JAX, PyTorch or CuPy (in their own
precision). Libraries with automatic differentiation can differentiate them. Next to the diagonal ``q1 q2 - c**2``
cancels. A caller that knows this determinant better than by subtraction passes it as ``det``, as the kernels do.

An activation is named by a string, with its parameters in brackets if it has any:

===========================  ====================================  ==================
name and defaults            phi(x)                                dual
===========================  ====================================  ==================
``abrelu(-0.5, 1)``          a min(x, 0) + b max(x, 0)             closed form
``abs``                      |x|                                   closed form
``cos(1, 1, 0)``             a cos(b x + shift)                    closed form
``elu(1)``                   x or alpha (e^x - 1)                  closed form
``erf``                      erf(x)                                closed form
``exp(1, 1)``                a exp(b x)                            closed form
``gabor``                    exp(-x^2) sin(x)                      closed form
``gaussian(1, -1)``          a exp(b x^2)                          closed form
``gelu``                     x Phi(x)                              closed form
``hermite(2)``               h_p(x), orthonormal                   closed form
``identity``                 x                                     closed form
``leaky_relu(0.01)``         max(x, 0) + slope min(x, 0)           closed form
``mish``                     x tanh(softplus(x))                   expansion
``monomial(2)``              x^p                                   closed form
``polynomial(0, 1, 0.5)``    sum_m a_m x^m                         closed form
``rbf(1)``                   sqrt(2) sin(sqrt(2 gamma) x + pi/4)   closed form
``rectified_monomial(2)``    max(x, 0)^p                           closed form
``relu``                     max(x, 0)                             closed form
``scaled_erf(1, 1, 0)``      a erf(b x) + shift                    closed form
``selu``                     1.0507 elu with alpha = 1.6733        closed form
``sigmoid``                  1 / (1 + e^-x)                        expansion
``sign``                     sign(x)                               closed form
``silu``, ``swish``          x / (1 + e^-x)                        expansion
``sin(1, 1, 0)``             a sin(b x + shift)                    closed form
``softplus``                 log(1 + e^x)                          expansion
``step``                     1 for x > 0, else 0                   closed form
``tanh``                     tanh(x)                               expansion
===========================  ====================================  ==================

Any elementwise function is also an activation (`expand`). To add a closed form, write a subclass of `Activation` and
put it into ``_CLOSED_FORMS``; to add a name for a function, put it into ``_named.NAMED``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from inspect import signature
from typing import Any

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._probed import values_at_probes
from kernel_collapse.activations._base import Activation, ActivationLike, determinant
from kernel_collapse.activations._callables import expand
from kernel_collapse.activations._error_function import GELU, Erf, ScaledErf
from kernel_collapse.activations._expansion import Expanded
from kernel_collapse.activations._exponential import RBF, Cos, Exp, Gabor, Gaussian, Sin
from kernel_collapse.activations._exponential_linear import ELU, SELU
from kernel_collapse.activations._homogeneous import (
    ABReLU,
    Abs,
    LeakyReLU,
    RectifiedMonomial,
    ReLU,
    Sign,
    Step,
)
from kernel_collapse.activations._logistic import MIXTURES
from kernel_collapse.activations._named import NAMED
from kernel_collapse.activations._polynomial import Hermite, Identity, Monomial, Polynomial

__all__ = [
    "ELU",
    "GELU",
    "RBF",
    "SELU",
    "ABReLU",
    "Abs",
    "Activation",
    "ActivationLike",
    "Cos",
    "Erf",
    "Exp",
    "Expanded",
    "Gabor",
    "Gaussian",
    "Hermite",
    "Identity",
    "LeakyReLU",
    "Monomial",
    "Polynomial",
    "ReLU",
    "RectifiedMonomial",
    "ScaledErf",
    "Sign",
    "Sin",
    "Step",
    "determinant",
    "expand",
    "get",
    "names",
]


def __dir__() -> list[str]:
    """Show public names and nothing else."""
    return __all__


_CLOSED_FORMS: dict[str, Callable[..., Activation]] = {
    "abrelu": ABReLU,
    "abs": Abs,
    "cos": Cos,
    "elu": ELU,
    "erf": Erf,
    "exp": Exp,
    "gabor": Gabor,
    "gaussian": Gaussian,
    "gelu": GELU,
    "hermite": Hermite,
    "identity": Identity,
    "leaky_relu": LeakyReLU,
    "monomial": Monomial,
    "polynomial": Polynomial,
    "rbf": RBF,
    "rectified_monomial": RectifiedMonomial,
    "relu": ReLU,
    "scaled_erf": ScaledErf,
    "selu": SELU,
    "sign": Sign,
    "sin": Sin,
    "step": Step,
}
_OTHER_NAMES = {"swish": "silu"}


def names(*, expanded: bool = False) -> tuple[str, ...]:
    """Return the names of the activations that have a closed form, or of those that are expanded.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> kc.activations.names(expanded=True)
    ('mish', 'sigmoid', 'silu', 'softplus', 'tanh')
    >>> len(kc.activations.names())
    22
    """
    return tuple(sorted(NAMED if expanded else _CLOSED_FORMS))


def get(activation: ActivationLike) -> Activation:
    """Return the activation of that name, or of that function (an `Activation` is passed through).

    Parameters
    ----------
    activation : str, Activation or callable
        A name, with parameters in brackets where it has some, or an elementwise function (see `expand`).

    Raises
    ------
    ValueError
        If there is none of that name (the closest names are suggested), its parameters do not fit, or the function is
        not elementwise.

    Examples
    --------
    >>> import kernel_collapse as kc
    >>> float(kc.activations.get("relu").kappa(1.0, 1.0, 1.0))
    0.5
    >>> kc.activations.get("leaky_relu(0.1)")
    <activation leaky_relu(0.1)>
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        return _named(activation)
    if not callable(activation):
        raise InputError.of(
            "activation",
            activation,
            "one of the names of kernel_collapse.activations or an elementwise function",
        )
    try:
        return _expanded(activation, values_at_probes(activation))
    except TypeError:  # cannot be hashed, and so not be remembered
        return expand(activation)


@lru_cache(maxsize=64)
def _expanded(function: Callable[[Any], Any], values: bytes) -> Activation:
    """Return the function as an activation; one that has other values by now is another function."""
    return expand(function)


@lru_cache(maxsize=256)
def _named(text: str) -> Activation:
    match = re.fullmatch(r"\s*([\w-]+)\s*(?:\((.*)\))?\s*", text)
    base = text if match is None else match[1]
    known = (*names(), *names(expanded=True), *_OTHER_NAMES)
    base = _validate.choice(base, sorted(known), "activation")
    base = _OTHER_NAMES.get(base, base)
    parameters = _parameters(text, None if match is None else match[2])
    if base in NAMED:
        if parameters:
            raise InputError.of("activation", text, "no parameters", f"write {base!r}")
        return Expanded(NAMED[base].function, base, kinks=NAMED[base].kinks, wide=MIXTURES.get(base))
    form = _CLOSED_FORMS[base]
    try:
        signature(form).bind(*parameters)
    except TypeError:
        raise InputError.of(
            "activation",
            text,
            f"fewer parameters than {len(parameters)}",
            "see the table of kernel_collapse.activations",
        ) from None
    return form(*parameters)


def _parameters(text: str, inside: str | None) -> list[float]:
    if inside is None or not inside.strip():
        return []
    try:
        return [float(part) for part in inside.split(",")]
    except ValueError:
        raise InputError.of("activation", text, "numbers in the brackets, as in 'leaky_relu(0.1)'") from None
