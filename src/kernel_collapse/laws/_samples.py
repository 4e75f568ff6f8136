"""Specifications of the laws of `kernel_collapse.data` that make samples of any number."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PlainValidator,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    StrictBool,
    model_serializer,
    model_validator,
)

from kernel_collapse import _validate, data
from kernel_collapse.runs.measurements import Specification

__all__ = [
    "XOR",
    "Ball",
    "Checkerboard",
    "Contaminated",
    "Fraction",
    "Gaussian",
    "GaussianClasses",
    "Laplace",
    "Law",
    "Manifolds",
    "Shell",
    "Skewed",
    "Spheres",
    "StudentT",
    "Subspace",
    "Tree",
    "titled",
]

Imbalance = Annotated[float, Field(ge=1)]
Classes = Annotated[int, Field(ge=2)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


def _frozen(value: Any) -> Any:
    """Return a name, a number, or numbers in tuples, of whatever it was written as."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return value if isinstance(value, str) else _validate.finite(value, "a covariance")


#: The name of a structure, a variance, the variances of the coordinates, or a matrix; or these of each class.
Covariance = Annotated[Any, PlainValidator(_frozen)]


class Law(Specification):
    """What every law of samples has; `law` names its function in `kernel_collapse.data.sample`."""

    law: str
    n: PositiveInt
    dim: PositiveInt
    class_sizes: tuple[PositiveInt, ...] | None = None
    imbalance: Imbalance | None = None

    if TYPE_CHECKING:  # a field where any number of classes will do, else a property

        @property
        def n_classes(self) -> int:
            """Number of classes."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        _check(self)
        return self

    @property
    def name(self) -> str:
        """The law, with the options that are not the default."""
        return titled(self.law, self._options())

    def _options(self) -> dict[str, Any]:
        """Return the options that are not the default, beside the sizes."""
        fields = self.model_dump(mode="json", exclude={"law", "n", "dim", "class_sizes"})
        return {k: v for k, v in fields.items() if v != type(self).model_fields[k].default}

    def sample(self, seed: int) -> data.Dataset:
        """Return the data set of that seed."""
        return replace(self._draw(seed), name=self.name)

    def _draw(self, seed: int, **changes: Any) -> data.Dataset:
        return data.sample(self.law, **self.model_dump(exclude={"law"}) | changes, seed=seed)


@lru_cache(maxsize=1024)  # a study has many trials of one law, and a large covariance takes long to check
def _check(law: Law) -> None:
    """Refuse what the law itself would refuse, by asking it for one sample a class."""
    _validate.size(law.n, law.dim)
    _validate.class_sizes(law.class_sizes, law.n, law.n_classes, law.imbalance)
    law._draw(0, n=law.n_classes, class_sizes=None, imbalance=None)


def titled(law: str, options: dict[str, Any]) -> str:
    """Return the name of a law with options, in which a matrix is named by a hash of its entries."""
    said = []
    for key, value in options.items():
        text = value if isinstance(value, str) else json.dumps(value)
        said.append(f"{key}={text if len(text) <= 40 else hashlib.sha256(text.encode()).hexdigest()[:8]}")
    return f"{law}({', '.join(said)})" if said else law


class GaussianClasses(Law):
    """Specification of `kernel_collapse.data.gaussian_classes`, without its seed."""

    law: Literal["gaussian_classes"] = "gaussian_classes"
    class_means: tuple[float, ...] = data.D1_MEANS
    class_stds: PositiveFloat | tuple[PositiveFloat, ...] = 0.5
    class_covariances: Covariance | None = None

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is younger than the first stored rows unless it is said, so that their keys stay."""
        young = ("class_covariances", "imbalance")
        return {k: v for k, v in handler(self).items() if v is not None or k not in young}

    @property
    def name(self) -> str:
        """D1 or D2 for the paper's data sets."""
        paper = {data.D1_MEANS: "D1", data.D2_MEANS: "D2"}
        law = paper.get(self.class_means, self.law) if self.class_stds == 0.5 else self.law
        young = {"imbalance": self.imbalance, "class_covariances": self.class_covariances}
        return titled(law, {k: v for k, v in young.items() if v is not None})

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_means)


class _Apart(Law):
    """Any number of classes at a distance from one another."""

    n_classes: Classes = 2
    separation: NonNegativeFloat = 4.0


class _Placed(_Apart):
    """And with a standard deviation."""

    std: PositiveFloat = 0.5


class Gaussian(_Placed):
    """Specification of `kernel_collapse.data.gaussian`, without its seed."""

    law: Literal["gaussian"] = "gaussian"
    covariance: Covariance = "isotropic"

    @property
    def name(self) -> str:
        """The law with the options that are not the default; D1 or D2 for the paper's data sets."""
        options = self._options()
        paper = {2: "D1", 4: "D2"}.get(self.n_classes)
        if paper is None or not options.keys() <= {"n_classes", "imbalance"}:
            return super().name
        return titled(paper, {k: v for k, v in options.items() if k == "imbalance"})


class StudentT(_Placed):
    """Specification of `kernel_collapse.data.student_t`, without its seed."""

    law: Literal["student-t"] = "student-t"
    df: PositiveFloat = 3.0
    scaled: StrictBool = True


class Laplace(_Placed):
    """Specification of `kernel_collapse.data.laplace`, without its seed."""

    law: Literal["laplace"] = "laplace"


class Contaminated(_Placed):
    """Specification of `kernel_collapse.data.contaminated`, without its seed."""

    law: Literal["contaminated"] = "contaminated"
    fraction: Fraction = 0.1
    factor: PositiveFloat = 5.0
    scaled: StrictBool = True


class Skewed(_Placed):
    """Specification of `kernel_collapse.data.skewed`, without its seed."""

    law: Literal["skewed"] = "skewed"
    family: Literal["gamma", "log-normal"] = "gamma"
    skewness: float = 2.0
    mirrored: StrictBool = True


class Ball(_Apart):
    """Specification of `kernel_collapse.data.ball`, without its seed."""

    law: Literal["ball"] = "ball"
    radius: PositiveFloat | None = None


class Shell(_Apart):
    """Specification of `kernel_collapse.data.shell`, without its seed."""

    law: Literal["shell"] = "shell"
    radius: PositiveFloat | None = None
    thickness: NonNegativeFloat = 0.0


class Subspace(_Placed):
    """Specification of `kernel_collapse.data.subspace`, without its seed."""

    law: Literal["subspace"] = "subspace"
    intrinsic_dim: PositiveInt = 2
    noise: NonNegativeFloat = 0.05


class Tree(Law):
    """Specification of `kernel_collapse.data.tree`, without its seed."""

    law: Literal["tree"] = "tree"
    depth: Annotated[int, Field(ge=1, le=60)] = 2
    branching: Annotated[int, Field(ge=2)] = 2
    shrink: Annotated[float, Field(gt=0, le=1)] = 0.5
    separation: NonNegativeFloat = 4.0
    std: PositiveFloat = 0.5

    @property
    def n_classes(self) -> int:
        """Number of classes: the leaves."""
        return self.branching**self.depth


class XOR(Law):
    """Specification of `kernel_collapse.data.xor`, without its seed."""

    law: Literal["xor"] = "xor"
    separation: NonNegativeFloat = 4.0
    std: PositiveFloat = 0.5
    n_classes: ClassVar[int] = 2


class Checkerboard(Law):
    """Specification of `kernel_collapse.data.checkerboard`, without its seed."""

    law: Literal["checkerboard"] = "checkerboard"
    cells: Annotated[int, Field(ge=2)] = 4
    separation: NonNegativeFloat = 4.0
    std: PositiveFloat = 0.5
    n_classes: ClassVar[int] = 2


class Spheres(_Placed):
    """Specification of `kernel_collapse.data.spheres`, without its seed."""

    law: Literal["spheres"] = "spheres"
    radius: PositiveFloat = 2.0


class Manifolds(_Placed):
    """Specification of `kernel_collapse.data.manifolds`, without its seed."""

    law: Literal["manifolds"] = "manifolds"
    shape: Literal["circles", "spiral", "swiss-roll"] = "spiral"
    turns: PositiveFloat = 1.0
