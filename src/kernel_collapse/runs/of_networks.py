"""What a trial measures of a network that is trained: dense, or with convolutions."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from kernel_collapse._shapes import Float
from kernel_collapse._shared_targets import class_targets, first_with_target
from kernel_collapse._specification import Results, Specification, flat, why_no_nc1, with_reasons
from kernel_collapse.collapse import held_out_collapse_from_features, nc1_weightings
from kernel_collapse.data import Dataset
from kernel_collapse.runs.of_kernels import Holdout, HoldsOut, OfImages, activation_name

__all__ = ["JAX", "ConvNetworkNC1", "EmpiricalNC1", "NetworkNC1", "Prior", "Programs", "Trained"]

#: What is compiled, for which shapes, and the estimated seconds of it: once a process, whatever the number of trials.
Programs = dict[tuple[Any, ...], float]
#: JAX itself is started once, too.
JAX: Programs = {("jax",): 2.0}


class Prior(Specification):
    """What kernels and networks alike are made of: an activation and the variances of the prior."""

    activation: str = "erf"
    weight_variance: PositiveFloat = 1.0
    readout_variance: PositiveFloat = 1 / 128

    _known = field_validator("activation")(activation_name)


class Trained(Prior):
    """A network and how it is trained; the defaults are the published networks'."""

    width: PositiveInt = 500
    depth: PositiveInt = 1
    parameterisation: Literal["standard", "ntk"] = "standard"
    readout_variance: PositiveFloat = 1.97**2
    epochs: NonNegativeInt = 1000
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 1e-6
    precision: Literal["float32", "float64"] = "float32"

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too."""
        weights = self.width * (dim + (self.depth - 1) * self.width)
        return 0.05 + self.epochs * n * (2e-9 * self.width * self.depth + 7e-11 * weights)

    def programs(self, n: int, dim: int, classes: int) -> Programs:
        """Return what is compiled, and the estimated seconds of it: rates and epochs are no part of the program."""
        shape = (n, dim, classes, self.width, self.depth, self.activation, self.precision)
        return JAX | {("descent", getattr(self, "loss", "mse"), self._looks, *shape): 2.5}

    @property
    def _looks(self) -> int:
        """How many times the network is looked at."""
        return 2 if self.epochs else 1

    def train(self, dataset: Dataset, seed: int, **options: Any) -> Any:
        """Return the training of one network of that seed."""
        from kernel_collapse import networks

        fields = self.model_dump(include=set(Trained.model_fields))
        return networks.train(dataset, seeds=[seed], **fields, **options)


class _Watched(Trained, HoldsOut):
    """NC1 of the last hidden layer of a trained network, and of all of them on the way."""

    young: ClassVar[tuple[str, ...]] = ("optimiser", "holdout")

    loss: Literal["mse", "cross_entropy"] = "mse"
    probes: tuple[NonNegativeInt, ...] | None = None
    optimiser: Literal["sgd", "adam"] = "sgd"
    holdout: Holdout = 0.0

    @property
    def _looks(self) -> int:
        """How many times the network is looked at: at the end too, whether it was asked for or not."""
        return super()._looks if self.probes is None else len({*self.probes, self.epochs})

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 at the end under every weighting, what was seen beside it, and the curves if probes were asked."""
        train, test = self.parts(dataset, seed)
        options = {"loss": self.loss, "probes": self.probes, "optimiser": self.optimiser}
        training = self.train(train, seed, **options)
        spectrum = np.linalg.eigvalsh(training.weight_covariance[0, -1])
        found: Results = flat(training.nc1_weightings()) | {
            "solver": training.status[0].value,
            "nc1_start": float(training.nc1[0, 0, -1]),
            "loss": float(training.loss[0, -1]),
            "accuracy": float(training.accuracy[0, -1]),
            "zero_error_epoch": float(training.zero_error_epoch[0]),
            "nc2_norms": float(training.nc2_norms[0, -1, -1]),
            "nc2_angles": float(training.nc2_angles[0, -1, -1]),
            "nc3": float(training.nc3[0, -1]),
            "nc3_cosine": float(training.nc3_cosine[0, -1]),
            "nc4": float(training.nc4[0, -1]),
            "largest_eigenvalue": float(spectrum[-1]),
        }
        if self.probes is not None:
            found |= {
                "path_epochs": training.epochs.tolist(),
                "path_nc1": training.nc1[0].tolist(),
                "path_loss": training.loss[0].tolist(),
                "path_nc2_norms": training.nc2_norms[0].tolist(),
                "path_nc3": training.nc3[0].tolist(),
                "path_nc3_cosine": training.nc3_cosine[0].tolist(),
            }
        if test is None:
            return found
        held_out, why = self._held_out(training.networks[0], train, test)
        return with_reasons(found | held_out, why)

    def _held_out(self, network: Any, train: Dataset, test: Dataset) -> tuple[Results, str]:
        """Return the collapse of held-out samples, the share decided for their class, and why NC1 is missing."""
        x, x_test = self.samples(train), self.samples(test)
        found = held_out_collapse_from_features(
            network.features(x), train.labels, network.features(x_test), test.labels
        )
        outputs = network(x_test)
        if self.loss == "mse":
            aims = class_targets(train.labels, train.targets)
            first = first_with_target(aims)
            gaps = ((outputs[:, None, :] - aims) ** 2).sum(axis=2)
            right = first[gaps.argmin(axis=1)] == first[test.labels]
        else:
            right = outputs.argmax(axis=1) == test.labels
        held_out = {
            "held_out_nc1": found.nc1,
            "held_out_ncm_accuracy": found.ncm_accuracy,
            "held_out_accuracy": float(right.mean()),
        }
        return held_out, why_no_nc1(found)

    def samples(self, dataset: Dataset) -> Float[np.ndarray, ...]:
        """Return the samples as the network takes them: rows of numbers."""
        return dataset.x


class NetworkNC1(_Watched):
    """NC1 of the last hidden layer of a trained dense network, and of all of them on the way."""

    kernel: Literal["network"] = "network"


class ConvNetworkNC1(OfImages, _Watched):
    """NC1 of what enters the readout of a trained network with convolutions, `width` of whose channels are in each."""

    kernel: Literal[
        "conv-network",
        "conv-network-gap",
        "conv-network-myrtle-5",
        "conv-network-myrtle-7",
        "conv-network-myrtle-10",
    ]
    width: PositiveInt = 64
    filter_size: PositiveInt = 3
    padding: Literal["same", "valid", "circular"] = "same"
    pool: PositiveInt = 1

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too; `dim` is taken for the positions."""
        products = self.entries(dim, 1) * self.filter_size**2 * self.width**2
        return 0.05 + 7e-11 * self.epochs * n * products

    def programs(self, n: int, dim: int, classes: int) -> Programs:
        """Return what is compiled, and the estimated seconds of it."""
        shape = (n, dim, classes, self.width, self.layers, self.precision, self.loss, self._looks)
        return JAX | {("descent", *shape): 2.5 + self.depth}

    def train(self, dataset: Dataset, seed: int, **options: Any) -> Any:
        """Return the training of one network of that seed."""
        from kernel_collapse import networks

        fields = self.model_dump(include=set(Trained.model_fields) - {"activation", "depth"})
        return networks.train(dataset, seeds=[seed], layers=self.layers, **fields, **options)

    def samples(self, dataset: Dataset) -> Float[np.ndarray, ...]:
        """Return the samples as the network takes them: images."""
        return dataset.images


class EmpiricalNC1(Trained):
    """NC1 of the kernel of a finite network after `epochs` of training (0: at its start)."""

    kernel: Literal["empirical-nngp", "empirical-ntk"]
    parameterisation: Literal["standard", "ntk"] = "ntk"
    readout_variance: PositiveFloat = 1.0
    learning_rate: PositiveFloat = 0.2
    weight_decay: NonNegativeFloat = 0.0

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too."""
        return super().cost(n, dim, classes) + 1e-10 * n**2 * self.width * self.depth

    def programs(self, n: int, dim: int, classes: int) -> Programs:
        """Return what is compiled, and the estimated seconds of it."""
        shape = (n, dim, classes, self.width, self.depth, self.activation)
        return super().programs(n, dim, classes) | {(self.kernel, *shape): 0.3}

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 under every weighting, and what the network had learnt."""
        from kernel_collapse import networks

        training = self.train(dataset, seed)
        kernel = networks.empirical_ntk if self.kernel == "empirical-ntk" else networks.empirical_nngp
        return flat(nc1_weightings(kernel(training.networks[0], dataset.x), dataset.labels)) | {
            "solver": training.status[0].value,
            "loss": float(training.loss[0, -1]),
            "accuracy": float(training.accuracy[0, -1]),
        }
