"""A deep recursive feature machine: its layers, how far to trust them, and what it makes of other inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from kernel_collapse import _arrays, _collinear, _validate
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse import Collapse, collapse
from kernel_collapse.rfm._gradients import EPS
from kernel_collapse.rfm._held_out import HeldOut, carried
from kernel_collapse.rfm._layer import Machine, known_to, unit
from kernel_collapse.solution import Solution, Status

if TYPE_CHECKING:
    from kernel_collapse.rfm._solve import Classes

__all__ = ["DeepRFM", "RFMLayer"]


@dataclass(frozen=True, eq=False)
class RFMLayer:
    """A layer: three kernels of the same samples, and the fit that leads from the first to the second.

    The kernels and labels are read-only, because the layer above and `DeepRFM.held_out` are made from them. Take a copy
    to change it.

    Attributes
    ----------
    gram : ndarray, shape (n, n)
        Kernel of the features, kappa_phi of `gram_agop`; NaN where the layer could not be computed, and so are the
        others.
    gram_agop : ndarray, shape (n, n)
        x_i' M x_j: inner products after M^{1/2}, M the average gradient outer product of the fit.
    nc1_input, nc1_agop, nc1 : float
        tr S_W / tr S_B of the input, after M^{1/2}, and of the features.
    round_off : float
        Bound of the relative error of the three: what this layer adds, and what it makes of the errors of those below.
        It is measured, not proved: never below the error in the problems of docs/deep-rfm.md, and often far above it.
    condition : float
        Condition number of the kernel with the ridge, the largest of the iterations.
    training_error : float
        Root mean square of outputs minus targets, divided by the root mean square of the targets.
    accuracy : float
        Share of the samples whose output is nearest to the target of their class.
    predictions : ndarray, shape (n, k)
        Outputs of the last fit at the samples.
    status : Status
        `resolved`, `precision_limit` or `singular`.
    reason : str
        Empty, or why a number is NaN, or how far it is known.
    """

    gram: Float[np.ndarray, "n n"] = field(repr=False)
    gram_agop: Float[np.ndarray, "n n"] = field(repr=False)
    nc1_input: float
    nc1_agop: float
    nc1: float
    round_off: float
    condition: float
    training_error: float
    accuracy: float
    predictions: Float[np.ndarray, "n k"] = field(repr=False)
    status: Status
    reason: str
    labels: Int[np.ndarray, " n"] | None = field(repr=False)
    _below: Float[np.ndarray, "n n"] = field(repr=False)
    _alphas: tuple[Float[np.ndarray, "n r"], ...] = field(repr=False)
    _eps: float = field(default=EPS, repr=False)

    def __post_init__(self) -> None:
        """Keep what others are made from as it is."""
        for array in (self.gram, self.gram_agop, self.labels, self._below):
            if array is not None:
                array.setflags(write=False)

    @property
    def gram_input(self) -> Float[np.ndarray, "n n"]:
        """Inner products of the input, rows of unit length; made when asked for."""
        found = unit(self._below)
        return np.full_like(self._below, np.nan) if found is None else found

    def collapse(self, of: str = "features", **options: Any) -> Collapse:
        """Return every metric of collapse of one of the three kernels.

        Parameters
        ----------
        of : {"input", "agop", "features"}
            Which kernel.
        **options
            Those of `kernel_collapse.collapse`.

        Raises
        ------
        ValueError
            If the layer could not be computed, or the samples have no classes.
        """
        _validate.choice(of, ("input", "agop", "features"), "of")
        gram = {"input": "gram_input", "agop": "gram_agop", "features": "gram"}[of]
        if self.labels is None:
            raise InputError("the samples", "no classes", "labels", "give labels to deep_rfm", verb="have")
        values = getattr(self, gram)
        if not np.isfinite(values).all():
            raise InputError(
                "the layer", f"{self.status.value}", "one that was computed", self.status.sentence
            )
        return collapse(known_to(values, self._eps), self.labels, **options)


@dataclass(frozen=True, eq=False)
class DeepRFM(Solution):
    """A deep recursive feature machine of infinitely many random features.

    Attributes
    ----------
    layers : tuple of RFMLayer
        From the first to the last.
    status : Status
        The first status of a layer that is not `resolved`. It is `precision_limit` if NC1 is too small for float64,
        and `singular` if a kernel cannot be inverted. Layers above are NaN.
    labels : ndarray, shape (n,), or None
        Number of the class of each sample, in sorted order.

    Examples
    --------
    See `kernel_collapse.deep_rfm`.
    """

    layers: tuple[RFMLayer, ...] = field(repr=False)
    status: Status
    labels: Int[np.ndarray, " n"] | None = field(repr=False)
    _machine: Machine = field(repr=False)
    _classes: Classes = field(repr=False)
    _targets: Float[np.ndarray, "n k"] = field(repr=False)
    _turn: Float[np.ndarray, "r k"] = field(repr=False)
    _rows: Float[np.ndarray, "n d"] | None = field(repr=False)
    _eps: float = field(default=EPS, repr=False)

    _successes: ClassVar = (Status.RESOLVED, Status.PRECISION_LIMIT)
    _sentences: ClassVar = {
        Status.PRECISION_LIMIT: "float64 does not resolve the inner products any further, so layers above "
        "would have no meaning.",
    }
    _value: ClassVar = "layers"
    _certificate: ClassVar = ("round_off", "condition", "training_error")
    _cost: ClassVar = ("fits",)
    _of_layers: ClassVar = (
        "nc1_input",
        "nc1_agop",
        "nc1",
        "round_off",
        "training_error",
        "accuracy",
        "status",
    )

    @property
    def gram(self) -> Float[np.ndarray, "n n"]:
        """The kernel of the features of the last layer."""
        return self.layers[-1].gram

    @property
    def nc1(self) -> Float[np.ndarray, "layers 3"]:
        """NC1 of every layer: of its input, after M^{1/2}, and of its features."""
        return np.array([[layer.nc1_input, layer.nc1_agop, layer.nc1] for layer in self.layers])

    @property
    def round_off(self) -> Float[np.ndarray, " layers"]:
        """Bound of the relative error of NC1 of every layer."""
        return np.array([layer.round_off for layer in self.layers])

    @property
    def condition(self) -> Float[np.ndarray, " layers"]:
        """Condition number of the kernel of every layer."""
        return np.array([layer.condition for layer in self.layers])

    @property
    def training_error(self) -> Float[np.ndarray, " layers"]:
        """Relative training error of every layer."""
        return np.array([layer.training_error for layer in self.layers])

    @property
    def fits(self) -> int:
        """Fits that were made, each with one factorisation of an n x n matrix."""
        return sum(len(layer._alphas) for layer in self.layers)

    @property
    def explanation(self) -> str:
        """The status with the layer where it arose, the reason there, and what to try."""
        if self.status is Status.RESOLVED:
            return f"deep RFM ({self.status.value}): {self.sentence}"
        at = next(i for i, layer in enumerate(self.layers, 1) if layer.status is self.status)
        return (
            f"deep RFM ({self.status.value} in layer {at} of {len(self.layers)}, {self.layers[at - 1].reason}): "
            f"{self.sentence}"
        )

    def plot(self, **options: Any) -> Any:
        """Draw NC1 of every layer; options and result are those of `kernel_collapse.plots.nc1_of_layers`."""
        from kernel_collapse import plots

        return plots.nc1_of_layers(self, **options)

    def held_out(self, x: ArrayLike, labels: Any = None, *, diagonal: ArrayLike | None = None) -> HeldOut:
        """Return what every layer makes of other inputs: kernels with the samples, predictions, collapse.

        Parameters
        ----------
        x : array_like, shape (m, d)
            Other inputs; where a Gram matrix was given in the place of features, their inner products (m, n) with the
            samples.
        labels : sequence, length m, optional
            Their classes, all of them among those of the samples; their targets, where the samples were given without
            labels. Without, collapse and accuracy are NaN.
        diagonal : array_like, shape (m,), optional
            Squared lengths of the other inputs, where `x` are inner products.

        Returns
        -------
        HeldOut
            A layer for each of the machine, NaN from where it could not be computed; `reason` says why.

        Raises
        ------
        ValueError
            If the inputs are not finite, have no direction, or do not fit the samples.

        Examples
        --------
        >>> import kernel_collapse as kc
        >>> train, test = (kc.data.gaussian_classes(n=60, dim=4, seed=seed) for seed in (0, 1))
        >>> machine = kc.deep_rfm(train.x, train.targets, depth=2)
        >>> seen = machine.held_out(test.x, test.targets)
        >>> [layer.accuracy for layer in seen.layers]
        [1.0, 1.0]
        """
        cross = self._cross(x, diagonal)
        given = [] if self._rows is not None else [x, diagonal]
        eps = max(self._eps, *map(_arrays.eps_of, given), EPS)
        codes = None
        if labels is not None:
            if self.labels is None:
                raise InputError("labels", "given", "none", "the samples have no classes", verb="are")
            codes = self._codes(labels)
            _validate.as_many(len(cross), "x", len(codes))
        return carried(self._machine, self.layers, cross, self._targets, self._turn, codes, eps)

    def _codes(self, labels: Any) -> Int[np.ndarray, " m"]:
        """Return class numbers of other inputs, given as the classes of the samples were: by labels or targets."""
        if not self._classes.of_targets:
            return _validate.codes_among(labels, self._classes.known, "labels")
        rows = _validate.columns(labels, "labels", numpy=True)
        return _validate.codes_among([tuple(row) for row in rows.tolist()], self._classes.known, "labels")

    def _cross(self, x: ArrayLike, diagonal: ArrayLike | None) -> Float[np.ndarray, "m n"]:
        """Return the cosines of other inputs with the samples."""
        clean = _validate.matrix(x, "x", numpy=True)
        n = len(self._targets)
        if self._rows is not None:
            if diagonal is not None:
                raise InputError("diagonal", "given beside features", "features alone", "leave it out")
            if clean.shape[1] != self._rows.shape[1]:
                raise InputError(
                    "x", f"{clean.shape[1]} features", f"the {self._rows.shape[1]} of the samples", verb="has"
                )
            require_directions(np.abs(clean).max(axis=1), "x")
            return np.clip(_collinear.unit(clean, 0.0) @ self._rows.T, -1.0, 1.0)
        if diagonal is None:
            raise InputError(
                "diagonal", "left out", "squared lengths", "x are inner products, as the samples were"
            )
        if clean.shape[1] != n:
            raise InputError("x", f"{clean.shape[1]} columns", f"one for each of the {n} samples", verb="has")
        given = _validate.in_numpy(diagonal, "diagonal")
        lengths = np.asarray(_validate.shaped(given, "diagonal", (len(clean),), "one value a row of x"))
        require_directions(lengths, "x")
        found = clean / np.sqrt(lengths)[:, None] / np.sqrt(np.diag(self.layers[0]._below))
        if np.abs(found).max() > 1.0 + max(1e-6, 16.0 * _arrays.eps_of(x)):
            raise InputError(
                "x", "an inner product beyond the product of two lengths", "inner products, x.y", verb="holds"
            )
        return np.clip(found, -1.0, 1.0)


def require_directions(lengths: Float[np.ndarray, " n"], what: str) -> None:
    """Refuse rows of zeros, which have no direction."""
    if lengths.min() <= 0.0:
        raise InputError(
            what,
            f"zeros alone in row {int(lengths.argmin())}",
            "rows with a direction, because they are scaled to unit length",
            "drop that row",
            verb="holds",
        )
