"""Every specification of data in one type, `Data`, and label noise on any of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Discriminator, Tag, model_validator

from kernel_collapse import data
from kernel_collapse._input_error import InputError
from kernel_collapse.laws._samples import (
    XOR,
    Ball,
    Checkerboard,
    Contaminated,
    Fraction,
    Gaussian,
    GaussianClasses,
    Laplace,
    Manifolds,
    Shell,
    Skewed,
    Spheres,
    StudentT,
    Subspace,
    Tree,
)
from kernel_collapse.laws._tables import FileData, ShippedData
from kernel_collapse.runs.measurements import Specification

__all__ = ["LAWS", "SPECIFICATIONS", "Data", "LabelNoise"]


class LabelNoise(Specification):
    """Specification of `kernel_collapse.data.label_noise` on the samples of another specification, of the same seed."""

    law: Literal["label-noise"] = "label-noise"
    base: Data
    fraction: Fraction = 0.1

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if isinstance(self.base, LabelNoise):
            raise InputError("base", "'label-noise'", "another law", "raise the fraction instead")
        return self

    @property
    def name(self) -> str:
        """That of the other law, and the fraction."""
        return f"{self.base.name}, {100 * self.fraction:g} % of labels flipped"

    @property
    def n(self) -> int:
        """Number of samples."""
        return self.base.n

    @property
    def dim(self) -> int:
        """Number of features."""
        return self.base.dim

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.base.n_classes

    @property
    def class_sizes(self) -> tuple[int, ...] | None:
        """Sizes of the classes before labels are flipped, where they were asked for."""
        return self.base.class_sizes

    def sample(self, seed: int) -> data.Dataset:
        """Return the data set of that seed."""
        return data.label_noise(self.base.sample(seed), self.fraction, seed=seed)


def _law(value: Any) -> str:
    """Return what chooses a specification of data; whoever names no law means Gaussian classes, the first there was."""
    default = GaussianClasses.model_fields["law"].default
    return str(value.get("law", default) if isinstance(value, dict) else getattr(value, "law", default))


Data = Annotated[
    Annotated[GaussianClasses, Tag("gaussian_classes")]
    | Annotated[Gaussian, Tag("gaussian")]
    | Annotated[StudentT, Tag("student-t")]
    | Annotated[Laplace, Tag("laplace")]
    | Annotated[Contaminated, Tag("contaminated")]
    | Annotated[Skewed, Tag("skewed")]
    | Annotated[Ball, Tag("ball")]
    | Annotated[Shell, Tag("shell")]
    | Annotated[Subspace, Tag("subspace")]
    | Annotated[Tree, Tag("tree")]
    | Annotated[XOR, Tag("xor")]
    | Annotated[Checkerboard, Tag("checkerboard")]
    | Annotated[Spheres, Tag("spheres")]
    | Annotated[Manifolds, Tag("manifolds")]
    | Annotated[ShippedData, Tag("shipped")]
    | Annotated[FileData, Tag("file")]
    | Annotated[LabelNoise, Tag("label-noise")],
    Discriminator(_law),
]
LabelNoise.model_rebuild()  # it holds another of these

#: The specification of each law.
SPECIFICATIONS: dict[str, type[Specification]] = {
    get_args(choice)[0].model_fields["law"].default: get_args(choice)[0]
    for choice in get_args(get_args(Data)[0])
}
#: Every law that chooses a specification of data, sorted.
LAWS: tuple[str, ...] = tuple(sorted(SPECIFICATIONS))
