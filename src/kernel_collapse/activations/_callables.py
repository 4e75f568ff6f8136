"""Any elementwise function as an activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kernel_collapse import _validate
from kernel_collapse._input_error import InputError
from kernel_collapse.activations._expansion import MAX_ORDERS, Expanded

__all__ = ["expand"]

#: Beyond this a function is not seen to have a kink.
FARTHEST_KINK = 1e6


def expand(
    function: Callable[[Any], Any],
    *,
    name: str | None = None,
    orders: int | None = None,
    tail: float | None = None,
    kinks: Sequence[float] | None = None,
) -> Expanded:
    r"""Return any elementwise function as an activation, whose dual is a Hermite expansion.

    `get` does this for a callable, with everything at its default.

    A function is known from its values. It is looked at in half a million places within thirteen standard deviations
    of a pre-activation, so a part that is wider than 5e-5 of the standard deviation is not missed: it is in the dual,
    or the function is refused. A narrower part may be missed.

    Parameters
    ----------
    function : callable
        phi. It maps an array to an array of the same shape and treats each number separately. It must accept NumPy
        arrays. If the kernel is to be computed in another library, it must also accept arrays of that library.
    name : str, optional
        For titles and messages; the function's own by default.
    orders : int, optional
        Number of orders, 2 to 2046; by default as many as `tail` needs.
    tail : float, optional
        The largest part of `kappa` and `kappa_c` that may be left out, relative to their diagonals: 1e-11 by default,
        1e-7 for a function with kinks.
    kinks : sequence of float, optional
        Points where the function, its slope or its curvature jumps; by default they are looked for on [-40, 40], and
        those that are closer to one another than 0.03 have to be named.

    Returns
    -------
    Activation
        With `kinks` where it found them.

    Raises
    ------
    ValueError
        If the function is not elementwise, not finite, or not in double precision. Later, when a kernel is made: if it
        grows too fast for a Gaussian expectation, or the tail cannot be reached.

    References
    ----------
    Daniely, Frostig and Singer (2016), "Toward deeper understanding of neural networks", arXiv 1602.05897.

    Examples
    --------
    >>> import numpy as np, kernel_collapse as kc
    >>> bump = kc.activations.expand(lambda x: np.exp(-x**2), name="bump")
    >>> closed = kc.activations.get("gaussian(1, -1)")
    >>> float(bump.kappa(1.0, 2.0, 0.5)), float(closed.kappa(1.0, 2.0, 0.5))  # doctest: +ELLIPSIS
    (0.2672612419..., 0.2672612419...)
    """
    if not callable(function):
        raise InputError.of("the activation", function, "an elementwise function")
    if orders is not None and not 2 <= _validate.count(orders, "orders") <= MAX_ORDERS:
        raise InputError.of("orders", orders, f"2 to {MAX_ORDERS}")
    if tail is not None:
        _validate.positive(tail, "tail")
    points = None
    if kinks is not None:
        given = _validate.several(kinks, "kinks", "(0.0,)")
        points = _validate.matrix([given], "kinks", numpy=True)[0].tolist() if given else []
    if points and max(map(abs, points)) > FARTHEST_KINK:
        raise InputError(
            "kinks",
            f"{_validate.shown(points)}",
            "numbers from -1e6 to 1e6",
            "no pre-activation is beyond",
            verb="are",
        )
    label = name or str(getattr(function, "__name__", repr(function)))
    _check(function, label)
    return Expanded(function, label, orders=orders, tail=tail, kinks=points, may_change=True)


def _check(function: Callable[[Any], Any], name: str) -> None:
    """Refuse what is no elementwise function of NumPy's arrays with finite values in double precision."""
    grid = np.linspace(-4.0, 4.0, 35)
    try:
        with np.errstate(all="ignore"):
            whole = np.asarray(function(grid.reshape(5, 7)))
            part = np.asarray(function(grid[10:20]))
    except Exception as error:  # whatever the user's function raises
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the activation {name}",
            f"be applied to an array of NumPy ({type(error).__name__}: {first})",
            "an elementwise function of one array",
            verb="cannot",
        ) from None
    if whole.shape != (5, 7) or part.shape != (10,) or whole.dtype.kind not in "fiub":
        raise InputError(
            f"the activation {name}",
            f"shape {whole.shape} and type {whole.dtype} for an array of shape (5, 7)",
            "one real number for each number",
            verb="returns",
        )
    single = whole.dtype == np.float32
    whole, part = whole.astype(np.float64, copy=False), part.astype(np.float64, copy=False)
    if not np.isfinite(whole).all():
        bad = grid[~np.isfinite(whole.ravel())][0]
        raise InputError(
            f"the activation {name}", f"not finite at {bad:.3g}", "a finite value for every number"
        )
    if np.abs(whole.ravel()[10:20] - part).max() > 1e-12 * (1.0 + np.abs(part).max()):
        raise InputError(
            f"the activation {name}",
            "not elementwise: its value at a number depends on the numbers beside it",
            "a function of each number alone",
        )
    if single:
        raise InputError(
            f"the activation {name}",
            "float32 for float64",
            "double precision",
            "with JAX, enable x64",
            verb="returns",
        )
