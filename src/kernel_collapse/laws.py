"""Specifications of data: which law, which size, without the seed. Adding a law is a class here, in `Data`.

A specification is a frozen pydantic model, named by its `law`. Its `sample` returns the data set of a seed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, PositiveFloat, PositiveInt, Tag, field_validator, model_validator

from kernel_collapse import _validate, data
from kernel_collapse.measurements import Specification

__all__ = ["LAWS", "Data", "GaussianClasses", "ShippedData"]


class GaussianClasses(Specification):
    """Specification of `kernel_collapse.data.gaussian_classes`, without its seed."""

    law: Literal["gaussian_classes"] = "gaussian_classes"
    n: PositiveInt
    dim: PositiveInt
    class_means: tuple[float, ...] = data.D1_MEANS
    class_stds: PositiveFloat | tuple[PositiveFloat, ...] = 0.5
    class_sizes: tuple[PositiveInt, ...] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if isinstance(self.class_stds, tuple) and len(self.class_stds) != len(self.class_means):
            raise ValueError(
                f"class_stds has {len(self.class_stds)} entries, expected one a class as in class_means."
            )
        if self.class_sizes is not None and (
            sum(self.class_sizes) != self.n or len(self.class_sizes) != len(self.class_means)
        ):
            raise ValueError(
                f"class_sizes {self.class_sizes} do not fit, expected {len(self.class_means)} sizes that add up to "
                f"n = {self.n}."
            )
        return self

    @property
    def name(self) -> str:
        """D1 or D2 for the paper's data sets."""
        paper = {data.D1_MEANS: "D1", data.D2_MEANS: "D2"}
        return paper.get(self.class_means, self.law) if self.class_stds == 0.5 else self.law

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_means)

    def sample(self, seed: int) -> data.Dataset:
        """Return the data set of that seed."""
        fields = self.model_dump(exclude={"law"})
        return data.gaussian_classes(**fields, seed=seed)


class ShippedData(Specification):
    """Specification of a `kernel_collapse.data.subset` of a `kernel_collapse.data.shipped` table, without its seed.

    Where `standardized`, every feature has mean 0 and standard deviation 1 over the samples that were drawn.
    """

    law: Literal["shipped"] = "shipped"
    name: str
    n: PositiveInt
    standardized: bool = True
    #: As of Gaussian classes whose sizes were not asked for: here they are the table's, in proportion.
    class_sizes: ClassVar[None] = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return _validate.choice(name, data.SHIPPED, "name")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        most = data.SHIPPED[self.name][0]
        if not self.n_classes <= self.n <= most:
            raise ValueError(
                f"n is {self.n}, expected {self.n_classes} to {most} samples: one a class to all of {self.name}."
            )
        return self

    @property
    def dim(self) -> int:
        """Number of features."""
        return data.SHIPPED[self.name][1]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return data.SHIPPED[self.name][2]

    def sample(self, seed: int) -> data.Dataset:
        """Return the samples that this seed draws."""
        drawn = data.subset(_table(self.name), self.n, seed=seed)
        return data.standardize(drawn) if self.standardized else drawn


@lru_cache
def _table(name: str) -> data.Dataset:
    """Return the table, read once a process; a subset of it is a copy."""
    return data.shipped(name)


def _law(value: Any) -> str:
    """Return what chooses a specification of data; whoever names no law means Gaussian classes, the first there was."""
    default = GaussianClasses.model_fields["law"].default
    return str(value.get("law", default) if isinstance(value, dict) else getattr(value, "law", default))


Data = Annotated[
    Annotated[GaussianClasses, Tag("gaussian_classes")] | Annotated[ShippedData, Tag("shipped")],
    Discriminator(_law),
]
#: Every law that chooses a specification of data.
LAWS = ("gaussian_classes", "shipped")
