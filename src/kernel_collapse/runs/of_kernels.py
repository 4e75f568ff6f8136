"""What a trial measures of a kernel that knows no labels: of rows of numbers, or of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from kernel_collapse import activations, data, kernels
from kernel_collapse._input_error import InputError
from kernel_collapse._shapes import Float
from kernel_collapse._specification import Results, Specification, flat, why_no_nc1, with_reasons
from kernel_collapse.collapse import WEIGHTINGS, held_out_collapse, nc1_from_features, nc1_weightings
from kernel_collapse.data import Dataset
from kernel_collapse.kernels import Kernel
from kernel_collapse.kernels.named import IMAGE_NETWORKS, resolve

__all__ = ["Holdout", "HoldsOut", "ImageNC1", "KernelNC1", "OfImages", "activation_name", "gram"]

KernelName = Literal["data", "nngp", "ntk", "ntk-published"]
ImageKernelName = Literal[
    "conv-nngp",
    "conv-ntk",
    "conv-nngp-gap",
    "conv-ntk-gap",
    "conv-nngp-myrtle-5",
    "conv-nngp-myrtle-7",
    "conv-nngp-myrtle-10",
    "conv-ntk-myrtle-5",
    "conv-ntk-myrtle-7",
    "conv-ntk-myrtle-10",
]
#: Share of the samples, class by class, that is held out.
Holdout = Annotated[float, Field(ge=0, lt=1)]


def activation_name(value: str | None) -> str | None:
    """Return the name if it is known (None where there is none)."""
    return value if value is None else activations.get(value).name


class HoldsOut(Specification):
    """What is measured of samples, of which a share may be held out and measured besides."""

    #: Keys younger than the first stored rows, whose keys they must not change where they are not said.
    young: ClassVar[tuple[str, ...]] = ("holdout",)

    if TYPE_CHECKING:  # a field of the subclasses, after their own
        holdout: float

    @model_serializer(mode="wrap")
    def _as_stored(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is younger than the first stored rows, where it is at its default."""
        stored: dict[str, Any] = fields(self)
        own = type(self).model_fields
        return {k: v for k, v in stored.items() if k not in self.young or v != own[k].default}

    def parts(self, dataset: Dataset, seed: int) -> tuple[Dataset, Dataset | None]:
        """Return the samples that are measured, and those that are held out."""
        return data.split(dataset, self.holdout, seed=seed) if self.holdout else (dataset, None)


class OfImages(Specification):
    """What convolutional networks have in common, of which kernels are made, or which are trained.

    Such a network has `depth` convolutions, each followed by the activation and, where `pool` is more than 1, by an
    average pool of that side; the names in "-gap" end with global average pooling, the others are flattened. A name in
    "-myrtle-5" and so on says every layer, and what the other keys would say.
    """

    if TYPE_CHECKING:  # fields of the subclasses, in their places
        kernel: str
        activation: str
        depth: int
        filter_size: int
        padding: Literal["same", "valid", "circular"]
        pool: int

    @classmethod
    def fixed(cls, name: str) -> tuple[str, ...]:
        """Return the keys that the name of a network says."""
        return () if _named(name) is None else ("depth", "filter_size", "padding", "pool")

    @model_validator(mode="before")
    @classmethod
    def _deep_as_named(cls, given: Any) -> Any:
        """Count the convolutions of a network that has a name."""
        layers = _named(given.get("kernel")) if isinstance(given, dict) else None
        return given if layers is None else {"depth": _convolutions(layers)} | given

    @model_validator(mode="after")
    def _as_named(self) -> Self:
        if (layers := _named(self.kernel)) is not None:
            fixed = {"depth": _convolutions(layers), "filter_size": 3, "padding": "same", "pool": 1}
            for key, value in fixed.items():
                if getattr(self, key) != value:
                    raise InputError(
                        key,
                        f"{getattr(self, key)!r} beside {self.kernel!r}",
                        f"{value!r} or nothing",
                        "that name says every layer",
                    )
        return self

    @property
    def pooled(self) -> bool:
        """Whether the network ends with global average pooling."""
        return self.kernel.endswith("-gap") or _named(self.kernel) is not None

    @property
    def layers(self) -> tuple[Any, ...]:
        """The layers of the network."""
        if (layers := _named(self.kernel, self.activation)) is not None:
            return layers
        conv, phi = kernels.Conv(self.filter_size, padding=self.padding), kernels.Activation(self.activation)
        block = (conv, phi) if self.pool == 1 else (conv, phi, kernels.AvgPool(self.pool))
        return (*(block * self.depth), kernels.GlobalAvgPool() if self.pooled else kernels.Flatten())

    def require(self, name: str, image_shape: tuple[int, ...]) -> None:
        """Refuse data without images, or with images that a filter or a pool does not fit into."""
        if not image_shape:
            raise InputError(
                "kernel",
                f"{self.kernel!r} with the data {name!r}, rows of numbers",
                "data of images",
                "take the law 'shapes', the table 'digits', an .npz file of images, or a kernel of vectors",
            )
        shape = image_shape[0], image_shape[1]
        for layer in self.layers:
            if isinstance(layer, kernels.Conv | kernels.AvgPool):
                height, width = layer.windows(shape)
                shape = height.outputs, width.outputs

    def entries(self, positions: int, power: int) -> float:
        """Return the sum over layers of the number of positions to a power."""
        left, found = float(positions), 0.0
        for layer in self.layers:
            if isinstance(layer, kernels.Conv):
                found += left**power
            elif isinstance(layer, kernels.AvgPool):
                left = max(1.0, left / np.prod(np.broadcast_to(layer.size, 2)))
        return found


def _named(kernel: Any, activation: str = "relu") -> tuple[Any, ...] | None:
    """Return the layers that the name of a kernel says, if it says them."""
    for name in IMAGE_NETWORKS:
        if isinstance(kernel, str) and kernel.endswith(f"-{name}"):
            return tuple(kernels.ConvNNGP(name, activation=activation).stack)
    return None


def _convolutions(layers: tuple[Any, ...]) -> int:
    return sum(isinstance(layer, kernels.Conv) for layer in layers)


def _held_out(
    gram: Float[np.ndarray, "n n"],
    train: Dataset,
    cross: Float[np.ndarray, "m n"],
    diagonal: Float[np.ndarray, " m"],
    test: Dataset,
) -> tuple[Results, str]:
    """Return the collapse of held-out samples, and why NC1 of them is missing, if it is."""
    found = held_out_collapse(gram, train.labels, cross, diagonal, test.labels)
    return {"held_out_nc1": found.nc1, "held_out_ncm_accuracy": found.ncm_accuracy}, why_no_nc1(found)


class KernelNC1(HoldsOut):
    """NC1 of a kernel, under every weighting; kernel "data" is the inner product of the inputs."""

    kernel: KernelName
    activation: str | None = None
    depth: PositiveInt = 1
    weight_variance: PositiveFloat = 1.0
    bias_variance: NonNegativeFloat = 0.0
    holdout: Holdout = 0.0

    _known = field_validator("activation")(activation_name)

    @classmethod
    def fixed(cls, name: str) -> tuple[str, ...]:
        """Return the keys that the data themselves do not have, which have no network."""
        return ("activation", "depth", "weight_variance", "bias_variance") if name == "data" else ()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.activation is None) != (self.kernel == "data"):
            raise InputError(
                "kernel",
                f"{self.kernel!r} with activation {self.activation!r}",
                "no activation" if self.kernel == "data" else "the name of one",
                "only 'data' has none",
            )
        plain = (self.activation, self.depth, self.weight_variance, self.bias_variance, self.holdout) == (
            "erf",
            1,
            1.0,
            0.0,
            0.0,
        )
        if self.kernel == "ntk-published" and not plain:
            raise InputError(
                "kernel",
                "'ntk-published'",
                "another, or the defaults of this one",
                "it exists for erf at depth 1 with weight_variance 1, no bias and nothing held out only",
            )
        return self

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too."""
        pairs = n**2 if self.kernel != "data" or self.holdout else n
        layer = 0.0 if self.activation is None else activations.get(self.activation).seconds_an_entry
        return 2e-3 + pairs * (layer * self.depth + 3e-11 * dim)

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 under every weighting, and of held-out samples about the class means of the others."""
        train, test = self.parts(dataset, seed)
        if self.kernel == "data":
            found = flat({w: nc1_from_features(train.x, train.labels, weighting=w) for w in WEIGHTINGS})
        else:
            found = flat(nc1_weightings(gram(self, train.x), train.labels))
        if test is not None:
            diagonal = np.einsum("ij,ij->i", test.x, test.x)
            if self.kernel != "data":
                diagonal = np.asarray(self.network.diagonal(test.x))
            held_out, why = _held_out(gram(self, train.x), train, gram(self, test.x, train.x), diagonal, test)
            found = with_reasons(found | held_out, why)
        return found

    @property
    def network(self) -> Kernel:
        """The kernel itself, of one that has an activation."""
        return resolve(self.kernel, **self.model_dump(exclude={"kernel", "holdout"}))

    def samples(self, dataset: Dataset) -> Float[np.ndarray, "n d"]:
        """Return the samples as the kernel takes them: rows of numbers."""
        return dataset.x

    def require(self, name: str, image_shape: tuple[int, ...]) -> None:
        """Refuse nothing: images are rows of numbers, too."""


class ImageNC1(OfImages, HoldsOut):
    """NC1 of a kernel of convolutional networks, under every weighting."""

    kernel: ImageKernelName
    activation: str = "erf"
    depth: PositiveInt = 1
    weight_variance: PositiveFloat = 1.0
    bias_variance: NonNegativeFloat = 0.0
    filter_size: PositiveInt = 3
    padding: Literal["same", "valid", "circular"] = "same"
    pool: PositiveInt = 1
    holdout: Holdout = 0.0

    _known = field_validator("activation")(activation_name)

    @property
    def network(self) -> kernels.ConvNNGP | kernels.ConvNTK:
        """The kernel itself."""
        kind = kernels.ConvNTK if self.kernel.startswith("conv-ntk") else kernels.ConvNNGP
        return kind(self.layers, weight_variance=self.weight_variance, bias_variance=self.bias_variance)

    def samples(self, dataset: Dataset) -> Float[np.ndarray, "n h w c"]:
        """Return the samples as the kernel takes them: images."""
        return dataset.images

    def cost(self, n: int, dim: int, classes: int) -> float:
        """Return the estimated seconds on one core, the others busy too; `dim` is taken for the positions."""
        entry = 3e-8 + activations.get(self.activation).seconds_an_entry
        full = self.pooled or self.pool > 1
        return 5e-3 + 0.5 * n * (n + 1) * self.entries(dim, 2 if full else 1) * entry

    def measure(self, dataset: Dataset, seed: int) -> Results:
        """Return NC1 under every weighting, and of held-out samples about the class means of the others."""
        train, test = self.parts(dataset, seed)
        kernel = self.network
        gram = kernel(train.images)
        found = flat(nc1_weightings(gram, train.labels))
        if test is not None:
            cross, diagonal = kernel(test.images, train.images), kernel.diagonal(test.images)
            held_out, why = _held_out(gram, train, cross, diagonal, test)
            found = with_reasons(found | held_out, why)
        return found


def gram(what: KernelNC1, x: Any, x_other: Any = None) -> Any:
    """Return the Gram matrix of that kernel on these inputs, or between these and others."""
    if what.kernel == "data":
        return x @ (x if x_other is None else x_other).T
    if what.kernel == "ntk-published":
        if x_other is not None:
            raise InputError(
                "kernel", "'ntk-published' between two sets of inputs", "one set, of which it is made"
            )
        return kernels.ntk_published(x)
    return what.network(x, x_other)
