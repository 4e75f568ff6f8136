"""What training returns: the networks, and what was seen of them on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from kernel_collapse import _results
from kernel_collapse._shapes import Float, Int
from kernel_collapse.collapse import NC1, Weighting
from kernel_collapse.networks._types import NetworkError
from kernel_collapse.networks.model import Network
from kernel_collapse.solution import Solution, SolutionError, Status

__all__ = ["Training"]

#: Networks that a notebook shows.
SHOWN = 20
#: Figures of each layer, and of a network as a whole.
_OF_LAYER = ("within", "between", "nc1", "nc2_norms", "nc2_angles", "nc2_etf")
_OF_NETWORK = ("loss", "accuracy", "nc3", "nc3_cosine", "nc4")


@dataclass(frozen=True, eq=False)
class Training(Solution):
    """Trained networks, and what the probes measured during training.

    Axes: S seeds, P probes, L hidden layers (the last one is what the classifier sees), C classes, d inputs. After a
    network has diverged, its numbers are NaN. NC1, NC2 and NC3 are NaN where round-off of the features decides about
    them, as in `kernel_collapse.collapse`.

    Attributes
    ----------
    epochs : ndarray of int, shape (P,)
        Epochs at which the networks were probed; 0 is the start.
    seeds : tuple of int, length S
        Seed of each network, of its start and its batches.
    loss : ndarray, shape (S, P)
        Of the training set, without weight decay.
    loss_error : ndarray, shape (S, P)
        About how much of `loss` is round-off in the precision of training. A loss below it is not resolved.
    accuracy : ndarray, shape (S, P)
        Of the training set. A sample is right if the output is nearest to the mean target of its class (MSE), or its
        class has the largest output (cross-entropy).
    within : ndarray, shape (S, P, L)
        tr S_W under the weighting asked for, in the squared units of the features; `nc1_weightings` has the others.
    between : ndarray, shape (S, P, L)
        tr S_B, likewise.
    nc1 : ndarray, shape (S, P, L)
        tr S_W / tr S_B, likewise.
    nc2_norms : ndarray, shape (S, P, L)
        Coefficient of variation of the norms of the centred class means; 0 at collapse.
    nc2_angles : ndarray, shape (S, P, L)
        Standard deviation of the cosines between them; 0 at collapse.
    nc2_etf : ndarray, shape (S, P, L)
        Frobenius distance of the matrix of these cosines to that of the simplex; 0 at collapse.
    nc3 : ndarray, shape (S, P)
        `kernel_collapse.Collapse.nc3` of readout W (each class's combination of its rows, by centred targets) and
        centred class means M of the last layer: distance of W M' to the simplex, both of Frobenius norm 1; 0 at
        collapse.
    nc3_cosine : ndarray, shape (S, P)
        `kernel_collapse.Collapse.nc3_cosine` of them: cosine between W and M; 1 at collapse.
    nc4 : ndarray, shape (S, P)
        Share of the samples for which the network and the nearest class mean of the last layer choose the same class.
    weight_covariance : ndarray, shape (S, P, d, d)
        W'W / N of the first layer in units of its prior variance sigma_w^2 / d. At the start of a wide network it is
        the identity. Its eigenvalues can be compared with those of `solve_adaptive`.
    zero_error_epoch : ndarray of int, shape (S,)
        First epoch at whose start every sample was right: where the terminal phase begins; -1 if never, or not before
        the network diverged.
    diverged_epoch : ndarray of int, shape (S,)
        First epoch at whose start the loss was not finite or out of all proportion; -1 if never. Only gradient descent
        at one rate cannot come back: of other methods it is the epoch from which on the loss stayed there.
    status : tuple of Status, length S
        How the training of each network ended.
    networks : tuple of Network, length S
        The networks at the end.
    initial_networks : tuple of Network, length S
        The networks at the start.
    """

    epochs: Int[np.ndarray, " P"]
    seeds: tuple[int, ...]
    loss: Float[np.ndarray, "S P"]
    loss_error: Float[np.ndarray, "S P"]
    accuracy: Float[np.ndarray, "S P"]
    within: Float[np.ndarray, "S P L"]
    between: Float[np.ndarray, "S P L"]
    nc1: Float[np.ndarray, "S P L"]
    nc2_norms: Float[np.ndarray, "S P L"]
    nc2_angles: Float[np.ndarray, "S P L"]
    nc2_etf: Float[np.ndarray, "S P L"]
    nc3: Float[np.ndarray, "S P"]
    nc3_cosine: Float[np.ndarray, "S P"]
    nc4: Float[np.ndarray, "S P"]
    weight_covariance: Float[np.ndarray, "S P d d"] = field(repr=False)
    zero_error_epoch: Int[np.ndarray, " S"]
    diverged_epoch: Int[np.ndarray, " S"]
    status: tuple[Status, ...]
    networks: tuple[Network, ...] = field(repr=False)
    initial_networks: tuple[Network, ...] = field(repr=False)
    _weightings: np.ndarray = field(repr=False)
    _precision: str = field(repr=False)
    #: Of each network whether it had no finite loss to begin with.
    _no_start: tuple[bool, ...] = field(repr=False)
    #: How many values of NC2 and NC3 are NaN because round-off decides about them.
    _lost: int = field(default=0, repr=False)

    _error: ClassVar[type[SolutionError]] = NetworkError
    _successes: ClassVar = (Status.TRAINED,)
    _value: ClassVar = "networks"
    _certificate: ClassVar = ("loss", "loss_error", "accuracy", "diverged_epoch")
    _cost: ClassVar = ("epochs",)

    @property
    def explanation(self) -> str:
        """Where the first network diverged, if one did, and what to try."""
        if not self.failures:
            return f"{len(self.seeds)} networks were trained: {self.sentence}{self._remark}"
        first = self.status.index(Status.DIVERGED)
        if self._no_start[first]:
            other = ', give precision="float64"' if self._precision == "float32" else ""
            return (
                f"training could not begin (seed {self.seeds[first]}): the loss at the start is not finite in "
                f"{self._precision}; scale x, targets or variances down{other}, or pass raise_on_failure=False to have "
                "the status instead."
            )
        return (
            f"training diverged in epoch {self.diverged_epoch[first]} (seed {self.seeds[first]}): lower learning_rate, "
            "or pass raise_on_failure=False to have the status instead."
        )

    @property
    def _remark(self) -> str:
        """What to know of losses that are mostly round-off, and of metrics that it hides; empty if there are none."""
        other = '; give precision="float64"' if self._precision == "float32" else ""
        said = ""
        if lost := int((self.loss < self.loss_error).sum()):
            said += f" {lost} of {self.loss.size} losses are below their round-off in {self._precision} (loss_error)"
            said += f"{other}."
        if self._lost:
            many = 3 * self.nc1.size + 2 * self.loss.size
            said += (
                f" {self._lost} of {many} values of NC2 and NC3 are NaN, for round-off of the features in "
            )
            said += f"{self._precision} decides about them{other}."
        return said

    def nc1_weightings(self, seed: int = 0, *, probe: int = -1, layer: int = -1) -> dict[Weighting, NC1]:
        """Return NC1 under every weighting of one network (by its place) at one probe in one layer."""
        return dict(self._weightings[seed, probe, layer])

    def to_frame(self) -> _results.DataFrame:
        """Return a table of a row a seed, probe and layer.

        Columns are seed, epoch, layer (0 is the first), the figures of a layer, and those of the whole network
        (`loss`, `accuracy`, `nc3`, `nc3_cosine`, `nc4`), which are the same in each of its layers.

        Raises
        ------
        ValueError
            If pandas is not installed.
        """
        shape = self.nc1.shape
        seeds, epochs, layers = (place.ravel() for place in np.indices(shape))
        columns = {"seed": np.array(self.seeds)[seeds], "epoch": self.epochs[epochs], "layer": layers}
        columns |= {name: getattr(self, name).ravel() for name in _OF_LAYER}
        columns |= {
            name: np.broadcast_to(getattr(self, name)[..., None], shape).ravel() for name in _OF_NETWORK
        }
        return _results.frame(columns)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: every network at the end, the last layer's figures to four digits."""
        names = ("loss", "accuracy", "nc1", "nc2_etf", "nc3", "nc4")
        values = [getattr(self, name)[:, -1] for name in names]
        rows = [
            (seed, *(float(np.atleast_1d(value[s])[-1]) for value in values), self.status[s].value)
            for s, seed in enumerate(self.seeds[:SHOWN])
        ]
        more = f"and {len(self.seeds) - SHOWN} more" if len(self.seeds) > SHOWN else ""
        title = f"{len(self.seeds)} networks after {self.epochs[-1]} epochs"
        return _results.as_html(title, ("seed", *names, "status"), rows, (more,))

    def plot(self, **options: Any) -> Any:
        """Draw a metric over the epochs; options and result are those of `kernel_collapse.plots.over_training`."""
        from kernel_collapse import plots

        return plots.over_training(self, **options)

    def __repr__(self) -> str:
        ends = ", ".join(f"{value:.3g}" for value in self.nc1[:, -1, -1])
        return f"<Training of {len(self.seeds)} networks to epoch {self.epochs[-1]}: NC1 {ends}>"
