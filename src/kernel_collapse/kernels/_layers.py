r"""The layers of a wide network, from the covariances of its inputs to the kernels of its last hidden layer.

With kappa and kappa_c the dual of the activation (`kernel_collapse.activations`)::

    G^1 = sigma_w^2/d X X' + sigma_b^2,   Q^l = kappa(G^l),   G^{l+1} = sigma_w^2 Q^l + sigma_b^2
    T^1 = G^1,                            T^{l+1} = G^{l+1} + sigma_w^2 T^l * kappa_c(G^l)

All layers are elementwise once G^1 is known, so that a block goes through all of them by itself. The NNGP and the NTK
are two ends of one computation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import array_api_compat
import numpy as np

from kernel_collapse import _arrays, _collinear, _validate, activations
from kernel_collapse._resolved import least, require_own, require_resolved
from kernel_collapse._shapes import Float
from kernel_collapse._units import Array, in_units
from kernel_collapse.activations import Activation, ActivationLike
from kernel_collapse.kernels._kernel import EPS, Evaluated, Kernel
from kernel_collapse.kernels._wide import Wide

__all__ = ["Wanted", "WideNetwork"]

#: Of a dual: itself alone; with the slopes; with c times the slopes, which T is after the first layer.
Wanted = Literal["kappa", "slopes", "first"]


@dataclass(frozen=True, repr=False)
class WideNetwork(Wide):
    """A kernel of an infinitely wide fully connected network; abstract: `NNGP` and `NTK` say which."""

    activation: ActivationLike = "erf"
    depth: int = field(default=1, kw_only=True)
    weight_variance: float = field(default=1.0, kw_only=True)
    bias_variance: float = field(default=0.0, kw_only=True)
    #: The activation with its dual, which `activation` stands for.
    phi: Activation = field(init=False, compare=False)

    def __post_init__(self) -> None:
        phi = activations.get(self.activation)
        clean = self._clean() | {
            "phi": phi,
            "activation": phi.name if isinstance(self.activation, str) else self.activation,
            "depth": _validate.count(self.depth, "depth", most=_validate.MOST_LAYERS),
        }
        for name, value in clean.items():
            object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "phi"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in (state | {"phi": activations.get(state["activation"])}).items():
            object.__setattr__(self, name, value)

    def _samples(self, x: Any, what: str) -> Float[Any, "n d"]:
        return _validate.matrix(x, what, dtype=self._precision())

    def _network(self) -> tuple[Any, ...]:
        return self.phi, self.depth

    def _prepared(self, x: Float[Any, "n d"]) -> list[Float[Any, " n"]]:
        return self.variances(self._cast(x))

    def _blocks(
        self,
        kin: Sequence[Kernel],
        x: Any,
        y: Any,
        of_x: Sequence[Any],
        of_y: Sequence[Any],
        *,
        diagonal: bool = False,
    ) -> list[Evaluated]:
        wanted = [kernel for kernel in kin if isinstance(kernel, WideNetwork)]
        tangent = any(kernel._tangent for kernel in wanted)
        for kernel in wanted:
            for side in (of_x,) if diagonal else (of_x, of_y):
                kernel._require_own(side[-1])
        features, theta = self._layers(
            self._cast(x), self._cast(y), of_x, of_y, tangent=tangent, diagonal=diagonal
        )
        return [(kernel._of(features, theta), self._eps()) for kernel in wanted]

    def _pairs(self, left: Any, right: Any) -> Evaluated:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            values = self._of(*self._of_pairs(self._cast(left), self._cast(right)))
        return self._finite(values), max(self._eps(), EPS)

    def _diagonal(self, x: Any) -> Evaluated:
        return self._pairs(x, x)

    def bias(self, dim: int) -> float:
        """Return the input that a bias is: beside `dim` others it adds `bias_variance` to all covariances."""
        return float(np.sqrt(self.bias_variance * dim / self.weight_variance))

    @np.errstate(over="ignore", invalid="ignore", under="ignore")
    def variances(self, x: Float[Any, "n d"]) -> list[Float[Any, " n"]]:
        """Return diag G^1..G^L, the variance of each sample's pre-activations in every layer."""
        activation, weight_variance, bias_variance = self.phi, self.weight_variance, self.bias_variance
        xp = _arrays.namespace(x)
        squares, weight = xp.sum(x * x, axis=1), weight_variance / x.shape[1]
        q = [squares * weight + bias_variance]
        known = not _arrays.staged(x)
        if known:
            if weight > 1.0:
                require_resolved(squares, xp.any(x != 0, axis=1), "squared length of a sample")
            self._require_finite(xp.all(xp.isfinite(q[0])))
            require_resolved(
                q[0], xp.any(x != 0, axis=1) | (bias_variance > 0), "variance of a sample in layer 1"
            )

        def kappa(of: Float[Any, " n"]) -> Float[Any, " n"]:
            return activation.kappa(of, of, of, xp.zeros_like(of))

        for layer in range(2, self.depth + 1):
            q.append(weight_variance * kappa(q[-1]) + bias_variance)
            if known:
                self._require_finite(xp.all(xp.isfinite(q[-1])))
                require_resolved(q[-1], q[-2] > 0, f"variance of a sample in layer {layer}")
        if known and bool(xp.any((q[-1] > 0) & (q[-1] < least(x) ** 0.25))):  # a power of it may be lost
            require_resolved(kappa(q[-1]), q[-1] > 0, "kernel of a sample with itself")
        return q

    def _require_own(self, q: Float[Any, " n"]) -> None:
        """Refuse samples whose kernel has lost digits where it is the weight variance times that of the features."""
        weight = self._readout_weight()
        if _arrays.staged(q) or weight >= 1.0:
            return
        xp = _arrays.namespace(q)
        if bool(xp.any((q > 0) & (weight * q < least(q) ** 0.25))):
            kappa = self.phi.kappa(q, q, q, xp.zeros_like(q))
            require_own(kappa, weight, self.bias_variance, "kernel of a sample with itself")

    @np.errstate(
        over="ignore", invalid="ignore", under="ignore"
    )  # what is not finite is refused by whoever asked
    def _layers(
        self,
        x: Float[Any, "r d"],
        other: Float[Any, "s d"],
        q: Sequence[Float[Any, " r"]],
        q_other: Sequence[Float[Any, " s"]],
        *,
        tangent: bool,
        diagonal: bool = False,
    ) -> tuple[Float[Any, "r s"], Any]:
        """Return a block of Q^L, and of T^{L+1} if `tangent`.

        `diagonal` says that the rows are the columns: next to themselves they are exactly collinear. Of NumPy's arrays
        every pair that is nearly so is found and looked at by itself instead.
        """
        activation, weight_variance, bias_variance = self.phi, self.weight_variance, self.bias_variance
        xp = _arrays.namespace(x)
        gram = _weighed(x @ xp.permute_dims(other, (1, 0)), weight_variance / x.shape[1], bias_variance)
        near = itself = equal = first = None
        if isinstance(x, np.ndarray):
            if _collinear.matters(activation, q[0], q_other[0]):
                near = _collinear.NearPairs(
                    x, other, gram, q[0], q_other[0], self.bias(x.shape[1]), activation
                )
            if self.depth > 1:
                equal = _collinear.equal_rows(x, other, gram, q[0], q_other[0])
        else:
            if diagonal:
                itself = xp.eye(x.shape[0], dtype=xp.bool, device=array_api_compat.device(x))
            first = self._from_differences(x, other)
        theta = gram
        for layer in range(self.depth):
            q1, q2 = q[layer][:, None], q_other[layer][None, :]
            # The covariance of a sample with itself is its variance: left to itself, its round-off would grow from
            # layer to layer where the network is chaotic.
            if equal is not None:
                gram[equal] = q[layer][equal[0]]
            elif itself is not None:
                gram = xp.where(itself, q1, gram)
            # T of the first layer is G.
            wanted: Wanted = "kappa" if not tangent else "first" if layer == 0 else "slopes"
            kappa, slopes = _dual(activation, (q1, q2, gram), wanted, near, itself, first=first)
            first = None
            if tangent:
                theta = slopes if layer == 0 else theta * slopes
                theta = _weighed(_added(theta, kappa), weight_variance, bias_variance)
            if layer == self.depth - 1:
                return kappa, theta if tangent else None
            if near is not None:
                near.advance(activation, weight_variance, bias_variance, q[layer], q_other[layer], gram)
            gram = weight_variance * kappa + bias_variance
        raise AssertionError("depth is at least 1")

    def _from_differences(self, x: Any, other: Any, *, pairs: bool = False) -> Any:
        """Return the determinants of the first layer for arrays of other libraries, if the dual depends on them."""
        if not self.phi.needs_determinant and self.phi.rate == 0.0:
            return None
        of_rows = _collinear.of_differences(x, other, self.bias(x.shape[1]), pairs=pairs)
        return (self.weight_variance / x.shape[1]) ** 2 * of_rows

    def _of_pairs(self, left: Float[Any, "m d"], right: Float[Any, "m d"]) -> tuple[Float[Any, " m"], Any]:
        """Return Q^L of each row of `left` with the same row of `right`, and T^{L+1} if that is wanted."""
        activation, weight_variance, bias_variance = self.phi, self.weight_variance, self.bias_variance
        xp = _arrays.namespace(left)
        q, q_other = self.variances(left), self.variances(right)
        for side in (q, q_other):
            self._require_own(side[-1])
        equal = xp.all(left == right, axis=1)  # of a sample with itself, as in a tile
        root = itself = first = None
        if isinstance(left, np.ndarray):
            c = np.einsum("ij,ij->i", left, right) * (weight_variance / left.shape[1]) + bias_variance
            if _collinear.matters(activation, q[0], q_other[0]):
                bias = self.bias(left.shape[1])
                angle = _collinear.sine(_collinear.unit(left, bias), _collinear.unit(right, bias))
                root = np.sqrt(q[0]) * np.sqrt(q_other[0]) * angle
        else:
            c = xp.sum(left * right, axis=1) * (weight_variance / left.shape[1]) + bias_variance
            itself = equal
            first = self._from_differences(left, right, pairs=True)
        theta = c
        for layer in range(self.depth):
            q1, q2 = q[layer], q_other[layer]
            c = xp.where(equal, q1, c)
            wanted: Wanted = "slopes" if self._tangent else "kappa"
            kappa, slopes = _dual(activation, (q1, q2, c), wanted, root=root, itself=itself, first=first)
            first = None
            if self._tangent:
                theta = weight_variance * (theta * slopes + kappa) + bias_variance
            if root is not None and layer < self.depth - 1:
                root = _collinear.next_root(root, q1, q2, c, activation, weight_variance, bias_variance)
            c = weight_variance * kappa + bias_variance
        return kappa, theta


def _weighed(values: Array, weight: float, bias: float) -> Array:
    """Return ``weight * values + bias``, of NumPy's arrays in their place, and in no pass that changes nothing."""
    if not isinstance(values, np.ndarray):
        return values * weight + bias
    if weight != 1.0:
        values *= weight
    if bias != 0.0:
        values += bias
    return values


def _added(values: Array, others: Array) -> Array:
    """Return the sum, of NumPy's arrays in the place of the first."""
    if isinstance(values, np.ndarray) and values.shape == np.shape(others):
        values += others
        return values
    return values + others


def _dual(
    activation: Activation,
    moments: tuple[Any, Any, Any],
    wanted: Wanted,
    near: _collinear.NearPairs | None = None,
    itself: Any = None,
    root: Any = None,
    first: Any = None,
) -> tuple[Any, Any]:
    """Return kappa, and the slopes or c times them if they are `wanted`, with the determinant as well as it is known.

    Of variances whose products are no numbers, a homogeneous activation has its dual in other units, and any other
    looks for the angle itself.
    """
    (q1, q2, c), scales = in_units(*moments)
    p = activation.homogeneity
    det = None
    if p is None and _arrays.staged(moments[2]):  # no unit is known to be 1 then
        (q1, q2, c), scales = moments, None
    if scales is None or p is not None:
        if root is not None:
            det = root * root if scales is None else (root / scales[0] / scales[1]) ** 2
        elif near is not None:
            det = near.determinant(q1, q2, c, scales)
        elif first is not None and scales is None:
            xp = _arrays.namespace(first)
            det = first if itself is None else xp.where(itself, xp.zeros_like(first), first)
        elif _arrays.is_foreign(c):
            det = _without_round_off(activations.determinant(q1, q2, c), q1 * q2, itself)
        # Otherwise it does not matter, and the activation may do without.
    else:
        (q1, q2, c), scales = moments, None
    if wanted == "kappa":
        kappa, slopes = activation.kappa(q1, q2, c, det), None
    elif wanted == "first":
        kappa, slopes = activation.kappa_and_first(q1, q2, c, det)
    else:
        kappa, slopes = activation.kappa_and_slopes(q1, q2, c, det)
    if scales is not None and p is not None:
        s, t = scales
        kappa = kappa * s ** float(p) * t ** float(p)
        power = float(p if wanted == "first" else p - 1)
        slopes = None if slopes is None else slopes * s**power * t**power
    return kappa, slopes


def _without_round_off(det: Any, product: Any, itself: Any) -> Any:
    """Return determinants that are 0 where they are no more than the round-off of q1 q2 - c^2, as for equal rows.

    Of libraries other than NumPy no pair is looked at by itself, and the derivative of such an angle would be noise.
    """
    xp = _arrays.namespace(det)
    none = det <= 16.0 * float(xp.finfo(det.dtype).eps) * product
    none = none if itself is None else none | itself
    return xp.where(none, xp.zeros_like(det), det)
